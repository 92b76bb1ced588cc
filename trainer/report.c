/* See report.h.  Pictures are embedded as data URLs; the page loads nothing. */

#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/canvas.h"
#include "../tools/image_file.h"

enum { WORST_FRAMES = 8, APART = 4, PICTURE = 300, WHITE = 0xffffff, FOUND = 0xff5050, DRAWN = 0x50d0ff };

static void put_text(FILE *out, const char *text) {
  for (; *text; text++) {
    if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
      fprintf(out, "&#%d;", *text);
    else
      fputc(*text, out);
  }
}

static void put_base64(FILE *out, const unsigned char *data, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < size; i += 3) {
    unsigned bits =
        (unsigned)data[i] << 16 | (i + 1 < size ? (unsigned)data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0u);
    fputc(digits[bits >> 18], out);
    fputc(digits[bits >> 12 & 63], out);
    fputc(i + 1 < size ? digits[bits >> 6 & 63] : '=', out);
    fputc(i + 2 < size ? digits[bits & 63] : '=', out);
  }
}

/* A picture file as <img>; nothing if it cannot be read. */
static void put_picture(FILE *out, const char *path, const char *type) {
  char message[MESSAGE_SIZE];
  size_t size;
  unsigned char *data;
  if (file_read(path, (size_t)1 << 26, &data, &size, message) != 0) return;
  fprintf(out, "<img src=\"data:image/%s;base64,", type);
  put_base64(out, data, size);
  fputs("\">", out);
  free(data);
}

/* ---- worst frames ---- */

typedef struct view {
  canvas picture;
  float map[6]; /* uniform: frame = map[0] * u + map[2], ... */
} view;

static float to_u(const view *v, double x) {
  return ((float)x - v->map[2]) / v->map[0];
}
static float to_v(const view *v, double y) {
  return ((float)y - v->map[5]) / v->map[0];
}

static void draw_path(view *v, const roto_path *path, unsigned color) {
  for (uint32_t i = 0; i < roto_path_segments(path); i++) {
    roto_cubic c = roto_path_segment(path, i);
    double from[2] = {c.x[0], c.y[0]}, to[2];
    for (int k = 1; k <= 12; k++) {
      roto_cubic_at(&c, k / 12.0, to);
      canvas_line(&v->picture, to_u(v, from[0]), to_v(v, from[1]), to_u(v, to[0]), to_v(v, to[1]), 1.2f, color, 1);
      from[0] = to[0];
      from[1] = to[1];
    }
  }
}

static void draw_shapes(view *v, const report *r, size_t index, roto_session *session) {
  const frame *f = &r->measured->frames[index];
  const roto_info *info = roto_get_info(r->model);
  const float *p = r->predicted + index * info->landmark_count * 2;
  roto_point *points = calloc(info->landmark_count + 1, sizeof *points);
  roto_vertex *vertices = calloc(info->vertex_count + 1, sizeof *vertices);
  for (uint32_t k = 0; points != NULL && k < info->landmark_count; k++) {
    points[k].x = p[2 * k];
    points[k].y = p[2 * k + 1];
  }
  for (uint32_t i = 0; points != NULL && vertices != NULL && i < info->shape_count; i++) {
    roto_shape shape;
    roto_get_shape(r->model, i, &shape);
    const frame_shape *drawn = frame_find_shape(f, shape.name);
    roto_vertex *truth = drawn != NULL ? calloc(drawn->segment_count + 1, sizeof *truth) : NULL;
    if (truth != NULL) {
      roto_path path = {truth, frame_shape_vertices(drawn, shape.closed, truth), shape.closed};
      draw_path(v, &path, WHITE);
      free(truth);
    }
    roto_path path = {vertices, shape.vertex_count, shape.closed};
    if (roto_predict_shape(session, i, points, vertices) == ROTO_OK) draw_path(v, &path, DRAWN);
  }
  free(points);
  free(vertices);
}

