/* A training run on disk, so that it can be killed at any moment and go on to the same bits. */

#ifndef ROTO_CHECKPOINT_H
#define ROTO_CHECKPOINT_H

#include "network.h"
#include "optimizer.h"

/* Everything of a run that changes.  Random numbers need no state: they are a function of seed, epoch and sample. */
typedef struct run_state {
  uint64_t epoch, batch; /* next to run */
  double epoch_loss;     /* sum over the batches of this epoch so far */
  double core_seconds;   /* processor time of all threads so far */
  char *log;             /* the CSV so far, malloc'd */
  size_t log_size;
} run_state;

/* `configuration` is a hash of all that decides the result; a checkpoint of another configuration is refused. */
int checkpoint_save(const char *path, uint64_t configuration, const network *net, const optimizer *o, const run_state *s,
                    char *message);

/* 1: there is no such file; 0: restored; -1: the file is there but cannot be used. */
int checkpoint_load(const char *path, uint64_t configuration, network *net, optimizer *o, run_state *s, char *message);

#endif
