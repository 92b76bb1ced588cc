/* The meaning of compute.h: every pass as plain loops over `real`, one thread, sums in double.  Nothing here is tuned and
 * nothing should be; compute.c has to agree with it.  Built with -DROTO_REAL_DOUBLE it carries the gradient checks.
 *
 * Padding lanes are never written, so a test can see who reads them.  Gradients at kinks: a relu passes nothing at exactly
 * zero, relu6, hard sigmoid and hard swish count their bends as flat, a max pool gives everything to the first of equal
 * maxima, and a spread of exactly zero passes no gradient. */

#include "compute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../model_format/roto_format.h"

struct compute {
  int unused; /* this one keeps no state */
};

compute *compute_create(int threads, int max_isa) {
  compute *cp = (compute *)malloc(sizeof(compute));
  (void)threads;
  (void)max_isa;
  if (!cp) {
    fprintf(stderr, "compute: no memory for %u bytes; close other programs and start again\n", (unsigned)sizeof(compute));
    exit(1);
  }
  cp->unused = 0;
  return cp;
}

void compute_free(compute *cp) {
  free(cp);
}

const char *compute_isa(const compute *cp) {
  (void)cp;
  return "reference";
}

int compute_threads(const compute *cp) {
  (void)cp;
  return 1;
}

int compute_mixed(compute *cp, int on) {
  (void)cp;
  return !on;
}

int compute_is_mixed(const compute *cp) {
  (void)cp;
  return 0;
}

size_t value_stride(size_t channels) {
  return channels <= 4 ? 4 : (channels + 15) / 16 * 16;
}

void compute_for(compute *cp, size_t count, void (*task)(void *context, size_t index), void *context) {
  (void)cp;
  for (size_t i = 0; i < count; i++) task(context, i);
}

/* The input pixel under tap (ky, kx) of output pixel (oy, ox): its index within the image, or -1 outside. */
static ptrdiff_t tap_pixel(const conv_shape *s, size_t oy, size_t ox, size_t ky, size_t kx) {
  size_t y = oy * s->stride + ky, x = ox * s->stride + kx;
  if (y < s->pad_top || x < s->pad_left) return -1;
  y -= s->pad_top;
  x -= s->pad_left;
  return y < s->h && x < s->w ? (ptrdiff_t)(y * s->w + x) : -1;
}

static double activate(int act, double x) {
  switch (act) {
    case ROTO_ACT_RELU:
      return x > 0 ? x : 0;
    case ROTO_ACT_RELU6:
      return x > 0 ? (x < 6 ? x : 6) : 0;
    case ROTO_ACT_SIGMOID:
      return 1 / (1 + exp(-x));
    case ROTO_ACT_SWISH:
      return x / (1 + exp(-x));
    case ROTO_ACT_HARD_SIGMOID:
      return x > -3 ? (x < 3 ? x / 6 + 0.5 : 1) : 0;
    case ROTO_ACT_HARD_SWISH:
      return x > -3 ? (x < 3 ? x * (x / 6 + 0.5) : x) : 0;
    default:
      return x;
  }
}

static double activate_slope(int act, double x) {
  double s;
  switch (act) {
    case ROTO_ACT_RELU:
      return x > 0 ? 1 : 0;
    case ROTO_ACT_RELU6:
      return x > 0 && x < 6 ? 1 : 0;
    case ROTO_ACT_SIGMOID:
      s = 1 / (1 + exp(-x));
      return s * (1 - s);
    case ROTO_ACT_SWISH:
      s = 1 / (1 + exp(-x));
      return s * (1 + x * (1 - s));
    case ROTO_ACT_HARD_SIGMOID:
      return x > -3 && x < 3 ? 1.0 / 6 : 0;
    case ROTO_ACT_HARD_SWISH:
      return x > -3 ? (x < 3 ? x / 3 + 0.5 : 1) : 0;
    default:
      return 1;
  }
}

