/* What an artist corrected in one frame helps every frame of a like pose, however far away in time: what a network gets wrong
 * depends on what it sees. */

#ifndef ROTO_CARRY_H
#define ROTO_CARRY_H

#include "document.h"

typedef struct carried {
  double x, y; /* pixels to add to where the model found the point */
  double left; /* share of its expected error that is to be expected still, 0..1 */
} carried;

/* For each point of each frame, [frame][point]; for free().  Points of an artist have nothing to gain: 0, 0, 1.  `causal`: a
 * frame learns from those before it alone. */
carried *carry_corrections(const document *doc, int causal);

#endif
