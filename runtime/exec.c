/* The executor: walks the steps of a plan over one workspace.  It allocates nothing and decides nothing; how a step is cut
 * into tasks stands in the plan.
 *
 * A matrix step is a convolution seen as a product with gathered rows: for each tile of mr output pixels a list of pointers,
 * one to each input pixel that a tap of the kernel meets (or to zeros, outside the picture), then all panels of weights
 * against that list.  No patch is ever copied.  The list lives on the stack; kernels with more taps than it holds run in
 * groups of taps, each adding to what the groups before left in the result.
 *
 * A tile's rows stay in the first-level cache while the panels pass from the second.  Where the panels do not fit there, a block
 * of tiles stays in the second-level cache instead, and each panel meets the whole block: weights come from memory once a
 * block.
 *
 * Tried and lost: the rows of a product made just before the depthwise convolution that reads them, band by band, in the order of the
 * tasks alone (B0 1.003 and 0.996 of the time in float32 and bfloat16, B5 0.996 and 0.999), or through a buffer of their own of 200 to
 * 600 KB that stays in the second-level cache (float32, one thread, results of more than a megabyte: B0 1.00 to 1.02, B5 0.99, with the
 * same bits): what leaves that cache comes back in time, and short sums and swish are what the largest products wait for. */

#ifndef ROTOI_EXEC
#define ROTOI_EXEC

#include <string.h>

#include "api.h"
#include "config.c"
#include "base.c"
#include "kernels.c"
#include "pack.c"
#include "plan.c"

/* What the tasks of one step share. */
typedef struct rotoi_run {
  const rotoi_plan *plan;
  const rotoi_step *step;
  unsigned char *values; /* the workspace */
} rotoi_run;

/* The part of a step that one task does. */
typedef struct rotoi_part {
  size_t row0, row1, column0, column1;
  size_t row_task;
} rotoi_part;

/* Pointers to what taps [t0, t1) of output pixels [pixel, pixel + m) read, tap-major; to floats or bytes. */
static void rotoi_gather(const rotoi_step *s, const unsigned char *in, const unsigned char *outside, size_t pixel, size_t m,
                         size_t t0, size_t t1, void *rows) {
  const size_t ky0 = t0 / s->kw, kx0 = t0 % s->kw, step = s->cs * rotoi_type_size(s->in_code.type);
  size_t oy = pixel / s->ow, ox = pixel % s->ow;
  /* Where no tap is outside, which multiplies and compares nothing: 3 % of B0 in bytes. */
  if (!s->pad_top && !s->pad_left && (s->oh - 1) * s->stride + s->kh <= s->h && (s->ow - 1) * s->stride + s->kw <= s->w) {
    for (size_t i = 0; i < m; ++i) {
      const unsigned char *row = in + ((oy * s->stride + ky0) * s->w + ox * s->stride + kx0) * step;
      size_t kx = kx0;
      for (size_t t = 0; t < t1 - t0; ++t, row += step) {
        memcpy((unsigned char *)rows + (t * m + i) * sizeof row, &row, sizeof row);
        if (++kx == s->kw) kx = 0, row += (s->w - s->kw) * step;
      }
      if (++ox == s->ow) ox = 0, ++oy;
    }
    return;
  }
  for (size_t i = 0; i < m; ++i) {
    size_t ky = ky0, kx = kx0;
    for (size_t t = t0; t < t1; ++t) {
      size_t y = oy * s->stride + ky - s->pad_top, x = ox * s->stride + kx - s->pad_left; /* wraps above the picture */
      const unsigned char *row = y < s->h && x < s->w ? in + (y * s->w + x) * step : outside;
      memcpy((unsigned char *)rows + ((t - t0) * m + i) * sizeof row, &row, sizeof row);
      if (++kx == s->kw) kx = 0, ++ky;
    }
    if (++ox == s->ow) ox = 0, ++oy;
  }
}

/* The weights of a product times the factors of its input's channels: of B0 1 % in float32 and in bfloat16 against scaling the
 * input. */
