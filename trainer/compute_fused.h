/* The layers between batch norms as single passes over memory; included by compute.c.
 *
 * A batch norm needs the whole batch before anything behind it can run, and between two of them everything else fits in a
 * block of pixels.  So each convolution here
 *
 *   forward    for blocks: load the view (normalize, activate, scale) -> L2;  convolve -> L2;  add up the statistics, store
 *   backward   for blocks: load the gradient through the batch norm behind -> L2;  load the view -> L2;  gradient of the
 *              input -> L2;  add up the weights' gradient;  through the batch norm before, add up its sums, store
 *
 * and the normalized values, which are two thirds of a network's memory, are never stored.  Of a block between expansion and
 * depthwise layer that leaves 2 passes over memory forward and 4 backward; a pass a layer took 6 and 14.
 *
 * Tasks are cut by shape alone: pointwise layers by pixels, depthwise layers by image and group of channels. */

/* ---- loading blocks ---- */

/* Pixels [first, first + count), channels [c, c + channels) of a view. */
static void load_view(const compute *cp, const value_view *v, size_t cs, size_t first, size_t count, size_t c, size_t channels,
                      const float *factor, const pass_out *out) {
  const norm_layer *norm = v->norm;
  read_pass r = {0, channels, 0, cs, v->x, v->half, NULL, NULL, NULL, NULL, *out};
  if (norm) {
    r.mean = norm->rows + NORM_MEAN * cs + c;
    r.scale = norm->rows + NORM_SCALE * cs + c;
    r.beta = norm->rows + NORM_BETA * cs + c;
  }
  while (count > 0) {
    size_t image = factor ? first / v->image : 0;
    r.pixels = factor ? least(count, (image + 1) * v->image - first) : count;
    r.first = first * cs + c;
    r.factor = factor ? factor + image * cs + c : NULL;
    kernels_for(cp, cs)->read(&r, norm ? norm->act : ROTO_ACT_NONE);
    first += r.pixels;
    count -= r.pixels;
    if (r.out.y) r.out.y += r.pixels * out->pixel_stride;
    if (r.out.rows) r.out.rows += r.pixels * cs / 2;
    ROTO_ASSERT(count == 0 || !r.out.pairs);
  }
}

static void load_slope(const compute *cp, const slope_view *v, size_t cs, size_t first, size_t count, size_t c, size_t channels,
                       const pass_out *out) {
  const float *rows = v->norm ? v->norm->rows + c : NULL;
  read_slope_pass r = {count, channels, first * cs + c, cs, v->dz, v->x, v->half, NULL, NULL, NULL, NULL, *out};
  if (rows) {
    r.mean = rows + NORM_MEAN * cs;
    r.scale = rows + NORM_SCALE * cs;
    r.offset = rows + NORM_OFFSET * cs;
    r.slope = rows + NORM_SLOPE * cs;
  }
  kernels_for(cp, cs)->read_slope(&r);
}

/* Whole pixels of cs floats. */
static pass_out pixels_at(float *y, size_t cs) {
  pass_out out = {y, cs, ROTOI_LANES, 0, NULL, NULL, 0, 0};
  return out;
}

/* ---- what passes leave for the batch norms ---- */

/* Statistics: each chunk of pixels sums the distances from its own first pixel, and their squares, in float; chunks become
 * (mean, sum of squared deviations) in double and are joined there.  No large number is ever subtracted from another.  Sums
 * are [chunk][cs]; chunks are equal shares of the pixels. */
typedef struct norm_sums {
  size_t chunks;
  float *shift, *first, *second;
} norm_sums;

static norm_sums norm_sums_of(compute *cp, size_t chunks, size_t cs) {
  norm_sums s = {chunks, grow(&cp->shared[SCRATCH_SMALL], 3 * chunks * cs), NULL, NULL};
  memset(s.shift, 0, 3 * chunks * cs * sizeof(float));
  s.first = s.shift + chunks * cs;
  s.second = s.first + chunks * cs;
  return s;
}

/* A value this large is mostly out of the caches again when its reader comes.  It is stored past them, from a block in L2: then its
 * lines need not be read first, and what else lies in the caches stays.  Of a step of b0, 224 x 224, batch 16, in fp32 that took
 * 4 % from 16 MiB on and 5.5 % from 4 MiB on; mixed precision, with half the bytes, does not notice. */
enum { STREAMED_BYTES = 4 << 20 };

static int is_streamed(size_t count, int half) {
  return count * (half ? 2 : 4) > STREAMED_BYTES;
}

static void norm_rows(norm_layer *norm, size_t c, size_t cs) {
  float *rows = norm->rows;
  for (size_t i = 0; i < cs; i++) {
    int is_real = i < c;
    if (!is_real) rows[NORM_MEAN * cs + i] = rows[NORM_VARIANCE * cs + i] = 0;
    double deviation = sqrt((double)rows[NORM_VARIANCE * cs + i] + (double)norm->epsilon);
    rows[NORM_SCALE * cs + i] = is_real ? (float)((double)norm->gamma[i] / deviation) : 0;
    rows[NORM_BETA * cs + i] = is_real ? norm->beta[i] : 0;
  }
}

