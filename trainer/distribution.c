/* See distribution.h. */

#include "distribution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../model_format/write.h"
#include "../tools/cli.h"
#include "../tools/whole_file.h"

enum { LEAST_FRAMES = 8, MOST_GROUPS = 8, BLOCKS = 4, ROUNDS = 3, RENDERS = -1, NONE = -2 };

/* In steps: of a deviation that is no other landmark's, while it is measured; the least, as annotations are no better. */
static const double first_deviation = 0.3, least_deviation = 0.6;
static const double safety = 1.3;      /* a new shot differs more than one of these */
static const double adapt_frames = 10; /* of a shot: all that was learnt before counts as so many */

typedef struct sample {
  double *at;     /* [2 landmarks], laid over the mean */
  uint8_t *known; /* [landmarks] */
  double turn[2]; /* cosine and sine of that */
  const frame *from;
  int group; /* RENDERS, or which are left out together */
} sample;

typedef struct pool {
  uint32_t landmarks;
  sample *samples;
  size_t count;
  double *mean; /* [2 landmarks], 372 to the longer side of its box */
} pool;

/* A covariance, or behind invert() its inverse: [n][n]. */
typedef struct matrix {
  size_t n;
  double *v;
} matrix;

/* ---- samples, laid over each other ---- */

static int is_known(const frame *f, uint32_t i) {
  return f->valid[i] || (f->hidden != NULL && f->hidden[i]);
}

/* A frame's known landmarks turned, scaled and moved on to the mean's. */
static void lay(const pool *p, sample *s) {
  double from[2] = {0, 0}, to[2] = {0, 0}, a = 0, b = 0, square = 0, n = 0;
  for (uint32_t i = 0; i < p->landmarks; i++) {
    if (!s->known[i]) continue;
    for (int c = 0; c < 2; c++) from[c] += (double)s->from->points[2 * i + (uint32_t)c], to[c] += p->mean[2 * i + (uint32_t)c];
    n++;
  }
  for (int c = 0; c < 2; c++) from[c] /= n, to[c] /= n;
  for (uint32_t i = 0; i < p->landmarks; i++) {
    if (!s->known[i]) continue;
    double x = (double)s->from->points[2 * i] - from[0], y = (double)s->from->points[2 * i + 1] - from[1];
    double mx = p->mean[2 * i] - to[0], my = p->mean[2 * i + 1] - to[1];
    a += x * mx + y * my, b += x * my - y * mx, square += x * x + y * y;
  }
  a /= square, b /= square;
  s->turn[0] = a / hypot(a, b), s->turn[1] = b / hypot(a, b);
  for (uint32_t i = 0; i < p->landmarks; i++) {
    if (!s->known[i]) continue;
    double x = (double)s->from->points[2 * i] - from[0], y = (double)s->from->points[2 * i + 1] - from[1];
    s->at[2 * i] = to[0] + a * x - b * y, s->at[2 * i + 1] = to[1] + b * x + a * y;
  }
}

/* The mean with its centre at 0 and its size as the format wants it. */
static void centre(pool *p) {
  double low[2] = {1e300, 1e300}, high[2] = {-1e300, -1e300}, middle[2] = {0, 0};
  for (uint32_t i = 0; i < p->landmarks; i++)
    for (uint32_t c = 0; c < 2; c++) {
      double v = p->mean[2 * i + c];
      low[c] = fmin(low[c], v), high[c] = fmax(high[c], v);
      middle[c] += v / p->landmarks;
    }
  double scale = ROTO_CONTOUR_BOX / fmax(fmax(high[0] - low[0], high[1] - low[1]), 1e-9);
  for (uint32_t i = 0; i < 2 * p->landmarks; i++) p->mean[i] = scale * (p->mean[i] - middle[i % 2]);
}

