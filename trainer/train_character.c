/* See train_character.h.  Landmarks, shapes, refinement, self-test, figures, report, each by the part that does it alone as well.
 * The landmark model waits beside the output until everything is done, so that a run that is stopped goes on where it was. */

#include "train_character.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tools/cli.h"
#include "../tools/model_file.h"
#include "evaluate.h"
#include "finetune.h"
#include "refine.h"
#include "report.h"
#include "shape_model.h"
#include "train.h"

typedef struct job {
  train_options train;
  shape_options shapes;
  const char *data, *output, *hold_out, *report;
  int looks; /* crops of the second look; 0: none */
  char *template_path, *report_path;
  char *landmarks, *second; /* models on the way: after the landmarks, after the second look */
  compute *cp;
  character ch;
  dataset all, measured;
  int held_out;   /* shot of `all`, -1: none */
  char **folders; /* of the shots to train on */
  size_t folder_count;
  char *held_folder;
} job;

static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash == NULL ? cli_format(".") : cli_format("%.*s", (int)(slash - path), path);
}

/* A folder a shot, so that one can be left out; without such folders everything is trained on. */
static void divide_shots(job *j) {
  char **of_shot = cli_alloc(j->all.shot_count, sizeof *of_shot);
  int separate = j->all.shot_count > 1;
  for (size_t i = 0; i < j->all.frame_count; i++) {
    const frame *f = &j->all.frames[i];
    if (of_shot[f->shot] == NULL) of_shot[f->shot] = folder_of(f->image_path);
  }
  for (size_t i = 1; i < j->all.shot_count; i++)
    for (size_t k = 0; k < i; k++) separate &= strcmp(of_shot[i], of_shot[k]) != 0;
  j->held_out = -1;
  if (j->train.validation == NULL && strcmp(j->hold_out, "none") != 0 && separate) {
    j->held_out = (int)j->all.shot_count - 1;
    for (size_t i = 0; *j->hold_out && i < j->all.shot_count; i++)
      if (strcmp(j->all.shots[i], j->hold_out) == 0) j->held_out = (int)i;
  }
  if (*j->hold_out && strcmp(j->hold_out, "none") != 0 &&
      (j->held_out < 0 || strcmp(j->all.shots[j->held_out], j->hold_out) != 0))
    cli_fail(EXIT_USAGE, "--hold-out %s: %s has no such shot in a folder of its own", j->hold_out, j->data);
  if (j->held_out < 0) {
    j->folders = cli_alloc(1, sizeof *j->folders);
    j->folders[j->folder_count++] = cli_format("%s", j->data);
  } else {
    j->folders = cli_alloc(j->all.shot_count, sizeof *j->folders);
    j->held_folder = cli_format("%s", of_shot[j->held_out]);
    for (size_t i = 0; i < j->all.shot_count; i++)
      if ((int)i != j->held_out) j->folders[j->folder_count++] = cli_format("%s", of_shot[i]);
  }
  for (size_t i = 0; i < j->all.shot_count; i++) free(of_shot[i]);
  free(of_shot);
}

static void train_landmarks(job *j) {
  j->train.data = j->folders;
  j->train.data_count = j->folder_count;
  if (j->held_folder != NULL) j->train.validation = j->held_folder;
  j->train.character = j->template_path;
  j->train.output = j->landmarks;
  if (!j->train.restart && access(j->landmarks, F_OK) == 0) {
    if (!j->train.quiet) printf("landmarks: %s is there already, from a run that was stopped\n", j->landmarks);
    return;
  }
  if (!j->train.quiet && j->held_folder != NULL) printf("landmarks: trained without %s, which is measured\n", j->held_folder);
  int status = train_run(j->cp, &j->train);
  if (status != EXIT_DONE) exit(status);
}

/* The landmarks again, close up, by a network of its own. */
static void train_looks(job *j) {
  train_options o = j->train;
  train_second(&o);
  o.looks = j->looks;
  o.second = j->landmarks;
  o.output = j->second;
  o.from = o.character = NULL;
  if (!o.restart && access(j->second, F_OK) == 0) return;
  if (!o.quiet) printf("second look: %d crops\n", j->looks);
  int status = train_run(j->cp, &o);
  if (status != EXIT_DONE) exit(status);
}

