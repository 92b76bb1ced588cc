/* Shapes from landmarks: small dense networks, one for a shape or for two that mirror each other (model_format/SPEC.md, SHAP).
 *
 * A shape is drawn in a frame of its own, fixed by its two extreme landmarks, so its network sees neither place, scale nor
 * rotation.  The workspace holds a block's result and the input side by side, so that concatenation costs nothing:
 *
 *   [ result, `width` floats | input, 2 * landmarks | room ] [ hidden, `width` ] [ outputs ] */

#ifndef ROTOI_SHAPES
#define ROTOI_SHAPES

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "kernels.c"
#include "pack.c"
#include "format.c"

typedef struct rotoi_shape {
  const rotoi_shape_net *net; /* NULL: not predicted */
  const float *layers;        /* packed: for each layer weights, then biases up to a multiple of 16 */
  const uint32_t *landmarks;
  const int32_t *vertices; /* a landmark, or -1 */
  uint32_t landmark_count, vertex_count, first_vertex;
  uint32_t hidden, output; /* where the workspace's parts start */
  rotoi_shape_use use;
} rotoi_shape;

typedef struct rotoi_shapes {
  const rotoi_kernels *kernels;
  rotoi_shape *shapes; /* count: those of the template; 0 if the model has no shape networks */
  uint32_t count;
  rotoi_shape_net *nets;
  uint32_t *landmarks;
  int32_t *vertices;
  float *layers;
  size_t workspace; /* bytes */
} rotoi_shapes;

static void rotoi_shapes_free(rotoi_shapes *shapes, const roto_allocator *allocator) {
  rotoi_free(allocator, shapes->shapes);
  rotoi_free(allocator, shapes->nets);
  rotoi_free(allocator, shapes->landmarks);
  rotoi_free(allocator, shapes->vertices);
  rotoi_free(allocator, shapes->layers);
  memset(shapes, 0, sizeof *shapes);
}

/* Floats of n results of a layer, or of its biases, with the room that gemm needs. */
static inline size_t rotoi_shape_room(uint32_t n) {
  const size_t least = ROTOI_LANES;
  return rotoi_stride(n < least ? least : n);
}

static inline uint32_t rotoi_shape_layers(const rotoi_shape_net *net) {
  return 2 * net->blocks + 1;
}

/* What layer i reads and returns. */
static void rotoi_shape_layer(const rotoi_shape_net *net, uint32_t i, uint32_t *in, uint32_t *out) {
  *in = i == 0 ? 2 * net->landmarks : i % 2 ? net->width : net->width + 2 * net->landmarks;
  *out = i == 2 * net->blocks ? net->outputs : net->width;
}

/* Floats of the packed layers of a network; every number is below 2^11, so nothing overflows. */
static size_t rotoi_shape_packed(const rotoi_shape_net *net) {
  size_t count = 0;
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    rotoi_shape_layer(net, i, &in, &out);
    count += rotoi_packed_count(in, out) + rotoi_shape_room(out);
  }
  return count;
}

/* Pack the layers of a network; returns what follows its weights in the file. */
static const unsigned char *rotoi_shape_pack(const rotoi_shape_net *net, const rotoi_kernels *kernels,
                                             const unsigned char *weights, float *packed) {
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    rotoi_pack pack;
    rotoi_shape_layer(net, i, &in, &out);
    memset(&pack, 0, sizeof pack);
    pack.weights = weights;
    pack.taps = 1;
    pack.k = in;
    pack.columns = pack.row_stride = out;
    pack.col_stride = 1;
    pack.nr = kernels->nr;
    rotoi_pack_panels(&pack, packed);
    packed += rotoi_packed_count(in, out);
    weights += 4 * (size_t)in * out;
    for (uint32_t k = 0; k < out; ++k, weights += 4) packed[k] = rotoi_f32(weights);
    for (uint32_t k = out; k % 16 != 0; ++k) packed[k] = 0;
    packed += rotoi_shape_room(out);
  }
  return weights;
}

