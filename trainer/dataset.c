/* Finding, reading and checking annotated frames.
 *
 * A folder's file names are sorted, read as (kind, shot, number), and gathered to frames; then each frame's files are read
 * one after the other (cJSON's last error is a global).  Pixels come later and in parallel, each frame by itself, so that
 * neither threads nor the file system have a say in the order of anything. */

#include "dataset.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/image_file.h"
#include "../tools/json_file.h"

/* Landmarks this far from the frame are a mistake of whoever wrote the file. */
#define LARGEST_COORDINATE 1e6

typedef enum file_kind { FILE_IMAGE, FILE_REVEC, FILE_SHAPES, FILE_POINTS, FILE_RAW, FILE_KIND_COUNT } file_kind;
static const char *const kind_names[FILE_KIND_COUNT] = {"image", "revec_shapes", "shapes", "points", "raw_shapes"};

/* One file name of the layout; `shot` points into `name`. */
typedef struct listed_file {
  char *name;
  const char *shot;
  size_t shot_length;
  uint32_t number;
  file_kind kind;
} listed_file;

typedef struct listing {
  listed_file *files;
  size_t count, capacity;
} listing;

static char *copy_text(const char *text, size_t length) {
  char *copy = malloc(length + 1);
  if (!copy) return NULL;
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

static char *join_path(const char *folder, const char *name) {
  size_t a = strlen(folder), b = strlen(name);
  char *path = malloc(a + b + 2);
  if (!path) return NULL;
  memcpy(path, folder, a);
  if (a && folder[a - 1] != '/') path[a++] = '/';
  memcpy(path + a, name, b + 1);
  return path;
}

/* Make room for one more element of `size` bytes in an array of `count`; doubles at powers of two. */
static int grow(void **array, size_t count, size_t size) {
  void *grown;
  if (count & (count - 1)) return 0;
  if (count && count < 16) return 0;
  grown = realloc(*array, (count ? count * 2 : 16) * size);
  if (!grown) return -1;
  *array = grown;
  return 0;
}

static int no_memory(const char *path, char *message) {
  return message_set(message, "%s: out of memory", path);
}

static int report(dataset *ds, const frame *f, const char *path, int dropped, const char *format, ...) MESSAGE_FORMAT(5, 6);
static int report(dataset *ds, const frame *f, const char *path, int dropped, const char *format, ...) {
  char reason[MESSAGE_SIZE];
  dataset_issue *issue;
  va_list list;
  va_start(list, format);
  vsnprintf(reason, sizeof reason, format, list);
  va_end(list);
  if (grow((void **)&ds->issues, ds->issue_count, sizeof *ds->issues)) return -1;
  issue = &ds->issues[ds->issue_count];
  issue->path = copy_text(path, strlen(path));
  issue->reason = copy_text(reason, strlen(reason));
  issue->dropped = dropped;
  issue->shot = f->shot;
  issue->number = f->number;
  if (!issue->path || !issue->reason) {
    free(issue->path);
    free(issue->reason);
    return -1;
  }
  ++ds->issue_count;
  ds->dropped_count += dropped ? 1 : 0;
  return 0;
}

/* Messages of the readers begin with the file's path, which the report gives apart. */
static const char *without_path(const char *message, const char *path) {
  size_t n = strlen(path);
  return !strncmp(message, path, n) && message[n] == ':' && message[n + 1] == ' ' ? message + n + 2 : message;
}

static void free_shapes(frame_shape *shapes, uint32_t count) {
  uint32_t i;
  for (i = 0; i < count; ++i) {
    free(shapes[i].name);
    free(shapes[i].segments);
  }
  free(shapes);
}

static void free_frame(frame *f) {
  free(f->image_path);
  free(f->annotation_path);
  free(f->points);
  free(f->valid);
  free(f->hidden);
  free(f->weights);
  free_shapes(f->shapes, f->shape_count);
  free_shapes(f->raw, f->raw_count);
  free(f->pixels);
  memset(f, 0, sizeof *f);
}

/* Everything but the issues, which outlive a failed load. */
static void free_frames(dataset *ds) {
  size_t i;
  for (i = 0; i < ds->frame_count; ++i) free_frame(&ds->frames[i]);
  for (i = 0; i < ds->shot_count; ++i) free(ds->shots[i]);
  free(ds->frames);
  free(ds->shots);
  ds->frames = NULL;
  ds->shots = NULL;
  ds->frame_count = ds->shot_count = 0;
}

void dataset_warn(const dataset *ds, size_t first) {
  for (; first < ds->issue_count; ++first)
    fprintf(stderr, "WARNING: %s: %s%s\n", ds->issues[first].path, ds->issues[first].reason,
            ds->issues[first].dropped ? " (frame not used)" : "");
}

void dataset_free(dataset *ds) {
  size_t i;
  free_frames(ds);
  for (i = 0; i < ds->issue_count; ++i) {
    free(ds->issues[i].path);
    free(ds->issues[i].reason);
  }
  free(ds->issues);
  memset(ds, 0, sizeof *ds);
}

/* Room for `more` elements behind `count`. */
static int grow_list(void *list, size_t count, size_t more, size_t size) {
  void *grown = realloc(*(void **)list, (count + more + 1) * size);
  if (!grown) return -1;
  *(void **)list = grown;
  return 0;
}

int dataset_append(dataset *ds, dataset *more, char *message) {
  size_t i;
  if (grow_list(&ds->frames, ds->frame_count, more->frame_count, sizeof *ds->frames) ||
      grow_list(&ds->shots, ds->shot_count, more->shot_count, sizeof *ds->shots) ||
      grow_list(&ds->issues, ds->issue_count, more->issue_count, sizeof *ds->issues))
    return no_memory("list of frames", message);
  for (i = 0; i < more->frame_count; ++i) {
    more->frames[i].shot += (uint32_t)ds->shot_count;
    ds->frames[ds->frame_count + i] = more->frames[i];
  }
  for (i = 0; i < more->issue_count; ++i) {
    more->issues[i].shot += (uint32_t)ds->shot_count;
    ds->issues[ds->issue_count + i] = more->issues[i];
  }
  for (i = 0; i < more->shot_count; ++i) ds->shots[ds->shot_count + i] = more->shots[i];
  ds->frame_count += more->frame_count;
  ds->shot_count += more->shot_count;
  ds->issue_count += more->issue_count;
  ds->dropped_count += more->dropped_count;
  ds->landmark_count = more->landmark_count;
  more->frame_count = more->shot_count = more->issue_count = 0;
  dataset_free(more);
  return 0;
}

/* ---- file names ---- */

/* <kind>-<shot>-frame<digits>.<extension>; a shot's name may hold hyphens itself. */
static int parse_name(const char *name, listed_file *file) {
  const char *shot, *mark = NULL, *at;
  size_t length;
  int k, json;
  uint64_t number = 0;
  for (k = 0; k < FILE_KIND_COUNT; ++k) {
    length = strlen(kind_names[k]);
    if (!strncmp(name, kind_names[k], length) && name[length] == '-') break;
  }
  if (k == FILE_KIND_COUNT) return 0;
  shot = name + length + 1;
  for (at = strstr(shot, "-frame"); at; at = strstr(at + 1, "-frame")) mark = at;
  if (!mark || mark == shot) return 0;
  at = mark + 6;
  if (*at < '0' || *at > '9') return 0;
  for (; *at >= '0' && *at <= '9'; ++at) {
    number = number * 10 + (uint64_t)(*at - '0');
    if (number > UINT32_MAX) return 0;
  }
  if (*at != '.' || !at[1]) return 0;
  json = !strcmp(at, ".json");
  if (json != (k != FILE_IMAGE)) return 0;
  file->kind = (file_kind)k;
  file->shot = shot;
  file->shot_length = (size_t)(mark - shot);
  file->number = (uint32_t)number;
  return 1;
}

static int compare_text(const char *a, size_t an, const char *b, size_t bn) {
  int order = memcmp(a, b, an < bn ? an : bn);
  if (order) return order;
  return an < bn ? -1 : an > bn;
}

static int compare_files(const void *pa, const void *pb) {
  const listed_file *a = pa, *b = pb;
  int order = compare_text(a->shot, a->shot_length, b->shot, b->shot_length);
  if (order) return order;
  if (a->number != b->number) return a->number < b->number ? -1 : 1;
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  return strcmp(a->name, b->name);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_listing(listing *l) {
  size_t i;
  for (i = 0; i < l->count; ++i) free(l->files[i].name);
  free(l->files);
  memset(l, 0, sizeof *l);
}

static void free_names(char **names, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) free(names[i]);
  free(names);
}

/* The files of one folder that follow the layout, sorted, and all other names in it, sorted. */
static int list_folder(const char *folder, listing *files, char ***others, size_t *other_count, char *message) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  int result = 0;
  memset(files, 0, sizeof *files);
  *others = NULL;
  *other_count = 0;
  if (!dir) return message_set(message, "%s: cannot open the folder: %s", folder, strerror(errno));
  while (!result && (entry = readdir(dir)) != NULL) {
    listed_file file;
    char *name;
    if (entry->d_name[0] == '.') continue;
    name = copy_text(entry->d_name, strlen(entry->d_name));
    if (!name) {
      result = -1;
    } else if (parse_name(name, &file)) {
      file.name = name;
      result = grow((void **)&files->files, files->count, sizeof file);
      if (!result) files->files[files->count++] = file;
    } else {
      result = grow((void **)others, *other_count, sizeof name);
      if (!result) (*others)[(*other_count)++] = name;
    }
    if (result) free(name);
  }
  closedir(dir);
  if (result) {
    free_listing(files);
    free_names(*others, *other_count);
    *others = NULL;
    *other_count = 0;
    return no_memory(folder, message);
  }
  if (files->count) qsort(files->files, files->count, sizeof *files->files, compare_files);
  if (*other_count) qsort(*others, *other_count, sizeof **others, compare_names);
  return 0;
}

