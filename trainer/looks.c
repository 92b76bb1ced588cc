/* See looks.h.  Boxes cut in half need no start values and no rounds, and a symmetric face gets symmetric looks. */

#include "looks.h"

#include <math.h>
#include <string.h>

/* Mean place of each landmark in boxes of the frames, averaged with its mirrored twin's. */
static void mean_places(const character *ch, const dataset *ds, double place[][2]) {
  double sum[ROTO_MAX_LANDMARKS][2] = {{0}}, count[ROTO_MAX_LANDMARKS] = {0};
  for (size_t i = 0; i < ds->frame_count; i++) {
    const frame *f = &ds->frames[i];
    double side = fmax((double)f->box.width, (double)f->box.height);
    for (uint32_t k = 0; k < ch->landmark_count && side > 0; k++) {
      if (!f->valid[k] && !f->hidden[k]) continue;
      sum[k][0] += ((double)f->points[2 * k] - (double)f->box.x - 0.5 * (double)f->box.width) / side;
      sum[k][1] += ((double)f->points[2 * k + 1] - (double)f->box.y - 0.5 * (double)f->box.height) / side;
      count[k]++;
    }
  }
  for (uint32_t k = 0; k < ch->landmark_count; k++) {
    uint32_t twin = ch->landmarks[k].flip;
    double weight = count[k] + count[twin] > 0 ? 1 / (count[k] + count[twin]) : 0;
    place[k][0] = (sum[k][0] - sum[twin][0]) * weight;
    place[k][1] = (sum[k][1] + sum[twin][1]) * weight;
  }
}

void looks_choose(const character *ch, const dataset *ds, uint32_t count, look_plan *plan) {
  double place[ROTO_MAX_LANDMARKS][2];
  memset(plan, 0, sizeof *plan);
  mean_places(ch, ds, place);
  for (plan->count = 1; plan->count < count; plan->count++) {
    double longest = 0, middle = 0;
    uint32_t cut = 0;
    int axis = 0;
    for (uint32_t look = 0; look < plan->count; look++)
      for (int a = 0; a < 2; a++) {
        double low = INFINITY, high = -INFINITY;
        for (uint32_t k = 0; k < ch->landmark_count; k++)
          if (plan->look[k] == look) low = fmin(low, place[k][a]), high = fmax(high, place[k][a]);
        if (high - low > longest) longest = high - low, middle = 0.5 * (low + high), cut = look, axis = a;
      }
    if (!(longest > 0)) return;
    for (uint32_t k = 0; k < ch->landmark_count; k++)
      if (plan->look[k] == cut && place[k][axis] > middle) plan->look[k] = plan->count;
  }
}

int looks_frame(const frame *f, const look_plan *plan, uint32_t landmark_count, uint32_t look, frame *seen, uint8_t *known) {
  float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  float least = ROTO_LOOK_LEAST * fmaxf(f->box.width, f->box.height);
  *seen = *f;
  seen->valid = known;
  seen->hidden = known + landmark_count;
  for (uint32_t k = 0; k < landmark_count; k++) {
    int here = plan->look[k] == look;
    seen->valid[k] = here ? f->valid[k] : 0;
    seen->hidden[k] = here ? f->hidden[k] : 0;
    for (int a = 0; a < 2 && (seen->valid[k] || seen->hidden[k]); a++) {
      low[a] = fminf(low[a], f->points[2 * k + (uint32_t)a]);
      high[a] = fmaxf(high[a], f->points[2 * k + (uint32_t)a]);
    }
  }
  if (!(high[0] >= low[0])) return 0;
  float grow = fmaxf(0, least - fmaxf(high[0] - low[0], high[1] - low[1]));
  seen->box.x = low[0] - 0.5f * grow;
  seen->box.y = low[1] - 0.5f * grow;
  seen->box.width = high[0] - low[0] + grow;
  seen->box.height = high[1] - low[1] + grow;
  return 1;
}
