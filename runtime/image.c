/* Sampling a frame: an affine map of the output's pixels into the frame, bilinear samples there, averaged where the map
 * shrinks.
 *
 * Positions are 32.32 fixed point and advance by addition, so the geometry is the same on every machine and the inner loop
 * has no conversions from floating point.  Positions wrap at 2^31 pixels; what they address is clamped to the picture (edge
 * pixels repeat), so no map, however wild, reads outside it.
 *
 * A pixel of the output takes a grid of nu x nv bilinear samples, spaced at most 1 1/16 pixels of the frame apart: closer
 * than that nothing is gained, because a bilinear sample already covers two pixels.  The sixteenth keeps maps that do not
 * shrink, rotations above all, at one sample in spite of rounding.
 *
 * Transfer curves are applied to the frame's pixels before they are mixed.  Bytes go through a table of 256, which also does
 * their conversion to float; wider pixels through a table of 128 knots an octave, indexed by the float's own bits (largest
 * relative error 3e-5, of logarithmic curves 2e-4). */

#ifndef ROTOI_IMAGE
#define ROTOI_IMAGE

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "plan.c" /* rotoi_root */

enum {
  ROTOI_MAX_GRID = 16,           /* samples a pixel and direction */
  ROTOI_CURVE_OCTAVES = 9,       /* 2^-9 .. 1; all curves are straight lines to 0 below 2^-9 */
  ROTOI_CURVE_SIZE = 9 * 128 + 2 /* one knot past the value 1, which has weight 0 */
};
static const uint32_t rotoi_curve_start = 0x3b000000u; /* the bits of 2^-9 */

typedef struct rotoi_sampler {
  const unsigned char *pixels;
  size_t row_size, pixel_size, green, blue; /* bytes; green and blue from the start of a pixel */
  int32_t right, bottom;                    /* last column and row */
  roto_pixel type;
  int curve;                                   /* 0: values stay as they are */
  float slope;                                 /* of the curve below its first knot */
  uint64_t x, y;                               /* of the first sample of the first pixel */
  uint64_t ux, uy, vx, vy;                     /* from pixel to pixel of the output, along a row and down */
  uint64_t grid_ux, grid_uy, grid_vx, grid_vy; /* the same from sample to sample of one pixel */
  uint32_t nu, nv;                             /* samples of one pixel */
  float weight;                                /* of one sample */
  float table[ROTOI_CURVE_SIZE];               /* u8: value of each byte; else, with a curve: its knots */
} rotoi_sampler;

/* 10^x for |x| < 300: the whole part by multiplication, the rest by the series of e^(x ln 10). */
static double rotoi_power_of_ten(double x) {
  double power = 1, term = 1, sum = 1;
  for (; x > 0.5; x -= 1) power *= 10;
  for (; x < -0.5; x += 1) power /= 10;
  for (int i = 1; i < 24; ++i) sum += term *= x * 2.302585092994045684 / i;
  return power * sum;
}