static void join_statistics(norm_layer *norm, size_t pixels, size_t c, const norm_sums *s) {
  size_t cs = rotoi_stride(c);
  for (size_t i = 0; i < c; i++) {
    double total = 0, squares = 0;
    for (size_t pass = 0; pass < 2; pass++) {
      for (size_t chunk = 0; chunk < s->chunks; chunk++) {
        size_t at = chunk * cs + i;
        double count = (double)(pixels * (chunk + 1) / s->chunks - pixels * chunk / s->chunks), sum = (double)s->first[at];
        double chunk_mean = (double)s->shift[at] + sum / count;
        if (pass == 0) {
          total += chunk_mean * count;
          squares += (double)s->second[at] - sum * sum / count;
        } else {
          squares += (chunk_mean - total) * (chunk_mean - total) * count;
        }
      }
      if (pass == 0) total /= (double)pixels;
    }
    norm->rows[NORM_MEAN * cs + i] = (float)total;
    norm->rows[NORM_VARIANCE * cs + i] = (float)(squares > 0 ? squares / (double)pixels : 0);
  }
  norm_rows(norm, c, cs);
}

/* first: sums of dz, second: of dz * (x - mean). */
static void join_slopes(norm_layer *norm, size_t pixels, size_t c, int frozen, const norm_sums *s) {
  size_t cs = rotoi_stride(c);
  float *offset = norm->rows + NORM_OFFSET * cs, *slope = norm->rows + NORM_SLOPE * cs;
  memset(offset, 0, cs * sizeof(float));
  memset(slope, 0, cs * sizeof(float));
  for (size_t i = 0; i < c; i++) {
    double sum = 0, product = 0;
    double inv_std = 1 / sqrt((double)norm->rows[NORM_VARIANCE * cs + i] + (double)norm->epsilon);
    for (size_t chunk = 0; chunk < s->chunks; chunk++) {
      sum += (double)s->first[chunk * cs + i];
      product += (double)s->second[chunk * cs + i];
    }
    norm->dbeta[i] = (float)sum;
    norm->dgamma[i] = (float)(product * inv_std);
    if (frozen) continue; /* offset and slope stay zero */
    double scale = (double)norm->gamma[i] * inv_std / (double)pixels;
    offset[i] = (float)(scale * sum);
    slope[i] = (float)(scale * product * inv_std * inv_std);
  }
}

/* The statistics of a block just made, [pixels][in_stride], and its way to memory if `out`.  `shift` is set by a chunk's first
 * block; block sums are kept apart (in `own`, 2 * channels) so that rounding grows with hundreds of terms, not thousands. */
static void store_block(const training_kernels *k, size_t pixels, size_t channels, const float *in, size_t in_stride,
                        float *out, size_t first, size_t out_stride, int half, int stream, const norm_sums *s, size_t at,
                        int is_first, float *own) {
  if (s && is_first) memcpy(s->shift + at, in, channels * sizeof(float));
  if (s) memset(own, 0, 2 * channels * sizeof(float));
  store_pass pass = {pixels, channels,       in_stride,      first, out_stride, in, s ? s->shift + at : NULL,
                     out,    s ? own : NULL, own + channels, half,  stream};
  k->store(&pass);
  for (size_t i = 0; s && i < channels; i++) {
    s->first[at + i] += own[i];
    s->second[at + i] += own[channels + i];
  }
}

/* dz of a block whose dy is `in`, through the norm before it, to its place in the sink. */
static void sink_block(const training_kernels *k, const value_view *x, const slope_sink *sink, size_t pixels, size_t first,
                       size_t cs, size_t c, size_t channels, const float *in, size_t in_stride, int stream, const norm_sums *s,
                       size_t at, float *own) {
  const float *rows = sink->norm->rows + c;
  memset(own, 0, 2 * channels * sizeof(float));
  slope_pass pass = {pixels,
                     channels,
                     first * cs + c,
                     cs,
                     0,
                     in_stride,
                     in,
                     x->x,
                     sink->dx,
                     0,
                     x->half,
                     rows + NORM_MEAN * cs,
                     rows + NORM_SCALE * cs,
                     rows + NORM_BETA * cs,
                     NULL,
                     NULL,
                     own,
                     own + channels,
                     stream};
  k->slope(&pass, sink->norm->act);
  for (size_t i = 0; i < channels; i++) {
    s->first[at + i] += own[i];
    s->second[at + i] += own[channels + i];
  }
}

/* ---- passes of one layer each ---- */

typedef struct norm_pass {
  compute *cp;
  size_t n, image, cs, parts; /* parts an image */
  const float *x, *factor, *addition;
  int half, add;
  norm_layer *norm;
  norm_sums sums;
  const value_view *view;
  const slope_view *slope;
  float *y;
} norm_pass;

static size_t image_parts(size_t n, size_t image, size_t cs) {
  return most(ceil_div(image, 4096), most(1, least(image * cs / 32768, ceil_div(32, n))));
}

static size_t part_range(const norm_pass *p, size_t task, size_t *count) {
  size_t image = task / p->parts, part = task % p->parts, first = p->image * part / p->parts;
  *count = p->image * (part + 1) / p->parts - first;
  return image * p->image + first;
}

static void statistics_task(void *context, size_t task) {
  const norm_pass *p = (const norm_pass *)context;
  size_t first = p->image * task / p->sums.chunks, end = p->image * (task + 1) / p->sums.chunks, cs = p->cs;
  float *own = own_scratch(p->cp, 2 * cs);
  for (size_t at = first; at < end; at += 256) {
    store_block(kernels_for(p->cp, cs), least(256, end - at), cs, p->x + at * cs, cs, NULL, 0, 0, 0, 0, &p->sums, task * cs,
                at == first, own);
  }
}

void norm_statistics(compute *cp, size_t pixels, size_t c, const real *x, int frozen, norm_layer *norm) {
  size_t cs = rotoi_stride(c);
  if (frozen) {
    norm_rows(norm, c, cs);
    return;
  }
  norm_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.image = pixels, p.cs = cs, p.x = x;
  p.sums = norm_sums_of(cp, image_parts(1, pixels, cs), cs);
  pass_for(cp, p.sums.chunks, statistics_task, &p);
  join_statistics(norm, pixels, c, &p.sums);
}

