/* Training kernels, written once for any vector width and included by compute.c for every instruction set.  What the runtime
 * already has (gemm, depthwise, pool, activations) is used from there; here is what only training needs.
 *
 * The including file defines
 *   K(name)          name with the instruction set appended
 *   K_TARGET         the function attribute that allows the instructions
 *   K_LANES, K_ROWS  floats a vector; rows of the outer product's accumulator tile, K_ROWS x 2 vectors
 *   V_READ(p, i, half), V_WRITE(p, i, v, half)  element i of p, an array of floats or, if half, of bfloat16
 *   V_ROUNDS, V_PUT_ROUNDED(out, p, c, z, rows)  whether `half` may be and a pass may put bfloat16; putting them
 *   V_STREAM(p, i, v, half), V_STREAMED()  the same past the caches, and an end of that before others may read
 *   V, V_LOAD(p) V_STORE(p, v) V_ALL(s) V_ADD V_SUB V_MUL V_MAX V_FMA(a, b, c) = a * b + c
 *   V_ABOVE(a, b, v) V_EQUAL(a, b, v): v in lanes where a > b, a == b, else 0
 *   V_SQRT V_DIV V_ACT(x, act, coarse), coarse where bfloat16 are read or the result, V_EXPONENT(r) = 2^n for r = n + 1.5 * 2^23
 * and this file undefines them.  Functions on `channels` or `count` want a multiple of K_LANES; pixels lie `cs` floats apart.
 * Nothing here is masked, so the driver gives leftovers (and pictures with cs = 4) to the plain C kernels. */

#define K_INLINE rotoi_inline K_TARGET
#define K_PREFETCH(p, i, half) __builtin_prefetch((const char *)(p) + (i) * ((half) ? 2 : 4))

/* exp for the softmax, where arguments are <= 0: 2^n * exp(r), n = round(x / ln 2), by the series of exp up to r^7 / 7!,
 * whose rest is below 6e-9 for |r| <= ln 2 / 2.  Adding 1.5 * 2^23 leaves n in the low bits. */
K_INLINE V K(v_exp)(V x) {
  x = V_MAX(V_ALL(-87.0f), x);
  V rounded = V_FMA(x, V_ALL(1.44269504f), V_ALL(12582912.0f));
  V n = V_SUB(rounded, V_ALL(12582912.0f));
  V r = V_FMA(n, V_ALL(-0.693359375f), x); /* ln 2 = 0.693359375 - 2.12194440e-4; the first is exact times n */
  r = V_FMA(n, V_ALL(2.12194440e-4f), r);
  V p = V_FMA(V_ALL(1.0f / 5040), r, V_ALL(1.0f / 720));
  p = V_FMA(p, r, V_ALL(1.0f / 120));
  p = V_FMA(p, r, V_ALL(1.0f / 24));
  p = V_FMA(p, r, V_ALL(1.0f / 6));
  p = V_FMA(p, r, V_ALL(0.5f));
  p = V_FMA(p, r, V_ALL(1));
  p = V_FMA(p, r, V_ALL(1));
  return V_MUL(p, V_EXPONENT(rounded));
}

/* act'(x); flat at kinks as compute_reference.c says. */
K_INLINE V K(v_slope)(V x, const int act, const int coarse) {
  V one = V_ALL(1), s;
  switch (act) {
    case ROTO_ACT_RELU:
      return V_ABOVE(x, V_ALL(0), one);
    case ROTO_ACT_RELU6:
      return V_ABOVE(x, V_ALL(0), V_ABOVE(V_ALL(6), x, one));
    case ROTO_ACT_SIGMOID:
      s = V_ACT(x, ROTO_ACT_SIGMOID, coarse);
      return V_MUL(s, V_SUB(one, s));
    case ROTO_ACT_SWISH:
      s = V_ACT(x, ROTO_ACT_SIGMOID, coarse);
      return V_MUL(s, V_FMA(x, V_SUB(one, s), one));
    case ROTO_ACT_HARD_SIGMOID:
      return V_ABOVE(x, V_ALL(-3), V_ABOVE(V_ALL(3), x, V_ALL(1.0f / 6)));
    case ROTO_ACT_HARD_SWISH:
      s = V_ADD(one, V_ABOVE(V_ALL(3), x, V_FMA(x, V_ALL(1.0f / 3), V_ALL(-0.5f))));
      return V_ABOVE(x, V_ALL(-3), s);
    default:
      return one;
  }
}

/* A loop body compiled for each activation, so that the choice is made once a call. */
#define K_EACH_ACT(act, CALL)      \
  switch (act) {                   \
    case ROTO_ACT_RELU:            \
      CALL(ROTO_ACT_RELU);         \
      break;                       \
    case ROTO_ACT_RELU6:           \
      CALL(ROTO_ACT_RELU6);        \
      break;                       \
    case ROTO_ACT_SIGMOID:         \
      CALL(ROTO_ACT_SIGMOID);      \
      break;                       \
    case ROTO_ACT_SWISH:           \
      CALL(ROTO_ACT_SWISH);        \
      break;                       \
    case ROTO_ACT_HARD_SIGMOID:    \
      CALL(ROTO_ACT_HARD_SIGMOID); \
      break;                       \
    case ROTO_ACT_HARD_SWISH:      \
      CALL(ROTO_ACT_HARD_SWISH);   \
      break;                       \
    default:                       \
      CALL(ROTO_ACT_NONE);         \
  }

