/* How well drawn shapes match annotated ones: overlap of what closed shapes enclose, and the distance between contours.
 *
 * Intersection over union comes from exact areas (roto_matte without feather), not from pixels.  The contour distance is that of
 * points one pixel apart on either curve to the nearest point of the other, pooled over shapes and frames. */

#ifndef ROTO_SHAPE_METRICS_H
#define ROTO_SHAPE_METRICS_H

#include <stdio.h>
#include "character.h"
#include "dataset.h"

typedef struct shape_score {
  const char *name;
  int closed;
  size_t frames;     /* compared */
  double iou;        /* mean over them, 0..1; closed shapes */
  double contour_px; /* mean distance, pixels of the frame */
} shape_score;

typedef struct shape_metrics {
  uint32_t shape_count; /* of the template; 0: nothing was compared */
  shape_score *shapes;
  double contour_mean_px, contour_p95_px; /* of all distances */
  float *distances;
  size_t distance_count, distance_room;
} shape_metrics;

int shape_metrics_init(shape_metrics *m, const character *ch);
void shape_metrics_free(shape_metrics *m); /* leaves it zero */

/* Count one shape of one frame, `index` of the template.  -1: out of memory, or a curve beyond what roto_matte draws.  `iou` (0..1,
 * of a closed shape) and `distance` (mean, pixels) of this one may be NULL. */
int shape_metrics_add(shape_metrics *m, uint32_t index, const roto_path *found, const roto_path *truth, double *iou,
                      double *distance);

/* Means and percentile, after the last shape. */
void shape_metrics_finish(shape_metrics *m);

/* Vertices of an annotated shape: as many as segments if it is closed, else one more; room for segment_count + 1.  Returns how
 * many. */
uint32_t frame_shape_vertices(const frame_shape *shape, int closed, roto_vertex *vertices);

/* The shape of that name in a frame, or NULL. */
const frame_shape *frame_find_shape(const frame *f, const char *name);

/* What a model draws through `points` ([frame_count][landmark_count][2] pixels; NaN in the first value: no prediction in this frame, in another: an
 * unknown landmark, so no shape through it), against the shapes
 * of the data set.  `m` is initialised, and not finished yet. */
int shape_metrics_model(shape_metrics *m, const roto_model *model, const character *ch, const dataset *ds, const float *points,
                        char *message);

void shape_metrics_print(FILE *out, const shape_metrics *m);

/* `,"iou":{...},"contour_px":{...}`, to stand in an object behind another member. */
void shape_metrics_print_json(FILE *out, const shape_metrics *m);

#endif