static roto_status rotoi_shapes_create(const rotoi_file *file, const rotoi_kernels *kernels, const roto_allocator *allocator,
                                       rotoi_shapes *shapes) {
  const unsigned char *weights = file->shape_weights, *list = file->shape_landmarks;
  size_t packed = 0, landmarks = 0, total;
  uint32_t first = 0;
  rotoi_shape_use use;
  memset(shapes, 0, sizeof *shapes);
  if (!file->shape_net_count) return ROTO_OK;
  shapes->kernels = kernels;
  shapes->shapes = (rotoi_shape *)rotoi_alloc(allocator, file->shape_count * sizeof *shapes->shapes);
  shapes->nets = (rotoi_shape_net *)rotoi_alloc(allocator, file->shape_net_count * sizeof *shapes->nets);
  shapes->vertices = (int32_t *)rotoi_alloc(allocator, file->vertex_count * sizeof *shapes->vertices);
  if (!shapes->shapes || !shapes->nets || !shapes->vertices) return ROTO_ERR_MEMORY;
  for (uint32_t i = 0; i < file->shape_net_count; ++i) {
    rotoi_read_shape_net(file, i, &shapes->nets[i]);
    if (!rotoi_add(packed, rotoi_shape_packed(&shapes->nets[i]), &packed)) return ROTO_ERR_LIMIT;
  }
  for (uint32_t i = 0; i < file->shape_count; ++i) {
    rotoi_read_shape_use(file, i, &use);
    if (use.network != ROTO_NONE) landmarks += shapes->nets[use.network].landmarks;
  }
  if (!rotoi_mul(packed, sizeof(float), &total)) return ROTO_ERR_LIMIT;
  shapes->layers = (float *)rotoi_alloc(allocator, total);
  shapes->landmarks = (uint32_t *)rotoi_alloc(allocator, landmarks * sizeof *shapes->landmarks);
  if (!shapes->layers || !shapes->landmarks) return ROTO_ERR_MEMORY;
  for (size_t i = 0; i < landmarks; ++i) shapes->landmarks[i] = rotoi_u32(list + 4 * i);
  rotoi_read_vertices(file, shapes->vertices);
  for (uint32_t i = 0, at = 0; i < file->shape_net_count; ++i) {
    weights = rotoi_shape_pack(&shapes->nets[i], kernels, weights, shapes->layers + at);
    at += (uint32_t)rotoi_shape_packed(&shapes->nets[i]);
  }

  shapes->count = file->shape_count;
  landmarks = 0;
  for (uint32_t i = 0; i < file->shape_count; ++i) {
    rotoi_shape *shape = &shapes->shapes[i];
    roto_shape described;
    memset(shape, 0, sizeof *shape);
    rotoi_read_shape(file, i, shapes->vertices, &described);
    rotoi_read_shape_use(file, i, &shape->use);
    shape->vertices = described.vertices;
    shape->vertex_count = described.vertex_count;
    shape->first_vertex = first;
    first += described.vertex_count;
    if (shape->use.network == ROTO_NONE) continue;
    const rotoi_shape_net *net = shape->net = &shapes->nets[shape->use.network];
    shape->layers = shapes->layers;
    for (uint32_t k = 0; k < shape->use.network; ++k) shape->layers += rotoi_shape_packed(&shapes->nets[k]);
    shape->landmarks = shapes->landmarks + landmarks;
    shape->landmark_count = net->landmarks;
    landmarks += net->landmarks;
    shape->hidden = (uint32_t)(rotoi_stride(net->width + 2 * net->landmarks));
    shape->output = shape->hidden + net->width;
    total = (shape->output + rotoi_shape_room(net->outputs)) * sizeof(float);
    if (total > shapes->workspace) shapes->workspace = total;
  }
  return ROTO_OK;
}

/* One dense layer: out[0..columns) = act(bias + in * weights); writes up to a multiple of 16. */
static const float *rotoi_shape_dense(const rotoi_kernels *kernels, const float *in, uint32_t k, uint32_t columns,
                                      const float *packed, int act, float *out) {
  const float *bias = packed + rotoi_packed_count(k, columns);
  rotoi_gemm g;
  memset(&g, 0, sizeof g);
  g.m = g.taps = 1;
  g.k = k;
  g.a = &in;
  g.act = act;
  for (size_t panel = 0; panel < rotoi_panel_count(columns, kernels->nr); ++panel) {
    const size_t first = panel * kernels->nr;
    g.nv = rotoi_panel_vectors(panel, columns, kernels->nr);
    g.b = packed + first * k;
    g.bias = bias + first;
    g.c = out + first;
    kernels->gemm(&g);
  }
  return bias + rotoi_shape_room(columns);
}

