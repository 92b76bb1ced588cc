/* Geometry, mattes and optics of training samples: each against what it promises, on pictures whose colours are coordinates. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trainer/augment.h"
#include "../trainer/cloud.h"
#include "../trainer/optics.h"
#include "check.h"

enum { SIDE = 96, FRAME = 250 };
static const float no_mean[3] = {0, 0, 0}, no_scale[3] = {1, 1, 1};

/* Red is x, green is y, blue 90; with four channels alpha is 255 in a disc around the middle. */
static uint8_t *ramp(uint32_t channels) {
  uint8_t *pixels = malloc((size_t)FRAME * FRAME * channels);
  for (uint32_t y = 0; y < FRAME; y++)
    for (uint32_t x = 0; x < FRAME; x++) {
      uint8_t *p = pixels + ((size_t)y * FRAME + x) * channels;
      double d = hypot(x + 0.5 - FRAME / 2.0, y + 0.5 - FRAME / 2.0);
      p[0] = (uint8_t)x, p[1] = (uint8_t)y, p[2] = 90;
      if (channels == 4) p[3] = d < 70 ? 255 : 0;
    }
  return pixels;
}

static float point_list[10] = {90, 100, 160, 100, 125, 125, 100, 160, 150, 160};
static uint8_t flags[10] = {1, 1, 1, 1, 1};

static frame ramp_frame(uint8_t *pixels, uint32_t channels) {
  frame f;
  memset(&f, 0, sizeof f);
  f.points = point_list;
  f.valid = flags;
  f.hidden = flags + 5;
  f.pixels = pixels;
  f.channels = channels;
  f.width = f.height = f.cache_width = f.cache_height = FRAME;
  f.box.x = 90, f.box.y = 100, f.box.width = 70, f.box.height = 60;
  return f;
}

static roto_landmark landmarks[5];
static character five(void) {
  character ch;
  memset(&ch, 0, sizeof ch);
  ch.landmark_count = 5;
  ch.landmarks = landmarks;
  for (uint32_t i = 0; i < 5; i++) landmarks[i].flip = i;
  return ch;
}

static augment_options bending(void) {
  augment_options o;
  memset(&o, 0, sizeof o);
  o.margin = 2;
  o.rotation = 30, o.scale = 0.3f, o.shift = 0.1f, o.perspective = 0.2f, o.warp = 1, o.warp_size = 0.05f;
  return o;
}

/* A point of the sample goes to the frame and comes back. */
static void warps_can_be_undone(void) {
  frame f = ramp_frame(NULL, 3);
  augment_options o = bending();
  double worst = 0, moved = 0;
  for (uint64_t seed = 0; seed < 300; seed++) {
    warp map, straight;
    augment_options rigid = o;
    int flipped;
    augment_geometry(&f, &o, rng_seed(1, 2, seed), SIDE, SIDE, &map, &flipped);
    rigid.warp = rigid.perspective = 0;
    augment_geometry(&f, &rigid, rng_seed(1, 2, seed), SIDE, SIDE, &straight, &flipped);
    CHECK(memcmp(map.to_frame, straight.to_frame, sizeof map.to_frame) == 0); /* each operation has its own stream */
    for (int i = 0; i < 49; i++) {
      float x = (float)(i % 7) * SIDE / 6, y = (float)(i / 7) * SIDE / 6, there[2], rigidly[2], back[2];
      warp_to_frame(&map, x, y, there);
      warp_to_frame(&straight, x, y, rigidly);
      warp_from_frame(&map, there[0], there[1], back);
      double d = hypot((double)(back[0] - x), (double)(back[1] - y));
      if (!(d <= worst)) worst = d;
      moved += hypot((double)(there[0] - rigidly[0]), (double)(there[1] - rigidly[1])) / (300 * 49);
    }
  }
  CHECK(worst < 2e-3, "%g pixels", worst);
  CHECK(moved > 3 && moved < 40, "%g pixels on average", moved);
}

