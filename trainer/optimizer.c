/* See optimizer.h.  The update runs over the flat arrays in fixed slices, so threads do not change a bit. */

#include "optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double pi = 3.14159265358979323846;

double schedule_rate(schedule_kind kind, double base, double progress) {
  if (kind == SCHEDULE_PAPER) {
    double epoch = progress * 140;
    if (epoch <= 10) return base;
    return base * pow(10, -(epoch < 70 ? epoch - 10 : 60) / 20);
  }
  const double warm = 0.03;
  if (progress < warm) return base * (0.01 + 0.99 * progress / warm);
  return base * (0.01 + 0.99 * 0.5 * (1 + cos(pi * (progress - warm) / (1 - warm))));
}

void optimizer_init(optimizer *o, const network *net) {
  memset(o, 0, sizeof *o);
  o->beta1 = 0.9;
  o->beta2 = 0.999;
  o->epsilon = 1e-8;
  o->first = real_alloc(net->trainable_count);
  o->second = real_alloc(net->trainable_count);
  o->averaged = real_alloc(net->value_count);
  memcpy(o->averaged, net->values, net->value_count * sizeof(real));
}

void optimizer_restart(optimizer *o, const network *net) {
  o->step = 0;
  memset(o->first, 0, net->trainable_count * sizeof(real));
  memset(o->second, 0, net->trainable_count * sizeof(real));
}

void optimizer_free(optimizer *o) {
  free(o->first);
  free(o->second);
  free(o->averaged);
  memset(o, 0, sizeof *o);
}

typedef struct update {
  optimizer *o;
  network *net;
  real rate, correct1, correct2, average;
} update;

/* Updates of one parameter tensor; the moving average of statistics too. */
static void update_param(void *context, size_t index) {
  const update *u = context;
  const net_param *p = &u->net->params[index];
  real *value = u->net->values + p->offset, *averaged = u->o->averaged + p->offset;
  if (p->kind != PARAM_STATISTIC && index >= u->net->frozen_params) {
    const real b1 = (real)u->o->beta1, b2 = (real)u->o->beta2, epsilon = (real)u->o->epsilon;
    const real keep = p->kind == PARAM_WEIGHT ? 1 - u->rate * (real)u->o->weight_decay : 1;
    real *m = u->o->first + p->offset, *v = u->o->second + p->offset;
    const real *g = u->net->gradients + p->offset;
    for (size_t k = 0; k < p->count; k++) {
      m[k] = b1 * m[k] + (1 - b1) * g[k];
      v[k] = b2 * v[k] + (1 - b2) * g[k] * g[k];
      value[k] = value[k] * keep - u->rate * (m[k] * u->correct1) / ((real)sqrtf((float)(v[k] * u->correct2)) + epsilon);
    }
  }
  if (u->average > 0) {
    for (size_t k = 0; k < p->count; k++) averaged[k] += (1 - u->average) * (value[k] - averaged[k]);
  } else {
    memcpy(averaged, value, p->count * sizeof(real));
  }
}

void optimizer_step(optimizer *o, network *net, double rate) {
  o->step++;
  double t = (double)o->step;
  /* early on the average must not remember the random start for long */
  double average = o->average > 0 ? fmin(o->average, (1 + t) / (10 + t)) : 0;
  update u = {o, net, (real)rate, (real)(1 / (1 - pow(o->beta1, t))), (real)(1 / (1 - pow(o->beta2, t))), (real)average};
  compute_for(net->cp, net->param_count, update_param, &u);
}