/* Outer product, the gradient of a convolution's weights:
 *   c[i][j] (+)= sum over rows r, columns p of a[r][p * a_stride + i] * b[r][p * b_stride + j],  i < m, j < 2 or 1 vectors
 *
 *   acc[m][nv] = 0;  for r: for p: b0, b1 = load b; for i: acc[i] += broadcast(a[i]) * b0, b1;  c = acc
 *
 * Neither side is packed: both a and b are already contiguous along their channels.  Registers with AVX-512: 14 x 2
 * accumulators, 2 for b, 1 for a = 31 of 32; with AVX2: 6 x 2 + 3 = 15 of 16. */
K_INLINE void K(outer_tile)(const outer_product *o, const size_t m, const size_t nv) {
  V acc[K_ROWS][2];
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) {
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; v++) acc[i][v] = V_ALL(0);
  }
  const size_t a_stride = o->a_stride, b_stride = o->b_stride;
  for (size_t r = 0; r < o->rows; r++) {
    const float *a = o->a[r] + o->a_offset, *b = o->b[r] + o->b_offset;
    for (size_t p = o->columns; p != 0; p--, a += a_stride, b += b_stride) {
      V b0 = V_LOAD(b), b1 = nv > 1 ? V_LOAD(b + K_LANES) : b0;
      ROTOI_UNROLL
      for (size_t i = 0; i < m; i++) {
        V x = V_ALL(a[i]);
        acc[i][0] = V_FMA(x, b0, acc[i][0]);
        if (nv > 1) acc[i][1] = V_FMA(x, b1, acc[i][1]);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) {
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; v++) {
      float *c = o->c + i * o->c_stride + v * K_LANES;
      V_STORE(c, o->add ? V_ADD(V_LOAD(c), acc[i][v]) : acc[i][v]);
    }
  }
}

#define K_OUTER_CASE(m)                                                \
  case m:                                                              \
    o->vectors == 1 ? K(outer_tile)(o, m, 1) : K(outer_tile)(o, m, 2); \
    break;
static K_TARGET void K(outer)(const outer_product *o) {
  switch (o->m) {
    K_OUTER_CASE(1)
    K_OUTER_CASE(2)
    K_OUTER_CASE(3)
    K_OUTER_CASE(4)
    K_OUTER_CASE(5)
    K_OUTER_CASE(6)
#if K_ROWS > 6
    K_OUTER_CASE(7)
    K_OUTER_CASE(8)
    K_OUTER_CASE(9)
    K_OUTER_CASE(10)
    K_OUTER_CASE(11)
    K_OUTER_CASE(12)
    K_OUTER_CASE(13)
    K_OUTER_CASE(14)
#endif
  }
}
#undef K_OUTER_CASE

/* row[p * out_stride] (+)= sum over taps t of in[t][offset + p * in_step] * w[t * 16], all in blocks of 16 channels: a row of a
 * depthwise layer or of its input gradient.  One load an FMA, which the ports of current cores just balance. */
K_INLINE void K(depthwise_tile)(const depthwise_row *r, size_t p, size_t half, const size_t m, const size_t step) {
  V acc[8];
  const size_t out_stride = r->out_stride;
  float *out = r->out + p * out_stride + half;
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) acc[i] = r->add ? V_LOAD(out + i * out_stride) : V_ALL(0);
  for (size_t t = 0; t < r->taps; t++) {
    const float *x = r->in[t] + r->offset + p * step + half;
    V wt = V_LOAD(r->w + t * 16 + half);
    ROTOI_UNROLL
    for (size_t i = 0; i < m; i++) acc[i] = V_FMA(wt, V_LOAD(x + i * step), acc[i]);
  }
  ROTOI_UNROLL
  for (size_t i = 0; i < m; i++) V_STORE(out + i * out_stride, acc[i]);
}

/* As few tiles as there can be, nearly equal: a tile of m pixels has m sums in flight, and below four of them it waits for its own
 * additions.  8, 4, 1 and 1 pixels for a row of 14 took 500 cycles where 7 and 7 take 350. */
#define K_DEPTHWISE_CASE(m)                 \
  case m:                                   \
    K(depthwise_tile)(r, p, half, m, step); \
    break;
K_INLINE void K(depthwise_step)(const depthwise_row *r, const size_t step) {
  const size_t count = r->count, tiles = (count + 7) / 8;
  for (size_t half = 0; half < 16; half += K_LANES) {
    for (size_t tile = 0; tile < tiles; tile++) {
      size_t p = count * tile / tiles;
      switch (count * (tile + 1) / tiles - p) {
        K_DEPTHWISE_CASE(1)
        K_DEPTHWISE_CASE(2)
        K_DEPTHWISE_CASE(3)
        K_DEPTHWISE_CASE(4)
        K_DEPTHWISE_CASE(5)
        K_DEPTHWISE_CASE(6)
        K_DEPTHWISE_CASE(7)
        K_DEPTHWISE_CASE(8)
      }
    }
  }
}
#undef K_DEPTHWISE_CASE

