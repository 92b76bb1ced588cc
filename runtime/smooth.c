/* De-jitter: one landmark over a whole shot, detections against motion.
 *
 * Detections say where the point is, each on its own, with an expected error; flow says how it moved from frame to frame, with
 * a much smaller one.  The most likely track minimises
 *     sum_t rho(|p_t - z_t| / s_t) + sum_t rho(|p_t+1 - p_t - f_t| / l_t)
 * with rho of Geman and McClure, which stops listening to what is far off: a wrong detection, or flow that missed a jump.  It is
 * solved by iteratively reweighted least squares; each round is one tridiagonal system, shared by x and y.  The rounds start
 * with a wide rho, nearly a parabola, and narrow it (graduated non-convexity, Blake and Zisserman 1987), so that no early
 * mistake is kept.  A fixed frame is a detection without error.  Where a link is missing (a cut, a replaced face) the system
 * falls apart into pieces, and nothing crosses.  The linear case is the Kalman smoother of a random walk driven by the flow.
 *
 * Acceleration is not punished: a puppet on twos does jump, and the flow says so. */

#ifndef ROTOI_SMOOTH
#define ROTOI_SMOOTH

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "bezier.c" /* rotoi_sqrt */

enum { ROTOI_ROUNDS = 12 };

static const double rotoi_fixed_weight = 1e12; /* of a fixed frame: a millionth of a pixel */

typedef struct rotoi_chain {
  double *weight, *link;    /* of frame t, of the link t to t + 1 */
  double *diagonal, *x, *y; /* the system after elimination, then the solution */
  double *back;             /* information that reaches frame t from later ones */
} rotoi_chain;

static double rotoi_weight(double error) {
  return error > 0 && error < 1e6 ? 1 / (error * error) : 0;
}

/* Geman and McClure's weight at a squared residual, in units of the expected error, for a rho of this width. */
static double rotoi_robust(double squared, double width) {
  double q = width / (width + squared);
  return q * q;
}

/* Thomas' algorithm; frames without any information, of their own or through links, keep their detection. */
static void rotoi_solve(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count) {
  for (size_t t = 0; t < count; ++t) {
    double w = c->weight[t], forward = t + 1 < count ? c->link[t] : 0, before = t ? c->link[t - 1] : 0;
    double d = w + forward + before + 1e-12;
    double x = (w + 1e-12) * (double)z[t].x, y = (w + 1e-12) * (double)z[t].y;
    if (t + 1 < count) x -= forward * (double)links[t].x, y -= forward * (double)links[t].y;
    if (t) {
      double k = before / c->diagonal[t - 1];
      x += before * (double)links[t - 1].x + k * c->x[t - 1];
      y += before * (double)links[t - 1].y + k * c->y[t - 1];
      d -= k * before;
    }
    c->diagonal[t] = d, c->x[t] = x, c->y[t] = y;
  }
  for (size_t t = count; t-- > 0;) {
    double forward = t + 1 < count ? c->link[t] : 0;
    c->x[t] = (c->x[t] + (forward > 0 ? forward * c->x[t + 1] : 0)) / c->diagonal[t];
    c->y[t] = (c->y[t] + (forward > 0 ? forward * c->y[t + 1] : 0)) / c->diagonal[t];
  }
}

/* Two sources of information in a row: the first passes through the second. */
static double rotoi_through(double a, double b) {
  return a > 0 && b > 0 ? a * b / (a + b) : 0;
}

