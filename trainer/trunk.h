/* The trunk of a trained or imported model as the first layers of a network in training.
 *
 * The trunk ends with the model's last feature map: what the heat maps, the flattened dense layer or the classifier's mean
 * read; of a bare network whose output is a map, that map. */

#ifndef ROTO_TRUNK_H
#define ROTO_TRUNK_H

#include "../tools/model_file.h"
#include "network.h"

typedef struct trunk {
  model_file file; /* the tensors are read from its bytes */
  roto_node_desc *nodes;
  uint32_t last;                    /* node of the feature map */
  unsigned char *needed;            /* of nodes: the feature map depends on it */
  const float **tensors;            /* of the network's first parameters, param_count of them, once it is built */
  uint32_t node_count, param_count; /* of the network in training that belong to the trunk */
  uint64_t hash;                    /* of the file */
} trunk;

/* Read a model of three channels; whole: its head belongs to the trunk too, all of it is trained on.  On failure *t is zero. */
int trunk_load(const char *path, int whole, trunk *t, char *message);
void trunk_free(trunk *t);

/* Append its layers to a network that has a picture of any size so far; *x becomes the feature map. */
int trunk_build(trunk *t, network *net, uint32_t *x, char *message);

/* The model's own calibration, which stays that of the shots it was made on.  Returns the number of knots, at most `room`. */
uint32_t trunk_knots(const trunk *t, roto_knot *knots, uint32_t room);

/* After net_finish: put the trunk's numbers in place. */
void trunk_fill(const trunk *t, network *net);

/* Move all numbers of a network that was filled from a whole model `share` of their way towards those of another model of the same
 * layers: by 1/2, 1/3, ... for one model after another, they become the mean. */
int trunk_blend(const char *path, double share, network *net, char *message);

#endif
