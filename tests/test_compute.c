/* The fast arithmetic of training against its reference, and the reference against calculus.
 *
 * Every function is an `operation`: a list of arrays with roles.  The same list drives three checks:
 *   - compute.c in float against compute_reference.c in double, for each instruction set: with small integers, where every
 *     order of summation is exact, results must be equal; with random numbers |got - want| <= 4 sqrt(k + 8) 2^-24 S, k terms a
 *     result and S the sum of their magnitudes; mixed precision adds S 2^-7, since both factors of a product are rounded to
 *     the 8 digits of bfloat16, and integers stay exact.  Arrays end at an inaccessible page and padding lanes hold NaN, so that a
 *     read too far or of a wrong lane shows.
 *   - one and two threads give the same bits.
 *   - the reference's backward functions against central differences of its forward functions.
 * The last check is of the comparison: it must see a wrong element, a NaN and a missing term. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The reference in double beside the float functions: everything of compute.h under a second name. */
#define real reference_real
#define compute reference_compute
#define conv_shape reference_shape
#define real_alloc reference_real_alloc
#define compute_create reference_compute_create
#define compute_threads reference_compute_threads
#define compute_free reference_compute_free
#define compute_is_mixed reference_compute_is_mixed
#define compute_mixed reference_compute_mixed
#define compute_isa reference_compute_isa
#define value_stride reference_value_stride
#define compute_for reference_compute_for
#define conv_forward reference_conv_forward
#define conv_backward_data reference_conv_backward_data
#define conv_backward_weights reference_conv_backward_weights
#define depthwise_forward reference_depthwise_forward
#define depthwise_backward_data reference_depthwise_backward_data
#define depthwise_backward_weights reference_depthwise_backward_weights
#define norm_statistics reference_norm_statistics
#define norm_slope reference_norm_slope
#define view_copy reference_view_copy
#define slope_copy reference_slope_copy
#define view_mean reference_view_mean
#define pointwise_forward reference_pointwise_forward
#define pointwise_backward reference_pointwise_backward
#define depthwise_norm_forward reference_depthwise_norm_forward
#define depthwise_norm_backward reference_depthwise_norm_backward
#define norm_layer reference_norm_layer
#define value_view reference_value_view
#define slope_view reference_slope_view
#define slope_sink reference_slope_sink
#define NORM_MEAN reference_NORM_MEAN
#define NORM_VARIANCE reference_NORM_VARIANCE
#define NORM_SCALE reference_NORM_SCALE
#define NORM_BETA reference_NORM_BETA
#define NORM_OFFSET reference_NORM_OFFSET
#define NORM_SLOPE reference_NORM_SLOPE
#define NORM_ROWS reference_NORM_ROWS
#define norm_row reference_norm_row
#define act_forward reference_act_forward
#define act_backward reference_act_backward
#define add_forward reference_add_forward
#define add_backward reference_add_backward
#define scale_forward reference_scale_forward
#define scale_backward reference_scale_backward
#define pool_forward reference_pool_forward
#define pool_backward reference_pool_backward
#define globalpool_forward reference_globalpool_forward
#define globalpool_backward reference_globalpool_backward
#define upsample_forward reference_upsample_forward
#define upsample_backward reference_upsample_backward
#define adam_step reference_adam_step
#define adam_pass reference_adam_pass
#define points_forward reference_points_forward
#define points_backward reference_points_backward
#define ROTO_REAL_DOUBLE
#include "../trainer/compute_reference.c"
#undef ROTO_REAL_DOUBLE
#undef ROTO_REAL_H
#undef ROTO_COMPUTE_H
#undef real
#undef compute
#undef conv_shape
#undef real_alloc
#undef compute_create
#undef compute_threads
#undef compute_free
#undef compute_is_mixed
#undef compute_mixed
#undef compute_isa
#undef value_stride
#undef compute_for
#undef conv_forward
#undef conv_backward_data
#undef conv_backward_weights
#undef depthwise_forward
#undef depthwise_backward_data
#undef depthwise_backward_weights
#undef norm_statistics
#undef norm_slope
#undef view_copy
#undef slope_copy
#undef view_mean
#undef pointwise_forward
#undef pointwise_backward
#undef depthwise_norm_forward
#undef depthwise_norm_backward
#undef norm_layer
#undef value_view
#undef slope_view
#undef slope_sink
#undef NORM_MEAN
#undef NORM_VARIANCE
#undef NORM_SCALE
#undef NORM_BETA
#undef NORM_OFFSET
#undef NORM_SLOPE
#undef NORM_ROWS
#undef norm_row
#undef act_forward
#undef act_backward
#undef add_forward
#undef add_backward
#undef scale_forward
#undef scale_backward
#undef pool_forward
#undef pool_backward
#undef globalpool_forward
#undef globalpool_backward
#undef upsample_forward
#undef upsample_backward
#undef adam_step
#undef adam_pass
#undef points_forward
#undef points_backward
#include "../trainer/compute.h"
#include "check.h"

/* ---- operations ---- */

typedef enum function {
  CONV_FORWARD,
  CONV_DATA,
  CONV_WEIGHTS,
  DEPTHWISE_FORWARD,
  DEPTHWISE_DATA,
  DEPTHWISE_WEIGHTS,
  NORM_FORWARD,
  NORM_BACKWARD,
  ACT_FORWARD,
  ACT_BACKWARD,
  ADD_FORWARD,
  ADD_BACKWARD,
  SCALE_FORWARD,
  SCALE_BACKWARD,
  POOL_FORWARD,
  POOL_BACKWARD,
  GLOBALPOOL_FORWARD,
  GLOBALPOOL_BACKWARD,
  UPSAMPLE_FORWARD,
  UPSAMPLE_BACKWARD,
  POINTS_FORWARD,
  POINTS_BACKWARD
} function;

/* Options: act of ACT, ADD and NORM; frozen of NORM; max of POOL; channels per point of POINTS.  `optional`: pass the arrays
 * that may be NULL. */
typedef struct operation {
  function f;
  conv_shape s;
  int act, frozen, max, optional;
  size_t per_point;
} operation;

typedef enum role { IN, POSITIVE, ZERO_ONE, OUT, ADDED, CHANGED } role;

typedef struct array {
  role role;
  size_t pixels, c, cs; /* a flat array is one pixel with cs = c */
  int absent;
} array;

enum { ARRAYS_MAX = 9 };

static array value(role r, size_t pixels, size_t c) {
  array a = {r, pixels, c, reference_value_stride(c), 0};
  return a;
}

static array flat(role r, size_t count) {
  array a = {r, 1, count, count, 0};
  return a;
}

static array only_if(int present, array a) {
  a.absent = !present;
  return a;
}

static size_t array_count(const array *a) {
  return a->pixels * a->cs;
}

