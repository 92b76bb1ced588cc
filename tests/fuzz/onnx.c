/* Fuzz target of the ONNX importer: whatever it accepts must be a network that the model reader accepts.
 *
 *   make fuzz, or
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/onnx.c model_format/import_onnx.c model_format/write.c -o onnx
 *   ./onnx FOLDER OF SMALL ONNX FILES
 *
 * test_import.c tries damaged files of its own in every test run. */

#define ROTO_IMPLEMENTATION
#include "../../roto.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../model_format/import_onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  onnx_options options = {8, 8, NULL};
  onnx_network network;
  char message[ONNX_MESSAGE_SIZE];
  if (onnx_import(data, size, &options, &network, message) != 0) {
    if (message[0] == 0 || network.nodes || network.tensors) abort();
    return 0;
  }
  const roto_node_desc *in = &network.nodes[0], *out = &network.nodes[network.node_count - 1];
  size_t pixels = (size_t)in->h * in->w * in->c, outputs = (size_t)out->h * out->w * out->c;
  roto_knot knot = {0, 0};
  roto_model_desc model;
  unsigned char *bytes = NULL, *picture = calloc(pixels, 1);
  float *output = outputs < 1 << 20 ? calloc(outputs, sizeof *output) : NULL;
  memset(&model, 0, sizeof model);
  model.input_width = in->w;
  model.input_height = in->h;
  model.input_channels = in->c;
  for (uint32_t c = 0; c < in->c; c++) model.input_scale[c] = 1;
  model.crop_margin = 1;
  model.knots = &knot;
  model.knot_count = 1;
  model.nodes = network.nodes;
  model.node_count = network.node_count;
  model.test_pixels = picture;
  model.test_output = output;
  model.test_tolerance = 1;
  if (picture && output && roto_write_model(&model, &bytes, &size) == ROTO_OK) {
    roto_options open_options;
    roto_error error;
    roto_model *opened;
    memset(&open_options, 0, sizeof open_options);
    open_options.error = &error;
    roto_status status = roto_open(bytes, size, &open_options, &opened);
    if (status == ROTO_ERR_INVALID) abort(); /* limits and memory may say no, rules must not */
    if (status == ROTO_OK) roto_close(opened);
  }
  free(bytes);
  free(picture);
  free(output);
  onnx_free(&network);
  return 0;
}
