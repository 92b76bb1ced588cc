/* The public functions: defaults, wrong arguments, memory that runs out at every allocation in turn, the caller's memory and
 * parallel loop, sampling geometry, and a dot in a frame found where it was drawn. */

#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "check.h"
#include "networks.h"

/* ---- a model whose answer is known ---- */

enum { MODEL_W = 32, MODEL_H = 24 };

/* Two heat maps, 40 times the red and the blue of the picture: the landmarks are the brightest red and blue spots. */
static net *dot_network(uint32_t per_point) {
  net *n = net_create(1, 0, MODEL_H, MODEL_W, 3);
  uint32_t maps = net_add(n, net_window(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 2 * per_point, 1, 1, 1, 0, 0, 0, 0), 0);
  float *weights = n->tensors[0];
  for (uint32_t i = 0; i < 3 * 2 * per_point; ++i) weights[i] = 0;
  weights[0] = 40;
  weights[2 * 2 * per_point + 1] = 40;
  roto_node_desc points = net_node(ROTO_OP_POINTS, ROTO_ACT_NONE, maps);
  points.channels_per_point = per_point;
  net_add(n, points, 0);
  net_finish(n, 2);
  for (int c = 0; c < 3; ++c) {
    n->desc.input_mean[c] = 0;
    n->desc.input_scale[c] = 1;
  }
  float *input = net_memory((size_t)MODEL_W * MODEL_H * 3 * sizeof *input);
  double *output, *bound;
  for (size_t i = 0; i < (size_t)MODEL_W * MODEL_H * 3; ++i) input[i] = (float)n->pixels[i] / 255.0f;
  net_interpret(n, input, &output, &bound);
  for (int i = 0; i < 6; ++i) n->output[i] = (float)output[i];
  n->desc.test_tolerance = 1e-3f;
  free(input);
  free(output);
  free(bound);
  return n;
}

/* Large enough that its steps are cut into several tasks. */
static net *deep_network(void) {
  net *n = net_create(7, 0, 64, 64, 3);
  uint32_t x = net_conv(n, ROTO_ACT_SWISH, 0, 24, 3, 2);
  x = net_mbconv(n, ROTO_ACT_SWISH, x, 4, 24, 3, 1, 6);
  x = net_mbconv(n, ROTO_ACT_SWISH, x, 4, 40, 5, 2, 6);
  net_dense(n, ROTO_ACT_NONE, x, 3 * 4);
  net_finish(n, 4);
  return n;
}

/* ---- opening ---- */

typedef struct counted {
  size_t calls, fail_at, live; /* fail_at: number of the call that fails, 0: none */
} counted;

static void *counted_alloc(void *user, size_t size) {
  counted *c = (counted *)user;
  if (++c->calls == c->fail_at) return NULL;
  ++c->live;
  unsigned char *block = (unsigned char *)malloc(size + 1);
  return block ? block + 1 : NULL; /* as badly aligned as the contract allows */
}

static void counted_free(void *user, void *block) {
  --((counted *)user)->live;
  free((unsigned char *)block - 1);
}

static const char *write_temporary(const void *bytes, size_t size) {
  static char path[] = "test_api_model.roto";
  CHECK(roto_write_file_atomic(path, bytes, size) == 0);
  return path;
}

static void open_takes_defaults(void) {
  net *n = deep_network();
  size_t size;
  unsigned char *bytes = net_write(n, &size), *shifted = net_memory(size + 1);
  roto_model *model, *other;
  roto_options options;
  memset(&options, 0, sizeof options);
  memcpy(shifted + 1, bytes, size);
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK);
  CHECK(roto_open(shifted + 1, size, &options, &other) == ROTO_OK); /* any alignment */
  const roto_info *info = roto_get_info(model);
  CHECK(strcmp(info->name, "test network") == 0 && strcmp(info->description, "made by tests/networks.h") == 0);
  CHECK(info->input_width == 64 && info->input_height == 64 && info->input_channels == 3);
  CHECK(info->landmark_count == 4 && info->output_count == 12 && info->part_count == 1 && info->shape_count == 1);
  CHECK(info->isa == roto_best_isa());
  CHECK(info->session_size == roto_session_size(model) && info->session_size > 0);
  CHECK(info->input_mean[1] == 0.25f && info->input_scale[2] == 4 && info->crop_margin == 1.4f);
  uint64_t parameters = 0, multiply_adds = 0;
  for (uint32_t i = 1; i < n->count; ++i) {
    const roto_node_desc *node = n->nodes + i;
    for (uint32_t slot = 0; slot < 4; ++slot)
      if (node->tensors[slot]) parameters += roto_tensor_count(n->nodes, i, slot);
    if (node->op == ROTO_OP_CONV || node->op == ROTO_OP_DEPTHWISE || node->op == ROTO_OP_DENSE)
      multiply_adds += roto_tensor_count(n->nodes, i, 0) * node->h * node->w;
  }
  CHECK(info->parameter_count == parameters);
  CHECK(info->multiply_adds == multiply_adds);

  roto_landmark landmark;
  roto_part part;
  roto_shape shape;
  CHECK(roto_get_landmark(model, 3, &landmark) == ROTO_OK && strcmp(landmark.name, "p3") == 0 && landmark.flip == 3);
  CHECK(roto_get_landmark(model, 4, &landmark) == ROTO_ERR_ARGUMENT && landmark.name == NULL);
  CHECK(roto_get_part(model, 0, &part) == ROTO_OK && strcmp(part.name, "part") == 0 && part.weight == 1);
  CHECK(roto_get_part(model, 1, &part) == ROTO_ERR_ARGUMENT && part.name == NULL);
  CHECK(roto_get_shape(model, 0, &shape) == ROTO_OK && strcmp(shape.name, "outline") == 0 && shape.closed == 1);
  CHECK(shape.vertex_count == 3 && shape.vertices[0] == 0 && shape.vertices[1] == -1 && shape.vertices[2] == 3);
  CHECK(roto_get_shape(model, 1, &shape) == ROTO_ERR_ARGUMENT && shape.name == NULL);

  float *input = net_input(n), a[12], b[12];
  roto_session *session, *other_session;
  CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
  CHECK(roto_session_create(other, NULL, &other_session) == ROTO_OK);
  CHECK(roto_infer(session, input, a) == ROTO_OK && roto_infer(other_session, input, b) == ROTO_OK);
  CHECK(memcmp(a, b, sizeof a) == 0);
  free(input);
  roto_session_free(session);
  roto_session_free(other_session);
  roto_close(model);
  roto_close(other);
  free(bytes);
  free(shifted);
  net_free(n);
}

