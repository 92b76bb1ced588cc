/* Networks for tests: a builder of random descriptions and a naive interpreter in double, which shares nothing with the
 * runtime.
 *
 * Exact networks hold small integers only, so that every sum of the runtime is exact in any order and results must be equal.
 * Random networks hold any numbers; the interpreter then carries, beside each value, the variance of the rounding error that
 * a correct float program may have made, each operation adding (2^-24 * sum of magnitudes)^2 and passing on what it got.  A
 * result may be 8 standard deviations off.  A missing term is thousands off. */

#ifndef TESTS_NETWORKS_H
#define TESTS_NETWORKS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"

enum { NET_NODES = 256, NET_LANDMARKS = 40 };

typedef struct net {
  uint64_t random;
  int exact;
  uint32_t count;
  roto_node_desc nodes[NET_NODES];
  float *tensors[4 * NET_NODES];
  size_t tensor_count;
  roto_landmark landmark[NET_LANDMARKS];
  char names[NET_LANDMARKS][16];
  roto_part part;
  roto_shape shape;
  int32_t vertices[3];
  roto_knot knots[3];
  roto_model_desc desc;
  unsigned char *pixels; /* of the self-test */
  float *output;
} net;

static inline uint32_t net_random(net *n, uint32_t below) {
  n->random = n->random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((n->random >> 33) % below);
}

static inline float net_uniform(net *n, float low, float high) {
  return low + (high - low) * (float)net_random(n, 1u << 24) / (float)(1u << 24);
}

static inline void *net_memory(size_t size) {
  void *block = calloc(1, size ? size : 1);
  if (!block) {
    fputs("networks.h: out of memory\n", stderr);
    exit(1);
  }
  return block;
}

static inline net *net_create(uint64_t seed, int exact, uint32_t h, uint32_t w, uint32_t c) {
  net *n = (net *)net_memory(sizeof *n);
  n->random = seed * 0x9e3779b97f4a7c15u + 1;
  n->exact = exact;
  n->nodes[0].h = h, n->nodes[0].w = w, n->nodes[0].c = c;
  n->count = 1;
  return n;
}

static inline void net_free(net *n) {
  for (size_t i = 0; i < n->tensor_count; ++i) free(n->tensors[i]);
  free(n->pixels);
  free(n->output);
  free(n);
}

/* Numbers of one tensor of a node with `terms` terms in each of its sums. */
static inline void net_fill(net *n, const roto_node_desc *node, int slot, size_t terms, float *out, size_t count) {
  float spread = sqrtf(3.0f / (float)terms);
  for (size_t i = 0; i < count; ++i) {
    if (node->op == ROTO_OP_BATCHNORM) {
      static const float exact_gamma[4] = {1, -1, 2, 1}, exact_variance[2] = {0.5f, 3.5f}; /* + 1/2: squares of 1 and 2 */
      if (slot == 0) out[i] = n->exact ? 2 * exact_gamma[net_random(n, 4)] : net_uniform(n, 0.5f, 1.5f);
      if (slot == 1 || slot == 2) out[i] = n->exact ? (float)net_random(n, 5) - 2 : net_uniform(n, -0.5f, 0.5f);
      if (slot == 3) out[i] = n->exact ? exact_variance[net_random(n, 2)] : net_uniform(n, 0.2f, 2);
    } else if (slot == 1) {
      out[i] = n->exact ? (float)net_random(n, 7) - 3 : net_uniform(n, -1, 1);
    } else if (n->exact) {
      out[i] = net_random(n, (uint32_t)terms / 4 + 1) ? 0 : (float)net_random(n, 5) - 2;
    } else {
      out[i] = net_uniform(n, -spread, spread);
    }
  }
}

