/* `roto review`: one HTML file to look through a shot and mend it, which needs no server, no network and no roto.
 *
 * The page is tools/review/, compiled in; this fills its places: style, script, WebAssembly, the document as it is, facts about it,
 * and each frame as a JPEG of its own that the page decodes when it is looked at.  What the artist made of it comes back as a
 * document. */

#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "commands.h"
#include "document.h"
#include "image_file.h"
#include "model_file.h"
#include "suggest.h"

static const char page_html[] =
#include "review/review.html.inc"
    ;
static const char page_style[] =
#include "review/review.css.inc"
    ;
static const char page_script[] =
#include "review/engine.js.inc"
#include "review/shot.js.inc"
#include "review/page.js.inc"
    ;
static const char page_wasm[] =
#include "review/kernel.inc"
    ;

enum { DOCUMENT_LIMIT = 1 << 30, SMALLEST = 64, LARGEST = 8192, MOST_PROBLEMS = 5 };

typedef struct review_job {
  const char *path; /* of the document */
  document doc;
  model_file model; /* none: shapes are carried along with their landmarks */
  int size, quality, threads;
  char **pictures; /* [frame_count] base64 */
  char **problems; /* [frame_count] why there is none */
  cli_progress progress;
  size_t done;
} review_job;

static char *base64(const unsigned char *data, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *text = (char *)cli_alloc((size + 2) / 3 * 4 + 1, 1), *out = text;
  for (size_t i = 0; i < size; i += 3) {
    unsigned bits =
        (unsigned)data[i] << 16 | (i + 1 < size ? (unsigned)data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0u);
    *out++ = digits[bits >> 18];
    *out++ = digits[bits >> 12 & 63];
    *out++ = i + 1 < size ? digits[bits >> 6 & 63] : '=';
    *out++ = i + 2 < size ? digits[bits & 63] : '=';
  }
  return text;
}

/* The plate of a frame: where the document says, else beside the document. */
static char *plate_path(const review_job *job, size_t index) {
  char *path = document_frame_path(&job->doc, index);
  const char *name = strrchr(path, '/'), *folder = strrchr(job->path, '/');
  if (!access(path, R_OK)) return path;
  char *beside = cli_format("%.*s%s", folder ? (int)(folder + 1 - job->path) : 0, job->path, name ? name + 1 : path);
  if (access(beside, R_OK)) return free(beside), path;
  free(path);
  return beside;
}

/* A frame, made as small as the page wants it.  Runs on several threads for different frames. */
static int make_picture(const review_job *job, size_t index, char **picture, char *message) {
  char *path = plate_path(job, index);
  image_file image;
  int result = image_read_channels(path, job->doc.channels, &image, message);
  free(path);
  if (result) return -1;
  image.transfer = job->doc.transfer; /* as the run read it */
  uint32_t longest = image.width > image.height ? image.width : image.height;
  double shrink = longest > (uint32_t)job->size ? (double)longest / job->size : 1;
  uint32_t width = (uint32_t)(image.width / shrink + 0.5), height = (uint32_t)(image.height / shrink + 0.5);
  width += !width;
  height += !height;
  size_t values = (size_t)width * height * 3, size;
  float map[6] = {(float)((double)image.width / width), 0, 0, 0, (float)((double)image.height / height), 0};
  float *sample = (float *)cli_alloc(values, sizeof *sample);
  uint8_t *pixels = (uint8_t *)cli_alloc(values, 1);
  unsigned char *data;
  roto_image view = image_view(&image);
  roto_sample(&view, map, ROTO_TRANSFER_SRGB, width, height, sample);
  image_free(&image);
  for (size_t i = 0; i < values; ++i) pixels[i] = (uint8_t)(fminf(fmaxf(sample[i], 0), 1) * 255 + 0.5f);
  free(sample);
  result = image_encode_jpg(pixels, width, height, 3, job->quality, &data, &size, message);
  free(pixels);
  if (result) return -1;
  *picture = base64(data, size);
  free(data);
  return 0;
}

