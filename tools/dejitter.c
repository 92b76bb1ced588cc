/* A link depends on its two frames alone, so it does not matter who measures it: `roto run` while it has the pictures, or
 * dejitter_track from the plate, where each thread takes a stretch of consecutive frames and holds two pyramids at a time.
 * Everything that smoothing uses is first rounded as the document keeps it: smoothing a document that was read gives what the run
 * that wrote it gave. */

#include "dejitter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "image_file.h"

enum { FARTHEST_FRAME = 2, LARGEST_PYRAMID = 1024 /* pixels of a side */ };

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

int dejitter_follows(const document_frame *from, const document_frame *to) {
  return to->number - from->number <= FARTHEST_FRAME;
}

void dejitter_round(const document *doc, document_frame *frame) {
  for (size_t i = 0; i < doc->point_count; ++i) {
    document_point *p = &frame->points[i];
    p->raw_x = document_number(p->raw_x), p->raw_y = document_number(p->raw_y), p->error = document_number(p->error);
    if (p->origin == ORIGIN_ARTIST) p->x = document_number(p->x), p->y = document_number(p->y);
  }
}

/* The square around a frame's points that flow looks at, and the size of the pyramid's pixels in it: a power of two, so that
 * pyramids of all frames fit each other. */
typedef struct view {
  double x, y, side, pixel;
} view;

static view frame_view(const document *doc, const document_frame *frame) {
  size_t n = doc->point_count, cut = n / 16; /* a point that went astray must not make all others coarse */
  double *column = (double *)cli_alloc(n, sizeof *column), middle[2], extent = 0, at[2];
  for (int k = 0; k < 2; ++k) {
    for (size_t i = 0; i < n; ++i) {
      seen_at(&frame->points[i], at);
      column[i] = at[k];
    }
    middle[k] = median(column, n);
    extent = fmax(extent, column[n - 1 - cut] - column[cut]);
  }
  free(column);
  view v = {0, 0, 64 * ceil((1.5 * extent + 64) / 64), 1};
  while (v.side > LARGEST_PYRAMID * v.pixel) v.pixel *= 2;
  /* Whole pixels: where nothing is scaled, nothing is interpolated. */
  v.x = floor(middle[0] - v.side / 2), v.y = floor(middle[1] - v.side / 2);
  return v;
}

roto_pyramid *dejitter_pyramid(const document *doc, const document_frame *frame, const image_file *image) {
  const view v = frame_view(doc, frame);
  const roto_rect region = {(float)v.x, (float)v.y, (float)v.side, (float)v.side};
  roto_image picture = image_view(image);
  roto_pyramid *pyramid;
  return roto_pyramid_create(&picture, region, (uint32_t)(v.side / v.pixel), NULL, &pyramid) ? NULL : pyramid;
}

/* NULL if the plate cannot be read. */
static roto_pyramid *load_pyramid(const document *doc, size_t index) {
  char message[MESSAGE_SIZE], *path = document_frame_path(doc, index);
  roto_pyramid *pyramid = NULL;
  image_file image;
  if (!image_read_channels(path, doc->channels, &image, message)) {
    image.transfer = doc->transfer;
    pyramid = dejitter_pyramid(doc, &doc->frames[index], &image);
    image_free(&image);
  }
  free(path);
  return pyramid;
}

static void set_link(document_point *p, double x, double y, double error) {
  p->flow_x = document_number(x), p->flow_y = document_number(y), p->flow_error = error < 0 ? -1 : document_number(error);
}

/* The flow there and back, of all points.  The expected error of a link is the geometric mean of what the patch's gradients
 * allow and of how far the point moves against the face as a whole (fitted to the rendered film's truth, where it explains three
 * quarters of the variance of the error's logarithm; doubled, because the errors' tails are heavy), plus the way that is missing
 * at the return. */
