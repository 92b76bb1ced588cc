/* Crops with jitter.
 *
 * Order of work on one sample: crop, flip, shear, rotation, scale, shift, perspective and warp are one map, and the frame is
 * drawn through it once, so that no detail is lost to repeated resampling.  Then, as light would meet them: background,
 * occluders, defocus, motion blur, codec, colour, gamma, noise.  Colour is one 3x4 matrix, gamma a table, noise a hash of the
 * value's position; the last three and the network's normalisation are one pass over runs of pixels that stay in the
 * first-level cache.
 *
 * The picture is made as [h][w][3] at the start of the caller's array, with a matte in the last quarter, and spread to [h][w][4]
 * from its end, run by run.  Most samples are neither bent nor have alpha: roto_sample draws those, twice as fast as warp_draw.
 *
 * Colour works on the encoded values, as the network sees them.  In linear light a gain g is a gain of about g^(1/2.2) here:
 * a change of range, not of kind, and two transfer curves a value are saved.
 *
 * Default ranges: rotation, shift and flip as the published recipes for faces and puppets agree (+-20 to 30 degrees, 5 to
 * 10 %), scale narrower than RTMPose's 0.75 to 1.25 because crops come from boxes of landmarks; colours as suggested for
 * shots of different sets; blur, noise and one occluder each on a third of the samples (STAR, Lightning Pose). */

#include "augment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cloud.h"
#include "optics.h"
#include "rng.h"

enum { RUN = 64 }; /* pixels of one run */
enum { GAMMA_STEPS = 256 };

/* Each operation's own stream of random numbers; the order is part of "same seed, same bytes". */
typedef enum operation {
  OP_FLIP,
  OP_ROTATION,
  OP_SCALE,
  OP_SHIFT,
  OP_SHEAR,
  OP_OCCLUDE,
  OP_BLUR,
  OP_BRIGHTNESS,
  OP_CONTRAST,
  OP_GAIN,
  OP_HUE,
  OP_SATURATION,
  OP_GREY,
  OP_GAMMA,
  OP_NOISE,
  OP_PERSPECTIVE,
  OP_WARP,
  OP_BACKGROUND,
  OP_MOTION,
  OP_CODEC
} operation;

static rng stream(uint64_t seed, operation op) {
  rng r;
  r.state = rng_mix(seed + ((uint64_t)op + 1) * 0x9e3779b97f4a7c15u);
  return r;
}

/* Uniform in [-range, range]. */
static float draw_range(uint64_t seed, operation op, float range) {
  rng r = stream(seed, op);
  return rng_range(&r, -range, range);
}

/* (1 + range)^+-1, uniform in its logarithm: as often wider as narrower. */
static float factor(rng *r, float range) {
  return expf(rng_range(r, -1, 1) * log1pf(range));
}

static float draw_factor(uint64_t seed, operation op, float range) {
  rng r = stream(seed, op);
  return factor(&r, range);
}

static int draw_chance(uint64_t seed, operation op, float probability) {
  rng r = stream(seed, op);
  return rng_chance(&r, probability);
}

void augment_default(augment_options *o) {
  memset(o, 0, sizeof *o);
  o->margin = 1.4f;
  o->flip = 0.5f;
  o->rotation = 25;
  o->scale = 0.2f;
  o->shift = 0.08f;
  o->brightness = 0.3f;
  o->contrast = 0.3f;
  o->gamma = 0.4f;
  o->channel_gain = 0.15f;
  o->hue = 8;
  o->saturation = 0.5f;
  o->grey = 0.1f;
  o->blur = 0.3f;
  o->blur_sigma = 1.5f;
  o->motion_size = 8;
  o->codec_step = 12;
  o->noise = 0.3f;
  o->noise_sigma = 0.04f;
  o->warp_size = 0.03f;
  o->plain = 0.3f;
  o->occlude = 0.3f;
  o->occlude_size = 0.35f;
  o->occlude_count = 1;
}

