/* `roto-train experiment 1|2|3`: the experiments of the paper's supplement (Tables 2 to 4) on a film of one's own. */

#ifndef ROTO_EXPERIMENT_H
#define ROTO_EXPERIMENT_H

#include "compute.h"
#include "train.h"

/* argv[0] is the name shown in the help text.  Returns the process's exit status. */
int experiment_main(int argc, char **argv);

#endif
