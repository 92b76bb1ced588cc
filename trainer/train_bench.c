/* A step as in training, on a batch that is already in memory: forward, loss, backward, optimizer.  Pictures and truth are
 * random; the arithmetic does not care.  The profile takes the step apart by node and pass, each against its roof. */

#include "train_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../tools/cli.h"
#include "../tools/json_file.h"
#include "../tools/median.h"
#include "../tools/model_file.h"
#include "../tools/peak.h"
#include "architectures.h"
#include "loss.h"
#include "optimizer.h"
#include "rng.h"
#include "train.h"

enum { WARM_UP = 1 };

typedef struct bench {
  network net;
  optimizer opt;
  loss_options loss;
  size_t points, picture; /* floats of the batch's pictures */
  real *pictures, *dy, *dlogit;
  float *truth, *weight;
  /* of each run */
  int runs, run;
  double mark;                               /* end of the last pass */
  double *passes;                            /* [node][pass][run], with a profile */
  double *step, *loss_seconds, *opt_seconds; /* [run] */
} bench;

static double *pass_seconds(const bench *b, uint32_t node, int pass) {
  return b->passes + ((size_t)node * NET_PASSES + (size_t)pass) * (size_t)b->runs;
}

static void end_of_pass(void *user, uint32_t node, net_pass pass) {
  bench *b = user;
  double now = cli_seconds();
  if (b->run >= 0) pass_seconds(b, node, (int)pass)[b->run] = now - b->mark;
  b->mark = now;
}

static void set_up(bench *b, compute *cp, const char *text, uint32_t size, size_t batch, int recompute) {
  char message[MESSAGE_SIZE];
  network *net = &b->net;
  if (architecture_build(net, text, size, size, (uint32_t)b->points, message) != 0) cli_fail(EXIT_USAGE, "%s", message);
  net_finish(net, 1);
  net->recompute = recompute;
  net_prepare(net, cp, batch);
  optimizer_init(&b->opt, net);
  b->opt.average = 0.999;
  b->loss = loss_defaults();
  const net_node *in = &net->nodes[0], *out = net_output(net), *head = &net->nodes[out->inputs[0]];
  b->picture = batch * in->h * in->w * value_stride(in->c);
  b->pictures = real_alloc(b->picture);
  b->dy = real_alloc(batch * value_stride(out->c));
  if (net_probability(net) != NULL) b->dlogit = real_alloc(batch * b->points * head->h * head->w);
  b->truth = cli_alloc(batch * b->points * 2, sizeof(float));
  b->weight = cli_alloc(batch * b->points, sizeof(float));
  rng r = {rng_seed(1, 0, 0)};
  for (size_t i = 0; i < b->picture; i++) b->pictures[i] = (real)rng_normal(&r);
  for (size_t i = 0; i < batch * b->points * 2; i++) b->truth[i] = (float)rng_uniform(&r);
  for (size_t i = 0; i < batch * b->points; i++) b->weight[i] = 1;
  b->step = cli_alloc(3 * (size_t)b->runs, sizeof(double));
  b->loss_seconds = b->step + b->runs;
  b->opt_seconds = b->loss_seconds + b->runs;
}

static void one_step(bench *b) {
  network *net = &b->net;
  const net_node *out = net_output(net), *head = &net->nodes[out->inputs[0]];
  double start = b->mark = cli_seconds();
  memcpy(net->outputs[0], b->pictures, b->picture * sizeof(real));
  const real *y = net_forward(net, 1, rng_seed(1, 1, (uint64_t)b->run));
  double forward = cli_seconds();
  loss_batch batch = {net->batch, b->points, out->c / b->points, value_stride(out->c), y, net_probability(net), head->h,
                      head->w,    b->truth,  b->weight};
  loss_compute(&b->loss, &batch, b->dy, b->dlogit);
  double loss = b->mark = cli_seconds();
  net_backward(net, b->dy, b->dlogit);
  double backward = cli_seconds();
  optimizer_step(&b->opt, net, 1e-4);
  double end = cli_seconds();
  if (b->run < 0) return;
  b->step[b->run] = end - start;
  b->loss_seconds[b->run] = loss - forward;
  b->opt_seconds[b->run] = end - backward;
}

