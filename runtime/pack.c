/* Weights into the order in which gemm reads them.  The right-hand matrix of a layer, taps * k rows by `columns`, is cut into
 * panels of nr columns; a panel holds its rows one after the other, so that the kernel reads memory strictly forwards:
 *
 *   panel p, row r, column j:  out[p * nr * rows + r * width + j],  width = nr, in the last panel what is left, up to a
 *                              multiple of 16; columns past the end are zero
 *
 * Strides and a list of taps describe every use: a convolution forward (rows are input channels, row_stride = oc, col_stride
 * = 1), its backward pass (rows are output channels, so both strides are exchanged and the taps run in another order), and
 * dense layers (one tap). */

#ifndef ROTOI_PACK
#define ROTOI_PACK

#include "base.c"
#include "kernels.c"

/* Element (t, l, j) is weights[tap_offset[t] + l * row_stride + j * col_stride] * scale[j], with tap_offset NULL meaning
 * t * k * columns and scale NULL meaning 1.  Weights are float32 as in a file: little-endian, any alignment. */
typedef struct rotoi_pack {
  const void *weights;
  const size_t *tap_offset;
  size_t taps, k, columns, row_stride, col_stride;
  const float *scale;
  size_t nr;
} rotoi_pack;

static inline size_t rotoi_panel_count(size_t columns, size_t nr) {
  return (columns + nr - 1) / nr;
}

/* Floats of a packed matrix of `rows` = taps * k; 0 if they or their bytes do not fit a size_t. */
static inline size_t rotoi_packed_count(size_t rows, size_t columns) {
  size_t width, count, bytes;
  if (!rotoi_add(columns, ROTOI_LANES - 1, &width)) return 0;
  if (!rotoi_mul(width / ROTOI_LANES * ROTOI_LANES, rows, &count) || !rotoi_mul(count, sizeof(float), &bytes)) return 0;
  return count;
}

/* Vectors of 16 columns in a panel: gemm's nv. */
static inline size_t rotoi_panel_vectors(size_t panel, size_t columns, size_t nr) {
  size_t left = columns - panel * nr;
  return left >= nr ? nr / ROTOI_LANES : (left + ROTOI_LANES - 1) / ROTOI_LANES;
}

/* Where the row (t, l) starts. */
static inline const unsigned char *rotoi_pack_at(const rotoi_pack *p, size_t t, size_t l) {
  const size_t tap = p->tap_offset ? p->tap_offset[t] : t * p->k * p->columns;
  return (const unsigned char *)p->weights + (tap + l * p->row_stride) * 4;
}

/* Columns [first, first + 16) of a row, times their factors; zeros past the last column. */
rotoi_inline void rotoi_pack_block(const rotoi_pack *p, const unsigned char *row, size_t first, float *block) {
  const size_t real = p->columns - first < ROTOI_LANES ? p->columns - first : (size_t)ROTOI_LANES;
  const float *scale = p->scale ? p->scale + first : NULL;
  row += first * p->col_stride * 4;
  if (real == ROTOI_LANES && p->col_stride == 1 && rotoi_is_little()) { /* of constant length, for compilers */
    memcpy(block, row, ROTOI_LANES * sizeof(float));
    if (scale) {
      for (size_t i = 0; i < ROTOI_LANES; ++i) block[i] *= scale[i];
    }
    return;
  }
  for (size_t i = 0; i < real; ++i) block[i] = rotoi_f32(row + i * p->col_stride * 4) * (scale ? scale[i] : 1);
  for (size_t i = real; i < ROTOI_LANES; ++i) block[i] = 0;
}

/* All panels side by side, so that the file is read strictly forwards. */
static inline void rotoi_pack_panels(const rotoi_pack *p, float *out) {
  const size_t rows = p->taps * p->k;
  for (size_t r = 0; r < rows; ++r) {
    const unsigned char *row = rotoi_pack_at(p, r / p->k, r % p->k);
    for (size_t first = 0; first < p->columns; first += p->nr) {
      const size_t width = rotoi_panel_vectors(first / p->nr, p->columns, p->nr) * ROTOI_LANES;
      float *to = out + first * rows + r * width;
      for (size_t j = 0; j < width; j += ROTOI_LANES) {
        float block[ROTOI_LANES];
        rotoi_pack_block(p, row, first + j, block);
        memcpy(to + j, block, sizeof block);
      }
    }
  }
}