static void norm_slope_task(void *context, size_t task) {
  const norm_pass *p = (const norm_pass *)context;
  size_t count, first = part_range(p, task, &count), cs = p->cs, row = first / p->image * cs;
  float *own = own_scratch(p->cp, 2 * cs);
  const float *rows = p->norm->rows;
  for (size_t at = 0; at < count; at += 256) {
    memset(own, 0, 2 * cs * sizeof(float));
    slope_pass pass = {least(256, count - at),
                       cs,
                       (first + at) * cs,
                       cs,
                       (first + at) * cs,
                       cs,
                       p->y,
                       p->x,
                       p->y,
                       p->half,
                       p->half,
                       rows + NORM_MEAN * cs,
                       rows + NORM_SCALE * cs,
                       rows + NORM_BETA * cs,
                       p->factor ? p->factor + row : NULL,
                       p->factor ? p->addition + row : NULL,
                       own,
                       own + cs,
                       0};
    kernels_for(p->cp, cs)->slope(&pass, p->norm->act);
    for (size_t i = 0; i < cs; i++) {
      p->sums.first[task * cs + i] += own[i];
      p->sums.second[task * cs + i] += own[cs + i];
    }
  }
}

void norm_slope(compute *cp, size_t n, size_t image, size_t c, const real *x, int half, norm_layer *norm, int frozen,
                const real *factor, const real *addition, real *dy) {
  size_t cs = rotoi_stride(c);
  norm_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.n = n, p.image = image, p.cs = cs, p.parts = image_parts(n, image, cs);
  p.x = x, p.half = half, p.norm = norm, p.factor = factor, p.addition = addition, p.y = dy;
  p.sums = norm_sums_of(cp, n * p.parts, cs);
  pass_for(cp, n * p.parts, norm_slope_task, &p);
  join_slopes(norm, n * image, c, frozen, &p.sums);
}

static void view_copy_task(void *context, size_t task) {
  const norm_pass *p = (const norm_pass *)context;
  size_t count, first = part_range(p, task, &count);
  pass_out out = pixels_at(p->y + first * p->cs, p->cs);
  out.add = p->add;
  if (p->view) {
    load_view(p->cp, p->view, p->cs, first, count, 0, p->cs, p->view->factor, &out);
  } else {
    load_slope(p->cp, p->slope, p->cs, first, count, 0, p->cs, &out);
  }
}

void view_copy(compute *cp, size_t pixels, size_t c, const value_view *x, real *y) {
  norm_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.image = pixels, p.cs = rotoi_stride(c), p.parts = image_parts(1, pixels, p.cs), p.view = x, p.y = y;
  pass_for(cp, p.parts, view_copy_task, &p);
}

void slope_copy(compute *cp, size_t pixels, size_t c, const slope_view *dy, int add, real *dx) {
  norm_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.image = pixels, p.cs = rotoi_stride(c), p.parts = image_parts(1, pixels, p.cs), p.slope = dy, p.y = dx;
  p.add = add;
  pass_for(cp, p.parts, view_copy_task, &p);
}

static void view_mean_task(void *context, size_t image) {
  const norm_pass *p = (const norm_pass *)context;
  const value_view *v = p->view;
  size_t cs = p->cs, block = most(1, least(p->image, 16384 / cs));
  float *sum = own_scratch(p->cp, 2 * cs), *total = sum + cs;
  const float *rows = v->norm->rows;
  read_pass r;
  memset(&r, 0, sizeof r);
  r.channels = r.x_stride = cs, r.x = v->x, r.half = v->half;
  r.mean = rows + NORM_MEAN * cs, r.scale = rows + NORM_SCALE * cs, r.beta = rows + NORM_BETA * cs;
  memset(total, 0, cs * sizeof(float));
  for (size_t at = 0; at < p->image; at += block) { /* blocks apart, so that rounding grows with hundreds of terms */
    memset(sum, 0, cs * sizeof(float));
    r.pixels = least(block, p->image - at);
    r.first = (image * p->image + at) * cs;
    kernels_for(p->cp, cs)->view_sum(&r, v->norm->act, sum);
    for (size_t i = 0; i < cs; i++) total[i] += sum[i];
  }
  for (size_t i = 0; i < cs; i++) p->y[image * cs + i] = total[i] / (float)p->image;
}

void view_mean(compute *cp, size_t n, size_t image, size_t c, const value_view *x, real *y) {
  norm_pass p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.n = n, p.image = image, p.cs = rotoi_stride(c), p.view = x, p.y = y;
  pass_for(cp, n, view_mean_task, &p);
}

/* ---- pointwise convolutions ---- */

typedef struct pointwise {
  compute *cp;
  size_t pixels, ic, oc, ics, ocs, tasks, block;
  const value_view *x;
  const slope_view *dy;
  const slope_sink *sink;
  const float *panels;
  float *y;
  int half, stream, statistics;
  norm_sums sums;
  weight_pass weights;
} pointwise;

static int is_stored(const value_view *v) {
  return !v->norm && !v->factor && !v->half;
}

/* Steps of a product of k terms: with pairs of bfloat16 half as many. */
static size_t product_depth(const compute *cp, size_t k) {
  return cp->mixed ? ceil_div(k, 2) : k;
}

