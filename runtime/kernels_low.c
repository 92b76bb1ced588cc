/* Low precision on AVX-512: bfloat16 with the dot products of AVX512-BF16, bytes with those of AVX512-VNNI.
 *
 * gemm       the loop nest of kernels_avx512.c, whose step over one float becomes a step over one word of 32 bits: two bfloat16 or
 *            four bytes a lane, twice or four times the products at the same number of instructions and loads.  The sums of a
 *            tile go to a buffer in L1, from where the last pass activates, rounds and stores them; those of few words that end in a
 *            swish (ROTOI_SHORT_BF16, ROTOI_SHORT_U8) never leave the registers, 7 rows at a time, 8 and 6 in bytes.
 * depthwise  for y, tile of 8 x: for c by 16: for rows of the kernel by two (bfloat16) or four (bytes): load w[kw]; for each column of
 *            the input: gather these rows into a word a lane; acc[i] += word * w[kx] wherever i * stride + kx is that column.
 *            8 accumulators + 5 w + 1 word; a column of 3x3 in bytes takes five instructions to gather and three to multiply where
 *            float32 takes nine and nine.  Rows outside the picture are read from a row that stands for zeros.  A swish
 *            happens in registers.  Other kernels run in float32.
 * last pass  from 32-bit sums.  To bytes (rotoi_finish_bytes): times factor plus bias is the result in steps times 2^bits, which
 *            fits a word; from there on 32 values an instruction.  A swish is a ramp less what a table of 256 bytes says for |x|
 *            (rotoi_fall), looked up 64 at a time: 9 instructions a vector.  To bfloat16: a parabola chosen among 32 by two-register
 *            permutes, 10 instructions.  To float32, and what is rare: the exponential below.
 *
 * The exponential swish is x / (1 + 2^t), t = -x log2 e: 2^t by a cubic on what t is above a whole number, fitted by us for least
 * relative error, 7.6e-5, and scaled by the instruction that exists for it, which also takes care of overflow; the quotient by the
 * reciprocal to 14 bits.  bfloat16 and bytes are rounded to the nearest, halves to even; bytes saturate.
 *
 * Measured inside EfficientNet-B0 at 224x224 on one core of a Zen 4 EPYC (peaks: bf16 236 GFLOP/s, bytes 473 GOP/s), gcc 12 -O2, the
 * last pass included: 1x1 convolutions 181 GFLOP/s in bf16 (77 %) and 299 in bytes (63 %), depthwise 71 in both.
 * What limits, by the count of instructions: a 512-bit one occupies a pipe for two cycles, so four pipes begin at most two a cycle,
 * and products, multiplications and two-register permutes share two of them.  The last pass with swish takes 7.0 cycles a vector to
 * bfloat16 and 6.2 to bytes (both by the exponential: 9.5), as long as the products of 7 words.
 * Tried and lost: the compiler's intrinsic for products of bytes (half the speed under gcc 12, see rotoi_dot_u8; in bfloat16 it made
 * no difference).  Swish to bfloat16 by 16 parabolas of |x| with one-register permutes (two instructions more: 7.2 cycles), by a
 * table of powers 2^(i/16) and one multiply-add (no fewer instructions).  In the pass to bytes: rounding by a multiplication
 * instead of addition and shift, |x| from the ramp (6.4 and 6.5 cycles).  Sums in registers for more words: from 152 in bfloat16 on a
 * tenth slower at 7x7.  Fields of the pass's argument read inside the loop: bytes
 * are written through pointers that may point anywhere, so each was read again for each vector (2 cycles). */

#ifndef ROTOI_KERNELS_LOW
#define ROTOI_KERNELS_LOW

#include "config.c"
#include "base.c"
#include "kernels.c"
#include "kernels_scalar.c"
#include "kernels_avx512.c"

#ifdef ROTOI_X86_LOW

