/* The network runs in float32 over the calibration frames, every mean and scaling a step of its own, and each value it makes is
 * counted in a histogram.  The range of a node is the one whose bytes lose least: what lies outside is clipped, what lies inside is
 * off by a step / sqrt(12), and the squares of both are summed over the histogram.  Weights need no frames: the runtime scales
 * them by what each channel's largest needs (SPEC.md, RANG).
 *
 * Ranges are of the model's own network; a second look has its own crops and runs in bfloat16 beside it. */

#include "quantize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../trainer/augment.h"
#include "../trainer/dataset.h"
#include "cli.h"
#include "crop_file.h"
#include "frames.h"
#include "image_file.h"
#include "json_file.h"
#include "model_file.h"

enum { BINS = 4096 };

/* Values of one node: bins of equal width over -reach..reach, where reach is a power of two that grows as needed. */
typedef struct histogram {
  double reach;
  float low, high;
  uint64_t bins[BINS];
} histogram;

typedef struct calibration {
  histogram *nodes;
  uint32_t count; /* nodes */
} calibration;

static void histogram_add(histogram *h, float value) {
  if (!(fabsf(value) < 1e30f)) return;
  if (h->reach == 0) h->reach = ldexp(1, -40);
  while (fabs((double)value) >= h->reach) { /* each half becomes a quarter */
    for (int i = 0; i < BINS / 4; ++i) {
      h->bins[BINS / 2 - 1 - i] = h->bins[BINS / 2 - 1 - 2 * i] + h->bins[BINS / 2 - 2 - 2 * i];
      h->bins[BINS / 2 + i] = h->bins[BINS / 2 + 2 * i] + h->bins[BINS / 2 + 1 + 2 * i];
    }
    memset(h->bins, 0, BINS / 4 * sizeof *h->bins);
    memset(h->bins + BINS * 3 / 4, 0, BINS / 4 * sizeof *h->bins);
    h->reach *= 2;
  }
  h->bins[(int)(((double)value / h->reach + 1) * (BINS / 2))]++;
  if (value < h->low) h->low = value;
  if (value > h->high) h->high = value;
}

static double no_clock(void *user) {
  (void)user;
  return 0;
}

static void see_step(void *user, const roto_step *step) {
  calibration *c = (calibration *)user;
  if (!step->value || step->last_node >= c->count) return;
  for (size_t pixel = 0; pixel < (size_t)step->out_h * step->out_w; ++pixel)
    for (size_t k = 0; k < step->out_c; ++k)
      histogram_add(&c->nodes[step->last_node], step->value[pixel * step->value_stride + k]);
}

/* Sum of squared errors of bytes between low and high. */
static double loss_of(const histogram *h, double low, double high) {
  const double width = 2 * h->reach / BINS, step = (high - low) / 255, inside = step * step / 12;
  double loss = 0;
  for (int i = 0; i < BINS; ++i) {
    if (!h->bins[i]) continue;
    const double value = -h->reach + (i + 0.5) * width, out = value < low ? low - value : value > high ? value - high : 0;
    loss += (double)h->bins[i] * (out > 0 ? out * out : inside);
  }
  return loss;
}

/* The range that loses least among shares of the seen one; node 0 and those nobody saw have what they have. */
static void choose_range(const histogram *h, float range[2]) {
  enum { SHARES = 24 };
  double best = HUGE_VAL;
  if (!(h->high - h->low > 1e-20f)) {
    range[0] = -1, range[1] = 1;
    return;
  }
  for (int i = 0; i < (h->low < 0 ? SHARES : 1); ++i)
    for (int k = 0; k < (h->high > 0 ? SHARES : 1); ++k) {
      const double low = (double)h->low * (1 - i / (SHARES + 4.0)), high = (double)h->high * (1 - k / (SHARES + 4.0));
      const double loss = loss_of(h, low, high);
      if (loss >= best) continue;
      best = loss;
      range[0] = low < 0 ? (float)low : 0, range[1] = (float)high;
    }
}

