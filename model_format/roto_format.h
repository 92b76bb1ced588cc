/* The .roto file in numbers: magic, version, chunk names, opcodes, record layouts, limits.  The only copy: the reader in
 * roto.h, the writer and the trainer all use it.  SPEC.md gives the rules.
 *
 * A file is a header, a table of chunks, and chunks; little-endian throughout, everything at multiples of 64 bytes from the
 * start of the file so that tensors can be used straight from an mmap.  Networks are stored as the trainer sees them (batch
 * norm apart, weights in plain order); fusing and packing are the reader's business, so one file serves every CPU. */

#ifndef ROTO_FORMAT_H
#define ROTO_FORMAT_H

#define ROTO_FORMAT_MAGIC "ROTO\r\n\x1a\n" /* 8 bytes; a text-mode copy or a wrong byte order breaks it */
#define ROTO_FORMAT_VERSION 1u             /* raised only when the structure changes */
#define ROTO_FORMAT_ALIGN 64u

/* Limits: small enough that no product of checked values overflows 64 bits. */
#define ROTO_MAX_NODES 4096u
#define ROTO_MAX_TENSORS 16384u
#define ROTO_MAX_SIZE 4096u      /* height or width of any value */
#define ROTO_MAX_CHANNELS 65536u /* channels of any value */
#define ROTO_MAX_KERNEL 64u
#define ROTO_MAX_STRIDE 8u
#define ROTO_MAX_INPUT_CHANNELS 4u
#define ROTO_MAX_LANDMARKS 1024u /* and parts, and shapes */
#define ROTO_MAX_VERTICES 65536u /* of all shapes */
#define ROTO_MAX_KNOTS 256u
#define ROTO_MAX_INPUTS 4u
#define ROTO_MAX_SHAPE_LANDMARKS 64u /* of one shape network */
#define ROTO_MAX_SHAPE_VERTICES 256u /* of one shape network */
#define ROTO_MAX_SHAPE_BLOCKS 8u     /* of one shape network */
#define ROTO_MAX_SHAPE_WIDTH 256u    /* of one shape network */
#define ROTO_MAX_LOOKS 64u
#define ROTO_MAX_CONTOURS 64u
#define ROTO_MAX_CONTOUR_LANDMARKS 64u /* of one contour */
#define ROTO_MAX_COMPONENTS 64u
#define ROTO_MAX_STRING 4096u               /* bytes of a description or a landmark's rule, with its 0 */
#define ROTO_MAX_NAME 256u                  /* bytes of any other string, with its 0 */
#define ROTO_MAX_VALUES (1ull << 28)        /* floats of one value or tensor */
#define ROTO_MAX_MULTIPLY_ADDS (1ull << 40) /* of one inference */

/* Activations, applied to a node's result. */
enum {
  ROTO_ACT_NONE = 0,
  ROTO_ACT_RELU = 1,         /* max(x, 0) */
  ROTO_ACT_RELU6 = 2,        /* min(max(x, 0), 6) */
  ROTO_ACT_SIGMOID = 3,      /* 1 / (1 + exp(-x)) */
  ROTO_ACT_SWISH = 4,        /* x * sigmoid(x) */
  ROTO_ACT_HARD_SIGMOID = 5, /* min(max(x / 6 + 1/2, 0), 1) */
  ROTO_ACT_HARD_SWISH = 6,   /* x * hard_sigmoid(x) */
  ROTO_ACT_COUNT = 7
};

/* Node operations.  A node produces one value of shape (h, w, c); its index is the value's index; inputs have lower
 * indices.  Node 0, and only node 0, is INPUT; the last node is the network's output.  Weight layouts are tight, channels
 * (outputs) innermost; flattening a value is [h][w][c]. */
