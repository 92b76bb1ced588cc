/* Optical flow at points: where a small patch around each went from one frame to another.
 *
 * Inverse-compositional alignment (Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004): the patch's gradients and their
 * Hessian are computed once in the first frame, an iteration only samples the second.  Patches are 16x16 pixels, from coarse to
 * fine over a pyramid; both are normalised to mean 0 and equal contrast and the gradients are made orthogonal to the patch's
 * mean and contrast, so that a flickering lamp neither moves the result nor slows it down.  The last residual and the Hessian
 * give the covariance of the result: along an edge it is large and says so.
 *
 * Every row of a patch is a loop of 16 that compilers vectorise. */

#ifndef ROTOI_FLOW
#define ROTOI_FLOW

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "image.c"
#include "bezier.c" /* rotoi_sqrt */

enum { ROTOI_PATCH = 16, ROTOI_LEVELS = 6, ROTOI_FLOW_STEPS = 20, ROTOI_SMALLEST_LEVEL = 24 };

struct roto_pyramid {
  roto_allocator allocator;
  float x, y, scale; /* of the first pixel's corner in the frame; pixels of the frame to a pixel of level 0 */
  int count;
  int32_t width[ROTOI_LEVELS], height[ROTOI_LEVELS];
  float *level[ROTOI_LEVELS]; /* grey, sRGB-encoded, 0..1 */
};

/* Half the size: each pixel the weighted mean of 4x4, 1 3 3 1 both ways, edges repeated. */
static void rotoi_halve(const float *in, int32_t w, int32_t h, float *out, int32_t ow, int32_t oh) {
  for (int32_t y = 0; y < oh; ++y)
    for (int32_t x = 0; x < ow; ++x) {
      float sum = 0;
      for (int32_t j = -1; j < 3; ++j) {
        int32_t sy = 2 * y + j < 0 ? 0 : 2 * y + j < h ? 2 * y + j : h - 1;
        const float *row = in + (size_t)sy * (size_t)w;
        int32_t x0 = 2 * x > 0 ? 2 * x - 1 : 0, x2 = 2 * x + 1 < w ? 2 * x + 1 : w - 1, x3 = 2 * x + 2 < w ? 2 * x + 2 : w - 1;
        sum += (j == 0 || j == 1 ? 3.0f : 1.0f) * (row[x0] + 3 * (row[2 * x] + row[x2]) + row[x3]);
      }
      out[(size_t)y * (size_t)ow + (size_t)x] = sum / 64;
    }
}

ROTO_API roto_status roto_pyramid_create(const roto_image *image, roto_rect region, uint32_t longest_side,
                                         const roto_allocator *allocator, roto_pyramid **pyramid) {
  roto_allocator none = {NULL, NULL, NULL};
  if (!allocator) allocator = &none;
  if (!pyramid) return ROTO_ERR_ARGUMENT;
  *pyramid = NULL;
  float side = region.width > region.height ? region.width : region.height;
  if (!rotoi_image_valid(image) || !rotoi_allocator_valid(allocator) || !(side > 0 && side < 1e6f) || !(region.width > 0) ||
      !(region.height > 0) || !(region.x > -1e6f && region.x < 1e6f) || !(region.y > -1e6f && region.y < 1e6f))
    return ROTO_ERR_ARGUMENT;
  if (!longest_side) longest_side = 768;
  if (longest_side > 8192) return ROTO_ERR_ARGUMENT;

  roto_pyramid p;
  memset(&p, 0, sizeof p);
  p.allocator = *allocator;
  p.x = region.x, p.y = region.y;
  p.scale = side > (float)longest_side ? side / (float)longest_side : 1;
  size_t floats = 0, head = (sizeof p + 63) / 64 * 64;
  int32_t w = (int32_t)(region.width / p.scale) + 1, h = (int32_t)(region.height / p.scale) + 1;
  for (; p.count < ROTOI_LEVELS; ++p.count, w = (w + 1) / 2, h = (h + 1) / 2) {
    if (p.count && (w < ROTOI_SMALLEST_LEVEL || h < ROTOI_SMALLEST_LEVEL)) break;
    p.width[p.count] = w, p.height[p.count] = h;
    floats += (size_t)w * (size_t)h;
  }
  size_t row_floats = 3 * (size_t)p.width[0];
  unsigned char *memory = (unsigned char *)rotoi_alloc(allocator, head + (floats + row_floats) * sizeof(float));
  if (!memory) return ROTO_ERR_MEMORY;
  float *at = (float *)(void *)(memory + head);
  for (int i = 0; i < p.count; ++i) p.level[i] = at, at += (size_t)p.width[i] * (size_t)p.height[i];

  float map[6] = {p.scale, 0, p.x, 0, p.scale, p.y};
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, map, ROTO_TRANSFER_SRGB, 0);
  for (int32_t y = 0; y < p.height[0]; ++y) {
    float *grey = p.level[0] + (size_t)y * (size_t)p.width[0];
    rotoi_sample_row(&sampler, (uint32_t)y, (uint32_t)p.width[0], at);
    for (int32_t x = 0; x < p.width[0]; ++x) grey[x] = 0.3f * at[3 * x] + 0.59f * at[3 * x + 1] + 0.11f * at[3 * x + 2];
  }
  for (int i = 1; i < p.count; ++i)
    rotoi_halve(p.level[i - 1], p.width[i - 1], p.height[i - 1], p.level[i], p.width[i], p.height[i]);
  memcpy(memory, &p, sizeof p);
  *pyramid = (roto_pyramid *)(void *)memory;
  return ROTO_OK;
}