/* With the distance of pixels known to the compiler, a tap's loads share one address. */
static K_TARGET void K(depthwise)(const depthwise_row *given) {
  const depthwise_row copy = *given;
  if (copy.in_step == 16) {
    K(depthwise_step)(&copy, 16);
  } else if (copy.in_step == 32) {
    K(depthwise_step)(&copy, 32);
  } else {
    K(depthwise_step)(&copy, copy.in_step);
  }
}

/* Gradient of kh x kw depthwise weights of 16 channels from `rows` x `columns` output pixels:
 *   out[ky][kx] += sum over y, x of d[y][x] * in[y * stride + ky][x * stride + kx]
 * All taps of a tile stay in registers while the pixels stream past. */
K_INLINE void K(depthwise_weights_tile)(const depthwise_product *d, size_t ky0, size_t kx0, size_t half, const size_t kh,
                                        const size_t kw) {
  V acc[5][5];
  float *out = d->out + (ky0 * d->kw + kx0) * d->out_stride + half;
  ROTOI_UNROLL
  for (size_t ky = 0; ky < kh; ky++) {
    ROTOI_UNROLL
    for (size_t kx = 0; kx < kw; kx++) acc[ky][kx] = V_LOAD(out + (ky * d->kw + kx) * d->out_stride);
  }
  const size_t step = d->stride * 16, in_row = d->in_row, cs = d->cs;
  for (size_t y = 0; y < d->rows; y++) {
    const float *in = d->in + (y * d->stride + ky0) * in_row + kx0 * 16 + half, *dy = d->d + y * d->d_row + half;
    for (size_t x = d->columns; x != 0; x--, in += step, dy += cs) {
      V g = V_LOAD(dy);
      __builtin_prefetch(dy + 16); /* the next block's channels, as in padded_block */
      ROTOI_UNROLL
      for (size_t ky = 0; ky < kh; ky++) {
        ROTOI_UNROLL
        for (size_t kx = 0; kx < kw; kx++) acc[ky][kx] = V_FMA(g, V_LOAD(in + ky * in_row + kx * 16), acc[ky][kx]);
      }
    }
  }
  ROTOI_UNROLL
  for (size_t ky = 0; ky < kh; ky++) {
    ROTOI_UNROLL
    for (size_t kx = 0; kx < kw; kx++) V_STORE(out + (ky * d->kw + kx) * d->out_stride, acc[ky][kx]);
  }
}

static K_TARGET void K(depthwise_weights)(const depthwise_product *d) {
  for (size_t half = 0; half < 16; half += K_LANES) {
    if (d->kh == 3 && d->kw == 3) {
      K(depthwise_weights_tile)(d, 0, 0, half, 3, 3);
    } else if (d->kh == 5 && d->kw == 5 && K_ROWS > 6) {
      K(depthwise_weights_tile)(d, 0, 0, half, 5, 5);
    } else if (d->kh == 5 && d->kw == 5) {
      K(depthwise_weights_tile)(d, 0, 0, half, 2, 5);
      K(depthwise_weights_tile)(d, 2, 0, half, 2, 5);
      K(depthwise_weights_tile)(d, 4, 0, half, 1, 5);
    } else {
      for (size_t ky = 0; ky < d->kh; ky++) {
        for (size_t kx = 0; kx < d->kw; kx++) K(depthwise_weights_tile)(d, ky, kx, half, 1, 1);
      }
    }
  }
}

/* sum[c] = sum over pixels of x[p][c] - shift[c], squares[c] the same of its square; squares may be NULL.  Columns of 4
 * vectors keep 8 sums in flight; runs of 256 pixels are added up apart, so that rounding grows with hundreds, not thousands,
 * of terms. */
K_INLINE void K(sums_tile)(const float *x, size_t pixels, size_t cs, const float *shift, float *sum, float *squares,
                           const size_t nv) {
  V s[4], q[4], k[4];
  ROTOI_UNROLL
  for (size_t v = 0; v < nv; v++) {
    k[v] = shift ? V_LOAD(shift + v * K_LANES) : V_ALL(0);
    V_STORE(sum + v * K_LANES, V_ALL(0));
    if (squares) V_STORE(squares + v * K_LANES, V_ALL(0));
  }
  for (size_t run = 0; run < pixels; run += 256) {
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; v++) s[v] = q[v] = V_ALL(0);
    for (size_t p = run; p < pixels && p < run + 256; p++, x += cs) {
      ROTOI_UNROLL
      for (size_t v = 0; v < nv; v++) {
        V d = V_SUB(V_LOAD(x + v * K_LANES), k[v]);
        s[v] = V_ADD(s[v], d);
        q[v] = V_FMA(d, d, q[v]);
      }
    }
    ROTOI_UNROLL
    for (size_t v = 0; v < nv; v++) {
      V_STORE(sum + v * K_LANES, V_ADD(V_LOAD(sum + v * K_LANES), s[v]));
      if (squares) V_STORE(squares + v * K_LANES, V_ADD(V_LOAD(squares + v * K_LANES), q[v]));
    }
  }
}

