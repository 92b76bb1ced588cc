/* Running and differentiating a network: one switch forward, one backward, and the buffers between them.  Gradients of values
 * live only from their first contribution until their node has passed them on.
 *
 * A batch norm's value is not stored where its readers can normalize for themselves (compute.h): where a pointwise or
 * depthwise convolution is the only one, or squeeze-excite, whose mean and scaled value then are views too.
 *
 * What then is left are mostly the inputs of those batch norms, in an EfficientNet the expanded values between a block's ends.
 * With `recompute` they too are kept only until their reader has run; the backward pass makes them again by the same call, from
 * the block's input, so that every bit is what it was.  Batch statistics are kept and not taken again. */

#include "network.h"

#include <stdlib.h>
#include <string.h>
#include <math.h>

#include "rng.h"

/* Free blocks kept for the next value of a similar size: the same few sizes come back in every step. */
typedef struct buffer_pool {
  struct {
    real *block;
    size_t count;
    int used;
  } * entries;
  size_t entry_count;
  size_t *total_size;
} buffer_pool;

static real *pool_take(buffer_pool *pool, size_t count) {
  size_t best = (size_t)-1;
  for (size_t i = 0; i < pool->entry_count; i++)
    if (!pool->entries[i].used && pool->entries[i].count >= count &&
        (best == (size_t)-1 || pool->entries[i].count < pool->entries[best].count))
      best = i;
  if (best == (size_t)-1) {
    best = pool->entry_count++;
    pool->entries = realloc(pool->entries, pool->entry_count * sizeof *pool->entries);
    if (pool->entries == NULL) exit(1);
    pool->entries[best].block = real_alloc(count);
    pool->entries[best].count = count;
    *pool->total_size += count * sizeof(real);
  }
  pool->entries[best].used = 1;
  return pool->entries[best].block;
}

static void pool_give(buffer_pool *pool, const real *block) {
  for (size_t i = 0; i < pool->entry_count; i++)
    if (pool->entries[i].block == block) pool->entries[i].used = 0;
}

/* ---- building ---- */

void net_init(network *net) {
  memset(net, 0, sizeof *net);
  net->momentum = 0.1f;
}

static net_node *add_node(network *net, int op, uint32_t input_count, uint32_t a, uint32_t b) {
  net->nodes = realloc(net->nodes, (net->node_count + 1) * sizeof *net->nodes);
  if (net->nodes == NULL) exit(1);
  net_node *node = &net->nodes[net->node_count++];
  memset(node, 0, sizeof *node);
  node->op = op;
  node->input_count = input_count;
  node->inputs[0] = a;
  node->inputs[1] = b;
  for (int i = 0; i < 4; i++) node->params[i] = -1;
  node->kh = node->kw = node->stride = 1;
  if (input_count > 0) {
    node->h = net->nodes[a].h;
    node->w = net->nodes[a].w;
    node->c = net->nodes[a].c;
  }
  return node;
}

static int32_t add_param(network *net, size_t count, param_kind kind, float fan_in, float initial) {
  net->params = realloc(net->params, (net->param_count + 1) * sizeof *net->params);
  if (net->params == NULL) exit(1);
  net_param *p = &net->params[net->param_count];
  p->offset = 0;
  p->count = count;
  p->kind = kind;
  p->fan_in = fan_in;
  p->initial = initial;
  return (int32_t)net->param_count++;
}

static uint32_t last(const network *net) {
  return net->node_count - 1;
}

uint32_t net_input(network *net, uint32_t h, uint32_t w, uint32_t c) {
  net_node *node = add_node(net, ROTO_OP_INPUT, 0, 0, 0);
  node->h = h;
  node->w = w;
  node->c = c;
  return last(net);
}

/* Window of an odd kernel: padded by (k - 1) / 2 on every side, so that stride 1 keeps the size. */
static void set_window(net_node *node, uint32_t k, uint32_t stride, uint32_t pad) {
  node->kh = node->kw = k;
  node->stride = stride;
  node->pad_top = node->pad_left = node->pad_bottom = node->pad_right = pad;
  node->h = (node->h + 2 * pad - k) / stride + 1;
  node->w = (node->w + 2 * pad - k) / stride + 1;
}

uint32_t net_conv(network *net, uint32_t x, uint32_t k, uint32_t stride, uint32_t channels, int bias) {
  net_node *node = add_node(net, ROTO_OP_CONV, 1, x, 0);
  uint32_t ic = node->c;
  set_window(node, k, stride, (k - 1) / 2);
  node->c = channels;
  node->params[0] = add_param(net, (size_t)k * k * ic * channels, PARAM_WEIGHT, (float)(k * k * ic), 0);
  if (bias) node->params[1] = add_param(net, channels, PARAM_BIAS, 0, 0);
  return last(net);
}

uint32_t net_depthwise(network *net, uint32_t x, uint32_t k, uint32_t stride) {
  net_node *node = add_node(net, ROTO_OP_DEPTHWISE, 1, x, 0);
  set_window(node, k, stride, (k - 1) / 2);
  node->params[0] = add_param(net, (size_t)k * k * node->c, PARAM_WEIGHT, (float)(k * k), 0);
  return last(net);
}

