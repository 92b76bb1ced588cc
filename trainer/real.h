/* The trainer's number: float, or double when the layers are built for gradient checks (-DROTO_REAL_DOUBLE), where central
 * differences can tell a right derivative from a nearly right one. */

#ifndef ROTO_REAL_H
#define ROTO_REAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#ifdef ROTO_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* A 64-byte aligned block, or NULL; free() ends it.  Large ones ask for large pages: a pass over a value goes through tens of
 * megabytes, and on a virtual machine each page of 4 KiB that is missed costs two walks through page tables (copying 80 MiB: 22
 * GB/s against 28).  Blocks are not aligned to those pages: equal addresses in them share the sets of a cache, which lost more. */
static inline void *large_alloc(size_t size) {
  void *p = NULL;
  if (posix_memalign(&p, 64, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  size_t page = 4096, ahead = (page - (size_t)p % page) % page;
  if (size >= (size_t)2 << 20) (void)madvise((char *)p + ahead, (size - ahead) / page * page, MADV_HUGEPAGE); /* a wish */
#endif
  return p;
}

/* A zeroed, 64-byte aligned array.  Training without memory has nothing to fall back on, so the process ends. */
static inline real *real_alloc(size_t count) {
  void *p = large_alloc(count * sizeof(real) + 64);
  if (p == NULL) {
    fprintf(stderr, "ERROR: out of memory: %zu MiB more were needed; use a smaller --batch or --size\n",
            count * sizeof(real) >> 20);
    exit(1);
  }
  memset(p, 0, count * sizeof(real) + 64);
  return (real *)p;
}

#endif
