/* Models and sessions: the public functions that open a model, describe it and run it.
 *
 * A model is three blocks: itself, its plan's steps, its packed weights; the file's bytes stay where the caller has them.  One that
 * looks twice holds the model of the second look, and both run in one workspace, one after the other.  A session is one block, the struct followed by the workspace, so that a caller can provide it and run without any allocation.
 *
 * From a crop to landmarks: the crop is sampled and normalised row by row into the workspace, the network runs, its points go
 * back through the map of the sampling, and the calibration turns each spread into an expected error.  The second look does the
 * same for a few landmarks at a time, in a crop around where the first one found them, and so in more of the plate's own
 * detail.  In the end landmarks go to where the plate shows their contours, and where they lie together as they can. */

#ifndef ROTOI_SESSION
#define ROTOI_SESSION

#ifndef ROTO_NO_STDIO
#include <stdio.h>
#endif
#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "select.c"
#include "format.c"
#include "plan.c"
#include "exec.c"
#include "image.c"
#include "shapes.c"
#include "bezier.c" /* rotoi_sqrt */
#include "distribution.c"
#include "contours.c"

struct roto_model {
  rotoi_file file;
  rotoi_plan plan;
  rotoi_shapes shapes;
  roto_info info;
  roto_allocator allocator;
  roto_model *second;  /* the model of the second look, or NULL */
  int32_t *vertices;   /* of all shapes */
  unsigned char *data; /* the file, if it is ours to free */
};

struct roto_session {
  const roto_model *model;
  roto_parallel parallel;
  roto_profile profile;
  roto_allocator allocator;
  float pixel_aspect;
  int views; /* 1 or more */
  int twins; /* mirrored views are of use */
  int owned; /* the block is ours to free */
  unsigned char *values;
  int network_only;
  roto_point *again;  /* landmark_count of them, behind the workspace: what a second look finds */
  rotoi_known *known; /* as many, behind those: what is known of where landmarks are */
};

enum {
  ROTOI_SESSION_HEAD = (sizeof(roto_session) + 63) / 64 * 64, /* bytes before the workspace */
  ROTOI_SAMPLE_ROWS = 8                                       /* rows of the picture in one task */
};

/* ---- models ---- */

static void rotoi_fill_info(roto_model *model) {
  const rotoi_file *file = &model->file;
  roto_info *info = &model->info;
  info->name = file->name;
  info->description = file->description;
  info->input_width = file->input_width;
  info->input_height = file->input_height;
  info->input_channels = file->input_channels;
  memcpy(info->input_mean, file->input_mean, sizeof info->input_mean);
  memcpy(info->input_scale, file->input_scale, sizeof info->input_scale);
  info->input_transfer = file->input_transfer;
  info->crop_margin = file->crop_margin;
  info->landmark_count = file->landmark_count;
  info->output_count = file->output_count;
  info->part_count = file->part_count;
  info->shape_count = file->shape_count;
  info->vertex_count = file->vertex_count;
  info->shape_net_count = file->shape_net_count;
  info->parameter_count = file->parameter_count;
  info->multiply_adds = file->multiply_adds;
  info->session_size = ROTOI_SESSION_HEAD + model->plan.workspace;
  if (model->second || file->contour_count || file->component_count)
    info->session_size += file->landmark_count * (sizeof(roto_point) + sizeof(rotoi_known));
  info->contour_count = file->contour_count;
  info->component_count = file->component_count;
  info->look_count = file->look_count;
  info->second = model->second ? &model->second->info : NULL;
  info->isa = model->plan.kernels->isa;
  info->has_ranges = file->ranges != NULL;
  info->precision = !model->plan.low                      ? ROTO_PRECISION_FP32
                    : model->plan.low->type == ROTOI_BF16 ? ROTO_PRECISION_BF16
                                                          : ROTO_PRECISION_INT8;
}

