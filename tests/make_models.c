/* Makes model_format/valid/ and model_format/invalid/:
 *
 *   cc -std=c99 tests/make_models.c model_format/write.c -lm -o make_models && ./make_models model_format
 *
 * The same program always writes the same bytes; test_format.c checks the files in the repository against it.
 *
 * Valid models come from descriptions through the writer; the expected output of their self-tests comes from the interpreter of
 * networks.h, which works in double, loop by loop as roto_format.h defines the operations, and shares nothing with the runtime.
 * Invalid models are valid ones with one number changed, so that each breaks one rule; the few that take more are built by
 * hand at the end.  index.txt lists file, status and rule. */

#define _POSIX_C_SOURCE 200809L

#include "../model_format/write.h"
#include "networks.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void die(const char *what, const char *why) {
  fprintf(stderr, "make_models: %s: %s\n", what, why);
  exit(1);
}

/* ---- numbers: a small generator whose floats are exact multiples of 1/256 ---- */

static uint64_t random_state;

static uint32_t random_bits(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 40);
}

static float random_float(float low, float high) {
  return low + (high - low) * (float)(random_bits() % 256) / 256;
}

static void interpret(const roto_model_desc *m, float *output) {
  const roto_node_desc *last = &m->nodes[m->node_count - 1];
  size_t inputs = (size_t)m->input_height * m->input_width * m->input_channels;
  net *n = net_memory(sizeof *n);
  double *input = net_memory(inputs * sizeof *input), *values, *bound;
  n->count = m->node_count;
  memcpy(n->nodes, m->nodes, m->node_count * sizeof *m->nodes);
  for (size_t i = 0; i < inputs; i++) {
    size_t c = i % m->input_channels;
    input[i] = (m->test_pixels[i] / 255.0 - (double)m->input_mean[c]) * (double)m->input_scale[c];
  }
  net_interpret_doubles(n, input, &values, &bound);
  for (size_t i = 0; i < (size_t)last->h * last->w * last->c; i++) output[i] = (float)values[i];
  free(values);
  free(bound);
  free(input);
  net_free(n);
}

/* ---- shapes ---- */

/* One layer in double: out = act(bias + in * weight).  Returns what follows it in the weights. */
static const float *run_layer(const float *weights, const double *in, uint32_t ins, uint32_t outs, int relu, double *out) {
  for (uint32_t o = 0; o < outs; o++) {
    out[o] = (double)weights[ins * outs + o];
    for (uint32_t i = 0; i < ins; i++) out[o] += in[i] * (double)weights[i * outs + o];
    if (relu && out[o] < 0) out[o] = 0;
  }
  return weights + (ins + 1) * outs;
}

/* The shape that SPEC.md's SHAP describes, through landmarks at `point` (`floats` apart), into vertices of 6 numbers. */
static void draw_shape(const roto_shape_net_desc *n, const roto_shape_use_desc *u, const roto_shape *shape, const float *point,
                       uint32_t floats, float *vertices) {
  double a[ROTO_MAX_SHAPE_WIDTH + 2 * ROTO_MAX_SHAPE_LANDMARKS], hidden[ROTO_MAX_SHAPE_WIDTH],
      result[6 * ROTO_MAX_SHAPE_VERTICES];
  double sign = u->mirrored ? -1 : 1, input[2 * ROTO_MAX_SHAPE_LANDMARKS];
  double ax = sign * (double)point[floats * u->landmarks[0]], ay = (double)point[floats * u->landmarks[0] + 1];
  double bx = sign * (double)point[floats * u->landmarks[1]], by = (double)point[floats * u->landmarks[1] + 1];
  double dx = bx - ax, dy = by - ay, mx = (ax + bx) / 2, my = (ay + by) / 2, square = dx * dx + dy * dy;
  const float *weights = n->floats;
  const double *place = result, *tangent = result + 2 * n->places;
  uint32_t points = 2 * n->landmarks;
  for (uint32_t i = 0; i < n->landmarks; i++) {
    double x = sign * (double)point[floats * u->landmarks[i]] - mx, y = (double)point[floats * u->landmarks[i] + 1] - my;
    input[2 * i] = (x * dx + y * dy) / square;
    input[2 * i + 1] = (dx * y - dy * x) / square;
  }
  memcpy(a, input, points * sizeof *a);
  for (uint32_t b = 0; b < n->blocks; b++) {
    weights = run_layer(weights, a, b ? n->width + points : points, n->width, 1, hidden);
    weights = run_layer(weights, hidden, n->width, n->width, 1, a);
    memcpy(a + n->width, input, points * sizeof *a);
  }
  run_layer(weights, a, n->width + points, 2 * n->places + 4 * n->vertices, 0, result);
  for (uint32_t i = 0; i < n->vertices; i++, tangent += 4) {
    uint32_t v = (u->first + (u->reversed ? n->vertices - i : i)) % n->vertices;
    float *vertex = vertices + 6 * v;
    int turned = u->reversed ? 4 : 2;
    for (int k = 0; k < 4; k += 2) {
      double tu = tangent[k], tv = tangent[k + 1];
      int where = k ? 6 - turned : turned;
      vertex[where] = (float)(sign * (tu * dx - tv * dy));
      vertex[where + 1] = (float)(tu * dy + tv * dx);
    }
    if (shape->vertices[v] >= 0) {
      vertex[0] = point[floats * (uint32_t)shape->vertices[v]];
      vertex[1] = point[floats * (uint32_t)shape->vertices[v] + 1];
    } else {
      vertex[0] = (float)(sign * (mx + place[0] * dx - place[1] * dy));
      vertex[1] = (float)(my + place[0] * dy + place[1] * dx);
      place += 2;
    }
  }
}

/* ---- valid models ---- */

enum { MAX_NODES = 32, MAX_OUTPUTS = 64, MAX_PIXELS = 4096, MAX_WEIGHTS = 16384 };

/* A description and the arrays it points to. */
typedef struct model {
  roto_model_desc desc;
  roto_node_desc nodes[MAX_NODES];
  unsigned char pixels[MAX_PIXELS];
  float output[MAX_OUTPUTS], weights[MAX_WEIGHTS];
  size_t weight_count;
  roto_shapes_desc shapes; /* no networks: no shapes */
  roto_shape_net_desc shape_nets[2];
  roto_shape_use_desc shape_uses[4];
  float shape_tests[4][6 * 4];
  void (*second)(struct model *m); /* describes the model of the second look; NULL: there is none */
  uint32_t looks[8], look_count;
  float ranges[MAX_NODES][2]; /* for int8, where with_ranges says so */
  int with_ranges;
  roto_contour_desc contours[2];
  uint32_t contour_count; /* 0: none */
  float filters[2][ROTO_CONTOUR_PLACES][ROTO_CONTOUR_FLOATS];
  roto_distribution_desc distribution; /* of no components: none */
  float lying[3][6][2];                /* its mean and components */
} model;

static void answer_ranges(model *m) {
  const uint32_t count = m->desc.node_count;
  for (uint32_t i = 0; i < count; i++) {
    const roto_node_desc *node = &m->nodes[i];
    static float values[4096];
    size_t size = (size_t)node->h * node->w * node->c;
    if (size > COUNT(values)) die(m->desc.name, "a node has more values than there is room for");
    m->desc.node_count = i + 1;
    m->ranges[i][0] = m->ranges[i][1] = 0;
    if (i == 0) {
      m->ranges[i][0] = -4, m->ranges[i][1] = 4;
      continue;
    }
    interpret(&m->desc, values);
    for (size_t k = 0; k < size; k++) {
      m->ranges[i][0] = fminf(m->ranges[i][0], values[k]);
      m->ranges[i][1] = fmaxf(m->ranges[i][1], values[k]);
    }
  }
  m->desc.node_count = count;
}

