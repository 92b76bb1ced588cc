/* Each command loads with dataset.c, which says what is wrong with which file; writes frame by frame; and ends with EXIT_INPUT if
 * any frame was refused, so that a pipeline notices, though the good frames are there. */

#include "dataset_tools.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../roto.h"
#include "../tools/canvas.h"
#include "../tools/cli.h"
#include "../tools/document.h"
#include "../tools/image_file.h"
#include "../tools/json_file.h"
#include "dataset.h"
#include "revectorize.h"

#define OPTIONS(list) list, sizeof list / sizeof *list

/* ---- shared by the commands ---- */

static int exists(const char *path) {
  struct stat there;
  return stat(path, &there) == 0;
}

static int is_folder(const char *path) {
  struct stat there;
  return stat(path, &there) == 0 && S_ISDIR(there.st_mode);
}

static int ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcmp(text + n - m, end);
}

/* The template given, or the one beside the data. */
static void load_character(const char *given, const char *data, character *ch) {
  char message[MESSAGE_SIZE], *beside = cli_format("%s/character.json", data);
  if (!given && !exists(beside)) cli_fail(EXIT_INPUT, "%s: not there; name the template with --character FILE", beside);
  if (character_load(given ? given : beside, ch, message)) cli_fail(EXIT_INPUT, "%s", message);
  free(beside);
}

