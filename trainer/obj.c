/* See obj.h.  A file is read whole and walked once, line by line; indices are checked where they stand, because a v may follow
 * the f that means it only by a mistake.  Corners (v, vt, vn) become vertices through a hash table. */

#include "obj.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/image_file.h"

enum { LARGEST_FILE = 1 << 30, LARGEST_POLYGON = 256, NONE = -1 };

/* ---- text ---- */

typedef struct reader {
  const char *path;
  char *at;
  int line;
  char *message;
} reader;

/* The next line as a string, blanks around it and comments removed; NULL at the end.  A backslash joins lines. */
static char *next_line(reader *r, int *joined) {
  char *line = r->at, *end;
  if (!*line) return NULL;
  r->line += 1 + *joined, *joined = 0;
  for (end = line; *end && *end != '\n'; end++) {
    if (*end == '\\' && (end[1] == '\n' || (end[1] == '\r' && end[2] == '\n'))) {
      *end++ = ' ';
      if (*end == '\r') *end++ = ' ';
      *end = ' ', ++*joined;
    }
  }
  r->at = *end ? end + 1 : end;
  *end = 0;
  end = line + strcspn(line, "#");
  while (end > line && strchr(" \t\r", end[-1])) end--;
  *end = 0;
  return line + strspn(line, " \t");
}

static int fail_at(const reader *r, const char *what, const char *found) {
  return message_set(r->message, "%s:%d: %s, found '%.60s'", r->path, r->line, what, found);
}

/* The text after the keyword if the line begins with it. */
static char *after(char *line, const char *keyword) {
  size_t n = strlen(keyword);
  if (strncmp(line, keyword, n) || !strchr(" \t", line[n])) return NULL;
  line += n;
  return line + strspn(line, " \t");
}

/* Up to `most` finite numbers; how many there were, or -1. */
static int read_numbers(const char *text, int most, float *values) {
  int count = 0;
  while (count < most) {
    char *end;
    double v = strtod(text, &end);
    if (end == text) break;
    if (!(fabs(v) < 1e12)) return -1;
    values[count++] = (float)v, text = end;
  }
  return text[strspn(text, " \t")] && count < most ? -1 : count;
}

static char *copy_text(const char *text) {
  size_t n = strlen(text) + 1;
  char *copy = malloc(n);
  if (copy) memcpy(copy, text, n);
  return copy;
}

/* `name` beside the file `path`. */
static char *beside(const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  size_t folder = slash && name[0] != '/' ? (size_t)(slash - path) + 1 : 0, n = strlen(name) + 1;
  char *joined = malloc(folder + n);
  if (!joined) return NULL;
  memcpy(joined, path, folder);
  memcpy(joined + folder, name, n);
  return joined;
}

/* An array that doubles. */
typedef struct list {
  void *data;
  size_t count, room, size;
} list;

static void *list_add(list *l) {
  if (l->count == l->room) {
    size_t room = 2 * l->room + 1024;
    void *grown = realloc(l->data, room * l->size);
    if (!grown) return NULL;
    l->data = grown, l->room = room;
  }
  return (char *)l->data + l->count++ * l->size;
}

/* ---- textures ---- */

static float linear_of_byte(uint8_t v) {
  float c = (float)v / 255;
  return c <= 0.04045f ? c / 12.92f : powf((c + 0.055f) / 1.055f, 2.4f);
}

static uint8_t byte_of_linear(float v) {
  float c = v <= 0.0031308f ? 12.92f * v : 1.055f * powf(v, 1 / 2.4f) - 0.055f;
  return (uint8_t)(c * 255 + 0.5f);
}

