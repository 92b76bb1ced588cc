/* See shape_model.h.
 *
 * A sample is an annotated shape in its own frame: the landmarks, and the vertices with their tangents, in the network's order.
 * Of each there are several: as drawn, and fitted anew with its landmarks slid along the contour, so that the network learns the
 * curve and not where on it the points happen to lie.  Every use is warped by a smooth map of its own. */

#include "shape_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../tools/cli.h"
#include "../tools/model_file.h"
#include "bezier.h"
#include "network.h"
#include "optimizer.h"
#include "rng.h"

#define CORNER_COSINE 0.94 /* 20 degrees */
#define LEAST_TANGENT 0.02 /* of the relative error's denominator */

enum { CURVE_POINTS = 5, LEAST_FRAMES = 4, MAX_LANDMARKS = ROTO_MAX_SHAPE_LANDMARKS, MAX_VERTICES = ROTO_MAX_SHAPE_VERTICES };

shape_options shape_defaults(void) {
  shape_options o = {0};
  o.blocks = 2;
  o.width = 32;
  o.steps = 2000;
  o.batch = 64;
  o.rate = 2e-3;
  o.weight_decay = 0.01;
  o.gamma = 1;
  o.curve = 10;
  o.slides = 1;
  o.warp = 0.02;
  o.noise = 0.01;
  o.seed = 1;
  return o;
}

/* ---- which network draws which shape ---- */

typedef struct shape_use {
  uint32_t network; /* ROTO_NONE: no data */
  int mirrored, reversed;
  uint32_t first, landmark_count;
  uint32_t landmarks[MAX_LANDMARKS]; /* the two extreme ones first */
} shape_use;

static uint32_t turn(const shape_use *u, uint32_t count, uint32_t i) {
  return (u->reversed ? u->first + count - i : u->first + i) % count;
}

/* Can the vertices of `b` be those of `a` in the mirror?  Sets b's first vertex and direction. */
static int find_mirror(const roto_model *model, const roto_shape *a, const roto_shape *b, shape_use *use) {
  uint32_t n = a->vertex_count, i;
  if (b->vertex_count != n || a->closed != b->closed) return 0;
  for (use->reversed = 1; use->reversed >= 0; use->reversed--)
    for (use->first = 0; use->first < n; use->first++) {
      if (!a->closed && use->first != (use->reversed ? n - 1 : 0)) continue;
      for (i = 0; i < n; i++) {
        int32_t from = a->vertices[i], to = b->vertices[turn(use, n, i)];
        roto_landmark landmark;
        if ((from < 0) != (to < 0)) break;
        if (from < 0) continue;
        roto_get_landmark(model, (uint32_t)from, &landmark);
        if ((int32_t)landmark.flip != to) break;
      }
      if (i == n) return 1;
    }
  use->reversed = 0;
  use->first = 0;
  return 0;
}

static const frame_shape *usable_shape(const frame *f, const roto_shape *shape, const shape_use *u) {
  const frame_shape *s = frame_find_shape(f, shape->name);
  if (s == NULL || s->segment_count != (shape->closed ? shape->vertex_count : shape->vertex_count - 1)) return NULL;
  for (uint32_t i = 0; i < u->landmark_count; i++)
    if (!f->valid[u->landmarks[i]] && !f->hidden[u->landmarks[i]]) return NULL;
  return s;
}

static size_t count_frames(const dataset *ds, int skip_shot, const roto_shape *shape, const shape_use *u) {
  size_t count = 0;
  for (size_t i = 0; i < ds->frame_count; i++)
    count += (int)ds->frames[i].shot != skip_shot && usable_shape(&ds->frames[i], shape, u) != NULL;
  return count;
}

/* The landmarks of a shape in the order of its vertices, but first the two that are farthest apart, in the mean of the frames. */
static void order_landmarks(const dataset *ds, int skip_shot, const roto_shape *shape, shape_use *u) {
  double best = -1;
  uint32_t extreme[2] = {0, 1};
  u->landmark_count = 0;
  for (uint32_t i = 0; i < shape->vertex_count; i++) {
    uint32_t k = 0;
    while (k < u->landmark_count && u->landmarks[k] != (uint32_t)shape->vertices[i]) k++;
    if (shape->vertices[i] >= 0 && k == u->landmark_count && k < MAX_LANDMARKS)
      u->landmarks[u->landmark_count++] = (uint32_t)shape->vertices[i];
  }
  for (uint32_t a = 0; a < u->landmark_count; a++)
    for (uint32_t b = a + 1; b < u->landmark_count; b++) {
      double sum = 0;
      for (size_t i = 0; i < ds->frame_count; i++) {
        const float *p = ds->frames[i].points + 2 * u->landmarks[a], *q = ds->frames[i].points + 2 * u->landmarks[b];
        if ((int)ds->frames[i].shot != skip_shot && usable_shape(&ds->frames[i], shape, u) != NULL)
          sum += hypot((double)(p[0] - q[0]), (double)(p[1] - q[1]));
      }
      if (sum > best) best = sum, extreme[0] = a, extreme[1] = b;
    }
  for (uint32_t k = 0; k < 2; k++) {
    uint32_t t = u->landmarks[extreme[k]];
    memmove(u->landmarks + k + 1, u->landmarks + k, (extreme[k] - k) * sizeof *u->landmarks);
    u->landmarks[k] = t;
  }
}

