/* The planner: a validated network -> a list of steps, one block of packed weights, one workspace.
 *
 * A step is one call of the executor and one pass over memory.  A convolution, dense layer or depthwise convolution takes the
 * nodes that follow it along (its chain) as long as each is the only reader of the one before: batch norms fold into weights
 * and bias, an ADD becomes the residual of the product, an activation its last touch.  A global pool of a depthwise result is
 * summed while that result is made.  A SCALE (squeeze-excite) before a 1x1 convolution scales its weights where those are few beside
 * the pixels; else it is done tile by tile just before the product reads it, while it passes through the cache anyway.  A batch norm with nothing to fold into runs as a 1x1 depthwise
 * convolution.
 *
 * A chain runs where its last node stands, so everything a residual needs has been computed by then.
 *
 * Each value that exists in memory gets a place in the workspace for the steps between its making and its last reading; an
 * element-wise result takes the place of an operand that dies there.  The largest values choose first.
 *
 * Weights are packed when a model is opened, but those of a product of one pixel in float32: it meets each of them once and reads
 * them where they lie in the file, as long as no batch norm scales them.  (Products of the 49 pixels of a last stage can do that, too;
 * rows far apart in small pages cost them 15 to 20 % of their time, more than packing saves a program that stays.)
 *
 * Every step is cut into tasks here, by its shape alone: the same cut for any number of threads, hence the same bits.
 *
 * In low precision every value is stored low (bfloat16 or bytes) but those that something reads as floats: the output, the
 * input of POINTS, the factors of a SCALE.  A product of floats returns floats, so these spread until nothing changes. */

#ifndef ROTOI_PLAN
#define ROTOI_PLAN

#include <string.h>

#include "api.h"
#include "../model_format/roto_format.h"
#include "config.c"
#include "base.c"
#include "kernels.c"
#include "select.c"
#include "pack.c"
#include "format.c"

typedef enum rotoi_step_kind {
  ROTOI_STEP_GEMM,
  ROTOI_STEP_DENSE, /* a product of one pixel */
  ROTOI_STEP_DEPTHWISE,
  ROTOI_STEP_POOL,
  ROTOI_STEP_MEAN,
  ROTOI_STEP_ADD, /* without a second operand: the activation alone */
  ROTOI_STEP_SCALE,
  ROTOI_STEP_CONCAT,
  ROTOI_STEP_UPSAMPLE,
  ROTOI_STEP_POINTS
} rotoi_step_kind;

#define ROTOI_ABSENT ((size_t)-1)

enum {
  ROTOI_POINTERS = 1024,      /* row pointers on the stack of a task: 8 KB */
  ROTOI_PLAN_L2 = 256 * 1024, /* floats of one operand of a product that stay in the second-level cache */
  ROTOI_PLAN_ALONE = 1 << 20  /* bytes of weights that are packed sooner than threads start */
};

/* Places are in bytes: of values in the workspace, of weights and bias in the plan's block; ROTOI_ABSENT where unused.  Strides
 * are in elements of the value's type. */
typedef struct rotoi_step {
  rotoi_step_kind kind;
  int act;
  int low; /* runs on the slots of low precision: in[0] or, where nothing is multiplied, any value is stored low */
  rotoi_code in_code, second_code, out_code, mean_code; /* of in[0], in[1], out, mean */
  rotoi_code read_code;                                 /* GEMM: of the input once it is scaled, else in_code */
  uint32_t node, end;                                   /* first and last node of the chain */
  size_t in[ROTO_MAX_INPUTS]; /* CONCAT: all; else the first operand, then the second (GEMM: the residual) */
  size_t scale;               /* GEMM: factors of the input's channels; the input is overwritten with the product */
  size_t scaled;              /* GEMM: where the weights times these factors go, the input staying as it is; or absent */
  size_t out, mean,
      partial;            /* DEPTHWISE: mean over the result and, for it, the sums of each band of rows; DENSE: of its rows */
  size_t h, w, c, cs;     /* of in[0]; c is what the sums run over, cs the step from pixel to pixel */
  size_t oh, ow, oc, ocs; /* of out */
  size_t part_c[ROTO_MAX_INPUTS], part_cs[ROTO_MAX_INPUTS]; /* CONCAT: of each input */
  size_t kh, kw, stride, pad_top, pad_left;
  size_t weights, bias;
  const float *in_file;     /* DENSE: the weights where they lie in the file, tight; NULL: at `weights` */
  size_t factor;            /* GEMM of bytes: what a sum of products stands for, a column */
  size_t outside;           /* a pixel outside the picture; DEPTHWISE on words: a row of them */
  int dots;                 /* DEPTHWISE: the weights are words */
  size_t curve;             /* products of bytes to bytes: the rotoi_fall of a swish */
  int max;                  /* POOL */
  size_t points, per_point; /* POINTS */
  /* What tasks share out: rows (GEMM: tiles of mr pixels; DEPTHWISE, POOL, CONCAT, UPSAMPLE: rows of the result; ADD, SCALE:
   * pixels; DENSE: rows of weights; POINTS: 16 points) and columns (GEMM: panels; DEPTHWISE: 16 channels; else 1), and into how many parts. */
  size_t rows, columns, row_tasks, column_tasks;
  size_t block; /* GEMM: tiles that meet a panel one after the other */
} rotoi_step;

typedef struct rotoi_plan {
  const rotoi_kernels *kernels;
  const rotoi_low_kernels *low; /* NULL: float32 throughout */
  rotoi_step *steps;
  size_t step_count;
  unsigned char *weights; /* zeros that stand for pixels outside a picture, then what the steps name */
  size_t weight_size;
  size_t workspace; /* bytes of a session */
  size_t picture;   /* where roto_find_landmarks makes the input, tight [h][w][c] */
  size_t input, output;
  rotoi_code input_code;
  size_t output_c, output_cs;                       /* channels of the output, and floats from pixel to pixel */
  size_t input_h, input_w, input_c, input_cs;       /* of the picture, and its step from pixel to pixel in the workspace */
  size_t input_top, input_left, padded_h, padded_w; /* the input stands in a frame of zeros */
} rotoi_plan;

