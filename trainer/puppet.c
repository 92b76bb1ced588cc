/* The puppet of puppet.h.
 *
 * Everything is a grid of vertices with a function that places vertex (row, column) for a pose.  Face parts are placed on one
 * star-shaped surface, skin(direction) + height: an ellipsoid with bumps, smoothly joined with a lid sphere around each
 * eyeball.  The skin's grid runs over azimuth and elevation and has a rectangular hole around each eye; the hole is filled
 * with rings that lead from the hole's border to the lid opening, so the opening is a chain of edges and the surface stays
 * closed when the lids move.
 *
 * Paint works on the position at rest, so it sticks to the face. */

#include "puppet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "noise.h"

#define PI 3.14159265f

enum {
  SIDE_COLUMNS = 26, /* of the skin, from an eye's hole to the back of the head */
  HOLE_COLUMNS = 20,
  HOLE_ROWS = 16,
  BRIDGE_COLUMNS = 4,
  SKIN_COLUMNS = 2 * (SIDE_COLUMNS + HOLE_COLUMNS) + BRIDGE_COLUMNS,
  BELOW_ROWS = 28,
  ABOVE_ROWS = 18,
  SKIN_ROWS = BELOW_ROWS + HOLE_ROWS + ABOVE_ROWS,
  LID_COLUMNS = 2 * (HOLE_COLUMNS + HOLE_ROWS),
  LID_RINGS = 16, /* the last ring is the hole's border */
  BROW_COLUMNS = 48,
  BROW_ROWS = 12,
  SEAM_COLUMNS = 48,
  LOCK_ROWS = 14,
  LOCK_COLUMNS = 10,
  MAX_LOCKS = 110,
  MAX_GRIDS = 40 + MAX_LOCKS,
  ATTRIBUTES = 7
};

enum { REST_X, REST_Y, REST_Z, ALONG, ACROSS, NUMBER, SHADE }; /* attributes; SHADE: ambient occlusion */

enum { SKIN, EYE, BROW, SEAM, LIP, MOUTH, HAIR, COAT, SCARF, BUTTON };

typedef struct grid grid;
typedef void (*placer)(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]);

struct grid {
  placer place;
  int rows, columns; /* vertices */
  int wrap;          /* the last column joins the first */
  int inside_out;
  int turns; /* with the head */
  int side;  /* -1 left of the picture, 1 right */
  int number;
  uint16_t material;
  uint32_t first;
};

/* A tapered strand of clay from near the crown outwards, in polar coordinates around the crown. */
typedef struct lock {
  float turn, swirl; /* azimuth of the root, and how far the tip turns away */
  float root, tip;   /* polar angles */
  float width, height, lift;
} lock;

struct puppet {
  raster_mesh mesh;
  puppet_layout layout;
  grid grids[MAX_GRIDS];
  int grid_count;
  lock locks[MAX_LOCKS];
  int lock_count;
  uint32_t skin_first, lid_first[2], brow_first[2], seam_first[3];
  float *attributes;
  uint32_t *triangles;
  uint16_t *materials;
  uint32_t *outlines; /* the vertex lists of the layout's shapes */
  float width, nose;  /* proportions of the variant */
  float skin_colour[3], hair_colour[3], iris_colour[3], coat_colour[3], scarf_colour[2][3];
};

/* Small mathematics */

static float clampf(float x, float low, float high) {
  return x < low ? low : x > high ? high : x;
}

static float mix(float a, float b, float t) {
  return a + (b - a) * t;
}