/* The self-test's answers. */
static void answer(model *m) {
  interpret(&m->desc, m->output);
  for (uint32_t i = 0; i < m->shapes.shape_count; i++) {
    const roto_shape_use_desc *u = &m->shape_uses[i];
    if (u->network != ROTO_NONE) draw_shape(&m->shape_nets[u->network], u, &m->desc.shapes[i], m->output, 2, m->shape_tests[i]);
  }
  if (m->with_ranges) answer_ranges(m);
}

/* Append a node with inputs a and b (0: none, the picture apart) and give it random weights of about unit gain. */
static uint32_t add(model *m, roto_node_desc node, int with_bias) {
  uint32_t index = m->desc.node_count++;
  if (index >= MAX_NODES) die(m->desc.name, "more nodes than MAX_NODES");
  m->nodes[index] = node;
  for (uint32_t slot = 0; slot < 4; slot++) {
    size_t count = (size_t)roto_tensor_count(m->nodes, index, slot);
    float *w = m->weights + m->weight_count, range = 0.5f;
    if (slot == 1 && node.op != ROTO_OP_BATCHNORM && !with_bias) count = 0;
    if (count == 0) continue;
    if (m->weight_count + count > MAX_WEIGHTS) die(m->desc.name, "more weights than MAX_WEIGHTS");
    if (slot == 0 && node.op != ROTO_OP_BATCHNORM) range = 2 / sqrtf((float)count / (float)node.c);
    for (size_t i = 0; i < count; i++)
      w[i] = node.op == ROTO_OP_BATCHNORM && (slot & 1) == (slot >> 1) ? random_float(0.5f, 1.5f) : random_float(-range, range);
    m->nodes[index].tensors[slot] = w;
    m->weight_count += count;
  }
  return index;
}

static roto_node_desc plain(int op, int act, uint32_t input, uint32_t h, uint32_t w, uint32_t c) {
  roto_node_desc node = {0};
  node.op = (uint16_t)op;
  node.act = (uint16_t)act;
  node.input_count = op == ROTO_OP_INPUT ? 0 : 1;
  node.inputs[0] = input;
  node.h = h;
  node.w = w;
  node.c = c;
  return node;
}

static roto_node_desc pair(int op, int act, uint32_t a, uint32_t b, uint32_t h, uint32_t w, uint32_t c) {
  roto_node_desc node = plain(op, act, a, h, w, c);
  node.input_count = 2;
  node.inputs[1] = b;
  return node;
}

/* A convolution or pool with `pad` on all sides. */
static roto_node_desc windowed(int op, int act, uint32_t input, uint32_t kernel, uint32_t stride, uint32_t pad, uint32_t h,
                               uint32_t w, uint32_t c) {
  roto_node_desc node = plain(op, act, input, h, w, c);
  node.kh = node.kw = kernel;
  node.stride = stride;
  node.pad_top = node.pad_left = node.pad_bottom = node.pad_right = pad;
  return node;
}

static roto_node_desc batchnorm(int act, uint32_t input, uint32_t h, uint32_t w, uint32_t c) {
  roto_node_desc node = plain(ROTO_OP_BATCHNORM, act, input, h, w, c);
  node.epsilon = 0.001f;
  return node;
}

static roto_node_desc point_head(uint32_t input, uint32_t landmarks, uint32_t channels_per_point) {
  roto_node_desc node = plain(ROTO_OP_POINTS, ROTO_ACT_NONE, input, 1, 1, 3 * landmarks);
  node.channels_per_point = channels_per_point;
  return node;
}

static const roto_part one_part[] = {{"face", 1}};
static const roto_part two_parts[] = {{"eyes", 2}, {"mouth", 0.5f}};
static const roto_landmark two_landmarks[] = {{"p0", "", 0, 1, 1}, {"p1", "", 0, 0, 1}};
static const roto_landmark three_landmarks[] = {
    {"eye.left", "largest curvature, left half\nof shape \"lids\"", 0, 1, 1},
    {"eye.right", "", 0, 0, 1},
    {"l\xc3\xa8vre", "", 1, 2, 0.25f},
};
static const int32_t lids_vertices[] = {0, -1, 1}, line_vertices[] = {2, 0};
static const roto_shape two_shapes[] = {{"lids", 1, 3, lids_vertices}, {"line", 0, 2, line_vertices}};
static const roto_knot one_knot[] = {{0, 0.03125f}};
static const roto_knot four_knots[] = {{0, 0.0078125f}, {0.0625f, 0.015625f}, {0.125f, 0.0625f}, {0.5f, 0.25f}};

static void begin(model *m, const char *name, const char *description, uint32_t h, uint32_t w, uint32_t c) {
  roto_model_desc *d = &m->desc;
  memset(m, 0, sizeof *m);
  random_state = 1;
  for (const char *s = name; *s; s++) random_state = random_state * 31 + (unsigned char)*s;
  d->name = name;
  d->description = description;
  d->input_width = w;
  d->input_height = h;
  d->input_channels = c;
  for (uint32_t i = 0; i < c; i++) {
    d->input_mean[i] = 0.5f - 0.125f * (float)i;
    d->input_scale[i] = 2 + 0.5f * (float)i;
  }
  d->crop_margin = 1.375f;
  d->parts = one_part;
  d->part_count = COUNT(one_part);
  d->landmarks = two_landmarks;
  d->landmark_count = COUNT(two_landmarks);
  d->knots = four_knots;
  d->knot_count = COUNT(four_knots);
  d->nodes = m->nodes;
  d->test_pixels = m->pixels;
  d->test_output = m->output;
  d->test_tolerance = 0.00001f;
  for (uint32_t i = 0; i < h * w * c; i++) m->pixels[i] = (unsigned char)random_bits();
  add(m, plain(ROTO_OP_INPUT, ROTO_ACT_NONE, 0, h, w, c), 0);
}

/* A flattened dense layer that returns x, y for each landmark; shapes, parts, UTF-8. */
static void make_dense(model *m) {
  begin(m, "dense", "Convolution, flattening, dense layer.", 7, 5, 3);
  m->desc.landmarks = three_landmarks;
  m->desc.landmark_count = COUNT(three_landmarks);
  m->desc.parts = two_parts;
  m->desc.part_count = COUNT(two_parts);
  m->desc.shapes = two_shapes;
  m->desc.shape_count = COUNT(two_shapes);
  m->desc.knots = one_knot;
  m->desc.knot_count = COUNT(one_knot);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_RELU, 0, 3, 2, 1, 4, 3, 5), 1);
  add(m, plain(ROTO_OP_DENSE, ROTO_ACT_NONE, 1, 1, 1, 6), 1);
}

/* Grey, linear light, heat maps alone. */
static void make_heat(model *m) {
  begin(m, "heat", "", 6, 9, 1);
  m->desc.input_transfer = ROTO_TRANSFER_LINEAR;
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 3, 1, 1, 6, 9, 2), 0);
  add(m, point_head(1, 2, 1), 0);
}

/* Heat maps with offsets, RGBA input, padding on two sides only. */
static void make_offsets(model *m) {
  roto_node_desc conv = windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 4, 2, 0, 4, 4, 6);
  begin(m, "offsets", "", 8, 8, 4);
  conv.pad_bottom = conv.pad_right = 2;
  add(m, conv, 1);
  add(m, point_head(1, 2, 3), 0);
}

/* No landmarks: the output is a map. */
static void make_bare(model *m) {
  begin(m, "bare", "A trunk.", 5, 6, 3);
  m->desc.landmark_count = m->desc.part_count = 0;
  m->desc.knots = one_knot;
  m->desc.knot_count = COUNT(one_knot);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_SWISH, 0, 3, 2, 1, 3, 3, 5), 1);
}