ROTO_API void roto_pyramid_free(roto_pyramid *pyramid) {
  if (!pyramid) return;
  roto_allocator allocator = pyramid->allocator;
  rotoi_free(&allocator, pyramid);
}

/* size x size bilinear samples, one pixel apart, centred on (x, y); 0 if they leave the level. */
static int rotoi_patch(const roto_pyramid *p, int level, float x, float y, int32_t size, float *out) {
  float left = x - 0.5f * (float)size, top = y - 0.5f * (float)size; /* the first sample's pixel centre less half a pixel */
  if (!(left >= 0 && top >= 0)) return 0;
  int32_t ix = (int32_t)left, iy = (int32_t)top, w = p->width[level];
  if (ix + size >= w || iy + size >= p->height[level]) return 0;
  float fx = left - (float)ix, fy = top - (float)iy;
  float w11 = fx * fy, w01 = fx - w11, w10 = fy - w11, w00 = 1 - fx - w10;
  for (int32_t j = 0; j < size; ++j) {
    const float *a = p->level[level] + (size_t)(iy + j) * (size_t)w + (size_t)ix, *b = a + w;
    for (int32_t i = 0; i < size; ++i) out[j * size + i] = w00 * a[i] + w01 * a[i + 1] + w10 * b[i] + w11 * b[i + 1];
  }
  return 1;
}

enum { ROTOI_PATCH_SIZE = ROTOI_PATCH * ROTOI_PATCH };

/* Sixteen running sums, then one: what a loop of dot products vectorises to. */
static float rotoi_dot(const float *a, const float *b) {
  float sum[ROTOI_PATCH], total = 0;
  for (int i = 0; i < ROTOI_PATCH; ++i) sum[i] = 0;
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) sum[i] += a[j + i] * b[j + i];
  for (int i = 0; i < ROTOI_PATCH; ++i) total += sum[i];
  return total;
}

/* v -= mean(v), or v -= k a. */
static void rotoi_centre(float *v) {
  float mean = 0;
  for (int i = 0; i < ROTOI_PATCH_SIZE; ++i) mean += v[i];
  mean *= 1.0f / (float)ROTOI_PATCH_SIZE;
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) v[j + i] -= mean;
}
static void rotoi_subtract(float *v, float k, const float *a) {
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) v[j + i] -= k * a[j + i];
}

/* One level: from (x, y) of `from` to (*u, *v) of `to`, a guess that is improved.  0 if the patch leaves a picture or holds
 * nothing to hold on to; *u and *v are untouched then. */
