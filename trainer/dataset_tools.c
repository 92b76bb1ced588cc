/* `roto-train dataset`: info and crop; import stands in dataset_import.c.  Each command loads with dataset.c, which says what is
 * wrong with which file, and ends with EXIT_INPUT if any frame was refused, so that a pipeline notices, though the good frames are
 * there. */

#include "dataset_tools.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../roto.h"
#include "../tools/cli.h"
#include "../tools/image_file.h"
#include "../tools/json_file.h"
#include "shot_folder.h"

#define OPTIONS(list) list, sizeof list / sizeof *list

/* ---- info ---- */

/* "3-7, 12" of the frames of one shot that share a reason, and mark them as told. */
static void print_frames_of_reason(const dataset *ds, size_t first, unsigned char *told) {
  size_t i;
  uint32_t start = 0, last = 0;
  int open = 0, any = 0;
  for (i = first; i < ds->issue_count; ++i) {
    const dataset_issue *x = &ds->issues[i];
    if (x->shot != ds->issues[first].shot || x->dropped != ds->issues[first].dropped ||
        strcmp(x->reason, ds->issues[first].reason))
      continue;
    told[i] = 1;
    if (open && x->number == last + 1) {
      last = x->number;
      continue;
    }
    if (open) printf(last > start ? "%s%03u-%03u" : "%s%03u", any++ ? ", " : "", start, last);
    start = last = x->number;
    open = 1;
  }
  printf(last > start ? "%s%03u-%03u" : "%s%03u", any ? ", " : "", start, last);
}

/* Counts of one shot. */
typedef struct shot_counts {
  size_t total, labelled, usable;
} shot_counts;

static int info_main(int argc, char **argv) {
  const char *template_path = NULL;
  int json = 0, refused = 0;
  const cli_option options[] = {
      {"--character", CLI_STRING, &template_path, "FILE", "template (default: DIR/character.json)"},
      {"--json", CLI_FLAG, &json, NULL, "print one JSON object"},
  };
  const cli_command command = {
      "roto-train dataset info", "DIR...",
      "Frames, labelled frames and usable frames of each shot, and why the others cannot be used.  Every "
      "picture is decoded.",
      "roto-train dataset info shots --character puppet27.json", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv), d;
  cJSON *root = cJSON_CreateObject(), *shots = cJSON_AddArrayToObject(root, "shots");
  shot_counts all = {0, 0, 0};
  if (count < 1) cli_usage(&command, "expected a folder of shots");
  if (!json) printf("%-20s %8s %9s %8s %9s\n", "shot", "frames", "labelled", "usable", "fraction");
  for (d = 0; d < count; ++d) {
    char message[MESSAGE_SIZE];
    character ch;
    dataset ds;
    size_t i, s;
    shot_counts *counts;
    unsigned char *told;
    shots_character(template_path, argv[d], &ch);
    if (dataset_load(argv[d], &ch, &ds, message) || dataset_cache(&ds, shots_parallel, NULL, message)) {
      cli_error("%s", message);
      for (i = 0; i < ds.issue_count && !ds.shot_count; ++i)
        fprintf(stderr, "  %s: %s\n", ds.issues[i].path, ds.issues[i].reason);
      refused = 1;
    }
    counts = cli_alloc(ds.shot_count + 1, sizeof *counts);
    told = cli_alloc(ds.issue_count + 1, 1);
    for (i = 0; i < ds.frame_count; ++i) counts[ds.frames[i].shot].usable++;
    for (s = 0; s < ds.shot_count; ++s) counts[s].total = counts[s].labelled = counts[s].usable;
    for (i = 0; i < ds.issue_count && ds.shot_count; ++i) {
      if (!ds.issues[i].dropped) continue;
      counts[ds.issues[i].shot].total++;
      counts[ds.issues[i].shot].labelled += strcmp(ds.issues[i].reason, "the frame has no annotation") != 0;
    }
    for (s = 0; s < ds.shot_count; ++s) {
      double fraction = counts[s].total ? (double)counts[s].usable / (double)counts[s].total : 0;
      cJSON *item = cJSON_CreateObject(), *list;
      all.total += counts[s].total;
      all.labelled += counts[s].labelled;
      all.usable += counts[s].usable;
      if (!json) {
        printf("%-20s %8zu %9zu %8zu %8.1f%%\n", ds.shots[s], counts[s].total, counts[s].labelled, counts[s].usable,
               100 * fraction);
      }
      cJSON_AddItemToArray(shots, item);
      cJSON_AddStringToObject(item, "shot", ds.shots[s]);
      cJSON_AddNumberToObject(item, "frames", (double)counts[s].total);
      cJSON_AddNumberToObject(item, "labelled", (double)counts[s].labelled);
      cJSON_AddNumberToObject(item, "usable", (double)counts[s].usable);
      cJSON_AddNumberToObject(item, "fraction", fraction);
      list = cJSON_AddArrayToObject(item, "issues");
      for (i = 0; i < ds.issue_count; ++i) {
        const dataset_issue *x = &ds.issues[i];
        if (x->shot != s) continue;
        cJSON_AddItemToArray(list, item = cJSON_CreateObject());
        cJSON_AddNumberToObject(item, "frame", x->number);
        cJSON_AddStringToObject(item, "file", x->path);
        cJSON_AddStringToObject(item, "reason", x->reason);
        cJSON_AddBoolToObject(item, "usable", !x->dropped);
        if (json || told[i]) continue;
        printf("  %s ", x->dropped ? "unusable" : "used all the same");
        print_frames_of_reason(&ds, i, told);
        printf(": %s\n", x->reason);
      }
    }
    free(counts);
    free(told);
    dataset_free(&ds);
    character_free(&ch);
  }
  if (json) {
    cJSON_AddNumberToObject(root, "frames", (double)all.total);
    cJSON_AddNumberToObject(root, "labelled", (double)all.labelled);
    cJSON_AddNumberToObject(root, "usable", (double)all.usable);
    json_print(root);
  } else {
    printf("%-20s %8zu %9zu %8zu %8.1f%%\n", "total", all.total, all.labelled, all.usable,
           all.total ? 100 * (double)all.usable / (double)all.total : 0.0);
    cJSON_Delete(root);
  }
  return refused ? EXIT_INPUT : EXIT_DONE;
}

