/* The procedural puppet and its renderer against independent geometry: projection, ray casting, areas, and the files that
 * other programs read.
 *
 * Ray casting here goes triangle by triangle through the posed mesh in world space, with nothing of the renderer's; areas are
 * compared with the shoelace formula; files are read back by the trainer's own data set. */

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tools/json_file.h"
#include "../trainer/character.h"
#include "../trainer/dataset.h"
#include "../tools/document.h"
#include "../trainer/demo_shots.h"
#include "check.h"

typedef struct posed {
  raster_mesh mesh;
  raster_camera camera;
  float *vertices;
} posed;

static puppet *actor;

static posed pose_puppet(puppet_expression expression, float yaw, float pitch, float roll) {
  posed p;
  memset(&p, 0, sizeof p);
  p.mesh = *puppet_mesh(actor);
  p.vertices = malloc(6 * p.mesh.vertex_count * sizeof(float));
  puppet_pose pose;
  memset(&pose, 0, sizeof pose);
  pose.face = puppet_expression_face(expression);
  pose.yaw = yaw, pose.pitch = pitch, pose.roll = roll, pose.position[0] = 0.07f;
  puppet_evaluate(actor, &pose, p.vertices, p.vertices + 3 * p.mesh.vertex_count);
  p.mesh.positions = p.vertices, p.mesh.normals = p.vertices + 3 * p.mesh.vertex_count;
  const float position[3] = {0.2f, 0.3f, 2.6f}, target[3] = {0.05f, 0.02f, 0}, up[3] = {0, 1, 0};
  raster_look_at(&p.camera, position, target, up, 0.06f);
  p.camera.focal = 480, p.camera.centre[0] = 200, p.camera.centre[1] = 190, p.camera.near = 0.1f;
  return p;
}

/* A camera that looks along -z from z = `distance`, for scenes whose pixels can be worked out by hand. */
static raster_camera front_camera(float distance, float focal, float size) {
  raster_camera c;
  const float position[3] = {0, 0, distance}, target[3] = {0, 0, 0}, up[3] = {0, 1, 0};
  memset(&c, 0, sizeof c);
  raster_look_at(&c, position, target, up, 0);
  c.focal = focal, c.centre[0] = c.centre[1] = size / 2, c.near = 0.01f;
  return c;
}

/* Projection from the look-at definition alone: no axes stored, roll applied to the picture. */
static void test_projection(void) {
  posed p = pose_puppet(PUPPET_SMILE, 0.4f, -0.15f, 0.1f);
  puppet_annotation a;
  const puppet_layout *layout = puppet_layout_of(actor);
  puppet_annotate(&p.mesh, layout, &p.camera, &a);
  const double eye[3] = {0.2, 0.3, 2.6}, target[3] = {0.05, 0.02, 0};
  double forward[3], length = 0, level;
  for (int i = 0; i < 3; i++) forward[i] = target[i] - eye[i], length += forward[i] * forward[i];
  for (int i = 0; i < 3; i++) forward[i] /= sqrt(length);
  level = sqrt(forward[0] * forward[0] + forward[2] * forward[2]);
  for (int i = 0; i < PUPPET_POINTS; i++) {
    const float *v = p.mesh.positions + 3 * (size_t)layout->points[i];
    double d[3];
    for (int k = 0; k < 3; k++) d[k] = (double)v[k] - eye[k];
    double depth = d[0] * forward[0] + d[1] * forward[1] + d[2] * forward[2];
    double x = (d[2] * forward[0] - d[0] * forward[2]) / level / depth; /* to the right */
    double y = (depth * forward[1] - d[1]) / level / depth;             /* down: what the level axes leave of d */
    double u = 200 + 480 * (cos(0.06) * x + sin(0.06) * y), w = 190 + 480 * (cos(0.06) * y - sin(0.06) * x);
    CHECK(fabs(a.points[i][0] - u) < 1e-3 && fabs(a.points[i][1] - w) < 1e-3,
          "landmark %d: expected %.4f %.4f, found %.4f %.4f", i, u, w, a.points[i][0], a.points[i][1]);
  }
  free(p.vertices);
}