void conv_forward(compute *cp, const conv_shape *s, const real *x, const real *weight, const real *bias, real *y) {
  size_t ics = value_stride(s->ic), ocs = value_stride(s->oc);
  (void)cp;
  for (size_t n = 0; n < s->n; n++) {
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        real *out = y + ((n * s->oh + oy) * s->ow + ox) * ocs;
        for (size_t oc = 0; oc < s->oc; oc++) {
          double sum = bias ? (double)bias[oc] : 0;
          for (size_t ky = 0; ky < s->kh; ky++) {
            for (size_t kx = 0; kx < s->kw; kx++) {
              ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
              if (pixel < 0) continue;
              const real *in = x + (n * s->h * s->w + (size_t)pixel) * ics;
              const real *w = weight + (ky * s->kw + kx) * s->ic * s->oc + oc;
              for (size_t ic = 0; ic < s->ic; ic++) sum += (double)in[ic] * (double)w[ic * s->oc];
            }
          }
          out[oc] = (real)sum;
        }
      }
    }
  }
}

void conv_backward_data(compute *cp, const conv_shape *s, const real *dy, const real *weight, real *dx) {
  size_t ics = value_stride(s->ic), ocs = value_stride(s->oc), in_count = s->h * s->w * s->ic;
  double *sum = (double *)malloc(in_count * sizeof(double));
  (void)cp;
  if (!sum) {
    fprintf(stderr, "compute: no memory for a gradient of %.0f values; use a smaller network\n", (double)in_count);
    exit(1);
  }
  for (size_t n = 0; n < s->n; n++) {
    for (size_t i = 0; i < in_count; i++) sum[i] = 0;
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        const real *d = dy + ((n * s->oh + oy) * s->ow + ox) * ocs;
        for (size_t ky = 0; ky < s->kh; ky++) {
          for (size_t kx = 0; kx < s->kw; kx++) {
            ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
            if (pixel < 0) continue;
            for (size_t ic = 0; ic < s->ic; ic++) {
              const real *w = weight + ((ky * s->kw + kx) * s->ic + ic) * s->oc;
              double dot = 0;
              for (size_t oc = 0; oc < s->oc; oc++) dot += (double)d[oc] * (double)w[oc];
              sum[(size_t)pixel * s->ic + ic] += dot;
            }
          }
        }
      }
    }
    for (size_t p = 0; p < s->h * s->w; p++) {
      real *out = dx + (n * s->h * s->w + p) * ics;
      for (size_t ic = 0; ic < s->ic; ic++) out[ic] = (real)((double)out[ic] + sum[p * s->ic + ic]);
    }
  }
  free(sum);
}

/* The sum of a gradient over all output pixels of the batch. */
static void bias_gradient(const conv_shape *s, const real *dy, real *dbias) {
  size_t ocs = value_stride(s->oc), pixels = s->n * s->oh * s->ow;
  for (size_t oc = 0; dbias && oc < s->oc; oc++) {
    double sum = 0;
    for (size_t p = 0; p < pixels; p++) sum += (double)dy[p * ocs + oc];
    dbias[oc] = (real)sum;
  }
}

void conv_backward_weights(compute *cp, const conv_shape *s, const real *x, const real *dy, real *dweight, real *dbias) {
  size_t ics = value_stride(s->ic), ocs = value_stride(s->oc);
  (void)cp;
  for (size_t ky = 0; ky < s->kh; ky++) {
    for (size_t kx = 0; kx < s->kw; kx++) {
      for (size_t ic = 0; ic < s->ic; ic++) {
        for (size_t oc = 0; oc < s->oc; oc++) {
          double sum = 0;
          for (size_t n = 0; n < s->n; n++) {
            for (size_t oy = 0; oy < s->oh; oy++) {
              for (size_t ox = 0; ox < s->ow; ox++) {
                ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
                if (pixel < 0) continue;
                sum += (double)x[(n * s->h * s->w + (size_t)pixel) * ics + ic] *
                       (double)dy[((n * s->oh + oy) * s->ow + ox) * ocs + oc];
              }
            }
          }
          dweight[((ky * s->kw + kx) * s->ic + ic) * s->oc + oc] = (real)sum;
        }
      }
    }
  }
  bias_gradient(s, dy, dbias);
}

