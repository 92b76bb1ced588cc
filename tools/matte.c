/* `roto matte`: the shapes of a document as mattes, one picture a frame, or one a frame and shape.
 *
 * PNG is the display window.  OpenEXR has the plate's display and data window, and in one file a channel A for all shapes together
 * and a channel <shape>.A for each; a shape that is not in a frame has its channel too, so that all frames have the same.
 *
 * Mattes are coverage: linear, never colour-converted, sized as the plate (or its proxy).  A shape that is hidden in a frame is
 * not drawn there.  Shapes that subtract come after all others.  Motion blur averages moments while the shutter is open around
 * the frame; between frames vertices move in straight lines, and a shape that is not in the next frame, or has other vertices
 * there, stands still towards it. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "commands.h"
#include "document.h"
#include "exr_file.h"
#include "frames.h"
#include "image_file.h"

enum { MAX_BLUR = 256 };

typedef struct matte_options {
  const char *output, *range, *shapes, *subtract;
  double scale, feather, width, shutter;
  int bits, blur, threads, skip_existing;
} matte_options;

typedef struct matte_job {
  const matte_options *options;
  document doc;
  unsigned char *used, *subtract; /* a shape of the template */
  size_t *frames, frame_count;    /* which frames of the document */
  cli_progress progress;
  size_t done, drawn;
  int exr, failed;
} matte_job;

/* Marks the shapes of a list of names; ends the process at a name that is no shape. */
static void mark_shapes(const matte_job *job, const char *names, unsigned char *marks) {
  int closed;
  while (*names) {
    size_t length = strcspn(names, ","), s = 0;
    for (; s < job->doc.shape_count; ++s) {
      const char *name = document_shape_name(&job->doc, s, &closed);
      if (strlen(name) == length && !strncmp(name, names, length)) break;
    }
    if (s == job->doc.shape_count)
      cli_fail(EXIT_INPUT, "the document has no shape '%.*s'; its first is '%s'", (int)length, names,
               s ? document_shape_name(&job->doc, 0, &closed) : "(none)");
    marks[s] = 1;
    names += length + (names[length] == ',');
  }
}

/* Replaces {shape}, and #### or %04d by the frame's number. */
static char *output_path(const char *pattern, const char *shape, int number) {
  char *named = NULL, *path;
  const char *at = strstr(pattern, "{shape}");
  if (at) pattern = named = cli_format("%.*s%s%s", (int)(at - pattern), pattern, shape, at + strlen("{shape}"));
  const char *name = strrchr(pattern, '/'), *mark = strpbrk(name ? name : pattern, "#%");
  size_t length = !mark ? 0 : *mark == '#' ? strspn(mark, "#") : strcspn(mark, "d") + 1;
  int digits = !mark ? 0 : *mark == '#' ? (int)length : atoi(mark + 1);
  path = mark ? cli_format("%.*s%0*d%s", (int)(mark - pattern), pattern, digits, number, mark + length)
              : cli_format("%s", pattern);
  free(named);
  return path;
}

/* Vertices of a shape at `moments` times around frame `index`; NULL if it is not to be seen there. */
static roto_vertex *moving_vertices(const document *doc, size_t index, size_t shape, int moments, double shutter) {
  const document_shape *here = &doc->frames[index].shapes[shape];
  if (!here->vertex_count || here->hidden) return NULL;
  roto_vertex *vertices = (roto_vertex *)cli_alloc((size_t)moments * here->vertex_count, sizeof *vertices);
  for (int m = 0; m < moments; ++m) {
    double t = shutter * ((m + 0.5) / moments - 0.5), to = t < 0 ? -t : t;
    size_t other = t < 0 ? index - 1 : index + 1; /* wraps to a number past the end */
    const document_shape *there = here;
    if (other < doc->frame_count && abs(doc->frames[other].number - doc->frames[index].number) == 1)
      there = &doc->frames[other].shapes[shape];
    if (there->hidden || there->vertex_count != here->vertex_count) there = here;
    for (uint32_t v = 0; v < here->vertex_count; ++v) {
      const double *a = &here->vertices[v].x, *b = &there->vertices[v].x;
      double *out = &vertices[(size_t)m * here->vertex_count + v].x;
      for (size_t k = 0; k < sizeof(roto_vertex) / sizeof(double); ++k) out[k] = a[k] + to * (b[k] - a[k]);
    }
  }
  return vertices;
}

/* Is this picture there, and not to be drawn again?  Files are renamed when they are whole, so one that is there is whole. */
static int is_done(const matte_job *job, const char *path) {
  return job->options->skip_existing && !access(path, F_OK);
}

