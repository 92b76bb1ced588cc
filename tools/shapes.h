/* Shapes of a document from its points, drawn by a model's shape networks. */

#ifndef ROTO_SHAPES_H
#define ROTO_SHAPES_H

#include "document.h"

/* Fails if the model draws no shapes, or its landmarks are not the document's. */
int shapes_check(const document *doc, const roto_model *model, const char *path, char *message);

/* A session for the document's plate, whose pixels may not be square.  -1: out of memory. */
int shapes_session(const document *doc, const roto_model *model, roto_session **session);

/* Draw the shapes of one frame through its points.  What an artist drew stays, and so do feather, width and visibility of what was
 * there.  Returns how many shapes were drawn.  Any thread, each with its own session. */
size_t shapes_predict(const document *doc, const roto_model *model, roto_session *session, document_frame *frame);

#endif
