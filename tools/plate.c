/* See plate.h. */

#include "plate.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

int plate_open(char *const *inputs, size_t input_count, const char *range, const char *channels, const char *transfer, plate *p,
               char *message) {
  roto_transfer known = ROTO_TRANSFER_SRGB;
  memset(p, 0, sizeof *p);
  if (transfer && transfer_parse(transfer, &known))
    return message_set(message, "expected srgb, linear, rec709, logc3, slog3, cineon or raw as transfer, found '%s'", transfer);
  if (frames_find(inputs, input_count, range, &p->frames, message)) return -1;
  p->channels = channels;
  p->transfer = transfer ? (int)known : -1;
  return 0;
}

void plate_close(plate *p) {
  frames_free(&p->frames);
  memset(p, 0, sizeof *p);
}

void plate_drop(plate *p, size_t index) {
  frame_sequence *s = &p->frames;
  free(s->files[index].path);
  memmove(s->files + index, s->files + index + 1, (--s->count - index) * sizeof *s->files);
}

void plate_shard(plate *p, int index, int count) {
  size_t total = p->frames.count, first = total * (size_t)(index - 1) / (size_t)count,
         last = total * (size_t)index / (size_t)count;
  for (size_t i = total; i-- > 0;)
    if (i < first || i >= last) plate_drop(p, i);
}

int plate_read(const plate *p, size_t index, image_file *image, char *message) {
  if (image_read_channels(p->frames.files[index].path, p->channels, image, message)) return -1;
  if (p->transfer >= 0) image->transfer = (roto_transfer)p->transfer;
  return 0;
}

void plate_describe(const plate *p, const image_file *frame, document *doc) {
  doc->transfer = frame->transfer;
  doc->pixel_aspect = frame->pixel_aspect;
  doc->origin[0] = frame->origin[0];
  doc->origin[1] = frame->origin[1];
  free(doc->channels);
  doc->channels = p->channels ? cli_format("%s", p->channels) : NULL;
}

void plate_describe_frame(const image_file *image, document_frame *frame) {
  const int32_t *data = image->data;
  int whole = !data[0] && !data[1] && (uint32_t)data[2] == image->width && (uint32_t)data[3] == image->height;
  frame->width = (int)image->width;
  frame->height = (int)image->height;
  for (int k = 0; k < 4; ++k) frame->data[k] = whole ? 0 : data[k];
}
