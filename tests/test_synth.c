/* OBJ files and the frames rendered from them, against geometry worked out apart.
 *
 * The meshes are made here: a textured square whose colours are known, a wall before a row of points, and the demo's puppet written as
 * OBJ files.  Rays are cast triangle by triangle in space, with nothing of the renderer's.  A folder of further data that
 * holds film/puppet and film/backgrounds is used if it is given. */

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tools/image_file.h"
#include "../trainer/character.h"
#include "../trainer/dataset.h"
#include "../trainer/puppet.h"
#include "../trainer/synth.h"
#include "check.h"

static char folder[64], message[MESSAGE_SIZE];

static const char *in_folder(const char *name) {
  static char paths[4][128];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

static void write_text(const char *name, const char *text) {
  if (file_write(in_folder(name), text, strlen(text), message)) printf("%s\n", message);
}

/* ---- OBJ files ---- */

static const char square_mtl[] = "newmtl other\nKd 0.1 0.2 0.3\n\nnewmtl paint\nKd 0.5 1 1\nKs 0 0 0\nNs 6\nmap_Kd paint.png\n";
static const char square_obj[] =
    "# a square of two materials, as four corners and a fan\nmtllib square.mtl\n"
    "v 0 0 0\nv 2 0 0\nv 2 2 0\nv 0 2 0\n"
    "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
    "usemtl paint\nf 1/1 2/2 3/3 4/4\n"
    "v 5 0 0\nv 6 0 0\nv 5 1 0\nvn 0 0 -1\n"
    "usemtl other\nf -3//1 -2//-1 \\\n -1//1\n"
    "f 1/3 2/3 3/3\n";

static void test_obj(void) {
  static const uint8_t paint[12] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}; /* top: red green; below: blue white */
  obj_set set;
  memset(&set, 0, sizeof set);
  write_text("square.mtl", square_mtl);
  write_text("square.obj", square_obj);
  image_write_png(in_folder("paint.png"), paint, 2, 2, 3, message);
  int status = obj_add(&set, in_folder("square.obj"), message);
  CHECK(status == 0, "%s", message);
  if (status) return;
  const obj_mesh *m = &set.meshes[0];
  CHECK(m->point_count == 7 && m->triangle_count == 4, "%zu points, %zu triangles", m->point_count, m->triangle_count);
  CHECK(m->vertex_count == 9, "7 places, 2 of them with a second texture coordinate: found %zu", m->vertex_count);
  for (int i = 0; i < 7; i++) {
    static const float places[7][2] = {{0, 0}, {2, 0}, {2, 2}, {0, 2}, {5, 0}, {6, 0}, {5, 1}};
    CHECK(m->positions[3 * i] == places[i][0] && m->positions[3 * i + 1] == places[i][1], "vertex %d keeps its number", i);
  }
  CHECK(m->normals[2] == 1, "normals of their own faces where the file has none");
  CHECK(m->normals[3 * 4 + 2] == -1, "and the file's where it has them");
  CHECK(set.material_count == 3 && set.materials[m->materials[0]].texture == 0 && set.materials[m->materials[2]].texture == -1);
  /* corner (u, v) of the texture and the colour that is there; Kd halves the red */
  static const struct {
    float u, v, rgb[3];
  } spots[4] = {
      {0.25f, 0.75f, {0.5f, 0, 0}}, {0.75f, 0.75f, {0, 1, 0}}, {0.25f, 0.25f, {0, 0, 1}}, {1.75f, -0.75f, {0.5f, 1, 1}}};
  for (int i = 0; i < 4; i++) {
    raster_hit hit;
    raster_surface surface;
    memset(&hit, 0, sizeof hit), memset(&surface, 0, sizeof surface);
    hit.material = m->materials[0], hit.attributes[0] = spots[i].u, hit.attributes[1] = spots[i].v;
    obj_shade(&set, &hit, &surface);
    for (int k = 0; k < 3; k++) {
      CHECK(fabsf(surface.albedo[k] - spots[i].rgb[k]) < 0.01f, "texture at %.2f %.2f, channel %d: expected %.3f, found %.3f",
            (double)spots[i].u, (double)spots[i].v, k, (double)spots[i].rgb[k], (double)surface.albedo[k]);
    }
    hit.pixel = 2; /* one pixel sees the whole picture: its mean in linear light */
    obj_shade(&set, &hit, &surface);
    CHECK(fabsf(surface.albedo[1] - 0.5f) < 0.02f, "mean of the texture: %.3f", (double)surface.albedo[1]);
  }
  CHECK(obj_add(&set, in_folder("square.obj"), message) == 0 && set.texture_count == 1 && set.material_count == 3,
        "a second file shares materials and textures");
  CHECK(obj_same_topology(&set.meshes[0], &set.meshes[1]));
  obj_free(&set);
}