/* The colour of a pixel is where it lies in the frame. */
static void pictures_follow_warps(void) {
  uint8_t *pixels = ramp(3);
  frame f = ramp_frame(pixels, 3);
  character ch = five();
  augment_options o = bending();
  static float input[SIDE * SIDE * 4];
  float points[10], weight[5];
  double worst = 0;
  int compared = 0;
  for (uint64_t seed = 0; seed < 40; seed++) {
    warp map;
    int flipped;
    augment_sample(&f, &ch, &o, rng_seed(1, 3, seed), SIDE, SIDE, no_mean, no_scale, input, points, weight);
    augment_geometry(&f, &o, rng_seed(1, 3, seed), SIDE, SIDE, &map, &flipped);
    for (uint32_t i = 0; i < SIDE * SIDE; i++) {
      float at[2];
      warp_to_frame(&map, (float)(i % SIDE) + 0.5f, (float)(i / SIDE) + 0.5f, at);
      if (at[0] < 4 || at[1] < 4 || at[0] > FRAME - 4 || at[1] > FRAME - 4) continue; /* edges are repeated there */
      double d = hypot((double)(input[4 * i] * 255 + 0.5f - at[0]), (double)(input[4 * i + 1] * 255 + 0.5f - at[1]));
      if (!(d <= worst)) worst = d;
      compared++;
    }
    for (int k = 0; k < 5; k++) { /* and the landmarks lie on their own colours */
      float at[2];
      warp_to_frame(&map, points[2 * k] * SIDE, points[2 * k + 1] * SIDE, at);
      CHECK(fabsf(at[0] - point_list[2 * k]) < 0.01f && fabsf(at[1] - point_list[2 * k + 1]) < 0.01f);
      CHECK(weight[k] == 1);
    }
  }
  CHECK(compared > 40 * SIDE * SIDE / 2);
  CHECK(worst < 0.1, "%g pixels", worst);
  free(pixels);
}

/* Transparent pixels give no colour, and always get a background; opaque ones keep theirs. */
static void alpha_is_kept_apart(void) {
  uint8_t *pixels = ramp(4);
  frame f = ramp_frame(pixels, 4);
  character ch = five();
  augment_options o;
  static float input[SIDE * SIDE * 4], other[SIDE * SIDE * 4];
  float points[10], weight[5];
  int inside = 0, outside = 0, changed = 0;
  memset(&o, 0, sizeof o);
  o.margin = 3;
  augment_sample(&f, &ch, &o, 1, SIDE, SIDE, no_mean, no_scale, input, points, weight);
  augment_sample(&f, &ch, &o, 2, SIDE, SIDE, no_mean, no_scale, other, points, weight);
  for (uint32_t i = 0; i < SIDE * SIDE; i++) {
    warp map;
    int flipped;
    float at[2];
    augment_geometry(&f, &o, 1, SIDE, SIDE, &map, &flipped);
    warp_to_frame(&map, (float)(i % SIDE) + 0.5f, (float)(i / SIDE) + 0.5f, at);
    double d = hypot((double)at[0] - FRAME / 2.0, (double)at[1] - FRAME / 2.0);
    if (d < 66)
      inside++, CHECK(fabsf(input[4 * i] * 255 + 0.5f - at[0]) < 0.6f && fabsf(input[4 * i + 2] - 90 / 255.0f) < 1e-3f);
    if (d > 74) outside++, changed += memcmp(input + 4 * i, other + 4 * i, 3 * sizeof(float)) != 0;
  }
  CHECK(inside > 1000 && outside > 1000 && changed > outside * 9 / 10, "%d of %d", changed, outside);
  free(pixels);
}

