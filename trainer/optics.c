/* See optics.h. */

#include "optics.h"

#include <math.h>
#include <string.h>

enum { RUN = 64 }; /* pixels of one run */

/* v + a * (left - 2 v + right) for a whole run, which compilers turn into vectors because its length is known. */
static void blur_run(float a, const float *left, const float *here, const float *right, float *out) {
  int i;
  for (i = 0; i < RUN * 3; ++i) out[i] = here[i] + a * (left[i] - 2 * here[i] + right[i]);
}

/* Blur a row of w pixels, edges repeated. */
static void blur_row(float a, uint32_t w, float *row) {
  float old[(RUN + 2) * 3] = {0}, result[RUN * 3];
  const size_t pixel = 3 * sizeof *row;
  uint32_t x, n;
  memcpy(old, row, pixel);
  for (x = 0; x < w; x += n, row += n * 3) {
    n = w - x < RUN ? w - x : RUN;
    memcpy(old + 3, row, n * pixel);
    memcpy(old + 3 + n * 3, x + n < w ? row + n * 3 : row + n * 3 - 3, pixel);
    blur_run(a, old, old + 3, old + 6, result);
    memcpy(old, old + n * 3, pixel);
    memcpy(row, result, n * pixel);
  }
}

/* Blur a strip of n floats across, h rows down. */
static void blur_columns(float a, size_t pitch, uint32_t h, uint32_t n, float *top) {
  float rows[3][RUN * 3] = {{0}}, result[RUN * 3];
  float *above = rows[0], *here = rows[1], *below = rows[2], *spare;
  uint32_t y;
  memcpy(above, top, n * sizeof *top);
  memcpy(here, top, n * sizeof *top);
  for (y = 0; y < h; ++y) {
    float *row = top + y * pitch;
    memcpy(below, y + 1 < h ? row + pitch : row, n * sizeof *row);
    blur_run(a, above, here, below, result);
    memcpy(row, result, n * sizeof *row);
    spare = above;
    above = here;
    here = below;
    below = spare;
  }
}

/* Repeated three-tap kernels: a pass with weight a <= 1/4 at the sides adds 2a to the variance.  In place, and two passes are
 * within 1 % of a Gaussian of their variance. */
void optics_blur(float sigma, uint32_t w, uint32_t h, float *rgb) {
  float variance = sigma * sigma;
  if (!(variance > 1e-3f)) return;
  uint32_t passes = (uint32_t)ceilf(variance / 0.5f);
  float a = 0.5f * variance / (float)passes;
  for (uint32_t p = 0; p < passes; p++) {
    for (uint32_t y = 0; y < h; y++) blur_row(a, w, rgb + (size_t)y * w * 3);
    for (uint32_t x = 0; x < w * 3; x += RUN * 3)
      blur_columns(a, (size_t)w * 3, h, w * 3 - x < RUN * 3 ? w * 3 - x : RUN * 3, rgb + x);
  }
}

static int clamp_index(int i, int n) {
  return i < 0 ? 0 : i < n ? i : n - 1;
}

void optics_motion(float length, float direction, uint32_t w, uint32_t h, float *rgb, float *scratch) {
  int taps = (int)ceilf(length) + 1;
  if (!(length > 0.3f)) return;
  memcpy(scratch, rgb, (size_t)w * h * 3 * sizeof *rgb);
  memset(rgb, 0, (size_t)w * h * 3 * sizeof *rgb);
  for (int tap = 0; tap < taps; tap++) {
    float t = ((float)tap / (float)(taps - 1) - 0.5f) * length, dx = t * cosf(direction), dy = t * sinf(direction);
    int ix = (int)floorf(dx), iy = (int)floorf(dy);
    float u = dx - (float)ix, v = dy - (float)iy, k = 1 / (float)taps;
    float weight[4] = {k * (1 - u) * (1 - v), k * u * (1 - v), k * (1 - u) * v, k * u * v};
    for (int y = 0; y < (int)h; y++) {
      const float *top = scratch + (size_t)clamp_index(y + iy, (int)h) * w * 3;
      const float *low = scratch + (size_t)clamp_index(y + iy + 1, (int)h) * w * 3;
      float *to = rgb + (size_t)y * w * 3;
      for (int x = 0; x < (int)w; x++) {
        size_t a = (size_t)clamp_index(x + ix, (int)w) * 3, b = (size_t)clamp_index(x + ix + 1, (int)w) * 3;
        for (size_t c = 0; c < 3; c++)
          to[3 * (size_t)x + c] +=
              weight[0] * top[a + c] + weight[1] * top[b + c] + weight[2] * low[a + c] + weight[3] * low[b + c];
      }
    }
  }
}

