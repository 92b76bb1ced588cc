/* Kernels in plain C: the meaning of every slot, and the fallback on any machine.  Written so that a compiler's own
 * vectorizer can help: fixed blocks of floats, constant trip counts, no branches inside.
 *
 * gemm    for half panels of 8 columns: acc[m][8] = 0; for t, l: acc[i][:] += a[i][l] * b[l][:]; then bias, add, act.
 *         4 x 8 accumulators are 8 SSE or NEON registers, which is what such machines can hold beside a and b.  12.7
 *         GFLOP/s with gcc 12 -O2 for x86-64 without further flags (4-wide, no fused multiply-add) on a Zen 4 core.
 * others  one pixel and 16 channels at a time.
 *
 * exp is our own polynomial: the same formula in every table, so that tables agree to a few units in the last place, and no
 * dependence on the C library. */

#ifndef ROTOI_KERNELS_SCALAR
#define ROTOI_KERNELS_SCALAR

#include "config.c"
#include "kernels.c"

/* exp(-x) = 2^n * exp(-r), n = round(-8 x / ln 2) / 8, r = x + n ln 2, |r| <= ln 2 / 16.  ROTOI_ROUND added to a float leaves
 * eight times the nearest eighth in its low bits: the last three choose 2^0 to 2^(7/8) from rotoi_exp_eighths, whose entries
 * have j << 20 taken off in advance, so that adding the bits << 20 adds the whole part of n to the exponent and nothing else.
 * exp(-r) = 1 - r + r^2 * (E2 - E3 r), fitted by us for least relative error, 2.6e-8; without the table it takes two more
 * terms.  x is clamped so that 2^n stays a normal float; NaN passes every clamp of this file, because a comparison with NaN is
 * false.  Without fused multiply-add ln 2 is split so that n * ROTOI_LN2_HIGH is exact; with it one step is good to 3e-8 for
 * |x| < 22 and 2e-7 at 88.  The relative error of a sigmoid or swish is at most that, 2.6e-8 and four roundings of 6e-8. */
#define ROTOI_SIGMOID_MIN -88.0f
#define ROTOI_SIGMOID_MAX 87.0f
#define ROTOI_LOG2E 1.44269502f
#define ROTOI_ROUND 1572864.0f /* 1.5 * 2^20 */
#define ROTOI_LN2 0.693147182f
#define ROTOI_LN2_HIGH 0.69140625f
#define ROTOI_LN2_LOW 0.0017409306f
#define ROTOI_E2 0.500064492f
#define ROTOI_E3 0.166668773f
static const uint32_t rotoi_exp_eighths[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                              0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};

rotoi_inline float rotoi_at_least(float x, float low) {
  return low > x ? low : x;
}
rotoi_inline float rotoi_at_most(float x, float high) {
  return high < x ? high : x;
}

/* 1 + exp(-x); `low` is x, already clamped from below. */
rotoi_inline float rotoi_exp_and_one_scalar(float low) {
  float t = rotoi_at_most(low, ROTOI_SIGMOID_MAX);
  float rounded = ROTOI_ROUND - t * ROTOI_LOG2E;
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  float n = rounded - ROTOI_ROUND;
  float r = (t + n * ROTOI_LN2_HIGH) + n * ROTOI_LN2_LOW;
  float p = -ROTOI_E3;
  p = p * r + ROTOI_E2;
  p = p * r - 1;
  p = p * r + 1;
  bits = (bits << 20) + rotoi_exp_eighths[bits & 7];
  float power;
  memcpy(&power, &bits, sizeof power);
  return 1 + p * power;
}

/* The swishes clamp x from below where the result is zero anyway, so that -infinity gives (nearly) zero, not NaN. */
rotoi_inline float rotoi_act_scalar(float x, int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return rotoi_at_least(x, 0);
    case ROTO_ACT_RELU6:
      return rotoi_at_most(rotoi_at_least(x, 0), 6);
    case ROTO_ACT_SIGMOID:
      return 1 / rotoi_exp_and_one_scalar(rotoi_at_least(x, ROTOI_SIGMOID_MIN));
    case ROTO_ACT_SWISH:
      x = rotoi_at_least(x, ROTOI_SIGMOID_MIN);
      return x / rotoi_exp_and_one_scalar(x);
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_at_most(rotoi_at_least(x * (1.0f / 6) + 0.5f, 0), 1);
    case ROTO_ACT_HARD_SWISH:
      return rotoi_at_least(x, -3) * rotoi_at_most(rotoi_at_least(x * (1.0f / 6) + 0.5f, 0), 1);
    default:
      return x;
  }
}

