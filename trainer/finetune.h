/* Fix and continue: a model adapts to a shot from the few frames in which an artist set points. */

#ifndef ROTO_FINETUNE_H
#define ROTO_FINETUNE_H

#include "train.h"

/* The recipe: 1250 steps at a tenth of the usual rate, with the model's own normalisation; about five core-minutes with
 * the default network. */
void finetune_defaults(train_options *o);

/* `roto-train character --finetune MODEL --from DOCUMENT` */
int finetune_main(int argc, char **argv);

#endif
