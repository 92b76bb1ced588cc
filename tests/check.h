/* The test harness: count checks, print the ones that fail, end with one line `NAME: N passed, M failed, K skipped`.
 *
 *   CHECK(condition)                     one check
 *   CHECK(condition, "format", ...)      the same, with a message that says what was expected and what was found
 *   SKIP("what")                         a part that this machine cannot run; a failure if REQUIRE_ISA asks for it
 *   return check_end("name");            at the end of main: 0 only if something was checked and nothing failed
 *
 * A failed check does not end the program.  After 20 failures only the count goes on. */

#ifndef CHECK_H
#define CHECK_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_MAX_MESSAGES = 20 };

typedef struct check_counts {
  unsigned long passed, failed, skipped;
} check_counts;

static check_counts check_total;

/* The extra "" is the message of a CHECK without one; behind a format printf ignores it. */
#define CHECK(...) CHECK_WITH_MESSAGE(__VA_ARGS__, "")
#define CHECK_WITH_MESSAGE(condition, ...) check_that((condition) ? 1 : 0, __FILE__, __LINE__, #condition, __VA_ARGS__)
#define SKIP(what) check_skip(what)

static inline int check_that(int holds, const char *file, int line, const char *condition, const char *format, ...) {
  if (holds) {
    check_total.passed++;
    return 1;
  }
  if (++check_total.failed <= CHECK_MAX_MESSAGES) {
    printf("%s:%d: FAILED: %s", file, line, condition);
    if (*format) {
      va_list arguments;
      va_start(arguments, format);
      printf(": ");
      vprintf(format, arguments);
      va_end(arguments);
    }
    printf("\n");
    fflush(stdout); /* the next check may crash */
  }
  return 0;
}

/* REQUIRE_ISA=avx2 or avx512, set where the machine is known, makes a missing instruction set a failure. */
static inline void check_skip(const char *what) {
  const char *required = getenv("REQUIRE_ISA");
  if (required && *required) {
    int missing = strstr(what, required) != NULL || (strcmp(required, "avx512") == 0 && strstr(what, "avx2") != NULL);
    if (missing) {
      check_that(0, what, 0, "available", "REQUIRE_ISA=%s asks for it, but this machine or build has no %s", required, what);
      return;
    }
  }
  check_total.skipped++;
  printf("SKIP %s: not available on this machine or in this build\n", what);
}

static inline int check_end(const char *name) {
  if (check_total.failed > CHECK_MAX_MESSAGES) {
    printf("%lu more failures not shown\n", check_total.failed - CHECK_MAX_MESSAGES);
  }
  if (check_total.passed + check_total.failed == 0) printf("%s checked nothing, which is a failure\n", name);
  printf("%s: %lu passed, %lu failed, %lu skipped\n", name, check_total.passed, check_total.failed, check_total.skipped);
  return check_total.failed != 0 || check_total.passed == 0;
}

#endif
