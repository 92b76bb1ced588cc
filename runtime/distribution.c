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

/* Information where the network found a landmark, over 1 / error^2, both ways: 2 if errors knew nothing of each other.  Beside
 * contours and a distribution it counts less, as those of a frame are much alike.  From the rendered film's shots, each left
 * out, as all constants here: between 0.3 and 0.8 errors change by 2 %. */
static const double rotoi_own = 2, rotoi_own_beside = 0.5;
/* The root of the quotient of squared residual and expected one from which on a finding counts as wrong. */
static const double rotoi_wrong = 5;
/* Expected errors.  On contours alone a landmark that had to go far was found badly: of the squared way, what counts as squared
 * error.  With a distribution the way says nothing any more: of the variance, what counts as squared error; where contours have
 * a say, times the network's errors in steps, as a frame that is hard for the network is hard for them.  Of the worst tenth of
 * those shots' frames seven tenths are then among the fifth that is least believed, else less than half. */
static const double rotoi_doubt = 0.4, rotoi_variance = 1.5, rotoi_variance_beside = 0.5;
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

/* One search for the most likely landmarks. */
typedef struct rotoi_settling {
  const rotoi_file *file;
  const rotoi_known *known;
  float aspect;
  double step;          /* of CONT and DIST, in square pixels */
  double own, variance; /* of the constants above, those that hold here */
  uint32_t ways;
  /* The mean lies over the landmarks: turned and scaled by (turn[0], turn[1]), its middle from `from` to `to`. */
  double turn[2], from[2], to[2];
  double tight; /* inverse variance of what is no component; 0 without a distribution */
  /* The problem; then the factor of its matrix, and how far to go each way. */
  double a[ROTOI_MOST_WAYS][ROTOI_MOST_WAYS], b[ROTOI_MOST_WAYS];
} rotoi_settling;

static double rotoi_mean_at(const rotoi_file *file, uint32_t i, int c) {
  return (double)rotoi_f32(file->distribution_mean + 8 * (size_t)i + 4 * c);
}

static void rotoi_lay_mean(rotoi_settling *s, const roto_point *points) {
  double n = (double)s->file->landmark_count, square = 0, a = 0, b = 0;
  for (uint32_t i = 0; i < s->file->landmark_count; ++i) {
    for (int c = 0; c < 2; ++c) s->from[c] += rotoi_mean_at(s->file, i, c) / n;
    s->to[0] += (double)(points[i].x * s->aspect) / n, s->to[1] += (double)points[i].y / n;
  }
  for (uint32_t i = 0; i < s->file->landmark_count; ++i) {
    double mx = rotoi_mean_at(s->file, i, 0) - s->from[0], my = rotoi_mean_at(s->file, i, 1) - s->from[1];
    double x = (double)(points[i].x * s->aspect) - s->to[0], y = (double)points[i].y - s->to[1];
    a += mx * x + my * y, b += mx * y - my * x, square += mx * mx + my * my;
  }
  s->turn[0] = a / square, s->turn[1] = b / square;
}

/* Where the mean lies, from where the network found the landmark, and how x and y change with each way: the components, then
 * turning, scaling and moving all by a third of their size, which is as good as free. */
static void rotoi_ways(const rotoi_settling *s, uint32_t i, double mean[2], double (*ways)[ROTOI_MOST_WAYS]) {
  const unsigned char *component = s->file->distribution_components + 8 * (size_t)i;
  uint32_t m = s->file->component_count;
  double x = rotoi_mean_at(s->file, i, 0) - s->from[0], y = rotoi_mean_at(s->file, i, 1) - s->from[1], a = s->turn[0],
         b = s->turn[1], third = (double)ROTO_CONTOUR_BOX * rotoi_sqrt(a * a + b * b) / 3;
  double px = a * x - b * y, py = b * x + a * y;
  mean[0] = s->to[0] + px - (double)s->known[i].x, mean[1] = s->to[1] + py - (double)s->known[i].y;
  for (uint32_t k = 0; k < m; ++k, component += 8 * (size_t)s->file->landmark_count) {
    double cx = (double)rotoi_f32(component), cy = (double)rotoi_f32(component + 4);
    ways[0][k] = a * cx - b * cy, ways[1][k] = b * cx + a * cy;
  }
  ways[0][m] = px / 3, ways[1][m] = py / 3;
  ways[0][m + 1] = -py / 3, ways[1][m + 1] = px / 3;
  ways[0][m + 2] = third, ways[1][m + 2] = 0;
  ways[0][m + 3] = 0, ways[1][m + 3] = third;
}

