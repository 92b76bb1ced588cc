/* See synth.h.
 *
 * Poses come from a sequence that fills yaw, pitch and roll evenly however many frames there are (multiples of the powers of
 * a generalised golden ratio); everything else from streams of random numbers of the frame's own.  Lights are rigs of key, fill and rim;
 * exposure brings the face to a random mean brightness, because a rig's own would leave most faces too dark or white.
 *
 * Mixing two expressions vertex by vertex would draw a closing lid straight through the eyeball.  Around turnable eyes,
 * direction from and distance to the eye's centre are therefore mixed apart. */

#include "synth.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../tools/cli.h"
#include "../tools/image_file.h"
#include "../tools/json_file.h"
#include "character.h"
#include "noise.h"

#define DEGREE 0.017453292519943295

/* A point counts as hidden if something is nearer by more than this share of the landmarks' box: lids and brows lie on the skin. */
static const double hidden_by = 0.016;

enum { SKY_DIRECTIONS = 40, POSE_TRIES = 64, MOST_MIXED = 3 };

void synth_defaults(synth_options *o) {
  memset(o, 0, sizeof *o);
  o->shot = "CG";
  o->frames = 936, o->size = 400, o->seed = 1;
  o->yaw = 50, o->pitch = 28, o->roll = 20;
  o->near = 4, o->far = 14;
  o->smallest = 0.38, o->largest = 0.56;
  o->mix = 0.7, o->visible = 0.5;
  o->body = 0.7, o->hat = 0.2, o->hand = 0.1;
}

/* ---- loading ---- */

static int read_axis(const char *name, float axis[3]) {
  const char *letter = name[0] == '-' || name[0] == '+' ? name + 1 : name;
  if (letter[0] < 'x' || letter[0] > 'z' || letter[1]) return -1;
  axis[0] = axis[1] = axis[2] = 0;
  axis[letter[0] - 'x'] = name[0] == '-' ? -1.0f : 1.0f;
  return 0;
}