static K_TARGET void K(sums)(const float *x, size_t pixels, size_t cs, const float *shift, float *sum, float *squares) {
  size_t c = 0;
  for (; c + 4 * K_LANES <= cs; c += 4 * K_LANES) {
    K(sums_tile)(x + c, pixels, cs, shift ? shift + c : NULL, sum + c, squares ? squares + c : NULL, 4);
  }
  for (; c < cs; c += K_LANES) {
    K(sums_tile)(x + c, pixels, cs, shift ? shift + c : NULL, sum + c, squares ? squares + c : NULL, 1);
  }
}

/* The passes below copy what they are given: a store through a vector type may change anything that has an address outside,
 * and the compiler would read every pointer and stride again after each.  What they have to do is known to the compiler: a test at
 * each vector costs more than the vector's arithmetic leaves free.  What comes from memory is asked for ahead (pass_ahead): left to
 * the processor, a pass over 16-bit values out of the caches takes 20 cycles a vector, 25 with swish, instead of 5 and 11, in floats
 * 20 and 34 instead of 13 and 23. */

/* `rows` vectors of a block go to where a pass puts them, see pass_out. */
K_INLINE void K(put)(const pass_out *o, size_t p, size_t c, const V *z, const size_t rows, const int rounded) {
  if (rounded) {
    V_PUT_ROUNDED(o, p, c, z, rows);
    return;
  }
  float *y = o->y + p * o->pixel_stride + c / 16 * o->block_stride + c % 16;
  ROTOI_UNROLL
  for (size_t i = 0; i < rows; i++)
    V_STORE(y + i * o->pixel_stride, o->add ? V_ADD(z[i], V_LOAD(y + i * o->pixel_stride)) : z[i]);
}

/* y = act((x - mean) * scale + beta) * factor: a view, four pixels at once, so that the rows of the norm are loaded once for all
 * of them (one pixel at a time takes 12.5 cycles a vector with swish, most of them the activation's). */
K_INLINE void K(read_rows)(const read_pass *r, size_t p, size_t ahead, const size_t rows, const int half, const int rounded,
                           const int normed, const int factored, const int act) {
  const size_t x = r->first + p * r->x_stride, step = r->x_stride;
  for (size_t c = 0; c < r->channels; c += K_LANES) {
    V mean = V_ALL(0), scale = mean, beta = mean, factor = mean, z[4];
    if (normed) mean = V_LOAD(r->mean + c), scale = V_LOAD(r->scale + c), beta = V_LOAD(r->beta + c);
    if (factored) factor = V_LOAD(r->factor + c);
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) {
      const size_t at = x + i * step + c;
      K_PREFETCH(r->x, at + ahead, half);
      z[i] = V_READ(r->x, at, half);
      if (normed) z[i] = V_ACT(V_FMA(V_SUB(z[i], mean), scale, beta), act, half || rounded);
      if (factored) z[i] = V_MUL(z[i], factor);
    }
    K(put)(&r->out, p, c, z, rows, rounded);
  }
}

K_INLINE void K(read_all)(const read_pass *given, const int half, const int rounded, const int normed, const int factored,
                          const int act) {
  const read_pass copy = *given, *r = &copy;
  const size_t ahead = pass_ahead(r->channels, r->x_stride, half);
  size_t p = 0;
  for (; p + 4 <= r->pixels; p += 4) K(read_rows)(r, p, ahead, 4, half, rounded, normed, factored, act);
  for (; p + 2 <= r->pixels; p += 2) K(read_rows)(r, p, ahead, 2, half, rounded, normed, factored, act);
  for (; p < r->pixels; p++) K(read_rows)(r, p, ahead, 1, half, rounded, normed, factored, act);
}

K_INLINE void K(read_half)(const read_pass *r, int act, const int half, const int rounded) {
  if (!r->mean) {
    r->factor ? K(read_all)(r, half, rounded, 0, 1, ROTO_ACT_NONE) : K(read_all)(r, half, rounded, 0, 0, ROTO_ACT_NONE);
    return;
  }
#define K_CALL(a) r->factor ? K(read_all)(r, half, rounded, 1, 1, a) : K(read_all)(r, half, rounded, 1, 0, a)
  K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

static K_TARGET void K(read)(const read_pass *r, int act) {
  if (V_ROUNDS && !r->out.y) {
    r->half ? K(read_half)(r, act, 1, V_ROUNDS) : K(read_half)(r, act, 0, V_ROUNDS);
  } else {
    r->half ? K(read_half)(r, act, V_ROUNDS, 0) : K(read_half)(r, act, 0, 0);
  }
}

/* dz * scale - (offset + (x - mean) * slope), the gradient before a batch norm; without rows dz. */
K_INLINE void K(read_slope_rows)(const read_slope_pass *r, size_t p, size_t ahead, const size_t rows, const int half,
                                 const int rounded, const int normed) {
  const size_t x = r->first + p * r->x_stride, step = r->x_stride;
  for (size_t c = 0; c < r->channels; c += K_LANES) {
    V mean = V_ALL(0), scale = mean, offset = mean, slope = mean, d[4];
    if (normed) {
      mean = V_LOAD(r->mean + c), scale = V_LOAD(r->scale + c);
      offset = V_LOAD(r->offset + c), slope = V_LOAD(r->slope + c);
    }
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) {
      const size_t at = x + i * step + c;
      K_PREFETCH(r->dz, at + ahead, half);
      d[i] = V_READ(r->dz, at, half);
      if (normed) {
        K_PREFETCH(r->x, at + ahead, half);
        d[i] = V_SUB(V_MUL(d[i], scale), V_FMA(V_SUB(V_READ(r->x, at, half), mean), slope, offset));
      }
    }
    K(put)(&r->out, p, c, d, rows, rounded);
  }
}