uint32_t net_dense(network *net, uint32_t x, uint32_t channels) {
  net_node *node = add_node(net, ROTO_OP_DENSE, 1, x, 0);
  size_t in = (size_t)node->h * node->w * node->c;
  node->kh = node->h;
  node->kw = node->w;
  node->h = node->w = 1;
  node->c = channels;
  node->params[0] = add_param(net, in * channels, PARAM_WEIGHT, (float)in, 0);
  node->params[1] = add_param(net, channels, PARAM_BIAS, 0, 0);
  return last(net);
}

uint32_t net_batchnorm(network *net, uint32_t x, int act, float epsilon) {
  net_node *node = add_node(net, ROTO_OP_BATCHNORM, 1, x, 0);
  node->act = act;
  node->epsilon = epsilon;
  node->params[0] = add_param(net, node->c, PARAM_NORM, 0, 1);
  node->params[1] = add_param(net, node->c, PARAM_NORM, 0, 0);
  node->params[2] = add_param(net, node->c, PARAM_STATISTIC, 0, 0);
  node->params[3] = add_param(net, node->c, PARAM_STATISTIC, 0, 1);
  return last(net);
}

uint32_t net_act(network *net, uint32_t x, int act) {
  add_node(net, ROTO_OP_ACT, 1, x, 0)->act = act;
  return last(net);
}

uint32_t net_add(network *net, uint32_t a, uint32_t b, int act, float drop) {
  net_node *node = add_node(net, ROTO_OP_ADD, 2, a, b);
  node->act = act;
  node->drop = drop;
  return last(net);
}

uint32_t net_scale(network *net, uint32_t x, uint32_t s) {
  add_node(net, ROTO_OP_SCALE, 2, x, s);
  return last(net);
}

uint32_t net_concat(network *net, uint32_t a, uint32_t b) {
  uint32_t c = net->nodes[a].c + net->nodes[b].c;
  add_node(net, ROTO_OP_CONCAT, 2, a, b)->c = c;
  return last(net);
}

uint32_t net_pool(network *net, uint32_t x, int max, uint32_t k, uint32_t stride) {
  set_window(add_node(net, max ? ROTO_OP_MAXPOOL : ROTO_OP_AVGPOOL, 1, x, 0), k, stride, (k - 1) / 2);
  return last(net);
}

uint32_t net_globalpool(network *net, uint32_t x) {
  net_node *node = add_node(net, ROTO_OP_GLOBALPOOL, 1, x, 0);
  node->h = node->w = 1;
  return last(net);
}

uint32_t net_upsample(network *net, uint32_t x) {
  net_node *node = add_node(net, ROTO_OP_UPSAMPLE, 1, x, 0);
  node->h *= 2;
  node->w *= 2;
  return last(net);
}

uint32_t net_dropout(network *net, uint32_t x, float drop) {
  add_node(net, NET_OP_DROPOUT, 1, x, 0)->drop = drop;
  return last(net);
}

uint32_t net_points(network *net, uint32_t x, uint32_t points) {
  net_node *node = add_node(net, ROTO_OP_POINTS, 1, x, 0);
  node->channels_per_point = node->c / points;
  node->h = node->w = 1;
  node->c = 3 * points;
  return last(net);
}

uint32_t net_append(network *net, const roto_node_desc *d) {
  const net_node in = net->nodes[d->inputs[0]], b = net->nodes[d->inputs[d->input_count - 1]];
  size_t weights = (size_t)d->kh * d->kw * (d->op == ROTO_OP_CONV ? in.c : 1) * d->c;
  int window = d->kh > 0, weighted = d->op == ROTO_OP_CONV || d->op == ROTO_OP_DEPTHWISE || d->op == ROTO_OP_DENSE;
  if (window && (in.h + d->pad_top + d->pad_bottom < d->kh || in.w + d->pad_left + d->pad_right < d->kw)) return 0;
  if (d->op == ROTO_OP_SCALE && b.h * b.w != 1) return 0;
  if ((d->op == ROTO_OP_ADD || d->op == ROTO_OP_CONCAT) && (b.h != in.h || b.w != in.w)) return 0;
  net_node *node = add_node(net, d->op, d->input_count, d->inputs[0], d->inputs[1]);
  memcpy(node->inputs, d->inputs, sizeof node->inputs);
  node->epsilon = d->epsilon;
  node->act = weighted || d->op == ROTO_OP_SCALE ? ROTO_ACT_NONE : d->act;
  if (window) {
    node->kh = d->kh;
    node->kw = d->kw;
    node->stride = d->stride;
    node->pad_top = d->pad_top;
    node->pad_left = d->pad_left;
    node->pad_bottom = d->pad_bottom;
    node->pad_right = d->pad_right;
    node->h = (in.h + d->pad_top + d->pad_bottom - d->kh) / d->stride + 1;
    node->w = (in.w + d->pad_left + d->pad_right - d->kw) / d->stride + 1;
  }
  if (weighted) node->c = d->c;
  if (d->op == ROTO_OP_DENSE) {
    weights = (size_t)in.h * in.w * in.c * d->c;
    node->kh = in.h;
    node->kw = in.w;
    node->h = node->w = 1;
  }
  if (d->op == ROTO_OP_GLOBALPOOL) node->h = node->w = 1;
  if (d->op == ROTO_OP_UPSAMPLE) node->h *= 2, node->w *= 2;
  for (uint32_t k = 1; d->op == ROTO_OP_CONCAT && k < d->input_count; k++) node->c += net->nodes[d->inputs[k]].c;
  if (weighted) {
    node->params[0] = add_param(net, weights, PARAM_WEIGHT, (float)(weights / d->c), 0);
    if (d->tensors[1] != NULL) node->params[1] = add_param(net, d->c, PARAM_BIAS, 0, 0);
  }
  for (int k = 0; d->op == ROTO_OP_BATCHNORM && k < 4; k++)
    node->params[k] = add_param(net, node->c, k < 2 ? PARAM_NORM : PARAM_STATISTIC, 0, 0);
  /* layers with weights, and products, have no activation of their own in training */
  return node->act == d->act ? last(net) : net_act(net, last(net), d->act);
}