static void tear_down(bench *b) {
  optimizer_free(&b->opt);
  net_free(&b->net);
  free(b->pictures);
  free(b->dy);
  free(b->dlogit);
  free(b->truth);
  free(b->weight);
  free(b->passes);
  free(b->step);
}

/* ---- the profile ---- */

/* A sum of passes, or one: what they took, what they had to do, and the least time that can take. */
typedef struct pass_result {
  double seconds, least, operations, bytes;
  const char *limit;
} pass_result;

static pass_result judge_pass(const bench *b, const peak_machine *machine, uint32_t i, int pass) {
  const net_work least = net_pass_work(&b->net, i, (net_pass)pass);
  peak_work work = {compute_is_mixed(b->net.cp) && b->net.nodes[i].op != ROTO_OP_DEPTHWISE ? PEAK_BF16 : PEAK_FP32,
                    least.operations, least.value_bytes, least.weight_bytes, (double)b->net.memory_size};
  pass_result r = {median(pass_seconds(b, i, pass), (size_t)b->runs), 0, work.operations, work.value_bytes + work.weight_bytes,
                   "none"};
  if (r.bytes > 0) r.least = peak_seconds(machine, &work, &r.limit);
  return r;
}

static double share(const pass_result *r) {
  return r->seconds > 0 ? r->least / r->seconds : 0;
}

static double rate(const pass_result *r, double work) {
  return r->seconds > 0 ? 1e-9 * work / r->seconds : 0;
}

static const char *op_name(int op) {
  static const char *const names[] = {"input", "conv",   "depthwise", "dense",   "batchnorm",  "act",      "add",
                                      "scale", "concat", "maxpool",   "avgpool", "globalpool", "upsample", "points"};
  return op == NET_OP_DROPOUT ? "dropout" : names[op];
}

static const char *const pass_names[NET_PASSES] = {"forward", "backward", "backward_weights"};

/* Layers that run alike, for the summary: which of them the time goes to. */
enum { KIND_EXPAND, KIND_PROJECT, KIND_DEPTHWISE, KIND_CONV, KIND_NORM, KIND_OTHER, KINDS };
static const char *const kind_names[KINDS] = {"1x1 to more channels", "1x1 to fewer channels", "depthwise",
                                              "other convolutions",   "batch norm, mean",      "the rest"};

static int kind_of(const network *net, uint32_t i) {
  const net_node *node = &net->nodes[i], *x = &net->nodes[node->inputs[0]];
  if (node->op == ROTO_OP_DEPTHWISE) return KIND_DEPTHWISE;
  if (node->op == ROTO_OP_BATCHNORM || node->op == ROTO_OP_GLOBALPOOL) return KIND_NORM;
  if (!net_has_kernel(node)) return KIND_OTHER;
  if (node->op == ROTO_OP_DENSE || node->kh > 1 || node->kw > 1 || x->h * x->w == 1) return KIND_CONV;
  return node->c > x->c ? KIND_EXPAND : KIND_PROJECT;
}

static pass_result kind_result(const bench *b, const peak_machine *machine, int kind, int backward) {
  pass_result sum = {0, 0, 0, 0, "none"};
  double arithmetic = 0;
  for (uint32_t i = 1; i < b->net.node_count; i++) {
    for (int pass = backward ? NET_BACKWARD : NET_FORWARD; pass < (backward ? NET_PASSES : NET_BACKWARD); pass++) {
      if (kind_of(&b->net, i) != kind) continue;
      pass_result r = judge_pass(b, machine, i, pass);
      sum.seconds += r.seconds, sum.least += r.least, sum.operations += r.operations, sum.bytes += r.bytes;
      if (r.limit[0] == 'c') arithmetic += r.least;
    }
  }
  if (sum.least > 0) sum.limit = 2 * arithmetic > sum.least ? "compute" : "memory"; /* most of it */
  return sum;
}

