/* How good predicted landmarks are against an annotated data set: the figures of `eval`, in one place for models, documents
 * and training. */

#ifndef ROTO_METRICS_H
#define ROTO_METRICS_H

#include <stdio.h>
#include "../model_format/roto_format.h"
#include "dataset.h"

struct shape_metrics; /* shape_metrics.h */

/* Points of alike expected error: what was expected of them on average, and what it was, pixels of the frame. */
enum { METRICS_BINS = 10 };
typedef struct metrics_bin {
  double expected, actual;
  size_t points;
} metrics_bin;

static const double METRICS_HELD = 0.3, METRICS_JUMP = 0.02;

typedef struct metrics {
  size_t frames, failed;             /* evaluated; without a prediction */
  size_t unusable;                   /* left out of the data set, which says why: no annotation that can be read, no picture */
  double nme_percent;                /* mean over frames of: mean point distance / distance of the two anchors, percent */
  double fr10_percent;               /* share of frames with that above 10 % */
  double mae_px[ROTO_MAX_LANDMARKS]; /* per part: mean over valid landmarks and frames of |dx| + |dy|, pixels of the frame */
  double mae_total_px;               /* sum over the parts, as in the paper's tables */
  double rmse_px;                    /* RMS over points and frames of the distance */
  double jitter_px; /* RMS over points and consecutive frames of a shot of the change of the error; 0 without any */
  double held_px;   /* the same where the truth moves by less than METRICS_HELD pixels: poses that are held; -1 without any */
  double jumps_percent; /* how much of the truth's way is found in the same frame, where it moves by more than METRICS_JUMP of
                         * NME's unit from one frame to the next (blinks, new poses): sum of the ways' products over that of the
                         * true ways' squares; -1 without any */
  metrics_bin bins[METRICS_BINS]; /* by expected error, ascending, equally many points each; after metrics_rely */
  double worst_found; /* percent of the worst tenth of frames that are in the fifth of the least confidence; -1: unknown */
  size_t hidden_found, hidden_false,
      hidden_missed;      /* shapes a document hides: those the truth does not show, others; not hidden */
  const char *anchors[2]; /* names of the landmarks whose distance is NME's unit */
  uint32_t part_count;
  const char *part_names[ROTO_MAX_LANDMARKS];
} metrics;

/* `predicted` is [frame_count][landmark_count][2] in pixels of the frame; a NaN in a frame's first value marks a frame
 * without prediction.  Only valid landmarks count.  `frame_nme`, if not NULL, receives each frame's NME in percent. */
metrics metrics_compute(const character *ch, const dataset *ds, const float *predicted, double *frame_nme);

/* How far the expected errors in `points`, [frame_count][landmark_count] beside `predicted`, can be relied on: fills bins and
 * worst_found.  A frame's error is the mean over its valid points; what is expected of it, by which it is doubted, their RMS, as in
 * tools/doubt.h: one bad point makes a frame worth a look (over five shots of the film left out of training and ten views 79 % of the
 * worst tenth of frames are found so, 71 by the mean). */
void metrics_rely(metrics *m, const dataset *ds, const float *predicted, const roto_point *points);

/* A table for people, and one object on one line; with figures of shapes where some were compared (NULL: none). */
void metrics_print(FILE *out, const metrics *m, const struct shape_metrics *shapes);
void metrics_print_json(FILE *out, const metrics *m, const struct shape_metrics *shapes);

#endif