void depthwise_forward(compute *cp, const conv_shape *s, const real *x, const real *weight, const real *bias, real *y) {
  size_t cs = value_stride(s->ic);
  (void)cp;
  for (size_t n = 0; n < s->n; n++) {
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        for (size_t c = 0; c < s->ic; c++) {
          double sum = bias ? (double)bias[c] : 0;
          for (size_t ky = 0; ky < s->kh; ky++) {
            for (size_t kx = 0; kx < s->kw; kx++) {
              ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
              if (pixel < 0) continue;
              sum += (double)x[(n * s->h * s->w + (size_t)pixel) * cs + c] * (double)weight[(ky * s->kw + kx) * s->ic + c];
            }
          }
          y[((n * s->oh + oy) * s->ow + ox) * cs + c] = (real)sum;
        }
      }
    }
  }
}

void depthwise_backward_data(compute *cp, const conv_shape *s, const real *dy, const real *weight, real *dx) {
  size_t cs = value_stride(s->ic);
  (void)cp;
  for (size_t n = 0; n < s->n; n++) {
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        for (size_t ky = 0; ky < s->kh; ky++) {
          for (size_t kx = 0; kx < s->kw; kx++) {
            ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
            if (pixel < 0) continue;
            const real *d = dy + ((n * s->oh + oy) * s->ow + ox) * cs, *w = weight + (ky * s->kw + kx) * s->ic;
            real *out = dx + (n * s->h * s->w + (size_t)pixel) * cs;
            for (size_t c = 0; c < s->ic; c++) out[c] += d[c] * w[c];
          }
        }
      }
    }
  }
}

void depthwise_backward_weights(compute *cp, const conv_shape *s, const real *x, const real *dy, real *dweight, real *dbias) {
  size_t cs = value_stride(s->ic);
  (void)cp;
  for (size_t ky = 0; ky < s->kh; ky++) {
    for (size_t kx = 0; kx < s->kw; kx++) {
      for (size_t c = 0; c < s->ic; c++) {
        double sum = 0;
        for (size_t n = 0; n < s->n; n++) {
          for (size_t oy = 0; oy < s->oh; oy++) {
            for (size_t ox = 0; ox < s->ow; ox++) {
              ptrdiff_t pixel = tap_pixel(s, oy, ox, ky, kx);
              if (pixel < 0) continue;
              sum +=
                  (double)x[(n * s->h * s->w + (size_t)pixel) * cs + c] * (double)dy[((n * s->oh + oy) * s->ow + ox) * cs + c];
            }
          }
        }
        dweight[(ky * s->kw + kx) * s->ic + c] = (real)sum;
      }
    }
  }
  bias_gradient(s, dy, dbias);
}

/* Rows of a norm layer; padding lanes of rows are never read here. */
static real *norm_row(const norm_layer *norm, int row, size_t c) {
  return norm->rows + (size_t)row * value_stride(c);
}

void norm_statistics(compute *cp, size_t pixels, size_t c, const real *x, int frozen, norm_layer *norm) {
  size_t cs = value_stride(c);
  real *mean = norm_row(norm, NORM_MEAN, c), *variance = norm_row(norm, NORM_VARIANCE, c);
  (void)cp;
  for (size_t i = 0; i < c; i++) {
    if (!frozen) {
      double sum = 0, squares = 0;
      for (size_t p = 0; p < pixels; p++) sum += (double)x[p * cs + i];
      sum /= (double)pixels;
      for (size_t p = 0; p < pixels; p++) squares += ((double)x[p * cs + i] - sum) * ((double)x[p * cs + i] - sum);
      mean[i] = (real)sum;
      variance[i] = (real)(squares / (double)pixels);
    }
    norm_row(norm, NORM_SCALE, c)[i] = (real)((double)norm->gamma[i] / sqrt((double)variance[i] + (double)norm->epsilon));
    norm_row(norm, NORM_BETA, c)[i] = norm->beta[i];
  }
}

/* z of one stored element; x itself without a norm. */
static double normalized(const norm_layer *norm, size_t c, size_t channel, real x) {
  if (!norm) return (double)x;
  double d = (double)x - (double)norm_row(norm, NORM_MEAN, c)[channel];
  return d * (double)norm_row(norm, NORM_SCALE, c)[channel] + (double)norm_row(norm, NORM_BETA, c)[channel];
}

