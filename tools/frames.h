/* Frames as artists name them: ranges of numbers, and patterns, folders or lists of files.
 *
 * A range is a list of N, A-B and A-BxS, separated by commas or spaces: `1001-1105,1110x2` `-8--5` `1-10x2`.  Numbers may be
 * negative; A > B runs downwards; a number that is named twice counts once, where it stood first.
 *
 * A pattern is a path whose file name holds one number: %04d, %d, #### (one # a digit), @@@@, $F4 or $F.  A number with more
 * digits than the pattern asks for is written in full.  With a range the files are not looked for on disk: the caller learns
 * which are missing by opening them.  Without one the folder is searched.  In a folder, and in a list of files, the last
 * group of digits in a name is its number; names without one, or with the same, are numbered 1, 2, 3 in their order.
 *
 * Numbers are those of the plate: 1001 stays 1001. */

#ifndef ROTO_FRAMES_H
#define ROTO_FRAMES_H

#include <stddef.h>
#include "whole_file.h"

typedef struct frame_file {
  int number;
  char *path;
} frame_file;

typedef struct frame_sequence {
  char *pattern; /* with #### for the number; NULL where the files are a list without a common pattern */
  frame_file *files;
  size_t count; /* at least 1 */
} frame_sequence;

/* The numbers of a range, for free(). */
int frames_parse_range(const char *range, int **numbers, size_t *count, char *message);

/* The files that a pattern, a folder, or a list of files means; range may be NULL.  frames_free the result. */
int frames_find(char *const *inputs, size_t input_count, const char *range, frame_sequence *sequence, char *message);
void frames_free(frame_sequence *sequence); /* leaves it zero */

#endif