/* Light, 1 for diffuse white, of a value in 0..1. */
static double rotoi_light(roto_transfer transfer, double v) {
  double r;
  switch (transfer) {
    case ROTO_TRANSFER_SRGB: /* IEC 61966-2-1 */
      if (v <= 0.04045) return v / 12.92;
      r = rotoi_root((v + 0.055) / 1.055, 5); /* ^2.4 = ^(12/5) */
      return (v + 0.055) / 1.055 * ((v + 0.055) / 1.055) * r * r;
    case ROTO_TRANSFER_REC709: /* ITU-R BT.709-6, item 1.2 */
      if (v < 0.081) return v / 4.5;
      r = rotoi_root((v + 0.099) / 1.099, 9); /* ^(1/0.45) = ^(20/9) */
      return (v + 0.099) / 1.099 * ((v + 0.099) / 1.099) * r * r;
    case ROTO_TRANSFER_LOGC3: /* ARRI, "ALEXA Log C Curve, usage in VFX", 2017: exposure values, EI 800 */
      if (v <= 5.367655 * 0.010591 + 0.092809) return (v - 0.092809) / 5.367655;
      return (rotoi_power_of_ten((v - 0.385537) / 0.247190) - 0.052272) / 5.555556;
    case ROTO_TRANSFER_SLOG3: /* Sony, "Technical Summary for S-Gamut3.Cine/S-Log3" */
      if (v < 171.2102946929 / 1023) return (v * 1023 - 95) * 0.01125 / (171.2102946929 - 95);
      return rotoi_power_of_ten((v * 1023 - 420) / 261.5) * 0.19 - 0.01;
    case ROTO_TRANSFER_CINEON: /* Kennel, "Conversion of 10-bit Log Film Data to 8-bit Linear or Video Data", Kodak 1995 */
      r = rotoi_power_of_ten((95 - 685) * 0.002 / 0.6);
      return (rotoi_power_of_ten((v * 1023 - 685) * 0.002 / 0.6) - r) / (1 - r);
    case ROTO_TRANSFER_LINEAR:
    case ROTO_TRANSFER_RAW:
      break;
  }
  return v;
}

/* What a value becomes; not above 1 only where light is not. */
static double rotoi_curve(roto_transfer from, roto_transfer to, double v) {
  double light = rotoi_light(from, v);
  if (light <= 0) return 0;
  if (to != ROTO_TRANSFER_SRGB) return light;
  if (light <= 0.0031308) return 12.92 * light;
  double r = rotoi_root(light, 12); /* ^(1/2.4) = ^(5/12) */
  return 1.055 * r * r * r * r * r - 0.055;
}

static uint64_t rotoi_fixed(double v) {
  if (!(v > -2147483648.0 && v < 2147483648.0)) return 0;
  return (uint64_t)(int64_t)(v * 4294967296.0);
}

static int rotoi_image_valid(const roto_image *image) {
  if (!image || !image->pixels || (unsigned)image->type > ROTO_PIXEL_F32 || (unsigned)image->transfer > ROTO_TRANSFER_RAW)
    return 0;
  return image->width && image->height && image->width < 0x7fffffffu && image->height < 0x7fffffffu && image->channels >= 1 &&
         image->channels <= 4;
}

/* Fewest samples for a step of (dx, dy) pixels of the frame. */
static uint32_t rotoi_grid(float dx, float dy) {
  double squared = (double)dx * dx + (double)dy * dy;
  uint32_t n = 1;
  while (n < ROTOI_MAX_GRID && (n + 0.0625) * (n + 0.0625) < squared) ++n;
  return n;
}

/* Where the samples are, by the map.  `thin`: half as many each way where there would be more than two, up to two pixels apart;
 * each is bilinear and sees two. */
static void rotoi_sampler_aim(rotoi_sampler *s, const float m[6], int thin) {
  s->nu = rotoi_grid(m[0], m[3]);
  s->nv = rotoi_grid(m[1], m[4]);
  if (thin && s->nu > 2) s->nu = (s->nu + 1) / 2;
  if (thin && s->nv > 2) s->nv = (s->nv + 1) / 2;
  s->weight = 1.0f / (float)(s->nu * s->nv);
  s->ux = rotoi_fixed(m[0]), s->uy = rotoi_fixed(m[3]);
  s->vx = rotoi_fixed(m[1]), s->vy = rotoi_fixed(m[4]);
  s->grid_ux = rotoi_fixed((double)m[0] / s->nu), s->grid_uy = rotoi_fixed((double)m[3] / s->nu);
  s->grid_vx = rotoi_fixed((double)m[1] / s->nv), s->grid_vy = rotoi_fixed((double)m[4] / s->nv);
  /* Centres: half a sample step into the first pixel of the output, half a pixel back to the first centre of the frame. */
  s->x = rotoi_fixed(m[2] - 0.5) + rotoi_fixed((double)m[0] / s->nu / 2) + rotoi_fixed((double)m[1] / s->nv / 2);
  s->y = rotoi_fixed(m[5] - 0.5) + rotoi_fixed((double)m[3] / s->nu / 2) + rotoi_fixed((double)m[4] / s->nv / 2);
}

