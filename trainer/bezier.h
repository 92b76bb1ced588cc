/* Cubic Bezier curves and paths of them, for re-vectorization: where a path is, where two of them meet, and the path that fits
 * another one best through given anchors.
 *
 * All in double precision, in whatever unit the caller has (pixels), y down or up.  A place on a path is its arc length from
 * the start, because vertices, and so the parameters of the cubics, are the artist's whim and the arc is not: a path that is
 * split, started elsewhere or fitted anew has the same places. */

#ifndef ROTO_BEZIER_H
#define ROTO_BEZIER_H

#include <stddef.h>
#include "../roto.h"

/* Unit tangent; at an end whose control point coincides with it the limit, (0, 0) where the cubic is a point. */
void cubic_tangent(const roto_cubic *c, double t, double tangent[2]);

/* Parameter of the point nearest to (x, y); *distance may be NULL. */
double cubic_nearest(const roto_cubic *c, double x, double y, double *distance);

/* Parameters of the crossings, at most `limit`, into at[i] = {on a, on b}; returns how many.  Overlapping curves have
 * arbitrary ones. */
size_t cubic_intersect(const roto_cubic *a, const roto_cubic *b, double (*at)[2], size_t limit);

typedef struct bezier_path {
  roto_cubic *pieces; /* none of length 0 */
  size_t count;
  int closed;
  double *starts; /* [count + 1] arc length before each piece; the last is the length of all */
} bezier_path;

/* A path of copied pieces, each starting where the one before ends (a closed path's first where the last one ends).  Pieces of
 * no length are left out.  Returns -1 if memory ran out; a path without any length has count 0. */
int path_create(bezier_path *p, const roto_cubic *pieces, size_t count, int closed);
void path_free(bezier_path *p); /* leaves it zero */

double path_length(const bezier_path *p);
/* The area enclosed, positive where the path runs clockwise on a screen (y down). */
double path_area(const bezier_path *p);
void path_reverse(bezier_path *p);

/* The place s, brought into the path: wrapped around a closed one, clamped to an open one.  point and tangent (unit, the
 * mean of both sides at a corner) may be NULL. */
void path_at(const bezier_path *p, double s, double point[2], double tangent[2]);

/* Place of the point nearest to (x, y); *distance may be NULL. */
double path_nearest(const bezier_path *p, double x, double y, double *distance);

/* The nearest to s, along the path, of places at `count` equal steps of each piece's parameter, both its ends among them. */
double path_sample(const bezier_path *p, double s, unsigned count);

/* Of such places of both paths the nearest to each other: its place on a.  Of those that are as near within `tolerance`, because
 * numbers in files are rounded, the last.  -1: memory ran out. */
double path_approach_samples(const bezier_path *a, const bezier_path *b, unsigned count, double tolerance);

/* Place of the point farthest in the direction (dx, dy). */
double path_extreme(const bezier_path *p, double dx, double dy);

/* Places of the crossings of two paths into at[i] = {on a, on b}, at most `limit`, ascending on a, each once. */
size_t path_intersect(const bezier_path *a, const bezier_path *b, double (*at)[2], size_t limit);

/* The place of a nearest to b, and *on_b of b nearest to that: where they do not cross. */
double path_approach(const bezier_path *a, const bezier_path *b, double *on_b, double *distance);

/* Corners: places where the tangent turns by at least `radians` between two pieces, ascending, at most `limit`. */
size_t path_corners(const bezier_path *p, double radians, double *at, size_t limit);

/* How far a path strays from another: mean and maximum distance of dense points of `from` to `to`. */
void path_distance(const bezier_path *from, const bezier_path *to, double *mean, double *maximum);

/* Fit cubics to a path through its points at places at[0..count), ascending in the path's direction (a closed path's may wrap
 * once): count cubics for a closed path, count - 1 for an open one, cubic i from anchor i to anchor i + 1.  Both tangents of
 * an anchor share one direction, unless corner[i] is set (NULL: none) or it is an end.  The sum of squared distances of the
 * path to the cubics is minimised over directions and lengths together (Gauss and Newton, damped by Levenberg's rule).  -1:
 * memory ran out. */
int path_fit(const bezier_path *p, const double *at, const unsigned char *corner, size_t count, roto_cubic *cubics);

#endif
