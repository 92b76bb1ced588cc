/* See augment_sheet.h.  A row of the sheet is one frame: as it is, then augmented with different seeds. */

#include "augment_sheet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tools/canvas.h"
#include "../tools/cli.h"
#include "../tools/image_file.h"
#include "augment.h"
#include "shot_folder.h"

enum { GAP = 4 };

/* The sample's own shapes: control points mapped like landmarks, drawn as chords. */
static void draw_shapes(canvas *c, const frame *f, const warp *map, int x0, int y0) {
  for (uint32_t s = 0; s < f->shape_count; s++) {
    for (uint32_t k = 0; k < f->shapes[s].segment_count; k++) {
      const segment *g = &f->shapes[s].segments[k];
      const double x[4] = {(double)g->x[0], (double)(g->x[0] + g->x[1]), (double)(g->x[2] + g->x[3]), (double)g->x[2]};
      const double y[4] = {(double)g->y[0], (double)(g->y[0] + g->y[1]), (double)(g->y[2] + g->y[3]), (double)g->y[2]};
      const roto_cubic curve = {{x[0], x[1], x[2], x[3]}, {y[0], y[1], y[2], y[3]}};
      float last[2] = {0, 0};
      for (int i = 0; i <= 12; i++) {
        double p[2];
        float q[2];
        roto_cubic_at(&curve, i / 12.0, p);
        warp_from_frame(map, (float)p[0], (float)p[1], q);
        if (i > 0)
          canvas_line(c, (float)x0 + last[0], (float)y0 + last[1], (float)x0 + q[0], (float)y0 + q[1], 1, 0x40c0ff, 0.8f);
        memcpy(last, q, sizeof last);
      }
    }
  }
}

static void draw_sample(canvas *c, const frame *f, const character *ch, const augment_options *o, uint64_t seed, int size,
                        int x0, int y0) {
  static const float mean[3] = {0, 0, 0}, scale[3] = {1, 1, 1};
  size_t side = (size_t)size;
  float *input = cli_alloc(side * side * 4, sizeof *input), *points = cli_alloc(ch->landmark_count * 2, sizeof *points);
  float *weight = cli_alloc(ch->landmark_count, sizeof *weight);
  warp map;
  int flipped;
  augment_sample(f, ch, o, seed, (uint32_t)size, (uint32_t)size, mean, scale, input, points, weight);
  augment_geometry(f, o, seed, (uint32_t)size, (uint32_t)size, &map, &flipped);
  for (size_t i = 0; i < side * side; i++) {
    uint8_t *to = c->pixels + (((size_t)y0 + i / side) * (size_t)c->width + (size_t)x0 + i % side) * 3;
    for (size_t k = 0; k < 3; k++) to[k] = (uint8_t)(input[4 * i + k] * 255 + 0.5f);
  }
  draw_shapes(c, f, &map, x0, y0);
  for (uint32_t i = 0; i < ch->landmark_count; i++) {
    float x = points[2 * i] * (float)size, y = points[2 * i + 1] * (float)size;
    if (x >= 0 && y >= 0 && x < (float)size && y < (float)size)
      canvas_disc(c, (float)x0 + x, (float)y0 + y, 1.6f, weight[i] > 0 ? 0x30ff60 : 0xff4060, 1);
  }
  free(input);
  free(points);
  free(weight);
}

/* Samples a second on one core. */
static double speed(const dataset *ds, const character *ch, const augment_options *o, int size) {
  static const float mean[3] = {0, 0, 0}, scale[3] = {1, 1, 1};
  float *input = cli_alloc((size_t)size * (size_t)size * 4, sizeof *input);
  float *points = cli_alloc(ch->landmark_count * 3, sizeof *points);
  size_t count = 0;
  clock_t start = clock(), now = start;
  for (; now - start < CLOCKS_PER_SEC; count++, now = clock())
    augment_sample(&ds->frames[count * 7919 % ds->frame_count], ch, o, rng_seed(7, 0, count), (uint32_t)size, (uint32_t)size,
                   mean, scale, input, points, points + 2 * ch->landmark_count);
  free(input);
  free(points);
  return (double)count * CLOCKS_PER_SEC / (double)(now - start);
}

int augment_main(int argc, char **argv) {
  augment_options o;
  const char *sheet = NULL, *character_path = NULL, *folder = NULL;
  char message[MESSAGE_SIZE];
  int size = 160, rows = 6, columns = 8, seed = 1;
  augment_default(&o);
  const cli_option options[] = {
      {"--sheet", CLI_STRING, &sheet, "FILE", "contact sheet to draw, PNG or JPEG: a frame a row, as it is and augmented"},
      {"--character", CLI_STRING, &character_path, "FILE", "template (default: DATA/character.json)"},
      {"--backgrounds", CLI_STRING, &folder, "DIR", "augmentation: pictures for backgrounds and occluders"},
      {"--size", CLI_INTEGER, &size, "N", "side of a sample in pixels (default 160)"},
      {"--rows", CLI_INTEGER, &rows, "N", "frames (default 6)"},
      {"--columns", CLI_INTEGER, &columns, "N", "samples of each (default 8)"},
      {"--seed", CLI_INTEGER, &seed, "N", "of all that is random (default 1)"},
      AUGMENT_CLI(&o),
  };
  const cli_command command = {"roto-train augment",
                               "DATA --sheet FILE",
                               "Draw training samples as the network will see them, landmarks green (red: not counted), shapes "
                               "blue; print how many a core makes in a second.",
                               "roto-train augment shots --warp 0.5 --background 0.5 --sheet samples.png",
                               options,
                               sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one folder of shots");
  if (sheet == NULL) cli_usage(&command, "--sheet FILE is missing");
  if (size < 8 || size > 1024 || rows < 1 || columns < 1 || rows > 100 || columns > 100)
    cli_usage(&command, "--size must be 8 to 1024, --rows and --columns 1 to 100");
  if (!(o.margin >= 1)) cli_usage(&command, "--margin must be at least 1");

  character ch;
  dataset ds;
  backgrounds backdrops = {0};
  shots_character(character_path, argv[0], &ch);
  if (dataset_load(argv[0], &ch, &ds, message) != 0 || dataset_cache(&ds, NULL, NULL, message) != 0 ||
      (folder != NULL && backgrounds_load(folder, &backdrops, message) != 0))
    cli_fail(EXIT_INPUT, "%s", message);
  o.backdrops = &backdrops;

  augment_options none = {0};
  none.margin = o.margin;
  canvas c = canvas_create((columns + 1) * (size + GAP) + GAP, rows * (size + GAP) + GAP, 0x202020);
  if (c.pixels == NULL) cli_fail(EXIT_FAILED, "%s: out of memory", sheet);
  for (int y = 0; y < rows; y++)
    for (int x = 0; x <= columns; x++)
      draw_sample(&c, &ds.frames[(size_t)y * ds.frame_count / (size_t)rows], &ch, x == 0 ? &none : &o,
                  rng_seed((uint64_t)seed, (uint64_t)y, (uint64_t)x), size, GAP + x * (size + GAP), GAP + y * (size + GAP));
  if (image_write(sheet, c.pixels, (uint32_t)c.width, (uint32_t)c.height, 3, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  printf("wrote %s; one core makes %.0f samples of %dx%d a second\n", sheet, speed(&ds, &ch, &o, size), size, size);
  free(c.pixels);
  dataset_free(&ds);
  backgrounds_free(&backdrops);
  character_free(&ch);
  return EXIT_DONE;
}