static float smooth(float low, float high, float x) {
  float t = clampf((x - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

static float length3(const float *a) {
  return sqrtf(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
}

/* The face's surface */

static const float eye_centre[3] = {0.192f, 0.035f, 0.318f}; /* right of the picture; the other is its mirror image */
static const float eye_radius = 0.142f, lid_thickness = 0.011f, contour_gap = 0.001f;
static const float neck[3] = {0, -0.52f, -0.06f};

static float bump(float a, float e, float at_a, float at_e, float size_a, float size_e) {
  float x = (a - at_a) / size_a, y = (e - at_e) / size_e;
  return expf(-(x * x + y * y));
}

static void direction_of(float a, float e, float d[3]) {
  d[0] = sinf(a) * cosf(e), d[1] = sinf(e), d[2] = cosf(a) * cosf(e);
}

static void angles_of(const float *p, float *a, float *e) {
  *a = atan2f(p[0], p[2]);
  *e = asinf(p[1] / length3(p));
}

/* Distance from the centre to the skull, without lids. */
static float skull(const puppet *p, const puppet_face *face, float a, float e) {
  float d[3], m = fabsf(a);
  direction_of(a, e, d);
  float x = d[0] / (0.485f * p->width), y = d[1] / (d[1] > 0 ? 0.57f : 0.60f), z = d[2] / (d[2] > 0 ? 0.455f : 0.50f);
  float r = 1 / sqrtf(x * x + y * y + z * z);
  float smile = face->smile, open = face->mouth_open;
  r += 0.045f * bump(m, e, 0.80f, -0.42f + 0.05f * smile, 0.42f, 0.34f) * (1 + 0.35f * smile); /* cheeks */
  r += 0.050f * bump(m, e, 0, -1.02f - 0.06f * open, 0.45f, 0.22f);                            /* chin */
  r += 0.022f * bump(m, e, 0.34f, 0.44f, 0.30f, 0.16f);                                        /* brow ridge */
  r -= 0.040f * bump(m, e, 0.33f, 0.06f, 0.27f, 0.24f);                                        /* sockets */
  r -= 0.030f * bump(m, e, 1.25f, 0.25f, 0.35f, 0.45f);                                        /* temples */
  r += 0.020f * bump(m, e, 0, -0.52f, 0.34f, 0.20f);                                           /* muzzle */
  r -= 0.020f * bump(m, e, 1.25f, -0.95f, 0.5f, 0.3f);                                         /* under the jaw */
  return r;
}

/* Far crossing of the ray from the head's centre with the sphere around the eye on one side. */
static float sphere(const float d[3], int side, float radius) {
  float along = d[0] * eye_centre[0] * (float)side + d[1] * eye_centre[1] + d[2] * eye_centre[2];
  float c = eye_centre[0] * eye_centre[0] + eye_centre[1] * eye_centre[1] + eye_centre[2] * eye_centre[2];
  float inside = along * along - c + radius * radius;
  return along + (inside > 0 ? sqrtf(inside) : 0);
}

static float smooth_max(float a, float b, float k) {
  float h = clampf(k - fabsf(a - b), 0, k) / k;
  return (a > b ? a : b) + h * h * k * 0.25f;
}

static float skin(const puppet *p, const puppet_face *face, float a, float e) {
  float d[3];
  direction_of(a, e, d);
  return smooth_max(skull(p, face, a, e), sphere(d, a < 0 ? -1 : 1, eye_radius + lid_thickness), 0.06f);
}

static void place_at(float a, float e, float r, float point[3]) {
  direction_of(a, e, point);
  for (int i = 0; i < 3; i++) point[i] *= r;
}

/* Half an outline from end to end, round in the middle and pointed at the ends: share of the way, and height. */
static float outline_along(float share) {
  return 0.5f - 0.5f * cosf(PI * share);
}
static float outline_height(float share, float round) {
  float s = sinf(PI * share);
  return round * s + (1 - round) * s * s;
}

/* Direction of vertex `column` of the lid opening: from the outer corner over the upper lid to the inner corner and back. */
static void opening(const puppet_face *face, int side, int column, float *a, float *e) {
  int half = LID_COLUMNS / 2, upper = column <= half, eye = side > 0;
  float share = (float)(upper ? column : LID_COLUMNS - column) / (float)half, along = outline_along(share);
  float low = -0.40f * (1 - face->lower_lid[eye]) * (0.85f + 0.3f * along);
  float high = mix(0.66f * (1.05f - 0.10f * along), low, face->upper_lid[eye]);
  float u = mix(0.80f, -0.70f, along), v = mix(0.02f, -0.07f, along); /* outwards, up */
  v += (upper ? high : low) * outline_height(share, 0.62f);
  float radius = eye_radius + contour_gap;
  float point[3] = {(float)side * (eye_centre[0] + radius * sinf(u) * cosf(v)), eye_centre[1] + radius * sinf(v),
                    eye_centre[2] + radius * cosf(u) * cosf(v)};
  angles_of(point, a, e);
}

/* How far the lid has risen from the eyeball to the skin, at a share of the way to the hole's border: a rounded rim, and a
 * long slope where a seam runs into the corner of the eye (corner = 1). */
static float lid_rise(float share, float corner) {
  float t = 1 - clampf(share / mix(0.09f, 0.55f, corner), 0, 1);
  return mix(sqrtf(1 - t * t), 1 - t * t, corner);
}

static float lid_share(int ring) {
  float t = (float)ring / LID_RINGS;
  return ring < 5 ? 0.09f * (float)(ring * ring) / 25
                  : mix(0.09f, 1, powf((t - 5.0f / LID_RINGS) / (1 - 5.0f / LID_RINGS), 1.3f));
}

/* Azimuth and elevation of the skin's grid lines; holes lie between lines whatever the pose. */
static const float hole_left = 0.055f, hole_right = 0.86f, hole_bottom = -0.34f, hole_top = 0.47f;

static float line_azimuth(int column) {
  int from_back = column < SKIN_COLUMNS / 2 ? column : SKIN_COLUMNS - column;
  float sign = column < SKIN_COLUMNS / 2 ? -1.0f : 1.0f, m;
  if (from_back <= SIDE_COLUMNS) {
    float t = 1 - (float)from_back / SIDE_COLUMNS;
    m = mix(hole_right, PI, 0.55f * t + 0.45f * t * t);
  } else if (from_back <= SIDE_COLUMNS + HOLE_COLUMNS) {
    m = mix(hole_right, hole_left, (float)(from_back - SIDE_COLUMNS) / HOLE_COLUMNS);
  } else {
    m = hole_left * (1 - 2.0f * (float)(from_back - SIDE_COLUMNS - HOLE_COLUMNS) / BRIDGE_COLUMNS);
  }
  return sign * m;
}

static float line_elevation(int row) {
  if (row <= BELOW_ROWS) return mix(-PI / 2, hole_bottom, (float)row / BELOW_ROWS);
  if (row <= BELOW_ROWS + HOLE_ROWS) return mix(hole_bottom, hole_top, (float)(row - BELOW_ROWS) / HOLE_ROWS);
  return mix(hole_top, PI / 2, (float)(row - BELOW_ROWS - HOLE_ROWS) / ABOVE_ROWS);
}

static void place_skin(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)g;
  float a = line_azimuth(column), e = line_elevation(row);
  if (row == 0 || row == SKIN_ROWS) a = 0;
  place_at(a, e, skin(p, face, a, e), point);
}

/* Row and column of the skin's grid at place `column` of a hole's border, counted like the opening. */
static void hole_border(int side, int column, int *row, int *skin_column) {
  int inward, up, h = HOLE_ROWS / 2, c = column; /* inward from the outer edge, up from the bottom */
  if (c <= h) {
    inward = 0, up = h + c;
  } else if (c <= h + HOLE_COLUMNS) {
    inward = c - h, up = HOLE_ROWS;
  } else if (c <= 3 * h + HOLE_COLUMNS) {
    inward = HOLE_COLUMNS, up = HOLE_ROWS - (c - h - HOLE_COLUMNS);
  } else if (c <= 3 * h + 2 * HOLE_COLUMNS) {
    inward = HOLE_COLUMNS - (c - 3 * h - HOLE_COLUMNS), up = 0;
  } else {
    inward = 0, up = c - 3 * h - 2 * HOLE_COLUMNS;
  }
  *row = BELOW_ROWS + up;
  *skin_column = side < 0 ? SIDE_COLUMNS + inward : SKIN_COLUMNS - SIDE_COLUMNS - inward;
}

static void place_lid(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float a, e, d[3], share = lid_share(row);
  int border_row, border_column;
  opening(face, g->side, column, &a, &e);
  hole_border(g->side, column, &border_row, &border_column);
  a = mix(a, line_azimuth(border_column), share);
  e = mix(e, line_elevation(border_row), share);
  direction_of(a, e, d);
  float ball = sphere(d, g->side, eye_radius + contour_gap);
  float along = cosf(2 * PI * (float)column / LID_COLUMNS), corner = along * along * along * along;
  place_at(a, e, mix(ball, skin(p, face, a, e), lid_rise(share, corner * corner)), point);
}

static void place_eye(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)p;
  float polar = PI * (float)row / (float)(g->rows - 1), turn = 2 * PI * (float)column / (float)g->columns;
  float local[3] = {sinf(polar) * cosf(turn), sinf(polar) * sinf(turn), cosf(polar)};
  float c = cosf(face->gaze[1]), s = sinf(face->gaze[1]);
  float y = c * local[1] + s * local[2], z = c * local[2] - s * local[1];
  c = cosf(face->gaze[0]), s = sinf(face->gaze[0]);
  point[0] = (float)g->side * eye_centre[0] + eye_radius * (c * local[0] + s * z);
  point[1] = eye_centre[1] + eye_radius * y;
  point[2] = eye_centre[2] + eye_radius * (c * z - s * local[0]);
}

/* Brow: centre line and half width at a share of the way from the inner to the outer tip. */
static void brow_line(const puppet_face *face, int side, float share, float *a, float *e, float *half) {
  int eye = side > 0;
  float s = outline_along(share), arch = 4 * s * (1 - s);
  *a = mix(0.125f, 0.755f, s);
  *e = 0.515f - 0.03f * s + 0.055f * arch * (1 + 1.1f * face->brow_bend[eye]);
  *e += 0.15f * face->brow_lift[eye] + 0.17f * face->brow_tilt[eye] * (0.55f - s);
  *half = 0.066f * outline_height(share, 0.62f) * (1.12f - 0.35f * s);
}

static void place_brow(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  int inner_first = g->side > 0 ? column : BROW_COLUMNS - column;
  float share = (float)inner_first / BROW_COLUMNS, t = 2.0f * (float)row / BROW_ROWS - 1, a, e, half;
  float a0, e0, a1, e1, unused;
  brow_line(face, g->side, share, &a, &e, &half);
  brow_line(face, g->side, clampf(share - 0.01f, 0, 1), &a0, &e0, &unused);
  brow_line(face, g->side, clampf(share + 0.01f, 0, 1), &a1, &e1, &unused);
  float da = a1 - a0, de = e1 - e0, length = sqrtf(da * da + de * de);
  a -= de / length * half * t, e += da / length * half * t;
  float bulge = powf(1 - t * t, 0.7f) * clampf(half / 0.06f, 0, 1);
  a *= (float)g->side;
  float ridge = 0.004f * sinf(38 * share + 5 * t) * bulge; /* combed clay */
  place_at(a, e, skin(p, face, a, e) + 0.003f + 0.017f * bulge + ridge, point);
}

/* Centre line of a seam, 0 left, 1 nose, 2 right, from the left of the picture to its right; and the share of lid at it. */
static void seam_line(const puppet_face *face, int seam, float share, float *a, float *e, float *corner) {
  float a0, e0, a1, e1;
  *corner = 1;
  if (seam == 1) {
    opening(face, -1, LID_COLUMNS / 2, &a0, &e0);
    opening(face, 1, LID_COLUMNS / 2, &a1, &e1);
    *a = mix(a0, a1, share), *e = mix(e0, e1, share) + 0.035f * 4 * share * (1 - share);
    *corner = share < 0.5f ? share : 1 - share;
    return;
  }
  int side = seam == 0 ? -1 : 1;
  float out = side < 0 ? 1 - share : share; /* from the eye outwards */
  opening(face, side, 0, &a0, &e0);
  a1 = (float)side * 1.0f, e1 = 0.05f;
  *a = mix(a0, a1, out), *e = mix(e0, e1, out) + 0.025f * sinf(PI * out);
  *corner = out;
}

static void place_seam(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float share = (float)column / SEAM_COLUMNS, a, e, a0, e0, a1, e1, corner, unused, d[3];
  seam_line(face, g->number, share, &a, &e, &corner);
  seam_line(face, g->number, clampf(share - 0.01f, 0, 1), &a0, &e0, &unused);
  seam_line(face, g->number, clampf(share + 0.01f, 0, 1), &a1, &e1, &unused);
  float da = a1 - a0, de = e1 - e0, length = sqrtf(da * da + de * de), t = (float)(row - 1);
  a -= de / length * 0.0085f * t, e += da / length * 0.0085f * t;
  direction_of(a, e, d);
  float rise = lid_rise(corner * (g->number == 1 ? 2.6f : 1.7f), 1);
  float ball = sphere(d, a < 0 ? -1 : 1, eye_radius + contour_gap);
  place_at(a, e, mix(ball, skin(p, face, a, e), rise) + 0.003f, point);
}

/* Mouth: middle line of the lips and half the opening at s = -1 to 1. */
static void mouth_line(const puppet_face *face, float s, float *a, float *e, float *half) {
  *a = 0.33f * s * (1 + 0.25f * face->mouth_wide + 0.12f * face->smile);
  *e = -0.60f + 0.10f * face->smile * (s * s - 0.35f) + 0.008f * s;
  *half = 0.007f * (1 - s * s * s * s) + 0.13f * face->mouth_open * sqrtf(clampf(1 - s * s, 0, 1));
}

static void place_mouth(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float s = -cosf(PI * (float)column / (float)(g->columns - 1)), a, e, half;
  float t = 2 * (float)row / (float)(g->rows - 1) - 1;
  mouth_line(face, s, &a, &e, &half);
  e += t * half * (t > 0 ? 0.8f : 1.2f);
  place_at(a, e, skin(p, face, a, e) + 0.003f, point);
}

static void place_lip(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float share = (float)column / (float)(g->columns - 1), s = -cosf(PI * share) * 1.06f, a, e, half;
  float t = (float)row / (float)(g->rows - 1), c = clampf(s, -1, 1);
  mouth_line(face, c, &a, &e, &half);
  a += 0.33f * (s - c);
  float thick = (g->number ? 0.050f : 0.062f) * (0.25f + 0.75f * sinf(PI * share)) * (1 - 0.25f * face->mouth_open);
  float dip = g->number ? 0.16f * bump(s, 0, 0, 0, 0.14f, 1) : 0; /* Cupid's bow */
  e += g->number ? 0.8f * half + t * thick * (1 - dip) : -1.2f * half - t * thick;
  float bulge = sqrtf(clampf(1 - (2 * t - 1) * (2 * t - 1), 0, 1)) * sinf(PI * share);
  place_at(a, e, skin(p, face, a, e) + 0.0015f + 0.022f * bulge, point);
}

static void ball(const grid *g, int row, int column, float local[3]) {
  float polar = PI * (float)row / (float)(g->rows - 1), turn = 2 * PI * (float)column / (float)g->columns;
  local[0] = sinf(polar) * cosf(turn), local[1] = cosf(polar), local[2] = -sinf(polar) * sinf(turn);
}

static void place_nose(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float n[3];
  ball(g, row, column, n);
  float tip = smooth(-0.2f, 1, n[2]);
  point[0] = n[0] * 0.088f * p->nose * (1 - 0.18f * tip);
  point[1] = -0.145f + 0.01f * face->smile + n[1] * 0.074f * p->nose * (1 - 0.1f * tip) + 0.022f * tip;
  point[2] = 0.455f + n[2] * 0.115f * p->nose;
}

static void place_ear(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)face;
  float n[3];
  ball(g, row, column, n);
  float dish = smooth(0.25f, 0.9f, n[2]); /* the hollow on the front */
  float x = n[0] * 0.105f * (1 + 0.12f * n[1]), y = n[1] * 0.145f, z = n[2] * 0.045f - 0.075f * dish;
  float turn = 0.55f, c = cosf(turn), s = sinf(turn);
  point[0] = (float)g->side * (0.485f * p->width + 0.025f + c * x - s * z * 0.6f);
  point[1] = -0.03f + y + 0.12f * x;
  point[2] = -0.045f - s * x + c * z;
}

static const float crown[3] = {0.10f, 0.86f, -0.50f}; /* its direction from the head's centre */

/* Point at polar angle `polar` and azimuth `turn` around the crown, as azimuth and elevation of the head. */
static void around_crown(float turn, float polar, float *a, float *e) {
  float d[3], n = length3(crown), x[3], z[3];
  float c[3] = {crown[0] / n, crown[1] / n, crown[2] / n};
  float front = sqrtf(c[1] * c[1] + c[2] * c[2]);
  z[0] = 0, z[1] = -c[2] / front, z[2] = c[1] / front; /* towards the face */
  x[0] = z[1] * -c[2] + z[2] * c[1], x[1] = z[2] * -c[0] + z[0] * c[2], x[2] = z[0] * -c[1] + z[1] * c[0];
  for (int i = 0; i < 3; i++) {
    d[i] = cosf(polar) * c[i] + sinf(polar) * (cosf(turn) * z[i] - sinf(turn) * x[i]);
  }
  angles_of(d, a, e);
}

/* Polar angle of the hairline. */
static float hairline(float turn) {
  float m = fabsf(turn);
  return mix(1.10f, 1.80f, smooth(0.95f, 1.55f, m)) + 0.2f * smooth(1.5f, 2.6f, m);
}

static void place_cap(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float turn = 2 * PI * (float)column / (float)g->columns - PI, t = (float)row / (float)(g->rows - 1), a, e;
  (void)face;
  static const puppet_face rest;
  around_crown(turn, (hairline(turn) - 0.06f) * t, &a, &e);
  place_at(a, e, skull(p, &rest, a, e) + 0.035f * sqrtf(clampf(1 - t * t * t * t, 0, 1)) - 0.004f, point);
}

static void lock_spine(const puppet *p, const lock *k, float t, float point[3]) {
  float a, e, polar = mix(k->root, k->tip, t);
  static const puppet_face rest;
  around_crown(k->turn + k->swirl * t * t, polar, &a, &e);
  float r = skull(p, &rest, a, e) + 0.035f + k->height * sinf(PI * clampf(t * 1.1f, 0, 1)) + k->lift * t * t * t;
  place_at(a, e, r, point);
}

static void place_lock(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)face;
  const lock *k = p->locks + g->number;
  float left = 1 - (float)row / LOCK_ROWS, t = 1 - left * left, turn = 2 * PI * (float)column / LOCK_COLUMNS;
  float centre[3], before[3], after[3], along[3], up[3], across[3];
  lock_spine(p, k, t, centre);
  lock_spine(p, k, clampf(t - 0.02f, 0, 1), before);
  lock_spine(p, k, clampf(t + 0.02f, 0, 1), after);
  for (int i = 0; i < 3; i++) along[i] = after[i] - before[i], up[i] = centre[i];
  across[0] = along[1] * up[2] - along[2] * up[1];
  across[1] = along[2] * up[0] - along[0] * up[2];
  across[2] = along[0] * up[1] - along[1] * up[0];
  float n = length3(across), m = length3(up);
  float width = k->width * smooth(-0.25f, 0.35f, t) * powf(left, 1.1f) * (0.9f + 0.5f * t);
  for (int i = 0; i < 3; i++) {
    point[i] = centre[i] + width * (cosf(turn) * across[i] / n + 0.55f * sinf(turn) * up[i] / m);
  }
}

