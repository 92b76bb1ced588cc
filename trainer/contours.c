/* See contours.h. */

#include "contours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../roto.h"
#include "../tools/cli.h"
#include "rng.h"

enum {
  PLACES = ROTO_CONTOUR_PLACES,
  STEPS = ROTO_CONTOUR_STEPS,
  CHANNELS = ROTO_CONTOUR_CHANNELS,
  FLOATS = ROTO_CONTOUR_FLOATS,
  STATES = STEPS - ROTO_CONTOUR_TAPS + 1, /* displacements a filter answers for */
  LEAST_FRAMES = 8,
  MOST_SAMPLES = 800, /* more frames than that are thinned out, fewer are seen several times */
  MOST_TIMES = 4
};

static const double corner = 65; /* degrees that an outline turns at a landmark, on average, where a contour ends */
static const double width = 1.4; /* steps, of the answer about the outline */
/* How far landmarks are moved, standard deviation in steps: a model's errors on shots it has not seen are of this size.  Up to
 * 9 is the same within 1 % on those of the rendered film. */
static const float moved_least = 1, moved_most = 5;
static const double ridge = 3e-3; /* of the number of equations */

/* Adapting: each frame is seen so often, a change is held so much more, and a filter counts as so many frames of its own. */
enum { ADAPT_TIMES = 40 };
static const double adapt_ridge = 1e-2, adapt_frames = 3;

typedef struct contour {
  uint32_t landmarks[ROTO_MAX_CONTOUR_LANDMARKS], count;
  size_t samples;
  float (*filters)[FLOATS]; /* when adapting, the old ones until they are replaced; else NULL until they are made */
} contour;

/* ---- which contours there are ---- */

static int is_known(const frame *f, uint32_t landmark) {
  return f->points != NULL && f->valid[landmark];
}

/* Degrees that the way over three landmarks turns at the middle one, mean over the frames. */
static double turn_at(const dataset *ds, uint32_t a, uint32_t b, uint32_t c) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = 0; i < ds->frame_count; i++) {
    const frame *f = &ds->frames[i];
    if (!is_known(f, a) || !is_known(f, b) || !is_known(f, c)) continue;
    const float *p = f->points + 2 * a, *q = f->points + 2 * b, *r = f->points + 2 * c;
    double ux = (double)(q[0] - p[0]), uy = (double)(q[1] - p[1]), vx = (double)(r[0] - q[0]), vy = (double)(r[1] - q[1]);
    sum += fabs(atan2(ux * vy - uy * vx, ux * vx + uy * vy));
    count++;
  }
  return count > 0 ? sum / (double)count * 180 / 3.14159265358979323846 : 180;
}

/* Does a contour of this shape end at vertex i?  At a tip or corner it does: the template's rule says what a landmark is,
 * else the angle there. */
static int is_end(const roto_model *model, const dataset *ds, const roto_shape *shape, uint32_t i) {
  static const char *const tips[] = {"nearest ", "skeleton ", "corner ", "far "};
  uint32_t n = shape->vertex_count;
  if (!shape->closed && (i == 0 || i + 1 == n)) return 1;
  int32_t before = shape->vertices[(i + n - 1) % n], behind = shape->vertices[(i + 1) % n];
  if (before < 0 || behind < 0) return 1;
  roto_landmark landmark;
  roto_get_landmark(model, (uint32_t)shape->vertices[i], &landmark);
  for (size_t k = 0; k < sizeof tips / sizeof *tips; k++)
    if (strncmp(landmark.rule, tips[k], strlen(tips[k])) == 0) return 1;
  if (*landmark.rule != 0) return 0;
  return turn_at(ds, (uint32_t)before, (uint32_t)shape->vertices[i], (uint32_t)behind) > corner;
}