/* Distance along the ray from `from` to `to`, as a share, where the first triangle is met; 2 if none. */
static double first_hit(const raster_mesh *mesh, const float *from, const float *to) {
  double nearest = 2, d[3];
  for (int i = 0; i < 3; i++) d[i] = (double)to[i] - (double)from[i];
  for (size_t t = 0; t < mesh->triangle_count; t++) {
    const float *v[3];
    double e[2][3], s[3];
    for (int k = 0; k < 3; k++) v[k] = mesh->positions + 3 * (size_t)mesh->triangles[3 * t + (size_t)k];
    for (int i = 0; i < 3; i++) {
      e[0][i] = (double)v[1][i] - (double)v[0][i], e[1][i] = (double)v[2][i] - (double)v[0][i];
      s[i] = (double)from[i] - (double)v[0][i];
    }
    /* from + share * d = v0 + b * e0 + c * e1, by Cramer's rule */
    double n[3] = {e[0][1] * e[1][2] - e[0][2] * e[1][1], e[0][2] * e[1][0] - e[0][0] * e[1][2],
                   e[0][0] * e[1][1] - e[0][1] * e[1][0]};
    double det = -(d[0] * n[0] + d[1] * n[1] + d[2] * n[2]);
    if (det == 0) continue;
    double share = (s[0] * n[0] + s[1] * n[1] + s[2] * n[2]) / det;
    double q[3] = {s[1] * d[2] - s[2] * d[1], s[2] * d[0] - s[0] * d[2], s[0] * d[1] - s[1] * d[0]};
    double b = (q[0] * e[1][0] + q[1] * e[1][1] + q[2] * e[1][2]) / det;
    double c = -(q[0] * e[0][0] + q[1] * e[0][1] + q[2] * e[0][2]) / det;
    if (b >= 0 && c >= 0 && b + c <= 1 && share > 0 && share < nearest) nearest = share;
  }
  return nearest;
}

static void test_visibility(void) {
  static const float yaws[5] = {0, 0.45f, -0.6f, 1.2f, 3.1f};
  int hidden = 0, seen = 0;
  for (int i = 0; i < 5; i++) {
    posed p = pose_puppet((puppet_expression)i, yaws[i], 0.05f * (float)i, 0);
    const puppet_layout *layout = puppet_layout_of(actor);
    puppet_annotation a;
    puppet_annotate(&p.mesh, layout, &p.camera, &a);
    for (int k = 0; k < PUPPET_POINTS; k++) {
      const float *v = p.mesh.positions + 3 * (size_t)layout->points[k];
      double pixel[2], depth = raster_project(&p.camera, v, pixel);
      double hit = first_hit(&p.mesh, p.camera.position, v), margin = 1 - 0.016 / depth;
      if (fabs(hit - margin) < 1e-6) continue;
      CHECK(a.visible[k] == (hit >= margin), "pose %d landmark %d: visible %d, but the ray ends at %.4f of %.4f", i, k,
            a.visible[k], hit, margin);
      seen += a.visible[k], hidden += !a.visible[k];
    }
    if (i == 0) {
      int all = 1;
      for (int k = 0; k < PUPPET_POINTS; k++) all = all && a.visible[k];
      CHECK(all, "a neutral face that looks at the camera hides no landmark");
    }
    free(p.vertices);
  }
  CHECK(seen > 40 && hidden > 27, "%d landmarks seen, %d hidden", seen, hidden);
}

/* A material that shows attribute 0 as colour, unlit. */
static void show_attribute(const void *context, const raster_hit *hit, raster_surface *surface) {
  (void)context;
  memset(surface->albedo, 0, sizeof surface->albedo);
  surface->specular = 0;
  for (int i = 0; i < 3; i++) surface->emission[i] = hit->attributes[0];
}

static void render_plain(const raster_mesh *mesh, const raster_camera *camera, int size, float *rgba) {
  raster_scene scene;
  memset(&scene, 0, sizeof scene);
  scene.mesh = *mesh, scene.camera = *camera, scene.up[1] = 1, scene.material = show_attribute;
  raster *r = raster_create(size, size);
  CHECK(r != NULL && raster_render(r, &scene, rgba));
  raster_free(r);
}

