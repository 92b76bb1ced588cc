/* Low precision: every slot of kernels_low.c for bfloat16 and bytes, against references in double on what the stored operands
 * stand for, with bounds that follow from the arithmetic; then whole models, in every precision and by any number of threads.
 *
 * The bounds, for a result act(x), x the sum of products, bias and residual:
 *   products   bfloat16: each is exact in float32 (16 bits), so sums differ as float32 sums do (ref.h).  Bytes: the sum is exact;
 *              times factor plus bias are two roundings.
 *   act        that of kernel_checks.h; the fast swish is off by 1.5e-4 of the value at most (cubic 7.6e-5, reciprocal 6.1e-5).  On
 *              its way to bfloat16 by 2.1e-4 in all, and where its tables end by 1.2e-3 below -9 and 6.1e-3 above 6.25.
 *   curve      x and the fall are rounded to 2^-bits of a step each, the slope of a swish being at most 1.11; the fall, whose slope
 *              is at most 1/2, is that of the middle of 2^step such; past the last entry it is below a quarter of a step.
 *   stored     bfloat16: half a unit in the last place of 8 bits, 2^-8 of the value.  Bytes: half a step, inside the range.
 * Buffers end at a forbidden page as in kernel_checks.h. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "../model_format/write.h"
#include "kernel_checks.h"

/* ---- stored values ---- */

static rotoi_code code_of(rotoi_type type) {
  rotoi_code code;
  memset(&code, 0, sizeof code);
  code.type = type;
  code.scale = code.inverse = 1;
  if (type == ROTOI_U8) {
    code.scale = ldexpf(1, (int)random_below(3) - 5); /* exact, so that bytes stand for exact numbers */
    code.inverse = 1 / code.scale;
    code.zero = (float)random_below(256);
  }
  return code;
}

/* `count` elements that end at the forbidden page, their bytes counted up to a float. */
static unsigned char *take(guard *g, size_t count, rotoi_type type) {
  const size_t bytes = count * rotoi_type_size(type);
  float *floats = guard_take(g, (bytes + 3) / 4);
  return (unsigned char *)floats + ((bytes + 3) / 4 * 4 - bytes);
}

static double value_at(const unsigned char *p, size_t i, const rotoi_code *code) {
  float value;
  if (code->type == ROTOI_F32) {
    memcpy(&value, p + 4 * i, 4);
  } else if (code->type == ROTOI_BF16) {
    uint16_t half;
    memcpy(&half, p + 2 * i, 2);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy(&value, &bits, 4);
  } else {
    return (double)code->scale * ((double)p[i] - (double)code->zero);
  }
  return (double)value;
}

static void put(unsigned char *p, size_t i, float value, rotoi_type type, unsigned char byte) {
  if (type == ROTOI_F32) {
    memcpy(p + 4 * i, &value, 4);
  } else if (type == ROTOI_BF16) {
    const uint16_t half = rotoi_to_bf16(value);
    memcpy(p + 2 * i, &half, 2);
  } else {
    p[i] = byte;
  }
}

static unsigned char *take_random(guard *g, size_t count, rotoi_type type, int exact) {
  unsigned char *p = take(g, count, type);
  for (size_t i = 0; i < count; ++i) put(p, i, random_value(exact), type, (unsigned char)random_below(256));
  return p;
}

/* How many of the results at `out` are further from `expected` than allowed before storing plus what storing adds. */
static size_t wrong_stored(const unsigned char *out, const rotoi_code *code, size_t first, size_t count) {
  size_t wrong = 0;
  for (size_t i = first; i < first + count; ++i) {
    double want = expected[i], slack = allowed[i];
    if (code->type == ROTOI_BF16) slack += ldexp(fabs(want) + slack, -8);
    if (code->type == ROTOI_U8) {
      const double low = (double)code->scale * (0 - (double)code->zero),
                   high = (double)code->scale * (255 - (double)code->zero);
      want = want < low ? low : want > high ? high : want;
      slack += 0.5 * (double)code->scale * (1 + 1e-4);
    }
    if (!(fabs(value_at(out, i, code) - want) <= slack)) ++wrong;
  }
  return wrong;
}

