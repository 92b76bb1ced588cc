/* See cloud.h.  The field is smooth, so it is computed at every fourth pixel and interpolated. */

#include "cloud.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEP = 4, OCTAVES = 4, MOST_POINTS = 1024 };

/* A number in -1..1 for a point of a lattice. */
static float lattice(uint64_t seed, int x, int y) {
  uint64_t bits = rng_mix(seed ^ ((uint64_t)(uint32_t)x << 32 | (uint32_t)y));
  return (float)(bits >> 40) * 0x1p-23f - 1;
}

/* Smooth noise of the lattice, about -1..1. */
static float value_noise(uint64_t seed, float x, float y) {
  float fx = floorf(x), fy = floorf(y), u = x - fx, v = y - fy;
  int ix = (int)fx, iy = (int)fy;
  u = u * u * (3 - 2 * u), v = v * v * (3 - 2 * v);
  float a = lattice(seed, ix, iy), b = lattice(seed, ix + 1, iy), c = lattice(seed, ix, iy + 1),
        d = lattice(seed, ix + 1, iy + 1);
  return a + (b - a) * u + (c - a + (a - b - c + d) * u) * v;
}

typedef struct noise {
  uint64_t seed;
  float frequency; /* of the coarsest octave, cells a pixel */
} noise;

static float fractal(const noise *n, float x, float y) {
  float sum = 0, weight = 0.6f, f = n->frequency;
  for (int i = 0; i < OCTAVES; i++, weight *= 0.5f, f *= 2) sum += weight * value_noise(n->seed + (uint64_t)i, x * f, y * f);
  return sum;
}

static int compare_points(const void *a, const void *b) {
  const float *p = a, *q = b;
  return p[0] != q[0] ? (p[0] > q[0]) - (p[0] < q[0]) : (p[1] > q[1]) - (p[1] < q[1]);
}