/* One frame through the network: sampled and normalised as roto_find_landmarks does. */
static int look_at(roto_session *session, const roto_info *info, const char *path, const roto_rect *crop, float *picture,
                   float *input, float *output, char *message) {
  image_file file;
  float map[6];
  if (image_read(path, &file, message)) return -1;
  const roto_image view = image_view(&file);
  const roto_rect whole = {0, 0, (float)file.width, (float)file.height};
  roto_crop_map(crop->width > 0 ? *crop : whole, info->input_width, info->input_height, map);
  roto_sample(&view, map, info->input_transfer, info->input_width, info->input_height, picture);
  for (size_t i = 0; i < (size_t)info->input_width * info->input_height; ++i) {
    const float *rgb = picture + 3 * i;
    for (uint32_t c = 0; c < info->input_channels; ++c) {
      const float value = info->input_channels == 3 ? rgb[c] : 0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2];
      input[i * info->input_channels + c] = (value - info->input_mean[c]) * info->input_scale[c];
    }
  }
  image_free(&file);
  roto_status status = roto_infer(session, input, output);
  return status ? message_set(message, "%s: %s", path, roto_status_text(status)) : 0;
}

/* The frames to look at and their crops (width 0: the whole picture). */
typedef struct frame_list {
  char **paths;
  roto_rect *crops;
  size_t count;
} frame_list;

static frame_list find_frames(const quantize_options *o, const roto_model *model) {
  const roto_info *info = roto_get_info(model);
  frame_list list = {NULL, NULL, 0};
  character ch;
  dataset ds;
  char message[MESSAGE_SIZE], no_frames[MESSAGE_SIZE];
  if (!o->crop && info->landmark_count && !character_from_model(model, &ch, message)) {
    if (!dataset_load(o->calibrate, &ch, &ds, message)) {
      list.paths = (char **)cli_alloc(ds.frame_count, sizeof *list.paths);
      list.crops = (roto_rect *)cli_alloc(ds.frame_count, sizeof *list.crops);
      for (size_t i = 0; i < ds.frame_count; ++i) {
        list.paths[i] = cli_format("%s", ds.frames[i].image_path);
        list.crops[i] = augment_box(&ds.frames[i], info->crop_margin);
      }
      list.count = ds.frame_count;
      dataset_free(&ds);
    }
    character_free(&ch);
    if (list.count > 0) return list;
  }
  frame_sequence frames;
  char *inputs[] = {(char *)(size_t)o->calibrate};
  if (frames_find(inputs, 1, NULL, &frames, no_frames)) cli_fail(EXIT_INPUT, "%s", no_frames);
  list.paths = (char **)cli_alloc(frames.count, sizeof *list.paths);
  list.crops = (roto_rect *)cli_alloc(frames.count, sizeof *list.crops);
  list.count = frames.count;
  for (size_t i = 0; i < frames.count; ++i) {
    list.paths[i] = cli_format("%s", frames.files[i].path);
    if (o->crop && !crop_parse(o->crop, &list.crops[i])) cli_fail(EXIT_USAGE, "--crop %s: expected x,y,width,height", o->crop);
  }
  frames_free(&frames);
  return list;
}

static void calibrate(const quantize_options *o, const model_file *file, calibration *c) {
  char message[MESSAGE_SIZE];
  roto_options open_options;
  roto_session_options session_options;
  roto_model *model;
  roto_session *session;
  memset(&open_options, 0, sizeof open_options);
  memset(&session_options, 0, sizeof session_options);
  open_options.separate = 1;
  open_options.allocator = session_options.allocator = model_allocator();
  session_options.profile.clock = no_clock;
  session_options.profile.step = see_step;
  session_options.profile.user = c;
  roto_status status = roto_open(file->data, file->size, &open_options, &model);
  if (!status) status = roto_session_create(model, &session_options, &session);
  if (status) cli_fail(EXIT_FAILED, "%s: %s", o->model, roto_status_text(status));
  const roto_info *info = roto_get_info(model);
  if (info->input_channels != 1 && info->input_channels != 3)
    cli_fail(EXIT_MODEL, "%s: expected a network for 1 or 3 channels, found %u", o->model, info->input_channels);
  const frame_list frames = find_frames(o, model);
  const size_t wanted = (size_t)o->frames < frames.count ? (size_t)o->frames : frames.count;
  const size_t pixels = (size_t)info->input_width * info->input_height;
  float *picture = (float *)cli_alloc(pixels * 3, sizeof(float)), *input = (float *)cli_alloc(pixels * 3, sizeof(float));
  float *output = (float *)cli_alloc(info->output_count, sizeof(float));
  cli_progress progress;
  cli_progress_start(&progress, stderr, "quantize", wanted);
  for (size_t i = 0; i < wanted; ++i) {
    const size_t at = i * frames.count / wanted;
    if (look_at(session, info, frames.paths[at], &frames.crops[at], picture, input, output, message))
      cli_fail(EXIT_INPUT, "%s", message);
    cli_progress_show(&progress, i + 1, NULL);
  }
  cli_progress_end(&progress);
  for (uint32_t k = 0; k < info->input_channels; ++k) { /* the picture: all that a value of 0..1 can become */
    const float black = -info->input_mean[k] * info->input_scale[k], white = (1 - info->input_mean[k]) * info->input_scale[k];
    c->nodes[0].low = fminf(c->nodes[0].low, fminf(black, white));
    c->nodes[0].high = fmaxf(c->nodes[0].high, fmaxf(black, white));
  }
  for (size_t i = 0; i < frames.count; ++i) free(frames.paths[i]);
  free(frames.paths);
  free(frames.crops);
  free(picture);
  free(input);
  free(output);
  roto_session_free(session);
  roto_close(model);
}