static void expect_low(size_t index, int act, double x, double tolerance, rotoi_type to) {
  expect_act(index, act, x, tolerance);
  if (act != ROTO_ACT_SWISH) return;
  if (to == ROTOI_BF16)
    allowed[index] += x > 6.2 ? 6.1e-3 : x < -8.9 ? 1.2e-3 : 2.1e-4;
  else
    allowed[index] += 1.5e-4 * fabs(expected[index]);
}

static rotoi_fall curve;

/* The curve for half of the cases that may have one. */
static const rotoi_fall *take_curve(int act, const rotoi_code *code) {
  if (code->type != ROTOI_U8 || !rotoi_has_curve(act) || !rotoi_has_byte_tables() || random_below(2)) return NULL;
  rotoi_make_curve(act, *code, &curve);
  return &curve;
}

static double curve_slack(const rotoi_fall *c, const rotoi_code *code) {
  if (!c) return 0;
  return (double)code->scale * (ldexp(0.56 + 0.5 + 0.25 * ((1 << c->step) - 1), -c->bits) + 0.25);
}

/* ---- gemm ---- */

static void check_low_gemm(const rotoi_low_kernels *low, size_t m, size_t nv, size_t taps, size_t k, int exact, int with_add,
                           rotoi_type out_type, int act) {
  const rotoi_type type = low->type;
  const size_t per = 4 / rotoi_type_size(type), words = rotoi_words(k, type), width = 16 * nv;
  const size_t row = words * per, c_stride = width + 16 * random_below(2), out_count = (m - 1) * c_stride + width;
  const rotoi_code in_code = code_of(type), out_code = code_of(out_type),
                   add_code = code_of(with_add == 2 ? out_type : (rotoi_type)random_below(3));
  unsigned char *in = take_random(&guard_in, taps * m * row, type, exact);
  const unsigned char *rows[9 * 16];
  for (size_t i = 0; i < taps * m; ++i) rows[i] = in + random_below((uint32_t)(taps * m)) * row * rotoi_type_size(type);
  rows[random_below((uint32_t)(taps * m))] = in + (taps * m - 1) * row * rotoi_type_size(type);

  float *weights = guard_random(&guard_weights, taps * k * width, exact), scale[32], factor[32];
  if (type == ROTOI_U8) {
    for (size_t i = 0; i < taps * k * width; ++i) weights[i] = (float)random_below(255) - 127;
  }
  for (size_t i = 0; type == ROTOI_BF16 && i < taps * k * width; ++i) {
    uint32_t bits = (uint32_t)rotoi_to_bf16(weights[i]) << 16;
    memcpy(&weights[i], &bits, 4);
  }
  for (size_t j = 0; j < width; ++j) scale[j] = 1, factor[j] = exact ? 0.5f : 0.01f + ldexpf((float)random_below(1000), -16);
  rotoi_pack pack = {weights, NULL, taps, k, width, width, 1, scale, low->nr};
  static unsigned char packed[1 << 20];
  int32_t sums[32] = {0};
  rotoi_pack_words(low, &pack, packed, sums);
  for (size_t j = 0; type == ROTOI_U8 && j < width; ++j) {
    double sum = 0;
    for (size_t r = 0; r < taps * k; ++r) sum += rint((double)weights[r * width + j]);
    CHECK(sum == sums[j], "column %zu: %d, expected %g", j, sums[j], sum);
  }
  const float *bias = guard_random(&guard_bias, width, exact);
  unsigned char *add = with_add == 1 ? take_random(&guard_other, out_count, add_code.type, exact) : NULL;
  unsigned char *out = take_random(&guard_out, out_count, out_type, exact);
  if (with_add == 2) add = out;
  rotoi_low_gemm g;
  memset(&g, 0, sizeof g);
  g.m = m, g.nv = nv, g.taps = taps, g.k = words, g.a = rows, g.b = packed;
  g.factor = type == ROTOI_U8 ? factor : NULL, g.bias = bias;
  g.add = add, g.add_code = with_add == 2 ? out_code : add_code, g.add_stride = c_stride;
  g.c = out, g.c_code = out_code, g.c_stride = c_stride, g.act = act;
  if (type == ROTOI_U8 && !add) g.curve = take_curve(act, &out_code);
  rotoi_code plain = in_code; /* bytes count as they are: their zero belongs to the bias */
  plain.scale = 1, plain.zero = 0;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < width; ++j) {
      ref_sum sum = {0, 0};
      for (size_t t = 0; t < taps; ++t) {
        for (size_t l = 0; l < k; ++l)
          ref_add(&sum, value_at(rows[t * m + i], l, &plain) * (double)weights[(t * k + l) * width + j]);
      }
      double x = sum.value, tolerance = exact ? 0 : ref_tolerance(taps * k + 2, sum.magnitude + fabs((double)bias[j]));
      if (type == ROTOI_U8) {
        x = x * (double)factor[j] + (double)bias[j];
        tolerance = ldexp(fabs(x) + fabs((double)bias[j]), -22); /* the sum becomes a float, too */
      } else {
        x += (double)bias[j];
      }
      if (add) x += value_at(add, i * c_stride + j, &g.add_code);
      expect_low(i * c_stride + j, act, x, tolerance + (add ? ldexp(fabs(x) + 16, -23) : 0), out_type);
      allowed[i * c_stride + j] += curve_slack(g.curve, &out_code);
    }
  }
  low->gemm(&g);
  size_t wrong = 0;
  for (size_t i = 0; i < m; ++i) wrong += wrong_stored(out, &out_code, i * c_stride, width);
  CHECK(wrong == 0 && guard_intact(&guard_out),
        "type %d gemm %zu x %zu, %zu taps of %zu, add %d, to type %d, activation %d, %s: %zu wrong", type, m, width, taps, k,
        with_add, out_type, act, exact ? "exact" : "random", wrong);
}