/* ---- one annotation ---- */

/* What a frame's files say, while they are read. */
typedef struct reading {
  const character *ch;
  dataset *ds;
  frame *f;
  const char *path;          /* of the file being read */
  char reason[MESSAGE_SIZE]; /* why the frame cannot be used */
  int out_of_memory;
} reading;

static int reading_no_memory(reading *r) {
  r->out_of_memory = 1;
  return message_set(r->reason, "out of memory");
}

static int good_coordinate(const cJSON *item, float *value) {
  double number;
  if (!json_number(item, &number) || fabs(number) > LARGEST_COORDINATE) return 0;
  *value = (float)number;
  return 1;
}

/* "points" and "visible".  The first file that has points gives them. */
static int read_points(reading *r, const cJSON *root) {
  const cJSON *points = cJSON_GetObjectItemCaseSensitive(root, "points"), *item;
  const cJSON *visible = cJSON_GetObjectItemCaseSensitive(root, "visible");
  uint32_t n = r->ch->landmark_count, i = 0;
  frame *f = r->f;
  if (!points || f->points) return 0;
  if (!cJSON_IsArray(points) || cJSON_GetArraySize(points) != (int)n) {
    return message_set(r->reason, "expected %u points, found %d", n, cJSON_IsArray(points) ? cJSON_GetArraySize(points) : 0);
  }
  if (visible && (!cJSON_IsArray(visible) || cJSON_GetArraySize(visible) != (int)n)) {
    return message_set(r->reason, "expected %u flags in \"visible\", found %d", n,
                       cJSON_IsArray(visible) ? cJSON_GetArraySize(visible) : 0);
  }
  f->points = calloc(n, 2 * sizeof *f->points);
  f->valid = calloc(n, 1);
  f->hidden = calloc(n, 1);
  if (!f->points || !f->valid || !f->hidden) return reading_no_memory(r);
  cJSON_ArrayForEach(item, points) {
    float *p = &f->points[2 * i];
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2 || !good_coordinate(item->child, &p[0]) ||
        !good_coordinate(item->child->next, &p[1])) {
      return message_set(r->reason, "point %u: expected [x, y], two finite numbers", i);
    }
    f->valid[i] = p[0] != 0 || p[1] != 0;
    ++i;
  }
  i = 0;
  cJSON_ArrayForEach(item, visible) {
    double flag = cJSON_IsTrue(item);
    if (!cJSON_IsBool(item) && !(json_number(item, &flag) && (flag == 0 || flag == 1))) {
      return message_set(r->reason, "visible[%u]: expected 0 or 1", i);
    }
    if (flag == 0 && f->valid[i]) {
      f->valid[i] = 0;
      f->hidden[i] = 1;
    }
    ++i;
  }
  return 0;
}

