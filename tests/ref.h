/* Slow references for the kernels, in double, loop by loop as the definitions in runtime/kernels.c read, sharing no code with
 * runtime/; and the two comparisons.
 *
 * Exact: inputs are small integers, so every float sum is exact in any order and results must be equal.  Random: rounding is
 * bounded by ref_tolerance, from the number of terms and the sum of their magnitudes.  A reference returns both sums. */

#ifndef REF_H
#define REF_H

#include <math.h>
#include <stddef.h>

typedef struct ref_sum {
  double value, magnitude; /* sum of terms, sum of their absolute values */
} ref_sum;

static inline void ref_add(ref_sum *sum, double term) {
  sum->value += term;
  sum->magnitude += fabs(term);
}

/* Rounding errors of k terms behave like a random walk: a correct kernel stays below a tenth of this.  A bound that grows
 * with k instead of its root would let a missing term pass. */
static inline double ref_tolerance(size_t terms, double magnitude) {
  return 4 * sqrt((double)terms + 8) * ldexp(magnitude, -24);
}

/* How many of n results are wrong; written so that NaN is.  tolerance NULL: they must be equal. */
static inline size_t ref_wrong(const float *got, const double *expected, const double *tolerance, size_t n) {
  size_t wrong = 0;
  for (size_t i = 0; i < n; ++i) {
    if (!(fabs((double)got[i] - expected[i]) <= (tolerance ? tolerance[i] : 0))) ++wrong;
  }
  return wrong;
}

/* Activations of roto_format.h, by name so that a changed number is noticed. */
static inline double ref_relu(double x) {
  return x > 0 ? x : 0;
}
static inline double ref_relu6(double x) {
  return x > 6 ? 6 : ref_relu(x);
}
static inline double ref_sigmoid(double x) {
  return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}
static inline double ref_swish(double x) {
  return x < -700 ? 0 : x * ref_sigmoid(x);
}
static inline double ref_hard_sigmoid(double x) {
  return x < -3 ? 0 : x > 3 ? 1 : x / 6 + 0.5;
}
static inline double ref_hard_swish(double x) {
  return x < -3 ? 0 : x > 3 ? x : x * (x / 6 + 0.5);
}

/* sum over t, l of row(t)[l] * b[t*k + l][column]; rows are given tap-major for m rows, b has `width` columns. */
static inline ref_sum ref_gemm(const float *const *rows, size_t m, size_t i, size_t taps, size_t k, const float *b,
                               size_t width, size_t column) {
  ref_sum sum = {0, 0};
  for (size_t t = 0; t < taps; ++t) {
    for (size_t l = 0; l < k; ++l) ref_add(&sum, (double)rows[t * m + i][l] * (double)b[(t * k + l) * width + column]);
  }
  return sum;
}

/* A window on a picture of h x w pixels of cs channels; signed, so that the outside is simply negative or too large. */
typedef struct ref_window {
  const float *in;
  long h, w, cs, kh, kw, stride, pad_top, pad_left;
} ref_window;

/* One output of a depthwise convolution, before bias and activation; weights [kh][kw][cs]. */
static inline ref_sum ref_depthwise(const ref_window *r, const float *weights, long y, long x, long c) {
  ref_sum sum = {0, 0};
  for (long ky = 0; ky < r->kh; ++ky) {
    for (long kx = 0; kx < r->kw; ++kx) {
      long iy = y * r->stride - r->pad_top + ky, ix = x * r->stride - r->pad_left + kx;
      if (iy < 0 || iy >= r->h || ix < 0 || ix >= r->w) continue;
      ref_add(&sum, (double)r->in[(iy * r->w + ix) * r->cs + c] * (double)weights[(ky * r->kw + kx) * r->cs + c]);
    }
  }
  return sum;
}

/* One output of a pool, over the pixels of the window that exist; 0 if there are none. */
static inline double ref_pool(const ref_window *r, int max, long y, long x, long c) {
  double sum = 0, largest = -HUGE_VAL;
  long count = 0;
  for (long ky = 0; ky < r->kh; ++ky) {
    for (long kx = 0; kx < r->kw; ++kx) {
      long iy = y * r->stride - r->pad_top + ky, ix = x * r->stride - r->pad_left + kx;
      if (iy < 0 || iy >= r->h || ix < 0 || ix >= r->w) continue;
      double v = (double)r->in[(iy * r->w + ix) * r->cs + c];
      sum += v;
      if (v > largest) largest = v;
      ++count;
    }
  }
  if (count == 0) return 0;
  return max ? largest : sum / (double)count;
}

#endif