static void rotoi_scale_weights(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  const float *scale = rotoi_floats(values, s->scale);
  const unsigned char *from = plan->weights + s->weights;
  unsigned char *to = values + s->scaled;
  const size_t nr = s->low ? plan->low->nr : plan->kernels->nr, rows = s->low ? rotoi_words(s->c, s->in_code.type) : s->c;
  for (size_t panel = 0; panel < s->columns; ++panel) {
    const size_t width = rotoi_panel_vectors(panel, s->oc, nr) * ROTOI_LANES;
    for (size_t r = 0; r < rows; ++r, from += 4 * width, to += 4 * width) {
      if (s->low) {
        plan->low->scale_words(from, scale[2 * r], 2 * r + 1 < s->c ? scale[2 * r + 1] : 0, width, to);
        continue;
      }
      for (size_t first = 0; first < width; first += ROTOI_LANES) {
        float block[ROTOI_LANES];
        memcpy(block, from + 4 * first, sizeof block);
        for (size_t j = 0; j < ROTOI_LANES; ++j) block[j] *= scale[r];
        memcpy(to + 4 * first, block, sizeof block);
      }
    }
  }
}

static void rotoi_run_gemm(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_kernels *kernels = run->plan->kernels;
  const unsigned char *from = run->values + s->in[0], *zeros = run->plan->weights;
  const int scaled = s->scaled != ROTOI_ABSENT;
  const float *weights = scaled ? rotoi_floats(run->values, s->scaled) : rotoi_floats(run->plan->weights, s->weights);
  const float *bias = rotoi_floats(run->plan->weights, s->bias);
  const float *rows[ROTOI_POINTERS];
  size_t taps = s->kh * s->kw, mr = kernels->mr, pixels = s->oh * s->ow, group = ROTOI_POINTERS / mr;
  float *in = rotoi_floats(run->values, s->in[0]), *out = rotoi_floats(run->values, s->out);
  const float *residual = s->in[1] == ROTOI_ABSENT ? NULL : rotoi_floats(run->values, s->in[1]);
  rotoi_gemm g;
  memset(&g, 0, sizeof g);
  g.k = s->c;
  g.c_stride = g.add_stride = s->ocs;
  for (size_t tile0 = part->row0, tile1; tile0 < part->row1; tile0 = tile1) {
    tile1 = rotoi_min(tile0 + s->block, part->row1);
    if (s->scale != ROTOI_ABSENT && !scaled) {
      float *block = in + tile0 * mr * s->cs;
      kernels->scale(block, rotoi_floats(run->values, s->scale), rotoi_min(tile1 * mr, pixels) - tile0 * mr, s->cs,
                     ROTO_ACT_NONE, block);
    }
    for (size_t t0 = 0; t0 < taps; t0 += group) {
      size_t t1 = rotoi_min(t0 + group, taps);
      g.taps = t1 - t0;
      g.act = t1 == taps ? s->act : ROTO_ACT_NONE;
      for (size_t tile = tile0; tile < tile1; ++tile) {
        rotoi_gather(s, from, zeros, tile * mr, rotoi_min(mr, pixels - tile * mr), t0, t1, rows + (tile - tile0) * g.taps * mr);
      }
      for (size_t panel = part->column0; panel < part->column1; ++panel) {
        size_t column = panel * kernels->nr;
        g.nv = rotoi_panel_vectors(panel, s->oc, kernels->nr);
        g.b = weights + (column * taps + t0 * g.nv * ROTOI_LANES) * s->c;
        g.bias = t0 ? NULL : bias + column;
        for (size_t tile = tile0; tile < tile1; ++tile) {
          size_t place = tile * mr * s->ocs + column;
          g.m = rotoi_min(mr, pixels - tile * mr);
          g.a = rows + (tile - tile0) * g.taps * mr;
          g.c = out + place;
          g.add = t0 ? g.c : residual ? residual + place : NULL;
          kernels->gemm(&g);
        }
      }
    }
  }
}

/* Rows [row0, row1) of the weights of a product of one pixel; a tap has as many as the input has channels. */
static void rotoi_run_dense(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const float *in = rotoi_floats(run->values, s->in[0]), *weights = s->in_file;
  const size_t stride = weights ? s->oc : s->ocs, apart = s->c > s->cs ? s->c : s->cs; /* c may be a row of the kernel */
  float *sums = rotoi_floats(run->values, s->partial) + part->row_task * s->ocs;
  if (!weights) weights = rotoi_floats(run->plan->weights, s->weights);
  memset(sums, 0, s->ocs * sizeof(float));
  for (size_t row = part->row0, end; row < part->row1; row = end) {
    const size_t tap = row / s->c;
    end = rotoi_min((tap + 1) * s->c, part->row1);
    run->plan->kernels->dense(in + tap * apart + row % s->c, weights + row * stride, end - row, stride, s->oc, sums);
  }
}

