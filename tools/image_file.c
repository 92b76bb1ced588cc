/* stb_image behind checks, and OpenEXR.
 *
 * stb_image reads through callbacks that note whether it asked for bytes after the last one.  That is the one test of
 * truncation that works for every format: its BMP, TGA and JPEG readers take missing bytes for zeros and return a picture
 * that is grey or black from there on.  The checksums of PNG, which it skips, catch flipped bits.  PNM is read here: stb
 * ignores its largest value and the byte order of 16 bits. */

#include "image_file.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "exr_file.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_TGA
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
/* stb shifts bytes into the sign bit of an int, which every compiler takes as meant; the sanitizer need not report it. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((no_sanitize("shift"))), apply_to = function)
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#if defined(__clang__)
#pragma clang attribute pop
#endif

/* stb counts bytes in int. */
#define IMAGE_FILE_LIMIT ((size_t)INT_MAX)

typedef struct source {
  const unsigned char *data;
  size_t size, at;
  int overrun; /* bytes beyond the end were asked for */
} source;

static int source_read(void *user, char *out, int count) {
  source *s = user;
  size_t left = s->size - s->at, n = count < 0 ? 0 : (size_t)count;
  /* 128 is the size of stb's buffer: only then may it ask for more than the picture needs. */
  if (left == 0 || (n > left && n != 128)) s->overrun = 1;
  if (n > left) n = left;
  memcpy(out, s->data + s->at, n);
  s->at += n;
  return (int)n;
}

static void source_skip(void *user, int count) {
  source *s = user;
  if (count < 0) {
    s->at -= (size_t)-count <= s->at ? (size_t)-count : s->at;
  } else {
    s->at += (size_t)count <= s->size - s->at ? (size_t)count : s->size - s->at;
  }
}

static int source_end(void *user) {
  const source *s = user;
  return s->at >= s->size;
}

static const stbi_io_callbacks source_calls = {source_read, source_skip, source_end};

