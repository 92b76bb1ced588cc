/* What this machine could do at best, measured and not looked up: arithmetic by independent chains of multiply-adds that
 * never leave the registers, memory by copies of a working set of each size, at the clock the machine holds right now.  What
 * `roto bench` and `roto-train bench` hold their figures against. */

#ifndef PEAK_H
#define PEAK_H

#include <stddef.h>

#include "../roto.h"

typedef enum peak_kind { PEAK_FP32, PEAK_BF16, PEAK_INT8 } peak_kind;

enum { PEAK_KINDS = 3, PEAK_SIZES = 7 };

/* Operations a second (a multiply-add is two) by kind, the best of many short rounds; 0 where the instruction set has no such
 * instruction, and for plain C, which has no peak of its own.  Bytes a second, read and written ones counted alike, of copies
 * whose source and target together take bytes[i]. */
typedef struct peak_machine {
  double operations[PEAK_KINDS], bytes[PEAK_SIZES], bandwidth[PEAK_SIZES];
} peak_machine;

/* Takes about half a second, and 256 MiB while it lasts. */
void peak_measure(roto_isa isa, int threads, peak_machine *machine);

/* The bandwidth for a working set of so many bytes: between the sizes that were measured, on a logarithmic scale. */
double peak_bandwidth(const peak_machine *machine, double bytes);

/* The least time some work can take, the longer one of its arithmetic at the peak and its bytes at the bandwidth; `limit` is
 * "compute" or "memory".  Values count at the bandwidth of a working set of their own size, since what comes before has just
 * written them; weights at that of everything the whole network touches, which has passed through the caches since. */
typedef struct peak_work {
  peak_kind kind;
  double operations, value_bytes, weight_bytes, all_bytes;
} peak_work;

double peak_seconds(const peak_machine *machine, const peak_work *work, const char **limit);

#endif