/* ---- samples ---- */

typedef struct vertex {
  double place[2], in[2], out[2];
} vertex;

typedef struct sample {
  double weight;
  double landmarks[MAX_LANDMARKS][2];
  vertex *vertices;
} sample;

typedef struct training {
  const shape_options *o;
  compute *cp;
  uint32_t landmark_count, own_count, vertex_count, place_count, output_count; /* own: landmarks of the shape itself, first */
  int closed;
  int place_of[MAX_VERTICES]; /* which output place the vertex is, or -1 */
  sample *samples;
  size_t sample_count, sample_room;
  network net;
  optimizer opt;
  real *dy;
} training;

/* Into the frame of the first two landmarks; 0 if they coincide. */
static int normalize(const training *t, sample *s) {
  double dx = s->landmarks[1][0] - s->landmarks[0][0], dy = s->landmarks[1][1] - s->landmarks[0][1], square = dx * dx + dy * dy;
  double mx = (s->landmarks[0][0] + s->landmarks[1][0]) / 2, my = (s->landmarks[0][1] + s->landmarks[1][1]) / 2;
  if (!(square > 1e-12)) return 0;
  for (uint32_t i = 0; i < t->landmark_count + 3 * t->vertex_count; i++) {
    uint32_t v = i < t->landmark_count ? 0 : (i - t->landmark_count) / 3,
             kind = i < t->landmark_count ? 0 : (i - t->landmark_count) % 3;
    double *p = i < t->landmark_count ? s->landmarks[i]
                : kind == 0           ? s->vertices[v].place
                : kind == 1           ? s->vertices[v].in
                                      : s->vertices[v].out;
    double x = p[0] - (kind == 0 ? mx : 0), y = p[1] - (kind == 0 ? my : 0);
    p[0] = (x * dx + y * dy) / square;
    p[1] = (dx * y - dy * x) / square;
  }
  return 1;
}

static sample *new_sample(training *t, double weight) {
  if (t->sample_count == t->sample_room) {
    size_t room = 2 * t->sample_room + 256;
    sample *more = realloc(t->samples, room * sizeof *more);
    if (more == NULL) cli_fail(EXIT_FAILED, "out of memory for %zu annotated shapes", room);
    t->samples = more;
    t->sample_room = room;
  }
  sample *s = &t->samples[t->sample_count++];
  s->weight = weight;
  s->vertices = cli_alloc(t->vertex_count, sizeof *s->vertices);
  return s;
}

/* A sample from a shape's cubics in the picture and the places of its vertices' landmarks. */
static void add_sample(training *t, const roto_shape *shape, const shape_use *u, const roto_vertex *drawn, const float *points,
                       double weight) {
  sample *s = new_sample(t, weight);
  uint32_t n = t->vertex_count;
  double sign = u->mirrored ? -1 : 1;
  for (uint32_t i = 0; i < t->landmark_count; i++) {
    s->landmarks[i][0] = sign * (double)points[2 * u->landmarks[i]];
    s->landmarks[i][1] = (double)points[2 * u->landmarks[i] + 1];
  }
  for (uint32_t i = 0; i < n; i++) {
    uint32_t v = turn(u, n, i);
    const roto_vertex *d = &drawn[v];
    vertex *to = &s->vertices[i];
    double *in = u->reversed ? to->out : to->in, *out = u->reversed ? to->in : to->out;
    to->place[0] = sign * d->x;
    to->place[1] = d->y;
    in[0] = sign * d->in_x;
    in[1] = d->in_y;
    out[0] = sign * d->out_x;
    out[1] = d->out_y;
    if (shape->vertices[v] < 0) continue;
    for (uint32_t k = 0; k < t->landmark_count;
         k++) { /* the vertex will stand on the landmark, so the sample's landmark is there */
      if (u->landmarks[k] != (uint32_t)shape->vertices[v]) continue;
      s->landmarks[k][0] = to->place[0];
      s->landmarks[k][1] = to->place[1];
    }
  }
  if (!normalize(t, s)) free(t->samples[--t->sample_count].vertices);
}

static int is_corner(const roto_vertex *v) {
  double in = hypot(v->in_x, v->in_y), out = hypot(v->out_x, v->out_y);
  return in * out > 0 && -(v->in_x * v->out_x + v->in_y * v->out_y) < CORNER_COSINE * in * out;
}