/* A matrix of k rows in gemm's order; element (l, j) at weight[l * row_stride + j * column_stride]. */
static const float *packed(compute *cp, const float *weight, size_t k, size_t columns, size_t row_stride,
                           size_t column_stride) {
  const size_t start = 0;
  gather g;
  memset(&g, 0, sizeof g);
  g.cp = cp, g.taps = 1, g.k = product_depth(cp, k), g.paired_k = cp->mixed ? k : 0, g.weights = weight, g.tap_weights = &start;
  g.row_stride = row_stride, g.column_stride = column_stride, g.out_c = columns, g.nr = cp->runtime->nr;
  const float *panels = grow(&cp->shared[SCRATCH_WEIGHTS], rotoi_packed_count(g.k, columns));
  compute_for(cp, rotoi_panel_count(columns, g.nr), gather_pack, &g);
  return panels;
}

/* out[i][j] (+)= sum over l < k of a[i][l] * panels(l, j), rows i < count of cs floats; k as product_depth says. */
static void block_product(const compute *cp, const float *const *a, size_t count, size_t k, size_t columns, const float *panels,
                          int add, float *out, size_t cs) {
  size_t nr = cp->runtime->nr, tiles = ceil_div(count, cp->runtime->mr);
  for (size_t panel = 0; panel < rotoi_panel_count(columns, nr); panel++) {
    for (size_t tile = 0; tile < tiles; tile++) {
      size_t first = count * tile / tiles;
      float *c = out + first * cs + panel * nr;
      rotoi_gemm g = {count * (tile + 1) / tiles - first,
                      rotoi_panel_vectors(panel, columns, nr),
                      1,
                      k,
                      a + first,
                      panels + panel * nr * k,
                      NULL,
                      add ? c : NULL,
                      c,
                      cs,
                      cs,
                      ROTO_ACT_NONE};
      matrix_product(cp, cp->mixed, &g);
    }
  }
}

/* Operands of a mixed layer: rows for products along channels, pairs of neighbouring pixels for the sum over pixels; either may be
 * NULL. */
static pass_out rounded_at(float *rows, float *pairs, size_t cs, size_t channels) {
  pass_out out = {NULL, 0, 0, 0, rows, pairs, cs, channels};
  return out;
}

static void pixel_pairs(const float *x, size_t count, size_t cs, float *out) {
#if COMPUTE_BF16
  bf16_pairs(x, x + cs, count / 2, 2 * cs, cs, out);
  if (count % 2) bf16_pairs(x + (count - 1) * cs, NULL, 1, 0, cs, out + count / 2 * cs);
#else
  (void)x, (void)count, (void)cs, (void)out;
#endif
}

/* Pixels a block: all its operands in half of L2. */
static size_t pointwise_block(const compute *cp, size_t channels) {
  size_t mr = cp->runtime->mr;
  return most(1, least(32, 131072 / (channels * mr))) * mr;
}

static void pointwise_forward_task(void *context, size_t task) {
  const pointwise *p = (const pointwise *)context;
  size_t first = p->pixels * task / p->tasks, end = p->pixels * (task + 1) / p->tasks, blocks = ceil_div(end - first, p->block);
  float *own = own_scratch(p->cp, p->block * (p->ics + p->ocs + POINTER_FLOATS) + 2 * p->ocs), *x = own + 2 * p->ocs;
  float *result = x + p->block * p->ics;
  const float **rows = (const float **)(void *)(result + p->block * p->ocs);
  const pass_out to = p->cp->mixed ? rounded_at(x, NULL, p->ics, p->ic) : pixels_at(x, p->ics);
  for (size_t block = 0; block < blocks; block++) {
    size_t at = first + (end - first) * block / blocks, count = first + (end - first) * (block + 1) / blocks - at;
    float *out = p->half || p->stream ? result : p->y + at * p->ocs;
    int direct = !p->cp->mixed && is_stored(p->x);
    const float *in = direct ? p->x->x + at * p->ics : x;
    if (!direct) load_view(p->cp, p->x, p->ics, at, count, 0, p->ics, p->x->factor, &to);
    for (size_t i = 0; i < count; i++) rows[i] = in + i * (p->cp->mixed ? p->ics / 2 : p->ics);
    block_product(p->cp, rows, count, product_depth(p->cp, p->ic), p->oc, p->panels, 0, out, p->ocs);
    if (!p->statistics && out != result) continue;
    store_block(p->cp->kernels, count, p->ocs, out, p->ocs, out == result ? p->y : NULL, at * p->ocs, p->ocs, p->half,
                p->stream, p->statistics ? &p->sums : NULL, task * p->ocs, block == 0, own);
  }
}

void pointwise_forward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const real *weight, real *y,
                       int half, norm_layer *after) {
  pointwise p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.pixels = pixels, p.ic = ic, p.oc = oc, p.ics = rotoi_stride(ic), p.ocs = rotoi_stride(oc);
  p.x = x, p.y = y, p.half = half, p.stream = is_streamed(pixels * p.ocs, half), p.statistics = after != NULL;
  p.panels = packed(cp, weight, ic, oc, oc, 1);
  p.block = pointwise_block(cp, p.ics + p.ocs);
  p.tasks = most(1, most(least(32, pixels / 64), ceil_div(pixels, 4096)));
  if (after) p.sums = norm_sums_of(cp, p.tasks, p.ocs);
  pass_for(cp, p.tasks, pointwise_forward_task, &p);
  if (after) join_statistics(after, pixels, oc, &p.sums);
}

