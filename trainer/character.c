/* Reading, checking and writing character.json. */

#include "character.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/roto_format.h"
#include "../tools/json_file.h"

static char *copy_text(const char *text) {
  size_t size = strlen(text) + 1;
  char *copy = malloc(size);
  if (copy) memcpy(copy, text, size);
  return copy;
}

static int no_memory(const char *name, char *message) {
  return message_set(message, "%s: out of memory", name);
}

void character_free(character *ch) {
  uint32_t i;
  for (i = 0; i < ch->landmark_count; ++i) {
    free((char *)ch->landmarks[i].name);
    free((char *)ch->landmarks[i].rule);
  }
  for (i = 0; i < ch->part_count; ++i) free((char *)ch->parts[i].name);
  for (i = 0; i < ch->shape_count; ++i) {
    free((char *)ch->shapes[i].name);
    free((int32_t *)ch->shapes[i].vertices);
  }
  free(ch->name);
  free(ch->landmarks);
  free(ch->parts);
  free(ch->shapes);
  free(ch->anticlockwise);
  memset(ch, 0, sizeof *ch);
}

int character_find_landmark(const character *ch, const char *name) {
  uint32_t i;
  for (i = 0; i < ch->landmark_count; ++i) {
    if (!strcmp(ch->landmarks[i].name, name)) return (int)i;
  }
  return -1;
}

int character_find_part(const character *ch, const char *name) {
  uint32_t i;
  for (i = 0; i < ch->part_count; ++i) {
    if (!strcmp(ch->parts[i].name, name)) return (int)i;
  }
  return -1;
}

int character_find_shape(const character *ch, const char *name) {
  uint32_t i;
  for (i = 0; i < ch->shape_count; ++i) {
    if (!strcmp(ch->shapes[i].name, name)) return (int)i;
  }
  return -1;
}

int character_check(const character *ch, const char *name, char *message) {
  uint32_t n = ch->landmark_count, i, v;
  if (n < 2 || n > ROTO_MAX_LANDMARKS) {
    return message_set(message, "%s: expected 2 to %u landmarks, found %u", name, ROTO_MAX_LANDMARKS, n);
  }
  if (!ch->part_count) return message_set(message, "%s: expected at least one part, found none", name);
  for (i = 0; i < ch->part_count; ++i) {
    const roto_part *p = &ch->parts[i];
    if (!p->name[0]) return message_set(message, "%s: parts[%u] has an empty name", name, i);
    if (character_find_part(ch, p->name) != (int)i) return message_set(message, "%s: two parts are named %s", name, p->name);
    if (!(p->weight >= 0 && p->weight < INFINITY)) {
      return message_set(message, "%s: part %s: expected a weight of 0 or more, found %g", name, p->name, (double)p->weight);
    }
  }
  for (i = 0; i < n; ++i) {
    const roto_landmark *l = &ch->landmarks[i];
    if (!l->name[0]) return message_set(message, "%s: landmarks[%u] has an empty name", name, i);
    if (character_find_landmark(ch, l->name) != (int)i) {
      return message_set(message, "%s: two landmarks are named %s", name, l->name);
    }
    if (!(l->weight >= 0 && l->weight < INFINITY)) {
      return message_set(message, "%s: landmark %s: expected a weight of 0 or more, found %g", name, l->name,
                         (double)l->weight);
    }
    if (l->part >= ch->part_count) {
      return message_set(message, "%s: landmark %s: expected a part below %u, found %u", name, l->name, ch->part_count,
                         l->part);
    }
    if (l->flip >= n) {
      return message_set(message, "%s: landmark %s: expected a flip below %u, found %u", name, l->name, n, l->flip);
    }
    if (ch->landmarks[l->flip].flip != i) {
      return message_set(message, "%s: landmark %s flips to %s, which flips to %s: expected it to flip back", name, l->name,
                         ch->landmarks[l->flip].name, ch->landmarks[ch->landmarks[l->flip].flip % n].name);
    }
    if (ch->landmarks[l->flip].part != l->part) {
      return message_set(message, "%s: landmark %s flips to %s, which is in another part", name, l->name,
                         ch->landmarks[l->flip].name);
    }
  }
  for (i = 0; i < ch->shape_count; ++i) {
    const roto_shape *s = &ch->shapes[i];
    if (!s->name[0]) return message_set(message, "%s: shapes[%u] has an empty name", name, i);
    if (character_find_shape(ch, s->name) != (int)i) return message_set(message, "%s: two shapes are named %s", name, s->name);
    if (s->vertex_count < 2) {
      return message_set(message, "%s: shape %s: expected at least 2 vertices, found %u", name, s->name, s->vertex_count);
    }
    for (v = 0; v < s->vertex_count; ++v) {
      if (s->vertices[v] < -1 || s->vertices[v] >= (int32_t)n) {
        return message_set(message, "%s: shape %s: vertex %u: expected a landmark below %u, found %d", name, s->name, v, n,
                           s->vertices[v]);
      }
    }
  }
  if (ch->anchors[0] >= n || ch->anchors[1] >= n || ch->anchors[0] == ch->anchors[1]) {
    return message_set(message, "%s: expected two different landmarks as anchors, found %u and %u", name, ch->anchors[0],
                       ch->anchors[1]);
  }
  return 0;
}

