/* Bezier geometry and mattes: exact areas, and every kind of shape against a reference that shares nothing with the runtime.
 *
 * The reference of hard edges takes 128 lines a pixel and is exact along each; its curves are 1024 chords a segment.  That of
 * feather takes 64 points a pixel and looks for the best of thousands of points of the outline.
 *
 *   test_matte --time   prints the time of a frame of 2348x1566 pixels with seven shapes */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include <math.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* SplitMix64. */
typedef uint64_t rng;
static double uniform(rng *r) {
  uint64_t z = *r += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (double)((z ^ z >> 31) >> 11) / 9007199254740992.0;
}

static const double pi = 3.14159265358979323846;

/* ---- shapes ---- */

enum { MAX_VERTICES = 16 };

typedef struct shape {
  roto_vertex vertices[MAX_VERTICES];
  roto_matte_shape s;
} shape;

static roto_matte_shape *finish(shape *s, uint32_t count, int closed) {
  s->s.path.vertices = s->vertices;
  s->s.path.vertex_count = count;
  s->s.path.closed = closed;
  return &s->s;
}

/* Four cubics that stand for an ellipse. */
static roto_matte_shape *ellipse(shape *s, double x, double y, double rx, double ry) {
  const double k = 0.5522847498307936;
  memset(s, 0, sizeof *s);
  for (int i = 0; i < 4; ++i) {
    double c = i == 0 ? 1 : i == 2 ? -1 : 0, d = i == 1 ? 1 : i == 3 ? -1 : 0;
    roto_vertex v = {x + rx * c, y + ry * d, k * rx * d, -k * ry * c, -k * rx * d, k * ry * c, 0};
    s->vertices[i] = v;
  }
  return finish(s, 4, 1);
}

static roto_matte_shape *polygon(shape *s, const double (*points)[2], uint32_t count) {
  memset(s, 0, sizeof *s);
  for (uint32_t i = 0; i < count; ++i) s->vertices[i].x = points[i][0], s->vertices[i].y = points[i][1];
  return finish(s, count, 1);
}

/* Anything: tangled, partly outside. */
static roto_matte_shape *tangle(shape *s, rng *r, uint32_t count, double size, int closed) {
  memset(s, 0, sizeof *s);
  for (uint32_t i = 0; i < count; ++i) {
    double *v = &s->vertices[i].x;
    for (int k = 0; k < 6; ++k) v[k] = k < 2 ? size * (1.2 * uniform(r) - 0.1) : size * (uniform(r) - 0.5);
  }
  return finish(s, count, closed);
}

/* ---- the reference ---- */

typedef struct crossing {
  double x;
  int direction, shape;
} crossing;

static int by_x(const void *a, const void *b) {
  double x = ((const crossing *)a)->x, y = ((const crossing *)b)->x;
  return (x > y) - (x < y);
}

/* Points of a path, `chords` a segment; the number of points. */
static size_t points_of(const roto_path *path, int chords, double (*points)[3]) {
  size_t n = 0, segments = path->closed ? path->vertex_count : path->vertex_count - 1;
  for (size_t i = 0; i < segments; ++i) {
    const roto_vertex *a = path->vertices + i, *b = path->vertices + (i + 1) % path->vertex_count;
    for (int k = 0; k <= chords; ++k) {
      double t = (double)k / chords, s = 1 - t, w[4] = {s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t};
      points[n][0] = w[0] * a->x + w[1] * (a->x + a->out_x) + w[2] * (b->x + b->in_x) + w[3] * b->x;
      points[n][1] = w[0] * a->y + w[1] * (a->y + a->out_y) + w[2] * (b->y + b->in_y) + w[3] * b->y;
      points[n++][2] = a->feather + t * (b->feather - a->feather);
    }
  }
  return n;
}

enum { LINES = 128, CHORDS = 1024, POINTS = MAX_VERTICES * (CHORDS + 1) };

static int covered(const roto_matte_shape *shapes, int count, const int *winding) {
  for (int i = count; i-- > 0;)
    if (shapes[i].fill == ROTO_FILL_EVENODD ? winding[i] & 1 : winding[i]) return !shapes[i].subtract;
  return 0;
}