/* The arrays in the order of the function's arguments; terms: products summed into one result, at most. */
static size_t describe(const operation *o, array a[ARRAYS_MAX], size_t *terms) {
  const conv_shape *s = &o->s;
  size_t in = s->n * s->h * s->w, out = s->n * s->oh * s->ow, taps = s->kh * s->kw, points = s->ic;
  array x = value(IN, in, s->ic), dy = value(IN, out, s->oc), y = value(OUT, out, s->oc), dx = value(ADDED, in, s->ic);
  array w = flat(IN, taps * s->ic * s->oc), dw = flat(OUT, taps * s->ic * s->oc);
  array depthwise = flat(IN, taps * s->ic), map = value(IN, in, points * o->per_point), xys = value(IN, s->n, 3 * points);
  array cells = flat(IN, in * points), row = value(IN, s->n, s->ic), channels = flat(IN, s->ic);
  size_t count = 0;
  *terms = 1;
  switch (o->f) {
    case CONV_FORWARD:
      *terms = taps * s->ic;
      a[count++] = x, a[count++] = w, a[count++] = only_if(o->optional, flat(IN, s->oc)), a[count++] = y;
      break;
    case CONV_DATA:
      *terms = taps * s->oc;
      a[count++] = dy, a[count++] = w, a[count++] = dx;
      break;
    case CONV_WEIGHTS:
      *terms = out;
      a[count++] = x, a[count++] = dy, a[count++] = dw, a[count++] = only_if(o->optional, flat(OUT, s->oc));
      break;
    case DEPTHWISE_FORWARD:
      *terms = taps;
      a[count++] = x, a[count++] = depthwise, a[count++] = only_if(o->optional, channels), a[count++] = y;
      break;
    case DEPTHWISE_DATA:
      *terms = taps;
      a[count++] = dy, a[count++] = depthwise, a[count++] = dx;
      break;
    case DEPTHWISE_WEIGHTS:
      *terms = out;
      a[count++] = x, a[count++] = dy, a[count++] = flat(OUT, taps * s->ic);
      a[count++] = only_if(o->optional, flat(OUT, s->ic));
      break;
    case NORM_FORWARD:
    case NORM_BACKWARD:
      *terms = in;
      a[count++] = x, a[count++] = channels, a[count++] = channels;
      if (o->f == NORM_FORWARD) {
        a[count++] = flat(o->frozen ? IN : OUT, s->ic), a[count++] = flat(o->frozen ? POSITIVE : OUT, s->ic);
        a[count++] = value(OUT, in, s->ic);
      } else {
        a[count++] = channels, a[count++] = flat(POSITIVE, s->ic);
        a[count++] = value(CHANGED, in, s->ic), a[count++] = dx, a[count++] = flat(OUT, s->ic), a[count++] = flat(OUT, s->ic);
      }
      break;
    case ACT_FORWARD:
      a[count++] = flat(IN, array_count(&x)), a[count++] = flat(OUT, array_count(&x));
      break;
    case ACT_BACKWARD:
      a[count++] = flat(IN, array_count(&x)), a[count++] = flat(IN, array_count(&x)), a[count++] = flat(ADDED, array_count(&x));
      break;
    case ADD_FORWARD:
    case ADD_BACKWARD:
      a[count++] = flat(IN, array_count(&x)), a[count++] = flat(IN, array_count(&x));
      a[count++] = only_if(o->optional, flat(ZERO_ONE, s->n));
      if (o->f == ADD_FORWARD) {
        a[count++] = flat(OUT, array_count(&x));
      } else {
        a[count++] = flat(IN, array_count(&x));
        a[count++] = only_if(o->max != 1, flat(ADDED, array_count(&x)));
        a[count++] = only_if(o->max != 2, flat(ADDED, array_count(&x)));
      }
      break;
    case SCALE_FORWARD:
      a[count++] = x, a[count++] = row, a[count++] = value(OUT, in, s->ic);
      break;
    case SCALE_BACKWARD:
      *terms = s->h * s->w;
      a[count++] = x, a[count++] = row, a[count++] = x, a[count++] = dx, a[count++] = value(ADDED, s->n, s->ic);
      break;
    case POOL_FORWARD:
      *terms = taps;
      a[count++] = x, a[count++] = y;
      break;
    case POOL_BACKWARD:
      *terms = taps;
      a[count++] = x, a[count++] = dy, a[count++] = dx;
      break;
    case GLOBALPOOL_FORWARD:
      *terms = s->h * s->w;
      a[count++] = x, a[count++] = value(OUT, s->n, s->ic);
      break;
    case GLOBALPOOL_BACKWARD:
      a[count++] = row, a[count++] = dx;
      break;
    case UPSAMPLE_FORWARD:
      a[count++] = x, a[count++] = value(OUT, 4 * in, s->ic);
      break;
    case UPSAMPLE_BACKWARD:
      *terms = 4;
      a[count++] = value(IN, 4 * in, s->ic), a[count++] = dx;
      break;
    case POINTS_FORWARD:
      *terms = s->h * s->w;
      a[count++] = map, cells.role = OUT, a[count++] = cells, xys.role = OUT, a[count++] = xys;
      break;
    case POINTS_BACKWARD:
      a[count++] = map, cells.role = ZERO_ONE, a[count++] = cells, xys.role = POSITIVE, a[count++] = xys;
      xys.role = IN, a[count++] = xys, cells.role = IN, a[count++] = only_if(o->optional, cells);
      map.role = ADDED, a[count++] = map;
      break;
  }
  return count;
}

/* Batch norm and activation as one layer, from the passes that the network strings together. */
#define DEFINE_NORM(type, context, prefix)                                                                               \
  static void prefix##batchnorm_forward(context *cp, size_t pixels, size_t c, const type *x, const type *gamma,          \
                                        const type *beta, type epsilon, int act, int frozen, type *mean, type *variance, \
                                        type *y) {                                                                       \
    size_t cs = reference_value_stride(c);                                                                               \
    prefix##norm_layer norm = {gamma, beta, epsilon, act, calloc(NORM_ROWS * cs, sizeof(type)), NULL, NULL};             \
    prefix##value_view seen = {x, 0, &norm, NULL, 0};                                                                    \
    if (!norm.rows) exit(1);                                                                                             \
    memcpy(norm.rows, mean, (size_t)frozen *c * sizeof(type));                                                           \
    memcpy(norm.rows + cs, variance, (size_t)frozen * c * sizeof(type));                                                 \
    prefix##norm_statistics(cp, pixels, c, x, frozen, &norm);                                                            \
    memcpy(mean, norm.rows, c * sizeof(type));                                                                           \
    memcpy(variance, norm.rows + cs, c * sizeof(type));                                                                  \
    prefix##view_copy(cp, pixels, c, &seen, y);                                                                          \
    free(norm.rows);                                                                                                     \
  }                                                                                                                      \
  static void prefix##batchnorm_backward(context *cp, size_t pixels, size_t c, const type *x, const type *gamma,         \
                                         const type *beta, type epsilon, int act, int frozen, const type *mean,          \
                                         const type *variance, type *dy, type *dx, type *dgamma, type *dbeta) {          \
    size_t cs = reference_value_stride(c);                                                                               \
    prefix##norm_layer norm = {gamma, beta, epsilon, act, calloc(NORM_ROWS * cs, sizeof(type)), dgamma, dbeta};          \
    prefix##slope_view slope = {dy, x, 0, &norm};                                                                        \
    if (!norm.rows) exit(1);                                                                                             \
    memcpy(norm.rows, mean, c * sizeof(type));                                                                           \
    memcpy(norm.rows + cs, variance, c * sizeof(type));                                                                  \
    prefix##norm_statistics(cp, pixels, c, x, 1, &norm);                                                                 \
    prefix##norm_slope(cp, 1, pixels, c, x, 0, &norm, frozen, NULL, NULL, dy);                                           \
    prefix##slope_copy(cp, pixels, c, &slope, 1, dx);                                                                    \
    free(norm.rows);                                                                                                     \
  }
DEFINE_NORM(float, compute, )
DEFINE_NORM(double, reference_compute, reference_)

