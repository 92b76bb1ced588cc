/* The fast side of compute.h.  Convolutions in both directions are one gathered matrix product on the runtime's gemm kernel:
 * a list of taps says which input pixel each output pixel reads, so nothing is unrolled in memory.  Weight gradients are outer
 * products accumulated in registers while pixels stream past; everything else is one or two passes over memory.  Kernels that
 * only training needs are in compute_kernels.h, compiled here for each instruction set.
 *
 * Work is cut into tasks by shape alone and partial sums are added in the order of the tasks, so the number of threads never
 * changes a bit. */

#define ROTO_IMPLEMENTATION
#define ROTO_STATIC
#include "../roto.h"

#include "compute.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ROTO_REAL_DOUBLE
#error "compute.c is for float; link compute_reference.c instead"
#endif

/* ---- what the kernels take ---- */

typedef struct outer_product {
  size_t m, vectors;    /* rows and vectors of the tile */
  size_t rows, columns; /* pixel rows, pixels in each */
  const float *const *a, *const *b;
  size_t a_offset, b_offset; /* channels of the tile */
  size_t a_stride, b_stride; /* floats from pixel to pixel */
  float *c;
  size_t c_stride;
  int add;
} outer_product;

typedef struct depthwise_product {
  const float *in, *d; /* padded pixels of 16 floats; output gradient, cs floats from pixel to pixel, d_row from row to row */
  float *out;          /* [kh][kw], out_stride floats apart */
  size_t rows, columns, in_row, cs, d_row, out_stride, kh, kw, stride;
} depthwise_product;

typedef struct depthwise_row {
  float *out;
  size_t out_stride, count, taps;
  const float *const *in;
  size_t offset, in_step;
  const float *w;
  int add;
} depthwise_row;

/* Where a pass puts a block of pixels: as floats, in blocks of 16 channels that lie block_stride apart (16 in a value, or a plane
 * each for the depthwise kernels); or, where y is NULL, rounded to operands of a product in compute_bf16.h's order, each of them
 * or NULL. */
typedef struct pass_out {
  float *y;
  size_t pixel_stride, block_stride;
  int add; /* y += */
  float *rows, *pairs;
  size_t cs, real_channels; /* of rows and pairs; padding becomes zero */
} pass_out;

/* Passes over blocks of pixels; `first`: index of the block's first element in the stored value, `half`: of that value. */
typedef struct read_pass {
  size_t pixels, channels, first, x_stride;
  const float *x;
  int half;
  const float *mean, *scale, *beta, *factor; /* mean, factor may be NULL */
  pass_out out;
} read_pass;

typedef struct read_slope_pass {
  size_t pixels, channels, first, x_stride;
  const float *dz, *x;
  int half;
  const float *mean, *scale, *offset, *slope; /* mean may be NULL */
  pass_out out;
} read_slope_pass;

typedef struct slope_pass {
  size_t pixels, channels, first, x_stride, in_first, in_stride;
  const float *in, *x;
  float *out; /* laid out like x; may be in */
  int in_half, half;
  const float *mean, *scale, *beta, *factor, *addition;
  float *sum, *product;
  int stream;
} slope_pass;

typedef struct store_pass {
  size_t pixels, channels, in_stride, first, out_stride;
  const float *in, *shift;
  float *out, *sum, *squares; /* out, or sum and squares, may be NULL */
  int half, stream;
} store_pass;

/* How many elements ahead of its use a pass asks for what it reads: the same channels of later pixels, some 2 KiB on (1 and 16
 * KiB are slower).  Past the end of a value it asks for memory that is not there, which does no harm. */
static size_t pass_ahead(size_t channels, size_t stride, int half) {
  size_t bytes = channels * (half ? 2 : 4);
  return (2048 + bytes - 1) / bytes * stride;
}

typedef struct point_slope {
  float x, y, spread, gx, gy, gq, per_w, per_h;
} point_slope;

typedef struct training_kernels {
  size_t outer_rows, lanes;
  void (*outer)(const outer_product *o);
  void (*depthwise)(const depthwise_row *r);
  void (*depthwise_weights)(const depthwise_product *d);
  void (*sums)(const float *x, size_t pixels, size_t cs, const float *shift, float *sum, float *squares);
  void (*read)(const read_pass *r, int act);
  void (*view_sum)(const read_pass *r, int act, float *sum);
  void (*read_slope)(const read_slope_pass *r);
  void (*slope)(const slope_pass *s, int act);
  void (*store)(const store_pass *s);
  void (*factor)(const float *dy, float *x, const float *factor, size_t pixels, size_t cs, float *sum);
  void (*act_slope)(const float *x, const float *dy, size_t count, int act, float *dx);
  void (*add)(const float *a, const float *b, float keep, size_t count, int act, float *y);
  void (*add_slope)(const float *a, const float *b, float keep, const float *dy, size_t count, int act, float *da, float *db);
  void (*scale_slope)(const float *x, const float *s, const float *dy, size_t pixels, size_t cs, float *dx, float *sum);
  void (*add_row)(const float *row, float factor, size_t pixels, size_t cs, float *out);
  void (*pool_slope)(const float *const *in, float *const *out, size_t taps, size_t cs, int max, const float *dy);
  void (*upsample_slope)(const float *dy, size_t w, size_t cs, float *out);
  void (*adam)(const adam_pass *a);
  float (*exponentials)(float *p, size_t count);
  void (*plane_means)(float *p, float factor, const float *u, const float *v, size_t count, float moments[2]);
  float (*plane_spread)(const float *p, const float *u, const float *v, float x, float y, size_t count);
  void (*plane_slope)(const point_slope *g, const float *p, float *u, float *v, float *logit, size_t count);
} training_kernels;

/* The plain kernels use the compiler's own vectors of 4, which it lowers to what any machine has.  Scalar code in their place
 * was slower, and gcc 12 made loads of it that ran past the end of the arrays. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t four_bits __attribute__((vector_size(16)));

rotoi_inline four four_load(const float *p) {
  four v;
  memcpy(&v, p, sizeof v);
  return v;
}
rotoi_inline void four_store(float *p, four v) {
  memcpy(p, &v, sizeof v);
}
rotoi_inline four four_all(float s) {
  return (four){s, s, s, s};
}
rotoi_inline four four_above(four a, four b, four v) {
  return (four)((a > b) & (four_bits)v);
}
rotoi_inline four four_equal(four a, four b, four v) {
  return (four)((a == b) & (four_bits)v);
}
rotoi_inline four four_max(four a, four b) {
  return (four)(((a > b) & (four_bits)a) | (~(a > b) & (four_bits)b));
}
rotoi_inline four four_exponent(four r) {
  return (four)(((four_bits)r << 23) + 0x3f800000);
}
rotoi_inline four four_act(four x, int act) {
  for (int i = 0; i < 4; i++) x[i] = rotoi_act_scalar(x[i], act);
  return x;
}

rotoi_inline four four_sqrt(four x) {
  for (int i = 0; i < 4; i++) x[i] = sqrtf(x[i]);
  return x;
}

#define K(name) name##_scalar
#define K_TARGET
#define K_LANES 4
#define K_ROWS 6
#define V four
#define V_LOAD(p) four_load(p)
#define V_STORE(p, v) four_store(p, v)
#define V_READ(p, i, half) ((void)(half), four_load((p) + (i))) /* half is for AVX512-BF16 alone */
#define V_WRITE(p, i, v, half) ((void)(half), four_store((p) + (i), v))
#define V_STREAM(p, i, v, half) ((void)(half), four_store((p) + (i), v))
#define V_ROUNDS 0
#define V_PUT_ROUNDED(out, p, c, z, rows) (void)0
#define V_STREAMED() (void)0
#define V_ALL(s) four_all(s)
#define V_ADD(a, b) ((a) + (b))
#define V_SUB(a, b) ((a) - (b))
#define V_MUL(a, b) ((a) * (b))
#define V_MAX(a, b) four_max(a, b)
#define V_FMA(a, b, c) ((a) * (b) + (c))
#define V_ABOVE(a, b, v) four_above(a, b, v)
#define V_EQUAL(a, b, v) four_equal(a, b, v)
#define V_ACT(x, act, coarse) ((void)(coarse), four_act(x, act))
#define V_SQRT(v) four_sqrt(v)
#define V_DIV(a, b) ((a) / (b))
#define V_EXPONENT(r) four_exponent(r)
#include "compute_kernels.h"

#ifdef ROTOI_X86
#define K(name) name##_avx2
#define K_TARGET ROTOI_AVX2
#define K_LANES 8
#define K_ROWS 6
#define V __m256
#define V_LOAD(p) _mm256_loadu_ps(p)
#define V_STORE(p, v) _mm256_storeu_ps(p, v)
#define V_READ(p, i, half) ((void)(half), _mm256_loadu_ps((p) + (i)))
#define V_WRITE(p, i, v, half) ((void)(half), _mm256_storeu_ps((p) + (i), v))
#define V_STREAM(p, i, v, half) ((void)(half), _mm256_stream_ps((p) + (i), v))
#define V_ROUNDS 0
#define V_PUT_ROUNDED(out, p, c, z, rows) (void)0
#define V_STREAMED() _mm_sfence()
#define V_ALL(s) _mm256_set1_ps(s)
#define V_ADD(a, b) _mm256_add_ps(a, b)
#define V_SUB(a, b) _mm256_sub_ps(a, b)
#define V_MUL(a, b) _mm256_mul_ps(a, b)
#define V_MAX(a, b) _mm256_max_ps(a, b)
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define V_ABOVE(a, b, v) _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ), v)
#define V_EQUAL(a, b, v) _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), v)
#define V_ACT(x, act, coarse) ((void)(coarse), rotoi_act_avx2(x, act))
#define V_SQRT(v) _mm256_sqrt_ps(v)
#define V_DIV(a, b) _mm256_div_ps(a, b)
#define V_EXPONENT(r) \
  _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(r), 23), _mm256_set1_epi32(0x3f800000)))
#include "compute_kernels.h"
#endif

#ifdef ROTOI_X86_AVX512
#define K(name) name##_avx512
#define K_TARGET ROTOI_AVX512
#define V_READ(p, i, half) ((void)(half), _mm512_loadu_ps((p) + (i)))
#define V_WRITE(p, i, v, half) ((void)(half), _mm512_storeu_ps((p) + (i), v))
#define V_STREAM(p, i, v, half) ((void)(half), _mm512_stream_ps((p) + (i), v))
#define V_ROUNDS 0
#define V_PUT_ROUNDED(out, p, c, z, rows) (void)0
#define V_ACT(x, act, coarse) ((void)(coarse), rotoi_act_avx512(x, act))
#include "compute_avx512.h"
#include "compute_kernels.h"
#endif