/* Frame `index` around its landmarks, the truth in white, as a picture in the page. */
static int put_frame(FILE *out, const report *r, size_t index, roto_session *session, const char *scratch, char *message) {
  const frame *f = &r->measured->frames[index];
  image_file image;
  view v;
  if (image_read(f->image_path, &image, message) != 0) return -1;
  float side = 1.4f * (f->box.width > f->box.height ? f->box.width : f->box.height);
  roto_rect region = {f->box.x + f->box.width / 2 - side / 2, f->box.y + f->box.height / 2 - side / 2, side, side};
  roto_image pixels = image_view(&image);
  float *sample = calloc((size_t)PICTURE * PICTURE * 3, sizeof *sample);
  v.picture = canvas_create(PICTURE, PICTURE, 0);
  if (sample == NULL || v.picture.pixels == NULL) {
    free(sample);
    free(v.picture.pixels);
    image_free(&image);
    return message_set(message, "out of memory for the report's pictures");
  }
  roto_crop_map(region, PICTURE, PICTURE, v.map);
  roto_sample(&pixels, v.map, pixels.transfer, PICTURE, PICTURE, sample);
  for (size_t i = 0; i < (size_t)PICTURE * PICTURE * 3; i++)
    v.picture.pixels[i] = (uint8_t)(fminf(fmaxf(sample[i], 0), 1) * 255 + 0.5f);
  draw_shapes(&v, r, index, session);
  for (uint32_t k = 0; k < r->ch->landmark_count; k++) {
    const float *p = r->predicted + (index * r->ch->landmark_count + k) * 2;
    if (f->valid[k]) {
      canvas_line(&v.picture, to_u(&v, (double)f->points[2 * k]), to_v(&v, (double)f->points[2 * k + 1]),
                  to_u(&v, (double)p[0]), to_v(&v, (double)p[1]), 1, FOUND, 0.8f);
      canvas_disc(&v.picture, to_u(&v, (double)f->points[2 * k]), to_v(&v, (double)f->points[2 * k + 1]), 1.6f, WHITE, 1);
    }
    canvas_disc(&v.picture, to_u(&v, (double)p[0]), to_v(&v, (double)p[1]), 1.8f, FOUND, 1);
  }
  int status = image_write_jpg(scratch, v.picture.pixels, PICTURE, PICTURE, 3, 90, message);
  if (status == 0) {
    fputs("<figure>", out);
    put_picture(out, scratch, "jpeg");
    fprintf(out, "<figcaption>");
    put_text(out, r->measured->shots[f->shot]);
    fprintf(out, " frame %u: %.2f %%</figcaption></figure>\n", f->number, r->nme[index]);
  }
  remove(scratch);
  free(sample);
  free(v.picture.pixels);
  image_free(&image);
  return status;
}

/* The frames with the largest error, at least APART frames from each other; returns how many. */
static size_t find_worst(const report *r, size_t *worst) {
  const dataset *ds = r->measured;
  size_t count = 0;
  while (count < WORST_FRAMES) {
    size_t best = ds->frame_count;
    for (size_t i = 0; i < ds->frame_count; i++) {
      int near = isnan(r->nme[i]);
      for (size_t k = 0; k < count; k++) {
        const frame *a = &ds->frames[i], *b = &ds->frames[worst[k]];
        near |= a->shot == b->shot && a->number < b->number + APART && b->number < a->number + APART;
      }
      if (!near && (best == ds->frame_count || r->nme[i] > r->nme[best])) best = i;
    }
    if (best == ds->frame_count) break;
    worst[count++] = best;
  }
  return count;
}

/* ---- tables ---- */

typedef struct landmark_error {
  uint32_t index;
  double mean;
} landmark_error;

static int by_error(const void *a, const void *b) {
  double x = ((const landmark_error *)a)->mean, y = ((const landmark_error *)b)->mean;
  return x > y ? -1 : x < y;
}

