/* The ONNX importer: every supported operator against an evaluation in double, every refusal, damaged files, fine-tuning, and
 * the networks of other people.
 *
 *   test_import [BUILD [FOLDER...]]   FOLDER: NET.onnx with an input NET.x.bin and the output NET.y.bin of the program that
 *                                   exported it, fp32 in the order of ONNX; skipped without
 *
 *   test_import seeds FOLDER            write the networks of the test there, for tests/fuzz/onnx.c
 *
 * The builder below writes an ONNX file node by node and computes each value as it goes, in double, in ONNX's own order
 * [c][h][w]; it shares nothing with the reader but the format.  Weights are multiples of 1/64 below 2, which every way of
 * storing them holds exactly. */

#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/import_onnx.h"
#include "../roto.h"
#include "../tools/whole_file.h"
#include "../trainer/architectures.h"
#include "../trainer/export.h"
#include "../trainer/import.h"
#include "../trainer/optimizer.h"
#include "../trainer/trunk.h"
#include "check.h"

enum { MAX_VALUES = 96 };

typedef struct bytes {
  unsigned char *at;
  size_t size, room;
} bytes;

static void put(bytes *b, const void *data, size_t size) {
  if (b->size + size > b->room) {
    b->room = 2 * (b->size + size) + 64;
    b->at = realloc(b->at, b->room);
    if (b->at == NULL) exit(1);
  }
  if (size > 0) memcpy(b->at + b->size, data, size);
  b->size += size;
}

static void put_varint(bytes *b, uint64_t v) {
  do {
    unsigned char byte = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
    put(b, &byte, 1);
    v >>= 7;
  } while (v > 0);
}

static void put_number(bytes *b, int number, uint64_t v) {
  put_varint(b, (uint64_t)number << 3);
  put_varint(b, v);
}

static void put_bytes(bytes *b, int number, const void *data, size_t size) {
  put_varint(b, (uint64_t)number << 3 | 2);
  put_varint(b, size);
  put(b, data, size);
}

static void put_text(bytes *b, int number, const char *text) {
  put_bytes(b, number, text, strlen(text));
}

static void put_float(bytes *b, int number, float v) {
  put_varint(b, (uint64_t)number << 3 | 5);
  put(b, &v, 4);
}

/* Put a message and empty it for the next use. */
static void put_message(bytes *b, int number, bytes *message) {
  put_bytes(b, number, message->at, message->size);
  free(message->at);
  memset(message, 0, sizeof *message);
}

/* ---- the builder ---- */

typedef enum storage {
  RAW,
  FLOAT_DATA,     /* packed */
  FLOAT_UNPACKED, /* a field a number */
  HALF_RAW,
  HALF_DATA,
  DOUBLE_RAW,
  DOUBLE_DATA,
  STORAGE_COUNT
} storage;

typedef struct graph {
  bytes body, node; /* of GraphProto; of the NodeProto in the making */
  storage how;
  int opset, value_count;
  uint64_t random;
  struct {
    int rank, dims[4];
    double *v;
  } values[MAX_VALUES];
  const char *output; /* NULL: the last value */
  int batch;          /* of the input */
  int open;           /* the file leaves height and width open */
} graph;

static int random_below(graph *g, int below) {
  g->random = g->random * 6364136223846793005u + 1442695040888963407u;
  return (int)((g->random >> 33) % (uint64_t)below);
}

static size_t count_of(const graph *g, int v) {
  size_t count = 1;
  for (int i = 0; i < g->values[v].rank; i++) count *= (size_t)g->values[v].dims[i];
  return count;
}

static int new_value(graph *g, int rank, int d0, int d1, int d2, int d3) {
  int v = g->value_count++, dims[4] = {d0, d1, d2, d3};
  if (v >= MAX_VALUES) exit(1);
  g->values[v].rank = rank;
  memcpy(g->values[v].dims, dims, sizeof dims);
  g->values[v].v = calloc(count_of(g, v), sizeof(double));
  if (g->values[v].v == NULL) exit(1);
  return v;
}

static int new_map(graph *g, int c, int h, int w) {
  return new_value(g, 4, 1, c, h, w);
}

static const char *value_name(int v) {
  static char names[4][16];
  static int next;
  char *name = names[next++ % 4];
  snprintf(name, 16, "v%d", v);
  return name;
}

static void begin_graph(graph *g, uint64_t seed, storage how, int opset, int c, int h, int w) {
  memset(g, 0, sizeof *g);
  g->random = seed * 0x9e3779b97f4a7c15u + 1;
  g->how = how;
  g->opset = opset;
  g->batch = 1;
  int x = new_map(g, c, h, w);
  for (size_t i = 0; i < count_of(g, x); i++) g->values[x].v[i] = (random_below(g, 257) - 128) / 64.0;
}

static void in(graph *g, const char *name) {
  put_text(&g->node, 1, name);
}

static void in_value(graph *g, int v) {
  in(g, value_name(v));
}

static void attribute_int(graph *g, const char *name, int64_t v) {
  bytes a = {0};
  put_text(&a, 1, name);
  put_number(&a, 3, (uint64_t)v);
  put_number(&a, 20, 2);
  put_message(&g->node, 5, &a);
}

static void attribute_float(graph *g, const char *name, float v) {
  bytes a = {0};
  put_text(&a, 1, name);
  put_float(&a, 2, v);
  put_message(&g->node, 5, &a);
}

static void attribute_text(graph *g, const char *name, const char *v) {
  bytes a = {0};
  put_text(&a, 1, name);
  put_text(&a, 4, v);
  put_message(&g->node, 5, &a);
}

/* Packed in even opsets, a field a number in odd ones: both are valid. */
static void attribute_ints(graph *g, const char *name, int count, const int *v) {
  bytes a = {0}, packed = {0};
  put_text(&a, 1, name);
  for (int i = 0; i < count; i++) {
    if (g->opset % 2)
      put_number(&a, 8, (uint64_t)(int64_t)v[i]);
    else
      put_varint(&packed, (uint64_t)(int64_t)v[i]);
  }
  if (g->opset % 2 == 0) put_message(&a, 8, &packed);
  put_message(&g->node, 5, &a);
}

/* End the node: its operator, a name, one output. */
static void end_node(graph *g, const char *op, int out) {
  char name[64];
  snprintf(name, sizeof name, "the_%s_%d", op, out);
  put_text(&g->node, 2, value_name(out));
  put_text(&g->node, 3, name);
  put_text(&g->node, 4, op);
  put_message(&g->body, 1, &g->node);
}

