/* JSON files, characters, data sets and augmentation: everything between a folder of annotated frames and a training sample.
 *
 * An argument that is a folder with `film`, `faces` and `lionel` in it adds tests on that data; without one they are
 * skipped. */

#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../tools/image_file.h"
#include "../tools/json_file.h"
#include "../trainer/augment.h"
#include "../trainer/character.h"
#include "../trainer/dataset.h"
#include "../trainer/rng.h"
#include "scratch.h"

/* ---- JSON ---- */

static void json_errors_have_a_place(void) {
  static const struct {
    const char *text, *expected;
  } cases[] = {
      {"", "empty file"},
      {"{\"a\": 1,\n \"b\": NaN}", "line 2, column 7"},
      {"{\"a\": 1}\nx", "line 2, column 1"},
      {"[1, 2", "the file ends"},
      {"{\"a\" 1}", "line 1, column 6"},
  };
  size_t i;
  double number = 7;
  cJSON *value;
  for (i = 0; i < sizeof cases / sizeof *cases; ++i) {
    write_text(in_root("bad.json"), "%s", cases[i].text);
    value = json_read(in_root("bad.json"), message);
    CHECK(!value && message_has(cases[i].expected) && message_has("bad.json"));
    cJSON_Delete(value);
  }
  write_bytes(in_root("bad.json"), "[1]\0[2]", 7);
  value = json_read(in_root("bad.json"), message);
  CHECK(!value);
  cJSON_Delete(value);

  write_text(in_root("good.json"),
             "\xef\xbb\xbf{\"a\": 1e999, \"b\": -2.5, \"c\": \"3\", \"d\": 1e39}\n"); /* with a byte order mark */
  value = json_read(in_root("good.json"), message);
  CHECK(value != NULL);
  CHECK(!json_number(cJSON_GetObjectItem(value, "a"), &number) && number == 7);
  CHECK(!json_number(cJSON_GetObjectItem(value, "c"), &number) && !json_number(cJSON_GetObjectItem(value, "d"), &number));
  CHECK(!json_number(NULL, &number) && number == 7);
  CHECK(json_number(cJSON_GetObjectItem(value, "b"), &number) && number == -2.5);
  CHECK(json_write(in_root("copy.json"), value, message) == 0);
  cJSON_Delete(value);
  value = json_read(in_root("copy.json"), message);
  CHECK(json_number(cJSON_GetObjectItem(value, "b"), &number) && number == -2.5);
  cJSON_Delete(value);
}

/* ---- characters ---- */

/* Two eyes of two corners and a nose; one closed shape on all of them and a predicted vertex, one open. */
static const char small_character[] =
    "{\"name\": \"small\", \"parts\": [{\"name\": \"eyes\", \"weight\": 2}, {\"name\": \"nose\"}],\n"
    " \"landmarks\": [{\"name\": \"l0\", \"part\": \"eyes\", \"flip\": \"r0\", \"rule\": \"nearest a b\"},\n"
    "  {\"name\": \"l1\", \"part\": 0, \"flip\": 2, \"weight\": 3}, {\"name\": \"r1\", \"flip\": \"l1\"}, {\"name\": \"r0\", "
    "\"flip\": 0},\n"
    "  {\"name\": \"tip\", \"part\": \"nose\"}],\n"
    " \"shapes\": [{\"name\": \"mask\", \"closed\": true, \"vertices\": [\"l0\", 1, null, \"r1\", \"r0\"]},\n"
    "  {\"name\": \"line\", \"closed\": false, \"vertices\": [\"l1\", \"tip\", \"r1\"]}],\n"
    " \"anchors\": [\"l0\", 3]}\n";

static int same_character(const character *a, const character *b) {
  uint32_t i;
  if (strcmp(a->name, b->name) || a->landmark_count != b->landmark_count || a->part_count != b->part_count ||
      a->shape_count != b->shape_count || a->anchors[0] != b->anchors[0] || a->anchors[1] != b->anchors[1])
    return 0;
  for (i = 0; i < a->landmark_count; ++i) {
    const roto_landmark *p = &a->landmarks[i], *q = &b->landmarks[i];
    if (strcmp(p->name, q->name) || strcmp(p->rule, q->rule) || p->part != q->part || p->flip != q->flip) return 0;
    if (p->weight != q->weight) return 0;
  }
  for (i = 0; i < a->part_count; ++i) {
    if (strcmp(a->parts[i].name, b->parts[i].name) || a->parts[i].weight != b->parts[i].weight) return 0;
  }
  for (i = 0; i < a->shape_count; ++i) {
    const roto_shape *p = &a->shapes[i], *q = &b->shapes[i];
    if (strcmp(p->name, q->name) || p->closed != q->closed || p->vertex_count != q->vertex_count) return 0;
    if (memcmp(p->vertices, q->vertices, p->vertex_count * sizeof *p->vertices)) return 0;
  }
  return 1;
}

static void character_is_read_and_written(void) {
  character ch, copy;
  write_text(in_root("small.json"), "%s", small_character);
  CHECK(character_load(in_root("small.json"), &ch, message) == 0);
  CHECK(ch.landmark_count == 5 && ch.part_count == 2 && ch.shape_count == 2);
  if (ch.landmark_count != 5 || ch.shape_count != 2) return;
  CHECK(ch.landmarks[0].flip == 3 && ch.landmarks[1].flip == 2 && ch.landmarks[4].flip == 4);
  CHECK(ch.landmarks[1].weight == 3 && ch.landmarks[0].weight == 1 && ch.parts[0].weight == 2 && ch.parts[1].weight == 1);
  CHECK(ch.landmarks[4].part == 1 && ch.landmarks[2].part == 0 && !strcmp(ch.landmarks[0].rule, "nearest a b"));
  CHECK(ch.shapes[0].closed && ch.shapes[0].vertex_count == 5 && ch.shapes[0].vertices[2] == -1 &&
        ch.shapes[0].vertices[4] == 3);
  CHECK(!ch.shapes[1].closed && ch.anchors[0] == 0 && ch.anchors[1] == 3);
  CHECK(character_find_landmark(&ch, "tip") == 4 && character_find_landmark(&ch, "top") == -1);
  CHECK(character_find_part(&ch, "nose") == 1 && character_find_shape(&ch, "line") == 1);
  CHECK(character_write(in_root("small-copy.json"), &ch, message) == 0);
  CHECK(character_load(in_root("small-copy.json"), &copy, message) == 0);
  CHECK(same_character(&ch, &copy));
  character_free(&copy);
  character_free(&ch);
  write_text(in_root("bare.json"), "{\"landmarks\": [{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}]}");
  CHECK(character_load(in_root("bare.json"), &ch, message) == 0);
  CHECK(ch.part_count == 1 && !strcmp(ch.parts[0].name, "all") && !strcmp(ch.name, "bare"));
  CHECK(ch.anchors[0] == 0 && ch.anchors[1] == 2 && ch.landmarks[1].flip == 1 && ch.landmarks[1].weight == 1);
  character_free(&ch);
}

/* The small character with one text replaced by another. */
static void write_broken(const char *from, const char *to) {
  const char *at = strstr(small_character, from);
  CHECK(at != NULL);
  if (!at) return;
  write_text(in_root("broken.json"), "%.*s%s%s", (int)(at - small_character), small_character, to, at + strlen(from));
}

