/* How alike two mattes are: compare_mattes LEAST A.png B.png [A2.png B2.png ...]
 *
 * Prints the soft intersection over union, sum of min / sum of max, of each pair, and fails if one is below LEAST.  A may be a
 * whole number of times as large as B: then its pixels are averaged.  Of colour the first channel counts. */

#include "../tools/image_file.h"
#include "check.h"

static double value(const image_file *image, size_t x, size_t y) {
  size_t at = (y * image->width + x) * image->channels;
  return image->bits == 16 ? ((const uint16_t *)image->pixels)[at] / 65535.0 : ((const uint8_t *)image->pixels)[at] / 255.0;
}

static double soft_iou(const image_file *a, const image_file *b) {
  size_t times = a->width / b->width;
  double least = 0, most = 0;
  for (size_t y = 0; y < b->height; ++y)
    for (size_t x = 0; x < b->width; ++x) {
      double p = 0, q = value(b, x, y);
      for (size_t v = 0; v < times; ++v)
        for (size_t u = 0; u < times; ++u) p += value(a, x * times + u, y * times + v);
      p /= (double)(times * times);
      least += p < q ? p : q;
      most += p < q ? q : p;
    }
  return most > 0 ? least / most : 1; /* both empty: the same */
}

int main(int argc, char **argv) {
  double limit = argc > 1 ? atof(argv[1]) : 0, worst = 1;
  char message[MESSAGE_SIZE];
  for (int i = 2; i + 1 < argc; i += 2) {
    image_file a, b;
    if (!CHECK(image_read(argv[i], &a, message) == 0, "%s", message)) continue;
    if (CHECK(image_read(argv[i + 1], &b, message) == 0, "%s", message)) {
      if (CHECK(a.width % b.width == 0 && a.height % b.height == 0 && a.width / b.width == a.height / b.height,
                "%s is %ux%u, %s %ux%u", argv[i], a.width, a.height, argv[i + 1], b.width, b.height)) {
        double iou = soft_iou(&a, &b);
        CHECK(iou >= limit, "%s and %s: soft IoU %.5f, expected %.5f", argv[i], argv[i + 1], iou, limit);
        if (iou < worst) worst = iou;
      }
      image_free(&b);
    }
    image_free(&a);
  }
  printf("lowest soft IoU %.5f\n", worst);
  return check_end("compare_mattes");
}
