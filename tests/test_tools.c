/* The parts of the command line that have no program of their own: frame ranges and patterns, crops, roto documents. */

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tools/cli.h"
#include "../tools/crop_file.h"
#include "../tools/document.h"
#include "../tools/frames.h"
#include "../tools/hidden.h"
#include "../tools/image_file.h"
#include "../tools/model_file.h"
#include "check.h"

static char folder[] = "/tmp/roto_test_tools.XXXXXX", message[MESSAGE_SIZE];

/* A path in the test's own folder; good until the fourth call after it. */
static char *in_folder(const char *name) {
  static char paths[4][256];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "wb");
  CHECK(file && fputs(text, file) >= 0 && !fclose(file), "%s", path);
}

/* ------------------------------------------------------------------ ranges */

static void range_is(const char *range, const char *expected) {
  int *numbers;
  size_t count;
  char found[MESSAGE_SIZE] = "";
  int failed = frames_parse_range(range, &numbers, &count, message);
  if (failed) snprintf(found, sizeof found, "%s", message);
  for (size_t i = 0; !failed && i < count; ++i)
    snprintf(found + strlen(found), sizeof found - strlen(found), i ? " %d" : "%d", numbers[i]);
  CHECK(!strcmp(found, expected), "'%s': expected '%s', found '%s'", range, expected, found);
  free(numbers);
}

static void range_fails(const char *range) {
  int *numbers = (int *)1;
  size_t count = 1;
  CHECK(frames_parse_range(range, &numbers, &count, message) == -1 && !numbers && !count, "'%s' was accepted", range);
  CHECK(strstr(message, "frame range"), "'%s': %s", range, message);
  free(numbers);
}

static void frames_ranges(void) {
  range_is("1001", "1001");
  range_is("1-4", "1 2 3 4");
  range_is("4-1", "4 3 2 1");
  range_is("1-10x3", "1 4 7 10");
  range_is("10-1x4", "10 6 2");
  range_is("-8--5", "-8 -7 -6 -5");
  range_is("-2-2", "-2 -1 0 1 2");
  range_is("1001-1003,1110x2", "1001 1002 1003 1110");
  range_is("3 1, 2", "3 1 2");
  range_is("5,1-6,3", "5 1 2 3 4 6");
  static const char *const bad[] = {"",      ",",   "a",     "1-", "1-2x0",   "1-2x-1",      "1x",
                                    "1 - 2", "1.5", "1-2y3", "+1", "1-2-3",   "0x10-1x",     "99999999999",
                                    "- 1",   "1;2", "1--",   "x2", "1-2x3x4", "1-100000000", "--1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) range_fails(bad[i]);
}

/* ------------------------------------------------------------------ files */

/* Expects the files `expected` ("NUMBER:NAME ...", names without the folder) and the pattern; expected NULL: failure. */
static void files_are(const char *input, const char *range, const char *expected, const char *pattern) {
  frame_sequence s;
  char found[512] = "", *inputs[1];
  inputs[0] = in_folder(input);
  int failed = frames_find(inputs, 1, range, &s, message);
  CHECK(failed == (expected ? 0 : -1), "%s %s: %s", input, range ? range : "", failed ? message : "was accepted");
  if (failed) {
    CHECK(!s.files && !s.count && !s.pattern);
    return;
  }
  for (size_t i = 0; i < s.count; ++i)
    snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d:%s", i ? " " : "", s.files[i].number,
             s.files[i].path + strlen(folder) + 1);
  CHECK(expected && !strcmp(found, expected), "%s: expected '%s', found '%s'", input, expected ? expected : "failure", found);
  const char *found_pattern = s.pattern ? s.pattern + strlen(folder) + 1 : "none";
  CHECK(!strcmp(found_pattern, pattern), "%s: expected the pattern '%s', found '%s'", input, pattern, found_pattern);
  frames_free(&s);
}

