/* AVX2 kernels: AVX2 and FMA.  The same formulas in the same order as kernels_avx512.c, so both give the same bits.
 *
 * gemm       for t < taps, l < k: load b[2]; for i < 6: x = broadcast a[i][l]; acc0[i] += x * b[0]; acc1[i] += x * b[1]
 *            12 accumulators + 2 b + 1 x = 15 of 16 registers.  12 fused multiply-adds a step hide a latency of 4 at two a
 *            cycle (8 needed) and come with 8 loads, so the multipliers are the limit.
 * depthwise  for y, tile of x: for c by 8: for ky: w[kw] = load; for each input pixel: p = load; acc[i] += p * w[kx] wherever
 *            i * stride + kx is that pixel; then activation and sums over a chunk of channels, in L1
 *            8 accumulators + 5 w + 1 p = 14 of 16 registers.
 *
 * Measured on one core of a Zen 4 EPYC (two 256-bit multiply-adds a cycle at 3.7 GHz: 118 GFLOP/s, the peak of its AVX-512 too),
 * gcc 12 -O2: EfficientNet-B0 at 224x224 1.09 times the time of the AVX-512 table, 59 % of peak, B5 1.07 and 66 %.  Heights below 4
 * wait for latency: one accumulator a column, so that results do not depend on the tile. */

#ifndef ROTOI_KERNELS_AVX2
#define ROTOI_KERNELS_AVX2

#include "config.c"
#include "kernels.c"
#include "kernels_scalar.c"

#ifdef ROTOI_X86

/* 1 + exp(-x), see kernels_scalar.c; `low` is x, already clamped from below. */
rotoi_inline ROTOI_AVX2 __m256 rotoi_exp_and_one_avx2(__m256 low) {
  __m256 t = _mm256_min_ps(_mm256_set1_ps(ROTOI_SIGMOID_MAX), low);
  __m256 rounded = _mm256_fnmadd_ps(t, _mm256_set1_ps(ROTOI_LOG2E), _mm256_set1_ps(ROTOI_ROUND));
  __m256 n = _mm256_sub_ps(rounded, _mm256_set1_ps(ROTOI_ROUND));
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(ROTOI_LN2), t);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(-ROTOI_E3), r, _mm256_set1_ps(ROTOI_E2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(-1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
  const __m256i eighths = _mm256_loadu_si256((const __m256i *)(const void *)rotoi_exp_eighths);
  __m256i bits = _mm256_castps_si256(rounded);
  __m256i power = _mm256_permutevar8x32_epi32(eighths, bits); /* by the lowest three bits */
  power = _mm256_add_epi32(power, _mm256_slli_epi32(bits, 20));
  return _mm256_fmadd_ps(p, _mm256_castsi256_ps(power), _mm256_set1_ps(1));
}

rotoi_inline ROTOI_AVX2 __m256 rotoi_hard_sigmoid_avx2(__m256 x) {
  x = _mm256_fmadd_ps(x, _mm256_set1_ps(1.0f / 6), _mm256_set1_ps(0.5f));
  return _mm256_min_ps(_mm256_set1_ps(1), _mm256_max_ps(_mm256_setzero_ps(), x));
}

rotoi_inline ROTOI_AVX2 __m256 rotoi_act_avx2(__m256 x, const int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return _mm256_max_ps(_mm256_setzero_ps(), x);
    case ROTO_ACT_RELU6:
      return _mm256_min_ps(_mm256_set1_ps(6), _mm256_max_ps(_mm256_setzero_ps(), x));
    case ROTO_ACT_SIGMOID:
      return _mm256_div_ps(_mm256_set1_ps(1), rotoi_exp_and_one_avx2(_mm256_max_ps(_mm256_set1_ps(ROTOI_SIGMOID_MIN), x)));
    case ROTO_ACT_SWISH:
      x = _mm256_max_ps(_mm256_set1_ps(ROTOI_SIGMOID_MIN), x);
      return _mm256_div_ps(x, rotoi_exp_and_one_avx2(x));
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_hard_sigmoid_avx2(x);
    case ROTO_ACT_HARD_SWISH:
      return _mm256_mul_ps(_mm256_max_ps(_mm256_set1_ps(-3), x), rotoi_hard_sigmoid_avx2(x));
    default:
      return x;
  }
}

/* c = act(c) on rows of 8 * vectors floats just written, which are in L1; sums, if not NULL, += each column, rows in order.
 * The activations of many instructions run as this second pass: inlined behind 12 accumulators they would be as many copies in
 * every tile size. */
