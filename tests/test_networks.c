/* Networks as configured: sizes against the published ones, output and training steps against PyTorch (golden/), errors of the
 * configuration language, and the learning-rate schedules.
 *
 * Golden networks are filled from a closed formula, so that no weights are stored: golden/make_golden.py says which, and in
 * what layout.  It computed in double; the trainer computes in float.  PyTorch in float is within 4e-7 of a loss, 1.1e-6 of a
 * parameter and the noted drift of a trunk's output; the bounds here are ten times those, for sums in another order. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../roto.h"
#include "../trainer/architectures.h"
#include "../trainer/loss.h"
#include "../trainer/optimizer.h"
#include "check.h"
#include "golden/efficientnet.h"
#include "golden/training.h"

static compute *cp;

/* ---- published sizes ---- */

static size_t head_count(const network *net) {
  const net_node *out = net_output(net);
  return net->params[out->params[0]].count + net->params[out->params[1]].count;
}

static void sizes_are_the_published_ones(void) {
  static const struct {
    const char *name;
    size_t total, features; /* parameters with a classifier of 1000 classes, its inputs */
    double multiply_adds;   /* billions, Tan and Le 2019, table 2 */
    uint32_t resolution;
  } published[] = {
      {"b0", 5288548, 1280, 0.39, 224},  {"b1", 7794184, 1280, 0.70, 240},  {"b2", 9109994, 1408, 1.0, 260},
      {"b3", 12233232, 1536, 1.8, 300},  {"b4", 19341616, 1792, 4.2, 380},  {"b5", 30389784, 2048, 9.9, 456},
      {"b6", 43040704, 2304, 19.0, 528}, {"b7", 66347960, 2560, 37.0, 600},
  };
  for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
    network net;
    char message[512];
    uint32_t resolution = 0;
    const char *text = architecture_text(published[i].name, &resolution);
    CHECK(text != NULL && resolution == published[i].resolution);
    if (text == NULL) continue;
    int status = architecture_build(&net, text, resolution, resolution, 1, message);
    CHECK(status == 0);
    if (status == 0) {
      size_t trunk = net_parameter_count(&net) - head_count(&net);
      double billions = (double)(net_multiply_adds(&net) - 2 * head_count(&net)) / 1e9;
      printf("  %s: trunk %zu parameters, %.3f billion multiply-adds\n", published[i].name, trunk, billions);
      CHECK(trunk == published[i].total - (published[i].features + 1) * 1000);
      CHECK(net.nodes[net_output(&net)->inputs[0]].c == published[i].features);
      CHECK(fabs(billions / published[i].multiply_adds - 1) < 0.07); /* the table has two digits */
    }
    net_free(&net);
  }
}

/* ---- the configuration language ---- */

