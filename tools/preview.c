/* The two pictures differ only in how the frame gets into the canvas: copied whole, or sampled around the crop as the network
 * sees it.  The points are then drawn through the same map. */

#include "preview.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { DARK = 0x101010, WHITE = 0xffffff, ARTIST = 0x3c82ff, SHAPE = 0x50d0ff };

static canvas make_canvas(int width, int height) {
  canvas c = canvas_create(width, height, DARK);
  if (!c.pixels) cli_fail(EXIT_FAILED, "out of memory for a picture of %d x %d; use fewer --threads", width, height);
  return c;
}

static unsigned point_color(const document_point *p) {
  double t = fmin(fmax(p->confidence, 0), 1);
  unsigned red = (unsigned)(255 * fmin(2 - 2 * t, 1)), green = (unsigned)(220 * fmin(2 * t, 1));
  return p->origin == ORIGIN_ARTIST ? (unsigned)ARTIST : red << 16 | green << 8 | 30;
}

/* Points at scale * (x, y) + (dx, dy). */
static void draw_points(canvas *c, const document_frame *frame, size_t count, double scale, double dx, double dy,
                        double radius) {
  for (size_t i = 0; i < count; ++i) {
    const document_point *p = &frame->points[i];
    float x = (float)(p->x * scale + dx), y = (float)(p->y * scale + dy), r = (float)radius;
    if (p->hidden) {
      canvas_ring(c, x, y, r, r * 0.5f, point_color(p), 1);
    } else {
      canvas_disc(c, x, y, r + 1, DARK, 0.8f);
      canvas_disc(c, x, y, r, point_color(p), 1);
    }
  }
}

/* Pixels, encoded as sRGB, in bands: a whole frame of floats would be large. */
static void fill_canvas(canvas *c, const image_file *image) {
  enum { BAND = 32 };
  size_t width = image->width, channels = image->channels;
  if (image->transfer == ROTO_TRANSFER_SRGB) {
    for (size_t i = 0; i < width * image->height * 3; ++i)
      c->pixels[i] = image_byte(image, i / 3 * channels + (channels < 3 ? 0 : i % 3));
    return;
  }
  roto_image view = image_view(image);
  float *band = (float *)cli_alloc(width * BAND * 3, sizeof *band);
  for (uint32_t top = 0; top < image->height; top += BAND) {
    const float map[6] = {1, 0, 0, 0, 1, (float)top};
    uint32_t rows = image->height - top < BAND ? image->height - top : BAND;
    roto_sample(&view, map, ROTO_TRANSFER_SRGB, image->width, rows, band);
    for (size_t i = 0; i < width * rows * 3; ++i)
      c->pixels[width * top * 3 + i] = (uint8_t)(fminf(fmaxf(band[i], 0), 1) * 255 + 0.5f);
  }
  free(band);
}

/* Shapes at the same scale and place. */
static void draw_shapes(canvas *c, const document *doc, const document_frame *frame, double scale, double dx, double dy) {
  enum { MOST = 512 };
  static const double tolerance = 0.25; /* pixels of the canvas */
  for (size_t i = 0; i < doc->shape_count; ++i) {
    const document_shape *shape = &frame->shapes[i];
    roto_path path = {shape->vertices, shape->vertex_count, 0};
    if (!shape->vertex_count || shape->hidden) continue;
    document_shape_name(doc, i, &path.closed);
    for (uint32_t k = 0; k < roto_path_segments(&path); ++k) {
      roto_cubic cubic = roto_path_segment(&path, k);
      double points[MOST][2], x = cubic.x[0], y = cubic.y[0];
      uint32_t count = roto_cubic_flatten(&cubic, tolerance / scale, points, MOST);
      for (uint32_t n = 0; n < count && count <= MOST; ++n) {
        canvas_line(c, (float)(x * scale + dx), (float)(y * scale + dy), (float)(points[n][0] * scale + dx),
                    (float)(points[n][1] * scale + dy), 1.2f,
                    shape->origin == ORIGIN_ARTIST ? (unsigned)ARTIST : (unsigned)SHAPE, 1);
        x = points[n][0];
        y = points[n][1];
      }
    }
  }
}

