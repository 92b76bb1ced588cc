/* From an annotated frame to a training sample: a crop with jitter, and the landmarks in it.
 *
 * All geometry is one map from the sample to the frame (warp.h), drawn once, and its inverse applied to the landmarks and shapes;
 * all linear colour changes are one 3x4 matrix.  Every operation draws from its own stream of the sample's seed:
 * the same seed gives the same bytes on any thread, and switching an operation off leaves the others as they were.
 *
 * Samples are [h][w][4] floats, (encoded value - mean) * scale, fourth lane 0; points are in units of the crop, x / w and
 * y / h, and may lie outside 0..1 where the jitter pushed them out of the picture. */

#ifndef ROTO_AUGMENT_H
#define ROTO_AUGMENT_H

#include "backgrounds.h"
#include "character.h"
#include "dataset.h"
#include "warp.h"

/* Zero switches an operation off.  "+-a" is uniform in [-a, a]; "(1+a)^+-1" is a factor between 1/(1+a) and 1+a, uniform in
 * its logarithm. */
typedef struct augment_options {
  float margin; /* side of the crop over the longer side of the landmarks' box; 0: 1.4 */

  float flip;            /* probability of mirroring, with the template's permutation */
  float rotation;        /* +-degrees */
  float scale;           /* (1+a)^+-1 */
  float shift;           /* +-of the crop's side, each way */
  float shear;           /* +-degrees */
  float perspective;     /* +-change of the depth from the middle to the edge */
  float warp, warp_size; /* probability; RMS displacement, of the crop's side */

  float brightness;   /* factor 1+-a */
  float contrast;     /* factor 1+-a around the crop's mean */
  float gamma;        /* exponent (1+a)^+-1 */
  float channel_gain; /* (1+a)^+-1 for each channel */
  float hue;          /* +-degrees about the grey axis */
  float saturation;   /* factor 1+-a */
  float grey;         /* probability of no colour at all */

  float blur, blur_sigma;    /* probability; largest standard deviation, in 1/128 of the crop's side */
  float motion, motion_size; /* probability; largest length, likewise */
  float codec, codec_step;   /* probability; largest strength, as optics_codec has it */
  float noise, noise_sigma;  /* probability; largest standard deviation, in 0..1 */

  float background; /* probability that all but the face and a cloud around it is replaced; what alpha leaves open always is */
  float plain;      /* share of plain backgrounds (screens) where there are pictures too */

  float occlude, occlude_size; /* probability of each of occlude_count boxes, ellipses or clouds; largest side, of the crop's */
  uint32_t occlude_count;

  float hidden_weight; /* weight of landmarks that are known but hidden */
  float covered;       /* share of its weight that a landmark under an occluder loses; 0: it is to be inferred */

  const backgrounds *backdrops; /* NULL or empty: plain colours.  Stays last: what is above is all numbers */
} augment_options;

/* These, for a list of cli_option. */
#define AUGMENT_CLI(o)                                                                                              \
  {"--rotation", CLI_FLOAT, &(o)->rotation, "D", "augmentation: degrees either way"},                               \
      {"--scale", CLI_FLOAT, &(o)->scale, "S", "augmentation: factor 1+S either way"},                              \
      {"--shift", CLI_FLOAT, &(o)->shift, "S", "augmentation: share of the crop either way"},                       \
      {"--shear", CLI_FLOAT, &(o)->shear, "D", "augmentation: degrees either way"},                                 \
      {"--perspective", CLI_FLOAT, &(o)->perspective, "S", "augmentation: change of depth over half the crop"},     \
      {"--warp", CLI_FLOAT, &(o)->warp, "P", "augmentation: probability of a smooth warp"},                         \
      {"--warp-size", CLI_FLOAT, &(o)->warp_size, "S", "augmentation: its displacement, share of the crop"},        \
      {"--flip", CLI_FLOAT, &(o)->flip, "P", "augmentation: probability of mirroring"},                             \
      {"--brightness", CLI_FLOAT, &(o)->brightness, "S", "augmentation: factor 1+-S"},                              \
      {"--contrast", CLI_FLOAT, &(o)->contrast, "S", "augmentation: factor 1+-S"},                                  \
      {"--gamma", CLI_FLOAT, &(o)->gamma, "S", "augmentation: exponent 1+S either way"},                            \
      {"--hue", CLI_FLOAT, &(o)->hue, "D", "augmentation: degrees either way"},                                     \
      {"--saturation", CLI_FLOAT, &(o)->saturation, "S", "augmentation: factor 1+-S"},                              \
      {"--channels", CLI_FLOAT, &(o)->channel_gain, "S", "augmentation: factor 1+S either way of each channel"},    \
      {"--blur", CLI_FLOAT, &(o)->blur, "P", "augmentation: probability of defocus"},                               \
      {"--motion", CLI_FLOAT, &(o)->motion, "P", "augmentation: probability of motion blur"},                       \
      {"--codec", CLI_FLOAT, &(o)->codec, "P", "augmentation: probability of damage as by JPEG"},                   \
      {"--noise", CLI_FLOAT, &(o)->noise, "P", "augmentation: probability of noise"},                               \
      {"--background", CLI_FLOAT, &(o)->background, "P", "augmentation: probability of another background"},        \
      {"--occlude", CLI_FLOAT, &(o)->occlude, "P", "augmentation: probability of each covering patch"},             \
      {"--covered", CLI_FLOAT, &(o)->covered, "S", "augmentation: share of their weight covered landmarks lose"}, { \
    "--margin", CLI_FLOAT, &(o)->margin, "M", "side of the crop over the landmarks' box (default 1.4)"              \
  }

/* The set that trains both puppets and faces well. */
void augment_default(augment_options *o);

/* The crop the network is trained on and asked for: the box of the known landmarks times margin, around its centre. */
roto_rect augment_box(const frame *f, float margin);

/* The geometry of that sample: its first draws. */
void augment_geometry(const frame *f, const augment_options *o, uint64_t seed, uint32_t w, uint32_t h, warp *map, int *flipped);

/* One training sample of a cached frame.  `seed` is rng_seed's.  input [h][w][4]; points [N][2]; weight [N]: 1 valid, 0 not
 * (or hidden_weight). */
void augment_sample(const frame *f, const character *ch, const augment_options *o, uint64_t seed, uint32_t w, uint32_t h,
                    const float mean[3], const float scale[3], float *input, float *points, float *weight);

/* The sample roto_find_landmarks makes of this crop: no jitter.  `to_frame`, if not NULL, receives the map from pixels of
 * the sample to pixels of the frame.  The crop should lie within the cached part (augment_box up to margin 3 does). */
void augment_none(const frame *f, const character *ch, roto_rect crop, uint32_t w, uint32_t h, const float mean[3],
                  const float scale[3], float *input, float *points, float *weight, float to_frame[6]);

#endif