void dejitter_link(const document *doc, document_frame *a, const document_frame *b, const roto_pyramid *pa,
                   const roto_pyramid *pb) {
  size_t n = doc->point_count;
  double move[2], at[2], pixel = fmax(frame_view(doc, a).pixel, frame_view(doc, b).pixel);
  double *shift[2] = {(double *)cli_alloc(2 * n, sizeof(double)), NULL};
  float(*from)[2] = (float(*)[2])cli_alloc(3 * n, sizeof *from), (*to)[2] = from + n, (*back)[2] = to + n;
  roto_flow *there = (roto_flow *)cli_alloc(2 * n, sizeof *there), *home = there + n;
  shift[1] = shift[0] + n;
  for (size_t i = 0; i < n; ++i) {
    seen_at(&b->points[i], at);
    shift[0][i] = at[0], shift[1][i] = at[1];
    seen_at(&a->points[i], at);
    shift[0][i] -= at[0], shift[1][i] -= at[1];
    from[i][0] = (float)at[0], from[i][1] = (float)at[1];
  }
  for (int k = 0; k < 2; ++k) move[k] = median(shift[k], n);
  for (size_t i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) to[i][k] = from[i][k] + (float)move[k];
  roto_find_flow(pa, pb, (const float(*)[2])from, (const float(*)[2])to, n, there);
  for (size_t i = 0; i < n; ++i) {
    to[i][0] = there[i].x, to[i][1] = there[i].y;
    for (int k = 0; k < 2; ++k) back[i][k] = to[i][k] - (float)move[k];
  }
  roto_find_flow(pb, pa, (const float(*)[2])to, (const float(*)[2])back, n, home);
  for (size_t i = 0; i < n; ++i) {
    const roto_flow *f = &there[i], *h = &home[i];
    document_point *p = &a->points[i];
    double missing_x = (double)h->x - (double)from[i][0], missing_y = (double)h->y - (double)from[i][1];
    double x = (double)f->x - (double)from[i][0] - missing_x / 2, y = (double)f->y - (double)from[i][1] - missing_y / 2;
    double missing = hypot(missing_x, missing_y), own = hypot(x - move[0], y - move[1]);
    double seen = sqrt((double)(f->covariance[0] + f->covariance[2])), error = 2.4 * sqrt(seen * (own + 0.05 * pixel));
    int connected = f->found && h->found && fmax((double)f->residual, (double)h->residual) < most_residual &&
                    missing < most_return * pixel;
    if (wants_link(p)) set_link(p, x, y, connected ? fmax(0.02, hypot(error, missing)) : -1);
  }
  free(shift[0]);
  free(from);
  free(there);
}

/* Links that begin at frames `begin` to `end` - 1. */
static size_t track_stretch(document *doc, size_t begin, size_t end) {
  roto_pyramid *now = NULL; /* of the last frame that is not held, if it was loaded */
  size_t unread = 0, of = 0;
  for (size_t i = begin; i < end; ++i) {
    document_frame *a = &doc->frames[i], *b = a + 1;
    if (!frame_wants_links(doc, a) || !dejitter_follows(a, b)) continue;
    if (is_held(doc, b)) { /* its picture is the frame before */
      for (size_t k = 0; k < doc->point_count; ++k)
        if (wants_link(&a->points[k])) set_link(&a->points[k], 0, 0, held_error);
      continue;
    }
    size_t source = i;
    while (source > 0 && is_held(doc, &doc->frames[source])) --source;
    if (!now || of != source) {
      roto_pyramid_free(now);
      now = load_pyramid(doc, source), of = source;
    }
    roto_pyramid *next = load_pyramid(doc, i + 1);
    if (now && next)
      dejitter_link(doc, a, b, now, next);
    else
      ++unread;
    roto_pyramid_free(now);
    now = next, of = i + 1;
  }
  roto_pyramid_free(now);
  return unread;
}

void dejitter_track(document *doc, int threads, size_t *unread) {
  size_t links = doc->frame_count ? doc->frame_count - 1 : 0, missed = 0;
  document_settle_points(doc);
  for (size_t t = 0; t < doc->frame_count; ++t) dejitter_round(doc, &doc->frames[t]);
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#else
  threads = 1;
#endif
  int parts = links < (size_t)threads ? (int)links : threads;
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : missed)
#endif
  for (int part = 0; part < parts; ++part)
    missed += track_stretch(doc, links * (size_t)part / (size_t)parts, links * (size_t)(part + 1) / (size_t)parts);
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
      int linked = t + 1 < count && p->flow_error > 0 && dejitter_follows(&doc->frames[t], &doc->frames[t + 1]);
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