static void character_mistakes_are_named(void) {
  static const struct {
    const char *from, *to, *expected;
  } cases[] = {
      {"\"flip\": \"r0\"", "\"flip\": \"tip\"", "flips to tip"},
      {"\"flip\": \"r0\"", "\"flip\": \"l1\"", "expected it to flip back"},
      {"\"flip\": \"r0\"", "\"flip\": \"r9\"", "names r9"},
      {"\"flip\": 2", "\"flip\": 5", "index below 5"},
      {"\"flip\": 2", "\"flip\": 2.5", "index below 5"},
      {"\"flip\": 2", "\"flip\": -1", "index below 5"},
      {"\"flip\": 0}", "\"part\": 1, \"flip\": 0}", "another part"},
      {"\"part\": \"nose\"}", "\"part\": \"nose\"}, {\"name\": \"l0\"}", "two landmarks are named l0"},
      {"\"part\": \"nose\"}", "\"part\": \"nose\"}, {\"name\": \"\"}", "empty name"},
      {"\"weight\": 3", "\"weight\": -3", "weight of 0 or more"},
      {"\"weight\": 3", "\"weight\": \"3\"", "\"weight\" to be a number"},
      {"\"part\": \"eyes\"", "\"part\": \"ears\"", "names ears"},
      {"\"closed\": true", "\"closed\": 1", "true or false"},
      {"[\"l0\", 1, null", "[\"l0\", 1, \"x\"", "names x"},
      {"\"name\": \"line\"", "\"name\": \"mask\"", "two shapes are named mask"},
      {"[\"l1\", \"tip\", \"r1\"]", "[\"l1\"]", "at least 2 vertices"},
      {"[\"l0\", 3]", "[\"l0\", 0]", "two different landmarks"},
      {"[\"l0\", 3]", "[\"l0\"]", "two landmarks"},
      {"\"landmarks\"", "\"landmark\"", "\"landmarks\""},
      {"\"parts\": [", "\"parts\": [3, ", "parts[0]"},
  };
  size_t i;
  character ch;
  for (i = 0; i < sizeof cases / sizeof *cases; ++i) {
    int result;
    write_broken(cases[i].from, cases[i].to);
    result = character_load(in_root("broken.json"), &ch, message);
    if (!result) printf("accepted with %s\n", cases[i].to);
    CHECK(result == -1 && message_has(cases[i].expected) && message_has("broken.json"));
    CHECK(!ch.landmarks && !ch.landmark_count);
    if (!result) character_free(&ch);
  }
}

static const struct {
  const char *name;
  uint32_t landmarks, shapes;
} templates[] = {{"faces68", 68, 0}, {"puppet27", 27, 7}, {"lionel43", 43, 6}, {"cg45", 45, 0}, {"test28", 28, 4}};

static int load_template(const char *name, character *ch) {
  char path[128];
  int result;
  snprintf(path, sizeof path, "trainer/templates/%s.json", name);
  result = character_load(path, ch, message);
  if (result) printf("%s\n", message);
  return result;
}

static void templates_are_valid(void) {
  size_t i;
  uint32_t k;
  for (i = 0; i < sizeof templates / sizeof *templates; ++i) {
    character ch;
    uint32_t own = 0;
    CHECK(load_template(templates[i].name, &ch) == 0);
    CHECK(ch.landmark_count == templates[i].landmarks && ch.shape_count == templates[i].shapes);
    for (k = 0; k < ch.landmark_count; ++k) own += ch.landmarks[k].flip == k;
    CHECK(own * 5 < ch.landmark_count + 5); /* few landmarks are their own mirror image */
    CHECK(ch.landmark_count && ch.landmarks[ch.anchors[0]].flip == ch.anchors[1]);
    character_free(&ch);
  }
}

/* ---- data sets ---- */

static const float small_points[5][2] = {{60, 70}, {100, 62}, {140, 66}, {180, 80}, {118, 120}};

/* "points" of the small character moved by (dx, dy), without braces. */
static const char *points_text(float dx, float dy) {
  static char text[512];
  size_t at = (size_t)snprintf(text, sizeof text, "\"points\": [");
  int i;
  for (i = 0; i < 5; ++i) {
    at += (size_t)snprintf(text + at, sizeof text - at, "%s[%g, %g]", i ? ", " : "", (double)(small_points[i][0] + dx),
                           (double)(small_points[i][1] + dy));
  }
  snprintf(text + at, sizeof text - at, "]");
  return text;
}

#define SEGMENT "[[%g, 1, %g, -1], [%g, 2, %g, -2]]"
/* The small character's shapes as text, without braces: mask over l0 l1 (120, 50) r1 r0, line l1 tip r1. */
static const char *shapes_text(void) {
  static char text[1024];
  snprintf(text, sizeof text,
           "\"mask\": [" SEGMENT ", " SEGMENT ", " SEGMENT ", " SEGMENT ", " SEGMENT "], \"line\": [" SEGMENT ", " SEGMENT "]",
           60.0, 100.0, 70.0, 62.0, 100.0, 120.0, 62.0, 50.0, 120.0, 140.0, 50.0, 66.0, 140.0, 180.0, 66.0, 80.0, 180.0, 60.0,
           80.0, 70.0, 100.0, 118.0, 62.0, 120.0, 118.0, 140.0, 120.0, 66.0);
  return text;
}

enum { FRAME_WIDTH = 240, FRAME_HEIGHT = 200 };

/* A frame with a soft dot (standard deviation 2.5) at (x, y) on black. */
static void write_dot(const char *path, float x, float y) {
  static uint8_t rgb[FRAME_WIDTH * FRAME_HEIGHT * 3];
  int i, j;
  for (j = 0; j < FRAME_HEIGHT; ++j) {
    for (i = 0; i < FRAME_WIDTH; ++i) {
      float dx = (float)i + 0.5f - x, dy = (float)j + 0.5f - y;
      memset(rgb + (j * FRAME_WIDTH + i) * 3, (int)(255 * expf(-(dx * dx + dy * dy) / 12.5f) + 0.5f), 3);
    }
  }
  CHECK(image_write_png(path, rgb, FRAME_WIDTH, FRAME_HEIGHT, 3, message) == 0);
}

/* Write frame `number` of shot "dots" in folder: the dot is at landmark number % 5. */
static void write_dot_frame(const char *folder, uint32_t number) {
  char path[512];
  snprintf(path, sizeof path, "%s/image-dots-frame%03u.png", folder, number);
  write_dot(path, small_points[number % 5][0], small_points[number % 5][1]);
  snprintf(path, sizeof path, "%s/points-dots-frame%03u.json", folder, number);
  write_text(path, "{%s}", points_text(0, 0));
}

static void load_small(character *ch) {
  write_text(in_root("small.json"), "%s", small_character);
  CHECK(character_load(in_root("small.json"), ch, message) == 0);
}

static int has_issue(const dataset *ds, const char *path, const char *reason, int dropped) {
  size_t i;
  for (i = 0; i < ds->issue_count; ++i) {
    if (strstr(ds->issues[i].path, path) && strstr(ds->issues[i].reason, reason) && ds->issues[i].dropped == dropped) return 1;
  }
  printf("no entry \"%s: %s\" among:\n", path, reason);
  for (i = 0; i < ds->issue_count; ++i) {
    printf("  %s: %s%s\n", ds->issues[i].path, ds->issues[i].reason, ds->issues[i].dropped ? " (dropped)" : "");
  }
  return 0;
}