/* Each must be refused in words that say where. */
static void test_bad_objs(void) {
  static const struct {
    const char *obj, *mtl, *expected;
  } bad[] = {
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "", "bad.obj:4: vertex index 4 is out of range: the file has 3"},
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -4\n", "", "bad.obj:4: vertex index -4 is out of range"},
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 0\n", "", "bad.obj:4: vertex index 0 is out of range"},
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\n\nf 1/1 2/1 3/1\n", "", "bad.obj:5: texture coordinate index 1 is out of range"},
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1/1 2/1/1 3/1/1\n", "", "bad.obj:5: normal index 1 is out of range"},
      {"v 0 0 0\nv 1 0 0\nf 1 2\n", "", "bad.obj:3: expected a face of at least 3 corners"},
      {"v 0 0 0\nv 1 0\n", "", "bad.obj:2: expected three numbers, found '1 0'"},
      {"v 0 0 nan\n", "", "bad.obj:1: expected three numbers"},
      {"v 0 0 0\nv 1 0 0\nv 0 1 0\nf a b c\n", "", "bad.obj:4: expected a face as in"},
      {"v 0 0 0\n", "", "bad.obj: expected faces"},
      {"", "", "bad.obj: expected faces"},
      {"usemtl skin\n", "", "bad.obj:1: expected a material of a mtllib above, found 'skin'"},
      {"mtllib none.mtl\n", "", "bad.obj:1: material library: "},
      {"mtllib bad.mtl\nusemtl skin\n", "newmtl cloth\n", "bad.obj:2: expected a material of "},
      {"mtllib bad.mtl\n", "newmtl skin\n\nmap_Kd none.png\n", "bad.mtl:3: texture 'none.png': "},
      {"mtllib bad.mtl\n", "newmtl skin\nmap_Kd square.obj\n", "bad.mtl:2: texture 'square.obj': "},
      {"mtllib bad.mtl\n", "newmtl skin\nKd red\n", "bad.mtl:2: expected a colour of three numbers, found 'red'"},
      {"mtllib bad.mtl\n", "newmtl skin\nnewmtl skin\n", "bad.mtl:2: expected each material once"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    obj_set set;
    memset(&set, 0, sizeof set);
    write_text("bad.obj", bad[i].obj);
    write_text("bad.mtl", bad[i].mtl);
    message[0] = 0;
    CHECK(obj_add(&set, in_folder("bad.obj"), message) != 0 && strstr(message, bad[i].expected) && set.mesh_count == 0,
          "file %zu: expected '%s', found '%s'", i, bad[i].expected, message);
    obj_free(&set);
  }
}

/* ---- the demo's puppet as OBJ files ---- */

static void write_list(FILE *f, const uint32_t *v, size_t count) {
  for (size_t i = 0; i < count; i++) fprintf(f, "%s%u", i ? ", " : "[", v[i]);
  fprintf(f, "]");
}

