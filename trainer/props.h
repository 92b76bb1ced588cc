/* What stands around a puppet's head in a shot and is not in its OBJ files: a body, a hat that shades the face, a hand or a rod
 * that passes before it.  All are smooth surfaces turned about an axis, cheap to make anew for every frame; they are appended
 * to the head's mesh, so they cast shadows and hide landmarks like any part of it. */

#ifndef ROTO_PROPS_H
#define ROTO_PROPS_H

#include "raster.h"
#include "rng.h"

enum { PROPS_VERTICES = 6000, PROPS_TRIANGLES = 12000 }; /* room that a mesh must have left for all props */
enum { PROPS_SKIN, PROPS_COAT, PROPS_COLLAR, PROPS_HAT, PROPS_BAND, PROPS_MATERIALS };

/* Attributes of a vertex of the mesh: at least 6, which are texture coordinates (0 on props), share of the sky seen, place. */
enum { PROPS_SKY = 2, PROPS_PLACE = 3 };

/* A mesh that grows.  Arrays are the caller's, with room for the props. */
typedef struct props_mesh {
  float *positions, *normals, *attributes;
  uint32_t *triangles;
  uint16_t *materials;
  size_t vertex_count, triangle_count, attribute_count;
  uint16_t first_material; /* of the props */
} props_mesh;

/* Axes of the face; landmarks' box has a longest side of 1 with this centre. */
typedef struct props_face {
  const float *right, *up, *front, *centre;
  float brows; /* the landmarks' upper end, along up */
} props_face;

typedef struct props_paint {
  float colour[PROPS_MATERIALS][3]; /* linear */
  float check;                      /* squares a unit on coat and band; 0: none */
} props_paint;

/* Colours of cloth at random; the skin's is given. */
void props_choose_paint(const float skin[3], rng *r, props_paint *paint);

/* A body below the head, turned and bent against it. */
void props_body(const props_face *face, rng *r, props_mesh *m);

/* A hat; the head below sees less of the sky.  Nothing if there is no head above the brows. */
void props_hat(const props_face *face, rng *r, props_mesh *m);

/* A hand or a rod before the face, as this camera sees it. */
void props_hand(const props_face *face, const raster_camera *camera, rng *r, props_mesh *m);

/* The material of hit->material - first_material. */
void props_shade(const props_paint *paint, int material, const raster_hit *hit, raster_surface *surface);

#endif
