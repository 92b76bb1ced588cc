/* Outlines on a mesh - eyes, brows, seams as chains of vertices - and the Bezier shapes an artist would draw over them.
 * Between two canonical vertices stands one cubic; all of an outline's are fitted to the projected chain together. */

#ifndef ROTO_OUTLINE_H
#define ROTO_OUTLINE_H

#include "raster.h"

enum { OUTLINE_MAX_SEGMENTS = 16 };

typedef struct mesh_outline {
  const char *name;
  int closed;
  int segment_count;
  size_t vertex_count;
  const uint32_t *vertices;                     /* in order, without repeating the first */
  uint32_t canonical[OUTLINE_MAX_SEGMENTS + 1]; /* positions in vertices where segments meet; segment_count (+ 1 if open) */
  unsigned corners;                             /* bit i: the outline has a corner at canonical i */
} mesh_outline;

/* p0, p0 + t0, p3 + t3, p3, each x and y, in pixels. */
typedef double outline_curve[4][2];

/* The curves of an outline as the camera sees it; segment_count are written.  -1: memory ran out. */
int outline_fit(const raster_mesh *mesh, const mesh_outline *outline, const raster_camera *camera, outline_curve *curves);

/* Largest distance in pixels from the projected outline to the fitted curves. */
double outline_error(const raster_mesh *mesh, const mesh_outline *outline, const raster_camera *camera,
                     const outline_curve *curves);

#endif