static void coat_point(float t, float turn, float point[3]) {
  float fall = smooth(0, 0.55f, t), wide = mix(0.17f, 0.52f, powf(fall, 0.8f)) + 0.06f * t;
  float deep = mix(0.16f, 0.36f, fall) + 0.1f * t, square = 1 + 0.10f * sinf(2 * turn) * sinf(2 * turn) * fall;
  point[0] = wide * square * sinf(turn);
  point[1] = -0.50f - 1.3f * t;
  point[2] = -0.08f + deep * square * cosf(turn);
}

static void place_coat(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)p;
  (void)face;
  coat_point((float)row / (float)(g->rows - 1), 2 * PI * (float)column / (float)g->columns, point);
}

static void place_sleeve(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)p;
  (void)face;
  float t = (float)row / (float)(g->rows - 1), turn = 2 * PI * (float)column / (float)g->columns;
  float thick = 0.155f * sqrtf(clampf(1 - (1 - 5 * t) * (1 - 5 * t), 0, 1));
  if (t > 0.2f) thick = 0.155f - 0.02f * t + 0.006f * sinf(34 * t); /* folds */
  point[0] = (float)g->side * (0.405f + 0.20f * sqrtf(t) + thick * cosf(turn));
  point[1] = -0.705f - 1.05f * t + 0.4f * thick * cosf(turn) * (t - 1);
  point[2] = -0.05f + 0.10f * t * t + thick * sinf(turn);
}

