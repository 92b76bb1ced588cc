/* `roto bench`: how long one inference takes, and how close that is to what the machine could do.  The profile holds each
 * step of the network against its own roof (peak.h). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "commands.h"
#include "json_file.h"
#include "median.h"
#include "model_file.h"
#include "peak.h"
#include "roofline.h"

enum { WARM_UP = 3 };

/* What the runs leave: `seconds` of each run; with a profile, the steps and the seconds of each of them in each run. */
typedef struct timings {
  int warm_up, runs, run; /* run < 0 while warming up */
  double *seconds;
  size_t step_count, capacity, next;
  roto_step *steps;
  double *step_seconds; /* [step][run] */
} timings;

static double bench_clock(void *user) {
  (void)user;
  return cli_seconds();
}

/* The first warm-up run lists the steps. */
static void bench_step(void *user, const roto_step *step) {
  timings *t = (timings *)user;
  if (t->run == -t->warm_up) {
    if (t->step_count == t->capacity) {
      roto_step *more = (roto_step *)cli_alloc(t->capacity = 2 * t->capacity + 64, sizeof *more);
      if (t->steps) memcpy(more, t->steps, t->step_count * sizeof *more);
      free(t->steps);
      t->steps = more;
    }
    t->steps[t->step_count++] = *step;
  } else if (t->run >= 0) {
    t->step_seconds[t->next++ * (size_t)t->runs + (size_t)t->run] = step->seconds;
  }
}

/* Returns the first number of the last prediction. */
static float run(roto_session *session, const roto_info *info, const char *path, timings *t) {
  float *input = (float *)cli_alloc((size_t)info->input_width * info->input_height * info->input_channels, sizeof *input);
  float *output = (float *)cli_alloc(info->output_count, sizeof *output);
  for (t->run = -t->warm_up; t->run < t->runs; ++t->run) {
    if (t->run == 0 && t->step_count) t->step_seconds = (double *)cli_alloc(t->step_count * (size_t)t->runs, sizeof(double));
    t->next = 0;
    double start = cli_seconds();
    roto_status status = roto_infer(session, input, output);
    if (status) cli_fail(EXIT_FAILED, "%s: %s", path, roto_status_text(status));
    if (t->run >= 0) t->seconds[t->run] = cli_seconds() - start;
  }
  const float first = output[0];
  free(input);
  free(output);
  return first;
}

/* Seconds from before a new process exists until what it predicts arrives here; *whole: until it is gone again, too.  It opens the
 * model, predicts once, says so and ends. */
static double start_process(const char *path, const char *isa, const char *precision, const char *threads, double *whole) {
  int ends[2], status = -1;
  char first;
  if (pipe(ends)) cli_fail(EXIT_FAILED, "no pipe to a new process: %s", strerror(errno));
  double start = cli_seconds(), seconds;
  pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    execl("/proc/self/exe", "roto", "bench", "--once", "--isa", isa, "--precision", precision, "--threads", threads, "--model",
          path, (char *)NULL);
    _exit(EXIT_FAILED);
  }
  close(ends[1]);
  const ssize_t arrived = read(ends[0], &first, 1);
  seconds = cli_seconds() - start;
  if (child < 0 || waitpid(child, &status, 0) != child || status || arrived != 1)
    cli_fail(EXIT_FAILED, "%s: a new process could not predict with it (status %d); try roto bench --once", path, status);
  *whole = cli_seconds() - start;
  close(ends[0]);
  return seconds;
}

static void bench_start_up(const char *path, const char *isa, const char *precision, int threads, int runs, int json) {
  double *seconds = (double *)cli_alloc(2 * (size_t)runs, sizeof *seconds), *whole = seconds + runs;
  char number[16];
  snprintf(number, sizeof number, "%d", threads);
  start_process(path, isa, precision, number, whole); /* the file is in memory from here on */
  for (int i = 0; i < runs; ++i) seconds[i] = start_process(path, isa, precision, number, whole + i);
  double middle = median(seconds, (size_t)runs), end = median(whole, (size_t)runs);
  if (json)
    printf("{\"start_up_ms\":%.4f,\"min_ms\":%.4f,\"process_ms\":%.4f,\"threads\":%d,\"precision\":\"%s\"}\n", middle * 1e3,
           seconds[0] * 1e3, end * 1e3, threads, precision);
  else
    printf("%s: %.2f ms from the start of a process to its first prediction (median of %d, %.2f ms least), %.2f to its end\n",
           path, middle * 1e3, runs, seconds[0] * 1e3, end * 1e3);
  free(seconds);
}