/* Windows and size of a frame's mattes. */
static image_file matte_frame(const matte_job *job, const document_frame *frame) {
  const double scale = job->options->scale;
  image_file out;
  memset(&out, 0, sizeof out);
  out.width = (uint32_t)(frame->width * scale + 0.5);
  out.height = (uint32_t)(frame->height * scale + 0.5);
  out.width += !out.width;
  out.height += !out.height;
  out.bits = (uint32_t)job->options->bits;
  out.pixel_aspect = job->doc.pixel_aspect;
  out.data[2] = (int32_t)out.width;
  out.data[3] = (int32_t)out.height;
  if (!job->exr) return out;
  for (int k = 0; k < 2; ++k) {
    out.origin[k] = (int32_t)floor(job->doc.origin[k] * scale + 0.5);
    if (!frame->data[2]) continue;
    out.data[k] = (int32_t)floor(frame->data[k] * scale);
    out.data[k + 2] = (int32_t)ceil((frame->data[k] + frame->data[k + 2]) * scale) - out.data[k];
  }
  return out;
}

/* One matte; free() it.  NULL and a message on failure. */
static void *draw_matte(const matte_job *job, const image_file *out, const roto_matte_shape *shapes, size_t count, int number,
                        const char *name, char *message) {
  roto_matte_options draw;
  roto_matte_image image;
  memset(&draw, 0, sizeof draw);
  memset(&image, 0, sizeof image);
  draw.scale = job->options->scale;
  draw.samples = (uint32_t)job->options->blur;
  draw.x = out->data[0] / draw.scale;
  draw.y = out->data[1] / draw.scale;
  image.width = (uint32_t)out->data[2];
  image.height = (uint32_t)out->data[3];
  image.type = job->exr ? ROTO_PIXEL_F32 : out->bits == 16 ? ROTO_PIXEL_U16 : ROTO_PIXEL_U8;
  image.pixels = cli_alloc((size_t)image.width * image.height, job->exr ? 4 : out->bits / 8);
  roto_status status = roto_matte(shapes, count, &draw, &image);
  if (!status) return image.pixels;
  free(image.pixels);
  message_set(message, "frame %d, %s: %s", number, name, roto_status_text(status));
  return NULL;
}

/* One picture of one matte. */
static int write_matte(const matte_job *job, size_t index, const roto_matte_shape *shapes, size_t count, const char *name,
                       char *message) {
  const document_frame *frame = &job->doc.frames[index];
  image_file out = matte_frame(job, frame);
  char *path = output_path(job->options->output, name, frame->number);
  void *pixels = is_done(job, path) ? NULL : draw_matte(job, &out, shapes, count, frame->number, name, message);
  if (!pixels) {
    int result = is_done(job, path) ? 0 : -1;
    free(path);
    return result;
  }
  exr_channel channel = {"A", (const float *)pixels};
  int result;
  if (job->exr)
    result = image_write_exr(path, &channel, 1, &out, message);
  else if (out.bits == 16)
    result = image_write_png16(path, (const uint16_t *)pixels, out.width, out.height, 1, message);
  else
    result = image_write_png(path, (const uint8_t *)pixels, out.width, out.height, 1, message);
  free(path);
  free(pixels);
  return result;
}

/* One OpenEXR file of all shapes; `names` are those of the shapes. */
static int write_layers(const matte_job *job, size_t index, const roto_matte_shape *shapes, const char *const *names,
                        size_t count, char *message) {
  const document_frame *frame = &job->doc.frames[index];
  image_file out = matte_frame(job, frame);
  char *path = output_path(job->options->output, "matte", frame->number);
  int result = 0;
  if (is_done(job, path)) {
    free(path);
    return 0;
  }
  exr_channel *channels = (exr_channel *)cli_alloc(count + 1, sizeof *channels);
  for (size_t i = 0; i <= count && !result; ++i) { /* the last is all of them together */
    roto_matte_shape alone;
    memset(&alone, 0, sizeof alone);
    if (i < count) alone = shapes[i];
    alone.subtract = 0;
    channels[i].name = i < count ? cli_format("%s.A", names[i]) : cli_format("A");
    channels[i].values = (const float *)draw_matte(job, &out, i < count ? &alone : shapes, i < count ? 1 : count, frame->number,
                                                   channels[i].name, message);
    result = channels[i].values ? 0 : -1;
  }
  if (!result) result = image_write_exr(path, channels, count + 1, &out, message);
  for (size_t i = 0; i <= count; ++i) {
    free((void *)(uintptr_t)channels[i].name);
    free((void *)(uintptr_t)channels[i].values);
  }
  free(channels);
  free(path);
  return result;
}

