/* Threads: two of them, each with a session of its own, share one model; and a session whose loop runs on a pool of threads
 * gives the bits of a session that runs alone.  Meant for the thread sanitizer too, so no OpenMP (which it does not know):
 * every session here brings its own loop or runs alone. */

#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include <pthread.h>

#include "check.h"
#include "networks.h"

enum { THREADS = 4, RUNS = 6, LANDMARKS = 5, OUTPUTS = 3 * LANDMARKS };

/* A parallel loop: THREADS threads take the next index until none is left. */
typedef struct loop {
  pthread_mutex_t lock;
  size_t next, count;
  roto_task task;
  void *context;
} loop;

static void *loop_thread(void *argument) {
  loop *l = (loop *)argument;
  for (;;) {
    pthread_mutex_lock(&l->lock);
    size_t index = l->next++;
    pthread_mutex_unlock(&l->lock);
    if (index >= l->count) return NULL;
    l->task(l->context, index);
  }
}

static void run_on_threads(void *user, size_t count, roto_task task, void *context) {
  pthread_t threads[THREADS];
  loop l;
  pthread_mutex_init(&l.lock, NULL);
  l.next = 0;
  l.count = count;
  l.task = task;
  l.context = context;
  int started = 0;
  while (started < THREADS && !pthread_create(threads + started, NULL, loop_thread, &l)) ++started;
  loop_thread(&l);
  for (int i = 0; i < started; ++i) pthread_join(threads[i], NULL);
  pthread_mutex_destroy(&l.lock);
  if (started == THREADS && count > 1) ++*(size_t *)user;
}

static net *network(void) {
  net *n = net_create(11, 0, 48, 64, 3);
  uint32_t x = net_conv(n, ROTO_ACT_SWISH, 0, 24, 3, 2);
  x = net_mbconv(n, ROTO_ACT_SWISH, x, 4, 24, 5, 1, 6);
  x = net_mbconv(n, ROTO_ACT_HARD_SWISH, x, 4, 40, 3, 2, 10);
  x = net_mbconv(n, ROTO_ACT_RELU, x, 4, 40, 3, 1, 10);
  x = net_conv(n, ROTO_ACT_NONE, x, 3 * LANDMARKS, 1, 1);
  roto_node_desc points = net_node(ROTO_OP_POINTS, ROTO_ACT_NONE, x);
  points.channels_per_point = 3;
  net_add(n, points, 0);
  net_finish(n, LANDMARKS);
  return n;
}

/* One thread with a session of its own. */
typedef struct worker {
  const roto_model *model;
  const float *input;
  roto_image image;
  roto_status status;
  float output[OUTPUTS];
  roto_point points[LANDMARKS];
} worker;

static void *work(void *argument) {
  worker *w = (worker *)argument;
  const roto_rect crop = {5, 3, 50, 40};
  roto_session *session;
  roto_session_options options;
  memset(&options, 0, sizeof options);
  options.parallel.threads = 1;
  w->status = roto_session_create(w->model, &options, &session);
  for (int i = 0; i < RUNS && !w->status; ++i) {
    w->status = roto_infer(session, w->input, w->output);
    if (!w->status) w->status = roto_find_landmarks(session, &w->image, crop, w->points);
    if (!w->status) w->status = roto_selftest(session, NULL);
  }
  roto_session_free(session);
  return NULL;
}

int main(void) {
  net *n = network();
  size_t size, loops = 0;
  unsigned char *bytes = net_write(n, &size), *pixels = net_memory(64 * 48 * 3);
  float *input = net_input(n), output[OUTPUTS];
  for (size_t i = 0; i < 64 * 48 * 3; ++i) pixels[i] = (unsigned char)(i * i >> 4);
  const roto_image image = {pixels, 64, 48, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_LINEAR, 0};
  static const roto_isa tables[] = {ROTO_ISA_SCALAR, ROTO_ISA_AVX2, ROTO_ISA_AVX512};
  for (size_t k = 0; k < sizeof tables / sizeof *tables; ++k) {
    roto_model *model;
    roto_options options;
    memset(&options, 0, sizeof options);
    options.max_isa = tables[k];
    if (tables[k] > roto_best_isa()) {
      SKIP(roto_isa_name(tables[k]));
      continue;
    }
    if (!CHECK(roto_open(bytes, size, &options, &model) == ROTO_OK)) continue;

    worker workers[2], alone;
    pthread_t threads[2];
    memset(&alone, 0, sizeof alone);
    alone.model = model;
    alone.input = input;
    alone.image = image;
    workers[0] = workers[1] = alone;
    work(&alone);
    CHECK(alone.status == ROTO_OK, "%s", roto_status_text(alone.status));
    for (int i = 0; i < 2; ++i) CHECK(pthread_create(threads + i, NULL, work, workers + i) == 0);
    for (int i = 0; i < 2; ++i) {
      CHECK(pthread_join(threads[i], NULL) == 0);
      CHECK(workers[i].status == ROTO_OK, "%s", roto_status_text(workers[i].status));
      CHECK(memcmp(workers[i].output, alone.output, sizeof alone.output) == 0);
      CHECK(memcmp(workers[i].points, alone.points, sizeof alone.points) == 0);
    }

    roto_session *session;
    roto_session_options session_options;
    memset(&session_options, 0, sizeof session_options);
    session_options.parallel.run = run_on_threads;
    session_options.parallel.user = &loops;
    CHECK(roto_session_create(model, &session_options, &session) == ROTO_OK);
    for (int i = 0; i < RUNS; ++i) {
      CHECK(roto_infer(session, input, output) == ROTO_OK);
      CHECK(memcmp(output, alone.output, sizeof output) == 0, "%s: threads change the result", roto_isa_name(tables[k]));
    }
    roto_point points[LANDMARKS];
    const roto_rect crop = {5, 3, 50, 40};
    CHECK(roto_find_landmarks(session, &image, crop, points) == ROTO_OK);
    CHECK(memcmp(points, alone.points, sizeof points) == 0);
    CHECK(loops > RUNS, "only %zu loops ran on threads", loops);
    roto_session_free(session);
    roto_close(model);
  }
  free(bytes);
  free(pixels);
  free(input);
  net_free(n);
  return check_end("threads");
}
