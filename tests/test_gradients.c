/* Gradient checks: every derivative the trainer computes against central differences.
 *
 * The layers are built here with doubles (ROTO_REAL_DOUBLE) over the plain loops of compute_reference.c; in float the
 * differences would be too coarse to tell a right derivative from a nearly right one.  A derivative d passes if its central
 * difference n, eps = 1e-5, satisfies |d - n| <= 1e-5 * max(|d|, |n|, floor), signs included, where floor is 1e-4 of the
 * network's largest derivative (below it, n is rounding error).  Where that fails and a step of half the size gives another n,
 * there is a bend (relu, max pool, L1) inside the step: the entry is skipped and counted, and more than 2 % of those fail the
 * check.  What is skipped thus never depends on d.
 *
 * Parameters stand in front of and behind each operation, so that both its derivative by the input and by its own parameters
 * are seen.  The last test is of the check itself: it must find derivatives that were made wrong on purpose. */

#define ROTO_REAL_DOUBLE

#include "../trainer/compute_reference.c"
#include "../trainer/network.c"
#include "../trainer/loss.c"
#include "../trainer/architectures.c"
#include "check.h"

enum { BATCH = 3 };
static const double tolerance = 1e-5;

/* A network, one batch and a number computed from its output: the loss, or a random projection of the output if `loss` is
 * NULL. */
typedef struct problem {
  network net;
  const loss_options *loss;
  double step; /* of the differences; 0: 1e-5 */
  size_t points;
  float *truth, *weight;
  real *projection, *dy, *dlogit;
} problem;

static compute *reference;

/* Everything random, also what training would start at 0 or 1, lest a derivative vanish by accident. */
static void randomize(problem *p, size_t batch, uint64_t seed) {
  network *net = &p->net;
  net_finish(net, seed);
  net_prepare(net, reference, batch);
  rng r = {rng_seed(seed, 1, 2)};
  for (uint32_t i = 0; i < net->param_count; i++) {
    const net_param *q = &net->params[i];
    for (size_t k = 0; k < q->count; k++) {
      real *v = &net->values[q->offset + k];
      if (q->kind == PARAM_WEIGHT) *v = sqrt(2 / (double)q->fan_in) * (double)rng_normal(&r);
      if (q->kind == PARAM_BIAS || q->kind == PARAM_NORM) *v = (double)q->initial + 0.3 * (double)rng_normal(&r);
      if (q->kind == PARAM_STATISTIC) *v = (double)q->initial * (0.5 + (double)rng_uniform(&r)) + 0.2 * (double)rng_uniform(&r);
    }
  }
  size_t inputs = value_count(net, 0), outputs = value_count(net, net->node_count - 1);
  for (size_t k = 0; k < inputs; k++) net->outputs[0][k] = (double)rng_normal(&r);
  p->projection = real_alloc(outputs);
  p->dy = real_alloc(outputs);
  for (size_t k = 0; k < outputs; k++)
    p->projection[k] = k % value_stride(net_output(net)->c) < net_output(net)->c ? (double)rng_normal(&r) : 0;
  if (p->points == 0) return;
  const net_node *out = net_output(net), *head = &net->nodes[out->inputs[0]];
  if (out->op == ROTO_OP_POINTS) p->dlogit = real_alloc(batch * p->points * head->h * head->w);
  p->truth = malloc(batch * p->points * 2 * sizeof *p->truth);
  p->weight = malloc(batch * p->points * sizeof *p->weight);
  if (p->truth == NULL || p->weight == NULL) exit(1);
  for (size_t k = 0; k < batch * p->points * 2; k++) p->truth[k] = rng_uniform(&r);
  for (size_t k = 0; k < batch * p->points; k++) p->weight[k] = k % 5 == 4 ? 0 : 0.5f + rng_uniform(&r);
}

static void discard(problem *p) {
  net_free(&p->net);
  free(p->truth);
  free(p->weight);
  free(p->projection);
  free(p->dy);
  free(p->dlogit);
  memset(p, 0, sizeof *p);
}

/* The number under test; dy and dlogit are its derivatives by output and logits. */
static double evaluate(problem *p) {
  network *net = &p->net;
  const net_node *out = net_output(net), *head = &net->nodes[out->inputs[0]];
  const real *y = net_forward(net, 1, 7);
  size_t cs = value_stride(out->c), pixels = net->batch * out->h * out->w;
  if (p->loss == NULL) {
    double sum = 0;
    for (size_t i = 0; i < pixels; i++)
      for (size_t k = 0; k < out->c; k++) sum += p->projection[i * cs + k] * y[i * cs + k];
    memcpy(p->dy, p->projection, pixels * cs * sizeof(real));
    return sum;
  }
  loss_batch b = {net->batch, p->points, out->c / p->points, cs,       y, net_probability(net),
                  head->h,    head->w,   p->truth,           p->weight};
  return loss_compute(p->loss, &b, p->dy, p->dlogit);
}

