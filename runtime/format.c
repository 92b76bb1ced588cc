/* The .roto reader: one pass that checks every rule of model_format/SPEC.md, then accessors that decode records where they
 * lie.
 *
 * Loading is validating; there is no unchecked way in.  After rotoi_parse succeeds every index, size and shape found in the
 * file is in range, so the parts below use what the accessors return without testing it again.  Nothing is allocated and
 * nothing is copied; the file may lie at any address, because all loads go through the byte loads of base.c.
 *
 * Two habits keep the checks short and complete.  The format leaves no freedom of layout (chunks, tensors and strings each
 * start where the one before ended), so one comparison excludes holes, overlap, disorder and overflow at once.  And every
 * number is compared with its limit before it is multiplied: the limits are such that no product of checked numbers
 * overflows 64 bits, and each place where it matters says so. */

#ifndef ROTOI_FORMAT
#define ROTOI_FORMAT

#include <string.h>

#include "api.h"
#include "../model_format/roto_format.h"
#include "config.c"
#include "base.c"

/* One node, decoded.  Unused inputs and tensors are ROTO_NONE; fields an operation does not use are 0. */
typedef struct rotoi_node {
  uint16_t op, act;
  uint32_t input_count, inputs[ROTO_MAX_INPUTS];
  uint32_t kh, kw, stride, pad_top, pad_left, pad_bottom, pad_right;
  uint32_t h, w, c;    /* of the result */
  uint32_t tensors[4]; /* CONV, DEPTHWISE, DENSE: weight, bias or ROTO_NONE; BATCHNORM: gamma, beta, mean, variance */
  float epsilon;
  uint32_t channels_per_point;
} rotoi_node;

/* One network that draws shapes, decoded.  Its layers: 2 * blocks of `width` outputs, the last one of `outputs`. */
typedef struct rotoi_shape_net {
  uint32_t landmarks, vertices, places, blocks, width;
  uint32_t outputs; /* 2 * places + 4 * vertices */
  uint64_t floats;  /* of all its layers */
} rotoi_shape_net;

/* How a shape of the template uses a network. */
typedef struct rotoi_shape_use {
  uint32_t network; /* ROTO_NONE: not at all */
  int mirrored, reversed;
  uint32_t first;
} rotoi_shape_use;

/* A validated file.  Pointers lead into it and live as long as its bytes. */
typedef struct rotoi_file {
  const char *name, *description;
  uint32_t input_width, input_height, input_channels;
  roto_transfer input_transfer;
  float input_mean[4], input_scale[4], crop_margin;
  uint32_t landmark_count, part_count, shape_count, vertex_count; /* vertices of all shapes */
  uint32_t knot_count, node_count, tensor_count;
  uint32_t shape_net_count;         /* 0: the model predicts no shapes */
  uint32_t output_count;            /* 2N or 3N; without landmarks any number */
  uint64_t parameter_count;         /* floats in all tensors */
  uint64_t multiply_adds;           /* of CONV, DEPTHWISE and DENSE */
  float test_tolerance;             /* largest absolute difference of one output */
  const unsigned char *test_pixels; /* u8 [input_height][input_width][input_channels] */
  /* Records and tables for the accessors below. */
  const unsigned char *landmarks, *parts, *shapes, *vertices, *knots, *nodes, *directory, *data, *test_outputs;
  const unsigned char *shape_nets, *shape_uses, *shape_landmarks, *shape_weights, *shape_tests;
  const unsigned char *looks;  /* u32 [landmark_count] */
  const unsigned char *ranges; /* of each node, for int8; NULL: none */
  float range_tolerance;       /* of the self-test in int8 */
  uint32_t contour_count;      /* 0: there are none */
  const unsigned char *contour_sizes, *contour_landmarks; /* u32: landmarks of each contour; these, one after the other */
  const unsigned char *contour_filters;                   /* f32 [contour_count][places][floats] */
  uint32_t component_count;                               /* 0: there is no distribution */
  float distribution_deviation;
  const unsigned char *distribution_mean, *distribution_components; /* f32 [landmark_count][2]; as many of these */
  const char *strings;
  uint32_t look_count;             /* 0: there is no second look */
  const unsigned char *look_model; /* the file of its model, valid too */
  size_t look_model_size;
} rotoi_file;

/* Check `size` bytes against every rule and fill the view.  On failure the view is zero and `err`, if not NULL, says which
 * rule was broken where. */
static roto_status rotoi_parse(const unsigned char *data, size_t size, rotoi_file *file, roto_error *err);

/* Accessors.  Indices must be below the counts of the view; the caller checks those that come from outside the file. */
static void rotoi_read_node(const rotoi_file *file, uint32_t index, rotoi_node *node);
/* A tensor's little-endian floats, at any alignment, and how many (`count` may be NULL). */
static const unsigned char *rotoi_tensor(const rotoi_file *file, uint32_t id, uint64_t *count);
static void rotoi_read_landmark(const rotoi_file *file, uint32_t index, roto_landmark *landmark);
static void rotoi_read_part(const rotoi_file *file, uint32_t index, roto_part *part);
/* All vertices of all shapes, vertex_count of them, and a shape that points into such an array. */
static void rotoi_read_vertices(const rotoi_file *file, int32_t *vertices);
static void rotoi_read_shape(const rotoi_file *file, uint32_t index, const int32_t *vertices, roto_shape *shape);
static void rotoi_read_knot(const rotoi_file *file, uint32_t index, float *spread, float *error); /* spreads ascend */
static float rotoi_test_output(const rotoi_file *file, uint32_t index);                           /* index < output_count */

static uint32_t rotoi_read_look(const rotoi_file *file,
                                uint32_t landmark); /* its look, or ROTO_NONE; only where look_count > 0 */

static void rotoi_read_shape_net(const rotoi_file *file, uint32_t index, rotoi_shape_net *net);
static void rotoi_read_shape_use(const rotoi_file *file, uint32_t shape, rotoi_shape_use *use);

static void rotoi_read_range(const rotoi_file *file, uint32_t node, float *low, float *high);

/* ---- accessors ---- */

static void rotoi_read_range(const rotoi_file *file, uint32_t node, float *low, float *high) {
  *low = rotoi_f32(file->ranges + ROTO_RANGE_SIZE * (size_t)node + ROTO_RANGE_LOW);
  *high = rotoi_f32(file->ranges + ROTO_RANGE_SIZE * (size_t)node + ROTO_RANGE_HIGH);
}

static void rotoi_read_node(const rotoi_file *file, uint32_t index, rotoi_node *node) {
  const unsigned char *record = file->nodes + (size_t)index * ROTO_NODE_SIZE;
  int i;
  node->op = rotoi_u16(record + ROTO_NODE_OP);
  node->act = rotoi_u16(record + ROTO_NODE_ACT);
  node->input_count = rotoi_u32(record + ROTO_NODE_INPUT_COUNT);
  for (i = 0; i < 4; i++) {
    node->inputs[i] = rotoi_u32(record + ROTO_NODE_INPUTS + 4 * i);
    node->tensors[i] = rotoi_u32(record + ROTO_NODE_TENSORS + 4 * i);
  }
  node->kh = rotoi_u32(record + ROTO_NODE_KERNEL);
  node->kw = rotoi_u32(record + ROTO_NODE_KERNEL + 4);
  node->stride = rotoi_u32(record + ROTO_NODE_STRIDE);
  node->pad_top = rotoi_u32(record + ROTO_NODE_PADS);
  node->pad_left = rotoi_u32(record + ROTO_NODE_PADS + 4);
  node->pad_bottom = rotoi_u32(record + ROTO_NODE_PADS + 8);
  node->pad_right = rotoi_u32(record + ROTO_NODE_PADS + 12);
  node->h = rotoi_u32(record + ROTO_NODE_SHAPE);
  node->w = rotoi_u32(record + ROTO_NODE_SHAPE + 4);
  node->c = rotoi_u32(record + ROTO_NODE_SHAPE + 8);
  node->epsilon = rotoi_f32(record + ROTO_NODE_EPSILON);
  node->channels_per_point = rotoi_u32(record + ROTO_NODE_PER_POINT);
}

static const unsigned char *rotoi_tensor(const rotoi_file *file, uint32_t id, uint64_t *count) {
  const unsigned char *record = file->directory + (size_t)id * ROTO_TENSOR_SIZE;
  if (count) *count = rotoi_u64(record + ROTO_TENSOR_COUNT);
  return file->data + (size_t)rotoi_u64(record + ROTO_TENSOR_OFFSET);
}

