/* Random numbers that do not depend on who asks first.
 *
 * A stream is a 64-bit counter walked by splitmix64; its start is mixed from what the numbers are for (seed, epoch, sample,
 * operation).  A sample therefore gets the same numbers on any thread, in any order, after any resume. */

#ifndef ROTO_RNG_H
#define ROTO_RNG_H

#include <math.h>
#include <stdint.h>

typedef struct rng {
  uint64_t state;
} rng;

/* The finaliser of splitmix64: every input bit reaches every output bit. */
static inline uint64_t rng_mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/* A start for the stream of one sample of one epoch of one run. */
static inline uint64_t rng_seed(uint64_t seed, uint64_t epoch, uint64_t sample) {
  uint64_t x = rng_mix(seed + 0x9e3779b97f4a7c15u);
  x = rng_mix(x ^ (epoch + 0xd1b54a32d192ed03u));
  return rng_mix(x ^ (sample + 0x8cb92ba72f3d8dd7u));
}

static const uint64_t rng_step = 0x9e3779b97f4a7c15u;

static inline uint64_t rng_next(rng *r) {
  return rng_mix(r->state += rng_step);
}

/* The stream that starts at `start`, after `count` numbers. */
static inline rng rng_after(uint64_t start, uint64_t count) {
  rng r = {start + count * rng_step};
  return r;
}

/* [0, 1) in steps of 2^-24: exact in a float. */
static inline float rng_uniform(rng *r) {
  return (float)(rng_next(r) >> 40) * 0x1p-24f;
}
static inline float rng_range(rng *r, float low, float high) {
  return low + (high - low) * rng_uniform(r);
}
static inline int rng_chance(rng *r, float probability) {
  return rng_uniform(r) < probability;
}

/* [0, n), n > 0; the bias of at most n / 2^32 is of no consequence for picking samples. */
static inline uint32_t rng_below(rng *r, uint32_t n) {
  return (uint32_t)((rng_next(r) >> 32) * n >> 32);
}

/* Standard normal by Box and Muller. */
static inline float rng_normal(rng *r) {
  double u = (double)((rng_next(r) >> 11) + 1) * 0x1p-53, v = (double)(rng_next(r) >> 11) * 0x1p-53;
  return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

#endif
