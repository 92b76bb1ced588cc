/* Checks of one kernel table against ref.h: every slot, exact and random, around every tile edge.  Shared by test_kernels.c,
 * which runs them on the real tables, and test_check.c, which runs them on broken ones.
 *
 * Every buffer ends at a page that may not be touched and starts behind a canary, so reading or writing past an end crashes
 * and writing before the start is seen.  Lanes that are padding hold NaN.  Include roto.h with ROTO_IMPLEMENTATION first. */

#ifndef KERNEL_CHECKS_H
#define KERNEL_CHECKS_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "ref.h"

/* ---- numbers ---- */

static uint64_t kernel_random_state = 1;

static uint32_t random_below(uint32_t limit) {
  kernel_random_state = kernel_random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(kernel_random_state >> 33) % limit;
}

/* Exact: -4..4 without 0, so that a lost term always shows.  Random: (-1, 1). */
static float random_value(int exact) {
  if (exact) return (float)(1 + random_below(4)) * (random_below(2) ? 1.0f : -1.0f);
  return ((float)random_below(1u << 24) - 8388607.5f) / 8388608;
}

static float not_a_number(void) {
  uint32_t bits = 0x7fc00000u;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* ---- guarded memory ---- */

enum { GUARD_FLOATS = 1 << 18, GUARD_CANARY = 16 };
static const float guard_mark = -12345.5f; /* what memory holds that nobody may write */

typedef struct guard {
  float *end, *data;
  size_t count;
} guard;

/* `count` floats that end at the forbidden page, filled with guard_mark.  The mapping is made once a guard. */
static float *guard_take(guard *g, size_t count) {
  if (!g->end) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = GUARD_FLOATS * sizeof(float);
    char *memory = (char *)mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == (char *)MAP_FAILED || mprotect(memory + size, page, PROT_NONE) != 0) {
      printf("no guarded memory\n");
      exit(1);
    }
    g->end = (float *)(void *)(memory + size);
  }
  if (count + GUARD_CANARY > GUARD_FLOATS) {
    printf("a test needs %zu floats of guarded memory, GUARD_FLOATS allows %d\n", count, GUARD_FLOATS - GUARD_CANARY);
    exit(1);
  }
  g->data = g->end - count;
  g->count = count;
  for (float *p = g->data - GUARD_CANARY; p < g->end; ++p) *p = guard_mark;
  return g->data;
}

static float *guard_random(guard *g, size_t count, int exact) {
  float *data = guard_take(g, count);
  for (size_t i = 0; i < count; ++i) data[i] = random_value(exact);
  return data;
}

static int guard_intact(const guard *g) {
  for (int i = 1; i <= GUARD_CANARY; ++i) {
    if (g->data[-i] != guard_mark) return 0;
  }
  return 1;
}

static guard guard_in, guard_weights, guard_bias, guard_other, guard_out, guard_sums;

/* Expected results and their tolerances, in the order of the output buffer; what must not be written is expected unchanged. */
static double expected[GUARD_FLOATS], allowed[GUARD_FLOATS];

static void expect_unchanged(const float *out, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    expected[i] = (double)out[i];
    allowed[i] = 0;
  }
}

/* ---- activations ---- */

static double ref_act(int act, double x) {
  switch (act) {
    case ROTO_ACT_RELU:
      return ref_relu(x);
    case ROTO_ACT_RELU6:
      return ref_relu6(x);
    case ROTO_ACT_SIGMOID:
      return ref_sigmoid(x);
    case ROTO_ACT_SWISH:
      return ref_swish(x);
    case ROTO_ACT_HARD_SIGMOID:
      return ref_hard_sigmoid(x);
    case ROTO_ACT_HARD_SWISH:
      return ref_hard_swish(x);
    default:
      return x;
  }
}

/* Error of an activation itself: the exponentials to 5e-7 of the value (1e-35 absolute where it vanishes), the hard ones to
 * two roundings, the rest exact. */
