/* OpenEXR: what is written comes back, with its windows; files as other programs write them (through tinyexr's writer: every
 * compression, scanlines and tiles, half, float and whole numbers, several parts); choice of channels; damage.
 *
 * `test_exr convert IN OUT.exr` is for tests/test_plates.sh: writes a picture as linear OpenEXR whose data window is smaller than
 * its display window. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tinyexr.h>

#include "../tools/exr_file.h"
#include "../tools/image_file.h"
#include "check.h"

static char message[MESSAGE_SIZE];

/* ------------------------------------------------------------------ what is written comes back */

enum { WIDTH = 37, HEIGHT = 21 };

static float pattern(int channel, int x, int y) {
  return (float)(channel + 1) * 0.125f + (float)((x * 7 + y * 13) % 64) / 64;
}

static void written_files_come_back(void) {
  static float values[3][WIDTH * HEIGHT];
  image_file frame, image, header;
  unsigned char *data;
  size_t size;
  for (int bits = 16; bits <= 32; bits += 16) {
    memset(&frame, 0, sizeof frame);
    frame.width = 40;
    frame.height = 24;
    frame.bits = (uint32_t)bits;
    frame.pixel_aspect = 2;
    frame.origin[0] = -7, frame.origin[1] = 100;
    frame.data[0] = 6, frame.data[1] = -5, frame.data[2] = WIDTH, frame.data[3] = HEIGHT;
    for (int c = 0; c < 3; ++c)
      for (int i = 0; i < WIDTH * HEIGHT; ++i) values[c][i] = pattern(c, i % WIDTH, i / WIDTH);
    const exr_channel channels[3] = {{"R", values[0]}, {"G", values[1]}, {"B", values[2]}};
    CHECK(!exr_encode(channels, 3, &frame, "x", &data, &size, message), "%s", message);
    CHECK(exr_is(data, size));
    CHECK(!image_decode(data, size, "x.exr", &image, message), "%s", message);
    CHECK(image.width == 40 && image.height == 24 && image.channels == 3 && image.bits == 32);
    CHECK(image.transfer == ROTO_TRANSFER_LINEAR && image.pixel_aspect == 2);
    CHECK(!memcmp(image.origin, frame.origin, sizeof frame.origin) && !memcmp(image.data, frame.data, sizeof frame.data));
    int wrong = 0;
    for (int y = 0; y < 24; ++y)
      for (int x = 0; x < 40; ++x)
        for (int c = 0; c < 3; ++c) {
          int inside = x >= 6 && y - (-5) < HEIGHT; /* of the data window; what it has above the picture is dropped */
          wrong += ((float *)image.pixels)[(y * 40 + x) * 3 + c] != (inside ? pattern(c, x - 6, y + 5) : 0);
        }
    CHECK(wrong == 0, "%d values differ with %d bits", wrong, bits);
    CHECK(!exr_decode(data, size, "x", NULL, 1, &header, message) && !header.pixels && header.width == 40);
    image_free(&image);
    free(data);
  }
}

/* Every half there is comes back as itself; what lies between goes to the nearer, and halfway to the even one. */
static void halves_round(void) {
  enum { ALL = 0x7c00 };
  static float exact[ALL], between[ALL];
  for (uint32_t h = 0; h < ALL; ++h)
    exact[h] = h < 0x400 ? ldexpf((float)h, -24) : ldexpf((float)(0x400 + (h & 0x3ff)), (int)(h >> 10) - 25);
  for (uint32_t h = 0; h < ALL; ++h) between[h] = h + 1 < ALL ? exact[h] + (exact[h + 1] - exact[h]) * 0.5f : 1e9f;
  image_file frame, image;
  unsigned char *data;
  size_t size;
  memset(&frame, 0, sizeof frame);
  frame.width = ALL, frame.height = 1, frame.bits = 16, frame.pixel_aspect = 1;
  frame.data[2] = ALL, frame.data[3] = 1;
  const exr_channel channels[2] = {{"exact", exact}, {"between", between}};
  CHECK(!exr_encode(channels, 2, &frame, "x", &data, &size, message), "%s", message);
  for (int c = 0; c < 2; ++c) {
    int wrong = 0;
    CHECK(!exr_decode(data, size, "x", channels[c].name, 0, &image, message), "%s", message);
    for (uint32_t h = 0; h < ALL; ++h) wrong += ((float *)image.pixels)[h] != exact[c && h + 1 < ALL ? (h + 1) & ~1u : h];
    CHECK(wrong == 0, "%s: %d values differ", channels[c].name, wrong);
    image_free(&image);
  }
  free(data);
}