/* "weights", beside the points. */
static int read_weights(reading *r, const cJSON *root) {
  const cJSON *weights = cJSON_GetObjectItemCaseSensitive(root, "weights"), *item;
  uint32_t n = r->ch->landmark_count, i = 0;
  frame *f = r->f;
  if (!weights || f->weights) return 0;
  if (!cJSON_IsArray(weights) || cJSON_GetArraySize(weights) != (int)n) {
    return message_set(r->reason, "expected %u numbers in \"weights\", found %d", n,
                       cJSON_IsArray(weights) ? cJSON_GetArraySize(weights) : 0);
  }
  f->weights = calloc(n, sizeof *f->weights);
  if (!f->weights) return reading_no_memory(r);
  cJSON_ArrayForEach(item, weights) {
    if (!good_coordinate(item, &f->weights[i]) || f->weights[i] < 0) {
      return message_set(r->reason, "weights[%u]: expected a number from 0", i);
    }
    ++i;
  }
  return 0;
}

static int read_shape(reading *r, const cJSON *item, frame_shape *shape) {
  const cJSON *entry;
  uint32_t count = cJSON_IsArray(item) ? (uint32_t)cJSON_GetArraySize(item) : 0, k = 0;
  memset(shape, 0, sizeof *shape);
  if (!count) return message_set(r->reason, "shape %s: expected a list of segments", item->string);
  shape->name = copy_text(item->string, strlen(item->string));
  shape->segments = calloc(count, sizeof *shape->segments);
  if (!shape->name || !shape->segments) return reading_no_memory(r);
  cJSON_ArrayForEach(entry, item) {
    int axis, good = cJSON_IsArray(entry) && cJSON_GetArraySize(entry) == 2;
    for (axis = 0; good && axis < 2; ++axis) {
      const cJSON *row = cJSON_GetArrayItem(entry, axis), *value;
      float *to = axis ? shape->segments[k].y : shape->segments[k].x;
      int j = 0;
      good = cJSON_IsArray(row) && cJSON_GetArraySize(row) == 4;
      if (!good) break;
      cJSON_ArrayForEach(value, row) {
        good = good && good_coordinate(value, &to[j++]);
      }
    }
    if (!good) {
      return message_set(r->reason, "shape %s, segment %u: expected [[p0x,t0x,p3x,t3x],[p0y,t0y,p3y,t3y]], finite numbers",
                         item->string, k);
    }
    ++k;
  }
  shape->segment_count = count;
  return 0;
}

