/* A stop-motion puppet made by code: one mesh with a face of replaceable plates, its expressions, its paint, and the exact
 * landmarks and outlines an artist would rotoscope (27 points, 7 shapes: eyes, brows, seams).
 *
 * Head, lids, brows, seams and mouth are evaluated from the same surface for every pose, so a landmark is a vertex of the
 * mesh and an outline a chain of its edges: annotation and picture cannot disagree.  Axes: x to the right of the picture, y
 * up, z from the puppet's face to the camera; 1 unit is about the head's width. */

#ifndef ROTO_PUPPET_H
#define ROTO_PUPPET_H

#include "outline.h"
#include "raster.h"

enum { PUPPET_POINTS = 27, PUPPET_SHAPES = 7, PUPPET_EXPRESSIONS = 8 };

typedef enum puppet_expression {
  PUPPET_NEUTRAL,
  PUPPET_BLINK,
  PUPPET_RAISED, /* both brows */
  PUPPET_ANGRY,
  PUPPET_SAD,
  PUPPET_SMILE,
  PUPPET_SURPRISED,
  PUPPET_DOUBTFUL /* one brow up, one lid half down */
} puppet_expression;

/* What the animator moves.  Index 0 is the eye, brow, ... on the left of the picture.  0 everywhere is the neutral face. */
typedef struct puppet_face {
  float upper_lid[2], lower_lid[2];    /* 0 at rest, 1 closed (both meet at 1 + 0), negative wide */
  float brow_lift[2], brow_tilt[2];    /* tilt: inner end up */
  float brow_bend[2];                  /* arch */
  float smile, mouth_open, mouth_wide; /* smile: -1 sad to 1 */
  float gaze[2];                       /* radians: to the right, up */
} puppet_face;

/* Head turned by yaw (to the right of the picture), pitch (up), roll (clockwise), in radians, about the neck. */
typedef struct puppet_pose {
  puppet_face face;
  float yaw, pitch, roll;
  float position[3]; /* of the whole puppet */
} puppet_pose;

/* Which vertices of the mesh are landmarks and outlines. */
typedef struct puppet_layout {
  uint32_t points[PUPPET_POINTS];
  mesh_outline shapes[PUPPET_SHAPES];
} puppet_layout;

/* Exact annotation of a frame, in pixels.   */
typedef struct puppet_annotation {
  double points[PUPPET_POINTS][2];
  unsigned char visible[PUPPET_POINTS];
  outline_curve curves[PUPPET_SHAPES][OUTLINE_MAX_SEGMENTS];
} puppet_annotation;

typedef struct puppet puppet;

/* variant 0 is the designed character; others change its colours and proportions.  NULL if there is no memory. */
puppet *puppet_create(unsigned variant);
void puppet_free(puppet *p);

puppet_face puppet_expression_face(puppet_expression expression);
void puppet_face_add(puppet_face *face, const puppet_face *other, float weight);

/* Topology, attributes and materials of the mesh; its positions and normals are NULL. */
const raster_mesh *puppet_mesh(const puppet *p);
const puppet_layout *puppet_layout_of(const puppet *p);

/* Vertex positions and normals of a pose: 3 floats for each vertex.  Threads may share the puppet. */
void puppet_evaluate(const puppet *p, const puppet_pose *pose, float *positions, float *normals);

/* Paint: a raster_material; the context is the puppet. */
void puppet_material(const void *context, const raster_hit *hit, raster_surface *surface);

/* Landmarks, visibility and fitted outlines of a posed mesh as the camera sees it.  -1: memory ran out. */
int puppet_annotate(const raster_mesh *mesh, const puppet_layout *layout, const raster_camera *camera,
                    puppet_annotation *annotation);

#endif