static double act_tolerance(int act, double x, double y) {
  switch (act) {
    case ROTO_ACT_SIGMOID:
    case ROTO_ACT_SWISH:
      return 5e-7 * fabs(y) + 1e-35;
    case ROTO_ACT_HARD_SIGMOID:
      return ldexp(1, -23);
    case ROTO_ACT_HARD_SWISH:
      return ldexp(fmin(fabs(x), 3) + fabs(y), -23);
    default:
      return 0;
  }
}

/* A result act(x), with x known to `tolerance`: no activation is steeper than 1.1. */
static void expect_act(size_t index, int act, double x, double tolerance) {
  expected[index] = ref_act(act, x);
  allowed[index] = 1.1 * tolerance + act_tolerance(act, x, expected[index]);
}

/* The add slot alone, b NULL, on a grid and on the values where formulas break. */
static inline void check_activations(const rotoi_kernels *kernels) {
  static const float special[] = {0, -0.0f, 1e-40f, -1e-40f, 87, 88, 89, -87, -88, -89, 104, -104, 1e4f, -1e4f, 3e38f, -3e38f};
  enum { GRID = 40000, SPECIAL = sizeof special / sizeof *special };
  const float infinity = (float)HUGE_VAL;
  for (int act = 0; act < ROTO_ACT_COUNT; ++act) {
    float *in = guard_take(&guard_in, GRID + SPECIAL), *out = guard_take(&guard_out, GRID + SPECIAL);
    for (int i = 0; i < GRID; ++i) in[i] = (float)(i - GRID / 2) * (i % 2 ? 100.0f : 8.0f) / (GRID / 2);
    for (int i = 0; i < SPECIAL; ++i) in[GRID + i] = special[i];
    for (size_t i = 0; i < GRID + SPECIAL; ++i) expect_act(i, act, (double)in[i], 0);
    kernels->add(in, NULL, GRID + SPECIAL, act, out);
    size_t wrong = ref_wrong(out, expected, allowed, GRID + SPECIAL);
    CHECK(wrong == 0 && guard_intact(&guard_out), "%s activation %d: %zu wrong", roto_isa_name(kernels->isa), act, wrong);

    const float wild[4] = {infinity, -infinity, not_a_number(), 0};
    float result[4];
    kernels->add(wild, NULL, 4, act, result);
    int saturates = act == ROTO_ACT_RELU6 || act == ROTO_ACT_SIGMOID || act == ROTO_ACT_HARD_SIGMOID;
    int high = saturates ? result[0] == (act == ROTO_ACT_RELU6 ? 6.0f : 1.0f) : result[0] == infinity;
    int low = act == ROTO_ACT_NONE ? result[1] == -infinity : fabsf(result[1]) < 1e-35f;
    CHECK(high && low && result[2] != result[2], "%s activation %d of +inf, -inf, NaN is %g, %g, %g",
          roto_isa_name(kernels->isa), act, (double)result[0], (double)result[1], (double)result[2]);
  }
}

/* ---- matrix product ---- */

static void check_gemm(const rotoi_kernels *kernels, size_t m, size_t nv, size_t taps, size_t k, int exact, int with_bias,
                       int with_add, int act) {
  const float *rows[9 * 16];
  const size_t width = 16 * nv, row_stride = k + random_below(3), strides[] = {0, 3, 16};
  const size_t c_stride = width + strides[random_below(3)], out_count = (m - 1) * c_stride + width;
  /* Rows in shuffled order, some of them the zero row of padding pixels; behind each k values NaN, if there is room. */
  size_t in_count = (taps * m - 1) * row_stride + k;
  float *in = guard_random(&guard_in, in_count, exact);
  for (size_t i = 0; i < in_count; ++i) {
    if (i % row_stride >= k) in[i] = not_a_number();
  }
  static const float zeros[4096] = {0};
  for (size_t i = 0; i < taps * m; ++i) {
    rows[i] = random_below(10) == 0 ? zeros : in + random_below((uint32_t)(taps * m)) * row_stride;
  }
  rows[random_below((uint32_t)(taps * m))] = in + in_count - k; /* the one that ends at the forbidden page */
  const float *b = guard_random(&guard_weights, taps * k * width, exact);
  const float *bias = with_bias ? guard_random(&guard_bias, width, exact) : NULL;
  const float *add = with_add == 1 ? guard_random(&guard_other, out_count, exact) : NULL;
  float *out = guard_take(&guard_out, out_count);
  expect_unchanged(out, out_count);
  if (with_add == 2) {
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < width; ++j) out[i * c_stride + j] = random_value(exact);
    }
    add = out;
  }
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < width; ++j) {
      ref_sum sum = ref_gemm(rows, m, i, taps, k, b, width, j);
      if (bias) ref_add(&sum, (double)bias[j]);
      if (add) ref_add(&sum, (double)add[i * c_stride + j]);
      expect_act(i * c_stride + j, act, sum.value, exact ? 0 : ref_tolerance(taps * k + 2, sum.magnitude));
    }
  }
  rotoi_gemm g = {m, nv, taps, k, rows, b, bias, add, out, c_stride, c_stride, act};
  kernels->gemm(&g);
  size_t wrong = ref_wrong(out, expected, allowed, out_count);
  CHECK(wrong == 0 && guard_intact(&guard_out),
        "%s gemm %zu x %zu, %zu taps of %zu, bias %d, add %d, activation %d, %s: %zu of %zu wrong", roto_isa_name(kernels->isa),
        m, width, taps, k, with_bias, with_add, act, exact ? "exact" : "random", wrong, out_count);
}