#include "compute_bf16.h"

#ifdef ROTOI_X86_LOW
/* Once more for mixed precision, where element i of a stored value may be bfloat16, the upper half of a float.  Rounding in the
 * one instruction for it takes 2 instructions a vector instead of 8. */
rotoi_inline ROTOI_AVX512_BF16 __m512 read_half(const float *p, size_t i, int half) {
  if (!half) return _mm512_loadu_ps(p + i);
  __m256i bits = _mm256_loadu_si256((const __m256i *)(const void *)((const uint16_t *)(const void *)p + i));
  return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_cvtepu16_epi32(bits), 16));
}
rotoi_inline ROTOI_AVX512_BF16 void write_half(float *p, size_t i, __m512 v, int half) {
  if (!half) {
    _mm512_storeu_ps(p + i, v);
  } else {
    _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)(void *)p + i), (__m256i)_mm512_cvtneps_pbh(v));
  }
}
rotoi_inline ROTOI_AVX512_BF16 void stream_half(float *p, size_t i, __m512 v, int half) {
  if (!half) {
    _mm512_stream_ps(p + i, v);
  } else {
    _mm256_stream_si256((__m256i *)(void *)((uint16_t *)(void *)p + i), (__m256i)_mm512_cvtneps_pbh(v));
  }
}

/* The coarse sigmoid is good to 1.4e-4 of its value, 7.6e-5 of the exponential and 6.1e-5 of the reciprocal, where rounding to
 * bfloat16 takes 2e-3; a pass with swish takes 10.7 cycles a vector with it and 13.7 with the other. */
rotoi_inline ROTOI_AVX512_BF16 __m512 act_half(__m512 x, const int act, const int coarse) {
  if (!coarse) return rotoi_act_avx512(x, act);
  return act == ROTO_ACT_SIGMOID ? rotoi_sigmoid_low(x) : rotoi_act_low(x, act);
}

rotoi_inline ROTOI_AVX512_BF16 void put_rounded(const pass_out *o, size_t p, size_t c, const __m512 *z, const size_t rows) {
  const size_t left = o->real_channels - c;
  const __mmask16 lanes = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
  __m256i r[4];
  ROTOI_UNROLL
  for (size_t i = 0; i < rows; i++) r[i] = (__m256i)_mm512_maskz_cvtneps_pbh(lanes, z[i]);
  if (o->rows) {
    uint16_t *to = (uint16_t *)(void *)o->rows + p * o->cs + c;
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) _mm256_storeu_si256((__m256i *)(void *)(to + i * o->cs), r[i]);
  }
  if (!o->pairs) return;
  ROTOI_UNROLL
  for (size_t i = 0; i < rows; i += 2) {
    __m512i pair = bf16_interleave(r[i], i + 1 < rows ? r[i + 1] : _mm256_setzero_si256());
    _mm512_storeu_si512((void *)(o->pairs + (p + i) / 2 * o->cs + c), pair);
  }
}

#define K(name) name##_bf16
#define K_TARGET ROTOI_AVX512_BF16
#define V_READ(p, i, half) read_half(p, i, half)
#define V_WRITE(p, i, v, half) write_half(p, i, v, half)
#define V_STREAM(p, i, v, half) stream_half(p, i, v, half)
#define V_ROUNDS 1
#define V_PUT_ROUNDED(out, p, c, z, rows) put_rounded(out, p, c, z, rows)
#define V_ACT(x, act, coarse) act_half(x, act, coarse)
#include "compute_avx512.h"
#include "compute_kernels.h"
#endif

/* ---- threads and scratch memory ---- */

typedef struct scratch {
  float *floats;
  size_t count;
} scratch;

enum { SCRATCH_WEIGHTS, SCRATCH_PARTIAL, SCRATCH_SMALL, SCRATCH_ROWS, SCRATCH_PAIRS, SCRATCH_COUNT };
enum { POINTER_FLOATS = sizeof(size_t) / sizeof(float) }; /* room of a pointer or an index in scratch */

struct compute {
  roto_parallel parallel;
  const rotoi_kernels *runtime;
  const training_kernels *kernels;
  int mixed;     /* matrix work in bfloat16 */
  int backwards; /* the last pass over memory went from the end to the start */
  const rotoi_low_kernels *low;
  scratch shared[SCRATCH_COUNT], *own; /* own: one a thread */
  float zeros[ROTO_MAX_CHANNELS];      /* a pixel outside the picture */
};

static void *must_alloc(size_t size) {
  void *block = large_alloc(size, 0);
  if (!block) {
    fprintf(stderr,
            "ERROR: out of memory: the arithmetic needs %.0f MiB of scratch memory; use a smaller batch or input size\n",
            (double)size / 1048576);
    exit(1);
  }
  return block;
}

/* At least `count` floats; the contents of an earlier call are lost when it grows. */
static float *grow(scratch *s, size_t count) {
  if (s->count < count) {
    free(s->floats);
    s->floats = (float *)must_alloc(count * sizeof(float));
    s->count = count;
  }
  return s->floats;
}

/* Memory of the calling thread's own, for the length of one task. */
static float *own_scratch(const compute *cp, size_t count) {
  size_t thread = 0;
#ifdef _OPENMP
  thread = (size_t)omp_get_thread_num();
  if (thread >= (size_t)cp->parallel.threads) thread = 0; /* a caller's parallel region around a compute of one thread */
#endif
  return grow(&cp->own[thread], count);
}

static const training_kernels *training_kernels_of(roto_isa isa, int mixed) {
#ifdef ROTOI_X86_LOW
  if (mixed) return &training_kernels_bf16;
#endif
#ifdef ROTOI_X86_AVX512
  if (isa == ROTO_ISA_AVX512) return &training_kernels_avx512;
#endif
#ifdef ROTOI_X86
  if (isa == ROTO_ISA_AVX2) return &training_kernels_avx2;
#endif
  (void)isa, (void)mixed;
  return &training_kernels_scalar;
}

compute *compute_create(int threads, int max_isa) {
  compute *cp = (compute *)must_alloc(sizeof(compute));
  memset(cp, 0, sizeof *cp);
#ifdef _OPENMP
  cp->parallel.threads = threads > 0 ? threads : omp_get_max_threads();
#else
  (void)threads;
  cp->parallel.threads = 1;
#endif
  cp->own = (scratch *)must_alloc((size_t)cp->parallel.threads * sizeof(scratch));
  memset(cp->own, 0, (size_t)cp->parallel.threads * sizeof(scratch));
  cp->runtime = rotoi_select_kernels((roto_isa)max_isa);
  cp->kernels = training_kernels_of(cp->runtime->isa, 0);
  return cp;
}

void compute_free(compute *cp) {
  if (!cp) return;
  for (int i = 0; i < SCRATCH_COUNT; i++) free(cp->shared[i].floats);
  for (int i = 0; i < cp->parallel.threads; i++) free(cp->own[i].floats);
  free(cp->own);
  free(cp);
}

const char *compute_isa(const compute *cp) {
  return cp->mixed ? "avx512-bf16" : roto_isa_name(cp->runtime->isa);
}

int compute_threads(const compute *cp) {
  return cp->parallel.threads;
}

int compute_mixed(compute *cp, int on) {
  cp->low = on ? rotoi_select_low(cp->runtime, ROTOI_BF16) : NULL;
  cp->mixed = cp->low != NULL;
  cp->kernels = training_kernels_of(cp->runtime->isa, cp->mixed);
  return !on || cp->mixed;
}

int compute_is_mixed(const compute *cp) {
  return cp->mixed;
}

size_t value_stride(size_t channels) {
  return rotoi_stride(channels);
}

void compute_for(compute *cp, size_t count, void (*task)(void *context, size_t index), void *context) {
  rotoi_parallel(&cp->parallel, count, task, context);
}

void compute_each(void *cp, size_t count, void (*task)(void *context, size_t index), void *context) {
  compute_for(cp, count, task, context);
}

/* A pass over large values: every other one goes from the end to the start, because it reads what the pass before has just
 * written, whose end is still in the cache and whose start no longer is.  2 % of a mixed step of b0, nothing in fp32. */
typedef struct turned_pass {
  void (*task)(void *context, size_t index);
  void *context;
  size_t last;
} turned_pass;

static void turned_task(void *context, size_t index) {
  const turned_pass *t = (const turned_pass *)context;
  t->task(t->context, t->last - index);
}

static void pass_for(compute *cp, size_t count, void (*task)(void *context, size_t index), void *context) {
  turned_pass turned = {task, context, count - 1};
  cp->backwards = !cp->backwards;
  if (cp->backwards) {
    compute_for(cp, count, turned_task, &turned);
  } else {
    compute_for(cp, count, task, context);
  }
}

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}
static size_t most(size_t a, size_t b) {
  return a > b ? a : b;
}
static size_t ceil_div(size_t a, size_t b) {
  return (a + b - 1) / b;
}

/* Kernels for values of channel stride cs: full vectors need 16. */
static const training_kernels *kernels_for(const compute *cp, size_t cs) {
  return cs % ROTOI_LANES == 0 ? cp->kernels : &training_kernels_scalar;
}

#if COMPUTE_BF16
/* ---- values as bfloat16 ---- */

typedef struct round_pass {
  const float *x;
  size_t pixels, cs, channels, parts, images;
  float *out;
} round_pass;

static void round_rows(void *context, size_t part) {
  const round_pass *p = (const round_pass *)context;
  size_t first = p->pixels * part / p->parts, end = p->pixels * (part + 1) / p->parts;
  bf16_rows(p->x + first * p->cs, end - first, p->cs, p->channels, p->out + first * p->cs / 2);
}

static void round_pairs(void *context, size_t task) {
  const round_pass *p = (const round_pass *)context;
  size_t pair = task / p->parts, part = task % p->parts, image = p->pixels * p->cs;
  size_t first = p->pixels * part / p->parts, end = p->pixels * (part + 1) / p->parts;
  const float *a = p->x + 2 * pair * image + first * p->cs;
  bf16_pairs(a, 2 * pair + 1 < p->images ? a + image : NULL, end - first, p->cs, p->cs, p->out + pair * image + first * p->cs);
}

