/* AVX-512 kernels: F, BW, DQ and VL.
 *
 * gemm       for t < taps, l < k: load b[2]; for i < 14: x = broadcast a[i][l]; acc0[i] += x * b[0]; acc1[i] += x * b[1]
 *            28 accumulators + 2 b + 1 x = 31 of 32 registers.  28 fused multiply-adds a step hide their latency of 4 and
 *            need 16 vector loads, so the multipliers are the limit.  The 14 row pointers do not fit the general registers
 *            and are read again every step, from L1.  Of sums of at most ROTOI_SHORT products that end in a swish, 7 rows at a time:
 *            14 accumulators, so that the swish happens in registers.
 * depthwise  for y, tile of x: for c by 16: for ky: w[kw] = load; for each input pixel: p = load; acc[i] += p * w[kx] wherever
 *            i * stride + kx is that pixel; then swish and sums, still in registers
 *            8 accumulators + 5 w + 1 p.  Channels inside the tile, so that memory is read in runs of whole pixels; a row meets
 *            its next use in L2, which is the limit at 3x3: about 10 cycles a vector against 4.5 of multiplying.
 * dense      for l < k: x = broadcast; acc[v] += x * row[v] of 4 vectors; other widths 4 rows at a time, sums in L1.  Memory is the
 *            limit: a head of 62720 x 54 takes what reading 13.5 MB takes.
 * swish      6 multiply-adds, 4 steps beside them, and a division, which holds them up for 2 cycles more.
 *
 * Measured on one core of a Zen 4 EPYC (one 512-bit multiply-add a cycle at 3.7 GHz: 118 GFLOP/s), gcc 12 -O2, best of many runs:
 *   gemm 14 x 32 from L1: k 64 110 GFLOP/s (93 % of peak), k 16 101; in EfficientNet-B0 1x1 convolutions 96 on average, 108 to 112
 *   where k is 480 and more, 62 where 16 channels become 96 and the result leaves the cache.
 *   depthwise 38 GFLOP/s at 3x3, 73 at 5x5 of stride 1, swish and sums included.  A pass with swish over what is stored takes 9.6
 *   cycles a vector, a swish in registers 6.6: its multiply-adds.
 *   Heights of gemm below 3 wait for latency: one accumulator a column, so that results do not depend on the tile.
 * Tried and lost: accumulators as one array [14][2], or changed by a loop after the main one (clang 14 keeps them in memory:
 * 40 GFLOP/s); the activation inlined in every tile (twice the code under clang); reciprocal and Newton step for the division
 * (a third slower); depthwise with one load a multiply-add, or a test of the picture's edge at each (a third slower); all
 * pixels of a row loaded before the first product (no faster, clang keeps them in memory); depthwise tiles of 4 and 6; the swish of a
 * depthwise tile as a pass over chunks of 16 to 128 channels in L1 (2 % of B0).  Short sums: 4, 5 and 6 rows at a time (28.2, 27.6 and
 * 27.1 cycles a vector against 26.6 at k 16), outputs asked for ahead (no faster, in bfloat16 2 % of B0 slower).  Rows that a depthwise
 * convolution reads next asked for into L2: the largest takes 0.20 ms for 0.36, and B0 and B5 as a whole what they took (1.01, 1.00):
 * what leaves L2 has to go and come all the same. */

#ifndef ROTOI_KERNELS_AVX512
#define ROTOI_KERNELS_AVX512

#include "config.c"
#include "kernels.c"
#include "kernels_scalar.c"

#ifdef ROTOI_X86_AVX512

