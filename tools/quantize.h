/* `roto model quantize`: a model that can run in int8, from pictures of what it will see. */

#ifndef ROTO_QUANTIZE_H
#define ROTO_QUANTIZE_H

#include "../runtime/api.h"

typedef struct quantize_options {
  const char *model, *output;
  const char *calibrate; /* a shot with annotations, a folder of such shots, or a folder of frames */
  const char *crop;      /* "x,y,w,h" for frames without annotations; NULL: their whole picture */
  int frames;            /* how many to look at, spread over all there are */
  int json;
} quantize_options;

/* Returns the exit status. */
int quantize_run(const quantize_options *options);

#endif
