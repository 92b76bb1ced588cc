/* Exports for hosts that read a file: XML, Lua tables, Nuke's script language, JSON. */

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"

static int frame_number(const export_shot *shot, size_t f) {
  return shot->doc.frames[f].number;
}

static int first_frame(const export_shot *shot) {
  return frame_number(shot, 0);
}

static int last_frame(const export_shot *shot) {
  return frame_number(shot, shot->doc.frame_count - 1);
}

static void put_xml(FILE *out, const char *text) {
  for (; *text; ++text)
    if (strchr("<>&\"'", *text))
      fprintf(out, "&#%d;", *text);
    else
      fputc(*text, out);
}

/* A name of letters, digits and _ alone, that begins with a letter. */
static void put_name(FILE *out, const char *text) {
  if (!isalpha((unsigned char)*text)) fputc('_', out);
  for (; *text; ++text) fputc(isalnum((unsigned char)*text) ? *text : '_', out);
}

/* Whether the shape comes or goes in frame f; in the first it always does. */
static int changes(const export_shape *shape, size_t f) {
  return !f || !shape->at[f] != !shape->at[f - 1];
}

/* Mean feather of all vertices in all frames: for hosts that have one for a shape. */
static double mean_feather(const export_shot *shot, const export_shape *shape) {
  double sum = 0;
  for (size_t f = 0; f < shot->doc.frame_count; ++f)
    for (uint32_t v = 0; shape->at[f] && v < shape->vertex_count; ++v) sum += shape->at[f][v].feather;
  return sum / ((double)shape->seen * shape->vertex_count);
}

/* ------------------------------------------------------------------ Silhouette and Mocha */

/* Centre of the frame at 0, heights of the frame, y down; handles absolute; frames from the start of the session. */
static void put_fxs_point(FILE *out, const export_shot *shot, double x, double y, const char *end) {
  fprintf(out, "(%f,%f)%s", (x - shot->doc.width / 2.0) / shot->doc.height, (y - shot->doc.height / 2.0) / shot->doc.height,
          end);
}

static void put_fxs_shape(FILE *out, const export_shot *shot, const export_shape *shape) {
  const char *closed = shape->closed ? "True" : "False";
  fputs("    <Object type=\"Shape\" label=\"", out);
  put_xml(out, shape->name);
  fputs("\" shape_type=\"Bezier\" hidden=\"False\" locked=\"False\">\n     <Properties>\n      <Property id=\"opacity\">\n",
        out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f)
    if (changes(shape, f))
      fprintf(out, "       <Key frame=\"%d\" interp=\"hold\">%.1f</Key>\n", frame_number(shot, f) - first_frame(shot),
              shape->at[f] ? 100.0 : 0.0);
  fputs(
      "      </Property>\n"
      "      <Property constant=\"True\" id=\"motionBlur\"><Value>true</Value></Property>\n"
      "      <Property constant=\"True\" id=\"mode\"><Value>Add</Value></Property>\n"
      "      <Property constant=\"True\" id=\"invert\"><Value>false</Value></Property>\n"
      "      <Property id=\"path\">\n",
      out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    if (!shape->key[f]) continue;
    fprintf(out, "       <Key frame=\"%d\" interp=\"linear\"><Path closed=\"%s\" type=\"Bezier\">\n",
            frame_number(shot, f) - first_frame(shot), closed);
    for (uint32_t i = 0; i < shape->vertex_count; ++i) {
      const roto_vertex *v = shape->at[f] + i;
      fputs("        <Point>", out);
      put_fxs_point(out, shot, v->x, v->y, ",");
      put_fxs_point(out, shot, v->x + v->in_x, v->y + v->in_y, ",");
      put_fxs_point(out, shot, v->x + v->out_x, v->y + v->out_y, "</Point>\n");
    }
    fputs("       </Path></Key>\n", out);
  }
  fputs("      </Property>\n     </Properties>\n    </Object>\n", out);
}