static void dataset_reads_every_layout(void) {
  character ch;
  dataset ds;
  frame *f;
  load_small(&ch);
  make_folder("set");
  CHECK(mkdir(in_root("set/b"), 0700) == 0 && mkdir(in_root("set/a"), 0700) == 0 && mkdir(in_root("set/notes"), 0700) == 0);
  write_text(in_root("set/notes/readme.txt"), "nothing to see");
  /* a: revec and raw shapes; the shot's name has hyphens; numbers beyond 999 and out of order */
  write_dot(in_root("set/a/image-my-frame-1-frame1002.png"), 60, 70);
  write_text(in_root("set/a/revec_shapes-my-frame-1-frame1002.json"), "{%s, %s, \"visible\": [1, 0, 1, true, 1]}",
             shapes_text(), points_text(0.25f, 0));
  write_text(in_root("set/a/raw_shapes-my-frame-1-frame1002.json"), "{\"extra\": [" SEGMENT "], \"mask\": [" SEGMENT "]}", 1.0,
             2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0);
  write_dot(in_root("set/a/image-my-frame-1-frame007.png"), 60, 70);
  write_text(in_root("set/a/shapes-my-frame-1-frame007.json"), "{%s}", shapes_text()); /* points from the vertices */
  /* b: points alone, one unknown; the image is a PNG named .jpg */
  write_dot(in_root("set/b/image-CG-frame000.jpg"), 60, 70);
  write_text(in_root("set/b/points-CG-frame000.json"), "{\"points\": [[1, 2], [0, 0], [30.5, 40], [0.0, 0.0], [50, 60]]}");
  CHECK(dataset_load(in_root("set"), &ch, &ds, message) == 0);
  CHECK(ds.frame_count == 3 && ds.issue_count == 0 && ds.shot_count == 2);
  if (ds.frame_count != 3) return;

  f = &ds.frames[0];
  CHECK(f->number == 7 && !strcmp(ds.shots[f->shot], "my-frame-1") && f->shape_count == 2 && f->raw_count == 0);
  CHECK(f->points[0] == 60 && f->points[1] == 70 && f->points[6] == 180 && f->points[8] == 118 && f->points[9] == 120);
  CHECK(f->valid[0] && f->valid[4] && !f->hidden[0]);
  CHECK(f->box.x == 60 && f->box.y == 62 && f->box.width == 120 && f->box.height == 58);

  f = &ds.frames[1];
  CHECK(f->number == 1002 && f->shot == 0 && strstr(f->image_path, "frame1002.png") &&
        strstr(f->annotation_path, "revec_shapes"));
  CHECK(f->points[0] == 60.25f && f->valid[0] && !f->valid[1] && f->hidden[1] && f->valid[3] && !f->hidden[3]);
  CHECK(f->shape_count == 2 && !strcmp(f->shapes[0].name, "mask") && f->shapes[0].segment_count == 5);
  CHECK(f->shapes[0].segments[1].x[0] == 100 && f->shapes[0].segments[1].x[2] == 120 && f->shapes[0].segments[1].y[3] == -2);
  CHECK(f->raw_count == 2 && !strcmp(f->raw[0].name, "extra") && f->raw[1].segments[0].y[0] == 7);

  f = &ds.frames[2];
  CHECK(!strcmp(ds.shots[f->shot], "CG") && f->shape_count == 0 && f->valid[0] && !f->valid[1] && !f->hidden[1] &&
        !f->valid[3]);
  CHECK(f->points[4] == 30.5f && f->box.x == 1 && f->box.width == 49);
  CHECK(dataset_cache(&ds, NULL, NULL, message) == 0 && ds.frame_count == 3 && f->width == FRAME_WIDTH);
  dataset_free(&ds);

  CHECK(dataset_load(in_root("set/b"), &ch, &ds, message) == 0 && ds.frame_count == 1); /* one shot folder */
  dataset_free(&ds);
  character_free(&ch);
}