rotoi_inline ROTOI_AVX512 __m512 rotoi_sigmoid_low(__m512 x) {
  const __m512 one = _mm512_set1_ps(1), t = _mm512_mul_ps(x, _mm512_set1_ps(-ROTOI_LOG2E));
  const __m512 rest = _mm512_maskz_reduce_ps(0xffff, t, 1);
  __m512 power = _mm512_fmadd_ps(rest, _mm512_set1_ps(0.0779890f), _mm512_set1_ps(0.2261177f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.6958162f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.9999260f));
  power = _mm512_maskz_scalef_ps(0xffff, power, t);
  return _mm512_maskz_rcp14_ps(0xffff, _mm512_add_ps(power, one));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_act_low(__m512 x, const int act) {
  return act == ROTO_ACT_SWISH ? _mm512_mul_ps(x, rotoi_sigmoid_low(x)) : rotoi_act_avx512(x, act);
}

/* swish(x) by parabolas a + x (b + x c) about each half from -9 to 6, fitted by us for least error, and x - 0.006 from 6.25 on. */
static const float rotoi_swish_a[32] = {
    -0.04890827f, -0.06271557f, -0.08614553f, -0.1169035f,  -0.1564423f, -0.2059614f,  -0.2659394f,
    -0.3353907f,  -0.4107954f,  -0.4847577f,  -0.5447503f,  -0.5729933f, -0.5492555f,  -0.4602652f,
    -0.3147654f,  -0.1555464f,  -0.0430968f,  -0.00299786f, 0,           -0.00299786f, -0.0430968f,
    -0.1555464f,  -0.3147654f,  -0.4602652f,  -0.5492555f,  -0.5729933f, -0.5447503f,  -0.4847577f,
    -0.4107954f,  -0.3353907f,  -0.2659394f,  -0.006f};
static const float rotoi_swish_b[32] = {
    -0.009639409f, -0.01281567f, -0.01850606f, -0.0264586f, -0.03738697f, -0.05208811f, -0.07131842f, -0.09551982f,
    -0.1242895f,   -0.1554551f,  -0.1836442f,  -0.1985114f, -0.1834009f,  -0.1176932f,  0.01316436f,  0.1967271f,
    0.3769648f,    0.4812861f,   0.5f,         0.5187139f,  0.6230352f,   0.8032729f,   0.9868356f,   1.117693f,
    1.183401f,     1.198511f,    1.183644f,    1.155455f,   1.12429f,     1.09552f,     1.071318f,    1};
static const float rotoi_swish_c[32] = {
    -0.000480951f, -0.0006636222f, -0.001009152f, -0.001523231f, -0.002278445f, -0.003369677f, -0.004911297f, -0.007019962f,
    -0.009764657f, -0.01304847f,   -0.01636074f,  -0.01831759f,  -0.0159142f,   -0.003779033f, 0.02567008f,   0.07866298f,
    0.151121f,     0.219536f,      0.2489273f,    0.219536f,     0.151121f,     0.07866298f,   0.02567008f,   -0.003779033f,
    -0.0159142f,   -0.01831759f,   -0.01636074f,  -0.01304847f,  -0.009764657f, -0.007019962f, -0.004911297f, 0};

rotoi_inline ROTOI_AVX512 __m512 rotoi_choose_low(const float *table, __m512i index) {
  return _mm512_permutex2var_ps(_mm512_loadu_ps(table), index, _mm512_loadu_ps(table + 16));
}

/* Where bfloat16 are the result.  A float of 1.5 * 2^23 and more holds a whole number in its low bits, of which the tables take
 * five. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_act_bf16(__m512 x, const int act) {
  if (act != ROTO_ACT_SWISH) return rotoi_act_avx512(x, act);
  x = rotoi_max_avx512(_mm512_set1_ps(-9), x);
  __m512i i = _mm512_castps_si512(_mm512_fmadd_ps(x, _mm512_set1_ps(2), _mm512_set1_ps(12582912 + 18)));
  i = _mm512_maskz_min_epi32(0xffff, i, _mm512_set1_epi32(0x4b400000 + 31));
  const __m512 y = _mm512_fmadd_ps(x, rotoi_choose_low(rotoi_swish_c, i), rotoi_choose_low(rotoi_swish_b, i));
  return _mm512_fmadd_ps(x, y, rotoi_choose_low(rotoi_swish_a, i));
}

/* Instructions by name, where the function's target does not hold them: whoever calls it knows that the machine has them.
 * 64 of the 128 bytes of two tables (AVX512-VBMI); rounding to bfloat16, halves to even (AVX512-BF16). */
rotoi_inline ROTOI_AVX512 __m512i rotoi_choose_bytes(__m512i a, __m512i b, __m512i index) {
  __asm__("vpermi2b %2, %1, %0" : "+v"(index) : "v"(a), "v"(b));
  return index;
}
rotoi_inline ROTOI_AVX512 __m512i rotoi_round_bf16(__m512 low, __m512 high) {
  __m512i y;
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(y) : "v"(low), "v"(high));
  return y;
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

/* The last pass over rows of 16 * vectors sums, float32 or, with factors, int32 that stand for from * factor + bias of their
 * column: to = act(from + add), and the sums of each column as in rotoi_finish_avx512. */
typedef struct rotoi_low_finish {
  void *from; /* overwritten */
  const float *factor, *bias;
  const void *add; /* or NULL */
  void *to;
  size_t from_stride, add_stride, to_stride, rows, vectors;
  const rotoi_code *add_code, *to_code;
  const rotoi_fall *curve; /* or NULL */
  float *sums;             /* or NULL */
} rotoi_low_finish;

/* Two vectors of sums of a row as 32 words: 2^bits times the result, or what comes before the curve. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_words_of(__m512i sum0, __m512i sum1, const __m512 *factor, const __m512 *bias) {
  const __m512 a = _mm512_maskz_cvtepi32_ps(0xffff, sum0), b = _mm512_maskz_cvtepi32_ps(0xffff, sum1);
  return _mm512_packs_epi32(_mm512_maskz_cvtps_epi32(0xffff, _mm512_fmadd_ps(a, factor[0], bias[0])),
                            _mm512_maskz_cvtps_epi32(0xffff, _mm512_fmadd_ps(b, factor[1], bias[1])));
}

/* Words of two rows as bytes, the first row first.  Packing leaves each four columns of the one vector beside four of the other,
 * lane by lane, which unpacking undoes. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_bytes_of(__m512i x, __m512i y) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_maskz_permutexvar_epi32(0xffff, order, _mm512_packus_epi16(x, y));
}

/* A curve in registers, and its way from 2^bits steps to steps above the code's zero. */
typedef struct rotoi_curving {
  __m512i fall[4], half;
  __m128i step, bits;
} rotoi_curving;

rotoi_inline ROTOI_AVX512 rotoi_curving rotoi_load_curve(const rotoi_fall *curve, const rotoi_code *code) {
  rotoi_curving c;
  ROTOI_UNROLL
  for (int i = 0; i < 4; ++i) c.fall[i] = _mm512_loadu_si512(curve->fall + 64 * i);
  c.half = _mm512_set1_epi16((short)((2 * (int)code->zero + 1) << curve->bits >> 1));
  c.step = _mm_cvtsi32_si128(curve->step), c.bits = _mm_cvtsi32_si128(curve->bits);
  return c;
}

rotoi_inline ROTOI_AVX512 void rotoi_apply_curve(__m512i *x, __m512i *y, const rotoi_curving *c) {
  const __m512i none = _mm512_setzero_si512();
  const __m512i index =
      _mm512_packus_epi16(_mm512_srl_epi16(_mm512_abs_epi16(*x), c->step), _mm512_srl_epi16(_mm512_abs_epi16(*y), c->step));
  const __m512i less = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), rotoi_choose_bytes(c->fall[0], c->fall[1], index),
                                              rotoi_choose_bytes(c->fall[2], c->fall[3], index));
  *x = _mm512_sub_epi16(_mm512_max_epi16(*x, none), _mm512_unpacklo_epi8(less, none));
  *y = _mm512_sub_epi16(_mm512_max_epi16(*y, none), _mm512_unpackhi_epi8(less, none));
  *x = _mm512_sra_epi16(_mm512_adds_epi16(*x, c->half), c->bits);
  *y = _mm512_sra_epi16(_mm512_adds_epi16(*y, c->half), c->bits);
}