static void check_low_gemms(const rotoi_low_kernels *low) {
  static const size_t ks[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 64}, tap_counts[] = {1, 2, 9};
  for (size_t m = 1; m <= low->mr; ++m) {
    for (size_t nv = 1; nv <= low->nr / 16; ++nv) {
      for (size_t t = 0; t < 3; ++t) {
        for (size_t k = 0; k < sizeof ks / sizeof *ks; ++k) {
          check_low_gemm(low, m, nv, tap_counts[t], ks[k], 1, (int)random_below(3), ROTOI_F32, ROTO_ACT_NONE);
          check_low_gemm(low, m, nv, tap_counts[t], ks[k], 0, (int)random_below(3), (rotoi_type)random_below(3), ROTO_ACT_NONE);
          check_low_gemm(low, m, nv, tap_counts[t], ks[k], 0, 0, low->type, ROTO_ACT_SWISH);
        }
      }
      for (int act = 0; act < ROTO_ACT_COUNT; ++act) {
        for (int type = 0; type < 3; ++type) check_low_gemm(low, m, nv, 1, 5, 0, (int)random_below(3), (rotoi_type)type, act);
      }
    }
  }
}

/* The largest sum that the packing lets through stays inside an int32: all bytes 255, all weights of one sign. */
static void check_byte_limits(const rotoi_low_kernels *low) {
  enum { ROWS = 70000, COLUMNS = 3 };
  static float weights[ROWS * COLUMNS];
  float scale[COLUMNS];
  int32_t sums[16] = {0};
  rotoi_pack pack = {weights, NULL, 1, ROWS, COLUMNS, COLUMNS, 1, scale, 32};
  for (size_t i = 0; i < ROWS; ++i) weights[3 * i] = 1, weights[3 * i + 1] = i == 7 ? -2 : 0.001f, weights[3 * i + 2] = 0;
  rotoi_byte_scales(low, &pack, scale);
  unsigned char *packed = (unsigned char *)malloc(4 * 32 * (size_t)ROWS);
  rotoi_pack_words(low, &pack, packed, sums);
  CHECK((int64_t)sums[0] * 255 <= 2147483647, "%g", (double)scale[0]);
  CHECK((int64_t)sums[0] * 255 > 1000000000, "%g", (double)scale[0]);
  CHECK(fabs((double)scale[1] / 63.5 - 1) < 1e-6 && scale[2] == 1);
  CHECK(sums[1] == -127 && sums[2] == 0 && sums[3] == 0);
  free(packed);
}

