/* See shape_metrics.h.  Distances are measured between polylines that stay within 1/64 pixel of the curves. */

#include "shape_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/json_file.h"

int shape_metrics_init(shape_metrics *m, const character *ch) {
  memset(m, 0, sizeof *m);
  m->shapes = calloc(ch->shape_count + 1, sizeof *m->shapes);
  if (m->shapes == NULL) return -1;
  m->shape_count = ch->shape_count;
  for (uint32_t i = 0; i < ch->shape_count; i++) {
    m->shapes[i].name = ch->shapes[i].name;
    m->shapes[i].closed = ch->shapes[i].closed;
  }
  return 0;
}

void shape_metrics_free(shape_metrics *m) {
  free(m->shapes);
  free(m->distances);
  memset(m, 0, sizeof *m);
}

/* ---- areas ---- */

/* Area of the union of `count` shapes inside the box, exact but for the polylines' 1/128 pixel. */
static int covered_area(const roto_matte_shape *shapes, size_t count, const double box[4], double *area) {
  double size = fmax(box[2] - box[0], box[3] - box[1]);
  roto_matte_options options = {0};
  roto_matte_image matte = {0};
  options.x = box[0];
  options.y = box[1];
  options.scale = fmin(1, 1000 / (size + 1)); /* what is huge needs no fine matte */
  matte.type = ROTO_PIXEL_F32;
  matte.width = (uint32_t)ceil((box[2] - box[0]) * options.scale) + 1;
  matte.height = (uint32_t)ceil((box[3] - box[1]) * options.scale) + 1;
  float *pixels = malloc((size_t)matte.width * matte.height * sizeof *pixels);
  matte.pixels = pixels;
  int failed = pixels == NULL || roto_matte(shapes, count, &options, &matte) != ROTO_OK;
  *area = 0;
  for (size_t i = 0; !failed && i < (size_t)matte.width * matte.height; i++) *area += (double)pixels[i];
  *area /= options.scale * options.scale;
  free(pixels);
  return failed ? -1 : 0;
}

static int overlap(const roto_path *a, const roto_path *b, double *iou) {
  roto_matte_shape both[2];
  double box[4], other[4], area[3];
  memset(both, 0, sizeof both);
  both[0].path = *a;
  both[1].path = *b;
  roto_path_box(a, box);
  roto_path_box(b, other);
  for (int k = 0; k < 2; k++) {
    box[k] = floor(fmin(box[k], other[k])) - 1;
    box[k + 2] = ceil(fmax(box[k + 2], other[k + 2])) + 1;
  }
  if (!(box[2] - box[0] < 1e6 && box[3] - box[1] < 1e6)) return -1;
  if (covered_area(both, 1, box, &area[0]) || covered_area(both + 1, 1, box, &area[1]) || covered_area(both, 2, box, &area[2]))
    return -1;
  *iou = area[2] > 0 ? fmin(fmax((area[0] + area[1] - area[2]) / area[2], 0), 1) : 0;
  return 0;
}

/* ---- distances ---- */

typedef struct polyline {
  double (*points)[2];
  size_t count;
} polyline;

static int flatten(const roto_path *path, polyline *line) {
  enum { MOST = 4096 };
  size_t room = 1;
  line->count = 0;
  for (uint32_t i = 0; i < roto_path_segments(path); i++) {
    roto_cubic c = roto_path_segment(path, i);
    uint32_t steps = roto_cubic_steps(&c, 1.0 / 64);
    room += steps < MOST ? steps : MOST;
  }
  line->points = malloc(room * sizeof *line->points);
  if (line->points == NULL) return -1;
  line->points[0][0] = path->vertices[0].x;
  line->points[0][1] = path->vertices[0].y;
  line->count = 1;
  for (uint32_t i = 0; i < roto_path_segments(path); i++) {
    roto_cubic c = roto_path_segment(path, i);
    uint32_t n = roto_cubic_steps(&c, 1.0 / 64);
    if (n > MOST) n = MOST;
    for (uint32_t k = 1; k <= n; k++) roto_cubic_at(&c, (double)k / n, line->points[line->count++]);
  }
  return 0;
}