/* OUT with the template in it.  OUT must not be the folder that is read. */
static void start_output(const char *out, const char *in, const character *ch) {
  char message[MESSAGE_SIZE], *path = cli_format("%s/character.json", out);
  struct stat a, b;
  if (stat(out, &a) == 0 && stat(in, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
    cli_fail(EXIT_USAGE, "-o %s: is the folder that is read; name another one", out);
  cli_make_folder(out);
  if (character_write(path, ch, message)) cli_fail(EXIT_WRITE, "%s", message);
  free(path);
}

/* OUT/<shot>/<kind>-<shot>-frameNNN<extension>, for free(). */
static char *output_path(const char *out, const char *kind, const char *shot, uint32_t number, const char *extension) {
  char *folder = cli_format("%s/%s", out, shot), *path;
  cli_make_folder(folder);
  path = cli_format("%s/%s-%s-frame%03u%s", folder, kind, shot, number, extension);
  free(folder);
  return path;
}

static void copy_image(const char *from, const char *out, const char *shot, uint32_t number) {
  const char *dot = strrchr(from, '.');
  char message[MESSAGE_SIZE], *to = output_path(out, "image", shot, number, dot && !strchr(dot, '/') ? dot : ".png");
  unsigned char *data;
  size_t size;
  if (file_read(from, (size_t)1 << 31, &data, &size, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (file_write(to, data, size, message)) cli_fail(EXIT_WRITE, "%s", message);
  free(data);
  free(to);
}

/* A frame's points and shapes, and its raw shapes, as files. */
static void write_frame(const char *out, const char *shot, const character *ch, const frame *f) {
  char message[MESSAGE_SIZE], *path;
  if (f->points || f->shape_count) {
    path = output_path(out, f->shape_count ? "revec_shapes" : "points", shot, f->number, ".json");
    if (dataset_write_annotation(path, ch, f, message)) cli_fail(EXIT_WRITE, "%s", message);
    free(path);
  }
  if (f->raw_count) {
    frame raw;
    memset(&raw, 0, sizeof raw);
    raw.shapes = f->raw;
    raw.shape_count = f->raw_count;
    path = output_path(out, "raw_shapes", shot, f->number, ".json");
    if (dataset_write_annotation(path, ch, &raw, message)) cli_fail(EXIT_WRITE, "%s", message);
    free(path);
  }
}

static void print_json(cJSON *root) {
  char *text = cJSON_Print(root);
  puts(text ? text : "{}");
  cJSON_free(text);
  cJSON_Delete(root);
}

static void run_loop(void *user, size_t count, roto_task task, void *context) {
  long i;
  (void)user;
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
  for (i = 0; i < (long)count; ++i) task(context, (size_t)i);
}

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
    load_character(template_path, argv[d], &ch);
    if (dataset_load(argv[d], &ch, &ds, message) || dataset_cache(&ds, run_loop, NULL, message)) {
      cli_error("%s", message);
      for (i = 0; i < ds.issue_count; ++i) fprintf(stderr, "  %s: %s\n", ds.issues[i].path, ds.issues[i].reason);
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
    print_json(root);
  } else {
    printf("%-20s %8zu %9zu %8zu %8.1f%%\n", "total", all.total, all.labelled, all.usable,
           all.total ? 100 * (double)all.usable / (double)all.total : 0.0);
    cJSON_Delete(root);
  }
  return refused ? EXIT_INPUT : EXIT_DONE;
}

/* ---- crop ---- */

static void grow_box(double box[4], double x, double y) {
  box[0] = fmin(box[0], x);
  box[1] = fmin(box[1], y);
  box[2] = fmax(box[2], x);
  box[3] = fmax(box[3], y);
}

/* Everything drawn in the frame: known landmarks, and the ends of the segments of all shapes. */
static void frame_extent(const frame *f, uint32_t landmarks, double box[4]) {
  uint32_t i, k;
  int set;
  for (i = 0; f->points && i < landmarks; ++i) {
    if (f->valid[i] || f->hidden[i]) grow_box(box, (double)f->points[2 * i], (double)f->points[2 * i + 1]);
  }
  for (set = 0; set < 2; ++set) {
    const frame_shape *shapes = set ? f->raw : f->shapes;
    for (i = 0; i < (set ? f->raw_count : f->shape_count); ++i) {
      for (k = 0; k < shapes[i].segment_count; ++k) {
        const segment *g = &shapes[i].segments[k];
        grow_box(box, (double)g->x[0], (double)g->y[0]);
        grow_box(box, (double)g->x[2], (double)g->y[2]);
      }
    }
  }
}

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

/* The crop as 8-bit pixels, with the alpha of the picture if it has one; free(). */
static uint8_t *crop_pixels(const image_file *image, const float m[6], uint32_t width, uint32_t height, uint32_t *channels) {
  size_t pixels = (size_t)width * height, i;
  int alpha = image->channels == 2 || image->channels == 4;
  float *rgb = cli_alloc(pixels * 3, sizeof *rgb);
  uint8_t *out;
  roto_image view = image_view(image);
  *channels = alpha ? 4 : 3;
  out = cli_alloc(pixels, *channels);
  roto_sample(&view, m, ROTO_TRANSFER_SRGB, width, height, rgb);
  for (i = 0; i < 3 * pixels; ++i) out[i / 3 * *channels + i % 3] = (uint8_t)(255 * fminf(fmaxf(rgb[i], 0), 1) + 0.5f);
  if (alpha) {
    size_t all = (size_t)image->width * image->height;
    uint8_t *plane = cli_alloc(all, 1);
    for (i = 0; i < all; ++i) {
      plane[i] = image_byte(image, i * image->channels + image->channels - 1);
    }
    view.pixels = plane;
    view.channels = 1;
    view.type = ROTO_PIXEL_U8;
    view.transfer = ROTO_TRANSFER_LINEAR;
    roto_sample(&view, m, ROTO_TRANSFER_LINEAR, width, height, rgb);
    for (i = 0; i < pixels; ++i) out[4 * i + 3] = (uint8_t)(255 * fminf(fmaxf(rgb[3 * i], 0), 1) + 0.5f);
    free(plane);
  }
  free(rgb);
  return out;
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
  load_character(template_path, argv[0], &ch);
  failed = dataset_load_annotations(argv[0], &ch, &ds, message);
  for (i = 0; i < ds.issue_count; ++i) fprintf(stderr, "WARNING: %s: %s\n", ds.issues[i].path, ds.issues[i].reason);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  failed = ds.dropped_count > 0;
  start_output(output, argv[0], &ch);
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
      name = output_path(output, "image", ds.shots[s], f->number, ".png");
      if (image_write_png(name, pixels, width, height, channels, message)) cli_fail(EXIT_WRITE, "%s", message);
      free(name);
      free(pixels);
      move_frame(f, ch.landmark_count, m);
      write_frame(output, ds.shots[s], &ch, f);
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

/* ---- import ---- */

/* What import collects on its way. */
typedef struct import_job {
  const char *out;
  const character *ch;
  double artist_weight;
  int all_frames, failed;
  size_t written, passed_over;
} import_job;

static void free_import(frame *f) {
  uint32_t i;
  for (i = 0; i < f->shape_count; ++i) {
    free(f->shapes[i].name);
    free(f->shapes[i].segments);
  }
  free(f->shapes);
  free(f->points);
  free(f->valid);
  free(f->hidden);
  free(f->weights);
}

static frame new_import(const character *ch, uint32_t number) {
  frame f;
  memset(&f, 0, sizeof f);
  f.number = number;
  f.points = cli_alloc(ch->landmark_count, 2 * sizeof *f.points);
  f.valid = cli_alloc(ch->landmark_count, 1);
  f.hidden = cli_alloc(ch->landmark_count, 1);
  f.shapes = cli_alloc(ch->shape_count, sizeof *f.shapes);
  return f;
}

static void turn_around(segment *g) {
  segment s = *g;
  int k;
  for (k = 0; k < 4; ++k) {
    g->x[k] = s.x[(k + 2) % 4];
    g->y[k] = s.y[(k + 2) % 4];
  }
}

/* A shape of another template on this one's vertices: the same landmarks by name in the same cycle, from another start or the
 * other way round.  0 if they are not the same. */
static int import_shape(const character *from, const roto_shape *a, const frame_shape *in, const character *to,
                        const roto_shape *b, frame_shape *out) {
  uint32_t n = a->vertex_count, start, v, count = in->segment_count;
  int back;
  if (n != b->vertex_count || a->closed != b->closed || count != (a->closed ? n : n - 1)) return 0;
  for (back = 0; back < 2; ++back) {
    for (start = 0; start < n; ++start) {
      uint32_t same = 0, k;
      if (!a->closed && start != (back ? n - 1 : 0)) continue;
      for (v = 0; v < n; ++v) {
        int32_t p = a->vertices[(back ? start + n - v : start + v) % n], q = b->vertices[v];
        same += p >= 0 && q >= 0 ? !strcmp(from->landmarks[p].name, to->landmarks[q].name) : p < 0 && q < 0;
      }
      if (same < n) continue;
      out->name = cli_format("%s", b->name);
      out->segments = cli_alloc(count, sizeof *out->segments);
      out->segment_count = count;
      for (k = 0; k < count; ++k) {
        out->segments[k] = in->segments[(back ? start + 2 * n - 1 - k : start + k) % n];
        if (back) turn_around(&out->segments[k]);
      }
      return 1;
    }
  }
  return 0;
}

/* A frame of another template, landmarks and shapes matched by name. */
static frame import_frame(const character *from, const frame *in, const character *to) {
  frame f = new_import(to, in->number);
  uint32_t i, k;
  for (i = 0; i < from->landmark_count && in->points; ++i) {
    int l = character_find_landmark(to, from->landmarks[i].name);
    if (l < 0) continue;
    f.points[2 * l] = in->points[2 * i];
    f.points[2 * l + 1] = in->points[2 * i + 1];
    f.valid[l] = in->valid[i];
    f.hidden[l] = in->hidden[i];
    if (!in->weights) continue;
    if (!f.weights) {
      f.weights = cli_alloc(to->landmark_count, sizeof *f.weights);
      for (k = 0; k < to->landmark_count; ++k) f.weights[k] = 1;
    }
    f.weights[l] = in->weights[i];
  }
  for (i = 0; i < to->shape_count; ++i) { /* in the order of the template that is written */
    int a = character_find_shape(from, to->shapes[i].name);
    for (k = 0; a >= 0 && k < in->shape_count; ++k) {
      if (strcmp(in->shapes[k].name, to->shapes[i].name)) continue;
      f.shape_count +=
          (uint32_t)import_shape(from, &from->shapes[a], &in->shapes[k], to, &to->shapes[i], &f.shapes[f.shape_count]);
    }
  }
  f.raw = in->raw;
  f.raw_count = in->raw_count;
  return f;
}

static int known_points(const character *ch, const frame *f) {
  uint32_t i;
  for (i = 0; i < ch->landmark_count; ++i)
    if (f->valid[i] || f->hidden[i]) return 1;
  return 0;
}

/* One shot folder of the public data set's layout, by the template among `templates` that fits the most of its frames. */
static void import_folder(import_job *job, const char *folder, char *const *templates, size_t template_count) {
  character best_character;
  dataset best;
  char message[MESSAGE_SIZE], best_message[MESSAGE_SIZE] = "no template was found beside the one given";
  size_t i;
  memset(&best, 0, sizeof best);
  memset(&best_character, 0, sizeof best_character);
  for (i = 0; i < template_count; ++i) {
    character ch;
    dataset ds;
    if (character_load(templates[i], &ch, message)) cli_fail(EXIT_INPUT, "%s", message);
    if (dataset_load_annotations(folder, &ch, &ds, message)) {
      if (i == 0) memcpy(best_message, message, sizeof message);
    } else if (ds.frame_count > best.frame_count) {
      dataset swap = best;
      character old = best_character;
      best = ds;
      best_character = ch;
      ds = swap;
      ch = old;
    }
    dataset_free(&ds);
    character_free(&ch);
  }
  if (!best.frame_count) {
    cli_error("%s", best_message);
    job->failed = 1;
    return;
  }
  for (i = 0; i < best.issue_count; ++i) {
    fprintf(stderr, "%s: %s: %s\n", best.issues[i].dropped ? "ERROR" : "WARNING", best.issues[i].path, best.issues[i].reason);
    job->failed |= best.issues[i].dropped;
  }
  for (i = 0; i < best.frame_count; ++i) {
    const frame *in = &best.frames[i];
    frame f = import_frame(&best_character, in, job->ch);
    const char *shot = best.shots[in->shot];
    if (!known_points(job->ch, &f) && !f.raw_count) {
      job->passed_over++;
    } else {
      if (!known_points(job->ch, &f)) {
        free(f.points);
        f.points = NULL;
      }
      write_frame(job->out, shot, job->ch, &f);
      if (in->image_path) copy_image(in->image_path, job->out, shot, in->number);
      job->written++;
    }
    free_import(&f);
  }
  dataset_free(&best);
  character_free(&best_character);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder that end in `end`, or its folders for NULL, sorted, as paths. */
static size_t list_names(const char *folder, const char *end, char ***names) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  size_t count = 0, room = 0;
  *names = NULL;
  if (!dir) cli_fail(EXIT_INPUT, "%s: cannot open the folder: %s", folder, strerror(errno));
  while ((entry = readdir(dir)) != NULL) {
    char *name;
    if (entry->d_name[0] == '.') continue;
    name = cli_format("%s/%s", folder, entry->d_name);
    if (end ? !ends_with(name, end) : !is_folder(name)) {
      free(name);
      continue;
    }
    if (count == room) {
      room = room ? 2 * room : 16;
      *names = realloc(*names, room * sizeof **names);
      if (!*names) cli_fail(EXIT_FAILED, "%s: out of memory", folder);
    }
    (*names)[count++] = name;
  }
  closedir(dir);
  if (count) qsort(*names, count, sizeof **names, by_text);
  return count;
}

static void free_names(char **names, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) free(names[i]);
  free(names);
}

/* A folder of shots, or one shot.  Templates of the source are looked for beside the one that is written. */
static void import_shots(import_job *job, const char *folder, const char *template_path) {
  const char *slash = strrchr(template_path, '/');
  char *beside = slash ? cli_format("%.*s", (int)(slash - template_path), template_path) : cli_format("."), **templates,
       **shots;
  size_t template_count = list_names(beside, ".json", &templates), shot_count = list_names(folder, NULL, &shots), i;
  char **files;
  size_t file_count = list_names(folder, ".json", &files);
  if (file_count) import_folder(job, folder, templates, template_count);
  for (i = 0; i < shot_count; ++i) import_folder(job, shots[i], templates, template_count);
  if (!file_count && !shot_count) cli_fail(EXIT_INPUT, "%s: expected shot folders or annotation files, found none", folder);
  free_names(files, file_count);
  free_names(shots, shot_count);
  free_names(templates, template_count);
  free(beside);
}

/* The file's name without folder and the given ending. */
static char *stem_of(const char *path, const char *end) {
  const char *slash = strrchr(path, '/');
  char *stem = cli_format("%s", slash ? slash + 1 : path);
  if (ends_with(stem, end)) stem[strlen(stem) - strlen(end)] = 0;
  return stem;
}

/* A corrected shot: frames in which an artist set a point, these points with the artist's weight. */
static void import_document(import_job *job, const char *path) {
  char message[MESSAGE_SIZE], *shot = stem_of(path, ".roto.json");
  document doc;
  size_t i, p;
  if (document_read(path, &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (i = 0; i < doc.frame_count; ++i) {
    const document_frame *in = &doc.frames[i];
    const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc.template_json, "landmarks")->child;
    char *image = document_frame_path(&doc, i);
    frame f;
    int artist = 0;
    if (in->number < 0) {
      cli_error("%s: frame %d: the layout of data sets has no negative frame numbers", path, in->number);
      job->failed = 1;
      free(image);
      continue;
    }
    f = new_import(job->ch, (uint32_t)in->number);
    f.weights = cli_alloc(job->ch->landmark_count, sizeof *f.weights);
    for (p = 0; p < job->ch->landmark_count; ++p) f.weights[p] = 1;
    for (p = 0; p < doc.point_count && landmark; ++p, landmark = landmark->next) {
      const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
      int l = cJSON_IsString(name) ? character_find_landmark(job->ch, name->valuestring) : -1;
      if (l < 0) continue;
      f.points[2 * l] = (float)in->points[p].x;
      f.points[2 * l + 1] = (float)in->points[p].y;
      f.valid[l] = !in->points[p].hidden;
      f.hidden[l] = in->points[p].hidden ? 1 : 0;
      if (in->points[p].origin != ORIGIN_ARTIST) continue;
      f.weights[l] = (float)job->artist_weight;
      artist = 1;
    }
    if (!known_points(job->ch, &f)) {
      cli_fail(EXIT_INPUT, "%s: none of its landmarks is one of %s", path, job->ch->name);
    } else if (!artist && !job->all_frames) {
      job->passed_over++;
    } else if (!exists(image)) {
      cli_error("%s: frame %d: its picture %s is not there; run from the folder the document was made in", path, in->number,
                image);
      job->failed = 1;
    } else {
      write_frame(job->out, shot, job->ch, &f);
      copy_image(image, job->out, shot, f.number);
      job->written++;
    }
    free_import(&f);
    free(image);
  }
  document_free(&doc);
  free(shot);
}

enum { CSV_COLUMNS = 2 * 1024 + 8 };

/* The cells of one line, in place; quotes around a cell are taken off. */
static size_t split_line(char *line, char **cells) {
  size_t count = 0;
  char *at = line;
  while (count < CSV_COLUMNS) {
    char *comma = strchr(at, ','), *end;
    if (comma) *comma = 0;
    while (*at == ' ' || *at == '"') ++at;
    end = at + strlen(at);
    while (end > at && (end[-1] == ' ' || end[-1] == '"' || end[-1] == '\r')) *--end = 0;
    cells[count++] = at;
    if (!comma) break;
    at = comma + 1;
  }
  return count;
}

static int read_number(const char *cell, float *value) {
  int used = -1;
  double number;
  if (sscanf(cell, "%lf%n", &number, &used) != 1 || cell[used] || !(fabs(number) <= 1e6)) return 0;
  *value = (float)number;
  return 1;
}

/* The last group of digits in a file's name, without its extension; -1 if there is none. */
static long number_of_name(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.'),
             *end = dot ? dot : name + strlen(name);
  const char *start;
  while (end > name && (end[-1] < '0' || end[-1] > '9')) --end;
  for (start = end; start > name && end - start < 9 && start[-1] >= '0' && start[-1] <= '9';) --start;
  return end > start ? strtol(start, NULL, 10) : -1;
}

/* One line a frame, `image,x0,y0,x1,y1,...` in the template's order, or with columns NAME_x, NAME_y; empty cells are unknown
 * points. */
static void import_csv(import_job *job, const char *path) {
  char message[MESSAGE_SIZE], *shot = stem_of(path, ".csv"), *line, *next, *first_image = NULL;
  const char *slash = strrchr(path, '/');
  char **cells = cli_alloc(CSV_COLUMNS, sizeof *cells);
  int *column = cli_alloc(CSV_COLUMNS, sizeof *column); /* 2 * landmark + axis, or -1 */
  unsigned char *data;
  size_t size, i, count, columns = 0, number = 0;
  uint32_t n = job->ch->landmark_count;
  if (file_read(path, (size_t)1 << 30, &data, &size, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (line = (char *)data; line && *line; line = next) {
    frame f;
    char *image;
    long own;
    float ignored;
    int bad = 0;
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    ++number;
    if (!*line || *line == '\r') continue;
    count = split_line(line, cells);
    if (!columns) {
      int header = count > 1 && cells[1][0] && !read_number(cells[1], &ignored);
      columns = count;
      for (i = 0; i < count; ++i) column[i] = i > 0 && i <= 2 * n ? (int)i - 1 : -1;
      for (i = 1; i < count && header; ++i) {
        size_t length = strlen(cells[i]);
        char axis = length > 2 && cells[i][length - 2] == '_' ? cells[i][length - 1] : 0;
        int l;
        if (axis != 'x' && axis != 'y') continue;
        cells[i][length - 2] = 0;
        l = character_find_landmark(job->ch, cells[i]);
        column[i] = l < 0 ? -1 : 2 * l + (axis == 'y');
      }
      if (count < 5 || (!header && count != 2 * (size_t)n + 1))
        cli_fail(EXIT_INPUT,
                 "%s:%zu: expected image and %u pairs x,y, or a header with columns NAME_x,NAME_y; found %zu columns", path,
                 number, n, count);
      if (header) continue;
    }
    if (count != columns) cli_fail(EXIT_INPUT, "%s:%zu: expected %zu columns, found %zu", path, number, columns, count);
    own = number_of_name(cells[0]);
    f = new_import(job->ch, (uint32_t)(own >= 0 ? own : (long)number));
    for (i = 1; i < count && !bad; ++i) {
      if (column[i] < 0 || !cells[i][0]) continue;
      if (!read_number(cells[i], &f.points[column[i]])) {
        cli_error("%s:%zu: column %zu: expected a number of pixels, found \"%.40s\"", path, number, i + 1, cells[i]);
        bad = 1;
      }
      f.valid[column[i] / 2] = 1;
    }
    image =
        cells[0][0] == '/' || !slash ? cli_format("%s", cells[0]) : cli_format("%.*s/%s", (int)(slash - path), path, cells[0]);
    if (!bad && !exists(image)) {
      cli_error("%s:%zu: the picture %s is not there", path, number, image);
      bad = 1;
    }
    if (!bad && first_image && !strcmp(first_image, image)) {
      cli_error("%s:%zu: the picture %s has a line already", path, number, image);
      bad = 1;
    }
    if (bad) {
      job->failed = 1;
    } else {
      write_frame(job->out, shot, job->ch, &f);
      copy_image(image, job->out, shot, f.number);
      job->written++;
    }
    free(first_image);
    first_image = image;
    free_import(&f);
  }
  free(first_image);
  free(data);
  free(cells);
  free(column);
  free(shot);
}

static int import_main(int argc, char **argv) {
  const char *template_path = NULL;
  import_job job = {NULL, NULL, 3, 0, 0, 0, 0};
  const cli_option options[] = {
      {"-o", CLI_STRING, &job.out, "OUT", "folder to write"},
      {"--character", CLI_STRING, &template_path, "FILE", "template to write; a folder's own are looked for beside it"},
      {"--artist-weight", CLI_NUMBER, &job.artist_weight, "W",
       "how much a point set by an artist counts in training (default 3)"},
      {"--all", CLI_FLAG, &job.all_frames, NULL, "of documents take frames without an artist's point too"},
  };
  const cli_command command = {
      "roto-train dataset import", "SOURCE... -o OUT --character FILE",
      "Make training data of folders in the layouts of the paper's public data set (each shot by the template that fits it, "
      "landmarks and shapes matched by name), of roto documents (*.roto.json: corrected shots), and of tables (*.csv: "
      "image,x0,y0,... "
      "or columns NAME_x,NAME_y).",
      "roto-train dataset import sh010.roto.json --character puppet27.json -o corrected", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv), i;
  char message[MESSAGE_SIZE];
  character ch;
  if (count < 1) cli_usage(&command, "expected a folder, a document or a table");
  if (!job.out) cli_usage(&command, "-o OUT is missing");
  if (!template_path) cli_usage(&command, "--character FILE is missing");
  if (!(job.artist_weight >= 0 && job.artist_weight <= 1000)) cli_usage(&command, "--artist-weight must be 0 to 1000");
  if (character_load(template_path, &ch, message)) cli_fail(EXIT_INPUT, "%s", message);
  job.ch = &ch;
  start_output(job.out, argv[0], &ch);
  for (i = 0; i < count; ++i) {
    if (is_folder(argv[i])) {
      import_shots(&job, argv[i], template_path);
    } else if (ends_with(argv[i], ".csv")) {
      import_csv(&job, argv[i]);
    } else if (ends_with(argv[i], ".json")) {
      import_document(&job, argv[i]);
    } else {
      cli_fail(EXIT_INPUT, "%s: expected a folder, a .roto.json document or a .csv table", argv[i]);
    }
  }
  fprintf(stderr, "%zu frames imported", job.written);
  if (job.passed_over) fprintf(stderr, ", %zu passed over: no artist's or known point in them", job.passed_over);
  fprintf(stderr, "\n");
  character_free(&ch);
  return job.failed || !job.written ? EXIT_INPUT : EXIT_DONE;
}

/* ---- revectorize ---- */

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
  load_character(template_path, argv[0], &ch);
  if (revec_rules_read(&ch, &rules, message)) cli_fail(EXIT_INPUT, "%s", message);
  failed = dataset_load_raw(argv[0], &ch, &ds, message);
  for (i = 0; i < ds.issue_count; ++i) cli_error("%s: %s", ds.issues[i].path, ds.issues[i].reason);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  failed = ds.issue_count > 0;
  start_output(output, argv[0], &ch);
  job.ch = &ch;
  job.rules = &rules;
  job.ds = &ds;
  job.results = cli_alloc(ds.frame_count, sizeof *job.results);
  run_loop(NULL, ds.frame_count, revec_task, &job);
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
    write_frame(output, ds.shots[f->shot], &ch, f);
    if (f->image_path) copy_image(f->image_path, output, ds.shots[f->shot], f->number);
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
    print_json(root);
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

/* ---- dispatch ---- */

int dataset_main(int argc, char **argv) {
  static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
  } commands[] = {
      {"info", info_main, "count frames, labelled frames and usable frames of each shot"},
      {"crop", crop_main, "cut frames down to what is drawn in them"},
      {"import", import_main, "make training data of other layouts, corrected documents and tables"},
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