static void print_result(const pass_result *r) {
  printf(" %9.3f %6.1f %6.1f", 1e3 * r->seconds, rate(r, r->operations), rate(r, r->bytes));
  if (r->least > 0) {
    printf(" %3.0f %% %c", 100 * share(r), r->limit[0]);
  } else {
    printf("    -   ");
  }
}

static void print_profile(const bench *b, const peak_machine *machine) {
  static const char head[] = "ms GFLOP/s   GB/s   roof";
  double forward = 0, backward = 0;
  printf(
      "\nroof: share of it, c arithmetic, m memory; 1x1 and depthwise layers make both gradients in one pass, and the batch "
      "norms\n"
      "beside them have nothing left to do\n%-5s %-10s %-14s %-14s %-6s %29s %29s %29s\n%51s %31s %29s %29s\n",
      "node", "op", "in", "out", "kernel", "forward", "backward", "weights", "", head, head, head);
  for (uint32_t i = 1; i < b->net.node_count; i++) {
    const net_node *node = &b->net.nodes[i], *x = &b->net.nodes[node->inputs[0]];
    char in[40], out[40], kernel[40] = "";
    snprintf(in, sizeof in, "%ux%ux%u", x->h, x->w, x->c);
    snprintf(out, sizeof out, "%ux%ux%u", node->h, node->w, node->c);
    if (node->kh > 1 || net_has_kernel(node)) snprintf(kernel, sizeof kernel, "%ux%u/%u", node->kh, node->kw, node->stride);
    printf("%-5u %-10s %-14s %-14s %-6s", i, op_name(node->op), in, out, kernel);
    for (int pass = 0; pass < NET_PASSES; pass++) {
      pass_result r = judge_pass(b, machine, i, pass);
      if (pass < NET_BACKWARD_WEIGHTS || r.bytes > 0) print_result(&r);
    }
    putchar('\n');
  }
  printf("\n%-22s %29s %29s\n%-22s %29s %29s\n", "where the time goes", "forward", "backward", "", head, head);
  for (int kind = 0; kind < KINDS; kind++) {
    pass_result f = kind_result(b, machine, kind, 0), g = kind_result(b, machine, kind, 1);
    printf("%-22s", kind_names[kind]);
    print_result(&f);
    print_result(&g);
    putchar('\n');
    forward += f.seconds, backward += g.seconds;
  }
  printf("\nforward %.1f ms, backward %.1f ms, loss %.1f ms, optimizer %.1f ms\n", 1e3 * forward, 1e3 * backward,
         1e3 * median(b->loss_seconds, (size_t)b->runs), 1e3 * median(b->opt_seconds, (size_t)b->runs));
}

static void add_result(cJSON *item, const pass_result *r) {
  cJSON_AddNumberToObject(item, "ms", 1e3 * r->seconds);
  cJSON_AddNumberToObject(item, "gflops", rate(r, r->operations));
  cJSON_AddNumberToObject(item, "gb_per_s", rate(r, r->bytes));
  cJSON_AddStringToObject(item, "limit", r->limit);
  cJSON_AddNumberToObject(item, "share_of_roof", share(r));
}

static cJSON *json_profile(const bench *b, const peak_machine *machine) {
  cJSON *list = cJSON_CreateArray();
  for (uint32_t i = 1; i < b->net.node_count; i++) {
    const net_node *node = &b->net.nodes[i], *x = &b->net.nodes[node->inputs[0]];
    for (int pass = 0; pass < NET_PASSES; pass++) {
      const int in[] = {(int)x->h, (int)x->w, (int)x->c}, out[] = {(int)node->h, (int)node->w, (int)node->c};
      const int kernel[] = {(int)node->kh, (int)node->kw, (int)node->stride};
      pass_result r = judge_pass(b, machine, i, pass);
      if (pass == NET_BACKWARD_WEIGHTS && r.bytes <= 0) continue;
      cJSON *item = cJSON_CreateObject();
      cJSON_AddNumberToObject(item, "node", i);
      cJSON_AddStringToObject(item, "op", op_name(node->op));
      cJSON_AddStringToObject(item, "pass", pass_names[pass]);
      cJSON_AddItemToObject(item, "in", cJSON_CreateIntArray(in, 3));
      cJSON_AddItemToObject(item, "out", cJSON_CreateIntArray(out, 3));
      cJSON_AddItemToObject(item, "kernel", cJSON_CreateIntArray(kernel, 3));
      add_result(item, &r);
      cJSON_AddItemToArray(list, item);
    }
  }
  return list;
}

