/* Low precision on AVX-512: bfloat16 with the dot products of AVX512-BF16, bytes with those of AVX512-VNNI.
 *
 * gemm       the loop nest of kernels_avx512.c, whose step over one float becomes a step over one word of 32 bits: two bfloat16 or
 *            four bytes a lane, twice or four times the products at the same number of instructions and loads.  The sums of a
 *            tile go to a buffer in L1, from where one pass adds the residual, activates, rounds and stores them.
 * depthwise  that of kernels_avx512.c: elements become floats when they are loaded, once a row of the kernel.  The sums of a
 *            chunk of channels go to a buffer in L1 and through the same pass.
 *
 * bfloat16 are rounded to the nearest, halves away from zero: one addition and a shift, where rounding halves to even needs three
 * instructions more or a machine with AVX512-BF16.  Bytes are rounded to the nearest, halves to even, and saturate.
 *
 * The fast swish is x / (1 + 2^t), t = -x log2 e: 2^t by a cubic on what t is above a whole number, fitted by us for least
 * relative error, 7.6e-5 (a square where bytes are the result, 1.8e-3), and scaled by the instruction that exists for it, which
 * also takes care of overflow; the quotient by the reciprocal to 14 bits.  Half a unit in the last place of a bfloat16 is 4e-3.
 *
 * Measured inside networks on one core of a Zen 4 EPYC (peaks: bf16 228 GFLOP/s, bytes 405 GOP/s), gcc 12 -O2, the last pass
 * included: 1x1 convolutions of EfficientNet-B5 at 224x224 180 GFLOP/s in bf16 (79 %) and 305 in bytes (75 %), of B0 156 and 242;
 * depthwise 56 and 51 in B0, 55 and 52 in B5.
 * What limits, by the count of instructions: a vector of the last pass with swish takes 14 of them in bytes, as many as the products
 * of 14 words; scaling by squeeze-excite on the way in takes another 8.
 * Tried and lost: the compiler's intrinsic for products of bytes (half the speed under gcc 12, see rotoi_dot_u8; in bfloat16 it made
 * no difference); the cubic where bytes are the result, with pooled sums added up whether asked for or not (3 % of B0). */

#ifndef ROTOI_KERNELS_LOW
#define ROTOI_KERNELS_LOW

#include "config.c"
#include "base.c"
#include "kernels.c"
#include "kernels_scalar.c"
#include "kernels_avx512.c"

#ifdef ROTOI_X86_LOW

rotoi_inline ROTOI_AVX512 __m512 rotoi_act_low(__m512 x, const int act, const rotoi_type to) {
  if (act != ROTO_ACT_SWISH) return rotoi_act_avx512(x, act);
  const __m512 one = _mm512_set1_ps(1), t = _mm512_mul_ps(x, _mm512_set1_ps(-ROTOI_LOG2E));
  const __m512 rest = _mm512_maskz_reduce_ps(0xffff, t, 1);
  __m512 power;
  if (to == ROTOI_U8) {
    power = _mm512_fmadd_ps(rest, _mm512_set1_ps(0.3369319f), _mm512_set1_ps(0.6578744f));
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(1.001701f));
  } else {
    power = _mm512_fmadd_ps(rest, _mm512_set1_ps(0.0779890f), _mm512_set1_ps(0.2261177f));
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.6958162f));
    power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.9999260f));
  }
  power = _mm512_maskz_scalef_ps(0xffff, power, t);
  return _mm512_mul_ps(x, _mm512_maskz_rcp14_ps(0xffff, _mm512_add_ps(power, one)));
}