/* The same contour with its smooth landmarks elsewhere on it, fitted anew.  0 if it cannot be. */
static int slide(const roto_shape *shape, const shape_use *u, const roto_vertex *drawn, rng *r, roto_vertex *slid) {
  uint32_t n = shape->vertex_count, count = shape->closed ? n : n - 1;
  roto_cubic cubics[MAX_VERTICES];
  unsigned char corner[MAX_VERTICES];
  double at[MAX_VERTICES];
  bezier_path p;
  roto_path path = {drawn, n, shape->closed};
  for (uint32_t i = 0; i < count; i++) {
    roto_cubic c = roto_path_segment(&path, i);
    memcpy(cubics[i].x, c.x, sizeof c.x);
    memcpy(cubics[i].y, c.y, sizeof c.y);
  }
  if (path_create(&p, cubics, count, shape->closed)) return 0;
  int fits = p.count == count;
  for (uint32_t i = 0; i < n && fits; i++) {
    double before = p.starts[i > 0 ? i : count] - p.starts[i > 0 ? i - 1 : count - 1];
    double after = i < count ? p.starts[i + 1] - p.starts[i] : before;
    int32_t l = shape->vertices[i];
    corner[i] = (unsigned char)is_corner(&drawn[i]);
    int stays = l < 0 || corner[i] || (uint32_t)l == u->landmarks[0] || (uint32_t)l == u->landmarks[1] ||
                (!shape->closed && (i == 0 || i + 1 == n));
    at[i] = p.starts[i] + (stays ? 0 : 0.3 * fmin(before, after) * (double)rng_range(r, -1, 1));
  }
  if (fits && at[0] < 0) fits = 0; /* places must ascend from the first */
  if (fits) fits = path_fit(&p, at, corner, n, cubics) == 0;
  for (uint32_t i = 0; i < n && fits; i++) {
    const roto_cubic *c = &cubics[i < count ? i : count - 1];
    slid[i].x = i < count ? c->x[0] : c->x[3];
    slid[i].y = i < count ? c->y[0] : c->y[3];
  }
  for (uint32_t i = 0; i < count && fits; i++) {
    const roto_cubic *c = &cubics[i];
    roto_vertex *a = &slid[i], *b = &slid[i + 1 < n ? i + 1 : 0];
    a->out_x = c->x[1] - c->x[0];
    a->out_y = c->y[1] - c->y[0];
    b->in_x = c->x[2] - c->x[3];
    b->in_y = c->y[2] - c->y[3];
  }
  path_free(&p);
  return fits;
}

/* All samples that one shape gives a network. */
static void add_samples(training *t, const dataset *ds, int skip_shot, const roto_shape *shape, const shape_use *u,
                        uint32_t index) {
  roto_vertex *drawn = cli_alloc(2 * (size_t)t->vertex_count + 2, sizeof *drawn), *slid = drawn + t->vertex_count + 1;
  for (size_t i = 0; i < ds->frame_count; i++) {
    const frame *f = &ds->frames[i];
    const frame_shape *s = (int)f->shot == skip_shot ? NULL : usable_shape(f, shape, u);
    double weight = 0;
    if (s == NULL) continue;
    for (uint32_t k = 0; k < u->landmark_count; k++)
      weight += f->weights != NULL ? (double)f->weights[u->landmarks[k]] / u->landmark_count : 1.0 / u->landmark_count;
    frame_shape_vertices(s, shape->closed, drawn);
    add_sample(t, shape, u, drawn, f->points, weight);
    for (int k = 0; k < t->o->slides; k++) {
      rng r = {rng_seed((uint64_t)t->o->seed, index, i * 64 + (size_t)k)};
      memset(slid, 0, t->vertex_count * sizeof *slid);
      if (slide(shape, u, drawn, &r, slid)) add_sample(t, shape, u, slid, f->points, weight);
    }
  }
  free(drawn);
}

/* ---- one step ---- */

/* p' = p + A p + quadratic terms, and tangents by its derivative; then the frame again. */
static int warp_sample(const training *t, const sample *from, rng *r, sample *to) {
  double c[2][5];
  vertex *vertices = to->vertices;
  *to = *from;
  to->vertices = vertices;
  memcpy(vertices, from->vertices, t->vertex_count * sizeof *vertices);
  for (int k = 0; k < 2; k++) /* landmarks of other shapes are a few units away: bends are small */
    for (int i = 0; i < 5; i++) c[k][i] = t->o->warp * (double)rng_normal(r) * (i < 2 ? 1 : 0.05);
  for (uint32_t i = 0; i < t->landmark_count; i++) {
    double x = to->landmarks[i][0], y = to->landmarks[i][1];
    for (int k = 0; k < 2; k++)
      to->landmarks[i][k] += c[k][0] * x + c[k][1] * y + c[k][2] * x * x + c[k][3] * x * y + c[k][4] * y * y;
  }
  for (uint32_t i = 0; i < t->vertex_count; i++) {
    vertex *v = &vertices[i];
    double x = v->place[0], y = v->place[1];
    double in[2] = {v->in[0], v->in[1]}, out[2] = {v->out[0], v->out[1]};
    for (int k = 0; k < 2; k++) {
      double by_x = c[k][0] + 2 * c[k][2] * x + c[k][3] * y, by_y = c[k][1] + c[k][3] * x + 2 * c[k][4] * y;
      v->place[k] += c[k][0] * x + c[k][1] * y + c[k][2] * x * x + c[k][3] * x * y + c[k][4] * y * y;
      v->in[k] += by_x * in[0] + by_y * in[1];
      v->out[k] += by_x * out[0] + by_y * out[1];
    }
  }
  if (!normalize(t, to)) return 0;
  for (uint32_t i = t->own_count; i < t->landmark_count; i++) /* no vertex stands on them: their errors are to be forgiven */
    for (int k = 0; k < 2; k++) to->landmarks[i][k] += t->o->noise * (double)rng_normal(r);
  return 1;
}

static void fill_input(const training *t, const sample *s, real *input) {
  for (uint32_t i = 0; i < t->landmark_count; i++)
    for (int k = 0; k < 2; k++) input[2 * i + (uint32_t)k] = (real)s->landmarks[i][k];
}

/* Adds weight * |d| to the loss, and its gradient by (x, y) to *dx, *dy. */
static double add_length(double weight, double x, double y, double *dx, double *dy) {
  double length = sqrt(x * x + y * y + 1e-10);
  *dx += weight * x / length;
  *dy += weight * y / length;
  return weight * length;
}