static peak_kind kind_of(roto_precision precision) {
  return precision == ROTO_PRECISION_INT8 ? PEAK_INT8 : precision == ROTO_PRECISION_BF16 ? PEAK_BF16 : PEAK_FP32;
}

/* A step against its roof. */
typedef struct step_result {
  double seconds, gflops, gbs, share;
  const char *limit;
} step_result;

static step_result judge_step(const timings *t, size_t i, const peak_machine *machine, double all_bytes) {
  const roto_step *s = t->steps + i;
  const peak_work work = {kind_of(s->precision), 2 * (double)s->multiply_adds, (double)s->value_bytes, (double)s->weight_bytes,
                          all_bytes};
  step_result r;
  r.seconds = median(t->step_seconds + i * (size_t)t->runs, (size_t)t->runs);
  r.gflops = 1e-9 * work.operations / r.seconds;
  r.gbs = 1e-9 * (work.value_bytes + work.weight_bytes) / r.seconds;
  r.share = peak_seconds(machine, &work, &r.limit) / r.seconds;
  return r;
}

static void print_steps(const timings *t, const peak_machine *machine, double all_bytes) {
  double total = 0, roofs = 0;
  printf("\n%-9s %-10s %-14s %-14s %-7s %8s %8s %7s %6s  %s\n", "nodes", "step", "in", "out", "kernel", "ms", "GFLOP/s", "GB/s",
         "roof", "limit");
  for (size_t i = 0; i < t->step_count; ++i) {
    const roto_step *s = t->steps + i;
    step_result r = judge_step(t, i, machine, all_bytes);
    char nodes[32], in[40], out[40], kernel[40] = "";
    snprintf(nodes, sizeof nodes, "%u-%u", s->first_node, s->last_node);
    snprintf(in, sizeof in, "%ux%ux%u", s->in_h, s->in_w, s->in_c);
    snprintf(out, sizeof out, "%ux%ux%u", s->out_h, s->out_w, s->out_c);
    if (s->kernel_h) snprintf(kernel, sizeof kernel, "%ux%u/%u", s->kernel_h, s->kernel_w, s->stride);
    printf("%-9s %-10s %-14s %-14s %-7s %8.4f %8.1f %7.1f %4.0f %%  %s\n", nodes, s->kind, in, out, kernel, 1e3 * r.seconds,
           r.gflops, r.gbs, 100 * r.share, r.limit);
    total += r.seconds;
    roofs += r.share * r.seconds;
  }
  printf("all steps: %.3f ms; at their roofs: %.3f ms, %.0f %%\n", 1e3 * total, 1e3 * roofs, 100 * roofs / total);
}

static cJSON *json_shape(uint32_t h, uint32_t w, uint32_t c) {
  const int shape[] = {(int)h, (int)w, (int)c};
  return cJSON_CreateIntArray(shape, 3);
}

static cJSON *json_steps(const timings *t, const peak_machine *machine, double all_bytes) {
  cJSON *list = cJSON_CreateArray();
  for (size_t i = 0; i < t->step_count; ++i) {
    const roto_step *s = t->steps + i;
    step_result r = judge_step(t, i, machine, all_bytes);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "first_node", s->first_node);
    cJSON_AddNumberToObject(item, "last_node", s->last_node);
    cJSON_AddStringToObject(item, "step", s->kind);
    cJSON_AddItemToObject(item, "in", json_shape(s->in_h, s->in_w, s->in_c));
    cJSON_AddItemToObject(item, "out", json_shape(s->out_h, s->out_w, s->out_c));
    cJSON_AddItemToObject(item, "kernel", json_shape(s->kernel_h, s->kernel_w, s->stride));
    cJSON_AddNumberToObject(item, "multiply_adds", (double)s->multiply_adds);
    cJSON_AddNumberToObject(item, "weight_bytes", (double)s->weight_bytes);
    cJSON_AddNumberToObject(item, "value_bytes", (double)s->value_bytes);
    cJSON_AddNumberToObject(item, "ms", 1e3 * r.seconds);
    cJSON_AddNumberToObject(item, "gflops", r.gflops);
    cJSON_AddNumberToObject(item, "gb_per_s", r.gbs);
    cJSON_AddStringToObject(item, "limit", r.limit);
    cJSON_AddNumberToObject(item, "share_of_roof", r.share);
    cJSON_AddItemToArray(list, item);
  }
  return list;
}

