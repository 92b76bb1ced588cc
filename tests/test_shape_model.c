/* What shape networks are trained and judged by: the loss against finite differences, warps and slides against what they must
 * leave alone, intersection over union and contour distance against shapes whose answers are known. */

#include "../trainer/shape_model.c"

#include "check.h"

/* A closed shape of four vertices, the second and fourth predicted, through landmarks 0 and 1. */
static const int32_t lens_vertices[] = {0, -1, 1, -1};
static const roto_shape lens = {"lens", 1, 4, lens_vertices};
static const roto_vertex lens_drawn[] = {
    {10, 30, 2, 6, 2, -6, 0}, {40, 15, -12, 1, 12, -1, 0}, {70, 31, -3, -6, -3, 6, 0}, {40, 45, 12, 0, -12, 0, 0}};

static void begin_lens(training *t, const shape_options *o) {
  static const float points[] = {10, 30, 70, 31};
  shape_use u = {0, 0, 0, 0, 2, {0, 1}};
  start_training(t, NULL, o, &lens, &u);
  add_sample(t, &lens, &u, lens_drawn, points, 1);
}

static void end_lens(training *t) {
  for (size_t i = 0; i < t->sample_count; i++) free(t->samples[i].vertices);
  free(t->samples);
}

static void samples_stand_in_their_frame(void) {
  shape_options o = shape_defaults();
  training t;
  vertex room[4];
  sample warped = {0};
  rng r = {3};
  begin_lens(&t, &o);
  CHECK(t.sample_count == 1 && t.place_count == 2 && t.output_count == 20 && t.own_count == 2);
  warped.vertices = room;
  CHECK(warp_sample(&t, &t.samples[0], &r, &warped));
  const sample *both[2] = {&t.samples[0], &warped};
  for (int i = 0; i < 2; i++) {
    CHECK(hypot(both[i]->landmarks[0][0] + 0.5, both[i]->landmarks[0][1]) < 1e-12);
    CHECK(hypot(both[i]->landmarks[1][0] - 0.5, both[i]->landmarks[1][1]) < 1e-12);
    CHECK(hypot(both[i]->vertices[2].place[0] - 0.5, both[i]->vertices[2].place[1]) < 1e-12);
  }
  CHECK(fabs(t.samples[0].vertices[1].place[1] + 15.5 / hypot(60, 1)) < 1e-3); /* the upper place: above the line */
  CHECK(hypot(room[1].place[0] - t.samples[0].vertices[1].place[0], room[1].place[1] - t.samples[0].vertices[1].place[1]) >
        1e-4);
  end_lens(&t);
}

static void loss_has_its_gradient(void) {
  shape_options o = shape_defaults();
  training t;
  real y[20];
  double gradient[20], unused[20];
  rng r = {5};
  begin_lens(&t, &o);
  for (int i = 0; i < 20; i++) y[i] = rng_range(&r, -1, 1);
  double loss = sample_loss(&t, &t.samples[0], y, gradient);
  CHECK(loss > 0);
  for (int i = 0; i < 20; i++) {
    const real at = y[i], step = 1e-3f;
    y[i] = at + step;
    double above = sample_loss(&t, &t.samples[0], y, unused), high = (double)y[i];
    y[i] = at - step;
    double found = (above - sample_loss(&t, &t.samples[0], y, unused)) / (high - (double)y[i]);
    y[i] = at;
    CHECK(fabs(found - gradient[i]) < 2e-3 * (1 + fabs(found)), "output %d: %g by differences, %g", i, found, gradient[i]);
  }
  /* The truth has no loss. */
  for (uint32_t i = 0; i < 4; i++)
    for (int k = 0; k < 2; k++) {
      const vertex *v = &t.samples[0].vertices[i];
      y[4 + 4 * i + (uint32_t)k] = (real)v->in[k];
      y[6 + 4 * i + (uint32_t)k] = (real)v->out[k];
      if (t.place_of[i] >= 0) y[2 * t.place_of[i] + k] = (real)v->place[k];
    }
  CHECK(sample_loss(&t, &t.samples[0], y, gradient) < 1e-3);
  end_lens(&t);
}

