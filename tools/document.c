/* Frames are plain structs, because every tool walks over them; what is only passed on (model, template) stays JSON.  Frames
 * are printed here, one line a point, so that a document can be read, compared and mended with a text editor; cJSON would
 * spend seven lines on a point. */

#include "document.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli.h"
#include "image_file.h"

enum { DOCUMENT_VERSION = 1, MAX_FRAME_NUMBER = 1000000000 };

static const char *const origin_names[ORIGIN_COUNT] = {"predicted", "held", "smoothed", "artist"};

/* ------------------------------------------------------------------ making */

static cJSON *template_to_json(const roto_model *model) {
  const roto_info *info = roto_get_info(model);
  cJSON *root = cJSON_CreateObject(), *list;
  cJSON_AddStringToObject(root, "name", info->name);
  list = cJSON_AddArrayToObject(root, "parts");
  for (uint32_t i = 0; i < info->part_count; ++i) {
    cJSON *item = cJSON_CreateObject();
    roto_part part;
    roto_get_part(model, i, &part);
    cJSON_AddStringToObject(item, "name", part.name);
    cJSON_AddNumberToObject(item, "weight", (double)part.weight);
    cJSON_AddItemToArray(list, item);
  }
  list = cJSON_AddArrayToObject(root, "landmarks");
  for (uint32_t i = 0; i < info->landmark_count; ++i) {
    cJSON *item = cJSON_CreateObject();
    roto_landmark landmark, flip;
    roto_part part;
    roto_get_landmark(model, i, &landmark);
    roto_get_landmark(model, landmark.flip, &flip);
    roto_get_part(model, landmark.part, &part);
    cJSON_AddStringToObject(item, "name", landmark.name);
    cJSON_AddStringToObject(item, "part", part.name);
    cJSON_AddNumberToObject(item, "weight", (double)landmark.weight);
    cJSON_AddStringToObject(item, "flip", flip.name);
    if (*landmark.rule) cJSON_AddStringToObject(item, "rule", landmark.rule);
    cJSON_AddItemToArray(list, item);
  }
  list = cJSON_AddArrayToObject(root, "shapes");
  for (uint32_t i = 0; i < info->shape_count; ++i) {
    cJSON *item = cJSON_CreateObject(), *vertices;
    roto_shape shape;
    roto_get_shape(model, i, &shape);
    cJSON_AddStringToObject(item, "name", shape.name);
    cJSON_AddBoolToObject(item, "closed", shape.closed);
    vertices = cJSON_AddArrayToObject(item, "vertices");
    for (uint32_t v = 0; v < shape.vertex_count; ++v) {
      roto_landmark landmark;
      int is_landmark = shape.vertices[v] >= 0;
      if (is_landmark) roto_get_landmark(model, (uint32_t)shape.vertices[v], &landmark);
      cJSON_AddItemToArray(vertices, is_landmark ? cJSON_CreateString(landmark.name) : cJSON_CreateNull());
    }
    cJSON_AddItemToArray(list, item);
  }
  return root;
}

void document_init(document *doc, const roto_model *model, const char *pattern) {
  const roto_info *info = roto_get_info(model);
  memset(doc, 0, sizeof *doc);
  if (pattern) doc->pattern = cli_format("%s", pattern);
  doc->pixel_aspect = 1;
  doc->model = cJSON_CreateObject();
  cJSON_AddStringToObject(doc->model, "name", info->name);
  cJSON_AddStringToObject(doc->model, "description", info->description);
  doc->template_json = template_to_json(model);
  doc->point_count = info->landmark_count;
  doc->shape_count = info->shape_count;
}

void document_make_frames(document *doc, size_t count) {
  doc->frames = (document_frame *)cli_alloc(count, sizeof *doc->frames);
  doc->frame_count = count;
  for (size_t i = 0; i < count; ++i) {
    doc->frames[i].points = (document_point *)cli_alloc(doc->point_count, sizeof(document_point));
    doc->frames[i].shapes = (document_shape *)cli_alloc(doc->shape_count + 1, sizeof(document_shape));
  }
}

void document_free_frame(const document *doc, document_frame *frame) {
  for (size_t s = 0; frame->shapes && s < doc->shape_count; ++s) free(frame->shapes[s].vertices);
  free(frame->shapes);
  free(frame->file);
  free(frame->points);
}

