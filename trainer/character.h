/* A character: the template that says what is found on a puppet or a face - landmarks, parts, shapes - and how it is
 * trained and measured.  The file is `character.json`:
 *
 *   { "name": "puppet27",
 *     "parts":     [ {"name": "eyes", "weight": 1}, ... ],
 *     "landmarks": [ {"name": "left_eye_outer", "part": "eyes", "weight": 2, "flip": "right_eye_outer",
 *                     "rule": "nearest left_eye left_seam"}, ... ],
 *     "shapes":    [ {"name": "left_eye", "closed": true, "vertices": ["left_eye_outer", ..., null]}, ... ],
 *     "anchors":   [ "left_eye_outer", "right_eye_outer" ],
 *     "samples":   60 }
 *
 * A landmark is meant by its name or its index, a part likewise; null is a vertex that is predicted, not a landmark.
 * Left out, a weight is 1, a part the first one, a flip the landmark itself, a rule empty; without "parts" there is one,
 * "all"; without "anchors" the first and the last landmark stand in.  "samples" rounds landmarks to the nearest of so many points
 * of each drawn segment, at equal steps of its parameter and with both ends: the public data set's authors worked with 60, and only with
 * them do landmarks agree with theirs to a hundredth of a pixel.  Left out, landmarks stand where the rule says.
 *
 * A closed shape's vertices run clockwise as seen in the picture unless it says "clockwise": false; an artist's shape may run
 * either way and start anywhere.  Rules say how re-vectorization finds a landmark on what an artist drew; C is the contour it
 * lies on, S another drawn shape, A and B landmarks:
 *   nearest C S        the point of C nearest to S: where they cross, the crossing
 *   skeleton C SIDE    the tip of C on its left, right, up or down side: its medial axis, extended to the contour
 *   corner C SIDE      the corner of C near that tip, the tip itself where C is smooth
 *   corner C S         the corner of C near its point nearest to S, that point itself where C is smooth
 *   extreme C SIDE     the point of C farthest to the left, right, up or down
 *   arc C A B F        at the fraction F of the arc of C from A to B, in the direction of C's vertices
 *   beside C A D S     from A along C in the direction of its vertices, by D times the height of S (D < 0: the other way)
 *   middle C           the middle vertex of the open shape C, copied
 *   far C S            the end of the open shape C that is farther from S */

#ifndef ROTO_CHARACTER_H
#define ROTO_CHARACTER_H

#include <stdint.h>
#include "../runtime/api.h"
#include "../tools/whole_file.h"

typedef struct character {
  char *name;
  uint32_t landmark_count, part_count, shape_count;
  roto_landmark *landmarks; /* strings and vertices belong to the character */
  roto_part *parts;
  roto_shape *shapes;
  unsigned char *anticlockwise; /* [shape_count] the vertices of a closed shape run against the clock */
  uint32_t anchors[2];          /* the two landmarks whose distance normalises the error */
  uint32_t samples;             /* a drawn segment's points that landmarks may stand on; 0: anywhere */
} character;

/* Read and validate a character.json.  On failure *ch is zero. */
int character_load(const char *path, character *ch, char *message);

/* The template of a model as a character; the file does not name anchors, so the first and last landmark stand in. */
int character_from_model(const roto_model *model, character *ch, char *message);

/* Write a character.json. */
int character_write(const char *path, const character *ch, char *message);

/* Every index in range, names unique, flip an involution that keeps the part, weights finite and not negative, anchors
 * apart.  `name` is for the message. */
int character_check(const character *ch, const char *name, char *message);

void character_free(character *ch); /* leaves it zero */

/* Index of a landmark, part or shape by name, or -1. */
int character_find_landmark(const character *ch, const char *name);
int character_find_part(const character *ch, const char *name);
int character_find_shape(const character *ch, const char *name);

#endif