void export_silhouette(const export_shot *shot, FILE *out) {
  fprintf(out,
          "<Silhouette width=\"%d\" height=\"%d\" workRangeStart=\"%d\" workRangeEnd=\"%d\" sessionStartFrame=\"%d\">\n"
          " <Layer type=\"Layer\" label=\"",
          shot->doc.width, shot->doc.height, first_frame(shot), last_frame(shot), first_frame(shot));
  put_xml(out, shot->name);
  fputs(
      "\" expanded=\"True\">\n  <Properties>\n"
      "   <Property constant=\"True\" id=\"invert\"><Value>false</Value></Property>\n"
      "   <Property constant=\"True\" id=\"mode\"><Value>Add</Value></Property>\n"
      "   <Property id=\"objects\" constant=\"True\" expanded=\"True\">\n",
      out);
  for (size_t s = 0; s < shot->shape_count; ++s) put_fxs_shape(out, shot, &shot->shapes[s]);
  fputs("   </Property>\n  </Properties>\n </Layer>\n</Silhouette>\n", out);
}

/* ------------------------------------------------------------------ Fusion */

/* Centre of the frame at 0, x in widths, y up in heights; handles relative. */
static void put_polyline(FILE *out, const export_shot *shot, const export_shape *shape, size_t f) {
  double w = shot->doc.width, h = shot->doc.height;
  fprintf(out, "Polyline { %sPoints = {\n", shape->closed ? "Closed = true, " : "");
  for (uint32_t i = 0; i < shape->vertex_count; ++i) {
    const roto_vertex *v = shape->at[f] + i;
    fprintf(out, "        { X = %.9f, Y = %.9f, LX = %.9f, LY = %.9f, RX = %.9f, RY = %.9f },\n", v->x / w - 0.5,
            0.5 - v->y / h, v->in_x / w, -v->in_y / h, v->out_x / w, -v->out_y / h);
  }
  fputs("      }, }", out);
}

static void put_mask(FILE *out, const export_shot *shot, size_t index) {
  const export_shape *shape = &shot->shapes[index];
  double feather = mean_feather(shot, shape);
  int key = 0;
  fputs("  ", out);
  put_name(out, shape->name);
  fprintf(
      out,
      " = PolylineMask {\n    NameSet = true, DrawMode = \"ModifyOnly\", DrawMode2 = \"InsertAndModify\", CtrlWZoom = false,\n"
      "    Inputs = {\n      OutputSize = Input { Value = FuID { \"Custom\" }, },\n"
      "      MaskWidth = Input { Value = %d, },\n      MaskHeight = Input { Value = %d, },\n"
      "      PixelAspect = Input { Value = { 1, 1 }, },\n      ClippingMode = Input { Value = FuID { \"None\" }, },\n",
      shot->doc.width, shot->doc.height);
  if (index) {
    fputs("      EffectMask = Input { SourceOp = \"", out);
    put_name(out, shot->shapes[index - 1].name);
    fputs("\", Source = \"Mask\", },\n", out);
  }
  if (feather > 0) fprintf(out, "      SoftEdge = Input { Value = %.9f, },\n", feather / shot->doc.width);
  if (!shape->closed)
    fprintf(out, "      Solid = Input { Value = 0, },\n      BorderWidth = Input { Value = %.9f, },\n",
            (shape->width > 0 ? shape->width : 2) / shot->doc.width);
  fputs("      Level = Input { SourceOp = \"", out);
  put_name(out, shape->name);
  fputs("Level\", Source = \"Value\", },\n      Polyline = Input { SourceOp = \"", out);
  put_name(out, shape->name);
  fprintf(out,
          "Polyline\", Source = \"Value\", },\n      Polyline2 = Input { Value = Polyline { }, Disabled = true, },\n    },\n"
          "    ViewInfo = OperatorInfo { Pos = { 0, %d } },\n  },\n  ",
          50 * (int)index);
  put_name(out, shape->name);
  fputs("Level = BezierSpline {\n    SplineColor = { Red = 174, Green = 219, Blue = 39 }, NameSet = true,\n    KeyFrames = {\n",
        out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    if (!changes(shape, f)) continue;
    if (f && !(changes(shape, f - 1) && frame_number(shot, f - 1) == frame_number(shot, f) - 1)) /* the last of the old value */
      fprintf(out, "      [%d] = { %d, Flags = { Linear = true } },\n", frame_number(shot, f) - 1, shape->at[f] == NULL);
    fprintf(out, "      [%d] = { %d, Flags = { Linear = true } },\n", frame_number(shot, f), shape->at[f] != NULL);
  }
  fputs("    },\n  },\n  ", out);
  put_name(out, shape->name);
  fputs(
      "Polyline = BezierSpline {\n    SplineColor = { Red = 173, Green = 255, Blue = 47 }, NameSet = true,\n    KeyFrames = "
      "{\n",
      out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    if (!shape->key[f]) continue;
    fprintf(out, "      [%d] = { %d, Flags = { Linear = true, LockedY = true }, Value = ", frame_number(shot, f), key++);
    put_polyline(out, shot, shape, f);
    fputs(" },\n", out);
  }
  fputs("    },\n  },\n", out);
}