/* One call, for both element types: arguments are the arrays in order. */
#define DEFINE_CALL(name, type, context, shape_type, prefix)                                                                \
  static void name(context *cp, const operation *o, type *const *a) {                                                       \
    shape_type s;                                                                                                           \
    size_t pixels = o->s.n * o->s.h * o->s.w, per_image = o->s.h * o->s.w, c = o->s.ic, n = o->s.n, h = o->s.h, w = o->s.w; \
    size_t floats = per_image * reference_value_stride(c);                                                                  \
    memcpy(&s, &o->s, sizeof s);                                                                                            \
    switch (o->f) {                                                                                                         \
      case CONV_FORWARD:                                                                                                    \
        prefix##conv_forward(cp, &s, a[0], a[1], a[2], a[3]);                                                               \
        break;                                                                                                              \
      case CONV_DATA:                                                                                                       \
        prefix##conv_backward_data(cp, &s, a[0], a[1], a[2]);                                                               \
        break;                                                                                                              \
      case CONV_WEIGHTS:                                                                                                    \
        prefix##conv_backward_weights(cp, &s, a[0], a[1], a[2], a[3]);                                                      \
        break;                                                                                                              \
      case DEPTHWISE_FORWARD:                                                                                               \
        prefix##depthwise_forward(cp, &s, a[0], a[1], a[2], a[3]);                                                          \
        break;                                                                                                              \
      case DEPTHWISE_DATA:                                                                                                  \
        prefix##depthwise_backward_data(cp, &s, a[0], a[1], a[2]);                                                          \
        break;                                                                                                              \
      case DEPTHWISE_WEIGHTS:                                                                                               \
        prefix##depthwise_backward_weights(cp, &s, a[0], a[1], a[2], a[3]);                                                 \
        break;                                                                                                              \
      case NORM_FORWARD:                                                                                                    \
        prefix##batchnorm_forward(cp, pixels, c, a[0], a[1], a[2], (type)1e-3, o->act, o->frozen, a[3], a[4], a[5]);        \
        break;                                                                                                              \
      case NORM_BACKWARD:                                                                                                   \
        prefix##batchnorm_backward(cp, pixels, c, a[0], a[1], a[2], (type)1e-3, o->act, o->frozen, a[3], a[4], a[5], a[6],  \
                                   a[7], a[8]);                                                                             \
        break;                                                                                                              \
      case ACT_FORWARD:                                                                                                     \
        prefix##act_forward(cp, n *floats, o->act, a[0], a[1]);                                                             \
        break;                                                                                                              \
      case ACT_BACKWARD:                                                                                                    \
        prefix##act_backward(cp, n *floats, o->act, a[0], a[1], a[2]);                                                      \
        break;                                                                                                              \
      case ADD_FORWARD:                                                                                                     \
        prefix##add_forward(cp, n, floats, a[0], a[1], a[2], o->act, a[3]);                                                 \
        break;                                                                                                              \
      case ADD_BACKWARD:                                                                                                    \
        prefix##add_backward(cp, n, floats, a[0], a[1], a[2], o->act, a[3], a[4], a[5]);                                    \
        break;                                                                                                              \
      case SCALE_FORWARD:                                                                                                   \
        prefix##scale_forward(cp, n, per_image, c, a[0], a[1], a[2]);                                                       \
        break;                                                                                                              \
      case SCALE_BACKWARD:                                                                                                  \
        prefix##scale_backward(cp, n, per_image, c, a[0], a[1], a[2], a[3], a[4]);                                          \
        break;                                                                                                              \
      case POOL_FORWARD:                                                                                                    \
        prefix##pool_forward(cp, &s, o->max, a[0], a[1]);                                                                   \
        break;                                                                                                              \
      case POOL_BACKWARD:                                                                                                   \
        prefix##pool_backward(cp, &s, o->max, a[0], a[1], a[2]);                                                            \
        break;                                                                                                              \
      case GLOBALPOOL_FORWARD:                                                                                              \
        prefix##globalpool_forward(cp, n, per_image, c, a[0], a[1]);                                                        \
        break;                                                                                                              \
      case GLOBALPOOL_BACKWARD:                                                                                             \
        prefix##globalpool_backward(cp, n, per_image, c, a[0], a[1]);                                                       \
        break;                                                                                                              \
      case UPSAMPLE_FORWARD:                                                                                                \
        prefix##upsample_forward(cp, n, h, w, c, a[0], a[1]);                                                               \
        break;                                                                                                              \
      case UPSAMPLE_BACKWARD:                                                                                               \
        prefix##upsample_backward(cp, n, h, w, c, a[0], a[1]);                                                              \
        break;                                                                                                              \
      case POINTS_FORWARD:                                                                                                  \
        prefix##points_forward(cp, n, h, w, c, o->per_point, a[0], a[1], a[2]);                                             \
        break;                                                                                                              \
      case POINTS_BACKWARD:                                                                                                 \
        prefix##points_backward(cp, n, h, w, c, o->per_point, a[0], a[1], a[2], a[3], a[4], a[5]);                          \
        break;                                                                                                              \
    }                                                                                                                       \
  }
DEFINE_CALL(call_float, float, compute, conv_shape, )
DEFINE_CALL(call_double, double, reference_compute, reference_shape, reference_)

/* ---- numbers and memory ---- */

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
  random_state = random_state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(random_state >> 33);
}

/* Integers -3..3, or anything in -1..1 (a float's worth of digits). */
static double random_number(role r, int integers) {
  double v = integers ? (double)(random_bits() % 7) - 3 : (double)(float)((double)random_bits() / 1073741824 - 1);
  if (r == POSITIVE) return integers ? 1 + (double)(random_bits() % 4) : 0.25 + fabs(v);
  if (r == ZERO_ONE) return integers ? (double)(random_bits() % 2) : fabs(v);
  return v;
}

typedef struct guarded {
  void *map;
  size_t size;
  float *floats;
} guarded;

/* `count` floats that end where an inaccessible page begins. */
static guarded guard(size_t count) {
  guarded g;
  size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (count * sizeof(float) + page - 1) / page * page;
  g.size = bytes + page;
  g.map = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (g.map == MAP_FAILED || mprotect((char *)g.map + bytes, page, PROT_NONE) != 0) {
    fprintf(stderr, "test_compute: no memory for a guarded array of %.0f floats; free some and run again\n", (double)count);
    exit(1);
  }
  g.floats = (float *)(void *)((char *)g.map + bytes) - count;
  return g;
}

static double *doubles(size_t count) {
  double *d = (double *)malloc((count + 1) * sizeof(double));
  if (!d) {
    fprintf(stderr, "test_compute: no memory for %.0f doubles; free some and run again\n", (double)count);
    exit(1);
  }
  return d;
}

/* Elements of `got` further from `want` than `allowed` says; padding lanes do not count.  A NaN is never near. */
static size_t mismatches(const array *a, const float *got, const double *want, const double *allowed) {
  size_t wrong = 0;
  for (size_t i = 0; i < array_count(a); i++) {
    if (i % a->cs < a->c && !(fabs((double)got[i] - want[i]) <= allowed[i])) wrong++;
  }
  return wrong;
}

/* ---- fast against reference ---- */

static int is_linear(const operation *o) {
  switch (o->f) {
    case NORM_FORWARD:
    case NORM_BACKWARD:
    case ACT_FORWARD:
    case ACT_BACKWARD:
    case POINTS_FORWARD:
    case POINTS_BACKWARD:
      return 0;
    case ADD_FORWARD:
    case ADD_BACKWARD:
      return o->act == 0;
    case POOL_FORWARD:
    case POOL_BACKWARD:
      return !o->max;
    default:
      return 1;
  }
}

/* Results that small integers make exact: sums and maxima of products, but no quotients. */
static int is_exact(const operation *o) {
  switch (o->f) {
    case POOL_FORWARD:
    case POOL_BACKWARD:
      return o->max;
    case GLOBALPOOL_FORWARD:
    case GLOBALPOOL_BACKWARD:
      return 0;
    case ADD_FORWARD:
    case ADD_BACKWARD:
    case ACT_FORWARD:
    case ACT_BACKWARD:
      return o->act <= ROTO_ACT_RELU6;
    default:
      return is_linear(o);
  }
}

/* What rounding the operands of products to bfloat16 may add, by the sum of the products' magnitudes: 2^-8 each. */
static const double bf16_rounding = 1.002 / 128;

static int rounds_operands(compute *cp, const operation *o) {
  return strcmp(compute_isa(cp), "avx512-bf16") == 0 && o->f <= CONV_WEIGHTS;
}

static void print_operation(const operation *o) {
  const conv_shape *s = &o->s;
  printf(
      "  function %d, n %u, in %u x %u x %u, out %u x %u x %u, kernel %u x %u, stride %u, pad %u %u, act %d frozen %d max %d\n",
      (int)o->f, (unsigned)s->n, (unsigned)s->h, (unsigned)s->w, (unsigned)s->ic, (unsigned)s->oh, (unsigned)s->ow,
      (unsigned)s->oc, (unsigned)s->kh, (unsigned)s->kw, (unsigned)s->stride, (unsigned)s->pad_top, (unsigned)s->pad_left,
      o->act, o->frozen, o->max);
}

