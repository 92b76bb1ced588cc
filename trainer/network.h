/* A network in training: a list of nodes in running order, its parameters in one flat array, and the values of one batch.
 *
 * The nodes are those of the .roto format (model_format/roto_format.h), so that what is trained is what is written; only
 * dropout and stochastic depth are the trainer's own and vanish on export.  Node i produces value i; inputs have lower
 * indices.  Parameters, gradients and the optimizer's moments are flat arrays with the same offsets, which makes the
 * optimizer, the moving average and checkpoints plain loops. */

#ifndef ROTO_NETWORK_H
#define ROTO_NETWORK_H

#include <stddef.h>
#include <stdint.h>

#include "../model_format/roto_format.h"
#include "../model_format/write.h"
#include "compute.h"

enum { NET_OP_DROPOUT = 100 }; /* zeroes a share `drop` of its input while training, scales the rest by 1/(1-drop) */

/* What a parameter is, which decides how it is trained: weight decay applies to weights only, statistics have no gradient. */
typedef enum param_kind { PARAM_WEIGHT, PARAM_BIAS, PARAM_NORM, PARAM_STATISTIC } param_kind;

typedef struct net_param {
  size_t offset, count; /* in net.values; offsets are multiples of 16 */
  param_kind kind;
  float fan_in;  /* products summed into one output: scale of the initial weights */
  float initial; /* start value of what is not a weight */
} net_param;

typedef struct net_node {
  int op, act;
  uint32_t input_count, inputs[ROTO_MAX_INPUTS];
  uint32_t kh, kw, stride, pad_top, pad_left, pad_bottom, pad_right;
  uint32_t h, w, c;  /* of the value it produces */
  int32_t params[4]; /* indices of net.params or -1: weight, bias | gamma, beta, mean, variance */
  float epsilon;
  uint32_t channels_per_point;
  float drop;     /* DROPOUT: share; ADD: probability that an image's second input is left out (stochastic depth) */
  int zero_start; /* BATCHNORM: gamma starts at 0, so that a residual block starts as the identity */
} net_node;

/* The passes of a node in a training step.  Most nodes do all of their backward work in one. */
typedef enum net_pass { NET_FORWARD, NET_BACKWARD, NET_BACKWARD_WEIGHTS, NET_PASSES } net_pass;

/* What a pass has to do at least: operations (a multiply-add is two), bytes of values and gradients read or written, bytes of
 * weights.  All zero where a node has nothing to do, because its readers or the layer before it do it. */
typedef struct net_work {
  double operations, value_bytes, weight_bytes;
} net_work;

typedef struct network {
  net_node *nodes;
  uint32_t node_count;
  net_param *params;
  uint32_t param_count;
  size_t value_count;     /* floats in values, gradients */
  size_t trainable_count; /* the first so many are trained; statistics come after them */
  real *values, *gradients;

  /* one batch */
  compute *cp;
  size_t batch;
  real **outputs;         /* value of each node, [batch][h][w][cs]; NULL where readers normalize for themselves */
  real **saved;           /* POINTS: probabilities; ADD, DROPOUT: what was kept */
  struct net_plan *plans; /* how each node runs */
  real **deltas;          /* gradient of each value while it is needed, else NULL */
  struct buffer_pool *pool;
  float momentum;                       /* of the running statistics: running = (1 - momentum) * running + momentum * batch */
  int recompute;                        /* set before net_prepare: less memory for more work, bit for bit the same results */
  int frozen_norm;                      /* batch norm uses and keeps its running statistics even in training */
  uint32_t frozen_nodes, frozen_params; /* the first so many are not trained; statistics of batch norms still follow the data */
  size_t memory_size;                   /* bytes of values, gradients and batch */

  /* Told of the end of each pass of each node, for profiles; or NULL. */
  void (*watch)(void *user, uint32_t node, net_pass pass);
  void *watch_user;
} network;

/* Building: each call appends a node and returns its index. */
void net_init(network *net);
uint32_t net_input(network *net, uint32_t h, uint32_t w, uint32_t c);
uint32_t net_conv(network *net, uint32_t x, uint32_t k, uint32_t stride, uint32_t channels, int bias);
uint32_t net_depthwise(network *net, uint32_t x, uint32_t k, uint32_t stride);
uint32_t net_dense(network *net, uint32_t x, uint32_t channels);
uint32_t net_batchnorm(network *net, uint32_t x, int act, float epsilon);
uint32_t net_act(network *net, uint32_t x, int act);
uint32_t net_add(network *net, uint32_t a, uint32_t b, int act, float drop);
uint32_t net_scale(network *net, uint32_t x, uint32_t s);
uint32_t net_concat(network *net, uint32_t a, uint32_t b);
uint32_t net_pool(network *net, uint32_t x, int max, uint32_t k, uint32_t stride);
uint32_t net_globalpool(network *net, uint32_t x);
uint32_t net_upsample(network *net, uint32_t x);
uint32_t net_dropout(network *net, uint32_t x, float drop);
uint32_t net_points(network *net, uint32_t x, uint32_t points);

/* The node of a .roto model with any window and bias, all but INPUT and POINTS, whose inputs are indices of this network.  Its
 * shape follows from theirs; its tensors, in order, become parameters that the caller fills.  0: the shapes do not fit. */
uint32_t net_append(network *net, const roto_node_desc *node);

/* After the last node: lay out the parameters and fill them.  Weights: normal with deviation sqrt(2 / fan_in) (He), the last
 * layer's 1/10 of it. */
void net_finish(network *net, uint64_t seed);

/* Room for batches of so many images. */
void net_prepare(network *net, compute *cp, size_t batch);
void net_free(network *net);

/* Run the batch in net->outputs[0] ([batch][h][w][cs], cs = value_stride(c)).  training: batch statistics, dropout and
 * stochastic depth drawn from `seed`, running statistics updated.  Returns the last value. */
const real *net_forward(network *net, int training, uint64_t seed);

/* Gradients of all parameters from the gradient of the last value.  `dlogit` as in points_backward, or NULL.  Follows a
 * net_forward with training set. */
void net_backward(network *net, const real *dy, const real *dlogit);

const net_node *net_output(const network *net);
const real *net_probability(const network *net); /* of a POINTS output, [batch][N][h*w]; else NULL */
int net_has_kernel(const net_node *node);        /* a convolution or a dense layer */
net_work net_pass_work(const network *net, uint32_t node, net_pass pass);
uint64_t net_node_multiply_adds(const network *net, uint32_t node); /* forward, of one image */
uint64_t net_multiply_adds(const network *net);
size_t net_parameter_count(const network *net); /* as published counts do: trained values, without running statistics */

#endif
