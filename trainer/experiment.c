/* See experiment.h.
 *
 * One shot is held out; a table's rows are models that differ in what they learned from: none to all of the other shots, with
 * or without renders, backgrounds, augmentation, the scale-aware loss.  Every model sees the same number of samples, so that a row
 * with little data is not trained less.  A model that is there already is only measured, and an interrupted one goes on, so that
 * the command can be repeated until it is done; each says in its description how it was trained, so that a model of other options is
 * never taken for it.
 *
 * A frame's pose is read off its true landmarks: where those of the face's middle stand between the two anchors, along their line
 * (turned to the side) and across it (up, down). */

#include "experiment.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tools/canvas.h"
#include "../tools/cli.h"
#include "../tools/image_file.h"
#include "../tools/json_file.h"
#include "evaluate.h"
#include "metrics.h"
#include "shot_folder.h"

enum { MOST_SHOTS = 16, MOST_ROWS = 8, POSES = 4, MOST_REPEATS = 8, MOST_FOLDERS = MOST_SHOTS * MOST_REPEATS + 1 };
static const char *const pose_names[POSES] = {"front", "side", "up", "down"};

/* What one model of a table learns from. */
typedef struct recipe {
  const char *label;
  int shots; /* how many of the true ones */
  int synth, background, augmented, scale_aware;
} recipe;

/* And how good it is: a mean over models that were given different shots, if there are several. */
typedef struct row {
  recipe recipe;
  char label[64];
  int models;
  metrics all, pose[POSES];  /* in all frames and in those of a pose (none: frames is 0) */
  double totals[MOST_SHOTS]; /* of each model */
} row;

static const struct {
  const char *title;
  recipe rows[MOST_ROWS];
} tables[3] = {
    {"raw, augmented and synthetic data (Table 2)",
     {{"raw, 1 shot", 1, 0, 0, 0, 1},
      {"synth only", 0, 1, 1, 1, 1},
      {"augmented, 1 shot", 1, 0, 1, 1, 1},
      {"augmented, 1 shot + synth", 1, 1, 1, 1, 1}}},
    {"true shots beside the synthetic data (Table 3)",
     {{"synth only", 0, 1, 1, 1, 1},
      {"1 shot", 1, 1, 1, 1, 1},
      {"2 shots", 2, 1, 1, 1, 1},
      {"3 shots", 3, 1, 1, 1, 1},
      {"4 shots", 4, 1, 1, 1, 1},
      {"5 shots", 5, 1, 1, 1, 1}}},
    {"one ingredient removed (Table 4)",
     {{"everything", MOST_SHOTS, 1, 1, 1, 1},
      {"no synth", MOST_SHOTS, 0, 1, 1, 1},
      {"no background", MOST_SHOTS, 1, 0, 1, 1},
      {"no true shots, no background", 0, 1, 0, 1, 1},
      {"no synth, no background", MOST_SHOTS, 0, 0, 1, 1},
      {"no scale-aware loss", MOST_SHOTS, 1, 1, 1, 0}}},
};

typedef struct study {
  const char *film, *output, *synth, *test;
  int samples, each; /* each: one-shot rows with every shot in turn */
  int repeat;        /* how often an epoch beside renders holds each true frame */
  const char *precision, *only;
  char *shots[MOST_SHOTS]; /* folders of the true shots, in the order in which they are given */
  int shot_count;
  char *test_folder;
  train_options train;
  compute *cp;
  character ch;
  dataset ds; /* the test shot */
} study;

/* ---- what to train ---- */