static void rotoi_smooth_all(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count,
                             roto_smoothed *out) {
  /* Of rho, for detections; links get half, so that a jump that flow missed stays in one frame (a quarter: no better).  In the
   * end 4: of a detection's weight half is lost at 1.8 expected errors, 96 % at 5.7. */
  double width = 256;
  for (int round = 0; round < ROTOI_ROUNDS; ++round) {
    for (size_t t = 0; t < count; ++t) {
      double dx = c->x[t] - (double)z[t].x, dy = c->y[t] - (double)z[t].y, w = rotoi_weight((double)z[t].error);
      c->weight[t] = z[t].fixed ? rotoi_fixed_weight : round ? w * rotoi_robust(w * (dx * dx + dy * dy) / 2, width) : w;
      if (t + 1 == count) break;
      dx = c->x[t + 1] - c->x[t] - (double)links[t].x, dy = c->y[t + 1] - c->y[t] - (double)links[t].y;
      double l = rotoi_weight((double)links[t].error);
      c->link[t] = round ? l * rotoi_robust(l * (dx * dx + dy * dy) / 2, width / 2) : l;
    }
    rotoi_solve(c, z, links, count);
    width = width > 8 ? width / 2 : 4;
  }
  c->back[count - 1] = 0;
  for (size_t t = count - 1; t-- > 0;) c->back[t] = rotoi_through(c->weight[t + 1] + c->back[t + 1], c->link[t]);
  double ahead = 0; /* information that reaches frame t from earlier ones */
  for (size_t t = 0; t < count; ++t) {
    double information = c->weight[t] + ahead + c->back[t];
    out[t].x = z[t].fixed ? z[t].x : (float)c->x[t];
    out[t].y = z[t].fixed ? z[t].y : (float)c->y[t];
    out[t].error = information > 0 ? (float)(1 / rotoi_sqrt(information)) : -1;
    ahead = rotoi_through(c->weight[t] + ahead, c->link[t]);
  }
}

/* Only the past counts: a Kalman filter whose surprise, at each detection, decides between the flow and the detection. */
static void rotoi_smooth_causal(const roto_observation *z, const roto_link *links, size_t count, roto_smoothed *out) {
  double x = 0, y = 0, information = 0;
  for (size_t t = 0; t < count; ++t) {
    double w = z[t].fixed ? rotoi_fixed_weight : rotoi_weight((double)z[t].error);
    if (t) {
      x += (double)links[t - 1].x, y += (double)links[t - 1].y;
      information = rotoi_through(information, rotoi_weight((double)links[t - 1].error));
    }
    double dx = (double)z[t].x - x, dy = (double)z[t].y - y, surprise = rotoi_through(information, w) * (dx * dx + dy * dy) / 2;
    if (surprise > 9 && information < w) information *= rotoi_robust(surprise, 4);       /* the flow missed a jump */
    if (surprise > 9 && information >= w && !z[t].fixed) w *= rotoi_robust(surprise, 4); /* the detection is wrong */
    double sum = information + w;
    if (sum > 0) {
      x += w / sum * dx, y += w / sum * dy;
    } else {
      x = (double)z[t].x, y = (double)z[t].y;
    }
    information = sum;
    out[t].x = z[t].fixed ? z[t].x : (float)x;
    out[t].y = z[t].fixed ? z[t].y : (float)y;
    out[t].error = sum > 0 ? (float)(1 / rotoi_sqrt(sum)) : -1;
  }
}

ROTO_API roto_status roto_smooth(const roto_observation *observations, const roto_link *links, size_t count, int causal,
                                 const roto_allocator *allocator, roto_smoothed *smoothed) {
  roto_allocator none = {NULL, NULL, NULL};
  if (!allocator) allocator = &none;
  if (count && (!observations || !smoothed || (count > 1 && !links))) return ROTO_ERR_ARGUMENT;
  if (!rotoi_allocator_valid(allocator)) return ROTO_ERR_ARGUMENT;
  for (size_t t = 0; t < count; ++t) {
    const roto_observation *z = observations + t;
    if (!(z->x > -1e7f && z->x < 1e7f && z->y > -1e7f && z->y < 1e7f)) return ROTO_ERR_ARGUMENT;
    if (t + 1 < count && !(links[t].x > -1e7f && links[t].x < 1e7f && links[t].y > -1e7f && links[t].y < 1e7f))
      return ROTO_ERR_ARGUMENT;
  }
  if (!count) return ROTO_OK;
  if (causal) {
    rotoi_smooth_causal(observations, links, count, smoothed);
    return ROTO_OK;
  }
  size_t bytes;
  double *memory = rotoi_mul(count, 6 * sizeof(double), &bytes) ? (double *)rotoi_alloc(allocator, bytes) : NULL;
  if (!memory) return ROTO_ERR_MEMORY;
  memset(memory, 0, bytes);
  rotoi_chain c = {memory, memory + count, memory + 2 * count, memory + 3 * count, memory + 4 * count, memory + 5 * count};
  rotoi_smooth_all(&c, observations, links, count, smoothed);
  rotoi_free(allocator, memory);
  return ROTO_OK;
}

#endif /* ROTOI_SMOOTH */