static int rotoi_align(const roto_pyramid *from, const roto_pyramid *to, int from_level, int to_level, float x, float y,
                       float *u, float *v, float covariance[3], float *residual) {
  enum { WIDE = ROTOI_PATCH + 2 };
  float wide[WIDE * WIDE], patch[ROTOI_PATCH_SIZE], gx[ROTOI_PATCH_SIZE], gy[ROTOI_PATCH_SIZE], e[ROTOI_PATCH_SIZE];
  if (!rotoi_patch(from, from_level, x, y, WIDE, wide)) return 0;
  for (int j = 0; j < ROTOI_PATCH; ++j) {
    const float *row = wide + (j + 1) * WIDE + 1;
    for (int i = 0; i < ROTOI_PATCH; ++i) {
      patch[j * ROTOI_PATCH + i] = row[i];
      gx[j * ROTOI_PATCH + i] = 0.5f * (row[i + 1] - row[i - 1]);
      gy[j * ROTOI_PATCH + i] = 0.5f * (row[i + WIDE] - row[i - WIDE]);
    }
  }
  rotoi_centre(patch);
  float contrast = rotoi_dot(patch, patch);
  if (!(contrast > 1e-6f * (float)ROTOI_PATCH_SIZE)) return 0; /* a plain surface: less than a tenth of a percent */
  rotoi_centre(gx);
  rotoi_centre(gy);
  rotoi_subtract(gx, rotoi_dot(gx, patch) / contrast, patch);
  rotoi_subtract(gy, rotoi_dot(gy, patch) / contrast, patch);
  float a = rotoi_dot(gx, gx), b = rotoi_dot(gx, gy), c = rotoi_dot(gy, gy), damping = 1e-3f * (a + c);
  a += damping, c += damping; /* along an edge it stays where it is */
  float determinant = a * c - b * b, left = 0;
  if (!(determinant > 0)) return 0;
  float at_x = *u, at_y = *v;
  for (int step = 0; step < ROTOI_FLOW_STEPS; ++step) {
    if (!rotoi_patch(to, to_level, at_x, at_y, ROTOI_PATCH, e)) return 0;
    rotoi_centre(e);
    float power = rotoi_dot(e, e);
    if (!(power > 1e-6f * (float)ROTOI_PATCH_SIZE)) return 0;
    float gain = (float)rotoi_sqrt((double)(contrast / power));
    for (int i = 0; i < ROTOI_PATCH_SIZE; ++i) e[i] *= gain;
    rotoi_subtract(e, 1, patch);
    left = rotoi_dot(e, e);
    float px = rotoi_dot(gx, e), py = rotoi_dot(gy, e);
    float dx = (c * px - b * py) / determinant, dy = (a * py - b * px) / determinant, length = dx * dx + dy * dy;
    if (length > 4) { /* a patch sees only its own neighbourhood */
      float limit = 2 / (float)rotoi_sqrt((double)length);
      dx *= limit, dy *= limit;
    }
    at_x -= dx, at_y -= dy;
    if (length < 1e-5f) break;
  }
  *u = at_x, *v = at_y;
  /* Neighbouring pixels of a residual are alike: it counts for a quarter of its pixels. */
  float variance = 4 * left / (float)(ROTOI_PATCH_SIZE - 4);
  covariance[0] = variance * c / determinant;
  covariance[1] = -variance * b / determinant;
  covariance[2] = variance * a / determinant;
  *residual = (float)rotoi_sqrt((double)(left / contrast));
  return 1;
}

/* How many levels of `p` are finer than the finest of the other. */
static int rotoi_finer_levels(const roto_pyramid *p, const roto_pyramid *other) {
  int levels = 0;
  while (levels + 1 < p->count && p->scale * (float)(2 << levels) <= 1.001f * other->scale) ++levels;
  return levels;
}

ROTO_API roto_status roto_find_flow(const roto_pyramid *from, const roto_pyramid *to, const float (*points)[2],
                                    const float (*guesses)[2], size_t count, roto_flow *flows) {
  if (!from || !to || (count && (!points || !flows))) return ROTO_ERR_ARGUMENT;
  int from_skip = rotoi_finer_levels(from, to), to_skip = rotoi_finer_levels(to, from);
  float from_scale = from->scale * (float)(1 << from_skip), to_scale = to->scale * (float)(1 << to_skip);
  int levels = from->count - from_skip < to->count - to_skip ? from->count - from_skip : to->count - to_skip;
  for (size_t i = 0; i < count; ++i) {
    roto_flow f = {0, 0, {0, 0, 0}, 0, 0};
    float px = (points[i][0] - from->x) / from_scale, py = (points[i][1] - from->y) / from_scale; /* of the finest level */
    float u = ((guesses ? guesses[i][0] : points[i][0]) - to->x) / to_scale;
    float v = ((guesses ? guesses[i][1] : points[i][1]) - to->y) / to_scale;
    for (int level = levels - 1; level >= 0; --level) {
      float k = 1.0f / (float)(1 << level), lu = u * k, lv = v * k;
      int found =
          rotoi_align(from, to, level + from_skip, level + to_skip, px * k, py * k, &lu, &lv, f.covariance, &f.residual);
      if (found) u = lu / k, v = lv / k;
      f.found = found; /* the finest level decides */
    }
    f.x = u * to_scale + to->x;
    f.y = v * to_scale + to->y;
    for (int k = 0; k < 3; ++k) f.covariance[k] *= to_scale * to_scale;
    flows[i] = f;
  }
  return ROTO_OK;
}

#endif /* ROTOI_FLOW */