/* One slice of the pixels; with a factor, of whole images. */
static void pointwise_backward_task(void *context, size_t slice) {
  const pointwise *p = (const pointwise *)context;
  const value_view *v = p->x;
  const slope_sink *sink = p->sink;
  const weight_pass *w = &p->weights;
  size_t unit = v->factor ? v->image : 1, units = p->pixels / unit;
  size_t first = units * slice / p->tasks * unit, end = units * (slice + 1) / p->tasks * unit;
  size_t blocks = ceil_div(end - first, p->block), ics = p->ics, ocs = p->ocs;
  size_t mixed = (size_t)p->cp->mixed, pairs = mixed * ceil_div(p->block, 2) * (ics + ocs);
  float *own = own_scratch(p->cp, p->block * (2 * ics + ocs + POINTER_FLOATS) + 2 * ics + pairs);
  float *xs = own + 2 * ics, *ds = xs + p->block * ics, *gs = ds + p->block * ics, *sum;
  const float **rows = (const float **)(void *)(gs + p->block * ocs), *x, *g;
  float *x_pairs = gs + p->block * (ocs + POINTER_FLOATS), *g_pairs = x_pairs + ceil_div(p->block, 2) * ics;
  const pass_out x_to = mixed && !sink->dfactor ? rounded_at(NULL, x_pairs, ics, p->ic) : pixels_at(xs, ics);
  const pass_out g_to = mixed ? rounded_at(gs, g_pairs, ocs, p->oc) : pixels_at(gs, ocs);
  outer_product o;
  memset(&o, 0, sizeof o);
  o.rows = 1, o.c_stride = w->b_count;
  o.a = w->swapped ? &g : &x, o.b = w->swapped ? &x : &g;
  o.a_stride = w->swapped ? ocs : ics, o.b_stride = w->swapped ? ics : ocs;
  sum = w->partial + slice * w->a_count * w->b_count;
  if (blocks == 0) memset(sum, 0, w->a_count * w->b_count * sizeof(float));
  for (size_t block = 0; block < blocks; block++) {
    size_t at = first + (end - first) * block / blocks, count = first + (end - first) * (block + 1) / blocks - at;
    int x_direct = !mixed && is_stored(v), g_direct = !mixed && !p->dy->norm;
    x = x_direct ? v->x + at * ics : xs;
    g = g_direct ? p->dy->dz + at * ocs : gs;
    if (!g_direct) load_slope(p->cp, p->dy, ocs, at, count, 0, ocs, &g_to);
    if (!x_direct) load_view(p->cp, v, ics, at, count, 0, ics, sink->dfactor ? NULL : v->factor, &x_to);
    if (sink->dx) {
      float *dx = sink->half || p->stream ? ds : sink->dx + at * ics;
      for (size_t i = 0; i < count; i++) rows[i] = g + i * (mixed ? ocs / 2 : ocs);
      block_product(p->cp, rows, count, product_depth(p->cp, p->oc), p->ic, p->panels, sink->add, dx, ics);
      for (size_t i = 0; sink->dfactor && i < count;) {
        size_t image = (at + i) / v->image, span = least(count - i, (image + 1) * v->image - at - i);
        p->cp->kernels->factor(dx + i * ics, xs + i * ics, v->factor + image * ics, span, ics, sink->dfactor + image * ics);
        i += span;
      }
      if (sink->norm) {
        sink_block(p->cp->kernels, v, sink, count, at, ics, 0, ics, dx, ics, p->stream, &p->sums, slice * ics, own);
      } else if (dx == ds) {
        store_block(p->cp->kernels, count, ics, dx, ics, sink->dx, at * ics, ics, sink->half, p->stream, NULL, 0, 0, own);
      }
    }
    if (mixed) {
      if (sink->dfactor) pixel_pairs(xs, count, ics, x_pairs);
      x = x_pairs, g = g_pairs;
    }
    o.columns = mixed ? ceil_div(count, 2) : count;
    o.add = block > 0;
    for (size_t i = 0; i < w->a_tiles; i++) {
      o.a_offset = w->a_count * i / w->a_tiles;
      o.m = w->a_count * (i + 1) / w->a_tiles - o.a_offset;
      for (o.b_offset = 0; o.b_offset < w->b_count; o.b_offset += w->b_width) {
        o.vectors = least(w->b_width, w->b_count - o.b_offset) / w->kernels->lanes;
        o.c = sum + o.a_offset * w->b_count + o.b_offset;
        outer_tile(w, &o);
      }
    }
  }
}

void pointwise_backward(compute *cp, size_t pixels, size_t ic, size_t oc, const value_view *x, const slope_view *dy,
                        const real *weight, const slope_sink *sink, real *dweight) {
  pointwise p;
  weight_pass *w = &p.weights;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.pixels = pixels, p.ic = ic, p.oc = oc, p.ics = rotoi_stride(ic), p.ocs = rotoi_stride(oc);
  p.x = x, p.dy = dy, p.sink = sink, p.stream = !sink->add && is_streamed(pixels * p.ics, sink->half);
  /* Only what the weights' gradient reads again, x and dy: it adds to all of its sums, which are as large as the weights, once a
   * block, so that blocks of 42 pixels, with room for dx beside, lost 1 %. */
  p.block = pointwise_block(cp, p.ics + p.ocs);
  if (sink->dx) p.panels = packed(cp, weight, oc, ic, 1, oc);
  w->cp = cp, w->kernels = cp->kernels, w->pairs = cp->mixed, w->dweight = dweight;
  w->s.ic = ic, w->s.oc = oc, w->s.kh = w->s.kw = 1;
  size_t plain_tiles, swapped_tiles, plain = outer_cost(cp->kernels, ic, p.ocs, &plain_tiles);
  w->swapped = outer_cost(cp->kernels, oc, p.ics, &swapped_tiles) < plain;
  w->a_count = w->swapped ? oc : ic, w->b_count = w->swapped ? p.ics : p.ocs;
  w->a_tiles = w->swapped ? swapped_tiles : plain_tiles;
  w->b_width = 2 * cp->kernels->lanes;
  size_t units = x->factor ? pixels / x->image : pixels / 64;
  p.tasks = most(1, least(units, 16));
  while (p.tasks > 4 && p.tasks * w->a_count * w->b_count > (size_t)1 << 20) p.tasks /= 2;
  w->slices = p.tasks;
  w->partial = grow(&cp->shared[SCRATCH_PARTIAL], p.tasks * w->a_count * w->b_count);
  if (sink->norm) p.sums = norm_sums_of(cp, p.tasks, p.ics);
  pass_for(cp, p.tasks, pointwise_backward_task, &p);
  compute_for(cp, ceil_div(w->a_count, WEIGHT_SUM_ROWS), weight_sum, w);
  if (sink->norm) join_slopes(sink->norm, pixels, ic, sink->frozen, &p.sums);
}

