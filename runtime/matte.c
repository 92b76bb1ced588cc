/* Mattes: the exact area of every pixel that a list of shapes covers, in one sweep down the rows.
 *
 * Curves become polylines.  A row of pixels is cut into bands at every end and every crossing of its edges; inside a band edges
 * span it whole and never cross, so one walk from left to right with winding numbers tells which edges bound the covered area,
 * by whatever rule: non-zero, even-odd, shapes that add and shapes that subtract.  Each such edge adds its trapezoid, signed, to
 * the row's accumulator, as differences between neighbouring pixels; the running sum of the row is the coverage.  Pixels come in
 * blocks of 16 and only blocks that an edge touches are summed; between them the coverage is constant.
 *
 * Neighbouring hard shapes of the list are swept together (a group), so that shapes with a common edge leave no seam.  A feathered
 * shape is a group of its own; its ramp is the distance to its edges over the feather there, the nearest edge winning. */

#ifndef ROTOI_MATTE
#define ROTOI_MATTE

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "cpu.c"
#include "bezier.c"

enum { ROTOI_BLOCK = 16, ROTOI_UNCOVERED = 0, ROTOI_ADDED = 1, ROTOI_REMOVED = 2 };
enum { ROTOI_EMPTY = 0, ROTOI_SOLID = 1, ROTOI_MIXED = 2 }; /* what a block of a row is; only mixed ones have values */

static const double rotoi_flatness = 1.0 / 128; /* pixels */
static const float rotoi_far = 1e30f;           /* a ratio of distance to feather, squared, where no ramp is near */

/* Pixels of the matte; y0 < y1. */
typedef struct rotoi_edge {
  double x0, y0, y1, slope; /* slope: x to a step of y */
  int32_t winding;          /* +1 down, -1 up */
  uint32_t shape;           /* in the whole list */
  uint32_t next;            /* the next edge that begins in this row, or ROTO_NONE */
} rotoi_edge;

/* A piece of a feathered outline: point a + t e has the feather w + t dw, of either sign but not of both. */
typedef struct rotoi_ramp {
  float ax, ay, ex, ey, w, dw;
  int32_t top, bottom; /* rows it reaches */
} rotoi_ramp;

/* Shapes of one moment that are swept together. */
typedef struct rotoi_group {
  size_t shape, shape_end, ramp, ramp_end;
  size_t active, active_count; /* edges of the current row, in rotoi_matte.active */
  size_t starts;               /* of this group's rows, in rotoi_matte.starts */
  int32_t top, bottom;         /* rows */
} rotoi_group;

typedef struct rotoi_matte {
  const roto_allocator *allocator;
  const roto_matte_shape *shapes;
  double x, y, scale;
  int32_t width, height, blocks;
  rotoi_edge *edges;
  rotoi_ramp *ramps;
  size_t edge_count, edge_room, ramp_count, ramp_room;
  uint32_t *starts; /* first edge that begins in a row, a group and row */
  uint32_t *active, *band;
  double *top_x, *bottom_x;                             /* of the edges of a band */
  int32_t *winding;                                     /* a shape */
  float *added, *removed;                               /* accumulators, width + 2 rounded up to blocks, plus one */
  float *row, *sum, *near_out, *near_in, *w_out, *w_in; /* ramps: smallest (distance / feather)^2, and that feather */
  void (*ramp_block)(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of); /* for this machine */
  unsigned char *touched, *kind, *sum_kind;                                               /* a block */
  uint32_t shape;                                                                         /* whose outline is being made */
  int feathered, failed;
} rotoi_matte;

/* Room for one more element, doubling; 0 if there is no memory. */
static int rotoi_grow(const roto_allocator *allocator, void **data, size_t count, size_t *room, size_t size) {
  if (count < *room) return 1;
  size_t bytes, wanted = *room ? 2 * *room : 1024;
  void *grown = rotoi_mul(wanted, size, &bytes) ? rotoi_alloc(allocator, bytes) : NULL;
  if (!grown) return 0;
  if (count) memcpy(grown, *data, count * size);
  rotoi_free(allocator, *data);
  *data = grown;
  *room = wanted;
  return 1;
}

static int32_t rotoi_floor(double v) {
  int32_t i = (int32_t)v;
  return i - (v < i);
}

/* ---- outlines ---- */

/* A point of an outline in pixels of the matte, and the feather there. */
typedef struct rotoi_vertex {
  double x, y, w;
} rotoi_vertex;

static void rotoi_add_ramp(rotoi_matte *m, rotoi_vertex a, rotoi_vertex b) {
  if ((a.w < 0 && b.w > 0) || (a.w > 0 && b.w < 0)) { /* inwards on one side, outwards on the other: two pieces */
    double t = a.w / (a.w - b.w);
    rotoi_vertex middle = {a.x + t * (b.x - a.x), a.y + t * (b.y - a.y), 0};
    rotoi_add_ramp(m, a, middle);
    rotoi_add_ramp(m, middle, b);
    return;
  }
  if (!m->feathered || (a.w == 0 && b.w == 0)) return;
  void *ramps = m->ramps;
  if (!rotoi_grow(m->allocator, &ramps, m->ramp_count, &m->ramp_room, sizeof *m->ramps)) {
    m->failed = 1;
    return;
  }
  m->ramps = (rotoi_ramp *)ramps;
  double wa = a.w < 0 ? -a.w : a.w, wb = b.w < 0 ? -b.w : b.w, reach = (wa > wb ? wa : wb) + 1;
  rotoi_ramp r = {(float)a.x, (float)a.y, (float)(b.x - a.x), (float)(b.y - a.y), (float)a.w, (float)(b.w - a.w), 0, 0};
  r.top = rotoi_floor((a.y < b.y ? a.y : b.y) - reach);
  r.bottom = rotoi_floor((a.y < b.y ? b.y : a.y) + reach) + 1;
  m->ramps[m->ramp_count++] = r;
}

