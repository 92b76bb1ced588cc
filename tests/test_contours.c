/* Contours, from training to landmarks: eyes of all sizes, turns and colours are drawn, with an iris that comes close to the
 * lids. A network that errs by chance has its landmarks moved back onto the lids of eyes that were not trained on. */

#include "../trainer/contours.c"

#include "fixed_model.h"

enum { POINTS = 9, SIDE = 160, TRAINED = 40, TESTED = 16 };

static const int32_t lid_vertices[] = {0, 1, 2, 3, 4, 5, 6, 7};
static const roto_shape eye = {"eye", 1, 8, lid_vertices};

/* An eye: a lens of two circles, in a frame of its own. */
typedef struct drawn_eye {
  float x, y, half, open[2], turn; /* middle, half the width, height of each lid, radians */
  float iris[2], iris_radius;
  float colours[3][3]; /* skin, white, iris */
  uint64_t noise;
} drawn_eye;

static drawn_eye random_eye(uint64_t seed) {
  rng r = {rng_seed(seed, 0, 0)};
  drawn_eye e;
  e.x = rng_range(&r, 70, 90), e.y = rng_range(&r, 70, 90), e.half = rng_range(&r, 34, 44);
  e.open[0] = rng_range(&r, 12, 20), e.open[1] = rng_range(&r, 8, 16), e.turn = rng_range(&r, -0.4f, 0.4f);
  e.iris[0] = rng_range(&r, -10, 10), e.iris[1] = rng_range(&r, -4, 4), e.iris_radius = rng_range(&r, 8, 11);
  for (int i = 0; i < 3; i++)
    for (int c = 0; c < 3; c++) e.colours[i][c] = rng_range(&r, i == 1 ? 0.6f : 0.05f, i == 1 ? 0.95f : 0.5f);
  e.noise = seed;
  return e;
}

/* How far inside of a lid (0 upper, 1 lower) a point of the eye's own frame is. */
static float inside_lid(const drawn_eye *e, int lid, float u, float v) {
  float h = e->open[lid], radius = (e->half * e->half + h * h) / (2 * h), centre = radius - h;
  return radius - hypotf(u, lid ? v + centre : v - centre);
}

/* The share of `colour` in a pixel whose middle is so far inside. */
static float covered(float inside) {
  return fminf(fmaxf(inside + 0.5f, 0), 1);
}

/* `squeeze` pixels of the eye's frame make one of the picture, across. */
static void draw_eye(const drawn_eye *e, int squeeze, uint8_t *rgb) {
  rng r = {rng_seed(e->noise, 1, 0)};
  float c = cosf(e->turn), s = sinf(e->turn);
  for (int y = 0; y < SIDE; y++)
    for (int x = 0; x < SIDE / squeeze; x++) {
      float sum[3] = {0, 0, 0};
      for (int part_of = 0; part_of < squeeze; part_of++) {
        float dx = (float)(squeeze * x + part_of) + 0.5f - e->x, dy = (float)y + 0.5f - e->y, u = c * dx + s * dy,
              v = c * dy - s * dx;
        float white = fminf(covered(inside_lid(e, 0, u, v)), covered(inside_lid(e, 1, u, v)));
        float iris = covered(e->iris_radius - hypotf(u - e->iris[0], v - e->iris[1]));
        for (int k = 0; k < 3; k++) {
          float within = e->colours[1][k] + iris * (e->colours[2][k] - e->colours[1][k]);
          sum[k] += e->colours[0][k] + white * (within - e->colours[0][k]);
        }
      }
      for (int k = 0; k < 3; k++)
        rgb[3 * (y * (SIDE / squeeze) + x) + k] =
            (uint8_t)(255 * fminf(fmaxf(sum[k] / (float)squeeze + 0.01f * (float)rng_normal(&r), 0), 1) + 0.5f);
    }
}

/* Corners, three points of each lid, and one on the cheek. */
static void eye_points(const drawn_eye *e, float points[POINTS][2]) {
  float c = cosf(e->turn), s = sinf(e->turn);
  for (int i = 0; i < POINTS; i++) {
    float u = i < 8 ? e->half * (i < 5 ? -1 + 0.5f * (float)i : 1 - 0.5f * (float)(i - 4)) : 0, v = i < 8 ? 0 : 60;
    if (i < 8 && i % 4) {
      int lid = i > 4;
      float h = e->open[lid], radius = (e->half * e->half + h * h) / (2 * h),
            up = sqrtf(radius * radius - u * u) - (radius - h);
      v = lid ? up : -up;
    }
    points[i][0] = e->x + c * u - s * v, points[i][1] = e->y + s * u + c * v;
  }
}

