/* See export.h.  Dropout nodes vanish; everything else is written as it stands. */

#include "export.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../tools/whole_file.h"

/* The self-test's picture in 8 bits, put back into the batch as the runtime will see it; then the network's answer. */
static void run_selftest(network *net, real *values, const export_options *o, unsigned char *pixels, float *output) {
  const net_node *in = &net->nodes[0], *out = net_output(net);
  size_t count = (size_t)in->h * in->w;
  for (size_t p = 0; p < count; p++)
    for (size_t k = 0; k < 3; k++) {
      float v = o->test_input[p * 4 + k] / o->scale[k] + o->mean[k];
      int q = (int)lrintf(fminf(fmaxf(v, 0), 1) * 255);
      pixels[p * 3 + k] = (unsigned char)q;
      net->outputs[0][p * 4 + k] = (real)(((float)q / 255 - o->mean[k]) * o->scale[k]);
    }
  real *own = net->values;
  net->values = values;
  const real *y = net_forward(net, 0, 0);
  for (uint32_t k = 0; k < out->c; k++) output[k] = (float)y[k];
  net->values = own;
}

int export_model(network *net, real *values, const character *ch, const export_options *o, unsigned char **bytes, size_t *size,
                 char *message) {
  const net_node *in = &net->nodes[0], *out = net_output(net);
  roto_node_desc *nodes = calloc(net->node_count, sizeof *nodes);
  uint32_t *renamed = calloc(net->node_count, sizeof *renamed);
  unsigned char *pixels = malloc((size_t)in->h * in->w * 3);
  float *output = malloc(out->c * sizeof *output);
  int status = -1;
  *bytes = NULL;
  if (nodes == NULL || renamed == NULL || pixels == NULL || output == NULL) {
    message_set(message, "out of memory while writing the model");
    goto done;
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < net->node_count; i++) {
    const net_node *n = &net->nodes[i];
    if (n->op == NET_OP_DROPOUT) {
      renamed[i] = renamed[n->inputs[0]];
      continue;
    }
    roto_node_desc *d = &nodes[count];
    renamed[i] = count++;
    d->op = (uint16_t)n->op;
    d->act = (uint16_t)n->act;
    d->input_count = n->input_count;
    for (uint32_t k = 0; k < n->input_count; k++) d->inputs[k] = renamed[n->inputs[k]];
    if (n->op == ROTO_OP_CONV || n->op == ROTO_OP_DEPTHWISE || n->op == ROTO_OP_MAXPOOL || n->op == ROTO_OP_AVGPOOL) {
      d->kh = n->kh;
      d->kw = n->kw;
      d->stride = n->stride;
      d->pad_top = n->pad_top;
      d->pad_left = n->pad_left;
      d->pad_bottom = n->pad_bottom;
      d->pad_right = n->pad_right;
    }
    d->h = n->h;
    d->w = n->w;
    d->c = n->c;
    d->epsilon = n->epsilon;
    d->channels_per_point = n->channels_per_point;
    for (int k = 0; k < 4; k++)
      if (n->params[k] >= 0) d->tensors[k] = (const float *)(values + net->params[n->params[k]].offset);
  }
  run_selftest(net, values, o, pixels, output);

  roto_model_desc model = {0};
  model.name = o->name;
  model.description = o->description;
  model.input_width = in->w;
  model.input_height = in->h;
  model.input_channels = 3;
  for (int k = 0; k < 3; k++) {
    model.input_mean[k] = o->mean[k];
    model.input_scale[k] = o->scale[k];
  }
  model.input_transfer = ROTO_TRANSFER_SRGB;
  model.crop_margin = o->crop_margin;
  model.landmarks = ch->landmarks;
  model.landmark_count = ch->landmark_count;
  model.parts = ch->parts;
  model.part_count = ch->part_count;
  model.shapes = ch->shapes;
  model.shape_count = ch->shape_count;
  model.knots = o->knots;
  model.knot_count = o->knot_count;
  model.nodes = nodes;
  model.node_count = count;
  model.test_pixels = pixels;
  model.test_output = output;
  model.test_tolerance = 2e-4f; /* of the crop's side: fp32 sums in another order differ by about 1e-6 */
  roto_status result = roto_write_model(&model, bytes, size);
  if (result != ROTO_OK)
    message_set(message, "the model cannot be written: %s", roto_status_text(result));
  else
    status = 0;
done:
  free(nodes);
  free(renamed);
  free(pixels);
  free(output);
  return status;
}

static int by_spread(const void *a, const void *b) {
  float x = ((const roto_knot *)a)->spread, y = ((const roto_knot *)b)->spread;
  return x < y ? -1 : x > y;
}

/* Isotonic regression by pooling adjacent violators (Ayer et al. 1955): where more doubt went with less error, the bins are one.
 * The largest error so far instead, kept for all bins behind it, let one bad bin of sure points make all others equally doubtful. */
uint32_t export_calibrate(roto_knot *pairs, size_t count, roto_knot *knots, uint32_t room) {
  qsort(pairs, count, sizeof *pairs, by_spread);
  double *sums = malloc(3 * (size_t)room * sizeof *sums), *spread = sums, *error = sums + room, *weight = sums + 2 * room;
  uint32_t made = 0;
  if (sums == NULL) return 0;
  for (uint32_t bin = 0; bin < room; bin++) {
    size_t begin = count * bin / room, end = count * (bin + 1) / room;
    if (begin == end) continue;
    spread[made] = error[made] = 0;
    weight[made] = (double)(end - begin);
    for (size_t i = begin; i < end; i++) {
      spread[made] += (double)pairs[i].spread;
      error[made] += (double)pairs[i].error;
    }
    for (made++; made > 1; made--) { /* the last two */
      uint32_t a = made - 2, b = made - 1;
      if (error[a] / weight[a] < error[b] / weight[b] && (float)(spread[a] / weight[a]) < (float)(spread[b] / weight[b])) break;
      spread[a] += spread[b], error[a] += error[b], weight[a] += weight[b];
    }
  }
  for (uint32_t i = 0; i < made; i++) knots[i] = (roto_knot){(float)(spread[i] / weight[i]), (float)(error[i] / weight[i])};
  free(sums);
  return made;
}