/* Derivatives by all parameters as the trainer computes them, [trainable_count]. */
static real *analytic(problem *p) {
  real *g = real_alloc(p->net.trainable_count);
  evaluate(p);
  net_backward(&p->net, p->dy, p->loss != NULL ? p->dlogit : NULL);
  memcpy(g, p->net.gradients, p->net.trainable_count * sizeof(real));
  return g;
}

/* Central difference along `direction` from the parameter at `offset` on. */
static double difference(problem *p, size_t offset, size_t count, const double *direction, double eps) {
  real *v = p->net.values + offset, *kept = real_alloc(count);
  double sum = 0;
  memcpy(kept, v, count * sizeof(real));
  for (int side = 1; side >= -1; side -= 2) {
    for (size_t k = 0; k < count; k++) v[k] = kept[k] + side * eps * direction[k];
    sum += side * evaluate(p);
  }
  memcpy(v, kept, count * sizeof(real));
  free(kept);
  return sum / (2 * eps);
}

typedef struct tally {
  size_t compared, skipped, wrong;
  double worst; /* relative error of what passed or failed */
} tally;

static int agree(double a, double b, double floor_, double *error) {
  *error = fabs(a - b) / fmax(fmax(fabs(a), fabs(b)), floor_);
  return *error <= tolerance; /* false for NaN */
}

static void compare(problem *p, tally *t, size_t offset, size_t count, const double *direction, double d, double floor_) {
  double eps = p->step > 0 ? p->step : 1e-5, error, n = difference(p, offset, count, direction, eps);
  t->compared++;
  if (!agree(d, n, floor_, &error)) {
    double ignored;
    if (!agree(n, difference(p, offset, count, direction, eps / 2), floor_, &ignored)) {
      t->skipped++;
      return;
    }
    t->wrong++;
  }
  if (!(error <= t->worst)) t->worst = error;
}

/* Compare derivatives g with differences: in each tensor up to `entries` parameters one by one and, where that is not all of
 * them, one random direction of length 1 through the whole tensor.  Tensors [first, end). */
static tally compare_tensors(problem *p, const real *g, size_t entries, uint32_t first, uint32_t end) {
  tally t = {0, 0, 0, 0};
  double largest = 0, one = 1;
  rng r = {rng_seed(3, 1, 4)};
  for (size_t k = 0; k < p->net.trainable_count; k++) largest = fmax(largest, fabs(g[k]));
  if (!(largest > 0)) largest = 1;
  double floor_ = 1e-4 * largest;
  for (uint32_t i = first; i < end; i++) {
    const net_param *q = &p->net.params[i];
    if (q->kind == PARAM_STATISTIC) continue;
    for (size_t k = 0; k < q->count && k < entries; k++) {
      size_t at = q->offset + (q->count <= entries ? k : rng_below(&r, (uint32_t)q->count));
      compare(p, &t, at, 1, &one, g[at], floor_);
    }
    if (q->count <= entries) continue;
    real *direction = real_alloc(q->count);
    double length = 0, d = 0;
    for (size_t k = 0; k < q->count; k++) {
      direction[k] = (double)rng_normal(&r);
      length += direction[k] * direction[k];
    }
    for (size_t k = 0; k < q->count; k++) {
      direction[k] /= sqrt(length);
      d += direction[k] * g[q->offset + k];
    }
    compare(p, &t, q->offset, q->count, direction, d, floor_);
    free(direction);
  }
  return t;
}

static void report(const char *name, problem *p, size_t entries) {
  real *g = analytic(p);
  tally t = compare_tensors(p, g, entries, 0, p->net.param_count);
  printf("  %-36s %5zu derivatives, worst error %.1e, %zu at bends\n", name, t.compared, t.worst, t.skipped);
  CHECK(t.compared > 0 && t.wrong == 0);
  CHECK(t.skipped * 50 <= t.compared);
  free(g);
  discard(p);
}

/* ---- operations ---- */

enum { HEIGHT = 6, WIDTH = 5, CHANNELS = 5, ALL = 1 << 30 };

/* Parameters in front of the operation: a 1x1 convolution, so that there are derivatives to pass on. */
static uint32_t stem(problem *p, uint32_t channels) {
  memset(p, 0, sizeof *p);
  net_init(&p->net);
  return net_conv(&p->net, net_input(&p->net, HEIGHT, WIDTH, 3), 1, 1, channels, 1);
}