static void place_button(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  float n[3], on[3];
  (void)p;
  (void)face;
  ball(g, row, column, n);
  coat_point(0.37f + 0.13f * (float)g->number, 0.16f, on);
  float rim = smooth(0.55f, 0.8f, sqrtf(n[0] * n[0] + n[1] * n[1]));
  point[0] = on[0] + 0.034f * n[0], point[1] = on[1] + 0.034f * n[1], point[2] = on[2] + 0.013f * n[2] * (0.6f + 0.4f * rim);
}

static void place_scarf(const puppet *p, const puppet_face *face, const grid *g, int row, int column, float point[3]) {
  (void)p;
  (void)face;
  float turn = PI + 2 * PI * (float)row / (float)g->rows, around = 2 * PI * (float)column / (float)g->columns;
  float level = g->number ? 1.0f : 0.0f, lump = 1 + 0.10f * sinf(3 * turn + 2 * level) + 0.05f * sinf(7 * turn);
  float thick = mix(0.088f, 0.070f, level) * lump, reach = mix(0.262f, 0.215f, level);
  float out = reach + thick * cosf(around);
  point[0] = out * 1.12f * sinf(turn);
  point[1] = mix(-0.70f, -0.585f, level) + 0.85f * thick * sinf(around) + 0.03f * cosf(turn + level) - 0.02f * cosf(2 * turn);
  point[2] = -0.06f + out * cosf(turn);
}

/* Evaluation */

static void evaluate_rest(const puppet *p, const puppet_face *face, float *positions) {
  for (int i = 0; i < p->grid_count; i++) {
    const grid *g = p->grids + i;
    float *point = positions + 3 * (size_t)g->first;
    for (int row = 0; row < g->rows; row++) {
      for (int column = 0; column < g->columns; column++, point += 3) g->place(p, face, g, row, column, point);
    }
  }
}

static void smooth_normals(const puppet *p, const float *positions, float *normals) {
  const raster_mesh *mesh = &p->mesh;
  memset(normals, 0, 3 * mesh->vertex_count * sizeof(float));
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    const uint32_t *v = mesh->triangles + 3 * t;
    const float *a = positions + 3 * (size_t)v[0], *b = positions + 3 * (size_t)v[1], *c = positions + 3 * (size_t)v[2];
    float x[3], y[3];
    for (int i = 0; i < 3; i++) x[i] = b[i] - a[i], y[i] = c[i] - a[i];
    float n[3] = {x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]};
    for (int k = 0; k < 3; k++) {
      for (int i = 0; i < 3; i++) normals[3 * (size_t)v[k] + (size_t)i] += n[i];
    }
  }
  for (int i = 0; i < p->grid_count; i++) {
    const grid *g = p->grids + i;
    for (int row = 0; row < g->rows; row += g->rows - 1) { /* a row that is one point has one normal */
      size_t first = (size_t)g->first + (size_t)row * (size_t)g->columns, half = first + (size_t)g->columns / 2;
      if (g->rows < 2 || memcmp(positions + 3 * first, positions + 3 * half, 3 * sizeof(float)) != 0) continue;
      float sum[3] = {0, 0, 0};
      for (int c = 0; c < 3 * g->columns; c++) sum[c % 3] += normals[3 * first + (size_t)c];
      for (int c = 0; c < 3 * g->columns; c++) normals[3 * first + (size_t)c] = sum[c % 3];
    }
  }
  for (size_t v = 0; v < mesh->vertex_count; v++) {
    float n = length3(normals + 3 * v);
    for (size_t i = 0; i < 3; i++) normals[3 * v + i] = n > 0 ? normals[3 * v + i] / n : i == 2 ? 1.0f : 0.0f;
  }
}

static void turn_point(const float m[9], const float *pivot, const float *shift, float *point) {
  float q[3] = {point[0] - pivot[0], point[1] - pivot[1], point[2] - pivot[2]};
  for (int i = 0; i < 3; i++) point[i] = m[3 * i] * q[0] + m[3 * i + 1] * q[1] + m[3 * i + 2] * q[2] + pivot[i] + shift[i];
}

void puppet_evaluate(const puppet *p, const puppet_pose *pose, float *positions, float *normals) {
  float cy = cosf(pose->yaw), sy = sinf(pose->yaw), cp = cosf(pose->pitch), sp = sinf(pose->pitch);
  float cr = cosf(pose->roll), sr = sinf(pose->roll);
  /* roll about z, then pitch about x, then yaw about y */
  float m[9] = {cy * cr + sy * sp * sr,  cy * sr - sy * sp * cr,  sy * cp, -cp * sr, cp * cr, sp,
                -sy * cr + cy * sp * sr, -sy * sr - cy * sp * cr, cy * cp};
  evaluate_rest(p, &pose->face, positions);
  for (int i = 0; i < p->grid_count; i++) {
    const grid *g = p->grids + i;
    size_t count = (size_t)g->rows * (size_t)g->columns;
    for (size_t v = g->first; v < g->first + count; v++) {
      if (g->turns) {
        turn_point(m, neck, pose->position, positions + 3 * v);
      } else {
        for (size_t k = 0; k < 3; k++) positions[3 * v + k] += pose->position[k];
      }
    }
  }
  smooth_normals(p, positions, normals);
}

/* Construction */

static void add_grid(puppet *p, placer place, uint16_t material, int rows, int columns, int wrap, int side, int number) {
  grid *g = p->grids + p->grid_count++;
  g->place = place, g->material = material, g->rows = rows, g->columns = columns, g->wrap = wrap;
  g->side = side, g->number = number;
  g->turns = material != COAT && material != SCARF && material != BUTTON;
  g->first = (uint32_t)p->mesh.vertex_count;
  p->mesh.vertex_count += (size_t)rows * (size_t)columns;
}