static void dataset_names_what_it_drops(void) {
  static const struct {
    const char *text, *reason;
  } bad[] = {
      {"{\"points\": [[1,2],[3,4],[5,6],[7,8]]}", "expected 5 points, found 4"},
      {"{\"points\": [[1,2],[3,4],[5,NaN],[7,8],[9,10]]}", "not JSON"},
      {"{\"points\": [[1,2],[3,4],[5,1e999],[7,8],[9,10]]}", "point 2"},
      {"{\"points\": [[1,2],[3,4],[5,6,7],[7,8],[9,10]]}", "point 2"},
      {"{\"points\": [[1,2],[3,4],[5,\"6\"],[7,8],[9,10]]}", "point 2"},
      {"{\"points\": [[1,2],[3,4],[5,6],[7,8],[9,1e7]]}", "point 4"},
      {"{\"points\": [[1,2],[3,4],[5,6],[7,8],[9,10]], \"visible\": [1,1]}", "expected 5 flags"},
      {"{\"points\": [[1,2],[3,4],[5,6],[7,8],[9,10]], \"visible\": [1,1,2,1,1]}", "visible[2]"},
      {"{\"points\": [[0,0],[0,0],[5,6],[0,0],[0,0]]}", "at least 2 known"},
      {"{\"points\": [[5,6],[5,6],[5,6],[5,6],[5,6]]}", "within one pixel"},
      {"[[1,2],[3,4],[5,6],[7,8],[9,10]]", "expected an object"},
      {"{\"points\": [[1,2],[3,4],", "the file ends"},
      {"{}", "expected 5 landmarks in \"points\""},
  };
  const size_t count = sizeof bad / sizeof *bad;
  character ch;
  dataset ds;
  size_t i;
  static uint8_t black[23 * 17 * 3];
  unsigned char *small = NULL;
  size_t small_size = 0;
  load_small(&ch);
  make_folder("bad");
  for (i = 0; i < count; ++i) {
    write_dot(in_root("bad/image-s-frame%03u.png", (unsigned)i), 60, 70);
    write_text(in_root("bad/points-s-frame%03u.json", (unsigned)i), "%s", bad[i].text);
  }
  CHECK(dataset_load(in_root("bad"), &ch, &ds, message) == -1 && message_has("no frame of 13 can be used"));
  CHECK(!ds.frames && ds.dropped_count == count && ds.issue_count == count);
  dataset_free(&ds);

  write_dot_frame(in_root("bad"), 0);
  write_text(in_root("bad/points-x-frame000.json"), "{%s}", points_text(0, 0)); /* no image */
  write_dot(in_root("bad/image-x-frame001.png"), 60, 70);                       /* no annotation */
  write_dot(in_root("bad/image-dots-frame000.tga"), 60, 70);                    /* a second image */
  write_dot(in_root("bad/image-y-frame000.png"), 60, 70);                       /* one shape of two */
  write_text(in_root("bad/revec_shapes-y-frame000.json"), "{\"line\": [" SEGMENT ", " SEGMENT "], %s}", 100.0, 118.0, 62.0,
             120.0, 118.0, 140.0, 120.0, 66.0, points_text(0, 0));
  write_dot(in_root("bad/image-z-frame000.png"), 60, 70); /* wrong number of segments */
  write_text(in_root("bad/revec_shapes-z-frame000.json"), "{\"line\": [" SEGMENT "], %s}", 100.0, 118.0, 62.0, 120.0,
             points_text(0, 0));
  write_dot(in_root("bad/image-z-frame001.png"), 60, 70); /* a segment of three numbers */
  write_text(in_root("bad/revec_shapes-z-frame001.json"), "{\"line\": [[[1,2,3],[1,2,3,4]],[[1,2,3,4],[1,2,3,4]]], %s}",
             points_text(0, 0));
  /* images: truncated, not an image, landmarks beside it */
  write_text(in_root("bad/points-dots-frame001.json"), "{%s}", points_text(0, 0));
  CHECK(image_write_png(in_root("bad/image-dots-frame003.png"), black, 23, 17, 3, message) == 0);
  CHECK(file_read(in_root("bad/image-dots-frame003.png"), 1 << 20, &small, &small_size, message) == 0);
  write_bytes(in_root("bad/image-dots-frame001.png"), small, small_size / 2);
  free(small);
  write_text(in_root("bad/points-dots-frame002.json"), "{%s}", points_text(0, 0));
  write_text(in_root("bad/image-dots-frame002.png"), "this is no picture at all");
  write_text(in_root("bad/points-dots-frame003.json"), "{%s}", points_text(0, 0));
  CHECK(dataset_load(in_root("bad"), &ch, &ds, message) == 0);
  CHECK(ds.frame_count == 5); /* dots 0 to 3, y 0 */
  for (i = 0; i < count; ++i) {
    char name[64];
    snprintf(name, sizeof name, "points-s-frame%03u.json", (unsigned)i);
    CHECK(has_issue(&ds, name, bad[i].reason, 1));
  }
  CHECK(has_issue(&ds, "points-x-frame000.json", "image is missing", 1));
  CHECK(has_issue(&ds, "image-x-frame001.png", "no annotation", 1));
  CHECK(has_issue(&ds, "image-dots-frame000.tga", "image-dots-frame000.png", 0));
  CHECK(has_issue(&ds, "revec_shapes-y-frame000.json", "shape mask is missing", 0));
  CHECK(has_issue(&ds, "revec_shapes-z-frame000.json", "expected 2 segments, found 1", 1));
  CHECK(has_issue(&ds, "revec_shapes-z-frame001.json", "shape line, segment 0", 1));
  CHECK(dataset_cache(&ds, NULL, NULL, message) == 0);
  CHECK(ds.frame_count == 2 && ds.frames[0].pixels && ds.frames[1].pixels && ds.dropped_count == count + 7);
  CHECK(has_issue(&ds, "image-dots-frame001.png", "truncated", 1));
  CHECK(has_issue(&ds, "image-dots-frame002.png", "expected PNG", 1));
  CHECK(has_issue(&ds, "image-dots-frame003.png", "outside the frame of 23 x 17", 1));
  dataset_free(&ds);

  CHECK(dataset_load_annotations(in_root("bad"), &ch, &ds, message) == 0);
  CHECK(ds.frame_count == 6); /* x 0 as well, which has no image */
  dataset_free(&ds);
  make_folder("empty");
  CHECK(dataset_load(in_root("empty"), &ch, &ds, message) == -1 && message_has("found no such file"));
  dataset_free(&ds);
  CHECK(dataset_load(in_root("nowhere"), &ch, &ds, message) == -1 && message_has("nowhere: cannot open"));
  dataset_free(&ds);
  character_free(&ch);
}

/* The evaluation sample is what the runtime makes of the whole frame. */
static void none_is_the_runtime_crop(const dataset *ds, const character *ch) {
  static float got[64 * 48 * 4], expected[64 * 48 * 3];
  const float mean[3] = {0.485f, 0.456f, 0.406f}, scale[3] = {4.3f, 4.4f, 4.5f};
  size_t i, n;
  for (n = 0; n < ds->frame_count; ++n) {
    const frame *f = &ds->frames[n];
    float points[10], weight[5], m[6], to_frame[6], worst = 0;
    roto_rect crop = augment_box(f, 1.4f);
    roto_image view;
    image_file whole;
    CHECK(image_read(f->image_path, &whole, message) == 0);
    view = image_view(&whole);
    roto_crop_map(crop, 64, 48, m);
    roto_sample(&view, m, ROTO_TRANSFER_SRGB, 64, 48, expected);
    augment_none(f, ch, crop, 64, 48, mean, scale, got, points, weight, to_frame);
    CHECK(!memcmp(m, to_frame, sizeof m));
    for (i = 0; i < 64 * 48 * 3; ++i) {
      float d = fabsf(got[i / 3 * 4 + i % 3] - (expected[i] - mean[i % 3]) * scale[i % 3]);
      if (!(d <= worst)) worst = d;
    }
    CHECK(worst < 1e-4f);
    for (i = 0; i < 5; ++i) {
      float x = m[0] * points[2 * i] * 64 + m[2], y = m[4] * points[2 * i + 1] * 48 + m[5];
      CHECK(fabsf(x - f->points[2 * i]) < 1e-3f && fabsf(y - f->points[2 * i + 1]) < 1e-3f && weight[i] == 1);
    }
    image_free(&whole);
  }
}

static void run_backwards(void *user, size_t count, roto_task task, void *context) {
  while (count-- > 0) task(context, count);
  ++*(int *)user;
}

/* The cache is the frame's own pixels around the box, in whatever order frames are decoded. */
static void dataset_caches_what_is_needed(void) {
  character ch;
  dataset a, b;
  int calls = 0;
  size_t i;
  load_small(&ch);
  make_folder("many");
  for (i = 0; i < 5; ++i) write_dot_frame(in_root("many"), (uint32_t)i);
  write_text(in_root("many/points-dots-frame002.json"), "{\"points\": [[135,62],[145,62],[139,67],[143,68],[140,71]]}");
  write_bytes(in_root("many/image-dots-frame003.png"), "broken", 6);
  CHECK(dataset_load(in_root("many"), &ch, &a, message) == 0 && dataset_load(in_root("many"), &ch, &b, message) == 0);
  CHECK(dataset_cache(&a, NULL, NULL, message) == 0 && dataset_cache(&b, run_backwards, &calls, message) == 0 && calls == 1);
  CHECK(a.frame_count == 4 && b.frame_count == 4 && a.issue_count == 1);
  for (i = 0; i < a.frame_count && i < b.frame_count; ++i) {
    const frame *f = &a.frames[i], *g = &b.frames[i];
    image_file whole;
    uint32_t y, different = 0;
    CHECK(f->number == g->number && f->cache_width == g->cache_width && f->cache_height == g->cache_height);
    CHECK(!memcmp(f->pixels, g->pixels, (size_t)f->cache_width * f->cache_height * 3));
    CHECK(image_read(f->image_path, &whole, message) == 0);
    for (y = 0; y < f->cache_height; ++y) {
      const uint8_t *row = (const uint8_t *)whole.pixels + ((size_t)(f->cache_y + y) * whole.width + f->cache_x) * 3;
      different += memcmp(row, f->pixels + (size_t)y * f->cache_width * 3, (size_t)f->cache_width * 3) != 0;
    }
    CHECK(different == 0);
    image_free(&whole);
  }
  CHECK(a.frames[2].cache_x == 125 && a.frames[2].cache_y == 52);
  CHECK(a.frames[2].cache_width == 30 && a.frames[2].cache_height == 29);
  none_is_the_runtime_crop(&a, &ch);
  dataset_free(&a);
  dataset_free(&b);
  character_free(&ch);
}