/* int32 to bytes, two vectors of two rows at a time. */
rotoi_inline ROTOI_AVX512 void rotoi_finish_bytes_each(const rotoi_low_finish *given, int act, const int curved,
                                                       const int summed) {
  const rotoi_low_finish f = *given; /* bytes are written: what they might change would be read again each time */
  const rotoi_code code = *f.to_code;
  const rotoi_fall *curve = f.curve;
  const __m512i none = _mm512_setzero_si512();
  const __m512i zero = _mm512_set1_epi16((short)code.zero), most = _mm512_set1_epi16(255);
  __m512i low = _mm512_set1_epi16(act == ROTO_ACT_NONE ? -32768 : (short)code.zero), high = most;
  const __m512 unit = _mm512_set1_ps(code.inverse * (float)(curved ? 1 << curve->bits : 1));
  const __m512 start = _mm512_set1_ps(curved ? 0 : code.zero);
  if (act == ROTO_ACT_RELU6 && 6 * code.inverse + code.zero < 255)
    high = _mm512_set1_epi16((short)_mm_cvtss_si32(_mm_set_ss(6 * code.inverse + code.zero)));
  rotoi_curving curving;
  if (curved) curving = rotoi_load_curve(curve, &code);
  for (size_t v = 0; v < f.vectors; v += 2) {
    const size_t second = v + 1 < f.vectors ? 16 : 0;
    __m512 factor[2], bias[2];
    __m512i sum = none;
    for (int i = 0; i < 2; ++i) {
      factor[i] = _mm512_mul_ps(_mm512_loadu_ps(f.factor + 16 * v + (i ? second : 0)), unit);
      bias[i] = _mm512_fmadd_ps(_mm512_loadu_ps(f.bias + 16 * v + (i ? second : 0)), unit, start);
    }
    for (size_t i = 0; i < f.rows; i += 2) {
      const size_t more = i + 1 < f.rows;
      const int32_t *from = (const int32_t *)f.from + i * f.from_stride + 16 * v;
      unsigned char *to = (unsigned char *)f.to + i * f.to_stride + 16 * v;
      const int32_t *next = from + more * f.from_stride;
      __m512i x = rotoi_words_of(_mm512_loadu_si512(from), _mm512_loadu_si512(from + second), factor, bias);
      __m512i y = rotoi_words_of(_mm512_loadu_si512(next), _mm512_loadu_si512(next + second), factor, bias);
      if (curved) {
        rotoi_apply_curve(&x, &y, &curving);
      } else {
        x = _mm512_min_epi16(_mm512_max_epi16(x, low), high);
        y = _mm512_min_epi16(_mm512_max_epi16(y, low), high);
      }
      if (summed) {
        x = _mm512_min_epi16(_mm512_max_epi16(x, none), most);
        y = _mm512_min_epi16(_mm512_max_epi16(y, none), most);
        sum = _mm512_add_epi16(sum, _mm512_sub_epi16(x, zero));
        if (more) sum = _mm512_add_epi16(sum, _mm512_sub_epi16(y, zero));
      }
      const __m512i bytes = rotoi_bytes_of(x, y);
      const __m256i first = _mm512_maskz_extracti64x4_epi64(0xf, bytes, 0),
                    last = _mm512_maskz_extracti64x4_epi64(0xf, bytes, 1);
      if (second) {
        _mm256_storeu_si256((__m256i *)(void *)to, first);
        if (more) _mm256_storeu_si256((__m256i *)(void *)(to + f.to_stride), last);
      } else {
        _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(first));
        if (more) _mm_storeu_si128((__m128i *)(void *)(to + f.to_stride), _mm256_castsi256_si128(last));
      }
    }
    if (summed) {
      const __m512i sign = _mm512_srai_epi16(sum, 15);
      for (int i = 0; i < 2; ++i) {
        float *to = f.sums + 16 * v + (i ? second : 0);
        const __m512i part = i ? _mm512_unpackhi_epi16(sum, sign) : _mm512_unpacklo_epi16(sum, sign);
        if (i && !second) break;
        _mm512_storeu_ps(
            to, _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, part), _mm512_set1_ps(code.scale), _mm512_loadu_ps(to)));
      }
    }
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_bytes(const rotoi_low_finish *f, int act) {
  if (f->curve && f->sums) {
    rotoi_finish_bytes_each(f, act, 1, 1);
  } else if (f->curve) {
    rotoi_finish_bytes_each(f, act, 1, 0);
  } else if (f->sums) {
    rotoi_finish_bytes_each(f, act, 0, 1);
  } else {
    rotoi_finish_bytes_each(f, act, 0, 0);
  }
}