/* The plain _mm512_min_ps, max_ps and slli_epi32 make g++ 12 warn about an uninitialised variable inside its own header; the
 * zero-masked forms with all lanes on compile to the same instructions.  Both return b if a lane of either is NaN. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_min_avx512(__m512 a, __m512 b) {
  return _mm512_maskz_min_ps(0xffff, a, b);
}
rotoi_inline ROTOI_AVX512 __m512 rotoi_max_avx512(__m512 a, __m512 b) {
  return _mm512_maskz_max_ps(0xffff, a, b);
}

/* 1 + exp(-x), see kernels_scalar.c; `low` is x, already clamped from below. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_exp_and_one_avx512(__m512 low) {
  __m512 t = rotoi_min_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MAX), low);
  __m512 rounded = _mm512_fnmadd_ps(t, _mm512_set1_ps(ROTOI_LOG2E), _mm512_set1_ps(ROTOI_ROUND));
  __m512 n = _mm512_sub_ps(rounded, _mm512_set1_ps(ROTOI_ROUND));
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(ROTOI_LN2), t);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(-ROTOI_E3), r, _mm512_set1_ps(ROTOI_E2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(-1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
  const __m512i eighths =
      _mm512_maskz_broadcast_i64x4(0xff, _mm256_loadu_si256((const __m256i *)(const void *)rotoi_exp_eighths));
  __m512i bits = _mm512_castps_si512(rounded);
  __m512i power = _mm512_maskz_permutexvar_epi32(0xffff, bits, eighths); /* by the lowest four bits */
  power = _mm512_add_epi32(power, _mm512_maskz_slli_epi32(0xffff, bits, 20));
  return _mm512_fmadd_ps(p, _mm512_castsi512_ps(power), _mm512_set1_ps(1));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_hard_sigmoid_avx512(__m512 x) {
  x = _mm512_fmadd_ps(x, _mm512_set1_ps(1.0f / 6), _mm512_set1_ps(0.5f));
  return rotoi_min_avx512(_mm512_set1_ps(1), rotoi_max_avx512(_mm512_setzero_ps(), x));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_act_avx512(__m512 x, const int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return rotoi_max_avx512(_mm512_setzero_ps(), x);
    case ROTO_ACT_RELU6:
      return rotoi_min_avx512(_mm512_set1_ps(6), rotoi_max_avx512(_mm512_setzero_ps(), x));
    case ROTO_ACT_SIGMOID:
      return _mm512_div_ps(_mm512_set1_ps(1), rotoi_exp_and_one_avx512(rotoi_max_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MIN), x)));
    case ROTO_ACT_SWISH:
      x = rotoi_max_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MIN), x);
      return _mm512_div_ps(x, rotoi_exp_and_one_avx512(x));
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_hard_sigmoid_avx512(x);
    case ROTO_ACT_HARD_SWISH:
      return _mm512_mul_ps(rotoi_max_avx512(_mm512_set1_ps(-3), x), rotoi_hard_sigmoid_avx512(x));
    default:
      return x;
  }
}

/* c = act(c) on rows of 16 * vectors floats just written, which are in L1; sums, if not NULL, += each column, rows in order.
 * The activations of many instructions run as this second pass: inlined behind 28 accumulators they would be as many copies in
 * every tile size. */
rotoi_inline ROTOI_AVX512 void rotoi_finish_rows_avx512(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                        const int act) {
  for (size_t v = 0; v < vectors; ++v, c += 16) {
    __m512 sum = sums ? _mm512_loadu_ps(sums + 16 * v) : _mm512_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      __m512 x = rotoi_act_avx512(_mm512_loadu_ps(c + i * stride), act);
      _mm512_storeu_ps(c + i * stride, x);
      sum = _mm512_add_ps(sum, x);
    }
    if (sums) _mm512_storeu_ps(sums + 16 * v, sum);
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_avx512(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                     int act){
#define ROTOI_CALL(constant) rotoi_finish_rows_avx512(c, stride, rows, vectors, sums, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

/* Activations cheap enough for registers are a clamp: NONE, RELU, RELU6.  The bounds; 0 if `act` needs rotoi_finish. */
rotoi_inline ROTOI_AVX512 int rotoi_clamp_avx512(int act, __m512 *low, __m512 *high) {
  const int relu = act == ROTO_ACT_RELU || act == ROTO_ACT_RELU6;
  *low = _mm512_set1_ps(relu ? 0 : -ROTOI_INFINITY);
  *high = _mm512_set1_ps(act == ROTO_ACT_RELU6 ? 6 : ROTOI_INFINITY);
  return relu || act == ROTO_ACT_NONE;
}

/* How far ahead of their use weights are asked for, in bytes: the machine's own prefetchers stop at the end of each page. */
enum { ROTOI_AHEAD = 4096 };

/* Of `left` rows, those of the next tile: between 7 and 14 two tiles of half the height do as well, and six of them take as much
 * code as all others together. */
rotoi_inline size_t rotoi_tile_height(size_t left) {
  return left == 14 || left <= 7 ? left : (left + 1) / 2;
}

/* Rows [first, first + m). */
rotoi_inline ROTOI_AVX512 void rotoi_gemm_tile_avx512(const rotoi_gemm *g, size_t first, const size_t m, const size_t nv) {
  const __m512 zero = _mm512_setzero_ps(), bias0 = g->bias ? _mm512_loadu_ps(g->bias) : zero;
  const __m512 bias1 = g->bias && nv > 1 ? _mm512_loadu_ps(g->bias + 16) : zero;
  __m512 acc0[14], acc1[14]; /* not acc[14][2], nor a loop that changes acc after this one: clang 14 leaves it in memory */
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const float *b = g->b;
  const float *const *a = g->a + first;
  const size_t k = g->k;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
    for (size_t l = 0; l < k; ++l, b += 16 * nv) {
      __m512 b0 = _mm512_loadu_ps(b), b1 = nv > 1 ? _mm512_loadu_ps(b + 16) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        __m512 x = _mm512_set1_ps(a[i][l]);
        acc0[i] = _mm512_fmadd_ps(x, b0, acc0[i]);
        if (nv > 1) acc1[i] = _mm512_fmadd_ps(x, b1, acc1[i]);
      }
    }
  }
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(g->act, &low, &high);
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    __m512 x0 = acc0[i], x1 = acc1[i];
    float *c = g->c + (first + i) * g->c_stride;
    if (g->add) {
      const float *add = g->add + (first + i) * g->add_stride;
      x0 = _mm512_add_ps(x0, _mm512_loadu_ps(add));
      if (nv > 1) x1 = _mm512_add_ps(x1, _mm512_loadu_ps(add + 16));
    }
    _mm512_storeu_ps(c, rotoi_min_avx512(high, rotoi_max_avx512(low, x0)));
    if (nv > 1) _mm512_storeu_ps(c + 16, rotoi_min_avx512(high, rotoi_max_avx512(low, x1)));
  }
  if (!clamp) rotoi_finish_avx512(g->c + first * g->c_stride, g->c_stride, m, nv, NULL, g->act);
}

