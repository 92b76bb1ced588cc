/* See shapes.h; and `roto shapes`: a document's shapes anew, after an artist has moved points. */

#include "shapes.h"

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

int shapes_session(const document *doc, const roto_model *model, roto_session **session) {
  roto_session_options options;
  memset(&options, 0, sizeof options);
  options.allocator = model_allocator();
  options.pixel_aspect = (float)doc->pixel_aspect;
  options.parallel.threads = 1;
  return roto_session_create(model, &options, session) == ROTO_OK ? 0 : -1;
}

/* The document's shape of that name; shape_count if there is none. */
static size_t find_shape(const document *doc, const char *name) {
  int closed;
  size_t i = 0;
  while (i < doc->shape_count && strcmp(document_shape_name(doc, i, &closed), name)) ++i;
  return i;
}

size_t shapes_predict(const document *doc, const roto_model *model, roto_session *session, document_frame *frame) {
  const roto_info *info = roto_get_info(model);
  size_t drawn = 0;
  if (info->shape_net_count == 0) return 0;
  roto_point *points = (roto_point *)cli_alloc(info->landmark_count, sizeof *points);
  for (size_t i = 0; i < doc->point_count; ++i) {
    points[i].x = (float)frame->points[i].x;
    points[i].y = (float)frame->points[i].y;
  }
  for (uint32_t i = 0; i < info->shape_count; ++i) {
    roto_shape shape;
    const uint32_t *landmarks;
    uint32_t count;
    roto_get_shape(model, i, &shape);
    roto_get_shape_landmarks(model, i, &landmarks, &count);
    size_t index = find_shape(doc, shape.name);
    if (!count || index == doc->shape_count) continue;
    document_shape *to = &frame->shapes[index];
    if (to->vertex_count && to->origin == ORIGIN_ARTIST) continue;
    roto_vertex *vertices = (roto_vertex *)cli_alloc(shape.vertex_count, sizeof *vertices);
    if (roto_predict_shape(session, i, points, vertices) != ROTO_OK) {
      free(vertices);
      continue;
    }
    for (uint32_t v = 0; to->vertex_count == shape.vertex_count && v < shape.vertex_count; ++v)
      vertices[v].feather = to->vertices[v].feather;
    free(to->vertices);
    to->vertices = vertices;
    to->vertex_count = shape.vertex_count;
    to->origin = frame->points[landmarks[0]].origin == ORIGIN_HELD ? ORIGIN_HELD : ORIGIN_PREDICTED;
    ++drawn;
  }
  free(points);
  return drawn;
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
  roto_session *session;
  size_t drawn = 0, kept = 0;
  if (document_read(argv[0], &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (model_open(model_path, ROTO_ISA_AUTO, &model, message)) cli_fail(EXIT_MODEL, "%s", message);
  if (shapes_check(&doc, model.model, argv[0], message)) cli_fail(EXIT_MODEL, "%s", message);
  if (shapes_session(&doc, model.model, &session)) cli_fail(EXIT_FAILED, "%s: out of memory", model_path);
  for (size_t i = 0; i < doc.frame_count; ++i) {
    drawn += shapes_predict(&doc, model.model, session, &doc.frames[i]);
    for (size_t k = 0; k < doc.shape_count; ++k)
      kept += doc.frames[i].shapes[k].vertex_count && doc.frames[i].shapes[k].origin == ORIGIN_ARTIST;
  }
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
  roto_session_free(session);
  model_close(&model);
  document_free(&doc);
  return EXIT_DONE;
}
