/* Network configurations as data: a few words a stage, built into a `network`. */

#ifndef ROTO_ARCHITECTURES_H
#define ROTO_ARCHITECTURES_H

#include "network.h"

/* The text of a named configuration ("small", "tiny", "b0" to "b7"), or NULL.  `resolution` receives its usual input size. */
const char *architecture_text(const char *name, uint32_t *resolution);
const char *architecture_names(void); /* for help and errors, separated by spaces */

/* Build from text (grammar in architectures.c) for pictures of w x h and N points, without net_finish.  0, or -1 with the
 * reason in message[512]. */
int architecture_build(network *net, const char *text, uint32_t w, uint32_t h, uint32_t points, char *message);

/* Append to value x of a network what the text says; architecture_build is this on a picture. */
int architecture_extend(network *net, uint32_t x, const char *text, uint32_t points, char *message);

/* The part of a text that comes after its trunk: from the first pyramid, dropout, points or regress on. */
const char *architecture_head(const char *text);

#endif
