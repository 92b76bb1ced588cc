/* Running a finished model over a data set, with the runtime that artists use: the trainer has no second opinion. */

#ifndef ROTO_EVALUATE_H
#define ROTO_EVALUATE_H

#include "compute.h"
#include "dataset.h"

/* The crops of a file as `roto run --crops` takes it (tools/crop_file.h); a frame without one has width 0. */
int crops_load(const char *path, const dataset *ds, roto_rect *crops, char *message);

/* Landmarks of every frame, [frame_count][landmark_count][2] in pixels of the frame; NaN where a frame cannot be read (its
 * issue is printed to stderr) or has no crop.  `crops` NULL: the box of the true landmarks times the model's margin.
 * `views` as in roto_session_options.  `points`, if not NULL, receives the full results.  Frames are decoded whole unless the
 * data set is cached and the crops are the default ones, which lie inside the cached part. */
int evaluate_model(compute *cp, const roto_model *model, const dataset *ds, const roto_rect *crops, int views, float *predicted,
                   roto_point *points, char *message);

#endif