static void write_puppet(void) {
  static const puppet_expression expressions[3] = {PUPPET_NEUTRAL, PUPPET_BLINK, PUPPET_SURPRISED};
  static const char *const names[3] = {"puppet/a-neutral.obj", "puppet/b-blink.obj", "puppet/c-surprised.obj"};
  puppet *actor = puppet_create(0);
  const raster_mesh *mesh = puppet_mesh(actor);
  const puppet_layout *layout = puppet_layout_of(actor);
  float *v = malloc(6 * mesh->vertex_count * sizeof *v);
  mkdir(in_folder("puppet"), 0777);
  for (int e = 0; e < 3; e++) {
    puppet_pose pose;
    memset(&pose, 0, sizeof pose);
    pose.face = puppet_expression_face(expressions[e]);
    puppet_evaluate(actor, &pose, v, v + 3 * mesh->vertex_count);
    FILE *f = fopen(in_folder(names[e]), "w");
    fprintf(f, "mtllib puppet.mtl\n");
    for (size_t i = 0; i < 2 * mesh->vertex_count; i++) {
      fprintf(f, "%s %.6f %.6f %.6f\n", i < mesh->vertex_count ? "v" : "vn", (double)v[3 * i], (double)v[3 * i + 1],
              (double)v[3 * i + 2]);
    }
    for (size_t t = 0; t < mesh->triangle_count; t++) {
      const uint32_t *c = mesh->triangles + 3 * t;
      if (t == 0 || mesh->materials[t] != mesh->materials[t - 1]) fprintf(f, "usemtl m%u\n", mesh->materials[t]);
      fprintf(f, "f %u//%u %u//%u %u//%u\n", c[0] + 1, c[0] + 1, c[1] + 1, c[1] + 1, c[2] + 1, c[2] + 1);
    }
    fclose(f);
  }
  FILE *f = fopen(in_folder("puppet/puppet.mtl"), "w");
  for (int m = 0; m < 12; m++) fprintf(f, "newmtl m%d\nKd %.2f 0.5 0.4\n", m, 0.08 * m);
  fclose(f);
  f = fopen(in_folder("puppet/landmarks.json"), "w");
  fprintf(f, "{\"points\": ");
  write_list(f, layout->points, PUPPET_POINTS);
  for (int what = 0; what < 2; what++) {
    fprintf(f, what ? "},\n\"canonical_positions_in_contour\": {" : ",\n\"contours\": {");
    for (int s = 0; s < PUPPET_SHAPES; s++) {
      const mesh_outline *o = &layout->shapes[s];
      fprintf(f, "%s\"%s\": ", s ? ", " : "", o->name);
      write_list(f, what ? o->canonical : o->vertices, what ? (size_t)o->segment_count + !o->closed : o->vertex_count);
    }
  }
  fprintf(f, "}}\n");
  fclose(f);
  free(v);
  puppet_free(actor);
}

/* Share of the way from `from` to `to` where the first triangle is met; 2 if none. */
static double first_hit(const raster_mesh *mesh, const float *from, const float *to) {
  double nearest = 2, d[3];
  for (int i = 0; i < 3; i++) d[i] = (double)to[i] - (double)from[i];
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    const float *v[3];
    double a[3], b[3], s[3];
    for (int k = 0; k < 3; k++) v[k] = mesh->positions + 3 * (size_t)mesh->triangles[3 * t + (size_t)k];
    for (int i = 0; i < 3; i++) {
      a[i] = (double)v[1][i] - (double)v[0][i], b[i] = (double)v[2][i] - (double)v[0][i],
      s[i] = (double)from[i] - (double)v[0][i];
    }
    /* from + share d = v0 + x a + y b; crossing with one side at a time leaves one unknown */
    double p[3] = {d[1] * b[2] - d[2] * b[1], d[2] * b[0] - d[0] * b[2], d[0] * b[1] - d[1] * b[0]};
    double q[3] = {s[1] * a[2] - s[2] * a[1], s[2] * a[0] - s[0] * a[2], s[0] * a[1] - s[1] * a[0]};
    double det = a[0] * p[0] + a[1] * p[1] + a[2] * p[2];
    if (det == 0) continue;
    double x = (s[0] * p[0] + s[1] * p[1] + s[2] * p[2]) / det, y = (d[0] * q[0] + d[1] * q[1] + d[2] * q[2]) / det;
    double share = (b[0] * q[0] + b[1] * q[1] + b[2] * q[2]) / det;
    if (x >= 0 && y >= 0 && x + y <= 1 && share > 0 && share < nearest) nearest = share;
  }
  return nearest;
}