static double distance_to(const polyline *line, double x, double y) {
  double best = INFINITY;
  for (size_t i = 0; i + 1 < line->count; i++) {
    const double *a = line->points[i], *b = line->points[i + 1];
    double dx = b[0] - a[0], dy = b[1] - a[1], square = dx * dx + dy * dy;
    double t = square > 0 ? fmin(fmax(((x - a[0]) * dx + (y - a[1]) * dy) / square, 0), 1) : 0;
    double ex = x - a[0] - t * dx, ey = y - a[1] - t * dy;
    best = fmin(best, ex * ex + ey * ey);
  }
  return sqrt(best);
}

static int add_distance(shape_metrics *m, double distance) {
  if (m->distance_count == m->distance_room) {
    size_t room = 2 * m->distance_room + 1024;
    float *more = realloc(m->distances, room * sizeof *more);
    if (more == NULL) return -1;
    m->distances = more;
    m->distance_room = room;
  }
  m->distances[m->distance_count++] = (float)distance;
  return 0;
}

/* Distances of points about a pixel apart on `from` to `to`. */
static int add_distances(shape_metrics *m, const polyline *from, const polyline *to) {
  double length = 0, passed = 0;
  for (size_t i = 0; i + 1 < from->count; i++)
    length += hypot(from->points[i + 1][0] - from->points[i][0], from->points[i + 1][1] - from->points[i][1]);
  size_t count = (size_t)fmin(fmax(ceil(length), 16), 10000), next = 0;
  for (size_t i = 0; i + 1 < from->count; i++) {
    const double *a = from->points[i], *b = from->points[i + 1];
    double step = hypot(b[0] - a[0], b[1] - a[1]);
    for (; next < count && (double)next * length / (double)count <= passed + step && step > 0; next++) {
      double t = ((double)next * length / (double)count - passed) / step;
      if (add_distance(m, distance_to(to, a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))) return -1;
    }
    passed += step;
  }
  return 0;
}

int shape_metrics_add(shape_metrics *m, uint32_t index, const roto_path *found, const roto_path *truth, double *iou,
                      double *distance) {
  shape_score *score = &m->shapes[index];
  polyline a = {NULL, 0}, b = {NULL, 0};
  size_t before = m->distance_count;
  double own_iou = 0, sum = 0;
  if (score->closed && overlap(found, truth, &own_iou)) return -1;
  int failed = flatten(found, &a) || flatten(truth, &b) || add_distances(m, &a, &b) || add_distances(m, &b, &a);
  free(a.points);
  free(b.points);
  if (failed) return -1;
  for (size_t i = before; i < m->distance_count; i++) sum += (double)m->distances[i];
  double mean = m->distance_count > before ? sum / (double)(m->distance_count - before) : 0;
  score->frames++;
  score->iou += own_iou;
  score->contour_px += mean;
  if (iou != NULL) *iou = own_iou;
  if (distance != NULL) *distance = mean;
  return 0;
}

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

void shape_metrics_finish(shape_metrics *m) {
  double sum = 0;
  for (uint32_t i = 0; i < m->shape_count; i++) {
    shape_score *s = &m->shapes[i];
    if (s->frames == 0) continue;
    s->iou /= (double)s->frames;
    s->contour_px /= (double)s->frames;
  }
  if (m->distance_count == 0) return;
  qsort(m->distances, m->distance_count, sizeof *m->distances, by_size);
  for (size_t i = 0; i < m->distance_count; i++) sum += (double)m->distances[i];
  m->contour_mean_px = sum / (double)m->distance_count;
  m->contour_p95_px = (double)m->distances[(m->distance_count - 1) * 95 / 100];
}

/* ---- data sets and models ---- */

uint32_t frame_shape_vertices(const frame_shape *shape, int closed, roto_vertex *vertices) {
  uint32_t n = shape->segment_count, count = closed ? n : n + 1;
  memset(vertices, 0, (n + 1) * sizeof *vertices);
  for (uint32_t i = 0; i < n; i++) {
    const segment *s = &shape->segments[i];
    roto_vertex *a = &vertices[i], *b = &vertices[closed && i + 1 == n ? 0 : i + 1];
    a->x = (double)s->x[0];
    a->y = (double)s->y[0];
    a->out_x = (double)s->x[1];
    a->out_y = (double)s->y[1];
    b->in_x = (double)s->x[3];
    b->in_y = (double)s->y[3];
    if (!closed && i + 1 == n) {
      b->x = (double)s->x[2];
      b->y = (double)s->y[2];
    }
  }
  return count;
}

const frame_shape *frame_find_shape(const frame *f, const char *name) {
  for (uint32_t i = 0; i < f->shape_count; i++)
    if (strcmp(f->shapes[i].name, name) == 0) return &f->shapes[i];
  return NULL;
}

