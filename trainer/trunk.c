/* See trunk.h.  The reader has checked every rule of the format when the model opened, so the nodes are taken as they stand. */

#include "trunk.h"

#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "rng.h"

static uint32_t u32(const unsigned char *at) {
  return (uint32_t)roto_load(at, 4);
}

static const unsigned char *chunk(const model_file *file, uint32_t which) {
  size_t length;
  return roto_find_chunk((const unsigned char *)file->data, which, &length);
}

static uint32_t read_nodes(trunk *t) {
  const unsigned char *list = chunk(&t->file, ROTO_CHUNK_NETW);
  const unsigned char *directory = chunk(&t->file, ROTO_CHUNK_TDIR) + ROTO_LIST_SIZE;
  const unsigned char *data = chunk(&t->file, ROTO_CHUNK_DATA);
  uint32_t count = u32(list + ROTO_LIST_COUNT);
  t->nodes = calloc(count, sizeof *t->nodes);
  t->needed = calloc(count, 1);
  t->tensors = calloc(4 * (size_t)count, sizeof *t->tensors);
  if (t->nodes == NULL || t->needed == NULL || t->tensors == NULL) return 0;
  for (uint32_t i = 0; i < count; i++) {
    const unsigned char *record = list + ROTO_LIST_SIZE + (size_t)i * ROTO_NODE_SIZE;
    roto_node_desc *n = &t->nodes[i];
    uint32_t *window[] = {&n->kh,         &n->kw,        &n->stride, &n->pad_top, &n->pad_left,
                          &n->pad_bottom, &n->pad_right, &n->h,      &n->w,       &n->c};
    n->op = (uint16_t)roto_load(record + ROTO_NODE_OP, 2);
    n->act = (uint16_t)roto_load(record + ROTO_NODE_ACT, 2);
    n->input_count = u32(record + ROTO_NODE_INPUT_COUNT);
    for (uint32_t k = 0; k < n->input_count; k++) n->inputs[k] = u32(record + ROTO_NODE_INPUTS + 4 * k);
    for (size_t k = 0; k < sizeof window / sizeof *window; k++) *window[k] = u32(record + ROTO_NODE_KERNEL + 4 * k);
    n->epsilon = roto_load_float(record + ROTO_NODE_EPSILON);
    n->channels_per_point = u32(record + ROTO_NODE_PER_POINT);
    for (int k = 0; k < 4; k++) {
      uint32_t id = u32(record + ROTO_NODE_TENSORS + 4 * k);
      const unsigned char *entry = directory + (size_t)id * ROTO_TENSOR_SIZE;
      if (id != ROTO_NONE) n->tensors[k] = (const float *)(const void *)(data + roto_load(entry + ROTO_TENSOR_OFFSET, 8));
    }
  }
  return count;
}

int trunk_load(const char *path, int whole, trunk *t, char *message) {
  memset(t, 0, sizeof *t);
  if (model_open(path, ROTO_ISA_AUTO, &t->file, message) != 0) return -1;
  uint32_t count = roto_get_info(t->file.model)->input_channels == 3 ? read_nodes(t) : 0;
  if (count == 0) {
    trunk_free(t);
    return message_set(message, "%s: expected a model of three channels (or there is no memory for it)", path);
  }
  t->last = count - 1;
  if (!whole && t->nodes[t->last].op == ROTO_OP_POINTS) t->last = t->nodes[t->nodes[t->last].inputs[0]].inputs[0];
  while (!whole && t->last > 0 && t->nodes[t->last].h * t->nodes[t->last].w == 1) t->last = t->nodes[t->last].inputs[0];
  if (t->last == 0) {
    trunk_free(t);
    return message_set(message, "%s: expected a network with feature maps, found none to build on", path);
  }
  t->needed[t->last] = 1;
  for (uint32_t i = t->last; i > 0; i--)
    for (uint32_t k = 0; t->needed[i] && k < t->nodes[i].input_count; k++) t->needed[t->nodes[i].inputs[k]] = 1;
  t->hash = 0xcbf29ce484222325u;
  const unsigned char *bytes = t->file.data;
  for (size_t i = 0; i < t->file.size; i++) t->hash = (t->hash ^ bytes[i]) * 0x100000001b3u;
  return 0;
}

