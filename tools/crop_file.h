/* Rough crops: where in a frame to look.  The JSON file is an object from frame number (or file name, for lists of
 * photographs) to [x, y, width, height] in pixels of the frame, or one such rectangle for all frames. */

#ifndef ROTO_CROP_FILE_H
#define ROTO_CROP_FILE_H

#include "../runtime/api.h"
#include "json_file.h"

/* Read and check the whole file; cJSON_Delete the result. */
cJSON *crops_read(const char *path, char *message);

/* The crop of a frame: by number, else by the file's name, else the one for all.  0 if there is none. */
int crops_find(const cJSON *crops, int number, const char *file, roto_rect *crop);

/* "x,y,width,height"; 0 if it is something else or the size is not positive. */
int crop_parse(const char *text, roto_rect *crop);

#endif