rotoi_inline ROTOI_AVX2 void rotoi_finish_rows_avx2(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                    const int act) {
  for (size_t v = 0; v < vectors; ++v, c += 8) {
    __m256 sum = sums ? _mm256_loadu_ps(sums + 8 * v) : _mm256_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      __m256 x = rotoi_act_avx2(_mm256_loadu_ps(c + i * stride), act);
      _mm256_storeu_ps(c + i * stride, x);
      sum = _mm256_add_ps(sum, x);
    }
    if (sums) _mm256_storeu_ps(sums + 8 * v, sum);
  }
}

rotoi_noinline ROTOI_AVX2 void rotoi_finish_avx2(float *c, size_t stride, size_t rows, size_t vectors, float *sums, int act){
#define ROTOI_CALL(constant) rotoi_finish_rows_avx2(c, stride, rows, vectors, sums, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

/* Activations cheap enough for registers are a clamp: NONE, RELU, RELU6.  The bounds; 0 if `act` needs rotoi_finish. */
rotoi_inline ROTOI_AVX2 int rotoi_clamp_avx2(int act, __m256 *low, __m256 *high) {
  const int relu = act == ROTO_ACT_RELU || act == ROTO_ACT_RELU6;
  *low = _mm256_set1_ps(relu ? 0 : -ROTOI_INFINITY);
  *high = _mm256_set1_ps(act == ROTO_ACT_RELU6 ? 6 : ROTOI_INFINITY);
  return relu || act == ROTO_ACT_NONE;
}

rotoi_inline ROTOI_AVX2 void rotoi_gemm_tile_avx2(const rotoi_gemm *g, const size_t m) {
  const __m256 bias0 = g->bias ? _mm256_loadu_ps(g->bias) : _mm256_setzero_ps();
  const __m256 bias1 = g->bias ? _mm256_loadu_ps(g->bias + 8) : _mm256_setzero_ps();
  __m256 acc0[6], acc1[6]; /* not acc[6][2], nor a loop that changes acc after this one: clang 14 leaves it in memory */
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const float *b = g->b;
  const float *const *a = g->a;
  const size_t k = g->k;
  for (size_t t = g->taps; t != 0; --t, a += m) {
    for (size_t l = 0; l < k; ++l, b += 16) {
      __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        __m256 x = _mm256_set1_ps(a[i][l]);
        acc0[i] = _mm256_fmadd_ps(x, b0, acc0[i]);
        acc1[i] = _mm256_fmadd_ps(x, b1, acc1[i]);
      }
    }
  }
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(g->act, &low, &high);
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    __m256 x0 = acc0[i], x1 = acc1[i];
    float *c = g->c + i * g->c_stride;
    if (g->add) {
      const float *add = g->add + i * g->add_stride;
      x0 = _mm256_add_ps(x0, _mm256_loadu_ps(add));
      x1 = _mm256_add_ps(x1, _mm256_loadu_ps(add + 8));
    }
    _mm256_storeu_ps(c, _mm256_min_ps(high, _mm256_max_ps(low, x0)));
    _mm256_storeu_ps(c + 8, _mm256_min_ps(high, _mm256_max_ps(low, x1)));
  }
  if (!clamp) rotoi_finish_avx2(g->c, g->c_stride, m, 2, NULL, g->act);
}

static ROTOI_AVX2 void rotoi_gemm_6x16_avx2(const rotoi_gemm *g) {
  ROTO_ASSERT(g->nv == 1);
  switch (g->m) {
    case 1:
      rotoi_gemm_tile_avx2(g, 1);
      break;
    case 2:
      rotoi_gemm_tile_avx2(g, 2);
      break;
    case 3:
      rotoi_gemm_tile_avx2(g, 3);
      break;
    case 4:
      rotoi_gemm_tile_avx2(g, 4);
      break;
    case 5:
      rotoi_gemm_tile_avx2(g, 5);
      break;
    case 6:
      rotoi_gemm_tile_avx2(g, 6);
      break;
    default:
      ROTO_ASSERT(0);
  }
}

/* Outputs x .. x + tile of row y, as many as there are.  Each pixel of the input is loaded once a row of the kernel and meets
 * all its taps; pixels outside the picture are left out. */