/* What int8 is off by on the model's own example: twice that becomes its tolerance.  Where this machine has no int8 it is taken to be
 * a tenth of the largest output. */
static float find_tolerance(const unsigned char *bytes, size_t size, uint32_t outputs, float *difference) {
  roto_options options;
  roto_model *model;
  roto_session *session;
  size_t length;
  float largest = 0;
  const unsigned char *expected = roto_find_chunk(bytes, ROTO_CHUNK_TEST, &length) + ROTO_TEST_SIZE;
  for (uint32_t i = 0; i < outputs; ++i) {
    float value;
    memcpy(&value, expected + 4 * (size_t)i, sizeof value);
    largest = fmaxf(largest, fabsf(value));
  }
  memset(&options, 0, sizeof options);
  options.precision = ROTO_PRECISION_INT8;
  *difference = 0.05f * largest;
  if (roto_has_precision(ROTO_PRECISION_INT8) && !roto_open(bytes, size, &options, &model)) {
    if (!roto_session_create(model, NULL, &session)) {
      roto_selftest(session, difference);
      roto_session_free(session);
    }
    roto_close(model);
  }
  return fmaxf(2 * *difference, 1e-3f * largest + 1e-6f);
}

int quantize_run(const quantize_options *o) {
  char message[MESSAGE_SIZE];
  model_file file;
  calibration c;
  unsigned char *bytes = NULL, *first = NULL;
  size_t size, length;
  float difference;
  if (model_open(o->model, ROTO_ISA_AUTO, &file, message)) cli_fail(EXIT_MODEL, "%s", message);
  roto_find_chunk((const unsigned char *)file.data, ROTO_CHUNK_NETW, &length);
  c.count = (uint32_t)((length - ROTO_LIST_SIZE) / ROTO_NODE_SIZE);
  c.nodes = (histogram *)cli_alloc(c.count, sizeof *c.nodes);
  calibrate(o, &file, &c);
  float(*ranges)[2] = (float(*)[2])cli_alloc(c.count, sizeof *ranges);
  for (uint32_t i = 0; i < c.count; ++i) choose_range(&c.nodes[i], ranges[i]);
  ranges[0][0] = fminf(c.nodes[0].low, 0), ranges[0][1] = fmaxf(c.nodes[0].high, 0);

  roto_status status =
      roto_write_ranges((const unsigned char *)file.data, file.size, (const float(*)[2])ranges, c.count, 1, &first, &size);
  if (!status) {
    const float tolerance = find_tolerance(first, size, roto_get_info(file.model)->output_count, &difference);
    status = roto_write_ranges(first, size, (const float(*)[2])ranges, c.count, tolerance, &bytes, &size);
  }
  if (status) cli_fail(EXIT_FAILED, "%s: %s", o->model, roto_status_text(status));
  roto_model *check;
  if ((status = roto_open(bytes, size, NULL, &check)))
    cli_fail(EXIT_FAILED, "%s: written wrongly: %s", o->output, roto_status_text(status));
  roto_close(check);
  const int error = roto_write_file_atomic(o->output, bytes, size);
  if (error) cli_fail(EXIT_WRITE, "%s: it cannot be written: %s", o->output, strerror(error));
  if (o->json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", o->output);
    cJSON_AddNumberToObject(root, "nodes", c.count);
    cJSON_AddNumberToObject(root, "selftest_difference", (double)difference);
    json_print(root);
  } else {
    printf("%s: ranges of %u nodes; int8 is off by %.3g on the model's own example\n", o->output, c.count, (double)difference);
  }
  free(ranges);
  free(first);
  free(bytes);
  free(c.nodes);
  model_close(&file);
  return EXIT_DONE;
}