static void rotoi_sampler_init(rotoi_sampler *s, const roto_image *image, const float m[6], roto_transfer transfer, int thin) {
  static const unsigned char sizes[3] = {1, 2, 4};
  size_t size = sizes[image->type];
  s->pixels = (const unsigned char *)image->pixels;
  s->type = image->type;
  s->pixel_size = size * image->channels;
  s->row_size = image->row_size ? image->row_size : s->pixel_size * image->width;
  s->green = image->channels >= 3 ? size : 0;
  s->blue = 2 * s->green;
  s->right = (int32_t)(image->width - 1);
  s->bottom = (int32_t)(image->height - 1);
  rotoi_sampler_aim(s, m, thin);

  s->curve = image->transfer != transfer && image->transfer != ROTO_TRANSFER_RAW;
  if (s->type == ROTO_PIXEL_U8) {
    for (int i = 0; i < 256; ++i) {
      double v = s->curve ? rotoi_curve(image->transfer, transfer, i / 255.0) : i / 255.0;
      s->table[i] = (float)(v < 1 ? v : 1);
    }
  } else if (s->curve) {
    for (uint32_t i = 0; i < ROTOI_CURVE_SIZE; ++i) {
      uint32_t bits = rotoi_curve_start + (i << 16);
      float v;
      memcpy(&v, &bits, 4);
      s->table[i] = (float)rotoi_curve(image->transfer, transfer, v);
    }
    s->slope = (float)(rotoi_curve(image->transfer, transfer, 1 / 512.0) * 512);
  }
}

/* One channel of one pixel, in 0..1 and in the transfer asked for.  `type` is a constant of the caller. */
rotoi_inline float rotoi_fetch(const rotoi_sampler *s, roto_pixel type, const unsigned char *p) {
  if (type == ROTO_PIXEL_U8) return s->table[*p];
  float v;
  if (type == ROTO_PIXEL_U16) {
    uint16_t t;
    memcpy(&t, p, 2);
    v = (float)t * (1.0f / 65535.0f);
  } else {
    memcpy(&v, p, 4);
    v = v > 0.0f ? v < 1.0f ? v : 1.0f : 0.0f; /* NaN becomes 0 */
  }
  if (!s->curve) return v;
  uint32_t bits;
  memcpy(&bits, &v, 4);
  if (bits < rotoi_curve_start) return v * s->slope;
  const float *knot = s->table + ((bits - rotoi_curve_start) >> 16);
  v = knot[0] + (knot[1] - knot[0]) * ((float)(bits & 0xffffu) * (1.0f / 65536.0f));
  return v < 1.0f ? v : 1.0f;
}

