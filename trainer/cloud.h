/* Mattes with the outline of a cloud: what is kept of a face when its background is replaced, and what covers it.
 *
 * The paper's matte (supplement, "augmentation"): the convex hull of the landmarks, slightly dilated, and a random cloud around
 * it.  Here a field in pixels is below zero inside: the distance from the hull (or ellipse), less the dilation, plus fractal
 * noise; the matte is a soft step of it whose width is drawn too, so that no network can learn the seam of a paste. */

#ifndef ROTO_CLOUD_H
#define ROTO_CLOUD_H

#include <stddef.h>
#include <stdint.h>
#include "rng.h"

/* The matte of a hull: points [count][2] in units of the matte (0..1), those without `weight` left out.  matte [h][w]: 1 inside. */
void cloud_around(const float *points, const float *weight, size_t count, uint32_t w, uint32_t h, rng *r, float *matte);

/* The matte of a single cloud with this centre and these half axes, turned at random. */
void cloud_alone(float x, float y, float half_width, float half_height, uint32_t w, uint32_t h, rng *r, float *matte);

#endif
