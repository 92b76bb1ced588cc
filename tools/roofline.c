/* Both axes are logarithmic, so a bandwidth is a line of slope one.  Coordinates are in pixels of the picture, y down. */

#define _POSIX_C_SOURCE 200809L /* open_memstream */

#include "roofline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "whole_file.h"

enum { WIDTH = 960, HEIGHT = 600, LEFT = 76, RIGHT = 24, TOP = 78, BOTTOM = 58, GROUPS = 8, NAMED = 3 };

static const char *const colors[GROUPS] = {"#2563eb", "#ea580c", "#059669", "#9333ea",
                                           "#db2777", "#0891b2", "#65a30d", "#78716c"};

typedef struct chart {
  FILE *out;
  double x0, x1, y0, y1; /* decades */
} chart;

static double px(const chart *c, double intensity) {
  return LEFT + (log10(intensity) - c->x0) / (c->x1 - c->x0) * (WIDTH - LEFT - RIGHT);
}

static double py(const chart *c, double gflops) {
  return HEIGHT - BOTTOM - (log10(gflops) - c->y0) / (c->y1 - c->y0) * (HEIGHT - TOP - BOTTOM);
}

static void put_text(FILE *out, const char *text) {
  for (; *text; ++text) {
    if (*text == '<')
      fputs("&lt;", out);
    else if (*text == '&')
      fputs("&amp;", out);
    else if ((unsigned char)*text >= 32)
      fputc(*text, out);
  }
}

static void put_label(const chart *c, double x, double y, const char *style, const char *text) {
  fprintf(c->out, "<text x=\"%.1f\" y=\"%.1f\" %s>", x, y, style);
  put_text(c->out, text);
  fputs("</text>\n", c->out);
}

/* Lines at 1, 2 and 5 of each decade, numbers at the powers of ten and, between few decades, at all of them. */
static void put_grid(const chart *c) {
  static const double steps[] = {1, 2, 5};
  for (int axis = 0; axis < 2; ++axis) {
    double from = axis ? c->y0 : c->x0, to = axis ? c->y1 : c->x1;
    for (int decade = (int)floor(from); decade <= (int)ceil(to); ++decade) {
      for (int i = 0; i < 3; ++i) {
        double value = steps[i] * pow(10, decade), at = axis ? py(c, value) : px(c, value);
        char number[32];
        if (log10(value) < from - 1e-9 || log10(value) > to + 1e-9) continue;
        const char *color = i ? "#f1f3f5" : "#dde1e6";
        snprintf(number, sizeof number, "%g", value);
        if (axis) {
          fprintf(c->out, "<path d=\"M%d %.1fH%d\" stroke=\"%s\"/>\n", LEFT, at, WIDTH - RIGHT, color);
          put_label(c, LEFT - 8, at + 4, "text-anchor=\"end\" class=\"tick\"", number);
        } else {
          fprintf(c->out, "<path d=\"M%.1f %dV%d\" stroke=\"%s\"/>\n", at, TOP, HEIGHT - BOTTOM, color);
          put_label(c, at, HEIGHT - BOTTOM + 18, "text-anchor=\"middle\" class=\"tick\"", number);
        }
      }
    }
  }
}

/* The line of one bandwidth up to the peak, its name along it. */
static void put_slope(const chart *c, double bandwidth, double peak, double bytes, const char *color) {
  double left = pow(10, c->x0), ridge = peak / bandwidth, x = fmax(left, pow(10, c->y0) / bandwidth);
  if (ridge <= x) return;
  double xa = px(c, x), ya = py(c, x * bandwidth), xb = px(c, ridge), yb = py(c, peak);
  double length = hypot(xb - xa, yb - ya), angle = atan2(yb - ya, xb - xa) * 180 / 3.14159265358979;
  char text[80];
  snprintf(text, sizeof text, bytes < 1048576 ? "%.0f GB/s in %.0f KiB" : "%.0f GB/s in %.0f MiB", bandwidth,
           bytes < 1048576 ? bytes / 1024 : bytes / 1048576);
  fprintf(c->out, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" stroke-width=\"1.5\" fill=\"none\"/>\n", xa, ya, xb, yb,
          color);
  if (length < 140) return;
  fprintf(c->out, "<text transform=\"translate(%.1f %.1f) rotate(%.1f)\" y=\"-5\" x=\"10\" class=\"roof\">%s</text>\n", xa, ya,
          angle, text);
}