/* Index of the texture, read if it is new; -1 and a message. */
static int find_texture(obj_set *set, const char *path, char *message) {
  image_file image;
  for (size_t i = 0; i < set->texture_count; i++) {
    if (!strcmp(set->textures[i].path, path)) return (int)i;
  }
  if (image_read(path, &image, message)) return -1;
  obj_texture *grown = realloc(set->textures, (set->texture_count + 1) * sizeof *grown), *t;
  if (grown) set->textures = grown;
  t = grown ? grown + set->texture_count : NULL;
  if (t) memset(t, 0, sizeof *t), t->path = copy_text(path);
  int w = (int)image.width, h = (int)image.height, ok = t && t->path;
  size_t step = image.channels < 3 ? 0 : 1;
  if (ok) ok = (t->levels[0] = malloc((size_t)w * (size_t)h * 3)) != NULL;
  for (size_t i = 0; ok && i < (size_t)w * (size_t)h * 3; i++) {
    t->levels[0][i] = image_byte(&image, i / 3 * image.channels + i % 3 * step);
  }
  image_free(&image);
  if (ok) t->width[0] = w, t->height[0] = h, t->level_count = 1;
  float table[256];
  for (int i = 0; i < 256; i++) table[i] = linear_of_byte((uint8_t)i);
  for (int k = 1; ok && k < OBJ_LEVELS && w > 1 && h > 1; k++) {
    const uint8_t *from = t->levels[k - 1];
    size_t pitch = (size_t)w * 3;
    w /= 2, h /= 2;
    uint8_t *to = t->levels[k] = malloc((size_t)w * (size_t)h * 3);
    ok = to != NULL;
    for (size_t i = 0; ok && i < (size_t)w * (size_t)h * 3; i++) {
      size_t row = i / ((size_t)w * 3), in = i % ((size_t)w * 3);
      const uint8_t *p = from + 2 * row * pitch + in / 3 * 6 + in % 3;
      to[i] = byte_of_linear((table[p[0]] + table[p[3]] + table[p[pitch]] + table[p[pitch + 3]]) / 4);
    }
    if (ok) t->width[k] = w, t->height[k] = h, t->level_count = k + 1;
  }
  if (ok) return (int)set->texture_count++;
  if (t) {
    free(t->path);
    for (int k = 0; k < OBJ_LEVELS; k++) free(t->levels[k]);
  }
  return message_set(message, "%s: out of memory", path);
}

/* Linear colour at (u, v), v upwards, repeated, from one level. */
static void texture_at(const obj_texture *t, float u, float v, float level, float rgb[3]) {
  static const float byte = 1.0f / 255;
  int k = level > 0 ? (int)(level + 0.25f) : 0; /* rather too sharp than too soft: a little noise is film's, too */
  if (k >= t->level_count) k = t->level_count - 1;
  int w = t->width[k], h = t->height[k];
  float x = (u - floorf(u)) * (float)w - 0.5f, y = (1 - (v - floorf(v))) * (float)h - 0.5f;
  int x0 = (int)floorf(x), y0 = (int)floorf(y);
  float fx = x - (float)x0, fy = y - (float)y0;
  int x1 = (x0 + 1 + w) % w, y1 = (y0 + 1 + h) % h;
  x0 = (x0 + w) % w, y0 = (y0 + h) % h;
  for (int i = 0; i < 3; i++) {
    const uint8_t *p = t->levels[k] + i;
    float a = (float)p[3 * (y0 * w + x0)], b = (float)p[3 * (y0 * w + x1)];
    float c = (float)p[3 * (y1 * w + x0)], d = (float)p[3 * (y1 * w + x1)];
    a += (b - a) * fx, c += (d - c) * fx;
    float e = (a + (c - a) * fy) * byte;
    rgb[i] = e * (e * (e * 0.305306011f + 0.682171111f) + 0.012522878f); /* sRGB to linear within 0.5 % of its range */
  }
}

/* ---- materials ---- */

static obj_material *add_material(obj_set *set, const char *name, const char *library) {
  obj_material *grown = realloc(set->materials, (set->material_count + 1) * sizeof *grown), *m;
  if (!grown) return NULL;
  set->materials = grown, m = grown + set->material_count;
  memset(m, 0, sizeof *m);
  m->library = copy_text(library);
  if (!m->library) return NULL;
  snprintf(m->name, sizeof m->name, "%s", name);
  for (int i = 0; i < 3; i++) m->colour[i] = 0.6f;
  m->specular = 0.02f, m->roughness = 0.7f, m->texture = NONE, m->texels = 1;
  set->material_count++;
  return m;
}

static int find_material(const obj_set *set, const char *library, const char *name) {
  for (size_t i = 1; i < set->material_count; i++) {
    if (!strcmp(set->materials[i].name, name) && !strcmp(set->materials[i].library, library)) return (int)i;
  }
  return -1;
}