static void add_lock(puppet *p, float turn, float swirl, float root, float tip, float width, float height, float lift) {
  lock k = {turn, swirl, root, tip, width, height, lift};
  p->locks[p->lock_count] = k;
  add_grid(p, place_lock, HAIR, LOCK_ROWS + 1, LOCK_COLUMNS, 1, 0, p->lock_count);
  p->lock_count++;
}

static void add_hair(puppet *p) {
  static const int tier_count[4] = {11, 17, 23, 27};
  add_grid(p, place_cap, HAIR, 16, 40, 1, 0, 200);
  for (int tier = 3; tier >= 0; tier--) {
    for (int i = 0; i < tier_count[tier]; i++) {
      uint32_t seed = (uint32_t)(tier * 100 + i + 7);
      float turn = 2 * PI * ((float)i + 0.35f * noise_unit(seed)) / (float)tier_count[tier] - PI;
      float end = hairline(turn), wobble = noise_unit(seed + 1000) - 0.5f;
      float root = tier == 3 ? end - 0.62f : 0.02f + 0.33f * (float)tier;
      float tip = tier == 3 ? end + 0.10f + 0.10f * wobble : root + 0.66f + 0.1f * wobble;
      if (tip > end + 0.12f) tip = end + 0.12f;
      float swirl = (0.42f + 0.2f * wobble) * (tier == 3 ? 0.6f : 1);
      float width = (tier == 3 ? 0.075f : 0.085f) * (0.9f + 0.3f * noise_unit(seed + 2000));
      add_lock(p, turn, swirl, root, tip, width, 0.022f + 0.016f * (float)(3 - tier), 0.03f + 0.05f * noise_unit(seed + 3000));
    }
  }
  /* the quiff, and the tuft nobody can comb */
  add_lock(p, 0.30f, -0.75f, 0.62f, 1.28f, 0.125f, 0.085f, 0.05f);
  add_lock(p, 0.02f, -0.70f, 0.60f, 1.24f, 0.115f, 0.075f, 0.07f);
  add_lock(p, -0.28f, -0.55f, 0.62f, 1.22f, 0.105f, 0.060f, 0.05f);
  add_lock(p, 0.52f, 0.35f, 0.70f, 1.26f, 0.095f, 0.060f, 0.04f);
  add_lock(p, 0.10f, 0.60f, 0.10f, 0.55f, 0.075f, 0.060f, 0.26f);
  add_lock(p, -0.70f, -0.50f, 0.05f, 0.42f, 0.060f, 0.050f, 0.20f);
}

static void add_grids(puppet *p) {
  p->skin_first = (uint32_t)p->mesh.vertex_count;
  add_grid(p, place_skin, SKIN, SKIN_ROWS + 1, SKIN_COLUMNS, 1, 0, 0);
  for (int side = -1; side <= 1; side += 2) {
    int eye = side > 0;
    p->lid_first[eye] = (uint32_t)p->mesh.vertex_count;
    add_grid(p, place_lid, SKIN, LID_RINGS, LID_COLUMNS, 1, side, 1);
    add_grid(p, place_eye, EYE, 29, 40, 1, side, 0);
    p->brow_first[eye] = (uint32_t)p->mesh.vertex_count;
    add_grid(p, place_brow, BROW, BROW_ROWS + 1, BROW_COLUMNS + 1, 0, side, 0);
    add_grid(p, place_ear, SKIN, 25, 32, 1, side, 2);
  }
  for (int seam = 0; seam < 3; seam++) {
    p->seam_first[seam] = (uint32_t)p->mesh.vertex_count;
    add_grid(p, place_seam, SEAM, 3, SEAM_COLUMNS + 1, 0, 0, seam);
  }
  add_grid(p, place_mouth, MOUTH, 9, 49, 0, 0, 0);
  add_grid(p, place_lip, LIP, 9, 49, 0, 0, 0);
  add_grid(p, place_lip, LIP, 9, 49, 0, 0, 1);
  add_grid(p, place_nose, SKIN, 25, 32, 1, 0, 3);
  add_hair(p);
  add_grid(p, place_coat, COAT, 30, 48, 1, 0, 0);
  add_grid(p, place_sleeve, COAT, 24, 24, 1, -1, 1);
  add_grid(p, place_sleeve, COAT, 24, 24, 1, 1, 1);
  for (int i = 0; i < 4; i++) add_grid(p, place_button, BUTTON, 13, 20, 1, 0, i);
  add_grid(p, place_scarf, SCARF, 72, 16, 2, 0, 0);
  add_grid(p, place_scarf, SCARF, 72, 16, 2, 0, 1);
}

static int in_hole(int row, int column) {
  if (row < BELOW_ROWS || row >= BELOW_ROWS + HOLE_ROWS) return 0;
  int from_back = column < SKIN_COLUMNS / 2 ? column : SKIN_COLUMNS - 1 - column;
  return from_back >= SIDE_COLUMNS && from_back < SIDE_COLUMNS + HOLE_COLUMNS;
}

/* Vertex of a grid; the row after the lids' last ring is the border of the hole in the skin. */
static uint32_t grid_vertex(const puppet *p, const grid *g, int row, int column) {
  column %= g->columns;
  if (g->place == place_lid && row == g->rows) {
    int skin_row, skin_column;
    hole_border(g->side, column, &skin_row, &skin_column);
    return p->skin_first + (uint32_t)(skin_row * SKIN_COLUMNS + skin_column % SKIN_COLUMNS);
  }
  return g->first + (uint32_t)((row % g->rows) * g->columns + column);
}

/* Writes the triangles of all grids, turned so that outside is outside; counts only if triangles is NULL. */
static size_t write_triangles(const puppet *p, const float *positions, uint32_t *triangles, uint16_t *materials) {
  size_t count = 0;
  for (int i = 0; i < p->grid_count; i++) {
    const grid *g = p->grids + i;
    int rows = g->wrap == 2 || g->place == place_lid ? g->rows : g->rows - 1, columns = g->wrap ? g->columns : g->columns - 1;
    size_t from = count;
    double volume = 0; /* of the cone from the head's centre: positive if the triangles look outwards */
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        if (g->place == place_skin && in_hole(row, column)) continue;
        uint32_t a = grid_vertex(p, g, row, column), b = grid_vertex(p, g, row, column + 1);
        uint32_t c = grid_vertex(p, g, row + 1, column + 1), d = grid_vertex(p, g, row + 1, column);
        uint32_t quad[6] = {a, b, c, a, c, d};
        for (int k = 0; triangles && k < 6; k += 3) {
          const float *x = positions + 3 * (size_t)quad[k], *y = positions + 3 * (size_t)quad[k + 1],
                      *z = positions + 3 * (size_t)quad[k + 2];
          volume += (double)(x[0] * (y[1] * z[2] - y[2] * z[1]) + x[1] * (y[2] * z[0] - y[0] * z[2]) +
                             x[2] * (y[0] * z[1] - y[1] * z[0]));
          memcpy(triangles + 3 * count + k, quad + k, 3 * sizeof(uint32_t));
          materials[count + (size_t)k / 3] = g->material;
        }
        count += 2;
      }
    }
    for (size_t t = from; triangles && volume < 0 && t < count; t++) {
      uint32_t swap = triangles[3 * t + 1];
      triangles[3 * t + 1] = triangles[3 * t + 2], triangles[3 * t + 2] = swap;
    }
  }
  return count;
}

static void set_colour(float colour[3], float r, float g, float b) {
  colour[0] = r, colour[1] = g, colour[2] = b;
}

