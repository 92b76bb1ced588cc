/* What an artist corrected, carried to frames of a like pose: simulated shots whose errors depend on the pose, with truth known. */

#include <math.h>
#include <string.h>

#include "../tools/carry.h"
#include "../tools/cli.h"
#include "../trainer/rng.h"
#include "check.h"

enum { FRAMES = 200, POINTS = 24, KINDS = 6 };

typedef struct shot {
  document doc;
  double truth[FRAMES][POINTS][2];
  int kind[FRAMES]; /* of pose */
} shot;

/* Poses of a few kinds come again and again, each a little different, the subject elsewhere, turned and of another size every time.
 * What the model gets wrong is of the kind of pose, and `shared` of all poses, turns and grows with the subject, and has noise of its
 * own. */
static void simulate(shot *s, rng *r, double noise, double shared) {
  double pose[KINDS][POINTS][2], error[KINDS][POINTS][2], all[POINTS][2];
  memset(s, 0, sizeof *s);
  s->doc.point_count = POINTS;
  document_make_frames(&s->doc, FRAMES);
  for (int i = 0; i < POINTS; ++i)
    for (int c = 0; c < 2; ++c) all[i][c] = shared > 0 ? shared * (double)rng_normal(r) : 0;
  for (int k = 0; k < KINDS; ++k)
    for (int i = 0; i < POINTS; ++i)
      for (int c = 0; c < 2; ++c) {
        pose[k][i][c] = (c ? 25 * (i / 6) : 25 * (i % 6)) + 4 * (double)rng_normal(r);
        error[k][i][c] = all[i][c] + (double)rng_normal(r);
      }
  for (int t = 0; t < FRAMES; ++t) {
    double angle = 0.5 * (double)rng_normal(r), size = exp(0.2 * (double)rng_normal(r)), a = size * cos(angle),
           b = size * sin(angle);
    double at[2] = {300 + 50 * (double)rng_normal(r), 200 + 50 * (double)rng_normal(r)};
    int k = s->kind[t] = (int)rng_below(r, KINDS);
    s->doc.frames[t].number = 1001 + t;
    for (int i = 0; i < POINTS; ++i) {
      document_point *p = &s->doc.frames[t].points[i];
      double u = pose[k][i][0] + 0.3 * (double)rng_normal(r), v = pose[k][i][1] + 0.3 * (double)rng_normal(r);
      double e = error[k][i][0] + noise * (double)rng_normal(r), f = error[k][i][1] + noise * (double)rng_normal(r);
      s->truth[t][i][0] = at[0] + a * u - b * v, s->truth[t][i][1] = at[1] + b * u + a * v;
      p->x = p->raw_x = s->truth[t][i][0] + a * e - b * f, p->y = p->raw_y = s->truth[t][i][1] + b * e + a * f;
      p->error = size;
    }
  }
}

static void correct(shot *s, int t) {
  for (int i = 0; i < POINTS; ++i) {
    document_point *p = &s->doc.frames[t].points[i];
    p->x = s->truth[t][i][0], p->y = s->truth[t][i][1], p->origin = ORIGIN_ARTIST;
  }
}

/* Mean distance from the truth of the frames that are not the artist's, with what is carried there and without. */
static double mean_error(const shot *s, const carried *all, int kind) {
  double sum = 0;
  size_t count = 0;
  for (int t = 0; t < FRAMES; ++t)
    for (int i = 0; i < POINTS; ++i) {
      const document_point *p = &s->doc.frames[t].points[i];
      if (p->origin == ORIGIN_ARTIST || (kind >= 0 && s->kind[t] != kind)) continue;
      double x = p->raw_x + (all ? all[t * POINTS + i].x : 0), y = p->raw_y + (all ? all[t * POINTS + i].y : 0);
      sum += hypot(x - s->truth[t][i][0], y - s->truth[t][i][1]), ++count;
    }
  return sum / (double)count;
}

static int first_of(const shot *s, int kind) {
  for (int t = 0; t < FRAMES; ++t)
    if (s->kind[t] == kind) return t;
  return 0;
}