/* ---- depthwise convolutions ---- */

/* A task is an image and a group of channel blocks; it goes through the rows in bands.  A band of the input is copied with its
 * padding to [block][rows][columns][16], so that the kernels meet neither edges nor strides. */
typedef struct depthwise_norm {
  compute *cp;
  const conv_shape *s;
  size_t cs, blocks, groups, group, band; /* group: blocks in one, at most; band: rows of the output */
  size_t columns;                         /* of the padded input */
  size_t slope_columns;                   /* of the padded gradient, */
  ptrdiff_t slope_x;                      /* which begin here */
  size_t slope_rows;                      /* its rows, at most */
  const value_view *x;
  const slope_view *dy;
  const slope_sink *sink;
  const float *weight; /* [taps][cs] */
  float *y;
  int half, stream, statistics;
  norm_sums sums;
  float *partial, *dweight; /* partial: [image][taps][cs] */
} depthwise_norm;

/* Rows [row, row + rows) and columns [column, column + columns) of an image of h x w, zero outside it, of a view or a slope. */
static void load_padded(const compute *cp, const value_view *v, const slope_view *slope, size_t cs, size_t image, size_t h,
                        size_t w, ptrdiff_t row, size_t rows, ptrdiff_t column, size_t columns, size_t c, size_t channels,
                        float *out) {
  size_t left = column < 0 ? least((size_t)-column, columns) : 0, from = column < 0 ? 0 : (size_t)column;
  size_t inside = from < w ? least(w - from, columns - left) : 0, plane = rows * columns * ROTOI_LANES;
  for (size_t i = 0; i < rows; i++, row++) {
    float *y = out + i * columns * ROTOI_LANES;
    size_t loaded = row >= 0 && row < (ptrdiff_t)h ? inside : 0, before = loaded ? left : 0;
    for (size_t b = 0; b < channels / ROTOI_LANES; b++) {
      memset(y + b * plane, 0, before * ROTOI_LANES * sizeof(float));
      memset(y + b * plane + (before + loaded) * ROTOI_LANES, 0, (columns - before - loaded) * ROTOI_LANES * sizeof(float));
    }
    if (!loaded) continue;
    size_t first = (image * h + (size_t)row) * w + from;
    pass_out to = {y + left * ROTOI_LANES, ROTOI_LANES, plane, 0, NULL, NULL, 0, 0};
    if (v) {
      load_view(cp, v, cs, first, loaded, c, channels, NULL, &to);
    } else {
      load_slope(cp, slope, cs, first, loaded, c, channels, &to);
    }
  }
}

/* Group and band such that a band of padded input takes at most `room` floats: as many channels as let at most an eighth of the
 * rows be read for two bands, whose views cost more than reading in short runs, but no fewer than four blocks. */
static depthwise_norm depthwise_layer(compute *cp, const conv_shape *s, size_t room) {
  depthwise_norm p;
  memset(&p, 0, sizeof p);
  p.cp = cp, p.s = s, p.cs = rotoi_stride(s->ic), p.blocks = p.cs / ROTOI_LANES;
  p.columns = (s->ow - 1) * s->stride + s->kw;
  size_t bands, shared_rows = s->kh > s->stride ? s->kh - s->stride : 0;
  do {
    p.group = ceil_div(p.blocks, ++p.groups);
    size_t rows = room / (p.columns * ROTOI_LANES * p.group);
    p.band = rows > s->kh ? least(s->oh, (rows - s->kh) / s->stride + 1) : 1;
    bands = ceil_div(s->oh, p.band);
    p.band = ceil_div(s->oh, bands);
  } while (p.group > 4 && 8 * (bands - 1) * shared_rows > s->h);
  return p;
}

/* Rounded values leave past the caches only in whole lines, i.e. whole pixels. */
static int depthwise_streams(const depthwise_norm *p, size_t count, int half) {
  return (p->groups == 1 || !half) && is_streamed(count, half);
}

/* Sums over the taps of one row, for 16 channels; the taps' weights are `w`. */
static void depthwise_forward_row(const depthwise_norm *p, const float *const *in, size_t offset, const float *w, float *out,
                                  size_t out_stride) {
  const conv_shape *s = p->s;
  depthwise_row r = {out, out_stride, s->ow, s->kh * s->kw, in, offset, s->stride * ROTOI_LANES, w, 0};
  p->cp->kernels->depthwise(&r);
}

static void block_weights(const depthwise_norm *p, size_t c, float *w) {
  for (size_t t = 0; t < p->s->kh * p->s->kw; t++) memcpy(w + t * ROTOI_LANES, p->weight + t * p->cs + c, ROTOI_LANES * 4);
}