const char *document_shape_name(const document *doc, size_t index, int *closed) {
  const cJSON *shapes = cJSON_GetObjectItemCaseSensitive(doc->template_json, "shapes");
  const cJSON *shape = cJSON_GetArrayItem(shapes, (int)index), *name = cJSON_GetObjectItemCaseSensitive(shape, "name");
  *closed = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(shape, "closed"));
  return cJSON_IsString(name) ? name->valuestring : "";
}

/* Index of a shape of the template, or shape_count. */
static size_t find_shape(const document *doc, const char *name) {
  int closed;
  size_t i = 0;
  while (i < doc->shape_count && strcmp(document_shape_name(doc, i, &closed), name)) ++i;
  return i;
}

void document_free(document *doc) {
  for (size_t i = 0; i < doc->frame_count; ++i) document_free_frame(doc, &doc->frames[i]);
  free(doc->frames);
  free(doc->pattern);
  free(doc->channels);
  cJSON_Delete(doc->model);
  cJSON_Delete(doc->template_json);
  memset(doc, 0, sizeof *doc);
}

char *document_frame_path(const document *doc, size_t index) {
  const document_frame *frame = &doc->frames[index];
  if (frame->file || !doc->pattern) return cli_format("%s", frame->file ? frame->file : "");
  const char *number = strchr(doc->pattern, '#');
  if (!number) return cli_format("%s", doc->pattern);
  int digits = (int)strspn(number, "#");
  return cli_format("%.*s%0*d%s", (int)(number - doc->pattern), doc->pattern, digits, frame->number, number + digits);
}

/* ------------------------------------------------------------------ reading */

static int read_whole(const cJSON *item, int low, int high, int *value) {
  double number;
  if (!json_number(item, &number) || number < low || number > high || number != floor(number)) return -1;
  *value = (int)number;
  return 0;
}

/* `count` whole numbers, if the item is there. */
static int read_wholes(const cJSON *item, int count, int low, int high, int *values) {
  if (!item) return 0;
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != count) return -1;
  for (int i = 0; i < count; ++i)
    if (read_whole(cJSON_GetArrayItem(item, i), low, high, &values[i])) return -1;
  return 0;
}

static int read_origin(const cJSON *item, document_origin *value) {
  const cJSON *origin = cJSON_GetObjectItemCaseSensitive(item, "origin");
  if (!cJSON_IsString(origin)) return -1;
  for (*value = ORIGIN_PREDICTED; *value < ORIGIN_COUNT; ++*value)
    if (!strcmp(origin->valuestring, origin_names[*value])) return 0;
  return -1;
}

static int read_point(const cJSON *item, document_point *point) {
  if (!json_number(cJSON_GetObjectItemCaseSensitive(item, "x"), &point->x) ||
      !json_number(cJSON_GetObjectItemCaseSensitive(item, "y"), &point->y))
    return -1;
  const cJSON *raw = cJSON_GetObjectItemCaseSensitive(item, "raw"), *flow = cJSON_GetObjectItemCaseSensitive(item, "flow");
  point->raw_x = point->x, point->raw_y = point->y;
  if (raw && (cJSON_GetArraySize(raw) != 2 || !json_number(cJSON_GetArrayItem(raw, 0), &point->raw_x) ||
              !json_number(cJSON_GetArrayItem(raw, 1), &point->raw_y)))
    return -1;
  if (flow && (cJSON_GetArraySize(flow) != 3 || !json_number(cJSON_GetArrayItem(flow, 0), &point->flow_x) ||
               !json_number(cJSON_GetArrayItem(flow, 1), &point->flow_y) ||
               !json_number(cJSON_GetArrayItem(flow, 2), &point->flow_error)))
    return -1;
  point->confidence = 1; /* an artist need not give these */
  json_number(cJSON_GetObjectItemCaseSensitive(item, "confidence"), &point->confidence);
  json_number(cJSON_GetObjectItemCaseSensitive(item, "error"), &point->error);
  point->hidden = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item, "visible"));
  return read_origin(item, &point->origin);
}

/* Four numbers of one coordinate of a segment. */
static int read_coordinate(const cJSON *item, double value[4]) {
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 4) return -1;
  for (int i = 0; i < 4; ++i)
    if (!json_number(cJSON_GetArrayItem(item, i), &value[i])) return -1;
  return 0;
}

static int meets(double a, double b) {
  return fabs(a - b) <= 0.01;
}