static void rotoi_read_landmark(const rotoi_file *file, uint32_t index, roto_landmark *landmark) {
  const unsigned char *record = file->landmarks + (size_t)index * ROTO_LANDMARK_SIZE;
  landmark->name = file->strings + rotoi_u32(record + ROTO_LANDMARK_NAME);
  landmark->rule = file->strings + rotoi_u32(record + ROTO_LANDMARK_RULE);
  landmark->part = rotoi_u32(record + ROTO_LANDMARK_PART);
  landmark->flip = rotoi_u32(record + ROTO_LANDMARK_FLIP);
  landmark->weight = rotoi_f32(record + ROTO_LANDMARK_WEIGHT);
}

static void rotoi_read_part(const rotoi_file *file, uint32_t index, roto_part *part) {
  const unsigned char *record = file->parts + (size_t)index * ROTO_PART_SIZE;
  part->name = file->strings + rotoi_u32(record + ROTO_PART_NAME);
  part->weight = rotoi_f32(record + ROTO_PART_WEIGHT);
}

static void rotoi_read_vertices(const rotoi_file *file, int32_t *vertices) {
  uint32_t i;
  for (i = 0; i < file->vertex_count; i++) {
    uint32_t vertex = rotoi_u32(file->vertices + 4 * (size_t)i);
    vertices[i] = vertex == ROTO_NONE ? -1 : (int32_t)vertex;
  }
}

static void rotoi_read_shape(const rotoi_file *file, uint32_t index, const int32_t *vertices, roto_shape *shape) {
  const unsigned char *record = file->shapes + (size_t)index * ROTO_SHAPE_SIZE;
  shape->name = file->strings + rotoi_u32(record + ROTO_SHAPE_NAME);
  shape->closed = (int)rotoi_u32(record + ROTO_SHAPE_CLOSED);
  shape->vertices = vertices + rotoi_u32(record + ROTO_SHAPE_FIRST);
  shape->vertex_count = rotoi_u32(record + ROTO_SHAPE_COUNT);
}

static void rotoi_read_knot(const rotoi_file *file, uint32_t index, float *spread, float *error) {
  const unsigned char *record = file->knots + (size_t)index * ROTO_KNOT_SIZE;
  *spread = rotoi_f32(record + ROTO_KNOT_SPREAD);
  *error = rotoi_f32(record + ROTO_KNOT_ERROR);
}

static float rotoi_test_output(const rotoi_file *file, uint32_t index) {
  return rotoi_f32(file->test_outputs + 4 * (size_t)index);
}

static uint32_t rotoi_read_look(const rotoi_file *file, uint32_t landmark) {
  return rotoi_u32(file->looks + 4 * (size_t)landmark);
}

static void rotoi_read_shape_net(const rotoi_file *file, uint32_t index, rotoi_shape_net *net) {
  const unsigned char *record = file->shape_nets + (size_t)index * ROTO_SHAPE_NET_SIZE;
  uint64_t points, width;
  net->landmarks = rotoi_u32(record + ROTO_SHAPE_NET_LANDMARKS);
  net->vertices = rotoi_u32(record + ROTO_SHAPE_NET_VERTICES);
  net->places = rotoi_u32(record + ROTO_SHAPE_NET_PLACES);
  net->blocks = rotoi_u32(record + ROTO_SHAPE_NET_BLOCKS);
  net->width = rotoi_u32(record + ROTO_SHAPE_NET_WIDTH);
  net->outputs = 2 * net->places + 4 * net->vertices;
  points = 2 * (uint64_t)net->landmarks;
  width = net->width;
  net->floats = width * (points + 1) + net->blocks * width * (width + 1) +
                (net->blocks - (uint64_t)1) * width * (width + points + 1) + net->outputs * (width + points + 1);
}

static void rotoi_read_shape_use(const rotoi_file *file, uint32_t shape, rotoi_shape_use *use) {
  const unsigned char *record = file->shape_uses + (size_t)shape * ROTO_SHAPE_USE_SIZE;
  use->network = rotoi_u32(record + ROTO_SHAPE_USE_NETWORK);
  use->mirrored = (int)rotoi_u32(record + ROTO_SHAPE_USE_MIRRORED);
  use->reversed = (int)rotoi_u32(record + ROTO_SHAPE_USE_REVERSED);
  use->first = rotoi_u32(record + ROTO_SHAPE_USE_FIRST);
}

/* Vertex of a shape of `count` that is vertex i < count of its network. */
static inline uint32_t rotoi_shape_turn(const rotoi_shape_use *use, uint32_t count, uint32_t i) {
  return (use->reversed ? use->first + count - i : use->first + i) % count;
}

/* ---- validation ----
 *
 * Each rotoi_check_ function covers one chunk or record and returns 1, or 0 after rotoi_refuse has noted the broken rule. */

typedef struct rotoi_parser {
  const unsigned char *data;
  size_t size;
  const unsigned char *begin[ROTO_CHUNK_COUNT], *end[ROTO_CHUNK_COUNT];
  rotoi_file *file;
  roto_error error;
} rotoi_parser;

static int rotoi_refuse(rotoi_parser *p, uint32_t rule, size_t item, const unsigned char *where) {
  p->error.rule = rule;
  p->error.item = (uint32_t)item;
  p->error.offset = (uint64_t)(where - p->data);
  switch (rule) {
#define ROTOI_RULE_CASE(number, name, result, text) \
  case number:                                      \
    p->error.status = result;                       \
    break;
    ROTO_RULE_LIST(ROTOI_RULE_CASE)
#undef ROTOI_RULE_CASE
  }
  return 0;
}

static uint64_t rotoi_align_up(uint64_t offset) {
  return (offset + (ROTO_FORMAT_ALIGN - 1)) / ROTO_FORMAT_ALIGN * ROTO_FORMAT_ALIGN;
}

static int rotoi_check_zero(rotoi_parser *p, size_t item, const unsigned char *from, const unsigned char *to) {
  for (; from < to; from++)
    if (*from) return rotoi_refuse(p, ROTO_RULE_RESERVED, item, from);
  return 1;
}

/* On the bits, so that it holds under any floating-point flags. */
static int rotoi_is_finite(const unsigned char *f32) {
  return (rotoi_u32(f32) & 0x7f800000u) != 0x7f800000u;
}

/* Finite and not below zero (minus zero is refused: there is one way to write a number). */
static int rotoi_is_amount(const unsigned char *f32) {
  return rotoi_u32(f32) < 0x7f800000u;
}

/* Finite and above zero. */
static int rotoi_is_positive(const unsigned char *f32) {
  return rotoi_is_amount(f32) && rotoi_u32(f32) != 0;
}

