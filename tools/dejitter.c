/* Each thread takes a stretch of consecutive frames and holds two pyramids at a time, so memory does not grow with the shot;
 * results do not depend on the threads.  Everything that smoothing uses is first rounded as the document keeps it: smoothing a
 * document that was read gives what the run that wrote it gave. */

#include "dejitter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "image_file.h"

enum { FARTHEST_FRAME = 2 };

static const double most_residual = 0.7; /* of the patches, see roto_flow: beyond, they show different things */
static const double most_return = 1;     /* pixels of the pyramid between a point and where flow there and back leads */
static const double held_error = 0.02;   /* of a link between a frame and its copy */

int dejitter_parse(const char *name, dejitter_mode *mode) {
  static const char *const names[] = {"off", "causal", "full"};
  for (int i = 0; i < 3; ++i)
    if (!strcmp(name, names[i])) return *mode = (dejitter_mode)i, 1;
  return 0;
}

/* ------------------------------------------------------------------ links */

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, size_t count) {
  qsort(values, count, sizeof *values, by_value);
  return count ? values[count / 2] : 0;
}

/* Where the point was seen: by the artist, else by the model. */
static void seen_at(const document_point *p, double at[2]) {
  at[0] = p->origin == ORIGIN_ARTIST ? p->x : p->raw_x;
  at[1] = p->origin == ORIGIN_ARTIST ? p->y : p->raw_y;
}

static int is_held(const document *doc, const document_frame *frame) {
  for (size_t i = 0; i < doc->point_count; ++i)
    if (frame->points[i].origin == ORIGIN_HELD) return 1;
  return 0;
}

/* Is the link that begins here to be measured: it never was, or the artist moved the point away from where it was? */
static int wants_link(const document_point *p) {
  int moved = p->origin == ORIGIN_ARTIST && hypot(p->x - p->raw_x, p->y - p->raw_y) > 1;
  return moved || !(p->flow_error > 0 || p->flow_error < 0);
}

static int frame_wants_links(const document *doc, const document_frame *frame) {
  for (size_t i = 0; i < doc->point_count; ++i)
    if (wants_link(&frame->points[i])) return 1;
  return 0;
}

static int follows(const document_frame *a, const document_frame *b) {
  return b->number - a->number <= FARTHEST_FRAME;
}

/* Side of the square around a frame's points that flow looks at: the same in all frames, so that all pyramids have one scale. */
static double region_side(const document *doc) {
  double *sides = (double *)cli_alloc(doc->frame_count, sizeof *sides);
  for (size_t t = 0; t < doc->frame_count; ++t) {
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY}, at[2];
    for (size_t i = 0; i < doc->point_count; ++i) {
      seen_at(&doc->frames[t].points[i], at);
      for (int k = 0; k < 2; ++k) low[k] = fmin(low[k], at[k]), high[k] = fmax(high[k], at[k]);
    }
    sides[t] = fmax(high[0] - low[0], high[1] - low[1]);
  }
  double side = ceil(1.5 * median(sides, doc->frame_count) + 64);
  free(sides);
  return side;
}

typedef struct tracker {
  document *doc;
  double side;      /* of the region, pixels of the frame */
  double pixel;     /* of the pyramid, in pixels of the frame */
  double *shift[2]; /* a thread's scratch, point_count each */
  float (*from)[2], (*to)[2], (*back)[2];
  roto_flow *there, *home;
} tracker;

/* NULL if the plate cannot be read. */
static roto_pyramid *load_pyramid(const tracker *t, size_t index) {
  const document_frame *frame = &t->doc->frames[index];
  char message[MESSAGE_SIZE], *path = document_frame_path(t->doc, index);
  roto_pyramid *pyramid = NULL;
  image_file image;
  if (!image_read_channels(path, t->doc->channels, &image, message)) {
    image.transfer = t->doc->transfer;
    roto_image view = image_view(&image);
    for (int k = 0; k < 2; ++k)
      for (size_t i = 0; i < t->doc->point_count; ++i) {
        double at[2];
        seen_at(&frame->points[i], at);
        t->shift[k][i] = at[k];
      }
    double x = median(t->shift[0], t->doc->point_count), y = median(t->shift[1], t->doc->point_count);
    /* Whole pixels: where nothing is scaled, nothing is interpolated. */
    roto_rect region = {(float)floor(x - t->side / 2), (float)floor(y - t->side / 2), (float)t->side, (float)t->side};
    if (roto_pyramid_create(&view, region, 0, NULL, &pyramid)) pyramid = NULL;
    image_free(&image);
  }
  free(path);
  return pyramid;
}