static double rotoi_trust(double squared) {
  double w = 1 / (1 + squared / (rotoi_wrong * rotoi_wrong));
  return w * w;
}

/* What is known of a landmark by itself: information, that times the way, and the inverse of it with `tight`. */
typedef struct rotoi_alone {
  double xx, xy, yy, x, y, ixx, ixy, iyy;
} rotoi_alone;

/* `now`: where it seems to be, to trust what is near more; NULL: no one knows yet. */
static rotoi_alone rotoi_weigh_landmark(const rotoi_settling *s, const rotoi_known *k, const roto_point *now) {
  double error = (double)k->error, least = rotoi_least_error * s->step, own, outline = 1;
  if (!(error > least)) error = least;
  own = s->own / (error * error);
  if (now) {
    double dx = (double)(now->x * s->aspect - k->x), dy = (double)(now->y - k->y);
    double away = (double)k->xx * dx * dx + 2 * (double)k->xy * dx * dy + (double)k->yy * dy * dy -
                  2 * ((double)k->wx * dx + (double)k->wy * dy) + (double)k->ww;
    own *= rotoi_trust(own * (dx * dx + dy * dy));
    outline = rotoi_trust(away > 0 ? away : 0);
  }
  rotoi_alone l = {own + outline * (double)k->xx,
                   outline * (double)k->xy,
                   own + outline * (double)k->yy,
                   outline * (double)k->wx,
                   outline * (double)k->wy,
                   0,
                   0,
                   0};
  double xx = l.xx + s->tight, yy = l.yy + s->tight, det = xx * yy - l.xy * l.xy;
  l.ixx = yy / det, l.ixy = -l.xy / det, l.iyy = xx / det;
  return l;
}

/* Add to the problem what a landmark tells of the ways: its information L widened by `tight`, tight (L + tight)^-1 L. */
static void rotoi_add_landmark(rotoi_settling *s, const rotoi_alone *l, const double mean[2], double (*ways)[ROTOI_MOST_WAYS]) {
  double wxx = s->tight * (l->ixx * l->xx + l->ixy * l->xy), wxy = s->tight * (l->ixx * l->xy + l->ixy * l->yy),
         wyy = s->tight * (l->ixy * l->xy + l->iyy * l->yy);
  double rx = l->x - l->xx * mean[0] - l->xy * mean[1], ry = l->y - l->xy * mean[0] - l->yy * mean[1];
  double tx = s->tight * (l->ixx * rx + l->ixy * ry), ty = s->tight * (l->ixy * rx + l->iyy * ry);
  for (uint32_t r = 0; r < s->ways; ++r) {
    double ux = wxx * ways[0][r] + wxy * ways[1][r], uy = wxy * ways[0][r] + wyy * ways[1][r];
    s->b[r] += tx * ways[0][r] + ty * ways[1][r];
    for (uint32_t c = 0; c <= r; ++c) s->a[r][c] += ux * ways[0][c] + uy * ways[1][c];
  }
}

/* Put a landmark where it is most likely, given how far to go each way, and in the last round say what error is to be
 * expected; `ways` is used up. */
