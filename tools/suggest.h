/* Which frames of a document an artist should look at first. */

#ifndef ROTO_SUGGEST_H
#define ROTO_SUGGEST_H

#include "document.h"

/* At most `top` of them, the worst first: [{"frame": number as in the plate, "score", "sign": "confidence", "jitter", "disagreement"
 * or "pose", "part": name, "value_px", "usual_px": of that sign, here and usually in this shot, "reason": all that as text}]. */
cJSON *suggest_frames(const document *doc, int top);

#endif