/* ---- depthwise and pools ---- */

static void check_low_window(const rotoi_low_kernels *low, long k, long stride, long pad_top, long pad_left, long h, long w,
                             rotoi_type out_type, int act, int with_sums, int pool) {
  const rotoi_type type = low->type;
  const size_t cs = 16 * (1 + random_below(10));
  const long oh = (h + pad_top + (long)random_below((uint32_t)k) - k) / stride + 1;
  const long ow = (w + pad_left + (long)random_below((uint32_t)k) - k) / stride + 1;
  if (h + pad_top < k || w + pad_left < k) return;
  const size_t out_count = (size_t)(oh * ow) * cs;
  const rotoi_code in_code = code_of(type), out_code = code_of(out_type);
  const unsigned char *in = take_random(&guard_in, (size_t)(h * w) * cs, type, 0);
  const size_t taps = (size_t)(k * k);
  float *weights = guard_random(&guard_weights, taps * cs, 0), *bias = guard_random(&guard_bias, cs, 0);
  /* Weights as words, for the kernels that may be: bytes with factors. */
  static unsigned char words[1 << 16], zeros[1 << 16];
  unsigned char *const outside =
      zeros + sizeof zeros - (size_t)w * cs * rotoi_type_size(type); /* a row, and nothing behind it */
  float factor[160], shifted[160];
  const int dots = !pool && rotoi_has_words((size_t)k, (size_t)k, (size_t)stride) && random_below(4);
  const rotoi_pack pack = {weights, NULL, taps, 1, cs, cs, 1, NULL, cs};
  for (size_t c = 0; c < cs; ++c) factor[c] = 1, shifted[c] = bias[c];
  memset(zeros, type == ROTOI_U8 ? (int)in_code.zero : 0, sizeof zeros);
  for (size_t i = 0; dots && i < taps * cs; ++i) {
    const uint32_t bits = (uint32_t)rotoi_to_bf16(weights[i]) << 16;
    if (type == ROTOI_U8) weights[i] = (float)random_below(255) - 127;
    if (type == ROTOI_BF16) memcpy(&weights[i], &bits, 4);
  }
  int32_t byte_sums[160] = {0};
  if (dots) rotoi_pack_columns(low, &pack, (size_t)k, words, byte_sums);
  for (size_t c = 0; dots && type == ROTOI_U8 && c < cs; ++c) {
    double sum = 0;
    for (size_t t = 0; t < taps; ++t) sum += (double)weights[t * cs + c];
    CHECK(sum == byte_sums[c], "channel %zu: %d, expected %g", c, byte_sums[c], sum);
    factor[c] = ldexpf((float)(1 + random_below(1000)), -19);
    shifted[c] = (float)((double)bias[c] - (double)factor[c] * (double)in_code.zero * sum);
  }
  const rotoi_fall *fall = dots && type == ROTOI_U8 ? take_curve(act, &out_code) : NULL;
  unsigned char *out = take_random(&guard_out, out_count, out_type, 0);
  float *sums = with_sums ? guard_random(&guard_sums, cs, 0) : NULL;
  double sum_expected[160], sum_allowed[160], sum_before[160];
  for (size_t c = 0; c < cs; ++c) sum_before[c] = sum_expected[c] = sums ? (double)sums[c] : 0, sum_allowed[c] = 0;
  for (long y = 0; y < oh; ++y) {
    for (long x = 0; x < ow; ++x) {
      for (size_t c = 0; c < cs; ++c) {
        const size_t index = (size_t)(y * ow + x) * cs + c;
        ref_sum sum = {0, 0};
        double largest = -HUGE_VAL;
        int count = 0;
        for (long ky = 0; ky < k; ++ky) {
          for (long kx = 0; kx < k; ++kx) {
            const long iy = y * stride - pad_top + ky, ix = x * stride - pad_left + kx;
            if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
            const double v = value_at(in, (size_t)(iy * w + ix) * cs + c, &in_code);
            largest = v > largest ? v : largest;
            ++count;
            const double q = pool ? v : v / (double)in_code.scale * (double)factor[c];
            ref_add(&sum, pool ? v : q * (double)weights[(size_t)(ky * k + kx) * cs + c]);
          }
        }
        if (pool) {
          expected[index] = pool == 2 ? (count ? largest : 0) : count ? sum.value / count : 0;
          allowed[index] = ref_tolerance((size_t)(k * k) + 1, sum.magnitude);
          continue;
        }
        ref_add(&sum, (double)bias[c]);
        expect_low(index, act, sum.value, ref_tolerance(taps + 2, sum.magnitude + fabs((double)shifted[c])), out_type);
        allowed[index] += curve_slack(fall, &out_code);
        sum_expected[c] += expected[index];
        sum_allowed[c] += allowed[index] + ldexp(fabs(expected[index]) + fabs(sum_expected[c]), -23);
      }
    }
  }
  if (pool) {
    rotoi_low_pool p = {{NULL, NULL, (size_t)h, (size_t)w, (size_t)oh, (size_t)ow, cs, (size_t)k, (size_t)k, (size_t)stride,
                         (size_t)pad_top, (size_t)pad_left, 0, (size_t)oh, pool == 2},
                        in,
                        out,
                        in_code,
                        out_code};
    low->pool(&p);
  } else {
    rotoi_low_depthwise d = {
        {NULL,       weights, shifted,    NULL,      sums,           (size_t)h,       (size_t)w,        (size_t)oh,
         (size_t)ow, cs,      (size_t)k,  (size_t)k, (size_t)stride, (size_t)pad_top, (size_t)pad_left, 0,
         cs,         0,       (size_t)oh, act},
        in,
        out,
        in_code,
        out_code,
        dots ? words : NULL,
        outside,
        dots && type == ROTOI_U8 ? factor : NULL,
        fall};
    const size_t half = oh > 1 ? (size_t)oh / 2 : 0, some = cs / 32 * 16; /* in parts, as threads do */
    d.shape.y1 = half;
    low->depthwise(&d);
    d.shape.y0 = half, d.shape.y1 = (size_t)oh, d.shape.c1 = some;
    low->depthwise(&d);
    d.shape.c0 = some, d.shape.c1 = cs;
    low->depthwise(&d);
  }
  /* From words to bytes the sums are those of what is stored. */
  if (sums && dots && type == ROTOI_U8 && out_type == ROTOI_U8 && (fall || act <= ROTO_ACT_RELU6)) {
    for (size_t c = 0; c < cs; ++c) {
      sum_expected[c] = sum_before[c], sum_allowed[c] = 0;
      for (size_t i = c; i < out_count; i += cs) {
        sum_expected[c] += value_at(out, i, &out_code);
        sum_allowed[c] += ldexp(fabs(sum_expected[c]) + 256 * (double)out_code.scale, -23);
      }
    }
  }
  const size_t wrong = wrong_stored(out, &out_code, 0, out_count),
               wrong_sums = sums ? ref_wrong(sums, sum_expected, sum_allowed, cs) : 0;
  CHECK(wrong == 0 && wrong_sums == 0 && guard_intact(&guard_out) && (!sums || guard_intact(&guard_sums)),
        "type %d %s %ldx%ld/%ld of %ld x %ld x %zu, padding %ld %ld, to type %d, activation %d: %zu and %zu sums wrong", type,
        pool ? "pool" : "depthwise", k, k, stride, h, w, cs, pad_top, pad_left, out_type, act, wrong, wrong_sums);
}

