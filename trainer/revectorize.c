/* Paths of the raw shapes once a frame, closed ones turned to the template's direction; then the rules in their order, each a
 * place on a contour; then one fit a shape.
 *
 * The medial axis needs no picture: the largest circle inside the contour that touches it at p shrinks until no other sample
 * of the contour lies within; its centre is on the axis.  Centres whose two touching points are seen under an angle near a
 * half turn belong to the trunk, the others to branches towards bends of the contour (Ma, Bae, Choi: "3D medial axis point
 * approximation using nearest neighbors and the normal field", 2012, in two dimensions). */

#include "revectorize.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI 3.14159265358979323846
#define CORNER_RADIANS (20 * PI / 180)
/* Angle under which a centre of the trunk sees its two touching points.  Mean distance of brow tips to those of the authors
 * of the paper on 11 of their frames: 60 degrees 1.44 px, 80 1.46, 90 1.35, 100 1.64, 110 2.05, 120 2.34.  The ends of the
 * cubic held at the ends of the axis: 1.75 at best.  Weights by the spacing of the centres: no better.  Zhang and Suen's
 * thinning of a raster 1.4 times finer than the frame: 0.81 (medians over six rasters and a parabola for brows seen from their end:
 * 0.68, at most 3.9), but it jumps from frame to frame. */
#define AXIS_RADIANS (90 * PI / 180)
/* Pieces of a drawn shape join within this, pixels: files are rounded. */
#define JOIN_GAP 0.1

/* And samples are equally near within this: of two such at one eye of the public data the authors took the later. */
#define ROUNDING 0.002

/* ---- the medial axis ---- */

enum { AXIS_SAMPLES = 240 };

/* Least-squares cubic through points whose parameters are known, then parameters by the nearest point, a few times. */
static int fit_axis(double (*point)[2], double *t, size_t count, roto_cubic *axis) {
  int round, i, k;
  size_t n;
  for (round = 0; round < 12; ++round) {
    double a[4][4] = {{0}}, bx[4] = {0}, by[4] = {0};
    for (n = 0; n < count; ++n) {
      double u = 1 - t[n], w[4];
      w[0] = u * u * u;
      w[1] = 3 * u * u * t[n];
      w[2] = 3 * u * t[n] * t[n];
      w[3] = t[n] * t[n] * t[n];
      for (i = 0; i < 4; ++i) {
        for (k = 0; k < 4; ++k) a[i][k] += w[i] * w[k];
        bx[i] += w[i] * point[n][0];
        by[i] += w[i] * point[n][1];
      }
    }
    for (i = 0; i < 4; ++i) { /* Gauss and Jordan; the matrix is positive definite if four parameters differ */
      double pivot = a[i][i];
      int r;
      if (!(pivot > 1e-12)) return -1;
      for (k = 0; k < 4; ++k) a[i][k] /= pivot;
      bx[i] /= pivot;
      by[i] /= pivot;
      for (r = 0; r < 4; ++r) {
        double factor = a[r][i];
        if (r == i) continue;
        for (k = 0; k < 4; ++k) a[r][k] -= factor * a[i][k];
        bx[r] -= factor * bx[i];
        by[r] -= factor * by[i];
      }
    }
    memcpy(axis->x, bx, sizeof bx);
    memcpy(axis->y, by, sizeof by);
    for (n = 0; n < count; ++n) t[n] = cubic_nearest(axis, point[n][0], point[n][1], NULL);
  }
  return 0;
}

