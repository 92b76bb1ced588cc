/* The networks, and the little language they are written in.
 *
 * A configuration is a line of words; each word names a stage, its numbers follow in order:
 *
 *   act NAME            activation of what follows (relu, relu6, swish, hardswish)
 *   width F / depth F   EfficientNet's multipliers, for conv and mb: channels are rounded to multiples of 8 (never below 90 %),
 *                       repeats are rounded up (Tan and Le 2019, section 3.3)
 *   survive P           stochastic depth: the last block is left out with probability 1 - P, earlier ones linearly less
 *   conv K S C          K x K convolution with stride S to C channels, batch norm, activation
 *   basic C S R         R residual blocks of two 3x3 convolutions; the first has stride S (He 2016, basic block)
 *   bottle C S R        R residual blocks 1x1 (to C/2), 3x3, 1x1 (to C)
 *   mb E K S C R        R inverted bottlenecks with expansion E, depthwise KxK and squeeze-excite 1/4 (EfficientNet's MBConv)
 *   pyramid C           top-down path: the deepest map, reduced to C channels, is doubled and added to the last map of twice
 *                       its size; a 3x3 convolution follows
 *   dropout P           before the next stage
 *   points K            head: 1x1 convolution to K channels a landmark (1, or 3 with offsets), soft-argmax
 *   regress             head of the paper: flatten, dense to (x, y) a landmark
 */

#include "architectures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* `small` is the default: plain residual blocks, because depthwise layers wait for memory in training; a top-down path back to
 * 16 x 16 maps; three channels a landmark.  With one channel (no offsets) the error on faces was 2 % larger after three
 * epochs.  `tiny` fits in 2 MB.
 * `close` is for the second look.
 *
 * EfficientNet-B0 (Tan and Le 2019, table 1); B1 to B7 differ by multipliers, resolution and dropout.  With the learning rate of
 * the others, 2e-3, B0 hardly learns: NME on faces after 10 core-minutes 21.7 %, with 7e-4 11.0 (train.c). */
#define EFFICIENTNET(width, depth, drop)                                                                                     \
  "act swish width " width " depth " depth                                                                                   \
  " survive 0.8 conv 3 2 32 mb 1 3 1 16 1 mb 6 3 2 24 2 mb 6 5 2 40 2 mb 6 3 2 80 3 mb 6 5 1 112 3 mb 6 5 2 192 4 mb 6 3 1 " \
  "320 1 conv 1 1 1280 dropout " drop " regress"

static const struct {
  const char *name;
  uint32_t resolution;
  const char *text;
} architectures[] = {
    {"small", 128,
     "act relu conv 3 2 24 conv 3 2 32 basic 32 1 1 basic 64 2 2 basic 128 2 2 basic 192 2 1 pyramid 128 pyramid 64 points 3"},
    {"tiny", 128, "act relu conv 3 2 16 conv 3 2 32 basic 32 1 1 basic 64 2 2 basic 88 2 2 pyramid 48 points 3"},
    {"close", 64, "act relu conv 3 2 24 basic 24 1 1 basic 48 2 1 basic 96 2 2 pyramid 48 points 3"},
    {"b0", 224, EFFICIENTNET("1.0", "1.0", "0.2")},
    {"b1", 240, EFFICIENTNET("1.0", "1.1", "0.2")},
    {"b2", 260, EFFICIENTNET("1.1", "1.2", "0.3")},
    {"b3", 300, EFFICIENTNET("1.2", "1.4", "0.3")},
    {"b4", 380, EFFICIENTNET("1.4", "1.8", "0.4")},
    {"b5", 456, EFFICIENTNET("1.6", "2.2", "0.4")},
    {"b6", 528, EFFICIENTNET("1.8", "2.6", "0.5")},
    {"b7", 600, EFFICIENTNET("2.0", "3.1", "0.5")},
};
enum { ARCHITECTURE_COUNT = sizeof architectures / sizeof *architectures };

const char *architecture_text(const char *name, uint32_t *resolution) {
  for (int i = 0; i < ARCHITECTURE_COUNT; i++)
    if (strcmp(name, architectures[i].name) == 0) {
      *resolution = architectures[i].resolution;
      return architectures[i].text;
    }
  return NULL;
}

const char *architecture_names(void) {
  return "small tiny close b0 b1 b2 b3 b4 b5 b6 b7";
}