static const char *group_name(const roto_step *s) {
  if (strcmp(s->kind, "gemm")) return s->kind;
  return s->out_h * s->out_w == 1 ? "dense, one pixel" : s->kernel_h * s->kernel_w == 1 ? "1x1 convolution" : "kxk convolution";
}

static int write_roofline(const char *path, const timings *t, const roto_info *info, int threads, double seconds,
                          const peak_machine *machine, char *message) {
  roofline_point *points = (roofline_point *)cli_alloc(t->step_count, sizeof *points);
  for (size_t i = 0; i < t->step_count; ++i) {
    const roto_step *s = t->steps + i;
    roofline_point *p = points + i;
    p->group = group_name(s);
    snprintf(p->name, sizeof p->name, "%ux%ux%u to %ux%ux%u", s->in_h, s->in_w, s->in_c, s->out_h, s->out_w, s->out_c);
    p->operations = 2 * (double)s->multiply_adds;
    p->bytes = (double)(s->value_bytes + s->weight_bytes);
    p->seconds = median(t->step_seconds + i * (size_t)t->runs, (size_t)t->runs);
  }
  const peak_kind kind = kind_of(info->precision);
  double rate = 2 * (double)info->multiply_adds / seconds, peak = machine->operations[kind];
  char *title = cli_format("%s: where the time of one inference goes", info->name);
  char *subtitle =
      cli_format("%.2f ms, %.0f GFLOP/s, %.0f %% of the peak; %s, %s, %d %s; a disc is a step, its area the time it takes",
                 1e3 * seconds, 1e-9 * rate, peak > 0 ? 100 * rate / peak : 0, roto_precision_name(info->precision),
                 roto_isa_name(info->isa), threads, threads == 1 ? "thread" : "threads");
  int status = roofline_write(path, title, subtitle, machine, kind, points, t->step_count, message);
  free(title);
  free(subtitle);
  free(points);
  return status;
}