canvas preview_frame(const image_file *image, const document *doc, const document_frame *frame) {
  canvas c = make_canvas((int)image->width, (int)image->height);
  fill_canvas(&c, image);
  float left = (float)frame->crop[0], top = (float)frame->crop[1];
  float right = left + (float)frame->crop[2], bottom = top + (float)frame->crop[3];
  canvas_line(&c, left, top, right, top, 1, WHITE, 0.6f);
  canvas_line(&c, right, top, right, bottom, 1, WHITE, 0.6f);
  canvas_line(&c, right, bottom, left, bottom, 1, WHITE, 0.6f);
  canvas_line(&c, left, bottom, left, top, 1, WHITE, 0.6f);
  draw_shapes(&c, doc, frame, 1, 0, 0);
  draw_points(&c, frame, doc->point_count, 1, 0, 0, fmax(1.5, fmax(frame->crop[2], frame->crop[3]) / 100));
  return c;
}

contact_sheet preview_sheet(size_t tiles) {
  contact_sheet sheet;
  int count = tiles ? (int)tiles : 1;
  sheet.tile_size = 200;
  sheet.columns = 1;
  while (sheet.columns < count && sheet.columns * sheet.columns * 3 < count * 4) ++sheet.columns; /* about 4:3 */
  sheet.picture = make_canvas(sheet.columns * sheet.tile_size, (count + sheet.columns - 1) / sheet.columns * sheet.tile_size);
  return sheet;
}

void preview_tile(contact_sheet *sheet, size_t index, const image_file *image, const document *doc,
                  const document_frame *frame) {
  const int size = sheet->tile_size - 2; /* a gap between tiles */
  const double margin = 0.15;            /* of the crop, on each side */
  canvas tile = make_canvas(size, size);
  size_t values = (size_t)size * (size_t)size * 3;
  float *sample = (float *)cli_alloc(values, sizeof *sample), map[6];
  char number[16];
  roto_image view = image_view(image);
  roto_rect region = {(float)(frame->crop[0] - margin * frame->crop[2]), (float)(frame->crop[1] - margin * frame->crop[3]),
                      (float)(frame->crop[2] * (1 + 2 * margin)), (float)(frame->crop[3] * (1 + 2 * margin))};
  roto_crop_map(region, (uint32_t)size, (uint32_t)size, map); /* uniform scale: map[0] == map[4], no shear */
  roto_sample(&view, map, ROTO_TRANSFER_SRGB, (uint32_t)size, (uint32_t)size, sample);
  for (size_t i = 0; i < values; ++i) tile.pixels[i] = (uint8_t)(fminf(fmaxf(sample[i], 0), 1) * 255 + 0.5f);
  double scale = 1 / (double)map[0];
  draw_shapes(&tile, doc, frame, scale, -(double)map[2] * scale, -(double)map[5] * scale);
  draw_points(&tile, frame, doc->point_count, scale, -(double)map[2] * scale, -(double)map[5] * scale, 2);
  snprintf(number, sizeof number, "%d", frame->number);
  canvas_rect(&tile, 0, size - 13, (int)canvas_text_width(number, 1) + 8, 13, DARK, 0.7f);
  canvas_text(&tile, 4, (float)size - 10, 1, number, WHITE);
  size_t x = index % (size_t)sheet->columns * (size_t)sheet->tile_size;
  size_t y = index / (size_t)sheet->columns * (size_t)sheet->tile_size, row_size = (size_t)size * 3;
  for (size_t row = 0; row < (size_t)size; ++row)
    memcpy(sheet->picture.pixels + ((y + row) * (size_t)sheet->picture.width + x) * 3, tile.pixels + row * row_size, row_size);
  free(sample);
  free(tile.pixels);
}
