/* `roto run`: frames in, roto document out.
 *
 * Frames are independent, so threads take whole frames, each with its own session of one thread; a single frame, and frames
 * whose crop is where the one before was found, get all threads inside.  Either way the points are the same to the last bit.
 * The motion between two frames is measured as soon as both were looked at, while what it needs of their pictures is in memory:
 * no frame is read twice for it.  Nothing is written under the document's name before everything is known: a run that fails or is
 * stopped leaves an older document as it was.  Previews and sheet show what the document holds in the end. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "cli.h"
#include "commands.h"
#include "crop_file.h"
#include "dejitter.h"
#include "document.h"
#include "hidden.h"
#include "image_file.h"
#include "json_file.h"
#include "model_file.h"
#include "plate.h"
#include "preview.h"
#include "shapes.h"

enum { SHEET_TILES = 48 };

typedef enum missing_policy { MISSING_ERROR, MISSING_SKIP, MISSING_HOLD } missing_policy;

typedef struct run_options {
  const char *model, *crop, *crops, *range, *output, *preview, *sheet, *isa, *missing, *smooth, *transfer, *channels, *shard,
      *precision;
  int threads, views, network_only, json, follow, looks, skip_existing;
} run_options;

typedef struct run_job {
  const run_options *options;
  plate plate;
  model_file model;
  document doc;
  roto_rect *crops;    /* a frame; width 0: to be followed from the one before */
  roto_rect next_crop; /* with --follow: where the last frame's landmarks were */
  image_file *headers; /* a frame: what its file says of it, without pixels */
  char **problems;     /* a frame: why it could not be used, or NULL */
  dejitter_mode smooth;
  roto_pyramid **pyramids;         /* a frame: until both its links are measured; NULL without smoothing */
  unsigned char *sides, *measured; /* a link, from a frame to the next: how many of the two are done; done itself */
  cli_progress progress;
  size_t done;
  int threads;
} run_job;

/* ------------------------------------------------------------------ before the work */

/* Fails before hours of work, not after them, if `path` cannot become a file. */
static void check_output(const char *path) {
  struct stat info;
  const char *slash = strrchr(path, '/');
  char *folder = slash ? cli_format("%.*s", (int)(slash - path + 1), path) : cli_format(".");
  if (!stat(path, &info) && !S_ISREG(info.st_mode))
    cli_fail(EXIT_WRITE, "%s: expected the name of a file to write, found something that is not a file", path);
  if (stat(folder, &info) || !S_ISDIR(info.st_mode))
    cli_fail(EXIT_WRITE, "%s: cannot be written: there is no folder %s; make it first", path, folder);
  if (access(folder, W_OK)) cli_fail(EXIT_WRITE, "%s: cannot be written: %s: %s", path, folder, strerror(errno));
  free(folder);
}

/* The crop of each frame, as far as one is given: with --follow the others have width 0, but the first has one. */
static void find_crops(run_job *job) {
  const run_options *options = job->options;
  char message[MESSAGE_SIZE];
  roto_rect same = {0, 0, 0, 0};
  crop_list list = {0};
  size_t lacking = 0, first = 0;
  if (options->crop && !crop_parse(options->crop, &same))
    cli_fail(EXIT_USAGE, "--crop expects x,y,width,height in pixels with a positive size, found '%s'", options->crop);
  if (options->crops && crops_read(options->crops, &list, message)) cli_fail(EXIT_INPUT, "%s", message);
  job->crops = (roto_rect *)cli_alloc(job->plate.frames.count, sizeof *job->crops);
  for (size_t i = 0; i < job->plate.frames.count; ++i) {
    const frame_file *file = &job->plate.frames.files[i];
    if (!options->crops) {
      if (!options->follow || i == 0) job->crops[i] = same;
    } else if (!crops_find(&list, file->number, file->path, &job->crops[i])) {
      if (!lacking++) first = i;
    }
  }
  crops_free(&list);
  if (lacking && !options->follow)
    cli_fail(EXIT_INPUT,
             "%s: has no crop for %zu of %zu frames, the first is %s; add them, put the frames under \"keys\" to have those "
             "between found, or give --follow",
             options->crops, lacking, job->plate.frames.count, job->plate.frames.files[first].path);
  if (lacking && first == 0)
    cli_fail(EXIT_INPUT, "%s: has no crop for %s, the first frame to do, from where --follow would go on", options->crops,
             job->plate.frames.files[0].path);
}

