/* The report of a trained character: one HTML page with everything in it, to be opened in any browser. */

#ifndef ROTO_REPORT_H
#define ROTO_REPORT_H

#include "metrics.h"
#include "shape_metrics.h"

typedef struct report {
  const char *path; /* of the page */
  const roto_model *model;
  const character *ch;
  const dataset *data;        /* what the model was made of, with the report of what could not be used */
  int held_out;               /* shot of it that was not trained on, or -1 */
  const dataset *measured;    /* what the figures below are of */
  int seen;                   /* 1: the model was trained on those frames, so the figures flatter it */
  const float *predicted;     /* [measured frames][landmarks][2] */
  const double *nme;          /* [measured frames] percent, NaN: none */
  const metrics *landmarks;   /* of the found landmarks */
  const shape_metrics *found; /* of shapes through the found landmarks */
  const shape_metrics *given; /* of shapes through the true ones */
  const char *curves;         /* learning curves, a PNG file */
  float selftest_difference;
} report;

int report_write(const report *r, char *message);

#endif
