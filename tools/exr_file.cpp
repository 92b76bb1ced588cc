/* See exr_file.h.  The one C++ file: tinyexr is C++.  Nothing it throws gets out. */

#include "exr_file.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

/* A damaged file must not end the process: tinyexr's assertions are off, and what it would trust is checked here first. */
#ifndef NDEBUG
#define NDEBUG
#endif
#define TINYEXR_USE_OPENMP 0 /* frames are read side by side */
#define TINYEXR_IMPLEMENTATION
#include <tinyexr.h>

namespace {

/* ------------------------------------------------------------------ reading */

/* Headers of all parts of a file, freed at the end of their scope. */
struct Headers {
  EXRHeader **list = nullptr;
  int count = 0;
  EXRHeader single;
  EXRHeader *single_list[1] = {&single};
  ~Headers() {
    for (int i = 0; i < count; ++i) FreeEXRHeader(list[i]);
    if (list == single_list) return;
    for (int i = 0; i < count; ++i) std::free(list[i]);
    std::free(list);
  }
};

struct Images {
  std::vector<EXRImage> list;
  explicit Images(int count) : list(static_cast<size_t>(count)) {
    for (EXRImage &image : list) InitEXRImage(&image);
  }
  ~Images() {
    for (EXRImage &image : list) FreeEXRImage(&image);
  }
};

/* What tinyexr said, as part of a sentence. */
std::string take_error(const char *error) {
  std::string text = error ? error : "it is damaged";
  if (error) FreeEXRErrorMessage(error);
  for (char &c : text)
    if (c == '\n') c = ' ';
  while (!text.empty() && (text.back() == ' ' || text.back() == '.')) text.pop_back();
  return text;
}

/* The compression of the first part, from the attributes in front of the pixels; -1 if none is found. */
int compression(const unsigned char *data, size_t size) {
  size_t at = 8;
  while (at < size && data[at]) {
    const char *attribute = reinterpret_cast<const char *>(data + at);
    size_t length = strnlen(attribute, size - at) + 1;
    size_t type = at + length < size ? strnlen(attribute + length, size - at - length) + 1 : 0;
    size_t value = at + length + type + 4;
    if (!type || value >= size) return -1;
    if (!std::strcmp(attribute, "compression")) return data[value];
    uint32_t bytes = 0;
    for (size_t k = 4; k-- > 0;) bytes = bytes << 8 | data[value - 4 + k];
    if (bytes > size - value) return -1;
    at = value + bytes;
  }
  return -1;
}

const char *compression_name(int code) {
  static const char *const names[] = {"NONE", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"};
  return code >= 0 && code < 10 ? names[code] : "unknown";
}

int read_headers(const unsigned char *data, size_t size, const char *name, Headers *headers, char *message) {
  EXRVersion version;
  const char *error = nullptr;
  if (ParseEXRVersionFromMemory(&version, data, size) != TINYEXR_SUCCESS)
    return message_set(message, "%s: damaged OpenEXR file: its first bytes are not those of version 2; copy the file anew",
                       name);
  if (version.non_image)
    return message_set(message, "%s: expected a flat OpenEXR picture, found a deep one; flatten it first", name);
  int code = compression(data, size);
  if (code > TINYEXR_COMPRESSIONTYPE_PIZ)
    return message_set(message, "%s: OpenEXR compression %s is not read; save it with ZIP, ZIPS, PIZ, RLE or none", name,
                       compression_name(code));
  int result;
  if (version.multipart) {
    result = ParseEXRMultipartHeaderFromMemory(&headers->list, &headers->count, &version, data, size, &error);
  } else {
    InitEXRHeader(&headers->single);
    headers->list = headers->single_list;
    headers->count = 1;
    result = ParseEXRHeaderFromMemory(&headers->single, &version, data, size, &error);
  }
  if (result == TINYEXR_SUCCESS && headers->count > 0) return 0;
  return message_set(message, "%s: damaged OpenEXR header (%s); copy the file anew", name, take_error(error).c_str());
}

struct Choice {
  int part = -1;
  int channels[3] = {0, 0, 0};
  int count = 0;
};

int find_channel(const EXRHeader *header, const std::string &channel) {
  for (int i = 0; i < header->num_channels; ++i)
    if (channel == header->channels[i].name) return i;
  return -1;
}

bool choose(const Headers &headers, const std::vector<std::string> &names, const std::string &part, Choice *choice) {
  for (int i = 0; i < headers.count; ++i) {
    Choice found;
    if (!part.empty() && part != headers.list[i]->name) continue;
    found.part = i;
    for (const std::string &name : names) {
      int index = find_channel(headers.list[i], name);
      if (index < 0) break;
      found.channels[found.count++] = index;
    }
    if (found.count != static_cast<int>(names.size())) continue;
    *choice = found;
    return true;
  }
  return false;
}

bool choose_layer(const Headers &headers, const std::string &layer, const std::string &part, Choice *choice) {
  std::string dot = layer.empty() ? "" : layer + ".";
  return choose(headers, {dot + "R", dot + "G", dot + "B"}, part, choice) || choose(headers, {dot + "Y"}, part, choice);
}

/* Names of layers that have colours; of a part without a layer in its channels' names, its own. */
std::vector<std::string> layers(const Headers &headers) {
  std::vector<std::string> found;
  for (int i = 0; i < headers.count; ++i)
    for (int c = 0; c < headers.list[i]->num_channels; ++c) {
      std::string channel = headers.list[i]->channels[c].name;
      size_t dot = channel.rfind(".R");
      if (dot == std::string::npos || dot + 2 != channel.size()) continue;
      found.push_back(channel.substr(0, dot));
    }
  return found;
}

std::string list_channels(const Headers &headers) {
  std::string text;
  for (int i = 0; i < headers.count; ++i)
    for (int c = 0; c < headers.list[i]->num_channels && text.size() < 200; ++c)
      text += (text.empty() ? "" : ", ") + std::string(headers.list[i]->channels[c].name);
  return text;
}

int choose_channels(const Headers &headers, const char *name, const char *channels, Choice *choice, char *message) {
  if (channels) {
    std::vector<std::string> names;
    std::string text = channels;
    for (size_t at = 0; at <= text.size();) {
      size_t comma = std::min(text.find(',', at), text.size());
      names.push_back(text.substr(at, comma - at));
      at = comma + 1;
    }
    if (names.size() != 1 && names.size() != 3)
      return message_set(message, "%s: expected one channel, or three, or a layer, found '%.100s'", name, channels);
    if (choose(headers, names, "", choice)) return 0;
    if (names.size() == 1 && (choose_layer(headers, names[0], "", choice) || choose_layer(headers, "", names[0], choice)))
      return 0;
    return message_set(message, "%s: has no channels or layer '%.100s', only: %s", name, channels,
                       list_channels(headers).c_str());
  }
  std::vector<std::string> with_colours = layers(headers);
  if (choose_layer(headers, "", "", choice)) return 0;
  if (with_colours.size() == 1 && choose_layer(headers, with_colours[0], "", choice)) return 0;
  return message_set(message, "%s: expected channels R, G, B or Y, found: %s; choose with --channels", name,
                     list_channels(headers).c_str());
}

bool sane_window(const EXRBox2i &box) {
  int64_t width = int64_t(box.max_x) - box.min_x + 1, height = int64_t(box.max_y) - box.min_y + 1;
  return width >= 1 && height >= 1 && width <= IMAGE_MAX_SIDE && height <= IMAGE_MAX_SIDE &&
         uint64_t(width) * uint64_t(height) <= IMAGE_MAX_PIXELS && box.min_x > -(1 << 20) && box.min_y > -(1 << 20) &&
         box.max_x < 1 << 20 && box.max_y < 1 << 20;
}

/* tinyexr computes with what the header says: only what it can compute with goes on. */
int check_header(const EXRHeader *header, const char *name, char *message) {
  const EXRBox2i &d = header->display_window, &w = header->data_window;
  if (!sane_window(d) || !sane_window(w))
    return message_set(
        message,
        "%s: expected windows of at most %u pixels a side and %u megapixels, found a display window (%d, %d, %d, "
        "%d) and a data window (%d, %d, %d, %d)",
        name, IMAGE_MAX_SIDE, IMAGE_MAX_PIXELS >> 20, d.min_x, d.min_y, d.max_x, d.max_y, w.min_x, w.min_y, w.max_x, w.max_y);
  uint64_t pixels = uint64_t(w.max_x - w.min_x + 1) * uint64_t(w.max_y - w.min_y + 1);
  if (pixels * uint64_t(header->num_channels) > uint64_t(1) << 31)
    return message_set(message, "%s: %d channels of %llu pixels do not fit into memory; save fewer", name, header->num_channels,
                       static_cast<unsigned long long>(pixels));
  if (header->tiled && (header->tile_size_x < 1 || header->tile_size_y < 1 || header->tile_size_x > int(IMAGE_MAX_SIDE) ||
                        header->tile_size_y > int(IMAGE_MAX_SIDE)))
    return message_set(message, "%s: damaged OpenEXR header: tiles of %d x %d", name, header->tile_size_x, header->tile_size_y);
  for (int c = 0; c < header->num_channels; ++c)
    if (header->channels[c].x_sampling != 1 || header->channels[c].y_sampling != 1)
      return message_set(message, "%s: channel %s is subsampled, which is not read; save it with full channels", name,
                         header->channels[c].name);
  return 0;
}

uint32_t number_at(const unsigned char *p) {
  return uint32_t(p[0]) | uint32_t(p[1]) << 8 | uint32_t(p[2]) << 16 | uint32_t(p[3]) << 24;
}

/* Bytes of a line of the data window before compression. */
uint64_t line_size(const EXRHeader *header) {
  uint64_t bytes = 0;
  for (int c = 0; c < header->num_channels; ++c) bytes += header->pixel_types[c] == TINYEXR_PIXELTYPE_HALF ? 2 : 4;
  return bytes * uint64_t(header->data_window.max_x - header->data_window.min_x + 1);
}

/* One block of lines or tile: within the file, and where the data window has a place for it. */
bool chunk_fits(const unsigned char *data, size_t size, uint64_t offset, const Headers &headers, int part, int lines) {
  const EXRHeader *header = headers.list[part];
  const EXRBox2i &w = header->data_window;
  size_t multi = headers.list == headers.single_list ? 0 : 4, head = multi + (header->tiled ? 20 : 8);
  if (offset > size || size - offset < head) return false;
  const unsigned char *p = data + offset;
  uint32_t length = number_at(p + head - 4);
  if (multi && number_at(p) != uint32_t(part)) return false;
  if (length < 1 || length > 0x7fffffff || length > size - offset - head) return false;
  p += multi;
  if (header->tiled)
    return int64_t(number_at(p)) * header->tile_size_x <= int64_t(w.max_x) - w.min_x &&
           int64_t(number_at(p + 4)) * header->tile_size_y <= int64_t(w.max_y) - w.min_y && !number_at(p + 8) &&
           !number_at(p + 12);
  int64_t y = int64_t(int32_t(number_at(p))) - w.min_y;
  if (y < 0 || y > int64_t(w.max_y) - w.min_y || y % lines) return false;
  uint64_t in_chunk = uint64_t(std::min(int64_t(lines), int64_t(w.max_y) - w.min_y - y + 1));
  return header->compression_type != TINYEXR_COMPRESSIONTYPE_NONE || length >= in_chunk * line_size(header);
}

/* tinyexr follows the table of offsets and what stands there: all of it is checked before. */
int check_chunks(const unsigned char *data, size_t size, const char *name, const Headers &headers, char *message) {
  uint64_t table = 8 + (headers.list == headers.single_list ? 0 : 1);
  for (int i = 0; i < headers.count; ++i) table += headers.list[i]->header_len;
  for (int i = 0; i < headers.count; ++i) {
    const EXRHeader *header = headers.list[i];
    int64_t width = int64_t(header->data_window.max_x) - header->data_window.min_x + 1;
    int64_t height = int64_t(header->data_window.max_y) - header->data_window.min_y + 1;
    int code = header->compression_type;
    int lines = code == TINYEXR_COMPRESSIONTYPE_ZIP ? 16 : code == TINYEXR_COMPRESSIONTYPE_PIZ ? 32 : 1;
    if (header->tiled && header->tile_level_mode != TINYEXR_TILE_ONE_LEVEL)
      return message_set(message, "%s: it is mip-mapped, as textures are, which is not read; save it as scanlines", name);
    int64_t count = header->tiled ? ((width + header->tile_size_x - 1) / header->tile_size_x) *
                                        ((height + header->tile_size_y - 1) / header->tile_size_y)
                                  : (height + lines - 1) / lines;
    if ((header->chunk_count > 0 || headers.list != headers.single_list) && header->chunk_count != count)
      return message_set(message, "%s: damaged OpenEXR header: %d blocks instead of %lld", name, header->chunk_count,
                         static_cast<long long>(count));
    for (int64_t c = 0; c < count; ++c, table += 8) {
      if (table + 8 > size ||
          !chunk_fits(data, size, number_at(data + table) | uint64_t(number_at(data + table + 4)) << 32, headers, i, lines))
        return message_set(message,
                           "%s: damaged or truncated OpenEXR file: block %lld of %lld is not all there; copy the file anew",
                           name, static_cast<long long>(c + 1), static_cast<long long>(count));
    }
  }
  return 0;
}

void describe(const EXRHeader *header, const Choice &choice, image_file *image) {
  const EXRBox2i &d = header->display_window, &w = header->data_window;
  image->width = uint32_t(d.max_x - d.min_x + 1);
  image->height = uint32_t(d.max_y - d.min_y + 1);
  image->channels = uint32_t(choice.count);
  image->bits = 32;
  image->transfer = ROTO_TRANSFER_LINEAR;
  image->pixel_aspect = header->pixel_aspect_ratio > 0 ? double(header->pixel_aspect_ratio) : 1;
  image->origin[0] = d.min_x;
  image->origin[1] = d.min_y;
  image->data[0] = w.min_x - d.min_x;
  image->data[1] = w.min_y - d.min_y;
  image->data[2] = w.max_x - w.min_x + 1;
  image->data[3] = w.max_y - w.min_y + 1;
}

/* A block of one channel, its rows `stride` values apart, to its place (x, y) in the picture. */
void copy_block(const unsigned char *values, int type, int stride, int x, int y, int width, int height, image_file *image,
                int channel) {
  float *out = static_cast<float *>(image->pixels);
  int first = std::max(0, -x), last = std::min(width, int(image->width) - x);
  for (int row = std::max(0, -y); row < height && y + row < int(image->height); ++row)
    for (int i = first; i < last; ++i) {
      size_t from = size_t(row) * size_t(stride) + size_t(i);
      float value;
      if (type == TINYEXR_PIXELTYPE_UINT) {
        uint32_t whole;
        std::memcpy(&whole, values + 4 * from, 4);
        value = static_cast<float>(whole);
      } else {
        std::memcpy(&value, values + 4 * from, 4);
      }
      out[(size_t(y + row) * image->width + size_t(x + i)) * image->channels + size_t(channel)] = value;
    }
}

int read_pixels(const unsigned char *data, size_t size, const char *name, Headers *headers, const Choice &choice,
                image_file *image, char *message) {
  const char *error = nullptr;
  for (int i = 0; i < headers->count; ++i) {
    EXRHeader *header = headers->list[i];
    if (check_header(header, name, message)) return -1;
    for (int c = 0; c < choice.count && i == choice.part; ++c)
      if (header->pixel_types[choice.channels[c]] == TINYEXR_PIXELTYPE_HALF)
        header->requested_pixel_types[choice.channels[c]] = TINYEXR_PIXELTYPE_FLOAT;
  }
  if (check_chunks(data, size, name, *headers, message)) return -1;
  Images images(headers->count);
  for (int i = 0; i < headers->count; ++i)
    images.list[size_t(i)].num_channels = headers->list[i]->num_channels; /* to free them */
  int result;
  if (headers->list == headers->single_list) {
    result = LoadEXRImageFromMemory(&images.list[0], &headers->single, data, size, &error);
    if (result != TINYEXR_SUCCESS) InitEXRImage(&images.list[0]); /* it was freed already */
  } else {
    result = LoadEXRMultipartImageFromMemory(images.list.data(), const_cast<const EXRHeader **>(headers->list),
                                             static_cast<unsigned>(headers->count), data, size, &error);
  }
  if (result != TINYEXR_SUCCESS)
    return message_set(message, "%s: damaged or truncated OpenEXR file (%s); copy the file anew", name,
                       take_error(error).c_str());
  const EXRHeader *header = headers->list[choice.part];
  const EXRImage &decoded = images.list[size_t(choice.part)];
  image->pixels = std::calloc(size_t(image->width) * image->height * image->channels, sizeof(float));
  if (!image->pixels) return message_set(message, "%s: out of memory for %u x %u pixels", name, image->width, image->height);
  for (int c = 0; c < choice.count; ++c) {
    int from = choice.channels[c], type = header->requested_pixel_types[from];
    if (decoded.images)
      copy_block(decoded.images[from], type, decoded.width, image->data[0], image->data[1], decoded.width, decoded.height,
                 image, c);
    for (int t = 0; decoded.tiles && t < decoded.num_tiles; ++t) {
      const EXRTile &tile = decoded.tiles[t];
      if (!tile.images || tile.level_x || tile.level_y) continue;
      copy_block(tile.images[from], type, header->tile_size_x, image->data[0] + tile.offset_x * header->tile_size_x,
                 image->data[1] + tile.offset_y * header->tile_size_y, tile.width, tile.height, image, c);
    }
  }
  return 0;
}

int decode(const unsigned char *data, size_t size, const char *name, const char *channels, int header_only, image_file *image,
           char *message) {
  Headers headers;
  Choice choice;
  if (read_headers(data, size, name, &headers, message) || choose_channels(headers, name, channels, &choice, message) ||
      check_header(headers.list[choice.part], name, message))
    return -1;
  describe(headers.list[choice.part], choice, image);
  return header_only ? 0 : read_pixels(data, size, name, &headers, choice, image, message);
}

/* ------------------------------------------------------------------ writing */

typedef std::vector<unsigned char> Bytes;

void put_number(Bytes *out, uint64_t value, int bytes) {
  for (int k = 0; k < bytes; ++k) out->push_back(static_cast<unsigned char>(value >> 8 * k));
}

void put_float(Bytes *out, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  put_number(out, bits, 4);
}

void put_text(Bytes *out, const char *text) {
  out->insert(out->end(), text, text + std::strlen(text) + 1);
}

void put_attribute(Bytes *out, const char *name, const char *type, const Bytes &value) {
  put_text(out, name);
  put_text(out, type);
  put_number(out, value.size(), 4);
  out->insert(out->end(), value.begin(), value.end());
}

Bytes box(int32_t x, int32_t y, int64_t width, int64_t height) {
  Bytes bytes;
  put_number(&bytes, uint32_t(x), 4);
  put_number(&bytes, uint32_t(y), 4);
  put_number(&bytes, uint32_t(x + width - 1), 4);
  put_number(&bytes, uint32_t(y + height - 1), 4);
  return bytes;
}

/* IEEE 754 binary16, to nearest, ties to even. */
uint32_t half_of(float value) {
  uint32_t bits, sign;
  std::memcpy(&bits, &value, 4);
  sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7bff; /* would round to infinity: the largest finite one */
  if (bits < 0x38800000) {                      /* below 2^-14, the smallest normal one: a multiple of 2^-24 */
    float scaled;
    std::memcpy(&scaled, &bits, 4);
    scaled += 0.5f; /* the unit in the last place of 0.5 is 2^-24: the addition rounds */
    std::memcpy(&bits, &scaled, 4);
    return sign | (bits - 0x3f000000);
  }
  return sign | ((bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13);
}

bool by_name(const exr_channel &a, const exr_channel &b) {
  return std::strcmp(a.name, b.name) < 0;
}

Bytes file_head(const std::vector<exr_channel> &channels, const image_file *frame) {
  Bytes out, list, one(1, 0), value;
  bool long_names = false;
  for (const exr_channel &channel : channels) {
    long_names |= std::strlen(channel.name) > 31;
    put_text(&list, channel.name);
    put_number(&list, frame->bits == 32 ? TINYEXR_PIXELTYPE_FLOAT : TINYEXR_PIXELTYPE_HALF, 4);
    put_number(&list, 0, 4); /* not meant for the eye; reserved */
    put_number(&list, 1, 4); /* sampling */
    put_number(&list, 1, 4);
  }
  list.push_back(0);
  put_number(&out, 20000630, 4);
  put_number(&out, long_names ? 0x402 : 2, 4);
  put_attribute(&out, "channels", "chlist", list);
  put_attribute(&out, "compression", "compression", Bytes(1, TINYEXR_COMPRESSIONTYPE_ZIPS));
  put_attribute(&out, "dataWindow", "box2i",
                box(frame->origin[0] + frame->data[0], frame->origin[1] + frame->data[1], frame->data[2], frame->data[3]));
  put_attribute(&out, "displayWindow", "box2i", box(frame->origin[0], frame->origin[1], frame->width, frame->height));
  put_attribute(&out, "lineOrder", "lineOrder", one);
  put_float(&value, static_cast<float>(frame->pixel_aspect));
  put_attribute(&out, "pixelAspectRatio", "float", value);
  put_attribute(&out, "screenWindowCenter", "v2f", Bytes(8, 0));
  value.clear();
  put_float(&value, 1);
  put_attribute(&out, "screenWindowWidth", "float", value);
  out.push_back(0);
  return out;
}

/* One scanline as ZIPS wants it before deflate: first the even bytes, then the odd ones, each as difference from the one before. */
void prepare(const Bytes &line, Bytes *out) {
  size_t half = (line.size() + 1) / 2;
  out->resize(line.size());
  for (size_t i = 0; i < line.size(); ++i) (*out)[(i & 1 ? half : 0) + i / 2] = line[i];
  for (size_t i = out->size(); i-- > 1;) (*out)[i] = static_cast<unsigned char>((*out)[i] - (*out)[i - 1] + 128);
}

struct Deflate {
  z_stream stream;
  bool ready;
  Deflate() : ready(false) {
    std::memset(&stream, 0, sizeof stream);
    ready = deflateInit(&stream, 4) == Z_OK;
  }
  ~Deflate() {
    if (ready) deflateEnd(&stream);
  }
  /* False if the result would not be smaller. */
  bool run(const Bytes &in, Bytes *out) {
    out->resize(in.size());
    if (!ready || deflateReset(&stream) != Z_OK) return false;
    stream.next_in = const_cast<Bytef *>(in.data());
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = out->data();
    stream.avail_out = static_cast<uInt>(out->size());
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END || stream.total_out >= in.size()) return false;
    out->resize(stream.total_out);
    return true;
  }
};

Bytes encode(std::vector<exr_channel> channels, const image_file *frame) {
  std::sort(channels.begin(), channels.end(), by_name);
  Bytes out = file_head(channels, frame), line, prepared, packed;
  size_t width = size_t(frame->data[2]), height = size_t(frame->data[3]), table = out.size();
  out.resize(table + 8 * height);
  Deflate deflater;
  for (size_t y = 0; y < height; ++y) {
    line.clear();
    for (const exr_channel &channel : channels)
      for (size_t x = 0; x < width; ++x) {
        float value = channel.values[y * width + x];
        if (frame->bits == 32)
          put_float(&line, value);
        else
          put_number(&line, half_of(value), 2);
      }
    prepare(line, &prepared);
    const Bytes &chunk = deflater.run(prepared, &packed) ? packed : line;
    for (size_t k = 0; k < 8; ++k) out[table + 8 * y + k] = static_cast<unsigned char>(uint64_t(out.size()) >> 8 * k);
    put_number(&out, uint32_t(frame->origin[1] + frame->data[1] + int32_t(y)), 4);
    put_number(&out, chunk.size(), 4);
    out.insert(out.end(), chunk.begin(), chunk.end());
  }
  return out;
}

}  // namespace

int exr_is(const unsigned char *data, size_t size) {
  return size >= 4 && !std::memcmp(data, "\x76\x2f\x31\x01", 4);
}

int exr_decode(const unsigned char *data, size_t size, const char *name, const char *channels, int header_only,
               image_file *image, char *message) {
  int result;
  std::memset(image, 0, sizeof *image);
  try {
    result = decode(data, size, name, channels, header_only, image, message);
  } catch (const std::exception &problem) {
    result = message_set(message, "%s: damaged OpenEXR file (%s); copy the file anew", name, problem.what());
  }
  if (result) {
    std::free(image->pixels);
    std::memset(image, 0, sizeof *image);
  }
  return result;
}

int exr_encode(const exr_channel *channels, size_t count, const image_file *frame, const char *name, unsigned char **data,
               size_t *size, char *message) {
  *data = nullptr;
  *size = 0;
  for (size_t i = 0; i < count; ++i)
    if (!*channels[i].name || std::strlen(channels[i].name) > 255)
      return message_set(message, "%s: expected names of 1 to 255 bytes for channels, found '%.60s'", name, channels[i].name);
  if (!count || frame->data[2] < 1 || frame->data[3] < 1 || (frame->bits != 16 && frame->bits != 32))
    return message_set(message, "%s: cannot write %zu channels of %d x %d pixels of %u bits as OpenEXR", name, count,
                       frame->data[2], frame->data[3], frame->bits);
  try {
    Bytes bytes = encode(std::vector<exr_channel>(channels, channels + count), frame);
    *data = static_cast<unsigned char *>(std::malloc(bytes.size()));
    if (*data) std::memcpy(*data, bytes.data(), *size = bytes.size());
  } catch (const std::exception &) {
  }
  return *data ? 0 : message_set(message, "%s: out of memory for its pixels", name);
}
