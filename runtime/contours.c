/* Where the plate shows the outlines that landmarks lie on (model_format/SPEC.md, CONT).
 *
 * A network sees a face in a hundred or two pixels and is off by one or two of the plate's; the outline itself is sharper
 * than that.  A contour is a curve through landmarks that lie one after the other on an outline.  At places along it a short
 * line across is sampled, and a linear filter of the place's own answers at each step how much it looks like the outline
 * there: the patch experts of Cristinacce and Cootes ("Feature Detection and Tracking with Constrained Local Models", BMVC
 * 2006) on the profiles of Cootes et al. ("Active Shape Models", CVIU 1995), trained in closed form (trainer/contours.c).
 * Filters see how fast colours change against how fast they do elsewhere on the line, not the colours: another light is no
 * other picture.  One outline answers alike all along, an iris behind the lid does not: dynamic programming (Amini et al.,
 * PAMI 1990) finds the displacements across the curve that answer best and change least from place to place, near where the
 * network expects them.  That is known of a landmark across the curves it lies on; along them nothing is. */

#ifndef ROTOI_CONTOURS
#define ROTOI_CONTOURS

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "format.c"
#include "image.c"
#include "bezier.c" /* rotoi_sqrt */
#include "distribution.c"

enum {
  ROTOI_CONTOUR_REACH = ROTO_CONTOUR_TAPS / 2,                         /* steps a filter sees on either side */
  ROTOI_CONTOUR_STATES = ROTO_CONTOUR_STEPS - 2 * ROTOI_CONTOUR_REACH, /* displacements that can be answered for */
  ROTOI_CONTOUR_PROFILE = ROTO_CONTOUR_STEPS * ROTO_CONTOUR_CHANNELS   /* floats of a line across */
};

/* What the answers weigh against the expected error; what a difference of a step from place to place costs, over all places;
 * of a displacement that was answered for fully, what is to be expected of it, in steps; such an answer.  From the rendered
 * film's shots, each with filters that had not seen it; between half and twice of each the error changes by 4 % at most. */
static const float rotoi_contour_answer = 60, rotoi_contour_bend = 0.5f, rotoi_contour_error = 0.8f, rotoi_contour_full = 0.4f;
/* Steps of expected error from which on an answer is likely another outline's: a hand's before the face. */
static const float rotoi_contour_far = 6;

/* For rotoi_sampler_init: each place aims the sampler anew. */
static const float rotoi_contour_still[6] = {1, 0, 0, 0, 1, 0};

/* Place i of a contour through `count` landmarks: the landmark before it, and the share of the way to the next. */
static uint32_t rotoi_contour_at(int i, uint32_t count, float *share) {
  float at = (float)i * (float)(count - 1) / (float)(ROTO_CONTOUR_PLACES - 1);
  uint32_t k = (uint32_t)at < count - 2 ? (uint32_t)at : count - 2;
  *share = at - (float)k;
  return k;
}

/* Places along a contour and across it: x, y and the unit normal, of a curve through `points` that is made of cubics with the
 * tangents of Catmull and Rom, those of a parabola at its ends.  Landmarks stand at equal distances of its parameter. */
static void rotoi_contour_places(const float (*points)[2], uint32_t count, float (*places)[4]) {
  for (int i = 0; i < ROTO_CONTOUR_PLACES; ++i) {
    float t, tangent[2];
    uint32_t k = rotoi_contour_at(i, count, &t);
    float s = 1 - t;
    for (int c = 0; c < 2; ++c) {
      float p = points[k][c], q = points[k + 1][c];
      float in = k ? 0.5f * (q - points[k - 1][c]) : 0, out = k + 2 < count ? 0.5f * (points[k + 2][c] - p) : 0;
      if (!k) in = 2 * (q - p) - out;
      if (k + 2 == count) out = 2 * (q - p) - in;
      places[i][c] = s * s * ((1 + 2 * t) * p + t * in) + t * t * ((1 + 2 * s) * q - s * out);
      tangent[c] = 6 * s * t * (q - p) + s * (s - 2 * t) * in + t * (t - 2 * s) * out;
    }
    float length = (float)rotoi_sqrt((double)(tangent[0] * tangent[0] + tangent[1] * tangent[1]));
    places[i][2] = length > 0 ? -tangent[1] / length : 0;
    places[i][3] = length > 0 ? tangent[0] / length : 1;
  }
}

/* What is seen on the line across at a place: for each step how fast the colours change there, how fast they get brighter
 * and how fast redder, against how fast they change on the whole line. */
