/* What the review page runs of roto.h, as WebAssembly: the smoother and the matte, the same code as in the programs.
 *
 * The page calls roto_smooth as it is; its structs are plain floats.  review_matte takes shapes as one array of doubles, because
 * pointers inside structs are tedious to write from JavaScript.  Memory comes from malloc and free, which are exported too. */

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