static void choose_looks(puppet *p, unsigned variant) {
  p->width = 1, p->nose = 1;
  set_colour(p->skin_colour, 0.66f, 0.355f, 0.225f);
  set_colour(p->hair_colour, 0.36f, 0.072f, 0.013f);
  set_colour(p->iris_colour, 0.10f, 0.30f, 0.17f);
  set_colour(p->coat_colour, 0.022f, 0.060f, 0.075f);
  set_colour(p->scarf_colour[0], 0.62f, 0.30f, 0.045f);
  set_colour(p->scarf_colour[1], 0.60f, 0.52f, 0.38f);
  if (!variant) return;
  uint32_t seed = noise_hash(variant);
  float tan = noise_unit(seed + 1), dark = noise_unit(seed + 2), cool = noise_unit(seed + 3);
  p->width = 0.93f + 0.14f * noise_unit(seed + 4), p->nose = 0.75f + 0.55f * noise_unit(seed + 5);
  set_colour(p->skin_colour, mix(0.80f, 0.28f, tan), mix(0.52f, 0.14f, tan), mix(0.38f, 0.075f, tan));
  set_colour(p->hair_colour, mix(0.5f, 0.02f, dark), mix(0.26f, 0.015f, dark) * mix(1, 0.4f, cool), mix(0.10f, 0.015f, dark));
  set_colour(p->iris_colour, mix(0.25f, 0.05f, cool), mix(0.12f, 0.22f, cool), mix(0.04f, 0.40f, cool));
  for (int i = 0; i < 3; i++) {
    p->coat_colour[i] = 0.02f + 0.30f * noise_unit(seed + 10 + (uint32_t)i);
    p->scarf_colour[0][i] = 0.05f + 0.65f * noise_unit(seed + 20 + (uint32_t)i);
    p->scarf_colour[1][i] = 0.10f + 0.65f * noise_unit(seed + 30 + (uint32_t)i);
  }
}

static mesh_outline contour(const char *name, int closed, int segments, uint32_t *vertices, size_t count, unsigned corners) {
  mesh_outline c = {name, closed, segments, count, vertices, {0}, corners};
  for (int i = 0; i <= segments; i++) c.canonical[i] = (uint32_t)((count - (closed ? 0 : 1)) * (size_t)i / (size_t)segments);
  return c;
}

static void choose_landmarks(puppet *p) {
  static const char *const names[PUPPET_SHAPES] = {"left_eye",  "right_eye", "left_eyebrow", "right_eyebrow",
                                                   "left_seam", "nose_seam", "right_seam"};
  uint32_t *at = p->outlines, *points = p->layout.points;
  for (int eye = 0; eye < 2; eye++) {
    for (int i = 0; i < LID_COLUMNS; i++) {
      int half = LID_COLUMNS / 2, column = eye ? (LID_COLUMNS + half - i) % LID_COLUMNS : i;
      at[i] = p->lid_first[eye] + (uint32_t)column;
    }
    p->layout.shapes[eye] = contour(names[eye], 1, 6, at, LID_COLUMNS, 1u << 0 | 1u << 3);
    for (int i = 0; i < 6; i++) points[5 + 6 * eye + i] = at[LID_COLUMNS / 6 * i];
    at += LID_COLUMNS;
  }
  for (int eye = 0; eye < 2; eye++) {
    /* rows run upwards on the right of the picture and, mirrored, on the left */
    uint32_t top = p->brow_first[eye] + BROW_ROWS * (BROW_COLUMNS + 1), bottom = p->brow_first[eye];
    for (uint32_t i = 0; i < BROW_COLUMNS; i++) at[i] = top + i, at[BROW_COLUMNS + i] = bottom + BROW_COLUMNS - i;
    p->layout.shapes[2 + eye] = contour(names[2 + eye], 1, 8, at, 2 * (size_t)BROW_COLUMNS, 1u << 0 | 1u << 4);
    points[17 + 5 * eye] = at[0];
    for (int i = 0; i < 4; i++) points[18 + 5 * eye + i] = at[BROW_COLUMNS + BROW_COLUMNS / 4 * i];
    at += 2 * BROW_COLUMNS;
  }
  for (int seam = 0; seam < 3; seam++) {
    for (uint32_t i = 0; i <= SEAM_COLUMNS; i++) at[i] = p->seam_first[seam] + SEAM_COLUMNS + 1 + i;
    p->layout.shapes[4 + seam] = contour(names[4 + seam], 0, 2, at, SEAM_COLUMNS + 1, 1u << 0 | 1u << 2);
    points[1 + seam] = at[SEAM_COLUMNS / 2];
    if (seam == 0) points[0] = at[0];
    if (seam == 2) points[4] = at[SEAM_COLUMNS];
    at += SEAM_COLUMNS + 1;
  }
}

static void rest_attributes(const puppet *p, const float *positions, const float *occlusion) {
  for (int i = 0; i < p->grid_count; i++) {
    const grid *g = p->grids + i;
    for (int row = 0; row < g->rows; row++) {
      for (int column = 0; column < g->columns; column++) {
        size_t v = (size_t)g->first + (size_t)(row * g->columns + column);
        float *a = p->attributes + ATTRIBUTES * v;
        memcpy(a, positions + 3 * v, 3 * sizeof(float));
        a[ALONG] = (float)row / (float)(g->rows - 1);
        a[ACROSS] = (float)column / (float)(g->columns - 1);
        a[NUMBER] = (float)g->number;
        a[SHADE] = occlusion[v];
        if (g->place == place_lid) a[ALONG] = lid_share(row);
        if (g->place == place_skin) a[ALONG] = 1;
      }
    }
  }
}

puppet *puppet_create(unsigned variant) {
  puppet *p = (puppet *)calloc(1, sizeof(puppet));
  if (!p) return NULL;
  choose_looks(p, variant);
  add_grids(p);
  raster_mesh *mesh = &p->mesh;
  size_t outline_size = 2 * LID_COLUMNS + 4 * BROW_COLUMNS + 3 * (SEAM_COLUMNS + 1);
  mesh->triangle_count = write_triangles(p, NULL, NULL, NULL);
  mesh->attribute_count = ATTRIBUTES;
  p->triangles = (uint32_t *)malloc(3 * mesh->triangle_count * sizeof(uint32_t));
  p->materials = (uint16_t *)malloc(mesh->triangle_count * sizeof(uint16_t));
  p->attributes = (float *)malloc(ATTRIBUTES * mesh->vertex_count * sizeof(float));
  p->outlines = (uint32_t *)malloc(outline_size * sizeof(uint32_t));
  float *positions = (float *)malloc(7 * mesh->vertex_count * sizeof(float));
  int ok = p->triangles && p->materials && p->attributes && p->outlines && positions;
  if (ok) {
    float *normals = positions + 3 * mesh->vertex_count, *occlusion = normals + 3 * mesh->vertex_count;
    puppet_face rest = puppet_expression_face(PUPPET_NEUTRAL);
    evaluate_rest(p, &rest, positions);
    write_triangles(p, positions, p->triangles, p->materials);
    mesh->triangles = p->triangles, mesh->materials = p->materials;
    smooth_normals(p, positions, normals);
    raster_mesh posed = *mesh;
    posed.positions = positions, posed.normals = normals;
    ok = raster_occlusion(&posed, 48, 0.02f, occlusion);
    if (ok) rest_attributes(p, positions, occlusion);
    mesh->attributes = p->attributes;
    choose_landmarks(p);
  }
  free(positions);
  if (ok) return p;
  puppet_free(p);
  return NULL;
}

void puppet_free(puppet *p) {
  if (!p) return;
  free(p->triangles);
  free(p->materials);
  free(p->attributes);
  free(p->outlines);
  free(p);
}