static void rotoi_add_edge(rotoi_matte *m, rotoi_vertex a, rotoi_vertex b) {
  int up = a.y > b.y;
  if (up) {
    rotoi_vertex t = a;
    a = b, b = t;
  }
  if (!(a.y < b.y) || b.y <= 0 || a.y >= m->height || (a.x >= m->width && b.x >= m->width)) return;
  void *edges = m->edges;
  if (m->edge_count >= ROTO_NONE || !rotoi_grow(m->allocator, &edges, m->edge_count, &m->edge_room, sizeof *m->edges)) {
    m->failed = 1;
    return;
  }
  m->edges = (rotoi_edge *)edges;
  rotoi_edge e = {a.x, a.y, b.y, (b.x - a.x) / (b.y - a.y), up ? -1 : 1, m->shape, ROTO_NONE};
  m->edges[m->edge_count++] = e;
}

/* How many chords of the outline make one piece of a ramp: a chord that leaves the curve by f/128 changes the ramp by 1/128. */
static uint32_t rotoi_ramp_stride(double wa, double wb) {
  double a = wa < 0 ? -wa : wa, b = wb < 0 ? -wb : wb, least = a < b ? a : b;
  return least > 4 ? (uint32_t)rotoi_sqrt(least / 128 / rotoi_flatness) : 1;
}

/* Outline of a closed path.  Inner points of the polyline stand off the curve by 2/3 of the height of the chords' arcs, so that
 * the polygon cuts as much off on one side as it adds on the other: the area is that of the curve. */
static void rotoi_outline(rotoi_matte *m, const roto_path *path, double feather) {
  rotoi_vertex from = {0, 0, 0}, soft, to;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    double wa = path->vertices[i].feather, wb = path->vertices[i + 1 < path->vertex_count ? i + 1 : 0].feather;
    for (int k = 0; k < 4; ++k) c.x[k] = (c.x[k] - m->x) * m->scale, c.y[k] = (c.y[k] - m->y) * m->scale;
    uint32_t n = roto_cubic_steps(&c, rotoi_flatness);
    double bend[4] = {c.x[0] - 2 * c.x[1] + c.x[2], c.x[1] - 2 * c.x[2] + c.x[3], c.y[0] - 2 * c.y[1] + c.y[2],
                      c.y[1] - 2 * c.y[2] + c.y[3]};
    from.x = c.x[0], from.y = c.y[0], from.w = (wa + feather) * m->scale;
    soft = from;
    uint32_t stride = rotoi_ramp_stride((wa + feather) * m->scale, (wb + feather) * m->scale), taken = 0;
    for (uint32_t k = 1; k <= n; ++k, from = to) {
      double t = (double)k / n, off = k < n ? 0.5 / ((double)n * n) : 0, point[2];
      roto_cubic_at(&c, t, point);
      to.x = k < n ? point[0] - off * (bend[0] + t * (bend[1] - bend[0])) : c.x[3];
      to.y = k < n ? point[1] - off * (bend[2] + t * (bend[3] - bend[2])) : c.y[3];
      to.w = (wa + t * (wb - wa) + feather) * m->scale;
      rotoi_add_edge(m, from, to);
      if (!m->feathered || (++taken < stride && k < n)) continue;
      rotoi_add_ramp(m, soft, to);
      soft = to, taken = 0;
    }
  }
}

/* ---- open paths: the union of all discs along the path, as one outline that never groups backwards around covered area ---- */

/* An outline under construction: lines from the last point to the next. */
typedef struct rotoi_pen {
  rotoi_matte *m;
  rotoi_vertex at, first;
  int down;
} rotoi_pen;

static void rotoi_line_to(rotoi_pen *pen, double x, double y, double w) {
  rotoi_vertex to = {x, y, w};
  if (pen->down)
    rotoi_add_edge(pen->m, pen->at, to), rotoi_add_ramp(pen->m, pen->at, to);
  else
    pen->first = to;
  pen->at = to;
  pen->down = 1;
}

/* From p + r a to p + r b, where a and b are unit and less than half a turn apart: halved until the chord is close enough. */
static void rotoi_arc_to(rotoi_pen *pen, rotoi_vertex p, double r, double ax, double ay, double bx, double by) {
  double mx = ax + bx, my = ay + by, length = rotoi_hypot(mx, my);
  if (length > 0 && r * (1 - length / 2) > rotoi_flatness) {
    rotoi_arc_to(pen, p, r, ax, ay, mx / length, my / length);
    rotoi_arc_to(pen, p, r, mx / length, my / length, bx, by);
  } else {
    rotoi_line_to(pen, p.x + r * bx, p.y + r * by, p.w);
  }
}

/* One side of the stroke, left of the direction of travel (right on the screen, y being down), then half a disc around the
 * end.  Travels from points[0] by `step` to the last of `count` points. */