static void rotoi_place_landmark(const rotoi_settling *s, const rotoi_known *k, const rotoi_alone *l, const double mean[2],
                                 double (*ways)[ROTOI_MOST_WAYS], int last, roto_point *point) {
  double px = mean[0], py = mean[1], cxx = 0, cxy = 0, cyy = 0; /* what the ways say, and its covariance */
  for (uint32_t r = 0; r < s->ways; ++r) {
    px += s->b[r] * ways[0][r], py += s->b[r] * ways[1][r];
    if (!last) continue;
    for (uint32_t c = 0; c < r; ++c) ways[0][r] -= s->a[r][c] * ways[0][c], ways[1][r] -= s->a[r][c] * ways[1][c];
    ways[0][r] /= s->a[r][r], ways[1][r] /= s->a[r][r];
    cxx += ways[0][r] * ways[0][r], cxy += ways[0][r] * ways[1][r], cyy += ways[1][r] * ways[1][r];
  }
  double x = l->x + s->tight * px, y = l->y + s->tight * py, dx = l->ixx * x + l->ixy * y, dy = l->ixy * x + l->iyy * y;
  double variance = l->ixx + l->iyy +
                    s->tight * s->tight *
                        ((l->ixx * l->ixx + l->ixy * l->ixy) * cxx + 2 * l->ixy * (l->ixx + l->iyy) * cxy +
                         (l->ixy * l->ixy + l->iyy * l->iyy) * cyy);
  double squared = s->variance * variance + (s->ways ? 0 : rotoi_doubt * (dx * dx + dy * dy));
  if (!(dx > -1e9 && dx < 1e9 && dy > -1e9 && dy < 1e9 && squared < 1e30)) return;
  point->x = (k->x + (float)dx) / s->aspect;
  point->y = k->y + (float)dy;
  if (last) point->error = (float)rotoi_sqrt(squared);
}

/* Move the landmarks to where all that is known says they are.  `step`: a step of CONT and DIST in square pixels. */
static void rotoi_settle(const rotoi_file *file, float aspect, double step, const rotoi_known *known, roto_point *points) {
  rotoi_settling s = {file, known, aspect, step, rotoi_own, 1, 0, {1, 0}, {0, 0}, {0, 0}, 0, {{0}}, {0}};
  double mean[2] = {0, 0}, ways[2][ROTOI_MOST_WAYS], square = 0;
  for (uint32_t i = 0; i < file->landmark_count; ++i) square += (double)known[i].error * (double)known[i].error;
  if (file->component_count) s.variance = rotoi_variance;
  if (file->component_count && file->contour_count) {
    s.own = rotoi_own_beside;
    s.variance = rotoi_variance_beside * rotoi_sqrt(square / (double)file->landmark_count) / step;
  }
  if (file->component_count) {
    rotoi_lay_mean(&s, points);
    double deviation = (double)file->distribution_deviation, scale = s.turn[0] * s.turn[0] + s.turn[1] * s.turn[1];
    s.tight = 1 / (scale * deviation * deviation);
    if (!(s.tight > 0 && s.tight < 1e150)) return;
    s.ways = file->component_count + 4;
  }
  const int rounds = s.ways ? ROTOI_SETTLE_ROUNDS : 1;
  for (int round = 0; round < rounds; ++round) {
    memset(s.a, 0, sizeof s.a), memset(s.b, 0, sizeof s.b);
    for (uint32_t r = 0; r < s.ways; ++r) s.a[r][r] = 1;
    for (uint32_t i = 0; i < file->landmark_count && s.ways; ++i) {
      rotoi_alone alone = rotoi_weigh_landmark(&s, &known[i], round ? &points[i] : NULL);
      rotoi_ways(&s, i, mean, ways);
      rotoi_add_landmark(&s, &alone, mean, ways);
    }
    if (!rotoi_solve(s.a, s.b, s.ways)) return;
    for (uint32_t i = 0; i < file->landmark_count; ++i) {
      rotoi_alone alone = rotoi_weigh_landmark(&s, &known[i], round ? &points[i] : NULL);
      if (s.ways) rotoi_ways(&s, i, mean, ways);
      rotoi_place_landmark(&s, &known[i], &alone, mean, ways, round + 1 == rounds, &points[i]);
    }
  }
}

#endif /* ROTOI_DISTRIBUTION */