/* Append a node whose op, act, inputs, window and c (of CONV and DENSE) are set; the rest follows.  Returns its index. */
static inline uint32_t net_add(net *n, roto_node_desc node, int bias) {
  const roto_node_desc *in = n->nodes + node.inputs[0];
  uint32_t index = n->count++;
  if (index == NET_NODES) {
    fputs("networks.h: raise NET_NODES\n", stderr);
    exit(1);
  }
  size_t terms = 1;
  int slots = 0;
  if (node.op != ROTO_OP_DENSE && node.op != ROTO_OP_CONV && node.op != ROTO_OP_CONCAT) node.c = in->c;
  if (node.op == ROTO_OP_CONCAT)
    for (uint32_t i = 0; i < node.input_count; ++i) node.c += n->nodes[node.inputs[i]].c;
  node.h = in->h, node.w = in->w;
  if (node.kh) {
    node.h = (in->h + node.pad_top + node.pad_bottom - node.kh) / node.stride + 1;
    node.w = (in->w + node.pad_left + node.pad_right - node.kw) / node.stride + 1;
  }
  switch (node.op) {
    case ROTO_OP_CONV:
      terms = (size_t)node.kh * node.kw * in->c;
      slots = 1 + bias;
      break;
    case ROTO_OP_DEPTHWISE:
      terms = (size_t)node.kh * node.kw;
      slots = 1 + bias;
      break;
    case ROTO_OP_DENSE:
      terms = (size_t)in->h * in->w * in->c;
      node.h = node.w = 1;
      slots = 1 + bias;
      break;
    case ROTO_OP_BATCHNORM:
      node.epsilon = n->exact ? 0.5f : 1e-3f;
      slots = 4;
      break;
    case ROTO_OP_GLOBALPOOL:
      node.h = node.w = 1;
      break;
    case ROTO_OP_UPSAMPLE:
      node.h *= 2, node.w *= 2;
      break;
    case ROTO_OP_POINTS:
      node.c = node.c / node.channels_per_point * 3;
      node.h = node.w = 1;
      break;
    default:
      break;
  }
  n->nodes[index] = node;
  for (int slot = 0; slot < slots; ++slot) {
    size_t count = (size_t)roto_tensor_count(n->nodes, index, (uint32_t)slot);
    float *tensor = (float *)net_memory(count * sizeof *tensor);
    net_fill(n, &node, slot, terms, tensor, count);
    n->tensors[n->tensor_count++] = tensor;
    n->nodes[index].tensors[slot] = tensor;
  }
  return index;
}

static inline roto_node_desc net_node(uint16_t op, uint16_t act, uint32_t input) {
  roto_node_desc node;
  memset(&node, 0, sizeof node);
  node.op = op;
  node.act = act;
  node.input_count = 1;
  node.inputs[0] = input;
  return node;
}

static inline roto_node_desc net_window(uint16_t op, uint16_t act, uint32_t input, uint32_t c, uint32_t kh, uint32_t kw,
                                        uint32_t stride, uint32_t top, uint32_t left, uint32_t bottom, uint32_t right) {
  roto_node_desc node = net_node(op, act, input);
  node.c = c;
  node.kh = kh, node.kw = kw, node.stride = stride;
  node.pad_top = top, node.pad_left = left, node.pad_bottom = bottom, node.pad_right = right;
  return node;
}

static inline uint32_t net_conv(net *n, uint16_t act, uint32_t input, uint32_t c, uint32_t k, uint32_t stride) {
  return net_add(n, net_window(ROTO_OP_CONV, act, input, c, k, k, stride, k / 2, k / 2, k / 2, k / 2), 0);
}

static inline uint32_t net_depthwise(net *n, uint16_t act, uint32_t input, uint32_t k, uint32_t stride) {
  return net_add(n, net_window(ROTO_OP_DEPTHWISE, act, input, 0, k, k, stride, k / 2, k / 2, k / 2, k / 2), 0);
}

static inline uint32_t net_dense(net *n, uint16_t act, uint32_t input, uint32_t c) {
  roto_node_desc node = net_node(ROTO_OP_DENSE, act, input);
  node.c = c;
  return net_add(n, node, 1);
}

