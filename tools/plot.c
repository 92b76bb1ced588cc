/* See plot.h. */

#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "canvas.h"
#include "image_file.h"

enum { LEFT = 70, RIGHT = 20, TOP = 34, BOTTOM = 40 };

typedef struct axis {
  double low, high;
  int log;
} axis;

static double position(const axis *a, double v) {
  return a->log ? (log10(v) - log10(a->low)) / (log10(a->high) - log10(a->low)) : (v - a->low) / (a->high - a->low);
}

static int usable(const plot *p, double y) {
  return isfinite(y) && (!p->log_y || y > 0);
}

static void find_range(const plot *p, axis *x, axis *y) {
  int any = 0;
  for (size_t s = 0; s < p->series_count; s++)
    for (size_t i = 0; i < p->series[s].count; i++) {
      double vx = p->series[s].x[i], vy = p->series[s].y[i];
      if (!usable(p, vy)) continue;
      x->low = any ? fmin(x->low, vx) : vx;
      x->high = any ? fmax(x->high, vx) : vx;
      y->low = any ? fmin(y->low, vy) : vy;
      y->high = any ? fmax(y->high, vy) : vy;
      any = 1;
    }
  y->log = p->log_y && any;
  if (!any) x->low = y->low = 0, x->high = y->high = 1;
  if (x->high <= x->low) x->high = x->low + 1;
  if (y->high <= y->low) y->high = y->low + (y->low != 0 ? fabs(y->low) : 1);
  double room = (y->high - y->low) * 0.05;
  y->high += room;
  if (!y->log) y->low -= room;
}

/* The next round number (1, 2, 5 times a power of ten) not below v. */
static double round_step(double v) {
  double power = pow(10, floor(log10(v)));
  return power * (v / power <= 1 ? 1 : v / power <= 2 ? 2 : v / power <= 5 ? 5 : 10);
}

static void draw_ticks(canvas *c, const axis *a, int vertical, float left, float top, float width, float height) {
  double step = round_step((a->high - a->low) / 6);
  for (double v = ceil(a->low / step) * step; v <= a->high + step * 1e-9; v += step) {
    char text[32];
    if (a->log && v <= 0) continue;
    float at = (float)position(a, v);
    snprintf(text, sizeof text, "%.4g", fabs(v) < step * 1e-6 ? 0.0 : v);
    if (vertical) {
      float y = top + height * (1 - at);
      canvas_line(c, left, y, left + width, y, 1, 0xdddddd, 1);
      canvas_text(c, left - 8 - canvas_text_width(text, 1.3f), y - 5, 1.3f, text, 0x555555);
    } else {
      float x = left + width * at;
      canvas_line(c, x, top + height, x, top + height + 4, 1, 0x888888, 1);
      canvas_text(c, x - canvas_text_width(text, 1.3f) / 2, top + height + 8, 1.3f, text, 0x555555);
    }
  }
}

static void draw_plot(canvas *c, const plot *p, float offset, int plot_height) {
  axis x = {0, 1, 0}, y = {0, 1, 0};
  float left = LEFT, top = offset + TOP, width = (float)(c->width - LEFT - RIGHT), height = (float)(plot_height - TOP - BOTTOM);
  find_range(p, &x, &y);
  draw_ticks(c, &y, 1, left, top, width, height);
  draw_ticks(c, &x, 0, left, top, width, height);
  canvas_line(c, left, top, left, top + height, 1, 0x888888, 1);
  canvas_line(c, left, top + height, left + width, top + height, 1, 0x888888, 1);
  canvas_text(c, left, offset + 10, 1.8f, p->title, 0x222222);
  canvas_text(c, left + width - canvas_text_width(p->x_label, 1.3f), top + height + 24, 1.3f, p->x_label, 0x555555);
  canvas_text(c, 8, top - 14, 1.3f, p->y_label, 0x555555);
  float legend = left + width;
  for (size_t s = p->series_count; s-- > 0;) {
    const plot_series *series = &p->series[s];
    if (*series->name) legend -= canvas_text_width(series->name, 1.3f) + 12;
    canvas_text(c, legend, offset + 14, 1.3f, series->name, series->color);
    float last_x = 0, last_y = 0;
    int drawn = 0;
    for (size_t i = 0; i < series->count; i++) {
      if (!usable(p, series->y[i])) continue;
      float px = left + width * (float)position(&x, series->x[i]);
      float py = top + height * (1 - (float)position(&y, series->y[i]));
      if (drawn)
        canvas_line(c, last_x, last_y, px, py, 1.8f, series->color, 1);
      else
        canvas_disc(c, px, py, 2, series->color, 1);
      drawn = 1;
      last_x = px;
      last_y = py;
    }
  }
}

int plot_write(const char *path, const plot *plots, size_t count, int width, int height, char *message) {
  canvas c = canvas_create(width, height * (int)count, 0xffffff);
  if (c.pixels == NULL)
    return message_set(message, "%s: out of memory for a chart of %d x %d", path, width, height * (int)count);
  for (size_t i = 0; i < count; i++) draw_plot(&c, &plots[i], (float)(height * (int)i), height);
  int status = image_write_png(path, c.pixels, (uint32_t)c.width, (uint32_t)c.height, 3, message);
  free(c.pixels);
  return status;
}