/* One shape of a frame; NULL, or what is wrong with it. */
static const char *read_shape(const cJSON *item, int closed, document_shape *shape) {
  const cJSON *segments = cJSON_GetObjectItemCaseSensitive(item, "segments"), *segment;
  const cJSON *feather = cJSON_GetObjectItemCaseSensitive(item, "feather"), *width;
  uint32_t count = cJSON_IsArray(segments) ? (uint32_t)cJSON_GetArraySize(segments) : 0, i = 0;
  if (read_origin(item, &shape->origin)) return "expected an \"origin\" of predicted, held, smoothed or artist";
  if (!count) return "expected \"segments\", a list of [[x0,tx0,x3,tx3],[y0,ty0,y3,ty3]]";
  shape->hidden = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(item, "visible"));
  shape->vertex_count = closed ? count : count + 1;
  shape->vertices = (roto_vertex *)cli_alloc(shape->vertex_count, sizeof *shape->vertices);
  cJSON_ArrayForEach(segment, segments) {
    double x[4], y[4];
    if (read_coordinate(cJSON_GetArrayItem(segment, 0), x) || read_coordinate(cJSON_GetArrayItem(segment, 1), y) ||
        cJSON_GetArraySize(segment) != 2)
      return "expected each segment as [[x0,tx0,x3,tx3],[y0,ty0,y3,ty3]]";
    roto_vertex *a = shape->vertices + i, *b = shape->vertices + (++i < shape->vertex_count ? i : 0);
    if (i > 1 && !(meets(a->x, x[0]) && meets(a->y, y[0]))) return "a segment does not begin where the one before it ends";
    if (closed && i == count && !(meets(i > 1 ? b->x : x[0], x[2]) && meets(i > 1 ? b->y : y[0], y[2])))
      return "this shape is closed, but its last segment does not end where the first begins";
    a->x = x[0], a->y = y[0], a->out_x = x[1], a->out_y = y[1];
    b->x = closed && i == count ? b->x : x[2], b->y = closed && i == count ? b->y : y[2], b->in_x = x[3], b->in_y = y[3];
  }
  if (feather && !cJSON_IsNumber(feather) && (uint32_t)cJSON_GetArraySize(feather) != shape->vertex_count)
    return "expected \"feather\" as one number, or as one a vertex";
  for (i = 0; feather && i < shape->vertex_count; ++i)
    if (!json_number(cJSON_IsArray(feather) ? cJSON_GetArrayItem(feather, (int)i) : feather, &shape->vertices[i].feather))
      return "expected numbers in \"feather\"";
  width = cJSON_GetObjectItemCaseSensitive(item, "width");
  if (width && (!json_number(width, &shape->width) || shape->width < 0)) return "expected \"width\" as a number, 0 or more";
  return NULL;
}

static int read_shapes(const char *path, const cJSON *shapes, const document *doc, document_frame *frame, char *message) {
  const cJSON *item;
  cJSON_ArrayForEach(item, shapes) {
    size_t index = find_shape(doc, item->string ? item->string : "");
    int closed;
    if (index == doc->shape_count)
      return message_set(message, "%s: frame %d: the template has no shape '%s'", path, frame->number,
                         item->string ? item->string : "");
    if (frame->shapes[index].vertices)
      return message_set(message, "%s: frame %d: shape '%s' is there twice", path, frame->number, item->string);
    document_shape_name(doc, index, &closed);
    const char *problem = read_shape(item, closed, &frame->shapes[index]);
    if (problem) return message_set(message, "%s: frame %d, shape '%s': %s", path, frame->number, item->string, problem);
  }
  return 0;
}