/* Takes frames out of the sequence that the document has already. */
static void skip_existing(run_job *job, const document *older) {
  plate *p = &job->plate;
  document *doc = &job->doc;
  if (job->options->transfer && (int)older->transfer != p->transfer)
    cli_fail(EXIT_INPUT, "%s: was made with --input-transfer %s; --skip-existing cannot go on from it with %s",
             job->options->output, transfer_name(older->transfer), job->options->transfer);
  doc->width = older->width; /* not known yet */
  doc->height = older->height;
  if (!document_compatible(doc, older))
    cli_fail(EXIT_INPUT, "%s: is of another plate, or of other landmarks; --skip-existing cannot go on from it",
             job->options->output);
  for (size_t i = p->frames.count; i-- > 0;) {
    size_t k = 0;
    while (k < older->frame_count && older->frames[k].number != p->frames.files[i].number) ++k;
    if (k < older->frame_count && older->frames[k].points[0].origin != ORIGIN_HELD) plate_drop(p, i);
  }
}

/* ------------------------------------------------------------------ the work */

static void note_problem(run_job *job, size_t index, const char *message) {
  job->problems[index] = cli_format("%s", message);
}

static void set_crop(document_frame *frame, roto_rect crop) {
  frame->crop[0] = (double)crop.x;
  frame->crop[1] = (double)crop.y;
  frame->crop[2] = (double)crop.width;
  frame->crop[3] = (double)crop.height;
}

/* What one thread needs to look at frames. */
typedef struct run_lane {
  roto_session *session;
  double pixel_aspect; /* of the frames that the session is for */
  int threads;         /* inside one frame */
  roto_point *points;
} run_lane;

static roto_status lane_prepare(const run_job *job, run_lane *lane, double pixel_aspect) {
  roto_session_options options;
  if (lane->session && lane->pixel_aspect == pixel_aspect) return ROTO_OK;
  roto_session_free(lane->session);
  memset(&options, 0, sizeof options);
  options.allocator = model_allocator();
  options.views = job->options->views;
  options.network_only = job->options->network_only;
  options.parallel.threads = lane->threads;
  options.pixel_aspect = (float)pixel_aspect;
  lane->pixel_aspect = pixel_aspect;
  return roto_session_create(job->model.model, &options, &lane->session);
}

/* A frame is done, and so is one side of each of its links: who does the second side measures the link.  A pyramid is freed with
 * the last link that needs it, so there are about twice as many of them as threads.  image NULL: the frame cannot be used. */
static void settle_links(run_job *job, size_t index, const image_file *image) {
  document *doc = &job->doc;
  size_t first = index ? index - 1 : 0, last = index + 1 < doc->frame_count ? index : first; /* its links */
  if (!job->pyramids || doc->frame_count < 2) return;
  if (image) {
    dejitter_round(doc, &doc->frames[index]);
    job->pyramids[index] = dejitter_pyramid(doc, &doc->frames[index], image);
  }
  for (size_t link = first; link <= last; ++link) {
    document_frame *from = &doc->frames[link], *to = from + 1;
    int mine;
#ifdef _OPENMP
#pragma omp critical(links)
#endif
    mine = ++job->sides[link] == 2;
    if (!mine) continue;
    const roto_pyramid *a = job->pyramids[link], *b = job->pyramids[link + 1];
    if (a && b && to->number > from->number && dejitter_follows(from, to)) dejitter_link(doc, from, to, a, b);
    roto_pyramid *drop[2] = {NULL, NULL};
#ifdef _OPENMP
#pragma omp critical(links)
#endif
    {
      job->measured[link] = 1;
      for (size_t k = link; k <= link + 1; ++k) {
        if ((k && !job->measured[k - 1]) || (k + 1 < doc->frame_count && !job->measured[k])) continue;
        drop[k - link] = job->pyramids[k];
        job->pyramids[k] = NULL;
      }
    }
    roto_pyramid_free(drop[0]);
    roto_pyramid_free(drop[1]);
  }
}