static void set_link(document_point *p, double x, double y, double error) {
  p->flow_x = document_number(x), p->flow_y = document_number(y), p->flow_error = error < 0 ? -1 : document_number(error);
}

/* The flow from a to b, there and back, of the points whose link is not known.  The expected error of a link is the geometric
 * mean of what the patch's gradients allow and of how far the point moves against the face as a whole (fitted to the rendered
 * film's truth, where it explains three quarters of the variance of the error's logarithm; doubled, because the errors' tails are
 * heavy), plus the way that is missing at the
 * return. */
static void link_frames(const tracker *t, document_frame *a, const document_frame *b, const roto_pyramid *pa,
                        const roto_pyramid *pb) {
  size_t n = t->doc->point_count;
  double move[2], at[2];
  for (size_t i = 0; i < n; ++i) {
    seen_at(&b->points[i], at);
    t->shift[0][i] = at[0], t->shift[1][i] = at[1];
    seen_at(&a->points[i], at);
    t->shift[0][i] -= at[0], t->shift[1][i] -= at[1];
    t->from[i][0] = (float)at[0], t->from[i][1] = (float)at[1];
  }
  for (int k = 0; k < 2; ++k) move[k] = median(t->shift[k], n);
  for (size_t i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) t->to[i][k] = t->from[i][k] + (float)move[k];
  roto_find_flow(pa, pb, (const float(*)[2])t->from, (const float(*)[2])t->to, n, t->there);
  for (size_t i = 0; i < n; ++i) {
    t->to[i][0] = t->there[i].x, t->to[i][1] = t->there[i].y;
    for (int k = 0; k < 2; ++k) t->back[i][k] = t->to[i][k] - (float)move[k];
  }
  roto_find_flow(pb, pa, (const float(*)[2])t->to, (const float(*)[2])t->back, n, t->home);
  for (size_t i = 0; i < n; ++i) {
    const roto_flow *f = &t->there[i], *h = &t->home[i];
    document_point *p = &a->points[i];
    double missing_x = (double)h->x - (double)t->from[i][0], missing_y = (double)h->y - (double)t->from[i][1];
    double x = (double)f->x - (double)t->from[i][0] - missing_x / 2, y = (double)f->y - (double)t->from[i][1] - missing_y / 2;
    double missing = hypot(missing_x, missing_y), own = hypot(x - move[0], y - move[1]);
    double seen = sqrt((double)(f->covariance[0] + f->covariance[2])), error = 2.4 * sqrt(seen * (own + 0.05 * t->pixel));
    int connected = f->found && h->found && fmax((double)f->residual, (double)h->residual) < most_residual &&
                    missing < most_return * t->pixel;
    if (wants_link(p)) set_link(p, x, y, connected ? fmax(0.02, hypot(error, missing)) : -1);
  }
}

/* Links that begin at frames `begin` to `end` - 1. */
static size_t track_stretch(const tracker *t, size_t begin, size_t end) {
  document *doc = t->doc;
  roto_pyramid *now = NULL; /* of the last frame that is not held, if it was loaded */
  size_t unread = 0, of = 0;
  for (size_t i = begin; i < end; ++i) {
    document_frame *a = &doc->frames[i], *b = a + 1;
    if (!frame_wants_links(doc, a) || !follows(a, b)) continue;
    if (is_held(doc, b)) { /* its picture is the frame before */
      for (size_t k = 0; k < doc->point_count; ++k)
        if (wants_link(&a->points[k])) set_link(&a->points[k], 0, 0, held_error);
      continue;
    }
    size_t source = i;
    while (source > 0 && is_held(doc, &doc->frames[source])) --source;
    if (!now || of != source) {
      roto_pyramid_free(now);
      now = load_pyramid(t, source), of = source;
    }
    roto_pyramid *next = load_pyramid(t, i + 1);
    if (now && next)
      link_frames(t, a, b, now, next);
    else
      ++unread;
    roto_pyramid_free(now);
    now = next, of = i + 1;
  }
  roto_pyramid_free(now);
  return unread;
}