static void frames_files(void) {
  static const char *const names[] = {"a.0999.png", "a.1000.png", "a.10000.png",  "a.12.png",     "a.-002.png",  "b.7.png",
                                      "b.10.png",   "note.txt",   "shots/x1.png", "shots/x2.jpg", "same/l1.png", "same/r1.png"};
  mkdir(in_folder("shots"), 0777);
  mkdir(in_folder("same"), 0777);
  mkdir(in_folder("empty"), 0777);
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) write_text(in_folder(names[i]), "x");
  static const char *const four[] = {"a.%04d.png", "a.####.png", "a.@@@@.png", "a.$F4.png"};
  for (size_t i = 0; i < 4; ++i)
    files_are(four[i], NULL, "-2:a.-002.png 999:a.0999.png 1000:a.1000.png 10000:a.10000.png", "a.####.png");
  files_are("b.%d.png", NULL, "7:b.7.png 10:b.10.png", "b.#.png");
  files_are("b.$F.png", NULL, "7:b.7.png 10:b.10.png", "b.#.png");
  files_are("c.####.png", "3,1", "3:c.0003.png 1:c.0001.png", "c.####.png"); /* whether they exist is for the reader to find */
  files_are("v%03d/c.png", "-1-1", "-1:v-01/c.png 0:v000/c.png 1:v001/c.png", "v###/c.png");
  files_are("shots", NULL, "1:shots/x1.png 2:shots/x2.jpg", "none");
  files_are("shots", "2", "2:shots/x2.jpg", "none");
  files_are("same", NULL, "1:same/l1.png 2:same/r1.png", "none");
  files_are("a.0999.png", NULL, "999:a.0999.png", "a.####.png");
  files_are("missing.png", NULL, "1:missing.png", "none");
  files_are("c.####.png", NULL, NULL, NULL);
  files_are("v%03d/c.png", NULL, NULL, NULL);
  files_are("v%03d/c.%04d.png", "1", NULL, NULL);
  files_are("shots", "2-3", NULL, NULL);
  files_are("empty", NULL, NULL, NULL);
  files_are("no/such.####.png", NULL, NULL, NULL);
  files_are("c.####.png", "1-", NULL, NULL);
}

/* ------------------------------------------------------------------ crops */

static void crops(void) {
  roto_rect r;
  crop_list list;
  CHECK(crop_parse("1,-2.5,30,4e1", &r) && r.x == 1 && r.y == -2.5f && r.width == 30 && r.height == 40);
  static const char *const bad[] = {"",        "1,2,3",     "1,2,3,4,5", "1,2,0,4", "1,2,3,-4",
                                    "a,2,3,4", "nan,0,1,1", "0,0,inf,1", "1,2,3,4 "};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) CHECK(!crop_parse(bad[i], &r), "'%s' was accepted", bad[i]);

  write_text(in_folder("crops.json"), "{\"1001\": [1, 2, 3, 4], \"-5\": [5, 6, 7, 8], \"photo.jpg\": [9, 10, 11, 12]}");
  CHECK(!crops_read(in_folder("crops.json"), &list, message), "%s", message);
  CHECK(crops_find(&list, 1001, "x/y.png", &r) && r.x == 1 && r.height == 4);
  CHECK(crops_find(&list, -5, "x/y.png", &r) && r.x == 5);
  CHECK(crops_find(&list, 3, "x/photo.jpg", &r) && r.width == 11);
  CHECK(!crops_find(&list, 3, "x/y.png", &r));
  crops_free(&list);
  write_text(in_folder("crops.json"), "[1, 2, 3, 4]");
  CHECK(!crops_read(in_folder("crops.json"), &list, message) && crops_find(&list, 77, "any", &r) && r.y == 2);
  crops_free(&list);

  /* Key frames, in any order. */
  write_text(in_folder("crops.json"), "{\"keys\": {\"20\": [10, 0, 40, 20], \"10\": [0, 0, 20, 20]}}");
  CHECK(!crops_read(in_folder("crops.json"), &list, message), "%s", message);
  CHECK(crops_find(&list, 15, "any", &r) && r.x == 5 && r.y == 0 && r.width == 30 && r.height == 20);
  CHECK(crops_find(&list, 20, "any", &r) && r.x == 10 && r.width == 40);
  CHECK(crops_find(&list, -4, "any", &r) && r.x == 0 && crops_find(&list, 99, "any", &r) && r.x == 10);
  crops_free(&list);

  /* A garbage matte: a cubic from (0, 10) to (40, 10) with both tangents 40 up peaks at y = 10 - 3/4 * 40. */
  write_text(in_folder("crops.json"),
             "{\"garbage\": [[[0, 0, 40, 0], [10, -40, 10, -40]], [[40, 0, 0, 0], [10, 0, 10, 0]]], "
             "\"dot\": [[[50, 0, 50, 0], [20, 0, 20, 0]]], \"points\": [[500, 500]]}");
  CHECK(!crops_read(in_folder("crops.json"), &list, message), "%s", message);
  CHECK(crops_find(&list, 1, "any", &r) && r.x == 0 && r.width == 50);
  CHECK(fabs((double)r.y + 20) < 1e-4);
  CHECK(fabs((double)(r.y + r.height) - 20) < 1e-4);
  crops_free(&list);
  static const char *const malformed[] = {"",
                                          "7",
                                          "{",
                                          "[1, 2, 3]",
                                          "{\"1\": [1, 2, 3]}",
                                          "{\"1\": [1, 2, 3, 0]}",
                                          "{\"1\": [1, 2, 3, 1e999]}",
                                          "{\"1\": [1, 2, 3, \"4\"]}",
                                          "{\"1\": {\"x\": 1}}",
                                          "{\"keys\": {\"1\": [1, 2, 3]}}",
                                          "{\"keys\": {}}",
                                          "{\"keys\": {\"a.png\": [1, 2, 3, 4]}}",
                                          "{\"seam\": [[[5, 0, 5, 0], [1, 0, 9, 0]]]}",
                                          "{\"eye\": [[[5, 0, 5], [1, 0, 9, 0]]]}",
                                          "{\"roto\": 1}",
                                          "{\"1\": [1, 2, 3, 4]} x"};
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; ++i) {
    write_text(in_folder("crops.json"), malformed[i]);
    CHECK(crops_read(in_folder("crops.json"), &list, message), "'%s' was accepted", malformed[i]);
    CHECK(strstr(message, "crops.json"), "%s", message);
  }
  CHECK(crops_read(in_folder("none.json"), &list, message));
}

