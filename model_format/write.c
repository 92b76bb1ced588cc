/* The .roto writer.  Every chunk is built in memory by appending little-endian numbers to one growing buffer, in file order;
 * the few numbers that are only known later (offsets, lengths, the file size) are filled in at the end.
 *
 * Nothing here depends on the runtime beyond its public types: the writer and the reader meet only in roto_format.h and in
 * the tests, so that a mistake in one is not repeated in the other. */

#define _POSIX_C_SOURCE 200809L

#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A growing buffer.  The first failure is kept in `status`; appends after it do nothing, so only the end is checked. */
typedef struct buffer {
  unsigned char *bytes;
  size_t size, capacity;
  roto_status status;
} buffer;

/* `size` more bytes, zeroed; NULL after a failure. */
static unsigned char *append(buffer *b, size_t size) {
  unsigned char *where;
  if (b->status != ROTO_OK) return NULL;
  if (size > b->capacity - b->size) {
    size_t capacity = b->capacity * 2 > b->size + size ? b->capacity * 2 : b->size + size;
    unsigned char *bytes = capacity > b->size ? realloc(b->bytes, capacity) : NULL;
    if (!bytes) {
      b->status = ROTO_ERR_MEMORY;
      return NULL;
    }
    b->bytes = bytes;
    b->capacity = capacity;
  }
  where = b->bytes + b->size;
  if (size) memset(where, 0, size);
  b->size += size;
  return where;
}

static void store(unsigned char *where, uint64_t value, int size) {
  for (int i = 0; i < size; i++) where[i] = (unsigned char)(value >> 8 * i);
}

static void put(buffer *b, uint64_t value, int size) {
  unsigned char *where = append(b, (size_t)size);
  if (where) store(where, value, size);
}

static void put_u32(buffer *b, uint32_t value) {
  put(b, value, 4);
}

static void put_f32(buffer *b, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put(b, bits, 4);
}

static void put_floats(buffer *b, const float *values, uint64_t count) {
  unsigned char *where = append(b, (size_t)count * 4);
  for (uint64_t i = 0; where && i < count; i++, where += 4) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    store(where, bits, 4);
  }
}

static void put_string(buffer *b, const char *string) {
  size_t size = string ? strlen(string) + 1 : 1;
  unsigned char *where = append(b, size);
  if (where && string) memcpy(where, string, size);
}

static void align(buffer *b) {
  append(b, (ROTO_FORMAT_ALIGN - b->size % ROTO_FORMAT_ALIGN) % ROTO_FORMAT_ALIGN);
}

static size_t string_size(const char *string) {
  return string ? strlen(string) + 1 : 1;
}

uint64_t roto_tensor_count(const roto_node_desc *nodes, uint32_t index, uint32_t slot) {
  const roto_node_desc *node = &nodes[index], *in = index ? &nodes[node->inputs[0]] : node;
  uint64_t window = (uint64_t)node->kh * node->kw;
  switch (node->op) {
    case ROTO_OP_CONV:
      return slot == 0 ? window * in->c * node->c : slot == 1 ? node->c : 0;
    case ROTO_OP_DEPTHWISE:
      return slot == 0 ? window * node->c : slot == 1 ? node->c : 0;
    case ROTO_OP_DENSE:
      return slot == 0 ? (uint64_t)in->h * in->w * in->c * node->c : slot == 1 ? node->c : 0;
    case ROTO_OP_BATCHNORM:
      return slot < 4 ? node->c : 0;
    default:
      return 0;
  }
}

static uint64_t output_count(const roto_model_desc *m) {
  const roto_node_desc *last = &m->nodes[m->node_count - 1];
  return (uint64_t)last->h * last->w * last->c;
}

/* What the writer itself relies on: pointers that are there, inputs that exist, sizes that fit.  Everything else is left to
 * the reader, which tests need to see refuse it. */