/* Frame `index`, from file to points.  Runs on several threads for different frames, unless they follow each other. */
static void run_frame(run_job *job, size_t index, run_lane *lane) {
  char message[MESSAGE_SIZE];
  document_frame *frame = &job->doc.frames[index];
  image_file image;
  roto_point *points = lane->points;
  if (plate_read(&job->plate, index, &image, message)) {
    note_problem(job, index, message);
    settle_links(job, index, NULL);
    return;
  }
  roto_image view = image_view(&image);
  roto_rect crop = job->crops[index].width > 0 ? job->crops[index] : job->next_crop;
  roto_status status = lane_prepare(job, lane, image.pixel_aspect);
  if (!status) status = roto_find_landmarks_near(lane->session, &view, &crop, (uint32_t)job->options->looks, points);
  if (status != ROTO_OK) {
    message_set(message, "%s: %s", job->plate.frames.files[index].path, roto_status_text(status));
    note_problem(job, index, message);
    settle_links(job, index, NULL);
    image_free(&image);
    return;
  }
  job->headers[index] = image;
  job->headers[index].pixels = NULL;
  plate_describe_frame(&image, frame);
  set_crop(frame, crop);
  if (job->options->follow) {
    roto_rect fit = roto_fit_crop(lane->session, points);
    job->next_crop = fit.width > 0 ? fit : crop;
  }
  for (size_t i = 0; i < job->doc.point_count; ++i) {
    frame->points[i].x = (double)points[i].x;
    frame->points[i].y = (double)points[i].y;
    frame->points[i].raw_x = frame->points[i].x;
    frame->points[i].raw_y = frame->points[i].y;
    frame->points[i].confidence = (double)points[i].confidence;
    frame->points[i].error = (double)points[i].error;
  }
  settle_links(job, index, &image);
  image_free(&image);
}

static void run_frames(run_job *job) {
  int threads = job->options->threads;
  size_t count = job->plate.frames.count;
  int side_by_side = count > 1 && !job->options->follow;
#ifdef _OPENMP
  if (threads <= 0) threads = omp_get_max_threads();
#else
  threads = 1;
#endif
  job->threads = threads;
  cli_progress_start(&job->progress, job->options->json ? stderr : stdout, "roto run", count);
#ifdef _OPENMP
#pragma omp parallel num_threads(side_by_side ? threads : 1)
#endif
  {
    run_lane lane = {NULL, 0, side_by_side ? 1 : threads, NULL};
    lane.points = (roto_point *)cli_alloc(job->doc.point_count, sizeof *lane.points);
#ifdef _OPENMP
#pragma omp for schedule(dynamic, 1)
#endif
    for (size_t i = 0; i < count; ++i) {
      if (cli_interrupted()) continue;
      run_frame(job, i, &lane);
#ifdef _OPENMP
#pragma omp critical
#endif
      cli_progress_show(&job->progress, ++job->done, NULL);
    }
    roto_session_free(lane.session);
    free(lane.points);
  }
  cli_progress_end(&job->progress);
}

/* ------------------------------------------------------------------ after the work */

