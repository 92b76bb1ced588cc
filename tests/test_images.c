/* Picture files, read by content and written whole.
 *
 * Pictures are made through the writers under test and through small encoders here, which also make what no writer makes (16-bit
 * PNG, headers of huge pictures).  Truncation and damage are not spot checks: every prefix of a small file of each format, and
 * every flipped byte of a PNG, must be refused.  OpenEXR is the matter of test_exr.c. */

#include "check.h"

#include <math.h>

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include "../tools/image_file.h"
#include "scratch.h"

/* ---- pictures in memory ---- */

typedef struct bytes {
  unsigned char *data;
  size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size) {
  b->data = realloc(b->data, b->size + size + 1);
  memcpy(b->data + b->size, data, size);
  b->size += size;
}

static void put_stb(void *user, void *data, int size) {
  put(user, data, (size_t)size);
}

static void put_u32(bytes *b, uint32_t v) {
  unsigned char t[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16), (unsigned char)(v >> 8), (unsigned char)v};
  put(b, t, 4);
}

static uint32_t slow_crc(const unsigned char *data, size_t size) {
  uint32_t crc = 0xffffffffu;
  int k;
  while (size--) {
    crc ^= *data++;
    for (k = 0; k < 8; ++k) crc = crc & 1 ? 0xedb88320u ^ crc >> 1 : crc >> 1;
  }
  return ~crc;
}

static void put_chunk(bytes *b, const char *name, const bytes *content) {
  size_t start;
  put_u32(b, (uint32_t)content->size);
  start = b->size;
  put(b, name, 4);
  if (content->size) put(b, content->data, content->size);
  put_u32(b, slow_crc(b->data + start, b->size - start));
}

/* A PNG without compression.  `rows`: height rows, each begun by its filter byte; NULL: the header and nothing behind it. */
static bytes make_png(uint32_t width, uint32_t height, int bits, int colour_type, const unsigned char *rows, size_t size) {
  static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  const unsigned char kind[5] = {(unsigned char)bits, (unsigned char)colour_type, 0, 0, 0};
  bytes png = {NULL, 0}, header = {NULL, 0}, data = {NULL, 0}, nothing = {NULL, 0};
  put(&png, signature, 8);
  put_u32(&header, width);
  put_u32(&header, height);
  put(&header, kind, 5);
  put_chunk(&png, "IHDR", &header);
  if (rows) {
    const unsigned char start[7] = {
        0x78, 0x01, 1, (unsigned char)size, (unsigned char)(size >> 8), (unsigned char)~size, (unsigned char)(~size >> 8)};
    uint32_t a = 1, c = 0;
    size_t i;
    for (i = 0; i < size; ++i) {
      a = (a + rows[i]) % 65521;
      c = (c + a) % 65521;
    }
    put(&data, start, 7);
    put(&data, rows, size);
    put_u32(&data, c << 16 | a);
    put_chunk(&png, "IDAT", &data);
  }
  put_chunk(&png, "IEND", &nothing);
  free(header.data);
  free(data.data);
  return png;
}

enum { PICTURE_WIDTH = 23, PICTURE_HEIGHT = 17 };

/* Every channel of every pixel different from its neighbours. */
static uint8_t picture_value(uint32_t x, uint32_t y, uint32_t k) {
  return (uint8_t)(x * 9 + y * 5 + k * 61);
}

static void fill_picture(uint8_t *pixels, uint32_t channels) {
  uint32_t x, y, k;
  for (y = 0; y < PICTURE_HEIGHT; ++y) {
    for (x = 0; x < PICTURE_WIDTH; ++x) {
      for (k = 0; k < channels; ++k) *pixels++ = picture_value(x, y, k);
    }
  }
}