static void rotoi_stroke_side(rotoi_pen *pen, const rotoi_vertex *points, size_t count, ptrdiff_t step, double r) {
  double px = 0, py = 0, before = 0; /* direction and length of the piece before */
  for (size_t i = 0; i + 1 < count; ++i, points += step) {
    rotoi_vertex p = points[0], q = points[step];
    double length = rotoi_hypot(q.x - p.x, q.y - p.y), dx = (q.x - p.x) / length, dy = (q.y - p.y) / length;
    double cross = px * dy - py * dx, dot = px * dx + py * dy;
    /* Normals: (-dy, dx) is on the outer side of a turn with cross < 0. */
    if (i > 0 && cross <= 0) {
      if (dot < -0.9) {
        rotoi_arc_to(pen, p, r, -py, px, px, py);
        rotoi_arc_to(pen, p, r, px, py, -dy, dx);
      } else {
        rotoi_arc_to(pen, p, r, -py, px, -dy, dx);
      }
    } else if (i > 0) {
      double tangent = dot > -0.9 ? cross / (1 + dot) : 1e9; /* of half the turn */
      if (r * tangent <= (before < length ? before : length) / 2) {
        rotoi_line_to(pen, p.x - r * py - r * tangent * px, p.y + r * px - r * tangent * py, p.w);
      } else { /* pieces shorter than the width: by way of the path itself, so that the overlap winds the same way */
        rotoi_line_to(pen, p.x - r * py, p.y + r * px, p.w);
        rotoi_line_to(pen, p.x, p.y, p.w);
        rotoi_line_to(pen, p.x - r * dy, p.y + r * dx, p.w);
      }
    } else {
      rotoi_line_to(pen, p.x - r * dy, p.y + r * dx, p.w);
    }
    px = dx, py = dy, before = length;
  }
  rotoi_line_to(pen, points->x - r * py, points->y + r * px, points->w);
  rotoi_arc_to(pen, *points, r, -py, px, px, py);
  rotoi_arc_to(pen, *points, r, px, py, py, -px);
}

static void rotoi_stroke(rotoi_matte *m, const roto_path *path, double width, double feather) {
  double r = width / 2 * m->scale;
  size_t count = 0, room = 0;
  void *points = NULL;
  uint32_t segments = roto_path_segments(path), pieces = segments ? segments : path->vertex_count; /* one vertex: a dot */
  for (uint32_t i = 0; i < pieces; ++i) {
    roto_cubic c = roto_path_segment(path, i);
    double wa = path->vertices[i].feather, wb = segments ? path->vertices[i + 1].feather : wa;
    for (int k = 0; k < 4; ++k) c.x[k] = (c.x[k] - m->x) * m->scale, c.y[k] = (c.y[k] - m->y) * m->scale;
    uint32_t n = segments ? roto_cubic_steps(&c, rotoi_flatness) : 0;
    for (uint32_t k = i ? 1 : 0; k <= n; ++k) {
      double t = k ? (double)k / n : 0, point[2];
      roto_cubic_at(&c, t, point);
      rotoi_vertex v = {point[0], point[1], (wa + t * (wb - wa) + feather) * m->scale};
      const rotoi_vertex *last = count ? (const rotoi_vertex *)points + count - 1 : NULL;
      if (last && rotoi_hypot(v.x - last->x, v.y - last->y) < 1e-6) continue; /* has no direction */
      if (!rotoi_grow(m->allocator, &points, count, &room, sizeof v)) {
        m->failed = 1;
        rotoi_free(m->allocator, points);
        return;
      }
      ((rotoi_vertex *)points)[count++] = v;
    }
  }
  rotoi_pen pen;
  memset(&pen, 0, sizeof pen);
  pen.m = m;
  if (count > 1 && r > 0) {
    rotoi_stroke_side(&pen, (rotoi_vertex *)points, count, 1, r);
    rotoi_stroke_side(&pen, (rotoi_vertex *)points + count - 1, count, -1, r);
  } else if (count && r > 0) { /* a dot */
    rotoi_vertex p = ((rotoi_vertex *)points)[0];
    static const double axis[5][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 0}};
    rotoi_line_to(&pen, p.x + r, p.y, p.w);
    for (int i = 0; i < 4; ++i) rotoi_arc_to(&pen, p, r, axis[i][0], axis[i][1], axis[i + 1][0], axis[i + 1][1]);
  }
  if (pen.down) rotoi_add_edge(m, pen.at, pen.first), rotoi_add_ramp(m, pen.at, pen.first);
  rotoi_free(m->allocator, points);
}

/* ---- hard edges of one row ---- */

/* Add the area to the right of an edge from (xa, top of a band) to (xb, bottom), h high, to a row of differences. */
static void rotoi_accumulate(float *row, double xa, double xb, double h) {
  double low = xa < xb ? xa : xb, high = xa < xb ? xb : xa;
  int32_t first = (int32_t)low, last = (int32_t)high;
  if (first == last) {
    double m = (low + high) / 2 - first;
    row[first] += (float)(h * (1 - m));
    row[first + 1] += (float)(h * m);
    return;
  }
  double q = h / (high - low), f0 = first + 1 - low, f1 = high - last; /* q: height to a step of x */
  double before = q * f0 * f0 / 2, end = h - q * f1 * f1 / 2;          /* areas in the first and the last pixel */
  row[first] += (float)before;
  if (last > first + 1) {
    double second = q * (f0 + 0.5);
    row[first + 1] += (float)(second - before);
    for (int32_t i = first + 2; i < last; ++i) row[i] += (float)q;
    before = second + q * (last - first - 2);
  }
  row[last] += (float)(end - before);
  row[last + 1] += (float)(h - end);
}