static inline uint32_t net_unary(net *n, uint16_t op, uint16_t act, uint32_t input) {
  return net_add(n, net_node(op, act, input), 0);
}

static inline uint32_t net_binary(net *n, uint16_t op, uint16_t act, uint32_t a, uint32_t b) {
  roto_node_desc node = net_node(op, act, a);
  node.input_count = 2;
  node.inputs[1] = b;
  return net_add(n, node, 0);
}

/* An inverted bottleneck with squeeze-excite, batch norms as nodes of their own, as the trainer writes it. */
static inline uint32_t net_mbconv(net *n, uint16_t act, uint32_t input, uint32_t expand, uint32_t c, uint32_t k,
                                  uint32_t stride, uint32_t squeeze) {
  uint32_t ic = n->nodes[input].c, x = input;
  if (expand > 1) {
    x = net_conv(n, ROTO_ACT_NONE, x, ic * expand, 1, 1);
    x = net_unary(n, ROTO_OP_BATCHNORM, act, x);
  }
  x = net_depthwise(n, ROTO_ACT_NONE, x, k, stride);
  x = net_unary(n, ROTO_OP_BATCHNORM, act, x);
  if (squeeze) {
    uint32_t s = net_unary(n, ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, x);
    s = net_conv(n, act, s, squeeze, 1, 1);
    s = net_conv(n, ROTO_ACT_SIGMOID, s, n->nodes[x].c, 1, 1);
    x = net_binary(n, ROTO_OP_SCALE, ROTO_ACT_NONE, x, s);
  }
  x = net_conv(n, ROTO_ACT_NONE, x, c, 1, 1);
  x = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_NONE, x);
  if (stride == 1 && ic == c) x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, x, input);
  return x;
}

/* ---- the interpreter ---- */

typedef struct net_value {
  double *v, *variance; /* [h][w][c], tight */
} net_value;

static inline double net_act(int act, double x) {
  double sigmoid = 1 / (1 + exp(-x)), hard = fmin(fmax(x / 6 + 0.5, 0), 1);
  switch (act) {
    case ROTO_ACT_RELU:
      return fmax(x, 0);
    case ROTO_ACT_RELU6:
      return fmin(fmax(x, 0), 6);
    case ROTO_ACT_SIGMOID:
      return sigmoid;
    case ROTO_ACT_SWISH:
      return x * sigmoid;
    case ROTO_ACT_HARD_SIGMOID:
      return hard;
    case ROTO_ACT_HARD_SWISH:
      return x * hard;
    default:
      return x;
  }
}

/* A result before its activation, the variance it inherits, and the sum of the magnitudes of its terms. */
static inline void net_store(const roto_node_desc *node, const net_value *out, size_t at, double x, double inherited,
                             double magnitude) {
  const double unit = ldexp(1, -24), slope = node->act == ROTO_ACT_HARD_SWISH ? 1.5 : 1.1; /* steepest of all activations */
  double y = net_act(node->act, x), own = magnitude * unit, last = 4 * unit * (node->act ? fabs(y) + 1e-3 : 0);
  out->v[at] = y;
  out->variance[at] = (inherited + own * own) * (node->act ? slope * slope : 1) + last * last;
}