static void depthwise_norm_forward_task(void *context, size_t task) {
  const depthwise_norm *p = (const depthwise_norm *)context;
  const conv_shape *s = p->s;
  size_t image = task / p->groups, group = task % p->groups, block0 = p->blocks * group / p->groups;
  size_t blocks = p->blocks * (group + 1) / p->groups - block0, c = block0 * ROTOI_LANES, channels = blocks * ROTOI_LANES;
  size_t taps = s->kh * s->kw, rows_max = (p->band - 1) * s->stride + s->kh, padded = rows_max * p->columns * channels;
  float *own = own_scratch(p->cp, padded + (2 + p->band * s->ow) * channels + taps * (ROTOI_LANES + POINTER_FLOATS));
  float *x = own + 2 * channels, *result = x + padded, *w = result + p->band * s->ow * channels;
  const float **in = (const float **)(void *)(w + taps * ROTOI_LANES);
  for (size_t y0 = 0; y0 < s->oh; y0 += p->band) {
    size_t rows = least(p->band, s->oh - y0), in_rows = (rows - 1) * s->stride + s->kh, plane = in_rows * p->columns;
    size_t first = (image * s->oh + y0) * s->ow, stride = p->half || p->stream ? channels : p->cs;
    float *out = p->half || p->stream ? result : p->y + first * p->cs + c;
    load_padded(p->cp, p->x, NULL, p->cs, image, s->h, s->w, (ptrdiff_t)(y0 * s->stride) - (ptrdiff_t)s->pad_top, in_rows,
                -(ptrdiff_t)s->pad_left, p->columns, c, channels, x);
    for (size_t b = 0; b < blocks; b++) {
      block_weights(p, c + b * ROTOI_LANES, w);
      for (size_t t = 0; t < taps; t++) in[t] = x + (b * plane + t / s->kw * p->columns + t % s->kw) * ROTOI_LANES;
      for (size_t y = 0; y < rows; y++) {
        depthwise_forward_row(p, in, y * s->stride * p->columns * ROTOI_LANES, w, out + y * s->ow * stride + b * ROTOI_LANES,
                              stride);
      }
    }
    if (!p->statistics && out != result) continue;
    store_block(p->cp->kernels, rows * s->ow, channels, out, stride, out == result ? p->y : NULL, first * p->cs + c, p->cs,
                p->half, p->stream, p->statistics ? &p->sums : NULL, image * p->cs + c, y0 == 0, own);
  }
}

void depthwise_norm_forward(compute *cp, const conv_shape *s, const value_view *x, const real *weight, real *y, int half,
                            norm_layer *after) {
  depthwise_norm p = depthwise_layer(cp, s, 98304);
  p.x = x, p.y = y, p.half = half, p.stream = depthwise_streams(&p, s->n * s->oh * s->ow * p.cs, half),
  p.statistics = after != NULL;
  p.weight = padded_weights(cp, s, weight, NULL);
  if (after) p.sums = norm_sums_of(cp, s->n, p.cs);
  pass_for(cp, s->n * p.groups, depthwise_norm_forward_task, &p);
  if (after) join_statistics(after, s->n * s->oh * s->ow, s->ic, &p.sums);
}

/* Input gradient of 16 channels, rows [e0, e1), into out, whose first pixel is (e0, 0), from the padded gradient `g` whose
 * first pixel is (low_y, p->slope_x).  Rows and columns of one phase modulo the stride see the same taps. */
static void depthwise_slope_rows(const depthwise_norm *p, size_t e0, size_t e1, const float *g, ptrdiff_t low_y, size_t c,
                                 int add, float *out, size_t stride, const float **in, float *w) {
  const conv_shape *s = p->s;
  size_t st = s->stride;
  for (size_t y0 = e0; y0 < least(e1, e0 + st); y0++) {
    for (size_t x = 0; x < least(st, s->w); x++) {
      size_t taps = 0;
      for (size_t ky = (y0 + s->pad_top) % st; ky < s->kh; ky += st) {
        for (size_t kx = (x + s->pad_left) % st; kx < s->kw; kx += st, taps++) {
          ptrdiff_t oy = ((ptrdiff_t)(y0 + s->pad_top) - (ptrdiff_t)ky) / (ptrdiff_t)st - low_y;
          ptrdiff_t ox = ((ptrdiff_t)(x + s->pad_left) - (ptrdiff_t)kx) / (ptrdiff_t)st - p->slope_x;
          in[taps] = g + ((size_t)oy * p->slope_columns + (size_t)ox) * ROTOI_LANES;
          memcpy(w + taps * ROTOI_LANES, p->weight + (ky * s->kw + kx) * p->cs + c, ROTOI_LANES * sizeof(float));
        }
      }
      depthwise_row r = {NULL, st * stride, ceil_div(s->w - x, st), taps, in, 0, ROTOI_LANES, w, add};
      for (size_t y = y0; y < e1; y += st, r.offset += p->slope_columns * ROTOI_LANES) {
        r.out = out + ((y - e0) * s->w + x) * stride;
        p->cp->kernels->depthwise(&r);
      }
    }
  }
}

