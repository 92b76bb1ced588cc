/* The renderer behind raster.h.
 *
 * Triangles are snapped to 1/256 pixel and tested with integer edge functions, so neighbours neither overlap nor leave
 * cracks.  Every sample keeps the nearness (1/depth, or minus the depth in a light's parallel view) and the number of the
 * nearest triangle; shading happens afterwards, once for each surface in a pixel.
 *
 * A light's depth map is made as coarse as its shadows are soft: the filter is always FILTER texels wide, so soft light is
 * cheap, and the weights at the filter's ends move with the point, so nothing steps.  The same parallel views, taken from
 * all around, give ambient occlusion. */

#include "raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SUBPIXEL = 256, FILTER = 5, MAP_MIN = 64, MAP_MAX = 1024 };

/* One sample in each eighth of the pixel's width and height, and no edge of a simple slope that many of them lie along. */
static const int sample_x[RASTER_SAMPLES] = {16, 48, 80, 112, 144, 176, 208, 240};
static const int sample_y[RASTER_SAMPLES] = {16, 48, 240, 112, 176, 144, 208, 80};
static const int centre_sample[1] = {SUBPIXEL / 2};

/* Nearness of what each sample sees; greater is nearer. */
typedef struct view_buffer {
  int width, height, samples;
  const int *offset_x, *offset_y;
  float *nearness;
  uint32_t *triangle; /* NULL: nearness only */
} view_buffer;

typedef struct screen_vertex {
  int32_t x, y; /* 1/SUBPIXEL pixels */
  float nearness;
  int dropped;
} screen_vertex;

/* A light's parallel view of the mesh. */
typedef struct depth_map {
  float right[3], down[3], forward[3];
  float origin[2]; /* of the map along right and down */
  float texel;     /* world units */
  view_buffer view;
} depth_map;

struct raster {
  view_buffer view;
};

static float dot3(const float *a, const float *b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross3(const float *a, const float *b, float *c) {
  c[0] = a[1] * b[2] - a[2] * b[1];
  c[1] = a[2] * b[0] - a[0] * b[2];
  c[2] = a[0] * b[1] - a[1] * b[0];
}

static void normalize3(float *a) {
  float length = sqrtf(dot3(a, a));
  if (length > 0) {
    for (int i = 0; i < 3; i++) a[i] /= length;
  }
}

static float clamp01(float x) {
  return x < 0 ? 0 : x > 1 ? 1 : x;
}

static int32_t min3(int32_t a, int32_t b, int32_t c) {
  int32_t m = a < b ? a : b;
  return m < c ? m : c;
}

static int32_t max3(int32_t a, int32_t b, int32_t c) {
  int32_t m = a > b ? a : b;
  return m > c ? m : c;
}

static void fill_triangle(view_buffer *view, const screen_vertex *a, const screen_vertex *b, const screen_vertex *c,
                          uint32_t number) {
  if (a->dropped || b->dropped || c->dropped) return;
  int64_t area = (int64_t)(b->x - a->x) * (c->y - a->y) - (int64_t)(b->y - a->y) * (c->x - a->x);
  if (area == 0) return;
  if (area < 0) { /* seen from behind: swap, so that inside is where all edge functions are positive */
    const screen_vertex *swap = b;
    b = c, c = swap, area = -area;
  }
  int32_t left = min3(a->x, b->x, c->x), right = max3(a->x, b->x, c->x);
  int32_t top = min3(a->y, b->y, c->y), bottom = max3(a->y, b->y, c->y);
  /* the pixels with a sample in the box: for one sample a pixel, most small triangles have none */
  int margin = view->samples == 1 ? SUBPIXEL / 2 : SUBPIXEL / 16;
  left += margin - 1, top += margin - 1, right -= margin, bottom -= margin;
  if (right < 0 || bottom < 0) return;
  int x0 = left < 0 ? 0 : left / SUBPIXEL, x1 = right / SUBPIXEL;
  int y0 = top < 0 ? 0 : top / SUBPIXEL, y1 = bottom / SUBPIXEL;
  if (x0 > x1 || y0 > y1) return;
  if (x1 >= view->width) x1 = view->width - 1;
  if (y1 >= view->height) y1 = view->height - 1;

  const screen_vertex *from[3] = {b, c, a}, *to[3] = {c, a, b};
  int64_t step_x[3], step_y[3], start[3];
  for (int e = 0; e < 3; e++) {
    int64_t dx = to[e]->x - from[e]->x, dy = to[e]->y - from[e]->y;
    step_x[e] = -dy, step_y[e] = dx;
    start[e] = step_x[e] * ((int64_t)x0 * SUBPIXEL - from[e]->x) + step_y[e] * ((int64_t)y0 * SUBPIXEL - from[e]->y);
    if (!(dy < 0 || (dy == 0 && dx > 0))) start[e]--; /* an edge shared by two triangles belongs to one of them */
  }
  float inverse = 1.0f / (float)area, near_b = b->nearness - a->nearness, near_c = c->nearness - a->nearness;
  int64_t offset[3][RASTER_SAMPLES];
  for (int e = 0; e < 3; e++) {
    for (int s = 0; s < view->samples; s++) offset[e][s] = step_x[e] * view->offset_x[s] + step_y[e] * view->offset_y[s];
  }
  for (int y = y0; y <= y1; y++) {
    int64_t w0 = start[0], w1 = start[1], w2 = start[2];
    size_t at = ((size_t)y * (size_t)view->width + (size_t)x0) * (size_t)view->samples;
    for (int x = x0; x <= x1; x++, at += (size_t)view->samples) {
      for (int s = 0; s < view->samples; s++) {
        int64_t e0 = w0 + offset[0][s], e1 = w1 + offset[1][s], e2 = w2 + offset[2][s];
        if ((e0 | e1 | e2) < 0) continue;
        float nearness = a->nearness + ((float)e1 * near_b + (float)e2 * near_c) * inverse;
        if (nearness > view->nearness[at + (size_t)s]) {
          view->nearness[at + (size_t)s] = nearness;
          if (view->triangle) view->triangle[at + (size_t)s] = number;
        }
      }
      w0 += step_x[0] * SUBPIXEL, w1 += step_x[1] * SUBPIXEL, w2 += step_x[2] * SUBPIXEL;
    }
    for (int e = 0; e < 3; e++) start[e] += step_y[e] * SUBPIXEL;
  }
}

static void fill_mesh(view_buffer *view, const raster_mesh *mesh, const screen_vertex *vertices) {
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    const uint32_t *v = mesh->triangles + 3 * t;
    fill_triangle(view, vertices + v[0], vertices + v[1], vertices + v[2], (uint32_t)t);
  }
}

