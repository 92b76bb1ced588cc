/* `roto-train dataset import`: folders in other layouts (each shot by the template that fits it, landmarks and shapes matched by
 * name), roto documents that an artist corrected, tables of points.  Ends with EXIT_INPUT if anything was refused, though the good
 * frames are there. */

#include "dataset_tools.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../roto.h"
#include "../tools/cli.h"
#include "../tools/document.h"
#include "shot_folder.h"

#define OPTIONS(list) list, sizeof list / sizeof *list

static int exists(const char *path) {
  struct stat there;
  return stat(path, &there) == 0;
}

static int is_folder(const char *path) {
  struct stat there;
  return stat(path, &there) == 0 && S_ISDIR(there.st_mode);
}

static int ends_with(const char *text, const char *end) {
  size_t n = strlen(text), m = strlen(end);
  return n >= m && !strcmp(text + n - m, end);
}

/* What import collects on its way. */
typedef struct import_job {
  const char *out;
  const character *ch;
  double artist_weight;
  int all_frames, failed;
  size_t written, passed_over;
} import_job;

static void free_import(frame *f) {
  uint32_t i;
  for (i = 0; i < f->shape_count; ++i) {
    free(f->shapes[i].name);
    free(f->shapes[i].segments);
  }
  free(f->shapes);
  free(f->points);
  free(f->valid);
  free(f->hidden);
  free(f->weights);
}

static frame new_import(const character *ch, uint32_t number) {
  frame f;
  memset(&f, 0, sizeof f);
  f.number = number;
  f.points = cli_alloc(ch->landmark_count, 2 * sizeof *f.points);
  f.valid = cli_alloc(ch->landmark_count, 1);
  f.hidden = cli_alloc(ch->landmark_count, 1);
  f.shapes = cli_alloc(ch->shape_count, sizeof *f.shapes);
  return f;
}

static void turn_around(segment *g) {
  segment s = *g;
  int k;
  for (k = 0; k < 4; ++k) {
    g->x[k] = s.x[(k + 2) % 4];
    g->y[k] = s.y[(k + 2) % 4];
  }
}

/* A shape of another template on this one's vertices: the same landmarks by name in the same cycle, from another start or the
 * other way round.  0 if they are not the same. */
static int import_shape(const character *from, const roto_shape *a, const frame_shape *in, const character *to,
                        const roto_shape *b, frame_shape *out) {
  uint32_t n = a->vertex_count, start, v, count = in->segment_count;
  int back;
  if (n != b->vertex_count || a->closed != b->closed || count != (a->closed ? n : n - 1)) return 0;
  for (back = 0; back < 2; ++back) {
    for (start = 0; start < n; ++start) {
      uint32_t same = 0, k;
      if (!a->closed && start != (back ? n - 1 : 0)) continue;
      for (v = 0; v < n; ++v) {
        int32_t p = a->vertices[(back ? start + n - v : start + v) % n], q = b->vertices[v];
        same += p >= 0 && q >= 0 ? !strcmp(from->landmarks[p].name, to->landmarks[q].name) : p < 0 && q < 0;
      }
      if (same < n) continue;
      out->name = cli_format("%s", b->name);
      out->segments = cli_alloc(count, sizeof *out->segments);
      out->segment_count = count;
      for (k = 0; k < count; ++k) {
        out->segments[k] = in->segments[(back ? start + 2 * n - 1 - k : start + k) % n];
        if (back) turn_around(&out->segments[k]);
      }
      return 1;
    }
  }
  return 0;
}

