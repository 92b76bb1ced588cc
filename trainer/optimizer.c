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

void optimizer_step(optimizer *o, network *net, double rate) {
  o->step++;
  double t = (double)o->step;
  /* early on the average must not remember the random start for long */
  double average = o->average > 0 ? fmin(o->average, (1 + t) / (10 + t)) : 0;
  adam_pass *passes = malloc(net->param_count * sizeof *passes);
  if (passes == NULL) exit(1);
  for (uint32_t i = 0; i < net->param_count; i++) {
    const net_param *p = &net->params[i];
    int trained = p->kind != PARAM_STATISTIC && i >= net->frozen_params;
    adam_pass pass = {p->count,
                      net->values + p->offset,
                      NULL,
                      NULL,
                      o->averaged + p->offset,
                      NULL,
                      (real)o->beta1,
                      (real)o->beta2,
                      (real)o->epsilon,
                      (real)rate,
                      p->kind == PARAM_WEIGHT ? (real)(1 - rate * o->weight_decay) : 1,
                      (real)(1 / (1 - pow(o->beta1, t))),
                      (real)(1 / (1 - pow(o->beta2, t))),
                      (real)average};
    if (trained) {
      pass.first = o->first + p->offset;
      pass.second = o->second + p->offset;
      pass.gradient = net->gradients + p->offset;
    }
    passes[i] = pass;
  }
  adam_step(net->cp, passes, net->param_count);
  free(passes);
}
