/* `roto smooth`: a document smoothed anew, after an artist fixed points: no model looks at the plate again. */

#include "cli.h"
#include "commands.h"
#include "dejitter.h"
#include "shapes.h"

int smooth_main(int argc, char **argv) {
  const char *mode_name = "full", *model = NULL, *output = NULL;
  int threads = cli_default_threads(), json = 0;
  char message[MESSAGE_SIZE];
  const cli_option options[] = {
      {"--smooth", CLI_STRING, &mode_name, "MODE",
       "full (default), causal (no frame sees a later one), or off: the raw points"},
      {"--model", CLI_STRING, &model, "FILE", "draw the shapes of this model anew, through the smoothed points"},
      {"-o", CLI_STRING, &output, "FILE", "where to write (default: the document itself)"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads (default: all, or what the farm grants)"},
      {"--json", CLI_FLAG, &json, NULL, "print the result as JSON"},
  };
  const cli_command command = {
      "roto smooth",
      "SHOT.roto.json",
      "Smooths the points of a document over time: what the model found is in the document, so it does not look\n"
      "at the plate again.  Points an artist set, and those of shapes an artist drew, stay where they are and\n"
      "pull their neighbours.  The plate is read only where a point was moved, or where its motion is not known.",
      "roto smooth sh010.roto.json --model puppet.roto",
      options,
      sizeof options / sizeof *options};
  dejitter_mode mode;
  document doc;
  size_t fixed = 0, unread = 0;
  if (cli_parse(&command, argc, argv) != 1) cli_usage(&command, "expected one roto document");
  if (!dejitter_parse(mode_name, &mode)) cli_usage(&command, "--smooth expects off, causal or full, found '%s'", mode_name);
  if (threads < 0) cli_usage(&command, "--threads expects 0 (all) or more, found %d", threads);
  if (!output) output = argv[0];
  cli_catch_signals();
  int lock = document_lock(output);
  if (document_read(argv[0], &doc, message)) cli_fail(EXIT_INPUT, "%s", message);
  for (size_t t = 0; t < doc.frame_count; ++t)
    for (size_t i = 0; i < doc.point_count; ++i) fixed += doc.frames[t].points[i].origin == ORIGIN_ARTIST;
  if (mode != DEJITTER_OFF) dejitter_track(&doc, threads, &unread);
  if (dejitter_smooth(&doc, mode, message)) cli_fail(EXIT_FAILED, "%s: %s", argv[0], message);
  shapes_follow(&doc, argv[0], model);
  if (document_write(output, &doc, message)) cli_fail(EXIT_WRITE, "%s", message);
  document_unlock(lock);
  if (unread)
    fprintf(stderr, "WARNING: %zu frames of the plate could not be read; nothing connects them to their neighbours\n", unread);
  if (json) {
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "document", output);
    cJSON_AddNumberToObject(root, "frames", (double)doc.frame_count);
    cJSON_AddNumberToObject(root, "artist_points", (double)fixed);
    cJSON_AddNumberToObject(root, "unread_frames", (double)unread);
    json_print(root);
  } else {
    printf("%s: %zu frames, %zu points set by an artist\n", output, doc.frame_count, fixed);
  }
  document_free(&doc);
  return EXIT_DONE;
}