/* A node while it is planned, and the value it makes.  Values without a node (sums, the picture) follow the nodes. */
typedef struct rotoi_value {
  rotoi_node node;
  uint32_t uses, user, pool_uses, pool_user; /* readers and one of them; the same of GLOBALPOOL readers */
  uint32_t next;                             /* of its chain, or ROTO_NONE */
  uint32_t head;                             /* at the end of a chain: its first node; elsewhere ROTO_NONE */
  uint32_t residual, pooled, scaled_by;      /* at a head: node the ADD adds; GLOBALPOOL, SCALE done with it */
  int taken;                                 /* belongs to another node's step */
  rotoi_code code;
  size_t cs, size;    /* elements from pixel to pixel, bytes of the value */
  size_t first, last; /* steps between which it lives; step s is time s + 1, loading is time 0 */
  size_t same_as;     /* value whose place it takes, or itself */
  size_t place;
} rotoi_value;

typedef struct rotoi_planner {
  const rotoi_file *file;
  rotoi_plan *plan;
  rotoi_value *values;
  size_t value_count, node_count;
  int separate;           /* means and scalings are steps of their own */
  unsigned char *scratch; /* of each step: see rotoi_plan_fill */
  size_t *order;          /* of values, by place; then where the scratch of each step starts */
  const roto_allocator *allocator;
  const roto_parallel *parallel; /* packs the weights */
} rotoi_planner;

/* The floats at a place of a block. */
static inline float *rotoi_floats(unsigned char *block, size_t place) {
  return (float *)(void *)(block + place);
}

/* The k-th root of v by Newton's method, to the precision of a double; 0 unless v is a positive normal number.  Dividing the
 * bits of a double by k divides its exponent, which is the root to 7 %; each step then squares the error. */
static double rotoi_root(double v, int k) {
  uint64_t bits, one = (uint64_t)1023 << 52;
  if (!(v > 1e-300 && v < 1e300)) return 0;
  memcpy(&bits, &v, 8);
  bits = bits > one ? one + (bits - one) / (uint64_t)k : one - (one - bits) / (uint64_t)k;
  double root;
  memcpy(&root, &bits, 8);
  for (int i = 0; i < 7; ++i) {
    double power = 1;
    for (int j = 1; j < k; ++j) power *= root;
    root += (v / power - root) / k;
  }
  return root;
}

static int rotoi_is_matrix(const rotoi_node *node) {
  return node->op == ROTO_OP_CONV || node->op == ROTO_OP_DENSE;
}

static int rotoi_is_pointwise(const rotoi_node *node) {
  return node->op == ROTO_OP_CONV && node->kh == 1 && node->kw == 1 && node->stride == 1 && !node->pad_top && !node->pad_left &&
         !node->pad_bottom && !node->pad_right;
}

