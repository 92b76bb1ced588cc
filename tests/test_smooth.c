/* Optical flow against textures that were moved by a known amount under flickering light, and de-jitter against simulated shots
 * whose truth is known: held poses, animation on twos, pops, wrong detections, flow that fails. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../roto.h"

#include <math.h>

#include "../trainer/rng.h"
#include "check.h"

/* ---- flow ---- */

enum { WIDTH = 320, HEIGHT = 240, WAVES = 60 };

typedef struct texture {
  double fx[WAVES], fy[WAVES], phase[WAVES], size[WAVES];
} texture;

static void make_texture(texture *t, rng *r) {
  for (int i = 0; i < WAVES; ++i) {
    double length = 4 * pow(16, (double)rng_uniform(r)), angle = 6.283185307 * (double)rng_uniform(r); /* 4 to 64 pixels */
    t->fx[i] = 6.283185307 / length * cos(angle);
    t->fy[i] = 6.283185307 / length * sin(angle);
    t->phase[i] = 6.283185307 * (double)rng_uniform(r);
    t->size[i] = sqrt(length) / 8;
  }
}

/* The texture moved by (dx, dy), its light times gain plus bias, with noise. */
static void draw(const texture *t, double dx, double dy, double gain, double bias, double noise, rng *r, float *out) {
  for (int y = 0; y < HEIGHT; ++y)
    for (int x = 0; x < WIDTH; ++x) {
      double v = 0;
      for (int i = 0; i < WAVES; ++i)
        v += t->size[i] * sin(t->fx[i] * (x + 0.5 - dx) + t->fy[i] * (y + 0.5 - dy) + t->phase[i]);
      v = gain * (0.5 + 0.06 * v) + bias + noise * (double)rng_normal(r);
      for (int c = 0; c < 3; ++c) out[(y * WIDTH + x) * 3 + c] = (float)v;
    }
}

static roto_pyramid *pyramid_of(const float *pixels) {
  roto_image image = {pixels, WIDTH, HEIGHT, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_SRGB, 0};
  roto_rect region = {0, 0, WIDTH, HEIGHT};
  roto_pyramid *p = NULL;
  CHECK(roto_pyramid_create(&image, region, 0, NULL, &p) == ROTO_OK && p);
  return p;
}

static void flow_follows_textures(void) {
  enum { POINTS = 35 };
  static float first[WIDTH * HEIGHT * 3], second[WIDTH * HEIGHT * 3];
  static const double moves[][2] = {{0, 0}, {0.3, -0.45}, {2.25, 1.5}, {-6.5, 3.75}, {11.2, -9.6}};
  static const double lights[][2] = {{1, 0}, {0.7, 0.05}, {1.3, -0.1}};
  float points[POINTS][2];
  roto_flow flows[POINTS];
  rng r = {4};
  texture t;
  make_texture(&t, &r);
  for (int i = 0; i < POINTS; ++i) points[i][0] = 70.3f + 30 * (float)(i % 7), points[i][1] = 60.8f + 28 * (float)(i / 7);
  for (int m = 0; m < 5; ++m) {
    double dx = moves[m][0], dy = moves[m][1], sum = 0, expected = 0, worst = 0;
    int light = m % 3;
    draw(&t, 0, 0, 1, 0, 0.01, &r, first);
    draw(&t, dx, dy, lights[light][0], lights[light][1], 0.01, &r, second);
    roto_pyramid *a = pyramid_of(first), *b = pyramid_of(second);
    CHECK(roto_find_flow(a, b, (const float(*)[2])points, NULL, POINTS, flows) == ROTO_OK);
    for (int i = 0; i < POINTS; ++i) {
      double ex = (double)(flows[i].x - points[i][0]) - dx, ey = (double)(flows[i].y - points[i][1]) - dy;
      CHECK(flows[i].found && flows[i].residual < 0.7f);
      sum += ex * ex + ey * ey;
      expected += (double)(flows[i].covariance[0] + flows[i].covariance[2]);
      worst = fmax(worst, hypot(ex, ey));
    }
    double error = sqrt(sum / POINTS), ratio = sum / expected;
    printf("flow of (%g, %g), light * %g + %g: RMS error %.4f px, worst %.4f, squared error over its expectation %.2f\n", dx,
           dy, lights[light][0], lights[light][1], error, worst, ratio);
    CHECK(error < 0.06 && worst < 0.2, "RMS %g, worst %g", error, worst);
    CHECK(ratio > 0.1 && ratio < 4, "squared error over its expectation: %g", ratio);
    roto_pyramid_free(a);
    roto_pyramid_free(b);
  }
}