roto_rect augment_box(const frame *f, float margin) {
  roto_rect crop;
  if (!(margin > 0)) margin = 1.4f;
  crop.width = f->box.width * margin;
  crop.height = f->box.height * margin;
  crop.x = f->box.x + 0.5f * (f->box.width - crop.width);
  crop.y = f->box.y + 0.5f * (f->box.height - crop.height);
  return crop;
}

/* ---- geometry ---- */

/* Put a jitter between the crop's pixels and the crop: `m` maps pixels of the sample to the frame, before and after. */
static void jitter(const augment_options *o, uint64_t seed, uint32_t w, uint32_t h, int flip, float m[6]) {
  const double degree = 3.14159265358979323846 / 180;
  double turn = (double)draw_range(seed, OP_ROTATION, o->rotation) * degree;
  double shear = tan((double)draw_range(seed, OP_SHEAR, o->shear) * degree);
  double scale = (double)draw_factor(seed, OP_SCALE, o->scale), side = w > h ? w : h;
  double c = cos(turn) * scale, s = sin(turn) * scale, mirror = flip ? -1 : 1;
  double a00 = c * mirror, a01 = c * shear - s, a10 = s * mirror, a11 = s * shear + c;
  rng r = stream(seed, OP_SHIFT);
  double dx = (double)rng_range(&r, -o->shift, o->shift) * side, dy = (double)rng_range(&r, -o->shift, o->shift) * side;
  /* The sample's centre stays where the crop's is, but for the shift. */
  double tx = w * 0.5 + dx - a00 * w * 0.5 - a01 * h * 0.5, ty = h * 0.5 + dy - a10 * w * 0.5 - a11 * h * 0.5;
  double old[6];
  int i;
  for (i = 0; i < 6; ++i) old[i] = (double)m[i];
  for (i = 0; i < 6; i += 3) {
    m[i] = (float)(old[i] * a00 + old[i + 1] * a10);
    m[i + 1] = (float)(old[i] * a01 + old[i + 1] * a11);
    m[i + 2] = (float)(old[i] * tx + old[i + 1] * ty + old[i + 2]);
  }
}

static int bent(const warp *map) {
  return map->wave_count > 0 || map->perspective[0] != 0 || map->perspective[1] != 0;
}

/* Waves of half to one and a half crops a period, whose displacements add up to an RMS of `size` crops. */
static void choose_waves(rng *r, float size, warp *map) {
  map->wave_count = WARP_WAVES;
  for (int i = 0; i < WARP_WAVES; ++i) {
    float angle = rng_range(r, 0, 6.2831853f), frequency = 6.2831853f / (map->side * rng_range(r, 0.5f, 1.5f));
    float push = size * map->side * sqrtf(2.0f / WARP_WAVES) * rng_uniform(r) * 1.73f, toward = rng_range(r, 0, 6.2831853f);
    map->wave[i][0] = frequency * cosf(angle), map->wave[i][1] = frequency * sinf(angle);
    map->wave[i][2] = rng_range(r, 0, 6.2831853f);
    /* a slope above 0.2 a wave could fold the picture */
    if (push * frequency > 0.2f) push = 0.2f / frequency;
    map->push[i][0] = push * cosf(toward), map->push[i][1] = push * sinf(toward);
  }
}

void augment_geometry(const frame *f, const augment_options *o, uint64_t seed, uint32_t w, uint32_t h, warp *map,
                      int *flipped) {
  rng r = stream(seed, OP_PERSPECTIVE);
  memset(map, 0, sizeof *map);
  map->width = (float)w, map->height = (float)h, map->side = (float)(w > h ? w : h);
  *flipped = draw_chance(seed, OP_FLIP, o->flip);
  roto_crop_map(augment_box(f, o->margin), w, h, map->to_frame);
  jitter(o, seed, w, h, *flipped, map->to_frame);
  map->perspective[0] = 2 * rng_range(&r, -o->perspective, o->perspective);
  map->perspective[1] = 2 * rng_range(&r, -o->perspective, o->perspective);
  r = stream(seed, OP_WARP);
  if (rng_chance(&r, o->warp)) choose_waves(&r, o->warp_size, map);
}