static void test_coverage(void) {
  enum { SIZE = 200 };
  static float rgba[4 * SIZE * SIZE];
  /* 100 pixels are 1 unit: distance 1, focal 100.  No edge has a simple slope: along one, every pixel's samples would miss by
   * the same share, and 8 samples cannot average that out. */
  const float positions[12] = {-0.83f, -0.71f, 0, 0.77f, -0.49f, 0, 0.37f, 0.87f, 0, -0.9f, 0.57f, 0};
  const float normals[12] = {0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1}, ones[4] = {1, 1, 1, 1};
  const uint32_t triangles[6] = {0, 1, 2, 0, 2, 3};
  const uint16_t materials[2] = {0, 1};
  raster_mesh mesh = {positions, normals, ones, triangles, materials, 4, 1, 1};
  raster_camera camera = front_camera(1, 100, SIZE);
  for (int count = 1; count <= 2; count++) {
    double area = 0, covered = 0, coloured = 0;
    int n = count + 2, over = 0;
    for (int i = 0; i < n; i++) {
      const float *a = positions + 3 * i, *b = positions + 3 * ((i + 1) % n);
      area += 5000 * ((double)a[0] * (double)b[1] - (double)a[1] * (double)b[0]);
    }
    mesh.triangle_count = (size_t)count;
    render_plain(&mesh, &camera, SIZE, rgba);
    for (int i = 0; i < SIZE * SIZE; i++) {
      covered += (double)rgba[4 * i + 3], coloured += (double)rgba[4 * i];
      over += rgba[4 * i + 3] > 1 || rgba[4 * i + 3] < 0;
    }
    CHECK(fabs(covered - area) < 4, "%d triangles: expected %.1f pixels, found %.1f", count, area, covered);
    CHECK(fabs(coloured - covered) < 0.01, "colour is premultiplied by coverage: %.3f against %.3f", coloured, covered);
    CHECK(over == 0, "%d pixels are covered more than once", over);
  }
  /* the diagonal that the two triangles share leaves no crack */
  int cracks = 0;
  for (int i = 0; i <= 100; i++) {
    double t = 0.05 + 0.009 * i, x = 100 + 100 * (-0.83 + t * 1.20), y = 100 - 100 * (-0.71 + t * 1.58);
    float alpha = rgba[4 * ((size_t)y * SIZE + (size_t)x) + 3];
    cracks += alpha < 1;
  }
  CHECK(cracks == 0, "%d of 101 pixels on the shared edge are not fully covered", cracks);
}

static void test_depth_and_perspective(void) {
  enum { SIZE = 100 };
  static float rgba[4 * SIZE * SIZE];
  /* a near square in front of a far one, then the other way round in the list; values 1 near, 0.25 far */
  const float near_far[24] = {-0.4f, -0.4f, 1, 0.4f, -0.4f, 1, 0.4f, 0.4f, 1, -0.4f, 0.4f, 1,
                              -2,    -2,    0, 2,    -2,    0, 2,    2,    0, -2,    2,    0};
  float normals[24], values[8] = {1, 1, 1, 1, 0.25f, 0.25f, 0.25f, 0.25f};
  for (int i = 0; i < 24; i++) normals[i] = i % 3 == 2 ? 1.0f : 0.0f;
  const uint32_t orders[2][12] = {{0, 1, 2, 0, 2, 3, 4, 5, 6, 4, 6, 7}, {4, 5, 6, 4, 6, 7, 0, 1, 2, 0, 2, 3}};
  const uint16_t materials[4] = {0, 0, 0, 0};
  raster_camera camera = front_camera(2, 50, SIZE);
  for (int order = 0; order < 2; order++) {
    raster_mesh mesh = {near_far, normals, values, orders[order], materials, 8, 4, 1};
    render_plain(&mesh, &camera, SIZE, rgba);
    CHECK(fabs((double)rgba[4 * (50 * SIZE + 50)] - 1) < 1e-5, "the near square hides the far one, order %d", order);
    CHECK(fabs((double)rgba[4 * (10 * SIZE + 10)] - 0.25) < 1e-5, "the far square is seen beside it, order %d", order);
    CHECK(fabs((double)rgba[4 * (50 * SIZE + 70) + 3] - 1) < 1e-5);
  }
  /* a floor that runs away: the attribute is the depth, so pixel rows must show depth = height * focal / row */
  const float floor_positions[12] = {-30, -1, 1.5f, 30, -1, 1.5f, 30, -1, -40, -30, -1, -40};
  float depths[4], up[12];
  for (int i = 0; i < 4; i++) depths[i] = 2 - floor_positions[3 * i + 2], up[3 * i] = up[3 * i + 2] = 0, up[3 * i + 1] = 1;
  const uint32_t floor_triangles[6] = {0, 1, 2, 0, 2, 3};
  raster_mesh mesh = {floor_positions, up, depths, floor_triangles, materials, 4, 2, 1};
  render_plain(&mesh, &camera, SIZE, rgba);
  double worst = 0;
  for (int y = 54; y < 98; y++) {
    /* shading happens at one of the samples, at most half a pixel from the middle */
    double low = 50 / (y + 1 - 50.0), high = 50 / (y - 50.0), found = (double)rgba[4 * (y * SIZE + 37)];
    double middle = 50 / (y + 0.5 - 50.0), miss = fabs(found - middle) / (high - low);
    CHECK(found >= low * 0.999 && found <= high * 1.001, "row %d: depth %.4f, expected %.4f to %.4f", y, found, low, high);
    if (miss > worst) worst = miss;
  }
  CHECK(worst < 0.2, "shading strays %.2f of a pixel from its middle", worst);
}

