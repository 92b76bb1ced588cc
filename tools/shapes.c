/* See shapes.h; and `roto shapes`: a document's shapes anew, after an artist has moved points. */

#include "shapes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "model_file.h"

int shapes_check(const document *doc, const roto_model *model, const char *path, char *message) {
  const roto_info *info = roto_get_info(model);
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks")->child;
  if (info->shape_net_count == 0)
    return message_set(message, "the model %s draws no shapes; add them with `roto-train shapes`", info->name);
  if (info->landmark_count != doc->point_count)
    return message_set(message, "%s: has %zu landmarks, the model %u; they must be of one character", path, doc->point_count,
                       info->landmark_count);
  for (uint32_t i = 0; i < info->landmark_count; ++i, landmark = landmark->next) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
    roto_landmark own;
    roto_get_landmark(model, i, &own);
    if (!cJSON_IsString(name) || strcmp(name->valuestring, own.name))
      return message_set(message, "%s: landmark %u is not %s as in the model; they must be of one character", path, i,
                         own.name);
  }
  return 0;
}

/* The document's shape of that name; shape_count if there is none. */
static size_t find_shape(const document *doc, const char *name) {
  int closed;
  size_t i = 0;
  while (i < doc->shape_count && strcmp(document_shape_name(doc, i, &closed), name)) ++i;
  return i;
}

/* One shape of the model in a document. */
typedef struct drawing {
  document *doc;
  roto_session *session;
  uint32_t index; /* in the model */
  size_t place;   /* in the document */
  uint32_t vertex_count, landmark_count;
  const uint32_t *landmarks; /* its two extreme ones first */
  roto_point *points;        /* scratch */
} drawing;

static int is_artists(const drawing *d, size_t frame) {
  const document_shape *shape = &d->doc->frames[frame].shapes[d->place];
  return shape->vertex_count && shape->origin == ORIGIN_ARTIST;
}

static int predict(const drawing *d, size_t frame, roto_vertex *vertices) {
  for (size_t i = 0; i < d->doc->point_count; ++i) {
    d->points[i].x = (float)d->doc->frames[frame].points[i].x;
    d->points[i].y = (float)d->doc->frames[frame].points[i].y;
  }
  return roto_predict_shape(d->session, d->index, d->points, vertices) == ROTO_OK;
}

/* Puts a shape into a frame. */
static void place_shape(const drawing *d, size_t frame, roto_vertex *vertices) {
  document_frame *f = &d->doc->frames[frame];
  document_shape *to = &f->shapes[d->place];
  for (uint32_t v = 0; to->vertex_count == d->vertex_count && v < d->vertex_count; ++v)
    vertices[v].feather = to->vertices[v].feather;
  free(to->vertices);
  to->vertices = vertices;
  to->vertex_count = d->vertex_count;
  to->origin = f->points[d->landmarks[0]].origin == ORIGIN_HELD ? ORIGIN_HELD : ORIGIN_PREDICTED;
}

/* ------------------------------------------------------------------ an artist's way of drawing it */

static const double reach = 8; /* frames after which a third of it is left */

/* The vector between the two extreme landmarks. */
static void axis_of(const drawing *d, size_t frame, double axis[2]) {
  const document_point *p = d->doc->frames[frame].points, *a = p + d->landmarks[0], *b = p + d->landmarks[1];
  axis[0] = b->x - a->x, axis[1] = b->y - a->y;
}

/* Adds `weight` times the difference at an artist's frame, turned and scaled as the shape is. */
static void add_difference(const drawing *d, size_t from, const roto_vertex *difference, size_t to, double weight,
                           roto_vertex *vertices) {
  double a[2], b[2];
  axis_of(d, from, a), axis_of(d, to, b);
  double power = fmax(a[0] * a[0] + a[1] * a[1], 1e-6);
  double c = weight * (a[0] * b[0] + a[1] * b[1]) / power, s = weight * (a[0] * b[1] - a[1] * b[0]) / power;
  for (uint32_t v = 0; v < d->vertex_count; ++v) {
    const double *in = &difference[v].x;
    double *out = &vertices[v].x;
    for (int k = 0; k < 6; k += 2) out[k] += c * in[k] - s * in[k + 1], out[k + 1] += s * in[k] + c * in[k + 1];
  }
}

