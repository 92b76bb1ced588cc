/* Pictures a person can check a result on: the frame with its landmarks drawn over it, and a contact sheet of a shot.
 *
 * A landmark is a disc with a dark rim, from red (confidence 0) over yellow to green (1); blue if an artist set it, hollow if
 * it is hidden.  Shapes are light blue, those an artist drew blue.  The searched rectangle is a thin white frame. */

#ifndef ROTO_PREVIEW_H
#define ROTO_PREVIEW_H

#include <stddef.h>
#include "canvas.h"
#include "document.h"
#include "image_file.h"

/* The whole frame with what was found in it; free .pixels. */
canvas preview_frame(const image_file *image, const document *doc, const document_frame *frame);

/* A sheet of `tiles` square tiles, each to be drawn by preview_tile, on several threads if need be; free .pixels. */
typedef struct contact_sheet {
  canvas picture;
  int tile_size, columns;
} contact_sheet;
contact_sheet preview_sheet(size_t tiles);

/* Tile `index`: what lies around the frame's crop, its landmarks and shapes, its number. */
void preview_tile(contact_sheet *sheet, size_t index, const image_file *image, const document *doc,
                  const document_frame *frame);

#endif