void export_fusion(const export_shot *shot, FILE *out) {
  fputs("{\n Tools = ordered() {\n", out);
  for (size_t s = 0; s < shot->shape_count; ++s) put_mask(out, shot, s);
  fputs(" },\n}\n", out);
}

/* ------------------------------------------------------------------ MLT */

enum { MLT_AWAY = 10 };

/* One key; `away` widths to the left. */
static void put_mlt_key(FILE *out, const export_shot *shot, const export_shape *shape, size_t f, int frame, int away) {
  double w = shot->doc.width, h = shot->doc.height;
  fprintf(out, "\n\"%d\":[", frame - first_frame(shot));
  for (uint32_t i = 0; i < shape->vertex_count; ++i) {
    const roto_vertex *v = shape->at[f] + i;
    fprintf(out, "%s[[%.9f,%.9f],[%.9f,%.9f],[%.9f,%.9f]]", i ? "," : "", (v->x + v->in_x) / w - away, (v->y + v->in_y) / h,
            v->x / w - away, v->y / h, (v->x + v->out_x) / w - away, (v->y + v->out_y) / h);
  }
  fputs("]", out);
}

/* A filter on a white picture that starts out transparent.  Versions differ in whether keys count from the filter's first frame or
 * the picture's, and the filter has no opacity: so it lasts the whole shot, and a hidden shape waits far outside the frame. */
static void put_mlt_shape(FILE *out, const export_shot *shot, const export_shape *shape) {
  const char *comma = "";
  fprintf(
      out,
      "  <filter in=\"0\" out=\"%d\">\n   <property name=\"mlt_service\">rotoscoping</property>\n   <property name=\"label\">",
      last_frame(shot) - first_frame(shot));
  put_xml(out, shape->name);
  fprintf(out,
          "</property>\n   <property name=\"mode\">alpha</property>\n   <property name=\"alpha_operation\">max</property>\n"
          "   <property name=\"feather\">%.0f</property>\n   <property name=\"spline\">{",
          fabs(mean_feather(shot, shape)));
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    int here = frame_number(shot, f), leaves = f && changes(shape, f) && !shape->at[f],
        comes = f && changes(shape, f) && shape->at[f];
    int gap =
        comes && f > 1 && changes(shape, f - 1) && here - 1 == frame_number(shot, f - 1); /* its one frame has a key already */
    if (comes && !gap) fputs(comma, out), put_mlt_key(out, shot, shape, f, here - 1, MLT_AWAY), comma = ",";
    if (leaves) fputs(comma, out), put_mlt_key(out, shot, shape, f - 1, here, MLT_AWAY), comma = ",";
    if (shape->key[f]) fputs(comma, out), put_mlt_key(out, shot, shape, f, here, 0), comma = ",";
  }
  fputs("}</property>\n  </filter>\n", out);
}