/* The landmarks in units of the sample. */
static void map_points(const frame *f, const character *ch, float hidden_weight, const warp *map, int flip, float *points,
                       float *weight) {
  uint32_t i;
  for (i = 0; i < ch->landmark_count; ++i) {
    uint32_t to = flip ? ch->landmarks[i].flip : i;
    float at[2];
    int known = f->valid[i] || f->hidden[i];
    warp_from_frame(map, f->points[2 * i], f->points[2 * i + 1], at);
    points[2 * to] = known ? at[0] / map->width : 0.5f;
    points[2 * to + 1] = known ? at[1] / map->height : 0.5f;
    weight[to] = (f->valid[i] ? 1 : f->hidden[i] ? hidden_weight : 0) * (f->weights ? f->weights[i] : 1);
  }
}

/* Draw the cached part of the frame as roto_find_landmarks does: by an affine map, whatever the alpha. */
static void draw_straight(const frame *f, const warp *map, float *rgb) {
  roto_image image;
  float cached[6];
  memset(&image, 0, sizeof image);
  image.pixels = f->pixels;
  image.width = f->cache_width;
  image.height = f->cache_height;
  image.channels = f->channels;
  image.type = ROTO_PIXEL_U8;
  image.transfer = ROTO_TRANSFER_SRGB;
  memcpy(cached, map->to_frame, sizeof cached);
  cached[2] -= (float)f->cache_x;
  cached[5] -= (float)f->cache_y;
  roto_sample(&image, cached, ROTO_TRANSFER_SRGB, (uint32_t)map->width, (uint32_t)map->height, rgb);
}

/* `alpha` [h][w] is written where the frame has it. */
static void draw(const frame *f, const warp *map, float *rgb, float *alpha) {
  if (!bent(map) && f->channels == 3) {
    draw_straight(f, map, rgb);
  } else {
    warp_draw(map, f->pixels, f->cache_width, f->cache_height, f->channels, (float)f->cache_x, (float)f->cache_y, rgb,
              f->channels == 4 ? alpha : NULL);
  }
}

/* ---- picture ---- */

/* Lay a swatch over the picture where `matte` is 0 (or, with `over`, where it is 1). */
static void lay(const swatch *s, const float *matte, int over, uint32_t w, uint32_t h, float *rgb) {
  for (uint32_t y = 0; y < h; ++y) {
    for (uint32_t x = 0; x < w; ++x, rgb += 3) {
      float share = over ? *matte++ : 1 - *matte++, behind[3];
      if (!(share > 0)) continue;
      swatch_at(s, (float)x, (float)y, behind);
      for (int k = 0; k < 3; ++k) rgb[k] += (behind[k] - rgb[k]) * share;
    }
  }
}

/* What stands behind: pictures of the folder, or plain colours.  With alpha everything outside it is replaced; and with
 * probability o->background everything outside the paper's matte. */
static void replace_background(const frame *f, const augment_options *o, uint64_t seed, const warp *map, const float *points,
                               const float *weight, size_t count, float *matte, float *rgb) {
  rng r = stream(seed, OP_BACKGROUND);
  uint32_t w = (uint32_t)map->width, h = (uint32_t)map->height;
  int paste = rng_chance(&r, o->background);
  swatch s;
  swatch_choose(o->backdrops, o->plain, w, h, &r, &s);
  if (f->channels == 4) lay(&s, matte, 0, w, h, rgb);
  if (paste) {
    cloud_around(points, weight, count, w, h, &r, matte);
    lay(&s, matte, 0, w, h, rgb);
  }
}