enum { ROUND_FLOATS = 65536 }; /* of one task */

static const float *rounded(compute *cp, const float *x, size_t pixels, size_t cs, size_t channels) {
  round_pass p = {x, pixels, cs, channels, ceil_div(pixels * cs, ROUND_FLOATS), 1, NULL};
  p.out = grow(&cp->shared[SCRATCH_ROWS], pixels * cs / 2);
  compute_for(cp, p.parts, round_rows, &p);
  return p.out;
}

/* The same pixel of two images each, [pair of images][pixel][cs][2]; the partner of an odd image is zero. */
static void image_pairs(compute *cp, const float *x, size_t images, size_t image_pixels, size_t cs, float *out) {
  round_pass p = {x, image_pixels, cs, cs, ceil_div(image_pixels * cs, ROUND_FLOATS), images, out};
  compute_for(cp, p.parts * ceil_div(images, 2), round_pairs, &p);
}
#endif

/* ---- gathered matrix product: convolutions forward and backward ---- */

/* out pixel (y, x) of a grid, image by image, is the sum over taps of weights times in pixel (y * step + tap_y, x * step +
 * tap_x).  The grid lies in the output at (out_y + y * out_step, out_x + x * out_step).
 *
 *   for tasks of tiles: row pointers of the tiles;  for panels: for tiles: gemm
 *
 * A panel of weights (taps * k x 32) and the pixels of a task's tiles share L2; pointers are made once for all panels.  With
 * few pixels (dense layers, squeeze-excite) the weights are the large side: then tasks are panels, packed in slices that stay
 * in L2, so that weights are read once and never written to memory. */
typedef struct gather {
  compute *cp;
  size_t n, rows, columns;
  const float *in;
  size_t h, w, in_cs, step, taps, k;
  const ptrdiff_t *tap_y, *tap_x;
  float *out;
  size_t out_h, out_w, out_cs, out_step, out_y, out_x;
  const float *weights; /* element (tap, l, j) at tap_weights[tap] + l * row_stride + j * column_stride; one of those is 1 */
  const size_t *tap_weights;
  size_t row_stride, column_stride, out_c, nr; /* out_c: real channels of the output, nr: columns of a panel */
  const float *bias;                           /* padded to whole panels, or NULL */
  int add;
  size_t paired_k; /* rows of bfloat16: their channels; strides and k then count pairs (compute_bf16.h).  0: floats */
  const float *panels;
  size_t row_pixels, tiles_per_row, tiles, tiles_per_task;
} gather;

/* Tiles are of nearly equal height and end with the row if output pixels are not evenly spaced. */
static size_t tile_start(const gather *g, size_t tile) {
  size_t row = tile / g->tiles_per_row;
  return row * g->row_pixels + g->row_pixels * (tile % g->tiles_per_row) / g->tiles_per_row;
}

/* A tile on floats or on pairs of bfloat16. */
static void matrix_product(const compute *cp, int pairs, const rotoi_gemm *product) {
  if (!pairs) {
    cp->runtime->gemm(product);
    return;
  }
  const rotoi_code floats = {ROTOI_F32, 1, 1, 0};
  rotoi_low_gemm g;
  g.m = product->m, g.nv = product->nv, g.taps = product->taps, g.k = product->k;
  g.a = (const unsigned char *const *)(const void *)product->a, g.b = product->b;
  g.factor = NULL, g.bias = product->bias, g.add = product->add, g.c = product->c;
  g.add_code = g.c_code = floats;
  g.add_stride = product->add_stride, g.c_stride = product->c_stride, g.act = product->act;
  cp->low->gemm(&g);
}

static size_t panel_vectors(const gather *g, size_t panel) {
  return rotoi_panel_vectors(panel, g->out_c, g->nr);
}

/* Taps [t, t + taps) and rows [l, l + k) of a panel in gemm's order, [tap][row][column].  The transposed weights of a backward
 * pass are read column by column, 128 floats at a time, so that what they fill stays in L1. */
static void pack_panel(const gather *g, size_t panel, size_t t, size_t taps, size_t l, size_t k, float *out) {
  size_t width = panel_vectors(g, panel) * ROTOI_LANES, real_width = least(width, g->out_c - panel * g->nr);
#if COMPUTE_BF16
  if (g->paired_k) {
    for (; taps > 0; taps--, t++, out += k * width) {
      const float *in = g->weights + g->tap_weights[t] + 2 * l * g->row_stride + panel * g->nr * g->column_stride;
      bf16_panel(in, least(2 * k, g->paired_k - 2 * l), g->row_stride, g->column_stride, real_width, width, out);
    }
    return;
  }
#endif
  for (; taps > 0; taps--, t++, out += k * width) {
    const float *in = g->weights + g->tap_weights[t] + l * g->row_stride + panel * g->nr * g->column_stride;
    if (g->column_stride == 1) {
      for (size_t i = 0; i < k; i++) memcpy(out + i * width, in + i * g->row_stride, real_width * sizeof(float));
    } else {
      for (size_t i0 = 0; i0 < k; i0 += 128) {
        size_t i1 = least(k, i0 + 128);
        for (size_t j = 0; j < real_width; j++) {
          const float *column = in + j * g->column_stride;
          for (size_t i = i0; i < i1; i++) out[i * width + j] = column[i];
        }
      }
    }
    for (size_t i = 0; real_width < width && i < k; i++) {
      memset(out + i * width + real_width, 0, (width - real_width) * sizeof(float));
    }
  }
}

/* Row pointers of one tile, tap-major as gemm wants them. */
static void tile_pointers(const gather *g, size_t tile, const float **a) {
  size_t first = tile_start(g, tile), m = tile_start(g, tile + 1) - first;
  size_t x = first % g->columns, y = first / g->columns % g->rows, image = first / g->columns / g->rows;
  for (size_t i = 0; i < m; i++) {
    const float *in = g->in + image * g->h * g->w * g->in_cs;
    ptrdiff_t iy = (ptrdiff_t)(y * g->step), ix = (ptrdiff_t)(x * g->step);
    for (size_t t = 0; t < g->taps; t++) {
      size_t ty = (size_t)(iy + g->tap_y[t]), tx = (size_t)(ix + g->tap_x[t]);
      a[t * m + i] = ty < g->h && tx < g->w ? in + (ty * g->w + tx) * g->in_cs : g->cp->zeros;
    }
    if (++x == g->columns) {
      x = 0;
      if (++y == g->rows) {
        y = 0;
        image++;
      }
    }
  }
}

/* One tile times one panel, or a slice of both. */
static void tile_product(const gather *g, size_t tile, size_t panel, size_t taps, size_t k, const float *const *a,
                         const float *b, int first_slice) {
  size_t first = tile_start(g, tile), m = tile_start(g, tile + 1) - first, j = panel * g->nr;
  size_t nv = panel_vectors(g, panel), width = least(nv * ROTOI_LANES, g->out_cs - j), step = g->out_step * g->out_cs;
  size_t row = first / g->columns, y = g->out_y + row % g->rows * g->out_step;
  size_t x = g->out_x + first % g->columns * g->out_step;
  float *c = g->out + ((row / g->rows * g->out_h + y) * g->out_w + x) * g->out_cs + j;
  float block[16 * 16]; /* for pixels narrower than a vector */
  int direct = width == nv * ROTOI_LANES, add = g->add || !first_slice;
  rotoi_gemm product = {m,
                        nv,
                        taps,
                        k,
                        a,
                        b,
                        g->bias && first_slice ? g->bias + j : NULL,
                        add && direct ? c : NULL,
                        direct ? c : block,
                        direct ? step : ROTOI_LANES,
                        step,
                        ROTO_ACT_NONE};
  ROTO_ASSERT(direct || (nv == 1 && m <= 16));
  matrix_product(g->cp, g->paired_k != 0, &product);
  for (size_t i = 0; !direct && i < m; i++) {
    for (size_t l = 0; l < width; l++) c[i * step + l] = block[i * ROTOI_LANES + l] + (add ? c[i * step + l] : 0);
  }
}

static void gather_tiles(void *context, size_t task) {
  const gather *g = (const gather *)context;
  size_t first = task * g->tiles_per_task, count = least(g->tiles_per_task, g->tiles - first);
  size_t per_tile = g->cp->runtime->mr * g->taps, panels = rotoi_panel_count(g->out_c, g->nr);
  const float **a = (const float **)(void *)own_scratch(g->cp, count * per_tile * POINTER_FLOATS);
  for (size_t i = 0; i < count; i++) tile_pointers(g, first + i, a + i * per_tile);
  for (size_t panel = 0; panel < panels; panel++) {
    const float *b = g->panels + panel * g->nr * g->taps * g->k;
    for (size_t i = 0; i < count; i++) tile_product(g, first + i, panel, g->taps, g->k, a + i * per_tile, b, 1);
  }
}

static void gather_pack(void *context, size_t panel) {
  const gather *g = (const gather *)context;
  pack_panel(g, panel, 0, g->taps, 0, g->k, g->cp->shared[SCRATCH_WEIGHTS].floats + panel * g->nr * g->taps * g->k);
}

/* One panel for all pixels, the weights packed a slice at a time. */
static void gather_panel(void *context, size_t panel) {
  const gather *g = (const gather *)context;
  enum { SLICE_ROWS = 1024 }; /* x 32 columns = 128 KiB */
  size_t mr = g->cp->runtime->mr, k_slice = g->taps == 1 ? least(g->k, SLICE_ROWS) : g->k;
  size_t tap_slice = most(1, least(g->taps, SLICE_ROWS / g->k));
  size_t per_tile = mr * g->taps, packed = tap_slice * k_slice * g->nr;
  float *b = own_scratch(g->cp, packed + (g->tiles * per_tile + mr) * POINTER_FLOATS);
  const float **a = (const float **)(void *)(b + packed), **shifted = a + g->tiles * per_tile;
  for (size_t i = 0; i < g->tiles; i++) tile_pointers(g, i, a + i * per_tile);
  for (size_t t = 0; t < g->taps; t += tap_slice) {
    for (size_t l = 0; l < g->k; l += k_slice) {
      size_t taps = least(tap_slice, g->taps - t), k = least(k_slice, g->k - l);
      pack_panel(g, panel, t, taps, l, k, b);
      for (size_t i = 0; i < g->tiles; i++) {
        size_t m = tile_start(g, i + 1) - tile_start(g, i);
        const float **rows = a + i * per_tile + t * m;
        if (l > 0) { /* slices of k only with a single tap */
          for (size_t j = 0; j < m; j++) shifted[j] = rows[j] + l;
          rows = shifted;
        }
        tile_product(g, i, panel, taps, k, rows, b, t == 0 && l == 0);
      }
    }
  }
}

