/* `roto plot`: a whole shot as one picture: where the points go, how sure the model was, how still they hold. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "doubt.h"
#include "plot.h"

enum { WIDTH = 1400, HEIGHT = 260, PANELS = 5, GREY = 0xb8b8b8, RAW = 0xd1495b, SMOOTH = 0x2d6cdf };

static const unsigned colors[] = {0x2d6cdf, 0x3b8b5a, 0xd1495b, 0xb5872a, 0x7a4fb5, 0x2a9d9d, 0x8a5a44, 0x606060};

typedef struct picture {
  const document *doc;
  doubts d;
  double *frame; /* numbers: the x of every series */
} picture;

static double *column(const picture *p) {
  return (double *)cli_alloc(p->doc->frame_count, sizeof(double));
}

static plot_series series(const picture *p, const char *name, double *y, unsigned color) {
  plot_series s = {name, p->frame, y, p->doc->frame_count, color};
  return s;
}

/* Every point's path along one axis: smoothed in the color of its part, over the one found in grey. */
static plot_series *paths(const picture *p, int axis) {
  size_t n = p->doc->point_count;
  plot_series *all = (plot_series *)cli_alloc(2 * n, sizeof *all);
  for (size_t i = 0; i < n; ++i) {
    double *raw = column(p), *smooth = column(p);
    for (size_t t = 0; t < p->doc->frame_count; ++t) {
      const document_point *point = &p->doc->frames[t].points[i];
      raw[t] = axis ? point->raw_y : point->raw_x;
      smooth[t] = axis ? point->y : point->x;
    }
    size_t part = p->d.part_of[i], first = 0;
    while (p->d.part_of[first] != part) ++first; /* the part's name once in the legend */
    all[i] = series(p, first == i ? p->d.parts[part] : "", smooth, colors[part % (sizeof colors / sizeof *colors)]);
    all[n + i] = series(p, i ? "" : "as found", raw, GREY); /* under the others: the last is drawn first */
  }
  return all;
}

/* A sign of doubt, a line a part. */
static plot_series *signs(const picture *p, doubt_kind kind) {
  plot_series *all = (plot_series *)cli_alloc(p->d.part_count, sizeof *all);
  for (size_t part = 0; part < p->d.part_count; ++part) {
    double *y = column(p);
    for (size_t t = 0; t < p->doc->frame_count; ++t) y[t] = doubts_value(&p->d, t, part, kind);
    all[part] = series(p, p->d.parts[part], y, colors[part % (sizeof colors / sizeof *colors)]);
  }
  return all;
}

static plot_series *jitter(const picture *p) {
  plot_series *all = (plot_series *)cli_alloc(2, sizeof *all);
  for (int k = 0; k < 2; ++k) {
    double *y = column(p);
    for (size_t t = 0; t < p->doc->frame_count; ++t) y[t] = doubts_jitter(p->doc, &p->d, t, p->d.part_count, !k);
    all[k] = series(p, k ? "smoothed" : "as found", y, k ? SMOOTH : RAW);
  }
  return all;
}

int plot_main(int argc, char **argv) {
  const char *output = NULL;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {{"-o", CLI_STRING, &output, "FILE", "the picture to write (PNG)"}};
  const cli_command command = {
      "roto plot",
      "SHOT.roto.json -o FILE.png",
      "Draws a document's points over the shot: paths as found and smoothed, the errors the model expects,\n"
      "how far smoothing moved the points, and how far they leave the picture's own motion.",
      "roto plot sh010.roto.json -o sh010_plot.png",
      options,
      sizeof options / sizeof *options};
  document doc;
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (!output) cli_usage(&command, "expected -o FILE for the picture");
  if (document_read(argv[0], &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  picture p = {&doc, doubts_find(&doc), NULL};
  p.frame = column(&p);
  for (size_t t = 0; t < doc.frame_count; ++t) p.frame[t] = doc.frames[t].number;
  plot_series *lines[PANELS] = {paths(&p, 0), paths(&p, 1), signs(&p, DOUBT_ERROR), signs(&p, DOUBT_AGAINST), jitter(&p)};
  size_t counts[PANELS] = {2 * doc.point_count, 2 * doc.point_count, p.d.part_count, p.d.part_count, 2};
  const plot plots[PANELS] = {
      {"paths, x", "frame", "px", lines[0], counts[0], 0},
      {"paths, y", "frame", "px", lines[1], counts[1], 0},
      {"error the model expects, RMS of the part", "frame", "px", lines[2], counts[2], 0},
      {"how far smoothing moved the points, RMS of the part", "frame", "px", lines[3], counts[3], 0},
      {"jitter: how far the points leave the picture's motion to the next frame, RMS", "frame", "px", lines[4], counts[4], 0},
  };
  if (plot_write(output, plots, PANELS, WIDTH, HEIGHT, message)) cli_fail(EXIT_WRITE, "%s", message);
  printf("%s: %zu frames, %zu points\n", output, doc.frame_count, doc.point_count);
  for (int k = 0; k < PANELS; ++k) {
    for (size_t i = 0; i < counts[k]; ++i) free((double *)lines[k][i].y);
    free(lines[k]);
  }
  free(p.frame);
  doubts_free(&p.d);
  document_free(&doc);
  return EXIT_DONE;
}
