/* The file is mapped privately: one that is replaced while it is used (written beside it and renamed) stays what it was. */

#include "model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../model_format/write.h"
#include "large_memory.h"

static int map_file(const char *path, model_file *file, char *message) {
  struct stat info;
  int handle = open(path, O_RDONLY);
  if (handle < 0 || fstat(handle, &info)) {
    message_set(message, "%s: the model cannot be opened: %s", path, strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    message_set(message, "%s: expected a .roto model, found something that is not a file", path);
  } else if (info.st_size == 0) {
    message_set(message, "%s: expected a .roto model, found an empty file", path);
  } else {
    file->size = (size_t)info.st_size;
    file->data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, handle, 0);
    if (file->data == MAP_FAILED) {
      file->data = NULL;
      message_set(message, "%s: the model cannot be mapped into memory: %s", path, strerror(errno));
    }
  }
  if (handle >= 0) close(handle);
  return file->data ? 0 : -1;
}

static void *alloc_pages(void *user, size_t size) {
  (void)user;
  return large_alloc(size, 1);
}

static void free_pages(void *user, void *block) {
  (void)user;
  free(block);
}

roto_allocator model_allocator(void) {
  roto_allocator allocator = {alloc_pages, free_pages, NULL};
  return allocator;
}

int model_open(const char *path, roto_isa max_isa, model_file *file, char *message) {
  return model_open_in(path, max_isa, ROTO_PRECISION_FP32, 1, file, message);
}

int model_open_in(const char *path, roto_isa max_isa, roto_precision precision, int threads, model_file *file, char *message) {
  roto_error error;
  roto_options options;
  memset(file, 0, sizeof *file);
  if (map_file(path, file, message)) return -1;
  memset(&error, 0, sizeof error);
  memset(&options, 0, sizeof options);
  options.max_isa = max_isa;
  options.precision = precision;
  options.parallel.threads = threads;
  options.allocator = model_allocator();
  options.error = &error;
  roto_status status = roto_open(file->data, file->size, &options, &file->model);
  if (status == ROTO_OK) return 0;
  model_close(file);
  if (status == ROTO_ERR_VERSION)
    return message_set(message, "%s: %s; this program reads version %u: update roto, or export the model again", path,
                       roto_status_text(status), ROTO_FORMAT_VERSION);
  if (error.rule)
    return message_set(message, "%s: %s: rule R%u at byte %llu: %s; copy or export the model again", path,
                       roto_status_text(status), error.rule, (unsigned long long)error.offset, roto_rule_text(error.rule));
  return message_set(message, "%s: %s", path, roto_status_text(status));
}

void model_close(model_file *file) {
  roto_close(file->model);
  if (file->data) munmap(file->data, file->size);
  memset(file, 0, sizeof *file);
}

int model_parse_isa(const char *name, roto_isa *isa) {
  if (!strcmp(name, "auto")) return *isa = ROTO_ISA_AUTO, 0;
  for (int i = ROTO_ISA_SCALAR; i <= ROTO_ISA_AVX512; ++i)
    if (!strcmp(name, roto_isa_name((roto_isa)i))) return *isa = (roto_isa)i, 0;
  return -1;
}

int model_parse_precision(const char *name, roto_precision *precision) {
  for (int i = ROTO_PRECISION_FP32; i <= ROTO_PRECISION_INT8; ++i)
    if (!strcmp(name, roto_precision_name((roto_precision)i))) return *precision = (roto_precision)i, 0;
  return -1;
}