/* The same for any x: what lies left of the picture counts at its first pixel, what lies right not at all. */
static void rotoi_add_area(rotoi_matte *m, float *row, double xa, double xb, double h) {
  double limit = m->width, low = xa < xb ? xa : xb, high = xa < xb ? xb : xa;
  if (low >= limit) return;
  if (low < 0) {
    double part = high <= 0 ? h : h * low / (low - high);
    rotoi_accumulate(row, 0, 0, part);
    m->touched[0] = 1;
    if (high <= 0) return;
    h -= part, low = 0;
  }
  if (high > limit) {
    h -= h * (high - limit) / (high - low);
    high = limit;
  }
  rotoi_accumulate(row, low, high, h);
  int32_t last = ((int32_t)high + 1) / ROTOI_BLOCK;
  for (int32_t b = (int32_t)low / ROTOI_BLOCK; b <= last; ++b) m->touched[b] = 1;
}

/* What the shapes of a group make of a point, by the winding numbers there: the last shape that holds it decides. */
static int rotoi_state(const rotoi_matte *m, const rotoi_group *group) {
  for (size_t i = group->shape_end; i > group->shape; --i) {
    const roto_matte_shape *shape = m->shapes + i - 1;
    int32_t w = m->winding[i - 1];
    if (shape->fill == ROTO_FILL_EVENODD && shape->path.closed ? w & 1 : w)
      return shape->subtract ? ROTOI_REMOVED : ROTOI_ADDED;
  }
  return ROTOI_UNCOVERED;
}

/* The band [ya, yb] with `count` edges that span it whole: sorted, cut where two cross, then walked from left to right. */
static void rotoi_sweep_band(rotoi_matte *m, const rotoi_group *group, size_t count, double ya, double yb, int depth) {
  double *xa = m->top_x, *xb = m->bottom_x;
  uint32_t *band = m->band;
  for (size_t i = 0; i < count; ++i) {
    const rotoi_edge *e = m->edges + band[i];
    double top = e->x0 + (ya - e->y0) * e->slope, bottom = e->x0 + (yb - e->y0) * e->slope;
    uint32_t index = band[i];
    size_t k = i;
    for (; k > 0 && xa[k - 1] + xb[k - 1] > top + bottom; --k) xa[k] = xa[k - 1], xb[k] = xb[k - 1], band[k] = band[k - 1];
    xa[k] = top, xb[k] = bottom, band[k] = index;
  }
  /* Neighbours that are in order at both ends put all in order at both ends, so none cross.  Else cut at the crossing nearest
   * the middle: the depth grows as the logarithm of the number of crossings.  Differences below 1e-9 pixels do not matter. */
  double cut = 0;
  for (size_t i = 0; i + 1 < count; ++i) {
    double top = xa[i + 1] - xa[i], bottom = xb[i + 1] - xb[i];
    if (top > -1e-9 && bottom > -1e-9) continue;
    double t = top / (top - bottom), best = cut < 0.5 ? cut : 1 - cut;
    if (t > best && 1 - t > best) cut = t;
  }
  double middle = ya + cut * (yb - ya);
  if (cut > 0 && depth > 0 && middle > ya && middle < yb) {
    rotoi_sweep_band(m, group, count, ya, middle, depth - 1);
    rotoi_sweep_band(m, group, count, middle, yb, depth - 1);
    return;
  }
  memset(m->winding + group->shape, 0, (group->shape_end - group->shape) * sizeof *m->winding);
  int state = ROTOI_UNCOVERED;
  for (size_t i = 0; i < count; ++i) {
    const rotoi_edge *e = m->edges + band[i];
    m->winding[e->shape] += e->winding;
    int next = rotoi_state(m, group);
    if (next == state) continue;
    if (state == ROTOI_ADDED) rotoi_add_area(m, m->added, xa[i], xb[i], ya - yb);
    if (state == ROTOI_REMOVED) rotoi_add_area(m, m->removed, xa[i], xb[i], ya - yb);
    if (next == ROTOI_ADDED) rotoi_add_area(m, m->added, xa[i], xb[i], yb - ya);
    if (next == ROTOI_REMOVED) rotoi_add_area(m, m->removed, xa[i], xb[i], yb - ya);
    state = next;
  }
}

static void rotoi_sweep_row(rotoi_matte *m, rotoi_group *group, int32_t y) {
  uint32_t *active = m->active + group->active;
  size_t kept = 0;
  for (size_t i = 0; i < group->active_count; ++i)
    if (m->edges[active[i]].y1 > y) active[kept++] = active[i];
  for (uint32_t e = m->starts[group->starts + (size_t)(y - group->top)]; e != ROTO_NONE; e = m->edges[e].next)
    active[kept++] = e;
  group->active_count = kept;
  for (double ya = y, yb; ya < y + 1; ya = yb) {
    size_t count = 0;
    yb = y + 1;
    for (size_t i = 0; i < kept; ++i) {
      const rotoi_edge *e = m->edges + active[i];
      if (e->y1 <= ya) continue;
      double end = e->y0 > ya ? e->y0 : e->y1; /* it begins later, or ends */
      if (end < yb) yb = end;
      if (e->y0 <= ya) m->band[count++] = active[i];
    }
    if (count) rotoi_sweep_band(m, group, count, ya, yb, 40);
  }
}

