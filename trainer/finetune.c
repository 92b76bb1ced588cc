/* See finetune.h. */

#include "finetune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../tools/cli.h"
#include "../tools/model_file.h"
#include "corrections.h"
#include "evaluate.h"
#include "metrics.h"
#include "refine.h"

/* Film model of 2.61 px (tests/RESULTS.md), five corrected frames, error on the others of the document: 0.362 % for 0.462; with batches of
 * 8, as many samples, 0.373, at twice the rate 0.380. */
void finetune_defaults(train_options *o) {
  o->epochs = 50;
  o->batch = 16;
  o->rate = 3e-4;
  o->average = 0.98;
  o->epoch_batches = 25;
  o->evaluate_every = 4;
  o->augment.rotation = 15;
  o->augment.scale = 0.1f;
  o->augment.shift = 0.05f;
}

/* ---- the second look ---- */

/* The second look of a model: which landmarks its looks are for, and its own model in a file.  0: the model looks once. */
static int take_look(const model_file *base, const char *path, look_plan *plan) {
  char message[MESSAGE_SIZE];
  size_t length;
  const unsigned char *chunk = roto_find_chunk(base->data, ROTO_CHUNK_LOOK, &length);
  if (chunk == NULL) return 0;
  size_t landmarks = roto_get_info(base->model)->landmark_count, head = (16 + 4 * landmarks + 63) / 64 * 64;
  plan->count = (uint32_t)roto_load(chunk, 4);
  for (size_t k = 0; k < landmarks; k++) plan->look[k] = (uint32_t)roto_load(chunk + 16 + 4 * k, 4);
  if (file_write(path, chunk + head, length - head, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  return 1;
}

/* ---- the command ---- */

/* RMSE of a model on the corrected frames; tests a new one. */
static double measure(compute *cp, const char *path, const dataset *ds, int selftest) {
  char message[MESSAGE_SIZE];
  model_file file;
  character ch;
  roto_session *session;
  float difference, *predicted = cli_alloc(2 * ds->frame_count * ds->landmark_count, sizeof *predicted);
  if (model_open(path, ROTO_ISA_AUTO, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (character_from_model(file.model, &ch, message) != 0) cli_fail(EXIT_MODEL, "%s: %s", path, message);
  if (roto_session_create(file.model, NULL, &session) != ROTO_OK) cli_fail(EXIT_FAILED, "out of memory");
  if (selftest && roto_selftest(session, &difference) != ROTO_OK)
    cli_fail(EXIT_FAILED, "%s does not reproduce its self-test: largest difference %g", path, (double)difference);
  if (evaluate_model(cp, file.model, ds, NULL, 0, predicted, NULL, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
  metrics m = metrics_compute(&ch, ds, predicted, NULL);
  double rmse = m.frames > 0 ? m.rmse_px : NAN;
  roto_session_free(session);
  character_free(&ch);
  model_close(&file);
  free(predicted);
  return rmse;
}

/* Adapts the first look, then the second if there is one, each with the crop margin it was made with.  What is not the result
 * stands beside it under names of its own and is removed in the end. */
static int adapt(compute *cp, train_options *o, const model_file *base) {
  const char *output = o->output, *model = o->finetune;
  char *first = cli_format("%s.first.roto", output), *beside = cli_format("%s.look.roto", output);
  char message[MESSAGE_SIZE];
  look_plan plan;
  model_file second;
  const char *look = cli_scratch_file(beside);
  int twice = take_look(base, look, &plan);
  o->augment.margin = roto_get_info(base->model)->crop_margin;
  if (twice) o->output = first;
  int status = train_run(cp, o);
  if (status == EXIT_DONE && twice) {
    if (model_open(look, ROTO_ISA_AUTO, &second, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
    o->augment.margin = roto_get_info(second.model)->crop_margin;
    model_close(&second);
    o->finetune = look;
    o->second = first;
    o->plan = &plan;
    o->output = output;
    status = train_run(cp, o);
    o->finetune = model;
    o->second = NULL;
  }
  static const char *const endings[] = {"", ".csv", ".png"};
  for (int i = 0; i < 3 && status == EXIT_DONE && twice; i++) {
    char *path = cli_format("%s%s", first, endings[i]);
    remove(path);
    free(path);
  }
  free(first);
  free(beside);
  return status;
}

/* What the model knows beside its network, adapted to the corrected frames. */
static void adapt_refinement(compute *cp, const train_options *o, dataset *fixed) {
  char message[MESSAGE_SIZE];
  model_file file;
  unsigned char *bytes;
  size_t size;
  if (model_open(o->output, ROTO_ISA_AUTO, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (dataset_cache(fixed, compute_each, cp, message) != 0 ||
      refine_adapt(cp, file.model, file.data, file.size, fixed, o->seed, &bytes, &size, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  model_close(&file);
  if (bytes != NULL && file_write(o->output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  free(bytes);
}

int finetune_main(int argc, char **argv) {
  train_options o = train_defaults();
  char message[MESSAGE_SIZE];
  int threads = cli_default_threads();
  finetune_defaults(&o);
  o.name = NULL;
  const cli_option options[] = {
      {"--finetune", CLI_STRING, &o.finetune, "FILE", "the model to adapt"},
      {"--from", CLI_STRING, &o.fixed, "FILE", "a roto document: the frames in which an artist set points or drew shapes"},
      {"-o", CLI_STRING, &o.output, "FILE", "model to write, with the shape networks of the old one"},
      {"--backgrounds", CLI_STRING, &o.backgrounds, "DIR", "pictures to put behind the puppet in training"},
      {"--epochs", CLI_INTEGER, &o.epochs, "N", "of 25 steps each (default 50)"},
      {"--batch", CLI_INTEGER, &o.batch, "N", "samples a step (default 16)"},
      {"--rate", CLI_NUMBER, &o.rate, "R", "highest learning rate (default 3e-4)"},
      {"--seed", CLI_INTEGER, &o.seed, "N", "of order and augmentation (default 1)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--restart", CLI_FLAG, &o.restart, NULL, "ignore what an interrupted run left"},
      {"--name", CLI_STRING, &o.name, "TEXT", "name of the model (default: the old one's)"},
      {"--description", CLI_STRING, &o.description, "TEXT", "description of the model (default: the old one's)"},
      {"--quiet", CLI_FLAG, &o.quiet, NULL, "print nothing but errors and what was measured"},
  };
  const cli_command command = {
      "roto-train character --finetune MODEL.roto",
      "[DATA...] --from SHOT.roto.json -o SHOT.roto",
      "Adapts a character's model to a shot, in a few minutes, from the frames that an artist fixed; with "
      "DATA also from annotated shots.  Then run the shot again: what was fixed is kept.",
      "roto-train character --finetune puppet.roto --from sh010.roto.json -o sh010.roto",
      options,
      sizeof options / sizeof *options};
  int count = cli_parse(&command, argc, argv);
  if (o.finetune == NULL || o.fixed == NULL) cli_usage(&command, "expected --finetune MODEL.roto and --from SHOT.roto.json");
  if (o.output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  if (o.epochs < 1 || o.batch < 1 || !(o.rate > 0))
    cli_usage(&command, "--epochs and --batch must be at least 1, --rate positive");
  o.data = argv;
  o.data_count = (size_t)count;

  model_file base;
  character ch;
  dataset fixed;
  size_t corrected;
  if (model_open(o.finetune, ROTO_ISA_AUTO, &base, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (character_from_model(base.model, &ch, message) != 0) cli_fail(EXIT_MODEL, "%s: %s", o.finetune, message);
  if (corrections_load(o.fixed, &ch, 0, 0, &fixed, &corrected, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  char *name = cli_format("%s", roto_get_info(base.model)->name);
  char *description = cli_format("%s", roto_get_info(base.model)->description);
  if (o.name == NULL) o.name = name;
  if (o.description == NULL) o.description = description;
  double start = cli_seconds();
  compute *cp = compute_create(threads, ROTO_ISA_AUTO);
  double before = measure(cp, o.finetune, &fixed, 0);
  if (isnan(before))
    cli_fail(EXIT_INPUT, "%s: the picture of no corrected frame can be read, %s is one", o.fixed, fixed.frames[0].image_path);
  int status = adapt(cp, &o, &base);
  if (status == EXIT_DONE) adapt_refinement(cp, &o, &fixed);
  if (status == EXIT_DONE)
    printf("%s: RMSE on the %zu corrected frames %.2f -> %.2f px, after %.0f s\n", o.output, fixed.frame_count, before,
           measure(cp, o.output, &fixed, 1), cli_seconds() - start);
  model_close(&base);
  compute_free(cp);
  dataset_free(&fixed);
  character_free(&ch);
  free(name);
  free(description);
  return status;
}