static size_t rotoi_min(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Read the nodes and count the readers of each. */
static void rotoi_plan_nodes(rotoi_planner *p) {
  for (uint32_t i = 0; i < p->node_count; ++i) {
    rotoi_value *v = p->values + i;
    rotoi_read_node(p->file, i, &v->node);
    v->next = v->head = v->user = v->pool_user = v->residual = v->pooled = v->scaled_by = ROTO_NONE;
    for (uint32_t j = 0; j < v->node.input_count; ++j) {
      rotoi_value *input = p->values + v->node.inputs[j];
      ++input->uses;
      input->user = i;
      if (v->node.op == ROTO_OP_GLOBALPOOL) {
        ++input->pool_uses;
        input->pool_user = i;
      }
    }
  }
}

/* A SCALE whose only reader is a 1x1 convolution over many pixels, and whose operand nobody reads later: the convolution
 * multiplies in place.  Few pixels would leave the tasks too few tiles to share; those scale apart. */
static void rotoi_plan_scale(rotoi_planner *p, uint32_t i) {
  rotoi_value *v = p->values + i;
  const rotoi_value *a = p->values + v->node.inputs[0];
  if (v->node.act != ROTO_ACT_NONE || v->uses != 1 || v->node.inputs[0] == v->node.inputs[1]) return;
  if (a->uses != 1 + a->pool_uses || a->pool_uses > 1 || (a->pool_uses && a->pool_user > i)) return;
  rotoi_value *reader = p->values + v->user;
  if (!rotoi_is_pointwise(&reader->node) || (size_t)v->node.h * v->node.w < 8 * p->plan->kernels->mr) return;
  reader->scaled_by = i;
  v->taken = 1;
}

/* Take the nodes that can run in the step of `i`. */
static void rotoi_plan_chain(rotoi_planner *p, uint32_t i) {
  rotoi_value *head = p->values + i;
  int op = head->node.op, act = head->node.act;
  uint32_t end = i;
  if (op == ROTO_OP_CONV || op == ROTO_OP_DENSE || op == ROTO_OP_DEPTHWISE || op == ROTO_OP_BATCHNORM) {
    while (act == ROTO_ACT_NONE && p->values[end].uses == 1) {
      uint32_t user = p->values[end].user;
      rotoi_value *next = p->values + user;
      if (next->taken) break;
      if (next->node.op == ROTO_OP_ADD && rotoi_is_matrix(&head->node) && head->residual == ROTO_NONE) {
        head->residual = next->node.inputs[next->node.inputs[0] == end];
      } else if (next->node.op != ROTO_OP_ACT && (next->node.op != ROTO_OP_BATCHNORM || head->residual != ROTO_NONE)) {
        break;
      }
      act = next->node.act;
      next->taken = 1;
      p->values[end].next = user;
      end = user;
    }
  }
  const rotoi_value *last = p->values + end;
  if ((op == ROTO_OP_DEPTHWISE || op == ROTO_OP_BATCHNORM) && last->pool_uses && !p->separate) {
    head->pooled = last->pool_user;
    p->values[head->pooled].taken = 1;
  }
  p->values[end].head = i;
}

/* Cut a step into tasks: about one for each 400,000 multiply-adds, so that waking a thread stays cheap beside it.
 * Returns that number; by rows first. */
static size_t rotoi_plan_tasks(rotoi_step *s, size_t rows, size_t columns, double work) {
  size_t tasks = work > 64 * 4e5 ? 64 : 1 + (size_t)(work / 4e5);
  s->rows = rows;
  s->columns = columns;
  s->row_tasks = rotoi_min(rows, tasks);
  s->column_tasks = rotoi_min(columns, (tasks + s->row_tasks - 1) / s->row_tasks);
  /* A tile is scaled in place by the one task that reads it. */
  if (s->scale != ROTOI_ABSENT && s->scaled == ROTOI_ABSENT) s->column_tasks = 1;
  return tasks;
}

/* Room for `count` elements of `size` bytes in the weight block, in whole cache lines; 0 if it does not fit a size_t. */
static int rotoi_plan_weights(rotoi_planner *p, size_t count, size_t size, size_t *place) {
  size_t bytes, total;
  if (!rotoi_mul(count, size, &bytes) || !rotoi_add(p->plan->weight_size, bytes, &total)) return 0;
  if (!rotoi_add(total, ROTOI_LINE - 1, &total)) return 0;
  *place = p->plan->weight_size;
  p->plan->weight_size = total / ROTOI_LINE * ROTOI_LINE;
  return 1;
}

/* ---- how values are stored ---- */

static int rotoi_is_low(const rotoi_value *v) {
  return v->code.type != ROTOI_F32;
}

static int rotoi_make_f32(rotoi_planner *p, uint32_t i) {
  if (i == ROTO_NONE || !rotoi_is_low(p->values + i)) return 0;
  p->values[i].code.type = ROTOI_F32;
  return 1;
}

/* If the values that node `i` reads or makes have to be floats, make them so; says whether that changed anything. */
static int rotoi_plan_floats(rotoi_planner *p, uint32_t i) {
  const rotoi_value *v = p->values + i;
  const rotoi_node *node = &v->node;
  int changed = 0, low = 1;
  uint32_t end = i, scaled = v->scaled_by;
  if (i + 1 == p->node_count) changed |= rotoi_make_f32(p, i);
  if (node->op == ROTO_OP_SCALE) changed |= rotoi_make_f32(p, node->inputs[1]);
  if (v->taken || i == 0) return changed;
  while (p->values[end].next != ROTO_NONE) end = p->values[end].next;
  switch (node->op) {
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
    case ROTO_OP_DEPTHWISE:
    case ROTO_OP_BATCHNORM: {
      const rotoi_value *in = p->values + node->inputs[0];
      const size_t taps = node->op == ROTO_OP_DENSE ? (size_t)in->node.h * in->node.w : (size_t)node->kh * node->kw;
      if (scaled != ROTO_NONE) in = p->values + p->values[scaled].node.inputs[0];
      low = rotoi_is_low(in) && (scaled == ROTO_NONE || rotoi_is_low(p->values + scaled));
      /* The row pointers of a tile must all fit on the stack, because what is stored low takes no partial sums. */
      if (rotoi_is_matrix(node) && taps > ROTOI_POINTERS / p->plan->low->mr) low = 0;
      if (rotoi_is_matrix(node) && taps * in->node.c > ROTOI_MOST_BYTE_ROWS) low = 0;
      if (low) return changed;
      if (scaled != ROTO_NONE) changed |= rotoi_make_f32(p, scaled) | rotoi_make_f32(p, p->values[scaled].node.inputs[0]);
      return changed | rotoi_make_f32(p, node->inputs[0]) | rotoi_make_f32(p, end) | rotoi_make_f32(p, v->residual);
    }
    case ROTO_OP_POINTS:
      return changed | rotoi_make_f32(p, i) | rotoi_make_f32(p, node->inputs[0]);
    case ROTO_OP_CONCAT:
    case ROTO_OP_UPSAMPLE: /* copied as they are */
      low = rotoi_is_low(v);
      for (uint32_t k = 0; k < node->input_count; ++k) low &= rotoi_is_low(p->values + node->inputs[k]);
      if (low) return changed;
      for (uint32_t k = 0; k < node->input_count; ++k) changed |= rotoi_make_f32(p, node->inputs[k]);
      return changed | rotoi_make_f32(p, i);
    default: /* element-wise steps and pools convert */
      return changed;
  }
}

/* What is copied from value to value must mean the same in both: they share the wider range. */
static int rotoi_plan_share_range(rotoi_planner *p, uint32_t i, float (*ranges)[2]) {
  const rotoi_node *node = &p->values[i].node;
  float low = ranges[i][0], high = ranges[i][1];
  int changed = 0;
  if (node->op != ROTO_OP_CONCAT && node->op != ROTO_OP_UPSAMPLE) return 0;
  for (uint32_t k = 0; k < node->input_count; ++k) {
    const float *range = ranges[node->inputs[k]];
    low = range[0] < low ? range[0] : low;
    high = range[1] > high ? range[1] : high;
  }
  for (uint32_t k = 0; k <= node->input_count; ++k) {
    float *range = ranges[k < node->input_count ? node->inputs[k] : i];
    changed |= range[0] > low || range[1] < high;
    range[0] = low, range[1] = high;
  }
  return changed;
}

/* The code of a range that holds 0, which becomes a whole number. */
static rotoi_code rotoi_range_code(float low, float high) {
  rotoi_code code;
  code.type = ROTOI_U8;
  code.scale = (high - low) / 255;
  code.inverse = 1 / code.scale;
  code.zero = (float)rotoi_round(-low * code.inverse);
  return code;
}

static roto_status rotoi_plan_codes(rotoi_planner *p) {
  const rotoi_low_kernels *low = p->plan->low;
  int changed = low != NULL;
  for (size_t i = 0; i < p->node_count; ++i) {
    rotoi_code *code = &p->values[i].code;
    code->type = low ? low->type : ROTOI_F32;
    code->scale = code->inverse = 1;
  }
  while (changed) {
    changed = 0;
    for (uint32_t i = 0; i < p->node_count; ++i) changed |= rotoi_plan_floats(p, i);
  }
  if (!low || low->type != ROTOI_U8) return ROTO_OK;
  float(*ranges)[2] = (float(*)[2])rotoi_alloc(p->allocator, p->node_count * sizeof *ranges);
  if (!ranges) return ROTO_ERR_MEMORY;
  for (uint32_t i = 0; i < p->node_count; ++i) rotoi_read_range(p->file, i, &ranges[i][0], &ranges[i][1]);
  for (changed = 1; changed;) {
    changed = 0;
    for (uint32_t i = 0; i < p->node_count; ++i) changed |= rotoi_plan_share_range(p, i, ranges);
  }
  for (size_t i = 0; i < p->node_count; ++i) {
    if (rotoi_is_low(p->values + i)) p->values[i].code = rotoi_range_code(ranges[i][0], ranges[i][1]);
  }
  rotoi_free(p->allocator, ranges);
  return ROTO_OK;
}

/* The weights of a product where the file has them, if kernels can read them there: no batch norm scales them, they lie as this
 * machine's floats do, and whole vectors past the end of the last row are in the file, too (its self-test follows). */
static const float *rotoi_plan_in_file(const rotoi_planner *p, const rotoi_value *head) {
  const rotoi_file *file = p->file;
  uint64_t count;
  const unsigned char *weights = rotoi_tensor(file, head->node.tensors[0], &count);
  const unsigned char *end = file->test_pixels + (size_t)file->input_width * file->input_height * file->input_channels;
  if (p->plan->low || !rotoi_is_little() || (uintptr_t)weights % sizeof(float)) return NULL;
  if ((size_t)(end - weights) < (size_t)count * sizeof(float) + ROTOI_LINE) return NULL;
  for (const rotoi_value *v = head; v->next != ROTO_NONE; v = p->values + v->next)
    if (p->values[v->next].node.op == ROTO_OP_BATCHNORM) return NULL;
  return (const float *)(const void *)weights;
}

/* A product of one pixel on floats, whose taps are all pixels of the input, in order: the rows of its weights are what tasks share. */
static int rotoi_plan_dense(rotoi_planner *p, rotoi_step *s, const rotoi_value *head) {
  size_t rows = s->kh * s->kw * s->c, count;
  s->kind = ROTOI_STEP_DENSE;
  rotoi_plan_tasks(s, rows, 1, (double)rows * (double)s->ocs);
  s->partial = p->value_count;
  p->values[p->value_count++].size = s->row_tasks * s->ocs * sizeof(float);
  s->in_file = rotoi_plan_in_file(p, head);
  if (!s->in_file && (!rotoi_mul(rows, s->ocs, &count) || !rotoi_plan_weights(p, count, sizeof(float), &s->weights))) return 0;
  return rotoi_plan_weights(p, s->ocs, sizeof(float), &s->bias);
}

static int rotoi_plan_gemm(rotoi_planner *p, rotoi_step *s, const rotoi_value *head, int from_input) {
  const rotoi_node *node = &head->node;
  const rotoi_plan *plan = p->plan;
  s->kind = ROTOI_STEP_GEMM;
  if (node->op == ROTO_OP_DENSE) {
    s->kh = s->h, s->kw = s->w, s->stride = 1;
  } else {
    s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
    s->pad_top = node->pad_top, s->pad_left = node->pad_left;
  }
  if (from_input && plan->padded_h) { /* the frame of zeros stands in for padding */
    s->h = plan->padded_h, s->w = plan->padded_w;
    s->pad_top = s->pad_left = 0;
  }
  const int dense = s->oh * s->ow == 1 && s->kh == s->h && s->kw == s->w && !s->pad_top && !s->pad_left;
  /* Where no row of the kernel can leave the picture and pixels stand close, a row is one run of kw * c floats. */
  if (s->cs == s->c && ((from_input && plan->padded_h) || node->op == ROTO_OP_DENSE)) {
    s->c *= s->kw;
    s->kw = 1;
    if (node->op == ROTO_OP_DENSE) s->c *= s->kh, s->kh = 1;
  }
  if (head->scaled_by != ROTO_NONE) {
    const rotoi_node *scale = &p->values[head->scaled_by].node;
    s->in[0] = scale->inputs[0];
    s->scale = scale->inputs[1];
    s->in_code = p->values[s->in[0]].code;
    s->read_code = p->values[head->scaled_by].code;
  }
  if (head->residual != ROTO_NONE) s->in[1] = head->residual;
  s->low = s->in_code.type != ROTOI_F32;
  if (dense && !s->low) return rotoi_plan_dense(p, s, head);
  size_t rows, count, pixels = s->oh * s->ow, mr = plan->kernels->mr;
  /* Rows of words in low precision: what counts below is the bytes of operands. */
  if (!rotoi_mul(s->kh * s->kw, s->low ? rotoi_words(s->c, s->in_code.type) : s->c, &rows)) return 0;
  if (!(count = rotoi_packed_count(rows, s->oc))) return 0;
  /* Not of bytes: a gate far below one would leave few of their steps. */
  if (s->scale != ROTOI_ABSENT && pixels >= 8 * s->oc && s->in_code.type != ROTOI_U8) {
    s->scaled = p->value_count;
    p->values[p->value_count++].size = count * sizeof(float);
  }
  size_t tasks =
      rotoi_plan_tasks(s, (pixels + mr - 1) / mr, rotoi_panel_count(s->oc, plan->kernels->nr), (double)pixels * (double)count);
  /* Weights that stay in the second-level cache pass by one tile of rows after another.  Larger ones would come from memory
   * for each tile: there, a block of tiles that does stay meets each panel in turn, and where the weights are the larger operand
   * they are what the tasks share out.  (With weights that do fit this loses up to a tenth.) */
  s->block = 1;
  if (count > ROTOI_PLAN_L2) {
    s->block = rotoi_min(ROTOI_PLAN_L2 / (mr * rows), ROTOI_POINTERS / (mr * s->kh * s->kw));
    if (s->block < 1) s->block = 1;
    if ((double)count > (double)pixels * (double)rows && s->scale == ROTOI_ABSENT) {
      s->column_tasks = rotoi_min(s->columns, tasks);
      s->row_tasks = (s->rows + s->block - 1) / s->block;
    }
  }
  if (s->low && s->in_code.type == ROTOI_U8) {
    if (!rotoi_plan_weights(p, s->ocs, sizeof(float), &s->factor)) return 0;
    if (s->kh * s->kw > 1 && !rotoi_plan_weights(p, s->cs, 1, &s->outside)) return 0;
  }
  return rotoi_plan_weights(p, count, sizeof(float), &s->weights) && rotoi_plan_weights(p, s->ocs, sizeof(float), &s->bias);
}

static int rotoi_plan_depthwise(rotoi_planner *p, rotoi_step *s, const rotoi_value *head) {
  const rotoi_node *node = &head->node;
  size_t count;
  s->kind = ROTOI_STEP_DEPTHWISE;
  s->low = s->in_code.type != ROTOI_F32;
  s->kh = s->kw = s->stride = 1;
  if (node->op == ROTO_OP_DEPTHWISE) {
    s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
    s->pad_top = node->pad_top, s->pad_left = node->pad_left;
  }
  /* Twice its multiply-adds: it is bound by memory. */
  rotoi_plan_tasks(s, s->oh, s->cs / ROTOI_LANES, 2.0 * (double)(s->oh * s->ow) * (double)(s->kh * s->kw * s->cs));
  if (head->pooled != ROTO_NONE) {
    s->mean = head->pooled;
    s->mean_code = p->values[head->pooled].code;
    s->partial = p->value_count;
    rotoi_value *partial = p->values + p->value_count++;
    partial->cs = s->cs;
    partial->size = s->row_tasks * s->cs * sizeof(float);
  }
  s->dots = s->low && node->op == ROTO_OP_DEPTHWISE && rotoi_has_words(s->kh, s->kw, s->stride);
  if (s->dots) {
    if (!rotoi_plan_weights(p, s->w * s->cs, rotoi_type_size(s->in_code.type), &s->outside)) return 0;
    if (s->in_code.type == ROTOI_U8 && !rotoi_plan_weights(p, s->cs, sizeof(float), &s->factor)) return 0;
  }
  if (!rotoi_mul(s->dots ? rotoi_words(s->kh, s->in_code.type) * s->kw : s->kh * s->kw, s->cs, &count)) return 0;
  return rotoi_plan_weights(p, count, sizeof(float), &s->weights) && rotoi_plan_weights(p, s->cs, sizeof(float), &s->bias);
}

/* Write the step of the chain that ends at `end`.  Values stand in the steps by number until places are known. */
static roto_status rotoi_plan_step(rotoi_planner *p, uint32_t end) {
  const rotoi_value *last = p->values + end, *head = p->values + last->head;
  const rotoi_node *node = &head->node;
  const rotoi_value *in = p->values + node->inputs[0];
  rotoi_step *s = p->plan->steps + p->plan->step_count++;
  int fits = 1;
  memset(s, 0, sizeof *s);
  s->node = last->head;
  s->end = end;
  for (uint32_t i = 0; i < ROTO_MAX_INPUTS; ++i) s->in[i] = ROTOI_ABSENT;
  s->scale = s->scaled = s->mean = s->partial = s->weights = s->bias = s->factor = s->curve = ROTOI_ABSENT;
  s->in[0] = node->inputs[0];
  s->out = end;
  s->in_code = s->read_code = in->code;
  s->out_code = last->code;
  s->act = last->node.act;
  s->h = in->node.h, s->w = in->node.w, s->c = in->node.c, s->cs = in->cs;
  s->oh = last->node.h, s->ow = last->node.w, s->oc = last->node.c, s->ocs = last->cs;
  double floats = (double)(s->oh * s->ow) * (double)s->ocs;
  switch (node->op) {
    case ROTO_OP_CONV:
    case ROTO_OP_DENSE:
      fits = rotoi_plan_gemm(p, s, head, node->inputs[0] == 0);
      break;
    case ROTO_OP_DEPTHWISE:
    case ROTO_OP_BATCHNORM:
      fits = rotoi_plan_depthwise(p, s, head);
      break;
    case ROTO_OP_ACT:
      s->kind = ROTOI_STEP_ADD;
      rotoi_plan_tasks(s, s->oh * s->ow, 1, 4 * floats);
      break;
    case ROTO_OP_ADD:
    case ROTO_OP_SCALE:
      s->kind = node->op == ROTO_OP_ADD ? ROTOI_STEP_ADD : ROTOI_STEP_SCALE;
      s->in[1] = node->inputs[1];
      rotoi_plan_tasks(s, s->oh * s->ow, 1, 4 * floats);
      break;
    case ROTO_OP_CONCAT:
      s->kind = ROTOI_STEP_CONCAT;
      for (uint32_t i = 0; i < node->input_count; ++i) {
        s->in[i] = node->inputs[i];
        s->part_c[i] = p->values[node->inputs[i]].node.c;
        s->part_cs[i] = p->values[node->inputs[i]].cs;
      }
      rotoi_plan_tasks(s, s->oh, 1, 4 * floats);
      break;
    case ROTO_OP_MAXPOOL:
    case ROTO_OP_AVGPOOL:
      s->kind = ROTOI_STEP_POOL;
      s->max = node->op == ROTO_OP_MAXPOOL;
      s->kh = node->kh, s->kw = node->kw, s->stride = node->stride;
      s->pad_top = node->pad_top, s->pad_left = node->pad_left;
      rotoi_plan_tasks(s, s->oh, 1, 2 * floats * (double)(s->kh * s->kw));
      break;
    case ROTO_OP_GLOBALPOOL:
      s->kind = ROTOI_STEP_MEAN;
      rotoi_plan_tasks(s, 1, 1, 0);
      break;
    case ROTO_OP_UPSAMPLE:
      s->kind = ROTOI_STEP_UPSAMPLE;
      rotoi_plan_tasks(s, s->oh, 1, 4 * floats);
      break;
    default: /* POINTS; INPUT has no step, and the reader has refused all else */
      s->kind = ROTOI_STEP_POINTS;
      s->per_point = node->channels_per_point;
      s->points = s->c / s->per_point;
      rotoi_plan_tasks(s, (s->points + ROTOI_LANES - 1) / ROTOI_LANES, 1, 64.0 * (double)(s->h * s->w * s->points));
      break;
  }
  if (s->in[1] != ROTOI_ABSENT) s->second_code = p->values[s->in[1]].code;
  if (s->factor != ROTOI_ABSENT && s->out_code.type == ROTOI_U8 && rotoi_has_curve(s->act) && rotoi_has_byte_tables())
    fits &= rotoi_plan_weights(p, 1, sizeof(rotoi_fall), &s->curve);
  if (s->bias == ROTOI_ABSENT)
    s->low = s->in_code.type != ROTOI_F32 || s->second_code.type != ROTOI_F32 || s->out_code.type != ROTOI_F32;
  return fits ? ROTO_OK : ROTO_ERR_LIMIT;
}

/* How values lie in memory.  The input of a single convolution stands tight in a frame of zeros as wide as the padding, so
 * that a row of the kernel is one run of floats; else four channels apart. */
static int rotoi_plan_shapes(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  for (size_t i = 0; i < p->node_count; ++i) {
    rotoi_value *v = p->values + i;
    size_t h = v->node.h, w = v->node.w, pixels, count;
    v->cs = (v->node.c + (size_t)ROTOI_LANES - 1) / ROTOI_LANES * ROTOI_LANES; /* not 4: kernels write whole vectors */
    if (i == 0) {
      plan->input_h = h, plan->input_w = w, plan->input_c = v->node.c;
      v->cs = rotoi_stride(v->node.c);
      if (v->uses == 1) {
        const rotoi_node *reader = &p->values[v->user].node;
        v->cs = v->node.c;
        plan->input_top = reader->pad_top, plan->input_left = reader->pad_left;
        h = plan->padded_h = h + reader->pad_top + reader->pad_bottom;
        w = plan->padded_w = w + reader->pad_left + reader->pad_right;
      }
      plan->input_cs = v->cs;
    }
    if (!rotoi_mul(h, w, &pixels) || !rotoi_mul(pixels, v->cs, &count)) return 0;
    if (!rotoi_mul(count, rotoi_type_size(v->code.type), &v->size)) return 0;
    /* The last word of a row may reach past the picture. */
    if (rotoi_is_low(v) && !rotoi_add(v->size, ROTOI_LINE, &v->size)) return 0;
  }
  return 1;
}

/* Does `out` of step `s` take the place of operand `operand`, which dies there? */
static int rotoi_plan_in_place(rotoi_planner *p, const rotoi_step *s, size_t time, size_t operand) {
  rotoi_value *v = p->values + operand, *out = p->values + s->out;
  if (v->last != time || v->size != out->size || operand == 0) return 0;
  out->same_as = v->same_as;
  return 1;
}

/* First and last use of each value, places shared by in-place results, then places for all. */
static int rotoi_plan_memory(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  rotoi_value *values = p->values;
  size_t end = plan->step_count + 1, count = 0, n = p->value_count;
  for (size_t i = 0; i < n; ++i) {
    values[i].first = ROTOI_ABSENT;
    values[i].same_as = i;
  }
  values[0].first = values[plan->picture].first = 0;
  for (size_t i = 0; i < plan->step_count; ++i) {
    const rotoi_step *s = plan->steps + i;
    const size_t uses[] = {s->in[0], s->in[1], s->in[2], s->in[3], s->scale, s->scaled, s->out, s->mean, s->partial};
    for (size_t j = 0; j < sizeof uses / sizeof *uses; ++j) {
      if (uses[j] == ROTOI_ABSENT) continue;
      if (values[uses[j]].first == ROTOI_ABSENT) values[uses[j]].first = i + 1;
      values[uses[j]].last = i + 1;
    }
  }
  values[p->node_count - 1].last = end;
  for (size_t i = 0; i < plan->step_count; ++i) {
    const rotoi_step *s = plan->steps + i;
    if (s->out == s->in[0]) continue;
    if (s->kind == ROTOI_STEP_ADD || s->kind == ROTOI_STEP_SCALE) {
      if (rotoi_plan_in_place(p, s, i + 1, s->in[0])) continue;
      if (s->kind == ROTOI_STEP_ADD && s->in[1] != ROTOI_ABSENT) rotoi_plan_in_place(p, s, i + 1, s->in[1]);
    } else if (s->kind == ROTOI_STEP_GEMM && s->in[1] != ROTOI_ABSENT && s->in[1] != s->in[0]) {
      rotoi_plan_in_place(p, s, i + 1, s->in[1]);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (values[i].first == ROTOI_ABSENT || values[i].same_as == i) continue;
    rotoi_value *owner = values + values[i].same_as;
    if (values[i].last > owner->last) owner->last = values[i].last;
  }

  /* Largest first: sort the owners by size, keeping `order` of those placed by place. */
  for (size_t i = 0; i < n; ++i) {
    if (values[i].first != ROTOI_ABSENT && values[i].same_as == i) p->order[count++] = i;
  }
  for (size_t i = 1; i < count; ++i) {
    size_t v = p->order[i], j = i;
    for (; j > 0 && values[p->order[j - 1]].size < values[v].size; --j) p->order[j] = p->order[j - 1];
    p->order[j] = v;
  }
  for (size_t i = 0; i < count; ++i) {
    rotoi_value *v = values + p->order[i];
    size_t id = p->order[i], place = 0, total, j;
    for (j = 0; j < i; ++j) {
      const rotoi_value *other = values + p->order[j];
      if (other->last < v->first || v->last < other->first) continue;
      if (place + v->size <= other->place) break;
      size_t after = (other->place + other->size + ROTOI_LINE - 1) / ROTOI_LINE * ROTOI_LINE;
      if (after > place) place = after;
    }
    if (!rotoi_add(place, v->size, &total) || !rotoi_add(total, ROTOI_LINE - 1, &total)) return 0;
    total = total / ROTOI_LINE * ROTOI_LINE;
    if (total > plan->workspace) plan->workspace = total;
    v->place = place;
    for (j = i; j > 0 && values[p->order[j - 1]].place > place; --j) p->order[j] = p->order[j - 1];
    p->order[j] = id;
  }

  for (size_t i = 0; i < plan->step_count; ++i) {
    rotoi_step *s = plan->steps + i;
    size_t *uses[] = {&s->in[0], &s->in[1], &s->in[2], &s->in[3], &s->scale, &s->scaled, &s->out, &s->mean, &s->partial};
    for (size_t j = 0; j < sizeof uses / sizeof *uses; ++j) {
      if (*uses[j] != ROTOI_ABSENT) *uses[j] = values[values[*uses[j]].same_as].place;
    }
  }
  plan->input = values[0].place;
  plan->input_code = values[0].code;
  plan->picture = values[plan->picture].place;
  plan->output = values[values[p->node_count - 1].same_as].place;
  plan->output_c = values[p->node_count - 1].node.c;
  plan->output_cs = values[p->node_count - 1].cs;
  return 1;
}

/* Factor and bias of channel c after the chain's batch norms, in double. */
static void rotoi_fold(const rotoi_planner *p, const rotoi_value *head, size_t c, double *scale, double *bias) {
  const rotoi_value *v = head;
  *scale = 1;
  *bias = 0;
  if (head->node.op != ROTO_OP_BATCHNORM && head->node.tensors[1] != ROTO_NONE)
    *bias = rotoi_f32(rotoi_tensor(p->file, head->node.tensors[1], NULL) + c * 4);
  for (;;) {
    if (v->node.op == ROTO_OP_BATCHNORM) {
      double field[4];
      for (int i = 0; i < 4; ++i) field[i] = rotoi_f32(rotoi_tensor(p->file, v->node.tensors[i], NULL) + c * 4);
      double factor = field[0] / rotoi_root(field[3] + v->node.epsilon, 2);
      *scale *= factor;
      *bias = (*bias - field[2]) * factor + field[1];
    }
    if (v->next == ROTO_NONE) return;
    v = p->values + v->next;
  }
}

/* Fold and pack the weights of a step, a task: the last first, which are the largest.  Its scratch: folded factors, what takes weights
 * to bytes, and sums of bytes, of each column. */
static void rotoi_plan_fill(void *context, size_t index) {
  const rotoi_planner *p = (const rotoi_planner *)context;
  const rotoi_plan *plan = p->plan;
  const size_t number = plan->step_count - 1 - index;
  const rotoi_step *s = plan->steps + number;
  if (s->bias == ROTOI_ABSENT) return;
  const rotoi_value *head = p->values + s->node;
  const size_t room = s->ocs * sizeof(float);
  float *const scale = rotoi_floats(p->scratch, p->order[number]), *const byte_scale = scale + s->ocs;
  int32_t *const sums = (int32_t *)(void *)(byte_scale + s->ocs);
  float *bias = rotoi_floats(plan->weights, s->bias), *factor = NULL;
  if (s->curve != ROTOI_ABSENT) rotoi_make_curve(s->act, s->out_code, (rotoi_fall *)(void *)(plan->weights + s->curve));
  memset(bias, 0, room);
  for (size_t c = 0; c < s->oc; ++c) {
    double folded, shift;
    rotoi_fold(p, head, c, &folded, &shift);
    scale[c] = (float)folded;
    bias[c] = (float)shift;
  }
  if (s->outside)
    memset(plan->weights + s->outside, s->in_code.type == ROTOI_U8 ? (int)s->read_code.zero : 0,
           (s->dots ? s->w : 1) * s->cs * rotoi_type_size(s->in_code.type));
  if (s->in_file) return;
  rotoi_pack pack;
  memset(&pack, 0, sizeof pack);
  if (head->node.op != ROTO_OP_BATCHNORM) pack.weights = rotoi_tensor(p->file, head->node.tensors[0], NULL);
  pack.taps = s->kh * s->kw;
  pack.k = s->kind == ROTOI_STEP_DEPTHWISE ? 1 : s->c;
  pack.columns = pack.row_stride = s->oc;
  pack.col_stride = 1;
  pack.scale = scale;
  pack.nr = s->kind != ROTOI_STEP_GEMM ? s->ocs : s->low ? plan->low->nr : plan->kernels->nr;
  unsigned char *words = plan->weights + s->weights;
  if (s->factor != ROTOI_ABSENT) {
    /* real = scale * sum of input * weight; the input is code.scale * (byte - code.zero), the weight byte / byte_scale. */
    factor = rotoi_floats(plan->weights, s->factor);
    rotoi_byte_scales(plan->low, &pack, byte_scale);
    memset(factor, 0, room);
    memset(sums, 0, room);
    for (size_t c = 0; c < s->oc; ++c) factor[c] = s->read_code.scale * scale[c] / byte_scale[c];
    pack.scale = byte_scale;
  }
  if (s->dots) {
    rotoi_pack_columns(plan->low, &pack, s->kw, words, sums);
  } else if (s->kind == ROTOI_STEP_GEMM && s->low) {
    rotoi_pack_words(plan->low, &pack, words, sums);
  } else {
    for (size_t c = 0; s->low && c < s->oc; ++c) scale[c] *= s->in_code.scale;
    if (pack.weights) {
      rotoi_pack_panels(&pack, rotoi_floats(plan->weights, s->weights));
    } else { /* a batch norm: no more than its factors */
      memset(words, 0, room);
      memcpy(words, scale, s->oc * sizeof(float));
    }
  }
  for (size_t c = 0; factor && c < s->oc; ++c)
    bias[c] = (float)((double)bias[c] - (double)factor[c] * (double)s->read_code.zero * (double)sums[c]);
}

static void rotoi_plan_free(rotoi_plan *plan, const roto_allocator *allocator) {
  rotoi_free(allocator, plan->steps);
  rotoi_free(allocator, plan->weights);
  memset(plan, 0, sizeof *plan);
}

static roto_status rotoi_plan_build(rotoi_planner *p) {
  rotoi_plan *plan = p->plan;
  size_t zeros = 0, scratch = 0, place;
  rotoi_plan_nodes(p);
  for (uint32_t i = 1; i < p->node_count; ++i) {
    if (p->values[i].node.op == ROTO_OP_SCALE && !p->separate) rotoi_plan_scale(p, i);
    if (!p->values[i].taken) rotoi_plan_chain(p, i);
  }
  roto_status status = rotoi_plan_codes(p);
  if (status) return status;
  if (!rotoi_plan_shapes(p)) return ROTO_ERR_LIMIT;
  for (uint32_t i = 1; i < p->node_count; ++i) {
    const rotoi_value *v = p->values + i;
    if (v->cs > zeros) zeros = v->cs;
  }
  plan->picture = p->value_count;
  p->values[p->value_count].cs = plan->input_c;
  /* Three channels at least: a grey picture is sampled in colour. */
  p->values[p->value_count++].size = plan->input_h * plan->input_w * (plan->input_c < 3 ? 3 : plan->input_c) * sizeof(float);
  rotoi_plan_weights(p, zeros, sizeof(float), &place); /* the pixel outside every picture, at place 0 */
  for (uint32_t i = 1; i < p->node_count; ++i) {
    if (p->values[i].head == ROTO_NONE) continue;
    if ((status = rotoi_plan_step(p, i))) return status;
  }
  if (!rotoi_plan_memory(p)) return ROTO_ERR_LIMIT;

  plan->weights = (unsigned char *)rotoi_alloc(p->allocator, plan->weight_size);
  for (size_t i = 0; i < plan->step_count; ++i) {
    p->order[i] = scratch;
    if (plan->steps[i].bias != ROTOI_ABSENT) scratch += 3 * plan->steps[i].ocs * sizeof(float); /* less than the weight block */
  }
  p->scratch = (unsigned char *)rotoi_alloc(p->allocator, scratch);
  if (!plan->weights || !p->scratch) return ROTO_ERR_MEMORY;
  memset(plan->weights, 0, zeros * sizeof(float)); /* the rest is written whole: zeros before would be another pass over it */
  if (plan->weight_size > ROTOI_PLAN_ALONE) {
    rotoi_parallel(p->parallel, plan->step_count, rotoi_plan_fill, p);
  } else {
    for (size_t i = 0; i < plan->step_count; ++i) rotoi_plan_fill(p, i);
  }
  return ROTO_OK;
}

/* Plan a validated file for a kernel table, and for low precision if `low` is not NULL (bytes need a file with ranges).  On failure `plan` is empty.  The plan may read weights in the file. */
static roto_status rotoi_plan_create(const rotoi_file *file, const rotoi_kernels *kernels, const rotoi_low_kernels *low,
                                     const roto_options *options, rotoi_plan *plan) {
  rotoi_planner p;
  size_t nodes = file->node_count, values = 2 * nodes + 1; /* at most one value of sums a node, and the picture */
  const roto_allocator *allocator = &options->allocator;
  roto_status status = ROTO_ERR_MEMORY;
  memset(plan, 0, sizeof *plan);
  memset(&p, 0, sizeof p);
  plan->kernels = kernels;
  plan->low = low;
  p.separate = options->separate;
  p.file = file;
  p.plan = plan;
  p.allocator = allocator;
  p.parallel = &options->parallel;
  p.node_count = p.value_count = nodes;
  plan->steps = (rotoi_step *)rotoi_alloc(allocator, nodes * sizeof(rotoi_step));
  p.values = (rotoi_value *)rotoi_alloc(allocator, values * sizeof(rotoi_value));
  p.order = (size_t *)rotoi_alloc(allocator, values * sizeof(size_t));
  if (plan->steps && p.values && p.order) {
    memset(p.values, 0, values * sizeof(rotoi_value));
    status = rotoi_plan_build(&p);
  }
  rotoi_free(allocator, p.scratch);
  rotoi_free(allocator, p.order);
  rotoi_free(allocator, p.values);
  if (status) rotoi_plan_free(plan, allocator);
  return status;
}

#endif /* ROTOI_PLAN */