static void rotoi_contour_profile(rotoi_sampler *sampler, const float place[4], float step, float aspect, float *profile) {
  enum { STEPS = ROTO_CONTOUR_STEPS, ROWS = 3 };
  float rows[ROWS][3 * STEPS], line[STEPS + 2][3], power = 0;
  float map[6] = {step * place[2], 2 * step * place[3], 0, step * place[3], -2 * step * place[2], 0};
  map[2] = place[0] - 0.5f * (float)STEPS * map[0] - 0.5f * (float)ROWS * map[1];
  map[5] = place[1] - 0.5f * (float)STEPS * map[3] - 0.5f * (float)ROWS * map[4];
  map[0] /= aspect, map[1] /= aspect, map[2] /= aspect;
  rotoi_sampler_aim(sampler, map, 1);
  for (uint32_t row = 0; row < ROWS; ++row) rotoi_sample_row(sampler, row, STEPS, rows[row]);
  for (int i = 0; i < STEPS; ++i)
    for (int c = 0; c < 3; ++c) line[i + 1][c] = rows[0][3 * i + c] + rows[1][3 * i + c] + rows[2][3 * i + c];
  memcpy(line[0], line[1], sizeof line[0]);
  memcpy(line[STEPS + 1], line[STEPS], sizeof line[0]);
  for (int i = 0; i < STEPS; ++i) {
    float d[3], squared = 0;
    for (int c = 0; c < 3; ++c) d[c] = line[i + 2][c] - line[i][c], squared += d[c] * d[c];
    power += squared;
    profile[3 * i] = squared;
    profile[3 * i + 1] = (d[0] + d[1] + d[2]) / 3;
    profile[3 * i + 2] = d[0] - d[2];
  }
  /* A line of nothing but noise stays small. */
  float scale = 1 / ((float)rotoi_sqrt((double)(power / (float)STEPS)) + 0.02f);
  for (int i = 0; i < STEPS; ++i) {
    double change = rotoi_sqrt((double)profile[3 * i]) * (double)scale;
    profile[3 * i] = (float)rotoi_sqrt(change) - 0.8f;
    profile[3 * i + 1] *= scale;
    profile[3 * i + 2] *= scale;
  }
}

ROTO_API roto_status roto_contour_profiles(const roto_image *image, roto_transfer transfer, const float (*points)[2],
                                           uint32_t count, float step, float (*places)[4], float *profiles) {
  if (!rotoi_image_valid(image) || !points || count < 3 || !(step > 0 && step < 1e6f) || !places) return ROTO_ERR_ARGUMENT;
  rotoi_contour_places(points, count, places);
  if (!profiles) return ROTO_OK;
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, rotoi_contour_still, transfer, 0);
  for (int i = 0; i < ROTO_CONTOUR_PLACES; ++i)
    rotoi_contour_profile(&sampler, places[i], step, 1, profiles + (size_t)i * ROTOI_CONTOUR_PROFILE);
  return ROTO_OK;
}

/* The answers of a place's filter to each displacement. */
static void rotoi_contour_answers(const unsigned char *filter, const float *profile, float answers[ROTOI_CONTOUR_STATES]) {
  enum { FLOATS = ROTO_CONTOUR_FLOATS - 1 };
  float weights[FLOATS];
  for (int k = 0; k < FLOATS; ++k) weights[k] = rotoi_f32(filter + 4 * k);
  for (int i = 0; i < ROTOI_CONTOUR_STATES; ++i) {
    float sum = rotoi_f32(filter + 4 * FLOATS);
    for (int k = 0; k < FLOATS; ++k) sum += weights[k] * profile[ROTO_CONTOUR_CHANNELS * i + k];
    answers[i] = sum;
  }
}

/* Where the contour is: for each place the displacement in steps, and the answer there.  `errors` are the expected ones of the
 * landmarks, in steps. */
