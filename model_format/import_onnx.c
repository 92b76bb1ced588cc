/* See import_onnx.h.
 *
 * An ONNX file is one protobuf message (onnx.proto: ModelProto).  A message is a list of fields, each a number, a wire type and
 * a varint, 4 or 8 bytes, or a length and so many bytes; an embedded message is such bytes.  The decoder below knows just that,
 * and the field numbers of the few messages that matter.  Strings and weights stay where they are in the file.
 *
 * Then the nodes that the output needs are visited in the file's order.  Each ONNX value is a constant, a short list of
 * integers (shapes are computed in some exports), or a value of a .roto node together with the dimensions ONNX gives it: a
 * flattened 7 x 7 x 1280 map is the same node with other dimensions, which is what makes Flatten, Reshape and Squeeze free.
 * The order of elements is always that of [1][c][h][w]; where it matters, in a dense layer, the weights' rows are put in the
 * order [h][w][c]. */

#include "import_onnx.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 8, MAX_NAMES = 1 << 20, OLDEST_OPSET = 7, NEWEST_OPSET = 20 };

typedef struct slice {
  const unsigned char *at;
  size_t size;
} slice;

/* TensorProto.data_type */
enum { TYPE_FLOAT = 1, TYPE_INT32 = 6, TYPE_INT64 = 7, TYPE_HALF = 10, TYPE_DOUBLE = 11 };

typedef struct tensor {
  slice message, raw; /* raw.at NULL: the numbers stand in fields of their own */
  uint64_t type, count;
  int rank;
  int64_t dims[MAX_RANK];
} tensor;

typedef enum value_kind {
  UNMADE,   /* nothing yet */
  CONSTANT, /* a tensor */
  INTEGERS, /* dims[0..rank) holds them */
  MAP       /* a value of the network: node, and dims as ONNX sees it */
} value_kind;

typedef struct value {
  slice name;
  int64_t producer; /* node that makes it; -1: none */
  value_kind kind;
  int rank;
  int64_t dims[MAX_RANK];
  uint32_t node;
  tensor constant;
} value;

typedef struct onnx_node {
  slice name, op, domain, message;
  size_t first_input, first_output, input_count, output_count; /* in importer.names */
  int needed;
} onnx_node;

typedef struct importer {
  const onnx_options *options;
  char *message;
  slice graph;
  uint64_t opset;
  onnx_node *nodes;
  size_t node_count;
  size_t *names; /* indices of values; 0 is the value without a name, which is absent */
  size_t name_count;
  value *values;
  size_t value_count;
  size_t *table; /* hash table of values, open addressing, a power of two; 0: free */
  size_t table_size;
  onnx_network *network;
  uint32_t capacity; /* of network->nodes */
  uint64_t floats;   /* in network->tensors */
  char shown[4][64];
  unsigned next_shown;
} importer;

static int fail(importer *im, const char *format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(im->message, ONNX_MESSAGE_SIZE, format, list);
  va_end(list);
  return -1;
}

/* A name from the file, cut and cleaned for a message; good until three more were shown. */
static const char *show(importer *im, slice name) {
  char *s = im->shown[im->next_shown++ % 4];
  size_t n = name.size < sizeof im->shown[0] - 1 ? name.size : sizeof im->shown[0] - 1;
  for (size_t i = 0; i < n; i++) s[i] = name.at[i] < 32 || name.at[i] > 126 ? '?' : (char)name.at[i];
  s[n] = 0;
  return s;
}

static int refuse(importer *im, const onnx_node *node, const char *format, ...) {
  va_list list;
  char reason[384];
  va_start(list, format);
  vsnprintf(reason, sizeof reason, format, list);
  va_end(list);
  return fail(im, "node '%s' (%s): %s", show(im, node->name), show(im, node->op), reason);
}

static int out_of_memory(importer *im) {
  return fail(im, "out of memory");
}

static int is(slice name, const char *word) {
  return name.size == strlen(word) && memcmp(name.at, word, name.size) == 0;
}

/* ---- the wire format ---- */

typedef struct field {
  uint32_t number, wire;
  uint64_t number_value; /* wire types 0, 1, 5 */
  slice body;            /* wire type 2; of 1 and 5 the bytes */
} field;

enum { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };

static int read_varint(slice *from, uint64_t *number) {
  *number = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (from->size == 0) return -1;
    unsigned char byte = *from->at++;
    from->size--;
    *number |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return 0;
  }
  return -1;
}

static uint64_t little_endian(const unsigned char *at, size_t size) {
  uint64_t v = 0;
  while (size-- > 0) v = v << 8 | at[size];
  return v;
}

/* 1 and the next field, 0 at the end, -1 if the bytes are no message. */
static int next_field(slice *message, field *f) {
  uint64_t key, size = 0;
  if (message->size == 0) return 0;
  memset(f, 0, sizeof *f);
  if (read_varint(message, &key) || key >> 3 == 0 || key >> 32 != 0) return -1;
  f->number = (uint32_t)(key >> 3);
  f->wire = (uint32_t)(key & 7);
  if (f->wire == WIRE_VARINT) return read_varint(message, &f->number_value) ? -1 : 1;
  if (f->wire == WIRE_BYTES) {
    if (read_varint(message, &size)) return -1;
  } else if (f->wire == WIRE_8_BYTES || f->wire == WIRE_4_BYTES) {
    size = f->wire == WIRE_8_BYTES ? 8 : 4;
  } else {
    return -1;
  }
  if (size > message->size) return -1;
  f->body.at = message->at;
  f->body.size = (size_t)size;
  if (f->wire != WIRE_BYTES) f->number_value = little_endian(f->body.at, f->body.size);
  message->at += size;
  message->size -= (size_t)size;
  return 1;
}

static int damaged(importer *im, const char *where) {
  return fail(im, "the %s is damaged: expected an ONNX file; is it one, and complete? Export it again", where);
}

