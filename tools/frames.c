/* A pattern is cut once into what stands before the number, how many digits it has at least, and what stands after it; then
 * expanding and matching are the two directions of the same format. */

#include "frames.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "cli.h"

enum { MAX_FRAMES = 1000000 };

/* ------------------------------------------------------------------ ranges */

static int parse_number(const char **text, int *number) {
  char *end;
  errno = 0;
  long value = strtol(*text, &end, 10);
  if (end == *text || isspace((unsigned char)**text) || **text == '+' || errno || value < -INT_MAX / 2 || value > INT_MAX / 2)
    return -1;
  *number = (int)value;
  *text = end;
  return 0;
}

typedef struct numbered {
  int number;
  size_t place;
} numbered;

static int by_number_and_place(const void *a, const void *b) {
  const numbered *x = (const numbered *)a, *y = (const numbered *)b;
  if (x->number != y->number) return x->number < y->number ? -1 : 1;
  return (x->place > y->place) - (x->place < y->place);
}

/* Drops every number but its first occurrence; the order stays. */
static size_t drop_repeated(int *numbers, size_t count) {
  numbered *sorted = (numbered *)cli_alloc(count, sizeof *sorted);
  char *repeated = (char *)cli_alloc(count, 1);
  size_t kept = 0;
  for (size_t i = 0; i < count; ++i) sorted[i].number = numbers[i], sorted[i].place = i;
  qsort(sorted, count, sizeof *sorted, by_number_and_place);
  for (size_t i = 1; i < count; ++i)
    if (sorted[i].number == sorted[i - 1].number) repeated[sorted[i].place] = 1;
  for (size_t i = 0; i < count; ++i)
    if (!repeated[i]) numbers[kept++] = numbers[i];
  free(sorted);
  free(repeated);
  return kept;
}

int frames_parse_range(const char *range, int **numbers, size_t *count, char *message) {
  const char *at = range;
  size_t room = 0;
  *numbers = NULL;
  *count = 0;
  for (;;) {
    int first, last, step = 1;
    while (*at == ',' || isspace((unsigned char)*at)) ++at;
    if (!*at) break;
    const char *start = at;
    int bad = parse_number(&at, &first);
    last = first;
    if (!bad && *at == '-') ++at, bad = parse_number(&at, &last);
    if (!bad && *at == 'x') ++at, bad = parse_number(&at, &step) || step < 1;
    if (bad || (*at && *at != ',' && !isspace((unsigned char)*at))) {
      free(*numbers);
      *numbers = NULL;
      *count = 0;
      return message_set(message, "frame range '%s': expected N, A-B or A-BxSTEP at '%.20s'; an example: 1001-1105,1110-1200x2",
                         range, start);
    }
    size_t added = (size_t)(last > first ? last - first : first - last) / (size_t)step + 1;
    if (added > MAX_FRAMES || *count + added > MAX_FRAMES) {
      free(*numbers);
      *numbers = NULL;
      *count = 0;
      return message_set(message, "frame range '%s': more than %d frames; run it in pieces", range, MAX_FRAMES);
    }
    if (*count + added > room) {
      int *old = *numbers;
      room = 2 * (*count + added);
      *numbers = (int *)cli_alloc(room, sizeof **numbers);
      if (old) memcpy(*numbers, old, *count * sizeof *old);
      free(old);
    }
    for (size_t i = 0; i < added; ++i) (*numbers)[(*count)++] = first + (last < first ? -1 : 1) * (int)i * step;
  }
  if (!*count) return message_set(message, "frame range '%s': expected at least one frame", range);
  *count = drop_repeated(*numbers, *count);
  return 0;
}

/* ------------------------------------------------------------------ patterns */

typedef struct pattern {
  char *before, *after; /* before holds the folder too */
  int digits;
} pattern;

static void pattern_free(pattern *p) {
  free(p->before);
  free(p->after);
  memset(p, 0, sizeof *p);
}

/* Length of the number token at `text` and its digits, or 0. */
static size_t number_token(const char *text, int *digits) {
  size_t length = 0;
  *digits = 1;
  if (*text == '#' || *text == '@') {
    while (text[length] == *text) ++length;
    *digits = length < 20 ? (int)length : 20;
  } else if (*text == '%') {
    length = 1 + strspn(text + 1, "0123456789");
    if (text[length] != 'd') return 0;
    if (text[1] == '0') *digits = atoi(text + 1);
    ++length;
  } else if (!strncmp(text, "$F", 2)) {
    length = 2 + strspn(text + 2, "0123456789");
    if (length > 2) *digits = atoi(text + 2);
  }
  if (*digits < 1 || *digits > 20) *digits = 1;
  return length;
}

