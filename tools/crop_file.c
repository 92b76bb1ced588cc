/* Whatever the file holds becomes a list of rectangles, checked once, so that finding a crop has only one way to fail: there is
 * none. */

#include "crop_file.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../roto.h"
#include "cli.h"
#include "document.h"
#include "json_file.h"

static int crop_from_numbers(const double v[4], roto_rect *crop) {
  for (int i = 0; i < 4; ++i)
    if (!(fabs(v[i]) <= 1e6)) return 0;
  if (!(v[2] > 0 && v[3] > 0)) return 0;
  crop->x = (float)v[0];
  crop->y = (float)v[1];
  crop->width = (float)v[2];
  crop->height = (float)v[3];
  return 1;
}

static int four_numbers(const cJSON *item, double v[4]) {
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 4) return 0;
  for (int i = 0; i < 4; ++i)
    if (!json_number(cJSON_GetArrayItem(item, i), &v[i])) return 0;
  return 1;
}

static int crop_from_json(const cJSON *item, roto_rect *crop) {
  double v[4];
  return four_numbers(item, v) && crop_from_numbers(v, crop);
}

int crop_parse(const char *text, roto_rect *crop) {
  double v[4];
  int used = -1;
  if (sscanf(text, "%lf,%lf,%lf,%lf%n", &v[0], &v[1], &v[2], &v[3], &used) != 4 || used < 0 || text[used]) return 0;
  return crop_from_numbers(v, crop);
}

static void add(crop_list *crops, int number, const char *name, roto_rect rect) {
  crop_entry *entry = &crops->entries[crops->count++];
  entry->number = number;
  entry->name = name ? cli_format("%s", name) : NULL;
  entry->rect = rect;
}

/* Names come last. */
static int by_number(const void *a, const void *b) {
  const crop_entry *x = (const crop_entry *)a, *y = (const crop_entry *)b;
  if (!x->name != !y->name) return x->name ? 1 : -1;
  return (x->number > y->number) - (x->number < y->number);
}

/* ------------------------------------------------------------------ rectangles */

static int read_rectangles(const char *path, const cJSON *root, int keys, crop_list *crops, char *message) {
  const cJSON *item;
  crops->rule = keys ? CROPS_KEYS : CROPS_BY_FRAME;
  crops->entries = (crop_entry *)cli_alloc((size_t)cJSON_GetArraySize(root), sizeof *crops->entries);
  cJSON_ArrayForEach(item, root) {
    roto_rect rect;
    char *end;
    errno = 0;
    long number = strtol(item->string, &end, 10);
    int is_number = end != item->string && !*end && !errno && number >= INT_MIN && number <= INT_MAX;
    if (keys && !is_number)
      return message_set(message, "%s: expected frame numbers in \"keys\", found \"%.60s\"", path, item->string);
    if (!crop_from_json(item, &rect))
      return message_set(message, "%s: the crop of \"%.60s\": expected [x, y, width, height] with a positive size", path,
                         item->string);
    add(crops, is_number ? (int)number : 0, is_number ? NULL : item->string, rect);
  }
  if (keys && !crops->count) return message_set(message, "%s: expected at least one frame in \"keys\"", path);
  qsort(crops->entries, crops->count, sizeof *crops->entries, by_number);
  return 0;
}

/* ------------------------------------------------------------------ shapes */

typedef struct box {
  double edge[4]; /* left, top, right, bottom */
  int filled;
} box;

static void box_add(box *b, const double edge[4]) {
  for (int k = 0; k < 4; ++k)
    if (!b->filled || (k < 2 ? edge[k] < b->edge[k] : edge[k] > b->edge[k])) b->edge[k] = edge[k];
  b->filled = 1;
}

static int box_rect(const box *b, roto_rect *rect) {
  const double v[4] = {b->edge[0], b->edge[1], b->edge[2] - b->edge[0], b->edge[3] - b->edge[1]};
  return b->filled && crop_from_numbers(v, rect);
}

static int is_shape(const cJSON *item) {
  return cJSON_IsArray(item) && cJSON_GetArraySize(item) && cJSON_GetArraySize(cJSON_GetArrayItem(item, 0)) == 2 &&
         cJSON_IsArray(cJSON_GetArrayItem(cJSON_GetArrayItem(item, 0), 0));
}

static int holds_shapes(const cJSON *root) {
  const cJSON *item;
  cJSON_ArrayForEach(item, root) if (is_shape(item)) return 1;
  return 0;
}

