/* See import.h.  The model is written twice: once with an empty self-test, so that it can be opened and run, then with the
 * outputs of that run. */

#include "import.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/import_onnx.h"
#include "../roto.h"
#include "../tools/cli.h"
#include "../tools/whole_file.h"
#include "character.h"
#include "rng.h"

import_options import_defaults(void) {
  return (import_options){"", "", NULL, NULL, 0, 0, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, 1.4};
}

/* Landmarks p0, p1, ... of one part; `names` has 16 bytes each. */
static void nameless(roto_landmark *landmarks, char *names, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    snprintf(names + 16 * (size_t)i, 16, "p%u", i);
    landmarks[i] = (roto_landmark){names + 16 * (size_t)i, "", 0, i, 1};
  }
}

/* Slopes of colour and noise: every value occurs, no two pixels of a row are alike. */
static void draw_test_picture(unsigned char *pixels, uint32_t w, uint32_t h, uint32_t channels) {
  for (uint32_t y = 0; y < h; y++)
    for (uint32_t x = 0; x < w; x++)
      for (uint32_t c = 0; c < channels; c++) {
        double slope = 0.5 + 0.35 * sin(0.11 * x + 2.1 * c) * cos(0.07 * y - c);
        double noise = (double)(rng_mix(((uint64_t)y << 32 | x) * 4 + c) >> 40) / (1 << 24) - 0.5;
        pixels[((size_t)y * w + x) * channels + c] = (unsigned char)(255 * (slope + 0.3 * noise));
      }
}

/* Run the model in plain C; outputs [count]. */
static int run_plain(const unsigned char *bytes, size_t size, const unsigned char *pixels, float *outputs, size_t count,
                     char *message) {
  roto_model *model;
  roto_session *session = NULL;
  roto_error error = {0};
  roto_options options = {0};
  options.max_isa = ROTO_ISA_SCALAR;
  options.error = &error;
  roto_status status = roto_open(bytes, size, &options, &model);
  if (status != ROTO_OK)
    return message_set(message, "the network is not one roto can run: %s, rule R%u: %s", roto_status_text(status), error.rule,
                       roto_rule_text(error.rule));
  const roto_info *info = roto_get_info(model);
  size_t values = (size_t)info->input_width * info->input_height * info->input_channels;
  float *input = malloc(values * sizeof *input);
  status = input == NULL ? ROTO_ERR_MEMORY : roto_session_create(model, NULL, &session);
  for (size_t i = 0; status == ROTO_OK && i < values; i++) {
    size_t c = i % info->input_channels;
    input[i] = ((float)pixels[i] / 255 - info->input_mean[c]) * info->input_scale[c];
  }
  if (status == ROTO_OK) status = roto_infer(session, input, outputs);
  free(input);
  roto_session_free(session);
  roto_close(model);
  if (status != ROTO_OK) return message_set(message, "the network cannot be run: %s", roto_status_text(status));
  for (size_t i = 0; i < count; i++)
    if (!isfinite(outputs[i]))
      return message_set(message, "output %zu of the network is not finite for an ordinary picture; its weights are damaged",
                         i);
  return 0;
}

/* What the outputs mean: fills the template of `m`. */
static int set_template(roto_model_desc *m, const character *ch, size_t outputs, char *message) {
  m->landmark_count = ch->landmark_count;
  m->landmarks = ch->landmarks;
  m->part_count = ch->part_count;
  m->parts = ch->parts;
  m->shape_count = ch->shape_count;
  m->shapes = ch->shapes;
  if (ch->landmark_count > 0 && outputs != 2 * (size_t)ch->landmark_count && outputs != 3 * (size_t)ch->landmark_count)
    return message_set(message, "%u landmarks need 2 or 3 outputs each, the network has %zu; without landmarks it is kept bare",
                       ch->landmark_count, outputs);
  return 0;
}

static int write_model(const import_options *o, const onnx_network *net, const character *ch, unsigned char **bytes,
                       size_t *size, char *message) {
  const roto_node_desc *in = &net->nodes[0], *out = &net->nodes[net->node_count - 1];
  size_t outputs = (size_t)out->h * out->w * out->c, pixels = (size_t)in->h * in->w * in->c;
  roto_knot knot = {0, ch->landmark_count > 0 ? 1 : 0}; /* nobody has measured it: expect anything */
  float *output = calloc(outputs, sizeof *output), largest = 0;
  unsigned char *picture = malloc(pixels);
  roto_model_desc m = {0};
  int status = output && picture ? set_template(&m, ch, outputs, message) : message_set(message, "out of memory");
  m.name = o->name;
  m.description = o->description;
  m.input_width = in->w;
  m.input_height = in->h;
  m.input_channels = in->c;
  for (uint32_t c = 0; c < in->c; c++) {
    m.input_mean[c] = c < 3 ? (float)o->mean[c] : 0;
    m.input_scale[c] = c < 3 ? (float)(1 / o->deviation[c]) : 1;
  }
  m.input_transfer = ROTO_TRANSFER_SRGB;
  m.crop_margin = (float)o->margin;
  m.knots = &knot;
  m.knot_count = 1;
  m.nodes = net->nodes;
  m.node_count = net->node_count;
  m.test_pixels = picture;
  m.test_output = output;
  m.test_tolerance = 1;
  if (status == 0) draw_test_picture(picture, in->w, in->h, in->c);
  for (int pass = 0; pass < 2 && status == 0; pass++) {
    roto_status result = roto_write_model(&m, bytes, size);
    if (result != ROTO_OK) status = message_set(message, "the model cannot be written: %s", roto_status_text(result));
    if (status != 0 || pass == 1) break;
    status = run_plain(*bytes, *size, picture, output, outputs, message);
    for (size_t i = 0; i < outputs; i++) largest = fmaxf(largest, fabsf(output[i]));
    m.test_tolerance = fmaxf(1e-4f * largest, 1e-6f); /* fp32 sums in another order differ by about 1e-6 of the largest */
    free(*bytes);
    *bytes = NULL;
  }
  free(output);
  free(picture);
  return status;
}

