/* `roto model`: info, selftest and quantize. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "json_file.h"
#include "model_file.h"
#include "quantize.h"

static void info_json(const roto_model *model) {
  const roto_info *info = roto_get_info(model);
  cJSON *root = cJSON_CreateObject(), *list, *item;
  cJSON_AddStringToObject(root, "name", info->name);
  cJSON_AddStringToObject(root, "description", info->description);
  item = cJSON_AddObjectToObject(root, "input");
  cJSON_AddNumberToObject(item, "width", info->input_width);
  cJSON_AddNumberToObject(item, "height", info->input_height);
  cJSON_AddNumberToObject(item, "channels", info->input_channels);
  cJSON_AddStringToObject(item, "transfer", info->input_transfer == ROTO_TRANSFER_LINEAR ? "linear" : "srgb");
  cJSON_AddItemToObject(item, "mean", cJSON_CreateFloatArray(info->input_mean, (int)info->input_channels));
  cJSON_AddItemToObject(item, "scale", cJSON_CreateFloatArray(info->input_scale, (int)info->input_channels));
  cJSON_AddNumberToObject(root, "crop_margin", (double)info->crop_margin);
  cJSON_AddNumberToObject(root, "landmarks", info->landmark_count);
  cJSON_AddBoolToObject(root, "confidence", info->output_count == 3 * info->landmark_count);
  cJSON_AddNumberToObject(root, "parameters", (double)info->parameter_count);
  cJSON_AddNumberToObject(root, "multiply_adds", (double)info->multiply_adds);
  cJSON_AddNumberToObject(root, "session_bytes", (double)info->session_size);
  cJSON_AddStringToObject(root, "isa", roto_isa_name(info->isa));
  cJSON_AddNumberToObject(root, "second_look_crops", info->look_count);
  cJSON_AddNumberToObject(root, "contours", info->contour_count);
  cJSON_AddNumberToObject(root, "components", info->component_count);
  list = cJSON_AddArrayToObject(root, "parts");
  for (uint32_t i = 0; i < info->part_count; ++i) {
    roto_part part;
    roto_get_part(model, i, &part);
    cJSON_AddItemToArray(list, cJSON_CreateString(part.name));
  }
  list = cJSON_AddArrayToObject(root, "landmark_names");
  for (uint32_t i = 0; i < info->landmark_count; ++i) {
    roto_landmark landmark;
    roto_get_landmark(model, i, &landmark);
    cJSON_AddItemToArray(list, cJSON_CreateString(landmark.name));
  }
  list = cJSON_AddArrayToObject(root, "shapes");
  for (uint32_t i = 0; i < info->shape_count; ++i) {
    roto_shape shape;
    roto_get_shape(model, i, &shape);
    cJSON_AddItemToArray(list, cJSON_CreateString(shape.name));
  }
  json_print(root);
}

static void info_text(const roto_model *model, const char *path) {
  const roto_info *info = roto_get_info(model);
  printf("%s: %s\n", path, info->name);
  if (*info->description) printf("  %s\n", info->description);
  printf("  input        %u x %u, %u channels, %s\n", info->input_width, info->input_height, info->input_channels,
         info->input_transfer == ROTO_TRANSFER_LINEAR ? "linear" : "sRGB");
  printf("  crop         box of the landmarks times %.2f\n", (double)info->crop_margin);
  printf("  landmarks    %u%s\n", info->landmark_count,
         info->output_count == 3 * info->landmark_count ? ", with confidence" : ", without confidence");
  printf("  network      %.2f M parameters, %.1f M multiply-adds\n", 1e-6 * (double)info->parameter_count,
         1e-6 * (double)info->multiply_adds);
  printf("  session      %.2f MiB, kernels %s%s\n", (double)info->session_size / (1 << 20), roto_isa_name(info->isa),
         info->has_ranges ? ", can run in int8" : "");
  if (info->look_count > 0)
    printf("  second look  %u crops, input %u x %u, %.1f M multiply-adds each\n", info->look_count, info->second->input_width,
           info->second->input_height, 1e-6 * (double)info->second->multiply_adds);
  if (info->contour_count > 0) printf("  contours     %u, on which landmarks are held\n", info->contour_count);
  if (info->component_count > 0) printf("  components   %u, in which landmarks lie together\n", info->component_count);
  for (uint32_t i = 0; i < info->part_count; ++i) {
    roto_part part;
    unsigned count = 0;
    roto_get_part(model, i, &part);
    for (uint32_t k = 0; k < info->landmark_count; ++k) {
      roto_landmark landmark;
      roto_get_landmark(model, k, &landmark);
      count += landmark.part == i;
    }
    printf("  part         %s: %u landmarks, weight %g\n", part.name, count, (double)part.weight);
  }
  for (uint32_t i = 0; i < info->shape_count; ++i) {
    roto_shape shape;
    roto_get_shape(model, i, &shape);
    const uint32_t *landmarks;
    uint32_t count;
    roto_get_shape_landmarks(model, i, &landmarks, &count);
    printf("  shape        %s: %s, %u vertices, ", shape.name, shape.closed ? "closed" : "open", shape.vertex_count);
    if (count) {
      printf("drawn from %u landmarks\n", count);
    } else {
      printf("not drawn\n");
    }
  }
}

/* Every instruction set of this machine must reproduce the trainer's output, and so must every precision that it has and the model
 * allows. */
