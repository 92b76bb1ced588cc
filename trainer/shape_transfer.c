/* See shape_transfer.h. */

#include "shape_transfer.h"

#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../tools/cli.h"

static uint32_t u32(const unsigned char *at) {
  return (uint32_t)roto_load(at, 4);
}

/* What the self-test expects of a shape: drawn through the landmarks that `test` (a TEST chunk) expects. */
static float *draw_test(roto_session *session, const roto_model *base, uint32_t shape, uint32_t vertex_count,
                        const unsigned char *test) {
  const roto_info *info = roto_get_info(base);
  uint32_t floats = info->output_count / info->landmark_count;
  roto_point *points = cli_alloc(info->landmark_count, sizeof *points);
  roto_vertex *v = cli_alloc(vertex_count, sizeof *v);
  float *expected = cli_alloc(6 * vertex_count, sizeof *expected);
  for (uint32_t k = 0; k < info->landmark_count; k++) {
    points[k].x = roto_load_float(test + ROTO_TEST_SIZE + 4 * (size_t)(k * floats));
    points[k].y = roto_load_float(test + ROTO_TEST_SIZE + 4 * (size_t)(k * floats + 1));
  }
  roto_status status = roto_predict_shape(session, shape, points, v);
  for (uint32_t i = 0; i < vertex_count; i++) {
    const double values[6] = {v[i].x, v[i].y, v[i].in_x, v[i].in_y, v[i].out_x, v[i].out_y};
    for (int k = 0; k < 6; k++) expected[6 * i + (uint32_t)k] = (float)values[k];
  }
  free(points);
  free(v);
  if (status == ROTO_OK) return expected;
  free(expected);
  return NULL;
}

int shapes_take_along(const model_file *base, unsigned char **bytes, size_t *size, char *message) {
  size_t length, test_length;
  const unsigned char *chunk = roto_find_chunk(base->data, ROTO_CHUNK_SHAP, &length), *at;
  const unsigned char *test = roto_find_chunk(*bytes, ROTO_CHUNK_TEST, &test_length);
  if (chunk == NULL) return 0;
  at = chunk + 16;
  roto_options options = {0};
  roto_model *model = NULL;
  roto_session *session = NULL;
  options.max_isa = ROTO_ISA_SCALAR;
  roto_status status = roto_open(base->data, base->size, &options, &model);
  if (status == ROTO_OK) status = roto_session_create(model, NULL, &session);
  uint32_t networks = u32(chunk), shapes = roto_get_info(base->model)->shape_count;
  roto_shape_net_desc *nets = cli_alloc(networks + 1, sizeof *nets);
  roto_shape_use_desc *uses = cli_alloc(shapes + 1, sizeof *uses);
  for (uint32_t i = 0; i < networks; i++, at += 20)
    nets[i] = (roto_shape_net_desc){u32(at), u32(at + 4), u32(at + 8), u32(at + 12), u32(at + 16), NULL};
  for (uint32_t i = 0; i < shapes; i++, at += 16)
    uses[i] = (roto_shape_use_desc){u32(at), u32(at + 4) != 0, u32(at + 8) != 0, u32(at + 12), NULL, NULL};
  for (uint32_t i = 0; i < shapes && status == ROTO_OK; i++) {
    if (uses[i].network == ROTO_NONE) continue;
    const roto_shape_net_desc *net = &nets[uses[i].network];
    uint32_t *landmarks = cli_alloc(net->landmarks, sizeof *landmarks);
    for (uint32_t k = 0; k < net->landmarks; k++, at += 4) landmarks[k] = u32(at);
    uses[i].landmarks = landmarks;
    uses[i].test = draw_test(session, model, i, net->vertices, test);
    if (uses[i].test == NULL) status = ROTO_ERR_ARGUMENT;
  }
  at = chunk + ((size_t)(at - chunk) + 63) / 64 * 64;
  for (uint32_t i = 0; i < networks; i++) {
    size_t count = (size_t)roto_shape_net_floats(&nets[i]);
    float *floats = cli_alloc(count, sizeof *floats);
    for (size_t k = 0; k < count; k++, at += 4) floats[k] = roto_load_float(at);
    nets[i].floats = floats;
  }
  roto_shapes_desc desc = {nets, uses, networks, shapes};
  unsigned char *with_shapes = NULL;
  size_t new_size = 0;
  if (status == ROTO_OK) status = roto_write_shapes(*bytes, *size, &desc, &with_shapes, &new_size);
  for (uint32_t i = 0; i < networks; i++) free((void *)(uintptr_t)nets[i].floats);
  for (uint32_t i = 0; i < shapes; i++) {
    free((void *)(uintptr_t)uses[i].landmarks);
    free((void *)(uintptr_t)uses[i].test);
  }
  free(nets);
  free(uses);
  roto_session_free(session);
  roto_close(model);
  if (status != ROTO_OK) return message_set(message, "the shape networks cannot be taken along: %s", roto_status_text(status));
  free(*bytes);
  *bytes = with_shapes;
  *size = new_size;
  return 0;
}
