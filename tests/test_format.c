/* The model format: reader, writer, example files and specification against each other.
 *
 * Every invalid file must be refused with exactly its status and rule; every valid one must load, read back as it was
 * described and reproduce its self-test on each instruction set.  Damaged files (each byte changed, each length cut, numbers
 * overwritten) may be refused or may load, and if they load they must run, without touching a byte outside the file: files are
 * placed so that they end where an unreadable page begins, and start at every alignment.
 *
 * Run from the top folder; the argument is a folder for files of this test's own. */

#define ROTO_IMPLEMENTATION
#include "../roto.h"

/* The generator of the examples, whole: it is run again, and its descriptions are what the reader must read back. */
int make_models_main(int argc, char **argv);
#define main make_models_main
#include "make_models.c"
#undef main

#include "check.h"

#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *scratch = "build";

/* ---- files ---- */

typedef struct contents {
  unsigned char *bytes;
  size_t size;
} contents;

static contents read_whole(const char *file_name) {
  contents file = {NULL, 0};
  FILE *in = fopen(file_name, "rb");
  if (!in) return file;
  file.bytes = malloc(1 << 20);
  if (file.bytes) file.size = fread(file.bytes, 1, 1 << 20, in);
  fclose(in);
  return file;
}

static contents read_valid(const char *name) {
  char file_name[1024];
  contents file;
  snprintf(file_name, sizeof file_name, "model_format/valid/%s.roto", name);
  file = read_whole(file_name);
  if (file.size == 0) die(file_name, "cannot be read; run the test from the top folder of the project");
  return file;
}

/* A copy of `size` bytes that ends `slack` bytes before an unreadable page.  The next call overwrites it. */
static unsigned char *place(const unsigned char *bytes, size_t size, size_t slack) {
  enum { ROOM = 1 << 18 };
  static unsigned char *room;
  if (!room) {
    room = mmap(NULL, ROOM + 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED || mprotect(room + ROOM, 65536, PROT_NONE) != 0) die("mmap", strerror(errno));
  }
  if (size + slack > ROOM) die("place", "the file is larger than ROOM");
  memcpy(room + ROOM - slack - size, bytes, size);
  return room + ROOM - slack - size;
}

/* ---- damage ---- */

/* Load; what loads must also run.  Returns 1 if it loaded.  Counts only what goes wrong: it is called a million times. */
static int survives(const unsigned char *bytes, size_t size) {
  roto_error error;
  roto_options options;
  roto_session_options session_options;
  roto_model *opened;
  roto_session *session;
  roto_status status;
  memset(&options, 0, sizeof options);
  memset(&session_options, 0, sizeof session_options);
  memset(&error, 0, sizeof error);
  options.error = &error;
  session_options.parallel.threads = 1;
  status = roto_open(bytes, size, &options, &opened);
  if (status != ROTO_OK) {
    int explained = opened == NULL && error.status == status &&
                    (status == ROTO_ERR_MEMORY || status == ROTO_ERR_LIMIT || error.rule > 0) && error.rule < ROTO_RULE_END &&
                    error.offset <= size;
    if (!explained) CHECK(explained);
    return 0;
  }
  if (roto_get_info(opened)->multiply_adds < 10000000 && roto_session_size(opened) < (8 << 20)) {
    status = roto_session_create(opened, &session_options, &session);
    if (status == ROTO_OK) {
      status = roto_selftest(session, NULL);
      if (status != ROTO_OK && status != ROTO_ERR_SELFTEST) CHECK(status == ROTO_ERR_SELFTEST);
      roto_session_free(session);
    }
  }
  roto_close(opened);
  return 1;
}

static void format_survives_changed_bytes(void) {
  for (size_t k = 0; k < COUNT(valid); k++) {
    contents file = read_valid(valid[k].name);
    unsigned char *copy = place(file.bytes, file.size, 0);
    static const unsigned char changes[] = {0xff, 0x01, 0x80};
    size_t loaded = 0, refused = 0;
    for (size_t at = 0; at < file.size; at++)
      for (size_t c = 0; c < COUNT(changes); c++) {
        copy[at] = (unsigned char)(copy[at] ^ changes[c]);
        if (survives(copy, file.size)) {
          loaded++;
        } else {
          refused++;
        }
        copy[at] = file.bytes[at];
      }
    CHECK(loaded > 0);              /* changed weights, pixels, letters */
    CHECK(refused > file.size / 4); /* most of the rest */
    CHECK(survives(copy, file.size));
    free(file.bytes);
  }
}