static void errors_are_named(void) {
  static const struct {
    const char *text, *expected; /* in the message; NULL: valid */
  } cases[] = {
      {"conv 3 2 8 regress", NULL},
      {"conv 3 2 8 points 1", NULL},
      {"  act hardswish\tconv 3 2 8\n bottle 7 2 1 points 3 ", NULL},
      {"act swish width 0.5 depth 1.5 survive 0.9 conv 5 1 8 mb 4 5 2 16 2 dropout 0.1 regress", NULL},
      {"conv 3 2 8 conv 3 2 8 pyramid 8 points 3", NULL},
      {"", "must end with"},
      {"conv 3 2 8", "must end with"},
      {"conv 3 8 6", "must end with"}, /* 1 x 1 x 2 per point, but no head */
      {"convolution 3 2 8 regress", "'convolution'"},
      {"act gelu conv 3 2 8 regress", "'act gelu'"},
      {"act", "'act"},
      {"conv 3 2", "channels"},
      {"conv 3 2 regress", "found 'regress'"},
      {"conv 3 2 0 regress", "channels"},
      {"conv 3 2 8.5 regress", "8.5"},
      {"conv 3 2 nan regress", "nan"},
      {"conv 3 2 1e9 regress", "1e9"},
      {"conv 2 2 8 regress", "odd"},
      {"conv 0 2 8 regress", "odd"},
      {"conv 3 0 8 regress", "stride"},
      {"conv 3 9 8 regress", "stride"},
      {"conv 3 -1 8 regress", "stride"},
      {"conv 3 2 8 basic 8 1 0 regress", "repeats"},
      {"conv 3 2 8 mb 0 3 1 8 1 regress", "expansion"},
      {"conv 3 2 8 points 2", "1 or 3"},
      {"conv 3 2 8 points", "1 or 3"},
      {"conv 3 2 8 dropout 1 regress", "0.95"},
      {"survive 0 conv 3 2 8 regress", "probability"},
      {"width 0 conv 3 2 8 regress", "factor"},
      {"conv 3 2 8 regress conv 3 2 8", "after the head"},
      {"conv 3 2 8 points 3 regress", "after the head"},
      {"regress", "first layer"},
      {"basic 8 2 1 points 3", "first layer"},
      {"mb 1 3 1 8 1 points 3", "first layer"},
      {"dropout 0.5 conv 3 2 8 regress", "first layer"},
      {"conv 3 1 8 pyramid 8 points 3", "twice"},
      {"width 16 conv 3 2 65536 regress", "too many"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    network net;
    char message[512] = "";
    int status = architecture_build(&net, cases[i].text, 32, 24, 3, message);
    int right = cases[i].expected == NULL ? status == 0 : status == -1 && strstr(message, cases[i].expected) != NULL;
    if (!right) printf("  '%s': %d, %s\n", cases[i].text, status, message);
    CHECK(right);
    net_free(&net);
  }
  uint32_t resolution;
  CHECK(architecture_text("b8", &resolution) == NULL);
  char names[256];
  snprintf(names, sizeof names, "%s", architecture_names());
  for (char *name = strtok(names, " "); name != NULL; name = strtok(NULL, " "))
    CHECK(architecture_text(name, &resolution) != NULL && resolution > 0);
}

/* Any input size works, also where strides do not divide it: what comes out has two or three numbers a landmark. */
static void any_size_works(void) {
  static const uint32_t sizes[][2] = {{64, 64}, {97, 61}, {1, 1}, {224, 33}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    network net;
    char message[512];
    uint32_t resolution;
    CHECK(architecture_build(&net, architecture_text("b0", &resolution), sizes[i][0], sizes[i][1], 27, message) == 0);
    CHECK(net_output(&net)->c == 54 && net_output(&net)->h == 1 && net_output(&net)->w == 1);
    net_free(&net);
  }
}

static void starts_as_designed(void) {
  network net, same, other;
  char message[512];
  const char *text = "conv 3 2 16 basic 16 1 1 points 3";
  CHECK(architecture_build(&net, text, 16, 16, 5, message) == 0);
  CHECK(architecture_build(&same, text, 16, 16, 5, message) == 0);
  CHECK(architecture_build(&other, text, 16, 16, 5, message) == 0);
  net_finish(&net, 5);
  net_finish(&same, 5);
  net_finish(&other, 6);
  CHECK(memcmp(net.values, same.values, net.value_count * sizeof(real)) == 0);
  CHECK(memcmp(net.values, other.values, net.value_count * sizeof(real)) != 0);
  uint32_t last_weight = 0;
  for (uint32_t i = 0; i < net.param_count; i++)
    if (net.params[i].kind == PARAM_WEIGHT) last_weight = i;
  for (uint32_t i = 0; i < net.param_count; i++) {
    const net_param *p = &net.params[i];
    CHECK(p->offset % 16 == 0 && p->offset + p->count <= net.value_count);
    CHECK((p->kind == PARAM_STATISTIC) == (p->offset >= net.trainable_count));
    if (p->kind != PARAM_WEIGHT) continue;
    double squares = 0, expected = 2 / (double)p->fan_in * (i == last_weight ? 0.01 : 1);
    for (size_t k = 0; k < p->count; k++) squares += (double)net.values[p->offset + k] * (double)net.values[p->offset + k];
    /* the sum of n squares is within 5 deviations, sqrt(2 / n) each */
    CHECK(fabs(squares / (double)p->count / expected - 1) < 5 * sqrt(2 / (double)p->count));
  }
  net_free(&net);
  net_free(&same);
  net_free(&other);
}

/* ---- against PyTorch ---- */

/* Number i of a stream, in [-1, 1): see golden/make_golden.py. */
static double uniform(uint64_t stream, uint64_t i) {
  uint64_t x = (stream + 1) * 0x9e3779b97f4a7c15u + i;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return (double)(x >> 40) * 0x1p-23 - 1;
}

/* Parameter k of a node from stream i, by what it is. */
static void fill(network *net, int op, int slot, uint32_t i) {
  const net_param *p = &net->params[i];
  for (size_t k = 0; k < p->count; k++) {
    double u = uniform(i, k), v = 0.2 * u;
    if (p->kind == PARAM_WEIGHT) v = (op == ROTO_OP_DENSE ? 0.3 : 1) * sqrt(6 / (double)p->fan_in) * u;
    if (p->kind == PARAM_BIAS && op == ROTO_OP_DENSE) v = 0.5 + 0.2 * u;
    if (p->kind == PARAM_NORM && slot == 0) v = 1 + 0.2 * u;
    if (p->kind == PARAM_STATISTIC) v = slot == 2 ? 0.1 * u : 1 + 0.2 * u;
    net->values[p->offset + k] = (real)v;
  }
}

static void fill_all(network *net) {
  for (uint32_t n = 0; n < net->node_count; n++)
    for (int slot = 0; slot < 4; slot++)
      if (net->nodes[n].params[slot] >= 0) fill(net, net->nodes[n].op, slot, (uint32_t)net->nodes[n].params[slot]);
}

static void fill_picture(network *net, uint64_t stream) {
  size_t pixels = net->batch * net->nodes[0].h * net->nodes[0].w;
  for (size_t i = 0; i < pixels; i++)
    for (size_t k = 0; k < 3; k++) net->outputs[0][i * 4 + k] = (real)uniform(stream, i * 3 + k);
}

/* The trunks' outputs at several sizes of the picture: each of B0 to B7 on the best instruction set, B0 on all. */
static void trunks_agree_with_torchvision(int best) {
  for (size_t i = 0; i < sizeof efficientnets / sizeof *efficientnets; i++) {
    enum { VALUES = sizeof efficientnets->values / sizeof *efficientnets->values };
    const uint32_t h = efficientnets[i].h, w = efficientnets[i].w, c = efficientnets[i].c;
    network net;
    char message[512];
    uint32_t resolution;
    if (!best && strcmp(efficientnets[i].name, "b0") != 0) continue;
    const char *text = architecture_text(efficientnets[i].name, &resolution);
    CHECK(architecture_build(&net, text, efficientnets[i].in_w, efficientnets[i].in_h, 1, message) == 0);
    net_finish(&net, 1);
    fill_all(&net);
    net_prepare(&net, cp, 1);
    fill_picture(&net, 1000);
    net_forward(&net, 0, 0);
    uint32_t trunk = net_output(&net)->inputs[0];
    if (net.nodes[trunk].op == NET_OP_DROPOUT) trunk = net.nodes[trunk].inputs[0];
    CHECK(net.nodes[trunk].h == h && net.nodes[trunk].w == w && net.nodes[trunk].c == c);
    const size_t count = (size_t)h * w * c, stride = count / VALUES;
    double worst = 0, sum = 0, squares = 0, bound = 10 * efficientnets[i].drift;
    for (size_t k = 0; k < count; k++) {
      double y = (double)net.outputs[trunk][k / c * value_stride(c) + k % c];
      sum += y / (double)count;
      squares += y * y / (double)count;
      if (k % stride == 0 && k / stride < VALUES) worst = fmax(worst, fabs(y - efficientnets[i].values[k / stride]));
    }
    double off = fmax(fabs(sum - efficientnets[i].mean), fabs(sqrt(squares) - efficientnets[i].root_mean_square));
    printf("  %s at %ux%u: values of size %.1e differ by at most %.1e, mean and size by %.1e; bound %.1e\n",
           efficientnets[i].name, efficientnets[i].in_w, efficientnets[i].in_h, efficientnets[i].root_mean_square, worst, off,
           bound);
    CHECK(worst <= bound && off <= bound);
    CHECK(bound < 1e-3 * efficientnets[i].root_mean_square); /* or it would bound nothing */
    net_free(&net);
  }
}

enum { BATCH = 3, POINTS = 4 };

static void build_block(network *net) {
  net_init(net);
  uint32_t x = net_conv(net, net_input(net, 10, 8, 3), 3, 2, 8, 0);
  x = net_batchnorm(net, x, ROTO_ACT_SWISH, 1e-5f);
  uint32_t y = net_batchnorm(net, net_depthwise(net, x, 3, 1), ROTO_ACT_RELU6, 1e-5f);
  uint32_t s = net_act(net, net_conv(net, net_globalpool(net, y), 1, 1, 2, 1), ROTO_ACT_SWISH);
  s = net_act(net, net_conv(net, s, 1, 1, 8, 1), ROTO_ACT_SIGMOID);
  y = net_batchnorm(net, net_conv(net, net_scale(net, y, s), 1, 1, 8, 0), ROTO_ACT_NONE, 1e-5f);
  net_dense(net, net_add(net, x, y, ROTO_ACT_NONE, 0), 2 * POINTS);
  net_finish(net, 1);
  fill_all(net);
  net_prepare(net, cp, BATCH);
}

static void steps_agree_with_pytorch(const char *name, double decay, const double losses[10], const double parameters[][2],
                                     size_t parameter_count) {
  network net;
  optimizer o;
  loss_options l1 = {LOSS_L1, 10, 2, 0, 1};
  float truth[BATCH * POINTS * 2], weight[BATCH * POINTS];
  real dy[BATCH * 16];
  double worst_loss = 0, worst_parameter = 0;
  build_block(&net);
  optimizer_init(&o, &net);
  o.weight_decay = decay;
  CHECK(net.param_count == parameter_count);
  for (uint64_t step = 0; step < 10; step++) {
    fill_picture(&net, 1000 + step);
    for (size_t k = 0; k < BATCH * POINTS * 2; k++) truth[k] = (float)(0.5 + 0.4 * uniform(2000 + step, k));
    for (size_t k = 0; k < BATCH * POINTS; k++) weight[k] = (float)(1 + 0.5 * uniform(3000 + step, k));
    weight[step % BATCH * POINTS + 1] = 0;
    const real *y = net_forward(&net, 1, step);
    loss_batch b = {BATCH, POINTS, 2, value_stride(2 * POINTS), y, NULL, 0, 0, truth, weight};
    double loss = loss_compute(&l1, &b, dy, NULL);
    net_backward(&net, dy, NULL);
    optimizer_step(&o, &net, 1e-3);
    worst_loss = fmax(worst_loss, fabs(loss / losses[step] - 1));
  }
  for (uint32_t i = 0; i < net.param_count && i < parameter_count; i++) {
    const real *v = net.values + net.params[i].offset;
    double sum = 0;
    for (size_t k = 0; k < net.params[i].count; k++) sum += (double)v[k] * uniform(4000 + i, k);
    worst_parameter = fmax(worst_parameter, fmax(fabs((double)v[0] - parameters[i][0]), fabs(sum - parameters[i][1])));
  }
  printf("  %s: 10 losses within %.1e, parameters within %.1e\n", name, worst_loss, worst_parameter);
  CHECK(worst_loss <= 4e-6);
  CHECK(worst_parameter <= 1e-5);
  CHECK(memcmp(o.averaged, net.values, net.value_count * sizeof(real)) == 0); /* no average asked for: the values themselves */
  optimizer_free(&o);
  net_free(&net);
}

/* ---- recomputing ---- */

/* Two steps of a trunk with a points head, one of them with half of the nodes frozen.  Outputs, gradients and running statistics
 * end in `bits`. */
static size_t two_steps(const char *name, int recompute, real **bits, size_t *count) {
  network net;
  optimizer o;
  char message[512];
  uint32_t resolution;
  enum { IMAGES = 3, SIDE = 96 };
  CHECK(architecture_build(&net, architecture_text(name, &resolution), SIDE, SIDE, POINTS, message) == 0, "%s", message);
  net_finish(&net, 7);
  net.recompute = recompute;
  net_prepare(&net, cp, IMAGES);
  optimizer_init(&o, &net);
  const net_node *out = net_output(&net);
  size_t outputs = IMAGES * value_stride(out->c), at = 0;
  *count = 2 * outputs + net.value_count + net.trainable_count;
  *bits = real_alloc(*count);
  real *dy = real_alloc(outputs);
  for (uint64_t step = 0; step < 2; step++) {
    for (size_t k = 0; k < (size_t)IMAGES * SIDE * SIDE * 4; k++) net.outputs[0][k] = (real)uniform(5000 + step, k);
    for (size_t k = 0; k < outputs; k++) dy[k] = (real)(0.1 * uniform(6000 + step, k));
    net.frozen_nodes = step == 1 ? net.node_count / 2 : 0;
    const real *y = net_forward(&net, 1, step);
    for (size_t k = 0; k < outputs; k++) (*bits)[at++] = k % value_stride(out->c) < out->c ? y[k] : 0;
    net_backward(&net, dy, NULL);
    optimizer_step(&o, &net, 1e-3);
  }
  memcpy(*bits + at, net.values, net.value_count * sizeof(real));
  memcpy(*bits + at + net.value_count, net.gradients, net.trainable_count * sizeof(real));
  size_t memory = net.memory_size;
  free(dy);
  optimizer_free(&o);
  net_free(&net);
  return memory;
}

static void recomputing_changes_no_bit(const char *name, double most) {
  real *kept, *again;
  size_t count, same_count, memory = two_steps(name, 0, &kept, &count), less = two_steps(name, 1, &again, &same_count);
  printf("  %s, %s: %.1f MiB, %.1f when recomputing\n", name, compute_isa(cp), (double)memory / 1048576,
         (double)less / 1048576);
  CHECK(count == same_count && memcmp(kept, again, count * sizeof(real)) == 0, "%s: other bits", name);
  CHECK((double)less < most * (double)memory, "%s: %zu of %zu bytes", name, less, memory);
  free(kept);
  free(again);
}

/* ---- optimizer ---- */

static void moving_average_follows(void) {
  network net;
  optimizer o;
  build_block(&net);
  optimizer_init(&o, &net);
  o.average = 0.9;
  size_t at = net.params[0].offset, statistic = net.params[3].offset;
  double expected = (double)net.values[at], expected_statistic = (double)net.values[statistic];
  for (int step = 1; step <= 40; step++) {
    double keep = fmin(0.9, (1.0 + step) / (10.0 + step));
    for (size_t k = 0; k < net.trainable_count; k++) net.gradients[k] = 1;
    net.values[statistic] += 0.5f;
    optimizer_step(&o, &net, 1e-2);
    expected = keep * expected + (1 - keep) * (double)net.values[at];
    expected_statistic = keep * expected_statistic + (1 - keep) * (double)net.values[statistic];
  }
  CHECK(fabs((double)o.averaged[at] - expected) < 1e-5);
  CHECK(fabs((double)o.averaged[statistic] - expected_statistic) < 1e-4);
  CHECK(o.step == 40);
  optimizer_free(&o);
  net_free(&net);
}

static int near(double a, double b) {
  return fabs(a / b - 1) < 1e-9;
}

/* Milestones of the paper at any length: the schedule knows only the share of the run that is done. */
static void schedules_follow_the_paper(void) {
  static const struct {
    double epoch, rate;
  } milestones[] = {{0, 1e-3}, {5, 1e-3}, {10, 1e-3}, {30, 1e-4}, {50, 1e-5}, {70, 1e-6}, {100, 1e-6}, {140, 1e-6}};
  for (int epochs = 35; epochs <= 280; epochs *= 2)
    for (size_t k = 0; k < sizeof milestones / sizeof *milestones; k++) {
      double epoch = milestones[k].epoch * epochs / 140;
      CHECK(near(schedule_rate(SCHEDULE_PAPER, 1e-3, epoch / epochs), milestones[k].rate));
      CHECK(near(schedule_rate(SCHEDULE_PAPER, 4e-3, epoch / epochs), 4 * milestones[k].rate));
    }
  CHECK(near(schedule_rate(SCHEDULE_PAPER, 1e-3, 20.0 / 140), 1e-3 / sqrt(10))); /* linear in the logarithm */
  CHECK(near(schedule_rate(SCHEDULE_PAPER, 1e-3, 40.0 / 140), 1e-4 / sqrt(10)));
  CHECK(near(schedule_rate(SCHEDULE_PAPER, 1e-3, 60.0 / 140), 1e-5 / sqrt(10)));

  CHECK(near(schedule_rate(SCHEDULE_COSINE, 2e-3, 0), 2e-5));
  CHECK(near(schedule_rate(SCHEDULE_COSINE, 2e-3, 0.03), 2e-3));
  CHECK(near(schedule_rate(SCHEDULE_COSINE, 2e-3, 0.515), 2e-3 * 0.505));
  CHECK(near(schedule_rate(SCHEDULE_COSINE, 2e-3, 1), 2e-5));
  for (int k = 0; k < 100; k++) {
    double a = schedule_rate(SCHEDULE_COSINE, 1, k / 100.0), b = schedule_rate(SCHEDULE_COSINE, 1, (k + 1) / 100.0);
    CHECK(k < 3 ? b > a : b < a);
  }
}

int main(void) {
  sizes_are_the_published_ones();
  errors_are_named();
  any_size_works();
  starts_as_designed();
  schedules_follow_the_paper();
  for (int isa = ROTO_ISA_SCALAR; isa <= ROTO_ISA_AVX512; isa++) {
    if (isa > (int)roto_best_isa()) {
      SKIP(roto_isa_name((roto_isa)isa));
      continue;
    }
    cp = compute_create(1, isa);
    printf("  kernels: %s\n", compute_isa(cp));
    CHECK(strcmp(compute_isa(cp), roto_isa_name((roto_isa)isa)) == 0);
    trunks_agree_with_torchvision(isa == (int)roto_best_isa());
    steps_agree_with_pytorch("Adam", 0, adam_losses, adam_parameters, sizeof adam_parameters / sizeof *adam_parameters);
    steps_agree_with_pytorch("AdamW", 0.5, adamw_losses, adamw_parameters, sizeof adamw_parameters / sizeof *adamw_parameters);
    moving_average_follows();
    recomputing_changes_no_bit("b0", 0.9);
    if (compute_mixed(cp, 1)) recomputing_changes_no_bit("b0", 0.95);
    compute_free(cp);
  }
  return check_end("test_networks");
}
