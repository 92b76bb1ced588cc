/* See train.h.
 *
 * A step: every thread makes samples of the batch until all are there, then the network runs forward and backward on all
 * threads, then the optimizer.  Nothing runs ahead in the background: with all cores busy there would be nothing to gain, and
 * every bit of a run stays a function of its options.  The log's columns: epoch, learning rate, mean training loss, then
 * validation NME and MAE where it was evaluated, and core-minutes spent. */

#include "train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tools/cli.h"
#include "../tools/plot.h"
#include "architectures.h"
#include "checkpoint.h"
#include "corrections.h"
#include "evaluate.h"
#include "export.h"
#include "looks.h"
#include "metrics.h"
#include "refine.h"
#include "rng.h"
#include "shape_transfer.h"
#include "shot_folder.h"
#include "trunk.h"

train_options train_defaults(void) {
  train_options o = {0};
  o.net = "small";
  o.epochs = 100;
  o.batch = 8;
  o.rate = NAN;
  o.evaluate_every = 5;
  o.weight_decay = 0.05;
  o.average = 0.999;
  o.looks = 4;
  o.grow = 0.6;
  o.settle = 0.15;
  o.schedule = SCHEDULE_COSINE;
  o.loss = loss_defaults();
  augment_default(&o.augment);
  o.seed = 1;
  o.checkpoint_seconds = 60;
  return o;
}

void train_as_paper(train_options *o) {
  o->grow = o->settle = 0;
  o->schedule = SCHEDULE_PAPER;
  o->loss.kind = LOSS_L1;
  o->loss.heat_weight = 0;
  o->part_scale = 1;
  o->rate = 1e-3;
  o->weight_decay = 0;
}

/* Its crops are off by what the first look errs, and hold little but the landmarks themselves. */
void train_second(train_options *o) {
  o->net = "close";
  o->augment.margin = 1.6f;
}

void train_precision(const cli_command *command, compute *cp, const char *name) {
  int mixed = strcmp(name, "mixed") == 0;
  if (!mixed && strcmp(name, "fp32") != 0) cli_usage(command, "--precision expects fp32 or mixed, found '%s'", name);
  if (!compute_mixed(cp, mixed))
    cli_fail(EXIT_FAILED, "--precision mixed needs a processor with AVX512-BF16, and this run has %s; use --precision fp32",
             compute_isa(cp));
}

typedef struct run {
  const train_options *o;
  compute *cp;
  character ch;
  dataset ds, validation;
  backgrounds backdrops;
  augment_options augment;
  network net;
  trunk trunk;             /* with --from or --finetune */
  look_plan looks;         /* with --second; else without any */
  float mean[3], scale[3]; /* of the input */
  const char *text;        /* of the network */
  uint32_t size;           /* of its input, in the end */
  double rate;             /* the highest */
  optimizer opt;
  run_state state;
  char *checkpoint, *log, *plot;
  uint64_t configuration;
  uint32_t *order; /* of the samples in this epoch */
  size_t batch_count;
  float *truth, *weight, *point_weight; /* [batch][N][2], [batch][N], [N] */
  real *dy, *dlogit;
} run;

/* Gradients of the network's output, whose size depends on the input's. */
static void make_room(run *r) {
  const net_node *out = net_output(&r->net), *head = &r->net.nodes[out->inputs[0]];
  free(r->dy);
  free(r->dlogit);
  r->dy = real_alloc(r->net.batch * value_stride(out->c));
  r->dlogit = net_probability(&r->net) != NULL ? real_alloc(r->net.batch * r->ch.landmark_count * head->h * head->w) : NULL;
}

/* ---- the network ---- */