static void what_cannot_be_written(void) {
  image_file frame;
  unsigned char *data;
  size_t size;
  const float value = 1;
  memset(&frame, 0, sizeof frame);
  frame.width = frame.height = 1, frame.bits = 16, frame.data[2] = frame.data[3] = 1;
  const exr_channel nameless = {"", &value}, good = {"A", &value};
  CHECK(exr_encode(&nameless, 1, &frame, "x", &data, &size, message) && !data);
  CHECK(exr_encode(&good, 0, &frame, "x", &data, &size, message) && !data);
  frame.bits = 8;
  CHECK(exr_encode(&good, 1, &frame, "x", &data, &size, message) && !data);
}

/* ------------------------------------------------------------------ files of other programs */

typedef struct foreign {
  EXRHeader header;
  EXRImage image;
  EXRTile *tiles;
  EXRChannelInfo channels[4];
  int types[4], requested[4];
  float values[4][WIDTH * HEIGHT];
  unsigned char *planes[4];
} foreign;

static void make_foreign(foreign *f, const char *const *names, int count, int compression, int type) {
  memset(f, 0, sizeof *f);
  InitEXRHeader(&f->header);
  InitEXRImage(&f->image);
  f->header.num_channels = f->image.num_channels = count;
  f->header.channels = f->channels;
  f->header.pixel_types = f->types;
  f->header.requested_pixel_types = f->requested;
  f->header.compression_type = compression;
  f->image.images = f->planes;
  f->image.width = WIDTH;
  f->image.height = HEIGHT;
  for (int c = 0; c < count; ++c) {
    strcpy(f->channels[c].name, names[c]);
    f->types[c] = type == TINYEXR_PIXELTYPE_UINT ? TINYEXR_PIXELTYPE_UINT : TINYEXR_PIXELTYPE_FLOAT;
    f->requested[c] = type;
    for (int i = 0; i < WIDTH * HEIGHT; ++i) {
      float value = pattern(c, i % WIDTH, i / WIDTH);
      uint32_t whole = (uint32_t)(value * 64);
      memcpy(&f->values[c][i], type == TINYEXR_PIXELTYPE_UINT ? (void *)&whole : (void *)&value, 4);
    }
    f->planes[c] = (unsigned char *)f->values[c];
  }
}

/* The same as tiles of 16 x 8. */
static void make_tiled(foreign *f) {
  enum { TILE_W = 16, TILE_H = 8, ACROSS = (WIDTH + TILE_W - 1) / TILE_W, DOWN = (HEIGHT + TILE_H - 1) / TILE_H };
  static float blocks[ACROSS * DOWN][4][TILE_W * TILE_H];
  static unsigned char *planes[ACROSS * DOWN][4];
  static EXRTile tiles[ACROSS * DOWN];
  f->header.tiled = 1;
  f->header.tile_size_x = TILE_W;
  f->header.tile_size_y = TILE_H;
  f->header.data_window.max_x = WIDTH - 1;
  f->header.data_window.max_y = HEIGHT - 1;
  for (int t = 0; t < ACROSS * DOWN; ++t) {
    EXRTile *tile = &tiles[t];
    memset(tile, 0, sizeof *tile);
    tile->offset_x = t % ACROSS;
    tile->offset_y = t / ACROSS;
    tile->width = tile->offset_x + 1 < ACROSS ? TILE_W : WIDTH - TILE_W * tile->offset_x;
    tile->height = tile->offset_y + 1 < DOWN ? TILE_H : HEIGHT - TILE_H * tile->offset_y;
    tile->images = planes[t];
    for (int c = 0; c < f->header.num_channels; ++c) {
      planes[t][c] = (unsigned char *)blocks[t][c];
      for (int y = 0; y < tile->height; ++y)
        memcpy(&blocks[t][c][y * TILE_W], &f->values[c][(tile->offset_y * TILE_H + y) * WIDTH + tile->offset_x * TILE_W],
               sizeof(float) * (size_t)tile->width);
    }
  }
  f->image.images = NULL;
  f->image.tiles = tiles;
  f->image.num_tiles = ACROSS * DOWN;
}

/* Reads a file; 1 if channel c of the result is channel plan[c] of the pattern. */
static int reads_as(const unsigned char *data, size_t size, const char *channels, uint32_t count, const int *plan,
                    float factor) {
  image_file image;
  int wrong = 0;
  if (exr_decode(data, size, "f.exr", channels, 0, &image, message)) return 0;
  CHECK(image.width == WIDTH && image.height == HEIGHT && image.channels == count && image.pixel_aspect == 1);
  for (int i = 0; i < WIDTH * HEIGHT; ++i)
    for (uint32_t c = 0; c < image.channels && c < count; ++c)
      wrong += ((float *)image.pixels)[(size_t)i * image.channels + c] != factor * pattern(plan[c], i % WIDTH, i / WIDTH);
  if (image.channels != count) wrong = 1;
  image_free(&image);
  return !wrong;
}