static screen_vertex snap(double x, double y, float nearness, int dropped) {
  screen_vertex v = {0, 0, nearness, dropped};
  if (!(fabs(x) < 1e6 && fabs(y) < 1e6)) v.dropped = 1;
  if (v.dropped) return v;
  v.x = (int32_t)floor(x * SUBPIXEL + 0.5);
  v.y = (int32_t)floor(y * SUBPIXEL + 0.5);
  return v;
}

double raster_project(const raster_camera *camera, const float point[3], double pixel[2]) {
  double right = 0, down = 0, forward = 0;
  for (int i = 0; i < 3; i++) {
    double d = (double)point[i] - (double)camera->position[i];
    right += d * (double)camera->right[i];
    down += d * (double)camera->down[i];
    forward += d * (double)camera->forward[i];
  }
  pixel[0] = (double)camera->centre[0] + (double)camera->focal * right / forward;
  pixel[1] = (double)camera->centre[1] + (double)camera->focal * down / forward;
  return forward;
}

void raster_look_at(raster_camera *camera, const float position[3], const float target[3], const float up[3], float roll) {
  float forward[3], right[3], down[3], c = cosf(roll), s = sinf(roll);
  for (int i = 0; i < 3; i++) forward[i] = target[i] - position[i];
  normalize3(forward);
  cross3(forward, up, right);
  normalize3(right);
  cross3(forward, right, down);
  for (int i = 0; i < 3; i++) {
    camera->position[i] = position[i];
    camera->forward[i] = forward[i];
    camera->right[i] = c * right[i] + s * down[i];
    camera->down[i] = c * down[i] - s * right[i];
  }
}