/* Raw shapes, all of them, in the file's order. */
static int read_raw(reading *r, const cJSON *root) {
  const cJSON *item;
  frame *f = r->f;
  f->raw = calloc((size_t)cJSON_GetArraySize(root) + 1, sizeof *f->raw);
  if (!f->raw) return reading_no_memory(r);
  cJSON_ArrayForEach(item, root) {
    if (!strcmp(item->string, "points") || !strcmp(item->string, "visible") || !strcmp(item->string, "weights")) continue;
    if (read_shape(r, item, &f->raw[f->raw_count++])) return -1;
  }
  return 0;
}

/* Shapes on the template's vertices, in the template's order.  Missing ones are reported, the frame stays. */
static int read_shapes(reading *r, const cJSON *root) {
  const character *ch = r->ch;
  frame *f = r->f;
  uint32_t i;
  if (f->shapes || !ch->shape_count) return 0;
  f->shapes = calloc(ch->shape_count, sizeof *f->shapes);
  if (!f->shapes) return reading_no_memory(r);
  for (i = 0; i < ch->shape_count; ++i) {
    const roto_shape *s = &ch->shapes[i];
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, s->name);
    uint32_t expected = s->closed ? s->vertex_count : s->vertex_count - 1;
    if (!item) {
      if (report(r->ds, f, r->path, 0, "shape %s is missing", s->name)) return reading_no_memory(r);
      continue;
    }
    if (read_shape(r, item, &f->shapes[f->shape_count++])) return -1;
    if (f->shapes[f->shape_count - 1].segment_count != expected) {
      return message_set(r->reason, "shape %s: expected %u segments, found %u", s->name, expected,
                         f->shapes[f->shape_count - 1].segment_count);
    }
  }
  return 0;
}