static void gather_run(gather *g) {
  size_t pixels = g->n * g->rows * g->columns, panels = rotoi_panel_count(g->out_c, g->nr);
  size_t mr = g->cp->runtime->mr;
  if (pixels == 0) return;
  g->row_pixels = g->out_step == 1 ? pixels : g->columns;
  g->tiles_per_row = ceil_div(g->row_pixels, mr);
  g->tiles = pixels / g->row_pixels * g->tiles_per_row;
  if (g->tiles <= 6) {
    compute_for(g->cp, panels, gather_panel, g);
    return;
  }
  g->panels = grow(&g->cp->shared[SCRATCH_WEIGHTS], rotoi_packed_count(g->taps * g->k, g->out_c));
  compute_for(g->cp, panels, gather_pack, g);
  /* As many tiles as leave room in L2 for a panel, but at least 16 tasks if there are the tiles. */
  size_t fit = 65536 / (mr * g->in_cs * least(g->taps, 4));
  g->tiles_per_task = most(1, least(least(fit, 32), g->tiles / 16));
  compute_for(g->cp, ceil_div(g->tiles, g->tiles_per_task), gather_tiles, g);
}

/* Rows of the input rounded to bfloat16, if the products are to be mixed. */
static void gather_round(gather *g, size_t pixels) {
#if COMPUTE_BF16
  if (!g->cp->mixed || g->in_cs % ROTOI_LANES != 0) return;
  g->in = rounded(g->cp, g->in, pixels, g->in_cs, g->k);
  g->in_cs /= 2;
  g->paired_k = g->k;
  g->k = ceil_div(g->k, 2);
#else
  (void)g, (void)pixels;
#endif
}

/* A dense layer is a 1 x 1 layer over one pixel an image, if the channels leave no gaps. */
static conv_shape flattened(const conv_shape *s) {
  conv_shape flat = *s;
  if (s->oh == 1 && s->ow == 1 && s->kh == s->h && s->kw == s->w && s->pad_top == 0 && s->pad_left == 0 &&
      s->ic % ROTOI_LANES == 0) {
    flat.ic = s->h * s->w * s->ic;
    flat.h = flat.w = flat.kh = flat.kw = flat.stride = 1;
  }
  return flat;
}

/* Scratch for tap lists: y and x of each tap and where its weights begin. */
static void tap_lists(compute *cp, size_t taps, ptrdiff_t **tap_y, ptrdiff_t **tap_x, size_t **offset, size_t bias,
                      float **padded) {
  float *block = grow(&cp->shared[SCRATCH_SMALL], 3 * taps * POINTER_FLOATS + bias);
  *tap_y = (ptrdiff_t *)(void *)block;
  *tap_x = *tap_y + taps;
  *offset = (size_t *)(void *)(*tap_x + taps);
  *padded = (float *)(void *)(*offset + taps);
}

void conv_forward(compute *cp, const conv_shape *shape, const real *x, const real *weight, const real *bias, real *y) {
  conv_shape flat = flattened(shape), *s = &flat;
  size_t taps = s->kh * s->kw, padded_count = ceil_div(s->oc, cp->runtime->nr) * cp->runtime->nr, *offset;
  ptrdiff_t *tap_y, *tap_x;
  float *padded;
  tap_lists(cp, taps, &tap_y, &tap_x, &offset, padded_count, &padded);
  for (size_t t = 0; t < taps; t++) {
    tap_y[t] = (ptrdiff_t)(t / s->kw) - (ptrdiff_t)s->pad_top;
    tap_x[t] = (ptrdiff_t)(t % s->kw) - (ptrdiff_t)s->pad_left;
    offset[t] = t * s->ic * s->oc;
  }
  for (size_t j = 0; bias && j < padded_count; j++) padded[j] = j < s->oc ? bias[j] : 0;
  gather g;
  memset(&g, 0, sizeof g);
  g.cp = cp;
  g.n = s->n, g.rows = s->oh, g.columns = s->ow;
  g.in = x, g.h = s->h, g.w = s->w, g.in_cs = s->ic == shape->ic ? rotoi_stride(s->ic) : s->ic, g.step = s->stride;
  g.taps = taps, g.k = s->ic, g.tap_y = tap_y, g.tap_x = tap_x;
  g.out = y, g.out_h = s->oh, g.out_w = s->ow, g.out_cs = rotoi_stride(s->oc), g.out_step = 1;
  g.weights = weight, g.tap_weights = offset, g.row_stride = s->oc, g.column_stride = 1;
  g.out_c = s->oc, g.nr = cp->runtime->nr;
  g.bias = bias ? padded : NULL;
  gather_round(&g, s->n * s->h * s->w);
  gather_run(&g);
}

/* The input pixels of one phase, y and x modulo the stride, are a grid that sees only every stride-th tap, so each phase is a
 * convolution of dy with the transposed weights of its taps; phases without taps get no gradient. */
void conv_backward_data(compute *cp, const conv_shape *shape, const real *dy, const real *weight, real *dx) {
  conv_shape flat = flattened(shape), *s = &flat;
  size_t *offset, st = s->stride;
  ptrdiff_t *tap_y, *tap_x;
  float *unused;
  tap_lists(cp, s->kh * s->kw, &tap_y, &tap_x, &offset, 0, &unused);
  gather g;
  memset(&g, 0, sizeof g);
  g.cp = cp;
  g.n = s->n, g.in = dy, g.h = s->oh, g.w = s->ow, g.in_cs = rotoi_stride(s->oc), g.step = 1;
  g.k = s->oc, g.tap_y = tap_y, g.tap_x = tap_x;
  g.out = dx, g.out_h = s->h, g.out_w = s->w, g.out_cs = s->ic == shape->ic ? rotoi_stride(s->ic) : s->ic, g.out_step = st;
  g.weights = weight, g.tap_weights = offset, g.row_stride = 1, g.column_stride = s->oc;
  g.out_c = s->ic, g.nr = cp->runtime->nr;
  g.add = 1;
  gather_round(&g, s->n * s->oh * s->ow);
  for (size_t y = 0; y < least(st, s->h); y++) {
    for (size_t x = 0; x < least(st, s->w); x++) {
      size_t ky0 = (y + s->pad_top) % st, kx0 = (x + s->pad_left) % st, taps = 0;
      for (size_t ky = ky0; ky < s->kh; ky += st) {
        for (size_t kx = kx0; kx < s->kw; kx += st, taps++) {
          tap_y[taps] = ((ptrdiff_t)(y + s->pad_top) - (ptrdiff_t)ky) / (ptrdiff_t)st; /* divides exactly */
          tap_x[taps] = ((ptrdiff_t)(x + s->pad_left) - (ptrdiff_t)kx) / (ptrdiff_t)st;
          offset[taps] = (ky * s->kw + kx) * s->ic * s->oc;
        }
      }
      if (taps == 0) continue;
      g.taps = taps;
      g.rows = ceil_div(s->h - y, st), g.columns = ceil_div(s->w - x, st);
      g.out_y = y, g.out_x = x;
      gather_run(&g);
    }
  }
}

/* ---- gradient of the weights of a convolution ---- */

/* The matrix of a tap is ic x oc.  Side a is broadcast, side b lies in vectors; which is which is chosen so that fewer lanes
 * idle.  Tasks are (slice of the pixels, share of the tiles); inside, pixels pass in blocks that stay in L2 while all tiles of
 * the task see them:
 *
 *   for blocks of pixels: for taps: row pointers;  for a tiles: for b tiles: outer
 *
 * Each slice has its own sum, in SCRATCH_PARTIAL as [slice][tap][a][b padded], added up in order at the end. */
typedef struct weight_pass {
  compute *cp;
  const training_kernels *kernels;
  conv_shape s;
  const float *x, *dy;
  size_t x_cs, dy_cs, a_count, b_count; /* b_count: padded */
  int swapped, merged;                  /* swapped: a is dy; merged: pixels of x and dy correspond one to one */
  size_t rows, slices, shares, block;   /* rows of pixels, or pixels if merged; rows a block */
  size_t a_tiles, b_tiles, b_width;
  int pairs; /* x and dy are pairs of bfloat16: a pixel is that of two images, and there are half as many images */
  float *partial;
  float *dweight;
} weight_pass;

static void outer_tile(const weight_pass *w, const outer_product *o) {
#if COMPUTE_BF16
  if (w->pairs) {
    bf16_outer(o);
    return;
  }
#endif
  w->kernels->outer(o);
}

static void weight_task(void *context, size_t task) {
  const weight_pass *w = (const weight_pass *)context;
  const conv_shape *s = &w->s;
  size_t slice = task / w->shares, share = task % w->shares, taps = s->kh * s->kw;
  size_t units = taps * w->b_tiles * w->a_tiles, unit0 = units * share / w->shares, unit1 = units * (share + 1) / w->shares;
  size_t row0 = w->rows * slice / w->slices, row1 = w->rows * (slice + 1) / w->slices;
  const float **xs = (const float **)(void *)own_scratch(w->cp, 2 * w->block * POINTER_FLOATS), **dys = xs + w->block;
  float *sum = w->partial + slice * taps * w->a_count * w->b_count;
  outer_product o;
  memset(&o, 0, sizeof o);
  o.a = w->swapped ? dys : xs, o.b = w->swapped ? xs : dys;
  o.a_stride = w->swapped ? w->dy_cs : s->stride * w->x_cs, o.b_stride = w->swapped ? s->stride * w->x_cs : w->dy_cs;
  o.c_stride = w->b_count;
  for (size_t block = row0; block < row1 || block == row0; block += w->block) {
    size_t end = least(row1, block + w->block), current = taps;
    for (size_t unit = unit0; unit < unit1; unit++) {
      size_t tap = unit / (w->b_tiles * w->a_tiles), at = unit / w->b_tiles % w->a_tiles, bt = unit % w->b_tiles;
      if (tap != current) {
        size_t ky = tap / s->kw, kx = tap % s->kw;
        /* columns ox with 0 <= ox * stride + kx - pad_left < w */
        size_t ox0 = kx < s->pad_left ? ceil_div(s->pad_left - kx, s->stride) : 0;
        size_t ox1 = s->w + s->pad_left > kx ? least(s->ow, (s->w + s->pad_left - kx - 1) / s->stride + 1) : 0;
        current = tap;
        o.rows = 0;
        o.columns = ox1 > ox0 ? ox1 - ox0 : 0;
        if (w->merged && end > block) {
          xs[0] = w->x + block * w->x_cs;
          dys[0] = w->dy + block * w->dy_cs;
          o.rows = 1;
          o.columns = end - block;
        } else if (o.columns > 0) {
          for (size_t row = block; row < end; row++) {
            size_t image = row / s->oh, oy = row % s->oh, iy = oy * s->stride + ky - s->pad_top;
            if (iy >= s->h) continue; /* or wrapped below 0 */
            xs[o.rows] = w->x + ((image * s->h + iy) * s->w + ox0 * s->stride + kx - s->pad_left) * w->x_cs;
            dys[o.rows++] = w->dy + (row * s->ow + ox0) * w->dy_cs;
          }
        }
      }
      o.a_offset = w->a_count * at / w->a_tiles;
      o.m = w->a_count * (at + 1) / w->a_tiles - o.a_offset;
      o.b_offset = bt * w->b_width;
      o.vectors = least(w->b_width, w->b_count - o.b_offset) / w->kernels->lanes;
      o.c = sum + (tap * w->a_count + o.a_offset) * w->b_count + o.b_offset;
      o.add = block != row0;
      outer_tile(w, &o);
    }
  }
}

