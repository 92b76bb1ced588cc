/* Training from end to end, with the programs as users run them: test_training [FOLDER OF THE PROGRAMS [DATA]...].
 *
 * The data set is made here: pictures with five discs of different colours on a shaded ground, whose centres are the landmarks.
 * Trained on 32 of them, a network of 14 thousand parameters has to find the discs in 12 others.  Then the promises: the same
 * bytes on any number of threads and after any number of SIGKILLs, models that pass their self-test and mean the same to
 * roto-train and to roto, and checkpoints that are refused, with the reason, when they are damaged or of another run.
 *
 * A folder DATA that holds faces/validation, photographs with 68 landmarks, adds those to the comparison of roto-train with roto. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../roto.h"
#include "../tools/document.h"
#include "../tools/whole_file.h"
#include "../trainer/augment.h"
#include "../trainer/evaluate.h"
#include "../trainer/rng.h"
#include "check.h"

enum { LANDMARKS = 5, TRAINED = 32, HELD_OUT = 12, SIDE = 96, MAX_ARGUMENTS = 48, MAX_PATHS = 256 };

static char folder[256], trainer[512], runner[512], *paths[MAX_PATHS];
static size_t path_count;

/* ---- helpers ---- */

/* A path in the test's folder, kept to the end. */
static const char *in_folder(const char *format, ...) {
  char name[512];
  va_list list;
  va_start(list, format);
  vsnprintf(name, sizeof name, format, list);
  va_end(list);
  size_t base = strlen(folder) + 1, k = 0;
  while (k < path_count && strcmp(paths[k] + base, name) != 0) k++;
  if (k < path_count) return paths[k];
  char *path = malloc(base + strlen(name) + 1);
  if (path == NULL || path_count == MAX_PATHS) exit(1);
  sprintf(path, "%s/%s", folder, name);
  return paths[path_count++] = path;
}

