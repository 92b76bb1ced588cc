/* Shapes of a document from its points, drawn by a model's shape networks. */

#ifndef ROTO_SHAPES_H
#define ROTO_SHAPES_H

#include "document.h"

/* Fails if the model draws no shapes, or its landmarks are not the document's. */
int shapes_check(const document *doc, const roto_model *model, const char *path, char *message);

/* Draw the shapes of a document through its points, in all frames or in those that `which` marks.  What an artist drew stays, and
 * so do feather, width and visibility of what was there.  How an artist's shape differs from the one the model draws through the
 * same points carries over to the frames around it, less with every frame, and not over a cut.  *drawn, if not NULL, receives
 * how many shapes were drawn.  Fails only without memory. */
int shapes_draw(document *doc, const roto_model *model, const unsigned char *which, size_t *drawn);

/* The same for a command that takes a document and, if it is to follow its points, the model's file: without one (NULL) the shapes
 * that stay behind are counted on stderr.  Ends the process if the model is none for the document. */
void shapes_follow(document *doc, const char *path, const char *model_path);

#endif