typedef struct builder {
  network *net;
  uint32_t x; /* the value the next stage reads */
  int act;
  float width, depth, drop, norm_epsilon;
  int block, block_count; /* for stochastic depth */
} builder;

static uint32_t round_channels(const builder *b, float channels) {
  float scaled = channels * b->width;
  uint32_t rounded = (uint32_t)(scaled + 4) / 8 * 8;
  if (rounded < 8) rounded = 8;
  if ((float)rounded < 0.9f * scaled) rounded += 8;
  return b->width == 1 ? (uint32_t)channels : rounded;
}

static uint32_t channels_of(const builder *b, uint32_t x) {
  return b->net->nodes[x].c;
}

static uint32_t conv_norm(builder *b, uint32_t x, uint32_t k, uint32_t stride, uint32_t channels, int act) {
  return net_batchnorm(b->net, net_conv(b->net, x, k, stride, channels, 0), act, b->norm_epsilon);
}

static float block_drop(builder *b) {
  float drop = b->drop * (float)b->block / (float)b->block_count;
  b->block++;
  return drop;
}

/* Residual block: two or three convolutions beside an identity, or beside a 1x1 convolution where the shape changes. */
static void residual(builder *b, uint32_t channels, uint32_t stride, int bottle) {
  uint32_t shortcut = b->x, x = b->x;
  if (stride != 1 || channels_of(b, x) != channels) {
    if (stride != 1) shortcut = net_pool(b->net, shortcut, 0, 3, stride);
    shortcut = conv_norm(b, shortcut, 1, 1, channels, ROTO_ACT_NONE);
  }
  if (bottle) {
    x = conv_norm(b, x, 1, 1, (channels + 1) / 2, b->act);
    x = conv_norm(b, x, 3, stride, (channels + 1) / 2, b->act);
    x = conv_norm(b, x, 1, 1, channels, ROTO_ACT_NONE);
  } else {
    x = conv_norm(b, x, 3, stride, channels, b->act);
    x = conv_norm(b, x, 3, 1, channels, ROTO_ACT_NONE);
  }
  b->net->nodes[x].zero_start = 1;
  b->x = net_add(b->net, shortcut, x, b->act, block_drop(b));
}

static void inverted_bottleneck(builder *b, uint32_t expand, uint32_t k, uint32_t stride, uint32_t channels) {
  network *net = b->net;
  uint32_t x = b->x, in = channels_of(b, x), squeeze = in / 4 > 0 ? in / 4 : 1;
  if (expand != 1) x = conv_norm(b, x, 1, 1, in * expand, b->act);
  x = net_batchnorm(net, net_depthwise(net, x, k, stride), b->act, b->norm_epsilon);
  uint32_t s = net_act(net, net_conv(net, net_globalpool(net, x), 1, 1, squeeze, 1), b->act);
  s = net_act(net, net_conv(net, s, 1, 1, channels_of(b, x), 1), ROTO_ACT_SIGMOID);
  x = conv_norm(b, net_scale(net, x, s), 1, 1, channels, ROTO_ACT_NONE);
  float drop = block_drop(b);
  b->x = stride == 1 && in == channels ? net_add(net, b->x, x, ROTO_ACT_NONE, drop) : x;
}

/* The last value with twice the height of x: where the top-down path meets the bottom-up one. */
static uint32_t lateral_of(const network *net, uint32_t x) {
  uint32_t found = 0;
  for (uint32_t i = 1; i < net->node_count; i++)
    if (net->nodes[i].h == 2 * net->nodes[x].h && net->nodes[i].w == 2 * net->nodes[x].w) found = i;
  return found;
}

static int act_of(const char *name) {
  static const struct {
    const char *name;
    int act;
  } acts[] = {
      {"relu", ROTO_ACT_RELU}, {"relu6", ROTO_ACT_RELU6}, {"swish", ROTO_ACT_SWISH}, {"hardswish", ROTO_ACT_HARD_SWISH}};
  for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
    if (strcmp(name, acts[i].name) == 0) return acts[i].act;
  return -1;
}

/* Words and the kinds of the numbers that follow each. */
static const struct {
  const char *word, *numbers;
} words[] = {{"width", "F"},  {"depth", "F"},   {"survive", "P"}, {"conv", "KSC"}, {"basic", "CSR"}, {"bottle", "CSR"},
             {"mb", "EKSCR"}, {"pyramid", "C"}, {"dropout", "D"}, {"points", "H"}, {"regress", ""}};