/* Every operation and every activation. */
static void make_all(model *m) {
  uint32_t trunk, side, gate, sum, small, wide;
  begin(m, "all", "Every operation and every activation.", 6, 8, 3);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 1, 1, 0, 6, 8, 5), 0);
  trunk = add(m, batchnorm(ROTO_ACT_SWISH, 1, 6, 8, 5), 0);
  side = add(m, windowed(ROTO_OP_DEPTHWISE, ROTO_ACT_HARD_SWISH, trunk, 3, 1, 1, 6, 8, 5), 1);
  gate = add(m, plain(ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, side, 1, 1, 5), 0);
  gate = add(m, plain(ROTO_OP_DENSE, ROTO_ACT_HARD_SIGMOID, gate, 1, 1, 5), 1);
  side = add(m, pair(ROTO_OP_SCALE, ROTO_ACT_NONE, side, gate, 6, 8, 5), 0);
  sum = add(m, pair(ROTO_OP_ADD, ROTO_ACT_RELU, trunk, side, 6, 8, 5), 0);
  small = add(m, windowed(ROTO_OP_MAXPOOL, ROTO_ACT_NONE, sum, 2, 2, 0, 3, 4, 5), 0);
  wide = add(m, windowed(ROTO_OP_AVGPOOL, ROTO_ACT_NONE, sum, 3, 2, 1, 3, 4, 5), 0);
  wide = add(m, pair(ROTO_OP_CONCAT, ROTO_ACT_NONE, small, wide, 3, 4, 10), 0);
  small = add(m, windowed(ROTO_OP_CONV, ROTO_ACT_RELU6, wide, 1, 1, 0, 3, 4, 5), 1);
  wide = add(m, plain(ROTO_OP_UPSAMPLE, ROTO_ACT_NONE, small, 6, 8, 5), 0);
  wide = add(m, pair(ROTO_OP_ADD, ROTO_ACT_NONE, wide, sum, 6, 8, 5), 0);
  wide = add(m, plain(ROTO_OP_ACT, ROTO_ACT_SIGMOID, wide, 6, 8, 5), 0);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, wide, 1, 1, 0, 6, 8, 6), 1);
  add(m, point_head(wide + 1, 2, 3), 0);
}

static const roto_landmark six_landmarks[] = {{"left.outer", "", 0, 4, 1},  {"left.inner", "", 0, 3, 1},
                                              {"left.lower", "", 0, 5, 1},  {"right.inner", "", 0, 1, 1},
                                              {"right.outer", "", 0, 0, 1}, {"right.lower", "", 0, 2, 1}};

/* Shape networks: one for two shapes that mirror each other, one with neither room nor places, none for the last shape. */
static void make_shapes(model *m) {
  static const int32_t left[] = {0, -1, 1, 2}, right[] = {3, -1, 4, 5}, line[] = {1, 3}, loose[] = {2, 5};
  static const roto_shape shapes[] = {
      {"left", 1, 4, left}, {"right", 1, 4, right}, {"line", 0, 2, line}, {"loose", 0, 2, loose}};
  static const uint32_t of_left[] = {0, 1, 2}, of_right[] = {4, 3, 5}, of_line[] = {3, 1};
  static const roto_shape_net_desc nets[] = {{3, 4, 1, 2, 16, NULL}, {2, 2, 0, 1, 16, NULL}};
  static const roto_shape_use_desc uses[] = {
      {0, 0, 0, 0, of_left, NULL}, {0, 1, 1, 2, of_right, NULL}, {1, 0, 1, 1, of_line, NULL}, {ROTO_NONE, 0, 0, 0, NULL, NULL}};
  begin(m, "shapes", "Landmarks, and shapes through them.", 4, 5, 3);
  m->desc.landmarks = six_landmarks;
  m->desc.landmark_count = COUNT(six_landmarks);
  m->desc.shapes = shapes;
  m->desc.shape_count = COUNT(shapes);
  m->desc.knots = one_knot;
  m->desc.knot_count = COUNT(one_knot);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_RELU, 0, 3, 2, 1, 2, 3, 4), 1);
  add(m, plain(ROTO_OP_DENSE, ROTO_ACT_NONE, 1, 1, 1, 12), 1);
  memcpy(m->shape_nets, nets, sizeof nets);
  memcpy(m->shape_uses, uses, sizeof uses);
  m->shapes.networks = m->shape_nets;
  m->shapes.network_count = COUNT(nets);
  m->shapes.shapes = m->shape_uses;
  m->shapes.shape_count = COUNT(uses);
  for (size_t i = 0; i < COUNT(uses); i++) m->shape_uses[i].test = m->shape_tests[i];
  for (size_t i = 0; i < COUNT(nets); i++) {
    size_t count = (size_t)roto_shape_net_floats(&m->shape_nets[i]);
    m->shape_nets[i].floats = m->weights + m->weight_count;
    if (m->weight_count + count > MAX_WEIGHTS) die(m->desc.name, "more weights than MAX_WEIGHTS");
    while (count-- > 0) m->weights[m->weight_count++] = random_float(-0.25f, 0.25f);
  }
}

/* The model of a second look at the landmarks of "shapes": another picture, heat maps. */
static void make_second(model *m) {
  begin(m, "second", "The same landmarks, close up.", 4, 4, 3);
  m->desc.landmarks = six_landmarks;
  m->desc.landmark_count = COUNT(six_landmarks);
  m->desc.crop_margin = 1.5f;
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 3, 1, 1, 4, 4, 6), 1);
  add(m, point_head(1, 6, 1), 0);
}

/* Two looks, one for a landmark alone; one landmark is seen once. */
static void make_looks(model *m) {
  static const uint32_t looks[] = {0, 0, 1, 0, ROTO_NONE, 0};
  make_shapes(m);
  m->desc.name = "looks";
  m->desc.description = "Landmarks, looked at twice, and shapes through them.";
  memcpy(m->looks, looks, sizeof looks);
  m->look_count = 2;
  m->second = make_second;
}

/* The same, ready for int8: the range of each node is what the self-test's picture makes of it. */
static void make_ranges(model *m) {
  make_looks(m);
  m->desc.name = "ranges";
  m->with_ranges = 1;
}

/* The same with two contours that share a landmark.  Their filters look for what changes fastest, in the middle of what they see. */
static void make_contours(model *m) {
  static const uint32_t lid[] = {0, 2, 1}, line[] = {1, 4, 3, 5};
  make_ranges(m);
  m->desc.name = "contours";
  m->desc.description = "Landmarks, looked at twice, on contours, and shapes through them.";
  m->contour_count = 2;
  for (uint32_t i = 0; i < 2; i++) {
    for (uint32_t k = 0; k < ROTO_CONTOUR_PLACES; k++) m->filters[i][k][ROTO_CONTOUR_TAPS / 2 * ROTO_CONTOUR_CHANNELS] = 1;
    m->contours[i] =
        (roto_contour_desc){i ? line : lid, i ? COUNT(line) : COUNT(lid), (const float(*)[ROTO_CONTOUR_FLOATS])m->filters[i]};
  }
}