/* ---- augmentation ---- */

enum { CROP = 96 };
static const float no_mean[3] = {0, 0, 0}, no_scale[3] = {1, 1, 1};

/* Centre of brightness of a sample, in pixels. */
static int find_dot(const float *input, uint32_t w, uint32_t h, double *x, double *y) {
  double sum = 0, sx = 0, sy = 0;
  uint32_t i, j;
  for (j = 0; j < h; ++j) {
    for (i = 0; i < w; ++i) {
      double v = (double)input[(j * w + i) * 4];
      sum += v;
      sx += v * (i + 0.5);
      sy += v * (j + 0.5);
    }
  }
  *x = sx / sum;
  *y = sy / sum;
  return sum > 1;
}

/* Every landmark's dot must be where the landmark is said to be. */
static void follow_dots(const dataset *ds, const character *ch, const augment_options *o, const char *what, uint32_t w,
                        uint32_t h) {
  static float input[CROP * CROP * 4];
  float points[10], weight[5];
  double worst = 0;
  int seen = 0, lost = 0;
  uint64_t seed;
  size_t i;
  for (i = 0; i < 5; ++i) {
    for (seed = 0; seed < 40; ++seed) {
      uint32_t at;
      double x, y, px, py, distance;
      augment_sample(&ds->frames[i], ch, o, rng_seed(3, seed, i), w, h, no_mean, no_scale, input, points, weight);
      /* The landmark under the dot, by its name in the picture as it is now. */
      at = o->flip > 0.5f ? ch->landmarks[i].flip : (uint32_t)i;
      px = (double)points[2 * at] * w;
      py = (double)points[2 * at + 1] * h;
      if (px < 12 || py < 12 || px > w - 12.0 || py > h - 12.0) continue; /* the dot must be whole */
      ++seen;
      if (!find_dot(input, w, h, &x, &y)) {
        ++lost;
        continue;
      }
      distance = hypot(x - px, y - py);
      if (distance > worst) worst = distance;
    }
  }
  if (lost || !(worst < 0.1)) printf("%s: worst %.3f px, %d of %d dots lost\n", what, worst, lost, seen);
  CHECK(seen > 40);
  CHECK(lost == 0);
  CHECK(worst < 0.1);
}

static void landmarks_follow_the_picture(const dataset *ds, const character *ch) {
  augment_options o;
  memset(&o, 0, sizeof o);
  o.margin = 2;
  follow_dots(ds, ch, &o, "plain", CROP, CROP);
  follow_dots(ds, ch, &o, "not square", CROP, 64);
  o.flip = 1;
  follow_dots(ds, ch, &o, "flip", CROP, CROP);
  o.flip = 0;
  o.rotation = 60;
  follow_dots(ds, ch, &o, "rotation", CROP, CROP);
  o.rotation = 0;
  o.scale = 0.4f;
  follow_dots(ds, ch, &o, "scale", CROP, CROP);
  o.scale = 0;
  o.shift = 0.15f;
  follow_dots(ds, ch, &o, "shift", CROP, CROP);
  o.shift = 0;
  o.shear = 15;
  follow_dots(ds, ch, &o, "shear", CROP, CROP);
  o.flip = 1;
  o.rotation = 30;
  o.scale = 0.3f;
  o.shift = 0.1f;
  follow_dots(ds, ch, &o, "all", CROP, 80);
}

/* Of the triangle of landmarks 0, 3 and 4. */
static float area(const float *p) {
  return fabsf((p[6] - p[0]) * (p[9] - p[1]) - (p[8] - p[0]) * (p[7] - p[1])) / 2;
}

/* What the options vary, they vary over their range. */
static void geometry_uses_its_ranges(const dataset *ds, const character *ch) {
  static float input[16 * 16 * 4];
  float points[10], plain[10], weight[5];
  float low_turn = 0, high_turn = 0, low_scale = 1, high_scale = 1, low_x = 0, high_x = 0;
  augment_options o, none;
  uint64_t seed;
  int flips = 0;
  memset(&none, 0, sizeof none);
  augment_sample(&ds->frames[0], ch, &none, 1, 16, 16, no_mean, no_scale, input, plain, weight);
  for (seed = 0; seed < 400; ++seed) {
    float dx, dy, ex = plain[6] - plain[0], ey = plain[7] - plain[1], turn, scale, x;
    o = none;
    o.rotation = 20;
    o.scale = 0.25f;
    augment_sample(&ds->frames[0], ch, &o, rng_seed(1, 0, seed), 16, 16, no_mean, no_scale, input, points, weight);
    dx = points[6] - points[0];
    dy = points[7] - points[1];
    turn = (atan2f(dy, dx) - atan2f(ey, ex)) * 57.29578f;
    scale = sqrtf((dx * dx + dy * dy) / (ex * ex + ey * ey));
    if (turn < low_turn) low_turn = turn;
    if (turn > high_turn) high_turn = turn;
    if (scale < low_scale) low_scale = scale;
    if (scale > high_scale) high_scale = scale;
    o.shear = 20; /* neither turning nor shearing changes an area */
    augment_sample(&ds->frames[0], ch, &o, rng_seed(1, 0, seed), 16, 16, no_mean, no_scale, input, points, weight);
    CHECK(fabsf(area(points) / area(plain) / (scale * scale) - 1) < 1e-3f);
    o = none;
    o.shift = 0.1f;
    o.flip = 0.5f;
    augment_sample(&ds->frames[0], ch, &o, rng_seed(1, 0, seed), 16, 16, no_mean, no_scale, input, points, weight);
    x = (points[0] + points[6]) / 2 - 0.5f; /* the mean of a pair of mirror twins lies in the crop's middle */
    if (x < low_x) low_x = x;
    if (x > high_x) high_x = x;
    /* Landmark 1 and its twin 2 change places with the sides of the picture; their names do not. */
    flips += points[1] > points[7];
    CHECK(points[0] < points[6]);
  }
  CHECK(low_turn > -20.01f && low_turn < -18 && high_turn < 20.01f && high_turn > 18);
  CHECK(low_scale > 0.799f && low_scale < 0.83f && high_scale < 1.251f && high_scale > 1.2f);
  CHECK(low_x > -0.1001f && low_x < -0.09f && high_x < 0.1001f && high_x > 0.09f);
  CHECK(flips > 150 && flips < 250);
}