/* Every landmark of some frames by a ray from the camera, its pixel by the definition of a pinhole, every outline by its
 * vertices. */
static void check_frames(const synth_puppet *p, const synth_options *o, int first, int count, double worst_fit) {
  size_t seen = 0, hidden = 0;
  double fit = 0;
  for (int number = first; number < first + count; number++) {
    synth_frame f;
    int status = synth_render(p, o, number, &f, message);
    CHECK(status == 0, "%s", message);
    if (status) return;
    for (size_t i = 0; i < p->point_count; i++) {
      const float *v = f.mesh.positions + 3 * (size_t)p->points[i];
      double d[3], along = 0, across = 0, down = 0;
      for (int k = 0; k < 3; k++) {
        d[k] = (double)v[k] - (double)f.camera.position[k];
        along += d[k] * (double)f.camera.forward[k], across += d[k] * (double)f.camera.right[k];
        down += d[k] * (double)f.camera.down[k];
      }
      double x = (double)f.camera.centre[0] + (double)f.camera.focal * across / along;
      double y = (double)f.camera.centre[1] + (double)f.camera.focal * down / along;
      CHECK(fabs(f.points[2 * i] - x) < 1e-3 && fabs(f.points[2 * i + 1] - y) < 1e-3, "frame %d landmark %zu: projected",
            number, i);
      double hit = first_hit(&f.mesh, f.camera.position, v), limit = 1 - 0.016 / along;
      if (fabs(hit - limit) < 1e-5) continue;
      CHECK(f.visible[i] == (hit >= limit), "frame %d landmark %zu: visible %d, but the ray ends at %.4f of %.4f", number, i,
            f.visible[i], hit, limit);
      seen += f.visible[i], hidden += !f.visible[i];
    }
    for (size_t s = 0; s < p->outline_count; s++) {
      double error =
          outline_error(&f.mesh, &p->outlines[s], &f.camera, (const outline_curve *)(f.curves + s * OUTLINE_MAX_SEGMENTS));
      CHECK(error < worst_fit, "frame %d %s: the curve is %.3f pixels off", number, p->outlines[s].name, error);
      if (error > fit) fit = error;
    }
    synth_frame_free(&f);
  }
  CHECK(seen > hidden && hidden > 0, "%zu landmarks seen, %zu hidden", seen, hidden);
  printf("%d frames: %zu landmarks seen, %zu hidden, largest fit error %.3f pixels\n", count, seen, hidden, fit);
}

static int load_puppet(synth_puppet *p) {
  char a[128], b[128], c[128], *paths[3] = {c, a, b};
  snprintf(a, sizeof a, "%s", in_folder("puppet/a-neutral.obj"));
  snprintf(b, sizeof b, "%s", in_folder("puppet/b-blink.obj"));
  snprintf(c, sizeof c, "%s", in_folder("puppet/c-surprised.obj"));
  return synth_load(paths, 3, in_folder("puppet/landmarks.json"), "y", "z", p, message);
}

/* Turning right moves the nose right of the middle of the eyes, up moves it up, a roll lowers what is right; and the poses
 * fill their space evenly. */
