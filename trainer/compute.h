/* The arithmetic of training: every layer's forward and backward pass over a batch, as plain functions on arrays.
 *
 * Two implementations stand behind this header.  compute_reference.c is straightforward loops over `real` and says what each
 * function means; built with doubles it carries the gradient checks.  compute.c (float only) uses the kernels of roto.h and
 * its own backward kernels for each instruction set, on all threads.
 *
 * Values are [n][h][w][cs]: NHWC with the channel stride cs = rotoi_stride(c), channels rounded up to 16 (4 for pictures of
 * at most 4 channels).  Padding lanes hold anything and never reach a real lane.  Arrays are 64-byte aligned.  Weights are
 * tight, in the layouts of roto_format.h.  The same inputs give the same bits for any number of threads: work is cut by
 * shape, never by thread, and partial sums are added in a fixed order.  Functions never fail; scratch memory is allocated
 * when a shape first needs it and the process ends if there is none. */

#ifndef ROTO_COMPUTE_H
#define ROTO_COMPUTE_H

#include <stddef.h>
#include "real.h"

typedef struct compute compute;

/* threads 0: all allowed; max_isa as roto_isa (0: best).  Never NULL. */
compute *compute_create(int threads, int max_isa);
void compute_free(compute *cp);
const char *compute_isa(const compute *cp); /* "avx512-bf16" where mixed */
int compute_threads(const compute *cp);     /* how many run at once */

/* Mixed precision: operands of matrix products are rounded to bfloat16, everything else stays float: sums, weights, gradients of
 * weights, statistics of batch norms, depthwise and element-wise layers.  Returns 0, and changes nothing but to float, where the
 * machine (or max_isa) has no AVX512-BF16. */
int compute_mixed(compute *cp, int on);
int compute_is_mixed(const compute *cp);

size_t value_stride(size_t channels); /* cs of a value */

/* Run task(context, i) for i in [0, count) on all threads. */
void compute_for(compute *cp, size_t count, void (*task)(void *context, size_t index), void *context);
void compute_each(void *cp, size_t count, void (*task)(void *context, size_t index),
                  void *context); /* as dataset_cache takes it */

/* Shape of a convolution: input n x h x w x ic, output n x oh x ow x oc.  Padding below and right follows from oh, ow.
 * A dense layer is kh = h, kw = w, oh = ow = 1.  Depthwise: oc = ic. */
typedef struct conv_shape {
  size_t n, h, w, ic, oh, ow, oc, kh, kw, stride, pad_top, pad_left;
} conv_shape;

void conv_forward(compute *cp, const conv_shape *s, const real *x, const real *weight, const real *bias, real *y);
void conv_backward_data(compute *cp, const conv_shape *s, const real *dy, const real *weight, real *dx); /* dx += */
void conv_backward_weights(compute *cp, const conv_shape *s, const real *x, const real *dy, real *dweight,
                           real *dbias); /* overwrites; dbias may be NULL */

void depthwise_forward(compute *cp, const conv_shape *s, const real *x, const real *weight, const real *bias, real *y);
void depthwise_backward_data(compute *cp, const conv_shape *s, const real *dy, const real *weight, real *dx); /* dx += */
void depthwise_backward_weights(compute *cp, const conv_shape *s, const real *x, const real *dy, real *dweight, real *dbias);

/* ---- batch norm, and values that are never stored ----
 *
 * z = (x - mean) * scale + beta with scale = gamma / sqrt(variance + epsilon), y = act(z).  x is stored and y is not: a layer
 * that reads y is given a `view` of x and normalizes a block at a time, in cache.  So is the gradient of x: stored is dz, and
 * the layer that made x reads it through a `slope_view`. */

typedef struct norm_layer {
  const real *gamma, *beta;
  real epsilon;
  int act;
  real *rows; /* [NORM_ROWS][cs], padding zero: what the passes below fill and read */
  real *dgamma, *dbeta;
} norm_layer;

enum { NORM_MEAN, NORM_VARIANCE, NORM_SCALE, NORM_BETA, NORM_OFFSET, NORM_SLOPE, NORM_ROWS };

/* Storage of large values between layers: `real`, or bfloat16 in an array of half the size (only where compute_is_mixed). */
typedef struct value_view { /* y = act((x - mean) * scale + beta) * factor[image] */
  const real *x;
  int half;
  const norm_layer *norm; /* NULL: y = x * factor */
  const real *factor;     /* [n][cs], of squeeze-excite; or NULL */
  size_t image;           /* pixels an image, where there is a factor */
} value_view;

typedef struct slope_view { /* dx = dz * scale - (offset + (x - mean) * slope), or dz if norm is NULL */
  const real *dz, *x;
  int half; /* of both */
  const norm_layer *norm;
} slope_view;