static void build_network(run *r, uint32_t size) {
  char message[MESSAGE_SIZE];
  uint32_t x;
  net_init(&r->net);
  x = net_input(&r->net, size, size, 3);
  for (int c = 0; c < 3; c++) {
    r->mean[c] = 0.5f;
    r->scale[c] = 4;
  }
  if (r->trunk.nodes != NULL) {
    const roto_info *info = roto_get_info(r->trunk.file.model);
    memcpy(r->mean, info->input_mean, sizeof r->mean);
    memcpy(r->scale, info->input_scale, sizeof r->scale);
    if (trunk_build(&r->trunk, &r->net, &x, message) != 0) cli_fail(EXIT_MODEL, "%s: %s", r->text, message);
  }
  if (r->o->finetune == NULL && architecture_extend(&r->net, x, r->text, r->ch.landmark_count, message) != 0)
    cli_fail(EXIT_USAGE, "%s", message);
  net_finish(&r->net, (uint64_t)r->o->seed);
  if (r->trunk.nodes != NULL) trunk_fill(&r->trunk, &r->net);
  r->net.frozen_norm = r->o->fixed != NULL; /* a few frames have no statistics worth the name */
  r->net.recompute = r->o->recompute;
  net_prepare(&r->net, r->cp, (size_t)r->o->batch);
}

/* ---- the input's size ----
 *
 * A network of convolutions and a points head has the same weights for every input.  Its first epochs see half the side, for a
 * quarter of the work, then the side grows; the last ones see all of it (progressive resizing; Tan and Le 2021, section 4). */

enum { SIZE_STEP = 32 }; /* what the configurations divide their input by */

static int grows(const run *r) {
  return r->o->grow > 0 && r->o->finetune == NULL && net_output(&r->net)->op == ROTO_OP_POINTS && r->size % SIZE_STEP == 0;
}

static uint32_t size_in_epoch(const run *r, uint64_t epoch) {
  const int last = epoch + 1 >= (uint64_t)r->o->epochs; /* the model is of this size, even after one epoch */
  double share = grows(r) && !last ? fmin(1, (double)epoch / (r->o->grow * r->o->epochs)) : 1;
  uint32_t steps = r->size / SIZE_STEP, first = (steps + 1) / 2;
  return share < 1 ? (first + (uint32_t)(share * (steps - first))) * SIZE_STEP : r->size;
}

/* The same weights for another size of the input. */
static void resize_network(run *r, uint32_t size) {
  if (r->net.nodes[0].w == size) return;
  network old = r->net;
  build_network(r, size);
  memcpy(r->net.values, old.values, old.value_count * sizeof(real));
  net_free(&old);
  make_room(r);
}

/* ---- one batch ---- */

/* The frame as a sample shows it: as it is, or as the second look sees it, whose looks take turns from `turn` on. */
static frame seen_frame(const run *r, const frame *f, uint64_t turn, uint8_t *known) {
  frame seen = *f;
  for (uint32_t k = 0; k < r->looks.count; k++)
    if (looks_frame(f, &r->looks, r->ch.landmark_count, (uint32_t)((turn + k) % r->looks.count), &seen, known)) break;
  return seen;
}

static void make_sample(void *context, size_t i) {
  run *r = context;
  const net_node *in = &r->net.nodes[0];
  size_t n = r->ch.landmark_count, size = r->ds.frame_count;
  size_t position = r->state.batch * r->net.batch + i;
  uint64_t seed = rng_seed((uint64_t)r->o->seed, r->state.epoch, position);
  uint8_t known[2 * ROTO_MAX_LANDMARKS];
  frame f = seen_frame(r, &r->ds.frames[r->order[position % size]], rng_mix(seed), known);
  float *weight = r->weight + i * n;
  augment_sample(&f, &r->ch, &r->augment, seed, in->w, in->h, r->mean, r->scale,
                 (float *)r->net.outputs[0] + i * in->h * in->w * 4, r->truth + i * n * 2, weight);
  for (size_t k = 0; k < n; k++) weight[k] *= r->point_weight[k];
}

static void shuffle(run *r) {
  size_t n = r->ds.frame_count;
  rng g = {rng_seed((uint64_t)r->o->seed, r->state.epoch, UINT64_MAX)};
  for (size_t i = 0; i < n; i++) r->order[i] = (uint32_t)i;
  for (size_t i = n; i > 1; i--) {
    size_t j = rng_below(&g, (uint32_t)i);
    uint32_t t = r->order[i - 1];
    r->order[i - 1] = r->order[j];
    r->order[j] = t;
  }
}