/* A closed outline without an end is left open between its last vertex and its first. */
static size_t choose_contours(const roto_model *model, const dataset *ds, contour *contours) {
  size_t made = 0;
  for (uint32_t s = 0; s < roto_get_info(model)->shape_count; s++) {
    roto_shape shape;
    roto_get_shape(model, s, &shape);
    uint32_t n = shape.vertex_count, start = 0;
    if (n < 3) continue;
    while (start + 1 < n && !(shape.vertices[start] >= 0 && is_end(model, ds, &shape, start))) start++;
    if (shape.vertices[start] < 0 || !is_end(model, ds, &shape, start)) start = 0;
    contour now = {{0}, 0, 0, NULL};
    for (uint32_t k = 0; k <= n; k++) {
      int32_t landmark = k < n || shape.closed ? shape.vertices[(start + k) % n] : -1;
      int known = landmark >= 0 && now.count < ROTO_MAX_CONTOUR_LANDMARKS &&
                  (k < n || now.count == 0 || now.landmarks[0] != (uint32_t)landmark);
      int ends = !known || is_end(model, ds, &shape, (start + k) % n);
      if (known) now.landmarks[now.count++] = (uint32_t)landmark;
      if (!ends && k < n) continue;
      if (now.count >= 3 && made < ROTO_MAX_CONTOURS) contours[made++] = now;
      now.count = 0;
      if (known && k < n) now.landmarks[now.count++] = (uint32_t)landmark;
    }
  }
  return made;
}

/* ---- what they look like ---- */

/* The equations of one place's filter. */
typedef struct equations {
  double square[FLOATS][FLOATS], right[FLOATS];
} equations;

typedef struct training {
  const roto_model *model;
  const dataset *ds;
  const size_t *chosen; /* frames */
  size_t chosen_count;
  int times, seed;
  contour *contours;
} training;

static void add_equation(equations *e, const float *seen, double answer) {
  double row[FLOATS];
  for (int i = 0; i + 1 < FLOATS; i++) row[i] = (double)seen[i];
  row[FLOATS - 1] = 1;
  for (int i = 0; i < FLOATS; i++) {
    for (int k = 0; k <= i; k++) e->square[i][k] += row[i] * row[k];
    e->right[i] += row[i] * answer;
  }
}

/* By Cholesky's decomposition, in place; the ridge is `held`. */
static void solve(equations *e, double held, double x[FLOATS]) {
  for (int i = 0; i < FLOATS; i++) {
    e->square[i][i] += held;
    for (int k = 0; k <= i; k++) {
      double sum = e->square[i][k];
      for (int j = 0; j < k; j++) sum -= e->square[i][j] * e->square[k][j];
      e->square[i][k] = i == k ? sqrt(sum) : sum / e->square[k][k];
    }
  }
  for (int i = 0; i < FLOATS; i++) {
    x[i] = e->right[i];
    for (int k = 0; k < i; k++) x[i] -= e->square[i][k] * x[k];
    x[i] /= e->square[i][i];
  }
  for (int i = FLOATS; i-- > 0;) {
    for (int k = i + 1; k < FLOATS; k++) x[i] -= e->square[k][i] * x[k];
    x[i] /= e->square[i][i];
  }
}

/* The cached part of a frame; what is not opaque becomes a plain colour.  The picture is `room`'s, which the caller frees. */
static roto_image opaque(const frame *f, rng *r, uint8_t **room) {
  roto_image image = {0};
  size_t pixels = (size_t)f->cache_width * f->cache_height;
  image.pixels = f->pixels;
  image.width = f->cache_width, image.height = f->cache_height;
  image.channels = f->channels;
  *room = NULL;
  if (f->channels != 4) return image;
  float colour[3] = {rng_uniform(r), rng_uniform(r), rng_uniform(r)};
  uint8_t *to = *room = cli_alloc(pixels, 3);
  for (size_t i = 0; i < pixels; i++)
    for (int c = 0; c < 3; c++) {
      float share = (float)f->pixels[4 * i + 3] / 255;
      to[3 * i + (size_t)c] = (uint8_t)(share * (float)f->pixels[4 * i + (size_t)c] + (1 - share) * 255 * colour[c] + 0.5f);
    }
  image.pixels = to;
  image.channels = 3;
  return image;
}