/* What the functions below read from, and where they say what is wrong with it. */
typedef struct reader {
  const char *path;
  char *message;
} reader;

/* A member that must be a list; *list stays NULL if it is not there. */
static int read_list(const reader *r, const cJSON *root, const char *member, const cJSON **list) {
  *list = cJSON_GetObjectItemCaseSensitive(root, member);
  if (*list && !cJSON_IsArray(*list)) return message_set(r->message, "%s: expected \"%s\" to be a list", r->path, member);
  return 0;
}

/* The name of an entry, or, where `optional`, an empty text. */
static int read_text(const reader *r, const cJSON *item, const char *where, uint32_t index, const char *member, int optional,
                     const char **text) {
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, member);
  char *copy;
  if (!cJSON_IsString(value) && !(optional && !value)) {
    return message_set(r->message, "%s: %s[%u]: expected a text \"%s\"", r->path, where, index, member);
  }
  copy = copy_text(value ? value->valuestring : "");
  if (!copy) return no_memory(r->path, r->message);
  *text = copy;
  return 0;
}

static int read_weight(const reader *r, const cJSON *item, const char *where, uint32_t index, float *weight) {
  const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, "weight");
  double number = 1;
  if (value && !json_number(value, &number)) {
    return message_set(r->message, "%s: %s[%u]: expected \"weight\" to be a number", r->path, where, index);
  }
  *weight = (float)number;
  return 0;
}

/* A landmark or part by name or index. */
static int read_reference(const reader *r, const character *ch, const cJSON *value,
                          int (*find)(const character *, const char *), uint32_t count, const char *where, uint32_t index,
                          const char *member, uint32_t *result) {
  double number = -1;
  int found = -1;
  if (cJSON_IsString(value)) {
    found = find(ch, value->valuestring);
    if (found < 0) {
      return message_set(r->message, "%s: %s[%u]: \"%s\" names %s, which is not there", r->path, where, index, member,
                         value->valuestring);
    }
  } else if (json_number(value, &number) && number >= 0 && number < count && number == floor(number)) {
    found = (int)number;
  } else {
    return message_set(r->message, "%s: %s[%u]: expected \"%s\" to be a name or an index below %u", r->path, where, index,
                       member, count);
  }
  *result = (uint32_t)found;
  return 0;
}

static int read_parts(const reader *r, const cJSON *root, character *ch) {
  const cJSON *list, *item;
  uint32_t i = 0;
  if (read_list(r, root, "parts", &list)) return -1;
  if (!list || !cJSON_GetArraySize(list)) {
    ch->parts = calloc(1, sizeof *ch->parts);
    if (!ch->parts || !(ch->parts[0].name = copy_text("all"))) return no_memory(r->path, r->message);
    ch->parts[0].weight = 1;
    ch->part_count = 1;
    return 0;
  }
  ch->parts = calloc((size_t)cJSON_GetArraySize(list), sizeof *ch->parts);
  if (!ch->parts) return no_memory(r->path, r->message);
  cJSON_ArrayForEach(item, list) {
    ch->part_count = i + 1;
    if (read_text(r, item, "parts", i, "name", 0, &ch->parts[i].name)) return -1;
    if (read_weight(r, item, "parts", i, &ch->parts[i].weight)) return -1;
    ++i;
  }
  return 0;
}