static void test_poses(const synth_puppet *p, synth_options o) {
  synth_frame f;
  int right[4] = {0};
  o.size = 48;
  for (int number = 0; number < 200; number++) {
    if (synth_render(p, &o, number, &f, message)) {
      CHECK(0, "%s", message);
      return;
    }
    float toward[3], across = 0, ahead = 0;
    for (int i = 0; i < 3; i++) toward[i] = f.camera.position[i] - p->centre[i];
    for (int i = 0; i < 3; i++) across += toward[i] * p->right[i], ahead += toward[i] * p->front[i];
    double yaw = -atan2((double)across, (double)ahead) / (o.yaw * 3.14159265 / 180);
    CHECK(yaw > -1.001 && yaw < 1.001, "yaw %.3f of what is allowed", yaw);
    int quarter = (int)(2 * yaw + 2);
    right[quarter < 0 ? 0 : quarter > 3 ? 3 : quarter]++;
    synth_frame_free(&f);
  }
  for (int i = 0; i < 4; i++) CHECK(right[i] > 40 && right[i] < 60, "quarter %d of the yaws has %d of 200 frames", i, right[i]);
  o.pitch = o.roll = 1e-6, o.visible = 0.3;
  for (int number = 0; number < 8; number++) {
    CHECK(synth_render(p, &o, number, &f, message) == 0, "%s", message);
    float toward = 0;
    for (int i = 0; i < 3; i++) toward -= (f.camera.position[i] - p->centre[i]) * p->right[i];
    /* the nose seam stands out before the outer ends of the side seams */
    double nose = f.points[4] - 0.5 * (f.points[0] + f.points[8]);
    if (fabsf(toward) > 0.8f) CHECK(nose * (double)toward > 0, "frame %d: the nose goes where the head turns", number);
    CHECK(f.points[1] < o.size && f.points[35] < f.points[11], "brows above eyes");
    synth_frame_free(&f);
  }
}

static void test_determinism(const synth_puppet *p, const synth_options *o) {
  synth_frame a, b;
  size_t bytes = (size_t)o->size * (size_t)o->size * 4;
  CHECK(synth_render(p, o, 3, &a, message) == 0 && synth_render(p, o, 3, &b, message) == 0);
  CHECK(!memcmp(a.rgba, b.rgba, bytes) && !memcmp(a.points, b.points, p->point_count * 2 * sizeof(double)));
  synth_frame_free(&b);
  CHECK(synth_render(p, o, 6, &b, message) == 0 && memcmp(a.rgba, b.rgba, bytes), "another frame is another picture");
  synth_frame_free(&a);
  synth_frame_free(&b);
}

/* What props add: a hand and a hat hide landmarks that were seen, a hat darkens what is below it, and no prop moves a landmark. */
static void test_props(const synth_puppet *p, synth_options o) {
  int fewer = 0, larger = 0;
  o.size = 64;
  for (int number = 0; number < 24; number++) {
    synth_frame bare, dressed;
    o.body = o.hat = o.hand = 0;
    int status = synth_render(p, &o, number, &bare, message);
    o.body = o.hat = o.hand = 1;
    if (!CHECK(status == 0 && synth_render(p, &o, number, &dressed, message) == 0, "%s", message)) return;
    CHECK(!memcmp(bare.points, dressed.points, p->point_count * 2 * sizeof(double)), "frame %d: same pose, same landmarks",
          number);
    larger += dressed.mesh.vertex_count > bare.mesh.vertex_count;
    for (size_t i = 0; i < p->point_count; i++) {
      CHECK(bare.visible[i] || !dressed.visible[i], "frame %d landmark %zu: hidden before, seen behind props", number, i);
      fewer += bare.visible[i] && !dressed.visible[i];
    }
    int outside = 0;
    for (size_t t = 0; t < 3 * dressed.mesh.triangle_count; t++)
      outside += dressed.mesh.triangles[t] >= dressed.mesh.vertex_count;
    CHECK(!outside, "frame %d: %d corners of triangles without a vertex", number, outside);
    synth_frame_free(&bare);
    synth_frame_free(&dressed);
  }
  CHECK(fewer > 10 && larger > 12, "%d landmarks hidden by props in %d frames", fewer, larger);
}

