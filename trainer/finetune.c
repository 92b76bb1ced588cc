/* See finetune.h. */

#include "finetune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../tools/cli.h"
#include "../tools/document.h"
#include "evaluate.h"
#include "metrics.h"

enum { MOST_OTHERS = 60 };

void finetune_defaults(train_options *o) {
  o->epochs = 12;
  o->batch = 16;
  o->rate = 3e-4;
  o->average = 0.98;
  o->epoch_batches = 25;
  o->evaluate_every = 4;
  o->augment.rotation = 15;
  o->augment.scale = 0.1f;
  o->augment.shift = 0.05f;
  o->augment.flip = 0;
}

static frame make_frame(const document *doc, size_t index, const character *ch, float other) {
  const document_frame *in = &doc->frames[index];
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks")->child;
  float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  frame f;
  memset(&f, 0, sizeof f);
  f.number = (uint32_t)in->number;
  f.image_path = document_frame_path(doc, index);
  f.annotation_path = cli_format("%s", f.image_path);
  f.points = cli_alloc(ch->landmark_count, 2 * sizeof *f.points);
  f.valid = cli_alloc(ch->landmark_count, 1);
  f.hidden = cli_alloc(ch->landmark_count, 1);
  f.weights = cli_alloc(ch->landmark_count, sizeof *f.weights);
  for (size_t p = 0; p < doc->point_count; p++, landmark = landmark->next) {
    const document_point *from = &in->points[p];
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
    int l = cJSON_IsString(name) ? character_find_landmark(ch, name->valuestring) : -1;
    if (l < 0) continue;
    float at[2] = {(float)from->x, (float)from->y};
    for (int k = 0; k < 2; k++) {
      f.points[2 * l + k] = at[k];
      low[k] = fminf(low[k], at[k]);
      high[k] = fmaxf(high[k], at[k]);
    }
    f.valid[l] = !from->hidden;
    f.hidden[l] = from->hidden != 0;
    f.weights[l] = from->origin == ORIGIN_ARTIST ? 1 : other;
  }
  f.box = (roto_rect){low[0], low[1], high[0] - low[0], high[1] - low[1]};
  return f;
}

int finetune_load(const char *path, const character *ch, float other, float rest, dataset *ds, size_t *corrected, char *message) {
  document doc;
  memset(ds, 0, sizeof *ds);
  *corrected = 0;
  if (document_read(path, &doc, message) != 0) return -1;
  document_settle_points(&doc);
  unsigned char *artist = cli_alloc(doc.frame_count + 1, 1);
  for (size_t t = 0; t < doc.frame_count; t++) {
    for (size_t p = 0; p < doc.point_count; p++) artist[t] |= doc.frames[t].points[p].origin == ORIGIN_ARTIST;
    *corrected += artist[t];
  }
  size_t untouched = doc.frame_count - *corrected, others = rest > 0 ? untouched < MOST_OTHERS ? untouched : MOST_OTHERS : 0;
  size_t copies = *corrected > 0 && others > *corrected ? others / *corrected : 1;
  ds->landmark_count = ch->landmark_count;
  ds->frames = cli_alloc(copies * *corrected + others + 1, sizeof *ds->frames);
  ds->shots = cli_alloc(1, sizeof *ds->shots);
  ds->shots[ds->shot_count++] = cli_format("%s", path);
  for (size_t t = 0, seen = 0; t < doc.frame_count; t++) {
    size_t times = copies;
    if (!artist[t]) times = others > 0 && seen * others / untouched != (seen + 1) * others / untouched, seen++; /* evenly spread */
    for (size_t k = 0; k < times; k++) ds->frames[ds->frame_count++] = make_frame(&doc, t, ch, artist[t] ? other : rest);
  }
  document_free(&doc);
  free(artist);
  if (*corrected > 0) return 0;
  dataset_free(ds);
  return message_set(message, "%s: no frame in it has a point set by an artist, so there is nothing to learn from", path);
}

/* ---- shapes ---- */

