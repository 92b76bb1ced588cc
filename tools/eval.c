/* roto eval: a finished document against annotated frames, with the figures of `roto-train eval`. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trainer/metrics.h"
#include "../trainer/shape_metrics.h"
#include "cli.h"
#include "commands.h"
#include "document.h"

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

/* The document's points of every annotated frame, matched by the name of the picture, and what was expected of them; NaN where
 * there are none. */
static void match_frames(const document *doc, const dataset *ds, int raw, float *predicted, roto_point *points) {
  size_t n = doc->point_count;
  for (size_t i = 0; i < ds->frame_count * n * 2; i++) predicted[i] = NAN;
  for (size_t k = 0; k < doc->frame_count; k++) {
    char *path = document_frame_path(doc, k);
    for (size_t i = 0; i < ds->frame_count; i++) {
      if (strcmp(base_name(path), base_name(ds->frames[i].image_path)) != 0) continue;
      for (size_t p = 0; p < n; p++) {
        const document_point *point = &doc->frames[k].points[p];
        predicted[(i * n + p) * 2] = (float)(raw ? point->raw_x : point->x);
        predicted[(i * n + p) * 2 + 1] = (float)(raw ? point->raw_y : point->y);
        points[i * n + p].error = (float)point->error;
      }
    }
    free(path);
  }
}

/* Does the truth show a shape: is it drawn, with more than half of its landmarks in sight? */
static int in_sight(const character *ch, const frame *f, uint32_t index, const frame_shape *drawn) {
  const roto_shape *shape = &ch->shapes[index];
  uint32_t count = 0, hidden = 0;
  for (uint32_t v = 0; v < shape->vertex_count; v++)
    if (shape->vertices[v] >= 0) count++, hidden += f->hidden[shape->vertices[v]] != 0;
  return drawn != NULL && 2 * hidden < count;
}

/* The document's shapes of every annotated frame against the true ones, where both are there. */
static int compare_shapes(const document *doc, const character *ch, const dataset *ds, shape_metrics *m, metrics *all) {
  int status = 0, closed;
  for (size_t k = 0; k < doc->frame_count && status == 0; k++) {
    char *path = document_frame_path(doc, k);
    const frame *f = NULL;
    for (size_t i = 0; i < ds->frame_count && f == NULL; i++)
      if (strcmp(base_name(path), base_name(ds->frames[i].image_path)) == 0) f = &ds->frames[i];
    for (size_t s = 0; f != NULL && s < doc->shape_count && status == 0; s++) {
      const document_shape *found = &doc->frames[k].shapes[s];
      const char *name = document_shape_name(doc, s, &closed);
      const frame_shape *drawn = frame_find_shape(f, name);
      int index = character_find_shape(ch, name);
      if (found->vertex_count > 0 && index >= 0) {
        int seen = in_sight(ch, f, (uint32_t)index, drawn);
        all->hidden_found += found->hidden && !seen;
        all->hidden_false += found->hidden && seen;
        all->hidden_missed += !found->hidden && !seen;
      }
      if (found->vertex_count == 0 || found->hidden || drawn == NULL || index < 0) continue;
      roto_vertex *vertices = cli_alloc(drawn->segment_count + 1, sizeof *vertices);
      roto_path found_path = {found->vertices, found->vertex_count, closed};
      roto_path true_path = {vertices, frame_shape_vertices(drawn, closed, vertices), closed};
      status = shape_metrics_add(m, (uint32_t)index, &found_path, &true_path, NULL, NULL);
      free(vertices);
    }
    free(path);
  }
  return status;
}

int eval_main(int argc, char **argv) {
  const char *truth = NULL, *template_path = NULL;
  int json = 0, raw = 0;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--truth", CLI_STRING, &truth, "DIR", "the annotated shot"},
      {"--character", CLI_STRING, &template_path, "FILE", "template with the anchors (default: DIR/character.json)"},
      {"--raw", CLI_FLAG, &raw, NULL, "measure what the model found in each frame alone, before smoothing"},
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
  int failed = dataset_load(truth, &ch, &ds, message);
  dataset_warn(&ds, 0);
  if (failed) cli_fail(EXIT_INPUT, "%s", message);
  if (doc.point_count != ds.landmark_count)
    cli_fail(EXIT_INPUT, "%s: it has %zu landmarks a frame, %s has %u; they must be of one character", argv[0], doc.point_count,
             truth, ds.landmark_count);
  float *predicted = cli_alloc(ds.frame_count * doc.point_count * 2, sizeof *predicted);
  roto_point *points = cli_alloc(ds.frame_count * doc.point_count, sizeof *points);
  match_frames(&doc, &ds, raw, predicted, points);
  metrics m = metrics_compute(&ch, &ds, predicted, NULL);
  metrics_rely(&m, &ds, predicted, points);
  shape_metrics shapes;
  if (shape_metrics_init(&shapes, &ch) != 0 || compare_shapes(&doc, &ch, &ds, &shapes, &m) != 0)
    cli_fail(EXIT_FAILED, "%s: its shapes cannot be compared", argv[0]);
  shape_metrics_finish(&shapes);
  if (json)
    metrics_print_json(stdout, &m, &shapes);
  else
    metrics_print(stdout, &m, &shapes);
  shape_metrics_free(&shapes);
  free(predicted);
  free(points);
  free(own);
  dataset_free(&ds);
  character_free(&ch);
  document_free(&doc);
  return m.failed > 0 ? EXIT_INPUT : EXIT_DONE;
}
