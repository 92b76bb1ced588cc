/* See corrections.h. */

#include "corrections.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/cli.h"
#include "../tools/document.h"

enum { MOST_OTHERS = 60 };

static frame make_frame(const document *doc, size_t index, const character *ch, float other) {
  const document_frame *in = &doc->frames[index];
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks")->child;
  float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  frame f;
  memset(&f, 0, sizeof f);
  f.number = (uint32_t)in->number;
  f.image_path = document_frame_path(doc, index);
  f.annotation_path = cli_format("%s", f.image_path);
  f.points = cli_alloc(ch->landmark_count, 2 * sizeof *f.points);
  f.valid = cli_alloc(ch->landmark_count, 1);
  f.hidden = cli_alloc(ch->landmark_count, 1);
  f.weights = cli_alloc(ch->landmark_count, sizeof *f.weights);
  for (size_t p = 0; p < doc->point_count; p++, landmark = landmark->next) {
    const document_point *from = &in->points[p];
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
    int l = cJSON_IsString(name) ? character_find_landmark(ch, name->valuestring) : -1;
    if (l < 0) continue;
    float at[2] = {(float)from->x, (float)from->y};
    for (int k = 0; k < 2; k++) {
      f.points[2 * l + k] = at[k];
      low[k] = fminf(low[k], at[k]);
      high[k] = fmaxf(high[k], at[k]);
    }
    f.valid[l] = !from->hidden;
    f.hidden[l] = from->hidden != 0;
    f.weights[l] = from->origin == ORIGIN_ARTIST ? 1 : other;
  }
  f.box = (roto_rect){low[0], low[1], high[0] - low[0], high[1] - low[1]};
  return f;
}

int corrections_load(const char *path, const character *ch, float other, float rest, dataset *ds, size_t *corrected,
                     char *message) {
  document doc;
  memset(ds, 0, sizeof *ds);
  *corrected = 0;
  if (document_read(path, &doc, message) != 0) return -1;
  document_settle_points(&doc);
  unsigned char *artist = cli_alloc(doc.frame_count + 1, 1);
  for (size_t t = 0; t < doc.frame_count; t++) {
    for (size_t p = 0; p < doc.point_count; p++) artist[t] |= doc.frames[t].points[p].origin == ORIGIN_ARTIST;
    *corrected += artist[t];
  }
  size_t untouched = doc.frame_count - *corrected, others = rest > 0 ? untouched < MOST_OTHERS ? untouched : MOST_OTHERS : 0;
  size_t copies = *corrected > 0 && others > *corrected ? others / *corrected : 1;
  ds->landmark_count = ch->landmark_count;
  ds->frames = cli_alloc(copies * *corrected + others + 1, sizeof *ds->frames);
  ds->shots = cli_alloc(1, sizeof *ds->shots);
  ds->shots[ds->shot_count++] = cli_format("%s", path);
  for (size_t t = 0, seen = 0; t < doc.frame_count; t++) {
    size_t times = copies;
    if (!artist[t])
      times = others > 0 && seen * others / untouched != (seen + 1) * others / untouched, seen++; /* evenly spread */
    for (size_t k = 0; k < times; k++) ds->frames[ds->frame_count++] = make_frame(&doc, t, ch, artist[t] ? other : rest);
  }
  document_free(&doc);
  free(artist);
  if (*corrected > 0) return 0;
  dataset_free(ds);
  return message_set(message, "%s: no frame in it has a point set by an artist, so there is nothing to learn from", path);
}