/* 1: the path is a pattern; 0: it is not; -1: it holds two numbers. */
static int pattern_cut(const char *path, pattern *p, char *message) {
  int found = 0, digits;
  memset(p, 0, sizeof *p);
  for (const char *at = path; *at; ++at) {
    size_t length = number_token(at, &digits);
    if (!length) continue;
    if (found++) {
      pattern_free(p);
      return message_set(message, "%s: expected one number in the pattern, found two", path);
    }
    p->before = cli_format("%.*s", (int)(at - path), path);
    p->after = cli_format("%s", at + length);
    p->digits = digits;
    at += length - 1;
  }
  return found;
}

static char *pattern_expand(const pattern *p, int number) {
  return cli_format("%s%0*d%s", p->before, p->digits, number, p->after);
}

/* Does `name` (without folder) fit what stands in the pattern after its last slash? */
static int pattern_match(const char *before, const pattern *p, const char *name, int *number) {
  size_t head = strlen(before), tail = strlen(p->after), length = strlen(name);
  char digits[24], canonical[32];
  if (length < head + tail + 1 || strncmp(name, before, head) || strcmp(name + length - tail, p->after)) return 0;
  length -= head + tail;
  if (length >= sizeof digits) return 0;
  memcpy(digits, name + head, length);
  digits[length] = 0;
  const char *end = digits;
  if (parse_number(&end, number) || *end) return 0;
  snprintf(canonical, sizeof canonical, "%0*d", p->digits, *number);
  return !strcmp(canonical, digits);
}

/* ------------------------------------------------------------------ files */

static void append_file(frame_sequence *s, int number, char *path) {
  if ((s->count & (s->count + 1)) == 0) { /* room is always 2^k - 1 */
    frame_file *old = s->files;
    s->files = (frame_file *)cli_alloc(2 * s->count + 1, sizeof *s->files);
    if (old) memcpy(s->files, old, s->count * sizeof *old);
    free(old);
  }
  s->files[s->count].number = number;
  s->files[s->count++].path = path;
}

void frames_free(frame_sequence *s) {
  for (size_t i = 0; i < s->count; ++i) free(s->files[i].path);
  free(s->files);
  free(s->pattern);
  memset(s, 0, sizeof *s);
}

static int by_number(const void *a, const void *b) {
  const frame_file *x = (const frame_file *)a, *y = (const frame_file *)b;
  return x->number != y->number ? (x->number < y->number ? -1 : 1) : strcmp(x->path, y->path);
}

