/* roto eval: a finished document against annotated frames, with the figures of `roto-train eval`. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trainer/metrics.h"
#include "cli.h"
#include "commands.h"
#include "document.h"

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

/* The document's points of every annotated frame, matched by the name of the picture; NaN where there are none. */
static void match_frames(const document *doc, const dataset *ds, float *predicted) {
  size_t n = doc->point_count;
  for (size_t i = 0; i < ds->frame_count * n * 2; i++) predicted[i] = NAN;
  for (size_t k = 0; k < doc->frame_count; k++) {
    char *path = document_frame_path(doc, k);
    for (size_t i = 0; i < ds->frame_count; i++) {
      if (strcmp(base_name(path), base_name(ds->frames[i].image_path)) != 0) continue;
      for (size_t p = 0; p < n; p++) {
        predicted[(i * n + p) * 2] = (float)doc->frames[k].points[p].x;
        predicted[(i * n + p) * 2 + 1] = (float)doc->frames[k].points[p].y;
      }
    }
    free(path);
  }
}

int eval_main(int argc, char **argv) {
  const char *truth = NULL, *template_path = NULL;
  int json = 0;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--truth", CLI_STRING, &truth, "DIR", "the annotated shot"},
      {"--character", CLI_STRING, &template_path, "FILE", "template with the anchors (default: DIR/character.json)"},
      {"--json", CLI_FLAG, &json, NULL, "print one JSON object"},
  };
  const cli_command command = {"roto eval",
                               "SHOT.roto.json --truth DIR",
                               "Measures a roto document against annotated frames.",
                               "roto eval sh010.roto.json --truth sh010 --json",
                               options,
                               sizeof options / sizeof *options};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (truth == NULL) cli_usage(&command, "--truth DIR is missing");

  document doc;
  character ch;
  dataset ds;
  char *own = cli_format("%s/character.json", truth);
  if (document_read(argv[0], &doc, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (character_load(template_path != NULL ? template_path : own, &ch, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (dataset_load(truth, &ch, &ds, message) != 0) cli_fail(EXIT_INPUT, "%s", message);
  if (doc.point_count != ds.landmark_count)
    cli_fail(EXIT_INPUT, "%s: it has %zu landmarks a frame, %s has %u; they must be of one character", argv[0], doc.point_count,
             truth, ds.landmark_count);
  float *predicted = cli_alloc(ds.frame_count * doc.point_count * 2, sizeof *predicted);
  match_frames(&doc, &ds, predicted);
  metrics m = metrics_compute(&ch, &ds, predicted, NULL);
  if (json)
    metrics_print_json(stdout, &m);
  else
    metrics_print(stdout, &m);
  free(predicted);
  free(own);
  dataset_free(&ds);
  character_free(&ch);
  document_free(&doc);
  return m.failed > 0 ? EXIT_INPUT : EXIT_DONE;
}