static void compare(compute *const cp[2], const operation *o, int integers) {
  array a[ARRAYS_MAX];
  guarded fast[2][ARRAYS_MAX];
  float *fast_pointers[2][ARRAYS_MAX] = {{NULL}};
  double *want[ARRAYS_MAX] = {NULL}, *allowed[ARRAYS_MAX] = {NULL};
  size_t terms, count = describe(o, a, &terms);
  int linear = is_linear(o);
  for (size_t i = 0; i < count; i++) {
    size_t floats = array_count(&a[i]);
    if (a[i].absent) continue;
    want[i] = doubles(floats);
    allowed[i] = doubles(floats);
    for (size_t j = 0; j < floats; j++) {
      /* results must not depend on what the memory held */
      double v = a[i].role == OUT || j % a[i].cs >= a[i].c ? (double)NAN : random_number(a[i].role, integers);
      want[i][j] = v;
      allowed[i][j] = fabs(v);
    }
    for (int t = 0; t < 2; t++) {
      fast[t][i] = guard(floats);
      fast_pointers[t][i] = fast[t][i].floats;
      for (size_t j = 0; j < floats; j++) fast_pointers[t][i][j] = (float)want[i][j];
    }
  }
  call_double(NULL, o, want);
  if (linear && !integers) call_double(NULL, o, allowed);
  for (int t = 0; t < 2; t++) call_float(cp[t], o, fast_pointers[t]);
  size_t wrong = 0, different = 0;
  for (size_t i = 0; i < count; i++) {
    if (a[i].absent) continue;
    size_t floats = array_count(&a[i]);
    double largest = 0, rounding = 4 * sqrt((double)terms + 8) / 16777216;
    if (rounds_operands(cp[0], o)) rounding += bf16_rounding;
    for (size_t j = 0; j < floats; j++) {
      if (j % a[i].cs < a[i].c && fabs(want[i][j]) > largest) largest = fabs(want[i][j]);
    }
    for (size_t j = 0; j < floats; j++) {
      allowed[i][j] = integers ? 0 : rounding * (linear ? allowed[i][j] : 1 + largest);
      if (j % a[i].cs < a[i].c) different += memcmp(fast_pointers[0][i] + j, fast_pointers[1][i] + j, sizeof(float)) != 0;
    }
    wrong += mismatches(&a[i], fast_pointers[0][i], want[i], allowed[i]);
  }
  if (wrong > 0 || different > 0) {
    printf("  %s, %s: %u elements wrong, %u depend on the threads\n", compute_isa(cp[0]), integers ? "integers" : "random",
           (unsigned)wrong, (unsigned)different);
    print_operation(o);
  }
  CHECK(wrong == 0);
  CHECK(different == 0);
  for (size_t i = 0; i < count; i++) {
    if (a[i].absent) continue;
    for (int t = 0; t < 2; t++) munmap(fast[t][i].map, fast[t][i].size);
    free(want[i]);
    free(allowed[i]);
  }
}

/* ---- shapes ---- */

/* n, h, w, ic, oc, kh, kw, stride, pad top, left, bottom, right */
static conv_shape shape(size_t n, size_t h, size_t w, size_t ic, size_t oc, size_t kh, size_t kw, size_t stride, size_t top,
                        size_t left, size_t bottom, size_t right) {
  conv_shape s = {n,  h,      w,   ic,  (h + top + bottom - kh) / stride + 1, (w + left + right - kw) / stride + 1, oc, kh,
                  kw, stride, top, left};
  return s;
}

static const size_t conv_shapes[][12] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0},     {2, 5, 7, 3, 5, 3, 3, 1, 1, 1, 1, 1},
    {1, 9, 9, 3, 32, 3, 3, 2, 1, 1, 1, 1},    {3, 10, 9, 4, 17, 3, 3, 2, 0, 0, 1, 1},
    {2, 13, 11, 3, 40, 7, 7, 2, 3, 3, 3, 3},  {2, 6, 5, 4, 3, 3, 3, 1, 1, 1, 1, 1},
    {1, 8, 9, 2, 1, 1, 1, 1, 0, 0, 0, 0},     {2, 7, 7, 16, 2, 3, 3, 1, 1, 1, 1, 1},
    {1, 14, 14, 16, 96, 1, 1, 1, 0, 0, 0, 0}, {3, 7, 9, 40, 24, 1, 1, 1, 0, 0, 0, 0},
    {2, 8, 8, 33, 70, 1, 1, 2, 0, 0, 0, 0},   {2, 8, 8, 24, 48, 3, 3, 1, 1, 1, 1, 1},
    {1, 15, 13, 17, 33, 3, 3, 2, 1, 1, 1, 1}, {2, 12, 12, 32, 16, 5, 5, 2, 2, 2, 2, 2},
    {1, 11, 10, 5, 18, 5, 5, 3, 2, 1, 2, 2},  {2, 3, 2, 20, 30, 5, 3, 1, 2, 1, 2, 1},
    {1, 9, 7, 18, 20, 2, 4, 1, 0, 1, 1, 2},   {2, 6, 6, 24, 20, 2, 2, 2, 0, 0, 0, 0},
    {5, 1, 1, 100, 7, 1, 1, 1, 0, 0, 0, 0},   {17, 1, 1, 48, 4, 1, 1, 1, 0, 0, 0, 0},
    {3, 1, 1, 4, 48, 1, 1, 1, 0, 0, 0, 0},    {16, 4, 4, 32, 40, 4, 4, 1, 0, 0, 0, 0},
    {3, 4, 3, 20, 10, 4, 3, 1, 0, 0, 0, 0},   {2, 7, 7, 48, 33, 7, 7, 1, 0, 0, 0, 0},
    {90, 1, 1, 2100, 3, 1, 1, 1, 0, 0, 0, 0}, {1, 1, 100, 7, 9, 1, 3, 1, 0, 1, 0, 1},
    {1, 60, 50, 16, 16, 3, 3, 1, 1, 1, 1, 1}, {1, 7, 7, 16, 130, 3, 3, 4, 1, 1, 1, 1},
    {2, 5, 5, 16, 16, 1, 1, 3, 0, 0, 0, 0},   {40, 3, 3, 64, 64, 3, 3, 1, 1, 1, 1, 1},
};

static const size_t window_shapes[][12] = {
    /* depthwise and pools: oc = ic */
    {2, 7, 7, 16, 16, 3, 3, 1, 1, 1, 1, 1},    {1, 14, 13, 40, 40, 3, 3, 2, 1, 1, 1, 1},
    {3, 9, 9, 33, 33, 5, 5, 1, 2, 2, 2, 2},    {2, 12, 11, 24, 24, 5, 5, 2, 2, 2, 2, 2},
    {1, 12, 12, 24, 24, 5, 5, 2, 1, 1, 2, 2},  {2, 3, 3, 20, 20, 5, 5, 1, 2, 2, 2, 2},
    {1, 8, 9, 17, 17, 2, 2, 2, 0, 0, 0, 1},    {1, 10, 9, 18, 18, 3, 3, 3, 1, 1, 1, 1},
    {2, 6, 5, 3, 3, 3, 3, 1, 1, 1, 1, 1},      {1, 5, 6, 48, 48, 1, 3, 1, 0, 1, 0, 1},
    {1, 9, 9, 16, 16, 7, 7, 1, 3, 3, 3, 3},    {1, 1, 1, 16, 16, 3, 3, 1, 1, 1, 1, 1},
    {1, 40, 150, 16, 16, 3, 3, 1, 1, 1, 1, 1}, {1, 45, 130, 16, 16, 5, 5, 2, 2, 2, 2, 2},
    {20, 2, 2, 16, 16, 3, 3, 2, 1, 1, 1, 1},   {1, 9, 9, 16, 16, 1, 1, 2, 0, 0, 0, 0},
};

static const size_t plain_shapes[][4] = {/* n, h, w, c */
                                         {1, 1, 1, 1},    {2, 5, 3, 4},   {3, 7, 6, 17},    {2, 9, 11, 40},  {1, 8, 8, 96},
                                         {1, 70, 70, 24}, {4, 1, 1, 130}, {2, 16, 16, 200}, {1, 100, 101, 3}};

typedef void (*operation_check)(void *context, const operation *o);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Every function on every shape and with every option. */
static void each_operation(operation_check check, void *context) {
  for (size_t i = 0; i < COUNT(conv_shapes) + COUNT(window_shapes); i++) {
    int window = i >= COUNT(conv_shapes);
    const size_t *v = window ? window_shapes[i - COUNT(conv_shapes)] : conv_shapes[i];
    operation o = {CONV_FORWARD,
                   shape(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11]),
                   0,
                   0,
                   0,
                   (int)(i % 2),
                   1};
    for (int f = CONV_FORWARD; f <= CONV_WEIGHTS; f++) {
      o.f = (function)(window ? f + DEPTHWISE_FORWARD : f);
      check(context, &o);
    }
    for (o.max = 0; window && o.max < 2; o.max++) {
      o.f = POOL_FORWARD;
      check(context, &o);
      o.f = POOL_BACKWARD;
      check(context, &o);
    }
  }
  for (size_t i = 0; i < COUNT(plain_shapes); i++) {
    const size_t *v = plain_shapes[i];
    operation o = {ACT_FORWARD, shape(v[0], v[1], v[2], v[3], v[3], 1, 1, 1, 0, 0, 0, 0), 0, 0, 0, (int)(i % 2), 1};
    for (int f = SCALE_FORWARD; f <= UPSAMPLE_BACKWARD; f++) {
      o.f = (function)f;
      if (f != POOL_FORWARD && f != POOL_BACKWARD) check(context, &o);
    }
    for (o.act = 0; o.act < ROTO_ACT_COUNT; o.act++) {
      for (int f = NORM_FORWARD; f <= ADD_BACKWARD; f++) {
        o.f = (function)f;
        o.max = f == ADD_BACKWARD ? o.act % 3 : 0; /* which of the two gradients is left out */
        for (o.frozen = 0; o.frozen < (f == NORM_FORWARD || f == NORM_BACKWARD ? 2 : 1); o.frozen++) check(context, &o);
      }
    }
    o.act = o.frozen = o.max = 0;
    for (o.per_point = 1; o.per_point <= 3; o.per_point += 2) {
      o.f = POINTS_FORWARD;
      check(context, &o);
      o.f = POINTS_BACKWARD;
      check(context, &o);
    }
  }
}

