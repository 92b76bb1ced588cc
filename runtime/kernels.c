/* The kernel table: what each slot must do, written once.  kernels_scalar.c is the meaning of every slot in plain C;
 * kernels_avx2.c and kernels_avx512.c override all of them.
 *
 * Layout: values are NHWC float32 with the channel stride `cs` = channels rounded up to 16 (rotoi_stride), so that every
 * pixel starts on a 64-byte line and kernels never need a masked tail.  Lanes past the last channel are padding: they hold
 * anything, including NaN, and never reach a real lane, because no kernel mixes channels except gemm, whose k counts real
 * channels only.  One exception: a value of at most 4 channels (the picture) has cs = 4 and feeds convolutions only.
 *
 * No slot allocates; none keeps state; all may run on several threads on disjoint outputs.  Inputs and outputs may alias
 * only where it is said. */

#ifndef ROTOI_KERNELS
#define ROTOI_KERNELS

#include <stddef.h>
#include <stdint.h>

#include "api.h"
#include "../model_format/roto_format.h"

enum {
  ROTOI_LANES = 16,           /* floats a vector block: one AVX-512 register, two AVX2 registers */
  ROTOI_LINE = 64,            /* bytes: what values and packed weights are aligned to */
  ROTOI_DEPTHWISE_CHUNK = 128 /* channels of a depthwise tile from convolution to activation, so that it stays in L1 */
};

#define ROTOI_OUTSIDE ((size_t)-1) /* of the picture */

/* What the elements of a value are: float32; bfloat16, the upper half of a float32; a byte q that stands for scale * (q - zero). */
typedef enum rotoi_type { ROTOI_F32, ROTOI_BF16, ROTOI_U8 } rotoi_type;

static inline size_t rotoi_type_size(rotoi_type type) {
  return type == ROTOI_F32 ? sizeof(float) : type == ROTOI_BF16 ? 2 : 1;
}

/* How a value is stored.  scale, inverse = 1 / scale and zero are for bytes; zero is a whole number in 0..255, so that 0 is exact. */
typedef struct rotoi_code {
  rotoi_type type;
  float scale, inverse, zero;
} rotoi_code;

static inline size_t rotoi_stride(size_t channels) {
  return channels <= 4 ? 4 : (channels + ROTOI_LANES - 1) / ROTOI_LANES * ROTOI_LANES;
}

/* A tile of a matrix product with gathered rows: the one compute kernel behind 1x1, kxk and dense layers, forward and
 * backward.  For i < m, j < 16*nv:
 *     c[i][j] = act( bias[j] + sum over t < taps, l < k of a[t*m + i][l] * b[(t*k + l)*16*nv + j] + add[i][j] )
 * a: row pointers, tap-major; padding pixels point to zeros; rows need no alignment.  b: one packed panel (rotoi_pack_panels),
 * 64-byte aligned.  bias (16*nv floats) and add may be NULL; add may be c itself (accumulation).  Sums start at the
 * bias and run over t, then l, in order, one accumulator each, so the result does not depend on the tile. */
typedef struct rotoi_gemm {
  size_t m, nv;   /* 1 <= m <= mr, 1 <= nv <= nr / 16 */
  size_t taps, k; /* >= 1 */
  const float *const *a;
  const float *b, *bias, *add;
  float *c;
  size_t c_stride, add_stride; /* floats from row to row */
  int act;
} rotoi_gemm;

/* Depthwise convolution of one image, channels [c0, c1) (multiples of 16) and output rows [y0, y1):
 *     out[y][x][c] = act( bias[c] + sum over ky, kx of in[y*stride - pad_top + ky][x*stride - pad_left + kx][c] * w[ky][kx][c] )
 * w is [kh][kw][cs], bias [cs] or NULL (16-aligned, padded).  Input outside the picture counts as zero.  If sums is not NULL,
 * sums[c] += the results of this call, rows in order (squeeze-excite's mean without a second pass).  k 3 and 5 with stride 1
 * and 2 are the fast cases, all others must work. */
typedef struct rotoi_depthwise {
  const float *in, *w, *bias;
  float *out, *sums;
  size_t h, w_in, oh, ow, cs, kh, kw, stride, pad_top, pad_left;
  size_t c0, c1, y0, y1;
  int act;
} rotoi_depthwise;

/* Max or mean over windows of one image, output rows [y0, y1), all cs channels; window pixels outside do not count. */
typedef struct rotoi_pool {
  const float *in;
  float *out;
  size_t h, w_in, oh, ow, cs, kh, kw, stride, pad_top, pad_left, y0, y1;
  int max; /* 1: maximum, 0: mean */
} rotoi_pool;

typedef struct rotoi_kernels {
  roto_isa isa;
  size_t mr, nr; /* largest gemm tile: rows, columns (multiple of 16) */
  void (*gemm)(const rotoi_gemm *g);
  void (*depthwise)(const rotoi_depthwise *d);
  void (*pool)(const rotoi_pool *p);
  /* sums[j] += sum over l < k of x[l] * w[l * stride + j], l in order, for n columns and those up to a multiple of 16, which must be
   * readable.  It reads each weight once, and so the matrix as it lies; w may be of any alignment */
  void (*dense)(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums);
  /* out[c] = scale * sum over pixels of in[p][c], pixels in order; cs floats */
  void (*channel_sum)(const float *in, size_t pixels, size_t cs, float scale, float *out);
  /* out = act(a + b), n floats (multiple of 4); b NULL: the activation alone; out may be a or b */
  void (*add)(const float *a, const float *b, size_t n, int act, float *out);
  /* out[p][c] = act(a[p][c] * s[c]); out may be a */
  void (*scale)(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out);
} rotoi_kernels;