static cJSON *json_kinds(const bench *b, const peak_machine *machine) {
  cJSON *list = cJSON_CreateArray();
  for (int kind = 0; kind < KINDS; kind++) {
    for (int backward = 0; backward < 2; backward++) {
      pass_result r = kind_result(b, machine, kind, backward);
      cJSON *item = cJSON_CreateObject();
      cJSON_AddStringToObject(item, "layers", kind_names[kind]);
      cJSON_AddStringToObject(item, "pass", pass_names[backward]);
      add_result(item, &r);
      cJSON_AddItemToArray(list, item);
    }
  }
  return list;
}

/* The epoch of the paper that roto follows (its time is in tests/RESULTS.md): 1438 labelled frames and 936 rendered ones. */
enum { PAPER_SAMPLES = 2374 };

int train_bench_main(int argc, char **argv) {
  const char *name = "small", *precision = "fp32", *isa_name = "auto";
  int size = 0, points = 27, batch = 16, threads = 0, iterations = 5, json = 0, profile = 0, recompute = 0;
  const cli_option options[] = {
      {"--net", CLI_STRING, &name, "NET", "small, tiny, b0 to b7, or a configuration's text (default small)"},
      {"--size", CLI_INTEGER, &size, "N", "side of the network's input in pixels (default: the configuration's)"},
      {"--points", CLI_INTEGER, &points, "N", "landmarks (default 27)"},
      {"--batch", CLI_INTEGER, &batch, "N", "samples a step (default 16)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--precision", CLI_STRING, &precision, "NAME", TRAIN_PRECISION_HELP},
      {"--recompute", CLI_FLAG, &recompute, NULL, TRAIN_RECOMPUTE_HELP},
      {"--iterations", CLI_INTEGER, &iterations, "N", "steps to time after one to warm up (default 5)"},
      {"--isa", CLI_STRING, &isa_name, "NAME", "highest instruction set: scalar, avx2, avx512"},
      {"--profile", CLI_FLAG, &profile, NULL, "each node and pass against what bounds it: arithmetic or memory"},
      {"--json", CLI_FLAG, &json, NULL, "print one JSON object"},
  };
  const cli_command command = {"roto-train bench",
                               "[--net NET]",
                               "Time whole training steps on data already in memory: forward, loss, backward, optimizer.",
                               "roto-train bench --net b0 --batch 16 --threads 1 --profile",
                               options,
                               sizeof options / sizeof *options};
  roto_isa isa;
  uint32_t own_size = 0;
  if (cli_parse(&command, argc, argv) != 0) cli_usage(&command, "unexpected argument '%s'", argv[0]);
  if (model_parse_isa(isa_name, &isa) != 0)
    cli_usage(&command, "--isa expects auto, scalar, avx2 or avx512, found '%s'", isa_name);
  if (batch < 1 || iterations < 1 || threads < 0)
    cli_usage(&command, "--batch and --iterations must be at least 1, --threads 0");
  if (size < 0 || size > (int)ROTO_MAX_SIZE) cli_usage(&command, "--size must be 0 to %u", ROTO_MAX_SIZE);
  if (points < 1 || points > (int)ROTO_MAX_LANDMARKS) cli_usage(&command, "--points must be 1 to %u", ROTO_MAX_LANDMARKS);
  const char *text = architecture_text(name, &own_size);
  if (text == NULL) text = name;
  if (size == 0) size = (int)own_size;
  if (size == 0)
    cli_usage(&command, "unknown network '%s'; there are: %s; one of your own needs --size", name, architecture_names());

  bench b = {0};
  compute *cp = compute_create(threads > 0 ? threads : cli_default_threads(), (int)isa);
  train_precision(&command, cp, precision);
  b.points = (size_t)points;
  b.runs = iterations;
  set_up(&b, cp, text, (uint32_t)size, (size_t)batch, recompute);
  if (profile) {
    b.passes = cli_alloc((size_t)b.net.node_count * NET_PASSES * (size_t)iterations, sizeof(double));
    b.net.watch = end_of_pass;
    b.net.watch_user = &b;
  }
  for (b.run = -WARM_UP; b.run < iterations; b.run++) one_step(&b);

  struct rusage usage; /* before the peaks are measured, which takes memory too */
  getrusage(RUSAGE_SELF, &usage);
  peak_machine machine;
  threads = compute_threads(cp);
  peak_measure(isa == ROTO_ISA_AUTO ? roto_best_isa() : isa, threads, &machine);
  /* every product three times: forward, and backward to data and to weights */
  double seconds = median(b.step, (size_t)iterations), peak = machine.operations[compute_is_mixed(cp) ? PEAK_BF16 : PEAK_FP32];
  double work = 6 * (double)net_multiply_adds(&b.net) * batch / seconds, memory = (double)usage.ru_maxrss / 1024;
  if (json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "step_ms", 1e3 * seconds);
    cJSON_AddNumberToObject(root, "min_ms", 1e3 * b.step[0]);
    cJSON_AddNumberToObject(root, "samples_per_s", batch / seconds);
    cJSON_AddNumberToObject(root, "paper_epoch_s", PAPER_SAMPLES * seconds / batch);
    cJSON_AddNumberToObject(root, "gflops_per_core", 1e-9 * work / threads);
    cJSON_AddNumberToObject(root, "peak_memory_mib", memory);
    cJSON_AddNumberToObject(root, "gflops", 1e-9 * work);
    cJSON_AddItemToObject(root, "share_of_peak", peak > 0 ? cJSON_CreateNumber(work / peak) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "peak_gflops", peak > 0 ? cJSON_CreateNumber(1e-9 * peak) : cJSON_CreateNull());
    cJSON_AddStringToObject(root, "net", name);
    cJSON_AddNumberToObject(root, "size", size);
    cJSON_AddNumberToObject(root, "batch", batch);
    cJSON_AddNumberToObject(root, "threads", threads);
    cJSON_AddStringToObject(root, "precision", precision);
    cJSON_AddBoolToObject(root, "recompute", recompute);
    cJSON_AddStringToObject(root, "isa", compute_isa(cp));
    if (profile) {
      cJSON_AddNumberToObject(root, "loss_ms", 1e3 * median(b.loss_seconds, (size_t)iterations));
      cJSON_AddNumberToObject(root, "optimizer_ms", 1e3 * median(b.opt_seconds, (size_t)iterations));
      cJSON_AddItemToObject(root, "passes", json_profile(&b, &machine));
      cJSON_AddItemToObject(root, "kinds", json_kinds(&b, &machine));
    }
    json_print(root);
  } else {
    printf("%s at %dx%d, batch %d: %.1f ms a step (median of %d), %.2f samples/s (%s, %d threads)\n", name, size, size, batch,
           1e3 * seconds, iterations, batch / seconds, compute_isa(cp), threads);
    printf("%.1f GFLOP/s", 1e-9 * work);
    if (peak > 0) printf(", %.0f %% of the measured peak of %.0f", 100 * work / peak, 1e-9 * peak);
    printf("; peak memory %.0f MiB; an epoch of %d samples, as the paper's: %.1f s\n", memory, PAPER_SAMPLES,
           PAPER_SAMPLES * seconds / batch);
    if (profile) print_profile(&b, &machine);
  }
  tear_down(&b);
  compute_free(cp);
  return EXIT_DONE;
}