static inline void check_gemms(const rotoi_kernels *kernels) {
  static const size_t ks[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 100}, tap_counts[] = {1, 2, 9};
  for (size_t m = 1; m <= kernels->mr; ++m) {
    for (size_t nv = 1; nv <= kernels->nr / 16; ++nv) {
      for (size_t t = 0; t < 3; ++t) {
        for (size_t k = 0; k < sizeof ks / sizeof *ks; ++k) {
          int option = (int)random_below(6);
          check_gemm(kernels, m, nv, tap_counts[t], ks[k], 1, option % 2, option / 2, ROTO_ACT_NONE);
          check_gemm(kernels, m, nv, tap_counts[t], ks[k], 0, option % 2, option / 2, ROTO_ACT_NONE);
          check_gemm(kernels, m, nv, tap_counts[t], ks[k], 0, option % 2, 0, ROTO_ACT_SWISH);
        }
      }
      for (int act = 0; act < ROTO_ACT_COUNT; ++act) {
        for (int option = 0; option < 6; ++option) check_gemm(kernels, m, nv, 1, 3, act <= 2, option % 2, option / 2, act);
      }
    }
  }
  check_gemm(kernels, kernels->mr, kernels->nr / 16, 1, 4000, 0, 0, 0, ROTO_ACT_NONE);
}

/* ---- windows: depthwise convolution and pools ---- */

/* A picture of h x w, channels rounded up to cs with NaN in the rest, and the output size its padding gives; 0 if none. */
static int random_window(ref_window *r, size_t channels, int exact, long pad_bottom, long pad_right, long *oh, long *ow) {
  if (r->h + r->pad_top + pad_bottom < r->kh || r->w + r->pad_left + pad_right < r->kw) return 0;
  *oh = (r->h + r->pad_top + pad_bottom - r->kh) / r->stride + 1;
  *ow = (r->w + r->pad_left + pad_right - r->kw) / r->stride + 1;
  r->cs = (long)((channels + 15) / 16 * 16);
  float *in = guard_random(&guard_in, (size_t)(r->h * r->w * r->cs), exact);
  for (long i = 0; i < r->h * r->w * r->cs; ++i) {
    if (i % r->cs >= (long)channels) in[i] = not_a_number();
  }
  r->in = in;
  return 1;
}

/* Padding lanes of the output may hold anything. */
static void forgive_padding(float *out, size_t count, size_t cs, size_t channels) {
  for (size_t i = 0; i < count; ++i) {
    if (i % cs >= channels) out[i] = 0, expected[i] = allowed[i] = 0;
  }
}

