/* `roto`: the program on artists' machines and on the farm. */

#include <stdio.h>
#include <string.h>

#include "../roto.h"
#include "cli.h"
#include "commands.h"

static const char build_id[] =
#include "build_id.inc"
    ;

static const struct {
  const char *name, *summary;
  int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "find the landmarks and shapes of a shot; write a roto document, previews, a contact sheet", run_main},
    {"shapes", "draw the shapes of a roto document anew through its points", shapes_main},
    {"smooth", "smooth a document anew after an artist fixed points, without the model", smooth_main},
    {"suggest", "name the frames most worth an artist's look, worst first, and why", suggest_main},
    {"plot", "draw a document's paths, confidence and jitter over the shot as one picture", plot_main},
    {"matte", "draw the shapes of a roto document as mattes", matte_main},
    {"merge", "join the documents of a shot that was run in shards", merge_main},
    {"export", "write shapes and landmarks for Nuke, Blender, After Effects, ...", export_main},
    {"review", "one HTML page to look through a shot and mend it, in any browser", review_main},
    {"model", "info: what a model is; selftest: does it compute here what the trainer computed; quantize: for int8",
     model_main},
    {"eval", "measure a finished document against annotated frames", eval_main},
    {"bench", "speed of a model on this machine", bench_main},
};

static void print_help(FILE *out) {
  fputs("usage: roto COMMAND ...\n\nFinds and draws roto shapes with models trained by roto-train.\n\n", out);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i)
    fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
  fputs(
      "\n  roto COMMAND --help   options and an example\n  roto --version\n\n"
      "exit status: 0 all done, 1 failed, 2 usage, 3 bad input or missing frames, 4 bad model, 5 write error\n\n"
      "example:\n  roto run plates/sh010.####.png --model puppet.roto --crops crop.json -o sh010.roto.json --sheet sh010.png\n",
      out);
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "";
  for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i)
    if (!strcmp(name, commands[i].name)) return commands[i].run(argc - 1, argv + 1);
  if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) return print_help(stdout), EXIT_DONE;
  if (!strcmp(name, "--version"))
    return printf("roto %s, build %s, %s\n", ROTO_VERSION_STRING, build_id, roto_isa_name(roto_best_isa())), EXIT_DONE;
  if (*name)
    cli_error("unknown command '%s'; see roto --help", name);
  else
    print_help(stderr);
  return EXIT_USAGE;
}