/* From the end of the axis along its tangent to the farthest crossing of the contour. */
static double extend_axis(const bezier_path *contour, const roto_cubic *axis, int at_end) {
  double end[2], direction[2], found[16][2], reach = path_length(contour), best = -1, place = 0;
  roto_cubic ray_piece;
  bezier_path ray;
  size_t count, i;
  int k;
  roto_cubic_at(axis, at_end, end);
  cubic_tangent(axis, at_end, direction);
  for (k = 0; k < 4; ++k) {
    double along = (at_end ? reach : -reach) * k / 3;
    ray_piece.x[k] = end[0] + along * direction[0];
    ray_piece.y[k] = end[1] + along * direction[1];
  }
  if (path_create(&ray, &ray_piece, 1, 0) == 0 && ray.count) {
    count = path_intersect(contour, &ray, found, 16);
    for (i = 0; i < count; ++i) {
      if (found[i][1] <= best) continue;
      best = found[i][1];
      place = found[i][0];
    }
  }
  path_free(&ray);
  return best >= 0 ? place : path_nearest(contour, end[0], end[1], NULL);
}

int revec_tips(const bezier_path *contour, double dx, double dy, double places[2]) {
  double sample[AXIS_SAMPLES][2], normal[AXIS_SAMPLES][2], centre[AXIS_SAMPLES][2], t[AXIS_SAMPLES];
  double mean[2] = {0, 0}, xx = 0, xy = 0, yy = 0, axis_x, axis_y, low = INFINITY, high = -INFINITY, angle,
         length = path_length(contour);
  double inward = path_area(contour) > 0 ? 1 : -1;
  size_t i, k, count = 0;
  roto_cubic axis;
  for (i = 0; i < AXIS_SAMPLES; ++i) {
    double tangent[2];
    path_at(contour, length * (double)i / AXIS_SAMPLES, sample[i], tangent);
    normal[i][0] = -tangent[1] * inward;
    normal[i][1] = tangent[0] * inward;
    mean[0] += sample[i][0] / AXIS_SAMPLES;
    mean[1] += sample[i][1] / AXIS_SAMPLES;
  }
  for (i = 0; i < AXIS_SAMPLES; ++i) {
    double x = sample[i][0] - mean[0], y = sample[i][1] - mean[1];
    xx += x * x;
    xy += x * y;
    yy += y * y;
  }
  angle = 0.5 * atan2(2 * xy, xx - yy);
  axis_x = cos(angle);
  axis_y = sin(angle);
  if (axis_x * dx + axis_y * dy < 0) {
    axis_x = -axis_x;
    axis_y = -axis_y;
  }
  for (i = 0; i < AXIS_SAMPLES; ++i) {
    double radius = INFINITY, touch[2] = {0, 0}, c[2], ax, ay, bx, by;
    for (k = 0; k < AXIS_SAMPLES; ++k) {
      double x = sample[k][0] - sample[i][0], y = sample[k][1] - sample[i][1], along = x * normal[i][0] + y * normal[i][1], r;
      if (along <= 1e-9) continue;
      r = (x * x + y * y) / (2 * along);
      if (r >= radius) continue;
      radius = r;
      touch[0] = sample[k][0];
      touch[1] = sample[k][1];
    }
    if (!isfinite(radius)) continue;
    c[0] = sample[i][0] + radius * normal[i][0];
    c[1] = sample[i][1] + radius * normal[i][1];
    ax = sample[i][0] - c[0];
    ay = sample[i][1] - c[1];
    bx = touch[0] - c[0];
    by = touch[1] - c[1];
    if (ax * bx + ay * by > cos(AXIS_RADIANS) * radius * radius) continue;
    centre[count][0] = c[0];
    centre[count++][1] = c[1];
  }
  for (i = 0; i < count; ++i) {
    t[i] = (centre[i][0] - mean[0]) * axis_x + (centre[i][1] - mean[1]) * axis_y;
    low = fmin(low, t[i]);
    high = fmax(high, t[i]);
  }
  if (count < 8 || !(high - low > 1e-3 * length)) return -1;
  for (i = 0; i < count; ++i) t[i] = (t[i] - low) / (high - low);
  if (fit_axis(centre, t, count, &axis)) return -1;
  places[0] = extend_axis(contour, &axis, 0);
  places[1] = extend_axis(contour, &axis, 1);
  return 0;
}

/* ---- rules ---- */