static void check_depthwise(const rotoi_kernels *kernels, ref_window *r, size_t channels, int exact, int act, int with_sums,
                            long pad_bottom, long pad_right) {
  long oh, ow;
  if (!random_window(r, channels, exact, pad_bottom, pad_right, &oh, &ow)) return;
  size_t cs = (size_t)r->cs, out_count = (size_t)(oh * ow) * cs;
  const float *weights = guard_random(&guard_weights, (size_t)(r->kh * r->kw) * cs, exact);
  const float *bias = random_below(4) ? guard_random(&guard_bias, cs, exact) : NULL;
  float *out = guard_take(&guard_out, out_count), *sums = with_sums ? guard_random(&guard_sums, cs, exact) : NULL;
  /* Some calls do a part of the channels and rows, as the threads do. */
  size_t c0 = 0, c1 = cs, y0 = 0, y1 = (size_t)oh;
  if (random_below(2)) {
    c0 = random_below((uint32_t)(cs / 16)) * 16, c1 = c0 + 16;
    y0 = random_below((uint32_t)oh), y1 = y0 + 1 + random_below((uint32_t)(oh - (long)y0));
  }
  double sum_expected[64] = {0}, sum_allowed[64] = {0};
  for (size_t c = 0; sums && c < cs; ++c) sum_expected[c] = (double)sums[c];
  expect_unchanged(out, out_count);
  for (size_t y = y0; y < y1; ++y) {
    for (size_t x = 0; x < (size_t)ow; ++x) {
      for (size_t c = c0; c < c1; ++c) {
        size_t index = (y * (size_t)ow + x) * cs + c;
        ref_sum sum = ref_depthwise(r, weights, (long)y, (long)x, (long)c);
        if (bias) ref_add(&sum, (double)bias[c]);
        expect_act(index, act, sum.value, exact ? 0 : ref_tolerance((size_t)(r->kh * r->kw) + 1, sum.magnitude));
        sum_expected[c] += expected[index];
        sum_allowed[c] += allowed[index] + (exact ? 0 : ldexp(fabs(expected[index]) + fabs(sum_expected[c]), -24));
      }
    }
  }
  rotoi_depthwise d = {r->in,
                       weights,
                       bias,
                       out,
                       sums,
                       (size_t)r->h,
                       (size_t)r->w,
                       (size_t)oh,
                       (size_t)ow,
                       cs,
                       (size_t)r->kh,
                       (size_t)r->kw,
                       (size_t)r->stride,
                       (size_t)r->pad_top,
                       (size_t)r->pad_left,
                       c0,
                       c1,
                       y0,
                       y1,
                       act};
  kernels->depthwise(&d);
  forgive_padding(out, out_count, cs, channels);
  size_t wrong = ref_wrong(out, expected, allowed, out_count);
  size_t wrong_sums = sums ? ref_wrong(sums, sum_expected, sum_allowed, channels) : 0;
  CHECK(wrong == 0 && wrong_sums == 0 && guard_intact(&guard_out) && (!sums || guard_intact(&guard_sums)),
        "%s depthwise %ld x %ld of %ld x %ld x %zu, stride %ld, padding %ld %ld %ld %ld, channels %zu..%zu, rows %zu..%zu, "
        "activation %d, %s: %zu of %zu and %zu sums wrong",
        roto_isa_name(kernels->isa), r->kh, r->kw, r->h, r->w, channels, r->stride, r->pad_top, r->pad_left, pad_bottom,
        pad_right, c0, c1, y0, y1, act, exact ? "exact" : "random", wrong, out_count, wrong_sums);
}