void export_mlt(const export_shot *shot, FILE *out) {
  int length = last_frame(shot) - first_frame(shot) + 1;
  fprintf(out,
          "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<mlt LC_NUMERIC=\"C\" producer=\"main\">\n"
          " <profile description=\"plate\" width=\"%d\" height=\"%d\" progressive=\"1\" sample_aspect_num=\"1\" "
          "sample_aspect_den=\"1\""
          " display_aspect_num=\"%d\" display_aspect_den=\"%d\" frame_rate_num=\"%.0f\" frame_rate_den=\"1000\" "
          "colorspace=\"709\"/>\n",
          shot->doc.width, shot->doc.height, shot->doc.width, shot->doc.height, shot->fps * 1000);
  fprintf(out,
          " <producer id=\"black\" in=\"0\" out=\"%d\">\n  <property name=\"mlt_service\">color</property>\n"
          "  <property name=\"resource\">0x000000ff</property>\n  <property name=\"length\">%d</property>\n </producer>\n"
          " <producer id=\"shapes\" in=\"0\" out=\"%d\">\n  <property name=\"mlt_service\">color</property>\n"
          "  <property name=\"resource\">0xffffff00</property>\n  <property name=\"mlt_image_format\">rgba</property>\n"
          "  <property name=\"length\">%d</property>\n",
          length - 1, length, length - 1, length);
  for (size_t s = 0; s < shot->shape_count; ++s) put_mlt_shape(out, shot, &shot->shapes[s]);
  fprintf(out,
          " </producer>\n <tractor id=\"main\" in=\"0\" out=\"%d\">\n  <multitrack>\n   <track producer=\"black\"/>\n"
          "   <track producer=\"shapes\"/>\n  </multitrack>\n  <transition in=\"0\" out=\"%d\">\n"
          "   <property name=\"mlt_service\">composite</property>\n   <property name=\"a_track\">0</property>\n"
          "   <property name=\"b_track\">1</property>\n   <property name=\"progressive\">1</property>\n  </transition>\n "
          "</tractor>\n</mlt>\n",
          length - 1, length - 1);
}

/* ------------------------------------------------------------------ SVG */

static void put_svg_path(FILE *out, const export_shape *shape, size_t f) {
  const roto_vertex *v = shape->at[f];
  uint32_t segments = shape->closed ? shape->vertex_count : shape->vertex_count - 1;
  fprintf(out, "M%.4f %.4f", v->x, v->y);
  for (uint32_t i = 0; i < segments; ++i) {
    const roto_vertex *a = v + i, *b = v + (i + 1 < shape->vertex_count ? i + 1 : 0);
    fprintf(out, " C%.4f %.4f %.4f %.4f %.4f %.4f", a->x + a->out_x, a->y + a->out_y, b->x + b->in_x, b->y + b->in_y, b->x,
            b->y);
  }
  if (shape->closed) fputs(" Z", out);
}

static void put_svg_shape(FILE *out, const export_shot *shot, const export_shape *shape) {
  double length = last_frame(shot) - first_frame(shot), seconds = length / shot->fps;
  size_t count = shot->doc.frame_count, begin = 0, end = count - 1;
  while (!shape->key[begin]) ++begin;
  while (!shape->key[end]) --end;
  fputs("  <path id=\"", out);
  put_name(out, shape->name);
  if (shape->closed)
    fputs("\" fill=\"#fff\"", out);
  else
    fprintf(out, "\" fill=\"none\" stroke=\"#fff\" stroke-linecap=\"round\" stroke-linejoin=\"round\" stroke-width=\"%.8g\"",
            shape->width > 0 ? shape->width : 2);
  fprintf(out, " visibility=\"%s\" d=\"", shape->at[0] ? "visible" : "hidden");
  put_svg_path(out, shape, begin);
  fputs("\">", out);
  if (length > 0) {
    fprintf(out,
            "\n   <animate attributeName=\"d\" calcMode=\"linear\" fill=\"freeze\" begin=\"0s\" dur=\"%.9gs\" keyTimes=\"0",
            seconds);
    for (size_t f = begin + !begin; f <= end; ++f)
      if (shape->key[f]) fprintf(out, ";%.12g", (frame_number(shot, f) - first_frame(shot)) / length);
    fprintf(out, "%s\" values=\"\n", end + 1 < count ? ";1" : "");
    put_svg_path(out, shape, begin);
    for (size_t f = begin + !begin; f <= end; ++f)
      if (shape->key[f]) fputs(";\n", out), put_svg_path(out, shape, f);
    if (end + 1 < count) fputs(";\n", out), put_svg_path(out, shape, end);
    fprintf(out,
            "\"/>\n   <animate attributeName=\"visibility\" calcMode=\"discrete\" fill=\"freeze\" begin=\"0s\" dur=\"%.9gs\" "
            "keyTimes=\"",
            seconds);
    for (size_t f = 0; f < count; ++f)
      if (changes(shape, f)) fprintf(out, "%s%.12g", f ? ";" : "", (frame_number(shot, f) - first_frame(shot)) / length);
    fputs("\" values=\"", out);
    for (size_t f = 0; f < count; ++f)
      if (changes(shape, f)) fprintf(out, "%s%s", f ? ";" : "", shape->at[f] ? "visible" : "hidden");
    fputs("\"/>\n  ", out);
  }
  fputs("</path>\n", out);
}