void raster_visible(const raster_mesh *mesh, const raster_camera *camera, const float (*points)[3], size_t count,
                    double tolerance, unsigned char *visible) {
  double seen[RASTER_MAX_POINTS][3]; /* each point as the mesh's vertices below, with the depth at which it counts as hidden */
  if (count > RASTER_MAX_POINTS) count = RASTER_MAX_POINTS;
  for (size_t i = 0; i < count; i++) {
    double depth = raster_project(camera, points[i], seen[i]);
    seen[i][2] = depth - tolerance;
    visible[i] = depth > (double)camera->near;
  }
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    double v[3][2], depth[3], low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    int dropped = 0;
    for (int k = 0; k < 3 && !dropped; k++) {
      depth[k] = raster_project(camera, mesh->positions + 3 * (size_t)mesh->triangles[3 * t + (size_t)k], v[k]);
      dropped = !(depth[k] > (double)camera->near);
      for (int i = 0; i < 2; i++) {
        if (v[k][i] < low[i]) low[i] = v[k][i];
        if (v[k][i] > high[i]) high[i] = v[k][i];
      }
    }
    if (dropped) continue;
    for (size_t i = 0; i < count; i++) {
      const double *p = seen[i];
      if (p[0] < low[0] || p[0] > high[0] || p[1] < low[1] || p[1] > high[1] || !visible[i]) continue;
      double w[3], area = 0, nearness = 0;
      for (int k = 0; k < 3; k++) {
        const double *a = v[(k + 1) % 3], *b = v[(k + 2) % 3];
        w[k] = (a[0] - p[0]) * (b[1] - p[1]) - (a[1] - p[1]) * (b[0] - p[0]);
        area += w[k];
        nearness += w[k] / depth[k];
      }
      if (area == 0 || w[0] * area < 0 || w[1] * area < 0 || w[2] * area < 0) continue;
      if (area / nearness < p[2]) visible[i] = 0;
    }
  }
}

static int create_view(view_buffer *view, int width, int height, int samples, int with_triangles) {
  size_t count = (size_t)width * (size_t)height * (size_t)samples;
  view->width = width, view->height = height, view->samples = samples;
  view->offset_x = samples == 1 ? centre_sample : sample_x;
  view->offset_y = samples == 1 ? centre_sample : sample_y;
  view->nearness = (float *)malloc(count * sizeof(float));
  view->triangle = with_triangles ? (uint32_t *)malloc(count * sizeof(uint32_t)) : NULL;
  if (view->nearness && (view->triangle || !with_triangles)) return 1;
  free(view->nearness);
  free(view->triangle);
  view->nearness = NULL, view->triangle = NULL;
  return 0;
}

static void clear_view(view_buffer *view, float nearness) {
  size_t count = (size_t)view->width * (size_t)view->height * (size_t)view->samples;
  for (size_t i = 0; i < count; i++) view->nearness[i] = nearness;
}

static void free_view(view_buffer *view) {
  free(view->nearness);
  free(view->triangle);
}

/* The mesh as a light from `direction` sees it, with texels of about `texel` units. */
static int create_depth_map(depth_map *map, const raster_mesh *mesh, const float direction[3], float texel) {
  float aside[3] = {0, 0, 0}, low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  int least = 0;
  for (int i = 1; i < 3; i++) {
    if (fabsf(direction[i]) < fabsf(direction[least])) least = i;
  }
  aside[least] = 1;
  for (int i = 0; i < 3; i++) map->forward[i] = -direction[i];
  cross3(map->forward, aside, map->right);
  normalize3(map->right);
  cross3(map->forward, map->right, map->down);
  for (size_t v = 0; v < mesh->vertex_count; v++) {
    float x = dot3(mesh->positions + 3 * v, map->right), y = dot3(mesh->positions + 3 * v, map->down);
    if (x < low[0]) low[0] = x;
    if (x > high[0]) high[0] = x;
    if (y < low[1]) low[1] = y;
    if (y > high[1]) high[1] = y;
  }
  float extent = high[0] - low[0] > high[1] - low[1] ? high[0] - low[0] : high[1] - low[1];
  int size = mesh->vertex_count && extent > 0 ? (int)(extent / texel) + 2 * FILTER : MAP_MIN;
  if (size < MAP_MIN) size = MAP_MIN;
  if (size > MAP_MAX) size = MAP_MAX;
  map->texel = extent > 0 ? extent / (float)(size - 2 * FILTER) : 1;
  map->origin[0] = low[0] - FILTER * map->texel;
  map->origin[1] = low[1] - FILTER * map->texel;
  screen_vertex *vertices = (screen_vertex *)malloc((mesh->vertex_count + 1) * sizeof(screen_vertex));
  if (!vertices || !create_view(&map->view, size, size, 1, 0)) {
    free(vertices);
    return 0;
  }
  clear_view(&map->view, -INFINITY);
  for (size_t v = 0; v < mesh->vertex_count; v++) {
    const float *p = mesh->positions + 3 * v;
    vertices[v] = snap((double)((dot3(p, map->right) - map->origin[0]) / map->texel),
                       (double)((dot3(p, map->down) - map->origin[1]) / map->texel), -dot3(p, map->forward), 0);
  }
  fill_mesh(&map->view, mesh, vertices);
  free(vertices);
  return 1;
}