/* Applies the policy to frames that could not be used; ends the process if there are any and the policy is `error`. */
static size_t settle_missing(run_job *job, missing_policy policy) {
  size_t bad = 0, kept = 0;
  int last_good = 0;
  document *doc = &job->doc;
  const document_frame *last = NULL;
  for (size_t i = 0; i < doc->frame_count; ++i) {
    if (!job->problems[i]) last_good = 1;
    if (!job->problems[i]) continue;
    ++bad;
    if (policy == MISSING_ERROR)
      cli_error("%s", job->problems[i]);
    else
      fprintf(stderr, "WARNING: %s (%s)\n", job->problems[i],
              policy == MISSING_SKIP ? "skipped"
              : last_good            ? "held"
                                     : "skipped: there is no frame before");
  }
  if (bad && policy == MISSING_ERROR)
    cli_fail(EXIT_INPUT, "%zu of %zu frames cannot be used; nothing is written; mend them, or allow --missing skip or hold",
             bad, doc->frame_count);
  for (size_t i = doc->frame_count; i-- > 0;)
    if (!job->problems[i]) plate_describe(&job->plate, &job->headers[i], doc);
  if (bad == doc->frame_count) cli_fail(EXIT_INPUT, "none of the %zu frames can be used; nothing is written", bad);
  for (size_t i = 0; i < doc->frame_count; ++i) {
    document_frame frame = doc->frames[i];
    int hold = job->problems[i] && policy == MISSING_HOLD && last;
    if (hold) {
      frame.width = last->width;
      frame.height = last->height;
      memcpy(frame.data, last->data, sizeof frame.data);
      memcpy(frame.points, last->points, doc->point_count * sizeof *frame.points);
      for (size_t p = 0; p < doc->point_count; ++p) frame.points[p].origin = ORIGIN_HELD;
      for (size_t k = 0; k < doc->shape_count; ++k) {
        const document_shape *shape = &last->shapes[k];
        if (!shape->vertex_count) continue;
        frame.shapes[k] = *shape;
        frame.shapes[k].origin = ORIGIN_HELD;
        frame.shapes[k].vertices = (roto_vertex *)cli_alloc(shape->vertex_count, sizeof *shape->vertices);
        memcpy(frame.shapes[k].vertices, shape->vertices, shape->vertex_count * sizeof *shape->vertices);
      }
    }
    if (job->problems[i] && !hold) {
      document_free_frame(doc, &frame);
      continue;
    }
    doc->frames[kept] = frame;
    last = &doc->frames[kept++];
  }
  doc->frame_count = kept;
  doc->width = doc->frames[0].width;
  doc->height = doc->frames[0].height;
  return bad;
}

static int by_number(const void *a, const void *b) {
  const document_frame *x = (const document_frame *)a, *y = (const document_frame *)b;
  return (x->number > y->number) - (x->number < y->number);
}

/* Takes over an artist's work from the older document, if there is one, and smooths the shot; shapes then follow their points. */
static void settle_points(run_job *job, const document *older, dejitter_mode smooth, size_t *kept) {
  char message[MESSAGE_SIZE];
  document *doc = &job->doc;
  size_t count = doc->frame_count;
  document_frame *done = (document_frame *)cli_alloc(count, sizeof *done); /* what this run did, by number */
  memcpy(done, doc->frames, count * sizeof *done);
  if (older && document_merge(doc, older, job->options->output, kept, message)) cli_fail(EXIT_WRITE, "%s", message);
  document_settle_points(doc);
  if (smooth != DEJITTER_OFF) dejitter_track(doc, job->options->threads, NULL);
  if (smooth != DEJITTER_OFF && dejitter_smooth(doc, smooth, message)) cli_fail(EXIT_FAILED, "%s", message);
  unsigned char *which = (unsigned char *)cli_alloc(doc->frame_count, 1);
  for (size_t i = 0; i < doc->frame_count; ++i)
    which[i] = smooth != DEJITTER_OFF || bsearch(&doc->frames[i], done, count, sizeof *done, by_number);
  if (shapes_draw(doc, job->model.model, which, NULL)) cli_fail(EXIT_FAILED, "out of memory");
  if (!job->options->shard) hidden_mark(doc); /* which takes a whole shot */
  free(which);
  free(done);
}

/* ------------------------------------------------------------------ pictures of it */

static char *preview_path(const char *folder, const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
  return cli_format("%s/%.*s.png", folder, dot ? (int)(dot - name) : (int)strlen(name), name);
}