/* What the words after a rule's name are: C the contour, S another shape, A and B landmarks, D a side, E a side or a
 * shape, F a number. */
static const struct {
  const char *name, *words;
} rule_forms[RULE_KIND_COUNT] = {{"", ""},        {"nearest", "CS"},  {"skeleton", "CD"}, {"corner", "CE"}, {"extreme", "CD"},
                                 {"arc", "CABF"}, {"beside", "CAFS"}, {"middle", "C"},    {"far", "CS"}};

static const struct {
  const char *name;
  double direction[2];
} sides[] = {{"left", {-1, 0}}, {"right", {1, 0}}, {"up", {0, -1}}, {"down", {0, 1}}};

enum { WORD_SIZE = 64 };

/* One word of a rule into its place; what was expected if it does not fit, else NULL. */
static const char *read_word(const character *ch, char form, const char *word, revec_rule *rule) {
  int landmark = character_find_landmark(ch, word), used = -1;
  size_t i;
  switch (form) {
    case 'A':
    case 'B':
      if (landmark < 0) return "a landmark";
      *(form == 'A' ? &rule->from : &rule->to) = (uint32_t)landmark;
      return NULL;
    case 'D':
    case 'E':
      for (i = 0; i < sizeof sides / sizeof *sides; ++i) {
        if (strcmp(sides[i].name, word)) continue;
        memcpy(rule->direction, sides[i].direction, sizeof rule->direction);
        return NULL;
      }
      if (form == 'D') return "left, right, up or down";
      strcpy(rule->other, word);
      return NULL;
    case 'F':
      if (sscanf(word, "%lf%n", &rule->number, &used) == 1 && !word[used] && fabs(rule->number) <= 1e3) return NULL;
      return "a number";
    default:
      strcpy(form == 'C' ? rule->contour : rule->other, word);
      return NULL;
  }
}

static int read_rule(const character *ch, uint32_t index, revec_rule *rule, char *message) {
  const char *text = ch->landmarks[index].rule, *name = ch->landmarks[index].name, *form, *expected = NULL;
  char word[WORD_SIZE];
  int used = 0, kind;
  memset(rule, 0, sizeof *rule);
  if (sscanf(text, "%63s%n", word, &used) != 1) return 0;
  for (kind = 1; kind < RULE_KIND_COUNT && strcmp(rule_forms[kind].name, word); ++kind) continue;
  if (kind == RULE_KIND_COUNT) {
    return message_set(message,
                       "%s: landmark %s: rule \"%.80s\": %s is no rule; there are nearest, skeleton, corner, extreme, "
                       "arc, beside, middle and far",
                       ch->name, name, text, word);
  }
  rule->kind = (rule_kind)kind;
  for (form = rule_forms[kind].words; *form && !expected; ++form) {
    int length = 0;
    text += used;
    if (sscanf(text, "%63s%n", word, &length) != 1) {
      expected = "more words";
      strcpy(word, "its end");
    } else {
      expected = read_word(ch, *form, word, rule);
    }
    used = length;
  }
  if (!expected && sscanf(text + used, "%63s", word) == 1) expected = "its end";
  if (!expected) return 0;
  return message_set(message, "%s: landmark %s: rule \"%.80s\": expected %s, found %s", ch->name, name,
                     ch->landmarks[index].rule, expected, word);
}

