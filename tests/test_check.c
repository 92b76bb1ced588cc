/* Tests of the tests: the harness must count rightly, and the kernel checks must reject kernels that are broken in the ways
 * kernels break: zeros, NaN, twice the result, its negative, one element wrong, one term of a sum dropped, one write past the
 * tile.  A check that accepts one of these proves nothing about the real kernels. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "kernel_checks.h"

enum fault { INTACT, ZEROS, NOT_A_NUMBER, DOUBLED, NEGATED, ONE_WRONG, TERM_DROPPED, STRAY_WRITE, FAULT_COUNT };
static const char *const fault_names[] = {"no fault",          "zeros",        "NaN",        "doubled", "negated",
                                          "one element wrong", "term dropped", "stray write"};
static enum fault fault;

/* Break a row of results; `last` rows also carry the single wrong element. */
static void spoil(float *row, size_t count, int last) {
  for (size_t i = 0; i < count; ++i) {
    if (fault == ZEROS) row[i] = 0;
    if (fault == NOT_A_NUMBER) row[i] = not_a_number();
    if (fault == DOUBLED) row[i] *= 2;
    if (fault == NEGATED) row[i] = -row[i];
  }
  if (fault == ONE_WRONG && last) row[count / 2] += 1;
}

static float spoiled_weights[GUARD_FLOATS];

static const rotoi_kernels *sound; /* the table underneath */

static void broken_gemm(const rotoi_gemm *g) {
  rotoi_gemm copy = *g;
  size_t width = 16 * g->nv, count = g->taps * g->k * width;
  if (fault == TERM_DROPPED) {
    memcpy(spoiled_weights, g->b, count * sizeof(float));
    memset(spoiled_weights + count - width, 0, width * sizeof(float));
    copy.b = spoiled_weights;
  }
  sound->gemm(&copy);
  for (size_t i = 0; i < g->m; ++i) spoil(g->c + i * g->c_stride, width, i + 1 == g->m);
  if (fault == STRAY_WRITE) g->c[-1] = 0;
}

static void broken_depthwise(const rotoi_depthwise *d) {
  rotoi_depthwise copy = *d;
  size_t count = d->kh * d->kw * d->cs;
  if (fault == TERM_DROPPED) { /* the tap in the middle, which is seldom outside the picture */
    memcpy(spoiled_weights, d->w, count * sizeof(float));
    memset(spoiled_weights + (d->kh / 2 * d->kw + d->kw / 2) * d->cs, 0, d->cs * sizeof(float));
    copy.w = spoiled_weights;
  }
  sound->depthwise(&copy);
  for (size_t y = d->y0; y < d->y1; ++y) {
    for (size_t x = 0; x < d->ow; ++x) {
      /* Column c0 is never padding, so the one wrong element must be there. */
      float *row = d->out + (y * d->ow + x) * d->cs + d->c0;
      if (fault == ONE_WRONG) {
        row[0] += y + 1 == d->y1 && x + 1 == d->ow ? 1.0f : 0;
      } else {
        spoil(row, d->c1 - d->c0, 0);
      }
    }
  }
  if (fault == STRAY_WRITE) d->out[-1] = 0;
}

static void broken_pool(const rotoi_pool *p) {
  sound->pool(p);
  for (size_t i = p->y0 * p->ow; i < p->y1 * p->ow; ++i) {
    if (fault == ONE_WRONG) {
      p->out[i * p->cs] += i + 1 == p->y1 * p->ow ? 1.0f : 0;
    } else {
      spoil(p->out + i * p->cs, p->cs, 0);
    }
  }
  if (fault == STRAY_WRITE) p->out[-1] = 0;
}

static void broken_dense(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  sound->dense(x, w, k - (fault == TERM_DROPPED ? 1 : 0), stride, n, sums);
  spoil(sums, n, 1);
  if (fault == STRAY_WRITE) sums[-1] = 0;
}

static void broken_channel_sum(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  sound->channel_sum(in, pixels - (fault == TERM_DROPPED ? 1 : 0), cs, scale, out);
  spoil(out, cs, 1);
  if (fault == STRAY_WRITE) out[-1] = 0;
}

static void broken_add(const float *a, const float *b, size_t n, int act, float *out) {
  sound->add(a, b, n, act, out);
  spoil(out, n, 1);
  if (fault == STRAY_WRITE && n > 4) out[-1] = 0; /* the checks' own 4 values are not guarded */
}

static void broken_scale(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
  sound->scale(a, s, pixels, cs, act, out);
  for (size_t p = 0; p < pixels; ++p) spoil(out + p * cs, cs, p + 1 == pixels);
  if (fault == STRAY_WRITE) out[-1] = 0;
}

/* Run checks that are expected to fail, without their messages and without counting them; returns what they counted. */
static check_counts counts_of(void (*checks)(const rotoi_kernels *), const rotoi_kernels *kernels) {
  check_counts before = check_total, inner;
  check_total.passed = check_total.skipped = 0;
  check_total.failed = CHECK_MAX_MESSAGES;
  checks(kernels);
  inner = check_total;
  inner.failed -= CHECK_MAX_MESSAGES;
  check_total = before;
  return inner;
}

static void check_gemms_without_act(const rotoi_kernels *kernels) {
  for (size_t m = 1; m <= kernels->mr; ++m) {
    for (int option = 0; option < 6; ++option) {
      check_gemm(kernels, m, 1, 1 + m % 3, 5, 1, option % 2, option / 2, ROTO_ACT_NONE);
    }
  }
}