/* The far side of a face's outlines is behind it: fits are asked for where a landmark of the shape is seen. */
static void test_fits(void) {
  static const float yaws[4] = {-0.6f, -0.2f, 0.3f, 0.65f};
  double worst_error = 0, worst_bend = 0;
  for (int expression = 0; expression < PUPPET_EXPRESSIONS; expression++) {
    for (int i = 0; i < 4; i++) {
      posed p = pose_puppet((puppet_expression)expression, yaws[i], 0.2f * yaws[(i + 1) % 4], 0.05f);
      const puppet_layout *layout = puppet_layout_of(actor);
      puppet_annotation a;
      puppet_annotate(&p.mesh, layout, &p.camera, &a);
      for (int s = 0; s < PUPPET_SHAPES; s++) {
        const mesh_outline *shape = layout->shapes + s;
        double error = outline_error(&p.mesh, shape, &p.camera, a.curves[s]);
        CHECK(error < 0.3, "expression %d yaw %.1f %s: the curve is %.3f pixels off", expression, (double)yaws[i], shape->name,
              error);
        if (error > worst_error) worst_error = error;
        for (int k = 0; k < shape->segment_count; k++) {
          int next = (k + 1) % shape->segment_count;
          if (!shape->closed && next == 0) continue;
          const double(*c)[2] = a.curves[s][k], (*d)[2] = a.curves[s][next];
          CHECK(c[3][0] == d[0][0] && c[3][1] == d[0][1], "%s: segment %d ends where %d starts", shape->name, k, next);
          if (shape->corners >> next & 1) continue;
          double x = c[3][0] - c[2][0], y = c[3][1] - c[2][1], u = d[1][0] - d[0][0], v = d[1][1] - d[0][1];
          double bend = fabs(x * v - y * u) / (sqrt((x * x + y * y) * (u * u + v * v)) + 1e-12);
          if (bend > worst_bend) worst_bend = bend;
        }
      }
      /* landmarks are the vertices of the shapes */
      CHECK(a.points[5][0] == a.curves[0][0][0][0] && a.points[8][1] == a.curves[0][3][0][1]);
      CHECK(a.points[11][0] == a.curves[1][0][0][0] && a.points[14][1] == a.curves[1][3][0][1]);
      CHECK(a.points[17][0] == a.curves[2][0][0][0] && a.points[19][0] == a.curves[2][5][0][0]);
      CHECK(a.points[23][0] == a.curves[3][4][0][0] && a.points[26][0] == a.curves[3][7][0][0]);
      CHECK(a.points[0][0] == a.curves[4][0][0][0] && a.points[2][0] == a.curves[5][1][0][0]);
      CHECK(a.points[3][0] == a.curves[6][1][0][0] && a.points[4][0] == a.curves[6][1][3][0]);
      free(p.vertices);
    }
  }
  CHECK(worst_bend < 1e-6, "tangents at smooth vertices are in line: sine %.2g", worst_bend);
  printf("largest fit error %.3f pixels\n", worst_error);
}

typedef struct one_material {
  uint16_t number;
} one_material;

static void show_material(const void *context, const raster_hit *hit, raster_surface *surface) {
  memset(surface->albedo, 0, sizeof surface->albedo);
  surface->specular = 0;
  for (int i = 0; i < 3; i++) surface->emission[i] = hit->material == ((const one_material *)context)->number ? 1.0f : 0.0f;
}

