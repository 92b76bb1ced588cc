/* The roofline picture (Williams, Waterman, Patterson 2009): how much arithmetic each step does for a byte it moves, against
 * how fast it does it, below the roofs that the machine's peak and its bandwidths draw.  A step's area is its share of time. */

#ifndef ROOFLINE_H
#define ROOFLINE_H

#include <stddef.h>

#include "peak.h"

typedef struct roofline_point {
  const char *group; /* of the legend: "1x1 convolution" */
  char name[64];     /* "14x14x480 -> 80" */
  double operations, bytes, seconds;
} roofline_point;

/* Writes an SVG.  Points without operations have no place in it; the legend gives their time.  `kind`: whose peak is the flat
 * roof.  At most 8 groups are told apart.  0, or -1 and a message. */
int roofline_write(const char *path, const char *title, const char *subtitle, const peak_machine *machine, peak_kind kind,
                   const roofline_point *points, size_t count, char *message);

#endif