/* Upright, as the samples are in the middle. */
static void average(pool *p) {
  double c = 1e-9, s = 0;
  memset(p->mean, 0, 2 * p->landmarks * sizeof *p->mean);
  for (size_t k = 0; k < p->count; k++) {
    c += p->samples[k].turn[0], s += p->samples[k].turn[1];
    for (uint32_t i = 0; i < 2 * p->landmarks; i++) p->mean[i] += p->samples[k].at[i] / (double)p->count;
  }
  double length = hypot(c, s);
  for (uint32_t i = 0; i < p->landmarks; i++) {
    double x = p->mean[2 * i], y = p->mean[2 * i + 1];
    p->mean[2 * i] = (c * x + s * y) / length, p->mean[2 * i + 1] = (c * y - s * x) / length;
  }
  centre(p);
}

/* ---- covariance ---- */

/* Of the samples but those of a group (NONE: of all), and `deviation` about it. */
static void covariance(const pool *p, int but, double deviation, matrix *m) {
  size_t n = m->n, count = 0;
  double *mean = cli_alloc(n, sizeof *mean), *away = cli_alloc(n, sizeof *away);
  memset(m->v, 0, n * n * sizeof *m->v);
  for (size_t k = 0; k < p->count; k++)
    if (p->samples[k].group != but && ++count)
      for (size_t i = 0; i < n; i++) mean[i] += p->samples[k].at[i];
  for (size_t i = 0; i < n; i++) mean[i] /= (double)count;
  for (size_t k = 0; k < p->count; k++) {
    if (p->samples[k].group == but) continue;
    for (size_t i = 0; i < n; i++) away[i] = p->samples[k].at[i] - mean[i];
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++) m->v[n * i + j] += away[i] * away[j] / (double)count;
  }
  for (size_t i = 0; i < n; i++) m->v[n * i + i] += deviation * deviation;
  free(mean);
  free(away);
}

/* Free to turn, scale and move by a third of their size. */
static void loosen(const pool *p, matrix *m) {
  const double third = (double)ROTO_CONTOUR_BOX / 3;
  for (size_t i = 0; i < m->n; i++)
    for (size_t j = 0; j <= i; j++) {
      const double *x = p->mean + i / 2 * 2, *y = p->mean + j / 2 * 2;
      double turned_i = i % 2 ? x[0] : -x[1], turned_j = j % 2 ? y[0] : -y[1];
      m->v[m->n * i + j] += (p->mean[i] * p->mean[j] + turned_i * turned_j) / 9 + (i % 2 == j % 2 ? third * third : 0);
    }
}

/* The inverse in place of a symmetric matrix of which the lower half is given, by Cholesky's decomposition; both halves. */
static void invert(matrix *m) {
  size_t n = m->n;
  double *v = m->v;
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k <= i; k++) {
      double sum = v[n * i + k];
      for (size_t j = 0; j < k; j++) sum -= v[n * i + j] * v[n * k + j];
      v[n * i + k] = i == k ? sqrt(fmax(sum, 1e-12)) : sum / v[n * k + k];
    }
  for (size_t k = 0; k < n; k++) { /* of the factor */
    v[n * k + k] = 1 / v[n * k + k];
    for (size_t i = k + 1; i < n; i++) {
      double sum = 0;
      for (size_t j = k; j < i; j++) sum -= v[n * i + j] * v[n * j + k];
      v[n * i + k] = sum / v[n * i + i];
    }
  }
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k <= i; k++) {
      double sum = 0;
      for (size_t j = i; j < n; j++) sum += v[n * j + i] * v[n * j + k];
      v[n * i + k] = sum;
    }
  for (size_t i = 0; i < n; i++)
    for (size_t k = i + 1; k < n; k++) v[n * i + k] = v[n * k + i];
}

/* The inverse covariance of figures that may turn, scale and move, of the samples but those of a group. */
static void foresee(const pool *p, int but, matrix *inverse) {
  covariance(p, but, first_deviation, inverse);
  loosen(p, inverse);
  invert(inverse);
}