static int read_shapes(const char *path, const cJSON *root, crop_list *crops, char *message) {
  const cJSON *shape, *segment;
  box all = {{0}, 0};
  roto_rect rect;
  cJSON_ArrayForEach(shape, root) {
    if (!is_shape(shape)) continue; /* points and what else an annotation may hold */
    cJSON_ArrayForEach(segment, shape) {
      double x[4], y[4], edge[4];
      if (!four_numbers(cJSON_GetArrayItem(segment, 0), x) || !four_numbers(cJSON_GetArrayItem(segment, 1), y))
        return message_set(message, "%s: shape \"%.60s\": expected each segment as [[x0,tx0,x3,tx3],[y0,ty0,y3,ty3]]", path,
                           shape->string);
      roto_cubic c = {{x[0], x[0] + x[1], x[2] + x[3], x[2]}, {y[0], y[0] + y[1], y[2] + y[3], y[2]}};
      roto_cubic_box(&c, edge);
      box_add(&all, edge);
    }
  }
  if (!box_rect(&all, &rect)) return message_set(message, "%s: its shapes enclose no area; draw one around the subject", path);
  crops->rule = CROPS_ALL;
  crops->entries = (crop_entry *)cli_alloc(1, sizeof *crops->entries);
  add(crops, 0, NULL, rect);
  return 0;
}

static int read_document_shapes(const char *path, crop_list *crops, char *message) {
  document doc;
  if (document_read(path, &doc, message)) return -1;
  crops->rule = CROPS_KEYS;
  crops->entries = (crop_entry *)cli_alloc(doc.frame_count, sizeof *crops->entries);
  for (size_t i = 0; i < doc.frame_count; ++i) {
    box all = {{0}, 0};
    roto_rect rect;
    for (size_t s = 0; s < doc.shape_count; ++s) {
      const document_shape *shape = &doc.frames[i].shapes[s];
      roto_path outline = {shape->vertices, shape->vertex_count, 0};
      double edge[4];
      if (shape->hidden || !shape->vertex_count) continue;
      document_shape_name(&doc, s, &outline.closed);
      roto_path_box(&outline, edge);
      box_add(&all, edge);
    }
    if (box_rect(&all, &rect)) add(crops, doc.frames[i].number, NULL, rect);
  }
  document_free(&doc);
  if (crops->count) return 0;
  return message_set(message, "%s: expected crops, found a roto document without shapes; draw one around the subject", path);
}

/* ------------------------------------------------------------------ the file */

int crops_read(const char *path, crop_list *crops, char *message) {
  roto_rect rect;
  int result = 0;
  memset(crops, 0, sizeof *crops);
  cJSON *root = json_read(path, message);
  if (!root) return -1;
  const cJSON *keys = cJSON_GetObjectItemCaseSensitive(root, "keys");
  if (crop_from_json(root, &rect)) {
    crops->rule = CROPS_ALL;
    crops->entries = (crop_entry *)cli_alloc(1, sizeof *crops->entries);
    add(crops, 0, NULL, rect);
  } else if (!cJSON_IsObject(root)) {
    result = message_set(message, "%s: expected an object {\"FRAME\": [x, y, width, height], ...} or one such rectangle", path);
  } else if (cJSON_HasObjectItem(root, "roto")) {
    result = read_document_shapes(path, crops, message);
  } else if (holds_shapes(root)) {
    result = read_shapes(path, root, crops, message);
  } else {
    result = read_rectangles(path, cJSON_IsObject(keys) ? keys : root, cJSON_IsObject(keys), crops, message);
  }
  cJSON_Delete(root);
  if (result) crops_free(crops);
  return result;
}

void crops_free(crop_list *crops) {
  for (size_t i = 0; i < crops->count; ++i) free(crops->entries[i].name);
  free(crops->entries);
  memset(crops, 0, sizeof *crops);
}

static roto_rect between(const crop_entry *a, const crop_entry *b, int number) {
  float t = (float)(((double)number - a->number) / ((double)b->number - a->number));
  roto_rect r = {a->rect.x + t * (b->rect.x - a->rect.x), a->rect.y + t * (b->rect.y - a->rect.y),
                 a->rect.width + t * (b->rect.width - a->rect.width), a->rect.height + t * (b->rect.height - a->rect.height)};
  return r;
}

int crops_find(const crop_list *crops, int number, const char *file, roto_rect *crop) {
  const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
  size_t low = 0, high = crops->count;
  if (crops->rule == CROPS_ALL) {
    *crop = crops->entries[0].rect;
    return 1;
  }
  while (low < high) { /* the first entry with this number or a greater one */
    size_t middle = (low + high) / 2;
    const crop_entry *entry = &crops->entries[middle];
    if (!entry->name && entry->number < number)
      low = middle + 1;
    else
      high = middle;
  }
  const crop_entry *at = crops->entries + low;
  if (low < crops->count && !at->name && at->number == number) {
    *crop = at->rect;
    return 1;
  }
  if (crops->rule == CROPS_KEYS) {
    *crop = low == 0 ? at->rect : low == crops->count ? at[-1].rect : between(at - 1, at, number);
    return 1;
  }
  for (size_t i = low; i < crops->count; ++i)
    if (crops->entries[i].name && !strcmp(crops->entries[i].name, name)) {
      *crop = crops->entries[i].rect;
      return 1;
    }
  return 0;
}