/* The pictures of brows and eyeballs fill the annotated curves. */
static void test_picture_fills_curves(void) {
  enum { SIZE = 400 };
  static float rgba[4 * SIZE * SIZE];
  posed p = pose_puppet(PUPPET_SURPRISED, 0.1f, 0, 0);
  const puppet_layout *layout = puppet_layout_of(actor);
  puppet_annotation a;
  puppet_annotate(&p.mesh, layout, &p.camera, &a);
  for (int pair = 0; pair < 2; pair++) {
    one_material shown = {0};
    double inside = 0, curves = 0;
    for (size_t t = 0; pair && t < p.mesh.triangle_count; t++) {
      for (int k = 0; k < 3; k++) {
        if (p.mesh.triangles[3 * t + (size_t)k] == layout->points[20]) shown.number = p.mesh.materials[t];
      }
    }
    if (!pair) shown.number = 1;
    raster_scene scene;
    memset(&scene, 0, sizeof scene);
    scene.mesh = p.mesh, scene.camera = p.camera, scene.up[1] = 1;
    scene.material = show_material, scene.material_context = &shown;
    raster *r = raster_create(SIZE, SIZE);
    CHECK(r != NULL && raster_render(r, &scene, rgba));
    raster_free(r);
    for (int i = 0; i < SIZE * SIZE; i++) inside += (double)rgba[4 * i];
    for (int s = 2 * pair; s < 2 * pair + 2; s++) {
      double area = 0, before[2] = {a.curves[s][0][0][0], a.curves[s][0][0][1]};
      for (int k = 0; k < layout->shapes[s].segment_count; k++) {
        for (int i = 1; i <= 50; i++) {
          double t = i / 50.0, m = 1 - t, now[2];
          const double(*c)[2] = a.curves[s][k];
          for (int d = 0; d < 2; d++) {
            now[d] = m * m * m * c[0][d] + 3 * m * m * t * c[1][d] + 3 * m * t * t * c[2][d] + t * t * t * c[3][d];
          }
          area += 0.5 * (before[0] * now[1] - before[1] * now[0]);
          memcpy(before, now, sizeof now);
        }
      }
      curves += fabs(area);
    }
    CHECK(fabs(inside - curves) < 0.06 * curves, "%s: %.0f pixels in the picture, %.0f inside the curves",
          pair ? "brows" : "eyeballs", inside, curves);
  }
  free(p.vertices);
}

/* Files */

typedef struct half {
  void (*task)(void *, size_t);
  void *context;
  size_t from, count;
} half;

static void *run_half(void *context) {
  half *h = (half *)context;
  for (size_t i = h->from; i < h->count; i += 2) h->task(h->context, i);
  return NULL;
}

static void two_threads(void *context, size_t count, void (*task)(void *, size_t), void *task_context) {
  (void)context;
  half odd = {task, task_context, 1, count}, even = {task, task_context, 0, count};
  pthread_t thread;
  if (pthread_create(&thread, NULL, run_half, &odd) != 0) abort();
  run_half(&even);
  pthread_join(thread, NULL);
}

static const char *const shot_files[4] = {"crop.json", "character.json", "image-a-frame%03d.png",
                                          "revec_shapes-a-frame%03d.json"};

static void check_same_files(const char *one, const char *two, int frames) {
  char path[2][1200], name[64];
  for (int f = 0; f < 4; f++) {
    for (int i = 0; i < (f < 2 ? 1 : frames); i++) {
      unsigned char *data[2] = {NULL, NULL};
      size_t size[2] = {0, 0};
      if (f < 2) {
        snprintf(name, sizeof name, "%s", shot_files[f]);
      } else {
        snprintf(name, sizeof name, f == 2 ? "image-a-frame%03d.png" : "revec_shapes-a-frame%03d.json", i);
      }
      snprintf(path[0], sizeof path[0], "%s/%s", one, name);
      snprintf(path[1], sizeof path[1], "%s/%s", two, name);
      int read = file_read(path[0], 1 << 24, &data[0], &size[0], NULL) == 0 &&
                 file_read(path[1], 1 << 24, &data[1], &size[1], NULL) == 0;
      CHECK(read && size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0, "%s and %s differ", path[0], path[1]);
      free(data[0]);
      free(data[1]);
    }
  }
}