static void make_pictures(review_job *job) {
  size_t count = job->doc.frame_count;
  int threads = job->threads;
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#else
  (void)threads;
#endif
  cli_progress_start(&job->progress, stdout, "roto review", count);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
#endif
  for (size_t i = 0; i < count; ++i) {
    char message[MESSAGE_SIZE];
    if (cli_interrupted()) continue;
    if (make_picture(job, i, &job->pictures[i], message)) job->problems[i] = cli_format("%s", message);
#ifdef _OPENMP
#pragma omp critical
#endif
    cli_progress_show(&job->progress, ++job->done, NULL);
  }
  cli_progress_end(&job->progress);
}

/* JSON inside a script element: no `<`, which could end the element; in JSON it only stands in strings. */
static void put_json(FILE *out, const char *json) {
  for (; *json; ++json)
    if (*json == '<')
      fputs("\\u003c", out);
    else
      fputc(*json, out);
}

static void put_html(FILE *out, const char *text) {
  for (; *text; ++text)
    if (*text == '<')
      fputs("&lt;", out);
    else if (*text == '&')
      fputs("&amp;", out);
    else
      fputc(*text, out);
}

/* The model must be one of this document's landmarks, and know its shapes by the same number of vertices. */
static void check_model(const review_job *job, const char *path) {
  const roto_info *info = roto_get_info(job->model.model);
  const cJSON *landmark = cJSON_GetObjectItemCaseSensitive(job->doc.template_json, "landmarks")->child;
  int same = info->landmark_count == job->doc.point_count;
  for (uint32_t i = 0; same && i < info->landmark_count; ++i, landmark = landmark->next) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
    roto_landmark here;
    same = !roto_get_landmark(job->model.model, i, &here) && cJSON_IsString(name) && !strcmp(name->valuestring, here.name);
  }
  if (!same)
    cli_fail(EXIT_MODEL, "%s: this model finds other landmarks than those of %s; give the model of that run", path, job->path);
  if (!info->shape_net_count)
    cli_fail(EXIT_MODEL, "%s: this model draws no shapes; leave --model away, or give one of `roto-train shapes`", path);
}

static void put_facts(FILE *out, const review_job *job, const char *name) {
  cJSON *facts = cJSON_CreateObject();
  cJSON_AddStringToObject(facts, "file", name);
  cJSON_AddStringToObject(facts, "version", ROTO_VERSION_STRING);
  size_t count = job->doc.frame_count / 8;
  cJSON_AddItemToObject(facts, "suggestions", suggest_frames(&job->doc, count < 8 ? 8 : count > 40 ? 40 : (int)count));
  if (job->model.model) {
    cJSON *shapes = cJSON_AddArrayToObject(facts, "model_shapes");
    roto_shape shape;
    for (uint32_t i = 0; roto_get_shape(job->model.model, i, &shape) == ROTO_OK; ++i)
      cJSON_AddItemToArray(shapes, cJSON_CreateString(shape.name));
  }
  char *text = cJSON_PrintUnformatted(facts);
  put_json(out, text ? text : "{}");
  cJSON_free(text);
  cJSON_Delete(facts);
}

/* The page with its places filled; the text is for free(). */
static char *make_page(const review_job *job, const char *document_text, size_t *size) {
  const char *name = strrchr(job->path, '/') ? strrchr(job->path, '/') + 1 : job->path, *at = page_html;
  char *page = NULL, *model = base64((const unsigned char *)job->model.data, job->model.size);
  FILE *out = open_memstream(&page, size);
  if (!out) cli_fail(EXIT_FAILED, "out of memory for the page");
  for (const char *place; (place = strstr(at, "{{")) != NULL; at = strstr(place, "}}") + 2) {
    fwrite(at, 1, (size_t)(place - at), out);
    if (!strncmp(place, "{{title", 7)) put_html(out, name);
    if (!strncmp(place, "{{style", 7)) fputs(page_style, out);
    if (!strncmp(place, "{{document", 10)) put_json(out, document_text);
    if (!strncmp(place, "{{facts", 7)) put_facts(out, job, name);
    if (!strncmp(place, "{{wasm", 6)) fputs(page_wasm, out);
    if (!strncmp(place, "{{model", 7)) fputs(model, out);
    if (!strncmp(place, "{{script", 8)) fputs(page_script, out);
    for (size_t i = 0; i < job->doc.frame_count && !strncmp(place, "{{frames", 8); ++i)
      if (job->pictures[i]) fprintf(out, "<script type=\"text/plain\" id=\"frame-%zu\">%s</script>\n", i, job->pictures[i]);
  }
  fputs(at, out);
  free(model);
  if (fclose(out)) cli_fail(EXIT_FAILED, "out of memory for the page; make the frames smaller with --size");
  return page;
}

