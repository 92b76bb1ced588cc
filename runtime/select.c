/* The choice of a kernel table.  A model keeps the table it was opened with, because the order of its packed weights depends
 * on the table's tile. */

#ifndef ROTOI_SELECT
#define ROTOI_SELECT

#include "cpu.c"
#include "kernels.c"
#include "kernels_scalar.c"
#include "kernels_avx2.c"
#include "kernels_avx512.c"
#include "kernels_low.c"

static const rotoi_kernels *rotoi_select_kernels(roto_isa cap) {
  roto_isa isa = roto_best_isa();
  if (cap != ROTO_ISA_AUTO && cap < isa) isa = cap;
#ifdef ROTOI_X86_AVX512
  if (isa >= ROTO_ISA_AVX512) return &rotoi_kernels_avx512;
#endif
#ifdef ROTOI_X86
  if (isa >= ROTO_ISA_AVX2) return &rotoi_kernels_avx2;
#endif
  return &rotoi_kernels_scalar;
}

static const rotoi_low_kernels *rotoi_select_low(const rotoi_kernels *kernels, rotoi_type type) {
#ifdef ROTOI_X86_LOW
  if (kernels->isa == ROTO_ISA_AVX512) {
    if (type == ROTOI_BF16 && roto_has_precision(ROTO_PRECISION_BF16)) return &rotoi_kernels_bf16;
    if (type == ROTOI_U8 && roto_has_precision(ROTO_PRECISION_INT8)) return &rotoi_kernels_u8;
  }
#endif
  (void)kernels, (void)type;
  return NULL;
}

#endif
