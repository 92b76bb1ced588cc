/* `roto export`: see export.h. */

#include "export.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "commands.h"
#include "frames.h"

/* ------------------------------------------------------------------ key reduction */

enum { SIDES = 16, TRACKS = 4 }; /* of the polygons; a vertex' place, its two handles, its feather */

/* Where a control point is: place, end of the handle in, end of the handle out; the feather as a distance along x. */
static void control_point(const roto_vertex *v, int track, double p[2]) {
  p[0] = track == 0 ? v->x : track == 1 ? v->x + v->in_x : track == 2 ? v->x + v->out_x : v->feather;
  p[1] = track == 0 ? v->y : track == 1 ? v->y + v->in_y : track == 2 ? v->y + v->out_y : 0;
}

/* From moment i, the furthest moments that one line reaches: lowers fewest[j] and sets from[j]. */
static void extend(const roto_vertex *const *moments, const int *times, size_t count, uint32_t vertex_count, double tolerance,
                   double (*limits)[SIDES], const double (*sides)[2], size_t i, size_t *fewest, size_t *from) {
  double radius = tolerance * cos(3.14159265358979323846 / SIDES);
  for (size_t t = 0; t < (size_t)vertex_count * TRACKS; ++t)
    for (int k = 0; k < SIDES; ++k) limits[t][k] = DBL_MAX;
  for (size_t j = i + 1; j < count; ++j) {
    double span = (double)times[j] - times[i], slack = 1e-9 + tolerance * 1e-9;
    int reached = 1, open = 1;
    for (size_t t = 0; t < (size_t)vertex_count * TRACKS; ++t) {
      double a[2], b[2], *limit = limits[t];
      control_point(moments[i] + t / TRACKS, (int)(t % TRACKS), a);
      control_point(moments[j] + t / TRACKS, (int)(t % TRACKS), b);
      for (int k = 0; k < SIDES; ++k) {
        double velocity = ((b[0] - a[0]) * sides[k][0] + (b[1] - a[1]) * sides[k][1]) / span, most = velocity + radius / span;
        reached &= velocity <= limit[k] + slack;
        if (most < limit[k]) limit[k] = most;
      }
      for (int k = 0; k < SIDES / 2; ++k) open &= limit[k] + limit[k + SIDES / 2] >= -slack;
    }
    if (reached && fewest[i] + 1 < fewest[j]) fewest[j] = fewest[i] + 1, from[j] = i;
    if (!open) break;
  }
}

size_t export_reduce(const roto_vertex *const *moments, const int *times, size_t count, uint32_t vertex_count, double tolerance,
                     unsigned char *keys) {
  memset(keys, tolerance > 0 ? 0 : 1, count);
  if (!(tolerance > 0) || count < 3) return memset(keys, 1, count), count;
  double sides[SIDES][2], (*limits)[SIDES] = cli_alloc((size_t)vertex_count * TRACKS, sizeof *limits);
  size_t *fewest = (size_t *)cli_alloc(count, sizeof *fewest), *from = (size_t *)cli_alloc(count, sizeof *from), total = 1;
  for (int k = 0; k < SIDES; ++k) {
    sides[k][0] = cos(2 * 3.14159265358979323846 * k / SIDES);
    sides[k][1] = sin(2 * 3.14159265358979323846 * k / SIDES);
  }
  for (size_t j = 1; j < count; ++j) fewest[j] = count + 1;
  for (size_t i = 0; i + 1 < count; ++i)
    extend(moments, times, count, vertex_count, tolerance, limits, (const double(*)[2])sides, i, fewest, from);
  keys[0] = 1;
  for (size_t j = count - 1; j; j = from[j], ++total) keys[j] = 1;
  free(limits);
  free(fewest);
  free(from);
  return total;
}

static double rounded(double x) {
  return floor(x / EXPORT_UNIT + 0.5) * EXPORT_UNIT;
}

double export_error(const roto_vertex *const *moments, const int *times, size_t count, uint32_t vertex_count,
                    const unsigned char *keys) {
  double worst = 0;
  size_t before = 0, after = 0;
  for (size_t m = 0; m < count; ++m) {
    if (keys[m]) before = m;
    if (after < m || !m)
      for (after = m; after + 1 < count && !keys[after]; ++after) {
      }
    double u = after > before ? ((double)times[m] - times[before]) / ((double)times[after] - times[before]) : 0;
    for (uint32_t v = 0; v < vertex_count; ++v) {
      const double *a = &moments[before][v].x, *b = &moments[after][v].x;
      roto_vertex shown;
      double *s = &shown.x;
      for (size_t k = 0; k < sizeof shown / sizeof *s; ++k) s[k] = rounded(a[k]) + u * (rounded(b[k]) - rounded(a[k]));
      for (int t = 0; t < TRACKS; ++t) {
        double p[2], q[2];
        control_point(&shown, t, p);
        control_point(moments[m] + v, t, q);
        worst = fmax(worst, hypot(p[0] - q[0], p[1] - q[1]));
      }
    }
  }
  return worst;
}

