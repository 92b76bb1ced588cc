/* The ONNX reader: a network exported by PyTorch, timm and the like -> the nodes of a .roto model.
 *
 * What convolutional trunks consist of is supported (the list stands in import_onnx.c and in the message that refuses
 * anything else), opsets 7 to 20, weights in fp32 or fp16 inside the file.  Values become [h][w][c], weights the layouts of
 * roto_format.h; batch norms stay apart, so that an imported network can be trained on.
 *
 * The file is not trusted: lengths, counts, shapes and references are checked, and nothing larger than a small multiple of
 * the file is allocated. */

#ifndef ROTO_IMPORT_ONNX_H
#define ROTO_IMPORT_ONNX_H

#include "write.h"

enum { ONNX_MESSAGE_SIZE = 512 };

typedef struct onnx_options {
  uint32_t width, height; /* of the picture where the file leaves them open; 0: it must say */
  const char *output;     /* name of the value to stop at; NULL: the file's only output */
} onnx_options;

/* nodes[0] is the picture, the last one the output; both arrays end with onnx_free. */
typedef struct onnx_network {
  roto_node_desc *nodes;
  uint32_t node_count;
  float **tensors; /* what the nodes borrow */
  size_t tensor_count;
} onnx_network;

/* 0, or -1 with a sentence in message[ONNX_MESSAGE_SIZE]: which node or tensor, what was expected, what was found.  The
 * network is empty then. */
int onnx_import(const void *data, size_t size, const onnx_options *options, onnx_network *network, char *message);
void onnx_free(onnx_network *network);

#endif /* ROTO_IMPORT_ONNX_H */