/* Names first: a flip may name a landmark further down. */
static int read_landmarks(const reader *r, const cJSON *root, character *ch) {
  const cJSON *list, *item, *value;
  uint32_t i = 0;
  if (read_list(r, root, "landmarks", &list)) return -1;
  if (!list || !cJSON_GetArraySize(list)) return message_set(r->message, "%s: expected a list \"landmarks\"", r->path);
  ch->landmarks = calloc((size_t)cJSON_GetArraySize(list), sizeof *ch->landmarks);
  if (!ch->landmarks) return no_memory(r->path, r->message);
  cJSON_ArrayForEach(item, list) {
    roto_landmark *l = &ch->landmarks[i];
    ch->landmark_count = i + 1;
    l->flip = i;
    if (read_text(r, item, "landmarks", i, "name", 0, &l->name)) return -1;
    if (read_text(r, item, "landmarks", i, "rule", 1, &l->rule)) return -1;
    if (read_weight(r, item, "landmarks", i, &l->weight)) return -1;
    value = cJSON_GetObjectItemCaseSensitive(item, "part");
    if (value && read_reference(r, ch, value, character_find_part, ch->part_count, "landmarks", i, "part", &l->part)) {
      return -1;
    }
    ++i;
  }
  i = 0;
  cJSON_ArrayForEach(item, list) {
    value = cJSON_GetObjectItemCaseSensitive(item, "flip");
    if (value && read_reference(r, ch, value, character_find_landmark, ch->landmark_count, "landmarks", i, "flip",
                                &ch->landmarks[i].flip)) {
      return -1;
    }
    ++i;
  }
  return 0;
}

static int read_shapes(const reader *r, const cJSON *root, character *ch) {
  const cJSON *list, *item, *value;
  uint32_t i = 0;
  if (read_list(r, root, "shapes", &list)) return -1;
  if (!list || !cJSON_GetArraySize(list)) return 0;
  ch->shapes = calloc((size_t)cJSON_GetArraySize(list), sizeof *ch->shapes);
  ch->anticlockwise = calloc((size_t)cJSON_GetArraySize(list), 1);
  if (!ch->shapes || !ch->anticlockwise) return no_memory(r->path, r->message);
  cJSON_ArrayForEach(item, list) {
    roto_shape *s = &ch->shapes[i];
    const cJSON *vertices = cJSON_GetObjectItemCaseSensitive(item, "vertices");
    int32_t *indices;
    uint32_t v = 0;
    ch->shape_count = i + 1;
    if (read_text(r, item, "shapes", i, "name", 0, &s->name)) return -1;
    value = cJSON_GetObjectItemCaseSensitive(item, "closed");
    if (!cJSON_IsBool(value)) {
      return message_set(r->message, "%s: shapes[%u]: expected \"closed\" to be true or false", r->path, i);
    }
    s->closed = cJSON_IsTrue(value);
    value = cJSON_GetObjectItemCaseSensitive(item, "clockwise");
    if (value && !cJSON_IsBool(value)) {
      return message_set(r->message, "%s: shapes[%u]: expected \"clockwise\" to be true or false", r->path, i);
    }
    ch->anticlockwise[i] = cJSON_IsFalse(value) ? 1 : 0;
    if (!cJSON_IsArray(vertices)) {
      return message_set(r->message, "%s: shapes[%u]: expected a list \"vertices\"", r->path, i);
    }
    indices = calloc((size_t)cJSON_GetArraySize(vertices) + 1, sizeof *indices);
    if (!indices) return no_memory(r->path, r->message);
    s->vertices = indices;
    cJSON_ArrayForEach(value, vertices) {
      uint32_t index = 0;
      if (cJSON_IsNull(value)) {
        indices[v++] = -1;
        continue;
      }
      if (read_reference(r, ch, value, character_find_landmark, ch->landmark_count, "shapes", i, "vertices", &index)) return -1;
      indices[v++] = (int32_t)index;
    }
    s->vertex_count = v;
    ++i;
  }
  return 0;
}

