/* Adam and AdamW over a network's flat parameters, the learning-rate schedules, and the moving average of the weights. */

#ifndef ROTO_OPTIMIZER_H
#define ROTO_OPTIMIZER_H

#include "network.h"

typedef enum schedule_kind {
  SCHEDULE_PAPER, /* the paper's milestones (supplement, section 2), scaled from 140 epochs to the run's length */
  SCHEDULE_COSINE /* linear warm-up over the first 3 %, then half a cosine down to 1 % */
} schedule_kind;

/* Learning rate at `progress` in [0, 1] of the run; base is the highest rate. */
double schedule_rate(schedule_kind kind, double base, double progress);

typedef struct optimizer {
  double beta1, beta2, epsilon;
  double weight_decay;  /* decoupled (AdamW), on PARAM_WEIGHT only; 0: plain Adam */
  double average;       /* decay of the moving average of all values per step, 0: off */
  uint64_t step;        /* updates made */
  real *first, *second; /* moments, [trainable_count] */
  real *averaged;       /* moving average, [value_count] */
} optimizer;

void optimizer_init(optimizer *o, const network *net);
void optimizer_free(optimizer *o);

/* Forget the moments: what is trained from here on is another set of parameters. */
void optimizer_restart(optimizer *o, const network *net);

/* One update of net->values from net->gradients.  Bias-corrected moments; epsilon outside the root, as in PyTorch. */
void optimizer_step(optimizer *o, network *net, double rate);

#endif
