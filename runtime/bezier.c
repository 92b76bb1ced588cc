/* Geometry of cubic Bezier curves, in double precision: a shape has a few dozen segments, and what is built on it (areas,
 * crossings, offsets) loses digits fast.  Square roots come from the processor or from base arithmetic, so that programs need
 * not link a mathematics library. */

#ifndef ROTOI_BEZIER
#define ROTOI_BEZIER

#include "api.h"
#include "config.c"
#include "plan.c" /* rotoi_root */

static inline double rotoi_sqrt(double v) {
#ifdef ROTOI_X86
  return v > 0 ? _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(v))) : 0;
#else
  return rotoi_root(v, 2);
#endif
}

static inline double rotoi_hypot(double x, double y) {
  return rotoi_sqrt(x * x + y * y);
}

ROTO_API uint32_t roto_path_segments(const roto_path *path) {
  if (path->closed) return path->vertex_count;
  return path->vertex_count ? path->vertex_count - 1 : 0;
}

ROTO_API roto_cubic roto_path_segment(const roto_path *path, uint32_t index) {
  const roto_vertex *a = path->vertices + index;
  const roto_vertex *b = path->vertices + (index + 1 < path->vertex_count ? index + 1 : 0);
  roto_cubic c = {{a->x, a->x + a->out_x, b->x + b->in_x, b->x}, {a->y, a->y + a->out_y, b->y + b->in_y, b->y}};
  return c;
}

static double rotoi_cubic_value(const double p[4], double t) {
  double s = 1 - t;
  return s * s * (s * p[0] + 3 * t * p[1]) + t * t * (3 * s * p[2] + t * p[3]);
}

static double rotoi_cubic_slope(const double p[4], double t) {
  double s = 1 - t;
  return 3 * (s * s * (p[1] - p[0]) + 2 * s * t * (p[2] - p[1]) + t * t * (p[3] - p[2]));
}

ROTO_API void roto_cubic_at(const roto_cubic *c, double t, double point[2]) {
  point[0] = rotoi_cubic_value(c->x, t);
  point[1] = rotoi_cubic_value(c->y, t);
}

ROTO_API void roto_cubic_derivative(const roto_cubic *c, double t, double derivative[2]) {
  derivative[0] = rotoi_cubic_slope(c->x, t);
  derivative[1] = rotoi_cubic_slope(c->y, t);
}

static void rotoi_split(const double p[4], double t, double left[4], double right[4]) {
  double ab = p[0] + (p[1] - p[0]) * t, bc = p[1] + (p[2] - p[1]) * t, cd = p[2] + (p[3] - p[2]) * t;
  double abc = ab + (bc - ab) * t, bcd = bc + (cd - bc) * t, middle = abc + (bcd - abc) * t;
  left[0] = p[0], left[1] = ab, left[2] = abc, left[3] = middle;
  right[0] = middle, right[1] = bcd, right[2] = cd, right[3] = p[3];
}

ROTO_API void roto_cubic_split(const roto_cubic *c, double t, roto_cubic *left, roto_cubic *right) {
  roto_cubic a, b;
  rotoi_split(c->x, t, a.x, b.x);
  rotoi_split(c->y, t, a.y, b.y);
  if (left) *left = a;
  if (right) *right = b;
}

/* A chord of a step h leaves the curve by at most h^2/8 times the largest second derivative, which is 6 times the larger
 * second difference of the control points. */
ROTO_API uint32_t roto_cubic_steps(const roto_cubic *c, double tolerance) {
  double bend = 0;
  for (int i = 0; i < 2; ++i) {
    double d = rotoi_hypot(c->x[i] - 2 * c->x[i + 1] + c->x[i + 2], c->y[i] - 2 * c->y[i + 1] + c->y[i + 2]);
    if (d > bend) bend = d;
  }
  double n = rotoi_sqrt(0.75 * bend / tolerance);
  return n < 65535 ? (uint32_t)n + 1 : 65536;
}

ROTO_API uint32_t roto_cubic_flatten(const roto_cubic *c, double tolerance, double (*points)[2], uint32_t capacity) {
  uint32_t n = roto_cubic_steps(c, tolerance);
  if (n > capacity) return n;
  for (uint32_t i = 1; i < n; ++i) roto_cubic_at(c, (double)i / n, points[i - 1]);
  points[n - 1][0] = c->x[3];
  points[n - 1][1] = c->y[3];
  return n;
}

