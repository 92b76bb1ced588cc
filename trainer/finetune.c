/* See finetune.h. */

#include "finetune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/cli.h"
#include "../tools/document.h"

void finetune_defaults(train_options *o) {
  o->epochs = 12;
  o->batch = 16;
  o->rate = 3e-4;
  o->average = 0.98;
  o->epoch_batches = 25;
  o->evaluate_every = 4;
  o->augment.rotation = 15;
  o->augment.scale = 0.1f;
  o->augment.shift = 0.05f;
  o->augment.flip = 0;
}

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

int finetune_load(const char *path, const character *ch, float other, dataset *ds, char *message) {
  document doc;
  memset(ds, 0, sizeof *ds);
  if (document_read(path, &doc, message) != 0) return -1;
  ds->landmark_count = ch->landmark_count;
  ds->frames = cli_alloc(doc.frame_count + 1, sizeof *ds->frames);
  ds->shots = cli_alloc(1, sizeof *ds->shots);
  ds->shots[ds->shot_count++] = cli_format("%s", path);
  for (size_t t = 0; t < doc.frame_count; t++) {
    int artist = 0;
    for (size_t p = 0; p < doc.point_count; p++) artist |= doc.frames[t].points[p].origin == ORIGIN_ARTIST;
    if (artist) ds->frames[ds->frame_count++] = make_frame(&doc, t, ch, other);
  }
  document_free(&doc);
  if (ds->frame_count > 0) return 0;
  dataset_free(ds);
  return message_set(message, "%s: no frame in it has a point set by an artist, so there is nothing to learn from", path);
}
