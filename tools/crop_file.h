/* Rough crops: where in a frame to look.  A JSON file holds one of these, told apart by what is in it:
 *
 *   [x, y, width, height]                        one rectangle for all frames, in pixels of the frame
 *   {"1001": [x, y, width, height], ...}         one a frame, by its number, or by its file's name for lists of photographs
 *   {"keys": {"1001": [...], "1040": [...]}}     key frames: in between a straight line, before and after the nearest key
 *   {"garbage": [[[x0,tx0,x3,tx3],[y0,...]], ...], ...}   shapes of an annotation file: the box of them all, for all frames
 *   a roto document with shapes                  the box of those to be seen in a frame; its frames are key frames */

#ifndef ROTO_CROP_FILE_H
#define ROTO_CROP_FILE_H

#include <stddef.h>
#include "../runtime/api.h"
#include "whole_file.h"

typedef struct crop_entry {
  int number;
  char *name; /* of a file instead of a number, or NULL */
  roto_rect rect;
} crop_entry;

typedef struct crop_list {
  crop_entry *entries; /* those with a number ascend */
  size_t count;
  enum { CROPS_BY_FRAME, CROPS_KEYS, CROPS_ALL } rule;
} crop_list;

/* Read and check the whole file; crops_free the result.  On failure *crops is zero. */
int crops_read(const char *path, crop_list *crops, char *message);
void crops_free(crop_list *crops); /* leaves it zero */

/* The crop of a frame; 0 if there is none. */
int crops_find(const crop_list *crops, int number, const char *file, roto_rect *crop);

/* "x,y,width,height"; 0 if it is something else or the size is not positive. */
int crop_parse(const char *text, roto_rect *crop);

#endif