void net_finish(network *net, uint64_t seed) {
  size_t offset = 0;
  for (int statistics = 0; statistics < 2; statistics++) {
    for (uint32_t i = 0; i < net->param_count; i++) {
      if ((net->params[i].kind == PARAM_STATISTIC) != statistics) continue;
      net->params[i].offset = offset;
      offset += (net->params[i].count + 15) / 16 * 16;
    }
    if (!statistics) net->trainable_count = offset;
  }
  net->value_count = offset;
  net->values = real_alloc(offset);
  net->gradients = real_alloc(net->trainable_count);
  net->memory_size = (offset + net->trainable_count) * sizeof(real);

  int32_t last_weight = -1;
  for (uint32_t i = 0; i < net->param_count; i++)
    if (net->params[i].kind == PARAM_WEIGHT) last_weight = (int32_t)i;
  for (uint32_t i = 0; i < net->param_count; i++) {
    const net_param *p = &net->params[i];
    rng r = {rng_seed(seed, i, 0)};
    double deviation = sqrt(2.0 / (p->fan_in > 0 ? p->fan_in : 1)) * ((int32_t)i == last_weight ? 0.1 : 1);
    for (size_t k = 0; k < p->count; k++)
      net->values[p->offset + k] = (real)(p->kind == PARAM_WEIGHT ? deviation * rng_normal(&r) : p->initial);
  }
  for (uint32_t i = 0; i < net->node_count; i++)
    if (net->nodes[i].zero_start) {
      const net_param *p = &net->params[net->nodes[i].params[0]];
      for (size_t k = 0; k < p->count; k++) net->values[p->offset + k] = 0;
    }
}

/* ---- shapes ---- */

/* What net_prepare found out about a node. */
typedef struct net_plan {
  uint32_t readers;
  int fused;      /* a convolution of compute.h that reads views and leaves a slope_view to be read */
  uint32_t after; /* of such a convolution: the batch norm that is its only reader, or 0 */
  int view;       /* BATCHNORM, SCALE: the value is not stored */
  int passing;    /* the value lives in the pool while it is read, and is made again for the backward pass */
  int half;       /* the value, and its gradient, are stored as bfloat16: mixed, and read by a batch norm that is a view */
  uint32_t scale, mean; /* BATCHNORM that is a view read by squeeze-excite: those nodes, or 0 */
  norm_layer norm;
} net_plan;

static size_t value_count(const network *net, uint32_t i) {
  const net_node *node = &net->nodes[i];
  return net->batch * node->h * node->w * value_stride(node->c);
}

/* Floats that hold a value, or its gradient. */
static size_t stored_count(const network *net, uint32_t i) {
  return net->plans[i].half ? value_count(net, i) / 2 : value_count(net, i);
}

static conv_shape window_shape(const network *net, const net_node *node) {
  const net_node *x = &net->nodes[node->inputs[0]];
  conv_shape s = {net->batch, x->h,     x->w,     x->c,         node->h,       node->w,
                  node->c,    node->kh, node->kw, node->stride, node->pad_top, node->pad_left};
  return s;
}

static real *param(const network *net, const net_node *node, int which) {
  return node->params[which] < 0 ? NULL : net->values + net->params[node->params[which]].offset;
}

static real *param_gradient(const network *net, const net_node *node, int which) {
  return node->params[which] < 0 ? NULL : net->gradients + net->params[node->params[which]].offset;
}

const net_node *net_output(const network *net) {
  return &net->nodes[net->node_count - 1];
}

const real *net_probability(const network *net) {
  return net_output(net)->op == ROTO_OP_POINTS ? net->saved[net->node_count - 1] : NULL;
}

int net_has_kernel(const net_node *node) {
  return node->op == ROTO_OP_CONV || node->op == ROTO_OP_DENSE || node->op == ROTO_OP_DEPTHWISE;
}

uint64_t net_node_multiply_adds(const network *net, uint32_t i) {
  const net_node *node = &net->nodes[i];
  uint64_t taps = (uint64_t)node->h * node->w * node->kh * node->kw * node->c;
  if (!net_has_kernel(node)) return 0;
  return node->op == ROTO_OP_DEPTHWISE ? taps : taps * net->nodes[node->inputs[0]].c;
}