static void open_refuses_what_is_wrong(void) {
  net *n = dot_network(1);
  size_t size;
  unsigned char *bytes = net_write(n, &size);
  roto_model *model = (roto_model *)bytes; /* anything but NULL: failures must clear it */
  counted c;
  roto_error error;
  roto_options options;
  memset(&c, 0, sizeof c);
  memset(&error, 0, sizeof error);
  memset(&options, 0, sizeof options);
  options.error = &error;
  CHECK(roto_open(NULL, size, &options, &model) == ROTO_ERR_ARGUMENT && model == NULL && error.status == ROTO_ERR_ARGUMENT);
  CHECK(roto_open(bytes, size, &options, NULL) == ROTO_ERR_ARGUMENT);
  options.allocator.alloc = counted_alloc; /* without its partner */
  CHECK(roto_open(bytes, size, &options, &model) == ROTO_ERR_ARGUMENT);
  options.allocator.alloc = NULL;
  error.rule = 99;
  CHECK(roto_open(bytes, size - 64, &options, &model) == ROTO_ERR_INVALID && model == NULL);
  CHECK(error.status == ROTO_ERR_INVALID && error.rule == ROTO_RULE_FILE_SIZE);
  bytes[0] ^= 1;
  CHECK(roto_open(bytes, size, &options, &model) == ROTO_ERR_NOT_ROTO && error.rule == ROTO_RULE_MAGIC);
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_ERR_NOT_ROTO); /* nowhere to say where */
  CHECK(roto_open(bytes, 0, NULL, &model) == ROTO_ERR_NOT_ROTO);
  bytes[0] ^= 1;

  CHECK(roto_open_file("no such folder/no such model.roto", &options, &model) == ROTO_ERR_FILE && model == NULL);
  CHECK(error.status == ROTO_ERR_FILE && error.rule == 0);
  CHECK(roto_open_file(NULL, NULL, &model) == ROTO_ERR_ARGUMENT);
  CHECK(roto_open_file(write_temporary(bytes, 0), &options, &model) == ROTO_ERR_NOT_ROTO && model == NULL);
  const char *path = write_temporary(bytes, size);
  CHECK(roto_open_file(path, &options, &model) == ROTO_OK);
  remove(path);

  roto_session *session = (roto_session *)bytes;
  roto_session_options session_options;
  memset(&session_options, 0, sizeof session_options);
  CHECK(roto_session_create(NULL, NULL, &session) == ROTO_ERR_ARGUMENT && session == NULL);
  CHECK(roto_session_create(model, NULL, NULL) == ROTO_ERR_ARGUMENT);
  session_options.allocator.free = counted_free;
  CHECK(roto_session_create(model, &session_options, &session) == ROTO_ERR_ARGUMENT && session == NULL);
  CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
  float value = 1, output[6];
  CHECK(roto_infer(NULL, &value, output) == ROTO_ERR_ARGUMENT);
  CHECK(roto_infer(session, NULL, output) == ROTO_ERR_ARGUMENT);
  CHECK(roto_infer(session, &value, NULL) == ROTO_ERR_ARGUMENT);
  CHECK(roto_selftest(NULL, &value) == ROTO_ERR_ARGUMENT && value == 0);

  unsigned char pixel[4] = {1, 2, 3, 4};
  const roto_image good = {pixel, 1, 1, 4, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  const roto_rect crop = {0, 0, 1, 1},
                  crops[] = {{0, 0, 0, 1}, {0, 0, 1, -1}, {0, NAN, 1, 1}, {INFINITY, 0, 1, 1}, {0, 0, 1e30f, 1}};
  roto_point points[2];
  CHECK(roto_find_landmarks(session, &good, crop, points) == ROTO_OK);
  CHECK(roto_find_landmarks(NULL, &good, crop, points) == ROTO_ERR_ARGUMENT);
  CHECK(roto_find_landmarks(session, NULL, crop, points) == ROTO_ERR_ARGUMENT);
  CHECK(roto_find_landmarks(session, &good, crop, NULL) == ROTO_ERR_ARGUMENT);
  for (size_t i = 0; i < sizeof crops / sizeof *crops; ++i)
    CHECK(roto_find_landmarks(session, &good, crops[i], points) == ROTO_ERR_ARGUMENT, "crop %zu", i);
  roto_rect rough = {0, 0, 1, 1};
  CHECK(roto_find_landmarks_near(session, &good, NULL, 0, points) == ROTO_ERR_ARGUMENT);
  CHECK(roto_find_landmarks_near(NULL, &good, &rough, 0, points) == ROTO_ERR_ARGUMENT);
  CHECK(roto_find_landmarks_near(session, &good, &rough, 1, points) == ROTO_OK);
  CHECK(memcmp(&rough, &crop, sizeof crop) == 0);
  CHECK(roto_find_landmarks_near(session, &good, &rough, 0, points) == ROTO_OK && rough.width > 0);
  rough.width = -1;
  CHECK(roto_find_landmarks_near(session, &good, &rough, 0, points) == ROTO_ERR_ARGUMENT && rough.width == -1);
  CHECK(roto_fit_crop(NULL, points).width == 0 && roto_fit_crop(session, NULL).width == 0);
  points[0].x = 10, points[0].y = 40, points[1].x = 30, points[1].y = 30;
  rough = roto_fit_crop(session, points); /* longer side 20 around (20, 35) */
  CHECK(fabsf(rough.width - 20 * roto_get_info(model)->crop_margin) < 1e-4f && rough.height == rough.width);
  CHECK(fabsf(rough.x + 0.5f * rough.width - 20) < 1e-4f && fabsf(rough.y + 0.5f * rough.height - 35) < 1e-4f);
  for (int i = 0; i < 6; ++i) {
    roto_image bad = good;
    if (i == 0) bad.pixels = NULL;
    if (i == 1) bad.width = 0;
    if (i == 2) bad.height = 0;
    if (i == 3) bad.channels = 0;
    if (i == 4) bad.channels = 5;
    if (i == 5) bad.type = (roto_pixel)3;
    CHECK(roto_find_landmarks(session, &bad, crop, points) == ROTO_ERR_ARGUMENT, "image %d", i);
  }
  roto_session_free(session);
  roto_session_free(NULL);
  roto_close(model);
  roto_close(NULL);
  CHECK(roto_get_info(NULL) == NULL && roto_session_size(NULL) == 0);
  free(bytes);
  net_free(n);
}