/* One frame of one contour. */
static void add_frame(const training *t, const contour *c, size_t index, int time, equations *places) {
  const frame *f = &t->ds->frames[index];
  float true_at[ROTO_MAX_CONTOUR_LANDMARKS][2], moved[ROTO_MAX_CONTOUR_LANDMARKS][2], true_places[PLACES][4],
      seen_places[PLACES][4];
  float *profiles = cli_alloc(PLACES * STEPS * CHANNELS, sizeof *profiles);
  float step = fmaxf(f->box.width, f->box.height) / (float)ROTO_CONTOUR_BOX;
  rng r = {rng_seed((uint64_t)t->seed, (uint64_t)time, index)};
  float sigma = step * rng_range(&r, moved_least, moved_most);
  uint8_t *room;
  roto_image image = opaque(f, &r, &room);
  for (uint32_t k = 0; k < c->count; k++) {
    rng own = {rng_mix(r.state + c->landmarks[k] + 1)};
    for (int i = 0; i < 2; i++) {
      true_at[k][i] = f->points[2 * c->landmarks[k] + (uint32_t)i] - (float)(i ? f->cache_y : f->cache_x);
      moved[k][i] = true_at[k][i] + sigma * (float)rng_normal(&own);
    }
  }
  roto_transfer transfer = roto_get_info(t->model)->input_transfer;
  if (roto_contour_profiles(&image, transfer, (const float(*)[2])true_at, c->count, step, true_places, NULL) == ROTO_OK &&
      roto_contour_profiles(&image, transfer, (const float(*)[2])moved, c->count, step, seen_places, profiles) == ROTO_OK)
    for (int p = 0; p < PLACES; p++) {
      double away = 0;
      for (int i = 0; i < 2; i++)
        away += (double)((true_places[p][i] - seen_places[p][i]) * seen_places[p][2 + i]) / (double)step;
      if (fabs(away) > STATES / 2) continue; /* the outline is not on the line */
      for (int s = 0; s < STATES; s++) {
        double off = (s - STATES / 2 - away) / width, answer = exp(-0.5 * off * off);
        const float *seen = profiles + (size_t)(p * STEPS + s) * CHANNELS;
        for (int i = 0; c->filters != NULL && i < FLOATS; i++)
          answer -= (double)c->filters[p][i] * (i + 1 < FLOATS ? (double)seen[i] : 1); /* what the old one lacks */
        add_equation(&places[p], seen, answer);
      }
    }
  free(room);
  free(profiles);
}

/* A corrected frame tells of the contours on which an artist touched something; the rest of those was seen and left. */
static int shows(const frame *f, const contour *c) {
  int counts = f->weights == NULL;
  for (uint32_t k = 0; k < c->count; k++) {
    if (!is_known(f, c->landmarks[k])) return 0;
    counts = counts || f->weights[c->landmarks[k]] > 0;
  }
  return counts && f->pixels != NULL && f->box.width > 0 && f->box.height > 0;
}

static void train_contour(void *context, size_t index) {
  const training *t = context;
  contour *c = &t->contours[index];
  equations *places = cli_alloc(PLACES, sizeof *places);
  for (size_t i = 0; i < t->chosen_count; i++) {
    if (!shows(&t->ds->frames[t->chosen[i]], c)) continue;
    c->samples++;
    for (int time = 0; time < t->times; time++) add_frame(t, c, t->chosen[i], time, places);
  }
  int adapts = c->filters != NULL;
  double equations_made = (double)(c->samples * (size_t)t->times * STATES + 1), frames = (double)c->samples;
  double share = adapts ? frames / (frames + adapt_frames) : 1;
  if (!adapts) c->filters = cli_alloc(PLACES, sizeof *c->filters);
  for (int p = 0; p < PLACES; p++) {
    double x[FLOATS];
    solve(&places[p], (adapts ? adapt_ridge : ridge) * equations_made, x);
    for (int i = 0; i < FLOATS; i++) c->filters[p][i] += (float)(share * x[i]);
  }
  free(places);
}

