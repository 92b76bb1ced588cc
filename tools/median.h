/* The middle of some numbers. */

#ifndef ROTO_MEDIAN_H
#define ROTO_MEDIAN_H

#include <stddef.h>

/* Sorts the values, smallest first, and returns the middle one, the upper of two; 0 of none. */
double median(double *values, size_t count);

#endif