static void compare_operation(void *context, const operation *o) {
  compute *const *cp = (compute *const *)context;
  if (is_exact(o)) compare(cp, o, 1);
  compare(cp, o, 0);
}

/* Statistics of many pixels with a mean far from zero keep 6 digits. */
static void check_statistics(compute *cp) {
  enum { PIXELS = 1 << 18, CHANNELS = 16 };
  float *x = (float *)malloc((size_t)PIXELS * CHANNELS * sizeof(float)),
        *y = (float *)malloc((size_t)PIXELS * CHANNELS * sizeof(float));
  float gamma[CHANNELS], beta[CHANNELS], mean[CHANNELS], variance[CHANNELS];
  if (!x || !y) exit(1);
  for (size_t i = 0; i < (size_t)PIXELS * CHANNELS; i++) x[i] = (float)(random_number(IN, 0) + 50.0 * (double)(i % CHANNELS));
  for (size_t c = 0; c < CHANNELS; c++) gamma[c] = 1, beta[c] = 0;
  batchnorm_forward(cp, PIXELS, CHANNELS, x, gamma, beta, 1e-5f, ROTO_ACT_NONE, 0, mean, variance, y);
  for (size_t c = 0; c < CHANNELS; c++) {
    double sum = 0, squares = 0;
    for (size_t p = 0; p < PIXELS; p++) sum += (double)x[p * CHANNELS + c];
    sum /= PIXELS;
    for (size_t p = 0; p < PIXELS; p++) squares += ((double)x[p * CHANNELS + c] - sum) * ((double)x[p * CHANNELS + c] - sum);
    squares /= PIXELS;
    CHECK(fabs((double)mean[c] - sum) <= 1e-6 * (1 + fabs(sum)));
    CHECK(fabs((double)variance[c] - squares) <= 1e-6 * squares);
  }
  free(x);
  free(y);
}

/* ---- layers that read views ---- */

/* A fused convolution forward and backward with every part of a view and a sink, in one element type.  Arrays: what it reads,
 * then what it makes, all of which are compared. */
enum {
  F_X,
  F_Y,
  F_DZ,
  F_WEIGHT,
  F_GAMMA,
  F_BETA,
  F_GAMMA2,
  F_BETA2,
  F_FACTOR,
  F_ADDITION,
  F_ROWS,
  F_ROWS2,
  F_OUT,
  F_DX,
  F_DFACTOR,
  F_DWEIGHT,
  F_DGAMMA,
  F_DBETA,
  F_MEANS,
  F_COPY,
  F_BACK,
  F_ARRAYS
};

/* half: x, y and their gradients are bfloat16. */
typedef struct fused_case {
  conv_shape s;
  int depthwise, norm, after, factor, add, act, half;
} fused_case;

static array rows_of(role r, size_t c) {
  array a = {r, NORM_ROWS, c, reference_value_stride(c), 0};
  return a;
}

static void describe_fused(const fused_case *f, array a[F_ARRAYS]) {
  const conv_shape *s = &f->s;
  size_t in = s->n * s->h * s->w, out = s->n * s->oh * s->ow;
  a[F_X] = value(IN, in, s->ic), a[F_Y] = value(IN, out, s->oc), a[F_DZ] = value(IN, out, s->oc);
  a[F_WEIGHT] = flat(IN, s->kh * s->kw * s->ic * (f->depthwise ? 1 : s->oc));
  a[F_GAMMA] = a[F_BETA] = flat(IN, s->ic), a[F_GAMMA2] = a[F_BETA2] = flat(IN, s->oc);
  a[F_FACTOR] = a[F_ADDITION] = value(IN, s->n, s->ic);
  a[F_ROWS] = rows_of(POSITIVE, s->ic), a[F_ROWS2] = rows_of(POSITIVE, s->oc);
  a[F_OUT] = value(OUT, out, s->oc), a[F_DX] = value(f->add ? ADDED : OUT, in, s->ic);
  a[F_DFACTOR] = value(ADDED, s->n, s->ic);
  a[F_DWEIGHT] = a[F_WEIGHT], a[F_DWEIGHT].role = OUT;
  a[F_DGAMMA] = a[F_DBETA] = flat(ADDED, s->ic);
  a[F_MEANS] = value(OUT, s->n, s->ic), a[F_COPY] = value(OUT, in, s->ic), a[F_BACK] = value(CHANGED, in, s->ic);
}

/* Statistics come from x and y themselves, so that scale is what mean and variance say.  b: the arrays as they are stored, which
 * differ from a where f->half. */
#define DEFINE_FUSED(name, type, context, shape_type, prefix)                                                       \
  static void name(context *cp, const fused_case *f, type *const *a, type *const *b) {                              \
    shape_type s;                                                                                                   \
    size_t in = f->s.n * f->s.h * f->s.w, image = f->s.h * f->s.w, out = f->s.n * f->s.oh * f->s.ow;                \
    memcpy(&s, &f->s, sizeof s);                                                                                    \
    prefix##norm_layer before = {a[F_GAMMA], a[F_BETA], (type)1e-3, f->act, a[F_ROWS], a[F_DGAMMA], a[F_DBETA]};    \
    prefix##norm_layer after = {a[F_GAMMA2], a[F_BETA2], (type)1e-3, 0, a[F_ROWS2], NULL, NULL};                    \
    prefix##value_view x = {b[F_X], f->half, f->norm ? &before : NULL, f->factor ? a[F_FACTOR] : NULL, image};      \
    prefix##slope_view dy = {b[F_DZ], b[F_Y], f->half, f->after ? &after : NULL};                                   \
    prefix##slope_sink sink = {b[F_DX],                                                                             \
                               f->half,                                                                             \
                               f->add,                                                                              \
                               f->norm && !f->factor ? &before : NULL,                                              \
                               f->act == ROTO_ACT_RELU,                                                             \
                               f->factor ? a[F_DFACTOR] : NULL};                                                    \
    if (f->norm) prefix##norm_statistics(cp, in, s.ic, a[F_X], 0, &before);                                         \
    if (f->depthwise) {                                                                                             \
      prefix##depthwise_norm_backward(cp, &s, &x, &dy, a[F_WEIGHT], &sink, a[F_DWEIGHT]);                           \
      prefix##depthwise_norm_forward(cp, &s, &x, a[F_WEIGHT], b[F_OUT], f->half, f->after ? &after : NULL);         \
    } else {                                                                                                        \
      prefix##pointwise_backward(cp, in, s.ic, s.oc, &x, &dy, a[F_WEIGHT], &sink, a[F_DWEIGHT]);                    \
      prefix##pointwise_forward(cp, out, s.ic, s.oc, &x, a[F_WEIGHT], b[F_OUT], f->half, f->after ? &after : NULL); \
    }                                                                                                               \
    prefix##view_copy(cp, in, s.ic, &x, a[F_COPY]);                                                                 \
    memset(a[F_MEANS], 0, s.n *reference_value_stride(s.ic) * sizeof(type));                                        \
    if (f->norm) {                                                                                                  \
      prefix##value_view plain = {b[F_X], f->half, &before, NULL, image};                                           \
      prefix##view_mean(cp, s.n, image, s.ic, &plain, a[F_MEANS]);                                                  \
      prefix##norm_slope(cp, s.n, image, s.ic, b[F_X], f->half, &before, 0, f->factor ? a[F_FACTOR] : NULL,         \
                         f->factor ? a[F_ADDITION] : NULL, b[F_BACK]);                                              \
    }                                                                                                               \
  }
DEFINE_FUSED(fused_float, float, compute, conv_shape, )
DEFINE_FUSED(fused_double, double, reference_compute, reference_shape, reference_)

/* ---- bfloat16 ---- */

static int is_stored_half(size_t i) {
  return i == F_X || i == F_Y || i == F_DZ || i == F_OUT || i == F_DX || i == F_BACK;
}