/* The model's shape of that name, with the vertices of all those before it; 0: there is none that it predicts. */
static int find_shape(const roto_model *model, const char *name, uint32_t *index, roto_shape *shape) {
  const uint32_t *landmarks;
  uint32_t count;
  for (*index = 0; roto_get_shape(model, *index, shape) == ROTO_OK; ++*index)
    if (strcmp(shape->name, name) == 0)
      return roto_get_shape_landmarks(model, *index, &landmarks, &count) == ROTO_OK && count > 0;
  return 0;
}

int shape_metrics_model(shape_metrics *m, const roto_model *model, const character *ch, const dataset *ds, const float *points,
                        char *message) {
  const roto_info *info = roto_get_info(model);
  roto_session_options options = {0};
  roto_session *session = NULL;
  options.parallel.threads = 1;
  roto_point *own = calloc(info->landmark_count + 1, sizeof *own);
  roto_vertex *vertices = calloc(info->vertex_count + 1, sizeof *vertices), *truth = NULL;
  int status = own == NULL || vertices == NULL || roto_session_create(model, &options, &session) != ROTO_OK ? -1 : 0;
  if (status != 0) message_set(message, "out of memory while shapes are compared");
  for (uint32_t s = 0; s < ch->shape_count && status == 0; s++) {
    const uint32_t *landmarks;
    uint32_t index, count;
    roto_shape shape;
    if (!find_shape(model, ch->shapes[s].name, &index, &shape)) continue;
    roto_get_shape_landmarks(model, index, &landmarks, &count);
    for (size_t i = 0; i < ds->frame_count && status == 0; i++) {
      const frame *f = &ds->frames[i];
      const frame_shape *drawn = frame_find_shape(f, shape.name);
      const float *p = points + i * ds->landmark_count * 2;
      if (drawn == NULL || isnan(p[0])) continue;
      for (uint32_t k = 0; k < info->landmark_count; k++) {
        own[k].x = p[2 * k];
        own[k].y = p[2 * k + 1];
      }
      int known = 1;
      for (uint32_t k = 0; k < count; k++) known &= !isnan(own[landmarks[k]].x);
      if (!known) continue;
      free(truth);
      truth = malloc((drawn->segment_count + 1) * sizeof *truth);
      if (truth == NULL || roto_predict_shape(session, index, own, vertices) != ROTO_OK) {
        status = message_set(message, "%s: shape %s cannot be drawn", f->annotation_path, shape.name);
        break;
      }
      roto_path found_path = {vertices, shape.vertex_count, shape.closed};
      roto_path true_path = {truth, frame_shape_vertices(drawn, shape.closed, truth), shape.closed};
      if (shape_metrics_add(m, s, &found_path, &true_path, NULL, NULL) != 0)
        status = message_set(message, "%s: shape %s cannot be compared", f->annotation_path, shape.name);
    }
  }
  roto_session_free(session);
  free(truth);
  free(vertices);
  free(own);
  return status;
}

/* ---- printing ---- */

void shape_metrics_print(FILE *out, const shape_metrics *m) {
  int first = 1;
  if (m->distance_count == 0) return;
  for (uint32_t i = 0; i < m->shape_count; i++) {
    if (m->shapes[i].frames == 0 || !m->shapes[i].closed) continue;
    fprintf(out, "%s %s %.4f", first ? "IoU      " : ",", m->shapes[i].name, m->shapes[i].iou);
    first = 0;
  }
  if (!first) fputc('\n', out);
  fprintf(out, "contours  %.3f px mean, %.3f px 95th percentile\n", m->contour_mean_px, m->contour_p95_px);
}

void shape_metrics_print_json(FILE *out, const shape_metrics *m) {
  int first = 1;
  if (m->distance_count == 0) return;
  fputs(",\"iou\":{", out);
  for (uint32_t i = 0; i < m->shape_count; i++) {
    if (m->shapes[i].frames == 0 || !m->shapes[i].closed) continue;
    if (!first) fputc(',', out);
    json_print_text(out, m->shapes[i].name);
    fprintf(out, ":%.6g", m->shapes[i].iou);
    first = 0;
  }
  fprintf(out, "},\"contour_px\":{\"mean\":%.6g,\"p95\":%.6g}", m->contour_mean_px, m->contour_p95_px);
}
