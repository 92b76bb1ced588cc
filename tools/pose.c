/* See pose.h. */

#include "pose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "median.h"

/* The points of a frame, moved, turned and scaled so that they lie nearest to `to` (least squares); `turn` takes part. */
static void lay_over(double *points, const double *to, size_t n, double turn[2]) {
  double mx = 0, my = 0, tx = 0, ty = 0, a = 0, b = 0, power = 1e-9;
  for (size_t i = 0; i < n; ++i) mx += points[2 * i], my += points[2 * i + 1], tx += to[2 * i], ty += to[2 * i + 1];
  mx /= (double)n, my /= (double)n, tx /= (double)n, ty /= (double)n;
  for (size_t i = 0; i < n; ++i) {
    double x = points[2 * i] - mx, y = points[2 * i + 1] - my, u = to[2 * i] - tx, v = to[2 * i + 1] - ty;
    a += x * u + y * v, b += x * v - y * u, power += x * x + y * y;
  }
  a /= power, b /= power;
  if (!(a * a + b * b > 1e-12)) a = 1, b = 0; /* points that fall together, or bear no likeness, have no turn */
  for (size_t i = 0; i < n; ++i) {
    double x = points[2 * i] - mx, y = points[2 * i + 1] - my;
    points[2 * i] = tx + a * x - b * y, points[2 * i + 1] = ty + b * x + a * y;
  }
  const double old[2] = {turn[0], turn[1]};
  turn[0] = a * old[0] - b * old[1], turn[1] = a * old[1] + b * old[0];
}

poses poses_find(const document *doc, int raw) {
  size_t n = doc->point_count, count = doc->frame_count;
  poses p = {count, n, 1, NULL, NULL, NULL};
  double *column = (double *)cli_alloc(count + 1, sizeof *column);
  p.points = (double *)cli_alloc(count * 2 * n + 1, sizeof *p.points);
  p.middle = (double *)cli_alloc(2 * n, sizeof *p.middle);
  p.turn = (double(*)[2])cli_alloc(count + 1, sizeof *p.turn);
  for (size_t t = 0; t < count; ++t) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < n; ++i) {
      const document_point *q = &doc->frames[t].points[i];
      double at[2] = {raw ? q->raw_x : q->x, raw ? q->raw_y : q->y};
      for (int k = 0; k < 2; ++k) {
        low[k] = fmin(low[k], at[k]), high[k] = fmax(high[k], at[k]);
        p.points[(t * n + i) * 2 + (size_t)k] = at[k];
      }
    }
    column[t] = fmax(high[0] - low[0], high[1] - low[1]);
    p.turn[t][0] = 1;
  }
  p.size = fmax(median(column, count), 1);
  if (count) memcpy(p.middle, p.points, 2 * n * sizeof *p.middle);
  for (int round = 0; round < 2; ++round) {
    for (size_t t = 0; t < count; ++t) lay_over(p.points + t * 2 * n, p.middle, n, p.turn[t]);
    for (size_t k = 0; k < 2 * n; ++k) {
      for (size_t t = 0; t < count; ++t) column[t] = p.points[t * 2 * n + k];
      p.middle[k] = median(column, count);
    }
  }
  free(column);
  return p;
}

void poses_free(poses *p) {
  free(p->points);
  free(p->middle);
  free(p->turn);
  memset(p, 0, sizeof *p);
}

double poses_apart(const poses *p, size_t a, size_t b) {
  size_t n = 2 * p->point_count;
  double sum = 0;
  for (size_t k = 0; k < n; ++k) sum += pow(p->points[a * n + k] - p->points[b * n + k], 2);
  return sum / (double)p->point_count;
}
