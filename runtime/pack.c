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

/* Blocks of constant length, which compilers turn into vectors. */
static inline void rotoi_pack_row(const unsigned char *row, const float *scale, size_t count, float *out) {
  size_t j = 0;
  for (; j + ROTOI_LANES <= count; j += ROTOI_LANES) {
    float block[ROTOI_LANES];
    for (size_t i = 0; i < ROTOI_LANES; ++i) block[i] = rotoi_f32(row + 4 * (j + i));
    for (size_t i = 0; scale && i < ROTOI_LANES; ++i) block[i] *= scale[j + i];
    for (size_t i = 0; i < ROTOI_LANES; ++i) out[j + i] = block[i];
  }
  for (; j < count; ++j) out[j] = rotoi_f32(row + 4 * j) * (scale ? scale[j] : 1);
}

/* All panels side by side, so that the file is read strictly forwards. */
static inline void rotoi_pack_panels(const rotoi_pack *p, float *out) {
  const size_t rows = p->taps * p->k;
  for (size_t r = 0; r < rows; ++r) {
    const size_t t = r / p->k, tap = p->tap_offset ? p->tap_offset[t] : t * p->k * p->columns;
    const unsigned char *row = (const unsigned char *)p->weights + (tap + r % p->k * p->row_stride) * 4;
    for (size_t first = 0; first < p->columns; first += p->nr) {
      const size_t width = rotoi_panel_vectors(first / p->nr, p->columns, p->nr) * ROTOI_LANES;
      const size_t real = p->columns - first < width ? p->columns - first : width;
      const float *scale = p->scale ? p->scale + first : NULL;
      float *to = out + first * rows + r * width;
      if (p->col_stride == 1) {
        rotoi_pack_row(row + 4 * first, scale, real, to);
      } else {
        for (size_t j = 0; j < real; ++j) to[j] = rotoi_f32(row + (first + j) * p->col_stride * 4) * (scale ? scale[j] : 1);
      }
      for (size_t j = real; j < width; ++j) to[j] = 0;
    }
  }
}

/* ---- low precision: words of 32 bits that hold `per` = 2 or 4 consecutive rows of a column.  A tap's k rows become
 * ceil(k / per) words, the last one filled with zeros; panels as above, counted in words. */

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

/* The row of column 0 at (t, l), and how far its columns stand apart in bytes. */
static inline const unsigned char *rotoi_pack_at(const rotoi_pack *p, size_t t, size_t l) {
  const size_t tap = p->tap_offset ? p->tap_offset[t] : t * p->k * p->columns;
  return (const unsigned char *)p->weights + (tap + l * p->row_stride) * 4;
}

/* Weight number `i`, of `column`, as it is stored. */
static inline void rotoi_put_weight(const rotoi_pack *p, rotoi_type type, size_t i, size_t column, unsigned char *to) {
  const float w = rotoi_f32((const unsigned char *)p->weights + 4 * i) * (p->scale ? p->scale[column] : 1);
  if (type == ROTOI_BF16) {
    const uint16_t half = rotoi_to_bf16(w);
    memcpy(to, &half, 2);
  } else {
    *to = (unsigned char)rotoi_round(w);
  }
}

/* As rotoi_pack_panel, to `out`, the start of the packed matrix.  For bytes p->scale already takes weights to -127..127. */
static inline void rotoi_pack_words(const rotoi_pack *p, rotoi_type type, size_t panel, unsigned char *out) {
  const size_t per = 4 / rotoi_type_size(type), words = rotoi_words(p->k, type), first = panel * p->nr;
  const size_t width = rotoi_panel_vectors(panel, p->columns, p->nr) * ROTOI_LANES;
  const size_t real = p->columns - first < width ? p->columns - first : width;
  out += 4 * first * p->taps * words;
  memset(out, 0, 4 * width * p->taps * words);
  for (size_t t = 0; t < p->taps; ++t) {
    for (size_t l = 0; l < p->k; ++l) {
      const unsigned char *row = rotoi_pack_at(p, t, l) + first * p->col_stride * 4;
      unsigned char *to = out + 4 * width * (t * words + l / per) + l % per * rotoi_type_size(type);
      for (size_t j = 0; j < real; ++j) {
        const float w = rotoi_f32(row + j * p->col_stride * 4) * (p->scale ? p->scale[first + j] : 1);
        if (type == ROTOI_BF16) {
          const uint16_t half = rotoi_to_bf16(w);
          memcpy(to + 4 * j, &half, 2);
        } else {
          to[4 * j] = (unsigned char)rotoi_round(w);
        }
      }
    }
  }
}