static uint16_t half_of(double v) { /* exact for multiples of 1/64 below 2 */
  int exponent;
  double m = frexp(fabs(v), &exponent);
  if (m < 0.25) return 0;
  return (uint16_t)((v < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | (int)((m - 0.5) * 2048));
}

static void tensor_bytes(bytes *t, storage how, const char *name, int rank, const int *dims, const double *v, size_t count) {
  static const int types[] = {1, 1, 1, 10, 10, 11, 11};
  bytes data = {0};
  for (int i = 0; i < rank; i++) put_number(t, 1, (uint64_t)(int64_t)dims[i]);
  put_number(t, 2, (uint64_t)types[how]);
  if (name != NULL) put_text(t, 8, name);
  for (size_t i = 0; i < count; i++) {
    float f = (float)v[i];
    uint16_t half = half_of(v[i]);
    if (how == RAW || how == FLOAT_DATA) put(&data, &f, 4);
    if (how == FLOAT_UNPACKED) put_float(t, 4, f);
    if (how == HALF_RAW) put(&data, &half, 2);
    if (how == HALF_DATA) put_varint(&data, half);
    if (how == DOUBLE_RAW || how == DOUBLE_DATA) put(&data, &v[i], 8);
  }
  if (how != FLOAT_UNPACKED) put_message(t, how == FLOAT_DATA ? 4 : how == HALF_DATA ? 5 : how == DOUBLE_DATA ? 10 : 9, &data);
}

/* Weights named after what will read them; the numbers are the caller's to free. */
static double *weights(graph *g, const char *name, int rank, int d0, int d1, int d2, int d3, int positive) {
  int dims[4] = {d0, d1, d2, d3};
  size_t count = 1;
  for (int i = 0; i < rank; i++) count *= (size_t)dims[i];
  double *v = malloc(count * sizeof *v);
  bytes t = {0};
  if (v == NULL) exit(1);
  for (size_t i = 0; i < count; i++) v[i] = positive ? (random_below(g, 64) + 32) / 64.0 : (random_below(g, 65) - 32) / 64.0;
  tensor_bytes(&t, g->how, name, rank, dims, v, count);
  put_message(&g->body, 5, &t);
  return v;
}

static void constant_ints(graph *g, const char *name, int count, const int *v) {
  bytes t = {0}, data = {0};
  put_number(&t, 1, (uint64_t)count);
  put_number(&t, 2, 7);
  put_text(&t, 8, name);
  for (int i = 0; i < count; i++) {
    int64_t wide = v[i];
    if (g->opset % 2)
      put_number(&t, 7, (uint64_t)wide);
    else
      put(&data, &wide, 8);
  }
  if (g->opset % 2 == 0) put_message(&t, 9, &data);
  put_message(&g->body, 5, &t);
}

typedef struct window {
  int kh, kw, stride, top, left, bottom, right;
  const char *mode; /* auto_pad */
} window;

static void window_attributes(graph *g, const window *w) {
  attribute_ints(g, "kernel_shape", 2, (int[]){w->kh, w->kw});
  attribute_ints(g, "strides", 2, (int[]){w->stride, w->stride});
  if (w->mode != NULL)
    attribute_text(g, "auto_pad", w->mode);
  else
    attribute_ints(g, "pads", 4, (int[]){w->top, w->left, w->bottom, w->right});
}

/* What auto_pad stands for. */
static window resolve(window w, int h, int wide) {
  int upper = w.mode && strcmp(w.mode, "SAME_UPPER") == 0, lower = w.mode && strcmp(w.mode, "SAME_LOWER") == 0;
  if (!upper && !lower) return w;
  int y = (h + w.stride - 1) / w.stride, x = (wide + w.stride - 1) / w.stride;
  int all_y = (y - 1) * w.stride + w.kh - h, all_x = (x - 1) * w.stride + w.kw - wide;
  all_y = all_y > 0 ? all_y : 0, all_x = all_x > 0 ? all_x : 0;
  w.top = upper ? all_y / 2 : (all_y + 1) / 2, w.bottom = all_y - w.top;
  w.left = upper ? all_x / 2 : (all_x + 1) / 2, w.right = all_x - w.left;
  return w;
}

static double at(const graph *g, int v, int c, int y, int x) {
  const int *d = g->values[v].dims;
  return y < 0 || x < 0 || y >= d[2] || x >= d[3] ? 0 : g->values[v].v[(c * d[2] + y) * d[3] + x];
}

static int conv(graph *g, int x, window w, int oc, int groups, int bias) {
  const int *d = g->values[x].dims, ic = d[1] / groups;
  char weight_name[16], bias_name[16];
  window r = resolve(w, d[2], d[3]);
  int h = (d[2] + r.top + r.bottom - r.kh) / r.stride + 1, wide = (d[3] + r.left + r.right - r.kw) / r.stride + 1;
  int out = new_map(g, oc, h, wide);
  snprintf(weight_name, sizeof weight_name, "w%d", out);
  snprintf(bias_name, sizeof bias_name, "b%d", out);
  double *k = weights(g, weight_name, 4, oc, ic, w.kh, w.kw, 0), *b = bias ? weights(g, bias_name, 1, oc, 0, 0, 0, 0) : NULL;
  for (int o = 0; o < oc; o++)
    for (int y = 0; y < h; y++)
      for (int z = 0; z < wide; z++) {
        double sum = b ? b[o] : 0;
        for (int i = 0; i < ic; i++)
          for (int p = 0; p < w.kh; p++)
            for (int q = 0; q < w.kw; q++)
              sum += k[((o * ic + i) * w.kh + p) * w.kw + q] *
                     at(g, x, o / (oc / groups) * ic + i, y * w.stride + p - r.top, z * w.stride + q - r.left);
        g->values[out].v[(o * h + y) * wide + z] = sum;
      }
  in_value(g, x);
  in(g, weight_name);
  if (bias) in(g, bias_name);
  if (groups != 1) attribute_int(g, "group", groups);
  window_attributes(g, &w);
  end_node(g, "Conv", out);
  free(k);
  free(b);
  return out;
}

static window square(int k, int stride, int pad) {
  return (window){k, k, stride, pad, pad, pad, pad, NULL};
}

static int pointwise(graph *g, int x, int oc) {
  return conv(g, x, square(1, 1, 0), oc, 1, 1);
}

static int like(graph *g, int x) {
  const int *d = g->values[x].dims;
  int out = new_value(g, g->values[x].rank, d[0], d[1], d[2], d[3]);
  memcpy(g->values[out].v, g->values[x].v, count_of(g, x) * sizeof(double));
  return out;
}

static int batchnorm(graph *g, int x) {
  static const char *const names[4] = {"scale", "shift", "mean", "variance"};
  int out = like(g, x), c = g->values[x].dims[1];
  size_t pixels = count_of(g, x) / (size_t)c;
  double *t[4];
  in_value(g, x);
  for (int k = 0; k < 4; k++) {
    char name[32];
    snprintf(name, sizeof name, "%s%d", names[k], out);
    t[k] = weights(g, name, 1, c, 0, 0, 0, k == 0 || k == 3);
    in(g, name);
  }
  for (size_t i = 0; i < count_of(g, x); i++) {
    size_t k = i / pixels;
    g->values[out].v[i] = (g->values[x].v[i] - t[2][k]) / sqrt(t[3][k] + (double)0.01f) * t[0][k] + t[1][k];
  }
  attribute_float(g, "epsilon", 0.01f);
  end_node(g, "BatchNormalization", out);
  for (int k = 0; k < 4; k++) free(t[k]);
  return out;
}

static double relu6(double v) {
  return fmin(fmax(v, 0), 6);
}

static int act(graph *g, int x, const char *op) {
  int out = like(g, x);
  double *v = g->values[out].v;
  for (size_t i = 0; i < count_of(g, out); i++) {
    if (strcmp(op, "Relu") == 0) v[i] = fmax(v[i], 0);
    if (strcmp(op, "Sigmoid") == 0) v[i] = 1 / (1 + exp(-v[i]));
    if (strcmp(op, "HardSigmoid") == 0) v[i] = relu6(v[i] + 3) / 6;
    if (strcmp(op, "HardSwish") == 0) v[i] *= relu6(v[i] + 3) / 6;
  }
  in_value(g, x);
  if (strcmp(op, "HardSigmoid") == 0) attribute_float(g, "alpha", 1.0f / 6);
  if (strcmp(op, "Cast") == 0) attribute_int(g, "to", 1);
  end_node(g, op, out);
  return out;
}

/* A scalar as a Constant node. */
static void in_scalar(graph *g, const char *name, double v) {
  bytes node = g->node, a = {0}, t = {0};
  memset(&g->node, 0, sizeof g->node);
  tensor_bytes(&t, g->how, NULL, 0, NULL, &v, 1);
  put_text(&a, 1, "value");
  put_message(&a, 5, &t);
  put_message(&g->node, 5, &a);
  put_text(&g->node, 2, name);
  put_text(&g->node, 4, "Constant");
  put_message(&g->body, 1, &g->node);
  g->node = node;
  in(g, name);
}

static int clip(graph *g, int x, int six) {
  int out = like(g, x);
  double *v = g->values[out].v;
  char low[16], high[16];
  for (size_t i = 0; i < count_of(g, out); i++) v[i] = six ? relu6(v[i]) : fmax(v[i], 0);
  in_value(g, x);
  snprintf(low, sizeof low, "low%d", out);
  snprintf(high, sizeof high, "high%d", out);
  if (g->opset < 11) {
    attribute_float(g, "min", 0);
    if (six) attribute_float(g, "max", 6);
  } else {
    storage how = g->how;
    g->how = RAW; /* 6 is none of the numbers half_of knows */
    in_scalar(g, low, 0);
    if (six) in_scalar(g, high, 6);
    g->how = how;
  }
  end_node(g, "Clip", out);
  return out;
}

static int binary(graph *g, const char *op, int a, int b) {
  int big = count_of(g, a) >= count_of(g, b) ? a : b, out = like(g, big);
  size_t share_a = count_of(g, big) / count_of(g, a), share_b = count_of(g, big) / count_of(g, b);
  for (size_t i = 0; i < count_of(g, out); i++) {
    double p = g->values[a].v[i / share_a], q = g->values[b].v[i / share_b];
    g->values[out].v[i] = *op == 'M' ? p * q : p + q;
  }
  in_value(g, a);
  in_value(g, b);
  end_node(g, op, out);
  return out;
}

static int concat(graph *g, int count, const int *parts) {
  const int *d = g->values[parts[0]].dims;
  int c = 0;
  for (int k = 0; k < count; k++) c += g->values[parts[k]].dims[1];
  int out = new_value(g, g->values[parts[0]].rank, 1, c, d[2], d[3]);
  double *v = g->values[out].v;
  for (int k = 0; k < count; k++) {
    memcpy(v, g->values[parts[k]].v, count_of(g, parts[k]) * sizeof *v);
    v += count_of(g, parts[k]);
    in_value(g, parts[k]);
  }
  attribute_int(g, "axis", count == 2 ? 1 : 1 - g->values[parts[0]].rank);
  end_node(g, "Concat", out);
  return out;
}

/* kind 'm': maxima, 'a': mean inside the picture, 'z': mean with the zeros outside. */
static int pool(graph *g, int x, char kind, window w, int ceil_mode) {
  const int *d = g->values[x].dims;
  int room_y = d[2] + w.top + w.bottom - w.kh, room_x = d[3] + w.left + w.right - w.kw;
  int h = room_y / w.stride + 1, wide = room_x / w.stride + 1;
  if (ceil_mode && room_y % w.stride && h * w.stride < d[2] + w.top) h++;
  if (ceil_mode && room_x % w.stride && wide * w.stride < d[3] + w.left) wide++;
  int out = new_map(g, d[1], h, wide);
  for (int i = 0; i < d[1] * h * wide; i++) {
    int c = i / wide / h, y = i / wide % h * w.stride - w.top, z = i % wide * w.stride - w.left, inside = 0;
    double sum = 0, most = -INFINITY;
    for (int p = y; p < y + w.kh; p++)
      for (int q = z; q < z + w.kw; q++) {
        if (p < 0 || q < 0 || p >= d[2] || q >= d[3]) continue;
        sum += at(g, x, c, p, q);
        most = fmax(most, at(g, x, c, p, q));
        inside++;
      }
    g->values[out].v[i] = kind == 'm' ? most : sum / (kind == 'a' ? inside : w.kh * w.kw);
  }
  in_value(g, x);
  window_attributes(g, &w);
  if (ceil_mode) attribute_int(g, "ceil_mode", 1);
  if (kind == 'z') attribute_int(g, "count_include_pad", 1);
  end_node(g, kind == 'm' ? "MaxPool" : "AveragePool", out);
  return out;
}

static void in_axes(graph *g, int newer, int out, int count, const int *axes) {
  char name[16];
  snprintf(name, sizeof name, "axes%d", out);
  if (g->opset < newer) {
    attribute_ints(g, "axes", count, axes);
  } else {
    constant_ints(g, name, count, axes);
    in(g, name);
  }
}

/* Mean over the picture; keepdims -1: GlobalAveragePool. */
static int mean(graph *g, int x, int keepdims) {
  const int *d = g->values[x].dims;
  int out = keepdims ? new_map(g, d[1], 1, 1) : new_value(g, 2, 1, d[1], 0, 0), pixels = d[2] * d[3];
  for (int i = 0; i < d[1] * pixels; i++) g->values[out].v[i / pixels] += g->values[x].v[i] / pixels;
  in_value(g, x);
  if (keepdims >= 0) {
    in_axes(g, 18, out, 2, keepdims ? (int[]){-1, -2} : (int[]){2, 3});
    attribute_int(g, "keepdims", keepdims);
  }
  end_node(g, keepdims < 0 ? "GlobalAveragePool" : "ReduceMean", out);
  return out;
}

/* The same numbers with other dimensions. */
static int renamed(graph *g, int x, int rank, int d0, int d1, int d2, int d3) {
  int out = new_value(g, rank, d0, d1, d2, d3);
  memcpy(g->values[out].v, g->values[x].v, count_of(g, x) * sizeof(double));
  return out;
}

static int flatten(graph *g, int x) {
  int out = renamed(g, x, 2, 1, (int)count_of(g, x), 0, 0);
  in_value(g, x);
  end_node(g, "Flatten", out);
  return out;
}

static int reshape(graph *g, int x, int rank, int d0, int d1, int d2, int d3) {
  int shape[4] = {d0, d1, d2, d3}, out = renamed(g, x, rank, 1, (int)count_of(g, x), 1, 1);
  char name[16];
  snprintf(name, sizeof name, "shape%d", out);
  constant_ints(g, name, rank, shape);
  in_value(g, x);
  in(g, name);
  end_node(g, "Reshape", out);
  return out;
}

/* x.reshape(x.shape[0], -1) as some exporters write it. */
static int computed_reshape(graph *g, int x) {
  int shape = new_value(g, 1, 1, 0, 0, 0), first = like(g, shape), row = like(g, shape), both = like(g, shape);
  int out = renamed(g, x, 2, 1, (int)count_of(g, x), 0, 0);
  constant_ints(g, "zero", 1, (int[]){0});
  constant_ints(g, "rest", 1, (int[]){-1});
  in_value(g, x);
  end_node(g, "Shape", shape);
  in_value(g, shape);
  in(g, "zero");
  end_node(g, "Gather", first);
  in_value(g, first);
  in_axes(g, 13, row, 1, (int[]){0});
  end_node(g, "Unsqueeze", row);
  in_value(g, row);
  in(g, "rest");
  attribute_int(g, "axis", 0);
  end_node(g, "Concat", both);
  in_value(g, x);
  in_value(g, both);
  end_node(g, "Reshape", out);
  return out;
}

/* Gemm with weights [outputs][inputs] (transposed) or [inputs][outputs]; or MatMul and, with a bias, Add. */
static int dense(graph *g, int x, int outputs, int matmul, int transposed, int bias) {
  int inputs = (int)count_of(g, x), out = new_value(g, 2, 1, outputs, 0, 0);
  float alpha = matmul ? 1 : 0.5f, beta = matmul ? 1 : 0.25f;
  char weight_name[16], bias_name[16];
  snprintf(weight_name, sizeof weight_name, "w%d", out);
  snprintf(bias_name, sizeof bias_name, "b%d", out);
  double *w =
      transposed ? weights(g, weight_name, 2, outputs, inputs, 0, 0, 0) : weights(g, weight_name, 2, inputs, outputs, 0, 0, 0);
  double *b = bias ? weights(g, bias_name, 1, outputs, 0, 0, 0, 0) : NULL;
  for (int o = 0; o < outputs; o++) {
    double sum = 0;
    for (int i = 0; i < inputs; i++) sum += g->values[x].v[i] * w[transposed ? o * inputs + i : i * outputs + o];
    g->values[out].v[o] = (double)alpha * sum + (b ? (double)beta * b[o] : 0);
  }
  in_value(g, x);
  in(g, weight_name);
  if (!matmul) {
    if (bias) in(g, bias_name);
    attribute_float(g, "alpha", alpha);
    attribute_float(g, "beta", beta);
    if (transposed) attribute_int(g, "transB", 1);
    end_node(g, "Gemm", out);
  } else {
    int product = out;
    if (bias) out = like(g, product);
    end_node(g, "MatMul", product);
    if (bias) {
      in(g, bias_name);
      in_value(g, product);
      end_node(g, "Add", out);
    }
  }
  free(w);
  free(b);
  return out;
}

/* The file; the graph's values stay for the comparison. */
static bytes end_graph(graph *g) {
  bytes file = {0}, info = {0}, type = {0}, tensor = {0}, shape = {0}, opset = {0};
  for (int i = 0; i < 4; i++) {
    bytes dim = {0};
    if (i == 0 && g->batch == 1)
      put_text(&dim, 2, "n");
    else if (!(g->open && i >= 2))
      put_number(&dim, 1, (uint64_t)(i == 0 ? g->batch : g->values[0].dims[i]));
    put_message(&shape, 1, &dim);
  }
  put_number(&tensor, 1, 1);
  put_message(&tensor, 2, &shape);
  put_message(&type, 1, &tensor);
  put_text(&info, 1, value_name(0));
  put_message(&info, 2, &type);
  put_message(&g->body, 11, &info);
  put_text(&info, 1, g->output ? g->output : value_name(g->value_count - 1));
  put_message(&g->body, 12, &info);
  put_number(&file, 1, 8);
  put_text(&file, 2, "test_import");
  put_message(&file, 7, &g->body);
  put_number(&opset, 2, (uint64_t)g->opset);
  put_message(&file, 8, &opset);
  return file;
}

static void free_graph(graph *g) {
  for (int i = 0; i < g->value_count; i++) free(g->values[i].v);
  free(g->body.at);
  free(g->node.at);
}

/* ---- networks: what each operator computes ---- */

static int convolutions(graph *g) {
  static const char *const modes[] = {"SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"};
  int x = conv(g, 0, (window){3, 3, 2, 1, 1, 1, 1, NULL}, 8, 1, 1);
  x = conv(g, x, (window){5, 3, 1, 2, 0, 1, 2, NULL}, 6, 1, 0); /* asymmetric */
  x = conv(g, x, (window){3, 3, 1, 1, 1, 1, 1, NULL}, 6, 6, 1);
  x = conv(g, x, (window){2, 4, 1, 1, 0, 0, 3, NULL}, 6, 6, 0);
  for (int i = 0; i < 4; i++) x = conv(g, x, (window){3, 2, 1 + i % 2, 0, 0, 0, 0, modes[i]}, 5 + i, 1, 1);
  return conv(g, x, (window){2, 2, 2, 0, 0, 0, 0, "SAME_LOWER"}, 8, 8, 1);
}

static int activations(graph *g) {
  static const char *const ops[] = {"Relu", "Sigmoid", "HardSigmoid", "HardSwish"};
  int x = conv(g, 0, square(3, 1, 1), 7, 1, 0), parts[8], count = 0;
  x = batchnorm(g, x);
  for (int i = 0; i < 4; i++)
    if (i != 3 || g->opset >= 14) parts[count++] = act(g, pointwise(g, x, 3), ops[i]);
  parts[count++] = clip(g, pointwise(g, x, 4), 1);
  parts[count++] = clip(g, x, 0);
  int swish = batchnorm(g, pointwise(g, x, 5));
  parts[count++] = binary(g, "Mul", swish, act(g, swish, "Sigmoid"));
  parts[count++] = binary(g, "Mul", act(g, x, "HardSigmoid"), x);
  return concat(g, count, parts);
}

static int squeeze_excite(graph *g) {
  int x = act(g, conv(g, 0, square(3, 2, 1), 8, 1, 1), "Relu");
  int s = act(g, pointwise(g, mean(g, x, -1), 3), "Relu");
  x = binary(g, "Mul", x, act(g, pointwise(g, s, 8), "Sigmoid"));
  s = act(g, dense(g, mean(g, x, 0), 4, 0, 1, 1), "Relu"); /* with dense layers on flat values */
  s = act(g, dense(g, s, 8, 0, 0, 1), "HardSigmoid");
  int out = renamed(g, s, 4, 1, 8, 1, 1);
  in_value(g, s);
  in_axes(g, 13, out, 2, (int[]){2, -1});
  end_node(g, "Unsqueeze", out);
  x = binary(g, "Mul", out, x);
  s = reshape(g, flatten(g, mean(g, x, 1)), 4, 0, 8, 1, -1);
  return binary(g, "Mul", x, act(g, s, "Sigmoid"));
}

static int pools(graph *g) {
  int x = conv(g, 0, square(3, 1, 1), 6, 1, 1), parts[4];
  parts[0] = pool(g, x, 'm', square(3, 2, 1), 0);
  parts[1] = pool(g, x, 'a', (window){3, 3, 2, 1, 1, 1, 1, NULL}, 0);
  parts[2] = pool(g, x, 'z', (window){3, 3, 2, 1, 1, 1, 1, NULL}, 0);
  parts[3] = conv(g, x, square(3, 2, 1), 5, 1, 1);
  x = concat(g, 4, parts);
  x = pool(g, pool(g, x, 'm', square(2, 2, 0), 1), 'a', square(2, 1, 1), 0);
  return mean(g, pool(g, x, 'a', square(3, 2, 0), 1), 1);
}

static int sums(graph *g) {
  int x = conv(g, 0, square(3, 2, 1), 4, 1, 1), parts[6],
      y = binary(g, "Add", x, act(g, conv(g, x, square(3, 1, 1), 4, 1, 1), "Relu"));
  y = act(g, binary(g, "Add", y, y), "Relu");
  for (int i = 0; i < 6; i++) parts[i] = pointwise(g, y, 2 + i);
  y = concat(g, 6, parts);
  int z = concat(g, 2, (int[]){y, x});
  return binary(g, "Add", pointwise(g, z, 4), x);
}

/* Dense layers after maps of several pixels: the order of their weights' rows changes. */
static int heads(graph *g) {
  int x = conv(g, 0, square(3, 2, 1), 5, 1, 1), parts[5], out;
  parts[0] = dense(g, flatten(g, x), 6, 0, 1, 1);
  parts[1] = dense(g, reshape(g, x, 2, 0, -1, 0, 0), 4, 0, 0, 1);
  parts[2] = dense(g, computed_reshape(g, x), 4, 1, 0, 1);
  out = like(g, parts[1]);
  in_value(g, parts[1]);
  end_node(g, "Dropout", out);
  parts[3] = dense(g, act(g, act(g, out, "Identity"), "Cast"), 3, 1, 0, 0);
  x = mean(g, x, -1);
  out = renamed(g, x, 2, 1, 5, 0, 0);
  in_value(g, x);
  in_axes(g, 13, out, 2, (int[]){2, -1});
  end_node(g, "Squeeze", out);
  parts[4] = batchnorm(g, out);
  return concat(g, 5, parts);
}

/* Two inverted bottlenecks with squeeze-excite, as MobileNet and EfficientNet have them. */
static int bottlenecks(graph *g) {
  int x = conv(g, 0, square(3, 2, 1), 8, 1, 0);
  x = batchnorm(g, x);
  x = binary(g, "Mul", x, act(g, x, "Sigmoid"));
  for (int i = 0; i < 2; i++) {
    int y = clip(g, batchnorm(g, pointwise(g, x, 24)), 1);
    y = conv(g, y, (window){5, 5, 1 + i, 2, 2, 2, 2, NULL}, 24, 24, 0);
    y = batchnorm(g, y);
    y = binary(g, "Mul", y, act(g, y, "Sigmoid"));
    int s = act(g, pointwise(g, mean(g, y, -1), 4), "Relu");
    y = binary(g, "Mul", act(g, pointwise(g, s, 24), "Sigmoid"), y);
    y = batchnorm(g, conv(g, y, square(1, 1, 0), 8, 1, 0));
    x = i == 0 ? binary(g, "Add", x, y) : y;
  }
  return dense(g, flatten(g, x), 10, 0, 1, 1);
}

static int (*const networks[])(graph *) = {convolutions, activations, squeeze_excite, pools, sums, heads, bottlenecks};
static const char *const network_names[] = {"convolutions", "activations", "squeeze_excite", "pools",
                                            "sums",         "heads",       "bottlenecks"};
enum { NETWORK_COUNT = sizeof networks / sizeof *networks };

/* Largest difference between the model and numbers in ONNX's order, over the largest number; negative: it does not run. */
static double difference(const unsigned char *model_bytes, size_t size, const double *x, const double *y, size_t count,
                         char *message) {
  roto_model *model;
  roto_session *session = NULL;
  roto_error error;
  roto_options options;
  memset(&options, 0, sizeof options);
  options.error = &error;
  if (roto_open(model_bytes, size, &options, &model) != ROTO_OK) return message_set(message, "rule %u", error.rule), -1;
  const roto_info *info = roto_get_info(model);
  size_t pixels = (size_t)info->input_width * info->input_height, channels = info->input_channels;
  double worst = 0, largest = 0;
  float *input = malloc(pixels * channels * sizeof *input), *output = malloc(info->output_count * sizeof *output), off = 0;
  int status = input != NULL && output != NULL && info->output_count == count ? 0 : -1;
  for (size_t i = 0; status == 0 && i < pixels * channels; i++) input[i % pixels * channels + i / pixels] = (float)x[i];
  if (status == 0 && (roto_session_create(model, NULL, &session) != ROTO_OK || roto_selftest(session, &off) != ROTO_OK ||
                      roto_infer(session, input, output) != ROTO_OK))
    status = message_set(message, "self-test off by %g", (double)off);
  for (size_t i = 0; status == 0 && i < count; i++) {
    worst = fmax(worst, fabs((double)output[i] - y[i]));
    if (!(fabs((double)output[i] - y[i]) <= worst)) worst = INFINITY;
    largest = fmax(largest, fabs(y[i]));
  }
  free(input);
  free(output);
  roto_session_free(session);
  roto_close(model);
  return status != 0 ? -1 : largest > 0 ? worst / largest : INFINITY;
}

static void operators_compute_what_onnx_says(void) {
  static const int opsets[] = {7, 9, 10, 11, 12, 13, 14, 17, 18, 20};
  double worst = 0;
  for (int n = 0; n < NETWORK_COUNT; n++)
    for (size_t k = 0; k < sizeof opsets / sizeof *opsets; k++) {
      graph g;
      char message[MESSAGE_SIZE] = "";
      unsigned char *model = NULL;
      size_t size = 0;
      import_options o = import_defaults();
      begin_graph(&g, 7 * k + (size_t)n, (storage)((k + (size_t)n) % STORAGE_COUNT), opsets[k], 3, 23, 19);
      int y = networks[n](&g);
      bytes file = end_graph(&g);
      int h = g.values[y].rank == 4 ? g.values[y].dims[2] : 1, w = g.values[y].rank == 4 ? g.values[y].dims[3] : 1;
      int status = import_model(&o, file.at, file.size, &model, &size, message);
      CHECK(status == 0, "%s, opset %d: %s", network_names[n], opsets[k], message);
      if (status == 0) {
        size_t count = count_of(&g, y), pixels = (size_t)h * (size_t)w, c = count / pixels;
        double *expected = malloc(count * sizeof *expected);
        for (size_t i = 0; i < count; i++) expected[i % pixels * c + i / pixels] = g.values[y].v[i];
        double off = difference(model, size, g.values[0].v, expected, count, message);
        CHECK(off >= 0 && off < 2e-6, "%s, opset %d: off by %g of the largest output %s", network_names[n], opsets[k], off,
              message);
        worst = fmax(worst, off);
        free(expected);
      }
      free(model);
      free(file.at);
      free_graph(&g);
    }
  printf("  operators: off by at most %.2g of the largest output\n", worst);
}

/* ---- refusals ---- */

/* A small valid network, to which a refusal adds one thing. */
static int start(graph *g) {
  return conv(g, 0, square(3, 1, 1), 4, 1, 1);
}

static int node_of(graph *g, const char *op, int x, int out) {
  in_value(g, x);
  end_node(g, op, out);
  return out;
}

static int bad_operator(graph *g) {
  int x = start(g);
  return node_of(g, "Resize", x, like(g, x));
}

static int bad_domain(graph *g) {
  int x = start(g);
  put_text(&g->node, 7, "com.example");
  return node_of(g, "Relu", x, like(g, x));
}

/* A convolution of value x with weights of these dimensions and one attribute. */
static int odd_conv(graph *g, int x, int d0, int d1, int d2, int d3, const char *name, int64_t value) {
  int out = new_map(g, d0, 1, 1);
  free(weights(g, "odd", 4, d0, d1, d2, d3, 0));
  in_value(g, x);
  in(g, "odd");
  if (name != NULL && strchr("dsp", *name)) /* dilations, strides, pads */
    attribute_ints(g, name, *name == 'p' ? 4 : 2, (int[]){1, (int)value, (int)value, (int)value});
  else if (name != NULL)
    attribute_int(g, name, value);
  end_node(g, "Conv", out);
  return out;
}

static int bad_dilation(graph *g) {
  return odd_conv(g, start(g), 4, 4, 3, 3, "dilations", 2);
}
static int bad_strides(graph *g) {
  return odd_conv(g, start(g), 4, 4, 3, 3, "strides", 2);
}
static int bad_padding(graph *g) {
  return odd_conv(g, start(g), 4, 4, 3, 3, "pads", 3);
}
static int bad_negative_padding(graph *g) {
  return odd_conv(g, start(g), 4, 4, 3, 3, "pads", -1);
}
static int bad_groups(graph *g) {
  return odd_conv(g, start(g), 4, 2, 3, 3, "group", 2);
}
static int bad_multiplier(graph *g) {
  return odd_conv(g, start(g), 8, 1, 3, 3, "group", 4);
}
static int bad_channels(graph *g) {
  return odd_conv(g, start(g), 4, 5, 3, 3, NULL, 0);
}
static int bad_kernel(graph *g) {
  return odd_conv(g, start(g), 1, 4, 65, 1, NULL, 0);
}
static int bad_fit(graph *g) {
  return odd_conv(g, start(g), 4, 4, 60, 3, NULL, 0);
}

static int bad_auto_pad(graph *g) {
  int x = start(g);
  attribute_text(g, "auto_pad", "SAME");
  free(weights(g, "w", 4, 4, 4, 1, 1, 0));
  in_value(g, x);
  in(g, "w");
  end_node(g, "Conv", like(g, x));
  return 0;
}

static int bad_weights(graph *g) { /* computed, not constant */
  int x = start(g), y = start(g);
  in_value(g, x);
  return node_of(g, "Conv", y, like(g, y));
}

static int bad_hard_sigmoid(graph *g) {
  int x = start(g);
  return node_of(g, "HardSigmoid", x, like(g, x));
}

static int bad_clip(graph *g) {
  int x = start(g);
  attribute_float(g, "min", -1);
  attribute_float(g, "max", 1);
  g->opset = 9;
  return node_of(g, "Clip", x, like(g, x));
}

static int bad_product(graph *g) {
  int x = start(g);
  return binary(g, "Mul", x, pointwise(g, x, 4));
}

static int bad_constant_sum(graph *g) {
  int x = act(g, start(g), "Relu");
  free(weights(g, "three", 1, 1, 0, 0, 0, 0));
  in(g, "three");
  return node_of(g, "Add", x, like(g, x));
}

static int bad_sum(graph *g) {
  int x = start(g), y = mean(g, x, -1);
  return binary(g, "Add", x, y);
}

static int bad_axis(graph *g) {
  int x = start(g);
  in_value(g, x);
  attribute_int(g, "axis", 2);
  return node_of(g, "Concat", x, like(g, x));
}

static int bad_mean(graph *g) {
  int x = start(g);
  attribute_ints(g, "axes", 1, (int[]){1});
  return node_of(g, "ReduceMean", x, like(g, x));
}

static int bad_indices(graph *g) {
  int x = start(g);
  put_text(&g->node, 1, value_name(x));
  attribute_ints(g, "kernel_shape", 2, (int[]){2, 2});
  int y = like(g, x), z = like(g, x);
  put_text(&g->node, 2, value_name(y));
  put_text(&g->node, 2, value_name(z));
  put_text(&g->node, 4, "MaxPool");
  put_message(&g->body, 1, &g->node);
  return act(g, z, "Relu");
}

static int bad_training(graph *g) {
  int x = start(g);
  static const char *const names[] = {"one", "two", "three", "four"};
  in_value(g, x);
  for (int i = 0; i < 4; i++) {
    free(weights(g, names[i], 1, 4, 0, 0, 0, 1));
    in(g, names[i]);
  }
  attribute_int(g, "training_mode", 1);
  end_node(g, "BatchNormalization", like(g, x));
  return 0;
}

static int bad_variance(graph *g) {
  int x = start(g);
  static const char *const names[] = {"one", "two", "three", "four"};
  in_value(g, x);
  for (int i = 0; i < 4; i++) {
    bytes t = {0};
    double v[4] = {1, 1, -1, 1};
    tensor_bytes(&t, RAW, names[i], 1, (int[]){4}, v, 4);
    put_message(&g->body, 5, &t);
    in(g, names[i]);
  }
  end_node(g, "BatchNormalization", like(g, x));
  return 0;
}

static int bad_dropout(graph *g) {
  int x = start(g);
  bytes t = {0};
  put_number(&t, 2, 9);
  put_text(&t, 8, "training");
  put_bytes(&t, 9, "\1", 1);
  put_message(&g->body, 5, &t);
  in_value(g, x);
  in(g, "");
  in(g, "training");
  end_node(g, "Dropout", like(g, x));
  return 0;
}

static int bad_picture(graph *g) {
  return act(g, 0, "Relu");
}
static int bad_dense(graph *g) {
  return dense(g, start(g), 3, 0, 0, 1);
}
static int bad_flat_output(graph *g) {
  return flatten(g, start(g));
}
static int bad_reshape(graph *g) {
  return reshape(g, start(g), 2, 7, -1, 0, 0);
}

static int bad_dense_size(graph *g) {
  int x = flatten(g, start(g));
  g->values[x].dims[1]++; /* the weights are for one more */
  g->values[x].v = realloc(g->values[x].v, count_of(g, x) * sizeof(double));
  g->values[x].v[count_of(g, x) - 1] = 0;
  return dense(g, x, 3, 0, 0, 1);
}

static int bad_missing(graph *g) {
  int x = start(g);
  in_value(g, x);
  in(g, "nowhere");
  end_node(g, "Conv", like(g, x));
  return 0;
}

static int bad_cycle(graph *g) {
  int x = start(g), y = like(g, x), z = like(g, x);
  node_of(g, "Relu", z, y);
  return node_of(g, "Relu", y, z);
}

static int bad_self(graph *g) {
  int x = start(g), y = like(g, x);
  return node_of(g, "Relu", y, y);
}

static int bad_twice(graph *g) {
  int x = start(g), y = like(g, x);
  node_of(g, "Relu", x, y);
  return node_of(g, "Sigmoid", x, y);
}

/* A convolution whose weights are the tensor `t`. */
static int with_tensor(graph *g, bytes *t) {
  put_text(t, 8, "w");
  put_message(&g->body, 5, t);
  in_value(g, 0);
  in(g, "w");
  end_node(g, "Conv", new_map(g, 4, 1, 1));
  return 0;
}

static void dims_of(bytes *t, int64_t oc, int64_t ic, int64_t kh, int64_t kw, int type) {
  put_number(t, 1, (uint64_t)oc);
  put_number(t, 1, (uint64_t)ic);
  put_number(t, 1, (uint64_t)kh);
  put_number(t, 1, (uint64_t)kw);
  put_number(t, 2, (uint64_t)type);
}

static int bad_external(graph *g) {
  bytes t = {0};
  dims_of(&t, 4, 3, 1, 1, 1);
  put_number(&t, 14, 1);
  return with_tensor(g, &t);
}

static int bad_short(graph *g) {
  bytes t = {0};
  dims_of(&t, 4, 3, 1, 1, 1);
  put_bytes(&t, 9, "0123456789", 10);
  return with_tensor(g, &t);
}

static int bad_few(graph *g) {
  bytes t = {0};
  dims_of(&t, 4, 3, 1, 1, 1);
  put_float(&t, 4, 1);
  return with_tensor(g, &t);
}

static int bad_many(graph *g) {
  bytes t = {0};
  dims_of(&t, 1, 3, 1, 1, 1);
  for (int i = 0; i < 4; i++) put_float(&t, 4, 1);
  return with_tensor(g, &t);
}

static int bad_type(graph *g) {
  bytes t = {0};
  dims_of(&t, 4, 3, 1, 1, 3);
  put_bytes(&t, 9, "0123456789ab", 12);
  return with_tensor(g, &t);
}

static int bad_number(graph *g) {
  bytes t = {0};
  dims_of(&t, 1, 3, 1, 1, 1);
  put_float(&t, 4, 1);
  put_float(&t, 4, NAN);
  put_float(&t, 4, 1);
  return with_tensor(g, &t);
}

static int bad_huge(graph *g) {
  bytes t = {0};
  dims_of(&t, (int64_t)1 << 40, 3, (int64_t)1 << 40, 1, 1);
  return with_tensor(g, &t);
}

static int bad_negative(graph *g) {
  bytes t = {0};
  dims_of(&t, -4, 3, 1, 1, 1);
  return with_tensor(g, &t);
}

static int bad_empty(graph *g) {
  bytes t = {0};
  dims_of(&t, 0, 3, 1, 1, 1);
  return with_tensor(g, &t);
}

static int bad_opset(graph *g) {
  return start(g), g->opset = 6, 0;
}
static int bad_new_opset(graph *g) {
  return start(g), g->opset = 21, 0;
}
static int bad_batch(graph *g) {
  return start(g), g->batch = 8, 0;
}
static int bad_open(graph *g) {
  return start(g), g->open = 1, 0;
}
static int bad_output(graph *g) {
  return start(g), g->output = "elsewhere", 0;
}
static int bad_constant_output(graph *g) {
  return act(g, start(g), "Relu"), g->output = "w1", 0;
}

static int bad_inputs(graph *g) {
  bytes info = {0};
  put_text(&info, 1, "second");
  put_message(&g->body, 11, &info);
  return start(g);
}

static int bad_outputs(graph *g) {
  bytes info = {0};
  int x = start(g);
  put_text(&info, 1, value_name(x));
  put_message(&g->body, 12, &info);
  return act(g, x, "Relu");
}

static int bad_picture_channels(graph *g) {
  g->values[0].dims[1] = 5;
  g->values[0].v = realloc(g->values[0].v, count_of(g, 0) * sizeof(double));
  memset(g->values[0].v, 0, count_of(g, 0) * sizeof(double));
  return start(g);
}

static const struct {
  int (*build)(graph *);
  const char *expected[2]; /* in the message */
} refusals[] = {
    {bad_operator, {"the_Resize_2", "(Resize): not supported; supported are Conv,"}},
    {bad_domain, {"(Relu)", "not supported"}},
    {bad_dilation, {"(Conv)", "dilation 2"}},
    {bad_strides, {"(Conv)", "strides 1 and 2"}},
    {bad_padding, {"(Conv)", "padding"}},
    {bad_negative_padding, {"(Conv)", "padding"}},
    {bad_groups, {"(Conv)", "2 groups"}},
    {bad_multiplier, {"(Conv)", "4 groups for 4 channels in and 8 out"}},
    {bad_channels, {"(Conv)", "for 5 channels, the input has 4"}},
    {bad_kernel, {"(Conv)", "65"}},
    {bad_fit, {"(Conv)", "does not fit into"}},
    {bad_auto_pad, {"(Conv)", "auto_pad 'SAME'"}},
    {bad_weights, {"(Conv)", "expected constant weights as input 1"}},
    {bad_hard_sigmoid, {"(HardSigmoid)", "alpha 0.2"}},
    {bad_clip, {"(Clip)", "bounds -1 and 1"}},
    {bad_product, {"(Mul)", "one factor a channel"}},
    {bad_constant_sum, {"(Add)", "bias"}},
    {bad_sum, {"(Add)", "same shape"}},
    {bad_axis, {"(Concat)", "axis 1"}},
    {bad_mean, {"(ReduceMean)", "height and width"}},
    {bad_indices, {"(Relu)", "second output"}},
    {bad_training, {"(BatchNormalization)", "training mode"}},
    {bad_variance, {"(BatchNormalization)", "variance"}},
    {bad_dropout, {"(Dropout)", "training mode"}},
    {bad_picture, {"(Relu)", "picture"}},
    {bad_dense, {"(Gemm)", "flattened"}},
    {bad_dense_size, {"(Gemm)", "inputs"}},
    {bad_flat_output, {"output", "flattened"}},
    {bad_reshape, {"(Reshape)", "dimension 0"}},
    {bad_missing, {"(Conv)", "'nowhere', which the file does not hold"}},
    {bad_cycle, {"(Relu)", "cycle"}},
    {bad_self, {"(Relu)", "cycle"}},
    {bad_twice, {"(Sigmoid)", "another node makes"}},
    {bad_external, {"tensor 'w'", "another file"}},
    {bad_short, {"tensor 'w'", "expected 48 bytes for its dimensions, found 10"}},
    {bad_few, {"tensor 'w'", "expected 12 numbers"}},
    {bad_many, {"tensor 'w'", "found more"}},
    {bad_type, {"tensor 'w'", "data type 3"}},
    {bad_number, {"tensor 'w'", "not finite"}},
    {bad_huge, {"tensor 'w'", "dimension 0 is 1099511627776"}},
    {bad_negative, {"tensor 'w'", "dimension 0 is -4"}},
    {bad_empty, {"(Conv)", "limits"}},
    {bad_opset, {"opset 6", "7 to 20"}},
    {bad_new_opset, {"opset 21", "7 to 20"}},
    {bad_batch, {"input 'v0'", "batches of 8"}},
    {bad_open, {"input 'v0'", "must be given"}},
    {bad_output, {"'elsewhere'", "not computed from the picture"}},
    {bad_constant_output, {"'w1'", "not computed from the picture"}},
    {bad_inputs, {"one input", "found 2"}},
    {bad_outputs, {"one output", "found 2"}},
    {bad_picture_channels, {"input 'v0'", "5"}},
};

static void everything_else_is_refused(void) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    graph g;
    onnx_network net;
    char message[ONNX_MESSAGE_SIZE] = "";
    begin_graph(&g, i, RAW, 13, 3, 9, 9);
    refusals[i].build(&g);
    bytes file = end_graph(&g);
    int status = onnx_import(file.at, file.size, NULL, &net, message);
    CHECK(status == -1 && net.nodes == NULL && net.tensors == NULL && strstr(message, refusals[i].expected[0]) &&
              strstr(message, refusals[i].expected[1]),
          "expected '%s' and '%s', found '%s'", refusals[i].expected[0], refusals[i].expected[1], message);
    if (status == 0) onnx_free(&net);
    free(file.at);
    free_graph(&g);
  }
}