uint64_t net_multiply_adds(const network *net) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < net->node_count; i++) sum += net_node_multiply_adds(net, i);
  return sum;
}

size_t net_parameter_count(const network *net) {
  size_t sum = 0;
  for (uint32_t i = 0; i < net->param_count; i++)
    if (net->params[i].kind != PARAM_STATISTIC) sum += net->params[i].count;
  return sum;
}

/* Convolutions without bias whose channels fill vectors. */
static int is_fused(const network *net, const net_node *node) {
  if (node->params[1] >= 0 || node->c <= 4 || node->input_count == 0 || net->nodes[node->inputs[0]].c <= 4) return 0;
  const net_node *x = &net->nodes[node->inputs[0]];
  return node->op == ROTO_OP_DEPTHWISE || (node->op == ROTO_OP_CONV && node->kh == 1 && node->kw == 1 && node->stride == 1 &&
                                           node->h == x->h && node->w == x->w);
}

/* The reader of node i after node `from`, or 0. */
static uint32_t next_reader(const network *net, uint32_t i, uint32_t from) {
  for (uint32_t k = from + 1; k < net->node_count; k++)
    for (uint32_t j = 0; j < net->nodes[k].input_count; j++)
      if (net->nodes[k].inputs[j] == i) return k;
  return 0;
}

static void plan_nodes(network *net) {
  net_plan *plans = net->plans;
  for (uint32_t i = 0; i < net->node_count; i++) {
    for (uint32_t j = 0; j < net->nodes[i].input_count; j++) plans[net->nodes[i].inputs[j]].readers++;
    plans[i].fused = is_fused(net, &net->nodes[i]);
  }
  for (uint32_t i = 0; i < net->node_count; i++) {
    const net_node *node = &net->nodes[i];
    net_plan *plan = &plans[i];
    if (node->op != ROTO_OP_BATCHNORM) continue;
    if (plans[node->inputs[0]].fused && plans[node->inputs[0]].readers == 1) plans[node->inputs[0]].after = i;
    uint32_t first = next_reader(net, i, i), second = first != 0 ? next_reader(net, i, first) : 0;
    if (plan->readers == 1) plan->view = plans[first].fused;
    if (plan->readers != 2 || second == 0) continue;
    const net_node *scale = &net->nodes[second];
    uint32_t reader = next_reader(net, second, second);
    if (net->nodes[first].op == ROTO_OP_GLOBALPOOL && scale->op == ROTO_OP_SCALE && scale->inputs[0] == i &&
        plans[second].readers == 1 && plans[reader].fused && net->nodes[reader].op == ROTO_OP_CONV) {
      plan->view = plans[second].view = 1;
      plan->mean = first;
      plan->scale = second;
    }
  }
  for (uint32_t i = 0; compute_is_mixed(net->cp) && i < net->node_count; i++)
    if (plans[i].after != 0 && plans[plans[i].after].view) plans[i].half = plans[plans[i].after].half = 1;
  /* depthwise convolutions and those before them; making the others again would ask for a chain of blocks */
  for (uint32_t i = 0; net->recompute && i < net->node_count; i++)
    if (plans[i].after != 0 && plans[plans[i].after].view)
      plans[i].passing = net->nodes[i].op == ROTO_OP_DEPTHWISE ||
                         net->nodes[next_reader(net, plans[i].after, plans[i].after)].op == ROTO_OP_DEPTHWISE;
}

void net_prepare(network *net, compute *cp, size_t batch) {
  net->cp = cp;
  net->batch = batch;
  net->outputs = calloc(net->node_count, sizeof *net->outputs);
  net->saved = calloc(net->node_count, sizeof *net->saved);
  net->deltas = calloc(net->node_count, sizeof *net->deltas);
  net->plans = calloc(net->node_count, sizeof *net->plans);
  net->pool = calloc(1, sizeof *net->pool);
  if (net->outputs == NULL || net->saved == NULL || net->deltas == NULL || net->plans == NULL || net->pool == NULL) exit(1);
  net->pool->total_size = &net->memory_size;
  plan_nodes(net);
  for (uint32_t i = 0; i < net->node_count; i++) {
    const net_node *node = &net->nodes[i];
    size_t count = net->plans[i].view || net->plans[i].passing ? 0 : stored_count(net, i), saved = 0;
    if (count > 0) net->outputs[i] = real_alloc(count);
    if (node->op == ROTO_OP_BATCHNORM) {
      norm_layer norm = {param(net, node, 0),          param(net, node, 1),         (real)node->epsilon, node->act, NULL,
                         param_gradient(net, node, 0), param_gradient(net, node, 1)};
      saved = NORM_ROWS * value_stride(node->c);
      net->plans[i].norm = norm;
    }
    if (node->op == ROTO_OP_POINTS) {
      const net_node *x = &net->nodes[node->inputs[0]];
      saved = batch * node->c / 3 * x->h * x->w;
    }
    if (node->op == ROTO_OP_ADD && node->drop > 0) saved = batch;
    if (node->op == NET_OP_DROPOUT) saved = count;
    if (saved > 0) net->saved[i] = real_alloc(saved);
    net->plans[i].norm.rows = net->saved[i];
    net->memory_size += (count + saved) * sizeof(real);
  }
}