static void check_low_windows(const rotoi_low_kernels *low) {
  static const long sizes[] = {1, 2, 3, 5, 7}, widths[] = {1, 2, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 28};
  for (size_t ik = 0; ik < 5; ++ik) {
    for (long stride = 1; stride <= 3; ++stride) {
      for (size_t iw = 0; iw < sizeof widths / sizeof *widths; ++iw) {
        for (int round = 0; round < 4; ++round) {
          const long k = sizes[ik], top = (long)random_below((uint32_t)k), left = (long)random_below((uint32_t)k);
          check_low_window(low, k, stride, top, left, 1 + (long)random_below(9), widths[iw], (rotoi_type)random_below(3),
                           (int)random_below(ROTO_ACT_COUNT), (int)random_below(2), round == 3 ? 1 + (int)random_below(2) : 0);
        }
      }
    }
  }
}

/* ---- the rest ---- */

static void check_low_elementwise(const rotoi_low_kernels *low) {
  for (int round = 0; round < 2000; ++round) {
    const size_t cs = 16 * (1 + random_below(5)), pixels = 1 + random_below(5), n = cs * pixels;
    const rotoi_code a_code = code_of((rotoi_type)random_below(3)), b_code = code_of((rotoi_type)random_below(3));
    rotoi_code out_code = code_of((rotoi_type)random_below(3));
    const int act = (int)random_below(ROTO_ACT_COUNT), kind = (int)random_below(4), in_place = random_below(2) && kind != 3;
    unsigned char *a = take_random(&guard_in, n, a_code.type, 0), *b = take_random(&guard_other, n, b_code.type, 0), *out;
    const float *s = guard_random(&guard_bias, cs, 0);
    if (in_place) {
      out_code.type = a_code.type;
      if (a_code.type == ROTOI_U8) out_code = a_code;
      out = a;
    } else {
      out = take(&guard_out, n, out_code.type);
    }
    double largest = 1;
    for (size_t c = 0; c < cs; ++c) largest = fmax(largest, fabs((double)s[c] * (double)a_code.scale / (double)out_code.scale));
    const double word_slack = 255 * 2 * largest * ldexp(1, -16) * (double)out_code.scale;
    for (size_t i = 0; i < n; ++i) {
      double x = value_at(a, i, &a_code);
      if (kind == 0) x += value_at(b, i, &b_code);
      if (kind == 2) x *= (double)s[i % cs];
      expect_low(i, act, x, ldexp(fabs(x) + 16, -22), ROTOI_F32);
      /* Scaled in words: 255 times half a unit of a factor of 15 bits, the largest below 2^e. */
      if (kind == 2)
        allowed[i] += out_code.type == ROTOI_U8 && a_code.type == ROTOI_U8 && act == ROTO_ACT_NONE ? word_slack : 0;
    }
    for (size_t c = 0; kind == 3 && c < cs; ++c) {
      ref_sum sum = {0, 0};
      for (size_t p = 0; p < pixels; ++p) ref_add(&sum, value_at(a, p * cs + c, &a_code));
      expected[c] = 0.25 * sum.value;
      allowed[c] = ref_tolerance(pixels, sum.magnitude);
    }
    if (kind < 2) low->add(a, a_code, kind ? NULL : b, b_code, n, act, out, out_code);
    if (kind == 2) low->scale(a, a_code, s, pixels, cs, act, out, out_code);
    if (kind == 3) low->channel_sum(a, a_code, pixels, cs, 0.25f, out, out_code);
    const size_t wrong = wrong_stored(out, &out_code, 0, kind == 3 ? cs : n);
    CHECK(wrong == 0 && (in_place || guard_intact(&guard_out)), "kind %d of types %d %d to %d, activation %d: %zu wrong", kind,
          a_code.type, b_code.type, out_code.type, act, wrong);
  }
}

