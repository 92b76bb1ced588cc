/* A small software renderer: an indexed triangle mesh, a camera, lights and a material function give a linear-light picture
 * with coverage, for synthetic training frames and the demo shots.
 *
 * Visibility is decided at 8 samples a pixel; a surface is shaded once for each pixel and material it covers there, at the
 * middle of its covered samples, so edges are anti-aliased and shading stays cheap.  Attributes are interpolated in
 * perspective.  Lights are far away; each may cast soft shadows through its own depth map.  Materials are functions of the
 * interpolated attributes (texture coordinates, rest position, ...), so procedural paint and image textures look the same
 * from here.
 *
 * World and mesh may use any right-handed axes; the camera's rows say what is right, down and forward.  Pixels: origin at the
 * top-left corner, y down, centre of the first pixel at (0.5, 0.5).  The same scene gives the same bytes: one call is one
 * thread, callers run frames in parallel with one raster each. */

#ifndef ROTO_RASTER_H
#define ROTO_RASTER_H

#include <stddef.h>
#include <stdint.h>

enum { RASTER_SAMPLES = 8, RASTER_MAX_LIGHTS = 6, RASTER_MAX_ATTRIBUTES = 8, RASTER_MAX_POINTS = 256 };

/* Arrays are the caller's.  Triangles are counter-clockwise seen from outside. */
typedef struct raster_mesh {
  const float *positions;    /* 3 a vertex */
  const float *normals;      /* 3 a vertex, unit length */
  const float *attributes;   /* attribute_count a vertex; may be NULL if 0 */
  const uint32_t *triangles; /* 3 indices a triangle */
  const uint16_t *materials; /* one a triangle */
  size_t vertex_count, triangle_count, attribute_count;
} raster_mesh;

/* A pinhole.  The axes are unit and orthogonal; a point is at pixel centre + focal * (right, down) / forward. */
typedef struct raster_camera {
  float position[3], right[3], down[3], forward[3];
  float focal;     /* pixels */
  float centre[2]; /* pixels */
  float near;      /* triangles that come nearer are dropped whole */
} raster_camera;

typedef struct raster_light {
  float direction[3]; /* towards the light, unit */
  float colour[3];    /* linear */
  float wrap;         /* 0 a small lamp, 1 a wall of light: how far light reaches around the terminator */
  float shadow;       /* radius of the shadow's soft edge in world units; 0: casts none */
} raster_light;

/* What a material sees and what it answers.  Colours are linear. */
typedef struct raster_hit {
  float position[3], normal[3], view[3]; /* view: unit, towards the camera */
  float attributes[RASTER_MAX_ATTRIBUTES];
  float pixel; /* width of a pixel at this depth, world units: fade detail that is finer */
  uint16_t material;
} raster_hit;

typedef struct raster_surface {
  float albedo[3], scatter[3]; /* scatter: colour of light bleeding through the terminator (skin), 0 for none */
  float normal[3];             /* starts as the mesh's; bump it here */
  float specular, roughness;   /* reflectance at normal incidence; 0.05 polished to 1 chalk */
  float sheen;                 /* pale edge of cloth and dusty clay */
  float occlusion;             /* share of the sky seen, 0 to 1 */
  float emission[3];
} raster_surface;

typedef void (*raster_material)(const void *context, const raster_hit *hit, raster_surface *surface);

typedef struct raster_scene {
  raster_mesh mesh;
  raster_camera camera;
  raster_light lights[RASTER_MAX_LIGHTS];
  int light_count;
  float sky[3], ground[3], up[3]; /* ambient light from above and from below */
  raster_material material;
  const void *material_context;
} raster_scene;

typedef struct raster raster;

/* Work space for pictures of one size; NULL if there is no memory. */
raster *raster_create(int width, int height);
void raster_free(raster *r);

/* rgba: width * height * 4 floats, linear, premultiplied by coverage, nothing behind.  0 if there is no memory. */
int raster_render(raster *r, const raster_scene *scene, float *rgba);

/* 1/depth (depth: distance along forward) of the nearest surface at each sample of the last raster_render, width * height *
 * RASTER_SAMPLES; 0 where nothing is. */
const float *raster_nearness(const raster *r);

/* Pixel of a world point, and its depth along forward as the result; not positive: behind the camera. */
double raster_project(const raster_camera *camera, const float point[3], double pixel[2]);

/* visible[i]: no triangle lies in front of point i, nearer than its depth by more than `tolerance`.  At most
 * RASTER_MAX_POINTS points. */
void raster_visible(const raster_mesh *mesh, const raster_camera *camera, const float (*points)[3], size_t count,
                    double tolerance, unsigned char *visible);

/* Share of the sky each vertex sees, by depth maps from `directions` sides (at least 1) with texels of `detail` units: what is
 * thinner hides nothing, what is nearer than two of them hides too little.  Written to occlusion, one float a vertex.  0 if there
 * is no memory. */
int raster_occlusion(const raster_mesh *mesh, int directions, float detail, float *occlusion);

/* Camera at `position` looking at `target`, turned by `roll` radians clockwise. */
void raster_look_at(raster_camera *camera, const float position[3], const float target[3], const float up[3], float roll);

#endif