/* A circle by four cubics, known to stay within 0.03 % of its radius. */
static void make_circle(double x, double y, double radius, roto_vertex v[4]) {
  const double k = 0.5519150244935106 * radius;
  const roto_vertex circle[4] = {{x + radius, y, 0, -k, 0, k, 0},
                                 {x, y + radius, k, 0, -k, 0, 0},
                                 {x - radius, y, 0, k, 0, -k, 0},
                                 {x, y - radius, -k, 0, k, 0, 0}};
  memcpy(v, circle, sizeof circle);
}

static void slides_keep_the_contour(void) {
  static const int32_t vertices[] = {0, 1, 2, 3};
  const roto_shape ring = {"ring", 1, 4, vertices};
  const shape_use u = {0, 0, 0, 0, 4, {0, 2, 1, 3}};
  roto_vertex circle[4];
  int moved = 0;
  make_circle(50, 40, 20, circle);
  for (uint64_t seed = 1; seed <= 10; seed++) {
    rng r = {seed};
    roto_vertex slid[4] = {{0, 0, 0, 0, 0, 0, 0}};
    roto_path path = {slid, 4, 1};
    double worst = 0;
    CHECK(slide(&ring, &u, circle, &r, slid));
    CHECK(hypot(slid[0].x - circle[0].x, slid[0].y - circle[0].y) < 1e-9); /* the extremes stay */
    CHECK(hypot(slid[2].x - circle[2].x, slid[2].y - circle[2].y) < 1e-9);
    moved += hypot(slid[1].x - circle[1].x, slid[1].y - circle[1].y) > 0.5;
    for (uint32_t i = 0; i < 4; i++)
      for (int k = 0; k <= 8; k++) {
        roto_cubic c = roto_path_segment(&path, i);
        double p[2];
        roto_cubic_at(&c, k / 8.0, p);
        worst = fmax(worst, fabs(hypot(p[0] - 50, p[1] - 40) - 20));
      }
    CHECK(worst < 0.1, "a slid circle is off by %g", worst);
  }
  CHECK(moved >= 5);
}

static void figures_are_right(void) {
  static roto_shape shapes[2] = {{"ring", 1, 4, NULL}, {"line", 0, 2, NULL}};
  character ch = {0};
  shape_metrics m;
  roto_vertex a[4], b[4];
  roto_path found = {a, 4, 1}, truth = {b, 4, 1};
  double iou, distance;
  ch.shapes = shapes;
  ch.shape_count = 2;
  CHECK(shape_metrics_init(&m, &ch) == 0);
  make_circle(50.3, 40.7, 20, a);
  make_circle(50.3, 40.7, 20, b);
  CHECK(shape_metrics_add(&m, 0, &found, &truth, &iou, &distance) == 0 && iou > 1 - 1e-4 && distance < 1e-6);
  make_circle(50.3, 40.7, 18, a); /* one inside the other: the ratio of their areas, and everywhere 2 apart */
  CHECK(shape_metrics_add(&m, 0, &found, &truth, &iou, &distance) == 0);
  CHECK(fabs(iou - 0.81) < 1e-3 && fabs(distance - 2) < 0.02, "IoU %g, distance %g", iou, distance);
  make_circle(150, 40, 20, a); /* apart */
  CHECK(shape_metrics_add(&m, 0, &found, &truth, &iou, NULL) == 0 && iou < 1e-6);
  const roto_vertex low[2] = {{0, 0, 0, 0, 0, 0, 0}, {100, 0, 0, 0, 0, 0, 0}},
                    high[2] = {{0, 3, 0, 0, 0, 0, 0}, {100, 3, 0, 0, 0, 0, 0}};
  roto_path line = {low, 2, 0}, above = {high, 2, 0};
  CHECK(shape_metrics_add(&m, 1, &line, &above, NULL, &distance) == 0 && fabs(distance - 3) < 1e-6);
  shape_metrics_finish(&m);
  CHECK(m.shapes[0].frames == 3 && fabs(m.shapes[0].iou - (1 + 0.81 + 0) / 3) < 1e-3 && m.shapes[1].frames == 1);
  CHECK(m.contour_mean_px > 2 && m.contour_p95_px > 50);
  a[0].x = 1e7; /* beyond what can be drawn */
  CHECK(shape_metrics_add(&m, 0, &found, &truth, &iou, &distance) == -1);
  shape_metrics_free(&m);
}

int main(void) {
  samples_stand_in_their_frame();
  loss_has_its_gradient();
  slides_keep_the_contour();
  figures_are_right();
  return check_end("shape_model");
}
