/* The words of compute_kernels.h that are the same in its two AVX-512 copies, fp32 and mixed. */
#define K_LANES 16
#define K_ROWS 14
#define V __m512
#define V_LOAD(p) _mm512_loadu_ps(p)
#define V_STORE(p, v) _mm512_storeu_ps(p, v)
#define V_STREAMED() _mm_sfence()
#define V_ALL(s) _mm512_set1_ps(s)
#define V_ADD(a, b) _mm512_add_ps(a, b)
#define V_SUB(a, b) _mm512_sub_ps(a, b)
#define V_MUL(a, b) _mm512_mul_ps(a, b)
#define V_MAX(a, b) rotoi_max_avx512(a, b)
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define V_ABOVE(a, b, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), v)
#define V_EQUAL(a, b, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), v)
#define V_SQRT(v) _mm512_maskz_sqrt_ps(0xffff, v)
#define V_DIV(a, b) _mm512_div_ps(a, b)
#define V_EXPONENT(r)  \
  _mm512_castsi512_ps( \
      _mm512_add_epi32(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(r), 23), _mm512_set1_epi32(0x3f800000)))