/* One line of a material library; `m` is the material it belongs to. */
static int read_material_line(obj_set *set, reader *r, char *line, obj_material *m) {
  char *rest;
  float v[3];
  if ((rest = after(line, "Kd")) != NULL || (rest = after(line, "Ks")) != NULL || (rest = after(line, "Ke")) != NULL) {
    int count = read_numbers(rest, 3, v);
    if (count == 1) v[1] = v[2] = v[0];
    if (count != 1 && count != 3) return fail_at(r, "expected a colour of three numbers", rest);
    if (line[1] == 's') m->specular = 0.01f + 0.09f * (v[0] + v[1] + v[2]) / 3; /* Phong's share to reflectance head-on */
    if (line[1] == 'd') memcpy(m->colour, v, sizeof v);
    if (line[1] == 'e') memcpy(m->emission, v, sizeof v);
  } else if ((rest = after(line, "Ns")) != NULL) {
    if (read_numbers(rest, 1, v) != 1 || v[0] < 0) return fail_at(r, "expected a shininess of 0 or more", rest);
    m->roughness = sqrtf(sqrtf(2 / (v[0] + 2))); /* the lobe of a Phong exponent as wide as the renderer's */
  } else if ((rest = after(line, "map_Kd")) != NULL) {
    char *name = rest[0] == '-' && strrchr(rest, ' ') ? strrchr(rest, ' ') + 1 : rest, reason[MESSAGE_SIZE];
    char *path = beside(r->path, name);
    size_t index = (size_t)(m - set->materials);
    int texture = path ? find_texture(set, path, reason) : message_set(reason, "out of memory");
    free(path);
    if (texture < 0) return message_set(r->message, "%s:%d: texture '%.60s': %s", r->path, r->line, name, reason);
    set->materials[index].texture = texture;
  }
  return 0;
}

/* Read a library unless its materials are here already. */
static int read_library(obj_set *set, const char *path, char *message) {
  reader r = {path, NULL, 0, message};
  unsigned char *data;
  size_t size;
  char *line;
  obj_material *m = NULL;
  int status = 0, joined = 0;
  for (size_t i = 1; i < set->material_count; i++) {
    if (!strcmp(set->materials[i].library, path)) return 0;
  }
  if (file_read(path, LARGEST_FILE, &data, &size, message)) return -1;
  r.at = (char *)data;
  while (status == 0 && (line = next_line(&r, &joined)) != NULL) {
    char *name = after(line, "newmtl");
    if (name && strlen(name) >= OBJ_NAME) {
      status = fail_at(&r, "expected a material's name of less than 64 letters", name);
    } else if (name && set->material_count == UINT16_MAX) {
      status = fail_at(&r, "expected at most 65534 materials", name);
    } else if (name && find_material(set, path, name) >= 0) {
      status = fail_at(&r, "expected each material once", name);
    } else if (name) {
      m = add_material(set, name, path);
      if (!m) status = message_set(message, "%s: out of memory", path);
    } else if (m) {
      status = read_material_line(set, &r, line, m);
    }
  }
  free(data);
  return status;
}

/* ---- mesh ---- */

typedef struct corner {
  int32_t v, t, n; /* from 0; NONE: not given */
} corner;

typedef struct vertex {
  corner key;
  int used;
  uint32_t next; /* further vertex of the same v, 0: none */
} vertex;

typedef struct parsing {
  reader r;
  obj_set *set;
  list v, t, n;              /* float[3], float[2], float[3] */
  list vertices;             /* vertex */
  list triangles, materials; /* uint32_t[3], uint16_t */
  size_t points;             /* v lines in the whole file */
  char *library;
  uint16_t material;
} parsing;

static int no_memory(const parsing *p) {
  return message_set(p->r.message, "%s: out of memory", p->r.path);
}

/* An index as written, 1 the first, -1 the last so far. */
static int read_index(const parsing *p, const char *face, const char *what, size_t count, const char **text, int32_t *index) {
  char *end;
  long value = strtol(*text, &end, 10), at = value > 0 ? value - 1 : (long)count + value;
  if (end == *text) return fail_at(&p->r, "expected a face as in f 1/1/1 2/2/2 3/3/3", face);
  *text = end;
  if (value == 0 || at < 0 || at >= (long)count) {
    return message_set(p->r.message, "%s:%d: %s index %ld is out of range: the file has %zu so far", p->r.path, p->r.line, what,
                       value, count);
  }
  *index = (int32_t)at;
  return 0;
}

