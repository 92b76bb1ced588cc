/* Shots for demo_shots.h: five painted sets, their light, an animator's keys drawn from a seed, and the film stock.
 *
 * A plate is painted once, larger than the frame, blurred as a lens focused on the puppet would blur it, and slides behind
 * the puppet as the camera moves.  Random numbers belong to what they are for (frame, pixel, key), so a frame never depends
 * on which frames were rendered before it. */

#include "demo_shots.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../tools/cli.h"
#include "../tools/document.h"
#include "../tools/image_file.h"
#include "rng.h"

#define PI 3.14159265f

enum { MAX_KEYS = 400, PLATE_HEIGHT = 300 };

/* What the animator keys: the puppet and the camera at a pose number. */
typedef struct key {
  float at;
  float yaw, pitch, roll, x, y, z;
  puppet_face face;
} key;

struct demo_shot {
  demo_shot_options options;
  char name[64];
  puppet *character;
  demo_set set;
  int hold;
  float lens, distance, flicker, grain, exposure, mirror;
  raster_scene light; /* lights and ambient only */
  key keys[MAX_KEYS];
  int key_count;
  float *plate; /* linear RGB */
  int plate_width, plate_height;
};

static float mix(float a, float b, float t) {
  return a + (b - a) * t;
}

static float clampf(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

static float smooth(float low, float high, float x) {
  float t = clampf((x - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

static float unit_at(uint64_t seed, int64_t x, int64_t y) {
  return (float)(rng_seed(seed, (uint64_t)x, (uint64_t)y) >> 40) * 0x1p-24f;
}

static float noise(uint64_t seed, float x, float y) {
  float fx = floorf(x), fy = floorf(y), u = x - fx, v = y - fy;
  int64_t ix = (int64_t)fx, iy = (int64_t)fy;
  u = u * u * (3 - 2 * u), v = v * v * (3 - 2 * v);
  return mix(mix(unit_at(seed, ix, iy), unit_at(seed, ix + 1, iy), u),
             mix(unit_at(seed, ix, iy + 1), unit_at(seed, ix + 1, iy + 1), u), v);
}

static float fractal(uint64_t seed, float x, float y, int octaves) {
  float sum = 0, weight = 0.5f, total = 0;
  for (int i = 0; i < octaves; i++, x *= 2.03f, y *= 2.03f, weight *= 0.5f) {
    sum += weight * noise(seed + (uint64_t)i, x, y);
    total += weight;
  }
  return sum / total;
}

/* Plates: colour at x to the right, y down, both in heights of the plate from its top-left corner. */

static void set3(float *c, float r, float g, float b) {
  c[0] = r, c[1] = g, c[2] = b;
}

static void blend(float *c, float r, float g, float b, float t) {
  c[0] = mix(c[0], r, t), c[1] = mix(c[1], g, t), c[2] = mix(c[2], b, t);
}

static void times(float *c, float s) {
  c[0] *= s, c[1] *= s, c[2] *= s;
}

static void add_glow(float *c, float dx, float dy, float size, float r, float g, float b) {
  float glow = expf(-(dx * dx + dy * dy) / (size * size));
  c[0] += r * glow, c[1] += g * glow, c[2] += b * glow;
}

static void paint_interior(uint64_t seed, float aspect, float x, float y, float *c) {
  float stripe = sinf(x * 46), warm = unit_at(seed, 1, 1);
  set3(c, mix(0.30f, 0.16f, warm), mix(0.20f, 0.22f, warm), mix(0.13f, 0.19f, warm));
  times(c, 0.9f + 0.12f * smooth(-0.3f, 0.3f, stripe) + 0.2f * (fractal(seed, 4 * x, 4 * y, 3) - 0.5f));
  for (int shelf = 0; shelf < 2; shelf++) { /* jars and boxes on two shelves */
    float board = 0.40f + 0.34f * (float)shelf, up = board - y;
    if (up < 0 && up > -0.028f) set3(c, 0.22f, 0.10f, 0.04f), times(c, 0.8f + 0.4f * noise(seed, 3 * x, 60 * y));
    if (up < -0.028f && up > -0.07f) times(c, mix(0.45f, 1, smooth(-0.028f, -0.07f, up)));
    float at = 0;
    for (int i = 0; up >= 0 && i < 60 && at < x; i++) {
      int64_t row = 10 + shelf;
      float wide = 0.028f + 0.055f * unit_at(seed, i, row), tall = 0.08f + 0.15f * unit_at(seed, i, row + 10);
      float gap = unit_at(seed, i, row + 20) < 0.35f ? 0.09f * unit_at(seed, i, row + 30) : 0.006f;
      float in = (x - at) / wide, hue = unit_at(seed, i, row + 40), tone = 0.35f + 0.65f * unit_at(seed, i, row + 50);
      if (in > 0 && in < 1 && up < tall) {
        float round = hue < 0.5f ? 0.45f + 0.75f * sqrtf(4 * in * (1 - in)) * (1 - 0.4f * in) : 0.9f;
        set3(c,
             hue < 0.25f   ? 0.42f
             : hue < 0.5f  ? 0.10f
             : hue < 0.75f ? 0.45f
                           : 0.32f,
             hue < 0.25f   ? 0.10f
             : hue < 0.5f  ? 0.22f
             : hue < 0.75f ? 0.33f
                           : 0.27f,
             hue < 0.25f   ? 0.06f
             : hue < 0.5f  ? 0.24f
             : hue < 0.75f ? 0.12f
                           : 0.22f);
        times(c, tone * round * (0.75f + 0.3f * up / tall));
        if (up > 0.3f * tall && up < 0.62f * tall && hue < 0.5f) blend(c, 0.55f, 0.50f, 0.40f, 0.7f);
      }
      at += wide + gap;
    }
  }
  float lamp = (0.12f + 0.76f * unit_at(seed, 2, 2)) * aspect, dx = x - lamp, dy = y - 0.16f;
  add_glow(c, dx, dy, 0.42f, 0.50f, 0.28f, 0.10f);
  if (fabsf(dx) < 0.05f + 0.5f * (dy + 0.10f) && dy > -0.09f && dy < 0.05f) set3(c, 1.5f, 0.95f, 0.45f);
}

static void paint_night(uint64_t seed, float aspect, float x, float y, float *c) {
  float horizon = 0.62f + 0.05f * fractal(seed + 5, 2 * x, 0, 3);
  set3(c, 0.010f, 0.022f, 0.060f);
  blend(c, 0.07f, 0.07f, 0.15f, smooth(0.1f, 0.7f, y));
  float moon = (0.15f + 0.7f * unit_at(seed, 1, 2)) * aspect, dx = x - moon, dy = y - 0.17f;
  blend(c, 0.9f, 0.88f, 0.72f, smooth(0.058f, 0.052f, sqrtf(dx * dx + dy * dy)));
  add_glow(c, dx, dy, 0.20f, 0.05f, 0.07f, 0.10f);
  float cx = floorf(x * 14), cy = floorf(y * 14);
  float sx = x * 14 - cx - 0.2f - 0.6f * unit_at(seed, (int64_t)cx, (int64_t)cy), sy = y * 14 - cy - 0.5f;
  if (unit_at(seed + 1, (int64_t)cx, (int64_t)cy) < 0.35f) add_glow(c, sx, sy, 0.05f, 2.2f, 2.4f, 3.0f);
  for (int layer = 0; layer < 3; layer++) { /* three rows of crooked houses */
    float wide = 0.15f + 0.03f * (float)layer, shift = 0.37f * (float)layer, house = floorf((x + shift) / wide);
    int64_t n = (int64_t)house, row = 40 + layer;
    float in = (x + shift) / wide - house, roof = 0.5f - fabsf(in - 0.5f);
    float top = horizon - 0.15f + 0.12f * (float)layer - 0.12f * unit_at(seed, n, row) - 0.22f * wide * roof * 4;
    if (y < top) continue;
    float depth = 0.55f - 0.2f * (float)layer, tone = 0.7f + 0.6f * unit_at(seed, n, row + 5);
    set3(c, 0.050f * depth * tone, 0.060f * depth * tone, 0.12f * depth * tone);
    float wx = in * 3 - floorf(in * 3), level = (y - top - 0.10f) / 0.085f, wy = level - floorf(level);
    int64_t window = (int64_t)floorf(in * 3) + 7 * (int64_t)floorf(level);
    if (level > 0 && in > 0.08f && in < 0.92f && fabsf(wx - 0.5f) < 0.18f && fabsf(wy - 0.5f) < 0.24f) {
      if (unit_at(seed + 9, n * 100 + window, row) < 0.42f) set3(c, 2.4f, 1.2f, 0.30f), times(c, 0.4f + 0.6f * tone);
    }
  }
}

static void paint_exterior(uint64_t seed, float aspect, float x, float y, float *c) {
  (void)aspect;
  set3(c, 0.20f, 0.42f, 0.72f);
  blend(c, 0.70f, 0.80f, 0.84f, smooth(0.0f, 0.55f, y));
  float cloud = fractal(seed + 2, 2.6f * x, 5.5f * y, 4);
  blend(c, 0.95f, 0.93f, 0.90f, 0.9f * smooth(0.52f, 0.66f, cloud) * smooth(0.55f, 0.25f, y));
  for (int layer = 0; layer < 4; layer++) {
    float crest = 0.44f + 0.11f * (float)layer - 0.13f * fractal(seed + 20 + (uint64_t)layer, (2.2f + (float)layer) * x, 0, 2);
    if (layer == 1 || layer == 2) { /* round felt trees on the hills in the middle */
      float wide = 0.055f * (float)(layer + 1), n = floorf(x / wide), dx = x / wide - n - 0.5f;
      float size = 0.35f + 0.3f * unit_at(seed, (int64_t)n, 60 + layer);
      if (unit_at(seed, (int64_t)n, 70 + layer) < 0.7f && fabsf(dx) < size) {
        crest -= wide * (0.25f + 1.1f * sqrtf(size * size - dx * dx));
      }
    }
    if (y < crest) continue;
    float far = 1 - 0.28f * (float)layer, shade = 0.75f + 0.5f * fractal(seed + 30, 16 * x, 16 * y, 3);
    set3(c, mix(0.14f, 0.42f, far) * shade, mix(0.24f, 0.55f, far) * shade, mix(0.05f, 0.50f, far) * shade);
    times(c, mix(1.15f, 0.75f, smooth(crest, crest + 0.12f, y)));
  }
  float rail = y - 0.86f; /* a fence in front */
  float post = x * 5 - floorf(x * 5);
  if (fabsf(rail) < 0.022f || (rail > -0.10f && post > 0.40f && post < 0.56f)) {
    set3(c, 0.50f, 0.42f, 0.32f), times(c, 0.7f + 0.5f * noise(seed, 4 * x, 50 * y));
  }
}

static void paint_green(uint64_t seed, float aspect, float x, float y, float *c) {
  int blue = unit_at(seed, 3, 1) < 0.2f;
  set3(c, blue ? 0.02f : 0.045f, blue ? 0.09f : 0.36f, blue ? 0.42f : 0.060f);
  float cx = (0.3f + 0.4f * unit_at(seed, 3, 3)) * aspect, dx = (x - cx) / aspect, dy = y - 0.45f;
  times(c, 1.15f - 0.9f * (dx * dx + 0.6f * dy * dy) + 0.10f * (fractal(seed, 2 * x, 2 * y, 3) - 0.5f));
  times(c, 1 - 0.06f * smooth(0.4f, 0.5f, fabsf(sinf(1.3f * x + 0.15f * sinf(3 * y))))); /* a crease in the cloth */
  float gx = x * 2.6f - floorf(x * 2.6f) - 0.5f, gy = y * 2.6f - floorf(y * 2.6f) - 0.5f;
  if ((fabsf(gx) < 0.012f && fabsf(gy) < 0.06f) || (fabsf(gy) < 0.012f && fabsf(gx) < 0.06f)) times(c, 1.7f);
}

static void paint_curtain(uint64_t seed, float aspect, float x, float y, float *c) {
  float hue = unit_at(seed, 4, 4);
  set3(c, hue < 0.6f ? 0.15f : 0.05f, hue < 0.6f ? 0.012f : 0.018f, hue < 0.3f ? 0.018f : hue < 0.6f ? 0.05f : 0.11f);
  float sway = 0.05f * sinf(3 * y + 5 * x) + 0.25f * (fractal(seed + 1, 1.5f * x, 0.7f * y, 3) - 0.5f);
  float fold = sinf((x + sway) * 21 + 2.3f * sinf(4.1f * x)), ridge = 0.5f + 0.5f * fold;
  float dx = x / aspect - 0.5f, pool = expf(-3.0f * (dx * dx * 2 + (y - 0.35f) * (y - 0.35f)));
  times(c, (0.12f + 1.25f * ridge * ridge) * (0.25f + 1.2f * pool));
  times(c, 0.9f + 0.25f * (fractal(seed + 7, 40 * x, 6 * y, 2) - 0.5f));
}

/* What a lens out of focus makes of it: each point becomes a disc, a little brighter at its rim. */
static void defocus(const float *from, float *to, int width, int height, float radius) {
  int reach = (int)radius + 1;
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      float sum[3] = {0, 0, 0}, total = 0;
      for (int j = -reach; j <= reach; j++) {
        int row = y + j < 0 ? 0 : y + j >= height ? height - 1 : y + j;
        for (int i = -reach; i <= reach; i++) {
          float distance = sqrtf((float)(i * i + j * j)), weight = clampf(radius + 0.5f - distance, 0, 1);
          if (weight <= 0) continue;
          weight *= 0.8f + 0.2f * distance / radius;
          int column = x + i < 0 ? 0 : x + i >= width ? width - 1 : x + i;
          const float *c = from + 3 * ((size_t)row * (size_t)width + (size_t)column);
          for (int k = 0; k < 3; k++) sum[k] += weight * c[k];
          total += weight;
        }
      }
      for (size_t k = 0; k < 3; k++) to[3 * ((size_t)y * (size_t)width + (size_t)x) + k] = sum[k] / total;
    }
  }
}

static int paint_plate(demo_shot *shot, uint64_t seed) {
  typedef void (*painter)(uint64_t seed, float aspect, float x, float y, float *colour);
  static const painter painters[DEMO_SET_COUNT] = {NULL,           paint_interior, paint_night,
                                                   paint_exterior, paint_green,    paint_curtain};
  float aspect = (float)shot->options.width / (float)shot->options.height;
  int width = shot->plate_width = (int)(aspect * PLATE_HEIGHT) + 1, height = shot->plate_height = PLATE_HEIGHT;
  size_t size = (size_t)width * (size_t)height * 3;
  shot->plate = (float *)malloc(size * sizeof(float));
  float *other = (float *)malloc(size * sizeof(float));
  if (!shot->plate || !other) {
    free(other);
    return 0;
  }
  for (int y = 0; y < height; y++) {
    for (int x = 0; x < width; x++) {
      float *c = shot->plate + 3 * ((size_t)y * (size_t)width + (size_t)x);
      float sum[3] = {0, 0, 0};
      for (int s = 0; s < 4; s++) {
        float px = ((float)x + 0.25f + 0.5f * (float)(s & 1)) / PLATE_HEIGHT;
        float py = ((float)y + 0.25f + 0.5f * (float)(s >> 1)) / PLATE_HEIGHT;
        painters[shot->set](seed, aspect, px, py, c);
        for (int k = 0; k < 3; k++) sum[k] += 0.25f * (c[k] > 0 ? c[k] : 0);
      }
      memcpy(c, sum, sizeof sum);
    }
  }
  float radius = shot->set == DEMO_SET_GREEN_SCREEN ? 1.2f : 2.4f + 0.03f * (shot->lens - 35);
  if (shot->options.close) radius *= 1.5f;
  memcpy(other, shot->plate, size * sizeof(float));
  defocus(other, shot->plate, width, height, radius);
  free(other);
  return 1;
}

/* Light */

static void add_light(demo_shot *shot, float x, float y, float z, float r, float g, float b, float wrap, float shadow) {
  raster_light *light = shot->light.lights + shot->light.light_count++;
  float n = sqrtf(x * x + y * y + z * z);
  set3(light->direction, shot->mirror * x / n, y / n, z / n);
  set3(light->colour, r, g, b);
  light->wrap = wrap, light->shadow = shadow;
}

static void set_light(demo_shot *shot, rng *r) {
  float swing = rng_range(r, -0.25f, 0.25f), high = rng_range(r, -0.1f, 0.2f);
  shot->mirror = rng_chance(r, 0.5f) ? -1.0f : 1.0f;
  raster_scene *s = &shot->light;
  set3(s->up, 0, 1, 0);
  switch (shot->set) {
    case DEMO_SET_NIGHT:
      add_light(shot, -0.75f + swing, 0.55f + high, 0.75f, 0.62f, 0.85f, 1.30f, 0.25f, 0.05f);
      add_light(shot, 0.95f, 0.10f, 0.25f, 1.15f, 0.58f, 0.20f, 0.20f, 0.08f);
      add_light(shot, 0.30f, 0.60f, -0.9f, 0.9f, 1.2f, 1.8f, 0.1f, 0.05f);
      set3(s->sky, 0.10f, 0.14f, 0.24f), set3(s->ground, 0.05f, 0.04f, 0.06f);
      shot->exposure = 1.0f;
      break;
    case DEMO_SET_EXTERIOR:
      add_light(shot, -0.55f + swing, 0.80f + high, 0.62f, 2.6f, 2.25f, 1.75f, 0.08f, 0.018f);
      add_light(shot, 0.80f, 0.35f, 0.40f, 0.25f, 0.36f, 0.52f, 0.6f, 0);
      add_light(shot, 0.60f, 0.35f, -0.8f, 0.9f, 0.85f, 0.7f, 0.1f, 0.05f);
      set3(s->sky, 0.42f, 0.56f, 0.78f), set3(s->ground, 0.22f, 0.24f, 0.12f);
      shot->exposure = 0.92f;
      break;
    case DEMO_SET_GREEN_SCREEN:
      add_light(shot, -0.60f + swing, 0.60f + high, 0.75f, 1.75f, 1.70f, 1.62f, 0.35f, 0.07f);
      add_light(shot, 0.80f, 0.25f, 0.60f, 0.62f, 0.64f, 0.68f, 0.4f, 0.09f);
      add_light(shot, 0.2f, 0.5f, -0.9f, 0.85f, 0.95f, 0.85f, 0.1f, 0.05f);
      set3(s->sky, 0.34f, 0.36f, 0.36f), set3(s->ground, 0.12f, 0.22f, 0.12f);
      shot->exposure = 1.0f;
      break;
    case DEMO_SET_CURTAIN:
      add_light(shot, -0.85f + swing, 0.50f + high, 0.50f, 2.1f, 1.72f, 1.36f, 0.18f, 0.045f);
      add_light(shot, 0.85f, 0.20f, 0.35f, 0.16f, 0.20f, 0.36f, 0.5f, 0);
      add_light(shot, 0.75f, 0.45f, -0.75f, 2.4f, 2.0f, 2.3f, 0.1f, 0.04f);
      add_light(shot, -0.85f, 0.3f, -0.7f, 1.4f, 0.8f, 0.6f, 0.1f, 0.04f);
      set3(s->sky, 0.11f, 0.09f, 0.12f), set3(s->ground, 0.08f, 0.03f, 0.03f);
      shot->exposure = 1.0f;
      break;
    default:
      add_light(shot, -0.65f + swing, 0.62f + high, 0.68f, 2.10f, 1.62f, 1.12f, 0.28f, 0.06f);
      add_light(shot, 0.80f, 0.15f, 0.55f, 0.30f, 0.38f, 0.50f, 0.5f, 0.09f);
      add_light(shot, 0.65f, 0.55f, -0.75f, 1.30f, 0.95f, 0.55f, 0.15f, 0.05f);
      set3(s->sky, 0.30f, 0.26f, 0.22f), set3(s->ground, 0.20f, 0.12f, 0.07f);
      shot->exposure = 1.0f;
      break;
  }
}

/* Animation */

static void draw_keys(demo_shot *shot, rng *r) {
  puppet_expression expression = PUPPET_NEUTRAL;
  float poses = (float)(shot->options.frames / shot->hold + 2), at = 0;
  key now;
  memset(&now, 0, sizeof now);
  float wide_yaw = rng_range(r, 0.42f, 0.62f), blink_at = rng_range(r, 2, 12);
  while (shot->key_count < MAX_KEYS - 4) {
    now.at = at;
    now.yaw = wide_yaw * rng_range(r, -1, 1), now.pitch = rng_range(r, -0.20f, 0.24f), now.roll = rng_range(r, -0.17f, 0.17f);
    now.x = rng_range(r, -0.16f, 0.16f), now.y = rng_range(r, -0.07f, 0.07f), now.z = rng_range(r, -0.12f, 0.22f);
    if (shot->key_count == 0 || rng_chance(r, 0.7f)) expression = (puppet_expression)rng_below(r, PUPPET_EXPRESSIONS);
    if (expression == PUPPET_BLINK) expression = PUPPET_SMILE;
    puppet_face target = puppet_expression_face(expression), face;
    memset(&face, 0, sizeof face);
    puppet_face_add(&face, &target, rng_range(r, 0.65f, 1.05f));
    target = puppet_expression_face((puppet_expression)rng_below(r, PUPPET_EXPRESSIONS));
    puppet_face_add(&face, &target, rng_range(r, 0, 0.2f));
    face.gaze[0] = clampf(0.35f * now.yaw + rng_range(r, -0.38f, 0.38f), -0.5f, 0.5f);
    face.gaze[1] = rng_range(r, -0.20f, 0.18f);
    now.face = face;
    shot->keys[shot->key_count++] = now;
    if (at > poses) break;
    float rest = rng_range(r, 2, 9), move = rng_range(r, 3, 8); /* in poses */
    now.at = at + rest;                                         /* a moving hold: nearly, but never quite still */
    now.yaw += rng_range(r, -0.05f, 0.05f), now.pitch += rng_range(r, -0.03f, 0.03f), now.roll += rng_range(r, -0.02f, 0.02f);
    if (blink_at < at + rest && rest > 4) {
      puppet_face blink = puppet_expression_face(PUPPET_BLINK);
      key lids = now;
      for (int i = 0; i < 2; i++) lids.face.upper_lid[i] = blink.upper_lid[i], lids.face.lower_lid[i] = blink.lower_lid[i];
      key open = now;
      lids.at = at + 0.5f * rest, open.at = lids.at - 2;
      open.face = face;
      shot->keys[shot->key_count++] = open;
      shot->keys[shot->key_count++] = lids;
      blink_at = at + rest + rng_range(r, 4, 20);
    }
    shot->keys[shot->key_count++] = now;
    at = now.at + move;
  }
}

static puppet_pose pose_at(const demo_shot *shot, float at) {
  int next = 1;
  while (next + 1 < shot->key_count && shot->keys[next].at <= at) next++;
  const key *a = shot->keys + next - 1, *b = shot->keys + next;
  float t = clampf((at - a->at) / (b->at - a->at + 1e-6f), 0, 1);
  t = t * t * (3 - 2 * t);
  puppet_pose pose;
  memset(&pose, 0, sizeof pose);
  pose.yaw = mix(a->yaw, b->yaw, t), pose.pitch = mix(a->pitch, b->pitch, t), pose.roll = mix(a->roll, b->roll, t);
  pose.position[0] = mix(a->x, b->x, t), pose.position[1] = mix(a->y, b->y, t), pose.position[2] = mix(a->z, b->z, t);
  puppet_face_add(&pose.face, &a->face, 1 - t);
  puppet_face_add(&pose.face, &b->face, t);
  for (int i = 0; i < 2; i++) {
    pose.face.upper_lid[i] = clampf(pose.face.upper_lid[i], -0.3f, 1);
    pose.face.lower_lid[i] = clampf(pose.face.lower_lid[i], -0.25f, 0.6f);
  }
  return pose;
}

/* Slow drift in -1 to 1. */
static float drift(uint64_t seed, float at) {
  return 2 * fractal(seed, at, 0.5f, 2) - 1;
}

static raster_camera camera_at(const demo_shot *shot, const puppet_pose *pose, float at, float slide[2]) {
  const demo_shot_options *o = &shot->options;
  uint64_t seed = o->seed;
  float target[3] = {0, -0.03f, 0}, up[3] = {0, 1, 0};
  float move = o->close ? 0.05f : 0.34f;
  target[0] = move * drift(seed + 101, 0.045f * at), target[1] += 0.6f * move * drift(seed + 102, 0.04f * at);
  if (o->close)
    target[0] += pose->position[0] + 0.18f * sinf(pose->yaw), target[1] += 0.06f + pose->position[1] + 0.1f * pose->pitch;
  float position[3] = {target[0] + 0.18f * drift(seed + 103, 0.03f * at),
                       target[1] + 0.10f + 0.1f * drift(seed + 104, 0.03f * at),
                       shot->distance * (1 + 0.05f * drift(seed + 105, 0.035f * at))};
  raster_camera camera;
  memset(&camera, 0, sizeof camera);
  raster_look_at(&camera, position, target, up, 0.02f * drift(seed + 106, 0.04f * at));
  camera.focal = (float)o->width * shot->lens / 36;
  camera.centre[0] = 0.5f * (float)o->width, camera.centre[1] = 0.5f * (float)o->height;
  camera.near = 0.2f;
  slide[0] = clampf(0.22f * target[0], -0.08f, 0.08f), slide[1] = clampf(-0.22f * target[1], -0.06f, 0.06f);
  return camera;
}

/* Film: a curve with a soft shoulder, then the display's encoding. */
static float develop(float x) {
  x = x > 0 ? x * 0.70f : 0;
  x = x * (2.51f * x + 0.03f) / (x * (2.43f * x + 0.59f) + 0.14f);
  return x <= 0.0031308f ? 12.92f * x : 1.055f * powf(x < 1 ? x : 1, 1 / 2.4f) - 0.055f;
}

/* Nearly normal grain of variance 1. */
static float grain_at(uint64_t *state) {
  uint64_t bits = rng_mix(*state += 0x9e3779b97f4a7c15u);
  float sum = 0;
  for (int i = 0; i < 4; i++, bits >>= 16) sum += (float)(bits & 0xffff);
  return (sum / 65535.0f - 2) * 1.732f;
}

static void expose(const demo_shot *shot, int frame, const float slide[2], float light, const float *rgba, unsigned char *rgb) {
  const demo_shot_options *o = &shot->options;
  uint64_t film = rng_seed(o->seed + 77, (uint64_t)frame, 0);
  float zoom = 0.82f, scale = zoom * (float)shot->plate_height / (float)o->height;
  float left = (0.09f + slide[0]) * (float)shot->plate_width, top = (0.09f + slide[1]) * (float)shot->plate_height;
  for (int y = 0; y < o->height; y++) {
    for (int x = 0; x < o->width; x++) {
      size_t at = (size_t)y * (size_t)o->width + (size_t)x;
      float u = clampf(left + ((float)x + 0.5f) * scale - 0.5f, 0, (float)shot->plate_width - 1.001f);
      float v = clampf(top + ((float)y + 0.5f) * scale - 0.5f, 0, (float)shot->plate_height - 1.001f);
      int iu = (int)u, iv = (int)v;
      float fu = u - (float)iu, fv = v - (float)iv;
      const float *p = shot->plate + 3 * ((size_t)iv * (size_t)shot->plate_width + (size_t)iu),
                  *q = p + 3 * (size_t)shot->plate_width;
      float dx = ((float)x + 0.5f) / (float)o->width - 0.5f, dy = ((float)y + 0.5f) / (float)o->height - 0.5f;
      float gain = shot->exposure * light * (1 - 0.55f * (dx * dx + dy * dy) * (dx * dx + dy * dy) * 4);
      float grey = shot->grain * grain_at(&film);
      for (size_t k = 0; k < 3; k++) {
        float behind = mix(mix(p[k], p[k + 3], fu), mix(q[k], q[k + 3], fu), fv);
        float c = develop(gain * (rgba[4 * at + k] + (1 - rgba[4 * at + 3]) * behind));
        float noisy = c + (grey + 0.5f * shot->grain * grain_at(&film)) * (0.4f + 2.4f * c * (1 - c));
        rgb[3 * at + k] = (unsigned char)(clampf(noisy, 0, 1) * 255 + 0.5f);
      }
    }
  }
}

/* The rectangle an artist would drag: never twice the same, never tight. */
static void rough_crop(const demo_shot *shot, float at, const puppet_annotation *annotation, double crop[4]) {
  double low[2] = {1e9, 1e9}, high[2] = {-1e9, -1e9};
  for (int i = 0; i < PUPPET_POINTS; i++) {
    for (int k = 0; k < 2; k++) {
      if (annotation->points[i][k] < low[k]) low[k] = annotation->points[i][k];
      if (annotation->points[i][k] > high[k]) high[k] = annotation->points[i][k];
    }
  }
  uint64_t seed = shot->options.seed + 200;
  double side = high[0] - low[0] > high[1] - low[1] ? high[0] - low[0] : high[1] - low[1];
  side *= 1.4 * (1.06 + 0.08 * (double)drift(seed, 0.11f * at));
  for (int k = 0; k < 2; k++) {
    double centre = 0.5 * (low[k] + high[k]) + 0.05 * side * (double)drift(seed + 1 + (uint64_t)k, 0.13f * at);
    crop[k] = floor(centre - 0.5 * side + 0.5);
    crop[k + 2] = floor(side + 0.5);
  }
}

int demo_shot_render(const demo_shot *shot, int frame, unsigned char *rgb, puppet_annotation *annotation, double crop[4]) {
  const demo_shot_options *o = &shot->options;
  const raster_mesh *mesh = puppet_mesh(shot->character);
  size_t pixels = (size_t)o->width * (size_t)o->height;
  float *rgba = (float *)malloc(4 * pixels * sizeof(float));
  float *vertices = (float *)malloc(6 * mesh->vertex_count * sizeof(float));
  raster *r = raster_create(o->width, o->height);
  int ok = rgba && vertices && r;
  if (ok) {
    float at = (float)(frame / shot->hold), slide[2];
    puppet_pose pose = pose_at(shot, at);
    raster_scene scene = shot->light;
    scene.mesh = *mesh;
    scene.camera = camera_at(shot, &pose, at * (float)shot->hold, slide);
    puppet_evaluate(shot->character, &pose, vertices, vertices + 3 * mesh->vertex_count);
    scene.mesh.positions = vertices, scene.mesh.normals = vertices + 3 * mesh->vertex_count;
    scene.material = puppet_material, scene.material_context = shot->character;
    ok = raster_render(r, &scene, rgba);
    if (ok) {
      float light = 1 + shot->flicker * (2 * unit_at(o->seed + 55, frame, 0) - 1);
      expose(shot, frame, slide, light, rgba, rgb);
      ok = puppet_annotate(&scene.mesh, puppet_layout_of(shot->character), &scene.camera, annotation) == 0;
      rough_crop(shot, (float)frame, annotation, crop);
    }
  }
  raster_free(r);
  free(rgba);
  free(vertices);
  return ok ? 0 : -1;
}

void demo_shot_defaults(demo_shot_options *options) {
  memset(options, 0, sizeof *options);
  options->name = "shot0";
  options->seed = 1;
  options->width = 640, options->height = 480, options->frames = 48;
}

demo_shot *demo_shot_create(const demo_shot_options *o, char *message) {
  if (o->width < 32 || o->height < 32 || o->width > 8192 || o->height > 8192 || o->frames < 1 || o->frames > 100000) {
    message_set(message, "demo shot: expected 32 to 8192 pixels a side and 1 to 100000 frames, found %dx%d and %d", o->width,
                o->height, o->frames);
    return NULL;
  }
  demo_shot *shot = (demo_shot *)calloc(1, sizeof(demo_shot));
  rng r = {rng_seed(o->seed, 1, 0)};
  int ok = shot != NULL;
  if (ok) {
    static const float lenses[5] = {35, 42, 50, 65, 80};
    shot->options = *o;
    snprintf(shot->name, sizeof shot->name, "%s", o->name ? o->name : "shot0");
    shot->options.name = shot->name;
    shot->set = (demo_set)(1 + (o->seed + DEMO_SET_COUNT - 2) % (DEMO_SET_COUNT - 1));
    if (o->set > DEMO_SET_BY_SEED && o->set < DEMO_SET_COUNT) shot->set = o->set;
    shot->hold = o->hold > 0 ? o->hold : rng_chance(&r, 0.75f) ? 2 : 1;
    shot->lens = lenses[rng_below(&r, 5)];
    float share =
        (o->close ? rng_range(&r, 0.54f, 0.64f) : rng_range(&r, 0.27f, 0.34f)); /* of the frame that the head is wide */
    float side = (float)(o->width < o->height ? o->width : o->height) / (float)o->width;
    share *= o->close ? side : side * 4 / 3;
    shot->distance = shot->lens / 36 / share + 0.3f;
    shot->flicker = rng_range(&r, 0.005f, 0.03f), shot->grain = rng_range(&r, 0.008f, 0.02f);
    set_light(shot, &r);
    draw_keys(shot, &r);
    shot->character = puppet_create(o->variant);
    ok = shot->character && paint_plate(shot, rng_seed(o->seed, 2, 0));
  }
  if (ok) return shot;
  demo_shot_free(shot);
  message_set(message, "demo shot: not enough memory for %dx%d pixels; try a smaller --size", o->width, o->height);
  return NULL;
}

void demo_shot_free(demo_shot *shot) {
  if (!shot) return;
  puppet_free(shot->character);
  free(shot->plate);
  free(shot);
}

/* Files */

typedef struct text {
  char *data;
  size_t size, room;
  int failed;
} text;

MESSAGE_FORMAT(2, 3)
static void append(text *t, const char *format, ...) {
  for (int again = 0; again < 2 && !t->failed; again++) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(t->data ? t->data + t->size : NULL, t->room - t->size, format, arguments);
    va_end(arguments);
    if (length >= 0 && t->size + (size_t)length < t->room) {
      t->size += (size_t)length;
      return;
    }
    size_t room = 2 * (t->room + (size_t)(length > 0 ? length : 0) + 512);
    char *grown = (char *)realloc(t->data, room);
    t->failed = length < 0 || !grown;
    if (grown) t->data = grown, t->room = room;
  }
}

static int write_text(text *t, const char *path, char *message) {
  int status =
      t->failed ? message_set(message, "%s: not enough memory to write it", path) : file_write(path, t->data, t->size, message);
  free(t->data);
  return status;
}

static int write_annotation(const char *path, const puppet_layout *layout, const puppet_annotation *a, char *message) {
  text t = {NULL, 0, 0, 0};
  append(&t, "{");
  for (int s = 0; s < PUPPET_SHAPES; s++) {
    const mesh_outline *shape = layout->shapes + s;
    append(&t, "\"%s\": [", shape->name);
    for (int i = 0; i < shape->segment_count; i++) {
      append(&t, i ? ", [" : "[");
      for (int k = 0; k < 2; k++) {
        const double(*c)[2] = a->curves[s][i];
        append(&t, "%s[%.4f, %.4f, %.4f, %.4f]", k ? ", " : "", c[0][k], c[1][k] - c[0][k], c[3][k], c[2][k] - c[3][k]);
      }
      append(&t, "]");
    }
    append(&t, "],\n ");
  }
  append(&t, "\"points\": [");
  for (int i = 0; i < PUPPET_POINTS; i++) append(&t, "%s[%.4f, %.4f]", i ? ", " : "", a->points[i][0], a->points[i][1]);
  append(&t, "],\n \"visible\": [");
  for (int i = 0; i < PUPPET_POINTS; i++) append(&t, "%s%d", i ? ", " : "", a->visible[i]);
  append(&t, "]}\n");
  return write_text(&t, path, message);
}

/* The template of the puppet's landmarks, trainer/templates/puppet27.json as a string, so that the program needs no file beside it. */
static const char character_json[] =
#include "puppet27.inc"
    ;

typedef struct writing {
  const demo_shot *shot;
  const char *dir;
  double (*crops)[4];
  puppet_annotation *annotations;
  int *failed; /* one a frame */
  char *messages;
} writing;

static void write_frame(void *context, size_t index) {
  const writing *w = (const writing *)context;
  const demo_shot_options *o = &w->shot->options;
  char *message = w->messages + MESSAGE_SIZE * index, path[1024];
  puppet_annotation *annotation = w->annotations + index;
  int frame = (int)index, number = o->first_frame + frame;
  unsigned char *rgb = (unsigned char *)malloc((size_t)o->width * (size_t)o->height * 3);
  w->failed[index] = 1;
  if (!rgb || demo_shot_render(w->shot, frame, rgb, annotation, w->crops[index]) != 0) {
    message_set(message, "%s: not enough memory to render frame %d of %dx%d; try a smaller --size", w->dir, number, o->width,
                o->height);
  } else {
    snprintf(path, sizeof path, "%s/image-%s-frame%03d.png", w->dir, o->name, number);
    int status = image_write_png(path, rgb, (uint32_t)o->width, (uint32_t)o->height, 3, message);
    snprintf(path, sizeof path, "%s/revec_shapes-%s-frame%03d.json", w->dir, o->name, number);
    if (status == 0) status = write_annotation(path, puppet_layout_of(w->shot->character), annotation, message);
    w->failed[index] = status != 0;
  }
  free(rgb);
}

static int write_character(const char *dir, char *message) {
  char path[1024];
  snprintf(path, sizeof path, "%s/character.json", dir);
  return file_write(path, character_json, sizeof character_json - 1, message);
}

/* A shape of the truth; hidden if none of its landmarks is to be seen. */
static void fill_shape(const mesh_outline *outline, const outline_curve *curves, document_shape *shape) {
  uint32_t count = (uint32_t)outline->segment_count;
  shape->origin = ORIGIN_ARTIST;
  shape->vertex_count = outline->closed ? count : count + 1;
  shape->vertices = (roto_vertex *)cli_alloc(shape->vertex_count, sizeof *shape->vertices);
  for (uint32_t i = 0; i < count; i++) {
    const double(*c)[2] = curves[i];
    roto_vertex *a = shape->vertices + i, *b = shape->vertices + (i + 1 < shape->vertex_count ? i + 1 : 0);
    a->x = c[0][0], a->y = c[0][1], a->out_x = c[1][0] - c[0][0], a->out_y = c[1][1] - c[0][1];
    if (b != shape->vertices) b->x = c[3][0], b->y = c[3][1];
    b->in_x = c[2][0] - c[3][0], b->in_y = c[2][1] - c[3][1];
  }
}

/* The truth as a roto document, for everything that reads one. */
static int write_document(const writing *w, char *message) {
  const demo_shot_options *o = &w->shot->options;
  const puppet_layout *layout = puppet_layout_of(w->shot->character);
  document doc;
  memset(&doc, 0, sizeof doc);
  doc.pattern = cli_format("%s/image-%s-frame###.png", w->dir, o->name);
  doc.template_json = cJSON_Parse(character_json);
  doc.model = cJSON_CreateObject();
  cJSON_AddStringToObject(doc.model, "name", "truth");
  cJSON_AddStringToObject(doc.model, "description", "exact, from the animation that was rendered");
  doc.point_count = PUPPET_POINTS;
  doc.shape_count = PUPPET_SHAPES;
  doc.width = o->width, doc.height = o->height;
  document_make_frames(&doc, (size_t)o->frames);
  for (size_t f = 0; f < doc.frame_count; f++) {
    const puppet_annotation *a = w->annotations + f;
    document_frame *frame = doc.frames + f;
    frame->number = o->first_frame + (int)f;
    frame->width = o->width, frame->height = o->height;
    memcpy(frame->crop, w->crops[f], sizeof frame->crop);
    for (int i = 0; i < PUPPET_POINTS; i++) {
      double x = a->points[i][0], y = a->points[i][1];
      document_point point = {x, y, 1, 0, ORIGIN_ARTIST, !a->visible[i], x, y, 0, 0, 0};
      frame->points[i] = point;
    }
    for (int s = 0; s < PUPPET_SHAPES; s++) {
      int closed, k = 0;
      const char *name = document_shape_name(&doc, (size_t)s, &closed);
      while (k < PUPPET_SHAPES - 1 && strcmp(layout->shapes[k].name, name)) k++;
      fill_shape(&layout->shapes[k], a->curves[k], &frame->shapes[s]);
      const cJSON *shape = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(doc.template_json, "shapes"), s), *vertex;
      const cJSON *landmarks = cJSON_GetObjectItemCaseSensitive(doc.template_json, "landmarks");
      frame->shapes[s].hidden = 1;
      cJSON_ArrayForEach(vertex, cJSON_GetObjectItemCaseSensitive(shape, "vertices")) {
        for (int i = 0; cJSON_IsString(vertex) && i < PUPPET_POINTS; i++) {
          const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(landmarks, i), "name");
          if (a->visible[i] && !strcmp(landmark->valuestring, vertex->valuestring)) frame->shapes[s].hidden = 0;
        }
      }
    }
  }
  char *path = cli_format("%s/truth.roto.json", w->dir);
  int status = document_write(path, &doc, message);
  free(path);
  document_free(&doc);
  return status;
}

