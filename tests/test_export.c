/* Key reduction of `roto export`: the bound holds, and no smaller set of keys would do. */

#include <math.h>

#include "../tools/export.h"
#include "../trainer/rng.h"
#include "check.h"

enum { MOST = 64, VERTICES = 3 };

static roto_vertex data[MOST][VERTICES];
static const roto_vertex *moments[MOST];
static int times[MOST];

static void start(int count, int step) {
  memset(data, 0, sizeof data);
  for (int i = 0; i < count; ++i) moments[i] = data[i], times[i] = 1001 + i * step;
}

/* The distance by another road: every control point at every moment against the line between the keys around it. */
static double distance(size_t count, const unsigned char *keys) {
  double worst = 0;
  for (size_t m = 0; m < count; ++m) {
    size_t a = m, b = m;
    while (!keys[a]) --a;
    while (!keys[b]) ++b;
    double u = a == b ? 0 : (double)(times[m] - times[a]) / (times[b] - times[a]);
    for (int v = 0; v < VERTICES; ++v) {
      const roto_vertex *p = data[a] + v, *q = data[b] + v, *r = data[m] + v;
      double x = p->x + u * (q->x - p->x) - r->x, y = p->y + u * (q->y - p->y) - r->y;
      double ix = p->in_x + u * (q->in_x - p->in_x) - r->in_x, iy = p->in_y + u * (q->in_y - p->in_y) - r->in_y;
      double ox = p->out_x + u * (q->out_x - p->out_x) - r->out_x, oy = p->out_y + u * (q->out_y - p->out_y) - r->out_y;
      worst = fmax(worst, fmax(hypot(x, y), fmax(hypot(x + ix, y + iy), hypot(x + ox, y + oy))));
      worst = fmax(worst, fabs(p->feather + u * (q->feather - p->feather) - r->feather));
    }
  }
  return worst;
}

/* The fewest keys of all 2^(count-2) sets. */
static size_t fewest(size_t count, double tolerance) {
  size_t best = count;
  for (unsigned long set = 0; set < 1ul << (count - 2); ++set) {
    unsigned char keys[MOST] = {0};
    size_t total = 2;
    keys[0] = keys[count - 1] = 1;
    for (size_t i = 1; i + 1 < count; ++i) keys[i] = set >> (i - 1) & 1, total += keys[i];
    if (total < best && distance(count, keys) <= tolerance) best = total;
  }
  return best;
}

static size_t reduce(int count, double tolerance, unsigned char *keys) {
  return export_reduce(moments, times, (size_t)count, VERTICES, tolerance, keys);
}

static void test_simple(void) {
  unsigned char keys[MOST];
  start(20, 1);
  CHECK(reduce(20, 0.1, keys) == 2 && keys[0] && keys[19], "a shape that stands still needs its first and last key");
  CHECK(reduce(20, 0, keys) == 20 && keys[7], "tolerance 0 keeps all");
  CHECK(reduce(1, 0.1, keys) == 1 && keys[0]);
  CHECK(reduce(2, 0.1, keys) == 2 && keys[0] && keys[1]);
  times[7] = 1020; /* an uneven step is no obstacle to a straight line in time */
  for (int i = 7; i < 20; ++i) times[i] = 1013 + i;
  for (int i = 0; i < 20; ++i)
    for (int v = 0; v < VERTICES; ++v)
      data[i][v].x = 3 * times[i], data[i][v].in_y = -times[i] + v, data[i][v].feather = times[i];
  CHECK(reduce(20, 0.01, keys) == 2);
  CHECK(export_error(moments, times, 20, VERTICES, keys) < 1e-3);
  start(21, 2);
  for (int i = 0; i < 21; ++i) data[i][1].out_x = abs(i - 8);
  CHECK(reduce(21, 0.1, keys) == 3 && keys[8], "a handle that turns round needs a key there");
  start(21, 1);
  for (int i = 0; i < 21; ++i) data[i][2].feather = i < 5 ? 0 : 1;
  CHECK(reduce(21, 0.1, keys) == 4 && keys[4] && keys[5], "a feather that jumps needs a key on either side");
}

static void test_random(void) {
  rng r = {rng_seed(7, 1, 0)};
  for (int trial = 0; trial < 60; ++trial) {
    int count = 3 + (int)rng_below(&r, 9);
    double tolerance = (double)rng_range(&r, 0.02f, 0.6f), rough = (double)rng_range(&r, 0.0f, 0.5f);
    unsigned char keys[MOST];
    start(count, 1 + (int)rng_below(&r, 3));
    for (int v = 0; v < VERTICES; ++v) {
      double phase = (double)rng_range(&r, 0, 6), speed = (double)rng_range(&r, 0.1f, 0.6f);
      for (int i = 0; i < count; ++i) {
        double *p = &data[i][v].x;
        for (size_t k = 0; k < sizeof(roto_vertex) / sizeof *p; ++k)
          p[k] = sin(phase + speed * i + (double)k) + rough * (double)rng_range(&r, -0.5f, 0.5f);
      }
    }
    size_t found = reduce(count, tolerance, keys), total = 0;
    for (int i = 0; i < count; ++i) total += keys[i];
    double error = distance((size_t)count, keys);
    CHECK(found == total, "%zu keys are marked, %zu counted", total, found);
    CHECK(error <= tolerance * (1 + 1e-6), "trial %d: %.6f px, the bound is %.6f", trial, error, tolerance);
    CHECK(fabs(export_error(moments, times, (size_t)count, VERTICES, keys) - error) < 2 * EXPORT_UNIT);
    size_t least = fewest((size_t)count, tolerance), inner = fewest((size_t)count, tolerance * cos(3.14159265358979 / 16));
    CHECK(least <= found && found <= inner, "trial %d: %zu keys, the fewest are %zu (%zu in the polygons)", trial, found, least,
          inner);
  }
}

int main(void) {
  test_simple();
  test_random();
  return check_end("export");
}