/* Ask for the rows of a result while the products run: 1 % of B0 in float32, 1.5 % in bfloat16 (bytes lost 1 %). */
rotoi_inline ROTOI_AVX512 void rotoi_ask_avx512(const void *c, size_t rows, size_t stride, size_t bytes) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t at = 0; at < bytes; at += 64) _mm_prefetch((const void *)((uintptr_t)c + i * stride + at), _MM_HINT_T0);
  }
}

/* Swish behind sums of at most ROTOI_SHORT products: on half a tile while it is in registers, with no store and load between,
 * and divisions run beside the next half's products. */
enum { ROTOI_SHORT = 128, ROTOI_SHORT_MR = 7 };

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_swish_avx512(const rotoi_gemm *given) {
  enum { M = ROTOI_SHORT_MR };
  const rotoi_gemm g = *given;
  const __m512 zero = _mm512_setzero_ps(), bias0 = g.bias ? _mm512_loadu_ps(g.bias) : zero;
  const __m512 bias1 = g.bias ? _mm512_loadu_ps(g.bias + 16) : zero;
  for (size_t first = 0; first < g.m; first += M) {
    const float *b = g.b;
    __m512 acc0[M], acc1[M];
    size_t row[M]; /* past the last the last again */
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) acc0[i] = bias0, acc1[i] = bias1, row[i] = first + i < g.m ? first + i : g.m - 1;
    for (size_t t = 0; t < g.taps; ++t) {
      const float *a[M];
      ROTOI_UNROLL
      for (size_t i = 0; i < M; ++i) a[i] = g.a[t * g.m + row[i]];
      for (size_t l = 0; l < g.k; ++l, b += 32) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        ROTOI_UNROLL
        for (size_t i = 0; i < M; ++i) {
          const __m512 x = _mm512_set1_ps(a[i][l]);
          acc0[i] = _mm512_fmadd_ps(x, b0, acc0[i]);
          acc1[i] = _mm512_fmadd_ps(x, b1, acc1[i]);
        }
      }
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) {
      float *c = g.c + row[i] * g.c_stride;
      _mm512_storeu_ps(c, rotoi_act_avx512(acc0[i], ROTO_ACT_SWISH));
      _mm512_storeu_ps(c + 16, rotoi_act_avx512(acc1[i], ROTO_ACT_SWISH));
    }
  }
}