/* ------------------------------------------------------------------ documents */

/* Two shapes in every frame but the last: a closed eye of two vertices, and an open seam of three. */
static void make_document(document *doc, const roto_model *model, int first, size_t count) {
  document_init(doc, model, "plates/sh.####.png");
  cJSON_ReplaceItemInObject(doc->template_json, "shapes",
                            cJSON_Parse("[{\"name\": \"eye\", \"closed\": true, \"vertices\": [null, null]},"
                                        " {\"name\": \"seam\", \"closed\": false, \"vertices\": [null, null, null]}]"));
  doc->shape_count = 2;
  document_make_frames(doc, count);
  doc->width = 640;
  doc->height = 480;
  for (size_t i = 0; i < count; ++i) {
    document_frame *frame = &doc->frames[i];
    frame->number = first + (int)i;
    frame->width = i == 1 ? 320 : 640;
    frame->height = 480;
    frame->crop[2] = frame->crop[3] = 100.25;
    for (size_t p = 0; p < doc->point_count; ++p) {
      frame->points[p].x = -1.125 + (double)(100 * frame->number) + (double)p;
      frame->points[p].y = 7.5;
      frame->points[p].confidence = 0.25;
      frame->points[p].error = 3;
    }
    for (uint32_t s = 0; s < 2 && i + 1 < count; ++s) {
      document_shape *shape = &frame->shapes[s];
      shape->vertex_count = 2 + s;
      shape->vertices = (roto_vertex *)cli_alloc(shape->vertex_count, sizeof *shape->vertices);
      for (uint32_t v = 0; v < shape->vertex_count; ++v) {
        roto_vertex vertex = {10.5 + v, 20.25 + 5 * s, s && !v ? 0 : -3.125, s && !v ? 0 : 1, s && v == 2 ? 0 : 2,
                              -4.5,     1.5 * s};
        if (s && v == 2) vertex.out_y = 0;
        shape->vertices[v] = vertex;
      }
    }
  }
}

static int same_shape(const document_shape *a, const document_shape *b) {
  return a->vertex_count == b->vertex_count && a->origin == b->origin && a->hidden == b->hidden &&
         fabs(a->width - b->width) < 1e-9 &&
         (!a->vertex_count || !memcmp(a->vertices, b->vertices, a->vertex_count * sizeof *a->vertices));
}