rotoi_inline ROTOI_AVX2 void rotoi_depthwise_tile_avx2(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile,
                                                       const size_t kw, const size_t stride) {
  const size_t cs = d->cs, w_in = d->w_in, n = d->ow - x < tile ? d->ow - x : tile, span = (tile - 1) * stride + kw;
  size_t ky0, ky1, column[20]; /* of input column j: its place in a row, or ROTOI_OUTSIDE */
  rotoi_clip_window(y, stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
  for (size_t j = 0; j < span; ++j) {
    const size_t x_in = x * stride + j - d->pad_left; /* wraps below zero */
    column[j] = x_in < w_in ? x_in * cs : ROTOI_OUTSIDE;
  }
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(d->act, &low, &high);
  float *const result = d->out + (y * d->ow + x) * cs;
  for (size_t c0 = d->c0, c1; c0 < d->c1; c0 = c1) {
    c1 = d->c1 - c0 < ROTOI_DEPTHWISE_CHUNK ? d->c1 : c0 + ROTOI_DEPTHWISE_CHUNK;
    for (size_t c = c0; c < c1; c += 8) {
      const __m256 bias = d->bias ? _mm256_loadu_ps(d->bias + c) : _mm256_setzero_ps();
      __m256 acc[8];
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) acc[i] = bias;
      const float *row = d->in + (y * stride + ky0 - d->pad_top) * w_in * cs + c, *w = d->w + ky0 * kw * cs + c;
      for (size_t ky = ky0; ky < ky1; ++ky, row += w_in * cs, w += kw * cs) {
        __m256 weight[5];
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm256_loadu_ps(w + kx * cs);
        ROTOI_UNROLL
        for (size_t j = 0; j < span; ++j) {
          if (column[j] == ROTOI_OUTSIDE) continue;
          const __m256 pixel = _mm256_loadu_ps(row + column[j]);
          ROTOI_UNROLL
          for (size_t kx = 0; kx < kw; ++kx) {
            const size_t i = (j - kx) / stride;
            if (j >= kx && i * stride == j - kx && i < tile) acc[i] = _mm256_fmadd_ps(pixel, weight[kx], acc[i]);
          }
        }
      }
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) {
        if (i < n) _mm256_storeu_ps(result + i * cs + c, _mm256_min_ps(high, _mm256_max_ps(low, acc[i])));
      }
    }
    if (clamp && !d->sums) continue;
    rotoi_finish_avx2(result + c0, cs, n, (c1 - c0) / 8, d->sums ? d->sums + c0 : NULL, clamp ? ROTO_ACT_NONE : d->act);
  }
}

/* Tiles of 7 where they fit: 224 is divided by 2 down to 7. */
rotoi_inline ROTOI_AVX2 void rotoi_depthwise_rows_avx2(const rotoi_depthwise *d, const size_t kw, const size_t stride) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    if (d->ow % 7 == 0) {
      for (size_t x = 0; x < d->ow; x += 7) rotoi_depthwise_tile_avx2(d, y, x, 7, kw, stride);
    } else {
      for (size_t x = 0; x < d->ow; x += 8) rotoi_depthwise_tile_avx2(d, y, x, 8, kw, stride);
    }
  }
}

/* Any kernel, pixel by pixel. */
static ROTOI_AVX2 void rotoi_depthwise_any_avx2(const rotoi_depthwise *d) {
  const size_t cs = d->cs;
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(d->act, &low, &high);
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      const size_t first = ((y * d->stride + ky0 - d->pad_top) * d->w_in + x * d->stride + kx0 - d->pad_left) * cs;
      float *const result = d->out + (y * d->ow + x) * cs;
      for (size_t c = d->c0; c < d->c1; c += 8) {
        __m256 acc = d->bias ? _mm256_loadu_ps(d->bias + c) : _mm256_setzero_ps();
        for (size_t ky = ky0, in = first + c; ky < ky1; ++ky, in += d->w_in * cs) {
          const float *w = d->w + ky * d->kw * cs + c;
          for (size_t kx = kx0; kx < kx1; ++kx) {
            acc = _mm256_fmadd_ps(_mm256_loadu_ps(d->in + (in + (kx - kx0) * cs)), _mm256_loadu_ps(w + kx * cs), acc);
          }
        }
        _mm256_storeu_ps(result + c, _mm256_min_ps(high, _mm256_max_ps(low, acc)));
      }
      if (clamp && !d->sums) continue;
      rotoi_finish_avx2(result + d->c0, cs, 1, (d->c1 - d->c0) / 8, d->sums ? d->sums + d->c0 : NULL,
                        clamp ? ROTO_ACT_NONE : d->act);
    }
  }
}

static ROTOI_AVX2 void rotoi_depthwise_avx2(const rotoi_depthwise *d) {
  if (d->kw == 3 && d->stride == 1) {
    rotoi_depthwise_rows_avx2(d, 3, 1);
  } else if (d->kw == 3 && d->stride == 2) {
    rotoi_depthwise_rows_avx2(d, 3, 2);
  } else if (d->kw == 5 && d->stride == 1) {
    rotoi_depthwise_rows_avx2(d, 5, 1);
  } else if (d->kw == 5 && d->stride == 2) {
    rotoi_depthwise_rows_avx2(d, 5, 2);
  } else {
    rotoi_depthwise_any_avx2(d);
  }
}

