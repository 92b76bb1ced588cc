/* Numbers of one piece come from closed forms, Newton steps from sampled starts, and Gauss-Legendre sums; those of a path go
 * piece by piece and skip what its control points' boxes rule out.
 *
 * The fit: samples of the path, equally spaced between two anchors, each with the foot of its perpendicular on the current
 * cubic.  Only the distance along the normal of the cubic counts as error (the foot may slide), which converges in a few
 * steps where alternating least squares and re-parameterisation takes hundreds. */

#include "bezier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846

/* ---- one cubic ---- */

static double at_1d(const double p[4], double t) {
  double u = 1 - t;
  return u * u * (u * p[0] + 3 * t * p[1]) + t * t * (3 * u * p[2] + t * p[3]);
}

static double derivative_1d(const double p[4], double t) {
  double u = 1 - t;
  return 3 * (u * u * (p[1] - p[0]) + 2 * u * t * (p[2] - p[1]) + t * t * (p[3] - p[2]));
}

static double second_1d(const double p[4], double t) {
  return 6 * ((1 - t) * (p[2] - 2 * p[1] + p[0]) + t * (p[3] - 2 * p[2] + p[1]));
}

static double hull_size(const roto_cubic *c) {
  double size = 0;
  int i;
  for (i = 1; i < 4; ++i) size = fmax(size, fmax(fabs(c->x[i] - c->x[0]), fabs(c->y[i] - c->y[0])));
  return size;
}

void cubic_tangent(const roto_cubic *c, double t, double tangent[2]) {
  double size = hull_size(c), length;
  roto_cubic_derivative(c, t, tangent);
  length = hypot(tangent[0], tangent[1]);
  if (length <= 1e-9 * size) { /* a control point on its end, or a cusp: the secant from or to a little way inside */
    double a[2], b[2], from = t > 0.5 ? t - 1e-4 : t;
    roto_cubic_at(c, from, a);
    roto_cubic_at(c, from + 1e-4, b);
    tangent[0] = b[0] - a[0];
    tangent[1] = b[1] - a[1];
    length = hypot(tangent[0], tangent[1]);
  }
  tangent[0] = length > 0 ? tangent[0] / length : 0;
  tangent[1] = length > 0 ? tangent[1] / length : 0;
}

enum { NEAREST_SAMPLES = 24 };

double cubic_nearest(const roto_cubic *c, double x, double y, double *distance) {
  double best = INFINITY, best_t = 0, d[NEAREST_SAMPLES + 1];
  int i, k;
  for (i = 0; i <= NEAREST_SAMPLES; ++i) {
    double t = (double)i / NEAREST_SAMPLES, dx = at_1d(c->x, t) - x, dy = at_1d(c->y, t) - y;
    d[i] = dx * dx + dy * dy;
  }
  for (i = 0; i <= NEAREST_SAMPLES; ++i) {
    double t = (double)i / NEAREST_SAMPLES, low = t - 1.0 / NEAREST_SAMPLES, high = t + 1.0 / NEAREST_SAMPLES, dx, dy;
    if ((i > 0 && d[i - 1] < d[i]) || (i < NEAREST_SAMPLES && d[i + 1] < d[i]) || d[i] > 4 * best + 1e-30) continue;
    low = fmax(low, 0);
    high = fmin(high, 1);
    for (k = 0; k < 40 && high - low > 1e-14; ++k) { /* Newton on the derivative of the squared distance, kept in a bracket */
      double px = at_1d(c->x, t) - x, py = at_1d(c->y, t) - y, ax = derivative_1d(c->x, t), ay = derivative_1d(c->y, t);
      double slope = px * ax + py * ay, bend = ax * ax + ay * ay + px * second_1d(c->x, t) + py * second_1d(c->y, t), next;
      if (slope > 0) {
        high = t;
      } else {
        low = t;
      }
      next = bend > 0 ? t - slope / bend : low - 1;
      if (!(next >= low && next <= high)) next = 0.5 * (low + high);
      if (fabs(next - t) < 1e-15) break;
      t = next;
    }
    dx = at_1d(c->x, t) - x;
    dy = at_1d(c->y, t) - y;
    if (dx * dx + dy * dy < best) {
      best = dx * dx + dy * dy;
      best_t = t;
    }
  }
  if (distance) *distance = sqrt(best);
  return best_t;
}

