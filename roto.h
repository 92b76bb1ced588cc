/* roto.h is generated from runtime/ by tools/amalgamate.c: edit the parts there and run `make roto.h`. */

/* >>doc.h */

/* roto 0.1.0: finds landmarks in frames with networks trained by roto-train.  One header, C99 or C++11, no dependency.
 *
 * Use
 *   In exactly one file of the program:
 *     #define ROTO_IMPLEMENTATION
 *     #include "roto.h"
 *   and everywhere else the #include alone.  Then:
 *     roto_model *model;
 *     roto_session *session;
 *     roto_open_file("face.roto", NULL, &model);
 *     roto_session_create(model, NULL, &session);
 *     roto_find_landmarks(session, &image, crop, points);
 *   No compiler flag is needed: the kernels for each instruction set carry their own target attribute and are chosen when
 *   the model is opened.  With -fopenmp a session uses OpenMP's threads.
 *
 * Macros, to define before the #include
 *   ROTO_IMPLEMENTATION   compile the implementation here
 *   ROTO_STATIC           every function is private to this file; for libraries, so that two of them can be linked together
 *   ROTO_NO_STDIO         no <stdio.h>, no roto_open_file
 *   ROTO_NO_SIMD          plain C only
 *   ROTO_MALLOC(size), ROTO_FREE(block)   both or neither: used where no roto_allocator is given
 *   ROTO_ASSERT(condition)   the library's own invariants, off unless defined; no input can make one fail
 *   ROTO_ALLOW_FAST_MATH  compile under -ffast-math all the same, without any promise about the results
 *
 * Threads
 *   A loaded model is never written: share it.  A session belongs to one thread at a time.  There are no globals.
 *
 * Errors
 *   Every call that can fail returns a roto_status; roto_error in the options says where a file is wrong.  Nothing prints,
 *   aborts or reads the environment.  Loading validates the whole file by the numbered rules of model_format/SPEC.md;
 *   afterwards nothing that came from the file is used as an index unchecked.
 *
 * Numbers
 *   The same model, input and instruction set give the same bits, for any number of threads and any compiler flags but
 *   fast-math.  Instruction sets agree within the tolerance that the model's self-test states.
 *
 * Letters for shapes, everywhere: n images, h height, w width, c channels, ic and oc input and output channels, kh and kw
 * kernel height and width, cs channel stride.  Values are NHWC.
 *
 * License: MIT, see the end of this comment.
 *
 * Copyright (c) the roto authors
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
 * files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
 * modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
 * Software is furnished to do so, subject to the following conditions: The above copyright notice and this permission notice
 * shall be included in all copies or substantial portions of the Software.  THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY
 * OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
 * PURPOSE AND NONINFRINGEMENT.  IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 * LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR
 * THE USE OR OTHER DEALINGS IN THE SOFTWARE. */

/* >>api.h */

/* roto public interface: version, limits, statuses, types, functions.  Everything a caller needs is in this part;
 * the parts behind it are implementation.
 *
 * Conventions for every declaration here:
 *   - Zero-initialised options mean defaults; a NULL options pointer means the same.
 *   - Results come back through the last pointer, which is left zero when the call fails.
 *   - A roto_model is never written after roto_open: share it between threads.  A roto_session belongs to one thread at a
 *     time.  There are no globals, nothing prints, nothing aborts, no environment variable is read.
 *   - Image coordinates: pixels of the frame, origin at the top-left corner of the top-left pixel, y down; the centre of the
 *     first pixel is (0.5, 0.5).
 *   - Tensors are NHWC float32, channels innermost and contiguous. */

#ifndef ROTO_API_H
#define ROTO_API_H

#include <stddef.h>
#include <stdint.h>

#define ROTO_VERSION_MAJOR 0
#define ROTO_VERSION_MINOR 1
#define ROTO_VERSION_PATCH 0
#define ROTO_VERSION_STRING "0.1.0"

/* Linkage of every public function: `extern` by default; with ROTO_STATIC the whole library is private to the file that
 * includes it with ROTO_IMPLEMENTATION. */
#if defined(ROTO_STATIC)
#if defined(__GNUC__)
#define ROTO_API static __attribute__((unused))
#else
#define ROTO_API static
#endif
#else
#define ROTO_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Every way a call can fail: name, value, sentence.  Values are grouped with gaps and never reused. */
#define ROTO_STATUS_LIST(X)                                                                   \
  X(ROTO_OK, 0, "no error")                                                                   \
  X(ROTO_ERR_ARGUMENT, 1, "an argument is NULL, out of range or contradicts another")         \
  X(ROTO_ERR_MEMORY, 2, "out of memory, or the caller's memory block is too small")           \
  X(ROTO_ERR_FILE, 10, "the file cannot be opened or read")                                   \
  X(ROTO_ERR_NOT_ROTO, 11, "this is not a .roto model")                                       \
  X(ROTO_ERR_VERSION, 12, "the model was written for another version of the format")          \
  X(ROTO_ERR_INVALID, 13, "the model breaks a rule of the format")                            \
  X(ROTO_ERR_LIMIT, 14, "the model exceeds a limit of this build")                            \
  X(ROTO_ERR_RANGES, 15, "int8 needs a model with ranges: make one with roto model quantize") \
  X(ROTO_ERR_SELFTEST, 20, "the model does not reproduce its own self-test here")

typedef enum roto_status {
#define ROTO_STATUS_ENUM(name, value, text) name = value,
  ROTO_STATUS_LIST(ROTO_STATUS_ENUM)
#undef ROTO_STATUS_ENUM
      ROTO_STATUS_FORCE_INT = 0x7fffffff
} roto_status;

/* The sentence that belongs to a status; never NULL.  Any thread. */
ROTO_API const char *roto_status_text(roto_status status);

/* Where a load failed.  Caller's memory, filled only on failure. */
typedef struct roto_error {
  roto_status status;
  uint32_t rule;   /* number of the broken rule in model_format/SPEC.md, 0 if none */
  uint32_t item;   /* index of the chunk, tensor, node or landmark concerned */
  uint64_t offset; /* byte offset in the file */
} roto_error;

/* Instruction sets, weakest first.  ROTO_ISA_AUTO as a cap means "the best this CPU and operating system support". */
typedef enum roto_isa { ROTO_ISA_AUTO = 0, ROTO_ISA_SCALAR = 1, ROTO_ISA_AVX2 = 2, ROTO_ISA_AVX512 = 3 } roto_isa;

/* How a network computes, slowest and most exact first.
 *   FP32: float32 throughout.
 *   BF16: products of bfloat16 (8 bits of significand) summed in float32, values between layers bfloat16.  Any model.  Needs
 *     AVX512-BF16.
 *   INT8: products of bytes summed in int32, weights in -127..127 with a scale a channel, values between layers bytes with the range
 *     that `roto model quantize` has seen.  Needs a model with those ranges, and AVX512-VNNI.
 * A machine that lacks the instructions, or a cap on the instruction set, makes it FP32: more exact, never wrong, slower;
 * roto_info.precision tells. */
typedef enum roto_precision { ROTO_PRECISION_FP32 = 0, ROTO_PRECISION_BF16 = 1, ROTO_PRECISION_INT8 = 2 } roto_precision;

/* Caller's memory functions: both or neither.  alloc returns at least `size` bytes of any alignment, or NULL. */
typedef struct roto_allocator {
  void *(*alloc)(void *user, size_t size);
  void (*free)(void *user, void *block);
  void *user;
} roto_allocator;

/* Caller's parallel loop: run task(context, i) for every i in [0, count), in any order, on any threads, and return when all
 * are done.  Without one, OpenMP is used where the header is compiled with it, else a plain loop.  Results do not depend on
 * the number of threads. */
typedef void (*roto_task)(void *context, size_t index);
typedef struct roto_parallel {
  void (*run)(void *user, size_t count, roto_task task, void *context);
  void *user;
  int threads; /* 0: OpenMP's default (or as many tasks as `run` likes); 1: never parallel */
} roto_parallel;

typedef struct roto_options {
  roto_isa max_isa; /* cap on the instruction set */
  roto_allocator allocator;
  roto_error *error; /* where to say what was wrong, or NULL */
  roto_precision precision;
  int separate; /* 1: each mean and each scaling is a step of its own, so that a roto_profile sees its value; slower */
  roto_parallel parallel; /* packs the weights of a large model */
} roto_options;

/* One step of a running network, as a profile is told of it: a chain of the network's nodes done in one pass over memory.
 * Bytes count every weight and every value of the step once; what a cache keeps from one step to the next counts too. */
typedef struct roto_step {
  const char *kind; /* "gemm", "depthwise", ... */
  uint32_t first_node, last_node;
  uint32_t in_h, in_w, in_c, out_h, out_w, out_c, kernel_h, kernel_w, stride;
  uint64_t multiply_adds, weight_bytes, value_bytes;
  roto_precision precision; /* of its multiply-adds; FP32 for steps without */
  double seconds;
  const float *value; /* the result of last_node, [out_h][out_w], pixels value_stride floats apart; NULL if it is not float32 */
  size_t value_stride;
} roto_step;

/* Told of each step after it has run, on the session's thread.  roto.h reads no clock: `clock` gives seconds. */
typedef struct roto_profile {
  double (*clock)(void *user);
  void (*step)(void *user, const roto_step *step);
  void *user;
} roto_profile;

typedef struct roto_session_options {
  roto_allocator allocator;
  roto_parallel parallel;
  void *memory; /* caller's block for the session, 64-byte aligned, roto_session_size() bytes; NULL: allocate */
  size_t memory_size;
  int views; /* how often each crop is seen, and the mean taken; 0 and 1: once.  2: also mirrored.  Up to 10: also a little larger,
              * smaller and turned, each mirrored too (characters whose landmarks have no twins, roto_landmark.flip, have 5 views
              * and none mirrored).  Each takes as long as the first; the error is less, and how far they are apart goes into the
              * expected error (tests/RESULTS.md) */
  roto_profile profile; /* both functions or neither */
  float pixel_aspect;   /* width of a pixel of the frames over its height; 0: 1.  Anamorphic frames are sampled unsqueezed */
  int network_only;     /* 1: landmarks stay where the network sees them, whatever else the model knows of them (roto_info) */
} roto_session_options;

typedef struct roto_model roto_model;
typedef struct roto_session roto_session;

/* How pixel values relate to light.  The model's own transfer, sRGB or linear, stands in its input description.  Light beyond
 * what sRGB can show is clipped; colours stay in the primaries of the plate. */
typedef enum roto_transfer {
  ROTO_TRANSFER_SRGB = 0,
  ROTO_TRANSFER_LINEAR = 1,
  ROTO_TRANSFER_REC709 = 2, /* ITU-R BT.709 camera curve */
  ROTO_TRANSFER_LOGC3 = 3,  /* ARRI Log C, exposure index 800 */
  ROTO_TRANSFER_SLOG3 = 4,  /* Sony S-Log3 */
  ROTO_TRANSFER_CINEON = 5, /* Kodak film log: 0.002 density a code of 1023, white 685, black 95 */
  ROTO_TRANSFER_RAW = 6     /* not known or not wanted: values go in as they are */
} roto_transfer;
typedef enum roto_pixel { ROTO_PIXEL_U8 = 0, ROTO_PIXEL_U16 = 1, ROTO_PIXEL_F32 = 2 } roto_pixel;

/* A picture in the caller's memory: interleaved channels, 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA (alpha is ignored). */
typedef struct roto_image {
  const void *pixels;
  uint32_t width, height, channels;
  roto_pixel type;
  roto_transfer transfer;
  size_t row_size; /* bytes from one row to the next; 0: rows are contiguous */
} roto_image;

typedef struct roto_rect {
  float x, y, width, height; /* pixels of the frame; may reach outside it */
} roto_rect;

/* One landmark found in a frame. */
typedef struct roto_point {
  float x, y;       /* pixels of the frame */
  float error;      /* expected distance from the truth in pixels of the frame, of all that is known of the landmark */
  float confidence; /* 0..1, that the network sees it: 1 / (1 + e / (1 % of the longer side of the crop)), e the error that the
                     * network alone would have by the model's calibration; small behind a hand, even if others tell where */
} roto_point;

/* A vertex of a roto shape.  Tangents are relative to the vertex: the segment from vertex a to vertex b has the control points
 * a, a + a.out, b + b.in, b.  `feather` is the width in pixels of the soft edge here: > 0 outwards, < 0 inwards, 0 hard. */
typedef struct roto_vertex {
  double x, y, in_x, in_y, out_x, out_y, feather;
} roto_vertex;

/* What a model is, for people and for tools.  Pointers live as long as the model. */
typedef struct roto_info {
  const char *name, *description;
  uint32_t input_width, input_height, input_channels;
  float input_mean[4], input_scale[4]; /* network input = (encoded value in 0..1 - mean) * scale, a channel */
  roto_transfer input_transfer;
  float crop_margin;       /* side of the crop over side of the landmarks' box in training, e.g. 1.4 */
  uint32_t landmark_count; /* N; 0: a bare network, for roto_infer alone */
  uint32_t output_count;   /* floats the network returns: 2N (x, y) or 3N (x, y, spread), in units of the crop; N = 0: any */
  uint32_t part_count, shape_count;
  uint32_t vertex_count;                   /* of all shapes together: what roto_find_shapes writes */
  uint32_t shape_net_count;                /* networks that draw shapes; 0: the model finds landmarks alone */
  uint64_t parameter_count, multiply_adds; /* of one inference */
  uint32_t look_count;                     /* crops of the second look at a frame; 0: the model looks once */
  const struct roto_info *second;          /* the network of that look; NULL: there is none */
  uint32_t contour_count;                  /* contours through landmarks that are looked for in the plate; 0: none */
  uint32_t component_count;                /* ways in which landmarks are known to lie together; 0: none are */
  size_t session_size;                     /* bytes of one session */
  roto_isa isa;                            /* kernels in use */
  int has_ranges;                          /* 1: can run in int8 */
  roto_precision precision;                /* in use: what was asked for, or FP32 where the machine lacks it */
} roto_info;

typedef struct roto_landmark {
  const char *name, *rule; /* rule: how re-vectorization finds it; may be empty */
  uint32_t part, flip;     /* index of its part; index of the landmark it becomes in a mirrored picture */
  float weight;            /* w_point of the paper's loss */
} roto_landmark;

typedef struct roto_part {
  const char *name;
  float weight; /* w_part of the paper's loss */
} roto_part;

typedef struct roto_shape {
  const char *name;
  int closed;
  uint32_t vertex_count;
  const int32_t *vertices; /* a landmark's index, or -1 for a predicted vertex */
} roto_shape;

/* Validate a model in memory and make it ready to run: plan the network, pack the weights for the instruction set.
 * `data` must stay where it is, unchanged, until roto_close (an mmap will do); any alignment is accepted. */
ROTO_API roto_status roto_open(const void *data, size_t size, const roto_options *options, roto_model **model);
#ifndef ROTO_NO_STDIO
/* The same for a file, which is read into memory that roto_close frees. */
ROTO_API roto_status roto_open_file(const char *path, const roto_options *options, roto_model **model);
#endif
ROTO_API void roto_close(roto_model *model); /* NULL is fine */

ROTO_API const roto_info *roto_get_info(const roto_model *model);
ROTO_API roto_status roto_get_landmark(const roto_model *model, uint32_t index, roto_landmark *landmark);
ROTO_API roto_status roto_get_part(const roto_model *model, uint32_t index, roto_part *part);
ROTO_API roto_status roto_get_shape(const roto_model *model, uint32_t index, roto_shape *shape);

/* The landmarks that a shape depends on, its two extreme ones first: moving another one does not change it.  `landmarks` lives as
 * long as the model; *count is 0 for a shape that the model does not predict. */
ROTO_API roto_status roto_get_shape_landmarks(const roto_model *model, uint32_t index, const uint32_t **landmarks,
                                              uint32_t *count);

/* A session holds the workspace of one running network.  The model must outlive it. */
ROTO_API size_t roto_session_size(const roto_model *model); /* bytes for roto_session_options.memory */
ROTO_API roto_status roto_session_create(const roto_model *model, const roto_session_options *options, roto_session **session);
ROTO_API void roto_session_free(roto_session *session); /* NULL is fine */

/* Find the landmarks of the thing inside `crop` (for the best result the landmarks' box times crop_margin).  The crop is
 * grown to the aspect of the network's input around its centre, sampled with anti-aliasing, and may leave the frame (edge
 * pixels are repeated).  A model with a second look then looks at its landmarks again, a few at a time, closer to the resolution
 * of the frame; one with contours (roto_info) asks the frame, at its own resolution, where the outlines are that landmarks lie on; one
 * with components puts landmarks where all together are most likely.  `points` receives landmark_count entries.  Allocates nothing. */
ROTO_API roto_status roto_find_landmarks(roto_session *session, const roto_image *image, roto_rect crop, roto_point *points);

/* The same where the crop is only roughly right: looks again at the crop that fits what was found (roto_fit_crop) until the two
 * agree, at most `most_looks` times (0: 5; 1: never again).  A crop that fits takes one look.  `*crop` becomes the one last
 * looked at; it stays what it was on failure. */
ROTO_API roto_status roto_find_landmarks_near(roto_session *session, const roto_image *image, roto_rect *crop,
                                              uint32_t most_looks, roto_point *points);

/* The crop that fits landmarks found in a frame: the square (as seen, where pixels are not) on the longer side of their box times
 * crop_margin.  Of no use for models of one landmark: its size is 0 then, as it is for NULL. */
ROTO_API roto_rect roto_fit_crop(const roto_session *session, const roto_point *points);

/* Draw shape `index` of the template through the landmarks it depends on (roto_get_shape_landmarks); of `points`, landmark_count
 * entries, only their places are read.  `vertices` receives the shape's vertices in the points' unit; one that is a landmark lies
 * exactly on it.  A few microseconds: fit for redrawing while an artist drags a point.  ROTO_ERR_ARGUMENT if the model does not
 * predict this shape or such a landmark is not finite or beyond 1e9.  Allocates nothing. */
ROTO_API roto_status roto_predict_shape(roto_session *session, uint32_t index, const roto_point *points, roto_vertex *vertices);

/* All shapes of the template, one after the other: roto_info.vertex_count vertices.  Those of a shape that the model does not
 * predict are zero. */
ROTO_API roto_status roto_find_shapes(roto_session *session, const roto_point *points, roto_vertex *vertices);

/* The bare network: input [height][width][channels] as roto_info describes, output [output_count] (a map as
 * [height][width][channels]).  Allocates nothing. */
ROTO_API roto_status roto_infer(roto_session *session, const float *input, float *output);

/* Sample a crop as roto_find_landmarks does: out[height][width][3] in 0..1, encoded with `transfer`: sRGB or linear, or the
 * image's own.  `to_frame` maps a
 * point (u, v) of the output, in pixels of the output, to the frame: x = m[0]*u + m[1]*v + m[2], y = m[3]*u + m[4]*v + m[5].
 * Where the map shrinks, a grid of bilinear samples is averaged a pixel, so that no detail aliases. */
ROTO_API void roto_sample(const roto_image *image, const float to_frame[6], roto_transfer transfer, uint32_t width,
                          uint32_t height, float *out);

/* What a model's contours are made of, for training them (model_format/SPEC.md, CONT): a curve through `count` landmarks in the
 * frame's pixels, 3 at least, and what is seen across it.  places[ROTO_CONTOUR_PLACES]: x, y and the unit normal there;
 * profiles[ROTO_CONTOUR_PLACES][ROTO_CONTOUR_STEPS][ROTO_CONTOUR_CHANNELS], steps along the normal, `step` pixels apart; NULL: none. */
ROTO_API roto_status roto_contour_profiles(const roto_image *image, roto_transfer transfer, const float (*points)[2],
                                           uint32_t count, float step, float (*places)[4], float *profiles);

/* The map of roto_sample that roto_find_landmarks uses for a crop: uniform scale, centred, covering the rectangle. */
ROTO_API void roto_crop_map(roto_rect crop, uint32_t width, uint32_t height, float to_frame[6]);

/* Run the model's own input and compare with its own output, shapes too: is this machine computing what the trainer's did?
 * `difference`, if not NULL, receives the largest absolute difference. */
ROTO_API roto_status roto_selftest(roto_session *session, float *difference);

ROTO_API const char *roto_isa_name(roto_isa isa); /* "scalar", "avx2", "avx512" */
ROTO_API roto_isa roto_best_isa(void);            /* what this CPU and operating system support */

ROTO_API const char *roto_precision_name(roto_precision precision); /* "fp32", "bf16", "int8" */
ROTO_API int roto_has_precision(roto_precision precision);          /* 1: this CPU has the instructions for it */

/* ---- Bezier geometry.  Pure functions of their arguments: any thread, no memory. */

/* One cubic: its four control points. */
typedef struct roto_cubic {
  double x[4], y[4];
} roto_cubic;

/* The curve of a roto shape: vertex_count segments if closed, one fewer if open. */
typedef struct roto_path {
  const roto_vertex *vertices;
  uint32_t vertex_count;
  int closed;
} roto_path;

ROTO_API uint32_t roto_path_segments(const roto_path *path);
ROTO_API roto_cubic roto_path_segment(const roto_path *path, uint32_t index); /* index < roto_path_segments(path) */

/* Point, and first derivative, at t in 0..1. */
ROTO_API void roto_cubic_at(const roto_cubic *c, double t, double point[2]);
ROTO_API void roto_cubic_derivative(const roto_cubic *c, double t, double derivative[2]);

/* De Casteljau's subdivision at t: `left` runs over 0..t, `right` over t..1.  Either may be NULL or c itself. */
ROTO_API void roto_cubic_split(const roto_cubic *c, double t, roto_cubic *left, roto_cubic *right);

/* Number of equal steps of t whose chords stay within `tolerance` > 0 of the curve, 1..65536 (Wang's bound on the second
 * differences of the control points; beyond 65536 the tolerance is not kept). */
ROTO_API uint32_t roto_cubic_steps(const roto_cubic *c, double tolerance);

/* The polyline of roto_cubic_steps(c, tolerance) chords: writes the points at t = 1/n, 2/n, .. 1 (the end exactly, the start not
 * at all, so that segments follow each other) if there is room for them, and returns n, how many there are. */
ROTO_API uint32_t roto_cubic_flatten(const roto_cubic *c, double tolerance, double (*points)[2], uint32_t capacity);

/* Arc length from 0 to t: adaptive Gauss-Legendre quadrature, off by at most about 1e-9 of the control polygon's length. */
ROTO_API double roto_cubic_length(const roto_cubic *c, double t);

/* Tight bounding box: box[0] left, [1] top, [2] right, [3] bottom. */
ROTO_API void roto_cubic_box(const roto_cubic *c, double box[4]);

/* The same of whole paths; of an empty one zeros.  The area is the integral of the winding number, exact by Green's theorem,
 * positive for paths that run clockwise as seen on the screen (y down); an open path is closed by a line. */
ROTO_API double roto_path_length(const roto_path *path);
ROTO_API void roto_path_box(const roto_path *path, double box[4]);
ROTO_API double roto_path_area(const roto_path *path);

/* ---- Mattes. */

typedef enum roto_fill { ROTO_FILL_NONZERO = 0, ROTO_FILL_EVENODD = 1 } roto_fill;

/* One shape of a matte.  A closed path is filled; an open one is drawn `width` pixels wide with round ends and joins. */
typedef struct roto_matte_shape {
  roto_path path; /* with options.samples = n > 1: the vertices of n moments, n * vertex_count, moment by moment */
  double width;   /* of an open path */
  double feather; /* added to the vertices' own */
  roto_fill fill; /* of a closed path that crosses itself */
  int subtract;   /* 1: removes what the shapes before it cover; 0: adds */
} roto_matte_shape;

typedef struct roto_matte_options {
  roto_allocator allocator;
  double x, y;      /* point of the frame at the matte's top-left corner */
  double scale;     /* pixels of the matte to a pixel of the frame, e.g. 0.5 for a half-size proxy; 0: 1 */
  uint32_t samples; /* moments of the open shutter that are averaged, for motion blur; 0: 1 */
} roto_matte_options;

/* The caller's memory for a matte: one channel, any pixel type, 1 = covered, linear. */
typedef struct roto_matte_image {
  void *pixels;
  uint32_t width, height; /* 1..65536 */
  roto_pixel type;
  size_t row_size; /* bytes from one row to the next; 0: rows are contiguous */
} roto_matte_image;

/* Draw shapes, in order, into a matte; every pixel of it is written.
 *   Hard edges are exact: a pixel's value is the area that is covered of it.  Crossings of a shape with itself and with its
 * neighbours in the list, several edges in one pixel, shapes that share an edge: all are cut into trapezoids, nothing is
 * sampled.  What is not exact is the polyline that stands for the curve, within 1/128 pixel, which keeps areas to 1e-4.
 *   Feather is a linear ramp: a point p outside has the largest value of 1 - |p - q| / f(q) over all points q of the outline,
 * f the feather there, which changes linearly in t between vertices; f < 0 makes the same ramp inside, down to 0 at the outline.
 * A ramp's pixels are averaged along its direction only, so they are within 1/64 for feathers of 2 pixels and more.  A
 * feathered shape meets those before it as independent coverage: a + b - a b, or a (1 - b).
 *   ROTO_ERR_ARGUMENT if a number is not finite or beyond 1e6 pixels.  Any thread; needs memory in proportion to the shapes and
 * to one row. */
ROTO_API roto_status roto_matte(const roto_matte_shape *shapes, size_t shape_count, const roto_matte_options *options,
                                const roto_matte_image *matte);

/* ---- Optical flow and de-jitter. */

/* A region of a frame as a pyramid of grey pictures, for roto_find_flow.  Never written once made: threads may share it. */
typedef struct roto_pyramid roto_pyramid;

/* `region` should hold the points with a margin of 16 pixels or more of level 0, whose longer side is `longest_side` pixels (0:
 * 768) or less, where the region itself is smaller.  allocator may be NULL. */
ROTO_API roto_status roto_pyramid_create(const roto_image *image, roto_rect region, uint32_t longest_side,
                                         const roto_allocator *allocator, roto_pyramid **pyramid);
ROTO_API void roto_pyramid_free(roto_pyramid *pyramid); /* NULL is fine */

/* Where a point went. */
typedef struct roto_flow {
  float x, y;          /* pixels of the frame `to` is of */
  float covariance[3]; /* xx, xy, yy of the expected error, squared pixels: inverse Hessian times residual */
  float residual;      /* RMS difference of the patches over the RMS of the patch, 0 the same, 1.4 unrelated */
  int found;           /* 0: the patch left the region, or is a plain surface; x and y are the best guess then */
} roto_flow;

/* Follow points (pixels of the frame) from one frame to another.  `guesses`: where they may be, NULL: where they were.  Brightness
 * and contrast may change.  Motion of up to about a tenth of the region is found.  The pyramids' scales, side of the region over
 * longest_side, must be equal or differ by a power of two: they meet at the coarser one's.  Allocates nothing; any thread. */
ROTO_API roto_status roto_find_flow(const roto_pyramid *from, const roto_pyramid *to, const float (*points)[2],
                                    const float (*guesses)[2], size_t count, roto_flow *flows);

/* A point as found in one frame. */
typedef struct roto_observation {
  float x, y;
  float error; /* expected distance from the truth in pixels; 0 or less: unknown, the place counts for nothing */
  int fixed;   /* 1: an artist put it here; it stays, and pulls its neighbours */
} roto_observation;

/* How the point moved from one frame to the next. */
typedef struct roto_link {
  float x, y;
  float error; /* expected, in pixels; 0 or less: not known (a cut, a replaced face), nothing passes here */
} roto_link;

typedef struct roto_smoothed {
  float x, y;
  float error; /* standard deviation given all observations, pixels; -1 where nothing is known */
} roto_smoothed;

/* The most likely track of one point over a shot: `count` observations, count - 1 links.  Wrong observations and wrong links are
 * outvoted by those around them.  With `causal` a frame sees only those before it and itself.  Any thread; memory for 8 doubles a
 * frame, none if causal. */
ROTO_API roto_status roto_smooth(const roto_observation *observations, const roto_link *links, size_t count, int causal,
                                 const roto_allocator *allocator, roto_smoothed *smoothed);

#ifdef __cplusplus
}
#endif

#endif /* ROTO_API_H */

#if defined(ROTO_IMPLEMENTATION) && !defined(ROTOI_IMPLEMENTED)
#define ROTOI_IMPLEMENTED

/* >>../model_format/roto_format.h */

/* The .roto file in numbers: magic, version, chunk names, opcodes, record layouts, limits.  The only copy: the reader in
 * roto.h, the writer and the trainer all use it.  SPEC.md gives the rules.
 *
 * A file is a header, a table of chunks, and chunks; little-endian throughout, everything at multiples of 64 bytes from the
 * start of the file so that tensors can be used straight from an mmap.  Networks are stored as the trainer sees them (batch
 * norm apart, weights in plain order); fusing and packing are the reader's business, so one file serves every CPU. */

#ifndef ROTO_FORMAT_H
#define ROTO_FORMAT_H

#define ROTO_FORMAT_MAGIC "ROTO\r\n\x1a\n" /* 8 bytes; a text-mode copy or a wrong byte order breaks it */
#define ROTO_FORMAT_VERSION 1u             /* raised only when the structure changes */
#define ROTO_FORMAT_ALIGN 64u

/* Limits: small enough that no product of checked values overflows 64 bits. */
#define ROTO_MAX_NODES 4096u
#define ROTO_MAX_TENSORS 16384u
#define ROTO_MAX_SIZE 4096u      /* height or width of any value */
#define ROTO_MAX_CHANNELS 65536u /* channels of any value */
#define ROTO_MAX_KERNEL 64u
#define ROTO_MAX_STRIDE 8u
#define ROTO_MAX_INPUT_CHANNELS 4u
#define ROTO_MAX_LANDMARKS 1024u /* and parts, and shapes */
#define ROTO_MAX_VERTICES 65536u /* of all shapes */
#define ROTO_MAX_KNOTS 256u
#define ROTO_MAX_INPUTS 4u
#define ROTO_MAX_SHAPE_LANDMARKS 64u /* of one shape network */
#define ROTO_MAX_SHAPE_VERTICES 256u /* of one shape network */
#define ROTO_MAX_SHAPE_BLOCKS 8u     /* of one shape network */
#define ROTO_MAX_SHAPE_WIDTH 256u    /* of one shape network */
#define ROTO_MAX_LOOKS 64u
#define ROTO_MAX_CONTOURS 64u
#define ROTO_MAX_CONTOUR_LANDMARKS 64u /* of one contour */
#define ROTO_MAX_COMPONENTS 64u
#define ROTO_MAX_STRING 4096u               /* bytes of a description or a landmark's rule, with its 0 */
#define ROTO_MAX_NAME 256u                  /* bytes of any other string, with its 0 */
#define ROTO_MAX_VALUES (1ull << 28)        /* floats of one value or tensor */
#define ROTO_MAX_MULTIPLY_ADDS (1ull << 40) /* of one inference */

/* Activations, applied to a node's result. */
enum {
  ROTO_ACT_NONE = 0,
  ROTO_ACT_RELU = 1,         /* max(x, 0) */
  ROTO_ACT_RELU6 = 2,        /* min(max(x, 0), 6) */
  ROTO_ACT_SIGMOID = 3,      /* 1 / (1 + exp(-x)) */
  ROTO_ACT_SWISH = 4,        /* x * sigmoid(x) */
  ROTO_ACT_HARD_SIGMOID = 5, /* min(max(x / 6 + 1/2, 0), 1) */
  ROTO_ACT_HARD_SWISH = 6,   /* x * hard_sigmoid(x) */
  ROTO_ACT_COUNT = 7
};

/* Node operations.  A node produces one value of shape (h, w, c); its index is the value's index; inputs have lower
 * indices.  Node 0, and only node 0, is INPUT; the last node is the network's output.  Weight layouts are tight, channels
 * (outputs) innermost; flattening a value is [h][w][c]. */
enum {
  ROTO_OP_INPUT = 0,
  ROTO_OP_CONV = 1,        /* weight [kh][kw][ic][oc], bias [oc] optional */
  ROTO_OP_DEPTHWISE = 2,   /* weight [kh][kw][c], bias [c] optional */
  ROTO_OP_DENSE = 3,       /* weight [h*w*c][oc], bias [oc] optional; result is 1 x 1 x oc */
  ROTO_OP_BATCHNORM = 4,   /* (x - mean) / sqrt(variance + epsilon) * gamma + beta; all [c] */
  ROTO_OP_ACT = 5,         /* the activation alone */
  ROTO_OP_ADD = 6,         /* a + b, same shape */
  ROTO_OP_SCALE = 7,       /* a * b, b is 1 x 1 x c: squeeze-excite */
  ROTO_OP_CONCAT = 8,      /* along channels, 2 to 4 inputs */
  ROTO_OP_MAXPOOL = 9,     /* over kh x kw, padding ignored */
  ROTO_OP_AVGPOOL = 10,    /* over kh x kw, padding not counted */
  ROTO_OP_GLOBALPOOL = 11, /* mean over h x w; result is 1 x 1 x c */
  ROTO_OP_UPSAMPLE = 12,   /* each pixel becomes 2 x 2 */
  ROTO_OP_POINTS = 13,     /* heat maps to points, see SPEC.md: c = N or 3N in, 1 x 1 x 3N out */
  ROTO_OP_COUNT = 14
};

#define ROTO_NONE 0xffffffffu /* "no tensor", "no string" */

/* Chunks, in this order: the first eight are in every file, SHAP if it predicts shapes, LOOK if it looks twice,
 * RANG if it can run in int8, CONT and DIST if it knows more of its landmarks than the network. */
#define ROTO_CHUNK(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define ROTO_CHUNK_LIST(X)                                                                             \
  X(META, ROTO_CHUNK('M', 'E', 'T', 'A')) /* name and description */                                   \
  X(INPT, ROTO_CHUNK('I', 'N', 'P', 'T')) /* input description */                                      \
  X(TMPL, ROTO_CHUNK('T', 'M', 'P', 'L')) /* template: landmarks, parts, shapes */                     \
  X(CALB, ROTO_CHUNK('C', 'A', 'L', 'B')) /* calibration: spread -> expected error */                  \
  X(NETW, ROTO_CHUNK('N', 'E', 'T', 'W')) /* nodes */                                                  \
  X(TDIR, ROTO_CHUNK('T', 'D', 'I', 'R')) /* where each tensor lies in DATA, and its length */         \
  X(DATA, ROTO_CHUNK('D', 'A', 'T', 'A')) /* tensors, each at a multiple of 64 */                      \
  X(TEST, ROTO_CHUNK('T', 'E', 'S', 'T')) /* self-test: one input, its output, tolerance */            \
  X(SHAP, ROTO_CHUNK('S', 'H', 'A', 'P')) /* shape networks, with their own weights */                 \
  X(LOOK, ROTO_CHUNK('L', 'O', 'O', 'K')) /* a second look: which landmarks together, and its model */ \
  X(RANG, ROTO_CHUNK('R', 'A', 'N', 'G')) /* the range of each node's values, for int8 */              \
  X(CONT, ROTO_CHUNK('C', 'O', 'N', 'T')) /* contours through landmarks, and what they look like */    \
  X(DIST, ROTO_CHUNK('D', 'I', 'S', 'T')) /* how landmarks lie together */
enum {
#define ROTO_CHUNK_ENUM(name, code) ROTO_CHUNK_##name,
  ROTO_CHUNK_LIST(ROTO_CHUNK_ENUM)
#undef ROTO_CHUNK_ENUM
      ROTO_CHUNK_COUNT,
  ROTO_CHUNK_REQUIRED = ROTO_CHUNK_SHAP /* so many, the first, are in every file */
};

/* Record layouts: byte offsets of the fields, and the size of the record.  Bytes from ..._USED to the end of a record
 * are reserved and zero. */

/* File header. */
enum {
  ROTO_HEADER_MAGIC = 0,
  ROTO_HEADER_VERSION = 8,      /* u32 */
  ROTO_HEADER_CHUNK_COUNT = 12, /* u32 */
  ROTO_HEADER_FILE_SIZE = 16,   /* u64 */
  ROTO_HEADER_USED = 24,
  ROTO_HEADER_SIZE = 64
};

/* One entry of the chunk table, which follows the header. */
enum {
  ROTO_ENTRY_NAME = 0,    /* u32; 4 zero bytes follow */
  ROTO_ENTRY_OFFSET = 8,  /* u64, from the start of the file */
  ROTO_ENTRY_LENGTH = 16, /* u64 */
  ROTO_ENTRY_USED = 24,
  ROTO_ENTRY_SIZE = 32
};

/* INPT. */
enum {
  ROTO_INPUT_WIDTH = 0,     /* u32 */
  ROTO_INPUT_HEIGHT = 4,    /* u32 */
  ROTO_INPUT_CHANNELS = 8,  /* u32 */
  ROTO_INPUT_TRANSFER = 12, /* u32, roto_transfer */
  ROTO_INPUT_MEAN = 16,     /* f32[4] */
  ROTO_INPUT_SCALE = 32,    /* f32[4] */
  ROTO_INPUT_MARGIN = 48,   /* f32 */
  ROTO_INPUT_USED = 52,
  ROTO_INPUT_SIZE = 64
};

/* TMPL: head, landmarks, parts, shapes, vertices (i32), strings. */
enum {
  ROTO_TEMPLATE_LANDMARKS = 0, /* u32 counts */
  ROTO_TEMPLATE_PARTS = 4,
  ROTO_TEMPLATE_SHAPES = 8,
  ROTO_TEMPLATE_VERTICES = 12,
  ROTO_TEMPLATE_STRINGS = 16, /* u32, bytes */
  ROTO_TEMPLATE_USED = 20,
  ROTO_TEMPLATE_SIZE = 32
};
enum {
  ROTO_LANDMARK_NAME = 0,    /* u32, from the start of the strings */
  ROTO_LANDMARK_RULE = 4,    /* u32, from the start of the strings */
  ROTO_LANDMARK_PART = 8,    /* u32 */
  ROTO_LANDMARK_FLIP = 12,   /* u32 */
  ROTO_LANDMARK_WEIGHT = 16, /* f32 */
  ROTO_LANDMARK_SIZE = 20
};
enum { ROTO_PART_NAME = 0 /* u32 */, ROTO_PART_WEIGHT = 4 /* f32 */, ROTO_PART_SIZE = 8 };
enum {
  ROTO_SHAPE_NAME = 0,   /* u32 */
  ROTO_SHAPE_CLOSED = 4, /* u32, 0 or 1 */
  ROTO_SHAPE_FIRST = 8,  /* u32, index of its first vertex */
  ROTO_SHAPE_COUNT = 12, /* u32, vertices */
  ROTO_SHAPE_SIZE = 16
};
enum { ROTO_LIST_COUNT = 0 /* u32 */, ROTO_LIST_USED = 4, ROTO_LIST_SIZE = 8 }; /* head of CALB, NETW, TDIR */
enum { ROTO_KNOT_SPREAD = 0 /* f32 */, ROTO_KNOT_ERROR = 4 /* f32 */, ROTO_KNOT_SIZE = 8 };
enum {
  ROTO_NODE_OP = 0,          /* u16 */
  ROTO_NODE_ACT = 2,         /* u16 */
  ROTO_NODE_INPUT_COUNT = 4, /* u32 */
  ROTO_NODE_INPUTS = 8,      /* u32[4], ROTO_NONE where unused */
  ROTO_NODE_KERNEL = 24,     /* u32 height, width */
  ROTO_NODE_STRIDE = 32,     /* u32 */
  ROTO_NODE_PADS = 36,       /* u32 top, left, bottom, right */
  ROTO_NODE_SHAPE = 52,      /* u32 height, width, channels of the result */
  ROTO_NODE_TENSORS = 64,    /* u32[4], ROTO_NONE where unused */
  ROTO_NODE_EPSILON = 80,    /* f32 */
  ROTO_NODE_PER_POINT = 84,  /* u32, channels a point */
  ROTO_NODE_SIZE = 88
};
enum { ROTO_TENSOR_OFFSET = 0 /* u64, from the start of DATA */, ROTO_TENSOR_COUNT = 8 /* u64 */, ROTO_TENSOR_SIZE = 16 };

/* TEST: head, outputs (f32), pixels (u8 [height][width][channels]). */
enum {
  ROTO_TEST_TOLERANCE = 0, /* f32 */
  ROTO_TEST_OUTPUTS = 4,   /* u32, floats */
  ROTO_TEST_PIXELS = 8,    /* u32, bytes */
  ROTO_TEST_USED = 12,
  ROTO_TEST_SIZE = 16
};

/* SHAP: head, networks, shapes, landmarks (u32); at the next multiple of 64 weights, then the self-test's shapes (f32). */
enum { ROTO_SHAPES_NETWORKS = 0 /* u32 */, ROTO_SHAPES_USED = 4, ROTO_SHAPES_SIZE = 16 };
enum {
  ROTO_SHAPE_NET_LANDMARKS = 0, /* u32 counts */
  ROTO_SHAPE_NET_VERTICES = 4,
  ROTO_SHAPE_NET_PLACES = 8, /* vertices that are no landmarks */
  ROTO_SHAPE_NET_BLOCKS = 12,
  ROTO_SHAPE_NET_WIDTH = 16,
  ROTO_SHAPE_NET_SIZE = 20
};
enum {
  ROTO_SHAPE_USE_NETWORK = 0,  /* u32, ROTO_NONE: the shape is not predicted */
  ROTO_SHAPE_USE_MIRRORED = 4, /* u32, 0 or 1 */
  ROTO_SHAPE_USE_REVERSED = 8, /* u32, 0 or 1 */
  ROTO_SHAPE_USE_FIRST = 12,   /* u32, vertex of the shape that is the network's first */
  ROTO_SHAPE_USE_SIZE = 16
};

/* LOOK: head, the look of each landmark (u32, or ROTO_NONE); at the next multiple of 64 a whole .roto file. */
enum { ROTO_LOOK_COUNT = 0 /* u32 */, ROTO_LOOK_USED = 4, ROTO_LOOK_SIZE = 16 };
#define ROTO_LOOK_LEAST 0.125f /* smallest box of a second look, of the longer side of all landmarks' */

/* RANG: head, a range for each node. */
enum { ROTO_RANGES_COUNT = 0 /* u32 */, ROTO_RANGES_TOLERANCE = 4 /* f32, of the self-test in int8 */, ROTO_RANGES_SIZE = 8 };
enum { ROTO_RANGE_LOW = 0 /* f32 */, ROTO_RANGE_HIGH = 4 /* f32 */, ROTO_RANGE_SIZE = 8 };

/* CONT: head, how many landmarks each contour has (u32), these (u32); at the next multiple of 64 the filters of each (f32
 * [places][floats]). */
enum { ROTO_CONTOURS_COUNT = 0 /* u32 */, ROTO_CONTOURS_USED = 4, ROTO_CONTOURS_SIZE = 16 };
enum {
  ROTO_CONTOUR_PLACES = 25,  /* along a contour */
  ROTO_CONTOUR_STEPS = 33,   /* across it, at each place */
  ROTO_CONTOUR_CHANNELS = 3, /* of what is seen at a step */
  ROTO_CONTOUR_TAPS = 13,    /* steps a filter sees */
  ROTO_CONTOUR_BOX = 372,    /* steps to the longer side of the landmarks' box: half a pixel of the rendered film's plates each */
  ROTO_CONTOUR_FLOATS = ROTO_CONTOUR_TAPS * ROTO_CONTOUR_CHANNELS + 1
};

/* DIST: head, mean (f32 [landmarks][2]), components (f32 [components][landmarks][2]), in steps of CONT. */
enum {
  ROTO_DISTRIBUTION_COMPONENTS = 0, /* u32 */
  ROTO_DISTRIBUTION_DEVIATION = 4,  /* f32, of all that is no component */
  ROTO_DISTRIBUTION_USED = 8,
  ROTO_DISTRIBUTION_SIZE = 16
};

/* The rules of SPEC.md: number, name, status, sentence.  Numbers are never reused. */
#define ROTO_RULE_LIST(X)                                                                                                 \
  X(1, MAGIC, ROTO_ERR_NOT_ROTO, "the file begins with the magic")                                                        \
  X(2, VERSION, ROTO_ERR_VERSION, "the format version is one this build reads")                                           \
  X(3, FILE_SIZE, ROTO_ERR_INVALID, "the file is as long as its header says")                                             \
  X(4, CHUNK_COUNT, ROTO_ERR_INVALID, "the table holds 8 chunks, and those of SHAP, LOOK, RANG, CONT and DIST that there are") \
  X(5, CHUNK_NAME, ROTO_ERR_INVALID,                                                                                      \
    "the chunks are META INPT TMPL CALB NETW TDIR DATA TEST, then SHAP, LOOK, RANG, CONT, DIST, in this order")           \
  X(6, CHUNK_OFFSET, ROTO_ERR_INVALID, "a chunk starts where the one before ended, rounded up to 64")                     \
  X(7, CHUNK_END, ROTO_ERR_INVALID, "a chunk ends inside the file")                                                       \
  X(8, TRAILING, ROTO_ERR_INVALID, "the last chunk ends the file")                                                        \
  X(9, RESERVED, ROTO_ERR_INVALID, "reserved bytes and padding are zero")                                                 \
  X(10, CHUNK_LENGTH, ROTO_ERR_INVALID, "a chunk is as long as its counts say")                                           \
  X(11, STRING_PLACE, ROTO_ERR_INVALID, "a string starts where the one before ended, and the last one ends its table")    \
  X(12, STRING_END, ROTO_ERR_INVALID, "a string ends with a zero byte within its longest length")                         \
  X(13, STRING_TEXT, ROTO_ERR_INVALID, "a string is UTF-8 without control characters")                                    \
  X(14, NAME, ROTO_ERR_INVALID, "names are not empty and differ within their kind")                                       \
  X(15, INPUT_SHAPE, ROTO_ERR_INVALID, "the input is 1 to 4096 pixels wide and high, of 1 to 4 channels")                 \
  X(16, INPUT_TRANSFER, ROTO_ERR_INVALID, "the transfer is sRGB or linear")                                               \
  X(17, INPUT_SCALING, ROTO_ERR_INVALID, "mean and scale are finite, scale is not 0, and both are 0 for absent channels") \
  X(18, INPUT_MARGIN, ROTO_ERR_INVALID, "the crop margin is finite and above 0")                                          \
  X(19, TEMPLATE_COUNT, ROTO_ERR_INVALID, "there are landmarks and parts, or (a bare network) neither")                   \
  X(20, TEMPLATE_LIMIT, ROTO_ERR_LIMIT, "there are at most 1024 landmarks, parts and shapes, and 65536 vertices")         \
  X(21, LANDMARK_PART, ROTO_ERR_INVALID, "the part of a landmark exists")                                                 \
  X(22, LANDMARK_FLIP, ROTO_ERR_INVALID, "the flip partner of a landmark exists and flips back to it")                    \
  X(23, WEIGHT, ROTO_ERR_INVALID, "weights of landmarks and parts are finite and not negative")                           \
  X(24, SHAPE_CLOSED, ROTO_ERR_INVALID, "a shape is closed (1) or open (0)")                                              \
  X(25, SHAPE_VERTICES, ROTO_ERR_INVALID,                                                                                 \
    "the vertices of a shape follow those of the one before, and the last shape ends the list")                           \
  X(26, VERTEX, ROTO_ERR_INVALID, "a vertex is a landmark that exists, or -1")                                            \
  X(27, KNOT_COUNT, ROTO_ERR_INVALID, "there are 1 to 256 knots, exactly 1 if the network returns no spread")             \
  X(28, KNOT_VALUE, ROTO_ERR_INVALID, "knots are finite and not negative, and their spreads ascend")                      \
  X(29, NODE_COUNT, ROTO_ERR_INVALID, "there are at least two nodes")                                                     \
  X(30, NODE_LIMIT, ROTO_ERR_LIMIT, "there are at most 4096 nodes and 16384 tensors")                                     \
  X(31, OP, ROTO_ERR_INVALID, "the operation is known")                                                                   \
  X(32, ACT, ROTO_ERR_INVALID, "the activation is known and the operation can have it")                                   \
  X(33, INPUT_NODE, ROTO_ERR_INVALID, "node 0, and no other, is INPUT, and it has the shape of the input description")    \
  X(34, INPUT_COUNT, ROTO_ERR_INVALID, "a node has as many inputs as its operation takes")                                \
  X(35, INPUT_INDEX, ROTO_ERR_INVALID, "inputs are earlier nodes, and unused inputs are ROTO_NONE")                       \
  X(36, PICTURE, ROTO_ERR_INVALID, "the picture feeds only CONV")                                                         \
  X(37, UNUSED_FIELD, ROTO_ERR_INVALID, "fields that the operation does not use are 0")                                   \
  X(38, KERNEL, ROTO_ERR_INVALID, "kernel sides and stride are at least 1")                                               \
  X(39, SHAPE_LIMIT, ROTO_ERR_LIMIT,                                                                                      \
    "kernel sides are at most 64, strides 8, sides 4096, channels 65536, floats of a value or tensor 2^28")               \
  X(40, PADDING, ROTO_ERR_INVALID, "each padding is below its kernel side, and the kernel fits into the padded input")    \
  X(41, OPERANDS, ROTO_ERR_INVALID, "the shapes of the inputs fit together")                                              \
  X(42, SHAPE, ROTO_ERR_INVALID, "the shape of a node is what its operation makes of its inputs")                         \
  X(43, EPSILON, ROTO_ERR_INVALID, "the epsilon of a BATCHNORM is finite and above 0")                                    \
  X(44, POINTS, ROTO_ERR_INVALID, "POINTS is the last node, with 1 or 3 channels for each landmark")                      \
  X(45, NODE_USED, ROTO_ERR_INVALID, "every node but the last is an input of a later one")                                \
  X(46, OUTPUT, ROTO_ERR_INVALID, "where there are landmarks, the last node is 1 x 1 with 2 or 3 channels for each")      \
  X(47, WORK_LIMIT, ROTO_ERR_LIMIT, "one inference takes at most 2^40 steps")                                             \
  X(48, TENSOR_ORDER, ROTO_ERR_INVALID,                                                                                   \
    "the nodes name the tensors 0, 1, 2 ... in order, each those of its operation, until all are named")                  \
  X(49, TENSOR_COUNT, ROTO_ERR_INVALID, "a tensor has as many floats as its node needs")                                  \
  X(50, TENSOR_PLACE, ROTO_ERR_INVALID,                                                                                   \
    "a tensor starts where the one before ended, rounded up to 64, and the last one ends DATA")                           \
  X(51, FINITE, ROTO_ERR_INVALID, "the floats of tensors and shape networks are finite")                                  \
  X(52, VARIANCE, ROTO_ERR_INVALID, "variance + epsilon of a BATCHNORM is above 0")                                       \
  X(53, TEST_COUNT, ROTO_ERR_INVALID, "the self-test has one byte for each input value and one float for each output")    \
  X(54, TEST_VALUE, ROTO_ERR_INVALID, "the tolerance of the self-test is finite and above 0, and its outputs are finite") \
  X(55, SHAPE_NETWORK, ROTO_ERR_INVALID,                                                                                  \
    "a shape network has at least 2 landmarks, 1 vertex and 1 block, and a width that is a multiple of 16 above 0")       \
  X(56, SHAPE_NETWORK_LIMIT, ROTO_ERR_LIMIT,                                                                              \
    "a shape network has at most 64 landmarks, 256 vertices, 8 blocks and a width of 256")                                \
  X(57, SHAPE_USE, ROTO_ERR_INVALID,                                                                                      \
    "shapes first name the networks 0, 1, 2 ... in order, until all are named, and there is at least one")                \
  X(58, SHAPE_TURN, ROTO_ERR_INVALID,                                                                                     \
    "mirrored and reversed are 0 or 1, and the first vertex exists; of an open shape it is an end")                       \
  X(59, SHAPE_LANDMARK, ROTO_ERR_INVALID, "the landmarks of a shape network exist and differ within a shape")             \
  X(60, SHAPE_VERTEX, ROTO_ERR_INVALID,                                                                                   \
    "a shape has its network's vertices: as many, the same ones predicted, the others among its landmarks")               \
  X(61, LOOK, ROTO_ERR_INVALID, "there are 1 to 64 second looks, each with a landmark, and none beyond")                  \
  X(62, LOOK_MODEL, ROTO_ERR_INVALID,                                                                                     \
    "the model of the second look is a .roto file of chunks 1 to 8 and RANG alone, with as many landmarks that flip alike")\
  X(63, RANGE_COUNT, ROTO_ERR_INVALID, "there is one range for each node")                                                \
  X(64, RANGE, ROTO_ERR_INVALID, "a range is finite, holds 0 and is 1e-30 to 1e30 wide")                                  \
  X(65, RANGE_TOLERANCE, ROTO_ERR_INVALID, "the tolerance of the self-test in int8 is finite and above 0")                \
  X(66, CONTOUR, ROTO_ERR_INVALID, "there are 1 to 64 contours, each of 3 to 64 landmarks that exist and differ")         \
  X(67, DISTRIBUTION, ROTO_ERR_INVALID,                                                                                   \
    "a distribution has 1 to 64 components, a deviation above 0, and a mean whose landmarks are not all at one place")
enum {
#define ROTO_RULE_ENUM(number, name, status, text) ROTO_RULE_##name = number,
  ROTO_RULE_LIST(ROTO_RULE_ENUM)
#undef ROTO_RULE_ENUM
      ROTO_RULE_END
};

#endif /* ROTO_FORMAT_H */

/* >>config.c */

/* Configuration: what the caller may define before the implementation, and what the compiler offers.
 *
 *   ROTO_MALLOC, ROTO_FREE   default memory functions, both or neither
 *   ROTO_ASSERT(condition)   checks of the library's own invariants; off unless defined
 *   ROTO_NO_SIMD             plain C only
 *   ROTO_ALLOW_FAST_MATH     accept results that depend on the compiler's mood
 *
 * No -m flags are needed: a function for a newer instruction set carries its own target attribute, and is called only after
 * cpu.c has found that the machine can run it.  Compilers without such attributes get the plain C kernels. */

#ifndef ROTOI_CONFIG
#define ROTOI_CONFIG

#include <string.h>

/* Under fast-math compilers reassociate even explicit intrinsics and delete NaN tests, and no pragma prevents it in all of
 * them; linking with it may also switch denormals off for the whole process. */
#if !defined(ROTO_ALLOW_FAST_MATH) && (defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__))
#error "roto.h: compile this one file without -ffast-math and -ffinite-math-only, or define ROTO_ALLOW_FAST_MATH"
#endif

#if defined(ROTO_MALLOC) != defined(ROTO_FREE)
#error "roto.h: define both of ROTO_MALLOC and ROTO_FREE, or neither"
#endif
#ifndef ROTO_MALLOC
#include <stdlib.h>
#define ROTO_MALLOC(size) malloc(size)
#define ROTO_FREE(block) free(block)
#endif

/* Infinity without <math.h>, whose macros differ between C and C++. */
#define ROTOI_INFINITY ((float)(1e30f * 1e30f))

#ifndef ROTO_ASSERT
#define ROTO_ASSERT(condition) ((void)0)
#endif

/* Vector kernels need GNU C's attributes and a 64-bit x86.  GCC for Windows keeps the stack at 16 bytes, so a spilled vector
 * register faults: plain C there.  On Windows the upper registers are partly callee-saved, which compilers have got wrong
 * for AVX-512: none there. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(ROTO_NO_SIMD) && (!defined(_WIN32) || defined(__clang__))
#define ROTOI_X86 1
#include <immintrin.h>
#define ROTOI_AVX2 __attribute__((target("avx2,fma")))
#if !defined(_WIN32) && (defined(__clang__) || __GNUC__ >= 7)
#define ROTOI_X86_AVX512 1
#define ROTOI_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
/* Dot products of bfloat16 and of bytes. */
#if (defined(__clang__) && __clang_major__ >= 9) || (!defined(__clang__) && __GNUC__ >= 10)
#define ROTOI_X86_LOW 1
#define ROTOI_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define ROTOI_AVX512_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")))
#endif
#endif
#endif

/* Kernel bodies are written once and stamped out for constant tile sizes, which only works if they really are inlined. */
#if defined(__GNUC__)
#define rotoi_inline static inline __attribute__((always_inline))
#define rotoi_noinline static __attribute__((noinline))
#else
#define rotoi_inline static inline
#define rotoi_noinline static
#endif

/* Before a loop over an array of accumulators: unrolled whole, so that they live in registers.  At -O2 gcc does not do so by
 * itself and a kernel would run 10 times slower.  Builds for sanitizers define it empty: they compile in a third of the time. */
#if defined(ROTOI_UNROLL)
#elif defined(__clang__)
#define ROTOI_UNROLL _Pragma("unroll")
#elif defined(__GNUC__) && __GNUC__ >= 8
#define ROTOI_UNROLL _Pragma("GCC unroll 32")
#else
#define ROTOI_UNROLL
#endif

#endif

/* >>base.c */

/* Base: status texts, checked sizes, little-endian loads, memory, the parallel loop.  Everything the other parts need from the
 * outside world passes through here: the caller's allocator, OpenMP, nothing else. */

#ifndef ROTOI_BASE
#define ROTOI_BASE

#ifdef _OPENMP
#include <omp.h>
#endif

ROTO_API const char *roto_status_text(roto_status status) {
  switch (status) {
#define ROTOI_STATUS_CASE(name, value, text) \
  case name:                                 \
    return text;
    ROTO_STATUS_LIST(ROTOI_STATUS_CASE)
#undef ROTOI_STATUS_CASE
    default:
      return "unknown status";
  }
}

/* r = a * b, a + b; 0 and r untouched if the result does not fit. */
static inline int rotoi_mul(size_t a, size_t b, size_t *r) {
  if (b != 0 && a > (size_t)-1 / b) return 0;
  *r = a * b;
  return 1;
}

static inline int rotoi_add(size_t a, size_t b, size_t *r) {
  if (a > (size_t)-1 - b) return 0;
  *r = a + b;
  return 1;
}

/* Loads from a file: any alignment, any host byte order.  Compilers turn them into single loads where the host allows. */
static inline uint16_t rotoi_u16(const unsigned char *p) {
  return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t rotoi_u32(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t rotoi_u64(const unsigned char *p) {
  return rotoi_u32(p) | (uint64_t)rotoi_u32(p + 4) << 32;
}

static inline float rotoi_f32(const unsigned char *p) {
  uint32_t bits = rotoi_u32(p);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* Whether this machine's numbers lie in memory as those of a file do. */
static inline int rotoi_is_little(void) {
  const uint16_t one = 1;
  unsigned char first;
  memcpy(&first, &one, 1);
  return first;
}

/* Four bytes of memory as they lie there, and the bits of a float; any alignment. */
static inline int32_t rotoi_word(const unsigned char *p) {
  int32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static inline uint32_t rotoi_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* Both functions, or neither. */
static inline int rotoi_allocator_valid(const roto_allocator *allocator) {
  return !allocator->alloc == !allocator->free;
}

/* A block of `size` bytes at a multiple of 64, or NULL; allocator NULL or empty: ROTO_MALLOC.  The caller's functions promise
 * no alignment, so the block is over-allocated and the byte before it says how far it was moved (1..64). */
static inline void *rotoi_alloc(const roto_allocator *allocator, size_t size) {
  size_t total;
  unsigned char *block;
  if (!rotoi_add(size, 64, &total)) return NULL;
  if (allocator && allocator->alloc) {
    block = (unsigned char *)allocator->alloc(allocator->user, total);
  } else {
    block = (unsigned char *)ROTO_MALLOC(total);
  }
  if (!block) return NULL;
  size_t shift = 64 - ((uintptr_t)block & 63);
  block[shift - 1] = (unsigned char)shift;
  return block + shift;
}

/* NULL is fine. */
static inline void rotoi_free(const roto_allocator *allocator, void *memory) {
  if (!memory) return;
  unsigned char *block = (unsigned char *)memory;
  block -= block[-1];
  if (allocator && allocator->free) {
    allocator->free(allocator->user, block);
  } else {
    ROTO_FREE(block);
  }
}

#ifdef _OPENMP
/* Each thread begins with its own share of the tasks, in order, so that it meets the rows again that it made in the step
 * before and that lie in its own cache; then it helps the others, because the cores of a workstation are seldom all free.
 * Handing tasks out one by one instead lost a quarter of the speed on two cores with separate caches. */
static inline void rotoi_parallel_openmp(size_t threads, size_t count, roto_task task, void *context) {
  enum { MOST = 64, APART = 64 / sizeof(size_t) }; /* counters on lines of their own */
  size_t next[MOST * APART];
  if (threads > MOST) threads = MOST;
  for (size_t t = 0; t < threads; ++t) next[t * APART] = t * count / threads;
#pragma omp parallel num_threads((int)threads)
  {
    const size_t me = (size_t)omp_get_thread_num();
    for (size_t turn = 0; turn < threads; ++turn) {
      const size_t owner = (me + turn) % threads, end = (owner + 1) * count / threads;
      for (;;) {
        size_t i;
#pragma omp atomic capture
        i = next[owner * APART]++;
        if (i >= end) break;
        task(context, i);
      }
    }
  }
}
#endif

/* Run task(context, i) for every i in [0, count): the caller's loop, else OpenMP, else a plain loop. */
static inline void rotoi_parallel(const roto_parallel *parallel, size_t count, roto_task task, void *context) {
  int threads = parallel ? parallel->threads : 0;
  if (count > 1 && threads != 1) {
    if (parallel && parallel->run) {
      parallel->run(parallel->user, count, task, context);
      return;
    }
#ifdef _OPENMP
    if (threads <= 0) threads = omp_get_max_threads();
    if (threads > 1) {
      rotoi_parallel_openmp((size_t)threads < count ? (size_t)threads : count, count, task, context);
      return;
    }
#endif
  }
  for (size_t i = 0; i < count; ++i) task(context, i);
}

#endif

/* >>cpu.c */

/* Which instruction sets may be used here.  Two parties must agree: the processor (cpuid) and the operating system, which has
 * to save the wider registers at every task switch (xgetbv).  A processor flag alone is not enough: under some kernels and
 * emulators the flag is set and the first wide instruction faults. */

#ifndef ROTOI_CPU
#define ROTOI_CPU

#ifdef ROTOI_X86
#include <cpuid.h>

ROTO_API roto_isa roto_best_isa(void) {
  const uint32_t osxsave_avx_fma = 1u << 27 | 1u << 28 | 1u << 12;              /* leaf 1, ecx */
  const uint32_t avx2 = 1u << 5;                                                /* leaf 7, ebx */
  const uint32_t avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* leaf 7, ebx */
  const uint32_t ymm_state = 0x06, zmm_state = 0xe6;                            /* XCR0 */
  uint32_t eax, ebx, ecx, edx, xcr0, xcr0_high;
  if (__get_cpuid_max(0, NULL) < 7) return ROTO_ISA_SCALAR;
  __cpuid(1, eax, ebx, ecx, edx);
  if ((ecx & osxsave_avx_fma) != osxsave_avx_fma) return ROTO_ISA_SCALAR;
  __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  if (!(ebx & avx2) || (xcr0 & ymm_state) != ymm_state) return ROTO_ISA_SCALAR;
#ifdef ROTOI_X86_AVX512
  if ((ebx & avx512_f_dq_bw_vl) == avx512_f_dq_bw_vl && (xcr0 & zmm_state) == zmm_state) return ROTO_ISA_AVX512;
#else
  (void)avx512_f_dq_bw_vl, (void)zmm_state;
#endif
  return ROTO_ISA_AVX2;
}

#else

ROTO_API roto_isa roto_best_isa(void) {
  return ROTO_ISA_SCALAR;
}

#endif

/* Dot products beyond AVX-512: bfloat16 (leaf 7.1, eax) and bytes (leaf 7, ecx). */
ROTO_API int roto_has_precision(roto_precision precision) {
  if (precision == ROTO_PRECISION_FP32) return 1;
#ifdef ROTOI_X86_LOW
  uint32_t eax, ebx, ecx, edx;
  if (roto_best_isa() < ROTO_ISA_AVX512) return 0;
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  if (precision == ROTO_PRECISION_INT8) return (int)(ecx >> 11 & 1);
  if (eax < 1 || precision != ROTO_PRECISION_BF16) return 0;
  __cpuid_count(7, 1, eax, ebx, ecx, edx);
  return (int)(eax >> 5 & 1);
#else
  return 0;
#endif
}

/* Lookup of bytes in two registers, AVX512-VBMI: not on all machines with dot products of bytes. */
static int rotoi_has_byte_tables(void) {
#ifdef ROTOI_X86_LOW
  uint32_t eax, ebx, ecx, edx;
  if (roto_best_isa() < ROTO_ISA_AVX512) return 0;
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  return (int)(ecx >> 1 & 1);
#else
  return 0;
#endif
}

ROTO_API const char *roto_precision_name(roto_precision precision) {
  switch (precision) {
    case ROTO_PRECISION_FP32:
      return "fp32";
    case ROTO_PRECISION_BF16:
      return "bf16";
    case ROTO_PRECISION_INT8:
      return "int8";
    default:
      return "unknown";
  }
}

ROTO_API const char *roto_isa_name(roto_isa isa) {
  switch (isa) {
    case ROTO_ISA_AUTO:
      return "auto";
    case ROTO_ISA_SCALAR:
      return "scalar";
    case ROTO_ISA_AVX2:
      return "avx2";
    case ROTO_ISA_AVX512:
      return "avx512";
    default:
      return "unknown";
  }
}

#endif

/* >>kernels.c */

/* The kernel table: what each slot must do, written once.  kernels_scalar.c is the meaning of every slot in plain C;
 * kernels_avx2.c and kernels_avx512.c override all of them.
 *
 * Layout: values are NHWC float32 with the channel stride `cs` = channels rounded up to 16 (rotoi_stride), so that every
 * pixel starts on a 64-byte line and kernels never need a masked tail.  Lanes past the last channel are padding: they hold
 * anything, including NaN, and never reach a real lane, because no kernel mixes channels except gemm, whose k counts real
 * channels only.  One exception: a value of at most 4 channels (the picture) has cs = 4 and feeds convolutions only.
 *
 * No slot allocates; none keeps state; all may run on several threads on disjoint outputs.  Inputs and outputs may alias
 * only where it is said. */

#ifndef ROTOI_KERNELS
#define ROTOI_KERNELS

enum {
  ROTOI_LANES = 16,           /* floats a vector block: one AVX-512 register, two AVX2 registers */
  ROTOI_LINE = 64,            /* bytes: what values and packed weights are aligned to */
  ROTOI_DEPTHWISE_CHUNK = 128 /* channels of a depthwise tile from convolution to activation, so that it stays in L1 */
};

#define ROTOI_OUTSIDE ((size_t)-1) /* of the picture */

/* What the elements of a value are: float32; bfloat16, the upper half of a float32; a byte q that stands for scale * (q - zero). */
typedef enum rotoi_type { ROTOI_F32, ROTOI_BF16, ROTOI_U8 } rotoi_type;

static inline size_t rotoi_type_size(rotoi_type type) {
  return type == ROTOI_F32 ? sizeof(float) : type == ROTOI_BF16 ? 2 : 1;
}

/* How a value is stored.  scale, inverse = 1 / scale and zero are for bytes; zero is a whole number in 0..255, so that 0 is exact. */
typedef struct rotoi_code {
  rotoi_type type;
  float scale, inverse, zero;
} rotoi_code;

static inline size_t rotoi_stride(size_t channels) {
  return channels <= 4 ? 4 : (channels + ROTOI_LANES - 1) / ROTOI_LANES * ROTOI_LANES;
}

/* A tile of a matrix product with gathered rows: the one compute kernel behind 1x1, kxk and dense layers, forward and
 * backward.  For i < m, j < 16*nv:
 *     c[i][j] = act( bias[j] + sum over t < taps, l < k of a[t*m + i][l] * b[(t*k + l)*16*nv + j] + add[i][j] )
 * a: row pointers, tap-major; padding pixels point to zeros; rows need no alignment.  b: one packed panel (rotoi_pack_panels),
 * 64-byte aligned.  bias (16*nv floats) and add may be NULL; add may be c itself (accumulation).  Sums start at the
 * bias and run over t, then l, in order, one accumulator each, so the result does not depend on the tile. */
typedef struct rotoi_gemm {
  size_t m, nv;   /* 1 <= m <= mr, 1 <= nv <= nr / 16 */
  size_t taps, k; /* >= 1 */
  const float *const *a;
  const float *b, *bias, *add;
  float *c;
  size_t c_stride, add_stride; /* floats from row to row */
  int act;
} rotoi_gemm;

/* Depthwise convolution of one image, channels [c0, c1) (multiples of 16) and output rows [y0, y1):
 *     out[y][x][c] = act( bias[c] + sum over ky, kx of in[y*stride - pad_top + ky][x*stride - pad_left + kx][c] * w[ky][kx][c] )
 * w is [kh][kw][cs], bias [cs] or NULL (16-aligned, padded).  Input outside the picture counts as zero.  If sums is not NULL,
 * sums[c] += the results of this call, rows in order (squeeze-excite's mean without a second pass).  k 3 and 5 with stride 1
 * and 2 are the fast cases, all others must work. */
typedef struct rotoi_depthwise {
  const float *in, *w, *bias;
  float *out, *sums;
  size_t h, w_in, oh, ow, cs, kh, kw, stride, pad_top, pad_left;
  size_t c0, c1, y0, y1;
  int act;
} rotoi_depthwise;

/* Max or mean over windows of one image, output rows [y0, y1), all cs channels; window pixels outside do not count. */
typedef struct rotoi_pool {
  const float *in;
  float *out;
  size_t h, w_in, oh, ow, cs, kh, kw, stride, pad_top, pad_left, y0, y1;
  int max; /* 1: maximum, 0: mean */
} rotoi_pool;

typedef struct rotoi_kernels {
  roto_isa isa;
  size_t mr, nr; /* largest gemm tile: rows, columns (multiple of 16) */
  void (*gemm)(const rotoi_gemm *g);
  void (*depthwise)(const rotoi_depthwise *d);
  void (*pool)(const rotoi_pool *p);
  /* sums[j] += sum over l < k of x[l] * w[l * stride + j], l in order, for n columns and those up to a multiple of 16, which must be
   * readable.  It reads each weight once, and so the matrix as it lies; w may be of any alignment */
  void (*dense)(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums);
  /* out[c] = scale * sum over pixels of in[p][c], pixels in order; cs floats */
  void (*channel_sum)(const float *in, size_t pixels, size_t cs, float scale, float *out);
  /* out = act(a + b), n floats (multiple of 4); b NULL: the activation alone; out may be a or b */
  void (*add)(const float *a, const float *b, size_t n, int act, float *out);
  /* out[p][c] = act(a[p][c] * s[c]); out may be a */
  void (*scale)(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out);
} rotoi_kernels;

/* ---- low precision: slots beside those of a table, for values of bfloat16 or bytes (kernels_low.c).
 *
 * Sums of bfloat16 products are float32, of bytes int32 and exact.  Everything between a sum and the stored result happens in
 * float32: the residual, the activation, the pooled sums.  Lanes past the last channel hold anything finite: unlike in float32
 * values a product may read up to three of them, against weights of zero. */

/* How a swish falls short of a ramp, which is the same on both sides of zero: act(x) = max(x, 0) - fall(|x|).  In steps of the
 * stored bytes: fall[i] is 2^bits times what is missing where 2^bits |x| >> step is i.  0 <= bits <= 6, 0 <= step <= 7. */
typedef struct rotoi_fall {
  unsigned char fall[256];
  int32_t bits, step;
} rotoi_fall;

/* As rotoi_gemm, with k counted in words of 32 bits: pairs of bfloat16, or four bytes (a of 0..255, b of -127..127):
 *     c[i][j] = act( sum * factor[j] + bias[j] + add[i][j] )
 * b: panels of rotoi_pack_words.  factor is for bytes alone; bias may be NULL for bfloat16; add may be NULL, or c itself if both are
 * stored alike.  a, add and c may be of any alignment. */
typedef struct rotoi_low_gemm {
  size_t m, nv, taps, k;
  const unsigned char *const *a;
  const void *b;
  const float *factor, *bias;
  const void *add;
  void *c;
  rotoi_code add_code, c_code;
  size_t add_stride, c_stride; /* elements from row to row */
  int act;
  const rotoi_fall *curve; /* of act and c_code where both are known to the planner, or NULL: bytes alone, and slower without */
} rotoi_low_gemm;

/* As rotoi_depthwise, whose `in` and `out` are not used, on stored values.  Either weights and bias are float32, and a byte counts
 * as q - zero: its scale belongs to the weights.  Or, for kernels 3x3 and 5x5 of stride 1 and 2 (rotoi_has_words), `words` stands
 * for shape.w: a column of the kernel in words of bfloat16 or bytes (rotoi_pack_columns).  Then bytes count as they are, and
 * factor and bias belong to their sums as in rotoi_low_gemm; factor is NULL for bfloat16. */
typedef struct rotoi_low_depthwise {
  rotoi_depthwise shape;
  const void *in;
  void *out;
  rotoi_code in_code, out_code;
  const void *words, *outside; /* outside: a row of w_in * cs elements that stand for zero */
  const float *factor;
  const rotoi_fall *curve; /* as in rotoi_low_gemm */
} rotoi_low_depthwise;

static inline int rotoi_has_words(size_t kh, size_t kw, size_t stride) {
  return kh == kw && (kw == 3 || kw == 5) && (stride == 1 || stride == 2);
}

typedef struct rotoi_low_pool {
  rotoi_pool shape;
  const void *in;
  void *out;
  rotoi_code in_code, out_code;
} rotoi_low_pool;

typedef struct rotoi_low_kernels {
  rotoi_type type;
  size_t mr, nr;
  void (*gemm)(const rotoi_low_gemm *g);
  void (*depthwise)(const rotoi_low_depthwise *d);
  void (*pool)(const rotoi_low_pool *p);
  /* As in rotoi_kernels; a, b and out of any type.  add with b NULL and no activation changes how a value is stored. */
  void (*channel_sum)(const void *in, rotoi_code code, size_t pixels, size_t cs, float scale, void *out, rotoi_code out_code);
  void (*add)(const void *a, rotoi_code a_code, const void *b, rotoi_code b_code, size_t n, int act, void *out,
              rotoi_code out_code); /* n: a multiple of 16 */
  void (*scale)(const void *a, rotoi_code a_code, const float *s, size_t pixels, size_t cs, int act, void *out,
                rotoi_code out_code);
  /* Packing: words of `count` rows of float32 weights, `step` bytes apart and of any alignment, times scale[j] (NULL: 1), for n
   * columns and zeros up to a multiple of 16; for bytes, sums[j] += those of the column (kernels_low.c rounds as pack.c does). */
  void (*pack)(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale, void *out, int32_t *sums);
  /* most[j] = max(most[j], |w|) and, where not NULL, sums[j] += |w| over such rows.  NULL for bfloat16. */
  void (*sizes)(const unsigned char *row, size_t step, size_t count, size_t n, float *most, double *sums);
  /* out = the lower bfloat16 of each of n words times s0, the upper times s1; n a multiple of 16.  NULL for bytes. */
  void (*scale_words)(const void *words, float s0, float s1, size_t n, void *out);
} rotoi_low_kernels;

/* The best table of this machine that is not above `cap` (ROTO_ISA_AUTO: no cap).  Defined after the tables, in select.c. */
static const rotoi_kernels *rotoi_select_kernels(roto_isa cap);

/* The slots for BF16 or U8 that go with such a table, NULL where the machine has no instructions for them. */
static const rotoi_low_kernels *rotoi_select_low(const rotoi_kernels *kernels, rotoi_type type);

#endif

/* >>kernels_scalar.c */

/* Kernels in plain C: the meaning of every slot, and the fallback on any machine.  Written so that a compiler's own
 * vectorizer can help: fixed blocks of floats, constant trip counts, no branches inside.
 *
 * gemm    for half panels of 8 columns: acc[m][8] = 0; for t, l: acc[i][:] += a[i][l] * b[l][:]; then bias, add, act.
 *         4 x 8 accumulators are 8 SSE or NEON registers, which is what such machines can hold beside a and b.  12.7
 *         GFLOP/s with gcc 12 -O2 for x86-64 without further flags (4-wide, no fused multiply-add) on a Zen 4 core.
 * others  one pixel and 16 channels at a time.
 *
 * exp is our own polynomial: the same formula in every table, so that tables agree to a few units in the last place, and no
 * dependence on the C library. */

#ifndef ROTOI_KERNELS_SCALAR
#define ROTOI_KERNELS_SCALAR

/* exp(-x) = 2^n * exp(-r), n = round(-8 x / ln 2) / 8, r = x + n ln 2, |r| <= ln 2 / 16.  ROTOI_ROUND added to a float leaves
 * eight times the nearest eighth in its low bits: the last three choose 2^0 to 2^(7/8) from rotoi_exp_eighths, whose entries
 * have j << 20 taken off in advance, so that adding the bits << 20 adds the whole part of n to the exponent and nothing else.
 * exp(-r) = 1 - r + r^2 * (E2 - E3 r), fitted by us for least relative error, 2.6e-8; without the table it takes two more
 * terms.  x is clamped so that 2^n stays a normal float; NaN passes every clamp of this file, because a comparison with NaN is
 * false.  Without fused multiply-add ln 2 is split so that n * ROTOI_LN2_HIGH is exact; with it one step is good to 3e-8 for
 * |x| < 22 and 2e-7 at 88.  The relative error of a sigmoid or swish is at most that, 2.6e-8 and four roundings of 6e-8. */
#define ROTOI_SIGMOID_MIN -88.0f
#define ROTOI_SIGMOID_MAX 87.0f
#define ROTOI_LOG2E 1.44269502f
#define ROTOI_ROUND 1572864.0f /* 1.5 * 2^20 */
#define ROTOI_LN2 0.693147182f
#define ROTOI_LN2_HIGH 0.69140625f
#define ROTOI_LN2_LOW 0.0017409306f
#define ROTOI_E2 0.500064492f
#define ROTOI_E3 0.166668773f
static const uint32_t rotoi_exp_eighths[8] = {0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                              0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7};

rotoi_inline float rotoi_at_least(float x, float low) {
  return low > x ? low : x;
}
rotoi_inline float rotoi_at_most(float x, float high) {
  return high < x ? high : x;
}

/* 1 + exp(-x); `low` is x, already clamped from below. */
rotoi_inline float rotoi_exp_and_one_scalar(float low) {
  float t = rotoi_at_most(low, ROTOI_SIGMOID_MAX);
  float rounded = ROTOI_ROUND - t * ROTOI_LOG2E;
  uint32_t bits;
  memcpy(&bits, &rounded, sizeof bits);
  float n = rounded - ROTOI_ROUND;
  float r = (t + n * ROTOI_LN2_HIGH) + n * ROTOI_LN2_LOW;
  float p = -ROTOI_E3;
  p = p * r + ROTOI_E2;
  p = p * r - 1;
  p = p * r + 1;
  bits = (bits << 20) + rotoi_exp_eighths[bits & 7];
  float power;
  memcpy(&power, &bits, sizeof power);
  return 1 + p * power;
}

/* The swishes clamp x from below where the result is zero anyway, so that -infinity gives (nearly) zero, not NaN. */
rotoi_inline float rotoi_act_scalar(float x, int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return rotoi_at_least(x, 0);
    case ROTO_ACT_RELU6:
      return rotoi_at_most(rotoi_at_least(x, 0), 6);
    case ROTO_ACT_SIGMOID:
      return 1 / rotoi_exp_and_one_scalar(rotoi_at_least(x, ROTOI_SIGMOID_MIN));
    case ROTO_ACT_SWISH:
      x = rotoi_at_least(x, ROTOI_SIGMOID_MIN);
      return x / rotoi_exp_and_one_scalar(x);
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_at_most(rotoi_at_least(x * (1.0f / 6) + 0.5f, 0), 1);
    case ROTO_ACT_HARD_SWISH:
      return rotoi_at_least(x, -3) * rotoi_at_most(rotoi_at_least(x * (1.0f / 6) + 0.5f, 0), 1);
    default:
      return x;
  }
}

/* The same, once in the program: for where an activation is a small part of the work. */
rotoi_noinline float rotoi_act_rare(float x, int act) {
  return rotoi_act_scalar(x, act);
}

/* CALL(act) with a constant for every activation, so that a loop holds one formula and keeps its constants in registers. */
#define ROTOI_ACT_SWITCH(act, CALL) \
  switch (act) {                    \
    case ROTO_ACT_RELU:             \
      CALL(ROTO_ACT_RELU);          \
      break;                        \
    case ROTO_ACT_RELU6:            \
      CALL(ROTO_ACT_RELU6);         \
      break;                        \
    case ROTO_ACT_SIGMOID:          \
      CALL(ROTO_ACT_SIGMOID);       \
      break;                        \
    case ROTO_ACT_SWISH:            \
      CALL(ROTO_ACT_SWISH);         \
      break;                        \
    case ROTO_ACT_HARD_SIGMOID:     \
      CALL(ROTO_ACT_HARD_SIGMOID);  \
      break;                        \
    case ROTO_ACT_HARD_SWISH:       \
      CALL(ROTO_ACT_HARD_SWISH);    \
      break;                        \
    default:                        \
      CALL(ROTO_ACT_NONE);          \
  }

static inline int rotoi_has_curve(int act) {
  return act == ROTO_ACT_SWISH || act == ROTO_ACT_HARD_SWISH;
}

/* The curve (kernels.c) of a swish whose result is stored as `code` says.  As many bits as the deepest fall between results that
 * fit a byte leaves room for; steps as wide as need be for the last entry to be below a quarter of a byte's step, or to lie where
 * either sign has left the bytes. */
static inline void rotoi_make_curve(int act, rotoi_code code, rotoi_fall *curve) {
  float deepest = 0, unit;
  for (float x = 0; x < 1.6f; x += 1.0f / 64) { /* swish is lowest at -1.28, hard swish at -1.5 */
    const float fall = -rotoi_act_rare(-x, act) * code.inverse;
    if (fall > deepest) deepest = fall;
    if (fall >= code.zero && x * code.inverse - fall >= 255 - code.zero) break;
  }
  curve->bits = 6, curve->step = 0;
  while (curve->bits > 0 && deepest * (float)(1 << curve->bits) > 255) --curve->bits;
  unit = (float)(1 << curve->bits) * code.inverse;
  for (; curve->step < 7; ++curve->step) {
    const float x = (float)(255 << curve->step) / unit, fall = -rotoi_act_rare(-x, act) * code.inverse;
    if (fall < 0.25f || (fall >= code.zero && x * code.inverse - fall >= 255 - code.zero)) break;
  }
  for (int i = 0; i < 256; ++i) {
    const float x = ((float)(i << curve->step) + 0.5f * (float)((1 << curve->step) - 1)) / unit;
    const float fall = 0.5f - rotoi_act_rare(-x, act) * unit;
    curve->fall[i] = (unsigned char)(fall < 255 ? fall : 255);
  }
}

rotoi_inline void rotoi_gemm_rows_scalar(const rotoi_gemm *g, const size_t m) {
  for (size_t j0 = 0; j0 < ROTOI_LANES; j0 += 8) {
    float acc[4][8];
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < 8; ++j) acc[i][j] = g->bias ? g->bias[j0 + j] : 0;
    }
    const float *b = g->b + j0;
    const float *const *a = g->a;
    for (size_t t = 0; t < g->taps; ++t, a += m) {
      for (size_t l = 0; l < g->k; ++l, b += ROTOI_LANES) {
        for (size_t i = 0; i < m; ++i) {
          float x = a[i][l];
          for (size_t j = 0; j < 8; ++j) acc[i][j] += x * b[j];
        }
      }
    }
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < 8; ++j) {
        float x = acc[i][j];
        if (g->add) x += g->add[i * g->add_stride + j0 + j];
        g->c[i * g->c_stride + j0 + j] = rotoi_act_rare(x, g->act);
      }
    }
  }
}

static void rotoi_gemm_4x16_scalar(const rotoi_gemm *g) {
  ROTO_ASSERT(g->nv == 1);
  switch (g->m) {
    case 1:
      rotoi_gemm_rows_scalar(g, 1);
      break;
    case 2:
      rotoi_gemm_rows_scalar(g, 2);
      break;
    case 3:
      rotoi_gemm_rows_scalar(g, 3);
      break;
    case 4:
      rotoi_gemm_rows_scalar(g, 4);
      break;
    default:
      ROTO_ASSERT(0);
  }
}

/* Which rows (or columns) [first, end) of the window of output `position` lie inside a picture of `limit` rows. */
rotoi_inline void rotoi_clip_window(size_t position, size_t stride, size_t pad, size_t size, size_t limit, size_t *first,
                                    size_t *end) {
  size_t start = position * stride; /* of the window, `pad` to the right */
  *first = start < pad ? pad - start : 0;
  *end = limit + pad > start ? limit + pad - start : 0;
  if (*end > size) *end = size;
  if (*first > *end) *first = *end;
}

static void rotoi_depthwise_scalar(const rotoi_depthwise *d) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      for (size_t c = d->c0; c < d->c1; c += ROTOI_LANES) {
        float acc[ROTOI_LANES];
        for (size_t j = 0; j < ROTOI_LANES; ++j) acc[j] = d->bias ? d->bias[c + j] : 0;
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            size_t iy = y * d->stride + ky - d->pad_top, ix = x * d->stride + kx - d->pad_left;
            const float *in = d->in + (iy * d->w_in + ix) * d->cs + c;
            const float *w = d->w + (ky * d->kw + kx) * d->cs + c;
            for (size_t j = 0; j < ROTOI_LANES; ++j) acc[j] += in[j] * w[j];
          }
        }
        float *out = d->out + (y * d->ow + x) * d->cs + c;
        for (size_t j = 0; j < ROTOI_LANES; ++j) {
          out[j] = rotoi_act_rare(acc[j], d->act);
          if (d->sums) d->sums[c + j] += out[j];
        }
      }
    }
  }
}

/* A window without a single pixel inside gives 0. */
static void rotoi_pool_scalar(const rotoi_pool *p) {
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      float share = p->max || !count ? 1 : 1.0f / (float)count;
      for (size_t c = 0; c < p->cs; ++c) {
        float acc = p->max && count ? -ROTOI_INFINITY : 0;
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            size_t iy = y * p->stride + ky - p->pad_top, ix = x * p->stride + kx - p->pad_left;
            float v = p->in[(iy * p->w_in + ix) * p->cs + c];
            acc = p->max ? rotoi_at_least(v, acc) : acc + v;
          }
        }
        p->out[(y * p->ow + x) * p->cs + c] = acc * share;
      }
    }
  }
}

static void rotoi_dense_scalar(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  for (size_t l = 0; l < k; ++l, w += stride) {
    for (size_t j = 0; j < n; ++j) sums[j] += x[l] * w[j];
  }
}

static void rotoi_channel_sum_scalar(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  for (size_t c = 0; c < cs; ++c) out[c] = 0;
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; ++c) out[c] += in[p * cs + c];
  }
  for (size_t c = 0; c < cs; ++c) out[c] *= scale;
}

static void rotoi_add_scalar(const float *a, const float *b, size_t n, int act, float *out) {
  for (size_t i = 0; i < n; ++i) out[i] = rotoi_act_scalar(b ? a[i] + b[i] : a[i], act);
}

static void rotoi_scale_scalar(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; ++c) out[p * cs + c] = rotoi_act_scalar(a[p * cs + c] * s[c], act);
  }
}

static const rotoi_kernels rotoi_kernels_scalar = {ROTO_ISA_SCALAR,
                                                   4,
                                                   16,
                                                   rotoi_gemm_4x16_scalar,
                                                   rotoi_depthwise_scalar,
                                                   rotoi_pool_scalar,
                                                   rotoi_dense_scalar,
                                                   rotoi_channel_sum_scalar,
                                                   rotoi_add_scalar,
                                                   rotoi_scale_scalar};

#endif

/* >>kernels_avx2.c */

/* AVX2 kernels: AVX2 and FMA.  The same formulas in the same order as kernels_avx512.c, so both give the same bits.
 *
 * gemm       for t < taps, l < k: load b[2]; for i < 6: x = broadcast a[i][l]; acc0[i] += x * b[0]; acc1[i] += x * b[1]
 *            12 accumulators + 2 b + 1 x = 15 of 16 registers.  12 fused multiply-adds a step hide a latency of 4 at two a
 *            cycle (8 needed) and come with 8 loads, so the multipliers are the limit.
 * depthwise  for y, tile of x: for c by 8: for ky: w[kw] = load; for each input pixel: p = load; acc[i] += p * w[kx] wherever
 *            i * stride + kx is that pixel; then activation and sums over a chunk of channels, in L1
 *            8 accumulators + 5 w + 1 p = 14 of 16 registers.
 *
 * Measured on one core of a Zen 4 EPYC (two 256-bit multiply-adds a cycle at 3.7 GHz: 118 GFLOP/s, the peak of its AVX-512 too),
 * gcc 12 -O2: EfficientNet-B0 at 224x224 1.09 times the time of the AVX-512 table, 59 % of peak, B5 1.07 and 66 %.  Heights below 4
 * wait for latency: one accumulator a column, so that results do not depend on the tile. */

#ifndef ROTOI_KERNELS_AVX2
#define ROTOI_KERNELS_AVX2

#ifdef ROTOI_X86

/* 1 + exp(-x), see kernels_scalar.c; `low` is x, already clamped from below. */
rotoi_inline ROTOI_AVX2 __m256 rotoi_exp_and_one_avx2(__m256 low) {
  __m256 t = _mm256_min_ps(_mm256_set1_ps(ROTOI_SIGMOID_MAX), low);
  __m256 rounded = _mm256_fnmadd_ps(t, _mm256_set1_ps(ROTOI_LOG2E), _mm256_set1_ps(ROTOI_ROUND));
  __m256 n = _mm256_sub_ps(rounded, _mm256_set1_ps(ROTOI_ROUND));
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(ROTOI_LN2), t);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(-ROTOI_E3), r, _mm256_set1_ps(ROTOI_E2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(-1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
  const __m256i eighths = _mm256_loadu_si256((const __m256i *)(const void *)rotoi_exp_eighths);
  __m256i bits = _mm256_castps_si256(rounded);
  __m256i power = _mm256_permutevar8x32_epi32(eighths, bits); /* by the lowest three bits */
  power = _mm256_add_epi32(power, _mm256_slli_epi32(bits, 20));
  return _mm256_fmadd_ps(p, _mm256_castsi256_ps(power), _mm256_set1_ps(1));
}

rotoi_inline ROTOI_AVX2 __m256 rotoi_hard_sigmoid_avx2(__m256 x) {
  x = _mm256_fmadd_ps(x, _mm256_set1_ps(1.0f / 6), _mm256_set1_ps(0.5f));
  return _mm256_min_ps(_mm256_set1_ps(1), _mm256_max_ps(_mm256_setzero_ps(), x));
}

rotoi_inline ROTOI_AVX2 __m256 rotoi_act_avx2(__m256 x, const int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return _mm256_max_ps(_mm256_setzero_ps(), x);
    case ROTO_ACT_RELU6:
      return _mm256_min_ps(_mm256_set1_ps(6), _mm256_max_ps(_mm256_setzero_ps(), x));
    case ROTO_ACT_SIGMOID:
      return _mm256_div_ps(_mm256_set1_ps(1), rotoi_exp_and_one_avx2(_mm256_max_ps(_mm256_set1_ps(ROTOI_SIGMOID_MIN), x)));
    case ROTO_ACT_SWISH:
      x = _mm256_max_ps(_mm256_set1_ps(ROTOI_SIGMOID_MIN), x);
      return _mm256_div_ps(x, rotoi_exp_and_one_avx2(x));
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_hard_sigmoid_avx2(x);
    case ROTO_ACT_HARD_SWISH:
      return _mm256_mul_ps(_mm256_max_ps(_mm256_set1_ps(-3), x), rotoi_hard_sigmoid_avx2(x));
    default:
      return x;
  }
}

/* c = act(c) on rows of 8 * vectors floats just written, which are in L1; sums, if not NULL, += each column, rows in order.
 * The activations of many instructions run as this second pass: inlined behind 12 accumulators they would be as many copies in
 * every tile size. */
rotoi_inline ROTOI_AVX2 void rotoi_finish_rows_avx2(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                    const int act) {
  for (size_t v = 0; v < vectors; ++v, c += 8) {
    __m256 sum = sums ? _mm256_loadu_ps(sums + 8 * v) : _mm256_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      __m256 x = rotoi_act_avx2(_mm256_loadu_ps(c + i * stride), act);
      _mm256_storeu_ps(c + i * stride, x);
      sum = _mm256_add_ps(sum, x);
    }
    if (sums) _mm256_storeu_ps(sums + 8 * v, sum);
  }
}

rotoi_noinline ROTOI_AVX2 void rotoi_finish_avx2(float *c, size_t stride, size_t rows, size_t vectors, float *sums, int act){
#define ROTOI_CALL(constant) rotoi_finish_rows_avx2(c, stride, rows, vectors, sums, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

/* Activations cheap enough for registers are a clamp: NONE, RELU, RELU6.  The bounds; 0 if `act` needs rotoi_finish. */
rotoi_inline ROTOI_AVX2 int rotoi_clamp_avx2(int act, __m256 *low, __m256 *high) {
  const int relu = act == ROTO_ACT_RELU || act == ROTO_ACT_RELU6;
  *low = _mm256_set1_ps(relu ? 0 : -ROTOI_INFINITY);
  *high = _mm256_set1_ps(act == ROTO_ACT_RELU6 ? 6 : ROTOI_INFINITY);
  return relu || act == ROTO_ACT_NONE;
}

rotoi_inline ROTOI_AVX2 void rotoi_gemm_tile_avx2(const rotoi_gemm *g, const size_t m) {
  const __m256 bias0 = g->bias ? _mm256_loadu_ps(g->bias) : _mm256_setzero_ps();
  const __m256 bias1 = g->bias ? _mm256_loadu_ps(g->bias + 8) : _mm256_setzero_ps();
  __m256 acc0[6], acc1[6]; /* not acc[6][2], nor a loop that changes acc after this one: clang 14 leaves it in memory */
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const float *b = g->b;
  const float *const *a = g->a;
  const size_t k = g->k;
  for (size_t t = g->taps; t != 0; --t, a += m) {
    for (size_t l = 0; l < k; ++l, b += 16) {
      __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        __m256 x = _mm256_set1_ps(a[i][l]);
        acc0[i] = _mm256_fmadd_ps(x, b0, acc0[i]);
        acc1[i] = _mm256_fmadd_ps(x, b1, acc1[i]);
      }
    }
  }
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(g->act, &low, &high);
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    __m256 x0 = acc0[i], x1 = acc1[i];
    float *c = g->c + i * g->c_stride;
    if (g->add) {
      const float *add = g->add + i * g->add_stride;
      x0 = _mm256_add_ps(x0, _mm256_loadu_ps(add));
      x1 = _mm256_add_ps(x1, _mm256_loadu_ps(add + 8));
    }
    _mm256_storeu_ps(c, _mm256_min_ps(high, _mm256_max_ps(low, x0)));
    _mm256_storeu_ps(c + 8, _mm256_min_ps(high, _mm256_max_ps(low, x1)));
  }
  if (!clamp) rotoi_finish_avx2(g->c, g->c_stride, m, 2, NULL, g->act);
}

static ROTOI_AVX2 void rotoi_gemm_6x16_avx2(const rotoi_gemm *g) {
  ROTO_ASSERT(g->nv == 1);
  switch (g->m) {
    case 1:
      rotoi_gemm_tile_avx2(g, 1);
      break;
    case 2:
      rotoi_gemm_tile_avx2(g, 2);
      break;
    case 3:
      rotoi_gemm_tile_avx2(g, 3);
      break;
    case 4:
      rotoi_gemm_tile_avx2(g, 4);
      break;
    case 5:
      rotoi_gemm_tile_avx2(g, 5);
      break;
    case 6:
      rotoi_gemm_tile_avx2(g, 6);
      break;
    default:
      ROTO_ASSERT(0);
  }
}

/* Outputs x .. x + tile of row y, as many as there are.  Each pixel of the input is loaded once a row of the kernel and meets
 * all its taps; pixels outside the picture are left out. */
rotoi_inline ROTOI_AVX2 void rotoi_depthwise_tile_avx2(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile,
                                                       const size_t kw, const size_t stride) {
  const size_t cs = d->cs, w_in = d->w_in, n = d->ow - x < tile ? d->ow - x : tile, span = (tile - 1) * stride + kw;
  size_t ky0, ky1, column[20]; /* of input column j: its place in a row, or ROTOI_OUTSIDE */
  rotoi_clip_window(y, stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
  for (size_t j = 0; j < span; ++j) {
    const size_t x_in = x * stride + j - d->pad_left; /* wraps below zero */
    column[j] = x_in < w_in ? x_in * cs : ROTOI_OUTSIDE;
  }
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(d->act, &low, &high);
  float *const result = d->out + (y * d->ow + x) * cs;
  for (size_t c0 = d->c0, c1; c0 < d->c1; c0 = c1) {
    c1 = d->c1 - c0 < ROTOI_DEPTHWISE_CHUNK ? d->c1 : c0 + ROTOI_DEPTHWISE_CHUNK;
    for (size_t c = c0; c < c1; c += 8) {
      const __m256 bias = d->bias ? _mm256_loadu_ps(d->bias + c) : _mm256_setzero_ps();
      __m256 acc[8];
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) acc[i] = bias;
      const float *row = d->in + (y * stride + ky0 - d->pad_top) * w_in * cs + c, *w = d->w + ky0 * kw * cs + c;
      for (size_t ky = ky0; ky < ky1; ++ky, row += w_in * cs, w += kw * cs) {
        __m256 weight[5];
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm256_loadu_ps(w + kx * cs);
        ROTOI_UNROLL
        for (size_t j = 0; j < span; ++j) {
          if (column[j] == ROTOI_OUTSIDE) continue;
          const __m256 pixel = _mm256_loadu_ps(row + column[j]);
          ROTOI_UNROLL
          for (size_t kx = 0; kx < kw; ++kx) {
            const size_t i = (j - kx) / stride;
            if (j >= kx && i * stride == j - kx && i < tile) acc[i] = _mm256_fmadd_ps(pixel, weight[kx], acc[i]);
          }
        }
      }
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) {
        if (i < n) _mm256_storeu_ps(result + i * cs + c, _mm256_min_ps(high, _mm256_max_ps(low, acc[i])));
      }
    }
    if (clamp && !d->sums) continue;
    rotoi_finish_avx2(result + c0, cs, n, (c1 - c0) / 8, d->sums ? d->sums + c0 : NULL, clamp ? ROTO_ACT_NONE : d->act);
  }
}

/* Tiles of 7 where they fit: 224 is divided by 2 down to 7. */
rotoi_inline ROTOI_AVX2 void rotoi_depthwise_rows_avx2(const rotoi_depthwise *d, const size_t kw, const size_t stride) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    if (d->ow % 7 == 0) {
      for (size_t x = 0; x < d->ow; x += 7) rotoi_depthwise_tile_avx2(d, y, x, 7, kw, stride);
    } else {
      for (size_t x = 0; x < d->ow; x += 8) rotoi_depthwise_tile_avx2(d, y, x, 8, kw, stride);
    }
  }
}

/* Any kernel, pixel by pixel. */
static ROTOI_AVX2 void rotoi_depthwise_any_avx2(const rotoi_depthwise *d) {
  const size_t cs = d->cs;
  __m256 low, high;
  const int clamp = rotoi_clamp_avx2(d->act, &low, &high);
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      const size_t first = ((y * d->stride + ky0 - d->pad_top) * d->w_in + x * d->stride + kx0 - d->pad_left) * cs;
      float *const result = d->out + (y * d->ow + x) * cs;
      for (size_t c = d->c0; c < d->c1; c += 8) {
        __m256 acc = d->bias ? _mm256_loadu_ps(d->bias + c) : _mm256_setzero_ps();
        for (size_t ky = ky0, in = first + c; ky < ky1; ++ky, in += d->w_in * cs) {
          const float *w = d->w + ky * d->kw * cs + c;
          for (size_t kx = kx0; kx < kx1; ++kx) {
            acc = _mm256_fmadd_ps(_mm256_loadu_ps(d->in + (in + (kx - kx0) * cs)), _mm256_loadu_ps(w + kx * cs), acc);
          }
        }
        _mm256_storeu_ps(result + c, _mm256_min_ps(high, _mm256_max_ps(low, acc)));
      }
      if (clamp && !d->sums) continue;
      rotoi_finish_avx2(result + d->c0, cs, 1, (d->c1 - d->c0) / 8, d->sums ? d->sums + d->c0 : NULL,
                        clamp ? ROTO_ACT_NONE : d->act);
    }
  }
}

static ROTOI_AVX2 void rotoi_depthwise_avx2(const rotoi_depthwise *d) {
  if (d->kw == 3 && d->stride == 1) {
    rotoi_depthwise_rows_avx2(d, 3, 1);
  } else if (d->kw == 3 && d->stride == 2) {
    rotoi_depthwise_rows_avx2(d, 3, 2);
  } else if (d->kw == 5 && d->stride == 1) {
    rotoi_depthwise_rows_avx2(d, 5, 1);
  } else if (d->kw == 5 && d->stride == 2) {
    rotoi_depthwise_rows_avx2(d, 5, 2);
  } else {
    rotoi_depthwise_any_avx2(d);
  }
}

static ROTOI_AVX2 void rotoi_pool_avx2(const rotoi_pool *p) {
  const size_t cs = p->cs, row = p->w_in * cs;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m256 share = _mm256_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      const __m256 start = _mm256_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
      const size_t first = ((y * p->stride + ky0 - p->pad_top) * p->w_in + x * p->stride + kx0 - p->pad_left) * cs;
      for (size_t c = 0; c < cs; c += 8) {
        __m256 acc = start;
        size_t in = first + c;
        for (size_t ky = ky0; ky < ky1; ++ky, in += row) {
          for (size_t kx = 0; kx < kx1 - kx0; ++kx) {
            __m256 v = _mm256_loadu_ps(p->in + (in + kx * cs));
            acc = p->max ? _mm256_max_ps(acc, v) : _mm256_add_ps(acc, v);
          }
        }
        _mm256_storeu_ps(p->out + (y * p->ow + x) * cs + c, _mm256_mul_ps(acc, share));
      }
    }
  }
}

/* Eight vectors of columns at once, because one sum waits for itself; then pairs. */
rotoi_inline ROTOI_AVX2 void rotoi_dense_block_avx2(const float *x, const float *w, size_t k, size_t stride, float *sums,
                                                    const size_t nv) {
  __m256 acc[8];
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) acc[v] = _mm256_loadu_ps(sums + 8 * v);
  for (size_t l = 0; l < k; ++l, w += stride) {
    const __m256 value = _mm256_set1_ps(x[l]);
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; ++v) acc[v] = _mm256_fmadd_ps(value, _mm256_loadu_ps(w + 8 * v), acc[v]);
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) _mm256_storeu_ps(sums + 8 * v, acc[v]);
}

static ROTOI_AVX2 void rotoi_dense_avx2(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  size_t j = 0;
  for (; j + 48 < n; j += 64) rotoi_dense_block_avx2(x, w + j, k, stride, sums + j, 8);
  for (; j < n; j += 16) rotoi_dense_block_avx2(x, w + j, k, stride, sums + j, 2);
}

/* `tile` vectors of channels at once, because one sum waits for itself. */
rotoi_inline ROTOI_AVX2 void rotoi_channel_sum_tile_avx2(const float *in, size_t pixels, size_t cs, float scale, float *out,
                                                         const size_t tile) {
  __m256 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) acc[v] = _mm256_setzero_ps();
  for (size_t p = 0; p < pixels; ++p, in += cs) {
    ROTOI_UNROLL
    for (size_t v = 0; v < tile; ++v) acc[v] = _mm256_add_ps(acc[v], _mm256_loadu_ps(in + 8 * v));
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) _mm256_storeu_ps(out + 8 * v, _mm256_mul_ps(acc[v], _mm256_set1_ps(scale)));
}

static ROTOI_AVX2 void rotoi_channel_sum_avx2(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  size_t c = 0;
  for (; c + 32 <= cs; c += 32) rotoi_channel_sum_tile_avx2(in + c, pixels, cs, scale, out + c, 4);
  for (; c < cs; c += 8) rotoi_channel_sum_tile_avx2(in + c, pixels, cs, scale, out + c, 1);
}

rotoi_inline ROTOI_AVX2 void rotoi_add_act_avx2(const float *a, const float *b, size_t n, float *out, const int act) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256 x = _mm256_loadu_ps(a + i);
    if (b) x = _mm256_add_ps(x, _mm256_loadu_ps(b + i));
    _mm256_storeu_ps(out + i, rotoi_act_avx2(x, act));
  }
  if (i < n) {
    const __m256i rest = _mm256_setr_epi32(-1, -1, -1, -1, 0, 0, 0, 0); /* n is a multiple of 4 */
    __m256 x = _mm256_maskload_ps(a + i, rest);
    if (b) x = _mm256_add_ps(x, _mm256_maskload_ps(b + i, rest));
    _mm256_maskstore_ps(out + i, rest, rotoi_act_avx2(x, act));
  }
}

static ROTOI_AVX2 void rotoi_add_avx2(const float *a, const float *b, size_t n, int act, float *out){
#define ROTOI_CALL(constant) rotoi_add_act_avx2(a, b, n, out, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX2
    void rotoi_scale_act_avx2(const float *a, const float *s, size_t pixels, size_t cs, float *out, const int act) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 8) {
      _mm256_storeu_ps(out + c, rotoi_act_avx2(_mm256_mul_ps(_mm256_loadu_ps(a + c), _mm256_loadu_ps(s + c)), act));
    }
  }
}

static ROTOI_AVX2 void rotoi_scale_avx2(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
#define ROTOI_CALL(constant) rotoi_scale_act_avx2(a, s, pixels, cs, out, constant)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static const rotoi_kernels rotoi_kernels_avx2 = {ROTO_ISA_AVX2,
                                                 6,
                                                 16,
                                                 rotoi_gemm_6x16_avx2,
                                                 rotoi_depthwise_avx2,
                                                 rotoi_pool_avx2,
                                                 rotoi_dense_avx2,
                                                 rotoi_channel_sum_avx2,
                                                 rotoi_add_avx2,
                                                 rotoi_scale_avx2};

#endif
#endif

/* >>kernels_avx512.c */

/* AVX-512 kernels: F, BW, DQ and VL.
 *
 * gemm       for t < taps, l < k: load b[2]; for i < 14: x = broadcast a[i][l]; acc0[i] += x * b[0]; acc1[i] += x * b[1]
 *            28 accumulators + 2 b + 1 x = 31 of 32 registers.  28 fused multiply-adds a step hide their latency of 4 and
 *            need 16 vector loads, so the multipliers are the limit.  The 14 row pointers do not fit the general registers
 *            and are read again every step, from L1.  Of sums of at most ROTOI_SHORT products that end in a swish, 7 rows at a time:
 *            14 accumulators, so that the swish happens in registers.
 * depthwise  for y, tile of x: for c by 16: for ky: w[kw] = load; for each input pixel: p = load; acc[i] += p * w[kx] wherever
 *            i * stride + kx is that pixel; then swish and sums, still in registers
 *            8 accumulators + 5 w + 1 p.  Channels inside the tile, so that memory is read in runs of whole pixels; a row meets
 *            its next use in L2, which is the limit at 3x3: about 10 cycles a vector against 4.5 of multiplying.
 * dense      for l < k: x = broadcast; acc[v] += x * row[v] of 4 vectors; other widths 4 rows at a time, sums in L1.  Memory is the
 *            limit: a head of 62720 x 54 takes what reading 13.5 MB takes.
 * swish      6 multiply-adds, 4 steps beside them, and a division, which holds them up for 2 cycles more.
 *
 * Measured on one core of a Zen 4 EPYC (one 512-bit multiply-add a cycle at 3.7 GHz: 118 GFLOP/s), gcc 12 -O2, best of many runs:
 *   gemm 14 x 32 from L1: k 64 110 GFLOP/s (93 % of peak), k 16 101; in EfficientNet-B0 1x1 convolutions 96 on average, 108 to 112
 *   where k is 480 and more, 62 where 16 channels become 96 and the result leaves the cache.
 *   depthwise 38 GFLOP/s at 3x3, 73 at 5x5 of stride 1, swish and sums included.  A pass with swish over what is stored takes 9.6
 *   cycles a vector, a swish in registers 6.6: its multiply-adds.
 *   Heights of gemm below 3 wait for latency: one accumulator a column, so that results do not depend on the tile.
 * Tried and lost: accumulators as one array [14][2], or changed by a loop after the main one (clang 14 keeps them in memory:
 * 40 GFLOP/s); the activation inlined in every tile (twice the code under clang); reciprocal and Newton step for the division
 * (a third slower); depthwise with one load a multiply-add, or a test of the picture's edge at each (a third slower); all
 * pixels of a row loaded before the first product (no faster, clang keeps them in memory); depthwise tiles of 4 and 6; the swish of a
 * depthwise tile as a pass over chunks of 16 to 128 channels in L1 (2 % of B0).  Short sums: 4, 5 and 6 rows at a time (28.2, 27.6 and
 * 27.1 cycles a vector against 26.6 at k 16), outputs asked for ahead (no faster, in bfloat16 2 % of B0 slower).  Rows that a depthwise
 * convolution reads next asked for into L2: the largest takes 0.20 ms for 0.36, and B0 and B5 as a whole what they took (1.01, 1.00):
 * what leaves L2 has to go and come all the same. */

#ifndef ROTOI_KERNELS_AVX512
#define ROTOI_KERNELS_AVX512

#ifdef ROTOI_X86_AVX512

/* The plain _mm512_min_ps, max_ps and slli_epi32 make g++ 12 warn about an uninitialised variable inside its own header; the
 * zero-masked forms with all lanes on compile to the same instructions.  Both return b if a lane of either is NaN. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_min_avx512(__m512 a, __m512 b) {
  return _mm512_maskz_min_ps(0xffff, a, b);
}
rotoi_inline ROTOI_AVX512 __m512 rotoi_max_avx512(__m512 a, __m512 b) {
  return _mm512_maskz_max_ps(0xffff, a, b);
}

/* 1 + exp(-x), see kernels_scalar.c; `low` is x, already clamped from below. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_exp_and_one_avx512(__m512 low) {
  __m512 t = rotoi_min_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MAX), low);
  __m512 rounded = _mm512_fnmadd_ps(t, _mm512_set1_ps(ROTOI_LOG2E), _mm512_set1_ps(ROTOI_ROUND));
  __m512 n = _mm512_sub_ps(rounded, _mm512_set1_ps(ROTOI_ROUND));
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(ROTOI_LN2), t);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(-ROTOI_E3), r, _mm512_set1_ps(ROTOI_E2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(-1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
  const __m512i eighths =
      _mm512_maskz_broadcast_i64x4(0xff, _mm256_loadu_si256((const __m256i *)(const void *)rotoi_exp_eighths));
  __m512i bits = _mm512_castps_si512(rounded);
  __m512i power = _mm512_maskz_permutexvar_epi32(0xffff, bits, eighths); /* by the lowest four bits */
  power = _mm512_add_epi32(power, _mm512_maskz_slli_epi32(0xffff, bits, 20));
  return _mm512_fmadd_ps(p, _mm512_castsi512_ps(power), _mm512_set1_ps(1));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_hard_sigmoid_avx512(__m512 x) {
  x = _mm512_fmadd_ps(x, _mm512_set1_ps(1.0f / 6), _mm512_set1_ps(0.5f));
  return rotoi_min_avx512(_mm512_set1_ps(1), rotoi_max_avx512(_mm512_setzero_ps(), x));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_act_avx512(__m512 x, const int act) {
  switch (act) {
    case ROTO_ACT_RELU:
      return rotoi_max_avx512(_mm512_setzero_ps(), x);
    case ROTO_ACT_RELU6:
      return rotoi_min_avx512(_mm512_set1_ps(6), rotoi_max_avx512(_mm512_setzero_ps(), x));
    case ROTO_ACT_SIGMOID:
      return _mm512_div_ps(_mm512_set1_ps(1), rotoi_exp_and_one_avx512(rotoi_max_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MIN), x)));
    case ROTO_ACT_SWISH:
      x = rotoi_max_avx512(_mm512_set1_ps(ROTOI_SIGMOID_MIN), x);
      return _mm512_div_ps(x, rotoi_exp_and_one_avx512(x));
    case ROTO_ACT_HARD_SIGMOID:
      return rotoi_hard_sigmoid_avx512(x);
    case ROTO_ACT_HARD_SWISH:
      return _mm512_mul_ps(rotoi_max_avx512(_mm512_set1_ps(-3), x), rotoi_hard_sigmoid_avx512(x));
    default:
      return x;
  }
}

/* c = act(c) on rows of 16 * vectors floats just written, which are in L1; sums, if not NULL, += each column, rows in order.
 * The activations of many instructions run as this second pass: inlined behind 28 accumulators they would be as many copies in
 * every tile size. */
rotoi_inline ROTOI_AVX512 void rotoi_finish_rows_avx512(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                        const int act) {
  for (size_t v = 0; v < vectors; ++v, c += 16) {
    __m512 sum = sums ? _mm512_loadu_ps(sums + 16 * v) : _mm512_setzero_ps();
    for (size_t i = 0; i < rows; ++i) {
      __m512 x = rotoi_act_avx512(_mm512_loadu_ps(c + i * stride), act);
      _mm512_storeu_ps(c + i * stride, x);
      sum = _mm512_add_ps(sum, x);
    }
    if (sums) _mm512_storeu_ps(sums + 16 * v, sum);
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_avx512(float *c, size_t stride, size_t rows, size_t vectors, float *sums,
                                                     int act){
#define ROTOI_CALL(constant) rotoi_finish_rows_avx512(c, stride, rows, vectors, sums, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

/* Activations cheap enough for registers are a clamp: NONE, RELU, RELU6.  The bounds; 0 if `act` needs rotoi_finish. */
rotoi_inline ROTOI_AVX512 int rotoi_clamp_avx512(int act, __m512 *low, __m512 *high) {
  const int relu = act == ROTO_ACT_RELU || act == ROTO_ACT_RELU6;
  *low = _mm512_set1_ps(relu ? 0 : -ROTOI_INFINITY);
  *high = _mm512_set1_ps(act == ROTO_ACT_RELU6 ? 6 : ROTOI_INFINITY);
  return relu || act == ROTO_ACT_NONE;
}

/* How far ahead of their use weights are asked for, in bytes: the machine's own prefetchers stop at the end of each page. */
enum { ROTOI_AHEAD = 4096 };

/* Of `left` rows, those of the next tile: between 7 and 14 two tiles of half the height do as well, and six of them take as much
 * code as all others together. */
rotoi_inline size_t rotoi_tile_height(size_t left) {
  return left == 14 || left <= 7 ? left : (left + 1) / 2;
}

/* Rows [first, first + m). */
rotoi_inline ROTOI_AVX512 void rotoi_gemm_tile_avx512(const rotoi_gemm *g, size_t first, const size_t m, const size_t nv) {
  const __m512 zero = _mm512_setzero_ps(), bias0 = g->bias ? _mm512_loadu_ps(g->bias) : zero;
  const __m512 bias1 = g->bias && nv > 1 ? _mm512_loadu_ps(g->bias + 16) : zero;
  __m512 acc0[14], acc1[14]; /* not acc[14][2], nor a loop that changes acc after this one: clang 14 leaves it in memory */
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const float *b = g->b;
  const float *const *a = g->a + first;
  const size_t k = g->k;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
    for (size_t l = 0; l < k; ++l, b += 16 * nv) {
      __m512 b0 = _mm512_loadu_ps(b), b1 = nv > 1 ? _mm512_loadu_ps(b + 16) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        __m512 x = _mm512_set1_ps(a[i][l]);
        acc0[i] = _mm512_fmadd_ps(x, b0, acc0[i]);
        if (nv > 1) acc1[i] = _mm512_fmadd_ps(x, b1, acc1[i]);
      }
    }
  }
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(g->act, &low, &high);
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    __m512 x0 = acc0[i], x1 = acc1[i];
    float *c = g->c + (first + i) * g->c_stride;
    if (g->add) {
      const float *add = g->add + (first + i) * g->add_stride;
      x0 = _mm512_add_ps(x0, _mm512_loadu_ps(add));
      if (nv > 1) x1 = _mm512_add_ps(x1, _mm512_loadu_ps(add + 16));
    }
    _mm512_storeu_ps(c, rotoi_min_avx512(high, rotoi_max_avx512(low, x0)));
    if (nv > 1) _mm512_storeu_ps(c + 16, rotoi_min_avx512(high, rotoi_max_avx512(low, x1)));
  }
  if (!clamp) rotoi_finish_avx512(g->c + first * g->c_stride, g->c_stride, m, nv, NULL, g->act);
}

/* Ask for the rows of a result while the products run: 1 % of B0 in float32, 1.5 % in bfloat16 (bytes lost 1 %). */
rotoi_inline ROTOI_AVX512 void rotoi_ask_avx512(const void *c, size_t rows, size_t stride, size_t bytes) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t at = 0; at < bytes; at += 64) _mm_prefetch((const void *)((uintptr_t)c + i * stride + at), _MM_HINT_T0);
  }
}

/* Swish behind sums of at most ROTOI_SHORT products: on half a tile while it is in registers, with no store and load between,
 * and divisions run beside the next half's products. */
enum { ROTOI_SHORT = 128, ROTOI_SHORT_MR = 7 };

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_swish_avx512(const rotoi_gemm *given) {
  enum { M = ROTOI_SHORT_MR };
  const rotoi_gemm g = *given;
  const __m512 zero = _mm512_setzero_ps(), bias0 = g.bias ? _mm512_loadu_ps(g.bias) : zero;
  const __m512 bias1 = g.bias ? _mm512_loadu_ps(g.bias + 16) : zero;
  for (size_t first = 0; first < g.m; first += M) {
    const float *b = g.b;
    __m512 acc0[M], acc1[M];
    size_t row[M]; /* past the last the last again */
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) acc0[i] = bias0, acc1[i] = bias1, row[i] = first + i < g.m ? first + i : g.m - 1;
    for (size_t t = 0; t < g.taps; ++t) {
      const float *a[M];
      ROTOI_UNROLL
      for (size_t i = 0; i < M; ++i) a[i] = g.a[t * g.m + row[i]];
      for (size_t l = 0; l < g.k; ++l, b += 32) {
        const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
        ROTOI_UNROLL
        for (size_t i = 0; i < M; ++i) {
          const __m512 x = _mm512_set1_ps(a[i][l]);
          acc0[i] = _mm512_fmadd_ps(x, b0, acc0[i]);
          acc1[i] = _mm512_fmadd_ps(x, b1, acc1[i]);
        }
      }
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) {
      float *c = g.c + row[i] * g.c_stride;
      _mm512_storeu_ps(c, rotoi_act_avx512(acc0[i], ROTO_ACT_SWISH));
      _mm512_storeu_ps(c + 16, rotoi_act_avx512(acc1[i], ROTO_ACT_SWISH));
    }
  }
}

static ROTOI_AVX512 void rotoi_gemm_14x32_avx512(const rotoi_gemm *g) {
  if (g->act == ROTO_ACT_SWISH && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT) {
    rotoi_gemm_swish_avx512(g);
    return;
  }
  rotoi_ask_avx512(g->c, g->m, g->c_stride * sizeof(float), g->nv * 64);
#define ROTOI_TILE(m)                         \
  case m:                                     \
    if (g->nv == 1) {                         \
      rotoi_gemm_tile_avx512(g, first, m, 1); \
    } else {                                  \
      rotoi_gemm_tile_avx512(g, first, m, 2); \
    }                                         \
    break;
  for (size_t first = 0, count; first < g->m; first += count) {
    count = rotoi_tile_height(g->m - first);
    switch (count) {
      ROTOI_TILE(1)
      ROTOI_TILE(2)
      ROTOI_TILE(3)
      ROTOI_TILE(4)
      ROTOI_TILE(5)
      ROTOI_TILE(6)
      ROTOI_TILE(7)
      ROTOI_TILE(14)
      default:
        ROTO_ASSERT(0);
    }
  }
#undef ROTOI_TILE
}

/* nv vectors of columns, whose sums stay in registers: a head has 54. */
rotoi_inline ROTOI_AVX512 void rotoi_dense_narrow_avx512(const float *x, const float *w, size_t k, size_t stride, float *sums,
                                                         const size_t nv) {
  __m512 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) acc[v] = _mm512_loadu_ps(sums + 16 * v);
  for (size_t l = 0; l < k; ++l, w += stride) {
    const __m512 value = _mm512_set1_ps(x[l]);
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; ++v) {
      _mm_prefetch((const void *)((uintptr_t)w + ROTOI_AHEAD + 64 * v), _MM_HINT_T0);
      acc[v] = _mm512_fmadd_ps(value, _mm512_loadu_ps(w + 16 * v), acc[v]);
    }
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; ++v) _mm512_storeu_ps(sums + 16 * v, acc[v]);
}

/* Others four rows at a time, so that memory is read in long runs. */
static ROTOI_AVX512 void rotoi_dense_avx512(const float *x, const float *w, size_t k, size_t stride, size_t n, float *sums) {
  if (n > 48 && n <= 64) {
    rotoi_dense_narrow_avx512(x, w, k, stride, sums, 4);
    return;
  }
  for (size_t l = 0; l < k; l += 4) {
    const size_t rows = k - l < 4 ? k - l : 4;
    const float *row = w + l * stride;
    for (size_t j = 0; j < n; j += 16) {
      __m512 sum = _mm512_loadu_ps(sums + j);
      for (size_t i = 0; i < rows; ++i)
        sum = _mm512_fmadd_ps(_mm512_set1_ps(x[l + i]), _mm512_loadu_ps(row + i * stride + j), sum);
      _mm512_storeu_ps(sums + j, sum);
    }
  }
}

/* Sixteen elements of a stored value as floats; of bytes as the numbers they are. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_load_avx512(const void *p, size_t i, const rotoi_type type) {
  const unsigned char *at = (const unsigned char *)p;
  if (type == ROTOI_F32) return _mm512_loadu_ps(at + 4 * i);
  if (type == ROTOI_BF16) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i *)(const void *)(at + 2 * i)));
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, bits, 16));
  }
  return _mm512_maskz_cvtepi32_ps(0xffff,
                                  _mm512_maskz_cvtepu8_epi32(0xffff, _mm_loadu_si128((const __m128i *)(const void *)(at + i))));
}

/* Where a tile of a depthwise convolution reads: `n` outputs, rows [ky0, ky1) of the kernel, the first of them at row0; of input
 * column j its place in a row, or ROTOI_OUTSIDE. */
typedef struct rotoi_depthwise_window {
  size_t n, ky0, ky1, row0, column[20];
} rotoi_depthwise_window;

rotoi_inline void rotoi_depthwise_find(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile, const size_t span,
                                       rotoi_depthwise_window *at) {
  at->n = d->ow - x < tile ? d->ow - x : tile;
  rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &at->ky0, &at->ky1);
  at->row0 = (y * d->stride + at->ky0 - d->pad_top) * d->w_in * d->cs;
  for (size_t j = 0; j < span; ++j) {
    const size_t x_in = x * d->stride + j - d->pad_left; /* wraps below zero */
    at->column[j] = x_in < d->w_in ? x_in * d->cs : ROTOI_OUTSIDE;
  }
}

/* Outputs x .. x + tile of row y, as many as there are.  Each pixel of the input is loaded once a row of the kernel and meets all its
 * taps; pixels outside the picture are left out.  A swish happens in registers, where its divisions run beside the products of the
 * channels that follow; the rare others, chunk by chunk, as in rotoi_finish_avx512. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_tile_avx512(const rotoi_depthwise *d, size_t y, size_t x, const size_t tile,
                                                           const size_t kw, const size_t stride) {
  const size_t cs = d->cs, span = (tile - 1) * stride + kw, step = d->w_in * cs;
  const int swish = d->act == ROTO_ACT_SWISH;
  rotoi_depthwise_window at;
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(d->act, &low, &high);
  rotoi_depthwise_find(d, y, x, tile, span, &at);
  for (size_t c = d->c0; c < d->c1; c += 16) {
    float *const result = d->out + (y * d->ow + x) * cs + c;
    const __m512 bias = d->bias ? _mm512_loadu_ps(d->bias + c) : _mm512_setzero_ps();
    __m512 acc[8];
    ROTOI_UNROLL
    for (size_t i = 0; i < tile; ++i) acc[i] = bias;
    const float *w = d->w + at.ky0 * kw * cs + c, *row = d->in + at.row0 + c;
    for (size_t ky = at.ky0; ky < at.ky1; ++ky, row += step, w += kw * cs) {
      __m512 weight[5];
      ROTOI_UNROLL
      for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm512_loadu_ps(w + kx * cs);
      ROTOI_UNROLL
      for (size_t j = 0; j < span; ++j) {
        if (at.column[j] == ROTOI_OUTSIDE) continue;
        const __m512 pixel = _mm512_loadu_ps(row + at.column[j]);
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) {
          const size_t i = (j - kx) / stride;
          if (j >= kx && i * stride == j - kx && i < tile) acc[i] = _mm512_fmadd_ps(pixel, weight[kx], acc[i]);
        }
      }
    }
    if (swish) {
      __m512 sum = d->sums ? _mm512_loadu_ps(d->sums + c) : _mm512_setzero_ps();
      ROTOI_UNROLL
      for (size_t i = 0; i < tile; ++i) {
        if (i >= at.n) continue; /* not break, which clang does not unroll */
        acc[i] = rotoi_act_avx512(acc[i], ROTO_ACT_SWISH);
        _mm512_storeu_ps(result + i * cs, acc[i]);
        sum = _mm512_add_ps(sum, acc[i]);
      }
      if (d->sums) _mm512_storeu_ps(d->sums + c, sum);
      continue;
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < tile; ++i) {
      if (i < at.n) _mm512_storeu_ps(result + i * cs, rotoi_min_avx512(high, rotoi_max_avx512(low, acc[i])));
    }
    if (!clamp || d->sums)
      rotoi_finish_avx512(result, cs, at.n, 1, d->sums ? d->sums + c : NULL, clamp ? ROTO_ACT_NONE : d->act);
  }
}

/* Tiles of 7 where they fit: 224 is divided by 2 down to 7. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_rows_avx512(const rotoi_depthwise *d, const size_t kw, const size_t stride) {
  for (size_t y = d->y0; y < d->y1; ++y) {
    if (d->ow % 7 == 0) {
      for (size_t x = 0; x < d->ow; x += 7) rotoi_depthwise_tile_avx512(d, y, x, 7, kw, stride);
    } else {
      for (size_t x = 0; x < d->ow; x += 8) rotoi_depthwise_tile_avx512(d, y, x, 8, kw, stride);
    }
  }
}

/* Any kernel, pixel by pixel. */
static ROTOI_AVX512 void rotoi_depthwise_any_avx512(const rotoi_depthwise *d) {
  const size_t cs = d->cs;
  __m512 low, high;
  const int clamp = rotoi_clamp_avx512(d->act, &low, &high);
  for (size_t y = d->y0; y < d->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, d->stride, d->pad_top, d->kh, d->h, &ky0, &ky1);
    for (size_t x = 0; x < d->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, d->stride, d->pad_left, d->kw, d->w_in, &kx0, &kx1);
      const size_t first = ((y * d->stride + ky0 - d->pad_top) * d->w_in + x * d->stride + kx0 - d->pad_left) * cs;
      float *const result = d->out + (y * d->ow + x) * cs;
      for (size_t c = d->c0; c < d->c1; c += 16) {
        __m512 acc = d->bias ? _mm512_loadu_ps(d->bias + c) : _mm512_setzero_ps();
        for (size_t ky = ky0, in = first + c; ky < ky1; ++ky, in += d->w_in * cs) {
          const float *w = d->w + ky * d->kw * cs + c;
          for (size_t kx = kx0; kx < kx1; ++kx) {
            acc = _mm512_fmadd_ps(_mm512_loadu_ps(d->in + (in + (kx - kx0) * cs)), _mm512_loadu_ps(w + kx * cs), acc);
          }
        }
        _mm512_storeu_ps(result + c, rotoi_min_avx512(high, rotoi_max_avx512(low, acc)));
      }
      if (clamp && !d->sums) continue;
      rotoi_finish_avx512(result + d->c0, cs, 1, (d->c1 - d->c0) / 16, d->sums ? d->sums + d->c0 : NULL,
                          clamp ? ROTO_ACT_NONE : d->act);
    }
  }
}

static ROTOI_AVX512 void rotoi_depthwise_avx512(const rotoi_depthwise *d) {
  if (d->kw == 3 && d->stride == 1) {
    rotoi_depthwise_rows_avx512(d, 3, 1);
  } else if (d->kw == 3 && d->stride == 2) {
    rotoi_depthwise_rows_avx512(d, 3, 2);
  } else if (d->kw == 5 && d->stride == 1) {
    rotoi_depthwise_rows_avx512(d, 5, 1);
  } else if (d->kw == 5 && d->stride == 2) {
    rotoi_depthwise_rows_avx512(d, 5, 2);
  } else {
    rotoi_depthwise_any_avx512(d);
  }
}

static ROTOI_AVX512 void rotoi_pool_avx512(const rotoi_pool *p) {
  const size_t cs = p->cs, row = p->w_in * cs;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m512 share = _mm512_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      const __m512 start = _mm512_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
      const size_t first = ((y * p->stride + ky0 - p->pad_top) * p->w_in + x * p->stride + kx0 - p->pad_left) * cs;
      for (size_t c = 0; c < cs; c += 16) {
        __m512 acc = start;
        size_t in = first + c;
        for (size_t ky = ky0; ky < ky1; ++ky, in += row) {
          for (size_t kx = 0; kx < kx1 - kx0; ++kx) {
            __m512 v = _mm512_loadu_ps(p->in + (in + kx * cs));
            acc = p->max ? rotoi_max_avx512(acc, v) : _mm512_add_ps(acc, v);
          }
        }
        _mm512_storeu_ps(p->out + (y * p->ow + x) * cs + c, _mm512_mul_ps(acc, share));
      }
    }
  }
}

/* `tile` vectors of channels at once, because one sum waits for itself. */
rotoi_inline ROTOI_AVX512 void rotoi_channel_sum_tile_avx512(const float *in, size_t pixels, size_t cs, float scale, float *out,
                                                             const size_t tile) {
  __m512 acc[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) acc[v] = _mm512_setzero_ps();
  for (size_t p = 0; p < pixels; ++p, in += cs) {
    ROTOI_UNROLL
    for (size_t v = 0; v < tile; ++v) acc[v] = _mm512_add_ps(acc[v], _mm512_loadu_ps(in + 16 * v));
  }
  ROTOI_UNROLL
  for (size_t v = 0; v < tile; ++v) _mm512_storeu_ps(out + 16 * v, _mm512_mul_ps(acc[v], _mm512_set1_ps(scale)));
}

static ROTOI_AVX512 void rotoi_channel_sum_avx512(const float *in, size_t pixels, size_t cs, float scale, float *out) {
  size_t c = 0;
  for (; c + 64 <= cs; c += 64) rotoi_channel_sum_tile_avx512(in + c, pixels, cs, scale, out + c, 4);
  for (; c < cs; c += 16) rotoi_channel_sum_tile_avx512(in + c, pixels, cs, scale, out + c, 1);
}

rotoi_inline ROTOI_AVX512 void rotoi_add_act_avx512(const float *a, const float *b, size_t n, float *out, const int act) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512 x = _mm512_loadu_ps(a + i);
    if (b) x = _mm512_add_ps(x, _mm512_loadu_ps(b + i));
    _mm512_storeu_ps(out + i, rotoi_act_avx512(x, act));
  }
  if (i < n) {
    __mmask16 rest = (__mmask16)((1u << (n - i)) - 1);
    __m512 x = _mm512_maskz_loadu_ps(rest, a + i);
    if (b) x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(rest, b + i));
    _mm512_mask_storeu_ps(out + i, rest, rotoi_act_avx512(x, act));
  }
}

static ROTOI_AVX512 void rotoi_add_avx512(const float *a, const float *b, size_t n, int act, float *out){
#define ROTOI_CALL(constant) rotoi_add_act_avx512(a, b, n, out, constant)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX512
    void rotoi_scale_act_avx512(const float *a, const float *s, size_t pixels, size_t cs, float *out, const int act) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 16) {
      _mm512_storeu_ps(out + c, rotoi_act_avx512(_mm512_mul_ps(_mm512_loadu_ps(a + c), _mm512_loadu_ps(s + c)), act));
    }
  }
}

static ROTOI_AVX512 void rotoi_scale_avx512(const float *a, const float *s, size_t pixels, size_t cs, int act, float *out) {
#define ROTOI_CALL(constant) rotoi_scale_act_avx512(a, s, pixels, cs, out, constant)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static const rotoi_kernels rotoi_kernels_avx512 = {ROTO_ISA_AVX512,
                                                   14,
                                                   32,
                                                   rotoi_gemm_14x32_avx512,
                                                   rotoi_depthwise_avx512,
                                                   rotoi_pool_avx512,
                                                   rotoi_dense_avx512,
                                                   rotoi_channel_sum_avx512,
                                                   rotoi_add_avx512,
                                                   rotoi_scale_avx512};

#endif
#endif

/* >>kernels_low.c */

/* Low precision on AVX-512: bfloat16 with the dot products of AVX512-BF16, bytes with those of AVX512-VNNI.
 *
 * gemm       the loop nest of kernels_avx512.c, whose step over one float becomes a step over one word of 32 bits: two bfloat16 or
 *            four bytes a lane, twice or four times the products at the same number of instructions and loads.  The sums of a
 *            tile go to a buffer in L1, from where the last pass activates, rounds and stores them; those of few words that end in a
 *            swish (ROTOI_SHORT_BF16, ROTOI_SHORT_U8) never leave the registers, 7 rows at a time, 8 and 6 in bytes.
 * depthwise  for y, tile of 8 x: for c by 16: for rows of the kernel by two (bfloat16) or four (bytes): load w[kw]; for each column of
 *            the input: gather these rows into a word a lane; acc[i] += word * w[kx] wherever i * stride + kx is that column.
 *            8 accumulators + 5 w + 1 word; a column of 3x3 in bytes takes five instructions to gather and three to multiply where
 *            float32 takes nine and nine.  Rows outside the picture are read from a row that stands for zeros.  A swish
 *            happens in registers.  Other kernels run in float32.
 * last pass  from 32-bit sums.  To bytes (rotoi_finish_bytes): times factor plus bias is the result in steps times 2^bits, which
 *            fits a word; from there on 32 values an instruction.  A swish is a ramp less what a table of 256 bytes says for |x|
 *            (rotoi_fall), looked up 64 at a time: 9 instructions a vector.  To bfloat16: a parabola chosen among 32 by two-register
 *            permutes, 10 instructions.  To float32, and what is rare: the exponential below.
 *
 * The exponential swish is x / (1 + 2^t), t = -x log2 e: 2^t by a cubic on what t is above a whole number, fitted by us for least
 * relative error, 7.6e-5, and scaled by the instruction that exists for it, which also takes care of overflow; the quotient by the
 * reciprocal to 14 bits.  bfloat16 and bytes are rounded to the nearest, halves to even; bytes saturate.
 *
 * Measured inside EfficientNet-B0 at 224x224 on one core of a Zen 4 EPYC (peaks: bf16 236 GFLOP/s, bytes 473 GOP/s), gcc 12 -O2, the
 * last pass included: 1x1 convolutions 181 GFLOP/s in bf16 (77 %) and 299 in bytes (63 %), depthwise 71 in both.
 * What limits, by the count of instructions: a 512-bit one occupies a pipe for two cycles, so four pipes begin at most two a cycle,
 * and products, multiplications and two-register permutes share two of them.  The last pass with swish takes 7.0 cycles a vector to
 * bfloat16 and 6.2 to bytes (both by the exponential: 9.5), as long as the products of 7 words.
 * Tried and lost: the compiler's intrinsic for products of bytes (half the speed under gcc 12, see rotoi_dot_u8; in bfloat16 it made
 * no difference).  Swish to bfloat16 by 16 parabolas of |x| with one-register permutes (two instructions more: 7.2 cycles), by a
 * table of powers 2^(i/16) and one multiply-add (no fewer instructions).  In the pass to bytes: rounding by a multiplication
 * instead of addition and shift, |x| from the ramp (6.4 and 6.5 cycles).  Sums in registers for more words: from 152 in bfloat16 on a
 * tenth slower at 7x7.  Fields of the pass's argument read inside the loop: bytes
 * are written through pointers that may point anywhere, so each was read again for each vector (2 cycles). */

#ifndef ROTOI_KERNELS_LOW
#define ROTOI_KERNELS_LOW

#ifdef ROTOI_X86_LOW

rotoi_inline ROTOI_AVX512 __m512 rotoi_sigmoid_low(__m512 x) {
  const __m512 one = _mm512_set1_ps(1), t = _mm512_mul_ps(x, _mm512_set1_ps(-ROTOI_LOG2E));
  const __m512 rest = _mm512_maskz_reduce_ps(0xffff, t, 1);
  __m512 power = _mm512_fmadd_ps(rest, _mm512_set1_ps(0.0779890f), _mm512_set1_ps(0.2261177f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.6958162f));
  power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(0.9999260f));
  power = _mm512_maskz_scalef_ps(0xffff, power, t);
  return _mm512_maskz_rcp14_ps(0xffff, _mm512_add_ps(power, one));
}

rotoi_inline ROTOI_AVX512 __m512 rotoi_act_low(__m512 x, const int act) {
  return act == ROTO_ACT_SWISH ? _mm512_mul_ps(x, rotoi_sigmoid_low(x)) : rotoi_act_avx512(x, act);
}

/* swish(x) by parabolas a + x (b + x c) about each half from -9 to 6, fitted by us for least error, and x - 0.006 from 6.25 on. */
static const float rotoi_swish_a[32] = {
    -0.04890827f, -0.06271557f, -0.08614553f, -0.1169035f,  -0.1564423f, -0.2059614f,  -0.2659394f,
    -0.3353907f,  -0.4107954f,  -0.4847577f,  -0.5447503f,  -0.5729933f, -0.5492555f,  -0.4602652f,
    -0.3147654f,  -0.1555464f,  -0.0430968f,  -0.00299786f, 0,           -0.00299786f, -0.0430968f,
    -0.1555464f,  -0.3147654f,  -0.4602652f,  -0.5492555f,  -0.5729933f, -0.5447503f,  -0.4847577f,
    -0.4107954f,  -0.3353907f,  -0.2659394f,  -0.006f};
static const float rotoi_swish_b[32] = {
    -0.009639409f, -0.01281567f, -0.01850606f, -0.0264586f, -0.03738697f, -0.05208811f, -0.07131842f, -0.09551982f,
    -0.1242895f,   -0.1554551f,  -0.1836442f,  -0.1985114f, -0.1834009f,  -0.1176932f,  0.01316436f,  0.1967271f,
    0.3769648f,    0.4812861f,   0.5f,         0.5187139f,  0.6230352f,   0.8032729f,   0.9868356f,   1.117693f,
    1.183401f,     1.198511f,    1.183644f,    1.155455f,   1.12429f,     1.09552f,     1.071318f,    1};
static const float rotoi_swish_c[32] = {
    -0.000480951f, -0.0006636222f, -0.001009152f, -0.001523231f, -0.002278445f, -0.003369677f, -0.004911297f, -0.007019962f,
    -0.009764657f, -0.01304847f,   -0.01636074f,  -0.01831759f,  -0.0159142f,   -0.003779033f, 0.02567008f,   0.07866298f,
    0.151121f,     0.219536f,      0.2489273f,    0.219536f,     0.151121f,     0.07866298f,   0.02567008f,   -0.003779033f,
    -0.0159142f,   -0.01831759f,   -0.01636074f,  -0.01304847f,  -0.009764657f, -0.007019962f, -0.004911297f, 0};

rotoi_inline ROTOI_AVX512 __m512 rotoi_choose_low(const float *table, __m512i index) {
  return _mm512_permutex2var_ps(_mm512_loadu_ps(table), index, _mm512_loadu_ps(table + 16));
}

/* Where bfloat16 are the result.  A float of 1.5 * 2^23 and more holds a whole number in its low bits, of which the tables take
 * five. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_act_bf16(__m512 x, const int act) {
  if (act != ROTO_ACT_SWISH) return rotoi_act_avx512(x, act);
  x = rotoi_max_avx512(_mm512_set1_ps(-9), x);
  __m512i i = _mm512_castps_si512(_mm512_fmadd_ps(x, _mm512_set1_ps(2), _mm512_set1_ps(12582912 + 18)));
  i = _mm512_maskz_min_epi32(0xffff, i, _mm512_set1_epi32(0x4b400000 + 31));
  const __m512 y = _mm512_fmadd_ps(x, rotoi_choose_low(rotoi_swish_c, i), rotoi_choose_low(rotoi_swish_b, i));
  return _mm512_fmadd_ps(x, y, rotoi_choose_low(rotoi_swish_a, i));
}

/* Instructions by name, where the function's target does not hold them: whoever calls it knows that the machine has them.
 * 64 of the 128 bytes of two tables (AVX512-VBMI); rounding to bfloat16, halves to even (AVX512-BF16). */
rotoi_inline ROTOI_AVX512 __m512i rotoi_choose_bytes(__m512i a, __m512i b, __m512i index) {
  __asm__("vpermi2b %2, %1, %0" : "+v"(index) : "v"(a), "v"(b));
  return index;
}
rotoi_inline ROTOI_AVX512 __m512i rotoi_round_bf16(__m512 low, __m512 high) {
  __m512i y;
  __asm__("vcvtne2ps2bf16 %1, %2, %0" : "=v"(y) : "v"(low), "v"(high));
  return y;
}

/* Sixteen elements as the numbers they stand for. */
rotoi_inline ROTOI_AVX512 __m512 rotoi_get_low(const void *p, size_t i, const rotoi_code *code) {
  if (code->type == ROTOI_F32) return rotoi_load_avx512(p, i, ROTOI_F32);
  if (code->type == ROTOI_BF16) return rotoi_load_avx512(p, i, ROTOI_BF16);
  const __m512 q = _mm512_sub_ps(rotoi_load_avx512(p, i, ROTOI_U8), _mm512_set1_ps(code->zero));
  return _mm512_mul_ps(q, _mm512_set1_ps(code->scale));
}

rotoi_inline ROTOI_AVX512 void rotoi_put_low(void *p, size_t i, __m512 x, const rotoi_code *code, const rotoi_type type) {
  unsigned char *at = (unsigned char *)p;
  if (type == ROTOI_F32) {
    _mm512_storeu_ps(at + 4 * i, x);
  } else if (type == ROTOI_BF16) {
    __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000));
    bits = _mm512_maskz_srli_epi32(0xffff, bits, 16);
    _mm256_storeu_si256((__m256i *)(void *)(at + 2 * i), _mm512_maskz_cvtepi32_epi16(0xffff, bits));
  } else {
    x = _mm512_fmadd_ps(x, _mm512_set1_ps(code->inverse), _mm512_set1_ps(code->zero));
    const __m512i q = _mm512_maskz_cvtps_epi32(0xffff, rotoi_max_avx512(_mm512_setzero_ps(), x));
    _mm_storeu_si128((__m128i *)(void *)(at + i), _mm512_maskz_cvtusepi32_epi8(0xffff, q));
  }
}

/* The last pass over rows of 16 * vectors sums, float32 or, with factors, int32 that stand for from * factor + bias of their
 * column: to = act(from + add), and the sums of each column as in rotoi_finish_avx512. */
typedef struct rotoi_low_finish {
  void *from; /* overwritten */
  const float *factor, *bias;
  const void *add; /* or NULL */
  void *to;
  size_t from_stride, add_stride, to_stride, rows, vectors;
  const rotoi_code *add_code, *to_code;
  const rotoi_fall *curve; /* or NULL */
  float *sums;             /* or NULL */
} rotoi_low_finish;

/* Two vectors of sums of a row as 32 words: 2^bits times the result, or what comes before the curve. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_words_of(__m512i sum0, __m512i sum1, const __m512 *factor, const __m512 *bias) {
  const __m512 a = _mm512_maskz_cvtepi32_ps(0xffff, sum0), b = _mm512_maskz_cvtepi32_ps(0xffff, sum1);
  return _mm512_packs_epi32(_mm512_maskz_cvtps_epi32(0xffff, _mm512_fmadd_ps(a, factor[0], bias[0])),
                            _mm512_maskz_cvtps_epi32(0xffff, _mm512_fmadd_ps(b, factor[1], bias[1])));
}

/* Words of two rows as bytes, the first row first.  Packing leaves each four columns of the one vector beside four of the other,
 * lane by lane, which unpacking undoes. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_bytes_of(__m512i x, __m512i y) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_maskz_permutexvar_epi32(0xffff, order, _mm512_packus_epi16(x, y));
}

/* A curve in registers, and its way from 2^bits steps to steps above the code's zero. */
typedef struct rotoi_curving {
  __m512i fall[4], half;
  __m128i step, bits;
} rotoi_curving;

rotoi_inline ROTOI_AVX512 rotoi_curving rotoi_load_curve(const rotoi_fall *curve, const rotoi_code *code) {
  rotoi_curving c;
  ROTOI_UNROLL
  for (int i = 0; i < 4; ++i) c.fall[i] = _mm512_loadu_si512(curve->fall + 64 * i);
  c.half = _mm512_set1_epi16((short)((2 * (int)code->zero + 1) << curve->bits >> 1));
  c.step = _mm_cvtsi32_si128(curve->step), c.bits = _mm_cvtsi32_si128(curve->bits);
  return c;
}

rotoi_inline ROTOI_AVX512 void rotoi_apply_curve(__m512i *x, __m512i *y, const rotoi_curving *c) {
  const __m512i none = _mm512_setzero_si512();
  const __m512i index =
      _mm512_packus_epi16(_mm512_srl_epi16(_mm512_abs_epi16(*x), c->step), _mm512_srl_epi16(_mm512_abs_epi16(*y), c->step));
  const __m512i less = _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), rotoi_choose_bytes(c->fall[0], c->fall[1], index),
                                              rotoi_choose_bytes(c->fall[2], c->fall[3], index));
  *x = _mm512_sub_epi16(_mm512_max_epi16(*x, none), _mm512_unpacklo_epi8(less, none));
  *y = _mm512_sub_epi16(_mm512_max_epi16(*y, none), _mm512_unpackhi_epi8(less, none));
  *x = _mm512_sra_epi16(_mm512_adds_epi16(*x, c->half), c->bits);
  *y = _mm512_sra_epi16(_mm512_adds_epi16(*y, c->half), c->bits);
}

/* int32 to bytes, two vectors of two rows at a time. */
rotoi_inline ROTOI_AVX512 void rotoi_finish_bytes_each(const rotoi_low_finish *given, int act, const int curved,
                                                       const int summed) {
  const rotoi_low_finish f = *given; /* bytes are written: what they might change would be read again each time */
  const rotoi_code code = *f.to_code;
  const rotoi_fall *curve = f.curve;
  const __m512i none = _mm512_setzero_si512();
  const __m512i zero = _mm512_set1_epi16((short)code.zero), most = _mm512_set1_epi16(255);
  __m512i low = _mm512_set1_epi16(act == ROTO_ACT_NONE ? -32768 : (short)code.zero), high = most;
  const __m512 unit = _mm512_set1_ps(code.inverse * (float)(curved ? 1 << curve->bits : 1));
  const __m512 start = _mm512_set1_ps(curved ? 0 : code.zero);
  if (act == ROTO_ACT_RELU6 && 6 * code.inverse + code.zero < 255)
    high = _mm512_set1_epi16((short)_mm_cvtss_si32(_mm_set_ss(6 * code.inverse + code.zero)));
  rotoi_curving curving;
  if (curved) curving = rotoi_load_curve(curve, &code);
  for (size_t v = 0; v < f.vectors; v += 2) {
    const size_t second = v + 1 < f.vectors ? 16 : 0;
    __m512 factor[2], bias[2];
    __m512i sum = none;
    for (int i = 0; i < 2; ++i) {
      factor[i] = _mm512_mul_ps(_mm512_loadu_ps(f.factor + 16 * v + (i ? second : 0)), unit);
      bias[i] = _mm512_fmadd_ps(_mm512_loadu_ps(f.bias + 16 * v + (i ? second : 0)), unit, start);
    }
    for (size_t i = 0; i < f.rows; i += 2) {
      const size_t more = i + 1 < f.rows;
      const int32_t *from = (const int32_t *)f.from + i * f.from_stride + 16 * v;
      unsigned char *to = (unsigned char *)f.to + i * f.to_stride + 16 * v;
      const int32_t *next = from + more * f.from_stride;
      __m512i x = rotoi_words_of(_mm512_loadu_si512(from), _mm512_loadu_si512(from + second), factor, bias);
      __m512i y = rotoi_words_of(_mm512_loadu_si512(next), _mm512_loadu_si512(next + second), factor, bias);
      if (curved) {
        rotoi_apply_curve(&x, &y, &curving);
      } else {
        x = _mm512_min_epi16(_mm512_max_epi16(x, low), high);
        y = _mm512_min_epi16(_mm512_max_epi16(y, low), high);
      }
      if (summed) {
        x = _mm512_min_epi16(_mm512_max_epi16(x, none), most);
        y = _mm512_min_epi16(_mm512_max_epi16(y, none), most);
        sum = _mm512_add_epi16(sum, _mm512_sub_epi16(x, zero));
        if (more) sum = _mm512_add_epi16(sum, _mm512_sub_epi16(y, zero));
      }
      const __m512i bytes = rotoi_bytes_of(x, y);
      const __m256i first = _mm512_maskz_extracti64x4_epi64(0xf, bytes, 0),
                    last = _mm512_maskz_extracti64x4_epi64(0xf, bytes, 1);
      if (second) {
        _mm256_storeu_si256((__m256i *)(void *)to, first);
        if (more) _mm256_storeu_si256((__m256i *)(void *)(to + f.to_stride), last);
      } else {
        _mm_storeu_si128((__m128i *)(void *)to, _mm256_castsi256_si128(first));
        if (more) _mm_storeu_si128((__m128i *)(void *)(to + f.to_stride), _mm256_castsi256_si128(last));
      }
    }
    if (summed) {
      const __m512i sign = _mm512_srai_epi16(sum, 15);
      for (int i = 0; i < 2; ++i) {
        float *to = f.sums + 16 * v + (i ? second : 0);
        const __m512i part = i ? _mm512_unpackhi_epi16(sum, sign) : _mm512_unpacklo_epi16(sum, sign);
        if (i && !second) break;
        _mm512_storeu_ps(
            to, _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, part), _mm512_set1_ps(code.scale), _mm512_loadu_ps(to)));
      }
    }
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_bytes(const rotoi_low_finish *f, int act) {
  if (f->curve && f->sums) {
    rotoi_finish_bytes_each(f, act, 1, 1);
  } else if (f->curve) {
    rotoi_finish_bytes_each(f, act, 1, 0);
  } else if (f->sums) {
    rotoi_finish_bytes_each(f, act, 0, 1);
  } else {
    rotoi_finish_bytes_each(f, act, 0, 0);
  }
}

/* Two vectors at a time, which make one of bfloat16. */
rotoi_inline ROTOI_AVX512 void rotoi_low_finish_each(const rotoi_low_finish *given, const int act, const rotoi_type type,
                                                     const int summed) {
  const rotoi_low_finish f = *given;
  for (size_t v = 0; v < f.vectors; v += 2) {
    const size_t second = f.vectors - v < 2 ? 0 : 16;
    __m512 sum = _mm512_setzero_ps(), more = sum;
    if (summed) sum = _mm512_loadu_ps(f.sums + 16 * v), more = _mm512_loadu_ps(f.sums + 16 * v + second);
    for (size_t i = 0; i < f.rows; ++i) {
      const float *from = (const float *)f.from + i * f.from_stride + 16 * v;
      const size_t to = i * f.to_stride + 16 * v;
      __m512 x = _mm512_loadu_ps(from), y = _mm512_loadu_ps(from + second);
      if (type == ROTOI_BF16) {
        x = rotoi_act_bf16(x, act), y = rotoi_act_bf16(y, act);
        const __m512i both = rotoi_round_bf16(x, y);
        if (second) {
          _mm512_storeu_si512((uint16_t *)f.to + to, both);
        } else {
          _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)f.to + to), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
        }
      } else {
        x = rotoi_act_low(x, act), y = rotoi_act_low(y, act);
        _mm512_storeu_ps((float *)f.to + to, x);
        _mm512_storeu_ps((float *)f.to + to + second, y);
      }
      if (summed) sum = _mm512_add_ps(sum, x), more = _mm512_add_ps(more, y);
    }
    if (summed) _mm512_storeu_ps(f.sums + 16 * v, sum), _mm512_storeu_ps(f.sums + 16 * v + second, more);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_finish_rows(const rotoi_low_finish *f, const int act, const rotoi_type type) {
  if (f->sums) {
    rotoi_low_finish_each(f, act, type, 1);
  } else {
    rotoi_low_finish_each(f, act, type, 0);
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_low_finish_f32(const rotoi_low_finish *f, int act){
#define ROTOI_CALL(constant) rotoi_low_finish_rows(f, constant, ROTOI_F32)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_noinline ROTOI_AVX512 void rotoi_low_finish_bf16(const rotoi_low_finish *f, int act){
#define ROTOI_CALL(constant) rotoi_low_finish_rows(f, constant, ROTOI_BF16)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

/* Sums to float32 and with what is added, in place. */
rotoi_noinline ROTOI_AVX512 void rotoi_finish_floats(const rotoi_low_finish *given) {
  const rotoi_low_finish f = *given;
  const rotoi_code code = *f.add_code;
  for (size_t v = 0; v < f.vectors; ++v) {
    __m512 factor = _mm512_setzero_ps(), bias = factor;
    if (f.factor) factor = _mm512_loadu_ps(f.factor + 16 * v), bias = _mm512_loadu_ps(f.bias + 16 * v);
    for (size_t i = 0; i < f.rows; ++i) {
      float *at = (float *)f.from + i * f.from_stride + 16 * v;
      __m512 x = _mm512_loadu_ps(at);
      if (f.factor) x = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(0xffff, _mm512_castps_si512(x)), factor, bias);
      if (f.add) x = _mm512_add_ps(x, rotoi_get_low(f.add, i * f.add_stride + 16 * v, &code));
      _mm512_storeu_ps(at, x);
    }
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_finish_quantize(const rotoi_low_finish *given) {
  const rotoi_low_finish f = *given;
  const rotoi_code code = *f.to_code;
  for (size_t i = 0; i < f.rows; ++i) {
    for (size_t c = 0; c < 16 * f.vectors; c += 16)
      rotoi_put_low(f.to, i * f.to_stride + c, _mm512_loadu_ps((const float *)f.from + i * f.from_stride + c), &code, ROTOI_U8);
  }
}

static void rotoi_low_finish_all(const rotoi_low_finish *f, int act) {
  const rotoi_type type = f->to_code->type;
  if (f->factor && type == ROTOI_U8 && !f->add && (f->curve || act <= ROTO_ACT_RELU6)) {
    rotoi_finish_bytes(f, act);
    return;
  }
  if (f->factor || f->add) rotoi_finish_floats(f);
  if (type == ROTOI_BF16) {
    rotoi_low_finish_bf16(f, act);
    return;
  }
  rotoi_low_finish plain = *f;
  if (type == ROTOI_U8) plain.to = f->from, plain.to_stride = f->from_stride;
  rotoi_low_finish_f32(&plain, act);
  if (type == ROTOI_U8) rotoi_finish_quantize(f);
}

/* ---- gemm ---- */

enum { ROTOI_LOW_MR = 14, ROTOI_LOW_NR = 32 };

/* acc += x * b, two bfloat16 or four bytes a lane.  Through the compiler's intrinsics gcc 12 keeps accumulators in memory
 * as well, and loads b again for each product of bytes: half the speed there. */
rotoi_inline ROTOI_AVX512 void rotoi_dot_bf16(__m512 *acc, __m512i x, __m512i b) {
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}
rotoi_inline ROTOI_AVX512 void rotoi_dot_u8(__m512i *acc, __m512i x, __m512i b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*acc) : "v"(x), "v"(b));
}

/* The sums of rows [first, first + m) of a tile, to [g->m][16 * nv]. */
rotoi_inline ROTOI_AVX512 void rotoi_sums_bf16(const rotoi_low_gemm *g, size_t first, float *out, const size_t m,
                                               const size_t nv) {
  const __m512 zero = _mm512_setzero_ps(), bias0 = g->bias ? _mm512_loadu_ps(g->bias) : zero;
  const __m512 bias1 = g->bias && nv > 1 ? _mm512_loadu_ps(g->bias + 16) : zero;
  __m512 acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = bias0, acc1[i] = bias1;
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a + first;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
    for (size_t l = 0; l < g->k; ++l, b += 64 * nv) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = nv > 1 ? _mm512_loadu_si512(b + 64) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_bf16(&acc0[i], x, b0);
        if (nv > 1) rotoi_dot_bf16(&acc1[i], x, b1);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    _mm512_storeu_ps(out + (first + i) * 16 * nv, acc0[i]);
    if (nv > 1) _mm512_storeu_ps(out + (first + i) * 16 * nv + 16, acc1[i]);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_sums_u8(const rotoi_low_gemm *g, size_t first, float *out, const size_t m,
                                             const size_t nv) {
  __m512i acc0[ROTOI_LOW_MR], acc1[ROTOI_LOW_MR];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) acc0[i] = acc1[i] = _mm512_setzero_si512();
  const unsigned char *b = (const unsigned char *)g->b;
  const unsigned char *const *a = g->a + first;
  for (size_t t = g->taps; t != 0; --t, a += g->m) {
    for (size_t l = 0; l < g->k; ++l, b += 64 * nv) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = nv > 1 ? _mm512_loadu_si512(b + 64) : b0;
      _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD), _MM_HINT_T0);
      if (nv > 1) _mm_prefetch((const void *)((uintptr_t)b + ROTOI_AHEAD + 64), _MM_HINT_T0);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_u8(&acc0[i], x, b0);
        if (nv > 1) rotoi_dot_u8(&acc1[i], x, b1);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    _mm512_storeu_si512(out + (first + i) * 16 * nv, acc0[i]);
    if (nv > 1) _mm512_storeu_si512(out + (first + i) * 16 * nv + 16, acc1[i]);
  }
}

/* Short sums with swish, as in rotoi_gemm_swish_avx512; words of which that was measured to be faster. */
enum { ROTOI_SHORT_BF16 = 96, ROTOI_SHORT_U8 = 44 };

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_swish_bf16(const rotoi_low_gemm *given) {
  enum { M = ROTOI_SHORT_MR };
  const rotoi_low_gemm g = *given;
  const __m512 zero = _mm512_setzero_ps(), bias0 = g.bias ? _mm512_loadu_ps(g.bias) : zero;
  const __m512 bias1 = g.bias ? _mm512_loadu_ps(g.bias + 16) : zero;
  for (size_t first = 0; first < g.m; first += M) {
    const unsigned char *b = (const unsigned char *)g.b;
    __m512 acc0[M], acc1[M];
    size_t row[M];
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i) acc0[i] = bias0, acc1[i] = bias1, row[i] = first + i < g.m ? first + i : g.m - 1;
    for (size_t t = 0; t < g.taps; ++t) {
      const unsigned char *a[M];
      ROTOI_UNROLL
      for (size_t i = 0; i < M; ++i) a[i] = g.a[t * g.m + row[i]];
      for (size_t l = 0; l < g.k; ++l, b += 128) {
        const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
        ROTOI_UNROLL
        for (size_t i = 0; i < M; ++i) {
          const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
          rotoi_dot_bf16(&acc0[i], x, b0);
          rotoi_dot_bf16(&acc1[i], x, b1);
        }
      }
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < M; ++i)
      _mm512_storeu_si512((uint16_t *)g.c + row[i] * g.c_stride,
                          rotoi_round_bf16(rotoi_act_bf16(acc0[i], ROTO_ACT_SWISH), rotoi_act_bf16(acc1[i], ROTO_ACT_SWISH)));
  }
}

/* Bytes take rows by two. */
rotoi_inline ROTOI_AVX512 void rotoi_gemm_curve_tile(const rotoi_low_gemm *g, size_t first, const rotoi_curving *curving,
                                                     const __m512 *factor, const __m512 *bias, const size_t m) {
  const unsigned char *b = (const unsigned char *)g->b;
  __m512i acc0[8], acc1[8];
  size_t row[8];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; ++i) {
    acc0[i] = acc1[i] = _mm512_setzero_si512();
    row[i] = first + i < g->m ? first + i : g->m - 1;
  }
  for (size_t t = 0; t < g->taps; ++t) {
    const unsigned char *a[8];
    ROTOI_UNROLL
    for (size_t i = 0; i < m; ++i) a[i] = g->a[t * g->m + row[i]];
    for (size_t l = 0; l < g->k; ++l, b += 128) {
      const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
      ROTOI_UNROLL
      for (size_t i = 0; i < m; ++i) {
        const __m512i x = _mm512_set1_epi32(rotoi_word(a[i] + 4 * l));
        rotoi_dot_u8(&acc0[i], x, b0);
        rotoi_dot_u8(&acc1[i], x, b1);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i += 2) {
    __m512i x = rotoi_words_of(acc0[i], acc1[i], factor, bias), y = rotoi_words_of(acc0[i + 1], acc1[i + 1], factor, bias);
    rotoi_apply_curve(&x, &y, curving);
    const __m512i bytes = rotoi_bytes_of(x, y);
    _mm256_storeu_si256((__m256i *)(void *)((unsigned char *)g->c + row[i] * g->c_stride),
                        _mm512_maskz_extracti64x4_epi64(0xf, bytes, 0));
    _mm256_storeu_si256((__m256i *)(void *)((unsigned char *)g->c + row[i + 1] * g->c_stride),
                        _mm512_maskz_extracti64x4_epi64(0xf, bytes, 1));
  }
}

rotoi_noinline ROTOI_AVX512 void rotoi_gemm_curve(const rotoi_low_gemm *given) {
  const rotoi_low_gemm g = *given;
  const rotoi_curving curving = rotoi_load_curve(g.curve, &g.c_code);
  const __m512 unit = _mm512_set1_ps(g.c_code.inverse * (float)(1 << g.curve->bits));
  __m512 factor[2], bias[2];
  for (int i = 0; i < 2; ++i) {
    factor[i] = _mm512_mul_ps(_mm512_loadu_ps(g.factor + 16 * i), unit);
    bias[i] = _mm512_mul_ps(_mm512_loadu_ps(g.bias + 16 * i), unit);
  }
  for (size_t first = 0; first < g.m;) {
    if (g.m - first > 6) {
      rotoi_gemm_curve_tile(&g, first, &curving, factor, bias, 8);
      first += 8;
    } else {
      rotoi_gemm_curve_tile(&g, first, &curving, factor, bias, 6);
      first += 6;
    }
  }
}

static void rotoi_finish_low_gemm(const rotoi_low_gemm *g, void *sums) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = 16 * g->nv;
  f.factor = g->factor, f.bias = g->bias, f.curve = g->curve;
  f.add = g->add, f.add_stride = g->add_stride, f.add_code = &g->add_code;
  f.to = g->c, f.to_stride = g->c_stride, f.to_code = &g->c_code;
  f.rows = g->m, f.vectors = g->nv;
  f.sums = NULL;
  rotoi_low_finish_all(&f, g->act);
}

#define ROTOI_TILE(sums, m)         \
  case m:                           \
    if (g->nv == 1) {               \
      sums(g, first, buffer, m, 1); \
    } else {                        \
      sums(g, first, buffer, m, 2); \
    }                               \
    break;
#define ROTOI_TILES(sums)                                       \
  for (size_t first = 0, count; first < g->m; first += count) { \
    count = rotoi_tile_height(g->m - first);                    \
    switch (count) {                                            \
      ROTOI_TILE(sums, 1)                                       \
      ROTOI_TILE(sums, 2)                                       \
      ROTOI_TILE(sums, 3)                                       \
      ROTOI_TILE(sums, 4)                                       \
      ROTOI_TILE(sums, 5)                                       \
      ROTOI_TILE(sums, 6)                                       \
      ROTOI_TILE(sums, 7)                                       \
      ROTOI_TILE(sums, 14)                                      \
      default:                                                  \
        ROTO_ASSERT(0);                                         \
    }                                                           \
  }

static ROTOI_AVX512 void rotoi_gemm_14x32_bf16(const rotoi_low_gemm *g) {
  if (g->act == ROTO_ACT_SWISH && g->c_code.type == ROTOI_BF16 && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT_BF16) {
    rotoi_gemm_swish_bf16(g);
    return;
  }
  rotoi_ask_avx512(g->c, g->m, g->c_stride * rotoi_type_size(g->c_code.type), 64);
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_bf16)
  rotoi_finish_low_gemm(g, buffer);
}

static ROTOI_AVX512 void rotoi_gemm_14x32_u8(const rotoi_low_gemm *g) {
  if (g->curve && g->nv == 2 && !g->add && g->taps * g->k <= ROTOI_SHORT_U8) {
    rotoi_gemm_curve(g);
    return;
  }
  float buffer[ROTOI_LOW_MR * ROTOI_LOW_NR];
  ROTOI_TILES(rotoi_sums_u8)
  rotoi_finish_low_gemm(g, buffer);
}
#undef ROTOI_TILES
#undef ROTOI_TILE

/* ---- depthwise ---- */

static void rotoi_finish_low_depthwise(const rotoi_low_depthwise *d, float *sums, size_t n, size_t place, size_t c0,
                                       size_t c1) {
  rotoi_low_finish f;
  f.from = sums, f.from_stride = 16;
  f.factor = d->factor ? d->factor + c0 : NULL, f.bias = d->factor ? d->shape.bias + c0 : NULL, f.curve = d->curve;
  f.add = NULL, f.add_stride = 0, f.add_code = &d->in_code;
  f.to = (unsigned char *)d->out + (place + c0) * rotoi_type_size(d->out_code.type);
  f.to_stride = d->shape.cs, f.to_code = &d->out_code;
  f.rows = n, f.vectors = (c1 - c0) / 16;
  f.sums = d->shape.sums ? d->shape.sums + c0 : NULL;
  rotoi_low_finish_all(&f, d->shape.act);
}

/* How 16 channels of two rows of bfloat16, or of four of bytes once their quarters are exchanged, become 16 words.  In memory: gcc 12
 * makes constants of registers anew for each word. */
static const uint16_t rotoi_zip_halves[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                              8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
static const uint32_t rotoi_zip_quarters[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
static const unsigned char rotoi_zip_bytes[64] = {
    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,
    0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};

/* Words of what `count` rows of the kernel meet in 16 channels, elements `at` of each: that of the first in the lowest part, and so
 * on; anything in a part without a row, whose weights are zero. */
rotoi_inline ROTOI_AVX512 __m512i rotoi_low_column(const unsigned char *const *row, size_t at, const size_t count,
                                                   const rotoi_type type) {
  if (type == ROTOI_BF16) {
    const __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)(row[0] + 2 * at));
    if (count == 1) return _mm512_maskz_cvtepu16_epi32(0xffff, first);
    const __m256i second = _mm256_loadu_si256((const __m256i *)(const void *)(row[1] + 2 * at));
    return _mm512_maskz_permutexvar_epi16(0xffffffff, _mm512_loadu_si512(rotoi_zip_halves),
                                          _mm512_maskz_inserti64x4(0xff, _mm512_castsi256_si512(first), second, 1));
  }
  const __m128i top = _mm_loadu_si128((const __m128i *)(const void *)(row[0] + at));
  if (count == 1) return _mm512_maskz_cvtepu8_epi32(0xffff, top);
  __m512i v = _mm512_castsi128_si512(top);
  ROTOI_UNROLL
  for (size_t i = 1; i < count; ++i)
    v = _mm512_mask_broadcast_i32x4(v, (__mmask16)(0xf << 4 * i),
                                    _mm_loadu_si128((const __m128i *)(const void *)(row[i] + at)));
  return _mm512_shuffle_epi8(_mm512_maskz_permutexvar_epi32(0xffff, _mm512_loadu_si512(rotoi_zip_quarters), v),
                             _mm512_loadu_si512(rotoi_zip_bytes));
}

/* The last pass over `n` of eight pixels of 16 channels in registers: swish to bfloat16. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_swish_bf16(__m512 *acc, size_t n, uint16_t *to, size_t stride, float *sums) {
  __m512 sum = sums ? _mm512_loadu_ps(sums) : _mm512_setzero_ps();
  ROTOI_UNROLL
  for (size_t i = 0; i < 8; i += 2) {
    if (i >= n) continue;
    const __m512 x = rotoi_act_bf16(acc[i], ROTO_ACT_SWISH), y = rotoi_act_bf16(acc[i + 1], ROTO_ACT_SWISH);
    const __m512i both = rotoi_round_bf16(x, y);
    sum = _mm512_add_ps(sum, x);
    _mm256_storeu_si256((__m256i *)(void *)(to + i * stride), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
    if (i + 1 == n) continue;
    sum = _mm512_add_ps(sum, y);
    _mm256_storeu_si256((__m256i *)(void *)(to + (i + 1) * stride), _mm512_maskz_extracti64x4_epi64(0xf, both, 1));
  }
  if (sums) _mm512_storeu_ps(sums, sum);
}

/* The same by a curve to bytes, four pixels a vector: packing puts one into each of its quarters. */
rotoi_inline ROTOI_AVX512 void rotoi_depthwise_curve(const __m512 *acc, size_t n, const rotoi_low_depthwise *d,
                                                     const rotoi_curving *curving, __m512 unit, size_t c, unsigned char *to) {
  const rotoi_code *code = &d->out_code;
  const __m512i none = _mm512_setzero_si512(), most = _mm512_set1_epi16(255), zero = _mm512_set1_epi16((short)code->zero);
  const __m512 f = _mm512_mul_ps(_mm512_loadu_ps(d->factor + c), unit);
  const __m512 b = _mm512_mul_ps(_mm512_loadu_ps(d->shape.bias + c), unit);
  const __m512 factor[2] = {f, f}, bias[2] = {b, b};
  __m512i sum = none;
  ROTOI_UNROLL
  for (size_t i = 0; i < 8; i += 4) {
    if (i >= n) continue;
    __m512i x = rotoi_words_of(_mm512_castps_si512(acc[i]), _mm512_castps_si512(acc[i + 1]), factor, bias);
    __m512i y = rotoi_words_of(_mm512_castps_si512(acc[i + 2]), _mm512_castps_si512(acc[i + 3]), factor, bias);
    rotoi_apply_curve(&x, &y, curving);
    if (d->shape.sums) {
      const uint32_t even = 0x0f0f0f0fu, odd = 0xf0f0f0f0u;
      x = _mm512_min_epi16(_mm512_max_epi16(x, none), most);
      y = _mm512_min_epi16(_mm512_max_epi16(y, none), most);
      sum = _mm512_mask_add_epi16(sum, even | (i + 1 < n ? odd : 0), sum, _mm512_sub_epi16(x, zero));
      sum = _mm512_mask_add_epi16(sum, (i + 2 < n ? even : 0) | (i + 3 < n ? odd : 0), sum, _mm512_sub_epi16(y, zero));
    }
    const __m512i bytes = rotoi_bytes_of(x, y);
    unsigned char *at = to + i * d->shape.cs;
    _mm_storeu_si128((__m128i *)(void *)at, _mm512_maskz_extracti32x4_epi32(0xf, bytes, 0));
    if (i + 1 < n) _mm_storeu_si128((__m128i *)(void *)(at + d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 1));
    if (i + 2 < n) _mm_storeu_si128((__m128i *)(void *)(at + 2 * d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 2));
    if (i + 3 < n) _mm_storeu_si128((__m128i *)(void *)(at + 3 * d->shape.cs), _mm512_maskz_extracti32x4_epi32(0xf, bytes, 3));
  }
  if (d->shape.sums) {
    float *sums = d->shape.sums + c;
    sum = _mm512_add_epi16(sum, _mm512_maskz_shuffle_epi32(0xffff, sum, _MM_PERM_BADC));
    const __m512 part = _mm512_maskz_cvtepi32_ps(0xffff, _mm512_unpacklo_epi16(sum, _mm512_srai_epi16(sum, 15)));
    _mm512_storeu_ps(sums, _mm512_fmadd_ps(part, _mm512_set1_ps(code->scale), _mm512_loadu_ps(sums)));
  }
}

/* Outputs x .. x + 8 of row y, as many as there are. */
rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_tile(const rotoi_low_depthwise *d, size_t y, size_t x, const size_t kw,
                                                        const size_t stride, const rotoi_type type) {
  enum { TILE = 8 };
  const rotoi_depthwise *s = &d->shape;
  const size_t span = (TILE - 1) * stride + kw, size = rotoi_type_size(type), per = 4 / size;
  const __m512i outside = _mm512_set1_epi32(type == ROTOI_U8 ? (int)((uint32_t)d->in_code.zero * 0x01010101u) : 0);
  const unsigned char *row[5], *here[5];
  rotoi_depthwise_window at;
  rotoi_curving curving;
  const int in_registers = type == ROTOI_BF16 ? s->act == ROTO_ACT_SWISH && d->out_code.type == ROTOI_BF16 : d->curve != NULL;
  __m512 unit = _mm512_setzero_ps();
  if (type == ROTOI_U8 && in_registers) {
    curving = rotoi_load_curve(d->curve, &d->out_code);
    unit = _mm512_set1_ps(d->out_code.inverse * (float)(1 << d->curve->bits));
  }
  rotoi_depthwise_find(s, y, x, TILE, span, &at);
  for (size_t ky = 0; ky < kw; ++ky) {
    const size_t iy = y * stride + ky - s->pad_top; /* wraps above the picture */
    row[ky] = (const unsigned char *)(iy < s->h ? d->in : d->outside) + (iy < s->h ? iy * s->w_in * s->cs * size : 0);
  }
  for (size_t c = s->c0; c < s->c1; c += 16) {
    const size_t place = (y * s->ow + x) * s->cs;
    const unsigned char *w = (const unsigned char *)d->words + 4 * c;
    const __m512 bias = type == ROTOI_BF16 && s->bias ? _mm512_loadu_ps(s->bias + c) : _mm512_setzero_ps();
    __m512 acc[TILE];
    ROTOI_UNROLL
    for (size_t i = 0; i < TILE; ++i) acc[i] = bias;
    ROTOI_UNROLL
    for (size_t ky = 0; ky < kw; ++ky) here[ky] = row[ky] + c * size;
    ROTOI_UNROLL
    for (size_t ky = 0; ky < kw; ky += per, w += 4 * kw * s->cs) {
      __m512i weight[5];
      ROTOI_UNROLL
      for (size_t kx = 0; kx < kw; ++kx) weight[kx] = _mm512_loadu_si512(w + 4 * kx * s->cs);
      ROTOI_UNROLL
      for (size_t j = 0; j < span; ++j) {
        __m512i pixel = outside;
        if (at.column[j] != ROTOI_OUTSIDE)
          pixel = rotoi_low_column(here + ky, at.column[j], kw - ky < per ? kw - ky : per, type);
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; ++kx) {
          const size_t i = (j - kx) / stride;
          if (!(j >= kx && i * stride == j - kx && i < TILE)) continue;
          if (type == ROTOI_BF16) {
            rotoi_dot_bf16(&acc[i], pixel, weight[kx]);
          } else {
            __m512i sum = _mm512_castps_si512(acc[i]);
            rotoi_dot_u8(&sum, pixel, weight[kx]);
            acc[i] = _mm512_castsi512_ps(sum);
          }
        }
      }
    }
    if (in_registers && type == ROTOI_BF16) {
      rotoi_depthwise_swish_bf16(acc, at.n, (uint16_t *)d->out + place + c, s->cs, s->sums ? s->sums + c : NULL);
    } else if (in_registers) {
      rotoi_depthwise_curve(acc, at.n, d, &curving, unit, c, (unsigned char *)d->out + place + c);
    } else {
      float sums[16 * TILE];
      ROTOI_UNROLL
      for (size_t i = 0; i < TILE; ++i) _mm512_storeu_ps(sums + 16 * i, acc[i]);
      rotoi_finish_low_depthwise(d, sums, at.n, place, c, c + 16);
    }
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_rows(const rotoi_low_depthwise *d, const size_t kw, const size_t stride,
                                                        const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  for (size_t y = s->y0; y < s->y1; ++y) {
    for (size_t x = 0; x < s->ow; x += 8) rotoi_low_depthwise_tile(d, y, x, kw, stride, type);
  }
}

/* Any kernel, pixel by pixel. */
rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_any(const rotoi_low_depthwise *d, const rotoi_type type) {
  const rotoi_depthwise *s = &d->shape;
  const __m512 zero = _mm512_set1_ps(type == ROTOI_U8 ? d->in_code.zero : 0);
  float sums[ROTOI_LANES];
  for (size_t y = s->y0; y < s->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, s->stride, s->pad_top, s->kh, s->h, &ky0, &ky1);
    for (size_t x = 0; x < s->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, s->stride, s->pad_left, s->kw, s->w_in, &kx0, &kx1);
      for (size_t c = s->c0; c < s->c1; c += 16) {
        __m512 acc = s->bias ? _mm512_loadu_ps(s->bias + c) : _mm512_setzero_ps();
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            const size_t iy = y * s->stride + ky - s->pad_top, ix = x * s->stride + kx - s->pad_left;
            const __m512 pixel = _mm512_sub_ps(rotoi_load_avx512(d->in, (iy * s->w_in + ix) * s->cs + c, type), zero);
            acc = _mm512_fmadd_ps(pixel, _mm512_loadu_ps(s->w + (ky * s->kw + kx) * s->cs + c), acc);
          }
        }
        _mm512_storeu_ps(sums, acc);
        rotoi_finish_low_depthwise(d, sums, 1, (y * s->ow + x) * s->cs, c, c + 16);
      }
    }
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_low_depthwise_each(const rotoi_low_depthwise *d, const rotoi_type type) {
  if (!d->words) {
    rotoi_low_depthwise_any(d, type);
  } else if (d->shape.kw == 3 && d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 3, 1, type);
  } else if (d->shape.kw == 3) {
    rotoi_low_depthwise_rows(d, 3, 2, type);
  } else if (d->shape.stride == 1) {
    rotoi_low_depthwise_rows(d, 5, 1, type);
  } else {
    rotoi_low_depthwise_rows(d, 5, 2, type);
  }
}

static ROTOI_AVX512 void rotoi_depthwise_bf16(const rotoi_low_depthwise *d) {
  rotoi_low_depthwise_each(d, ROTOI_BF16);
}

static ROTOI_AVX512 void rotoi_depthwise_u8(const rotoi_low_depthwise *d) {
  rotoi_low_depthwise_each(d, ROTOI_U8);
}

/* ---- the rest: a few passes of an inference, for all types at once ---- */

static ROTOI_AVX512 void rotoi_low_put_any(void *p, size_t i, __m512 x, const rotoi_code *code) {
  if (code->type == ROTOI_F32) {
    rotoi_put_low(p, i, x, code, ROTOI_F32);
  } else if (code->type == ROTOI_BF16) {
    rotoi_put_low(p, i, x, code, ROTOI_BF16);
  } else {
    rotoi_put_low(p, i, x, code, ROTOI_U8);
  }
}

static ROTOI_AVX512 void rotoi_low_pool_each(const rotoi_low_pool *d) {
  const rotoi_pool *p = &d->shape;
  for (size_t y = p->y0; y < p->y1; ++y) {
    size_t ky0, ky1;
    rotoi_clip_window(y, p->stride, p->pad_top, p->kh, p->h, &ky0, &ky1);
    for (size_t x = 0; x < p->ow; ++x) {
      size_t kx0, kx1;
      rotoi_clip_window(x, p->stride, p->pad_left, p->kw, p->w_in, &kx0, &kx1);
      const size_t count = (ky1 - ky0) * (kx1 - kx0);
      const __m512 share = _mm512_set1_ps(p->max || !count ? 1 : 1.0f / (float)count);
      for (size_t c = 0; c < p->cs; c += 16) {
        __m512 acc = _mm512_set1_ps(p->max && count ? -ROTOI_INFINITY : 0);
        for (size_t ky = ky0; ky < ky1; ++ky) {
          for (size_t kx = kx0; kx < kx1; ++kx) {
            const size_t iy = y * p->stride + ky - p->pad_top, ix = x * p->stride + kx - p->pad_left;
            const __m512 v = rotoi_get_low(d->in, (iy * p->w_in + ix) * p->cs + c, &d->in_code);
            acc = p->max ? rotoi_max_avx512(acc, v) : _mm512_add_ps(acc, v);
          }
        }
        rotoi_low_put_any(d->out, (y * p->ow + x) * p->cs + c, _mm512_mul_ps(acc, share), &d->out_code);
      }
    }
  }
}

static ROTOI_AVX512 void rotoi_channel_sum_low(const void *in, rotoi_code code, size_t pixels, size_t cs, float scale,
                                               void *out, rotoi_code out_code) {
  for (size_t c = 0; c < cs; c += 16) {
    __m512 acc = _mm512_setzero_ps();
    for (size_t p = 0; p < pixels; ++p) acc = _mm512_add_ps(acc, rotoi_get_low(in, p * cs + c, &code));
    rotoi_low_put_any(out, c, _mm512_mul_ps(acc, _mm512_set1_ps(scale)), &out_code);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_add_act_low(const void *a, const rotoi_code *a_code, const void *b,
                                                 const rotoi_code *b_code, size_t n, const int act, void *out,
                                                 const rotoi_code *out_code) {
  for (size_t i = 0; i < n; i += 16) {
    __m512 x = rotoi_get_low(a, i, a_code);
    if (b) x = _mm512_add_ps(x, rotoi_get_low(b, i, b_code));
    rotoi_low_put_any(out, i, rotoi_act_low(x, act), out_code);
  }
}

static ROTOI_AVX512 void rotoi_add_low(const void *a, rotoi_code a_code, const void *b, rotoi_code b_code, size_t n, int act,
                                       void *out, rotoi_code out_code){
#define ROTOI_CALL(constant) rotoi_add_act_low(a, &a_code, b, &b_code, n, constant, out, &out_code)
    ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

rotoi_inline ROTOI_AVX512 void rotoi_scale_act_low(const void *a, const rotoi_code *a_code, const float *s, size_t pixels,
                                                   size_t cs, const int act, void *out, const rotoi_code *out_code) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < cs; c += 16) {
      const __m512 x = _mm512_mul_ps(rotoi_get_low(a, p * cs + c, a_code), _mm512_loadu_ps(s + c));
      rotoi_low_put_any(out, p * cs + c, rotoi_act_low(x, act), out_code);
    }
  }
}

/* Bytes to bytes in words: (q - zero) 2^e, times a factor of which 2^-e is below one, rounded by the multiplication.  0 if a factor
 * is too large for that. */
static ROTOI_AVX512 int rotoi_scale_bytes(const unsigned char *a, const rotoi_code *a_code, const float *s, size_t pixels,
                                          size_t cs, unsigned char *out, const rotoi_code *out_code) {
  const float unit = a_code->scale * out_code->inverse;
  __m512 most = _mm512_setzero_ps();
  for (size_t c = 0; c < cs; c += 16)
    most = rotoi_max_avx512(most, _mm512_maskz_andnot_ps(0xffff, _mm512_set1_ps(-0.0f), _mm512_loadu_ps(s + c)));
  float lanes[ROTOI_LANES], largest = 0;
  int e = 0;
  _mm512_storeu_ps(lanes, most);
  for (size_t i = 0; i < ROTOI_LANES; ++i) largest = lanes[i] * unit > largest ? lanes[i] * unit : largest;
  for (; e < 7 && largest >= 0.999f; ++e) largest *= 0.5f;
  if (!(largest < 0.999f)) return 0;
  const __m256i from = _mm256_set1_epi16((short)a_code->zero), to = _mm256_set1_epi16((short)out_code->zero);
  const __m128i shift = _mm_cvtsi32_si128(e);
  for (size_t c = 0; c < cs; c += 16) {
    const __m512 factor = _mm512_mul_ps(_mm512_loadu_ps(s + c), _mm512_set1_ps(unit * (float)(1 << (15 - e))));
    const __m256i f = _mm512_maskz_cvtsepi32_epi16(0xffff, _mm512_maskz_cvtps_epi32(0xffff, factor));
    for (size_t i = c; i < pixels * cs; i += cs) {
      __m256i x = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(a + i)));
      x = _mm256_mulhrs_epi16(_mm256_sll_epi16(_mm256_sub_epi16(x, from), shift), f);
      x = _mm256_max_epi16(_mm256_add_epi16(x, to), _mm256_setzero_si256());
      _mm_storeu_si128((__m128i *)(void *)(out + i), _mm256_maskz_cvtusepi16_epi8(0xffff, x));
    }
  }
  return 1;
}

/* bfloat16 to bfloat16, two vectors at a time. */
static ROTOI_AVX512 void rotoi_scale_bf16(const uint16_t *a, const float *s, size_t pixels, size_t cs, uint16_t *out) {
  for (size_t p = 0; p < pixels; ++p, a += cs, out += cs) {
    for (size_t c = 0; c < cs; c += 32) {
      const size_t second = cs - c < 32 ? 0 : 16;
      const __m512 x = _mm512_mul_ps(rotoi_load_avx512(a, c, ROTOI_BF16), _mm512_loadu_ps(s + c));
      const __m512 y = _mm512_mul_ps(rotoi_load_avx512(a, c + second, ROTOI_BF16), _mm512_loadu_ps(s + c + second));
      const __m512i both = rotoi_round_bf16(x, y);
      if (second) {
        _mm512_storeu_si512(out + c, both);
      } else {
        _mm256_storeu_si256((__m256i *)(void *)(out + c), _mm512_maskz_extracti64x4_epi64(0xf, both, 0));
      }
    }
  }
}

static ROTOI_AVX512 void rotoi_scale_low(const void *a, rotoi_code a_code, const float *s, size_t pixels, size_t cs, int act,
                                         void *out, rotoi_code out_code) {
  if (a_code.type == ROTOI_U8 && out_code.type == ROTOI_U8 && act == ROTO_ACT_NONE &&
      rotoi_scale_bytes((const unsigned char *)a, &a_code, s, pixels, cs, (unsigned char *)out, &out_code))
    return;
  if (a_code.type == ROTOI_BF16 && out_code.type == ROTOI_BF16 && act == ROTO_ACT_NONE) {
    rotoi_scale_bf16((const uint16_t *)a, s, pixels, cs, (uint16_t *)out);
    return;
  }
#define ROTOI_CALL(constant) rotoi_scale_act_low(a, &a_code, s, pixels, cs, constant, out, &out_code)
  ROTOI_ACT_SWITCH(act, ROTOI_CALL)
#undef ROTOI_CALL
}

static ROTOI_AVX512 void rotoi_scale_words(const void *words, float s0, float s1, size_t n, void *out) {
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);
  for (size_t i = 0; i < n; i += 16) {
    const __m512i v = _mm512_loadu_si512((const unsigned char *)words + 4 * i);
    const __m512 a = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, v, 16)), _mm512_set1_ps(s0));
    const __m512 b = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_and_si512(v, upper)), _mm512_set1_ps(s1));
    const __m512i low = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(_mm512_castps_si512(a), half), 16);
    const __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(b), half), upper);
    _mm512_storeu_si512((unsigned char *)out + 4 * i, _mm512_or_si512(low, high));
  }
}

/* ---- packing: bound by memory, so the vectors need not be full ---- */

rotoi_inline ROTOI_AVX512 __mmask16 rotoi_first_lanes(size_t n) {
  return (__mmask16)(n < ROTOI_LANES ? (1u << n) - 1 : 0xffff);
}

static ROTOI_AVX512 void rotoi_pack_bf16(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale,
                                         void *out, int32_t *sums) {
  const __m512i upper = _mm512_set1_epi32((int)0xffff0000u), half = _mm512_set1_epi32(0x8000);
  (void)sums;
  for (size_t c = 0; c < n; c += ROTOI_LANES) {
    const __mmask16 lanes = rotoi_first_lanes(n - c);
    const __m512 factor = scale ? _mm512_maskz_loadu_ps(lanes, scale + c) : _mm512_set1_ps(1);
    const __m512 a = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, row + 4 * c), factor);
    const __m512 b = _mm512_mul_ps(_mm512_maskz_loadu_ps(count > 1 ? lanes : 0, row + (count > 1 ? step : 0) + 4 * c), factor);
    const __m512i low = _mm512_maskz_srli_epi32(0xffff, _mm512_add_epi32(_mm512_castps_si512(a), half), 16);
    const __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(b), half), upper);
    _mm512_storeu_si512((unsigned char *)out + 4 * c, _mm512_or_si512(low, high));
  }
}

static ROTOI_AVX512 void rotoi_pack_u8(const unsigned char *row, size_t step, size_t count, size_t n, const float *scale,
                                       void *out, int32_t *sums) {
  for (size_t c = 0; c < n; c += ROTOI_LANES) {
    const __mmask16 lanes = rotoi_first_lanes(n - c);
    const __m512 factor = scale ? _mm512_maskz_loadu_ps(lanes, scale + c) : _mm512_set1_ps(1);
    __m512i word = _mm512_setzero_si512(), sum = _mm512_maskz_loadu_epi32(lanes, sums + c);
    for (size_t i = 0; i < count; ++i) {
      const __m512 w = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, row + i * step + 4 * c), factor);
      const __m512i q = _mm512_maskz_cvtps_epi32(0xffff, w), byte = _mm512_and_si512(q, _mm512_set1_epi32(0xff));
      word = _mm512_or_si512(word, _mm512_maskz_sll_epi32(0xffff, byte, _mm_cvtsi32_si128((int)(8 * i))));
      sum = _mm512_add_epi32(sum, q);
    }
    _mm512_mask_storeu_epi32(sums + c, lanes, sum);
    _mm512_storeu_si512((unsigned char *)out + 4 * c, word);
  }
}

rotoi_inline ROTOI_AVX512 void rotoi_add_doubles(double *to, __mmask8 lanes, __m256 x) {
  _mm512_mask_storeu_pd(to, lanes, _mm512_add_pd(_mm512_maskz_cvtps_pd(0xff, x), _mm512_maskz_loadu_pd(lanes, to)));
}

static ROTOI_AVX512 void rotoi_sizes_low(const unsigned char *row, size_t step, size_t count, size_t n, float *most,
                                         double *sums) {
  const __m512i size = _mm512_set1_epi32(0x7fffffff);
  for (size_t i = 0; i < count; ++i, row += step) {
    for (size_t c = 0; c < n; c += ROTOI_LANES) {
      const __mmask16 lanes = rotoi_first_lanes(n - c);
      const __m512i bits = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes, row + 4 * c));
      const __m512 w = _mm512_castsi512_ps(_mm512_and_si512(bits, size));
      _mm512_mask_storeu_ps(most + c, lanes, rotoi_max_avx512(w, _mm512_maskz_loadu_ps(lanes, most + c)));
      if (!sums) continue;
      rotoi_add_doubles(sums + c, (__mmask8)lanes, _mm512_maskz_extractf32x8_ps(0xff, w, 0));
      rotoi_add_doubles(sums + c + 8, (__mmask8)(lanes >> 8), _mm512_maskz_extractf32x8_ps(0xff, w, 1));
    }
  }
}

static const rotoi_low_kernels rotoi_kernels_bf16 = {ROTOI_BF16,
                                                     ROTOI_LOW_MR,
                                                     ROTOI_LOW_NR,
                                                     rotoi_gemm_14x32_bf16,
                                                     rotoi_depthwise_bf16,
                                                     rotoi_low_pool_each,
                                                     rotoi_channel_sum_low,
                                                     rotoi_add_low,
                                                     rotoi_scale_low,
                                                     rotoi_pack_bf16,
                                                     NULL,
                                                     rotoi_scale_words};
static const rotoi_low_kernels rotoi_kernels_u8 = {
    ROTOI_U8,           ROTOI_LOW_MR,        ROTOI_LOW_NR,          rotoi_gemm_14x32_u8,
    rotoi_depthwise_u8, rotoi_low_pool_each, rotoi_channel_sum_low, rotoi_add_low,
    rotoi_scale_low,    rotoi_pack_u8,       rotoi_sizes_low,       NULL};

#endif
#endif

/* >>select.c */

/* The choice of a kernel table.  A model keeps the table it was opened with, because the order of its packed weights depends
 * on the table's tile. */

#ifndef ROTOI_SELECT
#define ROTOI_SELECT

static const rotoi_kernels *rotoi_select_kernels(roto_isa cap) {
  roto_isa isa = roto_best_isa();
  if (cap != ROTO_ISA_AUTO && cap < isa) isa = cap;
#ifdef ROTOI_X86_AVX512
  if (isa >= ROTO_ISA_AVX512) return &rotoi_kernels_avx512;
#endif
#ifdef ROTOI_X86
  if (isa >= ROTO_ISA_AVX2) return &rotoi_kernels_avx2;
#endif
  return &rotoi_kernels_scalar;
}

static const rotoi_low_kernels *rotoi_select_low(const rotoi_kernels *kernels, rotoi_type type) {
#ifdef ROTOI_X86_LOW
  if (kernels->isa == ROTO_ISA_AVX512) {
    if (type == ROTOI_BF16 && roto_has_precision(ROTO_PRECISION_BF16)) return &rotoi_kernels_bf16;
    if (type == ROTOI_U8 && roto_has_precision(ROTO_PRECISION_INT8)) return &rotoi_kernels_u8;
  }
#endif
  (void)kernels, (void)type;
  return NULL;
}

#endif

/* >>pack.c */

/* Weights into the order in which gemm reads them.  The right-hand matrix of a layer, taps * k rows by `columns`, is cut into
 * panels of nr columns; a panel holds its rows one after the other, so that the kernel reads memory strictly forwards:
 *
 *   panel p, row r, column j:  out[p * nr * rows + r * width + j],  width = nr, in the last panel what is left, up to a
 *                              multiple of 16; columns past the end are zero
 *
 * Strides and a list of taps describe every use: a convolution forward (rows are input channels, row_stride = oc, col_stride
 * = 1), its backward pass (rows are output channels, so both strides are exchanged and the taps run in another order), and
 * dense layers (one tap). */

#ifndef ROTOI_PACK
#define ROTOI_PACK

/* Element (t, l, j) is weights[tap_offset[t] + l * row_stride + j * col_stride] * scale[j], with tap_offset NULL meaning
 * t * k * columns and scale NULL meaning 1.  Weights are float32 as in a file: little-endian, any alignment. */
typedef struct rotoi_pack {
  const void *weights;
  const size_t *tap_offset;
  size_t taps, k, columns, row_stride, col_stride;
  const float *scale;
  size_t nr;
} rotoi_pack;

static inline size_t rotoi_panel_count(size_t columns, size_t nr) {
  return (columns + nr - 1) / nr;
}

/* Floats of a packed matrix of `rows` = taps * k; 0 if they or their bytes do not fit a size_t. */
static inline size_t rotoi_packed_count(size_t rows, size_t columns) {
  size_t width, count, bytes;
  if (!rotoi_add(columns, ROTOI_LANES - 1, &width)) return 0;
  if (!rotoi_mul(width / ROTOI_LANES * ROTOI_LANES, rows, &count) || !rotoi_mul(count, sizeof(float), &bytes)) return 0;
  return count;
}

/* Vectors of 16 columns in a panel: gemm's nv. */
static inline size_t rotoi_panel_vectors(size_t panel, size_t columns, size_t nr) {
  size_t left = columns - panel * nr;
  return left >= nr ? nr / ROTOI_LANES : (left + ROTOI_LANES - 1) / ROTOI_LANES;
}

/* Where the row (t, l) starts. */
static inline const unsigned char *rotoi_pack_at(const rotoi_pack *p, size_t t, size_t l) {
  const size_t tap = p->tap_offset ? p->tap_offset[t] : t * p->k * p->columns;
  return (const unsigned char *)p->weights + (tap + l * p->row_stride) * 4;
}

/* Columns [first, first + 16) of a row, times their factors; zeros past the last column. */
rotoi_inline void rotoi_pack_block(const rotoi_pack *p, const unsigned char *row, size_t first, float *block) {
  const size_t real = p->columns - first < ROTOI_LANES ? p->columns - first : (size_t)ROTOI_LANES;
  const float *scale = p->scale ? p->scale + first : NULL;
  row += first * p->col_stride * 4;
  if (real == ROTOI_LANES && p->col_stride == 1 && rotoi_is_little()) { /* of constant length, for compilers */
    memcpy(block, row, ROTOI_LANES * sizeof(float));
    if (scale) {
      for (size_t i = 0; i < ROTOI_LANES; ++i) block[i] *= scale[i];
    }
    return;
  }
  for (size_t i = 0; i < real; ++i) block[i] = rotoi_f32(row + i * p->col_stride * 4) * (scale ? scale[i] : 1);
  for (size_t i = real; i < ROTOI_LANES; ++i) block[i] = 0;
}

/* All panels side by side, so that the file is read strictly forwards. */
static inline void rotoi_pack_panels(const rotoi_pack *p, float *out) {
  const size_t rows = p->taps * p->k;
  for (size_t r = 0; r < rows; ++r) {
    const unsigned char *row = rotoi_pack_at(p, r / p->k, r % p->k);
    for (size_t first = 0; first < p->columns; first += p->nr) {
      const size_t width = rotoi_panel_vectors(first / p->nr, p->columns, p->nr) * ROTOI_LANES;
      float *to = out + first * rows + r * width;
      for (size_t j = 0; j < width; j += ROTOI_LANES) {
        float block[ROTOI_LANES];
        rotoi_pack_block(p, row, first + j, block);
        memcpy(to + j, block, sizeof block);
      }
    }
  }
}

/* ---- low precision: words of 32 bits that hold `per` = 2 or 4 consecutive rows of a column.  A tap's k rows become
 * ceil(k / per) words, the last one filled with zeros; panels as above, counted in words.  Columns stand side by side. */

static inline size_t rotoi_words(size_t k, rotoi_type type) {
  const size_t per = 4 / rotoi_type_size(type);
  return (k + per - 1) / per;
}

/* To the nearest, halves away from zero, as kernels_low.c does. */
static inline uint16_t rotoi_to_bf16(float value) {
  return (uint16_t)((rotoi_bits(value) + 0x8000u) >> 16);
}

/* The nearest whole number of |value| <= 2^22, halves to even: adding 1.5 * 2^23 leaves it in the low bits. */
static inline int32_t rotoi_round(float value) {
  return (int32_t)(rotoi_bits(value + 12582912.0f) - 0x4b400000u);
}

/* As rotoi_pack_panels.  For bytes p->scale already takes weights to -127..127, and the sum of each column is added to sums[j], which
 * has room for whole vectors. */
static inline void rotoi_pack_words(const rotoi_low_kernels *low, const rotoi_pack *p, unsigned char *out, int32_t *sums) {
  const size_t per = 4 / rotoi_type_size(low->type), words = rotoi_words(p->k, low->type), rows = p->taps * words;
  for (size_t r = 0; r < rows; ++r) {
    const size_t l = r % words * per, count = p->k - l < per ? p->k - l : per;
    const unsigned char *row = rotoi_pack_at(p, r / words, l);
    for (size_t first = 0; first < p->columns; first += p->nr) {
      const size_t vectors = rotoi_panel_vectors(first / p->nr, p->columns, p->nr), width = vectors * ROTOI_LANES;
      low->pack(row + 4 * first, 4 * p->row_stride, count, p->columns - first < width ? p->columns - first : width,
                p->scale + first, out + 4 * (first * rows + r * width), sums + first);
    }
  }
}

/* The weights [kh][kw][columns] of a depthwise convolution to [ceil(kh / per)][kw][cs] words: each holds `per` rows of the kernel
 * in a channel, zeros where there is none.  p: taps = kh * kw, k = 1; p->scale and sums as in rotoi_pack_words. */
static inline void rotoi_pack_columns(const rotoi_low_kernels *low, const rotoi_pack *p, size_t kw, unsigned char *out,
                                      int32_t *sums) {
  const size_t per = 4 / rotoi_type_size(low->type), kh = p->taps / kw, width = rotoi_packed_count(1, p->columns);
  for (size_t ky = 0; ky < kh; ky += per) {
    for (size_t kx = 0; kx < kw; ++kx, out += 4 * width)
      low->pack(rotoi_pack_at(p, ky * kw + kx, 0), 4 * kw * p->columns, kh - ky < per ? kh - ky : per, p->columns, p->scale,
                out, sums);
  }
}

/* For each column what takes its weights to bytes: the largest to 127, or less where 255 times the sum of their sizes, and of what
 * rounding may add, could leave an int32.  Halves of at most ROTOI_MOST_BYTE_ROWS rows are far below that limit. */
enum { ROTOI_MOST_BYTE_ROWS = 1 << 22 };

static inline void rotoi_byte_scales(const rotoi_low_kernels *low, const rotoi_pack *p, float *scale) {
  enum { BLOCK = 256 };
  const size_t rows = p->taps * p->k;
  const double limit = 2147483647.0 / 255 - (double)rows / 2;
  for (size_t first = 0, end; first < p->columns; first = end) {
    double sums[BLOCK] = {0};
    end = p->columns - first < BLOCK ? p->columns : first + BLOCK;
    for (size_t j = first; j < end; ++j) scale[j] = 0;
    for (size_t t = 0; t < p->taps; ++t)
      low->sizes(rotoi_pack_at(p, t, 0) + 4 * first, 4 * p->row_stride, p->k, end - first, scale + first,
                 (double)rows * 127 > limit ? sums : NULL);
    for (size_t j = first; j < end; ++j) {
      scale[j] = scale[j] > 1e-30f ? 127 / scale[j] : 1;
      if (sums[j - first] * (double)scale[j] > limit) scale[j] = (float)(0.999 * limit / sums[j - first]);
    }
  }
}

#endif

/* >>format.c */

/* The .roto reader: one pass that checks every rule of model_format/SPEC.md, then accessors that decode records where they
 * lie.
 *
 * Loading is validating; there is no unchecked way in.  After rotoi_parse succeeds every index, size and shape found in the
 * file is in range, so the parts below use what the accessors return without testing it again.  Nothing is allocated and
 * nothing is copied; the file may lie at any address, because all loads go through the byte loads of base.c.
 *
 * Two habits keep the checks short and complete.  The format leaves no freedom of layout (chunks, tensors and strings each
 * start where the one before ended), so one comparison excludes holes, overlap, disorder and overflow at once.  And every
 * number is compared with its limit before it is multiplied: the limits are such that no product of checked numbers
 * overflows 64 bits, and each place where it matters says so. */

#ifndef ROTOI_FORMAT
#define ROTOI_FORMAT

/* One node, decoded.  Unused inputs and tensors are ROTO_NONE; fields an operation does not use are 0. */
typedef struct rotoi_node {
  uint16_t op, act;
  uint32_t input_count, inputs[ROTO_MAX_INPUTS];
  uint32_t kh, kw, stride, pad_top, pad_left, pad_bottom, pad_right;
  uint32_t h, w, c;    /* of the result */
  uint32_t tensors[4]; /* CONV, DEPTHWISE, DENSE: weight, bias or ROTO_NONE; BATCHNORM: gamma, beta, mean, variance */
  float epsilon;
  uint32_t channels_per_point;
} rotoi_node;

/* One network that draws shapes, decoded.  Its layers: 2 * blocks of `width` outputs, the last one of `outputs`. */
typedef struct rotoi_shape_net {
  uint32_t landmarks, vertices, places, blocks, width;
  uint32_t outputs; /* 2 * places + 4 * vertices */
  uint64_t floats;  /* of all its layers */
} rotoi_shape_net;

/* How a shape of the template uses a network. */
typedef struct rotoi_shape_use {
  uint32_t network; /* ROTO_NONE: not at all */
  int mirrored, reversed;
  uint32_t first;
} rotoi_shape_use;

/* A validated file.  Pointers lead into it and live as long as its bytes. */
typedef struct rotoi_file {
  const char *name, *description;
  uint32_t input_width, input_height, input_channels;
  roto_transfer input_transfer;
  float input_mean[4], input_scale[4], crop_margin;
  uint32_t landmark_count, part_count, shape_count, vertex_count; /* vertices of all shapes */
  uint32_t knot_count, node_count, tensor_count;
  uint32_t shape_net_count;         /* 0: the model predicts no shapes */
  uint32_t output_count;            /* 2N or 3N; without landmarks any number */
  uint64_t parameter_count;         /* floats in all tensors */
  uint64_t multiply_adds;           /* of CONV, DEPTHWISE and DENSE */
  float test_tolerance;             /* largest absolute difference of one output */
  const unsigned char *test_pixels; /* u8 [input_height][input_width][input_channels] */
  /* Records and tables for the accessors below. */
  const unsigned char *landmarks, *parts, *shapes, *vertices, *knots, *nodes, *directory, *data, *test_outputs;
  const unsigned char *shape_nets, *shape_uses, *shape_landmarks, *shape_weights, *shape_tests;
  const unsigned char *looks;  /* u32 [landmark_count] */
  const unsigned char *ranges; /* of each node, for int8; NULL: none */
  float range_tolerance;       /* of the self-test in int8 */
  uint32_t contour_count;      /* 0: there are none */
  const unsigned char *contour_sizes, *contour_landmarks; /* u32: landmarks of each contour; these, one after the other */
  const unsigned char *contour_filters;                   /* f32 [contour_count][places][floats] */
  uint32_t component_count;                               /* 0: there is no distribution */
  float distribution_deviation;
  const unsigned char *distribution_mean, *distribution_components; /* f32 [landmark_count][2]; as many of these */
  const char *strings;
  uint32_t look_count;             /* 0: there is no second look */
  const unsigned char *look_model; /* the file of its model, valid too */
  size_t look_model_size;
} rotoi_file;

/* Check `size` bytes against every rule and fill the view.  On failure the view is zero and `err`, if not NULL, says which
 * rule was broken where. */
static roto_status rotoi_parse(const unsigned char *data, size_t size, rotoi_file *file, roto_error *err);

/* Accessors.  Indices must be below the counts of the view; the caller checks those that come from outside the file. */
static void rotoi_read_node(const rotoi_file *file, uint32_t index, rotoi_node *node);
/* A tensor's little-endian floats, at any alignment, and how many (`count` may be NULL). */
static const unsigned char *rotoi_tensor(const rotoi_file *file, uint32_t id, uint64_t *count);
static void rotoi_read_landmark(const rotoi_file *file, uint32_t index, roto_landmark *landmark);
static void rotoi_read_part(const rotoi_file *file, uint32_t index, roto_part *part);
/* All vertices of all shapes, vertex_count of them, and a shape that points into such an array. */
static void rotoi_read_vertices(const rotoi_file *file, int32_t *vertices);
static void rotoi_read_shape(const rotoi_file *file, uint32_t index, const int32_t *vertices, roto_shape *shape);
static void rotoi_read_knot(const rotoi_file *file, uint32_t index, float *spread, float *error); /* spreads ascend */
static float rotoi_test_output(const rotoi_file *file, uint32_t index);                           /* index < output_count */

static uint32_t rotoi_read_look(const rotoi_file *file,
                                uint32_t landmark); /* its look, or ROTO_NONE; only where look_count > 0 */

static void rotoi_read_shape_net(const rotoi_file *file, uint32_t index, rotoi_shape_net *net);
static void rotoi_read_shape_use(const rotoi_file *file, uint32_t shape, rotoi_shape_use *use);

static void rotoi_read_range(const rotoi_file *file, uint32_t node, float *low, float *high);

/* ---- accessors ---- */

static void rotoi_read_range(const rotoi_file *file, uint32_t node, float *low, float *high) {
  *low = rotoi_f32(file->ranges + ROTO_RANGE_SIZE * (size_t)node + ROTO_RANGE_LOW);
  *high = rotoi_f32(file->ranges + ROTO_RANGE_SIZE * (size_t)node + ROTO_RANGE_HIGH);
}

static void rotoi_read_node(const rotoi_file *file, uint32_t index, rotoi_node *node) {
  const unsigned char *record = file->nodes + (size_t)index * ROTO_NODE_SIZE;
  int i;
  node->op = rotoi_u16(record + ROTO_NODE_OP);
  node->act = rotoi_u16(record + ROTO_NODE_ACT);
  node->input_count = rotoi_u32(record + ROTO_NODE_INPUT_COUNT);
  for (i = 0; i < 4; i++) {
    node->inputs[i] = rotoi_u32(record + ROTO_NODE_INPUTS + 4 * i);
    node->tensors[i] = rotoi_u32(record + ROTO_NODE_TENSORS + 4 * i);
  }
  node->kh = rotoi_u32(record + ROTO_NODE_KERNEL);
  node->kw = rotoi_u32(record + ROTO_NODE_KERNEL + 4);
  node->stride = rotoi_u32(record + ROTO_NODE_STRIDE);
  node->pad_top = rotoi_u32(record + ROTO_NODE_PADS);
  node->pad_left = rotoi_u32(record + ROTO_NODE_PADS + 4);
  node->pad_bottom = rotoi_u32(record + ROTO_NODE_PADS + 8);
  node->pad_right = rotoi_u32(record + ROTO_NODE_PADS + 12);
  node->h = rotoi_u32(record + ROTO_NODE_SHAPE);
  node->w = rotoi_u32(record + ROTO_NODE_SHAPE + 4);
  node->c = rotoi_u32(record + ROTO_NODE_SHAPE + 8);
  node->epsilon = rotoi_f32(record + ROTO_NODE_EPSILON);
  node->channels_per_point = rotoi_u32(record + ROTO_NODE_PER_POINT);
}

static const unsigned char *rotoi_tensor(const rotoi_file *file, uint32_t id, uint64_t *count) {
  const unsigned char *record = file->directory + (size_t)id * ROTO_TENSOR_SIZE;
  if (count) *count = rotoi_u64(record + ROTO_TENSOR_COUNT);
  return file->data + (size_t)rotoi_u64(record + ROTO_TENSOR_OFFSET);
}

static void rotoi_read_landmark(const rotoi_file *file, uint32_t index, roto_landmark *landmark) {
  const unsigned char *record = file->landmarks + (size_t)index * ROTO_LANDMARK_SIZE;
  landmark->name = file->strings + rotoi_u32(record + ROTO_LANDMARK_NAME);
  landmark->rule = file->strings + rotoi_u32(record + ROTO_LANDMARK_RULE);
  landmark->part = rotoi_u32(record + ROTO_LANDMARK_PART);
  landmark->flip = rotoi_u32(record + ROTO_LANDMARK_FLIP);
  landmark->weight = rotoi_f32(record + ROTO_LANDMARK_WEIGHT);
}

static void rotoi_read_part(const rotoi_file *file, uint32_t index, roto_part *part) {
  const unsigned char *record = file->parts + (size_t)index * ROTO_PART_SIZE;
  part->name = file->strings + rotoi_u32(record + ROTO_PART_NAME);
  part->weight = rotoi_f32(record + ROTO_PART_WEIGHT);
}

static void rotoi_read_vertices(const rotoi_file *file, int32_t *vertices) {
  uint32_t i;
  for (i = 0; i < file->vertex_count; i++) {
    uint32_t vertex = rotoi_u32(file->vertices + 4 * (size_t)i);
    vertices[i] = vertex == ROTO_NONE ? -1 : (int32_t)vertex;
  }
}

static void rotoi_read_shape(const rotoi_file *file, uint32_t index, const int32_t *vertices, roto_shape *shape) {
  const unsigned char *record = file->shapes + (size_t)index * ROTO_SHAPE_SIZE;
  shape->name = file->strings + rotoi_u32(record + ROTO_SHAPE_NAME);
  shape->closed = (int)rotoi_u32(record + ROTO_SHAPE_CLOSED);
  shape->vertices = vertices + rotoi_u32(record + ROTO_SHAPE_FIRST);
  shape->vertex_count = rotoi_u32(record + ROTO_SHAPE_COUNT);
}

static void rotoi_read_knot(const rotoi_file *file, uint32_t index, float *spread, float *error) {
  const unsigned char *record = file->knots + (size_t)index * ROTO_KNOT_SIZE;
  *spread = rotoi_f32(record + ROTO_KNOT_SPREAD);
  *error = rotoi_f32(record + ROTO_KNOT_ERROR);
}

static float rotoi_test_output(const rotoi_file *file, uint32_t index) {
  return rotoi_f32(file->test_outputs + 4 * (size_t)index);
}

static uint32_t rotoi_read_look(const rotoi_file *file, uint32_t landmark) {
  return rotoi_u32(file->looks + 4 * (size_t)landmark);
}

static void rotoi_read_shape_net(const rotoi_file *file, uint32_t index, rotoi_shape_net *net) {
  const unsigned char *record = file->shape_nets + (size_t)index * ROTO_SHAPE_NET_SIZE;
  uint64_t points, width;
  net->landmarks = rotoi_u32(record + ROTO_SHAPE_NET_LANDMARKS);
  net->vertices = rotoi_u32(record + ROTO_SHAPE_NET_VERTICES);
  net->places = rotoi_u32(record + ROTO_SHAPE_NET_PLACES);
  net->blocks = rotoi_u32(record + ROTO_SHAPE_NET_BLOCKS);
  net->width = rotoi_u32(record + ROTO_SHAPE_NET_WIDTH);
  net->outputs = 2 * net->places + 4 * net->vertices;
  points = 2 * (uint64_t)net->landmarks;
  width = net->width;
  net->floats = width * (points + 1) + net->blocks * width * (width + 1) +
                (net->blocks - (uint64_t)1) * width * (width + points + 1) + net->outputs * (width + points + 1);
}

static void rotoi_read_shape_use(const rotoi_file *file, uint32_t shape, rotoi_shape_use *use) {
  const unsigned char *record = file->shape_uses + (size_t)shape * ROTO_SHAPE_USE_SIZE;
  use->network = rotoi_u32(record + ROTO_SHAPE_USE_NETWORK);
  use->mirrored = (int)rotoi_u32(record + ROTO_SHAPE_USE_MIRRORED);
  use->reversed = (int)rotoi_u32(record + ROTO_SHAPE_USE_REVERSED);
  use->first = rotoi_u32(record + ROTO_SHAPE_USE_FIRST);
}

/* Vertex of a shape of `count` that is vertex i < count of its network. */
static inline uint32_t rotoi_shape_turn(const rotoi_shape_use *use, uint32_t count, uint32_t i) {
  return (use->reversed ? use->first + count - i : use->first + i) % count;
}

/* ---- validation ----
 *
 * Each rotoi_check_ function covers one chunk or record and returns 1, or 0 after rotoi_refuse has noted the broken rule. */

typedef struct rotoi_parser {
  const unsigned char *data;
  size_t size;
  const unsigned char *begin[ROTO_CHUNK_COUNT], *end[ROTO_CHUNK_COUNT];
  rotoi_file *file;
  roto_error error;
} rotoi_parser;

static int rotoi_refuse(rotoi_parser *p, uint32_t rule, size_t item, const unsigned char *where) {
  p->error.rule = rule;
  p->error.item = (uint32_t)item;
  p->error.offset = (uint64_t)(where - p->data);
  switch (rule) {
#define ROTOI_RULE_CASE(number, name, result, text) \
  case number:                                      \
    p->error.status = result;                       \
    break;
    ROTO_RULE_LIST(ROTOI_RULE_CASE)
#undef ROTOI_RULE_CASE
  }
  return 0;
}

static uint64_t rotoi_align_up(uint64_t offset) {
  return (offset + (ROTO_FORMAT_ALIGN - 1)) / ROTO_FORMAT_ALIGN * ROTO_FORMAT_ALIGN;
}

static int rotoi_check_zero(rotoi_parser *p, size_t item, const unsigned char *from, const unsigned char *to) {
  for (; from < to; from++)
    if (*from) return rotoi_refuse(p, ROTO_RULE_RESERVED, item, from);
  return 1;
}

/* On the bits, so that it holds under any floating-point flags. */
static int rotoi_is_finite(const unsigned char *f32) {
  return (rotoi_u32(f32) & 0x7f800000u) != 0x7f800000u;
}

/* Finite and not below zero (minus zero is refused: there is one way to write a number). */
static int rotoi_is_amount(const unsigned char *f32) {
  return rotoi_u32(f32) < 0x7f800000u;
}

/* Finite and above zero. */
static int rotoi_is_positive(const unsigned char *f32) {
  return rotoi_is_amount(f32) && rotoi_u32(f32) != 0;
}

static int rotoi_check_chunks(rotoi_parser *p) {
  const unsigned char *data = p->data, *entry = data + ROTO_HEADER_SIZE;
  static const uint32_t names[ROTO_CHUNK_COUNT] = {
#define ROTOI_CHUNK_CODE(name, code) code,
      ROTO_CHUNK_LIST(ROTOI_CHUNK_CODE)
#undef ROTOI_CHUNK_CODE
  };
  uint64_t end; /* of what was checked; <= size from here on */
  uint32_t i, count, chunk = 0;

  if (p->size < 8 || memcmp(data, ROTO_FORMAT_MAGIC, 8) != 0) return rotoi_refuse(p, ROTO_RULE_MAGIC, 0, data);
  if (p->size >= 12 && rotoi_u32(data + ROTO_HEADER_VERSION) != ROTO_FORMAT_VERSION)
    return rotoi_refuse(p, ROTO_RULE_VERSION, 0, data + ROTO_HEADER_VERSION);
  if (p->size < ROTO_HEADER_SIZE) return rotoi_refuse(p, ROTO_RULE_FILE_SIZE, 0, data + p->size);
  if (rotoi_u64(data + ROTO_HEADER_FILE_SIZE) != p->size)
    return rotoi_refuse(p, ROTO_RULE_FILE_SIZE, 0, data + ROTO_HEADER_FILE_SIZE);
  count = rotoi_u32(data + ROTO_HEADER_CHUNK_COUNT);
  end = ROTO_HEADER_SIZE + (uint64_t)count * ROTO_ENTRY_SIZE;
  if (count < ROTO_CHUNK_REQUIRED || count > ROTO_CHUNK_COUNT || p->size < end)
    return rotoi_refuse(p, ROTO_RULE_CHUNK_COUNT, 0, data + ROTO_HEADER_CHUNK_COUNT);
  if (!rotoi_check_zero(p, 0, data + ROTO_HEADER_USED, data + ROTO_HEADER_SIZE)) return 0;

  for (i = 0; i < count; i++, chunk++, entry += ROTO_ENTRY_SIZE) {
    uint64_t offset = rotoi_u64(entry + ROTO_ENTRY_OFFSET), length = rotoi_u64(entry + ROTO_ENTRY_LENGTH);
    uint32_t name = rotoi_u32(entry + ROTO_ENTRY_NAME);
    while (chunk >= ROTO_CHUNK_REQUIRED && chunk + 1 < ROTO_CHUNK_COUNT && name != names[chunk]) chunk++;
    if (chunk >= ROTO_CHUNK_COUNT || name != names[chunk]) return rotoi_refuse(p, ROTO_RULE_CHUNK_NAME, i, entry);
    if (!rotoi_check_zero(p, i, entry + ROTO_ENTRY_NAME + 4, entry + ROTO_ENTRY_OFFSET)) return 0;
    if (!rotoi_check_zero(p, i, entry + ROTO_ENTRY_USED, entry + ROTO_ENTRY_SIZE)) return 0;
    if (offset != rotoi_align_up(end)) return rotoi_refuse(p, ROTO_RULE_CHUNK_OFFSET, i, entry + ROTO_ENTRY_OFFSET);
    if (offset > p->size || length > p->size - offset)
      return rotoi_refuse(p, ROTO_RULE_CHUNK_END, i, entry + ROTO_ENTRY_LENGTH);
    if (!rotoi_check_zero(p, i, data + (size_t)end, data + (size_t)offset)) return 0;
    end = offset + length;
    p->begin[chunk] = data + (size_t)offset;
    p->end[chunk] = data + (size_t)end;
  }
  if (end != p->size) return rotoi_refuse(p, ROTO_RULE_TRAILING, i - 1, data + (size_t)end);
  return 1;
}

/* A chunk must hold `length` bytes, all of them or only the head that says how many follow. */
static int rotoi_check_length(rotoi_parser *p, int chunk, uint64_t length) {
  if ((uint64_t)(p->end[chunk] - p->begin[chunk]) == length) return 1;
  return rotoi_refuse(p, ROTO_RULE_CHUNK_LENGTH, (size_t)chunk, p->begin[chunk]);
}
static int rotoi_check_head(rotoi_parser *p, int chunk, size_t used, size_t size) {
  if ((size_t)(p->end[chunk] - p->begin[chunk]) < size)
    return rotoi_refuse(p, ROTO_RULE_CHUNK_LENGTH, (size_t)chunk, p->begin[chunk]);
  return rotoi_check_zero(p, (size_t)chunk, p->begin[chunk] + used, p->begin[chunk] + size);
}

/* Well-formed UTF-8 of `length` bytes: shortest forms only, no surrogates, nothing above U+10FFFF; no control characters, so
 * that printing a name cannot drive a terminal.  Free text may have tabs and newlines. */
static int rotoi_is_text(const unsigned char *s, size_t length, int free_text) {
  size_t i = 0;
  while (i < length) {
    unsigned lead = s[i++], code, more;
    if (lead < 0x80) {
      if ((lead < 0x20 && !(free_text && (lead == '\n' || lead == '\t'))) || lead == 0x7f) return 0;
      continue;
    }
    if (lead < 0xc2 || lead > 0xf4) return 0;
    more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    code = lead & (0x3fu >> more);
    if (length - i < more) return 0;
    for (; more; more--, i++) {
      if ((s[i] & 0xc0) != 0x80) return 0;
      code = code << 6 | (s[i] & 0x3fu);
    }
    if (code < 0xa0 || (lead >= 0xe0 && code < 0x800) || (lead >= 0xf0 && code < 0x10000)) return 0;
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return 0;
  }
  return 1;
}

/* The string that must start at *at: ended, short enough, text; *at moves behind it. */
static int rotoi_check_string(rotoi_parser *p, size_t item, const unsigned char **at, const unsigned char *end, int free_text) {
  const unsigned char *start = *at, *zero;
  size_t room = (size_t)(end - start), limit = free_text ? ROTO_MAX_STRING : ROTO_MAX_NAME;
  zero = (const unsigned char *)memchr(start, 0, room < limit ? room : limit);
  if (!zero) return rotoi_refuse(p, ROTO_RULE_STRING_END, item, start);
  if (!rotoi_is_text(start, (size_t)(zero - start), free_text)) return rotoi_refuse(p, ROTO_RULE_STRING_TEXT, item, start);
  *at = zero + 1;
  return 1;
}

static int rotoi_check_meta(rotoi_parser *p) {
  const unsigned char *at = p->begin[ROTO_CHUNK_META], *end = p->end[ROTO_CHUNK_META];
  p->file->name = (const char *)at;
  if (!rotoi_check_string(p, 0, &at, end, 0)) return 0;
  p->file->description = (const char *)at;
  if (!rotoi_check_string(p, 1, &at, end, 1)) return 0;
  return at == end ? 1 : rotoi_refuse(p, ROTO_RULE_STRING_PLACE, 2, at);
}

static int rotoi_check_input(rotoi_parser *p) {
  const unsigned char *in = p->begin[ROTO_CHUNK_INPT];
  rotoi_file *file = p->file;
  uint32_t i, transfer;
  if (!rotoi_check_length(p, ROTO_CHUNK_INPT, ROTO_INPUT_SIZE)) return 0;
  if (!rotoi_check_head(p, ROTO_CHUNK_INPT, ROTO_INPUT_USED, ROTO_INPUT_SIZE)) return 0;
  file->input_width = rotoi_u32(in + ROTO_INPUT_WIDTH);
  file->input_height = rotoi_u32(in + ROTO_INPUT_HEIGHT);
  file->input_channels = rotoi_u32(in + ROTO_INPUT_CHANNELS);
  if (file->input_width - 1 >= ROTO_MAX_SIZE || file->input_height - 1 >= ROTO_MAX_SIZE ||
      file->input_channels - 1 >= ROTO_MAX_INPUT_CHANNELS)
    return rotoi_refuse(p, ROTO_RULE_INPUT_SHAPE, 0, in);
  transfer = rotoi_u32(in + ROTO_INPUT_TRANSFER);
  if (transfer != ROTO_TRANSFER_SRGB && transfer != ROTO_TRANSFER_LINEAR)
    return rotoi_refuse(p, ROTO_RULE_INPUT_TRANSFER, 0, in + ROTO_INPUT_TRANSFER);
  file->input_transfer = (roto_transfer)transfer;
  for (i = 0; i < 4; i++) {
    const unsigned char *mean = in + ROTO_INPUT_MEAN + 4 * i, *scale = in + ROTO_INPUT_SCALE + 4 * i;
    int is_valid = i < file->input_channels
                       ? rotoi_is_finite(mean) && rotoi_is_finite(scale) && (rotoi_u32(scale) & 0x7fffffffu) != 0
                       : rotoi_u32(mean) == 0 && rotoi_u32(scale) == 0;
    if (!is_valid) return rotoi_refuse(p, ROTO_RULE_INPUT_SCALING, i, mean);
    file->input_mean[i] = rotoi_f32(mean);
    file->input_scale[i] = rotoi_f32(scale);
  }
  if (!rotoi_is_positive(in + ROTO_INPUT_MARGIN)) return rotoi_refuse(p, ROTO_RULE_INPUT_MARGIN, 0, in + ROTO_INPUT_MARGIN);
  file->crop_margin = rotoi_f32(in + ROTO_INPUT_MARGIN);
  return 1;
}

/* The string a template record names: it must be the next one of the table. */
static int rotoi_check_next(rotoi_parser *p, size_t item, const unsigned char *field, const unsigned char **at, int free_text) {
  const unsigned char *end = p->end[ROTO_CHUNK_TMPL];
  if (rotoi_u32(field) != (size_t)(*at - (const unsigned char *)p->file->strings))
    return rotoi_refuse(p, ROTO_RULE_STRING_PLACE, item, field);
  return rotoi_check_string(p, item, at, end, free_text);
}

/* Names of landmarks, parts or shapes (all records begin with the name), already known to be strings: a file of 1024 names
 * costs half a million comparisons, which mostly end at the first byte. */
static int rotoi_check_names(rotoi_parser *p, const unsigned char *records, size_t size, uint32_t count) {
  const char *strings = p->file->strings;
  uint32_t i, j;
  for (i = 0; i < count; i++) {
    const char *name = strings + rotoi_u32(records + i * size);
    if (!*name) return rotoi_refuse(p, ROTO_RULE_NAME, i, records + i * size);
    for (j = 0; j < i; j++)
      if (strcmp(name, strings + rotoi_u32(records + j * size)) == 0)
        return rotoi_refuse(p, ROTO_RULE_NAME, i, records + i * size);
  }
  return 1;
}

static int rotoi_check_template(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TMPL], *record, *at;
  rotoi_file *file = p->file;
  uint32_t i, landmarks, parts, shapes, vertices, next = 0;
  uint64_t length;
  if (!rotoi_check_head(p, ROTO_CHUNK_TMPL, ROTO_TEMPLATE_USED, ROTO_TEMPLATE_SIZE)) return 0;
  file->landmark_count = landmarks = rotoi_u32(head + ROTO_TEMPLATE_LANDMARKS);
  file->part_count = parts = rotoi_u32(head + ROTO_TEMPLATE_PARTS);
  file->shape_count = shapes = rotoi_u32(head + ROTO_TEMPLATE_SHAPES);
  file->vertex_count = vertices = rotoi_u32(head + ROTO_TEMPLATE_VERTICES);
  if ((landmarks == 0) != (parts == 0)) return rotoi_refuse(p, ROTO_RULE_TEMPLATE_COUNT, 0, head);
  if (landmarks > ROTO_MAX_LANDMARKS || parts > ROTO_MAX_LANDMARKS || shapes > ROTO_MAX_LANDMARKS ||
      vertices > ROTO_MAX_VERTICES)
    return rotoi_refuse(p, ROTO_RULE_TEMPLATE_LIMIT, 0, head);
  length = ROTO_TEMPLATE_SIZE + (uint64_t)landmarks * ROTO_LANDMARK_SIZE + (uint64_t)parts * ROTO_PART_SIZE +
           (uint64_t)shapes * ROTO_SHAPE_SIZE + (uint64_t)vertices * 4 + rotoi_u32(head + ROTO_TEMPLATE_STRINGS);
  if (!rotoi_check_length(p, ROTO_CHUNK_TMPL, length)) return 0;
  file->landmarks = head + ROTO_TEMPLATE_SIZE;
  file->parts = file->landmarks + (size_t)landmarks * ROTO_LANDMARK_SIZE;
  file->shapes = file->parts + (size_t)parts * ROTO_PART_SIZE;
  file->vertices = file->shapes + (size_t)shapes * ROTO_SHAPE_SIZE;
  at = file->vertices + (size_t)vertices * 4;
  file->strings = (const char *)at;

  for (i = 0, record = file->landmarks; i < landmarks; i++, record += ROTO_LANDMARK_SIZE) {
    uint32_t flip = rotoi_u32(record + ROTO_LANDMARK_FLIP);
    if (!rotoi_check_next(p, i, record + ROTO_LANDMARK_NAME, &at, 0)) return 0;
    if (!rotoi_check_next(p, i, record + ROTO_LANDMARK_RULE, &at, 1)) return 0;
    if (rotoi_u32(record + ROTO_LANDMARK_PART) >= parts)
      return rotoi_refuse(p, ROTO_RULE_LANDMARK_PART, i, record + ROTO_LANDMARK_PART);
    if (flip >= landmarks || rotoi_u32(file->landmarks + flip * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP) != i)
      return rotoi_refuse(p, ROTO_RULE_LANDMARK_FLIP, i, record + ROTO_LANDMARK_FLIP);
    if (!rotoi_is_amount(record + ROTO_LANDMARK_WEIGHT))
      return rotoi_refuse(p, ROTO_RULE_WEIGHT, i, record + ROTO_LANDMARK_WEIGHT);
  }
  for (i = 0, record = file->parts; i < parts; i++, record += ROTO_PART_SIZE) {
    if (!rotoi_check_next(p, i, record + ROTO_PART_NAME, &at, 0)) return 0;
    if (!rotoi_is_amount(record + ROTO_PART_WEIGHT)) return rotoi_refuse(p, ROTO_RULE_WEIGHT, i, record + ROTO_PART_WEIGHT);
  }
  for (i = 0, record = file->shapes; i < shapes; i++, record += ROTO_SHAPE_SIZE) {
    uint32_t count = rotoi_u32(record + ROTO_SHAPE_COUNT);
    if (!rotoi_check_next(p, i, record + ROTO_SHAPE_NAME, &at, 0)) return 0;
    if (rotoi_u32(record + ROTO_SHAPE_CLOSED) > 1)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_CLOSED, i, record + ROTO_SHAPE_CLOSED);
    if (rotoi_u32(record + ROTO_SHAPE_FIRST) != next || count == 0 || count > vertices - next)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTICES, i, record + ROTO_SHAPE_FIRST);
    next += count;
  }
  if (next != vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTICES, shapes, file->shapes);
  for (i = 0, record = file->vertices; i < vertices; i++, record += 4)
    if (rotoi_u32(record) >= landmarks && rotoi_u32(record) != ROTO_NONE) return rotoi_refuse(p, ROTO_RULE_VERTEX, i, record);
  if (at != p->end[ROTO_CHUNK_TMPL]) return rotoi_refuse(p, ROTO_RULE_STRING_PLACE, landmarks + parts + shapes, at);
  return rotoi_check_names(p, file->landmarks, ROTO_LANDMARK_SIZE, landmarks) &&
         rotoi_check_names(p, file->parts, ROTO_PART_SIZE, parts) &&
         rotoi_check_names(p, file->shapes, ROTO_SHAPE_SIZE, shapes);
}

/* All floats of a tensor.  An exponent of all ones carries into bit 31 when one is added to it, so the loop has no branch;
 * it runs at the speed of memory, and the packer that follows finds the weights in the cache or at least in RAM. */
static int rotoi_all_finite(const unsigned char *floats, size_t count) {
  uint32_t carry = 0, carries[16] = {0};
  size_t i, j;
  for (i = 0; i + 16 <= count; i += 16) { /* sixteen at a time, which compilers turn into vectors */
    for (j = 0; j < 16; j++) carries[j] |= (rotoi_u32(floats + 4 * (i + j)) & 0x7fffffffu) + 0x00800000u;
  }
  for (; i < count; i++) carry |= (rotoi_u32(floats + 4 * i) & 0x7fffffffu) + 0x00800000u;
  for (j = 0; j < 16; j++) carry |= carries[j];
  return carry >> 31 == 0;
}

static int rotoi_check_tensors(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TDIR], *data = p->begin[ROTO_CHUNK_DATA], *record;
  uint64_t size = (uint64_t)(p->end[ROTO_CHUNK_DATA] - data), end = 0; /* end <= size */
  rotoi_file *file = p->file;
  uint32_t i;
  if (!rotoi_check_head(p, ROTO_CHUNK_TDIR, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->tensor_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->tensor_count > ROTO_MAX_TENSORS) return rotoi_refuse(p, ROTO_RULE_NODE_LIMIT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_TDIR, ROTO_LIST_SIZE + (uint64_t)file->tensor_count * ROTO_TENSOR_SIZE)) return 0;
  file->directory = record = head + ROTO_LIST_SIZE;
  file->data = data;
  for (i = 0; i < file->tensor_count; i++, record += ROTO_TENSOR_SIZE) {
    uint64_t offset = rotoi_u64(record + ROTO_TENSOR_OFFSET), count = rotoi_u64(record + ROTO_TENSOR_COUNT);
    if (count > ROTO_MAX_VALUES) return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, i, record + ROTO_TENSOR_COUNT);
    if (offset != rotoi_align_up(end) || offset > size || count * 4 > size - offset)
      return rotoi_refuse(p, ROTO_RULE_TENSOR_PLACE, i, record);
    if (!rotoi_check_zero(p, i, data + (size_t)end, data + (size_t)offset)) return 0;
    if (!rotoi_all_finite(data + (size_t)offset, (size_t)count))
      return rotoi_refuse(p, ROTO_RULE_FINITE, i, data + (size_t)offset);
    end = offset + count * 4;
    file->parameter_count += count;
  }
  if (end != size) return rotoi_refuse(p, ROTO_RULE_TENSOR_PLACE, i, data + (size_t)end);
  return 1;
}

/* What each operation takes, in the order of the opcodes. */
typedef struct rotoi_op_traits {
  unsigned char inputs_min, inputs_max;
  unsigned char act;               /* 0: never, 1: may have one, 2: must have one */
  unsigned char window;            /* has kernel, stride and padding */
  unsigned char tensors, optional; /* tensors it needs, and may have after them */
} rotoi_op_traits;

static const rotoi_op_traits rotoi_ops[ROTO_OP_COUNT] = {
    {0, 0, 0, 0, 0, 0}, /* INPUT */
    {1, 1, 1, 1, 1, 1}, /* CONV */
    {1, 1, 1, 1, 1, 1}, /* DEPTHWISE */
    {1, 1, 1, 0, 1, 1}, /* DENSE */
    {1, 1, 1, 0, 4, 0}, /* BATCHNORM */
    {1, 1, 2, 0, 0, 0}, /* ACT */
    {2, 2, 1, 0, 0, 0}, /* ADD */
    {2, 2, 1, 0, 0, 0}, /* SCALE */
    {2, 4, 0, 0, 0, 0}, /* CONCAT */
    {1, 1, 0, 1, 0, 0}, /* MAXPOOL */
    {1, 1, 0, 1, 0, 0}, /* AVGPOOL */
    {1, 1, 0, 0, 0, 0}, /* GLOBALPOOL */
    {1, 1, 0, 0, 0, 0}, /* UPSAMPLE */
    {1, 1, 0, 0, 0, 0}, /* POINTS */
};

typedef struct rotoi_network_check {
  unsigned char used[ROTO_MAX_NODES]; /* 1 where a node is an input of another */
  uint32_t next_tensor;
  uint64_t work; /* steps so far, <= ROTO_MAX_MULTIPLY_ADDS */
} rotoi_network_check;

/* The fields that say what the operation is: known, and zero or none where it has no use for them. */
static int rotoi_check_node_fields(rotoi_parser *p, uint32_t index, const rotoi_node *node, const unsigned char *record) {
  const rotoi_op_traits *op;
  uint32_t i;
  if (node->op >= ROTO_OP_COUNT) return rotoi_refuse(p, ROTO_RULE_OP, index, record + ROTO_NODE_OP);
  op = &rotoi_ops[node->op];
  if ((node->op == ROTO_OP_INPUT) != (index == 0)) return rotoi_refuse(p, ROTO_RULE_INPUT_NODE, index, record + ROTO_NODE_OP);
  if (node->act >= ROTO_ACT_COUNT || (op->act == 0 && node->act != ROTO_ACT_NONE) ||
      (op->act == 2 && node->act == ROTO_ACT_NONE))
    return rotoi_refuse(p, ROTO_RULE_ACT, index, record + ROTO_NODE_ACT);
  if (node->input_count < op->inputs_min || node->input_count > op->inputs_max)
    return rotoi_refuse(p, ROTO_RULE_INPUT_COUNT, index, record + ROTO_NODE_INPUT_COUNT);
  for (i = 0; i < ROTO_MAX_INPUTS; i++)
    if (i < node->input_count ? node->inputs[i] >= index : node->inputs[i] != ROTO_NONE)
      return rotoi_refuse(p, ROTO_RULE_INPUT_INDEX, index, record + ROTO_NODE_INPUTS + 4 * i);
  for (i = 0; i < node->input_count; i++)
    if (node->inputs[i] == 0 && node->op != ROTO_OP_CONV)
      return rotoi_refuse(p, ROTO_RULE_PICTURE, index, record + ROTO_NODE_INPUTS + 4 * i);
  if (!op->window && (node->kh | node->kw | node->stride | node->pad_top | node->pad_left | node->pad_bottom | node->pad_right))
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_KERNEL);
  if (node->op != ROTO_OP_BATCHNORM && rotoi_u32(record + ROTO_NODE_EPSILON) != 0)
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_EPSILON);
  if (node->op != ROTO_OP_POINTS && node->channels_per_point != 0)
    return rotoi_refuse(p, ROTO_RULE_UNUSED_FIELD, index, record + ROTO_NODE_PER_POINT);
  if (op->window && (node->kh == 0 || node->kw == 0 || node->stride == 0))
    return rotoi_refuse(p, ROTO_RULE_KERNEL, index, record + ROTO_NODE_KERNEL);
  if (node->kh > ROTO_MAX_KERNEL || node->kw > ROTO_MAX_KERNEL || node->stride > ROTO_MAX_STRIDE)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, record + ROTO_NODE_KERNEL);
  if (node->h > ROTO_MAX_SIZE || node->w > ROTO_MAX_SIZE || node->c > ROTO_MAX_CHANNELS ||
      (uint64_t)node->h * node->w * node->c > ROTO_MAX_VALUES)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, record + ROTO_NODE_SHAPE);
  return 1;
}

/* The shape of the result from the shapes of the inputs.  All sides are at most 2^12, channels 2^16, kernels 2^6. */
static int rotoi_check_node_shape(rotoi_parser *p, uint32_t index, const rotoi_node *node, const rotoi_node *in,
                                  const unsigned char *record) {
  const rotoi_node *a = &in[0], *b = &in[1];
  uint32_t h = a->h, w = a->w, c = a->c, i;
  int fits = 1;
  if (rotoi_ops[node->op].window) {
    /* Padding below the kernel side: every window has at least one pixel of the picture, so a mean never divides by 0. */
    uint32_t room_y = h + node->pad_top + node->pad_bottom, room_x = w + node->pad_left + node->pad_right;
    if (node->pad_top >= node->kh || node->pad_bottom >= node->kh || node->pad_left >= node->kw ||
        node->pad_right >= node->kw || room_y < node->kh || room_x < node->kw)
      return rotoi_refuse(p, ROTO_RULE_PADDING, index, record + ROTO_NODE_PADS);
    h = (room_y - node->kh) / node->stride + 1;
    w = (room_x - node->kw) / node->stride + 1;
  }
  switch (node->op) {
    case ROTO_OP_INPUT:
      h = p->file->input_height, w = p->file->input_width, c = p->file->input_channels;
      if (node->h != h || node->w != w || node->c != c)
        return rotoi_refuse(p, ROTO_RULE_INPUT_NODE, index, record + ROTO_NODE_SHAPE);
      break;
    case ROTO_OP_CONV:
      c = node->c;
      break;
    case ROTO_OP_DENSE:
      h = w = 1, c = node->c;
      break;
    case ROTO_OP_ADD:
      fits = b->h == h && b->w == w && b->c == c;
      break;
    case ROTO_OP_SCALE:
      fits = b->h == 1 && b->w == 1 && b->c == c;
      break;
    case ROTO_OP_CONCAT:
      for (i = 1; i < node->input_count; i++) {
        fits = fits && in[i].h == h && in[i].w == w;
        c += in[i].c;
      }
      break;
    case ROTO_OP_GLOBALPOOL:
      h = w = 1;
      break;
    case ROTO_OP_UPSAMPLE:
      h *= 2, w *= 2;
      break;
    case ROTO_OP_POINTS:
      if (index + 1 != p->file->node_count || (node->channels_per_point != 1 && node->channels_per_point != 3) ||
          c != p->file->landmark_count * node->channels_per_point)
        return rotoi_refuse(p, ROTO_RULE_POINTS, index, record + ROTO_NODE_PER_POINT);
      h = w = 1, c = p->file->landmark_count * 3;
      break;
    default:
      break; /* as the input */
  }
  if (!fits) return rotoi_refuse(p, ROTO_RULE_OPERANDS, index, record + ROTO_NODE_INPUTS);
  if (node->h != h || node->w != w || node->c != c || c == 0)
    return rotoi_refuse(p, ROTO_RULE_SHAPE, index, record + ROTO_NODE_SHAPE);
  return 1;
}

/* Floats of each tensor of a node; every product is below 2^6 * 2^6 * 2^16 * 2^16 or 2^28 * 2^16. */
static uint64_t rotoi_needed_floats(const rotoi_node *node, const rotoi_node *in, uint32_t slot) {
  if (slot > 0 || node->op == ROTO_OP_BATCHNORM) return node->c;
  if (node->op == ROTO_OP_DENSE) return (uint64_t)in->h * in->w * in->c * node->c;
  return (uint64_t)node->kh * node->kw * (node->op == ROTO_OP_CONV ? in->c : 1) * node->c;
}

static int rotoi_check_node_tensors(rotoi_parser *p, rotoi_network_check *check, uint32_t index, const rotoi_node *node,
                                    const rotoi_node *in, const unsigned char *record) {
  const rotoi_op_traits *op = &rotoi_ops[node->op];
  uint32_t slot, i;
  for (slot = 0; slot < 4; slot++) {
    const unsigned char *field = record + ROTO_NODE_TENSORS + 4 * slot;
    uint32_t id = node->tensors[slot];
    uint64_t count, needed;
    if (id == ROTO_NONE && slot >= op->tensors) continue;
    if (slot >= (uint32_t)op->tensors + op->optional || id != check->next_tensor || id >= p->file->tensor_count)
      return rotoi_refuse(p, ROTO_RULE_TENSOR_ORDER, index, field);
    check->next_tensor++;
    rotoi_tensor(p->file, id, &count);
    needed = rotoi_needed_floats(node, in, slot);
    if (needed > ROTO_MAX_VALUES) return rotoi_refuse(p, ROTO_RULE_SHAPE_LIMIT, index, field);
    if (count != needed) return rotoi_refuse(p, ROTO_RULE_TENSOR_COUNT, id, field);
  }
  if (node->op == ROTO_OP_BATCHNORM) {
    const unsigned char *variance = rotoi_tensor(p->file, node->tensors[3], NULL);
    if (!rotoi_is_positive(record + ROTO_NODE_EPSILON))
      return rotoi_refuse(p, ROTO_RULE_EPSILON, index, record + ROTO_NODE_EPSILON);
    for (i = 0; i < node->c; i++)
      if (!(rotoi_f32(variance + 4 * (size_t)i) + node->epsilon > 0))
        return rotoi_refuse(p, ROTO_RULE_VARIANCE, node->tensors[3], variance + 4 * (size_t)i);
  }
  return 1;
}

static int rotoi_check_network(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_NETW], *record = head + ROTO_LIST_SIZE;
  rotoi_file *file = p->file;
  rotoi_network_check check;
  rotoi_node node, in[ROTO_MAX_INPUTS];
  uint32_t i, k;
  memset(&check, 0, sizeof check);
  if (!rotoi_check_head(p, ROTO_CHUNK_NETW, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->node_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->node_count < 2) return rotoi_refuse(p, ROTO_RULE_NODE_COUNT, 0, head);
  if (file->node_count > ROTO_MAX_NODES) return rotoi_refuse(p, ROTO_RULE_NODE_LIMIT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_NETW, ROTO_LIST_SIZE + (uint64_t)file->node_count * ROTO_NODE_SIZE)) return 0;
  file->nodes = record;

  for (i = 0; i < file->node_count; i++, record += ROTO_NODE_SIZE) {
    uint64_t values, work;
    rotoi_read_node(file, i, &node);
    if (!rotoi_check_node_fields(p, i, &node, record)) return 0;
    memset(in, 0, sizeof in);
    for (k = 0; k < node.input_count; k++) {
      rotoi_read_node(file, node.inputs[k], &in[k]);
      check.used[node.inputs[k]] = 1;
    }
    if (!rotoi_check_node_shape(p, i, &node, in, record)) return 0;
    if (!rotoi_check_node_tensors(p, &check, i, &node, in, record)) return 0;

    /* At most 2^28 weights * 2^24 pixels or 2^28 values * 2^12 kernel, on top of 2^40: no overflow before the test. */
    values = (uint64_t)node.h * node.w * node.c;
    if (rotoi_ops[node.op].tensors == 1) {
      work = node.op == ROTO_OP_DENSE ? rotoi_needed_floats(&node, in, 0)
                                      : rotoi_needed_floats(&node, in, 0) * ((uint64_t)node.h * node.w);
      file->multiply_adds += work;
    } else {
      work = rotoi_ops[node.op].window ? values * node.kh * node.kw : values;
      if (work < (uint64_t)in[0].h * in[0].w * in[0].c) work = (uint64_t)in[0].h * in[0].w * in[0].c;
    }
    check.work += work;
    if (check.work > ROTO_MAX_MULTIPLY_ADDS) return rotoi_refuse(p, ROTO_RULE_WORK_LIMIT, i, record);
  }
  if (check.next_tensor != file->tensor_count) return rotoi_refuse(p, ROTO_RULE_TENSOR_ORDER, i - 1, head);
  for (i = 0; i + 1 < file->node_count; i++)
    if (!check.used[i]) return rotoi_refuse(p, ROTO_RULE_NODE_USED, i, file->nodes + (size_t)i * ROTO_NODE_SIZE);
  if (file->landmark_count > 0 &&
      (node.h != 1 || node.w != 1 || (node.c != 2 * file->landmark_count && node.c != 3 * file->landmark_count)))
    return rotoi_refuse(p, ROTO_RULE_OUTPUT, i, file->nodes + (size_t)i * ROTO_NODE_SIZE + ROTO_NODE_SHAPE);
  file->output_count = node.h * node.w * node.c;
  return 1;
}

static int rotoi_check_calibration(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_CALB], *record = head + ROTO_LIST_SIZE;
  rotoi_file *file = p->file;
  uint32_t i;
  if (!rotoi_check_head(p, ROTO_CHUNK_CALB, ROTO_LIST_USED, ROTO_LIST_SIZE)) return 0;
  file->knot_count = rotoi_u32(head + ROTO_LIST_COUNT);
  if (file->knot_count - 1 >= ROTO_MAX_KNOTS ||
      (file->knot_count != 1 && (file->landmark_count == 0 || file->output_count == 2 * file->landmark_count)))
    return rotoi_refuse(p, ROTO_RULE_KNOT_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_CALB, ROTO_LIST_SIZE + (uint64_t)file->knot_count * ROTO_KNOT_SIZE)) return 0;
  file->knots = record;
  for (i = 0; i < file->knot_count; i++, record += ROTO_KNOT_SIZE)
    if (!rotoi_is_amount(record + ROTO_KNOT_SPREAD) || !rotoi_is_amount(record + ROTO_KNOT_ERROR) ||
        (i > 0 && !(rotoi_f32(record + ROTO_KNOT_SPREAD) > rotoi_f32(record - ROTO_KNOT_SIZE + ROTO_KNOT_SPREAD))))
      return rotoi_refuse(p, ROTO_RULE_KNOT_VALUE, i, record);
  return 1;
}

static int rotoi_check_test(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_TEST];
  rotoi_file *file = p->file;
  uint32_t outputs, pixels, i;
  if (!rotoi_check_head(p, ROTO_CHUNK_TEST, ROTO_TEST_USED, ROTO_TEST_SIZE)) return 0;
  outputs = rotoi_u32(head + ROTO_TEST_OUTPUTS);
  pixels = rotoi_u32(head + ROTO_TEST_PIXELS);
  if (outputs != file->output_count || pixels != file->input_width * file->input_height * file->input_channels)
    return rotoi_refuse(p, ROTO_RULE_TEST_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_TEST, ROTO_TEST_SIZE + (uint64_t)outputs * 4 + pixels)) return 0;
  file->test_outputs = head + ROTO_TEST_SIZE;
  file->test_pixels = file->test_outputs + (size_t)outputs * 4;
  file->test_tolerance = rotoi_f32(head + ROTO_TEST_TOLERANCE);
  if (!rotoi_is_positive(head + ROTO_TEST_TOLERANCE)) return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, 0, head);
  for (i = 0; i < outputs; i++)
    if (!rotoi_is_finite(file->test_outputs + 4 * (size_t)i))
      return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, i, file->test_outputs + 4 * (size_t)i);
  return 1;
}

static int rotoi_check_shape_nets(rotoi_parser *p, uint64_t *floats) {
  const unsigned char *record = p->file->shape_nets;
  uint32_t i;
  for (i = 0; i < p->file->shape_net_count; i++, record += ROTO_SHAPE_NET_SIZE) {
    rotoi_shape_net net;
    uint32_t places = rotoi_u32(record + ROTO_SHAPE_NET_PLACES), vertices = rotoi_u32(record + ROTO_SHAPE_NET_VERTICES);
    uint32_t width = rotoi_u32(record + ROTO_SHAPE_NET_WIDTH), blocks = rotoi_u32(record + ROTO_SHAPE_NET_BLOCKS);
    uint32_t landmarks = rotoi_u32(record + ROTO_SHAPE_NET_LANDMARKS);
    if (landmarks < 2 || vertices < 1 || blocks < 1 || width < 1 || width % 16 != 0)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_NETWORK, i, record);
    if (landmarks > ROTO_MAX_SHAPE_LANDMARKS || vertices > ROTO_MAX_SHAPE_VERTICES || blocks > ROTO_MAX_SHAPE_BLOCKS ||
        width > ROTO_MAX_SHAPE_WIDTH)
      return rotoi_refuse(p, ROTO_RULE_SHAPE_NETWORK_LIMIT, i, record);
    if (places > vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, i, record + ROTO_SHAPE_NET_PLACES);
    rotoi_read_shape_net(p->file, i, &net);
    *floats += net.floats; /* below 2^10 networks * 2^21 */
  }
  return 1;
}

/* The landmarks of a shape exist and differ; they are followed by those of the next. */
static int rotoi_check_shape_landmarks(rotoi_parser *p, uint32_t shape, const rotoi_shape_net *net, const unsigned char *list) {
  uint32_t i, k;
  for (i = 0; i < net->landmarks; i++) {
    uint32_t landmark = rotoi_u32(list + 4 * (size_t)i);
    if (landmark >= p->file->landmark_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_LANDMARK, shape, list + 4 * (size_t)i);
    for (k = 0; k < i; k++)
      if (rotoi_u32(list + 4 * (size_t)k) == landmark)
        return rotoi_refuse(p, ROTO_RULE_SHAPE_LANDMARK, shape, list + 4 * (size_t)i);
  }
  return 1;
}

/* The vertices of a shape against its network, and against `model`, the shape that named the network first. */
static int rotoi_check_shape_vertices(rotoi_parser *p, uint32_t shape, const rotoi_shape_net *net, uint32_t model,
                                      const unsigned char *list) {
  const unsigned char *record = p->file->shapes + (size_t)shape * ROTO_SHAPE_SIZE;
  const unsigned char *model_record = p->file->shapes + (size_t)model * ROTO_SHAPE_SIZE;
  const unsigned char *own = p->file->vertices + 4 * (size_t)rotoi_u32(record + ROTO_SHAPE_FIRST);
  const unsigned char *others = p->file->vertices + 4 * (size_t)rotoi_u32(model_record + ROTO_SHAPE_FIRST);
  uint32_t count = net->vertices, places = 0, i, k;
  rotoi_shape_use use, model_use;
  rotoi_read_shape_use(p->file, shape, &use);
  rotoi_read_shape_use(p->file, model, &model_use);
  for (i = 0; i < count; i++) {
    const unsigned char *vertex = own + 4 * (size_t)rotoi_shape_turn(&use, count, i);
    uint32_t landmark = rotoi_u32(vertex);
    int is_place = landmark == ROTO_NONE;
    places += (uint32_t)is_place;
    for (k = 0; k < net->landmarks && rotoi_u32(list + 4 * (size_t)k) != landmark; k++) continue;
    if (is_place != (rotoi_u32(others + 4 * (size_t)rotoi_shape_turn(&model_use, count, i)) == ROTO_NONE) ||
        (!is_place && k == net->landmarks))
      return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, shape, vertex);
  }
  return places == net->places ? 1 : rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, shape, record);
}

/* SHAP, if it is there.  All counts are small: networks, shapes and blocks 2^10, weights of a network 2^21, vertices 2^16. */
static int rotoi_check_shapes(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_SHAP], *record, *list;
  rotoi_file *file = p->file;
  uint32_t i, named = 0, models[ROTO_MAX_LANDMARKS];
  uint64_t length, weights = 0, landmarks = 0, outputs = 0;
  rotoi_shape_net net;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_SHAP, ROTO_SHAPES_USED, ROTO_SHAPES_SIZE)) return 0;
  file->shape_net_count = rotoi_u32(head + ROTO_SHAPES_NETWORKS);
  if (file->shape_net_count == 0 || file->shape_net_count > file->shape_count)
    return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, 0, head);
  length = ROTO_SHAPES_SIZE + (uint64_t)file->shape_net_count * ROTO_SHAPE_NET_SIZE +
           (uint64_t)file->shape_count * ROTO_SHAPE_USE_SIZE;
  if (length > (uint64_t)(p->end[ROTO_CHUNK_SHAP] - head)) return rotoi_check_length(p, ROTO_CHUNK_SHAP, length);
  file->shape_nets = head + ROTO_SHAPES_SIZE;
  file->shape_uses = file->shape_nets + (size_t)file->shape_net_count * ROTO_SHAPE_NET_SIZE;
  file->shape_landmarks = head + (size_t)length;
  if (!rotoi_check_shape_nets(p, &weights)) return 0;

  for (i = 0, record = file->shape_uses; i < file->shape_count; i++, record += ROTO_SHAPE_USE_SIZE) {
    uint32_t network = rotoi_u32(record + ROTO_SHAPE_USE_NETWORK), first = rotoi_u32(record + ROTO_SHAPE_USE_FIRST);
    uint32_t mirrored = rotoi_u32(record + ROTO_SHAPE_USE_MIRRORED), reversed = rotoi_u32(record + ROTO_SHAPE_USE_REVERSED);
    const unsigned char *shape = file->shapes + (size_t)i * ROTO_SHAPE_SIZE;
    uint32_t vertices = rotoi_u32(shape + ROTO_SHAPE_COUNT);
    if (network == ROTO_NONE) {
      if (!rotoi_check_zero(p, ROTO_CHUNK_SHAP, record + ROTO_SHAPE_USE_MIRRORED, record + ROTO_SHAPE_USE_SIZE)) return 0;
      continue;
    }
    if (network > named || network >= file->shape_net_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, i, record);
    if (network == named) models[named++] = i;
    rotoi_read_shape_net(file, network, &net);
    if (vertices != net.vertices) return rotoi_refuse(p, ROTO_RULE_SHAPE_VERTEX, i, record);
    if (mirrored > 1 || reversed > 1 || first >= vertices ||
        (rotoi_u32(shape + ROTO_SHAPE_CLOSED) == 0 && first != (reversed ? vertices - 1 : 0)))
      return rotoi_refuse(p, ROTO_RULE_SHAPE_TURN, i, record);
    landmarks += net.landmarks;
    outputs += 6 * (uint64_t)vertices;
  }
  if (named != file->shape_net_count) return rotoi_refuse(p, ROTO_RULE_SHAPE_USE, i, head);
  length += 4 * landmarks;
  if (!rotoi_check_length(p, ROTO_CHUNK_SHAP, rotoi_align_up(length) + 4 * (weights + outputs))) return 0;
  if (!rotoi_check_zero(p, ROTO_CHUNK_SHAP, head + (size_t)length, head + (size_t)rotoi_align_up(length))) return 0;
  file->shape_weights = head + (size_t)rotoi_align_up(length);
  file->shape_tests = file->shape_weights + 4 * (size_t)weights;

  for (i = 0, list = file->shape_landmarks; i < file->shape_count; i++) {
    rotoi_shape_use use;
    rotoi_read_shape_use(file, i, &use);
    if (use.network == ROTO_NONE) continue;
    rotoi_read_shape_net(file, use.network, &net);
    if (!rotoi_check_shape_landmarks(p, i, &net, list) || !rotoi_check_shape_vertices(p, i, &net, models[use.network], list))
      return 0;
    list += 4 * (size_t)net.landmarks;
  }
  for (i = 0, record = file->shape_weights; i < file->shape_net_count; i++) {
    rotoi_read_shape_net(file, i, &net);
    if (!rotoi_all_finite(record, (size_t)net.floats)) return rotoi_refuse(p, ROTO_RULE_FINITE, i, record);
    record += 4 * (size_t)net.floats;
  }
  for (i = 0; i < (uint32_t)outputs; i++)
    if (!rotoi_is_finite(file->shape_tests + 4 * (size_t)i))
      return rotoi_refuse(p, ROTO_RULE_TEST_VALUE, i, file->shape_tests + 4 * (size_t)i);
  return 1;
}

/* LOOK, if it is there.  Its model is checked by all the rules once more, at most once: it has no LOOK of its own. */
static int rotoi_check_looks(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_LOOK], *end = p->end[ROTO_CHUNK_LOOK];
  rotoi_file *file = p->file, inner;
  roto_error error;
  uint64_t used = 0, start = rotoi_align_up(ROTO_LOOK_SIZE + 4 * (uint64_t)file->landmark_count);
  uint32_t i;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_LOOK, ROTO_LOOK_USED, ROTO_LOOK_SIZE)) return 0;
  file->look_count = rotoi_u32(head + ROTO_LOOK_COUNT);
  if (file->look_count - 1 >= ROTO_MAX_LOOKS) return rotoi_refuse(p, ROTO_RULE_LOOK, 0, head);
  if (start > (uint64_t)(end - head)) return rotoi_check_length(p, ROTO_CHUNK_LOOK, start);
  file->looks = head + ROTO_LOOK_SIZE;
  for (i = 0; i < file->landmark_count; i++) {
    uint32_t look = rotoi_read_look(file, i);
    if (look == ROTO_NONE) continue;
    if (look >= file->look_count) return rotoi_refuse(p, ROTO_RULE_LOOK, i, file->looks + 4 * (size_t)i);
    used |= (uint64_t)1 << look;
  }
  for (i = 0; i < file->look_count; i++)
    if (!(used >> i & 1)) return rotoi_refuse(p, ROTO_RULE_LOOK, i, head);
  head += (size_t)start;
  if (!rotoi_check_zero(p, ROTO_CHUNK_LOOK, file->looks + 4 * (size_t)file->landmark_count, head)) return 0;

  file->look_model = head;
  file->look_model_size = (size_t)(end - head);
  memset(&error, 0, sizeof error);
  if (file->look_model_size >= ROTO_HEADER_SIZE + (size_t)(ROTO_CHUNK_REQUIRED + 1) * ROTO_ENTRY_SIZE) {
    const unsigned char *entry = head + ROTO_HEADER_SIZE + (size_t)ROTO_CHUNK_REQUIRED * ROTO_ENTRY_SIZE;
    uint32_t chunks = rotoi_u32(head + ROTO_HEADER_CHUNK_COUNT);
    if (chunks > ROTO_CHUNK_REQUIRED + 1 ||
        (chunks > ROTO_CHUNK_REQUIRED && rotoi_u32(entry + ROTO_ENTRY_NAME) != ROTO_CHUNK('R', 'A', 'N', 'G')))
      return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, 0, head + ROTO_HEADER_CHUNK_COUNT);
  }
  if (rotoi_parse(head, file->look_model_size, &inner, &error))
    return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, error.rule, head + (size_t)error.offset);
  if (inner.landmark_count != file->landmark_count || inner.input_channels != file->input_channels)
    return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, 0, head);
  for (i = 0; i < inner.landmark_count; i++) {
    const unsigned char *flip = inner.landmarks + (size_t)i * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP;
    if (rotoi_u32(flip) != rotoi_u32(file->landmarks + (size_t)i * ROTO_LANDMARK_SIZE + ROTO_LANDMARK_FLIP))
      return rotoi_refuse(p, ROTO_RULE_LOOK_MODEL, i, flip);
  }
  return 1;
}

/* RANG, if it is there. */
static int rotoi_check_ranges(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_RANG], *range;
  rotoi_file *file = p->file;
  uint32_t i;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_RANG, ROTO_RANGES_SIZE, ROTO_RANGES_SIZE)) return 0;
  if (rotoi_u32(head + ROTO_RANGES_COUNT) != file->node_count) return rotoi_refuse(p, ROTO_RULE_RANGE_COUNT, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_RANG, ROTO_RANGES_SIZE + (uint64_t)file->node_count * ROTO_RANGE_SIZE)) return 0;
  if (!rotoi_is_positive(head + ROTO_RANGES_TOLERANCE)) return rotoi_refuse(p, ROTO_RULE_RANGE_TOLERANCE, 0, head);
  file->range_tolerance = rotoi_f32(head + ROTO_RANGES_TOLERANCE);
  range = head + ROTO_RANGES_SIZE;
  for (i = 0; i < file->node_count; i++, range += ROTO_RANGE_SIZE) {
    float low = rotoi_f32(range + ROTO_RANGE_LOW), high = rotoi_f32(range + ROTO_RANGE_HIGH);
    if (!rotoi_is_finite(range + ROTO_RANGE_LOW) || !rotoi_is_amount(range + ROTO_RANGE_HIGH) || !(low <= 0) ||
        rotoi_u32(range + ROTO_RANGE_LOW) == 0x80000000u || !(high - low >= 1e-30f && high - low <= 1e30f))
      return rotoi_refuse(p, ROTO_RULE_RANGE, i, range);
  }
  file->ranges = head + ROTO_RANGES_SIZE;
  return 1;
}

/* CONT, if it is there. */
static int rotoi_check_contours(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_CONT], *list;
  const size_t floats = (size_t)ROTO_CONTOUR_PLACES * ROTO_CONTOUR_FLOATS;
  rotoi_file *file = p->file;
  uint64_t length = ROTO_CONTOURS_SIZE, landmarks = 0;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_CONT, ROTO_CONTOURS_USED, ROTO_CONTOURS_SIZE)) return 0;
  file->contour_count = rotoi_u32(head + ROTO_CONTOURS_COUNT);
  if (file->contour_count - 1 >= ROTO_MAX_CONTOURS) return rotoi_refuse(p, ROTO_RULE_CONTOUR, 0, head);
  length += 4 * (uint64_t)file->contour_count;
  if (length > (uint64_t)(p->end[ROTO_CHUNK_CONT] - head)) return rotoi_check_length(p, ROTO_CHUNK_CONT, length);
  file->contour_sizes = head + ROTO_CONTOURS_SIZE;
  file->contour_landmarks = list = head + (size_t)length;
  for (uint32_t i = 0; i < file->contour_count; i++) {
    uint32_t size = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    if (size < 3 || size > ROTO_MAX_CONTOUR_LANDMARKS)
      return rotoi_refuse(p, ROTO_RULE_CONTOUR, i, file->contour_sizes + 4 * (size_t)i);
    landmarks += size;
  }
  length += 4 * landmarks;
  if (!rotoi_check_length(p, ROTO_CHUNK_CONT, rotoi_align_up(length) + 4 * (uint64_t)floats * file->contour_count)) return 0;
  if (!rotoi_check_zero(p, ROTO_CHUNK_CONT, head + (size_t)length, head + (size_t)rotoi_align_up(length))) return 0;
  file->contour_filters = head + (size_t)rotoi_align_up(length);
  for (uint32_t i = 0; i < file->contour_count; i++) {
    uint32_t size = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    const unsigned char *filters = file->contour_filters + 4 * floats * (size_t)i;
    for (uint32_t k = 0; k < size; k++)
      for (uint32_t j = 0; j <= k; j++)
        if (j < k ? rotoi_u32(list + 4 * (size_t)j) == rotoi_u32(list + 4 * (size_t)k)
                  : rotoi_u32(list + 4 * (size_t)k) >= file->landmark_count)
          return rotoi_refuse(p, ROTO_RULE_CONTOUR, i, list + 4 * (size_t)k);
    if (!rotoi_all_finite(filters, floats)) return rotoi_refuse(p, ROTO_RULE_FINITE, i, filters);
    list += 4 * (size_t)size;
  }
  return 1;
}

/* DIST, if it is there. */
static int rotoi_check_distribution(rotoi_parser *p) {
  const unsigned char *head = p->begin[ROTO_CHUNK_DIST], *mean;
  rotoi_file *file = p->file;
  uint64_t floats = 2 * (uint64_t)file->landmark_count;
  int apart = 0;
  if (!head) return 1;
  if (!rotoi_check_head(p, ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_USED, ROTO_DISTRIBUTION_SIZE)) return 0;
  uint32_t components = rotoi_u32(head + ROTO_DISTRIBUTION_COMPONENTS);
  if (components - 1 >= ROTO_MAX_COMPONENTS || !rotoi_is_positive(head + ROTO_DISTRIBUTION_DEVIATION))
    return rotoi_refuse(p, ROTO_RULE_DISTRIBUTION, 0, head);
  if (!rotoi_check_length(p, ROTO_CHUNK_DIST, ROTO_DISTRIBUTION_SIZE + 4 * floats * (1 + (uint64_t)components))) return 0;
  mean = head + ROTO_DISTRIBUTION_SIZE;
  for (size_t i = 0; i < (size_t)floats * (1 + (size_t)components); ++i)
    if (!rotoi_is_finite(mean + 4 * i)) return rotoi_refuse(p, ROTO_RULE_FINITE, (uint32_t)i, mean + 4 * i);
  for (uint32_t i = 1; i < file->landmark_count; ++i)
    for (int c = 0; c < 8; c += 4) apart |= rotoi_f32(mean + 8 * (size_t)i + c) != rotoi_f32(mean + c);
  if (!apart) return rotoi_refuse(p, ROTO_RULE_DISTRIBUTION, 0, mean);
  file->component_count = components;
  file->distribution_deviation = rotoi_f32(head + ROTO_DISTRIBUTION_DEVIATION);
  file->distribution_mean = mean;
  file->distribution_components = mean + 4 * (size_t)floats;
  return 1;
}

static roto_status rotoi_parse(const unsigned char *data, size_t size, rotoi_file *file, roto_error *err) {
  rotoi_parser p;
  memset(&p, 0, sizeof p);
  memset(file, 0, sizeof *file);
  p.data = data;
  p.size = size;
  p.file = file;
  if (rotoi_check_chunks(&p) && rotoi_check_meta(&p) && rotoi_check_input(&p) && rotoi_check_template(&p) &&
      rotoi_check_tensors(&p) && rotoi_check_network(&p) && rotoi_check_calibration(&p) && rotoi_check_test(&p) &&
      rotoi_check_shapes(&p) && rotoi_check_looks(&p) && rotoi_check_ranges(&p) && rotoi_check_contours(&p) &&
      rotoi_check_distribution(&p))
    return ROTO_OK;
  memset(file, 0, sizeof *file);
  if (err) *err = p.error;
  return p.error.status;
}

#endif /* ROTOI_FORMAT */

/* >>plan.c */

/* The planner: a validated network -> a list of steps, one block of packed weights, one workspace.
 *
 * A step is one call of the executor and one pass over memory.  A convolution, dense layer or depthwise convolution takes the
 * nodes that follow it along (its chain) as long as each is the only reader of the one before: batch norms fold into weights
 * and bias, an ADD becomes the residual of the product, an activation its last touch.  A global pool of a depthwise result is
 * summed while that result is made.  A SCALE (squeeze-excite) before a 1x1 convolution scales its weights where those are few beside
 * the pixels; else it is done tile by tile just before the product reads it, while it passes through the cache anyway.  A batch norm with nothing to fold into runs as a 1x1 depthwise
 * convolution.
 *
 * A chain runs where its last node stands, so everything a residual needs has been computed by then.
 *
 * Each value that exists in memory gets a place in the workspace for the steps between its making and its last reading; an
 * element-wise result takes the place of an operand that dies there.  The largest values choose first.
 *
 * Weights are packed when a model is opened, but those of a product of one pixel in float32: it meets each of them once and reads
 * them where they lie in the file, as long as no batch norm scales them.  (Products of the 49 pixels of a last stage can do that, too;
 * rows far apart in small pages cost them 15 to 20 % of their time, more than packing saves a program that stays.)
 *
 * Every step is cut into tasks here, by its shape alone: the same cut for any number of threads, hence the same bits.
 *
 * In low precision every value is stored low (bfloat16 or bytes) but those that something reads as floats: the output, the
 * input of POINTS, the factors of a SCALE.  A product of floats returns floats, so these spread until nothing changes. */

#ifndef ROTOI_PLAN
#define ROTOI_PLAN

typedef enum rotoi_step_kind {
  ROTOI_STEP_GEMM,
  ROTOI_STEP_DENSE, /* a product of one pixel */
  ROTOI_STEP_DEPTHWISE,
  ROTOI_STEP_POOL,
  ROTOI_STEP_MEAN,
  ROTOI_STEP_ADD, /* without a second operand: the activation alone */
  ROTOI_STEP_SCALE,
  ROTOI_STEP_CONCAT,
  ROTOI_STEP_UPSAMPLE,
  ROTOI_STEP_POINTS
} rotoi_step_kind;

#define ROTOI_ABSENT ((size_t)-1)

enum {
  ROTOI_POINTERS = 1024,      /* row pointers on the stack of a task: 8 KB */
  ROTOI_PLAN_L2 = 256 * 1024, /* floats of one operand of a product that stay in the second-level cache */
  ROTOI_PLAN_ALONE = 1 << 20  /* bytes of weights that are packed sooner than threads start */
};

/* Places are in bytes: of values in the workspace, of weights and bias in the plan's block; ROTOI_ABSENT where unused.  Strides
 * are in elements of the value's type. */
typedef struct rotoi_step {
  rotoi_step_kind kind;
  int act;
  int low; /* runs on the slots of low precision: in[0] or, where nothing is multiplied, any value is stored low */
  rotoi_code in_code, second_code, out_code, mean_code; /* of in[0], in[1], out, mean */
  rotoi_code read_code;                                 /* GEMM: of the input once it is scaled, else in_code */
  uint32_t node, end;                                   /* first and last node of the chain */
  size_t in[ROTO_MAX_INPUTS]; /* CONCAT: all; else the first operand, then the second (GEMM: the residual) */
  size_t scale;               /* GEMM: factors of the input's channels; the input is overwritten with the product */
  size_t scaled;              /* GEMM: where the weights times these factors go, the input staying as it is; or absent */
  size_t out, mean,
      partial;            /* DEPTHWISE: mean over the result and, for it, the sums of each band of rows; DENSE: of its rows */
  size_t h, w, c, cs;     /* of in[0]; c is what the sums run over, cs the step from pixel to pixel */
  size_t oh, ow, oc, ocs; /* of out */
  size_t part_c[ROTO_MAX_INPUTS], part_cs[ROTO_MAX_INPUTS]; /* CONCAT: of each input */
  size_t kh, kw, stride, pad_top, pad_left;
  size_t weights, bias;
  const float *in_file;     /* DENSE: the weights where they lie in the file, tight; NULL: at `weights` */
  size_t factor;            /* GEMM of bytes: what a sum of products stands for, a column */
  size_t outside;           /* a pixel outside the picture; DEPTHWISE on words: a row of them */
  int dots;                 /* DEPTHWISE: the weights are words */
  size_t curve;             /* products of bytes to bytes: the rotoi_fall of a swish */
  int max;                  /* POOL */
  size_t points, per_point; /* POINTS */
  /* What tasks share out: rows (GEMM: tiles of mr pixels; DEPTHWISE, POOL, CONCAT, UPSAMPLE: rows of the result; ADD, SCALE:
   * pixels; DENSE: rows of weights; POINTS: 16 points) and columns (GEMM: panels; DEPTHWISE: 16 channels; else 1), and into how many parts. */
  size_t rows, columns, row_tasks, column_tasks;
  size_t block; /* GEMM: tiles that meet a panel one after the other */
} rotoi_step;

typedef struct rotoi_plan {
  const rotoi_kernels *kernels;
  const rotoi_low_kernels *low; /* NULL: float32 throughout */
  rotoi_step *steps;
  size_t step_count;
  unsigned char *weights; /* zeros that stand for pixels outside a picture, then what the steps name */
  size_t weight_size;
  size_t workspace; /* bytes of a session */
  size_t picture;   /* where roto_find_landmarks makes the input, tight [h][w][c] */
  size_t input, output;
  rotoi_code input_code;
  size_t output_c, output_cs;                       /* channels of the output, and floats from pixel to pixel */
  size_t input_h, input_w, input_c, input_cs;       /* of the picture, and its step from pixel to pixel in the workspace */
  size_t input_top, input_left, padded_h, padded_w; /* the input stands in a frame of zeros */
} rotoi_plan;

/* A node while it is planned, and the value it makes.  Values without a node (sums, the picture) follow the nodes. */
typedef struct rotoi_value {
  rotoi_node node;
  uint32_t uses, user, pool_uses, pool_user; /* readers and one of them; the same of GLOBALPOOL readers */
  uint32_t next;                             /* of its chain, or ROTO_NONE */
  uint32_t head;                             /* at the end of a chain: its first node; elsewhere ROTO_NONE */
  uint32_t residual, pooled, scaled_by;      /* at a head: node the ADD adds; GLOBALPOOL, SCALE done with it */
  int taken;                                 /* belongs to another node's step */
  rotoi_code code;
  size_t cs, size;    /* elements from pixel to pixel, bytes of the value */
  size_t first, last; /* steps between which it lives; step s is time s + 1, loading is time 0 */
  size_t same_as;     /* value whose place it takes, or itself */
  size_t place;
} rotoi_value;

typedef struct rotoi_planner {
  const rotoi_file *file;
  rotoi_plan *plan;
  rotoi_value *values;
  size_t value_count, node_count;
  int separate;           /* means and scalings are steps of their own */
  unsigned char *scratch; /* of each step: see rotoi_plan_fill */
  size_t *order;          /* of values, by place; then where the scratch of each step starts */
  const roto_allocator *allocator;
  const roto_parallel *parallel; /* packs the weights */
} rotoi_planner;

/* The floats at a place of a block. */
static inline float *rotoi_floats(unsigned char *block, size_t place) {
  return (float *)(void *)(block + place);
}

/* The k-th root of v by Newton's method, to the precision of a double; 0 unless v is a positive normal number.  Dividing the
 * bits of a double by k divides its exponent, which is the root to 7 %; each step then squares the error. */
static double rotoi_root(double v, int k) {
  uint64_t bits, one = (uint64_t)1023 << 52;
  if (!(v > 1e-300 && v < 1e300)) return 0;
  memcpy(&bits, &v, 8);
  bits = bits > one ? one + (bits - one) / (uint64_t)k : one - (one - bits) / (uint64_t)k;
  double root;
  memcpy(&root, &bits, 8);
  for (int i = 0; i < 7; ++i) {
    double power = 1;
    for (int j = 1; j < k; ++j) power *= root;
    root += (v / power - root) / k;
  }
  return root;
}

static int rotoi_is_matrix(const rotoi_node *node) {
  return node->op == ROTO_OP_CONV || node->op == ROTO_OP_DENSE;
}

static int rotoi_is_pointwise(const rotoi_node *node) {
  return node->op == ROTO_OP_CONV && node->kh == 1 && node->kw == 1 && node->stride == 1 && !node->pad_top && !node->pad_left &&
         !node->pad_bottom && !node->pad_right;
}

static size_t rotoi_min(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Read the nodes and count the readers of each. */
static void rotoi_plan_nodes(rotoi_planner *p) {
  for (uint32_t i = 0; i < p->node_count; ++i) {
    rotoi_value *v = p->values + i;
    rotoi_read_node(p->file, i, &v->node);
    v->next = v->head = v->user = v->pool_user = v->residual = v->pooled = v->scaled_by = ROTO_NONE;
    for (uint32_t j = 0; j < v->node.input_count; ++j) {
      rotoi_value *input = p->values + v->node.inputs[j];
      ++input->uses;
      input->user = i;
      if (v->node.op == ROTO_OP_GLOBALPOOL) {
        ++input->pool_uses;
        input->pool_user = i;
      }
    }
  }
}

/* A SCALE whose only reader is a 1x1 convolution over many pixels, and whose operand nobody reads later: the convolution
 * multiplies in place.  Few pixels would leave the tasks too few tiles to share; those scale apart. */
static void rotoi_plan_scale(rotoi_planner *p, uint32_t i) {
  rotoi_value *v = p->values + i;
  const rotoi_value *a = p->values + v->node.inputs[0];
  if (v->node.act != ROTO_ACT_NONE || v->uses != 1 || v->node.inputs[0] == v->node.inputs[1]) return;
  if (a->uses != 1 + a->pool_uses || a->pool_uses > 1 || (a->pool_uses && a->pool_user > i)) return;
  rotoi_value *reader = p->values + v->user;
  if (!rotoi_is_pointwise(&reader->node) || (size_t)v->node.h * v->node.w < 8 * p->plan->kernels->mr) return;
  reader->scaled_by = i;
  v->taken = 1;
}

/* Take the nodes that can run in the step of `i`. */
static void rotoi_plan_chain(rotoi_planner *p, uint32_t i) {
  rotoi_value *head = p->values + i;
  int op = head->node.op, act = head->node.act;
  uint32_t end = i;
  if (op == ROTO_OP_CONV || op == ROTO_OP_DENSE || op == ROTO_OP_DEPTHWISE || op == ROTO_OP_BATCHNORM) {
    while (act == ROTO_ACT_NONE && p->values[end].uses == 1) {
      uint32_t user = p->values[end].user;
      rotoi_value *next = p->values + user;
      if (next->taken) break;
      if (next->node.op == ROTO_OP_ADD && rotoi_is_matrix(&head->node) && head->residual == ROTO_NONE) {
        head->residual = next->node.inputs[next->node.inputs[0] == end];
      } else if (next->node.op != ROTO_OP_ACT && (next->node.op != ROTO_OP_BATCHNORM || head->residual != ROTO_NONE)) {
        break;
      }
      act = next->node.act;
      next->taken = 1;
      p->values[end].next = user;
      end = user;
    }
  }
  const rotoi_value *last = p->values + end;
  if ((op == ROTO_OP_DEPTHWISE || op == ROTO_OP_BATCHNORM) && last->pool_uses && !p->separate) {
    head->pooled = last->pool_user;
    p->values[head->pooled].taken = 1;
  }
  p->values[end].head = i;
}

/* Cut a step into tasks: about one for each 400,000 multiply-adds, so that waking a thread stays cheap beside it.
 * Returns that number; by rows first. */
static size_t rotoi_plan_tasks(rotoi_step *s, size_t rows, size_t columns, double work) {
  size_t tasks = work > 64 * 4e5 ? 64 : 1 + (size_t)(work / 4e5);
  s->rows = rows;
  s->columns = columns;
  s->row_tasks = rotoi_min(rows, tasks);
  s->column_tasks = rotoi_min(columns, (tasks + s->row_tasks - 1) / s->row_tasks);
  /* A tile is scaled in place by the one task that reads it. */
  if (s->scale != ROTOI_ABSENT && s->scaled == ROTOI_ABSENT) s->column_tasks = 1;
  return tasks;
}

/* Room for `count` elements of `size` bytes in the weight block, in whole cache lines; 0 if it does not fit a size_t. */
static int rotoi_plan_weights(rotoi_planner *p, size_t count, size_t size, size_t *place) {
  size_t bytes, total;
  if (!rotoi_mul(count, size, &bytes) || !rotoi_add(p->plan->weight_size, bytes, &total)) return 0;
  if (!rotoi_add(total, ROTOI_LINE - 1, &total)) return 0;
  *place = p->plan->weight_size;
  p->plan->weight_size = total / ROTOI_LINE * ROTOI_LINE;
  return 1;
}

/* ---- how values are stored ---- */

static int rotoi_is_low(const rotoi_value *v) {
  return v->code.type != ROTOI_F32;
}

static int rotoi_make_f32(rotoi_planner *p, uint32_t i) {
  if (i == ROTO_NONE || !rotoi_is_low(p->values + i)) return 0;
  p->values[i].code.type = ROTOI_F32;
  return 1;
}

/* If the values that node `i` reads or makes have to be floats, make them so; says whether that changed anything. */
static int rotoi_plan_floats(rotoi_planner *p, uint32_t i) {
  const rotoi_value *v = p->values + i;
  const rotoi_node *node = &v->node;
  int changed = 0, low = 1;
  uint32_t end = i, scaled = v->scaled_by;
  if (i + 1 == p->node_count) changed |= rotoi_make_f32(p, i);
  if (node->op == ROTO_OP_SCALE) changed |= rotoi_make_f32(p, node->inputs[1]);
  if (v->taken || i == 0) return changed;
  while (p->values[end].next != ROTO_NONE) end = p->values[end].next;
  switch (node->op) {
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
    case ROTO_OP_DEPTHWISE:
    case ROTO_OP_BATCHNORM: {
      const rotoi_value *in = p->values + node->inputs[0];
      const size_t taps = node->op == ROTO_OP_DENSE ? (size_t)in->node.h * in->node.w : (size_t)node->kh * node->kw;
      if (scaled != ROTO_NONE) in = p->values + p->values[scaled].node.inputs[0];
      low = rotoi_is_low(in) && (scaled == ROTO_NONE || rotoi_is_low(p->values + scaled));
      /* The row pointers of a tile must all fit on the stack, because what is stored low takes no partial sums. */
      if (rotoi_is_matrix(node) && taps > ROTOI_POINTERS / p->plan->low->mr) low = 0;
      if (rotoi_is_matrix(node) && taps * in->node.c > ROTOI_MOST_BYTE_ROWS) low = 0;
      if (low) return changed;
      if (scaled != ROTO_NONE) changed |= rotoi_make_f32(p, scaled) | rotoi_make_f32(p, p->values[scaled].node.inputs[0]);
      return changed | rotoi_make_f32(p, node->inputs[0]) | rotoi_make_f32(p, end) | rotoi_make_f32(p, v->residual);
    }
    case ROTO_OP_POINTS:
      return changed | rotoi_make_f32(p, i) | rotoi_make_f32(p, node->inputs[0]);
    case ROTO_OP_CONCAT:
    case ROTO_OP_UPSAMPLE: /* copied as they are */
      low = rotoi_is_low(v);
      for (uint32_t k = 0; k < node->input_count; ++k) low &= rotoi_is_low(p->values + node->inputs[k]);
      if (low) return changed;
      for (uint32_t k = 0; k < node->input_count; ++k) changed |= rotoi_make_f32(p, node->inputs[k]);
      return changed | rotoi_make_f32(p, i);
    default: /* element-wise steps and pools convert */
      return changed;
  }
}

/* What is copied from value to value must mean the same in both: they share the wider range. */
static int rotoi_plan_share_range(rotoi_planner *p, uint32_t i, float (*ranges)[2]) {
  const rotoi_node *node = &p->values[i].node;
  float low = ranges[i][0], high = ranges[i][1];
  int changed = 0;
  if (node->op != ROTO_OP_CONCAT && node->op != ROTO_OP_UPSAMPLE) return 0;
  for (uint32_t k = 0; k < node->input_count; ++k) {
    const float *range = ranges[node->inputs[k]];
    low = range[0] < low ? range[0] : low;
    high = range[1] > high ? range[1] : high;
  }
  for (uint32_t k = 0; k <= node->input_count; ++k) {
    float *range = ranges[k < node->input_count ? node->inputs[k] : i];
    changed |= range[0] > low || range[1] < high;
    range[0] = low, range[1] = high;
  }
  return changed;
}

/* The code of a range that holds 0, which becomes a whole number. */
static rotoi_code rotoi_range_code(float low, float high) {
  rotoi_code code;
  code.type = ROTOI_U8;
  code.scale = (high - low) / 255;
  code.inverse = 1 / code.scale;
  code.zero = (float)rotoi_round(-low * code.inverse);
  return code;
}

static roto_status rotoi_plan_codes(rotoi_planner *p) {
  const rotoi_low_kernels *low = p->plan->low;
  int changed = low != NULL;
  for (size_t i = 0; i < p->node_count; ++i) {
    rotoi_code *code = &p->values[i].code;
    code->type = low ? low->type : ROTOI_F32;
    code->scale = code->inverse = 1;
  }
  while (changed) {
    changed = 0;
    for (uint32_t i = 0; i < p->node_count; ++i) changed |= rotoi_plan_floats(p, i);
  }
  if (!low || low->type != ROTOI_U8) return ROTO_OK;
  float(*ranges)[2] = (float(*)[2])rotoi_alloc(p->allocator, p->node_count * sizeof *ranges);
  if (!ranges) return ROTO_ERR_MEMORY;
  for (uint32_t i = 0; i < p->node_count; ++i) rotoi_read_range(p->file, i, &ranges[i][0], &ranges[i][1]);
  for (changed = 1; changed;) {
    changed = 0;
    for (uint32_t i = 0; i < p->node_count; ++i) changed |= rotoi_plan_share_range(p, i, ranges);
  }
  for (size_t i = 0; i < p->node_count; ++i) {
    if (rotoi_is_low(p->values + i)) p->values[i].code = rotoi_range_code(ranges[i][0], ranges[i][1]);
  }
  rotoi_free(p->allocator, ranges);
  return ROTO_OK;
}

/* The weights of a product where the file has them, if kernels can read them there: no batch norm scales them, they lie as this
 * machine's floats do, and whole vectors past the end of the last row are in the file, too (its self-test follows). */
static const float *rotoi_plan_in_file(const rotoi_planner *p, const rotoi_value *head) {
  const rotoi_file *file = p->file;
  uint64_t count;
  const unsigned char *weights = rotoi_tensor(file, head->node.tensors[0], &count);
  const unsigned char *end = file->test_pixels + (size_t)file->input_width * file->input_height * file->input_channels;
  if (p->plan->low || !rotoi_is_little() || (uintptr_t)weights % sizeof(float)) return NULL;
  if ((size_t)(end - weights) < (size_t)count * sizeof(float) + ROTOI_LINE) return NULL;
  for (const rotoi_value *v = head; v->next != ROTO_NONE; v = p->values + v->next)
    if (p->values[v->next].node.op == ROTO_OP_BATCHNORM) return NULL;
  return (const float *)(const void *)weights;
}

/* A product of one pixel on floats, whose taps are all pixels of the input, in order: the rows of its weights are what tasks share. */
static int rotoi_plan_dense(rotoi_planner *p, rotoi_step *s, const rotoi_value *head) {
  size_t rows = s->kh * s->kw * s->c, count;
  s->kind = ROTOI_STEP_DENSE;
  rotoi_plan_tasks(s, rows, 1, (double)rows * (double)s->ocs);
  s->partial = p->value_count;
  p->values[p->value_count++].size = s->row_tasks * s->ocs * sizeof(float);
  s->in_file = rotoi_plan_in_file(p, head);
  if (!s->in_file && (!rotoi_mul(rows, s->ocs, &count) || !rotoi_plan_weights(p, count, sizeof(float), &s->weights))) return 0;
  return rotoi_plan_weights(p, s->ocs, sizeof(float), &s->bias);
}

static int rotoi_plan_gemm(rotoi_planner *p, rotoi_step *s, const rotoi_value *head, int from_input) {
  const rotoi_node *node = &head->node;
  const rotoi_plan *plan = p->plan;
  s->kind = ROTOI_STEP_GEMM;
  if (node->op == ROTO_OP_DENSE) {
    s->kh = s->h, s->kw = s->w, s->stride = 1;
  } else {
    s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
    s->pad_top = node->pad_top, s->pad_left = node->pad_left;
  }
  if (from_input && plan->padded_h) { /* the frame of zeros stands in for padding */
    s->h = plan->padded_h, s->w = plan->padded_w;
    s->pad_top = s->pad_left = 0;
  }
  const int dense = s->oh * s->ow == 1 && s->kh == s->h && s->kw == s->w && !s->pad_top && !s->pad_left;
  /* Where no row of the kernel can leave the picture and pixels stand close, a row is one run of kw * c floats. */
  if (s->cs == s->c && ((from_input && plan->padded_h) || node->op == ROTO_OP_DENSE)) {
    s->c *= s->kw;
    s->kw = 1;
    if (node->op == ROTO_OP_DENSE) s->c *= s->kh, s->kh = 1;
  }
  if (head->scaled_by != ROTO_NONE) {
    const rotoi_node *scale = &p->values[head->scaled_by].node;
    s->in[0] = scale->inputs[0];
    s->scale = scale->inputs[1];
    s->in_code = p->values[s->in[0]].code;
    s->read_code = p->values[head->scaled_by].code;
  }
  if (head->residual != ROTO_NONE) s->in[1] = head->residual;
  s->low = s->in_code.type != ROTOI_F32;
  if (dense && !s->low) return rotoi_plan_dense(p, s, head);
  size_t rows, count, pixels = s->oh * s->ow, mr = plan->kernels->mr;
  /* Rows of words in low precision: what counts below is the bytes of operands. */
  if (!rotoi_mul(s->kh * s->kw, s->low ? rotoi_words(s->c, s->in_code.type) : s->c, &rows)) return 0;
  if (!(count = rotoi_packed_count(rows, s->oc))) return 0;
  /* Not of bytes: a gate far below one would leave few of their steps. */
  if (s->scale != ROTOI_ABSENT && pixels >= 8 * s->oc && s->in_code.type != ROTOI_U8) {
    s->scaled = p->value_count;
    p->values[p->value_count++].size = count * sizeof(float);
  }
  size_t tasks =
      rotoi_plan_tasks(s, (pixels + mr - 1) / mr, rotoi_panel_count(s->oc, plan->kernels->nr), (double)pixels * (double)count);
  /* Weights that stay in the second-level cache pass by one tile of rows after another.  Larger ones would come from memory
   * for each tile: there, a block of tiles that does stay meets each panel in turn, and where the weights are the larger operand
   * they are what the tasks share out.  (With weights that do fit this loses up to a tenth.) */
  s->block = 1;
  if (count > ROTOI_PLAN_L2) {
    s->block = rotoi_min(ROTOI_PLAN_L2 / (mr * rows), ROTOI_POINTERS / (mr * s->kh * s->kw));
    if (s->block < 1) s->block = 1;
    if ((double)count > (double)pixels * (double)rows && s->scale == ROTOI_ABSENT) {
      s->column_tasks = rotoi_min(s->columns, tasks);
      s->row_tasks = (s->rows + s->block - 1) / s->block;
    }
  }
  if (s->low && s->in_code.type == ROTOI_U8) {
    if (!rotoi_plan_weights(p, s->ocs, sizeof(float), &s->factor)) return 0;
    if (s->kh * s->kw > 1 && !rotoi_plan_weights(p, s->cs, 1, &s->outside)) return 0;
  }
  return rotoi_plan_weights(p, count, sizeof(float), &s->weights) && rotoi_plan_weights(p, s->ocs, sizeof(float), &s->bias);
}

static int rotoi_plan_depthwise(rotoi_planner *p, rotoi_step *s, const rotoi_value *head) {
  const rotoi_node *node = &head->node;
  size_t count;
  s->kind = ROTOI_STEP_DEPTHWISE;
  s->low = s->in_code.type != ROTOI_F32;
  s->kh = s->kw = s->stride = 1;
  if (node->op == ROTO_OP_DEPTHWISE) {
    s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
    s->pad_top = node->pad_top, s->pad_left = node->pad_left;
  }
  /* Twice its multiply-adds: it is bound by memory. */
  rotoi_plan_tasks(s, s->oh, s->cs / ROTOI_LANES, 2.0 * (double)(s->oh * s->ow) * (double)(s->kh * s->kw * s->cs));
  if (head->pooled != ROTO_NONE) {
    s->mean = head->pooled;
    s->mean_code = p->values[head->pooled].code;
    s->partial = p->value_count;
    rotoi_value *partial = p->values + p->value_count++;
    partial->cs = s->cs;
    partial->size = s->row_tasks * s->cs * sizeof(float);
  }
  s->dots = s->low && node->op == ROTO_OP_DEPTHWISE && rotoi_has_words(s->kh, s->kw, s->stride);
  if (s->dots) {
    if (!rotoi_plan_weights(p, s->w * s->cs, rotoi_type_size(s->in_code.type), &s->outside)) return 0;
    if (s->in_code.type == ROTOI_U8 && !rotoi_plan_weights(p, s->cs, sizeof(float), &s->factor)) return 0;
  }
  if (!rotoi_mul(s->dots ? rotoi_words(s->kh, s->in_code.type) * s->kw : s->kh * s->kw, s->cs, &count)) return 0;
  return rotoi_plan_weights(p, count, sizeof(float), &s->weights) && rotoi_plan_weights(p, s->cs, sizeof(float), &s->bias);
}

/* Write the step of the chain that ends at `end`.  Values stand in the steps by number until places are known. */
static roto_status rotoi_plan_step(rotoi_planner *p, uint32_t end) {
  const rotoi_value *last = p->values + end, *head = p->values + last->head;
  const rotoi_node *node = &head->node;
  const rotoi_value *in = p->values + node->inputs[0];
  rotoi_step *s = p->plan->steps + p->plan->step_count++;
  int fits = 1;
  memset(s, 0, sizeof *s);
  s->node = last->head;
  s->end = end;
  for (uint32_t i = 0; i < ROTO_MAX_INPUTS; ++i) s->in[i] = ROTOI_ABSENT;
  s->scale = s->scaled = s->mean = s->partial = s->weights = s->bias = s->factor = s->curve = ROTOI_ABSENT;
  s->in[0] = node->inputs[0];
  s->out = end;
  s->in_code = s->read_code = in->code;
  s->out_code = last->code;
  s->act = last->node.act;
  s->h = in->node.h, s->w = in->node.w, s->c = in->node.c, s->cs = in->cs;
  s->oh = last->node.h, s->ow = last->node.w, s->oc = last->node.c, s->ocs = last->cs;
  double floats = (double)(s->oh * s->ow) * (double)s->ocs;
  switch (node->op) {
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
      fits = rotoi_plan_gemm(p, s, head, node->inputs[0] == 0);
      break;
    case ROTO_OP_DEPTHWISE:
    case ROTO_OP_BATCHNORM:
      fits = rotoi_plan_depthwise(p, s, head);
      break;
    case ROTO_OP_ACT:
      s->kind = ROTOI_STEP_ADD;
      rotoi_plan_tasks(s, s->oh * s->ow, 1, 4 * floats);
      break;
    case ROTO_OP_ADD:
    case ROTO_OP_SCALE:
      s->kind = node->op == ROTO_OP_ADD ? ROTOI_STEP_ADD : ROTOI_STEP_SCALE;
      s->in[1] = node->inputs[1];
      rotoi_plan_tasks(s, s->oh * s->ow, 1, 4 * floats);
      break;
    case ROTO_OP_CONCAT:
      s->kind = ROTOI_STEP_CONCAT;
      for (uint32_t i = 0; i < node->input_count; ++i) {
        s->in[i] = node->inputs[i];
        s->part_c[i] = p->values[node->inputs[i]].node.c;
        s->part_cs[i] = p->values[node->inputs[i]].cs;
      }
      rotoi_plan_tasks(s, s->oh, 1, 4 * floats);
      break;
    case ROTO_OP_MAXPOOL:
    case ROTO_OP_AVGPOOL:
      s->kind = ROTOI_STEP_POOL;
      s->max = node->op == ROTO_OP_MAXPOOL;
      s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
      s->pad_top = node->pad_top, s->pad_left = node->pad_left;
      rotoi_plan_tasks(s, s->oh, 1, 2 * floats * (double)(s->kh * s->kw));
      break;
    case ROTO_OP_GLOBALPOOL:
      s->kind = ROTOI_STEP_MEAN;
      rotoi_plan_tasks(s, 1, 1, 0);
      break;
    case ROTO_OP_UPSAMPLE:
      s->kind = ROTOI_STEP_UPSAMPLE;
      rotoi_plan_tasks(s, s->oh, 1, 4 * floats);
      break;
    default: /* POINTS; INPUT has no step, and the reader has refused all else */
      s->kind = ROTOI_STEP_POINTS;
      s->per_point = node->channels_per_point;
      s->points = s->c / s->per_point;
      rotoi_plan_tasks(s, (s->points + ROTOI_LANES - 1) / ROTOI_LANES, 1, 64.0 * (double)(s->h * s->w * s->points));
      break;
  }
  if (s->in[1] != ROTOI_ABSENT) s->second_code = p->values[s->in[1]].code;
  if (s->factor != ROTOI_ABSENT && s->out_code.type == ROTOI_U8 && rotoi_has_curve(s->act) && rotoi_has_byte_tables())
    fits &= rotoi_plan_weights(p, 1, sizeof(rotoi_fall), &s->curve);
  if (s->bias == ROTOI_ABSENT)
    s->low = s->in_code.type != ROTOI_F32 || s->second_code.type != ROTOI_F32 || s->out_code.type != ROTOI_F32;
  return fits ? ROTO_OK : ROTO_ERR_LIMIT;
}

/* How values lie in memory.  The input of a single convolution stands tight in a frame of zeros as wide as the padding, so
 * that a row of the kernel is one run of floats; else four channels apart. */
static int rotoi_plan_shapes(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  for (size_t i = 0; i < p->node_count; ++i) {
    rotoi_value *v = p->values + i;
    size_t h = v->node.h, w = v->node.w, pixels, count;
    v->cs = (v->node.c + (size_t)ROTOI_LANES - 1) / ROTOI_LANES * ROTOI_LANES; /* not 4: kernels write whole vectors */
    if (i == 0) {
      plan->input_h = h, plan->input_w = w, plan->input_c = v->node.c;
      v->cs = rotoi_stride(v->node.c);
      if (v->uses == 1) {
        const rotoi_node *reader = &p->values[v->user].node;
        v->cs = v->node.c;
        plan->input_top = reader->pad_top, plan->input_left = reader->pad_left;
        h = plan->padded_h = h + reader->pad_top + reader->pad_bottom;
        w = plan->padded_w = w + reader->pad_left + reader->pad_right;
      }
      plan->input_cs = v->cs;
    }
    if (!rotoi_mul(h, w, &pixels) || !rotoi_mul(pixels, v->cs, &count)) return 0;
    if (!rotoi_mul(count, rotoi_type_size(v->code.type), &v->size)) return 0;
    /* The last word of a row may reach past the picture. */
    if (rotoi_is_low(v) && !rotoi_add(v->size, ROTOI_LINE, &v->size)) return 0;
  }
  return 1;
}

/* Does `out` of step `s` take the place of operand `operand`, which dies there? */
static int rotoi_plan_in_place(rotoi_planner *p, const rotoi_step *s, size_t time, size_t operand) {
  rotoi_value *v = p->values + operand, *out = p->values + s->out;
  if (v->last != time || v->size != out->size || operand == 0) return 0;
  out->same_as = v->same_as;
  return 1;
}

/* First and last use of each value, places shared by in-place results, then places for all. */
static int rotoi_plan_memory(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  rotoi_value *values = p->values;
  size_t end = plan->step_count + 1, count = 0, n = p->value_count;
  for (size_t i = 0; i < n; ++i) {
    values[i].first = ROTOI_ABSENT;
    values[i].same_as = i;
  }
  values[0].first = values[plan->picture].first = 0;
  for (size_t i = 0; i < plan->step_count; ++i) {
    const rotoi_step *s = plan->steps + i;
    const size_t uses[] = {s->in[0], s->in[1], s->in[2], s->in[3], s->scale, s->scaled, s->out, s->mean, s->partial};
    for (size_t j = 0; j < sizeof uses / sizeof *uses; ++j) {
      if (uses[j] == ROTOI_ABSENT) continue;
      if (values[uses[j]].first == ROTOI_ABSENT) values[uses[j]].first = i + 1;
      values[uses[j]].last = i + 1;
    }
  }
  values[p->node_count - 1].last = end;
  for (size_t i = 0; i < plan->step_count; ++i) {
    const rotoi_step *s = plan->steps + i;
    if (s->out == s->in[0]) continue;
    if (s->kind == ROTOI_STEP_ADD || s->kind == ROTOI_STEP_SCALE) {
      if (rotoi_plan_in_place(p, s, i + 1, s->in[0])) continue;
      if (s->kind == ROTOI_STEP_ADD && s->in[1] != ROTOI_ABSENT) rotoi_plan_in_place(p, s, i + 1, s->in[1]);
    } else if (s->kind == ROTOI_STEP_GEMM && s->in[1] != ROTOI_ABSENT && s->in[1] != s->in[0]) {
      rotoi_plan_in_place(p, s, i + 1, s->in[1]);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (values[i].first == ROTOI_ABSENT || values[i].same_as == i) continue;
    rotoi_value *owner = values + values[i].same_as;
    if (values[i].last > owner->last) owner->last = values[i].last;
  }

  /* Largest first: sort the owners by size, keeping `order` of those placed by place. */
  for (size_t i = 0; i < n; ++i) {
    if (values[i].first != ROTOI_ABSENT && values[i].same_as == i) p->order[count++] = i;
  }
  for (size_t i = 1; i < count; ++i) {
    size_t v = p->order[i], j = i;
    for (; j > 0 && values[p->order[j - 1]].size < values[v].size; --j) p->order[j] = p->order[j - 1];
    p->order[j] = v;
  }
  for (size_t i = 0; i < count; ++i) {
    rotoi_value *v = values + p->order[i];
    size_t id = p->order[i], place = 0, total, j;
    for (j = 0; j < i; ++j) {
      const rotoi_value *other = values + p->order[j];
      if (other->last < v->first || v->last < other->first) continue;
      if (place + v->size <= other->place) break;
      size_t after = (other->place + other->size + ROTOI_LINE - 1) / ROTOI_LINE * ROTOI_LINE;
      if (after > place) place = after;
    }
    if (!rotoi_add(place, v->size, &total) || !rotoi_add(total, ROTOI_LINE - 1, &total)) return 0;
    total = total / ROTOI_LINE * ROTOI_LINE;
    if (total > plan->workspace) plan->workspace = total;
    v->place = place;
    for (j = i; j > 0 && values[p->order[j - 1]].place > place; --j) p->order[j] = p->order[j - 1];
    p->order[j] = id;
  }

  for (size_t i = 0; i < plan->step_count; ++i) {
    rotoi_step *s = plan->steps + i;
    size_t *uses[] = {&s->in[0], &s->in[1], &s->in[2], &s->in[3], &s->scale, &s->scaled, &s->out, &s->mean, &s->partial};
    for (size_t j = 0; j < sizeof uses / sizeof *uses; ++j) {
      if (*uses[j] != ROTOI_ABSENT) *uses[j] = values[values[*uses[j]].same_as].place;
    }
  }
  plan->input = values[0].place;
  plan->input_code = values[0].code;
  plan->picture = values[plan->picture].place;
  plan->output = values[values[p->node_count - 1].same_as].place;
  plan->output_c = values[p->node_count - 1].node.c;
  plan->output_cs = values[p->node_count - 1].cs;
  return 1;
}

/* Factor and bias of channel c after the chain's batch norms, in double. */
static void rotoi_fold(const rotoi_planner *p, const rotoi_value *head, size_t c, double *scale, double *bias) {
  const rotoi_value *v = head;
  *scale = 1;
  *bias = 0;
  if (head->node.op != ROTO_OP_BATCHNORM && head->node.tensors[1] != ROTO_NONE)
    *bias = rotoi_f32(rotoi_tensor(p->file, head->node.tensors[1], NULL) + c * 4);
  for (;;) {
    if (v->node.op == ROTO_OP_BATCHNORM) {
      double field[4];
      for (int i = 0; i < 4; ++i) field[i] = rotoi_f32(rotoi_tensor(p->file, v->node.tensors[i], NULL) + c * 4);
      double factor = field[0] / rotoi_root(field[3] + v->node.epsilon, 2);
      *scale *= factor;
      *bias = (*bias - field[2]) * factor + field[1];
    }
    if (v->next == ROTO_NONE) return;
    v = p->values + v->next;
  }
}

/* Fold and pack the weights of a step, a task: the last first, which are the largest.  Its scratch: folded factors, what takes weights
 * to bytes, and sums of bytes, of each column. */
static void rotoi_plan_fill(void *context, size_t index) {
  const rotoi_planner *p = (const rotoi_planner *)context;
  const rotoi_plan *plan = p->plan;
  const size_t number = plan->step_count - 1 - index;
  const rotoi_step *s = plan->steps + number;
  if (s->bias == ROTOI_ABSENT) return;
  const rotoi_value *head = p->values + s->node;
  const size_t room = s->ocs * sizeof(float);
  float *const scale = rotoi_floats(p->scratch, p->order[number]), *const byte_scale = scale + s->ocs;
  int32_t *const sums = (int32_t *)(void *)(byte_scale + s->ocs);
  float *bias = rotoi_floats(plan->weights, s->bias), *factor = NULL;
  if (s->curve != ROTOI_ABSENT) rotoi_make_curve(s->act, s->out_code, (rotoi_fall *)(void *)(plan->weights + s->curve));
  memset(bias, 0, room);
  for (size_t c = 0; c < s->oc; ++c) {
    double folded, shift;
    rotoi_fold(p, head, c, &folded, &shift);
    scale[c] = (float)folded;
    bias[c] = (float)shift;
  }
  if (s->outside)
    memset(plan->weights + s->outside, s->in_code.type == ROTOI_U8 ? (int)s->read_code.zero : 0,
           (s->dots ? s->w : 1) * s->cs * rotoi_type_size(s->in_code.type));
  if (s->in_file) return;
  rotoi_pack pack;
  memset(&pack, 0, sizeof pack);
  if (head->node.op != ROTO_OP_BATCHNORM) pack.weights = rotoi_tensor(p->file, head->node.tensors[0], NULL);
  pack.taps = s->kh * s->kw;
  pack.k = s->kind == ROTOI_STEP_DEPTHWISE ? 1 : s->c;
  pack.columns = pack.row_stride = s->oc;
  pack.col_stride = 1;
  pack.scale = scale;
  pack.nr = s->kind != ROTOI_STEP_GEMM ? s->ocs : s->low ? plan->low->nr : plan->kernels->nr;
  unsigned char *words = plan->weights + s->weights;
  if (s->factor != ROTOI_ABSENT) {
    /* real = scale * sum of input * weight; the input is code.scale * (byte - code.zero), the weight byte / byte_scale. */
    factor = rotoi_floats(plan->weights, s->factor);
    rotoi_byte_scales(plan->low, &pack, byte_scale);
    memset(factor, 0, room);
    memset(sums, 0, room);
    for (size_t c = 0; c < s->oc; ++c) factor[c] = s->read_code.scale * scale[c] / byte_scale[c];
    pack.scale = byte_scale;
  }
  if (s->dots) {
    rotoi_pack_columns(plan->low, &pack, s->kw, words, sums);
  } else if (s->kind == ROTOI_STEP_GEMM && s->low) {
    rotoi_pack_words(plan->low, &pack, words, sums);
  } else {
    for (size_t c = 0; s->low && c < s->oc; ++c) scale[c] *= s->in_code.scale;
    if (pack.weights) {
      rotoi_pack_panels(&pack, rotoi_floats(plan->weights, s->weights));
    } else { /* a batch norm: no more than its factors */
      memset(words, 0, room);
      memcpy(words, scale, s->oc * sizeof(float));
    }
  }
  for (size_t c = 0; factor && c < s->oc; ++c)
    bias[c] = (float)((double)bias[c] - (double)factor[c] * (double)s->read_code.zero * (double)sums[c]);
}

static void rotoi_plan_free(rotoi_plan *plan, const roto_allocator *allocator) {
  rotoi_free(allocator, plan->steps);
  rotoi_free(allocator, plan->weights);
  memset(plan, 0, sizeof *plan);
}

static roto_status rotoi_plan_build(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  size_t zeros = 0, scratch = 0, place;
  rotoi_plan_nodes(p);
  for (uint32_t i = 1; i < p->node_count; ++i) {
    if (p->values[i].node.op == ROTO_OP_SCALE && !p->separate) rotoi_plan_scale(p, i);
    if (!p->values[i].taken) rotoi_plan_chain(p, i);
  }
  roto_status status = rotoi_plan_codes(p);
  if (status) return status;
  if (!rotoi_plan_shapes(p)) return ROTO_ERR_LIMIT;
  for (uint32_t i = 1; i < p->node_count; ++i) {
    const rotoi_value *v = p->values + i;
    if (v->cs > zeros) zeros = v->cs;
  }
  plan->picture = p->value_count;
  p->values[p->value_count].cs = plan->input_c;
  /* Three channels at least: a grey picture is sampled in colour. */
  p->values[p->value_count++].size = plan->input_h * plan->input_w * (plan->input_c < 3 ? 3 : plan->input_c) * sizeof(float);
  rotoi_plan_weights(p, zeros, sizeof(float), &place); /* the pixel outside every picture, at place 0 */
  for (uint32_t i = 1; i < p->node_count; ++i) {
    if (p->values[i].head == ROTO_NONE) continue;
    if ((status = rotoi_plan_step(p, i))) return status;
  }
  if (!rotoi_plan_memory(p)) return ROTO_ERR_LIMIT;

  plan->weights = (unsigned char *)rotoi_alloc(p->allocator, plan->weight_size);
  for (size_t i = 0; i < plan->step_count; ++i) {
    p->order[i] = scratch;
    if (plan->steps[i].bias != ROTOI_ABSENT) scratch += 3 * plan->steps[i].ocs * sizeof(float); /* less than the weight block */
  }
  p->scratch = (unsigned char *)rotoi_alloc(p->allocator, scratch);
  if (!plan->weights || !p->scratch) return ROTO_ERR_MEMORY;
  memset(plan->weights, 0, zeros * sizeof(float)); /* the rest is written whole: zeros before would be another pass over it */
  if (plan->weight_size > ROTOI_PLAN_ALONE) {
    rotoi_parallel(p->parallel, plan->step_count, rotoi_plan_fill, p);
  } else {
    for (size_t i = 0; i < plan->step_count; ++i) rotoi_plan_fill(p, i);
  }
  return ROTO_OK;
}

/* Plan a validated file for a kernel table, and for low precision if `low` is not NULL (bytes need a file with ranges).  On failure `plan` is empty.  The plan may read weights in the file. */
static roto_status rotoi_plan_create(const rotoi_file *file, const rotoi_kernels *kernels, const rotoi_low_kernels *low,
                                     const roto_options *options, rotoi_plan *plan) {
  rotoi_planner p;
  size_t nodes = file->node_count, values = 2 * nodes + 1; /* at most one value of sums a node, and the picture */
  const roto_allocator *allocator = &options->allocator;
  roto_status status = ROTO_ERR_MEMORY;
  memset(plan, 0, sizeof *plan);
  memset(&p, 0, sizeof p);
  plan->kernels = kernels;
  plan->low = low;
  p.separate = options->separate;
  p.file = file;
  p.plan = plan;
  p.allocator = allocator;
  p.parallel = &options->parallel;
  p.node_count = p.value_count = nodes;
  plan->steps = (rotoi_step *)rotoi_alloc(allocator, nodes * sizeof(rotoi_step));
  p.values = (rotoi_value *)rotoi_alloc(allocator, values * sizeof(rotoi_value));
  p.order = (size_t *)rotoi_alloc(allocator, values * sizeof(size_t));
  if (plan->steps && p.values && p.order) {
    memset(p.values, 0, values * sizeof(rotoi_value));
    status = rotoi_plan_build(&p);
  }
  rotoi_free(allocator, p.scratch);
  rotoi_free(allocator, p.order);
  rotoi_free(allocator, p.values);
  if (status) rotoi_plan_free(plan, allocator);
  return status;
}

#endif /* ROTOI_PLAN */

/* >>exec.c */

/* The executor: walks the steps of a plan over one workspace.  It allocates nothing and decides nothing; how a step is cut
 * into tasks stands in the plan.
 *
 * A matrix step is a convolution seen as a product with gathered rows: for each tile of mr output pixels a list of pointers,
 * one to each input pixel that a tap of the kernel meets (or to zeros, outside the picture), then all panels of weights
 * against that list.  No patch is ever copied.  The list lives on the stack; kernels with more taps than it holds run in
 * groups of taps, each adding to what the groups before left in the result.
 *
 * A tile's rows stay in the first-level cache while the panels pass from the second.  Where the panels do not fit there, a block
 * of tiles stays in the second-level cache instead, and each panel meets the whole block: weights come from memory once a
 * block.
 *
 * Tried and lost: the rows of a product made just before the depthwise convolution that reads them, band by band, in the order of the
 * tasks alone (B0 1.003 and 0.996 of the time in float32 and bfloat16, B5 0.996 and 0.999), or through a buffer of their own of 200 to
 * 600 KB that stays in the second-level cache (float32, one thread, results of more than a megabyte: B0 1.00 to 1.02, B5 0.99, with the
 * same bits): what leaves that cache comes back in time, and short sums and swish are what the largest products wait for. */

#ifndef ROTOI_EXEC
#define ROTOI_EXEC

/* What the tasks of one step share. */
typedef struct rotoi_run {
  const rotoi_plan *plan;
  const rotoi_step *step;
  unsigned char *values; /* the workspace */
} rotoi_run;

/* The part of a step that one task does. */
typedef struct rotoi_part {
  size_t row0, row1, column0, column1;
  size_t row_task;
} rotoi_part;

/* Pointers to what taps [t0, t1) of output pixels [pixel, pixel + m) read, tap-major; to floats or bytes. */
static void rotoi_gather(const rotoi_step *s, const unsigned char *in, const unsigned char *outside, size_t pixel, size_t m,
                         size_t t0, size_t t1, void *rows) {
  const size_t ky0 = t0 / s->kw, kx0 = t0 % s->kw, step = s->cs * rotoi_type_size(s->in_code.type);
  size_t oy = pixel / s->ow, ox = pixel % s->ow;
  /* Where no tap is outside, which multiplies and compares nothing: 3 % of B0 in bytes. */
  if (!s->pad_top && !s->pad_left && (s->oh - 1) * s->stride + s->kh <= s->h && (s->ow - 1) * s->stride + s->kw <= s->w) {
    for (size_t i = 0; i < m; ++i) {
      const unsigned char *row = in + ((oy * s->stride + ky0) * s->w + ox * s->stride + kx0) * step;
      size_t kx = kx0;
      for (size_t t = 0; t < t1 - t0; ++t, row += step) {
        memcpy((unsigned char *)rows + (t * m + i) * sizeof row, &row, sizeof row);
        if (++kx == s->kw) kx = 0, row += (s->w - s->kw) * step;
      }
      if (++ox == s->ow) ox = 0, ++oy;
    }
    return;
  }
  for (size_t i = 0; i < m; ++i) {
    size_t ky = ky0, kx = kx0;
    for (size_t t = t0; t < t1; ++t) {
      size_t y = oy * s->stride + ky - s->pad_top, x = ox * s->stride + kx - s->pad_left; /* wraps above the picture */
      const unsigned char *row = y < s->h && x < s->w ? in + (y * s->w + x) * step : outside;
      memcpy((unsigned char *)rows + ((t - t0) * m + i) * sizeof row, &row, sizeof row);
      if (++kx == s->kw) kx = 0, ++ky;
    }
    if (++ox == s->ow) ox = 0, ++oy;
  }
}

/* The weights of a product times the factors of its input's channels: of B0 1 % in float32 and in bfloat16 against scaling the
 * input. */
static void rotoi_scale_weights(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  const float *scale = rotoi_floats(values, s->scale);
  const unsigned char *from = plan->weights + s->weights;
  unsigned char *to = values + s->scaled;
  const size_t nr = s->low ? plan->low->nr : plan->kernels->nr, rows = s->low ? rotoi_words(s->c, s->in_code.type) : s->c;
  for (size_t panel = 0; panel < s->columns; ++panel) {
    const size_t width = rotoi_panel_vectors(panel, s->oc, nr) * ROTOI_LANES;
    for (size_t r = 0; r < rows; ++r, from += 4 * width, to += 4 * width) {
      if (s->low) {
        plan->low->scale_words(from, scale[2 * r], 2 * r + 1 < s->c ? scale[2 * r + 1] : 0, width, to);
        continue;
      }
      for (size_t first = 0; first < width; first += ROTOI_LANES) {
        float block[ROTOI_LANES];
        memcpy(block, from + 4 * first, sizeof block);
        for (size_t j = 0; j < ROTOI_LANES; ++j) block[j] *= scale[r];
        memcpy(to + 4 * first, block, sizeof block);
      }
    }
  }
}

static void rotoi_run_gemm(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_kernels *kernels = run->plan->kernels;
  const unsigned char *from = run->values + s->in[0], *zeros = run->plan->weights;
  const int scaled = s->scaled != ROTOI_ABSENT;
  const float *weights = scaled ? rotoi_floats(run->values, s->scaled) : rotoi_floats(run->plan->weights, s->weights);
  const float *bias = rotoi_floats(run->plan->weights, s->bias);
  const float *rows[ROTOI_POINTERS];
  size_t taps = s->kh * s->kw, mr = kernels->mr, pixels = s->oh * s->ow, group = ROTOI_POINTERS / mr;
  float *in = rotoi_floats(run->values, s->in[0]), *out = rotoi_floats(run->values, s->out);
  const float *residual = s->in[1] == ROTOI_ABSENT ? NULL : rotoi_floats(run->values, s->in[1]);
  rotoi_gemm g;
  memset(&g, 0, sizeof g);
  g.k = s->c;
  g.c_stride = g.add_stride = s->ocs;
  for (size_t tile0 = part->row0, tile1; tile0 < part->row1; tile0 = tile1) {
    tile1 = rotoi_min(tile0 + s->block, part->row1);
    if (s->scale != ROTOI_ABSENT && !scaled) {
      float *block = in + tile0 * mr * s->cs;
      kernels->scale(block, rotoi_floats(run->values, s->scale), rotoi_min(tile1 * mr, pixels) - tile0 * mr, s->cs,
                     ROTO_ACT_NONE, block);
    }
    for (size_t t0 = 0; t0 < taps; t0 += group) {
      size_t t1 = rotoi_min(t0 + group, taps);
      g.taps = t1 - t0;
      g.act = t1 == taps ? s->act : ROTO_ACT_NONE;
      for (size_t tile = tile0; tile < tile1; ++tile) {
        rotoi_gather(s, from, zeros, tile * mr, rotoi_min(mr, pixels - tile * mr), t0, t1, rows + (tile - tile0) * g.taps * mr);
      }
      for (size_t panel = part->column0; panel < part->column1; ++panel) {
        size_t column = panel * kernels->nr;
        g.nv = rotoi_panel_vectors(panel, s->oc, kernels->nr);
        g.b = weights + (column * taps + t0 * g.nv * ROTOI_LANES) * s->c;
        g.bias = t0 ? NULL : bias + column;
        for (size_t tile = tile0; tile < tile1; ++tile) {
          size_t place = tile * mr * s->ocs + column;
          g.m = rotoi_min(mr, pixels - tile * mr);
          g.a = rows + (tile - tile0) * g.taps * mr;
          g.c = out + place;
          g.add = t0 ? g.c : residual ? residual + place : NULL;
          kernels->gemm(&g);
        }
      }
    }
  }
}

/* Rows [row0, row1) of the weights of a product of one pixel; a tap has as many as the input has channels. */
static void rotoi_run_dense(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const float *in = rotoi_floats(run->values, s->in[0]), *weights = s->in_file;
  const size_t stride = weights ? s->oc : s->ocs, apart = s->c > s->cs ? s->c : s->cs; /* c may be a row of the kernel */
  float *sums = rotoi_floats(run->values, s->partial) + part->row_task * s->ocs;
  if (!weights) weights = rotoi_floats(run->plan->weights, s->weights);
  memset(sums, 0, s->ocs * sizeof(float));
  for (size_t row = part->row0, end; row < part->row1; row = end) {
    const size_t tap = row / s->c;
    end = rotoi_min((tap + 1) * s->c, part->row1);
    run->plan->kernels->dense(in + tap * apart + row % s->c, weights + row * stride, end - row, stride, s->oc, sums);
  }
}

/* Its result from the sums of its parts, in order. */
static void rotoi_finish_dense(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  float *partial = rotoi_floats(values, s->partial), *bias = rotoi_floats(plan->weights, s->bias);
  for (size_t i = 1; i < s->row_tasks; ++i) plan->kernels->add(partial, partial + i * s->ocs, s->ocs, ROTO_ACT_NONE, partial);
  if (s->in[1] != ROTOI_ABSENT) plan->kernels->add(partial, rotoi_floats(values, s->in[1]), s->ocs, ROTO_ACT_NONE, partial);
  plan->kernels->add(partial, bias, s->ocs, s->act, rotoi_floats(values, s->out));
}

static const rotoi_fall *rotoi_step_curve(const rotoi_plan *plan, const rotoi_step *s) {
  return s->curve == ROTOI_ABSENT ? NULL : (const rotoi_fall *)(const void *)(plan->weights + s->curve);
}

/* The same on words.  All taps of a block of tiles have their pointers at once. */
static void rotoi_run_low_gemm(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_low_kernels *low = run->plan->low;
  const unsigned char *constants = run->plan->weights, *rows[ROTOI_POINTERS];
  const int scaled = s->scaled != ROTOI_ABSENT;
  const unsigned char *weights = scaled ? run->values + s->scaled : constants + s->weights;
  const float *bias = rotoi_floats(run->plan->weights, s->bias);
  const float *factor = s->factor == ROTOI_ABSENT ? NULL : rotoi_floats(run->plan->weights, s->factor);
  unsigned char *in = run->values + s->in[0], *out = run->values + s->out;
  const unsigned char *residual = s->in[1] == ROTOI_ABSENT ? NULL : run->values + s->in[1];
  const size_t taps = s->kh * s->kw, mr = low->mr, pixels = s->oh * s->ow;
  rotoi_low_gemm g;
  memset(&g, 0, sizeof g);
  g.taps = taps;
  g.k = rotoi_words(s->c, s->in_code.type);
  g.c_stride = g.add_stride = s->ocs;
  g.add_code = s->second_code, g.c_code = s->out_code;
  g.act = s->act;
  g.curve = rotoi_step_curve(run->plan, s);
  for (size_t tile0 = part->row0, tile1; tile0 < part->row1; tile0 = tile1) {
    tile1 = rotoi_min(tile0 + s->block, part->row1);
    if (s->scale != ROTOI_ABSENT && !scaled) {
      unsigned char *block = in + tile0 * mr * s->cs * rotoi_type_size(s->in_code.type);
      low->scale(block, s->in_code, rotoi_floats(run->values, s->scale), rotoi_min(tile1 * mr, pixels) - tile0 * mr, s->cs,
                 ROTO_ACT_NONE, block, s->read_code);
    }
    for (size_t tile = tile0; tile < tile1; ++tile)
      rotoi_gather(s, in, constants + s->outside, tile * mr, rotoi_min(mr, pixels - tile * mr), 0, taps,
                   rows + (tile - tile0) * taps * mr);
    for (size_t panel = part->column0; panel < part->column1; ++panel) {
      size_t column = panel * low->nr;
      g.nv = rotoi_panel_vectors(panel, s->oc, low->nr);
      g.b = weights + 4 * column * taps * g.k;
      g.bias = bias + column;
      g.factor = factor ? factor + column : NULL;
      for (size_t tile = tile0; tile < tile1; ++tile) {
        const size_t place = tile * mr * s->ocs + column;
        g.m = rotoi_min(mr, pixels - tile * mr);
        g.a = rows + (tile - tile0) * taps * mr;
        g.c = out + place * rotoi_type_size(s->out_code.type);
        g.add = residual ? residual + place * rotoi_type_size(s->second_code.type) : NULL;
        low->gemm(&g);
      }
    }
  }
}

static void rotoi_run_depthwise(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  rotoi_low_depthwise low;
  rotoi_depthwise d;
  memset(&d, 0, sizeof d);
  d.in = rotoi_floats(run->values, s->in[0]);
  d.w = rotoi_floats(run->plan->weights, s->weights);
  d.bias = rotoi_floats(run->plan->weights, s->bias);
  d.out = rotoi_floats(run->values, s->out);
  d.h = s->h, d.w_in = s->w, d.oh = s->oh, d.ow = s->ow, d.cs = s->cs;
  d.kh = s->kh, d.kw = s->kw, d.stride = s->stride, d.pad_top = s->pad_top, d.pad_left = s->pad_left;
  d.c0 = part->column0 * ROTOI_LANES, d.c1 = part->column1 * ROTOI_LANES;
  d.y0 = part->row0, d.y1 = part->row1;
  d.act = s->act;
  if (s->mean != ROTOI_ABSENT) {
    d.sums = rotoi_floats(run->values, s->partial) + part->row_task * s->cs;
    memset(d.sums + d.c0, 0, (d.c1 - d.c0) * sizeof(float));
  }
  if (!s->low) {
    run->plan->kernels->depthwise(&d);
    return;
  }
  low.shape = d;
  low.in = run->values + s->in[0], low.out = run->values + s->out;
  low.in_code = s->in_code, low.out_code = s->out_code;
  low.words = s->dots ? d.w : NULL, low.outside = run->plan->weights + s->outside;
  low.factor = s->factor == ROTOI_ABSENT ? NULL : rotoi_floats(run->plan->weights, s->factor);
  low.curve = rotoi_step_curve(run->plan, s);
  run->plan->low->depthwise(&low);
}

static void rotoi_run_pool(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  rotoi_low_pool low;
  rotoi_pool p;
  memset(&p, 0, sizeof p);
  p.in = rotoi_floats(run->values, s->in[0]);
  p.out = rotoi_floats(run->values, s->out);
  p.h = s->h, p.w_in = s->w, p.oh = s->oh, p.ow = s->ow, p.cs = s->cs;
  p.kh = s->kh, p.kw = s->kw, p.stride = s->stride, p.pad_top = s->pad_top, p.pad_left = s->pad_left;
  p.y0 = part->row0, p.y1 = part->row1;
  p.max = s->max;
  if (!s->low) {
    run->plan->kernels->pool(&p);
    return;
  }
  low.shape = p;
  low.in = run->values + s->in[0], low.out = run->values + s->out;
  low.in_code = s->in_code, low.out_code = s->out_code;
  run->plan->low->pool(&low);
}

static void rotoi_run_concat(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const size_t size = rotoi_type_size(s->out_code.type);
  for (size_t pixel = part->row0 * s->ow; pixel < part->row1 * s->ow; ++pixel) {
    unsigned char *out = run->values + s->out + pixel * s->ocs * size;
    if (s->low) memset(out + s->oc * size, 0, (s->ocs - s->oc) * size);
    for (size_t i = 0; i < ROTO_MAX_INPUTS && s->in[i] != ROTOI_ABSENT; out += s->part_c[i] * size, ++i)
      memcpy(out, run->values + s->in[i] + pixel * s->part_cs[i] * size, s->part_c[i] * size);
  }
}

static void rotoi_run_upsample(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const size_t pixel = s->cs * rotoi_type_size(s->in_code.type);
  for (size_t y = part->row0; y < part->row1; ++y) {
    const unsigned char *in = run->values + s->in[0] + y / 2 * s->w * pixel;
    unsigned char *out = run->values + s->out + y * s->ow * pixel;
    for (size_t x = 0; x < s->ow; ++x) memcpy(out + x * pixel, in + x / 2 * pixel, pixel);
  }
}

/* Heat maps to points, 16 landmarks side by side.  exp comes from the kernels' sigmoid: exp(t) = s / (1 - s), which is
 * accurate for t <= 0, where s <= 1/2.  Moments are summed in double about the picture's corner, so that one pass gives mean
 * and spread: what cancels is of the order of (cell / picture)^2, far above a double's rounding. */
static void rotoi_run_points(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const float *in = rotoi_floats(run->values, s->in[0]);
  const double cell_w = 1.0 / (double)s->w, cell_h = 1.0 / (double)s->h;
  for (size_t first = part->row0 * ROTOI_LANES; first < part->row1 * ROTOI_LANES; first += ROTOI_LANES) {
    size_t lanes = rotoi_min(ROTOI_LANES, s->points - first), cells = s->h * s->w;
    float top[ROTOI_LANES], sigmoid[ROTOI_LANES] = {0};
    double sum[ROTOI_LANES] = {0}, sum_x[ROTOI_LANES] = {0}, sum_y[ROTOI_LANES] = {0}, sum_squares[ROTOI_LANES] = {0};
    for (size_t j = 0; j < lanes; ++j) top[j] = in[first + j];
    for (size_t i = 1; i < cells; ++i) {
      const float *logit = in + i * s->cs + first;
      for (size_t j = 0; j < lanes; ++j) top[j] = top[j] < logit[j] ? logit[j] : top[j];
    }
    for (size_t i = 0; i < cells; ++i) {
      const float *logit = in + i * s->cs + first;
      double x = (double)(i % s->w) + 0.5, y = (double)(i / s->w) + 0.5;
      for (size_t j = 0; j < lanes; ++j) sigmoid[j] = logit[j] - top[j];
      run->plan->kernels->add(sigmoid, NULL, ROTOI_LANES, ROTO_ACT_SIGMOID, sigmoid);
      for (size_t j = 0; j < lanes; ++j) {
        double p = sigmoid[j] / (1.0 - sigmoid[j]), u = x, v = y;
        if (s->per_point == 3) {
          u += logit[s->points + j];
          v += logit[2 * s->points + j];
        }
        u *= cell_w;
        v *= cell_h;
        sum[j] += p;
        sum_x[j] += p * u;
        sum_y[j] += p * v;
        sum_squares[j] += p * (u * u + v * v);
      }
    }
    float *out = rotoi_floats(run->values, s->out) + 3 * first;
    for (size_t j = 0; j < lanes; ++j, out += 3) {
      double x = sum_x[j] / sum[j], y = sum_y[j] / sum[j];
      out[0] = (float)x;
      out[1] = (float)y;
      out[2] = (float)rotoi_root(sum_squares[j] / sum[j] - x * x - y * y, 2);
    }
  }
}

/* Element-wise steps and means on what is stored low: pixels [row0, row1). */
static void rotoi_run_low(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_low_kernels *low = run->plan->low;
  const size_t offset = part->row0 * s->ocs, pixels = part->row1 - part->row0;
  const unsigned char *in = run->values + s->in[0];
  unsigned char *out = run->values + s->out + offset * rotoi_type_size(s->out_code.type);
  if (s->kind == ROTOI_STEP_MEAN) {
    low->channel_sum(in, s->in_code, s->h * s->w, s->cs, 1.0f / (float)(s->h * s->w), out, s->out_code);
    return;
  }
  in += offset * rotoi_type_size(s->in_code.type);
  if (s->kind == ROTOI_STEP_SCALE) {
    low->scale(in, s->in_code, rotoi_floats(run->values, s->in[1]), pixels, s->ocs, s->act, out, s->out_code);
  } else {
    const unsigned char *second = NULL;
    if (s->in[1] != ROTOI_ABSENT) second = run->values + s->in[1] + offset * rotoi_type_size(s->second_code.type);
    low->add(in, s->in_code, second, s->second_code, pixels * s->ocs, s->act, out, s->out_code);
  }
}

static void rotoi_run_task(void *context, size_t index) {
  const rotoi_run *run = (const rotoi_run *)context;
  const rotoi_step *s = run->step;
  const rotoi_kernels *kernels = run->plan->kernels;
  size_t row_task = index / s->column_tasks, column_task = index % s->column_tasks;
  rotoi_part part;
  part.row_task = row_task;
  part.row0 = s->rows * row_task / s->row_tasks;
  part.row1 = s->rows * (row_task + 1) / s->row_tasks;
  part.column0 = s->columns * column_task / s->column_tasks;
  part.column1 = s->columns * (column_task + 1) / s->column_tasks;
  const float *in = rotoi_floats(run->values, s->in[0]);
  float *out = rotoi_floats(run->values, s->out);
  size_t offset = part.row0 * s->ocs, count = (part.row1 - part.row0) * s->ocs; /* of steps whose rows are pixels */
  if (s->low && (s->kind == ROTOI_STEP_MEAN || s->kind == ROTOI_STEP_ADD || s->kind == ROTOI_STEP_SCALE)) {
    rotoi_run_low(run, &part);
    return;
  }
  switch (s->kind) {
    case ROTOI_STEP_GEMM:
      if (s->low) {
        rotoi_run_low_gemm(run, &part);
      } else {
        rotoi_run_gemm(run, &part);
      }
      break;
    case ROTOI_STEP_DENSE:
      rotoi_run_dense(run, &part);
      break;
    case ROTOI_STEP_DEPTHWISE:
      rotoi_run_depthwise(run, &part);
      break;
    case ROTOI_STEP_POOL:
      rotoi_run_pool(run, &part);
      break;
    case ROTOI_STEP_MEAN:
      kernels->channel_sum(in, s->h * s->w, s->cs, 1.0f / (float)(s->h * s->w), out);
      break;
    case ROTOI_STEP_ADD:
      kernels->add(in + offset, s->in[1] == ROTOI_ABSENT ? NULL : rotoi_floats(run->values, s->in[1]) + offset, count, s->act,
                   out + offset);
      break;
    case ROTOI_STEP_SCALE:
      kernels->scale(in + offset, rotoi_floats(run->values, s->in[1]), part.row1 - part.row0, s->ocs, s->act, out + offset);
      break;
    case ROTOI_STEP_CONCAT:
      rotoi_run_concat(run, &part);
      break;
    case ROTOI_STEP_UPSAMPLE:
      rotoi_run_upsample(run, &part);
      break;
    case ROTOI_STEP_POINTS:
      rotoi_run_points(run, &part);
      break;
  }
}

/* Store `count` floats as `code` says. */
static void rotoi_encode(const rotoi_plan *plan, const float *from, size_t count, rotoi_code code, unsigned char *to) {
  rotoi_code plain;
  size_t i = count / ROTOI_LANES * ROTOI_LANES;
  if (code.type == ROTOI_F32) {
    memcpy(to, from, count * sizeof(float));
    return;
  }
  memset(&plain, 0, sizeof plain);
  if (i) plan->low->add(from, plain, NULL, plain, i, ROTO_ACT_NONE, to, code);
  for (; i < count; ++i) {
    if (code.type == ROTOI_BF16) {
      const uint16_t half = rotoi_to_bf16(from[i]);
      memcpy(to + 2 * i, &half, 2);
    } else {
      const float q = from[i] * code.inverse + code.zero;
      to[i] = (unsigned char)rotoi_round(q > 0 ? q < 255 ? q : 255 : 0);
    }
  }
}

/* Put an input, rows of tight pixels `row_stride` floats apart, in its place. */
static void rotoi_load_input(const rotoi_plan *plan, const float *input, size_t row_stride, unsigned char *values) {
  const rotoi_code code = plan->input_code;
  const size_t w = plan->input_w, c = plan->input_c, size = rotoi_type_size(code.type);
  const int zero = (int)code.zero; /* 0 but for bytes */
  unsigned char *out = values + plan->input;
  if (plan->padded_h) memset(out, zero, plan->padded_h * plan->padded_w * c * size + (size < sizeof(float) ? ROTOI_LINE : 0));
  for (size_t y = 0; y < plan->input_h; ++y) {
    const float *row = input + y * row_stride;
    if (plan->padded_h) {
      rotoi_encode(plan, row, w * c, code, out + ((y + plan->input_top) * plan->padded_w + plan->input_left) * c * size);
    } else {
      for (size_t x = 0; x < w; ++x) {
        unsigned char *pixel = out + (y * w + x) * plan->input_cs * size;
        if (size < sizeof(float)) memset(pixel, zero, plan->input_cs * size);
        rotoi_encode(plan, row + x * c, c, code, pixel);
      }
    }
  }
}

/* The mean over a depthwise result from the sums of its bands, in order. */
static void rotoi_finish_mean(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  float *partial = rotoi_floats(values, s->partial), share = 1.0f / (float)(s->oh * s->ow);
  for (size_t c = 0; c < s->cs; ++c) {
    float sum = 0;
    for (size_t i = 0; i < s->row_tasks; ++i) sum += partial[i * s->cs + c];
    partial[c] = sum * share;
  }
  rotoi_encode(plan, partial, s->cs, s->mean_code, values + s->mean);
}

/* What a step moves and computes.  Where the planner joined a kernel's columns, or all of it, with the channels of a product,
 * the report takes them apart again. */
static void rotoi_step_cost(const rotoi_step *s, unsigned char *values_at, roto_step *cost) {
  static const char *const kinds[] = {"gemm", "gemm",  "depthwise", "pool",     "mean",
                                      "add",  "scale", "concat",    "upsample", "points"};
  size_t element = rotoi_type_size(s->in_code.type), taps = s->kh * s->kw, weights = 0;
  size_t in = s->h * s->w * s->cs * element, out = s->oh * s->ow * s->ocs * rotoi_type_size(s->out_code.type),
         values = in + out;
  size_t second = s->oh * s->ow * s->ocs * rotoi_type_size(s->second_code.type);
  size_t joined = s->c > s->cs ? s->c / s->cs : 1, kernel_w = rotoi_min(s->kw * joined, s->w);
  memset(cost, 0, sizeof *cost);
  cost->kind = kinds[s->kind];
  cost->first_node = s->node, cost->last_node = s->end;
  cost->in_h = (uint32_t)s->h, cost->in_w = (uint32_t)s->w, cost->in_c = (uint32_t)(s->c / joined);
  cost->out_h = (uint32_t)s->oh, cost->out_w = (uint32_t)s->ow, cost->out_c = (uint32_t)s->oc;
  if (taps) {
    cost->kernel_h = (uint32_t)(taps * joined / kernel_w);
    cost->kernel_w = (uint32_t)kernel_w;
    cost->stride = (uint32_t)s->stride;
  }
  if (s->kind == ROTOI_STEP_GEMM || s->kind == ROTOI_STEP_DENSE) {
    cost->precision = s->in_code.type == ROTOI_U8     ? ROTO_PRECISION_INT8
                      : s->in_code.type == ROTOI_BF16 ? ROTO_PRECISION_BF16
                                                      : ROTO_PRECISION_FP32;
    cost->multiply_adds = (uint64_t)(s->oh * s->ow) * taps * s->c * s->oc;
    weights = taps * s->c * (s->in_file ? s->oc : s->ocs) * element + s->ocs * sizeof(float);
    if (s->in[1] != ROTOI_ABSENT) values += second;
    if (s->scale != ROTOI_ABSENT && s->scaled == ROTOI_ABSENT) values += in;
  } else if (s->kind == ROTOI_STEP_DEPTHWISE) {
    cost->multiply_adds = (uint64_t)(s->oh * s->ow) * taps * s->oc;
    weights = (taps + 1) * sizeof(float) * s->cs;
  } else if (s->kind == ROTOI_STEP_ADD && s->in[1] != ROTOI_ABSENT) {
    values += second;
  } else if (s->kind == ROTOI_STEP_CONCAT) {
    values = 2 * out;
  }
  cost->weight_bytes = weights;
  cost->value_bytes = values;
  if (s->out_code.type == ROTOI_F32) cost->value = rotoi_floats(values_at, s->out), cost->value_stride = s->ocs;
}

/* Run the network over the workspace `values`, which may hold the input at plan->picture.  The output lies at plan->output. */
static void rotoi_execute(const rotoi_plan *plan, const roto_parallel *parallel, const roto_profile *profile,
                          const float *input, size_t row_stride, unsigned char *values) {
  rotoi_run run;
  run.plan = plan;
  run.values = values;
  rotoi_load_input(plan, input, row_stride, values);
  for (size_t i = 0; i < plan->step_count; ++i) {
    double start = profile->clock ? profile->clock(profile->user) : 0;
    run.step = plan->steps + i;
    if (run.step->scaled != ROTOI_ABSENT) rotoi_scale_weights(plan, run.step, values);
    rotoi_parallel(parallel, run.step->row_tasks * run.step->column_tasks, rotoi_run_task, &run);
    if (run.step->mean != ROTOI_ABSENT) rotoi_finish_mean(plan, run.step, values);
    if (run.step->kind == ROTOI_STEP_DENSE) rotoi_finish_dense(plan, run.step, values);
    if (profile->clock) {
      roto_step cost;
      rotoi_step_cost(run.step, values, &cost);
      cost.seconds = profile->clock(profile->user) - start;
      profile->step(profile->user, &cost);
    }
  }
}

#endif /* ROTOI_EXEC */

/* >>image.c */

/* Sampling a frame: an affine map of the output's pixels into the frame, bilinear samples there, averaged where the map
 * shrinks.
 *
 * Positions are 32.32 fixed point and advance by addition, so the geometry is the same on every machine and the inner loop
 * has no conversions from floating point.  Positions wrap at 2^31 pixels; what they address is clamped to the picture (edge
 * pixels repeat), so no map, however wild, reads outside it.
 *
 * A pixel of the output takes a grid of nu x nv bilinear samples, spaced at most 1 1/16 pixels of the frame apart: closer
 * than that nothing is gained, because a bilinear sample already covers two pixels.  The sixteenth keeps maps that do not
 * shrink, rotations above all, at one sample in spite of rounding.
 *
 * Transfer curves are applied to the frame's pixels before they are mixed.  Bytes go through a table of 256, which also does
 * their conversion to float; wider pixels through a table of 128 knots an octave, indexed by the float's own bits (largest
 * relative error 3e-5, of logarithmic curves 2e-4). */

#ifndef ROTOI_IMAGE
#define ROTOI_IMAGE

enum {
  ROTOI_MAX_GRID = 16,           /* samples a pixel and direction */
  ROTOI_CURVE_OCTAVES = 9,       /* 2^-9 .. 1; all curves are straight lines to 0 below 2^-9 */
  ROTOI_CURVE_SIZE = 9 * 128 + 2 /* one knot past the value 1, which has weight 0 */
};
static const uint32_t rotoi_curve_start = 0x3b000000u; /* the bits of 2^-9 */

typedef struct rotoi_sampler {
  const unsigned char *pixels;
  size_t row_size, pixel_size, green, blue; /* bytes; green and blue from the start of a pixel */
  int32_t right, bottom;                    /* last column and row */
  roto_pixel type;
  int curve;                                   /* 0: values stay as they are */
  float slope;                                 /* of the curve below its first knot */
  uint64_t x, y;                               /* of the first sample of the first pixel */
  uint64_t ux, uy, vx, vy;                     /* from pixel to pixel of the output, along a row and down */
  uint64_t grid_ux, grid_uy, grid_vx, grid_vy; /* the same from sample to sample of one pixel */
  uint32_t nu, nv;                             /* samples of one pixel */
  float weight;                                /* of one sample */
  float table[ROTOI_CURVE_SIZE];               /* u8: value of each byte; else, with a curve: its knots */
} rotoi_sampler;

/* 10^x for |x| < 300: the whole part by multiplication, the rest by the series of e^(x ln 10). */
static double rotoi_power_of_ten(double x) {
  double power = 1, term = 1, sum = 1;
  for (; x > 0.5; x -= 1) power *= 10;
  for (; x < -0.5; x += 1) power /= 10;
  for (int i = 1; i < 24; ++i) sum += term *= x * 2.302585092994045684 / i;
  return power * sum;
}

/* Light, 1 for diffuse white, of a value in 0..1. */
static double rotoi_light(roto_transfer transfer, double v) {
  double r;
  switch (transfer) {
    case ROTO_TRANSFER_SRGB: /* IEC 61966-2-1 */
      if (v <= 0.04045) return v / 12.92;
      r = rotoi_root((v + 0.055) / 1.055, 5); /* ^2.4 = ^(12/5) */
      return (v + 0.055) / 1.055 * ((v + 0.055) / 1.055) * r * r;
    case ROTO_TRANSFER_REC709: /* ITU-R BT.709-6, item 1.2 */
      if (v < 0.081) return v / 4.5;
      r = rotoi_root((v + 0.099) / 1.099, 9); /* ^(1/0.45) = ^(20/9) */
      return (v + 0.099) / 1.099 * ((v + 0.099) / 1.099) * r * r;
    case ROTO_TRANSFER_LOGC3: /* ARRI, "ALEXA Log C Curve, usage in VFX", 2017: exposure values, EI 800 */
      if (v <= 5.367655 * 0.010591 + 0.092809) return (v - 0.092809) / 5.367655;
      return (rotoi_power_of_ten((v - 0.385537) / 0.247190) - 0.052272) / 5.555556;
    case ROTO_TRANSFER_SLOG3: /* Sony, "Technical Summary for S-Gamut3.Cine/S-Log3" */
      if (v < 171.2102946929 / 1023) return (v * 1023 - 95) * 0.01125 / (171.2102946929 - 95);
      return rotoi_power_of_ten((v * 1023 - 420) / 261.5) * 0.19 - 0.01;
    case ROTO_TRANSFER_CINEON: /* Kennel, "Conversion of 10-bit Log Film Data to 8-bit Linear or Video Data", Kodak 1995 */
      r = rotoi_power_of_ten((95 - 685) * 0.002 / 0.6);
      return (rotoi_power_of_ten((v * 1023 - 685) * 0.002 / 0.6) - r) / (1 - r);
    case ROTO_TRANSFER_LINEAR:
    case ROTO_TRANSFER_RAW:
      break;
  }
  return v;
}

/* What a value becomes; not above 1 only where light is not. */
static double rotoi_curve(roto_transfer from, roto_transfer to, double v) {
  double light = rotoi_light(from, v);
  if (light <= 0) return 0;
  if (to != ROTO_TRANSFER_SRGB) return light;
  if (light <= 0.0031308) return 12.92 * light;
  double r = rotoi_root(light, 12); /* ^(1/2.4) = ^(5/12) */
  return 1.055 * r * r * r * r * r - 0.055;
}

static uint64_t rotoi_fixed(double v) {
  if (!(v > -2147483648.0 && v < 2147483648.0)) return 0;
  return (uint64_t)(int64_t)(v * 4294967296.0);
}

static int rotoi_image_valid(const roto_image *image) {
  if (!image || !image->pixels || (unsigned)image->type > ROTO_PIXEL_F32 || (unsigned)image->transfer > ROTO_TRANSFER_RAW)
    return 0;
  return image->width && image->height && image->width < 0x7fffffffu && image->height < 0x7fffffffu && image->channels >= 1 &&
         image->channels <= 4;
}

/* Fewest samples for a step of (dx, dy) pixels of the frame. */
static uint32_t rotoi_grid(float dx, float dy) {
  double squared = (double)dx * dx + (double)dy * dy;
  uint32_t n = 1;
  while (n < ROTOI_MAX_GRID && (n + 0.0625) * (n + 0.0625) < squared) ++n;
  return n;
}

/* Where the samples are, by the map.  `thin`: half as many each way where there would be more than two, up to two pixels apart;
 * each is bilinear and sees two. */
static void rotoi_sampler_aim(rotoi_sampler *s, const float m[6], int thin) {
  s->nu = rotoi_grid(m[0], m[3]);
  s->nv = rotoi_grid(m[1], m[4]);
  if (thin && s->nu > 2) s->nu = (s->nu + 1) / 2;
  if (thin && s->nv > 2) s->nv = (s->nv + 1) / 2;
  s->weight = 1.0f / (float)(s->nu * s->nv);
  s->ux = rotoi_fixed(m[0]), s->uy = rotoi_fixed(m[3]);
  s->vx = rotoi_fixed(m[1]), s->vy = rotoi_fixed(m[4]);
  s->grid_ux = rotoi_fixed((double)m[0] / s->nu), s->grid_uy = rotoi_fixed((double)m[3] / s->nu);
  s->grid_vx = rotoi_fixed((double)m[1] / s->nv), s->grid_vy = rotoi_fixed((double)m[4] / s->nv);
  /* Centres: half a sample step into the first pixel of the output, half a pixel back to the first centre of the frame. */
  s->x = rotoi_fixed(m[2] - 0.5) + rotoi_fixed((double)m[0] / s->nu / 2) + rotoi_fixed((double)m[1] / s->nv / 2);
  s->y = rotoi_fixed(m[5] - 0.5) + rotoi_fixed((double)m[3] / s->nu / 2) + rotoi_fixed((double)m[4] / s->nv / 2);
}

static void rotoi_sampler_init(rotoi_sampler *s, const roto_image *image, const float m[6], roto_transfer transfer, int thin) {
  static const unsigned char sizes[3] = {1, 2, 4};
  size_t size = sizes[image->type];
  s->pixels = (const unsigned char *)image->pixels;
  s->type = image->type;
  s->pixel_size = size * image->channels;
  s->row_size = image->row_size ? image->row_size : s->pixel_size * image->width;
  s->green = image->channels >= 3 ? size : 0;
  s->blue = 2 * s->green;
  s->right = (int32_t)(image->width - 1);
  s->bottom = (int32_t)(image->height - 1);
  rotoi_sampler_aim(s, m, thin);

  s->curve = image->transfer != transfer && image->transfer != ROTO_TRANSFER_RAW;
  if (s->type == ROTO_PIXEL_U8) {
    for (int i = 0; i < 256; ++i) {
      double v = s->curve ? rotoi_curve(image->transfer, transfer, i / 255.0) : i / 255.0;
      s->table[i] = (float)(v < 1 ? v : 1);
    }
  } else if (s->curve) {
    for (uint32_t i = 0; i < ROTOI_CURVE_SIZE; ++i) {
      uint32_t bits = rotoi_curve_start + (i << 16);
      float v;
      memcpy(&v, &bits, 4);
      s->table[i] = (float)rotoi_curve(image->transfer, transfer, v);
    }
    s->slope = (float)(rotoi_curve(image->transfer, transfer, 1 / 512.0) * 512);
  }
}

/* One channel of one pixel, in 0..1 and in the transfer asked for.  `type` is a constant of the caller. */
rotoi_inline float rotoi_fetch(const rotoi_sampler *s, roto_pixel type, const unsigned char *p) {
  if (type == ROTO_PIXEL_U8) return s->table[*p];
  float v;
  if (type == ROTO_PIXEL_U16) {
    uint16_t t;
    memcpy(&t, p, 2);
    v = (float)t * (1.0f / 65535.0f);
  } else {
    memcpy(&v, p, 4);
    v = v > 0.0f ? v < 1.0f ? v : 1.0f : 0.0f; /* NaN becomes 0 */
  }
  if (!s->curve) return v;
  uint32_t bits;
  memcpy(&bits, &v, 4);
  if (bits < rotoi_curve_start) return v * s->slope;
  const float *knot = s->table + ((bits - rotoi_curve_start) >> 16);
  v = knot[0] + (knot[1] - knot[0]) * ((float)(bits & 0xffffu) * (1.0f / 65536.0f));
  return v < 1.0f ? v : 1.0f;
}

rotoi_inline void rotoi_sample_row_of(const rotoi_sampler *s, roto_pixel type, uint32_t row, uint32_t width, float *out) {
  const int32_t right = s->right, bottom = s->bottom;
  const uint32_t nu = s->nu, nv = s->nv;
  const float weight = s->weight;
  uint64_t x = s->x + row * s->vx, y = s->y + row * s->vy;
  for (uint32_t i = 0; i < width; ++i, x += s->ux, y += s->uy, out += 3) {
    float red = 0, green = 0, blue = 0;
    for (uint32_t v = 0; v < nv; ++v) {
      uint64_t gx = x + v * s->grid_vx, gy = y + v * s->grid_vy;
      for (uint32_t u = 0; u < nu; ++u, gx += s->grid_ux, gy += s->grid_uy) {
        int32_t x0 = (int32_t)(uint32_t)(gx >> 32), y0 = (int32_t)(uint32_t)(gy >> 32);
        x0 = x0 < -1 ? -1 : x0 > right ? right : x0;
        y0 = y0 < -1 ? -1 : y0 > bottom ? bottom : y0;
        int32_t x1 = x0 < right ? x0 + 1 : right, y1 = y0 < bottom ? y0 + 1 : bottom;
        x0 = x0 < 0 ? 0 : x0;
        y0 = y0 < 0 ? 0 : y0;
        float fx = (float)(int32_t)((uint32_t)gx >> 8) * (1.0f / 16777216.0f);
        float fy = (float)(int32_t)((uint32_t)gy >> 8) * (1.0f / 16777216.0f);
        float w11 = fx * fy, w01 = fx - w11, w10 = fy - w11, w00 = 1.0f - fx - w10; /* w[row][column] */
        const unsigned char *r0 = s->pixels + (size_t)y0 * s->row_size, *r1 = s->pixels + (size_t)y1 * s->row_size;
        size_t c0 = (size_t)x0 * s->pixel_size, c1 = (size_t)x1 * s->pixel_size;
        const unsigned char *p00 = r0 + c0, *p01 = r0 + c1, *p10 = r1 + c0, *p11 = r1 + c1;
        red += w00 * rotoi_fetch(s, type, p00) + w01 * rotoi_fetch(s, type, p01) + w10 * rotoi_fetch(s, type, p10) +
               w11 * rotoi_fetch(s, type, p11);
        size_t g = s->green, b = s->blue;
        green += w00 * rotoi_fetch(s, type, p00 + g) + w01 * rotoi_fetch(s, type, p01 + g) +
                 w10 * rotoi_fetch(s, type, p10 + g) + w11 * rotoi_fetch(s, type, p11 + g);
        blue += w00 * rotoi_fetch(s, type, p00 + b) + w01 * rotoi_fetch(s, type, p01 + b) +
                w10 * rotoi_fetch(s, type, p10 + b) + w11 * rotoi_fetch(s, type, p11 + b);
      }
    }
    out[0] = red * weight;
    out[1] = green * weight;
    out[2] = blue * weight;
  }
}

/* One row of the output: width x 3 floats. */
static void rotoi_sample_row(const rotoi_sampler *s, uint32_t row, uint32_t width, float *out) {
  switch (s->type) {
    case ROTO_PIXEL_U8:
      rotoi_sample_row_of(s, ROTO_PIXEL_U8, row, width, out);
      break;
    case ROTO_PIXEL_U16:
      rotoi_sample_row_of(s, ROTO_PIXEL_U16, row, width, out);
      break;
    case ROTO_PIXEL_F32:
      rotoi_sample_row_of(s, ROTO_PIXEL_F32, row, width, out);
      break;
  }
}

ROTO_API void roto_sample(const roto_image *image, const float to_frame[6], roto_transfer transfer, uint32_t width,
                          uint32_t height, float *out) {
  if (!out) return;
  if (!to_frame || !rotoi_image_valid(image)) {
    memset(out, 0, (size_t)width * height * 3 * sizeof *out);
    return;
  }
  rotoi_sampler s;
  rotoi_sampler_init(&s, image, to_frame, transfer, 0);
  for (uint32_t row = 0; row < height; ++row) rotoi_sample_row(&s, row, width, out + (size_t)row * width * 3);
}

ROTO_API void roto_crop_map(roto_rect crop, uint32_t width, uint32_t height, float to_frame[6]) {
  float sx = crop.width / (float)width, sy = crop.height / (float)height, scale = sx > sy ? sx : sy;
  to_frame[0] = to_frame[4] = scale;
  to_frame[1] = to_frame[3] = 0;
  to_frame[2] = crop.x + 0.5f * crop.width - 0.5f * scale * (float)width;
  to_frame[5] = crop.y + 0.5f * crop.height - 0.5f * scale * (float)height;
}

#endif /* ROTOI_IMAGE */

/* >>shapes.c */

/* Shapes from landmarks: small dense networks, one for a shape or for two that mirror each other (model_format/SPEC.md, SHAP).
 *
 * A shape is drawn in a frame of its own, fixed by its two extreme landmarks, so its network sees neither place, scale nor
 * rotation.  The workspace holds a block's result and the input side by side, so that concatenation costs nothing:
 *
 *   [ result, `width` floats | input, 2 * landmarks | room ] [ hidden, `width` ] [ outputs ] */

#ifndef ROTOI_SHAPES
#define ROTOI_SHAPES

typedef struct rotoi_shape {
  const rotoi_shape_net *net; /* NULL: not predicted */
  const float *layers;        /* packed: for each layer weights, then biases up to a multiple of 16 */
  const uint32_t *landmarks;
  const int32_t *vertices; /* a landmark, or -1 */
  uint32_t landmark_count, vertex_count, first_vertex;
  uint32_t hidden, output; /* where the workspace's parts start */
  rotoi_shape_use use;
} rotoi_shape;

typedef struct rotoi_shapes {
  const rotoi_kernels *kernels;
  rotoi_shape *shapes; /* count: those of the template; 0 if the model has no shape networks */
  uint32_t count;
  rotoi_shape_net *nets;
  uint32_t *landmarks;
  int32_t *vertices;
  float *layers;
  size_t workspace; /* bytes */
} rotoi_shapes;

static void rotoi_shapes_free(rotoi_shapes *shapes, const roto_allocator *allocator) {
  rotoi_free(allocator, shapes->shapes);
  rotoi_free(allocator, shapes->nets);
  rotoi_free(allocator, shapes->landmarks);
  rotoi_free(allocator, shapes->vertices);
  rotoi_free(allocator, shapes->layers);
  memset(shapes, 0, sizeof *shapes);
}

/* Floats of n results of a layer, or of its biases, with the room that gemm needs. */
static inline size_t rotoi_shape_room(uint32_t n) {
  const size_t least = ROTOI_LANES;
  return rotoi_stride(n < least ? least : n);
}

static inline uint32_t rotoi_shape_layers(const rotoi_shape_net *net) {
  return 2 * net->blocks + 1;
}

/* What layer i reads and returns. */
static void rotoi_shape_layer(const rotoi_shape_net *net, uint32_t i, uint32_t *in, uint32_t *out) {
  *in = i == 0 ? 2 * net->landmarks : i % 2 ? net->width : net->width + 2 * net->landmarks;
  *out = i == 2 * net->blocks ? net->outputs : net->width;
}

/* Floats of the packed layers of a network; every number is below 2^11, so nothing overflows. */
static size_t rotoi_shape_packed(const rotoi_shape_net *net) {
  size_t count = 0;
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    rotoi_shape_layer(net, i, &in, &out);
    count += rotoi_packed_count(in, out) + rotoi_shape_room(out);
  }
  return count;
}

/* Pack the layers of a network; returns what follows its weights in the file. */
static const unsigned char *rotoi_shape_pack(const rotoi_shape_net *net, const rotoi_kernels *kernels,
                                             const unsigned char *weights, float *packed) {
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    rotoi_pack pack;
    rotoi_shape_layer(net, i, &in, &out);
    memset(&pack, 0, sizeof pack);
    pack.weights = weights;
    pack.taps = 1;
    pack.k = in;
    pack.columns = pack.row_stride = out;
    pack.col_stride = 1;
    pack.nr = kernels->nr;
    rotoi_pack_panels(&pack, packed);
    packed += rotoi_packed_count(in, out);
    weights += 4 * (size_t)in * out;
    for (uint32_t k = 0; k < out; ++k, weights += 4) packed[k] = rotoi_f32(weights);
    for (uint32_t k = out; k % 16 != 0; ++k) packed[k] = 0;
    packed += rotoi_shape_room(out);
  }
  return weights;
}

static roto_status rotoi_shapes_create(const rotoi_file *file, const rotoi_kernels *kernels, const roto_allocator *allocator,
                                       rotoi_shapes *shapes) {
  const unsigned char *weights = file->shape_weights, *list = file->shape_landmarks;
  size_t packed = 0, landmarks = 0, total;
  uint32_t first = 0;
  rotoi_shape_use use;
  memset(shapes, 0, sizeof *shapes);
  if (!file->shape_net_count) return ROTO_OK;
  shapes->kernels = kernels;
  shapes->shapes = (rotoi_shape *)rotoi_alloc(allocator, file->shape_count * sizeof *shapes->shapes);
  shapes->nets = (rotoi_shape_net *)rotoi_alloc(allocator, file->shape_net_count * sizeof *shapes->nets);
  shapes->vertices = (int32_t *)rotoi_alloc(allocator, file->vertex_count * sizeof *shapes->vertices);
  if (!shapes->shapes || !shapes->nets || !shapes->vertices) return ROTO_ERR_MEMORY;
  for (uint32_t i = 0; i < file->shape_net_count; ++i) {
    rotoi_read_shape_net(file, i, &shapes->nets[i]);
    if (!rotoi_add(packed, rotoi_shape_packed(&shapes->nets[i]), &packed)) return ROTO_ERR_LIMIT;
  }
  for (uint32_t i = 0; i < file->shape_count; ++i) {
    rotoi_read_shape_use(file, i, &use);
    if (use.network != ROTO_NONE) landmarks += shapes->nets[use.network].landmarks;
  }
  if (!rotoi_mul(packed, sizeof(float), &total)) return ROTO_ERR_LIMIT;
  shapes->layers = (float *)rotoi_alloc(allocator, total);
  shapes->landmarks = (uint32_t *)rotoi_alloc(allocator, landmarks * sizeof *shapes->landmarks);
  if (!shapes->layers || !shapes->landmarks) return ROTO_ERR_MEMORY;
  for (size_t i = 0; i < landmarks; ++i) shapes->landmarks[i] = rotoi_u32(list + 4 * i);
  rotoi_read_vertices(file, shapes->vertices);
  for (uint32_t i = 0, at = 0; i < file->shape_net_count; ++i) {
    weights = rotoi_shape_pack(&shapes->nets[i], kernels, weights, shapes->layers + at);
    at += (uint32_t)rotoi_shape_packed(&shapes->nets[i]);
  }

  shapes->count = file->shape_count;
  landmarks = 0;
  for (uint32_t i = 0; i < file->shape_count; ++i) {
    rotoi_shape *shape = &shapes->shapes[i];
    roto_shape described;
    memset(shape, 0, sizeof *shape);
    rotoi_read_shape(file, i, shapes->vertices, &described);
    rotoi_read_shape_use(file, i, &shape->use);
    shape->vertices = described.vertices;
    shape->vertex_count = described.vertex_count;
    shape->first_vertex = first;
    first += described.vertex_count;
    if (shape->use.network == ROTO_NONE) continue;
    const rotoi_shape_net *net = shape->net = &shapes->nets[shape->use.network];
    shape->layers = shapes->layers;
    for (uint32_t k = 0; k < shape->use.network; ++k) shape->layers += rotoi_shape_packed(&shapes->nets[k]);
    shape->landmarks = shapes->landmarks + landmarks;
    shape->landmark_count = net->landmarks;
    landmarks += net->landmarks;
    shape->hidden = (uint32_t)(rotoi_stride(net->width + 2 * net->landmarks));
    shape->output = shape->hidden + net->width;
    total = (shape->output + rotoi_shape_room(net->outputs)) * sizeof(float);
    if (total > shapes->workspace) shapes->workspace = total;
  }
  return ROTO_OK;
}

/* One dense layer: out[0..columns) = act(bias + in * weights); writes up to a multiple of 16. */
static const float *rotoi_shape_dense(const rotoi_kernels *kernels, const float *in, uint32_t k, uint32_t columns,
                                      const float *packed, int act, float *out) {
  const float *bias = packed + rotoi_packed_count(k, columns);
  rotoi_gemm g;
  memset(&g, 0, sizeof g);
  g.m = g.taps = 1;
  g.k = k;
  g.a = &in;
  g.act = act;
  for (size_t panel = 0; panel < rotoi_panel_count(columns, kernels->nr); ++panel) {
    const size_t first = panel * kernels->nr;
    g.nv = rotoi_panel_vectors(panel, columns, kernels->nr);
    g.b = packed + first * k;
    g.bias = bias + first;
    g.c = out + first;
    kernels->gemm(&g);
  }
  return bias + rotoi_shape_room(columns);
}

static float rotoi_shape_limit(double v) {
  return v < -100 ? -100.0f : v > 100 ? 100.0f : (float)v;
}

/* Draw a shape through its own landmarks, `own`, in the order of its list, in a picture whose pixels are `aspect` times as wide as
 * high.  The frame: canonical (u, v) is middle + u * along + v * across in the picture of square pixels, mirrored if the shape is. */
static void rotoi_draw_shape(const rotoi_shapes *shapes, uint32_t index, double aspect, const roto_point *own, float *workspace,
                             roto_vertex *vertices) {
  const rotoi_shape *shape = &shapes->shapes[index];
  const rotoi_shape_net *net = shape->net;
  float *input = workspace + net->width, *hidden = workspace + shape->hidden, *output = workspace + shape->output;
  const double stretch = shape->use.mirrored ? -aspect : aspect;
  const double dx = stretch * ((double)own[1].x - (double)own[0].x), dy = (double)own[1].y - (double)own[0].y;
  const double mx = stretch * ((double)own[0].x + (double)own[1].x) / 2, my = ((double)own[0].y + (double)own[1].y) / 2;
  const double square = dx * dx + dy * dy, inverse = square < 1e-12 ? 0 : 1 / square;
  for (uint32_t i = 0; i < net->landmarks; ++i) {
    const double x = stretch * (double)own[i].x - mx, y = (double)own[i].y - my;
    input[2 * i] = rotoi_shape_limit((x * dx + y * dy) * inverse);
    input[2 * i + 1] = rotoi_shape_limit((dx * y - dy * x) * inverse);
  }
  const float *layer = shape->layers;
  for (uint32_t i = 0; i < rotoi_shape_layers(net); ++i) {
    uint32_t in, out;
    const int is_last = i == 2 * net->blocks;
    rotoi_shape_layer(net, i, &in, &out);
    layer = rotoi_shape_dense(shapes->kernels,
                              i == 0  ? input
                              : i % 2 ? hidden
                                      : workspace,
                              in, out, layer, is_last ? ROTO_ACT_NONE : ROTO_ACT_RELU,
                              is_last ? output
                              : i % 2 ? workspace
                                      : hidden);
  }

  const float *place = output, *tangents = output + 2 * net->places;
  for (uint32_t i = 0; i < net->vertices; ++i, tangents += 4) {
    const uint32_t v = rotoi_shape_turn(&shape->use, net->vertices, i);
    const float *in = shape->use.reversed ? tangents + 2 : tangents, *out = shape->use.reversed ? tangents : tangents + 2;
    roto_vertex *vertex = &vertices[v];
    memset(vertex, 0, sizeof *vertex);
    if (shape->vertices[v] < 0) {
      vertex->x = (mx + (double)place[0] * dx - (double)place[1] * dy) / stretch;
      vertex->y = my + (double)place[0] * dy + (double)place[1] * dx;
      place += 2;
    } else {
      uint32_t k = 0;
      while (shape->landmarks[k] != (uint32_t)shape->vertices[v]) ++k;
      vertex->x = (double)own[k].x;
      vertex->y = (double)own[k].y;
    }
    vertex->in_x = ((double)in[0] * dx - (double)in[1] * dy) / stretch;
    vertex->in_y = (double)in[0] * dy + (double)in[1] * dx;
    vertex->out_x = ((double)out[0] * dx - (double)out[1] * dy) / stretch;
    vertex->out_y = (double)out[0] * dy + (double)out[1] * dx;
  }
}

/* See roto_predict_shape. */
static roto_status rotoi_predict_shape(const rotoi_shapes *shapes, uint32_t index, double aspect, const roto_point *points,
                                       float *workspace, roto_vertex *vertices) {
  const float most = 1e9f;
  roto_point own[ROTO_MAX_SHAPE_LANDMARKS];
  if (index >= shapes->count || !shapes->shapes[index].net) return ROTO_ERR_ARGUMENT;
  const rotoi_shape *shape = &shapes->shapes[index];
  for (uint32_t i = 0; i < shape->landmark_count; ++i) {
    own[i] = points[shape->landmarks[i]];
    if (!(own[i].x > -most && own[i].x < most && own[i].y > -most && own[i].y < most)) return ROTO_ERR_ARGUMENT;
  }
  rotoi_draw_shape(shapes, index, aspect, own, workspace, vertices);
  return ROTO_OK;
}

#endif /* ROTOI_SHAPES */

/* >>bezier.c */

/* Geometry of cubic Bezier curves, in double precision: a shape has a few dozen segments, and what is built on it (areas,
 * crossings, offsets) loses digits fast.  Square roots come from the processor or from base arithmetic, so that programs need
 * not link a mathematics library. */

#ifndef ROTOI_BEZIER
#define ROTOI_BEZIER

static inline double rotoi_sqrt(double v) {
#ifdef ROTOI_X86
  return v > 0 ? _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(v))) : 0;
#else
  return rotoi_root(v, 2);
#endif
}

static inline double rotoi_hypot(double x, double y) {
  return rotoi_sqrt(x * x + y * y);
}

ROTO_API uint32_t roto_path_segments(const roto_path *path) {
  if (path->closed) return path->vertex_count;
  return path->vertex_count ? path->vertex_count - 1 : 0;
}

ROTO_API roto_cubic roto_path_segment(const roto_path *path, uint32_t index) {
  const roto_vertex *a = path->vertices + index;
  const roto_vertex *b = path->vertices + (index + 1 < path->vertex_count ? index + 1 : 0);
  roto_cubic c = {{a->x, a->x + a->out_x, b->x + b->in_x, b->x}, {a->y, a->y + a->out_y, b->y + b->in_y, b->y}};
  return c;
}

static double rotoi_cubic_value(const double p[4], double t) {
  double s = 1 - t;
  return s * s * (s * p[0] + 3 * t * p[1]) + t * t * (3 * s * p[2] + t * p[3]);
}

static double rotoi_cubic_slope(const double p[4], double t) {
  double s = 1 - t;
  return 3 * (s * s * (p[1] - p[0]) + 2 * s * t * (p[2] - p[1]) + t * t * (p[3] - p[2]));
}

ROTO_API void roto_cubic_at(const roto_cubic *c, double t, double point[2]) {
  point[0] = rotoi_cubic_value(c->x, t);
  point[1] = rotoi_cubic_value(c->y, t);
}

ROTO_API void roto_cubic_derivative(const roto_cubic *c, double t, double derivative[2]) {
  derivative[0] = rotoi_cubic_slope(c->x, t);
  derivative[1] = rotoi_cubic_slope(c->y, t);
}

static void rotoi_split(const double p[4], double t, double left[4], double right[4]) {
  double ab = p[0] + (p[1] - p[0]) * t, bc = p[1] + (p[2] - p[1]) * t, cd = p[2] + (p[3] - p[2]) * t;
  double abc = ab + (bc - ab) * t, bcd = bc + (cd - bc) * t, middle = abc + (bcd - abc) * t;
  left[0] = p[0], left[1] = ab, left[2] = abc, left[3] = middle;
  right[0] = middle, right[1] = bcd, right[2] = cd, right[3] = p[3];
}

ROTO_API void roto_cubic_split(const roto_cubic *c, double t, roto_cubic *left, roto_cubic *right) {
  roto_cubic a, b;
  rotoi_split(c->x, t, a.x, b.x);
  rotoi_split(c->y, t, a.y, b.y);
  if (left) *left = a;
  if (right) *right = b;
}

/* A chord of a step h leaves the curve by at most h^2/8 times the largest second derivative, which is 6 times the larger
 * second difference of the control points. */
ROTO_API uint32_t roto_cubic_steps(const roto_cubic *c, double tolerance) {
  double bend = 0;
  for (int i = 0; i < 2; ++i) {
    double d = rotoi_hypot(c->x[i] - 2 * c->x[i + 1] + c->x[i + 2], c->y[i] - 2 * c->y[i + 1] + c->y[i + 2]);
    if (d > bend) bend = d;
  }
  double n = rotoi_sqrt(0.75 * bend / tolerance);
  return n < 65535 ? (uint32_t)n + 1 : 65536;
}

ROTO_API uint32_t roto_cubic_flatten(const roto_cubic *c, double tolerance, double (*points)[2], uint32_t capacity) {
  uint32_t n = roto_cubic_steps(c, tolerance);
  if (n > capacity) return n;
  for (uint32_t i = 1; i < n; ++i) roto_cubic_at(c, (double)i / n, points[i - 1]);
  points[n - 1][0] = c->x[3];
  points[n - 1][1] = c->y[3];
  return n;
}

/* Gauss-Legendre quadrature of the speed over a..b with 8 nodes. */
static double rotoi_length_of(const roto_cubic *c, double a, double b) {
  static const double node[4] = {0.1834346424956498, 0.5255324099163290, 0.7966664774136267, 0.9602898564975363};
  static const double weight[4] = {0.3626837833783620, 0.3137066458778873, 0.2223810344533745, 0.1012285362903763};
  double middle = (a + b) / 2, half = (b - a) / 2, sum = 0, d[2];
  for (int i = 0; i < 8; ++i) {
    roto_cubic_derivative(c, middle + (i & 1 ? half : -half) * node[i / 2], d);
    sum += weight[i / 2] * rotoi_hypot(d[0], d[1]);
  }
  return sum * half;
}

/* Halves until both halves together agree with the whole; at a cusp the depth ends it, where what is left is 2^-20 long. */
static double rotoi_length_adaptive(const roto_cubic *c, double a, double b, double whole, double tolerance, int depth) {
  double middle = (a + b) / 2, left = rotoi_length_of(c, a, middle), right = rotoi_length_of(c, middle, b);
  double change = left + right - whole;
  if (depth == 0 || (change < tolerance && -change < tolerance)) return left + right;
  return rotoi_length_adaptive(c, a, middle, left, tolerance / 2, depth - 1) +
         rotoi_length_adaptive(c, middle, b, right, tolerance / 2, depth - 1);
}

ROTO_API double roto_cubic_length(const roto_cubic *c, double t) {
  double polygon = 0;
  for (int i = 0; i < 3; ++i) polygon += rotoi_hypot(c->x[i + 1] - c->x[i], c->y[i + 1] - c->y[i]);
  return rotoi_length_adaptive(c, 0, t, rotoi_length_of(c, 0, t), 1e-9 * polygon, 20);
}

/* Extremes of one coordinate: the ends, and the roots of the derivative, a quadratic, inside. */
static void rotoi_extent(const double p[4], double *low, double *high) {
  double a = p[3] - p[0] + 3 * (p[1] - p[2]), b = 2 * (p[0] - 2 * p[1] + p[2]), c = p[1] - p[0];
  double root = rotoi_sqrt(b * b - 4 * a * c), q = -0.5 * (b + (b < 0 ? -root : root));
  double t[4] = {0, 1, a != 0 ? q / a : 0, q != 0 ? c / q : 0};
  for (int i = 0; i < 4; ++i) {
    if (!(t[i] >= 0 && t[i] <= 1)) continue;
    double v = i == 0 ? p[0] : i == 1 ? p[3] : rotoi_cubic_value(p, t[i]);
    if (v < *low) *low = v;
    if (v > *high) *high = v;
  }
}

ROTO_API void roto_cubic_box(const roto_cubic *c, double box[4]) {
  box[0] = box[2] = c->x[0];
  box[1] = box[3] = c->y[0];
  rotoi_extent(c->x, &box[0], &box[2]);
  rotoi_extent(c->y, &box[1], &box[3]);
}

ROTO_API double roto_path_length(const roto_path *path) {
  double sum = 0;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    sum += roto_cubic_length(&c, 1);
  }
  return sum;
}

ROTO_API void roto_path_box(const roto_path *path, double box[4]) {
  for (int i = 0; i < 4; ++i) box[i] = 0;
  if (!path->vertex_count) return;
  box[0] = box[2] = path->vertices[0].x;
  box[1] = box[3] = path->vertices[0].y;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    rotoi_extent(c.x, &box[0], &box[2]);
    rotoi_extent(c.y, &box[1], &box[3]);
  }
}

/* Integral of (x dy - y dx)/2 over one cubic, with (x0, y0) as origin: a polynomial in the control points. */
static double rotoi_cubic_area(const roto_cubic *c, double x0, double y0) {
  double x[4], y[4], sum = 0;
  for (int i = 0; i < 4; ++i) x[i] = c->x[i] - x0, y[i] = c->y[i] - y0;
  static const double weight[4][4] = {{0, 6, 3, 1}, {0, 0, 3, 3}, {0, 0, 0, 6}, {0, 0, 0, 0}};
  for (int i = 0; i < 4; ++i)
    for (int j = i + 1; j < 4; ++j) sum += weight[i][j] * (x[i] * y[j] - x[j] * y[i]);
  return sum / 20;
}

ROTO_API double roto_path_area(const roto_path *path) {
  uint32_t n = roto_path_segments(path);
  if (!n) return 0;
  double sum = 0, x0 = path->vertices[0].x, y0 = path->vertices[0].y; /* near by: fewer digits cancel; closing lines pass it */
  for (uint32_t i = 0; i < n; ++i) {
    roto_cubic c = roto_path_segment(path, i);
    sum += rotoi_cubic_area(&c, x0, y0);
  }
  return sum;
}

#endif /* ROTOI_BEZIER */

/* >>distribution.c */

/* Where landmarks are, of what the network found, what outlines say (contours.c) and how landmarks lie together
 * (model_format/SPEC.md, DIST).
 *
 * A face has a few ways to look: turned, a brow up, a lid half closed.  The landmarks of finished shots and renders, laid over
 * each other, are a mean and some components in which they differ: the point distribution model of Cootes et al. ("Active
 * Shape Models: Their Training and Application", CVIU 1995), with a deviation for all else, as probabilistic principal
 * components have it (Tipping and Bishop, JRSS B 1999).  Where each landmark was found counts by its expected error, an
 * outline across itself; the most likely place of all together is one small least-squares problem.  So a lid that is seen
 * only across is known along too, and what one landmark got wrong the others put right.  A finding that all others
 * contradict counts less each round (Geman and McClure's weights). */

#ifndef ROTOI_DISTRIBUTION
#define ROTOI_DISTRIBUTION

/* What is known of where a landmark is, in square pixels. */
typedef struct rotoi_known {
  float x, y, error; /* where the network found it */
  /* Outlines: the information (inverse covariance), that times the way from there, that times the squared way. */
  float xx, xy, yy, wx, wy, ww;
} rotoi_known;

/* Nothing but where the network found them. */
static void rotoi_forget(rotoi_known *known, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) known[i].xx = known[i].xy = known[i].yy = known[i].wx = known[i].wy = known[i].ww = 0;
}

enum {
  ROTOI_MOST_WAYS = ROTO_MAX_COMPONENTS + 4, /* components, and to turn, scale and move all */
  ROTOI_SETTLE_ROUNDS = 4
};

/* Information where the network found a landmark, over 1 / error^2, both ways: 2 if errors knew nothing of each other.  Beside
 * contours and a distribution it counts less, as those of a frame are much alike.  From the rendered film's shots, each left
 * out, as all constants here: between 0.3 and 0.8 errors change by 2 %. */
static const double rotoi_own = 2, rotoi_own_beside = 0.5;
/* The root of the quotient of squared residual and expected one from which on a finding counts as wrong. */
static const double rotoi_wrong = 5;
/* Expected errors.  On contours alone a landmark that had to go far was found badly: of the squared way, what counts as squared
 * error.  With a distribution the way says nothing any more: of the variance, what counts as squared error; where contours have
 * a say, times the network's errors in steps, as a frame that is hard for the network is hard for them.  Of the worst tenth of
 * those shots' frames seven tenths are then among the fifth that is least believed, else less than half. */
static const double rotoi_doubt = 0.4, rotoi_variance = 1.5, rotoi_variance_beside = 0.5;
static const double rotoi_least_error = 0.6; /* steps: no network is better */

/* Solve a x = b by Cholesky's decomposition, of which a keeps the factor below and on its diagonal.  0: a has none. */
static int rotoi_solve(double (*a)[ROTOI_MOST_WAYS], double *b, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i)
    for (uint32_t k = 0; k <= i; ++k) {
      double sum = a[i][k];
      for (uint32_t j = 0; j < k; ++j) sum -= a[i][j] * a[k][j];
      if (i == k && !(sum > 0 && sum < 1e300)) return 0;
      a[i][k] = i == k ? rotoi_sqrt(sum) : sum / a[k][k];
    }
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (uint32_t i = n; i-- > 0;) {
    for (uint32_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return 1;
}

/* One search for the most likely landmarks. */
typedef struct rotoi_settling {
  const rotoi_file *file;
  const rotoi_known *known;
  float aspect;
  double step;          /* of CONT and DIST, in square pixels */
  double own, variance; /* of the constants above, those that hold here */
  uint32_t ways;
  /* The mean lies over the landmarks: turned and scaled by (turn[0], turn[1]), its middle from `from` to `to`. */
  double turn[2], from[2], to[2];
  double tight; /* inverse variance of what is no component; 0 without a distribution */
  /* The problem; then the factor of its matrix, and how far to go each way. */
  double a[ROTOI_MOST_WAYS][ROTOI_MOST_WAYS], b[ROTOI_MOST_WAYS];
} rotoi_settling;

static double rotoi_mean_at(const rotoi_file *file, uint32_t i, int c) {
  return (double)rotoi_f32(file->distribution_mean + 8 * (size_t)i + 4 * c);
}

static void rotoi_lay_mean(rotoi_settling *s, const roto_point *points) {
  double n = (double)s->file->landmark_count, square = 0, a = 0, b = 0;
  for (uint32_t i = 0; i < s->file->landmark_count; ++i) {
    for (int c = 0; c < 2; ++c) s->from[c] += rotoi_mean_at(s->file, i, c) / n;
    s->to[0] += (double)(points[i].x * s->aspect) / n, s->to[1] += (double)points[i].y / n;
  }
  for (uint32_t i = 0; i < s->file->landmark_count; ++i) {
    double mx = rotoi_mean_at(s->file, i, 0) - s->from[0], my = rotoi_mean_at(s->file, i, 1) - s->from[1];
    double x = (double)(points[i].x * s->aspect) - s->to[0], y = (double)points[i].y - s->to[1];
    a += mx * x + my * y, b += mx * y - my * x, square += mx * mx + my * my;
  }
  s->turn[0] = a / square, s->turn[1] = b / square;
}

/* Where the mean lies, from where the network found the landmark, and how x and y change with each way: the components, then
 * turning, scaling and moving all by a third of their size, which is as good as free. */
static void rotoi_ways(const rotoi_settling *s, uint32_t i, double mean[2], double (*ways)[ROTOI_MOST_WAYS]) {
  const unsigned char *component = s->file->distribution_components + 8 * (size_t)i;
  uint32_t m = s->file->component_count;
  double x = rotoi_mean_at(s->file, i, 0) - s->from[0], y = rotoi_mean_at(s->file, i, 1) - s->from[1], a = s->turn[0],
         b = s->turn[1], third = (double)ROTO_CONTOUR_BOX * rotoi_sqrt(a * a + b * b) / 3;
  double px = a * x - b * y, py = b * x + a * y;
  mean[0] = s->to[0] + px - (double)s->known[i].x, mean[1] = s->to[1] + py - (double)s->known[i].y;
  for (uint32_t k = 0; k < m; ++k, component += 8 * (size_t)s->file->landmark_count) {
    double cx = (double)rotoi_f32(component), cy = (double)rotoi_f32(component + 4);
    ways[0][k] = a * cx - b * cy, ways[1][k] = b * cx + a * cy;
  }
  ways[0][m] = px / 3, ways[1][m] = py / 3;
  ways[0][m + 1] = -py / 3, ways[1][m + 1] = px / 3;
  ways[0][m + 2] = third, ways[1][m + 2] = 0;
  ways[0][m + 3] = 0, ways[1][m + 3] = third;
}

static double rotoi_trust(double squared) {
  double w = 1 / (1 + squared / (rotoi_wrong * rotoi_wrong));
  return w * w;
}

/* What is known of a landmark by itself: information, that times the way, and the inverse of it with `tight`. */
typedef struct rotoi_alone {
  double xx, xy, yy, x, y, ixx, ixy, iyy;
} rotoi_alone;

/* `now`: where it seems to be, to trust what is near more; NULL: no one knows yet. */
static rotoi_alone rotoi_weigh_landmark(const rotoi_settling *s, const rotoi_known *k, const roto_point *now) {
  double error = (double)k->error, least = rotoi_least_error * s->step, own, outline = 1;
  if (!(error > least)) error = least;
  own = s->own / (error * error);
  if (now) {
    double dx = (double)(now->x * s->aspect - k->x), dy = (double)(now->y - k->y);
    double away = (double)k->xx * dx * dx + 2 * (double)k->xy * dx * dy + (double)k->yy * dy * dy -
                  2 * ((double)k->wx * dx + (double)k->wy * dy) + (double)k->ww;
    own *= rotoi_trust(own * (dx * dx + dy * dy));
    outline = rotoi_trust(away > 0 ? away : 0);
  }
  rotoi_alone l = {own + outline * (double)k->xx,
                   outline * (double)k->xy,
                   own + outline * (double)k->yy,
                   outline * (double)k->wx,
                   outline * (double)k->wy,
                   0,
                   0,
                   0};
  double xx = l.xx + s->tight, yy = l.yy + s->tight, det = xx * yy - l.xy * l.xy;
  l.ixx = yy / det, l.ixy = -l.xy / det, l.iyy = xx / det;
  return l;
}

/* Add to the problem what a landmark tells of the ways: its information L widened by `tight`, tight (L + tight)^-1 L. */
static void rotoi_add_landmark(rotoi_settling *s, const rotoi_alone *l, const double mean[2], double (*ways)[ROTOI_MOST_WAYS]) {
  double wxx = s->tight * (l->ixx * l->xx + l->ixy * l->xy), wxy = s->tight * (l->ixx * l->xy + l->ixy * l->yy),
         wyy = s->tight * (l->ixy * l->xy + l->iyy * l->yy);
  double rx = l->x - l->xx * mean[0] - l->xy * mean[1], ry = l->y - l->xy * mean[0] - l->yy * mean[1];
  double tx = s->tight * (l->ixx * rx + l->ixy * ry), ty = s->tight * (l->ixy * rx + l->iyy * ry);
  for (uint32_t r = 0; r < s->ways; ++r) {
    double ux = wxx * ways[0][r] + wxy * ways[1][r], uy = wxy * ways[0][r] + wyy * ways[1][r];
    s->b[r] += tx * ways[0][r] + ty * ways[1][r];
    for (uint32_t c = 0; c <= r; ++c) s->a[r][c] += ux * ways[0][c] + uy * ways[1][c];
  }
}

/* Put a landmark where it is most likely, given how far to go each way, and in the last round say what error is to be
 * expected; `ways` is used up. */
static void rotoi_place_landmark(const rotoi_settling *s, const rotoi_known *k, const rotoi_alone *l, const double mean[2],
                                 double (*ways)[ROTOI_MOST_WAYS], int last, roto_point *point) {
  double px = mean[0], py = mean[1], cxx = 0, cxy = 0, cyy = 0; /* what the ways say, and its covariance */
  for (uint32_t r = 0; r < s->ways; ++r) {
    px += s->b[r] * ways[0][r], py += s->b[r] * ways[1][r];
    if (!last) continue;
    for (uint32_t c = 0; c < r; ++c) ways[0][r] -= s->a[r][c] * ways[0][c], ways[1][r] -= s->a[r][c] * ways[1][c];
    ways[0][r] /= s->a[r][r], ways[1][r] /= s->a[r][r];
    cxx += ways[0][r] * ways[0][r], cxy += ways[0][r] * ways[1][r], cyy += ways[1][r] * ways[1][r];
  }
  double x = l->x + s->tight * px, y = l->y + s->tight * py, dx = l->ixx * x + l->ixy * y, dy = l->ixy * x + l->iyy * y;
  double variance = l->ixx + l->iyy +
                    s->tight * s->tight *
                        ((l->ixx * l->ixx + l->ixy * l->ixy) * cxx + 2 * l->ixy * (l->ixx + l->iyy) * cxy +
                         (l->ixy * l->ixy + l->iyy * l->iyy) * cyy);
  double squared = s->variance * variance + (s->ways ? 0 : rotoi_doubt * (dx * dx + dy * dy));
  if (!(dx > -1e9 && dx < 1e9 && dy > -1e9 && dy < 1e9 && squared < 1e30)) return;
  point->x = (k->x + (float)dx) / s->aspect;
  point->y = k->y + (float)dy;
  if (last) point->error = (float)rotoi_sqrt(squared);
}

/* Move the landmarks to where all that is known says they are.  `step`: a step of CONT and DIST in square pixels. */
static void rotoi_settle(const rotoi_file *file, float aspect, double step, const rotoi_known *known, roto_point *points) {
  rotoi_settling s = {file, known, aspect, step, rotoi_own, 1, 0, {1, 0}, {0, 0}, {0, 0}, 0, {{0}}, {0}};
  double mean[2] = {0, 0}, ways[2][ROTOI_MOST_WAYS], square = 0;
  for (uint32_t i = 0; i < file->landmark_count; ++i) square += (double)known[i].error * (double)known[i].error;
  if (file->component_count) s.variance = rotoi_variance;
  if (file->component_count && file->contour_count) {
    s.own = rotoi_own_beside;
    s.variance = rotoi_variance_beside * rotoi_sqrt(square / (double)file->landmark_count) / step;
  }
  if (file->component_count) {
    rotoi_lay_mean(&s, points);
    double deviation = (double)file->distribution_deviation, scale = s.turn[0] * s.turn[0] + s.turn[1] * s.turn[1];
    s.tight = 1 / (scale * deviation * deviation);
    if (!(s.tight > 0 && s.tight < 1e150)) return;
    s.ways = file->component_count + 4;
  }
  const int rounds = s.ways ? ROTOI_SETTLE_ROUNDS : 1;
  for (int round = 0; round < rounds; ++round) {
    memset(s.a, 0, sizeof s.a), memset(s.b, 0, sizeof s.b);
    for (uint32_t r = 0; r < s.ways; ++r) s.a[r][r] = 1;
    for (uint32_t i = 0; i < file->landmark_count && s.ways; ++i) {
      rotoi_alone alone = rotoi_weigh_landmark(&s, &known[i], round ? &points[i] : NULL);
      rotoi_ways(&s, i, mean, ways);
      rotoi_add_landmark(&s, &alone, mean, ways);
    }
    if (!rotoi_solve(s.a, s.b, s.ways)) return;
    for (uint32_t i = 0; i < file->landmark_count; ++i) {
      rotoi_alone alone = rotoi_weigh_landmark(&s, &known[i], round ? &points[i] : NULL);
      if (s.ways) rotoi_ways(&s, i, mean, ways);
      rotoi_place_landmark(&s, &known[i], &alone, mean, ways, round + 1 == rounds, &points[i]);
    }
  }
}

#endif /* ROTOI_DISTRIBUTION */

/* >>contours.c */

/* Where the plate shows the outlines that landmarks lie on (model_format/SPEC.md, CONT).
 *
 * A network sees a face in a hundred or two pixels and is off by one or two of the plate's; the outline itself is sharper
 * than that.  A contour is a curve through landmarks that lie one after the other on an outline.  At places along it a short
 * line across is sampled, and a linear filter of the place's own answers at each step how much it looks like the outline
 * there: the patch experts of Cristinacce and Cootes ("Feature Detection and Tracking with Constrained Local Models", BMVC
 * 2006) on the profiles of Cootes et al. ("Active Shape Models", CVIU 1995), trained in closed form (trainer/contours.c).
 * Filters see how fast colours change against how fast they do elsewhere on the line, not the colours: another light is no
 * other picture.  One outline answers alike all along, an iris behind the lid does not: dynamic programming (Amini et al.,
 * PAMI 1990) finds the displacements across the curve that answer best and change least from place to place, near where the
 * network expects them.  That is known of a landmark across the curves it lies on; along them nothing is. */

#ifndef ROTOI_CONTOURS
#define ROTOI_CONTOURS

enum {
  ROTOI_CONTOUR_REACH = ROTO_CONTOUR_TAPS / 2,                         /* steps a filter sees on either side */
  ROTOI_CONTOUR_STATES = ROTO_CONTOUR_STEPS - 2 * ROTOI_CONTOUR_REACH, /* displacements that can be answered for */
  ROTOI_CONTOUR_PROFILE = ROTO_CONTOUR_STEPS * ROTO_CONTOUR_CHANNELS   /* floats of a line across */
};

/* What the answers weigh against the expected error; what a difference of a step from place to place costs, over all places;
 * of a displacement that was answered for fully, what is to be expected of it, in steps; such an answer.  From the rendered
 * film's shots, each with filters that had not seen it; between half and twice of each the error changes by 4 % at most. */
static const float rotoi_contour_answer = 60, rotoi_contour_bend = 0.5f, rotoi_contour_error = 0.8f, rotoi_contour_full = 0.4f;
/* Steps of expected error from which on an answer is likely another outline's: a hand's before the face. */
static const float rotoi_contour_far = 6;

/* For rotoi_sampler_init: each place aims the sampler anew. */
static const float rotoi_contour_still[6] = {1, 0, 0, 0, 1, 0};

/* Place i of a contour through `count` landmarks: the landmark before it, and the share of the way to the next. */
static uint32_t rotoi_contour_at(int i, uint32_t count, float *share) {
  float at = (float)i * (float)(count - 1) / (float)(ROTO_CONTOUR_PLACES - 1);
  uint32_t k = (uint32_t)at < count - 2 ? (uint32_t)at : count - 2;
  *share = at - (float)k;
  return k;
}

/* Places along a contour and across it: x, y and the unit normal, of a curve through `points` that is made of cubics with the
 * tangents of Catmull and Rom, those of a parabola at its ends.  Landmarks stand at equal distances of its parameter. */
static void rotoi_contour_places(const float (*points)[2], uint32_t count, float (*places)[4]) {
  for (int i = 0; i < ROTO_CONTOUR_PLACES; ++i) {
    float t, tangent[2];
    uint32_t k = rotoi_contour_at(i, count, &t);
    float s = 1 - t;
    for (int c = 0; c < 2; ++c) {
      float p = points[k][c], q = points[k + 1][c];
      float in = k ? 0.5f * (q - points[k - 1][c]) : 0, out = k + 2 < count ? 0.5f * (points[k + 2][c] - p) : 0;
      if (!k) in = 2 * (q - p) - out;
      if (k + 2 == count) out = 2 * (q - p) - in;
      places[i][c] = s * s * ((1 + 2 * t) * p + t * in) + t * t * ((1 + 2 * s) * q - s * out);
      tangent[c] = 6 * s * t * (q - p) + s * (s - 2 * t) * in + t * (t - 2 * s) * out;
    }
    float length = (float)rotoi_sqrt((double)(tangent[0] * tangent[0] + tangent[1] * tangent[1]));
    places[i][2] = length > 0 ? -tangent[1] / length : 0;
    places[i][3] = length > 0 ? tangent[0] / length : 1;
  }
}

/* What is seen on the line across at a place: for each step how fast the colours change there, how fast they get brighter
 * and how fast redder, against how fast they change on the whole line. */
static void rotoi_contour_profile(rotoi_sampler *sampler, const float place[4], float step, float aspect, float *profile) {
  enum { STEPS = ROTO_CONTOUR_STEPS, ROWS = 3 };
  float rows[ROWS][3 * STEPS], line[STEPS + 2][3], power = 0;
  float map[6] = {step * place[2], 2 * step * place[3], 0, step * place[3], -2 * step * place[2], 0};
  map[2] = place[0] - 0.5f * (float)STEPS * map[0] - 0.5f * (float)ROWS * map[1];
  map[5] = place[1] - 0.5f * (float)STEPS * map[3] - 0.5f * (float)ROWS * map[4];
  map[0] /= aspect, map[1] /= aspect, map[2] /= aspect;
  rotoi_sampler_aim(sampler, map, 1);
  for (uint32_t row = 0; row < ROWS; ++row) rotoi_sample_row(sampler, row, STEPS, rows[row]);
  for (int i = 0; i < STEPS; ++i)
    for (int c = 0; c < 3; ++c) line[i + 1][c] = rows[0][3 * i + c] + rows[1][3 * i + c] + rows[2][3 * i + c];
  memcpy(line[0], line[1], sizeof line[0]);
  memcpy(line[STEPS + 1], line[STEPS], sizeof line[0]);
  for (int i = 0; i < STEPS; ++i) {
    float d[3], squared = 0;
    for (int c = 0; c < 3; ++c) d[c] = line[i + 2][c] - line[i][c], squared += d[c] * d[c];
    power += squared;
    profile[3 * i] = squared;
    profile[3 * i + 1] = (d[0] + d[1] + d[2]) / 3;
    profile[3 * i + 2] = d[0] - d[2];
  }
  /* A line of nothing but noise stays small. */
  float scale = 1 / ((float)rotoi_sqrt((double)(power / (float)STEPS)) + 0.02f);
  for (int i = 0; i < STEPS; ++i) {
    double change = rotoi_sqrt((double)profile[3 * i]) * (double)scale;
    profile[3 * i] = (float)rotoi_sqrt(change) - 0.8f;
    profile[3 * i + 1] *= scale;
    profile[3 * i + 2] *= scale;
  }
}

ROTO_API roto_status roto_contour_profiles(const roto_image *image, roto_transfer transfer, const float (*points)[2],
                                           uint32_t count, float step, float (*places)[4], float *profiles) {
  if (!rotoi_image_valid(image) || !points || count < 3 || !(step > 0 && step < 1e6f) || !places) return ROTO_ERR_ARGUMENT;
  rotoi_contour_places(points, count, places);
  if (!profiles) return ROTO_OK;
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, rotoi_contour_still, transfer, 0);
  for (int i = 0; i < ROTO_CONTOUR_PLACES; ++i)
    rotoi_contour_profile(&sampler, places[i], step, 1, profiles + (size_t)i * ROTOI_CONTOUR_PROFILE);
  return ROTO_OK;
}

/* The answers of a place's filter to each displacement. */
static void rotoi_contour_answers(const unsigned char *filter, const float *profile, float answers[ROTOI_CONTOUR_STATES]) {
  enum { FLOATS = ROTO_CONTOUR_FLOATS - 1 };
  float weights[FLOATS];
  for (int k = 0; k < FLOATS; ++k) weights[k] = rotoi_f32(filter + 4 * k);
  for (int i = 0; i < ROTOI_CONTOUR_STATES; ++i) {
    float sum = rotoi_f32(filter + 4 * FLOATS);
    for (int k = 0; k < FLOATS; ++k) sum += weights[k] * profile[ROTO_CONTOUR_CHANNELS * i + k];
    answers[i] = sum;
  }
}

/* Where the contour is: for each place the displacement in steps, and the answer there.  `errors` are the expected ones of the
 * landmarks, in steps. */
static void rotoi_contour_find(const float (*answers)[ROTOI_CONTOUR_STATES], const float *errors, uint32_t count,
                               float moves[ROTO_CONTOUR_PLACES], float found[ROTO_CONTOUR_PLACES]) {
  enum { PLACES = ROTO_CONTOUR_PLACES, STATES = ROTOI_CONTOUR_STATES };
  float score[PLACES][STATES], best[STATES], share = (float)count / (float)PLACES;
  unsigned char from[PLACES][STATES];
  for (int i = 0; i < PLACES; ++i) {
    float t;
    uint32_t k = rotoi_contour_at(i, count, &t);
    float error = errors[k] + t * (errors[k + 1] - errors[k]);
    for (int s = 0; s < STATES; ++s) {
      float far = (float)(s - STATES / 2) / error;
      score[i][s] = share * (rotoi_contour_answer * answers[i][s] - 0.5f * far * far);
    }
  }
  memcpy(best, score[0], sizeof best);
  for (int i = 1; i < PLACES; ++i) {
    float next[STATES];
    for (int s = 0; s < STATES; ++s) {
      int least = 0;
      float most = best[0] - rotoi_contour_bend * (float)(s * s);
      for (int k = 1; k < STATES; ++k) {
        float sum = best[k] - rotoi_contour_bend * (float)((s - k) * (s - k));
        if (sum > most) most = sum, least = k;
      }
      from[i][s] = (unsigned char)least;
      next[s] = most + score[i][s];
    }
    memcpy(best, next, sizeof best);
  }
  int at = 0;
  for (int s = 1; s < STATES; ++s)
    if (best[s] > best[at]) at = s;
  for (int i = PLACES - 1; i >= 0; at = i ? from[i][at] : 0, --i) {
    /* Between steps: the top of the parabola through the score and its neighbours. */
    float between = 0;
    if (at > 0 && at + 1 < STATES) {
      float low = score[i][at - 1], top = score[i][at], high = score[i][at + 1];
      if (top >= low && top >= high && 2 * top > low + high) between = 0.5f * (high - low) / (2 * top - low - high);
    }
    moves[i] = (float)(at - STATES / 2) + between;
    found[i] = answers[i][at];
  }
}

static void rotoi_contour_tell(rotoi_known *known, const float place[4], float way, float weight) {
  float nx = place[2], ny = place[3];
  known->xx += weight * nx * nx, known->xy += weight * nx * ny, known->yy += weight * ny * ny;
  known->wx += weight * way * nx, known->wy += weight * way * ny;
  known->ww += weight * way * way;
}

/* What contours through the landmarks say of where these are.  `step`: in pixels as seen. */
static void rotoi_look_at_contours(const rotoi_file *file, const roto_image *image, float aspect, float step,
                                   const roto_point *points, rotoi_known *known) {
  enum { PLACES = ROTO_CONTOUR_PLACES };
  const float least = (float)rotoi_least_error;
  const unsigned char *list = file->contour_landmarks, *filter = file->contour_filters;
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, rotoi_contour_still, file->input_transfer, 0);
  for (uint32_t i = 0; i < file->contour_count; ++i) {
    float at[ROTO_MAX_CONTOUR_LANDMARKS][2], errors[ROTO_MAX_CONTOUR_LANDMARKS], places[PLACES][4],
        profile[ROTOI_CONTOUR_PROFILE];
    float answers[PLACES][ROTOI_CONTOUR_STATES], moves[PLACES], found[PLACES];
    uint32_t count = rotoi_u32(file->contour_sizes + 4 * (size_t)i);
    for (uint32_t k = 0; k < count; ++k) {
      const roto_point *point = &points[rotoi_u32(list + 4 * (size_t)k)];
      at[k][0] = point->x * aspect, at[k][1] = point->y;
      errors[k] = point->error > least * step ? point->error / step : least;
    }
    rotoi_contour_places((const float(*)[2])at, count, places);
    for (int k = 0; k < PLACES; ++k, filter += 4 * ROTO_CONTOUR_FLOATS) {
      rotoi_contour_profile(&sampler, places[k], step, aspect, profile);
      rotoi_contour_answers(filter, profile, answers[k]);
    }
    rotoi_contour_find((const float(*)[ROTOI_CONTOUR_STATES])answers, errors, count, moves, found);
    for (uint32_t k = 0; k < count; ++k, list += 4) {
      /* A landmark is told by the places next to it.  At an end the curve's direction is less sure. */
      int place = (int)((2 * k * (PLACES - 1) + count - 1) / (2 * (count - 1))), first = place ? place - 1 : 0,
          end = k == 0 || k + 1 == count;
      int last = place + 1 < PLACES ? place + 1 : place;
      float move = 0, answer = 0;
      for (int p = first; p <= last; ++p) move += moves[p], answer += found[p];
      float full = answer / (float)(last - first + 1) / rotoi_contour_full, error = step * rotoi_contour_error;
      full = full > 0.1f ? full < 1.5f ? full : 1.5f : 0.1f;
      float far = 1 + errors[k] * errors[k] / (rotoi_contour_far * rotoi_contour_far);
      rotoi_known *of = &known[rotoi_u32(list)];
      float from = (at[k][0] - of->x) * places[place][2] + (at[k][1] - of->y) * places[place][3];
      rotoi_contour_tell(of, places[place], from + step * move / (float)(last - first + 1),
                         full / (error * error * far * far) * (end ? 0.25f : 1));
    }
  }
}

#endif /* ROTOI_CONTOURS */

/* >>session.c */

/* Models and sessions: the public functions that open a model, describe it and run it.
 *
 * A model is three blocks: itself, its plan's steps, its packed weights; the file's bytes stay where the caller has them.  One that
 * looks twice holds the model of the second look, and both run in one workspace, one after the other.  A session is one block, the struct followed by the workspace, so that a caller can provide it and run without any allocation.
 *
 * From a crop to landmarks: the crop is sampled and normalised row by row into the workspace, the network runs, its points go
 * back through the map of the sampling, and the calibration turns each spread into an expected error.  The second look does the
 * same for a few landmarks at a time, in a crop around where the first one found them, and so in more of the plate's own
 * detail.  In the end landmarks go to where the plate shows their contours, and where they lie together as they can. */

#ifndef ROTOI_SESSION
#define ROTOI_SESSION

#ifndef ROTO_NO_STDIO
#include <stdio.h>
#endif

struct roto_model {
  rotoi_file file;
  rotoi_plan plan;
  rotoi_shapes shapes;
  roto_info info;
  roto_allocator allocator;
  roto_model *second;  /* the model of the second look, or NULL */
  int32_t *vertices;   /* of all shapes */
  unsigned char *data; /* the file, if it is ours to free */
};

struct roto_session {
  const roto_model *model;
  roto_parallel parallel;
  roto_profile profile;
  roto_allocator allocator;
  float pixel_aspect;
  int views; /* 1 or more */
  int twins; /* mirrored views are of use */
  int owned; /* the block is ours to free */
  unsigned char *values;
  int network_only;
  roto_point *again;  /* landmark_count of them, behind the workspace: what a second look finds */
  rotoi_known *known; /* as many, behind those: what is known of where landmarks are */
};

enum {
  ROTOI_SESSION_HEAD = (sizeof(roto_session) + 63) / 64 * 64, /* bytes before the workspace */
  ROTOI_SAMPLE_ROWS = 8                                       /* rows of the picture in one task */
};

/* ---- models ---- */

static void rotoi_fill_info(roto_model *model) {
  const rotoi_file *file = &model->file;
  roto_info *info = &model->info;
  info->name = file->name;
  info->description = file->description;
  info->input_width = file->input_width;
  info->input_height = file->input_height;
  info->input_channels = file->input_channels;
  memcpy(info->input_mean, file->input_mean, sizeof info->input_mean);
  memcpy(info->input_scale, file->input_scale, sizeof info->input_scale);
  info->input_transfer = file->input_transfer;
  info->crop_margin = file->crop_margin;
  info->landmark_count = file->landmark_count;
  info->output_count = file->output_count;
  info->part_count = file->part_count;
  info->shape_count = file->shape_count;
  info->vertex_count = file->vertex_count;
  info->shape_net_count = file->shape_net_count;
  info->parameter_count = file->parameter_count;
  info->multiply_adds = file->multiply_adds;
  info->session_size = ROTOI_SESSION_HEAD + model->plan.workspace;
  if (model->second || file->contour_count || file->component_count)
    info->session_size += file->landmark_count * (sizeof(roto_point) + sizeof(rotoi_known));
  info->contour_count = file->contour_count;
  info->component_count = file->component_count;
  info->look_count = file->look_count;
  info->second = model->second ? &model->second->info : NULL;
  info->isa = model->plan.kernels->isa;
  info->has_ranges = file->ranges != NULL;
  info->precision = !model->plan.low                      ? ROTO_PRECISION_FP32
                    : model->plan.low->type == ROTOI_BF16 ? ROTO_PRECISION_BF16
                                                          : ROTO_PRECISION_INT8;
}

static roto_status rotoi_open(const void *data, size_t size, const roto_options *options, roto_error *error,
                              roto_model **model) {
  rotoi_file file;
  roto_status status = rotoi_parse((const unsigned char *)data, size, &file, error);
  if (status) return status;
  if (options->precision == ROTO_PRECISION_INT8 && !file.ranges) return ROTO_ERR_RANGES;
  roto_model *m = (roto_model *)rotoi_alloc(&options->allocator, sizeof *m);
  if (!m) return ROTO_ERR_MEMORY;
  memset(m, 0, sizeof *m);
  m->file = file;
  m->allocator = options->allocator;
  m->vertices = (int32_t *)rotoi_alloc(&m->allocator, (size_t)file.vertex_count * sizeof(int32_t));
  const rotoi_kernels *kernels = rotoi_select_kernels(options->max_isa);
  const rotoi_low_kernels *low = NULL;
  if (options->precision == ROTO_PRECISION_BF16) low = rotoi_select_low(kernels, ROTOI_BF16);
  if (options->precision == ROTO_PRECISION_INT8) low = rotoi_select_low(kernels, ROTOI_U8);
  status = m->vertices ? rotoi_plan_create(&m->file, kernels, low, options, &m->plan) : ROTO_ERR_MEMORY;
  if (!status) status = rotoi_shapes_create(&m->file, m->plan.kernels, &m->allocator, &m->shapes);
  if (!status && m->plan.workspace < m->shapes.workspace) m->plan.workspace = m->shapes.workspace;
  if (!status && file.look_count) {
    /* A second look without ranges of its own is better off in bfloat16 than refused. */
    roto_options second = *options;
    status = rotoi_open(file.look_model, file.look_model_size, &second, error, &m->second);
    if (status == ROTO_ERR_RANGES) {
      second.precision = ROTO_PRECISION_BF16;
      status = rotoi_open(file.look_model, file.look_model_size, &second, error, &m->second);
    }
  }
  if (!status && m->second && m->plan.workspace < m->second->plan.workspace) m->plan.workspace = m->second->plan.workspace;
  if (!status && m->plan.workspace > (size_t)-1 - ROTOI_SESSION_HEAD - 64 * (size_t)ROTO_MAX_LANDMARKS) status = ROTO_ERR_LIMIT;
  if (status) {
    roto_close(m);
    return status;
  }
  rotoi_read_vertices(&m->file, m->vertices);
  rotoi_fill_info(m);
  *model = m;
  return ROTO_OK;
}

static int rotoi_precision_valid(roto_precision precision) {
  return precision == ROTO_PRECISION_FP32 || precision == ROTO_PRECISION_BF16 || precision == ROTO_PRECISION_INT8;
}

ROTO_API roto_status roto_open(const void *data, size_t size, const roto_options *options, roto_model **model) {
  roto_options defaults;
  roto_error error;
  roto_status status = ROTO_ERR_ARGUMENT;
  memset(&defaults, 0, sizeof defaults);
  memset(&error, 0, sizeof error);
  if (!options) options = &defaults;
  if (model) *model = NULL;
  if (model && data && rotoi_allocator_valid(&options->allocator) && rotoi_precision_valid(options->precision))
    status = rotoi_open(data, size, options, &error, model);
  error.status = status;
  if (status && options->error) *options->error = error;
  return status;
}

#ifndef ROTO_NO_STDIO
/* The bytes of a file in a block of the allocator. */
static roto_status rotoi_read_file(const char *path, const roto_allocator *allocator, unsigned char **data, size_t *size) {
  FILE *in = fopen(path, "rb");
  long end = -1;
  if (!in) return ROTO_ERR_FILE;
  if (!fseek(in, 0, SEEK_END)) end = ftell(in);
  if (end < 0 || fseek(in, 0, SEEK_SET)) {
    fclose(in);
    return ROTO_ERR_FILE;
  }
  roto_status status = ROTO_OK;
  *size = (size_t)end;
  *data = (unsigned char *)rotoi_alloc(allocator, *size);
  if (!*data) {
    status = ROTO_ERR_MEMORY;
  } else if (fread(*data, 1, *size, in) != *size) {
    rotoi_free(allocator, *data);
    status = ROTO_ERR_FILE;
  }
  fclose(in);
  return status;
}

ROTO_API roto_status roto_open_file(const char *path, const roto_options *options, roto_model **model) {
  roto_options defaults;
  unsigned char *data;
  size_t size;
  roto_status status = ROTO_ERR_ARGUMENT;
  memset(&defaults, 0, sizeof defaults);
  if (!options) options = &defaults;
  if (model) *model = NULL;
  if (model && path && rotoi_allocator_valid(&options->allocator)) {
    status = rotoi_read_file(path, &options->allocator, &data, &size);
    if (!status) {
      status = roto_open(data, size, options, model);
      if (!status) {
        (*model)->data = data;
      } else {
        rotoi_free(&options->allocator, data);
      }
      return status;
    }
  }
  if (options->error) {
    memset(options->error, 0, sizeof *options->error);
    options->error->status = status;
  }
  return status;
}
#endif

ROTO_API void roto_close(roto_model *model) {
  if (!model) return;
  roto_allocator allocator = model->allocator;
  roto_close(model->second);
  rotoi_plan_free(&model->plan, &allocator);
  rotoi_shapes_free(&model->shapes, &allocator);
  rotoi_free(&allocator, model->vertices);
  rotoi_free(&allocator, model->data);
  rotoi_free(&allocator, model);
}

ROTO_API const roto_info *roto_get_info(const roto_model *model) {
  return model ? &model->info : NULL;
}

ROTO_API roto_status roto_get_landmark(const roto_model *model, uint32_t index, roto_landmark *landmark) {
  if (!landmark) return ROTO_ERR_ARGUMENT;
  memset(landmark, 0, sizeof *landmark);
  if (!model || index >= model->file.landmark_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_landmark(&model->file, index, landmark);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_part(const roto_model *model, uint32_t index, roto_part *part) {
  if (!part) return ROTO_ERR_ARGUMENT;
  memset(part, 0, sizeof *part);
  if (!model || index >= model->file.part_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_part(&model->file, index, part);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_shape(const roto_model *model, uint32_t index, roto_shape *shape) {
  if (!shape) return ROTO_ERR_ARGUMENT;
  memset(shape, 0, sizeof *shape);
  if (!model || index >= model->file.shape_count) return ROTO_ERR_ARGUMENT;
  rotoi_read_shape(&model->file, index, model->vertices, shape);
  return ROTO_OK;
}

ROTO_API roto_status roto_get_shape_landmarks(const roto_model *model, uint32_t index, const uint32_t **landmarks,
                                              uint32_t *count) {
  if (landmarks) *landmarks = NULL;
  if (count) *count = 0;
  if (!model || !landmarks || !count || index >= model->file.shape_count) return ROTO_ERR_ARGUMENT;
  if (!model->shapes.count) return ROTO_OK;
  *landmarks = model->shapes.shapes[index].landmarks;
  *count = model->shapes.shapes[index].landmark_count;
  return ROTO_OK;
}

/* ---- sessions ---- */

ROTO_API size_t roto_session_size(const roto_model *model) {
  return model ? model->info.session_size : 0;
}

/* A character whose landmarks have no twins is not its own mirror image. */
static int rotoi_has_twins(const rotoi_file *file) {
  for (uint32_t i = 0; i < file->landmark_count; ++i) {
    roto_landmark landmark;
    rotoi_read_landmark(file, i, &landmark);
    if (landmark.flip != i) return 1;
  }
  return 0;
}

enum { ROTOI_FORMS = 5 }; /* of a crop, see "views" below */

ROTO_API roto_status roto_session_create(const roto_model *model, const roto_session_options *options, roto_session **session) {
  roto_session_options defaults;
  memset(&defaults, 0, sizeof defaults);
  if (!options) options = &defaults;
  if (!session) return ROTO_ERR_ARGUMENT;
  *session = NULL;
  if (!model || !rotoi_allocator_valid(&options->allocator) || (uintptr_t)options->memory % 64) return ROTO_ERR_ARGUMENT;
  if (!options->profile.clock != !options->profile.step) return ROTO_ERR_ARGUMENT;
  if (options->pixel_aspect != 0 && !(options->pixel_aspect > 0.01f && options->pixel_aspect < 100.0f))
    return ROTO_ERR_ARGUMENT;
  if (options->memory && options->memory_size < model->info.session_size) return ROTO_ERR_MEMORY;
  void *block = options->memory ? options->memory : rotoi_alloc(&options->allocator, model->info.session_size);
  if (!block) return ROTO_ERR_MEMORY;
  roto_session *s = (roto_session *)block;
  s->model = model;
  s->parallel = options->parallel;
  s->profile = options->profile;
  s->allocator = options->allocator;
  s->twins = rotoi_has_twins(&model->file);
  int most = s->twins ? 2 * ROTOI_FORMS : ROTOI_FORMS;
  s->views = options->views < 1 ? 1 : options->views < most ? options->views : most;
  s->pixel_aspect = options->pixel_aspect > 0 ? options->pixel_aspect : 1;
  s->owned = !options->memory;
  s->values = (unsigned char *)block + ROTOI_SESSION_HEAD;
  s->network_only = options->network_only;
  s->again = (roto_point *)(void *)(s->values + model->plan.workspace);
  s->known = (rotoi_known *)(void *)(s->again + model->info.landmark_count);
  *session = s;
  return ROTO_OK;
}

ROTO_API void roto_session_free(roto_session *session) {
  if (!session || !session->owned) return;
  roto_allocator allocator = session->allocator;
  rotoi_free(&allocator, session);
}

/* Output i of all, counted without the padding of pixels. */
static float rotoi_output(const roto_model *model, unsigned char *values, size_t i) {
  const rotoi_plan *plan = &model->plan;
  return rotoi_floats(values, plan->output)[i / plan->output_c * plan->output_cs + i % plan->output_c];
}

ROTO_API roto_status roto_infer(roto_session *session, const float *input, float *output) {
  if (!session || !input || !output) return ROTO_ERR_ARGUMENT;
  const rotoi_plan *plan = &session->model->plan;
  rotoi_execute(plan, &session->parallel, &session->profile, input, plan->input_w * plan->input_c, session->values);
  for (uint32_t i = 0; i < session->model->info.output_count; ++i) output[i] = rotoi_output(session->model, session->values, i);
  return ROTO_OK;
}

/* One band of the picture: sampled, then normalised in place.  Rows stand 3 floats a pixel apart even if the network wants
 * one channel, its luma (Rec. 709 weights), so that bands do not overlap. */
typedef struct rotoi_sampling {
  rotoi_sampler sampler;
  const roto_info *info;
  float *picture;
} rotoi_sampling;

static void rotoi_sample_band(void *context, size_t index) {
  const rotoi_sampling *sampling = (const rotoi_sampling *)context;
  const roto_info *info = sampling->info;
  const float *mean = info->input_mean, *scale = info->input_scale;
  uint32_t width = info->input_width, first = (uint32_t)index * ROTOI_SAMPLE_ROWS;
  for (uint32_t y = first; y < first + ROTOI_SAMPLE_ROWS && y < info->input_height; ++y) {
    float *row = sampling->picture + (size_t)y * width * 3;
    rotoi_sample_row(&sampling->sampler, y, width, row);
    for (uint32_t x = 0; x < width; ++x) {
      float *rgb = row + 3 * (size_t)x;
      if (info->input_channels == 3) {
        for (int c = 0; c < 3; ++c) rgb[c] = (rgb[c] - mean[c]) * scale[c];
      } else {
        row[x] = (0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2] - mean[0]) * scale[0];
      }
    }
  }
}

/* Expected error at a spread: linear between knots, constant outside; what is not a number has the worst. */
static float rotoi_expected_error(const rotoi_file *file, float spread) {
  float s0, e0, s1, e1;
  rotoi_read_knot(file, 0, &s0, &e0);
  if (spread <= s0) return e0;
  for (uint32_t i = 1; i < file->knot_count; ++i, s0 = s1, e0 = e1) {
    rotoi_read_knot(file, i, &s1, &e1);
    if (spread < s1) return e0 + (e1 - e0) * ((spread - s0) / (s1 - s0));
  }
  return e0;
}

/* A landmark as a network has found it, by the map of its look. */
static roto_point rotoi_found_point(const roto_model *model, const float map[6], float side, const float *found) {
  const roto_info *info = &model->info;
  float u = found[0] * (float)info->input_width, v = found[1] * (float)info->input_height;
  roto_point point = {map[0] * u + map[1] * v + map[2], map[3] * u + map[4] * v + map[5], 0, 0};
  point.error = side * rotoi_expected_error(&model->file, info->output_count == 3 * info->landmark_count ? found[2] : 0);
  return point;
}

/* ---- views ----
 *
 * A look may be several views of one crop: as it is, larger, smaller and turned either way, each also mirrored where the landmarks
 * have twins.  What a network gets wrong is a little another in each, and their mean is nearer to the truth: for five shots of the
 * rendered film that the models had not seen, ten views have 6 to 9 % less error than the first two and 8 to 16 % less jitter.  Eight
 * crops moved by a few pixels, each mirrored, bring half of that; other light brings nothing. */

/* How crop `index` of the views is, about its middle: scale times (cos, sin) of its turn. */
static void rotoi_view_form(int index, float form[2]) {
  static const float forms[ROTOI_FORMS][2] = {
      {1, 0}, {1.08f, 0}, {0.93f, 0}, {0.9961947f, -0.0871557f}, {0.9961947f, 0.0871557f}}; /* 5 degrees */
  form[0] = forms[index][0], form[1] = forms[index][1];
}

/* The map of a view from that of the crop as it is. */
static void rotoi_view_map(const float crop[6], const float form[2], int mirrored, float width, float height, float map[6]) {
  float u = 0.5f * width, v = 0.5f * height, sign = mirrored ? -1.0f : 1.0f;
  map[0] = sign * crop[0] * form[0], map[1] = -crop[0] * form[1];
  map[3] = sign * crop[4] * form[1], map[4] = crop[4] * form[0];
  map[2] = crop[2] + crop[0] * u - map[0] * u - map[1] * v;
  map[5] = crop[5] + crop[4] * v - map[3] * u - map[4] * v;
}

/* One more view: the mean of the places and expected errors so far, and, where the confidence will stand, the sum of the squared
 * distances from the mean (Welford 1962). */
static void rotoi_add_view(roto_point *point, const roto_point *found, int view) {
  float dx = found->x - point->x, dy = found->y - point->y, share = 1.0f / (float)(view + 1);
  point->x += share * dx;
  point->y += share * dy;
  point->error += share * (found->error - point->error);
  point->confidence += (1 - share) * (dx * dx + dy * dy);
}

/* How far the views are apart tells more of the error than how sure each is of itself: of ten views the rank correlation with the
 * error is 0.3 to 0.5 over those five shots, that of the heat map's width 0.1 to 0.3.  The squared error is twice the sample variance,
 * shrunk towards what the views expect as if that were two thirds of a view more; for one view it is that, and over the five shots
 * and 2 to 10 views the fit of both shares by themselves is no more than a fifth away. */
static void rotoi_join_views(roto_point *point, int views) {
  float own = point->error * point->error;
  point->error = (float)rotoi_sqrt((double)((own + 3 * point->confidence) / (1 + 1.5f * (float)(views - 1))));
}

/* One look of `model` at the frame through `map` (output pixels to frame pixels). */
static void rotoi_look(roto_session *session, const roto_model *model, const roto_image *image, const float map[6], int thin) {
  const roto_info *info = &model->info;
  rotoi_sampling sampling;
  rotoi_sampler_init(&sampling.sampler, image, map, info->input_transfer, thin);
  sampling.info = info;
  sampling.picture = rotoi_floats(session->values, model->plan.picture);
  rotoi_parallel(&session->parallel, (info->input_height + ROTOI_SAMPLE_ROWS - 1) / ROTOI_SAMPLE_ROWS, rotoi_sample_band,
                 &sampling);
  rotoi_execute(&model->plan, &session->parallel, &session->profile, sampling.picture, (size_t)info->input_width * 3,
                session->values);
}

/* What views `first` to `last` - 1 of a crop find, added to what those before found: the landmarks of `look`, or all.  Points of
 * others stay as they are.  Returns the side of the crop as grown to the input's aspect, in pixels as seen. */
static float rotoi_view_crop(roto_session *session, const roto_model *model, const roto_image *image, roto_rect crop,
                             uint32_t look, int first, int last, roto_point *points) {
  const roto_info *info = &model->info;
  const rotoi_file *file = &session->model->file;
  float straight[6], map[6], form[2], aspect = session->pixel_aspect;
  const roto_rect seen = {crop.x * aspect, crop.y, crop.width * aspect, crop.height};
  roto_crop_map(seen, info->input_width, info->input_height, straight);
  float width = straight[0] * (float)info->input_width, height = straight[4] * (float)info->input_height;
  float side = width > height ? width : height;
  uint32_t floats = info->output_count / info->landmark_count;
  for (int view = first; view < last; ++view) {
    int mirrored = session->twins && view % 2;
    rotoi_view_form(session->twins ? view / 2 : view, form);
    rotoi_view_map(straight, form, mirrored, (float)info->input_width, (float)info->input_height, map);
    map[0] /= aspect, map[1] /= aspect, map[2] /= aspect;
    rotoi_look(session, model, image, map, view > 1);
    const float *output = rotoi_floats(session->values, model->plan.output);
    for (uint32_t i = 0; i < info->landmark_count; ++i) {
      if (look != ROTO_NONE && rotoi_read_look(file, i) != look) continue;
      roto_landmark landmark;
      rotoi_read_landmark(file, i, &landmark);
      roto_point found = rotoi_found_point(model, map, side, output + (size_t)floats * (mirrored ? landmark.flip : i));
      if (view)
        rotoi_add_view(&points[i], &found, view);
      else
        points[i] = found;
    }
  }
  return side;
}

/* All views of the crop are there. */
static void rotoi_end_look(const roto_session *session, uint32_t look, float side, roto_point *points) {
  for (uint32_t i = 0; i < session->model->info.landmark_count; ++i) {
    if (look != ROTO_NONE && rotoi_read_look(&session->model->file, i) != look) continue;
    rotoi_join_views(&points[i], session->views);
    points[i].confidence = 1 / (1 + points[i].error / (0.01f * side));
  }
}

/* The box of the landmarks of `look`, or of all, in pixels as seen: { left, top, right, bottom }. */
static void rotoi_points_box(const roto_session *session, const roto_point *points, uint32_t look, float box[4]) {
  const roto_model *model = session->model;
  int any = 0;
  for (uint32_t i = 0; i < model->info.landmark_count; ++i) {
    float at[2] = {points[i].x * session->pixel_aspect, points[i].y};
    if (look != ROTO_NONE && rotoi_read_look(&model->file, i) != look) continue;
    for (int k = 0; k < 2; ++k) {
      box[k] = !any || at[k] < box[k] ? at[k] : box[k];
      box[k + 2] = !any || at[k] > box[k + 2] ? at[k] : box[k + 2];
    }
    any = 1;
  }
}

static float rotoi_longer_side(const float box[4]) {
  float width = box[2] - box[0], height = box[3] - box[1];
  return width > height ? width : height;
}

/* The square around a box, in pixels of the frame. */
static roto_rect rotoi_square(const roto_session *session, const float box[4], float side) {
  roto_rect crop;
  crop.height = side;
  crop.width = side / session->pixel_aspect;
  crop.x = 0.5f * ((box[0] + box[2]) / session->pixel_aspect - crop.width);
  crop.y = 0.5f * (box[1] + box[3] - crop.height);
  return crop;
}

static int rotoi_crop_valid(roto_rect crop) {
  const float most = 1e9f; /* also refuses infinities and what is not a number */
  return crop.width > 0 && crop.width < most && crop.height > 0 && crop.height < most && crop.x > -most && crop.x < most &&
         crop.y > -most && crop.y < most;
}

/* Both looks have found a landmark: they count by the inverse square of their expected errors, which is the best mean of two
 * errors that know nothing of each other, and never far from the better of the two. */
static void rotoi_fuse(roto_point *point, const roto_point *again) {
  float first = point->error * point->error, second = again->error * again->error, sum = first + second;
  float share = sum > 0 ? first / sum : 0.5f;
  point->x += share * (again->x - point->x);
  point->y += share * (again->y - point->y);
  point->error += share * (again->error - point->error);
}

/* Look again at a few landmarks at a time.  A look that would be smaller than an eighth of all (one landmark alone) is made so
 * large; the trainer does the same. */
static void rotoi_look_again(roto_session *session, const roto_image *image, float whole, roto_point *points) {
  const roto_model *model = session->model, *second = model->second;
  float all[4], box[4], side;
  if (!second) return;
  rotoi_points_box(session, points, ROTO_NONE, all);
  for (uint32_t look = 0; look < model->info.look_count; ++look) {
    rotoi_points_box(session, points, look, box);
    float longer = rotoi_longer_side(box), least = ROTO_LOOK_LEAST * rotoi_longer_side(all);
    roto_rect crop = rotoi_square(session, box, (longer > least ? longer : least) * second->info.crop_margin);
    if (!rotoi_crop_valid(crop)) continue;
    side = rotoi_view_crop(session, second, image, crop, look, 0, session->views, session->again);
    rotoi_end_look(session, look, side, session->again);
    for (uint32_t i = 0; i < model->info.landmark_count; ++i)
      if (rotoi_read_look(&model->file, i) == look) rotoi_fuse(&points[i], &session->again[i]);
  }
  for (uint32_t i = 0; i < model->info.landmark_count; ++i) points[i].confidence = 1 / (1 + points[i].error / (0.01f * whole));
}

/* What there is beyond the first look. */
static void rotoi_look_closer(roto_session *session, const roto_image *image, float whole, roto_point *points) {
  const rotoi_file *file = &session->model->file;
  float box[4], aspect = session->pixel_aspect, step;
  rotoi_look_again(session, image, whole, points);
  rotoi_points_box(session, points, ROTO_NONE, box);
  step = rotoi_longer_side(box) / (float)ROTO_CONTOUR_BOX;
  if ((!file->contour_count && !file->component_count) || session->network_only || !(step > 0 && step < 1e6f)) return;
  rotoi_known *known = session->known;
  for (uint32_t i = 0; i < file->landmark_count; ++i)
    known[i].x = points[i].x * aspect, known[i].y = points[i].y, known[i].error = points[i].error;
  /* Contours through landmarks that lie as they can are nearer to the outlines: the second time they tell more.  Without a
   * distribution they do not. */
  for (int round = 0; round < (file->contour_count && file->component_count ? 2 : 1); ++round) {
    rotoi_forget(known, file->landmark_count);
    if (file->contour_count) rotoi_look_at_contours(file, image, aspect, step, points, known);
    rotoi_settle(file, aspect, (double)step, known, points);
  }
}

static int rotoi_can_look(const roto_session *session, const roto_image *image, roto_rect crop, const roto_point *points) {
  if (!session || !points || !rotoi_image_valid(image) || !rotoi_crop_valid(crop)) return 0;
  const roto_info *info = &session->model->info;
  return info->landmark_count && (info->input_channels == 1 || info->input_channels == 3);
}

ROTO_API roto_status roto_find_landmarks(roto_session *session, const roto_image *image, roto_rect crop, roto_point *points) {
  if (!rotoi_can_look(session, image, crop, points)) return ROTO_ERR_ARGUMENT;
  float side = rotoi_view_crop(session, session->model, image, crop, ROTO_NONE, 0, session->views, points);
  rotoi_end_look(session, ROTO_NONE, side, points);
  rotoi_look_closer(session, image, side, points);
  return ROTO_OK;
}

ROTO_API roto_rect roto_fit_crop(const roto_session *session, const roto_point *points) {
  roto_rect crop = {0, 0, 0, 0};
  float box[4];
  if (!session || !points || !session->model->info.landmark_count) return crop;
  rotoi_points_box(session, points, ROTO_NONE, box);
  return rotoi_square(session, box, rotoi_longer_side(box) * session->model->info.crop_margin);
}

/* Is `a` the rectangle `b` but for a part of b's longer side: centres at most `shift` apart each way, sides at most `scale`? */
static int rotoi_crops_agree(roto_rect a, roto_rect b, float aspect, float shift, float scale) {
  float wide_a = a.width * aspect, wide_b = b.width * aspect;
  float side_a = wide_a > a.height ? wide_a : a.height, side_b = wide_b > b.height ? wide_b : b.height;
  float dx = aspect * (a.x + 0.5f * a.width - b.x - 0.5f * b.width), dy = a.y + 0.5f * a.height - b.y - 0.5f * b.height;
  float ds = side_a - side_b;
  shift *= side_b, scale *= side_b;
  return dx <= shift && dx >= -shift && dy <= shift && dy >= -shift && ds <= scale && ds >= -scale;
}

/* A first crop from outside may be off as far as training jitters it; one that was moved is to sit as well as can be.  Two views
 * say where it belongs; the others are of the crop that sits. */
ROTO_API roto_status roto_find_landmarks_near(roto_session *session, const roto_image *image, roto_rect *crop,
                                              uint32_t most_looks, roto_point *points) {
  if (!crop || !rotoi_can_look(session, image, *crop, points)) return ROTO_ERR_ARGUMENT;
  const roto_model *model = session->model;
  int few = session->views < 2 ? session->views : 2;
  for (uint32_t look = 1;; ++look) {
    rotoi_view_crop(session, model, image, *crop, ROTO_NONE, 0, few, points);
    roto_rect fit = roto_fit_crop(session, points);
    float aspect = session->pixel_aspect;
    int agree =
        look == 1 ? rotoi_crops_agree(fit, *crop, aspect, 0.06f, 0.08f) : rotoi_crops_agree(fit, *crop, aspect, 0.02f, 0.03f);
    if (agree || !rotoi_crop_valid(fit) || look >= (most_looks ? most_looks : 5)) break;
    *crop = fit;
  }
  float side = rotoi_view_crop(session, model, image, *crop, ROTO_NONE, few, session->views, points);
  rotoi_end_look(session, ROTO_NONE, side, points);
  rotoi_look_closer(session, image, side, points);
  return ROTO_OK;
}

ROTO_API roto_status roto_predict_shape(roto_session *session, uint32_t index, const roto_point *points,
                                        roto_vertex *vertices) {
  if (!session || !points || !vertices) return ROTO_ERR_ARGUMENT;
  return rotoi_predict_shape(&session->model->shapes, index, (double)session->pixel_aspect, points,
                             (float *)(void *)session->values, vertices);
}

ROTO_API roto_status roto_find_shapes(roto_session *session, const roto_point *points, roto_vertex *vertices) {
  if (!session || !points || !vertices || !session->model->shapes.count) return ROTO_ERR_ARGUMENT;
  const rotoi_shapes *shapes = &session->model->shapes;
  memset(vertices, 0, session->model->file.vertex_count * sizeof *vertices);
  for (uint32_t i = 0; i < shapes->count; ++i) {
    roto_status status = ROTO_OK;
    if (shapes->shapes[i].net) status = roto_predict_shape(session, i, points, vertices + shapes->shapes[i].first_vertex);
    if (status) return status;
  }
  return ROTO_OK;
}

/* The largest difference of the shapes drawn through the landmarks that the self-test expects, in units of the crop. */
static float rotoi_selftest_shapes(const roto_model *model, float *workspace, float worst, roto_status *status) {
  const rotoi_file *file = &model->file;
  const unsigned char *expected = file->shape_tests;
  uint32_t floats = file->landmark_count ? file->output_count / file->landmark_count : 0;
  for (uint32_t i = 0; i < model->shapes.count; ++i) {
    const rotoi_shape *shape = &model->shapes.shapes[i];
    roto_point points[ROTO_MAX_SHAPE_LANDMARKS];
    roto_vertex found[ROTO_MAX_SHAPE_VERTICES];
    if (!shape->net) continue;
    for (uint32_t k = 0; k < shape->landmark_count; ++k) {
      points[k].x = rotoi_test_output(file, shape->landmarks[k] * floats);
      points[k].y = rotoi_test_output(file, shape->landmarks[k] * floats + 1);
    }
    rotoi_draw_shape(&model->shapes, i, 1, points, workspace, found);
    for (uint32_t v = 0; v < shape->vertex_count; ++v, expected += 24) {
      const roto_vertex *f = &found[v];
      const double values[6] = {f->x, f->y, f->in_x, f->in_y, f->out_x, f->out_y};
      for (int k = 0; k < 6; ++k) {
        float d = (float)values[k] - rotoi_f32(expected + 4 * k);
        d = d < 0 ? -d : d;
        if (!(d <= file->test_tolerance)) *status = ROTO_ERR_SELFTEST;
        if (!(d <= worst) && worst == worst) worst = d;
      }
    }
  }
  return worst;
}

/* The file's tolerances are those of float32 and of int8; bfloat16 may be off by 2 % of the largest output. */
static float rotoi_selftest_tolerance(const roto_model *model) {
  const rotoi_file *file = &model->file;
  float largest = 0;
  if (!model->plan.low) return file->test_tolerance;
  if (model->plan.low->type == ROTOI_U8) return file->range_tolerance;
  for (uint32_t i = 0; i < file->output_count; ++i) {
    float out = rotoi_test_output(file, i);
    out = out < 0 ? -out : out;
    largest = out > largest ? out : largest;
  }
  return file->test_tolerance + 0.02f * largest;
}

/* The same of one network's output, in a session whose workspace holds it. */
static float rotoi_selftest_network(const roto_session *session, const roto_model *model, roto_status *status) {
  const rotoi_file *file = &model->file;
  size_t channels = file->input_channels, row = file->input_width * channels;
  float *picture = rotoi_floats(session->values, model->plan.picture);
  for (size_t i = 0; i < row * file->input_height; ++i)
    picture[i] = ((float)file->test_pixels[i] / 255.0f - file->input_mean[i % channels]) * file->input_scale[i % channels];
  rotoi_execute(&model->plan, &session->parallel, &session->profile, picture, row, session->values);

  float worst = 0, tolerance = rotoi_selftest_tolerance(model);
  for (uint32_t i = 0; i < file->output_count; ++i) {
    float d = rotoi_output(model, session->values, i) - rotoi_test_output(file, i);
    d = d < 0 ? -d : d;
    if (!(d <= tolerance)) *status = ROTO_ERR_SELFTEST;
    if (!(d <= worst) && worst == worst) worst = d; /* the first that is not a number stays */
  }
  return worst;
}

ROTO_API roto_status roto_selftest(roto_session *session, float *difference) {
  if (difference) *difference = 0;
  if (!session) return ROTO_ERR_ARGUMENT;
  const roto_model *model = session->model;
  roto_status status = ROTO_OK;
  float worst = rotoi_selftest_network(session, model, &status);
  if (model->second) {
    float again = rotoi_selftest_network(session, model->second, &status);
    if (!(again <= worst) && worst == worst) worst = again;
  }
  worst = rotoi_selftest_shapes(model, (float *)(void *)session->values, worst, &status);
  if (difference) *difference = worst;
  return status;
}

#endif /* ROTOI_SESSION */

/* >>matte.c */

/* Mattes: the exact area of every pixel that a list of shapes covers, in one sweep down the rows.
 *
 * Curves become polylines.  A row of pixels is cut into bands at every end and every crossing of its edges; inside a band edges
 * span it whole and never cross, so one walk from left to right with winding numbers tells which edges bound the covered area,
 * by whatever rule: non-zero, even-odd, shapes that add and shapes that subtract.  Each such edge adds its trapezoid, signed, to
 * the row's accumulator, as differences between neighbouring pixels; the running sum of the row is the coverage.  Pixels come in
 * blocks of 16 and only blocks that an edge touches are summed; between them the coverage is constant.
 *
 * Neighbouring hard shapes of the list are swept together (a group), so that shapes with a common edge leave no seam.  A feathered
 * shape is a group of its own; its ramp is the distance to its edges over the feather there, the nearest edge winning. */

#ifndef ROTOI_MATTE
#define ROTOI_MATTE

enum { ROTOI_BLOCK = 16, ROTOI_UNCOVERED = 0, ROTOI_ADDED = 1, ROTOI_REMOVED = 2 };
enum { ROTOI_EMPTY = 0, ROTOI_SOLID = 1, ROTOI_MIXED = 2 }; /* what a block of a row is; only mixed ones have values */

static const double rotoi_flatness = 1.0 / 128; /* pixels */
static const float rotoi_far = 1e30f;           /* a ratio of distance to feather, squared, where no ramp is near */

/* Pixels of the matte; y0 < y1. */
typedef struct rotoi_edge {
  double x0, y0, y1, slope; /* slope: x to a step of y */
  int32_t winding;          /* +1 down, -1 up */
  uint32_t shape;           /* in the whole list */
  uint32_t next;            /* the next edge that begins in this row, or ROTO_NONE */
} rotoi_edge;

/* A piece of a feathered outline: point a + t e has the feather w + t dw, of either sign but not of both. */
typedef struct rotoi_ramp {
  float ax, ay, ex, ey, w, dw;
  int32_t top, bottom; /* rows it reaches */
} rotoi_ramp;

/* Shapes of one moment that are swept together. */
typedef struct rotoi_group {
  size_t shape, shape_end, ramp, ramp_end;
  size_t active, active_count; /* edges of the current row, in rotoi_matte.active */
  size_t starts;               /* of this group's rows, in rotoi_matte.starts */
  int32_t top, bottom;         /* rows */
} rotoi_group;

typedef struct rotoi_matte {
  const roto_allocator *allocator;
  const roto_matte_shape *shapes;
  double x, y, scale;
  int32_t width, height, blocks;
  rotoi_edge *edges;
  rotoi_ramp *ramps;
  size_t edge_count, edge_room, ramp_count, ramp_room;
  uint32_t *starts; /* first edge that begins in a row, a group and row */
  uint32_t *active, *band;
  double *top_x, *bottom_x;                             /* of the edges of a band */
  int32_t *winding;                                     /* a shape */
  float *added, *removed;                               /* accumulators, width + 2 rounded up to blocks, plus one */
  float *row, *sum, *near_out, *near_in, *w_out, *w_in; /* ramps: smallest (distance / feather)^2, and that feather */
  void (*ramp_block)(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of); /* for this machine */
  unsigned char *touched, *kind, *sum_kind;                                               /* a block */
  uint32_t shape;                                                                         /* whose outline is being made */
  int feathered, failed;
} rotoi_matte;

/* Room for one more element, doubling; 0 if there is no memory. */
static int rotoi_grow(const roto_allocator *allocator, void **data, size_t count, size_t *room, size_t size) {
  if (count < *room) return 1;
  size_t bytes, wanted = *room ? 2 * *room : 1024;
  void *grown = rotoi_mul(wanted, size, &bytes) ? rotoi_alloc(allocator, bytes) : NULL;
  if (!grown) return 0;
  if (count) memcpy(grown, *data, count * size);
  rotoi_free(allocator, *data);
  *data = grown;
  *room = wanted;
  return 1;
}

static int32_t rotoi_floor(double v) {
  int32_t i = (int32_t)v;
  return i - (v < i);
}

/* ---- outlines ---- */

/* A point of an outline in pixels of the matte, and the feather there. */
typedef struct rotoi_vertex {
  double x, y, w;
} rotoi_vertex;

static void rotoi_add_ramp(rotoi_matte *m, rotoi_vertex a, rotoi_vertex b) {
  if ((a.w < 0 && b.w > 0) || (a.w > 0 && b.w < 0)) { /* inwards on one side, outwards on the other: two pieces */
    double t = a.w / (a.w - b.w);
    rotoi_vertex middle = {a.x + t * (b.x - a.x), a.y + t * (b.y - a.y), 0};
    rotoi_add_ramp(m, a, middle);
    rotoi_add_ramp(m, middle, b);
    return;
  }
  if (!m->feathered || (a.w == 0 && b.w == 0)) return;
  void *ramps = m->ramps;
  if (!rotoi_grow(m->allocator, &ramps, m->ramp_count, &m->ramp_room, sizeof *m->ramps)) {
    m->failed = 1;
    return;
  }
  m->ramps = (rotoi_ramp *)ramps;
  double wa = a.w < 0 ? -a.w : a.w, wb = b.w < 0 ? -b.w : b.w, reach = (wa > wb ? wa : wb) + 1;
  rotoi_ramp r = {(float)a.x, (float)a.y, (float)(b.x - a.x), (float)(b.y - a.y), (float)a.w, (float)(b.w - a.w), 0, 0};
  r.top = rotoi_floor((a.y < b.y ? a.y : b.y) - reach);
  r.bottom = rotoi_floor((a.y < b.y ? b.y : a.y) + reach) + 1;
  m->ramps[m->ramp_count++] = r;
}

static void rotoi_add_edge(rotoi_matte *m, rotoi_vertex a, rotoi_vertex b) {
  int up = a.y > b.y;
  if (up) {
    rotoi_vertex t = a;
    a = b, b = t;
  }
  if (!(a.y < b.y) || b.y <= 0 || a.y >= m->height || (a.x >= m->width && b.x >= m->width)) return;
  void *edges = m->edges;
  if (m->edge_count >= ROTO_NONE || !rotoi_grow(m->allocator, &edges, m->edge_count, &m->edge_room, sizeof *m->edges)) {
    m->failed = 1;
    return;
  }
  m->edges = (rotoi_edge *)edges;
  rotoi_edge e = {a.x, a.y, b.y, (b.x - a.x) / (b.y - a.y), up ? -1 : 1, m->shape, ROTO_NONE};
  m->edges[m->edge_count++] = e;
}

/* How many chords of the outline make one piece of a ramp: a chord that leaves the curve by f/128 changes the ramp by 1/128. */
static uint32_t rotoi_ramp_stride(double wa, double wb) {
  double a = wa < 0 ? -wa : wa, b = wb < 0 ? -wb : wb, least = a < b ? a : b;
  return least > 4 ? (uint32_t)rotoi_sqrt(least / 128 / rotoi_flatness) : 1;
}

/* Outline of a closed path.  Inner points of the polyline stand off the curve by 2/3 of the height of the chords' arcs, so that
 * the polygon cuts as much off on one side as it adds on the other: the area is that of the curve. */
static void rotoi_outline(rotoi_matte *m, const roto_path *path, double feather) {
  rotoi_vertex from = {0, 0, 0}, soft, to;
  for (uint32_t i = 0; i < roto_path_segments(path); ++i) {
    roto_cubic c = roto_path_segment(path, i);
    double wa = path->vertices[i].feather, wb = path->vertices[i + 1 < path->vertex_count ? i + 1 : 0].feather;
    for (int k = 0; k < 4; ++k) c.x[k] = (c.x[k] - m->x) * m->scale, c.y[k] = (c.y[k] - m->y) * m->scale;
    uint32_t n = roto_cubic_steps(&c, rotoi_flatness);
    double bend[4] = {c.x[0] - 2 * c.x[1] + c.x[2], c.x[1] - 2 * c.x[2] + c.x[3], c.y[0] - 2 * c.y[1] + c.y[2],
                      c.y[1] - 2 * c.y[2] + c.y[3]};
    from.x = c.x[0], from.y = c.y[0], from.w = (wa + feather) * m->scale;
    soft = from;
    uint32_t stride = rotoi_ramp_stride((wa + feather) * m->scale, (wb + feather) * m->scale), taken = 0;
    for (uint32_t k = 1; k <= n; ++k, from = to) {
      double t = (double)k / n, off = k < n ? 0.5 / ((double)n * n) : 0, point[2];
      roto_cubic_at(&c, t, point);
      to.x = k < n ? point[0] - off * (bend[0] + t * (bend[1] - bend[0])) : c.x[3];
      to.y = k < n ? point[1] - off * (bend[2] + t * (bend[3] - bend[2])) : c.y[3];
      to.w = (wa + t * (wb - wa) + feather) * m->scale;
      rotoi_add_edge(m, from, to);
      if (!m->feathered || (++taken < stride && k < n)) continue;
      rotoi_add_ramp(m, soft, to);
      soft = to, taken = 0;
    }
  }
}

/* ---- open paths: the union of all discs along the path, as one outline that never groups backwards around covered area ---- */

/* An outline under construction: lines from the last point to the next. */
typedef struct rotoi_pen {
  rotoi_matte *m;
  rotoi_vertex at, first;
  int down;
} rotoi_pen;

static void rotoi_line_to(rotoi_pen *pen, double x, double y, double w) {
  rotoi_vertex to = {x, y, w};
  if (pen->down)
    rotoi_add_edge(pen->m, pen->at, to), rotoi_add_ramp(pen->m, pen->at, to);
  else
    pen->first = to;
  pen->at = to;
  pen->down = 1;
}

/* From p + r a to p + r b, where a and b are unit and less than half a turn apart: halved until the chord is close enough. */
static void rotoi_arc_to(rotoi_pen *pen, rotoi_vertex p, double r, double ax, double ay, double bx, double by) {
  double mx = ax + bx, my = ay + by, length = rotoi_hypot(mx, my);
  if (length > 0 && r * (1 - length / 2) > rotoi_flatness) {
    rotoi_arc_to(pen, p, r, ax, ay, mx / length, my / length);
    rotoi_arc_to(pen, p, r, mx / length, my / length, bx, by);
  } else {
    rotoi_line_to(pen, p.x + r * bx, p.y + r * by, p.w);
  }
}

/* One side of the stroke, left of the direction of travel (right on the screen, y being down), then half a disc around the
 * end.  Travels from points[0] by `step` to the last of `count` points. */
static void rotoi_stroke_side(rotoi_pen *pen, const rotoi_vertex *points, size_t count, ptrdiff_t step, double r) {
  double px = 0, py = 0, before = 0; /* direction and length of the piece before */
  for (size_t i = 0; i + 1 < count; ++i, points += step) {
    rotoi_vertex p = points[0], q = points[step];
    double length = rotoi_hypot(q.x - p.x, q.y - p.y), dx = (q.x - p.x) / length, dy = (q.y - p.y) / length;
    double cross = px * dy - py * dx, dot = px * dx + py * dy;
    /* Normals: (-dy, dx) is on the outer side of a turn with cross < 0. */
    if (i > 0 && cross <= 0) {
      if (dot < -0.9) {
        rotoi_arc_to(pen, p, r, -py, px, px, py);
        rotoi_arc_to(pen, p, r, px, py, -dy, dx);
      } else {
        rotoi_arc_to(pen, p, r, -py, px, -dy, dx);
      }
    } else if (i > 0) {
      double tangent = dot > -0.9 ? cross / (1 + dot) : 1e9; /* of half the turn */
      if (r * tangent <= (before < length ? before : length) / 2) {
        rotoi_line_to(pen, p.x - r * py - r * tangent * px, p.y + r * px - r * tangent * py, p.w);
      } else { /* pieces shorter than the width: by way of the path itself, so that the overlap winds the same way */
        rotoi_line_to(pen, p.x - r * py, p.y + r * px, p.w);
        rotoi_line_to(pen, p.x, p.y, p.w);
        rotoi_line_to(pen, p.x - r * dy, p.y + r * dx, p.w);
      }
    } else {
      rotoi_line_to(pen, p.x - r * dy, p.y + r * dx, p.w);
    }
    px = dx, py = dy, before = length;
  }
  rotoi_line_to(pen, points->x - r * py, points->y + r * px, points->w);
  rotoi_arc_to(pen, *points, r, -py, px, px, py);
  rotoi_arc_to(pen, *points, r, px, py, py, -px);
}

static void rotoi_stroke(rotoi_matte *m, const roto_path *path, double width, double feather) {
  double r = width / 2 * m->scale;
  size_t count = 0, room = 0;
  void *points = NULL;
  uint32_t segments = roto_path_segments(path), pieces = segments ? segments : path->vertex_count; /* one vertex: a dot */
  for (uint32_t i = 0; i < pieces; ++i) {
    roto_cubic c = roto_path_segment(path, i);
    double wa = path->vertices[i].feather, wb = segments ? path->vertices[i + 1].feather : wa;
    for (int k = 0; k < 4; ++k) c.x[k] = (c.x[k] - m->x) * m->scale, c.y[k] = (c.y[k] - m->y) * m->scale;
    uint32_t n = segments ? roto_cubic_steps(&c, rotoi_flatness) : 0;
    for (uint32_t k = i ? 1 : 0; k <= n; ++k) {
      double t = k ? (double)k / n : 0, point[2];
      roto_cubic_at(&c, t, point);
      rotoi_vertex v = {point[0], point[1], (wa + t * (wb - wa) + feather) * m->scale};
      const rotoi_vertex *last = count ? (const rotoi_vertex *)points + count - 1 : NULL;
      if (last && rotoi_hypot(v.x - last->x, v.y - last->y) < 1e-6) continue; /* has no direction */
      if (!rotoi_grow(m->allocator, &points, count, &room, sizeof v)) {
        m->failed = 1;
        rotoi_free(m->allocator, points);
        return;
      }
      ((rotoi_vertex *)points)[count++] = v;
    }
  }
  rotoi_pen pen;
  memset(&pen, 0, sizeof pen);
  pen.m = m;
  if (count > 1 && r > 0) {
    rotoi_stroke_side(&pen, (rotoi_vertex *)points, count, 1, r);
    rotoi_stroke_side(&pen, (rotoi_vertex *)points + count - 1, count, -1, r);
  } else if (count && r > 0) { /* a dot */
    rotoi_vertex p = ((rotoi_vertex *)points)[0];
    static const double axis[5][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}, {1, 0}};
    rotoi_line_to(&pen, p.x + r, p.y, p.w);
    for (int i = 0; i < 4; ++i) rotoi_arc_to(&pen, p, r, axis[i][0], axis[i][1], axis[i + 1][0], axis[i + 1][1]);
  }
  if (pen.down) rotoi_add_edge(m, pen.at, pen.first), rotoi_add_ramp(m, pen.at, pen.first);
  rotoi_free(m->allocator, points);
}

/* ---- hard edges of one row ---- */

/* Add the area to the right of an edge from (xa, top of a band) to (xb, bottom), h high, to a row of differences. */
static void rotoi_accumulate(float *row, double xa, double xb, double h) {
  double low = xa < xb ? xa : xb, high = xa < xb ? xb : xa;
  int32_t first = (int32_t)low, last = (int32_t)high;
  if (first == last) {
    double m = (low + high) / 2 - first;
    row[first] += (float)(h * (1 - m));
    row[first + 1] += (float)(h * m);
    return;
  }
  double q = h / (high - low), f0 = first + 1 - low, f1 = high - last; /* q: height to a step of x */
  double before = q * f0 * f0 / 2, end = h - q * f1 * f1 / 2;          /* areas in the first and the last pixel */
  row[first] += (float)before;
  if (last > first + 1) {
    double second = q * (f0 + 0.5);
    row[first + 1] += (float)(second - before);
    for (int32_t i = first + 2; i < last; ++i) row[i] += (float)q;
    before = second + q * (last - first - 2);
  }
  row[last] += (float)(end - before);
  row[last + 1] += (float)(h - end);
}

/* The same for any x: what lies left of the picture counts at its first pixel, what lies right not at all. */
static void rotoi_add_area(rotoi_matte *m, float *row, double xa, double xb, double h) {
  double limit = m->width, low = xa < xb ? xa : xb, high = xa < xb ? xb : xa;
  if (low >= limit) return;
  if (low < 0) {
    double part = high <= 0 ? h : h * low / (low - high);
    rotoi_accumulate(row, 0, 0, part);
    m->touched[0] = 1;
    if (high <= 0) return;
    h -= part, low = 0;
  }
  if (high > limit) {
    h -= h * (high - limit) / (high - low);
    high = limit;
  }
  rotoi_accumulate(row, low, high, h);
  int32_t last = ((int32_t)high + 1) / ROTOI_BLOCK;
  for (int32_t b = (int32_t)low / ROTOI_BLOCK; b <= last; ++b) m->touched[b] = 1;
}

/* What the shapes of a group make of a point, by the winding numbers there: the last shape that holds it decides. */
static int rotoi_state(const rotoi_matte *m, const rotoi_group *group) {
  for (size_t i = group->shape_end; i > group->shape; --i) {
    const roto_matte_shape *shape = m->shapes + i - 1;
    int32_t w = m->winding[i - 1];
    if (shape->fill == ROTO_FILL_EVENODD && shape->path.closed ? w & 1 : w)
      return shape->subtract ? ROTOI_REMOVED : ROTOI_ADDED;
  }
  return ROTOI_UNCOVERED;
}

/* The band [ya, yb] with `count` edges that span it whole: sorted, cut where two cross, then walked from left to right. */
static void rotoi_sweep_band(rotoi_matte *m, const rotoi_group *group, size_t count, double ya, double yb, int depth) {
  double *xa = m->top_x, *xb = m->bottom_x;
  uint32_t *band = m->band;
  for (size_t i = 0; i < count; ++i) {
    const rotoi_edge *e = m->edges + band[i];
    double top = e->x0 + (ya - e->y0) * e->slope, bottom = e->x0 + (yb - e->y0) * e->slope;
    uint32_t index = band[i];
    size_t k = i;
    for (; k > 0 && xa[k - 1] + xb[k - 1] > top + bottom; --k) xa[k] = xa[k - 1], xb[k] = xb[k - 1], band[k] = band[k - 1];
    xa[k] = top, xb[k] = bottom, band[k] = index;
  }
  /* Neighbours that are in order at both ends put all in order at both ends, so none cross.  Else cut at the crossing nearest
   * the middle: the depth grows as the logarithm of the number of crossings.  Differences below 1e-9 pixels do not matter. */
  double cut = 0;
  for (size_t i = 0; i + 1 < count; ++i) {
    double top = xa[i + 1] - xa[i], bottom = xb[i + 1] - xb[i];
    if (top > -1e-9 && bottom > -1e-9) continue;
    double t = top / (top - bottom), best = cut < 0.5 ? cut : 1 - cut;
    if (t > best && 1 - t > best) cut = t;
  }
  double middle = ya + cut * (yb - ya);
  if (cut > 0 && depth > 0 && middle > ya && middle < yb) {
    rotoi_sweep_band(m, group, count, ya, middle, depth - 1);
    rotoi_sweep_band(m, group, count, middle, yb, depth - 1);
    return;
  }
  memset(m->winding + group->shape, 0, (group->shape_end - group->shape) * sizeof *m->winding);
  int state = ROTOI_UNCOVERED;
  for (size_t i = 0; i < count; ++i) {
    const rotoi_edge *e = m->edges + band[i];
    m->winding[e->shape] += e->winding;
    int next = rotoi_state(m, group);
    if (next == state) continue;
    if (state == ROTOI_ADDED) rotoi_add_area(m, m->added, xa[i], xb[i], ya - yb);
    if (state == ROTOI_REMOVED) rotoi_add_area(m, m->removed, xa[i], xb[i], ya - yb);
    if (next == ROTOI_ADDED) rotoi_add_area(m, m->added, xa[i], xb[i], yb - ya);
    if (next == ROTOI_REMOVED) rotoi_add_area(m, m->removed, xa[i], xb[i], yb - ya);
    state = next;
  }
}

static void rotoi_sweep_row(rotoi_matte *m, rotoi_group *group, int32_t y) {
  uint32_t *active = m->active + group->active;
  size_t kept = 0;
  for (size_t i = 0; i < group->active_count; ++i)
    if (m->edges[active[i]].y1 > y) active[kept++] = active[i];
  for (uint32_t e = m->starts[group->starts + (size_t)(y - group->top)]; e != ROTO_NONE; e = m->edges[e].next)
    active[kept++] = e;
  group->active_count = kept;
  for (double ya = y, yb; ya < y + 1; ya = yb) {
    size_t count = 0;
    yb = y + 1;
    for (size_t i = 0; i < kept; ++i) {
      const rotoi_edge *e = m->edges + active[i];
      if (e->y1 <= ya) continue;
      double end = e->y0 > ya ? e->y0 : e->y1; /* it begins later, or ends */
      if (end < yb) yb = end;
      if (e->y0 <= ya) m->band[count++] = active[i];
    }
    if (count) rotoi_sweep_band(m, group, count, ya, yb, 40);
  }
}

/* ---- feather ---- */

/* One piece of outline against a block of pixels whose centres begin at (x, y).  The point that maximises 1 - |p - q| / f
 * along a line with linear f is the root of a linear equation; f is positive here. */
rotoi_inline void rotoi_ramp_block_of(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  float sign = r->w + r->dw + r->w < 0 ? -1.0f : 1.0f;
  float w = sign * r->w, dw = sign * r->dw, ex = r->ex, ey = r->ey, ee = ex * ex + ey * ey, uy = y - r->ay;
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float ux = x + (float)i - r->ax, ue = ux * ex + uy * ey, uu = ux * ux + uy * uy;
    float below = ee * w + ue * dw;
    below = below > 1e-6f ? below : 1e-6f;
    float t = (ue * w + uu * dw) / below;
    t = t > 0.0f ? t : 0.0f;
    t = t < 1.0f ? t : 1.0f;
    float dx = ux - t * ex, dy = uy - t * ey, f = w + t * dw;
    f = f > 1e-3f ? f : 1e-3f;
    float ratio = (dx * dx + dy * dy) / (f * f);
    int closer = ratio < nearest[i];
    nearest[i] = closer ? ratio : nearest[i];
    w_of[i] = closer ? f : w_of[i];
  }
}

static void rotoi_ramp_block(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  rotoi_ramp_block_of(r, x, y, nearest, w_of);
}

#ifdef ROTOI_X86
ROTOI_AVX2 static void rotoi_ramp_block_avx2(const rotoi_ramp *r, float x, float y, float *nearest, float *w_of) {
  rotoi_ramp_block_of(r, x, y, nearest, w_of);
}
#endif

static void rotoi_feather_row(rotoi_matte *m, const rotoi_group *group, int32_t y) {
  for (size_t k = group->ramp; k < group->ramp_end; ++k) {
    const rotoi_ramp *r = m->ramps + k;
    if (y < r->top || y >= r->bottom) continue;
    float wa = r->w < 0 ? -r->w : r->w, wb = r->w + r->dw < 0 ? -r->w - r->dw : r->w + r->dw, reach = (wa > wb ? wa : wb) + 1;
    float low = (r->ex < 0 ? r->ax + r->ex : r->ax) - reach, high = (r->ex < 0 ? r->ax : r->ax + r->ex) + reach;
    int32_t first = rotoi_floor((double)low) / ROTOI_BLOCK, last = rotoi_floor((double)high) / ROTOI_BLOCK;
    int inwards = r->w + r->w + r->dw < 0;
    if (high < 0) continue;
    if (first < 0) first = 0;
    if (last >= m->blocks) last = m->blocks - 1;
    for (int32_t b = first; b <= last; ++b) {
      m->touched[b] = 1;
      m->ramp_block(r, (float)(b * ROTOI_BLOCK) + 0.5f, (float)y + 0.5f, (inwards ? m->near_in : m->near_out) + b * ROTOI_BLOCK,
                    (inwards ? m->w_in : m->w_out) + b * ROTOI_BLOCK);
    }
  }
}

/* What a ramp adds to a pixel of coverage c whose centre lies d beyond the outline: the share of the pixel beyond, times the mean
 * of max(0, 1 - s/w) over the s there.  A pixel reaches half a pixel both ways; through its corners a little further. */
static float rotoi_ramp_share(float c, float d, float w) {
  float a = d - 0.5f, b = d + 0.5f;
  if (b < -0.25f) return 0; /* coverage between 0 and 1 comes from another part of the outline */
  a = a > 0.0f ? a : 0.0f;
  b = b > 0.1f ? b : 0.1f;
  float from = a < w ? a : w, to = b < w ? b : w;
  return (1 - c) * (to - from) * (1 - (from + to) / (2 * w)) / (b - a);
}

/* ---- rows ---- */

/* The values of a block, whatever it was. */
static float *rotoi_mixed(float *row, unsigned char *kind, int32_t b) {
  float *values = row + b * ROTOI_BLOCK, v = kind[b] == ROTOI_SOLID ? 1.0f : 0.0f;
  if (kind[b] != ROTOI_MIXED)
    for (int i = 0; i < ROTOI_BLOCK; ++i) values[i] = v;
  kind[b] = ROTOI_MIXED;
  return values;
}

/* A block's coverage with its ramps, which are forgotten for the next row. */
static void rotoi_add_ramps(rotoi_matte *m, int32_t b, float *coverage) {
  float *near_out = m->near_out + b * ROTOI_BLOCK, *near_in = m->near_in + b * ROTOI_BLOCK;
  const float *w_out = m->w_out + b * ROTOI_BLOCK, *w_in = m->w_in + b * ROTOI_BLOCK;
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float c = coverage[i], out = near_out[i] * w_out[i] * w_out[i], in = near_in[i] * w_in[i] * w_in[i]; /* distances squared */
    if (out < (w_out[i] + 1) * (w_out[i] + 1)) {
      float d = (float)rotoi_sqrt((double)out);
      coverage[i] += rotoi_ramp_share(c, c < 0.5f ? d : -d, w_out[i]);
    }
    if (in < (w_in[i] + 1) * (w_in[i] + 1)) {
      float d = (float)rotoi_sqrt((double)in);
      coverage[i] -= rotoi_ramp_share(1 - c, c < 0.5f ? -d : d, w_in[i]);
    }
    near_out[i] = near_in[i] = rotoi_far;
  }
}

/* r = U + (1 - U - S) r, where the group adds U and removes S, for every block the group reaches. */
static void rotoi_merge_row(rotoi_matte *m, const rotoi_group *group) {
  float u = 0, s = 0, covered[ROTOI_BLOCK], removed[ROTOI_BLOCK];
  int subtract = m->shapes[group->shape].subtract, ramps = group->ramp < group->ramp_end;
  for (int32_t b = 0; b < m->blocks; ++b) {
    if (!m->touched[b]) {
      u = u < 0.5e-5f ? 0 : u > 1 - 0.5e-5f ? 1 : u; /* the sums' rounding does not pile up */
      s = s < 0.5e-5f ? 0 : s > 1 - 0.5e-5f ? 1 : s;
      if (u == 1 || s == 1) {
        m->kind[b] = u == 1 ? ROTOI_SOLID : ROTOI_EMPTY;
      } else if (u != 0 || s != 0) {
        float *row = rotoi_mixed(m->row, m->kind, b), keep = 1 - u - s;
        for (int i = 0; i < ROTOI_BLOCK; ++i) row[i] = u + keep * row[i];
      }
      continue;
    }
    m->touched[b] = 0;
    float *added = m->added + b * ROTOI_BLOCK, *taken = m->removed + b * ROTOI_BLOCK;
    for (int i = 0; i < ROTOI_BLOCK; ++i) covered[i] = u += added[i], removed[i] = s += taken[i];
    memset(added, 0, ROTOI_BLOCK * sizeof *added);
    memset(taken, 0, ROTOI_BLOCK * sizeof *taken);
    if (ramps) rotoi_add_ramps(m, b, subtract ? removed : covered);
    float *row = rotoi_mixed(m->row, m->kind, b);
    for (int i = 0; i < ROTOI_BLOCK; ++i) {
      float add = covered[i] > 0.0f ? covered[i] < 1.0f ? covered[i] : 1.0f : 0.0f;
      float cut = removed[i] > 0.0f ? removed[i] < 1.0f ? removed[i] : 1.0f : 0.0f;
      row[i] = add + (1 - add - cut) * row[i];
    }
  }
}

/* The sum over moments takes in one more row. */
static void rotoi_sum_row(rotoi_matte *m) {
  for (int32_t b = 0; b < m->blocks; ++b) {
    if (m->kind[b] == ROTOI_EMPTY) continue;
    const float *row = rotoi_mixed(m->row, m->kind, b);
    float *sum = rotoi_mixed(m->sum, m->sum_kind, b);
    for (int i = 0; i < ROTOI_BLOCK; ++i) sum[i] += row[i];
  }
}

/* 16 values as the matte has them. */
static void rotoi_store_block(const float *row, float scale, roto_pixel type, void *out) {
  float values[ROTOI_BLOCK];
  uint8_t bytes[ROTOI_BLOCK];
  uint16_t words[ROTOI_BLOCK];
  for (int i = 0; i < ROTOI_BLOCK; ++i) {
    float v = row[i] * scale;
    v = v > 0.0f ? v : 0.0f;
    values[i] = v < 1.0f ? v : 1.0f;
  }
  if (type == ROTO_PIXEL_U8) {
    for (int i = 0; i < ROTOI_BLOCK; ++i) bytes[i] = (uint8_t)(int32_t)(values[i] * 255.0f + 0.5f);
    memcpy(out, bytes, sizeof bytes);
  } else if (type == ROTO_PIXEL_U16) {
    for (int i = 0; i < ROTOI_BLOCK; ++i) words[i] = (uint16_t)(int32_t)(values[i] * 65535.0f + 0.5f);
    memcpy(out, words, sizeof words);
  } else {
    memcpy(out, values, sizeof values);
  }
}

static void rotoi_store_row(const rotoi_matte *m, const roto_matte_image *matte, const float *row, const unsigned char *kind,
                            int32_t y, float scale) {
  static const size_t sizes[3] = {1, 2, 4};
  static const float one[ROTOI_BLOCK] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  size_t width = (size_t)m->width, size = sizes[matte->type];
  unsigned char *out = (unsigned char *)matte->pixels + (size_t)y * (matte->row_size ? matte->row_size : width * size);
  for (size_t x = 0, end; x < width; x = end) {
    size_t b = x / ROTOI_BLOCK, last = b + 1;
    if (kind[b] == ROTOI_MIXED || matte->type == ROTO_PIXEL_F32) {
      float block[ROTOI_BLOCK];
      const float *values = kind[b] == ROTOI_MIXED ? row + x : one;
      end = x + ROTOI_BLOCK;
      if (kind[b] == ROTOI_EMPTY) {
        end = end < width ? end : width;
        memset(out + x * size, 0, (end - x) * size);
      } else if (end <= width) {
        rotoi_store_block(values, kind[b] == ROTOI_MIXED ? scale : 1, matte->type, out + x * size);
      } else {
        end = width;
        rotoi_store_block(values, kind[b] == ROTOI_MIXED ? scale : 1, matte->type, block);
        memcpy(out + x * size, block, (end - x) * size);
      }
    } else {
      while (last * ROTOI_BLOCK < width && kind[last] == kind[b]) ++last;
      end = last * ROTOI_BLOCK < width ? last * ROTOI_BLOCK : width;
      memset(out + x * size, kind[b] == ROTOI_SOLID ? 0xff : 0, (end - x) * size);
    }
  }
}

/* Every row, every moment, every group. */
static void rotoi_draw(rotoi_matte *m, rotoi_group *groups, size_t group_count, uint32_t samples,
                       const roto_matte_image *matte) {
  size_t per_sample = group_count / samples;
  for (int32_t y = 0; y < m->height; ++y) {
    memset(m->kind, ROTOI_EMPTY, (size_t)m->blocks);
    if (samples > 1) memset(m->sum_kind, ROTOI_EMPTY, (size_t)m->blocks);
    for (uint32_t s = 0; s < samples; ++s) {
      if (s > 0) memset(m->kind, ROTOI_EMPTY, (size_t)m->blocks);
      for (rotoi_group *group = groups + s * per_sample; group < groups + (s + 1) * per_sample; ++group) {
        if (y < group->top || y >= group->bottom) continue;
        rotoi_sweep_row(m, group, y);
        if (group->ramp < group->ramp_end) rotoi_feather_row(m, group, y);
        rotoi_merge_row(m, group);
      }
      if (samples > 1) rotoi_sum_row(m);
    }
    rotoi_store_row(m, matte, samples > 1 ? m->sum : m->row, samples > 1 ? m->sum_kind : m->kind, y, 1.0f / (float)samples);
  }
}

/* ---- from shapes to groups ---- */

static int rotoi_small(double v) {
  return v > -1e6 && v < 1e6; /* and a number */
}

static int rotoi_matte_valid(const roto_matte_shape *shapes, size_t count, const roto_matte_options *options, uint32_t samples,
                             const roto_matte_image *matte) {
  if (!matte || !matte->pixels || !matte->width || !matte->height || matte->width > 65536 || matte->height > 65536 ||
      (unsigned)matte->type > ROTO_PIXEL_F32 || (count && !shapes) || count >= ROTO_NONE)
    return 0;
  if (!rotoi_small(options->x) || !rotoi_small(options->y) || !(options->scale >= 0 && options->scale <= 1024)) return 0;
  for (size_t i = 0; i < count; ++i) {
    const roto_matte_shape *s = shapes + i;
    if (!rotoi_small(s->width) || !rotoi_small(s->feather) || (s->path.vertex_count && !s->path.vertices)) return 0;
    for (size_t k = 0; k < (size_t)samples * s->path.vertex_count; ++k) {
      const roto_vertex *v = s->path.vertices + k;
      if (!rotoi_small(v->x) || !rotoi_small(v->y) || !rotoi_small(v->in_x) || !rotoi_small(v->in_y) ||
          !rotoi_small(v->out_x) || !rotoi_small(v->out_y) || !rotoi_small(v->feather))
        return 0;
    }
  }
  return 1;
}

static int rotoi_is_soft(const roto_matte_shape *shape, uint32_t samples) {
  for (size_t k = 0; k < (size_t)samples * shape->path.vertex_count; ++k)
    if (shape->path.vertices[k].feather + shape->feather != 0) return 1;
  return 0;
}

/* Outlines of the groups, and each group's rows. */
static void rotoi_build_groups(rotoi_matte *m, rotoi_group *groups, size_t group_count, uint32_t samples) {
  for (size_t r = 0; r < group_count && !m->failed; ++r) {
    rotoi_group *group = groups + r;
    size_t moment = r / (group_count / samples), first = m->edge_count;
    group->ramp = m->ramp_count;
    for (size_t i = group->shape; i < group->shape_end; ++i) {
      const roto_matte_shape *shape = m->shapes + i;
      roto_path path = shape->path;
      if (path.vertex_count > 0) path.vertices += moment * path.vertex_count; /* an empty path may have none */
      m->shape = (uint32_t)i;
      m->feathered = rotoi_is_soft(shape, samples);
      if (path.closed)
        rotoi_outline(m, &path, shape->feather);
      else
        rotoi_stroke(m, &path, shape->width, shape->feather);
    }
    group->ramp_end = m->ramp_count;
    group->active = first;
    group->top = m->height;
    group->bottom = 0;
    for (size_t e = first; e < m->edge_count; ++e) {
      int32_t top = m->edges[e].y0 > 0 ? (int32_t)m->edges[e].y0 : 0;
      int32_t bottom = m->edges[e].y1 < m->height ? (int32_t)m->edges[e].y1 + 1 : m->height;
      if (top < group->top) group->top = top;
      if (bottom > group->bottom) group->bottom = bottom;
    }
    for (size_t k = group->ramp; k < group->ramp_end; ++k) {
      if (m->ramps[k].top < group->top) group->top = m->ramps[k].top > 0 ? m->ramps[k].top : 0;
      if (m->ramps[k].bottom > group->bottom) group->bottom = m->ramps[k].bottom < m->height ? m->ramps[k].bottom : m->height;
    }
    if (group->top >= group->bottom) group->top = group->bottom = 0;
  }
}

/* Which edges begin in which row of their group. */
static void rotoi_fill_starts(rotoi_matte *m, const rotoi_group *groups, size_t group_count) {
  for (size_t r = 0; r < group_count; ++r) {
    size_t end = r + 1 < group_count ? groups[r + 1].active : m->edge_count;
    for (size_t e = groups[r].active; e < end; ++e) {
      int32_t y = m->edges[e].y0 > 0 ? (int32_t)m->edges[e].y0 : 0;
      uint32_t *start = m->starts + groups[r].starts + (size_t)(y - groups[r].top);
      m->edges[e].next = *start;
      *start = (uint32_t)e;
    }
  }
}

/* Cuts one block into arrays: called once without memory for the size, then with it. */
static size_t rotoi_take(unsigned char *memory, size_t *used, void **pointer, size_t size) {
  *pointer = memory ? memory + *used : NULL;
  *used += (size + 63) / 64 * 64;
  return *used;
}

static size_t rotoi_lay_out(rotoi_matte *m, unsigned char *memory, size_t starts, size_t shape_count) {
  size_t used = 0, row = ((size_t)m->blocks + 1) * ROTOI_BLOCK * sizeof(float);
  float **rows[8] = {&m->added, &m->removed, &m->row, &m->sum, &m->near_out, &m->near_in, &m->w_out, &m->w_in};
  void *p;
  for (int i = 0; i < 8; ++i) rotoi_take(memory, &used, &p, row), *rows[i] = (float *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->touched = (unsigned char *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->kind = (unsigned char *)p;
  rotoi_take(memory, &used, &p, (size_t)m->blocks + 1), m->sum_kind = (unsigned char *)p;
  rotoi_take(memory, &used, &p, shape_count * sizeof *m->winding), m->winding = (int32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->active), m->active = (uint32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->band), m->band = (uint32_t *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->top_x), m->top_x = (double *)p;
  rotoi_take(memory, &used, &p, m->edge_count * sizeof *m->bottom_x), m->bottom_x = (double *)p;
  return rotoi_take(memory, &used, &p, starts * sizeof *m->starts), m->starts = (uint32_t *)p, used;
}

ROTO_API roto_status roto_matte(const roto_matte_shape *shapes, size_t shape_count, const roto_matte_options *options,
                                const roto_matte_image *matte) {
  roto_matte_options defaults;
  rotoi_matte m;
  memset(&defaults, 0, sizeof defaults);
  memset(&m, 0, sizeof m);
  if (!options) options = &defaults;
  uint32_t samples = options->samples ? options->samples : 1;
  if (!rotoi_matte_valid(shapes, shape_count, options, samples, matte) || !rotoi_allocator_valid(&options->allocator))
    return ROTO_ERR_ARGUMENT;
  m.allocator = &options->allocator;
  m.ramp_block = rotoi_ramp_block;
#ifdef ROTOI_X86
  if (roto_best_isa() >= ROTO_ISA_AVX2) m.ramp_block = rotoi_ramp_block_avx2;
#endif
  m.shapes = shapes;
  m.x = options->x, m.y = options->y, m.scale = options->scale > 0 ? options->scale : 1;
  m.width = (int32_t)matte->width, m.height = (int32_t)matte->height;
  m.blocks = (m.width + 1 + ROTOI_BLOCK) / ROTOI_BLOCK; /* differences reach two past the last pixel */

  size_t bytes, group_count = 0, per_sample = 0;
  if (!rotoi_mul(shape_count + 1, samples, &bytes) || !rotoi_mul(bytes, sizeof(rotoi_group), &bytes)) return ROTO_ERR_MEMORY;
  rotoi_group *groups = (rotoi_group *)rotoi_alloc(m.allocator, bytes);
  if (!groups) return ROTO_ERR_MEMORY;
  memset(groups, 0, bytes);
  for (size_t i = 0; i < shape_count; ++i) {
    int soft = rotoi_is_soft(shapes + i, samples);
    int joins = per_sample && !soft && !rotoi_is_soft(shapes + i - 1, samples);
    if (!joins) groups[per_sample++].shape = i;
    groups[per_sample - 1].shape_end = i + 1;
  }
  group_count = per_sample * samples;
  for (size_t r = per_sample; r < group_count; ++r)
    groups[r].shape = groups[r - per_sample].shape, groups[r].shape_end = groups[r - per_sample].shape_end;
  rotoi_build_groups(&m, groups, group_count, samples);

  size_t starts = 0;
  for (size_t r = 0; r < group_count; ++r) groups[r].starts = starts, starts += (size_t)(groups[r].bottom - groups[r].top);
  bytes = rotoi_lay_out(&m, NULL, starts, shape_count);
  unsigned char *memory = m.failed ? NULL : (unsigned char *)rotoi_alloc(m.allocator, bytes);
  if (memory) {
    memset(memory, 0, bytes);
    rotoi_lay_out(&m, memory, starts, shape_count);
    memset(m.starts, 0xff, starts * sizeof *m.starts);
    rotoi_fill_starts(&m, groups, group_count);
    for (int32_t i = 0; i < m.blocks * ROTOI_BLOCK; ++i) m.near_out[i] = m.near_in[i] = rotoi_far, m.w_out[i] = m.w_in[i] = 1;
    rotoi_draw(&m, groups, group_count, samples, matte);
  }
  rotoi_free(m.allocator, memory);
  rotoi_free(m.allocator, groups);
  rotoi_free(m.allocator, m.edges);
  rotoi_free(m.allocator, m.ramps);
  return memory ? ROTO_OK : ROTO_ERR_MEMORY;
}

#endif /* ROTOI_MATTE */

/* >>flow.c */

/* Optical flow at points: where a small patch around each went from one frame to another.
 *
 * Inverse-compositional alignment (Baker and Matthews, "Lucas-Kanade 20 Years On", IJCV 2004): the patch's gradients and their
 * Hessian are computed once in the first frame, an iteration only samples the second.  Patches are 16x16 pixels, from coarse to
 * fine over a pyramid; both are normalised to mean 0 and equal contrast and the gradients are made orthogonal to the patch's
 * mean and contrast, so that a flickering lamp neither moves the result nor slows it down.  The last residual and the Hessian
 * give the covariance of the result: along an edge it is large and says so.
 *
 * Every row of a patch is a loop of 16 that compilers vectorise. */

#ifndef ROTOI_FLOW
#define ROTOI_FLOW

enum { ROTOI_PATCH = 16, ROTOI_LEVELS = 6, ROTOI_FLOW_STEPS = 20, ROTOI_SMALLEST_LEVEL = 24 };

struct roto_pyramid {
  roto_allocator allocator;
  float x, y, scale; /* of the first pixel's corner in the frame; pixels of the frame to a pixel of level 0 */
  int count;
  int32_t width[ROTOI_LEVELS], height[ROTOI_LEVELS];
  float *level[ROTOI_LEVELS]; /* grey, sRGB-encoded, 0..1 */
};

/* Half the size: each pixel the weighted mean of 4x4, 1 3 3 1 both ways, edges repeated. */
static void rotoi_halve(const float *in, int32_t w, int32_t h, float *out, int32_t ow, int32_t oh) {
  for (int32_t y = 0; y < oh; ++y)
    for (int32_t x = 0; x < ow; ++x) {
      float sum = 0;
      for (int32_t j = -1; j < 3; ++j) {
        int32_t sy = 2 * y + j < 0 ? 0 : 2 * y + j < h ? 2 * y + j : h - 1;
        const float *row = in + (size_t)sy * (size_t)w;
        int32_t x0 = 2 * x > 0 ? 2 * x - 1 : 0, x2 = 2 * x + 1 < w ? 2 * x + 1 : w - 1, x3 = 2 * x + 2 < w ? 2 * x + 2 : w - 1;
        sum += (j == 0 || j == 1 ? 3.0f : 1.0f) * (row[x0] + 3 * (row[2 * x] + row[x2]) + row[x3]);
      }
      out[(size_t)y * (size_t)ow + (size_t)x] = sum / 64;
    }
}

ROTO_API roto_status roto_pyramid_create(const roto_image *image, roto_rect region, uint32_t longest_side,
                                         const roto_allocator *allocator, roto_pyramid **pyramid) {
  roto_allocator none = {NULL, NULL, NULL};
  if (!allocator) allocator = &none;
  if (!pyramid) return ROTO_ERR_ARGUMENT;
  *pyramid = NULL;
  float side = region.width > region.height ? region.width : region.height;
  if (!rotoi_image_valid(image) || !rotoi_allocator_valid(allocator) || !(side > 0 && side < 1e6f) || !(region.width > 0) ||
      !(region.height > 0) || !(region.x > -1e6f && region.x < 1e6f) || !(region.y > -1e6f && region.y < 1e6f))
    return ROTO_ERR_ARGUMENT;
  if (!longest_side) longest_side = 768;
  if (longest_side > 8192) return ROTO_ERR_ARGUMENT;

  roto_pyramid p;
  memset(&p, 0, sizeof p);
  p.allocator = *allocator;
  p.x = region.x, p.y = region.y;
  p.scale = side > (float)longest_side ? side / (float)longest_side : 1;
  size_t floats = 0, head = (sizeof p + 63) / 64 * 64;
  int32_t w = (int32_t)(region.width / p.scale) + 1, h = (int32_t)(region.height / p.scale) + 1;
  for (; p.count < ROTOI_LEVELS; ++p.count, w = (w + 1) / 2, h = (h + 1) / 2) {
    if (p.count && (w < ROTOI_SMALLEST_LEVEL || h < ROTOI_SMALLEST_LEVEL)) break;
    p.width[p.count] = w, p.height[p.count] = h;
    floats += (size_t)w * (size_t)h;
  }
  size_t row_floats = 3 * (size_t)p.width[0];
  unsigned char *memory = (unsigned char *)rotoi_alloc(allocator, head + (floats + row_floats) * sizeof(float));
  if (!memory) return ROTO_ERR_MEMORY;
  float *at = (float *)(void *)(memory + head);
  for (int i = 0; i < p.count; ++i) p.level[i] = at, at += (size_t)p.width[i] * (size_t)p.height[i];

  float map[6] = {p.scale, 0, p.x, 0, p.scale, p.y};
  rotoi_sampler sampler;
  rotoi_sampler_init(&sampler, image, map, ROTO_TRANSFER_SRGB, 0);
  for (int32_t y = 0; y < p.height[0]; ++y) {
    float *grey = p.level[0] + (size_t)y * (size_t)p.width[0];
    rotoi_sample_row(&sampler, (uint32_t)y, (uint32_t)p.width[0], at);
    for (int32_t x = 0; x < p.width[0]; ++x) grey[x] = 0.3f * at[3 * x] + 0.59f * at[3 * x + 1] + 0.11f * at[3 * x + 2];
  }
  for (int i = 1; i < p.count; ++i)
    rotoi_halve(p.level[i - 1], p.width[i - 1], p.height[i - 1], p.level[i], p.width[i], p.height[i]);
  memcpy(memory, &p, sizeof p);
  *pyramid = (roto_pyramid *)(void *)memory;
  return ROTO_OK;
}

ROTO_API void roto_pyramid_free(roto_pyramid *pyramid) {
  if (!pyramid) return;
  roto_allocator allocator = pyramid->allocator;
  rotoi_free(&allocator, pyramid);
}

/* size x size bilinear samples, one pixel apart, centred on (x, y); 0 if they leave the level. */
static int rotoi_patch(const roto_pyramid *p, int level, float x, float y, int32_t size, float *out) {
  float left = x - 0.5f * (float)size, top = y - 0.5f * (float)size; /* the first sample's pixel centre less half a pixel */
  if (!(left >= 0 && top >= 0)) return 0;
  int32_t ix = (int32_t)left, iy = (int32_t)top, w = p->width[level];
  if (ix + size >= w || iy + size >= p->height[level]) return 0;
  float fx = left - (float)ix, fy = top - (float)iy;
  float w11 = fx * fy, w01 = fx - w11, w10 = fy - w11, w00 = 1 - fx - w10;
  for (int32_t j = 0; j < size; ++j) {
    const float *a = p->level[level] + (size_t)(iy + j) * (size_t)w + (size_t)ix, *b = a + w;
    for (int32_t i = 0; i < size; ++i) out[j * size + i] = w00 * a[i] + w01 * a[i + 1] + w10 * b[i] + w11 * b[i + 1];
  }
  return 1;
}

enum { ROTOI_PATCH_SIZE = ROTOI_PATCH * ROTOI_PATCH };

/* Sixteen running sums, then one: what a loop of dot products vectorises to. */
static float rotoi_dot(const float *a, const float *b) {
  float sum[ROTOI_PATCH], total = 0;
  for (int i = 0; i < ROTOI_PATCH; ++i) sum[i] = 0;
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) sum[i] += a[j + i] * b[j + i];
  for (int i = 0; i < ROTOI_PATCH; ++i) total += sum[i];
  return total;
}

/* v -= mean(v), or v -= k a. */
static void rotoi_centre(float *v) {
  float mean = 0;
  for (int i = 0; i < ROTOI_PATCH_SIZE; ++i) mean += v[i];
  mean *= 1.0f / (float)ROTOI_PATCH_SIZE;
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) v[j + i] -= mean;
}
static void rotoi_subtract(float *v, float k, const float *a) {
  for (int j = 0; j < ROTOI_PATCH_SIZE; j += ROTOI_PATCH)
    for (int i = 0; i < ROTOI_PATCH; ++i) v[j + i] -= k * a[j + i];
}

/* One level: from (x, y) of `from` to (*u, *v) of `to`, a guess that is improved.  0 if the patch leaves a picture or holds
 * nothing to hold on to; *u and *v are untouched then. */
static int rotoi_align(const roto_pyramid *from, const roto_pyramid *to, int from_level, int to_level, float x, float y,
                       float *u, float *v, float covariance[3], float *residual) {
  enum { WIDE = ROTOI_PATCH + 2 };
  float wide[WIDE * WIDE], patch[ROTOI_PATCH_SIZE], gx[ROTOI_PATCH_SIZE], gy[ROTOI_PATCH_SIZE], e[ROTOI_PATCH_SIZE];
  if (!rotoi_patch(from, from_level, x, y, WIDE, wide)) return 0;
  for (int j = 0; j < ROTOI_PATCH; ++j) {
    const float *row = wide + (j + 1) * WIDE + 1;
    for (int i = 0; i < ROTOI_PATCH; ++i) {
      patch[j * ROTOI_PATCH + i] = row[i];
      gx[j * ROTOI_PATCH + i] = 0.5f * (row[i + 1] - row[i - 1]);
      gy[j * ROTOI_PATCH + i] = 0.5f * (row[i + WIDE] - row[i - WIDE]);
    }
  }
  rotoi_centre(patch);
  float contrast = rotoi_dot(patch, patch);
  if (!(contrast > 1e-6f * (float)ROTOI_PATCH_SIZE)) return 0; /* a plain surface: less than a tenth of a percent */
  rotoi_centre(gx);
  rotoi_centre(gy);
  rotoi_subtract(gx, rotoi_dot(gx, patch) / contrast, patch);
  rotoi_subtract(gy, rotoi_dot(gy, patch) / contrast, patch);
  float a = rotoi_dot(gx, gx), b = rotoi_dot(gx, gy), c = rotoi_dot(gy, gy), damping = 1e-3f * (a + c);
  a += damping, c += damping; /* along an edge it stays where it is */
  float determinant = a * c - b * b, left = 0;
  if (!(determinant > 0)) return 0;
  float at_x = *u, at_y = *v;
  for (int step = 0; step < ROTOI_FLOW_STEPS; ++step) {
    if (!rotoi_patch(to, to_level, at_x, at_y, ROTOI_PATCH, e)) return 0;
    rotoi_centre(e);
    float power = rotoi_dot(e, e);
    if (!(power > 1e-6f * (float)ROTOI_PATCH_SIZE)) return 0;
    float gain = (float)rotoi_sqrt((double)(contrast / power));
    for (int i = 0; i < ROTOI_PATCH_SIZE; ++i) e[i] *= gain;
    rotoi_subtract(e, 1, patch);
    left = rotoi_dot(e, e);
    float px = rotoi_dot(gx, e), py = rotoi_dot(gy, e);
    float dx = (c * px - b * py) / determinant, dy = (a * py - b * px) / determinant, length = dx * dx + dy * dy;
    if (length > 4) { /* a patch sees only its own neighbourhood */
      float limit = 2 / (float)rotoi_sqrt((double)length);
      dx *= limit, dy *= limit;
    }
    at_x -= dx, at_y -= dy;
    if (length < 1e-5f) break;
  }
  *u = at_x, *v = at_y;
  /* Neighbouring pixels of a residual are alike: it counts for a quarter of its pixels. */
  float variance = 4 * left / (float)(ROTOI_PATCH_SIZE - 4);
  covariance[0] = variance * c / determinant;
  covariance[1] = -variance * b / determinant;
  covariance[2] = variance * a / determinant;
  *residual = (float)rotoi_sqrt((double)(left / contrast));
  return 1;
}

/* How many levels of `p` are finer than the finest of the other. */
static int rotoi_finer_levels(const roto_pyramid *p, const roto_pyramid *other) {
  int levels = 0;
  while (levels + 1 < p->count && p->scale * (float)(2 << levels) <= 1.001f * other->scale) ++levels;
  return levels;
}

ROTO_API roto_status roto_find_flow(const roto_pyramid *from, const roto_pyramid *to, const float (*points)[2],
                                    const float (*guesses)[2], size_t count, roto_flow *flows) {
  if (!from || !to || (count && (!points || !flows))) return ROTO_ERR_ARGUMENT;
  int from_skip = rotoi_finer_levels(from, to), to_skip = rotoi_finer_levels(to, from);
  float from_scale = from->scale * (float)(1 << from_skip), to_scale = to->scale * (float)(1 << to_skip);
  int levels = from->count - from_skip < to->count - to_skip ? from->count - from_skip : to->count - to_skip;
  for (size_t i = 0; i < count; ++i) {
    roto_flow f = {0, 0, {0, 0, 0}, 0, 0};
    float px = (points[i][0] - from->x) / from_scale, py = (points[i][1] - from->y) / from_scale; /* of the finest level */
    float u = ((guesses ? guesses[i][0] : points[i][0]) - to->x) / to_scale;
    float v = ((guesses ? guesses[i][1] : points[i][1]) - to->y) / to_scale;
    for (int level = levels - 1; level >= 0; --level) {
      float k = 1.0f / (float)(1 << level), lu = u * k, lv = v * k;
      int found =
          rotoi_align(from, to, level + from_skip, level + to_skip, px * k, py * k, &lu, &lv, f.covariance, &f.residual);
      if (found) u = lu / k, v = lv / k;
      f.found = found; /* the finest level decides */
    }
    f.x = u * to_scale + to->x;
    f.y = v * to_scale + to->y;
    for (int k = 0; k < 3; ++k) f.covariance[k] *= to_scale * to_scale;
    flows[i] = f;
  }
  return ROTO_OK;
}

#endif /* ROTOI_FLOW */

/* >>smooth.c */

/* De-jitter: one landmark over a whole shot, detections against motion.
 *
 * Detections say where the point is, each on its own, with an expected error; flow says how it moved from frame to frame, with
 * a much smaller one.  Were both always right within their errors, the most likely track would be that of a Kalman smoother of
 * a random walk driven by the flow; it is computed as such, as two filters, one from each end, that meet (Fraser and Potter
 * 1969).  But detections are wrong at times, and flow misses jumps.  So each is asked how much it surprises: a detection,
 * against what all others predict there; a link, against the difference of what lies before it and what lies behind.  The
 * surprise gives its weight, by rho of Geman and McClure, and the filters run again.  (The residual of the track itself would
 * not do: a stiff link bends the track, and has none.)  The rounds start with a wide rho, nearly a parabola, and narrow it
 * (graduated non-convexity, Blake and Zisserman 1987), so that no early mistake is kept.  A fixed frame is a detection without
 * error.  Where a link is missing (a cut, a replaced face) nothing crosses.
 *
 * Acceleration is not punished: a puppet on twos does jump, and the flow says so. */

#ifndef ROTOI_SMOOTH
#define ROTOI_SMOOTH

enum { ROTOI_ROUNDS = 12 };

static const double rotoi_fixed_weight = 1e12; /* of a fixed frame: a millionth of a pixel */

/* A link's weight is gone sooner: it is stiff, and what is left of a wrong one would still bend the track. */
static double rotoi_abrupt(double squared, double width) {
  double q = squared / width;
  return 1 / (1 + q * q * q * q);
}

/* What frames on one side, and a frame itself, know of where it is: how much (1 / variance) and what. */
typedef struct rotoi_belief {
  double information, x, y;
} rotoi_belief;

typedef struct rotoi_chain {
  double *weight, *link;         /* of frame t, of the link t to t + 1 */
  double *surprise;              /* that frame t is, to all others */
  rotoi_belief *forward, *after; /* of frame t: from frames up to t, from t on */
} rotoi_chain;

static double rotoi_weight(double error) {
  return error > 0 && error < 1e6 ? 1 / (error * error) : 0;
}

/* Geman and McClure's weight at a squared residual, in units of the expected error, for a rho of this width. */
static double rotoi_robust(double squared, double width) {
  double q = width / (width + squared);
  return q * q;
}

/* Two sources of information in a row: the first passes through the second. */
static double rotoi_through(double a, double b) {
  return a > 0 && b > 0 ? a * b / (a + b) : 0;
}

/* A belief carried over a link of this information; sign -1: against its direction. */
static rotoi_belief rotoi_carried(rotoi_belief from, const roto_link *link, double information, double sign) {
  rotoi_belief b = {rotoi_through(from.information, information), from.x + sign * (double)link->x,
                    from.y + sign * (double)link->y};
  return b;
}

static rotoi_belief rotoi_joined(rotoi_belief a, rotoi_belief b) {
  double sum = a.information + b.information, share = sum > 0 ? b.information / sum : 1;
  a.x += share * (b.x - a.x), a.y += share * (b.y - a.y);
  a.information = sum;
  return a;
}

/* What all other frames say about frame t. */
static rotoi_belief rotoi_others(const rotoi_chain *c, const roto_link *links, size_t count, size_t t) {
  rotoi_belief none = {0, 0, 0}, before = none, behind = none;
  if (t) before = rotoi_carried(c->forward[t - 1], &links[t - 1], c->link[t - 1], 1);
  if (t + 1 < count) behind = rotoi_carried(c->after[t + 1], &links[t], c->link[t], -1);
  return rotoi_joined(before, behind);
}

static void rotoi_filter(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count) {
  for (size_t t = 0; t < count; ++t) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    c->forward[t] = t ? rotoi_joined(rotoi_carried(c->forward[t - 1], &links[t - 1], c->link[t - 1], 1), own) : own;
  }
  for (size_t t = count; t-- > 0;) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    c->after[t] = t + 1 < count ? rotoi_joined(rotoi_carried(c->after[t + 1], &links[t], c->link[t], -1), own) : own;
  }
}

/* Half the squared difference of two beliefs, in units of what it may be. */
static double rotoi_surprise(rotoi_belief a, rotoi_belief b, double information) {
  double dx = a.x - b.x, dy = a.y - b.y;
  return rotoi_through(rotoi_through(a.information, b.information), information) * (dx * dx + dy * dy) / 2;
}

/* The weights of detections, and of frames that are fixed. */
static void rotoi_weigh(const rotoi_chain *c, const roto_observation *z, size_t count, double width, double fixed) {
  for (size_t t = 0; t < count; ++t)
    c->weight[t] = z[t].fixed ? fixed : rotoi_weight((double)z[t].error) * rotoi_robust(c->surprise[t], width);
}

static void rotoi_smooth_all(const rotoi_chain *c, const roto_observation *z, const roto_link *links, size_t count,
                             roto_smoothed *out) {
  /* Of rho, for detections; links get half, so that a jump that flow missed stays in one frame.  In the end 4: of a detection's
   * weight half is lost at 1.8 expected errors, 96 % at 5.7. */
  double width = 256;
  for (size_t t = 0; t < count; ++t) {
    c->surprise[t] = 0;
    c->link[t] = t + 1 < count ? rotoi_weight((double)links[t].error) : 0;
  }
  for (int round = 1; round < ROTOI_ROUNDS; ++round) {
    rotoi_weigh(c, z, count, width, rotoi_fixed_weight);
    rotoi_filter(c, z, links, count);
    for (size_t t = 0; t < count; ++t) {
      rotoi_belief own = {rotoi_weight((double)z[t].error), (double)z[t].x, (double)z[t].y};
      c->surprise[t] = rotoi_surprise(rotoi_others(c, links, count, t), own, 1e300);
    }
    /* Links are judged by detections alone: where these are all wrong alike, an artist's correction must not break the chain.  And
     * by detections that are not given up as soon (8): the two frames of a held pose would yield to one wrong link. */
    rotoi_weigh(c, z, count, width > 8 ? width : 8, 0);
    rotoi_filter(c, z, links, count);
    for (size_t t = 0; t + 1 < count; ++t) {
      double information = rotoi_weight((double)links[t].error);
      rotoi_belief here = c->forward[t];
      here.x += (double)links[t].x, here.y += (double)links[t].y;
      c->link[t] = information * rotoi_abrupt(rotoi_surprise(here, c->after[t + 1], information), width / 2);
    }
    width = width > 8 ? width / 2 : 4;
  }
  rotoi_weigh(c, z, count, width, rotoi_fixed_weight);
  rotoi_filter(c, z, links, count);
  for (size_t t = 0; t < count; ++t) {
    rotoi_belief own = {c->weight[t], (double)z[t].x, (double)z[t].y};
    rotoi_belief all = rotoi_joined(rotoi_others(c, links, count, t), own);
    out[t].x = z[t].fixed ? z[t].x : (float)all.x;
    out[t].y = z[t].fixed ? z[t].y : (float)all.y;
    out[t].error = all.information > 0 ? (float)(1 / rotoi_sqrt(all.information)) : -1;
  }
}

/* Only the past counts: a Kalman filter whose surprise, at each detection, decides between the flow and the detection, for the
 * detection unless it is beyond belief. */
static void rotoi_smooth_causal(const roto_observation *z, const roto_link *links, size_t count, roto_smoothed *out) {
  double x = 0, y = 0, information = 0;
  for (size_t t = 0; t < count; ++t) {
    double w = z[t].fixed ? rotoi_fixed_weight : rotoi_weight((double)z[t].error);
    if (t) {
      x += (double)links[t - 1].x, y += (double)links[t - 1].y;
      information = rotoi_through(information, rotoi_weight((double)links[t - 1].error));
    }
    double dx = (double)z[t].x - x, dy = (double)z[t].y - y, surprise = rotoi_through(information, w) * (dx * dx + dy * dy) / 2;
    if (surprise > 25 && information >= w && !z[t].fixed)
      w *= rotoi_robust(surprise, 4); /* the detection is wrong */
    else
      information *= rotoi_robust(surprise, 4); /* the flow missed a jump */
    double sum = information + w;
    if (sum > 0) {
      x += w / sum * dx, y += w / sum * dy;
    } else {
      x = (double)z[t].x, y = (double)z[t].y;
    }
    information = sum;
    out[t].x = z[t].fixed ? z[t].x : (float)x;
    out[t].y = z[t].fixed ? z[t].y : (float)y;
    out[t].error = sum > 0 ? (float)(1 / rotoi_sqrt(sum)) : -1;
  }
}

ROTO_API roto_status roto_smooth(const roto_observation *observations, const roto_link *links, size_t count, int causal,
                                 const roto_allocator *allocator, roto_smoothed *smoothed) {
  roto_allocator none = {NULL, NULL, NULL};
  if (!allocator) allocator = &none;
  if (count && (!observations || !smoothed || (count > 1 && !links))) return ROTO_ERR_ARGUMENT;
  if (!rotoi_allocator_valid(allocator)) return ROTO_ERR_ARGUMENT;
  for (size_t t = 0; t < count; ++t) {
    const roto_observation *z = observations + t;
    if (!(z->x > -1e7f && z->x < 1e7f && z->y > -1e7f && z->y < 1e7f)) return ROTO_ERR_ARGUMENT;
    if (t + 1 < count && !(links[t].x > -1e7f && links[t].x < 1e7f && links[t].y > -1e7f && links[t].y < 1e7f))
      return ROTO_ERR_ARGUMENT;
  }
  if (!count) return ROTO_OK;
  if (causal) {
    rotoi_smooth_causal(observations, links, count, smoothed);
    return ROTO_OK;
  }
  size_t bytes;
  double *memory = rotoi_mul(count, 9 * sizeof(double), &bytes) ? (double *)rotoi_alloc(allocator, bytes) : NULL;
  if (!memory) return ROTO_ERR_MEMORY;
  memset(memory, 0, bytes);
  rotoi_belief *beliefs = (rotoi_belief *)(void *)(memory + 3 * count);
  rotoi_chain c = {memory, memory + count, memory + 2 * count, beliefs, beliefs + count};
  rotoi_smooth_all(&c, observations, links, count, smoothed);
  rotoi_free(allocator, memory);
  return ROTO_OK;
}

#endif /* ROTOI_SMOOTH */

#endif /* ROTO_IMPLEMENTATION */
