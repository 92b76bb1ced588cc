/* Rendered training frames of a puppet given as OBJ files, one an expression: poses spread evenly over the space in which the
 * face is seen, mixed expressions and darting eyes, random lights, grading, backdrops and props; exact landmarks.
 *
 * Beside the meshes stands landmarks.json:
 *
 *   { "points":   [ vertex, ... ],                         the landmarks: indices of v lines, from 0
 *     "contours": { "left_eye": [ vertex, ... ], ... },    outlines as chains of vertices
 *     "canonical_positions_in_contour": { "left_eye": [ position, ... ], ... },   where the Bezier vertices stand in them;
 *                                                          a chain is open if its last vertex is one of them
 *     "eye_centres": { ... [x, y, z] }, "eye_vertex_ranges": { ... [first, last + 1] } }   optional: eyes that can be turned
 *
 * Written are, in the layout of dataset.h, image-<shot>-frameNNN.png (RGBA: the picture before its backdrop, and the puppet's
 * coverage), revec_shapes-<shot>-frameNNN.json (shapes, points, visible) and points-<shot>-frameNNN.json as the public data
 * set has it for its renders: points alone, [0, 0] where one is hidden. */

#ifndef ROTO_SYNTH_H
#define ROTO_SYNTH_H

#include "backgrounds.h"
#include "obj.h"
#include "outline.h"
#include "props.h"

enum { SYNTH_MAX_EYES = 8 };

typedef struct synth_puppet {
  obj_set set;
  uint32_t *points;
  size_t point_count;
  mesh_outline *outlines; /* names and vertices are owned */
  size_t outline_count;
  struct {
    float centre[3];
    uint32_t first, end;
  } eyes[SYNTH_MAX_EYES];
  size_t eye_count;
  int mixes;                       /* expressions share their topology */
  float centre[3];                 /* of the landmarks' box in the first expression; its longest side is scaled to 1 */
  float brows;                     /* the landmarks' upper end there, along up */
  float right[3], up[3], front[3]; /* of the face */
} synth_puppet;

typedef struct synth_options {
  const char *shot; /* "CG" */
  int frames, first_frame, size;
  int seed;
  double yaw, pitch, roll;      /* degrees either way */
  double near, far;             /* distance of the camera, in sizes of the landmarks' box */
  double smallest, largest;     /* that box's share of the picture's side */
  double mix;                   /* probability that a frame mixes expressions */
  double body, hat, hand;       /* probability of each, see props.h */
  double visible;               /* least share of the landmarks that must be seen */
  const backgrounds *backdrops; /* NULL or empty: plain colours */
} synth_options;

void synth_defaults(synth_options *o);

/* Read OBJ files (sorted by name here) and landmarks.json.  `up` and `front` name axes of the files: "z", "-y", ... */
int synth_load(char **paths, size_t count, const char *landmarks, const char *up, const char *front, synth_puppet *p,
               char *message);
void synth_free(synth_puppet *p);

/* One frame; threads may share the puppet. */
typedef struct synth_frame {
  raster_camera camera;
  float *vertices;        /* positions, then normals, then attributes of the posed mesh; owned */
  uint32_t *triangles;    /* of mesh and props; owned */
  uint16_t *materials;    /* likewise */
  raster_mesh mesh;       /* on these */
  double *points;         /* [point_count][2] pixels */
  unsigned char *visible; /* [point_count] */
  outline_curve *curves;  /* [outline_count][OUTLINE_MAX_SEGMENTS] */
  uint8_t *rgba;          /* size * size * 4, sRGB, straight alpha beside the composite */
} synth_frame;

int synth_render(const synth_puppet *p, const synth_options *o, int frame, synth_frame *f, char *message);
void synth_frame_free(synth_frame *f);

/* `roto-train synth`: argv[0] is the name shown in the help text.  Returns the process's exit status. */
int synth_main(int argc, char **argv);

#endif
