/* A temporary folder for the files of a test, and the message of the last failure. */

#ifndef SCRATCH_H
#define SCRATCH_H

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tools/whole_file.h"
#include "check.h"

static char root[256]; /* the temporary folder */
static char message[MESSAGE_SIZE];

/* A path in the temporary folder; a few are alive at a time. */
static inline const char *in_root(const char *format, ...) MESSAGE_FORMAT(1, 2);
static inline const char *in_root(const char *format, ...) {
  static char paths[8][512];
  static int next;
  char *path = paths[next++ % 8];
  int length = snprintf(path, 512, "%s/", root);
  va_list list;
  va_start(list, format);
  vsnprintf(path + length, 512 - (size_t)length, format, list);
  va_end(list);
  return path;
}

/* Make the folder; scratch_end removes it with all that is in it. */
static inline void scratch_start(void) {
  const char *temporary = getenv("TMPDIR");
  snprintf(root, sizeof root, "%s/roto-test-XXXXXX", temporary && *temporary ? temporary : "/tmp");
  if (!CHECK(mkdtemp(root) != NULL, "no temporary folder %s", root)) exit(1);
}

static inline void remove_tree(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  if (!dir) {
    remove(path);
    return;
  }
  while ((entry = readdir(dir)) != NULL) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    char *inner = malloc(strlen(path) + strlen(entry->d_name) + 2);
    if (!inner) exit(1);
    sprintf(inner, "%s/%s", path, entry->d_name);
    remove_tree(inner);
    free(inner);
  }
  closedir(dir);
  rmdir(path);
}

static inline void make_folder(const char *name) {
  remove_tree(in_root("%s", name));
  CHECK(mkdir(in_root("%s", name), 0700) == 0);
}

static inline void write_bytes(const char *path, const void *data, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL);
  if (!file) return;
  CHECK(fwrite(data, 1, size, file) == size);
  fclose(file);
}

static inline void write_text(const char *path, const char *format, ...) MESSAGE_FORMAT(2, 3);
static inline void write_text(const char *path, const char *format, ...) {
  char text[8192];
  va_list list;
  va_start(list, format);
  vsnprintf(text, sizeof text, format, list);
  va_end(list);
  write_bytes(path, text, strlen(text));
}

/* Is the text part of the last message?  Says what it was if not. */
static inline int message_has(const char *text) {
  if (strstr(message, text)) return 1;
  printf("expected \"%s\" in: %s\n", text, message);
  return 0;
}

static inline void scratch_end(void) {
  remove_tree(root);
}

#endif