/* The box of the control points holds the curve. */
typedef struct box {
  double low[2], high[2];
} box;

static box box_of(const roto_cubic *c) {
  box b;
  int i;
  b.low[0] = b.high[0] = c->x[0];
  b.low[1] = b.high[1] = c->y[0];
  for (i = 1; i < 4; ++i) {
    b.low[0] = fmin(b.low[0], c->x[i]);
    b.high[0] = fmax(b.high[0], c->x[i]);
    b.low[1] = fmin(b.low[1], c->y[i]);
    b.high[1] = fmax(b.high[1], c->y[i]);
  }
  return b;
}

static double box_distance(const box *b, double x, double y) {
  return hypot(fmax(fmax(b->low[0] - x, x - b->high[0]), 0), fmax(fmax(b->low[1] - y, y - b->high[1]), 0));
}

static double box_gap(const box *a, const box *b) {
  return hypot(fmax(fmax(a->low[0] - b->high[0], b->low[0] - a->high[0]), 0),
               fmax(fmax(a->low[1] - b->high[1], b->low[1] - a->high[1]), 0));
}

typedef struct crossing_search {
  const roto_cubic *a, *b;
  double (*at)[2], tolerance;
  size_t count, limit, visits;
} crossing_search;

/* Newton on a(t) = b(u) from the middle of two short pieces; kept if it ends on both. */
static void add_crossing(crossing_search *s, double t, double u) {
  double p[2], q[2], da[2], db[2];
  size_t i;
  int k;
  for (k = 0; k < 20; ++k) {
    double ex, ey, determinant, dt, du;
    roto_cubic_at(s->a, t, p);
    roto_cubic_at(s->b, u, q);
    roto_cubic_derivative(s->a, t, da);
    roto_cubic_derivative(s->b, u, db);
    ex = q[0] - p[0];
    ey = q[1] - p[1];
    determinant = db[0] * da[1] - da[0] * db[1];
    if (fabs(determinant) <= 1e-14 * (hypot(da[0], da[1]) * hypot(db[0], db[1]) + 1e-300)) break;
    dt = (db[0] * ey - db[1] * ex) / determinant;
    du = (da[0] * ey - da[1] * ex) / determinant;
    t = fmin(fmax(t + dt, 0), 1);
    u = fmin(fmax(u + du, 0), 1);
    if (fabs(dt) + fabs(du) < 1e-15) break;
  }
  roto_cubic_at(s->a, t, p);
  roto_cubic_at(s->b, u, q);
  if (hypot(p[0] - q[0], p[1] - q[1]) > s->tolerance) return;
  for (i = 0; i < s->count; ++i) {
    if (fabs(s->at[i][0] - t) < 1e-6 && fabs(s->at[i][1] - u) < 1e-6) return;
  }
  if (s->count == s->limit) return;
  s->at[s->count][0] = t;
  s->at[s->count++][1] = u;
}

static void search_crossings(crossing_search *s, const roto_cubic *a, double a0, double a1, const roto_cubic *b, double b0,
                             double b1, int depth) {
  box box_a = box_of(a), box_b = box_of(b);
  roto_cubic left, right;
  if (box_gap(&box_a, &box_b) > s->tolerance || s->count == s->limit || ++s->visits > 20000) return;
  if (depth == 0) {
    add_crossing(s, 0.5 * (a0 + a1), 0.5 * (b0 + b1));
    return;
  }
  if (hull_size(a) > hull_size(b)) {
    roto_cubic_split(a, 0.5, &left, &right);
    search_crossings(s, &left, a0, 0.5 * (a0 + a1), b, b0, b1, depth - 1);
    search_crossings(s, &right, 0.5 * (a0 + a1), a1, b, b0, b1, depth - 1);
  } else {
    roto_cubic_split(b, 0.5, &left, &right);
    search_crossings(s, a, a0, a1, &left, b0, 0.5 * (b0 + b1), depth - 1);
    search_crossings(s, a, a0, a1, &right, 0.5 * (b0 + b1), b1, depth - 1);
  }
}