static int rotoi_check_chunks(rotoi_parser *p) {
  const unsigned char *data = p->data, *entry = data + ROTO_HEADER_SIZE;
  static const uint32_t names[ROTO_CHUNK_COUNT] = {
#define ROTOI_CHUNK_CODE(name, code) code,
      ROTO_CHUNK_LIST(ROTOI_CHUNK_CODE)
#undef ROTOI_CHUNK_CODE
  };
  uint64_t end; /* of what was checked; <= size from here on */
  uint32_t i, count, chunk = 0;

  if (p->size < 8 || memcmp(data, ROTO_FORMAT_MAGIC, 8) != 0) return rotoi_refuse(p, ROTO_RULE_MAGIC, 0, data);
  if (p->size >= 12 && rotoi_u32(data + ROTO_HEADER_VERSION) != ROTO_FORMAT_VERSION)
    return rotoi_refuse(p, ROTO_RULE_VERSION, 0, data + ROTO_HEADER_VERSION);
  if (p->size < ROTO_HEADER_SIZE) return rotoi_refuse(p, ROTO_RULE_FILE_SIZE, 0, data + p->size);
  if (rotoi_u64(data + ROTO_HEADER_FILE_SIZE) != p->size)
    return rotoi_refuse(p, ROTO_RULE_FILE_SIZE, 0, data + ROTO_HEADER_FILE_SIZE);
  count = rotoi_u32(data + ROTO_HEADER_CHUNK_COUNT);
  end = ROTO_HEADER_SIZE + (uint64_t)count * ROTO_ENTRY_SIZE;
  if (count < ROTO_CHUNK_REQUIRED || count > ROTO_CHUNK_COUNT || p->size < end)
    return rotoi_refuse(p, ROTO_RULE_CHUNK_COUNT, 0, data + ROTO_HEADER_CHUNK_COUNT);
  if (!rotoi_check_zero(p, 0, data + ROTO_HEADER_USED, data + ROTO_HEADER_SIZE)) return 0;

  for (i = 0; i < count; i++, chunk++, entry += ROTO_ENTRY_SIZE) {
    uint64_t offset = rotoi_u64(entry + ROTO_ENTRY_OFFSET), length = rotoi_u64(entry + ROTO_ENTRY_LENGTH);
    uint32_t name = rotoi_u32(entry + ROTO_ENTRY_NAME);
    while (chunk >= ROTO_CHUNK_REQUIRED && chunk + 1 < ROTO_CHUNK_COUNT && name != names[chunk]) chunk++;
    if (chunk >= ROTO_CHUNK_COUNT || name != names[chunk]) return rotoi_refuse(p, ROTO_RULE_CHUNK_NAME, i, entry);
    if (!rotoi_check_zero(p, i, entry + ROTO_ENTRY_NAME + 4, entry + ROTO_ENTRY_OFFSET)) return 0;
    if (!rotoi_check_zero(p, i, entry + ROTO_ENTRY_USED, entry + ROTO_ENTRY_SIZE)) return 0;
    if (offset != rotoi_align_up(end)) return rotoi_refuse(p, ROTO_RULE_CHUNK_OFFSET, i, entry + ROTO_ENTRY_OFFSET);
    if (offset > p->size || length > p->size - offset)
      return rotoi_refuse(p, ROTO_RULE_CHUNK_END, i, entry + ROTO_ENTRY_LENGTH);
    if (!rotoi_check_zero(p, i, data + (size_t)end, data + (size_t)offset)) return 0;
    end = offset + length;
    p->begin[chunk] = data + (size_t)offset;
    p->end[chunk] = data + (size_t)end;
  }
  if (end != p->size) return rotoi_refuse(p, ROTO_RULE_TRAILING, i - 1, data + (size_t)end);
  return 1;
}

/* A chunk must hold `length` bytes, all of them or only the head that says how many follow. */
static int rotoi_check_length(rotoi_parser *p, int chunk, uint64_t length) {
  if ((uint64_t)(p->end[chunk] - p->begin[chunk]) == length) return 1;
  return rotoi_refuse(p, ROTO_RULE_CHUNK_LENGTH, (size_t)chunk, p->begin[chunk]);
}
static int rotoi_check_head(rotoi_parser *p, int chunk, size_t used, size_t size) {
  if ((size_t)(p->end[chunk] - p->begin[chunk]) < size)
    return rotoi_refuse(p, ROTO_RULE_CHUNK_LENGTH, (size_t)chunk, p->begin[chunk]);
  return rotoi_check_zero(p, (size_t)chunk, p->begin[chunk] + used, p->begin[chunk] + size);
}

/* Well-formed UTF-8 of `length` bytes: shortest forms only, no surrogates, nothing above U+10FFFF; no control characters, so
 * that printing a name cannot drive a terminal.  Free text may have tabs and newlines. */
static int rotoi_is_text(const unsigned char *s, size_t length, int free_text) {
  size_t i = 0;
  while (i < length) {
    unsigned lead = s[i++], code, more;
    if (lead < 0x80) {
      if ((lead < 0x20 && !(free_text && (lead == '\n' || lead == '\t'))) || lead == 0x7f) return 0;
      continue;
    }
    if (lead < 0xc2 || lead > 0xf4) return 0;
    more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    code = lead & (0x3fu >> more);
    if (length - i < more) return 0;
    for (; more; more--, i++) {
      if ((s[i] & 0xc0) != 0x80) return 0;
      code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < 0xa0 || (lead >= 0xe0 && code < 0x800) || (lead >= 0xf0 && code < 0x10000)) return 0;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
  }
  return 1;
}

/* The string that must start at *at: ended, short enough, text; *at moves behind it. */
static int rotoi_check_string(rotoi_parser *p, size_t item, const unsigned char **at, const unsigned char *end, int free_text) {
  const unsigned char *start = *at, *zero;
  size_t room = (size_t)(end - start), limit = free_text ? ROTO_MAX_STRING : ROTO_MAX_NAME;
  zero = (const unsigned char *)memchr(start, 0, room < limit ? room : limit);
  if (!zero) return rotoi_refuse(p, ROTO_RULE_STRING_END, item, start);
  if (!rotoi_is_text(start, (size_t)(zero - start), free_text)) return rotoi_refuse(p, ROTO_RULE_STRING_TEXT, item, start);
  *at = zero + 1;
  return 1;
}

static int rotoi_check_meta(rotoi_parser *p) {
  const unsigned char *at = p->begin[ROTO_CHUNK_META], *end = p->end[ROTO_CHUNK_META];
  p->file->name = (const char *)at;
  if (!rotoi_check_string(p, 0, &at, end, 0)) return 0;
  p->file->description = (const char *)at;
  if (!rotoi_check_string(p, 1, &at, end, 1)) return 0;
  return at == end ? 1 : rotoi_refuse(p, ROTO_RULE_STRING_PLACE, 2, at);
}

static int rotoi_check_input(rotoi_parser *p) {
  const unsigned char *in = p->begin[ROTO_CHUNK_INPT];
  rotoi_file *file = p->file;
  uint32_t i, transfer;
  if (!rotoi_check_length(p, ROTO_CHUNK_INPT, ROTO_INPUT_SIZE)) return 0;
  if (!rotoi_check_head(p, ROTO_CHUNK_INPT, ROTO_INPUT_USED, ROTO_INPUT_SIZE)) return 0;
  file->input_width = rotoi_u32(in + ROTO_INPUT_WIDTH);
  file->input_height = rotoi_u32(in + ROTO_INPUT_HEIGHT);
  file->input_channels = rotoi_u32(in + ROTO_INPUT_CHANNELS);
  if (file->input_width - 1 >= ROTO_MAX_SIZE || file->input_height - 1 >= ROTO_MAX_SIZE ||
      file->input_channels - 1 >= ROTO_MAX_INPUT_CHANNELS)
    return rotoi_refuse(p, ROTO_RULE_INPUT_SHAPE, 0, in);
  transfer = rotoi_u32(in + ROTO_INPUT_TRANSFER);
  if (transfer != ROTO_TRANSFER_SRGB && transfer != ROTO_TRANSFER_LINEAR)
    return rotoi_refuse(p, ROTO_RULE_INPUT_TRANSFER, 0, in + ROTO_INPUT_TRANSFER);
  file->input_transfer = (roto_transfer)transfer;
  for (i = 0; i < 4; i++) {
    const unsigned char *mean = in + ROTO_INPUT_MEAN + 4 * i, *scale = in + ROTO_INPUT_SCALE + 4 * i;
    int is_valid = i < file->input_channels
                       ? rotoi_is_finite(mean) && rotoi_is_finite(scale) && (rotoi_u32(scale) & 0x7fffffffu) != 0
                       : rotoi_u32(mean) == 0 && rotoi_u32(scale) == 0;
    if (!is_valid) return rotoi_refuse(p, ROTO_RULE_INPUT_SCALING, i, mean);
    file->input_mean[i] = rotoi_f32(mean);
    file->input_scale[i] = rotoi_f32(scale);
  }
  if (!rotoi_is_positive(in + ROTO_INPUT_MARGIN)) return rotoi_refuse(p, ROTO_RULE_INPUT_MARGIN, 0, in + ROTO_INPUT_MARGIN);
  file->crop_margin = rotoi_f32(in + ROTO_INPUT_MARGIN);
  return 1;
}

/* The string a template record names: it must be the next one of the table. */
static int rotoi_check_next(rotoi_parser *p, size_t item, const unsigned char *field, const unsigned char **at, int free_text) {
  const unsigned char *end = p->end[ROTO_CHUNK_TMPL];
  if (rotoi_u32(field) != (size_t)(*at - (const unsigned char *)p->file->strings))
    return rotoi_refuse(p, ROTO_RULE_STRING_PLACE, item, field);
  return rotoi_check_string(p, item, at, end, free_text);
}

/* Names of landmarks, parts or shapes (all records begin with the name), already known to be strings: a file of 1024 names
 * costs half a million comparisons, which mostly end at the first byte. */
