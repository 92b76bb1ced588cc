/* The looks of a second look (trainer/looks.h): boxes cut in half on a symmetric face, frames as a look sees them. */

#include "../trainer/looks.h"

#include "check.h"

#include <math.h>
#include <string.h>

enum { N = 8 };

/* Two eyes of three points, a nose and a chin.  All frames show the same face, moved and scaled. */
static const float face[N][2] = {{10, 20}, {20, 20}, {15, 16}, {90, 20}, {80, 20}, {85, 16}, {50, 50}, {50, 90}};
static const uint32_t flips[N] = {3, 4, 5, 0, 1, 2, 6, 7};

static void make_face(character *ch, roto_landmark *landmarks) {
  memset(ch, 0, sizeof *ch);
  memset(landmarks, 0, N * sizeof *landmarks);
  for (uint32_t k = 0; k < N; k++) landmarks[k].flip = flips[k];
  ch->landmark_count = N;
  ch->landmarks = landmarks;
}

static void make_frame(frame *f, float *points, uint8_t *valid, uint8_t *hidden, float x, float y, float scale) {
  memset(f, 0, sizeof *f);
  for (uint32_t k = 0; k < N; k++) {
    points[2 * k] = x + scale * face[k][0];
    points[2 * k + 1] = y + scale * face[k][1];
    valid[k] = 1, hidden[k] = 0;
  }
  f->points = points, f->valid = valid, f->hidden = hidden;
  f->box.x = x + scale * 10, f->box.y = y + scale * 16;
  f->box.width = scale * 80, f->box.height = scale * 74;
}

static int same_look(const look_plan *p, uint32_t a, uint32_t b) {
  return p->look[a] == p->look[b];
}

int main(void) {
  character ch;
  roto_landmark landmarks[N];
  frame frames[2], seen;
  float points[2][2 * N];
  uint8_t valid[2][N], hidden[2][N], known[2 * N];
  look_plan plan;
  dataset ds;
  make_face(&ch, landmarks);
  make_frame(&frames[0], points[0], valid[0], hidden[0], 0, 0, 1);
  make_frame(&frames[1], points[1], valid[1], hidden[1], 300, 40, 3);
  memset(&ds, 0, sizeof ds);
  ds.frames = frames;
  ds.frame_count = 2;
  ds.landmark_count = N;

  looks_choose(&ch, &ds, 1, &plan);
  CHECK(plan.count == 1 && same_look(&plan, 0, 3));
  looks_choose(&ch, &ds, 2, &plan); /* left and right: wider than high */
  CHECK(plan.count == 2 && same_look(&plan, 0, 2) && same_look(&plan, 3, 5) && !same_look(&plan, 0, 3));
  looks_choose(&ch, &ds, 4, &plan); /* eyes apart, each in one look, nose and chin in others */
  CHECK(plan.count == 4);
  CHECK(same_look(&plan, 0, 1) && same_look(&plan, 0, 2) && same_look(&plan, 3, 4) && same_look(&plan, 3, 5));
  CHECK(!same_look(&plan, 0, 3) && !same_look(&plan, 0, 7) && !same_look(&plan, 3, 7));
  looks_choose(&ch, &ds, 64, &plan); /* no more looks than landmarks */
  CHECK(plan.count == N);
  for (uint32_t a = 0; a < N; a++)
    for (uint32_t b = 0; b < a; b++) CHECK(!same_look(&plan, a, b));

  looks_choose(&ch, &ds, 4, &plan);
  hidden[1][1] = 1, valid[1][1] = 0; /* known but hidden: it still counts for the box */
  valid[1][2] = 0;                   /* not known at all */
  CHECK(looks_frame(&frames[1], &plan, N, plan.look[0], &seen, known));
  CHECK(seen.valid[0] && !seen.valid[1] && seen.hidden[1] && !seen.valid[2] && !seen.valid[3] && !seen.valid[7]);
  CHECK(fabsf(seen.box.width - 30) < 1e-3f && fabsf(seen.box.x - 330) < 1e-3f && fabsf(seen.box.y - 100) < 1e-3f);
  CHECK(valid[1][3] && frames[1].box.width > 200); /* the frame itself is untouched */

  /* a landmark alone gets an eighth of the face, around itself */
  CHECK(looks_frame(&frames[0], &plan, N, plan.look[7], &seen, known));
  CHECK(fabsf(seen.box.width - 10) < 1e-3f && fabsf(seen.box.x - 45) < 1e-3f && fabsf(seen.box.height - 10) < 1e-3f);
  valid[0][7] = 0;
  CHECK(!looks_frame(&frames[0], &plan, N, plan.look[7], &seen, known));
  return check_end("looks");
}
