/* A program with macros of its own: memory that is counted, assertions that end it.  Opens the model argv[1] and runs its
 * self-test. */

#include <stdio.h>
#include <stdlib.h>

static int own_blocks, own_most;

static void *count_in(size_t size) {
  own_most = ++own_blocks > own_most ? own_blocks : own_most;
  return malloc(size);
}

static void count_out(void *block) {
  if (block) own_blocks--;
  free(block);
}

#define ROTO_MALLOC(size) count_in(size)
#define ROTO_FREE(block) count_out(block)
#define ROTO_ASSERT(condition) ((condition) ? (void)0 : abort())
#define ROTO_IMPLEMENTATION
#include "../../roto.h"

int main(int argc, char **argv) {
  roto_model *model = NULL;
  roto_session *session = NULL;
  roto_status status = argc == 2 ? roto_open_file(argv[1], NULL, &model) : ROTO_ERR_ARGUMENT;
  if (status == ROTO_OK) status = roto_session_create(model, NULL, &session);
  if (status == ROTO_OK) status = roto_selftest(session, NULL);
  roto_session_free(session);
  roto_close(model);
  printf("%s; %d blocks at most, %d left\n", roto_status_text(status), own_most, own_blocks);
  return status != ROTO_OK || own_most < 2 || own_blocks != 0;
}