static double sign_of(double v) {
  return v > 0 ? 1 : v < 0 ? -1 : 0;
}

/* Loss of one sample and its gradient, [outputs]. */
static double sample_loss(const training *t, const sample *s, const real *y, double *gradient) {
  uint32_t n = t->vertex_count, segments = t->closed ? n : n - 1;
  double loss = 0, tangents = 2.0 * segments, gamma = t->o->gamma / (tangents + t->place_count);
  const real *tangent = y + 2 * t->place_count;
  double *tangent_gradient = gradient + 2 * t->place_count;
  memset(gradient, 0, t->output_count * sizeof *gradient);
  for (uint32_t i = 0; i < n; i++) {
    const vertex *v = &s->vertices[i];
    for (int side = 0; side < 2; side++) {
      const double *truth = side ? v->out : v->in;
      const real *found = tangent + 4 * i + 2 * side;
      double *g = tangent_gradient + 4 * i + 2 * side, length = hypot(truth[0], truth[1]);
      if (!t->closed && i == (side ? n - 1 : 0)) continue; /* an end has one tangent */
      double x = (double)found[0] - truth[0], d = (double)found[1] - truth[1];
      loss += add_length(1 / (tangents * fmax(length, LEAST_TANGENT)), x, d, &g[0], &g[1]);
      loss += gamma * (fabs(x) + fabs(d));
      g[0] += gamma * sign_of(x);
      g[1] += gamma * sign_of(d);
    }
    if (t->place_of[i] < 0) continue;
    for (int k = 0; k < 2; k++) {
      double d = (double)y[2 * t->place_of[i] + k] - v->place[k];
      loss += gamma * fabs(d);
      gradient[2 * t->place_of[i] + k] += gamma * sign_of(d);
    }
  }
  for (uint32_t i = 0; i < segments; i++) {
    uint32_t j = i + 1 < n ? i + 1 : 0;
    const vertex *a = &s->vertices[i], *b = &s->vertices[j];
    double miss[4][2]; /* of the control points: start, its tangent, the end's tangent, end */
    for (int k = 0; k < 2; k++) {
      miss[0][k] = t->place_of[i] < 0 ? 0 : (double)y[2 * t->place_of[i] + k] - a->place[k];
      miss[3][k] = t->place_of[j] < 0 ? 0 : (double)y[2 * t->place_of[j] + k] - b->place[k];
      miss[1][k] = miss[0][k] + (double)tangent[4 * i + 2 + (uint32_t)k] - a->out[k];
      miss[2][k] = miss[3][k] + (double)tangent[4 * j + (uint32_t)k] - b->in[k];
    }
    for (int m = 1; m <= CURVE_POINTS; m++) {
      double u = (double)m / (CURVE_POINTS + 1), w = 1 - u, d[2] = {0, 0}, g[2] = {0, 0};
      const double basis[4] = {w * w * w, 3 * w * w * u, 3 * w * u * u, u * u * u};
      for (int k = 0; k < 4; k++) {
        d[0] += basis[k] * miss[k][0];
        d[1] += basis[k] * miss[k][1];
      }
      loss += add_length(t->o->curve / (segments * CURVE_POINTS), d[0], d[1], &g[0], &g[1]);
      for (int k = 0; k < 2; k++) {
        tangent_gradient[4 * i + 2 + (uint32_t)k] += basis[1] * g[k];
        tangent_gradient[4 * j + (uint32_t)k] += basis[2] * g[k];
        if (t->place_of[i] >= 0) gradient[2 * t->place_of[i] + k] += (basis[0] + basis[1]) * g[k];
        if (t->place_of[j] >= 0) gradient[2 * t->place_of[j] + k] += (basis[2] + basis[3]) * g[k];
      }
    }
  }
  return loss;
}

static void build_network(training *t, uint64_t seed) {
  network *net = &t->net;
  uint32_t points = 2 * t->landmark_count, width = (uint32_t)t->o->width;
  net_init(net);
  uint32_t input = net_input(net, 1, 1, points), x = input;
  for (int b = 0; b < t->o->blocks; b++) {
    x = net_act(net, net_dense(net, x, width), ROTO_ACT_RELU);
    x = net_act(net, net_dense(net, x, width), ROTO_ACT_RELU);
    x = net_concat(net, x, input);
  }
  net_dense(net, x, t->output_count);
  net_finish(net, seed);
}

/* The mean of the samples' answers: where the last layer starts. */
static void start_at_mean(training *t) {
  const net_param *bias = &t->net.params[net_output(&t->net)->params[1]];
  real *b = t->net.values + bias->offset;
  for (size_t i = 0; i < t->sample_count; i++)
    for (uint32_t v = 0; v < t->vertex_count; v++) {
      const vertex *from = &t->samples[i].vertices[v];
      real *to = b + 2 * t->place_count + 4 * v;
      for (int k = 0; k < 2; k++) {
        to[k] += (real)(from->in[k] / (double)t->sample_count);
        to[k + 2] += (real)(from->out[k] / (double)t->sample_count);
        if (t->place_of[v] >= 0) b[2 * t->place_of[v] + k] += (real)(from->place[k] / (double)t->sample_count);
      }
    }
}

