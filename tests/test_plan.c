/* Planned networks against the naive interpreter of networks.h, for every kernel table: each fusion by itself, then many
 * random graphs, in integers (results must be equal) and in any numbers (within the bound the interpreter carries along).
 * Also: the plan fuses what it should, and the cut into tasks and their order do not change a bit. */

#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include "check.h"
#include "networks.h"

/* Runs the tasks in an order no loop would choose: odd ones backwards, then even ones. */
static void run_scrambled(void *user, size_t count, roto_task task, void *context) {
  for (size_t i = count / 2; i > 0; --i) task(context, 2 * i - 1);
  for (size_t i = 0; i < count; i += 2) task(context, i);
  ++*(size_t *)user;
}

static double worst_use; /* of the bound, in random networks */

/* What one description must give. */
typedef struct expectation {
  const char *what;
  unsigned long seed;
  unsigned char *bytes;
  size_t size, outputs;
  float *input;
  double *output, *bound;
  int exact;
} expectation;

/* Run on one table and compare.  Returns the number of steps, 0 if the table is not to be had. */
static size_t compare(const expectation *e, roto_isa isa) {
  size_t steps = 0, wrong = 0, calls = 0, size = e->outputs * sizeof(float);
  float *got = (float *)net_memory(size), *again = (float *)net_memory(size);
  roto_model *model = NULL;
  roto_session *session, *scrambled;
  roto_error error;
  roto_options options;
  roto_session_options session_options;
  memset(&options, 0, sizeof options);
  memset(&session_options, 0, sizeof session_options);
  memset(&error, 0, sizeof error);
  options.max_isa = isa;
  options.error = &error;
  session_options.parallel.run = run_scrambled;
  session_options.parallel.user = &calls;
  roto_status status = roto_open(e->bytes, e->size, &options, &model);
  CHECK(status == ROTO_OK, "%s %lu: %s, rule %u, item %u", e->what, e->seed, roto_status_text(status), error.rule, error.item);
  if (!status && CHECK(roto_get_info(model)->isa == (isa < roto_best_isa() ? isa : roto_best_isa())) &&
      roto_get_info(model)->isa == isa) {
    steps = model->plan.step_count;
    CHECK(roto_session_create(model, NULL, &session) == ROTO_OK);
    CHECK(roto_session_create(model, &session_options, &scrambled) == ROTO_OK);
    memset(session->values, 0xff, model->plan.workspace); /* NaN where nothing is written */
    memset(scrambled->values, 0x7f, model->plan.workspace);
    CHECK(roto_infer(session, e->input, got) == ROTO_OK);
    for (size_t i = 0; i < e->outputs; ++i) {
      double off = fabs(got[i] - e->output[i]), allowed = e->exact ? 0 : e->bound[i] + ldexp(fabs(e->output[i]), -24);
      int good = off <= allowed; /* false for what is not a number */
      if (!good && !wrong++)
        CHECK(good, "%s %lu on %s: output %zu is %.9g, expected %.9g within %g", e->what, e->seed, roto_isa_name(isa), i,
              got[i], e->output[i], allowed);
      if (allowed > 0 && off / allowed > worst_use) worst_use = off / allowed;
    }
    CHECK(roto_infer(scrambled, e->input, again) == ROTO_OK);
    CHECK(memcmp(got, again, size) == 0, "%s %lu on %s: the order of tasks shows", e->what, e->seed, roto_isa_name(isa));
    CHECK(roto_infer(session, e->input, again) == ROTO_OK);
    CHECK(memcmp(got, again, size) == 0, "%s %lu on %s: a session remembers", e->what, e->seed, roto_isa_name(isa));
    /* Weights at an odd address cannot be read where they lie. */
    unsigned char *shifted = (unsigned char *)net_memory(e->size + 1);
    roto_model *packed = NULL;
    roto_session *other;
    memcpy(shifted + 1, e->bytes, e->size);
    CHECK(roto_open(shifted + 1, e->size, &options, &packed) == ROTO_OK);
    CHECK(roto_session_create(packed, NULL, &other) == ROTO_OK && roto_infer(other, e->input, again) == ROTO_OK);
    CHECK(memcmp(got, again, size) == 0, "%s %lu on %s: the file's address shows", e->what, e->seed, roto_isa_name(isa));
    roto_session_free(other);
    roto_close(packed);
    free(shifted);
    if (!e->exact) CHECK(roto_selftest(session, NULL) == ROTO_OK, "%s %lu on %s", e->what, e->seed, roto_isa_name(isa));
    roto_session_free(session);
    roto_session_free(scrambled);
  }
  roto_close(model);
  free(got);
  free(again);
  return steps;
}