/* Landmarks that are vertices of the template's shapes, where no file has points. */
static int points_of_shapes(reading *r) {
  const character *ch = r->ch;
  frame *f = r->f;
  uint32_t i, v;
  if (f->points || !f->shape_count) return 0;
  f->points = calloc(ch->landmark_count, 2 * sizeof *f->points);
  f->valid = calloc(ch->landmark_count, 1);
  f->hidden = calloc(ch->landmark_count, 1);
  if (!f->points || !f->valid || !f->hidden) return reading_no_memory(r);
  for (i = 0; i < f->shape_count; ++i) {
    const frame_shape *shape = &f->shapes[i];
    const roto_shape *s = &ch->shapes[character_find_shape(ch, shape->name)];
    for (v = 0; v < s->vertex_count; ++v) {
      int last = v == shape->segment_count; /* the end of an open shape */
      const segment *g = &shape->segments[last ? v - 1 : v];
      if (s->vertices[v] < 0) continue;
      f->points[2 * s->vertices[v]] = g->x[last ? 2 : 0];
      f->points[2 * s->vertices[v] + 1] = g->y[last ? 2 : 0];
      f->valid[s->vertices[v]] = 1;
    }
  }
  return 0;
}

static int read_annotation(reading *r, file_kind kind) {
  char message[MESSAGE_SIZE];
  cJSON *root = json_read(r->path, message);
  int result;
  if (!root) return message_set(r->reason, "%s", without_path(message, r->path));
  if (!cJSON_IsObject(root)) {
    result = message_set(r->reason, "expected an object with points or shapes");
  } else if (kind == FILE_RAW) {
    result = read_raw(r, root);
  } else {
    result = read_points(r, root);
    if (!result) result = read_weights(r, root);
    if (!result && kind != FILE_POINTS) result = read_shapes(r, root);
  }
  cJSON_Delete(root);
  return result;
}

/* Box of the known landmarks, hidden ones too: a hand before half of a face does not make the face smaller.  Fails if it
 * cannot be a crop. */
static int find_box(reading *r) {
  frame *f = r->f;
  float low[2] = {0, 0}, high[2] = {0, 0};
  uint32_t i, k, known = 0, visible = 0;
  for (i = 0; i < r->ch->landmark_count; ++i) {
    if (!f->valid[i] && !f->hidden[i]) continue;
    for (k = 0; k < 2; ++k) {
      float v = f->points[2 * i + k];
      if (!known || v < low[k]) low[k] = v;
      if (!known || v > high[k]) high[k] = v;
    }
    ++known;
    visible += f->valid[i];
  }
  f->box.x = low[0];
  f->box.y = low[1];
  f->box.width = high[0] - low[0];
  f->box.height = high[1] - low[1];
  if (known < 2 || !visible) {
    return message_set(r->reason, "expected at least 2 known landmarks, 1 of them visible; found %u and %u", known, visible);
  }
  if (f->box.width < 1 && f->box.height < 1) {
    return message_set(r->reason, "all %u known landmarks are within one pixel", known);
  }
  return 0;
}

typedef enum load_what { LOAD_ALL, LOAD_ANNOTATIONS, LOAD_RAW } load_what;