rotoi_inline void rotoi_sample_row_of(const rotoi_sampler *s, roto_pixel type, uint32_t row, uint32_t width, float *out) {
  const int32_t right = s->right, bottom = s->bottom;
  const uint32_t nu = s->nu, nv = s->nv;
  const float weight = s->weight;
  uint64_t x = s->x + row * s->vx, y = s->y + row * s->vy;
  for (uint32_t i = 0; i < width; ++i, x += s->ux, y += s->uy, out += 3) {
    float red = 0, green = 0, blue = 0;
    for (uint32_t v = 0; v < nv; ++v) {
      uint64_t gx = x + v * s->grid_vx, gy = y + v * s->grid_vy;
      for (uint32_t u = 0; u < nu; ++u, gx += s->grid_ux, gy += s->grid_uy) {
        int32_t x0 = (int32_t)(uint32_t)(gx >> 32), y0 = (int32_t)(uint32_t)(gy >> 32);
        x0 = x0 < -1 ? -1 : x0 > right ? right : x0;
        y0 = y0 < -1 ? -1 : y0 > bottom ? bottom : y0;
        int32_t x1 = x0 < right ? x0 + 1 : right, y1 = y0 < bottom ? y0 + 1 : bottom;
        x0 = x0 < 0 ? 0 : x0;
        y0 = y0 < 0 ? 0 : y0;
        float fx = (float)(int32_t)((uint32_t)gx >> 8) * (1.0f / 16777216.0f);
        float fy = (float)(int32_t)((uint32_t)gy >> 8) * (1.0f / 16777216.0f);
        float w11 = fx * fy, w01 = fx - w11, w10 = fy - w11, w00 = 1.0f - fx - w10; /* w[row][column] */
        const unsigned char *r0 = s->pixels + (size_t)y0 * s->row_size, *r1 = s->pixels + (size_t)y1 * s->row_size;
        size_t c0 = (size_t)x0 * s->pixel_size, c1 = (size_t)x1 * s->pixel_size;
        const unsigned char *p00 = r0 + c0, *p01 = r0 + c1, *p10 = r1 + c0, *p11 = r1 + c1;
        red += w00 * rotoi_fetch(s, type, p00) + w01 * rotoi_fetch(s, type, p01) + w10 * rotoi_fetch(s, type, p10) +
               w11 * rotoi_fetch(s, type, p11);
        size_t g = s->green, b = s->blue;
        green += w00 * rotoi_fetch(s, type, p00 + g) + w01 * rotoi_fetch(s, type, p01 + g) +
                 w10 * rotoi_fetch(s, type, p10 + g) + w11 * rotoi_fetch(s, type, p11 + g);
        blue += w00 * rotoi_fetch(s, type, p00 + b) + w01 * rotoi_fetch(s, type, p01 + b) +
                w10 * rotoi_fetch(s, type, p10 + b) + w11 * rotoi_fetch(s, type, p11 + b);
      }
    }
    out[0] = red * weight;
    out[1] = green * weight;
    out[2] = blue * weight;
  }
}

/* One row of the output: width x 3 floats. */
static void rotoi_sample_row(const rotoi_sampler *s, uint32_t row, uint32_t width, float *out) {
  switch (s->type) {
    case ROTO_PIXEL_U8:
      rotoi_sample_row_of(s, ROTO_PIXEL_U8, row, width, out);
      break;
    case ROTO_PIXEL_U16:
      rotoi_sample_row_of(s, ROTO_PIXEL_U16, row, width, out);
      break;
    case ROTO_PIXEL_F32:
      rotoi_sample_row_of(s, ROTO_PIXEL_F32, row, width, out);
      break;
  }
}

ROTO_API void roto_sample(const roto_image *image, const float to_frame[6], roto_transfer transfer, uint32_t width,
                          uint32_t height, float *out) {
  if (!out) return;
  if (!to_frame || !rotoi_image_valid(image)) {
    memset(out, 0, (size_t)width * height * 3 * sizeof *out);
    return;
  }
  rotoi_sampler s;
  rotoi_sampler_init(&s, image, to_frame, transfer, 0);
  for (uint32_t row = 0; row < height; ++row) rotoi_sample_row(&s, row, width, out + (size_t)row * width * 3);
}

ROTO_API void roto_crop_map(roto_rect crop, uint32_t width, uint32_t height, float to_frame[6]) {
  float sx = crop.width / (float)width, sy = crop.height / (float)height, scale = sx > sy ? sx : sy;
  to_frame[0] = to_frame[4] = scale;
  to_frame[1] = to_frame[3] = 0;
  to_frame[2] = crop.x + 0.5f * crop.width - 0.5f * scale * (float)width;
  to_frame[5] = crop.y + 0.5f * crop.height - 0.5f * scale * (float)height;
}

#endif /* ROTOI_IMAGE */
