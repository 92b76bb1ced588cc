/* roto_smooth on one track, for tests that compare another build of it: reads `x y error fixed link_x link_y link_error` a frame
 * from stdin, prints `x y error` a frame. */

#include <stdio.h>

#include "../roto.h"

enum { MOST = 4096 };

int main(void) {
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