/* Two vectors at a time, which make one of bfloat16. */
rotoi_inline ROTOI_AVX512 void rotoi_low_finish_each(const rotoi_low_finish *given, const int act, const rotoi_type type,
                                                     const int summed) {
  const rotoi_low_finish f = *given;
  for (size_t v = 0; v < f.vectors; v += 2) {
    const size_t second = f.vectors - v < 2 ? 0 : 16;
    __m512 sum = _mm512_setzero_ps(), more = sum;
    if (summed) sum = _mm512_loadu_ps(f.sums + 16 * v), more = _mm512_loadu_ps(f.sums + 16 * v + second);
    for (size_t i = 0; i < f.rows; ++i) {
      const float *from = (const float *)f.from + i * f.from_stride + 16 * v;
      const size_t to = i * f.to_stride + 16 * v;
      __m512 x = _mm512_loadu_ps(from), y = _mm512_loadu_ps(from + second);
      if (type == ROTOI_BF16) {
        x = rotoi_act_bf16(x, act), y = rotoi_act_bf16(y, act);
        const __m512i both = rotoi_round_bf16(x, y);
        if (second) {
          _mm512_storeu_si512((uint16_t *)f.to + to, both);
        } else {
          _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)f.to + to), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
        }
      } else {
        x = rotoi_act_low(x, act), y = rotoi_act_low(y, act);
        _mm512_storeu_ps((float *)f.to + to, x);
        _mm512_storeu_ps((float *)f.to + to + second, y);
      }
      if (summed) sum = _mm512_add_ps(sum, x), more = _mm512_add_ps(more, y);
    }
    if (summed) _mm512_storeu_ps(f.sums + 16 * v, sum), _mm512_storeu_ps(f.sums + 16 * v + second, more);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_finish_rows(const rotoi_low_finish *f, const int act, const rotoi_type type) {
  if (f->sums) {
    rotoi_low_finish_each(f, act, type, 1);
  } else {
    rotoi_low_finish_each(f, act, type, 0);
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

/* Sums to float32 and with what is added, in place. */
rotoi_noinline ROTOI_AVX512 void rotoi_finish_floats(const rotoi_low_finish *given) {
  const rotoi_low_finish f = *given;
  const rotoi_code code = *f.add_code;
  for (size_t v = 0; v < f.vectors; ++v) {
    __m512 factor = _mm512_setzero_ps(), bias = factor;
    if (f.factor) factor = _mm512_loadu_ps(f.factor + 16 * v), bias = _mm512_loadu_ps(f.bias + 16 * v);
    for (size_t i = 0; i < f.rows; ++i) {
      float *at = (float *)f.from + i * f.from_stride + 16 * v;
      __m512 x = _mm512_loadu_ps(at);
      if (f.factor) x = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, _mm512_castps_si512(x)), factor, bias);
      if (f.add) x = _mm512_add_ps(x, rotoi_get_low(f.add, i * f.add_stride + 16 * v, &code));
      _mm512_storeu_ps(at, x);
    }
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_quantize(const rotoi_low_finish *given) {
  const rotoi_low_finish f = *given;
  const rotoi_code code = *f.to_code;
  for (size_t i = 0; i < f.rows; ++i) {
    for (size_t c = 0; c < 16 * f.vectors; c += 16)
      rotoi_put_low(f.to, i * f.to_stride + c, _mm512_loadu_ps((const float *)f.from + i * f.from_stride + c), &code, ROTOI_U8);
  }
}

static void rotoi_low_finish_all(const rotoi_low_finish *f, int act) {
  const rotoi_type type = f->to_code->type;
  if (f->factor && type == ROTOI_U8 && !f->add && (f->curve || act <= ROTO_ACT_RELU6)) {
    rotoi_finish_bytes(f, act);
    return;
  }
  if (f->factor || f->add) rotoi_finish_floats(f);
  if (type == ROTOI_BF16) {
    rotoi_low_finish_bf16(f, act);
    return;
  }
  rotoi_low_finish plain = *f;
  if (type == ROTOI_U8) plain.to = f->from, plain.to_stride = f->from_stride;
  rotoi_low_finish_f32(&plain, act);
  if (type == ROTOI_U8) rotoi_finish_quantize(f);
}

/* ---- gemm ---- */

enum { ROTOI_LOW_MR = 14, ROTOI_LOW_NR = 32 };

/* acc += x * b, two bfloat16 or four bytes a lane.  Through the compiler's intrinsics gcc 12 keeps accumulators in memory
 * as well, and loads b again for each product of bytes: half the speed there. */
rotoi_inline ROTOI_AVX512 void rotoi_dot_bf16(__m512 *acc, __m512i x, __m512i b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}
rotoi_inline ROTOI_AVX512 void rotoi_dot_u8(__m512i *acc, __m512i x, __m512i b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}

/* The sums of rows [first, first + m) of a tile, to [g->m][16 * nv]. */
rotoi_inline ROTOI_AVX512 void rotoi_sums_bf16(const rotoi_low_gemm *g, size_t first, float *out, const size_t m,
                                               const size_t nv) {
  const __m512 zero = _mm512_setzero_ps(), bias0 = g->bias ? _mm512_loadu_ps(g->bias) : zero;
  const __m512 bias1 = g->bias && nv > 1 ? _mm512_loadu_ps(g->bias + 16) : zero;
  __m512 acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a + first;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
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
    _mm512_storeu_ps(out + (first + i) * 16 * nv, acc0[i]);
    if (nv > 1) _mm512_storeu_ps(out + (first + i) * 16 * nv + 16, acc1[i]);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_sums_u8(const rotoi_low_gemm *g, size_t first, float *out, const size_t m,
                                             const size_t nv) {
  __m512i acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = acc1[i] = _mm512_setzero_si512();
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a + first;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
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
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    _mm512_storeu_si512(out + (first + i) * 16 * nv, acc0[i]);
    if (nv > 1) _mm512_storeu_si512(out + (first + i) * 16 * nv + 16, acc1[i]);
  }
}

/* Short sums with swish, as in rotoi_gemm_swish_avx512; words of which that was measured to be faster. */
enum { ROTOI_SHORT_BF16 = 96, ROTOI_SHORT_U8 = 44 };

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_swish_bf16(const rotoi_low_gemm *given) {
  enum { M = ROTOI_SHORT_MR };
  const rotoi_low_gemm g = *given;
  const __m512 zero = _mm512_setzero_ps(), bias0 = g.bias ? _mm512_loadu_ps(g.bias) : zero;
  const __m512 bias1 = g.bias ? _mm512_loadu_ps(g.bias + 16) : zero;
  for (size_t first = 0; first < g.m; first += M) {
    const unsigned char *b = (const unsigned char *)g.b;
    __m512 acc0[M], acc1[M];
    size_t row[M];
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) acc0[i] = bias0, acc1[i] = bias1, row[i] = first + i < g.m ? first + i : g.m - 1;
    for (size_t t = 0; t < g.taps; ++t) {
      const unsigned char *a[M];
      ROTOI_UNROLL
      for (size_t i = 0; i < M; ++i) a[i] = g.a[t * g.m + row[i]];
      for (size_t l = 0; l < g.k; ++l, b += 128) {
        const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
        ROTOI_UNROLL
        for (size_t i = 0; i < M; ++i) {
          const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
          rotoi_dot_bf16(&acc0[i], x, b0);
          rotoi_dot_bf16(&acc1[i], x, b1);
        }
      }
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i)
      _mm512_storeu_si512((uint16_t *)g.c + row[i] * g.c_stride,
                          rotoi_round_bf16(rotoi_act_bf16(acc0[i], ROTO_ACT_SWISH), rotoi_act_bf16(acc1[i], ROTO_ACT_SWISH)));
  }
}

/* Bytes take rows by two. */
rotoi_inline ROTOI_AVX512 void rotoi_gemm_curve_tile(const rotoi_low_gemm *g, size_t first, const rotoi_curving *curving,
                                                     const __m512 *factor, const __m512 *bias, const size_t m) {
  const unsigned char *b = (const unsigned char *)g->b;
  __m512i acc0[8], acc1[8];
  size_t row[8];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    acc0[i] = acc1[i] = _mm512_setzero_si512();
    row[i] = first + i < g->m ? first + i : g->m - 1;
  }
  for (size_t t = 0; t < g->taps; ++t) {
    const unsigned char *a[8];
    ROTOI_UNROLL
    for (size_t i = 0; i < m; ++i) a[i] = g->a[t * g->m + row[i]];
    for (size_t l = 0; l < g->k; ++l, b += 128) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_u8(&acc0[i], x, b0);
        rotoi_dot_u8(&acc1[i], x, b1);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i += 2) {
    __m512i x = rotoi_words_of(acc0[i], acc1[i], factor, bias), y = rotoi_words_of(acc0[i + 1], acc1[i + 1], factor, bias);
    rotoi_apply_curve(&x, &y, curving);
    const __m512i bytes = rotoi_bytes_of(x, y);
    _mm256_storeu_si256((__m256i *)(void *)((unsigned char *)g->c + row[i] * g->c_stride),
                        _mm512_maskz_extracti64x4_epi64(0xf, bytes, 0));
    _mm256_storeu_si256((__m256i *)(void *)((unsigned char *)g->c + row[i + 1] * g->c_stride),
                        _mm512_maskz_extracti64x4_epi64(0xf, bytes, 1));
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_curve(const rotoi_low_gemm *given) {
  const rotoi_low_gemm g = *given;
  const rotoi_curving curving = rotoi_load_curve(g.curve, &g.c_code);
  const __m512 unit = _mm512_set1_ps(g.c_code.inverse * (float)(1 << g.curve->bits));
  __m512 factor[2], bias[2];
  for (int i = 0; i < 2; ++i) {
    factor[i] = _mm512_mul_ps(_mm512_loadu_ps(g.factor + 16 * i), unit);
    bias[i] = _mm512_mul_ps(_mm512_loadu_ps(g.bias + 16 * i), unit);
  }
  for (size_t first = 0; first < g.m;) {
    if (g.m - first > 6) {
      rotoi_gemm_curve_tile(&g, first, &curving, factor, bias, 8);
      first += 8;
    } else {
      rotoi_gemm_curve_tile(&g, first, &curving, factor, bias, 6);
      first += 6;
    }
  }
}

static void rotoi_finish_low_gemm(const rotoi_low_gemm *g, void *sums) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = 16 * g->nv;
  f.factor = g->factor, f.bias = g->bias, f.curve = g->curve;
  f.add = g->add, f.add_stride = g->add_stride, f.add_code = &g->add_code;
  f.to = g->c, f.to_stride = g->c_stride, f.to_code = &g->c_code;
  f.rows = g->m, f.vectors = g->nv;
  f.sums = NULL;
  rotoi_low_finish_all(&f, g->act);
}

#define ROTOI_TILE(sums, m)         \
  case m:                           \
    if (g->nv == 1) {               \
      sums(g, first, buffer, m, 1); \
    } else {                        \
      sums(g, first, buffer, m, 2); \
    }                               \
    break;
#define ROTOI_TILES(sums)                                       \
  for (size_t first = 0, count; first < g->m; first += count) { \
    count = rotoi_tile_height(g->m - first);                    \
    switch (count) {                                            \
      ROTOI_TILE(sums, 1)                                       \
      ROTOI_TILE(sums, 2)                                       \
      ROTOI_TILE(sums, 3)                                       \
      ROTOI_TILE(sums, 4)                                       \
      ROTOI_TILE(sums, 5)                                       \
      ROTOI_TILE(sums, 6)                                       \
      ROTOI_TILE(sums, 7)                                       \
      ROTOI_TILE(sums, 14)                                      \
      default:                                                  \
        ROTO_ASSERT(0);                                         \
    }                                                           \
  }

static ROTOI_AVX512 void rotoi_gemm_14x32_bf16(const rotoi_low_gemm *g) {
  if (g->act == ROTO_ACT_SWISH && g->c_code.type == ROTOI_BF16 && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT_BF16) {
    rotoi_gemm_swish_bf16(g);
    return;
  }
  rotoi_ask_avx512(g->c, g->m, g->c_stride * rotoi_type_size(g->c_code.type), 64);
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_bf16)
  rotoi_finish_low_gemm(g, buffer);
}