static void flip_twice_is_identity(const dataset *ds, const character *ch) {
  static float plain[CROP * CROP * 4], flipped[CROP * CROP * 4];
  float p[10], q[10], weight[5], worst = 0;
  augment_options o;
  uint32_t i, x, y;
  memset(&o, 0, sizeof o);
  augment_sample(&ds->frames[1], ch, &o, 5, CROP, CROP, no_mean, no_scale, plain, p, weight);
  o.flip = 1;
  augment_sample(&ds->frames[1], ch, &o, 5, CROP, CROP, no_mean, no_scale, flipped, q, weight);
  for (y = 0; y < CROP; ++y) {
    for (x = 0; x < CROP; ++x) {
      float d = fabsf(plain[(y * CROP + x) * 4] - flipped[(y * CROP + CROP - 1 - x) * 4]);
      if (!(d <= worst)) worst = d;
    }
  }
  CHECK(worst < 1e-4f);
  for (i = 0; i < 5; ++i) { /* mirror and rename again: back where it was */
    uint32_t twin = ch->landmarks[i].flip;
    CHECK(fabsf(1 - q[2 * twin] - p[2 * i]) < 1e-5f && fabsf(q[2 * twin + 1] - p[2 * i + 1]) < 1e-5f);
  }
}

static void same_seed_same_bytes(const dataset *ds, const character *ch) {
  static float a[CROP * CROP * 4], b[CROP * CROP * 4];
  float p[10], q[10], weight[5];
  const float mean[3] = {0.5f, 0.4f, 0.3f}, scale[3] = {2, 3, 4};
  augment_options o, fewer;
  uint64_t seed;
  int different = 0;
  uint32_t i, lane = 0;
  augment_default(&o);
  for (seed = 0; seed < 20; ++seed) {
    memset(a, 0x55, sizeof a);
    memset(b, 0xaa, sizeof b);
    augment_sample(&ds->frames[2], ch, &o, rng_seed(9, 1, seed), CROP, CROP, mean, scale, a, p, weight);
    augment_sample(&ds->frames[2], ch, &o, rng_seed(9, 1, seed), CROP, CROP, mean, scale, b, q, weight);
    CHECK(!memcmp(a, b, sizeof a) && !memcmp(p, q, sizeof p));
    augment_sample(&ds->frames[2], ch, &o, rng_seed(9, 2, seed), CROP, CROP, mean, scale, b, q, weight);
    different += memcmp(a, b, sizeof a) != 0 && memcmp(p, q, sizeof p) != 0;
    /* Without colour the geometry is the same. */
    fewer = o;
    fewer.brightness = fewer.noise = fewer.occlude = fewer.blur = 0;
    augment_sample(&ds->frames[2], ch, &fewer, rng_seed(9, 1, seed), CROP, CROP, mean, scale, b, q, weight);
    CHECK(!memcmp(p, q, sizeof p));
    for (i = 0; i < CROP * CROP; ++i) lane += a[4 * i + 3] != 0;
  }
  CHECK(different == 20);
  CHECK(lane == 0);
}

/* A frame in memory, all of one colour, whose landmarks are the small ones. */
static frame flat_frame(uint8_t *pixels, uint8_t red, uint8_t green, uint8_t blue, float *points, uint8_t *flags) {
  frame f;
  int i;
  memset(&f, 0, sizeof f);
  for (i = 0; i < FRAME_WIDTH * FRAME_HEIGHT; ++i) {
    pixels[3 * i] = red;
    pixels[3 * i + 1] = green;
    pixels[3 * i + 2] = blue;
  }
  memcpy(points, small_points, sizeof small_points);
  memset(flags, 1, 5);
  memset(flags + 5, 0, 5);
  f.points = points;
  f.valid = flags;
  f.hidden = flags + 5;
  f.pixels = pixels;
  f.channels = 3;
  f.width = f.cache_width = FRAME_WIDTH;
  f.height = f.cache_height = FRAME_HEIGHT;
  f.box.x = 60;
  f.box.y = 62;
  f.box.width = 120;
  f.box.height = 58;
  return f;
}

static void mean_and_deviation(const float *input, size_t channel, double *mean, double *deviation) {
  double sum = 0, squares = 0;
  size_t i;
  for (i = 0; i < CROP * CROP; ++i) sum += (double)input[4 * i + channel];
  *mean = sum / (CROP * CROP);
  for (i = 0; i < CROP * CROP; ++i)
    squares += ((double)input[4 * i + channel] - *mean) * ((double)input[4 * i + channel] - *mean);
  *deviation = sqrt(squares / (CROP * CROP));
}

static void colours_change_as_told(const character *ch) {
  static uint8_t pixels[FRAME_WIDTH * FRAME_HEIGHT * 3];
  static float in[CROP * CROP * 4];
  float own[10], points[10], weight[5], low = 9, high = 0;
  uint8_t flags[10];
  frame f = flat_frame(pixels, 128, 102, 51, own, flags); /* 0.50196, 0.4, 0.2 */
  augment_options o, none;
  uint64_t seed;
  int greys = 0, covered = 0, noisy = 0;
  double mean, deviation, largest = 0;
  memset(&none, 0, sizeof none);
  for (seed = 0; seed < 200; ++seed) {
    float ratio, grey;
    o = none;
    o.brightness = 0.3f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    ratio = in[1] / 0.4f;
    CHECK(fabsf(in[0] / in[1] - 128.0f / 102) < 1e-4f && fabsf(in[2] / in[1] - 0.5f) < 1e-4f &&
          fabsf(in[4 * 777] - in[0]) < 1e-6f);
    if (ratio < low) low = ratio;
    if (ratio > high) high = ratio;

    o = none; /* contrast about the mean of a flat picture: grey colours stay */
    o.contrast = 0.5f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    grey = 0.299f * 128 / 255 + 0.587f * 0.4f + 0.114f * 0.2f;
    CHECK(fabsf(0.299f * in[0] + 0.587f * in[1] + 0.114f * in[2] - grey) < 1e-4f);

    o = none; /* hue keeps the mean of the channels about the grey axis; saturation keeps the luma */
    o.saturation = 0.9f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    CHECK(fabsf(0.299f * in[0] + 0.587f * in[1] + 0.114f * in[2] - grey) < 1e-4f);

    o = none;
    o.gamma = 0.6f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    CHECK(fabsf(logf(in[1]) / logf(0.4f) - logf(in[2]) / logf(0.2f)) < 1e-3f); /* one exponent for all */
    CHECK(logf(in[1]) / logf(0.4f) > 0.62f && logf(in[1]) / logf(0.4f) < 1.61f);

    o = none;
    o.grey = 0.5f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    if (fabsf(in[0] - in[1]) < 1e-5f && fabsf(in[2] - in[1]) < 1e-5f && fabsf(in[0] - grey) < 1e-4f) {
      ++greys;
    } else {
      CHECK(fabsf(in[0] - 128.0f / 255) < 1e-5f && fabsf(in[2] - 0.2f) < 1e-5f);
    }

    o = none;
    o.noise = 0.5f;
    o.noise_sigma = 0.05f;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    mean_and_deviation(in, 1, &mean, &deviation);
    CHECK(fabs(mean - 0.4) < 0.003 && deviation < 0.0515);
    noisy += deviation > 1e-6;
    if (deviation > largest) largest = deviation;

    o = none;
    o.occlude = 0.5f;
    o.occlude_count = 1;
    o.occlude_size = 0.4f;
    memset(pixels, 0, 3); /* one dark corner of the frame, outside the crop */
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    mean_and_deviation(in, 1, &mean, &deviation);
    if (deviation > 1e-6) {
      size_t i, changed = 0;
      for (i = 0; i < CROP * CROP; ++i) changed += fabsf(in[4 * i + 1] - 0.4f) > 1e-5f;
      CHECK(changed <= (size_t)(0.41f * 0.41f * CROP * CROP));
      ++covered;
    }
    CHECK(weight[0] == 1 && weight[4] == 1);
  }
  CHECK(low > 0.699f && low < 0.73f && high < 1.301f && high > 1.27f);
  CHECK(greys > 70 && greys < 130);
  CHECK(noisy > 70 && noisy < 130 && largest > 0.045);
  CHECK(covered > 25 && covered < 75); /* half of the occluders have the picture's own colour */
}