static int rotoi_check_names(rotoi_parser *p, const unsigned char *records, size_t size, uint32_t count) {
  const char *strings = p->file->strings;
  uint32_t i, j;
  for (i = 0; i < count; i++) {
    const char *name = strings + rotoi_u32(records + i * size);
    if (!*name) return rotoi_refuse(p, ROTO_RULE_NAME, i, records + i * size);
    for (j = 0; j < i; j++)
      if (strcmp(name, strings + rotoi_u32(records + j * size)) == 0)
        return rotoi_refuse(p, ROTO_RULE_NAME, i, records + i * size);
  }
  return 1;
}

static int rotoi_check_template(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TMPL], *record, *at;
  rotoi_file *file = p->file;
  uint32_t i, landmarks, parts, shapes, vertices, next = 0;
  uint64_t length;
  if (!rotoi_check_head(p, ROTO_CHUNK_TMPL, ROTO_TEMPLATE_USED, ROTO_TEMPLATE_SIZE)) return 0;
  file->landmark_count = landmarks = rotoi_u32(head + ROTO_TEMPLATE_LANDMARKS);
  file->part_count = parts = rotoi_u32(head + ROTO_TEMPLATE_PARTS);
  file->shape_count = shapes = rotoi_u32(head + ROTO_TEMPLATE_SHAPES);
  file->vertex_count = vertices = rotoi_u32(head + ROTO_TEMPLATE_VERTICES);
  if ((landmarks == 0) != (parts == 0)) return rotoi_refuse(p, ROTO_RULE_TEMPLATE_COUNT, 0, head);
  if (landmarks > ROTO_MAX_LANDMARKS || parts > ROTO_MAX_LANDMARKS || shapes > ROTO_MAX_LANDMARKS ||
      vertices > ROTO_MAX_VERTICES)
    return rotoi_refuse(p, ROTO_RULE_TEMPLATE_LIMIT, 0, head);
  length = ROTO_TEMPLATE_SIZE + (uint64_t)landmarks * ROTO_LANDMARK_SIZE + (uint64_t)parts * ROTO_PART_SIZE +
           (uint64_t)shapes * ROTO_SHAPE_SIZE + (uint64_t)vertices * 4 + rotoi_u32(head + ROTO_TEMPLATE_STRINGS);
  if (!rotoi_check_length(p, ROTO_CHUNK_TMPL, length)) return 0;
  file->landmarks = head + ROTO_TEMPLATE_SIZE;
  file->parts = file->landmarks + (size_t)landmarks * ROTO_LANDMARK_SIZE;
  file->shapes = file->parts + (size_t)parts * ROTO_PART_SIZE;
  file->vertices = file->shapes + (size_t)shapes * ROTO_SHAPE_SIZE;
  at = file->vertices + (size_t)vertices * 4;
  file->strings = (const char *)at;

  for (i = 0, record = file->landmarks; i < landmarks; i++, record += ROTO_LANDMARK_SIZE) {
    uint32_t flip = rotoi_u32(record + ROTO_LANDMARK_FLIP);
    if (!rotoi_check_next(p, i, record + ROTO_LANDMARK_NAME, &at, 0)) return 0;
    if (!rotoi_check_next(p, i, record + ROTO_LANDMARK_RULE, &at, 1)) return 0;
    if (rotoi_u32(record + ROTO_LANDMARK_PART) >= parts)
      return rotoi_refuse(p, ROTO_RULE_LANDMARK_PART, i, record + ROTO_LANDMARK_PART);
    if (flip >= landmarks || rotoi_u32(file->landmarks + flip * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP) != i)
      return rotoi_refuse(p, ROTO_RULE_LANDMARK_FLIP, i, record + ROTO_LANDMARK_FLIP);
    if (!rotoi_is_amount(record + ROTO_LANDMARK_WEIGHT))
      return rotoi_refuse(p, ROTO_RULE_WEIGHT, i, record + ROTO_LANDMARK_WEIGHT);
  }
  for (i = 0, record = file->parts; i < parts; i++, record += ROTO_PART_SIZE) {
    if (!rotoi_check_next(p, i, record + ROTO_PART_NAME, &at, 0)) return 0;
    if (!rotoi_is_amount(record + ROTO_PART_WEIGHT)) return rotoi_refuse(p, ROTO_RULE_WEIGHT, i, record + ROTO_PART_WEIGHT);
  }
  for (i = 0, record = file->shapes; i < shapes; i++, record += ROTO_SHAPE_SIZE) {
    uint32_t count = rotoi_u32(record + ROTO_SHAPE_COUNT);
    if (!rotoi_check_next(p, i, record + ROTO_SHAPE_NAME, &at, 0)) return 0;
    if (rotoi_u32(record + ROTO_SHAPE_CLOSED) > 1)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_CLOSED, i, record + ROTO_SHAPE_CLOSED);
    if (rotoi_u32(record + ROTO_SHAPE_FIRST) != next || count == 0 || count > vertices - next)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTICES, i, record + ROTO_SHAPE_FIRST);
    next += count;
  }
  if (next != vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTICES, shapes, file->shapes);
  for (i = 0, record = file->vertices; i < vertices; i++, record += 4)
    if (rotoi_u32(record) >= landmarks && rotoi_u32(record) != ROTO_NONE) return rotoi_refuse(p, ROTO_RULE_VERTEX, i, record);
  if (at != p->end[ROTO_CHUNK_TMPL]) return rotoi_refuse(p, ROTO_RULE_STRING_PLACE, landmarks + parts + shapes, at);
  return rotoi_check_names(p, file->landmarks, ROTO_LANDMARK_SIZE, landmarks) &&
         rotoi_check_names(p, file->parts, ROTO_PART_SIZE, parts) &&
         rotoi_check_names(p, file->shapes, ROTO_SHAPE_SIZE, shapes);
}

/* All floats of a tensor.  An exponent of all ones carries into bit 31 when one is added to it, so the loop has no branch;
 * it runs at the speed of memory, and the packer that follows finds the weights in the cache or at least in RAM. */
static int rotoi_all_finite(const unsigned char *floats, size_t count) {
  uint32_t carry = 0, carries[16] = {0};
  size_t i, j;
  for (i = 0; i + 16 <= count; i += 16) { /* sixteen at a time, which compilers turn into vectors */
    for (j = 0; j < 16; j++) carries[j] |= (rotoi_u32(floats + 4 * (i + j)) & 0x7fffffffu) + 0x00800000u;
  }
  for (; i < count; i++) carry |= (rotoi_u32(floats + 4 * i) & 0x7fffffffu) + 0x00800000u;
  for (j = 0; j < 16; j++) carry |= carries[j];
  return carry >> 31 == 0;
}

static int rotoi_check_tensors(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TDIR], *data = p->begin[ROTO_CHUNK_DATA], *record;
  uint64_t size = (uint64_t)(p->end[ROTO_CHUNK_DATA] - data), end = 0; /* end <= size */
  rotoi_file *file = p->file;
  uint32_t i;
  if (!rotoi_check_head(p, ROTO_CHUNK_TDIR, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->tensor_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->tensor_count > ROTO_MAX_TENSORS) return rotoi_refuse(p, ROTO_RULE_NODE_LIMIT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_TDIR, ROTO_LIST_SIZE + (uint64_t)file->tensor_count * ROTO_TENSOR_SIZE)) return 0;
  file->directory = record = head + ROTO_LIST_SIZE;
  file->data = data;
  for (i = 0; i < file->tensor_count; i++, record += ROTO_TENSOR_SIZE) {
    uint64_t offset = rotoi_u64(record + ROTO_TENSOR_OFFSET), count = rotoi_u64(record + ROTO_TENSOR_COUNT);
    if (count > ROTO_MAX_VALUES) return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, i, record + ROTO_TENSOR_COUNT);
    if (offset != rotoi_align_up(end) || offset > size || count * 4 > size - offset)
      return rotoi_refuse(p, ROTO_RULE_TENSOR_PLACE, i, record);
    if (!rotoi_check_zero(p, i, data + (size_t)end, data + (size_t)offset)) return 0;
    if (!rotoi_all_finite(data + (size_t)offset, (size_t)count))
      return rotoi_refuse(p, ROTO_RULE_FINITE, i, data + (size_t)offset);
    end = offset + count * 4;
    file->parameter_count += count;
  }
  if (end != size) return rotoi_refuse(p, ROTO_RULE_TENSOR_PLACE, i, data + (size_t)end);
  return 1;
}

/* What each operation takes, in the order of the opcodes. */
typedef struct rotoi_op_traits {
  unsigned char inputs_min, inputs_max;
  unsigned char act;               /* 0: never, 1: may have one, 2: must have one */
  unsigned char window;            /* has kernel, stride and padding */
  unsigned char tensors, optional; /* tensors it needs, and may have after them */
} rotoi_op_traits;