/* ---- low precision: slots beside those of a table, for values of bfloat16 or bytes (kernels_low.c).
 *
 * Sums of bfloat16 products are float32, of bytes int32 and exact.  Everything between a sum and the stored result happens in
 * float32: the residual, the activation, the pooled sums.  Lanes past the last channel hold anything finite: unlike in float32
 * values a product may read up to three of them, against weights of zero. */

/* How a swish falls short of a ramp, which is the same on both sides of zero: act(x) = max(x, 0) - fall(|x|).  In steps of the
 * stored bytes: fall[i] is 2^bits times what is missing where 2^bits |x| >> step is i.  0 <= bits <= 6, 0 <= step <= 7. */
typedef struct rotoi_fall {
  unsigned char fall[256];
  int32_t bits, step;
} rotoi_fall;

/* As rotoi_gemm, with k counted in words of 32 bits: pairs of bfloat16, or four bytes (a of 0..255, b of -127..127):
 *     c[i][j] = act( sum * factor[j] + bias[j] + add[i][j] )
 * b: panels of rotoi_pack_words.  factor is for bytes alone; bias may be NULL for bfloat16; add may be NULL, or c itself if both are
 * stored alike.  a, add and c may be of any alignment. */
typedef struct rotoi_low_gemm {
  size_t m, nv, taps, k;
  const unsigned char *const *a;
  const void *b;
  const float *factor, *bias;
  const void *add;
  void *c;
  rotoi_code add_code, c_code;
  size_t add_stride, c_stride; /* elements from row to row */
  int act;
  const rotoi_fall *curve; /* of act and c_code where both are known to the planner, or NULL: bytes alone, and slower without */
} rotoi_low_gemm;

/* As rotoi_depthwise, whose `in` and `out` are not used, on stored values.  Either weights and bias are float32, and a byte counts
 * as q - zero: its scale belongs to the weights.  Or, for kernels 3x3 and 5x5 of stride 1 and 2 (rotoi_has_words), `words` stands
 * for shape.w: a column of the kernel in words of bfloat16 or bytes (rotoi_pack_columns).  Then bytes count as they are, and
 * factor and bias belong to their sums as in rotoi_low_gemm; factor is NULL for bfloat16. */
typedef struct rotoi_low_depthwise {
  rotoi_depthwise shape;
  const void *in;
  void *out;
  rotoi_code in_code, out_code;
  const void *words, *outside; /* outside: a row of w_in * cs elements that stand for zero */
  const float *factor;
  const rotoi_fall *curve; /* as in rotoi_low_gemm */
} rotoi_low_depthwise;

static inline int rotoi_has_words(size_t kh, size_t kw, size_t stride) {
  return kh == kw && (kw == 3 || kw == 5) && (stride == 1 || stride == 2);
}

typedef struct rotoi_low_pool {
  rotoi_pool shape;
  const void *in;
  void *out;
  rotoi_code in_code, out_code;
} rotoi_low_pool;

typedef struct rotoi_low_kernels {
  rotoi_type type;
  size_t mr, nr;
  void (*gemm)(const rotoi_low_gemm *g);
  void (*depthwise)(const rotoi_low_depthwise *d);
  void (*pool)(const rotoi_low_pool *p);
  /* As in rotoi_kernels; a, b and out of any type.  add with b NULL and no activation changes how a value is stored. */
  void (*channel_sum)(const void *in, rotoi_code code, size_t pixels, size_t cs, float scale, void *out, rotoi_code out_code);
  void (*add)(const void *a, rotoi_code a_code, const void *b, rotoi_code b_code, size_t n, int act, void *out,
              rotoi_code out_code); /* n: a multiple of 16 */
  void (*scale)(const void *a, rotoi_code a_code, const float *s, size_t pixels, size_t cs, int act, void *out,
                rotoi_code out_code);
  /* Packing: words of `count` rows of float32 weights, `step` bytes apart and of any alignment, times scale[j] (NULL: 1), for n
   * columns and zeros up to a multiple of 16; for bytes, sums[j] += those of the column (kernels_low.c rounds as pack.c does). */
  void (*pack)(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale, void *out, int32_t *sums);
  /* most[j] = max(most[j], |w|) and, where not NULL, sums[j] += |w| over such rows.  NULL for bfloat16. */
  void (*sizes)(const unsigned char *row, size_t step, size_t count, size_t n, float *most, double *sums);
  /* out = the lower bfloat16 of each of n words times s0, the upper times s1; n a multiple of 16.  NULL for bytes. */
  void (*scale_words)(const void *words, float s0, float s1, size_t n, void *out);
} rotoi_low_kernels;

/* The best table of this machine that is not above `cap` (ROTO_ISA_AUTO: no cap).  Defined after the tables, in select.c. */
static const rotoi_kernels *rotoi_select_kernels(roto_isa cap);

/* The slots for BF16 or U8 that go with such a table, NULL where the machine has no instructions for them. */
static const rotoi_low_kernels *rotoi_select_low(const rotoi_kernels *kernels, rotoi_type type);

#endif
