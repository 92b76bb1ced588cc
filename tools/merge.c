/* `roto merge`: the documents of a shot's shards (`roto run --shard`) joined into one, to the byte what a single run writes.
 *
 * What an artist did in any of them, or in the document that is there already, is kept. */

#include <stdio.h>
#include <unistd.h>

#include "cli.h"
#include "commands.h"
#include "dejitter.h"
#include "document.h"
#include "hidden.h"
#include "image_file.h"
#include "shapes.h"

/* Ends the process unless the documents are of one plate, read in one way, and no frame is in both. */
static void check_alike(const document *a, const document *b, const char *b_path) {
  if (!document_compatible(a, b))
    cli_fail(EXIT_INPUT, "%s: is of another plate, or of other landmarks, than the documents before it", b_path);
  if (a->transfer != b->transfer)
    cli_fail(EXIT_INPUT, "%s: was made with --input-transfer %s, the documents before it with %s; make them alike", b_path,
             transfer_name(b->transfer), transfer_name(a->transfer));
  for (size_t i = 0, j = 0; i < a->frame_count && j < b->frame_count;) {
    int x = a->frames[i].number, y = b->frames[j].number;
    if (x == y) cli_fail(EXIT_INPUT, "%s: frame %d is in another of the documents too; leave one of them out", b_path, x);
    if (x < y)
      ++i;
    else
      ++j;
  }
}

int merge_main(int argc, char **argv) {
  const char *output = NULL, *smooth_name = NULL, *model = NULL;
  int threads = cli_default_threads();
  char message[MESSAGE_SIZE];
  const cli_option table[] = {
      {"-o", CLI_STRING, &output, "FILE", "the document of the whole shot; an artist's edits in it are kept"},
      {"--smooth", CLI_STRING, &smooth_name, "MODE", "full, causal, or off (default): as the shards were run"},
      {"--model", CLI_STRING, &model, "FILE", "draw the shapes of this model anew, through the smoothed points"},
      {"--threads", CLI_INTEGER, &threads, "N", "threads for the optical flow (default: all, or what the farm grants)"},
  };
  const cli_command command = {
      "roto merge",
      "SHARD.roto.json... -o FILE",
      "Joins the documents that roto run --shard wrote into one of the whole shot, and smooths it over time if asked to.",
      "roto merge sh010.*of4.roto.json --smooth full --model puppet.roto -o sh010.roto.json",
      table,
      sizeof table / sizeof *table};
  document whole, other;
  size_t kept;
  int count = cli_parse(&command, argc, argv);
  if (!count) cli_usage(&command, "expected the documents of the shards");
  dejitter_mode smooth = DEJITTER_OFF;
  if (smooth_name && !dejitter_parse(smooth_name, &smooth))
    cli_usage(&command, "--smooth expects off, causal or full, found '%s'", smooth_name);
  if (threads < 0) cli_usage(&command, "--threads expects 0 (all) or more, found %d", threads);
  if (!output) cli_usage(&command, "expected -o FILE for the document of the whole shot");
  for (int i = 0; i < count; ++i) {
    if (document_read(argv[i], i ? &other : &whole, message)) cli_fail(EXIT_INPUT, "%s", message);
    if (!i) continue;
    check_alike(&whole, &other, argv[i]);
    if (document_merge(&whole, &other, argv[i], &kept, message)) cli_fail(EXIT_INPUT, "%s", message);
    document_free(&other);
  }
  cli_catch_signals();
  int lock = document_lock(output);
  if (!access(output, F_OK)) {
    if (document_read(output, &other, message)) cli_fail(EXIT_INPUT, "%s", message);
    if (document_merge(&whole, &other, output, &kept, message)) cli_fail(EXIT_WRITE, "%s", message);
    document_free(&other);
  }
  if (smooth != DEJITTER_OFF) dejitter_track(&whole, threads, NULL);
  if (smooth != DEJITTER_OFF && dejitter_smooth(&whole, smooth, message)) cli_fail(EXIT_FAILED, "%s", message);
  if (smooth != DEJITTER_OFF || model) shapes_follow(&whole, output, model);
  hidden_mark(&whole);
  if (document_write(output, &whole, message)) cli_fail(EXIT_WRITE, "%s", message);
  document_unlock(lock);
  printf("%s: %zu frames, from %d documents\n", output, whole.frame_count, count);
  document_free(&whole);
  return EXIT_DONE;
}