static double train_step(training *t, int step, sample *warped, double *gradient) {
  network *net = &t->net;
  size_t in = value_stride(net->nodes[0].c), out = value_stride(t->output_count);
  double loss = 0;
  for (size_t i = 0; i < net->batch; i++) {
    rng r = {rng_seed((uint64_t)t->o->seed + 7, (uint64_t)step, i)};
    const sample *s = &t->samples[rng_below(&r, (uint32_t)t->sample_count)];
    if (!warp_sample(t, s, &r, &warped[i])) {
      vertex *own = warped[i].vertices;
      memcpy(own, s->vertices, t->vertex_count * sizeof *own);
      warped[i] = *s;
      warped[i].vertices = own;
    }
    fill_input(t, &warped[i], net->outputs[0] + i * in);
  }
  const real *y = net_forward(net, 1, 0);
  memset(t->dy, 0, net->batch * out * sizeof *t->dy);
  for (size_t i = 0; i < net->batch; i++) {
    loss += warped[i].weight * sample_loss(t, &warped[i], y + i * out, gradient);
    for (uint32_t k = 0; k < t->output_count; k++)
      t->dy[i * out + k] = (real)(warped[i].weight * gradient[k] / (double)net->batch);
  }
  net_backward(net, t->dy, NULL);
  optimizer_step(&t->opt, net, schedule_rate(SCHEDULE_COSINE, t->o->rate, (double)step / t->o->steps));
  return loss / (double)net->batch;
}

/* Train; the moving average of the weights stays in t->opt.averaged.  Returns the mean loss of the last tenth. */
static double train_network(training *t, cli_progress *progress, size_t *done) {
  size_t batch = (size_t)t->o->batch;
  sample *warped = cli_alloc(batch, sizeof *warped);
  double *gradient = cli_alloc(t->output_count, sizeof *gradient), loss = 0;
  vertex *room = cli_alloc(batch * t->vertex_count, sizeof *room);
  for (size_t i = 0; i < batch; i++) warped[i].vertices = room + i * t->vertex_count;
  net_prepare(&t->net, t->cp, batch);
  optimizer_init(&t->opt, &t->net);
  t->opt.weight_decay = t->o->weight_decay;
  t->opt.average = 0.998;
  t->dy = real_alloc(batch * value_stride(t->output_count));
  for (int step = 0; step < t->o->steps && !cli_interrupted(); step++) {
    double l = train_step(t, step, warped, gradient);
    if (step >= t->o->steps - t->o->steps / 10) loss += l / (t->o->steps / 10);
    if (++*done % 50 == 0 && !t->o->quiet) cli_progress_show(progress, *done, NULL);
  }
  free(room);
  free(gradient);
  free(warped);
  return loss;
}

static void free_training(training *t) {
  for (size_t i = 0; i < t->sample_count; i++) free(t->samples[i].vertices);
  free(t->samples);
  net_free(&t->net);
  optimizer_free(&t->opt);
  free(t->dy);
  memset(t, 0, sizeof *t);
}

/* ---- all networks ---- */

typedef struct plan {
  shape_use *uses;     /* of the template's shapes */
  uint32_t *originals; /* the shape for which a network was made */
  uint32_t shape_count, network_count;
} plan;

/* A vertex that is no landmark hangs in the air: how thick a brow is depends on how the head is turned, which its own lower edge
 * hardly tells.  So a shape with such vertices also sees all other landmarks, unless too many frames lack one. */
static void add_context(const dataset *ds, int skip_shot, const roto_shape *shape, shape_use *u) {
  size_t frames = count_frames(ds, skip_shot, shape, u);
  uint32_t own = u->landmark_count, places = 0;
  for (uint32_t i = 0; i < shape->vertex_count; i++) places += shape->vertices[i] < 0;
  for (uint32_t l = 0; l < ds->landmark_count && places > 0; l++) {
    uint32_t k = 0;
    while (k < own && u->landmarks[k] != l) k++;
    if (k == own && u->landmark_count < MAX_LANDMARKS) u->landmarks[u->landmark_count++] = l;
  }
  if (2 * count_frames(ds, skip_shot, shape, u) < frames) u->landmark_count = own;
}

static void make_plan(const shape_options *o, const roto_model *model, const dataset *ds, int skip_shot, plan *p) {
  p->shape_count = roto_get_info(model)->shape_count;
  p->uses = cli_alloc(p->shape_count + 1, sizeof *p->uses);
  p->originals = cli_alloc(p->shape_count + 1, sizeof *p->originals);
  for (uint32_t i = 0; i < p->shape_count; i++) {
    shape_use *u = &p->uses[i];
    roto_shape shape, other;
    roto_get_shape(model, i, &shape);
    u->network = ROTO_NONE;
    order_landmarks(ds, skip_shot, &shape, u);
    add_context(ds, skip_shot, &shape, u);
    int fits = u->landmark_count >= 2 && shape.vertex_count <= MAX_VERTICES && shape.vertex_count >= 2;
    if (!fits || count_frames(ds, skip_shot, &shape, u) < LEAST_FRAMES) {
      if (!o->quiet) printf("shape %s is not trained: expected %d frames or more that show it\n", shape.name, LEAST_FRAMES);
      continue;
    }
    for (uint32_t k = 0; k < p->network_count && !o->no_share && u->network == ROTO_NONE; k++) {
      roto_get_shape(model, p->originals[k], &other);
      if (!find_mirror(model, &other, &shape, u)) continue;
      const shape_use *twin = &p->uses[p->originals[k]];
      u->network = k;
      u->mirrored = 1;
      u->landmark_count = twin->landmark_count;
      for (uint32_t n = 0; n < u->landmark_count; n++) {
        roto_landmark landmark;
        roto_get_landmark(model, twin->landmarks[n], &landmark);
        u->landmarks[n] = landmark.flip;
      }
    }
    if (u->network != ROTO_NONE) continue;
    u->network = p->network_count;
    p->originals[p->network_count++] = i;
  }
}

