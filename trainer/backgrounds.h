/* A folder of pictures to put behind and before a face: plates, green and blue screens, other frames.  A swatch is a piece of
 * one of them, turned, mirrored and scaled at random, or a plain unevenly lit colour. */

#ifndef ROTO_BACKGROUNDS_H
#define ROTO_BACKGROUNDS_H

#include <stddef.h>
#include <stdint.h>
#include "../tools/whole_file.h"
#include "rng.h"

enum { BACKGROUND_LEVELS = 4, BACKGROUND_SIDE = 768, BACKGROUND_MOST = 256 };

/* 8-bit RGB; level k is reduced 2^k times. */
typedef struct background {
  char *path;
  uint8_t *levels[BACKGROUND_LEVELS];
  uint32_t width[BACKGROUND_LEVELS], height[BACKGROUND_LEVELS];
} background;

typedef struct backgrounds {
  background *pictures;
  size_t count;
} backgrounds;

/* Read the pictures of a folder, recognised by content, in the order of their names; longer sides above BACKGROUND_SIDE are
 * halved until they fit, and of more than BACKGROUND_MOST files evenly spread ones are taken.  Fails on a damaged picture, and
 * if there is none. */
int backgrounds_load(const char *folder, backgrounds *b, char *message);
void backgrounds_free(backgrounds *b); /* leaves it zero */

typedef struct swatch {
  const uint8_t *pixels; /* NULL: plain */
  int width, height;
  float map[6];                           /* from pixels of the result to pixels of the level */
  float plain[3], slope_x[3], slope_y[3]; /* colour in the middle, change from edge to edge */
  float w, h;
} swatch;

/* A swatch for a picture of w x h pixels.  b may be NULL or empty: plain colours only. */
void swatch_choose(const backgrounds *b, float plain_probability, uint32_t w, uint32_t h, rng *r, swatch *s);

/* Colour at the middle of pixel (x, y), sRGB-encoded in 0..1; x and y may lie outside w and h. */
void swatch_at(const swatch *s, float x, float y, float rgb[3]);

#endif