/* The paper's matte: the landmarks stay, what is far from them goes. */
static void backgrounds_leave_the_face(void) {
  uint8_t *pixels = ramp(3);
  frame f = ramp_frame(pixels, 3);
  character ch = five();
  augment_options none, o;
  static float plain[SIDE * SIDE * 4], input[SIDE * SIDE * 4], again[SIDE * SIDE * 4];
  float points[10], weight[5];
  double kept_share = 0;
  int kept = 0, landmarks_seen = 0, corners = 0;
  memset(&none, 0, sizeof none);
  none.margin = 2.2f;
  o = none;
  o.background = 1;
  augment_sample(&f, &ch, &none, 1, SIDE, SIDE, no_mean, no_scale, plain, points, weight);
  for (uint64_t seed = 0; seed < 100; seed++) {
    augment_sample(&f, &ch, &o, rng_seed(5, 0, seed), SIDE, SIDE, no_mean, no_scale, input, points, weight);
    augment_sample(&f, &ch, &o, rng_seed(5, 0, seed), SIDE, SIDE, no_mean, no_scale, again, points, weight);
    CHECK(memcmp(input, again, sizeof input) == 0);
    for (uint32_t i = 0; i < SIDE * SIDE; i++) kept_share += fabsf(input[4 * i] - plain[4 * i]) < 1e-4f;
    for (int k = 0; k < 5; k++) {
      size_t at = ((size_t)(points[2 * k + 1] * SIDE) * SIDE + (size_t)(points[2 * k] * SIDE)) * 4;
      landmarks_seen++;
      kept += fabsf(input[at] - plain[at]) < 0.25f * fabsf(input[0] - plain[0]) + 0.02f;
    }
    corners += memcmp(input, plain, 3 * sizeof(float)) != 0;
  }
  kept_share /= 100.0 * SIDE * SIDE;
  CHECK(kept >= landmarks_seen * 98 / 100, "%d of %d", kept, landmarks_seen);
  CHECK(corners >= 95, "%d", corners);
  CHECK(kept_share > 0.15 && kept_share < 0.7, "%g", kept_share);
  free(pixels);
}

static void covered_landmarks_can_be_left_out(void) {
  uint8_t *pixels = ramp(3);
  frame f = ramp_frame(pixels, 3);
  character ch = five();
  augment_options o;
  static float input[SIDE * SIDE * 4], plain[SIDE * SIDE * 4];
  float points[10], weight[5];
  int covered = 0, wrong = 0;
  memset(&o, 0, sizeof o);
  o.margin = 1.4f;
  augment_sample(&f, &ch, &o, 1, SIDE, SIDE, no_mean, no_scale, plain, points, weight);
  o.occlude = 1, o.occlude_size = 0.8f, o.occlude_count = 1;
  for (uint64_t seed = 0; seed < 200; seed++) {
    o.covered = 0;
    augment_sample(&f, &ch, &o, rng_seed(6, 0, seed), SIDE, SIDE, no_mean, no_scale, input, points, weight);
    for (int k = 0; k < 5; k++) wrong += weight[k] != 1;
    o.covered = 1;
    augment_sample(&f, &ch, &o, rng_seed(6, 0, seed), SIDE, SIDE, no_mean, no_scale, input, points, weight);
    for (int k = 0; k < 5; k++) {
      size_t at = ((size_t)(points[2 * k + 1] * SIDE) * SIDE + (size_t)(points[2 * k] * SIDE)) * 4;
      covered += weight[k] == 0;
      wrong += weight[k] == 0 && memcmp(input + at, plain + at, 3 * sizeof(float)) == 0;
    }
  }
  CHECK(covered > 100 && covered < 700, "%d of 1000", covered);
  CHECK(wrong == 0, "%d", wrong);
  free(pixels);
}

