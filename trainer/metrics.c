/* See metrics.h. */

#include "metrics.h"
#include "shape_metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/cli.h"
#include "../tools/json_file.h"

/* What is summed over points valid in two consecutive frames. */
typedef struct changes {
  double all, held, along, true_ways; /* of the error, squared; there where the truth stays; products and squares of ways */
  size_t count, held_count;
} changes;

static void add_changes(const frame *a, const frame *b, const float *pa, const float *pb, uint32_t points, double unit,
                        changes *c) {
  for (uint32_t p = 0; p < points; p++) {
    if (!a->valid[p] || !b->valid[p]) continue;
    double true_way[2], way[2], change = 0, length = 0, product = 0;
    for (uint32_t k = 2 * p; k < 2 * p + 2; k++) {
      true_way[k & 1] = (double)b->points[k] - (double)a->points[k];
      way[k & 1] = (double)pb[k] - (double)pa[k];
      change += pow(way[k & 1] - true_way[k & 1], 2);
      length += pow(true_way[k & 1], 2);
      product += way[k & 1] * true_way[k & 1];
    }
    c->all += change;
    c->count++;
    if (length < METRICS_HELD * METRICS_HELD) c->held += change, c->held_count++;
    if (unit > 0 && length > pow(METRICS_JUMP * unit, 2)) c->along += product, c->true_ways += length;
  }
}

metrics metrics_compute(const character *ch, const dataset *ds, const float *predicted, double *frame_nme) {
  metrics m = {0};
  uint32_t points = ds->landmark_count;
  size_t part_points[ROTO_MAX_LANDMARKS] = {0}, nme_frames = 0, point_count = 0;
  double squares = 0;
  changes c = {0};
  m.worst_found = -1;
  m.unusable = ds->dropped_count;
  m.part_count = ch->part_count;
  for (uint32_t k = 0; k < m.part_count; k++) m.part_names[k] = ch->parts[k].name;
  for (int k = 0; k < 2; k++) m.anchors[k] = ch->landmarks[ch->anchors[k]].name;

  for (size_t i = 0; i < ds->frame_count; i++) {
    const frame *f = &ds->frames[i];
    const float *p = predicted + i * points * 2;
    if (frame_nme != NULL) frame_nme[i] = NAN;
    if (isnan(p[0])) {
      m.failed++;
      continue;
    }
    m.frames++;
    double distance = 0;
    size_t valid = 0;
    for (uint32_t k = 0; k < points; k++) {
      if (!f->valid[k]) continue;
      double dx = fabs((double)p[2 * k] - (double)f->points[2 * k]);
      double dy = fabs((double)p[2 * k + 1] - (double)f->points[2 * k + 1]);
      uint32_t part = ch->landmarks[k].part;
      m.mae_px[part] += dx + dy;
      part_points[part]++;
      distance += sqrt(dx * dx + dy * dy);
      squares += dx * dx + dy * dy;
      point_count++;
      valid++;
    }
    const float *a = f->points + 2 * ch->anchors[0], *b = f->points + 2 * ch->anchors[1];
    double unit = hypot((double)(a[0] - b[0]), (double)(a[1] - b[1]));
    int anchored = f->valid[ch->anchors[0]] && f->valid[ch->anchors[1]] && unit > 0;
    if (anchored && valid > 0) {
      double nme = 100 * distance / (double)valid / unit;
      m.nme_percent += nme;
      m.fr10_percent += nme > 10 ? 100 : 0;
      nme_frames++;
      if (frame_nme != NULL) frame_nme[i] = nme;
    }
    if (i > 0 && f[-1].shot == f->shot && f[-1].number + 1 == f->number && !isnan(p[-2 * (ptrdiff_t)points]))
      add_changes(f - 1, f, p - points * 2, p, points, anchored ? unit : 0, &c);
  }
  if (nme_frames > 0) {
    m.nme_percent /= (double)nme_frames;
    m.fr10_percent /= (double)nme_frames;
  }
  for (uint32_t k = 0; k < m.part_count; k++) {
    if (part_points[k] > 0) m.mae_px[k] /= (double)part_points[k];
    m.mae_total_px += m.mae_px[k];
  }
  if (point_count > 0) m.rmse_px = sqrt(squares / (double)point_count);
  if (c.count > 0) m.jitter_px = sqrt(c.all / (double)c.count);
  m.held_px = c.held_count > 0 ? sqrt(c.held / (double)c.held_count) : -1;
  m.jumps_percent = c.true_ways > 0 ? 100 * c.along / c.true_ways : -1;
  return m;
}

typedef struct judged {
  double expected, actual;
} judged;

static int by_expected(const void *a, const void *b) {
  double x = ((const judged *)a)->expected, y = ((const judged *)b)->expected;
  return (x > y) - (x < y);
}

static int by_actual(const void *a, const void *b) {
  double x = ((const judged *)a)->actual, y = ((const judged *)b)->actual;
  return (x > y) - (x < y);
}