size_t cubic_intersect(const roto_cubic *a, const roto_cubic *b, double (*at)[2], size_t limit) {
  crossing_search s = {a, b, at, 0, 0, limit, 0};
  s.tolerance = 1e-9 * (hull_size(a) + hull_size(b));
  search_crossings(&s, a, 0, 1, b, 0, 1, 16);
  return s.count;
}

/* ---- paths ---- */

int path_create(bezier_path *p, const roto_cubic *pieces, size_t count, int closed) {
  size_t i;
  memset(p, 0, sizeof *p);
  p->closed = closed;
  p->pieces = calloc(count + 1, sizeof *p->pieces);
  p->starts = calloc(count + 1, sizeof *p->starts);
  if (!p->pieces || !p->starts) {
    path_free(p);
    return -1;
  }
  for (i = 0; i < count; ++i) {
    double length = roto_cubic_length(&pieces[i], 1);
    if (!(length > 1e-9)) continue;
    p->pieces[p->count] = pieces[i];
    p->starts[p->count + 1] = p->starts[p->count] + length;
    ++p->count;
  }
  return 0;
}

void path_free(bezier_path *p) {
  free(p->pieces);
  free(p->starts);
  memset(p, 0, sizeof *p);
}

double path_length(const bezier_path *p) {
  return p->starts[p->count];
}

double path_area(const bezier_path *p) {
  /* Green's theorem; the integrand is a polynomial of degree 5, exact with 3 Gauss nodes. */
  static const double node[3] = {0.1127016653792583, 0.5, 0.8872983346207417};
  static const double weight[3] = {5.0 / 18, 8.0 / 18, 5.0 / 18};
  double sum = 0, q[2], d[2];
  size_t i;
  int k;
  for (i = 0; i < p->count; ++i) {
    for (k = 0; k < 3; ++k) {
      roto_cubic_at(&p->pieces[i], node[k], q);
      roto_cubic_derivative(&p->pieces[i], node[k], d);
      sum += weight[k] * 0.5 * ((q[0] - p->pieces[0].x[0]) * d[1] - (q[1] - p->pieces[0].y[0]) * d[0]);
    }
  }
  return sum;
}

void path_reverse(bezier_path *p) {
  double length = path_length(p);
  size_t i, k;
  for (i = 0; i < p->count / 2; ++i) {
    roto_cubic c = p->pieces[i];
    p->pieces[i] = p->pieces[p->count - 1 - i];
    p->pieces[p->count - 1 - i] = c;
  }
  for (i = 0; i < p->count; ++i) {
    roto_cubic c = p->pieces[i];
    for (k = 0; k < 4; ++k) {
      p->pieces[i].x[k] = c.x[3 - k];
      p->pieces[i].y[k] = c.y[3 - k];
    }
  }
  for (i = 0; i < (p->count + 1) / 2; ++i) {
    double start = p->starts[i];
    p->starts[i] = p->starts[p->count - i];
    p->starts[p->count - i] = start;
  }
  for (i = 0; i <= p->count; ++i) p->starts[i] = length - p->starts[i];
}

static double wrap(const bezier_path *p, double s) {
  double length = path_length(p);
  if (!p->closed) return fmin(fmax(s, 0), length);
  s = fmod(s, length);
  return s < 0 ? s + length : s;
}

