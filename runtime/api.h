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