static int by_path(const void *a, const void *b) {
  return strcmp(((const frame_file *)a)->path, ((const frame_file *)b)->path);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The last group of digits in a file name (not in its extension): where it starts, its length; 0: there is none. */
static size_t last_digits(const char *path, const char **start) {
  const char *name = base_name(path), *end = strrchr(name, '.');
  if (!end || end == name) end = name + strlen(name);
  while (end > name && !isdigit((unsigned char)end[-1])) --end;
  *start = end;
  while (*start > name && isdigit((unsigned char)(*start)[-1])) --*start;
  return (size_t)(end - *start) < 10 ? (size_t)(end - *start) : 0;
}

/* Numbers the files of a list by their names, and finds the pattern they share. */
static void number_list(frame_sequence *s) {
  const char *start, *first_start = NULL;
  size_t first_length = last_digits(s->files[0].path, &first_start), head = (size_t)(first_start - s->files[0].path);
  int numbered_all = first_length > 0, common = numbered_all;
  for (size_t i = 0; i < s->count; ++i) {
    const char *path = s->files[i].path;
    size_t length = last_digits(path, &start);
    if (!length) {
      numbered_all = 0;
      break;
    }
    s->files[i].number = atoi(start);
    common = common && (size_t)(start - path) == head && !strncmp(path, s->files[0].path, head) && length == first_length &&
             !strcmp(start + length, first_start + first_length);
  }
  if (numbered_all) {
    int *numbers = (int *)cli_alloc(s->count, sizeof *numbers);
    for (size_t i = 0; i < s->count; ++i) numbers[i] = s->files[i].number;
    numbered_all = drop_repeated(numbers, s->count) == s->count;
    free(numbers);
  }
  if (!numbered_all)
    for (size_t i = 0; i < s->count; ++i) s->files[i].number = (int)i + 1;
  else if (common)
    s->pattern = cli_format("%.*s%.*s%s", (int)head, s->files[0].path, (int)first_length, "####################",
                            first_start + first_length);
}

static int is_picture_name(const char *name) {
  static const char *const extensions[] = {"png", "jpg", "jpeg", "bmp", "tga", "pnm", "ppm", "pgm", "exr"};
  const char *dot = strrchr(name, '.');
  for (size_t i = 0; dot && *name != '.' && i < sizeof extensions / sizeof *extensions; ++i)
    if (!strcasecmp(dot + 1, extensions[i])) return 1;
  return 0;
}

static int list_folder(const char *path, frame_sequence *s, char *message) {
  DIR *folder = opendir(path);
  if (!folder) return message_set(message, "%s: cannot read this folder: %s", path, strerror(errno));
  size_t length = strlen(path);
  for (struct dirent *entry; (entry = readdir(folder));)
    if (is_picture_name(entry->d_name))
      append_file(s, 0, cli_format("%s%s%s", path, path[length - 1] == '/' ? "" : "/", entry->d_name));
  closedir(folder);
  if (!s->count)
    return message_set(message, "%s: expected frames in this folder, found no png, jpg, exr, bmp, tga or pnm file", path);
  qsort(s->files, s->count, sizeof *s->files, by_path);
  number_list(s);
  qsort(s->files, s->count, sizeof *s->files, by_number);
  return 0;
}

static int search_pattern(const char *path, const pattern *p, frame_sequence *s, char *message) {
  const char *before = base_name(p->before);
  if (strchr(p->after, '/'))
    return message_set(message, "%s: the number stands in a folder's name; give the frames with --range", path);
  char *where = before == p->before ? cli_format(".") : cli_format("%.*s", (int)(before - p->before), p->before);
  DIR *folder = opendir(where);
  int number;
  if (!folder) {
    message_set(message, "%s: cannot read the folder %s: %s", path, where, strerror(errno));
    free(where);
    return -1;
  }
  for (struct dirent *entry; (entry = readdir(folder));)
    if (pattern_match(before, p, entry->d_name, &number)) append_file(s, number, pattern_expand(p, number));
  closedir(folder);
  free(where);
  if (!s->count)
    return message_set(message, "%s: no file fits this pattern; check its folder and its number of digits, or give --range",
                       path);
  qsort(s->files, s->count, sizeof *s->files, by_number);
  return 0;
}

/* Leaves the files whose numbers are in the range, in its order; one that is missing is an error. */
static int filter_list(frame_sequence *s, const char *input, const int *numbers, size_t count, char *message) {
  frame_sequence kept = {0};
  int missing = 0, missing_number = 0;
  kept.pattern = s->pattern;
  s->pattern = NULL;
  for (size_t i = 0; i < count; ++i) {
    size_t j = 0;
    while (j < s->count && s->files[j].number != numbers[i]) ++j;
    if (j < s->count && s->files[j].path) {
      append_file(&kept, numbers[i], s->files[j].path);
      s->files[j].path = NULL;
    } else if (kept.pattern) { /* let the reader of the file say so, as for a pattern */
      pattern p;
      if (pattern_cut(kept.pattern, &p, message) == 1) append_file(&kept, numbers[i], pattern_expand(&p, numbers[i]));
      pattern_free(&p);
    } else if (!missing++) {
      missing_number = numbers[i];
    }
  }
  frames_free(s);
  *s = kept;
  if (missing || !kept.count) {
    frames_free(s);
    return message_set(message, "%s: %d frames of the range are not among these files, the first is %d", input, missing,
                       missing_number);
  }
  return 0;
}

int frames_find(char *const *inputs, size_t input_count, const char *range, frame_sequence *s, char *message) {
  int *numbers = NULL, result = 0;
  size_t count = 0;
  struct stat info;
  pattern p = {0};
  memset(s, 0, sizeof *s);
  if (range && frames_parse_range(range, &numbers, &count, message)) return -1;
  int is_pattern = input_count == 1 && stat(inputs[0], &info) ? pattern_cut(inputs[0], &p, message) : 0;
  if (is_pattern < 0) {
    result = -1;
  } else if (is_pattern) {
    s->pattern = cli_format("%s%.*s%s", p.before, p.digits, "####################", p.after);
    if (!range) result = search_pattern(inputs[0], &p, s, message);
    for (size_t i = 0; i < count; ++i) append_file(s, numbers[i], pattern_expand(&p, numbers[i]));
  } else {
    if (input_count == 1 && !stat(inputs[0], &info) && S_ISDIR(info.st_mode)) {
      result = list_folder(inputs[0], s, message);
    } else {
      for (size_t i = 0; i < input_count; ++i) append_file(s, 0, cli_format("%s", inputs[i]));
      number_list(s);
    }
    if (!result && range) result = filter_list(s, inputs[0], numbers, count, message);
  }
  pattern_free(&p);
  free(numbers);
  if (result) frames_free(s);
  return result;
}