/* ---- feather ---- */

/* One piece of outline against a block of pixels whose centres begin at (x, y).  The point that maximises 1 - |p - q| / f
 * along a line with linear f is the root of a linear equation; f is positive here. */
rotoi_inline void rotoi_ramp_block_of(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  float sign = r->w + r->dw + r->w < 0 ? -1.0f : 1.0f;
  float w = sign * r->w, dw = sign * r->dw, ex = r->ex, ey = r->ey, ee = ex * ex + ey * ey, uy = y - r->ay;
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float ux = x + (float)i - r->ax, ue = ux * ex + uy * ey, uu = ux * ux + uy * uy;
    float below = ee * w + ue * dw;
    below = below > 1e-6f ? below : 1e-6f;
    float t = (ue * w + uu * dw) / below;
    t = t > 0.0f ? t : 0.0f;
    t = t < 1.0f ? t : 1.0f;
    float dx = ux - t * ex, dy = uy - t * ey, f = w + t * dw;
    f = f > 1e-3f ? f : 1e-3f;
    float ratio = (dx * dx + dy * dy) / (f * f);
    int closer = ratio < nearest[i];
    nearest[i] = closer ? ratio : nearest[i];
    w_of[i] = closer ? f : w_of[i];
  }
}

static void rotoi_ramp_block(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  rotoi_ramp_block_of(r, x, y, nearest, w_of);
}

#ifdef ROTOI_X86
ROTOI_AVX2 static void rotoi_ramp_block_avx2(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  rotoi_ramp_block_of(r, x, y, nearest, w_of);
}
#endif

static void rotoi_feather_row(rotoi_matte *m, const rotoi_group *group, int32_t y) {
  for (size_t k = group->ramp; k < group->ramp_end; ++k) {
    const rotoi_ramp *r = m->ramps + k;
    if (y < r->top || y >= r->bottom) continue;
    float wa = r->w < 0 ? -r->w : r->w, wb = r->w + r->dw < 0 ? -r->w - r->dw : r->w + r->dw, reach = (wa > wb ? wa : wb) + 1;
    float low = (r->ex < 0 ? r->ax + r->ex : r->ax) - reach, high = (r->ex < 0 ? r->ax : r->ax + r->ex) + reach;
    int32_t first = rotoi_floor((double)low) / ROTOI_BLOCK, last = rotoi_floor((double)high) / ROTOI_BLOCK;
    int inwards = r->w + r->w + r->dw < 0;
    if (high < 0) continue;
    if (first < 0) first = 0;
    if (last >= m->blocks) last = m->blocks - 1;
    for (int32_t b = first; b <= last; ++b) {
      m->touched[b] = 1;
      m->ramp_block(r, (float)(b * ROTOI_BLOCK) + 0.5f, (float)y + 0.5f, (inwards ? m->near_in : m->near_out) + b * ROTOI_BLOCK,
                    (inwards ? m->w_in : m->w_out) + b * ROTOI_BLOCK);
    }
  }
}

/* What a ramp adds to a pixel of coverage c whose centre lies d beyond the outline: the share of the pixel beyond, times the mean
 * of max(0, 1 - s/w) over the s there.  A pixel reaches half a pixel both ways; through its corners a little further. */
static float rotoi_ramp_share(float c, float d, float w) {
  float a = d - 0.5f, b = d + 0.5f;
  if (b < -0.25f) return 0; /* coverage between 0 and 1 comes from another part of the outline */
  a = a > 0.0f ? a : 0.0f;
  b = b > 0.1f ? b : 0.1f;
  float from = a < w ? a : w, to = b < w ? b : w;
  return (1 - c) * (to - from) * (1 - (from + to) / (2 * w)) / (b - a);
}

/* ---- rows ---- */

/* The values of a block, whatever it was. */
static float *rotoi_mixed(float *row, unsigned char *kind, int32_t b) {
  float *values = row + b * ROTOI_BLOCK, v = kind[b] == ROTOI_SOLID ? 1.0f : 0.0f;
  if (kind[b] != ROTOI_MIXED)
    for (int i = 0; i < ROTOI_BLOCK; ++i) values[i] = v;
  kind[b] = ROTOI_MIXED;
  return values;
}

/* A block's coverage with its ramps, which are forgotten for the next row. */
static void rotoi_add_ramps(rotoi_matte *m, int32_t b, float *coverage) {
  float *near_out = m->near_out + b * ROTOI_BLOCK, *near_in = m->near_in + b * ROTOI_BLOCK;
  const float *w_out = m->w_out + b * ROTOI_BLOCK, *w_in = m->w_in + b * ROTOI_BLOCK;
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float c = coverage[i], out = near_out[i] * w_out[i] * w_out[i], in = near_in[i] * w_in[i] * w_in[i]; /* distances squared */
    if (out < (w_out[i] + 1) * (w_out[i] + 1)) {
      float d = (float)rotoi_sqrt((double)out);
      coverage[i] += rotoi_ramp_share(c, c < 0.5f ? d : -d, w_out[i]);
    }
    if (in < (w_in[i] + 1) * (w_in[i] + 1)) {
      float d = (float)rotoi_sqrt((double)in);
      coverage[i] -= rotoi_ramp_share(1 - c, c < 0.5f ? -d : d, w_in[i]);
    }
    near_out[i] = near_in[i] = rotoi_far;
  }
}