enum {
  ROTO_OP_INPUT = 0,
  ROTO_OP_CONV = 1,        /* weight [kh][kw][ic][oc], bias [oc] optional */
  ROTO_OP_DEPTHWISE = 2,   /* weight [kh][kw][c], bias [c] optional */
  ROTO_OP_DENSE = 3,       /* weight [h*w*c][oc], bias [oc] optional; result is 1 x 1 x oc */
  ROTO_OP_BATCHNORM = 4,   /* (x - mean) / sqrt(variance + epsilon) * gamma + beta; all [c] */
  ROTO_OP_ACT = 5,         /* the activation alone */
  ROTO_OP_ADD = 6,         /* a + b, same shape */
  ROTO_OP_SCALE = 7,       /* a * b, b is 1 x 1 x c: squeeze-excite */
  ROTO_OP_CONCAT = 8,      /* along channels, 2 to 4 inputs */
  ROTO_OP_MAXPOOL = 9,     /* over kh x kw, padding ignored */
  ROTO_OP_AVGPOOL = 10,    /* over kh x kw, padding not counted */
  ROTO_OP_GLOBALPOOL = 11, /* mean over h x w; result is 1 x 1 x c */
  ROTO_OP_UPSAMPLE = 12,   /* each pixel becomes 2 x 2 */
  ROTO_OP_POINTS = 13,     /* heat maps to points, see SPEC.md: c = N or 3N in, 1 x 1 x 3N out */
  ROTO_OP_COUNT = 14
};

#define ROTO_NONE 0xffffffffu /* "no tensor", "no string" */

/* Chunks, in this order: the first eight are in every file, SHAP if it predicts shapes, LOOK if it looks twice,
 * RANG if it can run in int8, CONT and DIST if it knows more of its landmarks than the network. */
#define ROTO_CHUNK(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define ROTO_CHUNK_LIST(X)                                                                             \
  X(META, ROTO_CHUNK('M', 'E', 'T', 'A')) /* name and description */                                   \
  X(INPT, ROTO_CHUNK('I', 'N', 'P', 'T')) /* input description */                                      \
  X(TMPL, ROTO_CHUNK('T', 'M', 'P', 'L')) /* template: landmarks, parts, shapes */                     \
  X(CALB, ROTO_CHUNK('C', 'A', 'L', 'B')) /* calibration: spread -> expected error */                  \
  X(NETW, ROTO_CHUNK('N', 'E', 'T', 'W')) /* nodes */                                                  \
  X(TDIR, ROTO_CHUNK('T', 'D', 'I', 'R')) /* where each tensor lies in DATA, and its length */         \
  X(DATA, ROTO_CHUNK('D', 'A', 'T', 'A')) /* tensors, each at a multiple of 64 */                      \
  X(TEST, ROTO_CHUNK('T', 'E', 'S', 'T')) /* self-test: one input, its output, tolerance */            \
  X(SHAP, ROTO_CHUNK('S', 'H', 'A', 'P')) /* shape networks, with their own weights */                 \
  X(LOOK, ROTO_CHUNK('L', 'O', 'O', 'K')) /* a second look: which landmarks together, and its model */ \
  X(RANG, ROTO_CHUNK('R', 'A', 'N', 'G')) /* the range of each node's values, for int8 */              \
  X(CONT, ROTO_CHUNK('C', 'O', 'N', 'T')) /* contours through landmarks, and what they look like */    \
  X(DIST, ROTO_CHUNK('D', 'I', 'S', 'T')) /* how landmarks lie together */
enum {
#define ROTO_CHUNK_ENUM(name, code) ROTO_CHUNK_##name,
  ROTO_CHUNK_LIST(ROTO_CHUNK_ENUM)
#undef ROTO_CHUNK_ENUM
      ROTO_CHUNK_COUNT,
  ROTO_CHUNK_REQUIRED = ROTO_CHUNK_SHAP /* so many, the first, are in every file */
};

/* Record layouts: byte offsets of the fields, and the size of the record.  Bytes from ..._USED to the end of a record
 * are reserved and zero. */

/* File header. */
enum {
  ROTO_HEADER_MAGIC = 0,
  ROTO_HEADER_VERSION = 8,      /* u32 */
  ROTO_HEADER_CHUNK_COUNT = 12, /* u32 */
  ROTO_HEADER_FILE_SIZE = 16,   /* u64 */
  ROTO_HEADER_USED = 24,
  ROTO_HEADER_SIZE = 64
};

/* One entry of the chunk table, which follows the header. */
enum {
  ROTO_ENTRY_NAME = 0,    /* u32; 4 zero bytes follow */
  ROTO_ENTRY_OFFSET = 8,  /* u64, from the start of the file */
  ROTO_ENTRY_LENGTH = 16, /* u64 */
  ROTO_ENTRY_USED = 24,
  ROTO_ENTRY_SIZE = 32
};