static int same_document(const document *a, const document *b) {
  if (a->frame_count != b->frame_count || a->point_count != b->point_count || a->width != b->width || a->height != b->height ||
      !a->pattern != !b->pattern || (a->pattern && strcmp(a->pattern, b->pattern)) ||
      !cJSON_Compare(a->template_json, b->template_json, 1) || !cJSON_Compare(a->model, b->model, 1))
    return 0;
  for (size_t i = 0; i < a->frame_count; ++i) {
    const document_frame *x = &a->frames[i], *y = &b->frames[i];
    if (x->number != y->number || x->width != y->width || x->height != y->height || memcmp(x->crop, y->crop, sizeof x->crop))
      return 0;
    for (size_t p = 0; p < a->point_count; ++p) {
      const document_point *q = &x->points[p], *r = &y->points[p];
      if (q->x != r->x || q->y != r->y || q->confidence != r->confidence || q->error != r->error || q->origin != r->origin ||
          q->hidden != r->hidden)
        return 0;
    }
    for (size_t s = 0; s < a->shape_count; ++s)
      if (!same_shape(&x->shapes[s], &y->shapes[s])) return 0;
  }
  return 1;
}

static void document_round_trip(const roto_model *model) {
  document doc, again;
  make_document(&doc, model, -1, 3);
  doc.frames[2].points[1].origin = ORIGIN_ARTIST;
  doc.frames[2].points[0].hidden = 1;
  doc.frames[0].shapes[0].hidden = 1;
  doc.frames[0].shapes[0].vertices[1].feather = -2.5; /* a list of feathers */
  doc.frames[1].shapes[1].width = 3.5;
  doc.frames[1].shapes[1].origin = ORIGIN_ARTIST;
  CHECK(!document_write(in_folder("a.roto.json"), &doc, message), "%s", message);
  CHECK(!document_read(in_folder("a.roto.json"), &again, message), "%s", message);
  CHECK(same_document(&doc, &again) && again.shape_count == 2 && !again.frames[2].shapes[0].vertex_count);
  char *path = document_frame_path(&doc, 0);
  CHECK(!strcmp(path, "plates/sh.-001.png"), "%s", path);
  free(path);
  doc.frames[0].points[0].x = (double)NAN;
  CHECK(document_write(in_folder("nan.roto.json"), &doc, message) == -1 && access(in_folder("nan.roto.json"), F_OK));
  document_free(&doc);
  document_free(&again);
}

/* The network expects an error of so many crops. */
static void doubt(document_point *p, double crops) {
  p->confidence = 1 / (1 + 100 * crops);
}

/* A shape whose landmarks the model does not know for a while is hidden then; a short flicker, a single point and a shot in which
 * nothing stands out are not; an artist's shape stays visible, and what the model knows again is shown again. */
static void what_is_covered_is_hidden(void) {
  enum { FRAMES = 20, POINTS = 5 };
  document doc;
  char *text = cli_format(
      "{\"roto\": 1, \"plate\": {\"pattern\": null, \"width\": 100, \"height\": 100}, \"model\": {}, \"template\": "
      "{\"landmarks\": "
      "[{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}, {\"name\": \"d\"}, {\"name\": \"e\"}], \"shapes\": "
      "[{\"name\": \"s\", "
      "\"closed\": true, \"vertices\": [\"a\", \"b\", null, \"c\", \"d\"]}]}, \"frames\": []}");
  CHECK(!file_write(in_folder("covered.roto.json"), text, strlen(text), message), "%s", message);
  CHECK(!document_read(in_folder("covered.roto.json"), &doc, message), "%s", message);
  free(text);
  free(doc.frames);
  document_make_frames(&doc, FRAMES);
  for (int t = 0; t < FRAMES; ++t) {
    document_frame *f = &doc.frames[t];
    f->number = t;
    f->crop[2] = f->crop[3] = 50 + t;
    for (int i = 0; i < POINTS; ++i) {
      int covered = (t >= 5 && t < 10 && i < 3) || (t == 15 && i < 4) || i == 4; /* e is never known, and of no shape */
      doubt(&f->points[i], covered ? 0.025 : 0.01 + 0.0002 * ((t + i) % 3));
    }
    f->shapes[0].vertex_count = 5;
    f->shapes[0].vertices = (roto_vertex *)cli_alloc(5, sizeof(roto_vertex));
  }
  doubt(&doc.frames[3].points[4], 0.1); /* one that is far worse than all others changes nothing */
  doc.frames[7].shapes[0].origin = ORIGIN_ARTIST;
  doc.frames[2].shapes[0].hidden = 1; /* of an earlier run */
  CHECK(hidden_mark(&doc) == 4);
  for (int t = 0; t < FRAMES; ++t) {
    const document_frame *f = &doc.frames[t];
    int gone = t >= 5 && t < 10;
    CHECK(f->shapes[0].hidden == (gone && t != 7), "frame %d", t);
    CHECK(f->points[0].hidden == gone && !f->points[3].hidden && !f->points[4].hidden, "frame %d", t);
  }
  for (int t = 5; t < 10; ++t)
    for (int i = 0; i < 3; ++i) doubt(&doc.frames[t].points[i], 0.012);
  for (int t = 0; t < FRAMES; ++t) doubt(&doc.frames[t].points[4], 0);
  doubt(&doc.frames[15].points[0], 0);
  CHECK(hidden_mark(&doc) == 0 && !doc.frames[6].shapes[0].hidden && !doc.frames[6].points[0].hidden);
  document_free(&doc);
}