static roto_status rotoi_open(const void *data, size_t size, const roto_options *options, roto_error *error,
                              roto_model **model) {
  rotoi_file file;
  roto_status status = rotoi_parse((const unsigned char *)data, size, &file, error);
  if (status) return status;
  if (options->precision == ROTO_PRECISION_INT8 && !file.ranges) return ROTO_ERR_RANGES;
  roto_model *m = (roto_model *)rotoi_alloc(&options->allocator, sizeof *m);
  if (!m) return ROTO_ERR_MEMORY;
  memset(m, 0, sizeof *m);
  m->file = file;
  m->allocator = options->allocator;
  m->vertices = (int32_t *)rotoi_alloc(&m->allocator, (size_t)file.vertex_count * sizeof(int32_t));
  const rotoi_kernels *kernels = rotoi_select_kernels(options->max_isa);
  const rotoi_low_kernels *low = NULL;
  if (options->precision == ROTO_PRECISION_BF16) low = rotoi_select_low(kernels, ROTOI_BF16);
  if (options->precision == ROTO_PRECISION_INT8) low = rotoi_select_low(kernels, ROTOI_U8);
  status = m->vertices ? rotoi_plan_create(&m->file, kernels, low, options, &m->plan) : ROTO_ERR_MEMORY;
  if (!status) status = rotoi_shapes_create(&m->file, m->plan.kernels, &m->allocator, &m->shapes);
  if (!status && m->plan.workspace < m->shapes.workspace) m->plan.workspace = m->shapes.workspace;
  if (!status && file.look_count) {
    /* A second look without ranges of its own is better off in bfloat16 than refused. */
    roto_options second = *options;
    status = rotoi_open(file.look_model, file.look_model_size, &second, error, &m->second);
    if (status == ROTO_ERR_RANGES) {
      second.precision = ROTO_PRECISION_BF16;
      status = rotoi_open(file.look_model, file.look_model_size, &second, error, &m->second);
    }
  }
  if (!status && m->second && m->plan.workspace < m->second->plan.workspace) m->plan.workspace = m->second->plan.workspace;
  if (!status && m->plan.workspace > (size_t)-1 - ROTOI_SESSION_HEAD - 64 * (size_t)ROTO_MAX_LANDMARKS) status = ROTO_ERR_LIMIT;
  if (status) {
    roto_close(m);
    return status;
  }
  rotoi_read_vertices(&m->file, m->vertices);
  rotoi_fill_info(m);
  *model = m;
  return ROTO_OK;
}

static int rotoi_precision_valid(roto_precision precision) {
  return precision == ROTO_PRECISION_FP32 || precision == ROTO_PRECISION_BF16 || precision == ROTO_PRECISION_INT8;
}

ROTO_API roto_status roto_open(const void *data, size_t size, const roto_options *options, roto_model **model) {
  roto_options defaults;
  roto_error error;
  roto_status status = ROTO_ERR_ARGUMENT;
  memset(&defaults, 0, sizeof defaults);
  memset(&error, 0, sizeof error);
  if (!options) options = &defaults;
  if (model) *model = NULL;
  if (model && data && rotoi_allocator_valid(&options->allocator) && rotoi_precision_valid(options->precision))
    status = rotoi_open(data, size, options, &error, model);
  error.status = status;
  if (status && options->error) *options->error = error;
  return status;
}

#ifndef ROTO_NO_STDIO
/* The bytes of a file in a block of the allocator. */
static roto_status rotoi_read_file(const char *path, const roto_allocator *allocator, unsigned char **data, size_t *size) {
  FILE *in = fopen(path, "rb");
  long end = -1;
  if (!in) return ROTO_ERR_FILE;
  if (!fseek(in, 0, SEEK_END)) end = ftell(in);
  if (end < 0 || fseek(in, 0, SEEK_SET)) {
    fclose(in);
    return ROTO_ERR_FILE;
  }
  roto_status status = ROTO_OK;
  *size = (size_t)end;
  *data = (unsigned char *)rotoi_alloc(allocator, *size);
  if (!*data) {
    status = ROTO_ERR_MEMORY;
  } else if (fread(*data, 1, *size, in) != *size) {
    rotoi_free(allocator, *data);
    status = ROTO_ERR_FILE;
  }
  fclose(in);
  return status;
}

ROTO_API roto_status roto_open_file(const char *path, const roto_options *options, roto_model **model) {
  roto_options defaults;
  unsigned char *data;
  size_t size;
  roto_status status = ROTO_ERR_ARGUMENT;
  memset(&defaults, 0, sizeof defaults);
  if (!options) options = &defaults;
  if (model) *model = NULL;
  if (model && path && rotoi_allocator_valid(&options->allocator)) {
    status = rotoi_read_file(path, &options->allocator, &data, &size);
    if (!status) {
      status = roto_open(data, size, options, model);
      if (!status) {
        (*model)->data = data;
      } else {
        rotoi_free(&options->allocator, data);
      }
      return status;
    }
  }
  if (options->error) {
    memset(options->error, 0, sizeof *options->error);
    options->error->status = status;
  }
  return status;
}
#endif