static int read_frame(const char *path, const cJSON *item, const document *doc, document_frame *frame, char *message) {
  const cJSON *file = cJSON_GetObjectItemCaseSensitive(item, "file"), *entry;
  const cJSON *size = cJSON_GetObjectItemCaseSensitive(item, "size"), *crop = cJSON_GetObjectItemCaseSensitive(item, "crop");
  const cJSON *points = cJSON_GetObjectItemCaseSensitive(item, "points");
  size_t i = 0;
  if (read_whole(cJSON_GetObjectItemCaseSensitive(item, "frame"), -MAX_FRAME_NUMBER, MAX_FRAME_NUMBER, &frame->number))
    return message_set(message, "%s: each of \"frames\" needs a whole number \"frame\"", path);
  if (cJSON_IsString(file)) frame->file = cli_format("%s", file->valuestring);
  if (!doc->pattern && !frame->file)
    return message_set(message, "%s: frame %d: expected a \"file\", because the plate has no pattern", path, frame->number);
  frame->width = doc->width;
  frame->height = doc->height;
  if (size && (read_whole(cJSON_GetArrayItem(size, 0), 1, MAX_FRAME_NUMBER, &frame->width) ||
               read_whole(cJSON_GetArrayItem(size, 1), 1, MAX_FRAME_NUMBER, &frame->height)))
    return message_set(message, "%s: frame %d: expected \"size\": [width, height]", path, frame->number);
  if (read_wholes(cJSON_GetObjectItemCaseSensitive(item, "data"), 4, -MAX_FRAME_NUMBER, MAX_FRAME_NUMBER, frame->data) ||
      frame->data[2] < 0 || frame->data[3] < !!frame->data[2])
    return message_set(message, "%s: frame %d: expected \"data\": [x, y, width, height]", path, frame->number);
  if (!cJSON_IsArray(crop) || cJSON_GetArraySize(crop) != 4)
    return message_set(message, "%s: frame %d: expected \"crop\": [x, y, width, height]", path, frame->number);
  cJSON_ArrayForEach(entry, crop) if (!json_number(entry, &frame->crop[i++])) return message_set(
      message, "%s: frame %d: expected four numbers in \"crop\"", path, frame->number);
  if (!cJSON_IsArray(points) || (size_t)cJSON_GetArraySize(points) != doc->point_count)
    return message_set(message, "%s: frame %d: expected %zu points, as many as the template has landmarks, found %d", path,
                       frame->number, doc->point_count, cJSON_IsArray(points) ? cJSON_GetArraySize(points) : 0);
  i = 0;
  cJSON_ArrayForEach(entry, points) if (read_point(entry, &frame->points[i++])) return message_set(
      message,
      "%s: frame %d, point %zu: expected numbers \"x\" and \"y\" (two in \"raw\", three in \"flow\", if they are there), and "
      "an "
      "\"origin\" of predicted, held, smoothed or artist",
      path, frame->number, i - 1);
  return read_shapes(path, cJSON_GetObjectItemCaseSensitive(item, "shapes"), doc, frame, message);
}

static int by_number(const void *a, const void *b) {
  const document_frame *x = (const document_frame *)a, *y = (const document_frame *)b;
  return (x->number > y->number) - (x->number < y->number);
}

static int read_plate(const char *path, const cJSON *plate, document *doc, char *message) {
  const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(plate, "pattern");
  const cJSON *transfer = cJSON_GetObjectItemCaseSensitive(plate, "transfer");
  const cJSON *channels = cJSON_GetObjectItemCaseSensitive(plate, "channels");
  const cJSON *aspect = cJSON_GetObjectItemCaseSensitive(plate, "pixel_aspect");
  if (read_whole(cJSON_GetObjectItemCaseSensitive(plate, "width"), 1, MAX_FRAME_NUMBER, &doc->width) ||
      read_whole(cJSON_GetObjectItemCaseSensitive(plate, "height"), 1, MAX_FRAME_NUMBER, &doc->height))
    return message_set(message, "%s: expected \"plate\" with \"width\" and \"height\"", path);
  if (cJSON_IsString(pattern)) doc->pattern = cli_format("%s", pattern->valuestring);
  if (cJSON_IsString(channels)) doc->channels = cli_format("%s", channels->valuestring);
  if (transfer && (!cJSON_IsString(transfer) || transfer_parse(transfer->valuestring, &doc->transfer)))
    return message_set(message, "%s: expected \"transfer\" srgb, linear, rec709, logc3, slog3, cineon or raw", path);
  doc->pixel_aspect = 1;
  if (aspect && (!json_number(aspect, &doc->pixel_aspect) || !(doc->pixel_aspect > 0)))
    return message_set(message, "%s: expected \"pixel_aspect\" as a number above 0", path);
  if (read_wholes(cJSON_GetObjectItemCaseSensitive(plate, "origin"), 2, -MAX_FRAME_NUMBER, MAX_FRAME_NUMBER, doc->origin))
    return message_set(message, "%s: expected \"origin\": [x, y]", path);
  return 0;
}