/* Frame `index` of the plate, with what the document holds of it: its preview, its tile of the sheet. */
static int show_frame(const run_options *options, const plate *p, size_t index, const document *doc, contact_sheet *sheet,
                      char *message) {
  const frame_file *file = &p->frames.files[index];
  size_t count = p->frames.count, tiles = count < SHEET_TILES ? count : SHEET_TILES, tile = index * tiles / count;
  int in_sheet = options->sheet && (index == 0 || (index - 1) * tiles / count != tile); /* the first of equal stretches */
  document_frame key, *frame;
  image_file image;
  int result = 0;
  memset(&key, 0, sizeof key);
  key.number = file->number;
  frame = (document_frame *)bsearch(&key, doc->frames, doc->frame_count, sizeof key, by_number);
  char *path = options->preview ? preview_path(options->preview, file->path) : NULL;
  if (path && options->skip_existing && !access(path, F_OK)) free(path), path = NULL;
  if (frame && (path || in_sheet) && frame->points[0].origin != ORIGIN_HELD) {
    result = plate_read(p, index, &image, message);
    if (!result && path) {
      canvas c = preview_frame(&image, doc, frame);
      result = image_write_png(path, c.pixels, (uint32_t)c.width, (uint32_t)c.height, 3, message);
      free(c.pixels);
    }
    if (!result && in_sheet) preview_tile(sheet, tile, &image, doc, frame);
    image_free(&image);
  }
  free(path);
  return result;
}

/* All frames that were asked for.  Ends the process if one cannot be shown. */
static void show_frames(const run_options *options, const plate *p, const document *doc) {
  size_t count = p->frames.count, done = 0;
  contact_sheet sheet;
  cli_progress progress;
  char message[MESSAGE_SIZE];
  int failed = 0;
  memset(&sheet, 0, sizeof sheet);
  if (!options->preview && !options->sheet) return;
  if (options->preview) cli_make_folder(options->preview);
  if (options->sheet) sheet = preview_sheet(count < SHEET_TILES ? count : SHEET_TILES);
  cli_progress_start(&progress, options->json ? stderr : stdout, "previews", count);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(options->threads > 0 ? options->threads : omp_get_max_threads())
#endif
  for (size_t i = 0; i < count; ++i) {
    char problem[MESSAGE_SIZE];
    if (cli_interrupted()) continue;
    int result = show_frame(options, p, i, doc, &sheet, problem);
#ifdef _OPENMP
#pragma omp critical
#endif
    {
      if (result) cli_error("%s", problem);
      failed |= result != 0;
      cli_progress_show(&progress, ++done, NULL);
    }
  }
  cli_progress_end(&progress);
  if (cli_interrupted())
    cli_fail(cli_interrupted(), "stopped by signal %d; %s is written, but not all previews", cli_interrupted() - 128,
             options->output);
  if (failed) cli_fail(EXIT_WRITE, "%s is written, but not all previews", options->output);
  if (options->sheet && image_write(options->sheet, sheet.picture.pixels, (uint32_t)sheet.picture.width,
                                    (uint32_t)sheet.picture.height, 3, message))
    cli_fail(EXIT_WRITE, "%s", message);
  free(sheet.picture.pixels);
}

static void print_result(const run_job *job, size_t bad, size_t kept, double seconds) {
  const document *doc = &job->doc;
  double sum = 0, worst = 2;
  int worst_frame = 0;
  for (size_t i = 0; i < doc->frame_count; ++i) {
    double frame_sum = 0;
    for (size_t p = 0; p < doc->point_count; ++p) frame_sum += doc->frames[i].points[p].confidence;
    sum += frame_sum;
    if (frame_sum / (double)doc->point_count < worst) {
      worst = frame_sum / (double)doc->point_count;
      worst_frame = doc->frames[i].number;
    }
  }
  double mean = sum / (double)(doc->frame_count * doc->point_count), rate = (double)job->plate.frames.count / seconds;
  const char *isa = roto_isa_name(roto_get_info(job->model.model)->isa);
  if (job->options->json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "document", job->options->output);
    cJSON_AddNumberToObject(root, "frames", (double)doc->frame_count);
    cJSON_AddNumberToObject(root, "unusable", (double)bad);
    cJSON_AddNumberToObject(root, "points", (double)doc->point_count);
    cJSON_AddNumberToObject(root, "artist_points_kept", (double)kept);
    cJSON_AddNumberToObject(root, "mean_confidence", mean);
    cJSON_AddNumberToObject(root, "worst_frame", worst_frame);
    cJSON_AddNumberToObject(root, "worst_confidence", worst);
    cJSON_AddNumberToObject(root, "frames_per_second", rate);
    cJSON_AddNumberToObject(root, "threads", job->threads);
    cJSON_AddStringToObject(root, "isa", isa);
    json_print(root);
    return;
  }
  printf("%s: %zu frames, %zu points each", job->options->output, doc->frame_count, doc->point_count);
  if (kept) printf(", %zu points set by an artist kept", kept);
  printf("\nconfidence %.2f on average, lowest in frame %d: %.2f\n%.1f frames/s (%s, %d thread%s)\n", mean, worst_frame, worst,
         rate, isa, job->threads, job->threads == 1 ? "" : "s");
}

