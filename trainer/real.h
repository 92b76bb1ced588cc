/* The trainer's number: float, or double when the layers are built for gradient checks (-DROTO_REAL_DOUBLE), where central
 * differences can tell a right derivative from a nearly right one. */

#ifndef ROTO_REAL_H
#define ROTO_REAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/large_memory.h"

#ifdef ROTO_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* A zeroed, 64-byte aligned array.  Training without memory has nothing to fall back on, so the process ends. */
static inline real *real_alloc(size_t count) {
  void *p = large_alloc(count * sizeof(real) + 64, 0);
  if (p == NULL) {
    fprintf(stderr, "ERROR: out of memory: %zu MiB more were needed; use a smaller --batch or --size\n",
            count * sizeof(real) >> 20);
    exit(1);
  }
  memset(p, 0, count * sizeof(real) + 64);
  return (real *)p;
}

#endif