/* Sums of the slices, in order, to their places; one task a tap and block of a's channels. */
enum { WEIGHT_SUM_ROWS = 64 };

static void weight_sum(void *context, size_t task) {
  const weight_pass *w = (const weight_pass *)context;
  const conv_shape *s = &w->s;
  size_t blocks = ceil_div(w->a_count, WEIGHT_SUM_ROWS), tap = task / blocks, a0 = task % blocks * WEIGHT_SUM_ROWS;
  size_t stride = s->kh * s->kw * w->a_count * w->b_count, b_real = w->swapped ? s->ic : s->oc;
  float *dw = w->dweight + tap * s->ic * s->oc;
  for (size_t a = a0; a < least(a0 + WEIGHT_SUM_ROWS, w->a_count); a++) {
    float *sum = w->partial + (tap * w->a_count + a) * w->b_count;
    for (size_t slice = 1; slice < w->slices; slice++) {
      w->kernels->add(sum, sum + slice * stride, 1, w->b_count, ROTO_ACT_NONE, sum);
    }
    if (!w->swapped) {
      if (dw + a * s->oc != sum) memcpy(dw + a * s->oc, sum, b_real * sizeof(float));
    } else {
      for (size_t b = 0; b < b_real; b++) dw[b * s->oc + a] = sum[b];
    }
  }
}

/* Cycles to bring one sum of swapped sides to its place among the weights: of a dense layer at the end of a network, with few
 * pixels and many weights, that took longer than the products. */
enum { TURNED_COST = 6 };

/* Cycles a pixel of all tiles with `a` broadcast and `b` in vectors: one a multiply, or one a load where those are more. */
static size_t outer_cost(const training_kernels *k, size_t a, size_t b, size_t *a_tiles) {
  size_t tiles = ceil_div(a, k->outer_rows), vectors = ceil_div(b, k->lanes);
  *a_tiles = tiles;
  return (vectors / 2) * most(2 * a, a + 2 * tiles) + (vectors % 2) * (a + tiles);
}

typedef struct column_pass {
  const training_kernels *kernels;
  const float *x;
  size_t pixels, cs, slices;
  float *sums;
} column_pass;

static void column_task(void *context, size_t slice) {
  const column_pass *c = (const column_pass *)context;
  size_t first = c->pixels * slice / c->slices, end = c->pixels * (slice + 1) / c->slices;
  c->kernels->sums(c->x + first * c->cs, end - first, c->cs, NULL, c->sums + slice * c->cs, NULL);
}

/* out[c] = sum over pixels of x[p][c] for the first c channels. */
static void column_sums(compute *cp, const float *x, size_t pixels, size_t channels, float *out) {
  size_t cs = rotoi_stride(channels), slices = most(1, least(64, pixels * cs / 65536));
  column_pass pass = {kernels_for(cp, cs), x, pixels, cs, slices, grow(&cp->shared[SCRATCH_PARTIAL], slices * cs)};
  compute_for(cp, slices, column_task, &pass);
  for (size_t c = 0; c < channels; c++) {
    double sum = 0;
    for (size_t slice = 0; slice < slices; slice++) sum += (double)pass.sums[slice * cs + c];
    out[c] = (float)sum;
  }
}

void conv_backward_weights(compute *cp, const conv_shape *shape, const real *x, const real *dy, real *dweight, real *dbias) {
  weight_pass w;
  memset(&w, 0, sizeof w);
  w.cp = cp;
  w.s = flattened(shape);
  const conv_shape *s = &w.s;
  size_t taps = s->kh * s->kw, plain_tiles, swapped_tiles;
  w.x = x, w.dy = dy, w.dweight = dweight;
  w.x_cs = s->ic == shape->ic ? rotoi_stride(s->ic) : s->ic, w.dy_cs = rotoi_stride(s->oc);
  w.kernels = w.x_cs % ROTOI_LANES == 0 || w.dy_cs % ROTOI_LANES == 0 ? cp->kernels : &training_kernels_scalar;
  size_t plain = outer_cost(w.kernels, s->ic, w.dy_cs, &plain_tiles);
  size_t swapped = outer_cost(w.kernels, s->oc, w.x_cs, &swapped_tiles);
  size_t all_pixels = s->n * s->oh * s->ow, turned = TURNED_COST * s->kh * s->kw * s->ic * s->oc;
  w.swapped =
      w.x_cs % w.kernels->lanes == 0 && (w.dy_cs % w.kernels->lanes != 0 || swapped * all_pixels + turned < plain * all_pixels);
  w.a_count = w.swapped ? s->oc : s->ic, w.b_count = w.swapped ? w.x_cs : w.dy_cs;
  w.a_tiles = w.swapped ? swapped_tiles : plain_tiles;
  w.b_width = 2 * w.kernels->lanes, w.b_tiles = ceil_div(w.b_count, w.b_width);
  w.merged = taps == 1 && s->stride == 1 && s->pad_top == 0 && s->pad_left == 0 && s->oh == s->h && s->ow == s->w;
  size_t row_pixels = w.merged ? 1 : s->ow, matrix = taps * w.a_count * w.b_count;
#if COMPUTE_BF16
  if (cp->mixed && w.x_cs % ROTOI_LANES == 0 && w.dy_cs % ROTOI_LANES == 0) {
    size_t pairs = ceil_div(s->n, 2), x_image = s->h * s->w, dy_image = s->oh * s->ow;
    float *xs = grow(&cp->shared[SCRATCH_PAIRS], pairs * (x_image * w.x_cs + dy_image * w.dy_cs));
    float *dys = xs + pairs * x_image * w.x_cs;
    image_pairs(cp, x, s->n, x_image, w.x_cs, xs);
    image_pairs(cp, dy, s->n, dy_image, w.dy_cs, dys);
    w.x = xs, w.dy = dys, w.s.n = pairs, w.pairs = 1;
  }
#endif
  size_t pixels = s->n * s->oh * s->ow;
  w.rows = pixels / row_pixels;
  w.block = most(1, 131072 / ((w.x_cs * (w.merged ? 1 : s->stride) + w.dy_cs) * row_pixels));
  w.slices = most(1, least(least(16, w.rows), pixels / 512));
  while (w.slices > 1 && w.slices * matrix > (size_t)1 << 21) w.slices /= 2;
  w.shares = least(taps * w.a_tiles * w.b_tiles, ceil_div(16, w.slices));
  if (w.slices == 1 && !w.swapped && w.b_count == s->oc) {
    w.partial = dweight; /* the sum has the weights' own layout */
  } else {
    w.partial = grow(&cp->shared[SCRATCH_PARTIAL], w.slices * matrix);
  }
  compute_for(cp, w.slices * w.shares, weight_task, &w);
  if (w.partial != dweight) compute_for(cp, taps * ceil_div(w.a_count, WEIGHT_SUM_ROWS), weight_sum, &w);
  if (dbias) column_sums(cp, dy, all_pixels, s->oc, dbias);
}

/* ---- depthwise ---- */

typedef struct depthwise_pass {
  compute *cp;
  const conv_shape *s;
  const float *x, *dy, *weight, *bias; /* weight, bias: padded to cs */
  float *out;
  size_t cs, blocks, slices, shares; /* blocks of 16 channels; a task does one of `shares` equal shares of them */
} depthwise_pass;

/* Weights [taps][c] and bias with the channel stride cs; the bias follows the weights. */
static const float *padded_weights(compute *cp, const conv_shape *s, const real *weight, const real *bias) {
  size_t cs = most(ROTOI_LANES, rotoi_stride(s->ic)), taps = s->kh * s->kw;
  float *out = grow(&cp->shared[SCRATCH_WEIGHTS], (taps + 1) * cs);
  memset(out, 0, (taps + 1) * cs * sizeof(float));
  for (size_t t = 0; t < taps; t++) memcpy(out + t * cs, weight + t * s->ic, s->ic * sizeof(float));
  if (bias) memcpy(out + taps * cs, bias, s->ic * sizeof(float));
  return out;
}

/* Channels [c, c + 16) of pixels (y0 + i, x0 + j) of an image as [rows][columns][16], zeros outside it.  The next 16 channels are
 * wanted next: their lines are asked for now, because their distance defeats the processor's own prefetching. */