static inline void net_run_window(const net *n, uint32_t index, const net_value *values) {
  const roto_node_desc *node = n->nodes + index, *from = n->nodes + node->inputs[0];
  const net_value *in = values + node->inputs[0], *out = values + index;
  uint32_t kh = node->op == ROTO_OP_DENSE ? from->h : node->kh, kw = node->op == ROTO_OP_DENSE ? from->w : node->kw;
  uint32_t stride = node->op == ROTO_OP_DENSE ? 1 : node->stride, ic = from->c;
  int mixes = node->op == ROTO_OP_CONV || node->op == ROTO_OP_DENSE,
      pools = node->op == ROTO_OP_MAXPOOL || node->op == ROTO_OP_AVGPOOL;
  for (uint32_t y = 0; y < node->h; ++y) {
    for (uint32_t x = 0; x < node->w; ++x) {
      for (uint32_t c = 0; c < node->c; ++c) {
        double sum = 0, inherited = 0, magnitude = 0, most = -INFINITY;
        int inside = 0;
        for (uint32_t ky = 0; ky < kh; ++ky) {
          for (uint32_t kx = 0; kx < kw; ++kx) {
            int64_t iy = (int64_t)y * stride + ky - node->pad_top, ix = (int64_t)x * stride + kx - node->pad_left;
            if (iy < 0 || ix < 0 || iy >= from->h || ix >= from->w) continue;
            ++inside;
            for (uint32_t l = mixes ? 0 : c; l < (mixes ? ic : c + 1); ++l) {
              size_t tap = (size_t)ky * kw + kx, at = ((size_t)iy * from->w + (size_t)ix) * ic + l;
              double w = pools ? 1 : node->tensors[0][mixes ? (tap * ic + l) * node->c + c : tap * node->c + c];
              double variance = in->variance[at];
              sum += w * in->v[at];
              magnitude += fabs(w * in->v[at]);
              most = fmax(most, in->v[at]);
              inherited = node->op == ROTO_OP_MAXPOOL ? fmax(inherited, variance) : inherited + w * w * variance;
            }
          }
        }
        if (!pools && node->tensors[1]) {
          sum += node->tensors[1][c];
          magnitude += fabs(node->tensors[1][c]);
        }
        if (node->op == ROTO_OP_MAXPOOL) sum = most, magnitude = 0;
        if (node->op == ROTO_OP_AVGPOOL) sum /= inside, magnitude /= inside, inherited /= inside;
        net_store(node, out, ((size_t)y * node->w + x) * node->c + c, sum, inherited, magnitude);
      }
    }
  }
}

/* Heat maps to points.  A logit that is off by d changes each probability by a share of 2 d at most. */
static inline void net_run_points(const net *n, uint32_t index, const net_value *values) {
  const roto_node_desc *node = n->nodes + index, *from = n->nodes + node->inputs[0];
  const net_value *in = values + node->inputs[0], *out = values + index;
  uint32_t points = node->c / 3, cells = from->h * from->w;
  for (uint32_t i = 0; i < points; ++i) {
    double top = -INFINITY, sum = 0, x = 0, y = 0, square = 0, off = 1e-14;
    for (uint32_t cell = 0; cell < cells; ++cell) top = fmax(top, in->v[(size_t)cell * from->c + i]);
    for (int pass = 0; pass < 3; ++pass) {
      for (uint32_t cell = 0; cell < cells; ++cell) {
        const double *v = in->v + (size_t)cell * from->c;
        double p = exp(v[i] - top) / (pass ? sum : 1);
        double u = cell % from->w + 0.5, w = cell / from->w + 0.5;
        if (node->channels_per_point == 3) u += v[points + i], w += v[2 * points + i];
        u /= from->w, w /= from->h;
        if (pass == 0) {
          sum += p;
          for (uint32_t c = i; c < from->c; c += points) off = fmax(off, in->variance[(size_t)cell * from->c + c]);
        }
        if (pass == 1) x += p * u, y += p * w;
        if (pass == 2) square += p * ((u - x) * (u - x) + (w - y) * (w - y));
      }
    }
    out->v[3 * i] = x;
    out->v[3 * i + 1] = y;
    out->v[3 * i + 2] = sqrt(square);
    for (int j = 0; j < 3; ++j) out->variance[3 * i + (uint32_t)j] = 4 * off * (1 + square) + ldexp(x * x + y * y, -46);
  }
}