static void document_keeps_artists_work(const roto_model *model) {
  document doc, older;
  size_t kept;
  make_document(&older, model, 10, 3);
  make_document(&doc, model, 11, 3);
  older.frames[1].points[0].x = 42; /* frame 11 */
  older.frames[1].points[0].origin = ORIGIN_ARTIST;
  older.frames[1].points[1].x = 43; /* not an artist's */
  CHECK(!document_merge(&doc, &older, "older", &kept, message) && kept == 1, "%s", message);
  CHECK(doc.frame_count == 4 && doc.frames[0].number == 10 && doc.frames[3].number == 13);
  CHECK(doc.frames[1].points[0].x == 42 && doc.frames[1].points[0].origin == ORIGIN_ARTIST);
  CHECK(doc.frames[1].points[1].x != 43 && doc.frames[1].points[1].origin == ORIGIN_PREDICTED);
  document_free(&doc);

  /* A shape is an artist's work too, in frames that are run anew and in those that are not. */
  make_document(&doc, model, 11, 3);
  older.frames[0].shapes[1].vertices[0].x = 77;
  older.frames[1].shapes[0].origin = ORIGIN_ARTIST;
  older.frames[1].shapes[0].vertices[1].y = 99;
  older.frames[1].shapes[1].vertices[0].x = 98; /* not an artist's */
  CHECK(!document_merge(&doc, &older, "older", &kept, message), "%s", message);
  CHECK(same_shape(&doc.frames[1].shapes[0], &older.frames[1].shapes[0]) && doc.frames[1].shapes[1].vertices[0].x < 90);
  CHECK(same_shape(&doc.frames[0].shapes[1], &older.frames[0].shapes[1]));
  cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(doc.template_json, "shapes"), 0), "name"),
                       "e");
  CHECK(document_merge(&doc, &older, "older", &kept, message) == -1 && strstr(message, "shapes"), "%s", message);
  older.frames[1].shapes[0].origin = ORIGIN_PREDICTED;
  document_free(&doc);

  make_document(&doc, model, 11, 1); /* another plate: refused as long as there is something to lose */
  doc.width = 1;
  CHECK(document_merge(&doc, &older, "older", &kept, message) == -1 && strstr(message, "plate"), "%s", message);
  doc.width = 640;
  cJSON_SetValuestring(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(doc.template_json, "landmarks"), 0), "name"),
                       "q");
  CHECK(document_merge(&doc, &older, "older", &kept, message) == -1 && strstr(message, "landmarks"), "%s", message);
  older.frames[1].points[0].origin = ORIGIN_HELD;
  CHECK(!document_merge(&doc, &older, "older", &kept, message) && kept == 0 && doc.frame_count == 1);
  document_free(&doc);
  document_free(&older);
}