/* The layers of a trained network as the file has them. */
static float *network_floats(const training *t) {
  size_t count = 0;
  for (uint32_t i = 0; i < t->net.param_count; i++) count += t->net.params[i].count;
  float *floats = cli_alloc(count, sizeof *floats);
  count = 0;
  for (uint32_t i = 0; i < t->net.param_count; i++) {
    const net_param *p = &t->net.params[i];
    for (size_t k = 0; k < p->count; k++) floats[count++] = (float)t->opt.averaged[p->offset + k];
  }
  return floats;
}

/* What the trainer's own pass draws through the landmarks of the model's self-test, in units of the crop. */
static float *answer_test(training *t, const roto_shape *shape, const shape_use *u, const float *points, uint32_t floats) {
  float *test = cli_alloc(6 * (size_t)t->vertex_count, sizeof *test);
  sample s;
  double sign = u->mirrored ? -1 : 1;
  memset(&s, 0, sizeof s);
  s.vertices = cli_alloc(t->vertex_count, sizeof *s.vertices);
  for (uint32_t i = 0; i < t->landmark_count; i++) {
    s.landmarks[i][0] = sign * (double)points[floats * u->landmarks[i]];
    s.landmarks[i][1] = (double)points[floats * u->landmarks[i] + 1];
  }
  double ax = s.landmarks[0][0], ay = s.landmarks[0][1], dx = s.landmarks[1][0] - ax, dy = s.landmarks[1][1] - ay;
  if (!normalize(t, &s)) memset(s.landmarks, 0, sizeof s.landmarks), dx = dy = 0;
  fill_input(t, &s, t->net.outputs[0]);
  real *own = t->net.values;
  t->net.values = t->opt.averaged;
  const real *y = net_forward(&t->net, 0, 0);
  t->net.values = own;
  for (uint32_t i = 0; i < t->vertex_count; i++) {
    uint32_t v = turn(u, t->vertex_count, i);
    float *to = test + 6 * v;
    for (uint32_t side = 0; side < 2; side++) {
      const real *found = y + 2 * t->place_count + 4 * i + 2 * side;
      float *tangent = to + 2 + 2 * (u->reversed ? 1 - side : side);
      tangent[0] = (float)(sign * ((double)found[0] * dx - (double)found[1] * dy));
      tangent[1] = (float)((double)found[0] * dy + (double)found[1] * dx);
    }
    if (shape->vertices[v] >= 0) {
      to[0] = points[floats * (uint32_t)shape->vertices[v]];
      to[1] = points[floats * (uint32_t)shape->vertices[v] + 1];
    } else {
      const real *found = y + 2 * t->place_of[i];
      to[0] = (float)(sign * (ax + dx / 2 + (double)found[0] * dx - (double)found[1] * dy));
      to[1] = (float)(ay + dy / 2 + (double)found[0] * dy + (double)found[1] * dx);
    }
  }
  free(s.vertices);
  return test;
}

/* The landmarks that the self-test of a model expects, `floats` apart, for free(). */
static float *test_points(const unsigned char *file, uint32_t output_count) {
  size_t length;
  const unsigned char *chunk = roto_find_chunk(file, ROTO_CHUNK_TEST, &length);
  float *points = cli_alloc(output_count, sizeof *points);
  for (uint32_t i = 0; i < output_count; i++) {
    const unsigned char *b = chunk + ROTO_TEST_SIZE + 4 * (size_t)i;
    uint32_t bits = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    memcpy(&points[i], &bits, 4);
  }
  return points;
}

static void start_training(training *t, compute *cp, const shape_options *o, const roto_shape *shape, const shape_use *u) {
  memset(t, 0, sizeof *t);
  t->o = o;
  t->cp = cp;
  t->landmark_count = u->landmark_count;
  t->vertex_count = shape->vertex_count;
  t->closed = shape->closed;
  for (uint32_t i = 0; i < t->vertex_count; i++) t->place_of[i] = shape->vertices[i] < 0 ? (int)t->place_count++ : -1;
  for (uint32_t k = 0; k < t->landmark_count; k++)
    for (uint32_t i = 0; i < t->vertex_count; i++)
      if (shape->vertices[i] == (int32_t)u->landmarks[k]) t->own_count = k + 1;
  t->output_count = 2 * t->place_count + 4 * t->vertex_count;
}