void trunk_free(trunk *t) {
  model_close(&t->file);
  free(t->nodes);
  free(t->needed);
  free(t->tensors);
  memset(t, 0, sizeof *t);
}

int trunk_build(trunk *t, network *net, uint32_t *x, char *message) {
  uint32_t *place = calloc((size_t)t->last + 1, sizeof *place);
  if (place == NULL) return message_set(message, "out of memory");
  t->param_count = 0;
  for (uint32_t i = 1; i <= t->last; i++) {
    roto_node_desc n = t->nodes[i];
    if (!t->needed[i]) continue;
    const roto_node_desc *in = &t->nodes[n.inputs[0]];
    for (uint32_t k = 0; k < n.input_count; k++) n.inputs[k] = place[n.inputs[k]];
    const net_node *now = &net->nodes[n.inputs[0]];
    if (n.op == ROTO_OP_POINTS)
      place[i] = net_points(net, n.inputs[0], roto_get_info(t->file.model)->landmark_count);
    else if (n.op != ROTO_OP_DENSE || (now->h == in->h && now->w == in->w)) /* its weights are for one size */
      place[i] = net_append(net, &n);
    if (place[i] == 0) {
      free(place);
      return message_set(message, "layer %u of the trunk does not fit a picture of %u x %u; its own size is %u x %u", i,
                         net->nodes[0].w, net->nodes[0].h, t->nodes[0].w, t->nodes[0].h);
    }
    for (int k = 0; k < 4; k++)
      if (n.tensors[k] != NULL) t->tensors[t->param_count++] = n.tensors[k];
  }
  *x = place[t->last];
  t->node_count = net->node_count;
  free(place);
  return 0;
}

uint32_t trunk_knots(const trunk *t, roto_knot *knots, uint32_t room) {
  const unsigned char *list = chunk(&t->file, ROTO_CHUNK_CALB);
  uint32_t count = u32(list + ROTO_LIST_COUNT);
  for (uint32_t i = 0; i < count && i < room; i++) {
    const unsigned char *knot = list + ROTO_LIST_SIZE + (size_t)i * ROTO_KNOT_SIZE;
    knots[i] = (roto_knot){roto_load_float(knot), roto_load_float(knot + 4)};
  }
  return count < room ? count : room;
}

void trunk_fill(const trunk *t, network *net) {
  for (uint32_t i = 0; i < t->param_count; i++)
    for (size_t k = 0; k < net->params[i].count; k++) net->values[net->params[i].offset + k] = (real)t->tensors[i][k];
}

static int is_alike(const network *a, const network *b) {
  if (a->node_count != b->node_count || a->param_count != b->param_count) return 0;
  for (uint32_t i = 0; i < a->node_count; i++)
    if (a->nodes[i].op != b->nodes[i].op || a->nodes[i].act != b->nodes[i].act) return 0;
  for (uint32_t i = 0; i < a->param_count; i++)
    if (a->params[i].count != b->params[i].count) return 0;
  return 1;
}

int trunk_blend(const char *path, double share, network *net, char *message) {
  trunk t;
  network other;
  if (trunk_load(path, 1, &t, message) != 0) return -1;
  net_init(&other);
  uint32_t x = net_input(&other, net->nodes[0].w, net->nodes[0].h, 3);
  int status = trunk_build(&t, &other, &x, message);
  if (status == 0 && !is_alike(net, &other))
    status = message_set(message, "%s: its network has other layers; averaged are models that were trained on from one", path);
  for (uint32_t i = 0; i < t.param_count && status == 0; i++)
    for (size_t k = 0; k < net->params[i].count; k++) {
      real *value = &net->values[net->params[i].offset + k];
      *value += (real)(share * ((double)t.tensors[i][k] - (double)*value));
    }
  net_free(&other);
  trunk_free(&t);
  return status;
}
