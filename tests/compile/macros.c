/* A program with macros of its own: memory that is counted, assertions that end it.  Opens the model argv[1] and runs its
 * self-test, which must not ask for memory. */

#include <stdio.h>
#include <stdlib.h>

static int own_blocks, own_calls;

static void *count_in(size_t size) {
  own_blocks++;
  own_calls++;
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
  int before = own_calls;
  if (status == ROTO_OK) status = roto_selftest(session, NULL);
  int running = own_calls - before;
  roto_session_free(session);
  roto_close(model);
  printf("%s; %d blocks, %d while running, %d left\n", roto_status_text(status), own_calls, running, own_blocks);
  return status != ROTO_OK || before < 2 || running != 0 || own_blocks != 0;
}