static ROTOI_AVX512 void rotoi_gemm_14x32_u8(const rotoi_low_gemm *g) {
  if (g->curve && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT_U8) {
    rotoi_gemm_curve(g);
    return;
  }
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_u8)
  rotoi_finish_low_gemm(g, buffer);
}
#undef ROTOI_TILES
#undef ROTOI_TILE

/* ---- depthwise ---- */

static void rotoi_finish_low_depthwise(const rotoi_low_depthwise *d, float *sums, size_t n, size_t place, size_t c0,
                                       size_t c1) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = 16;
  f.factor = d->factor ? d->factor + c0 : NULL, f.bias = d->factor ? d->shape.bias + c0 : NULL, f.curve = d->curve;
  f.add = NULL, f.add_stride = 0, f.add_code = &d->in_code;
  f.to = (unsigned char *)d->out + (place + c0) * rotoi_type_size(d->out_code.type);
  f.to_stride = d->shape.cs, f.to_code = &d->out_code;
  f.rows = n, f.vectors = (c1 - c0) / 16;
  f.sums = d->shape.sums ? d->shape.sums + c0 : NULL;
  rotoi_low_finish_all(&f, d->shape.act);
}

/* How 16 channels of two rows of bfloat16, or of four of bytes once their quarters are exchanged, become 16 words.  In memory: gcc 12
 * makes constants of registers anew for each word. */