static int selftest(const char *path, roto_isa cap, int json) {
  char message[MESSAGE_SIZE];
  int failed = 0;
  cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "tables");
  roto_isa best = roto_best_isa();
  if (cap == ROTO_ISA_AUTO || cap > best) cap = best;
  for (int isa = ROTO_ISA_SCALAR, precision = ROTO_PRECISION_FP32; isa <= (int)cap;) {
    model_file file;
    roto_session *session = NULL;
    float difference = 0;
    if (model_open_in(path, (roto_isa)isa, (roto_precision)precision, 1, &file, message)) cli_fail(EXIT_MODEL, "%s", message);
    roto_status status = roto_session_create(file.model, NULL, &session);
    if (status == ROTO_OK) status = roto_selftest(session, &difference);
    const roto_info *info = roto_get_info(file.model);
    const char *name = roto_isa_name(info->isa), *in = roto_precision_name(info->precision);
    const int can_int8 = info->has_ranges;
    if (!json)
      printf("%s: %-7s %s %s, largest difference %.3g\n", path, name, in, status ? "FAILED" : "agrees", (double)difference);
    if (status) cli_error("%s: %s: %s", path, name, roto_status_text(status));
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "isa", name);
    cJSON_AddStringToObject(item, "precision", in);
    cJSON_AddNumberToObject(item, "difference", (double)difference);
    cJSON_AddBoolToObject(item, "agrees", !status);
    cJSON_AddItemToArray(list, item);
    failed |= status != ROTO_OK;
    roto_session_free(session);
    model_close(&file);
    /* In the best table the other precisions follow. */
    do {
      ++precision;
    } while (precision <= ROTO_PRECISION_INT8 &&
             (!roto_has_precision((roto_precision)precision) || (precision == ROTO_PRECISION_INT8 && !can_int8)));
    if (isa < ROTO_ISA_AVX512 || precision > ROTO_PRECISION_INT8) precision = ROTO_PRECISION_FP32, ++isa;
  }
  cJSON_AddBoolToObject(root, "passed", !failed);
  if (json)
    json_print(root);
  else
    cJSON_Delete(root);
  return failed ? EXIT_FAILED : EXIT_DONE;
}

int model_main(int argc, char **argv) {
  const char *isa_name = "auto";
  char message[MESSAGE_SIZE];
  roto_isa isa;
  int json = 0;
  quantize_options quantize = {NULL, NULL, NULL, NULL, 200, 0};
  const cli_option table[] = {
      {"--calibrate", CLI_STRING, &quantize.calibrate, "DIR",
       "quantize: annotated shots, or a folder of frames, to see values on"},
      {"-o", CLI_STRING, &quantize.output, "FILE", "quantize: the model to write"},
      {"--crop", CLI_STRING, &quantize.crop, "X,Y,W,H", "quantize: where to look in frames without annotations (default: all)"},
      {"--frames", CLI_INTEGER, &quantize.frames, "N", "quantize: look at so many frames, spread over all (default 200)"},
      {"--isa", CLI_STRING, &isa_name, "NAME", "at most this instruction set: scalar, avx2, avx512"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as JSON"},
  };
  const cli_command command = {
      "roto model",
      "info|selftest|quantize FILE",
      "info: what a model expects and returns.\n"
      "selftest: runs the model's own example on every instruction set and precision of this machine.\n"
      "quantize: writes a model that can run in int8, from the ranges of its values on frames.",
      "roto model quantize puppet.roto --calibrate shots -o puppet_int8.roto",
      table,
      sizeof table / sizeof *table};
  int count = cli_parse(&command, argc, argv);
  if (model_parse_isa(isa_name, &isa)) cli_usage(&command, "--isa expects auto, scalar, avx2 or avx512, found '%s'", isa_name);
  if (count != 2) cli_usage(&command, "expected what to do and one model, found %d arguments", count);
  if (!strcmp(argv[0], "selftest")) return selftest(argv[1], isa, json);
  if (!strcmp(argv[0], "quantize")) {
    if (!quantize.calibrate || !quantize.output) cli_usage(&command, "quantize needs --calibrate DIR and -o FILE");
    if (quantize.frames < 1) cli_usage(&command, "--frames expects 1 or more, found %d", quantize.frames);
    quantize.model = argv[1];
    quantize.json = json;
    return quantize_run(&quantize);
  }
  if (strcmp(argv[0], "info")) cli_usage(&command, "expected info, selftest or quantize, found '%s'", argv[0]);
  model_file file;
  if (model_open(argv[1], isa, &file, message)) cli_fail(EXIT_MODEL, "%s", message);
  if (json)
    info_json(file.model);
  else
    info_text(file.model, argv[1]);
  model_close(&file);
  return EXIT_DONE;
}