static ROTOI_AVX2 void rotoi_pool_avx2(const rotoi_pool *p) {
  const size_t cs = p->cs, row = p->w_in * cs;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m256 share = _mm256_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      const __m256 start = _mm256_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
      const size_t first = ((y * p->stride + ky0 - p->pad_top) * p->w_in + x * p->stride + kx0 - p->pad_left) * cs;
      for (size_t c = 0; c < cs; c += 8) {
        __m256 acc = start;
        size_t in = first + c;
        for (size_t ky = ky0; ky < ky1; ++ky, in += row) {
          for (size_t kx = 0; kx < kx1 - kx0; ++kx) {
            __m256 v = _mm256_loadu_ps(p->in + (in + kx * cs));
            acc = p->max ? _mm256_max_ps(acc, v) : _mm256_add_ps(acc, v);
          }
        }
        _mm256_storeu_ps(p->out + (y * p->ow + x) * cs + c, _mm256_mul_ps(acc, share));
      }
    }
  }
}

/* Eight vectors of columns at once, because one sum waits for itself; then pairs. */
rotoi_inline ROTOI_AVX2 void rotoi_dense_block_avx2(const float *x, const float *w, size_t k, size_t stride, float *sums,
                                                    const size_t nv) {
  __m256 acc[8];
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) acc[v] = _mm256_loadu_ps(sums + 8 * v);
  for (size_t l = 0; l < k; ++l, w += stride) {
    const __m256 value = _mm256_set1_ps(x[l]);
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; ++v) acc[v] = _mm256_fmadd_ps(value, _mm256_loadu_ps(w + 8 * v), acc[v]);
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) _mm256_storeu_ps(sums + 8 * v, acc[v]);
}

static ROTOI_AVX2 void rotoi_dense_avx2(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  size_t j = 0;
  for (; j + 48 < n; j += 64) rotoi_dense_block_avx2(x, w + j, k, stride, sums + j, 8);
  for (; j < n; j += 16) rotoi_dense_block_avx2(x, w + j, k, stride, sums + j, 2);
}

/* `tile` vectors of channels at once, because one sum waits for itself. */
rotoi_inline ROTOI_AVX2 void rotoi_channel_sum_tile_avx2(const float *in, size_t pixels, size_t cs, float scale, float *out,
                                                         const size_t tile) {
  __m256 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) acc[v] = _mm256_setzero_ps();
  for (size_t p = 0; p < pixels; ++p, in += cs) {
    ROTOI_UNROLL
    for (size_t v = 0; v < tile; ++v) acc[v] = _mm256_add_ps(acc[v], _mm256_loadu_ps(in + 8 * v));
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) _mm256_storeu_ps(out + 8 * v, _mm256_mul_ps(acc[v], _mm256_set1_ps(scale)));
}

static ROTOI_AVX2 void rotoi_channel_sum_avx2(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  size_t c = 0;
  for (; c + 32 <= cs; c += 32) rotoi_channel_sum_tile_avx2(in + c, pixels, cs, scale, out + c, 4);
  for (; c < cs; c += 8) rotoi_channel_sum_tile_avx2(in + c, pixels, cs, scale, out + c, 1);
}

rotoi_inline ROTOI_AVX2 void rotoi_add_act_avx2(const float *a, const float *b, size_t n, float *out, const int act) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_loadu_ps(a + i);
    if (b) x = _mm256_add_ps(x, _mm256_loadu_ps(b + i));
    _mm256_storeu_ps(out + i, rotoi_act_avx2(x, act));
  }
  if (i < n) {
    const __m256i rest = _mm256_setr_epi32(-1, -1, -1, -1, 0, 0, 0, 0); /* n is a multiple of 4 */
    __m256 x = _mm256_maskload_ps(a + i, rest);
    if (b) x = _mm256_add_ps(x, _mm256_maskload_ps(b + i, rest));
    _mm256_maskstore_ps(out + i, rest, rotoi_act_avx2(x, act));
  }
}

static ROTOI_AVX2 void rotoi_add_avx2(const float *a, const float *b, size_t n, int act, float *out){
#define ROTOI_CALL(constant) rotoi_add_act_avx2(a, b, n, out, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX2
    void rotoi_scale_act_avx2(const float *a, const float *s, size_t pixels, size_t cs, float *out, const int act) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 8) {
      _mm256_storeu_ps(out + c, rotoi_act_avx2(_mm256_mul_ps(_mm256_loadu_ps(a + c), _mm256_loadu_ps(s + c)), act));
    }
  }
}

static ROTOI_AVX2 void rotoi_scale_avx2(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
#define ROTOI_CALL(constant) rotoi_scale_act_avx2(a, s, pixels, cs, out, constant)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static const rotoi_kernels rotoi_kernels_avx2 = {ROTO_ISA_AVX2,
                                                 6,
                                                 16,
                                                 rotoi_gemm_6x16_avx2,
                                                 rotoi_depthwise_avx2,
                                                 rotoi_pool_avx2,
                                                 rotoi_dense_avx2,
                                                 rotoi_channel_sum_avx2,
                                                 rotoi_add_avx2,
                                                 rotoi_scale_avx2};

#endif
#endif