/* Sixteen elements as the numbers they stand for. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_get_low(const void *p, size_t i, const rotoi_code *code) {
  if (code->type == ROTOI_F32) return rotoi_load_avx512(p, i, ROTOI_F32);
  if (code->type == ROTOI_BF16) return rotoi_load_avx512(p, i, ROTOI_BF16);
  const __m512 q = _mm512_sub_ps(rotoi_load_avx512(p, i, ROTOI_U8), _mm512_set1_ps(code->zero));
  return _mm512_mul_ps(q, _mm512_set1_ps(code->scale));
}

rotoi_inline ROTOI_AVX512 void rotoi_put_low(void *p, size_t i, __m512 x, const rotoi_code *code, const rotoi_type type) {
  unsigned char *at = (unsigned char *)p;
  if (type == ROTOI_F32) {
    _mm512_storeu_ps(at + 4 * i, x);
  } else if (type == ROTOI_BF16) {
    __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    bits = _mm512_maskz_srli_epi32(0xffff, bits, 16);
    _mm256_storeu_si256((__m256i *)(void *)(at + 2 * i), _mm512_maskz_cvtepi32_epi16(0xffff, bits));
  } else {
    x = _mm512_fmadd_ps(x, _mm512_set1_ps(code->inverse), _mm512_set1_ps(code->zero));
    const __m512i q = _mm512_maskz_cvtps_epi32(0xffff, rotoi_max_avx512(_mm512_setzero_ps(), x));
    _mm_storeu_si128((__m128i *)(void *)(at + i), _mm512_maskz_cvtusepi32_epi8(0xffff, q));
  }
}

/* The last pass over rows of 16 * vectors sums: to = act(from + add), and the sums of each column as in rotoi_finish_avx512. */
typedef struct rotoi_low_finish {
  const float *from;
  const void *add; /* or NULL */
  void *to;
  size_t from_stride, add_stride, to_stride, rows, vectors;
  const rotoi_code *add_code, *to_code;
  float *sums; /* or NULL */
} rotoi_low_finish;

rotoi_inline ROTOI_AVX512 void rotoi_low_finish_each(const rotoi_low_finish *f, const int act, const rotoi_type type,
                                                     const int summed, const int added) {
  const rotoi_code code = *f->to_code;
  for (size_t v = 0; v < f->vectors; ++v) {
    __m512 sum = summed ? _mm512_loadu_ps(f->sums + 16 * v) : _mm512_setzero_ps();
    for (size_t i = 0; i < f->rows; ++i) {
      __m512 x = _mm512_loadu_ps(f->from + i * f->from_stride + 16 * v);
      if (added) x = _mm512_add_ps(x, rotoi_get_low(f->add, i * f->add_stride + 16 * v, f->add_code));
      x = rotoi_act_low(x, act, type);
      rotoi_put_low(f->to, i * f->to_stride + 16 * v, x, &code, type);
      if (summed) sum = _mm512_add_ps(sum, x);
    }
    if (summed) _mm512_storeu_ps(f->sums + 16 * v, sum);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_finish_rows(const rotoi_low_finish *f, const int act, const rotoi_type type) {
  if (f->add) {
    rotoi_low_finish_each(f, act, type, 0, 1); /* of a product: nothing asks for its sums */
  } else if (f->sums) {
    rotoi_low_finish_each(f, act, type, 1, 0);
  } else {
    rotoi_low_finish_each(f, act, type, 0, 0);
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_low_finish_f32(const rotoi_low_finish *f, int act){
#define ROTOI_CALL(constant) rotoi_low_finish_rows(f, constant, ROTOI_F32)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_noinline ROTOI_AVX512 void rotoi_low_finish_bf16(const rotoi_low_finish *f, int act){
#define ROTOI_CALL(constant) rotoi_low_finish_rows(f, constant, ROTOI_BF16)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_noinline ROTOI_AVX512 void rotoi_low_finish_u8(const rotoi_low_finish *f, int act) {
#define ROTOI_CALL(constant) rotoi_low_finish_rows(f, constant, ROTOI_U8)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static void rotoi_low_finish_all(const rotoi_low_finish *f, int act) {
  if (f->to_code->type == ROTOI_F32) {
    rotoi_low_finish_f32(f, act);
  } else if (f->to_code->type == ROTOI_BF16) {
    rotoi_low_finish_bf16(f, act);
  } else {
    rotoi_low_finish_u8(f, act);
  }
}

/* ---- gemm ---- */

enum { ROTOI_LOW_MR = 14, ROTOI_LOW_NR = 32 };

/* acc += x * b, two bfloat16 or four bytes a lane.  Through the compiler's intrinsics gcc 12 keeps accumulators in memory
 * as well, and loads b again for each product of bytes: half the speed there. */
rotoi_inline ROTOI_AVX512_BF16 void rotoi_dot_bf16(__m512 *acc, __m512i x, __m512i b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}
rotoi_inline ROTOI_AVX512_VNNI void rotoi_dot_u8(__m512i *acc, __m512i x, __m512i b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}

/* The sums of a tile, [m][16 * nv]. */
rotoi_inline ROTOI_AVX512_BF16 void rotoi_sums_bf16(const rotoi_low_gemm *g, float *out, const size_t m, const size_t nv) {
  const __m512 zero = _mm512_setzero_ps(), bias0 = g->bias ? _mm512_loadu_ps(g->bias) : zero;
  const __m512 bias1 = g->bias && nv > 1 ? _mm512_loadu_ps(g->bias + 16) : zero;
  __m512 acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a;
  for (size_t t = g->taps; t != 0; --t, a += m) {
    for (size_t l = 0; l < g->k; ++l, b += 64 * nv) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = nv > 1 ? _mm512_loadu_si512(b + 64) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_bf16(&acc0[i], x, b0);
        if (nv > 1) rotoi_dot_bf16(&acc1[i], x, b1);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    _mm512_storeu_ps(out + i * 16 * nv, acc0[i]);
    if (nv > 1) _mm512_storeu_ps(out + i * 16 * nv + 16, acc1[i]);
  }
}

rotoi_inline ROTOI_AVX512_VNNI void rotoi_sums_u8(const rotoi_low_gemm *g, float *out, const size_t m, const size_t nv) {
  __m512i acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = acc1[i] = _mm512_setzero_si512();
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a;
  for (size_t t = g->taps; t != 0; --t, a += m) {
    for (size_t l = 0; l < g->k; ++l, b += 64 * nv) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = nv > 1 ? _mm512_loadu_si512(b + 64) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_u8(&acc0[i], x, b0);
        if (nv > 1) rotoi_dot_u8(&acc1[i], x, b1);
      }
    }
  }
  const __m512 factor0 = _mm512_loadu_ps(g->factor), bias0 = _mm512_loadu_ps(g->bias);
  const __m512 factor1 = nv > 1 ? _mm512_loadu_ps(g->factor + 16) : factor0,
               bias1 = nv > 1 ? _mm512_loadu_ps(g->bias + 16) : bias0;
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    _mm512_storeu_ps(out + i * 16 * nv, _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, acc0[i]), factor0, bias0));
    if (nv > 1)
      _mm512_storeu_ps(out + i * 16 * nv + 16, _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, acc1[i]), factor1, bias1));
  }
}