/* ---- options ---- */

static int import_graph(graph *g, const import_options *o, unsigned char **model, size_t *size, char *message) {
  bytes file = end_graph(g);
  int status = import_model(o, file.at, file.size, model, size, message);
  free(file.at);
  free_graph(g);
  return status;
}

static void options_say_what_the_file_does_not(void) {
  graph g;
  char message[MESSAGE_SIZE];
  unsigned char *bytes_of;
  size_t size;
  roto_model *model;
  roto_landmark landmark;
  import_options o = import_defaults();
  o.name = "two";
  o.landmarks = 2;
  o.size = 9;
  o.mean[1] = 0.25;
  o.deviation[1] = 0.5;
  begin_graph(&g, 1, RAW, 13, 3, 9, 9);
  dense(&g, flatten(&g, start(&g)), 4, 0, 0, 1);
  g.open = 1;
  CHECK(import_graph(&g, &o, &bytes_of, &size, message) == 0, "%s", message);
  CHECK(roto_open(bytes_of, size, NULL, &model) == ROTO_OK);
  const roto_info *info = roto_get_info(model);
  CHECK(info != NULL && info->landmark_count == 2 && info->output_count == 4 && info->input_width == 9);
  CHECK(info != NULL && fabsf(info->input_mean[1] - 0.25f) < 1e-6f && fabsf(info->input_scale[1] - 2) < 1e-6f);
  CHECK(roto_get_landmark(model, 1, &landmark) == ROTO_OK && strcmp(landmark.name, "p1") == 0);
  roto_close(model);
  free(bytes_of);

  begin_graph(&g, 1, RAW, 13, 3, 9, 9); /* five outputs are not two landmarks */
  dense(&g, flatten(&g, start(&g)), 5, 0, 0, 1);
  CHECK(import_graph(&g, &o, &bytes_of, &size, message) == -1 && strstr(message, "2 landmarks") && bytes_of == NULL);

  o.size = 8; /* the file says 9 */
  begin_graph(&g, 1, RAW, 13, 3, 9, 9);
  dense(&g, flatten(&g, start(&g)), 4, 0, 0, 1);
  CHECK(import_graph(&g, &o, &bytes_of, &size, message) == -1 && strstr(message, "found 9"));

  o = import_defaults(); /* the trunk of a network whose end is not supported */
  o.until = "v1";
  begin_graph(&g, 1, RAW, 13, 3, 9, 9);
  bad_operator(&g);
  CHECK(import_graph(&g, &o, &bytes_of, &size, message) == 0, "%s", message);
  CHECK(roto_open(bytes_of, size, NULL, &model) == ROTO_OK);
  info = roto_get_info(model);
  CHECK(info != NULL && info->landmark_count == 0 && info->part_count == 0 && info->output_count == 9 * 9 * 4);
  if (info != NULL) { /* a bare network has no landmarks to find */
    static const unsigned char grey[3];
    roto_image image = {grey, 1, 1, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
    roto_session *session;
    roto_point point;
    CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
    CHECK(roto_find_landmarks(session, &image, (roto_rect){0, 0, 1, 1}, &point) == ROTO_ERR_ARGUMENT);
    roto_session_free(session);
  }
  roto_close(model);
  free(bytes_of);

  o.until = "nothing";
  begin_graph(&g, 1, RAW, 13, 3, 9, 9);
  start(&g);
  CHECK(import_graph(&g, &o, &bytes_of, &size, message) == -1 && strstr(message, "'nothing'"));
}

/* ---- damage ---- */

static unsigned long accepted, refused;

/* Whatever is accepted must be a model that opens and, if it is small, runs. */
static void try_file(const unsigned char *data, size_t size) {
  onnx_network net;
  char message[ONNX_MESSAGE_SIZE];
  onnx_options options = {8, 8, NULL};
  unsigned char *copy = malloc(size > 0 ? size : 1); /* its own block, so that a sanitizer sees its end */
  memcpy(copy, data, size);
  int status = onnx_import(copy, size, &options, &net, message);
  if (status != 0) {
    CHECK(message[0] != 0 && strlen(message) < ONNX_MESSAGE_SIZE && net.nodes == NULL && net.tensor_count == 0);
    refused++;
  } else {
    double work = 0;
    for (uint32_t i = 1; i < net.node_count; i++)
      work += (double)net.nodes[i].h * net.nodes[i].w * net.nodes[i].c * (1 + net.nodes[i].kh * net.nodes[i].kw) *
              net.nodes[net.nodes[i].inputs[0]].c;
    if (work < 1e6) {
      import_options o = import_defaults();
      unsigned char *model;
      size_t model_size;
      o.size = 8;
      if (import_model(&o, copy, size, &model, &model_size, message) == 0)
        accepted++;
      else /* numbers may overflow, but the network must be one that the reader accepts */
        CHECK(strstr(message, "rule") == NULL, "%s", message);
      free(model);
    }
    onnx_free(&net);
  }
  free(copy);
}

static void damaged_files_are_refused(void) {
  uint64_t random = 1;
  for (int n = 0; n < NETWORK_COUNT; n++) {
    graph g;
    begin_graph(&g, 3, n % 2 ? RAW : FLOAT_DATA, n % 2 ? 13 : 18, 3, 8, 8);
    networks[n](&g);
    bytes file = end_graph(&g);
    free_graph(&g);
    unsigned long before = refused;
    size_t step = 1 + file.size / 1500, cuts = 0;
    for (size_t size = 0; size < file.size; size += step, cuts++) try_file(file.at, size); /* the opset is the last field */
    CHECK(refused - before == cuts, "%lu of %zu truncated files refused", refused - before, cuts);
    for (int k = 0; k < 1500; k++) {
      unsigned char *copy = malloc(file.size);
      memcpy(copy, file.at, file.size);
      for (int flips = 1 + k % 4; flips > 0; flips--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        copy[(random >> 20) % file.size] =
            k % 3 ? (unsigned char)(random >> 52) : (unsigned char)(copy[(random >> 20) % file.size] + 1);
      }
      try_file(copy, file.size);
      free(copy);
    }
    free(file.at);
  }
  CHECK(accepted > 500, "%lu changed files are still networks; changed weights should be", accepted);
  printf("  damaged files: %lu refused, %lu still networks\n", refused, accepted);
}

/* ---- fine-tuning ---- */

/* One step of the sum of squares towards (3, 4) of 10 everywhere; returns the loss before it. */
static double descend(network *net, optimizer *opt, real *dy, int training_steps) {
  const net_node *out = net_output(net);
  double loss = 0;
  for (int step = 0; step < training_steps; step++) {
    const real *y = net_forward(net, 1, (uint64_t)step);
    for (size_t i = 0; i < net->batch; i++)
      for (size_t c = 0; c < out->c; c++) {
        size_t k = i * value_stride(out->c) + c, per = out->op == ROTO_OP_POINTS ? 3 : 2;
        real off = c % per < 2 ? y[k] - (real)(c % per == 0 ? 0.3 : 0.4) : 0;
        if (step == 0) loss += (double)(off * off);
        dy[k] = 2 * off;
      }
    net_backward(net, dy, NULL);
    optimizer_step(opt, net, 1e-3);
  }
  return loss;
}

/* How many parameters from `first` on differ from `before`, as [0] of the trunk, [1] of what follows. */
static void count_changes(const network *net, const trunk *t, const real *before, size_t changes[2]) {
  changes[0] = changes[1] = 0;
  for (uint32_t i = 0; i < net->param_count; i++) {
    const net_param *p = &net->params[i];
    if (p->kind == PARAM_STATISTIC) continue;
    for (size_t k = p->offset; k < p->offset + p->count; k++)
      changes[i >= t->param_count] += net->values[k] < before[k] || net->values[k] > before[k];
  }
}

/* `map` is the index of the last feature map, counted back from the graph's last value. */
/* The mean of a network's numbers and of three times those is twice those; a network of other layers is refused. */
static void average(const unsigned char *model, size_t size, network *other, const char *path) {
  const uint32_t side = other->nodes[0].w;
  char message[MESSAGE_SIZE] = "";
  trunk t;
  network net;
  uint32_t x = 0, wrong = 0;
  net_init(&net);
  net_input(&net, side, side, 3);
  int status = file_write(path, model, size, message);
  if (status == 0) status = trunk_load(path, 1, &t, message);
  if (!CHECK(status == 0, "%s", message)) return;
  CHECK(trunk_build(&t, &net, &x, message) == 0, "%s", message);
  net_finish(&net, 1);
  trunk_fill(&t, &net);
  for (size_t i = 0; i < net.value_count; i++) net.values[i] *= 3;
  CHECK(trunk_blend(path, 0.5, &net, message) == 0, "%s", message);
  for (uint32_t i = 0; i < t.param_count; i++)
    for (size_t k = 0; k < net.params[i].count; k++) {
      double original = (double)t.tensors[i][k], mean = (double)net.values[net.params[i].offset + k];
      wrong += !(fabs(mean - 2 * original) <= 1e-6 * fabs(original));
    }
  CHECK(net.param_count == t.param_count && wrong == 0, "%u numbers of %u tensors are no mean", wrong, t.param_count);
  CHECK(trunk_blend(path, 0.5, other, message) == -1 && strstr(message, "other layers") != NULL, "%s", message);
  net_free(&net);
  trunk_free(&t);
}

static void fine_tune(const char *name, int (*build)(graph *), int map, const char *head, const char *path) {
  enum { POINTS = 4, SIDE = 40 };
  graph g;
  char message[MESSAGE_SIZE] = "";
  unsigned char *model = NULL, *tuned = NULL;
  size_t size = 0, changes[2];
  import_options o = import_defaults();
  trunk t;
  network net;
  optimizer opt;
  uint32_t x = 0;
  begin_graph(&g, 11, RAW, 17, 3, SIDE, SIDE);
  build(&g);
  bytes file = end_graph(&g);
  int status = import_model(&o, file.at, file.size, &model, &size, message);
  if (status == 0) status = file_write(path, model, size, message);
  if (status == 0) status = trunk_load(path, 0, &t, message);
  free(file.at);
  free(model);
  if (!CHECK(status == 0, "%s: %s", name, message)) {
    free_graph(&g);
    return;
  }
  /* the trunk alone gives the imported network's features; then the network to train, with a head */
  compute *cp = compute_create(1, 0);
  network alone;
  for (int with_head = 0; with_head < 2; with_head++) {
    network *n = with_head ? &net : &alone;
    net_init(n);
    net_input(n, SIDE, SIDE, 3);
    CHECK(trunk_build(&t, n, &x, message) == 0, "%s: %s", name, message);
    CHECK(x == t.node_count - 1 && t.param_count == n->param_count);
    if (with_head) CHECK(architecture_extend(n, x, head, POINTS, message) == 0, "%s: %s", name, message);
    net_finish(n, 1);
    trunk_fill(&t, n);
    net_prepare(n, cp, 2);
  }
  optimizer_init(&opt, &net);
  int last = g.value_count - 1 - map, h = g.values[last].dims[2], w = g.values[last].dims[3];
  size_t pixels = (size_t)h * (size_t)w, c = net.nodes[x].c, picture = (size_t)SIDE * SIDE;
  for (size_t i = 0; i < 2 * picture * 3; i++) {
    size_t pixel = i / 3 % picture;
    size_t place = i / 3 * value_stride(3) + i % 3;
    net.outputs[0][place] = alone.outputs[0][place] = (real)g.values[0].v[i % 3 * picture + pixel];
  }
  const real *features = net_forward(&alone, 0, 0);
  double worst = 0, largest = 0;
  CHECK(net.nodes[x].h == (uint32_t)h && net.nodes[x].w == (uint32_t)w && (int)c == g.values[last].dims[1]);
  for (size_t i = 0; i < 2 * pixels * c; i++) {
    double expected = g.values[last].v[i % c * pixels + i / c % pixels],
           found = (double)features[i / c * value_stride(c) + i % c];
    largest = fmax(largest, fabs(expected));
    if (!(fabs(found - expected) <= worst)) worst = fabs(found - expected);
  }
  CHECK(worst <= 2e-6 * largest, "%s: features off by %g of %g", name, worst, largest);

  /* steps with the trunk frozen change the head alone, then all */
  const net_node *out = net_output(&net);
  real *dy = real_alloc(2 * value_stride(out->c)), *before = real_alloc(net.value_count);
  memcpy(before, net.values, net.value_count * sizeof(real));
  net.frozen_nodes = t.node_count;
  net.frozen_params = t.param_count;
  double first = descend(&net, &opt, dy, 5), second;
  count_changes(&net, &t, before, changes);
  CHECK(changes[0] == 0 && changes[1] > 0, "%s: frozen, %zu and %zu parameters changed", name, changes[0], changes[1]);
  net.frozen_nodes = net.frozen_params = 0;
  optimizer_restart(&opt, &net);
  CHECK(opt.step == 0);
  second = descend(&net, &opt, dy, 20);
  count_changes(&net, &t, before, changes);
  CHECK(changes[0] > 0 && changes[1] > 0, "%s: thawed, %zu and %zu parameters changed", name, changes[0], changes[1]);
  double third = descend(&net, &opt, dy, 1);
  CHECK(second < first && third < second, "%s: loss %g, %g, %g", name, first, second, third);

  /* and the result is a model that runs as the trainer says */
  roto_landmark landmarks[POINTS] = {{"a", "", 0, 0, 1}, {"b", "", 0, 1, 1}, {"c", "", 0, 2, 1}, {"d", "", 0, 3, 1}};
  roto_part part = {"all", 1};
  character ch = {0};
  ch.landmark_count = POINTS;
  ch.landmarks = landmarks;
  ch.part_count = 1;
  ch.parts = &part;
  roto_knot knot = {0, 0.01f};
  float *test_input = calloc(picture * 4, sizeof *test_input), off = 0;
  export_options e = {name, "", {0.5f, 0.5f, 0.5f}, {4, 4, 4}, 1.4f, &knot, 1, test_input};
  roto_model *opened;
  roto_session *session;
  CHECK(export_model(&net, net.values, &ch, &e, &tuned, &size, message) == 0, "%s: %s", name, message);
  if (CHECK(roto_open(tuned, size, NULL, &opened) == ROTO_OK)) {
    CHECK(roto_session_create(opened, NULL, &session) == ROTO_OK && roto_selftest(session, &off) == ROTO_OK, "off by %g",
          (double)off);
    roto_session_free(session);
    roto_close(opened);
  }
  average(tuned, size, &alone, path);
  printf("  %s: features off by %.2g of the largest, loss %.3g, %.3g after the head's steps, %.3g after all\n", name,
         worst / largest, first, second, third);
  free(tuned);
  free(test_input);
  free(before);
  free(dy);
  optimizer_free(&opt);
  net_free(&net);
  net_free(&alone);
  compute_free(cp);
  trunk_free(&t);
  free_graph(&g);
}

static void training_starts_from_an_imported_trunk(const char *folder) {
  char path[1024], message[MESSAGE_SIZE] = "";
  trunk t;
  snprintf(path, sizeof path, "%s/test_import.roto", folder);
  fine_tune("with batch norms, points", bottlenecks, 2, "pyramid 8 points 3", path);
  fine_tune("with batch norms, regress", bottlenecks, 2, "conv 3 1 8 regress", path);
  fine_tune("without batch norms", squeeze_excite, 0, "points 3", path);
  fine_tune("sums and branches", sums, 0, "conv 3 1 8 points 3", path);
  fine_tune("windows of all kinds", convolutions, 0, "regress", path);
  remove(path);
  CHECK(trunk_load(path, 0, &t, message) == -1 && strstr(message, path) != NULL);
  CHECK(strcmp(architecture_head("act relu conv 3 2 8 pyramid 4 points 3") +
                   strspn(architecture_head("act relu conv 3 2 8 pyramid 4 points 3"), " "),
               "pyramid 4 points 3") == 0);
}

/* ---- networks of other people ---- */

static unsigned char *read_all(const char *folder, const char *name, const char *ending, size_t *size) {
  char path[1024];
  unsigned char *data = NULL;
  snprintf(path, sizeof path, "%s/%s%s", folder, name, ending);
  return file_read(path, (size_t)1 << 32, &data, size, NULL) == 0 ? data : NULL;
}

/* Returns how many there are: folders with data for other tests have none. */
static int networks_of_others_agree(const char *folder) {
  DIR *directory = opendir(folder);
  int found = 0;
  CHECK(directory != NULL, "%s: no such folder", folder);
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
    char name[256], message[MESSAGE_SIZE] = "";
    size_t length = strlen(entry->d_name), onnx_size, x_size, y_size, size = 0;
    if (length < 6 || strcmp(entry->d_name + length - 5, ".onnx") != 0) continue;
    snprintf(name, sizeof name, "%.*s", (int)length - 5, entry->d_name);
    unsigned char *onnx = read_all(folder, name, ".onnx", &onnx_size), *x = read_all(folder, name, ".x.bin", &x_size);
    unsigned char *y = read_all(folder, name, ".y.bin", &y_size), *model = NULL;
    import_options o = import_defaults();
    CHECK(onnx && x && y, "%s/%s: .onnx, .x.bin or .y.bin is missing", folder, name);
    if (onnx && x && y) {
      double *input = malloc(x_size / 4 * sizeof *input), *output = malloc(y_size / 4 * sizeof *output);
      for (size_t i = 0; i < x_size / 4; i++) input[i] = ((float *)(void *)x)[i];
      for (size_t i = 0; i < y_size / 4; i++) output[i] = ((float *)(void *)y)[i];
      CHECK(import_model(&o, onnx, onnx_size, &model, &size, message) == 0, "%s: %s", name, message);
      double off = model ? difference(model, size, input, output, y_size / 4, message) : -1;
      CHECK(off >= 0 && off < 1e-4, "%s: off by %g of the largest output %s", name, off, message);
      printf("  %s: off by %.2g of the largest output\n", name, off);
      found++;
      free(input);
      free(output);
    }
    free(onnx);
    free(x);
    free(y);
    free(model);
  }
  if (directory != NULL) closedir(directory);
  return found;
}

/* The networks as files, for the fuzzer to start from. */
static int write_seeds(const char *folder) {
  for (int n = 0; n < NETWORK_COUNT; n++) {
    graph g;
    char path[1024], message[MESSAGE_SIZE];
    begin_graph(&g, 3, (storage)(n % STORAGE_COUNT), n % 2 ? 13 : 18, 3, 8, 8);
    networks[n](&g);
    bytes file = end_graph(&g);
    snprintf(path, sizeof path, "%s/%s.onnx", folder, network_names[n]);
    if (file_write(path, file.at, file.size, message) != 0) return printf("%s\n", message), 1;
    free(file.at);
    free_graph(&g);
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "seeds") == 0) return write_seeds(argv[2]);
  operators_compute_what_onnx_says();
  everything_else_is_refused();
  options_say_what_the_file_does_not();
  damaged_files_are_refused();
  training_starts_from_an_imported_trunk(argc > 1 ? argv[1] : "build");
  int found = 0;
  for (int i = 2; i < argc; i++) found += networks_of_others_agree(argv[i]);
  if (found == 0) SKIP("networks of others: name a folder with NET.onnx, NET.x.bin, NET.y.bin");
  return check_end("import");
}