static void cross3(const float *a, const float *b, float *c) {
  for (int i = 0; i < 3; i++) c[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
}

static float dot3(const float *a, const float *b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* A list of whole numbers below `limit`, for free(); NULL and a message.  `what` and `name` are for the message. */
static uint32_t *read_indices(const cJSON *list, size_t limit, const char *path, const char *what, const char *name,
                              size_t *count, char *message) {
  *count = cJSON_IsArray(list) ? (size_t)cJSON_GetArraySize(list) : 0;
  uint32_t *indices = malloc((*count + 1) * sizeof *indices);
  const cJSON *item;
  size_t i = 0;
  if (!indices || !*count) {
    free(indices);
    message_set(message, "%s: %s%s: expected a list of indices", path, what, name);
    return NULL;
  }
  cJSON_ArrayForEach(item, list) {
    double v;
    if (!json_number(item, &v) || v < 0 || v >= (double)limit || v != floor(v)) {
      message_set(message, "%s: %s%s: entry %zu: expected a whole number from 0 to %zu, found %g", path, what, name, i,
                  limit - 1, cJSON_IsNumber(item) ? item->valuedouble : NAN);
      free(indices);
      return NULL;
    }
    indices[i++] = (uint32_t)v;
  }
  return indices;
}

/* Where the outline turns sharply between its neighbours, bit by canonical vertex. */
static unsigned find_corners(const raster_mesh *mesh, const mesh_outline *o) {
  unsigned corners = 0;
  size_t n = o->vertex_count;
  for (int i = 0; i < o->segment_count + !o->closed; i++) {
    size_t at = o->canonical[i];
    if (!o->closed && (at == 0 || at + 1 == n)) {
      corners |= 1u << i; /* an open end has neighbours on one side only */
      continue;
    }
    const float *p = mesh->positions + 3 * (size_t)o->vertices[at];
    const float *before = mesh->positions + 3 * (size_t)o->vertices[(at + n - 1) % n];
    const float *behind = mesh->positions + 3 * (size_t)o->vertices[(at + 1) % n];
    float a[3], b[3];
    for (int k = 0; k < 3; k++) a[k] = p[k] - before[k], b[k] = behind[k] - p[k];
    float length = sqrtf(dot3(a, a) * dot3(b, b));
    if (length > 0 && dot3(a, b) < 0.94f * length) corners |= 1u << i; /* more than 20 degrees */
  }
  return corners;
}

static int read_outline(const cJSON *chain, const cJSON *canonical, const char *path, const obj_set *set, mesh_outline *o,
                        char *message) {
  size_t count = 0, length = strlen(chain->string) + 1;
  uint32_t *vertices = read_indices(chain, set->meshes[0].point_count, path, "contours.", chain->string, &count, message);
  char *name = malloc(length);
  o->vertices = vertices, o->vertex_count = count, o->name = name;
  if (!vertices) return -1;
  if (!name) return message_set(message, "%s: out of memory", path);
  memcpy(name, chain->string, length);
  uint32_t *positions = read_indices(canonical, count, path, "canonical_positions_in_contour.", name, &count, message);
  if (!positions) return -1;
  o->closed = positions[count - 1] + 1 != o->vertex_count;
  o->segment_count = (int)count - !o->closed;
  int good = count > (size_t)!o->closed && count <= OUTLINE_MAX_SEGMENTS && positions[0] == 0;
  for (size_t i = 0; good && i < count; i++) {
    o->canonical[i] = positions[i];
    size_t next = i + 1 < count ? positions[i + 1] : o->closed ? o->vertex_count : positions[i] + 3;
    good = next >= (size_t)positions[i] + 3; /* the fit needs points between */
  }
  if (o->closed && good) o->canonical[count] = (uint32_t)o->vertex_count;
  free(positions);
  if (!good) {
    return message_set(message,
                       "%s: canonical_positions_in_contour.%s: expected 0 and up to %d further positions, each at least 3 "
                       "after the one before",
                       path, name, OUTLINE_MAX_SEGMENTS - 1);
  }
  for (size_t m = 0; m < set->mesh_count; m++) { /* an eye round when open has corners when it closes */
    raster_mesh view = obj_view(&set->meshes[m]);
    o->corners |= find_corners(&view, o);
  }
  return 0;
}

static int read_eyes(const cJSON *root, const char *path, synth_puppet *p, char *message) {
  const cJSON *centres = cJSON_GetObjectItemCaseSensitive(root, "eye_centres"), *item;
  const cJSON *ranges = cJSON_GetObjectItemCaseSensitive(root, "eye_vertex_ranges");
  if (!centres || !ranges) return 0;
  cJSON_ArrayForEach(item, centres) {
    const cJSON *range = cJSON_GetObjectItemCaseSensitive(ranges, item->string);
    size_t eye = p->eye_count, points = p->set.meshes[0].point_count;
    double v, bounds[2];
    int good = eye < SYNTH_MAX_EYES && cJSON_GetArraySize(item) == 3 && cJSON_GetArraySize(range) == 2;
    for (int i = 0; good && i < 3; i++) {
      good = json_number(cJSON_GetArrayItem(item, i), &v);
      if (good) p->eyes[eye].centre[i] = (float)v;
    }
    for (int i = 0; good && i < 2; i++) good = json_number(cJSON_GetArrayItem(range, i), &bounds[i]);
    if (!good || bounds[0] < 0 || bounds[1] <= bounds[0] || bounds[1] > (double)points) {
      return message_set(
          message,
          "%s: eye '%s': expected at most %d eyes, each a centre [x, y, z] and a range [first, last + 1] of vertices up to %zu",
          path, item->string, SYNTH_MAX_EYES, points);
    }
    p->eyes[eye].first = (uint32_t)bounds[0], p->eyes[eye].end = (uint32_t)bounds[1];
    p->eye_count++;
  }
  return 0;
}

static int read_landmarks(const char *path, synth_puppet *p, char *message) {
  const obj_mesh *mesh = &p->set.meshes[0];
  cJSON *root = json_read(path, message);
  if (!root) return -1;
  const cJSON *contours = cJSON_GetObjectItemCaseSensitive(root, "contours"), *item;
  const cJSON *canonical = cJSON_GetObjectItemCaseSensitive(root, "canonical_positions_in_contour");
  int status = 0;
  p->points = read_indices(cJSON_GetObjectItemCaseSensitive(root, "points"), mesh->point_count, path, "points", "",
                           &p->point_count, message);
  if (!p->points) status = -1;
  if (status == 0 && (p->point_count < 2 || p->point_count > RASTER_MAX_POINTS)) {
    status = message_set(message, "%s: expected 2 to %d points, found %zu", path, RASTER_MAX_POINTS, p->point_count);
  }
  if (status == 0 && cJSON_IsObject(contours) && cJSON_GetArraySize(contours)) {
    p->outlines = calloc((size_t)cJSON_GetArraySize(contours), sizeof *p->outlines);
    if (!p->outlines) status = message_set(message, "%s: out of memory", path);
    cJSON_ArrayForEach(item, contours) {
      if (status) break;
      status = read_outline(item, cJSON_GetObjectItemCaseSensitive(canonical, item->string), path, &p->set,
                            &p->outlines[p->outline_count++], message);
    }
  }
  if (status == 0) status = read_eyes(root, path, p, message);
  cJSON_Delete(root);
  return status;
}

static int compare_paths(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Everything is scaled so that the longest side of the landmarks' box is 1: depth maps of the sky need a size to go by. */
static int scale_to_one(synth_puppet *p) {
  const float *positions = p->set.meshes[0].positions;
  float size = 0;
  for (size_t i = 0; i < 3; i++) {
    float low = INFINITY, high = -INFINITY;
    for (size_t k = 0; k < p->point_count; k++) {
      float v = positions[3 * (size_t)p->points[k] + i];
      if (v < low) low = v;
      if (v > high) high = v;
    }
    p->centre[i] = 0.5f * (low + high);
    if (high - low > size) size = high - low;
  }
  if (!(size > 0)) return -1;
  for (size_t m = 0; m < p->set.mesh_count; m++) {
    obj_mesh *mesh = &p->set.meshes[m];
    const obj_mesh *rest = p->mixes ? &p->set.meshes[0] : mesh; /* paint moves with the skin */
    for (size_t i = 0; i < 3 * mesh->vertex_count; i++) mesh->positions[i] /= size;
    for (size_t i = 0; i < mesh->vertex_count; i++) {
      memcpy(mesh->attributes + OBJ_ATTRIBUTES * i + PROPS_PLACE, rest->positions + 3 * i, 3 * sizeof(float));
    }
  }
  for (size_t m = 0; m < p->set.material_count; m++) p->set.materials[m].texels *= size;
  p->brows = -INFINITY;
  for (size_t k = 0; k < p->point_count; k++) {
    p->brows = fmaxf(p->brows, dot3(p->set.meshes[0].positions + 3 * (size_t)p->points[k], p->up));
  }
  for (size_t i = 0; i < 3; i++) {
    p->centre[i] /= size;
    for (size_t e = 0; e < p->eye_count; e++) p->eyes[e].centre[i] /= size;
  }
  return 0;
}

/* Lids are thin and lie on the eyes: with texels of 0.02, three times as large, they hid half the sky from them. */
static int shade_from_sky(synth_puppet *p, char *message) {
  int failed = 0;
  long count = (long)p->set.mesh_count;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) reduction(| : failed)
#endif
  for (long m = 0; m < count; m++) {
    obj_mesh *mesh = &p->set.meshes[m];
    raster_mesh view = obj_view(mesh);
    float *sky = malloc((mesh->vertex_count + 1) * sizeof *sky);
    int ok = sky && raster_occlusion(&view, SKY_DIRECTIONS, 0.006f, sky);
    for (size_t i = 0; ok && i < mesh->vertex_count; i++) mesh->attributes[OBJ_ATTRIBUTES * i + PROPS_SKY] = sky[i];
    failed |= !ok;
    free(sky);
  }
  return failed ? message_set(message, "%s: out of memory", p->set.meshes[0].path) : 0;
}

int synth_load(char **paths, size_t count, const char *landmarks, const char *up, const char *front, synth_puppet *p,
               char *message) {
  int status = 0;
  memset(p, 0, sizeof *p);
  if (read_axis(up, p->up) || read_axis(front, p->front) || fabsf(dot3(p->up, p->front)) > 0) {
    return message_set(message, "axes '%s' up and '%s' in front: expected two of x, y, z, each with or without a minus sign",
                       up, front);
  }
  cross3(p->up, p->front, p->right); /* of the picture: the face looks at the camera */
  if (!count) return message_set(message, "expected OBJ files, found none");
  qsort(paths, count, sizeof *paths, compare_paths);
  for (size_t i = 0; status == 0 && i < count; i++) status = obj_add(&p->set, paths[i], message);
  p->mixes = 1;
  for (size_t i = 1; status == 0 && i < count; i++) {
    const obj_mesh *first = &p->set.meshes[0], *mesh = &p->set.meshes[i];
    if (mesh->point_count != first->point_count) {
      status = message_set(message,
                           "%s: expected %zu v lines as in %s, found %zu: landmarks are indices that hold for all expressions",
                           mesh->path, first->point_count, first->path, mesh->point_count);
    } else if (!obj_same_topology(first, mesh)) {
      p->mixes = 0;
    }
  }
  if (status == 0) status = read_landmarks(landmarks, p, message);
  if (status == 0 && scale_to_one(p)) status = message_set(message, "%s: all points are in one place", landmarks);
  if (status == 0) status = shade_from_sky(p, message);
  if (status) synth_free(p);
  return status;
}

void synth_free(synth_puppet *p) {
  obj_free(&p->set);
  for (size_t i = 0; i < p->outline_count; i++) {
    free((void *)p->outlines[i].name);
    free((void *)p->outlines[i].vertices);
  }
  free(p->outlines);
  free(p->points);
  memset(p, 0, sizeof *p);
}

/* ---- one frame ---- */

/* Expressions and their shares, which sum to 1. */
typedef struct mixture {
  const obj_mesh *meshes[MOST_MIXED];
  float shares[MOST_MIXED];
  int count;
} mixture;

static void mix_expressions(const synth_puppet *p, const mixture *x, float *positions, float *normals, float *attributes) {
  size_t n = x->meshes[0]->vertex_count;
  memcpy(positions, x->meshes[0]->positions, 3 * n * sizeof *positions);
  memcpy(normals, x->meshes[0]->normals, 3 * n * sizeof *normals);
  memcpy(attributes, x->meshes[0]->attributes, OBJ_ATTRIBUTES * n * sizeof *attributes);
  if (x->count == 1) return;
  for (size_t i = 0; i < n; i++) {
    float *place = positions + 3 * i, *normal = normals + 3 * i, *sky = attributes + OBJ_ATTRIBUTES * i + PROPS_SKY;
    memset(place, 0, 3 * sizeof *place), memset(normal, 0, 3 * sizeof *normal), *sky = 0;
    for (int m = 0; m < x->count; m++) {
      for (size_t k = 0; k < 3; k++) {
        place[k] += x->shares[m] * x->meshes[m]->positions[3 * i + k];
        normal[k] += x->shares[m] * x->meshes[m]->normals[3 * i + k];
      }
      *sky += x->shares[m] * x->meshes[m]->attributes[OBJ_ATTRIBUTES * i + PROPS_SKY];
    }
    float length = sqrtf(dot3(normal, normal));
    for (size_t k = 0; length > 0 && k < 3; k++) normal[k] /= length;
  }
  for (size_t e = 0; e < p->eye_count; e++) { /* distances from the eye's centre mixed apart */
    const float *centre = p->eyes[e].centre, *surface = x->meshes[0]->positions + 3 * (size_t)p->eyes[e].first;
    float d[3], radius;
    for (int k = 0; k < 3; k++) d[k] = surface[k] - centre[k];
    radius = sqrtf(dot3(d, d));
    for (size_t i = 0; i < n; i++) {
      float *place = positions + 3 * i, target = 0;
      for (int k = 0; k < 3; k++) d[k] = place[k] - centre[k];
      float length = sqrtf(dot3(d, d)), near = (1.6f * radius - length) / (0.4f * radius);
      if (near <= 0 || !(length > 0)) continue;
      for (int m = 0; m < x->count; m++) {
        float from[3];
        for (size_t k = 0; k < 3; k++) from[k] = x->meshes[m]->positions[3 * i + k] - centre[k];
        target += x->shares[m] * sqrtf(dot3(from, from));
      }
      float grow = 1 + (near < 1 ? near : 1) * (target / length - 1);
      for (size_t k = 0; k < 3; k++) place[k] = centre[k] + d[k] * grow;
    }
  }
}

/* Every expression leads equally often, alone or with one or two others. */
static void choose_expressions(const synth_puppet *p, const synth_options *o, int frame, rng *r, mixture *x) {
  uint32_t count = (uint32_t)p->set.mesh_count, first = (uint32_t)frame % count;
  float left = 1;
  x->count = 1;
  x->meshes[0] = &p->set.meshes[first];
  if (p->mixes && count > 1 && rng_chance(r, (float)o->mix)) x->count = 2 + (count > 2 && rng_chance(r, 0.35f));
  uint32_t step = count > 1 ? 1 + rng_below(r, count - 1) : 0, other = count > 2 ? 1 + rng_below(r, count - 2) : 0;
  if (x->count > 1) x->meshes[1] = &p->set.meshes[(first + step) % count];
  if (x->count > 2) x->meshes[2] = &p->set.meshes[(first + (other < step ? other : other + 1)) % count];
  for (int m = x->count - 1; m >= 0; left -= x->shares[m--]) x->shares[m] = m ? left * rng_uniform(r) : left;
}

/* Both eyes turned alike, by angles to the right and up. */
static void turn_eyes(const synth_puppet *p, float right, float up, float *positions, float *normals) {
  float cr = cosf(right), sr = sinf(right), cu = cosf(up), su = sinf(up);
  for (size_t e = 0; e < p->eye_count; e++) {
    for (uint32_t i = p->eyes[e].first; i < p->eyes[e].end; i++) {
      for (int what = 0; what < 2; what++) {
        float *v = (what ? normals : positions) + 3 * (size_t)i, d[3];
        for (int k = 0; k < 3; k++) d[k] = v[k] - (what ? 0 : p->eyes[e].centre[k]);
        float x = dot3(d, p->right), y = dot3(d, p->up), z = dot3(d, p->front);
        float y1 = y * cu + z * su, z1 = z * cu - y * su, x1 = x * cr + z1 * sr, z2 = z1 * cr - x * sr;
        for (int k = 0; k < 3; k++) {
          v[k] = x1 * p->right[k] + y1 * p->up[k] + z2 * p->front[k] + (what ? 0 : p->eyes[e].centre[k]);
        }
      }
    }
  }
}

/* The k-th of evenly spread points of the unit cube. */
static void spread(uint64_t k, double point[3]) {
  static const double step[3] = {0.8191725133961645, 0.6710436067037893, 0.5497004779019703}; /* 1/g^i, g^4 = g + 1 */
  for (int i = 0; i < 3; i++) {
    double x = 0.5 + step[i] * (double)k;
    point[i] = x - floor(x);
  }
}

/* The head is turned by moving the camera around it. */
static void place_camera(const synth_puppet *p, const synth_options *o, double yaw, double pitch, double roll, rng *r,
                         raster_camera *camera) {
  float distance = expf(rng_range(r, logf((float)o->near), logf((float)o->far)));
  float share = rng_range(r, (float)o->smallest, (float)o->largest), position[3], side = (float)o->size;
  for (int i = 0; i < 3; i++) {
    /* a face turned to the right of the picture is one seen from its left */
    double toward = cos(pitch) * cos(yaw) * (double)p->front[i] - cos(pitch) * sin(yaw) * (double)p->right[i] -
                    sin(pitch) * (double)p->up[i];
    position[i] = p->centre[i] + distance * (float)toward;
  }
  memset(camera, 0, sizeof *camera);
  raster_look_at(camera, position, p->centre, p->up, (float)roll);
  camera->focal = side * share * distance;
  camera->near = 0.05f * distance;
  for (int i = 0; i < 2; i++) camera->centre[i] = side * rng_range(r, 0.44f, 0.56f);
}

/* Light in directions of the camera: to the right, up, towards it. */
static raster_light aim(const raster_camera *camera, float right, float up, float back) {
  raster_light light;
  memset(&light, 0, sizeof light);
  float length = sqrtf(right * right + up * up + back * back);
  for (int i = 0; i < 3; i++) {
    light.direction[i] = (right * camera->right[i] - up * camera->down[i] - back * camera->forward[i]) / length;
  }
  return light;
}

/* From candle to overcast sky, sometimes any colour. */
static void tint(rng *r, float strength, float colour[3]) {
  float warm = rng_range(r, -1, 1);
  colour[0] = 1 + 0.35f * warm, colour[1] = 1 - 0.05f * fabsf(warm), colour[2] = 1 - 0.45f * warm;
  if (rng_chance(r, 0.15f)) {
    for (int i = 0; i < 3; i++) colour[i] = rng_range(r, 0.2f, 1);
  }
  for (int i = 0; i < 3; i++) colour[i] *= strength;
}

static void choose_lights(const synth_puppet *p, rng *r, raster_scene *scene) {
  const raster_camera *camera = &scene->camera;
  float key = rng_range(r, 0.2f, 1), soft = rng_range(r, 0.01f, 0.09f);
  float across = rng_range(r, -1.6f, 1.6f), height = rng_range(r, -0.3f, 1.6f);
  raster_light *light = scene->lights;
  *light = aim(camera, across, height, rng_range(r, 0.15f, 1));
  light->wrap = rng_range(r, 0, 0.7f), light->shadow = soft;
  tint(r, key * 3, light++->colour);
  if (rng_chance(r, 0.6f)) { /* fill, from the other side */
    *light = aim(camera, -across * rng_range(r, 0.3f, 1.2f), rng_range(r, -0.6f, 0.8f), 1);
    light->wrap = 0.6f;
    tint(r, key * rng_range(r, 0.1f, 1), light++->colour);
  }
  for (int rim = 0; rim < 2; rim++) { /* from behind, left and right */
    if (!rng_chance(r, 0.35f)) continue;
    *light = aim(camera, (rim ? 1.0f : -1.0f) * rng_range(r, 0.5f, 1.2f), rng_range(r, -0.1f, 0.8f), -rng_range(r, 0.2f, 0.9f));
    light->shadow = soft;
    tint(r, rng_range(r, 0.5f, 4), light++->colour);
  }
  scene->light_count = (int)(light - scene->lights);
  float sky = rng_range(r, 0.1f, 1.1f);
  tint(r, sky, scene->sky);
  tint(r, sky * rng_range(r, 0.2f, 0.8f), scene->ground);
  memcpy(scene->up, p->up, sizeof scene->up);
}

/* ---- paint ---- */

/* No two sets light, paint and grade a puppet alike, and nobody renders it as the film does: what the OBJ files say is varied a little
 * from frame to frame, and clay has the fine bumps and blotches of a real surface. */
typedef struct paint {
  const obj_set *set;
  props_paint props;
  uint16_t first_prop; /* materials from here on are props */
  uint32_t key;
  float blotches, bumps, grain; /* grain: bumps a unit */
} paint;

/* A factor that is the material's own in this frame, (1 + a)^+-1. */
static float vary(const paint *p, uint32_t material, uint32_t what, float a) {
  return powf(1 + a, 2 * noise_unit(p->key + 977 * material + 7919 * what) - 1);
}

static void shade_surface(const void *context, const raster_hit *hit, raster_surface *surface) {
  const paint *p = context;
  const float *place = hit->attributes + PROPS_PLACE;
  uint32_t m = hit->material;
  if (m >= p->first_prop) {
    props_shade(&p->props, (int)(m - p->first_prop), hit, surface);
  } else {
    obj_shade(p->set, hit, surface);
    float shift[3] = {place[0] + (float)(p->key % 101), place[1], place[2]}, shade = vary(p, m, 3, 0.2f);
    float dull = surface->roughness > 0.5f ? 1 : surface->roughness < 0.35f ? 0 : (surface->roughness - 0.35f) / 0.15f;
    shade *= 1 + p->blotches * dull * noise_fractal(shift, 4, 3);
    for (uint32_t i = 0; i < 3; i++) surface->albedo[i] *= shade * vary(p, m, i, 0.07f);
    surface->specular *= vary(p, m, 4, 0.8f);
    surface->roughness = fminf(surface->roughness * vary(p, m, 5, 0.25f), 1);
    noise_bump(surface->normal, shift, p->grain, p->bumps * dull); /* not on what is polished: eyes */
  }
  /* Light that bounces between pale surfaces: Jimenez et al. 2016, "Practical real-time strategies for accurate indirect
   * occlusion", equation of the cubic fit. */
  float a = 0.3f * surface->albedo[0] + 0.6f * surface->albedo[1] + 0.1f * surface->albedo[2], x = surface->occlusion;
  float bounced = ((x * (2.0404f * a - 0.3324f) + (0.6417f - 4.7951f * a)) * x + (2.7552f * a + 0.6903f)) * x;
  if (bounced > x) surface->occlusion = bounced;
}

static void choose_paint(const synth_puppet *p, rng *r, paint *x) {
  const obj_mesh *mesh = &p->set.meshes[0];
  raster_hit hit;
  raster_surface skin;
  size_t lowest = 0;
  for (size_t t = 0; t < mesh->triangle_count; t++) { /* the chin's colour is the neck's */
    if (dot3(mesh->positions + 3 * (size_t)mesh->triangles[3 * t], p->up) <
        dot3(mesh->positions + 3 * (size_t)mesh->triangles[3 * lowest], p->up))
      lowest = t;
  }
  memset(&hit, 0, sizeof hit), memset(&skin, 0, sizeof skin);
  hit.material = mesh->materials[lowest], hit.pixel = 0.1f;
  memcpy(hit.attributes, mesh->attributes + OBJ_ATTRIBUTES * (size_t)mesh->triangles[3 * lowest],
         OBJ_ATTRIBUTES * sizeof(float));
  obj_shade(&p->set, &hit, &skin);
  x->set = &p->set, x->first_prop = (uint16_t)p->set.material_count, x->key = (uint32_t)rng_next(r);
  x->blotches = rng_range(r, 0, 0.25f), x->bumps = rng_range(r, 0, 0.15f), x->grain = rng_range(r, 25, 90);
  props_choose_paint(skin.albedo, r, &x->props);
}

/* ---- exposure ---- */

/* How a picture is graded: exposure and cast in linear light, contrast about the face's brightness, colour, and a shoulder: from a
 * short one near white to that of film, which bends all of the curve and so pales what is bright. */
typedef struct grade {
  float gain[3], middle, contrast, saturation, film;
} grade;

static void choose_grade(rng *r, float mean, grade *g) {
  g->middle = expf(rng_range(r, logf(0.06f), logf(0.7f)));
  for (int i = 0; i < 3; i++) g->gain[i] = expf(rng_range(r, -0.15f, 0.15f)) / fmaxf(mean, 1e-6f);
  g->contrast = rng_range(r, 0.85f, 1.4f), g->saturation = rng_range(r, 0.7f, 1.25f), g->film = rng_uniform(r);
}

/* Linear light to sRGB in 0..1. */
static void develop(const grade *g, const float light[3], float share, float out[3]) {
  float c[3], grey, start = 1 - g->middle; /* film's curve at the middle is brought back to it */
  for (int i = 0; i < 3; i++) c[i] = g->middle * powf(fmaxf(g->gain[i] * light[i] * share, 0), g->contrast);
  grey = 0.3f * c[0] + 0.6f * c[1] + 0.1f * c[2];
  for (int i = 0; i < 3; i++) {
    float x = fmaxf(grey + g->saturation * (c[i] - grey), 0);
    float digital = x <= 0.6f ? x : 1 - 0.4f * expf(1.5f - 2.5f * x), film = x / (x + start);
    x = digital + g->film * (film - digital);
    out[i] = x <= 0.0031308f ? 12.92f * x : 1.055f * powf(x, 1 / 2.4f) - 0.055f;
  }
}

/* Mean brightness of the puppet in the box of its landmarks. */
static float measure_light(const synth_puppet *p, const synth_options *o, const synth_frame *f, const float *light) {
  double low[2] = {o->size, o->size}, high[2] = {0, 0}, sum = 0, weight = 0;
  for (size_t i = 0; i < p->point_count; i++) {
    for (int k = 0; k < 2; k++) {
      low[k] = fmin(low[k], f->points[2 * i + (size_t)k]), high[k] = fmax(high[k], f->points[2 * i + (size_t)k]);
    }
  }
  for (int k = 0; k < 2; k++) low[k] = fmax(low[k], 0), high[k] = fmin(high[k], o->size);
  for (int y = (int)low[1]; y < (int)high[1]; y++) {
    for (int x = (int)low[0]; x < (int)high[0]; x++) {
      const float *in = light + 4 * ((size_t)y * (size_t)o->size + (size_t)x);
      sum += 0.3 * (double)in[0] + 0.6 * (double)in[1] + 0.1 * (double)in[2], weight += (double)in[3];
    }
  }
  return weight > 0 ? (float)(sum / weight) : 0;
}

/* The picture before its backdrop, and coverage as alpha. */
static void expose(const synth_options *o, rng *r, float mean, const float *light, uint8_t *rgba) {
  size_t pixels = (size_t)o->size * (size_t)o->size;
  grade g;
  swatch backdrop;
  choose_grade(r, mean, &g);
  swatch_choose(o->backdrops, o->backdrops && o->backdrops->count ? 0.1f : 1, (uint32_t)o->size, (uint32_t)o->size, r,
                &backdrop);
  for (size_t i = 0; i < pixels; i++) {
    const float *in = light + 4 * i;
    uint8_t *out = rgba + 4 * i;
    float front[3] = {0, 0, 0}, behind[3] = {0, 0, 0}, alpha = in[3] < 1 ? in[3] : 1;
    if (alpha < 1) swatch_at(&backdrop, (float)(i % (size_t)o->size), (float)(i / (size_t)o->size), behind);
    if (alpha > 0) develop(&g, in, 1 / alpha, front);
    for (int k = 0; k < 3; k++) out[k] = (uint8_t)(255 * (alpha * front[k] + (1 - alpha) * behind[k]) + 0.5f);
    out[3] = (uint8_t)(255 * alpha + 0.5f);
  }
}

void synth_frame_free(synth_frame *f) {
  free(f->vertices);
  free(f->triangles);
  free(f->materials);
  free(f->points);
  free(f->visible);
  free(f->curves);
  free(f->rgba);
  memset(f, 0, sizeof *f);
}

static size_t annotate(const synth_puppet *p, synth_frame *f) {
  float places[RASTER_MAX_POINTS][3];
  size_t seen = 0;
  for (size_t i = 0; i < p->point_count; i++) {
    memcpy(places[i], f->mesh.positions + 3 * (size_t)p->points[i], sizeof places[i]);
    raster_project(&f->camera, places[i], f->points + 2 * i);
  }
  raster_visible(&f->mesh, &f->camera, (const float(*)[3])places, p->point_count, hidden_by, f->visible);
  for (size_t i = 0; i < p->point_count; i++) seen += f->visible[i];
  return seen;
}

/* The posed mesh, with room for props behind it. */
static int pose_mesh(const synth_puppet *p, const mixture *x, rng *r, synth_frame *f) {
  const obj_mesh *mesh = x->meshes[0];
  size_t n = mesh->vertex_count, room = n + PROPS_VERTICES, triangles = mesh->triangle_count + PROPS_TRIANGLES;
  float gaze[2] = {rng_range(r, -0.55f, 0.55f), rng_range(r, -0.28f, 0.28f)};
  f->vertices = malloc((6 + OBJ_ATTRIBUTES) * room * sizeof(float));
  f->triangles = malloc(3 * triangles * sizeof *f->triangles);
  f->materials = malloc(triangles * sizeof *f->materials);
  if (!f->vertices || !f->triangles || !f->materials) return -1;
  memcpy(f->triangles, mesh->triangles, 3 * mesh->triangle_count * sizeof *f->triangles);
  memcpy(f->materials, mesh->materials, mesh->triangle_count * sizeof *f->materials);
  mix_expressions(p, x, f->vertices, f->vertices + 3 * room, f->vertices + 6 * room);
  turn_eyes(p, gaze[0], gaze[1], f->vertices, f->vertices + 3 * room);
  f->mesh = obj_view(mesh);
  f->mesh.positions = f->vertices, f->mesh.normals = f->vertices + 3 * room, f->mesh.attributes = f->vertices + 6 * room;
  f->mesh.triangles = f->triangles, f->mesh.materials = f->materials;
  return 0;
}

static void dress(const synth_puppet *p, const synth_options *o, rng *r, synth_frame *f) {
  size_t room = p->set.meshes[0].vertex_count + PROPS_VERTICES;
  props_face face = {p->right, p->up, p->front, p->centre, p->brows};
  props_mesh m = {f->vertices,
                  f->vertices + 3 * room,
                  f->vertices + 6 * room,
                  f->triangles,
                  f->materials,
                  f->mesh.vertex_count,
                  f->mesh.triangle_count,
                  OBJ_ATTRIBUTES,
                  (uint16_t)p->set.material_count};
  if (p->set.material_count + PROPS_MATERIALS > UINT16_MAX) return;
  int hat = rng_chance(r, (float)o->hat), body = rng_chance(r, (float)o->body), hand = rng_chance(r, (float)o->hand);
  if (hat) props_hat(&face, r, &m); /* first, because it measures the head */
  if (body) props_body(&face, r, &m);
  if (hand) props_hand(&face, &f->camera, r, &m);
  f->mesh.vertex_count = m.vertex_count, f->mesh.triangle_count = m.triangle_count;
}

int synth_render(const synth_puppet *p, const synth_options *o, int frame, synth_frame *f, char *message) {
  rng r = {rng_seed((uint64_t)o->seed, 0, (uint64_t)frame)}, props = {rng_seed((uint64_t)o->seed, 1, (uint64_t)frame)};
  size_t pixels = (size_t)o->size * (size_t)o->size, seen = 0, least = (size_t)ceil(o->visible * (double)p->point_count);
  mixture mixed;
  int status = 0;
  memset(f, 0, sizeof *f);
  choose_expressions(p, o, frame, &r, &mixed);
  f->points = malloc(p->point_count * 2 * sizeof(double));
  f->visible = malloc(p->point_count);
  f->curves = calloc(p->outline_count + 1, OUTLINE_MAX_SEGMENTS * sizeof *f->curves);
  f->rgba = malloc(pixels * 4);
  float *light = malloc(pixels * 4 * sizeof *light);
  raster *work = raster_create(o->size, o->size);
  if (pose_mesh(p, &mixed, &r, f) || !f->points || !f->visible || !f->curves || !f->rgba || !light || !work) {
    status = message_set(message, "frame %d: out of memory for %d x %d pixels", frame, o->size, o->size);
  }
  if (status == 0) {
    raster_mesh bare = f->mesh;
    for (uint64_t attempt = 0; attempt < POSE_TRIES && seen < least; attempt++) {
      double pose[3];
      spread((uint64_t)frame + attempt * 7919 + (uint64_t)o->seed * 104729, pose);
      place_camera(p, o, (2 * pose[0] - 1) * o->yaw * DEGREE, (2 * pose[1] - 1) * o->pitch * DEGREE,
                   (2 * pose[2] - 1) * o->roll * DEGREE, &r, &f->camera);
      seen = annotate(p, f);
    }
    if (seen < least || !seen) {
      status = message_set(message,
                           "frame %d: in none of %d poses within yaw %g, pitch %g and roll %g degrees %g %% of the landmarks "
                           "are seen: are --up and --front right?",
                           frame, POSE_TRIES, o->yaw, o->pitch, o->roll, 100 * o->visible);
    } else {
      dress(p, o, &props, f);
      if (annotate(p, f) < least) { /* props that hide too much stay away */
        f->mesh = bare;
        annotate(p, f);
      }
    }
  }
  if (status == 0) {
    raster_scene scene;
    paint surface;
    memset(&scene, 0, sizeof scene);
    choose_paint(p, &props, &surface);
    scene.mesh = f->mesh, scene.camera = f->camera;
    scene.material = shade_surface, scene.material_context = &surface;
    choose_lights(p, &r, &scene);
    if (!raster_render(work, &scene, light)) status = message_set(message, "frame %d: out of memory", frame);
  }
  if (status == 0) {
    expose(o, &r, measure_light(p, o, f, light), light, f->rgba);
    for (size_t s = 0; status == 0 && s < p->outline_count; s++) {
      if (outline_fit(&f->mesh, &p->outlines[s], &f->camera, f->curves + s * OUTLINE_MAX_SEGMENTS) != 0)
        status = message_set(message, "frame %d: out of memory", frame);
    }
  }
  raster_free(work);
  free(light);
  if (status) synth_frame_free(f);
  return status;
}

/* ---- files ---- */

/* To a ten-thousandth of a pixel, so that files stay short. */
static cJSON *number(double v) {
  return cJSON_CreateNumber(round(v * 1e4) / 1e4);
}

static int write_frame(const synth_puppet *p, const synth_options *o, int frame, const synth_frame *f, const char *dir,
                       char *message) {
  char *path;
  int file = o->first_frame + frame, status;
  cJSON *shapes = cJSON_CreateObject(), *simple = cJSON_CreateObject(), *points, *visible, *seen;
  for (size_t s = 0; s < p->outline_count; s++) {
    cJSON *segments = cJSON_AddArrayToObject(shapes, p->outlines[s].name);
    for (int i = 0; i < p->outlines[s].segment_count; i++) {
      const double(*c)[2] = (const double(*)[2])f->curves[s * OUTLINE_MAX_SEGMENTS + (size_t)i];
      cJSON *segment = cJSON_CreateArray();
      for (int k = 0; k < 2; k++) {
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(row, number(c[0][k]));
        cJSON_AddItemToArray(row, number(c[1][k] - c[0][k]));
        cJSON_AddItemToArray(row, number(c[3][k]));
        cJSON_AddItemToArray(row, number(c[2][k] - c[3][k]));
        cJSON_AddItemToArray(segment, row);
      }
      cJSON_AddItemToArray(segments, segment);
    }
  }
  points = cJSON_AddArrayToObject(shapes, "points");
  visible = cJSON_AddArrayToObject(shapes, "visible");
  seen = cJSON_AddArrayToObject(simple, "points");
  for (size_t i = 0; i < p->point_count; i++) {
    cJSON *point = cJSON_CreateArray(), *or_zero = cJSON_CreateArray();
    for (size_t k = 0; k < 2; k++) {
      cJSON_AddItemToArray(point, number(f->points[2 * i + k]));
      cJSON_AddItemToArray(or_zero, number(f->visible[i] ? f->points[2 * i + k] : 0));
    }
    cJSON_AddItemToArray(points, point);
    cJSON_AddItemToArray(seen, or_zero);
    cJSON_AddItemToArray(visible, cJSON_CreateNumber(f->visible[i]));
  }
  path = cli_format("%s/image-%s-frame%03d.png", dir, o->shot, file);
  status = image_write_png(path, f->rgba, (uint32_t)o->size, (uint32_t)o->size, 4, message);
  free(path);
  path = cli_format("%s/revec_shapes-%s-frame%03d.json", dir, o->shot, file);
  if (status == 0) status = json_write(path, shapes, message);
  free(path);
  path = cli_format("%s/points-%s-frame%03d.json", dir, o->shot, file);
  if (status == 0) status = json_write(path, simple, message);
  free(path);
  cJSON_Delete(shapes);
  cJSON_Delete(simple);
  return status;
}

/* ---- command line ---- */

/* OBJ files of a folder. */
static char **list_objs(const char *folder, size_t *count) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  char **paths = NULL;
  *count = 0;
  if (!dir) cli_fail(EXIT_INPUT, "%s: cannot open the folder of OBJ files: %s", folder, strerror(errno));
  while ((entry = readdir(dir)) != NULL) {
    size_t length = strlen(entry->d_name);
    if (length < 5 || entry->d_name[0] == '.' || strcmp(entry->d_name + length - 4, ".obj") != 0) continue;
    paths = realloc(paths, (*count + 1) * sizeof *paths);
    if (!paths) cli_fail(EXIT_FAILED, "%s: out of memory", folder);
    paths[(*count)++] = cli_format("%s/%s", folder, entry->d_name);
  }
  closedir(dir);
  if (!*count) cli_fail(EXIT_INPUT, "%s: expected OBJ files, one an expression, found none", folder);
  return paths;
}

/* The template must have the landmarks and the shapes that are written. */
static void check_character(const character *ch, const char *path, const synth_puppet *p) {
  if (ch->landmark_count != p->point_count) {
    cli_fail(EXIT_INPUT, "%s: expected %zu landmarks, as many as the puppet has points, found %u", path, p->point_count,
             ch->landmark_count);
  }
  for (size_t s = 0; s < p->outline_count; s++) {
    const mesh_outline *o = &p->outlines[s];
    int shape = character_find_shape(ch, o->name);
    if (shape < 0) continue;
    int found = (int)ch->shapes[shape].vertex_count, expected = o->segment_count + !o->closed;
    if (found != expected || (ch->shapes[shape].closed != 0) != o->closed) {
      cli_fail(EXIT_INPUT, "%s: shape %s: expected %d vertices and %s, as the puppet's contour, found %d and %s", path, o->name,
               expected, o->closed ? "closed" : "open", found, ch->shapes[shape].closed ? "closed" : "open");
    }
  }
}

int synth_main(int argc, char **argv) {
  const char *dir = NULL, *landmarks = NULL, *folder = NULL, *template_path = NULL, *up = "z", *front = "-y", *shot = "CG";
  char message[MESSAGE_SIZE];
  synth_options o;
  synth_defaults(&o);
  const cli_option options[] = {
      {"-o", CLI_STRING, &dir, "DIR", "folder for the frames"},
      {"--landmarks", CLI_STRING, &landmarks, "FILE", "landmarks and contours (default: landmarks.json beside the first OBJ)"},
      {"--character", CLI_STRING, &template_path, "FILE", "template to check against and to copy to DIR/character.json"},
      {"--backgrounds", CLI_STRING, &folder, "DIR", "pictures for the backdrops (default: plain colours)"},
      {"--frames", CLI_INTEGER, &o.frames, "N", "frames (default 936)"},
      {"--size", CLI_INTEGER, &o.size, "N", "side of the square frames in pixels (default 400)"},
      {"--seed", CLI_INTEGER, &o.seed, "N", "what everything random is drawn from (default 1)"},
      {"--yaw", CLI_NUMBER, &o.yaw, "D", "head turned right and left, degrees either way (default 50)"},
      {"--pitch", CLI_NUMBER, &o.pitch, "D", "up and down (default 28)"},
      {"--roll", CLI_NUMBER, &o.roll, "D", "tilted (default 20)"},
      {"--near", CLI_NUMBER, &o.near, "S", "nearest camera, in sizes of the landmarks' box (default 4)"},
      {"--far", CLI_NUMBER, &o.far, "S", "farthest camera (default 14)"},
      {"--smallest", CLI_NUMBER, &o.smallest, "S", "smallest share of the frame's side that box takes (default 0.38)"},
      {"--largest", CLI_NUMBER, &o.largest, "S", "largest share (default 0.56)"},
      {"--mix", CLI_NUMBER, &o.mix, "P", "probability of a mixture of two or three expressions (default 0.7)"},
      {"--body", CLI_NUMBER, &o.body, "P", "probability of a body below the head (default 0.7)"},
      {"--hat", CLI_NUMBER, &o.hat, "P", "probability of a hat, which shades the face (default 0.2)"},
      {"--hand", CLI_NUMBER, &o.hand, "P", "probability of a hand or a rod before the face (default 0.1)"},
      {"--visible", CLI_NUMBER, &o.visible, "S", "least share of landmarks that must be seen (default 0.5)"},
      {"--up", CLI_STRING, &up, "AXIS", "of the OBJ files: x, -x, y, ... (default z)"},
      {"--front", CLI_STRING, &front, "AXIS", "where the face looks (default -y)"},
      {"--shot", CLI_STRING, &shot, "NAME", "in the files' names (default CG)"},
      {"--first-frame", CLI_INTEGER, &o.first_frame, "N", "number of the first frame (default 0)"},
  };
  const cli_command command = {"roto-train synth",
                               "PUPPET -o DIR",
                               "Render annotated training frames of a puppet: a folder of OBJ files, one an expression (or the "
                               "files themselves), with landmarks.json beside them.",
                               "roto-train synth puppet --backgrounds plates -o shots/CG",
                               options,
                               sizeof options / sizeof *options};
  int count = cli_parse(&command, argc, argv);
  if (count < 1) cli_usage(&command, "expected a folder of OBJ files");
  if (!dir) cli_usage(&command, "-o DIR is missing");
  if (o.frames < 1 || o.frames > 1000000 || o.size < 16 || o.size > 8192 || o.first_frame < 0)
    cli_usage(&command, "--frames must be 1 to 1000000, --size 16 to 8192, --first-frame 0 or more");
  if (!(o.near >= 1) || !(o.far >= o.near) || !(o.smallest > 0) || !(o.largest >= o.smallest) || !(o.largest <= 4))
    cli_usage(&command, "expected 1 <= --near <= --far and 0 < --smallest <= --largest <= 4");
  const double shares[] = {o.mix, o.body, o.hat, o.hand};
  for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
    if (!(shares[i] >= 0 && shares[i] <= 1)) cli_usage(&command, "--mix, --body, --hat and --hand must be 0 to 1");
  }
  if (!(o.visible > 0 && o.visible <= 1)) cli_usage(&command, "--visible must be above 0 and at most 1");
  o.shot = shot;

  /* Everything is read and checked before the first file is written. */
  size_t obj_count = (size_t)count;
  struct stat status;
  int from_folder = count == 1 && stat(argv[0], &status) == 0 && S_ISDIR(status.st_mode);
  char **paths = from_folder ? list_objs(argv[0], &obj_count) : argv;
  const char *slash = strrchr(paths[0], '/');
  char *beside = cli_format("%.*slandmarks.json", slash ? (int)(slash - paths[0]) + 1 : 0, paths[0]);
  synth_puppet puppet;
  if (synth_load(paths, obj_count, landmarks ? landmarks : beside, up, front, &puppet, message) != 0)
    cli_fail(EXIT_INPUT, "%s", message);
  free(beside);
  character ch;
  if (template_path) {
    if (character_load(template_path, &ch, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
    check_character(&ch, template_path, &puppet);
  }
  backgrounds backdrops;
  if (folder && backgrounds_load(folder, &backdrops, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (folder) o.backdrops = &backdrops;
  cli_make_folder(dir);
  if (template_path) {
    char *path = cli_format("%s/character.json", dir);
    if (character_write(path, &ch, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
    free(path);
    character_free(&ch);
  }

  cli_catch_signals();
  cli_progress progress;
  cli_progress_start(&progress, stdout, "rendering", (size_t)o.frames);
  double start = cli_seconds();
  size_t done = 0;
  int failed = 0;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (int i = 0; i < o.frames; i++) {
    synth_frame f;
    char reason[MESSAGE_SIZE];
    int stop, result = EXIT_DONE;
#ifdef _OPENMP
#pragma omp atomic read
#endif
    stop = failed;
    if (stop || cli_interrupted()) continue;
    if (synth_render(&puppet, &o, i, &f, reason) != 0) {
      result = EXIT_INPUT;
    } else {
      if (write_frame(&puppet, &o, i, &f, dir, reason) != 0) result = EXIT_WRITE;
      synth_frame_free(&f);
    }
#ifdef _OPENMP
#pragma omp critical
#endif
    {
      if (result && !failed) memcpy(message, reason, sizeof message);
      if (result && !failed) failed = result;
      cli_progress_show(&progress, ++done, NULL);
    }
  }
  cli_progress_end(&progress);
  if (failed) cli_fail(failed, "%s", message);
  if (cli_interrupted()) return cli_interrupted();
  printf("%s: %d frames of %dx%d in %.1f s\n", dir, o.frames, o.size, o.size, cli_seconds() - start);
  synth_free(&puppet);
  if (folder) backgrounds_free(&backdrops);
  if (from_folder) {
    for (size_t i = 0; i < obj_count; i++) free(paths[i]);
    free(paths);
  }
  return EXIT_DONE;
}