static void hue_turns_colours(const character *ch) {
  static uint8_t pixels[FRAME_WIDTH * FRAME_HEIGHT * 3];
  static float in[CROP * CROP * 4];
  float own[10], points[10], weight[5];
  uint8_t flags[10];
  frame f = flat_frame(pixels, 153, 102, 102, own, flags);
  augment_options o;
  uint64_t seed;
  int both = 0;
  memset(&o, 0, sizeof o);
  o.hue = 60;
  for (seed = 0; seed < 100; ++seed) {
    /* Red (0.6, 0.4, 0.4) turns towards green or blue, at most by 60 degrees. */
    double a, b, angle;
    augment_sample(&f, ch, &o, rng_seed(2, 0, seed), CROP, CROP, no_mean, no_scale, in, points, weight);
    a = (2 * (double)in[0] - (double)in[1] - (double)in[2]) / sqrt(6.0);
    b = ((double)in[1] - (double)in[2]) / sqrt(2.0);
    angle = atan2(b, a) * 57.29577951308232;
    CHECK(fabs(angle) < 60.01 && fabs(hypot(a, b) - 0.2 * sqrt(2.0 / 3)) < 1e-4);
    both |= angle > 50 ? 1 : angle < -50 ? 2 : 0;
  }
  CHECK(both == 3);
}

static void blur_spreads_and_keeps(const dataset *ds, const character *ch) {
  static float plain[CROP * CROP * 4], soft[CROP * CROP * 4];
  float points[10], weight[5];
  augment_options o;
  double mean, deviation, soft_mean, soft_deviation, widest = 0;
  uint64_t seed;
  memset(&o, 0, sizeof o);
  augment_sample(&ds->frames[1], ch, &o, 5, CROP, CROP, no_mean, no_scale, plain, points, weight);
  mean_and_deviation(plain, 0, &mean, &deviation);
  o.blur = 1;
  o.blur_sigma = 4; /* of 128: 3 pixels here */
  for (seed = 0; seed < 30; ++seed) {
    double peak = 0, spread;
    size_t i;
    augment_sample(&ds->frames[1], ch, &o, rng_seed(4, 0, seed), CROP, CROP, no_mean, no_scale, soft, points, weight);
    mean_and_deviation(soft, 0, &soft_mean, &soft_deviation);
    CHECK(fabs(soft_mean - mean) < 1e-4 * mean && soft_deviation <= deviation * 1.000001);
    for (i = 0; i < CROP * CROP; ++i) peak = (double)soft[4 * i] > peak ? (double)soft[4 * i] : peak;
    /* A Gaussian's volume is 2 pi sigma^2 times its peak: the variance the blur has added. */
    spread = soft_mean * CROP * CROP / (6.283185307179586 * peak) - 2.5 * 2.5 * (CROP / 168.0) * (CROP / 168.0);
    if (spread > widest) widest = spread;
  }
  CHECK(widest < 9.5 && widest > 7.5);
}

/* A ramp stays what it is under a symmetric kernel, across all seams of the work; only the edges of the picture bend. */
static void blur_leaves_ramps(const character *ch) {
  static uint8_t pixels[FRAME_WIDTH * FRAME_HEIGHT * 3];
  static float plain[200 * 150 * 4], soft[200 * 150 * 4];
  float own[10], points[10], weight[5], worst = 0;
  uint8_t flags[10];
  frame f = flat_frame(pixels, 0, 0, 0, own, flags);
  augment_options o;
  uint32_t x, y, k;
  for (y = 0; y < FRAME_HEIGHT; ++y) {
    for (x = 0; x < FRAME_WIDTH; ++x) {
      pixels[(y * FRAME_WIDTH + x) * 3] = (uint8_t)x;
      pixels[(y * FRAME_WIDTH + x) * 3 + 1] = (uint8_t)y;
      pixels[(y * FRAME_WIDTH + x) * 3 + 2] = (uint8_t)((x + y) / 2);
    }
  }
  memset(&o, 0, sizeof o);
  augment_sample(&f, ch, &o, 1, 200, 150, no_mean, no_scale, plain, points, weight);
  o.blur = 1;
  o.blur_sigma = 2;
  augment_sample(&f, ch, &o, 1, 200, 150, no_mean, no_scale, soft, points, weight);
  CHECK(memcmp(plain, soft, sizeof plain) != 0);
  for (y = 25; y < 125; ++y) {
    for (x = 25; x < 175; ++x) {
      for (k = 0; k < 2; ++k) {
        float d = fabsf(plain[(y * 200 + x) * 4 + k] - soft[(y * 200 + x) * 4 + k]);
        if (!(d <= worst)) worst = d;
      }
    }
  }
  CHECK(worst < 1e-5f, "worst %g", (double)worst);
}

static void weights_tell_what_is_known(const character *ch) {
  static uint8_t pixels[FRAME_WIDTH * FRAME_HEIGHT * 3];
  static float in[16 * 16 * 4];
  float own[10], points[10], weight[5];
  uint8_t flags[10];
  frame f = flat_frame(pixels, 1, 2, 3, own, flags);
  augment_options o;
  memset(&o, 0, sizeof o);
  flags[0] = 0;
  flags[5 + 0] = 1; /* l0 is hidden */
  flags[4] = 0;     /* the tip is unknown */
  o.flip = 1;
  augment_sample(&f, ch, &o, 1, 16, 16, no_mean, no_scale, in, points, weight);
  CHECK(weight[3] == 0 && weight[0] == 1 && weight[4] == 0 && weight[1] == 1);
  o.hidden_weight = 0.25f;
  augment_sample(&f, ch, &o, 1, 16, 16, no_mean, no_scale, in, points, weight);
  CHECK(weight[3] == 0.25f && weight[0] == 1 && weight[4] == 0);
  CHECK(points[8] == 0.5f && points[9] == 0.5f); /* finite where nothing is known */
}

static void rng_is_even(void) {
  rng r = {rng_seed(1, 2, 3)};
  double sum = 0, normal = 0, squares = 0;
  uint32_t count[7] = {0}, i;
  for (i = 0; i < 70000; ++i) {
    float u = rng_uniform(&r), n = rng_normal(&r);
    CHECK(u >= 0 && u < 1);
    sum += (double)u;
    normal += (double)n;
    squares += (double)n * (double)n;
    ++count[rng_below(&r, 7)];
  }
  CHECK(fabs(sum / 70000 - 0.5) < 0.005 && fabs(normal / 70000) < 0.02 && fabs(squares / 70000 - 1) < 0.03);
  for (i = 0; i < 7; ++i) CHECK(count[i] > 9600 && count[i] < 10400);
  CHECK(rng_seed(1, 2, 3) != rng_seed(1, 3, 2) && rng_seed(1, 2, 3) != rng_seed(2, 2, 3) && rng_seed(0, 0, 0) != 0);
}