/* The same, once in the program: for where an activation is a small part of the work. */
rotoi_noinline float rotoi_act_rare(float x, int act) {
  return rotoi_act_scalar(x, act);
}

/* CALL(act) with a constant for every activation, so that a loop holds one formula and keeps its constants in registers. */
#define ROTOI_ACT_SWITCH(act, CALL) \
  switch (act) {                    \
    case ROTO_ACT_RELU:             \
      CALL(ROTO_ACT_RELU);          \
      break;                        \
    case ROTO_ACT_RELU6:            \
      CALL(ROTO_ACT_RELU6);         \
      break;                        \
    case ROTO_ACT_SIGMOID:          \
      CALL(ROTO_ACT_SIGMOID);       \
      break;                        \
    case ROTO_ACT_SWISH:            \
      CALL(ROTO_ACT_SWISH);         \
      break;                        \
    case ROTO_ACT_HARD_SIGMOID:     \
      CALL(ROTO_ACT_HARD_SIGMOID);  \
      break;                        \
    case ROTO_ACT_HARD_SWISH:       \
      CALL(ROTO_ACT_HARD_SWISH);    \
      break;                        \
    default:                        \
      CALL(ROTO_ACT_NONE);          \
  }

static inline int rotoi_has_curve(int act) {
  return act == ROTO_ACT_SWISH || act == ROTO_ACT_HARD_SWISH;
}

/* The curve (kernels.c) of a swish whose result is stored as `code` says.  As many bits as the deepest fall between results that
 * fit a byte leaves room for; steps as wide as need be for the last entry to be below a quarter of a byte's step, or to lie where
 * either sign has left the bytes. */
static inline void rotoi_make_curve(int act, rotoi_code code, rotoi_fall *curve) {
  float deepest = 0, unit;
  for (float x = 0; x < 1.6f; x += 1.0f / 64) { /* swish is lowest at -1.28, hard swish at -1.5 */
    const float fall = -rotoi_act_rare(-x, act) * code.inverse;
    if (fall > deepest) deepest = fall;
    if (fall >= code.zero && x * code.inverse - fall >= 255 - code.zero) break;
  }
  curve->bits = 6, curve->step = 0;
  while (curve->bits > 0 && deepest * (float)(1 << curve->bits) > 255) --curve->bits;
  unit = (float)(1 << curve->bits) * code.inverse;
  for (; curve->step < 7; ++curve->step) {
    const float x = (float)(255 << curve->step) / unit, fall = -rotoi_act_rare(-x, act) * code.inverse;
    if (fall < 0.25f || (fall >= code.zero && x * code.inverse - fall >= 255 - code.zero)) break;
  }
  for (int i = 0; i < 256; ++i) {
    const float x = ((float)(i << curve->step) + 0.5f * (float)((1 << curve->step) - 1)) / unit;
    const float fall = 0.5f - rotoi_act_rare(-x, act) * unit;
    curve->fall[i] = (unsigned char)(fall < 255 ? fall : 255);
  }
}

rotoi_inline void rotoi_gemm_rows_scalar(const rotoi_gemm *g, const size_t m) {
  for (size_t j0 = 0; j0 < ROTOI_LANES; j0 += 8) {
    float acc[4][8];
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < 8; ++j) acc[i][j] = g->bias ? g->bias[j0 + j] : 0;
    }
    const float *b = g->b + j0;
    const float *const *a = g->a;
    for (size_t t = 0; t < g->taps; ++t, a += m) {
      for (size_t l = 0; l < g->k; ++l, b += ROTOI_LANES) {
        for (size_t i = 0; i < m; ++i) {
          float x = a[i][l];
          for (size_t j = 0; j < 8; ++j) acc[i][j] += x * b[j];
        }
      }
    }
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < 8; ++j) {
        float x = acc[i][j];
        if (g->add) x += g->add[i * g->add_stride + j0 + j];
        g->c[i * g->c_stride + j0 + j] = rotoi_act_rare(x, g->act);
      }
    }
  }
}