static ROTOI_AVX512 void rotoi_gemm_14x32_avx512(const rotoi_gemm *g) {
  if (g->act == ROTO_ACT_SWISH && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT) {
    rotoi_gemm_swish_avx512(g);
    return;
  }
  rotoi_ask_avx512(g->c, g->m, g->c_stride * sizeof(float), g->nv * 64);
#define ROTOI_TILE(m)                         \
  case m:                                     \
    if (g->nv == 1) {                         \
      rotoi_gemm_tile_avx512(g, first, m, 1); \
    } else {                                  \
      rotoi_gemm_tile_avx512(g, first, m, 2); \
    }                                         \
    break;
  for (size_t first = 0, count; first < g->m; first += count) {
    count = rotoi_tile_height(g->m - first);
    switch (count) {
      ROTOI_TILE(1)
      ROTOI_TILE(2)
      ROTOI_TILE(3)
      ROTOI_TILE(4)
      ROTOI_TILE(5)
      ROTOI_TILE(6)
      ROTOI_TILE(7)
      ROTOI_TILE(14)
      default:
        ROTO_ASSERT(0);
    }
  }
#undef ROTOI_TILE
}

/* nv vectors of columns, whose sums stay in registers: a head has 54. */
rotoi_inline ROTOI_AVX512 void rotoi_dense_narrow_avx512(const float *x, const float *w, size_t k, size_t stride, float *sums,
                                                         const size_t nv) {
  __m512 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) acc[v] = _mm512_loadu_ps(sums + 16 * v);
  for (size_t l = 0; l < k; ++l, w += stride) {
    const __m512 value = _mm512_set1_ps(x[l]);
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; ++v) {
      _mm_prefetch((const void *)((uintptr_t)w + ROTOI_AHEAD + 64 * v), _MM_HINT_T0);
      acc[v] = _mm512_fmadd_ps(value, _mm512_loadu_ps(w + 16 * v), acc[v]);
    }
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) _mm512_storeu_ps(sums + 16 * v, acc[v]);
}

/* Others four rows at a time, so that memory is read in long runs. */
static ROTOI_AVX512 void rotoi_dense_avx512(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  if (n > 48 && n <= 64) {
    rotoi_dense_narrow_avx512(x, w, k, stride, sums, 4);
    return;
  }
  for (size_t l = 0; l < k; l += 4) {
    const size_t rows = k - l < 4 ? k - l : 4;
    const float *row = w + l * stride;
    for (size_t j = 0; j < n; j += 16) {
      __m512 sum = _mm512_loadu_ps(sums + j);
      for (size_t i = 0; i < rows; ++i)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(x[l + i]), _mm512_loadu_ps(row + i * stride + j), sum);
      _mm512_storeu_ps(sums + j, sum);
    }
  }
}

/* Sixteen elements of a stored value as floats; of bytes as the numbers they are. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_load_avx512(const void *p, size_t i, const rotoi_type type) {
  const unsigned char *at = (const unsigned char *)p;
  if (type == ROTOI_F32) return _mm512_loadu_ps(at + 4 * i);
  if (type == ROTOI_BF16) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i *)(const void *)(at + 2 * i)));
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, bits, 16));
  }
  return _mm512_maskz_cvtepi32_ps(0xffff,
                                  _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i *)(const void *)(at + i))));
}

/* Where a tile of a depthwise convolution reads: `n` outputs, rows [ky0, ky1) of the kernel, the first of them at row0; of input
 * column j its place in a row, or ROTOI_OUTSIDE. */
typedef struct rotoi_depthwise_window {
  size_t n, ky0, ky1, row0, column[20];
} rotoi_depthwise_window;

rotoi_inline void rotoi_depthwise_find(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile, const size_t span,
                                       rotoi_depthwise_window *at) {
  at->n = d->ow - x < tile ? d->ow - x : tile;
  rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &at->ky0, &at->ky1);
  at->row0 = (y * d->stride + at->ky0 - d->pad_top) * d->w_in * d->cs;
  for (size_t j = 0; j < span; ++j) {
    const size_t x_in = x * d->stride + j - d->pad_left; /* wraps below zero */
    at->column[j] = x_in < d->w_in ? x_in * d->cs : ROTOI_OUTSIDE;
  }
}