/* Share of light that reaches the point, lifted off its surface by the filter's reach so that it does not shade itself. */
static float lit_share(const depth_map *map, const float position[3], const float normal[3]) {
  float p[3];
  for (int i = 0; i < 3; i++) p[i] = position[i] + normal[i] * map->texel * (0.3f * FILTER);
  float x = (dot3(p, map->right) - map->origin[0]) / map->texel - 0.5f * FILTER;
  float y = (dot3(p, map->down) - map->origin[1]) / map->texel - 0.5f * FILTER;
  float nearness = -dot3(p, map->forward) + map->texel;
  int ix = (int)floorf(x), iy = (int)floorf(y);
  if (ix < 0 || iy < 0 || ix + FILTER >= map->view.width || iy + FILTER >= map->view.height) return 1;
  float fx = x - (float)ix, fy = y - (float)iy, sum = 0;
  for (int j = 0; j <= FILTER; j++) {
    const float *row = map->view.nearness + (size_t)(iy + j) * (size_t)map->view.width + (size_t)ix;
    float line = 0;
    for (int i = 1; i < FILTER; i++) line += nearness > row[i] ? 1.0f : 0.0f;
    if (nearness > row[0]) line += 1 - fx;
    if (nearness > row[FILTER]) line += fx;
    sum += j == 0 ? line * (1 - fy) : j == FILTER ? line * fy : line;
  }
  return sum / (FILTER * FILTER);
}

static void shade(const raster_scene *scene, const depth_map *maps, const raster_hit *hit, float colour[3]) {
  raster_surface surface;
  memset(&surface, 0, sizeof surface);
  for (int i = 0; i < 3; i++) surface.albedo[i] = 0.5f, surface.normal[i] = hit->normal[i];
  surface.specular = 0.04f, surface.roughness = 0.5f, surface.occlusion = 1;
  if (scene->material) scene->material(scene->material_context, hit, &surface);
  normalize3(surface.normal);
  const float *n = surface.normal;
  float facing = clamp01(dot3(n, hit->view)), edge = 1 - facing, grazing = edge * edge * edge * edge;
  float over = 0.5f + 0.5f * dot3(n, scene->up);
  for (int i = 0; i < 3; i++) {
    float ambient = (scene->ground[i] + (scene->sky[i] - scene->ground[i]) * over) * surface.occlusion;
    float mirror = surface.specular + (1 - surface.specular) * grazing * (1 - surface.roughness);
    colour[i] = surface.emission[i] + ambient * (surface.albedo[i] + mirror + surface.sheen * grazing);
  }
  float alpha = surface.roughness * surface.roughness, alpha2 = alpha * alpha + 1e-4f;
  for (int l = 0; l < scene->light_count; l++) {
    const raster_light *light = scene->lights + l;
    float cosine = dot3(n, light->direction), wrap = light->wrap;
    float bleed = clamp01((cosine + wrap + 0.4f) / (1 + wrap + 0.4f));
    if (bleed <= 0) continue;
    float lit = light->shadow > 0 ? lit_share(maps + l, hit->position, hit->normal) : 1;
    if (lit <= 0) continue;
    float diffuse = clamp01((cosine + wrap) / (1 + wrap));
    diffuse *= (1 - wrap) + wrap * diffuse;
    float half[3], highlight = 0;
    for (int i = 0; i < 3; i++) half[i] = light->direction[i] + hit->view[i];
    normalize3(half);
    float nh = clamp01(dot3(n, half)), vh = clamp01(dot3(hit->view, half)), nl = clamp01(cosine);
    if (nl > 0) {
      float d = nh * nh * (alpha2 - 1) + 1, k = 0.5f * alpha, fresnel = 1 - vh;
      fresnel = fresnel * fresnel * fresnel * fresnel * fresnel;
      highlight = alpha2 / (d * d) * 0.25f / ((nl * (1 - k) + k) * (facing * (1 - k) + k));
      highlight *= (surface.specular + (1 - surface.specular) * fresnel * (1 - surface.roughness)) * nl;
    }
    float direct = 0.4f + 0.6f * surface.occlusion; /* what hides the sky hides part of a large lamp, too */
    for (int i = 0; i < 3; i++) {
      float body = surface.albedo[i] * diffuse + surface.scatter[i] * (bleed * bleed - diffuse * diffuse);
      colour[i] += light->colour[i] * lit * direct * (body + highlight + surface.sheen * grazing * bleed);
    }
  }
}