static void flow_knows_what_it_cannot_see(void) {
  static float first[WIDTH * HEIGHT * 3], second[WIDTH * HEIGHT * 3];
  float points[3][2] = {{160, 40}, {160.5f, 120}, {2, 2}}; /* on a plain, on a vertical edge, in the corner */
  roto_flow f[3];
  rng r = {8};
  for (int y = 0; y < HEIGHT; ++y)
    for (int x = 0; x < WIDTH; ++x)
      for (int c = 0; c < 3; ++c) {
        double edge = y < 70 ? 0.5 : 0.5 + 0.3 * tanh((x - 160) / 2.0),
               moved = y < 70 ? 0.5 : 0.5 + 0.3 * tanh((x - 161) / 2.0);
        first[(y * WIDTH + x) * 3 + c] = (float)(edge + 1e-4 * (double)rng_normal(&r));
        second[(y * WIDTH + x) * 3 + c] = (float)(moved + 1e-4 * (double)rng_normal(&r));
      }
  roto_pyramid *a = pyramid_of(first), *b = pyramid_of(second);
  CHECK(roto_find_flow(a, b, (const float(*)[2])points, NULL, 3, f) == ROTO_OK);
  CHECK(!f[0].found && f[1].found && !f[2].found);
  CHECK(fabs((double)f[1].x - 161.5) < 0.05 && f[1].covariance[2] > 100 * f[1].covariance[0], "x %g, covariance %g %g",
        (double)f[1].x, (double)f[1].covariance[0], (double)f[1].covariance[2]);
  CHECK(fabs((double)f[1].y - 120) < 1);
  roto_image none = {NULL, 0, 0, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_SRGB, 0};
  roto_rect region = {0, 0, 10, 10}, empty = {0, 0, 0, 10};
  roto_image image = {first, WIDTH, HEIGHT, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_SRGB, 0};
  roto_pyramid *p;
  CHECK(roto_pyramid_create(&none, region, 0, NULL, &p) == ROTO_ERR_ARGUMENT && !p);
  CHECK(roto_pyramid_create(&image, empty, 0, NULL, &p) == ROTO_ERR_ARGUMENT && !p);
  CHECK(roto_pyramid_create(&image, region, 0, NULL, &p) == ROTO_OK); /* smaller than a patch */
  CHECK(roto_find_flow(p, b, (const float(*)[2])points, NULL, 3, f) == ROTO_OK && !f[1].found);
  CHECK(roto_find_flow(NULL, b, (const float(*)[2])points, NULL, 3, f) == ROTO_ERR_ARGUMENT);
  roto_pyramid_free(p);
  roto_pyramid_free(a);
  roto_pyramid_free(b);
}

/* ---- smoothing ---- */

enum { FRAMES = 240, TRACKS = 30 };

typedef struct track {
  double x[FRAMES], y[FRAMES];
  unsigned char held[FRAMES], jumps[FRAMES]; /* the truth stays, or leaps by 5 pixels or more, from the frame before */
  roto_observation z[FRAMES];
  roto_link links[FRAMES];
} track;

/* Head motion held on twos, still stretches, pops; detections with noise, slow bias and outliers; flow with noise, a share of the
 * motion missed, and failures where there is motion, most of them known. */
