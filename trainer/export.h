/* A trained network as a .roto model. */

#ifndef ROTO_EXPORT_H
#define ROTO_EXPORT_H

#include "../model_format/write.h"
#include "character.h"
#include "network.h"

typedef struct export_options {
  const char *name, *description;
  float mean[3], scale[3];
  float crop_margin;
  const roto_knot *knots; /* as in roto_model_desc */
  uint32_t knot_count;
  const float *test_input; /* [h][w][4] normalised, any picture; quantised to 8 bits for the file */
} export_options;

/* Bytes of the model with the parameters `values` (net->values or a moving average of them); free() them.  The self-test's
 * output is computed by the trainer's own forward pass, so that the runtime is held to it.  Uses the network's batch. */
int export_model(network *net, real *values, const character *ch, const export_options *o, unsigned char **bytes, size_t *size,
                 char *message);

/* Knots from pairs of (spread, error): means of bins of equal count, neighbours joined until both ascend.  Returns the number of
 * knots, at most `room`; 0 without memory. */
uint32_t export_calibrate(roto_knot *pairs, size_t count, roto_knot *knots, uint32_t room);

#endif
