/* What a landmark model knows of its landmarks beside its network: the outlines they lie on (contours.h), and how they lie
 * together (distribution.h). */

#ifndef ROTO_REFINE_H
#define ROTO_REFINE_H

#include "compute.h"
#include "dataset.h"

/* A landmark model with both in place of what it had; `model` is its file, opened, and `bytes` (for free()) the new one.  The
 * data set is cached (dataset_cache); `skip_shot` of it is not trained on; -1: all are; of renders (frames with transparency) no
 * more than twice as many as of true frames.  With nothing to learn - too few frames - `*bytes` is NULL and nothing is wrong.  The
 * same bytes at any number of threads. */
int refine_train(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds,
                 int skip_shot, int seed, unsigned char **bytes, size_t *size, char *message);

/* A new model gets what the one knows that it was made from; `*bytes` is replaced. */
int refine_take_along(const unsigned char *from, unsigned char **bytes, size_t *size, char *message);

/* The same of a model that has learnt both, for a shot of which a few frames are annotated, cached too: both are adapted to them.
 * `*bytes` is NULL if it has neither. */
int refine_adapt(compute *cp, const roto_model *model, const unsigned char *file, size_t file_size, const dataset *ds, int seed,
                 unsigned char **bytes, size_t *size, char *message);

/* `roto-train refine` */
int refine_main(int argc, char **argv);

#endif