static void finish(const char *name, problem *p) {
  static uint64_t seed = 0;
  randomize(p, BATCH, ++seed);
  report(name, p, ALL);
}

static void pad(problem *p, uint32_t top, uint32_t left, uint32_t bottom, uint32_t right) {
  net_node *node = &p->net.nodes[p->net.node_count - 1];
  const net_node *x = &p->net.nodes[node->inputs[0]];
  node->pad_top = top;
  node->pad_left = left;
  node->pad_bottom = bottom;
  node->pad_right = right;
  node->h = (x->h + top + bottom - node->kh) / node->stride + 1;
  node->w = (x->w + left + right - node->kw) / node->stride + 1;
}

static void convolutions(void) {
  char name[64];
  problem p;
  for (uint32_t k = 1; k <= 5; k += 2)
    for (uint32_t stride = 1; stride <= 2; stride++) {
      snprintf(name, sizeof name, "conv %ux%u stride %u", k, k, stride);
      net_conv(&p.net, stem(&p, CHANNELS), k, stride, 4, stride == 1);
      finish(name, &p);
      if (k == 1) continue;
      snprintf(name, sizeof name, "depthwise %ux%u stride %u", k, k, stride);
      net_depthwise(&p.net, stem(&p, CHANNELS), k, stride);
      finish(name, &p);
      snprintf(name, sizeof name, "conv %ux%u stride %u, uneven padding", k, k, stride);
      net_conv(&p.net, stem(&p, CHANNELS), k, stride, 3, 1);
      pad(&p, 0, 1, 2, 0);
      finish(name, &p);
      snprintf(name, sizeof name, "depthwise %ux%u stride %u, uneven padding", k, k, stride);
      net_depthwise(&p.net, stem(&p, CHANNELS), k, stride);
      pad(&p, 2, 0, 1, 2);
      finish(name, &p);
    }
  memset(&p, 0, sizeof p);
  net_init(&p.net);
  net_conv(&p.net, net_input(&p.net, HEIGHT, WIDTH, 3), 3, 2, 18, 1);
  finish("conv 3x3 stride 2 of the picture", &p);
  net_conv(&p.net, stem(&p, 17), 1, 1, 18, 0);
  finish("conv 1x1, 17 to 18 channels", &p);
  net_dense(&p.net, stem(&p, CHANNELS), 7);
  finish("dense", &p);
}

static const char *const act_names[ROTO_ACT_COUNT] = {"none",  "relu",         "relu6",     "sigmoid",
                                                      "swish", "hard sigmoid", "hard swish"};

/* Values are spread by 4, so that relu6 and the hard activations see all of their pieces. */
static void widen(problem *p) {
  const net_param *w = &p->net.params[0];
  for (size_t k = 0; k < w->count; k++) p->net.values[w->offset + k] *= 4;
}

static void activations(void) {
  char name[64];
  problem p;
  for (int act = ROTO_ACT_RELU; act < ROTO_ACT_COUNT; act++) {
    net_act(&p.net, stem(&p, CHANNELS), act);
    randomize(&p, BATCH, 100 + (uint64_t)act);
    widen(&p);
    report(act_names[act], &p, ALL);
  }
  for (int act = ROTO_ACT_NONE; act < ROTO_ACT_COUNT; act++) {
    for (int frozen = 0; frozen < 2; frozen++) {
      snprintf(name, sizeof name, "%s batch norm, %s", frozen ? "frozen" : "training", act_names[act]);
      net_batchnorm(&p.net, stem(&p, CHANNELS), act, 1e-3f);
      p.net.frozen_norm = frozen;
      randomize(&p, BATCH, 200 + 2 * (uint64_t)act + (uint64_t)frozen);
      const net_param *gamma = &p.net.params[2]; /* after the stem's weight and bias */
      for (size_t k = 0; k < gamma->count; k++) p.net.values[gamma->offset + k] *= 3;
      report(name, &p, ALL);
    }
    snprintf(name, sizeof name, "add, %s", act_names[act]);
    uint32_t a = stem(&p, CHANNELS);
    net_add(&p.net, a, net_conv(&p.net, a, 1, 1, CHANNELS, 1), act, 0);
    randomize(&p, BATCH, 300 + (uint64_t)act);
    widen(&p);
    report(name, &p, ALL);
  }
}