static void put_landmarks(FILE *out, const report *r) {
  uint32_t n = r->ch->landmark_count;
  landmark_error *errors = calloc(n, sizeof *errors);
  if (errors == NULL) return;
  for (uint32_t k = 0; k < n; k++) {
    size_t count = 0;
    errors[k].index = k;
    for (size_t i = 0; i < r->measured->frame_count; i++) {
      const frame *f = &r->measured->frames[i];
      const float *p = r->predicted + (i * n + k) * 2;
      if (!f->valid[k] || isnan(p[0])) continue;
      errors[k].mean += hypot((double)(p[0] - f->points[2 * k]), (double)(p[1] - f->points[2 * k + 1]));
      count++;
    }
    if (count > 0) errors[k].mean /= (double)count;
  }
  qsort(errors, n, sizeof *errors, by_error);
  fputs("<p>Landmarks with the largest mean distance from the truth:", out);
  for (uint32_t k = 0; k < n && k < 5; k++) {
    fputs(k > 0 ? ", " : " ", out);
    put_text(out, r->ch->landmarks[errors[k].index].name);
    fprintf(out, " %.2f px", errors[k].mean);
  }
  fputs(".</p>\n", out);
  free(errors);
}

static void put_shapes(FILE *out, const report *r) {
  if (r->found->distance_count == 0) {
    fputs("<p>The measured frames show no shapes of the template.</p>\n", out);
    return;
  }
  fputs(
      "<table><tr><th>shape<th>frames<th>IoU, found landmarks<th>IoU, true landmarks<th>contour px, found<th>contour px, "
      "true\n",
      out);
  for (uint32_t i = 0; i < r->found->shape_count; i++) {
    const shape_score *a = &r->found->shapes[i], *b = &r->given->shapes[i];
    if (a->frames == 0) continue;
    fputs("<tr><td>", out);
    put_text(out, a->name);
    fprintf(out, "<td>%zu", a->frames);
    if (a->closed)
      fprintf(out, "<td>%.4f<td>%.4f", a->iou, b->iou);
    else
      fputs("<td>open<td>open", out);
    fprintf(out, "<td>%.3f<td>%.3f\n", a->contour_px, b->contour_px);
  }
  fprintf(out, "<tr><td>all<td><td><td><td>%.3f (95 %%: %.3f)<td>%.3f (95 %%: %.3f)</table>\n", r->found->contour_mean_px,
          r->found->contour_p95_px, r->given->contour_mean_px, r->given->contour_p95_px);
}

static void put_data(FILE *out, const report *r) {
  const dataset *ds = r->data;
  size_t frames = 0, shots = ds->shot_count - (r->held_out >= 0 ? 1 : 0);
  for (size_t i = 0; i < ds->frame_count; i++) frames += (int)ds->frames[i].shot != r->held_out;
  fprintf(out, "<p>Trained on %zu frames of %zu shot%s", frames, shots, shots == 1 ? "" : "s");
  if (ds->dropped_count > 0) fprintf(out, "; %zu more could not be used", ds->dropped_count);
  fprintf(out, ". Measured on %zu frames%s", r->measured->frame_count,
          r->seen ? " <b>that it was trained on: the figures flatter it. Give it two shots or more, or --validation.</b>"
                  : " it has not seen.");
  fputs("</p>\n", out);
  if (ds->issue_count == 0) return;
  fputs("<details><summary>What was wrong with the data</summary><ul>\n", out);
  for (size_t i = 0; i < ds->issue_count && i < 50; i++) {
    fputs("<li>", out);
    put_text(out, ds->issues[i].path);
    fputs(": ", out);
    put_text(out, ds->issues[i].reason);
    fputs(ds->issues[i].dropped ? " (frame not used)\n" : "\n", out);
  }
  if (ds->issue_count > 50) fprintf(out, "<li>and %zu more\n", ds->issue_count - 50);
  fputs("</ul></details>\n", out);
}