static void check_pool(const rotoi_kernels *kernels, ref_window *r, size_t channels, int max, int exact, long pad_bottom,
                       long pad_right) {
  long oh, ow;
  if (!random_window(r, channels, exact, pad_bottom, pad_right, &oh, &ow)) return;
  size_t cs = (size_t)r->cs, out_count = (size_t)(oh * ow) * cs;
  float *out = guard_take(&guard_out, out_count);
  size_t y0 = random_below((uint32_t)oh), y1 = y0 + 1 + random_below((uint32_t)(oh - (long)y0));
  expect_unchanged(out, out_count);
  for (size_t y = y0; y < y1; ++y) {
    for (size_t x = 0; x < (size_t)ow; ++x) {
      for (size_t c = 0; c < cs; ++c) {
        size_t index = (y * (size_t)ow + x) * cs + c;
        expected[index] = ref_pool(r, max, (long)y, (long)x, (long)c);
        /* The mean multiplies by a rounded 1 / count; terms are at most 4. */
        allowed[index] = max ? 0 : ref_tolerance((size_t)(r->kh * r->kw), exact ? 4 : 1);
      }
    }
  }
  rotoi_pool p = {r->in,
                  out,
                  (size_t)r->h,
                  (size_t)r->w,
                  (size_t)oh,
                  (size_t)ow,
                  cs,
                  (size_t)r->kh,
                  (size_t)r->kw,
                  (size_t)r->stride,
                  (size_t)r->pad_top,
                  (size_t)r->pad_left,
                  y0,
                  y1,
                  max};
  kernels->pool(&p);
  forgive_padding(out, out_count, cs, channels);
  size_t wrong = ref_wrong(out, expected, allowed, out_count);
  CHECK(wrong == 0 && guard_intact(&guard_out),
        "%s %s pool %ld x %ld of %ld x %ld x %zu, stride %ld, padding %ld %ld %ld %ld: %zu of %zu wrong",
        roto_isa_name(kernels->isa), max ? "max" : "mean", r->kh, r->kw, r->h, r->w, channels, r->stride, r->pad_top,
        r->pad_left, pad_bottom, pad_right, wrong, out_count);
}

/* Every padding on two sides, random padding on the others; widths around the tiles of 7 and 8. */
static inline void check_windows(const rotoi_kernels *kernels) {
  static const long kernel_sizes[] = {1, 2, 3, 5, 7}, widths[] = {1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 28};
  for (size_t ik = 0; ik < 5; ++ik) {
    long k = kernel_sizes[ik];
    for (long stride = 1; stride <= 3; ++stride) {
      for (size_t iw = 0; iw < sizeof widths / sizeof *widths; ++iw) {
        for (long pad = 0; pad < k * k; ++pad) {
          ref_window r = {NULL, 1 + (long)random_below(6), widths[iw], 0, k, k, stride, pad / k, pad % k};
          if (random_below(8) == 0) r.kh = 1 + (long)random_below(4);
          if (r.pad_top >= r.kh) r.pad_top = r.kh - 1;
          long bottom = (long)random_below((uint32_t)r.kh), right = (long)random_below((uint32_t)k);
          size_t channels = 1 + random_below(48);
          int act = (int)random_below(ROTO_ACT_COUNT), sums = (int)random_below(2);
          check_depthwise(kernels, &r, channels, 1, (int)random_below(3), sums, bottom, right);
          check_depthwise(kernels, &r, channels, 0, act, sums, bottom, right);
          if (pad % 3 == 0) check_pool(kernels, &r, channels, pad % 2 == 0, 1, bottom, right);
          if (pad % 3 == 1) check_pool(kernels, &r, channels, pad % 2 == 0, 0, bottom, right);
        }
      }
    }
  }
}

/* ---- the rest ---- */

/* Rows of n columns `stride` floats apart, whose last ends up to 15 floats before what may be read. */
static inline void check_dense(const rotoi_kernels *kernels, size_t n, size_t k, size_t stride, int exact) {
  const size_t width = (n + 15) / 16 * 16;
  const float *x = guard_random(&guard_in, k, exact), *w = guard_random(&guard_weights, (k - 1) * stride + width, exact);
  float *out = guard_random(&guard_out, width, exact);
  for (size_t j = 0; j < n; ++j) {
    ref_sum sum = {0, 0};
    ref_add(&sum, (double)out[j]);
    for (size_t l = 0; l < k; ++l) ref_add(&sum, (double)x[l] * (double)w[l * stride + j]);
    expected[j] = sum.value;
    allowed[j] = exact ? 0 : ref_tolerance(k + 1, sum.magnitude);
  }
  kernels->dense(x, w, k, stride, n, out);
  size_t wrong = ref_wrong(out, expected, allowed, n);
  CHECK(wrong == 0 && guard_intact(&guard_out), "%s dense, %zu rows of %zu, %zu apart: %zu wrong", roto_isa_name(kernels->isa),
        k, n, stride, wrong);
}