int import_model(const import_options *o, const void *onnx, size_t onnx_size, unsigned char **bytes, size_t *size,
                 char *message) {
  static const roto_part all = {"all", 1};
  onnx_network net;
  onnx_options options = {(uint32_t)o->size, (uint32_t)o->size, o->until};
  character ch = {0}, plain = {0};
  char reason[ONNX_MESSAGE_SIZE];
  *bytes = NULL;
  *size = 0;
  if (onnx_import(onnx, onnx_size, &options, &net, reason) != 0) return message_set(message, "%s", reason);
  uint32_t count = (uint32_t)o->landmarks;
  roto_landmark *landmarks = calloc(count + 1, sizeof *landmarks);
  char *names = calloc(count + 1, 16);
  int status = landmarks && names ? 0 : message_set(message, "out of memory");
  if (status == 0 && o->character != NULL) {
    status = character_load(o->character, &ch, message);
    plain = ch;
  } else if (status == 0 && count > 0) {
    nameless(landmarks, names, count);
    plain.landmarks = landmarks;
    plain.landmark_count = count;
    plain.parts = (roto_part *)&all;
    plain.part_count = 1;
  }
  if (status == 0) status = write_model(o, &net, &plain, bytes, size, message);
  character_free(&ch);
  free(landmarks);
  free(names);
  onnx_free(&net);
  return status;
}

static void parse_channels(const char *option, const char *text, double *channels) {
  char end;
  if (text != NULL && sscanf(text, "%lf,%lf,%lf%c", &channels[0], &channels[1], &channels[2], &end) != 3)
    cli_fail(EXIT_USAGE, "%s %s: expected three numbers, as in 0.485,0.456,0.406", option, text);
}

int import_main(int argc, char **argv) {
  import_options o = import_defaults();
  const char *output = NULL, *mean = NULL, *deviation = NULL;
  char message[MESSAGE_SIZE];
  unsigned char *onnx, *bytes;
  size_t onnx_size, size;
  const cli_option options[] = {
      {"-o", CLI_STRING, &output, "FILE", "model to write"},
      {"--landmarks", CLI_INTEGER, &o.landmarks, "N",
       "its outputs are x, y (or x, y, spread) of N landmarks in units of the crop"},
      {"--character", CLI_STRING, &o.character, "FILE", "template (character.json) of those landmarks"},
      {"--until", CLI_STRING, &o.until, "VALUE", "stop at this value of the graph, e.g. the last feature map"},
      {"--size", CLI_INTEGER, &o.size, "N", "side of the picture in pixels, if the file leaves it open"},
      {"--mean", CLI_STRING, &mean, "R,G,B", "of pixel values in 0..1 (default: ImageNet's 0.485,0.456,0.406)"},
      {"--deviation", CLI_STRING, &deviation, "R,G,B", "what they are divided by (default: ImageNet's 0.229,0.224,0.225)"},
      {"--margin", CLI_NUMBER, &o.margin, "M", "side of the crop over the landmarks' box (default 1.4)"},
      {"--name", CLI_STRING, &o.name, "TEXT", "name of the model"},
      {"--description", CLI_STRING, &o.description, "TEXT", "description of the model"},
  };
  const cli_command command = {
      "roto-train import",
      "NET.onnx -o MODEL.roto",
      "Make a model of a network trained elsewhere, an ONNX file of opset 7 to 20.  Without landmarks it is a "
      "bare network: a start for training (roto-train landmarks --from).",
      "roto-train import efficientnet_b0.onnx --landmarks 27 -o b0.roto",
      options,
      sizeof options / sizeof *options};
  int count = cli_parse(&command, argc, argv);
  if (count != 1) cli_usage(&command, "expected one ONNX file, found %d", count);
  if (output == NULL) cli_usage(&command, "-o MODEL.roto is missing");
  parse_channels("--mean", mean, o.mean);
  parse_channels("--deviation", deviation, o.deviation);
  for (int c = 0; c < 3; c++)
    if (!isfinite(o.mean[c]) || !isfinite(o.deviation[c]) || !(o.deviation[c] > 0))
      cli_usage(&command, "--mean must be finite, --deviation above 0");
  if (o.size < 0 || o.size > (int)ROTO_MAX_SIZE || o.landmarks < 0 || o.landmarks > (int)ROTO_MAX_LANDMARKS)
    cli_usage(&command, "--size must be at most %u, --landmarks at most %u", ROTO_MAX_SIZE, ROTO_MAX_LANDMARKS);
  if (o.landmarks > 0 && o.character != NULL) cli_usage(&command, "--landmarks and --character exclude each other");
  if (!(o.margin >= 1)) cli_usage(&command, "--margin must be at least 1");
  if (file_read(argv[0], (size_t)1 << 32, &onnx, &onnx_size, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (import_model(&o, onnx, onnx_size, &bytes, &size, message) != 0) cli_fail(EXIT_INPUT, "%s: %s", argv[0], message);
  if (file_write(output, bytes, size, message) != 0) cli_fail(EXIT_WRITE, "%s", message);
  printf("wrote %s (%.2f MB)\n", output, (double)size / 1e6);
  free(onnx);
  free(bytes);
  return EXIT_DONE;
}