/* A path in another folder, good until the next call. */
static const char *in_folder_of(const char *other, const char *name) {
  static char path[1200];
  snprintf(path, sizeof path, "%s/%s", other, name);
  return path;
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Starts a program with words that end in NULL, its output in `output` of the test's folder. */
static pid_t start(const char *program, const char *const *words) {
  const char *argv[MAX_ARGUMENTS + 2] = {program};
  for (int k = 0; words[k] != NULL && k < MAX_ARGUMENTS; k++) argv[k + 1] = words[k];
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    int out = open(in_folder("output"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(out, 1);
    dup2(out, 2);
    setenv("OMP_WAIT_POLICY", "passive", 1); /* threads that wait actively starve each other on a busy machine */
    execv(program, (char *const *)argv);
    _exit(127);
  }
  return child;
}

/* The exit status, or 1000 + the signal that ended it. */
static int finish(pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int run(const char *program, const char *const *words) {
  return finish(start(program, words));
}

/* A file's text for free(), or an empty one. */
static char *text_of(const char *path, size_t *size) {
  unsigned char *bytes;
  size_t count;
  if (file_read(path, (size_t)1 << 28, &bytes, &count, NULL) != 0) {
    bytes = calloc(1, 1);
    count = 0;
  }
  if (size != NULL) *size = count;
  return (char *)bytes;
}

static int same_bytes(const char *a, const char *b) {
  size_t na, nb;
  char *x = text_of(a, &na), *y = text_of(b, &nb);
  int same = na > 0 && na == nb && memcmp(x, y, na) == 0;
  free(x);
  free(y);
  return same;
}

static int output_has(const char *part) {
  char *text = text_of(in_folder("output"), NULL);
  int found = strstr(text, part) != NULL;
  free(text);
  return found;
}

static void show_output(const char *what) {
  char *text = text_of(in_folder("output"), NULL);
  printf("--- %s\n%s---\n", what, text);
  free(text);
}

static int exists(const char *path) {
  return access(path, F_OK) == 0;
}

static void remove_folder(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    char child[1024];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
    if (unlink(child) != 0) remove_folder(child);
  }
  if (dir != NULL) closedir(dir);
  rmdir(path);
}

/* ---- the data set ---- */

static void draw(unsigned char *pixels, double points[LANDMARKS][2], double radius, rng *r) {
  static const unsigned char colours[LANDMARKS][3] = {
      {230, 40, 40}, {40, 200, 60}, {50, 80, 240}, {240, 230, 60}, {245, 245, 245}};
  double slope_x = (double)rng_range(r, -0.3f, 0.3f), slope_y = (double)rng_range(r, -0.3f, 0.3f);
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE; x++)
      for (int k = 0; k < 3; k++) {
        double v = 90 + slope_x * x + slope_y * y + (double)rng_range(r, -8, 8);
        for (int p = 0; p < LANDMARKS; p++) {
          double inside = radius + 0.5 - hypot(x + 0.5 - points[p][0], y + 0.5 - points[p][1]);
          inside = fmin(fmax(inside, 0), 1); /* of this pixel, about */
          v += inside * (colours[p][k] - v);
        }
        pixels[(y * SIDE + x) * 3 + k] = (unsigned char)fmin(fmax(v, 0), 255);
      }
}

static void make_frames(const char *shot, int count, uint64_t seed) {
  static const double layout[LANDMARKS][2] = {{-1, -1}, {1, -1}, {0, 0}, {-0.8, 1}, {0.8, 1}};
  unsigned char *file = malloc(64 + SIDE * SIDE * 3);
  CHECK(file != NULL && mkdir(in_folder("%s", shot), 0777) == 0);
  for (int i = 1; file != NULL && i <= count; i++) {
    rng r = {rng_seed(seed, 0, (uint64_t)i)};
    double points[LANDMARKS][2], spread = (double)rng_range(&r, 18, 26);
    double cx = (double)rng_range(&r, 40, 56), cy = (double)rng_range(&r, 40, 56);
    char json[512], *at = json;
    for (int p = 0; p < LANDMARKS; p++) {
      points[p][0] = cx + spread * layout[p][0] + (double)rng_range(&r, -6, 6);
      points[p][1] = cy + spread * layout[p][1] + (double)rng_range(&r, -6, 6);
    }
    int header = sprintf((char *)file, "P6\n%d %d\n255\n", SIDE, SIDE);
    draw(file + header, points, spread / 4.5, &r);
    CHECK(file_write(in_folder("%s/image-%s-frame%03d.ppm", shot, shot, i), file, (size_t)(header + SIDE * SIDE * 3), NULL) ==
          0);
    at += sprintf(at, "{\"points\": [");
    for (int p = 0; p < LANDMARKS; p++) /* one landmark in seven frames is not known */
      at += i % 7 == 3 && p == i % LANDMARKS ? sprintf(at, "%s[0, 0]", p ? ", " : "")
                                             : sprintf(at, "%s[%.3f, %.3f]", p ? ", " : "", points[p][0], points[p][1]);
    at += sprintf(at, "]}\n");
    CHECK(file_write(in_folder("%s/points-%s-frame%03d.json", shot, shot, i), json, (size_t)(at - json), NULL) == 0);
  }
  free(file);
}

static void make_data(void) {
  static const char template_text[] =
      "{\"name\": \"discs\", \"parts\": [{\"name\": \"upper\", \"weight\": 1}, {\"name\": \"the \\\"lower\\\"\", \"weight\": "
      "2}],\n"
      " \"landmarks\": [{\"name\": \"red\", \"part\": \"upper\"}, {\"name\": \"green\", \"part\": \"upper\"},\n"
      "  {\"name\": \"blue\", \"part\": \"upper\", \"weight\": 2}, {\"name\": \"yellow\", \"part\": \"the \\\"lower\\\"\"},\n"
      "  {\"name\": \"white\", \"part\": \"the \\\"lower\\\"\"}],\n"
      " \"shapes\": [], \"anchors\": [\"red\", \"green\"]}\n";
  make_frames("discs", TRAINED, 1);
  make_frames("held", HELD_OUT, 2);
  CHECK(file_write(in_folder("discs/character.json"), template_text, sizeof template_text - 1, NULL) == 0);
  CHECK(file_write(in_folder("held/character.json"), template_text, sizeof template_text - 1, NULL) == 0);
}

/* ---- training runs ---- */

/* Words of a training command: the words common to a kind of run, then those given, up to NULL. */
typedef struct words {
  const char *list[MAX_ARGUMENTS];
  int count;
} words;

static void append(words *w, const char *const *more) {
  for (; *more != NULL && w->count < MAX_ARGUMENTS - 1; more++) w->list[w->count++] = *more;
  w->list[w->count] = NULL;
}

/* A heat-map network that learns the discs, and a run of the paper's kind with everything random a step can have: dropout,
 * stochastic depth, augmentation. */
static words learning_run(const char *output, const char *threads) {
  const char *const list[] = {"landmarks",
                              in_folder("discs"),
                              "--validation",
                              in_folder("held"),
                              "--net",
                              "act relu conv 3 2 16 conv 3 2 24 basic 24 1 1 points 1",
                              "--size",
                              "48",
                              "--epochs",
                              "40",
                              "--batch",
                              "4",
                              "--flip",
                              "0",
                              "--rotation",
                              "5",
                              "--occlude",
                              "0",
                              "--rate",
                              "5e-3",
                              "--average",
                              "0.95",
                              "--evaluate-every",
                              "20",
                              "--threads",
                              threads,
                              "-o",
                              output,
                              NULL};
  words w = {{NULL}, 0};
  append(&w, list);
  return w;
}

static const char *precision = "fp32"; /* of random_run */

static words random_run(const char *output, const char *threads) {
  const char *const list[] = {"landmarks",
                              in_folder("discs"),
                              "--validation",
                              in_folder("held"),
                              "--net",
                              "act swish survive 0.7 conv 3 2 8 mb 4 3 2 12 2 mb 4 5 2 16 2 dropout 0.2 regress",
                              "--size",
                              "32",
                              "--epochs",
                              "6",
                              "--batch",
                              "5",
                              "--paper",
                              "--evaluate-every",
                              "2",
                              "--checkpoint-seconds",
                              "0",
                              "--threads",
                              threads,
                              "--precision",
                              precision,
                              "-o",
                              output,
                              NULL};
  words w = {{NULL}, 0};
  append(&w, list);
  return w;
}

/* One field (from 0) of a line of the log, 1 being the first epoch; -1: the last line.  NAN if it is empty or missing. */
static double log_value(const char *model, int line, int field) {
  char path[1100], *end;
  snprintf(path, sizeof path, "%s.csv", model);
  char *text = text_of(path, NULL), *at = text, *last = text;
  int count = 0;
  for (char *next = text; *next != 0; count++) {
    last = next;
    if (count == line) at = next;
    next = strchr(next, '\n');
    if (next == NULL) break;
    next++;
  }
  if (line < 0) at = last;
  while (field-- > 0 && at != NULL) at = strchr(at, ',') == NULL ? NULL : strchr(at, ',') + 1;
  double value = at == NULL ? NAN : strtod(at, &end);
  if (at != NULL && end == at) value = NAN;
  free(text);
  return value;
}

/* Equal logs, but for the last column, the time that was spent. */
static int same_logs(const char *a, const char *b) {
  char pa[1100], pb[1100];
  snprintf(pa, sizeof pa, "%s.csv", a);
  snprintf(pb, sizeof pb, "%s.csv", b);
  char *x = text_of(pa, NULL), *y = text_of(pb, NULL), *px = x, *py = y;
  int same = *x != 0;
  while (same && *px != 0 && *py != 0) {
    size_t nx = strcspn(px, "\n"), ny = strcspn(py, "\n"), kx = nx, ky = ny;
    while (kx > 0 && px[kx] != ',') kx--;
    while (ky > 0 && py[ky] != ',') ky--;
    same = kx > 0 && kx == ky && memcmp(px, py, kx) == 0;
    px += nx + (px[nx] == '\n');
    py += ny + (py[ny] == '\n');
  }
  same = same && *px == 0 && *py == 0;
  free(x);
  free(y);
  return same;
}

static void learns(void) {
  double begin = seconds();
  words w = learning_run(in_folder("learned.roto"), "2");
  int status = run(trainer, w.list);
  if (!CHECK(status == 0, "training ended with %d", status)) show_output("training");
  const char *model = in_folder("learned.roto");
  double first = log_value(model, 1, 2), last = log_value(model, -1, 2), nme = log_value(model, -1, 3),
         early = log_value(model, 20, 3);
  printf("  discs: loss %.3f to %.3f, NME %.2f %% after 20 epochs, %.2f %% after 40, %.1f s\n", first, last, early, nme,
         seconds() - begin);
  CHECK(last < 0.6 * first, "loss fell from %g to %g", first, last);
  CHECK(nme < 3, "NME %g %%", nme);
  CHECK(log_value(model, -1, 0) == 40);
  CHECK(isnan(log_value(model, 19, 3)) && isnan(log_value(model, 19, 4)) && log_value(model, 19, 5) >= 0);
  CHECK(exists(in_folder("learned.roto.png")) && !exists(in_folder("learned.roto.checkpoint")));
}

static void threads_change_nothing(void) {
  words w = learning_run(in_folder("alone.roto"), "1");
  CHECK(run(trainer, w.list) == 0);
  CHECK(same_bytes(in_folder("learned.roto"), in_folder("alone.roto")), "1 and 2 threads give different models");
  CHECK(same_logs(in_folder("learned.roto"), in_folder("alone.roto")));
}

static void seeds_change_everything(void) {
  static const char *const short_run[] = {"--epochs", "2", "--net", "act hardswish conv 3 2 8 bottle 16 2 1 pyramid 8 points 3",
                                          NULL},
                           *const other[] = {"--seed", "2", NULL};
  words a = random_run(in_folder("seed2.roto"), "2"), b = random_run(in_folder("seed1.roto"), "2");
  append(&a, short_run);
  append(&a, other);
  append(&b, short_run);
  CHECK(run(trainer, a.list) == 0 && run(trainer, b.list) == 0);
  CHECK(exists(in_folder("seed2.roto")) && !same_bytes(in_folder("seed1.roto"), in_folder("seed2.roto")));
}

/* ---- killed and resumed ---- */

static void wait_seconds(double time) {
  struct timespec t = {(time_t)time, (long)((time - floor(time)) * 1e9)};
  nanosleep(&t, NULL);
}

/* Waits until the file was replaced so many times, or the program has ended. */
static void wait_for_changes(pid_t child, const char *path, int changes) {
  struct stat before = {0}, now;
  siginfo_t info = {0};
  stat(path, &before);
  while (changes > 0 && waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
    wait_seconds(0.0003);
    if (stat(path, &now) != 0 || (now.st_ino == before.st_ino && now.st_mtim.tv_nsec == before.st_mtim.tv_nsec)) continue;
    before = now;
    changes--;
  }
}

static void killed_runs_end_the_same(void) {
  words w = random_run(in_folder("whole.roto"), "2");
  double begin = seconds();
  int status = run(trainer, w.list);
  if (!CHECK(status == 0, "training ended with %d", status)) show_output("training");
  double length = seconds() - begin;

  rng r = {rng_seed((uint64_t)time(NULL), (uint64_t)getpid(), 0)}; /* other moments in every run of the test */
  int kills = 0, resumed = 0;                                      /* of the run that ended at last */
  for (int attempt = 0; attempt < 60; attempt++) {
    static const char *const threads[] = {"2", "1", "3"};
    words k = random_run(in_folder("killed.roto"), threads[attempt % 3]);
    pid_t child = start(trainer, k.list);
    if (kills < 9) { /* 36 batches: after 0 to 4 of them, and then at any moment of the next */
      wait_for_changes(child, in_folder("killed.roto.checkpoint"), (int)rng_below(&r, 5));
      wait_seconds(length / 30 * (double)rng_uniform(&r));
      kill(child, kills == 1 ? SIGINT : SIGKILL);
    }
    status = finish(child);
    if (status == 0) {
      resumed = output_has("going on from");
      if (kills >= 2 && resumed) break;
      kills = 0; /* it was over too soon: from the start */
      remove(in_folder("killed.roto")), remove(in_folder("killed.roto.csv"));
      continue;
    }
    kills++;
    if (!CHECK(status == 1000 + SIGKILL || status == 128 + SIGINT || status == 1000 + SIGINT, "a killed run ended with %d",
               status)) {
      show_output("a resumed run");
      break;
    }
  }
  printf("  %d runs killed before one ended; without kills it took %.1f s\n", kills, length);
  CHECK(status == 0);
  CHECK(kills >= 2 && resumed);
  CHECK(same_bytes(in_folder("whole.roto"), in_folder("killed.roto")), "the resumed run ended with another model");
  CHECK(same_logs(in_folder("whole.roto"), in_folder("killed.roto")), "the resumed run ended with another log");
  CHECK(!exists(in_folder("killed.roto.checkpoint")));

  DIR *dir = opendir(folder);
  int left = 0;
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
    left += strncmp(entry->d_name, "killed.roto.checkpoint.", 23) == 0;
  if (dir != NULL) closedir(dir);
  CHECK(left == 0, "%d parts of checkpoints were left behind", left);
}

/* A checkpoint of an interrupted run, to be damaged. */
static char *make_checkpoint(size_t *size) {
  char *bytes = NULL;
  for (int attempt = 0; attempt < 20; attempt++) {
    words w = random_run(in_folder("stopped.roto"), "2");
    pid_t child = start(trainer, w.list);
    for (int k = 0; k < 2000 && !exists(in_folder("stopped.roto.checkpoint")); k++) wait_seconds(0.002);
    kill(child, SIGKILL);
    finish(child);
    bytes = text_of(in_folder("stopped.roto.checkpoint"), size);
    if (*size > 0) break;
    free(bytes);
    bytes = NULL;
  }
  return bytes;
}

static void refuses(const char *bytes, size_t size, const char *reason, const char *const *more) {
  static const char *const nothing[] = {NULL};
  const char *path = in_folder("stopped.roto.checkpoint");
  remove(in_folder("stopped.roto"));
  CHECK(file_write(path, bytes, size, NULL) == 0);
  words w = random_run(in_folder("stopped.roto"), "2");
  append(&w, more != NULL ? more : nothing);
  int status = run(trainer, w.list);
  if (!CHECK(status == 3 && output_has(path) && output_has(reason) && output_has("--restart"), "status %d, expected '%s'",
             status, reason))
    show_output("refusal");
  size_t now;
  char *kept = text_of(path, &now);
  CHECK(now == size && memcmp(kept, bytes, size) == 0); /* the user may still want it */
  free(kept);
  CHECK(!exists(in_folder("stopped.roto")));
}

static void bad_checkpoints_are_refused(void) {
  static const char *const other_seed[] = {"--seed", "9", NULL}, *const other_net[] = {"--net", "conv 3 2 8 regress", NULL},
                           *const other_size[] = {"--size", "40", NULL};
  size_t size = 0;
  char *bytes = make_checkpoint(&size);
  if (!CHECK(bytes != NULL)) return;
  refuses(bytes, size - 1, "damaged", NULL);
  refuses(bytes, size / 2, "damaged", NULL);
  rng r = {rng_seed(1, 2, 3)};
  for (int k = 0; k < 3; k++) {
    size_t at = 8 + rng_below(&r, (uint32_t)size - 8);
    bytes[at] ^= 0x10;
    refuses(bytes, size, "damaged", NULL);
    bytes[at] ^= 0x10;
  }
  refuses("epoch,loss\n", 11, "not a checkpoint", NULL);
  refuses("", 0, "not a checkpoint", NULL);
  refuses(bytes, size, "other options", other_net);
  refuses(bytes, size, "other options", other_size);
  refuses(bytes, size, "other options", other_seed);

  words w = random_run(in_folder("stopped.roto"), "2");
  static const char *const restart[] = {"--restart", NULL};
  bytes[size / 2] ^= 1;
  CHECK(file_write(in_folder("stopped.roto.checkpoint"), bytes, size, NULL) == 0);
  append(&w, restart);
  CHECK(run(trainer, w.list) == 0);
  CHECK(same_bytes(in_folder("stopped.roto"), in_folder("whole.roto")));
  free(bytes);
}

/* ---- what a model says ---- */

/* A number of the JSON object that eval printed, or of its member `inside`; NAN if it is not there. */
static double json_value(const char *inside, const char *name) {
  char *text = text_of(in_folder("output"), NULL);
  cJSON *root = cJSON_Parse(text);
  const cJSON *from = inside != NULL ? cJSON_GetObjectItemCaseSensitive(root, inside) : root;
  double value = NAN;
  if (!json_number(cJSON_GetObjectItemCaseSensitive(from, name), &value)) show_output("eval");
  cJSON_Delete(root);
  free(text);
  return value;
}

static void models_say_what_the_log_says(const char *name) {
  const char *model = in_folder("%s", name);
  const char *const evaluate[] = {"eval", "--model", model, "--data", in_folder("held"), "--json", NULL};
  int status = run(trainer, evaluate);
  if (!CHECK(status == 0, "eval ended with %d", status)) show_output("eval");
  /* the log has 4 decimals, of figures from decoded crops instead of whole frames */
  CHECK(json_value(NULL, "frames") == HELD_OUT && json_value(NULL, "failed") == 0);
  CHECK(fabs(json_value(NULL, "nme_percent") - log_value(model, -1, 3)) <= 0.001, "%s: eval says NME %.5f, the log %.5f", name,
        json_value(NULL, "nme_percent"), log_value(model, -1, 3));
  CHECK(fabs(json_value("mae_px", "total") - log_value(model, -1, 4)) <= 0.001);
  CHECK(fabs(json_value("mae_px", "upper") + json_value("mae_px", "the \"lower\"") - json_value("mae_px", "total")) <= 0.001);
  CHECK(json_value(NULL, "jitter_px") > 0); /* the frames follow each other, if only by number */

  roto_model *opened = NULL;
  CHECK(roto_open_file(model, NULL, &opened) == ROTO_OK);
  for (int isa = ROTO_ISA_SCALAR; opened != NULL && isa <= (int)roto_best_isa(); isa++) {
    roto_options options = {0};
    roto_model *capped = NULL;
    roto_session *session = NULL;
    float difference = 1;
    options.max_isa = (roto_isa)isa;
    CHECK(roto_open_file(model, &options, &capped) == ROTO_OK);
    CHECK(capped != NULL && roto_session_create(capped, NULL, &session) == ROTO_OK);
    CHECK(session != NULL && roto_selftest(session, &difference) == ROTO_OK);
    printf("  %s: self-test on %s differs by %.1e\n", name, roto_isa_name((roto_isa)isa), (double)difference);
    CHECK(difference <= 1e-5f, "%g", (double)difference);
    roto_session_free(session);
    roto_close(capped);
  }
  roto_close(opened);
}

/* `roto run` on the frames of a folder, whose names are `pattern`, gives the points of the trainer's own evaluation: once with the
 * crops that eval makes of the true landmarks and one look, once with those crops as rough ones. */
static void roto_run_agrees_with_eval(const char *model_path, const char *data, const char *template_path,
                                      const char *pattern) {
  char message[MESSAGE_SIZE] = "", *json, *at;
  character ch;
  dataset ds;
  roto_model *model = NULL;
  CHECK(roto_open_file(model_path, NULL, &model) == ROTO_OK);
  if (!CHECK(model != NULL && character_load(template_path, &ch, message) == 0 && dataset_load(data, &ch, &ds, message) == 0,
             "%s", message))
    return;
  const char *crops_path = in_folder("crops.json"), *found_path = in_folder("found.roto.json");
  json = at = malloc(128 * ds.frame_count + 16);
  float *predicted = malloc(ds.frame_count * ds.landmark_count * 2 * sizeof *predicted);
  roto_rect *crops = malloc(ds.frame_count * sizeof *crops);
  if (!CHECK(json != NULL && predicted != NULL && crops != NULL)) return;
  for (size_t i = 0; i < ds.frame_count; i++) {
    roto_rect crop = augment_box(&ds.frames[i], roto_get_info(model)->crop_margin);
    at += sprintf(at, "%c\"%u\": [%.9g, %.9g, %.9g, %.9g]", i ? ',' : '{', ds.frames[i].number, (double)crop.x, (double)crop.y,
                  (double)crop.width, (double)crop.height);
  }
  at += sprintf(at, "}\n");
  CHECK(file_write(crops_path, json, (size_t)(at - json), NULL) == 0);
  CHECK(crops_load(crops_path, &ds, crops, message) == 0, "%s", message);
  compute *cp = compute_create(1, 0);
  for (int rough = 0; rough < 2; rough++) {
    CHECK(evaluate_model(cp, model, &ds, rough ? crops : NULL, 0, predicted, NULL, message) == 0, "%s", message);
    const char *const find[] = {
        "run", in_folder_of(data, pattern), "--model", model_path, "--crops", crops_path, "-o", found_path, "--views",
        "1",   rough ? NULL : "--looks",    "1",       NULL};
    document doc;
    remove(found_path);
    int status = run(runner, find);
    if (!CHECK(status == 0, "roto run ended with %d", status)) show_output("roto run");
    if (!CHECK(document_read(found_path, &doc, message) == 0, "%s", message)) continue;
    double worst = 0;
    CHECK(doc.frame_count == ds.frame_count && doc.point_count == ds.landmark_count);
    for (size_t i = 0; i < ds.frame_count && i < doc.frame_count; i++) {
      CHECK(doc.frames[i].number == (int)ds.frames[i].number);
      for (size_t k = 0; k < ds.landmark_count; k++) {
        const float *p = predicted + (i * ds.landmark_count + k) * 2;
        double apart = fmax(fabs(doc.frames[i].points[k].x - (double)p[0]), fabs(doc.frames[i].points[k].y - (double)p[1]));
        if (!(apart <= worst)) worst = apart;
      }
    }
    printf("  %s, %zu frames, %s: roto run and roto-train eval differ by at most %.4f px\n", pattern, ds.frame_count,
           rough ? "rough crops" : "crops of the true landmarks", worst);
    CHECK(worst <= 0.01, "%g px", worst);
    document_free(&doc);
  }
  compute_free(cp);
  free(json);
  free(predicted);
  free(crops);
  dataset_free(&ds);
  character_free(&ch);
  roto_close(model);
}

/* On the discs; on a shot of the demo, with the demo's model; and, where there are any, on photographs, with a model that has seen
 * them once: good or not, both must find the same. */
static void roto_run_agrees_everywhere(const char *faces) {
  if (!exists(runner)) {
    SKIP("roto");
    return;
  }
  roto_run_agrees_with_eval(in_folder("learned.roto"), in_folder("held"), in_folder("held/character.json"),
                            "image-held-frame%03d.ppm");
  const char *const render[] = {"demo", "-o", in_folder("puppet"), "--frames", "6", "--seed", "4202", NULL};
  int status = run(trainer, render);
  if (!CHECK(status == 0, "roto-train demo ended with %d", status)) show_output("roto-train demo");
  roto_run_agrees_with_eval("demo/puppet.roto", in_folder("puppet"), in_folder("puppet/character.json"),
                            "image-shot0-frame%03d.png");
  if (faces == NULL) {
    SKIP("folder of photographs (DATA=folder with faces/validation)");
    return;
  }
  const char *template_path = "trainer/templates/faces68.json";
  const char *const train[] = {"landmarks", faces,  "--character", template_path,           "--net", "tiny", "--epochs", "1",
                               "--rate",    "1e-3", "-o",          in_folder("faces.roto"), NULL};
  status = run(trainer, train);
  if (!CHECK(status == 0, "training on %s ended with %d", faces, status)) show_output("training");
  roto_run_agrees_with_eval(in_folder("faces.roto"), faces, template_path, "image-validation-frame%04d.jpg");
}

/* From a trained trunk with another head: the same bytes on any number of threads and across an interruption, and better than
 * the first epochs were. */
static void starts_from_a_trunk(void) {
  const char *outputs[] = {in_folder("tuned1.roto"), in_folder("tuned2.roto"), in_folder("tuned3.roto")};
  for (int i = 0; i < 3; i++) {
    words w = learning_run(outputs[i], i == 1 ? "2" : "1");
    const char *const more[] = {
        "--from", in_folder("learned.roto"), "--freeze", "2", "--net", "points 3", "--epochs", "4", "--evaluate-every",
        "4",      "--checkpoint-seconds",    "0",        NULL};
    append(&w, more);
    int status = i < 2 ? run(trainer, w.list) : 0;
    if (i == 2) { /* stopped on both sides of the thaw */
      for (int kills = 0; kills < 2; kills++) {
        pid_t child = start(trainer, w.list);
        int ended = 0;
        while (!ended && !(log_value(outputs[i], -1, 0) >= 1 + 2 * kills)) ended = waitpid(child, &status, WNOHANG) != 0;
        if (ended) break;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
      }
      status = run(trainer, w.list);
    }
    if (!CHECK(status == 0, "fine-tuning ended with %d", status)) show_output("fine-tuning");
  }
  CHECK(same_bytes(outputs[0], outputs[1]), "two threads gave other bytes");
  CHECK(same_bytes(outputs[0], outputs[2]), "an interrupted run gave other bytes");
  double nme = log_value(outputs[0], -1, 3), scratch = log_value(in_folder("learned.roto"), 4, 2),
         tuned = log_value(outputs[0], -1, 2);
  printf("  from a trunk: loss %.3f after 4 epochs, %.3f from nothing, NME %.2f %%\n", tuned, scratch, nme);
  CHECK(tuned < scratch);
  const char *const selftest[] = {"model", "selftest", outputs[0], NULL};
  CHECK(run(runner, selftest) == 0);
  words lone = learning_run(in_folder("never.roto"), "1");
  const char *const freeze[] = {"--freeze", "2", NULL}, *const missing[] = {"--from", in_folder("missing.roto"), NULL};
  append(&lone, freeze);
  CHECK(run(trainer, lone.list) == 2 && output_has("--from"));
  lone = learning_run(in_folder("never.roto"), "1");
  append(&lone, missing);
  CHECK(run(trainer, lone.list) == 4 && output_has("missing.roto"));
}

/* In mixed precision too: it learns as well, and bits depend neither on threads nor on interruptions. */
static void mixed_precision(void) {
  static const char *const mixed[] = {"--precision", "mixed", NULL};
  words w = learning_run(in_folder("mixed.roto"), "2");
  append(&w, mixed);
  int status = run(trainer, w.list), can = roto_has_precision(ROTO_PRECISION_BF16);
  if (!can) {
    CHECK(status == 1 && output_has("AVX512-BF16") && output_has("--precision fp32"), "status %d", status);
    SKIP("mixed precision: no AVX512-BF16 here");
    return;
  }
  if (!CHECK(status == 0, "training in mixed precision ended with %d", status)) show_output("mixed precision");
  double nme = log_value(in_folder("mixed.roto"), -1, 3), full = log_value(in_folder("learned.roto"), -1, 3);
  printf("  NME in mixed precision %.3f %%, in fp32 %.3f %%\n", nme, full);
  CHECK(nme < 1.25 * full, "%g against %g", nme, full);
  CHECK(!same_bytes(in_folder("mixed.roto"), in_folder("learned.roto")));
  remove(in_folder("whole.roto"));
  remove(in_folder("killed.roto"));
  precision = "mixed";
  killed_runs_end_the_same();
  precision = "fp32";
  size_t size = 0;
  char *bytes = make_checkpoint(&size);
  if (CHECK(bytes != NULL)) refuses(bytes, size, "other options", mixed);
  free(bytes);
}

int main(int argc, char **argv) {
  const char *programs = argc > 1 ? argv[1] : "build", *temporary = getenv("TMPDIR"), *given = getenv("ROTO_TRAIN");
  snprintf(folder, sizeof folder, "%s/roto-training-XXXXXX",
           temporary != NULL               ? temporary
           : access("/dev/shm", W_OK) == 0 ? "/dev/shm" /* hundreds of fsyncs */
                                           : "/tmp");
  snprintf(trainer, sizeof trainer, "%s", given != NULL ? given : "");
  if (given == NULL) snprintf(trainer, sizeof trainer, "%s/roto-train", programs);
  snprintf(runner, sizeof runner, "%s/roto", programs);
  char faces[1200] = "";
  for (int i = 2; i < argc; i++)
    if (exists(in_folder_of(argv[i], "faces/validation"))) snprintf(faces, sizeof faces, "%s/faces/validation", argv[i]);
  if (CHECK(exists(trainer), "%s is missing; build it, or name it in ROTO_TRAIN", trainer) &&
      CHECK(mkdtemp(folder) != NULL, "%s: %s", folder, strerror(errno))) {
    make_data();
    learns();
    starts_from_a_trunk();
    threads_change_nothing();
    seeds_change_everything();
    killed_runs_end_the_same();
    bad_checkpoints_are_refused();
    models_say_what_the_log_says("learned.roto");
    models_say_what_the_log_says("whole.roto");
    models_say_what_the_log_says("seed2.roto");
    mixed_precision();
    roto_run_agrees_everywhere(*faces ? faces : NULL);
    remove_folder(folder);
    while (path_count > 0) free(paths[--path_count]);
  }
  return check_end("test_training");
}