static float float_of_bits(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static float float_of_half(uint32_t bits) {
  uint32_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * ldexpf((float)mantissa, -24);
  return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* ---- tensors ---- */

static slice tensor_name(slice message) {
  field f;
  slice name = {NULL, 0};
  while (next_field(&message, &f) == 1)
    if (f.number == 8 && f.wire == WIRE_BYTES) name = f.body;
  return name;
}

/* Numbers of a repeated field, packed or not: calls `take` for each; a negative result ends it. */
static int each_number(const field *f, uint32_t wire, int (*take)(void *, uint64_t), void *context) {
  slice rest = f->body;
  uint64_t number;
  if (f->wire == wire) return take(context, f->number_value);
  if (f->wire != WIRE_BYTES) return -1;
  while (rest.size > 0) {
    size_t size = wire == WIRE_8_BYTES ? 8 : 4;
    if (wire == WIRE_VARINT) {
      if (read_varint(&rest, &number)) return -1;
    } else {
      if (rest.size < size) return -1;
      number = little_endian(rest.at, size);
      rest.at += size;
      rest.size -= size;
    }
    if (take(context, number)) return -1;
  }
  return 0;
}

typedef struct integer_list {
  int count;
  int64_t at[MAX_RANK];
} integer_list;

static int take_integer(void *context, uint64_t number) {
  integer_list *list = context;
  if (list->count == MAX_RANK) return -1;
  list->at[list->count++] = (int64_t)number;
  return 0;
}

static int read_tensor(importer *im, slice message, tensor *t) {
  field f;
  integer_list dims = {0, {0}};
  int got;
  const char *name = show(im, tensor_name(message));
  memset(t, 0, sizeof *t);
  t->message = message;
  while ((got = next_field(&message, &f)) == 1) {
    if (f.number == 1 && each_number(&f, WIRE_VARINT, take_integer, &dims))
      return fail(im, "tensor '%s': expected at most %d dimensions", name, MAX_RANK);
    if (f.number == 2) t->type = f.number_value;
    if (f.number == 9 && f.wire == WIRE_BYTES) t->raw = f.body;
    if (f.number == 13 || (f.number == 14 && f.number_value == 1))
      return fail(im, "tensor '%s': its numbers stand in another file; export with all weights inside the .onnx file", name);
  }
  if (got < 0) return damaged(im, "description of a tensor");
  t->rank = dims.count;
  t->count = 1;
  for (int i = 0; i < t->rank; i++) {
    if (dims.at[i] < 0 || (dims.at[i] > 0 && t->count > ROTO_MAX_VALUES / (uint64_t)dims.at[i]))
      return fail(im, "tensor '%s': dimension %d is %lld; at most %llu numbers are supported", name, i, (long long)dims.at[i],
                  ROTO_MAX_VALUES);
    t->dims[i] = dims.at[i];
    t->count *= (uint64_t)dims.at[i];
  }
  return 0;
}

typedef struct number_list {
  uint64_t type, count, room;
  float *floats; /* either */
  int64_t *integers;
} number_list;

/* One number as its bits in the tensor's type. */
static int take_number(void *context, uint64_t bits) {
  number_list *list = context;
  double wide;
  if (list->count == list->room) return -1;
  if (list->integers) {
    list->integers[list->count++] = list->type == TYPE_INT32 ? (int64_t)(int32_t)(uint32_t)bits : (int64_t)bits;
    return 0;
  }
  memcpy(&wide, &bits, sizeof wide);
  list->floats[list->count++] = list->type == TYPE_FLOAT  ? float_of_bits((uint32_t)bits)
                                : list->type == TYPE_HALF ? float_of_half((uint32_t)bits & 0xffff)
                                                          : (float)wide;
  return 0;
}

/* Where the numbers of each type stand if not in raw_data (float_data, int32_data, int64_data, double_data). */
static const struct {
  uint64_t type;
  uint32_t number, wire;
  size_t size;
  int whole;
} stores[] = {{TYPE_FLOAT, 4, WIRE_4_BYTES, 4, 0},
              {TYPE_HALF, 5, WIRE_VARINT, 2, 0},
              {TYPE_DOUBLE, 10, WIRE_8_BYTES, 8, 0},
              {TYPE_INT32, 5, WIRE_VARINT, 4, 1},
              {TYPE_INT64, 7, WIRE_VARINT, 8, 1}};

/* All numbers of a tensor into an array of t->count. */
static int read_numbers(importer *im, const tensor *t, float *floats, int64_t *integers) {
  number_list list = {t->type, 0, t->count, floats, integers};
  const char *name = show(im, tensor_name(t->message));
  slice message = t->message;
  field f;
  size_t k = 0;
  while (k < sizeof stores / sizeof *stores && (stores[k].type != t->type || stores[k].whole != (integers != NULL))) k++;
  if (k == sizeof stores / sizeof *stores)
    return fail(im, "tensor '%s': expected %s, found data type %llu of ONNX", name,
                integers ? "integers" : "fp32 or fp16 weights", (unsigned long long)t->type);
  if (t->raw.at != NULL) {
    if (t->raw.size != t->count * stores[k].size)
      return fail(im, "tensor '%s': expected %llu bytes for its dimensions, found %zu", name,
                  (unsigned long long)t->count * stores[k].size, t->raw.size);
    for (size_t i = 0; i < t->count; i++) take_number(&list, little_endian(t->raw.at + i * stores[k].size, stores[k].size));
  } else {
    int whole = 1;
    while (whole && next_field(&message, &f) == 1)
      if (f.number == stores[k].number) whole = each_number(&f, stores[k].wire, take_number, &list) == 0;
    if (!whole || list.count != t->count)
      return fail(im, "tensor '%s': expected %llu numbers for its dimensions, found %s", name, (unsigned long long)t->count,
                  whole ? "fewer" : "more");
  }
  for (uint64_t i = 0; floats && i < t->count; i++)
    if (!isfinite(floats[i])) return fail(im, "tensor '%s': number %llu is not finite", name, (unsigned long long)i);
  return 0;
}

/* An array of `count` floats that lives as long as the network; NULL after a message. */
static float *new_floats(importer *im, uint64_t count) {
  onnx_network *n = im->network;
  float **grown, *floats;
  if (count > ROTO_MAX_VALUES - im->floats) {
    fail(im, "more than %llu weights; the .roto format holds no more", ROTO_MAX_VALUES);
    return NULL;
  }
  grown = realloc(n->tensors, (n->tensor_count + 1) * sizeof *grown);
  if (grown) n->tensors = grown;
  floats = grown ? calloc(count > 0 ? (size_t)count : 1, sizeof *floats) : NULL;
  if (!floats) {
    out_of_memory(im);
    return NULL;
  }
  im->floats += count;
  return n->tensors[n->tensor_count++] = floats;
}

/* ---- the graph ---- */

static size_t hash_name(slice name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < name.size; i++) h = (h ^ name.at[i]) * 0x100000001b3u;
  return (size_t)(h ^ h >> 31);
}

/* The value of this name, which is made if it is new.  The table was sized for every name of the file. */
static size_t value_of(importer *im, slice name) {
  size_t mask = im->table_size - 1, k = hash_name(name) & mask;
  if (name.size == 0) return 0;
  for (; im->table[k] != 0; k = (k + 1) & mask) {
    const slice *other = &im->values[im->table[k]].name;
    if (other->size == name.size && memcmp(other->at, name.at, name.size) == 0) return im->table[k];
  }
  value *v = &im->values[im->value_count];
  memset(v, 0, sizeof *v);
  v->name = name;
  v->producer = -1;
  return im->table[k] = im->value_count++;
}

/* Numbers of fields in graph, node and tensor, for sizing the tables; -1 if the bytes are no messages. */
static int count_graph(importer *im, size_t *node_count, size_t *name_count) {
  slice graph = im->graph;
  field f, g;
  int got, inner = 0;
  *node_count = *name_count = 0;
  while ((got = next_field(&graph, &f)) == 1) {
    slice message = f.body;
    if (f.wire != WIRE_BYTES || (f.number != 1 && f.number != 5 && f.number != 11 && f.number != 12)) continue;
    *node_count += f.number == 1;
    *name_count += f.number != 1;
    while (f.number == 1 && (inner = next_field(&message, &g)) == 1) *name_count += g.number == 1 || g.number == 2;
    if (inner < 0) return damaged(im, "list of nodes");
  }
  return got < 0 ? damaged(im, "graph") : 0;
}

static int read_node(importer *im, slice message, onnx_node *node) {
  field f;
  memset(node, 0, sizeof *node);
  node->message = message;
  /* Inputs, then outputs: each list is one run of names whatever the order of the fields. */
  for (uint32_t number = 1; number <= 2; number++) {
    size_t first = im->name_count;
    slice rest = message;
    while (next_field(&rest, &f) == 1)
      if (f.number == number) im->names[im->name_count++] = value_of(im, f.body);
    if (number == 1) {
      node->first_input = first;
      node->input_count = im->name_count - first;
    } else {
      node->first_output = first;
      node->output_count = im->name_count - first;
    }
  }
  while (next_field(&message, &f) == 1) {
    if (f.number == 3) node->name = f.body;
    if (f.number == 4) node->op = f.body;
    if (f.number == 7) node->domain = f.body;
  }
  if (node->name.size == 0 && node->output_count > 0) node->name = im->values[im->names[node->first_output]].name;
  return 0;
}

static slice first_string(slice message, uint32_t number) {
  field f;
  slice found = {NULL, 0};
  while (next_field(&message, &f) == 1)
    if (f.number == number && f.wire == WIRE_BYTES) found = f.body;
  return found;
}

static void define_constant(value *v, const tensor *t) {
  v->kind = CONSTANT;
  v->constant = *t;
  v->rank = t->rank;
  memcpy(v->dims, t->dims, sizeof v->dims);
}

static int read_graph(importer *im, slice *input, size_t *output) {
  size_t node_count, name_count, outputs = 0, inputs = 0, seen = 0;
  slice graph = im->graph;
  field f;
  if (count_graph(im, &node_count, &name_count)) return -1;
  if (node_count == 0) return fail(im, "the graph has no nodes; expected an ONNX model");
  if (name_count > MAX_NAMES || node_count > MAX_NAMES)
    return fail(im, "%zu nodes with %zu names; at most %d are supported", node_count, name_count, MAX_NAMES);
  for (im->table_size = 16; im->table_size < 2 * name_count + 2;) im->table_size *= 2;
  im->nodes = calloc(node_count, sizeof *im->nodes);
  im->names = calloc(name_count + 1, sizeof *im->names);
  im->values = calloc(name_count + 2, sizeof *im->values);
  im->table = calloc(im->table_size, sizeof *im->table);
  if (!im->nodes || !im->names || !im->values || !im->table) return out_of_memory(im);
  im->value_count = 1;
  im->values[0].producer = -1;
  while (next_field(&graph, &f) == 1) {
    if (f.wire != WIRE_BYTES) continue;
    if (f.number == 1) {
      onnx_node *node = &im->nodes[im->node_count];
      if (read_node(im, f.body, node)) return -1;
      for (size_t k = 0; k < node->output_count; k++) {
        size_t made = im->names[node->first_output + k];
        if (made == 0) continue;
        if (im->values[made].producer >= 0)
          return refuse(im, node, "makes '%s', which another node makes too", show(im, im->values[made].name));
        im->values[made].producer = (int64_t)im->node_count;
      }
      im->node_count++;
    }
    if (f.number == 5) {
      tensor t;
      if (read_tensor(im, f.body, &t)) return -1;
      define_constant(&im->values[value_of(im, tensor_name(f.body))], &t);
    }
  }
  for (graph = im->graph; next_field(&graph, &f) == 1;) {
    if (f.wire != WIRE_BYTES) continue;
    if (f.number == 11) {
      const value *v = &im->values[value_of(im, first_string(f.body, 1))];
      if (v->kind == CONSTANT) continue; /* files before IR version 4 list weights among the inputs */
      *input = f.body;
      inputs++;
    }
    if (f.number == 12) {
      size_t v = value_of(im, first_string(f.body, 1));
      outputs++;
      if (im->options->output == NULL || is(im->values[v].name, im->options->output)) *output = v, seen++;
    }
  }
  if (im->options->output != NULL && seen == 0)
    for (size_t v = 1; v < im->value_count; v++)
      if (is(im->values[v].name, im->options->output)) *output = v, seen++;
  if (im->options->output != NULL && seen != 1)
    return fail(im, "no node makes '%s', the output asked for", im->options->output);
  if (inputs != 1) return fail(im, "expected one input, the picture; found %zu", inputs);
  if (seen != 1) return fail(im, "expected one output, found %zu; name the one that is wanted", outputs);
  return 0;
}

/* ---- attributes ---- */

static int find_attribute(const onnx_node *node, const char *name, slice *attribute) {
  slice message = node->message;
  field f;
  while (next_field(&message, &f) == 1)
    if (f.number == 5 && f.wire == WIRE_BYTES && is(first_string(f.body, 1), name)) {
      *attribute = f.body;
      return 1;
    }
  return 0;
}

/* The last field `number` of an attribute: its value, or 0 if the attribute or the field is not there. */
static int attribute_field(const onnx_node *node, const char *name, uint32_t number, field *found) {
  slice message;
  field f;
  int seen = 0;
  memset(found, 0, sizeof *found);
  if (!find_attribute(node, name, &message)) return 0;
  while (next_field(&message, &f) == 1)
    if (f.number == number) *found = f, seen = 1;
  return seen;
}

static int64_t integer_attribute(const onnx_node *node, const char *name, int64_t otherwise) {
  field f;
  return attribute_field(node, name, 3, &f) ? (int64_t)f.number_value : otherwise;
}

static float float_attribute(const onnx_node *node, const char *name, float otherwise) {
  field f;
  return attribute_field(node, name, 2, &f) ? float_of_bits((uint32_t)f.number_value) : otherwise;
}

/* 1 and the list, 0 if there is none, -1 after a message. */
static int integers_attribute(importer *im, const onnx_node *node, const char *name, integer_list *list) {
  slice message;
  field f;
  list->count = 0;
  if (!find_attribute(node, name, &message)) return 0;
  while (next_field(&message, &f) == 1)
    if (f.number == 8 && each_number(&f, WIRE_VARINT, take_integer, list))
      return refuse(im, node, "'%s' has more than %d numbers", name, MAX_RANK);
  return 1;
}

/* ---- values ---- */

/* Input k of a node, NULL where it is absent. */
static value *input_of(importer *im, const onnx_node *node, size_t k) {
  size_t v = k < node->input_count ? im->names[node->first_input + k] : 0;
  return v ? &im->values[v] : NULL;
}

static value *output_of(importer *im, const onnx_node *node) {
  return &im->values[im->names[node->first_output]];
}

static value *network_input(importer *im, const onnx_node *node, size_t k) {
  value *v = input_of(im, node, k);
  if (v && v->kind == MAP) return v;
  refuse(im, node, "expected a value of the network as input %zu, found %s", k, v ? "a constant" : "none");
  return NULL;
}

/* Is dimension 1 the channels?  The order of elements is [c][h][w], so this is all it takes. */
static int has_channels(const importer *im, const value *v) {
  return v->rank >= 2 && v->dims[0] == 1 && v->dims[1] == im->network->nodes[v->node].c;
}

/* The value as a picture-like map: dimensions 1, c, h, w. */
static value *map_input(importer *im, const onnx_node *node, size_t k) {
  value *v = network_input(im, node, k);
  if (!v) return NULL;
  const roto_node_desc *n = &im->network->nodes[v->node];
  if (v->rank == 4 && has_channels(im, v) && v->dims[2] == n->h && v->dims[3] == n->w) return v;
  refuse(im, node, "expected a map with dimensions 1, channels, height, width as input %zu, found %d dimensions", k, v->rank);
  return NULL;
}

static const tensor *constant_input(importer *im, const onnx_node *node, size_t k, const char *what) {
  value *v = input_of(im, node, k);
  if (v && v->kind == CONSTANT) return &v->constant;
  refuse(im, node, "expected constant %s as input %zu, found %s", what, k, v ? "a computed value" : "none");
  return NULL;
}

static int integers_input(importer *im, const onnx_node *node, size_t k, integer_list *list) {
  value *v = input_of(im, node, k);
  if (v && v->kind == INTEGERS) {
    list->count = v->rank;
    memcpy(list->at, v->dims, sizeof list->at);
    return 0;
  }
  const tensor *t = constant_input(im, node, k, "integers");
  if (!t) return -1;
  if (t->count > MAX_RANK) return refuse(im, node, "expected at most %d numbers as input %zu", MAX_RANK, k);
  list->count = (int)t->count;
  return read_numbers(im, t, NULL, list->at);
}

/* All numbers of a constant, `count` of them, in an array of the network; NULL after a message. */
static float *constant_floats(importer *im, const onnx_node *node, const tensor *t, uint64_t count) {
  if (t->count != count) {
    refuse(im, node, "tensor '%s': expected %llu numbers, found %llu", show(im, tensor_name(t->message)),
           (unsigned long long)count, (unsigned long long)t->count);
    return NULL;
  }
  float *floats = new_floats(im, count);
  return floats && read_numbers(im, t, floats, NULL) == 0 ? floats : NULL;
}

static int all_finite(const float *floats, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    if (!isfinite(floats[i])) return 0;
  return 1;
}

static void set_map(value *v, uint32_t node, const roto_node_desc *n) {
  v->kind = MAP;
  v->node = node;
  v->rank = 4;
  v->dims[0] = 1;
  v->dims[1] = n->c;
  v->dims[2] = n->h;
  v->dims[3] = n->w;
}

static void copy_value(value *to, const value *from) {
  slice name = to->name;
  int64_t producer = to->producer;
  *to = *from;
  to->name = name;
  to->producer = producer;
}

static int set_integers(value *v, const int64_t *at, int count) {
  v->kind = INTEGERS;
  v->rank = count;
  memcpy(v->dims, at, (size_t)count * sizeof *at);
  return 0;
}

/* ---- nodes of the network ---- */

/* Append a .roto node whose inputs, window and c (of CONV, DENSE) are set; its index, or -1 after a message. */
static int64_t append(importer *im, const onnx_node *from, roto_node_desc n) {
  onnx_network *net = im->network;
  const roto_node_desc *in = &net->nodes[n.inputs[0]];
  n.h = in->h;
  n.w = in->w;
  if (n.op != ROTO_OP_CONV && n.op != ROTO_OP_DENSE && n.op != ROTO_OP_CONCAT) n.c = in->c;
  for (uint32_t k = 0; k < n.input_count; k++)
    if (n.inputs[k] == 0 && n.op != ROTO_OP_CONV) return refuse(im, from, "the picture may only feed Conv");
  if (n.kh > 0) {
    uint64_t room_y = (uint64_t)in->h + n.pad_top + n.pad_bottom, room_x = (uint64_t)in->w + n.pad_left + n.pad_right;
    if (n.kh > ROTO_MAX_KERNEL || n.kw > ROTO_MAX_KERNEL || n.stride > ROTO_MAX_STRIDE)
      return refuse(im, from, "kernel %u x %u, stride %u; at most %u x %u and %u are supported", n.kh, n.kw, n.stride,
                    ROTO_MAX_KERNEL, ROTO_MAX_KERNEL, ROTO_MAX_STRIDE);
    if (n.pad_top >= n.kh || n.pad_bottom >= n.kh || n.pad_left >= n.kw || n.pad_right >= n.kw)
      return refuse(im, from, "padding must be below the kernel's side, %u x %u", n.kh, n.kw);
    if (room_y < n.kh || room_x < n.kw)
      return refuse(im, from, "a kernel of %u x %u does not fit into %u x %u", n.kh, n.kw, in->h, in->w);
    n.h = (uint32_t)(room_y - n.kh) / n.stride + 1;
    n.w = (uint32_t)(room_x - n.kw) / n.stride + 1;
  }
  if (n.op == ROTO_OP_DENSE || n.op == ROTO_OP_GLOBALPOOL) n.h = n.w = 1;
  if (n.h > ROTO_MAX_SIZE || n.w > ROTO_MAX_SIZE || n.c > ROTO_MAX_CHANNELS || n.c == 0 ||
      (uint64_t)n.h * n.w * n.c > ROTO_MAX_VALUES)
    return refuse(im, from, "a result of %u x %u with %u channels exceeds the limits of the .roto format", n.h, n.w, n.c);
  if (net->node_count == ROTO_MAX_NODES) return refuse(im, from, "more than %u layers", ROTO_MAX_NODES);
  if (net->node_count == im->capacity) {
    uint32_t capacity = im->capacity ? 2 * im->capacity : 64;
    roto_node_desc *grown = realloc(net->nodes, capacity * sizeof *grown);
    if (!grown) return out_of_memory(im);
    net->nodes = grown;
    im->capacity = capacity;
  }
  net->nodes[net->node_count] = n;
  return net->node_count++;
}

static roto_node_desc new_node(int op, int act, uint32_t input) {
  roto_node_desc n;
  memset(&n, 0, sizeof n);
  n.op = (uint16_t)op;
  n.act = (uint16_t)act;
  n.input_count = 1;
  n.inputs[0] = input;
  return n;
}

/* Append, and make it the value of the node's output with the usual dimensions. */
static int append_map(importer *im, const onnx_node *node, roto_node_desc n) {
  int64_t index = append(im, node, n);
  if (index < 0) return -1;
  set_map(output_of(im, node), (uint32_t)index, &im->network->nodes[index]);
  return 0;
}

/* The same for what leaves the dimensions as they were. */
static int append_like(importer *im, const onnx_node *node, roto_node_desc n, const value *like) {
  value v = *like;
  int64_t index = append(im, node, n);
  if (index < 0) return -1;
  v.node = (uint32_t)index;
  copy_value(output_of(im, node), &v);
  return 0;
}

/* Kernel, strides, dilations and padding of Conv and pools, for an input of h x w. */
static int read_window(importer *im, const onnx_node *node, const roto_node_desc *in, roto_node_desc *n) {
  integer_list kernel, strides, pads, dilations;
  int has_kernel = integers_attribute(im, node, "kernel_shape", &kernel), i;
  int has_strides = integers_attribute(im, node, "strides", &strides);
  int has_pads = integers_attribute(im, node, "pads", &pads);
  int has_dilations = integers_attribute(im, node, "dilations", &dilations);
  int64_t side[2] = {n->kh, n->kw}, size[2] = {in->h, in->w}, begin[2] = {0, 0}, end[2] = {0, 0}, stride;
  field mode;
  if (has_kernel < 0 || has_strides < 0 || has_pads < 0 || has_dilations < 0) return -1;
  if ((has_kernel && kernel.count != 2) || (has_strides && strides.count != 2) || (has_pads && pads.count != 4) ||
      (has_dilations && dilations.count != 2))
    return refuse(im, node, "expected two dimensions, found attributes for another number of them");
  if (!has_strides) strides.at[0] = strides.at[1] = 1;
  for (i = 0; i < 2; i++) {
    if (has_kernel && side[i] == 0) side[i] = kernel.at[i];
    if (has_kernel && kernel.at[i] != side[i])
      return refuse(im, node, "kernel_shape says %lld, the weights %lld", (long long)kernel.at[i], (long long)side[i]);
    if (side[i] < 1 || side[i] > ROTO_MAX_KERNEL)
      return refuse(im, node, "kernel side %lld; 1 to %u are supported", (long long)side[i], ROTO_MAX_KERNEL);
    if (has_dilations && dilations.at[i] != 1 && side[i] > 1)
      return refuse(im, node, "dilation %lld; only 1 is supported", (long long)dilations.at[i]);
  }
  stride = strides.at[0];
  if (stride != strides.at[1] || stride < 1 || stride > ROTO_MAX_STRIDE)
    return refuse(im, node, "strides %lld and %lld; expected the same in both directions, 1 to %u", (long long)stride,
                  (long long)strides.at[1], ROTO_MAX_STRIDE);
  int has_mode = attribute_field(node, "auto_pad", 4, &mode);
  int upper = is(mode.body, "SAME_UPPER"), lower = is(mode.body, "SAME_LOWER"), valid = is(mode.body, "VALID");
  if (has_mode && !upper && !lower && !valid && !is(mode.body, "NOTSET"))
    return refuse(im, node, "auto_pad '%s'; SAME_UPPER, SAME_LOWER, VALID and NOTSET are supported", show(im, mode.body));
  for (i = 0; i < 2; i++) {
    if (upper || lower) {
      int64_t total = ((size[i] + stride - 1) / stride - 1) * stride + side[i] - size[i];
      if (total < 0) total = 0;
      begin[i] = upper ? total / 2 : total - total / 2;
      end[i] = total - begin[i];
    } else if (has_pads && !valid) {
      begin[i] = pads.at[i];
      end[i] = pads.at[2 + i];
    }
    if (begin[i] < 0 || end[i] < 0 || begin[i] >= side[i] || end[i] >= side[i])
      return refuse(im, node, "padding %lld and %lld; expected 0 or more and less than the kernel's side, %lld",
                    (long long)begin[i], (long long)end[i], (long long)side[i]);
    /* ceil_mode: one more window where pixels are left over, if it starts inside; pools do not count what lies outside. */
    int64_t room = size[i] + begin[i] + end[i] - side[i], left = room < 0 ? 0 : room % stride;
    if (integer_attribute(node, "ceil_mode", 0) && left > 0 && room - left + stride < size[i] + begin[i]) {
      end[i] += stride - left;
      if (end[i] >= side[i]) return refuse(im, node, "ceil_mode with a window beyond the padding is not supported");
    }
  }
  n->kh = (uint32_t)side[0];
  n->kw = (uint32_t)side[1];
  n->stride = (uint32_t)stride;
  n->pad_top = (uint32_t)begin[0];
  n->pad_left = (uint32_t)begin[1];
  n->pad_bottom = (uint32_t)end[0];
  n->pad_right = (uint32_t)end[1];
  return 0;
}

/* ---- operators ---- */

static int build_conv(importer *im, const onnx_node *node) {
  value *x = map_input(im, node, 0);
  const tensor *weight = x ? constant_input(im, node, 1, "weights") : NULL;
  if (!weight) return -1;
  roto_node_desc in = im->network->nodes[x->node], n = new_node(ROTO_OP_CONV, ROTO_ACT_NONE, x->node);
  int64_t groups = integer_attribute(node, "group", 1);
  if (weight->rank != 4) return refuse(im, node, "expected weights with 4 dimensions, found %d", weight->rank);
  uint64_t oc = (uint64_t)weight->dims[0], ic = (uint64_t)weight->dims[1];
  if (weight->dims[2] > ROTO_MAX_KERNEL || weight->dims[3] > ROTO_MAX_KERNEL || oc > ROTO_MAX_CHANNELS || oc == 0)
    return refuse(im, node, "weights of %lld x %lld for %llu channels exceed the limits of the .roto format",
                  (long long)weight->dims[2], (long long)weight->dims[3], (unsigned long long)oc);
  if (groups != 1 && (groups != (int64_t)in.c || oc != in.c))
    return refuse(im, node, "%lld groups for %u channels in and %llu out; 1 and one for each channel are supported",
                  (long long)groups, in.c, (unsigned long long)oc);
  if (ic != (groups == 1 ? in.c : 1))
    return refuse(im, node, "the weights are for %llu channels, the input has %u", (unsigned long long)ic, in.c);
  if (groups != 1) n.op = ROTO_OP_DEPTHWISE;
  n.c = (uint32_t)oc;
  n.kh = (uint32_t)weight->dims[2];
  n.kw = (uint32_t)weight->dims[3];
  if (n.kh == 0 || n.kw == 0) return refuse(im, node, "the weights are empty");
  if (read_window(im, node, &in, &n)) return -1;

  const float *from = constant_floats(im, node, weight, weight->count);
  float *to = from ? new_floats(im, weight->count) : NULL;
  if (!to) return -1;
  size_t taps = (size_t)n.kh * n.kw;
  for (size_t o = 0; o < oc; o++)
    for (size_t i = 0; i < ic; i++)
      for (size_t tap = 0; tap < taps; tap++) to[(tap * ic + i) * oc + o] = from[(o * ic + i) * taps + tap];
  n.tensors[0] = to;
  if (input_of(im, node, 2)) {
    const tensor *bias = constant_input(im, node, 2, "bias");
    if (!bias || !(n.tensors[1] = constant_floats(im, node, bias, oc))) return -1;
  }
  return append_map(im, node, n);
}

static int build_batchnorm(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  if (!x) return -1;
  roto_node_desc n = new_node(ROTO_OP_BATCHNORM, ROTO_ACT_NONE, x->node);
  uint32_t c = im->network->nodes[x->node].c;
  if (!has_channels(im, x)) return refuse(im, node, "expected a map or its channels as input");
  if (integer_attribute(node, "training_mode", 0) || !integer_attribute(node, "spatial", 1))
    return refuse(im, node, "training mode and statistics a pixel are not supported; export in evaluation mode");
  n.epsilon = float_attribute(node, "epsilon", 1e-5f);
  if (!(n.epsilon > 0) || !isfinite(n.epsilon)) return refuse(im, node, "epsilon is %g; expected above 0", (double)n.epsilon);
  for (size_t k = 0; k < 4; k++) {
    const tensor *t = constant_input(im, node, 1 + k, "statistics");
    if (!t || !(n.tensors[k] = constant_floats(im, node, t, c))) return -1;
  }
  for (uint32_t i = 0; i < c; i++)
    if (!(n.tensors[3][i] + n.epsilon > 0)) return refuse(im, node, "the variance of channel %u is negative", i);
  return append_like(im, node, n, x);
}

static int append_act(importer *im, const onnx_node *node, const value *x, int act) {
  return append_like(im, node, new_node(ROTO_OP_ACT, act, x->node), x);
}

static int build_relu(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  return x ? append_act(im, node, x, ROTO_ACT_RELU) : -1;
}

static int build_sigmoid(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  return x ? append_act(im, node, x, ROTO_ACT_SIGMOID) : -1;
}

static int build_hard_swish(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  return x ? append_act(im, node, x, ROTO_ACT_HARD_SWISH) : -1;
}

static int build_hard_sigmoid(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  float alpha = float_attribute(node, "alpha", 0.2f), beta = float_attribute(node, "beta", 0.5f);
  if (!x) return -1;
  if (!(fabsf(alpha - 1.0f / 6) < 1e-6f) || !(fabsf(beta - 0.5f) < 1e-6f))
    return refuse(im, node, "alpha %g, beta %g; 1/6 and 1/2 are supported", (double)alpha, (double)beta);
  return append_act(im, node, x, ROTO_ACT_HARD_SIGMOID);
}

/* Bounds are attributes up to opset 10, inputs from then on. */
static int clip_bound(importer *im, const onnx_node *node, size_t input, const char *attribute, float *bound) {
  if (im->opset < 11) {
    *bound = float_attribute(node, attribute, *bound);
  } else if (input_of(im, node, input)) {
    const tensor *t = constant_input(im, node, input, "bounds");
    const float *number = t ? constant_floats(im, node, t, 1) : NULL;
    if (!number) return -1;
    *bound = *number;
  }
  return 0;
}

static int build_clip(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  float low = -FLT_MAX, high = FLT_MAX;
  if (!x || clip_bound(im, node, 1, "min", &low) || clip_bound(im, node, 2, "max", &high)) return -1;
  if (!(low >= 0 && low <= 0) || !(high >= FLT_MAX || (high >= 6 && high <= 6)))
    return refuse(im, node, "bounds %g and %g; 0 with 6 or without end are supported", (double)low, (double)high);
  return append_act(im, node, x, high >= FLT_MAX ? ROTO_ACT_RELU : ROTO_ACT_RELU6);
}

/* x * sigmoid(x), x * hard sigmoid(x), or a map times a factor a channel. */
static int build_mul(importer *im, const onnx_node *node) {
  value *a = network_input(im, node, 0), *b = a ? network_input(im, node, 1) : NULL;
  if (!b) return -1;
  for (int swap = 0; swap < 2; swap++) {
    const value *x = swap ? b : a, *gate = swap ? a : b;
    const roto_node_desc *g = &im->network->nodes[gate->node];
    if (g->op == ROTO_OP_ACT && g->inputs[0] == x->node && (g->act == ROTO_ACT_SIGMOID || g->act == ROTO_ACT_HARD_SIGMOID))
      return append_act(im, node, x, g->act == ROTO_ACT_SIGMOID ? ROTO_ACT_SWISH : ROTO_ACT_HARD_SWISH);
  }
  for (int swap = 0; swap < 2; swap++) {
    const value *x = swap ? b : a, *factor = swap ? a : b;
    const roto_node_desc *m = &im->network->nodes[x->node], *f = &im->network->nodes[factor->node];
    if (f->h != 1 || f->w != 1 || f->c != m->c || factor->rank != x->rank) continue;
    if (!has_channels(im, x) || !has_channels(im, factor)) continue;
    roto_node_desc n = new_node(ROTO_OP_SCALE, ROTO_ACT_NONE, x->node);
    n.input_count = 2;
    n.inputs[1] = factor->node;
    return append_like(im, node, n, x);
  }
  return refuse(im, node, "expected x * sigmoid(x), or a map times one factor a channel");
}

/* Adding a constant a channel to a layer with weights makes its bias; the layer stands again with it, and the one without
 * goes if nobody else reads it. */
static int add_bias(importer *im, const onnx_node *node, const value *x, const value *constant) {
  roto_node_desc n = im->network->nodes[x->node];
  const tensor *t = &constant->constant;
  int fits = has_channels(im, x) && t->rank <= x->rank && t->count == n.c;
  for (int i = 0; i < t->rank; i++) { /* all in the channels' place, counted from the last dimension */
    int64_t at = x->rank - t->rank + i;
    if (t->dims[i] != 1 && at != 1) fits = 0;
  }
  if (n.act != ROTO_ACT_NONE || !fits || (n.op != ROTO_OP_CONV && n.op != ROTO_OP_DEPTHWISE && n.op != ROTO_OP_DENSE))
    return refuse(im, node, "a constant is only supported as the bias a channel of Conv, Gemm and MatMul");
  float *bias = constant_floats(im, node, t, n.c);
  if (!bias) return -1;
  for (uint32_t i = 0; n.tensors[1] && i < n.c; i++) bias[i] += n.tensors[1][i];
  if (!all_finite(bias, n.c)) return refuse(im, node, "the sum of the biases is not finite");
  n.tensors[1] = bias;
  return append_like(im, node, n, x);
}

static int same_dims(const value *a, const value *b) {
  int same = a->rank == b->rank;
  for (int i = 0; same && i < a->rank; i++) same = a->dims[i] == b->dims[i];
  return same;
}

static int build_add(importer *im, const onnx_node *node) {
  value *a = input_of(im, node, 0), *b = input_of(im, node, 1);
  if (a && b && a->kind == MAP && b->kind == CONSTANT) return add_bias(im, node, a, b);
  if (a && b && a->kind == CONSTANT && b->kind == MAP) return add_bias(im, node, b, a);
  a = network_input(im, node, 0);
  b = a ? network_input(im, node, 1) : NULL;
  if (!b) return -1;
  const roto_node_desc *p = &im->network->nodes[a->node], *q = &im->network->nodes[b->node];
  if (!same_dims(a, b) || p->h != q->h || p->w != q->w || p->c != q->c)
    return refuse(im, node, "expected two values of the same shape, found %u x %u x %u and %u x %u x %u", p->h, p->w, p->c,
                  q->h, q->w, q->c);
  roto_node_desc n = new_node(ROTO_OP_ADD, ROTO_ACT_NONE, a->node);
  n.input_count = 2;
  n.inputs[1] = b->node;
  return append_like(im, node, n, a);
}

static int concat_integers(importer *im, const onnx_node *node) {
  integer_list all = {0, {0}}, part;
  for (size_t k = 0; k < node->input_count; k++) {
    if (integers_input(im, node, k, &part)) return -1;
    for (int i = 0; i < part.count; i++)
      if (take_integer(&all, (uint64_t)part.at[i])) return refuse(im, node, "more than %d numbers", MAX_RANK);
  }
  return set_integers(output_of(im, node), all.at, all.count);
}

/* Along channels.  More than four inputs become a chain. */
static int build_concat(importer *im, const onnx_node *node) {
  const value *first = input_of(im, node, 0);
  if (node->input_count == 0 || !first) return refuse(im, node, "it has no inputs");
  if (first->kind != MAP) return concat_integers(im, node);
  int64_t axis = integer_attribute(node, "axis", 1), joined = first->node;
  uint32_t h = im->network->nodes[first->node].h, w = im->network->nodes[first->node].w;
  if (axis < 0) axis += first->rank;
  for (size_t k = 0; k < node->input_count; k++) {
    const value *v = network_input(im, node, k);
    if (!v) return -1;
    const roto_node_desc *n = &im->network->nodes[v->node];
    if (axis != 1 || v->rank != first->rank || !has_channels(im, v) || n->h != h || n->w != w)
      return refuse(im, node, "only maps of one size along channels (axis 1) are supported");
  }
  for (size_t k = 1; k < node->input_count;) {
    roto_node_desc n = new_node(ROTO_OP_CONCAT, ROTO_ACT_NONE, (uint32_t)joined);
    n.c = im->network->nodes[joined].c;
    for (; k < node->input_count && n.input_count < ROTO_MAX_INPUTS; k++) {
      uint32_t from = input_of(im, node, k)->node;
      n.inputs[n.input_count++] = from;
      n.c += im->network->nodes[from].c;
      if (n.c > ROTO_MAX_CHANNELS) return refuse(im, node, "more than %u channels", ROTO_MAX_CHANNELS);
    }
    joined = append(im, node, n);
    if (joined < 0) return -1;
  }
  value v = *first;
  v.node = (uint32_t)joined;
  v.dims[1] = im->network->nodes[joined].c;
  copy_value(output_of(im, node), &v);
  return 0;
}

static int build_pool(importer *im, const onnx_node *node) {
  value *x = map_input(im, node, 0);
  int max = is(node->op, "MaxPool");
  if (!x) return -1;
  roto_node_desc in = im->network->nodes[x->node];
  roto_node_desc n = new_node(max ? ROTO_OP_MAXPOOL : ROTO_OP_AVGPOOL, ROTO_ACT_NONE, x->node);
  if (read_window(im, node, &in, &n)) return -1;
  int padded = n.pad_top + n.pad_left + n.pad_bottom + n.pad_right > 0;
  if (!max && padded && integer_attribute(node, "count_include_pad", 0)) {
    /* A mean that counts the zeros outside is a depthwise convolution with equal weights. */
    if (integer_attribute(node, "ceil_mode", 0)) return refuse(im, node, "count_include_pad with ceil_mode is not supported");
    size_t count = (size_t)n.kh * n.kw * in.c;
    float *weights = new_floats(im, count);
    if (!weights) return -1;
    for (size_t i = 0; i < count; i++) weights[i] = 1.0f / (float)(n.kh * n.kw);
    n.op = ROTO_OP_DEPTHWISE;
    n.tensors[0] = weights;
  }
  return append_map(im, node, n);
}

static int build_global_pool(importer *im, const onnx_node *node) {
  value *x = map_input(im, node, 0);
  return x ? append_map(im, node, new_node(ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, x->node)) : -1;
}

/* Axes are an attribute in older opsets, an input in newer ones.  1 and the list, 0 if there is none, -1 after a message. */
static int read_axes(importer *im, const onnx_node *node, int rank, integer_list *axes) {
  int found = input_of(im, node, 1) ? 1 : integers_attribute(im, node, "axes", axes);
  if (found < 0 || (input_of(im, node, 1) && integers_input(im, node, 1, axes))) return -1;
  for (int i = 0; found && i < axes->count; i++) {
    if (axes->at[i] < 0) axes->at[i] += rank;
    if (axes->at[i] < 0 || axes->at[i] >= rank)
      return refuse(im, node, "axis %lld of a value with %d dimensions", (long long)axes->at[i], rank);
  }
  return found;
}

static int build_reduce_mean(importer *im, const onnx_node *node) {
  value *x = map_input(im, node, 0);
  integer_list axes;
  if (!x) return -1;
  int found = read_axes(im, node, x->rank, &axes);
  if (found < 0) return -1;
  if (!found || axes.count != 2 || axes.at[0] + axes.at[1] != 5 || axes.at[0] * axes.at[1] != 6)
    return refuse(im, node, "only the mean over height and width (axes 2 and 3) is supported");
  if (append_map(im, node, new_node(ROTO_OP_GLOBALPOOL, ROTO_ACT_NONE, x->node))) return -1;
  if (!integer_attribute(node, "keepdims", 1)) output_of(im, node)->rank = 2;
  return 0;
}

/* The same value with other dimensions, which must hold as many elements. */
static int rename_dims(importer *im, const onnx_node *node, const value *x, const int64_t *dims, int rank) {
  const roto_node_desc *n = &im->network->nodes[x->node];
  uint64_t left = (uint64_t)n->h * n->w * n->c;
  value v = *x;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 1 || left % (uint64_t)dims[i] != 0)
      return refuse(im, node, "the new dimensions do not hold the %u x %u x %u numbers of the value", n->h, n->w, n->c);
    left /= (uint64_t)dims[i];
    v.dims[i] = dims[i];
  }
  if (left != 1) return refuse(im, node, "the new dimensions hold fewer numbers than the value");
  v.rank = rank;
  copy_value(output_of(im, node), &v);
  return 0;
}