/* One frame from its files [first, last) of a folder.  Returns -1 only if memory runs out. */
static int load_frame(const character *ch, dataset *ds, const char *folder, const listed_file *first, const listed_file *last,
                      uint32_t shot, load_what what) {
  int annotations_only = what != LOAD_ALL;
  const listed_file *file;
  reading r;
  frame f;
  int bad = 0, annotated = 0;
  char *path = NULL, *bad_path = NULL;
  memset(&r, 0, sizeof r);
  memset(&f, 0, sizeof f);
  r.ch = ch;
  r.ds = ds;
  r.f = &f;
  f.shot = shot;
  f.number = first->number;
  for (file = first; file < last && !bad; ++file) {
    if (what == LOAD_RAW && file->kind != FILE_RAW && file->kind != FILE_IMAGE) continue;
    free(path);
    path = join_path(folder, file->name);
    if (!path) goto no_memory;
    r.path = path;
    if (file > first && file->kind == file[-1].kind) {
      if (report(ds, &f, path, 0, "not used: %s is a file of the same frame", file[-1].name)) goto no_memory;
      continue;
    }
    if (file->kind == FILE_IMAGE) {
      f.image_path = copy_text(path, strlen(path));
      if (!f.image_path) goto no_memory;
      continue;
    }
    annotated = 1;
    bad = read_annotation(&r, file->kind);
    if (!bad && (!f.annotation_path || (!f.points && file->kind != FILE_RAW))) {
      free(f.annotation_path);
      f.annotation_path = copy_text(path, strlen(path));
      if (!f.annotation_path) goto no_memory;
    }
  }
  if (!bad) bad = points_of_shapes(&r);
  if (r.out_of_memory) goto no_memory;
  if (what == LOAD_RAW && !annotated) {
    free(path);
    free_frame(&f);
    return 0;
  }
  bad_path = path;
  if (!bad && !annotated) {
    bad = message_set(r.reason, "the frame has no annotation");
  } else if (!bad && !f.points && !(annotations_only && (f.shape_count || f.raw_count))) {
    bad = message_set(r.reason, "expected %u landmarks in \"points\", found none", ch->landmark_count);
  }
  if (!bad && f.points && (bad = find_box(&r)) != 0) bad_path = f.annotation_path;
  if (!bad && !f.image_path && !annotations_only) {
    bad_path = f.annotation_path;
    bad = message_set(r.reason, "its image is missing: expected image-%.*s-frame%03u.* beside it", (int)first->shot_length,
                      first->shot, first->number);
  }
  if (bad) {
    if (report(ds, &f, bad_path, 1, "%s", r.reason)) goto no_memory;
    free_frame(&f);
  } else {
    if (grow((void **)&ds->frames, ds->frame_count, sizeof f)) goto no_memory;
    ds->frames[ds->frame_count++] = f;
  }
  free(path);
  return 0;
no_memory:
  free(path);
  free_frame(&f);
  return -1;
}

/* The frames of one folder. */
static int load_folder(const character *ch, dataset *ds, const char *folder, const listing *files, load_what what) {
  size_t first = 0, last;
  for (; first < files->count; first = last) {
    const listed_file *a = &files->files[first];
    int new_shot = first == 0 || compare_text(a->shot, a->shot_length, a[-1].shot, a[-1].shot_length);
    for (last = first + 1; last < files->count; ++last) {
      const listed_file *b = &files->files[last];
      if (b->number != a->number || compare_text(a->shot, a->shot_length, b->shot, b->shot_length)) break;
    }
    if (new_shot) {
      char *name = copy_text(a->shot, a->shot_length);
      if (!name || grow((void **)&ds->shots, ds->shot_count, sizeof name)) {
        free(name);
        return -1;
      }
      ds->shots[ds->shot_count++] = name;
    }
    if (load_frame(ch, ds, folder, a, &files->files[last], (uint32_t)(ds->shot_count - 1), what)) return -1;
  }
  return 0;
}

static int load(const char *path, const character *ch, dataset *ds, load_what what, char *message) {
  listing files;
  char **others;
  size_t other_count, i, file_count;
  int result;
  memset(ds, 0, sizeof *ds);
  ds->landmark_count = ch->landmark_count;
  if (list_folder(path, &files, &others, &other_count, message)) return -1;
  file_count = files.count;
  result = load_folder(ch, ds, path, &files, what);
  free_listing(&files);
  for (i = 0; i < other_count && !result; ++i) {
    char *folder = join_path(path, others[i]), **inner;
    size_t inner_count;
    if (!folder) {
      result = -1;
    } else if (!list_folder(folder, &files, &inner, &inner_count, NULL)) {
      file_count += files.count;
      result = load_folder(ch, ds, folder, &files, what);
      free_listing(&files);
      free_names(inner, inner_count);
    }
    free(folder);
  }
  free_names(others, other_count);
  if (result) {
    free_frames(ds);
    return no_memory(path, message);
  }
  if (ds->frame_count) return 0;
  if (!file_count) {
    return message_set(
        message,
        "%s: expected image-<shot>-frameNNN.* with revec_shapes-, shapes- or points-<shot>-frameNNN.json here or "
        "in its folders, found no such file",
        path);
  }
  return message_set(message, "%s: no frame of %zu can be used; the first: %s: %s", path, ds->dropped_count, ds->issues[0].path,
                     ds->issues[0].reason);
}