static void structure(void) {
  problem p;
  for (int act = ROTO_ACT_NONE; act <= ROTO_ACT_SWISH; act += ROTO_ACT_SWISH) {
    uint32_t a = stem(&p, CHANNELS);
    net_add(&p.net, a, net_conv(&p.net, a, 1, 1, CHANNELS, 1), act, 0.4f);
    randomize(&p, 12, 400 + (uint64_t)act);
    evaluate(&p);
    size_t left_out = 0;
    for (size_t n = 0; n < 12; n++) left_out += p.net.saved[p.net.node_count - 1][n] == 0;
    CHECK(left_out > 0 && left_out < 12); /* or this would test nothing */
    report(act ? "add with stochastic depth, swish" : "add with stochastic depth", &p, ALL);
  }
  uint32_t x = stem(&p, CHANNELS);
  net_add(&p.net, x, x, ROTO_ACT_SWISH, 0);
  finish("add of a value to itself", &p);

  x = stem(&p, CHANNELS);
  uint32_t s = net_act(&p.net, net_conv(&p.net, net_globalpool(&p.net, x), 1, 1, 2, 1), ROTO_ACT_SWISH);
  s = net_act(&p.net, net_conv(&p.net, s, 1, 1, CHANNELS, 1), ROTO_ACT_SIGMOID);
  net_scale(&p.net, x, s);
  finish("scale (squeeze-excite)", &p);

  x = stem(&p, 3);
  net_concat(&p.net, x, net_conv(&p.net, x, 3, 1, 18, 0));
  finish("concat of 3 and 18 channels", &p);
  x = stem(&p, 18);
  net_concat(&p.net, net_conv(&p.net, x, 1, 1, 2, 0), x);
  finish("concat of 2 and 18 channels", &p);

  for (int max = 0; max < 2; max++)
    for (uint32_t k = 2; k <= 3; k++) {
      char name[64];
      snprintf(name, sizeof name, "%s pool %ux%u stride 2", max ? "max" : "average", k, k);
      net_pool(&p.net, stem(&p, CHANNELS), max, k, 2);
      finish(name, &p);
      snprintf(name, sizeof name, "%s pool %ux%u stride 1, uneven padding", max ? "max" : "average", k, k);
      net_pool(&p.net, stem(&p, CHANNELS), max, k, 1);
      pad(&p, 1, 0, 0, 1);
      finish(name, &p);
    }
  net_globalpool(&p.net, stem(&p, CHANNELS));
  finish("global pool", &p);
  net_upsample(&p.net, stem(&p, CHANNELS));
  finish("upsample", &p);

  net_dropout(&p.net, stem(&p, CHANNELS), 0.4f);
  randomize(&p, BATCH, 410);
  const real *y = net_forward(&p.net, 1, 7);
  size_t zeros = 0, count = (size_t)BATCH * HEIGHT * WIDTH;
  for (size_t k = 0; k < count; k++) zeros += y[k * value_stride(CHANNELS)] == 0;
  CHECK(zeros > count / 4 && zeros < count * 11 / 20);
  report("dropout", &p, ALL);
}

/* One value read by every operation, and at the end, so that on the way back each adds to a gradient that is there already. */
static void shared_value(void) {
  problem p;
  uint32_t x = stem(&p, CHANNELS), readers[10], y;
  network *net = &p.net;
  readers[0] = net_conv(net, x, 3, 1, CHANNELS, 0);
  readers[1] = net_depthwise(net, x, 3, 1);
  readers[2] = net_batchnorm(net, x, ROTO_ACT_SWISH, 1e-3f);
  readers[3] = net_act(net, x, ROTO_ACT_SIGMOID);
  readers[4] = net_scale(net, x, net_act(net, net_globalpool(net, x), ROTO_ACT_SIGMOID));
  readers[5] = net_conv(net, net_concat(net, x, x), 1, 1, CHANNELS, 0);
  readers[6] = net_pool(net, x, 0, 3, 1);
  readers[7] = net_pool(net, x, 1, 3, 1);
  readers[8] = net_conv(net, net_upsample(net, x), 1, 2, CHANNELS, 0);
  readers[9] = net_dropout(net, x, 0.3f);
  y = readers[0];
  for (int k = 1; k < 10; k++) y = net_add(net, y, readers[k], k % 3 == 0 ? ROTO_ACT_SWISH : ROTO_ACT_NONE, 0);
  y = net_add(net, x, net_add(net, y, x, ROTO_ACT_NONE, 0), ROTO_ACT_NONE, 0);
  net_add(net, x, y, ROTO_ACT_NONE, 0);
  finish("a value read by all operations", &p);
}