static const uint16_t rotoi_zip_halves[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                              8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
static const uint32_t rotoi_zip_quarters[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
static const unsigned char rotoi_zip_bytes[64] = {
    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

/* Words of what `count` rows of the kernel meet in 16 channels, elements `at` of each: that of the first in the lowest part, and so
 * on; anything in a part without a row, whose weights are zero. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_low_column(const unsigned char *const *row, size_t at, const size_t count,
                                                   const rotoi_type type) {
  if (type == ROTOI_BF16) {
    const __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)(row[0] + 2 * at));
    if (count == 1) return _mm512_maskz_cvtepu16_epi32(0xffff, first);
    const __m256i second = _mm256_loadu_si256((const __m256i *)(const void *)(row[1] + 2 * at));
    return _mm512_maskz_permutexvar_epi16(0xffffffff, _mm512_loadu_si512(rotoi_zip_halves),
                                          _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(first), second, 1));
  }
  const __m128i top = _mm_loadu_si128((const __m128i *)(const void *)(row[0] + at));
  if (count == 1) return _mm512_maskz_cvtepu8_epi32(0xffff, top);
  __m512i v = _mm512_castsi128_si512(top);
  ROTOI_UNROLL
  for (size_t i = 1; i < count; ++i)
    v = _mm512_mask_broadcast_i32x4(v, (__mmask16)(0xf << 4 * i),
                                    _mm_loadu_si128((const __m128i *)(const void *)(row[i] + at)));
  return _mm512_shuffle_epi8(_mm512_maskz_permutexvar_epi32(0xffff, _mm512_loadu_si512(rotoi_zip_quarters), v),
                             _mm512_loadu_si512(rotoi_zip_bytes));
}

/* The last pass over `n` of eight pixels of 16 channels in registers: swish to bfloat16. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_swish_bf16(__m512 *acc, size_t n, uint16_t *to, size_t stride, float *sums) {
  __m512 sum = sums ? _mm512_loadu_ps(sums) : _mm512_setzero_ps();
  ROTOI_UNROLL
  for (size_t i = 0; i < 8; i += 2) {
    if (i >= n) continue;
    const __m512 x = rotoi_act_bf16(acc[i], ROTO_ACT_SWISH), y = rotoi_act_bf16(acc[i + 1], ROTO_ACT_SWISH);
    const __m512i both = rotoi_round_bf16(x, y);
    sum = _mm512_add_ps(sum, x);
    _mm256_storeu_si256((__m256i *)(void *)(to + i * stride), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
    if (i + 1 == n) continue;
    sum = _mm512_add_ps(sum, y);
    _mm256_storeu_si256((__m256i *)(void *)(to + (i + 1) * stride), _mm512_maskz_extracti64x4_epi64(0xf, both, 1));
  }
  if (sums) _mm512_storeu_ps(sums, sum);
}

/* The same by a curve to bytes, four pixels a vector: packing puts one into each of its quarters. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_curve(const __m512 *acc, size_t n, const rotoi_low_depthwise *d,
                                                     const rotoi_curving *curving, __m512 unit, size_t c, unsigned char *to) {
  const rotoi_code *code = &d->out_code;
  const __m512i none = _mm512_setzero_si512(), most = _mm512_set1_epi16(255), zero = _mm512_set1_epi16((short)code->zero);
  const __m512 f = _mm512_mul_ps(_mm512_loadu_ps(d->factor + c), unit);
  const __m512 b = _mm512_mul_ps(_mm512_loadu_ps(d->shape.bias + c), unit);
  const __m512 factor[2] = {f, f}, bias[2] = {b, b};
  __m512i sum = none;
  ROTOI_UNROLL
  for (size_t i = 0; i < 8; i += 4) {
    if (i >= n) continue;
    __m512i x = rotoi_words_of(_mm512_castps_si512(acc[i]), _mm512_castps_si512(acc[i + 1]), factor, bias);
    __m512i y = rotoi_words_of(_mm512_castps_si512(acc[i + 2]), _mm512_castps_si512(acc[i + 3]), factor, bias);
    rotoi_apply_curve(&x, &y, curving);
    if (d->shape.sums) {
      const uint32_t even = 0x0f0f0f0fu, odd = 0xf0f0f0f0u;
      x = _mm512_min_epi16(_mm512_max_epi16(x, none), most);
      y = _mm512_min_epi16(_mm512_max_epi16(y, none), most);
      sum = _mm512_mask_add_epi16(sum, even | (i + 1 < n ? odd : 0), sum, _mm512_sub_epi16(x, zero));
      sum = _mm512_mask_add_epi16(sum, (i + 2 < n ? even : 0) | (i + 3 < n ? odd : 0), sum, _mm512_sub_epi16(y, zero));
    }
    const __m512i bytes = rotoi_bytes_of(x, y);
    unsigned char *at = to + i * d->shape.cs;
    _mm_storeu_si128((__m128i *)(void *)at, _mm512_maskz_extracti32x4_epi32(0xf, bytes, 0));
    if (i + 1 < n) _mm_storeu_si128((__m128i *)(void *)(at + d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 1));
    if (i + 2 < n) _mm_storeu_si128((__m128i *)(void *)(at + 2 * d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 2));
    if (i + 3 < n) _mm_storeu_si128((__m128i *)(void *)(at + 3 * d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 3));
  }
  if (d->shape.sums) {
    float *sums = d->shape.sums + c;
    sum = _mm512_add_epi16(sum, _mm512_maskz_shuffle_epi32(0xffff, sum, _MM_PERM_BADC));
    const __m512 part = _mm512_maskz_cvtepi32_ps(0xffff, _mm512_unpacklo_epi16(sum, _mm512_srai_epi16(sum, 15)));
    _mm512_storeu_ps(sums, _mm512_fmadd_ps(part, _mm512_set1_ps(code->scale), _mm512_loadu_ps(sums)));
  }
}

/* Outputs x .. x + 8 of row y, as many as there are. */
rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_tile(const rotoi_low_depthwise *d, size_t y, size_t x, const size_t kw,
                                                        const size_t stride, const rotoi_type type) {
  enum { TILE = 8 };
  const rotoi_depthwise *s = &d->shape;
  const size_t span = (TILE - 1) * stride + kw, size = rotoi_type_size(type), per = 4 / size;
  const __m512i outside = _mm512_set1_epi32(type == ROTOI_U8 ? (int)((uint32_t)d->in_code.zero * 0x01010101u) : 0);
  const unsigned char *row[5], *here[5];
  rotoi_depthwise_window at;
  rotoi_curving curving;
  const int in_registers = type == ROTOI_BF16 ? s->act == ROTO_ACT_SWISH && d->out_code.type == ROTOI_BF16 : d->curve != NULL;
  __m512 unit = _mm512_setzero_ps();
  if (type == ROTOI_U8 && in_registers) {
    curving = rotoi_load_curve(d->curve, &d->out_code);
    unit = _mm512_set1_ps(d->out_code.inverse * (float)(1 << d->curve->bits));
  }
  rotoi_depthwise_find(s, y, x, TILE, span, &at);
  for (size_t ky = 0; ky < kw; ++ky) {
    const size_t iy = y * stride + ky - s->pad_top; /* wraps above the picture */
    row[ky] = (const unsigned char *)(iy < s->h ? d->in : d->outside) + (iy < s->h ? iy * s->w_in * s->cs * size : 0);
  }
  for (size_t c = s->c0; c < s->c1; c += 16) {
    const size_t place = (y * s->ow + x) * s->cs;
    const unsigned char *w = (const unsigned char *)d->words + 4 * c;
    const __m512 bias = type == ROTOI_BF16 && s->bias ? _mm512_loadu_ps(s->bias + c) : _mm512_setzero_ps();
    __m512 acc[TILE];
    ROTOI_UNROLL
    for (size_t i = 0; i < TILE; ++i) acc[i] = bias;
    ROTOI_UNROLL
    for (size_t ky = 0; ky < kw; ++ky) here[ky] = row[ky] + c * size;
    ROTOI_UNROLL
    for (size_t ky = 0; ky < kw; ky += per, w += 4 * kw * s->cs) {
      __m512i weight[5];
      ROTOI_UNROLL
      for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm512_loadu_si512(w + 4 * kx * s->cs);
      ROTOI_UNROLL
      for (size_t j = 0; j < span; ++j) {
        __m512i pixel = outside;
        if (at.column[j] != ROTOI_OUTSIDE)
          pixel = rotoi_low_column(here + ky, at.column[j], kw - ky < per ? kw - ky : per, type);
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) {
          const size_t i = (j - kx) / stride;
          if (!(j >= kx && i * stride == j - kx && i < TILE)) continue;
          if (type == ROTOI_BF16) {
            rotoi_dot_bf16(&acc[i], pixel, weight[kx]);
          } else {
            __m512i sum = _mm512_castps_si512(acc[i]);
            rotoi_dot_u8(&sum, pixel, weight[kx]);
            acc[i] = _mm512_castsi512_ps(sum);
          }
        }
      }
    }
    if (in_registers && type == ROTOI_BF16) {
      rotoi_depthwise_swish_bf16(acc, at.n, (uint16_t *)d->out + place + c, s->cs, s->sums ? s->sums + c : NULL);
    } else if (in_registers) {
      rotoi_depthwise_curve(acc, at.n, d, &curving, unit, c, (unsigned char *)d->out + place + c);
    } else {
      float sums[16 * TILE];
      ROTOI_UNROLL
      for (size_t i = 0; i < TILE; ++i) _mm512_storeu_ps(sums + 16 * i, acc[i]);
      rotoi_finish_low_depthwise(d, sums, at.n, place, c, c + 16);
    }
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_rows(const rotoi_low_depthwise *d, const size_t kw, const size_t stride,
                                                        const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  for (size_t y = s->y0; y < s->y1; ++y) {
    for (size_t x = 0; x < s->ow; x += 8) rotoi_low_depthwise_tile(d, y, x, kw, stride, type);
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
  if (!d->words) {
    rotoi_low_depthwise_any(d, type);
  } else if (d->shape.kw == 3 && d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 3, 1, type);
  } else if (d->shape.kw == 3) {
    rotoi_low_depthwise_rows(d, 3, 2, type);
  } else if (d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 5, 1, type);
  } else {
    rotoi_low_depthwise_rows(d, 5, 2, type);
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
    rotoi_low_put_any(out, i, rotoi_act_low(x, act), out_code);
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
      rotoi_low_put_any(out, p * cs + c, rotoi_act_low(x, act), out_code);
    }
  }
}

/* Bytes to bytes in words: (q - zero) 2^e, times a factor of which 2^-e is below one, rounded by the multiplication.  0 if a factor
 * is too large for that. */
static ROTOI_AVX512 int rotoi_scale_bytes(const unsigned char *a, const rotoi_code *a_code, const float *s, size_t pixels,
                                          size_t cs, unsigned char *out, const rotoi_code *out_code) {
  const float unit = a_code->scale * out_code->inverse;
  __m512 most = _mm512_setzero_ps();
  for (size_t c = 0; c < cs; c += 16)
    most = rotoi_max_avx512(most, _mm512_maskz_andnot_ps(0xffff, _mm512_set1_ps(-0.0f), _mm512_loadu_ps(s + c)));
  float lanes[ROTOI_LANES], largest = 0;
  int e = 0;
  _mm512_storeu_ps(lanes, most);
  for (size_t i = 0; i < ROTOI_LANES; ++i) largest = lanes[i] * unit > largest ? lanes[i] * unit : largest;
  for (; e < 7 && largest >= 0.999f; ++e) largest *= 0.5f;
  if (!(largest < 0.999f)) return 0;
  const __m256i from = _mm256_set1_epi16((short)a_code->zero), to = _mm256_set1_epi16((short)out_code->zero);
  const __m128i shift = _mm_cvtsi32_si128(e);
  for (size_t c = 0; c < cs; c += 16) {
    const __m512 factor = _mm512_mul_ps(_mm512_loadu_ps(s + c), _mm512_set1_ps(unit * (float)(1 << (15 - e))));
    const __m256i f = _mm512_maskz_cvtsepi32_epi16(0xffff, _mm512_maskz_cvtps_epi32(0xffff, factor));
    for (size_t i = c; i < pixels * cs; i += cs) {
      __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(a + i)));
      x = _mm256_mulhrs_epi16(_mm256_sll_epi16(_mm256_sub_epi16(x, from), shift), f);
      x = _mm256_max_epi16(_mm256_add_epi16(x, to), _mm256_setzero_si256());
      _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_maskz_cvtusepi16_epi8(0xffff, x));
    }
  }
  return 1;
}

