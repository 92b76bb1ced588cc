/* Functions of roto.h on numbers from stdin, for tests that compare another build of it:
 *
 *   native smooth          `x y error fixed link_x link_y link_error` a frame; prints `x y error` a frame
 *   native shapes MODEL    `x y` a landmark; prints `x y in_x in_y out_x out_y` a vertex, all shapes one after the other */

#include <stdio.h>
#include <string.h>

#include "../roto.h"

enum { MOST = 4096 };

static int smooth(void) {
  static roto_observation seen[MOST];
  static roto_link links[MOST];
  static roto_smoothed out[MOST];
  size_t count = 0;
  while (count < MOST && scanf("%f %f %f %d %f %f %f", &seen[count].x, &seen[count].y, &seen[count].error, &seen[count].fixed,
                               &links[count].x, &links[count].y, &links[count].error) == 7)
    ++count;
  if (roto_smooth(seen, links, count, 0, NULL, out)) return 1;
  for (size_t i = 0; i < count; ++i) printf("%.9g %.9g %.9g\n", (double)out[i].x, (double)out[i].y, (double)out[i].error);
  return 0;
}

static int shapes(const char *path) {
  static roto_point points[MOST];
  static roto_vertex vertices[MOST];
  roto_model *model;
  roto_session *session;
  size_t count = 0;
  if (roto_open_file(path, NULL, &model) || roto_session_create(model, NULL, &session)) return 1;
  const roto_info *info = roto_get_info(model);
  while (count < MOST && scanf("%f %f", &points[count].x, &points[count].y) == 2) ++count;
  if (count != info->landmark_count || info->vertex_count > MOST || roto_find_shapes(session, points, vertices)) return 1;
  for (uint32_t i = 0; i < info->vertex_count; ++i) {
    const roto_vertex *v = &vertices[i];
    printf("%.9g %.9g %.9g %.9g %.9g %.9g\n", v->x, v->y, v->in_x, v->in_y, v->out_x, v->out_y);
  }
  roto_session_free(session);
  roto_close(model);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "shapes")) return shapes(argv[2]);
  return argc == 2 && !strcmp(argv[1], "smooth") ? smooth() : 2;
}