int shape_train(compute *cp, const shape_options *o, const roto_model *model, const unsigned char *file, size_t file_size,
                const dataset *ds, int skip_shot, unsigned char **bytes, size_t *size, char *message) {
  const roto_info *info = roto_get_info(model);
  plan p = {0};
  cli_progress progress;
  size_t done = 0;
  *bytes = NULL;
  if (info->landmark_count != ds->landmark_count || info->shape_count == 0)
    return message_set(message,
                       "the model's template has %u landmarks and %u shapes, the data set %u landmarks; they must be of one "
                       "character, with shapes",
                       info->landmark_count, info->shape_count, ds->landmark_count);
  make_plan(o, model, ds, skip_shot, &p);
  roto_shape_net_desc *nets = cli_alloc(p.network_count + 1, sizeof *nets);
  roto_shape_use_desc *uses = cli_alloc(p.shape_count, sizeof *uses);
  float *points = test_points(file, info->output_count);
  if (!o->quiet) cli_progress_start(&progress, stdout, "training shapes", (size_t)o->steps * p.network_count);
  for (uint32_t k = 0; k < p.network_count && !cli_interrupted(); k++) {
    training t;
    roto_shape shape;
    roto_get_shape(model, p.originals[k], &shape);
    start_training(&t, cp, o, &shape, &p.uses[p.originals[k]]);
    for (uint32_t i = 0; i < p.shape_count; i++) {
      if (p.uses[i].network != k) continue;
      roto_get_shape(model, i, &shape);
      add_samples(&t, ds, skip_shot, &shape, &p.uses[i], i);
      shape_use self = p.uses[i];
      if (i != p.originals[k] || o->no_share || !find_mirror(model, &shape, &shape, &self)) continue;
      self.mirrored = 1; /* a shape that is its own mirror image */
      for (uint32_t n = 0; n < self.landmark_count; n++) {
        roto_landmark landmark;
        roto_get_landmark(model, self.landmarks[n], &landmark);
        self.landmarks[n] = landmark.flip;
      }
      add_samples(&t, ds, skip_shot, &shape, &self, i);
    }
    build_network(&t, rng_seed((uint64_t)o->seed, k, 0));
    start_at_mean(&t);
    double loss = train_network(&t, &progress, &done);
    nets[k].landmarks = t.landmark_count;
    nets[k].vertices = t.vertex_count;
    nets[k].places = t.place_count;
    nets[k].blocks = (uint32_t)o->blocks;
    nets[k].width = (uint32_t)o->width;
    nets[k].floats = network_floats(&t);
    for (uint32_t i = 0; i < p.shape_count; i++) {
      if (p.uses[i].network != k) continue;
      roto_get_shape(model, i, &shape);
      uses[i].test = answer_test(&t, &shape, &p.uses[i], points, info->output_count / info->landmark_count);
      if (!o->quiet)
        printf("shape %s: network %u of %zu parameters, %zu samples, loss %.4f\n", shape.name, k, net_parameter_count(&t.net),
               t.sample_count, loss);
    }
    free_training(&t);
  }
  if (!o->quiet) cli_progress_end(&progress);
  for (uint32_t i = 0; i < p.shape_count; i++) {
    uses[i].network = p.uses[i].network;
    uses[i].mirrored = p.uses[i].mirrored;
    uses[i].reversed = p.uses[i].reversed;
    uses[i].first = p.uses[i].first;
    uses[i].landmarks = p.uses[i].landmarks;
  }
  roto_shapes_desc desc = {nets, uses, p.network_count, p.shape_count};
  roto_status status = ROTO_ERR_ARGUMENT;
  if (p.network_count > 0 && !cli_interrupted()) status = roto_write_shapes(file, file_size, &desc, bytes, size);
  int result = 0;
  if (cli_interrupted())
    result = message_set(message, "interrupted; nothing is written");
  else if (p.network_count == 0)
    result =
        message_set(message, "no shape of the template is shown by %d frames or more; nothing can be trained", LEAST_FRAMES);
  else if (status != ROTO_OK)
    result = message_set(message, "the model cannot be written: %s", roto_status_text(status));
  for (uint32_t k = 0; k < p.network_count; k++) free((void *)(uintptr_t)nets[k].floats);
  for (uint32_t i = 0; i < p.shape_count; i++) free((void *)(uintptr_t)uses[i].test);
  free(nets);
  free(uses);
  free(points);
  free(p.uses);
  free(p.originals);
  return result;
}

/* ---- the command ---- */