/* The same with landmarks that lie on a ring, which is wide or narrow, and turns in itself. */
static void make_distribution(model *m) {
  static const float ring[6][2] = {{-186, 0}, {-93, -120}, {93, -120}, {186, 0}, {93, 120}, {-93, 120}};
  make_contours(m);
  m->desc.name = "distribution";
  m->desc.description = "Landmarks, looked at twice, on contours, that know of each other, and shapes through them.";
  for (int i = 0; i < 6; i++)
    for (int c = 0; c < 2; c++) {
      m->lying[0][i][c] = ring[i][c];
      m->lying[1][i][c] = c ? 0.25f * ring[i][c] : 0;
      m->lying[2][i][c] = (i % 2 ? -0.0625f : 0.0625f) * (c ? ring[i][0] : -ring[i][1]);
    }
  m->distribution = (roto_distribution_desc){m->lying[0][0], m->lying[1][0], 2, 1.5f};
}

static void make_one_place(model *m) {
  make_distribution(m);
  m->with_ranges = 0; /* nobody answers for them */
  for (int i = 0; i < 6; i++) m->lying[0][i][0] = m->lying[0][i][1] = 40;
}

static const struct {
  const char *name;
  void (*make)(model *m);
} valid[] = {{"all", make_all},           {"bare", make_bare},
             {"dense", make_dense},       {"heat", make_heat},
             {"offsets", make_offsets},   {"looks", make_looks},
             {"ranges", make_ranges},     {"shapes", make_shapes},
             {"contours", make_contours}, {"distribution", make_distribution}};

/* ---- invalid models ---- */

/* Where a number lies: the start of a chunk, or of the file. */
enum { IN_FILE = -1 };
#define ENTRY(chunk, field) (ROTO_HEADER_SIZE + (chunk)*ROTO_ENTRY_SIZE + (field))
#define LANDMARK(i, field) (ROTO_TEMPLATE_SIZE + (i)*ROTO_LANDMARK_SIZE + (field))
#define PART(i, field) LANDMARK(3, (i)*ROTO_PART_SIZE + (field)) /* in "dense": 3 landmarks */
#define SHAPE(i, field) PART(2, (i)*ROTO_SHAPE_SIZE + (field))   /* 2 parts */
#define VERTEX(i) SHAPE(2, 4 * (i))                              /* 2 shapes */
#define STRING(i) VERTEX(5 + (i) / 4) + (i) % 4                  /* 5 vertices */
#define KNOT(i, field) (ROTO_LIST_SIZE + (i)*ROTO_KNOT_SIZE + (field))
#define NODE(i, field) (ROTO_LIST_SIZE + (i)*ROTO_NODE_SIZE + (field))
#define SHAPE_NET(i, field) (ROTO_SHAPES_SIZE + (i)*ROTO_SHAPE_NET_SIZE + (field))
#define SHAPE_USE(i, field) SHAPE_NET(2, (i)*ROTO_SHAPE_USE_SIZE + (field)) /* in "shapes": 2 networks */
#define SHAPE_LANDMARK(i) SHAPE_USE(4, 4 * (i))                             /* 4 shapes, 8 landmarks */
enum { SHAPE_WEIGHTS = 192, SHAPE_TESTS = SHAPE_WEIGHTS + 4 * (1438 + 520) };
#define TENSOR(i, field) (ROTO_LIST_SIZE + (i)*ROTO_TENSOR_SIZE + (field))

enum { F32_NAN = 0x7fc00000, F32_INFINITY = 0x7f800000, F32_MINUS_1 = (int)0xbf800000u, F32_HALF = 0x3f000000 };
#define BIG 0xffffffffffffffc0u /* a multiple of 64 whose sum with a length overflows */

#define CONTOUR(i) (ROTO_CONTOURS_SIZE + 4 * (i)) /* in "contours": two, of 3 and 4 landmarks */
#define CONTOUR_LANDMARK(i) CONTOUR(2 + (i))
#define CONTOUR_FILTERS 64
#define LOOK_MODEL(offset) (64 + (offset)) /* in "looks": 6 landmarks */
#define RANGE(i, field) (ROTO_RANGES_SIZE + (i)*ROTO_RANGE_SIZE + (field))

/* One number of a valid model changed: `size` bytes at `offset` of `chunk` become `value`. */
typedef struct breakage {
  uint32_t rule;
  const char *what, *base;
  int chunk;
  size_t offset;
  int size;
  uint64_t value;
} breakage;

/* Nodes of "all": 0 INPUT, 1 CONV, 2 BATCHNORM, 3 DEPTHWISE, 4 GLOBALPOOL, 5 DENSE, 6 SCALE, 7 ADD, 8 MAXPOOL, 9 AVGPOOL,
 * 10 CONCAT, 11 CONV, 12 UPSAMPLE, 13 ADD, 14 ACT, 15 CONV, 16 POINTS.  Its tensors: 0 weight, 1..4 batch norm, 5, 6 ... */
