/* One file of a program that uses roto.h, as C or C++: opens the model argv[1] and runs its self-test.  With
 * ROTO_IMPLEMENTATION it is the whole program. */

#include "../../roto.h"
#include "../../roto.h" /* twice is harmless */

#include <stdio.h>

#ifdef ROTO_NO_STDIO
static unsigned char bytes[1 << 20];
static roto_status open_model(const char *path, roto_model **model) {
  FILE *file = fopen(path, "rb");
  size_t size = file ? fread(bytes, 1, sizeof bytes, file) : 0;
  if (file) fclose(file);
  return roto_open(bytes, size, NULL, model);
}
#else
static roto_status open_model(const char *path, roto_model **model) { return roto_open_file(path, NULL, model); }
#endif

int main(int argc, char **argv) {
  roto_model *model = NULL;
  roto_session *session = NULL;
  float difference = -1;
  roto_status status = argc == 2 ? open_model(argv[1], &model) : ROTO_ERR_ARGUMENT;
  if (status == ROTO_OK) status = roto_session_create(model, NULL, &session);
  if (status == ROTO_OK) status = roto_selftest(session, &difference);
  printf("%s, difference %g\n", roto_status_text(status), (double)difference);
  roto_session_free(session);
  roto_close(model);
  return (int)status;
}