/* A hand, a prop, hair: a box, an ellipse or a cloud, of one colour, of another part of the picture, or of a background. */
static void occlude_once(rng *r, const augment_options *o, uint32_t w, uint32_t h, float *points, float *weight, size_t count,
                         float *matte, float *rgb) {
  float side = (float)(w > h ? w : h), cx = rng_uniform(r) * (float)w, cy = rng_uniform(r) * (float)h;
  float rx = 0.5f * side * o->occlude_size * rng_range(r, 0.3f, 1), ry = 0.5f * side * o->occlude_size * rng_range(r, 0.3f, 1);
  uint32_t kind = rng_below(r, 3), fill = rng_below(r, 3);
  float colour[3] = {rng_uniform(r), rng_uniform(r), rng_uniform(r)};
  uint32_t dx = rng_below(r, w), dy = rng_below(r, h), x, y;
  swatch s;
  swatch_choose(o->backdrops, o->plain, w, h, r, &s);
  if (kind == 2) cloud_alone(cx, cy, rx, ry, w, h, r, matte);
  for (y = 0; y < h; ++y) {
    const float *source = rgb + (size_t)((y + dy) % h) * w * 3;
    for (x = 0; x < w; ++x) {
      float u = ((float)x + 0.5f - cx) / rx, v = ((float)y + 0.5f - cy) / ry, *share = &matte[(size_t)y * w + x];
      const float *from = fill == 1 ? source + (size_t)((x + dx) % w) * 3 : colour;
      float *to = rgb + ((size_t)y * w + x) * 3, behind[3];
      if (kind < 2) *share = kind == 0 ? fabsf(u) <= 1 && fabsf(v) <= 1 : u * u + v * v <= 1;
      if (!(*share > 0)) continue;
      if (fill == 2) swatch_at(&s, (float)x, (float)y, behind), from = behind;
      for (int k = 0; k < 3; ++k) to[k] += (from[k] - to[k]) * *share;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    float px = points[2 * i] * (float)w, py = points[2 * i + 1] * (float)h;
    if (px >= 0 && py >= 0 && px < (float)w && py < (float)h && matte[(size_t)py * w + (size_t)px] > 0.5f)
      weight[i] *= 1 - o->covered;
  }
}

static void occlude(const augment_options *o, uint64_t seed, uint32_t w, uint32_t h, float *points, float *weight, size_t count,
                    float *matte, float *rgb) {
  rng r = stream(seed, OP_OCCLUDE);
  uint32_t i;
  if (!(o->occlude > 0) || !(o->occlude_size > 0)) return;
  for (i = 0; i < o->occlude_count; ++i) {
    if (rng_chance(&r, o->occlude)) occlude_once(&r, o, w, h, points, weight, count, matte, rgb);
  }
}

static void damage(const augment_options *o, uint64_t seed, uint32_t w, uint32_t h, float *rgb) {
  float unit = (float)(w > h ? w : h) / 128;
  rng r = stream(seed, OP_BLUR);
  if (rng_chance(&r, o->blur)) optics_blur(rng_uniform(&r) * o->blur_sigma * unit, w, h, rgb);
  r = stream(seed, OP_MOTION);
  if (rng_chance(&r, o->motion)) {
    float length = rng_uniform(&r) * o->motion_size * unit, *scratch = malloc((size_t)w * h * 3 * sizeof *scratch);
    if (scratch) optics_motion(length, rng_range(&r, 0, 3.14159265f), w, h, rgb, scratch);
    free(scratch);
  }
  r = stream(seed, OP_CODEC);
  if (rng_chance(&r, o->codec)) optics_codec(o->codec_step * rng_uniform(&r) * rng_uniform(&r) + 0.5f, w, h, rgb);
}

/* Mean brightness of a picture, from some thousands of its pixels. */
static float mean_luma(const float *rgb, size_t pixels) {
  size_t step = pixels / 4096 + 1, i, count = 0;
  float sum = 0;
  for (i = 0; i < pixels; i += step, ++count) sum += 0.299f * rgb[3 * i] + 0.587f * rgb[3 * i + 1] + 0.114f * rgb[3 * i + 2];
  return sum / (float)count;
}

/* What happens to colours: out = m * (r, g, b, 1), clamped; then the exponent; then noise. */
typedef struct colour {
  int use_matrix, use_gamma;
  float m[3][4];
  float gamma[GAMMA_STEPS + 2]; /* value^exponent at i / GAMMA_STEPS */
  float noise;                  /* standard deviation */
  uint32_t noise_key;
} colour;

/* Colours split into grey and the rest; the rest is turned about the grey axis (hue) and scaled (saturation); then gain of
 * each channel, contrast about the mean, brightness: one matrix. */
static void choose_matrix(const augment_options *o, uint64_t seed, const float *rgb, size_t pixels, colour *c) {
  static const float luma[3] = {0.299f, 0.587f, 0.114f};
  float hue = draw_range(seed, OP_HUE, o->hue) * 0.017453293f, saturation = 1 + draw_range(seed, OP_SATURATION, o->saturation);
  float brightness = 1 + draw_range(seed, OP_BRIGHTNESS, o->brightness);
  float contrast = 1 + draw_range(seed, OP_CONTRAST, o->contrast);
  float cosine, sine, offset;
  rng gain = stream(seed, OP_GAIN);
  int i, k;
  if (draw_chance(seed, OP_GREY, o->grey)) saturation = 0;
  cosine = saturation * cosf(hue);
  sine = saturation * sinf(hue) * 0.57735027f; /* the grey axis is (1, 1, 1) / sqrt(3) */
  offset = brightness * (1 - contrast) * mean_luma(rgb, pixels);
  for (i = 0; i < 3; ++i) {
    float g = brightness * contrast * factor(&gain, o->channel_gain);
    for (k = 0; k < 3; ++k) {
      float turn = i == k ? 0 : (k + 3 - i) % 3 == 1 ? -sine : sine;
      c->m[i][k] = g * (luma[k] + cosine * ((i == k ? 1.0f : 0.0f) - luma[k]) + turn);
    }
    c->m[i][3] = offset;
  }
}

static void choose_colour(const augment_options *o, uint64_t seed, const float *rgb, size_t pixels, colour *c) {
  rng r = stream(seed, OP_NOISE);
  int i;
  c->use_matrix = o->brightness > 0 || o->contrast > 0 || o->channel_gain > 0 || o->hue > 0 || o->saturation > 0 || o->grey > 0;
  if (c->use_matrix) choose_matrix(o, seed, rgb, pixels, c);
  c->use_gamma = o->gamma > 0;
  if (c->use_gamma) {
    float exponent = draw_factor(seed, OP_GAMMA, o->gamma);
    for (i = 0; i <= GAMMA_STEPS; ++i) c->gamma[i] = powf((float)i / GAMMA_STEPS, exponent);
    c->gamma[GAMMA_STEPS + 1] = c->gamma[GAMMA_STEPS]; /* read with weight 0 */
  }
  c->noise = rng_chance(&r, o->noise) ? rng_uniform(&r) * o->noise_sigma : 0;
  c->noise_key = (uint32_t)rng_next(&r);
}

static float clamp(float v) {
  return v < 0 ? 0 : v > 1 ? 1 : v;
}

/* The functions below work on one channel of a run; n is RUN but for the last one. */

static void run_matrix(const float m[4], const float v[3][RUN], float *out) {
  int i;
  for (i = 0; i < RUN; ++i) out[i] = clamp(m[0] * v[0][i] + m[1] * v[1][i] + m[2] * v[2][i] + m[3]);
}

static void run_gamma(const float *table, float *v) {
  int i;
  for (i = 0; i < RUN; ++i) {
    float at = v[i] * GAMMA_STEPS;
    int k = (int)at;
    v[i] = table[k] + (table[k + 1] - table[k]) * (at - (float)k);
  }
}

/* Nearly normal noise: the four bytes of a hash of the position, summed, have a standard deviation of 147.8. */
static void run_noise(float sigma, uint32_t key, float *v) {
  float scale = sigma / 147.8f;
  uint32_t i;
  for (i = 0; i < RUN; ++i) {
    uint32_t x = (key + i) * 0x9e3779b9u;
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    x ^= x >> 16;
    x = (x & 0x00ff00ffu) + (x >> 8 & 0x00ff00ffu);
    x = (x & 0xffffu) + (x >> 16);
    v[i] = clamp(v[i] + ((float)(int32_t)x - 510.0f) * scale);
  }
}

/* Colour, gamma, noise and normalisation; from [pixels][3] to [pixels][4] in the same array, last run first, because a run's
 * place in the result begins behind all runs before it. */
static void finish(const colour *c, size_t pixels, const float mean[3], const float scale[3], float *data) {
  size_t runs = (pixels + RUN - 1) / RUN, run;
  float in[3][RUN], out[3][RUN];
  memset(in, 0, sizeof in);
  for (run = runs; run-- > 0;) {
    size_t start = run * RUN, n = pixels - start < RUN ? pixels - start : RUN, i;
    const float *from = data + start * 3;
    float *to = data + start * 4;
    int k;
    for (i = 0; i < n; ++i) {
      in[0][i] = from[3 * i];
      in[1][i] = from[3 * i + 1];
      in[2][i] = from[3 * i + 2];
    }
    for (k = 0; k < 3; ++k) {
      if (c->use_matrix) {
        run_matrix(c->m[k], (const float(*)[RUN])in, out[k]);
      } else {
        memcpy(out[k], in[k], sizeof out[k]);
      }
      if (c->use_gamma) run_gamma(c->gamma, out[k]);
      if (c->noise > 0) run_noise(c->noise, c->noise_key + (uint32_t)(start * 3 + (size_t)k * RUN), out[k]);
      for (i = 0; i < RUN; ++i) out[k][i] = (out[k][i] - mean[k]) * scale[k];
    }
    for (i = 0; i < n; ++i) {
      to[4 * i] = out[0][i];
      to[4 * i + 1] = out[1][i];
      to[4 * i + 2] = out[2][i];
      to[4 * i + 3] = 0;
    }
  }
}

void augment_sample(const frame *f, const character *ch, const augment_options *o, uint64_t seed, uint32_t w, uint32_t h,
                    const float mean[3], const float scale[3], float *input, float *points, float *weight) {
  int flip;
  size_t pixels = (size_t)w * h;
  float *matte = input + 3 * pixels;
  warp map;
  colour c;
  augment_geometry(f, o, seed, w, h, &map, &flip);
  map_points(f, ch, o->hidden_weight, &map, flip, points, weight);
  draw(f, &map, input, matte);
  if (o->background > 0 || f->channels == 4)
    replace_background(f, o, seed, &map, points, weight, ch->landmark_count, matte, input);
  occlude(o, seed, w, h, points, weight, ch->landmark_count, matte, input);
  damage(o, seed, w, h, input);
  choose_colour(o, seed, input, pixels, &c);
  finish(&c, pixels, mean, scale, input);
}

void augment_none(const frame *f, const character *ch, roto_rect crop, uint32_t w, uint32_t h, const float mean[3],
                  const float scale[3], float *input, float *points, float *weight, float to_frame[6]) {
  warp map;
  colour c;
  c.use_matrix = c.use_gamma = 0;
  c.noise = 0;
  memset(&map, 0, sizeof map);
  map.width = (float)w, map.height = (float)h, map.side = (float)(w > h ? w : h);
  roto_crop_map(crop, w, h, map.to_frame);
  map_points(f, ch, 0, &map, 0, points, weight);
  draw_straight(f, &map, input);
  finish(&c, (size_t)w * h, mean, scale, input);
  if (to_frame) memcpy(to_frame, map.to_frame, sizeof map.to_frame);
}