/* The fast swish and the rounding on a grid, and where formulas break. */
static void check_low_swish(const rotoi_low_kernels *low) {
  enum { GRID = 40000 };
  const rotoi_code plain = code_of(ROTOI_F32);
  float *in = guard_take(&guard_in, GRID), *out = guard_take(&guard_out, GRID);
  for (int i = 0; i < GRID; ++i) in[i] = (float)(i - GRID / 2) * (i % 2 ? 200.0f : 8.0f) / (GRID / 2);
  for (size_t i = 0; i < GRID; ++i) expect_low(i, ROTO_ACT_SWISH, (double)in[i], 0, ROTOI_F32);
  low->add(in, plain, NULL, plain, GRID, ROTO_ACT_SWISH, out, plain);
  for (size_t i = 0; i < GRID; ++i) allowed[i] += 1e-35;
  CHECK(ref_wrong(out, expected, allowed, GRID) == 0);
  for (int i = 0; i < 16; ++i) in[i] = i % 4 == 0 ? (float)HUGE_VAL : i % 4 == 1 ? not_a_number() : i % 4 == 2 ? -3e38f : 3e38f;
  low->add(in, plain, NULL, plain, 16, ROTO_ACT_SWISH, out, plain);
  CHECK(out[0] > 3e38f && out[1] != out[1] && fabsf(out[2]) < 1e-30f && out[3] > 2.9e38f, "%g %g %g %g", (double)out[0],
        (double)out[1], (double)out[2], (double)out[3]);
}