static uint32_t big_u32(const unsigned char *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static int is_png(const unsigned char *data, size_t size) {
  return size >= 8 && !memcmp(data, "\x89PNG\r\n\x1a\n", 8);
}

static uint32_t png_crc(const unsigned char *data, size_t size) {
  return (uint32_t)crc32_z(0, data, size);
}

/* Every chunk of a PNG whole and unchanged, up to its last one. */
static int png_check(const unsigned char *data, size_t size, const char *name, char *message) {
  size_t at = 8;
  while (size - at >= 12) {
    uint32_t length = big_u32(data + at);
    if (length > size - at - 12) break;
    if (png_crc(data + at + 4, (size_t)length + 4) != big_u32(data + at + 8 + length)) {
      return message_set(message, "%s: damaged PNG: the checksum of the chunk at byte %zu does not fit; copy the file anew",
                         name, at);
    }
    if (!memcmp(data + at + 4, "IEND", 4)) return 0;
    at += (size_t)length + 12;
  }
  return message_set(message, "%s: truncated PNG: it ends after %zu bytes, inside a chunk; copy the file anew", name, size);
}

/* ---- The PNG files that plates are: grey or RGB, with or without alpha, 8 or 16 bits, not interlaced.  zlib inflates half as fast
 * again as stb, and a band of rows at a time stays in the cache.  All others are stb's. */

static int png_is_plain(const unsigned char *data, size_t size) {
  if (size < 29 || memcmp(data + 12, "IHDR", 4) != 0) return 0;
  if ((data[24] != 8 && data[24] != 16) || (data[25] != 0 && data[25] != 2 && data[25] != 4 && data[25] != 6)) return 0;
  if (data[26] || data[27] || data[28]) return 0;
  for (size_t at = 8; memcmp(data + at + 4, "IEND", 4) != 0; at += (size_t)big_u32(data + at) + 12) /* png_check saw it */
    if (!memcmp(data + at + 4, "tRNS", 4) || !memcmp(data + at + 4, "CgBI", 4)) return 0;
  return 1;
}

/* Undoes the filter of one row (PNG specification, 9.2); `above` is the row before it, zeros for the first; step: bytes a pixel. */
static inline int png_unfilter_step(int filter, unsigned char *row, const unsigned char *above, size_t size, size_t step) {
  size_t i;
  switch (filter) {
    case 0:
      return 0;
    case 1:
      for (i = step; i < size; ++i) row[i] = (unsigned char)(row[i] + row[i - step]);
      return 0;
    case 2:
      for (i = 0; i < size; ++i) row[i] = (unsigned char)(row[i] + above[i]);
      return 0;
    case 3:
      for (i = 0; i < step; ++i) row[i] = (unsigned char)(row[i] + above[i] / 2);
      for (; i < size; ++i) row[i] = (unsigned char)(row[i] + (row[i - step] + above[i]) / 2);
      return 0;
    case 4:
      for (i = 0; i < step; ++i) row[i] = (unsigned char)(row[i] + above[i]);
      for (; i < size; ++i) {
        int a = row[i - step], b = above[i], c = above[i - step];
        int pa = abs(b - c), pb = abs(a - c), pc = abs(a + b - 2 * c);
        int nearest = pb < pa ? b : a, least = pb < pa ? pb : pa;
        row[i] = (unsigned char)(row[i] + (pc < least ? c : nearest));
      }
      return 0;
    default:
      return -1;
  }
}

/* The usual steps as constants, which halves the time. */
static int png_unfilter(int filter, unsigned char *row, const unsigned char *above, size_t size, size_t step) {
  if (step == 3) return png_unfilter_step(filter, row, above, size, 3);
  if (step == 6) return png_unfilter_step(filter, row, above, size, 6);
  return png_unfilter_step(filter, row, above, size, step);
}

/* Inflates into out[size]; `at` is the chunk to go on with.  0, or -1 if there is not as much or it is damaged. */
static int png_inflate(z_stream *z, const unsigned char *data, size_t *at, unsigned char *out, size_t size) {
  z->next_out = out;
  z->avail_out = (uInt)size;
  while (z->avail_out) {
    if (!z->avail_in) {
      while (memcmp(data + *at + 4, "IDAT", 4) != 0) {
        if (!memcmp(data + *at + 4, "IEND", 4)) return -1;
        *at += (size_t)big_u32(data + *at) + 12;
      }
      z->next_in = (Bytef *)(uintptr_t)(data + *at + 8);
      z->avail_in = big_u32(data + *at);
      *at += (size_t)z->avail_in + 12;
      continue;
    }
    int result = inflate(z, Z_NO_FLUSH);
    if (result != Z_OK && !(result == Z_STREAM_END && !z->avail_out) && result != Z_BUF_ERROR) return -1;
  }
  return 0;
}

/* Pixels of a plain PNG whose header and chunks were checked. */
static int png_decode(const unsigned char *data, const char *name, image_file *image, char *message) {
  enum { BAND = 1 << 18 };
  static const unsigned char channels[7] = {1, 0, 3, 0, 2, 0, 4};
  image->channels = channels[data[25]];
  image->bits = data[24];
  size_t step = image->channels * image->bits / 8, row = step * image->width, rows = BAND / (row + 1), at = 8;
  if (!rows) rows = 1;
  z_stream z;
  memset(&z, 0, sizeof z);
  unsigned char *band = malloc(rows * (row + 1)), *zeros = calloc(row, 1), *out = malloc(row * image->height);
  int ready = band && zeros && out && inflateInit(&z) == Z_OK, damaged = 0;
  const unsigned char *above = zeros;
  for (size_t y = 0; ready && !damaged && y < image->height; y += rows) {
    size_t count = image->height - y < rows ? image->height - y : rows;
    damaged = png_inflate(&z, data, &at, band, count * (row + 1));
    for (size_t k = 0; k < count && !damaged; ++k) {
      unsigned char *to = out + (y + k) * row;
      memcpy(to, band + k * (row + 1) + 1, row);
      damaged = png_unfilter(band[k * (row + 1)], to, above, row, step);
      above = to;
    }
  }
  for (size_t i = 0; ready && !damaged && image->bits == 16 && i < row * image->height; i += 2) {
    uint16_t value = (uint16_t)(out[i] << 8 | out[i + 1]);
    memcpy(out + i, &value, 2);
  }
  inflateEnd(&z);
  free(band);
  free(zeros);
  image->pixels = out;
  if (!ready) return message_set(message, "%s: out of memory for %u x %u pixels", name, image->width, image->height);
  if (damaged) return message_set(message, "%s: damaged image (its compressed pixels); copy the file anew", name);
  return 0;
}

static int is_pnm(const unsigned char *data, size_t size) {
  return size >= 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6') && data[2] <= ' ';
}

/* A number of a PNM header, after white space and comments; 0 if there is none or it exceeds 999999. */
static uint32_t pnm_number(const unsigned char *data, size_t size, size_t *at) {
  uint32_t value = 0;
  while (*at < size && (data[*at] <= ' ' || data[*at] == '#')) {
    if (data[*at] == '#') {
      while (*at < size && data[*at] != '\n') ++*at;
    } else {
      ++*at;
    }
  }
  while (*at < size && data[*at] >= '0' && data[*at] <= '9') {
    value = value * 10 + (uint32_t)(data[(*at)++] - '0');
    if (value > 999999) return 0;
  }
  return value;
}

/* Width, height, largest value; *at is then the first byte of the pixels. */
static int pnm_header(const unsigned char *data, size_t size, image_file *image, uint32_t *largest, size_t *at) {
  *at = 2;
  image->width = pnm_number(data, size, at);
  image->height = pnm_number(data, size, at);
  *largest = pnm_number(data, size, at);
  ++*at; /* one white space */
  image->channels = data[1] == '6' ? 3 : 1;
  image->bits = *largest > 255 ? 16 : 8;
  return *at <= size && image->width && image->height && *largest && *largest <= 65535;
}

/* Pixels of a PNM whose header was checked, scaled from its largest value to all bits. */
static int pnm_decode(const unsigned char *data, size_t size, const char *name, image_file *image, char *message) {
  uint32_t largest;
  size_t at, count, i;
  pnm_header(data, size, image, &largest, &at);
  count = (size_t)image->width * image->height * image->channels;
  if (size - at < count * (image->bits / 8)) {
    return message_set(message, "%s: truncated PNM: expected %zu bytes of pixels, found %zu; copy the file anew", name,
                       count * (image->bits / 8), size - at);
  }
  image->pixels = malloc(count * (image->bits / 8));
  if (!image->pixels) return message_set(message, "%s: out of memory for %u x %u pixels", name, image->width, image->height);
  data += at;
  for (i = 0; i < count; ++i) {
    uint32_t value = image->bits == 16 ? (uint32_t)data[2 * i] << 8 | data[2 * i + 1] : data[i];
    if (value > largest) value = largest;
    if (image->bits == 16) {
      ((uint16_t *)image->pixels)[i] = (uint16_t)((value * 65535u + largest / 2) / largest);
    } else {
      ((uint8_t *)image->pixels)[i] = (uint8_t)((value * 255u + largest / 2) / largest);
    }
  }
  return 0;
}

static int check_size(uint32_t width, uint32_t height, const char *name, char *message) {
  if (width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE && (uint64_t)width * height <= IMAGE_MAX_PIXELS) return 0;
  return message_set(message,
                     "%s: expected at most %u pixels a side and %u megapixels, found a header of %u x %u; scale it down", name,
                     IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20, width, height);
}

static int read_header(const unsigned char *data, size_t size, const char *name, image_file *image, char *message) {
  source s = {data, size, 0, 0};
  int width = 0, height = 0, channels = 0;
  if (size == 0) return message_set(message, "%s: expected an image, found an empty file", name);
  if (is_pnm(data, size)) {
    uint32_t largest;
    size_t at;
    if (!pnm_header(data, size, image, &largest, &at)) {
      return message_set(message, "%s: expected width, height and largest value in the PNM header, found something else", name);
    }
    return check_size(image->width, image->height, name, message);
  }
  /* stb takes a PNG beyond its own limit for no image at all: look first. */
  if (is_png(data, size) && size >= 24 && check_size(big_u32(data + 16), big_u32(data + 20), name, message)) return -1;
  if (!stbi_info_from_callbacks(&source_calls, &s, &width, &height, &channels)) {
    const char *reason = stbi_failure_reason();
    return message_set(message,
                       "%s: expected PNG, JPEG, BMP, TGA, PNM or OpenEXR, found something else or a broken header (%s)", name,
                       reason ? reason : "unknown");
  }
  if (width <= 0 || height <= 0 || channels < 1 || channels > 4) {
    return message_set(message, "%s: expected at least one pixel, found a header of %d x %d pixels, %d channels", name, width,
                       height, channels);
  }
  image->width = (uint32_t)width;
  image->height = (uint32_t)height;
  image->channels = (uint32_t)channels;
  s.at = 0;
  image->bits = stbi_is_16_bit_from_callbacks(&source_calls, &s) ? 16 : 8;
  return check_size(image->width, image->height, name, message);
}

/* Pixels of anything but PNM, whose header was checked. */
static int stb_decode(const unsigned char *data, size_t size, const char *name, image_file *image, char *message) {
  source s = {data, size, 0, 0};
  int width, height, channels;
  if (is_png(data, size)) {
    if (png_check(data, size, name, message)) return -1;
    if (png_is_plain(data, size)) return png_decode(data, name, image, message);
  }
  if (image->bits == 16) {
    image->pixels = stbi_load_16_from_callbacks(&source_calls, &s, &width, &height, &channels, 0);
  } else {
    image->pixels = stbi_load_from_callbacks(&source_calls, &s, &width, &height, &channels, 0);
  }
  if (s.overrun) {
    return message_set(message, "%s: truncated image: it ends after %zu bytes, before its picture does; copy the file anew",
                       name, size);
  }
  if (!image->pixels) {
    const char *reason = stbi_failure_reason();
    return message_set(message, "%s: damaged image (%s); copy the file anew", name, reason ? reason : "unknown");
  }
  image->width = (uint32_t)width;
  image->height = (uint32_t)height;
  image->channels = (uint32_t)channels;
  return 0;
}

/* What all formats but OpenEXR leave unsaid. */
static void set_defaults(image_file *image) {
  image->transfer = ROTO_TRANSFER_SRGB;
  image->pixel_aspect = 1;
  image->data[2] = (int32_t)image->width;
  image->data[3] = (int32_t)image->height;
}

static int decode(const unsigned char *data, size_t size, const char *name, const char *channels, int header_only,
                  image_file *image, char *message) {
  int result;
  memset(image, 0, sizeof *image);
  if (size > IMAGE_FILE_LIMIT) {
    return message_set(message, "%s: expected at most %zu bytes, found %zu", name, IMAGE_FILE_LIMIT, size);
  }
  if (exr_is(data, size)) return exr_decode(data, size, name, channels, header_only, image, message);
  result = read_header(data, size, name, image, message);
  if (!result && !header_only) result = (is_pnm(data, size) ? pnm_decode : stb_decode)(data, size, name, image, message);
  if (result) {
    image_free(image);
  } else {
    set_defaults(image);
  }
  return result;
}

int image_decode(const unsigned char *data, size_t size, const char *name, image_file *image, char *message) {
  return decode(data, size, name, NULL, 0, image, message);
}

static int read_file(const char *path, const char *channels, int header_only, image_file *image, char *message) {
  unsigned char *data;
  size_t size;
  int result;
  memset(image, 0, sizeof *image);
  if (file_read(path, IMAGE_FILE_LIMIT, &data, &size, message)) return -1;
  result = decode(data, size, path, channels, header_only, image, message);
  free(data);
  return result;
}

int image_read(const char *path, image_file *image, char *message) {
  return read_file(path, NULL, 0, image, message);
}

int image_read_channels(const char *path, const char *channels, image_file *image, char *message) {
  return read_file(path, channels, 0, image, message);
}

int image_read_header(const char *path, image_file *image, char *message) {
  return read_file(path, NULL, 1, image, message);
}

void image_free(image_file *image) {
  stbi_image_free(image->pixels);
  memset(image, 0, sizeof *image);
}

static const char *const transfer_names[] = {"srgb", "linear", "rec709", "logc3", "slog3", "cineon", "raw"};

const char *transfer_name(roto_transfer transfer) {
  return transfer_names[transfer];
}

int transfer_parse(const char *name, roto_transfer *transfer) {
  for (int i = 0; i <= ROTO_TRANSFER_RAW; ++i) {
    if (strcmp(name, transfer_names[i]) != 0) continue;
    *transfer = (roto_transfer)i;
    return 0;
  }
  return -1;
}

roto_image image_view(const image_file *image) {
  roto_image view;
  memset(&view, 0, sizeof view);
  view.pixels = image->pixels;
  view.width = image->width;
  view.height = image->height;
  view.channels = image->channels;
  view.type = image->bits == 32 ? ROTO_PIXEL_F32 : image->bits == 16 ? ROTO_PIXEL_U16 : ROTO_PIXEL_U8;
  view.transfer = image->transfer;
  return view;
}

uint8_t image_byte(const image_file *image, size_t at) {
  if (image->bits == 8) return ((const uint8_t *)image->pixels)[at];
  if (image->bits == 16) return (uint8_t)((((const uint16_t *)image->pixels)[at] + 128u) / 257u);
  float v = ((const float *)image->pixels)[at];
  v = v > 0 ? v < 1 ? v : 1 : 0;
  if (image->transfer == ROTO_TRANSFER_LINEAR) v = v <= 0.0031308f ? 12.92f * v : 1.055f * powf(v, 1 / 2.4f) - 0.055f;
  return (uint8_t)(v * 255 + 0.5f);
}

/* Where stb_image_write puts a file. */
typedef struct sink {
  unsigned char *data;
  size_t size, capacity;
  int failed;
} sink;

static void sink_write(void *user, void *data, int count) {
  sink *s = user;
  size_t n = (size_t)count;
  if (s->failed) return;
  if (s->capacity - s->size < n) {
    size_t capacity = (s->size + n) * 2;
    unsigned char *grown = realloc(s->data, capacity);
    if (!grown) {
      s->failed = 1;
      return;
    }
    s->data = grown;
    s->capacity = capacity;
  }
  memcpy(s->data + s->size, data, n);
  s->size += n;
}

/* The size is checked once for both formats: stb computes in int. */
static int write_check(const char *path, const void *pixels, uint32_t width, uint32_t height, uint32_t pixel_size,
                       char *message) {
  if (!pixels || !width || !height || width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE || !pixel_size || pixel_size > 8 ||
      (uint64_t)width * height * pixel_size > (uint64_t)INT_MAX / 2) {
    return message_set(message, "%s: cannot write %u x %u pixels of %u bytes as an image", path, width, height, pixel_size);
  }
  return 0;
}

static int sink_finish(sink *s, int encoded, const char *path, char *message) {
  int result;
  if (!encoded || s->failed) {
    result = message_set(message, "%s: out of memory for its pixels", path);
  } else {
    result = file_write(path, s->data, s->size, message);
  }
  free(s->data);
  return result;
}

int image_write_png(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels,
                    char *message) {
  sink s = {NULL, 0, 0, 0};
  int encoded;
  if (write_check(path, pixels, width, height, channels, message)) return -1;
  encoded = stbi_write_png_to_func(sink_write, &s, (int)width, (int)height, (int)channels, pixels, (int)(width * channels));
  return sink_finish(&s, encoded, path, message);
}

static void put_u32(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; ++i) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Appends a chunk of a PNG file. */
static void put_chunk(sink *s, const char *name, const void *data, size_t size) {
  unsigned char *chunk = malloc(size + 12);
  if (!chunk) {
    s->failed = 1;
    return;
  }
  put_u32(chunk, (uint32_t)size);
  memcpy(chunk + 4, name, 4);
  if (size) memcpy(chunk + 8, data, size);
  put_u32(chunk + 8 + size, png_crc(chunk + 4, size + 4));
  sink_write(s, chunk, (int)(size + 12));
  free(chunk);
}

/* stb_image_write has 8 bits only, but its compressor serves: rows as differences from the row above, high bytes first. */
int image_write_png16(const char *path, const uint16_t *pixels, uint32_t width, uint32_t height, uint32_t channels,
                      char *message) {
  static const unsigned char magic[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10}, types[5] = {0, 0, 4, 2, 6};
  sink s = {NULL, 0, 0, 0};
  unsigned char header[13] = {0}, *packed = NULL;
  size_t samples = (size_t)width * channels, row = 2 * samples + 1;
  int packed_size = 0;
  if (write_check(path, pixels, width, height, 2 * channels, message)) return -1;
  unsigned char *rows = malloc(row * height);
  for (uint32_t y = 0; rows && y < height; ++y) {
    unsigned char *out = rows + row * y;
    *out++ = 2;
    for (size_t i = 0; i < samples; ++i) {
      unsigned v = pixels[y * samples + i], above = y ? pixels[(y - 1) * samples + i] : 0;
      *out++ = (unsigned char)((v >> 8) - (above >> 8));
      *out++ = (unsigned char)(v - above);
    }
  }
  if (rows) packed = stbi_zlib_compress(rows, (int)(row * height), &packed_size, 8);
  free(rows);
  put_u32(header, width);
  put_u32(header + 4, height);
  header[8] = 16;
  header[9] = types[channels];
  sink_write(&s, (void *)(uintptr_t)magic, sizeof magic);
  put_chunk(&s, "IHDR", header, sizeof header);
  if (packed) put_chunk(&s, "IDAT", packed, (size_t)packed_size);
  put_chunk(&s, "IEND", NULL, 0);
  STBIW_FREE(packed);
  return sink_finish(&s, packed != NULL, path, message);
}

int image_encode_jpg(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality,
                     unsigned char **data, size_t *size, char *message) {
  sink s = {NULL, 0, 0, 0};
  *data = NULL;
  *size = 0;
  if (write_check("JPEG", pixels, width, height, channels, message)) return -1;
  if (!stbi_write_jpg_to_func(sink_write, &s, (int)width, (int)height, (int)channels, pixels, quality) || s.failed) {
    free(s.data);
    return message_set(message, "out of memory for a JPEG of %u x %u pixels", width, height);
  }
  *data = s.data;
  *size = s.size;
  return 0;
}

int image_write_jpg(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality,
                    char *message) {
  unsigned char *data;
  size_t size;
  if (write_check(path, pixels, width, height, channels, message)) return -1;
  if (image_encode_jpg(pixels, width, height, channels, quality, &data, &size, message)) return -1;
  int result = file_write(path, data, size, message);
  free(data);
  return result;
}

int image_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, char *message) {
  const char *dot = strrchr(path, '.');
  if (dot && (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg")))
    return image_write_jpg(path, pixels, width, height, channels, 90, message);
  return image_write_png(path, pixels, width, height, channels, message);
}

int image_write_exr(const char *path, const struct exr_channel *channels, size_t count, const image_file *frame,
                    char *message) {
  unsigned char *data;
  size_t size;
  if (exr_encode(channels, count, frame, path, &data, &size, message)) return -1;
  int result = file_write(path, data, size, message);
  free(data);
  return result;
}
