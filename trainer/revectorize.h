/* Re-vectorization: from the shapes an artist drew - any number of vertices, any start, either direction - to landmarks that
 * mean the same in every frame, and shapes whose vertices they are (paper, section "re-vectorization"; README of its data).
 *
 * The template's rules (character.h) name each landmark's geometric definition; nothing here knows a face.  Shapes are then
 * fitted through their landmarks, with one tangent direction at each except where the artist's curve has a corner. */

#ifndef ROTO_REVECTORIZE_H
#define ROTO_REVECTORIZE_H

#include "bezier.h"
#include "character.h"
#include "dataset.h"

/* A rule in words that can be followed. */
typedef enum rule_kind {
  RULE_NONE, /* the landmark stays unknown */
  RULE_NEAREST,
  RULE_SKELETON,
  RULE_CORNER,
  RULE_EXTREME,
  RULE_ARC,
  RULE_BESIDE,
  RULE_MIDDLE,
  RULE_FAR,
  RULE_KIND_COUNT
} rule_kind;

typedef struct revec_rule {
  rule_kind kind;
  char contour[64], other[64]; /* names of shapes */
  uint32_t from, to;           /* landmarks */
  double number, direction[2];
} revec_rule;

/* The template's rules, parsed and in an order in which each finds what it builds on. */
typedef struct revec_rules {
  revec_rule *rules; /* [landmark_count] */
  uint32_t *order;   /* [landmark_count] */
  uint32_t count;
} revec_rules;

/* Fails on a rule that is not understood, names a landmark that is not there, or builds on itself. */
int revec_rules_read(const character *ch, revec_rules *rules, char *message);
void revec_rules_free(revec_rules *rules); /* leaves it zero */

/* How well one fitted shape follows what was drawn, pixels, the worse of both directions. */
typedef struct revec_fit {
  int fitted;
  double mean, maximum;
} revec_fit;

/* Landmarks and shapes of a frame from its raw ones: sets points, valid, hidden and shapes, which the frame must not have
 * yet.  A shape that is missing or cannot be used leaves its landmarks unknown; `say(user, text)` hears of each such lack and
 * of doubtful shapes that were used all the same (NULL: nobody listens).  `fits` is [shape_count] or NULL.  Fails if not one
 * landmark could be found. */
int revectorize_frame(const character *ch, const revec_rules *rules, frame *f, void (*say)(void *user, const char *text),
                      void *user, revec_fit *fits, char *message);

/* The path of a drawn shape.  Fails on what is no curve: segments that do not join, no length. */
int revec_path(const frame_shape *shape, int closed, bezier_path *p, char *message);

/* Tips of an elongated closed contour: its medial axis (centres of the circles that touch it on both sides), fitted by one
 * cubic, extended along its end tangents to the contour.  places: the one first along (dx, dy), then the other. */
int revec_tips(const bezier_path *contour, double dx, double dy, double places[2]);

#endif
