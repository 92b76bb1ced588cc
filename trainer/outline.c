/* See outline.h.  The projected chain is a path of short straight pieces, to which bezier.h fits as to any drawn shape. */

#include "outline.h"

#include <math.h>
#include <stdlib.h>

#include "bezier.h"

/* The straight cubic between two vertices as the camera sees them. */
static roto_cubic edge(const raster_mesh *mesh, const raster_camera *camera, uint32_t from, uint32_t to) {
  double a[2], b[2];
  roto_cubic c;
  raster_project(camera, mesh->positions + 3 * (size_t)from, a);
  raster_project(camera, mesh->positions + 3 * (size_t)to, b);
  for (int k = 0; k < 4; k++) c.x[k] = a[0] + (b[0] - a[0]) * k / 3, c.y[k] = a[1] + (b[1] - a[1]) * k / 3;
  return c;
}

int outline_fit(const raster_mesh *mesh, const mesh_outline *o, const raster_camera *camera, outline_curve *curves) {
  size_t n = o->vertex_count, edges = o->closed ? n : n - 1, count = (size_t)o->segment_count + !o->closed;
  double at[OUTLINE_MAX_SEGMENTS + 1], *starts = malloc((n + 1) * sizeof *starts);
  unsigned char corner[OUTLINE_MAX_SEGMENTS + 1];
  roto_cubic *pieces = malloc((n + 1) * sizeof *pieces), fitted[OUTLINE_MAX_SEGMENTS];
  bezier_path path = {0};
  int ok = pieces && starts;
  if (ok) starts[0] = 0;
  for (size_t i = 0; ok && i < edges; i++) {
    pieces[i] = edge(mesh, camera, o->vertices[i], o->vertices[(i + 1) % n]);
    starts[i + 1] = starts[i] + hypot(pieces[i].x[3] - pieces[i].x[0], pieces[i].y[3] - pieces[i].y[0]);
  }
  ok = ok && path_create(&path, pieces, edges, o->closed) == 0;
  for (size_t i = 0; ok && i < count; i++) at[i] = starts[o->canonical[i]], corner[i] = o->corners >> i & 1;
  if (ok && path.count) ok = path_fit(&path, at, corner, count, fitted) == 0;
  for (int s = 0; ok && s < o->segment_count; s++) {
    if (!path.count) fitted[s] = pieces[0]; /* seen as a point */
    for (int k = 0; k < 4; k++) curves[s][k][0] = fitted[s].x[k], curves[s][k][1] = fitted[s].y[k];
    for (int k = 0; k < 2; k++) { /* exactly on the vertex, not on its place along the path */
      raster_project(camera, mesh->positions + 3 * (size_t)o->vertices[o->canonical[s + k] % n], curves[s][3 * k]);
    }
  }
  path_free(&path);
  free(pieces);
  free(starts);
  return ok ? 0 : -1;
}

double outline_error(const raster_mesh *mesh, const mesh_outline *o, const raster_camera *camera, const outline_curve *curves) {
  double worst = 0;
  for (size_t i = 0; i < o->vertex_count; i++) {
    double q[2], nearest = INFINITY;
    raster_project(camera, mesh->positions + 3 * (size_t)o->vertices[i], q);
    for (int s = 0; s < o->segment_count; s++) {
      roto_cubic c;
      double distance;
      for (int k = 0; k < 4; k++) c.x[k] = curves[s][k][0], c.y[k] = curves[s][k][1];
      cubic_nearest(&c, q[0], q[1], &distance);
      if (distance < nearest) nearest = distance;
    }
    if (nearest > worst) worst = nearest;
  }
  return worst;
}
