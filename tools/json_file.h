/* JSON files: cJSON behind strict reading (line and column of the first error, nothing after the value, numbers finite) and
 * atomic writing.  cJSON keeps the place of its last error in a global, so parse on one thread at a time. */

#ifndef JSON_FILE_H
#define JSON_FILE_H

#include <cjson/cJSON.h>
#include <stdio.h>
#include "whole_file.h"

/* Parse a whole file; NULL and a message on failure.  cJSON_Delete the result. */
cJSON *json_read(const char *path, char *message);

/* Write the value as text that people can read, with a final line feed. */
int json_write(const char *path, const cJSON *value, char *message);

/* Print a result on stdout as one line and delete it. */
void json_print(cJSON *value);

/* Print a text as JSON has it, quotes and all: a name may hold anything. */
void json_print_text(FILE *out, const char *text);

/* 1 if the item is a number that is finite also as a float, and then *value is it; else 0 and *value is untouched.  NULL is
 * no number. */
int json_number(const cJSON *item, double *value);

#endif
