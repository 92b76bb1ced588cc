/* Training the networks that draw a template's shapes through its landmarks, and adding them to a landmark model.
 *
 * One network a shape, or for two shapes that mirror each other by the template's flip pairs: dense layers in blocks, each block's
 * result followed by the input again (paper, section "shape model").  Everything happens in the shape's own frame, in which its two
 * extreme landmarks - those farthest apart in the data - are one unit apart (model_format/SPEC.md, SHAP).
 *
 * Loss of a sample, in that unit: the mean over tangents of |t' - t| / max(|t|, 0.02), plus gamma times the mean of |dx| + |dy| of
 * tangents and predicted vertices, plus `curve` times the mean distance of points at equal parameters of the curves. */

#ifndef ROTO_SHAPE_MODEL_H
#define ROTO_SHAPE_MODEL_H

#include "compute.h"
#include "dataset.h"
#include "shape_metrics.h"

typedef struct shape_options {
  int blocks, width; /* of every network; width a multiple of 16 */
  int steps, batch;  /* training steps of a network, samples a step */
  double rate, weight_decay, gamma, curve;
  int slides;   /* re-vectorizations of each annotated shape with its landmarks slid along the contour */
  double warp;  /* size of the warps: deviation of their coefficients */
  double noise; /* deviation of the landmarks of other shapes, in units of this one */
  int no_share; /* 1: one network for each shape, even if two mirror each other */
  int seed;
  int quiet;
} shape_options;

shape_options shape_defaults(void);

/* A landmark model with shape networks trained on the data set's shapes; `model` is its file, opened, and `bytes` (for free()) the
 * new file.  Shapes that fewer than 4 frames show get no network, and `say(text)` hears of it.  The same data, options and seed give
 * the same bytes at any number of threads.  `skip_shot` of the data set is not trained on; -1: all are. */
int shape_train(compute *cp, const shape_options *o, const roto_model *model, const unsigned char *file, size_t file_size,
                const dataset *ds, int skip_shot, unsigned char **bytes, size_t *size, char *message);

/* `roto-train shapes` */
int shape_model_main(int argc, char **argv);

#endif