static void free_job(run_job *job) {
  for (size_t i = 0; job->problems && i < job->plate.frames.count; ++i) free(job->problems[i]);
  free(job->problems);
  free(job->headers);
  free(job->crops);
  free(job->pyramids);
  free(job->sides);
  plate_close(&job->plate);
  document_free(&job->doc);
  model_close(&job->model);
}

int run_main(int argc, char **argv) {
  run_options options = {0};
  options.isa = "auto";
  options.precision = "fp32";
  options.missing = "error";
  options.looks = 5;
  options.views = 10;
  options.threads = cli_default_threads();
  const cli_option table[] = {
      {"--model", CLI_STRING, &options.model, "FILE", "the .roto model"},
      {"--crop", CLI_STRING, &options.crop, "X,Y,W,H", "rough rectangle around the subject, the same in all frames"},
      {"--crops", CLI_STRING, &options.crops, "FILE", "JSON: {\"1001\": [x, y, w, h], ...}, keys, or a garbage matte's shapes"},
      {"--follow", CLI_FLAG, &options.follow, NULL, "a crop for the first frame is enough: the others follow what was found"},
      {"--looks", CLI_INTEGER, &options.looks, "N",
       "looks at a frame until crop and landmarks agree (default 5; 1: crop as given)"},
      {"--range", CLI_STRING, &options.range, "FRAMES", "frames to do: 1001-1105,1110-1200x2 (default: all found)"},
      {"-o", CLI_STRING, &options.output, "FILE", "the roto document to write; an artist's edits in it are kept"},
      {"--preview", CLI_STRING, &options.preview, "DIR", "write each frame with its landmarks and shapes drawn over it"},
      {"--sheet", CLI_STRING, &options.sheet, "FILE", "write a contact sheet (PNG, or JPEG by its name) of up to 48 frames"},
      {"--input-transfer", CLI_STRING, &options.transfer, "NAME",
       "srgb, linear, rec709, logc3, slog3, cineon or raw (default: linear for OpenEXR, else srgb)"},
      {"--channels", CLI_STRING, &options.channels, "NAMES", "of OpenEXR: a layer, or R,G,B by their names (default: R, G, B)"},
      {"--shard", CLI_STRING, &options.shard, "I/N",
       "do the I-th of N parts of the frames, from 1; roto merge joins the parts"},
      {"--skip-existing", CLI_FLAG, &options.skip_existing, NULL, "do only frames that the document does not have"},
      {"--missing", CLI_STRING, &options.missing, "WHAT", "error (default), skip, or hold the frame before"},
      {"--smooth", CLI_STRING, &options.smooth, "MODE",
       "full, causal, or off (default); a shard measures the motion and leaves smoothing to roto merge"},
      {"--views", CLI_INTEGER, &options.views, "N",
       "see each frame so often, mirrored, larger, smaller and turned, and take the mean: 1 to 10 (default 10); fewer: faster, "
       "more error, and less known of it"},
      {"--network-only", CLI_FLAG, &options.network_only, NULL,
       "leave landmarks where the network sees them, whatever else the model knows of them"},
      {"--threads", CLI_INTEGER, &options.threads, "N", "threads (default: all, or what the farm grants)"},
      {"--precision", CLI_STRING, &options.precision, "NAME",
       "fp32 (default), bf16, or int8 for a model of roto model quantize"},
      {"--isa", CLI_STRING, &options.isa, "NAME", "at most this instruction set: scalar, avx2, avx512"},
      {"--json", CLI_FLAG, &options.json, NULL, "print the result as JSON; progress goes to stderr"},
  };
  const cli_command command = {
      "roto run",
      "FRAMES --model FILE (--crop X,Y,W,H | --crops FILE) -o FILE",
      "Finds the landmarks of the model in each frame, draws its shapes through them, and writes a roto document.\n"
      "FRAMES is a pattern (%04d, ####, @@@@, $F4), a folder, or a list of files.",
      "roto run 'plates/sh010.####.png' --range 1001-1048 --model puppet.roto --crops crop.json \\\n"
      "    -o sh010.roto.json --sheet sh010.png",
      table,
      sizeof table / sizeof *table};
  run_job job;
  char message[MESSAGE_SIZE];
  memset(&job, 0, sizeof job);
  job.options = &options;
  int inputs = cli_parse(&command, argc, argv);
  missing_policy policy = MISSING_ERROR;
  roto_transfer transfer;
  int shard = 0, shards = 0, used = 0;
  dejitter_mode smooth = DEJITTER_OFF;
  roto_isa isa;
  roto_precision precision;
  if (!inputs) cli_usage(&command, "expected FRAMES: a pattern, a folder, or files");
  if (!options.model) cli_usage(&command, "expected --model FILE");
  if (!options.output) cli_usage(&command, "expected -o FILE for the roto document");
  if (!options.crop == !options.crops) cli_usage(&command, "expected --crop X,Y,W,H or --crops FILE, and only one of them");
  if (options.smooth && !dejitter_parse(options.smooth, &smooth))
    cli_usage(&command, "--smooth expects off, causal or full, found '%s'", options.smooth);
  if (options.threads < 0) cli_usage(&command, "--threads expects 0 (all) or more, found %d", options.threads);
  if (options.views < 1 || options.views > 10) cli_usage(&command, "--views expects 1 to 10, found %d", options.views);
  if (options.looks < 1) cli_usage(&command, "--looks expects 1 or more, found %d", options.looks);
  if (model_parse_precision(options.precision, &precision))
    cli_usage(&command, "--precision expects fp32, bf16 or int8, found '%s'", options.precision);
  if (model_parse_isa(options.isa, &isa))
    cli_usage(&command, "--isa expects auto, scalar, avx2 or avx512, found '%s'", options.isa);
  if (!strcmp(options.missing, "skip"))
    policy = MISSING_SKIP;
  else if (!strcmp(options.missing, "hold"))
    policy = MISSING_HOLD;
  else if (strcmp(options.missing, "error"))
    cli_usage(&command, "--missing expects error, skip or hold, found '%s'", options.missing);

  if (options.transfer && transfer_parse(options.transfer, &transfer))
    cli_usage(&command, "--input-transfer expects srgb, linear, rec709, logc3, slog3, cineon or raw, found '%s'",
              options.transfer);
  if (options.shard && (sscanf(options.shard, "%d/%d%n", &shard, &shards, &used) != 2 || options.shard[used] || shard < 1 ||
                        shards < shard || shards > 100000))
    cli_usage(&command, "--shard expects I/N with I from 1 to N, found '%s'", options.shard);
  if (options.follow && (options.shard || options.skip_existing))
    cli_usage(&command, "--follow needs all frames in one run, not %s", options.shard ? "--shard" : "--skip-existing");
  if (options.shard && policy == MISSING_HOLD)
    cli_usage(&command, "--missing hold needs the frame before, which another shard may have; use --missing skip");
  if (plate_open(argv, (size_t)inputs, options.range, options.channels, options.transfer, &job.plate, message))
    cli_fail(EXIT_INPUT, "%s", message);
  if (options.shard) plate_shard(&job.plate, shard, shards);
  if (!job.plate.frames.count) {
    printf("%s: shard %s has no frames; nothing is written\n", options.output, options.shard);
    plate_close(&job.plate);
    return EXIT_DONE;
  }
  if (model_open_in(options.model, isa, precision, options.threads, &job.model, message)) cli_fail(EXIT_MODEL, "%s", message);
  document_init(&job.doc, job.model.model, job.plate.frames.pattern);
  check_output(options.output);
  if (options.sheet) check_output(options.sheet);
  if (options.preview) cli_make_folder(options.preview);
  document older;
  int has_older = !access(options.output, F_OK);
  if (has_older && document_read(options.output, &older, message))
    cli_fail(EXIT_INPUT, "%s; it may hold an artist's work, so it is not overwritten: mend it or move it away", message);
  if (has_older && options.skip_existing) skip_existing(&job, &older);
  plate shown; /* all that was asked for, done now or before */
  if (plate_open(argv, (size_t)inputs, options.range, options.channels, options.transfer, &shown, message))
    cli_fail(EXIT_INPUT, "%s", message);
  if (options.shard) plate_shard(&shown, shard, shards);
  if (!job.plate.frames.count) {
    show_frames(&options, &shown, &older);
    document_free(&older);
    printf("%s: has all frames already\n", options.output);
    plate_close(&shown);
    free_job(&job);
    return EXIT_DONE;
  }
  if (has_older) document_free(&older);
  find_crops(&job);

  document_make_frames(&job.doc, job.plate.frames.count);
  job.problems = (char **)cli_alloc(job.plate.frames.count, sizeof *job.problems);
  job.headers = (image_file *)cli_alloc(job.plate.frames.count, sizeof *job.headers);
  job.smooth = options.shard ? DEJITTER_OFF : smooth; /* a part of a shot is not smoothed */
  if (smooth != DEJITTER_OFF) {
    job.pyramids = (roto_pyramid **)cli_alloc(job.plate.frames.count, sizeof *job.pyramids);
    job.sides = (unsigned char *)cli_alloc(2 * job.plate.frames.count, 1);
    job.measured = job.sides + job.plate.frames.count;
  }
  for (size_t i = 0; i < job.plate.frames.count; ++i) {
    document_frame *frame = &job.doc.frames[i];
    frame->number = job.plate.frames.files[i].number;
    if (!job.plate.frames.pattern) frame->file = cli_format("%s", job.plate.frames.files[i].path);
    set_crop(frame, job.crops[i]);
  }

  cli_catch_signals();
  double start = cli_seconds();
  run_frames(&job);
  double seconds = cli_seconds() - start;
  if (cli_interrupted())
    cli_fail(cli_interrupted(), "stopped by signal %d after %zu of %zu frames; no document is written", cli_interrupted() - 128,
             job.done, job.plate.frames.count);
  size_t bad = settle_missing(&job, policy), kept = 0;
  qsort(job.doc.frames, job.doc.frame_count, sizeof *job.doc.frames, by_number); /* a range may run backwards */
  int lock = document_lock(options.output);
  has_older = !access(options.output, F_OK); /* read again: an artist or another run may have written it meanwhile */
  if (has_older && document_read(options.output, &older, message)) cli_fail(EXIT_WRITE, "%s", message);
  if (has_older && older.transfer != job.doc.transfer)
    fprintf(stderr, "WARNING: %s was made with --input-transfer %s, this run with %s\n", options.output,
            transfer_name(older.transfer), transfer_name(job.doc.transfer));
  settle_points(&job, has_older ? &older : NULL, job.smooth, &kept);
  if (document_write(options.output, &job.doc, message)) cli_fail(EXIT_WRITE, "%s", message);
  document_unlock(lock);
  show_frames(&options, &shown, &job.doc);
  print_result(&job, bad, kept, seconds);

  if (has_older) document_free(&older);
  plate_close(&shown);
  free_job(&job);
  return EXIT_DONE;
}
