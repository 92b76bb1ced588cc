/* What the command lines of roto and roto-train share: options, help, errors, progress, signals.
 *
 * Habits: options may be written `--name value` or `--name=value`, anywhere between the arguments; `--` ends them.  `--help`
 * of every command ends with an example.  Errors go to stderr as `ERROR: ...` and say which file, what was expected, what
 * was found and what to do next.  The exit statuses below are promised to pipelines.
 *
 * These functions may end the process: they are for programs, not for roto.h. */

#ifndef ROTO_CLI_H
#define ROTO_CLI_H

#include <stddef.h>
#include <stdio.h>

enum {
  EXIT_DONE = 0,   /* everything that was asked for exists on disk */
  EXIT_FAILED = 1, /* the work could not be done, or a check did not hold */
  EXIT_USAGE = 2,  /* unknown or contradicting options */
  EXIT_INPUT = 3,  /* a frame or another input is missing or bad */
  EXIT_MODEL = 4,  /* the model is missing or bad */
  EXIT_WRITE = 5   /* an output could not be written */
};

typedef enum cli_kind { CLI_FLAG, CLI_STRING, CLI_INTEGER, CLI_NUMBER, CLI_FLOAT } cli_kind;

typedef struct cli_option {
  const char *name; /* "--model", or "-o" */
  cli_kind kind;
  void *target;      /* int (flag, set to 1), const char *, int, double, float; keeps its value where the option is not given */
  const char *value; /* what the help calls the value, "FILE"; NULL for a flag */
  const char *help;
} cli_option;

typedef struct cli_command {
  const char *name;      /* "roto run" */
  const char *arguments; /* "FRAMES --model FILE --crop X,Y,W,H -o FILE" */
  const char *summary;   /* a sentence or two */
  const char *example;   /* a command that works */
  const cli_option *options;
  size_t option_count;
} cli_command;

/* Parses argv[1..argc), sets the targets, moves the arguments that are no options to argv[0..] and returns their number.
 * Prints the help and ends with 0 on --help; ends with EXIT_USAGE on anything that does not fit. */
int cli_parse(const cli_command *command, int argc, char **argv);

/* Print `ERROR: ...`; cli_fail ends the process with `status` too, cli_usage with EXIT_USAGE and a pointer to --help. */
#if defined(__GNUC__)
#define CLI_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define CLI_NORETURN __attribute__((noreturn))
#else
#define CLI_PRINTF(text, first)
#define CLI_NORETURN
#endif
void cli_error(const char *format, ...) CLI_PRINTF(1, 2);
void cli_fail(int status, const char *format, ...) CLI_PRINTF(2, 3) CLI_NORETURN;
void cli_usage(const cli_command *command, const char *format, ...) CLI_PRINTF(2, 3) CLI_NORETURN;

/* Memory for programs: zeroed, or the process ends.  Free with free(). */
void *cli_alloc(size_t count, size_t size);
char *cli_format(const char *format, ...) CLI_PRINTF(1, 2);

/* Threads to use where no option says: CUE_THREADS, SLURM_CPUS_PER_TASK or NSLOTS of a render farm, else 0 (all). */
int cli_default_threads(void);

/* From cli_catch_signals on, SIGINT, SIGTERM and SIGHUP only set a mark, so that a file being written is finished and none is
 * left half done.  Loops ask cli_interrupted(): 0, or the exit status 128 + signal to leave with. */
void cli_catch_signals(void);
int cli_interrupted(void);

/* A bar on a terminal, lines `Progress: N%` (what farm managers look for) elsewhere.  Call from one thread at a time. */
typedef struct cli_progress {
  FILE *stream;
  const char *label;
  size_t total;
  double start; /* seconds */
  int terminal, percent;
} cli_progress;

/* stream: stdout, or stderr where stdout carries a result. */
void cli_progress_start(cli_progress *progress, FILE *stream, const char *label, size_t total);
void cli_progress_show(cli_progress *progress, size_t done, const char *detail); /* detail: "loss 0.12", or NULL */
void cli_progress_end(cli_progress *progress);

/* A file that is gone when the process ends, in whatever way but SIGKILL; of several, the one named last.  Returns its name. */
const char *cli_scratch_file(const char *path);

/* mkdir -p; ends the process with EXIT_WRITE if files cannot be written into the folder afterwards. */
void cli_make_folder(const char *path);

double cli_seconds(void); /* a clock that never jumps */

#endif