static void foreign_files_are_read(void) {
  static const char *const names[] = {"A", "B", "G", "R"}, *const grey[] = {"Y"};
  static const int rgb[] = {3, 2, 1}, first[] = {0};
  static foreign f;
  unsigned char *data;
  const char *error = NULL;
  for (int compression = TINYEXR_COMPRESSIONTYPE_NONE; compression <= TINYEXR_COMPRESSIONTYPE_PIZ; ++compression)
    for (int type = TINYEXR_PIXELTYPE_UINT; type <= TINYEXR_PIXELTYPE_FLOAT; ++type)
      for (int tiled = 0; tiled < 2; ++tiled) {
        make_foreign(&f, names, 4, compression, type);
        if (tiled) make_tiled(&f);
        size_t size = SaveEXRImageToMemory(&f.image, &f.header, &data, &error);
        CHECK(size > 0, "compression %d, type %d, tiled %d: %s", compression, type, tiled, error);
        float factor = type == TINYEXR_PIXELTYPE_UINT ? 64 : 1;
        CHECK(size && reads_as(data, size, NULL, 3, rgb, factor), "compression %d, type %d, tiled %d: %s", compression, type,
              tiled, message);
        free(data);
      }
  make_foreign(&f, grey, 1, TINYEXR_COMPRESSIONTYPE_ZIP, TINYEXR_PIXELTYPE_HALF);
  size_t size = SaveEXRImageToMemory(&f.image, &f.header, &data, &error);
  CHECK(reads_as(data, size, NULL, 1, first, 1), "%s", message);
  free(data);
}

static void channels_are_chosen(void) {
  static const char *const names[] = {"beauty.B", "beauty.G", "beauty.R", "depth.Z"}, *const other[] = {"mask"};
  static const int rgb[] = {2, 1, 0}, depth[] = {3}, mixed[] = {3, 0, 3}, first[] = {0};
  static foreign f, g;
  unsigned char *data;
  const char *error = NULL;
  image_file image;
  make_foreign(&f, names, 4, TINYEXR_COMPRESSIONTYPE_ZIPS, TINYEXR_PIXELTYPE_HALF);
  size_t size = SaveEXRImageToMemory(&f.image, &f.header, &data, &error);
  CHECK(reads_as(data, size, NULL, 3, rgb, 1), "the only layer: %s", message);
  CHECK(reads_as(data, size, "beauty", 3, rgb, 1), "%s", message);
  CHECK(reads_as(data, size, "depth.Z", 1, depth, 1), "%s", message);
  CHECK(reads_as(data, size, "depth.Z,beauty.B,depth.Z", 3, mixed, 1), "%s", message);
  CHECK(exr_decode(data, size, "f.exr", "specular", 0, &image, message) && !image.pixels);
  CHECK(strstr(message, "f.exr") && strstr(message, "'specular'") && strstr(message, "beauty.B, beauty.G"), "%s", message);
  CHECK(exr_decode(data, size, "f.exr", "R,G", 0, &image, message) && strstr(message, "expected one channel, or three"));
  free(data);

  make_foreign(&g, other, 1, TINYEXR_COMPRESSIONTYPE_NONE, TINYEXR_PIXELTYPE_FLOAT);
  size = SaveEXRImageToMemory(&g.image, &g.header, &data, &error);
  CHECK(exr_decode(data, size, "f.exr", NULL, 0, &image, message) && strstr(message, "choose with --channels"), "%s", message);
  free(data);

  /* Two parts; a part's name is a layer. */
  EXRImage images[2];
  const EXRHeader *headers[2] = {&g.header, &f.header};
  static const char *const plain[] = {"B", "G", "R", "Z"};
  for (int c = 0; c < 4; ++c) strcpy(f.channels[c].name, plain[c]);
  EXRSetNameAttr(&f.header, "film");
  EXRSetNameAttr(&g.header, "extra");
  images[0] = g.image;
  images[1] = f.image;
  size = SaveEXRMultipartImageToMemory(images, headers, 2, &data, &error);
  CHECK(size > 0, "%s", error);
  CHECK(size && reads_as(data, size, NULL, 3, rgb, 1), "%s", message);
  CHECK(size && reads_as(data, size, "film", 3, rgb, 1), "%s", message);
  CHECK(size && reads_as(data, size, "mask", 1, first, 1), "%s", message);
  free(data);
}

/* ------------------------------------------------------------------ damage */