static roto_status check(const roto_model_desc *m) {
  if ((m->landmark_count && !m->landmarks) || (m->part_count && !m->parts) || (m->shape_count && !m->shapes) || !m->knots ||
      !m->nodes || m->node_count == 0 || !m->test_pixels || !m->test_output)
    return ROTO_ERR_ARGUMENT;
  if (m->landmark_count > ROTO_MAX_LANDMARKS || m->part_count > ROTO_MAX_LANDMARKS || m->shape_count > ROTO_MAX_LANDMARKS ||
      m->knot_count > ROTO_MAX_KNOTS || m->node_count > ROTO_MAX_NODES || m->input_width > ROTO_MAX_SIZE ||
      m->input_height > ROTO_MAX_SIZE || m->input_channels > ROTO_MAX_INPUT_CHANNELS)
    return ROTO_ERR_LIMIT;
  for (uint32_t i = 0; i < m->shape_count; i++) {
    if (m->shapes[i].vertex_count > ROTO_MAX_VERTICES) return ROTO_ERR_LIMIT;
    if (m->shapes[i].vertex_count && !m->shapes[i].vertices) return ROTO_ERR_ARGUMENT;
  }
  for (uint32_t i = 0; i < m->node_count; i++) {
    const roto_node_desc *node = &m->nodes[i];
    if (node->input_count > ROTO_MAX_INPUTS || (node->input_count == 0) != (i == 0)) return ROTO_ERR_ARGUMENT;
    for (uint32_t k = 0; k < node->input_count; k++)
      if (node->inputs[k] >= i) return ROTO_ERR_ARGUMENT;
    if (node->kh > ROTO_MAX_KERNEL || node->kw > ROTO_MAX_KERNEL || node->h > ROTO_MAX_SIZE || node->w > ROTO_MAX_SIZE ||
        node->c > ROTO_MAX_CHANNELS)
      return ROTO_ERR_LIMIT;
    for (uint32_t slot = 0; slot < 4; slot++) {
      uint64_t count = roto_tensor_count(m->nodes, i, slot);
      if (count > ROTO_MAX_VALUES) return ROTO_ERR_LIMIT;
      if (count ? !node->tensors[slot] && (slot == 0 || node->op == ROTO_OP_BATCHNORM) : node->tensors[slot] != NULL)
        return ROTO_ERR_ARGUMENT;
    }
  }
  return output_count(m) > ROTO_MAX_VALUES ? ROTO_ERR_LIMIT : ROTO_OK;
}

static void put_input(buffer *b, const roto_model_desc *m) {
  put_u32(b, m->input_width);
  put_u32(b, m->input_height);
  put_u32(b, m->input_channels);
  put_u32(b, (uint32_t)m->input_transfer);
  for (int i = 0; i < 4; i++) put_f32(b, m->input_mean[i]);
  for (int i = 0; i < 4; i++) put_f32(b, m->input_scale[i]);
  put_f32(b, m->crop_margin);
  append(b, ROTO_INPUT_SIZE - ROTO_INPUT_USED);
}

/* A name as its offset in the strings, which follow the records in the same order. */
static void put_offset(buffer *b, size_t *next, const char *string) {
  put_u32(b, (uint32_t)*next);
  *next += string_size(string);
}

static void put_template(buffer *b, const roto_model_desc *m) {
  size_t start = b->size, next = 0;
  uint32_t vertex_count = 0;
  for (uint32_t i = 0; i < m->shape_count; i++) vertex_count += m->shapes[i].vertex_count;
  put_u32(b, m->landmark_count);
  put_u32(b, m->part_count);
  put_u32(b, m->shape_count);
  put_u32(b, vertex_count);
  append(b, ROTO_TEMPLATE_SIZE - ROTO_TEMPLATE_STRINGS);
  for (uint32_t i = 0; i < m->landmark_count; i++) {
    const roto_landmark *landmark = &m->landmarks[i];
    put_offset(b, &next, landmark->name);
    put_offset(b, &next, landmark->rule);
    put_u32(b, landmark->part);
    put_u32(b, landmark->flip);
    put_f32(b, landmark->weight);
  }
  for (uint32_t i = 0; i < m->part_count; i++) {
    put_offset(b, &next, m->parts[i].name);
    put_f32(b, m->parts[i].weight);
  }
  vertex_count = 0;
  for (uint32_t i = 0; i < m->shape_count; i++) {
    put_offset(b, &next, m->shapes[i].name);
    put_u32(b, (uint32_t)m->shapes[i].closed);
    put_u32(b, vertex_count);
    put_u32(b, m->shapes[i].vertex_count);
    vertex_count += m->shapes[i].vertex_count;
  }
  for (uint32_t i = 0; i < m->shape_count; i++)
    for (uint32_t k = 0; k < m->shapes[i].vertex_count; k++) put_u32(b, (uint32_t)m->shapes[i].vertices[k]);
  for (uint32_t i = 0; i < m->landmark_count; i++) {
    put_string(b, m->landmarks[i].name);
    put_string(b, m->landmarks[i].rule);
  }
  for (uint32_t i = 0; i < m->part_count; i++) put_string(b, m->parts[i].name);
  for (uint32_t i = 0; i < m->shape_count; i++) put_string(b, m->shapes[i].name);
  if (b->status == ROTO_OK) store(b->bytes + start + ROTO_TEMPLATE_STRINGS, next, 4);
}