/* bfloat16 to bfloat16, two vectors at a time. */
static ROTOI_AVX512 void rotoi_scale_bf16(const uint16_t *a, const float *s, size_t pixels, size_t cs, uint16_t *out) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 32) {
      const size_t second = cs - c < 32 ? 0 : 16;
      const __m512 x = _mm512_mul_ps(rotoi_load_avx512(a, c, ROTOI_BF16), _mm512_loadu_ps(s + c));
      const __m512 y = _mm512_mul_ps(rotoi_load_avx512(a, c + second, ROTOI_BF16), _mm512_loadu_ps(s + c + second));
      const __m512i both = rotoi_round_bf16(x, y);
      if (second) {
        _mm512_storeu_si512(out + c, both);
      } else {
        _mm256_storeu_si256((__m256i *)(void *)(out + c), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
      }
    }
  }
}

static ROTOI_AVX512 void rotoi_scale_low(const void *a, rotoi_code a_code, const float *s, size_t pixels, size_t cs, int act,
                                         void *out, rotoi_code out_code) {
  if (a_code.type == ROTOI_U8 && out_code.type == ROTOI_U8 && act == ROTO_ACT_NONE &&
      rotoi_scale_bytes((const unsigned char *)a, &a_code, s, pixels, cs, (unsigned char *)out, &out_code))
    return;
  if (a_code.type == ROTOI_BF16 && out_code.type == ROTOI_BF16 && act == ROTO_ACT_NONE) {
    rotoi_scale_bf16((const uint16_t *)a, s, pixels, cs, (uint16_t *)out);
    return;
  }
#define ROTOI_CALL(constant) rotoi_scale_act_low(a, &a_code, s, pixels, cs, constant, out, &out_code)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static ROTOI_AVX512 void rotoi_scale_words(const void *words, float s0, float s1, size_t n, void *out) {
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);
  for (size_t i = 0; i < n; i += 16) {
    const __m512i v = _mm512_loadu_si512((const unsigned char *)words + 4 * i);
    const __m512 a = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, v, 16)), _mm512_set1_ps(s0));
    const __m512 b = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_and_si512(v, upper)), _mm512_set1_ps(s1));
    const __m512i low = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(_mm512_castps_si512(a), half), 16);
    const __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(b), half), upper);
    _mm512_storeu_si512((unsigned char *)out + 4 * i, _mm512_or_si512(low, high));
  }
}