/* Does nothing connect a frame with the next: a cut, or the shape's part was replaced? */
static int is_cut(const drawing *d, size_t frame) {
  for (uint32_t k = 0; k < d->landmark_count; ++k)
    if (d->doc->frames[frame].points[d->landmarks[k]].flow_error >= 0) return 0;
  return 1;
}

/* The nearest artist's frame before (step -1) or behind; frame_count if there is none within sight, or a cut between. */
static size_t nearest(const drawing *d, const unsigned char *keyed, size_t frame, int step) {
  const document *doc = d->doc;
  for (size_t t = frame;;) {
    if ((step < 0 && t == 0) || (step > 0 && t + 1 >= doc->frame_count)) return doc->frame_count;
    if (is_cut(d, step < 0 ? t - 1 : t)) return doc->frame_count;
    t = step < 0 ? t - 1 : t + 1;
    if (keyed[t]) return t;
    if (abs(doc->frames[t].number - doc->frames[frame].number) > 6 * reach) return doc->frame_count;
  }
}

/* Draws one shape in the marked frames. */
static size_t draw_shape(const drawing *d, const unsigned char *which) {
  const document *doc = d->doc;
  size_t drawn = 0, n = d->vertex_count;
  unsigned char *keyed = (unsigned char *)cli_alloc(doc->frame_count, 1);
  roto_vertex *difference = (roto_vertex *)cli_alloc(doc->frame_count * n, sizeof *difference);
  for (size_t t = 0; t < doc->frame_count; ++t) {
    const document_shape *shape = &doc->frames[t].shapes[d->place];
    if (!is_artists(d, t) || shape->hidden || shape->vertex_count != n) continue;
    roto_vertex *at = difference + t * n;
    keyed[t] = predict(d, t, at) != 0;
    for (size_t v = 0; v < n; ++v)
      for (int k = 0; k < 6; ++k) (&at[v].x)[k] = (&shape->vertices[v].x)[k] - (&at[v].x)[k];
  }
  for (size_t t = 0; t < doc->frame_count; ++t) {
    if ((which && !which[t]) || is_artists(d, t)) continue;
    roto_vertex *vertices = (roto_vertex *)cli_alloc(n, sizeof *vertices);
    if (!predict(d, t, vertices)) {
      free(vertices);
      continue;
    }
    size_t key[2] = {nearest(d, keyed, t, -1), nearest(d, keyed, t, 1)};
    double weight[2] = {0, 0};
    for (int k = 0; k < 2; ++k)
      if (key[k] < doc->frame_count) weight[k] = exp(-abs(doc->frames[key[k]].number - doc->frames[t].number) / reach);
    for (int k = 0; k < 2; ++k)
      if (weight[k] > 0)
        add_difference(d, key[k], difference + key[k] * n, t, weight[k] / fmax(1, weight[0] + weight[1]), vertices);
    place_shape(d, t, vertices);
    ++drawn;
  }
  free(keyed);
  free(difference);
  return drawn;
}

int shapes_draw(document *doc, const roto_model *model, const unsigned char *which, size_t *drawn) {
  const roto_info *info = roto_get_info(model);
  roto_session_options options;
  drawing d = {doc, NULL, 0, 0, 0, 0, NULL, NULL};
  if (drawn) *drawn = 0;
  if (info->shape_net_count == 0) return 0;
  memset(&options, 0, sizeof options);
  options.allocator = model_allocator();
  options.pixel_aspect = (float)doc->pixel_aspect;
  options.parallel.threads = 1;
  if (roto_session_create(model, &options, &d.session) != ROTO_OK) return -1;
  d.points = (roto_point *)cli_alloc(info->landmark_count, sizeof *d.points);
  for (d.index = 0; d.index < info->shape_count; ++d.index) {
    roto_shape shape;
    roto_get_shape(model, d.index, &shape);
    roto_get_shape_landmarks(model, d.index, &d.landmarks, &d.landmark_count);
    d.place = find_shape(doc, shape.name);
    d.vertex_count = shape.vertex_count;
    if (!d.landmark_count || d.place == doc->shape_count) continue;
    size_t count = draw_shape(&d, which);
    if (drawn) *drawn += count;
  }
  roto_session_free(d.session);
  free(d.points);
  return 0;
}