/* ---- whole models ---- */

static unsigned char *read_model(const char *path, size_t *size) {
  FILE *in = fopen(path, "rb");
  unsigned char *data = (unsigned char *)malloc(1 << 24);
  *size = in ? fread(data, 1, 1 << 24, in) : 0;
  if (in) fclose(in);
  return data;
}

static double no_clock(void *user) {
  (void)user;
  return 0;
}

static void see_range(void *user, const roto_step *step) {
  float *range = ((float(*)[2])user)[step->last_node];
  for (size_t i = 0; step->value && i < (size_t)step->out_h * step->out_w; ++i) {
    for (size_t c = 0; c < step->out_c; ++c) {
      const float v = step->value[i * step->value_stride + c];
      range[0] = fminf(range[0], v), range[1] = fmaxf(range[1], v);
    }
  }
}

/* The model with the ranges that noise makes of its values. */
static unsigned char *with_ranges(unsigned char *data, size_t *size) {
  static float ranges[ROTO_MAX_NODES][2];
  roto_model *model;
  roto_session *session;
  roto_options options;
  roto_session_options observe;
  unsigned char *bytes = NULL;
  memset(&options, 0, sizeof options);
  memset(&observe, 0, sizeof observe);
  options.precision = ROTO_PRECISION_INT8;
  CHECK(roto_open(data, *size, &options, &model) == ROTO_ERR_RANGES && !model);
  options.precision = ROTO_PRECISION_FP32;
  options.separate = 1;
  observe.profile.clock = no_clock, observe.profile.step = see_range, observe.profile.user = ranges;
  if (!CHECK(!roto_open(data, *size, &options, &model) && !roto_session_create(model, &observe, &session))) return data;
  const roto_info *info = roto_get_info(model);
  const size_t count = (size_t)info->input_width * info->input_height * info->input_channels;
  float *in = (float *)malloc(count * sizeof *in), *out = (float *)malloc(info->output_count * sizeof *out);
  memset(ranges, 0, sizeof ranges);
  for (int round = 0; round < 8; ++round) {
    for (size_t i = 0; i < count; ++i) in[i] = random_value(0) * 2;
    CHECK(!roto_infer(session, in, out));
  }
  ranges[0][0] = -2, ranges[0][1] = 2;
  rotoi_file file;
  CHECK(!rotoi_parse(data, *size, &file, NULL));
  for (uint32_t i = 0; i < file.node_count; ++i) {
    if (ranges[i][1] - ranges[i][0] < 1e-6f) ranges[i][1] = 1; /* joined with what follows, or always 0 */
  }
  roto_session_free(session);
  roto_close(model);
  CHECK(!roto_write_ranges(data, *size, (const float(*)[2])ranges, file.node_count, 0.5f, &bytes, size));
  free(data);
  free(in);
  free(out);
  return bytes;
}