void export_svg(const export_shot *shot, FILE *out) {
  fprintf(out,
          "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" data-first-frame=\"%d\""
          " data-last-frame=\"%d\" data-fps=\"%.9g\">\n <rect width=\"100%%\" height=\"100%%\"/>\n <g id=\"",
          shot->doc.width, shot->doc.height, shot->doc.width, shot->doc.height, first_frame(shot), last_frame(shot), shot->fps);
  put_name(out, shot->name);
  fputs("\">\n", out);
  for (size_t s = 0; s < shot->shape_count; ++s) put_svg_shape(out, shot, &shot->shapes[s]);
  fputs(" </g>\n</svg>\n", out);
}

/* ------------------------------------------------------------------ Nuke's Tracker */

/* What Nuke writes for a track's columns: type, whether it animates, width of the column, knob, label. */
static const struct {
  int type, animates, width;
  const char *name;
} columns[] = {
    {5, 1, 20, "enable"},
    {3, 1, 75, "name"},
    {2, 1, 58, "track_x"},
    {2, 1, 58, "track_y"},
    {2, 1, 63, "offset_x"},
    {2, 1, 63, "offset_y"},
    {4, 1, 27, "T"},
    {4, 1, 27, "R"},
    {4, 1, 27, "S"},
    {2, 0, 45, "error"},
    {1, 1, 0, "error_min"},
    {1, 1, 0, "error_max"},
    {1, 1, 0, "pattern_x"},
    {1, 1, 0, "pattern_y"},
    {1, 1, 0, "pattern_r"},
    {1, 1, 0, "pattern_t"},
    {1, 1, 0, "search_x"},
    {1, 1, 0, "search_y"},
    {1, 1, 0, "search_r"},
    {1, 1, 0, "search_t"},
    {2, 1, 0, "key_track"},
    {2, 1, 0, "key_search_x"},
    {2, 1, 0, "key_search_y"},
    {2, 1, 0, "key_search_r"},
    {2, 1, 0, "key_search_t"},
    {2, 1, 0, "key_track_x"},
    {2, 1, 0, "key_track_y"},
    {2, 1, 0, "key_track_r"},
    {2, 1, 0, "key_track_t"},
    {2, 1, 0, "key_centre_offset_x"},
    {2, 1, 0, "key_centre_offset_y"},
};

/* One coordinate; a value without x follows the frame before it. */
static void put_track_curve(FILE *out, const export_shot *shot, size_t point, int axis) {
  int next = 0, any = 0;
  fputs(" {curve", out);
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    const document_point *p = &shot->doc.frames[f].points[point];
    if (p->hidden) continue;
    if (!any || frame_number(shot, f) != next) fprintf(out, " x%d", frame_number(shot, f));
    fprintf(out, " %.4f", axis ? shot->doc.height - p->y : p->x);
    next = frame_number(shot, f) + 1;
    any = 1;
  }
  fputs("}", out);
}

