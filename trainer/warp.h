/* The geometry of a training sample: where each of its pixels lies in the frame.
 *
 * Three maps, one after the other: a smooth displacement (a few sine waves, as a face of rubber would move), a perspective
 * (as if the camera stood closer and to the side), and an affine map (crop, flip, rotation, scale, shift).  The inverse, which
 * landmarks need, is exact but for the displacement, which is undone by iteration to 1e-3 pixels. */

#ifndef ROTO_WARP_H
#define ROTO_WARP_H

#include <stdint.h>

enum { WARP_WAVES = 4 };

typedef struct warp {
  float to_frame[6];         /* as roto_sample has it */
  float width, height, side; /* of the sample in pixels; the larger one */
  float perspective[2];      /* slope of the depth over the sample, across and down; 0: none */
  int wave_count;            /* 0: no displacement */
  float wave[WARP_WAVES][3]; /* phase of wave i at (x, y): [0] x + [1] y + [2], in radians and pixels */
  float push[WARP_WAVES][2]; /* its displacement in pixels, times the sine of the phase */
} warp;

/* Pixels of the sample to pixels of the frame. */
void warp_to_frame(const warp *w, float x, float y, float out[2]);

/* And back; far outside the sample, where a perspective folds over, the result is far outside too. */
void warp_from_frame(const warp *w, float x, float y, float out[2]);

/* Draw a picture [height][width][channels] of 3 or 4 bytes a pixel, whose first pixel is pixel (left, top) of the frame.  Edge
 * pixels are repeated; where the map shrinks, a grid of bilinear samples is averaged, as roto_sample does.  out [h][w][3] in
 * 0..1; alpha [h][w], with 4 channels only: then colours are weighted by it. */
void warp_draw(const warp *w, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, float left, float top,
               float *out, float *alpha);

#endif