static inline void net_run_simple(const net *n, uint32_t index, const net_value *values) {
  const roto_node_desc *node = n->nodes + index, *from = n->nodes + node->inputs[0];
  const net_value *a = values + node->inputs[0], *b = values + (node->input_count > 1 ? node->inputs[1] : 0),
                  *out = values + index;
  size_t pixels = (size_t)node->h * node->w;
  for (size_t p = 0; p < pixels; ++p) {
    for (uint32_t c = 0; c < node->c; ++c) {
      size_t at = p * node->c + c;
      double x = 0, inherited = 0, magnitude = 0;
      switch (node->op) {
        case ROTO_OP_BATCHNORM: {
          const float *const *t = node->tensors;
          double factor = t[0][c] / sqrt((double)t[3][c] + node->epsilon);
          x = (a->v[at] - t[2][c]) * factor + t[1][c];
          inherited = a->variance[at] * factor * factor;
          magnitude = fabs(a->v[at] * factor) + fabs(t[2][c] * factor) + fabs(t[1][c]);
          break;
        }
        case ROTO_OP_ADD:
          x = a->v[at] + b->v[at];
          inherited = a->variance[at] + b->variance[at];
          magnitude = fabs(x);
          break;
        case ROTO_OP_SCALE:
          x = a->v[at] * b->v[c];
          inherited = a->variance[at] * b->v[c] * b->v[c] + b->variance[c] * a->v[at] * a->v[at];
          magnitude = fabs(x);
          break;
        case ROTO_OP_CONCAT: {
          uint32_t i = 0, offset = c;
          for (; offset >= n->nodes[node->inputs[i]].c; ++i) offset -= n->nodes[node->inputs[i]].c;
          size_t source = p * n->nodes[node->inputs[i]].c + offset;
          x = values[node->inputs[i]].v[source];
          inherited = values[node->inputs[i]].variance[source];
          break;
        }
        case ROTO_OP_UPSAMPLE: {
          size_t source = (p / node->w / 2 * from->w + p % node->w / 2) * node->c + c;
          x = a->v[source];
          inherited = a->variance[source];
          break;
        }
        case ROTO_OP_GLOBALPOOL: {
          size_t count = (size_t)from->h * from->w;
          for (size_t i = 0; i < count; ++i) {
            x += a->v[i * node->c + c] / (double)count;
            magnitude += fabs(a->v[i * node->c + c]) / (double)count;
            inherited += a->variance[i * node->c + c] / (double)count;
          }
          break;
        }
        default: /* ACT */
          x = a->v[at];
          inherited = a->variance[at];
          break;
      }
      net_store(node, out, at, x, inherited, magnitude);
    }
  }
}

/* Run the description.  `bound` receives how far a correct float program may be off; 0 for exact networks.  Both are the
 * caller's to free. */
static inline void net_interpret_doubles(const net *n, const double *input, double **output, double **bound) {
  const roto_node_desc *last = n->nodes + n->count - 1;
  net_value values[NET_NODES];
  for (uint32_t i = 0; i < n->count; ++i) {
    const roto_node_desc *node = n->nodes + i;
    size_t count = (size_t)node->h * node->w * node->c;
    values[i].v = (double *)net_memory(count * sizeof(double));
    values[i].variance = (double *)net_memory(count * sizeof(double));
    if (i == 0) {
      for (size_t j = 0; j < count; ++j) values[0].v[j] = input[j];
    } else if (node->kh || node->op == ROTO_OP_DENSE) {
      net_run_window(n, i, values);
    } else if (node->op == ROTO_OP_POINTS) {
      net_run_points(n, i, values);
    } else {
      net_run_simple(n, i, values);
    }
  }
  for (uint32_t i = 0; i + 1 < n->count; ++i) free(values[i].v), free(values[i].variance);
  *output = values[n->count - 1].v;
  *bound = values[n->count - 1].variance;
  for (size_t i = 0; i < (size_t)last->h * last->w * last->c; ++i) (*bound)[i] = n->exact ? 0 : 8 * sqrt((*bound)[i]);
}