/* ------------------------------------------------------------------ the shot */

/* Whether a name stands in a list separated by commas; NULL lists all. */
static int listed(const char *names, const char *name) {
  size_t length = strlen(name);
  if (!names) return 1;
  for (; *names; names += strcspn(names, ","), names += *names == ',')
    if (strcspn(names, ",") == length && !strncmp(names, name, length)) return 1;
  return 0;
}

/* Collects the frames of a shape; 0 if there is none. */
static int gather(const document *doc, size_t index, export_shape *shape, const char *path) {
  size_t first = 0;
  memset(shape, 0, sizeof *shape);
  shape->name = document_shape_name(doc, index, &shape->closed);
  shape->at = (const roto_vertex **)cli_alloc(doc->frame_count + 1, sizeof *shape->at);
  shape->key = (unsigned char *)cli_alloc(doc->frame_count + 1, 1);
  for (size_t f = 0; f < doc->frame_count; ++f) {
    const document_shape *here = &doc->frames[f].shapes[index];
    if (!here->vertex_count || here->hidden) continue;
    if (!shape->seen++) first = f, shape->vertex_count = here->vertex_count;
    if (here->vertex_count != shape->vertex_count)
      cli_fail(EXIT_INPUT,
               "%s: shape '%s' has %u vertices in frame %d and %u in frame %d; a host needs the same in all, as "
               "`roto-train revectorize` makes them",
               path, shape->name, shape->vertex_count, doc->frames[first].number, here->vertex_count, doc->frames[f].number);
    shape->at[f] = here->vertices;
    if (here->width > shape->width) shape->width = here->width;
  }
  return shape->seen > 0;
}

/* Chooses the keys of each run of frames in which the shape is to be seen, and measures them. */
static void choose_keys(const document *doc, export_shape *shape, double tolerance) {
  int *times = (int *)cli_alloc(doc->frame_count + 1, sizeof *times);
  for (size_t f = 0; f < doc->frame_count; ++f) times[f] = doc->frames[f].number;
  for (size_t f = 0, end; f < doc->frame_count; f = end) {
    for (end = f; end < doc->frame_count && shape->at[end]; ++end) {
    }
    const roto_vertex *const *moments = shape->at + f;
    if (end > f) {
      shape->key_count += export_reduce(moments, times + f, end - f, shape->vertex_count, tolerance, shape->key + f);
      shape->error = fmax(shape->error, export_error(moments, times + f, end - f, shape->vertex_count, shape->key + f));
    } else {
      ++end;
    }
  }
  free(times);
}

