/* Where landmarks are, of what the network found, what outlines say (contours.c) and how landmarks lie together
 * (model_format/SPEC.md, DIST).
 *
 * A face has a few ways to look: turned, a brow up, a lid half closed.  The landmarks of finished shots and renders, laid over
 * each other, are a mean and some components in which they differ: the point distribution model of Cootes et al. ("Active
 * Shape Models: Their Training and Application", CVIU 1995), with a deviation for all else, as probabilistic principal
 * components have it (Tipping and Bishop, JRSS B 1999).  Where each landmark was found counts by its expected error, an
 * outline across itself; the most likely place of all together is one small least-squares problem.  So a lid that is seen
 * only across is known along too, and what one landmark got wrong the others put right.  A finding that all others
 * contradict counts less each round (Geman and McClure's weights). */

#ifndef ROTOI_DISTRIBUTION
#define ROTOI_DISTRIBUTION

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "format.c"
#include "bezier.c" /* rotoi_sqrt */

/* What is known of where a landmark is, in square pixels. */
typedef struct rotoi_known {
  float x, y, error; /* where the network found it */
  /* Outlines: the information (inverse covariance), that times the way from there, that times the squared way. */
  float xx, xy, yy, wx, wy, ww;
} rotoi_known;

/* Nothing but where the network found them. */
static void rotoi_forget(rotoi_known *known, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) known[i].xx = known[i].xy = known[i].yy = known[i].wx = known[i].wy = known[i].ww = 0;
}

enum {
  ROTOI_MOST_WAYS = ROTO_MAX_COMPONENTS + 4, /* components, and to turn, scale and move all */
  ROTOI_SETTLE_ROUNDS = 4
};

/* Information where the network found a landmark, over 1 / error^2, both ways: 2 if errors knew nothing of each other, but
 * those of a frame are much alike.  From the rendered film's shots, each left out, as all constants here: between 0.3 and 0.8
 * errors change by 2 %. */
static const double rotoi_own_alone = 2, rotoi_own_together = 0.5;
/* The root of the quotient of squared residual and expected one from which on a finding counts as wrong. */
static const double rotoi_wrong = 5;
/* Expected errors.  Alone a landmark that had to go far was found badly: of the squared way, what counts as squared error.
 * Together the way says nothing any more: of the variance, what counts as squared error; where contours have a say, times the
 * network's errors in steps, as a frame that is hard for the network is hard for them.  Of the worst tenth of those shots'
 * frames three quarters are then among the fifth that is least believed, else less than half. */
static const double rotoi_doubt = 0.4, rotoi_variance = 0.5;
static const double rotoi_least_error = 0.6; /* steps: no network is better */