static int build_flatten(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  int64_t axis = integer_attribute(node, "axis", 1), dims[2] = {1, 1};
  if (!x) return -1;
  if (axis < 0) axis += x->rank;
  for (int i = 0; i < x->rank; i++) dims[i >= axis] *= x->dims[i];
  return rename_dims(im, node, x, dims, 2);
}

static int build_reshape(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  integer_list shape;
  uint64_t left = 1;
  int open = -1;
  if (!x || integers_input(im, node, 1, &shape)) return -1;
  for (int i = 0; i < x->rank; i++) left *= (uint64_t)x->dims[i];
  for (int i = 0; i < shape.count; i++) {
    if (shape.at[i] == 0 && !integer_attribute(node, "allowzero", 0) && i < x->rank) shape.at[i] = x->dims[i];
    if (shape.at[i] == -1 && open < 0) {
      open = i;
    } else if (shape.at[i] > 0 && left % (uint64_t)shape.at[i] == 0) {
      left /= (uint64_t)shape.at[i];
    } else {
      return refuse(im, node, "dimension %d of the new shape, %lld, does not fit the value", i, (long long)shape.at[i]);
    }
  }
  if (open >= 0) shape.at[open] = (int64_t)left;
  return rename_dims(im, node, x, shape.at, shape.count);
}