static const rotoi_op_traits rotoi_ops[ROTO_OP_COUNT] = {
    {0, 0, 0, 0, 0, 0}, /* INPUT */
    {1, 1, 1, 1, 1, 1}, /* CONV */
    {1, 1, 1, 1, 1, 1}, /* DEPTHWISE */
    {1, 1, 1, 0, 1, 1}, /* DENSE */
    {1, 1, 1, 0, 4, 0}, /* BATCHNORM */
    {1, 1, 2, 0, 0, 0}, /* ACT */
    {2, 2, 1, 0, 0, 0}, /* ADD */
    {2, 2, 1, 0, 0, 0}, /* SCALE */
    {2, 4, 0, 0, 0, 0}, /* CONCAT */
    {1, 1, 0, 1, 0, 0}, /* MAXPOOL */
    {1, 1, 0, 1, 0, 0}, /* AVGPOOL */
    {1, 1, 0, 0, 0, 0}, /* GLOBALPOOL */
    {1, 1, 0, 0, 0, 0}, /* UPSAMPLE */
    {1, 1, 0, 0, 0, 0}, /* POINTS */
};

typedef struct rotoi_network_check {
  unsigned char used[ROTO_MAX_NODES]; /* 1 where a node is an input of another */
  uint32_t next_tensor;
  uint64_t work; /* steps so far, <= ROTO_MAX_MULTIPLY_ADDS */
} rotoi_network_check;

/* The fields that say what the operation is: known, and zero or none where it has no use for them. */
static int rotoi_check_node_fields(rotoi_parser *p, uint32_t index, const rotoi_node *node, const unsigned char *record) {
  const rotoi_op_traits *op;
  uint32_t i;
  if (node->op >= ROTO_OP_COUNT) return rotoi_refuse(p, ROTO_RULE_OP, index, record + ROTO_NODE_OP);
  op = &rotoi_ops[node->op];
  if ((node->op == ROTO_OP_INPUT) != (index == 0)) return rotoi_refuse(p, ROTO_RULE_INPUT_NODE, index, record + ROTO_NODE_OP);
  if (node->act >= ROTO_ACT_COUNT || (op->act == 0 && node->act != ROTO_ACT_NONE) ||
      (op->act == 2 && node->act == ROTO_ACT_NONE))
    return rotoi_refuse(p, ROTO_RULE_ACT, index, record + ROTO_NODE_ACT);
  if (node->input_count < op->inputs_min || node->input_count > op->inputs_max)
    return rotoi_refuse(p, ROTO_RULE_INPUT_COUNT, index, record + ROTO_NODE_INPUT_COUNT);
  for (i = 0; i < ROTO_MAX_INPUTS; i++)
    if (i < node->input_count ? node->inputs[i] >= index : node->inputs[i] != ROTO_NONE)
      return rotoi_refuse(p, ROTO_RULE_INPUT_INDEX, index, record + ROTO_NODE_INPUTS + 4 * i);
  for (i = 0; i < node->input_count; i++)
    if (node->inputs[i] == 0 && node->op != ROTO_OP_CONV)
      return rotoi_refuse(p, ROTO_RULE_PICTURE, index, record + ROTO_NODE_INPUTS + 4 * i);
  if (!op->window && (node->kh | node->kw | node->stride | node->pad_top | node->pad_left | node->pad_bottom | node->pad_right))
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_KERNEL);
  if (node->op != ROTO_OP_BATCHNORM && rotoi_u32(record + ROTO_NODE_EPSILON) != 0)
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_EPSILON);
  if (node->op != ROTO_OP_POINTS && node->channels_per_point != 0)
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_PER_POINT);
  if (op->window && (node->kh == 0 || node->kw == 0 || node->stride == 0))
    return rotoi_refuse(p, ROTO_RULE_KERNEL, index, record + ROTO_NODE_KERNEL);
  if (node->kh > ROTO_MAX_KERNEL || node->kw > ROTO_MAX_KERNEL || node->stride > ROTO_MAX_STRIDE)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, record + ROTO_NODE_KERNEL);
  if (node->h > ROTO_MAX_SIZE || node->w > ROTO_MAX_SIZE || node->c > ROTO_MAX_CHANNELS ||
      (uint64_t)node->h * node->w * node->c > ROTO_MAX_VALUES)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, record + ROTO_NODE_SHAPE);
  return 1;
}

/* The shape of the result from the shapes of the inputs.  All sides are at most 2^12, channels 2^16, kernels 2^6. */
static int rotoi_check_node_shape(rotoi_parser *p, uint32_t index, const rotoi_node *node, const rotoi_node *in,
                                  const unsigned char *record) {
  const rotoi_node *a = &in[0], *b = &in[1];
  uint32_t h = a->h, w = a->w, c = a->c, i;
  int fits = 1;
  if (rotoi_ops[node->op].window) {
    /* Padding below the kernel side: every window has at least one pixel of the picture, so a mean never divides by 0. */
    uint32_t room_y = h + node->pad_top + node->pad_bottom, room_x = w + node->pad_left + node->pad_right;
    if (node->pad_top >= node->kh || node->pad_bottom >= node->kh || node->pad_left >= node->kw ||
        node->pad_right >= node->kw || room_y < node->kh || room_x < node->kw)
      return rotoi_refuse(p, ROTO_RULE_PADDING, index, record + ROTO_NODE_PADS);
    h = (room_y - node->kh) / node->stride + 1;
    w = (room_x - node->kw) / node->stride + 1;
  }
  switch (node->op) {
    case ROTO_OP_INPUT:
      h = p->file->input_height, w = p->file->input_width, c = p->file->input_channels;
      if (node->h != h || node->w != w || node->c != c)
        return rotoi_refuse(p, ROTO_RULE_INPUT_NODE, index, record + ROTO_NODE_SHAPE);
      break;
    case ROTO_OP_CONV:
      c = node->c;
      break;
    case ROTO_OP_DENSE:
      h = w = 1, c = node->c;
      break;
    case ROTO_OP_ADD:
      fits = b->h == h && b->w == w && b->c == c;
      break;
    case ROTO_OP_SCALE:
      fits = b->h == 1 && b->w == 1 && b->c == c;
      break;
    case ROTO_OP_CONCAT:
      for (i = 1; i < node->input_count; i++) {
        fits = fits && in[i].h == h && in[i].w == w;
        c += in[i].c;
      }
      break;
    case ROTO_OP_GLOBALPOOL:
      h = w = 1;
      break;
    case ROTO_OP_UPSAMPLE:
      h *= 2, w *= 2;
      break;
    case ROTO_OP_POINTS:
      if (index + 1 != p->file->node_count || (node->channels_per_point != 1 && node->channels_per_point != 3) ||
          c != p->file->landmark_count * node->channels_per_point)
        return rotoi_refuse(p, ROTO_RULE_POINTS, index, record + ROTO_NODE_PER_POINT);
      h = w = 1, c = p->file->landmark_count * 3;
      break;
    default:
      break; /* as the input */
  }
  if (!fits) return rotoi_refuse(p, ROTO_RULE_OPERANDS, index, record + ROTO_NODE_INPUTS);
  if (node->h != h || node->w != w || node->c != c || c == 0)
    return rotoi_refuse(p, ROTO_RULE_SHAPE, index, record + ROTO_NODE_SHAPE);
  return 1;
}

/* Floats of each tensor of a node; every product is below 2^6 * 2^6 * 2^16 * 2^16 or 2^28 * 2^16. */
static uint64_t rotoi_needed_floats(const rotoi_node *node, const rotoi_node *in, uint32_t slot) {
  if (slot > 0 || node->op == ROTO_OP_BATCHNORM) return node->c;
  if (node->op == ROTO_OP_DENSE) return (uint64_t)in->h * in->w * in->c * node->c;
  return (uint64_t)node->kh * node->kw * (node->op == ROTO_OP_CONV ? in->c : 1) * node->c;
}

