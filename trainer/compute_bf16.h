/* Matrix work in bfloat16 for mixed precision, with AVX512-BF16; included by compute.c.
 *
 * One instruction, vdpbf16ps, adds two products to each float: the products of a pair.  A pair fills the 32 bits of a float, so
 * everything that walks over floats - gathered rows, panels, tiles, strides - walks over pairs unchanged; what differs is how
 * operands are packed, and that a sum over k takes half the steps of the runtime's gemm (kernels_low.c), which does the products:
 *
 *   products forward and to data   pairs are neighbouring channels.  A row of bfloat16 is a row of pairs as it lies; weights are
 *                                  packed as [tap][pair of rows][column][2].
 *   gradient of weights            the sum runs over pixels: pairs are two pixels, [pair of pixels][channel][2]: the same pixel
 *                                  of two images, or two neighbours where only 1 x 1 layers look.  Packing interleaves.
 *
 * Products of bfloat16 are exact in float and sums are floats, so the error is that of rounding the operands: relatively 2^-7 a
 * product.  The instruction flushes denormals to zero.  Weights are rounded from the float ones at each use. */

#ifdef ROTOI_X86_LOW
#define COMPUTE_BF16 1
#define K_BF16 ROTOI_AVX512_BF16

rotoi_inline K_BF16 __m512 bf16_fma(__m512 pairs, __m512 b, __m512 sum) {
  return _mm512_dpbf16_ps(sum, (__m512bh)pairs, (__m512bh)b);
}

/* As outer_tile of compute_kernels.h, in pairs of pixels: 28 accumulators + 2 b + 1 x = 31 of 32 registers; 28 products a step need
 * 16 loads, so the multipliers are the limit. */
rotoi_inline K_BF16 void bf16_outer_tile(const outer_product *o, const size_t m, const size_t nv) {
  __m512 acc0[14], acc1[14];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) acc0[i] = acc1[i] = _mm512_setzero_ps();
  const size_t a_stride = o->a_stride, b_stride = o->b_stride;
  for (size_t r = 0; r < o->rows; r++) {
    const float *a = o->a[r] + o->a_offset, *b = o->b[r] + o->b_offset;
    for (size_t p = o->columns; p != 0; p--, a += a_stride, b += b_stride) {
      __m512 b0 = _mm512_loadu_ps(b), b1 = nv > 1 ? _mm512_loadu_ps(b + 16) : b0;
      ROTOI_UNROLL
      for (size_t i = 0; i < m; i++) {
        __m512 x = _mm512_set1_ps(a[i]);
        acc0[i] = bf16_fma(x, b0, acc0[i]);
        if (nv > 1) acc1[i] = bf16_fma(x, b1, acc1[i]);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) {
    float *c = o->c + i * o->c_stride;
    __m512 x0 = acc0[i], x1 = acc1[i];
    if (o->add) {
      x0 = _mm512_add_ps(x0, _mm512_loadu_ps(c));
      if (nv > 1) x1 = _mm512_add_ps(x1, _mm512_loadu_ps(c + 16));
    }
    _mm512_storeu_ps(c, x0);
    if (nv > 1) _mm512_storeu_ps(c + 16, x1);
  }
}

#define TILE(i)                                                            \
  case i:                                                                  \
    o->vectors == 1 ? bf16_outer_tile(o, i, 1) : bf16_outer_tile(o, i, 2); \
    break;
static K_BF16 void bf16_outer(const outer_product *o) {
  switch (o->m) {
    TILE(1)
    TILE(2)
    TILE(3)
    TILE(4)
    TILE(5)
    TILE(6)
    TILE(7)
    TILE(8)
    TILE(9)
    TILE(10)
    TILE(11)
    TILE(12)
    TILE(13)
    TILE(14)
  }
}
#undef TILE

/* out[p] = in[p] rounded, in pairs of channels; channels from `channels` on are zero, because pairs reach into them. */
static K_BF16 void bf16_rows(const float *in, size_t pixels, size_t cs, size_t channels, float *out) {
  uint16_t *to = (uint16_t *)(void *)out;
  for (size_t p = 0; p < pixels; p++, in += cs, to += cs) {
    for (size_t c = 0; c < cs; c += 16) {
      __mmask16 real_lanes = channels - c >= 16 ? 0xffff : (__mmask16)((1u << (channels - c)) - 1);
      __m256i v = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(real_lanes, in + c));
      _mm256_storeu_si256((__m256i *)(void *)(to + c), v);
    }
  }
}

/* (a[i], b[i]) for 16 of each. */
rotoi_inline K_BF16 __m512i bf16_interleave(__m256i a, __m256i b) {
  __m512i high = _mm512_maskz_slli_epi32(0xffff, _mm512_cvtepu16_epi32(b), 16);
  return _mm512_or_si512(high, _mm512_cvtepu16_epi32(a));
}

/* out[p][c] = (a[p][c], b[p][c]) rounded, a and b `step` floats from pixel to pixel; b NULL: zeros. */
static K_BF16 void bf16_pairs(const float *a, const float *b, size_t pixels, size_t step, size_t cs, float *out) {
  for (size_t p = 0; p < pixels; p++, a += step, out += cs) {
    for (size_t c = 0; c < cs; c += 16) {
      __m256i first = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(a + c)), second = _mm256_setzero_si256();
      if (b) second = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(b + c));
      _mm512_storeu_si512((void *)(out + c), bf16_interleave(first, second));
    }
    if (b) b += step;
  }
}

/* Rows of weights into pairs of rows, [pair][width][2]; columns and the partner of an odd row past the end are zero.  Element
 * (row, column) lies at row * row_stride + column * column_stride, one of which is 1: rows of columns interleave as pixels do,
 * columns of rows are pairs already, 16 of which are spread over 16 rows of the result. */
static K_BF16 void bf16_panel(const float *in, size_t rows, size_t row_stride, size_t column_stride, size_t columns,
                              size_t width, float *out) {
  for (size_t r = 0; column_stride == 1 && r < rows; r += 2, in += 2 * row_stride, out += width) {
    for (size_t c = 0; c < width; c += 16) {
      __mmask16 lanes = columns <= c ? 0 : columns - c >= 16 ? 0xffff : (__mmask16)((1u << (columns - c)) - 1);
      __m256i a = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, in + c)), b = _mm256_setzero_si256();
      if (r + 1 < rows) b = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, in + row_stride + c));
      _mm512_storeu_si512((void *)(out + c), bf16_interleave(a, b));
    }
  }
  for (size_t r = 0; column_stride != 1 && r < rows; r += 32) {
    size_t count = rows - r < 32 ? rows - r : 32, pairs = (count + 1) / 2;
    __mmask32 lanes = count == 32 ? 0xffffffff : ((__mmask32)1 << count) - 1;
    float *to = out + r / 2 * width;
    for (size_t j = 0; j < width; j++) {
      uint32_t words[16];
      const float *column = in + j * column_stride + r;
      __mmask32 real_lanes = j < columns ? lanes : 0;
      __m512 low = _mm512_maskz_loadu_ps((__mmask16)real_lanes, column);
      __m512 high = _mm512_maskz_loadu_ps((__mmask16)(real_lanes >> 16), column + 16);
      _mm512_storeu_si512((void *)words, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      for (size_t i = 0; i < pairs; i++) memcpy(to + i * width + j, words + i, sizeof *words);
    }
  }
}
#else
#define COMPUTE_BF16 0
#endif