/* Solve a x = b by Cholesky's decomposition, of which a keeps the factor below and on its diagonal.  0: a has none. */
static int rotoi_solve(double (*a)[ROTOI_MOST_WAYS], double *b, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i)
    for (uint32_t k = 0; k <= i; ++k) {
      double sum = a[i][k];
      for (uint32_t j = 0; j < k; ++j) sum -= a[i][j] * a[k][j];
      if (i == k && !(sum > 0 && sum < 1e300)) return 0;
      a[i][k] = i == k ? rotoi_sqrt(sum) : sum / a[k][k];
    }
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (uint32_t i = n; i-- > 0;) {
    for (uint32_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return 1;
}

/* The mean laid over landmarks: turned and scaled by (turn, -turn'), moved. */
typedef struct rotoi_laid {
  double a, b, from[2], to[2];
} rotoi_laid;

static double rotoi_mean_at(const rotoi_file *file, uint32_t i, int c) {
  return (double)rotoi_f32(file->distribution_mean + 8 * (size_t)i + 4 * c);
}

static rotoi_laid rotoi_lay(const rotoi_file *file, float aspect, const roto_point *points) {
  rotoi_laid laid = {0, 0, {0, 0}, {0, 0}};
  double n = (double)file->landmark_count, square = 0;
  for (uint32_t i = 0; i < file->landmark_count; ++i) {
    for (int c = 0; c < 2; ++c) laid.from[c] += rotoi_mean_at(file, i, c) / n;
    laid.to[0] += (double)(points[i].x * aspect) / n, laid.to[1] += (double)points[i].y / n;
  }
  for (uint32_t i = 0; i < file->landmark_count; ++i) {
    double mx = rotoi_mean_at(file, i, 0) - laid.from[0], my = rotoi_mean_at(file, i, 1) - laid.from[1];
    double x = (double)(points[i].x * aspect) - laid.to[0], y = (double)points[i].y - laid.to[1];
    laid.a += mx * x + my * y, laid.b += mx * y - my * x, square += mx * mx + my * my;
  }
  laid.a /= square, laid.b /= square;
  return laid;
}

/* How x and y of a landmark change with each way: the components, then turning, scaling and moving all by a third of their
 * size, which is free. */
static void rotoi_ways(const rotoi_file *file, const rotoi_laid *laid, uint32_t i, double (*ways)[ROTOI_MOST_WAYS]) {
  const unsigned char *component = file->distribution_components + 8 * (size_t)i;
  uint32_t m = file->component_count;
  double x = rotoi_mean_at(file, i, 0) - laid->from[0], y = rotoi_mean_at(file, i, 1) - laid->from[1];
  double size = ROTO_CONTOUR_BOX * rotoi_sqrt(laid->a * laid->a + laid->b * laid->b);
  double px = laid->a * x - laid->b * y, py = laid->b * x + laid->a * y;
  for (uint32_t k = 0; k < m; ++k, component += 8 * (size_t)file->landmark_count) {
    double cx = (double)rotoi_f32(component), cy = (double)rotoi_f32(component + 4);
    ways[0][k] = laid->a * cx - laid->b * cy, ways[1][k] = laid->b * cx + laid->a * cy;
  }
  ways[0][m] = px / 3, ways[1][m] = py / 3;
  ways[0][m + 1] = -py / 3, ways[1][m + 1] = px / 3;
  ways[0][m + 2] = size / 3, ways[1][m + 2] = 0;
  ways[0][m + 3] = 0, ways[1][m + 3] = size / 3;
}

/* What is known of a landmark when the mean and its components are: the inverse of own information, outlines' and that of
 * `tight`, the inverse variance about them. */
typedef struct rotoi_held {
  double own, outline;            /* weights, 0 to 1 */
  double xx, xy, yy, x, y;        /* information but for `tight`, and that times the way from where it was found */
  double ixx, ixy, iyy;           /* inverse of that with `tight` */
} rotoi_held;

static rotoi_held rotoi_hold(const rotoi_known *known, double information, double tight, double own, double outline) {
  rotoi_held h = {own, outline, 0, 0, 0, 0, 0, 0, 0, 0};
  h.xx = own * information + outline * (double)known->xx, h.yy = own * information + outline * (double)known->yy;
  h.xy = outline * (double)known->xy;
  h.x = outline * (double)known->wx, h.y = outline * (double)known->wy;
  double xx = h.xx + tight, yy = h.yy + tight, det = xx * yy - h.xy * h.xy;
  h.ixx = yy / det, h.ixy = -h.xy / det, h.iyy = xx / det;
  return h;
}

static double rotoi_trust(double squared) {
  double w = 1 / (1 + squared / (rotoi_wrong * rotoi_wrong));
  return w * w;
}

/* Move the landmarks to where all that is known says they are.  `step`: a step of CONT and DIST in square pixels. */
static void rotoi_settle(const rotoi_file *file, float aspect, double step, const rotoi_known *known, roto_point *points) {
  const uint32_t n = file->landmark_count, m = file->component_count ? file->component_count + 4 : 0;
  double a[ROTOI_MOST_WAYS][ROTOI_MOST_WAYS], b[ROTOI_MOST_WAYS], ways[2][ROTOI_MOST_WAYS];
  rotoi_laid laid = {1, 0, {0, 0}, {0, 0}};
  double tight = 0, hard = 0; /* root mean square of the network's errors, in steps */
  for (uint32_t i = 0; i < n; ++i) hard += (double)known[i].error * (double)known[i].error / (double)n;
  hard = file->contour_count ? rotoi_sqrt(hard) / step : 1;
  if (m) {
    laid = rotoi_lay(file, aspect, points);
    double scale = laid.a * laid.a + laid.b * laid.b, deviation = (double)file->distribution_deviation;
    tight = 1 / (scale * deviation * deviation);
    if (!(tight > 0 && tight < 1e300)) return;
  }
  for (int round = 0; round < (m ? ROTOI_SETTLE_ROUNDS : 1); ++round) {
    memset(a, 0, sizeof a), memset(b, 0, sizeof b);
    for (int pass = 0; pass < 2; ++pass) {
      for (uint32_t i = 0; i < n; ++i) {
        const rotoi_known *k = &known[i];
        double error = (double)k->error, own = 1, outline = 1;
        if (!(error > rotoi_least_error * step)) error = rotoi_least_error * step;
        double information = (m ? rotoi_own_together : rotoi_own_alone) / (error * error);
        if (round) {
          double dx = (double)(points[i].x * aspect - k->x), dy = (double)(points[i].y - k->y);
          own = rotoi_trust(information * (dx * dx + dy * dy));
          double away = (double)k->xx * dx * dx + 2 * (double)k->xy * dx * dy + (double)k->yy * dy * dy -
                        2 * ((double)k->wx * dx + (double)k->wy * dy) + (double)k->ww;
          outline = rotoi_trust(away > 0 ? away : 0);
        }
        rotoi_held h = rotoi_hold(k, information, tight, own, outline);
        double px = 0, py = 0; /* the mean there, from where the landmark was found */
        if (m) {
          double x = rotoi_mean_at(file, i, 0) - laid.from[0], y = rotoi_mean_at(file, i, 1) - laid.from[1];
          px = laid.to[0] + laid.a * x - laid.b * y - (double)k->x, py = laid.to[1] + laid.b * x + laid.a * y - (double)k->y;
          rotoi_ways(file, &laid, i, ways);
        }
        if (!pass) {
          /* Information about the components: that of the landmark, widened by `tight`: tight (L + tight)^-1 L. */
          double wxx = tight * (h.ixx * h.xx + h.ixy * h.xy), wxy = tight * (h.ixx * h.xy + h.ixy * h.yy),
                 wyy = tight * (h.ixy * h.xy + h.iyy * h.yy);
          double rx = h.x - h.xx * px - h.xy * py, ry = h.y - h.xy * px - h.yy * py;
          double tx = tight * (h.ixx * rx + h.ixy * ry), ty = tight * (h.ixy * rx + h.iyy * ry);
          for (uint32_t r = 0; r < m; ++r) {
            double ux = wxx * ways[0][r] + wxy * ways[1][r], uy = wxy * ways[0][r] + wyy * ways[1][r];
            b[r] += tx * ways[0][r] + ty * ways[1][r];
            for (uint32_t c = 0; c <= r; ++c) a[r][c] += ux * ways[0][c] + uy * ways[1][c];
          }
          continue;
        }
        double cxx = 0, cxy = 0, cyy = 0; /* covariance of what the components say */
        for (uint32_t r = 0; r < m; ++r) px += b[r] * ways[0][r], py += b[r] * ways[1][r];
        if (round + 1 == ROTOI_SETTLE_ROUNDS)
          for (uint32_t r = 0; r < m; ++r) {
            for (uint32_t c = 0; c < r; ++c) ways[0][r] -= a[r][c] * ways[0][c], ways[1][r] -= a[r][c] * ways[1][c];
            ways[0][r] /= a[r][r], ways[1][r] /= a[r][r];
            cxx += ways[0][r] * ways[0][r], cxy += ways[0][r] * ways[1][r], cyy += ways[1][r] * ways[1][r];
          }
        double x = h.x + tight * px, y = h.y + tight * py;
        double dx = h.ixx * x + h.ixy * y, dy = h.ixy * x + h.iyy * y;
        if (!(dx > -1e9 && dx < 1e9 && dy > -1e9 && dy < 1e9)) continue;
        double spread = h.ixx + h.iyy + tight * tight * ((h.ixx * h.ixx + h.ixy * h.ixy) * cxx +
                                                         2 * h.ixy * (h.ixx + h.iyy) * cxy + (h.ixy * h.ixy + h.iyy * h.iyy) * cyy);
        points[i].x = (k->x + (float)dx) / aspect;
        points[i].y = k->y + (float)dy;
        points[i].error = (float)rotoi_sqrt(m ? rotoi_variance * hard * spread : spread + rotoi_doubt * (dx * dx + dy * dy));
      }
      if (pass) continue;
      for (uint32_t r = 0; r < m; ++r) a[r][r] += 1;
      if (!rotoi_solve(a, b, m)) return;
    }
  }
}

#endif /* ROTOI_DISTRIBUTION */
