/* Large blocks in large pages, where the system has them: a page fault for each 4 KB costs more than packing weights into them, and
 * on a virtual machine each page that the processor has to look up costs two walks through page tables (copying 80 MiB: 22 GB/s
 * against 28). */

#ifndef ROTO_LARGE_MEMORY_H
#define ROTO_LARGE_MEMORY_H

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { LARGE_PAGE = 2 << 20 };

/* A block of `size` bytes at a multiple of 64, or NULL; free() ends it.  `whole`: large pages alone, so that not even its ends are
 * made of small ones.  Else it starts wherever memory is: equal addresses in large pages share the sets of a cache, which costs
 * training, a pass over many such blocks at once, more than their ends. */
static inline void *large_alloc(size_t size, int whole) {
  const size_t page = whole ? LARGE_PAGE : 4096;
  void *block = NULL;
  if (whole && size >= LARGE_PAGE && size <= (size_t)-1 - page) size = (size + page - 1) / page * page;
  if (posix_memalign(&block, whole && size >= LARGE_PAGE ? page : 64, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
  const size_t ahead = (page - (size_t)block % page) % page;
  if (size >= LARGE_PAGE) (void)madvise((char *)block + ahead, (size - ahead) / page * page, MADV_HUGEPAGE); /* a wish */
#endif
  return block;
}

#endif
