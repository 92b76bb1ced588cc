/* See carry.h.
 *
 * A point's error, turned and scaled as its frame is laid over the shot's median pose and in units of what the model expects of
 * itself, is taken for a Gaussian process over poses (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
 * equations 2.25 and 2.26): as alike as common + exp(-d^2 / (2 reach^2)) of two frames whose poses are d apart.  The common part is
 * the error of all poses, of a puppet the model never saw.  Five frames corrected at random or of the worst, each point alone, four
 * shots of the rendered film that their models had not seen: the error of all other frames falls by 19 % at a reach of 0.4 or 0.5,
 * 17 % at 0.7.  Errors in pixels, not in units of the expected one, let a hand before one frame's face spoil others (up to 15 %
 * more error); poses of each part by itself were no better than of the whole.
 *
 * Error left on the other frames by the five worst, smoothed: five shots of the film whose models had seen its puppet; four of the
 * demo's that had not:
 *   common              0      0.1    0.25   1      of greatest marginal likelihood, with reach and noise (equation 5.8)
 *   film, puppet seen   0.752  0.752  0.760  0.785  0.749
 *   demo, unseen        0.409  0.387  0.378  0.384  0.359
 * and of frames at random 0.79 and 0.50, 0.79 and 0.47, 0.80 and 0.46, -, 0.79 and 0.45: the likelihood is not worth its code. */

#include "carry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "median.h"
#include "pose.h"

enum { MOST_TEACHERS = 24 }; /* of a frame: those of the likest pose */

static const double reach = 0.5;         /* of how far poses usually are from the median pose */
static const double least_reach = 0.003; /* of the subject's size: poses that are as near are one */
static const double noise = 0.2;         /* variance that is a frame's own, */
static const double common = 0.15;       /* and that all frames share */

/* What a frame's corrected points say, as one of those that teach another frame. */
typedef struct teacher {
  size_t frame;
  double apart; /* squared distance of its pose from the other's */
} teacher;

/* Which frames teach, and how much of each. */
typedef struct lesson {
  size_t count, frames[MOST_TEACHERS];
  double weight[MOST_TEACHERS], left;
} lesson;

static double is_alike(double apart, double reach_squared) {
  return common + exp(-apart / (2 * reach_squared));
}