/* The last epochs settle: as the crops of roto_find_landmarks_near do, those of training come close to the true ones, heads are
 * less turned, and patches seldom cover landmarks.  Film model (tests/RESULTS.md), three epochs more: 2.95 px on a shot not
 * trained on; with the turns whole, shifts and scales a quarter and patches a half: 3.05.  Half the rate anew in these epochs brings
 * nothing in as many steps (4.92 px, 5.04 with twice as many of them, for 4.92), nor do labels halfway to what a model finds in ten views
 * (on faces, twenty epochs more: 3.86 % for 3.83). */
static void start_epoch(run *r) {
  r->augment = r->o->augment;
  r->augment.backdrops = &r->backdrops;
  if ((double)r->state.epoch >= (1 - r->o->settle) * r->o->epochs) {
    r->augment.rotation *= 0.4f;
    r->augment.shift *= 0.2f;
    r->augment.scale *= 0.15f;
    r->augment.occlude *= 0.33f;
  }
  resize_network(r, size_in_epoch(r, r->state.epoch));
  shuffle(r);
}

static double train_batch(run *r) {
  network *net = &r->net;
  const net_node *out = net_output(net), *head = &net->nodes[out->inputs[0]];
  uint64_t total = (uint64_t)r->o->epochs * r->batch_count, done = r->state.epoch * r->batch_count + r->state.batch;
  int frozen = r->state.epoch < (uint64_t)r->o->freeze;
  if (r->o->freeze > 0 && r->state.epoch == (uint64_t)r->o->freeze && r->state.batch == 0) optimizer_restart(&r->opt, net);
  net->frozen_nodes = frozen ? r->trunk.node_count : 0;
  net->frozen_params = frozen ? r->trunk.param_count : 0;
  compute_for(r->cp, net->batch, make_sample, r);
  const real *y = net_forward(net, 1, rng_seed((uint64_t)r->o->seed, r->state.epoch, ~r->state.batch));
  loss_batch b = {net->batch,
                  r->ch.landmark_count,
                  out->c / r->ch.landmark_count,
                  value_stride(out->c),
                  y,
                  net_probability(net),
                  head->h,
                  head->w,
                  r->truth,
                  r->weight};
  double loss = loss_compute(&r->o->loss, &b, r->dy, r->dlogit);
  net_backward(net, r->dy, r->dlogit);
  optimizer_step(&r->opt, net, schedule_rate(r->o->schedule, r->rate, (double)done / (double)total));
  return loss;
}

/* ---- model, evaluation, log ---- */

/* Pairs of (spread, error) under slight jitter, from frames the network was not trained on where there are any. */
static uint32_t calibrate(run *r, roto_knot *knots, uint32_t room) {
  network *net = &r->net;
  if (r->o->fixed != NULL && r->validation.frame_count == 0) return trunk_knots(&r->trunk, knots, room);
  const dataset *ds = r->validation.frame_count > 0 ? &r->validation : &r->ds;
  const net_node *in = &net->nodes[0], *out = net_output(net);
  uint32_t n = r->ch.landmark_count, floats = out->c / n;
  size_t frames = ds->frame_count < 256 ? ds->frame_count : 256, count = 0;
  roto_knot *pairs = cli_alloc(frames * n, sizeof *pairs);
  augment_options jitter = {0};
  jitter.margin = r->o->augment.margin;
  jitter.rotation = 5;
  jitter.scale = 0.1f;
  jitter.shift = 0.05f;
  real *own = net->values;
  net->values = r->opt.averaged;
  for (size_t begin = 0; begin < frames; begin += net->batch) {
    size_t batch = frames - begin < net->batch ? frames - begin : net->batch;
    for (size_t i = 0; i < batch; i++) {
      uint8_t known[2 * ROTO_MAX_LANDMARKS];
      frame f = seen_frame(r, &ds->frames[(begin + i) * ds->frame_count / frames], begin + i, known);
      augment_sample(&f, &r->ch, &jitter, rng_seed(1, begin, i), in->w, in->h, r->mean, r->scale,
                     (float *)net->outputs[0] + i * in->h * in->w * 4, r->truth + i * n * 2, r->weight + i * n);
    }
    const real *y = net_forward(net, 0, 0);
    for (size_t i = 0; i < batch; i++)
      for (uint32_t k = 0; k < n; k++) {
        const real *p = y + i * value_stride(out->c) + k * floats;
        const float *t = r->truth + (i * n + k) * 2;
        if (r->weight[i * n + k] <= 0) continue;
        pairs[count].spread = floats == 3 ? (float)p[2] : 0;
        pairs[count++].error = hypotf((float)p[0] - t[0], (float)p[1] - t[1]);
      }
  }
  net->values = own;
  uint32_t made = export_calibrate(pairs, count, knots, floats == 3 ? room : 1);
  free(pairs);
  return made;
}

