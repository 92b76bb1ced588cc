/* Image files in memory: PNG, JPEG, BMP, TGA, PNM and OpenEXR (exr_file.h), recognised by content whatever their name says.
 *
 * Reading all but the last is stb_image's, behind checks it does not make: the size in the header is refused before anything is allocated
 * for it, a file that ends before its picture does is an error in every format (stb_image fills up with zeros in some), and
 * PNG checksums are compared.  Orientation tags and colour profiles are ignored: pixels are as stored. */

#ifndef IMAGE_FILE_H
#define IMAGE_FILE_H

#include <stdint.h>
#include "../runtime/api.h"
#include "whole_file.h"

#define IMAGE_MAX_SIDE 32768u
#define IMAGE_MAX_PIXELS (512u * 1024u * 1024u)

/* Interleaved channels (1 grey, 2 grey+alpha, 3 RGB, 4 RGBA), rows contiguous; `bits` 8: uint8_t, 16: uint16_t, 32: float. */
typedef struct image_file {
  void *pixels;
  uint32_t width, height, channels, bits;
  roto_transfer transfer; /* sRGB, but linear for OpenEXR; a caller who knows better changes it */
  double pixel_aspect;    /* width of a pixel over its height */
  int32_t origin[2];      /* where the file counts the top-left corner of the picture (an OpenEXR display window) */
  int32_t data[4];        /* x, y, width, height in the picture of what the file holds (a data window); may reach beyond it */
} image_file;

/* What the header says, without decoding: pixels stay NULL. */
int image_read_header(const char *path, image_file *image, char *message);

/* Load a picture; image_free it.  Any thread.  On failure *image is zero. */
int image_read(const char *path, image_file *image, char *message);
/* The same with a choice of an OpenEXR file's channels (exr_decode); other formats have but their own. */
int image_read_channels(const char *path, const char *channels, image_file *image, char *message);
/* The same for a file that is in memory already; `name` is for messages. */
int image_decode(const unsigned char *data, size_t size, const char *name, image_file *image, char *message);
void image_free(image_file *image); /* leaves it zero */

/* srgb, linear, rec709, logc3, slog3, cineon or raw; transfer_parse returns -1 for anything else. */
const char *transfer_name(roto_transfer transfer);
int transfer_parse(const char *name, roto_transfer *transfer);

/* The picture as the runtime takes it. */
roto_image image_view(const image_file *image);

/* Value `at` (counted in channels) as a byte, float encoded as sRGB. */
uint8_t image_byte(const image_file *image, size_t at);

/* Write 8-bit interleaved pixels (1 to 4 channels; JPEG drops alpha); quality 1 to 100. */
int image_write_png(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, char *message);
/* The same for 16 bits a channel. */
int image_write_png16(const char *path, const uint16_t *pixels, uint32_t width, uint32_t height, uint32_t channels,
                      char *message);
int image_write_jpg(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality,
                    char *message);
/* Float channels as OpenEXR, `bits` 16 (half) or 32; windows and shape of pixels are those of `frame`. */
struct exr_channel;
int image_write_exr(const char *path, const struct exr_channel *channels, size_t count, const image_file *frame, char *message);
/* 8 bits in the format that the name ends with: .jpg or .jpeg (quality 90), else PNG. */
int image_write(const char *path, const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, char *message);

/* A JPEG in memory, for free(). */
int image_encode_jpg(const uint8_t *pixels, uint32_t width, uint32_t height, uint32_t channels, int quality,
                     unsigned char **data, size_t *size, char *message);

#endif