int revec_rules_read(const character *ch, revec_rules *rules, char *message) {
  uint32_t n = ch->landmark_count, i, ordered = 0, before;
  unsigned char *done = calloc(n, 1);
  memset(rules, 0, sizeof *rules);
  rules->count = n;
  rules->rules = calloc(n, sizeof *rules->rules);
  rules->order = calloc(n, sizeof *rules->order);
  if (!done || !rules->rules || !rules->order) {
    free(done);
    revec_rules_free(rules);
    return message_set(message, "%s: out of memory", ch->name);
  }
  for (i = 0; i < n; ++i) {
    if (!read_rule(ch, i, &rules->rules[i], message)) continue;
    free(done);
    revec_rules_free(rules);
    return -1;
  }
  do {
    before = ordered;
    for (i = 0; i < n; ++i) {
      const revec_rule *r = &rules->rules[i];
      int ready = r->kind == RULE_ARC ? done[r->from] && done[r->to] : r->kind == RULE_BESIDE ? done[r->from] : 1;
      if (done[i] || !ready) continue;
      done[i] = 1;
      rules->order[ordered++] = i;
    }
  } while (ordered > before);
  for (i = 0; i < n && done[i]; ++i) continue;
  free(done);
  if (ordered == n) return 0;
  revec_rules_free(rules);
  return message_set(message, "%s: landmark %s: rule \"%.80s\" leads back to itself", ch->name, ch->landmarks[i].name,
                     ch->landmarks[i].rule);
}

void revec_rules_free(revec_rules *rules) {
  free(rules->rules);
  free(rules->order);
  memset(rules, 0, sizeof *rules);
}

/* ---- one frame ---- */

int revec_path(const frame_shape *shape, int closed, bezier_path *p, char *message) {
  uint32_t n = shape->segment_count, i;
  roto_cubic *pieces = calloc(n + 1, sizeof *pieces);
  int result = -1;
  memset(p, 0, sizeof *p);
  for (i = 0; pieces && i < n; ++i) {
    const segment *s = &shape->segments[i], *next = &shape->segments[(i + 1) % n];
    double gap = hypot((double)s->x[2] - (double)next->x[0], (double)s->y[2] - (double)next->y[0]);
    if (gap > JOIN_GAP && (closed || i + 1 < n)) {
      message_set(message, "shape %s: segment %u ends %.2f px from where segment %u starts: expected a%s curve in one piece",
                  shape->name, i, gap, (i + 1) % n, closed ? " closed" : "n open");
      break;
    }
    pieces[i].x[0] = (double)s->x[0];
    pieces[i].x[1] = (double)s->x[0] + (double)s->x[1];
    pieces[i].x[2] = (double)s->x[2] + (double)s->x[3];
    pieces[i].x[3] = (double)s->x[2];
    pieces[i].y[0] = (double)s->y[0];
    pieces[i].y[1] = (double)s->y[0] + (double)s->y[1];
    pieces[i].y[2] = (double)s->y[2] + (double)s->y[3];
    pieces[i].y[3] = (double)s->y[2];
  }
  if (!pieces || (i == n && path_create(p, pieces, n, closed))) {
    message_set(message, "shape %s: out of memory", shape->name);
  } else if (i == n && (!p->count || path_length(p) < 1)) {
    message_set(message, "shape %s: %u segment%s of %.3g px in all: expected a curve of at least 1 px", shape->name, n,
                n == 1 ? "" : "s", p->count ? path_length(p) : 0.0);
    path_free(p);
  } else if (i == n) {
    result = 0;
  }
  free(pieces);
  return result;
}

/* A frame while its landmarks are looked for. */
typedef struct search {
  const character *ch;
  const revec_rules *rules;
  frame *f;
  bezier_path *paths; /* [raw_count]; count 0: cannot be used */
  double *place;      /* [landmark_count] on the contour of its rule */
  void (*say)(void *user, const char *text);
  void *user;
} search;

static void tell(search *s, const char *format, ...) MESSAGE_FORMAT(2, 3);
static void tell(search *s, const char *format, ...) {
  char text[MESSAGE_SIZE];
  va_list list;
  if (!s->say) return;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  s->say(s->user, text);
}

static const bezier_path *find_path(const search *s, const char *name, const frame_shape **shape) {
  uint32_t i;
  for (i = 0; i < s->f->raw_count; ++i) {
    if (strcmp(s->f->raw[i].name, name)) continue;
    if (shape) *shape = &s->f->raw[i];
    return s->paths[i].count ? &s->paths[i] : NULL;
  }
  return NULL;
}