/* r = U + (1 - U - S) r, where the group adds U and removes S, for every block the group reaches. */
static void rotoi_merge_row(rotoi_matte *m, const rotoi_group *group) {
  float u = 0, s = 0, covered[ROTOI_BLOCK], removed[ROTOI_BLOCK];
  int subtract = m->shapes[group->shape].subtract, ramps = group->ramp < group->ramp_end;
  for (int32_t b = 0; b < m->blocks; ++b) {
    if (!m->touched[b]) {
      u = u < 0.5e-5f ? 0 : u > 1 - 0.5e-5f ? 1 : u; /* the sums' rounding does not pile up */
      s = s < 0.5e-5f ? 0 : s > 1 - 0.5e-5f ? 1 : s;
      if (u == 1 || s == 1) {
        m->kind[b] = u == 1 ? ROTOI_SOLID : ROTOI_EMPTY;
      } else if (u != 0 || s != 0) {
        float *row = rotoi_mixed(m->row, m->kind, b), keep = 1 - u - s;
        for (int i = 0; i < ROTOI_BLOCK; ++i) row[i] = u + keep * row[i];
      }
      continue;
    }
    m->touched[b] = 0;
    float *added = m->added + b * ROTOI_BLOCK, *taken = m->removed + b * ROTOI_BLOCK;
    for (int i = 0; i < ROTOI_BLOCK; ++i) covered[i] = u += added[i], removed[i] = s += taken[i];
    memset(added, 0, ROTOI_BLOCK * sizeof *added);
    memset(taken, 0, ROTOI_BLOCK * sizeof *taken);
    if (ramps) rotoi_add_ramps(m, b, subtract ? removed : covered);
    float *row = rotoi_mixed(m->row, m->kind, b);
    for (int i = 0; i < ROTOI_BLOCK; ++i) {
      float add = covered[i] > 0.0f ? covered[i] < 1.0f ? covered[i] : 1.0f : 0.0f;
      float cut = removed[i] > 0.0f ? removed[i] < 1.0f ? removed[i] : 1.0f : 0.0f;
      row[i] = add + (1 - add - cut) * row[i];
    }
  }
}

/* The sum over moments takes in one more row. */
static void rotoi_sum_row(rotoi_matte *m) {
  for (int32_t b = 0; b < m->blocks; ++b) {
    if (m->kind[b] == ROTOI_EMPTY) continue;
    const float *row = rotoi_mixed(m->row, m->kind, b);
    float *sum = rotoi_mixed(m->sum, m->sum_kind, b);
    for (int i = 0; i < ROTOI_BLOCK; ++i) sum[i] += row[i];
  }
}

/* 16 values as the matte has them. */
static void rotoi_store_block(const float *row, float scale, roto_pixel type, void *out) {
  float values[ROTOI_BLOCK];
  uint8_t bytes[ROTOI_BLOCK];
  uint16_t words[ROTOI_BLOCK];
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float v = row[i] * scale;
    v = v > 0.0f ? v : 0.0f;
    values[i] = v < 1.0f ? v : 1.0f;
  }
  if (type == ROTO_PIXEL_U8) {
    for (int i = 0; i < ROTOI_BLOCK; ++i) bytes[i] = (uint8_t)(int32_t)(values[i] * 255.0f + 0.5f);
    memcpy(out, bytes, sizeof bytes);
  } else if (type == ROTO_PIXEL_U16) {
    for (int i = 0; i < ROTOI_BLOCK; ++i) words[i] = (uint16_t)(int32_t)(values[i] * 65535.0f + 0.5f);
    memcpy(out, words, sizeof words);
  } else {
    memcpy(out, values, sizeof values);
  }
}