/* Its result from the sums of its parts, in order. */
static void rotoi_finish_dense(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  float *partial = rotoi_floats(values, s->partial), *bias = rotoi_floats(plan->weights, s->bias);
  for (size_t i = 1; i < s->row_tasks; ++i) plan->kernels->add(partial, partial + i * s->ocs, s->ocs, ROTO_ACT_NONE, partial);
  if (s->in[1] != ROTOI_ABSENT) plan->kernels->add(partial, rotoi_floats(values, s->in[1]), s->ocs, ROTO_ACT_NONE, partial);
  plan->kernels->add(partial, bias, s->ocs, s->act, rotoi_floats(values, s->out));
}

static const rotoi_fall *rotoi_step_curve(const rotoi_plan *plan, const rotoi_step *s) {
  return s->curve == ROTOI_ABSENT ? NULL : (const rotoi_fall *)(const void *)(plan->weights + s->curve);
}

/* The same on words.  All taps of a block of tiles have their pointers at once. */
static void rotoi_run_low_gemm(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_low_kernels *low = run->plan->low;
  const unsigned char *constants = run->plan->weights, *rows[ROTOI_POINTERS];
  const int scaled = s->scaled != ROTOI_ABSENT;
  const unsigned char *weights = scaled ? run->values + s->scaled : constants + s->weights;
  const float *bias = rotoi_floats(run->plan->weights, s->bias);
  const float *factor = s->factor == ROTOI_ABSENT ? NULL : rotoi_floats(run->plan->weights, s->factor);
  unsigned char *in = run->values + s->in[0], *out = run->values + s->out;
  const unsigned char *residual = s->in[1] == ROTOI_ABSENT ? NULL : run->values + s->in[1];
  const size_t taps = s->kh * s->kw, mr = low->mr, pixels = s->oh * s->ow;
  rotoi_low_gemm g;
  memset(&g, 0, sizeof g);
  g.taps = taps;
  g.k = rotoi_words(s->c, s->in_code.type);
  g.c_stride = g.add_stride = s->ocs;
  g.add_code = s->second_code, g.c_code = s->out_code;
  g.act = s->act;
  g.curve = rotoi_step_curve(run->plan, s);
  for (size_t tile0 = part->row0, tile1; tile0 < part->row1; tile0 = tile1) {
    tile1 = rotoi_min(tile0 + s->block, part->row1);
    if (s->scale != ROTOI_ABSENT && !scaled) {
      unsigned char *block = in + tile0 * mr * s->cs * rotoi_type_size(s->in_code.type);
      low->scale(block, s->in_code, rotoi_floats(run->values, s->scale), rotoi_min(tile1 * mr, pixels) - tile0 * mr, s->cs,
                 ROTO_ACT_NONE, block, s->read_code);
    }
    for (size_t tile = tile0; tile < tile1; ++tile)
      rotoi_gather(s, in, constants + s->outside, tile * mr, rotoi_min(mr, pixels - tile * mr), 0, taps,
                   rows + (tile - tile0) * taps * mr);
    for (size_t panel = part->column0; panel < part->column1; ++panel) {
      size_t column = panel * low->nr;
      g.nv = rotoi_panel_vectors(panel, s->oc, low->nr);
      g.b = weights + 4 * column * taps * g.k;
      g.bias = bias + column;
      g.factor = factor ? factor + column : NULL;
      for (size_t tile = tile0; tile < tile1; ++tile) {
        const size_t place = tile * mr * s->ocs + column;
        g.m = rotoi_min(mr, pixels - tile * mr);
        g.a = rows + (tile - tile0) * taps * mr;
        g.c = out + place * rotoi_type_size(s->out_code.type);
        g.add = residual ? residual + place * rotoi_type_size(s->second_code.type) : NULL;
        low->gemm(&g);
      }
    }
  }
}