/* Coverage of hard closed shapes. */
static void reference(const roto_matte_shape *shapes, int count, int width, int height, double *out) {
  static double points[POINTS][3];
  crossing *crossings = calloc((size_t)height * LINES * 64, sizeof *crossings);
  int *used = calloc((size_t)height * LINES, sizeof *used);
  for (int i = 0; i < count; ++i) {
    size_t n = points_of(&shapes[i].path, CHORDS, points);
    for (size_t k = 0; k < n; ++k) {
      const double *a = points[k], *b = points[(k + 1) % n];
      int up = a[1] > b[1];
      const double *top = up ? b : a, *bottom = up ? a : b;
      double first = ceil(top[1] * LINES - 0.5);
      for (int line = first > 0 ? (int)first : 0; line < height * LINES && (line + 0.5) / LINES < bottom[1]; ++line) {
        crossing c = {top[0] + ((line + 0.5) / LINES - top[1]) * (bottom[0] - top[0]) / (bottom[1] - top[1]), up ? -1 : 1, i};
        if (used[line] < 64) crossings[line * 64 + used[line]++] = c;
      }
    }
  }
  memset(out, 0, (size_t)width * (size_t)height * sizeof *out);
  for (int line = 0; line < height * LINES; ++line) {
    int winding[16] = {0};
    crossing *c = crossings + line * 64;
    CHECK(used[line] < 64);
    qsort(c, (size_t)used[line], sizeof *c, by_x);
    for (int k = 0; k + 1 < used[line]; ++k) {
      winding[c[k].shape] += c[k].direction;
      if (!covered(shapes, count, winding)) continue;
      double from = fmax(c[k].x, 0), to = fmin(c[k + 1].x, width);
      for (int x = (int)from; x < to; ++x) out[line / LINES * width + x] += (fmin(to, x + 1) - fmax(from, x)) / LINES;
    }
  }
  free(crossings);
  free(used);
}

typedef struct difference {
  double mean, max, area;
} difference;

static difference compare(const float *found, const double *expected, size_t n) {
  difference d = {0, 0, 0};
  for (size_t i = 0; i < n; ++i) {
    double e = fabs((double)found[i] - expected[i]);
    if (!(e <= d.max)) d.max = e;
    d.mean += e / (double)n;
    d.area += (double)found[i] - expected[i];
  }
  return d;
}

static roto_status draw(const roto_matte_shape *shapes, size_t count, int width, int height, float *out) {
  roto_matte_image image = {out, (uint32_t)width, (uint32_t)height, ROTO_PIXEL_F32, 0};
  for (int i = 0; i < width * height; ++i) out[i] = NAN; /* every pixel must be written */
  return roto_matte(shapes, count, NULL, &image);
}

static difference check_hard(const char *what, const roto_matte_shape *shapes, int count, int width, int height) {
  size_t n = (size_t)width * (size_t)height;
  float *found = malloc(n * sizeof *found);
  double *expected = malloc(n * sizeof *expected);
  CHECK(draw(shapes, (size_t)count, width, height, found) == ROTO_OK);
  reference(shapes, count, width, height, expected);
  difference d = compare(found, expected, n);
  CHECK(d.mean < 0.002 && d.max < 1.0 / 64, "%s: mean error %.5f, max %.5f", what, d.mean, d.max);
  free(found);
  free(expected);
  return d;
}

/* ---- geometry ---- */

