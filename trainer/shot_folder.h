/* A folder of shots as the commands write it: OUT/<shot>/<files of dataset.h>, the template beside the shots.  Files are written
 * under temporary names, and never over what is read.  These functions end the process where something fails, as cli.h does. */

#ifndef ROTO_SHOT_FOLDER_H
#define ROTO_SHOT_FOLDER_H

#include "../tools/image_file.h"
#include "dataset.h"

/* A loop on all threads, as dataset_cache takes one. */
void shots_parallel(void *user, size_t count, roto_task task, void *context);

/* The template given, or the one beside the data. */
void shots_character(const char *given, const char *data, character *ch);

/* OUT with the template in it.  OUT must not be the folder that is read. */
void shots_start(const char *out, const char *in, const character *ch);

/* OUT/<shot>/<kind>-<shot>-frameNNN<extension>, for free(). */
char *shots_path(const char *out, const char *kind, const char *shot, uint32_t number, const char *extension);

void shots_copy_image(const char *from, const char *out, const char *shot, uint32_t number);

/* A frame's points and shapes, and its raw shapes, as files. */
void shots_write_frame(const char *out, const char *shot, const character *ch, const frame *f);

/* Grow box (left, top, right, bottom) by everything drawn in the frame: known landmarks, ends of the segments of all shapes. */
void frame_extent(const frame *f, uint32_t landmarks, double box[4]);

/* A crop, by a map as of roto_crop_map, as 8-bit pixels, with the alpha of the picture if it has one; free(). */
uint8_t *crop_pixels(const image_file *image, const float m[6], uint32_t width, uint32_t height, uint32_t *channels);

#endif