static const struct {
  char kind;
  float low, high;
  int step; /* 1: whole, 2: odd, 0: any number */
  const char *meaning;
} kinds[] = {
    {'K', 1, 63, 2, "an odd kernel side, 1 to 63"}, {'S', 1, ROTO_MAX_STRIDE, 1, "a stride, 1 to 8"},
    {'C', 1, 65536, 1, "channels, 1 to 65536"},     {'R', 1, 256, 1, "repeats, 1 to 256"},
    {'E', 1, 64, 1, "an expansion, 1 to 64"},       {'F', 0.05f, 16, 0, "a factor, 0.05 to 16"},
    {'P', 0.05f, 1, 0, "a probability, 0.05 to 1"}, {'D', 0, 0.95f, 0, "a share, 0 to 0.95"},
    {'H', 1, 3, 2, "1 or 3 channels a landmark"},
};

static int stage(builder *b, const char *word, const float *v, uint32_t points, char *message) {
  network *net = b->net;
  uint32_t i[5];
  for (int k = 0; k < 5; k++) i[k] = (uint32_t)v[k];
  if (strcmp(word, "width") == 0) {
    b->width = v[0];
  } else if (strcmp(word, "depth") == 0) {
    b->depth = v[0];
  } else if (strcmp(word, "survive") == 0) {
    b->drop = 1 - v[0];
  } else if (strcmp(word, "conv") == 0) {
    b->x = conv_norm(b, b->x, i[0], i[1], round_channels(b, v[2]), b->act);
  } else if (strcmp(word, "basic") == 0 || strcmp(word, "bottle") == 0) {
    for (uint32_t r = 0; r < i[2]; r++) residual(b, i[0], r == 0 ? i[1] : 1, word[1] == 'o');
  } else if (strcmp(word, "mb") == 0) {
    uint32_t repeats = (uint32_t)ceilf(v[4] * b->depth - 1e-4f);
    for (uint32_t r = 0; r < repeats; r++) inverted_bottleneck(b, i[0], i[1], r == 0 ? i[2] : 1, round_channels(b, v[3]));
  } else if (strcmp(word, "pyramid") == 0) {
    uint32_t lateral = lateral_of(net, b->x);
    if (lateral == 0) {
      snprintf(message, 512, "'pyramid': no earlier value has twice the size of the last one (%u x %u)", net->nodes[b->x].w,
               net->nodes[b->x].h);
      return -1;
    }
    uint32_t top = net_upsample(net, conv_norm(b, b->x, 1, 1, i[0], ROTO_ACT_NONE));
    b->x = net_add(net, conv_norm(b, lateral, 1, 1, i[0], ROTO_ACT_NONE), top, b->act, 0);
    b->x = conv_norm(b, b->x, 3, 1, i[0], b->act);
  } else if (strcmp(word, "dropout") == 0) {
    if (v[0] > 0) b->x = net_dropout(net, b->x, v[0]);
  } else if (strcmp(word, "points") == 0) {
    b->x = net_points(net, net_conv(net, b->x, 1, 1, i[0] * points, 1), points);
  } else if (strcmp(word, "regress") == 0) {
    b->x = net_dense(net, b->x, 2 * points);
  }
  return 0;
}

static int next_word(const char **text, char *word, size_t size) {
  const char *t = *text + strspn(*text, " \t\r\n");
  size_t length = strcspn(t, " \t\r\n");
  if (length == 0) return 0;
  snprintf(word, size, "%.*s", (int)length, t);
  *text = t + length;
  return 1;
}

/* Blocks of the whole text, which stochastic depth needs before the first one is built. */
static int count_blocks(const char *text) {
  char word[64];
  float depth = 1;
  int blocks = 0;
  while (next_word(&text, word, sizeof word)) {
    int skip = strcmp(word, "mb") == 0 ? 4 : strcmp(word, "basic") == 0 || strcmp(word, "bottle") == 0 ? 2 : -1;
    int scaled = skip == 4;
    if (strcmp(word, "depth") == 0 && next_word(&text, word, sizeof word)) depth = (float)atof(word);
    while (skip-- > 0) next_word(&text, word, sizeof word);
    if (skip == -1 && next_word(&text, word, sizeof word))
      blocks += (int)ceilf((float)atof(word) * (scaled ? depth : 1) - 1e-4f);
  }
  return blocks > 0 ? blocks : 1;
}