static void test_files(void) {
  static char out[128], from[128], character_path[128];
  snprintf(out, sizeof out, "-o=%s", in_folder("CG"));
  snprintf(from, sizeof from, "%s", in_folder("puppet"));
  snprintf(character_path, sizeof character_path, "--character=trainer/templates/puppet27.json");
  char *arguments[] = {
      (char *)"synth", from,           out + 0,     character_path,    (char *)"--frames", (char *)"9", (char *)"--size",
      (char *)"80",    (char *)"--up", (char *)"y", (char *)"--front", (char *)"z",        NULL};
  (void)out;
  char dir[128];
  snprintf(dir, sizeof dir, "%s", in_folder("CG"));
  arguments[2] = (char *)"-o";
  char *with_dir[] = {arguments[0], arguments[1], arguments[2], dir,          arguments[3],  arguments[4],  arguments[5],
                      arguments[6], arguments[7], arguments[8], arguments[9], arguments[10], arguments[11], NULL};
  CHECK(synth_main(13, with_dir) == 0);
  character ch;
  dataset ds;
  if (!CHECK(character_load(in_folder("CG/character.json"), &ch, message) == 0, "%s", message)) return;
  if (!CHECK(dataset_load(in_folder("CG"), &ch, &ds, message) == 0, "%s", message)) return;
  CHECK(ds.frame_count == 9 && ds.dropped_count == 0 && !strcmp(ds.shots[0], "CG"));
  int hidden = 0, shown = 0;
  for (size_t i = 0; i < ds.frame_count; i++) {
    frame *f = &ds.frames[i];
    image_file image;
    CHECK(f->shape_count == 7, "frame %zu has %u shapes", i, f->shape_count);
    for (unsigned k = 0; k < ch.landmark_count; k++) hidden += f->hidden[k], shown += f->valid[k];
    CHECK(f->shapes[0].segments[0].x[0] == f->points[10], "landmark 5 is the first vertex of the left eye");
    if (!CHECK(image_read(f->image_path, &image, message) == 0, "%s", message)) continue;
    const uint8_t *middle = (const uint8_t *)image.pixels + 4 * (40 * 80 + 40);
    CHECK(image.width == 80 && image.height == 80 && image.channels == 4 && image.bits == 8);
    CHECK(middle[3] == 255, "the face covers the middle");
    image_free(&image);
  }
  CHECK(shown > 200 && shown + hidden == 9 * 27, "%d landmarks seen, %d hidden", shown, hidden);
  dataset_free(&ds);
  /* the layout of the public data set: [0, 0] for what is hidden */
  for (int i = 0; i < 9; i++) {
    char name[64];
    snprintf(name, sizeof name, "CG/revec_shapes-CG-frame%03d.json", i);
    unlink(in_folder(name));
  }
  CHECK(dataset_load(in_folder("CG"), &ch, &ds, message) == 0, "%s", message);
  int known = 0;
  for (size_t i = 0; i < ds.frame_count; i++) {
    for (unsigned k = 0; k < ch.landmark_count; k++) known += ds.frames[i].valid[k];
  }
  CHECK(known == shown, "%d landmarks known in points- files, %d visible in revec_shapes-", known, shown);
  dataset_free(&ds);
  character_free(&ch);
}