static void heads(void) {
  static const loss_options losses[] = {
      {LOSS_L1, 10, 2, 0, 1},   /* the paper's */
      {LOSS_WING, 30, 2, 0, 1}, /* errors on both sides of the width */
      {LOSS_WING, 10, 2, 1, 1}, /* with the cross entropy of the heat maps */
      {LOSS_L1, 10, 2, 2, 0.7f},
  };
  static const char *const names[] = {"l1", "wing", "wing and heat", "l1 and heat"};
  char name[64];
  problem p;
  for (uint32_t channels = 1; channels <= 3; channels += 2) {
    snprintf(name, sizeof name, "points %u, x y and spread", channels);
    net_points(&p.net, stem(&p, 4 * channels), 4);
    finish(name, &p);
    for (size_t k = 0; k < sizeof losses / sizeof *losses; k++) {
      snprintf(name, sizeof name, "points %u, %s", channels, names[k]);
      net_points(&p.net, stem(&p, 4 * channels), 4);
      p.loss = &losses[k];
      p.points = 4;
      finish(name, &p);
    }
  }
  for (size_t k = 0; k < 2; k++) {
    snprintf(name, sizeof name, "dense, %s", names[k]);
    net_dense(&p.net, stem(&p, CHANNELS), 8);
    p.loss = &losses[k];
    p.points = 4;
    finish(name, &p);
  }
}

/* ---- whole networks ---- */

static void whole(const char *name, const char *text, uint32_t size, size_t batch, const loss_options *loss, int frozen,
                  size_t entries, double eps) {
  problem p = {0};
  char message[512] = "";
  int status = architecture_build(&p.net, text, size, size, 3, message);
  if (status != 0) printf("  %s: %s\n", name, message);
  CHECK(status == 0);
  if (status != 0) return;
  p.net.frozen_norm = frozen;
  p.loss = loss;
  p.points = 3;
  p.step = eps;
  randomize(&p, batch, 500);
  report(name, &p, entries);
}

static void networks(void) {
  static const loss_options l1 = {LOSS_L1, 10, 2, 0, 1}, wing = {LOSS_WING, 10, 2, 1, 1};
  static const char inverted[] =
      "act swish survive 0.7 conv 3 2 8 mb 1 3 1 8 1 mb 3 5 2 12 2 mb 2 3 1 12 1 dropout 0.3 regress";
  uint32_t resolution;
  whole("inverted bottlenecks, training", inverted, 16, 6, &l1, 0, 4, 0);
  whole("inverted bottlenecks, frozen norm", inverted, 16, 6, &l1, 1, 4, 0);
  whole("residual blocks, pyramid, points 1", "act hardswish conv 3 2 6 basic 8 1 1 bottle 12 2 2 pyramid 6 points 1", 16, 4,
        &wing, 0, 6, 0);
  whole("small", architecture_text("small", &resolution), 32, 4, &wing, 0, 0, 2e-6); /* 1e-5 would reach many bends */
}

/* ---- the check itself ---- */

static void finds(problem *p, const real *g, size_t entries, uint32_t i) {
  CHECK(compare_tensors(p, g, entries, i, i + 1).wrong > 0);
}

static void check_finds_errors(void) {
  static const loss_options wing = {LOSS_WING, 10, 2, 1, 1};
  problem p = {0};
  char message[512];
  CHECK(architecture_build(&p.net, "act swish conv 3 2 4 mb 2 3 1 4 1 points 3", 8, 8, 2, message) == 0);
  p.loss = &wing;
  p.points = 2;
  randomize(&p, 3, 600);
  real *right = analytic(&p), *wrong = real_alloc(p.net.trainable_count);
  size_t total = p.net.trainable_count * sizeof(real);
  CHECK(compare_tensors(&p, right, ALL, 0, p.net.param_count).wrong == 0);
  for (uint32_t i = 0; i < p.net.param_count; i++) {
    const net_param *q = &p.net.params[i];
    if (q->kind == PARAM_STATISTIC) continue;
    size_t largest = q->offset;
    for (size_t k = 0; k < q->count; k++)
      if (fabs(right[q->offset + k]) > fabs(right[largest])) largest = q->offset + k;
    static const double factors[] = {1.001, 0.999, -1, 0, 2, NAN};
    for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
      memcpy(wrong, right, total);
      wrong[largest] *= factors[k];
      finds(&p, wrong, ALL, i);
    }
    memcpy(wrong, right, total);
    wrong[largest] *= -1;
    finds(&p, wrong, 0, i); /* directions alone see it too */
  }
  memset(wrong, 0, total);
  finds(&p, wrong, ALL, 0);
  free(right);
  free(wrong);
  discard(&p);
}

int main(void) {
  reference = compute_create(1, 0);
  convolutions();
  activations();
  structure();
  shared_value();
  heads();
  networks();
  check_finds_errors();
  compute_free(reference);
  return check_end("test_gradients");
}