/* The next number, which has to be of this kind. */
static int read_number(const char **text, const char *word, char kind, float *value, char *message) {
  char number[64] = "", *end = number;
  size_t k = 0;
  while (kinds[k].kind != kind) k++;
  if (next_word(text, number, sizeof number)) *value = strtof(number, &end);
  if (end != number && *end == 0 && *value >= kinds[k].low && *value <= kinds[k].high &&
      (kinds[k].step == 0 || fmodf(*value - kinds[k].low, (float)kinds[k].step) == 0))
    return 0;
  snprintf(message, 512, "network configuration, '%s': expected %s, found '%s'", word, kinds[k].meaning, number);
  return -1;
}

/* What the format could not hold is refused before it is trained. */
static int check_limits(const network *net, char *message) {
  const char *what = net->node_count > ROTO_MAX_NODES ? "nodes" : NULL;
  for (uint32_t i = 0; i < net->node_count; i++)
    if (net->nodes[i].c > ROTO_MAX_CHANNELS || (uint64_t)net->nodes[i].h * net->nodes[i].w * net->nodes[i].c > ROTO_MAX_VALUES)
      what = "channels";
  for (uint32_t i = 0; i < net->param_count; i++)
    if (net->params[i].count > ROTO_MAX_VALUES) what = "parameters in one layer";
  if (what != NULL) snprintf(message, 512, "network configuration: too many %s for the .roto format", what);
  return what != NULL ? -1 : 0;
}

const char *architecture_head(const char *text) {
  char word[64];
  const char *next = text;
  while (next_word(&next, word, sizeof word)) {
    if (strcmp(word, "pyramid") == 0 || strcmp(word, "dropout") == 0 || strcmp(word, "points") == 0 ||
        strcmp(word, "regress") == 0)
      return text;
    text = next;
  }
  return text;
}

int architecture_build(network *net, const char *text, uint32_t w, uint32_t h, uint32_t points, char *message) {
  net_init(net);
  return architecture_extend(net, net_input(net, h, w, 3), text, points, message);
}

int architecture_extend(network *net, uint32_t x, const char *text, uint32_t points, char *message) {
  builder b = {net, x, ROTO_ACT_RELU, 1, 1, 0, 1e-5f, 0, count_blocks(text)};
  char word[64];
  while (next_word(&text, word, sizeof word)) {
    float v[5] = {0};
    if (strcmp(word, "act") == 0) {
      b.act = next_word(&text, word, sizeof word) ? act_of(word) : -1;
      if (b.act < 0) {
        snprintf(message, 512, "'act %s': expected relu, relu6, swish or hardswish", word);
        return -1;
      }
      continue;
    }
    size_t k = 0;
    while (k < sizeof words / sizeof *words && strcmp(words[k].word, word) != 0) k++;
    if (k == sizeof words / sizeof *words) {
      snprintf(message, 512, "network configuration: unknown word '%s'", word);
      return -1;
    }
    for (int n = 0; words[k].numbers[n] != 0; n++)
      if (read_number(&text, word, words[k].numbers[n], &v[n], message) != 0) return -1;
    int head = net_output(net)->op == ROTO_OP_POINTS || net_output(net)->op == ROTO_OP_DENSE;
    if (head) {
      snprintf(message, 512, "network configuration: '%s' after the head; 'points' or 'regress' must be last", word);
      return -1;
    }
    int setting = strcmp(word, "width") == 0 || strcmp(word, "depth") == 0 || strcmp(word, "survive") == 0;
    if (b.x == 0 && !setting && strcmp(word, "conv") != 0) {
      snprintf(message, 512, "network configuration: '%s' of the picture; the first layer must be 'conv'", word);
      return -1;
    }
    if (stage(&b, word, v, points, message) != 0) return -1;
  }
  if (net_output(net)->op != ROTO_OP_POINTS && net_output(net)->op != ROTO_OP_DENSE) {
    snprintf(message, 512, "network configuration: it must end with 'points' or 'regress'");
    return -1;
  }
  return check_limits(net, message);
}
