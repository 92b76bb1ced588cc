/* See checkpoint.h.  A header of 64-bit words, the arrays, the log, and a hash of all of it at the end, because a disk that
 * was full once may have kept less than it said. */

#include "checkpoint.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tools/whole_file.h"

static const char magic[8] = {'R', 'O', 'T', 'O', 'R', 'U', 'N', '1'};
enum { WORDS = 10 };

static uint64_t hash_bytes(const unsigned char *p, size_t size) {
  uint64_t h = 0xcbf29ce484222325u;
  for (; size >= 8; p += 8, size -= 8) {
    uint64_t w;
    memcpy(&w, p, 8);
    h = (h ^ w) * 0x100000001b3u;
    h ^= h >> 29;
  }
  while (size-- > 0) h = (h ^ *p++) * 0x100000001b3u;
  return h;
}

/* The arrays in their order; `each` moves one of them. */
static void for_arrays(const network *net, const optimizer *o, unsigned char **at,
                       void (*each)(real *, size_t, unsigned char **)) {
  each(net->values, net->value_count, at);
  each(o->averaged, net->value_count, at);
  each(o->first, net->trainable_count, at);
  each(o->second, net->trainable_count, at);
}

static void put(real *array, size_t count, unsigned char **at) {
  memcpy(*at, array, count * sizeof(real));
  *at += count * sizeof(real);
}

static void get(real *array, size_t count, unsigned char **at) {
  memcpy(array, *at, count * sizeof(real));
  *at += count * sizeof(real);
}

static size_t total_size(const network *net, size_t log_size) {
  return sizeof magic + WORDS * 8 + 2 * (net->value_count + net->trainable_count) * sizeof(real) + log_size + 8;
}

int checkpoint_save(const char *path, uint64_t configuration, const network *net, const optimizer *o, const run_state *s,
                    char *message) {
  size_t size = total_size(net, s->log_size);
  unsigned char *bytes = malloc(size), *at = bytes;
  if (bytes == NULL) return message_set(message, "%s: out of memory for a checkpoint of %zu bytes", path, size);
  uint64_t words[WORDS] = {configuration,        s->epoch,    s->batch, o->step, net->value_count,
                           net->trainable_count, s->log_size, 0,        0,       0};
  memcpy(&words[7], &s->epoch_loss, 8);
  memcpy(&words[8], &s->core_seconds, 8);
  memcpy(at, magic, sizeof magic);
  memcpy(at + sizeof magic, words, sizeof words);
  at += sizeof magic + sizeof words;
  for_arrays(net, o, &at, put);
  if (s->log_size > 0) memcpy(at, s->log, s->log_size);
  uint64_t hash = hash_bytes(bytes, size - 8);
  memcpy(bytes + size - 8, &hash, 8);
  int status = file_write(path, bytes, size, message);
  free(bytes);
  return status;
}

/* Runs that were killed while they wrote a checkpoint have left parts of one: PATH.<process>.<attempt>.tmp.  They are as
 * large as checkpoints, so a farm that kills often would fill its disk. */
static void remove_parts(const char *path) {
  const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
  size_t folder_size = (size_t)(name - path), length = strlen(name);
  char *folder = malloc(folder_size + 2), *part = malloc(folder_size + 512);
  DIR *dir = NULL;
  if (folder != NULL && part != NULL) {
    snprintf(folder, folder_size + 2, "%.*s", folder_size > 0 ? (int)folder_size : 1, folder_size > 0 ? path : ".");
    dir = opendir(folder);
  }
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    const char *end = entry->d_name + length;
    if (strncmp(entry->d_name, name, length) != 0 || *end != '.') continue;
    end += strspn(end, ".0123456789");
    if (strcmp(end, "tmp") != 0) continue;
    snprintf(part, folder_size + 512, "%.*s%s", (int)folder_size, path, entry->d_name);
    unlink(part);
  }
  if (dir != NULL) closedir(dir);
  free(folder);
  free(part);
}

int checkpoint_load(const char *path, uint64_t configuration, network *net, optimizer *o, run_state *s, char *message) {
  unsigned char *bytes, *at;
  size_t size;
  uint64_t words[WORDS], hash;
  remove_parts(path);
  if (access(path, F_OK) != 0) return 1;
  if (file_read(path, (size_t)1 << 36, &bytes, &size, message) != 0) return -1;
  if (size < sizeof magic + sizeof words + 8 || memcmp(bytes, magic, sizeof magic) != 0) {
    free(bytes);
    return message_set(message, "%s: not a checkpoint of roto-train; move it away, or start anew with --restart", path);
  }
  memcpy(words, bytes + sizeof magic, sizeof words);
  memcpy(&hash, bytes + size - 8, 8);
  if (hash != hash_bytes(bytes, size - 8)) {
    free(bytes);
    return message_set(message, "%s: the checkpoint is damaged; start anew with --restart", path);
  }
  if (words[0] != configuration || words[4] != net->value_count || words[5] != net->trainable_count || words[6] > size ||
      size != total_size(net, words[6])) {
    free(bytes);
    return message_set(message,
                       "%s: the checkpoint belongs to a run with other options or data; repeat those options, or start anew "
                       "with --restart",
                       path);
  }
  at = bytes + sizeof magic + sizeof words;
  for_arrays(net, o, &at, get);
  s->epoch = words[1];
  s->batch = words[2];
  o->step = words[3];
  memcpy(&s->epoch_loss, &words[7], 8);
  memcpy(&s->core_seconds, &words[8], 8);
  s->log_size = words[6];
  free(s->log);
  s->log = malloc(s->log_size + 1);
  if (s->log == NULL) {
    free(bytes);
    return message_set(message, "%s: out of memory", path);
  }
  memcpy(s->log, at, s->log_size);
  s->log[s->log_size] = 0;
  free(bytes);
  return 0;
}
