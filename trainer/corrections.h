/* The frames of a shot in which an artist set points, as data to train on. */

#ifndef ROTO_CORRECTIONS_H
#define ROTO_CORRECTIONS_H

#include "dataset.h"

/* Frames of a roto document in which an artist set a point, in its template's landmarks by name.  What the artist did not touch
 * there counts `other` of a point that was: it was seen and left.  The frames without an artist's work come along if `rest` > 0,
 * which is what their points count: five frames are few, and those worth correcting are not like the others, so these hold the
 * model to what it said (and smoothing made of it) where nobody said otherwise.  Corrected frames are then there as often as all
 * others together.  Fails if there is no corrected frame; *corrected receives their number. */
int corrections_load(const char *path, const character *ch, float other, float rest, dataset *ds, size_t *corrected,
                     char *message);

#endif
