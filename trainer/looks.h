/* The second look of a landmark model: a few landmarks at a time, in a crop of their own, by a network of its own.
 *
 * The first look sees the whole subject in a hundred or two pixels; a plate of a film holds several times as many.  The second
 * one goes where the first found the landmarks of an eye or a brow and finds them again there.  Its network is trained as the
 * first one is: each sample is a frame as one look sees it, with the box of its landmarks, and the others unknown. */

#ifndef ROTO_LOOKS_H
#define ROTO_LOOKS_H

#include "../model_format/roto_format.h"
#include "dataset.h"

typedef struct look_plan {
  uint32_t count;
  uint32_t look[ROTO_MAX_LANDMARKS]; /* of each landmark, below count */
} look_plan;

/* Which landmarks are looked at together: the mean face, made symmetric, is cut into `count` boxes, each time the longest box
 * in half.  At most as many looks as it has places. */
void looks_choose(const character *ch, const dataset *ds, uint32_t count, look_plan *plan);

/* The frame as a look sees it, borrowing all but `known` (landmark_count flags each, valid then hidden, in the caller's memory).
 * Returns 0 if none of the look's landmarks is known here. */
int looks_frame(const frame *f, const look_plan *plan, uint32_t landmark_count, uint32_t look, frame *seen, uint8_t *known);

#endif