ROTO_API void roto_close(roto_model *model) {
  if (!model) return;
  roto_allocator allocator = model->allocator;
  roto_close(model->second);
  rotoi_plan_free(&model->plan, &allocator);
  rotoi_shapes_free(&model->shapes, &allocator);
  rotoi_free(&allocator, model->vertices);
  rotoi_free(&allocator, model->data);
  rotoi_free(&allocator, model);
}

ROTO_API const roto_info *roto_get_info(const roto_model *model) {
  return model ? &model->info : NULL;
}

ROTO_API roto_status roto_get_landmark(const roto_model *model, uint32_t index, roto_landmark *landmark) {
  if (!landmark) return ROTO_ERR_ARGUMENT;
  memset(landmark, 0, sizeof *landmark);
  if (!model || index >= model->file.landmark_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_landmark(&model->file, index, landmark);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_part(const roto_model *model, uint32_t index, roto_part *part) {
  if (!part) return ROTO_ERR_ARGUMENT;
  memset(part, 0, sizeof *part);
  if (!model || index >= model->file.part_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_part(&model->file, index, part);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_shape(const roto_model *model, uint32_t index, roto_shape *shape) {
  if (!shape) return ROTO_ERR_ARGUMENT;
  memset(shape, 0, sizeof *shape);
  if (!model || index >= model->file.shape_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_shape(&model->file, index, model->vertices, shape);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_shape_landmarks(const roto_model *model, uint32_t index, const uint32_t **landmarks,
                                              uint32_t *count) {
  if (landmarks) *landmarks = NULL;
  if (count) *count = 0;
  if (!model || !landmarks || !count || index >= model->file.shape_count) return ROTO_ERR_ARGUMENT;
  if (!model->shapes.count) return ROTO_OK;
  *landmarks = model->shapes.shapes[index].landmarks;
  *count = model->shapes.shapes[index].landmark_count;
  return ROTO_OK;
}

/* ---- sessions ---- */

ROTO_API size_t roto_session_size(const roto_model *model) {
  return model ? model->info.session_size : 0;
}

/* A character whose landmarks have no twins is not its own mirror image. */
static int rotoi_has_twins(const rotoi_file *file) {
  for (uint32_t i = 0; i < file->landmark_count; ++i) {
    roto_landmark landmark;
    rotoi_read_landmark(file, i, &landmark);
    if (landmark.flip != i) return 1;
  }
  return 0;
}

enum { ROTOI_FORMS = 5 }; /* of a crop, see "views" below */

ROTO_API roto_status roto_session_create(const roto_model *model, const roto_session_options *options, roto_session **session) {
  roto_session_options defaults;
  memset(&defaults, 0, sizeof defaults);
  if (!options) options = &defaults;
  if (!session) return ROTO_ERR_ARGUMENT;
  *session = NULL;
  if (!model || !rotoi_allocator_valid(&options->allocator) || (uintptr_t)options->memory % 64) return ROTO_ERR_ARGUMENT;
  if (!options->profile.clock != !options->profile.step) return ROTO_ERR_ARGUMENT;
  if (options->pixel_aspect != 0 && !(options->pixel_aspect > 0.01f && options->pixel_aspect < 100.0f))
    return ROTO_ERR_ARGUMENT;
  if (options->memory && options->memory_size < model->info.session_size) return ROTO_ERR_MEMORY;
  void *block = options->memory ? options->memory : rotoi_alloc(&options->allocator, model->info.session_size);
  if (!block) return ROTO_ERR_MEMORY;
  roto_session *s = (roto_session *)block;
  s->model = model;
  s->parallel = options->parallel;
  s->profile = options->profile;
  s->allocator = options->allocator;
  s->twins = rotoi_has_twins(&model->file);
  int most = s->twins ? 2 * ROTOI_FORMS : ROTOI_FORMS;
  s->views = options->views < 1 ? 1 : options->views < most ? options->views : most;
  s->pixel_aspect = options->pixel_aspect > 0 ? options->pixel_aspect : 1;
  s->owned = !options->memory;
  s->values = (unsigned char *)block + ROTOI_SESSION_HEAD;
  s->network_only = options->network_only;
  s->again = (roto_point *)(void *)(s->values + model->plan.workspace);
  s->known = (rotoi_known *)(void *)(s->again + model->info.landmark_count);
  *session = s;
  return ROTO_OK;
}

ROTO_API void roto_session_free(roto_session *session) {
  if (!session || !session->owned) return;
  roto_allocator allocator = session->allocator;
  rotoi_free(&allocator, session);
}

/* Output i of all, counted without the padding of pixels. */
static float rotoi_output(const roto_model *model, unsigned char *values, size_t i) {
  const rotoi_plan *plan = &model->plan;
  return rotoi_floats(values, plan->output)[i / plan->output_c * plan->output_cs + i % plan->output_c];
}

ROTO_API roto_status roto_infer(roto_session *session, const float *input, float *output) {
  if (!session || !input || !output) return ROTO_ERR_ARGUMENT;
  const rotoi_plan *plan = &session->model->plan;
  rotoi_execute(plan, &session->parallel, &session->profile, input, plan->input_w * plan->input_c, session->values);
  for (uint32_t i = 0; i < session->model->info.output_count; ++i) output[i] = rotoi_output(session->model, session->values, i);
  return ROTO_OK;
}

/* One band of the picture: sampled, then normalised in place.  Rows stand 3 floats a pixel apart even if the network wants
 * one channel, its luma (Rec. 709 weights), so that bands do not overlap. */
typedef struct rotoi_sampling {
  rotoi_sampler sampler;
  const roto_info *info;
  float *picture;
} rotoi_sampling;

static void rotoi_sample_band(void *context, size_t index) {
  const rotoi_sampling *sampling = (const rotoi_sampling *)context;
  const roto_info *info = sampling->info;
  const float *mean = info->input_mean, *scale = info->input_scale;
  uint32_t width = info->input_width, first = (uint32_t)index * ROTOI_SAMPLE_ROWS;
  for (uint32_t y = first; y < first + ROTOI_SAMPLE_ROWS && y < info->input_height; ++y) {
    float *row = sampling->picture + (size_t)y * width * 3;
    rotoi_sample_row(&sampling->sampler, y, width, row);
    for (uint32_t x = 0; x < width; ++x) {
      float *rgb = row + 3 * (size_t)x;
      if (info->input_channels == 3) {
        for (int c = 0; c < 3; ++c) rgb[c] = (rgb[c] - mean[c]) * scale[c];
      } else {
        row[x] = (0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2] - mean[0]) * scale[0];
      }
    }
  }
}

/* Expected error at a spread: linear between knots, constant outside; what is not a number has the worst. */
static float rotoi_expected_error(const rotoi_file *file, float spread) {
  float s0, e0, s1, e1;
  rotoi_read_knot(file, 0, &s0, &e0);
  if (spread <= s0) return e0;
  for (uint32_t i = 1; i < file->knot_count; ++i, s0 = s1, e0 = e1) {
    rotoi_read_knot(file, i, &s1, &e1);
    if (spread < s1) return e0 + (e1 - e0) * ((spread - s0) / (s1 - s0));
  }
  return e0;
}

/* A landmark as a network has found it, by the map of its look. */
static roto_point rotoi_found_point(const roto_model *model, const float map[6], float side, const float *found) {
  const roto_info *info = &model->info;
  float u = found[0] * (float)info->input_width, v = found[1] * (float)info->input_height;
  roto_point point = {map[0] * u + map[1] * v + map[2], map[3] * u + map[4] * v + map[5], 0, 0};
  point.error = side * rotoi_expected_error(&model->file, info->output_count == 3 * info->landmark_count ? found[2] : 0);
  return point;
}

/* ---- views ----
 *
 * A look may be several views of one crop: as it is, larger, smaller and turned either way, each also mirrored where the landmarks
 * have twins.  What a network gets wrong is a little another in each, and their mean is nearer to the truth: for five shots of the
 * rendered film that the models had not seen, ten views have 6 to 9 % less error than the first two and 8 to 16 % less jitter.  Eight
 * crops moved by a few pixels, each mirrored, bring half of that; other light brings nothing. */

/* How crop `index` of the views is, about its middle: scale times (cos, sin) of its turn. */
static void rotoi_view_form(int index, float form[2]) {
  static const float forms[ROTOI_FORMS][2] = {
      {1, 0}, {1.08f, 0}, {0.93f, 0}, {0.9961947f, -0.0871557f}, {0.9961947f, 0.0871557f}}; /* 5 degrees */
  form[0] = forms[index][0], form[1] = forms[index][1];
}

/* The map of a view from that of the crop as it is. */
static void rotoi_view_map(const float crop[6], const float form[2], int mirrored, float width, float height, float map[6]) {
  float u = 0.5f * width, v = 0.5f * height, sign = mirrored ? -1.0f : 1.0f;
  map[0] = sign * crop[0] * form[0], map[1] = -crop[0] * form[1];
  map[3] = sign * crop[4] * form[1], map[4] = crop[4] * form[0];
  map[2] = crop[2] + crop[0] * u - map[0] * u - map[1] * v;
  map[5] = crop[5] + crop[4] * v - map[3] * u - map[4] * v;
}

/* One more view: the mean of the places and expected errors so far, and, where the confidence will stand, the sum of the squared
 * distances from the mean (Welford 1962). */
static void rotoi_add_view(roto_point *point, const roto_point *found, int view) {
  float dx = found->x - point->x, dy = found->y - point->y, share = 1.0f / (float)(view + 1);
  point->x += share * dx;
  point->y += share * dy;
  point->error += share * (found->error - point->error);
  point->confidence += (1 - share) * (dx * dx + dy * dy);
}

/* How far the views are apart tells more of the error than how sure each is of itself: of ten views the rank correlation with the
 * error is 0.3 to 0.5 over those five shots, that of the heat map's width 0.1 to 0.3.  The squared error is twice the sample variance,
 * shrunk towards what the views expect as if that were two thirds of a view more; for one view it is that, and over the five shots
 * and 2 to 10 views the fit of both shares by themselves is no more than a fifth away. */
static void rotoi_join_views(roto_point *point, int views) {
  float own = point->error * point->error;
  point->error = (float)rotoi_sqrt((double)((own + 3 * point->confidence) / (1 + 1.5f * (float)(views - 1))));
}

/* One look of `model` at the frame through `map` (output pixels to frame pixels). */
static void rotoi_look(roto_session *session, const roto_model *model, const roto_image *image, const float map[6], int thin) {
  const roto_info *info = &model->info;
  rotoi_sampling sampling;
  rotoi_sampler_init(&sampling.sampler, image, map, info->input_transfer, thin);
  sampling.info = info;
  sampling.picture = rotoi_floats(session->values, model->plan.picture);
  rotoi_parallel(&session->parallel, (info->input_height + ROTOI_SAMPLE_ROWS - 1) / ROTOI_SAMPLE_ROWS, rotoi_sample_band,
                 &sampling);
  rotoi_execute(&model->plan, &session->parallel, &session->profile, sampling.picture, (size_t)info->input_width * 3,
                session->values);
}

/* What views `first` to `last` - 1 of a crop find, added to what those before found: the landmarks of `look`, or all.  Points of
 * others stay as they are.  Returns the side of the crop as grown to the input's aspect, in pixels as seen. */
static float rotoi_view_crop(roto_session *session, const roto_model *model, const roto_image *image, roto_rect crop,
                             uint32_t look, int first, int last, roto_point *points) {
  const roto_info *info = &model->info;
  const rotoi_file *file = &session->model->file;
  float straight[6], map[6], form[2], aspect = session->pixel_aspect;
  const roto_rect seen = {crop.x * aspect, crop.y, crop.width * aspect, crop.height};
  roto_crop_map(seen, info->input_width, info->input_height, straight);
  float width = straight[0] * (float)info->input_width, height = straight[4] * (float)info->input_height;
  float side = width > height ? width : height;
  uint32_t floats = info->output_count / info->landmark_count;
  for (int view = first; view < last; ++view) {
    int mirrored = session->twins && view % 2;
    rotoi_view_form(session->twins ? view / 2 : view, form);
    rotoi_view_map(straight, form, mirrored, (float)info->input_width, (float)info->input_height, map);
    map[0] /= aspect, map[1] /= aspect, map[2] /= aspect;
    rotoi_look(session, model, image, map, view > 1);
    const float *output = rotoi_floats(session->values, model->plan.output);
    for (uint32_t i = 0; i < info->landmark_count; ++i) {
      if (look != ROTO_NONE && rotoi_read_look(file, i) != look) continue;
      roto_landmark landmark;
      rotoi_read_landmark(file, i, &landmark);
      roto_point found = rotoi_found_point(model, map, side, output + (size_t)floats * (mirrored ? landmark.flip : i));
      if (view)
        rotoi_add_view(&points[i], &found, view);
      else
        points[i] = found;
    }
  }
  return side;
}

/* All views of the crop are there. */
static void rotoi_end_look(const roto_session *session, uint32_t look, float side, roto_point *points) {
  for (uint32_t i = 0; i < session->model->info.landmark_count; ++i) {
    if (look != ROTO_NONE && rotoi_read_look(&session->model->file, i) != look) continue;
    rotoi_join_views(&points[i], session->views);
    points[i].confidence = 1 / (1 + points[i].error / (0.01f * side));
  }
}

/* The box of the landmarks of `look`, or of all, in pixels as seen: { left, top, right, bottom }. */
static void rotoi_points_box(const roto_session *session, const roto_point *points, uint32_t look, float box[4]) {
  const roto_model *model = session->model;
  int any = 0;
  for (uint32_t i = 0; i < model->info.landmark_count; ++i) {
    float at[2] = {points[i].x * session->pixel_aspect, points[i].y};
    if (look != ROTO_NONE && rotoi_read_look(&model->file, i) != look) continue;
    for (int k = 0; k < 2; ++k) {
      box[k] = !any || at[k] < box[k] ? at[k] : box[k];
      box[k + 2] = !any || at[k] > box[k + 2] ? at[k] : box[k + 2];
    }
    any = 1;
  }
}

static float rotoi_longer_side(const float box[4]) {
  float width = box[2] - box[0], height = box[3] - box[1];
  return width > height ? width : height;
}

/* The square around a box, in pixels of the frame. */
static roto_rect rotoi_square(const roto_session *session, const float box[4], float side) {
  roto_rect crop;
  crop.height = side;
  crop.width = side / session->pixel_aspect;
  crop.x = 0.5f * ((box[0] + box[2]) / session->pixel_aspect - crop.width);
  crop.y = 0.5f * (box[1] + box[3] - crop.height);
  return crop;
}

static int rotoi_crop_valid(roto_rect crop) {
  const float most = 1e9f; /* also refuses infinities and what is not a number */
  return crop.width > 0 && crop.width < most && crop.height > 0 && crop.height < most && crop.x > -most && crop.x < most &&
         crop.y > -most && crop.y < most;
}

/* Both looks have found a landmark: they count by the inverse square of their expected errors, which is the best mean of two
 * errors that know nothing of each other, and never far from the better of the two. */
static void rotoi_fuse(roto_point *point, const roto_point *again) {
  float first = point->error * point->error, second = again->error * again->error, sum = first + second;
  float share = sum > 0 ? first / sum : 0.5f;
  point->x += share * (again->x - point->x);
  point->y += share * (again->y - point->y);
  point->error += share * (again->error - point->error);
}

/* Look again at a few landmarks at a time.  A look that would be smaller than an eighth of all (one landmark alone) is made so
 * large; the trainer does the same. */
static void rotoi_look_again(roto_session *session, const roto_image *image, float whole, roto_point *points) {
  const roto_model *model = session->model, *second = model->second;
  float all[4], box[4], side;
  if (!second) return;
  rotoi_points_box(session, points, ROTO_NONE, all);
  for (uint32_t look = 0; look < model->info.look_count; ++look) {
    rotoi_points_box(session, points, look, box);
    float longer = rotoi_longer_side(box), least = ROTO_LOOK_LEAST * rotoi_longer_side(all);
    roto_rect crop = rotoi_square(session, box, (longer > least ? longer : least) * second->info.crop_margin);
    if (!rotoi_crop_valid(crop)) continue;
    side = rotoi_view_crop(session, second, image, crop, look, 0, session->views, session->again);
    rotoi_end_look(session, look, side, session->again);
    for (uint32_t i = 0; i < model->info.landmark_count; ++i)
      if (rotoi_read_look(&model->file, i) == look) rotoi_fuse(&points[i], &session->again[i]);
  }
  for (uint32_t i = 0; i < model->info.landmark_count; ++i) points[i].confidence = 1 / (1 + points[i].error / (0.01f * whole));
}

/* What there is beyond the first look. */
static void rotoi_look_closer(roto_session *session, const roto_image *image, float whole, roto_point *points) {
  const rotoi_file *file = &session->model->file;
  float box[4], aspect = session->pixel_aspect, step;
  rotoi_look_again(session, image, whole, points);
  rotoi_points_box(session, points, ROTO_NONE, box);
  step = rotoi_longer_side(box) / (float)ROTO_CONTOUR_BOX;
  if ((!file->contour_count && !file->component_count) || session->network_only || !(step > 0 && step < 1e6f)) return;
  rotoi_known *known = session->known;
  for (uint32_t i = 0; i < file->landmark_count; ++i)
    known[i].x = points[i].x * aspect, known[i].y = points[i].y, known[i].error = points[i].error;
  /* Contours through landmarks that lie as they can are nearer to the outlines: the second time they tell more.  Without a
   * distribution they do not. */
  for (int round = 0; round < (file->contour_count && file->component_count ? 2 : 1); ++round) {
    rotoi_forget(known, file->landmark_count);
    if (file->contour_count) rotoi_look_at_contours(file, image, aspect, step, points, known);
    rotoi_settle(file, aspect, (double)step, known, points);
  }
}

static int rotoi_can_look(const roto_session *session, const roto_image *image, roto_rect crop, const roto_point *points) {
  if (!session || !points || !rotoi_image_valid(image) || !rotoi_crop_valid(crop)) return 0;
  const roto_info *info = &session->model->info;
  return info->landmark_count && (info->input_channels == 1 || info->input_channels == 3);
}

ROTO_API roto_status roto_find_landmarks(roto_session *session, const roto_image *image, roto_rect crop, roto_point *points) {
  if (!rotoi_can_look(session, image, crop, points)) return ROTO_ERR_ARGUMENT;
  float side = rotoi_view_crop(session, session->model, image, crop, ROTO_NONE, 0, session->views, points);
  rotoi_end_look(session, ROTO_NONE, side, points);
  rotoi_look_closer(session, image, side, points);
  return ROTO_OK;
}

ROTO_API roto_rect roto_fit_crop(const roto_session *session, const roto_point *points) {
  roto_rect crop = {0, 0, 0, 0};
  float box[4];
  if (!session || !points || !session->model->info.landmark_count) return crop;
  rotoi_points_box(session, points, ROTO_NONE, box);
  return rotoi_square(session, box, rotoi_longer_side(box) * session->model->info.crop_margin);
}

/* Is `a` the rectangle `b` but for a part of b's longer side: centres at most `shift` apart each way, sides at most `scale`? */
static int rotoi_crops_agree(roto_rect a, roto_rect b, float aspect, float shift, float scale) {
  float wide_a = a.width * aspect, wide_b = b.width * aspect;
  float side_a = wide_a > a.height ? wide_a : a.height, side_b = wide_b > b.height ? wide_b : b.height;
  float dx = aspect * (a.x + 0.5f * a.width - b.x - 0.5f * b.width), dy = a.y + 0.5f * a.height - b.y - 0.5f * b.height;
  float ds = side_a - side_b;
  shift *= side_b, scale *= side_b;
  return dx <= shift && dx >= -shift && dy <= shift && dy >= -shift && ds <= scale && ds >= -scale;
}

/* A first crop from outside may be off as far as training jitters it; one that was moved is to sit as well as can be.  Two views
 * say where it belongs; the others are of the crop that sits. */
ROTO_API roto_status roto_find_landmarks_near(roto_session *session, const roto_image *image, roto_rect *crop,
                                              uint32_t most_looks, roto_point *points) {
  if (!crop || !rotoi_can_look(session, image, *crop, points)) return ROTO_ERR_ARGUMENT;
  const roto_model *model = session->model;
  int few = session->views < 2 ? session->views : 2;
  for (uint32_t look = 1;; ++look) {
    rotoi_view_crop(session, model, image, *crop, ROTO_NONE, 0, few, points);
    roto_rect fit = roto_fit_crop(session, points);
    float aspect = session->pixel_aspect;
    int agree =
        look == 1 ? rotoi_crops_agree(fit, *crop, aspect, 0.06f, 0.08f) : rotoi_crops_agree(fit, *crop, aspect, 0.02f, 0.03f);
    if (agree || !rotoi_crop_valid(fit) || look >= (most_looks ? most_looks : 5)) break;
    *crop = fit;
  }
  float side = rotoi_view_crop(session, model, image, *crop, ROTO_NONE, few, session->views, points);
  rotoi_end_look(session, ROTO_NONE, side, points);
  rotoi_look_closer(session, image, side, points);
  return ROTO_OK;
}

ROTO_API roto_status roto_predict_shape(roto_session *session, uint32_t index, const roto_point *points,
                                        roto_vertex *vertices) {
  if (!session || !points || !vertices) return ROTO_ERR_ARGUMENT;
  return rotoi_predict_shape(&session->model->shapes, index, (double)session->pixel_aspect, points,
                             (float *)(void *)session->values, vertices);
}

ROTO_API roto_status roto_find_shapes(roto_session *session, const roto_point *points, roto_vertex *vertices) {
  if (!session || !points || !vertices || !session->model->shapes.count) return ROTO_ERR_ARGUMENT;
  const rotoi_shapes *shapes = &session->model->shapes;
  memset(vertices, 0, session->model->file.vertex_count * sizeof *vertices);
  for (uint32_t i = 0; i < shapes->count; ++i) {
    roto_status status = ROTO_OK;
    if (shapes->shapes[i].net) status = roto_predict_shape(session, i, points, vertices + shapes->shapes[i].first_vertex);
    if (status) return status;
  }
  return ROTO_OK;
}

/* The largest difference of the shapes drawn through the landmarks that the self-test expects, in units of the crop. */
static float rotoi_selftest_shapes(const roto_model *model, float *workspace, float worst, roto_status *status) {
  const rotoi_file *file = &model->file;
  const unsigned char *expected = file->shape_tests;
  uint32_t floats = file->landmark_count ? file->output_count / file->landmark_count : 0;
  for (uint32_t i = 0; i < model->shapes.count; ++i) {
    const rotoi_shape *shape = &model->shapes.shapes[i];
    roto_point points[ROTO_MAX_SHAPE_LANDMARKS];
    roto_vertex found[ROTO_MAX_SHAPE_VERTICES];
    if (!shape->net) continue;
    for (uint32_t k = 0; k < shape->landmark_count; ++k) {
      points[k].x = rotoi_test_output(file, shape->landmarks[k] * floats);
      points[k].y = rotoi_test_output(file, shape->landmarks[k] * floats + 1);
    }
    rotoi_draw_shape(&model->shapes, i, 1, points, workspace, found);
    for (uint32_t v = 0; v < shape->vertex_count; ++v, expected += 24) {
      const roto_vertex *f = &found[v];
      const double values[6] = {f->x, f->y, f->in_x, f->in_y, f->out_x, f->out_y};
      for (int k = 0; k < 6; ++k) {
        float d = (float)values[k] - rotoi_f32(expected + 4 * k);
        d = d < 0 ? -d : d;
        if (!(d <= file->test_tolerance)) *status = ROTO_ERR_SELFTEST;
        if (!(d <= worst) && worst == worst) worst = d;
      }
    }
  }
  return worst;
}

/* The file's tolerances are those of float32 and of int8; bfloat16 may be off by 2 % of the largest output. */
static float rotoi_selftest_tolerance(const roto_model *model) {
  const rotoi_file *file = &model->file;
  float largest = 0;
  if (!model->plan.low) return file->test_tolerance;
  if (model->plan.low->type == ROTOI_U8) return file->range_tolerance;
  for (uint32_t i = 0; i < file->output_count; ++i) {
    float out = rotoi_test_output(file, i);
    out = out < 0 ? -out : out;
    largest = out > largest ? out : largest;
  }
  return file->test_tolerance + 0.02f * largest;
}

/* The same of one network's output, in a session whose workspace holds it. */
static float rotoi_selftest_network(const roto_session *session, const roto_model *model, roto_status *status) {
  const rotoi_file *file = &model->file;
  size_t channels = file->input_channels, row = file->input_width * channels;
  float *picture = rotoi_floats(session->values, model->plan.picture);
  for (size_t i = 0; i < row * file->input_height; ++i)
    picture[i] = ((float)file->test_pixels[i] / 255.0f - file->input_mean[i % channels]) * file->input_scale[i % channels];
  rotoi_execute(&model->plan, &session->parallel, &session->profile, picture, row, session->values);

  float worst = 0, tolerance = rotoi_selftest_tolerance(model);
  for (uint32_t i = 0; i < file->output_count; ++i) {
    float d = rotoi_output(model, session->values, i) - rotoi_test_output(file, i);
    d = d < 0 ? -d : d;
    if (!(d <= tolerance)) *status = ROTO_ERR_SELFTEST;
    if (!(d <= worst) && worst == worst) worst = d; /* the first that is not a number stays */
  }
  return worst;
}

ROTO_API roto_status roto_selftest(roto_session *session, float *difference) {
  if (difference) *difference = 0;
  if (!session) return ROTO_ERR_ARGUMENT;
  const roto_model *model = session->model;
  roto_status status = ROTO_OK;
  float worst = rotoi_selftest_network(session, model, &status);
  if (model->second) {
    float again = rotoi_selftest_network(session, model->second, &status);
    if (!(again <= worst) && worst == worst) worst = again;
  }
  worst = rotoi_selftest_shapes(model, (float *)(void *)session->values, worst, &status);
  if (difference) *difference = worst;
  return status;
}

#endif /* ROTOI_SESSION */
