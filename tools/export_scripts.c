/* Exports for hosts that run a script: the shot as a literal that is Python and JavaScript at once, then a fixed program, which
 * knows the host's conventions.  The programs are the files of export_scripts/, compiled in. */

#include <stdlib.h>

#include "cli.h"
#include "export.h"

static const char nuke_program[] =
#include "export_nuke.inc"
    ;
static const char natron_program[] =
#include "export_natron.inc"
    ;
static const char blender_program[] =
#include "export_blender.inc"
    ;
static const char after_effects_program[] =
#include "export_after_effects.inc"
    ;

static void put_string(FILE *out, const char *string) {
  cJSON *value = cJSON_CreateString(string);
  char *text = cJSON_PrintUnformatted(value);
  fputs(text ? text : "\"\"", out);
  cJSON_free(text);
  cJSON_Delete(value);
}

static void put_shape(FILE *out, const export_shot *shot, const export_shape *shape) {
  const document_frame *frames = shot->doc.frames;
  int first = 1;
  fputs("  {\"name\": ", out);
  put_string(out, shape->name);
  fprintf(out, ", \"closed\": %d, \"width\": %.8g,\n   \"seen\": [", shape->closed, shape->width);
  for (size_t f = 0; f < shot->doc.frame_count; ++f)
    if (!f || !shape->at[f] != !shape->at[f - 1])
      fprintf(out, "%s[%d, %d]", f ? ", " : "", frames[f].number, shape->at[f] != NULL);
  fputs("],\n   \"keys\": [\n", out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    if (!shape->key[f]) continue;
    fprintf(out, "%s    [%d, [", first ? "" : ",\n", frames[f].number);
    for (uint32_t i = 0; i < shape->vertex_count; ++i) {
      const roto_vertex *v = shape->at[f] + i;
      fprintf(out, "%s[%.4f, %.4f, %.4f, %.4f, %.4f, %.4f, %.4f]", i ? ", " : "", v->x, v->y, v->in_x, v->in_y, v->out_x,
              v->out_y, v->feather);
    }
    fputs("]]", out);
    first = 0;
  }
  fputs("]}", out);
}

/* Frames, pixels of the plate with y down; "seen": frames from which the shape is to be seen, or no longer; "keys": frame, and for
 * each vertex x, y, handle in, handle out (relative), feather. */
static void put_shot(FILE *out, const export_shot *shot, const char *comment, const char *declaration) {
  fprintf(out, "%s Written by roto export %s; pixels of the plate, y down.\n%s{\"name\": ", comment, ROTO_VERSION_STRING,
          declaration);
  put_string(out, shot->name);
  fprintf(out, ", \"width\": %d, \"height\": %d, \"first\": %d, \"last\": %d,\n \"shapes\": [\n", shot->doc.width,
          shot->doc.height, shot->doc.frames[0].number, shot->doc.frames[shot->doc.frame_count - 1].number);
  for (size_t s = 0; s < shot->shape_count; ++s) {
    put_shape(out, shot, &shot->shapes[s]);
    fputs(s + 1 < shot->shape_count ? ",\n" : "]}", out);
  }
}

void export_nuke(const export_shot *shot, FILE *out) {
  put_shot(out, shot, "#", "SHOT = ");
  fprintf(out, "\n\n%s", nuke_program);
}

void export_natron(const export_shot *shot, FILE *out) {
  put_shot(out, shot, "#", "SHOT = ");
  fprintf(out, "\n\n%s", natron_program);
}

void export_blender(const export_shot *shot, FILE *out) {
  put_shot(out, shot, "#", "SHOT = ");
  fprintf(out, "\n\n%s", blender_program);
}

void export_after_effects(const export_shot *shot, FILE *out) {
  put_shot(out, shot, "//", "var SHOT = ");
  fprintf(out, ";\n\n%s", after_effects_program);
}