static const breakage breakages[] = {
    {1, "magic", "heat", IN_FILE, 3, 1, 'o'},
    {1, "text_mode_copy", "heat", IN_FILE, 4, 1, '\n'},
    {2, "newer_version", "heat", IN_FILE, ROTO_HEADER_VERSION, 4, ROTO_FORMAT_VERSION + 1},
    {2, "version_zero", "heat", IN_FILE, ROTO_HEADER_VERSION, 4, 0},
    {3, "file_size", "heat", IN_FILE, ROTO_HEADER_FILE_SIZE, 8, 64},
    {4, "chunk_count", "heat", IN_FILE, ROTO_HEADER_CHUNK_COUNT, 4, ROTO_CHUNK_COUNT + 1},
    {4, "chunk_count_less", "shapes", IN_FILE, ROTO_HEADER_CHUNK_COUNT, 4, ROTO_CHUNK_SHAP - 1},
    {4, "chunk_count_huge", "heat", IN_FILE, ROTO_HEADER_CHUNK_COUNT, 4, 0xffffffff},
    {5, "unknown_chunk", "heat", IN_FILE, ENTRY(ROTO_CHUNK_TEST, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('X', 'T', 'R', 'A')},
    {5, "repeated_chunk", "heat", IN_FILE, ENTRY(ROTO_CHUNK_TEST, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('D', 'A', 'T', 'A')},
    {6, "overlap", "heat", IN_FILE, ENTRY(ROTO_CHUNK_NETW, ROTO_ENTRY_OFFSET), 8, 320},
    {6, "unaligned", "heat", IN_FILE, ENTRY(ROTO_CHUNK_META, ROTO_ENTRY_OFFSET), 8, 321},
    {6, "hole", "heat", IN_FILE, ENTRY(ROTO_CHUNK_META, ROTO_ENTRY_OFFSET), 8, 384},
    {6, "offset_overflow", "heat", IN_FILE, ENTRY(ROTO_CHUNK_INPT, ROTO_ENTRY_OFFSET), 8, BIG},
    {7, "past_end", "heat", IN_FILE, ENTRY(ROTO_CHUNK_TEST, ROTO_ENTRY_LENGTH), 8, 100000},
    {7, "length_overflow", "heat", IN_FILE, ENTRY(ROTO_CHUNK_TEST, ROTO_ENTRY_LENGTH), 8, BIG},
    {8, "short_last_chunk", "heat", IN_FILE, ENTRY(ROTO_CHUNK_TEST, ROTO_ENTRY_LENGTH), 8, 16},
    {9, "header", "heat", IN_FILE, ROTO_HEADER_USED, 1, 1},
    {9, "table", "heat", IN_FILE, ENTRY(2, ROTO_ENTRY_USED), 1, 1},
    {9, "padding_before_chunk", "heat", IN_FILE, 383, 1, 1},
    {9, "padding_before_tensor", "dense", ROTO_CHUNK_DATA, 3 * 3 * 3 * 5 * 4, 1, 1},
    {9, "template", "dense", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_USED, 1, 1},
    {10, "input_short", "heat", IN_FILE, ENTRY(ROTO_CHUNK_INPT, ROTO_ENTRY_LENGTH), 8, 60},
    {10, "string_bytes", "dense", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_STRINGS, 4, 0xffffffff},
    {10, "landmarks", "dense", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_LANDMARKS, 4, 4},
    {10, "nodes", "heat", ROTO_CHUNK_NETW, ROTO_LIST_COUNT, 4, 4},
    {10, "tensors", "heat", ROTO_CHUNK_TDIR, ROTO_LIST_COUNT, 4, 2},
    {10, "knots", "heat", ROTO_CHUNK_CALB, ROTO_LIST_COUNT, 4, 256},
    {11, "name_offset", "dense", ROTO_CHUNK_TMPL, LANDMARK(1, ROTO_LANDMARK_NAME), 4, 1},
    {11, "rule_far_away", "dense", ROTO_CHUNK_TMPL, LANDMARK(0, ROTO_LANDMARK_RULE), 4, 0xfffffff0},
    {11, "part_name", "dense", ROTO_CHUNK_TMPL, PART(0, ROTO_PART_NAME), 4, 0},
    {11, "shape_name", "dense", ROTO_CHUNK_TMPL, SHAPE(1, ROTO_SHAPE_NAME), 4, 0},
    {11, "string_between", "heat", ROTO_CHUNK_META, 2, 1, 0},
    {12, "unterminated", "heat", ROTO_CHUNK_META, 5, 1, 'x'},
    {13, "not_utf8", "dense", ROTO_CHUNK_TMPL, STRING(0), 1, 0xff},
    {13, "escape", "dense", ROTO_CHUNK_META, 0, 1, 0x1b},
    {13, "newline_in_name", "dense", ROTO_CHUNK_TMPL, STRING(3), 1, '\n'},
    {13, "lone_continuation", "dense", ROTO_CHUNK_META, 1, 1, 0x80},
    {13, "overlong", "dense", ROTO_CHUNK_META, 0, 2, 0x80c0},
    {13, "surrogate", "dense", ROTO_CHUNK_META, 0, 3, 0x80a0ed},
    {14, "same_name", "heat", ROTO_CHUNK_TMPL, LANDMARK(2, ROTO_PART_SIZE + 5), 1, '0'},
    {15, "no_width", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_WIDTH, 4, 0},
    {15, "height", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_HEIGHT, 4, ROTO_MAX_SIZE + 1},
    {15, "channels", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_CHANNELS, 4, 5},
    {16, "transfer", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_TRANSFER, 4, 2},
    {17, "mean_nan", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_MEAN, 4, F32_NAN},
    {17, "scale_zero", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_SCALE, 4, 0},
    {17, "absent_channel", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_SCALE + 4, 4, F32_HALF},
    {18, "margin", "heat", ROTO_CHUNK_INPT, ROTO_INPUT_MARGIN, 4, 0},
    {19, "no_landmarks", "heat", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_LANDMARKS, 4, 0},
    {19, "no_parts", "heat", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_PARTS, 4, 0},
    {20, "landmarks", "heat", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_LANDMARKS, 4, ROTO_MAX_LANDMARKS + 1},
    {20, "vertices", "heat", ROTO_CHUNK_TMPL, ROTO_TEMPLATE_VERTICES, 4, 0xffffffff},
    {21, "part", "dense", ROTO_CHUNK_TMPL, LANDMARK(2, ROTO_LANDMARK_PART), 4, 2},
    {22, "flip_missing", "dense", ROTO_CHUNK_TMPL, LANDMARK(0, ROTO_LANDMARK_FLIP), 4, 3},
    {22, "flip_one_way", "dense", ROTO_CHUNK_TMPL, LANDMARK(0, ROTO_LANDMARK_FLIP), 4, 0},
    {23, "landmark_weight", "dense", ROTO_CHUNK_TMPL, LANDMARK(1, ROTO_LANDMARK_WEIGHT), 4, F32_NAN},
    {23, "part_weight", "dense", ROTO_CHUNK_TMPL, PART(1, ROTO_PART_WEIGHT), 4, (uint32_t)F32_MINUS_1},
    {24, "closed", "dense", ROTO_CHUNK_TMPL, SHAPE(0, ROTO_SHAPE_CLOSED), 4, 2},
    {25, "first", "dense", ROTO_CHUNK_TMPL, SHAPE(1, ROTO_SHAPE_FIRST), 4, 2},
    {25, "count", "dense", ROTO_CHUNK_TMPL, SHAPE(1, ROTO_SHAPE_COUNT), 4, 0xffffffff},
    {25, "empty", "dense", ROTO_CHUNK_TMPL, SHAPE(0, ROTO_SHAPE_COUNT), 4, 0},
    {25, "left_over", "dense", ROTO_CHUNK_TMPL, SHAPE(1, ROTO_SHAPE_COUNT), 4, 1},
    {26, "vertex", "dense", ROTO_CHUNK_TMPL, VERTEX(1), 4, 3},
    {26, "vertex_minus_2", "dense", ROTO_CHUNK_TMPL, VERTEX(1), 4, 0xfffffffe},
    {27, "no_knots", "heat", ROTO_CHUNK_CALB, ROTO_LIST_COUNT, 4, 0},
    {27, "no_spread", "dense", ROTO_CHUNK_CALB, ROTO_LIST_COUNT, 4, 2},
    {28, "descending", "heat", ROTO_CHUNK_CALB, KNOT(2, ROTO_KNOT_SPREAD), 4, 0},
    {28, "infinite", "heat", ROTO_CHUNK_CALB, KNOT(3, ROTO_KNOT_SPREAD), 4, F32_INFINITY},
    {28, "negative_error", "heat", ROTO_CHUNK_CALB, KNOT(0, ROTO_KNOT_ERROR), 4, (uint32_t)F32_MINUS_1},
    {29, "one_node", "heat", ROTO_CHUNK_NETW, ROTO_LIST_COUNT, 4, 1},
    {30, "nodes", "heat", ROTO_CHUNK_NETW, ROTO_LIST_COUNT, 4, 0xffffffff},
    {30, "tensors", "heat", ROTO_CHUNK_TDIR, ROTO_LIST_COUNT, 4, ROTO_MAX_TENSORS + 1},
    {31, "op", "heat", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_OP), 2, ROTO_OP_COUNT},
    {32, "act", "heat", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_ACT), 2, ROTO_ACT_COUNT},
    {32, "act_of_pool", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_ACT), 2, ROTO_ACT_RELU},
    {32, "act_of_act", "all", ROTO_CHUNK_NETW, NODE(14, ROTO_NODE_ACT), 2, ROTO_ACT_NONE},
    {33, "second_input", "all", ROTO_CHUNK_NETW, NODE(4, ROTO_NODE_OP), 2, ROTO_OP_INPUT},
    {33, "no_input", "all", ROTO_CHUNK_NETW, NODE(0, ROTO_NODE_OP), 2, ROTO_OP_CONV},
    {33, "input_shape", "all", ROTO_CHUNK_NETW, NODE(0, ROTO_NODE_SHAPE), 4, 7},
    {34, "add_of_one", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUT_COUNT), 4, 1},
    {34, "concat_of_five", "all", ROTO_CHUNK_NETW, NODE(10, ROTO_NODE_INPUT_COUNT), 4, 5},
    {35, "itself", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUTS), 4, 7},
    {35, "missing", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUTS + 4), 4, ROTO_NONE},
    {35, "unused", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUTS + 8), 4, 1},
    {36, "picture", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUTS), 4, 0},
    {37, "kernel_of_add", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_KERNEL), 4, 1},
    {37, "epsilon_of_conv", "all", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_EPSILON), 4, F32_HALF},
    {37, "points_of_conv", "all", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_PER_POINT), 4, 1},
    {38, "no_kernel", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_KERNEL + 4), 4, 0},
    {38, "no_stride", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_STRIDE), 4, 0},
    {39, "kernel", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_KERNEL), 4, ROTO_MAX_KERNEL + 1},
    {39, "stride", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_STRIDE), 4, ROTO_MAX_STRIDE + 1},
    {39, "height", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_SHAPE), 4, ROTO_MAX_SIZE + 1},
    {39, "channels", "all", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_SHAPE + 8), 4, 0xffffffff},
    {39, "tensor", "heat", ROTO_CHUNK_TDIR, TENSOR(0, ROTO_TENSOR_COUNT), 8, 0x4000000000000001u},
    {40, "padding", "all", ROTO_CHUNK_NETW, NODE(9, ROTO_NODE_PADS), 4, 3},
    {40, "padding_overflow", "all", ROTO_CHUNK_NETW, NODE(9, ROTO_NODE_PADS + 12), 4, 0xffffffff},
    {40, "kernel_does_not_fit", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_KERNEL), 4, 7},
    {41, "add", "all", ROTO_CHUNK_NETW, NODE(13, ROTO_NODE_INPUTS + 4), 4, 11},
    {41, "scale", "all", ROTO_CHUNK_NETW, NODE(6, ROTO_NODE_INPUTS + 4), 4, 2},
    {41, "concat", "all", ROTO_CHUNK_NETW, NODE(10, ROTO_NODE_INPUTS + 4), 4, 7},
    {42, "pool_width", "all", ROTO_CHUNK_NETW, NODE(8, ROTO_NODE_SHAPE + 4), 4, 5},
    {42, "add_channels", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_SHAPE + 8), 4, 4},
    {42, "conv_without_channels", "all", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_SHAPE + 8), 4, 0},
    {42, "pool_as_tall_as_input", "all", ROTO_CHUNK_NETW, NODE(9, ROTO_NODE_STRIDE), 4, 1},
    {43, "zero", "all", ROTO_CHUNK_NETW, NODE(2, ROTO_NODE_EPSILON), 4, 0},
    {43, "nan", "all", ROTO_CHUNK_NETW, NODE(2, ROTO_NODE_EPSILON), 4, F32_NAN},
    {44, "channels_per_point", "all", ROTO_CHUNK_NETW, NODE(16, ROTO_NODE_PER_POINT), 4, 2},
    {44, "channels_per_point_overflow", "all", ROTO_CHUNK_NETW, NODE(16, ROTO_NODE_PER_POINT), 4, 0x80000003},
    {44, "one_for_three", "all", ROTO_CHUNK_NETW, NODE(16, ROTO_NODE_PER_POINT), 4, 1},
    {45, "unused_node", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_INPUTS + 4), 4, 2},
    {48, "tensor_twice", "all", ROTO_CHUNK_NETW, NODE(2, ROTO_NODE_TENSORS + 4), 4, 1},
    {48, "tensor_missing", "all", ROTO_CHUNK_NETW, NODE(2, ROTO_NODE_TENSORS + 4), 4, ROTO_NONE},
    {48, "tensor_of_add", "all", ROTO_CHUNK_NETW, NODE(7, ROTO_NODE_TENSORS), 4, 9},
    {48, "tensor_left_over", "all", ROTO_CHUNK_NETW, NODE(15, ROTO_NODE_TENSORS + 4), 4, ROTO_NONE},
    {48, "tensor_past_end", "heat", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_TENSORS + 4), 4, 1},
    {49, "more_channels", "all", ROTO_CHUNK_NETW, NODE(1, ROTO_NODE_SHAPE + 8), 4, 6},
    {50, "overlap", "all", ROTO_CHUNK_TDIR, TENSOR(1, ROTO_TENSOR_OFFSET), 8, 0},
    {50, "unaligned", "all", ROTO_CHUNK_TDIR, TENSOR(1, ROTO_TENSOR_OFFSET), 8, 60},
    {50, "overflow", "all", ROTO_CHUNK_TDIR, TENSOR(1, ROTO_TENSOR_OFFSET), 8, BIG},
    {50, "past_end", "heat", ROTO_CHUNK_TDIR, TENSOR(0, ROTO_TENSOR_COUNT), 8, 19},
    {50, "bytes_left_over", "heat", ROTO_CHUNK_TDIR, TENSOR(0, ROTO_TENSOR_COUNT), 8, 17},
    {51, "weight_nan", "heat", ROTO_CHUNK_DATA, 8, 4, F32_NAN},
    {51, "weight_infinite", "heat", ROTO_CHUNK_DATA, 68, 4, 0xff800000},
    {52, "variance", "all", ROTO_CHUNK_DATA, 64 + 3 * 64, 4, (uint32_t)F32_MINUS_1},
    {53, "outputs", "heat", ROTO_CHUNK_TEST, ROTO_TEST_OUTPUTS, 4, 5},
    {53, "pixels", "heat", ROTO_CHUNK_TEST, ROTO_TEST_PIXELS, 4, 53},
    {54, "tolerance_zero", "heat", ROTO_CHUNK_TEST, ROTO_TEST_TOLERANCE, 4, 0},
    {54, "tolerance_infinite", "heat", ROTO_CHUNK_TEST, ROTO_TEST_TOLERANCE, 4, F32_INFINITY},
    {5, "shapes_renamed", "shapes", IN_FILE, ENTRY(ROTO_CHUNK_SHAP, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('T', 'E', 'S', 'T')},
    {9, "shapes", "shapes", ROTO_CHUNK_SHAP, ROTO_SHAPES_USED, 1, 1},
    {9, "shape_without_network", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(3, ROTO_SHAPE_USE_FIRST), 4, 1},
    {9, "padding_before_shape_weights", "shapes", ROTO_CHUNK_SHAP, SHAPE_WEIGHTS - 1, 1, 1},
    {10, "shapes_short", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_WIDTH), 4, 32},
    {51, "shape_weight_nan", "shapes", ROTO_CHUNK_SHAP, SHAPE_WEIGHTS + 4 * 1438, 4, F32_NAN},
    {54, "shape_output_nan", "shapes", ROTO_CHUNK_SHAP, SHAPE_TESTS, 4, F32_NAN},
    {55, "one_landmark", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(1, ROTO_SHAPE_NET_LANDMARKS), 4, 1},
    {55, "no_vertex", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_VERTICES), 4, 0},
    {55, "no_block", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_BLOCKS), 4, 0},
    {55, "width", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_WIDTH), 4, 24},
    {55, "no_width", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_WIDTH), 4, 0},
    {56, "landmarks", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_LANDMARKS), 4, ROTO_MAX_SHAPE_LANDMARKS + 1},
    {56, "vertices", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_VERTICES), 4, 0xffffffff},
    {56, "blocks", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_BLOCKS), 4, ROTO_MAX_SHAPE_BLOCKS + 1},
    {56, "width", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(0, ROTO_SHAPE_NET_WIDTH), 4, 0xfffffff0},
    {57, "no_networks", "shapes", ROTO_CHUNK_SHAP, ROTO_SHAPES_NETWORKS, 4, 0},
    {57, "networks_huge", "shapes", ROTO_CHUNK_SHAP, ROTO_SHAPES_NETWORKS, 4, 0xffffffff},
    {57, "out_of_order", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(0, ROTO_SHAPE_USE_NETWORK), 4, 1},
    {57, "missing", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(3, ROTO_SHAPE_USE_NETWORK), 4, 2},
    {58, "mirrored", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(1, ROTO_SHAPE_USE_MIRRORED), 4, 2},
    {58, "reversed", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(1, ROTO_SHAPE_USE_REVERSED), 4, 0xffffffff},
    {58, "first", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(1, ROTO_SHAPE_USE_FIRST), 4, 4},
    {58, "first_of_open", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(2, ROTO_SHAPE_USE_REVERSED), 4, 0},
    {59, "missing", "shapes", ROTO_CHUNK_SHAP, SHAPE_LANDMARK(1), 4, 6},
    {59, "twice", "shapes", ROTO_CHUNK_SHAP, SHAPE_LANDMARK(1), 4, 0},
    {60, "vertex_not_among_landmarks", "shapes", ROTO_CHUNK_SHAP, SHAPE_LANDMARK(1), 4, 3},
    {60, "place_elsewhere", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(1, ROTO_SHAPE_USE_FIRST), 4, 3},
    {60, "vertices_of_another", "shapes", ROTO_CHUNK_SHAP, SHAPE_USE(2, ROTO_SHAPE_USE_NETWORK), 4, 0},
    {5, "look_renamed", "looks", IN_FILE, ENTRY(ROTO_CHUNK_LOOK, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('S', 'H', 'A', 'P')},
    {9, "looks", "looks", ROTO_CHUNK_LOOK, ROTO_LOOK_USED, 1, 1},
    {9, "padding_before_second", "looks", ROTO_CHUNK_LOOK, LOOK_MODEL(0) - 1, 1, 1},
    {61, "none", "looks", ROTO_CHUNK_LOOK, ROTO_LOOK_COUNT, 4, 0},
    {61, "too_many", "looks", ROTO_CHUNK_LOOK, ROTO_LOOK_COUNT, 4, ROTO_MAX_LOOKS + 1},
    {61, "without_landmark", "looks", ROTO_CHUNK_LOOK, ROTO_LOOK_COUNT, 4, 3},
    {61, "beyond", "looks", ROTO_CHUNK_LOOK, ROTO_LOOK_SIZE + 4, 4, 2},
    {62, "not_a_model", "looks", ROTO_CHUNK_LOOK, LOOK_MODEL(0), 1, 0},
    {62, "of_another_size", "looks", ROTO_CHUNK_LOOK, LOOK_MODEL(ROTO_HEADER_FILE_SIZE), 4, 64},
    {62, "more_chunks", "looks", ROTO_CHUNK_LOOK, LOOK_MODEL(ROTO_HEADER_CHUNK_COUNT), 4, ROTO_CHUNK_COUNT},
    {5, "ranges_renamed", "ranges", IN_FILE, ENTRY(ROTO_CHUNK_RANG, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('S', 'H', 'A', 'P')},
    {63, "count", "ranges", ROTO_CHUNK_RANG, ROTO_RANGES_COUNT, 4, 2},
    {63, "count_huge", "ranges", ROTO_CHUNK_RANG, ROTO_RANGES_COUNT, 4, 0xffffffff},
    {64, "low_nan", "ranges", ROTO_CHUNK_RANG, RANGE(1, ROTO_RANGE_LOW), 4, F32_NAN},
    {64, "high_infinite", "ranges", ROTO_CHUNK_RANG, RANGE(1, ROTO_RANGE_HIGH), 4, 0x7f800000},
    {64, "above_zero", "ranges", ROTO_CHUNK_RANG, RANGE(0, ROTO_RANGE_LOW), 4, 0x3f800000},
    {64, "below_zero", "ranges", ROTO_CHUNK_RANG, RANGE(0, ROTO_RANGE_HIGH), 4, 0xbf800000},
    {64, "minus_zero", "ranges", ROTO_CHUNK_RANG, RANGE(0, ROTO_RANGE_LOW), 4, 0x80000000},
    {64, "empty", "ranges", ROTO_CHUNK_RANG, RANGE(0, ROTO_RANGE_LOW), 8, 0},
    {64, "too_wide", "ranges", ROTO_CHUNK_RANG, RANGE(0, ROTO_RANGE_HIGH), 4, 0x7f000000},
    {65, "zero", "ranges", ROTO_CHUNK_RANG, ROTO_RANGES_TOLERANCE, 4, 0},
    {65, "nan", "ranges", ROTO_CHUNK_RANG, ROTO_RANGES_TOLERANCE, 4, F32_NAN},
    {5, "contours_renamed", "contours", IN_FILE, ENTRY(ROTO_CHUNK_CONT, ROTO_ENTRY_NAME), 4, ROTO_CHUNK('S', 'H', 'A', 'P')},
    {9, "contours", "contours", ROTO_CHUNK_CONT, ROTO_CONTOURS_USED, 1, 1},
    {9, "padding_before_filters", "contours", ROTO_CHUNK_CONT, CONTOUR_FILTERS - 1, 1, 1},
    {10, "contours_short", "contours", ROTO_CHUNK_CONT, CONTOUR(1), 4, 24},
    {51, "filter_nan", "contours", ROTO_CHUNK_CONT, CONTOUR_FILTERS + 4 * 1100, 4, F32_NAN},
    {66, "none", "contours", ROTO_CHUNK_CONT, ROTO_CONTOURS_COUNT, 4, 0},
    {66, "too_many", "contours", ROTO_CHUNK_CONT, ROTO_CONTOURS_COUNT, 4, ROTO_MAX_CONTOURS + 1},
    {66, "too_short", "contours", ROTO_CHUNK_CONT, CONTOUR(0), 4, 2},
    {66, "too_long", "contours", ROTO_CHUNK_CONT, CONTOUR(1), 4, ROTO_MAX_CONTOUR_LANDMARKS + 1},
    {66, "missing_landmark", "contours", ROTO_CHUNK_CONT, CONTOUR_LANDMARK(1), 4, 6},
    {66, "landmark_twice", "contours", ROTO_CHUNK_CONT, CONTOUR_LANDMARK(2), 4, 0},
    {5, "distribution_renamed", "distribution", IN_FILE, ENTRY(ROTO_CHUNK_DIST, ROTO_ENTRY_NAME), 4,
     ROTO_CHUNK('C', 'O', 'N', 'T')},
    {9, "distribution", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_USED, 1, 1},
    {10, "distribution_short", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_COMPONENTS, 4, 3},
    {51, "mean_nan", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_SIZE + 4, 4, F32_NAN},
    {51, "component_nan", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_SIZE + 140, 4, F32_NAN},
    {67, "no_components", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_COMPONENTS, 4, 0},
    {67, "too_many", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_COMPONENTS, 4, ROTO_MAX_COMPONENTS + 1},
    {67, "no_deviation", "distribution", ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_DEVIATION, 4, 0},
    {60, "more_places_than_vertices", "shapes", ROTO_CHUNK_SHAP, SHAPE_NET(1, ROTO_SHAPE_NET_PLACES), 4, 3},
    {54, "output_nan", "heat", ROTO_CHUNK_TEST, ROTO_TEST_SIZE + 4, 4, F32_NAN},
};

/* A landmark without a name. */
static void make_nameless(model *m) {
  static const roto_landmark landmarks[] = {{"p0", "", 0, 0, 1}, {"", "", 0, 1, 1}};
  make_heat(m);
  m->desc.landmarks = landmarks;
}

/* Two landmarks, but five outputs. */
static void make_odd_output(model *m) {
  begin(m, "odd", "", 4, 4, 3);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 1, 1, 0, 4, 4, 2), 0);
  add(m, plain(ROTO_OP_DENSE, ROTO_ACT_NONE, 1, 1, 1, 5), 0);
}