/* A frame of another template, landmarks and shapes matched by name. */
static frame import_frame(const character *from, const frame *in, const character *to) {
  frame f = new_import(to, in->number);
  uint32_t i, k;
  for (i = 0; i < from->landmark_count && in->points; ++i) {
    int l = character_find_landmark(to, from->landmarks[i].name);
    if (l < 0) continue;
    f.points[2 * l] = in->points[2 * i];
    f.points[2 * l + 1] = in->points[2 * i + 1];
    f.valid[l] = in->valid[i];
    f.hidden[l] = in->hidden[i];
    if (!in->weights) continue;
    if (!f.weights) {
      f.weights = cli_alloc(to->landmark_count, sizeof *f.weights);
      for (k = 0; k < to->landmark_count; ++k) f.weights[k] = 1;
    }
    f.weights[l] = in->weights[i];
  }
  for (i = 0; i < to->shape_count; ++i) { /* in the order of the template that is written */
    int a = character_find_shape(from, to->shapes[i].name);
    for (k = 0; a >= 0 && k < in->shape_count; ++k) {
      if (strcmp(in->shapes[k].name, to->shapes[i].name)) continue;
      f.shape_count +=
          (uint32_t)import_shape(from, &from->shapes[a], &in->shapes[k], to, &to->shapes[i], &f.shapes[f.shape_count]);
    }
  }
  f.raw = in->raw;
  f.raw_count = in->raw_count;
  return f;
}

static int known_points(const character *ch, const frame *f) {
  uint32_t i;
  for (i = 0; i < ch->landmark_count; ++i)
    if (f->valid[i] || f->hidden[i]) return 1;
  return 0;
}

/* One shot folder of the public data set's layout, by the template among `templates` that fits the most of its frames. */
static void import_folder(import_job *job, const char *folder, char *const *templates, size_t template_count) {
  character best_character;
  dataset best;
  char message[MESSAGE_SIZE], best_message[MESSAGE_SIZE] = "no template was found beside the one given";
  size_t i;
  memset(&best, 0, sizeof best);
  memset(&best_character, 0, sizeof best_character);
  for (i = 0; i < template_count; ++i) {
    character ch;
    dataset ds;
    if (character_load(templates[i], &ch, message)) cli_fail(EXIT_INPUT, "%s", message);
    if (dataset_load_annotations(folder, &ch, &ds, message)) {
      if (i == 0) memcpy(best_message, message, sizeof message);
    } else if (ds.frame_count > best.frame_count) {
      dataset swap = best;
      character old = best_character;
      best = ds;
      best_character = ch;
      ds = swap;
      ch = old;
    }
    dataset_free(&ds);
    character_free(&ch);
  }
  if (!best.frame_count) {
    cli_error("%s", best_message);
    job->failed = 1;
    return;
  }
  for (i = 0; i < best.issue_count; ++i) {
    fprintf(stderr, "%s: %s: %s\n", best.issues[i].dropped ? "ERROR" : "WARNING", best.issues[i].path, best.issues[i].reason);
    job->failed |= best.issues[i].dropped;
  }
  for (i = 0; i < best.frame_count; ++i) {
    const frame *in = &best.frames[i];
    frame f = import_frame(&best_character, in, job->ch);
    const char *shot = best.shots[in->shot];
    if (!known_points(job->ch, &f) && !f.raw_count) {
      job->passed_over++;
    } else {
      if (!known_points(job->ch, &f)) {
        free(f.points);
        f.points = NULL;
      }
      shots_write_frame(job->out, shot, job->ch, &f);
      if (in->image_path) shots_copy_image(in->image_path, job->out, shot, in->number);
      job->written++;
    }
    free_import(&f);
  }
  dataset_free(&best);
  character_free(&best_character);
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in a folder that end in `end`, or its folders for NULL, sorted, as paths. */
static size_t list_names(const char *folder, const char *end, char ***names) {
  DIR *dir = opendir(folder);
  struct dirent *entry;
  size_t count = 0, room = 0;
  *names = NULL;
  if (!dir) cli_fail(EXIT_INPUT, "%s: cannot open the folder: %s", folder, strerror(errno));
  while ((entry = readdir(dir)) != NULL) {
    char *name;
    if (entry->d_name[0] == '.') continue;
    name = cli_format("%s/%s", folder, entry->d_name);
    if (end ? !ends_with(name, end) : !is_folder(name)) {
      free(name);
      continue;
    }
    if (count == room) {
      room = room ? 2 * room : 16;
      *names = realloc(*names, room * sizeof **names);
      if (!*names) cli_fail(EXIT_FAILED, "%s: out of memory", folder);
    }
    (*names)[count++] = name;
  }
  closedir(dir);
  if (count) qsort(*names, count, sizeof **names, by_text);
  return count;
}

static void free_names(char **names, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i) free(names[i]);
  free(names);
}