static void open_survives_lack_of_memory(void) {
  net *n = dot_network(3);
  size_t size;
  unsigned char *bytes = net_write(n, &size);
  const char *path = write_temporary(bytes, size);
  for (int from_file = 0; from_file <= 1; ++from_file) {
    for (size_t fail_at = 1;; ++fail_at) {
      counted c = {0, fail_at, 0};
      roto_model *model;
      roto_session *session = NULL;
      roto_error error;
      roto_options options;
      roto_session_options session_options;
      memset(&error, 0, sizeof error);
      memset(&options, 0, sizeof options);
      memset(&session_options, 0, sizeof session_options);
      options.error = &error;
      options.allocator.alloc = counted_alloc;
      options.allocator.free = counted_free;
      options.allocator.user = &c;
      session_options.allocator = options.allocator;
      roto_status status = from_file ? roto_open_file(path, &options, &model) : roto_open(bytes, size, &options, &model);
      CHECK(status == ROTO_OK || (status == ROTO_ERR_MEMORY && model == NULL && error.status == status));
      if (!status) {
        size_t opened = c.calls;
        status = roto_session_create(model, &session_options, &session);
        CHECK(status == ROTO_OK || (status == ROTO_ERR_MEMORY && session == NULL));
        CHECK(c.calls == opened + 1, "a session is one block");
        if (!status) {
          float difference;
          size_t calls = c.calls;
          CHECK(roto_selftest(session, &difference) == ROTO_OK && difference < 1e-4f);
          CHECK(c.calls == calls, "running allocates nothing");
          roto_session_free(session);
        }
        roto_close(model);
      }
      CHECK(c.live == 0, "allocation %zu fails: %zu blocks leak", fail_at, c.live);
      if (c.calls < fail_at) break; /* it needed fewer: all have failed once */
      CHECK(status == ROTO_ERR_MEMORY, "allocation %zu fails and nobody notices", fail_at);
    }
  }
  remove(path);
  free(bytes);
  net_free(n);
}

/* ---- sessions ---- */

static void count_and_run(void *user, size_t count, roto_task task, void *context) {
  *(size_t *)user += count;
  for (size_t i = count; i > 0; --i) task(context, i - 1);
}

static void session_uses_what_the_caller_gives(void) {
  net *n = deep_network();
  size_t size, tasks = 0;
  unsigned char *bytes = net_write(n, &size);
  float *input = net_input(n), expected[12], got[12];
  roto_model *model;
  roto_session *session;
  roto_session_options options;
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK);
  CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
  CHECK(roto_infer(session, input, expected) == ROTO_OK);
  roto_session_free(session);

  size_t needed = roto_session_size(model);
  unsigned char *block = net_memory(needed + 256);
  unsigned char *aligned = block + (64 - (uintptr_t)block % 64) % 64;
  memset(block, 0xa5, needed + 256);
  memset(&options, 0, sizeof options);
  options.memory = aligned;
  options.memory_size = needed - 1;
  CHECK(roto_session_create(model, &options, &session) == ROTO_ERR_MEMORY && session == NULL);
  options.memory_size = needed;
  options.memory = aligned + 16;
  CHECK(roto_session_create(model, &options, &session) == ROTO_ERR_ARGUMENT && session == NULL);
  options.memory = aligned;
  options.parallel.run = count_and_run;
  options.parallel.user = &tasks;
  CHECK(roto_session_create(model, &options, &session) == ROTO_OK && (void *)session == (void *)aligned);
  CHECK(roto_infer(session, input, got) == ROTO_OK);
  CHECK(memcmp(got, expected, sizeof got) == 0);
  CHECK(tasks > 10, "only %zu tasks came through the caller's loop", tasks);
  int beyond = 0;
  for (unsigned char *p = aligned + needed; p < block + needed + 256; ++p) beyond += *p != 0xa5;
  CHECK(beyond == 0, "%d bytes behind the session were written", beyond);
  roto_session_free(session); /* the block is ours: nothing to free */

  tasks = 0;
  options.parallel.threads = 1;
  CHECK(roto_session_create(model, &options, &session) == ROTO_OK);
  CHECK(roto_infer(session, input, got) == ROTO_OK && memcmp(got, expected, sizeof got) == 0);
  CHECK(tasks == 0, "threads = 1 must not use the caller's loop");
  roto_session_free(session);
  free(block);
  roto_close(model);
  free(input);
  free(bytes);
  net_free(n);
}