const raster_mesh *puppet_mesh(const puppet *p) {
  return &p->mesh;
}

const puppet_layout *puppet_layout_of(const puppet *p) {
  return &p->layout;
}

puppet_face puppet_expression_face(puppet_expression expression) {
  puppet_face f;
  memset(&f, 0, sizeof f);
  for (int i = 0; i < 2; i++) {
    switch (expression) {
      case PUPPET_NEUTRAL:
        break;
      case PUPPET_BLINK:
        f.upper_lid[i] = 1, f.lower_lid[i] = 0.12f, f.brow_lift[i] = -0.12f;
        break;
      case PUPPET_RAISED:
        f.upper_lid[i] = -0.16f, f.brow_lift[i] = 0.85f, f.brow_bend[i] = 0.5f;
        break;
      case PUPPET_ANGRY:
        f.upper_lid[i] = 0.26f, f.lower_lid[i] = 0.2f, f.brow_lift[i] = -0.62f, f.brow_tilt[i] = -0.95f, f.smile = -0.5f;
        break;
      case PUPPET_SAD:
        f.upper_lid[i] = 0.30f, f.brow_lift[i] = 0.1f, f.brow_tilt[i] = 0.95f, f.smile = -0.95f, f.mouth_wide = -0.2f;
        break;
      case PUPPET_SMILE:
        f.upper_lid[i] = 0.06f, f.lower_lid[i] = 0.42f, f.brow_lift[i] = 0.25f, f.brow_bend[i] = 0.4f;
        f.smile = 1, f.mouth_wide = 0.35f;
        break;
      case PUPPET_SURPRISED:
        f.upper_lid[i] = -0.26f, f.lower_lid[i] = -0.16f, f.brow_lift[i] = 1, f.brow_bend[i] = 0.9f;
        f.mouth_open = 0.75f, f.mouth_wide = -0.9f;
        break;
      case PUPPET_DOUBTFUL:
        f.upper_lid[i] = i ? -0.05f : 0.38f, f.lower_lid[i] = i ? 0 : 0.2f;
        f.brow_lift[i] = i ? 0.85f : -0.35f, f.brow_bend[i] = i ? 0.8f : -0.2f, f.brow_tilt[i] = i ? 0.1f : -0.4f;
        f.smile = -0.15f, f.mouth_wide = -0.15f;
        break;
    }
  }
  return f;
}

void puppet_face_add(puppet_face *face, const puppet_face *other, float weight) {
  for (int i = 0; i < 2; i++) {
    face->upper_lid[i] += weight * other->upper_lid[i];
    face->lower_lid[i] += weight * other->lower_lid[i];
    face->brow_lift[i] += weight * other->brow_lift[i];
    face->brow_tilt[i] += weight * other->brow_tilt[i];
    face->brow_bend[i] += weight * other->brow_bend[i];
    face->gaze[i] += weight * other->gaze[i];
  }
  face->smile += weight * other->smile;
  face->mouth_open += weight * other->mouth_open;
  face->mouth_wide += weight * other->mouth_wide;
}

/* Paint */

static void scale_colour(float *colour, float by) {
  for (int i = 0; i < 3; i++) colour[i] *= by;
}

static void tint(float *colour, float r, float g, float b, float amount) {
  colour[0] = mix(colour[0], r, amount), colour[1] = mix(colour[1], g, amount), colour[2] = mix(colour[2], b, amount);
}

static float spot(const float *p, float x, float y, float z, float size) {
  float dx = p[0] - x, dy = p[1] - y, dz = p[2] - z;
  return expf(-(dx * dx + dy * dy + dz * dz) / (size * size));
}

/* Dots of different sizes scattered in space: 1 in their middle. */
static float dots(const float *p, float scale, float share, float pixel) {
  float x = p[0] * scale, y = p[1] * scale, z = p[2] * scale * 0.5f, most = 0;
  int ix = (int)floorf(x), iy = (int)floorf(y), iz = (int)floorf(z);
  float chance = noise_lattice(ix, iy, iz);
  if (chance < share) {
    float dx = x - (float)ix - 0.3f - 0.4f * noise_lattice(ix + 91, iy, iz),
          dy = y - (float)iy - 0.3f - 0.4f * noise_lattice(ix, iy + 57, iz);
    float size = 0.14f + 0.12f * noise_lattice(ix, iy, iz + 33), soft = 0.05f + pixel * scale;
    most = 1 - smooth(size - soft, size + soft, sqrtf(dx * dx + dy * dy));
  }
  return most;
}

static void paint_skin(const puppet *p, const raster_hit *hit, raster_surface *surface) {
  const float *rest = hit->attributes, *colour = p->skin_colour;
  int part = (int)(hit->attributes[NUMBER] + 0.5f);
  float m[3] = {fabsf(rest[0]), rest[1], rest[2]};
  memcpy(surface->albedo, colour, 3 * sizeof(float));
  scale_colour(surface->albedo, 1 + 0.14f * noise_fractal(rest, 7, 3));
  tint(surface->albedo, colour[0] * 0.95f, colour[1] * 0.50f, colour[2] * 0.46f,
       0.75f * spot(m, 0.29f, -0.16f, 0.34f, 0.13f) * (1 + 0.3f * noise_at(rest, 18))); /* cheeks */
  tint(surface->albedo, colour[0] * 0.96f, colour[1] * 0.55f, colour[2] * 0.50f,
       part == 3   ? 0.35f + 0.5f * smooth(0.50f, 0.58f, rest[2])
       : part == 2 ? 0.5f
                   : 0);
  tint(surface->albedo, colour[0] * 0.85f, colour[1] * 0.62f, colour[2] * 0.62f,
       0.5f * spot(m, 0.20f, 0.03f, 0.42f, 0.13f) * (part < 2 ? 1.0f : 0.0f)); /* around the eyes */
  float band =
      smooth(0.30f, 0.10f, fabsf(m[0] - 0.17f)) * smooth(0.16f, 0.05f, fabsf(m[1] + 0.135f)) * smooth(0.2f, 0.35f, m[2]);
  if (band > 0 && part != 2) {
    float freckle = band * dots(rest, 27, 0.34f, hit->pixel);
    tint(surface->albedo, colour[0] * 0.58f, colour[1] * 0.40f, colour[2] * 0.32f, 0.75f * freckle);
  }
  if (part == 1) { /* the rim of the lids is darker */
    tint(surface->albedo, colour[0] * 0.34f, colour[1] * 0.22f, colour[2] * 0.20f, 0.8f * smooth(0.085f, 0.02f, rest[ALONG]));
  }
  for (int i = 0; i < 3; i++) surface->scatter[i] = surface->albedo[i] * (i == 0 ? 0.40f : i == 1 ? 0.10f : 0.06f);
  noise_bump(surface->normal, rest, 16, 0.07f); /* modelled by hand */
  float fine = smooth(0.010f, 0.003f, hit->pixel);
  if (fine > 0) noise_bump(surface->normal, rest, 85, 0.075f * fine);
  surface->specular = 0.035f, surface->roughness = 0.50f + 0.12f * noise_at(rest, 22), surface->sheen = 0.10f;
}

