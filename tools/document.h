/* The roto document, `.roto.json`: what was found in a shot, and what the artist made of it.
 *
 *   { "roto": 1,
 *     "plate": {"pattern": "plates/sh010.####.png", "width": 1920, "height": 1080, "transfer": "srgb"},
 *     "model": {"name": "puppet27", "description": "..."},
 *     "template": { ...as in character.json: name, parts, landmarks, shapes... },
 *     "frames": [
 *       {"frame": 1001, "file": "...", "size": [1920, 1080], "crop": [610, 220, 480, 480],
 *        "points": [
 *         {"x": 734.118, "y": 402.75, "confidence": 0.9312, "error": 1.402, "origin": "smoothed",
 *          "raw": [734.402, 401.93], "flow": [2.113, -0.48, 0.12]},
 *         ...one for each landmark of the template, in its order... ],
 *        "shapes": {
 *         "left_eye": {"origin": "predicted", "segments": [[[x0,tx0,x3,tx3],[y0,ty0,y3,ty3]], ...]},
 *         ...those of the template's shapes that were drawn in this frame... }},
 *       ...ascending by frame... ] }
 *
 * Coordinates are pixels of the frame: origin at the top-left corner, y down, the centre of the first pixel at (0.5, 0.5).
 * "error" is the expected distance from the truth in pixels, "confidence", 0 to 1, how sure the network alone is that it sees the
 * point (a hidden one may be known from the others all the same).  "origin" is who put the point there:
 * "predicted" by the model in this frame, "held" from an earlier frame, "smoothed" over time, "artist" by hand.  A hidden
 * point carries "visible": false.  "raw" is what the model found in this frame alone, where that differs from x and y; "flow" is
 * how the picture moved at the point from this frame to the next of the document, and the expected error of that in pixels, -1
 * where nothing connects the two (a cut, a replaced face).  With both, a shot is smoothed anew without model or plate.
 * "crop" is x, y, width, height of the rectangle that was searched.  "file" stands
 * where the frames are a list without a pattern ("pattern" is null then), "size" where a frame's differs from the plate's.
 *
 * "transfer" says how the plate's values were read (image_file.h).  For OpenEXR a plate may have "channels" (those that were asked
 * for), "pixel_aspect" where pixels are not square, "origin" [x, y] where its display window does not begin at (0, 0), and a frame
 * "data" [x, y, width, height], its data window counted from there, where that is not the whole frame.
 *
 * A shape's segments follow each other; each runs from its point 0 to its point 3, tangents relative to them, and one begins where
 * the one before ended (within 0.01 pixels).  A shape may carry "visible": false (it is drawn but hidden), "feather": a width
 * in pixels, positive outwards, or a list of one for each vertex, and "width": how wide an open shape is drawn.
 *
 * A later run never overwrites what an artist did: document_merge keeps every point and shape of origin "artist", and every
 * frame the run did not touch.  "roto" is the version of this layout; a reader refuses a higher one. */

#ifndef ROTO_DOCUMENT_H
#define ROTO_DOCUMENT_H

#include <stddef.h>
#include "../roto.h"
#include "json_file.h"

typedef enum document_origin { ORIGIN_PREDICTED, ORIGIN_HELD, ORIGIN_SMOOTHED, ORIGIN_ARTIST, ORIGIN_COUNT } document_origin;

typedef struct document_point {
  double x, y, confidence, error;
  document_origin origin;
  int hidden;
  double raw_x, raw_y;               /* found in this frame alone; x and y where there was nothing else */
  double flow_x, flow_y, flow_error; /* to the next frame; flow_error 0: not measured, -1: nothing connects them */
} document_point;

typedef struct document_shape {
  roto_vertex *vertices; /* vertex_count; none: the shape is not in this frame */
  uint32_t vertex_count;
  double width; /* of an open shape; 0: none given */
  document_origin origin;
  int hidden;
} document_shape;

typedef struct document_frame {
  int number;
  char *file; /* NULL: the plate's pattern says */
  int width, height;
  int data[4]; /* width 0: the whole frame */
  double crop[4];
  document_point *points; /* document.point_count */
  document_shape *shapes; /* document.shape_count */
} document_frame;

typedef struct document {
  char *pattern;        /* NULL: each frame names its file */
  cJSON *model;         /* {"name", "description"} */
  cJSON *template_json; /* as character.json */
  size_t point_count;   /* landmarks of the template */
  size_t shape_count;   /* shapes of the template */
  int width, height;    /* of the plate: those of the first frame */
  roto_transfer transfer;
  char *channels; /* NULL: the usual ones */
  double pixel_aspect;
  int origin[2];
  document_frame *frames; /* ascending by number */
  size_t frame_count;
} document;

/* A document without frames for what a model finds. */
void document_init(document *doc, const roto_model *model, const char *pattern);

/* Room for `count` zeroed frames, each with its points. */
void document_make_frames(document *doc, size_t count);

int document_read(const char *path, document *doc, char *message);        /* on failure *doc is zero */
int document_write(const char *path, const document *doc, char *message); /* all of it or nothing */
void document_free_frame(const document *doc, document_frame *frame);     /* one that leaves the document */
void document_free(document *doc);                                        /* leaves it zero */

/* Are they about the same plate and landmarks? */
int document_compatible(const document *a, const document *b);

/* Runs that write one document take turns from reading what is there to writing: wait for the turn, and end it.  -1 where the file
 * system has no locks: then there are no turns. */
int document_lock(const char *path);
void document_unlock(int lock);

/* Takes over from an older document of the same plate and template what the new one must not lose.  Fails if the older one
 * holds an artist's work but is about another plate or template.  `kept` receives the number of artist's points kept. */
int document_merge(document *doc, const document *older, const char *older_path, size_t *kept, char *message);

/* A coordinate as a document keeps it: to a thousandth of a pixel. */
double document_number(double value);

/* Name of a shape of the template, and whether it is closed. */
const char *document_shape_name(const document *doc, size_t index, int *closed);

/* Index of the landmark of the template with this name, a JSON string; point_count: there is none. */
size_t document_find_landmark(const document *doc, const cJSON *name);

/* Landmarks stand on the vertices of the shapes through them: puts the points of every shape that an artist drew there, as the
 * artist's.  Shapes with another number of vertices than the template's do not say which is which and are left alone. */
void document_settle_points(document *doc);

/* Where the frame lies on disk, for free(). */
char *document_frame_path(const document *doc, size_t index);

#endif