void metrics_rely(metrics *m, const dataset *ds, const float *predicted, const roto_point *points) {
  uint32_t n = ds->landmark_count;
  judged *all = cli_alloc(ds->frame_count * n + 1, sizeof *all), *frames = cli_alloc(ds->frame_count + 1, sizeof *frames);
  size_t count = 0, frame_count = 0, found = 0;
  for (size_t i = 0; i < ds->frame_count; i++) {
    size_t first = count;
    if (isnan(predicted[i * n * 2])) continue;
    for (uint32_t k = 0; k < n; k++) {
      const float *p = predicted + (i * n + k) * 2, *t = ds->frames[i].points + 2 * k;
      if (!ds->frames[i].valid[k]) continue;
      all[count].expected = (double)points[i * n + k].error;
      all[count++].actual = hypot((double)(p[0] - t[0]), (double)(p[1] - t[1]));
    }
    for (size_t k = first; k < count; k++) {
      frames[frame_count].expected += all[k].expected * all[k].expected / (double)(count - first);
      frames[frame_count].actual += all[k].actual / (double)(count - first);
    }
    frame_count += count > first;
  }
  qsort(all, count, sizeof *all, by_expected);
  for (size_t b = 0; b < METRICS_BINS; b++) {
    size_t begin = count * b / METRICS_BINS, end = count * (b + 1) / METRICS_BINS;
    m->bins[b].points = end - begin;
    for (size_t k = begin; k < end; k++) {
      m->bins[b].expected += all[k].expected / (double)(end - begin);
      m->bins[b].actual += all[k].actual / (double)(end - begin);
    }
  }
  size_t worst = (frame_count + 9) / 10, doubted = (frame_count + 4) / 5;
  if (worst > 0) {
    qsort(frames, frame_count, sizeof *frames, by_actual);
    double limit = frames[frame_count - worst].actual;
    qsort(frames, frame_count, sizeof *frames, by_expected);
    for (size_t i = frame_count - doubted; i < frame_count; i++) found += frames[i].actual >= limit;
    m->worst_found = 100 * (double)(found < worst ? found : worst) / (double)worst;
  }
  free(all);
  free(frames);
}

void metrics_print(FILE *out, const metrics *m, const shape_metrics *shapes) {
  fprintf(out, "frames    %zu (%zu failed", m->frames, m->failed);
  if (m->unusable > 0) fprintf(out, ", %zu more not usable", m->unusable);
  fputs(")\n", out);
  fprintf(out, "NME       %.3f %% of the distance from %s to %s; %.2f %% of the frames above 10 %%\n", m->nme_percent,
          m->anchors[0], m->anchors[1], m->fr10_percent);
  fprintf(out, "MAE       %.3f px total (|dx|+|dy|, summed over the parts:", m->mae_total_px);
  for (uint32_t k = 0; k < m->part_count; k++) fprintf(out, " %s %.3f", m->part_names[k], m->mae_px[k]);
  fprintf(out, ")\nRMSE      %.3f px\njitter    %.3f px (RMS change of the error between consecutive frames", m->rmse_px,
          m->jitter_px);
  if (m->held_px >= 0) fprintf(out, "; %.3f px in held poses", m->held_px);
  fprintf(out, ")\n");
  if (m->jumps_percent >= 0) fprintf(out, "jumps     %.1f %% of their way in the right frame\n", m->jumps_percent);
  if (shapes != NULL) shape_metrics_print(out, shapes);
  if (m->hidden_found + m->hidden_false + m->hidden_missed > 0)
    fprintf(out, "hidden    %zu shapes that are out of sight, %zu others; %zu are out of sight and not hidden\n",
            m->hidden_found, m->hidden_false, m->hidden_missed);
  if (m->worst_found < 0) return;
  fprintf(out, "expected  ");
  for (int b = 0; b < METRICS_BINS; b++) fprintf(out, " %7.3f", m->bins[b].expected);
  fprintf(out, " px, a tenth of the points each\nactual    ");
  for (int b = 0; b < METRICS_BINS; b++) fprintf(out, " %7.3f", m->bins[b].actual);
  fprintf(out, " px\nworst     %.0f %% of the worst tenth of the frames are among the fifth of the least confidence\n",
          m->worst_found);
}

void metrics_print_json(FILE *out, const metrics *m, const shape_metrics *shapes) {
  fprintf(out, "{\"frames\":%zu,\"failed\":%zu,\"unusable\":%zu,\"nme_percent\":%.6g,\"fr10_percent\":%.6g,\"anchors\":[",
          m->frames, m->failed, m->unusable, m->nme_percent, m->fr10_percent);
  for (int k = 0; k < 2; k++) {
    if (k > 0) fputc(',', out);
    json_print_text(out, m->anchors[k]);
  }
  fputs("],\"mae_px\":{", out);
  for (uint32_t k = 0; k < m->part_count; k++) {
    json_print_text(out, m->part_names[k]);
    fprintf(out, ":%.6g,", m->mae_px[k]);
  }
  fprintf(out, "\"total\":%.6g},\"rmse_px\":%.6g,\"jitter_px\":%.6g", m->mae_total_px, m->rmse_px, m->jitter_px);
  if (m->held_px >= 0) fprintf(out, ",\"held_px\":%.6g", m->held_px);
  if (m->jumps_percent >= 0) fprintf(out, ",\"jumps_percent\":%.6g", m->jumps_percent);
  if (shapes != NULL) shape_metrics_print_json(out, shapes);
  if (m->hidden_found + m->hidden_false + m->hidden_missed > 0)
    fprintf(out, ",\"hidden\":{\"found\":%zu,\"false\":%zu,\"missed\":%zu}", m->hidden_found, m->hidden_false,
            m->hidden_missed);
  for (int b = 0; m->worst_found >= 0 && b < METRICS_BINS; b++)
    fprintf(out, "%s{\"expected_px\":%.6g,\"actual_px\":%.6g,\"points\":%zu}", b ? "," : ",\"reliability\":[",
            m->bins[b].expected, m->bins[b].actual, m->bins[b].points);
  if (m->worst_found >= 0) fprintf(out, "],\"worst_found\":%.6g", m->worst_found);
  fputs("}\n", out);
}
