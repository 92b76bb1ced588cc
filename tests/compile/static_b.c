/* See static_a.c. */

#define ROTO_STATIC
#define ROTO_IMPLEMENTATION
#include "../../roto.h"

const char *library_b(void);

const char *library_b(void) { return roto_isa_name(roto_best_isa()); }
