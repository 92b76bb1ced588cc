/* See props.h. */

#include "props.h"

#include <math.h>
#include <string.h>

#include "noise.h"

enum { COLUMNS = 36, MOST_ROWS = 24 };

/* Where a turned surface stands: place = origin + x along[0] + y along[1] + height along[2], right-handed. */
typedef struct place {
  float origin[3], along[3][3];
} place;

static float dot3(const float *a, const float *b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void cross3(const float *a, const float *b, float *c) {
  for (int i = 0; i < 3; i++) c[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
}

static void normalize3(float *a) {
  float length = sqrtf(dot3(a, a));
  for (int i = 0; length > 0 && i < 3; i++) a[i] /= length;
}

/* Append the surface of a profile of (radius, height), from below upwards on the outside.  What lies beyond radius 1 rises by
 * `curl` on two sides and sinks on the other two. */
static void turn(props_mesh *m, const place *at, const float (*profile)[2], int rows, float curl, float sky, int material) {
  size_t first = m->vertex_count;
  float *v = m->positions + 3 * first, *n = m->normals + 3 * first;
  for (int row = 0; row < rows; row++) {
    for (int column = 0; column < COLUMNS; column++) {
      float t = 6.2831853f * (float)column / COLUMNS, radius = profile[row][0], beyond = radius > 1 ? radius - 1 : 0;
      float height = profile[row][1] + curl * beyond * beyond * cosf(2 * t), x = radius * cosf(t), y = radius * sinf(t);
      float *p = v + 3 * (row * COLUMNS + column);
      float *attributes = m->attributes + m->attribute_count * (first + (size_t)(row * COLUMNS + column));
      for (int i = 0; i < 3; i++) {
        p[i] = at->origin[i] + x * at->along[0][i] + y * at->along[1][i] + height * at->along[2][i];
      }
      memset(attributes, 0, m->attribute_count * sizeof *attributes);
      attributes[PROPS_SKY] = sky;
      memcpy(attributes + PROPS_PLACE, p, 3 * sizeof *p);
    }
  }
  for (int row = 0; row < rows; row++) {
    int below = row > 0 ? row - 1 : 0, above = row + 1 < rows ? row + 1 : row;
    for (int column = 0; column < COLUMNS; column++) {
      int next = (column + 1) % COLUMNS, last = (column + COLUMNS - 1) % COLUMNS;
      float around[3], along[3];
      for (int i = 0; i < 3; i++) {
        around[i] = v[3 * (row * COLUMNS + next) + i] - v[3 * (row * COLUMNS + last) + i];
        along[i] = v[3 * (above * COLUMNS + column) + i] - v[3 * (below * COLUMNS + column) + i];
      }
      float *normal = n + 3 * (row * COLUMNS + column);
      cross3(around, along, normal);
      if (dot3(around, around) < 1e-12f) memcpy(normal, along, sizeof along); /* a pole */
      normalize3(normal);
      if (row + 1 == rows) continue;
      uint32_t a = (uint32_t)(first + (size_t)(row * COLUMNS + column)), b = (uint32_t)(first + (size_t)(row * COLUMNS + next));
      uint32_t corners[6] = {a, b, a + COLUMNS, b, b + COLUMNS, a + COLUMNS};
      memcpy(m->triangles + 3 * m->triangle_count, corners, sizeof corners);
      for (int i = 0; i < 2; i++) m->materials[m->triangle_count++] = (uint16_t)(m->first_material + material);
    }
  }
  m->vertex_count += (size_t)rows * COLUMNS;
}

/* A rounded stick from a to b; `flat` thins it along `across`. */
static void stick(props_mesh *m, const float a[3], const float b[3], float radius_a, float radius_b, const float across[3],
                  float flat, int material) {
  enum { CAP = 5 };
  float profile[2 * CAP][2], length;
  place at;
  memcpy(at.origin, a, sizeof at.origin);
  for (int i = 0; i < 3; i++) at.along[2][i] = b[i] - a[i];
  length = sqrtf(dot3(at.along[2], at.along[2]));
  normalize3(at.along[2]);
  cross3(across, at.along[2], at.along[0]);
  normalize3(at.along[0]);
  cross3(at.along[2], at.along[0], at.along[1]);
  for (int i = 0; i < 3; i++) at.along[1][i] *= flat;
  for (int i = 0; i < CAP; i++) {
    float t = 1.5707963f * (float)i / (CAP - 1);
    profile[i][0] = radius_a * sinf(t), profile[i][1] = -radius_a * cosf(t);
    profile[CAP + i][0] = radius_b * cosf(t), profile[CAP + i][1] = length + radius_b * sinf(t);
  }
  turn(m, &at, (const float(*)[2])profile, 2 * CAP, 0, 0.8f, material);
}

/* Middle and half size of what rises above a height: along front, right and up.  0 if nothing does. */
static int measure_above(const props_face *face, const props_mesh *m, float height, float middle[3], float half[3]) {
  float low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
  const float *axes[3] = {face->front, face->right, face->up};
  for (size_t v = 0; v < m->vertex_count; v++) {
    const float *p = m->positions + 3 * v;
    if (dot3(p, face->up) < height) continue;
    for (int i = 0; i < 3; i++) {
      float x = dot3(p, axes[i]);
      if (x < low[i]) low[i] = x;
      if (x > high[i]) high[i] = x;
    }
  }
  for (int i = 0; i < 3; i++) middle[i] = 0.5f * (low[i] + high[i]), half[i] = 0.5f * (high[i] - low[i]);
  return half[0] > 0 && half[1] > 0 && half[2] > 0;
}

/* Turn the place about its own height, then bend it. */
static void twist(place *at, float about, float ahead, float aside) {
  float c = cosf(about), s = sinf(about);
  for (int i = 0; i < 3; i++) {
    float x = at->along[0][i], y = at->along[1][i];
    at->along[0][i] = c * x + s * y, at->along[1][i] = c * y - s * x;
    at->along[2][i] += ahead * x + aside * y;
  }
  normalize3(at->along[2]);
  cross3(at->along[1], at->along[2], at->along[0]);
  normalize3(at->along[0]);
  cross3(at->along[2], at->along[0], at->along[1]);
}

static void place_on(const props_face *face, const float middle[3], place *at) {
  memcpy(at->along[0], face->front, sizeof at->along[0]);
  memcpy(at->along[1], face->right, sizeof at->along[1]);
  memcpy(at->along[2], face->up, sizeof at->along[2]);
  for (int i = 0; i < 3; i++) {
    at->origin[i] = middle[0] * at->along[0][i] + middle[1] * at->along[1][i] + middle[2] * at->along[2][i];
  }
}

void props_body(const props_face *face, rng *r, props_mesh *m) {
  /* half the skull's width is 1 */
  static const float neck[][2] = {{0.50f, -1.2f}, {0.44f, -0.6f}, {0.42f, 0.1f}, {0.40f, 0.6f}};
  static const float collar[][2] = {{0.86f, -1.05f}, {0.74f, -0.72f}, {0.60f, -0.42f}, {0.57f, -0.40f}, {0.56f, -0.5f}};
  static const float coat[][2] = {{2.7f, -4.5f}, {2.6f, -3.0f},  {2.4f, -2.2f},  {1.9f, -1.55f},
                                  {1.3f, -1.2f}, {0.9f, -0.98f}, {0.76f, -0.8f}, {0.7f, -0.78f}};
  float middle[3], half[3], box[3], size[3];
  place at;
  if (!measure_above(face, m, face->brows, middle, half) || !measure_above(face, m, -INFINITY, box, size)) return;
  middle[2] = box[2] - size[2] + 0.1f * size[2]; /* the neck begins inside the chin */
  place_on(face, middle, &at);
  twist(&at, rng_range(r, -0.6f, 0.6f), rng_range(r, -0.25f, 0.25f), rng_range(r, -0.2f, 0.2f));
  float scale = half[1] * rng_range(r, 0.85f, 1.15f), depth = rng_range(r, 0.6f, 0.8f);
  for (int k = 0; k < 3; k++) {
    for (int i = 0; i < 3; i++) at.along[k][i] *= scale;
  }
  turn(m, &at, neck, sizeof neck / sizeof *neck, 0, 0.5f, PROPS_SKIN);
  turn(m, &at, collar, sizeof collar / sizeof *collar, 0, 0.7f, PROPS_COLLAR);
  for (int i = 0; i < 3; i++) at.along[0][i] *= depth;
  turn(m, &at, coat, sizeof coat / sizeof *coat, 0, 0.8f, PROPS_COAT);
}

void props_hat(const props_face *face, rng *r, props_mesh *m) {
  float middle[3], half[3], top[3], skull[3], profile[MOST_ROWS][2];
  place at;
  if (!measure_above(face, m, face->brows, top, skull)) return;
  float height = face->brows + rng_range(r, 0.3f, 0.85f) * 2 * skull[2]; /* of the brim, between brows and crown */
  if (!measure_above(face, m, height, middle, half)) return;
  middle[2] = height;
  place_on(face, middle, &at);
  twist(&at, 0, rng_range(r, -0.12f, 0.12f), rng_range(r, -0.1f, 0.1f));
  for (int i = 0; i < 3; i++) at.along[0][i] *= 1.06f * half[0], at.along[1][i] *= 1.06f * half[1];
  float brim = rng_range(r, 1.15f, 2.2f), crown = 2 * half[2] + rng_range(r, 0.05f, 0.5f), taper = rng_range(r, 0.75f, 1);
  float band = crown * rng_range(r, 0.1f, 0.35f), thick = 0.02f, curl = rng_range(r, -0.25f, 0.25f);
  int rows = 0;
  const float outline[][2] = {{1, -thick},   {0.5f * (1 + brim), -thick}, {brim, -thick}, {brim + 0.01f, 0},
                              {brim, thick}, {0.5f * (1 + brim), thick},  {1.04f, thick}, {1, 2 * thick},
                              {1, band}};
  turn(m, &at, outline, 8, curl, 0.8f, PROPS_HAT);
  turn(m, &at, outline + 7, 2, 0, 0.8f, PROPS_BAND);
  for (int i = 0; i <= 6; i++, rows++) { /* sides, then a rounded edge */
    profile[rows][0] = 1 + (taper - 1) * (float)i / 6, profile[rows][1] = band + (crown - band) * (float)i / 6;
  }
  for (int i = 1; i <= 5; i++, rows++) {
    float t = 1.5707963f * (float)i / 5;
    profile[rows][0] = taper * (0.85f + 0.15f * cosf(t)), profile[rows][1] = crown + 0.06f * sinf(t);
  }
  profile[rows][0] = 0, profile[rows++][1] = crown + rng_range(r, -0.06f, 0.06f);
  size_t head = m->vertex_count;
  turn(m, &at, (const float(*)[2])profile, rows, 0, 0.9f, PROPS_HAT);
  /* A disc of this radius hides 1 - h / sqrt(h^2 + radius^2) of the half of the sky above a point h below its middle. */
  float radius = brim * half[1];
  for (size_t v = 0; v < head; v++) {
    float below = height - dot3(m->positions + 3 * v, face->up);
    if (below > 0) m->attributes[m->attribute_count * v + PROPS_SKY] *= 1 - 0.6f * (1 - below / hypotf(below, radius));
  }
}

void props_hand(const props_face *face, const raster_camera *camera, rng *r, props_mesh *m) {
  float palm[3], wrist[3], elbow[3], fingers[3], aside[3], towards[3];
  float turned = rng_range(r, -1.2f, 1.2f), size = rng_range(r, 0.75f, 1.25f), near = rng_range(r, 0.45f, 1);
  float x = rng_range(r, -0.75f, 0.75f), y = rng_range(r, -0.35f, 0.75f);
  for (int i = 0; i < 3; i++) {
    fingers[i] = sinf(turned) * camera->right[i] - cosf(turned) * camera->down[i];
    aside[i] = cosf(turned) * camera->right[i] + sinf(turned) * camera->down[i];
    towards[i] = -camera->forward[i];
  }
  for (int i = 0; i < 3; i++) {
    palm[i] = face->centre[i] + x * camera->right[i] + y * camera->down[i] + near * towards[i];
    wrist[i] = palm[i] - 0.24f * size * fingers[i];
    elbow[i] = palm[i] - 3 * fingers[i] + rng_range(r, -0.3f, 0.3f) * aside[i];
  }
  if (rng_chance(r, 0.3f)) { /* a rod, as rigs have them */
    float end[3];
    for (int i = 0; i < 3; i++) end[i] = palm[i] + rng_range(r, 0, 2) * fingers[i];
    stick(m, elbow, end, 0.02f * size, 0.02f * size, towards, 1, PROPS_BAND);
    return;
  }
  float bottom[3], top[3], spread = rng_range(r, 0.05f, 0.3f), side = rng_chance(r, 0.5f) ? 1.0f : -1.0f;
  for (int i = 0; i < 3; i++) bottom[i] = palm[i] - 0.08f * size * fingers[i], top[i] = palm[i] + 0.06f * size * fingers[i];
  stick(m, bottom, top, 0.14f * size, 0.16f * size, towards, 0.45f, PROPS_SKIN);
  stick(m, elbow, wrist, 0.1f * size, 0.08f * size, towards, 0.8f, PROPS_SKIN);
  for (int i = 0; i < 3; i++) wrist[i] -= 0.18f * size * fingers[i];
  stick(m, elbow, wrist, 0.2f * size, 0.14f * size, towards, 0.8f, PROPS_COAT);
  for (int k = 0; k < 5; k++) { /* four fingers and a thumb */
    float across = k < 4 ? ((float)k - 1.5f) * 0.09f : side * 0.15f, angle = k < 4 ? ((float)k - 1.5f) * spread : side * 0.9f;
    float long_ = (k < 4 ? 0.26f - 0.02f * fabsf((float)k - 1.5f) : 0.2f) * size * rng_range(r, 0.85f, 1.1f), root[3], tip[3];
    for (int i = 0; i < 3; i++) {
      root[i] = palm[i] + size * (across * aside[i] + (k < 4 ? 0.16f : -0.02f) * fingers[i]);
      tip[i] = root[i] + long_ * (sinf(angle) * aside[i] + cosf(angle) * fingers[i] + rng_range(r, -0.3f, 0.3f) * towards[i]);
    }
    stick(m, root, tip, 0.045f * size, 0.035f * size, towards, 1, PROPS_SKIN);
  }
}

void props_choose_paint(const float skin[3], rng *r, props_paint *paint) {
  for (int k = 0; k < PROPS_MATERIALS; k++) {
    float bright = expf(rng_range(r, logf(0.02f), logf(0.5f))), pale = rng_range(r, 0.3f, 1);
    if (k == PROPS_COLLAR && rng_chance(r, 0.6f)) bright = 0.7f, pale = 0.95f;
    for (int i = 0; i < 3; i++) paint->colour[k][i] = bright * (pale + (1 - pale) * 3 * rng_uniform(r) * rng_uniform(r));
    if (k == PROPS_SKIN) memcpy(paint->colour[k], skin, sizeof paint->colour[k]);
  }
  paint->check = rng_chance(r, 0.4f) ? rng_range(r, 5, 18) : 0;
}

void props_shade(const props_paint *paint, int material, const raster_hit *hit, raster_surface *surface) {
  const float *at = hit->attributes + PROPS_PLACE;
  float shade = 1 + 0.25f * noise_fractal(at, 9, 3);
  if (paint->check > 0 && (material == PROPS_COAT || material == PROPS_BAND)) {
    int squares = (int)floorf(at[0] * paint->check) + (int)floorf(at[1] * paint->check) + (int)floorf(at[2] * paint->check);
    if (squares & 1) shade *= 0.6f;
  }
  for (int i = 0; i < 3; i++) surface->albedo[i] = paint->colour[material][i] * shade;
  surface->specular = 0.03f, surface->roughness = material == PROPS_SKIN ? 0.5f : 0.8f;
  surface->sheen = material == PROPS_SKIN ? 0 : 0.05f;
  surface->occlusion = hit->attributes[PROPS_SKY];
  noise_bump(surface->normal, at, 40, material == PROPS_SKIN ? 0.05f : 0.25f);
}