static const roto_isa tables[] = {ROTO_ISA_SCALAR, ROTO_ISA_AVX2, ROTO_ISA_AVX512};

/* All tables; `steps` is how many the plan must have, 0 for any. */
static void compare_all(net *n, const char *what, unsigned long seed, size_t steps) {
  expectation e;
  e.what = what;
  e.seed = seed;
  e.exact = n->exact;
  e.outputs = n->nodes[n->count - 1].c;
  e.bytes = net_write(n, &e.size);
  e.input = net_input(n);
  net_interpret(n, e.input, &e.output, &e.bound);
  for (size_t i = 0; i < sizeof tables / sizeof *tables; ++i) {
    size_t made = compare(&e, tables[i]);
    if (made && steps) CHECK(made == steps, "%s: the plan has %zu steps, expected %zu", what, made, steps);
  }
  free(e.bytes);
  free(e.input);
  free(e.output);
  free(e.bound);
}

/* Bring node `x` to landmarks and compare. */
static void finish_and_compare(net *n, uint32_t x, const char *what, size_t steps) {
  net_dense(n, ROTO_ACT_NONE, x, 2 * 5);
  net_finish(n, 5);
  compare_all(n, what, 0, steps ? steps + 1 : 0);
  net_free(n);
}

/* Stem, then one inverted bottleneck: what each becomes is known. */
static void plan_fuses_blocks(int exact) {
  uint16_t act = exact ? ROTO_ACT_RELU6 : ROTO_ACT_SWISH;
  net *n = net_create(1, exact, 31, 27, 3);
  uint32_t x = net_add(n, net_window(ROTO_OP_CONV, ROTO_ACT_NONE, 0, 24, 3, 3, 2, 0, 0, 1, 1), 0);
  x = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_NONE, x);
  x = net_unary(n, ROTO_OP_ACT, act, x);
  finish_and_compare(n, x, "stem", 1);

  if (!exact) {
    n = net_create(2, 0, 30, 30, 3);
    x = net_conv(n, act, 0, 24, 3, 2);
    x = net_mbconv(n, act, x, 6, 24, 5, 1, 6); /* 15 x 15: the SCALE scales the weights of the projection */
    finish_and_compare(n, x, "inverted bottleneck, many pixels", 1 + 5);

    n = net_create(2, 0, 30, 30, 3);
    x = net_conv(n, act, 0, 24, 3, 2);
    x = net_mbconv(n, act, x, 6, 40, 5, 1, 6); /* it scales what the projection reads */
    finish_and_compare(n, x, "inverted bottleneck, many pixels and weights", 1 + 5);

    n = net_create(3, 0, 10, 12, 3);
    x = net_conv(n, act, 0, 24, 3, 2);
    x = net_mbconv(n, act, x, 4, 40, 3, 2, 3); /* 3 x 3: the SCALE is a step */
    finish_and_compare(n, x, "inverted bottleneck, few pixels", 1 + 6);
  }

  n = net_create(4, exact, 14, 9, 1);
  x = net_conv(n, act, 0, 17, 3, 1);
  uint32_t side = net_conv(n, ROTO_ACT_NONE, x, 33, 1, 2), main = net_conv(n, ROTO_ACT_NONE, x, 33, 3, 2);
  side = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_NONE, side);
  main = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_NONE, main);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, main, side);
  x = net_unary(n, ROTO_OP_ACT, ROTO_ACT_RELU6, x);
  finish_and_compare(n, x, "residual with a shortcut convolution", 3);

  n = net_create(5, exact, 8, 8, 3);
  x = net_conv(n, ROTO_ACT_RELU6, 0, 40, 1, 1);
  x = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_RELU6, x); /* after an activation: nothing to fold into */
  finish_and_compare(n, x, "batch norm alone", 2);
}

