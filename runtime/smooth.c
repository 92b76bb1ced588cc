/* De-jitter: one landmark over a whole shot, detections against motion.
 *
 * Detections say where the point is, each on its own, with an expected error; flow says how it moved from frame to frame, with
 * a much smaller one.  Were both always right within their errors, the most likely track would be that of a Kalman smoother of
 * a random walk driven by the flow; it is computed as such, as two filters, one from each end, that meet (Fraser and Potter
 * 1969).  But detections are wrong at times, and flow misses jumps.  So each is asked how much it surprises: a detection,
 * against what all others predict there; a link, against the difference of what lies before it and what lies behind.  The
 * surprise gives its weight, by rho of Geman and McClure, and the filters run again.  (The residual of the track itself would
 * not do: a stiff link bends the track, and has none.)  The rounds start with a wide rho, nearly a parabola, and narrow it
 * (graduated non-convexity, Blake and Zisserman 1987), so that no early mistake is kept.  A fixed frame is a detection without
 * error.  Where a link is missing (a cut, a replaced face) nothing crosses.
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

/* A link's weight is gone sooner: it is stiff, and what is left of a wrong one would still bend the track. */
static double rotoi_abrupt(double squared, double width) {
  double q = squared / width;
  return 1 / (1 + q * q * q * q);
}

/* What frames on one side, and a frame itself, know of where it is: how much (1 / variance) and what. */
typedef struct rotoi_belief {
  double information, x, y;
} rotoi_belief;

typedef struct rotoi_chain {
  double *weight, *link;         /* of frame t, of the link t to t + 1 */
  double *surprise;              /* that frame t is, to all others */
  rotoi_belief *forward, *after; /* of frame t: from frames up to t, from t on */
} rotoi_chain;

static double rotoi_weight(double error) {
  return error > 0 && error < 1e6 ? 1 / (error * error) : 0;
}

/* Geman and McClure's weight at a squared residual, in units of the expected error, for a rho of this width. */
static double rotoi_robust(double squared, double width) {
  double q = width / (width + squared);
  return q * q;
}

/* Two sources of information in a row: the first passes through the second. */
static double rotoi_through(double a, double b) {
  return a > 0 && b > 0 ? a * b / (a + b) : 0;
}

/* A belief carried over a link of this information; sign -1: against its direction. */
static rotoi_belief rotoi_carried(rotoi_belief from, const roto_link *link, double information, double sign) {
  rotoi_belief b = {rotoi_through(from.information, information), from.x + sign * (double)link->x,
                    from.y + sign * (double)link->y};
  return b;
}

static rotoi_belief rotoi_joined(rotoi_belief a, rotoi_belief b) {
  double sum = a.information + b.information, share = sum > 0 ? b.information / sum : 1;
  a.x += share * (b.x - a.x), a.y += share * (b.y - a.y);
  a.information = sum;
  return a;
}

/* What all other frames say about frame t. */
static rotoi_belief rotoi_others(const rotoi_chain *c, const roto_link *links, size_t count, size_t t) {
  rotoi_belief none = {0, 0, 0}, before = none, behind = none;
  if (t) before = rotoi_carried(c->forward[t - 1], &links[t - 1], c->link[t - 1], 1);
  if (t + 1 < count) behind = rotoi_carried(c->after[t + 1], &links[t], c->link[t], -1);
  return rotoi_joined(before, behind);
}

static void rotoi_filter(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count) {
  for (size_t t = 0; t < count; ++t) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    c->forward[t] = t ? rotoi_joined(rotoi_carried(c->forward[t - 1], &links[t - 1], c->link[t - 1], 1), own) : own;
  }
  for (size_t t = count; t-- > 0;) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    c->after[t] = t + 1 < count ? rotoi_joined(rotoi_carried(c->after[t + 1], &links[t], c->link[t], -1), own) : own;
  }
}

/* Half the squared difference of two beliefs, in units of what it may be. */
static double rotoi_surprise(rotoi_belief a, rotoi_belief b, double information) {
  double dx = a.x - b.x, dy = a.y - b.y;
  return rotoi_through(rotoi_through(a.information, b.information), information) * (dx * dx + dy * dy) / 2;
}