static void paint_eye(const puppet *p, const raster_hit *hit, raster_surface *surface) {
  const float *colour = p->iris_colour;
  float polar = hit->attributes[ALONG] * PI, turn = hit->attributes[ACROSS] * 2 * PI;
  float soft = 0.6f * hit->pixel / eye_radius + 0.004f, iris = 0.56f, pupil = 0.25f;
  float x = cosf(turn), y = sinf(turn);
  float ray = noise_xyz(9 * x, 9 * y, polar * 3) + 0.6f * noise_xyz(23 * x, 23 * y, polar * 2);
  set_colour(surface->albedo, 0.80f, 0.78f, 0.74f);
  tint(surface->albedo, 0.75f, 0.50f, 0.42f, 0.35f * smooth(0.8f, 1.35f, polar));
  float ring = smooth(pupil, iris, polar), painted[3];
  for (int i = 0; i < 3; i++) painted[i] = colour[i] * (0.85f + 0.35f * ray) * mix(1.9f, 0.75f, ring);
  tint(painted, 0.45f, 0.30f, 0.06f, 0.5f * smooth(pupil + 0.12f, pupil + 0.02f, polar));
  scale_colour(painted, mix(1, 0.18f, smooth(iris - 0.09f, iris - 0.01f, polar)));
  scale_colour(painted, 1 - 0.98f * smooth(pupil + soft, pupil - soft, polar));
  tint(surface->albedo, painted[0], painted[1], painted[2], smooth(iris + soft, iris - soft, polar));
  surface->specular = 0.06f, surface->roughness = 0.12f;
  for (int i = 0; i < 3; i++) surface->scatter[i] = 0.05f * surface->albedo[i];
}

static void paint_hair(const puppet *p, const raster_hit *hit, raster_surface *surface) {
  float along = hit->attributes[ALONG], across = hit->attributes[ACROSS], number = hit->attributes[NUMBER];
  memcpy(surface->albedo, p->hair_colour, 3 * sizeof(float));
  float strand = noise_xyz(number * 3.7f + 26 * across, along * 1.5f, number), wave = noise_xyz(number, along * 3, 9 * across);
  float tone = number > 199 ? 0.55f : 0.72f + 0.55f * noise_unit((uint32_t)number);
  scale_colour(surface->albedo, tone * (1 + 0.30f * strand + 0.15f * wave));
  tint(surface->albedo, p->hair_colour[0] * 1.4f, p->hair_colour[1] * 1.7f, p->hair_colour[2] * 1.7f, 0.3f * along * along);
  for (int i = 0; i < 3; i++) surface->scatter[i] = 0.12f * surface->albedo[i];
  surface->normal[0] += 0.22f * strand, surface->normal[1] += 0.10f * strand;
  surface->specular = 0.045f, surface->roughness = 0.42f, surface->sheen = 0.08f;
}

static void paint_cloth(const puppet *p, const raster_hit *hit, raster_surface *surface) {
  const float *rest = hit->attributes;
  float fine = smooth(0.012f, 0.004f, hit->pixel);
  if (hit->material == COAT) {
    memcpy(surface->albedo, p->coat_colour, 3 * sizeof(float));
    float weave = sinf(rest[0] * 260) * sinf(rest[1] * 260);
    scale_colour(surface->albedo, 1 + 0.25f * noise_fractal(rest, 9, 3) + 0.18f * fine * weave);
    float placket = rest[2] > 0 && hit->attributes[NUMBER] < 0.5f ? rest[0] - 0.004f : 1, soft = hit->pixel + 0.003f;
    scale_colour(surface->albedo, 1 - 0.6f * smooth(0.007f + soft, 0.007f, fabsf(placket))); /* where it buttons */
    noise_bump(surface->normal, rest, 40, 0.25f * fine + 0.05f);
  } else {
    float stripe = hit->attributes[ACROSS], turn = hit->attributes[ALONG] * 11 + hit->attributes[NUMBER] * 0.5f;
    float band = turn - floorf(turn);
    memcpy(surface->albedo, p->scarf_colour[0], 3 * sizeof(float));
    tint(surface->albedo, p->scarf_colour[1][0], p->scarf_colour[1][1], p->scarf_colour[1][2],
         smooth(0.60f, 0.63f, band) * smooth(1.0f, 0.97f, band));
    float stitch = sinf(2 * PI * (stripe * 15 + 0.5f * fabsf(sinf(hit->attributes[ALONG] * 260)))),
          rib = sinf(hit->attributes[ALONG] * 520);
    scale_colour(surface->albedo, 0.9f + fine * (0.16f * stitch + 0.10f * rib) + 0.2f * noise_fractal(rest, 30, 2));
    surface->normal[1] += 0.22f * fine * stitch, surface->normal[0] += 0.12f * fine * rib;
  }
  surface->specular = 0.02f, surface->roughness = 0.9f, surface->sheen = 0.30f * (0.2f + surface->albedo[0]);
}

void puppet_material(const void *context, const raster_hit *hit, raster_surface *surface) {
  const puppet *p = (const puppet *)context;
  const float *rest = hit->attributes, *hair = p->hair_colour, *colour = p->skin_colour;
  surface->occlusion = clampf(hit->attributes[SHADE], 0, 1);
  switch (hit->material) {
    case SKIN:
      paint_skin(p, hit, surface);
      break;
    case EYE:
      paint_eye(p, hit, surface);
      surface->occlusion = 0.85f - 0.5f * smooth(0.0f, 0.115f, rest[1] - eye_centre[1]); /* the lid's shade */
      break;
    case BROW:
      set_colour(surface->albedo, hair[0] * 0.22f + 0.004f, hair[1] * 0.24f + 0.003f, hair[2] * 0.4f + 0.003f);
      scale_colour(surface->albedo, 1 + 0.35f * noise_xyz(rest[0] * 30, rest[1] * 90, rest[2] * 30));
      surface->specular = 0.03f, surface->roughness = 0.55f;
      break;
    case SEAM:
      set_colour(surface->albedo, colour[0] * 0.10f, colour[1] * 0.06f, colour[2] * 0.05f);
      surface->specular = 0.01f, surface->roughness = 0.9f;
      break;
    case LIP:
      set_colour(surface->albedo, colour[0] * 0.82f, colour[1] * 0.42f, colour[2] * 0.40f);
      scale_colour(surface->albedo, 1 + 0.15f * noise_at(rest, 40));
      for (int i = 0; i < 3; i++) surface->scatter[i] = surface->albedo[i] * (i == 0 ? 0.35f : 0.1f);
      surface->specular = 0.045f, surface->roughness = 0.4f;
      break;
    case MOUTH: {
      float along = hit->attributes[ALONG], across = 2 * hit->attributes[ACROSS] - 1; /* from the lower lip to the upper */
      set_colour(surface->albedo, 0.05f, 0.012f, 0.010f);
      float tongue = smooth(0.42f, 0.30f, along + 0.25f * across * across);
      tint(surface->albedo, 0.36f, 0.07f, 0.06f, 0.8f * tongue);
      tint(surface->albedo, 0.62f, 0.57f, 0.46f, smooth(0.70f, 0.74f, along + 0.1f * across * across));
      surface->occlusion *= 0.4f;
      break;
    }
    case HAIR:
      paint_hair(p, hit, surface);
      break;
    default:
      paint_cloth(p, hit, surface);
  }
}

/* Annotation */

int puppet_annotate(const raster_mesh *mesh, const puppet_layout *layout, const raster_camera *camera,
                    puppet_annotation *annotation) {
  int status = 0;
  memset(annotation, 0, sizeof *annotation);
  float points[PUPPET_POINTS][3];
  for (int i = 0; i < PUPPET_POINTS; i++) {
    memcpy(points[i], mesh->positions + 3 * (size_t)layout->points[i], sizeof points[i]);
    raster_project(camera, points[i], annotation->points[i]);
  }
  raster_visible(mesh, camera, (const float(*)[3])points, PUPPET_POINTS, 0.016, annotation->visible);
  for (int s = 0; s < PUPPET_SHAPES; s++) status |= outline_fit(mesh, layout->shapes + s, camera, annotation->curves[s]);
  return status;
}
