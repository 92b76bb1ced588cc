/* Base: status texts, checked sizes, little-endian loads, memory, the parallel loop.  Everything the other parts need from the
 * outside world passes through here: the caller's allocator, OpenMP, nothing else. */

#ifndef ROTOI_BASE
#define ROTOI_BASE

#include "api.h"
#include "config.c"

#ifdef _OPENMP
#include <omp.h>
#endif

ROTO_API const char *roto_status_text(roto_status status) {
  switch (status) {
#define ROTOI_STATUS_CASE(name, value, text) \
  case name:                                 \
    return text;
    ROTO_STATUS_LIST(ROTOI_STATUS_CASE)
#undef ROTOI_STATUS_CASE
    default:
      return "unknown status";
  }
}

/* r = a * b, a + b; 0 and r untouched if the result does not fit. */
static inline int rotoi_mul(size_t a, size_t b, size_t *r) {
  if (b != 0 && a > (size_t)-1 / b) return 0;
  *r = a * b;
  return 1;
}

static inline int rotoi_add(size_t a, size_t b, size_t *r) {
  if (a > (size_t)-1 - b) return 0;
  *r = a + b;
  return 1;
}

/* Loads from a file: any alignment, any host byte order.  Compilers turn them into single loads where the host allows. */
static inline uint16_t rotoi_u16(const unsigned char *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t rotoi_u32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t rotoi_u64(const unsigned char *p) {
  return rotoi_u32(p) | (uint64_t)rotoi_u32(p + 4) << 32;
}

static inline float rotoi_f32(const unsigned char *p) {
  uint32_t bits = rotoi_u32(p);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Whether this machine's numbers lie in memory as those of a file do. */
static inline int rotoi_is_little(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first;
}

/* Four bytes of memory as they lie there, and the bits of a float; any alignment. */
static inline int32_t rotoi_word(const unsigned char *p) {
  int32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static inline uint32_t rotoi_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Both functions, or neither. */
static inline int rotoi_allocator_valid(const roto_allocator *allocator) {
  return !allocator->alloc == !allocator->free;
}

/* A block of `size` bytes at a multiple of 64, or NULL; allocator NULL or empty: ROTO_MALLOC.  The caller's functions promise
 * no alignment, so the block is over-allocated and the byte before it says how far it was moved (1..64). */
static inline void *rotoi_alloc(const roto_allocator *allocator, size_t size) {
  size_t total;
  unsigned char *block;
  if (!rotoi_add(size, 64, &total)) return NULL;
  if (allocator && allocator->alloc) {
    block = (unsigned char *)allocator->alloc(allocator->user, total);
  } else {
    block = (unsigned char *)ROTO_MALLOC(total);
  }
  if (!block) return NULL;
  size_t shift = 64 - ((uintptr_t)block & 63);
  block[shift - 1] = (unsigned char)shift;
  return block + shift;
}

/* NULL is fine. */
static inline void rotoi_free(const roto_allocator *allocator, void *memory) {
  if (!memory) return;
  unsigned char *block = (unsigned char *)memory;
  block -= block[-1];
  if (allocator && allocator->free) {
    allocator->free(allocator->user, block);
  } else {
    ROTO_FREE(block);
  }
}

#ifdef _OPENMP
/* Each thread begins with its own share of the tasks, in order, so that it meets the rows again that it made in the step
 * before and that lie in its own cache; then it helps the others, because the cores of a workstation are seldom all free.
 * Handing tasks out one by one instead lost a quarter of the speed on two cores with separate caches. */
static inline void rotoi_parallel_openmp(size_t threads, size_t count, roto_task task, void *context) {
  enum { MOST = 64, APART = 64 / sizeof(size_t) }; /* counters on lines of their own */
  size_t next[MOST * APART];
  if (threads > MOST) threads = MOST;
  for (size_t t = 0; t < threads; ++t) next[t * APART] = t * count / threads;
#pragma omp parallel num_threads((int)threads)
  {
    const size_t me = (size_t)omp_get_thread_num();
    for (size_t turn = 0; turn < threads; ++turn) {
      const size_t owner = (me + turn) % threads, end = (owner + 1) * count / threads;
      for (;;) {
        size_t i;
#pragma omp atomic capture
        i = next[owner * APART]++;
        if (i >= end) break;
        task(context, i);
      }
    }
  }
}
#endif

/* Run task(context, i) for every i in [0, count): the caller's loop, else OpenMP, else a plain loop. */
static inline void rotoi_parallel(const roto_parallel *parallel, size_t count, roto_task task, void *context) {
  int threads = parallel ? parallel->threads : 0;
  if (count > 1 && threads != 1) {
    if (parallel && parallel->run) {
      parallel->run(parallel->user, count, task, context);
      return;
    }
#ifdef _OPENMP
    if (threads <= 0) threads = omp_get_max_threads();
    if (threads > 1) {
      rotoi_parallel_openmp((size_t)threads < count ? (size_t)threads : count, count, task, context);
      return;
    }
#endif
  }
  for (size_t i = 0; i < count; ++i) task(context, i);
}

#endif