void net_free(network *net) {
  for (uint32_t i = 0; net->outputs != NULL && i < net->node_count; i++) {
    if (!net->plans[i].passing) free(net->outputs[i]);
    free(net->saved[i]);
  }
  for (size_t i = 0; net->pool != NULL && i < net->pool->entry_count; i++) free(net->pool->entries[i].block);
  if (net->pool != NULL) free(net->pool->entries);
  free(net->pool);
  free(net->outputs);
  free(net->saved);
  free(net->deltas);
  free(net->plans);
  free(net->nodes);
  free(net->params);
  free(net->values);
  free(net->gradients);
  memset(net, 0, sizeof *net);
}

static void passed(const network *net, uint32_t node, net_pass pass) {
  if (net->watch != NULL) net->watch(net->watch_user, node, pass);
}

/* ---- forward ---- */

/* Copy channels of all pixels between values of different strides; `sum` adds instead. */
static void copy_channels(const network *net, const net_node *shape, const real *from, size_t from_stride, real *to,
                          size_t to_stride, size_t channels, int sum) {
  size_t pixels = net->batch * shape->h * shape->w;
  for (size_t p = 0; p < pixels; p++)
    for (size_t k = 0; k < channels; k++) {
      real v = from[p * from_stride + k];
      to[p * to_stride + k] = sum ? to[p * to_stride + k] + v : v;
    }
}

/* The value of node i as a reader is to see it. */
static value_view view_of(const network *net, uint32_t i) {
  const net_node *node = &net->nodes[i];
  value_view v = {net->outputs[i], net->plans[i].half, NULL, NULL, (size_t)node->h * node->w};
  if (!net->plans[i].view) return v;
  if (node->op == ROTO_OP_SCALE) {
    v.factor = net->outputs[node->inputs[1]];
    node = &net->nodes[node->inputs[0]];
  }
  v.x = net->outputs[node->inputs[0]];
  v.half = net->plans[node->inputs[0]].half;
  v.norm = &net->plans[node - net->nodes].norm;
  return v;
}

static int is_frozen(const network *net, int training) {
  return !training || net->frozen_norm;
}

/* Weights are not always the network's own: evaluation runs on their moving average. */
static norm_layer *norm_of(network *net, uint32_t i) {
  norm_layer *norm = &net->plans[i].norm;
  norm->gamma = param(net, &net->nodes[i], 0);
  norm->beta = param(net, &net->nodes[i], 1);
  return norm;
}

static void forward_batchnorm(network *net, uint32_t i, int training) {
  const net_node *node = &net->nodes[i];
  size_t pixels = net->batch * node->h * node->w, c = node->c;
  int frozen = is_frozen(net, training);
  norm_layer *norm = norm_of(net, i);
  real *mean = norm->rows, *variance = mean + value_stride(c);
  real *running_mean = param(net, node, 2), *running_variance = param(net, node, 3);
  if (frozen) {
    memcpy(mean, running_mean, c * sizeof(real));
    memcpy(variance, running_variance, c * sizeof(real));
  }
  if (frozen || net->plans[node->inputs[0]].after != i)
    norm_statistics(net->cp, pixels, c, net->outputs[node->inputs[0]], frozen, norm);
  if (!net->plans[i].view) {
    value_view v = {net->outputs[node->inputs[0]], 0, norm, NULL, 0};
    view_copy(net->cp, pixels, c, &v, net->outputs[i]);
  }
  if (frozen) return;
  /* the running variance is the unbiased one, as in PyTorch */
  real m = (real)net->momentum, unbias = pixels > 1 ? (real)pixels / (real)(pixels - 1) : 1;
  for (size_t k = 0; k < c; k++) {
    running_mean[k] = (1 - m) * running_mean[k] + m * mean[k];
    running_variance[k] = (1 - m) * running_variance[k] + m * variance[k] * unbias;
  }
}

/* The stored value behind value i, which may be a view of it. */
static uint32_t stored_behind(const network *net, uint32_t i) {
  while (net->plans[i].view) i = net->nodes[i].inputs[0];
  return i;
}

static void let_go(network *net, uint32_t i) {
  if (!net->plans[i].passing || net->outputs[i] == NULL) return;
  pool_give(net->pool, net->outputs[i]);
  net->outputs[i] = NULL;
}

/* after: the batch norm whose statistics are to be taken, or NULL. */
static void run_fused(network *net, uint32_t i, norm_layer *after) {
  const net_node *node = &net->nodes[i];
  conv_shape s = window_shape(net, node);
  value_view x = view_of(net, node->inputs[0]);
  if (net->plans[i].passing && net->outputs[i] == NULL) net->outputs[i] = pool_take(net->pool, stored_count(net, i));
  if (node->op == ROTO_OP_DEPTHWISE)
    depthwise_norm_forward(net->cp, &s, &x, param(net, node, 0), net->outputs[i], net->plans[i].half, after);
  else
    pointwise_forward(net->cp, s.n * s.h * s.w, s.ic, s.oc, &x, param(net, node, 0), net->outputs[i], net->plans[i].half,
                      after);
}

