/* See doubt.h. */

#include "doubt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static void find_parts(const document *doc, doubts *d) {
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks")->child;
  d->parts = (char **)cli_alloc(doc->point_count, sizeof *d->parts);
  d->part_of = (size_t *)cli_alloc(doc->point_count, sizeof *d->part_of);
  for (size_t i = 0; i < doc->point_count; ++i, landmark = landmark->next) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(landmark, "part");
    const char *name = cJSON_IsString(item) ? item->valuestring : "points";
    size_t k = 0;
    while (k < d->part_count && strcmp(d->parts[k], name)) ++k;
    if (k == d->part_count) d->parts[d->part_count++] = cli_format("%s", name);
    d->part_of[i] = k;
  }
}

double doubts_value(const doubts *d, size_t frame, size_t part, doubt_kind kind) {
  return d->values[(frame * d->part_count + part) * DOUBT_KINDS + (size_t)kind];
}

double doubts_jitter(const document *doc, const doubts *d, size_t frame, size_t part, int raw) {
  double sum = 0;
  size_t count = 0;
  for (size_t i = 0; frame + 1 < doc->frame_count && i < doc->point_count; ++i) {
    const document_point *a = &doc->frames[frame].points[i], *b = &doc->frames[frame + 1].points[i];
    if ((part < d->part_count && d->part_of[i] != part) || !(a->flow_error > 0)) continue;
    double x = (raw ? b->raw_x - a->raw_x : b->x - a->x) - a->flow_x;
    double y = (raw ? b->raw_y - a->raw_y : b->y - a->y) - a->flow_y;
    sum += x * x + y * y, ++count;
  }
  return count ? sqrt(sum / (double)count) : NAN;
}

doubts doubts_find(const document *doc) {
  doubts d = {doc->frame_count, 0, NULL, NULL, NULL, poses_find(doc, 0)};
  size_t n = doc->point_count;
  find_parts(doc, &d);
  d.values = (double *)cli_alloc(d.frame_count * d.part_count * DOUBT_KINDS + 1, sizeof *d.values);
  for (size_t t = 0; t < d.frame_count; ++t)
    for (size_t part = 0; part < d.part_count; ++part) {
      double *value = d.values + (t * d.part_count + part) * DOUBT_KINDS, against = 0, error = 0, unusual = 0;
      size_t count = 0;
      for (size_t i = 0; i < n; ++i) {
        const document_point *p = &doc->frames[t].points[i];
        if (d.part_of[i] != part || p->origin == ORIGIN_ARTIST) continue;
        const double *at = d.poses.points + (t * n + i) * 2;
        against += pow(p->x - p->raw_x, 2) + pow(p->y - p->raw_y, 2);
        error += p->error * p->error;
        unusual += pow(at[0] - d.poses.middle[2 * i], 2) + pow(at[1] - d.poses.middle[2 * i + 1], 2);
        ++count;
      }
      for (int k = 0; k < DOUBT_KINDS; ++k) value[k] = NAN;
      if (!count) continue;
      value[DOUBT_ERROR] = sqrt(error / (double)count);
      value[DOUBT_AGAINST] = sqrt(against / (double)count);
      value[DOUBT_POSE] = sqrt(unusual / (double)count);
      double before = t ? doubts_jitter(doc, &d, t - 1, part, 1) : NAN, behind = doubts_jitter(doc, &d, t, part, 1);
      value[DOUBT_JITTER] = isnan(before) ? behind : isnan(behind) ? before : sqrt((before * before + behind * behind) / 2);
    }
  return d;
}

void doubts_free(doubts *d) {
  for (size_t i = 0; i < d->part_count; ++i) free(d->parts[i]);
  free(d->parts);
  free(d->part_of);
  free(d->values);
  poses_free(&d->poses);
  memset(d, 0, sizeof *d);
}
