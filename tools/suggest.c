/* `roto suggest`: which frames an artist should look at first.
 *
 * A frame's score is the sum over the four signs of doubt (doubt.h) of how far its worst part stands out, in robust standard
 * deviations of the shot; the strongest is the reason.  Frames are then taken one by one, the worst first; each that is taken,
 * and each that an artist has worked on already, makes those near it in time, and those of a like pose, less worth a look, and
 * those that look the same worth none: a correction there helps here.  Of frames that are as bad, the one farthest from all that
 * were taken comes first, so that suggestions spread over a long shot. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "doubt.h"
#include "median.h"
#include "suggest.h"

static const double reach = 8;     /* frames that a correction helps */
static const double same = 0.003;  /* of the face's size: poses that differ by less are one */
static const double as_bad = 0.97; /* times the worst */

typedef struct candidate {
  double score, strongest, value, usual, worth, far; /* far: frames to the nearest that was taken */
  size_t frame;
  doubt_kind kind;
  size_t part;
} candidate;

/* Adds a sign of doubt to all frames' scores. */
static void add_sign(const doubts *d, doubt_kind kind, candidate *candidates) {
  double *values = (double *)cli_alloc(d->frame_count, sizeof *values);
  double *strength = (double *)cli_alloc(d->frame_count, sizeof *strength);
  for (size_t part = 0; part < d->part_count; ++part) {
    size_t count = 0;
    for (size_t t = 0; t < d->frame_count; ++t)
      if (!isnan(doubts_value(d, t, part, kind))) values[count++] = doubts_value(d, t, part, kind);
    if (!count) continue;
    double usual = median(values, count);
    for (size_t i = 0; i < count; ++i) values[i] = fabs(values[i] - usual);
    double spread = 1.48 * median(values, count) + 0.001 * d->poses.size; /* what no one sees is no doubt */
    for (size_t t = 0; t < d->frame_count; ++t) {
      double value = doubts_value(d, t, part, kind), z = (value - usual) / spread;
      if (isnan(value) || !(z > strength[t])) continue;
      strength[t] = z;
      if (z > candidates[t].strongest) {
        candidates[t].strongest = z;
        candidates[t].kind = kind, candidates[t].part = part;
        candidates[t].value = value, candidates[t].usual = usual;
      }
    }
  }
  for (size_t t = 0; t < d->frame_count; ++t) candidates[t].score += strength[t];
  free(values);
  free(strength);
}

/* How little frame b is worth once a is taken, 0..1. */
static double likeness(const document *doc, const doubts *d, double pose_unit, size_t a, size_t b) {
  double apart = (doc->frames[a].number - doc->frames[b].number) / reach, sum = poses_apart(&d->poses, a, b);
  double like = fmax(0.5 * exp(-sum / (2 * pose_unit * pose_unit)), exp(-sum / (2 * pow(same * d->poses.size, 2))));
  return fmax(exp(-apart * apart / 2), like);
}

static void take(const document *doc, const doubts *d, double pose_unit, size_t taken, candidate *candidates) {
  for (size_t t = 0; t < d->frame_count; ++t) {
    candidate *c = &candidates[t];
    c->worth *= 1 - likeness(doc, d, pose_unit, taken, t);
    c->far = fmin(c->far, abs(doc->frames[t].number - doc->frames[taken].number));
  }
}

/* The frame that is most worth a look; frame_count: none is. */
static size_t find_best(const candidate *candidates, size_t count) {
  double most = 0, far = -1;
  size_t best = count;
  for (size_t t = 0; t < count; ++t) most = fmax(most, candidates[t].score * candidates[t].worth);
  for (size_t t = 0; t < count && most > 0.01; ++t)
    if (candidates[t].score * candidates[t].worth > as_bad * most && candidates[t].far > far) best = t, far = candidates[t].far;
  return best;
}

static int by_score(const void *a, const void *b) {
  double x = ((const candidate *)a)->score, y = ((const candidate *)b)->score;
  return (x < y) - (x > y);
}

static char *reason_text(const doubts *d, const candidate *c) {
  static const char *const texts[DOUBT_KINDS] = {"low confidence of", "jitter of", "model and motion disagree on",
                                                 "unusual pose of"};
  return cli_format("%s %s: %.2f px, usual here %.2f", texts[c->kind], d->parts[c->part], c->value, c->usual);
}