/* Adds the shapes if there are any to learn from; writes the output. */
static void train_shapes(job *j) {
  char message[MESSAGE_SIZE];
  model_file file;
  unsigned char *bytes = NULL;
  size_t size = 0;
  const char *found = j->looks > 0 ? j->second : j->landmarks;
  if (model_open(found, ROTO_ISA_AUTO, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  int drawn = 0;
  for (size_t i = 0; i < j->all.frame_count; i++) drawn |= j->all.frames[i].shape_count > 0;
  if (j->ch.shape_count == 0 || !drawn) {
    if (!j->train.quiet) printf("shapes: the data show none, so the model finds landmarks alone\n");
    if (file_write(j->output, file.data, file.size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  } else {
    if (shape_train(j->cp, &j->shapes, file.model, file.data, file.size, &j->all, j->held_out, &bytes, &size, message) != 0)
      cli_fail(cli_interrupted() ? cli_interrupted() : EXIT_FAILED, "%s", message);
    if (file_write(j->output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  }
  free(bytes);
  model_close(&file);
}

/* Adds contours and distribution; the frames stay in memory from here on. */
static void train_refinement(job *j) {
  char message[MESSAGE_SIZE];
  model_file file;
  unsigned char *bytes = NULL;
  size_t size = 0;
  if (model_open(j->output, ROTO_ISA_AUTO, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (dataset_cache(&j->all, compute_each, j->cp, message) != 0 ||
      refine_train(j->cp, file.model, file.data, file.size, &j->all, j->held_out, j->train.seed, &bytes, &size, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  if (bytes != NULL && file_write(j->output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  free(bytes);
  model_close(&file);
}

static void measure(job *j) {
  char message[MESSAGE_SIZE];
  model_file file;
  roto_session *session;
  report r = {0};
  shape_metrics found, given;
  const char *folder = j->held_folder != NULL ? j->held_folder : j->train.validation != NULL ? j->train.validation : j->data;
  char *curves = cli_format("%s.png", j->landmarks);
  if (dataset_load(folder, &j->ch, &j->measured, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (model_open(j->output, ROTO_ISA_AUTO, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (roto_session_create(file.model, NULL, &session) != ROTO_OK) cli_fail(EXIT_FAILED, "out of memory");
  if (roto_selftest(session, &r.selftest_difference) != ROTO_OK)
    cli_fail(EXIT_FAILED, "%s does not reproduce its self-test: largest difference %g", j->output,
             (double)r.selftest_difference);
  roto_session_free(session);
  size_t n = j->measured.frame_count, points = j->measured.landmark_count;
  float *predicted = cli_alloc(2 * n * points, sizeof *predicted), *truth = cli_alloc(2 * n * points, sizeof *truth);
  double *nme = cli_alloc(n, sizeof *nme);
  if (evaluate_model(j->cp, file.model, &j->measured, NULL, 0, predicted, NULL, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  metrics m = metrics_compute(&j->ch, &j->measured, predicted, nme);
  for (size_t i = 0; i < n * points; i++) {
    const frame *f = &j->measured.frames[i / points];
    size_t k = i % points;
    truth[2 * i] = f->valid[k] || f->hidden[k] ? f->points[2 * k] : NAN;
    truth[2 * i + 1] = f->points[2 * k + 1];
  }
  if (shape_metrics_init(&found, &j->ch) != 0 || shape_metrics_init(&given, &j->ch) != 0 ||
      shape_metrics_model(&found, file.model, &j->ch, &j->measured, predicted, message) != 0 ||
      shape_metrics_model(&given, file.model, &j->ch, &j->measured, truth, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  shape_metrics_finish(&found);
  shape_metrics_finish(&given);
  r.path = j->report_path;
  r.model = file.model;
  r.ch = &j->ch;
  r.data = &j->all;
  r.held_out = j->held_out;
  r.measured = &j->measured;
  r.seen = j->held_folder == NULL && j->train.validation == NULL;
  r.predicted = predicted;
  r.nme = nme;
  r.landmarks = &m;
  r.found = &found;
  r.given = &given;
  r.curves = curves;
  if (report_write(&r, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  printf("measured on %s%s:\n", folder, r.seen ? ", which it was trained on" : "");
  metrics_print(stdout, &m, &found);
  printf("wrote %s (self-test within %.1g) and %s\n", j->output, (double)r.selftest_difference, j->report_path);
  shape_metrics_free(&found);
  shape_metrics_free(&given);
  free(predicted);
  free(truth);
  free(nme);
  free(curves);
  model_close(&file);
}

/* A model on the way is in the finished one; its curves go beside that. */
static void retire(const char *model, const char *beside) {
  static const char *const endings[] = {"csv", "png"};
  for (int i = 0; i < 2; i++) {
    char *from = cli_format("%s.%s", model, endings[i]), *to = cli_format("%s.%s", beside, endings[i]);
    if (access(from, F_OK) == 0 && rename(from, to) != 0) cli_fail(EXIT_WRITE, "%s: cannot be renamed to %s", from, to);
    free(from);
    free(to);
  }
  remove(model);
}

int character_main(int argc, char **argv) {
  job j = {0};
  char message[MESSAGE_SIZE];
  const char *finetune = NULL; /* an option of its own command */
  const char *precision = "fp32";
  int threads = cli_default_threads();
  for (int i = 1; i < argc; i++)
    if (strncmp(argv[i], "--finetune", 10) == 0) return finetune_main(argc, argv);
  j.train = train_defaults();
  j.shapes = shape_defaults();
  j.hold_out = "";
  const cli_option options[] = {
      {"-o", CLI_STRING, &j.output, "FILE", "model to write"},
      {"--report", CLI_STRING, &j.report, "FILE", "page to write (default: FILE.html beside the model)"},
      {"--character", CLI_STRING, &j.train.character, "FILE", "template (default: DATA/character.json)"},
      {"--hold-out", CLI_STRING, &j.hold_out, "SHOT",
       "measure on this shot, train on the others (default: the last); none: train on all"},
      {"--validation", CLI_STRING, &j.train.validation, "DIR", "measure on these shots instead, and train on all of DATA"},
      {"--backgrounds", CLI_STRING, &j.train.backgrounds, "DIR", "pictures to put behind the puppet in training"},
      {"--net", CLI_STRING, &j.train.net, "NET", "landmark network (default small)"},
      {"--looks", CLI_INTEGER, &j.looks, "N",
       "crops of a second look, close up at a few landmarks each, for plates that show much more than --net's input (default "
       "0: "
       "none)"},
      {"--from", CLI_STRING, &j.train.from, "FILE", "start from the trunk of this model"},
      {"--finetune", CLI_STRING, &finetune, "FILE",
       "adapt this model to a shot instead of training one: --finetune FILE --help"},
      {"--epochs", CLI_INTEGER, &j.train.epochs, "N", "passes of the landmark training over the data (default 100)"},
      {"--batch", CLI_INTEGER, &j.train.batch, "N", "samples a step of the landmark training (default 8)"},
      {"--shape-steps", CLI_INTEGER, &j.shapes.steps, "N", "training steps of each shape network (default 2000)"},
      {"--seed", CLI_INTEGER, &j.train.seed, "N", "of weights, order and augmentation (default 1)"},
      {"--precision", CLI_STRING, &precision, "NAME", "of the landmark training: " TRAIN_PRECISION_HELP},
      {"--recompute", CLI_FLAG, &j.train.recompute, NULL, "in the landmark training, " TRAIN_RECOMPUTE_HELP},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--restart", CLI_FLAG, &j.train.restart, NULL, "ignore what an interrupted run left"},
      {"--name", CLI_STRING, &j.train.name, "TEXT", "name of the model (default: the template's)"},
      {"--description", CLI_STRING, &j.train.description, "TEXT", "description of the model"},
      {"--quiet", CLI_FLAG, &j.train.quiet, NULL, "print nothing but errors and what was measured"},
  };
  const cli_command command = {
      "roto-train character",
      "DATA -o MODEL.roto",
      "Everything a shot needs in one command: trains landmarks and shapes on a folder of annotated shots, "
      "calibrates, tests, measures on a shot left out, and writes the model and a report.",
      "roto-train character shots --backgrounds plates -o puppet.roto\n"
      "  roto-train character --finetune puppet.roto --from sh010.roto.json -o sh010.roto   # after an artist fixed frames",
      options,
      sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one folder of shots");
  if (j.output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  if (j.train.epochs < 1 || j.train.batch < 1 || j.shapes.steps < 10)
    cli_usage(&command, "--epochs and --batch must be at least 1, --shape-steps 10");
  if (j.looks < 0 || j.looks > (int)ROTO_MAX_LOOKS) cli_usage(&command, "--looks must be 0 to %u", ROTO_MAX_LOOKS);
  if (j.train.validation != NULL && *j.hold_out) cli_usage(&command, "expected --hold-out or --validation, not both");
  j.cp = compute_create(threads, ROTO_ISA_AUTO);
  train_precision(&command, j.cp, precision);
  j.data = argv[0];
  j.template_path = j.train.character != NULL ? cli_format("%s", j.train.character) : cli_format("%s/character.json", j.data);
  j.report_path = j.report != NULL ? cli_format("%s", j.report) : cli_format("%s.html", j.output);
  j.landmarks = cli_format("%s.landmarks.roto", j.output);
  j.second = cli_format("%s.second.roto", j.output);
  j.shapes.seed = j.train.seed;
  j.shapes.quiet = j.train.quiet;
  if (character_load(j.template_path, &j.ch, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (j.train.name == NULL) j.train.name = j.ch.name;
  if (dataset_load(j.data, &j.ch, &j.all, message) != 0) {
    for (size_t i = 0; i < j.all.issue_count && i < 20; i++) cli_error("%s: %s", j.all.issues[i].path, j.all.issues[i].reason);
    cli_fail(EXIT_INPUT, "%s", message);
  }
  divide_shots(&j);
  train_landmarks(&j);
  if (j.looks > 0) train_looks(&j);
  compute_mixed(j.cp, 0);
  train_shapes(&j);
  train_refinement(&j);
  measure(&j);
  retire(j.landmarks, j.output);
  if (j.looks > 0) {
    char *beside = cli_format("%s.second", j.output);
    retire(j.second, beside);
    free(beside);
  }
  for (size_t i = 0; i < j.folder_count; i++) free(j.folders[i]);
  free(j.folders);
  free(j.held_folder);
  free(j.template_path);
  free(j.report_path);
  free(j.landmarks);
  free(j.second);
  dataset_free(&j.all);
  dataset_free(&j.measured);
  character_free(&j.ch);
  compute_free(j.cp);
  return EXIT_DONE;
}