static inline void net_interpret(const net *n, const float *input, double **output, double **bound) {
  size_t count = (size_t)n->nodes[0].h * n->nodes[0].w * n->nodes[0].c;
  double *wide = (double *)net_memory(count * sizeof *wide);
  for (size_t i = 0; i < count; ++i) wide[i] = input[i];
  net_interpret_doubles(n, wide, output, bound);
  free(wide);
}

/* ---- the model around it ---- */

/* Describe the network as a model with `landmarks` landmarks; its self-test holds what the interpreter computes. */
static inline void net_finish(net *n, uint32_t landmarks) {
  roto_model_desc *d = &n->desc;
  size_t inputs = (size_t)n->nodes[0].h * n->nodes[0].w * n->nodes[0].c, outputs = n->nodes[n->count - 1].c;
  float *input = (float *)net_memory(inputs * sizeof *input);
  double *output, *bound, worst = 1e-6;
  n->part.name = "part";
  n->part.weight = 1;
  for (uint32_t i = 0; i < landmarks; ++i) {
    snprintf(n->names[i], sizeof n->names[i], "p%u", (unsigned)i);
    n->landmark[i].name = n->names[i];
    n->landmark[i].rule = "";
    n->landmark[i].flip = i;
    n->landmark[i].weight = 1;
  }
  n->vertices[1] = -1;
  n->vertices[2] = (int32_t)landmarks - 1;
  n->shape.name = "outline";
  n->shape.closed = 1;
  n->shape.vertex_count = 3;
  n->shape.vertices = n->vertices;
  n->knots[0].error = 0.01f;
  n->knots[1].spread = 0.1f, n->knots[1].error = 0.03f;
  n->knots[2].spread = 0.2f, n->knots[2].error = 0.11f;
  d->name = "test network";
  d->description = "made by tests/networks.h";
  d->input_width = n->nodes[0].w;
  d->input_height = n->nodes[0].h;
  d->input_channels = n->nodes[0].c;
  for (uint32_t c = 0; c < n->nodes[0].c; ++c) {
    d->input_mean[c] = 0.25f * (float)c;
    d->input_scale[c] = 2.0f + (float)c;
  }
  d->crop_margin = 1.4f;
  d->landmarks = n->landmark;
  d->landmark_count = landmarks;
  d->parts = &n->part;
  d->part_count = 1;
  d->shapes = &n->shape;
  d->shape_count = 1;
  d->knots = n->knots;
  d->knot_count = outputs == 3 * landmarks ? 3 : 1;
  d->nodes = n->nodes;
  d->node_count = n->count;
  n->pixels = (unsigned char *)net_memory(inputs);
  n->output = (float *)net_memory(outputs * sizeof *n->output);
  for (size_t i = 0; i < inputs; ++i) {
    uint32_t c = (uint32_t)(i % d->input_channels);
    n->pixels[i] = (unsigned char)net_random(n, 256);
    input[i] = ((float)n->pixels[i] / 255.0f - d->input_mean[c]) * d->input_scale[c];
  }
  int exact = n->exact;
  n->exact = 0; /* pixels are no integers */
  net_interpret(n, input, &output, &bound);
  n->exact = exact;
  for (size_t i = 0; i < outputs; ++i) {
    n->output[i] = (float)output[i];
    worst = fmax(worst, bound[i] + ldexp(fabs(output[i]), -23));
  }
  d->test_pixels = n->pixels;
  d->test_output = n->output;
  d->test_tolerance = (float)worst;
  free(input);
  free(output);
  free(bound);
}

/* The bytes of the model's file, the caller's to free. */
static inline unsigned char *net_write(const net *n, size_t *size) {
  unsigned char *bytes;
  roto_status status = roto_write_model(&n->desc, &bytes, size);
  if (status) {
    fprintf(stderr, "networks.h: roto_write_model fails: %s\n", roto_status_text(status));
    exit(1);
  }
  return bytes;
}