/* ---- low precision: words of 32 bits that hold `per` = 2 or 4 consecutive rows of a column.  A tap's k rows become
 * ceil(k / per) words, the last one filled with zeros; panels as above, counted in words.  Columns stand side by side. */

static inline size_t rotoi_words(size_t k, rotoi_type type) {
  const size_t per = 4 / rotoi_type_size(type);
  return (k + per - 1) / per;
}

/* To the nearest, halves away from zero, as kernels_low.c does. */
static inline uint16_t rotoi_to_bf16(float value) {
  return (uint16_t)((rotoi_bits(value) + 0x8000u) >> 16);
}

/* The nearest whole number of |value| <= 2^22, halves to even: adding 1.5 * 2^23 leaves it in the low bits. */
static inline int32_t rotoi_round(float value) {
  return (int32_t)(rotoi_bits(value + 12582912.0f) - 0x4b400000u);
}

/* As rotoi_pack_panels.  For bytes p->scale already takes weights to -127..127, and the sum of each column is added to sums[j], which
 * has room for whole vectors. */
static inline void rotoi_pack_words(const rotoi_low_kernels *low, const rotoi_pack *p, unsigned char *out, int32_t *sums) {
  const size_t per = 4 / rotoi_type_size(low->type), words = rotoi_words(p->k, low->type), rows = p->taps * words;
  for (size_t r = 0; r < rows; ++r) {
    const size_t l = r % words * per, count = p->k - l < per ? p->k - l : per;
    const unsigned char *row = rotoi_pack_at(p, r / words, l);
    for (size_t first = 0; first < p->columns; first += p->nr) {
      const size_t vectors = rotoi_panel_vectors(first / p->nr, p->columns, p->nr), width = vectors * ROTOI_LANES;
      low->pack(row + 4 * first, 4 * p->row_stride, count, p->columns - first < width ? p->columns - first : width,
                p->scale + first, out + 4 * (first * rows + r * width), sums + first);
    }
  }
}

/* The weights [kh][kw][columns] of a depthwise convolution to [ceil(kh / per)][kw][cs] words: each holds `per` rows of the kernel
 * in a channel, zeros where there is none.  p: taps = kh * kw, k = 1; p->scale and sums as in rotoi_pack_words. */
static inline void rotoi_pack_columns(const rotoi_low_kernels *low, const rotoi_pack *p, size_t kw, unsigned char *out,
                                      int32_t *sums) {
  const size_t per = 4 / rotoi_type_size(low->type), kh = p->taps / kw, width = rotoi_packed_count(1, p->columns);
  for (size_t ky = 0; ky < kh; ky += per) {
    for (size_t kx = 0; kx < kw; ++kx, out += 4 * width)
      low->pack(rotoi_pack_at(p, ky * kw + kx, 0), 4 * kw * p->columns, kh - ky < per ? kh - ky : per, p->columns, p->scale,
                out, sums);
  }
}

/* For each column what takes its weights to bytes: the largest to 127, or less where 255 times the sum of their sizes, and of what
 * rounding may add, could leave an int32.  Halves of at most ROTOI_MOST_BYTE_ROWS rows are far below that limit. */
enum { ROTOI_MOST_BYTE_ROWS = 1 << 22 };

static inline void rotoi_byte_scales(const rotoi_low_kernels *low, const rotoi_pack *p, float *scale) {
  enum { BLOCK = 256 };
  const size_t rows = p->taps * p->k;
  const double limit = 2147483647.0 / 255 - (double)rows / 2;
  for (size_t first = 0, end; first < p->columns; first = end) {
    double sums[BLOCK] = {0};
    end = p->columns - first < BLOCK ? p->columns : first + BLOCK;
    for (size_t j = first; j < end; ++j) scale[j] = 0;
    for (size_t t = 0; t < p->taps; ++t)
      low->sizes(rotoi_pack_at(p, t, 0) + 4 * first, 4 * p->row_stride, p->k, end - first, scale + first,
                 (double)rows * 127 > limit ? sums : NULL);
    for (size_t j = first; j < end; ++j) {
      scale[j] = scale[j] > 1e-30f ? 127 / scale[j] : 1;
      if (sums[j - first] * (double)scale[j] > limit) scale[j] = (float)(0.999 * limit / sums[j - first]);
    }
  }
}

#endif