static void bezier_geometry(void) {
  shape s;
  double box[4], point[2], slope[2], ends[2][2];
  roto_matte_shape *circle = ellipse(&s, 40, 30, 20, 20);
  roto_cubic c = roto_path_segment(&circle->path, 0), left, right;

  CHECK(roto_path_segments(&circle->path) == 4);
  /* The four cubics are not quite a circle. */
  CHECK(fabs(roto_path_area(&circle->path) / (pi * 400) - 1) < 3e-4, "%g", roto_path_area(&circle->path));
  CHECK(fabs(roto_path_length(&circle->path) / (2 * pi * 20) - 1) < 3e-4, "%g", roto_path_length(&circle->path));
  roto_path_box(&circle->path, box);
  CHECK(fabs(box[0] - 20) < 1e-9 && fabs(box[1] - 10) < 1e-9 && fabs(box[2] - 60) < 1e-9 && fabs(box[3] - 50) < 1e-9);

  /* A straight line, and a parabola y = x^2 over 0..1, as cubics: length sqrt(5)/2 + asinh(2)/4, area under it 1/3. */
  roto_cubic parabola = {{0, 1.0 / 3, 2.0 / 3, 1}, {0, 0, 1.0 / 3, 1}};
  CHECK(fabs(roto_cubic_length(&parabola, 1) - (sqrt(5) / 2 + asinh(2) / 4)) < 1e-9);
  CHECK(fabs(roto_cubic_length(&parabola, 0.5) - (sqrt(2) / 4 + asinh(1) / 4)) < 1e-9);
  roto_vertex parabola_vertices[2] = {{0, 0, 0, 0, 1.0 / 3, 0, 0}, {1, 1, -1.0 / 3, -2.0 / 3, 0, 0, 0}};
  roto_path open = {parabola_vertices, 2, 0};
  CHECK(fabs(roto_path_area(&open) - 1.0 / 6) < 1e-12, "%g", roto_path_area(&open)); /* between chord and curve */
  roto_cubic cusp = {{0, 10, 0, 10}, {0, 10, 10, 0}};
  double chords = 0, last[2] = {0, 0};
  for (int i = 1; i <= 1000000; ++i) {
    roto_cubic_at(&cusp, i * 1e-6, point);
    chords += hypot(point[0] - last[0], point[1] - last[1]);
    last[0] = point[0], last[1] = point[1];
  }
  CHECK(fabs(roto_cubic_length(&cusp, 1) - chords) < 1e-7, "%.12g, chords %.12g", roto_cubic_length(&cusp, 1), chords);

  roto_cubic_split(&c, 0.3, &left, &right);
  for (int i = 0; i <= 10; ++i) {
    double t = i / 10.0, u[2], v[2];
    roto_cubic_at(&left, t, point);
    roto_cubic_at(&c, 0.3 * t, u);
    CHECK(hypot(point[0] - u[0], point[1] - u[1]) < 1e-12);
    roto_cubic_at(&right, t, point);
    roto_cubic_at(&c, 0.3 + 0.7 * t, v);
    CHECK(hypot(point[0] - v[0], point[1] - v[1]) < 1e-12);
    roto_cubic_derivative(&c, t, slope);
    roto_cubic_at(&c, t - 1e-5, ends[0]);
    roto_cubic_at(&c, t + 1e-5, ends[1]);
    for (int a = 0; a < 2; ++a) CHECK(fabs((ends[1][a] - ends[0][a]) / 2e-5 - slope[a]) < 1e-6);
  }
  CHECK(left.x[0] == c.x[0] && right.x[3] == c.x[3] && left.x[3] == right.x[0]);

  /* Chords keep the tolerance, and not by wasting points. */
  rng r = 7;
  for (int trial = 0; trial < 200; ++trial) {
    for (int i = 0; i < 4; ++i) c.x[i] = 100 * uniform(&r), c.y[i] = 100 * uniform(&r);
    static double points[4096][2];
    double tolerance = pow(10, -3 * uniform(&r)), worst = 0;
    uint32_t n = roto_cubic_flatten(&c, tolerance, points, 4096);
    CHECK(n == roto_cubic_steps(&c, tolerance) && n >= 1 && n < 4096);
    CHECK(points[n - 1][0] == c.x[3] && points[n - 1][1] == c.y[3]);
    roto_cubic_box(&c, box);
    for (uint32_t i = 0; i < 20 * n; ++i) {
      double a[2], b[2], t = i / 20.0 / n;
      roto_cubic_at(&c, t, point);
      CHECK(point[0] >= box[0] - 1e-9 && point[0] <= box[2] + 1e-9 && point[1] >= box[1] - 1e-9 && point[1] <= box[3] + 1e-9);
      roto_cubic_at(&c, (double)(i / 20) / n, a);
      roto_cubic_at(&c, (double)(i / 20 + 1) / n, b);
      double length = hypot(b[0] - a[0], b[1] - a[1]);
      double away = length > 0 ? fabs((b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])) / length : 0;
      worst = fmax(worst, away);
    }
    CHECK(worst <= tolerance && (n < 4 || worst > tolerance / 40), "%u steps, %g of %g", n, worst, tolerance);
  }
  CHECK(roto_cubic_flatten(&c, 1e-3, NULL, 0) == roto_cubic_steps(&c, 1e-3));
  roto_path empty = {NULL, 0, 1};
  roto_path_box(&empty, box);
  CHECK(box[0] == 0 && box[3] == 0 && roto_path_area(&empty) == 0 && roto_path_length(&empty) == 0);
}

/* ---- hard edges ---- */