static void clouds_are_soft_and_varied(void) {
  static float matte[SIDE * SIDE];
  double smallest = 1, largest = 0;
  for (uint64_t seed = 0; seed < 50; seed++) {
    rng r = {seed * 77 + 1};
    double sum = 0;
    int between = 0;
    cloud_alone(48, 48, 24, 18, SIDE, SIDE, &r, matte);
    for (int i = 0; i < SIDE * SIDE; i++) {
      CHECK(matte[i] >= 0 && matte[i] <= 1);
      sum += (double)matte[i];
      between += matte[i] > 0 && matte[i] < 1;
    }
    sum /= SIDE * SIDE;
    smallest = fmin(smallest, sum), largest = fmax(largest, sum);
    CHECK(between > 20);
    CHECK(matte[0] == 0);
  }
  CHECK(smallest < 0.14 && largest > 0.16 && largest < 0.5, "%g to %g", smallest, largest);
}

/* A dot under motion blur keeps its mass and gains length^2 / 12 of variance along the direction, none across. */
static void motion_goes_one_way(void) {
  static float rgb[SIDE * SIDE * 3], scratch[SIDE * SIDE * 3];
  for (int turn = 0; turn < 6; turn++) {
    double angle = turn * 0.5, mass = 0, along = 0, across = 0, along_before = 0;
    for (int pass = 0; pass < 2; pass++) {
      for (int i = 0; i < SIDE * SIDE; i++) {
        double x = i % SIDE + 0.5 - SIDE / 2.0, y = i / SIDE + 0.5 - SIDE / 2.0;
        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = (float)exp(-(x * x + y * y) / (2 * 9));
      }
      if (pass == 1) optics_motion(12, (float)angle, SIDE, SIDE, rgb, scratch);
      mass = along = across = 0;
      for (int i = 0; i < SIDE * SIDE; i++) {
        double x = i % SIDE + 0.5 - SIDE / 2.0, y = i / SIDE + 0.5 - SIDE / 2.0, v = (double)rgb[3 * i];
        double u = x * cos(angle) + y * sin(angle), w = y * cos(angle) - x * sin(angle);
        mass += v, along += v * u * u, across += v * w * w;
      }
      if (pass == 0) along_before = along / mass;
    }
    CHECK(fabs(mass / (2 * 3.14159265358979 * 9) - 1) < 1e-3);
    CHECK(fabs(along / mass - along_before - 12.0 * 12 / 12) < 3, "%g", along / mass - along_before);
    CHECK(fabs(across / mass - 9) < 0.6, "%g", across / mass);
  }
}

static double codec_error(const float *picture, float strength) {
  static float rgb[90 * 50 * 3];
  double sum = 0;
  memcpy(rgb, picture, sizeof rgb);
  optics_codec(strength, 90, 50, rgb);
  for (int i = 0; i < 90 * 50 * 3; i++) {
    CHECK(rgb[i] >= 0 && rgb[i] <= 1);
    sum += (double)(rgb[i] - picture[i]) * (double)(rgb[i] - picture[i]);
  }
  return sqrt(sum / (90 * 50 * 3)) * 255;
}

static void codecs_damage_as_told(void) {
  static float picture[90 * 50 * 3]; /* neither side a multiple of 8 */
  rng r = {3};
  for (int i = 0; i < 90 * 50 * 3; i++) picture[i] = rng_range(&r, 0.2f, 0.8f);
  /* A step of q makes an error of about q / sqrt(12) in each coefficient, and the transform keeps lengths. */
  double fine = codec_error(picture, 0.01f), middle = codec_error(picture, 2), coarse = codec_error(picture, 12);
  CHECK(fine < 0.1, "%g", fine);
  CHECK(middle > 1 && middle < 8, "%g", middle);
  CHECK(coarse > 3 * middle, "%g", coarse);
  for (int i = 0; i < 90 * 50 * 3; i++) picture[i] = 0.5f;
  CHECK(codec_error(picture, 12) < 2.5);
}

int main(void) {
  warps_can_be_undone();
  pictures_follow_warps();
  alpha_is_kept_apart();
  backgrounds_leave_the_face();
  covered_landmarks_can_be_left_out();
  clouds_are_soft_and_varied();
  motion_goes_one_way();
  codecs_damage_as_told();
  return check_end("augment");
}