/* The model that looks twice, of the second look's. */
static int join_looks(const run *r, unsigned char **bytes, size_t *size, char *message) {
  model_file first;
  unsigned char *second = *bytes;
  if (model_open(r->o->second, ROTO_ISA_AUTO, &first, message) != 0) {
    free(second);
    return -1;
  }
  roto_status status = roto_write_look(first.data, first.size, r->looks.look, r->looks.count, second, *size, bytes, size);
  model_close(&first);
  free(second);
  return status == ROTO_OK ? 0 : message_set(message, "the model cannot be written: %s", roto_status_text(status));
}

/* The model as it stands, from the moving average of the weights. */
static int make_model(run *r, unsigned char **bytes, size_t *size, char *message) {
  roto_knot knots[12];
  const net_node *in = &r->net.nodes[0];
  float *picture = cli_alloc((size_t)in->w * in->h * 4, sizeof(float));
  uint8_t known[2 * ROTO_MAX_LANDMARKS];
  const dataset *ds = r->ds.frame_count > 0 ? &r->ds : &r->validation;
  frame f = seen_frame(r, &ds->frames[0], 0, known);
  augment_none(&f, &r->ch, augment_box(&f, r->o->augment.margin), in->w, in->h, r->mean, r->scale, picture, r->truth, r->weight,
               NULL);
  export_options e = {r->o->name, r->o->description, {0}, {0}, r->o->augment.margin, knots, calibrate(r, knots, 12), picture};
  memcpy(e.mean, r->mean, sizeof r->mean);
  memcpy(e.scale, r->scale, sizeof r->scale);
  int status = export_model(&r->net, r->opt.averaged, &r->ch, &e, bytes, size, message);
  if (status == 0 && r->o->finetune != NULL) status = shapes_take_along(&r->trunk.file, bytes, size, message);
  if (status == 0 && r->o->finetune != NULL) status = refine_take_along(r->trunk.file.data, bytes, size, message);
  free(picture);
  if (status == 0 && r->o->second != NULL) status = join_looks(r, bytes, size, message);
  return status;
}

/* Figures of a model in memory on the validation frames, by the runtime. */
static int measure(run *r, const unsigned char *bytes, size_t size, metrics *m, char *message) {
  roto_model *model;
  roto_error error = {0};
  roto_options options = {0};
  options.error = &error;
  float *predicted = cli_alloc(r->validation.frame_count * r->ch.landmark_count * 2, sizeof(float));
  int status;
  roto_status opened = roto_open(bytes, size, &options, &model);
  if (opened != ROTO_OK)
    status = message_set(message, "the runtime refuses the model: %s (rule %u)", roto_status_text(opened), error.rule);
  else
    status = evaluate_model(r->cp, model, &r->validation, NULL, 0, predicted, NULL, message);
  if (status == 0) *m = metrics_compute(&r->ch, &r->validation, predicted, NULL);
  if (opened == ROTO_OK) roto_close(model);
  free(predicted);
  return status;
}

static int evaluate_run(run *r, metrics *m, char *message) {
  unsigned char *bytes;
  size_t size;
  if (make_model(r, &bytes, &size, message) != 0) return -1;
  int status = measure(r, bytes, size, m, message);
  free(bytes);
  return status;
}

static void log_line(run *r, const char *line) {
  size_t length = strlen(line);
  r->state.log = realloc(r->state.log, r->state.log_size + length + 1);
  if (r->state.log == NULL) cli_fail(EXIT_FAILED, "out of memory");
  memcpy(r->state.log + r->state.log_size, line, length + 1);
  r->state.log_size += length;
}