static void rotoi_run_depthwise(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  rotoi_low_depthwise low;
  rotoi_depthwise d;
  memset(&d, 0, sizeof d);
  d.in = rotoi_floats(run->values, s->in[0]);
  d.w = rotoi_floats(run->plan->weights, s->weights);
  d.bias = rotoi_floats(run->plan->weights, s->bias);
  d.out = rotoi_floats(run->values, s->out);
  d.h = s->h, d.w_in = s->w, d.oh = s->oh, d.ow = s->ow, d.cs = s->cs;
  d.kh = s->kh, d.kw = s->kw, d.stride = s->stride, d.pad_top = s->pad_top, d.pad_left = s->pad_left;
  d.c0 = part->column0 * ROTOI_LANES, d.c1 = part->column1 * ROTOI_LANES;
  d.y0 = part->row0, d.y1 = part->row1;
  d.act = s->act;
  if (s->mean != ROTOI_ABSENT) {
    d.sums = rotoi_floats(run->values, s->partial) + part->row_task * s->cs;
    memset(d.sums + d.c0, 0, (d.c1 - d.c0) * sizeof(float));
  }
  if (!s->low) {
    run->plan->kernels->depthwise(&d);
    return;
  }
  low.shape = d;
  low.in = run->values + s->in[0], low.out = run->values + s->out;
  low.in_code = s->in_code, low.out_code = s->out_code;
  low.words = s->dots ? d.w : NULL, low.outside = run->plan->weights + s->outside;
  low.factor = s->factor == ROTOI_ABSENT ? NULL : rotoi_floats(run->plan->weights, s->factor);
  low.curve = rotoi_step_curve(run->plan, s);
  run->plan->low->depthwise(&low);
}

static void rotoi_run_pool(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  rotoi_low_pool low;
  rotoi_pool p;
  memset(&p, 0, sizeof p);
  p.in = rotoi_floats(run->values, s->in[0]);
  p.out = rotoi_floats(run->values, s->out);
  p.h = s->h, p.w_in = s->w, p.oh = s->oh, p.ow = s->ow, p.cs = s->cs;
  p.kh = s->kh, p.kw = s->kw, p.stride = s->stride, p.pad_top = s->pad_top, p.pad_left = s->pad_left;
  p.y0 = part->row0, p.y1 = part->row1;
  p.max = s->max;
  if (!s->low) {
    run->plan->kernels->pool(&p);
    return;
  }
  low.shape = p;
  low.in = run->values + s->in[0], low.out = run->values + s->out;
  low.in_code = s->in_code, low.out_code = s->out_code;
  run->plan->low->pool(&low);
}

static void rotoi_run_concat(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const size_t size = rotoi_type_size(s->out_code.type);
  for (size_t pixel = part->row0 * s->ow; pixel < part->row1 * s->ow; ++pixel) {
    unsigned char *out = run->values + s->out + pixel * s->ocs * size;
    if (s->low) memset(out + s->oc * size, 0, (s->ocs - s->oc) * size);
    for (size_t i = 0; i < ROTO_MAX_INPUTS && s->in[i] != ROTOI_ABSENT; out += s->part_c[i] * size, ++i)
      memcpy(out, run->values + s->in[i] + pixel * s->part_cs[i] * size, s->part_c[i] * size);
  }
}

static void rotoi_run_upsample(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const size_t pixel = s->cs * rotoi_type_size(s->in_code.type);
  for (size_t y = part->row0; y < part->row1; ++y) {
    const unsigned char *in = run->values + s->in[0] + y / 2 * s->w * pixel;
    unsigned char *out = run->values + s->out + y * s->ow * pixel;
    for (size_t x = 0; x < s->ow; ++x) memcpy(out + x * pixel, in + x / 2 * pixel, pixel);
  }
}

/* Heat maps to points, 16 landmarks side by side.  exp comes from the kernels' sigmoid: exp(t) = s / (1 - s), which is
 * accurate for t <= 0, where s <= 1/2.  Moments are summed in double about the picture's corner, so that one pass gives mean
 * and spread: what cancels is of the order of (cell / picture)^2, far above a double's rounding. */