static int read_corner(const parsing *p, const char *face, const char **text, corner *c) {
  c->t = c->n = NONE;
  if (read_index(p, face, "vertex", p->v.count, text, &c->v)) return -1;
  if (**text == '/') {
    ++*text;
    if (**text != '/' && read_index(p, face, "texture coordinate", p->t.count, text, &c->t)) return -1;
    if (**text == '/') {
      ++*text;
      if (read_index(p, face, "normal", p->n.count, text, &c->n)) return -1;
    }
  }
  return **text && !strchr(" \t", **text) ? fail_at(&p->r, "expected a face as in f 1/1/1 2/2/2 3/3/3", face) : 0;
}

/* The mesh's vertex for a corner: the file's own, or one more of the same place. */
static int find_vertex(parsing *p, const corner *c, uint32_t *index) {
  uint32_t at = (uint32_t)c->v;
  for (;;) {
    vertex *x = (vertex *)p->vertices.data + at;
    if (!x->used) x->used = 1, x->key = *c;
    if (x->key.t == c->t && x->key.n == c->n) {
      *index = at;
      return 0;
    }
    if (!x->next) break;
    at = x->next;
  }
  vertex *x = list_add(&p->vertices);
  if (!x) return no_memory(p);
  x->key = *c, x->used = 1, x->next = 0;
  *index = (uint32_t)p->vertices.count - 1;
  ((vertex *)p->vertices.data)[at].next = *index;
  return 0;
}

static int read_face(parsing *p, const char *rest) {
  uint32_t corners[LARGEST_POLYGON];
  int count = 0;
  const char *text = rest;
  for (; *text; text += strspn(text, " \t")) {
    corner c;
    if (count == LARGEST_POLYGON) return fail_at(&p->r, "expected a face of at most 256 corners", rest);
    if (read_corner(p, rest, &text, &c) || find_vertex(p, &c, &corners[count])) return -1;
    count++;
  }
  if (count < 3) return fail_at(&p->r, "expected a face of at least 3 corners", rest);
  for (int i = 2; i < count; i++) {
    uint32_t *t = list_add(&p->triangles);
    uint16_t *m = list_add(&p->materials);
    if (!t || !m) return no_memory(p);
    t[0] = corners[0], t[1] = corners[i - 1], t[2] = corners[i];
    *m = p->material;
  }
  return 0;
}

static int read_vector(parsing *p, const char *rest, list *to, int least, int keep) {
  float v[8] = {0}, *place;
  int count = read_numbers(rest, 8, v);
  if (count < least) return fail_at(&p->r, least == 3 ? "expected three numbers" : "expected two numbers", rest);
  place = list_add(to);
  if (!place) return no_memory(p);
  memcpy(place, v, (size_t)keep * sizeof *v);
  return 0;
}

/* All v lines are vertices of the mesh, in their order; so they are counted before the first face is read. */
static int count_points(parsing *p, const char *text) {
  size_t count = 0;
  for (const char *at = text; at; at = strchr(at, '\n')) {
    at += strspn(at, "\r\n \t");
    if (at[0] == 'v' && (at[1] == ' ' || at[1] == '\t')) count++;
  }
  p->points = count;
  p->vertices.data = calloc(count + 1, sizeof(vertex));
  p->vertices.room = count + 1, p->vertices.count = count;
  return p->vertices.data ? 0 : no_memory(p);
}

static int read_line(parsing *p, char *line) {
  char *rest;
  if ((rest = after(line, "v")) != NULL && p->v.count == p->points) return fail_at(&p->r, "expected v on one line", rest);
  if (rest != NULL) return read_vector(p, rest, &p->v, 3, 3);
  if ((rest = after(line, "vt")) != NULL) return read_vector(p, rest, &p->t, 2, 2);
  if ((rest = after(line, "vn")) != NULL) return read_vector(p, rest, &p->n, 3, 3);
  if ((rest = after(line, "f")) != NULL) return read_face(p, rest);
  if ((rest = after(line, "mtllib")) != NULL) {
    char reason[MESSAGE_SIZE];
    free(p->library);
    p->library = beside(p->r.path, rest);
    if (!p->library) return no_memory(p);
    if (!read_library(p->set, p->library, reason)) return 0;
    return message_set(p->r.message, "%s:%d: material library: %s", p->r.path, p->r.line, reason);
  }
  if ((rest = after(line, "usemtl")) != NULL) {
    int found = p->library ? find_material(p->set, p->library, rest) : -1;
    if (found < 0) {
      return message_set(p->r.message, "%s:%d: expected a material of %s, found '%.60s'", p->r.path, p->r.line,
                         p->library ? p->library : "a mtllib above", rest);
    }
    p->material = (uint16_t)found;
  }
  return 0;
}