static int build_squeeze(importer *im, const onnx_node *node) {
  value *x = input_of(im, node, 0);
  integer_list axes;
  int64_t dims[MAX_RANK];
  int rank = 0, found;
  if (x && x->kind != MAP && node->input_count > 0) return copy_value(output_of(im, node), x), 0;
  if (!(x = network_input(im, node, 0)) || (found = read_axes(im, node, x->rank, &axes)) < 0) return -1;
  for (int i = 0; i < x->rank; i++) {
    int away = !found && x->dims[i] == 1;
    for (int k = 0; found && k < axes.count; k++) away |= axes.at[k] == i;
    if (away && x->dims[i] != 1) return refuse(im, node, "dimension %d is %lld, not 1", i, (long long)x->dims[i]);
    if (!away) dims[rank++] = x->dims[i];
  }
  return rename_dims(im, node, x, dims, rank);
}

static int build_unsqueeze(importer *im, const onnx_node *node) {
  value *x = input_of(im, node, 0);
  integer_list axes;
  int64_t dims[MAX_RANK];
  if (x && x->kind != MAP) return copy_value(output_of(im, node), x), 0;
  if (!(x = network_input(im, node, 0))) return -1;
  axes.count = 0;
  /* Axes count in the result, whose rank is known once they are. */
  if (input_of(im, node, 1) ? integers_input(im, node, 1, &axes) : integers_attribute(im, node, "axes", &axes) < 0) return -1;
  int rank = x->rank + axes.count, from = 0;
  if (axes.count == 0 || rank > MAX_RANK) return refuse(im, node, "expected 1 to %d axes", MAX_RANK - x->rank);
  for (int i = 0; i < rank; i++) {
    int added = 0;
    for (int k = 0; k < axes.count; k++) added |= axes.at[k] == i || axes.at[k] == i - rank;
    if (!added && from == x->rank) return refuse(im, node, "the axes do not fit the value's %d dimensions", x->rank);
    dims[i] = added ? 1 : x->dims[from++];
  }
  if (from != x->rank) return refuse(im, node, "the axes do not fit the value's %d dimensions", x->rank);
  return rename_dims(im, node, x, dims, rank);
}