static void rotoi_finish_low_gemm(const rotoi_low_gemm *g, const float *sums) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = 16 * g->nv;
  f.add = g->add, f.add_stride = g->add_stride, f.add_code = &g->add_code;
  f.to = g->c, f.to_stride = g->c_stride, f.to_code = &g->c_code;
  f.rows = g->m, f.vectors = g->nv;
  f.sums = NULL;
  rotoi_low_finish_all(&f, g->act);
}

#define ROTOI_TILE(sums, m)  \
  case m:                    \
    if (g->nv == 1) {        \
      sums(g, buffer, m, 1); \
    } else {                 \
      sums(g, buffer, m, 2); \
    }                        \
    break;
#define ROTOI_TILES(sums) \
  switch (g->m) {         \
    ROTOI_TILE(sums, 1)   \
    ROTOI_TILE(sums, 2)   \
    ROTOI_TILE(sums, 3)   \
    ROTOI_TILE(sums, 4)   \
    ROTOI_TILE(sums, 5)   \
    ROTOI_TILE(sums, 6)   \
    ROTOI_TILE(sums, 7)   \
    ROTOI_TILE(sums, 8)   \
    ROTOI_TILE(sums, 9)   \
    ROTOI_TILE(sums, 10)  \
    ROTOI_TILE(sums, 11)  \
    ROTOI_TILE(sums, 12)  \
    ROTOI_TILE(sums, 13)  \
    ROTOI_TILE(sums, 14)  \
    default:              \
      ROTO_ASSERT(0);     \
  }

static ROTOI_AVX512_BF16 void rotoi_gemm_14x32_bf16(const rotoi_low_gemm *g) {
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_bf16)
  rotoi_finish_low_gemm(g, buffer);
}

static ROTOI_AVX512_VNNI void rotoi_gemm_14x32_u8(const rotoi_low_gemm *g) {
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_u8)
  rotoi_finish_low_gemm(g, buffer);
}
#undef ROTOI_TILES
#undef ROTOI_TILE

/* ---- depthwise ---- */