/* ---- crop ---- */

/* From pixels of the frame to pixels of the crop; the map of roto_crop_map has no rotation. */
static void move_frame(frame *f, uint32_t landmarks, const float m[6]) {
  uint32_t i, k, j;
  int set;
  for (i = 0; f->points && i < landmarks; ++i) {
    f->points[2 * i] = (f->points[2 * i] - m[2]) / m[0];
    f->points[2 * i + 1] = (f->points[2 * i + 1] - m[5]) / m[4];
  }
  for (set = 0; set < 2; ++set) {
    frame_shape *shapes = set ? f->raw : f->shapes;
    for (i = 0; i < (set ? f->raw_count : f->shape_count); ++i) {
      for (k = 0; k < shapes[i].segment_count; ++k) {
        segment *g = &shapes[i].segments[k];
        for (j = 0; j < 4; ++j) { /* tangents have no place, only a size */
          g->x[j] = (g->x[j] - (j % 2 ? 0 : m[2])) / m[0];
          g->y[j] = (g->y[j] - (j % 2 ? 0 : m[5])) / m[4];
        }
      }
    }
  }
}

static int crop_main(int argc, char **argv) {
  const char *template_path = NULL, *output = NULL, *size = "400x400";
  double margin = 1.4;
  int steady = 0, failed = 0;
  const cli_option options[] = {
      {"-o", CLI_STRING, &output, "OUT", "folder to write"},
      {"--size", CLI_STRING, &size, "WxH", "pixels of the crops (default 400x400)"},
      {"--margin", CLI_NUMBER, &margin, "M", "side of the crop over that of what is drawn in it (default 1.4)"},
      {"--steady", CLI_FLAG, &steady, NULL, "one rectangle a shot instead of one a frame"},
      {"--character", CLI_STRING, &template_path, "FILE", "template (default: DIR/character.json)"},
  };
  const cli_command command = {
      "roto-train dataset crop", "DIR -o OUT",
      "Cut annotated frames down to what is drawn in them.  Landmarks and shapes move along; crops.json in "
      "each shot says where they were cut.",
      "roto-train dataset crop plates --size 400x400 -o crops", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv), used = -1;
  unsigned width = 0, height = 0;
  char message[MESSAGE_SIZE];
  character ch;
  dataset ds;
  size_t i, s;
  double(*boxes)[4];
  if (count != 1) cli_usage(&command, "expected one folder of shots, found %d", count);
  if (!output) cli_usage(&command, "-o OUT is missing");
  if (sscanf(size, "%ux%u%n", &width, &height, &used) != 2 || used < 0 || size[used] || !width || !height || width > 8192 ||
      height > 8192)
    cli_usage(&command, "--size %s: expected WIDTHxHEIGHT of 1 to 8192 pixels, as in 400x400", size);
  if (!(margin >= 1 && margin <= 10)) cli_usage(&command, "--margin must be 1 to 10");
  shots_character(template_path, argv[0], &ch);
  failed = dataset_load_annotations(argv[0], &ch, &ds, message);
  dataset_warn(&ds, 0);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  failed = ds.dropped_count > 0;
  shots_start(output, argv[0], &ch);
  boxes = cli_alloc(ds.shot_count + 1, sizeof *boxes);
  for (s = 0; s < ds.shot_count; ++s) boxes[s][0] = boxes[s][1] = INFINITY, boxes[s][2] = boxes[s][3] = -INFINITY;
  for (i = 0; i < ds.frame_count; ++i) frame_extent(&ds.frames[i], ch.landmark_count, boxes[ds.frames[i].shot]);
  for (s = 0; s < ds.shot_count; ++s) {
    cJSON *crops = cJSON_CreateObject();
    char *path = cli_format("%s/%s/crops.json", output, ds.shots[s]);
    int written = 0;
    for (i = 0; i < ds.frame_count; ++i) {
      frame *f = &ds.frames[i];
      double box[4] = {INFINITY, INFINITY, -INFINITY, -INFINITY}, w, h;
      image_file image;
      roto_rect rect;
      float m[6];
      uint32_t channels;
      uint8_t *pixels;
      char *name, key[16];
      cJSON *row;
      if (f->shot != s) continue;
      frame_extent(f, ch.landmark_count, box);
      if (steady) memcpy(box, boxes[s], sizeof box);
      if (!f->image_path) {
        cli_error("%s: its image is missing: expected image-%s-frame%03u.* beside it", f->annotation_path, ds.shots[s],
                  f->number);
        failed = 1;
        continue;
      }
      if (!(box[2] - box[0] >= 1 || box[3] - box[1] >= 1)) {
        cli_error("%s: nothing is drawn that is at least one pixel wide", f->annotation_path);
        failed = 1;
        continue;
      }
      if (image_read(f->image_path, &image, message)) {
        cli_error("%s", message);
        failed = 1;
        continue;
      }
      w = fmax(box[2] - box[0], (box[3] - box[1]) * width / height) * margin;
      h = w * height / width;
      rect.x = (float)(0.5 * (box[0] + box[2] - w));
      rect.y = (float)(0.5 * (box[1] + box[3] - h));
      rect.width = (float)w;
      rect.height = (float)h;
      roto_crop_map(rect, width, height, m);
      pixels = crop_pixels(&image, m, width, height, &channels);
      image_free(&image);
      name = shots_path(output, "image", ds.shots[s], f->number, ".png");
      if (image_write_png(name, pixels, width, height, channels, message)) cli_fail(EXIT_WRITE, "%s", message);
      free(name);
      free(pixels);
      move_frame(f, ch.landmark_count, m);
      shots_write_frame(output, ds.shots[s], &ch, f);
      snprintf(key, sizeof key, "%u", f->number);
      row = cJSON_AddArrayToObject(crops, key);
      cJSON_AddItemToArray(row, cJSON_CreateNumber((double)rect.x));
      cJSON_AddItemToArray(row, cJSON_CreateNumber((double)rect.y));
      cJSON_AddItemToArray(row, cJSON_CreateNumber((double)rect.width));
      cJSON_AddItemToArray(row, cJSON_CreateNumber((double)rect.height));
      written++;
    }
    if (written && json_write(path, crops, message)) cli_fail(EXIT_WRITE, "%s", message);
    cJSON_Delete(crops);
    free(path);
  }
  free(boxes);
  dataset_free(&ds);
  character_free(&ch);
  return failed ? EXIT_INPUT : EXIT_DONE;
}

/* ---- dispatch ---- */

int dataset_main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
  } commands[] = {
      {"info", info_main, "count frames, labelled frames and usable frames of each shot"},
      {"crop", crop_main, "cut frames down to what is drawn in them"},
      {"import", dataset_import_main, "make training data of other layouts, corrected documents and tables"},
  };
  size_t i, count = sizeof commands / sizeof *commands;
  int help = argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help"));
  FILE *out = help ? stdout : stderr;
  for (i = 0; argc >= 2 && i < count; ++i)
    if (!strcmp(argv[1], commands[i].name)) return commands[i].run(argc - 1, argv + 1);
  if (argc >= 2 && !help) cli_error("unknown command 'dataset %s'", argv[1]);
  fprintf(out, "usage: roto-train dataset COMMAND ...\n\n");
  for (i = 0; i < count; ++i) fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fprintf(out, "\nexample: roto-train dataset info shots\n");
  return help ? EXIT_DONE : EXIT_USAGE;
}