static float rotoi_shape_limit(double v) {
  return v < -100 ? -100.0f : v > 100 ? 100.0f : (float)v;
}

/* Draw a shape through its own landmarks, `own`, in the order of its list, in a picture whose pixels are `aspect` times as wide as
 * high.  The frame: canonical (u, v) is middle + u * along + v * across in the picture of square pixels, mirrored if the shape is. */
static void rotoi_draw_shape(const rotoi_shapes *shapes, uint32_t index, double aspect, const roto_point *own, float *workspace,
                             roto_vertex *vertices) {
  const rotoi_shape *shape = &shapes->shapes[index];
  const rotoi_shape_net *net = shape->net;
  float *input = workspace + net->width, *hidden = workspace + shape->hidden, *output = workspace + shape->output;
  const double stretch = shape->use.mirrored ? -aspect : aspect;
  const double dx = stretch * ((double)own[1].x - (double)own[0].x), dy = (double)own[1].y - (double)own[0].y;
  const double mx = stretch * ((double)own[0].x + (double)own[1].x) / 2, my = ((double)own[0].y + (double)own[1].y) / 2;
  const double square = dx * dx + dy * dy, inverse = square < 1e-12 ? 0 : 1 / square;
  for (uint32_t i = 0; i < net->landmarks; ++i) {
    const double x = stretch * (double)own[i].x - mx, y = (double)own[i].y - my;
    input[2 * i] = rotoi_shape_limit((x * dx + y * dy) * inverse);
    input[2 * i + 1] = rotoi_shape_limit((dx * y - dy * x) * inverse);
  }
  const float *layer = shape->layers;
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    const int is_last = i == 2 * net->blocks;
    rotoi_shape_layer(net, i, &in, &out);
    layer = rotoi_shape_dense(shapes->kernels,
                              i == 0  ? input
                              : i % 2 ? hidden
                                      : workspace,
                              in, out, layer, is_last ? ROTO_ACT_NONE : ROTO_ACT_RELU,
                              is_last ? output
                              : i % 2 ? workspace
                                      : hidden);
  }

  const float *place = output, *tangents = output + 2 * net->places;
  for (uint32_t i = 0; i < net->vertices; ++i, tangents += 4) {
    const uint32_t v = rotoi_shape_turn(&shape->use, net->vertices, i);
    const float *in = shape->use.reversed ? tangents + 2 : tangents, *out = shape->use.reversed ? tangents : tangents + 2;
    roto_vertex *vertex = &vertices[v];
    memset(vertex, 0, sizeof *vertex);
    if (shape->vertices[v] < 0) {
      vertex->x = (mx + (double)place[0] * dx - (double)place[1] * dy) / stretch;
      vertex->y = my + (double)place[0] * dy + (double)place[1] * dx;
      place += 2;
    } else {
      uint32_t k = 0;
      while (shape->landmarks[k] != (uint32_t)shape->vertices[v]) ++k;
      vertex->x = (double)own[k].x;
      vertex->y = (double)own[k].y;
    }
    vertex->in_x = ((double)in[0] * dx - (double)in[1] * dy) / stretch;
    vertex->in_y = (double)in[0] * dy + (double)in[1] * dx;
    vertex->out_x = ((double)out[0] * dx - (double)out[1] * dy) / stretch;
    vertex->out_y = (double)out[0] * dy + (double)out[1] * dx;
  }
}

/* See roto_predict_shape. */
static roto_status rotoi_predict_shape(const rotoi_shapes *shapes, uint32_t index, double aspect, const roto_point *points,
                                       float *workspace, roto_vertex *vertices) {
  const float most = 1e9f;
  roto_point own[ROTO_MAX_SHAPE_LANDMARKS];
  if (index >= shapes->count || !shapes->shapes[index].net) return ROTO_ERR_ARGUMENT;
  const rotoi_shape *shape = &shapes->shapes[index];
  for (uint32_t i = 0; i < shape->landmark_count; ++i) {
    own[i] = points[shape->landmarks[i]];
    if (!(own[i].x > -most && own[i].x < most && own[i].y > -most && own[i].y < most)) return ROTO_ERR_ARGUMENT;
  }
  rotoi_draw_shape(shapes, index, aspect, own, workspace, vertices);
  return ROTO_OK;
}

#endif /* ROTOI_SHAPES */