/* POINTS in the middle. */
static void make_points_inside(model *m) {
  begin(m, "inside", "", 4, 4, 3);
  add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 1, 1, 0, 4, 4, 2), 0);
  add(m, point_head(1, 2, 1), 0);
  add(m, plain(ROTO_OP_DENSE, ROTO_ACT_NONE, 2, 1, 1, 4), 0);
}

/* A few kilobytes that ask for more than 2^40 steps: 64 x 64 maxima on 4096 x 4096 x 16. */
static void make_endless(model *m) {
  uint32_t node, size = 4;
  roto_node_desc pool;
  begin(m, "endless", "", 4, 4, 1);
  node = add(m, windowed(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 1, 1, 0, 4, 4, 16), 0);
  for (; size < ROTO_MAX_SIZE; size *= 2) node = add(m, plain(ROTO_OP_UPSAMPLE, 0, node, 2 * size, 2 * size, 16), 0);
  pool = windowed(ROTO_OP_MAXPOOL, ROTO_ACT_NONE, node, 64, 1, 0, size, size, 16);
  pool.pad_top = pool.pad_left = 63;
  node = add(m, pool, 0);
  node = add(m, plain(ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, node, 1, 1, 16), 0);
  add(m, plain(ROTO_OP_DENSE, ROTO_ACT_NONE, node, 1, 1, 6), 0);
}