/* An input for roto_infer: small integers for exact networks. */
static inline float *net_input(net *n) {
  size_t count = (size_t)n->nodes[0].h * n->nodes[0].w * n->nodes[0].c;
  float *input = (float *)net_memory(count * sizeof *input);
  for (size_t i = 0; i < count; ++i) input[i] = n->exact ? (float)net_random(n, 9) - 4 : net_uniform(n, -2, 2);
  return input;
}

/* ---- random networks ---- */

/* Append one node of a random kind that reads `from`; 0 if that kind does not fit there. */
static inline uint32_t net_grow(net *n, uint32_t from) {
  static const uint16_t exact_acts[] = {ROTO_ACT_NONE, ROTO_ACT_RELU6, ROTO_ACT_RELU6, ROTO_ACT_RELU6};
  const roto_node_desc *in = n->nodes + from;
  static const uint32_t channels[] = {3, 8, 16, 17, 24, 40, 48, 65};
  uint16_t act = n->exact ? exact_acts[net_random(n, 4)] : (uint16_t)net_random(n, ROTO_ACT_COUNT);
  uint16_t named_act = n->exact ? ROTO_ACT_RELU6 : (uint16_t)(1 + net_random(n, ROTO_ACT_COUNT - 1));
  uint32_t c = channels[net_random(n, 8)], kh = 1 + net_random(n, 5), kw = 1 + net_random(n, 5), stride = 1 + net_random(n, 2);
  uint32_t top = net_random(n, kh), left = net_random(n, kw), bottom = net_random(n, kh), right = net_random(n, kw);
  int bias = (int)net_random(n, 2), fits = in->h + top + bottom >= kh && in->w + left + right >= kw;
  uint32_t other = net_random(n, n->count);
  switch (net_random(n, 14)) {
    case 0:
    case 1:
      return net_add(n, net_window(ROTO_OP_CONV, act, from, c, 1, 1, 1, 0, 0, 0, 0), bias);
    case 2:
      if (!fits) return 0;
      return net_add(n, net_window(ROTO_OP_CONV, act, from, c, kh, kw, stride, top, left, bottom, right), bias);
    case 3:
    case 4:
      if (!fits || from == 0) return 0;
      return net_add(n, net_window(ROTO_OP_DEPTHWISE, act, from, 0, kh, kw, stride, top, left, bottom, right), bias);
    case 5:
      if (from == 0) return 0;
      return net_depthwise(n, act, from, net_random(n, 2) ? 3 : 5, stride);
    case 6:
      return from ? net_unary(n, ROTO_OP_BATCHNORM, act, from) : 0;
    case 7:
      return from ? net_unary(n, ROTO_OP_ACT, named_act, from) : 0;
    case 8: /* a sum with anything of the same shape */
      for (uint32_t i = 0; i < n->count && from; ++i, other = (other + 1) % n->count) {
        const roto_node_desc *b = n->nodes + other;
        if (other && b->h == in->h && b->w == in->w && b->c == in->c) return net_binary(n, ROTO_OP_ADD, act, from, other);
      }
      return 0;
    case 9: { /* squeeze-excite, now and then by way of a product that could be folded but must not */
      if (from == 0 || n->count + 4 >= 90) return 0;
      uint32_t s = n->exact ? net_dense(n, ROTO_ACT_RELU6, from, 5) : net_unary(n, ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, from);
      s = net_conv(n, n->exact ? ROTO_ACT_RELU6 : ROTO_ACT_SIGMOID, s, n->nodes[from].c, 1, 1);
      return net_binary(n, ROTO_OP_SCALE, n->exact ? ROTO_ACT_RELU6 : act, from, s);
    }
    case 10: { /* beside anything of the same size */
      roto_node_desc node = net_node(ROTO_OP_CONCAT, ROTO_ACT_NONE, from);
      for (uint32_t i = 0; i < n->count && from && node.input_count < 4; ++i, other = (other + 1) % n->count) {
        const roto_node_desc *b = n->nodes + other;
        if (other && b->h == in->h && b->w == in->w && net_random(n, 2)) node.inputs[node.input_count++] = other;
      }
      return node.input_count > 1 ? net_add(n, node, 0) : 0;
    }
    case 11:
      if (from == 0 || in->h < 2 || in->w < 2) return 0;
      return net_add(n, net_window(ROTO_OP_AVGPOOL, ROTO_ACT_NONE, from, 0, 2, 2, 2, 0, 0, 0, 0), 0);
    case 12: {
      if (from == 0 || !fits) return 0;
      uint16_t op = n->exact || net_random(n, 2) ? ROTO_OP_MAXPOOL : ROTO_OP_AVGPOOL;
      return net_add(n, net_window(op, ROTO_ACT_NONE, from, 0, kh, kw, stride, top, left, bottom, right), 0);
    }
    default:
      return from && in->h * in->w <= 400 ? net_unary(n, ROTO_OP_UPSAMPLE, ROTO_ACT_NONE, from) : 0;
  }
}