/* Does the path cross itself?  Neighbouring pieces share a vertex, which is no crossing. */
static int crosses_itself(const bezier_path *p, double where[2]) {
  size_t i, k, n;
  for (i = 0; i < p->count; ++i) {
    for (k = i + 1; k < p->count; ++k) {
      int joined = k == i + 1, around = p->closed && i == 0 && k + 1 == p->count;
      double found[9][2];
      n = cubic_intersect(&p->pieces[i], &p->pieces[k], found, 9);
      while (n-- > 0) {
        if (joined && found[n][0] > 0.999 && found[n][1] < 0.001) continue;
        if (around && found[n][0] < 0.001 && found[n][1] > 0.999) continue;
        roto_cubic_at(&p->pieces[i], found[n][0], where);
        return 1;
      }
    }
  }
  return 0;
}

/* The paths of all raw shapes, closed ones in the template's direction. */
static void make_paths(search *s) {
  uint32_t i;
  for (i = 0; i < s->f->raw_count; ++i) {
    const frame_shape *raw = &s->f->raw[i];
    const segment *first = &raw->segments[0], *last = &raw->segments[raw->segment_count - 1];
    int k = character_find_shape(s->ch, raw->name), closed;
    char message[MESSAGE_SIZE];
    double where[2], area;
    bezier_path *p = &s->paths[i];
    closed = k >= 0 ? s->ch->shapes[k].closed
                    : hypot((double)last->x[2] - (double)first->x[0], (double)last->y[2] - (double)first->y[0]) <= JOIN_GAP;
    if (revec_path(raw, closed, p, message)) {
      tell(s, "%s", message);
      continue;
    }
    if (crosses_itself(p, where))
      tell(s, "shape %s crosses itself at (%.1f, %.1f); used all the same", raw->name, where[0], where[1]);
    if (!closed) continue;
    area = path_area(p);
    if (fabs(area) < 1e-4 * path_length(p) * path_length(p)) {
      tell(s, "shape %s encloses next to nothing (%.2g square pixels): its direction is a guess", raw->name, fabs(area));
    }
    if ((area < 0) != (k >= 0 && s->ch->anticlockwise[k])) path_reverse(p);
  }
}

/* Where `from` lies before `to` in the direction of a closed path: the way from one to the other. */
static double way(const bezier_path *p, double from, double to) {
  double span = to - from;
  return p->closed && span < 0 ? span + path_length(p) : span;
}

static double tip_of(const bezier_path *p, const double direction[2]) {
  double places[2];
  if (revec_tips(p, direction[0], direction[1], places)) return path_extreme(p, direction[0], direction[1]);
  return places[1];
}

/* The crossing of a contour with another shape, or where they come closest.  Of several crossings the first along the other
 * shape from its end that is farther from the contour: where it arrives. */
static double meeting(const bezier_path *p, const bezier_path *other) {
  double found[16][2], end[2], distance[2], best = INFINITY, place = 0;
  size_t n = path_intersect(p, other, found, 16), i;
  int k;
  if (!n) return path_approach(p, other, NULL, NULL);
  for (k = 0; k < 2; ++k) {
    path_at(other, k ? path_length(other) : 0, end, NULL);
    path_nearest(p, end[0], end[1], &distance[k]);
  }
  for (i = 0; i < n; ++i) {
    double along = distance[0] >= distance[1] ? found[i][1] : path_length(other) - found[i][1];
    if (along >= best) continue;
    best = along;
    place = found[i][0];
  }
  return place;
}

/* Where a landmark of another contour stands on this one. */
static double nearest_place(const search *s, const bezier_path *p, const float *point) {
  double place = path_nearest(p, (double)point[0], (double)point[1], NULL);
  return s->ch->samples ? path_sample(p, place, s->ch->samples) : place;
}

