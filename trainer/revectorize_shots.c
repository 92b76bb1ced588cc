/* `roto-train revectorize`: revectorize.h over a folder of shots, frame by frame, with a sheet to look at.  Ends with EXIT_INPUT if a
 * frame was refused, though the good frames are there. */

#include "dataset_tools.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../roto.h"
#include "../tools/canvas.h"
#include "../tools/cli.h"
#include "../tools/json_file.h"
#include "revectorize.h"
#include "shot_folder.h"

#define OPTIONS(list) list, sizeof list / sizeof *list

typedef struct revec_result {
  revec_fit *fits;
  char *lacks; /* lines */
  char message[MESSAGE_SIZE];
  int failed;
} revec_result;

typedef struct revec_job {
  const character *ch;
  const revec_rules *rules;
  dataset *ds;
  revec_result *results;
} revec_job;

static void note_lack(void *user, const char *text) {
  revec_result *r = user;
  char *old = r->lacks;
  r->lacks = cli_format("%s%s\n", old ? old : "", text);
  free(old);
}

static void revec_task(void *context, size_t index) {
  revec_job *job = context;
  revec_result *r = &job->results[index];
  r->fits = cli_alloc(job->ch->shape_count, sizeof *r->fits);
  r->failed = revectorize_frame(job->ch, job->rules, &job->ds->frames[index], note_lack, r, r->fits, r->message) != 0;
}

enum { SHEET_FRAMES = 24, SHEET_COLUMNS = 6, TILE = 320 };

typedef struct tile {
  canvas *sheet;
  int x, y;
  double left, top, scale;
} tile;

static void draw_shape(const tile *t, const frame_shape *shape, unsigned color, int vertices) {
  uint32_t k;
  int i;
  for (k = 0; k < shape->segment_count; ++k) {
    const segment *g = &shape->segments[k];
    roto_cubic c;
    double a[2], b[2];
    c.x[0] = (double)g->x[0], c.x[1] = c.x[0] + (double)g->x[1], c.x[3] = (double)g->x[2], c.x[2] = c.x[3] + (double)g->x[3];
    c.y[0] = (double)g->y[0], c.y[1] = c.y[0] + (double)g->y[1], c.y[3] = (double)g->y[2], c.y[2] = c.y[3] + (double)g->y[3];
    roto_cubic_at(&c, 0, a);
    for (i = 1; i <= 12; ++i, a[0] = b[0], a[1] = b[1]) {
      roto_cubic_at(&c, i / 12.0, b);
      canvas_line(t->sheet, (float)(t->x + (a[0] - t->left) * t->scale), (float)(t->y + (a[1] - t->top) * t->scale),
                  (float)(t->x + (b[0] - t->left) * t->scale), (float)(t->y + (b[1] - t->top) * t->scale), 1, color, 0.9f);
    }
    if (vertices)
      canvas_rect(t->sheet, (int)(t->x + (c.x[0] - t->left) * t->scale) - 1, (int)(t->y + (c.y[0] - t->top) * t->scale) - 1, 3,
                  3, color, 1);
  }
}