static int write_log(run *r, char *message) {
  size_t lines = 0;
  for (size_t i = 0; i < r->state.log_size; i++) lines += r->state.log[i] == '\n';
  double *v = cli_alloc(lines * 4 + 1, sizeof *v), *epoch = v, *loss = v + lines, *nme = v + 2 * lines, *mae = v + 3 * lines;
  size_t count = 0;
  int evaluated = 0;
  if (file_write(r->log, r->state.log, r->state.log_size, message) != 0) {
    free(v);
    return -1;
  }
  for (const char *line = strchr(r->state.log, '\n'); line != NULL && line[1] != 0; line = strchr(line + 1, '\n')) {
    char *field = (char *)line + 1;
    epoch[count] = strtod(field, &field);
    strtod(field + 1, &field);
    loss[count] = strtod(field + 1, &field);
    nme[count] = field[1] == ',' ? NAN : strtod(field + 1, &field);
    if (isnan(nme[count])) field++;
    mae[count] = field[1] == ',' ? NAN : strtod(field + 1, &field);
    evaluated |= !isnan(nme[count]);
    count++;
  }
  plot_series s[3] = {{"training loss", epoch, loss, count, 0x2d6cdf},
                      {"validation NME %", epoch, nme, count, 0xd1495b},
                      {"validation MAE px", epoch, mae, count, 0x3b8b5a}};
  plot plots[3] = {{"loss", "epoch", "loss", &s[0], 1, 1},
                   {"NME on validation", "epoch", "percent", &s[1], 1, 1},
                   {"MAE on validation, sum over parts", "epoch", "px", &s[2], 1, 1}};
  int status = plot_write(r->plot, plots, evaluated ? 3 : 1, 900, 300, message);
  free(v);
  return status;
}

/* ---- the run ---- */