/* What looks as if it could be fused and must not be. */
static void plan_keeps_what_is_read_twice(int exact) {
  net *n = net_create(6, exact, 12, 12, 3);
  uint32_t x = net_conv(n, ROTO_ACT_RELU6, 0, 24, 3, 1), y = net_conv(n, ROTO_ACT_NONE, x, 24, 3, 1);
  uint32_t norm = net_unary(n, ROTO_OP_BATCHNORM, ROTO_ACT_RELU6, y);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, y, norm); /* y is read by both */
  finish_and_compare(n, x, "convolution read twice", 4);

  n = net_create(7, exact, 12, 12, 3);
  x = net_conv(n, ROTO_ACT_RELU6, 0, 24, 3, 1);
  y = net_conv(n, ROTO_ACT_NONE, x, 24, 1, 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_RELU6, x, y); /* the product's own input is its residual, and dies there */
  finish_and_compare(n, x, "residual is the input", 2);

  n = net_create(8, exact, 12, 12, 3);
  x = net_conv(n, ROTO_ACT_RELU6, 0, 24, 3, 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, x, x);
  finish_and_compare(n, x, "a value added to itself", 2);

  n = net_create(9, exact, 13, 13, 3); /* the scaled value is read again later: no scaling in place */
  x = net_conv(n, ROTO_ACT_RELU6, 0, 24, 3, 1);
  uint32_t s = net_conv(n, ROTO_ACT_RELU6, net_dense(n, ROTO_ACT_RELU6, x, 4), 24, 1, 1);
  y = net_conv(n, ROTO_ACT_NONE, net_binary(n, ROTO_OP_SCALE, ROTO_ACT_NONE, x, s), 24, 1, 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, y, x);
  finish_and_compare(n, x, "scaled value read again", 5);

  n = net_create(10, exact, 9, 9, 2); /* two readers of the picture: no frame of zeros */
  x = net_conv(n, ROTO_ACT_RELU6, 0, 24, 3, 1);
  y = net_conv(n, ROTO_ACT_RELU6, 0, 24, 5, 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_NONE, x, y);
  finish_and_compare(n, x, "picture read twice", 3);
}

/* Kernels with more taps than a tile's list of pointers holds, with a residual, and wide dense layers. */
static void plan_runs_taps_in_groups(int exact) {
  net *n = net_create(11, exact, 20, 23, 3);
  uint32_t x = net_conv(n, ROTO_ACT_RELU6, 0, 5, 1, 1);
  uint32_t y = net_add(n, net_window(ROTO_OP_CONV, ROTO_ACT_NONE, x, 5, 19, 17, 1, 9, 8, 9, 8), 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_RELU6, x, y);
  finish_and_compare(n, x, "kernel of 19 x 17", 2);

  n = net_create(12, exact, 40, 33, 3);
  x = net_conv(n, ROTO_ACT_RELU6, 0, 17, 1, 1);
  finish_and_compare(n, x, "dense over 40 x 33 x 17", 1);
}

/* Weights larger than the second-level cache: blocks of tiles, tasks by panels.  121 pixels are two blocks of tiles. */
static void plan_blocks_large_weights(int exact) {
  net *n = net_create(13, exact, 11, 11, 3);
  uint32_t x = net_conv(n, ROTO_ACT_RELU6, 0, 180, 1, 1), y = net_conv(n, ROTO_ACT_NONE, x, 180, 3, 1);
  x = net_binary(n, ROTO_OP_ADD, ROTO_ACT_RELU6, x, y);
  finish_and_compare(n, x, "3x3 from 180 to 180 channels", 2);

  n = net_create(14, exact, 7, 7, 3);
  x = net_conv(n, ROTO_ACT_RELU6, net_conv(n, ROTO_ACT_RELU6, 0, 420, 1, 1), 641, 1, 1);
  finish_and_compare(n, x, "1x1 from 420 to 641 channels", 2);
}

static void plan_matches_random_networks(int exact, unsigned long count) {
  for (unsigned long seed = 1; seed <= count; ++seed) {
    net *n = net_random_network(seed, exact, 6 + (uint32_t)seed % 24);
    compare_all(n, exact ? "exact network" : "random network", seed, 0);
    net_free(n);
  }
}

int main(void) {
  for (size_t i = 0; i < sizeof tables / sizeof *tables; ++i) {
    if (tables[i] > roto_best_isa()) SKIP(roto_isa_name(tables[i]));
  }
  for (int exact = 0; exact <= 1; ++exact) {
    plan_fuses_blocks(exact);
    plan_keeps_what_is_read_twice(exact);
    plan_runs_taps_in_groups(exact);
    plan_blocks_large_weights(exact);
    plan_matches_random_networks(exact, 300);
  }
  printf("random networks used at most %.0f %% of their bound\n", 100 * worst_use);
  return check_end("plan");
}