/* Shades sample `s` of pixel (x, y), where triangle t is seen. */
static void shade_sample(const raster_scene *scene, const depth_map *maps, const float *projected, uint32_t t, double px,
                         double py, float colour[3]) {
  const raster_mesh *mesh = &scene->mesh;
  const uint32_t *v = mesh->triangles + 3 * (size_t)t;
  const float *a = projected + 3 * (size_t)v[0], *b = projected + 3 * (size_t)v[1], *c = projected + 3 * (size_t)v[2];
  double abx = (double)b[0] - (double)a[0], aby = (double)b[1] - (double)a[1];
  double acx = (double)c[0] - (double)a[0], acy = (double)c[1] - (double)a[1];
  double area = abx * acy - aby * acx, qx = px - (double)a[0], qy = py - (double)a[1];
  float w[3], total = 0;
  double wb = area != 0 ? (qx * acy - qy * acx) / area : 0, wc = area != 0 ? (abx * qy - aby * qx) / area : 0;
  w[0] = (float)(1 - wb - wc) * a[2], w[1] = (float)wb * b[2], w[2] = (float)wc * c[2];
  for (int k = 0; k < 3; k++) {
    if (w[k] < 0) w[k] = 0; /* snapping may put a sample a hair outside */
    total += w[k];
  }
  if (!(total > 0)) w[0] = w[1] = w[2] = total = 1;
  raster_hit hit;
  memset(&hit, 0, sizeof hit);
  for (int k = 0; k < 3; k++) {
    float weight = w[k] / total;
    for (size_t i = 0; i < 3; i++) {
      hit.position[i] += weight * mesh->positions[3 * (size_t)v[k] + i];
      hit.normal[i] += weight * mesh->normals[3 * (size_t)v[k] + i];
    }
    for (size_t i = 0; i < mesh->attribute_count; i++) {
      hit.attributes[i] += weight * mesh->attributes[mesh->attribute_count * (size_t)v[k] + i];
    }
  }
  normalize3(hit.normal);
  float depth = 0;
  for (int i = 0; i < 3; i++) {
    hit.view[i] = scene->camera.position[i] - hit.position[i];
    depth -= hit.view[i] * scene->camera.forward[i];
  }
  normalize3(hit.view);
  if (area > 0) { /* clockwise on the screen is positive with y down: seen from behind */
    for (int i = 0; i < 3; i++) hit.normal[i] = -hit.normal[i];
  }
  hit.pixel = depth / scene->camera.focal;
  hit.material = mesh->materials[t];
  shade(scene, maps, &hit, colour);
}

static void resolve_pixel(const raster *r, const raster_scene *scene, const depth_map *maps, const float *projected, int x,
                          int y, float *rgba) {
  size_t at = ((size_t)y * (size_t)r->view.width + (size_t)x) * RASTER_SAMPLES;
  const float *nearness = r->view.nearness + at;
  const uint32_t *triangle = r->view.triangle + at;
  unsigned left = 0;
  memset(rgba, 0, 4 * sizeof(float));
  for (int s = 0; s < RASTER_SAMPLES; s++) {
    if (nearness[s] > 0) left |= 1u << s;
  }
  while (left) {
    int first = 0, count = 0;
    while (!(left >> first & 1)) first++;
    /* The samples of the same surface: same material, and no more than a step of a few pixels behind one another. */
    unsigned group = 0;
    float reach = 8 / scene->camera.focal;
    double cx = 0, cy = 0;
    for (int s = first; s < RASTER_SAMPLES; s++) {
      if (!(left >> s & 1) || scene->mesh.materials[triangle[s]] != scene->mesh.materials[triangle[first]]) continue;
      if (fabsf(nearness[s] - nearness[first]) > reach * nearness[first]) continue;
      group |= 1u << s;
      cx += sample_x[s], cy += sample_y[s], count++;
    }
    int best = first;
    double nearest = INFINITY;
    for (int s = first; s < RASTER_SAMPLES; s++) {
      double dx = sample_x[s] - cx / count, dy = sample_y[s] - cy / count;
      if ((group >> s & 1) && dx * dx + dy * dy < nearest) nearest = dx * dx + dy * dy, best = s;
    }
    float colour[3], share = (float)count / RASTER_SAMPLES;
    shade_sample(scene, maps, projected, triangle[best], x + (double)sample_x[best] / SUBPIXEL,
                 y + (double)sample_y[best] / SUBPIXEL, colour);
    for (int i = 0; i < 3; i++) rgba[i] += share * colour[i];
    rgba[3] += share;
    left &= ~group;
  }
}

