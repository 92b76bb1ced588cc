/* Meshes from Wavefront OBJ files with MTL materials and picture textures, as 3D print and modelling programs write them.
 *
 * Read are v, vt, vn, f (polygons as fans, negative indices, any of v v/t v//n v/t/n), mtllib, usemtl; of materials Kd, Ks, Ns, Ke,
 * map_Kd.  Everything else is passed over.  Vertices keep the file's order: vertex i of the mesh is the file's v number i + 1,
 * and those that need a second normal or texture coordinate follow after them, so that landmarks given as indices hold.
 *
 * Several files - one an expression - share their materials and textures. */

#ifndef ROTO_OBJ_H
#define ROTO_OBJ_H

#include "../tools/whole_file.h"
#include "raster.h"

enum { OBJ_LEVELS = 12, OBJ_NAME = 64, OBJ_ATTRIBUTES = 6 }; /* attributes: u, v, share of the sky seen, place */

/* 8-bit sRGB; level k is reduced 2^k times. */
typedef struct obj_texture {
  char *path;
  uint8_t *levels[OBJ_LEVELS];
  int width[OBJ_LEVELS], height[OBJ_LEVELS], level_count;
} obj_texture;

typedef struct obj_material {
  char name[OBJ_NAME];
  char *library;                /* path of its MTL file */
  float colour[3], emission[3]; /* linear */
  float specular, roughness;    /* as raster_surface has them */
  int texture;                  /* -1: none */
  float texels;                 /* of the texture on one unit of the mesh, in the mean */
} obj_material;

typedef struct obj_mesh {
  char *path;
  size_t point_count; /* v lines of the file */
  float *positions, *normals, *attributes;
  uint32_t *triangles;
  uint16_t *materials;
  size_t vertex_count, triangle_count;
} obj_mesh;

typedef struct obj_set {
  obj_mesh *meshes;
  size_t mesh_count;
  obj_material *materials; /* [0]: what has no usemtl */
  size_t material_count;
  obj_texture *textures;
  size_t texture_count;
} obj_set;

/* Read one more file into the set (zero at first).  Messages name file and line.  On failure the set is as it was but for
 * materials and textures, which obj_free frees. */
int obj_add(obj_set *set, const char *path, char *message);
void obj_free(obj_set *set); /* leaves it zero */

/* 1 if two meshes have the same triangles and materials, so that their vertices may be mixed. */
int obj_same_topology(const obj_mesh *a, const obj_mesh *b);

/* The mesh as the renderer takes it. */
raster_mesh obj_view(const obj_mesh *mesh);

/* A raster_material; the context is the obj_set. */
void obj_shade(const void *context, const raster_hit *hit, raster_surface *surface);

#endif