/* Weights (K + noise)^-1 k, by Cholesky's decomposition, and the error that is left of the expected one. */
static void learn(const poses *p, double reach_squared, const double *like, lesson *l) {
  double factor[MOST_TEACHERS][MOST_TEACHERS], known = 0;
  size_t n = l->count;
  for (size_t i = 0; i < n; ++i) {
    l->weight[i] = like[i];
    for (size_t j = 0; j <= i; ++j) {
      double sum = i == j ? common + 1 + noise : is_alike(poses_apart(p, l->frames[i], l->frames[j]), reach_squared);
      for (size_t k = 0; k < j; ++k) sum -= factor[i][k] * factor[j][k];
      factor[i][j] = i == j ? sqrt(sum) : sum / factor[j][j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) l->weight[i] -= factor[i][k] * l->weight[k];
    l->weight[i] /= factor[i][i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) l->weight[i] -= factor[k][i] * l->weight[k];
    l->weight[i] /= factor[i][i];
    known += like[i] * l->weight[i];
  }
  l->left = sqrt(fmax(1 - known / (common + 1), 0));
}

/* Does the point say what the model got wrong?  One that came from elsewhere, without what the model found, does not. */
static int teaches(const document_point *p) {
  return p->origin == ORIGIN_ARTIST && !p->hidden && (p->error > 0 || p->x != p->raw_x || p->y != p->raw_y);
}

static int by_apart(const void *a, const void *b) {
  const teacher *x = (const teacher *)a, *y = (const teacher *)b;
  if (x->apart != y->apart) return x->apart > y->apart ? 1 : -1;
  return (x->frame > y->frame) - (x->frame < y->frame);
}

/* The expected error of a point, of the median pose's pixels; `usual` where it has none. */
static double expected(const poses *p, const document_point *point, size_t frame, double usual) {
  return (point->error > 0 ? point->error : usual) * hypot(p->turn[frame][0], p->turn[frame][1]);
}

/* Which of the teachers, sorted by pose, teach this point, and with which weights; those of the point before if they are the same. */
static void choose(const document *doc, const poses *p, double reach_squared, const teacher *teachers, size_t teacher_count,
                   size_t point, lesson *l) {
  double like[MOST_TEACHERS];
  size_t count = 0, same = 1;
  for (size_t k = 0; k < teacher_count && count < MOST_TEACHERS; ++k) {
    size_t frame = teachers[k].frame;
    if (!teaches(&doc->frames[frame].points[point])) continue;
    same &= count < l->count && l->frames[count] == frame;
    like[count] = is_alike(teachers[k].apart, reach_squared);
    l->frames[count++] = frame;
  }
  same &= count == l->count;
  l->count = count;
  if (!same) learn(p, reach_squared, like, l);
}

static double usual_distance(const poses *p) {
  double *away = (double *)cli_alloc(p->frame_count + 1, sizeof *away);
  for (size_t t = 0; t < p->frame_count; ++t) {
    for (size_t k = 0; k < 2 * p->point_count; ++k)
      away[t] += pow(p->points[t * 2 * p->point_count + k] - p->middle[k], 2) / (double)p->point_count;
    away[t] = sqrt(away[t]);
  }
  double usual = median(away, p->frame_count);
  free(away);
  return usual;
}

/* The median expected error of each point, in pixels. */
static double *usual_errors(const document *doc) {
  double *usual = (double *)cli_alloc(doc->point_count + 1, sizeof *usual);
  double *column = (double *)cli_alloc(doc->frame_count + 1, sizeof *column);
  for (size_t i = 0; i < doc->point_count; ++i) {
    size_t count = 0;
    for (size_t t = 0; t < doc->frame_count; ++t)
      if (doc->frames[t].points[i].error > 0) column[count++] = doc->frames[t].points[i].error;
    usual[i] = count ? median(column, count) : 1;
  }
  free(column);
  return usual;
}

carried *carry_corrections(const document *doc, int causal) {
  size_t n = doc->point_count, count = doc->frame_count, teaching_count = 0;
  carried *all = (carried *)cli_alloc(count * n + 1, sizeof *all);
  size_t *teaching = (size_t *)cli_alloc(count + 1, sizeof *teaching);
  for (size_t k = 0; k < count * n; ++k) all[k].left = 1;
  for (size_t t = 0; t < count; ++t) {
    int any = 0;
    for (size_t i = 0; i < n; ++i) any |= teaches(&doc->frames[t].points[i]);
    if (any) teaching[teaching_count++] = t;
  }
  if (!teaching_count) {
    free(teaching);
    return all;
  }
  poses p = poses_find(doc, 1);
  double *usual = usual_errors(doc), reach_squared = pow(fmax(reach * usual_distance(&p), least_reach * p.size), 2);
  teacher *teachers = (teacher *)cli_alloc(teaching_count, sizeof *teachers);
  for (size_t t = 0; t < count; ++t) {
    lesson l = {0, {0}, {0}, 1};
    size_t teacher_count = 0;
    for (size_t k = 0; k < teaching_count && (!causal || teaching[k] < t); ++k)
      teachers[teacher_count++] = (teacher){teaching[k], poses_apart(&p, t, teaching[k])};
    qsort(teachers, teacher_count, sizeof *teachers, by_apart);
    for (size_t i = 0; i < n; ++i) {
      const document_point *point = &doc->frames[t].points[i];
      if (point->origin == ORIGIN_ARTIST) continue;
      choose(doc, &p, reach_squared, teachers, teacher_count, i, &l);
      double x = 0, y = 0;
      for (size_t k = 0; k < l.count; ++k) {
        const document_point *q = &doc->frames[l.frames[k]].points[i];
        const double *turn = p.turn[l.frames[k]], dx = q->x - q->raw_x, dy = q->y - q->raw_y;
        double share = l.weight[k] / expected(&p, q, l.frames[k], usual[i]);
        x += share * (turn[0] * dx - turn[1] * dy), y += share * (turn[0] * dy + turn[1] * dx);
      }
      const double *turn = p.turn[t], size = expected(&p, point, t, usual[i]) / (turn[0] * turn[0] + turn[1] * turn[1]);
      all[t * n + i] = (carried){size * (turn[0] * x + turn[1] * y), size * (turn[0] * y - turn[1] * x), l.left};
    }
  }
  poses_free(&p);
  free(usual);
  free(teachers);
  free(teaching);
  return all;
}