static void put_calibration(buffer *b, const roto_model_desc *m) {
  put_u32(b, m->knot_count);
  put_u32(b, 0);
  for (uint32_t i = 0; i < m->knot_count; i++) {
    put_f32(b, m->knots[i].spread);
    put_f32(b, m->knots[i].error);
  }
}

static void put_nodes(buffer *b, const roto_model_desc *m) {
  uint32_t next_tensor = 0;
  put_u32(b, m->node_count);
  put_u32(b, 0);
  for (uint32_t i = 0; i < m->node_count; i++) {
    const roto_node_desc *node = &m->nodes[i];
    put(b, node->op, 2);
    put(b, node->act, 2);
    put_u32(b, node->input_count);
    for (uint32_t k = 0; k < ROTO_MAX_INPUTS; k++) put_u32(b, k < node->input_count ? node->inputs[k] : ROTO_NONE);
    put_u32(b, node->kh);
    put_u32(b, node->kw);
    put_u32(b, node->stride);
    put_u32(b, node->pad_top);
    put_u32(b, node->pad_left);
    put_u32(b, node->pad_bottom);
    put_u32(b, node->pad_right);
    put_u32(b, node->h);
    put_u32(b, node->w);
    put_u32(b, node->c);
    for (int slot = 0; slot < 4; slot++) put_u32(b, node->tensors[slot] ? next_tensor++ : ROTO_NONE);
    put_f32(b, node->epsilon);
    put_u32(b, node->channels_per_point);
  }
}

/* Visits the tensors in file order: `data` 0 writes the directory, 1 the floats. */
static void put_tensors(buffer *b, const roto_model_desc *m, int data) {
  uint64_t offset = 0;
  uint32_t tensor_count = 0;
  size_t start = b->size;
  if (!data) put(b, 0, ROTO_LIST_SIZE);
  for (uint32_t i = 0; i < m->node_count; i++)
    for (uint32_t slot = 0; slot < 4; slot++) {
      uint64_t count = roto_tensor_count(m->nodes, i, slot);
      if (!m->nodes[i].tensors[slot]) continue;
      offset = (offset + ROTO_FORMAT_ALIGN - 1) / ROTO_FORMAT_ALIGN * ROTO_FORMAT_ALIGN;
      if (data) {
        align(b);
        put_floats(b, m->nodes[i].tensors[slot], count);
      } else {
        put(b, offset, 8);
        put(b, count, 8);
      }
      offset += count * 4;
      tensor_count++;
    }
  if (!data && b->status == ROTO_OK) store(b->bytes + start + ROTO_LIST_COUNT, tensor_count, 4);
}

static void put_test(buffer *b, const roto_model_desc *m) {
  uint32_t outputs = (uint32_t)output_count(m);
  uint32_t pixels = m->input_width * m->input_height * m->input_channels;
  unsigned char *where;
  put_f32(b, m->test_tolerance);
  put_u32(b, outputs);
  put_u32(b, pixels);
  append(b, ROTO_TEST_SIZE - ROTO_TEST_USED);
  put_floats(b, m->test_output, outputs);
  where = append(b, pixels);
  if (where && pixels) memcpy(where, m->test_pixels, pixels);
}

static const uint32_t chunk_names[ROTO_CHUNK_COUNT] = {
#define CHUNK_CODE(name, code) code,
    ROTO_CHUNK_LIST(CHUNK_CODE)
#undef CHUNK_CODE
};

/* A chunk that starts at `start` and ends here: entry `place` of the table. */
static void put_entry(buffer *b, int place, int chunk, size_t start) {
  unsigned char *entry = b->bytes + ROTO_HEADER_SIZE + place * ROTO_ENTRY_SIZE;
  if (b->status != ROTO_OK) return;
  store(entry + ROTO_ENTRY_NAME, chunk_names[chunk], 4);
  store(entry + ROTO_ENTRY_OFFSET, start, 8);
  store(entry + ROTO_ENTRY_LENGTH, b->size - start, 8);
}

