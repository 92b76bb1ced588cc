/* See canvas.h.  A shape's coverage of a pixel is taken from the signed distance of the pixel's centre to its outline, which
 * is exact enough for marks a few pixels wide. */

#include "canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#endif
#include <stb/stb_easy_font.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

static void blend(canvas *c, int x, int y, unsigned color, float alpha) {
  if (x < 0 || y < 0 || x >= c->width || y >= c->height || !(alpha > 0)) return;
  if (alpha > 1) alpha = 1;
  uint8_t *p = c->pixels + ((size_t)y * (size_t)c->width + (size_t)x) * 3;
  for (int k = 0; k < 3; k++) {
    float v = (float)(color >> (16 - 8 * k) & 255);
    p[k] = (uint8_t)((float)p[k] + (v - (float)p[k]) * alpha + 0.5f);
  }
}

canvas canvas_create(int width, int height, unsigned color) {
  canvas c = {malloc((size_t)width * (size_t)height * 3), width, height};
  if (c.pixels != NULL) canvas_rect(&c, 0, 0, width, height, color, 1);
  return c;
}

/* Pixels whose centre may be within `reach` of the box; clipped to the picture. */
static void clip(const canvas *c, float x0, float y0, float x1, float y1, float reach, int box[4]) {
  box[0] = (int)fmaxf(0, fminf((float)c->width, floorf(fminf(x0, x1) - reach)));
  box[1] = (int)fmaxf(0, fminf((float)c->height, floorf(fminf(y0, y1) - reach)));
  box[2] = (int)fminf((float)c->width, fmaxf(0, ceilf(fmaxf(x0, x1) + reach)));
  box[3] = (int)fminf((float)c->height, fmaxf(0, ceilf(fmaxf(y0, y1) + reach)));
}

void canvas_line(canvas *c, float x0, float y0, float x1, float y1, float width, unsigned color, float alpha) {
  float dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
  int b[4];
  if (!isfinite(x0 + y0 + x1 + y1)) return;
  clip(c, x0, y0, x1, y1, width / 2 + 1, b);
  for (int y = b[1]; y < b[3]; y++)
    for (int x = b[0]; x < b[2]; x++) {
      float px = (float)x + 0.5f - x0, py = (float)y + 0.5f - y0;
      float t = length2 > 0 ? fminf(1, fmaxf(0, (px * dx + py * dy) / length2)) : 0;
      float distance = hypotf(px - t * dx, py - t * dy);
      blend(c, x, y, color, alpha * fminf(1, width / 2 + 0.5f - distance));
    }
}

void canvas_disc(canvas *c, float x, float y, float radius, unsigned color, float alpha) {
  canvas_line(c, x, y, x, y, 2 * radius, color, alpha);
}

void canvas_ring(canvas *c, float x, float y, float radius, float width, unsigned color, float alpha) {
  int b[4];
  if (!isfinite(x + y)) return;
  clip(c, x, y, x, y, radius + width / 2 + 1, b);
  for (int j = b[1]; j < b[3]; j++)
    for (int i = b[0]; i < b[2]; i++) {
      float distance = fabsf(hypotf((float)i + 0.5f - x, (float)j + 0.5f - y) - radius);
      blend(c, i, j, color, alpha * fminf(1, width / 2 + 0.5f - distance));
    }
}

void canvas_rect(canvas *c, int x, int y, int width, int height, unsigned color, float alpha) {
  int right = x + width < c->width ? x + width : c->width, bottom = y + height < c->height ? y + height : c->height;
  for (int j = y > 0 ? y : 0; j < bottom; j++)
    for (int i = x > 0 ? x : 0; i < right; i++) blend(c, i, j, color, alpha);
}

float canvas_text_width(const char *text, float size) {
  return (float)stb_easy_font_width((char *)text) * size;
}

float canvas_text(canvas *c, float x, float y, float size, const char *text, unsigned color) {
  static const int corner = 4; /* floats a vertex: x, y, z, colour */
  float vertices[16 * 4 * 256];
  char line[128];
  size_t length = strlen(text);
  if (length >= sizeof line) length = sizeof line - 1;
  memcpy(line, text, length);
  line[length] = 0;
  int quads = stb_easy_font_print(0, 0, line, NULL, vertices, sizeof vertices);
  for (int q = 0; q < quads; q++) {
    const float *v = vertices + q * 4 * corner, *opposite = v + 2 * corner;
    float left = x + v[0] * size, right = x + opposite[0] * size, top = y + v[1] * size, bottom = y + opposite[1] * size;
    for (int j = (int)floorf(top); j < (int)ceilf(bottom); j++)
      for (int i = (int)floorf(left); i < (int)ceilf(right); i++) {
        float w = fminf((float)i + 1, right) - fmaxf((float)i, left), h = fminf((float)j + 1, bottom) - fmaxf((float)j, top);
        if (w > 0 && h > 0) blend(c, i, j, color, w * h);
      }
  }
  return canvas_text_width(line, size);
}
