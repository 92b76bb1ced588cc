/* Joins the parts of runtime/ into the single header roto.h.
 *
 *   amalgamate runtime/ runtime/roto.in > roto.h
 *
 * The list names one part a line, relative to the folder, in dependency order.  What stands above the line `implementation`
 * is seen by every includer, what stands below only where ROTO_IMPLEMENTATION is defined.  Empty lines and lines that start
 * with '#' are skipped.
 *
 * A part includes what it uses, so that editors and -fsyntax-only see it whole.  In the header those local includes are
 * dropped, and a system header is kept where it is first needed; inside an #if it always stays, because the first place may
 * be compiled out.  Everything else, comments too, is copied as it is: the header is its own documentation.
 *
 * The output holds no date, path or host: the same parts give the same bytes.  A missing part, CR line ends and a missing
 * last newline are errors, because each of them would show up later as a difference nobody made. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 4096, MAX_HEADERS = 64 };

static char seen[MAX_HEADERS][64]; /* system headers that are included unconditionally so far */
static int seen_count;

static void fail(const char *file, int line, const char *what) {
  fprintf(stderr, "ERROR: %s:%d: %s\n", file, line, what);
  exit(1);
}

/* Next line without its newline, or NULL at the end of the file. */
static char *read_line(FILE *in, const char *file, int line, char *text) {
  if (!fgets(text, MAX_LINE, in)) return NULL;
  size_t length = strlen(text);
  if (!length || text[length - 1] != '\n') fail(file, line, "no newline at the end (or a line over 4 KB); add one");
  if (strchr(text, '\r')) fail(file, line, "CR line end; convert the file to LF");
  text[length - 1] = 0;
  return text;
}

/* Does this #include line stay?  `conditional`: it stands inside an #if that is not the part's own guard. */
static int keep_include(const char *file, int line, const char *name, int conditional) {
  if (*name == '"') return 0;
  size_t length = strcspn(name, ">") + 1;
  if (*name != '<' || length >= sizeof seen[0]) fail(file, line, "expected #include \"part\" or #include <header>");
  for (int i = 0; i < seen_count; ++i)
    if (strlen(seen[i]) == length && !strncmp(seen[i], name, length)) return 0;
  if (conditional) return 1;
  if (seen_count == MAX_HEADERS) fail(file, line, "too many system headers; raise MAX_HEADERS");
  memcpy(seen[seen_count], name, length);
  seen[seen_count++][length] = 0;
  return 1;
}

static void copy_part(const char *folder, const char *part) {
  char path[MAX_LINE], text[MAX_LINE];
  int line = 0, depth = 0, directives = 0, guard = 0, blank = 1;
  snprintf(path, sizeof path, "%s%s", folder, part);
  FILE *in = fopen(path, "rb");
  if (!in) fail(path, 0, "cannot open this part; is it missing, or misspelt in the list?");
  printf("\n/* >>%s */\n\n", part);
  while (++line, read_line(in, path, line, text)) {
    if (*text == '#') {
      const char *word = text + 1 + strspn(text + 1, " ");
      if (!strncmp(word, "endif", 5)) --depth;
      if (!strncmp(word, "if", 2)) ++depth;
      if (++directives == 1 && !strncmp(word, "ifndef ROTO", 11)) guard = 1;
      if (!strncmp(word, "include", 7) && !keep_include(path, line, word + 7 + strspn(word + 7, " "), depth > guard)) continue;
    }
    if (blank && !*text) continue; /* dropped includes leave no gaps behind */
    blank = !*text;
    puts(text);
  }
  if (ferror(in) || depth) fail(path, line, depth ? "#if and #endif do not match" : "cannot be read");
  fclose(in);
}

int main(int argc, char **argv) {
  char text[MAX_LINE];
  int line = 0, implementation = 0;
  FILE *list = argc == 3 ? fopen(argv[2], "rb") : NULL;
  if (!list) {
    fprintf(stderr, argc == 3 ? "ERROR: %s: cannot be opened\n" : "usage: %s FOLDER/ LIST > HEADER\n", argv[argc == 3 ? 2 : 0]);
    return argc == 3 ? 1 : 2;
  }
  puts("/* roto.h is generated from runtime/ by tools/amalgamate.c: edit the parts there and run `make roto.h`. */");
  while (++line, read_line(list, argv[2], line, text)) {
    if (!*text || *text == '#') continue;
    if (!strcmp(text, "implementation")) {
      implementation = 1;
      puts("\n#if defined(ROTO_IMPLEMENTATION) && !defined(ROTOI_IMPLEMENTED)\n#define ROTOI_IMPLEMENTED");
    } else {
      copy_part(argv[1], text);
    }
  }
  if (implementation) puts("\n#endif /* ROTO_IMPLEMENTATION */");
  return fflush(stdout) || ferror(stdout) ? 1 : 0;
}