static void test_bad_landmarks(void) {
  static const struct {
    const char *text, *expected;
  } bad[] = {
      {"{}", "points: expected a list of indices"},
      {"{\"points\": [0, 1, 7]}", "points: entry 2: expected a whole number from 0 to 6, found 7"},
      {"{\"points\": [0, 1.5]}", "points: entry 1: expected a whole number"},
      {"{\"points\": [0]}", "expected 2 to 256 points, found 1"},
      {"{\"points\": [0, 0]}", "all points are in one place"},
      {"{\"points\": [0, 1], \"contours\": {\"eye\": [0, 9]}}", "contours.eye: entry 1"},
      {"{\"points\": [0, 1], \"contours\": {\"eye\": [0, 1, 2, 3]}}", "canonical_positions_in_contour.eye: expected a list"},
      {"{\"points\": [0, 1], \"contours\": {\"eye\": [0, 1, 2, 3]}, \"canonical_positions_in_contour\": {\"eye\": [0, 2]}}",
       "canonical_positions_in_contour.eye: expected 0 and up to"},
      {"{\"points\": [0, 1], \"eye_centres\": {\"eye\": [0, 0, 0]}, \"eye_vertex_ranges\": {\"eye\": [0, 9]}}", "eye 'eye': "},
      {"{\"points\": [0, 1]", "landmarks.json"},
  };
  char path[128], other[128], *paths[2] = {path, other};
  synth_puppet p;
  snprintf(path, sizeof path, "%s", in_folder("square.obj"));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    write_text("landmarks.json", bad[i].text);
    message[0] = 0;
    CHECK(synth_load(paths, 1, in_folder("landmarks.json"), "z", "-y", &p, message) != 0 && strstr(message, bad[i].expected),
          "file %zu: expected '%s', found '%s'", i, bad[i].expected, message);
  }
  write_text("landmarks.json", "{\"points\": [0, 1, 2]}");
  CHECK(synth_load(paths, 1, in_folder("landmarks.json"), "z", "-z", &p, message) != 0 &&
        strstr(message, "expected two of x, y, z"));
  CHECK(synth_load(paths, 1, in_folder("landmarks.json"), "w", "-z", &p, message) != 0);
  write_text("two.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n");
  snprintf(other, sizeof other, "%s", in_folder("two.obj"));
  CHECK(synth_load(paths, 2, in_folder("landmarks.json"), "z", "-y", &p, message) != 0 && strstr(message, "expected 7 v lines"),
        "expressions with different numbers of vertices: '%s'", message);
  /* a face turned away from every camera that is allowed */
  synth_options o;
  synth_frame f;
  synth_defaults(&o);
  o.size = 32, o.yaw = o.pitch = o.roll = 5;
  write_puppet();
  char a[128], *puppet_path[1] = {a};
  snprintf(a, sizeof a, "%s", in_folder("puppet/a-neutral.obj"));
  CHECK(synth_load(puppet_path, 1, in_folder("puppet/landmarks.json"), "y", "-z", &p, message) == 0, "%s", message);
  CHECK(synth_render(&p, &o, 0, &f, message) != 0 && strstr(message, "are --up and --front right?"), "'%s'", message);
  synth_free(&p);
}

static void test_backgrounds(void) {
  backgrounds b;
  char dir[128];
  snprintf(dir, sizeof dir, "%s", in_folder("plates"));
  CHECK(backgrounds_load(dir, &b, message) != 0 && strstr(message, "plates: cannot open"), "'%s'", message);
  mkdir(dir, 0777);
  CHECK(backgrounds_load(dir, &b, message) != 0 && strstr(message, "none among its 0 files"), "'%s'", message);
  write_text("plates/notes.txt", "no picture");
  CHECK(backgrounds_load(dir, &b, message) != 0 && strstr(message, "none among its 1 files"), "'%s'", message);
  static uint8_t ramp[1600 * 8 * 3];
  for (int i = 0; i < 1600 * 8; i++) ramp[3 * i] = (uint8_t)(i % 1600 / 7), ramp[3 * i + 1] = 100, ramp[3 * i + 2] = 7;
  image_write_png(in_folder("plates/ramp.png"), ramp, 1600, 8, 3, message);
  CHECK(backgrounds_load(dir, &b, message) == 0 && b.count == 1, "'%s'", message);
  CHECK(b.pictures[0].width[0] == 400 && b.pictures[0].height[0] == 2, "halved until it fits");
  rng r = {5};
  swatch s;
  for (int i = 0; i < 50; i++) {
    float c[3];
    swatch_choose(&b, 0, 64, 64, &r, &s);
    swatch_at(&s, rng_range(&r, -300, 300), rng_range(&r, -300, 300), c);
    CHECK(c[0] >= 0 && c[0] <= 0.9f && fabsf(c[1] - 100 / 255.0f) < 0.01f && fabsf(c[2] - 7 / 255.0f) < 0.01f,
          "a swatch has its picture's colours wherever it is asked: %.3f %.3f %.3f", (double)c[0], (double)c[1], (double)c[2]);
  }
  backgrounds_free(&b);
  unlink(in_folder("plates/ramp.png"));
  image_write_png(in_folder("plates/half.png"), ramp, 1600, 8, 3, message);
  truncate(in_folder("plates/half.png"), 120);
  CHECK(backgrounds_load(dir, &b, message) != 0 && strstr(message, "half.png"), "a damaged picture is named: '%s'", message);
}