static void read_shot(export_shot *shot, const char *path, const char *names, double tolerance, double confidence) {
  char message[MESSAGE_SIZE];
  if (document_read(path, &shot->doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (size_t f = 0; f < shot->doc.frame_count; ++f)
    for (size_t p = 0; p < shot->doc.point_count; ++p)
      if (shot->doc.frames[f].points[p].confidence < confidence) shot->doc.frames[f].points[p].hidden = 1;
  const cJSON *name = cJSON_GetObjectItemCaseSensitive(shot->doc.template_json, "name");
  if (!shot->name) shot->name = cJSON_IsString(name) ? name->valuestring : "roto";
  shot->shapes = (export_shape *)cli_alloc(shot->doc.shape_count + 1, sizeof *shot->shapes);
  for (size_t s = 0; s < shot->doc.shape_count; ++s) {
    int closed;
    export_shape *shape = shot->shapes + shot->shape_count;
    if (!listed(names, document_shape_name(&shot->doc, s, &closed))) continue;
    if (!gather(&shot->doc, s, shape, path)) {
      free(shape->at);
      free(shape->key);
      continue;
    }
    choose_keys(&shot->doc, shape, tolerance);
    ++shot->shape_count;
  }
}

static void free_shot(export_shot *shot) {
  for (size_t s = 0; s < shot->shape_count; ++s) {
    free(shot->shapes[s].at);
    free(shot->shapes[s].key);
  }
  free(shot->shapes);
  document_free(&shot->doc);
}

/* ------------------------------------------------------------------ the command */

static const export_host hosts[] = {
    {"nuke", "a Python script that makes a Roto node", 0, export_nuke},
    {"nuke-tracker", "a .nk file with a Tracker node of the landmarks", EXPORT_NO_SHAPES, export_nuke_tracker},
    {"natron", "a Python script that makes a Roto node", 0, export_natron},
    {"fxs", "shapes of Silhouette, which Mocha reads too", EXPORT_NO_FEATHER, export_silhouette},
    {"ae", "a script (.jsx) that adds masks to the selected layer of After Effects", 0, export_after_effects},
    {"fusion", "a .setting of Fusion and DaVinci Resolve to paste", 0, export_fusion},
    {"mlt", "a matte for MLT (melt, Kdenlive, Shotcut)", EXPORT_NO_OPEN, export_mlt},
    {"svg", "an animated drawing for browsers", 0, export_svg},
    {"blender", "a Python script that makes a mask", EXPORT_FEATHER_OUTWARDS, export_blender},
    {"json", "annotation files as roto-train reads them, one a frame: #### in FILE", 0, NULL},
};

static const export_host *find_host(const cli_command *command, const char *name) {
  for (size_t i = 0; name && i < sizeof hosts / sizeof *hosts; ++i)
    if (!strcmp(hosts[i].name, name)) return &hosts[i];
  char known[256] = "";
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; ++i)
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", hosts[i].name);
  cli_usage(command, "--to expects one of %s; found '%s'", known, name ? name : "");
}

/* Drops what the host cannot show, and says so. */
static void fit_host(export_shot *shot, const export_host *host) {
  size_t kept = 0;
  for (size_t s = 0; s < shot->shape_count; ++s) {
    export_shape *shape = shot->shapes + s;
    double least = 0, most = 0;
    for (size_t f = 0; f < shot->doc.frame_count; ++f)
      for (uint32_t v = 0; shape->at[f] && v < shape->vertex_count; ++v) {
        least = fmin(least, shape->at[f][v].feather);
        most = fmax(most, shape->at[f][v].feather);
      }
    if ((host->limits & EXPORT_NO_OPEN) && !shape->closed) {
      fprintf(stderr, "WARNING: %s: has no open shapes; '%s' is left out\n", host->name, shape->name);
      free(shape->at);
      free(shape->key);
      continue;
    }
    if ((host->limits & EXPORT_NO_FEATHER) && (least < 0 || most > 0))
      fprintf(stderr, "WARNING: %s: its feather is not documented; '%s' is written with a hard edge\n", host->name,
              shape->name);
    if ((host->limits & EXPORT_FEATHER_OUTWARDS) && least < 0)
      fprintf(stderr, "WARNING: %s: knows feather outwards only; that of '%s' is left out where it goes inwards\n", host->name,
              shape->name);
    shot->shapes[kept++] = *shape;
  }
  shot->shape_count = kept;
}

static void write_text(const char *path, const export_host *host, const export_shot *shot, size_t frame) {
  char *data = NULL, message[MESSAGE_SIZE];
  size_t size = 0;
  FILE *out = open_memstream(&data, &size);
  if (!out) cli_fail(EXIT_FAILED, "%s: not enough memory", path);
  if (host->write)
    host->write(shot, out);
  else
    export_annotation(shot, frame, out);
  if (ferror(out) || fclose(out)) cli_fail(EXIT_FAILED, "%s: not enough memory", path);
  if (file_write(path, data, size, message)) cli_fail(EXIT_WRITE, "%s", message);
  free(data);
}

/* One file, or for "json" one a frame. */
static void write_files(const cli_command *command, const char *pattern, const export_host *host, const export_shot *shot) {
  const char *name = strrchr(pattern, '/'), *mark = strchr(name ? name : pattern, '#');
  int digits = mark ? (int)strspn(mark, "#") : 0;
  if (host->write) {
    write_text(pattern, host, shot, 0);
    return;
  }
  if (!mark && shot->doc.frame_count > 1)
    cli_usage(command, "-o '%s' names one file for %zu frames; put #### where the frame's number goes", pattern,
              shot->doc.frame_count);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    char *path =
        mark ? cli_format("%.*s%0*d%s", (int)(mark - pattern), pattern, digits, shot->doc.frames[f].number, mark + digits)
             : cli_format("%s", pattern);
    write_text(path, host, shot, f);
    free(path);
  }
}

