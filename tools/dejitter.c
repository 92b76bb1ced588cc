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

#include "carry.h"
#include "cli.h"
#include "image_file.h"
#include "median.h"

enum { FARTHEST_FRAME = 2, LARGEST_PYRAMID = 1024 /* pixels of a side */, LEAST_WHOLE = 8 /* points that make a face */ };

static const double most_residual = 0.7; /* of the patches, see roto_flow: beyond, they show different things */
static const double most_return = 1;     /* pixels of the pyramid between a point and where flow there and back leads */
static const double held_error = 0.02;   /* of a link between a frame and its copy */
static const double near_reach = 0.2;    /* of the face's half width: how far points move alike */
static const double whole_share = 0.2;   /* of the whole face in that, in neighbours */
/* Of a detection's expected error, what changes from frame to frame.  The rest is the same in all of a shot, and weighing links
 * against that too believes links between poses too much: at 1 the demo's shot is less steady smoothed than its ten views are.  Over
 * the demo's and five shots of the film jitter is least at 0.5 to 0.7, errors a little less at 1. */
static const double varying = 0.6;

int dejitter_parse(const char *name, dejitter_mode *mode) {
  static const char *const names[] = {"off", "causal", "full"};
  for (int i = 0; i < 3; ++i)
    if (!strcmp(name, names[i])) return *mode = (dejitter_mode)i, 1;
  return 0;
}

/* ------------------------------------------------------------------ links */

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

/* How the picture moves from one frame to the next: a way for each point, and what is to be expected of it (-1: nothing
 * connects). */
typedef struct motion {
  float (*from)[2], (*to)[2], (*back)[2];
  roto_flow *there, *home;
  double (*way)[2], *error, *distance, *sorted;
} motion;

/* Flow there, from `from` to near `to`, and back.  The expected error is the geometric mean of what the patch's gradients allow and
 * of how far the point moves against the face as a whole (fitted to the rendered film's truth, where it explains three quarters of
 * the variance of the error's logarithm; doubled, because the errors' tails are heavy), plus the way that is missing at the
 * return. */
static void measure(const motion *m, size_t n, const roto_pyramid *pa, const roto_pyramid *pb, double pixel) {
  for (size_t i = 0; i < n; ++i) /* where to look for the way back: as far as was expected there */
    for (int k = 0; k < 2; ++k) m->back[i][k] = m->from[i][k] - m->to[i][k];
  roto_find_flow(pa, pb, (const float(*)[2])m->from, (const float(*)[2])m->to, n, m->there);
  for (size_t i = 0; i < n; ++i) {
    m->way[i][0] = (double)m->to[i][0] - (double)m->from[i][0], m->way[i][1] = (double)m->to[i][1] - (double)m->from[i][1];
    m->to[i][0] = m->there[i].x, m->to[i][1] = m->there[i].y;
    for (int k = 0; k < 2; ++k) m->back[i][k] += m->to[i][k];
  }
  roto_find_flow(pb, pa, (const float(*)[2])m->to, (const float(*)[2])m->back, n, m->home);
  for (size_t i = 0; i < n; ++i) {
    const roto_flow *f = &m->there[i], *h = &m->home[i];
    double missing_x = (double)h->x - (double)m->from[i][0], missing_y = (double)h->y - (double)m->from[i][1];
    double x = (double)f->x - (double)m->from[i][0] - missing_x / 2, y = (double)f->y - (double)m->from[i][1] - missing_y / 2;
    double missing = hypot(missing_x, missing_y), own = hypot(x - m->way[i][0], y - m->way[i][1]);
    double seen = sqrt((double)(f->covariance[0] + f->covariance[2]));
    int connected =
        f->found && h->found && fmax((double)f->residual, (double)h->residual) < most_residual && missing < most_return * pixel;
    m->way[i][0] = x, m->way[i][1] = y;
    m->error[i] = connected ? hypot(2.4 * sqrt(seen * (own + 0.05 * pixel)), missing) : -1;
  }
}

/* Solves the symmetric a x = b, 3 by 3, by Cramer's rule. */
static int solve(double a[3][3], const double b[3], double x[3]) {
  double c[3] = {a[1][1] * a[2][2] - a[1][2] * a[1][2], a[1][2] * a[0][2] - a[0][1] * a[2][2],
                 a[0][1] * a[1][2] - a[1][1] * a[0][2]};
  double det = a[0][0] * c[0] + a[0][1] * c[1] + a[0][2] * c[2];
  if (!(fabs(det) > 1e-12)) return 0;
  double d[3] = {c[1], a[0][0] * a[2][2] - a[0][2] * a[0][2], a[0][1] * a[0][2] - a[0][0] * a[1][2]};
  double e[3] = {c[2], d[2], a[0][0] * a[1][1] - a[0][1] * a[0][1]};
  x[0] = (c[0] * b[0] + c[1] * b[1] + c[2] * b[2]) / det;
  x[1] = (d[0] * b[0] + d[1] * b[1] + d[2] * b[2]) / det;
  x[2] = (e[0] * b[0] + e[1] * b[1] + e[2] * b[2]) / det;
  return 1;
}