/* Outputs x .. x + tile of row y, as many as there are.  Each pixel of the input is loaded once a row of the kernel and meets all its
 * taps; pixels outside the picture are left out.  A swish happens in registers, where its divisions run beside the products of the
 * channels that follow; the rare others, chunk by chunk, as in rotoi_finish_avx512. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_tile_avx512(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile,
                                                           const size_t kw, const size_t stride) {
  const size_t cs = d->cs, span = (tile - 1) * stride + kw, step = d->w_in * cs;
  const int swish = d->act == ROTO_ACT_SWISH;
  rotoi_depthwise_window at;
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(d->act, &low, &high);
  rotoi_depthwise_find(d, y, x, tile, span, &at);
  for (size_t c = d->c0; c < d->c1; c += 16) {
    float *const result = d->out + (y * d->ow + x) * cs + c;
    const __m512 bias = d->bias ? _mm512_loadu_ps(d->bias + c) : _mm512_setzero_ps();
    __m512 acc[8];
    ROTOI_UNROLL
    for (size_t i = 0; i < tile; ++i) acc[i] = bias;
    const float *w = d->w + at.ky0 * kw * cs + c, *row = d->in + at.row0 + c;
    for (size_t ky = at.ky0; ky < at.ky1; ++ky, row += step, w += kw * cs) {
      __m512 weight[5];
      ROTOI_UNROLL
      for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm512_loadu_ps(w + kx * cs);
      ROTOI_UNROLL
      for (size_t j = 0; j < span; ++j) {
        if (at.column[j] == ROTOI_OUTSIDE) continue;
        const __m512 pixel = _mm512_loadu_ps(row + at.column[j]);
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) {
          const size_t i = (j - kx) / stride;
          if (j >= kx && i * stride == j - kx && i < tile) acc[i] = _mm512_fmadd_ps(pixel, weight[kx], acc[i]);
        }
      }
    }
    if (swish) {
      __m512 sum = d->sums ? _mm512_loadu_ps(d->sums + c) : _mm512_setzero_ps();
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) {
        if (i >= at.n) continue; /* not break, which clang does not unroll */
        acc[i] = rotoi_act_avx512(acc[i], ROTO_ACT_SWISH);
        _mm512_storeu_ps(result + i * cs, acc[i]);
        sum = _mm512_add_ps(sum, acc[i]);
      }
      if (d->sums) _mm512_storeu_ps(d->sums + c, sum);
      continue;
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < tile; ++i) {
      if (i < at.n) _mm512_storeu_ps(result + i * cs, rotoi_min_avx512(high, rotoi_max_avx512(low, acc[i])));
    }
    if (!clamp || d->sums)
      rotoi_finish_avx512(result, cs, at.n, 1, d->sums ? d->sums + c : NULL, clamp ? ROTO_ACT_NONE : d->act);
  }
}

/* Tiles of 7 where they fit: 224 is divided by 2 down to 7. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_rows_avx512(const rotoi_depthwise *d, const size_t kw, const size_t stride) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    if (d->ow % 7 == 0) {
      for (size_t x = 0; x < d->ow; x += 7) rotoi_depthwise_tile_avx512(d, y, x, 7, kw, stride);
    } else {
      for (size_t x = 0; x < d->ow; x += 8) rotoi_depthwise_tile_avx512(d, y, x, 8, kw, stride);
    }
  }
}

/* Any kernel, pixel by pixel. */
static ROTOI_AVX512 void rotoi_depthwise_any_avx512(const rotoi_depthwise *d) {
  const size_t cs = d->cs;
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(d->act, &low, &high);
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      const size_t first = ((y * d->stride + ky0 - d->pad_top) * d->w_in + x * d->stride + kx0 - d->pad_left) * cs;
      float *const result = d->out + (y * d->ow + x) * cs;
      for (size_t c = d->c0; c < d->c1; c += 16) {
        __m512 acc = d->bias ? _mm512_loadu_ps(d->bias + c) : _mm512_setzero_ps();
        for (size_t ky = ky0, in = first + c; ky < ky1; ++ky, in += d->w_in * cs) {
          const float *w = d->w + ky * d->kw * cs + c;
          for (size_t kx = kx0; kx < kx1; ++kx) {
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(d->in + (in + (kx - kx0) * cs)), _mm512_loadu_ps(w + kx * cs), acc);
          }
        }
        _mm512_storeu_ps(result + c, rotoi_min_avx512(high, rotoi_max_avx512(low, acc)));
      }
      if (clamp && !d->sums) continue;
      rotoi_finish_avx512(result + d->c0, cs, 1, (d->c1 - d->c0) / 16, d->sums ? d->sums + d->c0 : NULL,
                          clamp ? ROTO_ACT_NONE : d->act);
    }
  }
}

