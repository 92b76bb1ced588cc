/* See warp.h.  A row's waves are walked by rotation: one multiplication of complex numbers a pixel instead of a sine. */

#include "warp.h"

#include <math.h>
#include <string.h>

/* Displaced pixel to pixel of the frame: perspective and affine map. */
static void project(const warp *w, float x, float y, float out[2]) {
  float u = x - 0.5f * w->width, v = y - 0.5f * w->height;
  float depth = 1 + (w->perspective[0] * u + w->perspective[1] * v) / w->side;
  const float *m = w->to_frame;
  if (depth < 0.05f) depth = 0.05f;
  u = u / depth + 0.5f * w->width, v = v / depth + 0.5f * w->height;
  out[0] = m[0] * u + m[1] * v + m[2];
  out[1] = m[3] * u + m[4] * v + m[5];
}

static void displacement(const warp *w, float x, float y, float d[2]) {
  d[0] = d[1] = 0;
  for (int i = 0; i < w->wave_count; i++) {
    float s = sinf(w->wave[i][0] * x + w->wave[i][1] * y + w->wave[i][2]);
    d[0] += s * w->push[i][0];
    d[1] += s * w->push[i][1];
  }
}

void warp_to_frame(const warp *w, float x, float y, float out[2]) {
  float d[2];
  displacement(w, x, y, d);
  project(w, x + d[0], y + d[1], out);
}

void warp_from_frame(const warp *w, float x, float y, float out[2]) {
  const float *m = w->to_frame;
  double determinant = (double)m[0] * (double)m[4] - (double)m[1] * (double)m[3];
  double a = (double)x - (double)m[2], b = (double)y - (double)m[5];
  double u = ((double)m[4] * a - (double)m[1] * b) / determinant - 0.5 * (double)w->width;
  double v = ((double)m[0] * b - (double)m[3] * a) / determinant - 0.5 * (double)w->height;
  double rest = 1 - ((double)w->perspective[0] * u + (double)w->perspective[1] * v) / (double)w->side;
  if (rest < 0.05) rest = 0.05;
  double px = u / rest + 0.5 * (double)w->width, py = v / rest + 0.5 * (double)w->height, qx = px, qy = py;
  /* q + displacement(q) = p.  The displacement's slope is well below 1, so the iteration contracts. */
  for (int i = 0; i < 40 && w->wave_count > 0; i++) {
    float d[2];
    displacement(w, (float)qx, (float)qy, d);
    double nx = px - (double)d[0], ny = py - (double)d[1], step = fabs(nx - qx) + fabs(ny - qy);
    qx = nx, qy = ny;
    if (step < 1e-4) break;
  }
  out[0] = (float)qx, out[1] = (float)qy;
}

typedef struct picture {
  const uint8_t *pixels;
  int width, height, channels;
  float left, top;
} picture;

/* Add the picture's colour at a point of the frame: sum of colour (times alpha), and of alpha. */
static inline void add_sample(const picture *p, float x, float y, float sum[4]) {
  x -= p->left + 0.5f, y -= p->top + 0.5f;
  x = x > 0 ? x : 0, y = y > 0 ? y : 0;
  x = x < (float)(p->width - 1) ? x : (float)(p->width - 1), y = y < (float)(p->height - 1) ? y : (float)(p->height - 1);
  int x0 = (int)x, y0 = (int)y, x1 = x0 + 1 < p->width ? x0 + 1 : x0, y1 = y0 + 1 < p->height ? y0 + 1 : y0;
  float fx = x - (float)x0, fy = y - (float)y0;
  const size_t row = (size_t)p->width * (size_t)p->channels;
  const uint8_t *top = p->pixels + (size_t)y0 * row, *low = p->pixels + (size_t)y1 * row;
  const uint8_t *a = top + x0 * p->channels, *b = top + x1 * p->channels, *c = low + x0 * p->channels,
                *d = low + x1 * p->channels;
  float wd = fx * fy, wb = fx - wd, wc = fy - wd, wa = 1 - fx - wc;
  if (p->channels == 4) {
    wa *= (float)a[3] * (1.0f / 255), wb *= (float)b[3] * (1.0f / 255);
    wc *= (float)c[3] * (1.0f / 255), wd *= (float)d[3] * (1.0f / 255);
  }
  /* written out: loops over four and three cost an eighth of all the making of a sample */
  sum[0] += wa * (float)a[0] + wb * (float)b[0] + wc * (float)c[0] + wd * (float)d[0];
  sum[1] += wa * (float)a[1] + wb * (float)b[1] + wc * (float)c[1] + wd * (float)d[1];
  sum[2] += wa * (float)a[2] + wb * (float)b[2] + wc * (float)c[2] + wd * (float)d[2];
  sum[3] += wa + wb + wc + wd;
}

void warp_draw(const warp *w, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, float left, float top,
               float *out, float *alpha) {
  const picture p = {pixels, (int)width, (int)height, (int)channels, left, top};
  const float *m = w->to_frame;
  float stretch = sqrtf(fmaxf(m[0] * m[0] + m[3] * m[3], m[1] * m[1] + m[4] * m[4]));
  int n = stretch >= 10 ? 8 : (int)ceilf(0.75f * stretch), columns = (int)w->width, rows = (int)w->height;
  for (int y = 0; y < rows; y++) {
    float turn[WARP_WAVES][2], step[WARP_WAVES][2]; /* cosine, sine of the phase; of a pixel's change of it */
    for (int i = 0; i < w->wave_count; i++) {
      float phase = w->wave[i][0] * 0.5f + w->wave[i][1] * ((float)y + 0.5f) + w->wave[i][2];
      turn[i][0] = cosf(phase), turn[i][1] = sinf(phase);
      step[i][0] = cosf(w->wave[i][0]), step[i][1] = sinf(w->wave[i][0]);
    }
    for (int x = 0; x < columns; x++, out += 3) {
      float qx = (float)x + 0.5f, qy = (float)y + 0.5f, here[2], right[2], down[2], sum[4] = {0, 0, 0, 0};
      for (int i = 0; i < w->wave_count; i++) {
        float c = turn[i][0], s = turn[i][1];
        qx += s * w->push[i][0], qy += s * w->push[i][1];
        turn[i][0] = c * step[i][0] - s * step[i][1];
        turn[i][1] = s * step[i][0] + c * step[i][1];
      }
      project(w, qx, qy, here);
      if (n == 1) {
        add_sample(&p, here[0], here[1], sum);
      } else { /* within a pixel the map is as good as affine */
        project(w, qx + 1, qy, right), project(w, qx, qy + 1, down);
        for (int j = 0; j < n; j++) {
          for (int i = 0; i < n; i++) {
            float a = ((float)i + 0.5f) / (float)n - 0.5f, b = ((float)j + 0.5f) / (float)n - 0.5f;
            add_sample(&p, here[0] + a * (right[0] - here[0]) + b * (down[0] - here[0]),
                       here[1] + a * (right[1] - here[1]) + b * (down[1] - here[1]), sum);
          }
        }
      }
      float norm = sum[3] > 0 ? 1.0f / (255 * sum[3]) : 0;
      for (int k = 0; k < 3; k++) out[k] = sum[k] * norm;
      if (alpha != NULL) *alpha++ = sum[3] / (float)(n * n);
    }
  }
}