static void forward_fused(network *net, uint32_t i, int training) {
  uint32_t after = net->plans[i].after;
  run_fused(net, i, after != 0 && !is_frozen(net, training) ? norm_of(net, after) : NULL);
  let_go(net, stored_behind(net, net->nodes[i].inputs[0]));
}

/* Value i again, if it was let go, from what lies before it. */
static void make_again(network *net, uint32_t i) {
  if (!net->plans[i].passing || net->outputs[i] != NULL) return;
  make_again(net, stored_behind(net, net->nodes[i].inputs[0]));
  run_fused(net, i, NULL);
}

/* One stream of random numbers for all images: an image's part of it begins where the counter stands then. */
typedef struct dropout_pass {
  size_t per_image;
  float drop;
  int training;
  uint64_t start;
  const real *in;
  real *mask, *out;
} dropout_pass;

static void dropout_forward_task(void *context, size_t image) {
  const dropout_pass *p = context;
  size_t first = image * p->per_image;
  real keep = p->training ? 1 / (1 - (real)p->drop) : 1;
  rng r = rng_after(p->start, first);
  for (size_t k = first; k < first + p->per_image; k++) {
    real m = (real)(!p->training || rng_uniform(&r) >= p->drop) * keep; /* without a branch, which would be guessed wrong */
    p->mask[k] = m;
    p->out[k] = p->in[k] * m;
  }
}

static void dropout_backward_task(void *context, size_t image) {
  const dropout_pass *p = context;
  for (size_t k = image * p->per_image; k < (image + 1) * p->per_image; k++) p->out[k] += p->in[k] * p->mask[k];
}

static void forward_node(network *net, uint32_t i, int training, uint64_t seed) {
  const net_node *node = &net->nodes[i];
  const real *x = node->input_count > 0 ? net->outputs[node->inputs[0]] : NULL;
  const real *x2 = node->input_count > 1 ? net->outputs[node->inputs[1]] : NULL;
  const net_node *in = &net->nodes[node->inputs[0]];
  real *y = net->outputs[i];
  size_t count = value_count(net, i);
  conv_shape s = window_shape(net, node);

  if (net->plans[i].fused) {
    forward_fused(net, i, training);
    return;
  }
  switch (node->op) {
    case ROTO_OP_INPUT:
      break;
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
      conv_forward(net->cp, &s, x, param(net, node, 0), param(net, node, 1), y);
      break;
    case ROTO_OP_DEPTHWISE:
      depthwise_forward(net->cp, &s, x, param(net, node, 0), param(net, node, 1), y);
      break;
    case ROTO_OP_BATCHNORM:
      forward_batchnorm(net, i, training);
      break;
    case ROTO_OP_ACT:
      act_forward(net->cp, count, node->act, x, y);
      break;
    case ROTO_OP_ADD: {
      real *keep = net->saved[i];
      if (keep != NULL) {
        rng r = {rng_seed(seed, i, 1)};
        for (size_t n = 0; n < net->batch; n++)
          keep[n] = !training ? 1 : rng_uniform(&r) < node->drop ? 0 : 1 / (1 - (real)node->drop);
      }
      add_forward(net->cp, net->batch, count / net->batch, x, x2, keep, node->act, y);
      break;
    }
    case ROTO_OP_SCALE:
      if (y != NULL) scale_forward(net->cp, net->batch, (size_t)node->h * node->w, node->c, x, x2, y);
      break;
    case ROTO_OP_CONCAT: {
      size_t at = 0;
      for (uint32_t k = 0; k < node->input_count; k++) {
        size_t c = net->nodes[node->inputs[k]].c;
        copy_channels(net, node, net->outputs[node->inputs[k]], value_stride(c), y + at, value_stride(node->c), c, 0);
        at += c;
      }
      break;
    }
    case ROTO_OP_MAXPOOL:
    case ROTO_OP_AVGPOOL:
      pool_forward(net->cp, &s, node->op == ROTO_OP_MAXPOOL, x, y);
      break;
    case ROTO_OP_GLOBALPOOL:
      if (x != NULL) {
        globalpool_forward(net->cp, net->batch, (size_t)in->h * in->w, node->c, x, y);
      } else {
        value_view v = view_of(net, node->inputs[0]);
        view_mean(net->cp, net->batch, (size_t)in->h * in->w, node->c, &v, y);
      }
      break;
    case ROTO_OP_UPSAMPLE:
      upsample_forward(net->cp, net->batch, in->h, in->w, node->c, x, y);
      break;
    case ROTO_OP_POINTS:
      points_forward(net->cp, net->batch, in->h, in->w, node->c / 3, node->channels_per_point, x, net->saved[i], y);
      break;
    case NET_OP_DROPOUT: {
      dropout_pass pass = {count / net->batch, node->drop, training, rng_seed(seed, i, 2), x, net->saved[i], y};
      compute_for(net->cp, net->batch, dropout_forward_task, &pass);
      break;
    }
    default:
      break;
  }
}

const real *net_forward(network *net, int training, uint64_t seed) {
  for (uint32_t i = 0; i < net->node_count; i++) {
    forward_node(net, i, training, seed);
    passed(net, i, NET_FORWARD);
  }
  return net->outputs[net->node_count - 1];
}