static void rotoi_run_points(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const float *in = rotoi_floats(run->values, s->in[0]);
  const double cell_w = 1.0 / (double)s->w, cell_h = 1.0 / (double)s->h;
  for (size_t first = part->row0 * ROTOI_LANES; first < part->row1 * ROTOI_LANES; first += ROTOI_LANES) {
    size_t lanes = rotoi_min(ROTOI_LANES, s->points - first), cells = s->h * s->w;
    float top[ROTOI_LANES], sigmoid[ROTOI_LANES] = {0};
    double sum[ROTOI_LANES] = {0}, sum_x[ROTOI_LANES] = {0}, sum_y[ROTOI_LANES] = {0}, sum_squares[ROTOI_LANES] = {0};
    for (size_t j = 0; j < lanes; ++j) top[j] = in[first + j];
    for (size_t i = 1; i < cells; ++i) {
      const float *logit = in + i * s->cs + first;
      for (size_t j = 0; j < lanes; ++j) top[j] = top[j] < logit[j] ? logit[j] : top[j];
    }
    for (size_t i = 0; i < cells; ++i) {
      const float *logit = in + i * s->cs + first;
      double x = (double)(i % s->w) + 0.5, y = (double)(i / s->w) + 0.5;
      for (size_t j = 0; j < lanes; ++j) sigmoid[j] = logit[j] - top[j];
      run->plan->kernels->add(sigmoid, NULL, ROTOI_LANES, ROTO_ACT_SIGMOID, sigmoid);
      for (size_t j = 0; j < lanes; ++j) {
        double p = sigmoid[j] / (1.0 - sigmoid[j]), u = x, v = y;
        if (s->per_point == 3) {
          u += logit[s->points + j];
          v += logit[2 * s->points + j];
        }
        u *= cell_w;
        v *= cell_h;
        sum[j] += p;
        sum_x[j] += p * u;
        sum_y[j] += p * v;
        sum_squares[j] += p * (u * u + v * v);
      }
    }
    float *out = rotoi_floats(run->values, s->out) + 3 * first;
    for (size_t j = 0; j < lanes; ++j, out += 3) {
      double x = sum_x[j] / sum[j], y = sum_y[j] / sum[j];
      out[0] = (float)x;
      out[1] = (float)y;
      out[2] = (float)rotoi_root(sum_squares[j] / sum[j] - x * x - y * y, 2);
    }
  }
}

/* Element-wise steps and means on what is stored low: pixels [row0, row1). */
static void rotoi_run_low(const rotoi_run *run, const rotoi_part *part) {
  const rotoi_step *s = run->step;
  const rotoi_low_kernels *low = run->plan->low;
  const size_t offset = part->row0 * s->ocs, pixels = part->row1 - part->row0;
  const unsigned char *in = run->values + s->in[0];
  unsigned char *out = run->values + s->out + offset * rotoi_type_size(s->out_code.type);
  if (s->kind == ROTOI_STEP_MEAN) {
    low->channel_sum(in, s->in_code, s->h * s->w, s->cs, 1.0f / (float)(s->h * s->w), out, s->out_code);
    return;
  }
  in += offset * rotoi_type_size(s->in_code.type);
  if (s->kind == ROTOI_STEP_SCALE) {
    low->scale(in, s->in_code, rotoi_floats(run->values, s->in[1]), pixels, s->ocs, s->act, out, s->out_code);
  } else {
    const unsigned char *second = NULL;
    if (s->in[1] != ROTOI_ABSENT) second = run->values + s->in[1] + offset * rotoi_type_size(s->second_code.type);
    low->add(in, s->in_code, second, s->second_code, pixels * s->ocs, s->act, out, s->out_code);
  }
}