static uint32_t u32(const unsigned char *b) {
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static float f32(const unsigned char *b) {
  uint32_t bits = u32(b);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* What the self-test expects of a shape: drawn through the landmarks that `test` (a TEST chunk) expects. */
static float *draw_test(roto_session *session, const roto_model *base, uint32_t shape, uint32_t vertex_count,
                        const unsigned char *test) {
  const roto_info *info = roto_get_info(base);
  uint32_t floats = info->output_count / info->landmark_count;
  roto_point *points = cli_alloc(info->landmark_count, sizeof *points);
  roto_vertex *v = cli_alloc(vertex_count, sizeof *v);
  float *expected = cli_alloc(6 * vertex_count, sizeof *expected);
  for (uint32_t k = 0; k < info->landmark_count; k++) {
    points[k].x = f32(test + ROTO_TEST_SIZE + 4 * (size_t)(k * floats));
    points[k].y = f32(test + ROTO_TEST_SIZE + 4 * (size_t)(k * floats + 1));
  }
  roto_status status = roto_predict_shape(session, shape, points, v);
  for (uint32_t i = 0; i < vertex_count; i++) {
    const double values[6] = {v[i].x, v[i].y, v[i].in_x, v[i].in_y, v[i].out_x, v[i].out_y};
    for (int k = 0; k < 6; k++) expected[6 * i + (uint32_t)k] = (float)values[k];
  }
  free(points);
  free(v);
  if (status == ROTO_OK) return expected;
  free(expected);
  return NULL;
}

int finetune_keep_shapes(const model_file *base, unsigned char **bytes, size_t *size, char *message) {
  size_t length, test_length;
  const unsigned char *chunk = roto_find_chunk(base->data, ROTO_CHUNK_SHAP, &length), *at = chunk + 16;
  const unsigned char *test = roto_find_chunk(*bytes, ROTO_CHUNK_TEST, &test_length);
  if (chunk == NULL) return 0;
  roto_options options = {0};
  roto_model *model = NULL;
  roto_session *session = NULL;
  options.max_isa = ROTO_ISA_SCALAR;
  roto_status status = roto_open(base->data, base->size, &options, &model);
  if (status == ROTO_OK) status = roto_session_create(model, NULL, &session);
  uint32_t networks = u32(chunk), shapes = roto_get_info(base->model)->shape_count;
  roto_shape_net_desc *nets = cli_alloc(networks + 1, sizeof *nets);
  roto_shape_use_desc *uses = cli_alloc(shapes + 1, sizeof *uses);
  for (uint32_t i = 0; i < networks; i++, at += 20)
    nets[i] = (roto_shape_net_desc){u32(at), u32(at + 4), u32(at + 8), u32(at + 12), u32(at + 16), NULL};
  for (uint32_t i = 0; i < shapes; i++, at += 16)
    uses[i] = (roto_shape_use_desc){u32(at), u32(at + 4) != 0, u32(at + 8) != 0, u32(at + 12), NULL, NULL};
  for (uint32_t i = 0; i < shapes && status == ROTO_OK; i++) {
    if (uses[i].network == ROTO_NONE) continue;
    const roto_shape_net_desc *net = &nets[uses[i].network];
    uint32_t *landmarks = cli_alloc(net->landmarks, sizeof *landmarks);
    for (uint32_t k = 0; k < net->landmarks; k++, at += 4) landmarks[k] = u32(at);
    uses[i].landmarks = landmarks;
    uses[i].test = draw_test(session, model, i, net->vertices, test);
    if (uses[i].test == NULL) status = ROTO_ERR_ARGUMENT;
  }
  at = chunk + ((size_t)(at - chunk) + 63) / 64 * 64;
  for (uint32_t i = 0; i < networks; i++) {
    size_t count = (size_t)roto_shape_net_floats(&nets[i]);
    float *floats = cli_alloc(count, sizeof *floats);
    for (size_t k = 0; k < count; k++, at += 4) floats[k] = f32(at);
    nets[i].floats = floats;
  }
  roto_shapes_desc desc = {nets, uses, networks, shapes};
  unsigned char *with_shapes = NULL;
  size_t new_size = 0;
  if (status == ROTO_OK) status = roto_write_shapes(*bytes, *size, &desc, &with_shapes, &new_size);
  for (uint32_t i = 0; i < networks; i++) free((void *)(uintptr_t)nets[i].floats);
  for (uint32_t i = 0; i < shapes; i++) {
    free((void *)(uintptr_t)uses[i].landmarks);
    free((void *)(uintptr_t)uses[i].test);
  }
  free(nets);
  free(uses);
  roto_session_free(session);
  roto_close(model);
  if (status != ROTO_OK) return message_set(message, "the shape networks cannot be taken along: %s", roto_status_text(status));
  free(*bytes);
  *bytes = with_shapes;
  *size = new_size;
  return 0;
}

/* ---- the second look ---- */

/* The second look of a model: which landmarks its looks are for, and its own model in a file.  0: the model looks once. */
static int take_look(const model_file *base, const char *path, look_plan *plan) {
  char message[MESSAGE_SIZE];
  size_t length;
  const unsigned char *chunk = roto_find_chunk(base->data, ROTO_CHUNK_LOOK, &length);
  if (chunk == NULL) return 0;
  size_t landmarks = roto_get_info(base->model)->landmark_count, head = (16 + 4 * landmarks + 63) / 64 * 64;
  plan->count = u32(chunk);
  for (size_t k = 0; k < landmarks; k++) plan->look[k] = u32(chunk + 16 + 4 * k);
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
  double rmse = metrics_compute(&ch, ds, predicted, NULL).rmse_px;
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
  char *first = cli_format("%s.first.roto", output), *look = cli_format("%s.look.roto", output);
  char message[MESSAGE_SIZE];
  look_plan plan;
  model_file second;
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
    char *beside = cli_format("%s%s", first, endings[i]);
    remove(beside);
    free(beside);
  }
  if (twice) remove(look);
  free(first);
  free(look);
  return status;
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
      {"--epochs", CLI_INTEGER, &o.epochs, "N", "of 25 steps each (default 12)"},
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
  if (finetune_load(o.fixed, &ch, 0, 0, &fixed, &corrected, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  char *name = cli_format("%s", roto_get_info(base.model)->name);
  char *description = cli_format("%s", roto_get_info(base.model)->description);
  if (o.name == NULL) o.name = name;
  if (o.description == NULL) o.description = description;
  double start = cli_seconds();
  compute *cp = compute_create(threads, ROTO_ISA_AUTO);
  double before = measure(cp, o.finetune, &fixed, 0);
  int status = adapt(cp, &o, &base);
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