/* Polygons have no flattening: pixel values to rounding. */
static void polygons_are_exact(void) {
  static const double square[][2] = {{1.25, 2.5}, {5.75, 2.5}, {5.75, 4.5}, {1.25, 4.5}};
  static const double triangle[][2] = {{0, 0}, {8, 0}, {0, 8}};
  static const double bow[][2] = {{0, 0}, {8, 8}, {8, 0}, {0, 8}}; /* crosses itself: one half winds each way */
  shape s;
  float out[8 * 8];
  CHECK(draw(polygon(&s, square, 4), 1, 8, 8, out) == ROTO_OK);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) {
      double w = fmax(0, fmin(x + 1, 5.75) - fmax(x, 1.25)), h = fmax(0, fmin(y + 1, 4.5) - fmax(y, 2.5));
      CHECK(fabs((double)out[y * 8 + x] - w * h) < 1e-6, "(%d, %d): %g, expected %g", x, y, (double)out[y * 8 + x], w * h);
    }
  CHECK(draw(polygon(&s, triangle, 3), 1, 8, 8, out) == ROTO_OK);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x) {
      double e = x + y < 7 ? 1 : x + y == 7 ? 0.5 : 0;
      CHECK(fabs((double)out[y * 8 + x] - e) < 1e-6, "(%d, %d): %g, expected %g", x, y, (double)out[y * 8 + x], e);
    }
  for (int rule = 0; rule < 2; ++rule) {
    polygon(&s, bow, 4)->fill = rule ? ROTO_FILL_EVENODD : ROTO_FILL_NONZERO;
    CHECK(draw(&s.s, 1, 8, 8, out) == ROTO_OK);
    double area = 0;
    for (int i = 0; i < 64; ++i) area += (double)out[i];
    CHECK(fabs(area - 32) < 1e-5, "%g", area);
  }
  /* The crossing in the middle of a pixel, where signed areas alone would cancel to nothing. */
  static const double small_bow[][2] = {{0, 0}, {1, 1}, {1, 0}, {0, 1}};
  CHECK(draw(polygon(&s, small_bow, 4), 1, 1, 1, out) == ROTO_OK && fabs((double)out[0] - 0.5) < 1e-6, "%g", (double)out[0]);
  /* Twice around covers no more than once; by the even-odd rule it covers nothing. */
  static const double twice[][2] = {{1, 1}, {6.5, 1}, {6.5, 6}, {1, 6}, {1, 1}, {6.5, 1}, {6.5, 6}, {1, 6}};
  for (int rule = 0; rule < 2; ++rule) {
    polygon(&s, twice, 8)->fill = rule ? ROTO_FILL_EVENODD : ROTO_FILL_NONZERO;
    CHECK(draw(&s.s, 1, 8, 8, out) == ROTO_OK);
    double area = 0;
    for (int i = 0; i < 64; ++i) area += (double)out[i];
    CHECK(fabs(area - (rule ? 0 : 27.5)) < 1e-5, "rule %d: %g", rule, area);
  }
}

/* Two shapes with a common edge leave no seam; one that takes away what another added leaves nothing. */
static void neighbours_share_edges(void) {
  static const double left[][2] = {{1, 1}, {4.3, 1}, {9.9, 15}, {1, 15}}, right[][2] = {{4.3, 1}, {15, 1}, {15, 15}, {9.9, 15}};
  shape s[2];
  roto_matte_shape list[2];
  float out[16 * 16];
  list[0] = *polygon(&s[0], left, 4);
  list[1] = *polygon(&s[1], right, 4);
  CHECK(draw(list, 2, 16, 16, out) == ROTO_OK);
  for (int y = 1; y < 15; ++y)
    for (int x = 1; x < 15; ++x) CHECK(fabs((double)out[y * 16 + x] - 1) < 1e-6, "(%d, %d): %g", x, y, (double)out[y * 16 + x]);
  list[1] = list[0];
  list[1].subtract = 1;
  CHECK(draw(list, 2, 16, 16, out) == ROTO_OK);
  for (int i = 0; i < 256; ++i) CHECK(fabs((double)out[i]) < 1e-6);
}

static void areas_are_exact(void) {
  static float out[256 * 256];
  shape s;
  rng r = 3;
  for (int trial = 0; trial < 20; ++trial) {
    double rx = 4 + 100 * uniform(&r), ry = 4 + 100 * uniform(&r), sum = 0;
    ellipse(&s, 128 + uniform(&r), 128 + uniform(&r), rx, ry);
    CHECK(draw(&s.s, 1, 256, 256, out) == ROTO_OK);
    for (int i = 0; i < 256 * 256; ++i) sum += (double)out[i];
    CHECK(fabs(sum / roto_path_area(&s.s.path) - 1) < 1e-4, "%g x %g: area %g, expected %g", rx, ry, sum,
          roto_path_area(&s.s.path));
  }
}