static void rotoi_run_task(void *context, size_t index) {
  const rotoi_run *run = (const rotoi_run *)context;
  const rotoi_step *s = run->step;
  const rotoi_kernels *kernels = run->plan->kernels;
  size_t row_task = index / s->column_tasks, column_task = index % s->column_tasks;
  rotoi_part part;
  part.row_task = row_task;
  part.row0 = s->rows * row_task / s->row_tasks;
  part.row1 = s->rows * (row_task + 1) / s->row_tasks;
  part.column0 = s->columns * column_task / s->column_tasks;
  part.column1 = s->columns * (column_task + 1) / s->column_tasks;
  const float *in = rotoi_floats(run->values, s->in[0]);
  float *out = rotoi_floats(run->values, s->out);
  size_t offset = part.row0 * s->ocs, count = (part.row1 - part.row0) * s->ocs; /* of steps whose rows are pixels */
  if (s->low && (s->kind == ROTOI_STEP_MEAN || s->kind == ROTOI_STEP_ADD || s->kind == ROTOI_STEP_SCALE)) {
    rotoi_run_low(run, &part);
    return;
  }
  switch (s->kind) {
    case ROTOI_STEP_GEMM:
      if (s->low) {
        rotoi_run_low_gemm(run, &part);
      } else {
        rotoi_run_gemm(run, &part);
      }
      break;
    case ROTOI_STEP_DENSE:
      rotoi_run_dense(run, &part);
      break;
    case ROTOI_STEP_DEPTHWISE:
      rotoi_run_depthwise(run, &part);
      break;
    case ROTOI_STEP_POOL:
      rotoi_run_pool(run, &part);
      break;
    case ROTOI_STEP_MEAN:
      kernels->channel_sum(in, s->h * s->w, s->cs, 1.0f / (float)(s->h * s->w), out);
      break;
    case ROTOI_STEP_ADD:
      kernels->add(in + offset, s->in[1] == ROTOI_ABSENT ? NULL : rotoi_floats(run->values, s->in[1]) + offset, count, s->act,
                   out + offset);
      break;
    case ROTOI_STEP_SCALE:
      kernels->scale(in + offset, rotoi_floats(run->values, s->in[1]), part.row1 - part.row0, s->ocs, s->act, out + offset);
      break;
    case ROTOI_STEP_CONCAT:
      rotoi_run_concat(run, &part);
      break;
    case ROTOI_STEP_UPSAMPLE:
      rotoi_run_upsample(run, &part);
      break;
    case ROTOI_STEP_POINTS:
      rotoi_run_points(run, &part);
      break;
  }
}

/* Store `count` floats as `code` says. */
static void rotoi_encode(const rotoi_plan *plan, const float *from, size_t count, rotoi_code code, unsigned char *to) {
  rotoi_code plain;
  size_t i = count / ROTOI_LANES * ROTOI_LANES;
  if (code.type == ROTOI_F32) {
    memcpy(to, from, count * sizeof(float));
    return;
  }
  memset(&plain, 0, sizeof plain);
  if (i) plan->low->add(from, plain, NULL, plain, i, ROTO_ACT_NONE, to, code);
  for (; i < count; ++i) {
    if (code.type == ROTOI_BF16) {
      const uint16_t half = rotoi_to_bf16(from[i]);
      memcpy(to + 2 * i, &half, 2);
    } else {
      const float q = from[i] * code.inverse + code.zero;
      to[i] = (unsigned char)rotoi_round(q > 0 ? q < 255 ? q : 255 : 0);
    }
  }
}

/* Put an input, rows of tight pixels `row_stride` floats apart, in its place. */
static void rotoi_load_input(const rotoi_plan *plan, const float *input, size_t row_stride, unsigned char *values) {
  const rotoi_code code = plan->input_code;
  const size_t w = plan->input_w, c = plan->input_c, size = rotoi_type_size(code.type);
  const int zero = (int)code.zero; /* 0 but for bytes */
  unsigned char *out = values + plan->input;
  if (plan->padded_h) memset(out, zero, plan->padded_h * plan->padded_w * c * size + (size < sizeof(float) ? ROTOI_LINE : 0));
  for (size_t y = 0; y < plan->input_h; ++y) {
    const float *row = input + y * row_stride;
    if (plan->padded_h) {
      rotoi_encode(plan, row, w * c, code, out + ((y + plan->input_top) * plan->padded_w + plan->input_left) * c * size);
    } else {
      for (size_t x = 0; x < w; ++x) {
        unsigned char *pixel = out + (y * w + x) * plan->input_cs * size;
        if (size < sizeof(float)) memset(pixel, zero, plan->input_cs * size);
        rotoi_encode(plan, row + x * c, c, code, pixel);
      }
    }
  }
}

/* The mean over a depthwise result from the sums of its bands, in order. */
static void rotoi_finish_mean(const rotoi_plan *plan, const rotoi_step *s, unsigned char *values) {
  float *partial = rotoi_floats(values, s->partial), share = 1.0f / (float)(s->oh * s->ow);
  for (size_t c = 0; c < s->cs; ++c) {
    float sum = 0;
    for (size_t i = 0; i < s->row_tasks; ++i) sum += partial[i * s->cs + c];
    partial[c] = sum * share;
  }
  rotoi_encode(plan, partial, s->cs, s->mean_code, values + s->mean);
}