static int rotoi_check_node_tensors(rotoi_parser *p, rotoi_network_check *check, uint32_t index, const rotoi_node *node,
                                    const rotoi_node *in, const unsigned char *record) {
  const rotoi_op_traits *op = &rotoi_ops[node->op];
  uint32_t slot, i;
  for (slot = 0; slot < 4; slot++) {
    const unsigned char *field = record + ROTO_NODE_TENSORS + 4 * slot;
    uint32_t id = node->tensors[slot];
    uint64_t count, needed;
    if (id == ROTO_NONE && slot >= op->tensors) continue;
    if (slot >= (uint32_t)op->tensors + op->optional || id != check->next_tensor || id >= p->file->tensor_count)
      return rotoi_refuse(p, ROTO_RULE_TENSOR_ORDER, index, field);
    check->next_tensor++;
    rotoi_tensor(p->file, id, &count);
    needed = rotoi_needed_floats(node, in, slot);
    if (needed > ROTO_MAX_VALUES) return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, field);
    if (count != needed) return rotoi_refuse(p, ROTO_RULE_TENSOR_COUNT, id, field);
  }
  if (node->op == ROTO_OP_BATCHNORM) {
    const unsigned char *variance = rotoi_tensor(p->file, node->tensors[3], NULL);
    if (!rotoi_is_positive(record + ROTO_NODE_EPSILON))
      return rotoi_refuse(p, ROTO_RULE_EPSILON, index, record + ROTO_NODE_EPSILON);
    for (i = 0; i < node->c; i++)
      if (!(rotoi_f32(variance + 4 * (size_t)i) + node->epsilon > 0))
        return rotoi_refuse(p, ROTO_RULE_VARIANCE, node->tensors[3], variance + 4 * (size_t)i);
  }
  return 1;
}

static int rotoi_check_network(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_NETW], *record = head + ROTO_LIST_SIZE;
  rotoi_file *file = p->file;
  rotoi_network_check check;
  rotoi_node node, in[ROTO_MAX_INPUTS];
  uint32_t i, k;
  memset(&check, 0, sizeof check);
  if (!rotoi_check_head(p, ROTO_CHUNK_NETW, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->node_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->node_count < 2) return rotoi_refuse(p, ROTO_RULE_NODE_COUNT, 0, head);
  if (file->node_count > ROTO_MAX_NODES) return rotoi_refuse(p, ROTO_RULE_NODE_LIMIT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_NETW, ROTO_LIST_SIZE + (uint64_t)file->node_count * ROTO_NODE_SIZE)) return 0;
  file->nodes = record;

  for (i = 0; i < file->node_count; i++, record += ROTO_NODE_SIZE) {
    uint64_t values, work;
    rotoi_read_node(file, i, &node);
    if (!rotoi_check_node_fields(p, i, &node, record)) return 0;
    memset(in, 0, sizeof in);
    for (k = 0; k < node.input_count; k++) {
      rotoi_read_node(file, node.inputs[k], &in[k]);
      check.used[node.inputs[k]] = 1;
    }
    if (!rotoi_check_node_shape(p, i, &node, in, record)) return 0;
    if (!rotoi_check_node_tensors(p, &check, i, &node, in, record)) return 0;

    /* At most 2^28 weights * 2^24 pixels or 2^28 values * 2^12 kernel, on top of 2^40: no overflow before the test. */
    values = (uint64_t)node.h * node.w * node.c;
    if (rotoi_ops[node.op].tensors == 1) {
      work = node.op == ROTO_OP_DENSE ? rotoi_needed_floats(&node, in, 0)
                                      : rotoi_needed_floats(&node, in, 0) * ((uint64_t)node.h * node.w);
      file->multiply_adds += work;
    } else {
      work = rotoi_ops[node.op].window ? values * node.kh * node.kw : values;
      if (work < (uint64_t)in[0].h * in[0].w * in[0].c) work = (uint64_t)in[0].h * in[0].w * in[0].c;
    }
    check.work += work;
    if (check.work > ROTO_MAX_MULTIPLY_ADDS) return rotoi_refuse(p, ROTO_RULE_WORK_LIMIT, i, record);
  }
  if (check.next_tensor != file->tensor_count) return rotoi_refuse(p, ROTO_RULE_TENSOR_ORDER, i - 1, head);
  for (i = 0; i + 1 < file->node_count; i++)
    if (!check.used[i]) return rotoi_refuse(p, ROTO_RULE_NODE_USED, i, file->nodes + (size_t)i * ROTO_NODE_SIZE);
  if (file->landmark_count > 0 &&
      (node.h != 1 || node.w != 1 || (node.c != 2 * file->landmark_count && node.c != 3 * file->landmark_count)))
    return rotoi_refuse(p, ROTO_RULE_OUTPUT, i, file->nodes + (size_t)i * ROTO_NODE_SIZE + ROTO_NODE_SHAPE);
  file->output_count = node.h * node.w * node.c;
  return 1;
}

static int rotoi_check_calibration(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_CALB], *record = head + ROTO_LIST_SIZE;
  rotoi_file *file = p->file;
  uint32_t i;
  if (!rotoi_check_head(p, ROTO_CHUNK_CALB, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->knot_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->knot_count - 1 >= ROTO_MAX_KNOTS ||
      (file->knot_count != 1 && (file->landmark_count == 0 || file->output_count == 2 * file->landmark_count)))
    return rotoi_refuse(p, ROTO_RULE_KNOT_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_CALB, ROTO_LIST_SIZE + (uint64_t)file->knot_count * ROTO_KNOT_SIZE)) return 0;
  file->knots = record;
  for (i = 0; i < file->knot_count; i++, record += ROTO_KNOT_SIZE)
    if (!rotoi_is_amount(record + ROTO_KNOT_SPREAD) || !rotoi_is_amount(record + ROTO_KNOT_ERROR) ||
        (i > 0 && !(rotoi_f32(record + ROTO_KNOT_SPREAD) > rotoi_f32(record - ROTO_KNOT_SIZE + ROTO_KNOT_SPREAD))))
      return rotoi_refuse(p, ROTO_RULE_KNOT_VALUE, i, record);
  return 1;
}

static int rotoi_check_test(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TEST];
  rotoi_file *file = p->file;
  uint32_t outputs, pixels, i;
  if (!rotoi_check_head(p, ROTO_CHUNK_TEST, ROTO_TEST_USED, ROTO_TEST_SIZE)) return 0;
  outputs = rotoi_u32(head + ROTO_TEST_OUTPUTS);
  pixels = rotoi_u32(head + ROTO_TEST_PIXELS);
  if (outputs != file->output_count || pixels != file->input_width * file->input_height * file->input_channels)
    return rotoi_refuse(p, ROTO_RULE_TEST_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_TEST, ROTO_TEST_SIZE + (uint64_t)outputs * 4 + pixels)) return 0;
  file->test_outputs = head + ROTO_TEST_SIZE;
  file->test_pixels = file->test_outputs + (size_t)outputs * 4;
  file->test_tolerance = rotoi_f32(head + ROTO_TEST_TOLERANCE);
  if (!rotoi_is_positive(head + ROTO_TEST_TOLERANCE)) return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, 0, head);
  for (i = 0; i < outputs; i++)
    if (!rotoi_is_finite(file->test_outputs + 4 * (size_t)i))
      return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, i, file->test_outputs + 4 * (size_t)i);
  return 1;
}

static int rotoi_check_shape_nets(rotoi_parser *p, uint64_t *floats) {
  const unsigned char *record = p->file->shape_nets;
  uint32_t i;
  for (i = 0; i < p->file->shape_net_count; i++, record += ROTO_SHAPE_NET_SIZE) {
    rotoi_shape_net net;
    uint32_t places = rotoi_u32(record + ROTO_SHAPE_NET_PLACES), vertices = rotoi_u32(record + ROTO_SHAPE_NET_VERTICES);
    uint32_t width = rotoi_u32(record + ROTO_SHAPE_NET_WIDTH), blocks = rotoi_u32(record + ROTO_SHAPE_NET_BLOCKS);
    uint32_t landmarks = rotoi_u32(record + ROTO_SHAPE_NET_LANDMARKS);
    if (landmarks < 2 || vertices < 1 || blocks < 1 || width < 1 || width % 16 != 0)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_NETWORK, i, record);
    if (landmarks > ROTO_MAX_SHAPE_LANDMARKS || vertices > ROTO_MAX_SHAPE_VERTICES || blocks > ROTO_MAX_SHAPE_BLOCKS ||
        width > ROTO_MAX_SHAPE_WIDTH)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_NETWORK_LIMIT, i, record);
    if (places > vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, i, record + ROTO_SHAPE_NET_PLACES);
    rotoi_read_shape_net(p->file, i, &net);
    *floats += net.floats; /* below 2^10 networks * 2^21 */
  }
  return 1;
}

