/* The distribution of landmarks, from training to what it is for: faces that move in three ways, turned, scaled and moved; a
 * network that errs by chance, or in one landmark by far. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/whole_file.h"
#include "../trainer/distribution.h"
#include "../trainer/refine.h"
#include "../trainer/rng.h"
#include "fixed_model.h"

enum { POINTS = 12, SIDE = 400, SHOTS = 4, SHOT_FRAMES = 25, WAYS = 3, TESTED = 24 };

static const float still[POINTS][2] = {{-80, 0},   {-60, -12}, {-40, 0},  {40, 0},   {60, -12}, {80, 0},
                                       {-70, -40}, {-45, -48}, {45, -48}, {70, -40}, {0, 30},   {0, 70}};

/* A frame of `shot`: the ways are a brow, the other one, and how wide the face is; `odd` pixels of a way of this shot alone. */
static void face(rng *r, int shot, float odd, float points[POINTS][2]) {
  float way[WAYS], turn = rng_range(r, -0.4f, 0.4f), scale = rng_range(r, 0.8f, 1.2f), x = rng_range(r, 180, 220),
                   y = rng_range(r, 170, 210), own = odd * (float)rng_normal(r);
  for (int k = 0; k < WAYS; k++) way[k] = (float)rng_normal(r);
  for (int i = 0; i < POINTS; i++) {
    float u = still[i][0] * (1 + 0.1f * way[2]), v = still[i][1];
    if (i == 6 || i == 7) v += 8 * way[0];
    if (i == 8 || i == 9) v += 8 * way[1];
    if (i == shot % POINTS) v += own;
    u += 0.1f * (float)rng_normal(r), v += 0.1f * (float)rng_normal(r);
    points[i][0] = x + scale * (cosf(turn) * u - sinf(turn) * v);
    points[i][1] = y + scale * (sinf(turn) * u + cosf(turn) * v);
  }
}

static dataset faces(size_t frames, int shots, float odd) {
  dataset ds = {0};
  ds.landmark_count = POINTS;
  ds.frames = calloc(frames, sizeof *ds.frames);
  for (size_t i = 0; i < frames; i++, ds.frame_count++) {
    frame *f = &ds.frames[i];
    rng r = {rng_seed(11, i, 0)};
    f->shot = (uint32_t)(i * (size_t)shots / frames);
    f->points = malloc(2 * POINTS * sizeof *f->points);
    f->valid = malloc(POINTS);
    f->hidden = calloc(POINTS, 1);
    memset(f->valid, 1, POINTS);
    face(&r, (int)f->shot, odd, (float(*)[2])f->points);
    f->box = (roto_rect){100, 100, 160, 120};
    f->channels = 3;
  }
  ds.shot_count = (size_t)shots;
  return ds;
}

static void free_faces(dataset *ds) {
  for (size_t i = 0; i < ds->frame_count; i++) {
    free(ds->frames[i].points), free(ds->frames[i].valid), free(ds->frames[i].hidden);
  }
  free(ds->frames);
}

static unsigned char *plain, *trained;
static size_t plain_size, trained_size;

/* As `roto-train refine` does, which finds no contours: there is no shape. */
static unsigned char *train(const dataset *ds, int skip, size_t *size) {
  char message[MESSAGE_SIZE];
  unsigned char *bytes;
  roto_model *model;
  compute *cp = compute_create(1, ROTO_ISA_AUTO);
  CHECK(roto_open(plain, plain_size, NULL, &model) == ROTO_OK);
  CHECK(refine_train(cp, model, plain, plain_size, ds, skip, 1, &bytes, size, message) == 0);
  roto_close(model);
  compute_free(cp);
  return bytes;
}

static const float *chunk_of(const unsigned char *bytes, uint32_t *components, float *deviation) {
  static float floats[2 * POINTS * (1 + ROTO_MAX_COMPONENTS)];
  size_t length;
  const unsigned char *chunk = bytes ? roto_find_chunk(bytes, ROTO_CHUNK_DIST, &length) : NULL;
  *components = 0, *deviation = 0;
  if (!CHECK(chunk != NULL)) return floats;
  *components = (uint32_t)roto_load(chunk, 4);
  *deviation = roto_load_float(chunk + 4);
  for (size_t i = 0; i < 2 * POINTS * (1 + (size_t)*components); i++) floats[i] = roto_load_float(chunk + 16 + 4 * i);
  return floats;
}

