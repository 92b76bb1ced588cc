/* The one file of a larger program that holds the implementation. */

#define ROTO_IMPLEMENTATION
#include "../../roto.h"
