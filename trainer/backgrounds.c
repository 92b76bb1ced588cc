/* See backgrounds.h.  Pictures are tiled by reflection, so a swatch may reach beyond its picture without a seam, and read
 * from the level whose pixels are about the result's, so that it is no sharper or noisier than what it is put behind. */

#include "backgrounds.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/image_file.h"

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t count) {
  for (size_t i = 0; i < count; i++) free(names[i]);
  free(names);
}

/* Full paths of the folder's files, sorted; -1 and a message. */
static int list_files(const char *folder, char ***paths, size_t *count, char *message) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  size_t room = 0;
  *paths = NULL, *count = 0;
  if (!dir) return message_set(message, "%s: cannot open the folder of backgrounds: %s", folder, strerror(errno));
  while ((entry = readdir(dir)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    size_t length = strlen(folder) + strlen(entry->d_name) + 2;
    char *path = malloc(length);
    if (*count == room) {
      room = 2 * room + 64;
      char **grown = realloc(*paths, room * sizeof *grown);
      if (grown) *paths = grown;
      if (!grown) free(path), path = NULL;
    }
    if (!path) {
      closedir(dir);
      free_names(*paths, *count);
      return message_set(message, "%s: out of memory", folder);
    }
    snprintf(path, length, "%s/%s", folder, entry->d_name);
    (*paths)[(*count)++] = path;
  }
  closedir(dir);
  if (*count) qsort(*paths, *count, sizeof **paths, compare_names);
  return 0;
}

/* Half of a picture: means of 2 x 2 pixels. */
static uint8_t *reduce(const uint8_t *from, uint32_t width, uint32_t height) {
  uint32_t w = width / 2, h = height / 2;
  uint8_t *to = malloc((size_t)w * h * 3);
  for (size_t y = 0; to && y < h; y++) {
    const uint8_t *a = from + 2 * y * width * 3, *b = a + (size_t)width * 3;
    for (size_t i = 0; i < (size_t)w * 3; i++) {
      size_t at = i / 3 * 6 + i % 3;
      to[y * w * 3 + i] = (uint8_t)((a[at] + a[at + 3] + b[at] + b[at + 3] + 2) / 4);
    }
  }
  return to;
}

static int load_picture(const char *path, background *picture, char *message) {
  image_file image;
  memset(picture, 0, sizeof *picture);
  if (image_read(path, &image, message)) return -1;
  uint32_t w = image.width, h = image.height;
  uint8_t *pixels = malloc((size_t)w * h * 3);
  size_t step = image.channels < 3 ? 0 : 1;
  for (size_t i = 0; pixels && i < (size_t)w * h; i++) {
    for (size_t k = 0; k < 3; k++) {
      pixels[3 * i + k] = image_byte(&image, i * image.channels + k * step);
    }
  }
  image_free(&image);
  while (pixels && (w > BACKGROUND_SIDE || h > BACKGROUND_SIDE) && w > 1 && h > 1) {
    uint8_t *half = reduce(pixels, w, h);
    free(pixels);
    pixels = half, w /= 2, h /= 2;
  }
  int level = 0;
  for (; pixels && level < BACKGROUND_LEVELS; level++) {
    picture->levels[level] = pixels, picture->width[level] = w, picture->height[level] = h;
    if (level + 1 == BACKGROUND_LEVELS || w < 4 || h < 4) break;
    pixels = reduce(pixels, w, h), w /= 2, h /= 2;
  }
  size_t length = strlen(path) + 1;
  picture->path = pixels ? malloc(length) : NULL;
  if (picture->path) {
    memcpy(picture->path, path, length);
    return 0;
  }
  for (int i = 0; i < BACKGROUND_LEVELS; i++) free(picture->levels[i]);
  memset(picture, 0, sizeof *picture);
  return message_set(message, "%s: out of memory", path);
}

int backgrounds_load(const char *folder, backgrounds *b, char *message) {
  char **paths;
  size_t file_count, kept = 0, take;
  int status = 0;
  memset(b, 0, sizeof *b);
  if (list_files(folder, &paths, &file_count, message)) return -1;
  for (size_t i = 0; i < file_count; i++) { /* pictures to the front */
    image_file header;
    if (image_read_header(paths[i], &header, NULL)) continue;
    char *swap = paths[kept];
    paths[kept++] = paths[i], paths[i] = swap;
  }
  take = kept < BACKGROUND_MOST ? kept : BACKGROUND_MOST;
  if (take == 0) {
    status =
        message_set(message, "%s: expected pictures to use as backgrounds, found none among its %zu files", folder, file_count);
  } else if ((b->pictures = calloc(take, sizeof *b->pictures)) == NULL) {
    status = message_set(message, "%s: out of memory", folder);
  }
  for (size_t i = 0; status == 0 && i < take; i++) {
    status = load_picture(paths[i * kept / take], &b->pictures[i], message);
    if (status == 0) b->count++;
  }
  free_names(paths, file_count);
  if (status) backgrounds_free(b);
  return status;
}