static void curves_match_reference(void) {
  shape s[7];
  roto_matte_shape list[7];
  rng r = 11;
  difference worst = {0, 0, 0};
  for (int trial = 0; trial < 60; ++trial) {
    int count = trial < 30 ? 1 : 1 + trial % 7;
    for (int i = 0; i < count; ++i) {
      uint32_t vertices = 1 + (uint32_t)(uniform(&r) * 6);
      list[i] = *tangle(&s[i], &r, vertices, 40, 1);
      list[i].fill = uniform(&r) < 0.5 ? ROTO_FILL_EVENODD : ROTO_FILL_NONZERO;
      list[i].subtract = i > 0 && uniform(&r) < 0.4;
    }
    difference d = check_hard("tangle", list, count, 40, 40);
    worst.mean = fmax(worst.mean, d.mean);
    worst.max = fmax(worst.max, d.max);
  }
  list[0] = *ellipse(&s[0], 20.3, 19.8, 15.1, 8.7);
  list[1] = *ellipse(&s[1], 28.3, 22.8, 6.1, 11.7);
  difference d = check_hard("ellipses", list, 2, 48, 40);
  printf("hard edges: worst mean error %.6f, worst pixel %.5f; ellipses %.6f, %.5f\n", worst.mean, worst.max, d.mean, d.max);
}

/* ---- open shapes ---- */

/* The reference is the union of discs, at 64 points a pixel. */
static void strokes_match_reference(void) {
  enum { SIDE = 24, CHORD = 100 };
  static float found[SIDE * SIDE];
  static double expected[SIDE * SIDE], points[MAX_VERTICES * (CHORD + 1)][3];
  shape s;
  rng r = 5;
  double worst_mean = 0, worst_area = 0, worst = 0;
  for (int trial = 0; trial < 16; ++trial) {
    double width = trial < 8 ? 1 + 4 * uniform(&r) : 12;
    tangle(&s, &r, 2 + (uint32_t)trial % 3, SIDE, 0)->width = width;
    if (trial == 4) s.s.path.vertex_count = 1; /* a dot */
    if (trial == 5) s.vertices[1] = s.vertices[0];
    CHECK(draw(&s.s, 1, SIDE, SIDE, found) == ROTO_OK);
    size_t n = s.s.path.vertex_count > 1 ? points_of(&s.s.path, CHORD, points) : 1;
    if (s.s.path.vertex_count == 1) points[0][0] = s.vertices[0].x, points[0][1] = s.vertices[0].y;
    for (int y = 0; y < SIDE; ++y)
      for (int x = 0; x < SIDE; ++x) {
        int inside = 0;
        for (int k = 0; k < 64; ++k) {
          double px = x + (k % 8 + 0.5) / 8, py = y + (k / 8 + 0.5) / 8, best = 1e9;
          for (size_t i = 0; i < n; ++i) {
            const double *a = points[i], *b = points[i + 1 < n ? i + 1 : i];
            double ex = b[0] - a[0], ey = b[1] - a[1], ee = ex * ex + ey * ey;
            double t = ee > 0 ? fmax(0, fmin(1, ((px - a[0]) * ex + (py - a[1]) * ey) / ee)) : 0;
            double dx = px - a[0] - t * ex, dy = py - a[1] - t * ey;
            best = fmin(best, dx * dx + dy * dy);
          }
          inside += best <= width * width / 4;
        }
        expected[y * SIDE + x] = inside / 64.0;
      }
    difference d = compare(found, expected, SIDE * SIDE);
    double area = 0;
    for (int i = 0; i < SIDE * SIDE; ++i) area += expected[i];
    worst_mean = fmax(worst_mean, d.mean);
    worst = fmax(worst, d.max);
    worst_area = fmax(worst_area, fabs(d.area) / area);
    /* 64 points place an edge within 1/8 pixel at worst. */
    CHECK(d.max < 0.125, "stroke %d: worst pixel %g", trial, d.max);
  }
  CHECK(worst_mean < 0.002 && worst_area < 0.01, "mean error %g, area %g", worst_mean, worst_area);
  printf("open shapes against 64 points a pixel: worst mean error %.5f, worst pixel %.4f, worst area %.5f\n", worst_mean, worst,
         worst_area);
}

/* ---- feather ---- */