/* Annotated frames as dataset_cache leaves them. */
static dataset drawn_frames(void) {
  dataset ds = {0};
  ds.landmark_count = POINTS;
  ds.frames = calloc(TRAINED, sizeof *ds.frames);
  for (size_t i = 0; i < TRAINED; i++, ds.frame_count++) {
    frame *f = &ds.frames[i];
    drawn_eye e = random_eye(100 + i);
    f->points = malloc(POINTS * 2 * sizeof *f->points);
    f->valid = malloc(POINTS);
    f->hidden = calloc(POINTS, 1);
    memset(f->valid, 1, POINTS);
    eye_points(&e, (float(*)[2])f->points);
    float low[2] = {SIDE, SIDE}, high[2] = {0, 0};
    for (int k = 0; k < 2 * POINTS; k++)
      low[k % 2] = fminf(low[k % 2], f->points[k]), high[k % 2] = fmaxf(high[k % 2], f->points[k]);
    f->box = (roto_rect){low[0], low[1], high[0] - low[0], high[1] - low[1]};
    f->width = f->height = f->cache_width = f->cache_height = SIDE;
    f->channels = 3;
    f->pixels = malloc(SIDE * SIDE * 3);
    draw_eye(&e, 1, f->pixels);
  }
  return ds;
}

static void free_frames(dataset *ds) {
  for (size_t i = 0; i < ds->frame_count; i++) {
    free(ds->frames[i].points), free(ds->frames[i].valid), free(ds->frames[i].hidden), free(ds->frames[i].pixels);
  }
  free(ds->frames);
}