/* A folder of shots, or one shot.  Templates of the source are looked for beside the one that is written. */
static void import_shots(import_job *job, const char *folder, const char *template_path) {
  const char *slash = strrchr(template_path, '/');
  char *beside = slash ? cli_format("%.*s", (int)(slash - template_path), template_path) : cli_format("."), **templates,
       **shots;
  size_t template_count = list_names(beside, ".json", &templates), shot_count = list_names(folder, NULL, &shots), i;
  char **files;
  size_t file_count = list_names(folder, ".json", &files);
  if (file_count) import_folder(job, folder, templates, template_count);
  for (i = 0; i < shot_count; ++i) import_folder(job, shots[i], templates, template_count);
  if (!file_count && !shot_count) cli_fail(EXIT_INPUT, "%s: expected shot folders or annotation files, found none", folder);
  free_names(files, file_count);
  free_names(shots, shot_count);
  free_names(templates, template_count);
  free(beside);
}

/* The file's name without folder and the given ending. */
static char *stem_of(const char *path, const char *end) {
  const char *slash = strrchr(path, '/');
  char *stem = cli_format("%s", slash ? slash + 1 : path);
  if (ends_with(stem, end)) stem[strlen(stem) - strlen(end)] = 0;
  return stem;
}

/* A corrected shot: frames in which an artist set a point, these points with the artist's weight. */
static void import_document(import_job *job, const char *path) {
  char message[MESSAGE_SIZE], *shot = stem_of(path, ".roto.json");
  document doc;
  size_t i, p;
  if (document_read(path, &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (i = 0; i < doc.frame_count; ++i) {
    const document_frame *in = &doc.frames[i];
    const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(doc.template_json, "landmarks")->child;
    char *image = document_frame_path(&doc, i);
    frame f;
    int artist = 0;
    if (in->number < 0) {
      cli_error("%s: frame %d: the layout of data sets has no negative frame numbers", path, in->number);
      job->failed = 1;
      free(image);
      continue;
    }
    f = new_import(job->ch, (uint32_t)in->number);
    f.weights = cli_alloc(job->ch->landmark_count, sizeof *f.weights);
    for (p = 0; p < job->ch->landmark_count; ++p) f.weights[p] = 1;
    for (p = 0; p < doc.point_count && landmark; ++p, landmark = landmark->next) {
      const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
      int l = cJSON_IsString(name) ? character_find_landmark(job->ch, name->valuestring) : -1;
      if (l < 0) continue;
      f.points[2 * l] = (float)in->points[p].x;
      f.points[2 * l + 1] = (float)in->points[p].y;
      f.valid[l] = !in->points[p].hidden;
      f.hidden[l] = in->points[p].hidden ? 1 : 0;
      if (in->points[p].origin != ORIGIN_ARTIST) continue;
      f.weights[l] = (float)job->artist_weight;
      artist = 1;
    }
    if (!known_points(job->ch, &f)) {
      cli_fail(EXIT_INPUT, "%s: none of its landmarks is one of %s", path, job->ch->name);
    } else if (!artist && !job->all_frames) {
      job->passed_over++;
    } else if (!exists(image)) {
      cli_error("%s: frame %d: its picture %s is not there; run from the folder the document was made in", path, in->number,
                image);
      job->failed = 1;
    } else {
      shots_write_frame(job->out, shot, job->ch, &f);
      shots_copy_image(image, job->out, shot, f.number);
      job->written++;
    }
    free_import(&f);
    free(image);
  }
  document_free(&doc);
  free(shot);
}

enum { CSV_COLUMNS = 2 * 1024 + 8 };

/* The cells of one line, in place; quotes around a cell are taken off. */
static size_t split_line(char *line, char **cells) {
  size_t count = 0;
  char *at = line;
  while (count < CSV_COLUMNS) {
    char *comma = strchr(at, ','), *end;
    if (comma) *comma = 0;
    while (*at == ' ' || *at == '"') ++at;
    end = at + strlen(at);
    while (end > at && (end[-1] == ' ' || end[-1] == '"' || end[-1] == '\r')) *--end = 0;
    cells[count++] = at;
    if (!comma) break;
    at = comma + 1;
  }
  return count;
}

static int read_number(const char *cell, float *value) {
  int used = -1;
  double number;
  if (sscanf(cell, "%lf%n", &number, &used) != 1 || cell[used] || !(fabs(number) <= 1e6)) return 0;
  *value = (float)number;
  return 1;
}

/* The last group of digits in a file's name, without its extension; -1 if there is none. */
static long number_of_name(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.'),
             *end = dot ? dot : name + strlen(name);
  const char *start;
  while (end > name && (end[-1] < '0' || end[-1] > '9')) --end;
  for (start = end; start > name && end - start < 9 && start[-1] >= '0' && start[-1] <= '9';) --start;
  return end > start ? strtol(start, NULL, 10) : -1;
}

/* One line a frame, `image,x0,y0,x1,y1,...` in the template's order, or with columns NAME_x, NAME_y; empty cells are unknown
 * points. */
static void import_csv(import_job *job, const char *path) {
  char message[MESSAGE_SIZE], *shot = stem_of(path, ".csv"), *line, *next, *first_image = NULL;
  const char *slash = strrchr(path, '/');
  char **cells = cli_alloc(CSV_COLUMNS, sizeof *cells);
  int *column = cli_alloc(CSV_COLUMNS, sizeof *column); /* 2 * landmark + axis, or -1 */
  unsigned char *data;
  size_t size, i, count, columns = 0, number = 0;
  uint32_t n = job->ch->landmark_count;
  if (file_read(path, (size_t)1 << 30, &data, &size, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (line = (char *)data; line && *line; line = next) {
    frame f;
    char *image;
    long own;
    float ignored;
    int bad = 0;
    next = strchr(line, '\n');
    if (next) *next++ = 0;
    ++number;
    if (!*line || *line == '\r') continue;
    count = split_line(line, cells);
    if (!columns) {
      int header = count > 1 && cells[1][0] && !read_number(cells[1], &ignored);
      columns = count;
      for (i = 0; i < count; ++i) column[i] = i > 0 && i <= 2 * n ? (int)i - 1 : -1;
      for (i = 1; i < count && header; ++i) {
        size_t length = strlen(cells[i]);
        char axis = length > 2 && cells[i][length - 2] == '_' ? cells[i][length - 1] : 0;
        int l;
        if (axis != 'x' && axis != 'y') continue;
        cells[i][length - 2] = 0;
        l = character_find_landmark(job->ch, cells[i]);
        column[i] = l < 0 ? -1 : 2 * l + (axis == 'y');
      }
      if (count < 5 || (!header && count != 2 * (size_t)n + 1))
        cli_fail(EXIT_INPUT,
                 "%s:%zu: expected image and %u pairs x,y, or a header with columns NAME_x,NAME_y; found %zu columns", path,
                 number, n, count);
      if (header) continue;
    }
    if (count != columns) cli_fail(EXIT_INPUT, "%s:%zu: expected %zu columns, found %zu", path, number, columns, count);
    own = number_of_name(cells[0]);
    f = new_import(job->ch, (uint32_t)(own >= 0 ? own : (long)number));
    for (i = 1; i < count && !bad; ++i) {
      if (column[i] < 0 || !cells[i][0]) continue;
      if (!read_number(cells[i], &f.points[column[i]])) {
        cli_error("%s:%zu: column %zu: expected a number of pixels, found \"%.40s\"", path, number, i + 1, cells[i]);
        bad = 1;
      }
      f.valid[column[i] / 2] = 1;
    }
    image =
        cells[0][0] == '/' || !slash ? cli_format("%s", cells[0]) : cli_format("%.*s/%s", (int)(slash - path), path, cells[0]);
    if (!bad && !exists(image)) {
      cli_error("%s:%zu: the picture %s is not there", path, number, image);
      bad = 1;
    }
    if (!bad && first_image && !strcmp(first_image, image)) {
      cli_error("%s:%zu: the picture %s has a line already", path, number, image);
      bad = 1;
    }
    if (bad) {
      job->failed = 1;
    } else {
      shots_write_frame(job->out, shot, job->ch, &f);
      shots_copy_image(image, job->out, shot, f.number);
      job->written++;
    }
    free(first_image);
    first_image = image;
    free_import(&f);
  }
  free(first_image);
  free(data);
  free(cells);
  free(column);
  free(shot);
}

int dataset_import_main(int argc, char **argv) {
  const char *template_path = NULL;
  import_job job = {NULL, NULL, 3, 0, 0, 0, 0};
  const cli_option options[] = {
      {"-o", CLI_STRING, &job.out, "OUT", "folder to write"},
      {"--character", CLI_STRING, &template_path, "FILE", "template to write; a folder's own are looked for beside it"},
      {"--artist-weight", CLI_NUMBER, &job.artist_weight, "W",
       "how much a point set by an artist counts in training (default 3)"},
      {"--all", CLI_FLAG, &job.all_frames, NULL, "of documents take frames without an artist's point too"},
  };
  const cli_command command = {
      "roto-train dataset import", "SOURCE... -o OUT --character FILE",
      "Make training data of folders in the layouts of the paper's public data set (each shot by the template that fits it, "
      "landmarks and shapes matched by name), of roto documents (*.roto.json: corrected shots), and of tables (*.csv: "
      "image,x0,y0,... "
      "or columns NAME_x,NAME_y).",
      "roto-train dataset import sh010.roto.json --character puppet27.json -o corrected", OPTIONS(options)};
  int count = cli_parse(&command, argc, argv), i;
  char message[MESSAGE_SIZE];
  character ch;
  if (count < 1) cli_usage(&command, "expected a folder, a document or a table");
  if (!job.out) cli_usage(&command, "-o OUT is missing");
  if (!template_path) cli_usage(&command, "--character FILE is missing");
  if (!(job.artist_weight >= 0 && job.artist_weight <= 1000)) cli_usage(&command, "--artist-weight must be 0 to 1000");
  if (character_load(template_path, &ch, message)) cli_fail(EXIT_INPUT, "%s", message);
  job.ch = &ch;
  shots_start(job.out, argv[0], &ch);
  for (i = 0; i < count; ++i) {
    if (is_folder(argv[i])) {
      import_shots(&job, argv[i], template_path);
    } else if (ends_with(argv[i], ".csv")) {
      import_csv(&job, argv[i]);
    } else if (ends_with(argv[i], ".json")) {
      import_document(&job, argv[i]);
    } else {
      cli_fail(EXIT_INPUT, "%s: expected a folder, a .roto.json document or a .csv table", argv[i]);
    }
  }
  fprintf(stderr, "%zu frames imported", job.written);
  if (job.passed_over) fprintf(stderr, ", %zu passed over: no artist's or known point in them", job.passed_over);
  fprintf(stderr, "\n");
  character_free(&ch);
  return job.failed || !job.written ? EXIT_INPUT : EXIT_DONE;
}