static size_t find(const unsigned char *data, size_t size, const char *text) {
  for (size_t i = 0; i + strlen(text) < size; ++i)
    if (!memcmp(data + i, text, strlen(text) + 1)) return i;
  CHECK(0, "no '%s' in the file", text);
  return 0;
}

static void damage_is_reported(void) {
  static const char *const names[] = {"B", "G", "R"};
  static foreign f;
  unsigned char *data;
  const char *error = NULL;
  image_file image;
  for (int tiled = 0; tiled < 2; ++tiled) {
    make_foreign(&f, names, 3, TINYEXR_COMPRESSIONTYPE_ZIP, TINYEXR_PIXELTYPE_HALF);
    if (tiled) make_tiled(&f);
    size_t size = SaveEXRImageToMemory(&f.image, &f.header, &data, &error);
    for (size_t cut = 4; cut < size; cut += 1 + cut / 9) {
      unsigned char *part = malloc(cut);
      memcpy(part, data, cut);
      CHECK(exr_decode(part, cut, "cut.exr", NULL, 0, &image, message) && strstr(message, "cut.exr"), "%zu of %zu bytes", cut,
            size);
      free(part);
    }
    /* Changed bytes in what ZIP compressed are found by its checksum; elsewhere anything may come out, but nothing may break. */
    size_t head = find(data, size, "screenWindowWidth");
    for (size_t i = 4; i < size; i += i < head ? 1 : 17) {
      unsigned char old = data[i];
      for (int k = 0; k < 3; ++k) {
        data[i] = (unsigned char)(k == 0 ? old ^ 0x80 : k == 1 ? 0 : 255);
        if (!exr_decode(data, size, "x", NULL, 0, &image, message)) image_free(&image);
      }
      data[i] = old;
    }
    data[size - 20] ^= 0x10;
    CHECK(exr_decode(data, size, "flip.exr", NULL, 0, &image, message) && strstr(message, "damaged"), "%s", message);
    data[size - 20] ^= 0x10;
    data[find(data, size, "compression") + 12 + 12 + 4] = 8; /* name, type, size */
    CHECK(exr_decode(data, size, "dwa.exr", NULL, 0, &image, message) && strstr(message, "DWAA"), "%s", message);
    free(data);
  }
  make_foreign(&f, names, 3, TINYEXR_COMPRESSIONTYPE_NONE, TINYEXR_PIXELTYPE_HALF);
  size_t size = SaveEXRImageToMemory(&f.image, &f.header, &data, &error);
  size_t window = find(data, size, "displayWindow") + 14 + 6 + 4;
  data[window + 11] = 0x40; /* the last column is number 2^30 and more */
  CHECK(exr_decode(data, size, "wide.exr", NULL, 0, &image, message) && strstr(message, "display window"), "%s", message);
  free(data);
}

/* ------------------------------------------------------------------ for scripts */

static int convert(const char *from, const char *to) {
  image_file image, frame;
  if (image_read(from, &image, message)) return fprintf(stderr, "%s\n", message), 1;
  memset(&frame, 0, sizeof frame);
  frame.width = image.width, frame.height = image.height, frame.bits = 16, frame.pixel_aspect = 1;
  frame.origin[0] = 64, frame.origin[1] = -32;
  frame.data[0] = 8, frame.data[1] = 4;
  frame.data[2] = (int32_t)image.width - 16, frame.data[3] = (int32_t)image.height - 8;
  size_t pixels = (size_t)frame.data[2] * (size_t)frame.data[3];
  float *values = malloc(3 * pixels * sizeof *values), *rgb = malloc((size_t)image.width * image.height * 3 * sizeof *rgb);
  const float identity[6] = {1, 0, 0, 0, 1, 0};
  roto_image view = image_view(&image);
  roto_sample(&view, identity, ROTO_TRANSFER_LINEAR, image.width, image.height, rgb);
  for (size_t i = 0; i < pixels; ++i) {
    size_t x = i % (size_t)frame.data[2] + 8, y = i / (size_t)frame.data[2] + 4;
    for (size_t c = 0; c < 3; ++c) values[c * pixels + i] = rgb[(y * image.width + x) * 3 + c];
  }
  const exr_channel channels[3] = {{"R", values}, {"G", values + pixels}, {"B", values + 2 * pixels}};
  int result = image_write_exr(to, channels, 3, &frame, message);
  if (result) fprintf(stderr, "%s\n", message);
  free(values);
  free(rgb);
  image_free(&image);
  return result != 0;
}

int main(int argc, char **argv) {
  if (argc == 4 && !strcmp(argv[1], "convert")) return convert(argv[2], argv[3]);
  written_files_come_back();
  halves_round();
  what_cannot_be_written();
  foreign_files_are_read();
  channels_are_chosen();
  damage_is_reported();
  return check_end("exr");
}