/* Piece and parameter of the place s. */
static size_t locate(const bezier_path *p, double s, double *t) {
  size_t low = 0, high = p->count - 1;
  double rest, low_t = 0, high_t = 1, length;
  int k;
  s = wrap(p, s);
  while (low < high) {
    size_t middle = (low + high + 1) / 2;
    if (p->starts[middle] <= s) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  rest = s - p->starts[low];
  length = p->starts[low + 1] - p->starts[low];
  *t = fmin(rest / length, 1);
  for (k = 0; k < 50 && high_t - low_t > 1e-14; ++k) {
    double excess = roto_cubic_length(&p->pieces[low], *t) - rest, d[2], speed, next;
    if (fabs(excess) <= 1e-12 * length) break;
    if (excess > 0) {
      high_t = *t;
    } else {
      low_t = *t;
    }
    roto_cubic_derivative(&p->pieces[low], *t, d);
    speed = hypot(d[0], d[1]);
    next = speed > 0 ? *t - excess / speed : -1;
    *t = next > low_t && next < high_t ? next : 0.5 * (low_t + high_t);
  }
  return low;
}

static double place_of(const bezier_path *p, size_t piece, double t) {
  return p->starts[piece] + roto_cubic_length(&p->pieces[piece], t);
}

void path_at(const bezier_path *p, double s, double point[2], double tangent[2]) {
  double t, other[2], length;
  size_t i = locate(p, s, &t), beside = i;
  if (point) roto_cubic_at(&p->pieces[i], t, point);
  if (!tangent) return;
  cubic_tangent(&p->pieces[i], t, tangent);
  if (t * (p->starts[i + 1] - p->starts[i]) < 1e-7) {
    beside = i > 0 ? i - 1 : p->closed ? p->count - 1 : i;
    if (beside != i || p->closed) cubic_tangent(&p->pieces[beside], 1, other);
  } else if ((1 - t) * (p->starts[i + 1] - p->starts[i]) < 1e-7) {
    beside = i + 1 < p->count ? i + 1 : p->closed ? 0 : i;
    if (beside != i || p->closed) cubic_tangent(&p->pieces[beside], 0, other);
  } else {
    return;
  }
  if (beside == i && !p->closed) return;
  length = hypot(tangent[0] + other[0], tangent[1] + other[1]);
  if (length < 1e-9) return; /* it turns back: either side's is as good */
  tangent[0] = (tangent[0] + other[0]) / length;
  tangent[1] = (tangent[1] + other[1]) / length;
}

double path_nearest(const bezier_path *p, double x, double y, double *distance) {
  double best = INFINITY, best_t = 0;
  size_t i, best_piece = 0;
  for (i = 0; i < p->count; ++i) {
    box b = box_of(&p->pieces[i]);
    double d, t;
    if (box_distance(&b, x, y) >= best) continue;
    t = cubic_nearest(&p->pieces[i], x, y, &d);
    if (d < best) {
      best = d;
      best_t = t;
      best_piece = i;
    }
  }
  if (distance) *distance = best;
  return wrap(p, place_of(p, best_piece, best_t));
}

double path_sample(const bezier_path *p, double s, unsigned count) {
  double t, best = INFINITY, result = s;
  size_t i = locate(p, s, &t);
  unsigned k = (unsigned)(t * (count - 1)), end = k + 2;
  for (; k < end && k < count; ++k) {
    double place = place_of(p, i, (double)k / (count - 1)), d = fabs(place - wrap(p, s));
    if (d < best) {
      best = d;
      result = place;
    }
  }
  return wrap(p, result);
}

double path_approach_samples(const bezier_path *a, const bezier_path *b, unsigned count, double tolerance) {
  double(*other)[2] = malloc((b->count * count + 1) * sizeof *other), best = INFINITY, place = -1, p[2];
  size_t i, j, n = 0;
  if (!other) return -1;
  for (i = 0; i < b->count; ++i) {
    for (j = 0; j < count; ++j) roto_cubic_at(&b->pieces[i], (double)j / (count - 1), other[n++]);
  }
  for (i = 0; i < a->count * count; ++i) {
    double t = (double)(i % count) / (count - 1), nearest = INFINITY;
    roto_cubic_at(&a->pieces[i / count], t, p);
    for (j = 0; j < n; ++j) nearest = fmin(nearest, hypot(p[0] - other[j][0], p[1] - other[j][1]));
    if (nearest > best + tolerance) continue;
    best = fmin(best, nearest);
    place = place_of(a, i / count, t);
  }
  free(other);
  return wrap(a, place);
}

double path_extreme(const bezier_path *p, double dx, double dy) {
  double best = -INFINITY, best_t = 0;
  size_t i, best_piece = 0;
  for (i = 0; i < p->count; ++i) {
    double w[4], t[4], a, b, c;
    int k, count = 2;
    for (k = 0; k < 4; ++k) w[k] = p->pieces[i].x[k] * dx + p->pieces[i].y[k] * dy;
    t[0] = 0;
    t[1] = 1;
    a = w[3] - 3 * w[2] + 3 * w[1] - w[0];
    b = 2 * (w[2] - 2 * w[1] + w[0]);
    c = w[1] - w[0];
    if (b * b - 4 * a * c >= 0) { /* roots of a t^2 + b t + c without cancellation */
      double q = -0.5 * (b + copysign(sqrt(b * b - 4 * a * c), b));
      if (a != 0) t[count++] = q / a;
      if (q != 0) t[count++] = c / q;
    }
    for (k = 0; k < count; ++k) {
      double value = t[k] >= 0 && t[k] <= 1 ? at_1d(w, t[k]) : -INFINITY;
      if (value > best) {
        best = value;
        best_t = t[k];
        best_piece = i;
      }
    }
  }
  return wrap(p, place_of(p, best_piece, best_t));
}

static int by_first(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Distance of two places along a path. */
static double between(const bezier_path *p, double a, double b) {
  double d = fabs(a - b);
  return p->closed ? fmin(d, path_length(p) - d) : d;
}

size_t path_intersect(const bezier_path *a, const bezier_path *b, double (*at)[2], size_t limit) {
  double found[9][2];
  size_t i, k, m, n, count = 0;
  for (i = 0; i < a->count; ++i) {
    for (k = 0; k < b->count; ++k) {
      n = cubic_intersect(&a->pieces[i], &b->pieces[k], found, 9);
      while (n-- > 0 && count < limit) {
        double s = wrap(a, place_of(a, i, found[n][0])), u = wrap(b, place_of(b, k, found[n][1]));
        for (m = 0; m < count; ++m) { /* found from both sides of a vertex */
          if (between(a, at[m][0], s) < 1e-6 && between(b, at[m][1], u) < 1e-6) break;
        }
        if (m < count) continue;
        at[count][0] = s;
        at[count++][1] = u;
      }
    }
  }
  qsort(at, count, sizeof *at, by_first);
  return count;
}

double path_approach(const bezier_path *a, const bezier_path *b, double *on_b, double *distance) {
  enum { SAMPLES = 16 };
  double best = INFINITY, s = 0, u = 0, p[2], d;
  size_t i, k;
  for (i = 0; i < b->count; ++i) {
    for (k = 0; k <= SAMPLES; ++k) {
      double place;
      roto_cubic_at(&b->pieces[i], (double)k / SAMPLES, p);
      place = path_nearest(a, p[0], p[1], &d);
      if (d >= best) continue;
      best = d;
      s = place;
    }
  }
  for (k = 0; k < 200; ++k) { /* from one to the other and back: each step shortens the distance */
    double before = best;
    path_at(a, s, p, NULL);
    u = path_nearest(b, p[0], p[1], NULL);
    path_at(b, u, p, NULL);
    s = path_nearest(a, p[0], p[1], &best);
    if (before - best < 1e-12 * (1 + before) && k > 0) break;
  }
  if (on_b) *on_b = u;
  if (distance) *distance = best;
  return s;
}

size_t path_corners(const bezier_path *p, double radians, double *at, size_t limit) {
  size_t i, count = 0;
  for (i = p->closed ? 0 : 1; i < p->count && count < limit; ++i) {
    double in[2], out[2];
    cubic_tangent(&p->pieces[i ? i - 1 : p->count - 1], 1, in);
    cubic_tangent(&p->pieces[i], 0, out);
    if (acos(fmin(fmax(in[0] * out[0] + in[1] * out[1], -1), 1)) >= radians) at[count++] = p->starts[i];
  }
  return count;
}

void path_distance(const bezier_path *from, const bezier_path *to, double *mean, double *maximum) {
  enum { SAMPLES = 400 };
  double sum = 0, highest = 0, length = path_length(from);
  size_t i;
  for (i = 0; i < SAMPLES; ++i) {
    double p[2], d;
    path_at(from, length * ((double)i + 0.5) / SAMPLES, p, NULL);
    path_nearest(to, p[0], p[1], &d);
    sum += d;
    highest = fmax(highest, d);
  }
  *mean = sum / SAMPLES;
  *maximum = highest;
}

/* ---- the fit ---- */

enum { FIT_SAMPLES = 32, FIT_STEPS = 40 };
/* Shares of the arc between two anchors: where the direction beside a corner is looked at, and bounds of a tangent's length (a
 * half circle's is 0.42). */
#define CORNER_REACH 0.08
#define SHORTEST 0.02
#define LONGEST 0.6
/* How far a direction may turn from that of the path, radians.  Distances from the path to the cubics do not see a spike that
 * sticks out of a corner and comes back; without this bound one fit in twenty had one. */
#define MOST_TURN 0.8

/* Where the numbers of one fitted cubic stand among the unknowns: angle of the tangent at its start and at its end (of both
 * the direction in which the path runs) and the two lengths. */
typedef struct fit_cubic {
  size_t angle[2], length[2];
  double end[2][2], arc;
  double sample[FIT_SAMPLES][2], foot[FIT_SAMPLES];
} fit_cubic;

static roto_cubic cubic_of(const fit_cubic *f, const double *unknown) {
  roto_cubic c;
  double a = unknown[f->length[0]], b = unknown[f->length[1]];
  c.x[0] = f->end[0][0];
  c.y[0] = f->end[0][1];
  c.x[1] = c.x[0] + a * cos(unknown[f->angle[0]]);
  c.y[1] = c.y[0] + a * sin(unknown[f->angle[0]]);
  c.x[3] = f->end[1][0];
  c.y[3] = f->end[1][1];
  c.x[2] = c.x[3] - b * cos(unknown[f->angle[1]]);
  c.y[2] = c.y[3] - b * sin(unknown[f->angle[1]]);
  return c;
}

/* The foot of the perpendicular near t: a few Newton steps, as the samples keep their order along the curve. */
static double foot_near(const roto_cubic *c, double x, double y, double t) {
  int k;
  for (k = 0; k < 4; ++k) {
    double px = at_1d(c->x, t) - x, py = at_1d(c->y, t) - y, ax = derivative_1d(c->x, t), ay = derivative_1d(c->y, t);
    double speed = ax * ax + ay * ay, bend = speed + px * second_1d(c->x, t) + py * second_1d(c->y, t), step;
    if (speed == 0) break;
    step = (px * ax + py * ay) / (bend > 0.2 * speed ? bend : speed);
    t = fmin(fmax(t - fmin(fmax(step, -0.1), 0.1), 0), 1);
  }
  return t;
}

/* Sum of squared distances; feet are moved along. */
static double fit_error(fit_cubic *f, size_t count, const double *unknown) {
  double sum = 0;
  size_t i;
  int k;
  for (i = 0; i < count; ++i) {
    roto_cubic c = cubic_of(&f[i], unknown);
    for (k = 0; k < FIT_SAMPLES; ++k) {
      double *q = f[i].sample[k], t = f[i].foot[k] = foot_near(&c, q[0], q[1], f[i].foot[k]);
      double dx = at_1d(c.x, t) - q[0], dy = at_1d(c.y, t) - q[1];
      sum += dx * dx + dy * dy;
    }
  }
  return sum;
}

/* Normal equations of the distances along the normal; matrix is [n][n], only its lower triangle. */
static void fit_equations(const fit_cubic *f, size_t count, const double *unknown, size_t n, double *matrix, double *right) {
  size_t i;
  int k, r, s;
  memset(matrix, 0, n * n * sizeof *matrix);
  memset(right, 0, n * sizeof *right);
  for (i = 0; i < count; ++i) {
    roto_cubic c = cubic_of(&f[i], unknown);
    size_t index[4];
    double ca = cos(unknown[f[i].angle[0]]), sa = sin(unknown[f[i].angle[0]]), a = unknown[f[i].length[0]];
    double cb = cos(unknown[f[i].angle[1]]), sb = sin(unknown[f[i].angle[1]]), b = unknown[f[i].length[1]];
    index[0] = f[i].angle[0];
    index[1] = f[i].length[0];
    index[2] = f[i].angle[1];
    index[3] = f[i].length[1];
    for (k = 0; k < FIT_SAMPLES; ++k) {
      double t = f[i].foot[k], u = 1 - t, tangent[2], normal[2], residual, row[4];
      double wa = 3 * u * u * t, wb = -3 * u * t * t;
      cubic_tangent(&c, t, tangent);
      normal[0] = -tangent[1];
      normal[1] = tangent[0];
      residual = normal[0] * (at_1d(c.x, t) - f[i].sample[k][0]) + normal[1] * (at_1d(c.y, t) - f[i].sample[k][1]);
      row[0] = wa * a * (-sa * normal[0] + ca * normal[1]);
      row[1] = wa * (ca * normal[0] + sa * normal[1]);
      row[2] = wb * b * (-sb * normal[0] + cb * normal[1]);
      row[3] = wb * (cb * normal[0] + sb * normal[1]);
      for (r = 0; r < 4; ++r) {
        right[index[r]] -= row[r] * residual;
        for (s = 0; s < 4; ++s) {
          if (index[s] <= index[r]) matrix[index[r] * n + index[s]] += row[r] * row[s];
        }
      }
    }
  }
}

/* Cholesky's method in place on the lower triangle; the solution replaces the right side.  0 if the matrix is not positive. */
static int solve(double *matrix, double *right, size_t n) {
  size_t i, k, m;
  for (i = 0; i < n; ++i) {
    for (k = 0; k <= i; ++k) {
      double sum = matrix[i * n + k];
      for (m = 0; m < k; ++m) sum -= matrix[i * n + m] * matrix[k * n + m];
      if (k < i) {
        matrix[i * n + k] = sum / matrix[k * n + k];
      } else {
        if (!(sum > 0)) return 0;
        matrix[i * n + i] = sqrt(sum);
      }
    }
  }
  for (i = 0; i < n; ++i) {
    for (m = 0; m < i; ++m) right[i] -= matrix[i * n + m] * right[m];
    right[i] /= matrix[i * n + i];
  }
  for (i = n; i-- > 0;) {
    for (m = i + 1; m < n; ++m) right[i] -= matrix[m * n + i] * right[m];
    right[i] /= matrix[i * n + i];
  }
  return 1;
}

/* Room for the fit of n unknowns. */
typedef struct fit_room {
  fit_cubic *cubics;
  double *unknown, *trial, *first, *matrix, *right;
  size_t angle_count; /* angles come before lengths */
} fit_room;

static void fit_run(fit_room *room, size_t count, size_t n) {
  double damping = 1e-3, error = fit_error(room->cubics, count, room->unknown);
  size_t i;
  int step, attempt, better = 1;
  for (step = 0; step < FIT_STEPS && better; ++step) {
    better = 0;
    for (attempt = 0; attempt < 8; ++attempt) {
      double tried;
      fit_equations(room->cubics, count, room->unknown, n, room->matrix, room->right);
      for (i = 0; i < n; ++i) room->matrix[i * n + i] += damping * room->matrix[i * n + i] + 1e-9;
      if (solve(room->matrix, room->right, n)) {
        for (i = 0; i < n; ++i) room->trial[i] = room->unknown[i] + room->right[i];
        for (i = 0; i < room->angle_count; ++i) {
          room->trial[i] = fmin(fmax(room->trial[i], room->first[i] - MOST_TURN), room->first[i] + MOST_TURN);
        }
        for (i = 0; i < count; ++i) {
          const fit_cubic *f = &room->cubics[i];
          int side;
          for (side = 0; side < 2; ++side) {
            double *length = &room->trial[f->length[side]];
            *length = fmin(fmax(*length, SHORTEST * f->arc), LONGEST * f->arc);
          }
        }
        tried = fit_error(room->cubics, count, room->trial);
        if (tried < error) {
          better = tried < error * (1 - 1e-7);
          error = tried;
          memcpy(room->unknown, room->trial, n * sizeof *room->unknown);
          damping = fmax(damping * 0.2, 1e-9);
          break;
        }
        fit_error(room->cubics, count, room->unknown); /* puts the feet back */
      }
      damping *= 6;
    }
  }
}

/* The way from anchor i to the next. */
static double span_after(const bezier_path *p, const double *at, size_t count, size_t i) {
  double span = at[(i + 1) % count] - at[i];
  return p->closed && span <= 0 ? span + path_length(p) : span;
}

int path_fit(const bezier_path *p, const double *at, const unsigned char *corner, size_t count, roto_cubic *cubics) {
  size_t cubic_count = p->closed ? count : count - 1, limit = 4 * count, n = 0, i;
  fit_room room;
  int k, result = -1;
  memset(&room, 0, sizeof room);
  room.cubics = calloc(cubic_count, sizeof *room.cubics);
  room.unknown = calloc(limit, sizeof(double));
  room.trial = calloc(limit, sizeof(double));
  room.right = calloc(limit, sizeof(double));
  room.first = calloc(limit, sizeof(double));
  room.matrix = calloc(limit * limit, sizeof(double));
  if (room.cubics && room.unknown && room.trial && room.first && room.right && room.matrix) {
    for (i = 0; i < count; ++i) { /* angles */
      int starts = p->closed || i + 1 < count, ends = p->closed || i > 0, two = starts && ends && corner && corner[i];
      size_t before = (i + count - 1) % count;
      double tangent[2];
      for (k = 0; k < 1 + two; ++k) {
        /* The corner of the path may stand a little beside its anchor: look beyond it. */
        double away = two ? CORNER_REACH * (k ? span_after(p, at, count, i) : -span_after(p, at, count, before)) : 0;
        path_at(p, at[i] + away, NULL, tangent);
        room.unknown[n + (size_t)k] = atan2(tangent[1], tangent[0]);
      }
      if (ends) room.cubics[before].angle[1] = n;
      if (starts) room.cubics[i].angle[0] = n + (size_t)two;
      n += 1 + (size_t)two;
    }
    room.angle_count = n;
    memcpy(room.first, room.unknown, n * sizeof *room.first);
    for (i = 0; i < cubic_count; ++i) {
      fit_cubic *f = &room.cubics[i];
      double span = span_after(p, at, count, i);
      path_at(p, at[i], f->end[0], NULL);
      path_at(p, at[i] + span, f->end[1], NULL);
      f->arc = span;
      for (k = 0; k < 2; ++k) {
        f->length[k] = n;
        room.unknown[n++] = span / 3;
      }
      for (k = 0; k < FIT_SAMPLES; ++k) {
        f->foot[k] = (k + 0.5) / FIT_SAMPLES;
        path_at(p, at[i] + span * f->foot[k], f->sample[k], NULL);
      }
    }
    fit_run(&room, cubic_count, n);
    for (i = 0; i < cubic_count; ++i) cubics[i] = cubic_of(&room.cubics[i], room.unknown);
    result = 0;
  }
  free(room.cubics);
  free(room.unknown);
  free(room.trial);
  free(room.first);
  free(room.right);
  free(room.matrix);
  return result;
}
