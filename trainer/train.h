/* The training run of a landmark model: data set in, .roto file out. */

#ifndef ROTO_TRAIN_H
#define ROTO_TRAIN_H

#include "../tools/cli.h"
#include "augment.h"
#include "compute.h"
#include "looks.h"
#include "loss.h"
#include "optimizer.h"

typedef struct train_options {
  char *const *data; /* folders of shots */
  size_t data_count;
  const char *validation;  /* another, or NULL */
  const char *character;   /* character.json; NULL: the one in the first folder */
  const char *output;      /* the .roto file */
  const char *net;         /* a name or text of architectures.h */
  const char *from;        /* a model whose trunk to start from, with the head of `net` (text: all of it); or NULL */
  const char *finetune;    /* a model to go on training as it is, at any size, on the data and on `fixed`; or NULL */
  const char *fixed;       /* a roto document: its frames in which an artist set points; or NULL */
  const char *second;      /* a model whose second look is trained (looks.h); the output is that model with it; or NULL */
  int looks;               /* of it */
  const look_plan *plan;   /* which landmarks a look is for, if that is known; or NULL */
  const char *backgrounds; /* folder of pictures for the augmentation; NULL: plain colours */
  int freeze;              /* epochs before that trunk is trained too */
  const char *name, *description;
  int size;                          /* of the square input; 0: the configuration's own */
  int epochs, batch, evaluate_every; /* evaluation: in epochs */
  int epoch_batches;                 /* batches an epoch; 0: as many as make every frame be seen once */
  double grow;                       /* share of the epochs in which the input grows from half its side to all of it */
  double settle;                     /* share of the epochs, the last ones, in which crops are nearly the true ones */
  double rate; /* the highest; NAN: the network's own, 2e-3 for heat maps, 7e-4 for the head that regresses */
  double weight_decay, average;
  schedule_kind schedule;
  loss_options loss;
  int part_scale; /* 1: w_part over the parts' mean size as well, so that small parts count as much as large ones */
  augment_options augment;
  int seed;
  double checkpoint_seconds; /* between checkpoints */
  int recompute; /* expanded values are made again in the backward pass and not kept: the same bits in less memory */
  int restart;   /* ignore a checkpoint of an earlier run */
  int quiet;
} train_options;

train_options train_defaults(void);

/* The paper's recipe (supplement, section "optimiser"): Adam at 1e-3 with its schedule, scale-aware L1. */
void train_as_paper(train_options *o);

/* What suits a second look. */
void train_second(train_options *o);

/* What the commands that train say about --precision. */
#define TRAIN_PRECISION_HELP "fp32, or mixed: products in bfloat16, where the processor has AVX512-BF16 (default fp32)"

#define TRAIN_RECOMPUTE_HELP "keep less for the backward pass and compute it again: the same result in less memory"

/* Set what --precision says; the program ends where this machine cannot. */
void train_precision(const cli_command *command, compute *cp, const char *name);

/* Train, or go on from OUTPUT.checkpoint, and write OUTPUT, OUTPUT.csv and OUTPUT.png.  The same options, data and seed give
 * the same bytes of OUTPUT on any number of threads, interrupted or not.  Returns an exit status of tools/cli.h. */
int train_run(compute *cp, const train_options *o);

/* Write the mean of the weights of `finetune` and of `count` models of the same layers to OUTPUT, calibrated and measured on
 * `validation`, with the first one's template, shapes and margin.  Returns an exit status of tools/cli.h. */
int train_average(compute *cp, const train_options *o, char *const *models, size_t count);

#endif