static int read_document(const char *path, const cJSON *root, document *doc, char *message) {
  const cJSON *frames = cJSON_GetObjectItemCaseSensitive(root, "frames"), *item;
  int version;
  size_t i = 0;
  if (read_whole(cJSON_GetObjectItemCaseSensitive(root, "roto"), 1, 1 << 30, &version))
    return message_set(message, "%s: this is not a roto document: it has no \"roto\": 1", path);
  if (version > DOCUMENT_VERSION)
    return message_set(message, "%s: this document has version %d, this program reads up to %d; use a newer roto", path,
                       version, DOCUMENT_VERSION);
  if (read_plate(path, cJSON_GetObjectItemCaseSensitive(root, "plate"), doc, message)) return -1;
  doc->model = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(root, "model"), 1);
  doc->template_json = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(root, "template"), 1);
  const cJSON *landmarks = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks");
  if (!cJSON_IsObject(doc->model) || !cJSON_IsArray(landmarks) || !cJSON_GetArraySize(landmarks) || !cJSON_IsArray(frames))
    return message_set(message, "%s: expected \"model\", \"template\" with \"landmarks\", and a list \"frames\"", path);
  doc->point_count = (size_t)cJSON_GetArraySize(landmarks);
  doc->shape_count = (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(doc->template_json, "shapes"));
  document_make_frames(doc, (size_t)cJSON_GetArraySize(frames));
  cJSON_ArrayForEach(item, frames) if (read_frame(path, item, doc, &doc->frames[i++], message)) return -1;
  qsort(doc->frames, doc->frame_count, sizeof *doc->frames, by_number);
  for (i = 1; i < doc->frame_count; ++i)
    if (doc->frames[i].number == doc->frames[i - 1].number)
      return message_set(message, "%s: frame %d is there twice", path, doc->frames[i].number);
  return 0;
}

int document_read(const char *path, document *doc, char *message) {
  memset(doc, 0, sizeof *doc);
  cJSON *root = json_read(path, message);
  int result = root ? read_document(path, root, doc, message) : -1;
  cJSON_Delete(root);
  if (result) document_free(doc);
  return result;
}

/* ------------------------------------------------------------------ points of drawn shapes */

size_t document_find_landmark(const document *doc, const cJSON *name) {
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc->template_json, "landmarks")->child;
  size_t i = 0;
  while (landmark && !cJSON_Compare(cJSON_GetObjectItemCaseSensitive(landmark, "name"), name, 1))
    ++i, landmark = landmark->next;
  return i;
}

void document_settle_points(document *doc) {
  const cJSON *shape, *vertex;
  size_t k = 0;
  cJSON_ArrayForEach(shape, cJSON_GetObjectItemCaseSensitive(doc->template_json, "shapes")) {
    const cJSON *vertices = cJSON_GetObjectItemCaseSensitive(shape, "vertices");
    uint32_t count = (uint32_t)cJSON_GetArraySize(vertices), v = 0;
    cJSON_ArrayForEach(vertex, vertices) {
      size_t point = cJSON_IsString(vertex) ? document_find_landmark(doc, vertex) : doc->point_count;
      for (size_t t = 0; point < doc->point_count && t < doc->frame_count; ++t) {
        const document_shape *drawn = &doc->frames[t].shapes[k];
        document_point *p = &doc->frames[t].points[point];
        if (drawn->origin != ORIGIN_ARTIST || drawn->vertex_count != count || drawn->hidden) continue;
        p->x = drawn->vertices[v].x, p->y = drawn->vertices[v].y;
        if (p->origin != ORIGIN_ARTIST)
          p->hidden = 0; /* else the artist said so: a drawn shape may go on where a point is covered */
        p->origin = ORIGIN_ARTIST;
      }
      ++v;
    }
    ++k;
  }
}

/* ------------------------------------------------------------------ writing */

double document_number(double value) {
  char text[64];
  snprintf(text, sizeof text, "%.3f", value);
  return strtod(text, NULL);
}

/* Text that grows. */
typedef struct text {
  char *data;
  size_t size, room;
} text;

static void put(text *t, const char *format, ...) CLI_PRINTF(2, 3);
static void put(text *t, const char *format, ...) {
  for (size_t length = 0;;) {
    if (t->size + length >= t->room) {
      char *old = t->data;
      t->room = 2 * t->room + length + 256;
      t->data = (char *)cli_alloc(t->room, 1);
      if (old) memcpy(t->data, old, t->size);
      free(old);
    }
    va_list args;
    va_start(args, format);
    length = (size_t)vsnprintf(t->data + t->size, t->room - t->size, format, args);
    va_end(args);
    if (t->size + length < t->room) {
      t->size += length;
      return;
    }
  }
}

/* A JSON value on one line. */
static void put_json(text *t, const cJSON *value) {
  char *line = cJSON_PrintUnformatted(value);
  put(t, "%s", line ? line : "null");
  cJSON_free(line);
}

static void put_string(text *t, const char *string) {
  cJSON *value = string ? cJSON_CreateString(string) : cJSON_CreateNull();
  put_json(t, value);
  cJSON_Delete(value);
}

