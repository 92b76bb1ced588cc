/* See evaluate.h.  Frames are dealt to a fixed number of sessions, so that a session is never shared. */

#include "evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/crop_file.h"
#include "../tools/image_file.h"
#include "augment.h"

enum { LANES = 8 };

int crops_load(const char *path, const dataset *ds, roto_rect *crops, char *message) {
  crop_list list;
  if (crops_read(path, &list, message) != 0) return -1;
  memset(crops, 0, ds->frame_count * sizeof *crops);
  for (size_t i = 0; i < ds->frame_count; i++)
    crops_find(&list, (int)ds->frames[i].number, ds->frames[i].image_path, &crops[i]);
  crops_free(&list);
  return 0;
}

typedef struct evaluation {
  const roto_model *model;
  const dataset *ds;
  const roto_rect *crops;
  float *predicted;
  roto_point *points;
  roto_session *sessions[LANES];
} evaluation;

static int find_in_frame(const evaluation *e, size_t i, roto_session *session, roto_point *points, char *message) {
  const frame *f = &e->ds->frames[i];
  roto_rect crop = e->crops != NULL ? e->crops[i] : augment_box(f, roto_get_info(e->model)->crop_margin);
  if (f->pixels != NULL && e->crops == NULL) {
    roto_image part = {f->pixels, f->cache_width, f->cache_height, f->channels, ROTO_PIXEL_U8, ROTO_TRANSFER_SRGB, 0};
    crop.x -= (float)f->cache_x;
    crop.y -= (float)f->cache_y;
    roto_status status = roto_find_landmarks(session, &part, crop, points);
    if (status != ROTO_OK) return message_set(message, "%s: %s", f->image_path, roto_status_text(status));
    for (uint32_t k = 0; k < e->ds->landmark_count; k++) {
      points[k].x += (float)f->cache_x;
      points[k].y += (float)f->cache_y;
    }
    return 0;
  }
  if (!(crop.width > 0)) return message_set(message, "%s: no crop is given for frame %u", f->image_path, f->number);
  image_file file;
  if (image_read(f->image_path, &file, message) != 0) return -1;
  roto_image view = image_view(&file);
  roto_status status = roto_find_landmarks_near(session, &view, &crop, e->crops != NULL ? 0 : 1, points);
  image_free(&file);
  return status == ROTO_OK ? 0 : message_set(message, "%s: %s", f->image_path, roto_status_text(status));
}

static void evaluate_lane(void *context, size_t lane) {
  const evaluation *e = context;
  uint32_t n = e->ds->landmark_count;
  for (size_t i = lane; i < e->ds->frame_count; i += LANES) {
    char message[MESSAGE_SIZE];
    roto_point *points = e->points + i * n;
    int failed = find_in_frame(e, i, e->sessions[lane], points, message);
    if (failed) fprintf(stderr, "WARNING: %s\n", message);
    for (uint32_t k = 0; k < n; k++) {
      e->predicted[(i * n + k) * 2] = failed ? NAN : points[k].x;
      e->predicted[(i * n + k) * 2 + 1] = failed ? NAN : points[k].y;
    }
  }
}

int evaluate_model(compute *cp, const roto_model *model, const dataset *ds, const roto_rect *crops, int views, float *predicted,
                   roto_point *points, char *message) {
  evaluation e = {model, ds, crops, predicted, points, {NULL}};
  roto_session_options options = {0};
  int status = 0;
  if (roto_get_info(model)->landmark_count != ds->landmark_count)
    return message_set(message, "the model finds %u landmarks, the data set has %u; they must be of one character",
                       roto_get_info(model)->landmark_count, ds->landmark_count);
  options.views = views;
  options.parallel.threads = 1; /* frames run side by side, so one frame runs alone */
  if (points == NULL) e.points = malloc(ds->frame_count * ds->landmark_count * sizeof *e.points);
  for (int k = 0; k < LANES; k++)
    if (roto_session_create(model, &options, &e.sessions[k]) != ROTO_OK) status = -1;
  if (e.points == NULL) status = -1;
  if (status != 0)
    message_set(message, "out of memory for %d sessions of %zu bytes", LANES, roto_session_size(model));
  else
    compute_for(cp, LANES, evaluate_lane, &e);
  for (int k = 0; k < LANES; k++) roto_session_free(e.sessions[k]);
  if (points == NULL) free(e.points);
  return status;
}