/* A landmark by its rule; 0 if what it needs is not there. */
static int find_landmark(search *s, uint32_t index) {
  const revec_rule *r = &s->rules->rules[index];
  const frame_shape *shape = NULL;
  const bezier_path *p = r->kind ? find_path(s, r->contour, &shape) : NULL, *other = NULL;
  double place = 0, point[2], length;
  if (!p) return 0;
  length = path_length(p);
  if (r->other[0] && !(other = find_path(s, r->other, NULL))) return 0;
  if ((r->kind == RULE_ARC || r->kind == RULE_BESIDE) && !s->f->valid[r->from]) return 0;
  if (r->kind == RULE_ARC && !s->f->valid[r->to]) return 0;
  switch (r->kind) {
    case RULE_NEAREST:
      place = s->ch->samples ? path_approach_samples(p, other, s->ch->samples, ROUNDING) : meeting(p, other);
      if (place < 0) return 0;
      break;
    case RULE_SKELETON:
      place = tip_of(p, r->direction);
      break;
    case RULE_CORNER: {
      double corners[64], tip = other ? meeting(p, other) : tip_of(p, r->direction), best = 0.05 * length;
      size_t n = path_corners(p, CORNER_RADIANS, corners, 64);
      place = tip;
      while (n-- > 0) {
        double d = fabs(corners[n] - tip);
        if (p->closed) d = fmin(d, length - d);
        if (d > best) continue;
        best = d;
        place = corners[n];
      }
      break;
    }
    case RULE_EXTREME:
      place = path_extreme(p, r->direction[0], r->direction[1]);
      break;
    case RULE_ARC: {
      double from, to;
      const float *a = &s->f->points[2 * r->from], *b = &s->f->points[2 * r->to];
      from = s->place[r->from];
      to = s->place[r->to];
      if (strcmp(s->rules->rules[r->from].contour, r->contour)) from = nearest_place(s, p, a);
      if (strcmp(s->rules->rules[r->to].contour, r->contour)) to = nearest_place(s, p, b);
      place = from + r->number * way(p, from, to);
      break;
    }
    case RULE_BESIDE: {
      const float *a = &s->f->points[2 * r->from];
      double top[2], bottom[2];
      path_at(other, path_extreme(other, 0, -1), top, NULL);
      path_at(other, path_extreme(other, 0, 1), bottom, NULL);
      place = path_nearest(p, (double)a[0], (double)a[1], NULL) + r->number * (bottom[1] - top[1]);
      break;
    }
    case RULE_MIDDLE:
      /* An even number of segments has a middle vertex, an odd one the middle of its middle segment. */
      if (shape->segment_count % 2 == 0) {
        const segment *g = &shape->segments[shape->segment_count / 2];
        place = path_nearest(p, (double)g->x[0], (double)g->y[0], NULL);
      } else {
        const bezier_path *q = p;
        roto_cubic c = q->pieces[q->count / 2];
        roto_cubic_at(&c, 0.5, point);
        place = path_nearest(p, point[0], point[1], NULL);
      }
      break;
    case RULE_FAR: {
      double first, last;
      path_at(p, 0, point, NULL);
      path_nearest(other, point[0], point[1], &first);
      path_at(p, length, point, NULL);
      path_nearest(other, point[0], point[1], &last);
      place = first >= last ? 0 : length;
      break;
    }
    default:
      return 0;
  }
  if (p->closed) {
    place = fmod(place, length);
    if (place < 0) place += length;
  }
  if (s->ch->samples) place = path_sample(p, place, s->ch->samples);
  s->place[index] = place;
  path_at(p, place, point, NULL);
  s->f->points[2 * index] = (float)point[0];
  s->f->points[2 * index + 1] = (float)point[1];
  return 1;
}

enum { MAX_VERTICES = 256 };

/* The template's vertices as places on the drawn path, ascending from the first; 0 if one is missing or they are not in the
 * template's order.  An open path is turned if it runs the other way. */