static int later(const roofline_point *a, const roofline_point *b) {
  return a->seconds < b->seconds;
}

/* Largest first, so that small ones stay in sight; the largest with names. */
static void put_points(const chart *c, const roofline_point **order, size_t count, const char *const *groups, double total) {
  for (size_t i = 0; i < count; ++i) {
    const roofline_point *p = order[i];
    int group = 0;
    while (strcmp(groups[group], p->group) && group < GROUPS - 1) ++group;
    double x = px(c, p->operations / p->bytes), y = py(c, 1e-9 * p->operations / p->seconds);
    double radius = fmax(2.5, 95 * sqrt(p->seconds / total));
    fprintf(c->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" fill-opacity=\".45\" stroke=\"%s\"><title>", x, y,
            radius, colors[group], colors[group]);
    put_text(c->out, p->name);
    fprintf(c->out, ": %.3f ms</title></circle>\n", 1e3 * p->seconds);
  }
  for (size_t i = 0; i < count && i < NAMED; ++i) {
    const roofline_point *p = order[i];
    double radius = fmax(2.5, 95 * sqrt(p->seconds / total));
    put_label(c, px(c, p->operations / p->bytes), py(c, 1e-9 * p->operations / p->seconds) + radius + 13,
              "text-anchor=\"middle\" class=\"name\"", p->name);
  }
}

static void put_legend(const chart *c, const char *const *groups, const double *seconds, int group_count, double idle,
                       double total) {
  double y = HEIGHT - BOTTOM - 16 - 20.0 * (group_count + (idle > 0) - 1), x = WIDTH - RIGHT - 218;
  char text[160];
  fprintf(c->out, "<rect x=\"%.0f\" y=\"%.0f\" width=\"210\" height=\"%.0f\" rx=\"6\" fill=\"#fff\" fill-opacity=\".88\"/>\n",
          x, y - 20, 20.0 * (group_count + (idle > 0)) + 14);
  for (int i = 0; i < group_count + (idle > 0); ++i, y += 20) {
    const char *name = i < group_count ? groups[i] : "no multiply-adds";
    fprintf(c->out, "<circle cx=\"%.0f\" cy=\"%.0f\" r=\"6\" fill=\"%s\" fill-opacity=\"%s\" stroke=\"%s\"/>\n", x + 16, y - 4,
            i < group_count ? colors[i] : "#fff", ".45", i < group_count ? colors[i] : "#adb5bd");
    put_label(c, x + 30, y, "class=\"key\"", name);
    snprintf(text, sizeof text, "%.0f %%", 100 * (i < group_count ? seconds[i] : idle) / total);
    put_label(c, x + 200, y, "text-anchor=\"end\" class=\"key\"", text);
  }
}