static void rotoi_finish_low_depthwise(const rotoi_low_depthwise *d, const float *sums, size_t n, size_t place, size_t c0,
                                       size_t c1) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = ROTOI_DEPTHWISE_CHUNK;
  f.add = NULL, f.add_stride = 0, f.add_code = NULL;
  f.to = (unsigned char *)d->out + (place + c0) * rotoi_type_size(d->out_code.type);
  f.to_stride = d->shape.cs, f.to_code = &d->out_code;
  f.rows = n, f.vectors = (c1 - c0) / 16;
  f.sums = d->shape.sums ? d->shape.sums + c0 : NULL;
  rotoi_low_finish_all(&f, d->shape.act);
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_tile(const rotoi_low_depthwise *d, size_t y, size_t x, const size_t tile,
                                                        const size_t kw, const size_t stride, const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  float sums[8 * ROTOI_DEPTHWISE_CHUNK];
  rotoi_depthwise_window at;
  rotoi_depthwise_find(s, y, x, tile, (tile - 1) * stride + kw, &at);
  for (size_t c0 = s->c0, c1; c0 < s->c1; c0 = c1) {
    c1 = s->c1 - c0 < ROTOI_DEPTHWISE_CHUNK ? s->c1 : c0 + ROTOI_DEPTHWISE_CHUNK;
    rotoi_depthwise_sums_avx512(s, d->in, d->in_code.zero, &at, c0, c1, sums, ROTOI_DEPTHWISE_CHUNK, tile, kw, stride, type);
    rotoi_finish_low_depthwise(d, sums, at.n, (y * s->ow + x) * s->cs, c0, c1);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_rows(const rotoi_low_depthwise *d, const size_t kw, const size_t stride,
                                                        const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  for (size_t y = s->y0; y < s->y1; ++y) {
    if (s->ow % 7 == 0) {
      for (size_t x = 0; x < s->ow; x += 7) rotoi_low_depthwise_tile(d, y, x, 7, kw, stride, type);
    } else {
      for (size_t x = 0; x < s->ow; x += 8) rotoi_low_depthwise_tile(d, y, x, 8, kw, stride, type);
    }
  }
}

/* Any kernel, pixel by pixel. */
rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_any(const rotoi_low_depthwise *d, const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  const __m512 zero = _mm512_set1_ps(type == ROTOI_U8 ? d->in_code.zero : 0);
  float sums[ROTOI_LANES];
  for (size_t y = s->y0; y < s->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, s->stride, s->pad_top, s->kh, s->h, &ky0, &ky1);
    for (size_t x = 0; x < s->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, s->stride, s->pad_left, s->kw, s->w_in, &kx0, &kx1);
      for (size_t c = s->c0; c < s->c1; c += 16) {
        __m512 acc = s->bias ? _mm512_loadu_ps(s->bias + c) : _mm512_setzero_ps();
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            const size_t iy = y * s->stride + ky - s->pad_top, ix = x * s->stride + kx - s->pad_left;
            const __m512 pixel = _mm512_sub_ps(rotoi_load_avx512(d->in, (iy * s->w_in + ix) * s->cs + c, type), zero);
            acc = _mm512_fmadd_ps(pixel, _mm512_loadu_ps(s->w + (ky * s->kw + kx) * s->cs + c), acc);
          }
        }
        _mm512_storeu_ps(sums, acc);
        rotoi_finish_low_depthwise(d, sums, 1, (y * s->ow + x) * s->cs, c, c + 16);
      }
    }
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_each(const rotoi_low_depthwise *d, const rotoi_type type) {
  if (d->shape.kw == 3 && d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 3, 1, type);
  } else if (d->shape.kw == 3 && d->shape.stride == 2) {
    rotoi_low_depthwise_rows(d, 3, 2, type);
  } else if (d->shape.kw == 5 && d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 5, 1, type);
  } else if (d->shape.kw == 5 && d->shape.stride == 2) {
    rotoi_low_depthwise_rows(d, 5, 2, type);
  } else {
    rotoi_low_depthwise_any(d, type);
  }
}

static ROTOI_AVX512 void rotoi_depthwise_bf16(const rotoi_low_depthwise *d) {
  rotoi_low_depthwise_each(d, ROTOI_BF16);
}

static ROTOI_AVX512 void rotoi_depthwise_u8(const rotoi_low_depthwise *d) {
  rotoi_low_depthwise_each(d, ROTOI_U8);
}

/* ---- the rest: a few passes of an inference, for all types at once ---- */