/* The header of the finished file, which is the caller's from then on. */
static roto_status finish(buffer *b, uint32_t chunk_count, unsigned char **bytes, size_t *size) {
  if (b->status != ROTO_OK) {
    free(b->bytes);
    return b->status;
  }
  memcpy(b->bytes + ROTO_HEADER_MAGIC, ROTO_FORMAT_MAGIC, 8);
  store(b->bytes + ROTO_HEADER_VERSION, ROTO_FORMAT_VERSION, 4);
  store(b->bytes + ROTO_HEADER_CHUNK_COUNT, chunk_count, 4);
  store(b->bytes + ROTO_HEADER_FILE_SIZE, b->size, 8);
  *bytes = b->bytes;
  *size = b->size;
  return ROTO_OK;
}

roto_status roto_write_model(const roto_model_desc *model, unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  *bytes = NULL;
  *size = 0;
  b.status = check(model);
  append(&b, ROTO_HEADER_SIZE + ROTO_CHUNK_REQUIRED * ROTO_ENTRY_SIZE);
  for (int i = 0; i < ROTO_CHUNK_REQUIRED && b.status == ROTO_OK; i++) {
    size_t start;
    align(&b);
    start = b.size;
    switch (i) {
      case ROTO_CHUNK_META:
        put_string(&b, model->name);
        put_string(&b, model->description);
        break;
      case ROTO_CHUNK_INPT:
        put_input(&b, model);
        break;
      case ROTO_CHUNK_TMPL:
        put_template(&b, model);
        break;
      case ROTO_CHUNK_CALB:
        put_calibration(&b, model);
        break;
      case ROTO_CHUNK_NETW:
        put_nodes(&b, model);
        break;
      case ROTO_CHUNK_TDIR:
        put_tensors(&b, model, 0);
        break;
      case ROTO_CHUNK_DATA:
        put_tensors(&b, model, 1);
        break;
      default:
        put_test(&b, model);
        break;
    }
    put_entry(&b, i, i, start);
  }
  return finish(&b, ROTO_CHUNK_REQUIRED, bytes, size);
}

uint64_t roto_load(const unsigned char *where, int size) {
  uint64_t value = 0;
  while (size-- > 0) value = value << 8 | where[size];
  return value;
}

float roto_load_float(const unsigned char *where) {
  uint32_t bits = (uint32_t)roto_load(where, 4);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

const unsigned char *roto_find_chunk(const unsigned char *model, uint32_t chunk, size_t *length) {
  const unsigned char *entry = model + ROTO_HEADER_SIZE;
  *length = 0;
  for (uint64_t left = roto_load(model + ROTO_HEADER_CHUNK_COUNT, 4); left > 0; left--, entry += ROTO_ENTRY_SIZE) {
    if (roto_load(entry + ROTO_ENTRY_NAME, 4) != chunk_names[chunk]) continue;
    *length = (size_t)roto_load(entry + ROTO_ENTRY_LENGTH, 8);
    return model + roto_load(entry + ROTO_ENTRY_OFFSET, 8);
  }
  return NULL;
}

/* The model with the contents of `chunk` instead of that chunk, which it may not have had. */
static roto_status replace_chunk(const unsigned char *model, int chunk, buffer *content, unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, content->status};
  uint32_t count = 0;
  size_t length;
  int place = 0;
  for (int i = 0; i < ROTO_CHUNK_COUNT; i++) count += i == chunk || roto_find_chunk(model, (uint32_t)i, &length) != NULL;
  append(&b, ROTO_HEADER_SIZE + count * ROTO_ENTRY_SIZE);
  for (int i = 0; i < ROTO_CHUNK_COUNT && b.status == ROTO_OK; i++) {
    const unsigned char *from = i == chunk ? content->bytes : roto_find_chunk(model, (uint32_t)i, &length);
    if (i == chunk) length = content->size;
    if (from == NULL) continue;
    align(&b);
    size_t start = b.size;
    unsigned char *where = append(&b, length);
    if (where && length) memcpy(where, from, length);
    put_entry(&b, place++, i, start);
  }
  free(content->bytes);
  return finish(&b, count, bytes, size);
}

uint64_t roto_shape_net_floats(const roto_shape_net_desc *n) {
  uint64_t points = 2 * (uint64_t)n->landmarks, width = n->width, outputs = 2 * (uint64_t)n->places + 4 * (uint64_t)n->vertices;
  uint64_t blocks = width * (points + 1) + width * (width + 1);
  for (uint32_t i = 1; i < n->blocks; i++) blocks += width * (width + points + 1) + width * (width + 1);
  return blocks + outputs * (width + points + 1);
}