static float cross(const float *o, const float *a, const float *b) {
  return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

/* Convex hull (Andrew's monotone chain); sorts the points.  hull has room for count + 1. */
static size_t convex_hull(float (*points)[2], size_t count, float (*hull)[2]) {
  size_t n = 0, lower;
  qsort(points, count, sizeof *points, compare_points);
  for (size_t i = 0; i < count; i++) {
    while (n >= 2 && cross(hull[n - 2], hull[n - 1], points[i]) <= 0) n--;
    memcpy(hull[n++], points[i], sizeof *hull);
  }
  lower = n + 1;
  for (size_t i = count - 1; count > 1 && i-- > 0;) {
    while (n >= lower && cross(hull[n - 2], hull[n - 1], points[i]) <= 0) n--;
    memcpy(hull[n++], points[i], sizeof *hull);
  }
  return n > 1 ? n - 1 : n;
}

/* Distance from a convex polygon (its interior to the left of its edges), negative inside. */
static float hull_distance(const float (*hull)[2], size_t n, float x, float y) {
  float nearest = INFINITY;
  int inside = n > 2;
  for (size_t i = 0; i < n; i++) {
    const float *a = hull[i], *b = hull[(i + 1) % n];
    float dx = b[0] - a[0], dy = b[1] - a[1], px = x - a[0], py = y - a[1], length = dx * dx + dy * dy;
    float t = length > 0 ? (px * dx + py * dy) / length : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    float ex = px - t * dx, ey = py - t * dy, d = ex * ex + ey * ey;
    if (d < nearest) nearest = d;
    if (dx * py - dy * px < 0) inside = 0;
  }
  return inside ? -sqrtf(nearest) : sqrtf(nearest);
}

typedef struct field {
  const float (*hull)[2]; /* NULL: an ellipse */
  size_t hull_count;
  float x, y, cosine, sine, half_width, half_height;
  float dilation, amplitude, edge; /* pixels */
  noise noise;
} field;

static float field_at(const field *f, float x, float y) {
  float d;
  if (f->hull != NULL) {
    d = hull_distance(f->hull, f->hull_count, x, y) - f->dilation;
  } else {
    float u = (x - f->x) * f->cosine + (y - f->y) * f->sine, v = (y - f->y) * f->cosine - (x - f->x) * f->sine;
    d = (sqrtf(u * u / (f->half_width * f->half_width) + v * v / (f->half_height * f->half_height)) - 1) *
        fminf(f->half_width, f->half_height);
  }
  if (fabsf(d) > 2 * f->amplitude + f->edge) return d; /* noise could not change the matte here */
  return d + f->amplitude * fractal(&f->noise, x, y);
}

static float soft_step(float t) {
  t = t < 0 ? 0 : t > 1 ? 1 : t;
  return t * t * (3 - 2 * t);
}

static void draw_field(const field *f, uint32_t w, uint32_t h, float *matte) {
  enum { MOST_NODES = 4096 / STEP + 2 };
  float rows[2][MOST_NODES], *above = rows[0], *below = rows[1];
  uint32_t nodes = w / STEP + 2;
  if (nodes > MOST_NODES) nodes = MOST_NODES;
  for (uint32_t y = 0; y < h; y++) {
    if (y % STEP == 0) {
      float *old = above;
      above = below, below = old;
      for (uint32_t i = 0; i < nodes; i++) below[i] = field_at(f, (float)(i * STEP), (float)(y + STEP));
      if (y == 0)
        for (uint32_t i = 0; i < nodes; i++) above[i] = field_at(f, (float)(i * STEP), 0);
    }
    float v = ((float)(y % STEP) + 0.5f) / STEP;
    for (uint32_t x = 0; x < w; x++) {
      uint32_t i = x / STEP < nodes - 1 ? x / STEP : nodes - 2;
      float u = ((float)(x % STEP) + 0.5f) / STEP, a = above[i] + (above[i + 1] - above[i]) * u;
      float b = below[i] + (below[i + 1] - below[i]) * u;
      *matte++ = soft_step(0.5f - (a + (b - a) * v) / f->edge);
    }
  }
}

/* Noise of 2 to 6 cells a side; an edge from hard to very soft. */
static void choose_outline(field *f, uint32_t w, uint32_t h, rng *r) {
  float side = (float)(w > h ? w : h);
  f->noise.seed = rng_next(r);
  f->noise.frequency = rng_range(r, 2, 6) / side;
  f->edge = side * 0.008f * expf(rng_range(r, 0, 2.3f));
}

void cloud_around(const float *points, const float *weight, size_t count, uint32_t w, uint32_t h, rng *r, float *matte) {
  float used[MOST_POINTS][2], hull[MOST_POINTS + 1][2], top = INFINITY, bottom = -INFINITY, left = INFINITY, right = -INFINITY;
  field f = {0};
  size_t n = 0;
  for (size_t i = 0; i < count && n < MOST_POINTS; i++) {
    if (!(weight[i] > 0)) continue;
    float x = points[2 * i] * (float)w, y = points[2 * i + 1] * (float)h;
    used[n][0] = x, used[n++][1] = y;
    left = fminf(left, x), right = fmaxf(right, x);
    top = fminf(top, y), bottom = fmaxf(bottom, y);
  }
  choose_outline(&f, w, h, r);
  float reach = rng_range(r, 0.3f, 1), swing = rng_range(r, 0.3f, 0.8f);
  if (n == 0) {
    for (size_t i = 0; i < (size_t)w * h; i++) matte[i] = 1;
    return;
  }
  f.hull = (const float(*)[2])hull;
  f.hull_count = convex_hull(used, n, hull);
  f.dilation = reach * 0.25f * fmaxf(right - left, bottom - top);
  f.amplitude = swing * f.dilation; /* the noise stays below the dilation: the landmarks are kept */
  draw_field(&f, w, h, matte);
}

void cloud_alone(float x, float y, float half_width, float half_height, uint32_t w, uint32_t h, rng *r, float *matte) {
  field f = {0};
  float turn = rng_range(r, 0, 3.14159265f);
  f.x = x, f.y = y, f.half_width = fmaxf(half_width, 1), f.half_height = fmaxf(half_height, 1);
  f.cosine = cosf(turn), f.sine = sinf(turn);
  choose_outline(&f, w, h, r);
  f.amplitude = rng_range(r, 0.2f, 0.8f) * fminf(half_width, half_height);
  draw_field(&f, w, h, matte);
}