/* A clock that counts its readings: between the two around a step lies one second. */
typedef struct told {
  double readings, seconds;
  uint64_t multiply_adds, steps, bytes;
  uint32_t last_node;
} told;

static double count_readings(void *user) {
  return ((told *)user)->readings++;
}

static void add_up(void *user, const roto_step *step) {
  told *t = (told *)user;
  ++t->steps;
  t->seconds += step->seconds;
  t->multiply_adds += step->multiply_adds;
  t->bytes += step->value_bytes + step->weight_bytes;
  CHECK(step->kind && *step->kind && step->first_node <= step->last_node && step->value_bytes);
  CHECK(step->last_node > t->last_node, "chains run where their last node stands");
  t->last_node = step->last_node;
}

static void profile_is_told_of_each_step(void) {
  net *n = deep_network();
  size_t size;
  unsigned char *bytes = net_write(n, &size);
  float *input = net_input(n), expected[12], got[12];
  roto_model *model;
  roto_session *session;
  roto_session_options options;
  told t;
  memset(&t, 0, sizeof t);
  memset(&options, 0, sizeof options);
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK);
  CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
  CHECK(roto_infer(session, input, expected) == ROTO_OK);
  roto_session_free(session);
  options.profile.clock = count_readings;
  CHECK(roto_session_create(model, &options, &session) == ROTO_ERR_ARGUMENT && session == NULL);
  options.profile.step = add_up;
  options.profile.user = &t;
  CHECK(roto_session_create(model, &options, &session) == ROTO_OK);
  CHECK(roto_infer(session, input, got) == ROTO_OK && memcmp(got, expected, sizeof got) == 0);
  CHECK(t.steps > 3 && t.seconds == (double)t.steps && t.readings == 2 * (double)t.steps);
  CHECK(t.multiply_adds == roto_get_info(model)->multiply_adds, "%llu, expected %llu", (unsigned long long)t.multiply_adds,
        (unsigned long long)roto_get_info(model)->multiply_adds);
  CHECK(t.bytes >= 4 * roto_get_info(model)->parameter_count, "every weight is read");
  roto_session_free(session);
  roto_close(model);
  free(input);
  free(bytes);
  net_free(n);
}

static void selftest_sees_differences(void) {
  net *n = dot_network(1);
  n->output[4] += 0.01f;
  size_t size;
  unsigned char *bytes = net_write(n, &size);
  roto_model *model;
  roto_session *session = NULL;
  float difference;
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK && roto_session_create(model, NULL, &session) == ROTO_OK);
  CHECK(roto_selftest(session, &difference) == ROTO_ERR_SELFTEST);
  CHECK(fabs(difference - 0.01) < 1e-4, "difference is %g, expected 0.01", difference);
  CHECK(roto_selftest(session, NULL) == ROTO_ERR_SELFTEST);
  roto_session_free(session);
  roto_close(model);
  free(bytes);
  net_free(n);
}

/* ---- sampling ---- */

enum { FRAME_W = 13, FRAME_H = 9 };

static void expect(const float *out, size_t index, double r, double g, double b, double tolerance, const char *what) {
  const float *p = out + 3 * index;
  CHECK(fabs(p[0] - r) <= tolerance && fabs(p[1] - g) <= tolerance && fabs(p[2] - b) <= tolerance,
        "%s: pixel %zu is %g %g %g, expected %g %g %g", what, index, p[0], p[1], p[2], r, g, b);
}

/* sRGB's curves as the standard writes them. */
static double encode(double v) {
  return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}
static double decode(double v) {
  return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

/* Light of a value, by the formulas of the makers written as they print them: a, b, c, d, e, f of Log C; codes of 10 bits. */
static double light(int transfer, double v) {
  const double a = 5.555556, b = 0.052272, c = 0.247190, d = 0.385537, e = 5.367655, f = 0.092809, cut = 0.010591;
  double black = pow(10, (95 - 685) / 300.0);
  switch (transfer) {
    case ROTO_TRANSFER_SRGB:
      return decode(v);
    case ROTO_TRANSFER_REC709:
      return v < 0.081 ? v / 4.5 : pow((v + 0.099) / 1.099, 1 / 0.45);
    case ROTO_TRANSFER_LOGC3:
      return v > e * cut + f ? (pow(10, (v - d) / c) - b) / a : (v - f) / e;
    case ROTO_TRANSFER_SLOG3:
      return v >= 171.2102946929 / 1023 ? pow(10, (v * 1023 - 420) / 261.5) * (0.18 + 0.01) - 0.01
                                        : (v * 1023 - 95) * 0.01125 / (171.2102946929 - 95);
    case ROTO_TRANSFER_CINEON:
      return (pow(10, (v * 1023 - 685) / 300) - black) / (1 - black);
    default:
      return v;
  }
}
static double convert(int from, int to, double v) {
  if (from == to || from == ROTO_TRANSFER_RAW) return v;
  v = fmin(fmax(light(from, v), 0), 1);
  return to == ROTO_TRANSFER_SRGB ? encode(v) : v;
}

/* Values whose light the makers publish: grey of 18 %, black, white. */
static void curves_hit_published_values(void) {
  const struct {
    roto_transfer transfer;
    double value, light;
  } known[] = {{ROTO_TRANSFER_LOGC3, 0.391007, 0.18},       {ROTO_TRANSFER_LOGC3, 0.092809, 0},
               {ROTO_TRANSFER_SLOG3, 420 / 1023.0, 0.18},   {ROTO_TRANSFER_SLOG3, 95 / 1023.0, 0},
               {ROTO_TRANSFER_SLOG3, 598 / 1023.0, 0.90},   {ROTO_TRANSFER_CINEON, 685 / 1023.0, 1},
               {ROTO_TRANSFER_CINEON, 95 / 1023.0, 0},      {ROTO_TRANSFER_REC709, 0.409008, 0.18},
               {ROTO_TRANSFER_SRGB, 118 / 255.0, 0.181164}, {ROTO_TRANSFER_RAW, 0.25, 0.25}};
  for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
    const float value = (float)known[i].value, identity[6] = {1, 0, 0, 0, 1, 0};
    const roto_image image = {&value, 1, 1, 1, ROTO_PIXEL_F32, known[i].transfer, 0};
    float out[3];
    roto_sample(&image, identity, ROTO_TRANSFER_LINEAR, 1, 1, out);
    CHECK(fabs((double)out[0] - known[i].light) < 1e-3, "transfer %d: %g is %g, expected %g", (int)known[i].transfer,
          known[i].value, (double)out[0], known[i].light);
  }
}