/* Half the width of the face, at least a pixel of the pyramid, and its middle. */
static double half_width(const motion *m, size_t n, double pixel, double middle[2]) {
  double size = pixel;
  middle[0] = middle[1] = 0;
  for (size_t i = 0; i < n; ++i)
    for (int k = 0; k < 2; ++k) middle[k] += (double)m->from[i][k] / (double)n;
  for (size_t i = 0; i < n; ++i) size = fmax(size, fabs((double)m->from[i][0] - middle[0]));
  return size;
}

/* The face as a whole: the affine map that most ways agree with (Geman and McClure's weights, as in roto_smooth), as a way for
 * each point in `whole`.  Returns how far the connected points are from it, 1.2 times the median; -1: too few are connected. */
static double fit_whole(const motion *m, size_t n, double pixel, double (*whole)[2]) {
  double middle[2], size = half_width(m, n, pixel, middle), usual = 0;
  size_t count = 0;
  for (size_t i = 0; i < n; ++i) {
    m->distance[i] = 0;
    count += m->error[i] > 0;
  }
  if (count < LEAST_WHOLE) return -1;
  for (int round = 0; round < 8; ++round) {
    double a[3][3] = {{0, 0, 0}, {0, 1e-3, 0}, {0, 0, 1e-3}}, b[2][3] = {{0, 0, 0}, {0, 0, 0}}, map[2][3];
    double width = round ? 4 * pow(fmax(1.25 * usual, 0.03 * pixel), 2) : 1e30;
    for (size_t i = 0; i < n; ++i) {
      if (!(m->error[i] > 0)) continue;
      double at[3] = {1, ((double)m->from[i][0] - middle[0]) / size, ((double)m->from[i][1] - middle[1]) / size};
      double w = pow(width / (width + m->distance[i] * m->distance[i]), 2) / (m->error[i] * m->error[i] + 0.01 * pixel * pixel);
      for (int r = 0; r < 3; ++r) {
        for (int c = 0; c < 3; ++c) a[r][c] += w * at[r] * at[c];
        for (int k = 0; k < 2; ++k) b[k][r] += w * at[r] * m->way[i][k];
      }
    }
    if (!solve(a, b[0], map[0]) || !solve(a, b[1], map[1])) return -1;
    count = 0;
    for (size_t i = 0; i < n; ++i) {
      double at[2] = {((double)m->from[i][0] - middle[0]) / size, ((double)m->from[i][1] - middle[1]) / size};
      for (int k = 0; k < 2; ++k) whole[i][k] = map[k][0] + map[k][1] * at[0] + map[k][2] * at[1];
      m->distance[i] = hypot(m->way[i][0] - whole[i][0], m->way[i][1] - whole[i][1]);
      if (m->error[i] > 0) m->sorted[count++] = m->distance[i];
    }
    usual = 1.2 * median(m->sorted, count);
  }
  return usual;
}

/* Points move with what is near them: to the whole's way at each point comes what the points around it deviate from it, without
 * those that go ways of their own.  `spread` receives how far the points around are from that.  (An affine map of the points around
 * was no better.  Keeping of the smoothed poses 10 to 14 of the shot's own principal components took 1 to 3 % of the jitter: what a
 * network gets wrong looks like a pose.) */
static void fit_near(const motion *m, size_t n, double pixel, double usual, double (*whole)[2], double (*near)[2],
                     double *spread) {
  double middle[2], size = half_width(m, n, pixel, middle);
  for (size_t i = 0; i < n; ++i) {
    double off[2] = {0, 0}, width = 1e30, variance = 0;
    for (int round = 0; round < 5; ++round) {
      double sum[2] = {0, 0}, weights = whole_share, squares = whole_share * usual * usual, count = whole_share;
      for (size_t j = 0; j < n; ++j) {
        if (j == i || !(m->error[j] > 0)) continue;
        double dx = (double)m->from[j][0] - (double)m->from[i][0], dy = (double)m->from[j][1] - (double)m->from[i][1];
        double close = exp(-(dx * dx + dy * dy) / (2 * pow(near_reach * size, 2))) / (1 + pow(m->error[j] / (0.3 * pixel), 2));
        double x = m->way[j][0] - whole[j][0], y = m->way[j][1] - whole[j][1];
        double far = pow(x - off[0], 2) + pow(y - off[1], 2), weight = close * pow(width / (width + far), 2);
        sum[0] += weight * x, sum[1] += weight * y, weights += weight;
        squares += close * fmin(far, width), count += close;
      }
      off[0] = sum[0] / weights, off[1] = sum[1] / weights, variance = squares / count;
      width = 4 * fmax(variance, pow(0.05 * pixel, 2));
    }
    near[i][0] = whole[i][0] + off[0], near[i][1] = whole[i][1] + off[1];
    spread[i] = sqrt(variance);
  }
}

/* What flow says of a point's way and what its neighbours say, weighed: where flow sees only an edge it knows the way across, and
 * the neighbours know the way along.  A point that goes its own way is left alone.  Returns the expected error. */
