/* Drawing on 8-bit RGB pictures: anti-aliased lines, discs and rings, and text.  For previews, contact sheets and charts. */

#ifndef ROTO_CANVAS_H
#define ROTO_CANVAS_H

#include <stdint.h>

typedef struct canvas {
  uint8_t *pixels; /* [height][width][3], sRGB */
  int width, height;
} canvas;

/* A picture of one colour (0xRRGGBB); pixels NULL if memory ran out.  free() the pixels. */
canvas canvas_create(int width, int height, unsigned color);

/* Coordinates are pixels with (0.5, 0.5) the centre of the first; `alpha` 0..1; anything outside is clipped. */
void canvas_line(canvas *c, float x0, float y0, float x1, float y1, float width, unsigned color, float alpha);
void canvas_disc(canvas *c, float x, float y, float radius, unsigned color, float alpha);
void canvas_ring(canvas *c, float x, float y, float radius, float width, unsigned color, float alpha);
void canvas_rect(canvas *c, int x, int y, int width, int height, unsigned color, float alpha);

/* ASCII text, top-left corner at (x, y), letters 7 pixels high times `size`.  Returns its width. */
float canvas_text(canvas *c, float x, float y, float size, const char *text, unsigned color);
float canvas_text_width(const char *text, float size);

#endif