static void depthwise_norm_backward_task(void *context, size_t task) {
  const depthwise_norm *p = (const depthwise_norm *)context;
  const conv_shape *s = p->s;
  const slope_sink *sink = p->sink;
  size_t image = task / p->groups, group = task % p->groups, block0 = p->blocks * group / p->groups, st = s->stride;
  size_t blocks = p->blocks * (group + 1) / p->groups - block0, c = block0 * ROTOI_LANES, channels = blocks * ROTOI_LANES;
  size_t taps = s->kh * s->kw, rows_max = (p->band - 1) * st + s->kh, padded = rows_max * p->columns * channels;
  size_t slopes = p->slope_rows * p->slope_columns * channels, left_over = s->h - least(s->h, s->oh * st);
  size_t results = sink->half || p->stream ? (p->band * st + left_over) * s->w * channels : 0;
  float *own = own_scratch(p->cp, 2 * channels + padded + slopes + results + taps * (ROTOI_LANES + POINTER_FLOATS));
  float *x = own + 2 * channels, *g = x + padded, *result = g + slopes, *w = result + results;
  const float **in = (const float **)(void *)(w + taps * ROTOI_LANES);
  float *partial = p->partial + image * taps * p->cs + c;
  for (size_t t = 0; t < taps; t++) memset(partial + t * p->cs, 0, channels * sizeof(float));
  for (size_t y0 = 0; y0 < s->oh; y0 += p->band) {
    size_t rows = least(p->band, s->oh - y0), y1 = y0 + rows, in_rows = (rows - 1) * st + s->kh;
    size_t e0 = least(s->h, y0 * st), e1 = y1 == s->oh ? s->h : least(s->h, y1 * st);
    ptrdiff_t low = (ptrdiff_t)((e0 + s->pad_top) / st) - (ptrdiff_t)ceil_div(s->kh - 1, st), high = (ptrdiff_t)y1;
    if (low > (ptrdiff_t)y0) low = (ptrdiff_t)y0;
    if (e1 > e0 && (ptrdiff_t)((e1 - 1 + s->pad_top) / st) >= high) high = (ptrdiff_t)((e1 - 1 + s->pad_top) / st) + 1;
    size_t g_rows = (size_t)(high - low), g_plane = g_rows * p->slope_columns * ROTOI_LANES;
    load_padded(p->cp, NULL, p->dy, p->cs, image, s->oh, s->ow, low, g_rows, p->slope_x, p->slope_columns, c, channels, g);
    load_padded(p->cp, p->x, NULL, p->cs, image, s->h, s->w, (ptrdiff_t)(y0 * st) - (ptrdiff_t)s->pad_top, in_rows,
                -(ptrdiff_t)s->pad_left, p->columns, c, channels, x);
    size_t first = (image * s->h + e0) * s->w, stride = sink->half || p->stream ? channels : p->cs, pixels = (e1 - e0) * s->w;
    float *out = sink->half || p->stream ? result : sink->dx ? sink->dx + first * p->cs + c : NULL;
    size_t center = ((size_t)((ptrdiff_t)y0 - low) * p->slope_columns + (size_t)-p->slope_x) * ROTOI_LANES;
    for (size_t b = 0; b < blocks; b++) {
      depthwise_product d = {x + b * in_rows * p->columns * ROTOI_LANES,
                             g + b * g_plane + center,
                             partial + b * ROTOI_LANES,
                             rows,
                             s->ow,
                             p->columns * ROTOI_LANES,
                             ROTOI_LANES,
                             p->slope_columns * ROTOI_LANES,
                             p->cs,
                             s->kh,
                             s->kw,
                             st};
      p->cp->kernels->depthwise_weights(&d);
      if (out) {
        depthwise_slope_rows(p, e0, e1, g + b * g_plane, low, c + b * ROTOI_LANES, sink->add, out + b * ROTOI_LANES, stride, in,
                             w);
      }
    }
    if (!out || pixels == 0) continue;
    if (sink->norm) {
      /* the rows of x were read for the weights' gradient a moment ago */
      sink_block(p->cp->kernels, p->x, sink, pixels, first, p->cs, c, channels, out, stride, p->stream, &p->sums,
                 image * p->cs + c, own);
    } else if (out == result) {
      store_block(p->cp->kernels, pixels, channels, out, stride, sink->dx, first * p->cs + c, p->cs, sink->half, p->stream,
                  NULL, 0, 0, own);
    }
  }
}

static void depthwise_norm_sum(void *context, size_t tap) {
  const depthwise_norm *p = (const depthwise_norm *)context;
  size_t taps = p->s->kh * p->s->kw;
  for (size_t c = 0; c < p->s->ic; c++) {
    float sum = 0;
    for (size_t image = 0; image < p->s->n; image++) sum += p->partial[(image * taps + tap) * p->cs + c];
    p->dweight[tap * p->s->ic + c] = sum;
  }
}

void depthwise_norm_backward(compute *cp, const conv_shape *s, const value_view *x, const slope_view *dy, const real *weight,
                             const slope_sink *sink, real *dweight) {
  depthwise_norm p = depthwise_layer(cp, s, 65536);
  size_t taps = s->kh * s->kw, st = s->stride;
  p.x = x, p.dy = dy, p.sink = sink, p.dweight = dweight;
  p.stream = sink->dx && !sink->add && depthwise_streams(&p, s->n * s->h * s->w * p.cs, sink->half);
  p.slope_x = -(ptrdiff_t)ceil_div(s->kw - 1, st);
  p.slope_columns = most((s->w - 1 + s->pad_left) / st, s->ow - 1) + ceil_div(s->kw - 1, st) + 1;
  /* above a band's first row the halo, below its last what the input rows left over at the bottom reach */
  p.slope_rows = p.band + 2 * ceil_div(s->kh - 1 + s->pad_top, st) + (s->h - least(s->h, s->oh * st)) / st + 3;
  p.weight = padded_weights(cp, s, weight, NULL);
  p.partial = grow(&cp->shared[SCRATCH_PARTIAL], s->n * taps * p.cs);
  if (sink->norm) p.sums = norm_sums_of(cp, s->n, p.cs);
  pass_for(cp, s->n * p.groups, depthwise_norm_backward_task, &p);
  compute_for(cp, taps, depthwise_norm_sum, &p);
  if (sink->norm) join_slopes(sink->norm, s->n * s->h * s->w, s->ic, sink->frozen, &p.sums);
}