static void feather_matches_reference(void) {
  enum { SIDE = 48, CHORD = 150 };
  static float found[SIDE * SIDE];
  static double expected[SIDE * SIDE], points[MAX_VERTICES * (CHORD + 1)][3];
  shape s;
  for (int trial = 0; trial < 5; ++trial) {
    ellipse(&s, 23.7, 24.4, 15.3, 10.1);
    for (int i = 0; i < 4; ++i)
      s.vertices[i].feather = trial == 0 ? 6 : trial == 1 ? -5 : trial == 2 ? 2 : trial == 3 ? 3 + 3 * i : i & 1 ? -6 : 6;
    CHECK(draw(&s.s, 1, SIDE, SIDE, found) == ROTO_OK);
    size_t n = points_of(&s.s.path, CHORD, points);
    for (int y = 0; y < SIDE; ++y)
      for (int x = 0; x < SIDE; ++x) {
        double sum = 0;
        for (int k = 0; k < 64; ++k) {
          double px = x + (k % 8 + 0.5) / 8, py = y + (k / 8 + 0.5) / 8, out = 0, in = 0;
          int winding = 0;
          for (size_t i = 0; i < n; ++i) {
            const double *q = points[i], *next = points[(i + 1) % n];
            double f = fabs(q[2]), v = f > 0 ? fmax(0, 1 - hypot(px - q[0], py - q[1]) / f) : 0;
            if (q[2] > 0) out = fmax(out, v);
            if (q[2] < 0) in = fmax(in, v);
            if ((q[1] <= py) != (next[1] <= py) && q[0] + (py - q[1]) * (next[0] - q[0]) / (next[1] - q[1]) < px)
              winding += next[1] > q[1] ? 1 : -1;
          }
          sum += winding ? 1 - in : out;
        }
        expected[y * SIDE + x] = sum / 64;
      }
    difference d = compare(found, expected, SIDE * SIDE);
    /* In the pixels where a feather turns from outwards to inwards it is narrower than they are. */
    CHECK(d.mean < 0.002 && d.max < (trial < 4 ? 1.0 / 64 : 0.05), "feather %d: mean error %g, max %g", trial, d.mean, d.max);
    printf("feather %d against 64 points a pixel: mean error %.5f, worst pixel %.5f\n", trial, d.mean, d.max);
  }
  /* A feather of nothing is a hard edge; the shape's own is added to the vertices'. */
  static float other[SIDE * SIDE];
  for (int i = 0; i < 4; ++i) s.vertices[i].feather = 1.5;
  s.s.feather = -1.5;
  CHECK(draw(&s.s, 1, SIDE, SIDE, found) == ROTO_OK);
  ellipse(&s, 23.7, 24.4, 15.3, 10.1);
  CHECK(draw(&s.s, 1, SIDE, SIDE, other) == ROTO_OK && !memcmp(found, other, sizeof found));
  s.s.feather = 1e-4;
  CHECK(draw(&s.s, 1, SIDE, SIDE, found) == ROTO_OK);
  for (int i = 0; i < SIDE * SIDE; ++i) CHECK(fabs((double)(found[i] - other[i])) < 1e-3);
}

/* ---- options ---- */

static void options_are_kept(void) {
  enum { SIDE = 64 };
  static float whole[SIDE * SIDE], half[SIDE * SIDE / 4], part[16 * 16];
  shape s;
  rng r = 2;
  tangle(&s, &r, 5, SIDE, 1);
  CHECK(draw(&s.s, 1, SIDE, SIDE, whole) == ROTO_OK);
  /* A proxy at half size is the mean of four pixels; an offset is a window. */
  roto_matte_options options;
  memset(&options, 0, sizeof options);
  options.scale = 0.5;
  roto_matte_image image = {half, SIDE / 2, SIDE / 2, ROTO_PIXEL_F32, 0};
  CHECK(roto_matte(&s.s, 1, &options, &image) == ROTO_OK);
  for (int y = 0; y < SIDE / 2; ++y)
    for (int x = 0; x < SIDE / 2; ++x) {
      const float *p = whole + 2 * y * SIDE + 2 * x;
      CHECK(fabs((double)(p[0] + p[1] + p[SIDE] + p[SIDE + 1]) / 4 - (double)half[y * SIDE / 2 + x]) < 1.0 / 64);
    }
  options.scale = 0;
  options.x = 17, options.y = 20;
  roto_matte_image window = {part, 16, 16, ROTO_PIXEL_F32, 0};
  CHECK(roto_matte(&s.s, 1, &options, &window) == ROTO_OK);
  for (int y = 0; y < 16; ++y)
    for (int x = 0; x < 16; ++x)
      CHECK(fabs((double)(part[y * 16 + x] - whole[(y + 20) * SIDE + x + 17])) < 1e-5, "(%d, %d)", x, y);

  /* 8 and 16 bits round to nearest; rows end at a page that must not be touched. */
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  unsigned char *pages = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(pages != MAP_FAILED && !mprotect(pages + 3 * page, page, PROT_NONE));
  for (int width = 1; width < 40; ++width) {
    size_t row = (size_t)width + 3;
    unsigned char *bytes = pages + 3 * page - (7 * row + (size_t)width);
    memset(bytes, 77, 7 * row + (size_t)width);
    roto_matte_image u8 = {bytes, (uint32_t)width, 8, ROTO_PIXEL_U8, row};
    uint16_t *words = (uint16_t *)(void *)(pages + page - (size_t)width * 8 * 2);
    roto_matte_image u16 = {words, (uint32_t)width, 8, ROTO_PIXEL_U16, 0};
    options.x = 20, options.y = 24;
    CHECK(roto_matte(&s.s, 1, &options, &u8) == ROTO_OK && roto_matte(&s.s, 1, &options, &u16) == ROTO_OK);
    for (int y = 0; y < 8; ++y) {
      for (int x = 0; x < width; ++x) {
        double v = (double)whole[(y + 24) * SIDE + x + 20];
        CHECK(fabs(bytes[(size_t)y * row + (size_t)x] - 255 * v) < 0.51 && fabs(words[y * width + x] - 65535 * v) < 1.5);
      }
      for (int x = 0; y < 7 && x < 3; ++x) CHECK(bytes[(size_t)y * row + (size_t)(width + x)] == 77);
    }
  }
  munmap(pages, 4 * page);
}