void dejitter_track(document *doc, int threads, size_t *unread) {
  size_t links = doc->frame_count ? doc->frame_count - 1 : 0, n = doc->point_count, missed = 0;
  for (size_t t = 0; t < doc->frame_count; ++t)
    for (size_t i = 0; i < n; ++i) {
      document_point *p = &doc->frames[t].points[i];
      p->raw_x = document_number(p->raw_x), p->raw_y = document_number(p->raw_y), p->error = document_number(p->error);
      if (p->origin == ORIGIN_ARTIST) p->x = document_number(p->x), p->y = document_number(p->y);
    }
  double side = region_side(doc), pixel = fmax(1, side / 768);
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#else
  threads = 1;
#endif
  int parts = links < (size_t)threads ? (int)links : threads;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : missed)
#endif
  for (int part = 0; part < parts; ++part) {
    tracker t = {doc, side, pixel, {NULL, NULL}, NULL, NULL, NULL, NULL, NULL};
    for (int k = 0; k < 2; ++k) t.shift[k] = (double *)cli_alloc(n, sizeof(double));
    t.from = (float(*)[2])cli_alloc(3 * n, sizeof *t.from), t.to = t.from + n, t.back = t.to + n;
    t.there = (roto_flow *)cli_alloc(2 * n, sizeof *t.there), t.home = t.there + n;
    missed += track_stretch(&t, links * (size_t)part / (size_t)parts, links * (size_t)(part + 1) / (size_t)parts);
    for (int k = 0; k < 2; ++k) free(t.shift[k]);
    free(t.from);
    free(t.there);
  }
  if (unread) *unread = missed;
}

/* ------------------------------------------------------------------ tracks */

int dejitter_smooth(document *doc, dejitter_mode mode, char *message) {
  size_t count = doc->frame_count;
  roto_observation *seen = (roto_observation *)cli_alloc(count + 1, sizeof *seen);
  roto_link *links = (roto_link *)cli_alloc(count + 1, sizeof *links);
  roto_smoothed *smooth = (roto_smoothed *)cli_alloc(count + 1, sizeof *smooth);
  roto_status status = ROTO_OK;
  for (size_t i = 0; i < doc->point_count && status == ROTO_OK; ++i) {
    for (size_t t = 0; t < count; ++t) {
      const document_point *p = &doc->frames[t].points[i];
      double at[2];
      seen_at(p, at);
      int linked = t + 1 < count && p->flow_error > 0 && follows(&doc->frames[t], &doc->frames[t + 1]);
      seen[t] = (roto_observation){(float)at[0], (float)at[1], p->origin == ORIGIN_HELD ? 0 : (float)p->error,
                                   p->origin == ORIGIN_ARTIST};
      links[t] = (roto_link){(float)p->flow_x, (float)p->flow_y, linked ? (float)p->flow_error : 0};
    }
    if (mode != DEJITTER_OFF) status = roto_smooth(seen, links, count, mode == DEJITTER_CAUSAL, NULL, smooth);
    for (size_t t = 0; t < count && status == ROTO_OK; ++t) {
      document_point *p = &doc->frames[t].points[i];
      if (p->origin == ORIGIN_ARTIST) continue;
      p->x = mode == DEJITTER_OFF ? p->raw_x : (double)smooth[t].x;
      p->y = mode == DEJITTER_OFF ? p->raw_y : (double)smooth[t].y;
      if (p->origin != ORIGIN_HELD) p->origin = mode == DEJITTER_OFF ? ORIGIN_PREDICTED : ORIGIN_SMOOTHED;
    }
  }
  free(seen);
  free(links);
  free(smooth);
  return status == ROTO_OK ? 0 : message_set(message, "the shot cannot be smoothed: %s", roto_status_text(status));
}