/* INPT. */
enum {
  ROTO_INPUT_WIDTH = 0,     /* u32 */
  ROTO_INPUT_HEIGHT = 4,    /* u32 */
  ROTO_INPUT_CHANNELS = 8,  /* u32 */
  ROTO_INPUT_TRANSFER = 12, /* u32, roto_transfer */
  ROTO_INPUT_MEAN = 16,     /* f32[4] */
  ROTO_INPUT_SCALE = 32,    /* f32[4] */
  ROTO_INPUT_MARGIN = 48,   /* f32 */
  ROTO_INPUT_USED = 52,
  ROTO_INPUT_SIZE = 64
};

/* TMPL: head, landmarks, parts, shapes, vertices (i32), strings. */
enum {
  ROTO_TEMPLATE_LANDMARKS = 0, /* u32 counts */
  ROTO_TEMPLATE_PARTS = 4,
  ROTO_TEMPLATE_SHAPES = 8,
  ROTO_TEMPLATE_VERTICES = 12,
  ROTO_TEMPLATE_STRINGS = 16, /* u32, bytes */
  ROTO_TEMPLATE_USED = 20,
  ROTO_TEMPLATE_SIZE = 32
};
enum {
  ROTO_LANDMARK_NAME = 0,    /* u32, from the start of the strings */
  ROTO_LANDMARK_RULE = 4,    /* u32, from the start of the strings */
  ROTO_LANDMARK_PART = 8,    /* u32 */
  ROTO_LANDMARK_FLIP = 12,   /* u32 */
  ROTO_LANDMARK_WEIGHT = 16, /* f32 */
  ROTO_LANDMARK_SIZE = 20
};
enum { ROTO_PART_NAME = 0 /* u32 */, ROTO_PART_WEIGHT = 4 /* f32 */, ROTO_PART_SIZE = 8 };
enum {
  ROTO_SHAPE_NAME = 0,   /* u32 */
  ROTO_SHAPE_CLOSED = 4, /* u32, 0 or 1 */
  ROTO_SHAPE_FIRST = 8,  /* u32, index of its first vertex */
  ROTO_SHAPE_COUNT = 12, /* u32, vertices */
  ROTO_SHAPE_SIZE = 16
};
enum { ROTO_LIST_COUNT = 0 /* u32 */, ROTO_LIST_USED = 4, ROTO_LIST_SIZE = 8 }; /* head of CALB, NETW, TDIR */
enum { ROTO_KNOT_SPREAD = 0 /* f32 */, ROTO_KNOT_ERROR = 4 /* f32 */, ROTO_KNOT_SIZE = 8 };
enum {
  ROTO_NODE_OP = 0,          /* u16 */
  ROTO_NODE_ACT = 2,         /* u16 */
  ROTO_NODE_INPUT_COUNT = 4, /* u32 */
  ROTO_NODE_INPUTS = 8,      /* u32[4], ROTO_NONE where unused */
  ROTO_NODE_KERNEL = 24,     /* u32 height, width */
  ROTO_NODE_STRIDE = 32,     /* u32 */
  ROTO_NODE_PADS = 36,       /* u32 top, left, bottom, right */
  ROTO_NODE_SHAPE = 52,      /* u32 height, width, channels of the result */
  ROTO_NODE_TENSORS = 64,    /* u32[4], ROTO_NONE where unused */
  ROTO_NODE_EPSILON = 80,    /* f32 */
  ROTO_NODE_PER_POINT = 84,  /* u32, channels a point */
  ROTO_NODE_SIZE = 88
};
enum { ROTO_TENSOR_OFFSET = 0 /* u64, from the start of DATA */, ROTO_TENSOR_COUNT = 8 /* u64 */, ROTO_TENSOR_SIZE = 16 };

/* TEST: head, outputs (f32), pixels (u8 [height][width][channels]). */
enum {
  ROTO_TEST_TOLERANCE = 0, /* f32 */
  ROTO_TEST_OUTPUTS = 4,   /* u32, floats */
  ROTO_TEST_PIXELS = 8,    /* u32, bytes */
  ROTO_TEST_USED = 12,
  ROTO_TEST_SIZE = 16
};