/* A random network: about `grown` random nodes, then everything unread so far is brought to one pixel, joined, and made into
 * landmarks by a dense layer, or (not if exact) by POINTS over heat maps. */
static inline net *net_random_network(uint64_t seed, int exact, uint32_t grown) {
  net *n = net_create(seed, exact, 0, 0, 0);
  n->nodes[0].h = 3 + net_random(n, 20);
  n->nodes[0].w = 3 + net_random(n, 20);
  n->nodes[0].c = 1 + net_random(n, 4);
  net_conv(n, ROTO_ACT_RELU6, 0, 3 + net_random(n, 30), 1 + 2 * net_random(n, 2), 1 + net_random(n, 2));
  for (uint32_t tries = 0; n->count < grown && tries < 1000; ++tries) {
    uint32_t from = net_random(n, 3) ? n->count - 1 : net_random(n, n->count);
    net_grow(n, from);
  }
  uint32_t points = 1 + net_random(n, 20), last = n->count - 1, joined = 0;
  int heat_maps = !exact && net_random(n, 3) == 0;
  for (uint32_t i = 1; i < n->count && n->count < 120; ++i) {
    int read = 0;
    for (uint32_t j = i + 1; j < n->count; ++j)
      for (uint32_t k = 0; k < n->nodes[j].input_count; ++k) read |= n->nodes[j].inputs[k] == i;
    if (read || (heat_maps && i == last) || i == joined) continue;
    uint32_t flat = net_dense(n, exact ? ROTO_ACT_RELU6 : ROTO_ACT_NONE, i, 6);
    joined = joined ? net_binary(n, ROTO_OP_CONCAT, ROTO_ACT_NONE, joined, flat) : flat;
  }
  if (heat_maps) {
    uint32_t per_point = net_random(n, 2) ? 3 : 1;
    uint32_t x = last;
    if (joined) { /* side inputs become factors of the heat maps' channels */
      uint32_t factors = net_dense(n, ROTO_ACT_SIGMOID, joined, n->nodes[x].c);
      x = net_binary(n, ROTO_OP_SCALE, ROTO_ACT_NONE, x, factors);
    }
    x = net_conv(n, ROTO_ACT_NONE, x, points * per_point, 1, 1);
    roto_node_desc node = net_node(ROTO_OP_POINTS, ROTO_ACT_NONE, x);
    node.channels_per_point = per_point;
    net_add(n, node, 0);
  } else {
    net_dense(n, ROTO_ACT_NONE, joined, points * (2 + net_random(n, 2)));
  }
  net_finish(n, points);
  return n;
}

#endif
