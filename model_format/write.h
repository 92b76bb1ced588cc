/* The .roto writer: a description of a model in plain structs -> the bytes of a file -> the file.
 *
 * The description borrows everything it points to.  The writer numbers the tensors, lays out chunks and strings and does
 * nothing else: the same description always gives the same bytes.  Whether the bytes are a valid model is for the reader to
 * say, which checks every rule of SPEC.md anyway: open what you wrote with roto_open before you hand it on.
 *
 * Layouts of weights are those of roto_format.h: what the trainer holds, tight, batch norm apart. */

#ifndef ROTO_WRITE_H
#define ROTO_WRITE_H

#include "../runtime/api.h"
#include "roto_format.h"

/* One node.  Zero what the operation does not use.  `tensors` in the order of the operation: CONV, DEPTHWISE, DENSE: weight,
 * bias or NULL; BATCHNORM: gamma, beta, mean, variance.  Their lengths follow from the shapes. */
typedef struct roto_node_desc {
  uint16_t op, act;
  uint32_t input_count, inputs[ROTO_MAX_INPUTS]; /* indices of earlier nodes */
  uint32_t kh, kw, stride, pad_top, pad_left, pad_bottom, pad_right;
  uint32_t h, w, c; /* of the result */
  const float *tensors[4];
  float epsilon;
  uint32_t channels_per_point;
} roto_node_desc;

typedef struct roto_knot {
  float spread, error; /* both in units of the crop */
} roto_knot;

typedef struct roto_model_desc {
  const char *name, *description; /* NULL: empty */

  uint32_t input_width, input_height, input_channels;
  float input_mean[4], input_scale[4]; /* network input = (encoded value in 0..1 - mean) * scale, a channel */
  roto_transfer input_transfer;
  float crop_margin;

  const roto_landmark *landmarks;
  const roto_part *parts;
  const roto_shape *shapes;
  uint32_t landmark_count, part_count, shape_count; /* all 0: a bare network */

  const roto_knot *knots; /* spreads ascending; one knot for models with 2N outputs */
  uint32_t knot_count;

  const roto_node_desc *nodes; /* node 0 is the input, the last one the output */
  uint32_t node_count;

  const unsigned char *test_pixels; /* [input_height][input_width][input_channels], value / 255 is the encoded value */
  const float *test_output;         /* [h][w][c] of the last node */
  float test_tolerance;             /* largest absolute difference of one output */
} roto_model_desc;

/* Number of floats of tensor `slot` (0..3) of node `index`; 0 where the operation has none.  Inputs must be in range. */
uint64_t roto_tensor_count(const roto_node_desc *nodes, uint32_t index, uint32_t slot);

/* Lay out a model.  `*bytes` comes from malloc and is the caller's; NULL on failure.  ROTO_ERR_ARGUMENT: a pointer is missing
 * or an input does not precede its node; ROTO_ERR_LIMIT: a count or length exceeds a limit; ROTO_ERR_MEMORY. */
roto_status roto_write_model(const roto_model_desc *model, unsigned char **bytes, size_t *size);

/* A network that draws shapes (SPEC.md, SHAP). */
typedef struct roto_shape_net_desc {
  uint32_t landmarks, vertices, places, blocks, width;
  const float *floats; /* for each layer weight [in][out], then bias [out]; roto_shape_net_floats of them */
} roto_shape_net_desc;

/* How a shape of the template uses one. */
typedef struct roto_shape_use_desc {
  uint32_t network; /* ROTO_NONE: this shape is not predicted, and the rest is not read */
  int mirrored, reversed;
  uint32_t first;
  const uint32_t *landmarks; /* the network's number of them, the two extreme ones first */
  const float *test; /* [vertices][6] x, y, in x, in y, out x, out y: what the self-test expects, in units of the crop */
} roto_shape_use_desc;

typedef struct roto_shapes_desc {
  const roto_shape_net_desc *networks;
  const roto_shape_use_desc *shapes; /* those of the template, in its order */
  uint32_t network_count, shape_count;
} roto_shapes_desc;

uint64_t roto_shape_net_floats(const roto_shape_net_desc *network);

/* A valid model (of roto_write_model or from a file) with shape networks instead of those it had, or for the first time; every
 * other chunk stays what it is.  As roto_write_model otherwise. */
roto_status roto_write_shapes(const unsigned char *model, size_t model_size, const roto_shapes_desc *shapes,
                              unsigned char **bytes, size_t *size);

/* A valid model with a second look instead of the one it had, or for the first time.  `looks` says of each of its landmarks with
 * which others it is looked at again, 0 to look_count - 1, or ROTO_NONE; `second` is a valid model of the same landmarks without
 * SHAP and LOOK. */
roto_status roto_write_look(const unsigned char *model, size_t model_size, const uint32_t *looks, uint32_t look_count,
                            const unsigned char *second, size_t second_size, unsigned char **bytes, size_t *size);

/* A valid model with ranges for int8 (SPEC.md, RANG) instead of those it had, or for the first time: `ranges` holds low and high of
 * each node, `node_count` of them; `tolerance` is that of the self-test in int8. */
roto_status roto_write_ranges(const unsigned char *model, size_t model_size, const float (*ranges)[2], uint32_t node_count,
                              float tolerance, unsigned char **bytes, size_t *size);

/* A contour: landmarks one after the other on an outline, 3 at least, and what each place of it looks like (SPEC.md, CONT). */
typedef struct roto_contour_desc {
  const uint32_t *landmarks;
  uint32_t landmark_count;
  const float (*filters)[ROTO_CONTOUR_FLOATS]; /* ROTO_CONTOUR_PLACES of them */
} roto_contour_desc;

/* A valid model with contours instead of those it had, or for the first time. */
roto_status roto_write_contours(const unsigned char *model, size_t model_size, const roto_contour_desc *contours,
                                uint32_t count, unsigned char **bytes, size_t *size);

/* How landmarks lie together (SPEC.md, DIST): all in steps of a contour, 372 to the longer side of the mean's box. */
typedef struct roto_distribution_desc {
  const float *mean;       /* [landmarks][2] */
  const float *components; /* [component_count][landmarks][2], each as far as it usually goes */
  uint32_t component_count;
  float deviation; /* of all else, each way */
} roto_distribution_desc;

/* A valid model with a distribution instead of the one it had, or for the first time. */
roto_status roto_write_distribution(const unsigned char *model, size_t model_size, const roto_distribution_desc *distribution,
                                    unsigned char **bytes, size_t *size);

/* A valid model with a chunk of `from`, a valid model of the same landmarks that has it: ROTO_CHUNK_CONT, ROTO_CHUNK_DIST. */
roto_status roto_copy_chunk(const unsigned char *model, size_t model_size, const unsigned char *from, int chunk,
                            unsigned char **bytes, size_t *size);

/* A number of a model file: `size` bytes, little-endian.  And one in float32. */
uint64_t roto_load(const unsigned char *where, int size);
float roto_load_float(const unsigned char *where);

/* A chunk of a valid model (ROTO_CHUNK_META ...), NULL if it is not there. */
const unsigned char *roto_find_chunk(const unsigned char *model, uint32_t chunk, size_t *length);

/* Write a file so that `path` holds either its old contents or all of the new ones: a temporary name beside it, fsync,
 * rename.  Returns 0, or the errno of the step that failed; the temporary file is removed then. */
int roto_write_file_atomic(const char *path, const void *bytes, size_t size);

/* The sentence of a rule of SPEC.md (roto_error.rule), for messages; never NULL. */
const char *roto_rule_text(uint32_t rule);

#endif /* ROTO_WRITE_H */