static void remove_shot(const char *dir, int frames) {
  char path[4096];
  for (int i = 0; i < frames; i++) {
    snprintf(path, sizeof path, "%s/image-a-frame%03d.png", dir, i);
    unlink(path);
    snprintf(path, sizeof path, "%s/revec_shapes-a-frame%03d.json", dir, i);
    unlink(path);
  }
  for (int f = 0; f < 2; f++) {
    snprintf(path, sizeof path, "%s/%s", dir, shot_files[f]);
    unlink(path);
  }
  rmdir(dir);
}

static void check_annotation_file(const char *dir, const puppet_layout *layout, const puppet_annotation *a, int number) {
  char path[1200], message[MESSAGE_SIZE] = "";
  snprintf(path, sizeof path, "%s/revec_shapes-a-frame%03d.json", dir, number);
  cJSON *json = json_read(path, message);
  if (!CHECK(json != NULL, "%s", message)) return;
  double worst = 0;
  for (int s = 0; s < PUPPET_SHAPES; s++) {
    const cJSON *shape = cJSON_GetObjectItem(json, layout->shapes[s].name);
    CHECK(cJSON_GetArraySize(shape) == layout->shapes[s].segment_count, "%s: %s", path, layout->shapes[s].name);
    for (int i = 0; i < layout->shapes[s].segment_count; i++) {
      for (int k = 0; k < 2; k++) {
        const cJSON *row = cJSON_GetArrayItem(cJSON_GetArrayItem(shape, i), k);
        double v[4] = {NAN, NAN, NAN, NAN};
        for (int j = 0; j < 4; j++) json_number(cJSON_GetArrayItem(row, j), &v[j]);
        double control[4] = {v[0], v[0] + v[1], v[2] + v[3], v[2]};
        for (int j = 0; j < 4; j++) {
          double miss = fabs(control[j] - a->curves[s][i][j][k]);
          if (!(miss <= worst)) worst = miss;
        }
      }
    }
  }
  for (int i = 0; i < PUPPET_POINTS; i++) {
    const cJSON *point = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "points"), i);
    double x = NAN, y = NAN, seen = -1;
    json_number(cJSON_GetArrayItem(point, 0), &x);
    json_number(cJSON_GetArrayItem(point, 1), &y);
    json_number(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "visible"), i), &seen);
    double miss = hypot(x - a->points[i][0], y - a->points[i][1]);
    if (!(miss <= worst)) worst = miss;
    CHECK(seen == (double)a->visible[i], "%s: visible %d", path, i);
  }
  CHECK(worst < 2e-4, "%s: what is read differs from what was rendered by %g pixels", path, worst);
  cJSON_Delete(json);
}