int dataset_load(const char *path, const character *ch, dataset *ds, char *message) {
  return load(path, ch, ds, LOAD_ALL, message);
}

int dataset_load_annotations(const char *path, const character *ch, dataset *ds, char *message) {
  return load(path, ch, ds, LOAD_ANNOTATIONS, message);
}

int dataset_load_raw(const char *path, const character *ch, dataset *ds, char *message) {
  return load(path, ch, ds, LOAD_RAW, message);
}

/* ---- writing ---- */

/* A ten-thousandth of a pixel is enough, and the digits of a float's neighbours are noise. */
static cJSON *rounded(double value) {
  return cJSON_CreateNumber(round(value * 1e4) / 1e4);
}

static cJSON *row_of(const float *values, int count) {
  cJSON *row = cJSON_CreateArray();
  int i;
  for (i = 0; i < count; ++i) cJSON_AddItemToArray(row, rounded((double)values[i]));
  return row;
}

int dataset_write_annotation(const char *path, const character *ch, const frame *f, char *message) {
  cJSON *root = cJSON_CreateObject(), *list, *flags = NULL;
  uint32_t i, k;
  int result;
  for (i = 0; i < f->shape_count; ++i) {
    list = cJSON_AddArrayToObject(root, f->shapes[i].name);
    for (k = 0; k < f->shapes[i].segment_count; ++k) {
      cJSON *entry = cJSON_CreateArray();
      cJSON_AddItemToArray(entry, row_of(f->shapes[i].segments[k].x, 4));
      cJSON_AddItemToArray(entry, row_of(f->shapes[i].segments[k].y, 4));
      cJSON_AddItemToArray(list, entry);
    }
  }
  if (f->points) {
    list = cJSON_AddArrayToObject(root, "points");
    for (i = 0; i < ch->landmark_count; ++i) {
      static const float unknown[2] = {0, 0};
      cJSON_AddItemToArray(list, row_of(f->valid[i] || f->hidden[i] ? &f->points[2 * i] : unknown, 2));
      if (f->hidden[i] && !flags) flags = cJSON_AddArrayToObject(root, "visible");
    }
    for (i = 0; flags && i < ch->landmark_count; ++i) cJSON_AddItemToArray(flags, cJSON_CreateNumber(f->hidden[i] ? 0 : 1));
    if (f->weights) cJSON_AddItemToObject(root, "weights", row_of(f->weights, (int)ch->landmark_count));
  }
  result = json_write(path, root, message);
  cJSON_Delete(root);
  return result;
}

/* ---- pixels ---- */

typedef struct caching {
  dataset *ds;
  char **reasons; /* one a frame; NULL: it is good */
} caching;

/* The reason of a frame for whose reason there was no memory. */
static char no_memory_reason[] = "out of memory";

/* 8-bit RGB, or RGBA, of one pixel: grey is repeated. */
static void copy_pixel(const image_file *image, size_t index, uint32_t channels, uint8_t *to) {
  uint32_t k, step = image->channels < 3 ? 0 : 1;
  for (k = 0; k < 3; ++k) to[k] = image_byte(image, index * image->channels + k * step);
  if (channels == 4) to[3] = image_byte(image, (index + 1) * image->channels - 1);
}

/* 4 if some of the frame's cached part is transparent, else 3. */
static uint32_t needed_channels(const image_file *image, const frame *f) {
  uint32_t x, y;
  if (image->channels % 2 != 0) return 3;
  for (y = 0; y < f->cache_height; ++y)
    for (x = 0; x < f->cache_width; ++x) {
      size_t index = (size_t)(f->cache_y + y) * f->width + f->cache_x + x;
      if (image_byte(image, (index + 1) * image->channels - 1) < 255) return 4;
    }
  return 3;
}