int roofline_write(const char *path, const char *title, const char *subtitle, const peak_machine *machine, peak_kind kind,
                   const roofline_point *points, size_t count, char *message) {
  const char *groups[GROUPS] = {NULL};
  double seconds[GROUPS] = {0}, idle = 0, total = 0, least = 1e30, most = 0, slowest = 1e30;
  double peak = 1e-9 * machine->operations[kind], fastest = peak;
  const roofline_point **order = calloc(count + 1, sizeof *order);
  int group_count = 0;
  size_t placed = 0, size = 0;
  char *text = NULL;
  chart c = {open_memstream(&text, &size), 0, 0, 0, 0};
  if (order == NULL || c.out == NULL) return message_set(message, "%s: out of memory", path);
  for (size_t i = 0; i < count; ++i) {
    const roofline_point *p = points + i;
    int group = 0;
    total += p->seconds;
    if (!(p->operations > 0) || !(p->seconds > 0) || !(p->bytes > 0)) {
      idle += p->seconds;
      continue;
    }
    while (group < group_count && strcmp(groups[group], p->group)) ++group;
    if (group == group_count && group_count < GROUPS) groups[group_count++] = p->group;
    if (group == GROUPS) group = GROUPS - 1;
    seconds[group] += p->seconds;
    least = fmin(least, p->operations / p->bytes);
    most = fmax(most, p->operations / p->bytes);
    slowest = fmin(slowest, 1e-9 * p->operations / p->seconds);
    fastest = fmax(fastest, 1e-9 * p->operations / p->seconds);
    size_t place = placed++;
    for (; place > 0 && later(order[place - 1], p); --place) order[place] = order[place - 1];
    order[place] = p;
  }
  if (!placed) {
    fclose(c.out);
    free(text);
    free(order);
    return message_set(message, "%s: a roofline needs steps that multiply, found none", path);
  }
  c.x0 = floor(2 * log10(least / 1.3)) / 2;
  c.x1 = fmax(ceil(2 * log10(most * 1.3)) / 2, c.x0 + 1);
  c.y0 = floor(2 * log10(slowest / 1.3)) / 2;
  c.y1 = fmax(log10(fastest * 1.5), c.y0 + 1);

  fprintf(c.out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"Helvetica,Arial,sans-serif\">\n"
          "<style>.tick{font-size:12px;fill:#495057}.key{font-size:13px;fill:#212529}.roof{font-size:12px;fill:#495057}"
          ".axis{font-size:13px;fill:#212529}.name{font-size:12px;fill:#212529;stroke:#fff;stroke-width:3px;paint-order:stroke}"
          "</style>\n"
          "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
          WIDTH, HEIGHT, WIDTH, HEIGHT);
  put_label(&c, LEFT, 32, "font-size=\"20\" font-weight=\"bold\" fill=\"#212529\"", title);
  put_label(&c, LEFT, 54, "font-size=\"14\" fill=\"#495057\"", subtitle);
  put_grid(&c);
  put_label(&c, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14, "text-anchor=\"middle\" class=\"axis\"",
            "operations a byte moved (weights and values once)");
  fprintf(c.out, "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\" class=\"axis\">%s</text>\n",
          (TOP + HEIGHT - BOTTOM) / 2, "billion operations a second");
  if (peak > 0) {
    char roof[64];
    snprintf(roof, sizeof roof, "%.0f %s/s peak", peak, kind == PEAK_INT8 ? "GOP" : "GFLOP");
    fprintf(c.out, "<path d=\"M%.1f %.1fH%d\" stroke=\"#212529\" stroke-width=\"1.5\"/>\n",
            fmax(LEFT, px(&c, peak * 1e9 / machine->bandwidth[0])), py(&c, peak), WIDTH - RIGHT);
    put_label(&c, WIDTH - RIGHT - 4, py(&c, peak) - 6, "text-anchor=\"end\" class=\"roof\"", roof);
    static const char *const slopes[] = {"#212529", "#868e96", "#adb5bd"};
    for (int i = 0; i < 3; ++i) {
      int s = i * (PEAK_SIZES - 1) / 2;
      put_slope(&c, 1e-9 * machine->bandwidth[s], peak, machine->bytes[s], slopes[i]);
    }
  }
  put_points(&c, order, placed, groups, total);
  put_legend(&c, groups, seconds, group_count, idle, total);
  fputs("</svg>\n", c.out);
  int status = ferror(c.out);
  status |= fclose(c.out);
  status = status ? message_set(message, "%s: out of memory", path) : file_write(path, text, size, message);
  free(text);
  free(order);
  return status;
}