static ROTOI_AVX512 void rotoi_depthwise_avx512(const rotoi_depthwise *d) {
  if (d->kw == 3 && d->stride == 1) {
    rotoi_depthwise_rows_avx512(d, 3, 1);
  } else if (d->kw == 3 && d->stride == 2) {
    rotoi_depthwise_rows_avx512(d, 3, 2);
  } else if (d->kw == 5 && d->stride == 1) {
    rotoi_depthwise_rows_avx512(d, 5, 1);
  } else if (d->kw == 5 && d->stride == 2) {
    rotoi_depthwise_rows_avx512(d, 5, 2);
  } else {
    rotoi_depthwise_any_avx512(d);
  }
}

static ROTOI_AVX512 void rotoi_pool_avx512(const rotoi_pool *p) {
  const size_t cs = p->cs, row = p->w_in * cs;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m512 share = _mm512_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      const __m512 start = _mm512_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
      const size_t first = ((y * p->stride + ky0 - p->pad_top) * p->w_in + x * p->stride + kx0 - p->pad_left) * cs;
      for (size_t c = 0; c < cs; c += 16) {
        __m512 acc = start;
        size_t in = first + c;
        for (size_t ky = ky0; ky < ky1; ++ky, in += row) {
          for (size_t kx = 0; kx < kx1 - kx0; ++kx) {
            __m512 v = _mm512_loadu_ps(p->in + (in + kx * cs));
            acc = p->max ? rotoi_max_avx512(acc, v) : _mm512_add_ps(acc, v);
          }
        }
        _mm512_storeu_ps(p->out + (y * p->ow + x) * cs + c, _mm512_mul_ps(acc, share));
      }
    }
  }
}

/* `tile` vectors of channels at once, because one sum waits for itself. */
rotoi_inline ROTOI_AVX512 void rotoi_channel_sum_tile_avx512(const float *in, size_t pixels, size_t cs, float scale, float *out,
                                                             const size_t tile) {
  __m512 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) acc[v] = _mm512_setzero_ps();
  for (size_t p = 0; p < pixels; ++p, in += cs) {
    ROTOI_UNROLL
    for (size_t v = 0; v < tile; ++v) acc[v] = _mm512_add_ps(acc[v], _mm512_loadu_ps(in + 16 * v));
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) _mm512_storeu_ps(out + 16 * v, _mm512_mul_ps(acc[v], _mm512_set1_ps(scale)));
}

static ROTOI_AVX512 void rotoi_channel_sum_avx512(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  size_t c = 0;
  for (; c + 64 <= cs; c += 64) rotoi_channel_sum_tile_avx512(in + c, pixels, cs, scale, out + c, 4);
  for (; c < cs; c += 16) rotoi_channel_sum_tile_avx512(in + c, pixels, cs, scale, out + c, 1);
}

rotoi_inline ROTOI_AVX512 void rotoi_add_act_avx512(const float *a, const float *b, size_t n, float *out, const int act) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512 x = _mm512_loadu_ps(a + i);
    if (b) x = _mm512_add_ps(x, _mm512_loadu_ps(b + i));
    _mm512_storeu_ps(out + i, rotoi_act_avx512(x, act));
  }
  if (i < n) {
    __mmask16 rest = (__mmask16)((1u << (n - i)) - 1);
    __m512 x = _mm512_maskz_loadu_ps(rest, a + i);
    if (b) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(rest, b + i));
    _mm512_mask_storeu_ps(out + i, rest, rotoi_act_avx512(x, act));
  }
}

static ROTOI_AVX512 void rotoi_add_avx512(const float *a, const float *b, size_t n, int act, float *out){
#define ROTOI_CALL(constant) rotoi_add_act_avx512(a, b, n, out, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX512
    void rotoi_scale_act_avx512(const float *a, const float *s, size_t pixels, size_t cs, float *out, const int act) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 16) {
      _mm512_storeu_ps(out + c, rotoi_act_avx512(_mm512_mul_ps(_mm512_loadu_ps(a + c), _mm512_loadu_ps(s + c)), act));
    }
  }
}

static ROTOI_AVX512 void rotoi_scale_avx512(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
#define ROTOI_CALL(constant) rotoi_scale_act_avx512(a, s, pixels, cs, out, constant)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static const rotoi_kernels rotoi_kernels_avx512 = {ROTO_ISA_AVX512,
                                                   14,
                                                   32,
                                                   rotoi_gemm_14x32_avx512,
                                                   rotoi_depthwise_avx512,
                                                   rotoi_pool_avx512,
                                                   rotoi_dense_avx512,
                                                   rotoi_channel_sum_avx512,
                                                   rotoi_add_avx512,
                                                   rotoi_scale_avx512};

#endif
#endif