/* Gemm and MatMul of a flattened value with constant weights.  Row k of the weights belongs to element k in the order
 * [c][h][w]. */
static int build_dense(importer *im, const onnx_node *node) {
  int gemm = is(node->op, "Gemm");
  value *x = network_input(im, node, 0);
  const tensor *weight = x ? constant_input(im, node, 1, "weights") : NULL;
  if (!weight) return -1;
  int transposed = gemm && integer_attribute(node, "transB", 0) != 0;
  float alpha = gemm ? float_attribute(node, "alpha", 1) : 1, beta = gemm ? float_attribute(node, "beta", 1) : 1;
  roto_node_desc in = im->network->nodes[x->node], n = new_node(ROTO_OP_DENSE, ROTO_ACT_NONE, x->node);
  uint64_t inputs = (uint64_t)in.h * in.w * in.c;
  if (x->rank != 2 || x->dims[0] != 1 || (gemm && integer_attribute(node, "transA", 0)))
    return refuse(im, node, "expected one flattened row as input, found %d dimensions", x->rank);
  if (weight->rank != 2 || (uint64_t)weight->dims[transposed] != inputs)
    return refuse(im, node, "expected weights for %llu inputs, found %lld", (unsigned long long)inputs,
                  weight->rank == 2 ? (long long)weight->dims[transposed] : -1LL);
  uint64_t outputs = (uint64_t)weight->dims[!transposed];
  if (outputs == 0 || outputs > ROTO_MAX_CHANNELS)
    return refuse(im, node, "%llu outputs; 1 to %u are supported", (unsigned long long)outputs, ROTO_MAX_CHANNELS);
  if (!isfinite(alpha) || !isfinite(beta)) return refuse(im, node, "alpha and beta must be finite");
  n.c = (uint32_t)outputs;
  const float *from = constant_floats(im, node, weight, weight->count);
  float *to = from ? new_floats(im, weight->count) : NULL;
  if (!to) return -1;
  size_t pixels = (size_t)in.h * in.w;
  for (size_t c = 0; c < in.c; c++)
    for (size_t p = 0; p < pixels; p++) {
      size_t k = c * pixels + p;
      float *row = to + (p * in.c + c) * outputs;
      for (size_t o = 0; o < outputs; o++) row[o] = alpha * from[transposed ? o * inputs + k : k * outputs + o];
    }
  if (!all_finite(to, weight->count)) return refuse(im, node, "alpha times the weights is not finite");
  n.tensors[0] = to;
  if (gemm && input_of(im, node, 2)) {
    const tensor *t = constant_input(im, node, 2, "bias");
    const float *c = t ? constant_floats(im, node, t, t->count == 1 ? 1 : outputs) : NULL;
    float *bias = c ? new_floats(im, outputs) : NULL;
    if (!bias) return -1;
    for (size_t o = 0; o < outputs; o++) bias[o] = beta * c[t->count == 1 ? 0 : o];
    if (!all_finite(bias, outputs)) return refuse(im, node, "beta times the bias is not finite");
    n.tensors[1] = bias;
  }
  if (append_map(im, node, n)) return -1;
  output_of(im, node)->rank = 2;
  return 0;
}