static void augmentation(void) {
  character ch;
  dataset ds;
  uint32_t i;
  load_small(&ch);
  make_folder("dots");
  for (i = 0; i < 5; ++i) write_dot_frame(in_root("dots"), i);
  CHECK(dataset_load(in_root("dots"), &ch, &ds, message) == 0 && dataset_cache(&ds, NULL, NULL, message) == 0);
  CHECK(ds.frame_count == 5);
  if (ds.frame_count == 5) {
    landmarks_follow_the_picture(&ds, &ch);
    geometry_uses_its_ranges(&ds, &ch);
    flip_twice_is_identity(&ds, &ch);
    same_seed_same_bytes(&ds, &ch);
    none_is_the_runtime_crop(&ds, &ch);
    blur_spreads_and_keeps(&ds, &ch);
  }
  colours_change_as_told(&ch);
  hue_turns_colours(&ch);
  blur_leaves_ramps(&ch);
  weights_tell_what_is_known(&ch);
  dataset_free(&ds);
  character_free(&ch);
}

/* ---- shared data ---- */

/* How well the mirrored mean shape, renamed by the template's flips, fits the mean shape after the best affine map: root mean
 * square distance over the shape's width. */
static double mirror_error(const dataset *ds, const character *ch) {
  double(*mean)[3] = calloc(ch->landmark_count, sizeof *mean), a[3][3] = {{0}}, b[3][2] = {{0}}, error = 0;
  double low = 1e9, high = -1e9;
  size_t i, count = 0;
  uint32_t k, r, c;
  for (i = 0; i < ds->frame_count; ++i) {
    const frame *f = &ds->frames[i];
    if (!f->points) continue;
    for (k = 0; k < ch->landmark_count; ++k) {
      if (!f->valid[k]) continue;
      mean[k][0] += (double)((f->points[2 * k] - f->box.x) / f->box.width);
      mean[k][1] += (double)((f->points[2 * k + 1] - f->box.y) / f->box.width);
      ++mean[k][2];
    }
  }
  for (k = 0; k < ch->landmark_count; ++k) {
    if (mean[k][2] == 0) continue;
    mean[k][0] /= mean[k][2];
    mean[k][1] /= mean[k][2];
    low = fmin(low, mean[k][0]);
    high = fmax(high, mean[k][0]);
  }
  for (k = 0; k < ch->landmark_count; ++k) { /* normal equations of the affine map */
    const double *from = mean[ch->landmarks[k].flip], *to = mean[k];
    const double u[3] = {-from[0], from[1], 1};
    if (from[2] == 0 || to[2] == 0) continue;
    for (r = 0; r < 3; ++r) {
      for (c = 0; c < 3; ++c) a[r][c] += u[r] * u[c];
      for (c = 0; c < 2; ++c) b[r][c] += u[r] * to[c];
    }
  }
  for (r = 0; r < 3; ++r) { /* Gauss and Jordan; the matrix is positive definite */
    double pivot = a[r][r];
    for (c = 0; c < 3; ++c) a[r][c] /= pivot;
    for (c = 0; c < 2; ++c) b[r][c] /= pivot;
    for (k = 0; k < 3; ++k) {
      double f = a[k][r];
      if (k == r) continue;
      for (c = 0; c < 3; ++c) a[k][c] -= f * a[r][c];
      for (c = 0; c < 2; ++c) b[k][c] -= f * b[r][c];
    }
  }
  for (k = 0; k < ch->landmark_count; ++k) {
    const double *from = mean[ch->landmarks[k].flip], *to = mean[k];
    if (from[2] == 0 || to[2] == 0) continue;
    for (c = 0; c < 2; ++c) {
      double d = b[0][c] * -from[0] + b[1][c] * from[1] + b[2][c] - to[c];
      error += d * d;
    }
    ++count;
  }
  free(mean);
  return count > 3 ? sqrt(error / (double)count) / (high - low) : 1;
}

static void shared_data(const char *folder) {
  static const struct {
    const char *name, *path;
    size_t frames, dropped, issues;
    double mirror;
  } sets[] = {
      {"faces68", "faces", 3129, 0, 0, 0.01},
      {"puppet27", "film", 520, 0, 23, 0.02}, /* the right brow behind a hand */
      {"lionel43", "lionel", 11, 6, 6, 0.05}, /* test and CG are other layouts */
      {"test28", "lionel/test", 3, 0, 0, 0.05},
      {"cg45", "lionel/CG", 3, 0, 0, 1}, /* three turned heads with most of one side hidden say nothing about a mirror */
  };
  size_t i, k;
  for (i = 0; i < sizeof sets / sizeof *sets; ++i) {
    character ch;
    dataset ds;
    char path[512];
    double error;
    CHECK(load_template(sets[i].name, &ch) == 0);
    snprintf(path, sizeof path, "%s/%s", folder, sets[i].path);
    CHECK(dataset_load_annotations(path, &ch, &ds, message) == 0);
    printf("%s: %zu frames, %zu dropped, %zu entries; ", path, ds.frame_count, ds.dropped_count, ds.issue_count);
    CHECK(ds.frame_count == sets[i].frames && ds.dropped_count == sets[i].dropped && ds.issue_count == sets[i].issues);
    error = mirror_error(&ds, &ch);
    printf("mirrored mean shape off by %.4f of its width\n", error);
    CHECK(error <= sets[i].mirror);
    for (k = 0; k < ds.issue_count; ++k) {
      if (!ds.issues[k].dropped) CHECK(strstr(ds.issues[k].reason, "shape right_eyebrow is missing") != NULL);
    }
    for (k = 0; k < ds.frame_count; ++k) { /* vertices are landmarks */
      const frame *f = &ds.frames[k];
      uint32_t s, v, wrong = 0;
      for (s = 0; s < f->shape_count; ++s) {
        const roto_shape *shape = &ch.shapes[character_find_shape(&ch, f->shapes[s].name)];
        for (v = 0; v < f->shapes[s].segment_count; ++v) {
          int32_t p = shape->vertices[v];
          if (p < 0) continue;
          wrong += f->points[2 * p] != f->shapes[s].segments[v].x[0] || f->points[2 * p + 1] != f->shapes[s].segments[v].y[0];
        }
      }
      CHECK(wrong == 0);
    }
    dataset_free(&ds);
    character_free(&ch);
  }
}

int main(int argc, char **argv) {
  const char *data = NULL;
  char path[512];
  int i;
  scratch_start();
  json_errors_have_a_place();
  character_is_read_and_written();
  character_mistakes_are_named();
  templates_are_valid();
  dataset_reads_every_layout();
  dataset_names_what_it_drops();
  dataset_caches_what_is_needed();
  rng_is_even();
  augmentation();
  scratch_end();
  for (i = 1; i < argc; ++i) {
    struct stat info;
    snprintf(path, sizeof path, "%s/film", argv[i]);
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) data = argv[i];
  }
  if (data) {
    shared_data(data);
  } else {
    SKIP("folder of shared data (give it as an argument)");
  }
  return check_end("data");
}