static double weigh(double way[2], double error, const float seen[3], const double near[2], double spread) {
  double trace = (double)seen[0] + (double)seen[2], k = error * error / trace, room = 4 * spread * spread;
  if (!(trace > 0)) return error;
  double xx = (double)seen[0] * k + 1e-6 * error * error, xy = (double)seen[1] * k,
         yy = (double)seen[2] * k + 1e-6 * error * error;
  double dx = way[0] - near[0], dy = way[1] - near[1], sx = xx + room, sy = yy + room;
  double surprise = (sy * dx * dx - 2 * xy * dx * dy + sx * dy * dy) / (sx * sy - xy * xy) / 4;
  double det = xx * yy - xy * xy, with = 1 / (room * (1 + surprise * surprise));
  double own[3] = {yy / det, -xy / det, xx / det}; /* information: the inverse */
  double x = own[0] * way[0] + own[1] * way[1] + with * near[0], y = own[1] * way[0] + own[2] * way[1] + with * near[1];
  xx = own[0] + with, xy = own[1], yy = own[2] + with, det = xx * yy - xy * xy;
  way[0] = (yy * x - xy * y) / det, way[1] = (xx * y - xy * x) / det;
  return sqrt((xx + yy) / det);
}

/* Flow finds each point for itself, then again from where the face around it takes it; then the two are weighed.  In held poses of
 * the rendered film links are off by 0.05 pixels then (flow alone: 0.14), between poses by 0.3 to 0.45 in the middle.  Where flow
 * finds nothing, nothing connects: a link as the neighbours go, expected to err by two of their spreads, keeps a half of the
 * blinks of a shot on ones from happening. */
void dejitter_link(const document *doc, document_frame *a, const document_frame *b, const roto_pyramid *pa,
                   const roto_pyramid *pb) {
  size_t n = doc->point_count;
  double move[2], at[2], pixel = fmax(frame_view(doc, a).pixel, frame_view(doc, b).pixel);
  float(*places)[2] = (float(*)[2])cli_alloc(3 * n, sizeof *places);
  roto_flow *flows = (roto_flow *)cli_alloc(2 * n, sizeof *flows);
  double(*ways)[2] = (double(*)[2])cli_alloc(3 * n, sizeof *ways), (*whole)[2] = ways + n, (*near)[2] = whole + n;
  double *scratch = (double *)cli_alloc(4 * n, sizeof *scratch), *spread = scratch + 3 * n;
  const motion m = {places, places + n, places + 2 * n, flows, flows + n, ways, scratch, scratch + n, scratch + 2 * n};
  for (int k = 0; k < 2; ++k) {
    for (size_t i = 0; i < n; ++i) {
      seen_at(&a->points[i], at);
      m.from[i][k] = (float)at[k], m.sorted[i] = -at[k];
      seen_at(&b->points[i], at);
      m.sorted[i] += at[k];
    }
    move[k] = median(m.sorted, n);
    for (size_t i = 0; i < n; ++i) m.to[i][k] = m.from[i][k] + (float)move[k];
  }
  measure(&m, n, pa, pb, pixel);
  double usual = fit_whole(&m, n, pixel, whole);
  if (usual >= 0) {
    fit_near(&m, n, pixel, usual, whole, near, spread);
    for (size_t i = 0; i < n; ++i)
      for (int k = 0; k < 2; ++k) m.to[i][k] = m.from[i][k] + (float)near[i][k];
    measure(&m, n, pa, pb, pixel);
    usual = fit_whole(&m, n, pixel, whole);
    if (usual >= 0) fit_near(&m, n, pixel, usual, whole, near, spread);
  }
  for (size_t i = 0; i < n; ++i) {
    document_point *p = &a->points[i];
    double error = m.error[i];
    if (!wants_link(p)) continue;
    if (error > 0 && usual >= 0) error = weigh(m.way[i], error, m.there[i].covariance, near[i], fmax(spread[i], 0.05 * pixel));
    set_link(p, m.way[i][0], m.way[i][1], error > 0 ? fmax(0.02, error) : -1);
  }
  free(places);
  free(flows);
  free(ways);
  free(scratch);
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
  carried *learnt = mode == DEJITTER_OFF ? NULL : carry_corrections(doc, mode == DEJITTER_CAUSAL);
  roto_status status = ROTO_OK;
  for (size_t i = 0; i < doc->point_count && status == ROTO_OK; ++i) {
    for (size_t t = 0; learnt && t < count; ++t) {
      const document_point *p = &doc->frames[t].points[i];
      const carried *more = &learnt[t * doc->point_count + i];
      double at[2];
      seen_at(p, at);
      int linked = t + 1 < count && p->flow_error > 0 && dejitter_follows(&doc->frames[t], &doc->frames[t + 1]);
      seen[t] = (roto_observation){(float)(at[0] + more->x), (float)(at[1] + more->y),
                                   p->origin == ORIGIN_HELD ? 0 : (float)(varying * p->error * more->left),
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
  free(learnt);
  free(seen);
  free(links);
  free(smooth);
  return status == ROTO_OK ? 0 : message_set(message, "the shot cannot be smoothed: %s", roto_status_text(status));
}