static int place_vertices(search *s, const roto_shape *shape, bezier_path *p, double *at) {
  uint32_t n = shape->vertex_count, v, k, known = 0;
  double length = path_length(p);
  for (v = 0; v < n; ++v) {
    int32_t l = shape->vertices[v];
    if (l < 0) continue;
    if (!s->f->valid[l]) {
      tell(s, "shape %s is left out: its landmark %s was not found", shape->name, s->ch->landmarks[l].name);
      return 0;
    }
    at[v] = strcmp(s->rules->rules[l].contour, shape->name)
                ? path_nearest(p, (double)s->f->points[2 * l], (double)s->f->points[2 * l + 1], NULL)
                : s->place[l];
    ++known;
  }
  if (known < 2 || (!shape->closed && (shape->vertices[0] < 0 || shape->vertices[n - 1] < 0))) {
    tell(s, "shape %s is left out: expected two of its vertices, and both ends of an open one, to be landmarks", shape->name);
    return 0;
  }
  if (!shape->closed && at[0] > at[n - 1]) {
    path_reverse(p);
    for (v = 0; v < n; ++v) at[v] = length - at[v];
  }
  for (v = 0; v < n; ++v) { /* runs of vertices that are no landmarks: equal arcs */
    uint32_t before = (v + n - 1) % n, run = 0;
    double from, span;
    if (shape->vertices[v] >= 0 || shape->vertices[before] < 0) continue;
    while (shape->vertices[(v + run) % n] < 0) ++run;
    from = at[before];
    span = way(p, from, at[(v + run) % n]);
    for (k = 0; k < run; ++k) at[(v + k) % n] = from + span * (k + 1) / (run + 1);
  }
  for (v = 1; v < n; ++v) {
    double step = way(p, at[v - 1], at[v]);
    if (p->closed) at[v] = at[v - 1] + step;
    if (!(step > 1e-4 * length)) break;
  }
  if (v < n || (p->closed && at[n - 1] - at[0] >= length * (1 - 1e-4))) {
    int32_t l = shape->vertices[v % n];
    tell(s, "shape %s is left out: vertex %u%s%s does not follow the one before in the template's order", shape->name, v % n,
         l >= 0 ? ", " : "", l >= 0 ? s->ch->landmarks[l].name : "");
    return 0;
  }
  return 1;
}

/* Fit one shape of the template to what was drawn.  -1: out of memory. */
static int fit_shape(search *s, uint32_t index, revec_fit *fit) {
  const roto_shape *shape = &s->ch->shapes[index];
  uint32_t n = shape->vertex_count, count = shape->closed ? n : n - 1, v;
  double at[MAX_VERTICES], corners[256], length, means[2], highest[2];
  unsigned char corner[MAX_VERTICES] = {0};
  roto_cubic cubics[MAX_VERTICES];
  frame_shape *out = &s->f->shapes[s->f->shape_count];
  bezier_path fitted;
  size_t c;
  bezier_path *p = NULL;
  for (v = 0; v < s->f->raw_count && !p; ++v) {
    if (!strcmp(s->f->raw[v].name, shape->name) && s->paths[v].count) p = &s->paths[v];
  }
  if (!p || n > MAX_VERTICES || !place_vertices(s, shape, p, at)) return 0;
  length = path_length(p);
  c = path_corners(p, CORNER_RADIANS, corners, 256);
  while (c-- > 0) {
    double best = 0.01 * length;
    uint32_t nearest = n;
    for (v = 0; v < n; ++v) {
      double d = fabs(fmod(at[v], length) - corners[c]);
      if (p->closed) d = fmin(d, length - d);
      if (d > best) continue;
      best = d;
      nearest = v;
    }
    if (nearest < n) corner[nearest] = 1;
  }
  if (path_fit(p, at, corner, n, cubics) || path_create(&fitted, cubics, count, shape->closed)) return -1;
  path_distance(&fitted, p, &means[0], &highest[0]);
  path_distance(p, &fitted, &means[1], &highest[1]);
  /* Beyond its ends an open shape is not followed, so only one direction counts. */
  fit->fitted = 1;
  fit->mean = shape->closed ? fmax(means[0], means[1]) : means[0];
  fit->maximum = shape->closed ? fmax(highest[0], highest[1]) : highest[0];
  path_free(&fitted);
  out->name = malloc(strlen(shape->name) + 1);
  out->segments = calloc(count, sizeof *out->segments);
  ++s->f->shape_count;
  if (!out->name || !out->segments) return -1;
  strcpy(out->name, shape->name);
  out->segment_count = count;
  for (v = 0; v < count; ++v) {
    const roto_cubic *q = &cubics[v];
    segment *g = &out->segments[v];
    g->x[0] = (float)q->x[0];
    g->x[1] = (float)(q->x[1] - q->x[0]);
    g->x[2] = (float)q->x[3];
    g->x[3] = (float)(q->x[2] - q->x[3]);
    g->y[0] = (float)q->y[0];
    g->y[1] = (float)(q->y[1] - q->y[0]);
    g->y[2] = (float)q->y[3];
    g->y[3] = (float)(q->y[2] - q->y[3]);
  }
  return 0;
}