int demo_write_shot(const demo_shot_options *o, const char *dir, char *message) {
  char path[1024];
  if (strlen(dir) > 800) return message_set(message, "%s: expected a folder's name of at most 800 characters", dir);
  if (mkdir(dir, 0777) != 0 && errno != EEXIST)
    return message_set(message, "%s: cannot make the folder: %s", dir, strerror(errno));
  demo_shot *shot = demo_shot_create(o, message);
  if (!shot) return -1;
  size_t count = (size_t)shot->options.frames;
  writing w = {shot, dir, NULL, NULL, NULL, NULL};
  w.crops = (double(*)[4])malloc(count * sizeof *w.crops);
  w.annotations = (puppet_annotation *)malloc(count * sizeof *w.annotations);
  w.failed = (int *)malloc(count * sizeof *w.failed);
  w.messages = (char *)malloc(count * MESSAGE_SIZE);
  int status = 0;
  if (!w.crops || !w.annotations || !w.failed || !w.messages) {
    status = message_set(message, "%s: not enough memory for %d frames", dir, shot->options.frames);
  } else if (o->parallel) {
    o->parallel(o->parallel_context, count, write_frame, &w);
  } else {
    for (size_t i = 0; i < count; i++) write_frame(&w, i);
  }
  for (size_t i = 0; status == 0 && i < count; i++) {
    if (w.failed[i]) status = message_set(message, "%s", w.messages + MESSAGE_SIZE * i);
  }
  if (status == 0) {
    text t = {NULL, 0, 0, 0};
    append(&t, "{");
    for (size_t i = 0; i < count; i++) {
      append(&t, "%s\"%d\": [%.0f, %.0f, %.0f, %.0f]", i ? ",\n " : "", shot->options.first_frame + (int)i, w.crops[i][0],
             w.crops[i][1], w.crops[i][2], w.crops[i][3]);
    }
    append(&t, "}\n");
    snprintf(path, sizeof path, "%s/crop.json", dir);
    status = write_text(&t, path, message);
  }
  if (status == 0) status = write_character(dir, message);
  if (status == 0) status = write_document(&w, message);
  free(w.crops);
  free(w.annotations);
  free(w.failed);
  free(w.messages);
  demo_shot_free(shot);
  return status;
}