void norm_slope(compute *cp, size_t n, size_t image, size_t c, const real *x, int half, norm_layer *norm, int frozen,
                const real *factor, const real *addition, real *dy) {
  size_t cs = value_stride(c), pixels = n * image;
  (void)cp;
  (void)half;
  for (size_t i = 0; i < c; i++) {
    double inv_std = 1 / sqrt((double)norm_row(norm, NORM_VARIANCE, c)[i] + (double)norm->epsilon), sum = 0, sum_normal = 0;
    for (size_t p = 0; p < pixels; p++) {
      double d = (double)dy[p * cs + i];
      if (factor) d = d * (double)factor[p / image * cs + i] + (double)addition[p / image * cs + i];
      d *= activate_slope(norm->act, normalized(norm, c, i, x[p * cs + i]));
      sum += d;
      sum_normal += d * ((double)x[p * cs + i] - (double)norm_row(norm, NORM_MEAN, c)[i]) * inv_std;
      dy[p * cs + i] = (real)d;
    }
    double scale = frozen ? 0 : (double)norm->gamma[i] * inv_std / (double)pixels;
    norm->dbeta[i] = (real)sum;
    norm->dgamma[i] = (real)sum_normal;
    norm_row(norm, NORM_OFFSET, c)[i] = (real)(scale * sum);
    norm_row(norm, NORM_SLOPE, c)[i] = (real)(scale * sum_normal * inv_std);
  }
}

void view_copy(compute *cp, size_t pixels, size_t c, const value_view *x, real *y) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t p = 0; p < pixels; p++) {
    for (size_t i = 0; i < c; i++) {
      double v = normalized(x->norm, c, i, x->x[p * cs + i]);
      if (x->norm) v = activate(x->norm->act, v);
      if (x->factor) v *= (double)x->factor[p / x->image * cs + i];
      y[p * cs + i] = (real)v;
    }
  }
}

void slope_copy(compute *cp, size_t pixels, size_t c, const slope_view *dy, int add, real *dx) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t p = 0; p < pixels; p++) {
    for (size_t i = 0; i < c; i++) {
      double d = (double)dy->dz[p * cs + i];
      if (dy->norm) {
        double distance = (double)dy->x[p * cs + i] - (double)norm_row(dy->norm, NORM_MEAN, c)[i];
        d = d * (double)norm_row(dy->norm, NORM_SCALE, c)[i] - (double)norm_row(dy->norm, NORM_OFFSET, c)[i] -
            distance * (double)norm_row(dy->norm, NORM_SLOPE, c)[i];
      }
      dx[p * cs + i] = (real)(add ? (double)dx[p * cs + i] + d : d);
    }
  }
}

void view_mean(compute *cp, size_t n, size_t image, size_t c, const value_view *x, real *y) {
  real *values = real_alloc(n * image * value_stride(c));
  view_copy(cp, n * image, c, x, values);
  globalpool_forward(cp, n, image, c, values, y);
  free(values);
}

/* The layers that read views are the plain layers between copies of what they read. */
static void convolve_view(compute *cp, const conv_shape *s, int depthwise, const value_view *x, const real *weight, real *y,
                          norm_layer *after) {
  real *values = real_alloc(s->n * s->h * s->w * value_stride(s->ic));
  view_copy(cp, s->n * s->h * s->w, s->ic, x, values);
  if (depthwise) {
    depthwise_forward(cp, s, values, weight, NULL, y);
  } else {
    conv_forward(cp, s, values, weight, NULL, y);
  }
  if (after) norm_statistics(cp, s->n * s->oh * s->ow, s->oc, y, 0, after);
  free(values);
}