static void padded_block(const float *image, size_t h, size_t w, size_t cs, size_t c, ptrdiff_t y0, ptrdiff_t x0, size_t rows,
                         size_t columns, float *out) {
  size_t lanes = least(cs, ROTOI_LANES), left = x0 < 0 ? least((size_t)-x0, columns) : 0;
  size_t inside = (ptrdiff_t)w > x0 + (ptrdiff_t)left ? least(columns - left, (size_t)((ptrdiff_t)w - x0) - left) : 0;
  for (size_t i = 0; i < rows; i++, out += columns * ROTOI_LANES) {
    ptrdiff_t y = y0 + (ptrdiff_t)i;
    if (y < 0 || y >= (ptrdiff_t)h || inside == 0) {
      memset(out, 0, columns * ROTOI_LANES * sizeof(float));
      continue;
    }
    const float *in = image + ((size_t)y * w + (size_t)(x0 + (ptrdiff_t)left)) * cs + c;
    float *o = out + left * ROTOI_LANES;
    memset(out, 0, left * ROTOI_LANES * sizeof(float));
    if (lanes == ROTOI_LANES) {
      for (size_t j = 0; j < inside; j++, in += cs, o += ROTOI_LANES) {
        __builtin_prefetch(in + ROTOI_LANES);
        memcpy(o, in, ROTOI_LANES * sizeof(float));
      }
    } else {
      for (size_t j = 0; j < inside; j++, in += cs, o += ROTOI_LANES) memcpy(o, in, lanes * sizeof(float));
    }
    memset(o, 0, (columns - left - inside) * ROTOI_LANES * sizeof(float));
  }
}

static void depthwise_forward_task(void *context, size_t image) {
  const depthwise_pass *p = (const depthwise_pass *)context;
  const conv_shape *s = p->s;
  rotoi_depthwise d = {p->x + image * s->h * s->w * p->cs,
                       p->weight,
                       p->bias,
                       p->out + image * s->oh * s->ow * p->cs,
                       NULL,
                       s->h,
                       s->w,
                       s->oh,
                       s->ow,
                       p->cs,
                       s->kh,
                       s->kw,
                       s->stride,
                       s->pad_top,
                       s->pad_left,
                       0,
                       p->cs,
                       0,
                       s->oh,
                       ROTO_ACT_NONE};
  p->cp->runtime->depthwise(&d);
}

/* Rows of scratch a band may have: about 128 KiB of padded pixels. */
static size_t band_rows(size_t columns) {
  return 32768 / (columns * ROTOI_LANES);
}

/* One phase of a band of the input gradient: rows y, y + stride, ... < y1 and columns x, x + stride, ..., whose taps read
 * `block`, the padded output gradient from pixel (low_y, low_x). */
static void depthwise_phase(const depthwise_pass *p, float *dx, size_t c, size_t y, size_t y1, size_t x, const float *block,
                            ptrdiff_t low_y, ptrdiff_t low_x, size_t columns, const float **in, float *w) {
  const conv_shape *s = p->s;
  size_t st = s->stride, taps = 0, count = ceil_div(s->w - x, st), w_stride = most(p->cs, ROTOI_LANES);
  for (size_t ky = (y + s->pad_top) % st; ky < s->kh; ky += st) {
    for (size_t kx = (x + s->pad_left) % st; kx < s->kw; kx += st, taps++) {
      ptrdiff_t oy = ((ptrdiff_t)(y + s->pad_top) - (ptrdiff_t)ky) / (ptrdiff_t)st - low_y;
      ptrdiff_t ox = ((ptrdiff_t)(x + s->pad_left) - (ptrdiff_t)kx) / (ptrdiff_t)st - low_x;
      in[taps] = block + ((size_t)oy * columns + (size_t)ox) * ROTOI_LANES;
      memcpy(w + taps * ROTOI_LANES, p->weight + (ky * s->kw + kx) * w_stride + c, ROTOI_LANES * sizeof(float));
    }
  }
  for (size_t offset = 0; y < y1; y += st, offset += columns * ROTOI_LANES) {
    float *out = dx + (y * s->w + x) * p->cs + c;
    if (p->cs >= ROTOI_LANES) {
      depthwise_row r = {out, st * p->cs, count, taps, in, offset, ROTOI_LANES, w, 1};
      p->cp->kernels->depthwise(&r);
      continue;
    }
    for (size_t i = 0; i < count; i++) {
      for (size_t t = 0; t < taps; t++) {
        for (size_t l = 0; l < p->cs; l++) {
          out[i * st * p->cs + l] += in[t][offset + i * ROTOI_LANES + l] * w[t * ROTOI_LANES + l];
        }
      }
    }
  }
}

/* Input gradient of one image, in bands of rows.  A phase of rows and columns, as in conv_backward_data, sees only its own
 * taps. */
static void depthwise_data_task(void *context, size_t task) {
  const depthwise_pass *p = (const depthwise_pass *)context;
  const conv_shape *s = p->s;
  size_t image = task / p->shares, share = task % p->shares, st = s->stride, taps_max = s->kh * s->kw;
  const float *dy = p->dy + image * s->oh * s->ow * p->cs;
  float *dx = p->out + image * s->h * s->w * p->cs;
  /* columns of dy: from what column 0 reads through the last tap to what the last column reads through the first */
  ptrdiff_t low_x = -(ptrdiff_t)ceil_div(s->kw - 1, st);
  size_t columns = (size_t)((ptrdiff_t)((s->w - 1 + s->pad_left) / st) - low_x) + 1;
  size_t halo = ceil_div(s->kh - 1, st) + 1, band = (most(halo + 1, band_rows(columns)) - halo) * st;
  size_t rows_max = band / st + halo + 1;
  float *block = own_scratch(p->cp, rows_max * columns * ROTOI_LANES + taps_max * (ROTOI_LANES + POINTER_FLOATS));
  float *w = block + rows_max * columns * ROTOI_LANES;
  const float **in = (const float **)(void *)(w + taps_max * ROTOI_LANES);
  for (size_t y0 = 0; y0 < s->h; y0 += band) {
    size_t y1 = least(s->h, y0 + band);
    ptrdiff_t low_y = (ptrdiff_t)((y0 + s->pad_top) / st) - (ptrdiff_t)ceil_div(s->kh - 1, st);
    size_t rows = (size_t)((ptrdiff_t)((y1 - 1 + s->pad_top) / st) - low_y) + 1;
    for (size_t b = p->blocks * share / p->shares; b < p->blocks * (share + 1) / p->shares; b++) {
      size_t c = b * ROTOI_LANES;
      padded_block(dy, s->oh, s->ow, p->cs, c, low_y, low_x, rows, columns, block);
      for (size_t y = y0; y < least(y1, y0 + st); y++) {
        for (size_t x = 0; x < least(st, s->w); x++) depthwise_phase(p, dx, c, y, y1, x, block, low_y, low_x, columns, in, w);
      }
    }
  }
}

/* Weight gradient from a slice of the images. */
static void depthwise_weights_task(void *context, size_t task) {
  const depthwise_pass *p = (const depthwise_pass *)context;
  const conv_shape *s = p->s;
  size_t slice = task / p->shares, share = task % p->shares, taps = s->kh * s->kw, narrow = p->cs < ROTOI_LANES;
  size_t columns = (s->ow - 1) * s->stride + s->kw;
  size_t band = least(s->oh, (most(s->kh, band_rows(columns)) - s->kh) / s->stride + 1); /* rows of dy */
  size_t rows_max = (band - 1) * s->stride + s->kh, block0 = p->blocks * share / p->shares;
  size_t block1 = p->blocks * (share + 1) / p->shares, width = p->blocks * ROTOI_LANES;
  float *block = own_scratch(p->cp, (rows_max * columns + narrow * band * s->ow) * ROTOI_LANES);
  float *wide = block + rows_max * columns * ROTOI_LANES, *sums = p->out + slice * taps * width;
  for (size_t t = 0; t < taps; t++) {
    memset(sums + t * width + block0 * ROTOI_LANES, 0, (block1 - block0) * ROTOI_LANES * sizeof(float));
  }
  for (size_t image = s->n * slice / p->slices; image < s->n * (slice + 1) / p->slices; image++) {
    const float *x = p->x + image * s->h * s->w * p->cs, *dy = p->dy + image * s->oh * s->ow * p->cs;
    for (size_t y = 0; y < s->oh; y += band) {
      size_t rows = least(band, s->oh - y);
      for (size_t b = block0; b < block1; b++) {
        size_t c = b * ROTOI_LANES;
        depthwise_product d = {block,    dy + y * s->ow * p->cs + c,
                               sums + c, rows,
                               s->ow,    columns * ROTOI_LANES,
                               p->cs,    s->ow * p->cs,
                               width,    s->kh,
                               s->kw,    s->stride};
        padded_block(x, s->h, s->w, p->cs, c, (ptrdiff_t)(y * s->stride) - (ptrdiff_t)s->pad_top, -(ptrdiff_t)s->pad_left,
                     (rows - 1) * s->stride + s->kh, columns, block);
        if (narrow) {
          padded_block(dy, s->oh, s->ow, p->cs, c, (ptrdiff_t)y, 0, rows, s->ow, wide);
          d.d = wide;
          d.cs = ROTOI_LANES;
          d.d_row = s->ow * ROTOI_LANES;
        }
        p->cp->kernels->depthwise_weights(&d);
      }
    }
  }
}

void depthwise_forward(compute *cp, const conv_shape *s, const real *x, const real *weight, const real *bias, real *y) {
  size_t cs = rotoi_stride(s->ic);
  if (cs < ROTOI_LANES) { /* too narrow for the kernels, and no network has it: plain loops */
    for (size_t pixel = 0; pixel < s->n * s->oh * s->ow; pixel++) {
      size_t ox = pixel % s->ow, oy = pixel / s->ow % s->oh, image = pixel / s->ow / s->oh;
      for (size_t c = 0; c < s->ic; c++) {
        float sum = bias ? bias[c] : 0;
        for (size_t t = 0; t < s->kh * s->kw; t++) {
          size_t iy = oy * s->stride + t / s->kw - s->pad_top, ix = ox * s->stride + t % s->kw - s->pad_left;
          if (iy < s->h && ix < s->w) sum += x[((image * s->h + iy) * s->w + ix) * cs + c] * weight[t * s->ic + c];
        }
        y[pixel * cs + c] = sum;
      }
    }
    return;
  }
  const float *padded = padded_weights(cp, s, weight, bias);
  depthwise_pass pass = {cp, s, x, NULL, padded, bias ? padded + s->kh * s->kw * cs : NULL, y, cs, 0, 0, 0};
  compute_for(cp, s->n, depthwise_forward_task, &pass);
}

void depthwise_backward_data(compute *cp, const conv_shape *s, const real *dy, const real *weight, real *dx) {
  size_t cs = rotoi_stride(s->ic), blocks = ceil_div(cs, ROTOI_LANES);
  size_t shares = least(blocks, ceil_div(16, s->n));
  depthwise_pass pass = {cp, s, NULL, dy, padded_weights(cp, s, weight, NULL), NULL, dx, cs, blocks, 0, shares};
  compute_for(cp, s->n * shares, depthwise_data_task, &pass);
}