/* Every value, gradient and weight that a pass concerns once: forward the inputs and the result, backward the gradients of both,
 * and the values again where the derivative needs them. */
net_work net_pass_work(const network *net, uint32_t i, net_pass pass) {
  const net_node *node = &net->nodes[i];
  const net_plan *plan = &net->plans[i];
  net_work w = {0, 0, 0};
  double read = 0, own = plan->view ? 0 : (double)(stored_count(net, i) * sizeof(real));
  int op = node->op, kernel = net_has_kernel(node), whole = plan->fused && pass == NET_BACKWARD;
  for (uint32_t k = 0; k < node->input_count; k++)
    read += (double)(stored_count(net, stored_behind(net, node->inputs[k])) * sizeof(real));
  if (op == ROTO_OP_INPUT || (pass == NET_BACKWARD_WEIGHTS && (plan->fused || !kernel))) return w;
  if (plan->view) { /* what its input's norm or squeeze-excite leaves to be done */
    if (pass == NET_BACKWARD && op == ROTO_OP_BATCHNORM && plan->scale != 0) w.value_bytes = 3 * read;
    return w;
  }
  if (op == ROTO_OP_GLOBALPOOL && pass == NET_BACKWARD && net->plans[node->inputs[0]].view) return w;
  int again = pass != NET_FORWARD && !kernel && op != ROTO_OP_ADD && op != ROTO_OP_CONCAT && op != ROTO_OP_GLOBALPOOL &&
              op != ROTO_OP_AVGPOOL && op != ROTO_OP_UPSAMPLE;
  w.operations = 2 * (1 + whole) * (double)net->batch * (double)net_node_multiply_adds(net, i);
  w.value_bytes = whole ? 2 * (read + own) : read * (1 + again) + own;
  if (node->params[0] >= 0) w.weight_bytes = (1 + whole) * (double)(net->params[node->params[0]].count * sizeof(real));
  return w;
}

/* ---- backward ---- */

/* The gradient of value i, zero when first asked for.  The picture's own gradient is nobody's business. */
static real *delta(network *net, uint32_t i) {
  if (net->nodes[i].op == ROTO_OP_INPUT) return NULL;
  if (net->deltas[i] == NULL) {
    net->deltas[i] = pool_take(net->pool, value_count(net, i));
    memset(net->deltas[i], 0, value_count(net, i) * sizeof(real));
  }
  return net->deltas[i];
}

/* The same for a reader that writes every element if it is the first: *add tells it whether it is not. */
static real *delta_unset(network *net, uint32_t i, int *add) {
  *add = net->deltas[i] != NULL;
  if (net->nodes[i].op == ROTO_OP_INPUT) return NULL;
  if (net->deltas[i] == NULL) net->deltas[i] = pool_take(net->pool, stored_count(net, i));
  return net->deltas[i];
}

/* From the gradient of a batch norm's value to that of its input; a fused convolution takes the second step itself. */
static void backward_batchnorm(network *net, uint32_t i) {
  const net_node *node = &net->nodes[i];
  const net_plan *plan = &net->plans[i];
  uint32_t in = node->inputs[0];
  size_t image = (size_t)node->h * node->w;
  norm_layer *norm = norm_of(net, i);
  if (plan->scale != 0) {
    real *mean = net->deltas[plan->mean];
    for (size_t k = 0; k < net->batch * value_stride(node->c); k++) mean[k] /= (real)image;
    norm_slope(net->cp, net->batch, image, node->c, net->outputs[in], plan->half, norm, net->frozen_norm,
               net->outputs[net->nodes[plan->scale].inputs[1]], mean, net->deltas[i]);
    pool_give(net->pool, mean);
    net->deltas[plan->mean] = NULL;
  } else if (!plan->view) {
    norm_slope(net->cp, 1, net->batch * image, node->c, net->outputs[in], 0, norm, net->frozen_norm, NULL, NULL,
               net->deltas[i]);
  }
  if (net->nodes[in].op == ROTO_OP_INPUT) return;
  int add = net->deltas[in] != NULL;
  slope_view dy = {net->deltas[i], net->outputs[in], 0, norm};
  if (net->plans[in].after != i)
    slope_copy(net->cp, net->batch * image, node->c, &dy, add, add ? net->deltas[in] : net->deltas[i]);
  if (add) return;
  net->deltas[in] = net->deltas[i];
  net->deltas[i] = NULL;
}

static void backward_fused(network *net, uint32_t i) {
  const net_node *node = &net->nodes[i];
  uint32_t in = node->inputs[0], after = net->plans[i].after;
  conv_shape s = window_shape(net, node);
  make_again(net, stored_behind(net, in));
  value_view x = view_of(net, in);
  slope_view dy = {net->deltas[i], net->outputs[i], net->plans[i].half, after != 0 ? norm_of(net, after) : NULL};
  slope_sink sink = {NULL, 0, 0, NULL, net->frozen_norm, NULL};
  if (net->plans[in].view && net->nodes[in].op == ROTO_OP_SCALE) {
    sink.dfactor = delta(net, net->nodes[in].inputs[1]);
    in = net->nodes[in].inputs[0];
  } else if (net->plans[in].view) {
    sink.norm = norm_of(net, in);
  }
  sink.dx = delta_unset(net, in, &sink.add);
  sink.half = net->plans[in].half;
  if (node->op == ROTO_OP_DEPTHWISE)
    depthwise_norm_backward(net->cp, &s, &x, &dy, param(net, node, 0), &sink, param_gradient(net, node, 0));
  else
    pointwise_backward(net->cp, s.n * s.h * s.w, s.ic, s.oc, &x, &dy, param(net, node, 0), &sink, param_gradient(net, node, 0));
}

