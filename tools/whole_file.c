/* Reading whole files, and messages. */

#include "whole_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"

int message_set(char *message, const char *format, ...) {
  va_list list;
  if (!message) return -1;
  va_start(list, format);
  vsnprintf(message, MESSAGE_SIZE, format, list);
  va_end(list);
  return -1;
}

int file_read(const char *path, size_t limit, unsigned char **data, size_t *size, char *message) {
  FILE *file = fopen(path, "rb");
  unsigned char *bytes = NULL;
  size_t count = 0, capacity = 0;
  *data = NULL;
  *size = 0;
  if (!file) return message_set(message, "%s: cannot open it: %s", path, strerror(errno));
  /* Read until the end instead of asking for the size: pipes have none, and a file may grow meanwhile. */
  for (;;) {
    size_t room, got;
    if (count + 1 >= capacity) {
      unsigned char *grown;
      capacity = capacity ? capacity * 2 : 65536;
      grown = realloc(bytes, capacity);
      if (!grown) {
        message_set(message, "%s: out of memory after %zu bytes", path, count);
        break;
      }
      bytes = grown;
    }
    room = capacity - count - 1;
    got = fread(bytes + count, 1, room, file);
    count += got;
    if (count > limit) {
      message_set(message, "%s: expected at most %zu bytes, found more; is this the right file?", path, limit);
      break;
    }
    if (got < room) {
      if (ferror(file)) {
        message_set(message, "%s: cannot read it: %s", path, strerror(errno));
        break;
      }
      fclose(file);
      bytes[count] = 0;
      *data = bytes;
      *size = count;
      return 0;
    }
  }
  free(bytes);
  fclose(file);
  return -1;
}

int file_write(const char *path, const void *data, size_t size, char *message) {
  int error = roto_write_file_atomic(path, data, size);
  if (error) return message_set(message, "%s: cannot write it: %s", path, strerror(error));
  return 0;
}
