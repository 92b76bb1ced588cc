/* A model that finds given points in whatever it sees, so that a test says what a network got wrong, and what the runtime makes
 * of it. */

#ifndef TESTS_FIXED_MODEL_H
#define TESTS_FIXED_MODEL_H

#include <stdio.h>

#include "../model_format/write.h"
#include "../roto.h"
#include "check.h"

enum { FIXED_MOST = 16 };

/* In the square of `side` pixels, with an expected error of `error` pixels; `shape` may be NULL. */
static unsigned char *fixed_model(const float (*points)[2], uint32_t count, const roto_shape *shape, float side, float error,
                                  size_t *size) {
  static const roto_part part = {"all", 1};
  static unsigned char pixels[4 * 4 * 3];
  static float weights[4 * 4 * 3 * 3 * FIXED_MOST];
  float output[3 * FIXED_MOST];
  roto_landmark landmarks[FIXED_MOST];
  char names[FIXED_MOST][4];
  roto_knot knot = {0, error / side};
  roto_node_desc nodes[2] = {{0}};
  roto_model_desc d = {0};
  unsigned char *bytes;
  for (uint32_t i = 0; i < count; i++) {
    snprintf(names[i], sizeof names[i], "p%u", i);
    landmarks[i] = (roto_landmark){names[i], "", 0, i, 1};
    for (uint32_t k = 0; k < 2; k++) output[3 * i + k] = points[i][k] / side;
    output[3 * i + 2] = 0;
  }
  nodes[0].op = ROTO_OP_INPUT, nodes[0].h = nodes[0].w = 4, nodes[0].c = 3;
  nodes[1].op = ROTO_OP_CONV, nodes[1].kh = nodes[1].kw = 4, nodes[1].stride = 1, nodes[1].input_count = 1,
  nodes[1].h = nodes[1].w = 1, nodes[1].c = 3 * count;
  nodes[1].tensors[0] = weights, nodes[1].tensors[1] = output;
  d.name = "fixed";
  d.input_width = d.input_height = 4, d.input_channels = 3, d.crop_margin = 1.4f;
  for (int c = 0; c < 3; c++) d.input_scale[c] = 1;
  d.landmarks = landmarks, d.landmark_count = count;
  d.parts = &part, d.part_count = 1;
  d.shapes = shape, d.shape_count = shape != NULL;
  d.knots = &knot, d.knot_count = 1;
  d.nodes = nodes, d.node_count = 2;
  d.test_pixels = pixels, d.test_output = output, d.test_tolerance = 1e-4f;
  CHECK(roto_write_model(&d, &bytes, size) == ROTO_OK);
  return bytes;
}

/* What the runtime finds with a model in the whole of a picture. */
static void fixed_find(const unsigned char *bytes, size_t size, const roto_image *image, int network_only, float aspect,
                       roto_point *points) {
  roto_model *model;
  roto_session *session;
  roto_session_options options = {0};
  options.network_only = network_only;
  options.pixel_aspect = aspect;
  const roto_rect all = {0, 0, (float)image->width, (float)image->height};
  if (!CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK)) return;
  CHECK(roto_session_create(model, &options, &session) == ROTO_OK);
  CHECK(roto_find_landmarks(session, image, all, points) == ROTO_OK);
  roto_session_free(session);
  roto_close(model);
}

#endif
