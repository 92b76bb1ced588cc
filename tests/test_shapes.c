/* Shapes from landmarks in roto.h, on the example that model_format/valid carries: shapes move, turn and grow with their
 * landmarks, stand on them exactly, mirror each other, follow a dragged point alone and at once, need no memory, and come out
 * the same on every instruction set. */

#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include <math.h>
#include <time.h>

#include "check.h"

enum { LANDMARKS = 6, SHAPES = 4, VERTICES = 12 };
static const uint32_t firsts[SHAPES] = {0, 4, 8, 10}, counts[SHAPES] = {4, 4, 2, 2};
static const roto_point face[LANDMARKS] = {{100, 52, 0, 0}, {140, 50, 0, 0}, {118, 66, 0, 0},
                                           {180, 51, 0, 0}, {221, 50, 0, 0}, {203, 65, 0, 0}};

static roto_model *open_example(roto_isa isa) {
  roto_options options;
  roto_model *model;
  memset(&options, 0, sizeof options);
  options.max_isa = isa;
  if (roto_open_file("model_format/valid/shapes.roto", &options, &model) == ROTO_OK) return model;
  printf("model_format/valid/shapes.roto cannot be opened; run the test from the top folder of the project\n");
  exit(1);
}

/* The largest difference of two lists of vertices after `b` went through x' = m0 x + m1 y + m2, y' = m3 x + m4 y + m5. */
static double difference(const roto_vertex *a, const roto_vertex *b, uint32_t count, const double m[6]) {
  double worst = 0;
  for (uint32_t i = 0; i < count; i++) {
    worst = fmax(worst, fabs(a[i].x - (m[0] * b[i].x + m[1] * b[i].y + m[2])));
    worst = fmax(worst, fabs(a[i].y - (m[3] * b[i].x + m[4] * b[i].y + m[5])));
    worst = fmax(worst, fabs(a[i].in_x - (m[0] * b[i].in_x + m[1] * b[i].in_y)));
    worst = fmax(worst, fabs(a[i].in_y - (m[3] * b[i].in_x + m[4] * b[i].in_y)));
    worst = fmax(worst, fabs(a[i].out_x - (m[0] * b[i].out_x + m[1] * b[i].out_y)));
    worst = fmax(worst, fabs(a[i].out_y - (m[3] * b[i].out_x + m[4] * b[i].out_y)));
  }
  return worst;
}

static const double same[6] = {1, 0, 0, 0, 1, 0};

static void shapes_are_described(void) {
  roto_model *model = open_example(ROTO_ISA_AUTO);
  const roto_info *info = roto_get_info(model);
  const uint32_t *landmarks;
  uint32_t count;
  CHECK(info->vertex_count == VERTICES && info->shape_count == SHAPES && info->shape_net_count == 2);
  CHECK(roto_get_shape_landmarks(model, 1, &landmarks, &count) == ROTO_OK && count == 3);
  CHECK(count == 3 && landmarks[0] == 4 && landmarks[1] == 3 && landmarks[2] == 5);
  CHECK(roto_get_shape_landmarks(model, 3, &landmarks, &count) == ROTO_OK && count == 0);
  CHECK(roto_get_shape_landmarks(model, SHAPES, &landmarks, &count) == ROTO_ERR_ARGUMENT);
  roto_close(model);
}

static void shapes_follow_their_landmarks(roto_session *session) {
  roto_vertex at_rest[VERTICES], moved[VERTICES], single[4];
  roto_point points[LANDMARKS];
  CHECK(roto_find_shapes(session, face, at_rest) == ROTO_OK);
  for (uint32_t s = 0; s + 1 < SHAPES; s++) {
    CHECK(roto_predict_shape(session, s, face, single) == ROTO_OK);
    CHECK(memcmp(single, at_rest + firsts[s], counts[s] * sizeof *single) == 0, "shape %u differs alone", s);
  }
  for (uint32_t v = 0; v < VERTICES; v++) { /* vertices stand on their landmarks; the last shape is not predicted */
    static const int on[VERTICES] = {0, -1, 1, 2, 3, -1, 4, 5, 1, 3, -2, -2};
    if (on[v] >= 0) {
      double d = hypot(at_rest[v].x - (double)face[on[v]].x, at_rest[v].y - (double)face[on[v]].y);
      CHECK(d <= 0, "vertex %u lies %g beside its landmark", v, d);
    } else if (on[v] == -2) {
      CHECK(hypot(at_rest[v].x, at_rest[v].out_x) <= 0);
    }
  }
  /* Moved, turned and grown together. */
  const double m[6] = {1.5, -0.75, 40, 0.75, 1.5, -300};
  for (int i = 0; i < LANDMARKS; i++) {
    points[i] = face[i];
    points[i].x = (float)(m[0] * (double)face[i].x + m[1] * (double)face[i].y + m[2]);
    points[i].y = (float)(m[3] * (double)face[i].x + m[4] * (double)face[i].y + m[5]);
  }
  CHECK(roto_find_shapes(session, points, moved) == ROTO_OK);
  double d = difference(moved, at_rest, 10, m);
  CHECK(d < 1e-3, "the shapes differ by %g from what was moved", d);

  /* In the mirror: what was on the left is on the right, its vertices against their order. */
  static const int twins[LANDMARKS] = {4, 3, 5, 1, 0, 2}, turned[4] = {2, 1, 0, 3};
  roto_vertex expected[4];
  for (int i = 0; i < LANDMARKS; i++) {
    points[twins[i]] = face[i];
    points[twins[i]].x = 320 - face[i].x;
  }
  CHECK(roto_predict_shape(session, 1, points, single) == ROTO_OK);
  for (int i = 0; i < 4; i++) {
    const roto_vertex *v = &at_rest[turned[i]];
    roto_vertex e = {320 - v->x, v->y, -v->out_x, v->out_y, -v->in_x, v->in_y, 0};
    expected[i] = e;
  }
  d = difference(single, expected, 4, same);
  CHECK(d < 1e-4, "the mirrored shape differs by %g", d);

  /* One landmark dragged: the shapes without it stay the same bits. */
  memcpy(points, face, sizeof face);
  points[2].x += 3;
  CHECK(roto_find_shapes(session, points, moved) == ROTO_OK);
  CHECK(memcmp(moved + 4, at_rest + 4, (VERTICES - 4) * sizeof *moved) == 0);
  CHECK(difference(moved, at_rest, 4, same) > 0.01);
}