/* ---- files ---- */

static const char *folder;
static FILE *index_file;

static void write_bytes(const char *subfolder, const char *name, const void *bytes, size_t size) {
  char path[1024];
  int error;
  snprintf(path, sizeof path, "%s/%s/%s", folder, subfolder, name);
  error = roto_write_file_atomic(path, bytes, size);
  if (error) die(path, strerror(error));
}

static void write_invalid(uint32_t rule, const char *what, const void *bytes, size_t size) {
  static const char *const names[] = {
#define RULE_STATUS(number, name, status, text) [number] = #status,
      ROTO_RULE_LIST(RULE_STATUS)
#undef RULE_STATUS
  };
  char name[256];
  snprintf(name, sizeof name, "R%02u_%s.roto", (unsigned)rule, what);
  write_bytes("invalid", name, bytes, size);
  fprintf(index_file, "%s %s %u\n", name, names[rule], (unsigned)rule);
}

static unsigned char *model_bytes(const model *m, size_t *size) {
  unsigned char *bytes;
  roto_status status = roto_write_model(&m->desc, &bytes, size);
  if (status == ROTO_OK && m->shapes.network_count > 0) {
    unsigned char *landmarks = bytes;
    status = roto_write_shapes(landmarks, *size, &m->shapes, &bytes, size);
    free(landmarks);
  }
  if (status == ROTO_OK && m->second != NULL) {
    static model second;
    unsigned char *first = bytes, *inner;
    size_t inner_size;
    m->second(&second);
    answer(&second);
    status = roto_write_model(&second.desc, &inner, &inner_size);
    if (status == ROTO_OK) status = roto_write_look(first, *size, m->looks, m->look_count, inner, inner_size, &bytes, size);
    free(inner);
    free(first);
  }
  if (status == ROTO_OK && m->with_ranges) {
    unsigned char *first = bytes;
    status = roto_write_ranges(first, *size, (const float(*)[2])m->ranges, m->desc.node_count, 0.05f, &bytes, size);
    free(first);
  }
  if (status == ROTO_OK && m->contour_count > 0) {
    unsigned char *first = bytes;
    status = roto_write_contours(first, *size, m->contours, m->contour_count, &bytes, size);
    free(first);
  }
  if (status == ROTO_OK && m->distribution.component_count > 0) {
    unsigned char *first = bytes;
    status = roto_write_distribution(first, *size, &m->distribution, &bytes, size);
    free(first);
  }
  if (status != ROTO_OK) {
    fprintf(stderr, "make_models: %s: writing returned %d\n", m->desc.name, (int)status);
    exit(1);
  }
  return bytes;
}