/* SHAP: head, networks, shapes, landmarks (u32); at the next multiple of 64 weights, then the self-test's shapes (f32). */
enum { ROTO_SHAPES_NETWORKS = 0 /* u32 */, ROTO_SHAPES_USED = 4, ROTO_SHAPES_SIZE = 16 };
enum {
  ROTO_SHAPE_NET_LANDMARKS = 0, /* u32 counts */
  ROTO_SHAPE_NET_VERTICES = 4,
  ROTO_SHAPE_NET_PLACES = 8, /* vertices that are no landmarks */
  ROTO_SHAPE_NET_BLOCKS = 12,
  ROTO_SHAPE_NET_WIDTH = 16,
  ROTO_SHAPE_NET_SIZE = 20
};
enum {
  ROTO_SHAPE_USE_NETWORK = 0,  /* u32, ROTO_NONE: the shape is not predicted */
  ROTO_SHAPE_USE_MIRRORED = 4, /* u32, 0 or 1 */
  ROTO_SHAPE_USE_REVERSED = 8, /* u32, 0 or 1 */
  ROTO_SHAPE_USE_FIRST = 12,   /* u32, vertex of the shape that is the network's first */
  ROTO_SHAPE_USE_SIZE = 16
};

/* LOOK: head, the look of each landmark (u32, or ROTO_NONE); at the next multiple of 64 a whole .roto file. */
enum { ROTO_LOOK_COUNT = 0 /* u32 */, ROTO_LOOK_USED = 4, ROTO_LOOK_SIZE = 16 };
#define ROTO_LOOK_LEAST 0.125f /* smallest box of a second look, of the longer side of all landmarks' */

/* RANG: head, a range for each node. */
enum { ROTO_RANGES_COUNT = 0 /* u32 */, ROTO_RANGES_TOLERANCE = 4 /* f32, of the self-test in int8 */, ROTO_RANGES_SIZE = 8 };
enum { ROTO_RANGE_LOW = 0 /* f32 */, ROTO_RANGE_HIGH = 4 /* f32 */, ROTO_RANGE_SIZE = 8 };

/* CONT: head, how many landmarks each contour has (u32), these (u32); at the next multiple of 64 the filters of each (f32
 * [places][floats]). */
enum { ROTO_CONTOURS_COUNT = 0 /* u32 */, ROTO_CONTOURS_USED = 4, ROTO_CONTOURS_SIZE = 16 };
enum {
  ROTO_CONTOUR_PLACES = 25,  /* along a contour */
  ROTO_CONTOUR_STEPS = 33,   /* across it, at each place */
  ROTO_CONTOUR_CHANNELS = 3, /* of what is seen at a step */
  ROTO_CONTOUR_TAPS = 13,    /* steps a filter sees */
  ROTO_CONTOUR_BOX = 372,    /* steps to the longer side of the landmarks' box: half a pixel of the rendered film's plates each */
  ROTO_CONTOUR_FLOATS = ROTO_CONTOUR_TAPS * ROTO_CONTOUR_CHANNELS + 1
};

/* DIST: head, mean (f32 [landmarks][2]), components (f32 [components][landmarks][2]), in steps of CONT. */
enum {
  ROTO_DISTRIBUTION_COMPONENTS = 0, /* u32 */
  ROTO_DISTRIBUTION_DEVIATION = 4,  /* f32, of all that is no component */
  ROTO_DISTRIBUTION_USED = 8,
  ROTO_DISTRIBUTION_SIZE = 16
};