static ROTOI_AVX512 void rotoi_low_put_any(void *p, size_t i, __m512 x, const rotoi_code *code) {
  if (code->type == ROTOI_F32) {
    rotoi_put_low(p, i, x, code, ROTOI_F32);
  } else if (code->type == ROTOI_BF16) {
    rotoi_put_low(p, i, x, code, ROTOI_BF16);
  } else {
    rotoi_put_low(p, i, x, code, ROTOI_U8);
  }
}

static ROTOI_AVX512 void rotoi_low_pool_each(const rotoi_low_pool *d) {
  const rotoi_pool *p = &d->shape;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      const size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m512 share = _mm512_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      for (size_t c = 0; c < p->cs; c += 16) {
        __m512 acc = _mm512_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            const size_t iy = y * p->stride + ky - p->pad_top, ix = x * p->stride + kx - p->pad_left;
            const __m512 v = rotoi_get_low(d->in, (iy * p->w_in + ix) * p->cs + c, &d->in_code);
            acc = p->max ? rotoi_max_avx512(acc, v) : _mm512_add_ps(acc, v);
          }
        }
        rotoi_low_put_any(d->out, (y * p->ow + x) * p->cs + c, _mm512_mul_ps(acc, share), &d->out_code);
      }
    }
  }
}

static ROTOI_AVX512 void rotoi_channel_sum_low(const void *in, rotoi_code code, size_t pixels, size_t cs, float scale,
                                               void *out, rotoi_code out_code) {
  for (size_t c = 0; c < cs; c += 16) {
    __m512 acc = _mm512_setzero_ps();
    for (size_t p = 0; p < pixels; ++p) acc = _mm512_add_ps(acc, rotoi_get_low(in, p * cs + c, &code));
    rotoi_low_put_any(out, c, _mm512_mul_ps(acc, _mm512_set1_ps(scale)), &out_code);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_add_act_low(const void *a, const rotoi_code *a_code, const void *b,
                                                 const rotoi_code *b_code, size_t n, const int act, void *out,
                                                 const rotoi_code *out_code) {
  for (size_t i = 0; i < n; i += 16) {
    __m512 x = rotoi_get_low(a, i, a_code);
    if (b) x = _mm512_add_ps(x, rotoi_get_low(b, i, b_code));
    rotoi_low_put_any(out, i, rotoi_act_low(x, act, ROTOI_F32), out_code);
  }
}

static ROTOI_AVX512 void rotoi_add_low(const void *a, rotoi_code a_code, const void *b, rotoi_code b_code, size_t n, int act,
                                       void *out, rotoi_code out_code){
#define ROTOI_CALL(constant) rotoi_add_act_low(a, &a_code, b, &b_code, n, constant, out, &out_code)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX512 void rotoi_scale_act_low(const void *a, const rotoi_code *a_code, const float *s, size_t pixels,
                                                   size_t cs, const int act, void *out, const rotoi_code *out_code) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; c += 16) {
      const __m512 x = _mm512_mul_ps(rotoi_get_low(a, p * cs + c, a_code), _mm512_loadu_ps(s + c));
      rotoi_low_put_any(out, p * cs + c, rotoi_act_low(x, act, ROTOI_F32), out_code);
    }
  }
}

static ROTOI_AVX512 void rotoi_scale_low(const void *a, rotoi_code a_code, const float *s, size_t pixels, size_t cs, int act,
                                         void *out, rotoi_code out_code) {
#define ROTOI_CALL(constant) rotoi_scale_act_low(a, &a_code, s, pixels, cs, constant, out, &out_code)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static const rotoi_low_kernels rotoi_kernels_bf16 = {
    ROTOI_BF16,          ROTOI_LOW_MR,          ROTOI_LOW_NR,  rotoi_gemm_14x32_bf16, rotoi_depthwise_bf16,
    rotoi_low_pool_each, rotoi_channel_sum_low, rotoi_add_low, rotoi_scale_low};
static const rotoi_low_kernels rotoi_kernels_u8 = {
    ROTOI_U8,           ROTOI_LOW_MR,        ROTOI_LOW_NR,          rotoi_gemm_14x32_u8,
    rotoi_depthwise_u8, rotoi_low_pool_each, rotoi_channel_sum_low, rotoi_add_low,
    rotoi_scale_low};

#endif
#endif