static void sample_copies_every_kind_of_pixel(void) {
  static const char *names[] = {"u8", "u16", "f32"};
  const float identity[6] = {1, 0, 0, 0, 1, 0};
  float out[FRAME_W * FRAME_H * 3];
  for (int type = 0; type < 3; ++type) {
    for (uint32_t channels = 1; channels <= 4; ++channels) {
      for (int from = 0; from <= ROTO_TRANSFER_RAW; ++from) {
        for (int to = 0; to < 2; ++to) {
          unsigned char pixels[FRAME_H * (FRAME_W * 4 * 4 + 5)];
          size_t bytes = (size_t)1 << type, row = FRAME_W * channels * bytes + 5; /* rows at odd addresses */
          double expected[FRAME_H * FRAME_W * 4];
          for (uint32_t i = 0; i < FRAME_H * FRAME_W * channels; ++i) {
            uint32_t k = (i * 7919 + 13) % 65536;
            unsigned char *p = pixels + i / (FRAME_W * channels) * row + i % (FRAME_W * channels) * bytes;
            uint16_t word = (uint16_t)k;
            float real = (float)k / 50000 - 0.1f; /* also below 0 and above 1 */
            double v = type == 0 ? (k & 255) / 255.0 : type == 1 ? word / 65535.0 : fmin(fmax(real, 0), 1);
            if (type == 0) *p = (unsigned char)k;
            if (type == 1) memcpy(p, &word, 2);
            if (type == 2) memcpy(p, &real, 4);
            expected[i] = convert(from, to, v);
          }
          roto_image image = {pixels, FRAME_W, FRAME_H, channels, (roto_pixel)type, (roto_transfer)from, row};
          roto_sample(&image, identity, (roto_transfer)to, FRAME_W, FRAME_H, out);
          for (uint32_t i = 0; i < FRAME_W * FRAME_H; ++i) {
            const double *e = expected + i * channels;
            int color = channels >= 3;
            double tolerance = from == to || from == ROTO_TRANSFER_RAW ? 1e-6 : from < ROTO_TRANSFER_REC709 ? 4e-5 : 3e-4;
            expect(out, i, e[0], e[color ? 1 : 0], e[color ? 2 : 0], tolerance, names[type]);
          }
        }
      }
    }
  }
}

static void sample_keeps_geometry(void) {
  /* Red rises by 1/16 a column, green by 1/16 a row: bilinear sampling must return the position itself. */
  float pixels[FRAME_H][FRAME_W][3], out[40 * 40 * 3];
  for (int y = 0; y < FRAME_H; ++y) {
    for (int x = 0; x < FRAME_W; ++x) {
      pixels[y][x][0] = (float)x / 16;
      pixels[y][x][1] = (float)y / 16;
      pixels[y][x][2] = 0.5f;
    }
  }
  const roto_image image = {pixels, FRAME_W, FRAME_H, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_SRGB, 0};
  const float maps[][6] = {{1, 0, 0, 0, 1, 0},           {0.25f, 0, 3, 0, 0.25f, 2}, {0.3f, -0.4f, 6, 0.4f, 0.3f, 1},
                           {0, 1, 0.5f, -1, 0, 8.5f},    {2.5f, 0, -4, 0, 1.7f, -3}, {3, 0.5f, -30, -0.5f, 3, -20},
                           {-0.5f, 0, 11, 0, 0.5f, 2.2f}};
  for (size_t k = 0; k < sizeof maps / sizeof *maps; ++k) {
    const float *m = maps[k];
    double reach = 0.5 * (fabs(m[0]) + fabs(m[1]) + fabs(m[3]) + fabs(m[4])) + 0.5;
    roto_sample(&image, m, ROTO_TRANSFER_SRGB, 40, 40, out);
    for (int v = 0; v < 40; ++v) {
      for (int u = 0; u < 40; ++u) {
        double x = m[0] * (u + 0.5) + m[1] * (v + 0.5) + m[2] - 0.5, y = m[3] * (u + 0.5) + m[4] * (v + 0.5) + m[5] - 0.5;
        size_t at = (size_t)(v * 40 + u);
        /* Where the averaged area crosses an edge the ramp bends; what lies wholly outside repeats the edge. */
        int bends = (fabs(x) < reach || fabs(x - FRAME_W + 1) < reach || fabs(y) < reach || fabs(y - FRAME_H + 1) < reach);
        int shrinks = reach > 1.6;
        if (bends && shrinks) continue;
        x = fmin(fmax(x, 0), FRAME_W - 1);
        y = fmin(fmax(y, 0), FRAME_H - 1);
        expect(out, at, x / 16, y / 16, 0.5, 2e-6, "ramp");
      }
    }
  }
}

