/* Training the contours of a landmark model (runtime/contours.c, model_format/SPEC.md, CONT).
 *
 * A contour follows the vertices of a shape of the template as long as they are landmarks and no corner comes: eyelids, a
 * brow's lower edge, a seam.  The filter of each of its places answers 1 where the outline is and 0 elsewhere on the line
 * across, as well as a linear one can: least squares with a ridge, solved at once, on annotated frames whose landmarks were
 * moved by chance, as a network's errors would move them.  Some seconds for hundreds of frames. */

#ifndef ROTO_CONTOURS_H
#define ROTO_CONTOURS_H

#include "compute.h"
#include "dataset.h"

/* A landmark model with contours in place of those it had; `model` is its file, opened, and `bytes` (for free()) the new
 * one. The data set is cached (dataset_cache).  Without a contour to learn
 * - no shapes, or too few frames that show one - `*bytes` is NULL and nothing is wrong.  The same bytes at any number of
 * threads. */
int contours_train(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds,
                   int seed, unsigned char **bytes, size_t *size, char *message);

/* The same of a model that has contours: they are adapted to the frames, which are a few of a shot like those to come.  `*bytes` is
 * NULL if there are none. */
int contours_adapt(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds,
                   int seed, unsigned char **bytes, size_t *size, char *message);

#endif