/* What a step moves and computes.  Where the planner joined a kernel's columns, or all of it, with the channels of a product,
 * the report takes them apart again. */
static void rotoi_step_cost(const rotoi_step *s, unsigned char *values_at, roto_step *cost) {
  static const char *const kinds[] = {"gemm", "gemm",  "depthwise", "pool",     "mean",
                                      "add",  "scale", "concat",    "upsample", "points"};
  size_t element = rotoi_type_size(s->in_code.type), taps = s->kh * s->kw, weights = 0;
  size_t in = s->h * s->w * s->cs * element, out = s->oh * s->ow * s->ocs * rotoi_type_size(s->out_code.type),
         values = in + out;
  size_t second = s->oh * s->ow * s->ocs * rotoi_type_size(s->second_code.type);
  size_t joined = s->c > s->cs ? s->c / s->cs : 1, kernel_w = rotoi_min(s->kw * joined, s->w);
  memset(cost, 0, sizeof *cost);
  cost->kind = kinds[s->kind];
  cost->first_node = s->node, cost->last_node = s->end;
  cost->in_h = (uint32_t)s->h, cost->in_w = (uint32_t)s->w, cost->in_c = (uint32_t)(s->c / joined);
  cost->out_h = (uint32_t)s->oh, cost->out_w = (uint32_t)s->ow, cost->out_c = (uint32_t)s->oc;
  if (taps) {
    cost->kernel_h = (uint32_t)(taps * joined / kernel_w);
    cost->kernel_w = (uint32_t)kernel_w;
    cost->stride = (uint32_t)s->stride;
  }
  if (s->kind == ROTOI_STEP_GEMM || s->kind == ROTOI_STEP_DENSE) {
    cost->precision = s->in_code.type == ROTOI_U8     ? ROTO_PRECISION_INT8
                      : s->in_code.type == ROTOI_BF16 ? ROTO_PRECISION_BF16
                                                      : ROTO_PRECISION_FP32;
    cost->multiply_adds = (uint64_t)(s->oh * s->ow) * taps * s->c * s->oc;
    weights = taps * s->c * (s->in_file ? s->oc : s->ocs) * element + s->ocs * sizeof(float);
    if (s->in[1] != ROTOI_ABSENT) values += second;
    if (s->scale != ROTOI_ABSENT && s->scaled == ROTOI_ABSENT) values += in;
  } else if (s->kind == ROTOI_STEP_DEPTHWISE) {
    cost->multiply_adds = (uint64_t)(s->oh * s->ow) * taps * s->oc;
    weights = (taps + 1) * sizeof(float) * s->cs;
  } else if (s->kind == ROTOI_STEP_ADD && s->in[1] != ROTOI_ABSENT) {
    values += second;
  } else if (s->kind == ROTOI_STEP_CONCAT) {
    values = 2 * out;
  }
  cost->weight_bytes = weights;
  cost->value_bytes = values;
  if (s->out_code.type == ROTOI_F32) cost->value = rotoi_floats(values_at, s->out), cost->value_stride = s->ocs;
}

/* Run the network over the workspace `values`, which may hold the input at plan->picture.  The output lies at plan->output. */
static void rotoi_execute(const rotoi_plan *plan, const roto_parallel *parallel, const roto_profile *profile,
                          const float *input, size_t row_stride, unsigned char *values) {
  rotoi_run run;
  run.plan = plan;
  run.values = values;
  rotoi_load_input(plan, input, row_stride, values);
  for (size_t i = 0; i < plan->step_count; ++i) {
    double start = profile->clock ? profile->clock(profile->user) : 0;
    run.step = plan->steps + i;
    if (run.step->scaled != ROTOI_ABSENT) rotoi_scale_weights(plan, run.step, values);
    rotoi_parallel(parallel, run.step->row_tasks * run.step->column_tasks, rotoi_run_task, &run);
    if (run.step->mean != ROTOI_ABSENT) rotoi_finish_mean(plan, run.step, values);
    if (run.step->kind == ROTOI_STEP_DENSE) rotoi_finish_dense(plan, run.step, values);
    if (profile->clock) {
      roto_step cost;
      rotoi_step_cost(run.step, values, &cost);
      cost.seconds = profile->clock(profile->user) - start;
      profile->step(profile->user, &cost);
    }
  }
}

#endif /* ROTOI_EXEC */
