/* Fuzz target of the model reader: whatever loads must also describe itself and run, on the best instruction set and in plain
 * C.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/load.c -o load && ./load tests/fuzz/corpus model_format/valid
 *   gcc -DREPLAY tests/fuzz/load.c -o replay && ./replay tests/fuzz/corpus/... model_format/.../...
 *
 * The format leaves no freedom of layout, so bytes changed at random seldom get past the chunk table.  The mutator therefore
 * takes a file apart into its chunks, changes one of them, and lays the file out again around it.
 *
 * Models beyond the caps below are opened but not run: what they do is the same, only slower. */

#define ROTO_IMPLEMENTATION
#include "../../roto.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_MULTIPLY_ADDS = 50000000, MAX_SESSION = 64 << 20 };

/* Everything a model says about itself, read to the last byte. */
static size_t describe(const roto_model *model) {
  const roto_info *info = roto_get_info(model);
  size_t read = strlen(info->name) + strlen(info->description);
  roto_landmark landmark;
  roto_part part;
  roto_shape shape;
  for (uint32_t i = 0; i < info->landmark_count; i++) {
    if (roto_get_landmark(model, i, &landmark) != ROTO_OK) abort();
    if (landmark.part >= info->part_count || landmark.flip >= info->landmark_count) abort();
    read += strlen(landmark.name) + strlen(landmark.rule);
  }
  for (uint32_t i = 0; i < info->part_count; i++) {
    if (roto_get_part(model, i, &part) != ROTO_OK) abort();
    read += strlen(part.name);
  }
  for (uint32_t i = 0; i < info->shape_count; i++) {
    if (roto_get_shape(model, i, &shape) != ROTO_OK) abort();
    read += strlen(shape.name);
    const uint32_t *landmarks;
    uint32_t count;
    if (roto_get_shape_landmarks(model, i, &landmarks, &count) != ROTO_OK) abort();
    for (uint32_t k = 0; k < count; k++)
      if (landmarks[k] >= info->landmark_count) abort();
    for (uint32_t k = 0; k < shape.vertex_count; k++)
      if (shape.vertices[k] < -1 || shape.vertices[k] >= (int32_t)info->landmark_count) abort();
  }
  return read;
}

static void run(const roto_model *model) {
  static const unsigned char pixels[2 * 2 * 3] = {0, 50, 100, 150, 200, 250, 5, 55, 105, 155, 205, 255};
  const roto_info *info = roto_get_info(model);
  size_t values = (size_t)info->input_width * info->input_height * info->input_channels;
  roto_session_options options;
  roto_session *session;
  roto_image image;
  roto_rect crop = {-1, 0.5f, 3, 2};
  roto_status status;
  float difference, *input, *output;
  roto_point *points;
  roto_vertex *vertices;
  if (info->multiply_adds > MAX_MULTIPLY_ADDS || info->session_size > MAX_SESSION) return;
  memset(&options, 0, sizeof options);
  options.parallel.threads = 1;
  if (roto_session_create(model, &options, &session) != ROTO_OK) return;
  status = roto_selftest(session, &difference);
  if (status != ROTO_OK && status != ROTO_ERR_SELFTEST) abort();

  input = calloc(values, sizeof *input);
  output = malloc(info->output_count * sizeof *output);
  points = calloc(info->landmark_count, sizeof *points);
  vertices = malloc(info->vertex_count * sizeof *vertices);
  memset(&image, 0, sizeof image);
  image.pixels = pixels;
  image.width = image.height = 2;
  image.channels = 3;
  if (input && output && points) {
    if (roto_infer(session, input, output) != ROTO_OK) abort();
    status = roto_find_landmarks(session, &image, crop, points);
    if (status != ROTO_OK && status != ROTO_ERR_ARGUMENT) abort();
    for (uint32_t i = 0; i < info->landmark_count; i++) { /* whatever the network found, shapes are drawn too */
      points[i].x = (float)(i * i % 7);
      points[i].y = (float)(i % 5);
    }
    if (vertices && roto_find_shapes(session, points, vertices) != (info->shape_net_count ? ROTO_OK : ROTO_ERR_ARGUMENT))
      abort();
  }
  free(vertices);
  free(points);
  free(output);
  free(input);
  roto_session_free(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const struct {
    roto_isa isa;
    roto_precision precision;
  } ways[] = {{ROTO_ISA_SCALAR, ROTO_PRECISION_FP32},
              {ROTO_ISA_AUTO, ROTO_PRECISION_FP32},
              {ROTO_ISA_AUTO, ROTO_PRECISION_BF16},
              {ROTO_ISA_AUTO, ROTO_PRECISION_INT8}};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    roto_options options;
    roto_error error;
    roto_model *model;
    roto_status status;
    memset(&options, 0, sizeof options);
    memset(&error, 0, sizeof error);
    options.max_isa = ways[i].isa;
    options.precision = ways[i].precision;
    options.error = &error;
    status = roto_open(data, size, &options, &model);
    if (status != ROTO_OK) {
      if (model || error.status != status || error.offset > size) abort();
      if (i > 0 && !(status == ROTO_ERR_RANGES && ways[i].precision == ROTO_PRECISION_INT8) && status != ROTO_ERR_MEMORY)
        abort();
      return 0;
    }
    describe(model);
    run(model);
    roto_close(model);
  }
  return 0;
}

