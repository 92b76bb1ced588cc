/* Whole files, and how tools and trainer say what went wrong.
 *
 * The convention of every fallible function of tools/ and trainer/: it returns 0, or -1 after writing one sentence into the
 * caller's `char message[MESSAGE_SIZE]` (NULL: not interested).  The sentence names the file, what was expected, what was
 * found and, where it helps, what to do next; it ends without a line feed.
 *
 * Files are written to a temporary name in the same folder and renamed, so that a reader sees the old file or the whole new
 * one, never a part. */

#ifndef WHOLE_FILE_H
#define WHOLE_FILE_H

#include <stddef.h>

#define MESSAGE_SIZE 512

#if defined(__GNUC__)
#define MESSAGE_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define MESSAGE_FORMAT(text, first)
#endif

/* Write the message (cut to MESSAGE_SIZE) and return -1, so that `return message_set(...)` fails a function. */
int message_set(char *message, const char *format, ...) MESSAGE_FORMAT(2, 3);

/* Read a file of at most `limit` bytes into memory for free(); a 0 byte follows the last one, not counted in *size. */
int file_read(const char *path, size_t limit, unsigned char **data, size_t *size, char *message);

/* Write a file under a temporary name and rename it. */
int file_write(const char *path, const void *data, size_t size, char *message);

#endif
