/* Configuration: what the caller may define before the implementation, and what the compiler offers.
 *
 *   ROTO_MALLOC, ROTO_FREE   default memory functions, both or neither
 *   ROTO_ASSERT(condition)   checks of the library's own invariants; off unless defined
 *   ROTO_NO_SIMD             plain C only
 *   ROTO_ALLOW_FAST_MATH     accept results that depend on the compiler's mood
 *
 * No -m flags are needed: a function for a newer instruction set carries its own target attribute, and is called only after
 * cpu.c has found that the machine can run it.  Compilers without such attributes get the plain C kernels. */

#ifndef ROTOI_CONFIG
#define ROTOI_CONFIG

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Under fast-math compilers reassociate even explicit intrinsics and delete NaN tests, and no pragma prevents it in all of
 * them; linking with it may also switch denormals off for the whole process. */
#if !defined(ROTO_ALLOW_FAST_MATH) && (defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__))
#error "roto.h: compile this one file without -ffast-math and -ffinite-math-only, or define ROTO_ALLOW_FAST_MATH"
#endif

#if defined(ROTO_MALLOC) != defined(ROTO_FREE)
#error "roto.h: define both of ROTO_MALLOC and ROTO_FREE, or neither"
#endif
#ifndef ROTO_MALLOC
#include <stdlib.h>
#define ROTO_MALLOC(size) malloc(size)
#define ROTO_FREE(block) free(block)
#endif

/* Infinity without <math.h>, whose macros differ between C and C++. */
#define ROTOI_INFINITY ((float)(1e30f * 1e30f))

#ifndef ROTO_ASSERT
#define ROTO_ASSERT(condition) ((void)0)
#endif

/* Vector kernels need GNU C's attributes and a 64-bit x86.  GCC for Windows keeps the stack at 16 bytes, so a spilled vector
 * register faults: plain C there.  On Windows the upper registers are partly callee-saved, which compilers have got wrong
 * for AVX-512: none there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(ROTO_NO_SIMD) && (!defined(_WIN32) || defined(__clang__))
#define ROTOI_X86 1
#include <immintrin.h>
#define ROTOI_AVX2 __attribute__((target("avx2,fma")))
#if !defined(_WIN32) && (defined(__clang__) || __GNUC__ >= 7)
#define ROTOI_X86_AVX512 1
#define ROTOI_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
/* Dot products of bfloat16 and of bytes. */
#if (defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && __GNUC__ >= 10)
#define ROTOI_X86_LOW 1
#define ROTOI_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define ROTOI_AVX512_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")))
#endif
#endif
#endif

/* Kernel bodies are written once and stamped out for constant tile sizes, which only works if they really are inlined. */
#if defined(__GNUC__)
#define rotoi_inline static inline __attribute__((always_inline))
#define rotoi_noinline static __attribute__((noinline))
#else
#define rotoi_inline static inline
#define rotoi_noinline static
#endif

/* Before a loop over an array of accumulators: unrolled whole, so that they live in registers.  At -O2 gcc does not do so by
 * itself and a kernel would run 10 times slower.  Builds for sanitizers define it empty: they compile in a third of the time. */
#if defined(ROTOI_UNROLL)
#elif defined(__clang__)
#define ROTOI_UNROLL _Pragma("unroll")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define ROTOI_UNROLL _Pragma("GCC unroll 32")
#else
#define ROTOI_UNROLL
#endif

#endif