static void simulate(track *k, rng *r, int hold) {
  double vx = 0, vy = 0, bias_x = 0, bias_y = 0;
  memset(k, 0, sizeof *k);
  for (int t = 0; t < FRAMES; ++t) {
    int still = t / 40 % 3 == 2, moves = t % hold == 0 && !still, pops = t % 37 == 36;
    k->x[t] = t ? k->x[t - 1] : 400, k->y[t] = t ? k->y[t - 1] : 300;
    vx = 0.9 * vx + 0.8 * (double)rng_normal(r), vy = 0.9 * vy + 0.8 * (double)rng_normal(r);
    if (t && moves) k->x[t] += vx * hold, k->y[t] += vy * hold;
    if (pops) k->x[t] += 6, k->y[t] -= 5;
    k->held[t] = t && !moves && !pops;
    k->jumps[t] = (unsigned char)pops;
    bias_x = 0.97 * bias_x + 0.12 * (double)rng_normal(r), bias_y = 0.97 * bias_y + 0.12 * (double)rng_normal(r);
    int outlier = rng_chance(r, 0.02f);
    k->z[t].x = (float)(k->x[t] + bias_x + 0.8 * (double)rng_normal(r) + (outlier ? 12 : 0));
    k->z[t].y = (float)(k->y[t] + bias_y + 0.8 * (double)rng_normal(r));
    k->z[t].error = 1;
    if (!t) continue;
    double dx = k->x[t] - k->x[t - 1], dy = k->y[t] - k->y[t - 1];
    int fails = !k->held[t] && rng_chance(r, 0.1f), known = rng_chance(r, 0.8f); /* a picture that stays cannot be missed */
    k->links[t - 1].x = (float)((fails ? 0 : 0.97 * dx) + 0.05 * (double)rng_normal(r));
    k->links[t - 1].y = (float)((fails ? 0 : 0.97 * dy) + 0.05 * (double)rng_normal(r));
    k->links[t - 1].error = fails && known ? 0 : (float)(0.1 + 0.05 * hypot(dx, dy));
  }
}

typedef struct score {
  double rmse, jitter, held, amplitude; /* held: RMS change where the truth stays; amplitude: mean share of the jumps */
} score;

static score judge(const track *k, const roto_smoothed *s) {
  double sum = 0, change = 0, held = 0, amplitude = 0;
  int held_count = 0, jumps = 0;
  for (int t = 0; t < FRAMES; ++t) {
    double ex = (double)s[t].x - k->x[t], ey = (double)s[t].y - k->y[t];
    sum += ex * ex + ey * ey;
    if (!t) continue;
    double cx = ex - ((double)s[t - 1].x - k->x[t - 1]), cy = ey - ((double)s[t - 1].y - k->y[t - 1]), c = cx * cx + cy * cy;
    change += c;
    if (k->held[t]) held += c, ++held_count;
    if (k->jumps[t]) {
      double dx = k->x[t] - k->x[t - 1], dy = k->y[t] - k->y[t - 1];
      amplitude += ((double)(s[t].x - s[t - 1].x) * dx + (double)(s[t].y - s[t - 1].y) * dy) / (dx * dx + dy * dy);
      ++jumps;
    }
  }
  score r = {sqrt(sum / FRAMES), sqrt(change / (FRAMES - 1)), sqrt(held / held_count), amplitude / jumps};
  return r;
}

static void smoothing_holds_still_and_jumps(void) {
  static track k;
  roto_smoothed out[FRAMES];
  for (int hold = 1; hold <= 2; ++hold) {
    score mean[3];
    memset(mean, 0, sizeof mean);
    rng r = {100 + (uint64_t)hold};
    for (int i = 0; i < TRACKS; ++i) {
      simulate(&k, &r, hold);
      for (int mode = 0; mode < 3; ++mode) { /* raw, causal, full */
        for (int t = 0; t < FRAMES; ++t) out[t].x = k.z[t].x, out[t].y = k.z[t].y;
        if (mode) CHECK(roto_smooth(k.z, k.links, FRAMES, mode == 1, NULL, out) == ROTO_OK);
        score s = judge(&k, out);
        mean[mode].rmse += s.rmse / TRACKS, mean[mode].jitter += s.jitter / TRACKS;
        mean[mode].held += s.held / TRACKS, mean[mode].amplitude += s.amplitude / TRACKS;
      }
    }
    static const char *const names[3] = {"raw", "causal", "full"};
    for (int mode = 0; mode < 3; ++mode)
      printf("on %s, %-6s RMSE %.3f, jitter %.3f, held poses %.3f, jumps keep %.1f %%\n", hold == 1 ? "ones" : "twos",
             names[mode], mean[mode].rmse, mean[mode].jitter, mean[mode].held, 100 * mean[mode].amplitude);
    CHECK(mean[2].rmse < 0.7 * mean[0].rmse && mean[2].jitter < 0.5 * mean[0].jitter && mean[2].held < 0.15);
    CHECK(mean[2].amplitude > 0.95 && mean[2].amplitude < 1.05);
    CHECK(mean[1].rmse < 0.8 * mean[0].rmse && mean[1].jitter < 0.5 * mean[0].jitter && mean[1].amplitude > 0.9);
  }
}

