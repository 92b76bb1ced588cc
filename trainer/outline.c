/* The fit of outline.h. */

#include "outline.h"

#include <math.h>

typedef struct point {
  double x, y;
} point;

static point between(point a, point b) {
  point d = {b.x - a.x, b.y - a.y};
  return d;
}

static point project(const raster_mesh *mesh, const raster_camera *camera, uint32_t vertex) {
  double pixel[2];
  raster_project(camera, mesh->positions + 3 * (size_t)vertex, pixel);
  point p = {pixel[0], pixel[1]};
  return p;
}

/* Unit tangent of the parabola through three points, at b. */
static point tangent(point a, point b, point c) {
  point u = between(a, b), v = between(b, c), t;
  double lu = sqrt(u.x * u.x + u.y * u.y), lv = sqrt(v.x * v.x + v.y * v.y);
  if (lu <= 0 || lv <= 0) lu = lv = 1;
  t.x = u.x / lu * lv + v.x / lv * lu, t.y = u.y / lu * lv + v.y / lv * lu;
  double n = sqrt(t.x * t.x + t.y * t.y);
  if (n > 0) t.x /= n, t.y /= n;
  return t;
}

/* Unit tangent at a of the parabola through a, b, c. */
static point end_tangent(point a, point b, point c) {
  point u = between(a, b), v = between(b, c), middle = tangent(a, b, c), t;
  double lu = sqrt(u.x * u.x + u.y * u.y);
  (void)v;
  t.x = lu > 0 ? 2 * u.x / lu - middle.x : 0, t.y = lu > 0 ? 2 * u.y / lu - middle.y : 0;
  double n = sqrt(t.x * t.x + t.y * t.y);
  if (n > 0) t.x /= n, t.y /= n;
  return t;
}

static void bezier(const outline_curve curve, double t, double value[2], double first[2], double second[2]) {
  double s = 1 - t;
  for (int i = 0; i < 2; i++) {
    double a = curve[0][i], b = curve[1][i], c = curve[2][i], d = curve[3][i];
    value[i] = s * s * s * a + 3 * s * s * t * b + 3 * s * t * t * c + t * t * t * d;
    first[i] = 3 * (s * s * (b - a) + 2 * s * t * (c - b) + t * t * (d - c));
    second[i] = 6 * (s * (c - 2 * b + a) + t * (d - 2 * c + b));
  }
}

enum { MAX_SPAN = 64 };

/* Least-squares cubic from q[0] to q[count - 1] with the given directions at its ends: solves for the two tangent lengths,
 * then moves each point's parameter to the nearest point of the curve, and again. */
static void fit_segment(const point *q, int count, point start, point end, outline_curve curve) {
  double t[MAX_SPAN], chord = 0;
  t[0] = 0;
  for (int i = 1; i < count; i++) {
    point d = between(q[i - 1], q[i]);
    t[i] = t[i - 1] + sqrt(d.x * d.x + d.y * d.y);
  }
  chord = t[count - 1];
  for (int i = 1; i < count; i++) t[i] = chord > 0 ? t[i] / chord : (double)i / (count - 1);
  for (int round = 0; round < 12; round++) {
    double aa = 0, ab = 0, bb = 0, ra = 0, rb = 0;
    for (int i = 1; i + 1 < count; i++) {
      double s = 1 - t[i], f = 3 * s * s * t[i], g = 3 * s * t[i] * t[i], from = s * s * s + f, to = g + t[i] * t[i] * t[i];
      double rx = q[i].x - from * q[0].x - to * q[count - 1].x, ry = q[i].y - from * q[0].y - to * q[count - 1].y;
      aa += f * f, bb += g * g, ab += f * g * -(start.x * end.x + start.y * end.y);
      ra += f * (rx * start.x + ry * start.y), rb -= g * (rx * end.x + ry * end.y);
    }
    double det = aa * bb - ab * ab, a = chord / 3, b = chord / 3;
    if (det > 1e-9 * aa * bb) a = (ra * bb - rb * ab) / det, b = (rb * aa - ra * ab) / det;
    if (!(a > 0.01 * chord)) a = 0.01 * chord;
    if (!(b > 0.01 * chord)) b = 0.01 * chord;
    curve[0][0] = q[0].x, curve[0][1] = q[0].y;
    curve[1][0] = q[0].x + a * start.x, curve[1][1] = q[0].y + a * start.y;
    curve[2][0] = q[count - 1].x - b * end.x, curve[2][1] = q[count - 1].y - b * end.y;
    curve[3][0] = q[count - 1].x, curve[3][1] = q[count - 1].y;
    for (int i = 1; i + 1 < count; i++) {
      double v[2], d[2], dd[2];
      bezier(curve, t[i], v, d, dd);
      double ex = v[0] - q[i].x, ey = v[1] - q[i].y;
      double slope = d[0] * d[0] + d[1] * d[1] + ex * dd[0] + ey * dd[1];
      double next = slope > 0 ? t[i] - (ex * d[0] + ey * d[1]) / slope : t[i];
      if (next > t[i - 1] && next < 1) t[i] = next;
    }
  }
}

void outline_fit(const raster_mesh *mesh, const mesh_outline *c, const raster_camera *camera, outline_curve *curves) {
  size_t n = c->vertex_count;
  for (int s = 0; s < c->segment_count; s++) {
    size_t from = c->canonical[s], to = c->canonical[s + 1];
    int count = (int)(to - from) + 1;
    point q[MAX_SPAN];
    if (count > MAX_SPAN) count = MAX_SPAN;
    for (int i = 0; i < count; i++) {
      size_t at = from + (to - from) * (size_t)i / (size_t)(count - 1);
      q[i] = project(mesh, camera, c->vertices[at % n]);
    }
    point start, end;
    int end_corner = (s + 1) % c->segment_count;
    if (!c->closed && s + 1 == c->segment_count) end_corner = s + 1;
    if (c->corners >> s & 1) {
      start = end_tangent(q[0], q[1], q[2]);
    } else {
      start = tangent(project(mesh, camera, c->vertices[(from + n - 1) % n]), q[0], q[1]);
    }
    if (c->corners >> end_corner & 1) {
      end = end_tangent(q[count - 1], q[count - 2], q[count - 3]);
      end.x = -end.x, end.y = -end.y;
    } else {
      end = tangent(q[count - 2], q[count - 1], project(mesh, camera, c->vertices[(to + 1) % n]));
    }
    fit_segment(q, count, start, end, curves[s]);
  }
}

double outline_error(const raster_mesh *mesh, const mesh_outline *c, const raster_camera *camera, const outline_curve *curves) {
  double worst = 0;
  for (size_t i = 0; i < c->vertex_count; i++) {
    point q = project(mesh, camera, c->vertices[i]);
    double nearest = INFINITY;
    for (int s = 0; s < c->segment_count; s++) {
      for (int k = 0; k <= 100; k++) {
        double v[2], d[2], dd[2];
        bezier(curves[s], k / 100.0, v, d, dd);
        double x = v[0] - q.x, y = v[1] - q.y, distance = sqrt(x * x + y * y);
        if (distance < nearest) nearest = distance;
      }
    }
    if (nearest > worst) worst = nearest;
  }
  return worst;
}