int bench_main(int argc, char **argv) {
  const char *path = NULL, *precision_name = "fp32", *isa_name = "auto", *roofline = NULL;
  char message[MESSAGE_SIZE];
  int threads = cli_default_threads(), iterations = 100, json = 0, profile = 0, start_up = 0, once = 0;
  roto_isa isa;
  roto_precision precision;
  const cli_option table[] = {
      {"--model", CLI_STRING, &path, "FILE", "the .roto model"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all, or what the farm grants)"},
      {"--precision", CLI_STRING, &precision_name, "NAME",
       "fp32 (default), bf16, or int8 for a model that `roto model quantize` wrote"},
      {"--iterations", CLI_INTEGER, &iterations, "N", "inferences to time (default 100)"},
      {"--isa", CLI_STRING, &isa_name, "NAME", "at most this instruction set: scalar, avx2, avx512"},
      {"--profile", CLI_FLAG, &profile, NULL, "each step against what bounds it: arithmetic or memory"},
      {"--roofline", CLI_STRING, &roofline, "FILE", "draw the profile as a roofline (SVG)"},
      {"--start-up", CLI_FLAG, &start_up, NULL, "time new processes up to their first prediction instead"},
      {"--once", CLI_FLAG, &once, NULL, "predict once, say so and end: what --start-up times"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as JSON"},
  };
  const cli_command command = {"roto bench",
                               "--model FILE",
                               "Times single inferences of a model, and says how much of the processor's peak they reach.",
                               "roto bench --model puppet.roto --threads 2 --iterations 200 --profile",
                               table,
                               sizeof table / sizeof *table};
  int count = cli_parse(&command, argc, argv);
  if (count == 1 && !path) path = argv[0], count = 0;
  if (count || !path) cli_usage(&command, "expected one model: --model FILE");
  if (model_parse_precision(precision_name, &precision))
    cli_usage(&command, "--precision expects fp32, bf16 or int8, found '%s'", precision_name);
  if (model_parse_isa(isa_name, &isa)) cli_usage(&command, "--isa expects auto, scalar, avx2 or avx512, found '%s'", isa_name);
  if (iterations < 1) cli_usage(&command, "--iterations expects 1 or more, found %d", iterations);
  if (threads < 0) cli_usage(&command, "--threads expects 0 (all) or more, found %d", threads);
#ifdef _OPENMP
  if (threads == 0) threads = omp_get_max_threads();
  omp_set_num_threads(threads);
#else
  threads = 1;
#endif

  if (start_up) {
    if (access(path, R_OK)) cli_fail(EXIT_MODEL, "%s: the model cannot be opened", path);
    bench_start_up(path, isa_name, precision_name, threads, iterations, json);
    return EXIT_DONE;
  }

  model_file file;
  roto_session *session;
  roto_session_options options;
  timings t;
  if (model_open_in(path, isa, precision, threads, &file, message)) cli_fail(EXIT_MODEL, "%s", message);
  const roto_info *info = roto_get_info(file.model);
  if (info->precision != precision)
    cli_fail(EXIT_FAILED, "%s needs AVX-512 with %s, which this machine or --isa %s does not give; it would run in %s",
             precision_name, precision == ROTO_PRECISION_BF16 ? "BF16" : "VNNI", isa_name,
             roto_precision_name(info->precision));
  memset(&options, 0, sizeof options);
  memset(&t, 0, sizeof t);
  options.parallel.threads = threads;
  options.allocator = model_allocator();
  if (profile || roofline) {
    options.profile.clock = bench_clock;
    options.profile.step = bench_step;
    options.profile.user = &t;
  }
  roto_status status = roto_session_create(file.model, &options, &session);
  if (status) cli_fail(EXIT_FAILED, "%s: %s", path, roto_status_text(status));
  t.warm_up = once ? 0 : WARM_UP;
  t.runs = iterations = once ? 1 : iterations;
  t.seconds = (double *)cli_alloc((size_t)iterations, sizeof *t.seconds);
  const float first = run(session, info, path, &t);
  if (once) { /* without tidying up, as a program that has done its work may end */
    printf("%s: predicted %g ...\n", path, (double)first);
    fflush(NULL);
    _exit(EXIT_DONE);
  }
  double middle = median(t.seconds, (size_t)iterations), rate = 2 * (double)info->multiply_adds / middle;

  struct rusage usage; /* before the copies, which take more than most models */
  getrusage(RUSAGE_SELF, &usage);
  double peak_mib = (double)usage.ru_maxrss / 1024, workspace_mib = (double)info->session_size / 1048576;
  double all_bytes = 4 * (double)info->parameter_count + (double)info->session_size;
  peak_machine machine;
  peak_measure(info->isa, threads, &machine);
  double peak = machine.operations[kind_of(precision)];
  if (roofline && write_roofline(roofline, &t, info, threads, middle, &machine, message)) cli_fail(EXIT_WRITE, "%s", message);
  if (json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "median_ms", middle * 1e3);
    cJSON_AddNumberToObject(root, "min_ms", t.seconds[0] * 1e3);
    cJSON_AddNumberToObject(root, "gflops", rate * 1e-9);
    cJSON_AddItemToObject(root, "share_of_peak", peak > 0 ? cJSON_CreateNumber(rate / peak) : cJSON_CreateNull());
    cJSON_AddItemToObject(root, "peak_gflops", peak > 0 ? cJSON_CreateNumber(peak * 1e-9) : cJSON_CreateNull());
    cJSON_AddNumberToObject(root, "workspace_mib", workspace_mib);
    cJSON_AddNumberToObject(root, "peak_memory_mib", peak_mib);
    cJSON_AddStringToObject(root, "isa", roto_isa_name(info->isa));
    cJSON_AddNumberToObject(root, "threads", threads);
    cJSON_AddStringToObject(root, "precision", precision_name);
    cJSON_AddNumberToObject(root, "copy_gb_per_s", machine.bandwidth[PEAK_SIZES - 1] * 1e-9);
    if (profile) cJSON_AddItemToObject(root, "steps", json_steps(&t, &machine, all_bytes));
    json_print(root);
  } else {
    printf("%s: %.3f ms median, %.3f ms least, of %d (%s, %s, %d threads)\n%.1f GFLOP/s", info->name, middle * 1e3,
           t.seconds[0] * 1e3, iterations, precision_name, roto_isa_name(info->isa), threads, rate * 1e-9);
    if (peak > 0) printf(", %.0f %% of the measured peak of %.0f", 100 * rate / peak, peak * 1e-9);
    printf("\nworkspace %.1f MiB, peak memory %.1f MiB\n", workspace_mib, peak_mib);
    if (profile) {
      printf("copy bandwidth, GB/s by working set:");
      for (int i = 0; i < PEAK_SIZES; ++i)
        printf("%s %.1f (%.0f KiB)", i ? "," : "", machine.bandwidth[i] * 1e-9, machine.bytes[i] / 1024);
      print_steps(&t, &machine, all_bytes);
    }
  }
  free(t.seconds);
  free(t.steps);
  free(t.step_seconds);
  roto_session_free(session);
  model_close(&file);
  return EXIT_DONE;
}
