/* The runtime's base: checked sizes, loads, memory, the parallel loop, the choice of instruction set, packing. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "check.h"

static void check_sizes(void) {
  const size_t largest = (size_t)-1;
  size_t r = 7;
  CHECK(rotoi_mul(largest / 3, 3, &r) && r == largest / 3 * 3);
  CHECK(!rotoi_mul(largest / 3 + 1, 3, &r) && !rotoi_mul(largest, largest, &r) && r == largest / 3 * 3);
  CHECK(rotoi_mul(0, largest, &r) && r == 0);
  CHECK(rotoi_mul(largest, 0, &r) && r == 0);
  CHECK(rotoi_add(largest - 5, 5, &r) && r == largest);
  CHECK(!rotoi_add(largest - 5, 6, &r) && !rotoi_add(1, largest, &r) && r == largest);
}

static void check_loads(void) {
  static const unsigned char bytes[] = {0xff, 0x01, 0x02, 0x83, 0xfe, 0x05, 0x06, 0x07, 0x88, 0x00, 0x00, 0x20, 0xc1};
  CHECK(rotoi_u16(bytes + 3) == 0xfe83u);
  CHECK(rotoi_u32(bytes + 1) == 0xfe830201u);
  CHECK(rotoi_u64(bytes + 1) == ((uint64_t)0x88070605u << 32 | 0xfe830201u));
  CHECK(rotoi_f32(bytes + 9) == -10.0f);
}

/* An allocator with a budget that returns every alignment in turn and counts blocks. */
typedef struct heap {
  int budget, blocks, calls;
} heap;

static void *heap_alloc(void *user, size_t size) {
  heap *h = (heap *)user;
  if (h->budget-- <= 0) return NULL;
  char *block = (char *)malloc(size + 128);
  if (!block) return NULL;
  size_t shift = 1 + (size_t)(h->calls++ % 64);
  block[shift - 1] = (char)shift;
  ++h->blocks;
  return block + shift;
}

static void heap_free(void *user, void *memory) {
  char *block = (char *)memory;
  --((heap *)user)->blocks;
  free(block - block[-1]);
}

static void check_memory(void) {
  heap h = {100, 0, 0};
  const roto_allocator allocator = {heap_alloc, heap_free, &h};
  const roto_allocator *allocators[] = {NULL, &allocator};
  for (int a = 0; a < 2; ++a) {
    for (size_t size = 0; size < 96; ++size) {
      unsigned char *block = (unsigned char *)rotoi_alloc(allocators[a], size);
      if (!CHECK(block != NULL && ((uintptr_t)block & 63) == 0, "%zu bytes at %p", size, (void *)block)) continue;
      memset(block, 0xa5, size);
      rotoi_free(allocators[a], block);
    }
  }
  CHECK(h.blocks == 0 && h.calls == 96);
  h.budget = 0;
  CHECK(rotoi_alloc(&allocator, 100) == NULL);
  CHECK(rotoi_alloc(&allocator, (size_t)-1) == NULL && rotoi_alloc(NULL, (size_t)-10) == NULL);
  rotoi_free(&allocator, NULL);
  rotoi_free(NULL, NULL);
}

enum { TASKS = 1000 };

static void count_task(void *context, size_t index) {
  ++((unsigned char *)context)[index];
}

/* A caller's loop, backwards. */
static void run_backwards(void *user, size_t count, roto_task task, void *context) {
  ++*(int *)user;
  while (count-- > 0) task(context, count);
}

static void check_parallel(void) {
  static const size_t counts[] = {0, 1, 2, 3, TASKS};
  int runs = 0;
  const roto_parallel automatic = {NULL, NULL, 0}, two = {NULL, NULL, 2}, single = {NULL, NULL, 1};
  const roto_parallel own = {run_backwards, &runs, 0}, own_single = {run_backwards, &runs, 1};
  const roto_parallel *all[] = {NULL, &automatic, &two, &single, &own, &own_single};
  for (size_t p = 0; p < sizeof all / sizeof *all; ++p) {
    for (size_t c = 0; c < sizeof counts / sizeof *counts; ++c) {
      unsigned char done[TASKS] = {0};
      size_t once = 0, never = 0;
      rotoi_parallel(all[p], counts[c], count_task, done);
      for (size_t i = 0; i < TASKS; ++i) {
        once += done[i] == 1;
        never += done[i] == 0;
      }
      CHECK(once == counts[c] && never == TASKS - counts[c], "loop %zu of %zu tasks ran %zu once", p, counts[c], once);
    }
  }
  CHECK(runs == 3, "the caller's loop ran %d times for 2, 3 and 1000 tasks", runs);
}