/* Raw shapes cyan with their vertices, canonical ones red, landmarks green with their numbers. */
static int draw_tile(canvas *sheet, size_t index, const dataset *ds, const frame *f, uint32_t landmarks, char *message) {
  double box[4] = {INFINITY, INFINITY, -INFINITY, -INFINITY}, side;
  tile t = {sheet, (int)(index % SHEET_COLUMNS) * TILE, (int)(index / SHEET_COLUMNS) * TILE, 0, 0, 1};
  char *label = cli_format("%s %03u", ds->shots[f->shot], f->number);
  uint32_t i;
  int x, y;
  frame_extent(f, landmarks, box);
  side = fmax(fmax(box[2] - box[0], box[3] - box[1]), 1) * 1.15;
  t.left = 0.5 * (box[0] + box[2] - side);
  t.top = 0.5 * (box[1] + box[3] - side);
  t.scale = TILE / side;
  if (f->image_path) {
    image_file image;
    uint32_t channels;
    uint8_t *pixels;
    roto_rect rect = {(float)t.left, (float)t.top, (float)side, (float)side};
    float m[6];
    if (image_read(f->image_path, &image, message)) {
      free(label);
      return -1;
    }
    roto_crop_map(rect, TILE, TILE, m);
    pixels = crop_pixels(&image, m, TILE, TILE, &channels);
    for (y = 0; y < TILE; ++y) {
      for (x = 0; x < TILE; ++x)
        memcpy(sheet->pixels + 3 * ((size_t)(t.y + y) * (size_t)sheet->width + (size_t)(t.x + x)),
               pixels + channels * (size_t)(y * TILE + x), 3);
    }
    image_free(&image);
    free(pixels);
  }
  for (i = 0; i < f->raw_count; ++i) draw_shape(&t, &f->raw[i], 0x00d0ff, 1);
  for (i = 0; i < f->shape_count; ++i) draw_shape(&t, &f->shapes[i], 0xff2020, 0);
  for (i = 0; i < landmarks; ++i) {
    float px = (float)(t.x + ((double)f->points[2 * i] - t.left) * t.scale),
          py = (float)(t.y + ((double)f->points[2 * i + 1] - t.top) * t.scale);
    char number[16];
    if (!f->valid[i]) continue;
    snprintf(number, sizeof number, "%u", i);
    canvas_disc(sheet, px, py, 1.5f, 0x20ff20, 1);
    canvas_text(sheet, px + 3, py - 8, 1, number, 0x20ff20);
  }
  canvas_text(sheet, (float)t.x + 4, (float)t.y + 4, 2, label, f->image_path ? 0xffffff : 0x000000);
  free(label);
  return 0;
}

static void write_sheet(const char *path, const revec_job *job) {
  char message[MESSAGE_SIZE];
  size_t total = job->ds->frame_count, tiles = total < SHEET_FRAMES ? total : SHEET_FRAMES, i;
  int columns = tiles < SHEET_COLUMNS ? (int)tiles : SHEET_COLUMNS, rows = ((int)tiles + SHEET_COLUMNS - 1) / SHEET_COLUMNS;
  canvas sheet = canvas_create(columns * TILE, rows * TILE, 0xffffff);
  if (!sheet.pixels) cli_fail(EXIT_FAILED, "%s: out of memory", path);
  for (i = 0; i < tiles; ++i) {
    size_t k = i * total / tiles;
    if (job->results[k].failed) continue;
    if (draw_tile(&sheet, i, job->ds, &job->ds->frames[k], job->ch->landmark_count, message))
      cli_fail(EXIT_INPUT, "%s", message);
  }
  if (image_write(path, sheet.pixels, (uint32_t)sheet.width, (uint32_t)sheet.height, 3, message))
    cli_fail(EXIT_WRITE, "%s", message);
  free(sheet.pixels);
}

