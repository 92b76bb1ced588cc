/* `roto export`: a document's shapes and landmarks as keys that host programs interpolate.
 *
 * One front reads the document, chooses the frames that get a key, and measures afterwards what the choice costs; small writers
 * turn the result into each host's text.  A shape's key holds all its vertices at once: most hosts know no other, and an artist
 * moves whole shapes.  Between keys every control point moves in a straight line, which all hosts can do.
 *
 * Nothing is interpolated through an occlusion: keys stand at both ends of every run of frames in which a shape is to be seen, and
 * the host is told to hide it in between. */

#ifndef EXPORT_H
#define EXPORT_H

#include <stdio.h>
#include "document.h"

typedef struct export_shape {
  const char *name; /* of the template */
  int closed;
  uint32_t vertex_count;
  double width;           /* of an open shape, the widest */
  const roto_vertex **at; /* [frame_count]; NULL where the shape is hidden or absent */
  unsigned char *key;     /* [frame_count] 1: a key stands here */
  size_t seen, key_count; /* frames with the shape; those that kept a key */
  double error; /* largest distance in pixels from what the host will show to the document, control points and feather */
} export_shape;

typedef struct export_shot {
  document doc;
  const char *name; /* of the layer: the template's, or --name */
  double fps;
  export_shape *shapes; /* those with at least one frame */
  size_t shape_count;
} export_shot;

/* Marks in keys[count] the fewest moments that, with straight lines between them, keep every control point and feather within
 * `tolerance` pixels, and returns their number.  The first and last moment always have one; tolerance 0 keeps all.  The bound is on
 * the control points, so it holds for every point of the curve.  times ascend.
 *
 * From each moment, the velocities that keep one control point near the moments passed form a convex region: the intersection of
 * discs, here of regular polygons inside them.  A moment can be reached in one line if its velocities lie in these regions, and the
 * fewest keys are a shortest path over such lines. */
size_t export_reduce(const roto_vertex *const *moments, const int *times, size_t count, uint32_t vertex_count, double tolerance,
                     unsigned char *keys);

/* Largest distance between the moments and the lines between the keys, as written (rounded to EXPORT_UNIT pixels). */
#define EXPORT_UNIT 1e-4
double export_error(const roto_vertex *const *moments, const int *times, size_t count, uint32_t vertex_count,
                    const unsigned char *keys);

/* A host's format: its name, what it is, what it cannot say of a shape, and its writer. */
enum { EXPORT_NO_OPEN = 1, EXPORT_NO_FEATHER = 2, EXPORT_FEATHER_OUTWARDS = 4, EXPORT_NO_SHAPES = 8 };
typedef struct export_host {
  const char *name, *what;
  unsigned limits;
  void (*write)(const export_shot *shot, FILE *out);
} export_host;

/* Hosts that run a script: the shot as data, then one fixed program (export_scripts/). */
void export_nuke(const export_shot *shot, FILE *out);
void export_natron(const export_shot *shot, FILE *out);
void export_blender(const export_shot *shot, FILE *out);
void export_after_effects(const export_shot *shot, FILE *out);

/* Hosts that read a file. */
void export_nuke_tracker(const export_shot *shot, FILE *out);
void export_silhouette(const export_shot *shot, FILE *out);
void export_fusion(const export_shot *shot, FILE *out);
void export_mlt(const export_shot *shot, FILE *out);
void export_svg(const export_shot *shot, FILE *out);

/* One frame as an annotation file of a data set. */
void export_annotation(const export_shot *shot, size_t frame, FILE *out);

#endif