static void backward_node(network *net, uint32_t i, const real *dlogit) {
  const net_node *node = &net->nodes[i];
  const net_node *in = &net->nodes[node->inputs[0]];
  const real *x = net->outputs[node->inputs[0]], *x2 = node->input_count > 1 ? net->outputs[node->inputs[1]] : NULL;
  if (node->op == ROTO_OP_BATCHNORM) {
    backward_batchnorm(net, i);
    return;
  }
  if (net->plans[i].fused) {
    backward_fused(net, i);
    return;
  }
  if (node->op == ROTO_OP_GLOBALPOOL && x == NULL) return; /* the batch norm it reads takes this gradient itself */
  real *dy = net->deltas[i], *dx = delta(net, node->inputs[0]);
  size_t count = value_count(net, i);
  conv_shape s = window_shape(net, node);

  switch (node->op) {
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
      if (dx != NULL) conv_backward_data(net->cp, &s, dy, param(net, node, 0), dx);
      passed(net, i, NET_BACKWARD);
      conv_backward_weights(net->cp, &s, x, dy, param_gradient(net, node, 0), param_gradient(net, node, 1));
      break;
    case ROTO_OP_DEPTHWISE:
      if (dx != NULL) depthwise_backward_data(net->cp, &s, dy, param(net, node, 0), dx);
      passed(net, i, NET_BACKWARD);
      depthwise_backward_weights(net->cp, &s, x, dy, param_gradient(net, node, 0), param_gradient(net, node, 1));
      break;
    case ROTO_OP_ACT:
      act_backward(net->cp, count, node->act, x, dy, dx);
      break;
    case ROTO_OP_ADD:
      add_backward(net->cp, net->batch, count / net->batch, x, x2, net->saved[i], node->act, dy, dx,
                   delta(net, node->inputs[1]));
      break;
    case ROTO_OP_SCALE:
      scale_backward(net->cp, net->batch, (size_t)node->h * node->w, node->c, x, x2, dy, dx, delta(net, node->inputs[1]));
      break;
    case ROTO_OP_CONCAT: {
      size_t at = 0;
      for (uint32_t k = 0; k < node->input_count; k++) {
        size_t c = net->nodes[node->inputs[k]].c;
        real *to = delta(net, node->inputs[k]); /* NULL: the input, which asks for no gradient */
        if (to != NULL) copy_channels(net, node, dy + at, value_stride(node->c), to, value_stride(c), c, 1);
        at += c;
      }
      break;
    }
    case ROTO_OP_MAXPOOL:
    case ROTO_OP_AVGPOOL:
      pool_backward(net->cp, &s, node->op == ROTO_OP_MAXPOOL, x, dy, dx);
      break;
    case ROTO_OP_GLOBALPOOL:
      globalpool_backward(net->cp, net->batch, (size_t)in->h * in->w, node->c, dy, dx);
      break;
    case ROTO_OP_UPSAMPLE:
      upsample_backward(net->cp, net->batch, in->h, in->w, node->c, dy, dx);
      break;
    case ROTO_OP_POINTS:
      points_backward(net->cp, net->batch, in->h, in->w, node->c / 3, node->channels_per_point, x, net->saved[i],
                      net->outputs[i], dy, dlogit, dx);
      break;
    case NET_OP_DROPOUT: {
      dropout_pass pass = {count / net->batch, node->drop, 1, 0, dy, net->saved[i], dx};
      compute_for(net->cp, net->batch, dropout_backward_task, &pass);
      break;
    }
    default:
      break;
  }
}

void net_backward(network *net, const real *dy, const real *dlogit) {
  uint32_t end = net->node_count - 1;
  memcpy(delta(net, end), dy, value_count(net, end) * sizeof(real));
  for (uint32_t i = end; i > 0; i--) {
    if (net->deltas[i] == NULL) continue;
    if (i < net->frozen_nodes) {
      let_go(net, i);
      pool_give(net->pool, net->deltas[i]);
      net->deltas[i] = NULL;
      continue;
    }
    backward_node(net, i, i == end ? dlogit : NULL);
    let_go(net, i);
    passed(net, i, net_has_kernel(&net->nodes[i]) && !net->plans[i].fused ? NET_BACKWARD_WEIGHTS : NET_BACKWARD);
    if (net->deltas[i] == NULL) continue;                                                             /* handed on */
    if (net->nodes[i].op == ROTO_OP_GLOBALPOOL && net->plans[net->nodes[i].inputs[0]].view) continue; /* still to be read */
    pool_give(net->pool, net->deltas[i]);
    net->deltas[i] = NULL;
  }
}