/* Where the gradient of a view goes. */
typedef struct slope_sink {
  real *dx; /* NULL: nobody asks */
  int half;
  int add;          /* dx += ; not with norm or half */
  norm_layer *norm; /* not NULL, then the view's: dx receives dz, and the layer its gradients and rows for slope_view */
  int frozen;       /* its mean and variance are constants */
  real *dfactor;    /* [n][cs], with a factor: added; dx is then that of y / factor * factor, i.e. of the product */
} slope_sink;

/* Mean and biased variance of x over `pixels` pixels into the layer's rows, summed so that float keeps 6 digits at 10^7
 * pixels; with `frozen` the rows already hold them.  Fills scale and beta. */
void norm_statistics(compute *cp, size_t pixels, size_t c, const real *x, int frozen, norm_layer *norm);
/* dz = act'(z) * (dy * factor + addition), in place of dy; factor and addition [n][cs] (both or neither); then the layer's
 * gradients and its rows for slope_view. */
void norm_slope(compute *cp, size_t n, size_t image, size_t c, const real *x, int half, norm_layer *norm, int frozen,
                const real *factor, const real *addition, real *dy);

void view_copy(compute *cp, size_t pixels, size_t c, const value_view *x, real *y); /* y = the view */
/* [n][cs], means over an image of a view that has a norm and no factor */
void view_mean(compute *cp, size_t n, size_t image, size_t c, const value_view *x, real *y);
void slope_copy(compute *cp, size_t pixels, size_t c, const slope_view *dy, int add, real *dx); /* dx (+)= ; dx may be dz */

/* 1 x 1 convolutions of stride 1 without bias, channels > 4; `after`: the batch norm behind it, whose statistics are taken
 * while the result is in cache, or NULL. */
void pointwise_forward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const real *weight, real *y,
                       int half, norm_layer *after);
void pointwise_backward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const slope_view *dy,
                        const real *weight, const slope_sink *sink, real *dweight);
/* The same of depthwise convolutions without bias; the view has no factor. */
void depthwise_norm_forward(compute *cp, const conv_shape *s, const value_view *x, const real *weight, real *y, int half,
                            norm_layer *after);
void depthwise_norm_backward(compute *cp, const conv_shape *s, const value_view *x, const slope_view *dy, const real *weight,
                             const slope_sink *sink, real *dweight);

/* y = act(x) over `count` floats (whole values with padding); backward: dx += dy * act'(x). */
void act_forward(compute *cp, size_t count, int act, const real *x, real *y);
void act_backward(compute *cp, size_t count, int act, const real *x, const real *dy, real *dx);

/* y = act(a + b * keep[image]) (stochastic depth: keep is 0 or 1/p an image; NULL: all 1); `per_image` floats an image.
 * backward needs the sum z = a + b * keep only if act is not NONE; it recomputes it from a and b.  da += , db += (either may
 * be NULL). */
void add_forward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act, real *y);
void add_backward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act,
                  const real *dy, real *da, real *db);

/* y[n][p][c] = x[n][p][c] * s[n][c]; backward: dx +=, ds +=. */
void scale_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, real *y);
void scale_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, const real *dy, real *dx,
                    real *ds);

/* Pools of roto_format.h; ic = oc = channels.  Max: the first of equal maxima gets the gradient.  dx += . */
void pool_forward(compute *cp, const conv_shape *s, int max, const real *x, real *y);
void pool_backward(compute *cp, const conv_shape *s, int max, const real *x, const real *dy, real *dx);
void globalpool_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, real *y);
void globalpool_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *dy, real *dx);
void upsample_forward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *x, real *y); /* h, w of x */
void upsample_backward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *dy, real *dx);

/* POINTS of roto_format.h: x [n][h][w][cs] with c = channels_per_point * N channels; y [n][cs(3N)]; probability
 * [n][N][h*w] receives the softmax.  backward: dx += from dy (of x, y and spread) and, if dlogit is not NULL, from the
 * derivative of the loss by each logit given there directly ([n][N][h*w], added to the logits' gradients as it is). */
void points_forward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                    real *probability, real *y);
void points_backward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                     const real *probability, const real *y, const real *dy, const real *dlogit, real *dx);

/* Adam on parameters, formulas in optimizer.h, and the moving average of their values.  Arrays are padded with zeros to a multiple
 * of 16. */
typedef struct adam_pass {
  size_t count;
  real *value, *first, *second, *averaged;
  const real *gradient;                   /* NULL: the value is not trained, its average follows it all the same */
  real beta1, beta2, epsilon, rate, keep; /* keep: 1 - rate * decay of the weights */
  real correct1, correct2;                /* of the moments' bias: 1 / (1 - beta^step) */
  real average;                           /* 0: averaged = value */
} adam_pass;

void adam_step(compute *cp, const adam_pass *passes, size_t count);

#endif