/* The weights [kh][kw][columns] of a depthwise convolution to [ceil(kh / per)][kw][cs] words: each holds `per` rows of the kernel
 * in a channel, zeros where there is none.  p: taps = kh * kw, k = 1; p->scale as in rotoi_pack_words. */
static inline void rotoi_pack_columns(const rotoi_pack *p, rotoi_type type, size_t kw, size_t cs, unsigned char *out) {
  const size_t size = rotoi_type_size(type), per = 4 / size, kh = p->taps / kw;
  memset(out, 0, 4 * ((kh + per - 1) / per) * kw * cs);
  for (size_t t = 0; t < p->taps; ++t) {
    unsigned char *to = out + 4 * cs * (t / kw / per * kw + t % kw) + t / kw % per * size;
    for (size_t c = 0; c < p->columns; ++c) rotoi_put_weight(p, type, t * p->columns + c, c, to + 4 * c);
  }
}

/* For each column what takes its weights to bytes: the largest to 127, or less where 255 times the sum of their sizes, and of what
 * rounding may add, could leave an int32.  Halves of at most ROTOI_MOST_BYTE_ROWS rows are far below that limit. */
enum { ROTOI_MOST_BYTE_ROWS = 1 << 22 };

static inline void rotoi_byte_scales(const rotoi_pack *p, float *scale) {
  const size_t rows = p->taps * p->k;
  const double limit = 2147483647.0 / 255 - (double)rows / 2;
  for (size_t j = 0; j < p->columns; ++j) scale[j] = 0;
  for (size_t t = 0; t < p->taps; ++t) {
    for (size_t l = 0; l < p->k; ++l) {
      const unsigned char *row = rotoi_pack_at(p, t, l);
      for (size_t j = 0; j < p->columns; ++j) {
        const float w = rotoi_f32(row + j * p->col_stride * 4), size = w < 0 ? -w : w;
        scale[j] = size > scale[j] ? size : scale[j];
      }
    }
  }
  for (size_t j = 0; j < p->columns; ++j) {
    scale[j] = scale[j] > 1e-30f ? 127 / scale[j] : 1;
    if ((double)rows * 127 <= limit) continue;
    double sum = 0;
    for (size_t t = 0; t < p->taps; ++t) {
      for (size_t l = 0; l < p->k; ++l) {
        const double w = (double)rotoi_f32(rotoi_pack_at(p, t, l) + j * p->col_stride * 4);
        sum += w < 0 ? -w : w;
      }
    }
    if (sum * (double)scale[j] > limit) scale[j] = (float)(0.999 * limit / sum);
  }
}

/* The sum of a packed column of bytes. */
static inline int64_t rotoi_byte_sum(const rotoi_pack *p, size_t column, const unsigned char *packed) {
  const size_t panel = column / p->nr, width = rotoi_panel_vectors(panel, p->columns, p->nr) * ROTOI_LANES;
  const size_t words = p->taps * rotoi_words(p->k, ROTOI_U8);
  const signed char *word = (const signed char *)packed + 4 * (panel * p->nr * words + column % p->nr);
  int64_t sum = 0;
  for (size_t i = 0; i < words; ++i, word += 4 * width) sum += word[0] + word[1] + word[2] + word[3];
  return sum;
}

#endif