void depthwise_backward_weights(compute *cp, const conv_shape *s, const real *x, const real *dy, real *dweight, real *dbias) {
  size_t cs = rotoi_stride(s->ic), blocks = ceil_div(cs, ROTOI_LANES), slices = least(s->n, 16), taps = s->kh * s->kw;
  size_t count = taps * blocks * ROTOI_LANES;
  float *partial = grow(&cp->shared[SCRATCH_PARTIAL], slices * count);
  size_t shares = least(blocks, ceil_div(16, slices));
  depthwise_pass pass = {cp, s, x, dy, NULL, NULL, partial, cs, blocks, slices, shares};
  compute_for(cp, slices * shares, depthwise_weights_task, &pass);
  for (size_t t = 0; t < taps; t++) {
    for (size_t c = 0; c < s->ic; c++) {
      float sum = 0;
      for (size_t slice = 0; slice < slices; slice++) sum += partial[slice * count + t * blocks * ROTOI_LANES + c];
      dweight[t * s->ic + c] = sum;
    }
  }
  if (dbias) column_sums(cp, dy, s->n * s->oh * s->ow, s->ic, dbias);
}

#include "compute_fused.h"

/* ---- one value in, one out ---- */

enum { FLAT_CHUNK = 32768 };

typedef struct flat_pass {
  const compute *cp;
  size_t n, per_image, chunks; /* chunks an image */
  const float *a, *b, *keep, *dy;
  float *y, *da, *db;
  int act;
} flat_pass;

typedef void (*flat_function)(const flat_pass *p, const training_kernels *k, float keep, size_t first, size_t count);

/* Run a function over a chunk: whole vectors with the fast kernels, up to 15 floats at the end in plain C. */
static void flat_chunk(const flat_pass *p, size_t task, flat_function function) {
  size_t image = task / p->chunks, first = task % p->chunks * FLAT_CHUNK, count = least(FLAT_CHUNK, p->per_image - first);
  size_t whole = count / ROTOI_LANES * ROTOI_LANES;
  float keep = p->keep ? p->keep[image] : 1;
  first += image * p->per_image;
  if (whole > 0) function(p, p->cp->kernels, keep, first, whole);
  if (whole < count) function(p, &training_kernels_scalar, keep, first + whole, count - whole);
}

static void flat_run(compute *cp, flat_pass *p, roto_task task) {
  p->cp = cp;
  p->chunks = ceil_div(p->per_image, FLAT_CHUNK);
  pass_for(cp, p->n * p->chunks, task, p);
}

static void act_forward_task(void *context, size_t task) {
  const flat_pass *p = (const flat_pass *)context;
  size_t first = task * FLAT_CHUNK, count = least(FLAT_CHUNK, p->per_image - first);
  p->cp->runtime->add(p->a + first, NULL, count, p->act, p->y + first);
}

void act_forward(compute *cp, size_t count, int act, const real *x, real *y) {
  flat_pass p = {NULL, 1, count, 0, x, NULL, NULL, NULL, y, NULL, NULL, act};
  flat_run(cp, &p, act_forward_task);
}

static void act_slope_chunk(const flat_pass *p, const training_kernels *k, float keep, size_t first, size_t count) {
  (void)keep;
  k->act_slope(p->a + first, p->dy + first, count, p->act, p->da + first);
}

static void act_backward_task(void *context, size_t task) {
  flat_chunk((const flat_pass *)context, task, act_slope_chunk);
}

void act_backward(compute *cp, size_t count, int act, const real *x, const real *dy, real *dx) {
  flat_pass p = {NULL, 1, count, 0, x, NULL, NULL, dy, NULL, dx, NULL, act};
  flat_run(cp, &p, act_backward_task);
}

static void add_chunk(const flat_pass *p, const training_kernels *k, float keep, size_t first, size_t count) {
  k->add(p->a + first, p->b + first, keep, count, p->act, p->y + first);
}

static void add_forward_task(void *context, size_t task) {
  flat_chunk((const flat_pass *)context, task, add_chunk);
}

void add_forward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act, real *y) {
  flat_pass p = {NULL, n, per_image, 0, a, b, keep, NULL, y, NULL, NULL, act};
  flat_run(cp, &p, add_forward_task);
}

static void add_slope_chunk(const flat_pass *p, const training_kernels *k, float keep, size_t first, size_t count) {
  k->add_slope(p->a + first, p->b + first, keep, p->dy + first, count, p->act, p->da ? p->da + first : NULL,
               p->db ? p->db + first : NULL);
}

static void add_backward_task(void *context, size_t task) {
  flat_chunk((const flat_pass *)context, task, add_slope_chunk);
}

void add_backward(compute *cp, size_t n, size_t per_image, const real *a, const real *b, const real *keep, int act,
                  const real *dy, real *da, real *db) {
  flat_pass p = {NULL, n, per_image, 0, a, b, keep, dy, NULL, da, db, act};
  flat_run(cp, &p, add_backward_task);
}

/* ---- layers that run image by image ---- */

typedef struct image_pass {
  compute *cp;
  const training_kernels *kernels;
  conv_shape s;
  size_t cs, in_size, out_size; /* floats an image */
  const float *x, *scale, *dy;
  float *y, *dx, *dscale;
  int max;
} image_pass;

static image_pass image_layer(compute *cp, size_t n, size_t h, size_t w, size_t c, size_t oh, size_t ow) {
  image_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp;
  p.cs = rotoi_stride(c);
  p.kernels = kernels_for(cp, p.cs);
  p.s.n = n, p.s.h = h, p.s.w = w, p.s.ic = p.s.oc = c, p.s.oh = oh, p.s.ow = ow;
  p.in_size = h * w * p.cs, p.out_size = oh * ow * p.cs;
  return p;
}

static void scale_forward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  p->cp->runtime->scale(p->x + image * p->in_size, p->scale + image * p->cs, p->s.h, p->cs, ROTO_ACT_NONE,
                        p->y + image * p->in_size);
}

/* The runtime's table wants 16 lanes; values of cs = 4 take the plain C functions, which are written for any multiple of 4
 * only here. */
static void scale_narrow_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  for (size_t i = 0; i < p->in_size; i++) {
    p->y[image * p->in_size + i] = p->x[image * p->in_size + i] * p->scale[image * p->cs + i % p->cs];
  }
}

void scale_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, real *y) {
  image_pass p = image_layer(cp, n, pixels, 1, c, 1, 1);
  p.x = x, p.scale = s, p.y = y;
  compute_for(cp, n, p.cs % ROTOI_LANES == 0 ? scale_forward_task : scale_narrow_task, &p);
}

static void scale_backward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  float *sum = own_scratch(p->cp, p->cs), *ds = p->dscale + image * p->cs;
  p->kernels->scale_slope(p->x + image * p->in_size, p->scale + image * p->cs, p->dy + image * p->in_size, p->s.h, p->cs,
                          p->dx + image * p->in_size, sum);
  for (size_t i = 0; i < p->cs; i++) ds[i] += sum[i];
}

void scale_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, const real *s, const real *dy, real *dx,
                    real *ds) {
  image_pass p = image_layer(cp, n, pixels, 1, c, 1, 1);
  p.x = x, p.scale = s, p.dy = dy, p.dx = dx, p.dscale = ds;
  compute_for(cp, n, scale_backward_task, &p);
}

static void globalpool_forward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  float *sum = own_scratch(p->cp, p->cs), *y = p->y + image * p->cs;
  p->kernels->sums(p->x + image * p->in_size, p->s.h, p->cs, NULL, sum, NULL);
  for (size_t i = 0; i < p->cs; i++) y[i] = sum[i] / (float)p->s.h;
}

void globalpool_forward(compute *cp, size_t n, size_t pixels, size_t c, const real *x, real *y) {
  image_pass p = image_layer(cp, n, pixels, 1, c, 1, 1);
  p.x = x, p.y = y;
  compute_for(cp, n, globalpool_forward_task, &p);
}

static void globalpool_backward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  p->kernels->add_row(p->dy + image * p->cs, 1 / (float)p->s.h, p->s.h, p->cs, p->dx + image * p->in_size);
}

void globalpool_backward(compute *cp, size_t n, size_t pixels, size_t c, const real *dy, real *dx) {
  image_pass p = image_layer(cp, n, pixels, 1, c, 1, 1);
  p.dy = dy, p.dx = dx;
  compute_for(cp, n, globalpool_backward_task, &p);
}

static void upsample_forward_task(void *context, size_t row) { /* a row of x, images one after the other */
  const image_pass *p = (const image_pass *)context;
  size_t w = p->s.w, cs = p->cs, line = 2 * w * cs;
  const float *x = p->x + row * w * cs;
  float *y = p->y + row * 2 * line;
  for (size_t i = 0; i < w; i++) {
    memcpy(y + 2 * i * cs, x + i * cs, cs * sizeof(float));
    memcpy(y + (2 * i + 1) * cs, x + i * cs, cs * sizeof(float));
  }
  memcpy(y + line, y, line * sizeof(float));
}

void upsample_forward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *x, real *y) {
  image_pass p = image_layer(cp, n, h, w, c, 2 * h, 2 * w);
  p.x = x, p.y = y;
  compute_for(cp, n * h, upsample_forward_task, &p);
}

static void upsample_backward_task(void *context, size_t row) {
  const image_pass *p = (const image_pass *)context;
  size_t line = p->s.w * p->cs;
  p->kernels->upsample_slope(p->dy + row * 4 * line, p->s.w, p->cs, p->dx + row * line);
}

void upsample_backward(compute *cp, size_t n, size_t h, size_t w, size_t c, const real *dy, real *dx) {
  image_pass p = image_layer(cp, n, h, w, c, 2 * h, 2 * w);
  p.dy = dy, p.dx = dx;
  compute_for(cp, n * h, upsample_backward_task, &p);
}

/* Pixels of the picture under one window, in order; returns their number. */
static size_t window_pixels(const conv_shape *s, size_t oy, size_t ox, size_t *pixels) {
  size_t count = 0;
  for (size_t ky = 0; ky < s->kh; ky++) {
    size_t iy = oy * s->stride + ky - s->pad_top;
    if (iy >= s->h) continue;
    for (size_t kx = 0; kx < s->kw; kx++) {
      size_t ix = ox * s->stride + kx - s->pad_left;
      if (ix < s->w) pixels[count++] = iy * s->w + ix;
    }
  }
  return count;
}