static void report(const export_shot *shot, const export_host *host, const char *output, double tolerance, int json) {
  size_t before = 0, after = 0;
  double error = 0;
  int keyed = host->write && !(host->limits & EXPORT_NO_SHAPES); /* the others write every frame */
  for (size_t s = 0; s < shot->shape_count; ++s) {
    before += shot->shapes[s].seen;
    after += shot->shapes[s].key_count;
    error = fmax(error, shot->shapes[s].error);
  }
  if (json) {
    cJSON *result = cJSON_CreateObject();
    cJSON_AddStringToObject(result, "output", output);
    cJSON_AddNumberToObject(result, "shapes", (double)shot->shape_count);
    cJSON_AddNumberToObject(result, "landmarks", (double)shot->doc.point_count);
    cJSON_AddNumberToObject(result, "frames", (double)shot->doc.frame_count);
    cJSON_AddNumberToObject(result, "keys_before", (double)before);
    cJSON_AddNumberToObject(result, "keys_after", (double)(keyed ? after : before));
    cJSON_AddNumberToObject(result, "error_px", keyed ? error : 0);
    cJSON_AddNumberToObject(result, "tolerance_px", tolerance);
    json_print(result);
  } else if (host->limits & EXPORT_NO_SHAPES) {
    printf("%s: %zu landmarks, %zu frames\n", output, shot->doc.point_count, shot->doc.frame_count);
  } else {
    printf("%s: %zu shapes, %zu frames", output, shot->shape_count, shot->doc.frame_count);
    if (keyed) printf("; keys %zu -> %zu, at most %.3f px from the document", before, after, error);
    printf("\n");
  }
}

int export_main(int argc, char **argv) {
  const char *to = NULL, *output = NULL, *names = NULL;
  double tolerance = 0.1, confidence = 0;
  int json = 0;
  export_shot shot;
  memset(&shot, 0, sizeof shot);
  shot.fps = 24;
  const cli_option table[] = {
      {"--to", CLI_STRING, &to, "HOST",
       "nuke, nuke-tracker, natron, fxs (Silhouette, Mocha), ae, fusion, mlt, svg, blender, json (training data)"},
      {"-o", CLI_STRING, &output, "FILE", "file to write; json: one a frame, #### for its number"},
      {"--tolerance", CLI_NUMBER, &tolerance, "PX",
       "leave out keys as long as no point of a shape moves further than this (default 0.1; 0: a key in every frame)"},
      {"--shapes", CLI_STRING, &names, "NAMES", "only these shapes, separated by commas"},
      {"--confidence", CLI_NUMBER, &confidence, "C", "landmarks less certain than this, 0 to 1, count as hidden (default 0)"},
      {"--name", CLI_STRING, &shot.name, "NAME", "of the layer (default: the template's)"},
      {"--fps", CLI_NUMBER, &shot.fps, "N", "frames a second, for mlt and svg (default 24)"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as one line of JSON"},
  };
  const cli_command command = {"roto export",
                               "SHOT.roto.json --to HOST -o FILE",
                               "Writes the shapes and landmarks of a roto document for another program, with few keys.",
                               "roto export sh010.roto.json --to nuke -o sh010_roto.py",
                               table,
                               sizeof table / sizeof *table};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  const export_host *host = find_host(&command, to);
  if (!output) cli_usage(&command, "expected -o FILE");
  if (!(tolerance >= 0 && tolerance <= 100)) cli_usage(&command, "--tolerance expects 0 to 100 pixels");
  if (!(shot.fps > 0 && shot.fps <= 1000)) cli_usage(&command, "--fps expects a number from 0 to 1000, not 0");
  read_shot(&shot, argv[0], names, tolerance, confidence);
  if (!shot.doc.frame_count) cli_fail(EXIT_INPUT, "%s: has no frames", argv[0]);
  if (!(host->limits & EXPORT_NO_SHAPES)) {
    for (const char *at = names; at && *at; at += strcspn(at, ","), at += *at == ',') {
      size_t s = 0;
      while (s < shot.shape_count &&
             (strlen(shot.shapes[s].name) != strcspn(at, ",") || strncmp(shot.shapes[s].name, at, strcspn(at, ","))))
        ++s;
      if (s == shot.shape_count) cli_fail(EXIT_INPUT, "%s: no frame shows a shape '%.*s'", argv[0], (int)strcspn(at, ","), at);
    }
    if (host->write) fit_host(&shot, host);
    if (host->write && !shot.shape_count)
      cli_fail(EXIT_INPUT, "%s: has no shapes to export, only points; --to nuke-tracker writes those", argv[0]);
  }
  for (size_t s = 0; s < shot.shape_count; ++s)
    if (shot.shapes[s].error > fmax(tolerance, 10 * EXPORT_UNIT))
      cli_fail(EXIT_FAILED, "shape '%s': keys are %.4f px from the document, more than the tolerance of %.4f; this is a bug",
               shot.shapes[s].name, shot.shapes[s].error, tolerance);
  write_files(&command, output, host, &shot);
  report(&shot, host, output, tolerance, json);
  free_shot(&shot);
  return EXIT_DONE;
}