static void smoothing_obeys(void) {
  roto_observation z[20];
  roto_link links[20];
  roto_smoothed out[20], again[20];
  memset(z, 0, sizeof z);
  memset(links, 0, sizeof links);
  /* A cut: two places, no link between them; nothing passes. */
  for (int t = 0; t < 20; ++t) {
    z[t].x = (t < 10 ? 100.0f : 300.0f) + (t & 1 ? 0.5f : -0.5f), z[t].y = 50, z[t].error = 1;
    links[t].error = t == 9 ? 0 : 0.05f;
  }
  CHECK(roto_smooth(z, links, 20, 0, NULL, out) == ROTO_OK);
  for (int t = 0; t < 20; ++t) CHECK(fabs((double)out[t].x - (t < 10 ? 100 : 300)) < 0.1, "%d: %g", t, (double)out[t].x);
  CHECK(out[5].error < 0.5f && out[5].error > 0.2f);
  memcpy(again, out, sizeof out);
  z[15].x = 310;
  CHECK(roto_smooth(z, links, 20, 0, NULL, out) == ROTO_OK && !memcmp(out, again, 10 * sizeof *out));
  /* An artist's point stays where it is and pulls its neighbours, the nearer the more. */
  z[15].x = 304, z[15].fixed = 1;
  CHECK(roto_smooth(z, links, 20, 0, NULL, out) == ROTO_OK);
  CHECK(out[15].x == 304 && out[15].y == 50 && out[15].error < 1e-3f);
  CHECK(out[16].x > 303.5f && out[14].x > 303.5f && out[14].x > out[10].x && fabs((double)out[5].x - 100) < 0.1);
  /* Causal: frames before a change do not know of it. */
  CHECK(roto_smooth(z, links, 20, 1, NULL, again) == ROTO_OK);
  z[17].x = 320;
  CHECK(roto_smooth(z, links, 20, 1, NULL, out) == ROTO_OK && !memcmp(out, again, 17 * sizeof *out));
  CHECK(again[15].x == 304 && again[16].x > 303.5f);
  /* What is hidden follows the flow. */
  for (int t = 0; t < 10; ++t) links[t].x = 2, z[t].x = 100 + 2 * (float)t;
  for (int t = 4; t < 7; ++t) z[t].error = 0, z[t].x = 0;
  for (int causal = 0; causal < 2; ++causal) {
    CHECK(roto_smooth(z, links, 10, causal, NULL, out) == ROTO_OK);
    CHECK(fabs((double)out[5].x - 110) < 0.01, "%g", (double)out[5].x);
  }
  /* Nothing known at all: the places come back, and say so. */
  for (int t = 0; t < 20; ++t) z[t].error = 0, z[t].fixed = 0, links[t].error = 0;
  CHECK(roto_smooth(z, links, 20, 0, NULL, out) == ROTO_OK);
  for (int t = 0; t < 20; ++t) CHECK(fabs((double)(out[t].x - z[t].x)) < 1e-4 && out[t].error == -1);
  CHECK(roto_smooth(z, NULL, 1, 0, NULL, out) == ROTO_OK && roto_smooth(NULL, NULL, 0, 0, NULL, NULL) == ROTO_OK);
  CHECK(roto_smooth(z, NULL, 2, 0, NULL, out) == ROTO_ERR_ARGUMENT);
  z[3].x = NAN;
  CHECK(roto_smooth(z, links, 20, 0, NULL, out) == ROTO_ERR_ARGUMENT);
}

int main(void) {
  flow_follows_textures();
  flow_knows_what_it_cannot_see();
  smoothing_holds_still_and_jumps();
  smoothing_obeys();
  return check_end("test_smooth");
}