/* Landmarks as a network finds them, and as they come out. */
static void look(const unsigned char *with, const float (*wrong)[2], float error, float aspect, roto_point *network,
                 roto_point *found) {
  static unsigned char grey[SIDE * SIDE * 3];
  roto_image image = {grey, aspect > 1 ? SIDE / 2 : SIDE, SIDE, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  size_t size, held_size;
  unsigned char *bytes = fixed_model(wrong, POINTS, NULL, SIDE, error, &size), *held;
  if (CHECK(roto_copy_chunk(bytes, size, with, ROTO_CHUNK_DIST, &held, &held_size) == ROTO_OK)) {
    if (network != NULL) fixed_find(held, held_size, &image, 1, aspect, network);
    fixed_find(held, held_size, &image, 0, aspect, found);
  }
  free(bytes);
  free(held);
}

static void a_distribution_is_learnt(void) {
  dataset ds = faces(SHOTS * SHOT_FRAMES, SHOTS, 0);
  uint32_t count, again;
  float deviation, other, low[2] = {1e9f, 1e9f}, high[2] = {-1e9f, -1e9f}, sum[2] = {0, 0};
  size_t size, again_size;
  trained = train(&ds, -1, &trained_size);
  const float *mean = chunk_of(trained, &count, &deviation);
  for (int i = 0; i < 2 * POINTS; i++)
    low[i % 2] = fminf(low[i % 2], mean[i]), high[i % 2] = fmaxf(high[i % 2], mean[i]), sum[i % 2] += mean[i];
  CHECK(fabsf(high[0] - low[0] - ROTO_CONTOUR_BOX) < 0.01f && high[1] - low[1] < ROTO_CONTOUR_BOX);
  CHECK(fabsf(sum[0]) < 0.1f && fabsf(sum[1]) < 0.1f);
  /* Three ways stand out, all else is noise of 0.2 steps; a shot differs no more than that. */
  double spread = 0;
  for (uint32_t k = 0; k < count; k++)
    for (int i = 0; i < 2 * POINTS; i++) spread += pow((double)mean[2 * POINTS * (k + 1) + (uint32_t)i], 2);
  printf("%u components, %.1f steps, deviation %.2f\n", count, sqrt(spread), (double)deviation);
  CHECK(count >= WAYS && count <= 2 * POINTS && deviation >= 0.6f && deviation < 0.9f);
  unsigned char *bytes = train(&ds, -1, &size);
  CHECK(size == trained_size && memcmp(bytes, trained, size) == 0);
  free(bytes);

  /* A shot that is left out has no say. */
  bytes = train(&ds, 2, &size);
  for (size_t i = 0; i < ds.frame_count; i++)
    if (ds.frames[i].shot == 2) ds.frames[i].points[5] += 40;
  unsigned char *without = train(&ds, 2, &size);
  CHECK(bytes && without && memcmp(bytes, without, size) == 0);
  free(bytes);
  free(without);
  free_faces(&ds);

  /* Shots of ways of their own: how far the next one may differ is more.  The same in one shot, cut into four, and where one of
   * two is renders. */
  ds = faces(SHOTS * SHOT_FRAMES, SHOTS, 6);
  bytes = train(&ds, -1, &size);
  chunk_of(bytes, &count, &other);
  printf("shots with ways of their own: deviation %.2f\n", (double)other);
  CHECK(other > 2 * deviation);
  free(bytes);
  for (size_t i = 0; i < ds.frame_count; i++) ds.frames[i].shot = 0;
  bytes = train(&ds, -1, &size);
  chunk_of(bytes, &again, &deviation);
  CHECK(fabsf(deviation - other) < 1e-6f && again == count);
  free(bytes);
  for (size_t i = 0; i < ds.frame_count; i++) ds.frames[i].shot = 1 + (uint32_t)(i / (ds.frame_count / 2));
  for (size_t i = ds.frame_count / 2; i < ds.frame_count; i++) ds.frames[i].channels = 4;
  bytes = train(&ds, -1, &size);
  chunk_of(bytes, &count, &deviation);
  CHECK(deviation > 1 && deviation != other);
  free(bytes);
  /* Of renders twice as many count as there are true frames, evenly spread: of 80 beside 20 every other one. */
  for (size_t i = 0; i < ds.frame_count; i++) ds.frames[i].channels = i < 20 ? 3 : 4, ds.frames[i].shot = i < 20 ? 0 : 1;
  bytes = train(&ds, -1, &size);
  for (size_t i = 20; i < ds.frame_count; i += 2) ds.frames[i].points[5] += 40;
  without = train(&ds, -1, &again_size);
  CHECK(size == again_size && memcmp(bytes, without, size) == 0);
  free(bytes);
  free(without);
  ds.frame_count = 7;
  CHECK(train(&ds, -1, &size) == NULL); /* too few */
  ds.frame_count = SHOTS * SHOT_FRAMES;
  free_faces(&ds);
}

/* Where annotations lack landmarks the others stand for them; hidden ones are known. */
static void lacking_landmarks_are_foretold(void) {
  dataset ds = faces(SHOTS * SHOT_FRAMES, SHOTS, 0);
  float whole[2 * POINTS], deviation, worst = 0;
  uint32_t count, less;
  size_t size;
  memcpy(whole, chunk_of(trained, &count, &deviation), sizeof whole);
  for (size_t i = 0; i < ds.frame_count; i++) {
    frame *f = &ds.frames[i];
    ds.frames[i].valid[3] = 0, ds.frames[i].hidden[3] = 1;
    if (i % 3) continue;
    for (int k = 6; k < 8; k++) f->valid[k] = 0, f->points[2 * k] = f->points[2 * k + 1] = 0;
  }
  unsigned char *bytes = train(&ds, -1, &size);
  const float *mean = chunk_of(bytes, &less, &deviation);
  for (int i = 0; i < 2 * POINTS; i++) worst = fmaxf(worst, fabsf(mean[i] - whole[i]));
  CHECK(worst < 2 && deviation < 0.9f && less >= WAYS, "the mean is off by %g, deviation %g", (double)worst, (double)deviation);
  free(bytes);
  free_faces(&ds);
}

static void landmarks_go_where_they_can_lie(void) {
  double before = 0, after = 0, expected = 0, outlier = 0, others = 0, harm = 0, squeezed = 0;
  for (int t = 0; t < TESTED; t++) {
    float points[POINTS][2], wrong[POINTS][2];
    roto_point network[POINTS], found[POINTS], narrow[POINTS];
    rng r = {rng_seed(12, (uint64_t)t, 0)};
    face(&r, 0, 0, points);
    for (int i = 0; i < 2 * POINTS; i++) wrong[i / 2][i % 2] = points[i / 2][i % 2] + 2 * (float)rng_normal(&r);
    look(trained, (const float(*)[2])wrong, 2.8f, 1, network, found);
    look(trained, (const float(*)[2])wrong, 2.8f, 2, NULL, narrow);
    for (int i = 0; i < POINTS; i++) {
      CHECK(hypotf(network[i].x - wrong[i][0], network[i].y - wrong[i][1]) < 2e-3f && fabsf(network[i].error - 2.8f) < 0.01f);
      CHECK(found[i].confidence == network[i].confidence && found[i].confidence > 0.5f);
      before += pow((double)hypotf(wrong[i][0] - points[i][0], wrong[i][1] - points[i][1]), 2);
      after += pow((double)hypotf(found[i].x - points[i][0], found[i].y - points[i][1]), 2);
      expected += pow((double)found[i].error, 2);
      squeezed += pow((double)hypotf(2 * narrow[i].x - found[i].x, narrow[i].y - found[i].y), 2);
    }
    /* One landmark is wrong by far: the others stay, and it comes back. */
    int bad = t % POINTS;
    memcpy(wrong, points, sizeof wrong);
    wrong[bad][0] += 40;
    look(trained, (const float(*)[2])wrong, 2, 1, NULL, found);
    for (int i = 0; i < POINTS; i++)
      *(i == bad ? &outlier : &others) += pow((double)hypotf(found[i].x - points[i][0], found[i].y - points[i][1]), 2);
    /* What is right stays. */
    look(trained, (const float(*)[2])points, 1, 1, NULL, found);
    for (int i = 0; i < POINTS; i++) harm += pow((double)hypotf(found[i].x - points[i][0], found[i].y - points[i][1]), 2);
  }
  const double n = POINTS * TESTED;
  before = sqrt(before / n), after = sqrt(after / n), expected = sqrt(expected / n);
  outlier = sqrt(outlier / TESTED), others = sqrt(others / (n - TESTED)), harm = sqrt(harm / n);
  printf("landmarks %.2f px -> %.2f, expected %.2f; one of 40 px -> %.2f, the others %.2f; true ones %.3f\n", before, after,
         expected, outlier, others, harm);
  CHECK(after < 0.85 * before, "%g px, before %g", after, before);
  CHECK(expected > 0.5 * after && expected < 2.5 * after, "expected %g px, %g found", expected, after);
  CHECK(outlier < 5 && others < 1.5 && harm < 0.3);
  CHECK(sqrt(squeezed / n) < 0.05, "anamorphic frames differ by %g px", sqrt(squeezed / n));
}

/* A shot of another puppet: five of its frames, of which two lack a landmark, bring the others closer. */
static void a_distribution_adapts_to_a_few_frames(void) {
  enum { FEW = 5 };
  dataset ds = faces(FEW, 1, 0);
  char message[MESSAGE_SIZE];
  unsigned char *adapted, *none;
  size_t size;
  double before = 0, after = 0;
  for (int t = -FEW; t < TESTED; t++) {
    float own[POINTS][2], wrong[POINTS][2];
    float(*points)[2] = t < 0 ? (float(*)[2])ds.frames[t + FEW].points : own;
    roto_point found[POINTS];
    rng r = {rng_seed(14, (uint64_t)(t + FEW), 0)};
    face(&r, 0, 0, points);
    for (int c = 0; c < 2; c++) { /* its mouth is elsewhere, its nose longer */
      points[11][c] += 0.3f * (points[11][c] - points[10][c]);
      points[10][c] += 0.2f * (points[11][c] - points[10][c]);
    }
    if (t < 0) {
      if (t > -3) ds.frames[t + FEW].valid[8] = 0;
      continue;
    }
    if (t == 0) {
      CHECK(distribution_adapt(trained, trained_size, &ds, &adapted, &size, message) == 0);
      CHECK(distribution_adapt(plain, plain_size, &ds, &none, &size, message) == 0 && none == NULL);
      if (!CHECK(adapted != NULL)) return;
    }
    for (int i = 0; i < 2 * POINTS; i++) wrong[i / 2][i % 2] = points[i / 2][i % 2] + (float)rng_normal(&r);
    for (int k = 0; k < 2; k++) {
      look(k ? adapted : trained, (const float(*)[2])wrong, 1.4f, 1, NULL, found);
      for (int i = 0; i < POINTS; i++)
        *(k ? &after : &before) += pow((double)hypotf(found[i].x - points[i][0], found[i].y - points[i][1]), 2);
    }
  }
  before = sqrt(before / (POINTS * TESTED)), after = sqrt(after / (POINTS * TESTED));
  printf("another puppet: off by %.2f px, adapted %.2f\n", before, after);
  CHECK(after < 0.75 * before, "%g px, before %g", after, before);
  free(adapted);
  free_faces(&ds);
}

/* Valid, and of no sense: landmarks stay numbers. */
static void absurd_distributions_do_no_harm(void) {
  static const float sizes[][3] = {{1e-38f, 1, 1}, {1, 1e38f, 1}, {1e38f, 1e38f, 1e38f}, {1, 1, 1e-38f}, {1, 0, 1e38f}};
  for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
    float mean[POINTS][2], components[2][POINTS][2], points[POINTS][2];
    roto_point found[POINTS];
    rng r = {rng_seed(13, t, 0)};
    face(&r, 0, 0, points);
    for (int i = 0; i < 2 * POINTS; i++) {
      mean[i / 2][i % 2] = sizes[t][0] * (still[i / 2][i % 2] / 80);
      for (int k = 0; k < 2; k++) components[k][i / 2][i % 2] = sizes[t][1] * (i % (3 + k) ? 1 : -1);
    }
    roto_distribution_desc desc = {mean[0], components[0][0], 2, sizes[t][2]};
    unsigned char *bytes;
    size_t size;
    if (!CHECK(roto_write_distribution(plain, plain_size, &desc, &bytes, &size) == ROTO_OK)) continue;
    look(bytes, (const float(*)[2])points, 1, 1, NULL, found);
    for (int i = 0; i < POINTS; i++)
      CHECK(fabsf(found[i].x) < 2e9f && fabsf(found[i].y) < 2e9f && found[i].error >= 0 && found[i].error < 1e30f,
            "case %zu: %g, %g, error %g", t, (double)found[i].x, (double)found[i].y, (double)found[i].error);
    free(bytes);
  }
}

int main(void) {
  plain = fixed_model(still, POINTS, NULL, SIDE, 1, &plain_size);
  a_distribution_is_learnt();
  lacking_landmarks_are_foretold();
  landmarks_go_where_they_can_lie();
  a_distribution_adapts_to_a_few_frames();
  absurd_distributions_do_no_harm();
  free(plain);
  free(trained);
  return check_end("distribution");
}