cJSON *suggest_frames(const document *doc, int top) {
  static const char *const names[DOUBT_KINDS] = {"confidence", "jitter", "disagreement", "pose"};
  doubts d = doubts_find(doc);
  candidate *candidates = (candidate *)cli_alloc(doc->frame_count + 1, sizeof *candidates);
  for (int kind = 0; kind < DOUBT_KINDS; ++kind) add_sign(&d, (doubt_kind)kind, candidates);

  double pose_unit = 0.01 * d.poses.size; /* half of what poses usually differ by, but no less than this */
  double *usual = (double *)cli_alloc(doc->frame_count + 1, sizeof *usual);
  for (size_t t = 0; t < doc->frame_count; ++t)
    for (size_t part = 0; part < d.part_count; ++part)
      if (!isnan(doubts_value(&d, t, part, DOUBT_POSE))) usual[t] = fmax(usual[t], doubts_value(&d, t, part, DOUBT_POSE));
  pose_unit = fmax(pose_unit, median(usual, doc->frame_count) / 2);
  free(usual);
  /* Before any is taken, the middle of the shot is farthest from its ends. */
  for (size_t t = 0; t < doc->frame_count; ++t) {
    int number = doc->frames[t].number, first = doc->frames[0].number, last = doc->frames[doc->frame_count - 1].number;
    candidates[t].worth = 1, candidates[t].frame = t, candidates[t].far = fmin(number - first, last - number);
  }
  for (size_t t = 0; t < doc->frame_count; ++t) {
    int fixed = 0;
    for (size_t i = 0; i < doc->point_count; ++i) fixed |= doc->frames[t].points[i].origin == ORIGIN_ARTIST;
    if (fixed) take(doc, &d, pose_unit, t, candidates);
  }

  candidate *chosen = (candidate *)cli_alloc(doc->frame_count + 1, sizeof *chosen);
  size_t count = 0, best;
  while (count < (size_t)top && count < doc->frame_count &&
         (best = find_best(candidates, doc->frame_count)) < doc->frame_count) {
    chosen[count] = candidates[best];
    chosen[count++].score *= candidates[best].worth;
    take(doc, &d, pose_unit, best, candidates);
  }
  qsort(chosen, count, sizeof *chosen, by_score);
  cJSON *list = cJSON_CreateArray();
  for (size_t k = 0; k < count; ++k) {
    const candidate *c = &chosen[k];
    char *reason = reason_text(&d, c);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddNumberToObject(item, "frame", doc->frames[c->frame].number);
    cJSON_AddNumberToObject(item, "score", c->score);
    cJSON_AddStringToObject(item, "sign", names[c->kind]);
    cJSON_AddStringToObject(item, "part", d.parts[c->part]);
    cJSON_AddNumberToObject(item, "value_px", c->value);
    cJSON_AddNumberToObject(item, "usual_px", c->usual);
    cJSON_AddStringToObject(item, "reason", reason);
    cJSON_AddItemToArray(list, item);
    free(reason);
  }
  free(chosen);
  free(candidates);
  doubts_free(&d);
  return list;
}

int suggest_main(int argc, char **argv) {
  int top = 10, json = 0;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--top", CLI_INTEGER, &top, "N", "how many frames (default 10)"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as JSON"},
  };
  const cli_command command = {
      "roto suggest",
      "SHOT.roto.json",
      "Names the frames that are most worth an artist's look, the worst first, and why.  They are chosen to\n"
      "differ: correcting one helps its neighbours.",
      "roto suggest sh010.roto.json --top 5",
      options,
      sizeof options / sizeof *options};
  document doc;
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (top < 1) cli_usage(&command, "--top expects 1 or more, found %d", top);
  if (document_read(argv[0], &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  cJSON *root = cJSON_CreateObject(), *list = suggest_frames(&doc, top);
  const cJSON *item;
  cJSON_AddStringToObject(root, "document", argv[0]);
  cJSON_AddItemToObject(root, "suggestions", list);
  if (!json)
    cJSON_ArrayForEach(item, list)
        printf("%6d  score %6.2f  %s\n", cJSON_GetObjectItem(item, "frame")->valueint,
               cJSON_GetObjectItem(item, "score")->valuedouble, cJSON_GetObjectItem(item, "reason")->valuestring);
  if (json)
    json_print(root);
  else
    cJSON_Delete(root);
  document_free(&doc);
  return EXIT_DONE;
}
