/* Options are a table per command: one loop parses them, one prints the help, so the two cannot drift apart. */

#include "cli.h"

#include <errno.h>
#include <sys/stat.h>
#include <math.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void print_error(const char *format, va_list args) {
  fputs("ERROR: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
}

void cli_error(const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error(format, args);
  va_end(args);
}

static char *scratch;
static void remove_scratch(void) {
  if (scratch != NULL) remove(scratch);
}

const char *cli_scratch_file(const char *path) {
  if (scratch == NULL) atexit(remove_scratch);
  free(scratch);
  return scratch = cli_format("%s", path);
}

/* Without exit's handlers: what a process holds when it ends early is not a leak, and leak checkers run as such a handler. */
static void end(int status) CLI_NORETURN;
static void end(int status) {
  fflush(NULL);
  remove_scratch();
  _exit(status);
}

void cli_fail(int status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error(format, args);
  va_end(args);
  end(status);
}

void cli_usage(const cli_command *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  print_error(format, args);
  va_end(args);
  fprintf(stderr, "usage: %s %s\nsee: %s --help\n", command->name, command->arguments, command->name);
  end(EXIT_USAGE);
}

void *cli_alloc(size_t count, size_t size) {
  void *block = calloc(count ? count : 1, size ? size : 1);
  if (!block) cli_fail(EXIT_FAILED, "out of memory: %zu x %zu bytes; use fewer --threads or smaller frames", count, size);
  return block;
}

char *cli_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = (char *)cli_alloc((size_t)length + 1, 1);
  va_start(args, format);
  vsnprintf(text, (size_t)length + 1, format, args);
  va_end(args);
  return text;
}

static void print_help(const cli_command *command) {
  printf("usage: %s %s\n\n%s\n\n", command->name, command->arguments, command->summary);
  for (size_t i = 0; i < command->option_count; ++i) {
    const cli_option *option = &command->options[i];
    int width = printf("  %s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
    printf("%*s%s\n", width < 26 ? 26 - width : 1, "", option->help);
  }
  printf("%s\nexample:\n  %s\n", "  --help                  this text\n", command->example);
}

/* Number of single-character edits between two words; words over 30 characters are far from everything. */
static size_t edit_distance(const char *a, const char *b) {
  size_t row[32], n = strlen(b);
  if (n > 30) return n;
  for (size_t j = 0; j <= n; ++j) row[j] = j;
  for (size_t i = 0; a[i]; ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 1; j <= n; ++j) {
      size_t best = diagonal + (a[i] != b[j - 1]);
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diagonal = row[j];
      row[j] = best;
    }
  }
  return row[n];
}

static void unknown_option(const cli_command *command, const char *name) {
  const char *closest = NULL;
  size_t distance = 4;
  for (size_t i = 0; i < command->option_count; ++i) {
    size_t d = edit_distance(name, command->options[i].name);
    if (d < distance) distance = d, closest = command->options[i].name;
  }
  if (closest) cli_usage(command, "unknown option '%s'; did you mean '%s'?", name, closest);
  cli_usage(command, "unknown option '%s'", name);
}

static void set_option(const cli_command *command, const cli_option *option, const char *text) {
  char *end;
  errno = 0;
  if (option->kind == CLI_STRING) {
    *(const char **)option->target = text;
  } else if (option->kind == CLI_INTEGER) {
    long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < INT_MIN || value > INT_MAX)
      cli_usage(command, "%s expects a whole number, found '%s'", option->name, text);
    *(int *)option->target = (int)value;
  } else {
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value)) cli_usage(command, "%s expects a number, found '%s'", option->name, text);
    if (option->kind == CLI_FLOAT) {
      *(float *)option->target = (float)value;
    } else {
      *(double *)option->target = value;
    }
  }
}

int cli_parse(const cli_command *command, int argc, char **argv) {
  int count = 0, options_end = 0;
  for (int i = 1; i < argc; ++i) {
    char *word = argv[i];
    if (options_end || word[0] != '-' || !word[1]) {
      argv[count++] = word;
      continue;
    }
    if (!strcmp(word, "--")) {
      options_end = 1;
      continue;
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
      print_help(command);
      exit(EXIT_DONE);
    }
    char *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    if (equals) *equals = 0;
    const cli_option *option = command->options, *end = option + command->option_count;
    while (option < end && strcmp(option->name, word)) ++option;
    if (option == end) unknown_option(command, word);
    if (option->kind == CLI_FLAG) {
      if (equals) cli_usage(command, "%s takes no value, found '%s'", word, equals + 1);
      *(int *)option->target = 1;
      continue;
    }
    if (!equals && i + 1 == argc) cli_usage(command, "%s expects a value: %s", word, option->value);
    set_option(command, option, equals ? equals + 1 : argv[++i]);
  }
  return count;
}

int cli_default_threads(void) {
  static const char *const names[] = {"CUE_THREADS", "SLURM_CPUS_PER_TASK", "NSLOTS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    const char *text = getenv(names[i]);
    int threads = text ? atoi(text) : 0;
    if (threads > 0) return threads;
  }
  return 0;
}

static volatile sig_atomic_t caught_signal;

static void catch_signal(int number) {
  caught_signal = number;
}

void cli_catch_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = catch_signal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGHUP, &action, NULL);
  signal(SIGXFSZ, SIG_IGN); /* a file beyond ulimit -f is a write that fails, not the end */
}

int cli_interrupted(void) {
  return caught_signal ? 128 + (int)caught_signal : 0;
}

double cli_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void cli_progress_start(cli_progress *progress, FILE *stream, const char *label, size_t total) {
  progress->stream = stream;
  progress->label = label;
  progress->total = total ? total : 1;
  progress->start = cli_seconds();
  progress->terminal = isatty(fileno(stream));
  progress->percent = -1;
}

void cli_progress_show(cli_progress *progress, size_t done, const char *detail) {
  int percent = (int)(100.0 * (double)done / (double)progress->total);
  if (progress->terminal) {
    enum { BAR = 30 };
    double elapsed = cli_seconds() - progress->start;
    int left = done ? (int)(elapsed * (double)(progress->total - done) / (double)done + 0.5) : 0;
    int filled = percent * BAR / 100;
    fprintf(progress->stream, "\r%s [%.*s%*s] %3d%%  %zu/%zu  %s%s%d:%02d left\033[K", progress->label, filled,
            "##############################", BAR - filled, "", percent, done, progress->total, detail ? detail : "",
            detail ? "  " : "", left / 60, left % 60);
  } else if (percent != progress->percent) {
    fprintf(progress->stream, "Progress: %d%%%s%s\n", percent, detail ? "  " : "", detail ? detail : "");
  }
  progress->percent = percent;
  fflush(progress->stream);
}

void cli_progress_end(cli_progress *progress) {
  if (progress->terminal && progress->percent >= 0) fputs("\r\033[K", progress->stream);
  fflush(progress->stream);
}

void cli_make_folder(const char *path) {
  char *partial = cli_format("%s", path);
  for (char *at = partial; *at; ++at) {
    if (at[1] && at[1] != '/') continue;
    char next = at[1];
    at[1] = 0;
    if (mkdir(partial, 0777) && errno != EEXIST && !(errno == EISDIR || errno == EROFS))
      cli_fail(EXIT_WRITE, "%s: cannot make the folder %s: %s", path, partial, strerror(errno));
    at[1] = next;
  }
  free(partial);
  if (access(path, W_OK | X_OK)) cli_fail(EXIT_WRITE, "%s: cannot write into this folder: %s", path, strerror(errno));
}
