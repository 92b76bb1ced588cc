/* Checked once when it is read, so that finding a crop has only one way to fail: there is none. */

#include "crop_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int crop_from_numbers(const double v[4], roto_rect *crop) {
  for (int i = 0; i < 4; ++i)
    if (!(fabs(v[i]) <= 1e6)) return 0;
  if (!(v[2] > 0 && v[3] > 0)) return 0;
  crop->x = (float)v[0];
  crop->y = (float)v[1];
  crop->width = (float)v[2];
  crop->height = (float)v[3];
  return 1;
}

static int crop_from_json(const cJSON *item, roto_rect *crop) {
  double v[4];
  if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 4) return 0;
  for (int i = 0; i < 4; ++i)
    if (!json_number(cJSON_GetArrayItem(item, i), &v[i])) return 0;
  return crop_from_numbers(v, crop);
}

int crop_parse(const char *text, roto_rect *crop) {
  double v[4];
  int used = -1;
  if (sscanf(text, "%lf,%lf,%lf,%lf%n", &v[0], &v[1], &v[2], &v[3], &used) != 4 || used < 0 || text[used]) return 0;
  return crop_from_numbers(v, crop);
}

cJSON *crops_read(const char *path, char *message) {
  cJSON *root = json_read(path, message);
  const cJSON *item;
  roto_rect crop;
  if (!root || crop_from_json(root, &crop)) return root;
  if (!cJSON_IsObject(root)) {
    message_set(message, "%s: expected an object {\"FRAME\": [x, y, width, height], ...} or one such rectangle", path);
  } else {
    cJSON_ArrayForEach(item, root) if (!crop_from_json(item, &crop)) {
      message_set(message, "%s: the crop of \"%.60s\": expected [x, y, width, height] with a positive size", path,
                  item->string);
      break;
    }
    if (!item) return root;
  }
  cJSON_Delete(root);
  return NULL;
}

int crops_find(const cJSON *crops, int number, const char *file, roto_rect *crop) {
  char key[16];
  const char *slash = strrchr(file, '/');
  snprintf(key, sizeof key, "%d", number);
  if (cJSON_IsArray(crops)) return crop_from_json(crops, crop);
  return crop_from_json(cJSON_GetObjectItemCaseSensitive(crops, key), crop) ||
         crop_from_json(cJSON_GetObjectItemCaseSensitive(crops, slash ? slash + 1 : file), crop);
}