int revectorize_main(int argc, char **argv) {
  const char *template_path = NULL, *output = NULL, *sheet = NULL;
  int json = 0, failed;
  const cli_option options[] = {
      {"-o", CLI_STRING, &output, "OUT", "folder to write: canonical shapes, landmarks, raw shapes and pictures"},
      {"--character", CLI_STRING, &template_path, "FILE", "template with the rules (default: DIR/character.json)"},
      {"--sheet", CLI_STRING, &sheet, "FILE", "draw up to 24 frames: raw shapes cyan, canonical red, landmarks green"},
      {"--json", CLI_FLAG, &json, NULL, "print one JSON object"},
  };
  const cli_command command = {
      "roto-train revectorize", "DIR -o OUT",
      "Turn shapes as artists drew them (raw_shapes-*.json: any vertices, start, direction) into landmarks and "
      "shapes on the template's vertices, by the rules in the template.",
      "roto-train revectorize shots --character puppet27.json -o revec --sheet revec.png", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv);
  char message[MESSAGE_SIZE];
  character ch;
  revec_rules rules;
  dataset ds;
  revec_job job;
  size_t i, written = 0;
  uint32_t s;
  cJSON *root = cJSON_CreateObject(), *list, *item;
  if (count != 1) cli_usage(&command, "expected one folder of shots, found %d", count);
  if (!output) cli_usage(&command, "-o OUT is missing");
  shots_character(template_path, argv[0], &ch);
  if (revec_rules_read(&ch, &rules, message)) cli_fail(EXIT_INPUT, "%s", message);
  failed = dataset_load_raw(argv[0], &ch, &ds, message);
  for (i = 0; i < ds.issue_count; ++i) cli_error("%s: %s", ds.issues[i].path, ds.issues[i].reason);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  failed = ds.issue_count > 0;
  shots_start(output, argv[0], &ch);
  job.ch = &ch;
  job.rules = &rules;
  job.ds = &ds;
  job.results = cli_alloc(ds.frame_count, sizeof *job.results);
  shots_parallel(NULL, ds.frame_count, revec_task, &job);
  list = cJSON_AddArrayToObject(root, "issues");
  for (i = 0; i < ds.frame_count; ++i) {
    const frame *f = &ds.frames[i];
    revec_result *r = &job.results[i];
    char *line = r->lacks, *next;
    if (r->failed) note_lack(r, r->message), line = r->lacks;
    for (; line && *line; line = next + 1) {
      next = strchr(line, '\n');
      *next = 0;
      fprintf(stderr, "%s: %s: %s\n", r->failed ? "ERROR" : "WARNING", f->annotation_path, line);
      cJSON_AddItemToArray(list, item = cJSON_CreateObject());
      cJSON_AddStringToObject(item, "shot", ds.shots[f->shot]);
      cJSON_AddNumberToObject(item, "frame", f->number);
      cJSON_AddStringToObject(item, "reason", line);
    }
    if (r->failed) {
      failed = 1;
      continue;
    }
    shots_write_frame(output, ds.shots[f->shot], &ch, f);
    if (f->image_path) shots_copy_image(f->image_path, output, ds.shots[f->shot], f->number);
    ++written;
  }
  if (sheet) write_sheet(sheet, &job);
  cJSON_AddNumberToObject(root, "frames", (double)written);
  cJSON_AddNumberToObject(root, "failed", (double)(ds.frame_count - written + ds.dropped_count));
  list = cJSON_AddArrayToObject(root, "shapes");
  if (!json)
    printf("%zu frames; distance of fitted and drawn curves, pixels:\n%-20s %7s %7s %7s\n", written, "shape", "frames", "mean",
           "max");
  for (s = 0; s < ch.shape_count; ++s) {
    double sum = 0, highest = 0;
    size_t fitted = 0;
    for (i = 0; i < ds.frame_count; ++i) {
      const revec_fit *fit = &job.results[i].fits[s];
      if (!fit->fitted) continue;
      ++fitted;
      sum += fit->mean;
      highest = fmax(highest, fit->maximum);
    }
    cJSON_AddItemToArray(list, item = cJSON_CreateObject());
    cJSON_AddStringToObject(item, "name", ch.shapes[s].name);
    cJSON_AddNumberToObject(item, "frames", (double)fitted);
    cJSON_AddNumberToObject(item, "mean_px", fitted ? sum / (double)fitted : 0);
    cJSON_AddNumberToObject(item, "max_px", highest);
    if (!json) printf("%-20s %7zu %7.3f %7.3f\n", ch.shapes[s].name, fitted, fitted ? sum / (double)fitted : 0.0, highest);
  }
  if (json) {
    json_print(root);
  } else {
    cJSON_Delete(root);
  }
  for (i = 0; i < ds.frame_count; ++i) {
    free(job.results[i].fits);
    free(job.results[i].lacks);
  }
  free(job.results);
  revec_rules_free(&rules);
  dataset_free(&ds);
  character_free(&ch);
  return failed ? EXIT_INPUT : EXIT_DONE;
}