/* All pictures of a frame.  Runs on several threads for different frames. */
static int write_frame(const matte_job *job, size_t index, size_t *drawn, char *message) {
  const matte_options *options = job->options;
  int each = strstr(options->output, "{shape}") != NULL, result = 0, closed;
  size_t count = 0, total = job->doc.shape_count;
  roto_matte_shape *shapes = (roto_matte_shape *)cli_alloc(total + 1, sizeof *shapes);
  const char **names = (const char **)cli_alloc(total + 1, sizeof *names);
  for (int subtract = 0; subtract < 2; ++subtract)
    for (size_t s = 0; s < total && !result; ++s) {
      const document_shape *from = &job->doc.frames[index].shapes[s];
      const char *name = document_shape_name(&job->doc, s, &closed);
      if (!job->used[s] || job->subtract[s] != subtract) continue;
      roto_matte_shape *shape = shapes + count;
      names[count] = name;
      shape->path.vertices = moving_vertices(&job->doc, index, s, options->blur, options->shutter);
      shape->path.vertex_count = shape->path.vertices ? from->vertex_count : 0;
      shape->path.closed = closed;
      shape->width = from->width > 0 ? from->width : options->width;
      shape->feather = options->feather;
      shape->subtract = subtract && !each;
      *drawn += shape->path.vertices != NULL;
      if (each) {
        result = write_matte(job, index, shape, 1, name, message);
        free((void *)(uintptr_t)shape->path.vertices);
      } else {
        ++count;
      }
    }
  if (!each && !result && job->exr) result = write_layers(job, index, shapes, names, count, message);
  if (!each && !result && !job->exr) result = write_matte(job, index, shapes, count, "matte", message);
  for (size_t i = 0; i < count; ++i) free((void *)(uintptr_t)shapes[i].path.vertices);
  free(names);
  free(shapes);
  return result;
}

static void find_frames(matte_job *job) {
  char message[MESSAGE_SIZE];
  int *numbers = NULL;
  size_t count = 0;
  job->frames = (size_t *)cli_alloc(job->doc.frame_count + 1, sizeof *job->frames);
  if (job->options->range && frames_parse_range(job->options->range, &numbers, &count, message))
    cli_fail(EXIT_USAGE, "%s", message);
  for (size_t i = 0; i < (numbers ? count : job->doc.frame_count); ++i) {
    size_t f = numbers ? 0 : i;
    while (numbers && f < job->doc.frame_count && job->doc.frames[f].number != numbers[i]) ++f;
    if (f == job->doc.frame_count) cli_fail(EXIT_INPUT, "the document has no frame %d; give a --range that it has", numbers[i]);
    job->frames[job->frame_count++] = f;
  }
  free(numbers);
}

static void write_frames(matte_job *job) {
  int threads = job->options->threads;
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#else
  (void)threads;
#endif
  cli_progress_start(&job->progress, stdout, "roto matte", job->frame_count);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
#endif
  for (size_t i = 0; i < job->frame_count; ++i) {
    char message[MESSAGE_SIZE];
    size_t drawn = 0;
    int stop;
#ifdef _OPENMP
#pragma omp critical
#endif
    stop = job->failed;
    if (stop || cli_interrupted()) continue;
    int result = write_frame(job, job->frames[i], &drawn, message);
#ifdef _OPENMP
#pragma omp critical
#endif
    {
      if (result && !job->failed) cli_error("%s", message);
      job->failed |= result != 0;
      job->drawn += drawn;
      cli_progress_show(&job->progress, ++job->done, NULL);
    }
  }
  cli_progress_end(&job->progress);
}

