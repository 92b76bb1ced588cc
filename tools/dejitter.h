/* How a shot holds still: the points of a finished document, frame for frame as a model found them, become tracks.
 *
 * dejitter_track measures, from the plate, how the picture moved at each point between consecutive frames: optical flow there
 * and back.  What does not come back to where it started, or looks different there, is not connected: a cut, a replaced face.
 * dejitter_smooth weighs these links against the model's expected errors (roto_smooth); points an artist set are fixed and pull
 * their neighbours and frames of a like pose (carry.h), and are never moved themselves.  The document keeps what was found, and the links, so that both can be done
 * again at any time without the model. */

#ifndef ROTO_DEJITTER_H
#define ROTO_DEJITTER_H

#include "document.h"
#include "image_file.h"

typedef enum dejitter_mode { DEJITTER_OFF, DEJITTER_CAUSAL, DEJITTER_FULL } dejitter_mode;

/* "off", "causal", "full"; 0 if it is none of them. */
int dejitter_parse(const char *name, dejitter_mode *mode);

/* What flow looks at of a frame, around its points; NULL if there is nothing to look at.  Any thread; roto_pyramid_free it. */
roto_pyramid *dejitter_pyramid(const document *doc, const document_frame *frame, const image_file *image);

/* Measure the links from a frame to the next of the document that are not known yet, and those where an artist moved a point by
 * more than a pixel.  Points must be rounded (dejitter_round).  Any thread. */
void dejitter_link(const document *doc, document_frame *from, const document_frame *to, const roto_pyramid *from_pyramid,
                   const roto_pyramid *to_pyramid);

/* Do the two frames follow each other, so that there is a link?  Their numbers are at most two apart. */
int dejitter_follows(const document_frame *from, const document_frame *to);

/* As the document keeps them: then what was measured before it was written is what is measured after it was read. */
void dejitter_round(const document *doc, document_frame *frame);

/* dejitter_link for all frames from the plate on disk; a held frame stands still.  Points of shapes that an artist drew become
 * the artist's (document_settle_points).  Where a plate cannot be read links stay as they were; *unread receives how many frames
 * are not connected to the next for that.  threads 0: all. */
void dejitter_track(document *doc, int threads, size_t *unread);

/* Set x and y of every point from the raw ones; with DEJITTER_OFF they are the raw ones. */
int dejitter_smooth(document *doc, dejitter_mode mode, char *message);

#endif
