/* Models on disk: mapped into memory, so that several processes share the weights' pages, and opened with messages for
 * people. */

#ifndef ROTO_MODEL_FILE_H
#define ROTO_MODEL_FILE_H

#include <stddef.h>
#include "../roto.h"
#include "whole_file.h"

typedef struct model_file {
  roto_model *model;
  void *data;
  size_t size;
} model_file;

/* Map and open; the message says which rule of the format is broken, and where.  On failure *file is zero. */
int model_open(const char *path, roto_isa max_isa, model_file *file, char *message);
/* The same in another precision than fp32, where the machine has it (roto_info.precision), made ready by so many threads (0: all). */
int model_open_in(const char *path, roto_isa max_isa, roto_precision precision, int threads, model_file *file, char *message);
void model_close(model_file *file); /* leaves it zero */

/* Large blocks in large pages (large_memory.h): what model_open uses, and what sessions should. */
roto_allocator model_allocator(void);

/* "auto", "scalar", "avx2", "avx512" -> *isa; -1 for anything else. */
int model_parse_isa(const char *name, roto_isa *isa);
/* "fp32", "bf16", "int8". */
int model_parse_precision(const char *name, roto_precision *precision);

#endif