/* Gauss-Legendre quadrature of the speed over a..b with 8 nodes. */
static double rotoi_length_of(const roto_cubic *c, double a, double b) {
  static const double node[4] = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363};
  static const double weight[4] = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763};
  double middle = (a + b) / 2, half = (b - a) / 2, sum = 0, d[2];
  for (int i = 0; i < 8; ++i) {
    roto_cubic_derivative(c, middle + (i & 1 ? half : -half) * node[i / 2], d);
    sum += weight[i / 2] * rotoi_hypot(d[0], d[1]);
  }
  return sum * half;
}

/* Halves until both halves together agree with the whole; at a cusp the depth ends it, where what is left is 2^-20 long. */
static double rotoi_length_adaptive(const roto_cubic *c, double a, double b, double whole, double tolerance, int depth) {
  double middle = (a + b) / 2, left = rotoi_length_of(c, a, middle), right = rotoi_length_of(c, middle, b);
  double change = left + right - whole;
  if (depth == 0 || (change < tolerance && -change < tolerance)) return left + right;
  return rotoi_length_adaptive(c, a, middle, left, tolerance / 2, depth - 1) +
         rotoi_length_adaptive(c, middle, b, right, tolerance / 2, depth - 1);
}

ROTO_API double roto_cubic_length(const roto_cubic *c, double t) {
  double polygon = 0;
  for (int i = 0; i < 3; ++i) polygon += rotoi_hypot(c->x[i + 1] - c->x[i], c->y[i + 1] - c->y[i]);
  return rotoi_length_adaptive(c, 0, t, rotoi_length_of(c, 0, t), 1e-9 * polygon, 20);
}

/* Extremes of one coordinate: the ends, and the roots of the derivative, a quadratic, inside. */
static void rotoi_extent(const double p[4], double *low, double *high) {
  double a = p[3] - p[0] + 3 * (p[1] - p[2]), b = 2 * (p[0] - 2 * p[1] + p[2]), c = p[1] - p[0];
  double root = rotoi_sqrt(b * b - 4 * a * c), q = -0.5 * (b + (b < 0 ? -root : root));
  double t[4] = {0, 1, a != 0 ? q / a : 0, q != 0 ? c / q : 0};
  for (int i = 0; i < 4; ++i) {
    if (!(t[i] >= 0 && t[i] <= 1)) continue;
    double v = i == 0 ? p[0] : i == 1 ? p[3] : rotoi_cubic_value(p, t[i]);
    if (v < *low) *low = v;
    if (v > *high) *high = v;
  }
}

ROTO_API void roto_cubic_box(const roto_cubic *c, double box[4]) {
  box[0] = box[2] = c->x[0];
  box[1] = box[3] = c->y[0];
  rotoi_extent(c->x, &box[0], &box[2]);
  rotoi_extent(c->y, &box[1], &box[3]);
}

ROTO_API double roto_path_length(const roto_path *path) {
  double sum = 0;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    sum += roto_cubic_length(&c, 1);
  }
  return sum;
}

ROTO_API void roto_path_box(const roto_path *path, double box[4]) {
  for (int i = 0; i < 4; ++i) box[i] = 0;
  if (!path->vertex_count) return;
  box[0] = box[2] = path->vertices[0].x;
  box[1] = box[3] = path->vertices[0].y;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    rotoi_extent(c.x, &box[0], &box[2]);
    rotoi_extent(c.y, &box[1], &box[3]);
  }
}

/* Integral of (x dy - y dx)/2 over one cubic, with (x0, y0) as origin: a polynomial in the control points. */
static double rotoi_cubic_area(const roto_cubic *c, double x0, double y0) {
  double x[4], y[4], sum = 0;
  for (int i = 0; i < 4; ++i) x[i] = c->x[i] - x0, y[i] = c->y[i] - y0;
  static const double weight[4][4] = {{0, 6, 3, 1}, {0, 0, 3, 3}, {0, 0, 0, 6}, {0, 0, 0, 0}};
  for (int i = 0; i < 4; ++i)
    for (int j = i + 1; j < 4; ++j) sum += weight[i][j] * (x[i] * y[j] - x[j] * y[i]);
  return sum / 20;
}

ROTO_API double roto_path_area(const roto_path *path) {
  uint32_t n = roto_path_segments(path);
  if (!n) return 0;
  double sum = 0, x0 = path->vertices[0].x, y0 = path->vertices[0].y; /* near by: fewer digits cancel; closing lines pass it */
  for (uint32_t i = 0; i < n; ++i) {
    roto_cubic c = roto_path_segment(path, i);
    sum += rotoi_cubic_area(&c, x0, y0);
  }
  return sum;
}

#endif /* ROTOI_BEZIER */