/* A model in `precision` against itself in float32, on noise; the same bits by any number of threads. */
static void check_model(const char *path, roto_precision precision, double most) {
  size_t size;
  unsigned char *data = read_model(path, &size);
  if (precision == ROTO_PRECISION_INT8) data = with_ranges(data, &size);
  roto_model *model[2];
  roto_session *session[3];
  roto_options options;
  roto_session_options parallel;
  memset(&options, 0, sizeof options);
  memset(&parallel, 0, sizeof parallel);
  if (!CHECK(!roto_open(data, size, &options, &model[0]), "%s", path)) return;
  options.precision = precision;
  if (!CHECK(!roto_open(data, size, &options, &model[1]), "%s", path)) return;
  const roto_info *info = roto_get_info(model[1]);
  CHECK(info->precision == (roto_has_precision(precision) ? precision : ROTO_PRECISION_FP32));
  parallel.parallel.threads = 1;
  CHECK(!roto_session_create(model[0], &parallel, &session[0]) && !roto_session_create(model[1], &parallel, &session[1]));
  parallel.parallel.threads = 3;
  CHECK(!roto_session_create(model[1], &parallel, &session[2]));
  const size_t count = (size_t)info->input_width * info->input_height * info->input_channels;
  float *in = (float *)malloc(count * sizeof *in), *out[3];
  for (size_t i = 0; i < count; ++i) in[i] = random_value(0) * 2;
  for (int i = 0; i < 3; ++i) {
    out[i] = (float *)malloc(info->output_count * sizeof(float));
    CHECK(!roto_infer(session[i], in, out[i]));
  }
  double worst = 0, largest = 0;
  for (uint32_t i = 0; i < info->output_count; ++i) {
    worst = fmax(worst, fabs((double)out[1][i] - (double)out[0][i]));
    largest = fmax(largest, fabs((double)out[0][i]));
  }
  printf("  %s, %s: off by %.2g of the largest output\n", path, roto_precision_name(info->precision), worst / largest);
  CHECK(worst <= most * largest && (info->precision == ROTO_PRECISION_FP32 || worst > 0), "%s: %g of %g", path, worst, largest);
  CHECK(memcmp(out[1], out[2], info->output_count * sizeof(float)) == 0, "%s: threads change bits", path);
  float difference = 0;
  CHECK(!roto_selftest(session[1], &difference), "%s: %g", path, (double)difference);
  for (int i = 0; i < 3; ++i) roto_session_free(session[i]), free(out[i]);
  roto_close(model[0]);
  roto_close(model[1]);
  free(in);
  free(data);
}

/* With a cap below AVX-512, or on a machine that lacks the instructions, low precision is float32, bit for bit. */
static void capped_is_fp32(void) {
  size_t size;
  unsigned char *data = read_model("model_format/valid/all.roto", &size);
  roto_options options;
  roto_model *model;
  memset(&options, 0, sizeof options);
  options.max_isa = ROTO_ISA_AVX2;
  options.precision = ROTO_PRECISION_BF16;
  if (CHECK(!roto_open(data, size, &options, &model))) CHECK(roto_get_info(model)->precision == ROTO_PRECISION_FP32);
  roto_close(model);
  options.precision = (roto_precision)7;
  CHECK(roto_open(data, size, &options, &model) == ROTO_ERR_ARGUMENT && !model);
  free(data);
}

int main(void) {
  const rotoi_kernels *kernels = rotoi_select_kernels(ROTO_ISA_AUTO);
  static const char *const models[] = {"all", "bare", "dense", "heat", "offsets", "shapes"};
  for (int type = ROTOI_BF16; type <= ROTOI_U8; ++type) {
    const rotoi_low_kernels *low = rotoi_select_low(kernels, (rotoi_type)type);
    if (!low) {
      SKIP(type == ROTOI_BF16 ? "avx512 bf16" : "avx512 vnni");
      continue;
    }
    check_low_swish(low);
    check_low_gemms(low);
    check_low_windows(low);
    check_low_elementwise(low);
    if (type == ROTOI_U8) check_byte_limits(low);
  }
  for (size_t i = 0; i < sizeof models / sizeof *models; ++i) {
    char path[64];
    snprintf(path, sizeof path, "model_format/valid/%s.roto", models[i]);
    check_model(path, ROTO_PRECISION_BF16, 0.02);
    check_model(path, ROTO_PRECISION_INT8, 0.1);
  }
  check_model("demo/puppet.roto", ROTO_PRECISION_BF16, 0.02);
  check_model("demo/puppet.roto", ROTO_PRECISION_INT8, 0.05);
  capped_is_fp32();
  return check_end("low");
}
