/* Which shapes of a shot something covers. */

#ifndef ROTO_HIDDEN_H
#define ROTO_HIDDEN_H

#include "document.h"

/* Marks shapes, and the points they stand on, as hidden where the model itself does not know where they are: two thirds of the
 * shape's landmarks, three at least, have an expected error far above what is usual in this shot, over most of five frames.  Where
 * it knows, marks of an earlier run are taken back.  What an artist set stays as it is.  Says how many shapes it hid, frame by
 * frame. */
size_t hidden_mark(document *doc);

#endif