static void normalize(float *n) {
  float length = sqrtf(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
  for (int i = 0; length > 0 && i < 3; i++) n[i] /= length;
}

/* Normals of the faces around each v, weighted by area, for corners that have none of their own. */
static void sum_normals(const parsing *p, float *sums) {
  const vertex *vertices = p->vertices.data;
  for (size_t t = 0; t < p->triangles.count; t++) {
    const uint32_t *c = (const uint32_t *)p->triangles.data + 3 * t;
    const float *v[3];
    float e[2][3];
    for (int k = 0; k < 3; k++) v[k] = (const float *)p->v.data + 3 * (size_t)vertices[c[k]].key.v;
    for (int i = 0; i < 3; i++) e[0][i] = v[1][i] - v[0][i], e[1][i] = v[2][i] - v[0][i];
    for (int k = 0; k < 3; k++) {
      float *sum = sums + 3 * (size_t)vertices[c[k]].key.v;
      for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, l = (i + 2) % 3;
        sum[i] += e[0][j] * e[1][l] - e[0][l] * e[1][j];
      }
    }
  }
}

/* How fine each material's texture lies on the mesh. */
static void measure_texels(obj_set *set, const obj_mesh *mesh) {
  for (size_t m = 0; m < set->material_count; m++) {
    double area = 0, texture = 0;
    if (set->materials[m].texture < 0) continue;
    const obj_texture *image = &set->textures[set->materials[m].texture];
    for (size_t t = 0; t < mesh->triangle_count; t++) {
      const uint32_t *c = mesh->triangles + 3 * t;
      if (mesh->materials[t] != m) continue;
      const float *a = mesh->positions + 3 * (size_t)c[0], *b = mesh->positions + 3 * (size_t)c[1];
      const float *d = mesh->positions + 3 * (size_t)c[2];
      const float *ta = mesh->attributes + OBJ_ATTRIBUTES * (size_t)c[0],
                  *tb = mesh->attributes + OBJ_ATTRIBUTES * (size_t)c[1];
      const float *td = mesh->attributes + OBJ_ATTRIBUTES * (size_t)c[2];
      double n[3];
      for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        n[i] = (double)((b[j] - a[j]) * (d[k] - a[k]) - (b[k] - a[k]) * (d[j] - a[j]));
      }
      area += sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
      texture += fabs((double)((tb[0] - ta[0]) * (td[1] - ta[1]) - (tb[1] - ta[1]) * (td[0] - ta[0])));
    }
    if (area > 0) set->materials[m].texels = (float)sqrt(texture * image->width[0] * image->height[0] / area);
  }
}

static int build_mesh(parsing *p, obj_mesh *mesh) {
  const vertex *vertices = p->vertices.data;
  size_t n = p->vertices.count;
  float *sums = calloc(p->v.count * 3 + 1, sizeof *sums);
  mesh->path = copy_text(p->r.path);
  mesh->positions = calloc(3 * n + 1, sizeof(float));
  mesh->normals = calloc(3 * n + 1, sizeof(float));
  mesh->attributes = calloc(OBJ_ATTRIBUTES * n + 1, sizeof(float));
  if (!sums || !mesh->path || !mesh->positions || !mesh->normals || !mesh->attributes) {
    free(sums);
    return no_memory(p);
  }
  sum_normals(p, sums);
  for (size_t i = 0; i < n; i++) {
    const corner *c = &vertices[i].key;
    size_t v = vertices[i].used ? (size_t)c->v : i; /* a v that no face uses still has its place */
    memcpy(mesh->positions + 3 * i, (const float *)p->v.data + 3 * v, 3 * sizeof(float));
    memcpy(mesh->normals + 3 * i, vertices[i].used && c->n != NONE ? (const float *)p->n.data + 3 * (size_t)c->n : sums + 3 * v,
           3 * sizeof(float));
    normalize(mesh->normals + 3 * i);
    if (vertices[i].used && c->t != NONE) {
      memcpy(mesh->attributes + OBJ_ATTRIBUTES * i, (const float *)p->t.data + 2 * (size_t)c->t, 2 * sizeof(float));
    }
    mesh->attributes[OBJ_ATTRIBUTES * i + 2] = 1;
    memcpy(mesh->attributes + OBJ_ATTRIBUTES * i + 3, mesh->positions + 3 * i, 3 * sizeof(float));
  }
  free(sums);
  mesh->point_count = p->v.count, mesh->vertex_count = n, mesh->triangle_count = p->triangles.count;
  mesh->triangles = p->triangles.data, mesh->materials = p->materials.data;
  p->triangles.data = p->materials.data = NULL;
  return 0;
}

