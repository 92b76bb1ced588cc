/* OpenEXR pictures in memory.
 *
 * Reading is tinyexr's: half, float and whole numbers, scanlines and tiles, one part or several; no compression, RLE, ZIPS, ZIP and
 * PIZ.  Not read: deep files, subsampled channels, the other compressions.  What comes out is the display window; where the data
 * window leaves some of it empty it is 0, and what the data window has beyond it (overscan) is dropped.
 *
 * Writing is done here, as scanlines, ZIPS, because tinyexr's writer knows no windows. */

#ifndef ROTO_EXR_FILE_H
#define ROTO_EXR_FILE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "image_file.h"

int exr_is(const unsigned char *data, size_t size);

/* `channels`: one name, or three separated by commas, or a layer, whose .R, .G and .B (or .Y) are taken; NULL: R, G, B, else Y, else
 * the only layer with colours.  A part's name is a layer too.  The result has 32 bits and 1 or 3 channels, linear; with
 * `header_only` it has no pixels. */
int exr_decode(const unsigned char *data, size_t size, const char *name, const char *channels, int header_only,
               image_file *image, char *message);

/* A channel to write: [height][width] of the data window. */
typedef struct exr_channel {
  const char *name; /* 1 to 255 bytes */
  const float *values;
} exr_channel;

/* The bytes of a file, for free().  Of `frame` the windows and the shape of pixels are used, and `bits`: 16 half, 32 float.  Values
 * beyond half's range become its largest. */
int exr_encode(const exr_channel *channels, size_t count, const image_file *frame, const char *name, unsigned char **data,
               size_t *size, char *message);

#ifdef __cplusplus
}
#endif

#endif