static void put_next(FILE *out, const report *r, const size_t *worst, size_t count) {
  fputs("<h2>What to label next</h2>\n<p>", out);
  fputs(r->seen ? "More shots first: one to learn from and one to measure on. " : "", out);
  fputs("Frames like those above: the same poses and light in other shots. Here the first to look at are", out);
  for (size_t i = 0; i < count; i++) {
    const frame *f = &r->measured->frames[worst[i]];
    fputs(i > 0 ? ", " : " ", out);
    put_text(out, r->measured->shots[f->shot]);
    fprintf(out, " %u", f->number);
  }
  fputs(
      ". If their truth is right, correct such frames in a document of the new shot and bring them back with "
      "<code>roto-train dataset import</code>: points that an artist set count three times.</p>\n",
      out);
  put_landmarks(out, r);
}

static void put_page(FILE *out, const report *r, roto_session *session, const char *scratch) {
  const metrics *m = r->landmarks;
  const roto_info *info = roto_get_info(r->model);
  size_t worst[WORST_FRAMES], count = find_worst(r, worst);
  char message[MESSAGE_SIZE];
  fputs("<!doctype html><html><head><meta charset=\"utf-8\"><title>", out);
  put_text(out, info->name);
  fputs(
      "</title><style>body{font:15px sans-serif;max-width:70em;margin:2em auto;padding:0 "
      "1em;color:#222}table{border-collapse:collapse}"
      "th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}"
      "figure{display:inline-block;margin:.3em}figcaption{font-size:13px;color:#555}img{max-width:100%}</style></"
      "head><body><h1>",
      out);
  put_text(out, info->name);
  fputs("</h1>\n", out);
  put_data(out, r);
  fprintf(
      out,
      "<p>%u landmarks, %u shapes, %u shape networks. The self-test holds: largest difference %.2g of the crop's side.</p>\n",
      info->landmark_count, info->shape_count, info->shape_net_count, (double)r->selftest_difference);
  fputs("<h2>Landmarks</h2>\n<table><tr><th>part<th>mean |dx|+|dy|, px\n", out);
  for (uint32_t k = 0; k < m->part_count; k++) {
    fputs("<tr><td>", out);
    put_text(out, m->part_names[k]);
    fprintf(out, "<td>%.3f\n", m->mae_px[k]);
  }
  fprintf(out, "<tr><td>sum of the parts<td>%.3f</table>\n<p>Mean point distance %.3f %% of that from ", m->mae_total_px,
          m->nme_percent);
  put_text(out, m->anchors[0]);
  fputs(" to ", out);
  put_text(out, m->anchors[1]);
  fprintf(out, "; jitter %.3f px.</p>\n<h2>Shapes</h2>\n", m->jitter_px);
  put_shapes(out, r);
  fputs("<h2>Training</h2>\n", out);
  put_picture(out, r->curves, "png");
  fputs(
      "<h2>Worst frames</h2>\n<p>White: the truth; red: landmarks found; blue: shapes drawn through them. Percent of the "
      "distance "
      "between the two anchors.</p>\n",
      out);
  for (size_t i = 0; i < count; i++)
    if (put_frame(out, r, worst[i], session, scratch, message) != 0) {
      fputs("<p>", out);
      put_text(out, message);
      fputs("</p>\n", out);
    }
  put_next(out, r, worst, count);
  fputs("</body></html>\n", out);
}

int report_write(const report *r, char *message) {
  char *page = NULL, *scratch = malloc(strlen(r->path) + 16);
  size_t size = 0;
  roto_session *session = NULL;
  FILE *out = open_memstream(&page, &size);
  int status = -1;
  if (out == NULL || scratch == NULL || roto_session_create(r->model, NULL, &session) != ROTO_OK) {
    message_set(message, "out of memory for the report");
    if (out != NULL) fclose(out);
  } else {
    sprintf(scratch, "%s.picture.jpg", r->path);
    put_page(out, r, session, scratch);
    status = fclose(out) == 0 ? file_write(r->path, page, size, message) : message_set(message, "out of memory for the report");
  }
  roto_session_free(session);
  free(page);
  free(scratch);
  return status;
}
