/* What lens, shutter and codec do to a picture [h][w][3] of values in 0..1, in place.  Lengths are pixels. */

#ifndef ROTO_OPTICS_H
#define ROTO_OPTICS_H

#include <stdint.h>

/* Gaussian blur of this standard deviation. */
void optics_blur(float sigma, uint32_t w, uint32_t h, float *rgb);

/* Blur along a line of this length in this direction (radians): motion while the shutter was open.  Needs a second picture in
 * `scratch` [h][w][3]. */
void optics_motion(float length, float direction, uint32_t w, uint32_t h, float *rgb, float *scratch);

/* The damage of a codec of 8x8 blocks: cosine transform, coefficients rounded to multiples of a step that grows with frequency,
 * colour twice as coarse as brightness.  strength: step of the lowest frequency in 1/255, about 1 (fine) to 40 (ruin). */
void optics_codec(float strength, uint32_t w, uint32_t h, float *rgb);

#endif