static void put_shapes(buffer *b, const roto_shapes_desc *s) {
  put_u32(b, s->network_count);
  append(b, ROTO_SHAPES_SIZE - ROTO_SHAPES_USED);
  for (uint32_t i = 0; i < s->network_count; i++) {
    const roto_shape_net_desc *n = &s->networks[i];
    put_u32(b, n->landmarks);
    put_u32(b, n->vertices);
    put_u32(b, n->places);
    put_u32(b, n->blocks);
    put_u32(b, n->width);
  }
  for (uint32_t i = 0; i < s->shape_count; i++) {
    const roto_shape_use_desc *u = &s->shapes[i];
    int is_drawn = u->network != ROTO_NONE;
    put_u32(b, u->network);
    put_u32(b, is_drawn ? (uint32_t)u->mirrored : 0);
    put_u32(b, is_drawn ? (uint32_t)u->reversed : 0);
    put_u32(b, is_drawn ? u->first : 0);
  }
  for (uint32_t i = 0; i < s->shape_count; i++)
    for (uint32_t k = 0; s->shapes[i].network != ROTO_NONE && k < s->networks[s->shapes[i].network].landmarks; k++)
      put_u32(b, s->shapes[i].landmarks[k]);
  align(b);
  for (uint32_t i = 0; i < s->network_count; i++) put_floats(b, s->networks[i].floats, roto_shape_net_floats(&s->networks[i]));
  for (uint32_t i = 0; i < s->shape_count; i++)
    if (s->shapes[i].network != ROTO_NONE)
      put_floats(b, s->shapes[i].test, 6 * (uint64_t)s->networks[s->shapes[i].network].vertices);
}

roto_status roto_write_shapes(const unsigned char *model, size_t model_size, const roto_shapes_desc *shapes,
                              unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !shapes->networks || !shapes->shapes) return ROTO_ERR_ARGUMENT;
  if (shapes->network_count > ROTO_MAX_LANDMARKS || shapes->shape_count > ROTO_MAX_LANDMARKS) return ROTO_ERR_LIMIT;
  for (uint32_t i = 0; i < shapes->network_count; i++) {
    const roto_shape_net_desc *n = &shapes->networks[i];
    if (!n->floats) return ROTO_ERR_ARGUMENT;
    if (n->landmarks > ROTO_MAX_SHAPE_LANDMARKS || n->vertices > ROTO_MAX_SHAPE_VERTICES || n->places > n->vertices ||
        n->blocks > ROTO_MAX_SHAPE_BLOCKS || n->width > ROTO_MAX_SHAPE_WIDTH)
      return ROTO_ERR_LIMIT;
  }
  for (uint32_t i = 0; i < shapes->shape_count; i++) {
    const roto_shape_use_desc *u = &shapes->shapes[i];
    if (u->network != ROTO_NONE && (u->network >= shapes->network_count || !u->landmarks || !u->test)) return ROTO_ERR_ARGUMENT;
  }
  put_shapes(&b, shapes);
  return replace_chunk(model, ROTO_CHUNK_SHAP, &b, bytes, size);
}

roto_status roto_write_look(const unsigned char *model, size_t model_size, const uint32_t *looks, uint32_t look_count,
                            const unsigned char *second, size_t second_size, unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !looks || !second) return ROTO_ERR_ARGUMENT;
  size_t length;
  uint64_t landmarks = roto_load(roto_find_chunk(model, ROTO_CHUNK_TMPL, &length) + ROTO_TEMPLATE_LANDMARKS, 4);
  put_u32(&b, look_count);
  append(&b, ROTO_LOOK_SIZE - ROTO_LOOK_USED);
  for (uint64_t i = 0; i < landmarks; i++) put_u32(&b, looks[i]);
  align(&b);
  unsigned char *where = append(&b, second_size);
  if (where) memcpy(where, second, second_size);
  return replace_chunk(model, ROTO_CHUNK_LOOK, &b, bytes, size);
}

roto_status roto_write_ranges(const unsigned char *model, size_t model_size, const float (*ranges)[2], uint32_t node_count,
                              float tolerance, unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !ranges) return ROTO_ERR_ARGUMENT;
  put_u32(&b, node_count);
  put_f32(&b, tolerance);
  for (uint32_t i = 0; i < node_count; i++) {
    put_f32(&b, ranges[i][0]);
    put_f32(&b, ranges[i][1]);
  }
  return replace_chunk(model, ROTO_CHUNK_RANG, &b, bytes, size);
}