static void pool_forward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  const conv_shape *s = &p->s;
  rotoi_pool pool = {p->x + image * p->in_size,
                     p->y + image * p->out_size,
                     s->h,
                     s->w,
                     s->oh,
                     s->ow,
                     p->cs,
                     s->kh,
                     s->kw,
                     s->stride,
                     s->pad_top,
                     s->pad_left,
                     0,
                     s->oh,
                     p->max};
  p->cp->runtime->pool(&pool);
}

static void pool_narrow_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  const conv_shape *s = &p->s;
  size_t *pixels = (size_t *)(void *)own_scratch(p->cp, s->kh * s->kw * POINTER_FLOATS);
  for (size_t out = 0; out < s->oh * s->ow; out++) {
    size_t count = window_pixels(s, out / s->ow, out % s->ow, pixels);
    for (size_t c = 0; c < p->cs; c++) {
      float result = 0;
      for (size_t t = 0; t < count; t++) {
        float v = p->x[image * p->in_size + pixels[t] * p->cs + c];
        if (!p->max) {
          result += v / (float)count;
        } else if (t == 0 || v > result) {
          result = v;
        }
      }
      p->y[image * p->out_size + out * p->cs + c] = result;
    }
  }
}

void pool_forward(compute *cp, const conv_shape *s, int max, const real *x, real *y) {
  image_pass p = image_layer(cp, s->n, s->h, s->w, s->ic, s->oh, s->ow);
  p.s = *s, p.max = max, p.x = x, p.y = y;
  compute_for(cp, s->n, p.cs % ROTOI_LANES == 0 ? pool_forward_task : pool_narrow_task, &p);
}

static void pool_backward_task(void *context, size_t image) {
  const image_pass *p = (const image_pass *)context;
  const conv_shape *s = &p->s;
  size_t taps = s->kh * s->kw;
  size_t *pixels = (size_t *)(void *)own_scratch(p->cp, 3 * taps * POINTER_FLOATS);
  const float **in = (const float **)(void *)(pixels + taps);
  float **out = (float **)(void *)(in + taps);
  for (size_t pixel = 0; pixel < s->oh * s->ow; pixel++) {
    size_t count = window_pixels(s, pixel / s->ow, pixel % s->ow, pixels);
    for (size_t t = 0; t < count; t++) {
      in[t] = p->x + image * p->in_size + pixels[t] * p->cs;
      out[t] = p->dx + image * p->in_size + pixels[t] * p->cs;
    }
    if (count > 0) p->kernels->pool_slope(in, out, count, p->cs, p->max, p->dy + image * p->out_size + pixel * p->cs);
  }
}

void pool_backward(compute *cp, const conv_shape *s, int max, const real *x, const real *dy, real *dx) {
  image_pass p = image_layer(cp, s->n, s->h, s->w, s->ic, s->oh, s->ow);
  p.s = *s, p.max = max, p.x = x, p.dy = dy, p.dx = dx;
  compute_for(cp, s->n, pool_backward_task, &p);
}

/* ---- points ---- */

/* Channels lie innermost in a value, but a point's softmax runs over cells: planes of up to 16 points are copied out, worked
 * on with full vectors, and copied back.  A task is one image and 16 points; planes are padded with cells of no weight. */
enum { POINT_BLOCK = 16 };

typedef struct points_pass {
  compute *cp;
  size_t n, h, w, points, channels_per_point, blocks, plane; /* plane: floats, a multiple of 16 */
  const float *x, *dy, *dlogit, *in_y, *in_probability;
  float *probability, *y, *dx;
} points_pass;

/* u and v of every cell of `count` points, from point `first`; cells of the padding are at zero. */
static void cell_planes(const points_pass *p, const float *x, size_t first, size_t count, float *u, float *v) {
  size_t cs = rotoi_stride(p->points * p->channels_per_point), cells = p->h * p->w;
  float per_w = 1 / (float)p->w, per_h = 1 / (float)p->h;
  for (size_t i = 0; i < p->plane; i++) {
    float cu = ((float)(i % p->w) + 0.5f) * per_w, cv = ((float)(i / p->w) + 0.5f) * per_h;
    const float *dx = x + i * cs + p->points + first, *dy = dx + p->points;
    for (size_t j = 0; j < count; j++) {
      int offset = p->channels_per_point == 3 && i < cells;
      u[j * p->plane + i] = i < cells ? (offset ? cu + dx[j] * per_w : cu) : 0;
      v[j * p->plane + i] = i < cells ? (offset ? cv + dy[j] * per_h : cv) : 0;
    }
  }
}

static void points_forward_task(void *context, size_t task) {
  const points_pass *p = (const points_pass *)context;
  size_t image = task / p->blocks, first = task % p->blocks * POINT_BLOCK, count = least(POINT_BLOCK, p->points - first);
  size_t cs = rotoi_stride(p->points * p->channels_per_point), cells = p->h * p->w;
  const float *x = p->x + image * cells * cs;
  float *logits = own_scratch(p->cp, 3 * POINT_BLOCK * p->plane), *u = logits + POINT_BLOCK * p->plane,
        *v = u + POINT_BLOCK * p->plane;
  for (size_t i = 0; i < p->plane; i++) {
    for (size_t j = 0; j < count; j++) logits[j * p->plane + i] = i < cells ? x[i * cs + first + j] : -1e30f;
  }
  cell_planes(p, x, first, count, u, v);
  for (size_t j = 0; j < count; j++) {
    float *prob = logits + j * p->plane, *pu = u + j * p->plane, *pv = v + j * p->plane, mean[2];
    float *y = p->y + image * rotoi_stride(3 * p->points) + 3 * (first + j);
    float total = p->cp->kernels->exponentials(prob, p->plane);
    p->cp->kernels->plane_means(prob, 1 / total, pu, pv, p->plane, mean);
    y[0] = mean[0];
    y[1] = mean[1];
    y[2] = sqrtf(p->cp->kernels->plane_spread(prob, pu, pv, mean[0], mean[1], p->plane));
    memcpy(p->probability + (image * p->points + first + j) * cells, prob, cells * sizeof(float));
  }
}

static void points_backward_task(void *context, size_t task) {
  const points_pass *p = (const points_pass *)context;
  size_t image = task / p->blocks, first = task % p->blocks * POINT_BLOCK, count = least(POINT_BLOCK, p->points - first);
  size_t cs = rotoi_stride(p->points * p->channels_per_point), cells = p->h * p->w;
  float *u = own_scratch(p->cp, (3 * POINT_BLOCK + 1) * p->plane), *v = u + POINT_BLOCK * p->plane;
  float *logits = v + POINT_BLOCK * p->plane, *prob = logits + POINT_BLOCK * p->plane;
  cell_planes(p, p->x + image * cells * cs, first, count, u, v);
  memset(prob, 0, p->plane * sizeof(float));
  for (size_t j = 0; j < count; j++) {
    size_t row = image * rotoi_stride(3 * p->points) + 3 * (first + j), map = (image * p->points + first + j) * cells;
    const float *y = p->in_y + row, *d = p->dy + row;
    float *logit = logits + j * p->plane;
    point_slope g = {y[0], y[1], y[2], d[0], d[1], y[2] > 0 ? d[2] / (2 * y[2]) : 0, 1 / (float)p->w, 1 / (float)p->h};
    memcpy(prob, p->in_probability + map, cells * sizeof(float));
    p->cp->kernels->plane_slope(&g, prob, u + j * p->plane, v + j * p->plane, logit, p->plane);
    for (size_t i = 0; p->dlogit && i < cells; i++) logit[i] += p->dlogit[map + i];
  }
  for (size_t i = 0; i < cells; i++) {
    float *dx = p->dx + (image * cells + i) * cs + first;
    for (size_t j = 0; j < count; j++) dx[j] += logits[j * p->plane + i];
    if (p->channels_per_point != 3) continue;
    for (size_t j = 0; j < count; j++) dx[p->points + j] += u[j * p->plane + i];
    for (size_t j = 0; j < count; j++) dx[2 * p->points + j] += v[j * p->plane + i];
  }
}

static points_pass points_layer(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point) {
  points_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp;
  p.n = n, p.h = h, p.w = w, p.points = points, p.channels_per_point = channels_per_point;
  p.blocks = ceil_div(points, POINT_BLOCK);
  p.plane = ceil_div(h * w, ROTOI_LANES) * ROTOI_LANES;
  return p;
}

void points_forward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                    real *probability, real *y) {
  points_pass p = points_layer(cp, n, h, w, points, channels_per_point);
  p.x = x, p.probability = probability, p.y = y;
  compute_for(cp, n * p.blocks, points_forward_task, &p);
}

void points_backward(compute *cp, size_t n, size_t h, size_t w, size_t points, size_t channels_per_point, const real *x,
                     const real *probability, const real *y, const real *dy, const real *dlogit, real *dx) {
  points_pass p = points_layer(cp, n, h, w, points, channels_per_point);
  p.x = x, p.in_probability = probability, p.in_y = y, p.dy = dy, p.dlogit = dlogit, p.dx = dx;
  compute_for(cp, n * p.blocks, points_backward_task, &p);
}

/* ---- the optimizer's update ---- */

typedef struct adam_tasks {
  compute *cp;
  const adam_pass *passes;
  size_t count;
} adam_tasks;

enum { ADAM_CHUNK = 65536 };

static void adam_task(void *context, size_t index) {
  const adam_tasks *t = (const adam_tasks *)context;
  for (size_t i = 0; i < t->count; i++) {
    adam_pass a = t->passes[i];
    size_t chunks = ceil_div(a.count, ADAM_CHUNK), at = index * ADAM_CHUNK;
    if (index >= chunks) {
      index -= chunks;
      continue;
    }
    a.count = (least(ADAM_CHUNK, a.count - at) + ROTOI_LANES - 1) / ROTOI_LANES * ROTOI_LANES;
    a.value += at, a.averaged += at;
    if (a.gradient) a.gradient += at, a.first += at, a.second += at;
    t->cp->kernels->adam(&a);
    return;
  }
}

void adam_step(compute *cp, const adam_pass *passes, size_t count) {
  adam_tasks t = {cp, passes, count};
  size_t tasks = 0;
  for (size_t i = 0; i < count; i++) tasks += ceil_div(passes[i].count, ADAM_CHUNK);
  compute_for(cp, tasks, adam_task, &t);
}