static void sample_does_not_alias(void) {
  enum { SIDE = 96 };
  static unsigned char pixels[SIDE][SIDE];
  for (int y = 0; y < SIDE; ++y)
    for (int x = 0; x < SIDE; ++x) pixels[y][x] = (x + y) % 2 ? 255 : 0;
  const roto_image image = {pixels, SIDE, SIDE, 1, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  float out[16 * 16 * 3];
  for (int step = 2; step <= 6; ++step) { /* a checkerboard must become grey, whatever the phase */
    const float map[6] = {(float)step, 0, 0.25f, 0, (float)step, 0.4f};
    roto_sample(&image, map, ROTO_TRANSFER_SRGB, 15, 15, out);
    for (size_t i = 0; i < 15 * 15; ++i) expect(out, i, 0.5, 0.5, 0.5, 0.13, "checkerboard");
  }
}

static void sample_stays_inside(void) {
  /* Nothing to compare: under the sanitizers this finds reads outside, whatever the map. */
  unsigned char *pixels = net_memory(3 * 2 * 3);
  memset(pixels, 51, 3 * 2 * 3);
  const roto_image image = {pixels, 3, 2, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  const float wild[] = {0, -1, 3e9f, -3e9f, 1e38f, 2147483520.0f, NAN, INFINITY, -INFINITY, 1e-40f};
  float out[5 * 4 * 3];
  size_t count = sizeof wild / sizeof *wild;
  for (size_t i = 0; i < count * count; ++i) {
    const float map[6] = {wild[i % count],       wild[i / count],       wild[(i + 3) % count],
                          wild[(i * 7) % count], wild[(i * 3) % count], wild[(i + 5) % count]};
    roto_sample(&image, map, ROTO_TRANSFER_SRGB, 5, 4, out);
    for (size_t j = 0; j < 5 * 4; ++j) expect(out, j, 0.2, 0.2, 0.2, 1e-6, "wild map");
  }
  const roto_image none = {NULL, 3, 2, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  const float identity[6] = {1, 0, 0, 0, 1, 0};
  roto_sample(&none, identity, ROTO_TRANSFER_SRGB, 2, 2, out);
  for (size_t j = 0; j < 4; ++j) expect(out, j, 0, 0, 0, 0, "no picture");
  free(pixels);
}

static void crop_map_covers_the_rectangle(void) {
  const roto_rect crop = {10, 20, 60, 30};
  float m[6];
  roto_crop_map(crop, 32, 24, m); /* 60 over 32 is more than 30 over 24 */
  CHECK(m[0] == 1.875f && m[4] == 1.875f && m[1] == 0 && m[3] == 0);
  CHECK(fabs(m[2] - 10) < 1e-5 && fabs(m[5] - (35 - 12 * 1.875)) < 1e-5);
}

/* ---- landmarks ---- */

static void landmarks_are_where_they_were_drawn(void) {
  enum { W = 200, H = 120 };
  const double red_x = 93.3, red_y = 51.8, blue_x = 121.6, blue_y = 74.2, radius = 16;
  static float frame[H][W][3];
  for (int y = 0; y < H; ++y) {
    for (int x = 0; x < W; ++x) {
      double dx = x + 0.5 - red_x, dy = y + 0.5 - red_y, ex = x + 0.5 - blue_x, ey = y + 0.5 - blue_y;
      frame[y][x][0] = (float)exp(-(dx * dx + dy * dy) / (2 * radius * radius));
      frame[y][x][1] = 0;
      frame[y][x][2] = (float)exp(-(ex * ex + ey * ey) / (2 * radius * radius));
    }
  }
  const roto_image image = {frame, W, H, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_SRGB, 0};
  const roto_rect crop = {70, 25, 64, 72}; /* grown to 96 x 72 by the network's aspect */
  for (uint32_t per_point = 1; per_point <= 3; per_point += 2) {
    net *n = dot_network(per_point);
    size_t size, tasks = 0;
    unsigned char *bytes = net_write(n, &size);
    roto_model *model;
    roto_session *session = NULL;
    roto_session_options options;
    roto_point points[2], again[2];
    float outputs[6], *input = net_memory((size_t)MODEL_W * MODEL_H * 3 * sizeof *input), map[6];
    memset(&options, 0, sizeof options);
    options.parallel.run = count_and_run;
    options.parallel.user = &tasks;
    CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK && roto_session_create(model, &options, &session) == ROTO_OK);
    CHECK(roto_find_landmarks(session, &image, crop, points) == ROTO_OK);
    CHECK(fabs(points[0].x - red_x) < 0.05 && fabs(points[0].y - red_y) < 0.05, "red dot at %g, %g, drawn at %g, %g",
          points[0].x, points[0].y, red_x, red_y);
    CHECK(fabs(points[1].x - blue_x) < 0.05 && fabs(points[1].y - blue_y) < 0.05, "blue dot at %g, %g, drawn at %g, %g",
          points[1].x, points[1].y, blue_x, blue_y);

    /* The same by hand: crop, network, calibration of networks.h (0 -> 0.01, 0.1 -> 0.03, 0.2 -> 0.11). */
    roto_crop_map(crop, MODEL_W, MODEL_H, map);
    roto_sample(&image, map, ROTO_TRANSFER_SRGB, MODEL_W, MODEL_H, input);
    CHECK(roto_infer(session, input, outputs) == ROTO_OK);
    for (int i = 0; i < 2; ++i) {
      double spread = outputs[3 * i + 2], error = 96 * (0.01 + spread * 0.2);
      CHECK(spread > 0.001 && spread < 0.1);
      CHECK(fabs(points[i].error - error) < 1e-3, "error %g, expected %g", points[i].error, error);
      CHECK(fabs(points[i].confidence - 1 / (1 + error / 0.96)) < 1e-4);
    }
    CHECK(roto_find_landmarks(session, &image, crop, again) == ROTO_OK && memcmp(points, again, sizeof points) == 0);
    roto_session_free(session);
    roto_close(model);
    free(bytes);
    free(input);
    net_free(n);
  }
}

/* What a session of several views finds is the mean of what the bare network finds in maps made here: the crop as it is, 1.08 and 0.93
 * times as large and turned by 5 degrees each way, each also mirrored with twins exchanged, where there are twins; the expected
 * error knows how far they are apart. */
static void views_are_averaged(int twins) {
  enum { W = 80, H = 60, MOST = 10 };
  static const double scale[5] = {1, 1.08, 0.93, 1, 1}, turn[5] = {0, 0, 0, -5, 5};
  static unsigned char pixels[H][W][3];
  const uint32_t flip[4] = {twins ? 1u : 0u, twins ? 0u : 1u, 2, 3};
  const roto_rect crop = {10, 5, 50, 40};
  const int most = twins ? 10 : 5;
  net *n = deep_network();
  for (uint32_t i = 0; i < 4; ++i) n->landmark[i].flip = flip[i];
  size_t size;
  unsigned char *bytes = net_write(n, &size);
  roto_model *model;
  roto_session *plain;
  roto_session_options options;
  roto_point found[4];
  double x[4][MOST], y[4][MOST], own[4][MOST];
  memset(&options, 0, sizeof options);
  for (int j = 0; j < H; ++j)
    for (int i = 0; i < W; ++i)
      for (int c = 0; c < 3; ++c) pixels[j][i][c] = (unsigned char)((i * 7 + j * 13 + c * 31 + i * j) % 251);
  const roto_image image = {pixels, W, H, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK && roto_session_create(model, NULL, &plain) == ROTO_OK);
  const roto_info *info = roto_get_info(model);
  const uint32_t w = info->input_width, h = info->input_height, floats = info->output_count / 4;
  float straight[6], *input = net_memory((size_t)w * h * 3 * sizeof *input),
                     *out = net_memory(info->output_count * sizeof *out);
  roto_crop_map(crop, w, h, straight);
  for (int v = 0; v < most; ++v) {
    int mirrored = twins && v % 2, k = twins ? v / 2 : v;
    double angle = turn[k] * 3.14159265358979 / 180, side = (double)straight[0] * scale[k], sign = mirrored ? -1 : 1;
    float map[6] = {(float)(sign * side * cos(angle)), (float)(-side * sin(angle)), 0,
                    (float)(sign * side * sin(angle)), (float)(side * cos(angle)),  0};
    map[2] = crop.x + crop.width / 2 - map[0] * (float)w / 2 - map[1] * (float)h / 2;
    map[5] = crop.y + crop.height / 2 - map[3] * (float)w / 2 - map[4] * (float)h / 2;
    roto_sample(&image, map, ROTO_TRANSFER_SRGB, w, h, input);
    for (size_t i = 0; i < (size_t)w * h * 3; ++i) input[i] = (input[i] - info->input_mean[i % 3]) * info->input_scale[i % 3];
    CHECK(roto_infer(plain, input, out) == ROTO_OK);
    for (int i = 0; i < 4; ++i) {
      const float *at = out + floats * (mirrored ? flip[i] : (uint32_t)i);
      double a = (double)(at[0] * (float)w), b = (double)(at[1] * (float)h);
      x[i][v] = (double)map[0] * a + (double)map[1] * b + (double)map[2];
      y[i][v] = (double)map[3] * a + (double)map[4] * b + (double)map[5];
      double spread = fmin(fmax((double)at[2], 0), 0.2); /* calibration of networks.h: 0 -> 0.01, 0.1 -> 0.03, 0.2 -> 0.11 */
      own[i][v] = (double)crop.width * (spread < 0.1 ? 0.01 + spread * 0.2 : 0.03 + (spread - 0.1) * 0.8);
    }
  }
  for (options.views = 0; options.views <= MOST + 1; ++options.views) {
    roto_session *session;
    const int count = options.views < 1 ? 1 : options.views < most ? options.views : most;
    double moved = 0;
    CHECK(roto_session_create(model, &options, &session) == ROTO_OK);
    CHECK(roto_find_landmarks(session, &image, crop, found) == ROTO_OK);
    for (int i = 0; i < 4; ++i) {
      double mx = 0, my = 0, me = 0, apart = 0;
      for (int v = 0; v < count; ++v) mx += x[i][v] / count, my += y[i][v] / count, me += own[i][v] / count;
      for (int v = 0; v < count; ++v) apart += pow(x[i][v] - mx, 2) + pow(y[i][v] - my, 2);
      double error = sqrt((me * me + 3 * apart) / (1 + 1.5 * (count - 1)));
      CHECK(fabs((double)found[i].x - mx) < 2e-3 && fabs((double)found[i].y - my) < 2e-3,
            "%d views, landmark %d: %g, %g, expected %g, %g", options.views, i, (double)found[i].x, (double)found[i].y, mx, my);
      CHECK(fabs((double)found[i].error - error) < 2e-3, "%d views, landmark %d: error %g, expected %g", options.views, i,
            (double)found[i].error, error);
      moved = fmax(moved, hypot((double)found[i].x - x[i][0], (double)found[i].y - y[i][0]));
    }
    CHECK(count == 1 ? moved < 2e-3 : moved > 0.01, "%d views move the points by %g", options.views, moved);
    roto_session_free(session);
  }
  roto_session_free(plain);
  roto_close(model);
  free(input);
  free(out);
  free(bytes);
  net_free(n);
}

/* ---- the second look ---- */

static roto_model *open_example(const char *name, unsigned char **bytes, size_t *size) {
  roto_model *model = NULL;
  FILE *in = fopen(name, "rb");
  *bytes = (unsigned char *)malloc(1 << 20);
  *size = in && *bytes ? fread(*bytes, 1, 1 << 20, in) : 0;
  if (in) fclose(in);
  CHECK(roto_open(*bytes, *size, NULL, &model) == ROTO_OK);
  return model;
}

static roto_session *session_of(const roto_model *model, float aspect) {
  roto_session_options options;
  roto_session *session = NULL;
  memset(&options, 0, sizeof options);
  options.pixel_aspect = aspect;
  CHECK(roto_session_create(model, &options, &session) == ROTO_OK);
  return session;
}

/* valid/looks.roto is valid/shapes.roto with a second look: what it finds is put together here from the two networks' own
 * answers, as SPEC.md says. */
static void second_look_joins(float aspect, uint32_t width, uint32_t height, roto_rect crop) {
  enum { N = 6 };
  static const uint32_t looks[N] = {0, 0, 1, 0, ROTO_NONE, 0};
  const size_t values = (size_t)width * height * 3;
  unsigned char *bytes, *once_bytes, *pixels = (unsigned char *)malloc(values);
  size_t size, once_size, length;
  roto_image frame = {pixels, width, height, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  roto_point found[N], first[N], again[N];
  if (!CHECK(pixels != NULL)) return;
  for (size_t i = 0; i < values; ++i) pixels[i] = (unsigned char)(i * 2654435761u >> 13);
  roto_model *model = open_example("model_format/valid/looks.roto", &bytes, &size), *second = NULL;
  roto_model *once = open_example("model_format/valid/shapes.roto", &once_bytes, &once_size);
  const unsigned char *chunk = roto_find_chunk(bytes, ROTO_CHUNK_LOOK, &length);
  CHECK(roto_open(chunk + 64, length - 64, NULL, &second) == ROTO_OK);
  const roto_info *info = roto_get_info(model);
  CHECK(info->look_count == 2 && info->second && info->second->landmark_count == N);
  CHECK(roto_get_info(once)->look_count == 0 && !roto_get_info(once)->second);
  roto_session *session = session_of(model, aspect), *first_session = session_of(once, aspect);
  roto_session *second_session = session_of(second, aspect);
  CHECK(roto_find_landmarks(session, &frame, crop, found) == ROTO_OK);
  CHECK(roto_find_landmarks(first_session, &frame, crop, first) == ROTO_OK);

  float all_left = INFINITY, all_right = -INFINITY, all_top = INFINITY, all_bottom = -INFINITY;
  for (int i = 0; i < N; ++i) {
    all_left = fminf(all_left, first[i].x), all_right = fmaxf(all_right, first[i].x);
    all_top = fminf(all_top, first[i].y), all_bottom = fmaxf(all_bottom, first[i].y);
  }
  float least = fmaxf((all_right - all_left) * aspect, all_bottom - all_top) / 8;
  for (uint32_t look = 0; look < 2; ++look) {
    float left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int i = 0; i < N; ++i) {
      if (looks[i] != look) continue;
      left = fminf(left, first[i].x), right = fmaxf(right, first[i].x);
      top = fminf(top, first[i].y), bottom = fmaxf(bottom, first[i].y);
    }
    float side = 1.5f * fmaxf(fmaxf((right - left) * aspect, bottom - top), least);
    roto_rect close = {0.5f * (left + right - side / aspect), 0.5f * (top + bottom - side), side / aspect, side};
    CHECK(roto_find_landmarks(second_session, &frame, close, again) == ROTO_OK);
    for (int i = 0; i < N; ++i) {
      if (looks[i] != look) continue;
      double e = (double)first[i].error, f = (double)again[i].error, share = e * e / (e * e + f * f);
      CHECK(fabs((double)found[i].x - ((double)first[i].x * (1 - share) + (double)again[i].x * share)) < 1e-3);
      CHECK(fabs((double)found[i].y - ((double)first[i].y * (1 - share) + (double)again[i].y * share)) < 1e-3);
      CHECK(fabs((double)found[i].error - (e * (1 - share) + f * share)) < 1e-3 * e);
    }
  }
  CHECK(memcmp(&found[4], &first[4], 2 * sizeof(float)) == 0); /* seen once */

  float difference = 1;
  CHECK(roto_selftest(session, &difference) == ROTO_OK && difference < 1e-4f);
  roto_session_free(session);
  roto_session_free(first_session);
  roto_session_free(second_session);
  roto_close(model);
  roto_close(once);
  roto_close(second);
  free(bytes);
  free(once_bytes);
  free(pixels);
}

int main(void) {
  open_takes_defaults();
  open_refuses_what_is_wrong();
  open_survives_lack_of_memory();
  session_uses_what_the_caller_gives();
  profile_is_told_of_each_step();
  selftest_sees_differences();
  curves_hit_published_values();
  sample_copies_every_kind_of_pixel();
  sample_keeps_geometry();
  sample_does_not_alias();
  sample_stays_inside();
  crop_map_covers_the_rectangle();
  landmarks_are_where_they_were_drawn();
  views_are_averaged(1);
  views_are_averaged(0);
  const roto_rect small = {10, 5, 30, 25}, large = {700, 300, 900, 900};
  second_look_joins(1, 60, 40, small);
  second_look_joins(2, 60, 40, small);
  second_look_joins(1, 2348, 1566, large); /* the frame is not reduced before either look */
  return check_end("api");
}