/* Rounded to the nearest, ties to even; a NaN stays one. */
static uint16_t half_of(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  if (v != v) return 0x7fc0;
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float float_of(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static void to_half(const float *from, size_t count, float *to) {
  for (size_t i = 0; i < count; i++) ((uint16_t *)(void *)to)[i] = half_of(from[i]);
}

static void from_half(const float *from, size_t count, float *to) {
  for (size_t i = 0; i < count; i++) to[i] = float_of(((const uint16_t *)(const void *)from)[i]);
}

static double *magnitudes(const double *v, size_t count) {
  double *m = doubles(count);
  for (size_t i = 0; i < count; i++) m[i] = fabs(v[i]);
  return m;
}

/* What a mixed layer may add to the error of each array, as sums of the products' magnitudes through the same linear functions.
 * Operands of a pointwise layer's products are rounded by a relative 2^-8 each.  Where values are bfloat16, or become it, a swish has
 * a sigmoid that is off by a relative e = 1.4e-4: y = z s by as much, and its slope s + z s (1 - s) by e s |1 + z (1 - 2 s)|, no
 * more than e (1 + |z|).  Through a batch norm errors grow by the largest slope of an activation, 1.1.  `slope`: the gradient of the
 * result as the layer sees it, `plain`: the view of x without the factor, `back`: the gradient that norm_slope is given. */
static const double coarse_sigmoid = 1.5e-4;

static void allow_rounding(const fused_case *f, double *const *want, const double *slope, const double *plain,
                           const double *back, double *const *allowed) {
  reference_shape s;
  memcpy(&s, &f->s, sizeof s);
  size_t in = s.n * s.h * s.w, out = s.n * s.oh * s.ow, ics = reference_value_stride(s.ic), ocs = reference_value_stride(s.oc);
  size_t weights = s.kh * s.kw * s.ic * (f->depthwise ? 1 : s.oc);
  double products = f->depthwise ? 0 : bf16_rounding, sigmoid = f->norm && f->act == ROTO_ACT_SWISH ? coarse_sigmoid : 0;
  double stored = f->half ? sigmoid : 0, read = products + (f->depthwise ? stored : 1.01 * sigmoid);
  double *x = magnitudes(want[F_COPY], in * ics), *g = magnitudes(slope, out * ocs), *w = magnitudes(want[F_WEIGHT], weights);
  double *sum_out = doubles(out * ocs), *sum_dx = doubles(in * ics), *sum_dw = doubles(weights);
  memset(sum_dx, 0, in * ics * sizeof *sum_dx);
  if (f->depthwise) {
    reference_depthwise_forward(NULL, &s, x, w, NULL, sum_out);
    reference_depthwise_backward_data(NULL, &s, g, w, sum_dx);
    reference_depthwise_backward_weights(NULL, &s, x, g, sum_dw, NULL);
  } else {
    reference_conv_forward(NULL, &s, x, w, NULL, sum_out);
    reference_conv_backward_data(NULL, &s, g, w, sum_dx);
    reference_conv_backward_weights(NULL, &s, x, g, sum_dw, NULL);
  }
  for (size_t i = 0; i < weights; i++) allowed[F_DWEIGHT][i] += read * sum_dw[i];
  for (size_t i = 0; i < out * ocs; i++) allowed[F_OUT][i] += read * sum_out[i];
  for (size_t c = 0; f->after && c < s.oc; c++) { /* mean, variance, scale of the statistics taken of the result */
    double mean = 0, most = 0, variance = want[F_ROWS2][NORM_VARIANCE * ocs + c], gamma = fabs(want[F_GAMMA2][c]);
    for (size_t p = 0; p < out; p++) {
      double error = read * sum_out[p * ocs + c];
      mean += error / (double)out;
      most = fmax(most, error);
    }
    double spread = 2 * sqrt(variance) * 2 * most + 4 * most * most;
    allowed[F_ROWS2][NORM_MEAN * ocs + c] += mean;
    allowed[F_ROWS2][NORM_VARIANCE * ocs + c] += spread;
    allowed[F_ROWS2][NORM_SCALE * ocs + c] += gamma * (1 / sqrt(fmax(0, variance - spread) + 1e-3) - 1 / sqrt(variance + 1e-3));
  }
  for (size_t i = 0; i < in * ics; i++) {
    size_t c = i % ics, image = i / ics / (s.h * s.w) * ics + c;
    if (c >= s.ic) continue;
    double through = f->norm && !f->factor ? 1.1 : 1, error = products * sum_dx[i] * through, distance = 0, inv_std = 0,
           flat = 0;
    if (f->norm) {
      distance = fabs(want[F_X][i] - want[F_ROWS][NORM_MEAN * ics + c]);
      inv_std = 1 / sqrt(want[F_ROWS][NORM_VARIANCE * ics + c] + 1e-3);
      flat = stored * (1 + distance * fabs(want[F_ROWS][NORM_SCALE * ics + c]) + fabs(want[F_BETA][c]));
    }
    allowed[F_DX][i] += error + (f->factor ? 0 : flat * sum_dx[i]);
    allowed[F_COPY][i] += stored * fabs(want[F_COPY][i]);
    if (f->factor) allowed[F_DFACTOR][image] += (error + stored * sum_dx[i]) * fabs(plain[i]);
    if (!f->norm) continue;
    allowed[F_MEANS][image] += stored * fabs(plain[i]) / (double)(s.h * s.w);
    /* norm_slope comes last and leaves its own gradients and rows */
    double given = f->factor ? back[i] * want[F_FACTOR][image] + want[F_ADDITION][image] : back[i];
    double scale = fabs(want[F_GAMMA][c]) * inv_std / (double)in;
    double back_error = flat * fabs(given);
    allowed[F_BACK][i] += back_error;
    allowed[F_DBETA][c] += back_error;
    allowed[F_DGAMMA][c] += back_error * distance * inv_std;
    allowed[F_ROWS][NORM_OFFSET * ics + c] += back_error * scale;
    allowed[F_ROWS][NORM_SLOPE * ics + c] += back_error * distance * inv_std * inv_std * scale;
  }
  free(x), free(g), free(w), free(sum_out), free(sum_dx), free(sum_dw);
}

static void compare_fused(compute *const cp[2], const fused_case *f) {
  array a[F_ARRAYS];
  guarded fast[2][F_ARRAYS], stored[2][F_ARRAYS];
  float *pointers[2][F_ARRAYS], *stored_pointers[2][F_ARRAYS];
  double *want[F_ARRAYS], *allowed[F_ARRAYS];
  const conv_shape *s = &f->s;
  size_t terms = s->n * s->h * s->w + s->kh * s->kw * (s->ic + s->oc), wrong = 0, different = 0;
  int mixed = compute_is_mixed(cp[0]);
  describe_fused(f, a);
  for (size_t i = 0; i < F_ARRAYS; i++) {
    size_t count = array_count(&a[i]);
    int half = f->half && is_stored_half(i);
    want[i] = doubles(count), allowed[i] = doubles(count);
    for (size_t j = 0; j < count; j++) {
      /* padding of values holds NaN; that of a norm's rows is the passes' own and zero */
      int padding = j % a[i].cs >= a[i].c, rows = i == F_ROWS || i == F_ROWS2;
      float v = (float)random_number(a[i].role, 0);
      want[i][j] = padding && rows ? 0 : padding || a[i].role == OUT ? (double)NAN : (double)(half ? float_of(half_of(v)) : v);
    }
    for (int t = 0; t < 2; t++) {
      fast[t][i] = guard(count), stored[t][i] = guard(half ? count / 2 : 0);
      pointers[t][i] = fast[t][i].floats, stored_pointers[t][i] = half ? stored[t][i].floats : pointers[t][i];
      for (size_t j = 0; j < count; j++) pointers[t][i][j] = (float)want[i][j];
      if (half) to_half(pointers[t][i], count, stored_pointers[t][i]);
    }
  }
  /* what the layers see, before the forward pass replaces the statistics */
  size_t in = s->n * s->h * s->w, out = s->n * s->oh * s->ow, ics = a[F_X].cs, ocs = a[F_Y].cs;
  double *slope = doubles(out * ocs), *plain = doubles(in * ics), *back = doubles(in * ics);
  memcpy(back, want[F_BACK], in * ics * sizeof *back);
  reference_norm_layer after = {want[F_GAMMA2], want[F_BETA2], 1e-3, 0, want[F_ROWS2], NULL, NULL};
  reference_slope_view seen = {want[F_DZ], want[F_Y], 0, f->after ? &after : NULL};
  reference_slope_copy(NULL, out, s->oc, &seen, 0, slope);
  fused_double(NULL, f, want, want);
  reference_norm_layer before = {want[F_GAMMA], want[F_BETA], 1e-3, f->act, want[F_ROWS], NULL, NULL};
  reference_value_view view = {want[F_X], 0, f->norm ? &before : NULL, NULL, 0};
  reference_view_copy(NULL, in, s->ic, &view, plain);
  for (int t = 0; t < 2; t++) {
    fused_float(cp[t], f, pointers[t], stored_pointers[t]);
    for (size_t i = 0; f->half && i < F_ARRAYS; i++)
      if (is_stored_half(i)) from_half(stored_pointers[t][i], array_count(&a[i]), pointers[t][i]);
  }
  for (size_t i = 0; i < F_ARRAYS; i++) {
    double largest = 0;
    size_t count = array_count(&a[i]);
    for (size_t j = 0; j < count; j++) {
      if (j % a[i].cs < a[i].c && fabs(want[i][j]) > largest) largest = fabs(want[i][j]);
      if (j % a[i].cs < a[i].c) different += memcmp(pointers[0][i] + j, pointers[1][i] + j, sizeof(float)) != 0;
    }
    for (size_t j = 0; j < count; j++) allowed[i][j] = 8 * sqrt((double)terms + 8) / 16777216 * (1 + largest);
  }
  /* The scale of a batch norm is gamma * f(variance), f(v) = 1 / sqrt(v + epsilon).  f falls and is convex, so a variance that is
   * off by at most `off`, which is what the variance itself is allowed, moves f by at most f(v - off) - f(v), and v is never below
   * zero.  No fixed bound does: near v = 0, where few pixels are alike, f' = epsilon^-1.5 / 2 multiplies the error by 16000. */
  for (size_t c = 0; f->after && c < s->oc; c++) {
    double variance = want[F_ROWS2][NORM_VARIANCE * ocs + c], off = 8 * sqrt((double)terms + 8) / 16777216 * (1 + variance);
    double worst = 1 / sqrt(fmax(0, variance - off) + 1e-3) - 1 / sqrt(variance + 1e-3);
    allowed[F_ROWS2][NORM_SCALE * ocs + c] += fabs(want[F_GAMMA2][c]) * worst;
  }
  if (mixed) allow_rounding(f, want, slope, plain, back, allowed);
  for (size_t i = 0; i < F_ARRAYS; i++) {
    size_t count = array_count(&a[i]);
    for (size_t j = 0; f->half && is_stored_half(i) && j < count; j++)
      allowed[i][j] = allowed[i][j] * (1 + 1.0 / 256) + fabs(want[i][j]) / 256; /* the result is rounded once more */
    size_t missed = mismatches(&a[i], pointers[0][i], want[i], allowed[i]);
    for (size_t j = 0; missed > 0 && j < count; j++) {
      double error = fabs((double)pointers[0][i][j] - want[i][j]);
      if (j % a[i].cs >= a[i].c || error <= allowed[i][j]) continue;
      printf("  fused, array %u: %u of %u wrong, the first is %u, %g off, with %g allowed\n", (unsigned)i, (unsigned)missed,
             (unsigned)count, (unsigned)j, error, allowed[i][j]);
      break;
    }
    wrong += missed;
  }
  if (wrong > 0 || different > 0) {
    operation o = {CONV_FORWARD, f->s, f->act, 0, 0, 0, 1};
    printf("  %s, depthwise %d norm %d after %d factor %d add %d half %d, %u depend on the threads\n", compute_isa(cp[0]),
           f->depthwise, f->norm, f->after, f->factor, f->add, f->half, (unsigned)different);
    print_operation(&o);
  }
  CHECK(wrong == 0);
  CHECK(different == 0);
  for (size_t i = 0; i < F_ARRAYS; i++) {
    for (int t = 0; t < 2; t++) munmap(fast[t][i].map, fast[t][i].size), munmap(stored[t][i].map, stored[t][i].size);
    free(want[i]);
    free(allowed[i]);
  }
  free(slope);
  free(plain);
  free(back);
}

static void check_fused(compute *const cp[2]) {
  static const size_t points[][5] = {/* n, h, w, ic, oc */
                                     {1, 1, 1, 5, 7},      {2, 3, 5, 16, 16},  {3, 7, 7, 40, 24},  {17, 2, 2, 130, 33},
                                     {1, 60, 50, 24, 100}, {4, 9, 9, 200, 48}, {16, 7, 7, 96, 330}};
  for (size_t i = 0; i < COUNT(points) + COUNT(window_shapes); i++) {
    const size_t *p = points[i % COUNT(points)], *v = i < COUNT(points) ? NULL : window_shapes[i - COUNT(points)];
    fused_case f = {v ? shape(v[0], v[1], v[2], v[3], v[3], v[5], v[6], v[7], v[8], v[9], v[10], v[11])
                      : shape(p[0], p[1], p[2], p[3], p[4], 1, 1, 1, 0, 0, 0, 0),
                    v != NULL,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0};
    if (f.s.ic <= 4) continue; /* such channels do not fill vectors */
    for (int options = 0; options < 12; options++) {
      f.half = options >= 6;
      if (f.half && !compute_is_mixed(cp[0])) break;
      f.norm = options % 6 > 1, f.after = options % 2, f.factor = options % 6 == 5 && !f.depthwise, f.add = options == 1;
      f.act = options % 6 == 2 ? ROTO_ACT_NONE : options % 6 == 3 ? ROTO_ACT_RELU : ROTO_ACT_SWISH;
      compare_fused(cp, &f);
    }
  }
  /* Above 4 MiB, in bfloat16 too, values are stored past the caches.  The other cases keep their own numbers, of which none lies
   * within rounding of a kink of ReLU. */
  uint64_t kept = random_state;
  const conv_shape large[] = {shape(1, 180, 200, 24, 64, 1, 1, 1, 0, 0, 0, 0), shape(1, 180, 200, 64, 24, 1, 1, 1, 0, 0, 0, 0),
                              shape(1, 180, 200, 64, 64, 3, 3, 1, 1, 1, 1, 1)};
  for (size_t i = 0; i < COUNT(large) && strcmp(compute_isa(cp[0]), "scalar") != 0; i++) { /* plain C has no such stores */
    const fused_case f = {large[i], i == 2, 1, 1, i == 1, 0, ROTO_ACT_SWISH, compute_is_mixed(cp[0])};
    compare_fused(cp, &f);
  }
  random_state = kept;
}

/* ---- reference against central differences ---- */

/* Where each array of a backward function comes from, by arrays of the forward one: j itself, the gradient handed in for
 * output j, the gradient expected for input j, or nothing. */
enum { GIVEN = 100, EXPECTED = 200, NOTHING = 300 };

typedef struct derivative {
  function forward, backward;
  size_t output; /* of the forward function */
  int arrays[ARRAYS_MAX];
} derivative;

static const derivative derivatives[] = {
    {CONV_FORWARD, CONV_DATA, 3, {GIVEN, 1, EXPECTED + 0}},
    {CONV_FORWARD, CONV_WEIGHTS, 3, {0, GIVEN, EXPECTED + 1, EXPECTED + 2}},
    {DEPTHWISE_FORWARD, DEPTHWISE_DATA, 3, {GIVEN, 1, EXPECTED + 0}},
    {DEPTHWISE_FORWARD, DEPTHWISE_WEIGHTS, 3, {0, GIVEN, EXPECTED + 1, EXPECTED + 2}},
    {NORM_FORWARD, NORM_BACKWARD, 5, {0, 1, 2, 3, 4, GIVEN, EXPECTED + 0, EXPECTED + 1, EXPECTED + 2}},
    {ACT_FORWARD, ACT_BACKWARD, 1, {0, GIVEN, EXPECTED + 0}},
    {ADD_FORWARD, ADD_BACKWARD, 3, {0, 1, 2, GIVEN, EXPECTED + 0, EXPECTED + 1}},
    {SCALE_FORWARD, SCALE_BACKWARD, 2, {0, 1, GIVEN, EXPECTED + 0, EXPECTED + 1}},
    {POOL_FORWARD, POOL_BACKWARD, 1, {0, GIVEN, EXPECTED + 0}},
    {GLOBALPOOL_FORWARD, GLOBALPOOL_BACKWARD, 1, {GIVEN, EXPECTED + 0}},
    {UPSAMPLE_FORWARD, UPSAMPLE_BACKWARD, 1, {GIVEN, EXPECTED + 0}},
    {POINTS_FORWARD, POINTS_BACKWARD, 2, {0, 1, 2, GIVEN, NOTHING, EXPECTED + 0}},
};

typedef struct derivative_count {
  size_t compared, skipped, wrong;
} derivative_count;

static double weighted_output(const operation *o, const array *out, double *const *a, size_t output, const double *weights) {
  double sum = 0;
  call_double(NULL, o, a);
  for (size_t i = 0; i < array_count(out); i++) {
    if (i % out->cs < out->c) sum += a[output][i] * weights[i];
  }
  return sum;
}

/* The loss is a random weighting of the output.  Up to 24 elements of each gradient are compared; where the two one-sided
 * differences disagree there is a kink between them and the element is left out. */
static void differentiate(const derivative *d, operation o, derivative_count *total) {
  array fa[ARRAYS_MAX], ba[ARRAYS_MAX];
  double *f[ARRAYS_MAX] = {NULL}, *b[ARRAYS_MAX] = {NULL};
  size_t terms;
  o.f = d->forward;
  size_t f_count = describe(&o, fa, &terms);
  for (size_t i = 0; i < f_count; i++) {
    if (fa[i].absent) continue;
    f[i] = doubles(array_count(&fa[i]));
    for (size_t j = 0; j < array_count(&fa[i]); j++) f[i][j] = 2 * random_number(fa[i].role, 0);
  }
  double *weights = doubles(array_count(&fa[d->output]));
  for (size_t j = 0; j < array_count(&fa[d->output]); j++) weights[j] = random_number(IN, 0);
  weighted_output(&o, &fa[d->output], f, d->output, weights);
  o.f = d->backward;
  size_t b_count = describe(&o, ba, &terms);
  for (size_t i = 0; i < b_count; i++) {
    const double *source = d->arrays[i] == GIVEN ? weights : d->arrays[i] < GIVEN ? f[d->arrays[i]] : NULL;
    if (ba[i].absent || d->arrays[i] == NOTHING || (d->arrays[i] < GIVEN && !source)) continue;
    b[i] = doubles(array_count(&ba[i]));
    for (size_t j = 0; j < array_count(&ba[i]); j++) b[i][j] = source ? source[j] : 0;
  }
  call_double(NULL, &o, b);
  o.f = d->forward;
  for (size_t i = 0; i < b_count; i++) {
    if (d->arrays[i] < EXPECTED || d->arrays[i] == NOTHING || !b[i]) continue;
    size_t input = (size_t)(d->arrays[i] - EXPECTED), count = array_count(&ba[i]);
    double largest = 0;
    for (size_t j = 0; j < count; j++) {
      if (j % ba[i].cs < ba[i].c && fabs(b[i][j]) > largest) largest = fabs(b[i][j]);
    }
    for (size_t trial = 0; trial < 24; trial++) {
      size_t j = random_bits() % count;
      if (j % ba[i].cs >= ba[i].c) continue;
      double eps = 1e-5, x = f[input][j], value[3];
      for (int k = 0; k < 3; k++) {
        f[input][j] = x + (k - 1) * eps;
        value[k] = weighted_output(&o, &fa[d->output], f, d->output, weights);
      }
      f[input][j] = x;
      double numeric = (value[2] - value[0]) / (2 * eps), bend = (value[2] - 2 * value[1] + value[0]) / eps;
      double scale = fmax(fmax(fabs(numeric), fabs(b[i][j])), 1e-3 * largest);
      if (fabs(bend) > 0.01 * scale + 1e-9) {
        total->skipped++;
      } else {
        total->compared++;
        total->wrong += !(fabs(numeric - b[i][j]) <= 1e-5 * scale + 1e-10);
      }
    }
  }
  for (size_t i = 0; i < ARRAYS_MAX; i++) {
    free(f[i]);
    free(b[i]);
  }
  free(weights);
}

static void check_derivative(const derivative *d, operation o) {
  derivative_count total = {0, 0, 0};
  differentiate(d, o, &total);
  if (total.wrong > 0) {
    printf("  derivative: %u of %u wrong\n", (unsigned)total.wrong, (unsigned)total.compared);
    o.f = d->backward;
    print_operation(&o);
  }
  CHECK(total.compared > 0 && total.wrong == 0);
  CHECK(total.skipped * 10 <= total.compared);
}

static void check_derivatives(void) {
  static const size_t shapes[][12] = {{2, 5, 4, 3, 5, 3, 3, 1, 1, 1, 1, 1},
                                      {1, 7, 6, 6, 3, 3, 3, 2, 1, 1, 1, 1},
                                      {2, 5, 5, 4, 4, 5, 5, 3, 2, 2, 1, 2},
                                      {2, 4, 4, 5, 7, 1, 1, 2, 0, 0, 0, 0},
                                      {3, 3, 2, 5, 4, 3, 2, 1, 0, 0, 0, 0}};
  for (size_t i = 0; i < COUNT(shapes); i++) {
    const size_t *v = shapes[i];
    for (size_t k = 0; k < COUNT(derivatives); k++) {
      const derivative *d = &derivatives[k];
      int conv = d->forward == CONV_FORWARD,
          acts = d->forward == NORM_FORWARD || d->forward == ACT_FORWARD || d->forward == ADD_FORWARD;
      operation o = {
          d->forward, shape(v[0], v[1], v[2], v[3], conv ? v[4] : v[3], v[5], v[6], v[7], v[8], v[9], v[10], v[11]), 0, 0, 0, 1,
          3};
      check_derivative(d, o);
      o.optional = 0;
      o.per_point = 1;
      o.max = d->forward == POOL_FORWARD;
      check_derivative(d, o);
      for (o.act = 1; acts && o.act < ROTO_ACT_COUNT; o.act++) {
        o.frozen = o.act % 2;
        check_derivative(d, o);
        o.frozen = !o.frozen;
        o.optional = 1;
        check_derivative(d, o);
      }
    }
  }
}

/* ---- the comparison itself ---- */

static void check_comparison(void) {
  enum { C = 5, CS = 16, PIXELS = 3, TERMS = 1152 };
  array a = value(IN, PIXELS, C);
  float got[PIXELS * CS];
  double want[PIXELS * CS] = {0}, allowed[PIXELS * CS] = {0};
  for (size_t i = 0; i < PIXELS * CS; i++) {
    want[i] = random_number(IN, 1) * 100 + 1;
    got[i] = i % CS < C ? (float)want[i] : NAN;
  }
  CHECK(mismatches(&a, got, want, allowed) == 0);
  for (size_t i = 0; i < PIXELS * CS; i++) {
    float right = got[i];
    size_t real_lane = i % CS < C;
    got[i] = NAN;
    CHECK(mismatches(&a, got, want, allowed) == real_lane);
    got[i] = -(float)want[i];
    CHECK(mismatches(&a, got, want, allowed) == real_lane);
    got[i] = (float)want[i] + 1; /* one product of a sum is missing */
    CHECK(mismatches(&a, got, want, allowed) == real_lane);
    got[i] = right;
  }
  /* d(x * s) / dx is s: a derivative of 1 must be found wrong everywhere. */
  derivative wrong = {SCALE_FORWARD, ACT_BACKWARD, 2, {0, GIVEN, EXPECTED + 0}};
  operation o = {SCALE_FORWARD, shape(1, 4, 4, 5, 5, 1, 1, 1, 0, 0, 0, 0), 0, 0, 0, 0, 1};
  derivative_count total = {0, 0, 0};
  differentiate(&wrong, o, &total);
  CHECK(total.compared > 0 && total.wrong == total.compared);
}

int main(void) {
  static const char *const names[] = {"scalar", "avx2", "avx512", "avx512-bf16"};
  check_comparison();
  check_derivatives();
  for (int isa = 1; isa <= 4; isa++) {
    compute *cp[2] = {compute_create(1, isa), compute_create(2, isa)};
    for (int t = 0; t < 2; t++)
      CHECK(compute_mixed(cp[t], isa == 4) || (isa == 4 && strcmp(compute_isa(cp[t]), names[3]) != 0));
    if (strcmp(compute_isa(cp[0]), names[isa - 1]) != 0) {
      SKIP(names[isa - 1]);
    } else {
      each_operation(compare_operation, cp);
      check_statistics(cp[1]);
      check_fused(cp);
    }
    compute_free(cp[0]);
    compute_free(cp[1]);
  }
  return check_end("compute");
}