/* The test picture in one of the formats. */
static bytes encode(const char *format, uint32_t channels) {
  uint8_t pixels[PICTURE_WIDTH * PICTURE_HEIGHT * 4];
  const int w = PICTURE_WIDTH, h = PICTURE_HEIGHT, n = (int)channels;
  bytes b = {NULL, 0};
  fill_picture(pixels, channels);
  if (!strcmp(format, "png")) stbi_write_png_to_func(put_stb, &b, w, h, n, pixels, w * n);
  if (!strcmp(format, "jpg")) stbi_write_jpg_to_func(put_stb, &b, w, h, n, pixels, 95);
  if (!strcmp(format, "bmp")) stbi_write_bmp_to_func(put_stb, &b, w, h, n, pixels);
  if (!strcmp(format, "tga")) stbi_write_tga_to_func(put_stb, &b, w, h, n, pixels);
  if (!strcmp(format, "pnm")) {
    char head[64];
    int length = snprintf(head, sizeof head, "P%d\n# a comment\n%d %d\n255\n", channels == 3 ? 6 : 5, w, h);
    put(&b, head, (size_t)length);
    put(&b, pixels, (size_t)(w * h * n));
  }
  CHECK(b.size > 0);
  return b;
}

static void images_are_known_by_content(void) {
  static const char *const formats[] = {"png", "jpg", "bmp", "tga", "pnm"};
  size_t i, k;
  for (i = 0; i < 5; ++i) {
    bytes b = encode(formats[i], 3);
    const char *path = in_root("really-%s.%s", formats[i], formats[(i + 1) % 5]); /* the extension lies */
    image_file image, header;
    int worst = 0;
    uint8_t expected[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
    fill_picture(expected, 3);
    write_bytes(path, b.data, b.size);
    CHECK(image_read_header(path, &header, message) == 0);
    CHECK(header.width == PICTURE_WIDTH && header.height == PICTURE_HEIGHT && header.bits == 8 && !header.pixels);
    CHECK(image_read(path, &image, message) == 0);
    CHECK(image.width == PICTURE_WIDTH && image.height == PICTURE_HEIGHT && image.channels == 3 && image.bits == 8);
    if (image.pixels) {
      for (k = 0; k < sizeof expected; ++k) {
        int d = abs(((uint8_t *)image.pixels)[k] - expected[k]);
        if (d > worst && !(i == 1 && expected[k] > 230)) worst = d; /* the values wrap around: JPEG rings there */
      }
      CHECK(i == 1 ? worst < 140 : worst == 0);
    }
    image_free(&image);
    CHECK(!image.pixels && !image.width);
    free(b.data);
  }
}

static void images_keep_grey_and_alpha(void) {
  uint32_t channels, k;
  for (channels = 1; channels <= 4; ++channels) {
    bytes b = encode("png", channels);
    uint8_t expected[PICTURE_WIDTH * PICTURE_HEIGHT * 4];
    image_file image;
    fill_picture(expected, channels);
    CHECK(image_decode(b.data, b.size, "memory", &image, message) == 0);
    CHECK(image.channels == channels);
    CHECK(image.pixels && !memcmp(image.pixels, expected, (size_t)PICTURE_WIDTH * PICTURE_HEIGHT * channels));
    image_free(&image);
    free(b.data);
  }
  for (k = 0; k < 2; ++k) { /* 16 bits: PNG with alpha, PNM with a largest value of its own */
    static const unsigned char rows[] = {0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
                                         0, 0xff, 0xff, 0x00, 0x01, 0x80, 0x00, 0x7f, 0xff};
    static const char pnm[] = "P5 2 1 1023\n\x03\xff\x01\x00";
    bytes b = {NULL, 0};
    image_file image;
    roto_image view;
    if (k == 0) {
      b = make_png(1, 2, 16, 6, rows, sizeof rows);
    } else {
      put(&b, pnm, sizeof pnm - 1);
    }
    CHECK(image_decode(b.data, b.size, "memory", &image, message) == 0);
    CHECK(image.bits == 16 && image.channels == (k == 0 ? 4 : 1));
    view = image_view(&image);
    CHECK(view.type == ROTO_PIXEL_U16 && view.transfer == ROTO_TRANSFER_SRGB && view.pixels == image.pixels);
    if (image.pixels && k == 0) {
      const uint16_t *p = image.pixels;
      CHECK(p[0] == 0x1234 && p[3] == 0xdef0 && p[4] == 0xffff && p[5] == 1 && p[7] == 0x7fff);
    } else if (image.pixels) {
      const uint16_t *p = image.pixels;
      CHECK(p[0] == 65535 && p[1] == (256 * 65535 + 511) / 1023);
    }
    image_free(&image);
    free(b.data);
  }
}

static void images_cut_anywhere_are_refused(void) {
  static const char *const formats[] = {"png", "jpg", "bmp", "tga", "pnm"};
  size_t i, n, accepted;
  image_file image;
  for (i = 0; i < 5; ++i) {
    bytes b = encode(formats[i], 3);
    /* The last row of a BMP is filled up to a multiple of 4 bytes, of which no picture misses any. */
    const size_t needed = b.size - (strcmp(formats[i], "bmp") ? 0 : PICTURE_WIDTH * 3 % 4 ? 4 - PICTURE_WIDTH * 3 % 4 : 0);
    accepted = 0;
    for (n = 0; n < needed; ++n) {
      unsigned char *part = malloc(n + 1); /* of its own, so that sanitizers see reads behind it */
      memcpy(part, b.data, n);
      if (image_decode(part, n, "cut", &image, message) == 0) ++accepted;
      if (image.pixels) ++accepted;
      image_free(&image);
      free(part);
    }
    if (accepted) printf("%s: %zu of %zu prefixes accepted\n", formats[i], accepted, needed);
    CHECK(accepted == 0);
    CHECK(image_decode(b.data, b.size - b.size / 4, "cut", &image, message) == -1 && message_has("cut: truncated"));
    free(b.data);
  }
}

typedef struct png_bytes {
  unsigned char data[1 << 16];
  size_t size;
} png_bytes;

static void png_append(void *user, void *data, int count) {
  png_bytes *file = user;
  memcpy(file->data + file->size, data, (size_t)count);
  file->size += (size_t)count;
}

/* The reader of plain PNG files and stb's agree: every filter, one to four channels, rows that do not fill a band. */
static void png_is_what_stb_reads(void) {
  static unsigned char pixels[97 * 61 * 4];
  static png_bytes file;
  for (int filter = 0; filter < 5; ++filter)
    for (int channels = 1; channels <= 4; ++channels) {
      image_file image;
      int w, h, n;
      for (size_t i = 0; i < sizeof pixels; ++i) pixels[i] = (unsigned char)(i * i / 97 + i % 89 * 3);
      file.size = 0;
      stbi_write_force_png_filter = filter;
      stbi_write_png_to_func(png_append, &file, 97, 61, channels, pixels, 97 * channels);
      stbi_write_force_png_filter = -1;
      unsigned char *expected = stbi_load_from_memory(file.data, (int)file.size, &w, &h, &n, 0);
      CHECK(image_decode(file.data, file.size, "x.png", &image, message) == 0, "%s", message);
      CHECK(expected && n == channels && image.channels == (uint32_t)n && image.width == 97 && image.height == 61 &&
                !memcmp(expected, image.pixels, (size_t)(97 * 61 * n)),
            "filter %d, %d channels", filter, channels);
      stbi_image_free(expected);
      image_free(&image);
    }
}

static void png_with_a_flipped_bit_is_refused(void) {
  bytes b = encode("png", 3);
  size_t i, accepted = 0;
  image_file image;
  for (i = 0; i < b.size; ++i) {
    b.data[i] ^= (unsigned char)(1 << i % 8);
    if (image_decode(b.data, b.size, "flipped", &image, message) == 0) ++accepted;
    image_free(&image);
    b.data[i] ^= (unsigned char)(1 << i % 8);
  }
  CHECK(accepted == 0);
  b.data[b.size / 2] ^= 4;
  CHECK(image_decode(b.data, b.size, "flipped", &image, message) == -1 && message_has("flipped: damaged PNG"));
  free(b.data);
}

static void images_of_absurd_size_are_refused(void) {
  bytes b = make_png(40000, 10, 8, 2, NULL, 0);
  image_file image;
  CHECK(image_decode(b.data, b.size, "wide", &image, message) == -1 && message_has("40000 x 10"));
  free(b.data);
  b = make_png(32768, 32768, 8, 2, NULL, 0); /* each side is allowed, both together are not */
  CHECK(image_decode(b.data, b.size, "large", &image, message) == -1 && message_has("32768 x 32768"));
  free(b.data);
  CHECK(image_decode((const unsigned char *)"P6 99999 3 255 ", 15, "pnm", &image, message) == -1 && message_has("99999 x 3"));
  CHECK(image_decode((const unsigned char *)"P6 0 3 255 ", 11, "pnm", &image, message) == -1 && message_has("pnm: "));
  CHECK(image_decode((const unsigned char *)"P6 99999999999999999999 3 255 ", 30, "pnm", &image, message) == -1);
  CHECK(image_decode((const unsigned char *)"{\"points\": []}", 14, "text.png", &image, message) == -1 &&
        message_has("text.png: expected PNG, JPEG, BMP, TGA, PNM or OpenEXR"));
  CHECK(image_read(in_root("not-there.png"), &image, message) == -1 && message_has("not-there.png: cannot open"));
}

static size_t count_files(const char *path) {
  DIR *dir = opendir(path);
  struct dirent *entry;
  size_t count = 0;
  if (!dir) return 0;
  while ((entry = readdir(dir)) != NULL) count += entry->d_name[0] != '.' || (entry->d_name[1] && entry->d_name[1] != '.');
  closedir(dir);
  return count;
}

static void images_are_written_whole(void) {
  uint8_t pixels[PICTURE_WIDTH * PICTURE_HEIGHT * 3];
  image_file image;
  make_folder("out");
  fill_picture(pixels, 3);
  CHECK(image_write_png(in_root("out/a.png"), pixels, PICTURE_WIDTH, PICTURE_HEIGHT, 3, message) == 0);
  CHECK(image_write_jpg(in_root("out/a.jpg"), pixels, PICTURE_WIDTH, PICTURE_HEIGHT, 3, 90, message) == 0);
  CHECK(image_write_png(in_root("out/a.png"), pixels, PICTURE_WIDTH, PICTURE_HEIGHT, 3, message) == 0); /* over the old one */
  const char *const by_name[][2] = {
      {"out/a.JPG", "\xff\xd8"}, {"out/b.jpeg", "\xff\xd8"}, {"out/c.png", "\x89P"}, {"out/c", "\x89P"}};
  for (size_t i = 0; i < sizeof by_name / sizeof *by_name; ++i) {
    unsigned char *data = NULL;
    size_t size = 0;
    CHECK(image_write(in_root("%s", by_name[i][0]), pixels, PICTURE_WIDTH, PICTURE_HEIGHT, 3, message) == 0);
    CHECK(file_read(in_root("%s", by_name[i][0]), 1 << 20, &data, &size, message) == 0 && size > 2);
    CHECK(data != NULL && memcmp(data, by_name[i][1], 2) == 0, "%s", by_name[i][0]);
    free(data);
    CHECK(remove(in_root("%s", by_name[i][0])) == 0);
  }
  CHECK(count_files(in_root("out")) == 2);
  CHECK(image_read(in_root("out/a.png"), &image, message) == 0);
  CHECK(image.pixels && !memcmp(image.pixels, pixels, sizeof pixels));
  image_free(&image);
  CHECK(image_read(in_root("out/a.jpg"), &image, message) == 0 && image.channels == 3);
  image_free(&image);
  CHECK(image_write_png(in_root("no-folder/a.png"), pixels, 1, 1, 3, message) == -1 && message_has("a.png: cannot write"));
  CHECK(image_write_png(in_root("out/b.png"), pixels, 0, 1, 3, message) == -1 && message_has("0 x 1"));
  CHECK(count_files(in_root("out")) == 2);
}

int main(void) {
  scratch_start();
  images_are_known_by_content();
  images_keep_grey_and_alpha();
  images_cut_anywhere_are_refused();
  png_is_what_stb_reads();
  png_with_a_flipped_bit_is_refused();
  images_of_absurd_size_are_refused();
  images_are_written_whole();
  scratch_end();
  return check_end("images");
}