/* The rendered film's own puppet. */
static void test_film(const char *data, synth_options o) {
  synth_puppet p;
  char neutral[300], blink[300], wide[300], landmarks[300], plates[300], *paths[3] = {neutral, blink, wide};
  backgrounds b;
  snprintf(neutral, sizeof neutral, "%s/puppet/puppet-neutral.obj", data);
  snprintf(blink, sizeof blink, "%s/puppet/puppet-blink.obj", data);
  snprintf(wide, sizeof wide, "%s/puppet/puppet-wide.obj", data);
  snprintf(landmarks, sizeof landmarks, "%s/puppet/landmarks.json", data);
  snprintf(plates, sizeof plates, "%s/backgrounds", data);
  CHECK(backgrounds_load(plates, &b, message) == 0, "%s", message);
  if (CHECK(synth_load(paths, 3, landmarks, "z", "-y", &p, message) == 0, "%s", message)) {
    o.backdrops = &b, o.mix = 1, o.hat = o.hand = 0.5;
    check_frames(&p, &o, 0, 12,
                 2); /* a seam begins with a hook at the eye's corner, a pixel or two long, which no artist draws */
    o.yaw = o.pitch = o.roll = 3, o.hand = 0; /* from the front, lids that close move over the eyes and never into them */
    for (int number = 0; number < 12; number++) {
      synth_frame f;
      if (!CHECK(synth_render(&p, &o, number, &f, message) == 0, "%s", message)) break;
      for (size_t i = 5; i < 17; i++) CHECK(f.visible[i], "frame %d: lid landmark %zu is seen from the front", number, i);
      synth_frame_free(&f);
    }
    synth_free(&p);
  }
  backgrounds_free(&b);
}

int main(int argc, char **argv) {
  snprintf(folder, sizeof folder, "/tmp/test_synth.XXXXXX");
  if (!mkdtemp(folder)) return 1;
  test_obj();
  test_bad_objs();
  test_bad_landmarks();
  test_backgrounds();
  synth_puppet p;
  synth_options o;
  synth_defaults(&o);
  o.size = 400, o.yaw = 60, o.visible = 0.3, o.hat = o.hand = 0.4;
  if (CHECK(load_puppet(&p) == 0, "%s", message)) {
    CHECK(p.mixes && p.point_count == 27 && p.outline_count == 7 && p.outlines[0].closed && !p.outlines[5].closed);
    CHECK(p.outlines[0].corners == (1u << 0 | 1u << 3), "an eye has corners at its ends: %x", p.outlines[0].corners);
    check_frames(&p, &o, 0, 6, 0.6);
    test_determinism(&p, &o);
    test_poses(&p, o);
    test_props(&p, o);
    synth_free(&p);
  }
  test_files();
  for (int i = 1; i < argc; i++) {
    static const char *const beside[2] = {"", "/film"};
    for (int k = 0; k < 2; k++) {
      char data[256], landmarks[300];
      snprintf(data, sizeof data, "%s%s", argv[i], beside[k]);
      snprintf(landmarks, sizeof landmarks, "%s/puppet/landmarks.json", data);
      if (access(landmarks, R_OK) == 0) test_film(data, o);
    }
  }
  char command[128];
  snprintf(command, sizeof command, "rm -rf %s", folder);
  if (system(command)) printf("%s stays\n", folder);
  return check_end("test_synth");
}
