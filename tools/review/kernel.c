/* What the review page runs of roto.h, as WebAssembly: the smoother, the matte, the shape networks of a model; the same code as in
 * the programs.
 *
 * The page calls roto_smooth as it is; its structs are plain floats.  The functions here take and give arrays of numbers, because
 * structs are tedious to write from JavaScript.  A page has one model, so it is kept here.  Memory comes from malloc and free, which
 * are exported too. */

#define ROTO_NO_STDIO
#define ROTO_IMPLEMENTATION
#include "../../roto.h"

#ifdef __wasm__
#define REVIEW_EXPORT __attribute__((visibility("default")))
#else
#define REVIEW_EXPORT
#endif

enum { REVIEW_SHAPE = 4, REVIEW_VERTEX = 7 }; /* doubles */

/* Draws `count` shapes of `data` into `pixels`, one byte each.  A shape is [vertices, closed, width, 0], followed by its vertices:
 * x, y, in_x, in_y, out_x, out_y, feather, pixels of the plate.  `scale`: pixels of the matte to one of the plate.  Returns a
 * roto_status. */
REVIEW_EXPORT int review_matte(const double *data, uint32_t count, double scale, uint32_t width, uint32_t height,
                               uint8_t *pixels);
int review_matte(const double *data, uint32_t count, double scale, uint32_t width, uint32_t height, uint8_t *pixels) {
  roto_matte_shape *shapes = (roto_matte_shape *)malloc((count + 1) * sizeof *shapes);
  roto_matte_options options;
  roto_matte_image image;
  if (!shapes) return ROTO_ERR_MEMORY;
  memset(shapes, 0, (count + 1) * sizeof *shapes);
  memset(&options, 0, sizeof options);
  memset(&image, 0, sizeof image);
  for (uint32_t i = 0; i < count; ++i) {
    roto_matte_shape *shape = shapes + i;
    shape->path.vertex_count = (uint32_t)data[0];
    shape->path.closed = data[1] > 0;
    shape->width = data[2];
    shape->path.vertices = (const roto_vertex *)(const void *)(data + REVIEW_SHAPE); /* seven doubles, in this order */
    data += REVIEW_SHAPE + REVIEW_VERTEX * shape->path.vertex_count;
  }
  options.scale = scale;
  image.pixels = pixels;
  image.width = width;
  image.height = height;
  roto_status status = roto_matte(shapes, count, &options, &image);
  free(shapes);
  return (int)status;
}

/* ------------------------------------------------------------------ the model */

static roto_model *review_model;
static roto_session *review_session;
static roto_point *review_points;

/* Opens the page's model; `data` must stay.  Returns a roto_status. */
REVIEW_EXPORT int review_open(const void *data, size_t size);
int review_open(const void *data, size_t size) {
  roto_status status = roto_open(data, size, NULL, &review_model);
  if (status == ROTO_OK) status = roto_session_create(review_model, NULL, &review_session);
  if (status != ROTO_OK) return (int)status;
  review_points = (roto_point *)calloc(roto_get_info(review_model)->landmark_count + 1, sizeof *review_points);
  return review_points ? ROTO_OK : ROTO_ERR_MEMORY;
}

/* The landmarks that a shape depends on, into `landmarks` if there is room; returns their number, 0 if it is not predicted. */
REVIEW_EXPORT uint32_t review_shape_landmarks(uint32_t index, uint32_t *landmarks, uint32_t room);
uint32_t review_shape_landmarks(uint32_t index, uint32_t *landmarks, uint32_t room) {
  const uint32_t *list;
  uint32_t count;
  if (roto_get_shape_landmarks(review_model, index, &list, &count) != ROTO_OK) return 0;
  for (uint32_t i = 0; i < count && i < room; ++i) landmarks[i] = list[i];
  return count;
}

/* Draws a shape through all landmarks' places, x and y of each; `vertices` receives REVIEW_VERTEX doubles a vertex. */
REVIEW_EXPORT int review_shape(uint32_t index, const double *places, double *vertices);
int review_shape(uint32_t index, const double *places, double *vertices) {
  for (uint32_t i = 0; i < roto_get_info(review_model)->landmark_count; ++i) {
    review_points[i].x = (float)places[2 * i];
    review_points[i].y = (float)places[2 * i + 1];
  }
  return (int)roto_predict_shape(review_session, index, review_points, (roto_vertex *)(void *)vertices);
}