static void differentiate_view(compute *cp, const conv_shape *s, int depthwise, const value_view *x, const slope_view *dy,
                               const real *weight, const slope_sink *sink, real *dweight) {
  size_t in = s->n * s->h * s->w, out = s->n * s->oh * s->ow, ics = value_stride(s->ic);
  real *values = real_alloc(in * ics), *slopes = real_alloc(out * value_stride(s->oc));
  view_copy(cp, in, s->ic, x, values);
  slope_copy(cp, out, s->oc, dy, 0, slopes);
  if (depthwise) {
    depthwise_backward_weights(cp, s, values, slopes, dweight, NULL);
  } else {
    conv_backward_weights(cp, s, values, slopes, dweight, NULL);
  }
  if (sink->dx) {
    for (size_t i = 0; !sink->add && i < in * ics; i++) {
      if (i % ics < s->ic) sink->dx[i] = 0;
    }
    if (depthwise) {
      depthwise_backward_data(cp, s, slopes, weight, sink->dx);
    } else {
      conv_backward_data(cp, s, slopes, weight, sink->dx);
    }
    if (sink->dfactor) {
      value_view plain = *x;
      plain.factor = NULL;
      view_copy(cp, in, s->ic, &plain, values);
      for (size_t i = 0; i < in * ics; i++) {
        if (i % ics < s->ic) sink->dfactor[i / ics / x->image * ics + i % ics] += sink->dx[i] * values[i];
      }
    }
    if (sink->norm) norm_slope(cp, 1, in, s->ic, x->x, 0, sink->norm, sink->frozen, NULL, NULL, sink->dx);
  }
  free(values);
  free(slopes);
}

static conv_shape pointwise_shape(size_t pixels, size_t ic, size_t oc) {
  conv_shape s = {1, pixels, 1, ic, pixels, 1, oc, 1, 1, 1, 0, 0};
  return s;
}

void pointwise_forward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const real *weight, real *y,
                       int half, norm_layer *after) {
  conv_shape s = pointwise_shape(pixels, ic, oc);
  (void)half;
  convolve_view(cp, &s, 0, x, weight, y, after);
}

void pointwise_backward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const slope_view *dy,
                        const real *weight, const slope_sink *sink, real *dweight) {
  conv_shape s = pointwise_shape(pixels, ic, oc);
  differentiate_view(cp, &s, 0, x, dy, weight, sink, dweight);
}

void depthwise_norm_forward(compute *cp, const conv_shape *s, const value_view *x, const real *weight, real *y, int half,
                            norm_layer *after) {
  (void)half;
  convolve_view(cp, s, 1, x, weight, y, after);
}

void depthwise_norm_backward(compute *cp, const conv_shape *s, const value_view *x, const slope_view *dy, const real *weight,
                             const slope_sink *sink, real *dweight) {
  differentiate_view(cp, s, 1, x, dy, weight, sink, dweight);
}

void act_forward(compute *cp, size_t count, int act, const real *x, real *y) {
  (void)cp;
  for (size_t i = 0; i < count; i++) y[i] = (real)activate(act, (double)x[i]);
}

void act_backward(compute *cp, size_t count, int act, const real *x, const real *dy, real *dx) {
  (void)cp;
  for (size_t i = 0; i < count; i++) dx[i] += (real)((double)dy[i] * activate_slope(act, (double)x[i]));
}

void add_forward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act, real *y) {
  (void)cp;
  for (size_t i = 0; i < n * per_image; i++) {
    y[i] = (real)activate(act, (double)a[i] + (double)b[i] * (keep ? (double)keep[i / per_image] : 1));
  }
}

void add_backward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act,
                  const real *dy, real *da, real *db) {
  (void)cp;
  for (size_t i = 0; i < n * per_image; i++) {
    double k = keep ? (double)keep[i / per_image] : 1;
    double dz = act == ROTO_ACT_NONE ? (double)dy[i] : (double)dy[i] * activate_slope(act, (double)a[i] + (double)b[i] * k);
    if (da) da[i] += (real)dz;
    if (db) db[i] += (real)(dz * k);
  }
}

void scale_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, real *y) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t i = 0; i < n * pixels; i++) {
    for (size_t k = 0; k < c; k++) y[i * cs + k] = x[i * cs + k] * s[i / pixels * cs + k];
  }
}

void scale_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, const real *dy, real *dx,
                    real *ds) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < c; k++) {
      double sum = 0;
      for (size_t p = i * pixels; p < (i + 1) * pixels; p++) {
        sum += (double)dy[p * cs + k] * (double)x[p * cs + k];
        dx[p * cs + k] += dy[p * cs + k] * s[i * cs + k];
      }
      ds[i * cs + k] += (real)sum;
    }
  }
}