static int read_anchors(const reader *r, const cJSON *root, character *ch) {
  const cJSON *list;
  uint32_t i;
  if (read_list(r, root, "anchors", &list)) return -1;
  if (!list) {
    ch->anchors[0] = 0;
    ch->anchors[1] = ch->landmark_count - 1;
    return 0;
  }
  if (cJSON_GetArraySize(list) != 2) {
    return message_set(r->message, "%s: expected \"anchors\" to be two landmarks, found %d", r->path, cJSON_GetArraySize(list));
  }
  for (i = 0; i < 2; ++i) {
    if (read_reference(r, ch, cJSON_GetArrayItem(list, (int)i), character_find_landmark, ch->landmark_count, "anchors", i,
                       "anchors", &ch->anchors[i])) {
      return -1;
    }
  }
  return 0;
}

static int read_samples(const reader *r, const cJSON *root, character *ch) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "samples");
  double value;
  if (!item) return 0;
  if (!json_number(item, &value) || value < 2 || value > 10000 || value != (double)(uint32_t)value) {
    return message_set(r->message, "%s: expected \"samples\" to be a whole number from 2 to 10000", r->path);
  }
  ch->samples = (uint32_t)value;
  return 0;
}

/* The name of a template without one: its file's, without folder and extension. */
static char *name_of_path(const char *path) {
  const char *slash = strrchr(path, '/');
  char *name = copy_text(slash ? slash + 1 : path), *dot = name ? strrchr(name, '.') : NULL;
  if (dot && dot != name) *dot = 0;
  return name;
}

int character_load(const char *path, character *ch, char *message) {
  const reader r = {path, message};
  cJSON *root = json_read(path, message);
  const cJSON *name;
  int result = -1;
  memset(ch, 0, sizeof *ch);
  if (!root) return -1;
  if (!cJSON_IsObject(root)) {
    message_set(message, "%s: expected an object with \"landmarks\"", path);
  } else {
    name = cJSON_GetObjectItemCaseSensitive(root, "name");
    ch->name = cJSON_IsString(name) ? copy_text(name->valuestring) : name_of_path(path);
    if (!ch->name) {
      no_memory(path, message);
    } else if (!read_parts(&r, root, ch) && !read_landmarks(&r, root, ch) && !read_shapes(&r, root, ch) &&
               !read_anchors(&r, root, ch) && !read_samples(&r, root, ch)) {
      result = character_check(ch, path, message);
    }
  }
  cJSON_Delete(root);
  if (result) character_free(ch);
  return result;
}