/* The landmarks of a shape exist and differ; they are followed by those of the next. */
static int rotoi_check_shape_landmarks(rotoi_parser *p, uint32_t shape, const rotoi_shape_net *net, const unsigned char *list) {
  uint32_t i, k;
  for (i = 0; i < net->landmarks; i++) {
    uint32_t landmark = rotoi_u32(list + 4 * (size_t)i);
    if (landmark >= p->file->landmark_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_LANDMARK, shape, list + 4 * (size_t)i);
    for (k = 0; k < i; k++)
      if (rotoi_u32(list + 4 * (size_t)k) == landmark)
        return rotoi_refuse(p, ROTO_RULE_SHAPE_LANDMARK, shape, list + 4 * (size_t)i);
  }
  return 1;
}

/* The vertices of a shape against its network, and against `model`, the shape that named the network first. */
static int rotoi_check_shape_vertices(rotoi_parser *p, uint32_t shape, const rotoi_shape_net *net, uint32_t model,
                                      const unsigned char *list) {
  const unsigned char *record = p->file->shapes + (size_t)shape * ROTO_SHAPE_SIZE;
  const unsigned char *model_record = p->file->shapes + (size_t)model * ROTO_SHAPE_SIZE;
  const unsigned char *own = p->file->vertices + 4 * (size_t)rotoi_u32(record + ROTO_SHAPE_FIRST);
  const unsigned char *others = p->file->vertices + 4 * (size_t)rotoi_u32(model_record + ROTO_SHAPE_FIRST);
  uint32_t count = net->vertices, places = 0, i, k;
  rotoi_shape_use use, model_use;
  rotoi_read_shape_use(p->file, shape, &use);
  rotoi_read_shape_use(p->file, model, &model_use);
  for (i = 0; i < count; i++) {
    const unsigned char *vertex = own + 4 * (size_t)rotoi_shape_turn(&use, count, i);
    uint32_t landmark = rotoi_u32(vertex);
    int is_place = landmark == ROTO_NONE;
    places += (uint32_t)is_place;
    for (k = 0; k < net->landmarks && rotoi_u32(list + 4 * (size_t)k) != landmark; k++) continue;
    if (is_place != (rotoi_u32(others + 4 * (size_t)rotoi_shape_turn(&model_use, count, i)) == ROTO_NONE) ||
        (!is_place && k == net->landmarks))
      return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, shape, vertex);
  }
  return places == net->places ? 1 : rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, shape, record);
}

/* SHAP, if it is there.  All counts are small: networks, shapes and blocks 2^10, weights of a network 2^21, vertices 2^16. */
static int rotoi_check_shapes(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_SHAP], *record, *list;
  rotoi_file *file = p->file;
  uint32_t i, named = 0, models[ROTO_MAX_LANDMARKS];
  uint64_t length, weights = 0, landmarks = 0, outputs = 0;
  rotoi_shape_net net;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_SHAP, ROTO_SHAPES_USED, ROTO_SHAPES_SIZE)) return 0;
  file->shape_net_count = rotoi_u32(head + ROTO_SHAPES_NETWORKS);
  if (file->shape_net_count == 0 || file->shape_net_count > file->shape_count)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, 0, head);
  length = ROTO_SHAPES_SIZE + (uint64_t)file->shape_net_count * ROTO_SHAPE_NET_SIZE +
           (uint64_t)file->shape_count * ROTO_SHAPE_USE_SIZE;
  if (length > (uint64_t)(p->end[ROTO_CHUNK_SHAP] - head)) return rotoi_check_length(p, ROTO_CHUNK_SHAP, length);
  file->shape_nets = head + ROTO_SHAPES_SIZE;
  file->shape_uses = file->shape_nets + (size_t)file->shape_net_count * ROTO_SHAPE_NET_SIZE;
  file->shape_landmarks = head + (size_t)length;
  if (!rotoi_check_shape_nets(p, &weights)) return 0;

  for (i = 0, record = file->shape_uses; i < file->shape_count; i++, record += ROTO_SHAPE_USE_SIZE) {
    uint32_t network = rotoi_u32(record + ROTO_SHAPE_USE_NETWORK), first = rotoi_u32(record + ROTO_SHAPE_USE_FIRST);
    uint32_t mirrored = rotoi_u32(record + ROTO_SHAPE_USE_MIRRORED), reversed = rotoi_u32(record + ROTO_SHAPE_USE_REVERSED);
    const unsigned char *shape = file->shapes + (size_t)i * ROTO_SHAPE_SIZE;
    uint32_t vertices = rotoi_u32(shape + ROTO_SHAPE_COUNT);
    if (network == ROTO_NONE) {
      if (!rotoi_check_zero(p, ROTO_CHUNK_SHAP, record + ROTO_SHAPE_USE_MIRRORED, record + ROTO_SHAPE_USE_SIZE)) return 0;
      continue;
    }
    if (network > named || network >= file->shape_net_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, i, record);
    if (network == named) models[named++] = i;
    rotoi_read_shape_net(file, network, &net);
    if (vertices != net.vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, i, record);
    if (mirrored > 1 || reversed > 1 || first >= vertices ||
        (rotoi_u32(shape + ROTO_SHAPE_CLOSED) == 0 && first != (reversed ? vertices - 1 : 0)))
      return rotoi_refuse(p, ROTO_RULE_SHAPE_TURN, i, record);
    landmarks += net.landmarks;
    outputs += 6 * (uint64_t)vertices;
  }
  if (named != file->shape_net_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, i, head);
  length += 4 * landmarks;
  if (!rotoi_check_length(p, ROTO_CHUNK_SHAP, rotoi_align_up(length) + 4 * (weights + outputs))) return 0;
  if (!rotoi_check_zero(p, ROTO_CHUNK_SHAP, head + (size_t)length, head + (size_t)rotoi_align_up(length))) return 0;
  file->shape_weights = head + (size_t)rotoi_align_up(length);
  file->shape_tests = file->shape_weights + 4 * (size_t)weights;

  for (i = 0, list = file->shape_landmarks; i < file->shape_count; i++) {
    rotoi_shape_use use;
    rotoi_read_shape_use(file, i, &use);
    if (use.network == ROTO_NONE) continue;
    rotoi_read_shape_net(file, use.network, &net);
    if (!rotoi_check_shape_landmarks(p, i, &net, list) || !rotoi_check_shape_vertices(p, i, &net, models[use.network], list))
      return 0;
    list += 4 * (size_t)net.landmarks;
  }
  for (i = 0, record = file->shape_weights; i < file->shape_net_count; i++) {
    rotoi_read_shape_net(file, i, &net);
    if (!rotoi_all_finite(record, (size_t)net.floats)) return rotoi_refuse(p, ROTO_RULE_FINITE, i, record);
    record += 4 * (size_t)net.floats;
  }
  for (i = 0; i < (uint32_t)outputs; i++)
    if (!rotoi_is_finite(file->shape_tests + 4 * (size_t)i))
      return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, i, file->shape_tests + 4 * (size_t)i);
  return 1;
}