/* Shapes that the rules or the template name and nobody drew. */
static void tell_missing(search *s) {
  uint32_t i, k;
  for (i = 0; i < s->ch->shape_count; ++i) {
    const frame_shape *drawn = NULL;
    find_path(s, s->ch->shapes[i].name, &drawn);
    if (!drawn) tell(s, "shape %s is missing", s->ch->shapes[i].name);
  }
  for (i = 0; i < s->rules->count; ++i) {
    for (k = 0; k < 2; ++k) {
      const char *name = k ? s->rules->rules[i].other : s->rules->rules[i].contour;
      const frame_shape *drawn = NULL;
      uint32_t m;
      if (!name[0] || character_find_shape(s->ch, name) >= 0) continue;
      find_path(s, name, &drawn);
      if (drawn) continue;
      for (m = 0; m < i; ++m) {
        if (!strcmp(s->rules->rules[m].other, name) || !strcmp(s->rules->rules[m].contour, name)) break;
      }
      if (m == i) tell(s, "shape %s is missing", name);
    }
  }
}

int revectorize_frame(const character *ch, const revec_rules *rules, frame *f, void (*say)(void *user, const char *text),
                      void *user, revec_fit *fits, char *message) {
  uint32_t n = ch->landmark_count, i, found = 0;
  int result = 0;
  search s;
  memset(&s, 0, sizeof s);
  s.ch = ch;
  s.rules = rules;
  s.f = f;
  s.say = say;
  s.user = user;
  s.paths = calloc(f->raw_count + 1, sizeof *s.paths);
  s.place = calloc(n, sizeof *s.place);
  f->points = calloc(n, 2 * sizeof *f->points);
  f->valid = calloc(n, 1);
  f->hidden = calloc(n, 1);
  f->shapes = calloc(ch->shape_count + 1, sizeof *f->shapes);
  if (!s.paths || !s.place || !f->points || !f->valid || !f->hidden || !f->shapes) {
    result = message_set(message, "out of memory");
  } else {
    make_paths(&s);
    tell_missing(&s);
    for (i = 0; i < n; ++i) {
      uint32_t index = rules->order[i];
      f->valid[index] = (uint8_t)find_landmark(&s, index);
      found += f->valid[index];
    }
    if (!found) result = message_set(message, "not one landmark of %s could be found in %u shapes", ch->name, f->raw_count);
    for (i = 0; i < ch->shape_count && !result; ++i) {
      revec_fit fit = {0, 0, 0};
      if (fit_shape(&s, i, &fit)) result = message_set(message, "out of memory");
      if (fits) fits[i] = fit;
    }
  }
  for (i = 0; s.paths && i < f->raw_count; ++i) path_free(&s.paths[i]);
  free(s.paths);
  free(s.place);
  return result;
}