roto_status roto_write_contours(const unsigned char *model, size_t model_size, const roto_contour_desc *contours,
                                uint32_t count, unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !contours) return ROTO_ERR_ARGUMENT;
  if (count > ROTO_MAX_CONTOURS) return ROTO_ERR_LIMIT;
  for (uint32_t i = 0; i < count; i++) {
    if (!contours[i].landmarks || !contours[i].filters) return ROTO_ERR_ARGUMENT;
    if (contours[i].landmark_count > ROTO_MAX_CONTOUR_LANDMARKS) return ROTO_ERR_LIMIT;
  }
  put_u32(&b, count);
  append(&b, ROTO_CONTOURS_SIZE - ROTO_CONTOURS_USED);
  for (uint32_t i = 0; i < count; i++) put_u32(&b, contours[i].landmark_count);
  for (uint32_t i = 0; i < count; i++)
    for (uint32_t k = 0; k < contours[i].landmark_count; k++) put_u32(&b, contours[i].landmarks[k]);
  align(&b);
  for (uint32_t i = 0; i < count; i++)
    put_floats(&b, contours[i].filters[0], (uint64_t)ROTO_CONTOUR_PLACES * ROTO_CONTOUR_FLOATS);
  return replace_chunk(model, ROTO_CHUNK_CONT, &b, bytes, size);
}

roto_status roto_write_distribution(const unsigned char *model, size_t model_size, const roto_distribution_desc *distribution,
                                    unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  size_t length;
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !distribution || !distribution->mean || !distribution->components)
    return ROTO_ERR_ARGUMENT;
  if (distribution->component_count > ROTO_MAX_COMPONENTS) return ROTO_ERR_LIMIT;
  uint64_t floats = 2 * roto_load(roto_find_chunk(model, ROTO_CHUNK_TMPL, &length) + ROTO_TEMPLATE_LANDMARKS, 4);
  put_u32(&b, distribution->component_count);
  put_f32(&b, distribution->deviation);
  append(&b, ROTO_DISTRIBUTION_SIZE - ROTO_DISTRIBUTION_USED);
  for (uint64_t i = 0; i < floats; i++) put_f32(&b, distribution->mean[i]);
  for (uint64_t i = 0; i < floats * distribution->component_count; i++) put_f32(&b, distribution->components[i]);
  return replace_chunk(model, ROTO_CHUNK_DIST, &b, bytes, size);
}

roto_status roto_copy_chunk(const unsigned char *model, size_t model_size, const unsigned char *from, int chunk,
                            unsigned char **bytes, size_t *size) {
  buffer b = {NULL, 0, 0, ROTO_OK};
  size_t length;
  *bytes = NULL;
  *size = 0;
  if (!model || model_size < ROTO_HEADER_SIZE || !from) return ROTO_ERR_ARGUMENT;
  const unsigned char *found = roto_find_chunk(from, (uint32_t)chunk, &length);
  if (!found) return ROTO_ERR_ARGUMENT;
  unsigned char *where = append(&b, length);
  if (where) memcpy(where, found, length);
  return replace_chunk(model, chunk, &b, bytes, size);
}

int roto_write_file_atomic(const char *path, const void *bytes, size_t size) {
  size_t length = strlen(path) + 64;
  char *temporary = malloc(length);
  const unsigned char *at = bytes;
  int fd, error = 0, attempt = 0;
  if (!temporary) return ENOMEM;
  /* O_EXCL: never through a file or link that is there already, such as the leftovers of a process that was killed. */
  do {
    snprintf(temporary, length, "%s.%ld.%d.tmp", path, (long)getpid(), attempt);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
  } while (fd < 0 && errno == EEXIST && ++attempt < 100);
  if (fd < 0) {
    error = errno;
    free(temporary);
    return error;
  }
  while (size > 0 && !error) {
    ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      error = errno;
    } else {
      at += written;
      size -= (size_t)written;
    }
  }
  if (!error && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && !error) error = errno;
  if (!error && rename(temporary, path) != 0) error = errno;
  if (error) unlink(temporary);
  free(temporary);
  return error;
}

const char *roto_rule_text(uint32_t rule) {
  switch (rule) {
#define RULE_CASE(number, name, status, text) \
  case number:                                \
    return text;
    ROTO_RULE_LIST(RULE_CASE)
#undef RULE_CASE
    default:
      return "no rule";
  }
}