/* An object, each member on its own line, the elements of lists too. */
static void put_template(text *t, const cJSON *object) {
  const cJSON *member, *element;
  put(t, "{");
  cJSON_ArrayForEach(member, object) {
    put(t, "%s\n    ", member == object->child ? "" : ",");
    put_string(t, member->string);
    put(t, ": ");
    if (!cJSON_IsArray(member) || !member->child) {
      put_json(t, member);
      continue;
    }
    put(t, "[");
    cJSON_ArrayForEach(element, member) {
      put(t, "%s\n      ", element == member->child ? "" : ",");
      put_json(t, element);
    }
    put(t, "]");
  }
  put(t, "}");
}

static void put_shape(text *t, const document_shape *shape, int closed) {
  const roto_vertex *v = shape->vertices;
  uint32_t segments = closed ? shape->vertex_count : shape->vertex_count - 1, equal = 0;
  put(t, "{\"origin\": \"%s\", %s", origin_names[shape->origin], shape->hidden ? "\"visible\": false, " : "");
  while (equal < shape->vertex_count && !(v[equal].feather < v->feather || v[equal].feather > v->feather)) ++equal;
  if (equal < shape->vertex_count) {
    for (uint32_t i = 0; i < shape->vertex_count; ++i) put(t, "%s%.8g", i ? ", " : "\"feather\": [", v[i].feather);
    put(t, "], ");
  } else if (v->feather < 0 || v->feather > 0) {
    put(t, "\"feather\": %.8g, ", v->feather);
  }
  if (shape->width > 0) put(t, "\"width\": %.8g, ", shape->width);
  put(t, "\"segments\": [");
  for (uint32_t i = 0; i < segments; ++i) {
    const roto_vertex *a = v + i, *b = v + (i + 1 < shape->vertex_count ? i + 1 : 0);
    put(t, "%s[[%.3f,%.3f,%.3f,%.3f],[%.3f,%.3f,%.3f,%.3f]]", i ? ", " : "", a->x, a->out_x, b->x, b->in_x, a->y, a->out_y,
        b->y, b->in_y);
  }
  put(t, "]}");
}

/* One line a shape. */
static void put_shapes(text *t, const document *doc, const document_frame *frame) {
  int first = 1, closed;
  for (size_t s = 0; s < doc->shape_count; ++s) {
    if (!frame->shapes[s].vertex_count) continue;
    put(t, first ? ",\n     \"shapes\": {\n      " : ",\n      ");
    put_string(t, document_shape_name(doc, s, &closed));
    put(t, ": ");
    put_shape(t, &frame->shapes[s], closed);
    first = 0;
  }
  put(t, first ? "}" : "}}");
}

static void put_frame(text *t, const document *doc, const document_frame *frame) {
  put(t, "    {\"frame\": %d, ", frame->number);
  if (frame->file) {
    put(t, "\"file\": ");
    put_string(t, frame->file);
    put(t, ", ");
  }
  if (frame->width != doc->width || frame->height != doc->height) put(t, "\"size\": [%d, %d], ", frame->width, frame->height);
  if (frame->data[2]) put(t, "\"data\": [%d, %d, %d, %d], ", frame->data[0], frame->data[1], frame->data[2], frame->data[3]);
  put(t, "\"crop\": [%.8g, %.8g, %.8g, %.8g],\n     \"points\": [\n", frame->crop[0], frame->crop[1], frame->crop[2],
      frame->crop[3]);
  for (size_t i = 0; i < doc->point_count; ++i) {
    const document_point *p = &frame->points[i];
    put(t, "      {\"x\": %.3f, \"y\": %.3f, \"confidence\": %.4f, \"error\": %.3f, %s\"origin\": \"%s\"", p->x, p->y,
        p->confidence, p->error, p->hidden ? "\"visible\": false, " : "", origin_names[p->origin]);
    if (document_number(p->x) != document_number(p->raw_x) || document_number(p->y) != document_number(p->raw_y))
      put(t, ", \"raw\": [%.3f, %.3f]", p->raw_x, p->raw_y);
    if (p->flow_error > 0) put(t, ", \"flow\": [%.3f, %.3f, %.3f]", p->flow_x, p->flow_y, p->flow_error);
    if (p->flow_error < 0) put(t, ", \"flow\": [%.3f, %.3f, -1]", p->flow_x, p->flow_y);
    put(t, i + 1 < doc->point_count ? "},\n" : "}]\n");
  }
  t->size -= 1; /* the line feed; shapes may follow, and the caller decides about the comma */
  put_shapes(t, doc, frame);
}