static int build_identity(importer *im, const onnx_node *node) {
  value *x = input_of(im, node, 0);
  if (!x) return refuse(im, node, "it has no input");
  if (is(node->op, "Dropout")) {
    const value *training = input_of(im, node, 2);
    if (training && !(training->kind == CONSTANT && training->constant.raw.size == 1 && training->constant.raw.at[0] == 0))
      return refuse(im, node, "training mode is not supported; export in evaluation mode");
  }
  if (is(node->op, "Cast") && x->kind == MAP) {
    int64_t to = integer_attribute(node, "to", 0);
    if (to != TYPE_FLOAT && to != TYPE_HALF && to != TYPE_DOUBLE)
      return refuse(im, node, "expected a type of floats, found data type %lld of ONNX", (long long)to);
  }
  copy_value(output_of(im, node), x);
  return 0;
}

static int build_constant(importer *im, const onnx_node *node) {
  field f;
  tensor t;
  integer_list list;
  value *v = output_of(im, node);
  if (attribute_field(node, "value", 5, &f)) {
    if (read_tensor(im, f.body, &t)) return -1;
    define_constant(v, &t);
    return 0;
  }
  if (attribute_field(node, "value_int", 3, &f)) return set_integers(v, (const int64_t[]){(int64_t)f.number_value}, 1);
  if (integers_attribute(im, node, "value_ints", &list) == 1) return set_integers(v, list.at, list.count);
  return refuse(im, node, "expected a tensor or integers as its value");
}

