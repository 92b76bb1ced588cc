/* Every kernel table of this build on this machine, by capping the choice, against the references of ref.h; and the promise
 * that AVX2 and AVX-512 give the same bits. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "kernel_checks.h"

/* The same random product through both tables: each element is one fused multiply-add after the other in both. */
static void check_same_bits(const rotoi_kernels *one, const rotoi_kernels *other) {
  enum { K = 77, COLUMNS = 32, COUNT = 4096 };
  static float b[K * COLUMNS], packed[2][K * COLUMNS], in[COUNT], out[2][COUNT];
  const rotoi_kernels *tables[2] = {one, other};
  const float *rows[1] = {in};
  rotoi_pack pack = {b, NULL, 1, K, COLUMNS, COLUMNS, 1, NULL, 0};
  for (size_t i = 0; i < COUNT; ++i) in[i] = random_value(0) * 8;
  for (size_t i = 0; i < K * COLUMNS; ++i) b[i] = random_value(0);
  for (int act = 0; act < ROTO_ACT_COUNT; ++act) {
    for (int t = 0; t < 2; ++t) {
      pack.nr = tables[t]->nr;
      rotoi_pack_panels(&pack, packed[t]);
      for (size_t j = 0; j < COLUMNS; j += pack.nr) {
        rotoi_gemm g = {1, pack.nr / 16, 1, K, rows, packed[t] + j * K, NULL, NULL, out[t] + j, COLUMNS, 0, act};
        tables[t]->gemm(&g);
      }
    }
    CHECK(memcmp(out[0], out[1], COLUMNS * sizeof(float)) == 0, "gemm, activation %d", act);
    for (int t = 0; t < 2; ++t) tables[t]->add(in, b, 2400, act, out[t]);
    CHECK(memcmp(out[0], out[1], 2400 * sizeof(float)) == 0, "add, activation %d", act);
    for (int t = 0; t < 2; ++t) {
      rotoi_depthwise d = {in, b, b, out[t], NULL, 8, 8, 8, 8, 32, 3, 3, 1, 1, 1, 0, 32, 0, 8, act};
      tables[t]->depthwise(&d);
    }
    CHECK(memcmp(out[0], out[1], 8 * 8 * 32 * sizeof(float)) == 0, "depthwise, activation %d", act);
  }
}

int main(void) {
  const rotoi_kernels *tables[4] = {NULL};
  for (int isa = ROTO_ISA_SCALAR; isa <= ROTO_ISA_AVX512; ++isa) {
    const rotoi_kernels *kernels = rotoi_select_kernels((roto_isa)isa);
    if (kernels->isa != (roto_isa)isa) {
      SKIP(roto_isa_name((roto_isa)isa));
      continue;
    }
    tables[isa] = kernels;
    check_activations(kernels);
    check_gemms(kernels);
    check_windows(kernels);
    check_denses(kernels);
    check_channel_sum(kernels);
    check_elementwise(kernels);
  }
  CHECK(rotoi_select_kernels(ROTO_ISA_AUTO)->isa == roto_best_isa(), "without a cap the best table is used");
  if (tables[ROTO_ISA_AVX2] && tables[ROTO_ISA_AVX512]) check_same_bits(tables[ROTO_ISA_AVX2], tables[ROTO_ISA_AVX512]);
  return check_end("kernels");
}