/* Put the landmarks that a sample lacks where the others say, given the inverse covariance: P_uu d_u = - P_uk d_k. */
static void fill(const pool *p, const matrix *inverse, sample *s) {
  size_t n = inverse->n, count = 0, *unknown = cli_alloc(n, sizeof *unknown);
  for (size_t i = 0; i < n; i++)
    if (!s->known[i / 2]) unknown[count++] = i;
  matrix own = {count, cli_alloc(count * count + 1, sizeof(double))};
  double *right = cli_alloc(count + 1, sizeof *right);
  for (size_t a = 0; a < count; a++) {
    for (size_t i = 0; i < n; i++)
      if (s->known[i / 2]) right[a] -= inverse->v[n * unknown[a] + i] * (s->at[i] - p->mean[i]);
    for (size_t b = 0; b <= a; b++) own.v[count * a + b] = inverse->v[n * unknown[a] + unknown[b]];
  }
  if (count > 0) invert(&own);
  for (size_t a = 0; a < count; a++) {
    s->at[unknown[a]] = p->mean[unknown[a]];
    for (size_t b = 0; b < count; b++) s->at[unknown[a]] += own.v[count * a + b] * right[b];
  }
  free(unknown);
  free(own.v);
  free(right);
}

/* ---- how much a shot differs that was left out ---- */

/* Mean squared distance of landmarks foretold from the other landmarks, of the samples of a group by the other groups. */
static double foretell(const pool *p, int group, matrix *m, double *landmarks) {
  size_t n = m->n;
  double sum = 0;
  foresee(p, group, m);
  for (size_t k = 0; k < p->count; k++) {
    const sample *s = &p->samples[k];
    if (s->group != group) continue;
    for (uint32_t i = 0; i < p->landmarks; i++) {
      if (!s->known[i]) continue;
      /* Given the others a landmark has the inverse covariance of its own block. */
      const double *row = m->v + n * 2 * i;
      double xx = row[2 * i], xy = row[2 * i + 1], yy = row[n + 2 * i + 1], x = 0, y = 0, det = xx * yy - xy * xy;
      for (size_t j = 0; j < n; j++) x += row[j] * (s->at[j] - p->mean[j]), y += row[n + j] * (s->at[j] - p->mean[j]);
      double dx = (yy * x - xy * y) / det, dy = (xx * y - xy * x) / det;
      sum += dx * dx + dy * dy;
      (*landmarks)++;
    }
  }
  return sum;
}

static double find_deviation(const pool *p, matrix *m) {
  double sum = 0, landmarks = 0;
  for (int group = 0; group < MOST_GROUPS; group++) {
    size_t left_out = 0;
    for (size_t k = 0; k < p->count; k++) left_out += p->samples[k].group == group;
    if (left_out > 0 && left_out < p->count) sum += foretell(p, group, m, &landmarks);
  }
  return fmax(least_deviation, safety * sqrt(sum / fmax(landmarks, 1)));
}

/* ---- from frames to the chunk ---- */

static void free_pool(pool *p) {
  for (size_t k = 0; k < p->count; k++) {
    free(p->samples[k].at);
    free(p->samples[k].known);
  }
  free(p->samples);
  free(p->mean);
}