int matte_main(int argc, char **argv) {
  matte_options options = {0};
  options.scale = 1;
  options.width = 2;
  options.shutter = 0.5;
  options.blur = 1;
  options.threads = cli_default_threads();
  const cli_option table[] = {
      {"-o", CLI_STRING, &options.output, "PATTERN",
       "PNG files to write, or OpenEXR by .exr; #### or %04d for the frame; {shape}: one file a shape"},
      {"--range", CLI_STRING, &options.range, "FRAMES", "frames to draw: 1001-1105,1110x2 (default: all of the document)"},
      {"--shapes", CLI_STRING, &options.shapes, "NAMES", "only these shapes, separated by commas"},
      {"--subtract", CLI_STRING, &options.subtract, "NAMES", "shapes that are cut out of the others"},
      {"--bits", CLI_INTEGER, &options.bits, "N", "8 or 16 (default 8); of OpenEXR 16 (half) or 32 (default 16)"},
      {"--scale", CLI_NUMBER, &options.scale, "S", "size of the mattes to that of the plate, 0.5 for a half-size proxy"},
      {"--feather", CLI_NUMBER, &options.feather, "PX",
       "soft edge, pixels of the plate, < 0 inwards; added to the shapes' own"},
      {"--width", CLI_NUMBER, &options.width, "PX", "of open shapes that give none (default 2)"},
      {"--blur", CLI_INTEGER, &options.blur, "N", "motion blur from N moments (default 1: none)"},
      {"--shutter", CLI_NUMBER, &options.shutter, "S", "frames the shutter is open, around the frame (default 0.5)"},
      {"--skip-existing", CLI_FLAG, &options.skip_existing, NULL, "draw only mattes whose files are not there"},
      {"--threads", CLI_INTEGER, &options.threads, "N", "threads (default: all, or what the farm grants)"},
  };
  const cli_command command = {"roto matte",
                               "SHOT.roto.json -o PATTERN",
                               "Draws the shapes of a roto document as mattes, with exact coverage.",
                               "roto matte sh010.roto.json -o 'mattes/sh010.{shape}.####.png' --bits 16",
                               table,
                               sizeof table / sizeof *table};
  matte_job job;
  char message[MESSAGE_SIZE];
  memset(&job, 0, sizeof job);
  job.options = &options;
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (!options.output) cli_usage(&command, "expected -o PATTERN for the mattes");
  size_t length = strlen(options.output);
  job.exr = length > 4 && !strcasecmp(options.output + length - 4, ".exr");
  if (!options.bits) options.bits = job.exr ? 16 : 8;
  if (options.bits != 16 && options.bits != (job.exr ? 32 : 8))
    cli_usage(&command, "--bits expects %s, found %d", job.exr ? "16 or 32 for OpenEXR" : "8 or 16 for PNG", options.bits);
  if (!(options.scale > 0 && options.scale <= 16)) cli_usage(&command, "--scale expects a number from 0 to 16, not 0");
  if (options.blur < 1 || options.blur > MAX_BLUR)
    cli_usage(&command, "--blur expects 1 to %d, found %d", MAX_BLUR, options.blur);
  if (!(options.shutter >= 0 && options.shutter <= 2)) cli_usage(&command, "--shutter expects 0 to 2 frames");
  if (!(options.width >= 0)) cli_usage(&command, "--width expects 0 or more");
  if (document_read(argv[0], &job.doc, message)) cli_fail(EXIT_INPUT, "%s", message);

  const char *name = strrchr(options.output, '/');
  job.used = (unsigned char *)cli_alloc(job.doc.shape_count + 1, 1);
  job.subtract = (unsigned char *)cli_alloc(job.doc.shape_count + 1, 1);
  if (options.shapes)
    mark_shapes(&job, options.shapes, job.used);
  else
    memset(job.used, 1, job.doc.shape_count);
  if (options.subtract) mark_shapes(&job, options.subtract, job.subtract);
  for (size_t s = 0; s < job.doc.shape_count; ++s) job.used[s] |= job.subtract[s];
  find_frames(&job);
  size_t present = 0;
  for (size_t i = 0; i < job.frame_count; ++i)
    for (size_t s = 0; s < job.doc.shape_count; ++s)
      present += job.used[s] && job.doc.frames[job.frames[i]].shapes[s].vertex_count;
  if (!present) cli_fail(EXIT_INPUT, "%s: has no such shapes in these frames, only points; nothing is drawn", argv[0]);
  if (job.frame_count > 1 && !strpbrk(name ? name : options.output, "#%"))
    cli_usage(&command, "-o '%s' names one file for %zu frames; put #### where the frame's number goes", options.output,
              job.frame_count);
  if (name) {
    char *folder = cli_format("%.*s", (int)(name - options.output), options.output);
    for (size_t i = 0; *folder && i < job.doc.shape_count; ++i) {
      int closed;
      char *named = output_path(folder, document_shape_name(&job.doc, i, &closed), 0);
      if (job.used[i]) cli_make_folder(named);
      free(named);
    }
    free(folder);
  }
  cli_catch_signals();
  write_frames(&job);
  if (cli_interrupted()) {
    cli_error("stopped by signal %d after %zu of %zu frames", cli_interrupted() - 128, job.done, job.frame_count);
    return cli_interrupted();
  }
  if (job.failed) cli_fail(EXIT_WRITE, "some mattes could not be written");
  printf("%s: %zu frames, %.1f shapes each\n", options.output, job.frame_count, (double)job.drawn / (double)job.frame_count);
  free(job.used);
  free(job.subtract);
  free(job.frames);
  document_free(&job.doc);
  return EXIT_DONE;
}