/* A square that moves 8 pixels while the shutter is open is a ramp 8 pixels wide, in as many steps as there are moments. */
static void moments_are_averaged(void) {
  enum { SAMPLES = 8 };
  roto_vertex vertices[SAMPLES * 4];
  memset(vertices, 0, sizeof vertices);
  for (int s = 0; s < SAMPLES; ++s)
    for (int i = 0; i < 4; ++i) {
      vertices[s * 4 + i].x = (i == 1 || i == 2 ? 20 : 4) + s + 0.5;
      vertices[s * 4 + i].y = i >= 2 ? 6 : 2;
    }
  roto_matte_shape square = {{vertices, 4, 1}, 0, 0, ROTO_FILL_NONZERO, 0};
  roto_matte_options options;
  memset(&options, 0, sizeof options);
  options.samples = SAMPLES;
  float out[8 * 40];
  roto_matte_image image = {out, 40, 8, ROTO_PIXEL_F32, 0};
  CHECK(roto_matte(&square, 1, &options, &image) == ROTO_OK);
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 40; ++x) {
      double e = fmax(0, fmin(1, (x + 0.5 - 4) / 8)) - fmax(0, fmin(1, (x + 0.5 - 20) / 8));
      CHECK(fabs((double)out[y * 40 + x] - (y >= 2 && y < 6 ? e : 0)) < 1e-6, "(%d, %d): %g", x, y, (double)out[y * 40 + x]);
    }
}

/* ---- damage ---- */

static void degenerate_shapes(void) {
  static float out[16 * 16];
  shape s;
  double sum = 0;
  memset(&s, 0, sizeof s);
  CHECK(draw(NULL, 0, 16, 16, out) == ROTO_OK); /* nothing */
  for (int i = 0; i < 256; ++i) sum += fabs((double)out[i]);
  for (uint32_t n = 0; n < 4; ++n) /* no vertices; all vertices in one point; a line there and back */
    for (int closed = 0; closed < 2; ++closed) {
      finish(&s, n, closed)->width = 0;
      CHECK(draw(&s.s, 1, 16, 16, out) == ROTO_OK);
      for (int i = 0; i < 256; ++i) sum += fabs((double)out[i]);
      s.vertices[1].x = 9, s.vertices[1].y = 7;
    }
  CHECK(sum == 0, "%g", sum);
  /* Far outside on every side, and huge: all or nothing. */
  const double at[5][2] = {{-5000, 8}, {5000, 8}, {8, -5000}, {8, 5000}, {8, 8}};
  for (int i = 0; i < 5; ++i) {
    ellipse(&s, at[i][0], at[i][1], i == 4 ? 9e5 : 100, i == 4 ? 9e5 : 100);
    s.s.feather = i == 2 ? 3 : 0;
    CHECK(draw(&s.s, 1, 16, 16, out) == ROTO_OK);
    for (int k = 0; k < 256; ++k) CHECK(out[k] == (i == 4 ? 1.0f : 0.0f));
  }
  ellipse(&s, 8, 8, 4, 4);
  roto_matte_image image = {out, 16, 16, ROTO_PIXEL_F32, 0};
  CHECK(roto_matte(&s.s, 1, NULL, NULL) == ROTO_ERR_ARGUMENT && roto_matte(NULL, 1, NULL, &image) == ROTO_ERR_ARGUMENT);
  s.vertices[2].in_x = NAN;
  CHECK(roto_matte(&s.s, 1, NULL, &image) == ROTO_ERR_ARGUMENT);
  s.vertices[2].in_x = 2e6;
  CHECK(roto_matte(&s.s, 1, NULL, &image) == ROTO_ERR_ARGUMENT);
  s.vertices[2].in_x = 0;
  image.width = 0;
  CHECK(roto_matte(&s.s, 1, NULL, &image) == ROTO_ERR_ARGUMENT);
}