/* ---- codec ---- */

/* The orthonormal cosine transform of 8 values (row k: frequency k), by the definition of DCT-II. */
static void make_transform(float t[8][8]) {
  for (int k = 0; k < 8; k++)
    for (int i = 0; i < 8; i++)
      t[k][i] = (float)((k == 0 ? sqrt(0.125) : 0.5) * cos((2 * i + 1) * k * 3.14159265358979323846 / 16));
}

/* out = t in t^T, or t^T in t with `back`. */
static void transform(const float t[8][8], int back, const float in[8][8], float out[8][8]) {
  float half[8][8] = {{0}};
  memset(out, 0, 64 * sizeof(float));
  for (int i = 0; i < 8; i++)
    for (int k = 0; k < 8; k++) {
      float f = back ? t[k][i] : t[i][k];
      for (int j = 0; j < 8; j++) half[i][j] += f * in[k][j];
    }
  for (int i = 0; i < 8; i++)
    for (int k = 0; k < 8; k++)
      for (int j = 0; j < 8; j++) out[i][j] += half[i][k] * (back ? t[k][j] : t[j][k]);
}

static void damage_block(const float t[8][8], const float step[8][8], float scale, float block[8][8]) {
  float waves[8][8];
  transform(t, 0, (const float(*)[8])block, waves);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) waves[i][j] = roundf(waves[i][j] / (scale * step[i][j])) * scale * step[i][j];
  transform(t, 1, (const float(*)[8])waves, block);
}

void optics_codec(float strength, uint32_t w, uint32_t h, float *rgb) {
  float t[8][8], step[8][8];
  make_transform(t);
  for (int i = 0; i < 8; i++)
    for (int j = 0; j < 8; j++) step[i][j] = strength * (1 + 0.6f * (float)(i + j)) / 255;
  for (uint32_t y = 0; y < h; y += 8) {
    for (uint32_t x = 0; x < w; x += 8) {
      float block[3][8][8]; /* brightness, blue less it, red less it */
      for (uint32_t j = 0; j < 8; j++)
        for (uint32_t i = 0; i < 8; i++) {
          const float *p = rgb + ((size_t)(y + j < h ? y + j : h - 1) * w + (x + i < w ? x + i : w - 1)) * 3;
          float luma = 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2];
          block[0][j][i] = luma, block[1][j][i] = p[2] - luma, block[2][j][i] = p[0] - luma;
        }
      for (int c = 0; c < 3; c++) damage_block((const float(*)[8])t, (const float(*)[8])step, c ? 2 : 1, block[c]);
      for (uint32_t j = 0; j < 8 && y + j < h; j++)
        for (uint32_t i = 0; i < 8 && x + i < w; i++) {
          float *p = rgb + ((size_t)(y + j) * w + x + i) * 3, luma = block[0][j][i];
          float blue = luma + block[1][j][i], red = luma + block[2][j][i];
          float three[3] = {red, (luma - 0.299f * red - 0.114f * blue) / 0.587f, blue};
          for (int k = 0; k < 3; k++) p[k] = three[k] < 0 ? 0 : three[k] > 1 ? 1 : three[k];
        }
    }
  }
}
