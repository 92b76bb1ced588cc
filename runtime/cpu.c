/* Which instruction sets may be used here.  Two parties must agree: the processor (cpuid) and the operating system, which has
 * to save the wider registers at every task switch (xgetbv).  A processor flag alone is not enough: under some kernels and
 * emulators the flag is set and the first wide instruction faults. */

#ifndef ROTOI_CPU
#define ROTOI_CPU

#include "api.h"
#include "config.c"

#ifdef ROTOI_X86
#include <cpuid.h>

ROTO_API roto_isa roto_best_isa(void) {
  const uint32_t osxsave_avx_fma = 1u << 27 | 1u << 28 | 1u << 12;              /* leaf 1, ecx */
  const uint32_t avx2 = 1u << 5;                                                /* leaf 7, ebx */
  const uint32_t avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* leaf 7, ebx */
  const uint32_t ymm_state = 0x06, zmm_state = 0xe6;                            /* XCR0 */
  uint32_t eax, ebx, ecx, edx, xcr0, xcr0_high;
  if (__get_cpuid_max(0, NULL) < 7) return ROTO_ISA_SCALAR;
  __cpuid(1, eax, ebx, ecx, edx);
  if ((ecx & osxsave_avx_fma) != osxsave_avx_fma) return ROTO_ISA_SCALAR;
  __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  if (!(ebx & avx2) || (xcr0 & ymm_state) != ymm_state) return ROTO_ISA_SCALAR;
#ifdef ROTOI_X86_AVX512
  if ((ebx & avx512_f_dq_bw_vl) == avx512_f_dq_bw_vl && (xcr0 & zmm_state) == zmm_state) return ROTO_ISA_AVX512;
#else
  (void)avx512_f_dq_bw_vl, (void)zmm_state;
#endif
  return ROTO_ISA_AVX2;
}

#else

ROTO_API roto_isa roto_best_isa(void) {
  return ROTO_ISA_SCALAR;
}

#endif

/* Dot products beyond AVX-512: bfloat16 (leaf 7.1, eax) and bytes (leaf 7, ecx). */
ROTO_API int roto_has_precision(roto_precision precision) {
  if (precision == ROTO_PRECISION_FP32) return 1;
#ifdef ROTOI_X86_LOW
  uint32_t eax, ebx, ecx, edx;
  if (roto_best_isa() < ROTO_ISA_AVX512) return 0;
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  if (precision == ROTO_PRECISION_INT8) return (int)(ecx >> 11 & 1);
  if (eax < 1 || precision != ROTO_PRECISION_BF16) return 0;
  __cpuid_count(7, 1, eax, ebx, ecx, edx);
  return (int)(eax >> 5 & 1);
#else
  return 0;
#endif
}

/* Lookup of bytes in two registers, AVX512-VBMI: not on all machines with dot products of bytes. */
static int rotoi_has_byte_tables(void) {
#ifdef ROTOI_X86_LOW
  uint32_t eax, ebx, ecx, edx;
  if (roto_best_isa() < ROTO_ISA_AVX512) return 0;
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  return (int)(ecx >> 1 & 1);
#else
  return 0;
#endif
}

ROTO_API const char *roto_precision_name(roto_precision precision) {
  switch (precision) {
    case ROTO_PRECISION_FP32:
      return "fp32";
    case ROTO_PRECISION_BF16:
      return "bf16";
    case ROTO_PRECISION_INT8:
      return "int8";
    default:
      return "unknown";
  }
}

ROTO_API const char *roto_isa_name(roto_isa isa) {
  switch (isa) {
    case ROTO_ISA_AUTO:
      return "auto";
    case ROTO_ISA_SCALAR:
      return "scalar";
    case ROTO_ISA_AVX2:
      return "avx2";
    case ROTO_ISA_AVX512:
      return "avx512";
    default:
      return "unknown";
  }
}

#endif
