/* Line charts as PNG files. */

#ifndef ROTO_PLOT_H
#define ROTO_PLOT_H

#include <stddef.h>

typedef struct plot_series {
  const char *name;
  const double *x, *y; /* NaN: a gap */
  size_t count;
  unsigned color; /* 0xRRGGBB */
} plot_series;

typedef struct plot {
  const char *title, *x_label, *y_label;
  const plot_series *series;
  size_t series_count;
  int log_y; /* values not above 0 are gaps then */
} plot;

/* Draw the charts under each other, each width x height pixels. */
int plot_write(const char *path, const plot *plots, size_t count, int width, int height, char *message);

#endif