void pool_forward(compute *cp, const conv_shape *s, int max, const real *x, real *y) {
  size_t cs = value_stride(s->ic);
  (void)cp;
  for (size_t n = 0; n < s->n; n++) {
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        for (size_t c = 0; c < s->ic; c++) {
          double result = 0;
          size_t inside = 0;
          for (size_t tap = 0; tap < s->kh * s->kw; tap++) {
            ptrdiff_t pixel = tap_pixel(s, oy, ox, tap / s->kw, tap % s->kw);
            if (pixel < 0) continue;
            double v = (double)x[(n * s->h * s->w + (size_t)pixel) * cs + c];
            if (!max) {
              result += v;
            } else if (!inside || v > result) {
              result = v;
            }
            inside++;
          }
          y[((n * s->oh + oy) * s->ow + ox) * cs + c] = (real)(max || !inside ? result : result / (double)inside);
        }
      }
    }
  }
}

void pool_backward(compute *cp, const conv_shape *s, int max, const real *x, const real *dy, real *dx) {
  size_t cs = value_stride(s->ic);
  (void)cp;
  for (size_t n = 0; n < s->n; n++) {
    const real *in = x + n * s->h * s->w * cs;
    real *out = dx + n * s->h * s->w * cs;
    for (size_t oy = 0; oy < s->oh; oy++) {
      for (size_t ox = 0; ox < s->ow; ox++) {
        for (size_t c = 0; c < s->ic; c++) {
          real d = dy[((n * s->oh + oy) * s->ow + ox) * cs + c];
          ptrdiff_t best = -1;
          size_t inside = 0;
          for (size_t tap = 0; tap < s->kh * s->kw; tap++) {
            ptrdiff_t pixel = tap_pixel(s, oy, ox, tap / s->kw, tap % s->kw);
            if (pixel < 0) continue;
            if (max && (best < 0 || in[(size_t)pixel * cs + c] > in[(size_t)best * cs + c])) best = pixel;
            inside++;
          }
          if (max && best >= 0) out[(size_t)best * cs + c] += d;
          for (size_t tap = 0; !max && tap < s->kh * s->kw; tap++) {
            ptrdiff_t pixel = tap_pixel(s, oy, ox, tap / s->kw, tap % s->kw);
            if (pixel >= 0) out[(size_t)pixel * cs + c] += d / (real)inside;
          }
        }
      }
    }
  }
}

void globalpool_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, real *y) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t i = 0; i < n; i++) {
    for (size_t k = 0; k < c; k++) {
      double sum = 0;
      for (size_t p = 0; p < pixels; p++) sum += (double)x[(i * pixels + p) * cs + k];
      y[i * cs + k] = (real)(sum / (double)pixels);
    }
  }
}

void globalpool_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *dy, real *dx) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t i = 0; i < n * pixels; i++) {
    for (size_t k = 0; k < c; k++) dx[i * cs + k] += dy[i / pixels * cs + k] / (real)pixels;
  }
}

void upsample_forward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *x, real *y) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t row = 0; row < n * 2 * h; row++) { /* 2h rows an image: output row r comes from input row r / 2 of the batch */
    for (size_t col = 0; col < 2 * w; col++) {
      for (size_t k = 0; k < c; k++) y[(row * 2 * w + col) * cs + k] = x[(row / 2 * w + col / 2) * cs + k];
    }
  }
}

void upsample_backward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *dy, real *dx) {
  size_t cs = value_stride(c);
  (void)cp;
  for (size_t row = 0; row < n * 2 * h; row++) {
    for (size_t col = 0; col < 2 * w; col++) {
      for (size_t k = 0; k < c; k++) dx[(row / 2 * w + col / 2) * cs + k] += dy[(row * 2 * w + col) * cs + k];
    }
  }
}

/* Where cell i of a point's map says the point is, in units of the crop. */
static void cell_position(const real *cell, size_t points, size_t channels_per_point, size_t point, size_t i, size_t h,
                          size_t w, double *u, double *v) {
  double offset_x = channels_per_point == 3 ? (double)cell[points + point] : 0;
  double offset_y = channels_per_point == 3 ? (double)cell[2 * points + point] : 0;
  *u = ((double)(i % w) + 0.5 + offset_x) / (double)w;
  *v = ((double)(i / w) + 0.5 + offset_y) / (double)h;
}