int document_write(const char *path, const document *doc, char *message) {
  text t = {0};
  for (size_t i = 0; i < doc->frame_count; ++i) {
    for (size_t k = 0; k < doc->shape_count; ++k) {
      const document_shape *shape = &doc->frames[i].shapes[k];
      for (uint32_t v = 0; v < shape->vertex_count; ++v) {
        const roto_vertex *at = shape->vertices + v;
        if (!isfinite(at->x + at->y + at->in_x + at->in_y + at->out_x + at->out_y + at->feather))
          return message_set(message, "%s: frame %d, shape %zu, vertex %u is not a finite number", path, doc->frames[i].number,
                             k, v);
      }
    }
    for (size_t p = 0; p < doc->point_count; ++p) {
      const document_point *point = &doc->frames[i].points[p];
      if (!isfinite(point->x + point->y + point->confidence + point->error + point->raw_x + point->raw_y + point->flow_x +
                    point->flow_y + point->flow_error))
        return message_set(message, "%s: frame %d, point %zu is not a finite number; run `roto model selftest` on the model",
                           path, doc->frames[i].number, p);
    }
  }
  put(&t, "{\n  \"roto\": %d,\n  \"plate\": {\"pattern\": ", DOCUMENT_VERSION);
  put_string(&t, doc->pattern);
  put(&t, ", \"width\": %d, \"height\": %d, \"transfer\": \"%s\"", doc->width, doc->height, transfer_name(doc->transfer));
  if (doc->channels) {
    put(&t, ", \"channels\": ");
    put_string(&t, doc->channels);
  }
  if (doc->pixel_aspect > 0 && doc->pixel_aspect != 1) put(&t, ", \"pixel_aspect\": %.8g", doc->pixel_aspect);
  if (doc->origin[0] || doc->origin[1]) put(&t, ", \"origin\": [%d, %d]", doc->origin[0], doc->origin[1]);
  put(&t, "},\n  \"model\": ");
  put_json(&t, doc->model);
  put(&t, ",\n  \"template\": ");
  put_template(&t, doc->template_json);
  put(&t, ",\n  \"frames\": [\n");
  for (size_t i = 0; i < doc->frame_count; ++i) {
    put_frame(&t, doc, &doc->frames[i]);
    put(&t, "%s\n", i + 1 < doc->frame_count ? "," : "");
  }
  put(&t, "  ]\n}\n");
  int result = file_write(path, t.data, t.size, message);
  free(t.data);
  return result;
}

/* ------------------------------------------------------------------ merging */

static int same_landmarks(const document *a, const document *b) {
  const cJSON *x = cJSON_GetObjectItemCaseSensitive(a->template_json, "landmarks")->child;
  const cJSON *y = cJSON_GetObjectItemCaseSensitive(b->template_json, "landmarks")->child;
  for (; x && y; x = x->next, y = y->next)
    if (!cJSON_Compare(cJSON_GetObjectItemCaseSensitive(x, "name"), cJSON_GetObjectItemCaseSensitive(y, "name"), 1)) return 0;
  return !x && !y;
}

/* The same plate: the same pattern but for the folder, which may be spelt in many ways, and the same size. */
static int same_plate(const document *a, const document *b) {
  if (a->width != b->width || a->height != b->height || !a->pattern != !b->pattern) return 0;
  if (!a->pattern) return 1;
  const char *x = strrchr(a->pattern, '/'), *y = strrchr(b->pattern, '/');
  return !strcmp(x ? x + 1 : a->pattern, y ? y + 1 : b->pattern);
}

int document_compatible(const document *a, const document *b) {
  return same_plate(a, b) && same_landmarks(a, b);
}

/* The folder is what is locked: the file itself is replaced, and a file beside it would be left behind. */
int document_lock(const char *path) {
  const char *slash = strrchr(path, '/');
  char *folder = slash ? cli_format("%.*s", (int)(slash - path + 1), path) : cli_format(".");
  int lock = open(folder, O_RDONLY);
  free(folder);
  if (lock >= 0 && flock(lock, LOCK_EX)) {
    close(lock);
    lock = -1;
  }
  return lock;
}

void document_unlock(int lock) {
  if (lock >= 0) close(lock);
}

/* What an artist did in a document: points, and shapes by the index of the template. */
static size_t count_artist(const document *doc, const document *other, int *known) {
  size_t count = 0;
  int closed;
  *known = 1;
  for (size_t i = 0; i < doc->frame_count; ++i) {
    for (size_t p = 0; p < doc->point_count; ++p) count += doc->frames[i].points[p].origin == ORIGIN_ARTIST;
    for (size_t k = 0; k < doc->shape_count; ++k) {
      if (!doc->frames[i].shapes[k].vertex_count || doc->frames[i].shapes[k].origin != ORIGIN_ARTIST) continue;
      ++count;
      if (find_shape(other, document_shape_name(doc, k, &closed)) == other->shape_count) *known = 0;
    }
  }
  return count;
}