/* At least half of the cases must notice, not just one: some stay right by nature (zero doubled, a NaN that is due). */
static void check_fault(void (*checks)(const rotoi_kernels *), const rotoi_kernels *broken, const char *slot, int sums_terms) {
  for (int f = INTACT; f < FAULT_COUNT; ++f) {
    fault = (enum fault)f;
    if (fault == TERM_DROPPED && !sums_terms) continue;
    check_counts counts = counts_of(checks, broken);
    if (fault == INTACT) {
      CHECK(counts.failed == 0 && counts.passed > 0, "%s: %lu of a sound kernel's checks failed", slot, counts.failed);
    } else {
      CHECK(counts.failed >= counts.passed, "%s: %s was noticed by %lu checks and not by %lu", slot, fault_names[f],
            counts.failed, counts.passed);
    }
  }
}

static void check_depthwises(const rotoi_kernels *kernels) {
  for (long k = 3; k <= 5; k += 2) {
    for (long w = 5; w < 20; ++w) {
      ref_window r = {NULL, 4, w, 0, k, k, 1 + w % 2, w % k, 1};
      check_depthwise(kernels, &r, 20, 1, ROTO_ACT_NONE, (int)(w % 2), k / 2, k / 2);
    }
  }
}

static void check_pools(const rotoi_kernels *kernels) {
  for (long w = 5; w < 20; ++w) {
    ref_window r = {NULL, 4, w, 0, 3, 3, 1 + w % 2, 1, 1};
    check_pool(kernels, &r, 20, (int)(w % 2), 1, 1, 1);
  }
}

static void check_comparisons(void) {
  const double want[3] = {1, -2, 0}, close[3] = {1e-6, 1e-6, 1e-6};
  const float same[3] = {1, -2, 0}, near_by[3] = {1, -2, 5e-7f}, off[3] = {1, 2, 0};
  float nan[3] = {1, -2, 0};
  nan[1] = not_a_number();
  CHECK(ref_wrong(same, want, NULL, 3) == 0 && ref_wrong(same, want, close, 3) == 0, "equal results are right");
  CHECK(ref_wrong(near_by, want, NULL, 3) == 1 && ref_wrong(near_by, want, close, 3) == 0, "exact and bounded differ");
  CHECK(ref_wrong(off, want, NULL, 3) == 1 && ref_wrong(off, want, close, 3) == 1, "a wrong sign is wrong");
  CHECK(ref_wrong(nan, want, NULL, 3) == 1 && ref_wrong(nan, want, close, 3) == 1, "NaN is wrong");
  CHECK(ref_tolerance(4000, 1) < 1e-4 && ref_tolerance(1, 1) > ldexp(1, -24), "the bound has the size of rounding");
}

static void check_harness(void) {
  check_counts before = check_total, after;
  check_total.failed = CHECK_MAX_MESSAGES; /* so that nothing is printed */
  int failed = check_that(0, __FILE__, __LINE__, "0", ""), passed = check_that(1, __FILE__, __LINE__, "1", "");
  after = check_total;
  check_total = before;
  CHECK(failed == 0 && after.failed == CHECK_MAX_MESSAGES + 1, "a failed check is counted as failed");
  CHECK(passed == 1 && after.passed == before.passed + 1, "a passed check is counted as passed");

  static const struct {
    check_counts counts;
    int status;
  } ends[] = {{{0, 0, 0}, 1}, {{0, 0, 3}, 1}, {{5, 0, 0}, 0}, {{5, 0, 2}, 0}, {{5, 1, 0}, 1}, {{0, 1, 0}, 1}};
  for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
    check_total = ends[i].counts;
    int status = check_end("harness (an example)");
    check_total = before;
    CHECK(status == ends[i].status, "end %zu returned %d", i, status);
  }

  static const struct {
    const char *required, *missing;
    int fails;
  } skips[] = {{"", "avx512", 0}, {"avx512", "avx512", 1}, {"avx512", "avx2", 1}, {"avx2", "avx2", 1}, {"avx2", "avx512", 0}};
  const char *environment = getenv("REQUIRE_ISA");
  char *saved = environment ? strdup(environment) : NULL;
  for (size_t i = 0; i < sizeof skips / sizeof *skips; ++i) {
    setenv("REQUIRE_ISA", skips[i].required, 1);
    before = check_total;
    check_total.failed = CHECK_MAX_MESSAGES;
    check_skip(skips[i].missing);
    int fails = check_total.failed > CHECK_MAX_MESSAGES, skipped = check_total.skipped > before.skipped;
    check_total = before;
    CHECK(fails == skips[i].fails && skipped == !fails, "REQUIRE_ISA=%s, %s missing", skips[i].required, skips[i].missing);
  }
  if (saved) {
    setenv("REQUIRE_ISA", saved, 1);
  } else {
    unsetenv("REQUIRE_ISA");
  }
  free(saved);
}

int main(void) {
  sound = rotoi_select_kernels(ROTO_ISA_AUTO);
  rotoi_kernels broken = *sound;
  broken.gemm = broken_gemm;
  broken.depthwise = broken_depthwise;
  broken.pool = broken_pool;
  broken.dense = broken_dense;
  broken.channel_sum = broken_channel_sum;
  broken.add = broken_add;
  broken.scale = broken_scale;
  check_harness();
  check_comparisons();
  check_fault(check_gemms_without_act, &broken, "gemm", 1);
  check_fault(check_depthwises, &broken, "depthwise", 1);
  check_fault(check_pools, &broken, "pool", 0);
  check_fault(check_denses, &broken, "dense", 1);
  check_fault(check_channel_sum, &broken, "channel sum", 1);
  check_fault(check_elementwise, &broken, "scale and add", 0);
  check_fault(check_activations, &broken, "activations", 0);
  return check_end("check");
}