void backgrounds_free(backgrounds *b) {
  for (size_t i = 0; i < b->count; i++) {
    free(b->pictures[i].path);
    for (int k = 0; k < BACKGROUND_LEVELS; k++) free(b->pictures[i].levels[k]);
  }
  free(b->pictures);
  memset(b, 0, sizeof *b);
}

/* Screens of green and blue, greys, and any colour; lit unevenly, as screens are. */
static void choose_plain(rng *r, swatch *s) {
  uint32_t kind = rng_below(r, 4);
  float tone = rng_range(r, 0.15f, 0.9f);
  for (int k = 0; k < 3; k++) s->plain[k] = kind == 0 ? rng_uniform(r) : tone;
  if (kind == 1) s->plain[0] = tone * rng_range(r, 0.1f, 0.4f), s->plain[2] = tone * rng_range(r, 0.1f, 0.5f);
  if (kind == 2) s->plain[0] = tone * rng_range(r, 0.05f, 0.35f), s->plain[1] = tone * rng_range(r, 0.2f, 0.6f);
  float across = rng_range(r, -0.25f, 0.25f), down = rng_range(r, -0.25f, 0.25f);
  for (int k = 0; k < 3; k++) s->slope_x[k] = across * s->plain[k], s->slope_y[k] = down * s->plain[k];
}

void swatch_choose(const backgrounds *b, float plain_probability, uint32_t w, uint32_t h, rng *r, swatch *s) {
  int plain = rng_chance(r, plain_probability);
  memset(s, 0, sizeof *s);
  s->w = (float)w, s->h = (float)h;
  if (plain || !b || !b->count) {
    choose_plain(r, s);
    return;
  }
  const background *p = &b->pictures[rng_below(r, (uint32_t)b->count)];
  float side = (float)(w > h ? w : h), whole = (float)(p->width[0] < p->height[0] ? p->width[0] : p->height[0]);
  float share = rng_range(r, 0.3f, 1), scale = share * whole / side; /* of the full level, a pixel of the result */
  float turn = rng_range(r, 0, 6.2831853f), mirror = rng_chance(r, 0.5f) ? -1.0f : 1.0f;
  int level = 0;
  while (level + 1 < BACKGROUND_LEVELS && p->levels[level + 1] && scale > 1.5f) level++, scale *= 0.5f;
  s->pixels = p->levels[level], s->width = (int)p->width[level], s->height = (int)p->height[level];
  float c = cosf(turn) * scale, d = sinf(turn) * scale;
  s->map[0] = c * mirror, s->map[1] = -d, s->map[3] = d * mirror, s->map[4] = c;
  float x = rng_uniform(r) * (float)s->width, y = rng_uniform(r) * (float)s->height; /* under the middle */
  s->map[2] = x - 0.5f * (s->map[0] * s->w + s->map[1] * s->h);
  s->map[5] = y - 0.5f * (s->map[3] * s->w + s->map[4] * s->h);
}

/* Index i of a row of n pixels continued by reflection. */
static int reflect(int i, int n) {
  int period = 2 * n;
  i %= period;
  if (i < 0) i += period;
  return i < n ? i : period - 1 - i;
}

void swatch_at(const swatch *s, float x, float y, float rgb[3]) {
  x += 0.5f, y += 0.5f;
  if (!s->pixels) {
    float across = x / s->w - 0.5f, down = y / s->h - 0.5f;
    for (int k = 0; k < 3; k++) {
      float v = s->plain[k] + s->slope_x[k] * across + s->slope_y[k] * down;
      rgb[k] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    return;
  }
  float u = s->map[0] * x + s->map[1] * y + s->map[2] - 0.5f, v = s->map[3] * x + s->map[4] * y + s->map[5] - 0.5f;
  float fu = floorf(u), fv = floorf(v);
  int iu = (int)fu, iv = (int)fv, x0 = iu, x1 = iu + 1, y0 = iv, y1 = iv + 1;
  fu = u - fu, fv = v - fv;
  if (iu < 0 || iv < 0 || x1 >= s->width || y1 >= s->height) {
    x0 = reflect(x0, s->width), x1 = reflect(x1, s->width), y0 = reflect(y0, s->height), y1 = reflect(y1, s->height);
  }
  const uint8_t *top = s->pixels + (size_t)y0 * (size_t)s->width * 3, *low = s->pixels + (size_t)y1 * (size_t)s->width * 3;
  for (int k = 0; k < 3; k++) {
    float a = (float)top[3 * x0 + k], b = (float)top[3 * x1 + k], c = (float)low[3 * x0 + k], d = (float)low[3 * x1 + k];
    a += (b - a) * fu, c += (d - c) * fu;
    rgb[k] = (a + (c - a) * fv) * (1.0f / 255);
  }
}