/* Shapes of an older frame that go into a new one: all of them, or an artist's only. */
static void merge_shapes(const document *doc, document_frame *to, const document *older, const document_frame *from, int all) {
  int closed;
  for (size_t k = 0; k < older->shape_count; ++k) {
    const document_shape *shape = &from->shapes[k];
    size_t index = find_shape(doc, document_shape_name(older, k, &closed));
    if (!shape->vertex_count || index == doc->shape_count || (!all && shape->origin != ORIGIN_ARTIST)) continue;
    free(to->shapes[index].vertices);
    to->shapes[index] = *shape;
    to->shapes[index].vertices = (roto_vertex *)cli_alloc(shape->vertex_count, sizeof *shape->vertices);
    memcpy(to->shapes[index].vertices, shape->vertices, shape->vertex_count * sizeof *shape->vertices);
  }
}

/* An artist's point over a new prediction, which stays known as the raw one. */
static void merge_point(document_point *to, const document_point *from) {
  document_point found = *to;
  *to = *from;
  to->raw_x = found.raw_x, to->raw_y = found.raw_y;
  to->flow_x = found.flow_x, to->flow_y = found.flow_y, to->flow_error = found.flow_error;
}

int document_merge(document *doc, const document *older, const char *older_path, size_t *kept, char *message) {
  int known_shapes;
  size_t artist_count = count_artist(older, doc, &known_shapes), added = 0;
  *kept = 0;
  int compatible = document_compatible(doc, older) && known_shapes;
  if (!compatible && artist_count)
    return message_set(
        message,
        "%s: holds %zu points or shapes set by an artist, but for another %s; write to another file, or move this one away",
        older_path, artist_count, same_plate(doc, older) ? "set of landmarks or shapes" : "plate");
  if (!compatible) return 0;

  for (size_t k = 0; k < doc->frame_count; ++k) { /* what led to the next frame now leads past an older one */
    size_t i = 0;
    while (i < older->frame_count && older->frames[i].number <= doc->frames[k].number) ++i;
    int between = i < older->frame_count && k + 1 < doc->frame_count && older->frames[i].number < doc->frames[k + 1].number;
    for (size_t p = 0; between && p < doc->point_count; ++p) doc->frames[k].points[p].flow_error = 0;
  }
  document_frame *frames = (document_frame *)cli_alloc(doc->frame_count + older->frame_count, sizeof *frames);
  memcpy(frames, doc->frames, doc->frame_count * sizeof *frames);
  for (size_t i = 0; i < older->frame_count; ++i) {
    const document_frame *from = &older->frames[i];
    document_frame *to = (document_frame *)bsearch(from, doc->frames, doc->frame_count, sizeof *from, by_number);
    if (to) {
      for (size_t p = 0; p < doc->point_count; ++p)
        if (from->points[p].origin == ORIGIN_ARTIST)
          merge_point(&frames[to - doc->frames].points[p], &from->points[p]), ++*kept;
      merge_shapes(doc, &frames[to - doc->frames], older, from, 0);
      continue;
    }
    document_frame *copy = &frames[doc->frame_count + added++];
    *copy = *from;
    copy->file = from->file ? cli_format("%s", from->file) : NULL;
    copy->points = (document_point *)cli_alloc(doc->point_count, sizeof *copy->points);
    memcpy(copy->points, from->points, doc->point_count * sizeof *copy->points);
    copy->shapes = (document_shape *)cli_alloc(doc->shape_count + 1, sizeof *copy->shapes);
    merge_shapes(doc, copy, older, from, 1);
    for (size_t p = 0; p < doc->point_count; ++p) *kept += copy->points[p].origin == ORIGIN_ARTIST;
    int next = i + 1 < older->frame_count ? older->frames[i + 1].number : MAX_FRAME_NUMBER, renewed = 0;
    for (size_t k = 0; k < doc->frame_count; ++k)
      renewed |= doc->frames[k].number > from->number && doc->frames[k].number <= next;
    for (size_t p = 0; renewed && p < doc->point_count; ++p) copy->points[p].flow_error = 0; /* it led to another picture */
  }
  free(doc->frames);
  doc->frames = frames;
  doc->frame_count += added;
  qsort(doc->frames, doc->frame_count, sizeof *doc->frames, by_number);
  return 0;
}
