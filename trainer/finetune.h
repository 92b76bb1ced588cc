/* Fix and continue: the frames of a shot in which an artist set points, as data to adapt a model to that shot. */

#ifndef ROTO_FINETUNE_H
#define ROTO_FINETUNE_H

#include "../tools/model_file.h"
#include "dataset.h"
#include "train.h"

/* The recipe: a few hundred steps at a tenth of the usual rate, with the model's own normalisation; about two core-minutes with
 * the default network. */
void finetune_defaults(train_options *o);

/* Frames of a roto document in which an artist set a point, in its template's landmarks by name.  What the artist did not touch
 * there counts `other` of a point that was: it was seen and left.  The frames without an artist's work come along if `rest` > 0,
 * which is what their points count: five frames are few, and those worth correcting are not like the others, so these hold the
 * model to what it said (and smoothing made of it) where nobody said otherwise.  Corrected frames are then there as often as all
 * others together.  Fails if there is no corrected frame; *corrected receives their number. */
int finetune_load(const char *path, const character *ch, float other, float rest, dataset *ds, size_t *corrected, char *message);

/* Gives the adapted model the networks of `base` that draw shapes, which do not change with a shot; nothing if it has none.  What
 * the self-test expects of the shapes is drawn anew, by scalar kernels, through the landmarks that the new model's expects.
 * *bytes and *size are replaced. */
int finetune_keep_shapes(const model_file *base, unsigned char **bytes, size_t *size, char *message);

/* `roto-train character --finetune MODEL --from DOCUMENT` */
int finetune_main(int argc, char **argv);

#endif
