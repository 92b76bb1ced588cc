/* Shots of the procedural puppet, with exact annotations: `roto-train demo`, and the frames that tests and examples train on.
 *
 * A shot is drawn from its seed: set, light, lens, camera move, and an animation held on ones or twos.  Frames are
 * independent of each other, so they render in parallel, and the same seed gives the same bytes at any number of threads. */

#ifndef ROTO_DEMO_SHOTS_H
#define ROTO_DEMO_SHOTS_H

#include <stddef.h>
#include "../tools/whole_file.h"
#include "puppet.h"

typedef enum demo_set {
  DEMO_SET_BY_SEED,
  DEMO_SET_INTERIOR,
  DEMO_SET_NIGHT,
  DEMO_SET_EXTERIOR,
  DEMO_SET_GREEN_SCREEN,
  DEMO_SET_CURTAIN,
  DEMO_SET_COUNT
} demo_set;

/* Runs task(task_context, i) for i in [0, count), in any order, on any threads. */
typedef void (*demo_parallel)(void *context, size_t count, void (*task)(void *task_context, size_t index), void *task_context);

typedef struct demo_shot_options {
  const char *name; /* "shot0" */
  unsigned seed;
  int width, height;
  int frames;
  int first_frame; /* number of the first file */
  int hold;        /* frames a pose is held: 1, 2; 0: by the seed */
  int close;       /* 1: the picture is a crop that follows the head; 0: a full frame in which the head moves */
  demo_set set;
  unsigned variant;       /* of the puppet; 0: the designed character */
  demo_parallel parallel; /* NULL: one thread */
  void *parallel_context;
} demo_shot_options;

typedef struct demo_shot demo_shot;

/* Fills in a 640x480 full-frame shot of 48 frames. */
void demo_shot_defaults(demo_shot_options *options);

/* NULL, and a message, if the options make no sense or there is no memory. */
demo_shot *demo_shot_create(const demo_shot_options *options, char *message);
void demo_shot_free(demo_shot *shot);

/* rgb: width * height * 3 bytes.  crop: x, y, width, height of a rough crop as an artist would drag it.  Threads may share the
 * shot.  -1 if there is no memory. */
int demo_shot_render(const demo_shot *shot, int frame, unsigned char *rgb, puppet_annotation *annotation, double crop[4]);

/* Writes image-NAME-frameNNN.png, revec_shapes-NAME-frameNNN.json, crop.json, character.json and, the same truth as a roto
 * document, truth.roto.json into dir (made if it is not there).  0, or -1 and a message. */
int demo_write_shot(const demo_shot_options *options, const char *dir, char *message);

/* `roto-train demo`: argv[0] is the name shown in the help text.  Returns the process's exit status. */
int demo_main(int argc, char **argv);

#endif