int contours_train(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds,
                   int seed, unsigned char **bytes, size_t *size, char *message) {
  contour *contours = cli_alloc(ROTO_MAX_CONTOURS, sizeof *contours);
  size_t count = choose_contours(model, ds, contours), kept = 0, *chosen = cli_alloc(MOST_SAMPLES, sizeof *chosen);
  roto_contour_desc *descs = cli_alloc(ROTO_MAX_CONTOURS, sizeof *descs);
  training t = {model, ds, chosen, 0, 1, seed, contours};
  *bytes = NULL;
  size_t most = ds->frame_count < MOST_SAMPLES ? ds->frame_count : MOST_SAMPLES; /* evenly spread */
  for (size_t i = 0; i < ds->frame_count; i++)
    if (i * most / ds->frame_count != (i + 1) * most / ds->frame_count) chosen[t.chosen_count++] = i;
  while (t.times < MOST_TIMES && (size_t)(t.times + 1) * t.chosen_count <= MOST_SAMPLES) t.times++;
  compute_for(cp, count, train_contour, &t);
  for (size_t i = 0; i < count; i++) {
    if (contours[i].samples < LEAST_FRAMES) continue;
    descs[kept++] = (roto_contour_desc){contours[i].landmarks, contours[i].count, (const float(*)[FLOATS])contours[i].filters};
  }
  roto_status status = ROTO_OK;
  if (kept > 0) status = roto_write_contours(file, file_size, descs, (uint32_t)kept, bytes, size);
  for (size_t i = 0; i < count; i++) free(contours[i].filters);
  free(contours);
  free(chosen);
  free(descs);
  return status == ROTO_OK ? 0 : message_set(message, "the model cannot be written: %s", roto_status_text(status));
}

int contours_adapt(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds,
                   int seed, unsigned char **bytes, size_t *size, char *message) {
  size_t length, *chosen = cli_alloc(ds->frame_count + 1, sizeof *chosen);
  const unsigned char *chunk = roto_find_chunk(file, ROTO_CHUNK_CONT, &length);
  contour *contours = cli_alloc(ROTO_MAX_CONTOURS, sizeof *contours);
  roto_contour_desc *descs = cli_alloc(ROTO_MAX_CONTOURS, sizeof *descs);
  training t = {model, ds, chosen, 0, ADAPT_TIMES, seed, contours};
  uint32_t count = chunk != NULL ? (uint32_t)roto_load(chunk, 4) : 0;
  *bytes = NULL;
  while (t.chosen_count < ds->frame_count && t.chosen_count < MOST_SAMPLES)
    chosen[t.chosen_count] = t.chosen_count, t.chosen_count++;
  if (chunk != NULL) {
    const unsigned char *at = chunk + ROTO_CONTOURS_SIZE;
    for (uint32_t i = 0; i < count; i++, at += 4) contours[i].count = (uint32_t)roto_load(at, 4);
    for (uint32_t i = 0; i < count; i++)
      for (uint32_t k = 0; k < contours[i].count; k++, at += 4) contours[i].landmarks[k] = (uint32_t)roto_load(at, 4);
    at = chunk + (size_t)(at - chunk + 63) / 64 * 64;
    for (uint32_t i = 0; i < count; i++) {
      contours[i].filters = cli_alloc(PLACES, sizeof *contours[i].filters);
      for (int k = 0; k < PLACES * FLOATS; k++, at += 4) contours[i].filters[k / FLOATS][k % FLOATS] = roto_load_float(at);
    }
  }
  compute_for(cp, count, train_contour, &t);
  for (uint32_t i = 0; i < count; i++)
    descs[i] = (roto_contour_desc){contours[i].landmarks, contours[i].count, (const float(*)[FLOATS])contours[i].filters};
  roto_status status = ROTO_OK;
  if (count > 0) status = roto_write_contours(file, file_size, descs, count, bytes, size);
  for (uint32_t i = 0; i < count; i++) free(contours[i].filters);
  free(contours);
  free(chosen);
  free(descs);
  return status == ROTO_OK ? 0 : message_set(message, "the model cannot be written: %s", roto_status_text(status));
}