/* The dimensions of a value, as some exports compute what they flatten to. */
static int build_shape(importer *im, const onnx_node *node) {
  value *x = network_input(im, node, 0);
  if (!x) return -1;
  int64_t start = integer_attribute(node, "start", 0), end = integer_attribute(node, "end", x->rank);
  if (start < 0) start += x->rank;
  if (end < 0) end += x->rank;
  if (start < 0 || end > x->rank || start > end) return refuse(im, node, "start and end do not fit the value");
  return set_integers(output_of(im, node), x->dims + start, (int)(end - start));
}

static int build_gather(importer *im, const onnx_node *node) {
  integer_list from, at, picked = {0, {0}};
  if (integers_input(im, node, 0, &from) || integers_input(im, node, 1, &at)) return -1;
  for (int i = 0; i < at.count; i++) {
    int64_t k = at.at[i] < 0 ? at.at[i] + from.count : at.at[i];
    if (k < 0 || k >= from.count) return refuse(im, node, "index %lld of %d numbers", (long long)at.at[i], from.count);
    picked.at[picked.count++] = from.at[k];
  }
  return set_integers(output_of(im, node), picked.at, picked.count);
}

static const struct {
  const char *op;
  int (*build)(importer *, const onnx_node *);
} operators[] = {
    {"Conv", build_conv},
    {"BatchNormalization", build_batchnorm},
    {"Relu", build_relu},
    {"Clip", build_clip},
    {"Sigmoid", build_sigmoid},
    {"HardSigmoid", build_hard_sigmoid},
    {"HardSwish", build_hard_swish},
    {"Mul", build_mul},
    {"Add", build_add},
    {"Concat", build_concat},
    {"MaxPool", build_pool},
    {"AveragePool", build_pool},
    {"GlobalAveragePool", build_global_pool},
    {"ReduceMean", build_reduce_mean},
    {"Flatten", build_flatten},
    {"Reshape", build_reshape},
    {"Squeeze", build_squeeze},
    {"Unsqueeze", build_unsqueeze},
    {"Gemm", build_dense},
    {"MatMul", build_dense},
    {"Identity", build_identity},
    {"Dropout", build_identity},
    {"Cast", build_identity},
    {"Constant", build_constant},
    {"Shape", build_shape},
    {"Gather", build_gather},
};
enum { OPERATOR_COUNT = sizeof operators / sizeof *operators };