/* The film's shots but the one held out: those of `order` ("shot2,shot0"), or all in the order of their names. */
static void choose_shots(study *s, const char *order) {
  char *list = cli_format("%s", order != NULL ? order : "");
  s->test_folder = cli_format("%s/%s", s->film, s->test);
  if (access(s->test_folder, F_OK) != 0) cli_fail(EXIT_INPUT, "%s: there is no such shot to test on", s->test_folder);
  if (order == NULL) {
    free(list);
    dataset ds;
    char message[MESSAGE_SIZE];
    if (dataset_load_annotations(s->film, &s->ch, &ds, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
    list = cli_format("%s", "");
    for (size_t i = 0; i < ds.shot_count; i++) {
      char *path = cli_format("%s/%s", s->film, ds.shots[i]), *longer;
      if (strcmp(ds.shots[i], s->test) != 0 && access(path, F_OK) == 0) {
        longer = cli_format("%s%s%s", list, *list ? "," : "", ds.shots[i]);
        free(list);
        list = longer;
      }
      free(path);
    }
    dataset_free(&ds);
  }
  for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
    char *path = cli_format("%s/%s", s->film, name);
    if (strcmp(name, s->test) == 0) cli_fail(EXIT_USAGE, "--order: %s is the shot that is tested on", name);
    if (access(path, F_OK) != 0) cli_fail(EXIT_INPUT, "%s: there is no such shot", path);
    if (s->shot_count == MOST_SHOTS) cli_fail(EXIT_USAGE, "at most %d shots", MOST_SHOTS);
    s->shots[s->shot_count++] = path;
  }
  free(list);
}

/* Whether a row is asked for and the film has as many shots. */
static int is_wanted(const study *s, const recipe *r) {
  return (s->only == NULL || strcmp(s->only, r->label) == 0) && (r->shots <= s->shot_count || r->shots == MOST_SHOTS);
}

static size_t count_frames(const study *s, char *const *folders, size_t count) {
  size_t frames = 0;
  for (size_t i = 0; i < count; i++) {
    dataset ds;
    char message[MESSAGE_SIZE];
    if (dataset_load(folders[i], &s->ch, &ds, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
    frames += ds.frame_count;
    dataset_free(&ds);
  }
  return frames;
}

/* How many models a row is the mean of. */
static int count_models(const study *s, const recipe *r) {
  return s->each && r->shots == 1 && s->shot_count > 1 ? s->shot_count : 1;
}

/* The k-th model's true shots: the first ones, the order turned by k. */
static size_t list_shots(const study *s, const recipe *r, int k, char **folders) {
  size_t count = 0;
  for (int i = 0; i < s->shot_count && i < r->shots; i++) folders[count++] = s->shots[(i + k) % s->shot_count];
  return count;
}

/* The name of a model says what it is made of, so that tables share models. */
static char *model_path(const study *s, const recipe *r, int k) {
  char *folders[MOST_SHOTS], *shots = cli_format("%s", ""), *path;
  size_t count = list_shots(s, r, k, folders);
  for (size_t i = 0; i < count; i++) {
    const char *slash = strrchr(folders[i], '/');
    char *longer = cli_format("%s%s%s", shots, i ? "+" : "-", slash ? slash + 1 : folders[i]);
    free(shots);
    shots = longer;
  }
  path = cli_format("%s/%s-%s%s%s%s%s%s.roto", s->output, s->train.name, s->test, shots, r->synth ? "-synth" : "",
                    r->background ? "-background" : "", r->augmented ? "" : "-raw", r->scale_aware ? "" : "-unscaled");
  free(shots);
  return path;
}

/* What the k-th model of a row is trained with.  `folders` has room for MOST_FOLDERS. */
static train_options train_as(const study *s, const recipe *r, int k, char **folders, const char *path) {
  train_options o = s->train;
  size_t frames, list_length = list_shots(s, r, k, folders);
  o.data = folders;
  o.data_count = list_length;
  if (r->synth) {
    for (size_t i = o.data_count; i < list_length * (size_t)s->repeat; i++) folders[o.data_count++] = folders[i - list_length];
    folders[o.data_count++] = (char *)s->synth;
  }
  o.output = path;
  o.part_scale = r->scale_aware;
  o.validation = s->test_folder;
  frames = count_frames(s, folders, o.data_count);
  o.epochs = (int)(((size_t)s->samples + frames - 1) / frames);
  o.evaluate_every = o.epochs / 5 > 0 ? o.epochs / 5 : 1;
  if (!r->background) o.augment.background = 0, o.backgrounds = NULL;
  if (!r->augmented) {
    float margin = o.augment.margin;
    memset(&o.augment, 0, sizeof o.augment);
    o.augment.margin = margin;
  }
  return o;
}

/* Everything that makes one model differ from another of the same name, in words. */
static char *describe(const study *s, const recipe *r, const train_options *o) {
  const float *values = (const float *)&o->augment;
  uint64_t h = 0;
  for (size_t i = 0; i < (offsetof(augment_options, covered) + sizeof(float)) / sizeof(float); i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    h = rng_mix(h ^ bits);
  }
  return cli_format(
      "experiment: %s; test %s; synth %s, true frames %d times; backgrounds %s; net %s; size %d, %s; %d samples in batches of "
      "%d, seed %d, schedule %d, loss %d, augmentation %08x",
      r->label, s->test, r->synth ? s->synth : "none", r->synth ? s->repeat : 1, o->backgrounds ? o->backgrounds : "none",
      o->net, o->size, s->precision, s->samples, o->batch, o->seed, (int)o->schedule, (int)o->loss.kind, (unsigned)(h >> 32));
}

/* 1 if the model is there; ends the program if it was trained otherwise than it would be now. */
static int is_there(const char *path, const char *description) {
  roto_model *model;
  if (access(path, F_OK) != 0) return 0;
  roto_status opened = roto_open_file(path, NULL, &model);
  if (opened != ROTO_OK) cli_fail(EXIT_MODEL, "%s: %s", path, roto_status_text(opened));
  /* tables share models, so what they call the row (up to the first semicolon) may differ */
  const char *found = roto_get_info(model)->description, *a = found ? strchr(found, ';') : NULL, *b = strchr(description, ';');
  if (!a || strcmp(a, b) != 0) {
    cli_fail(EXIT_INPUT, "%s was trained with other options:\n  %s\nexpected\n  %s\ngive another -o or --name, or remove it",
             path, found ? found : "", description);
  }
  roto_close(model);
  return 1;
}

/* Train what is not there yet.  Returns an exit status. */
static int train_model(const study *s, const recipe *r, int k, const char *path) {
  char *folders[MOST_FOLDERS];
  train_options o = train_as(s, r, k, folders, path);
  char *description = describe(s, r, &o);
  int status = EXIT_DONE;
  o.description = description;
  if (!is_there(path, description)) {
    printf("\n%s: %d epochs -> %s\n", r->label, o.epochs, path);
    fflush(stdout);
    status = train_run(s->cp, &o);
  }
  free(description);
  return status;
}

/* ---- how long it takes ---- */

/* Seconds of a training step, by training a few on the test shot; the model made of them is thrown away. */
static double time_step(const study *s) {
  enum { FEW = 1, MANY = 4 };
  char *path = cli_format("%s/dry-run-%ld.roto", s->output, (long)getpid()), *folders[1] = {s->test_folder};
  double seconds[2];
  for (int i = 0; i < 2; i++) {
    static const char *const endings[] = {"", ".csv", ".png", ".checkpoint"};
    train_options o = s->train;
    double start = cli_seconds();
    o.data = folders, o.data_count = 1, o.output = path, o.quiet = 1, o.epochs = 1, o.epoch_batches = i ? MANY : FEW,
    o.restart = 1, o.grow = 0;
    int status = train_run(s->cp, &o);
    seconds[i] = cli_seconds() - start;
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
      char *name = cli_format("%s%s", path, endings[e]);
      remove(name);
      free(name);
    }
    if (status != EXIT_DONE) exit(status);
  }
  free(path);
  return fmax(seconds[1] - seconds[0], 0) / (MANY - FEW);
}

/* What would be done, and how long it would take on this machine. */
static void plan(const study *s, const recipe *rows) {
  double step = time_step(s), all = 0;
  printf(
      "a step of %d samples of full size takes %.2f s here; inputs that grow take a third less\n\n| trained on | epochs | "
      "steps | minutes | model |\n|---|---|---|---|---|\n",
      s->train.batch, step);
  for (size_t i = 0; i < MOST_ROWS && rows[i].label != NULL; i++) {
    if (!is_wanted(s, &rows[i])) continue;
    for (int k = 0; k < count_models(s, &rows[i]); k++) {
      char *folders[MOST_FOLDERS], *path = model_path(s, &rows[i], k);
      train_options o = train_as(s, &rows[i], k, folders, path);
      char *description = describe(s, &rows[i], &o);
      int done = is_there(path, description);
      size_t steps = count_frames(s, folders, o.data_count) / (size_t)o.batch;
      steps = (steps ? steps : 1) * (size_t)o.epochs;
      printf("| %s | %d | %zu | %.1f | %s%s |\n", rows[i].label, o.epochs, steps, done ? 0 : step * (double)steps / 60, path,
             done ? ", there already" : "");
      if (!done) all += step * (double)steps;
      free(description);
      free(path);
    }
  }
  printf("\n%.1f hours in all, at most\n", all / 3600);
}

/* ---- what came of it ---- */

/* Where the middle of the face stands between the anchors: along and across their line, in their distance. */
static void middle_of(const character *ch, const frame *f, double at[2]) {
  const float *a = f->points + 2 * ch->anchors[0], *b = f->points + 2 * ch->anchors[1];
  double dx = (double)(b[0] - a[0]), dy = (double)(b[1] - a[1]), length = dx * dx + dy * dy;
  int count = 0;
  at[0] = at[1] = 0;
  for (uint32_t k = 0; k < ch->landmark_count; k++) {
    if (ch->landmarks[k].flip != k || !(f->valid[k] || f->hidden[k])) continue;
    double x = (double)f->points[2 * k] - (double)(a[0] + b[0]) / 2,
           y = (double)f->points[2 * k + 1] - (double)(a[1] + b[1]) / 2;
    at[0] += (x * dx + y * dy) / length, at[1] += (y * dx - x * dy) / length, count++;
  }
  if (count > 0) at[0] /= count, at[1] /= count;
}

/* The pose of every frame.  Straight ahead is the median; a twentieth of the anchors' distance away from it is another pose: for a
 * middle that stands out by a tenth of that distance, about 15 degrees to the side and 25 up or down. */
static void find_poses(const study *s, int *poses) {
  size_t n = s->ds.frame_count;
  double(*at)[2] = cli_alloc(n + 1, sizeof *at), median = 0;
  for (size_t i = 0; i < n; i++) middle_of(&s->ch, &s->ds.frames[i], at[i]);
  for (size_t i = 0; i < n; i++) {
    size_t below = 0;
    for (size_t j = 0; j < n; j++) below += at[j][1] < at[i][1] || (at[j][1] == at[i][1] && j < i);
    if (below == n / 2) median = at[i][1];
  }
  for (size_t i = 0; i < n; i++) {
    double aside = fabs(at[i][0]) / 0.10, down = (at[i][1] - median) / 0.05;
    poses[i] = aside > 1 && aside > fabs(down) ? 1 : down < -1 ? 2 : down > 1 ? 3 : 0;
  }
  free(at);
}

/* Add a share of one model's figures. */
static void add_metrics(metrics *sum, const metrics *m, double share) {
  metrics before = *sum;
  *sum = *m;
  sum->nme_percent = before.nme_percent + share * m->nme_percent;
  sum->mae_total_px = before.mae_total_px + share * m->mae_total_px;
  for (uint32_t k = 0; k < m->part_count; k++) sum->mae_px[k] = before.mae_px[k] + share * m->mae_px[k];
}

static void measure_model(study *s, row *r, int k, const char *path) {
  char message[MESSAGE_SIZE];
  roto_model *model;
  roto_status opened = roto_open_file(path, NULL, &model);
  if (opened != ROTO_OK) cli_fail(EXIT_MODEL, "%s: %s", path, roto_status_text(opened));
  size_t n = s->ds.frame_count, points = s->ch.landmark_count;
  float *predicted = cli_alloc(n * points * 2, sizeof *predicted);
  int *poses = cli_alloc(n, sizeof *poses);
  if (evaluate_model(s->cp, model, &s->ds, NULL, 0, predicted, NULL, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
  metrics all = metrics_compute(&s->ch, &s->ds, predicted, NULL);
  add_metrics(&r->all, &all, 1.0 / r->models);
  r->totals[k] = all.mae_total_px;
  find_poses(s, poses);
  for (int p = 0; p < POSES; p++) {
    dataset part = s->ds;
    float *some = cli_alloc(n * points * 2, sizeof *some);
    part.frames = cli_alloc(n, sizeof *part.frames);
    part.frame_count = 0;
    for (size_t i = 0; i < n; i++) {
      if (poses[i] != p) continue;
      memcpy(some + part.frame_count * points * 2, predicted + i * points * 2, points * 2 * sizeof *some);
      part.frames[part.frame_count++] = s->ds.frames[i];
    }
    if (part.frame_count > 0) {
      metrics m = metrics_compute(&s->ch, &part, some, NULL);
      add_metrics(&r->pose[p], &m, 1.0 / r->models);
    }
    free(part.frames);
    free(some);
  }
  free(predicted);
  free(poses);
  roto_close(model);
}

/* ---- reports ---- */

static void print_cell(FILE *out, const metrics *m, double value) {
  if (m->frames == 0) {
    fprintf(out, " - |");
  } else {
    fprintf(out, " %.2f |", value);
  }
}

static void print_table(FILE *out, const study *s, const char *title, const row *rows, size_t count) {
  const metrics *m = &rows[0].all;
  fprintf(out,
          "%s: %s held out, %d samples each, net %s.  Pixels: mean of abs dx + abs dy, parts summed.\n\n| trained on | total |",
          title, s->test, s->samples, s->train.net);
  for (uint32_t k = 0; k < m->part_count; k++) fprintf(out, " %s |", m->part_names[k]);
  for (int p = 0; p < POSES; p++) fprintf(out, " %s (%zu) |", pose_names[p], rows[0].pose[p].frames);
  fprintf(out, " NME %% |\n|---|---|");
  for (uint32_t k = 0; k < m->part_count + POSES + 1; k++) fprintf(out, "---|");
  fprintf(out, "\n");
  for (size_t i = 0; i < count; i++) {
    m = &rows[i].all;
    fprintf(out, "| %s | %.2f |", rows[i].label, m->mae_total_px);
    for (uint32_t k = 0; k < m->part_count; k++) fprintf(out, " %.2f |", m->mae_px[k]);
    for (int p = 0; p < POSES; p++) print_cell(out, &rows[i].pose[p], rows[i].pose[p].mae_total_px);
    fprintf(out, " %.2f |\n", m->nme_percent);
  }
  fprintf(out, "\nParts by pose:\n\n| trained on |");
  for (uint32_t k = 0; k < m->part_count; k++)
    for (int p = 0; p < POSES; p++) fprintf(out, " %s, %s |", m->part_names[k], pose_names[p]);
  fprintf(out, "\n|---|");
  for (uint32_t k = 0; k < m->part_count * POSES; k++) fprintf(out, "---|");
  for (size_t i = 0; i < count; i++) {
    fprintf(out, "\n| %s |", rows[i].label);
    for (uint32_t k = 0; k < m->part_count; k++)
      for (int p = 0; p < POSES; p++) print_cell(out, &rows[i].pose[p], rows[i].pose[p].mae_px[k]);
  }
  fprintf(out, "\n");
}

/* Bars of the total error, the parts stacked; below each thin ones, a pose each. */
static int draw_chart(const char *path, const char *title, const row *rows, size_t count, char *message) {
  static const unsigned colors[] = {0x4c78a8, 0xf58518, 0x54a24b, 0xb279a2, 0xe45756, 0x72b7b2};
  static const unsigned greys[POSES] = {0x303030, 0x707070, 0xa0a0a0, 0xd0d0d0};
  enum { WIDTH = 1000, LEFT = 330, BAR = 22, THIN = 5, STEP = BAR + POSES * (THIN + 1) + 16, TOP = 50 };
  int height = TOP + (int)count * STEP + 40;
  double largest = 1e-9;
  canvas c = canvas_create(WIDTH, height, 0xffffff);
  if (c.pixels == NULL) return message_set(message, "%s: out of memory", path);
  for (size_t i = 0; i < count; i++) {
    largest = fmax(largest, rows[i].all.mae_total_px);
    for (int p = 0; p < POSES; p++) largest = fmax(largest, rows[i].pose[p].frames ? rows[i].pose[p].mae_total_px : 0);
  }
  canvas_text(&c, 12, 14, 2, title, 0x202020);
  for (size_t i = 0; i < count; i++) {
    const metrics *m = &rows[i].all;
    int y = TOP + (int)i * STEP;
    double x = LEFT, unit = (WIDTH - LEFT - 110) / largest;
    char number[32];
    canvas_text(&c, 12, (float)y + 6, 1.5f, rows[i].label, 0x202020);
    for (uint32_t k = 0; k < m->part_count; k++) {
      int from = (int)x, to = (int)(x + m->mae_px[k] * unit);
      canvas_rect(&c, from, y, to - from, BAR, colors[k % (sizeof colors / sizeof *colors)], 1);
      x += m->mae_px[k] * unit;
    }
    snprintf(number, sizeof number, "%.2f px", m->mae_total_px);
    canvas_text(&c, (float)x + 8, (float)y + 6, 1.5f, number, 0x202020);
    for (int p = 0; p < POSES; p++) {
      int length = rows[i].pose[p].frames ? (int)(rows[i].pose[p].mae_total_px * unit) : 0;
      canvas_rect(&c, LEFT, y + BAR + 2 + p * (THIN + 1), length, THIN, greys[p], 1);
    }
  }
  float x = 12;
  for (uint32_t k = 0; k < rows[0].all.part_count + POSES; k++) {
    uint32_t part = rows[0].all.part_count;
    const char *name = k < part ? rows[0].all.part_names[k] : pose_names[k - part];
    canvas_rect(&c, (int)x, height - 26, 12, 12, k < part ? colors[k % (sizeof colors / sizeof *colors)] : greys[k - part], 1);
    x += 18 + canvas_text(&c, x + 18, (float)height - 25, 1.5f, name, 0x202020) + 24;
  }
  int status = image_write(path, c.pixels, WIDTH, (uint32_t)height, 3, message);
  free(c.pixels);
  return status;
}

static cJSON *json_parts(const metrics *m) {
  if (m->frames == 0) return cJSON_CreateNull(); /* JSON has no NaN */
  cJSON *parts = cJSON_CreateObject();
  for (uint32_t k = 0; k < m->part_count; k++) cJSON_AddNumberToObject(parts, m->part_names[k], m->mae_px[k]);
  cJSON_AddNumberToObject(parts, "total", m->mae_total_px);
  return parts;
}

static int write_reports(const study *s, int number, const char *title, const row *rows, size_t count, char *message) {
  char *base = cli_format("%s/experiment%d-%s-%s%s%s", s->output, number, s->train.name, s->test, s->only ? "-" : "",
                          s->only ? s->only : "");
  for (char *p = base; s->only && (p = strchr(p, ' ')) != NULL;) *p = '-';
  char *table = cli_format("%s.md", base), *chart = cli_format("%s.png", base), *numbers = cli_format("%s.json", base);
  cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "rows");
  cJSON_AddStringToObject(root, "title", title);
  cJSON_AddStringToObject(root, "test", s->test);
  cJSON_AddStringToObject(root, "net", s->train.net);
  cJSON_AddNumberToObject(root, "samples", s->samples);
  for (size_t i = 0; i < count; i++) {
    const metrics *m = &rows[i].all;
    cJSON *one = cJSON_CreateObject(), *poses;
    cJSON_AddStringToObject(one, "label", rows[i].label);
    cJSON_AddNumberToObject(one, "mae_total_px", m->mae_total_px);
    cJSON_AddItemToObject(one, "model_mae_total_px", cJSON_CreateDoubleArray(rows[i].totals, rows[i].models));
    cJSON_AddNumberToObject(one, "nme_percent", m->nme_percent);
    cJSON_AddItemToObject(one, "mae_px", json_parts(m));
    poses = cJSON_AddObjectToObject(one, "pose_mae_px");
    for (int p = 0; p < POSES; p++) cJSON_AddItemToObject(poses, pose_names[p], json_parts(&rows[i].pose[p]));
    cJSON_AddItemToArray(list, one);
  }
  char *text = NULL;
  size_t size = 0;
  FILE *memory = open_memstream(&text, &size);
  int status = memory == NULL ? message_set(message, "%s: out of memory", table) : 0;
  if (memory != NULL) {
    print_table(memory, s, title, rows, count);
    fclose(memory);
  }
  if (status == 0) status = file_write(table, text, size, message);
  if (status == 0) status = json_write(numbers, root, message);
  if (status == 0) status = draw_chart(chart, title, rows, count, message);
  if (status == 0) printf("\n%s\nwrote %s, %s and %s\n", text, table, chart, numbers);
  free(text);
  cJSON_Delete(root);
  free(base);
  free(table);
  free(chart);
  free(numbers);
  return status;
}

int experiment_main(int argc, char **argv) {
  study s = {0};
  const char *order = NULL, *character_path = NULL;
  char message[MESSAGE_SIZE];
  int threads = 0, paper = 0, dry_run = 0;
  s.train = train_defaults();
  s.samples = 60000, s.repeat = 3, s.precision = "fp32";
  /* Steps count more than samples where these are few: 45000 samples of the film's four shots and renders in batches of 32 and
   * 8 left 7.39 and 4.92 px on the fifth shot. */
  s.train.batch = 8;
  s.train.name = NULL;
  augment_options *a = &s.train.augment;
  a->background = 0.5f, a->warp = 0.5f, a->perspective = 0.1f, a->motion = 0.15f, a->codec = 0.15f;
  const cli_option options[] = {
      {"-o", CLI_STRING, &s.output, "DIR", "folder for models, tables and charts"},
      {"--test", CLI_STRING, &s.test, "SHOT", "the shot that no model is trained on"},
      {"--synth", CLI_STRING, &s.synth, "DIR", "renders, as roto-train synth writes them"},
      {"--backgrounds", CLI_STRING, &s.train.backgrounds, "DIR", "pictures for backgrounds and occluders"},
      {"--order", CLI_STRING, &order, "SHOTS",
       "which true shots, and in which order: shot2,shot0 (default: all others, by name)"},
      {"--each", CLI_FLAG, &s.each, NULL, "rows of one true shot: a model for each shot in turn, and their mean"},
      {"--only", CLI_STRING, &s.only, "ROW", "of the table only the row of this name, as '4 shots'"},
      {"--dry-run", CLI_FLAG, &dry_run, NULL, "say what would be trained and how long it would take here, and stop"},
      {"--character", CLI_STRING, &character_path, "FILE", "template (default: FILM/character.json)"},
      {"--net", CLI_STRING, &s.train.net, "NET", "as of roto-train landmarks (default small)"},
      {"--paper", CLI_FLAG, &paper, NULL, "the paper's recipe: L1, Adam, rate 1e-3 and its schedule"},
      {"--name", CLI_STRING, &s.train.name, "TEXT", "what the files' names begin with (default: the network's)"},
      {"--samples", CLI_INTEGER, &s.samples, "N", "samples each model is trained on (default 60000)"},
      {"--repeat", CLI_INTEGER, &s.repeat, "N", "how often an epoch beside renders holds each true frame (default 3)"},
      {"--precision", CLI_STRING, &s.precision, "NAME", TRAIN_PRECISION_HELP},
      {"--batch", CLI_INTEGER, &s.train.batch, "N", "samples a step (default 8)"},
      {"--size", CLI_INTEGER, &s.train.size, "N", "side of the network's input in pixels (default: the configuration's)"},
      {"--seed", CLI_INTEGER, &s.train.seed, "N", "of weights, order and augmentation (default 1)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      AUGMENT_CLI(a),
  };
  const cli_command command = {
      "roto-train experiment",
      "1|2|3 FILM --test SHOT --synth DIR -o DIR",
      "The paper's experiments on a folder of shots: 1 raw, augmented and synthetic data; 2 number of true shots; 3 one "
      "ingredient removed.  Repeat the command to go on where it was stopped.",
      "roto-train experiment 2 film --test shot4 --synth renders --backgrounds plates -o results",
      options,
      sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 2) cli_usage(&command, "expected the experiment's number and a folder of shots");
  int number = atoi(argv[0]);
  if (number < 1 || number > 3) cli_usage(&command, "there are experiments 1, 2 and 3, found '%s'", argv[0]);
  if (s.output == NULL || s.test == NULL || s.synth == NULL) cli_usage(&command, "-o, --test and --synth are needed");
  if (s.samples < 1 || s.train.batch < 1) cli_usage(&command, "--samples and --batch must be at least 1");
  if (s.repeat < 1 || s.repeat > MOST_REPEATS) cli_usage(&command, "--repeat must be 1 to %d", MOST_REPEATS);
  s.film = argv[1];
  char *own_character = cli_format("%s/character.json", s.film);
  s.train.character = character_path != NULL ? character_path : own_character;
  s.train.quiet = 0;
  if (s.train.name == NULL) s.train.name = strchr(s.train.net, ' ') != NULL ? "own" : s.train.net;
  if (paper) train_as_paper(&s.train);
  shots_character(character_path, s.film, &s.ch);
  choose_shots(&s, order);
  if (dataset_load(s.test_folder, &s.ch, &s.ds, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  cli_make_folder(s.output);
  s.cp = compute_create(threads > 0 ? threads : cli_default_threads(), ROTO_ISA_AUTO);
  train_precision(&command, s.cp, s.precision);

  const recipe *recipes = tables[number - 1].rows;
  if (s.only != NULL) {
    int found = 0;
    for (size_t i = 0; i < MOST_ROWS && recipes[i].label != NULL; i++) found |= is_wanted(&s, &recipes[i]);
    if (!found) cli_usage(&command, "--only: experiment %d has no row '%s' with these shots", number, s.only);
  }
  row rows[MOST_ROWS];
  size_t count = 0;
  if (dry_run) plan(&s, recipes);
  for (size_t i = 0; !dry_run && i < MOST_ROWS && recipes[i].label != NULL; i++) {
    row r = {0};
    r.recipe = recipes[i];
    r.models = count_models(&s, &r.recipe);
    if (!is_wanted(&s, &r.recipe)) continue;
    snprintf(r.label, sizeof r.label, r.models > 1 ? "%s, mean of %d" : "%s", r.recipe.label, r.models);
    for (int k = 0; k < r.models; k++) {
      char *path = model_path(&s, &r.recipe, k);
      int status = train_model(&s, &r.recipe, k, path);
      if (status != EXIT_DONE) return status;
      measure_model(&s, &r, k, path);
      free(path);
    }
    rows[count++] = r;
    if (write_reports(&s, number, tables[number - 1].title, rows, count, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  }
  compute_free(s.cp);
  dataset_free(&s.ds);
  character_free(&s.ch);
  for (int i = 0; i < s.shot_count; i++) free(s.shots[i]);
  free(s.test_folder);
  free(own_character);
  return EXIT_DONE;
}