static void gather(const dataset *ds, pool *p) {
  p->samples = cli_alloc(ds->frame_count + 1, sizeof *p->samples);
  p->mean = cli_alloc(2 * (size_t)p->landmarks, sizeof *p->mean);
  int shots = 0, last = -1, group = -1;
  for (size_t i = 0; i < ds->frame_count; i++) {
    const frame *f = &ds->frames[i];
    uint32_t known = 0;
    if (f->points == NULL) continue;
    for (uint32_t k = 0; k < p->landmarks; k++) known += (uint32_t)is_known(f, k);
    if (2 * known < p->landmarks + 4 || !(fmaxf(f->box.width, f->box.height) > 0)) continue;
    sample *s = &p->samples[p->count++];
    s->at = cli_alloc(2 * (size_t)p->landmarks, sizeof *s->at);
    s->known = cli_alloc(p->landmarks, 1);
    s->from = f;
    for (uint32_t k = 0; k < p->landmarks; k++) s->known[k] = (uint8_t)is_known(f, k);
    if (f->channels == 4) {
      s->group = RENDERS;
      continue;
    }
    if ((int)f->shot != last) shots++, last = (int)f->shot, group++;
    s->group = group % MOST_GROUPS;
  }
  size_t renders = 0;
  for (size_t k = 0; k < p->count; k++) renders += p->samples[k].group == RENDERS;
  if (shots > 1 || (shots == 1 && renders > 0)) return;
  for (size_t k = 0; k < p->count; k++) p->samples[k].group = (int)(k * BLOCKS / p->count);
}

/* Lay all over each other, first those that lack nothing.  0: there are too few of these. */
static int settle(pool *p, matrix *m) {
  size_t whole = 0;
  for (size_t k = 0; k < p->count; k++) {
    sample s = p->samples[k];
    if (memchr(s.known, 0, p->landmarks) != NULL) continue;
    p->samples[k] = p->samples[whole];
    p->samples[whole++] = s;
  }
  if (whole < LEAST_FRAMES) return 0;
  size_t all = p->count;
  for (uint32_t i = 0; i < 2 * p->landmarks; i++) p->mean[i] = (double)p->samples[0].from->points[i];
  centre(p);
  for (int round = 0; round < 2 * ROUNDS; round++) {
    p->count = round < ROUNDS ? whole : all;
    for (size_t k = 0; k < p->count; k++) lay(p, &p->samples[k]);
    if (whole < p->count) {
      pool known = *p;
      if (round == ROUNDS) known.count = whole;
      foresee(&known, NONE, m);
      for (size_t k = whole; k < p->count; k++) fill(p, m, &p->samples[k]);
    }
    average(p);
  }
  for (size_t k = 0; k < p->count; k++) lay(p, &p->samples[k]);
  return 1;
}

/* Components whose products add up to the covariance, those first that explain most: Cholesky's decomposition with the
 * largest diagonal left as the next, to `least` of it. */
static uint32_t decompose(matrix *m, double least, float *components) {
  size_t n = m->n;
  double *column = cli_alloc(n, sizeof *column);
  uint32_t made = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t j = i + 1; j < n; j++) m->v[n * i + j] = m->v[n * j + i];
  for (; made < ROTO_MAX_COMPONENTS; made++) {
    size_t most = 0;
    for (size_t i = 1; i < n; i++)
      if (m->v[n * i + i] > m->v[n * most + most]) most = i;
    double root = sqrt(fmax(m->v[n * most + most], 0));
    if (!(root > least)) break;
    for (size_t i = 0; i < n; i++) column[i] = m->v[n * i + most] / root;
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) m->v[n * i + j] -= column[i] * column[j];
    for (size_t i = 0; i < n; i++) components[made * n + i] = (float)column[i];
  }
  free(column);
  return made;
}

int distribution_train(const unsigned char *file, size_t file_size, const dataset *ds, unsigned char **bytes, size_t *size,
                       char *message) {
  pool p = {ds->landmark_count, NULL, 0, NULL};
  size_t n = 2 * (size_t)ds->landmark_count;
  matrix m = {n, cli_alloc(n * n, sizeof(double))};
  float *mean = cli_alloc(n, sizeof *mean), *components = cli_alloc(ROTO_MAX_COMPONENTS * n, sizeof *components);
  roto_status status = ROTO_OK;
  *bytes = NULL;
  gather(ds, &p);
  if (p.landmarks >= 4 && settle(&p, &m)) {
    double deviation = find_deviation(&p, &m), left = 0;
    covariance(&p, NONE, 0, &m);
    uint32_t count = decompose(&m, 0.1 * deviation, components);
    for (size_t i = 0; i < n; i++) left += fmax(m.v[n * i + i], 0) / (double)n, mean[i] = (float)p.mean[i];
    roto_distribution_desc desc = {mean, components, count, (float)sqrt(deviation * deviation + left)};
    if (count > 0) status = roto_write_distribution(file, file_size, &desc, bytes, size);
  }
  free_pool(&p);
  free(m.v);
  free(mean);
  free(components);
  return status == ROTO_OK ? 0 : message_set(message, "the model cannot be written: %s", roto_status_text(status));
}