/* Frames of pixels that are not square: the shapes of the picture as it is seen, squeezed like the landmarks. */
static void anamorphic_shapes_are_squeezed(const roto_model *model, roto_session *session) {
  roto_session_options options;
  roto_session *squeezed;
  roto_vertex plain[VERTICES], found[VERTICES];
  roto_point points[LANDMARKS];
  const double m[6] = {0.5, 0, 0, 0, 1, 0};
  memset(&options, 0, sizeof options);
  options.pixel_aspect = 2;
  memcpy(points, face, sizeof face);
  for (int i = 0; i < LANDMARKS; i++) points[i].x /= 2;
  CHECK(roto_session_create(model, &options, &squeezed) == ROTO_OK);
  CHECK(roto_find_shapes(session, face, plain) == ROTO_OK && roto_find_shapes(squeezed, points, found) == ROTO_OK);
  double d = difference(found, plain, 10, m);
  CHECK(d < 1e-4, "the squeezed shapes differ by %g", d);
  roto_session_free(squeezed);
}

static void bad_landmarks_are_refused(roto_session *session) {
  roto_vertex vertices[VERTICES];
  roto_point points[LANDMARKS];
  memcpy(points, face, sizeof face);
  points[0].y = NAN;
  CHECK(roto_predict_shape(session, 0, points, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_predict_shape(session, 1, points, vertices) == ROTO_OK); /* does not depend on it */
  points[0].y = 2e9f;
  CHECK(roto_find_shapes(session, points, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_predict_shape(session, 3, face, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_predict_shape(session, SHAPES, face, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_predict_shape(session, 0, NULL, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_predict_shape(session, 0, face, NULL) == ROTO_ERR_ARGUMENT);
  /* Extremes in one place give no frame: the shape shrinks to its landmarks, without anything that is not finite. */
  memcpy(points, face, sizeof face);
  points[1] = points[0];
  CHECK(roto_predict_shape(session, 0, points, vertices) == ROTO_OK);
  for (int i = 0; i < 4; i++) CHECK(isfinite(vertices[i].x + vertices[i].y) && hypot(vertices[i].in_x, vertices[i].out_y) <= 0);
}

/* A model with landmarks alone draws nothing. */
static void shapes_need_networks(void) {
  roto_model *model;
  roto_session *session;
  roto_vertex vertices[8];
  const uint32_t *landmarks;
  uint32_t count;
  CHECK(roto_open_file("model_format/valid/dense.roto", NULL, &model) == ROTO_OK);
  CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
  CHECK(roto_get_info(model)->shape_net_count == 0 && roto_get_info(model)->vertex_count == 5);
  CHECK(roto_get_shape_landmarks(model, 0, &landmarks, &count) == ROTO_OK && count == 0);
  CHECK(roto_predict_shape(session, 0, face, vertices) == ROTO_ERR_ARGUMENT);
  CHECK(roto_find_shapes(session, face, vertices) == ROTO_ERR_ARGUMENT);
  roto_session_free(session);
  roto_close(model);
}

/* Dragging a point must feel immediate: 50 microseconds are the promise, on any machine that is not standing still. */
static void one_shape_is_quick(roto_session *session, const char *isa) {
  double best = 1;
  roto_vertex vertices[4];
  for (int round = 0; round < 20; round++) {
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 50; i++) roto_predict_shape(session, 0, face, vertices);
    clock_gettime(CLOCK_MONOTONIC, &to);
    best = fmin(best, ((double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec)) / 50);
  }
  CHECK(best < 50e-6, "%s: %.1f microseconds", isa, 1e6 * best);
}

int main(void) {
  roto_vertex first[VERTICES], other[VERTICES];
  for (int isa = ROTO_ISA_SCALAR; isa <= ROTO_ISA_AVX512; isa++) {
    const char *name = roto_isa_name((roto_isa)isa);
    if (isa > (int)roto_best_isa()) {
      SKIP(name);
      continue;
    }
    roto_model *model = open_example((roto_isa)isa);
    roto_session *session;
    CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
    CHECK(roto_selftest(session, NULL) == ROTO_OK);
    shapes_follow_their_landmarks(session);
    anamorphic_shapes_are_squeezed(model, session);
    bad_landmarks_are_refused(session);
    one_shape_is_quick(session, name);
    CHECK(roto_find_shapes(session, face, isa == ROTO_ISA_SCALAR ? first : other) == ROTO_OK);
    if (isa > ROTO_ISA_SCALAR) CHECK(difference(first, other, VERTICES, same) < 1e-4, "%s differs from plain C", name);
    roto_session_free(session);
    roto_close(model);
  }
  shapes_are_described();
  shapes_need_networks();
  return check_end("shapes");
}