int shape_model_main(int argc, char **argv) {
  shape_options o = shape_defaults();
  const char *output = NULL, *landmarks = NULL, *held_out = NULL, *validation = NULL;
  int threads = cli_default_threads();
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"-o", CLI_STRING, &output, "FILE", "model to write"},
      {"--landmarks", CLI_STRING, &landmarks, "FILE", "landmark model that gets the shapes (default: the file of -o itself)"},
      {"--hold-out", CLI_STRING, &held_out, "SHOT", "do not train on this shot of DATA, measure on it"},
      {"--validation", CLI_STRING, &validation, "DIR", "shots to measure on"},
      {"--blocks", CLI_INTEGER, &o.blocks, "N", "blocks of a network (default 2)"},
      {"--width", CLI_INTEGER, &o.width, "N", "results of its layers, a multiple of 16 (default 32)"},
      {"--steps", CLI_INTEGER, &o.steps, "N", "training steps of a network (default 2000)"},
      {"--batch", CLI_INTEGER, &o.batch, "N", "samples a step (default 64)"},
      {"--rate", CLI_NUMBER, &o.rate, "R", "highest learning rate (default 2e-3)"},
      {"--decay", CLI_NUMBER, &o.weight_decay, "W", "AdamW's weight decay (default 0.01)"},
      {"--gamma", CLI_NUMBER, &o.gamma, "G", "weight of the L1 loss (default 1)"},
      {"--curve", CLI_NUMBER, &o.curve, "W", "weight of the distance between the curves (default 10)"},
      {"--slides", CLI_INTEGER, &o.slides, "N", "copies of each shape with its landmarks slid along it (default 1)"},
      {"--warp", CLI_NUMBER, &o.warp, "W", "size of the warps (default 0.02)"},
      {"--noise", CLI_NUMBER, &o.noise, "N", "error of other shapes' landmarks, in units of the shape (default 0.01)"},
      {"--no-share", CLI_FLAG, &o.no_share, NULL, "a network for each shape, even if two mirror each other"},
      {"--seed", CLI_INTEGER, &o.seed, "N", "of weights and augmentation (default 1)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all allowed)"},
      {"--quiet", CLI_FLAG, &o.quiet, NULL, "print nothing but errors and what was measured"},
  };
  const cli_command command = {"roto-train shapes",
                               "DATA -o MODEL.roto [--landmarks MODEL.roto]",
                               "Train the networks that draw the template's shapes through its landmarks, and add them to a "
                               "landmark model, which stays as it is otherwise.",
                               "roto-train shapes shots --landmarks landmarks.roto -o puppet.roto",
                               options,
                               sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one folder of shots");
  if (output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  if (o.blocks < 1 || o.blocks > (int)ROTO_MAX_SHAPE_BLOCKS)
    cli_usage(&command, "--blocks must be 1 to %u", ROTO_MAX_SHAPE_BLOCKS);
  if (o.width < 16 || o.width % 16 != 0 || o.width > (int)ROTO_MAX_SHAPE_WIDTH)
    cli_usage(&command, "--width must be a multiple of 16 up to %u", ROTO_MAX_SHAPE_WIDTH);
  if (o.steps < 10 || o.batch < 1 || !(o.rate > 0))
    cli_usage(&command, "--steps must be at least 10, --batch 1, --rate positive");
  if (o.slides < 0 || o.slides > 63) cli_usage(&command, "--slides must be 0 to 63");

  model_file file;
  character ch;
  dataset ds, other = {0};
  int skip = -1;
  if (model_open(landmarks != NULL ? landmarks : output, ROTO_ISA_AUTO, &file, message) != 0)
    cli_fail(EXIT_MODEL, "%s%s", message,
             landmarks != NULL ? "" : "; shapes are added to a landmark model: name one with --landmarks, or train it first");
  if (character_from_model(file.model, &ch, message) != 0) cli_fail(EXIT_MODEL, "%s", message);
  if (dataset_load(argv[0], &ch, &ds, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (validation != NULL && dataset_load(validation, &ch, &other, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  for (size_t i = 0; held_out != NULL && i < ds.shot_count; i++)
    if (strcmp(ds.shots[i], held_out) == 0) skip = (int)i;
  if (held_out != NULL && skip < 0) cli_fail(EXIT_USAGE, "--hold-out %s: %s has no such shot", held_out, argv[0]);

  unsigned char *bytes;
  size_t size;
  double start = cli_seconds();
  compute *cp = compute_create(threads, ROTO_ISA_AUTO);
  cli_catch_signals();
  if (shape_train(cp, &o, file.model, file.data, file.size, &ds, skip, &bytes, &size, message) != 0)
    cli_fail(cli_interrupted() ? cli_interrupted() : EXIT_FAILED, "%s", message);
  roto_model *made;
  roto_error error = {0};
  roto_options open_options = {0};
  open_options.error = &error;
  roto_status status = roto_open(bytes, size, &open_options, &made);
  if (status != ROTO_OK)
    cli_fail(EXIT_FAILED, "the runtime refuses the model: %s (rule %u)", roto_status_text(status), error.rule);
  if (file_write(output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  if (!o.quiet) printf("wrote %s (%.2f MB) after %.1f s\n", output, (double)size / 1e6, cli_seconds() - start);

  /* Shapes through the true landmarks of frames that were not trained on. */
  for (int k = 0; k < 2; k++) {
    const dataset *on = k ? &other : &ds;
    shape_metrics m;
    if (k ? validation == NULL : skip < 0) continue;
    float *points = cli_alloc(on->frame_count * on->landmark_count * 2, sizeof *points);
    for (size_t i = 0; i < on->frame_count; i++) {
      memcpy(points + i * on->landmark_count * 2, on->frames[i].points, on->landmark_count * 2 * sizeof *points);
      for (uint32_t n = 0; n < on->landmark_count; n++)
        if (!on->frames[i].valid[n] && !on->frames[i].hidden[n]) points[(i * on->landmark_count + n) * 2] = NAN;
      if (k == 0 && (int)on->frames[i].shot != skip) points[i * on->landmark_count * 2] = NAN;
    }
    if (shape_metrics_init(&m, &ch) != 0 || shape_metrics_model(&m, made, &ch, on, points, message) != 0)
      cli_fail(EXIT_FAILED, "%s", message);
    shape_metrics_finish(&m);
    printf("%s, from true landmarks:\n", k ? validation : held_out);
    shape_metrics_print(stdout, &m);
    shape_metrics_free(&m);
    free(points);
  }
  free(bytes);
  roto_close(made);
  compute_free(cp);
  dataset_free(&ds);
  dataset_free(&other);
  character_free(&ch);
  model_close(&file);
  return EXIT_DONE;
}
