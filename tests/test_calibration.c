/* Calibration: knots from spreads and errors that ascend, whatever the pairs are, and keep what they are means of. */

#include <math.h>

#include "../trainer/export.h"
#include "../trainer/rng.h"
#include "check.h"

enum { COUNT = 1200, ROOM = 12 };

static void knots_ascend(void) {
  static roto_knot pairs[COUNT];
  roto_knot knots[ROOM];
  for (int kind = 0; kind < 4; ++kind) {
    rng r = {17 + (uint64_t)kind};
    double mean = 0;
    for (int i = 0; i < COUNT; ++i) {
      float spread = rng_uniform(&r), error = spread + 0.2f * rng_uniform(&r);
      if (kind == 1 && spread < 0.08f) error = 0.5f;         /* one bad bin of sure points */
      if (kind == 2) error = 1 - spread;                     /* doubt that says nothing */
      if (kind == 3) spread = 0.25f, error = (float)(i % 2); /* no doubt at all */
      pairs[i] = (roto_knot){spread, error};
      mean += (double)error / COUNT;
    }
    uint32_t made = export_calibrate(pairs, COUNT, knots, ROOM);
    CHECK(made >= 1 && made <= ROOM);
    for (uint32_t i = 1; i < made; ++i) CHECK(knots[i].spread > knots[i - 1].spread && knots[i].error > knots[i - 1].error);
    if (kind == 0) CHECK(made == ROOM);
    if (kind == 1) CHECK(made >= 6 && made < ROOM && knots[0].error < 0.45f && knots[made - 1].error > 0.9f, "%u knots", made);
    if (kind >= 2) CHECK(made == 1 && fabs((double)knots[0].error - mean) < 1e-5, "%u knots", made);
  }
  CHECK(export_calibrate(pairs, 0, knots, ROOM) == 0);
}

int main(void) {
  knots_ascend();
  return check_end("test_calibration");
}