/* Command line */

static void run_parallel(void *context, size_t count, void (*task)(void *, size_t), void *task_context) {
  (void)context;
  long n = (long)count;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (long i = 0; i < n; i++) task(task_context, (size_t)i);
}

int demo_main(int argc, char **argv) {
  static const char *const set_names[DEMO_SET_COUNT] = {"by-seed", "interior", "night", "exterior", "green", "curtain"};
  const char *dir = NULL, *size = "640x480", *set = "by-seed";
  int shots = 1, frames = 48, seed = 1, hold = 0, close = 0, variant = 0, first_frame = 0;
  cli_option options[] = {
      {"-o", CLI_STRING, &dir, "DIR", "folder for the shots"},
      {"--shots", CLI_INTEGER, &shots, "K", "shots; more than one go to DIR/shot0, DIR/shot1, ... (default 1)"},
      {"--frames", CLI_INTEGER, &frames, "N", "frames a shot (default 48)"},
      {"--first-frame", CLI_INTEGER, &first_frame, "N", "number of the first frame (default 0)"},
      {"--seed", CLI_INTEGER, &seed, "S", "what to draw set, light, lens and animation from (default 1)"},
      {"--size", CLI_STRING, &size, "WxH", "pixels (default 640x480)"},
      {"--close", CLI_FLAG, &close, NULL, "pictures are crops that follow the head, as training frames are"},
      {"--hold", CLI_INTEGER, &hold, "N", "frames a pose is held: 1, 2 (default: by the seed)"},
      {"--set", CLI_STRING, &set, "NAME", "interior, night, exterior, green, curtain (default: by the seed)"},
      {"--variants", CLI_INTEGER, &variant, "N",
       "give each shot a different puppet, starting with number N (default 0: the same)"},
  };
  cli_command command = {
      "roto-train demo",
      "[-o] DIR",
      "Render annotated shots of a small stop-motion puppet, made by code: pictures, landmarks and shapes to "
      "train and test on.",
      "roto-train demo -o demo --shots 4 --frames 120 --size 400x400 --close",
      options,
      sizeof options / sizeof *options};
  int given = cli_parse(&command, argc, argv), width = 0, height = 0, rest = 0;
  if (!dir && given == 1) dir = argv[0];
  if (!dir || given > (dir == argv[0] ? 1 : 0)) cli_usage(&command, "expected one folder for the shots: -o DIR");
  if (sscanf(size, "%dx%d%n", &width, &height, &rest) != 2 || size[rest]) {
    cli_usage(&command, "--size: expected WxH as in 640x480, found '%s'", size);
  }
  if (shots < 1 || shots > 1000) cli_usage(&command, "--shots: expected 1 to 1000, found %d", shots);
  demo_shot_options o;
  demo_shot_defaults(&o);
  while (o.set < DEMO_SET_COUNT && strcmp(set, set_names[o.set]) != 0) o.set++;
  if (o.set == DEMO_SET_COUNT)
    cli_usage(&command, "--set: expected interior, night, exterior, green or curtain, found '%s'", set);
  o.width = width, o.height = height, o.frames = frames, o.first_frame = first_frame, o.hold = hold, o.close = close;
  o.parallel = run_parallel;
  cli_make_folder(dir);
  for (int i = 0; i < shots; i++) {
    char message[MESSAGE_SIZE], path[1024], name[32];
    double start = cli_seconds();
    snprintf(name, sizeof name, "shot%d", i);
    snprintf(path, sizeof path, shots > 1 ? "%s/%s" : "%s", dir, name);
    o.name = name, o.seed = (unsigned)(seed + i), o.variant = variant > 0 ? (unsigned)(variant + i) : 0;
    if (demo_write_shot(&o, path, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
    printf("%s: %d frames of %dx%d in %.1f s\n", path, frames, width, height, cli_seconds() - start);
  }
  if (shots > 1) {
    char message[MESSAGE_SIZE];
    if (write_character(dir, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  }
  return EXIT_DONE;
}