int character_from_model(const roto_model *model, character *ch, char *message) {
  const roto_info *info = roto_get_info(model);
  uint32_t i;
  int complete = 1;
  memset(ch, 0, sizeof *ch);
  ch->name = copy_text(info->name);
  ch->landmarks = calloc((size_t)info->landmark_count + 1, sizeof *ch->landmarks);
  ch->parts = calloc((size_t)info->part_count + 1, sizeof *ch->parts);
  ch->shapes = calloc((size_t)info->shape_count + 1, sizeof *ch->shapes);
  ch->anticlockwise = calloc((size_t)info->shape_count + 1, 1); /* which a model does not tell */
  if (!ch->name || !ch->landmarks || !ch->parts || !ch->shapes || !ch->anticlockwise) complete = 0;
  for (i = 0; complete && i < info->landmark_count; ++i) {
    roto_landmark *l = &ch->landmarks[i];
    roto_get_landmark(model, i, l);
    l->name = copy_text(l->name);
    l->rule = copy_text(l->rule);
    ch->landmark_count = i + 1;
    complete = l->name && l->rule;
  }
  for (i = 0; complete && i < info->part_count; ++i) {
    roto_get_part(model, i, &ch->parts[i]);
    ch->parts[i].name = copy_text(ch->parts[i].name);
    ch->part_count = i + 1;
    complete = ch->parts[i].name != NULL;
  }
  for (i = 0; complete && i < info->shape_count; ++i) {
    roto_shape *s = &ch->shapes[i];
    int32_t *vertices;
    roto_get_shape(model, i, s);
    vertices = malloc(((size_t)s->vertex_count + 1) * sizeof *vertices);
    if (vertices) memcpy(vertices, s->vertices, s->vertex_count * sizeof *vertices);
    s->vertices = vertices;
    s->name = copy_text(s->name);
    ch->shape_count = i + 1;
    complete = s->name && vertices;
  }
  if (!complete) {
    character_free(ch);
    return no_memory("the model's template", message);
  }
  ch->anchors[1] = ch->landmark_count ? ch->landmark_count - 1 : 0;
  if (character_check(ch, ch->name[0] ? ch->name : "the model's template", message)) {
    character_free(ch);
    return -1;
  }
  return 0;
}

/* The template as JSON; entries lack what is the default.  NULL: out of memory. */
static cJSON *to_json(const character *ch) {
  cJSON *root = cJSON_CreateObject(), *list, *item;
  uint32_t i, v;
  int good = cJSON_AddStringToObject(root, "name", ch->name) != NULL;
  list = cJSON_AddArrayToObject(root, "parts");
  for (i = 0; i < ch->part_count; ++i) {
    cJSON_AddItemToArray(list, item = cJSON_CreateObject());
    good = good && cJSON_AddStringToObject(item, "name", ch->parts[i].name) &&
           cJSON_AddNumberToObject(item, "weight", (double)ch->parts[i].weight);
  }
  list = cJSON_AddArrayToObject(root, "landmarks");
  for (i = 0; i < ch->landmark_count; ++i) {
    const roto_landmark *l = &ch->landmarks[i];
    cJSON_AddItemToArray(list, item = cJSON_CreateObject());
    good = good && cJSON_AddStringToObject(item, "name", l->name) &&
           cJSON_AddStringToObject(item, "part", ch->parts[l->part].name) &&
           cJSON_AddNumberToObject(item, "weight", (double)l->weight) &&
           cJSON_AddStringToObject(item, "flip", ch->landmarks[l->flip].name);
    if (l->rule[0]) good = good && cJSON_AddStringToObject(item, "rule", l->rule);
  }
  list = cJSON_AddArrayToObject(root, "shapes");
  for (i = 0; i < ch->shape_count; ++i) {
    const roto_shape *s = &ch->shapes[i];
    cJSON *vertices;
    cJSON_AddItemToArray(list, item = cJSON_CreateObject());
    good = good && cJSON_AddStringToObject(item, "name", s->name) && cJSON_AddBoolToObject(item, "closed", s->closed);
    if (ch->anticlockwise[i]) good = good && cJSON_AddBoolToObject(item, "clockwise", 0);
    vertices = cJSON_AddArrayToObject(item, "vertices");
    for (v = 0; v < s->vertex_count; ++v) {
      good =
          good && cJSON_AddItemToArray(vertices, s->vertices[v] < 0 ? cJSON_CreateNull()
                                                                    : cJSON_CreateString(ch->landmarks[s->vertices[v]].name));
    }
  }
  list = cJSON_AddArrayToObject(root, "anchors");
  for (i = 0; i < 2; ++i) {
    good = good && cJSON_AddItemToArray(list, cJSON_CreateString(ch->landmarks[ch->anchors[i]].name));
  }
  if (ch->samples) good = good && cJSON_AddNumberToObject(root, "samples", ch->samples);
  if (good) return root;
  cJSON_Delete(root);
  return NULL;
}

int character_write(const char *path, const character *ch, char *message) {
  cJSON *root = to_json(ch);
  int result = root ? json_write(path, root, message) : no_memory(path, message);
  cJSON_Delete(root);
  return result;
}
