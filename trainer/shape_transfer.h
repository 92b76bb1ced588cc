/* The networks that draw shapes, taken from one model's file into another's. */

#ifndef ROTO_SHAPE_TRANSFER_H
#define ROTO_SHAPE_TRANSFER_H

#include "../tools/model_file.h"

/* Gives the adapted model the networks of `base` that draw shapes, which do not change with a shot; nothing if it has none.  What
 * the self-test expects of the shapes is drawn anew, by scalar kernels, through the landmarks that the new model's expects.
 * *bytes and *size are replaced. */
int shapes_take_along(const model_file *base, unsigned char **bytes, size_t *size, char *message);

#endif