/* The rules of SPEC.md: number, name, status, sentence.  Numbers are never reused. */
#define ROTO_RULE_LIST(X)                                                                                                 \
  X(1, MAGIC, ROTO_ERR_NOT_ROTO, "the file begins with the magic")                                                        \
  X(2, VERSION, ROTO_ERR_VERSION, "the format version is one this build reads")                                           \
  X(3, FILE_SIZE, ROTO_ERR_INVALID, "the file is as long as its header says")                                             \
  X(4, CHUNK_COUNT, ROTO_ERR_INVALID, "the table holds 8 chunks, and those of SHAP, LOOK, RANG, CONT and DIST that there are") \
  X(5, CHUNK_NAME, ROTO_ERR_INVALID,                                                                                      \
    "the chunks are META INPT TMPL CALB NETW TDIR DATA TEST, then SHAP, LOOK, RANG, CONT, DIST, in this order")           \
  X(6, CHUNK_OFFSET, ROTO_ERR_INVALID, "a chunk starts where the one before ended, rounded up to 64")                     \
  X(7, CHUNK_END, ROTO_ERR_INVALID, "a chunk ends inside the file")                                                       \
  X(8, TRAILING, ROTO_ERR_INVALID, "the last chunk ends the file")                                                        \
  X(9, RESERVED, ROTO_ERR_INVALID, "reserved bytes and padding are zero")                                                 \
  X(10, CHUNK_LENGTH, ROTO_ERR_INVALID, "a chunk is as long as its counts say")                                           \
  X(11, STRING_PLACE, ROTO_ERR_INVALID, "a string starts where the one before ended, and the last one ends its table")    \
  X(12, STRING_END, ROTO_ERR_INVALID, "a string ends with a zero byte within its longest length")                         \
  X(13, STRING_TEXT, ROTO_ERR_INVALID, "a string is UTF-8 without control characters")                                    \
  X(14, NAME, ROTO_ERR_INVALID, "names are not empty and differ within their kind")                                       \
  X(15, INPUT_SHAPE, ROTO_ERR_INVALID, "the input is 1 to 4096 pixels wide and high, of 1 to 4 channels")                 \
  X(16, INPUT_TRANSFER, ROTO_ERR_INVALID, "the transfer is sRGB or linear")                                               \
  X(17, INPUT_SCALING, ROTO_ERR_INVALID, "mean and scale are finite, scale is not 0, and both are 0 for absent channels") \
  X(18, INPUT_MARGIN, ROTO_ERR_INVALID, "the crop margin is finite and above 0")                                          \
  X(19, TEMPLATE_COUNT, ROTO_ERR_INVALID, "there are landmarks and parts, or (a bare network) neither")                   \
  X(20, TEMPLATE_LIMIT, ROTO_ERR_LIMIT, "there are at most 1024 landmarks, parts and shapes, and 65536 vertices")         \
  X(21, LANDMARK_PART, ROTO_ERR_INVALID, "the part of a landmark exists")                                                 \
  X(22, LANDMARK_FLIP, ROTO_ERR_INVALID, "the flip partner of a landmark exists and flips back to it")                    \
  X(23, WEIGHT, ROTO_ERR_INVALID, "weights of landmarks and parts are finite and not negative")                           \
  X(24, SHAPE_CLOSED, ROTO_ERR_INVALID, "a shape is closed (1) or open (0)")                                              \
  X(25, SHAPE_VERTICES, ROTO_ERR_INVALID,                                                                                 \
    "the vertices of a shape follow those of the one before, and the last shape ends the list")                           \
  X(26, VERTEX, ROTO_ERR_INVALID, "a vertex is a landmark that exists, or -1")                                            \
  X(27, KNOT_COUNT, ROTO_ERR_INVALID, "there are 1 to 256 knots, exactly 1 if the network returns no spread")             \
  X(28, KNOT_VALUE, ROTO_ERR_INVALID, "knots are finite and not negative, and their spreads ascend")                      \
  X(29, NODE_COUNT, ROTO_ERR_INVALID, "there are at least two nodes")                                                     \
  X(30, NODE_LIMIT, ROTO_ERR_LIMIT, "there are at most 4096 nodes and 16384 tensors")                                     \
  X(31, OP, ROTO_ERR_INVALID, "the operation is known")                                                                   \
  X(32, ACT, ROTO_ERR_INVALID, "the activation is known and the operation can have it")                                   \
  X(33, INPUT_NODE, ROTO_ERR_INVALID, "node 0, and no other, is INPUT, and it has the shape of the input description")    \
  X(34, INPUT_COUNT, ROTO_ERR_INVALID, "a node has as many inputs as its operation takes")                                \
  X(35, INPUT_INDEX, ROTO_ERR_INVALID, "inputs are earlier nodes, and unused inputs are ROTO_NONE")                       \
  X(36, PICTURE, ROTO_ERR_INVALID, "the picture feeds only CONV")                                                         \
  X(37, UNUSED_FIELD, ROTO_ERR_INVALID, "fields that the operation does not use are 0")                                   \
  X(38, KERNEL, ROTO_ERR_INVALID, "kernel sides and stride are at least 1")                                               \
  X(39, SHAPE_LIMIT, ROTO_ERR_LIMIT,                                                                                      \
    "kernel sides are at most 64, strides 8, sides 4096, channels 65536, floats of a value or tensor 2^28")               \
  X(40, PADDING, ROTO_ERR_INVALID, "each padding is below its kernel side, and the kernel fits into the padded input")    \
  X(41, OPERANDS, ROTO_ERR_INVALID, "the shapes of the inputs fit together")                                              \
  X(42, SHAPE, ROTO_ERR_INVALID, "the shape of a node is what its operation makes of its inputs")                         \
  X(43, EPSILON, ROTO_ERR_INVALID, "the epsilon of a BATCHNORM is finite and above 0")                                    \
  X(44, POINTS, ROTO_ERR_INVALID, "POINTS is the last node, with 1 or 3 channels for each landmark")                      \
  X(45, NODE_USED, ROTO_ERR_INVALID, "every node but the last is an input of a later one")                                \
  X(46, OUTPUT, ROTO_ERR_INVALID, "where there are landmarks, the last node is 1 x 1 with 2 or 3 channels for each")      \
  X(47, WORK_LIMIT, ROTO_ERR_LIMIT, "one inference takes at most 2^40 steps")                                             \
  X(48, TENSOR_ORDER, ROTO_ERR_INVALID,                                                                                   \
    "the nodes name the tensors 0, 1, 2 ... in order, each those of its operation, until all are named")                  \
  X(49, TENSOR_COUNT, ROTO_ERR_INVALID, "a tensor has as many floats as its node needs")                                  \
  X(50, TENSOR_PLACE, ROTO_ERR_INVALID,                                                                                   \
    "a tensor starts where the one before ended, rounded up to 64, and the last one ends DATA")                           \
  X(51, FINITE, ROTO_ERR_INVALID, "the floats of tensors and shape networks are finite")                                  \
  X(52, VARIANCE, ROTO_ERR_INVALID, "variance + epsilon of a BATCHNORM is above 0")                                       \
  X(53, TEST_COUNT, ROTO_ERR_INVALID, "the self-test has one byte for each input value and one float for each output")    \
  X(54, TEST_VALUE, ROTO_ERR_INVALID, "the tolerance of the self-test is finite and above 0, and its outputs are finite") \
  X(55, SHAPE_NETWORK, ROTO_ERR_INVALID,                                                                                  \
    "a shape network has at least 2 landmarks, 1 vertex and 1 block, and a width that is a multiple of 16 above 0")       \
  X(56, SHAPE_NETWORK_LIMIT, ROTO_ERR_LIMIT,                                                                              \
    "a shape network has at most 64 landmarks, 256 vertices, 8 blocks and a width of 256")                                \
  X(57, SHAPE_USE, ROTO_ERR_INVALID,                                                                                      \
    "shapes first name the networks 0, 1, 2 ... in order, until all are named, and there is at least one")                \
  X(58, SHAPE_TURN, ROTO_ERR_INVALID,                                                                                     \
    "mirrored and reversed are 0 or 1, and the first vertex exists; of an open shape it is an end")                       \
  X(59, SHAPE_LANDMARK, ROTO_ERR_INVALID, "the landmarks of a shape network exist and differ within a shape")             \
  X(60, SHAPE_VERTEX, ROTO_ERR_INVALID,                                                                                   \
    "a shape has its network's vertices: as many, the same ones predicted, the others among its landmarks")               \
  X(61, LOOK, ROTO_ERR_INVALID, "there are 1 to 64 second looks, each with a landmark, and none beyond")                  \
  X(62, LOOK_MODEL, ROTO_ERR_INVALID,                                                                                     \
    "the model of the second look is a .roto file of chunks 1 to 8 and RANG alone, with as many landmarks that flip alike")\
  X(63, RANGE_COUNT, ROTO_ERR_INVALID, "there is one range for each node")                                                \
  X(64, RANGE, ROTO_ERR_INVALID, "a range is finite, holds 0 and is 1e-30 to 1e30 wide")                                  \
  X(65, RANGE_TOLERANCE, ROTO_ERR_INVALID, "the tolerance of the self-test in int8 is finite and above 0")                \
  X(66, CONTOUR, ROTO_ERR_INVALID, "there are 1 to 64 contours, each of 3 to 64 landmarks that exist and differ")         \
  X(67, DISTRIBUTION, ROTO_ERR_INVALID,                                                                                   \
    "a distribution has 1 to 64 components, a deviation above 0, and a mean whose landmarks are not all at one place")
enum {
#define ROTO_RULE_ENUM(number, name, status, text) ROTO_RULE_##name = number,
  ROTO_RULE_LIST(ROTO_RULE_ENUM)
#undef ROTO_RULE_ENUM
      ROTO_RULE_END
};

#endif /* ROTO_FORMAT_H */