void points_forward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                    real *probability, real *y) {
  size_t cs = value_stride(points * channels_per_point), ys = value_stride(3 * points);
  (void)cp;
  for (size_t image = 0; image < n; image++) {
    const real *in = x + image * h * w * cs;
    for (size_t point = 0; point < points; point++) {
      real *prob = probability + (image * points + point) * h * w, *out = y + image * ys + 3 * point;
      double largest = (double)in[point], total = 0, mean_u = 0, mean_v = 0, spread = 0, u, v;
      for (size_t i = 0; i < h * w; i++) {
        if ((double)in[i * cs + point] > largest) largest = (double)in[i * cs + point];
      }
      for (size_t i = 0; i < h * w; i++) total += exp((double)in[i * cs + point] - largest);
      for (size_t i = 0; i < h * w; i++) {
        double p = exp((double)in[i * cs + point] - largest) / total;
        cell_position(in + i * cs, points, channels_per_point, point, i, h, w, &u, &v);
        mean_u += p * u;
        mean_v += p * v;
        prob[i] = (real)p;
      }
      for (size_t i = 0; i < h * w; i++) {
        cell_position(in + i * cs, points, channels_per_point, point, i, h, w, &u, &v);
        spread += (double)prob[i] * ((u - mean_u) * (u - mean_u) + (v - mean_v) * (v - mean_v));
      }
      out[0] = (real)mean_u;
      out[1] = (real)mean_v;
      out[2] = (real)sqrt(spread);
    }
  }
}

/* With q = spread^2 and g_q = dspread / (2 spread): because the mean minimises q, neither probabilities nor positions reach q
 * through it, and subtracting the softmax's mean gradient leaves
 *   dlogit_i = p_i * (g_x (u_i - x) + g_y (v_i - y) + g_q (r_i^2 - q)),  du_i = p_i * (g_x + 2 g_q (u_i - x)). */
void points_backward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                     const real *probability, const real *y, const real *dy, const real *dlogit, real *dx) {
  size_t cs = value_stride(points * channels_per_point), ys = value_stride(3 * points);
  (void)cp;
  for (size_t image = 0; image < n; image++) {
    for (size_t point = 0; point < points; point++) {
      size_t map = (image * points + point) * h * w;
      const real *out = y + image * ys + 3 * point, *d = dy + image * ys + 3 * point;
      double spread = (double)out[2], gx = (double)d[0], gy = (double)d[1], gq = spread > 0 ? (double)d[2] / (2 * spread) : 0;
      for (size_t i = 0; i < h * w; i++) {
        const real *cell = x + (image * h * w + i) * cs;
        real *dcell = dx + (image * h * w + i) * cs;
        double p = (double)probability[map + i], u, v;
        cell_position(cell, points, channels_per_point, point, i, h, w, &u, &v);
        u -= (double)out[0];
        v -= (double)out[1];
        dcell[point] += (real)(p * (gx * u + gy * v + gq * (u * u + v * v - spread * spread)));
        if (dlogit) dcell[point] += dlogit[map + i];
        if (channels_per_point == 3) {
          dcell[points + point] += (real)(p * (gx + 2 * gq * u) / (double)w);
          dcell[2 * points + point] += (real)(p * (gy + 2 * gq * v) / (double)h);
        }
      }
    }
  }
}

void adam_step(compute *cp, const adam_pass *passes, size_t count) {
  (void)cp;
  for (const adam_pass *a = passes; a < passes + count; a++) {
    for (size_t i = 0; i < a->count; i++) {
      if (a->gradient) {
        double g = (double)a->gradient[i], m = (double)a->first[i], v = (double)a->second[i];
        m = (double)a->beta1 * m + (1 - (double)a->beta1) * g;
        v = (double)a->beta2 * v + (1 - (double)a->beta2) * g * g;
        double step = m * (double)a->correct1 / (sqrt(v * (double)a->correct2) + (double)a->epsilon);
        a->first[i] = (real)m;
        a->second[i] = (real)v;
        a->value[i] = (real)((double)a->value[i] * (double)a->keep - (double)a->rate * step);
      }
      real old = a->averaged[i];
      a->averaged[i] = a->average > 0 ? old + (1 - a->average) * (a->value[i] - old) : a->value[i];
    }
  }
}
