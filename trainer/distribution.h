/* Training the distribution of a landmark model: how its landmarks lie together (runtime/distribution.c, model_format/SPEC.md,
 * DIST).
 *
 * The landmarks of all annotated frames are laid over each other, turned, scaled and moved; what is left is a mean and a
 * covariance.  Where a frame lacks some landmarks, the others say where they most likely are.  How much a shot may differ that
 * was not trained on, its deviation, is what the data say: each shot is left out in turn, and each of its landmarks
 * foretold from the others by what the rest knows.  A single shot is cut into four.  Renders (frames with transparency) are
 * never left out: a new shot is not one of them.  No picture is needed. */

#ifndef ROTO_DISTRIBUTION_H
#define ROTO_DISTRIBUTION_H

#include "dataset.h"

/* A landmark model with a distribution in place of the one it had; `file` is its bytes and `bytes` (for free()) the new
 * one's.  With too few frames `*bytes` is NULL and nothing is wrong. */
int distribution_train(const unsigned char *file, size_t file_size, const dataset *ds, unsigned char **bytes, size_t *size,
                       char *message);

/* The same of a model that has a distribution: it is adapted to the frames, which are a few of a shot like those to come.
 * `*bytes` is NULL if it has none. */
int distribution_adapt(const unsigned char *file, size_t file_size, const dataset *ds, unsigned char **bytes, size_t *size,
                       char *message);

#endif
