/* From an annotated frame to a training sample: a crop with jitter, and the landmarks in it.
 *
 * All geometry is one affine map from the crop to the frame, sampled once by roto_sample, and its inverse applied to the
 * landmarks; all linear colour changes are one 3x4 matrix.  Every operation draws from its own stream of the sample's seed:
 * the same seed gives the same bytes on any thread, and switching an operation off leaves the others as they were.
 *
 * Samples are [h][w][4] floats, (encoded value - mean) * scale, fourth lane 0; points are in units of the crop, x / w and
 * y / h, and may lie outside 0..1 where the jitter pushed them out of the picture. */

#ifndef ROTO_AUGMENT_H
#define ROTO_AUGMENT_H

#include "character.h"
#include "dataset.h"

/* Zero switches an operation off.  "+-a" is uniform in [-a, a]; "(1+a)^+-1" is a factor between 1/(1+a) and 1+a, uniform in
 * its logarithm. */
typedef struct augment_options {
  float margin; /* side of the crop over the longer side of the landmarks' box; 0: 1.4 */

  float flip;     /* probability of mirroring, with the template's permutation */
  float rotation; /* +-degrees */
  float scale;    /* (1+a)^+-1 */
  float shift;    /* +-of the crop's side, each way */
  float shear;    /* +-degrees */

  float brightness;   /* factor 1+-a */
  float contrast;     /* factor 1+-a around the crop's mean */
  float gamma;        /* exponent (1+a)^+-1 */
  float channel_gain; /* (1+a)^+-1 for each channel */
  float hue;          /* +-degrees about the grey axis */
  float saturation;   /* factor 1+-a */
  float grey;         /* probability of no colour at all */

  float blur, blur_sigma;   /* probability; largest standard deviation, in 1/128 of the crop's side */
  float noise, noise_sigma; /* probability; largest standard deviation, in 0..1 */

  float occlude, occlude_size; /* probability of each of occlude_count boxes or ellipses; largest side, of the crop's */
  uint32_t occlude_count;

  float hidden_weight; /* weight of landmarks that are known but hidden */
} augment_options;

/* The set that trains both puppets and faces well. */
void augment_default(augment_options *o);

/* The crop the network is trained on and asked for: the box of the known landmarks times margin, around its centre. */
roto_rect augment_box(const frame *f, float margin);

/* One training sample of a cached frame.  `seed` is rng_seed's.  input [h][w][4]; points [N][2]; weight [N]: 1 valid, 0 not
 * (or hidden_weight). */
void augment_sample(const frame *f, const character *ch, const augment_options *o, uint64_t seed, uint32_t w, uint32_t h,
                    const float mean[3], const float scale[3], float *input, float *points, float *weight);

/* The sample roto_find_landmarks makes of this crop: no jitter.  `to_frame`, if not NULL, receives the map from pixels of
 * the sample to pixels of the frame.  The crop should lie within the cached part (augment_box up to margin 3 does). */
void augment_none(const frame *f, const character *ch, roto_rect crop, uint32_t w, uint32_t h, const float mean[3],
                  const float scale[3], float *input, float *points, float *weight, float to_frame[6]);

#endif
