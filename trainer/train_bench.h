/* `roto-train bench`: how long a whole training step takes. */

#ifndef ROTO_TRAIN_BENCH_H
#define ROTO_TRAIN_BENCH_H

int train_bench_main(int argc, char **argv);

#endif