/* ---- packing: bound by memory, so the vectors need not be full ---- */

rotoi_inline ROTOI_AVX512 __mmask16 rotoi_first_lanes(size_t n) {
  return (__mmask16)(n < ROTOI_LANES ? (1u << n) - 1 : 0xffff);
}

static ROTOI_AVX512 void rotoi_pack_bf16(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale,
                                         void *out, int32_t *sums) {
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);
  (void)sums;
  for (size_t c = 0; c < n; c += ROTOI_LANES) {
    const __mmask16 lanes = rotoi_first_lanes(n - c);
    const __m512 factor = scale ? _mm512_maskz_loadu_ps(lanes, scale + c) : _mm512_set1_ps(1);
    const __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, row + 4 * c), factor);
    const __m512 b = _mm512_mul_ps(_mm512_maskz_loadu_ps(count > 1 ? lanes : 0, row + (count > 1 ? step : 0) + 4 * c), factor);
    const __m512i low = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(_mm512_castps_si512(a), half), 16);
    const __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(b), half), upper);
    _mm512_storeu_si512((unsigned char *)out + 4 * c, _mm512_or_si512(low, high));
  }
}

static ROTOI_AVX512 void rotoi_pack_u8(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale,
                                       void *out, int32_t *sums) {
  for (size_t c = 0; c < n; c += ROTOI_LANES) {
    const __mmask16 lanes = rotoi_first_lanes(n - c);
    const __m512 factor = scale ? _mm512_maskz_loadu_ps(lanes, scale + c) : _mm512_set1_ps(1);
    __m512i word = _mm512_setzero_si512(), sum = _mm512_maskz_loadu_epi32(lanes, sums + c);
    for (size_t i = 0; i < count; ++i) {
      const __m512 w = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, row + i * step + 4 * c), factor);
      const __m512i q = _mm512_maskz_cvtps_epi32(0xffff, w), byte = _mm512_and_si512(q, _mm512_set1_epi32(0xff));
      word = _mm512_or_si512(word, _mm512_maskz_sll_epi32(0xffff, byte, _mm_cvtsi32_si128((int)(8 * i))));
      sum = _mm512_add_epi32(sum, q);
    }
    _mm512_mask_storeu_epi32(sums + c, lanes, sum);
    _mm512_storeu_si512((unsigned char *)out + 4 * c, word);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_add_doubles(double *to, __mmask8 lanes, __m256 x) {
  _mm512_mask_storeu_pd(to, lanes, _mm512_add_pd(_mm512_maskz_cvtps_pd(0xff, x), _mm512_maskz_loadu_pd(lanes, to)));
}

static ROTOI_AVX512 void rotoi_sizes_low(const unsigned char *row, size_t step, size_t count, size_t n, float *most,
                                         double *sums) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  for (size_t i = 0; i < count; ++i, row += step) {
    for (size_t c = 0; c < n; c += ROTOI_LANES) {
      const __mmask16 lanes = rotoi_first_lanes(n - c);
      const __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, row + 4 * c));
      const __m512 w = _mm512_castsi512_ps(_mm512_and_si512(bits, size));
      _mm512_mask_storeu_ps(most + c, lanes, rotoi_max_avx512(w, _mm512_maskz_loadu_ps(lanes, most + c)));
      if (!sums) continue;
      rotoi_add_doubles(sums + c, (__mmask8)lanes, _mm512_maskz_extractf32x8_ps(0xff, w, 0));
      rotoi_add_doubles(sums + c + 8, (__mmask8)(lanes >> 8), _mm512_maskz_extractf32x8_ps(0xff, w, 1));
    }
  }
}

static const rotoi_low_kernels rotoi_kernels_bf16 = {ROTOI_BF16,
                                                     ROTOI_LOW_MR,
                                                     ROTOI_LOW_NR,
                                                     rotoi_gemm_14x32_bf16,
                                                     rotoi_depthwise_bf16,
                                                     rotoi_low_pool_each,
                                                     rotoi_channel_sum_low,
                                                     rotoi_add_low,
                                                     rotoi_scale_low,
                                                     rotoi_pack_bf16,
                                                     NULL,
                                                     rotoi_scale_words};
static const rotoi_low_kernels rotoi_kernels_u8 = {
    ROTOI_U8,           ROTOI_LOW_MR,        ROTOI_LOW_NR,          rotoi_gemm_14x32_u8,
    rotoi_depthwise_u8, rotoi_low_pool_each, rotoi_channel_sum_low, rotoi_add_low,
    rotoi_scale_low,    rotoi_pack_u8,       rotoi_sizes_low,       NULL};

#endif
#endif