static void format_survives_overwritten_numbers(void) {
  static const uint64_t numbers[] = {0,          1,          2,          3,          64,         0x7fffffff,         0x80000000,
                                     0xfffffffe, 0xffffffff, 0x10000,    0x7fc00000, 0x40000000, 0x3fffffffffffffff, ~0ull,
                                     ~63ull,     1ull << 63, 1ull << 32, 1ull << 62};
  random_state = 1;
  for (size_t k = 0; k < COUNT(valid); k++) {
    contents file = read_valid(valid[k].name);
    size_t refused = 0;
    for (int round = 0; round < 20000; round++) {
      unsigned char *copy = place(file.bytes, file.size, 0);
      for (uint32_t change = random_bits() % 3 + 1; change > 0; change--) {
        uint64_t number = numbers[random_bits() % COUNT(numbers)];
        size_t bytes = random_bits() % 4 ? 4 : 8, at = random_bits() % (file.size - bytes) / 4 * 4;
        for (size_t i = 0; i < bytes; i++) copy[at + i] = (unsigned char)(number >> 8 * i);
      }
      refused += !survives(copy, file.size);
    }
    CHECK(refused > 1000);
    free(file.bytes);
  }
}

static void format_refuses_every_truncation(void) {
  for (size_t k = 0; k < COUNT(valid); k++) {
    contents file = read_valid(valid[k].name);
    size_t loaded = 0;
    for (size_t size = 0; size < file.size; size++) {
      unsigned char *copy = place(file.bytes, size, 0);
      loaded += (size_t)survives(copy, size);
      if (size < ROTO_HEADER_SIZE) continue;
      for (size_t i = 0; i < 8; i++) copy[ROTO_HEADER_FILE_SIZE + i] = (unsigned char)(size >> 8 * i);
      loaded += (size_t)survives(copy, size);
    }
    CHECK(loaded == 0);
    free(file.bytes);
  }
}

/* ---- examples ---- */