K_INLINE void K(read_slope_all)(const read_slope_pass *given, const int half, const int rounded, const int normed) {
  const read_slope_pass copy = *given, *r = &copy;
  const size_t ahead = pass_ahead(r->channels, r->x_stride, half);
  size_t p = 0;
  for (; p + 4 <= r->pixels; p += 4) K(read_slope_rows)(r, p, ahead, 4, half, rounded, normed);
  for (; p + 2 <= r->pixels; p += 2) K(read_slope_rows)(r, p, ahead, 2, half, rounded, normed);
  for (; p < r->pixels; p++) K(read_slope_rows)(r, p, ahead, 1, half, rounded, normed);
}

K_INLINE void K(read_slope_half)(const read_slope_pass *r, const int half, const int rounded) {
  r->mean ? K(read_slope_all)(r, half, rounded, 1) : K(read_slope_all)(r, half, rounded, 0);
}

static K_TARGET void K(read_slope)(const read_slope_pass *r) {
  if (V_ROUNDS && !r->out.y) {
    r->half ? K(read_slope_half)(r, 1, V_ROUNDS) : K(read_slope_half)(r, 0, V_ROUNDS);
  } else {
    r->half ? K(read_slope_half)(r, V_ROUNDS, 0) : K(read_slope_half)(r, 0, 0);
  }
}

/* `rows` pixels at once, so that the sums, which lie in L1, are touched once for all of them. */
K_INLINE void K(slope_rows)(const slope_pass *s, size_t p, size_t ahead, const size_t rows, const int half, const int in_half,
                            const int factored, const int act) {
  for (size_t c = 0; c < s->channels; c += K_LANES) {
    V mean = V_LOAD(s->mean + c), scale = V_LOAD(s->scale + c), beta = V_LOAD(s->beta + c);
    V sum = V_LOAD(s->sum + c), product = V_LOAD(s->product + c), factor = mean, addition = mean;
    if (factored) factor = V_LOAD(s->factor + c), addition = V_LOAD(s->addition + c);
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) {
      const size_t at = s->first + (p + i) * s->x_stride + c, in = s->in_first + (p + i) * s->in_stride + c;
      K_PREFETCH(s->x, at + ahead, half);
      if (factored) K_PREFETCH(s->in, in + ahead, in_half);
      V d = V_SUB(V_READ(s->x, at, half), mean);
      V dz = V_READ(s->in, in, in_half);
      if (factored) dz = V_FMA(dz, factor, addition);
      if (act != ROTO_ACT_NONE) dz = V_MUL(dz, K(v_slope)(V_FMA(d, scale, beta), act, half));
      if (s->stream) V_STREAM(s->out, at, dz, half);
      if (!s->stream) V_WRITE(s->out, at, dz, half);
      sum = V_ADD(sum, dz);
      product = V_FMA(dz, d, product);
    }
    V_STORE(s->sum + c, sum);
    V_STORE(s->product + c, product);
  }
}

/* out = dz = (in * factor + addition) * act'(z); sum[c] += dz, product[c] += dz * (x - mean). */
K_INLINE void K(slope_all)(const slope_pass *given, const int half, const int in_half, const int factored, const int act) {
  const slope_pass copy = *given, *s = &copy;
  const size_t ahead = pass_ahead(s->channels, s->x_stride, half);
  size_t p = 0;
  for (; p + 4 <= s->pixels; p += 4) K(slope_rows)(s, p, ahead, 4, half, in_half, factored, act);
  for (; p < s->pixels; p++) K(slope_rows)(s, p, ahead, 1, half, in_half, factored, act);
  if (s->stream) V_STREAMED();
}

K_INLINE void K(slope_half)(const slope_pass *s, const int half, const int act) {
  if (s->factor) {
    K(slope_all)(s, half, half, 1, act);
  } else {
    half && s->in_half ? K(slope_all)(s, half, half, 0, act) : K(slope_all)(s, half, 0, 0, act);
  }
}

