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

/* One panel, to its place in `out`, the start of the whole packed matrix; panels may be packed on different threads. */
static inline void rotoi_pack_panel(const rotoi_pack *p, size_t panel, float *out) {
  const unsigned char *weights = (const unsigned char *)p->weights;
  size_t first = panel * p->nr;
  size_t width = rotoi_panel_vectors(panel, p->columns, p->nr) * ROTOI_LANES;
  size_t real = p->columns - first < width ? p->columns - first : width;
  out += first * p->taps * p->k;
  for (size_t t = 0; t < p->taps; ++t) {
    size_t tap = p->tap_offset ? p->tap_offset[t] : t * p->k * p->columns;
    for (size_t l = 0; l < p->k; ++l, out += width) {
      const unsigned char *row = weights + (tap + l * p->row_stride + first * p->col_stride) * 4;
      for (size_t j = 0; j < real; ++j) out[j] = rotoi_f32(row + j * p->col_stride * 4);
      if (p->scale) {
        for (size_t j = 0; j < real; ++j) out[j] *= p->scale[first + j];
      }
      for (size_t j = real; j < width; ++j) out[j] = 0;
    }
  }
}

static inline void rotoi_pack_panels(const rotoi_pack *p, float *out) {
  for (size_t panel = 0; panel < rotoi_panel_count(p->columns, p->nr); ++panel) rotoi_pack_panel(p, panel, out);
}

#endif