/* The weights of detections, and of frames that are fixed. */
static void rotoi_weigh(const rotoi_chain *c, const roto_observation *z, size_t count, double width, double fixed) {
  for (size_t t = 0; t < count; ++t)
    c->weight[t] = z[t].fixed ? fixed : rotoi_weight((double)z[t].error) * rotoi_robust(c->surprise[t], width);
}

static void rotoi_smooth_all(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count,
                             roto_smoothed *out) {
  /* Of rho, for detections; links get half, so that a jump that flow missed stays in one frame.  In the end 4: of a detection's
   * weight half is lost at 1.8 expected errors, 96 % at 5.7. */
  double width = 256;
  for (size_t t = 0; t < count; ++t) {
    c->surprise[t] = 0;
    c->link[t] = t + 1 < count ? rotoi_weight((double)links[t].error) : 0;
  }
  for (int round = 1; round < ROTOI_ROUNDS; ++round) {
    rotoi_weigh(c, z, count, width, rotoi_fixed_weight);
    rotoi_filter(c, z, links, count);
    for (size_t t = 0; t < count; ++t) {
      rotoi_belief own = {rotoi_weight((double)z[t].error), (double)z[t].x, (double)z[t].y};
      c->surprise[t] = rotoi_surprise(rotoi_others(c, links, count, t), own, 1e300);
    }
    /* Links are judged by detections alone: where these are all wrong alike, an artist's correction must not break the chain.  And
     * by detections that are not given up as soon (8): the two frames of a held pose would yield to one wrong link. */
    rotoi_weigh(c, z, count, width > 8 ? width : 8, 0);
    rotoi_filter(c, z, links, count);
    for (size_t t = 0; t + 1 < count; ++t) {
      double information = rotoi_weight((double)links[t].error);
      rotoi_belief here = c->forward[t];
      here.x += (double)links[t].x, here.y += (double)links[t].y;
      c->link[t] = information * rotoi_abrupt(rotoi_surprise(here, c->after[t + 1], information), width / 2);
    }
    width = width > 8 ? width / 2 : 4;
  }
  rotoi_weigh(c, z, count, width, rotoi_fixed_weight);
  rotoi_filter(c, z, links, count);
  for (size_t t = 0; t < count; ++t) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    rotoi_belief all = rotoi_joined(rotoi_others(c, links, count, t), own);
    out[t].x = z[t].fixed ? z[t].x : (float)all.x;
    out[t].y = z[t].fixed ? z[t].y : (float)all.y;
    out[t].error = all.information > 0 ? (float)(1 / rotoi_sqrt(all.information)) : -1;
  }
}

/* Only the past counts: a Kalman filter whose surprise, at each detection, decides between the flow and the detection, for the
 * detection unless it is beyond belief. */
static void rotoi_smooth_causal(const roto_observation *z, const roto_link *links, size_t count, roto_smoothed *out) {
  double x = 0, y = 0, information = 0;
  for (size_t t = 0; t < count; ++t) {
    double w = z[t].fixed ? rotoi_fixed_weight : rotoi_weight((double)z[t].error);
    if (t) {
      x += (double)links[t - 1].x, y += (double)links[t - 1].y;
      information = rotoi_through(information, rotoi_weight((double)links[t - 1].error));
    }
    double dx = (double)z[t].x - x, dy = (double)z[t].y - y, surprise = rotoi_through(information, w) * (dx * dx + dy * dy) / 2;
    if (surprise > 25 && information >= w && !z[t].fixed)
      w *= rotoi_robust(surprise, 4); /* the detection is wrong */
    else
      information *= rotoi_robust(surprise, 4); /* the flow missed a jump */
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
  double *memory = rotoi_mul(count, 9 * sizeof(double), &bytes) ? (double *)rotoi_alloc(allocator, bytes) : NULL;
  if (!memory) return ROTO_ERR_MEMORY;
  memset(memory, 0, bytes);
  rotoi_belief *beliefs = (rotoi_belief *)(void *)(memory + 3 * count);
  rotoi_chain c = {memory, memory + count, memory + 2 * count, beliefs, beliefs + count};
  rotoi_smooth_all(&c, observations, links, count, smoothed);
  rotoi_free(allocator, memory);
  return ROTO_OK;
}

#endif /* ROTOI_SMOOTH */