raster *raster_create(int width, int height) {
  raster *r = (raster *)malloc(sizeof(raster));
  if (r && width > 0 && height > 0 && create_view(&r->view, width, height, RASTER_SAMPLES, 1)) return r;
  free(r);
  return NULL;
}

void raster_free(raster *r) {
  if (!r) return;
  free_view(&r->view);
  free(r);
}

const float *raster_nearness(const raster *r) {
  return r->view.nearness;
}

int raster_render(raster *r, const raster_scene *scene, float *rgba) {
  const raster_mesh *mesh = &scene->mesh;
  screen_vertex *vertices = (screen_vertex *)malloc((mesh->vertex_count + 1) * sizeof(screen_vertex));
  float *projected = (float *)malloc((mesh->vertex_count + 1) * 3 * sizeof(float)); /* pixel x, y, 1/depth */
  depth_map maps[RASTER_MAX_LIGHTS];
  int made = 0, ok = vertices && projected;
  for (; ok && made < scene->light_count; made++) {
    memset(maps + made, 0, sizeof maps[made]);
    const raster_light *light = scene->lights + made;
    if (light->shadow > 0) ok = create_depth_map(maps + made, mesh, light->direction, 2 * light->shadow / FILTER);
  }
  if (ok) {
    for (size_t v = 0; v < mesh->vertex_count; v++) {
      double pixel[2], depth = raster_project(&scene->camera, mesh->positions + 3 * v, pixel);
      int dropped = !(depth > (double)scene->camera.near);
      projected[3 * v] = (float)pixel[0], projected[3 * v + 1] = (float)pixel[1];
      projected[3 * v + 2] = dropped ? 0 : (float)(1 / depth);
      vertices[v] = snap(pixel[0], pixel[1], projected[3 * v + 2], dropped);
    }
    clear_view(&r->view, 0);
    fill_mesh(&r->view, mesh, vertices);
    for (int y = 0; y < r->view.height; y++) {
      for (int x = 0; x < r->view.width; x++) {
        resolve_pixel(r, scene, maps, projected, x, y, rgba + 4 * ((size_t)y * (size_t)r->view.width + (size_t)x));
      }
    }
  }
  for (int l = 0; l < made; l++) free_view(&maps[l].view);
  free(vertices);
  free(projected);
  return ok;
}

int raster_occlusion(const raster_mesh *mesh, int directions, float detail, float *occlusion) {
  float *possible = (float *)calloc(mesh->vertex_count + 1, sizeof(float));
  if (!possible) return 0;
  memset(occlusion, 0, mesh->vertex_count * sizeof(float));
  int ok = 1;
  for (int d = 0; ok && d < directions; d++) {
    depth_map map;
    /* Points of a spiral around the sphere: evenly spread for any count. */
    float z = 1 - 2 * ((float)d + 0.5f) / (float)directions, turn = 2.399963f * (float)d, r = sqrtf(1 - z * z);
    float direction[3] = {r * cosf(turn), r * sinf(turn), z};
    memset(&map, 0, sizeof map);
    ok = create_depth_map(&map, mesh, direction, detail);
    for (size_t v = 0; ok && v < mesh->vertex_count; v++) {
      const float *normal = mesh->normals + 3 * v;
      float cosine = dot3(normal, direction);
      if (cosine <= 0) continue;
      possible[v] += cosine;
      occlusion[v] += cosine * lit_share(&map, mesh->positions + 3 * v, normal);
    }
    free_view(&map.view);
  }
  for (size_t v = 0; v < mesh->vertex_count; v++) occlusion[v] = possible[v] > 0 ? occlusion[v] / possible[v] : 1;
  free(possible);
  return ok;
}