/* The mean and the covariance go on towards those of the frames, by their share. */
int distribution_adapt(const unsigned char *file, size_t file_size, const dataset *ds, unsigned char **bytes, size_t *size,
                       char *message) {
  size_t length, n = 2 * (size_t)ds->landmark_count;
  const unsigned char *chunk = roto_find_chunk(file, ROTO_CHUNK_DIST, &length);
  *bytes = NULL;
  if (chunk == NULL) return 0;
  uint32_t count = (uint32_t)roto_load(chunk + ROTO_DISTRIBUTION_COMPONENTS, 4);
  float deviation = roto_load_float(chunk + ROTO_DISTRIBUTION_DEVIATION);
  const unsigned char *at = chunk + ROTO_DISTRIBUTION_SIZE;
  pool p = {ds->landmark_count, NULL, 0, NULL};
  matrix m = {n, cli_alloc(n * n, sizeof(double))}, inverse = {n, cli_alloc(n * n, sizeof(double))};
  float *mean = cli_alloc(n, sizeof *mean), *components = cli_alloc(ROTO_MAX_COMPONENTS * n, sizeof *components);
  roto_status status = ROTO_OK;
  gather(ds, &p);
  for (size_t i = 0; i < n; i++) p.mean[i] = (double)roto_load_float(at + 4 * i);
  for (size_t k = 0; k < count; k++) {
    const unsigned char *c = at + 4 * n * (k + 1);
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j <= i; j++) m.v[n * i + j] += (double)roto_load_float(c + 4 * i) * (double)roto_load_float(c + 4 * j);
  }
  memcpy(inverse.v, m.v, n * n * sizeof *m.v);
  for (size_t i = 0; i < n; i++) inverse.v[n * i + i] += (double)(deviation * deviation);
  loosen(&p, &inverse);
  invert(&inverse);
  double share = (double)p.count / ((double)p.count + adapt_frames), *moved = cli_alloc(n, sizeof *moved);
  for (size_t k = 0; k < p.count; k++) {
    lay(&p, &p.samples[k]);
    fill(&p, &inverse, &p.samples[k]);
    for (size_t i = 0; i < n; i++) moved[i] += share / (double)p.count * (p.samples[k].at[i] - p.mean[i]);
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j <= i; j++) {
      double with = (1 - share) * (m.v[n * i + j] + moved[i] * moved[j]);
      for (size_t k = 0; k < p.count; k++) {
        const double *x = p.samples[k].at;
        with += share / (double)p.count * (x[i] - p.mean[i] - moved[i]) * (x[j] - p.mean[j] - moved[j]);
      }
      m.v[n * i + j] = with;
    }
  for (size_t i = 0; i < n; i++) mean[i] = (float)(p.mean[i] + moved[i]);
  roto_distribution_desc desc = {mean, components, decompose(&m, 0.1 * (double)deviation, components), deviation};
  if (p.count > 0 && desc.component_count > 0) status = roto_write_distribution(file, file_size, &desc, bytes, size);
  free_pool(&p);
  free(m.v);
  free(inverse.v);
  free(mean);
  free(components);
  free(moved);
  return status == ROTO_OK ? 0 : message_set(message, "the model cannot be written: %s", roto_status_text(status));
}