#ifdef REPLAY

int main(int argc, char **argv) {
  int passed = 0, failed = 0;
  for (int i = 1; i < argc; i++) {
    FILE *in = fopen(argv[i], "rb");
    long end = in && fseek(in, 0, SEEK_END) == 0 ? ftell(in) : -1;
    uint8_t *data = end >= 0 ? malloc((size_t)end + 1) : NULL;
    if (data && fseek(in, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)end, in) == (size_t)end) {
      LLVMFuzzerTestOneInput(data, (size_t)end);
      passed++;
    } else {
      printf("%s: cannot be read; give names of files\n", argv[i]);
      failed++;
    }
    free(data);
    if (in) fclose(in);
  }
  printf("fuzz_replay: %d passed, %d failed, 0 skipped\n", passed, failed);
  return failed || !passed;
}

#else

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static void store(uint8_t *where, uint64_t value, int size) {
  for (int i = 0; i < size; i++) where[i] = (uint8_t)(value >> 8 * i);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  uint32_t count =
      size > ROTO_HEADER_SIZE && data[ROTO_HEADER_CHUNK_COUNT] == ROTO_CHUNK_COUNT ? ROTO_CHUNK_COUNT : ROTO_CHUNK_SHAP;
  uint32_t target = seed % count;
  uint64_t length[ROTO_CHUNK_COUNT], offset[ROTO_CHUNK_COUNT], total = 0;
  uint8_t *laid_out, *at;
  size_t first = ROTO_HEADER_SIZE + count * ROTO_ENTRY_SIZE, place = first, room;
  if (seed / ROTO_CHUNK_COUNT % 16 == 0 || size < first) return LLVMFuzzerMutate(data, size, max_size);
  for (uint32_t i = 0; i < count; i++) {
    const uint8_t *entry = data + ROTO_HEADER_SIZE + i * ROTO_ENTRY_SIZE;
    offset[i] = rotoi_u64(entry + ROTO_ENTRY_OFFSET);
    length[i] = rotoi_u64(entry + ROTO_ENTRY_LENGTH);
    if (offset[i] > size || length[i] > size - offset[i]) return LLVMFuzzerMutate(data, size, max_size);
    total += length[i] + ROTO_FORMAT_ALIGN;
  }
  if (total + first > max_size) return LLVMFuzzerMutate(data, size, max_size);
  laid_out = calloc(1, max_size);
  if (!laid_out) return size;
  room = max_size - first - (size_t)total; /* by which the target may grow */
  memcpy(laid_out, data, first);
  for (uint32_t i = 0; i < count; i++) {
    size_t now = (size_t)length[i];
    place = (place + ROTO_FORMAT_ALIGN - 1) / ROTO_FORMAT_ALIGN * ROTO_FORMAT_ALIGN;
    at = laid_out + place;
    memcpy(at, data + offset[i], now);
    if (i == target) {
      /* Half of the time with its length kept, so that its counts stay right. */
      size_t limit = seed & 0x10000 ? now : now + room, after = limit ? LLVMFuzzerMutate(at, now, limit) : 0;
      if (after < now) memset(at + after, 0, now - after);
      if (!(seed & 0x10000)) now = after;
    }
    store(laid_out + ROTO_HEADER_SIZE + i * ROTO_ENTRY_SIZE + ROTO_ENTRY_OFFSET, place, 8);
    store(laid_out + ROTO_HEADER_SIZE + i * ROTO_ENTRY_SIZE + ROTO_ENTRY_LENGTH, now, 8);
    place += now;
  }
  store(laid_out + ROTO_HEADER_FILE_SIZE, place, 8);
  memcpy(data, laid_out, place);
  free(laid_out);
  return place;
}

#endif