static inline void check_denses(const rotoi_kernels *kernels) {
  static const size_t ks[] = {1, 2, 3, 4, 5, 8, 33},
                      columns[] = {1, 4, 15, 16, 17, 32, 33, 48, 54, 64, 65, 70, 80, 113, 136, 200};
  for (size_t i = 0; i < sizeof ks / sizeof *ks; ++i) {
    for (size_t j = 0; j < sizeof columns / sizeof *columns; ++j) {
      for (int exact = 0; exact < 2; ++exact) check_dense(kernels, columns[j], ks[i], columns[j] + random_below(2) * 16, exact);
    }
  }
}

static inline void check_channel_sum(const rotoi_kernels *kernels) {
  static const size_t pixel_counts[] = {1, 2, 3, 49, 196};
  for (size_t cs = 16; cs <= 176; cs += 16) {
    for (size_t ip = 0; ip < 5; ++ip) {
      for (int exact = 0; exact < 2; ++exact) {
        size_t pixels = pixel_counts[ip];
        const float *in = guard_random(&guard_in, pixels * cs, exact);
        float scale = exact ? 0.5f : 1.0f / (float)pixels, *out = guard_take(&guard_out, cs);
        for (size_t c = 0; c < cs; ++c) {
          ref_sum sum = {0, 0};
          for (size_t p = 0; p < pixels; ++p) ref_add(&sum, (double)in[p * cs + c]);
          expected[c] = (double)scale * sum.value;
          allowed[c] = exact ? 0 : (double)scale * ref_tolerance(pixels + 1, sum.magnitude);
        }
        kernels->channel_sum(in, pixels, cs, scale, out);
        size_t wrong = ref_wrong(out, expected, allowed, cs);
        CHECK(wrong == 0 && guard_intact(&guard_out), "%s channel sum of %zu x %zu: %zu wrong", roto_isa_name(kernels->isa),
              pixels, cs, wrong);
      }
    }
  }
}

/* add: b given or not, out apart, out = a, out = b.  scale: out apart or out = a. */
static inline void check_elementwise(const rotoi_kernels *kernels) {
  for (int act = 0; act < ROTO_ACT_COUNT; ++act) {
    for (size_t n = 4; n <= 84; n += 4) {
      for (int alias = 0; alias < 4; ++alias) {
        int exact = act <= 2 && n % 8 == 0;
        float *a = guard_random(&guard_in, n, exact);
        float *b = alias == 3 ? NULL : guard_random(&guard_other, n, exact), *out = guard_take(&guard_out, n);
        for (size_t i = 0; i < n; ++i) {
          ref_sum sum = {0, 0};
          ref_add(&sum, (double)a[i]);
          if (b) ref_add(&sum, (double)b[i]);
          expect_act(i, act, sum.value, exact ? 0 : ref_tolerance(2, sum.magnitude));
        }
        if (alias == 1) out = a;
        if (alias == 2) out = b;
        kernels->add(a, b, n, act, out);
        size_t wrong = ref_wrong(out, expected, allowed, n);
        CHECK(wrong == 0 && guard_intact(&guard_out) && guard_intact(&guard_in),
              "%s add of %zu, aliasing %d, activation %d: %zu wrong", roto_isa_name(kernels->isa), n, alias, act, wrong);
      }
    }
    for (size_t cs = 16; cs <= 80; cs += 16) {
      for (size_t pixels = 1; pixels <= 4; ++pixels) {
        int exact = act <= 2 && pixels % 2 == 0;
        float *a = guard_random(&guard_in, pixels * cs, exact), *s = guard_random(&guard_other, cs, exact);
        float *out = pixels % 3 == 0 ? a : guard_take(&guard_out, pixels * cs);
        for (size_t i = 0; i < pixels * cs; ++i) {
          double product = (double)a[i] * (double)s[i % cs];
          expect_act(i, act, product, exact ? 0 : ref_tolerance(1, fabs(product)));
        }
        kernels->scale(a, s, pixels, cs, act, out);
        size_t wrong = ref_wrong(out, expected, allowed, pixels * cs);
        CHECK(wrong == 0 && guard_intact(&guard_out) && guard_intact(&guard_in),
              "%s scale of %zu x %zu, activation %d: %zu wrong", roto_isa_name(kernels->isa), pixels, cs, act, wrong);
      }
    }
  }
}

#endif