static void rotoi_gemm_4x16_scalar(const rotoi_gemm *g) {
  ROTO_ASSERT(g->nv == 1);
  switch (g->m) {
    case 1:
      rotoi_gemm_rows_scalar(g, 1);
      break;
    case 2:
      rotoi_gemm_rows_scalar(g, 2);
      break;
    case 3:
      rotoi_gemm_rows_scalar(g, 3);
      break;
    case 4:
      rotoi_gemm_rows_scalar(g, 4);
      break;
    default:
      ROTO_ASSERT(0);
  }
}

/* Which rows (or columns) [first, end) of the window of output `position` lie inside a picture of `limit` rows. */
rotoi_inline void rotoi_clip_window(size_t position, size_t stride, size_t pad, size_t size, size_t limit, size_t *first,
                                    size_t *end) {
  size_t start = position * stride; /* of the window, `pad` to the right */
  *first = start < pad ? pad - start : 0;
  *end = limit + pad > start ? limit + pad - start : 0;
  if (*end > size) *end = size;
  if (*first > *end) *first = *end;
}

static void rotoi_depthwise_scalar(const rotoi_depthwise *d) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      for (size_t c = d->c0; c < d->c1; c += ROTOI_LANES) {
        float acc[ROTOI_LANES];
        for (size_t j = 0; j < ROTOI_LANES; ++j) acc[j] = d->bias ? d->bias[c + j] : 0;
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            size_t iy = y * d->stride + ky - d->pad_top, ix = x * d->stride + kx - d->pad_left;
            const float *in = d->in + (iy * d->w_in + ix) * d->cs + c;
            const float *w = d->w + (ky * d->kw + kx) * d->cs + c;
            for (size_t j = 0; j < ROTOI_LANES; ++j) acc[j] += in[j] * w[j];
          }
        }
        float *out = d->out + (y * d->ow + x) * d->cs + c;
        for (size_t j = 0; j < ROTOI_LANES; ++j) {
          out[j] = rotoi_act_rare(acc[j], d->act);
          if (d->sums) d->sums[c + j] += out[j];
        }
      }
    }
  }
}

/* A window without a single pixel inside gives 0. */
static void rotoi_pool_scalar(const rotoi_pool *p) {
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      float share = p->max || !count ? 1 : 1.0f / (float)count;
      for (size_t c = 0; c < p->cs; ++c) {
        float acc = p->max && count ? -ROTOI_INFINITY : 0;
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            size_t iy = y * p->stride + ky - p->pad_top, ix = x * p->stride + kx - p->pad_left;
            float v = p->in[(iy * p->w_in + ix) * p->cs + c];
            acc = p->max ? rotoi_at_least(v, acc) : acc + v;
          }
        }
        p->out[(y * p->ow + x) * p->cs + c] = acc * share;
      }
    }
  }
}

static void rotoi_dense_scalar(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  for (size_t l = 0; l < k; ++l, w += stride) {
    for (size_t j = 0; j < n; ++j) sums[j] += x[l] * w[j];
  }
}

static void rotoi_channel_sum_scalar(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  for (size_t c = 0; c < cs; ++c) out[c] = 0;
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; ++c) out[c] += in[p * cs + c];
  }
  for (size_t c = 0; c < cs; ++c) out[c] *= scale;
}

static void rotoi_add_scalar(const float *a, const float *b, size_t n, int act, float *out) {
  for (size_t i = 0; i < n; ++i) out[i] = rotoi_act_scalar(b ? a[i] + b[i] : a[i], act);
}

static void rotoi_scale_scalar(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; ++c) out[p * cs + c] = rotoi_act_scalar(a[p * cs + c] * s[c], act);
  }
}

static const rotoi_kernels rotoi_kernels_scalar = {ROTO_ISA_SCALAR,
                                                   4,
                                                   16,
                                                   rotoi_gemm_4x16_scalar,
                                                   rotoi_depthwise_scalar,
                                                   rotoi_pool_scalar,
                                                   rotoi_dense_scalar,
                                                   rotoi_channel_sum_scalar,
                                                   rotoi_add_scalar,
                                                   rotoi_scale_scalar};

#endif
