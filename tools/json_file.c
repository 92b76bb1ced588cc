/* Strict JSON files.  A JSON text is refused beyond 256 MiB: the largest roto document of a shot is some tens of MiB. */

#include "json_file.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JSON_LIMIT ((size_t)256 << 20)

cJSON *json_read(const char *path, char *message) {
  unsigned char *data;
  size_t size;
  const char *end = NULL;
  cJSON *value;
  if (file_read(path, JSON_LIMIT, &data, &size, message)) return NULL;
  /* size + 1: cJSON counts the closing 0 when asked that nothing but white space follow the value. */
  value = cJSON_ParseWithLengthOpts((const char *)data, size + 1, &end, 1);
  if (value && memchr(data, 0, size)) {
    cJSON_Delete(value);
    value = NULL;
    end = memchr(data, 0, size);
  }
  if (!value) {
    const unsigned char *at = data, *stop = end ? (const unsigned char *)end : data;
    unsigned line = 1, column = 1;
    if (stop > data + size) stop = data + size;
    for (; at < stop; ++at) {
      column = *at == '\n' ? 1 : column + 1;
      line += *at == '\n';
    }
    if (size == 0) {
      message_set(message, "%s: expected JSON, found an empty file", path);
    } else if (stop<data + size && * stop> ' ' && *stop < 127) {
      message_set(message, "%s: line %u, column %u: this is not JSON at '%c'", path, line, column, *stop);
    } else if (stop < data + size) {
      message_set(message, "%s: line %u, column %u: this is not JSON at byte 0x%02x", path, line, column, *stop);
    } else {
      message_set(message, "%s: line %u, column %u: the file ends inside the JSON value", path, line, column);
    }
  }
  free(data);
  return value;
}

int json_write(const char *path, const cJSON *value, char *message) {
  char *text = cJSON_Print(value);
  size_t length;
  int result;
  if (!text) return message_set(message, "%s: out of memory for its text", path);
  length = strlen(text);
  text[length] = '\n'; /* in place of the closing 0 */
  result = file_write(path, text, length + 1, message);
  cJSON_free(text);
  return result;
}

int json_number(const cJSON *item, double *value) {
  if (!cJSON_IsNumber(item) || !(fabs(item->valuedouble) <= FLT_MAX)) return 0;
  *value = item->valuedouble;
  return 1;
}

void json_print(cJSON *root) {
  char *text = cJSON_PrintUnformatted(root);
  puts(text ? text : "null");
  cJSON_free(text);
  cJSON_Delete(root);
}

void json_print_text(FILE *out, const char *text) {
  fputc('"', out);
  for (; *text; text++) {
    if ((unsigned char)*text < ' ') {
      fprintf(out, "\\u%04x", (unsigned)*text);
    } else {
      if (*text == '"' || *text == '\\') fputc('\\', out);
      fputc(*text, out);
    }
  }
  fputc('"', out);
}
