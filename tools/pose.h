/* Poses of a shot: the points of each frame without where the subject is, how it is turned in the picture and how large it is. */

#ifndef ROTO_POSE_H
#define ROTO_POSE_H

#include "document.h"

typedef struct poses {
  size_t frame_count, point_count;
  double size;       /* of the subject: median over frames of the longer side of its points' box, at least 1 pixel */
  double *points;    /* [frame][point][2]: laid over the median pose by least squares, in its pixels */
  double *middle;    /* [point][2]: the median pose, laid over the first frame's */
  double (*turn)[2]; /* [frame]: what turns a way (x, y) of the frame into one of the median pose, as the complex number that
                      * multiplies x + iy */
} poses;

/* Of the points as a model found them in each frame alone (`raw`), or as they stand. */
poses poses_find(const document *doc, int raw);
void poses_free(poses *p); /* leaves it zero */

/* Mean squared distance of the points of two frames. */
double poses_apart(const poses *p, size_t a, size_t b);

#endif
