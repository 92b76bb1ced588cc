/* Smooth noise in space, for paint that sticks to a surface: random numbers at the corners of a lattice, interpolated. */

#ifndef ROTO_NOISE_H
#define ROTO_NOISE_H

#include <math.h>
#include <stdint.h>

static inline uint32_t noise_hash(uint32_t x) {
  x ^= x >> 16, x *= 0x7feb352du;
  x ^= x >> 15, x *= 0x846ca68bu;
  return x ^ x >> 16;
}

static inline float noise_unit(uint32_t x) { /* [0, 1) */
  return (float)(noise_hash(x) >> 8) * (1.0f / 16777216.0f);
}

static inline float noise_lattice(int x, int y, int z) { /* [0, 1) */
  return noise_unit((uint32_t)x * 0x9e3779b1u ^ (uint32_t)y * 0x85ebca77u ^ (uint32_t)z * 0xc2b2ae3du);
}

static inline float noise_between(float a, float b, float t) {
  return a + (b - a) * t;
}

/* -1 to 1, features about 1 wide. */
static inline float noise_xyz(float x, float y, float z) {
  float fx = floorf(x), fy = floorf(y), fz = floorf(z), plane[2];
  int ix = (int)fx, iy = (int)fy, iz = (int)fz;
  float u = x - fx, v = y - fy, w = z - fz;
  u = u * u * (3 - 2 * u), v = v * v * (3 - 2 * v), w = w * w * (3 - 2 * w);
  for (int k = 0; k < 2; k++) {
    plane[k] = noise_between(noise_between(noise_lattice(ix, iy, iz + k), noise_lattice(ix + 1, iy, iz + k), u),
                             noise_between(noise_lattice(ix, iy + 1, iz + k), noise_lattice(ix + 1, iy + 1, iz + k), u), v);
  }
  return 2 * noise_between(plane[0], plane[1], w) - 1;
}

/* Features about 1/scale wide. */
static inline float noise_at(const float *p, float scale) {
  return noise_xyz(p[0] * scale, p[1] * scale, p[2] * scale);
}

static inline float noise_fractal(const float *p, float scale, int octaves) {
  float sum = 0, weight = 0.5f;
  for (int i = 0; i < octaves; i++, scale *= 2.1f, weight *= 0.5f) sum += weight * noise_at(p, scale);
  return sum;
}

/* Turns a unit normal as if the surface had the height `size` * noise; not normalised. */
static inline void noise_bump(float normal[3], const float *p, float scale, float size) {
  float h = noise_at(p, scale);
  for (int i = 0; i < 3; i++) {
    float q[3] = {p[0], p[1], p[2]};
    q[i] += 0.35f / scale;
    normal[i] -= size * (noise_at(q, scale) - h);
  }
}

#endif