static void contours_are_learnt_and_held(void) {
  static const uint32_t upper[] = {0, 1, 2, 3, 4}, lower[] = {4, 5, 6, 7, 0};
  dataset ds = drawn_frames();
  float points[POINTS][2];
  char message[MESSAGE_SIZE];
  unsigned char *bytes, *trained[2], *held, *plain;
  size_t size, trained_size[2], held_size, plain_size, length;
  roto_model *model;
  compute *threads[2] = {compute_create(1, ROTO_ISA_AUTO), compute_create(3, ROTO_ISA_AUTO)};
  drawn_eye any = random_eye(1);
  eye_points(&any, points);
  bytes = fixed_model((const float(*)[2])points, POINTS, &eye, SIDE, 1, &size);
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK && roto_get_info(model)->contour_count == 0);
  for (int i = 0; i < 2; i++)
    CHECK(contours_train(threads[i], model, bytes, size, &ds, 1, &trained[i], &trained_size[i], message) == 0);
  if (!CHECK(trained[0] != NULL && trained[1] != NULL)) return;
  CHECK(trained_size[0] == trained_size[1] && memcmp(trained[0], trained[1], trained_size[0]) == 0); /* any number of threads */
  const unsigned char *chunk = roto_find_chunk(trained[0], ROTO_CHUNK_CONT, &length);
  CHECK(chunk != NULL && roto_load(chunk, 4) == 2 && roto_load(chunk + 16, 4) == 5 && roto_load(chunk + 20, 4) == 5);
  for (size_t i = 0; i < 5 && chunk != NULL; i++)
    CHECK(roto_load(chunk + 24 + 4 * i, 4) == upper[i] && roto_load(chunk + 44 + 4 * i, 4) == lower[i]);

  double before = 0, after = 0, across = 0, across_before = 0, expected = 0, squeezed = 0, in_light = 0;
  for (int t = 0; t < TESTED; t++) {
    drawn_eye e = random_eye(1000 + (uint64_t)t);
    static uint8_t rgb[SIDE * SIDE * 3], narrow[SIDE * SIDE * 3];
    static float light[SIDE * SIDE * 3];
    float wrong[POINTS][2];
    roto_point found[POINTS], network[POINTS], from_narrow[POINTS], from_light[POINTS];
    rng r = {rng_seed(7, (uint64_t)t, 0)};
    eye_points(&e, points);
    for (int k = 0; k < 2 * POINTS; k++) wrong[k / 2][k % 2] = points[k / 2][k % 2] + 0.7f * (float)rng_normal(&r);
    draw_eye(&e, 1, rgb);
    draw_eye(&e, 2, narrow);
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
      double v = rgb[i] / 255.0;
      light[i] = (float)(v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
    }
    roto_image image = {rgb, SIDE, SIDE, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
    roto_image half = {narrow, SIDE / 2, SIDE, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
    roto_image linear = {light, SIDE, SIDE, 3, ROTO_PIXEL_F32, ROTO_TRANSFER_LINEAR, 0};
    plain = fixed_model((const float(*)[2])wrong, POINTS, &eye, SIDE, 1, &plain_size);
    CHECK(roto_copy_chunk(plain, plain_size, trained[0], ROTO_CHUNK_CONT, &held, &held_size) == ROTO_OK);
    fixed_find(held, held_size, &image, 0, 1, found);
    fixed_find(held, held_size, &image, 1, 1, network);
    fixed_find(held, held_size, &half, 0, 2, from_narrow);
    fixed_find(held, held_size, &linear, 0, 1, from_light);
    CHECK(memcmp(&found[8], &network[8], sizeof found[8]) == 0); /* on no contour */
    for (int i = 0; i < 8; i++) {
      CHECK(hypotf(network[i].x - wrong[i][0], network[i].y - wrong[i][1]) < 1e-3f && fabsf(network[i].error - 1) < 1e-3f);
      float dx = found[i].x - points[i][0], dy = found[i].y - points[i][1];
      before += pow((double)hypotf(wrong[i][0] - points[i][0], wrong[i][1] - points[i][1]), 2);
      after += pow((double)hypotf(dx, dy), 2);
      expected += pow((double)found[i].error, 2);
      squeezed += pow((double)hypotf(2 * from_narrow[i].x - found[i].x, from_narrow[i].y - found[i].y), 2);
      in_light += pow((double)hypotf(from_light[i].x - found[i].x, from_light[i].y - found[i].y), 2);
      CHECK(found[i].confidence > 0 && found[i].confidence <= 1);
      if (i % 4 == 0) continue;
      float c = cosf(e.turn), s = sinf(e.turn);
      for (int k = 0; k < 2; k++) {
        float px = (k ? wrong[i][0] : found[i].x) - e.x, py = (k ? wrong[i][1] : found[i].y) - e.y;
        double off = (double)inside_lid(&e, i > 4, c * px + s * py, c * py - s * px);
        *(k ? &across_before : &across) += off * off;
      }
    }
    free(held);
    free(plain);
  }
  const double n = 8.0 * TESTED, lids = 6.0 * TESTED;
  before = sqrt(before / n), after = sqrt(after / n), expected = sqrt(expected / n);
  across = sqrt(across / lids), across_before = sqrt(across_before / lids);
  printf("landmarks %.2f px -> %.2f, expected %.2f; across the lids %.2f -> %.2f\n", before, after, expected, across_before,
         across);
  CHECK(across < 0.3 * across_before, "across the lids %g px, before %g", across, across_before);
  CHECK(after < 0.75 * before, "%g px, before %g", after, before);
  CHECK(expected > 0.7 * after && expected < 1.4 * after, "expected %g px, %g found", expected, after);
  CHECK(sqrt(squeezed / n) < 0.3, "anamorphic frames differ by %g px", sqrt(squeezed / n));
  CHECK(sqrt(in_light / n) < 0.02, "linear frames differ by %g px", sqrt(in_light / n));

  /* Too few frames show a lid: nothing to learn, and no failure. */
  for (size_t i = 7; i < ds.frame_count; i++) ds.frames[i].valid[2] = ds.frames[i].valid[6] = 0;
  CHECK(contours_train(threads[0], model, bytes, size, &ds, 1, &held, &held_size, message) == 0 && held == NULL);

  for (int i = 0; i < 2; i++) {
    free(trained[i]);
    compute_free(threads[i]);
  }
  roto_close(model);
  free(bytes);
  free_frames(&ds);
}

/* An artist draws lids a little outside of where the eye's white ends: six frames show by how much. */
static void contours_adapt_to_a_few_frames(void) {
  enum { FEW = 6, OUTSIDE = 3 };
  dataset ds = drawn_frames();
  char message[MESSAGE_SIZE];
  unsigned char *bytes, *trained, *adapted[2], *plain, *held;
  size_t size, trained_size, adapted_size[2], plain_size, held_size;
  roto_model *model;
  compute *threads[2] = {compute_create(1, ROTO_ISA_AUTO), compute_create(2, ROTO_ISA_AUTO)};
  float points[POINTS][2];
  drawn_eye any = random_eye(1);
  eye_points(&any, points);
  bytes = fixed_model((const float(*)[2])points, POINTS, &eye, SIDE, 1, &size);
  CHECK(roto_open(bytes, size, NULL, &model) == ROTO_OK);
  CHECK(contours_train(threads[0], model, bytes, size, &ds, 1, &trained, &trained_size, message) == 0);
  CHECK(contours_adapt(threads[0], model, bytes, size, &ds, 1, &held, &held_size, message) == 0 && held == NULL);
  for (size_t i = 0; i < FEW; i++) {
    drawn_eye e = random_eye(500 + i);
    draw_eye(&e, 1, ds.frames[i].pixels);
    e.open[0] += OUTSIDE, e.open[1] += OUTSIDE;
    eye_points(&e, (float(*)[2])ds.frames[i].points);
  }
  size_t frames = ds.frame_count;
  ds.frame_count = FEW;
  for (int i = 0; i < 2; i++)
    CHECK(contours_adapt(threads[i], model, trained, trained_size, &ds, 1, &adapted[i], &adapted_size[i], message) == 0);
  ds.frame_count = frames;
  CHECK(adapted_size[0] == adapted_size[1] && adapted_size[0] == trained_size &&
        memcmp(adapted[0], adapted[1], trained_size) == 0 && memcmp(adapted[0], trained, trained_size) != 0);
  double before = 0, after = 0;
  for (int t = 0; t < TESTED; t++) {
    drawn_eye e = random_eye(2000 + (uint64_t)t);
    static uint8_t rgb[SIDE * SIDE * 3];
    roto_point found[POINTS];
    rng r = {rng_seed(8, (uint64_t)t, 0)};
    draw_eye(&e, 1, rgb);
    e.open[0] += OUTSIDE, e.open[1] += OUTSIDE;
    eye_points(&e, points);
    float wrong[POINTS][2];
    for (int k = 0; k < 2 * POINTS; k++) wrong[k / 2][k % 2] = points[k / 2][k % 2] + 0.7f * (float)rng_normal(&r);
    roto_image image = {rgb, SIDE, SIDE, 3, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
    plain = fixed_model((const float(*)[2])wrong, POINTS, &eye, SIDE, 1, &plain_size);
    for (int k = 0; k < 2; k++) {
      CHECK(roto_copy_chunk(plain, plain_size, k ? adapted[0] : trained, ROTO_CHUNK_CONT, &held, &held_size) == ROTO_OK);
      fixed_find(held, held_size, &image, 0, 1, found);
      for (int i = 1; i < 8; i++)
        if (i != 4) *(k ? &after : &before) += pow((double)hypotf(found[i].x - points[i][0], found[i].y - points[i][1]), 2);
      free(held);
    }
    free(plain);
  }
  before = sqrt(before / (6.0 * TESTED)), after = sqrt(after / (6.0 * TESTED));
  printf("lids drawn %d px outside: off by %.2f px, adapted %.2f\n", OUTSIDE, before, after);
  CHECK(after < 0.6 * before, "%g px, before %g", after, before);
  for (int i = 0; i < 2; i++) {
    free(adapted[i]);
    compute_free(threads[i]);
  }
  free(trained);
  free(bytes);
  roto_close(model);
  free_frames(&ds);
}

static void profiles_refuse_what_is_wrong(void) {
  static uint8_t grey[64];
  static float points[3][2] = {{1, 1}, {4, 2}, {7, 1}}, places[ROTO_CONTOUR_PLACES][4], profiles[PLACES * STEPS * CHANNELS];
  roto_image image = {grey, 8, 8, 1, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
  const float(*at)[2] = (const float(*)[2])points;
  CHECK(roto_contour_profiles(&image, ROTO_TRANSFER_SRGB, at, 3, 1, places, profiles) == ROTO_OK);
  CHECK(roto_contour_profiles(NULL, ROTO_TRANSFER_SRGB, at, 3, 1, places, profiles) == ROTO_ERR_ARGUMENT);
  CHECK(roto_contour_profiles(&image, ROTO_TRANSFER_SRGB, at, 2, 1, places, profiles) == ROTO_ERR_ARGUMENT);
  CHECK(roto_contour_profiles(&image, ROTO_TRANSFER_SRGB, at, 3, 0, places, profiles) == ROTO_ERR_ARGUMENT);
  CHECK(roto_contour_profiles(&image, ROTO_TRANSFER_SRGB, at, 3, NAN, places, profiles) == ROTO_ERR_ARGUMENT);
  /* Through the landmarks, normals across, and on one colour nothing changes. */
  CHECK(hypotf(places[12][0] - 4, places[12][1] - 2) < 1e-5f && fabsf(places[12][2]) < 1e-5f &&
        fabsf(places[12][3] - 1) < 1e-5f);
  CHECK(hypotf(places[24][0] - 7, places[24][1] - 1) < 1e-5f);
  for (size_t i = 0; i < PLACES * STEPS; i++)
    CHECK(fabsf(profiles[3 * i] + 0.8f) < 1e-3f && fabsf(profiles[3 * i + 1]) < 1e-5f && fabsf(profiles[3 * i + 2]) < 1e-5f);
}

int main(void) {
  contours_are_learnt_and_held();
  contours_adapt_to_a_few_frames();
  profiles_refuse_what_is_wrong();
  return check_end("contours");
}