int review_main(int argc, char **argv) {
  const char *output = NULL, *missing = "error", *model = NULL;
  review_job job;
  char message[MESSAGE_SIZE];
  memset(&job, 0, sizeof job);
  job.size = 1280;
  job.quality = 85;
  job.threads = cli_default_threads();
  const cli_option table[] = {
      {"-o", CLI_STRING, &output, "FILE", "the page to write"},
      {"--model", CLI_STRING, &model, "FILE", "the model of that run: it draws the shapes anew while a landmark is dragged"},
      {"--size", CLI_INTEGER, &job.size, "PX", "longest side of the frames in the page (default 1280); none is enlarged"},
      {"--quality", CLI_INTEGER, &job.quality, "N", "of their JPEG, 1 to 100 (default 85)"},
      {"--missing", CLI_STRING, &missing, "WHAT", "plates that cannot be read: error (default), or skip"},
      {"--threads", CLI_INTEGER, &job.threads, "N", "threads (default: all, or what the farm grants)"},
  };
  const cli_command command = {
      "roto review",
      "SHOT.roto.json -o PAGE.html",
      "Writes one HTML file to look through a shot and mend it, in any browser, without server or network:\n"
      "frames, landmarks and shapes, confidence and jitter over time.  Its Download button gives the\n"
      "corrected document.",
      "roto review sh010.roto.json --model puppet.roto -o sh010.html",
      table,
      sizeof table / sizeof *table};
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (!output) cli_usage(&command, "expected -o FILE for the page");
  if (job.size < SMALLEST || job.size > LARGEST) cli_usage(&command, "--size expects %d to %d pixels", SMALLEST, LARGEST);
  if (job.quality < 1 || job.quality > 100) cli_usage(&command, "--quality expects 1 to 100");
  int skip = !strcmp(missing, "skip");
  if (!skip && strcmp(missing, "error")) cli_usage(&command, "--missing expects error or skip, found '%s'", missing);
  job.path = argv[0];
  unsigned char *text;
  size_t text_size, page_size, embedded = 0;
  if (document_read(job.path, &job.doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (file_read(job.path, DOCUMENT_LIMIT, &text, &text_size, message)) cli_fail(EXIT_INPUT, "%s", message);
  if (!job.doc.frame_count) cli_fail(EXIT_INPUT, "%s: this document has no frames", job.path);

  if (model && model_open(model, ROTO_ISA_AUTO, &job.model, message)) cli_fail(EXIT_MODEL, "%s", message);
  if (model) check_model(&job, model);

  job.pictures = (char **)cli_alloc(job.doc.frame_count, sizeof *job.pictures);
  job.problems = (char **)cli_alloc(job.doc.frame_count, sizeof *job.problems);
  cli_catch_signals();
  make_pictures(&job);
  if (cli_interrupted()) cli_fail(cli_interrupted(), "stopped by signal %d; no page is written", cli_interrupted() - 128);
  for (size_t i = 0, problems = 0; i < job.doc.frame_count; ++i) {
    embedded += job.pictures[i] != NULL;
    if (!job.problems[i] || problems++ >= MOST_PROBLEMS) continue;
    if (skip)
      fprintf(stderr, "WARNING: %s (skipped)\n", job.problems[i]);
    else
      cli_error("%s", job.problems[i]);
  }
  if (embedded < job.doc.frame_count && !skip)
    cli_fail(
        EXIT_INPUT,
        "%zu of %zu plates cannot be read; nothing is written; run it where the plate's pattern holds, or allow --missing skip",
        job.doc.frame_count - embedded, job.doc.frame_count);
  char *page = make_page(&job, (const char *)text, &page_size);
  if (file_write(output, page, page_size, message)) cli_fail(EXIT_WRITE, "%s", message);
  printf("%s: %zu frames, %.1f MB\n", output, job.doc.frame_count, (double)page_size / 1e6);
  for (size_t i = 0; i < job.doc.frame_count; ++i) free(job.pictures[i]), free(job.problems[i]);
  free(job.pictures);
  free(job.problems);
  free(page);
  free(text);
  document_free(&job.doc);
  model_close(&job.model);
  return EXIT_DONE;
}