static void free_mesh(obj_mesh *mesh) {
  free(mesh->path);
  free(mesh->positions);
  free(mesh->normals);
  free(mesh->attributes);
  free(mesh->triangles);
  free(mesh->materials);
  memset(mesh, 0, sizeof *mesh);
}

int obj_add(obj_set *set, const char *path, char *message) {
  parsing p;
  unsigned char *data = NULL;
  size_t size;
  char *line;
  int status, joined = 0;
  obj_mesh mesh;
  memset(&p, 0, sizeof p);
  memset(&mesh, 0, sizeof mesh);
  p.r.path = path, p.r.message = message, p.set = set;
  p.v.size = p.n.size = p.triangles.size = 3 * sizeof(float), p.t.size = 2 * sizeof(float);
  p.vertices.size = sizeof(vertex), p.materials.size = sizeof(uint16_t);
  status = file_read(path, LARGEST_FILE, &data, &size, message);
  if (status == 0 && !set->material_count && !add_material(set, "", "")) status = no_memory(&p);
  if (status == 0) {
    p.r.at = (char *)data;
    status = count_points(&p, p.r.at);
  }
  while (status == 0 && (line = next_line(&p.r, &joined)) != NULL) status = read_line(&p, line);
  if (status == 0 && !p.triangles.count) {
    status = message_set(message, "%s: expected faces (lines f ...), found none in %d lines", path, p.r.line);
  }
  if (status == 0 && p.v.count != p.points) status = message_set(message, "%s: expected each v on one line", path);
  if (status == 0) status = build_mesh(&p, &mesh);
  if (status == 0) {
    obj_mesh *grown = realloc(set->meshes, (set->mesh_count + 1) * sizeof *grown);
    if (grown) {
      set->meshes = grown;
      set->meshes[set->mesh_count++] = mesh;
      if (set->mesh_count == 1) measure_texels(set, &set->meshes[0]);
    } else {
      status = no_memory(&p);
    }
  }
  if (status) free_mesh(&mesh);
  free(data);
  free(p.v.data);
  free(p.t.data);
  free(p.n.data);
  free(p.vertices.data);
  free(p.triangles.data);
  free(p.materials.data);
  free(p.library);
  return status;
}

void obj_free(obj_set *set) {
  for (size_t i = 0; i < set->mesh_count; i++) free_mesh(&set->meshes[i]);
  for (size_t i = 0; i < set->material_count; i++) free(set->materials[i].library);
  for (size_t i = 0; i < set->texture_count; i++) {
    free(set->textures[i].path);
    for (int k = 0; k < OBJ_LEVELS; k++) free(set->textures[i].levels[k]);
  }
  free(set->meshes);
  free(set->materials);
  free(set->textures);
  memset(set, 0, sizeof *set);
}

int obj_same_topology(const obj_mesh *a, const obj_mesh *b) {
  return a->vertex_count == b->vertex_count && a->triangle_count == b->triangle_count &&
         !memcmp(a->triangles, b->triangles, 3 * a->triangle_count * sizeof *a->triangles) &&
         !memcmp(a->materials, b->materials, a->triangle_count * sizeof *a->materials);
}

raster_mesh obj_view(const obj_mesh *mesh) {
  raster_mesh view = {mesh->positions, mesh->normals,      mesh->attributes,     mesh->triangles,
                      mesh->materials, mesh->vertex_count, mesh->triangle_count, OBJ_ATTRIBUTES};
  return view;
}

void obj_shade(const void *context, const raster_hit *hit, raster_surface *surface) {
  const obj_set *set = context;
  const obj_material *m = &set->materials[hit->material];
  memcpy(surface->albedo, m->colour, sizeof surface->albedo);
  memcpy(surface->emission, m->emission, sizeof surface->emission);
  if (m->texture >= 0) {
    float colour[3], step = hit->pixel * m->texels;
    texture_at(&set->textures[m->texture], hit->attributes[0], hit->attributes[1], step > 1 ? log2f(step) : 0, colour);
    for (int i = 0; i < 3; i++) surface->albedo[i] *= colour[i];
  }
  surface->specular = m->specular, surface->roughness = m->roughness;
  surface->occlusion = hit->attributes[2];
}