static void corrections_help_like_poses(void) {
  static shot s;
  rng r = {11};
  simulate(&s, &r, 0.2, 0);
  carried *all = carry_corrections(&s.doc, 0);
  for (int k = 0; k < FRAMES * POINTS; ++k) CHECK(all[k].x == 0 && all[k].y == 0 && all[k].left == 1);
  free(all);
  /* One frame: its kind of pose is mended; others, which err in ways of their own, are hardly spoilt by what all might share. */
  correct(&s, first_of(&s, 2));
  all = carry_corrections(&s.doc, 0);
  double own = mean_error(&s, all, 2) / mean_error(&s, NULL, 2), others = mean_error(&s, all, 3) / mean_error(&s, NULL, 3);
  printf("one frame corrected: error of its kind of pose times %.3f, of another %.3f\n", own, others);
  CHECK(own < 0.45 && others < 1.04 && others > 0.9);
  for (int t = 0; t < FRAMES; ++t) {
    const carried *c = &all[t * POINTS];
    int artist = s.doc.frames[t].points[0].origin == ORIGIN_ARTIST;
    CHECK(artist           ? c->x == 0 && c->y == 0 && c->left == 1
          : s.kind[t] == 2 ? c->left < 0.7
                           : c->left > 0.9,
          "frame %d: %g", t, c->left);
  }
  free(all);
  /* One of each kind; and many, more than teach one frame. */
  for (int k = 0; k < KINDS; ++k) correct(&s, first_of(&s, k));
  double before = mean_error(&s, NULL, -1);
  all = carry_corrections(&s.doc, 0);
  double few = mean_error(&s, all, -1) / before;
  free(all);
  for (int t = 0; t < FRAMES; t += 3) correct(&s, t);
  all = carry_corrections(&s.doc, 0);
  double many = mean_error(&s, all, -1) / mean_error(&s, NULL, -1);
  free(all);
  printf("one frame of each kind of pose: error times %.3f; every third frame: %.3f\n", few, many);
  CHECK(few < 0.45 && many < 0.25);
  document_free(&s.doc);
}

/* A subject the model never saw is wrong in all poses alike, and a little more in each: frames of any pose help all. */
static void what_all_share_is_carried_to_all(void) {
  static shot s;
  rng r = {13};
  simulate(&s, &r, 0.2, 2);
  double before = mean_error(&s, NULL, 5);
  for (int k = 0; k < 5; ++k) correct(&s, first_of(&s, k));
  carried *all = carry_corrections(&s.doc, 0);
  double others = mean_error(&s, all, 5) / before;
  free(all);
  printf("five frames corrected, none of this pose, of a subject that is wrong in all: error times %.3f\n", others);
  CHECK(others < 0.8);
  document_free(&s.doc);
}

/* Causal: a frame knows nothing of what comes later; and what says nothing teaches nothing. */
static void only_what_is_known_teaches(void) {
  static shot s;
  rng r = {12};
  simulate(&s, &r, 0.2, 0);
  int at = 90, kind = s.kind[at];
  correct(&s, at);
  carried *all = carry_corrections(&s.doc, 1);
  for (int t = 0; t < FRAMES; ++t) {
    const carried *c = &all[t * POINTS];
    int gains = t > at && s.kind[t] == kind;
    CHECK(t <= at ? c->left == 1 && c->x == 0 : gains ? c->left < 0.7 : 1, "frame %d: %g", t, c->left);
  }
  free(all);
  for (int i = 0; i < POINTS; ++i) {
    document_point *p = &s.doc.frames[at].points[i];
    if (i % 2)
      p->hidden = 1; /* where it is says nothing */
    else
      p->raw_x = p->x, p->raw_y = p->y, p->error = 0; /* from elsewhere: what the model found is not known */
  }
  all = carry_corrections(&s.doc, 0);
  for (int k = 0; k < FRAMES * POINTS; ++k) CHECK(all[k].x == 0 && all[k].y == 0 && all[k].left == 1);
  free(all);
  /* Said to be right where the model found it: nothing moves, and less is to be feared. */
  for (int i = 0; i < POINTS; ++i) {
    document_point *p = &s.doc.frames[at].points[i];
    p->hidden = 0, p->error = 1, p->x = p->raw_x, p->y = p->raw_y;
  }
  all = carry_corrections(&s.doc, 0);
  for (int t = 0; t < FRAMES; ++t)
    CHECK(all[t * POINTS].x == 0 && (t == at || s.kind[t] != kind || all[t * POINTS].left < 0.7));
  free(all);
  document_free(&s.doc);
}

int main(void) {
  corrections_help_like_poses();
  what_all_share_is_carried_to_all();
  only_what_is_known_teaches();
  return check_end("test_carry");
}