static K_TARGET void K(slope)(const slope_pass *s, int act){
#define K_CALL(a) s->half ? K(slope_half)(s, V_ROUNDS, a) : K(slope_half)(s, 0, a)
    K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

K_INLINE void K(store_rows)(const store_pass *s, size_t p, const size_t rows) {
  for (size_t c = 0; c < s->channels; c += K_LANES) {
    V sum = V_ALL(0), squares = sum, shift = sum;
    if (s->sum) sum = V_LOAD(s->sum + c), squares = V_LOAD(s->squares + c), shift = V_LOAD(s->shift + c);
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) {
      V x = V_LOAD(s->in + (p + i) * s->in_stride + c), d = V_SUB(x, shift);
      if (s->out && s->stream) V_STREAM(s->out, s->first + (p + i) * s->out_stride + c, x, s->half);
      if (s->out && !s->stream) V_WRITE(s->out, s->first + (p + i) * s->out_stride + c, x, s->half);
      sum = V_ADD(sum, d);
      squares = V_FMA(d, d, squares);
    }
    if (s->sum) V_STORE(s->sum + c, sum), V_STORE(s->squares + c, squares);
  }
}

/* A block of results goes out to memory; sum[c] += x - shift, squares[c] += its square. */
static K_TARGET void K(store)(const store_pass *given) {
  const store_pass copy = *given, *s = &copy;
  size_t p = 0;
  for (; p + 4 <= s->pixels; p += 4) K(store_rows)(s, p, 4);
  for (; p < s->pixels; p++) K(store_rows)(s, p, 1);
  if (s->stream) V_STREAMED();
}

/* sum[c] += the view of all pixels, which has no factor: what squeeze-excite averages. */
K_INLINE void K(view_sum_rows)(const read_pass *r, size_t p, size_t ahead, const size_t rows, float *sum, const int half,
                               const int act) {
  const size_t x = r->first + p * r->x_stride, step = r->x_stride;
  for (size_t c = 0; c < r->channels; c += K_LANES) {
    V mean = V_LOAD(r->mean + c), scale = V_LOAD(r->scale + c), beta = V_LOAD(r->beta + c), total = V_LOAD(sum + c);
    ROTOI_UNROLL
    for (size_t i = 0; i < rows; i++) {
      const size_t at = x + i * step + c;
      K_PREFETCH(r->x, at + ahead, half);
      total = V_ADD(total, V_ACT(V_FMA(V_SUB(V_READ(r->x, at, half), mean), scale, beta), act, half));
    }
    V_STORE(sum + c, total);
  }
}

K_INLINE void K(view_sum_all)(const read_pass *given, float *sum, const int half, const int act) {
  const read_pass copy = *given, *r = &copy;
  const size_t ahead = pass_ahead(r->channels, r->x_stride, half);
  size_t p = 0;
  for (; p + 4 <= r->pixels; p += 4) K(view_sum_rows)(r, p, ahead, 4, sum, half, act);
  for (; p < r->pixels; p++) K(view_sum_rows)(r, p, ahead, 1, sum, half, act);
}

