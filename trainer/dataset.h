/* Annotated frames: a shot folder, or a folder of shot folders, in the layout of the paper's public data set.
 *
 *   image-<shot>-frameNNN.*            the frame, any format image_file reads
 *   revec_shapes-<shot>-frameNNN.json  shapes on the template's vertices, and "points"
 *   shapes-<shot>-frameNNN.json        the same, in the layout of the test shots
 *   raw_shapes-<shot>-frameNNN.json    shapes as an artist drew them: any vertices
 *   points-<shot>-frameNNN.json        "points" alone
 *
 * "points" is a list of [x, y], in pixels of the frame; [0, 0] means unknown; "visible", a list of 0 and 1, marks hidden
 * ones; "weights", a list of numbers from 0, says how much a point counts in training beside the others (1: as the template
 * says), which is how a point that an artist corrected comes to count more.  A shape is a list of segments
 * [[p0x,t0x,p3x,t3x],[p0y,t0y,p3y,t3y]], tangents relative to their own end.  Without "points" the landmarks are the vertices
 * of the shapes, as the template says.
 *
 * Nothing is dropped in silence: each frame that cannot be used, and each lack of a frame that can, is an entry of the
 * report, naming file and reason.  Frames are in the order of folder, shot, number, whatever the file system says. */

#ifndef ROTO_DATASET_H
#define ROTO_DATASET_H

#include <stddef.h>
#include <stdint.h>
#include "character.h"

/* One cubic as the files have it: end, tangent, end, tangent, for x and for y.  Control points p0, p0+t0, p3+t3, p3. */
typedef struct segment {
  float x[4], y[4];
} segment;

typedef struct frame_shape {
  char *name;
  uint32_t segment_count;
  segment *segments;
} frame_shape;

typedef struct frame {
  char *image_path;      /* NULL: there is none (dataset_load_annotations only) */
  char *annotation_path; /* the file the points come from, or else the shapes */
  uint32_t shot, number;
  float *points;   /* [landmark_count][2] pixels of the frame; NULL: none (dataset_load_annotations only) */
  uint8_t *valid;  /* [landmark_count] 1: known and visible */
  uint8_t *hidden; /* [landmark_count] 1: known but not visible, so not valid */
  float *weights;  /* [landmark_count] of this frame's points beside the template's; NULL: all 1 */
  roto_rect box;   /* of the known landmarks, valid or hidden */
  uint32_t shape_count, raw_count;
  frame_shape *shapes; /* of revec_shapes or shapes: those of the template that are there, in its order */
  frame_shape *raw;    /* of raw_shapes, in the order of the file */

  /* After dataset_cache: size of the frame, and 8-bit pixels, rows contiguous, of its part around the box: RGB, or RGBA where
   * some of it is not opaque (a render, whose background can be replaced). */
  uint32_t width, height;
  uint32_t cache_x, cache_y, cache_width, cache_height;
  uint32_t channels; /* 3 or 4 */
  uint8_t *pixels;
} frame;

typedef struct dataset_issue {
  char *path, *reason;
  int dropped; /* 1: the frame is not in the data set; 0: it is, with this lack */
  uint32_t shot, number;
} dataset_issue;

typedef struct dataset {
  frame *frames;
  size_t frame_count;
  char **shots; /* by frame.shot */
  size_t shot_count;
  dataset_issue *issues;
  size_t issue_count, dropped_count;
  uint32_t landmark_count;
} dataset;

/* The annotation of frames with image and landmarks; pixels are not read yet.  Fails, with *ds zero but for its issues and
 * the shots they are of, if the folder holds no usable frame. */
int dataset_load(const char *path, const character *ch, dataset *ds, char *message);

/* The same for work on annotations alone: images, and points where there are shapes, may be missing. */
int dataset_load_annotations(const char *path, const character *ch, dataset *ds, char *message);

/* Raw shapes alone, for re-vectorization: what other files of a frame say is not read, `shapes` and `points` stay NULL, and
 * frames without raw shapes are passed over. */
int dataset_load_raw(const char *path, const character *ch, dataset *ds, char *message);

/* Write a frame's points, visibility, weights and shapes as one annotation file: revec_shapes-, shapes- or points-. */
int dataset_write_annotation(const char *path, const character *ch, const frame *f, char *message);

/* Decode every frame once and keep the part of it that training sees: the landmarks' box grown by its longer side on each
 * side, within the frame.  `run(user, count, task, context)` is a parallel loop as in roto_parallel (NULL: a plain loop).
 * Frames whose image is missing, damaged, or does not hold the landmarks leave the data set and enter the report.  Fails if
 * none is left or memory runs out. */
int dataset_cache(dataset *ds, void (*run)(void *user, size_t count, roto_task task, void *context), void *user, char *message);

/* Move all of `more` (left zero) behind what *ds holds; both loaded with the same template.  -1 if memory ran out. */
int dataset_append(dataset *ds, dataset *more, char *message);

/* Print each entry of the report from number `first` on to stderr, as a warning. */
void dataset_warn(const dataset *ds, size_t first);

void dataset_free(dataset *ds); /* leaves it zero */

#endif
