/* Twelve chains cover a latency of up to six cycles at two multiply-adds a cycle, and fit the 16 registers of AVX2. */

#include "peak.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "cli.h"

enum { CHAINS = 12, ROUNDS = 1 << 18, REPEATS = 40 };

/* Each runs CHAINS x ROUNDS vector multiply-adds and returns something that depends on all of them, never below 0. */
#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static float fma_avx2(void) {
  __m256 sum[CHAINS], factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; ++i) sum[i] = _mm256_set1_ps((float)i);
  for (int r = 0; r < ROUNDS; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm256_fmadd_ps(sum[i], factor, term);
  }
  for (int i = 1; i < CHAINS; ++i) sum[0] = _mm256_add_ps(sum[0], sum[i]);
  return _mm256_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f"))) static float fma_avx512(void) {
  __m512 sum[CHAINS], factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_set1_ps((float)i);
  for (int r = 0; r < ROUNDS; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_fmadd_ps(sum[i], factor, term);
  }
  for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static float dot_bf16(void) {
  __m512 sum[CHAINS], one = _mm512_set1_ps(1e-6f);
  __m512bh a = _mm512_cvtne2ps_pbh(one, one), b = a;
  for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_set1_ps((float)i);
  for (int r = 0; r < ROUNDS; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
  }
  for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  return _mm512_cvtss_f32(sum[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static float dot_int8(void) {
  __m512i sum[CHAINS], a = _mm512_set1_epi32(0x00010001), b = _mm512_set1_epi32(0x00000101);
  for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_set1_epi32(i);
  for (int r = 0; r < ROUNDS; ++r) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
  }
  for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  return (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sum[0]));
}
#endif

static double measure_operations(peak_kind kind, roto_isa isa, int threads) {
  float (*loop)(void) = NULL;
  double products = 0, best = 0, sink = 0;
#ifdef __x86_64__
  if (isa == ROTO_ISA_AVX512) {
    if (kind == PEAK_FP32) loop = fma_avx512, products = 16;
    if (kind == PEAK_BF16 && __builtin_cpu_supports("avx512bf16")) loop = dot_bf16, products = 32;
    if (kind == PEAK_INT8 && __builtin_cpu_supports("avx512vnni")) loop = dot_int8, products = 64;
  }
  if (isa == ROTO_ISA_AVX2 && kind == PEAK_FP32) loop = fma_avx2, products = 8;
#endif
  for (int repeat = 0; loop && repeat < REPEATS; ++repeat) {
    double start = cli_seconds();
#ifdef _OPENMP
#pragma omp parallel num_threads(threads) reduction(+ : sink)
#endif
    sink += (double)loop();
    best = fmax(best, 2 * products * CHAINS * ROUNDS * threads / (cli_seconds() - start));
  }
  return sink >= 0 ? best : 0; /* always the first, but the compiler does not know */
}

/* Every thread copies its own slice `repeats` times. */
static double copy_seconds(char *target, const char *source, size_t slice, int threads, int repeats) {
  double start = cli_seconds();
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1)
#endif
  for (int thread = 0; thread < threads; ++thread) {
    for (int i = 0; i < repeats; ++i) {
      memcpy(target + (size_t)thread * slice, source + (size_t)thread * slice, slice);
#ifdef __GNUC__
      __asm__ volatile("" ::: "memory"); /* else one copy would do */
#endif
    }
  }
  return cli_seconds() - start;
}

static void measure_memory(int threads, peak_machine *machine) {
  const size_t most = (size_t)128 << 20; /* bytes of one side: well beyond a core's share of a last-level cache */
  char *source = (char *)cli_alloc(most, 1), *target = (char *)cli_alloc(most, 1);
  memset(source, 1, most); /* pages of zeros are one page until written */
  memset(target, 2, most);
  for (int i = PEAK_SIZES; i-- > 0;) {
    size_t side = most >> (2 * (PEAK_SIZES - 1 - i)), slice = side / (size_t)threads / 64 * 64;
    double bytes = 2 * (double)slice * threads, best = 1e30;
    int repeats = 1 + (int)(2e7 / bytes);
    for (int round = 0; round < 5; ++round) best = fmin(best, copy_seconds(target, source, slice, threads, repeats));
    machine->bytes[i] = bytes;
    machine->bandwidth[i] = bytes * repeats / best;
  }
  free(source);
  free(target);
}

void peak_measure(roto_isa isa, int threads, peak_machine *machine) {
  for (int kind = 0; kind < PEAK_KINDS; ++kind) machine->operations[kind] = measure_operations((peak_kind)kind, isa, threads);
  measure_memory(threads, machine);
}

double peak_bandwidth(const peak_machine *machine, double bytes) {
  int i = 0;
  if (bytes <= machine->bytes[0]) return machine->bandwidth[0];
  while (i < PEAK_SIZES - 2 && bytes > machine->bytes[i + 1]) ++i;
  double t = fmin(1, log(bytes / machine->bytes[i]) / log(machine->bytes[i + 1] / machine->bytes[i]));
  return machine->bandwidth[i] + t * (machine->bandwidth[i + 1] - machine->bandwidth[i]);
}

double peak_seconds(const peak_machine *machine, const peak_work *work, const char **limit) {
  double peak = machine->operations[work->kind], compute = peak > 0 ? work->operations / peak : 0;
  double moving = work->value_bytes / peak_bandwidth(machine, work->value_bytes) +
                  work->weight_bytes / peak_bandwidth(machine, work->all_bytes);
  *limit = compute > moving ? "compute" : "memory";
  return fmax(compute, moving);
}