void shapes_follow(document *doc, const char *path, const char *model_path) {
  char message[MESSAGE_SIZE];
  model_file model;
  if (model_path) {
    if (model_open(model_path, ROTO_ISA_AUTO, &model, message)) cli_fail(EXIT_MODEL, "%s", message);
    int draws = roto_get_info(model.model)->shape_net_count > 0;
    if (draws && shapes_check(doc, model.model, path, message)) cli_fail(EXIT_MODEL, "%s", message);
    if (shapes_draw(doc, model.model, NULL, NULL)) cli_fail(EXIT_FAILED, "%s: out of memory", model_path);
    model_close(&model);
    return;
  }
  size_t behind = 0;
  for (size_t t = 0; t < doc->frame_count; ++t)
    for (size_t k = 0; k < doc->shape_count; ++k)
      behind += doc->frames[t].shapes[k].vertex_count && doc->frames[t].shapes[k].origin != ORIGIN_ARTIST;
  if (behind)
    fprintf(stderr, "WARNING: %zu shapes are where they were; give --model to have them drawn anew through the points\n",
            behind);
}

int shapes_main(int argc, char **argv) {
  const char *model_path = NULL, *output = NULL;
  int json = 0;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--model", CLI_STRING, &model_path, "FILE", "the .roto model, with shapes"},
      {"-o", CLI_STRING, &output, "FILE", "the document to write (default: the one read)"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as JSON"},
  };
  const cli_command command = {"roto shapes",
                               "SHOT.roto.json --model FILE",
                               "Draws the shapes of a document anew through its points, such as an artist left them.\n"
                               "Shapes that an artist drew are kept.",
                               "roto shapes sh010.roto.json --model puppet.roto",
                               options,
                               sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (!model_path) cli_usage(&command, "expected --model FILE");
  document doc;
  model_file model;
  size_t drawn = 0, kept = 0;
  if (document_read(argv[0], &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (model_open(model_path, ROTO_ISA_AUTO, &model, message)) cli_fail(EXIT_MODEL, "%s", message);
  if (shapes_check(&doc, model.model, argv[0], message)) cli_fail(EXIT_MODEL, "%s", message);
  document_settle_points(&doc);
  if (shapes_draw(&doc, model.model, NULL, &drawn)) cli_fail(EXIT_FAILED, "%s: out of memory", model_path);
  for (size_t i = 0; i < doc.frame_count; ++i)
    for (size_t k = 0; k < doc.shape_count; ++k)
      kept += doc.frames[i].shapes[k].vertex_count && doc.frames[i].shapes[k].origin == ORIGIN_ARTIST;
  if (!output) output = argv[0];
  if (document_write(output, &doc, message)) cli_fail(EXIT_WRITE, "%s", message);
  if (json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "document", output);
    cJSON_AddNumberToObject(root, "frames", (double)doc.frame_count);
    cJSON_AddNumberToObject(root, "shapes_drawn", (double)drawn);
    cJSON_AddNumberToObject(root, "artist_shapes_kept", (double)kept);
    json_print(root);
  } else {
    printf("%s: %zu shapes drawn in %zu frames", output, drawn, doc.frame_count);
    if (kept) printf(", %zu shapes of an artist kept", kept);
    printf("\n");
  }
  model_close(&model);
  document_free(&doc);
  return EXIT_DONE;
}