static void rotoi_store_row(const rotoi_matte *m, const roto_matte_image *matte, const float *row, const unsigned char *kind,
                            int32_t y, float scale) {
  static const size_t sizes[3] = {1, 2, 4};
  static const float one[ROTOI_BLOCK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  size_t width = (size_t)m->width, size = sizes[matte->type];
  unsigned char *out = (unsigned char *)matte->pixels + (size_t)y * (matte->row_size ? matte->row_size : width * size);
  for (size_t x = 0, end; x < width; x = end) {
    size_t b = x / ROTOI_BLOCK, last = b + 1;
    if (kind[b] == ROTOI_MIXED || matte->type == ROTO_PIXEL_F32) {
      float block[ROTOI_BLOCK];
      const float *values = kind[b] == ROTOI_MIXED ? row + x : one;
      end = x + ROTOI_BLOCK;
      if (kind[b] == ROTOI_EMPTY) {
        end = end < width ? end : width;
        memset(out + x * size, 0, (end - x) * size);
      } else if (end <= width) {
        rotoi_store_block(values, kind[b] == ROTOI_MIXED ? scale : 1, matte->type, out + x * size);
      } else {
        end = width;
        rotoi_store_block(values, kind[b] == ROTOI_MIXED ? scale : 1, matte->type, block);
        memcpy(out + x * size, block, (end - x) * size);
      }
    } else {
      while (last * ROTOI_BLOCK < width && kind[last] == kind[b]) ++last;
      end = last * ROTOI_BLOCK < width ? last * ROTOI_BLOCK : width;
      memset(out + x * size, kind[b] == ROTOI_SOLID ? 0xff : 0, (end - x) * size);
    }
  }
}

/* Every row, every moment, every group. */
static void rotoi_draw(rotoi_matte *m, rotoi_group *groups, size_t group_count, uint32_t samples,
                       const roto_matte_image *matte) {
  size_t per_sample = group_count / samples;
  for (int32_t y = 0; y < m->height; ++y) {
    memset(m->kind, ROTOI_EMPTY, (size_t)m->blocks);
    if (samples > 1) memset(m->sum_kind, ROTOI_EMPTY, (size_t)m->blocks);
    for (uint32_t s = 0; s < samples; ++s) {
      if (s > 0) memset(m->kind, ROTOI_EMPTY, (size_t)m->blocks);
      for (rotoi_group *group = groups + s * per_sample; group < groups + (s + 1) * per_sample; ++group) {
        if (y < group->top || y >= group->bottom) continue;
        rotoi_sweep_row(m, group, y);
        if (group->ramp < group->ramp_end) rotoi_feather_row(m, group, y);
        rotoi_merge_row(m, group);
      }
      if (samples > 1) rotoi_sum_row(m);
    }
    rotoi_store_row(m, matte, samples > 1 ? m->sum : m->row, samples > 1 ? m->sum_kind : m->kind, y, 1.0f / (float)samples);
  }
}

/* ---- from shapes to groups ---- */

static int rotoi_small(double v) {
  return v > -1e6 && v < 1e6; /* and a number */
}

static int rotoi_matte_valid(const roto_matte_shape *shapes, size_t count, const roto_matte_options *options, uint32_t samples,
                             const roto_matte_image *matte) {
  if (!matte || !matte->pixels || !matte->width || !matte->height || matte->width > 65536 || matte->height > 65536 ||
      (unsigned)matte->type > ROTO_PIXEL_F32 || (count && !shapes) || count >= ROTO_NONE)
    return 0;
  if (!rotoi_small(options->x) || !rotoi_small(options->y) || !(options->scale >= 0 && options->scale <= 1024)) return 0;
  for (size_t i = 0; i < count; ++i) {
    const roto_matte_shape *s = shapes + i;
    if (!rotoi_small(s->width) || !rotoi_small(s->feather) || (s->path.vertex_count && !s->path.vertices)) return 0;
    for (size_t k = 0; k < (size_t)samples * s->path.vertex_count; ++k) {
      const roto_vertex *v = s->path.vertices + k;
      if (!rotoi_small(v->x) || !rotoi_small(v->y) || !rotoi_small(v->in_x) || !rotoi_small(v->in_y) ||
          !rotoi_small(v->out_x) || !rotoi_small(v->out_y) || !rotoi_small(v->feather))
        return 0;
    }
  }
  return 1;
}

static int rotoi_is_soft(const roto_matte_shape *shape, uint32_t samples) {
  for (size_t k = 0; k < (size_t)samples * shape->path.vertex_count; ++k)
    if (shape->path.vertices[k].feather + shape->feather != 0) return 1;
  return 0;
}

/* Outlines of the groups, and each group's rows. */
static void rotoi_build_groups(rotoi_matte *m, rotoi_group *groups, size_t group_count, uint32_t samples) {
  for (size_t r = 0; r < group_count && !m->failed; ++r) {
    rotoi_group *group = groups + r;
    size_t moment = r / (group_count / samples), first = m->edge_count;
    group->ramp = m->ramp_count;
    for (size_t i = group->shape; i < group->shape_end; ++i) {
      const roto_matte_shape *shape = m->shapes + i;
      roto_path path = shape->path;
      if (path.vertex_count > 0) path.vertices += moment * path.vertex_count; /* an empty path may have none */
      m->shape = (uint32_t)i;
      m->feathered = rotoi_is_soft(shape, samples);
      if (path.closed)
        rotoi_outline(m, &path, shape->feather);
      else
        rotoi_stroke(m, &path, shape->width, shape->feather);
    }
    group->ramp_end = m->ramp_count;
    group->active = first;
    group->top = m->height;
    group->bottom = 0;
    for (size_t e = first; e < m->edge_count; ++e) {
      int32_t top = m->edges[e].y0 > 0 ? (int32_t)m->edges[e].y0 : 0;
      int32_t bottom = m->edges[e].y1 < m->height ? (int32_t)m->edges[e].y1 + 1 : m->height;
      if (top < group->top) group->top = top;
      if (bottom > group->bottom) group->bottom = bottom;
    }
    for (size_t k = group->ramp; k < group->ramp_end; ++k) {
      if (m->ramps[k].top < group->top) group->top = m->ramps[k].top > 0 ? m->ramps[k].top : 0;
      if (m->ramps[k].bottom > group->bottom) group->bottom = m->ramps[k].bottom < m->height ? m->ramps[k].bottom : m->height;
    }
    if (group->top >= group->bottom) group->top = group->bottom = 0;
  }
}

/* Which edges begin in which row of their group. */
static void rotoi_fill_starts(rotoi_matte *m, const rotoi_group *groups, size_t group_count) {
  for (size_t r = 0; r < group_count; ++r) {
    size_t end = r + 1 < group_count ? groups[r + 1].active : m->edge_count;
    for (size_t e = groups[r].active; e < end; ++e) {
      int32_t y = m->edges[e].y0 > 0 ? (int32_t)m->edges[e].y0 : 0;
      uint32_t *start = m->starts + groups[r].starts + (size_t)(y - groups[r].top);
      m->edges[e].next = *start;
      *start = (uint32_t)e;
    }
  }
}

/* Cuts one block into arrays: called once without memory for the size, then with it. */
static size_t rotoi_take(unsigned char *memory, size_t *used, void **pointer, size_t size) {
  *pointer = memory ? memory + *used : NULL;
  *used += (size + 63) / 64 * 64;
  return *used;
}

static size_t rotoi_lay_out(rotoi_matte *m, unsigned char *memory, size_t starts, size_t shape_count) {
  size_t used = 0, row = ((size_t)m->blocks + 1) * ROTOI_BLOCK * sizeof(float);
  float **rows[8] = {&m->added, &m->removed, &m->row, &m->sum, &m->near_out, &m->near_in, &m->w_out, &m->w_in};
  void *p;
  for (int i = 0; i < 8; ++i) rotoi_take(memory, &used, &p, row), *rows[i] = (float *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->touched = (unsigned char *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->kind = (unsigned char *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->sum_kind = (unsigned char *)p;
  rotoi_take(memory, &used, &p, shape_count * sizeof *m->winding), m->winding = (int32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->active), m->active = (uint32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->band), m->band = (uint32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->top_x), m->top_x = (double *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->bottom_x), m->bottom_x = (double *)p;
  return rotoi_take(memory, &used, &p, starts * sizeof *m->starts), m->starts = (uint32_t *)p, used;
}

ROTO_API roto_status roto_matte(const roto_matte_shape *shapes, size_t shape_count, const roto_matte_options *options,
                                const roto_matte_image *matte) {
  roto_matte_options defaults;
  rotoi_matte m;
  memset(&defaults, 0, sizeof defaults);
  memset(&m, 0, sizeof m);
  if (!options) options = &defaults;
  uint32_t samples = options->samples ? options->samples : 1;
  if (!rotoi_matte_valid(shapes, shape_count, options, samples, matte) || !rotoi_allocator_valid(&options->allocator))
    return ROTO_ERR_ARGUMENT;
  m.allocator = &options->allocator;
  m.ramp_block = rotoi_ramp_block;
#ifdef ROTOI_X86
  if (roto_best_isa() >= ROTO_ISA_AVX2) m.ramp_block = rotoi_ramp_block_avx2;
#endif
  m.shapes = shapes;
  m.x = options->x, m.y = options->y, m.scale = options->scale > 0 ? options->scale : 1;
  m.width = (int32_t)matte->width, m.height = (int32_t)matte->height;
  m.blocks = (m.width + 1 + ROTOI_BLOCK) / ROTOI_BLOCK; /* differences reach two past the last pixel */

  size_t bytes, group_count = 0, per_sample = 0;
  if (!rotoi_mul(shape_count + 1, samples, &bytes) || !rotoi_mul(bytes, sizeof(rotoi_group), &bytes)) return ROTO_ERR_MEMORY;
  rotoi_group *groups = (rotoi_group *)rotoi_alloc(m.allocator, bytes);
  if (!groups) return ROTO_ERR_MEMORY;
  memset(groups, 0, bytes);
  for (size_t i = 0; i < shape_count; ++i) {
    int soft = rotoi_is_soft(shapes + i, samples);
    int joins = per_sample && !soft && !rotoi_is_soft(shapes + i - 1, samples);
    if (!joins) groups[per_sample++].shape = i;
    groups[per_sample - 1].shape_end = i + 1;
  }
  group_count = per_sample * samples;
  for (size_t r = per_sample; r < group_count; ++r)
    groups[r].shape = groups[r - per_sample].shape, groups[r].shape_end = groups[r - per_sample].shape_end;
  rotoi_build_groups(&m, groups, group_count, samples);

  size_t starts = 0;
  for (size_t r = 0; r < group_count; ++r) groups[r].starts = starts, starts += (size_t)(groups[r].bottom - groups[r].top);
  bytes = rotoi_lay_out(&m, NULL, starts, shape_count);
  unsigned char *memory = m.failed ? NULL : (unsigned char *)rotoi_alloc(m.allocator, bytes);
  if (memory) {
    memset(memory, 0, bytes);
    rotoi_lay_out(&m, memory, starts, shape_count);
    memset(m.starts, 0xff, starts * sizeof *m.starts);
    rotoi_fill_starts(&m, groups, group_count);
    for (int32_t i = 0; i < m.blocks * ROTOI_BLOCK; ++i) m.near_out[i] = m.near_in[i] = rotoi_far, m.w_out[i] = m.w_in[i] = 1;
    rotoi_draw(&m, groups, group_count, samples, matte);
  }
  rotoi_free(m.allocator, memory);
  rotoi_free(m.allocator, groups);
  rotoi_free(m.allocator, m.edges);
  rotoi_free(m.allocator, m.ramps);
  return memory ? ROTO_OK : ROTO_ERR_MEMORY;
}

#endif /* ROTOI_MATTE */