/* [low, low + size) grown by `margin` on both sides and clipped to [0, limit): first pixel and count, 0 if nothing is left. */
static void clip_range(float low, float size, float margin, uint32_t limit, uint32_t *start, uint32_t *count) {
  double a = floor((double)low - (double)margin), b = ceil((double)low + (double)size + (double)margin);
  if (a < 0) a = 0;
  if (b > limit) b = limit;
  *start = b > a ? (uint32_t)a : 0;
  *count = b > a ? (uint32_t)(b - a) : 0;
}

static int cache_frame(frame *f, char *message) {
  image_file image;
  uint32_t x, y;
  float margin = f->box.width > f->box.height ? f->box.width : f->box.height;
  if (image_read(f->image_path, &image, message)) return -1;
  f->width = image.width;
  f->height = image.height;
  if (f->points && (f->box.x >= (float)f->width || f->box.y >= (float)f->height || f->box.x + f->box.width <= 0 ||
                    f->box.y + f->box.height <= 0)) {
    message_set(message, "%s: the landmarks lie outside the frame of %u x %u pixels: is the annotation of another size?",
                f->image_path, f->width, f->height);
    image_free(&image);
    return -1;
  }
  if (f->points) {
    clip_range(f->box.x, f->box.width, margin, f->width, &f->cache_x, &f->cache_width);
    clip_range(f->box.y, f->box.height, margin, f->height, &f->cache_y, &f->cache_height);
  } else {
    f->cache_width = f->width;
    f->cache_height = f->height;
  }
  f->channels = needed_channels(&image, f);
  f->pixels = malloc((size_t)f->cache_width * f->cache_height * f->channels);
  if (!f->pixels) {
    image_free(&image);
    return message_set(message, "%s: out of memory for %u x %u pixels", f->image_path, f->cache_width, f->cache_height);
  }
  for (y = 0; y < f->cache_height; ++y) {
    size_t from = (size_t)(f->cache_y + y) * f->width + f->cache_x;
    uint8_t *to = f->pixels + (size_t)y * f->cache_width * f->channels;
    if (image.bits == 8 && image.channels == 3) {
      memcpy(to, (const uint8_t *)image.pixels + from * 3, (size_t)f->cache_width * 3);
      continue;
    }
    for (x = 0; x < f->cache_width; ++x) copy_pixel(&image, from + x, f->channels, to + f->channels * (size_t)x);
  }
  image_free(&image);
  return 0;
}

static void cache_task(void *context, size_t index) {
  caching *c = context;
  frame *f = &c->ds->frames[index];
  char message[MESSAGE_SIZE];
  const char *reason;
  if (f->pixels) return;
  if (!f->image_path) {
    message_set(message, "its image is missing");
  } else if (!cache_frame(f, message)) {
    return;
  }
  reason = f->image_path ? without_path(message, f->image_path) : message;
  c->reasons[index] = copy_text(reason, strlen(reason));
  if (!c->reasons[index]) c->reasons[index] = no_memory_reason;
}

int dataset_cache(dataset *ds, void (*run)(void *user, size_t count, roto_task task, void *context), void *user,
                  char *message) {
  caching c;
  size_t i, kept = 0, total = ds->frame_count;
  int out_of_memory = 0;
  c.ds = ds;
  c.reasons = calloc(total + 1, sizeof *c.reasons);
  if (!c.reasons) return no_memory("cache of frames", message);
  if (run) {
    run(user, total, cache_task, &c);
  } else {
    for (i = 0; i < total; ++i) cache_task(&c, i);
  }
  for (i = 0; i < total; ++i) {
    frame *f = &ds->frames[i];
    if (!c.reasons[i]) {
      ds->frames[kept++] = *f;
      continue;
    }
    if (report(ds, f, f->image_path ? f->image_path : f->annotation_path, 1, "%s", c.reasons[i])) out_of_memory = 1;
    free_frame(f);
    if (c.reasons[i] != no_memory_reason) free(c.reasons[i]);
  }
  free(c.reasons);
  ds->frame_count = kept;
  if (out_of_memory) return no_memory("cache of frames", message);
  if (!kept) {
    const dataset_issue *last = ds->issue_count ? &ds->issues[ds->issue_count - 1] : NULL;
    return message_set(message, "no image of %zu frames can be used; the last: %s: %s", total, last ? last->path : "none",
                       last ? last->reason : "there are no frames");
  }
  return 0;
}