static roto_status status_of(const char *name) {
#define STATUS_OF(status, value, text) \
  if (strcmp(name, #status) == 0) return status;
  ROTO_STATUS_LIST(STATUS_OF)
#undef STATUS_OF
  return ROTO_OK;
}

static void format_refuses_invalid_files(void) {
  char line[512], name[256], status_name[64], file_name[512];
  int seen[ROTO_RULE_END] = {0}, listed = 0, present = 0;
  unsigned rule;
  FILE *list = fopen("model_format/invalid/index.txt", "r");
  DIR *directory = opendir("model_format/invalid");
  if (!list || !directory) die("model_format/invalid", "cannot be read; run the test from the top folder of the project");
  while (fgets(line, sizeof line, list)) {
    contents file;
    roto_options options;
    roto_error error;
    roto_model *opened;
    roto_status status, expected;
    int as_listed;
    if (sscanf(line, "%255s %63s %u", name, status_name, &rule) != 3) die(line, "is not `file status rule`");
    expected = status_of(status_name);
    snprintf(file_name, sizeof file_name, "model_format/invalid/%s", name);
    file = read_whole(file_name);
    memset(&options, 0, sizeof options);
    memset(&error, 0, sizeof error);
    options.error = &error;
    status = roto_open(place(file.bytes, file.size, (size_t)listed % 8), file.size, &options, &opened);
    as_listed = expected != ROTO_OK && status == expected && error.status == status && error.rule == rule && !opened;
    CHECK(as_listed, "%s: status %d, rule %u", file_name, (int)status, (unsigned)error.rule);
    if (rule < ROTO_RULE_END) seen[rule] = 1;
    listed++;
    free(file.bytes);
  }
  for (rule = 1; rule < ROTO_RULE_END; rule++)
    CHECK(seen[rule], "no invalid file breaks rule R%u; add one in make_models.c", rule);
  for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
    present += strstr(entry->d_name, ".roto") != NULL;
  CHECK(listed == present);
  fclose(list);
  closedir(directory);
}

static void format_runs_valid_files(void) {
  for (size_t k = 0; k < COUNT(valid); k++)
    for (int isa = ROTO_ISA_SCALAR; isa <= (int)roto_best_isa(); isa++)
      for (size_t slack = 0; slack < 8; slack++) {
        contents file = read_valid(valid[k].name);
        roto_options options;
        roto_model *opened;
        roto_session *session;
        float difference = -1;
        memset(&options, 0, sizeof options);
        options.max_isa = (roto_isa)isa;
        CHECK(roto_open(place(file.bytes, file.size, slack), file.size, &options, &opened) == ROTO_OK);
        CHECK(roto_session_create(opened, NULL, &session) == ROTO_OK);
        CHECK(roto_selftest(session, &difference) == ROTO_OK);
        CHECK(difference >= 0 && difference <= 0.00001f);
        roto_session_free(session);
        roto_close(opened);
        free(file.bytes);
      }
}

/* Writer and reader share only roto_format.h: what goes in must come out. */
static void format_reads_back_what_was_written(void) {
  static model m;
  for (size_t k = 0; k < COUNT(valid); k++) {
    const roto_model_desc *d = &m.desc;
    unsigned char *bytes;
    size_t size;
    rotoi_file file;
    uint32_t i, slot, tensor = 0, vertex = 0;
    uint64_t floats = 0;
    int32_t vertices[64];
    valid[k].make(&m);
    CHECK(roto_write_model(d, &bytes, &size) == ROTO_OK);
    CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK);
    CHECK(strcmp(file.name, d->name) == 0 && strcmp(file.description, d->description) == 0);
    CHECK(file.input_width == d->input_width && file.input_height == d->input_height);
    CHECK(file.input_channels == d->input_channels && file.input_transfer == d->input_transfer);
    CHECK(memcmp(file.input_mean, d->input_mean, sizeof file.input_mean) == 0);
    CHECK(memcmp(file.input_scale, d->input_scale, sizeof file.input_scale) == 0);
    CHECK(!(file.crop_margin < d->crop_margin) && !(file.crop_margin > d->crop_margin));
    CHECK(file.landmark_count == d->landmark_count && file.part_count == d->part_count);
    CHECK(file.shape_count == d->shape_count && file.knot_count == d->knot_count && file.node_count == d->node_count);
    for (i = 0; i < d->landmark_count; i++) {
      roto_landmark landmark;
      rotoi_read_landmark(&file, i, &landmark);
      CHECK(strcmp(landmark.name, d->landmarks[i].name) == 0 && strcmp(landmark.rule, d->landmarks[i].rule) == 0);
      CHECK(landmark.part == d->landmarks[i].part && landmark.flip == d->landmarks[i].flip);
      CHECK(memcmp(&landmark.weight, &d->landmarks[i].weight, 4) == 0);
    }
    for (i = 0; i < d->part_count; i++) {
      roto_part part;
      rotoi_read_part(&file, i, &part);
      CHECK(strcmp(part.name, d->parts[i].name) == 0 && memcmp(&part.weight, &d->parts[i].weight, 4) == 0);
    }
    rotoi_read_vertices(&file, vertices);
    for (i = 0; i < d->shape_count; i++) {
      roto_shape shape;
      rotoi_read_shape(&file, i, vertices, &shape);
      CHECK(strcmp(shape.name, d->shapes[i].name) == 0 && shape.closed == d->shapes[i].closed);
      CHECK(shape.vertex_count == d->shapes[i].vertex_count && shape.vertices == vertices + vertex);
      CHECK(memcmp(shape.vertices, d->shapes[i].vertices, shape.vertex_count * sizeof *vertices) == 0);
      vertex += shape.vertex_count;
    }
    CHECK(file.vertex_count == vertex);
    for (i = 0; i < d->knot_count; i++) {
      roto_knot knot;
      rotoi_read_knot(&file, i, &knot.spread, &knot.error);
      CHECK(memcmp(&knot, &d->knots[i], sizeof knot) == 0);
    }
    for (i = 0; i < d->node_count; i++) {
      const roto_node_desc *n = &d->nodes[i];
      rotoi_node node;
      rotoi_read_node(&file, i, &node);
      CHECK(node.op == n->op && node.act == n->act && node.input_count == n->input_count);
      for (slot = 0; slot < ROTO_MAX_INPUTS; slot++)
        CHECK(node.inputs[slot] == (slot < n->input_count ? n->inputs[slot] : ROTO_NONE));
      CHECK(node.kh == n->kh && node.kw == n->kw && node.stride == n->stride);
      CHECK(node.pad_top == n->pad_top && node.pad_left == n->pad_left);
      CHECK(node.pad_bottom == n->pad_bottom && node.pad_right == n->pad_right);
      CHECK(node.h == n->h && node.w == n->w && node.c == n->c);
      CHECK(memcmp(&node.epsilon, &n->epsilon, 4) == 0 && node.channels_per_point == n->channels_per_point);
      for (slot = 0; slot < 4; slot++) {
        const unsigned char *data;
        uint64_t count, different = 0;
        CHECK(node.tensors[slot] == (n->tensors[slot] ? tensor : ROTO_NONE));
        if (!n->tensors[slot]) continue;
        data = rotoi_tensor(&file, tensor++, &count);
        CHECK(count == roto_tensor_count(d->nodes, i, slot) && (size_t)(data - bytes) % ROTO_FORMAT_ALIGN == 0);
        for (uint64_t f = 0; f < count; f++) {
          float value = rotoi_f32(data + 4 * f);
          different += memcmp(&value, n->tensors[slot] + f, 4) != 0;
        }
        CHECK(different == 0);
        floats += count;
      }
    }
    CHECK(file.tensor_count == tensor && file.parameter_count == floats);
    const roto_node_desc *last = &d->nodes[d->node_count - 1];
    CHECK(file.output_count == last->h * last->w * last->c);
    for (i = 0; i < file.output_count; i++) {
      float value = rotoi_test_output(&file, i);
      CHECK(memcmp(&value, d->test_output + i, 4) == 0);
    }
    CHECK(memcmp(file.test_pixels, d->test_pixels, (size_t)d->input_width * d->input_height * d->input_channels) == 0);
    CHECK(memcmp(&file.test_tolerance, &d->test_tolerance, 4) == 0);
    free(bytes);
  }
}

static void format_reads_back_shapes(void) {
  static model m;
  const unsigned char *at;
  unsigned char *bytes, *again;
  size_t size, again_size, length;
  rotoi_file file;
  make(&m, make_shapes);
  answer(&m);
  bytes = model_bytes(&m, &size);
  CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK && file.shape_net_count == m.shapes.network_count);
  at = file.shape_weights;
  for (uint32_t i = 0; i < m.shapes.network_count; i++) {
    const roto_shape_net_desc *d = &m.shapes.networks[i];
    rotoi_shape_net found;
    uint64_t different = 0;
    rotoi_read_shape_net(&file, i, &found);
    CHECK(found.landmarks == d->landmarks && found.vertices == d->vertices && found.places == d->places);
    CHECK(found.blocks == d->blocks && found.width == d->width && found.floats == roto_shape_net_floats(d));
    for (uint64_t k = 0; k < found.floats; k++, at += 4) {
      float value = rotoi_f32(at);
      different += memcmp(&value, d->floats + k, 4) != 0;
    }
    CHECK(different == 0);
  }
  CHECK(at == file.shape_tests);
  for (uint32_t i = 0; i < m.shapes.shape_count; i++) {
    const roto_shape_use_desc *d = &m.shapes.shapes[i];
    rotoi_shape_use use;
    rotoi_read_shape_use(&file, i, &use);
    CHECK(use.network == d->network && use.mirrored == d->mirrored && use.reversed == d->reversed && use.first == d->first);
  }
  /* Written again over themselves: the same file; the model within is the one without shapes, chunk by chunk. */
  CHECK(roto_write_shapes(bytes, size, &m.shapes, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  CHECK(roto_write_model(&m.desc, &again, &again_size) == ROTO_OK);
  for (uint32_t i = 0; i < ROTO_CHUNK_SHAP; i++) {
    size_t other;
    const unsigned char *chunk = roto_find_chunk(bytes, i, &length), *plain = roto_find_chunk(again, i, &other);
    CHECK(chunk && plain && length == other && memcmp(chunk, plain, length) == 0);
  }
  CHECK(roto_find_chunk(again, ROTO_CHUNK_SHAP, &length) == NULL && length == 0);
  free(again);
  free(bytes);
}

static void format_reads_back_looks(void) {
  static model m;
  rotoi_file file;
  size_t size, again_size, length, second_size;
  make(&m, make_looks);
  answer(&m);
  unsigned char *bytes = model_bytes(&m, &size), *again;
  CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK && file.look_count == 2 && file.shape_net_count == 2);
  for (uint32_t i = 0; i < file.landmark_count; i++) CHECK(rotoi_read_look(&file, i) == m.looks[i]);
  /* Shapes written anew keep the look, a look written anew keeps the shapes. */
  CHECK(roto_write_shapes(bytes, size, &m.shapes, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  const unsigned char *look = roto_find_chunk(bytes, ROTO_CHUNK_LOOK, &length);
  second_size = file.look_model_size;
  CHECK(look + length == file.look_model + second_size && length == 64 + second_size);
  CHECK(roto_write_look(bytes, size, m.looks, 2, file.look_model, second_size, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  CHECK(roto_write_look(bytes, size, NULL, 2, look, second_size, &again, &again_size) == ROTO_ERR_ARGUMENT && again == NULL);

  /* A second model of other landmarks, or that looks twice itself. */
  contents other = read_valid("dense");
  CHECK(roto_write_look(bytes, size, m.looks, 2, other.bytes, other.size, &again, &again_size) == ROTO_OK);
  roto_error error = {ROTO_OK, 0, 0, 0};
  CHECK(rotoi_parse(again, again_size, &file, &error) == ROTO_ERR_INVALID && error.rule == ROTO_RULE_LOOK_MODEL);
  free(again);
  free(other.bytes);
  CHECK(roto_write_look(bytes, size, m.looks, 2, bytes, size, &again, &again_size) == ROTO_OK);
  CHECK(rotoi_parse(again, again_size, &file, &error) == ROTO_ERR_INVALID && error.rule == ROTO_RULE_LOOK_MODEL);
  free(again);
  free(bytes);
}

static void format_reads_back_contours(void) {
  static model m;
  unsigned char *bytes, *plain, *again;
  size_t size, plain_size, again_size;
  rotoi_file file;
  make(&m, make_contours);
  answer(&m);
  bytes = model_bytes(&m, &size);
  CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK && file.contour_count == 2 && file.ranges && file.look_count == 2);
  for (uint32_t i = 0, at = 0; i < 2; i++) {
    CHECK(rotoi_u32(file.contour_sizes + 4 * i) == m.contours[i].landmark_count);
    for (uint32_t k = 0; k < m.contours[i].landmark_count; k++, at++)
      CHECK(rotoi_u32(file.contour_landmarks + 4 * at) == m.contours[i].landmarks[k]);
    const unsigned char *filters = file.contour_filters + 4 * (size_t)i * ROTO_CONTOUR_PLACES * ROTO_CONTOUR_FLOATS;
    for (size_t k = 0; k < ROTO_CONTOUR_PLACES; k++)
      for (size_t n = 0; n < ROTO_CONTOUR_FLOATS; n++)
        CHECK(rotoi_f32(filters + 4 * (k * ROTO_CONTOUR_FLOATS + n)) == m.filters[i][k][n]);
  }
  /* Written over themselves, or copied into the model without them: the same file. */
  CHECK(roto_write_contours(bytes, size, m.contours, 2, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  m.contour_count = 0;
  plain = model_bytes(&m, &plain_size);
  CHECK(plain_size < size && roto_copy_chunk(plain, plain_size, bytes, ROTO_CHUNK_CONT, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  CHECK(roto_copy_chunk(bytes, size, plain, ROTO_CHUNK_CONT, &again, &again_size) == ROTO_ERR_ARGUMENT && !again);
  CHECK(roto_write_contours(bytes, size, NULL, 2, &again, &again_size) == ROTO_ERR_ARGUMENT && !again);
  m.contours[0].landmark_count = ROTO_MAX_CONTOUR_LANDMARKS + 1;
  CHECK(roto_write_contours(bytes, size, m.contours, 2, &again, &again_size) == ROTO_ERR_LIMIT && !again);
  free(plain);
  free(bytes);
}

static void format_reads_back_ranges(void) {
  static model m;
  unsigned char *bytes, *again;
  size_t size, again_size;
  rotoi_file file;
  make(&m, make_ranges);
  answer(&m);
  bytes = model_bytes(&m, &size);
  CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK && file.ranges && file.range_tolerance == 0.05f);
  for (uint32_t i = 0; i < file.node_count; i++) {
    float low, high;
    rotoi_read_range(&file, i, &low, &high);
    CHECK(low == m.ranges[i][0] && high == m.ranges[i][1]);
  }
  /* Written over themselves: the same file. */
  CHECK(roto_write_ranges(bytes, size, (const float(*)[2])m.ranges, file.node_count, 0.05f, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  CHECK(roto_write_ranges(bytes, size, NULL, file.node_count, 0.05f, &again, &again_size) == ROTO_ERR_ARGUMENT && !again);
  free(bytes);
}

static void format_reads_back_a_distribution(void) {
  static model m;
  unsigned char *bytes, *plain, *again;
  size_t size, plain_size, again_size;
  rotoi_file file;
  make(&m, make_distribution);
  answer(&m);
  bytes = model_bytes(&m, &size);
  const roto_distribution_desc *d = &m.distribution;
  CHECK(rotoi_parse(bytes, size, &file, NULL) == ROTO_OK && file.component_count == 2 && file.contour_count == 2);
  CHECK(file.distribution_deviation == d->deviation);
  for (size_t i = 0; i < 2 * (size_t)file.landmark_count; i++) {
    CHECK(rotoi_f32(file.distribution_mean + 4 * i) == d->mean[i]);
    for (size_t k = 0; k < 2; k++) {
      size_t at = 2 * file.landmark_count * k + i;
      CHECK(rotoi_f32(file.distribution_components + 4 * at) == d->components[at]);
    }
  }
  CHECK(roto_write_distribution(bytes, size, d, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  roto_distribution_desc none = {d->mean, NULL, 2, 1}, many = {d->mean, d->components, ROTO_MAX_COMPONENTS + 1, 1};
  m.distribution.component_count = 0;
  plain = model_bytes(&m, &plain_size);
  CHECK(plain_size < size && roto_copy_chunk(plain, plain_size, bytes, ROTO_CHUNK_DIST, &again, &again_size) == ROTO_OK);
  CHECK(again_size == size && memcmp(again, bytes, size) == 0);
  free(again);
  CHECK(roto_copy_chunk(bytes, size, plain, ROTO_CHUNK_DIST, &again, &again_size) == ROTO_ERR_ARGUMENT && !again);
  CHECK(roto_write_distribution(bytes, size, &none, &again, &again_size) == ROTO_ERR_ARGUMENT && !again);
  CHECK(roto_write_distribution(bytes, size, &many, &again, &again_size) == ROTO_ERR_LIMIT && !again);
  free(plain);
  free(bytes);
}

static void format_counts_multiply_adds(void) {
  static const uint64_t expected[] = {
      6 * 8 * 3 * 5 + 6 * 8 * 9 * 5 + 5 * 5 + 3 * 4 * 10 * 5 + 6 * 8 * 5 * 6, /* all */
      3 * 3 * 27 * 5,                                                         /* bare */
      4 * 3 * 9 * 3 * 5 + 4 * 3 * 5 * 6,                                      /* dense */
      6 * 9 * 9 * 1 * 2,                                                      /* heat */
      4 * 4 * 16 * 4 * 6,                                                     /* offsets */
      2 * 3 * 9 * 3 * 4 + 2 * 3 * 4 * 12,                                     /* looks: of the first look alone */
      2 * 3 * 9 * 3 * 4 + 2 * 3 * 4 * 12,                                     /* ranges */
      2 * 3 * 9 * 3 * 4 + 2 * 3 * 4 * 12,                                     /* shapes: of the landmarks alone */
      2 * 3 * 9 * 3 * 4 + 2 * 3 * 4 * 12,                                     /* contours */
      2 * 3 * 9 * 3 * 4 + 2 * 3 * 4 * 12,                                     /* distribution */
  };
  for (size_t k = 0; k < COUNT(valid); k++) {
    contents file = read_valid(valid[k].name);
    rotoi_file view;
    CHECK(rotoi_parse(file.bytes, file.size, &view, NULL) == ROTO_OK && view.multiply_adds == expected[k]);
    free(file.bytes);
  }
}

static int same_files(const char *a, const char *b) {
  contents x = read_whole(a), y = read_whole(b);
  int same = x.bytes && y.bytes && x.size == y.size && (x.size == 0 || memcmp(x.bytes, y.bytes, x.size) == 0);
  free(x.bytes);
  free(y.bytes);
  return same;
}

static void format_examples_are_what_make_models_makes(void) {
  static char program[] = "make_models", target[1024];
  char *arguments[] = {program, target, NULL}, made[2048], kept[2048];
  snprintf(target, sizeof target, "%s/model_format", scratch);
  if (mkdir(target, 0777) != 0 && errno != EEXIST) die(target, strerror(errno));
  CHECK(make_models_main(2, arguments) == 0);
  for (int i = 0; i < 2; i++) {
    const char *subfolder = i ? "invalid" : "valid";
    DIR *directory;
    snprintf(kept, sizeof kept, "model_format/%s", subfolder);
    directory = opendir(kept);
    if (!directory) die(kept, strerror(errno));
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
      if (entry->d_name[0] == '.') continue;
      snprintf(kept, sizeof kept, "model_format/%s/%s", subfolder, entry->d_name);
      snprintf(made, sizeof made, "%s/%s/%s", target, subfolder, entry->d_name);
      CHECK(same_files(made, kept), "%s and %s differ; run make_models model_format and commit", made, kept);
    }
    closedir(directory);
  }
}

static void format_is_specified(void) {
  contents text = read_whole("model_format/SPEC.md");
  char row[512];
  CHECK(text.size > 0 && text.size < (1 << 20));
  text.bytes[text.size] = 0;
#define FIND_RULE(number, name, status, sentence)                   \
  snprintf(row, sizeof row, "\n| R%d | %s |", number, #status);     \
  CHECK(strstr((char *)text.bytes, row) != NULL);                   \
  CHECK(strstr((char *)text.bytes, " | " sentence " |\n") != NULL); \
  CHECK(strcmp(roto_rule_text(number), sentence) == 0);
  ROTO_RULE_LIST(FIND_RULE)
#undef FIND_RULE
  snprintf(row, sizeof row, "\n| R%d |", ROTO_RULE_END);
  CHECK(strstr((char *)text.bytes, row) == NULL);
  free(text.bytes);
}

/* ---- memory and files ---- */

/* An allocator that fails once, at the call `fail_at`. */
typedef struct failing_memory {
  int calls, fail_at, live;
} failing_memory;

static void *failing_alloc(void *user, size_t size) {
  failing_memory *memory = user;
  void *block = memory->calls++ == memory->fail_at ? NULL : malloc(size);
  memory->live += block != NULL;
  return block;
}

static void failing_free(void *user, void *block) {
  failing_memory *memory = user;
  memory->live -= block != NULL;
  free(block);
}

static void format_survives_lack_of_memory(const char *name) {
  contents file = read_valid(name);
  int fail_at = 0, succeeded = 0;
  for (; !succeeded && fail_at < 1000; fail_at++) {
    failing_memory memory = {0, fail_at, 0};
    roto_options options;
    roto_session_options session_options;
    roto_model *opened;
    roto_session *session = NULL;
    roto_status status;
    memset(&options, 0, sizeof options);
    memset(&session_options, 0, sizeof session_options);
    options.allocator.alloc = failing_alloc;
    options.allocator.free = failing_free;
    options.allocator.user = &memory;
    session_options.allocator = options.allocator;
    status = roto_open(file.bytes, file.size, &options, &opened);
    CHECK((status == ROTO_OK) == (opened != NULL));
    if (status == ROTO_OK) {
      status = roto_session_create(opened, &session_options, &session);
      CHECK((status == ROTO_OK) == (session != NULL));
    }
    succeeded = memory.calls <= fail_at;
    CHECK(status == (succeeded ? ROTO_OK : ROTO_ERR_MEMORY));
    if (succeeded) CHECK(roto_selftest(session, NULL) == ROTO_OK);
    roto_session_free(session);
    roto_close(opened);
    CHECK(memory.live == 0);
  }
  CHECK(succeeded && fail_at > 3);
  free(file.bytes);
}

static void writer_refuses_bad_descriptions(void) {
  static model m;
  unsigned char *bytes = (unsigned char *)&m;
  size_t size = 1;
  make_all(&m);
  m.desc.landmarks = NULL;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL && size == 0);
  make_all(&m);
  m.nodes[7].inputs[1] = 7;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_all(&m);
  m.nodes[2].tensors[3] = NULL;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_all(&m);
  m.nodes[7].tensors[0] = m.weights;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_all(&m);
  m.nodes[1].kh = ROTO_MAX_KERNEL + 1;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_LIMIT && bytes == NULL);
  make_all(&m);
  m.desc.landmark_count = ROTO_MAX_LANDMARKS + 1;
  CHECK(roto_write_model(&m.desc, &bytes, &size) == ROTO_ERR_LIMIT && bytes == NULL);

  contents file = read_valid("heat");
  make_shapes(&m);
  CHECK(roto_write_shapes(NULL, 0, &m.shapes, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL && size == 0);
  m.shape_uses[1].network = 2;
  CHECK(roto_write_shapes(file.bytes, file.size, &m.shapes, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_shapes(&m);
  m.shape_uses[1].landmarks = NULL;
  CHECK(roto_write_shapes(file.bytes, file.size, &m.shapes, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_shapes(&m);
  m.shape_nets[0].floats = NULL;
  CHECK(roto_write_shapes(file.bytes, file.size, &m.shapes, &bytes, &size) == ROTO_ERR_ARGUMENT && bytes == NULL);
  make_shapes(&m);
  m.shape_nets[1].width = ROTO_MAX_SHAPE_WIDTH + 16;
  CHECK(roto_write_shapes(file.bytes, file.size, &m.shapes, &bytes, &size) == ROTO_ERR_LIMIT && bytes == NULL);
  free(file.bytes);
}

static int count_entries(const char *folder_name) {
  DIR *directory = opendir(folder_name);
  int count = 0;
  if (!directory) return -1;
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

static void writer_replaces_files_whole(void) {
  char area[1024], target[2048];
  contents file;
  int entries;
  snprintf(area, sizeof area, "%s/writer", scratch);
  if (mkdir(area, 0777) != 0 && errno != EEXIST) die(area, strerror(errno));
  snprintf(target, sizeof target, "%s/file", area);
  CHECK(roto_write_file_atomic(target, "first", 5) == 0);
  entries = count_entries(area);
  CHECK(entries > 0);
  CHECK(roto_write_file_atomic(target, "second one", 10) == 0);
  file = read_whole(target);
  CHECK(file.size == 10 && memcmp(file.bytes, "second one", 10) == 0);
  free(file.bytes);
  CHECK(count_entries(area) == entries);

  snprintf(target, sizeof target, "%s/missing/file", area);
  CHECK(roto_write_file_atomic(target, "x", 1) == ENOENT);
  snprintf(target, sizeof target, "%s/folder", area);
  if (mkdir(target, 0777) != 0 && errno != EEXIST) die(target, strerror(errno));
  entries = count_entries(area);
  CHECK(roto_write_file_atomic(target, "x", 1) != 0); /* a folder cannot be replaced */
  CHECK(count_entries(area) == entries);
}

int main(int argc, char **argv) {
  if (argc > 1) scratch = argv[1];
  if (mkdir(scratch, 0777) != 0 && errno != EEXIST) die(scratch, strerror(errno));
  format_refuses_invalid_files();
  format_runs_valid_files();
  format_reads_back_what_was_written();
  format_reads_back_shapes();
  format_reads_back_looks();
  format_reads_back_ranges();
  format_reads_back_contours();
  format_reads_back_a_distribution();
  format_counts_multiply_adds();
  format_examples_are_what_make_models_makes();
  format_is_specified();
  format_survives_changed_bytes();
  format_survives_overwritten_numbers();
  format_refuses_every_truncation();
  format_survives_lack_of_memory("all");
  format_survives_lack_of_memory("shapes");
  writer_refuses_bad_descriptions();
  writer_replaces_files_whole();
  return check_end("format");
}
