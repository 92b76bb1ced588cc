/* Landmark losses: from a batch of predictions to one number and its gradients.
 *
 * Distances are measured in hundredths of the crop's side, so that the losses' constants do not depend on the input size.
 * Every kind is weighted as in the paper (section "landmark model"): w = w_valid * w_part * w_point, normalised to mean 1 over
 * the template, and averaged over the batch and its points. */

#ifndef ROTO_LOSS_H
#define ROTO_LOSS_H

#include <stddef.h>
#include "real.h"

typedef enum loss_kind {
  LOSS_L1,  /* |dx| + |dy|: the paper's */
  LOSS_WING /* w * ln(1 + d / e) per axis up to w, linear beyond (Feng et al. 2018, eq. 5) */
} loss_kind;

typedef struct loss_options {
  loss_kind kind;
  float wing_width, wing_epsilon; /* hundredths of the crop */
  float heat_weight, heat_sigma;  /* cross entropy of heat maps with a Gaussian of so many cells around the truth; 0: off */
} loss_options;

loss_options loss_defaults(void);

typedef struct loss_batch {
  size_t n, points;
  size_t floats_per_point, stride; /* layout of prediction: point p of image i at [i * stride + p * floats_per_point] */
  const real *prediction;          /* crop units */
  const real *probability;         /* [n][points][h * w] of a points head, or NULL */
  size_t h, w;
  const float *truth;  /* [n][points][2], crop units */
  const float *weight; /* [n][points], 0: not counted */
} loss_batch;

/* Returns the mean loss.  dy has the layout of prediction and is overwritten; dlogit [n][points][h*w] likewise where there
 * are heat maps (NULL otherwise). */
double loss_compute(const loss_options *o, const loss_batch *b, real *dy, real *dlogit);

#endif