/* Every damage to a good document is refused with the file's name in the message. */
static void document_refuses(const roto_model *model) {
  static const char *const damage[][2] = {
      {"\"roto\": 1", "\"roto\": 2"},
      {"\"roto\": 1", "\"rotor\": 1"},
      {"\"plate\"", "\"plait\""},
      {"\"width\": 640", "\"width\": 0"},
      {"\"width\": 640", "\"width\": \"640\""},
      {"\"model\"", "\"modal\""},
      {"\"landmarks\"", "\"landmarkz\""},
      {"\"frames\"", "\"framed\""},
      {"\"frame\": 6", "\"frame\": 5"}, /* twice */
      {"\"frame\": 6", "\"frame\": 6.5"},
      {"\"crop\": [", "\"crop\": [1, "},
      {"\"crop\": [", "\"crop\": [\"1\", "},
      {"\"size\": [320", "\"size\": [-320"},
      {"{\"x\"", "{\"x\": 1, \"origin\": \"predicted\", \"y\": 1}, {\"x\""}, /* one point too many */
      {"{\"x\": ", "{\"z\": "},
      {"{\"x\": ", "{\"x\": 1e400, \"z\": "},
      {"\"predicted\"", "\"guessed\""},
      {"\"origin\"", "\"origine\""},
      {"\"pattern\": \"", "\"pattern\": null, \"old\": \""},
      {"]}", "]"},
      {"\"eye\": {", "\"ear\": {"},
      {"\"seam\": {\"origin\"", "\"eye\": {\"origin\""}, /* twice */
      {"\"eye\": {\"origin\": \"predicted\"", "\"eye\": {\"origin\": \"me\""},
      {"\"segments\"", "\"segment\""},
      {"[[10.500", "[[1, 10.500"},
      {"[[10.500", "[[\"1\""},
      {"[[11.500", "[[11.550"}, /* begins elsewhere */
      {"\"feather\": 1.5", "\"feather\": [1, 2]"},
      {"\"feather\": 1.5", "\"feather\": \"1.5\""},
      {"\"feather\": 1.5", "\"width\": -1"},
  };
  document doc, again;
  unsigned char *text;
  size_t size;
  make_document(&doc, model, 5, 3);
  CHECK(!document_write(in_folder("a.roto.json"), &doc, message), "%s", message);
  document_free(&doc);
  CHECK(!file_read(in_folder("a.roto.json"), 1 << 20, &text, &size, message), "%s", message);
  for (size_t i = 0; i < sizeof damage / sizeof *damage; ++i) {
    char *at = strstr((char *)text, damage[i][0]), *bad = malloc(size + 100);
    CHECK(at, "'%s' is not in the document", damage[i][0]);
    snprintf(bad, size + 100, "%.*s%s%s", at ? (int)(at - (char *)text) : 0, (char *)text, damage[i][1],
             at ? at + strlen(damage[i][0]) : "");
    write_text(in_folder("bad.roto.json"), bad);
    CHECK(document_read(in_folder("bad.roto.json"), &again, message) == -1, "'%s' was accepted", damage[i][1]);
    CHECK(strstr(message, "bad.roto.json") && !again.frames, "%s", message);
    document_free(&again);
    free(bad);
  }
  free(text);
}

/* 16 bits a channel come back as they were written, for every number of channels. */
static void image_16_bits(void) {
  uint16_t pixels[7 * 5 * 4];
  for (unsigned i = 0; i < 7 * 5 * 4; ++i) pixels[i] = (uint16_t)(i * i * 977 + (i & 8 ? 255 : 0));
  for (uint32_t channels = 1; channels <= 4; ++channels) {
    image_file image;
    CHECK(!image_write_png16(in_folder("deep.png"), pixels, 7, 5, channels, message), "%s", message);
    if (!CHECK(!image_read(in_folder("deep.png"), &image, message), "%s", message)) continue;
    CHECK(image.width == 7 && image.height == 5 && image.channels == channels && image.bits == 16);
    CHECK(!memcmp(image.pixels, pixels, 7 * 5 * channels * 2));
    image_free(&image);
  }
  CHECK(image_write_png16(in_folder("none.png"), pixels, 0, 5, 1, message) == -1);
}

int main(void) {
  model_file file;
  if (!mkdtemp(folder)) return perror(folder), 1;
  frames_ranges();
  frames_files();
  crops();
  image_16_bits();
  if (CHECK(!model_open("model_format/valid/all.roto", ROTO_ISA_AUTO, &file, message), "%s", message)) {
    document_round_trip(file.model);
    document_keeps_artists_work(file.model);
    what_is_covered_is_hidden();
    document_refuses(file.model);
    model_close(&file);
  }
  char *command = malloc(sizeof folder + 16);
  sprintf(command, "rm -rf %s", folder);
  CHECK(!system(command));
  free(command);
  return check_end("test_tools");
}
