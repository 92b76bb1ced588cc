/* The plate of a shot: its frames (frames.h), and how their values are to be read. */

#ifndef ROTO_PLATE_H
#define ROTO_PLATE_H

#include <stddef.h>
#include "document.h"
#include "frames.h"
#include "image_file.h"

typedef struct plate {
  frame_sequence frames;
  const char *channels; /* of OpenEXR frames, as exr_decode takes them, or NULL */
  int transfer;         /* a roto_transfer, or -1: as each file has it */
} plate;

/* inputs and range as frames_find takes them; transfer by name, or NULL.  Strings stay the caller's.  plate_close the result. */
int plate_open(char *const *inputs, size_t input_count, const char *range, const char *channels, const char *transfer, plate *p,
               char *message);
void plate_close(plate *p); /* leaves it zero */

/* Leaves every `count`-th part of the frames: the `index`-th, from 1.  May leave none. */
void plate_shard(plate *p, int index, int count);

/* Takes frame `index` out of the sequence. */
void plate_drop(plate *p, size_t index);

/* Frame `index` of the sequence, in the plate's transfer; image_free it.  Any thread. */
int plate_read(const plate *p, size_t index, image_file *image, char *message);

/* Note in a document how the plate was read, and what is said of it by a frame (its pixels are not needed). */
void plate_describe(const plate *p, const image_file *frame, document *doc);

/* Note in a frame of a document its size and data window. */
void plate_describe_frame(const image_file *image, document_frame *frame);

#endif