/* LOOK, if it is there.  Its model is checked by all the rules once more, at most once: it has no LOOK of its own. */
static int rotoi_check_looks(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_LOOK], *end = p->end[ROTO_CHUNK_LOOK];
  rotoi_file *file = p->file, inner;
  roto_error error;
  uint64_t used = 0, start = rotoi_align_up(ROTO_LOOK_SIZE + 4 * (uint64_t)file->landmark_count);
  uint32_t i;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_LOOK, ROTO_LOOK_USED, ROTO_LOOK_SIZE)) return 0;
  file->look_count = rotoi_u32(head + ROTO_LOOK_COUNT);
  if (file->look_count - 1 >= ROTO_MAX_LOOKS) return rotoi_refuse(p, ROTO_RULE_LOOK, 0, head);
  if (start > (uint64_t)(end - head)) return rotoi_check_length(p, ROTO_CHUNK_LOOK, start);
  file->looks = head + ROTO_LOOK_SIZE;
  for (i = 0; i < file->landmark_count; i++) {
    uint32_t look = rotoi_read_look(file, i);
    if (look == ROTO_NONE) continue;
    if (look >= file->look_count) return rotoi_refuse(p, ROTO_RULE_LOOK, i, file->looks + 4 * (size_t)i);
    used |= (uint64_t)1 << look;
  }
  for (i = 0; i < file->look_count; i++)
    if (!(used >> i & 1)) return rotoi_refuse(p, ROTO_RULE_LOOK, i, head);
  head += (size_t)start;
  if (!rotoi_check_zero(p, ROTO_CHUNK_LOOK, file->looks + 4 * (size_t)file->landmark_count, head)) return 0;

  file->look_model = head;
  file->look_model_size = (size_t)(end - head);
  memset(&error, 0, sizeof error);
  if (file->look_model_size >= ROTO_HEADER_SIZE + (size_t)(ROTO_CHUNK_REQUIRED + 1) * ROTO_ENTRY_SIZE) {
    const unsigned char *entry = head + ROTO_HEADER_SIZE + (size_t)ROTO_CHUNK_REQUIRED * ROTO_ENTRY_SIZE;
    uint32_t chunks = rotoi_u32(head + ROTO_HEADER_CHUNK_COUNT);
    if (chunks > ROTO_CHUNK_REQUIRED + 1 ||
        (chunks > ROTO_CHUNK_REQUIRED && rotoi_u32(entry + ROTO_ENTRY_NAME) != ROTO_CHUNK('R', 'A', 'N', 'G')))
      return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, 0, head + ROTO_HEADER_CHUNK_COUNT);
  }
  if (rotoi_parse(head, file->look_model_size, &inner, &error))
    return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, error.rule, head + (size_t)error.offset);
  if (inner.landmark_count != file->landmark_count || inner.input_channels != file->input_channels)
    return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, 0, head);
  for (i = 0; i < inner.landmark_count; i++) {
    const unsigned char *flip = inner.landmarks + (size_t)i * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP;
    if (rotoi_u32(flip) != rotoi_u32(file->landmarks + (size_t)i * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP))
      return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, i, flip);
  }
  return 1;
}

/* RANG, if it is there. */
static int rotoi_check_ranges(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_RANG], *range;
  rotoi_file *file = p->file;
  uint32_t i;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_RANG, ROTO_RANGES_SIZE, ROTO_RANGES_SIZE)) return 0;
  if (rotoi_u32(head + ROTO_RANGES_COUNT) != file->node_count) return rotoi_refuse(p, ROTO_RULE_RANGE_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_RANG, ROTO_RANGES_SIZE + (uint64_t)file->node_count * ROTO_RANGE_SIZE)) return 0;
  if (!rotoi_is_positive(head + ROTO_RANGES_TOLERANCE)) return rotoi_refuse(p, ROTO_RULE_RANGE_TOLERANCE, 0, head);
  file->range_tolerance = rotoi_f32(head + ROTO_RANGES_TOLERANCE);
  range = head + ROTO_RANGES_SIZE;
  for (i = 0; i < file->node_count; i++, range += ROTO_RANGE_SIZE) {
    float low = rotoi_f32(range + ROTO_RANGE_LOW), high = rotoi_f32(range + ROTO_RANGE_HIGH);
    if (!rotoi_is_finite(range + ROTO_RANGE_LOW) || !rotoi_is_amount(range + ROTO_RANGE_HIGH) || !(low <= 0) ||
        rotoi_u32(range + ROTO_RANGE_LOW) == 0x80000000u || !(high - low >= 1e-30f && high - low <= 1e30f))
      return rotoi_refuse(p, ROTO_RULE_RANGE, i, range);
  }
  file->ranges = head + ROTO_RANGES_SIZE;
  return 1;
}

/* CONT, if it is there. */
static int rotoi_check_contours(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_CONT], *list;
  const size_t floats = (size_t)ROTO_CONTOUR_PLACES * ROTO_CONTOUR_FLOATS;
  rotoi_file *file = p->file;
  uint64_t length = ROTO_CONTOURS_SIZE, landmarks = 0;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_CONT, ROTO_CONTOURS_USED, ROTO_CONTOURS_SIZE)) return 0;
  file->contour_count = rotoi_u32(head + ROTO_CONTOURS_COUNT);
  if (file->contour_count - 1 >= ROTO_MAX_CONTOURS) return rotoi_refuse(p, ROTO_RULE_CONTOUR, 0, head);
  length += 4 * (uint64_t)file->contour_count;
  if (length > (uint64_t)(p->end[ROTO_CHUNK_CONT] - head)) return rotoi_check_length(p, ROTO_CHUNK_CONT, length);
  file->contour_sizes = head + ROTO_CONTOURS_SIZE;
  file->contour_landmarks = list = head + (size_t)length;
  for (uint32_t i = 0; i < file->contour_count; i++) {
    uint32_t size = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    if (size < 3 || size > ROTO_MAX_CONTOUR_LANDMARKS)
      return rotoi_refuse(p, ROTO_RULE_CONTOUR, i, file->contour_sizes + 4 * (size_t)i);
    landmarks += size;
  }
  length += 4 * landmarks;
  if (!rotoi_check_length(p, ROTO_CHUNK_CONT, rotoi_align_up(length) + 4 * (uint64_t)floats * file->contour_count)) return 0;
  if (!rotoi_check_zero(p, ROTO_CHUNK_CONT, head + (size_t)length, head + (size_t)rotoi_align_up(length))) return 0;
  file->contour_filters = head + (size_t)rotoi_align_up(length);
  for (uint32_t i = 0; i < file->contour_count; i++) {
    uint32_t size = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    const unsigned char *filters = file->contour_filters + 4 * floats * (size_t)i;
    for (uint32_t k = 0; k < size; k++)
      for (uint32_t j = 0; j <= k; j++)
        if (j < k ? rotoi_u32(list + 4 * (size_t)j) == rotoi_u32(list + 4 * (size_t)k)
                  : rotoi_u32(list + 4 * (size_t)k) >= file->landmark_count)
          return rotoi_refuse(p, ROTO_RULE_CONTOUR, i, list + 4 * (size_t)k);
    if (!rotoi_all_finite(filters, floats)) return rotoi_refuse(p, ROTO_RULE_FINITE, i, filters);
    list += 4 * (size_t)size;
  }
  return 1;
}

/* DIST, if it is there. */
static int rotoi_check_distribution(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_DIST], *mean;
  rotoi_file *file = p->file;
  uint64_t floats = 2 * (uint64_t)file->landmark_count;
  int apart = 0;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_USED, ROTO_DISTRIBUTION_SIZE)) return 0;
  uint32_t components = rotoi_u32(head + ROTO_DISTRIBUTION_COMPONENTS);
  if (components - 1 >= ROTO_MAX_COMPONENTS || !rotoi_is_positive(head + ROTO_DISTRIBUTION_DEVIATION))
    return rotoi_refuse(p, ROTO_RULE_DISTRIBUTION, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_SIZE + 4 * floats * (1 + (uint64_t)components))) return 0;
  mean = head + ROTO_DISTRIBUTION_SIZE;
  for (size_t i = 0; i < (size_t)floats * (1 + (size_t)components); ++i)
    if (!rotoi_is_finite(mean + 4 * i)) return rotoi_refuse(p, ROTO_RULE_FINITE, (uint32_t)i, mean + 4 * i);
  for (uint32_t i = 1; i < file->landmark_count; ++i)
    for (int c = 0; c < 8; c += 4) apart |= rotoi_f32(mean + 8 * (size_t)i + c) != rotoi_f32(mean + c);
  if (!apart) return rotoi_refuse(p, ROTO_RULE_DISTRIBUTION, 0, mean);
  file->component_count = components;
  file->distribution_deviation = rotoi_f32(head + ROTO_DISTRIBUTION_DEVIATION);
  file->distribution_mean = mean;
  file->distribution_components = mean + 4 * (size_t)floats;
  return 1;
}

static roto_status rotoi_parse(const unsigned char *data, size_t size, rotoi_file *file, roto_error *err) {
  rotoi_parser p;
  memset(&p, 0, sizeof p);
  memset(file, 0, sizeof *file);
  p.data = data;
  p.size = size;
  p.file = file;
  if (rotoi_check_chunks(&p) && rotoi_check_meta(&p) && rotoi_check_input(&p) && rotoi_check_template(&p) &&
      rotoi_check_tensors(&p) && rotoi_check_network(&p) && rotoi_check_calibration(&p) && rotoi_check_test(&p) &&
      rotoi_check_shapes(&p) && rotoi_check_looks(&p) && rotoi_check_ranges(&p) && rotoi_check_contours(&p) &&
      rotoi_check_distribution(&p))
    return ROTO_OK;
  memset(file, 0, sizeof *file);
  if (err) *err = p.error;
  return p.error.status;
}

#endif /* ROTOI_FORMAT */