static int build_node(importer *im, const onnx_node *node) {
  int known = node->domain.size == 0 || is(node->domain, "ai.onnx");
  char list[384] = "";
  for (size_t k = 0; k < node->input_count; k++) {
    const value *v = input_of(im, node, k);
    if (!v || v->kind != UNMADE) continue;
    const char *name = show(im, v->name);
    if (v->producer >= node - im->nodes)
      return refuse(im, node, "reads '%s' before it is made; the graph has a cycle or is out of order", name);
    if (v->producer >= 0) return refuse(im, node, "reads '%s', a second output; only first outputs are supported", name);
    return refuse(im, node, "reads '%s', which the file does not hold", name);
  }
  if (node->output_count == 0 || im->names[node->first_output] == 0) return refuse(im, node, "it has no first output");
  for (size_t i = 0; known && i < OPERATOR_COUNT; i++)
    if (is(node->op, operators[i].op)) return operators[i].build(im, node);
  for (size_t i = 0, at = 0; i < OPERATOR_COUNT && at < sizeof list; i++)
    at += (size_t)snprintf(list + at, sizeof list - at, "%s %s", i ? "," : "", operators[i].op);
  return refuse(im, node, "not supported; supported are%s", list);
}

/* ---- the whole ---- */

static int read_model(importer *im, slice file) {
  field f, g;
  int got, graphs = 0;
  while ((got = next_field(&file, &f)) == 1) {
    if (f.number == 7 && f.wire == WIRE_BYTES) im->graph = f.body, graphs++;
    if (f.number == 8 && f.wire == WIRE_BYTES) {
      slice domain = first_string(f.body, 1);
      while (next_field(&f.body, &g) == 1)
        if (g.number == 2 && (domain.size == 0 || is(domain, "ai.onnx"))) im->opset = g.number_value;
    }
  }
  if (got < 0) return damaged(im, "file");
  if (graphs != 1) return fail(im, "expected an ONNX model with one graph, found %d", graphs);
  if (im->opset < OLDEST_OPSET || im->opset > NEWEST_OPSET)
    return fail(im, "opset %llu; %d to %d are supported; export again with another opset_version",
                (unsigned long long)im->opset, OLDEST_OPSET, NEWEST_OPSET);
  return 0;
}

/* The picture: dimensions [1 or open, channels, height, width] of a graph input. */
static int read_picture(importer *im, slice info) {
  value *v = &im->values[value_of(im, first_string(info, 1))];
  slice type = first_string(first_string(info, 2), 1), shape = first_string(type, 2);
  int64_t dims[4] = {0, 0, 0, 0};
  const char *name = im->options->width ? "the size asked for" : "a size";
  const char *shown = show(im, v->name);
  roto_node_desc n;
  field f, g;
  int rank = 0;
  while (next_field(&shape, &f) == 1) {
    if (f.number != 1 || f.wire != WIRE_BYTES) continue;
    if (rank == 4) rank = MAX_RANK;
    while (rank < 4 && next_field(&f.body, &g) == 1)
      if (g.number == 1 && g.wire == WIRE_VARINT) dims[rank] = (int64_t)g.number_value;
    rank++;
  }
  if (rank != 4) return fail(im, "input '%s': expected 4 dimensions (1, channels, height, width), found %d", shown, rank);
  for (int i = 0; i < 4; i++)
    if (dims[i] < 0) dims[i] = 0; /* open, in some old exports */
  if (dims[0] > 1)
    return fail(im, "input '%s': it was exported for batches of %lld; export with batch 1 or an open batch", shown,
                (long long)dims[0]);
  int64_t asked[2] = {im->options->height, im->options->width};
  for (int i = 0; i < 2; i++) {
    if (dims[2 + i] == 0) dims[2 + i] = asked[i];
    if (dims[2 + i] < 1 || dims[2 + i] > ROTO_MAX_SIZE || (asked[i] != 0 && asked[i] != dims[2 + i]))
      return fail(im, "input '%s': expected %s of 1 to %u pixels, found %lld; an open size must be given, a fixed one is kept",
                  shown, name, ROTO_MAX_SIZE, (long long)dims[2 + i]);
  }
  if (dims[1] < 1 || dims[1] > ROTO_MAX_INPUT_CHANNELS)
    return fail(im, "input '%s': expected 1 to %u channels, found %lld", shown, ROTO_MAX_INPUT_CHANNELS, (long long)dims[1]);
  memset(&n, 0, sizeof n);
  n.op = ROTO_OP_INPUT;
  n.c = (uint32_t)dims[1];
  n.h = (uint32_t)dims[2];
  n.w = (uint32_t)dims[3];
  im->capacity = 64;
  im->network->nodes = calloc(im->capacity, sizeof n);
  if (!im->network->nodes) return out_of_memory(im);
  im->network->nodes[0] = n;
  im->network->node_count = 1;
  if (v->producer >= 0) return fail(im, "a node makes '%s', which is the input", shown);
  set_map(v, 0, &n);
  return 0;
}

/* Mark what the output needs.  Each node enters the stack at most once, so a cycle ends too. */
static int mark_needed(importer *im, size_t output) {
  size_t *stack = malloc((im->node_count + 1) * sizeof *stack), depth = 0;
  if (!stack) return out_of_memory(im);
  int64_t producer = im->values[output].producer;
  if (producer >= 0) im->nodes[stack[depth++] = (size_t)producer].needed = 1;
  while (depth > 0) {
    const onnx_node *node = &im->nodes[stack[--depth]];
    for (size_t k = 0; k < node->input_count; k++) {
      producer = im->values[im->names[node->first_input + k]].producer;
      if (producer >= 0 && !im->nodes[producer].needed) im->nodes[stack[depth++] = (size_t)producer].needed = 1;
    }
  }
  free(stack);
  return 0;
}

static int takes_act(const roto_node_desc *n) {
  return n->act == ROTO_ACT_NONE && (n->op == ROTO_OP_CONV || n->op == ROTO_OP_DEPTHWISE || n->op == ROTO_OP_DENSE ||
                                     n->op == ROTO_OP_BATCHNORM || n->op == ROTO_OP_ADD || n->op == ROTO_OP_SCALE);
}

/* Leave out what the output does not need, and let an activation be the last touch of the layer that only it reads. */
static int tidy(importer *im, uint32_t output) {
  onnx_network *net = im->network;
  uint32_t *readers = calloc(net->node_count, sizeof *readers), *place = calloc(net->node_count, sizeof *place), count = 0;
  if (!readers || !place) {
    free(readers);
    free(place);
    return out_of_memory(im);
  }
  readers[output] = 1;
  for (uint32_t i = output + 1; i-- > 0;)
    for (uint32_t k = 0; readers[i] > 0 && k < net->nodes[i].input_count; k++) readers[net->nodes[i].inputs[k]]++;
  for (uint32_t i = 0; i <= output; i++) {
    roto_node_desc n = net->nodes[i];
    if (readers[i] == 0) continue;
    for (uint32_t k = 0; k < n.input_count; k++) n.inputs[k] = place[n.inputs[k]];
    if (n.op == ROTO_OP_ACT && readers[net->nodes[i].inputs[0]] == 1 && takes_act(&net->nodes[n.inputs[0]])) {
      net->nodes[n.inputs[0]].act = n.act;
      place[i] = n.inputs[0];
      continue;
    }
    place[i] = count;
    net->nodes[count++] = n;
  }
  net->node_count = count;
  free(readers);
  free(place);
  return 0;
}

static int import_all(importer *im, slice file) {
  slice input = {NULL, 0};
  size_t output = 0;
  if (read_model(im, file) || read_graph(im, &input, &output) || read_picture(im, input) || mark_needed(im, output)) return -1;
  for (size_t i = 0; i < im->node_count; i++)
    if (im->nodes[i].needed && build_node(im, &im->nodes[i])) return -1;
  const value *v = &im->values[output];
  if (v->kind != MAP || v->node == 0) return fail(im, "the output '%s' is not computed from the picture", show(im, v->name));
  const roto_node_desc *last = &im->network->nodes[v->node];
  if ((last->h > 1 || last->w > 1) && v->rank != 4)
    return fail(im, "the output '%s' is a flattened map, whose order would change; stop at the map before it",
                show(im, v->name));
  return tidy(im, v->node);
}

int onnx_import(const void *data, size_t size, const onnx_options *options, onnx_network *network, char *message) {
  static const onnx_options defaults;
  slice file = {data, size};
  importer im;
  memset(&im, 0, sizeof im);
  memset(network, 0, sizeof *network);
  message[0] = 0;
  im.options = options ? options : &defaults;
  im.message = message;
  im.network = network;
  int status = import_all(&im, file);
  free(im.nodes);
  free(im.names);
  free(im.values);
  free(im.table);
  if (status) onnx_free(network);
  return status;
}

void onnx_free(onnx_network *network) {
  for (size_t i = 0; i < network->tensor_count; i++) free(network->tensors[i]);
  free(network->tensors);
  free(network->nodes);
  memset(network, 0, sizeof *network);
}
