/* Networks from elsewhere as models: an ONNX file in, a .roto file out. */

#ifndef ROTO_IMPORT_H
#define ROTO_IMPORT_H

#include <stddef.h>

typedef struct import_options {
  const char *name, *description;
  const char *character;        /* character.json of what the outputs are; NULL: `landmarks` nameless ones */
  const char *until;            /* value to stop at; NULL: the file's output */
  int landmarks;                /* 0 and no character: a bare network */
  int size;                     /* of the square picture where the file leaves it open; 0: the file says */
  double mean[3], deviation[3]; /* network input = (encoded value in 0..1 - mean) / deviation */
  double margin;
} import_options;

import_options import_defaults(void); /* ImageNet's mean and deviation */

/* `onnx` with its size are the bytes of the file.  The model's self-test holds what plain C computes for a picture of its own,
 * so that faster kernels are held to it.  free() the bytes. */
int import_model(const import_options *o, const void *onnx, size_t onnx_size, unsigned char **bytes, size_t *size,
                 char *message);

int import_main(int argc, char **argv); /* roto-train import */

#endif