static void test_shots(void) {
  enum { FRAMES = 5, WIDTH = 160, HEIGHT = 120 };
  const char *temporary = getenv("TMPDIR");
  char dirs[3][1000], message[MESSAGE_SIZE] = "";
  for (int i = 0; i < 3; i++) {
    snprintf(dirs[i], sizeof dirs[i], "%s/test_puppet.XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!CHECK(mkdtemp(dirs[i]) != NULL, "cannot make a folder in %s", dirs[i])) return;
  }
  demo_shot_options o;
  demo_shot_defaults(&o);
  o.name = "a", o.seed = 5, o.width = WIDTH, o.height = HEIGHT, o.frames = FRAMES;
  CHECK(demo_write_shot(&o, dirs[0], message) == 0, "%s", message);
  o.parallel = two_threads;
  CHECK(demo_write_shot(&o, dirs[1], message) == 0, "%s", message);
  check_same_files(dirs[0], dirs[1], FRAMES);

  demo_shot *shot = demo_shot_create(&o, message);
  unsigned char *rgb = malloc(WIDTH * HEIGHT * 3), *other = malloc(WIDTH * HEIGHT * 3);
  puppet_annotation a;
  double crop[4];
  for (int i = FRAMES - 1; i >= 0; i -= 2) {
    CHECK(demo_shot_render(shot, i, rgb, &a, crop) == 0);
    check_annotation_file(dirs[0], puppet_layout_of(actor), &a, i);
    for (int k = 0; k < PUPPET_POINTS; k++) {
      CHECK(a.points[k][0] > crop[0] && a.points[k][0] < crop[0] + crop[2] && a.points[k][1] > crop[1] &&
                a.points[k][1] < crop[1] + crop[3],
            "frame %d: landmark %d lies outside the crop", i, k);
    }
  }
  demo_shot_free(shot);

  o.seed = 6;
  CHECK(demo_write_shot(&o, dirs[2], message) == 0, "%s", message);
  shot = demo_shot_create(&o, message);
  CHECK(demo_shot_render(shot, 0, other, &a, crop) == 0);
  double difference = 0;
  for (int i = 0; i < WIDTH * HEIGHT * 3; i++) difference += abs(rgb[i] - other[i]);
  CHECK(difference / (WIDTH * HEIGHT * 3) > 10, "another seed is another picture: mean difference %.2f",
        difference / (WIDTH * HEIGHT * 3));
  demo_shot_free(shot);
  free(rgb);
  free(other);

  character read, shipped;
  char path[1200];
  snprintf(path, sizeof path, "%s/character.json", dirs[0]);
  if (CHECK(character_load(path, &read, message) == 0, "%s", message)) {
    dataset ds;
    CHECK(dataset_load(dirs[0], &read, &ds, message) == 0, "%s", message);
    CHECK(ds.frame_count == FRAMES && ds.issue_count == 0, "%zu frames, %zu issues", ds.frame_count, ds.issue_count);
    dataset_free(&ds);
    character_free(&read);
  }
  document truth;
  snprintf(path, sizeof path, "%s/truth.roto.json", dirs[2]);
  if (CHECK(document_read(path, &truth, message) == 0, "%s", message)) {
    CHECK(truth.frame_count == FRAMES && truth.point_count == PUPPET_POINTS && truth.shape_count == PUPPET_SHAPES);
    const document_frame *first = truth.frames; /* `a` is the annotation of frame 0 */
    for (int i = 0; i < PUPPET_POINTS; i++)
      CHECK(fabs(first->points[i].x - a.points[i][0]) < 0.001 && first->points[i].hidden == !a.visible[i], "point %d", i);
    for (int k = 0; k < PUPPET_SHAPES; k++) {
      const mesh_outline *outline = &puppet_layout_of(actor)->shapes[k];
      int closed;
      size_t s = 0;
      while (s < truth.shape_count && strcmp(document_shape_name(&truth, s, &closed), outline->name)) s++;
      if (!CHECK(s < truth.shape_count, "no %s in the document", outline->name)) continue;
      for (int i = 0; i < outline->segment_count; i++) {
        const roto_vertex *v = &first->shapes[s].vertices[i];
        CHECK(fabs(v->x - a.curves[k][i][0][0]) < 0.001 && fabs(v->y + v->out_y - a.curves[k][i][1][1]) < 0.002,
              "%s, vertex %d", outline->name, i);
      }
    }
    document_free(&truth);
  }
  snprintf(path, sizeof path, "%s/character.json", dirs[0]);
  unsigned char *text[2] = {NULL, NULL};
  size_t size[2] = {0, 0};
  CHECK(character_load("trainer/templates/puppet27.json", &shipped, message) == 0, "%s", message);
  character_free(&shipped);
  if (file_read(path, 1 << 20, &text[0], &size[0], message) == 0 &&
      file_read("trainer/templates/puppet27.json", 1 << 20, &text[1], &size[1], message) == 0) {
    CHECK(size[0] == size[1] && memcmp(text[0], text[1], size[0]) == 0,
          "the written template is not trainer/templates/puppet27.json");
  }
  free(text[0]);
  free(text[1]);

  o.frames = 0;
  CHECK(demo_shot_create(&o, message) == NULL && strstr(message, "frames") != NULL, "%s", message);
  o.frames = 1;
  CHECK(demo_write_shot(&o, "/dev/null/shot", message) != 0 && strstr(message, "/dev/null/shot") != NULL, "%s", message);
  for (int i = 0; i < 3; i++) remove_shot(dirs[i], FRAMES);
}

int main(void) {
  actor = puppet_create(0);
  if (!CHECK(actor != NULL)) return check_end("puppet");
  test_projection();
  test_visibility();
  test_coverage();
  test_depth_and_perspective();
  test_fits();
  test_picture_fills_curves();
  test_shots();
  puppet_free(actor);
  return check_end("puppet");
}
