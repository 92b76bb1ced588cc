/* With static_b.c: two libraries of one program, each with its own private roto. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../../roto.h"

const char *library_b(void);

int main(void) { return roto_status_text(ROTO_OK) && library_b() ? 0 : 1; }
