/* What is doubtful in a document, frame by frame and part by part, without any truth to compare with.
 *
 * Four signs, each a number a frame and part, larger is worse.  Points an artist set are beyond doubt and do not count. */

#ifndef ROTO_DOUBT_H
#define ROTO_DOUBT_H

#include "document.h"
#include "pose.h"

typedef enum doubt_kind {
  DOUBT_ERROR,   /* RMS of the errors the model expects of itself, pixels */
  DOUBT_JITTER,  /* RMS of how far the points found leave the picture's own motion, to the frames before and behind, pixels */
  DOUBT_AGAINST, /* RMS distance of the points found from the smoothed ones, pixels: model and flow disagree */
  DOUBT_POSE,    /* RMS distance from the shot's median pose, position, turn and size taken away, pixels */
  DOUBT_KINDS
} doubt_kind;

typedef struct doubts {
  size_t frame_count, part_count;
  char **parts;    /* names */
  size_t *part_of; /* by landmark */
  double *values;  /* [frame][part][kind]; NaN: all points of the part are an artist's, or nothing connects the frame */
  poses poses;     /* of the smoothed points */
} doubts;

doubts doubts_find(const document *doc);
void doubts_free(doubts *d); /* leaves it zero */

/* One value; kind by kind. */
double doubts_value(const doubts *d, size_t frame, size_t part, doubt_kind kind);

/* RMS over the points, or those of a part, of how far the way from frame `frame` to the next leaves the flow; raw: of the points
 * as found, else of the smoothed ones.  part_count: all.  NaN: nothing connects the two. */
double doubts_jitter(const document *doc, const doubts *d, size_t frame, size_t part, int raw);

#endif