static void put_track(FILE *out, const export_shot *shot, size_t point, const char *name) {
  size_t seen = 0;
  for (size_t f = 0; f < shot->doc.frame_count; ++f) seen += !shot->doc.frames[f].points[point].hidden;
  if (!seen) return;
  fputs("{ {curve K", out); /* constant between keys; with a key in every frame it does not depend on that */
  for (size_t f = 0; f < shot->doc.frame_count; ++f) {
    if (!f || frame_number(shot, f) != frame_number(shot, f - 1) + 1) fprintf(out, " x%d", frame_number(shot, f));
    fprintf(out, " %d", !shot->doc.frames[f].points[point].hidden);
  }
  fputs("} \"", out);
  for (; *name; ++name) fputc(strchr("\"\\{}[]$;", *name) ? '_' : *name, out);
  fputs("\"", out);
  put_track_curve(out, shot, point, 0);
  put_track_curve(out, shot, point, 1);
  fputs(" {} {} 1 0 0 {} 1 0 -32 -32 32 32 -22 -22 22 22 {} {} {} {} {} {} {} {} {} {} {} }\n", out);
}

void export_nuke_tracker(const export_shot *shot, FILE *out) {
  const cJSON *landmarks = cJSON_GetObjectItemCaseSensitive(shot->doc.template_json, "landmarks"), *landmark;
  size_t count = 0, point = 0;
  for (size_t i = 0; i < shot->doc.point_count; ++i) {
    size_t f = 0;
    while (f < shot->doc.frame_count && shot->doc.frames[f].points[i].hidden) ++f;
    count += f < shot->doc.frame_count;
  }
  fprintf(out, "Tracker4 {\ntracks { { 1 %zu %zu }\n{ ", sizeof columns / sizeof *columns, count);
  for (size_t c = 0; c < sizeof columns / sizeof *columns; ++c)
    fprintf(out, "{ %d %d %d %s %s 1 }\n", columns[c].type, columns[c].animates, columns[c].width, columns[c].name,
            c ? columns[c].name : "e");
  fputs("}\n{\n", out);
  cJSON_ArrayForEach(landmark, landmarks) {
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(landmark, "name");
    put_track(out, shot, point++, cJSON_IsString(name) ? name->valuestring : "track");
  }
  fprintf(out, "}\n}\nreference_frame %d\nname ", first_frame(shot));
  put_name(out, shot->name);
  fputs("_tracks\nselected true\n}\n", out);
}

/* ------------------------------------------------------------------ annotation files */

void export_annotation(const export_shot *shot, size_t f, FILE *out) {
  const document_frame *frame = &shot->doc.frames[f];
  fputs("{", out);
  for (size_t s = 0; s < shot->shape_count; ++s) {
    const export_shape *shape = &shot->shapes[s];
    uint32_t segments = shape->closed ? shape->vertex_count : shape->vertex_count - 1;
    cJSON *name = cJSON_CreateString(shape->name);
    char *quoted = cJSON_PrintUnformatted(name);
    if (shape->at[f]) fprintf(out, "%s: [", quoted ? quoted : "\"\"");
    for (uint32_t i = 0; shape->at[f] && i < segments; ++i) {
      const roto_vertex *a = shape->at[f] + i, *b = shape->at[f] + (i + 1 < shape->vertex_count ? i + 1 : 0);
      fprintf(out, "%s[[%.4f, %.4f, %.4f, %.4f], [%.4f, %.4f, %.4f, %.4f]]", i ? ", " : "", a->x, a->out_x, b->x, b->in_x, a->y,
              a->out_y, b->y, b->in_y);
    }
    if (shape->at[f]) fputs("],\n ", out);
    cJSON_free(quoted);
    cJSON_Delete(name);
  }
  fputs("\"points\": [", out);
  for (size_t i = 0; i < shot->doc.point_count; ++i)
    fprintf(out, "%s[%.4f, %.4f]", i ? ", " : "", frame->points[i].x, frame->points[i].y);
  fputs("],\n \"visible\": [", out);
  for (size_t i = 0; i < shot->doc.point_count; ++i) fprintf(out, "%s%d", i ? ", " : "", !frame->points[i].hidden);
  fputs("]}\n", out);
}
