/* A step as in training, on a batch that is already in memory: forward, loss, backward, optimizer.  Pictures and truth are
 * random; the arithmetic does not care.  The profile takes the step apart by node and pass, each against its roof. */

#include "train_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../tools/cli.h"
#include "../tools/json_file.h"
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

static void set_up(bench *b, compute *cp, const char *text, uint32_t size, size_t batch) {
  char message[MESSAGE_SIZE];
  network *net = &b->net;
  if (architecture_build(net, text, size, size, (uint32_t)b->points, message) != 0) cli_fail(EXIT_USAGE, "%s", message);
  net_finish(net, 1);
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

typedef struct pass_result {
  double seconds, gflops, gbs, share;
  const char *limit;
} pass_result;

/* Each pass must read or write every value, gradient and weight it concerns once: forward the inputs and the result, backward
 * the gradients of both, and the inputs again where the derivative needs them. */
static pass_result judge_pass(const bench *b, const peak_machine *machine, uint32_t i, int pass) {
  const network *net = &b->net;
  const net_node *node = &net->nodes[i];
  double inputs = 0, batch = (double)net->batch, output = (double)net_value_bytes(net, i);
  pass_result r;
  for (uint32_t k = 0; k < node->input_count; k++) inputs += (double)net_value_bytes(net, node->inputs[k]);
  int again = pass != NET_FORWARD && !net_has_kernel(node) && node->op != ROTO_OP_ADD && node->op != ROTO_OP_CONCAT &&
              node->op != ROTO_OP_GLOBALPOOL && node->op != ROTO_OP_AVGPOOL && node->op != ROTO_OP_UPSAMPLE;
  peak_work work = {compute_is_mixed(net->cp) && node->op != ROTO_OP_DEPTHWISE ? PEAK_BF16 : PEAK_FP32,
                    2 * batch * (double)net_node_multiply_adds(net, i), inputs * (1 + again) + output, 0,
                    (double)net->memory_size};
  if (node->params[0] >= 0) work.weight_bytes = (double)(net->params[node->params[0]].count * sizeof(real));
  r.seconds = median(pass_seconds(b, i, pass), (size_t)b->runs);
  double least = peak_seconds(machine, &work, &r.limit);
  r.gflops = r.seconds > 0 ? 1e-9 * work.operations / r.seconds : 0;
  r.gbs = r.seconds > 0 ? 1e-9 * (work.value_bytes + work.weight_bytes) / r.seconds : 0;
  r.share = r.seconds > 0 ? least / r.seconds : 0;
  return r;
}

static const char *op_name(int op) {
  static const char *const names[] = {"input", "conv",   "depthwise", "dense",   "batchnorm",  "act",      "add",
                                      "scale", "concat", "maxpool",   "avgpool", "globalpool", "upsample", "points"};
  return op == NET_OP_DROPOUT ? "dropout" : names[op];
}

static const char *const pass_names[NET_PASSES] = {"forward", "backward_data", "backward_weights"};

static void print_profile(const bench *b, const peak_machine *machine) {
  double sums[NET_PASSES] = {0};
  printf("\nshare: of the roof, c arithmetic, m memory\n%-5s %-10s %-14s %-14s %-6s %20s %20s %20s\n", "node", "op", "in",
         "out", "kernel", "forward ms", "backward data ms", "weights ms");
  for (uint32_t i = 1; i < b->net.node_count; i++) {
    const net_node *node = &b->net.nodes[i], *x = &b->net.nodes[node->inputs[0]];
    char in[40], out[40], kernel[40] = "";
    snprintf(in, sizeof in, "%ux%ux%u", x->h, x->w, x->c);
    snprintf(out, sizeof out, "%ux%ux%u", node->h, node->w, node->c);
    if (node->kh > 1 || net_has_kernel(node)) snprintf(kernel, sizeof kernel, "%ux%u/%u", node->kh, node->kw, node->stride);
    printf("%-5u %-10s %-14s %-14s %-6s", i, op_name(node->op), in, out, kernel);
    for (int pass = 0; pass < (net_has_kernel(node) ? NET_PASSES : NET_BACKWARD_WEIGHTS); pass++) {
      pass_result r = judge_pass(b, machine, i, pass);
      printf(" %12.3f %4.0f %% %c", 1e3 * r.seconds, 100 * r.share, r.limit[0]);
      sums[pass] += r.seconds;
    }
    putchar('\n');
  }
  printf("\nforward %.1f ms, backward data %.1f ms, backward weights %.1f ms, loss %.1f ms, optimizer %.1f ms\n", 1e3 * sums[0],
         1e3 * sums[1], 1e3 * sums[2], 1e3 * median(b->loss_seconds, (size_t)b->runs),
         1e3 * median(b->opt_seconds, (size_t)b->runs));
}

static cJSON *json_profile(const bench *b, const peak_machine *machine) {
  cJSON *list = cJSON_CreateArray();
  for (uint32_t i = 1; i < b->net.node_count; i++) {
    const net_node *node = &b->net.nodes[i], *x = &b->net.nodes[node->inputs[0]];
    for (int pass = 0; pass < (net_has_kernel(node) ? NET_PASSES : NET_BACKWARD_WEIGHTS); pass++) {
      const int in[] = {(int)x->h, (int)x->w, (int)x->c}, out[] = {(int)node->h, (int)node->w, (int)node->c};
      const int kernel[] = {(int)node->kh, (int)node->kw, (int)node->stride};
      pass_result r = judge_pass(b, machine, i, pass);
      cJSON *item = cJSON_CreateObject();
      cJSON_AddNumberToObject(item, "node", i);
      cJSON_AddStringToObject(item, "op", op_name(node->op));
      cJSON_AddStringToObject(item, "pass", pass_names[pass]);
      cJSON_AddItemToObject(item, "in", cJSON_CreateIntArray(in, 3));
      cJSON_AddItemToObject(item, "out", cJSON_CreateIntArray(out, 3));
      cJSON_AddItemToObject(item, "kernel", cJSON_CreateIntArray(kernel, 3));
      cJSON_AddNumberToObject(item, "ms", 1e3 * r.seconds);
      cJSON_AddNumberToObject(item, "gflops", r.gflops);
      cJSON_AddNumberToObject(item, "gb_per_s", r.gbs);
      cJSON_AddStringToObject(item, "limit", r.limit);
      cJSON_AddNumberToObject(item, "share_of_roof", r.share);
      cJSON_AddItemToArray(list, item);
    }
  }
  return list;
}

int train_bench_main(int argc, char **argv) {
  const char *name = "small", *precision = "fp32", *isa_name = "auto";
  int size = 0, points = 27, batch = 16, threads = 0, iterations = 5, json = 0, profile = 0;
  const cli_option options[] = {
      {"--net", CLI_STRING, &name, "NET", "small, tiny, b0 to b7, or a configuration's text (default small)"},
      {"--size", CLI_INTEGER, &size, "N", "side of the network's input in pixels (default: the configuration's)"},
      {"--points", CLI_INTEGER, &points, "N", "landmarks (default 27)"},
      {"--batch", CLI_INTEGER, &batch, "N", "samples a step (default 16)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--precision", CLI_STRING, &precision, "NAME", TRAIN_PRECISION_HELP},
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
  set_up(&b, cp, text, (uint32_t)size, (size_t)batch);
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
  double rate = 6 * (double)net_multiply_adds(&b.net) * batch / seconds, memory = (double)usage.ru_maxrss / 1024;
  if (json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "step_ms", 1e3 * seconds);
    cJSON_AddNumberToObject(root, "min_ms", 1e3 * b.step[0]);
    cJSON_AddNumberToObject(root, "samples_per_s", batch / seconds);
    cJSON_AddNumberToObject(root, "peak_memory_mib", memory);
    cJSON_AddNumberToObject(root, "gflops", 1e-9 * rate);
    cJSON_AddItemToObject(root, "share_of_peak", peak > 0 ? cJSON_CreateNumber(rate / peak) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "peak_gflops", peak > 0 ? cJSON_CreateNumber(1e-9 * peak) : cJSON_CreateNull());
    cJSON_AddStringToObject(root, "net", name);
    cJSON_AddNumberToObject(root, "size", size);
    cJSON_AddNumberToObject(root, "batch", batch);
    cJSON_AddNumberToObject(root, "threads", threads);
    cJSON_AddStringToObject(root, "precision", precision);
    cJSON_AddStringToObject(root, "isa", compute_isa(cp));
    if (profile) {
      cJSON_AddNumberToObject(root, "loss_ms", 1e3 * median(b.loss_seconds, (size_t)iterations));
      cJSON_AddNumberToObject(root, "optimizer_ms", 1e3 * median(b.opt_seconds, (size_t)iterations));
      cJSON_AddItemToObject(root, "passes", json_profile(&b, &machine));
    }
    json_print(root);
  } else {
    printf("%s at %dx%d, batch %d: %.1f ms a step (median of %d), %.2f samples/s (%s, %d threads)\n", name, size, size, batch,
           1e3 * seconds, iterations, batch / seconds, compute_isa(cp), threads);
    printf("%.1f GFLOP/s", 1e-9 * rate);
    if (peak > 0) printf(", %.0f %% of the measured peak of %.0f", 100 * rate / peak, 1e-9 * peak);
    printf("; peak memory %.0f MiB\n", memory);
    if (profile) print_profile(&b, &machine);
  }
  tear_down(&b);
  compute_free(cp);
  return EXIT_DONE;
}
