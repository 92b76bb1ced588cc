/* roto-train: from annotated shots to a model.  Each command is a function; the table at the end is the list of them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include "../roto.h"
#include "../tools/cli.h"
#include "../tools/model_file.h"
#include "architectures.h"
#include "augment_sheet.h"
#include "dataset_tools.h"
#include "demo_shots.h"
#include "evaluate.h"
#include "finetune.h"
#include "experiment.h"
#include "import.h"
#include "metrics.h"
#include "refine.h"
#include "shape_model.h"
#include "synth.h"
#include "train.h"
#include "train_character.h"
#include "train_bench.h"

#define OPTIONS(list) list, sizeof list / sizeof *list

static compute *start_compute(int threads, const char *isa) {
  int cap = ROTO_ISA_AUTO;
  for (int i = ROTO_ISA_SCALAR; isa != NULL && i <= ROTO_ISA_AVX512; i++)
    if (strcmp(isa, roto_isa_name((roto_isa)i)) == 0) cap = i;
  if (isa != NULL && cap == ROTO_ISA_AUTO) cli_fail(EXIT_USAGE, "--isa %s: expected scalar, avx2 or avx512", isa);
  return compute_create(threads > 0 ? threads : cli_default_threads(), cap);
}

static int choice(const char *option, const char *value, const char *const *names, int count) {
  for (int i = 0; i < count; i++)
    if (strcmp(value, names[i]) == 0) return i;
  cli_fail(EXIT_USAGE, "%s %s: expected %s or %s", option, value, names[0], names[1]);
}

static int landmarks_main(int argc, char **argv) {
  train_options o = train_defaults();
  augment_options *a = &o.augment;
  const char *schedule = "cosine", *loss = "wing", *precision = "fp32", *isa = NULL;
  int threads = 0, paper = 0;
  o.name = "landmarks";
  int goes_on = 0, has_fixed = 0;
  for (int i = 1; i < argc; i++) {
    goes_on |= strncmp(argv[i], "--finetune", 10) == 0;
    has_fixed |= strncmp(argv[i], "--from", 6) == 0;
    if (strncmp(argv[i], "--second", 8) == 0) train_second(&o);
  }
  if (goes_on && has_fixed) finetune_defaults(&o);
  const cli_option options[] = {
      {"-o", CLI_STRING, &o.output, "FILE", "model to write; FILE.csv, FILE.png and FILE.checkpoint stand beside it"},
      {"--validation", CLI_STRING, &o.validation, "DIR", "frames to measure on, not trained on"},
      {"--character", CLI_STRING, &o.character, "FILE", "template (default: DATA/character.json)"},
      {"--net", CLI_STRING, &o.net, "NET", "small, tiny, close, b0 to b7, or a configuration's text (default small)"},
      {"--from", CLI_STRING, &o.from, "FILE", "start from the trunk of this model, with the head of --net (text: all of it)"},
      {"--finetune", CLI_STRING, &o.finetune, "FILE",
       "go on training this model, as long as a new one, at another --size if you like; with --from, which is then a document: "
       "a "
       "few minutes, on its frames with an artist's points (of a model that looks twice the first look only: see roto-train "
       "character)"},
      {"--second", CLI_STRING, &o.second, "FILE",
       "train a second look for this model: its landmarks again, a few at a time, close up; -o may be the same file"},
      {"--looks", CLI_INTEGER, &o.looks, "N", "crops of the second look (default 4)"},
      {"--freeze", CLI_INTEGER, &o.freeze, "N", "epochs before that trunk is trained too (default 0)"},
      {"--size", CLI_INTEGER, &o.size, "N", "side of the network's input in pixels (default: the configuration's)"},
      {"--epochs", CLI_INTEGER, &o.epochs, "N", "passes over the data (default 100)"},
      {"--batch", CLI_INTEGER, &o.batch, "N", "samples a step (default 8)"},
      {"--rate", CLI_NUMBER, &o.rate, "R", "highest learning rate (default 2e-3, for b0 to b7 7e-4)"},
      {"--decay", CLI_NUMBER, &o.weight_decay, "W", "AdamW's weight decay; 0 is Adam (default 0.05)"},
      {"--average", CLI_NUMBER, &o.average, "A", "decay of the moving average of the weights (default 0.999)"},
      {"--schedule", CLI_STRING, &schedule, "NAME", "cosine or paper (default cosine)"},
      {"--loss", CLI_STRING, &loss, "NAME", "wing or l1 (default wing)"},
      {"--wing-width", CLI_FLOAT, &o.loss.wing_width, "W", "wing loss: where it turns linear, hundredths of the crop"},
      {"--wing-epsilon", CLI_FLOAT, &o.loss.wing_epsilon, "E", "wing loss: curvature, hundredths of the crop"},
      {"--heat", CLI_FLOAT, &o.loss.heat_weight, "W", "weight of the heat maps' cross entropy"},
      {"--heat-sigma", CLI_FLOAT, &o.loss.heat_sigma, "S", "deviation of its target, cells"},
      {"--grow", CLI_NUMBER, &o.grow, "S", "share of the epochs in which the input grows from half its side (default 0.6)"},
      {"--settle", CLI_NUMBER, &o.settle, "S",
       "share of the epochs, the last, with crops close to the true ones (default 0.15)"},
      {"--part-scale", CLI_FLAG, &o.part_scale, NULL, "scale-aware loss: a part's errors count by its size"},
      {"--paper", CLI_FLAG, &paper, NULL, "the paper's recipe: scale-aware L1, Adam, rate 1e-3 and its schedule"},
      AUGMENT_CLI(a),
      {"--backgrounds", CLI_STRING, &o.backgrounds, "DIR", "augmentation: pictures for backgrounds and occluders"},
      {"--seed", CLI_INTEGER, &o.seed, "N", "of weights, order and augmentation (default 1)"},
      {"--precision", CLI_STRING, &precision, "NAME", TRAIN_PRECISION_HELP},
      {"--recompute", CLI_FLAG, &o.recompute, NULL, TRAIN_RECOMPUTE_HELP},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--isa", CLI_STRING, &isa, "NAME", "highest instruction set: scalar, avx2, avx512"},
      {"--evaluate-every", CLI_INTEGER, &o.evaluate_every, "N", "epochs between evaluations (default 5)"},
      {"--checkpoint-seconds", CLI_NUMBER, &o.checkpoint_seconds, "S", "time between checkpoints (default 60)"},
      {"--restart", CLI_FLAG, &o.restart, NULL, "ignore the checkpoint of an interrupted run"},
      {"--name", CLI_STRING, &o.name, "TEXT", "name of the model"},
      {"--description", CLI_STRING, &o.description, "TEXT", "description of the model"},
      {"--quiet", CLI_FLAG, &o.quiet, NULL, "print nothing but errors"},
  };
  const cli_command command = {
      "roto-train landmarks", "DATA... -o MODEL.roto",
      "Train a landmark model on folders of annotated shots.  An interrupted run goes on when the command is repeated, and "
      "ends with the same bits.",
      "roto-train landmarks shots --validation held_out -o puppet.roto\n"
      "  roto-train landmarks --finetune puppet.roto --from sh010.roto.json -o sh010.roto   # after an artist fixed frames",
      OPTIONS(options)};
  int count = cli_parse(&command, argc, argv);
  if (o.finetune != NULL) {
    o.fixed = o.from;
    o.from = NULL;
    if (o.freeze > 0 || o.character != NULL)
      cli_usage(&command, "--finetune keeps the model as it is: --freeze and --character do not go with it");
    if (o.fixed == NULL && count < 1) cli_usage(&command, "--finetune needs --from DOCUMENT.roto.json, or folders of shots");
  } else if (count < 1) {
    cli_usage(&command, "expected folders of shots");
  }
  if (o.output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  if (o.second != NULL && (o.from != NULL || o.finetune != NULL || o.character != NULL))
    cli_usage(&command, "--second takes the template of its model: --from, --finetune and --character do not go with it");
  if (o.looks < 1 || o.looks > (int)ROTO_MAX_LOOKS) cli_usage(&command, "--looks must be 1 to %u", ROTO_MAX_LOOKS);
  if (o.epochs < 1 || o.batch < 1 || o.evaluate_every < 1 || o.size < 0 || o.size > (int)ROTO_MAX_SIZE)
    cli_usage(&command, "--epochs, --batch and --evaluate-every must be at least 1, --size 0 to %u", ROTO_MAX_SIZE);
  if (o.freeze < 0 || (o.freeze > 0 && o.from == NULL)) cli_usage(&command, "--freeze must be 0 or more, and needs --from");
  if (o.rate <= 0 || !(a->margin >= 1)) cli_usage(&command, "--rate must be positive, --margin at least 1");
  o.data = argv;
  o.data_count = (size_t)count;
  static const char *const schedules[] = {"paper", "cosine"}, *const losses[] = {"l1", "wing"};
  o.schedule = choice("--schedule", schedule, schedules, 2) == 0 ? SCHEDULE_PAPER : SCHEDULE_COSINE;
  o.loss.kind = choice("--loss", loss, losses, 2) == 0 ? LOSS_L1 : LOSS_WING;
  if (paper) train_as_paper(&o);
  compute *cp = start_compute(threads, isa);
  train_precision(&command, cp, precision);
  int status = train_run(cp, &o);
  compute_free(cp);
  return status;
}

static int average_main(int argc, char **argv) {
  train_options o = train_defaults();
  const char *isa = NULL;
  int threads = 0;
  o.name = "landmarks";
  const cli_option options[] = {
      {"-o", CLI_STRING, &o.output, "FILE", "model to write; may be one of them"},
      {"--validation", CLI_STRING, &o.validation, "DIR",
       "frames none of the models was trained on, to measure and to calibrate on"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--isa", CLI_STRING, &isa, "NAME", "highest instruction set: scalar, avx2, avx512"},
      {"--name", CLI_STRING, &o.name, "TEXT", "name of the model"},
      {"--description", CLI_STRING, &o.description, "TEXT", "description of the model"},
      {"--quiet", CLI_FLAG, &o.quiet, NULL, "print nothing but errors"},
  };
  const cli_command command = {
      "roto-train average", "MODEL MODEL... --validation DIR -o MODEL.roto",
      "Average the weights of models that were trained on from one and the same, each with another seed: as good as asking all "
      "of "
      "them, in the time of one (Wortsman et al. 2022, \"Model soups\").  Shapes, template and text are the first one's.",
      "for s in 1 2 3 4; do roto-train landmarks shots --finetune puppet.roto --grow 0 --settle 1 --epochs 20 --seed $s -o "
      "$s.roto; "
      "done\n"
      "  roto-train average 1.roto 2.roto 3.roto 4.roto --validation held_out -o puppet.roto",
      OPTIONS(options)};
  int count = cli_parse(&command, argc, argv);
  if (count < 2) cli_usage(&command, "expected two models or more");
  if (o.output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  if (o.validation == NULL) cli_usage(&command, "--validation DIR is missing: frames to calibrate the average on");
  o.finetune = argv[0];
  compute *cp = start_compute(threads, isa);
  int status = train_average(cp, &o, argv + 1, (size_t)count - 1);
  compute_free(cp);
  return status;
}

static int eval_main(int argc, char **argv) {
  const char *model_path = NULL, *data = NULL, *crop = "landmarks", *anchors = NULL, *isa = NULL, *character_path = NULL;
  int json = 0, threads = 0, worst = 0, views = 1, true_landmarks = 0;
  const char *precision_name = "fp32";
  roto_precision precision;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--model", CLI_STRING, &model_path, "FILE", "model to measure"},
      {"--data", CLI_STRING, &data, "DIR", "one shot folder or a folder of shots"},
      {"--crop", CLI_STRING, &crop, "FILE", "crops by frame number (JSON), or 'landmarks': the true box times the margin"},
      {"--anchors", CLI_STRING, &anchors, "I,J", "the two landmarks whose distance normalises NME"},
      {"--character", CLI_STRING, &character_path, "FILE", "template (default: DATA/character.json, else the model's)"},
      {"--views", CLI_INTEGER, &views, "N", "see each crop so often, see roto run (default 1; 2: also mirrored; up to 10)"},
      {"--precision", CLI_STRING, &precision_name, "NAME", "fp32 (default), bf16 or int8 (after roto model quantize)"},
      {"--true-landmarks", CLI_FLAG, &true_landmarks, NULL, "draw the shapes through the true landmarks, not the found ones"},
      {"--worst", CLI_INTEGER, &worst, "N", "list the N frames with the largest NME"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--isa", CLI_STRING, &isa, "NAME", "highest instruction set: scalar, avx2, avx512"},
      {"--json", CLI_FLAG, &json, NULL, "print one JSON object"},
  };
  const cli_command command = {"roto-train eval", "--model M --data DIR",
                               "Measure a model on annotated shots: NME, MAE by part, jitter, IoU and contours of the shapes, "
                               "and how far its confidence can be relied on.",
                               "roto-train eval --model puppet.roto --data held_out --json", OPTIONS(options)};
  if (cli_parse(&command, argc, argv) != 0) cli_usage(&command, "unexpected argument '%s'", argv[0]);
  if (model_path == NULL || data == NULL) cli_usage(&command, "--model and --data are needed");

  compute *cp = start_compute(threads, isa);
  model_file file;
  roto_isa max_isa = ROTO_ISA_AUTO;
  if (isa != NULL) model_parse_isa(isa, &max_isa);
  if (model_parse_precision(precision_name, &precision) != 0)
    cli_usage(&command, "--precision expects fp32, bf16 or int8, found '%s'", precision_name);
  if (views < 1 || views > 10) cli_usage(&command, "--views expects 1 to 10, found %d", views);
  if (model_open_in(model_path, max_isa, precision, threads, &file, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  const roto_model *model = file.model;

  character ch;
  char *own = cli_format("%s/character.json", data);
  FILE *there = character_path == NULL ? fopen(own, "r") : NULL;
  if (there != NULL) fclose(there);
  if (character_path != NULL || there != NULL) {
    if (character_load(character_path != NULL ? character_path : own, &ch, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  } else if (character_from_model(model, &ch, message) != 0) {
    cli_fail(EXIT_MODEL, "%s", message);
  }
  free(own);
  if (anchors != NULL && (sscanf(anchors, "%u,%u", &ch.anchors[0], &ch.anchors[1]) != 2 || ch.anchors[0] >= ch.landmark_count ||
                          ch.anchors[1] >= ch.landmark_count))
    cli_fail(EXIT_USAGE, "--anchors %s: expected two landmark numbers below %u, as in 36,45", anchors, ch.landmark_count);

  dataset ds;
  int failed = dataset_load(data, &ch, &ds, message);
  dataset_warn(&ds, 0);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  roto_rect *crops = NULL;
  if (strcmp(crop, "landmarks") != 0) {
    crops = cli_alloc(ds.frame_count, sizeof *crops);
    if (crops_load(crop, &ds, crops, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  }
  float *predicted = cli_alloc(ds.frame_count * ds.landmark_count * 2, sizeof(float));
  double *nme = cli_alloc(ds.frame_count, sizeof *nme);
  roto_point *points = cli_alloc(ds.frame_count * ds.landmark_count, sizeof *points);
  if (evaluate_model(cp, model, &ds, crops, views, predicted, points, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
  metrics m = metrics_compute(&ch, &ds, predicted, nme);
  metrics_rely(&m, &ds, predicted, points);
  free(points);
  shape_metrics shapes;
  for (size_t i = 0; true_landmarks && i < ds.frame_count; i++)
    for (uint32_t k = 0; k < ds.landmark_count; k++) {
      const frame *f = &ds.frames[i];
      int known = f->valid[k] || f->hidden[k];
      for (size_t n = 0; n < 2; n++) predicted[(i * ds.landmark_count + k) * 2 + n] = known ? f->points[2 * k + n] : NAN;
    }
  if (shape_metrics_init(&shapes, &ch) != 0 || shape_metrics_model(&shapes, model, &ch, &ds, predicted, message) != 0)
    cli_fail(EXIT_FAILED, "%s", message);
  shape_metrics_finish(&shapes);
  if (json)
    metrics_print_json(stdout, &m, &shapes);
  else
    metrics_print(stdout, &m, &shapes);
  shape_metrics_free(&shapes);
  for (int k = 0; k < worst; k++) {
    size_t w = 0;
    for (size_t i = 0; i < ds.frame_count; i++)
      if (nme[i] > nme[w] || isnan(nme[w])) w = i;
    if (isnan(nme[w])) break;
    printf("%8.3f %%  %s\n", nme[w], ds.frames[w].image_path);
    nme[w] = NAN;
  }
  int status = m.failed > 0 ? EXIT_INPUT : EXIT_DONE;
  free(predicted);
  free(nme);
  free(crops);
  dataset_free(&ds);
  character_free(&ch);
  model_close(&file);
  compute_free(cp);
  return status;
}

static int networks_main(int argc, char **argv) {
  int points = 27;
  const cli_option options[] = {{"--points", CLI_INTEGER, &points, "N", "landmarks (default 27)"}};
  const cli_command command = {"roto-train networks", "[NET...]", "Sizes of the network configurations.",
                               "roto-train networks --points 68 small b0", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv);
  static char *all[] = {"small", "tiny", "close", "b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"};
  char **names = count > 0 ? argv : all;
  if (count == 0) count = (int)(sizeof all / sizeof *all);
  if (points < 1 || points > (int)ROTO_MAX_LANDMARKS) cli_usage(&command, "--points must be 1 to %u", ROTO_MAX_LANDMARKS);
  printf("%-8s %6s %12s %12s %16s\n", "network", "input", "parameters", "of the head", "multiply-adds");
  for (int i = 0; i < count; i++) {
    uint32_t size = 0;
    char message[MESSAGE_SIZE];
    network net;
    const char *text = architecture_text(names[i], &size);
    if (text == NULL) cli_usage(&command, "unknown network '%s'; there are: %s", names[i], architecture_names());
    if (architecture_build(&net, text, size, size, (uint32_t)points, message) != 0) cli_fail(EXIT_FAILED, "%s", message);
    const net_node *out = net_output(&net), *head = out->op == ROTO_OP_POINTS ? &net.nodes[out->inputs[0]] : out;
    size_t head_count = net.params[head->params[0]].count + net.params[head->params[1]].count;
    printf("%-8s %6u %12zu %12zu %14.1f M\n", names[i], size, net_parameter_count(&net), head_count,
           (double)net_multiply_adds(&net) / 1e6);
    net_free(&net);
  }
  return EXIT_DONE;
}

static const char build_id[] =
#include "build_id.inc"
    ;

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
  const char *summary;
} commands[] = {
    {"character", character_main, "train everything a shot needs, and write a report"},
    {"landmarks", landmarks_main, "train a landmark model on annotated shots"},
    {"average", average_main, "average the weights of landmark models trained on from one"},
    {"shapes", shape_model_main, "train the networks that draw shapes through the landmarks"},
    {"refine", refine_main, "learn how landmarks lie together and on outlines, to hold them there"},
    {"eval", eval_main, "measure a model on annotated shots"},
    {"experiment", experiment_main, "the paper's tables on shots of one's own"},
    {"import", import_main, "make a model of a network trained elsewhere (ONNX)"},
    {"revectorize", revectorize_main, "turn drawn shapes into landmarks and shapes on the template's vertices"},
    {"augment", augment_main, "draw training samples as the network will see them"},
    {"dataset", dataset_main, "count, crop and import annotated shots"},
    {"networks", networks_main, "list the network configurations and their sizes"},
    {"bench", train_bench_main, "time whole training steps, layer by layer if asked"},
    {"synth", synth_main, "render annotated frames of a puppet given as OBJ files"},
    {"demo", demo_main, "render annotated shots of the demo puppet"},
};

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
    printf("roto-train %s, build %s, %s\n", ROTO_VERSION_STRING, build_id, roto_isa_name(roto_best_isa()));
    return EXIT_DONE;
  }
  for (size_t i = 0; argc >= 2 && i < sizeof commands / sizeof *commands; i++)
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  int help = argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0);
  FILE *out = help ? stdout : stderr;
  if (argc >= 2 && !help) fprintf(out, "ERROR: unknown command '%s'\n", argv[1]);
  fprintf(out, "usage: roto-train COMMAND ...    (roto-train COMMAND --help says more)\n\n");
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
  fprintf(out, "\nexample: roto-train landmarks shots --validation held_out -o puppet.roto\n");
  return help ? EXIT_DONE : EXIT_USAGE;
}