static K_TARGET void K(view_sum)(const read_pass *r, int act, float *sum) {
#define K_CALL(a) r->half ? K(view_sum_all)(r, sum, V_ROUNDS, a) : K(view_sum_all)(r, sum, 0, a)
  K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

/* sum[c] += dy[p][c] * x[p][c]; then x[p][c] *= factor[c]. */
static K_TARGET void K(factor)(const float *dy, float *x, const float *factor, size_t pixels, size_t cs, float *sum) {
  for (size_t p = 0; p < pixels; p++, dy += cs, x += cs) {
    for (size_t c = 0; c < cs; c += K_LANES) {
      V v = V_LOAD(x + c);
      V_STORE(sum + c, V_FMA(V_LOAD(dy + c), v, V_LOAD(sum + c)));
      V_STORE(x + c, V_MUL(v, V_LOAD(factor + c)));
    }
  }
}

/* dx += dy * act'(x) */
K_INLINE void K(act_slope_act)(const float *x, const float *dy, size_t count, float *dx, const int act) {
  for (size_t i = 0; i < count; i += K_LANES) {
    V_STORE(dx + i, V_FMA(V_LOAD(dy + i), K(v_slope)(V_LOAD(x + i), act, 0), V_LOAD(dx + i)));
  }
}

static K_TARGET void K(act_slope)(const float *x, const float *dy, size_t count, int act, float *dx){
#define K_CALL(a) K(act_slope_act)(x, dy, count, dx, a)
    K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

/* y = act(a + b * keep) */
K_INLINE void K(add_act)(const float *a, const float *b, float keep, size_t count, float *y, const int act) {
  V k = V_ALL(keep);
  for (size_t i = 0; i < count; i += K_LANES) {
    V z = V_FMA(V_LOAD(b + i), k, V_LOAD(a + i));
    V_STORE(y + i, V_ACT(z, act, 0));
  }
}

static K_TARGET void K(add)(const float *a, const float *b, float keep, size_t count, int act, float *y){
#define K_CALL(t) K(add_act)(a, b, keep, count, y, t)
    K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

/* dz = dy * act'(a + b * keep); da += dz, db += dz * keep; da or db may be NULL. */
K_INLINE void K(add_slope_act)(const float *a, const float *b, float keep, const float *dy, size_t count, float *da, float *db,
                               const int act) {
  V k = V_ALL(keep);
  for (size_t i = 0; i < count; i += K_LANES) {
    V dz = V_LOAD(dy + i);
    if (act != ROTO_ACT_NONE) dz = V_MUL(dz, K(v_slope)(V_FMA(V_LOAD(b + i), k, V_LOAD(a + i)), act, 0));
    if (da) V_STORE(da + i, V_ADD(V_LOAD(da + i), dz));
    if (db) V_STORE(db + i, V_FMA(dz, k, V_LOAD(db + i)));
  }
}

static K_TARGET void K(add_slope)(const float *a, const float *b, float keep, const float *dy, size_t count, int act, float *da,
                                  float *db) {
#define K_CALL(t) K(add_slope_act)(a, b, keep, dy, count, da, db, t)
  K_EACH_ACT(act, K_CALL)
#undef K_CALL
}

/* dx[p][c] += dy[p][c] * s[c]; sum[c] = sum over pixels of dy * x.  With x NULL only the first, and dy is one row for all
 * pixels (the mean's gradient). */
static K_TARGET void K(scale_slope)(const float *x, const float *s, const float *dy, size_t pixels, size_t cs, float *dx,
                                    float *sum) {
  for (size_t c = 0; c < cs; c += K_LANES) {
    V k = V_LOAD(s + c), total = V_ALL(0);
    for (size_t p = 0; p < pixels; p++) {
      V d = V_LOAD(dy + p * cs + c);
      V_STORE(dx + p * cs + c, V_FMA(d, k, V_LOAD(dx + p * cs + c)));
      total = V_FMA(d, V_LOAD(x + p * cs + c), total);
    }
    V_STORE(sum + c, total);
  }
}

/* out[p][c] += row[c] * factor */
static K_TARGET void K(add_row)(const float *row, float factor, size_t pixels, size_t cs, float *out) {
  V k = V_ALL(factor);
  for (size_t p = 0; p < pixels; p++, out += cs) {
    for (size_t c = 0; c < cs; c += K_LANES) V_STORE(out + c, V_FMA(V_LOAD(row + c), k, V_LOAD(out + c)));
  }
}

/* Gradient of one pooling window: its pixels inside the picture are in[t], their gradients out[t]. */
static K_TARGET void K(pool_slope)(const float *const *in, float *const *out, size_t taps, size_t cs, int max,
                                   const float *dy) {
  V share = V_ALL(1.0f / (float)taps);
  for (size_t c = 0; c < cs; c += K_LANES) {
    V d = V_LOAD(dy + c);
    if (max) {
      V largest = V_LOAD(in[0] + c);
      for (size_t t = 1; t < taps; t++) largest = V_MAX(largest, V_LOAD(in[t] + c));
      for (size_t t = 0; t < taps; t++) {
        V g = V_EQUAL(V_LOAD(in[t] + c), largest, d);
        V_STORE(out[t] + c, V_ADD(V_LOAD(out[t] + c), g));
        d = V_SUB(d, g);
      }
    } else {
      d = V_MUL(d, share);
      for (size_t t = 0; t < taps; t++) V_STORE(out[t] + c, V_ADD(V_LOAD(out[t] + c), d));
    }
  }
}

/* out[p] += the sum of the 2 x 2 pixels that came from it; dy is two rows of 2 * w pixels. */
static K_TARGET void K(upsample_slope)(const float *dy, size_t w, size_t cs, float *out) {
  const float *below = dy + 2 * w * cs;
  for (size_t x = 0; x < w; x++, out += cs, dy += 2 * cs, below += 2 * cs) {
    for (size_t c = 0; c < cs; c += K_LANES) {
      V top = V_ADD(V_LOAD(dy + c), V_LOAD(dy + cs + c)), bottom = V_ADD(V_LOAD(below + c), V_LOAD(below + cs + c));
      V_STORE(out + c, V_ADD(V_LOAD(out + c), V_ADD(top, bottom)));
    }
  }
}

/* Adam, see optimizer.h. */
static K_TARGET void K(adam)(const adam_pass *given) {
  const adam_pass a = *given;
  const V keep1 = V_ALL(a.beta1), keep2 = V_ALL(a.beta2), new1 = V_ALL(1 - a.beta1), new2 = V_ALL(1 - a.beta2);
  const V decay = V_ALL(a.keep), rate = V_ALL(-a.rate * a.correct1), correct2 = V_ALL(a.correct2), epsilon = V_ALL(a.epsilon);
  const V follow = V_ALL(1 - a.average);
  for (size_t i = 0; i < a.count; i += K_LANES) {
    V value = V_LOAD(a.value + i);
    if (a.gradient) {
      V g = V_LOAD(a.gradient + i), m = V_FMA(V_LOAD(a.first + i), keep1, V_MUL(g, new1));
      V v = V_FMA(V_LOAD(a.second + i), keep2, V_MUL(V_MUL(g, g), new2));
      V step = V_DIV(V_MUL(m, rate), V_ADD(V_SQRT(V_MUL(v, correct2)), epsilon));
      value = V_FMA(value, decay, step);
      V_STORE(a.first + i, m);
      V_STORE(a.second + i, v);
      V_STORE(a.value + i, value);
    }
    if (a.average > 0) {
      V old = V_LOAD(a.averaged + i);
      value = V_FMA(V_SUB(value, old), follow, old);
    }
    V_STORE(a.averaged + i, value);
  }
}

K_INLINE float K(v_total)(V v) {
  float lanes[K_LANES], total = 0;
  V_STORE(lanes, v);
  for (size_t i = 0; i < K_LANES; i++) total += lanes[i];
  return total;
}

/* p = exp(logit - largest), in place; returns their sum. */
static K_TARGET float K(exponentials)(float *p, size_t count) {
  V largest = V_ALL(p[0]), total = V_ALL(0);
  for (size_t i = 0; i < count; i += K_LANES) largest = V_MAX(largest, V_LOAD(p + i));
  float lanes[K_LANES], top = p[0];
  V_STORE(lanes, largest);
  for (size_t i = 0; i < K_LANES; i++) top = lanes[i] > top ? lanes[i] : top;
  largest = V_ALL(top);
  for (size_t i = 0; i < count; i += K_LANES) {
    V e = K(v_exp)(V_SUB(V_LOAD(p + i), largest));
    V_STORE(p + i, e);
    total = V_ADD(total, e);
  }
  return K(v_total)(total);
}

/* p *= factor; moments[0] = sum of p * u, [1] = sum of p * v. */
static K_TARGET void K(plane_means)(float *p, float factor, const float *u, const float *v, size_t count, float moments[2]) {
  V k = V_ALL(factor), mu = V_ALL(0), mv = V_ALL(0);
  for (size_t i = 0; i < count; i += K_LANES) {
    V q = V_MUL(V_LOAD(p + i), k);
    V_STORE(p + i, q);
    mu = V_FMA(q, V_LOAD(u + i), mu);
    mv = V_FMA(q, V_LOAD(v + i), mv);
  }
  moments[0] = K(v_total)(mu);
  moments[1] = K(v_total)(mv);
}

/* sum of p * ((u - x)^2 + (v - y)^2) */
static K_TARGET float K(plane_spread)(const float *p, const float *u, const float *v, float x, float y, size_t count) {
  V total = V_ALL(0), mu = V_ALL(x), mv = V_ALL(y);
  for (size_t i = 0; i < count; i += K_LANES) {
    V du = V_SUB(V_LOAD(u + i), mu), dv = V_SUB(V_LOAD(v + i), mv);
    total = V_FMA(V_LOAD(p + i), V_FMA(du, du, V_MUL(dv, dv)), total);
  }
  return K(v_total)(total);
}

/* u, v become their gradients and logit the logits' (formulas in compute_reference.c). */
static K_TARGET void K(plane_slope)(const point_slope *g, const float *p, float *u, float *v, float *logit, size_t count) {
  V gx = V_ALL(g->gx), gy = V_ALL(g->gy), gq = V_ALL(g->gq), q = V_ALL(g->spread * g->spread), two_gq = V_ALL(2 * g->gq);
  V mu = V_ALL(g->x), mv = V_ALL(g->y), per_w = V_ALL(g->per_w), per_h = V_ALL(g->per_h);
  for (size_t i = 0; i < count; i += K_LANES) {
    V prob = V_LOAD(p + i), du = V_SUB(V_LOAD(u + i), mu), dv = V_SUB(V_LOAD(v + i), mv);
    V r = V_SUB(V_FMA(du, du, V_MUL(dv, dv)), q);
    V_STORE(logit + i, V_MUL(prob, V_FMA(gx, du, V_FMA(gy, dv, V_MUL(gq, r)))));
    V_STORE(u + i, V_MUL(V_MUL(prob, per_w), V_FMA(two_gq, du, gx)));
    V_STORE(v + i, V_MUL(V_MUL(prob, per_h), V_FMA(two_gq, dv, gy)));
  }
}

static const training_kernels K(training_kernels) = {K_ROWS,
                                                     K_LANES,
                                                     K(outer),
                                                     K(depthwise),
                                                     K(depthwise_weights),
                                                     K(sums),
                                                     K(read),
                                                     K(view_sum),
                                                     K(read_slope),
                                                     K(slope),
                                                     K(store),
                                                     K(factor),
                                                     K(act_slope),
                                                     K(add),
                                                     K(add_slope),
                                                     K(scale_slope),
                                                     K(add_row),
                                                     K(pool_slope),
                                                     K(upsample_slope),
                                                     K(adam),
                                                     K(exponentials),
                                                     K(plane_means),
                                                     K(plane_spread),
                                                     K(plane_slope)};

#undef K
#undef K_TARGET
#undef K_LANES
#undef K_ROWS
#undef K_INLINE
#undef K_PREFETCH
#undef K_EACH_ACT
#undef V
#undef V_LOAD
#undef V_STORE
#undef V_READ
#undef V_WRITE
#undef V_STREAM
#undef V_ROUNDS
#undef V_PUT_ROUNDED
#undef V_STREAMED
#undef V_ALL
#undef V_ADD
#undef V_SUB
#undef V_MUL
#undef V_MAX
#undef V_FMA
#undef V_ABOVE
#undef V_EQUAL
#undef V_ACT
#undef V_EXPONENT
#undef V_SQRT
#undef V_DIV