static uint64_t hash_text(uint64_t h, const char *text) {
  for (; text != NULL && *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
  return rng_mix(h + 1);
}

/* Everything that decides the result; structs of plain numbers are zero-filled by their makers, so their bytes will do. */
static uint64_t hash_configuration(const run *r, const char *text) {
  const train_options *o = r->o;
  double numbers[] = {o->size,
                      o->epochs,
                      o->batch,
                      r->rate,
                      o->weight_decay,
                      o->average,
                      o->schedule,
                      o->seed,
                      o->loss.kind,
                      o->loss.wing_width,
                      o->loss.wing_epsilon,
                      o->loss.heat_weight,
                      o->loss.heat_sigma,
                      o->evaluate_every,
                      o->epoch_batches,
                      o->looks,
                      o->grow,
                      o->settle,
                      o->freeze,
                      o->part_scale};
  uint64_t h = hash_text(hash_text(0xcbf29ce484222325u, text), compute_isa(r->cp)) ^ r->trunk.hash;
  const unsigned char *bytes = (const unsigned char *)numbers;
  for (size_t i = 0; i < sizeof numbers; i++) h = rng_mix(h ^ bytes[i]);
  bytes = (const unsigned char *)&o->augment;
  for (size_t i = 0; i < offsetof(augment_options, covered) + sizeof(float); i++) h = rng_mix(h ^ bytes[i]);
  for (size_t i = 0; i < r->backdrops.count; i++) h = hash_text(h, r->backdrops.pictures[i].path);
  for (size_t i = 0; i < r->ds.frame_count; i++) h = hash_text(h, r->ds.frames[i].image_path);
  for (size_t i = 0; i < r->validation.frame_count; i++) h = hash_text(h, r->validation.frames[i].image_path);
  return h;
}

static void load_frames(run *r, const char *path, dataset *ds) {
  char message[MESSAGE_SIZE];
  if (dataset_load(path, &r->ch, ds, message) != 0 || dataset_cache(ds, compute_each, r->cp, message) != 0) {
    for (size_t i = 0; i < ds->issue_count && i < 20; i++) cli_error("%s: %s", ds->issues[i].path, ds->issues[i].reason);
    cli_fail(EXIT_INPUT, "%s", message);
  }
  for (size_t i = 0; i < ds->issue_count; i++)
    fprintf(stderr, "WARNING: %s: %s%s\n", ds->issues[i].path, ds->issues[i].reason,
            ds->issues[i].dropped ? " (frame not used)" : "");
  if (!r->o->quiet) printf("%s: %zu frames, %zu not usable\n", path, ds->frame_count, ds->dropped_count);
}

static void load_fixed(run *r) {
  char message[MESSAGE_SIZE];
  dataset fixed;
  size_t corrected;
  if (corrections_load(r->o->fixed, &r->ch, 0.3f, 0.3f, &fixed, &corrected, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (dataset_cache(&fixed, compute_each, r->cp, message) != 0) {
    for (size_t i = 0; i < fixed.issue_count && i < 20; i++) cli_error("%s: %s", fixed.issues[i].path, fixed.issues[i].reason);
    cli_fail(EXIT_INPUT, "%s", message);
  }
  if (!r->o->quiet) printf("%s: %zu frames with an artist's points\n", r->o->fixed, corrected);
  if (dataset_append(&r->ds, &fixed, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
}

/* w_part * w_point of each landmark, of mean 1.  The paper's loss is "scale-aware": an error weighs by the size of its part,
 * here the mean over the frames of the longer side of the part's box, in crops. */
static void choose_weights(run *r) {
  const character *ch = &r->ch;
  double size[ROTO_MAX_LANDMARKS] = {0}, sum = 0;
  for (uint32_t part = 0; part < ch->part_count; part++) {
    double total = 0;
    size_t count = 0;
    for (size_t i = 0; r->o->part_scale && i < r->ds.frame_count; i++) {
      const frame *f = &r->ds.frames[i];
      float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
      for (uint32_t k = 0; k < ch->landmark_count; k++)
        for (int axis = 0; ch->landmarks[k].part == part && (f->valid[k] || f->hidden[k]) && axis < 2; axis++) {
          low[axis] = fminf(low[axis], f->points[2 * k + (uint32_t)axis]);
          high[axis] = fmaxf(high[axis], f->points[2 * k + (uint32_t)axis]);
        }
      float side = fmaxf(high[0] - low[0], high[1] - low[1]);
      if (side > 0) total += (double)(side / fmaxf(f->box.width, f->box.height)), count++;
    }
    size[part] = count > 0 ? total / (double)count : 1;
  }
  for (uint32_t k = 0; k < ch->landmark_count; k++) {
    const roto_landmark *l = &ch->landmarks[k];
    sum += (double)(r->point_weight[k] = l->weight * ch->parts[l->part].weight / (float)size[l->part]);
  }
  for (uint32_t k = 0; k < ch->landmark_count; k++) r->point_weight[k] *= (float)(ch->landmark_count / sum);
}

static void set_up(run *r) {
  const train_options *o = r->o;
  char message[MESSAGE_SIZE];
  if (o->second != NULL) {
    model_file first;
    if (model_open(o->second, ROTO_ISA_AUTO, &first, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
    if (character_from_model(first.model, &r->ch, message) != 0) cli_fail(EXIT_MODEL, "%s: %s", o->second, message);
    model_close(&first);
  }
  if (o->finetune != NULL && trunk_load(o->finetune, 1, &r->trunk, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (o->second == NULL && o->finetune != NULL) {
    if (character_from_model(r->trunk.file.model, &r->ch, message) != 0) cli_fail(EXIT_MODEL, "%s: %s", o->finetune, message);
  } else if (o->second == NULL) {
    shots_character(o->character, o->data[0], &r->ch);
  }
  for (size_t i = 0; i < o->data_count; i++) {
    dataset more = {0};
    load_frames(r, o->data[i], &more);
    if (dataset_append(&r->ds, &more, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
  }
  if (o->fixed != NULL) load_fixed(r);
  if (o->plan != NULL) r->looks = *o->plan;
  if (o->second != NULL && o->plan == NULL) looks_choose(&r->ch, &r->ds, (uint32_t)o->looks, &r->looks);
  if (o->validation != NULL) load_frames(r, o->validation, &r->validation);
  if (o->backgrounds != NULL && backgrounds_load(o->backgrounds, &r->backdrops, message) != 0)
    cli_fail(EXIT_INPUT, "%s", message);

  uint32_t size = (uint32_t)o->size, own_size = 0;
  const char *text = architecture_text(o->net, &own_size);
  if (o->from != NULL) {
    if (trunk_load(o->from, 0, &r->trunk, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
    own_size = r->trunk.nodes[0].w;
    text = text != NULL ? architecture_head(text) : o->net;
  }
  if (text == NULL) text = o->net;
  if (o->finetune != NULL) text = o->finetune, own_size = roto_get_info(r->trunk.file.model)->input_width;
  if (size == 0) size = own_size;
  if (size == 0)
    cli_fail(EXIT_USAGE, "--net %s: is none of %s; a network of your own needs --size too", o->net, architecture_names());
  r->text = text;
  r->size = size;
  build_network(r, size);
  optimizer_init(&r->opt, &r->net);
  r->opt.weight_decay = o->weight_decay;
  r->opt.average = o->average;

  size_t n = r->ch.landmark_count, batch = (size_t)o->batch;
  r->truth = cli_alloc(batch * n * 2, sizeof(float));
  r->weight = cli_alloc(batch * n, sizeof(float));
  r->point_weight = cli_alloc(n, sizeof(float));
  r->order = cli_alloc(r->ds.frame_count, sizeof *r->order);
  make_room(r);
  choose_weights(r);
  r->rate = !isnan(o->rate) ? o->rate : net_probability(&r->net) != NULL ? 2e-3 : 7e-4;
  r->batch_count = r->ds.frame_count / batch > 0 ? r->ds.frame_count / batch : 1;
  if (o->epoch_batches > 0) r->batch_count = (size_t)o->epoch_batches;
  r->checkpoint = cli_format("%s.checkpoint", o->output);
  r->log = cli_format("%s.csv", o->output);
  r->plot = cli_format("%s.png", o->output);
  r->configuration = hash_configuration(r, text);
  if (!o->quiet)
    printf("network: %zu parameters, %.1f million multiply-adds at %ux%u, %.0f MiB for batches of %zu, kernels %s\n",
           net_parameter_count(&r->net), (double)net_multiply_adds(&r->net) / 1e6, size, size,
           (double)r->net.memory_size / 1048576, batch, compute_isa(r->cp));
}

static void tear_down(run *r) {
  net_free(&r->net);
  if (r->trunk.nodes != NULL) trunk_free(&r->trunk);
  optimizer_free(&r->opt);
  dataset_free(&r->ds);
  dataset_free(&r->validation);
  backgrounds_free(&r->backdrops);
  character_free(&r->ch);
  free(r->state.log);
  free(r->checkpoint);
  free(r->log);
  free(r->plot);
  free(r->order);
  free(r->truth);
  free(r->weight);
  free(r->point_weight);
  free(r->dy);
  free(r->dlogit);
}

static void end_of_epoch(run *r) {
  const train_options *o = r->o;
  char message[MESSAGE_SIZE], line[256], figures[64] = ",";
  double rate = schedule_rate(o->schedule, r->rate, (double)r->state.epoch / o->epochs);
  double loss = r->state.epoch_loss / (double)r->batch_count;
  r->state.epoch++;
  r->state.batch = 0;
  r->state.epoch_loss = 0;
  int last = r->state.epoch == (uint64_t)o->epochs;
  if (r->validation.frame_count > 0 && (last || r->state.epoch % (uint64_t)o->evaluate_every == 0)) {
    metrics m;
    if (evaluate_run(r, &m, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
    snprintf(figures, sizeof figures, "%.4f,%.4f", m.nme_percent, m.mae_total_px);
    if (!o->quiet)
      printf("epoch %llu: loss %.4f, validation NME %.3f %%, MAE %.3f px, %.1f core-minutes\n",
             (unsigned long long)r->state.epoch, loss, m.nme_percent, m.mae_total_px, r->state.core_seconds / 60);
  }
  snprintf(line, sizeof line, "%llu,%.3e,%.6f,%s,%.2f\n", (unsigned long long)r->state.epoch, rate, loss, figures,
           r->state.core_seconds / 60);
  log_line(r, line);
  if (write_log(r, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
}

int train_run(compute *cp, const train_options *o) {
  run r = {0};
  char message[MESSAGE_SIZE];
  r.o = o;
  r.cp = cp;
  set_up(&r);
  int loaded = o->restart ? 1 : checkpoint_load(r.checkpoint, r.configuration, &r.net, &r.opt, &r.state, message);
  if (loaded < 0) cli_fail(EXIT_INPUT, "%s", message);
  if (loaded == 1) log_line(&r, "epoch,learning_rate,loss,validation_nme_percent,validation_mae_px,core_minutes\n");
  if (loaded == 0 && !o->quiet) printf("going on from %s at epoch %llu\n", r.checkpoint, (unsigned long long)r.state.epoch + 1);

  cli_catch_signals();
  cli_progress progress;
  cli_progress_start(&progress, stdout, "training", (size_t)o->epochs * r.batch_count);
  double start = cli_seconds(), saved = start, shown = start;
  uint64_t epochs = (uint64_t)o->epochs, shuffled = UINT64_MAX, first = r.state.epoch * r.batch_count + r.state.batch;
  int interrupted = 0;
  while (r.state.epoch < epochs && !interrupted) {
    if (shuffled != r.state.epoch) start_epoch(&r);
    shuffled = r.state.epoch;
    clock_t before = clock(); /* processor time of all threads: a busy machine does not count */
    double loss = train_batch(&r);
    if (!isfinite(loss)) cli_fail(EXIT_FAILED, "the loss is no longer finite; use a smaller --rate");
    r.state.epoch_loss += loss;
    r.state.batch++;
    r.state.core_seconds += (double)(clock() - before) / CLOCKS_PER_SEC;
    if (r.state.batch == r.batch_count) end_of_epoch(&r);
    double now = cli_seconds();
    uint64_t done = r.state.epoch * r.batch_count + r.state.batch;
    if (!o->quiet && (now - shown > 0.5 || r.state.epoch == epochs)) {
      char detail[96];
      snprintf(detail, sizeof detail, "epoch %llu loss %.4f %.1f samples/s",
               (unsigned long long)((done - 1) / r.batch_count + 1), loss,
               (double)((done - first) * r.net.batch) / (now - start));
      cli_progress_show(&progress, done, detail);
      shown = now;
    }
    interrupted = cli_interrupted();
    if (interrupted || now - saved >= o->checkpoint_seconds) {
      if (checkpoint_save(r.checkpoint, r.configuration, &r.net, &r.opt, &r.state, message) != 0)
        cli_fail(EXIT_WRITE, "%s", message);
      saved = cli_seconds();
    }
  }
  cli_progress_end(&progress);
  if (interrupted) {
    printf("interrupted; the same command goes on from %s\n", r.checkpoint);
    tear_down(&r);
    return interrupted;
  }
  unsigned char *bytes = NULL;
  size_t size = 0;
  int status = EXIT_DONE;
  if (make_model(&r, &bytes, &size, message) != 0 || file_write(o->output, bytes, size, message) != 0) {
    cli_error("%s", message);
    status = EXIT_WRITE;
  } else {
    remove(r.checkpoint);
    if (!o->quiet) printf("wrote %s (%.2f MB), %s and %s\n", o->output, (double)size / 1e6, r.log, r.plot);
  }
  free(bytes);
  tear_down(&r);
  return status;
}

int train_average(compute *cp, const train_options *given, char *const *models, size_t count) {
  run r = {0};
  train_options o = *given;
  char message[MESSAGE_SIZE];
  unsigned char *bytes;
  size_t size;
  metrics m;
  r.o = &o;
  r.cp = cp;
  set_up(&r);
  o.augment.margin = roto_get_info(r.trunk.file.model)->crop_margin;
  for (size_t i = 0; i < count; i++)
    if (trunk_blend(models[i], 1 / (double)(i + 2), &r.net, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  memcpy(r.opt.averaged, r.net.values, r.net.value_count * sizeof(real));
  if (make_model(&r, &bytes, &size, message) != 0 || measure(&r, bytes, size, &m, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  if (file_write(o.output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  if (!o.quiet)
    printf("validation NME %.3f %%, MAE %.3f px\nwrote %s (%.2f MB)\n", m.nme_percent, m.mae_total_px, o.output,
           (double)size / 1e6);
  free(bytes);
  tear_down(&r);
  return EXIT_DONE;
}