static void make(model *m, void (*describe)(model *m)) {
  describe(m);
  const roto_node_desc *last = &m->nodes[m->desc.node_count - 1];
  if (last->h * last->w * last->c > MAX_OUTPUTS) die(m->desc.name, "more outputs than MAX_OUTPUTS");
}

static size_t chunk_start(const unsigned char *bytes, int chunk) {
  size_t start = 0;
  if (chunk == IN_FILE) return 0;
  for (int i = 7; i >= 0; i--) start = start << 8 | bytes[ENTRY(chunk, ROTO_ENTRY_OFFSET) + i];
  return start;
}

static void write_breakage(const breakage *b, model *m) {
  for (size_t k = 0; k < COUNT(valid); k++) {
    size_t size, at;
    unsigned char *bytes;
    int differs = 0;
    if (strcmp(valid[k].name, b->base) != 0) continue;
    make(m, valid[k].make);
    answer(m);
    bytes = model_bytes(m, &size);
    at = chunk_start(bytes, b->chunk) + b->offset;
    for (int i = 0; i < b->size; i++) {
      unsigned char byte = (unsigned char)(b->value >> 8 * i);
      if (at + (size_t)i >= size) die(b->what, "the change lies outside the file");
      differs |= bytes[at + (size_t)i] != byte;
      bytes[at + (size_t)i] = byte;
    }
    if (!differs) die(b->what, "the change changes nothing");
    write_invalid(b->rule, b->what, bytes, size);
    free(bytes);
    return;
  }
  die(b->base, "no such valid model");
}

static void write_description(uint32_t rule, const char *what, void (*describe)(model *m), model *m) {
  size_t size;
  unsigned char *bytes;
  make(m, describe);
  bytes = model_bytes(m, &size);
  write_invalid(rule, what, bytes, size);
  free(bytes);
}

int main(int argc, char **argv) {
  static model m;
  char path[1024];
  size_t size;
  unsigned char *bytes;
  if (argc != 2) die("usage", "make_models FOLDER, where FOLDER will hold valid/ and invalid/");
  folder = argv[1];
  for (int i = 0; i < 2; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, i ? "invalid" : "valid");
    if (mkdir(path, 0777) != 0 && errno != EEXIST) die(path, strerror(errno));
  }
  snprintf(path, sizeof path, "%s/invalid/index.txt", folder);
  index_file = fopen(path, "w");
  if (!index_file) die(path, strerror(errno));

  for (size_t i = 0; i < COUNT(valid); i++) {
    make(&m, valid[i].make);
    answer(&m);
    bytes = model_bytes(&m, &size);
    snprintf(path, sizeof path, "%s.roto", valid[i].name);
    write_bytes("valid", path, bytes, size);
    if (i == COUNT(valid) - 1) {
      write_invalid(ROTO_RULE_MAGIC, "empty", bytes, 0);
      write_invalid(ROTO_RULE_FILE_SIZE, "only_magic", bytes, 8);
      write_invalid(ROTO_RULE_FILE_SIZE, "truncated", bytes, size - 1);
      bytes[ROTO_HEADER_FILE_SIZE] = ROTO_HEADER_SIZE;
      bytes[ROTO_HEADER_FILE_SIZE + 1] = 0;
      write_invalid(ROTO_RULE_CHUNK_COUNT, "no_table", bytes, ROTO_HEADER_SIZE);
    }
    free(bytes);
  }
  for (size_t i = 0; i < COUNT(breakages); i++) write_breakage(&breakages[i], &m);
  write_description(ROTO_RULE_NAME, "empty_name", make_nameless, &m);
  write_description(ROTO_RULE_POINTS, "not_last", make_points_inside, &m);
  write_description(ROTO_RULE_OUTPUT, "five_for_two", make_odd_output, &m);
  write_description(ROTO_RULE_WORK_LIMIT, "endless", make_endless, &m);
  write_description(ROTO_RULE_DISTRIBUTION, "one_place", make_one_place, &m);
  if (fclose(index_file) != 0) die("index.txt", strerror(errno));
  return 0;
}