static void rotoi_contour_find(const float (*answers)[ROTOI_CONTOUR_STATES], const float *errors, uint32_t count,
                               float moves[ROTO_CONTOUR_PLACES], float found[ROTO_CONTOUR_PLACES]) {
  enum { PLACES = ROTO_CONTOUR_PLACES, STATES = ROTOI_CONTOUR_STATES };
  float score[PLACES][STATES], best[STATES], share = (float)count / (float)PLACES;
  unsigned char from[PLACES][STATES];
  for (int i = 0; i < PLACES; ++i) {
    float t;
    uint32_t k = rotoi_contour_at(i, count, &t);
    float error = errors[k] + t * (errors[k + 1] - errors[k]);
    for (int s = 0; s < STATES; ++s) {
      float far = (float)(s - STATES / 2) / error;
      score[i][s] = share * (rotoi_contour_answer * answers[i][s] - 0.5f * far * far);
    }
  }
  memcpy(best, score[0], sizeof best);
  for (int i = 1; i < PLACES; ++i) {
    float next[STATES];
    for (int s = 0; s < STATES; ++s) {
      int least = 0;
      float most = best[0] - rotoi_contour_bend * (float)(s * s);
      for (int k = 1; k < STATES; ++k) {
        float sum = best[k] - rotoi_contour_bend * (float)((s - k) * (s - k));
        if (sum > most) most = sum, least = k;
      }
      from[i][s] = (unsigned char)least;
      next[s] = most + score[i][s];
    }
    memcpy(best, next, sizeof best);
  }
  int at = 0;
  for (int s = 1; s < STATES; ++s)
    if (best[s] > best[at]) at = s;
  for (int i = PLACES - 1; i >= 0; at = i ? from[i][at] : 0, --i) {
    /* Between steps: the top of the parabola through the score and its neighbours. */
    float between = 0;
    if (at > 0 && at + 1 < STATES) {
      float low = score[i][at - 1], top = score[i][at], high = score[i][at + 1];
      if (top >= low && top >= high && 2 * top > low + high) between = 0.5f * (high - low) / (2 * top - low - high);
    }
    moves[i] = (float)(at - STATES / 2) + between;
    found[i] = answers[i][at];
  }
}

static void rotoi_contour_tell(rotoi_known *known, const float place[4], float way, float weight) {
  float nx = place[2], ny = place[3];
  known->xx += weight * nx * nx, known->xy += weight * nx * ny, known->yy += weight * ny * ny;
  known->wx += weight * way * nx, known->wy += weight * way * ny;
  known->ww += weight * way * way;
}

/* What contours through the landmarks say of where these are.  `step`: in pixels as seen. */
static void rotoi_look_at_contours(const rotoi_file *file, const roto_image *image, float aspect, float step,
                                   const roto_point *points, rotoi_known *known) {
  enum { PLACES = ROTO_CONTOUR_PLACES };
  const float least = (float)rotoi_least_error;
  const unsigned char *list = file->contour_landmarks, *filter = file->contour_filters;
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, rotoi_contour_still, file->input_transfer, 0);
  for (uint32_t i = 0; i < file->contour_count; ++i) {
    float at[ROTO_MAX_CONTOUR_LANDMARKS][2], errors[ROTO_MAX_CONTOUR_LANDMARKS], places[PLACES][4],
        profile[ROTOI_CONTOUR_PROFILE];
    float answers[PLACES][ROTOI_CONTOUR_STATES], moves[PLACES], found[PLACES];
    uint32_t count = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    for (uint32_t k = 0; k < count; ++k) {
      const roto_point *point = &points[rotoi_u32(list + 4 * (size_t)k)];
      at[k][0] = point->x * aspect, at[k][1] = point->y;
      errors[k] = point->error > least * step ? point->error / step : least;
    }
    rotoi_contour_places((const float(*)[2])at, count, places);
    for (int k = 0; k < PLACES; ++k, filter += 4 * ROTO_CONTOUR_FLOATS) {
      rotoi_contour_profile(&sampler, places[k], step, aspect, profile);
      rotoi_contour_answers(filter, profile, answers[k]);
    }
    rotoi_contour_find((const float(*)[ROTOI_CONTOUR_STATES])answers, errors, count, moves, found);
    for (uint32_t k = 0; k < count; ++k, list += 4) {
      /* A landmark is told by the places next to it.  At an end the curve's direction is less sure. */
      int place = (int)((2 * k * (PLACES - 1) + count - 1) / (2 * (count - 1))), first = place ? place - 1 : 0,
          end = k == 0 || k + 1 == count;
      int last = place + 1 < PLACES ? place + 1 : place;
      float move = 0, answer = 0;
      for (int p = first; p <= last; ++p) move += moves[p], answer += found[p];
      float full = answer / (float)(last - first + 1) / rotoi_contour_full, error = step * rotoi_contour_error;
      full = full > 0.1f ? full < 1.5f ? full : 1.5f : 0.1f;
      float far = 1 + errors[k] * errors[k] / (rotoi_contour_far * rotoi_contour_far);
      rotoi_known *of = &known[rotoi_u32(list)];
      float from = (at[k][0] - of->x) * places[place][2] + (at[k][1] - of->y) * places[place][3];
      rotoi_contour_tell(of, places[place], from + step * move / (float)(last - first + 1),
                         full / (error * error * far * far) * (end ? 0.25f : 1));
    }
  }
}

#endif /* ROTOI_CONTOURS */