static void check_isa(void) {
  roto_isa best = roto_best_isa();
  CHECK(best >= ROTO_ISA_SCALAR && best <= ROTO_ISA_AVX512);
  for (int cap = ROTO_ISA_AUTO; cap <= ROTO_ISA_AVX512; ++cap) {
    roto_isa expected = cap == ROTO_ISA_AUTO || cap > (int)best ? best : (roto_isa)cap;
    const rotoi_kernels *kernels = rotoi_select_kernels((roto_isa)cap);
    CHECK(kernels->isa == expected && kernels->nr % 16 == 0 && kernels->mr > 0, "cap %d gives %s", cap,
          roto_isa_name(kernels->isa));
  }
  CHECK(strcmp(roto_isa_name(ROTO_ISA_AVX2), "avx2") == 0);
  CHECK(strcmp(roto_status_text(ROTO_OK), "no error") == 0 && strcmp(roto_status_text((roto_status)99), "unknown status") == 0);
}

/* Every element of a packed matrix against its definition, from weights at an odd address. */
static void check_pack(size_t taps, size_t k, size_t columns, size_t nr, int transposed, int scaled) {
  enum { MAX = 9 * 40 * 70 };
  static unsigned char bytes[MAX * 4 + 1];
  static float weights[MAX], out[9 * 40 * 96 + 1], scale[70];
  size_t reversed[9];
  for (size_t i = 0; i < taps * k * columns; ++i) weights[i] = (float)i - 300.25f;
  for (size_t j = 0; j < columns; ++j) scale[j] = 1.0f / (float)(j + 1);
  memcpy(bytes + 1, weights, taps * k * columns * sizeof(float));
  for (size_t t = 0; t < taps; ++t) reversed[t] = (taps - 1 - t) * k * columns;
  /* Forward: weights [taps][k][columns].  Backward: [taps][columns][k], taps from the last to the first. */
  rotoi_pack pack = {bytes + 1, NULL, taps, k, columns, columns, 1, scaled ? scale : NULL, nr};
  if (transposed) pack.tap_offset = reversed, pack.row_stride = 1, pack.col_stride = k;
  size_t count = rotoi_packed_count(taps * k, columns), wrong = 0, checked = 0;
  for (size_t i = 0; i <= count; ++i) out[i] = -1e9f;
  rotoi_pack_panels(&pack, out);
  for (size_t panel = 0; panel < rotoi_panel_count(columns, nr); ++panel) {
    size_t width = 16 * rotoi_panel_vectors(panel, columns, nr);
    for (size_t t = 0; t < taps; ++t) {
      for (size_t l = 0; l < k; ++l) {
        for (size_t j = 0; j < width; ++j, ++checked) {
          size_t column = panel * nr + j;
          float want = 0;
          if (column < columns) {
            want = transposed ? weights[((taps - 1 - t) * columns + column) * k + l] : weights[(t * k + l) * columns + column];
            if (scaled) want *= scale[column];
          }
          wrong += !(out[panel * nr * taps * k + (t * k + l) * width + j] == want);
        }
      }
    }
  }
  CHECK(wrong == 0 && checked == count && out[count] == -1e9f,
        "%zu taps of %zu x %zu in panels of %zu, transposed %d, scaled %d: %zu of %zu wrong, %zu floats promised", taps, k,
        columns, nr, transposed, scaled, wrong, checked, count);
}

int main(void) {
  static const size_t ks[] = {1, 3, 40}, column_counts[] = {1, 4, 15, 16, 17, 31, 32, 33, 48, 64, 70};
  check_sizes();
  check_loads();
  check_memory();
  check_parallel();
  check_isa();
  for (size_t ik = 0; ik < 3; ++ik) {
    for (size_t ic = 0; ic < sizeof column_counts / sizeof *column_counts; ++ic) {
      for (int option = 0; option < 8; ++option) {
        check_pack(option & 1 ? 9 : 1, ks[ik], column_counts[ic], 16, option >> 1 & 1, option >> 2);
        check_pack(option & 1 ? 9 : 1, ks[ik], column_counts[ic], 32, option >> 1 & 1, option >> 2);
      }
    }
  }
  CHECK(rotoi_packed_count((size_t)-1 / 8, 17) == 0 && rotoi_packed_count(1, (size_t)-1) == 0);
  return check_end("base");
}
