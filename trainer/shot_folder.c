/* See shot_folder.h. */

#include "shot_folder.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../tools/cli.h"

void shots_parallel(void *user, size_t count, roto_task task, void *context) {
  long i;
  (void)user;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (i = 0; i < (long)count; ++i) task(context, (size_t)i);
}

void shots_character(const char *given, const char *data, character *ch) {
  char message[MESSAGE_SIZE], *beside = cli_format("%s/character.json", data);
  struct stat there;
  if (stat(data, &there)) cli_fail(EXIT_INPUT, "%s: cannot open it: %s", data, strerror(errno));
  if (!given && stat(beside, &there)) cli_fail(EXIT_INPUT, "%s: not there; name the template with --character FILE", beside);
  if (character_load(given ? given : beside, ch, message)) cli_fail(EXIT_INPUT, "%s", message);
  free(beside);
}

void shots_start(const char *out, const char *in, const character *ch) {
  char message[MESSAGE_SIZE], *path = cli_format("%s/character.json", out);
  struct stat a, b;
  if (stat(out, &a) == 0 && stat(in, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
    cli_fail(EXIT_USAGE, "-o %s: is the folder that is read; name another one", out);
  cli_make_folder(out);
  if (character_write(path, ch, message)) cli_fail(EXIT_WRITE, "%s", message);
  free(path);
}

char *shots_path(const char *out, const char *kind, const char *shot, uint32_t number, const char *extension) {
  char *folder = cli_format("%s/%s", out, shot), *path;
  cli_make_folder(folder);
  path = cli_format("%s/%s-%s-frame%03u%s", folder, kind, shot, number, extension);
  free(folder);
  return path;
}

void shots_copy_image(const char *from, const char *out, const char *shot, uint32_t number) {
  const char *dot = strrchr(from, '.');
  char message[MESSAGE_SIZE], *to = shots_path(out, "image", shot, number, dot && !strchr(dot, '/') ? dot : ".png");
  unsigned char *data;
  size_t size;
  if (file_read(from, (size_t)1 << 31, &data, &size, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (file_write(to, data, size, message)) cli_fail(EXIT_WRITE, "%s", message);
  free(data);
  free(to);
}

void shots_write_frame(const char *out, const char *shot, const character *ch, const frame *f) {
  char message[MESSAGE_SIZE], *path;
  if (f->points || f->shape_count) {
    path = shots_path(out, f->shape_count ? "revec_shapes" : "points", shot, f->number, ".json");
    if (dataset_write_annotation(path, ch, f, message)) cli_fail(EXIT_WRITE, "%s", message);
    free(path);
  }
  if (f->raw_count) {
    frame raw;
    memset(&raw, 0, sizeof raw);
    raw.shapes = f->raw;
    raw.shape_count = f->raw_count;
    path = shots_path(out, "raw_shapes", shot, f->number, ".json");
    if (dataset_write_annotation(path, ch, &raw, message)) cli_fail(EXIT_WRITE, "%s", message);
    free(path);
  }
}

static void grow_box(double box[4], double x, double y) {
  box[0] = fmin(box[0], x);
  box[1] = fmin(box[1], y);
  box[2] = fmax(box[2], x);
  box[3] = fmax(box[3], y);
}

void frame_extent(const frame *f, uint32_t landmarks, double box[4]) {
  uint32_t i, k;
  int set;
  for (i = 0; f->points && i < landmarks; ++i) {
    if (f->valid[i] || f->hidden[i]) grow_box(box, (double)f->points[2 * i], (double)f->points[2 * i + 1]);
  }
  for (set = 0; set < 2; ++set) {
    const frame_shape *shapes = set ? f->raw : f->shapes;
    for (i = 0; i < (set ? f->raw_count : f->shape_count); ++i) {
      for (k = 0; k < shapes[i].segment_count; ++k) {
        const segment *g = &shapes[i].segments[k];
        grow_box(box, (double)g->x[0], (double)g->y[0]);
        grow_box(box, (double)g->x[2], (double)g->y[2]);
      }
    }
  }
}

uint8_t *crop_pixels(const image_file *image, const float m[6], uint32_t width, uint32_t height, uint32_t *channels) {
  size_t pixels = (size_t)width * height, i;
  int alpha = image->channels == 2 || image->channels == 4;
  float *rgb = cli_alloc(pixels * 3, sizeof *rgb);
  uint8_t *out;
  roto_image view = image_view(image);
  *channels = alpha ? 4 : 3;
  out = cli_alloc(pixels, *channels);
  roto_sample(&view, m, ROTO_TRANSFER_SRGB, width, height, rgb);
  for (i = 0; i < 3 * pixels; ++i) out[i / 3 * *channels + i % 3] = (uint8_t)(255 * fminf(fmaxf(rgb[i], 0), 1) + 0.5f);
  if (alpha) {
    size_t all = (size_t)image->width * image->height;
    uint8_t *plane = cli_alloc(all, 1);
    for (i = 0; i < all; ++i) {
      plane[i] = image_byte(image, i * image->channels + image->channels - 1);
    }
    view.pixels = plane;
    view.channels = 1;
    view.type = ROTO_PIXEL_U8;
    view.transfer = ROTO_TRANSFER_LINEAR;
    roto_sample(&view, m, ROTO_TRANSFER_LINEAR, width, height, rgb);
    for (i = 0; i < pixels; ++i) out[4 * i + 3] = (uint8_t)(255 * fminf(fmaxf(rgb[3 * i], 0), 1) + 0.5f);
    free(plane);
  }
  free(rgb);
  return out;
}