typedef struct heap {
  int budget, blocks;
} heap;

static void *heap_alloc(void *user, size_t size) {
  heap *h = (heap *)user;
  if (h->budget-- <= 0) return NULL;
  ++h->blocks;
  return malloc(size);
}

static void heap_free(void *user, void *memory) {
  --((heap *)user)->blocks;
  free(memory);
}

static void memory_runs_out(void) {
  static float out[64 * 64];
  shape s[2];
  roto_matte_shape list[2];
  rng r = 9;
  list[0] = *tangle(&s[0], &r, 16, 800, 1); /* enough edges for the arrays to grow */
  list[0].feather = 2;
  list[1] = *tangle(&s[1], &r, 4, 64, 0);
  list[1].width = 3;
  int budget = 0;
  for (;; ++budget) {
    heap h = {budget, 0};
    roto_matte_options options;
    memset(&options, 0, sizeof options);
    options.allocator.alloc = heap_alloc, options.allocator.free = heap_free, options.allocator.user = &h;
    roto_matte_image image = {out, 64, 64, ROTO_PIXEL_F32, 0};
    roto_status status = roto_matte(list, 2, &options, &image);
    CHECK(!h.blocks && (status == ROTO_OK || status == ROTO_ERR_MEMORY));
    if (status == ROTO_OK || budget > 100) break;
  }
  CHECK(budget > 4 && budget < 100, "%d", budget);
}

/* Threads share the shapes and nothing else. */
static void threads_agree(void) {
  static float alone[96 * 96], together[8][96 * 96];
  shape s[3];
  roto_matte_shape list[3];
  rng r = 21;
  for (int i = 0; i < 3; ++i) list[i] = *tangle(&s[i], &r, 6, 96, i < 2);
  list[1].feather = 5;
  list[2].width = 4;
  CHECK(draw(list, 3, 96, 96, alone) == ROTO_OK);
#ifdef _OPENMP
#pragma omp parallel for num_threads(4)
#endif
  for (int i = 0; i < 8; ++i) {
    roto_matte_image image = {together[i], 96, 96, ROTO_PIXEL_F32, 0};
    roto_matte(list, 3, NULL, &image);
  }
  for (int i = 0; i < 8; ++i) CHECK(!memcmp(alone, together[i], sizeof alone));
}

/* ---- speed ---- */

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Eyes, brows and seams of a head as high as the frame; then the same with feather; then seven shapes that fill the frame. */
static void time_a_frame(void) {
  enum { WIDTH = 2348, HEIGHT = 1566 };
  shape s[7];
  roto_matte_shape list[7];
  unsigned char *out = malloc((size_t)WIDTH * HEIGHT);
  roto_matte_image image = {out, WIDTH, HEIGHT, ROTO_PIXEL_U8, 0};
  for (int kind = 0; kind < 3; ++kind) {
    for (int i = 0; i < 7; ++i) {
      if (kind == 2)
        list[i] = *ellipse(&s[i], 300 * i + 270, 783, 560, 770);
      else if (i < 4)
        list[i] = *ellipse(&s[i], i & 1 ? 1500 : 850, i & 2 ? 450 : 700, 220, i & 2 ? 60 : 150);
      else {
        ellipse(&s[i], 1174, 500 + 300 * (i - 4), 700, 100);
        list[i] = *finish(&s[i], 3, 0);
        list[i].width = 4;
      }
      list[i].feather = kind == 1 ? 6 : 0;
    }
    double best = 1e9;
    for (int k = 0; k < 20; ++k) {
      double start = now();
      roto_matte(list, 7, NULL, &image);
      best = fmin(best, now() - start);
    }
    printf("%dx%d, seven shapes%s: %.2f ms\n", WIDTH, HEIGHT,
           kind == 1   ? ", feather 6"
           : kind == 2 ? " as large as the frame"
                       : "",
           1e3 * best);
  }
  double start = now();
  for (int k = 0; k < 20; ++k) memset(out, k, (size_t)WIDTH * HEIGHT);
  printf("memset of the frame: %.2f ms\n", 1e3 * (now() - start) / 20);
  free(out);
}

int main(int argc, char **argv) {
  if (argc > 1 && !strcmp(argv[1], "--time")) {
    time_a_frame();
    return 0;
  }
  bezier_geometry();
  polygons_are_exact();
  neighbours_share_edges();
  areas_are_exact();
  curves_match_reference();
  strokes_match_reference();
  feather_matches_reference();
  options_are_kept();
  moments_are_averaged();
  degenerate_shapes();
  memory_runs_out();
  threads_agree();
  return check_end("test_matte");
}
