/* The document in the page: what is where in each frame, and how an edit changes it.
 *
 * A point or shape of a frame is a value that is never changed, only replaced.  An edit is a list of replacements
 * {frame, kind, key, from, to}; undo puts every `from` back, redo every `to`.  So nothing that came with the document is lost, also
 * not what this page knows nothing about.
 *
 * No drawing and no browser here: these functions also run under node. */

"use strict";

/* ---- shapes: segments as in the document, vertices as one draws them */

const vertex_cache = new WeakMap();

function vertices_of(shape, closed) {
  let vertices = vertex_cache.get(shape);
  if (vertices) return vertices;
  const n = shape.segments.length, feather = shape.feather;
  vertices = [];
  for (let i = 0; i < n + (closed ? 0 : 1); ++i) {
    const next = shape.segments[i], before = shape.segments[closed ? (i + n - 1) % n : i - 1];
    vertices.push({
      x: next ? next[0][0] : before[0][2],
      y: next ? next[1][0] : before[1][2],
      ix: before ? before[0][3] : 0,
      iy: before ? before[1][3] : 0,
      ox: next ? next[0][1] : 0,
      oy: next ? next[1][1] : 0,
      feather: Array.isArray(feather) ? feather[i] : feather || 0,
    });
  }
  vertex_cache.set(shape, vertices);
  return vertices;
}

function segments_of(vertices, closed) {
  const n = vertices.length, segments = [];
  for (let i = 0; i < n - (closed ? 0 : 1); ++i) {
    const a = vertices[i], b = vertices[(i + 1) % n];
    segments.push([[a.x, a.ox, b.x, b.ix], [a.y, a.oy, b.y, b.iy]]);
  }
  return segments;
}

/* Moves a shape along with its landmarks: the similarity that best takes the old places to the new ones, and what that leaves of
 * each landmark's movement, spread along the curve between them.  anchors: [{vertex, from: {x, y}, to: {x, y}}] by vertex. */
function carry_shape(vertices, closed, anchors) {
  const n = anchors.length, mean = (k, c) => anchors.reduce((sum, a) => sum + a[k][c], 0) / n;
  const fx = mean("from", "x"), fy = mean("from", "y"), tx = mean("to", "x"), ty = mean("to", "y");
  let re = 0, im = 0, size = 0;
  for (const a of anchors) {
    const x = a.from.x - fx, y = a.from.y - fy, u = a.to.x - tx, v = a.to.y - ty;
    re += x * u + y * v, im += x * v - y * u, size += x * x + y * y;
  }
  if (size > 1e-6 && n > 1) re /= size, im /= size;
  else re = 1, im = 0;
  const turn = (x, y) => [re * x - im * y, im * x + re * y];
  const place = (p) => {
    const [x, y] = turn(p.x - fx, p.y - fy);
    return {x: x + tx, y: y + ty};
  };
  const rest = anchors.map((a) => {
    const p = place(a.from);
    return {vertex: a.vertex, x: a.to.x - p.x, y: a.to.y - p.y};
  });
  /* Arc position of each vertex, by chords. */
  const arc = [0], chord = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) + 1e-9;
  for (let i = 1; i < vertices.length; ++i) arc.push(arc[i - 1] + chord(vertices[i - 1], vertices[i]));
  const round = arc[arc.length - 1] + (closed ? chord(vertices[vertices.length - 1], vertices[0]) : 0);
  const rest_at = (i) => {
    let before = null, after = null;
    for (const r of rest) {
      if (r.vertex === i) return r;
      if (r.vertex < i) before = r;
      else if (!after) after = r;
    }
    let b = before && arc[before.vertex], a = after && arc[after.vertex];
    if (!before && closed) before = rest[n - 1], b = arc[before.vertex] - round;
    if (!after && closed) after = rest[0], a = arc[after.vertex] + round;
    if (!before || !after) return before || after;
    const t = (arc[i] - b) / (a - b);
    return {x: before.x + t * (after.x - before.x), y: before.y + t * (after.y - before.y)};
  };
  return vertices.map((v, i) => {
    const p = place(v), r = rest_at(i), [ix, iy] = turn(v.ix, v.iy), [ox, oy] = turn(v.ox, v.oy);
    return {...v, x: p.x + r.x, y: p.y + r.y, ix, iy, ox, oy};
  });
}

/* ---- the shot */

const REACH = 4;             /* frames over which a correction fades where the document holds no optical flow */
const LEAST_CHANGE = 0.02;   /* pixels: below, a neighbour is left as it is */
const EXPECTED_ERROR = 1;    /* pixels, of points that say nothing about it */
const VARYING = 0.6;         /* of an expected error, what changes from frame to frame (tools/dejitter.c) */

class Shot {
  constructor(doc, engine) {
    this.doc = doc;
    this.engine = engine;
    this.frames = doc.frames;
    this.landmarks = doc.template.landmarks;
    const index = new Map(this.landmarks.map((l, i) => [l.name, i]));
    this.shapes = (doc.template.shapes || []).map((s) => ({
      name: s.name,
      closed: s.closed !== false,
      vertices: (s.vertices || []).map((v) => (v === null ? -1 : typeof v === "number" ? v : index.has(v) ? index.get(v) : -1)),
    }));
    this.done = [];            /* edits, for undo */
    this.undone = [];
    this.originals = new Map(); /* "frame kind key" -> value as the document came */
    this.live = null;          /* replacements of the gesture under way */
    this.stats = new Array(this.frames.length);
    this.follow = true;
    this.on_change = () => {};
  }

  get count() { return this.frames.length; }
  point(f, i) { return this.frames[f].points[i]; }
  shape(f, name) { return (this.frames[f].shapes || {})[name]; }
  size(f) { return this.frames[f].size || [this.doc.plate.width, this.doc.plate.height]; }
  original(f, kind, key) {
    const id = `${f} ${kind} ${key}`;
    if (this.originals.has(id)) return this.originals.get(id);
    return kind === "point" ? this.point(f, key) : this.shape(f, key);
  }
  /* Where the point was before smoothing, or before it was touched here. */
  before(f, i) {
    const p = this.point(f, i), old = this.original(f, "point", i);
    return p.raw ? {x: p.raw[0], y: p.raw[1]} : old;
  }
  follows(f) { return f + 1 < this.count && this.frames[f + 1].frame - this.frames[f].frame === 1; }

  /* ---- changing */

  put(change, value) {
    const frame = this.frames[change.frame], id = `${change.frame} ${change.kind} ${change.key}`;
    if (change.kind === "point") {
      if (!this.originals.has(id)) this.originals.set(id, frame.points[change.key]);
      frame.points[change.key] = value;
    } else {
      if (!this.originals.has(id)) this.originals.set(id, (frame.shapes || {})[change.key]);
      if (!frame.shapes) frame.shapes = {};
      if (value === undefined) delete frame.shapes[change.key];
      else frame.shapes[change.key] = value;
    }
    for (let f = change.frame - 1; f <= change.frame + 1; ++f) this.stats[f] = undefined;
  }
  apply(changes) {
    for (const c of changes) this.put(c, c.to);
  }
  revert(changes) {
    for (let i = changes.length; i-- > 0;) this.put(changes[i], changes[i].from);
  }

  /* While a gesture lasts each call replaces the one before; commit makes one step of undo of it. */
  preview(make) {
    if (this.live) this.revert(this.live.changes);
    this.live = null;
    const changes = make();
    this.apply(changes);
    this.live = {changes};
    this.on_change("live");
  }
  commit(label, frame) {
    const live = this.live;
    this.live = null;
    if (!live || !live.changes.length) return;
    this.done.push({changes: live.changes, label, frame});
    this.undone = [];
    this.on_change("edit");
  }
  edit(label, frame, changes) {
    this.preview(() => changes);
    this.commit(label, frame);
  }
  undo() {
    if (this.live) return null;
    const edit = this.done.pop();
    if (!edit) return null;
    this.revert(edit.changes);
    this.undone.push(edit);
    this.on_change("undo");
    return edit;
  }
  redo() {
    const edit = this.live ? null : this.undone.pop();
    if (!edit) return null;
    this.apply(edit.changes);
    this.done.push(edit);
    this.on_change("redo");
    return edit;
  }

  change(frame, kind, key, to) {
    const from = kind === "point" ? this.point(frame, key) : this.shape(frame, key);
    return {frame, kind, key, from, to};
  }

  /* The point as an artist's, with what the model found kept beside it. */
  artist_point(p, values) {
    return {...p, raw: p.raw || [p.x, p.y], ...values, origin: "artist"};
  }

  /* A landmark put at (x, y) by hand, the neighbouring frames that follow, and the shapes that hang on them. */
  move_point(f, i, x, y) {
    const changes = [this.change(f, "point", i, this.artist_point(this.point(f, i), {x, y}))];
    if (this.follow) changes.push(...this.followers(f, i, x, y));
    for (const c of changes.slice()) changes.push(...this.carry(c.frame, [c], c.frame === f));
    return changes;
  }

  /* The frames around f that belong to one movement of point i: consecutive, and not hidden. */
  run_of(f, i) {
    let first = f, last = f;
    const seen = (t) => this.point(t, i).visible !== false;
    while (first > 0 && this.follows(first - 1) && seen(first - 1)) --first;
    while (this.follows(last) && seen(last + 1)) ++last;
    return [first, last];
  }

  /* Where the smoother sees point i in other frames once it is fixed at (x, y) in frame f.  With the optical flow of the document it
   * is the track that `roto smooth` finds, less what it finds without the fix, so that frames move only because of the fix.
   * Without flow the correction itself is smoothed: it is exact here, nothing where an artist was, and expected to be within each
   * detection's error elsewhere.  roto_smooth distrusts what is many errors off; a correction is to be believed at any
   * size, so it is scaled to a small one before and back after, where the smoother is linear. */
  followers(f, i, x, y) {
    const [first, last] = this.run_of(f, i), here = this.point(f, i), changes = [];
    const track = [], has_flow = [];
    for (let t = first; t <= last; ++t) track.push(this.point(t, i)), has_flow.push(!!track[t - first].flow);
    const error = (p) => VARYING * (p.error > 0 ? p.error : EXPECTED_ERROR), fixed = (p) => p.origin === "artist";
    const put = (t, p, dx, dy) => {
      if (t === f || fixed(p) || !(Math.hypot(dx, dy) > LEAST_CHANGE)) return;
      changes.push(this.change(t, "point", i, {...p, raw: p.raw || [p.x, p.y], x: p.x + dx, y: p.y + dy, origin: "smoothed"}));
    };
    if (has_flow.slice(0, -1).some((flow) => flow)) {
      const links = track.map((p) => (p.flow ? {x: p.flow[0], y: p.flow[1], error: p.flow[2]} : {x: 0, y: 0, error: 0}));
      const raw = (p) => (p.raw ? {x: p.raw[0], y: p.raw[1]} : p);
      const seen = track.map((p) => ({x: (fixed(p) ? p : raw(p)).x, y: (fixed(p) ? p : raw(p)).y, error: error(p), fixed: fixed(p)}));
      const old = this.engine.smooth(seen, links);
      seen[f - first] = {x, y, error: 1, fixed: true};
      this.engine.smooth(seen, links).forEach((s, k) => put(first + k, track[k], s.x - old[k].x, s.y - old[k].y));
      return changes;
    }
    const dx = x - here.x, dy = y - here.y, size = Math.hypot(dx, dy) || 1;
    const typical = track.map(error).sort((a, b) => a - b)[track.length >> 1], unit = 0.01 * typical / REACH;
    const seen = track.map((p, k) => ({
      x: first + k === f ? dx / size * unit : 0,
      y: first + k === f ? dy / size * unit : 0,
      error: error(p),
      fixed: first + k === f || fixed(p),
    }));
    const links = track.map(() => ({x: 0, y: 0, error: typical / REACH}));
    this.engine.smooth(seen, links).forEach((s, k) => put(first + k, track[k], s.x * size / unit, s.y * size / unit));
    return changes;
  }

  /* Shapes of frame f that hang on landmarks which the changes move.  The model draws them anew; one that an artist has drawn, or
   * that the model does not know, is carried along instead, and an artist's only where the artist is at work. */
  carry(f, point_changes, here) {
    const moved = new Map(point_changes.map((c) => [c.key, c])), changes = [];
    const place = (l) => (moved.has(l) ? moved.get(l).to : this.point(f, l));
    for (const shape of this.shapes) {
      const value = this.shape(f, shape.name), artist = value && value.origin === "artist", known = this.engine.predicts.get(shape.name);
      const predicted = known && !artist;
      if (!value || !(predicted ? known.landmarks : shape.vertices).some((l) => moved.has(l)) || (!here && artist)) continue;
      const vertices = vertices_of(value, shape.closed);
      if (vertices.length !== shape.vertices.length) continue; /* an artist drew it with other vertices */
      const anchors = shape.vertices.map((l, vertex) => ({l, vertex})).filter(({l}) => l >= 0)
        .map(({l, vertex}) => ({vertex, from: moved.has(l) ? moved.get(l).from : this.point(f, l), to: place(l)}));
      const drawn = predicted ? this.engine.predict(shape.name, this.landmarks.map((_, l) => place(l)), vertices.length)
                              : carry_shape(vertices, shape.closed, anchors);
      changes.push(this.change(f, "shape", shape.name, {...value, segments: segments_of(drawn, shape.closed)}));
    }
    return changes;
  }

  /* Vertex v of a shape put at (x, y) by hand; a vertex that is a landmark takes it along. */
  move_vertex(f, name, v, x, y) {
    const shape = this.shapes.find((s) => s.name === name), value = this.shape(f, name);
    const vertices = vertices_of(value, shape.closed).map((w, i) => (i === v ? {...w, x, y} : w));
    const changes = [this.change(f, "shape", name, {...value, origin: "artist", segments: segments_of(vertices, shape.closed)})];
    const landmark = shape.vertices.length === vertices.length ? shape.vertices[v] : -1;
    if (landmark >= 0) {
      const moved = this.move_point(f, landmark, x, y);
      changes.push(...moved.filter((c) => !(c.frame === f && c.kind === "shape" && c.key === name)));
    }
    return changes;
  }

  /* The end of a tangent of vertex v put at (x, y); the other one stays in line with it unless `broken`. */
  move_handle(f, name, v, out, x, y, broken) {
    const shape = this.shapes.find((s) => s.name === name), value = this.shape(f, name);
    const vertices = vertices_of(value, shape.closed).map((w, i) => {
      if (i !== v) return w;
      const dx = x - w.x, dy = y - w.y, length = Math.hypot(dx, dy);
      const other = out ? Math.hypot(w.ix, w.iy) : Math.hypot(w.ox, w.oy), k = length > 1e-6 ? -other / length : 0;
      const opposite = broken || !length ? null : {x: dx * k, y: dy * k};
      return out ? {...w, ox: dx, oy: dy, ...(opposite && {ix: opposite.x, iy: opposite.y})}
                 : {...w, ix: dx, iy: dy, ...(opposite && {ox: opposite.x, oy: opposite.y})};
    });
    return [this.change(f, "shape", name, {...value, origin: "artist", segments: segments_of(vertices, shape.closed)})];
  }

  /* Hidden or seen, said by an artist. */
  set_visible(f, kind, key, visible) {
    const value = kind === "point" ? this.point(f, key) : this.shape(f, key);
    const {visible: _, ...rest} = kind === "point" ? this.artist_point(value, {}) : {...value, origin: "artist"};
    return [this.change(f, kind, key, visible ? rest : {...rest, visible: false})];
  }

  /* "It is right where it is": points and shapes of the frame, or one of them, become an artist's. */
  accept(f, only) {
    const changes = [];
    this.landmarks.forEach((_, i) => {
      const p = this.point(f, i);
      if (p.origin !== "artist" && (!only || (only.kind === "point" && only.key === i)))
        changes.push(this.change(f, "point", i, this.artist_point(p, {})));
    });
    for (const shape of this.shapes) {
      const value = this.shape(f, shape.name);
      if (value && value.origin !== "artist" && (!only || (only.kind === "shape" && only.key === shape.name)))
        changes.push(this.change(f, "shape", shape.name, {...value, origin: "artist"}));
    }
    return changes;
  }

  /* Back to how the document came. */
  reset(f, kind, key) {
    const old = this.original(f, kind, key), change = this.change(f, kind, key, old);
    if (change.from === old) return [];
    return kind === "point" ? [change, ...this.carry(f, [change], true)] : [change];
  }

  /* ---- looking */

  /* Of a frame: mean and lowest confidence, jitter in pixels, how much in it is an artist's. */
  stat(f) {
    if (this.stats[f]) return this.stats[f];
    const s = {mean: 0, low: 1, jitter: 0, jitter_before: 0, artist: 0};
    let seen = 0;
    this.landmarks.forEach((_, i) => {
      const p = this.point(f, i), artist = p.origin === "artist";
      if (artist) ++s.artist;
      if (p.visible === false) return;
      const confidence = artist || p.confidence === undefined ? 1 : p.confidence;
      ++seen;
      s.mean += confidence;
      s.low = Math.min(s.low, confidence);
    });
    for (const shape of this.shapes) {
      const value = this.shape(f, shape.name);
      if (value && value.origin === "artist") ++s.artist;
    }
    s.mean = seen ? s.mean / seen : 1;
    s.jitter = this.jitter(f, (t, i) => this.point(t, i));
    s.jitter_before = this.jitter(f, (t, i) => this.before(t, i));
    return (this.stats[f] = s);
  }

  /* How much the points of frame f tremble against each other: the RMS of their second differences in time, less the similarity
   * (the head's own movement) that explains most of them, over sqrt(6), so that white noise of one pixel gives one. */
  jitter(f, place) {
    if (!(f > 0 && this.follows(f - 1) && this.follows(f))) return 0;
    const points = [];
    this.landmarks.forEach((_, i) => {
      if ([f - 1, f, f + 1].some((t) => this.point(t, i).visible === false)) return;
      const a = place(f - 1, i), p = place(f, i), b = place(f + 1, i);
      points.push({x: p.x, y: p.y, u: a.x - 2 * p.x + b.x, v: a.y - 2 * p.y + b.y});
    });
    const n = points.length, mean = (c) => points.reduce((sum, p) => sum + p[c], 0) / n;
    if (n < 3) return 0;
    const mx = mean("x"), my = mean("y"), mu = mean("u"), mv = mean("v");
    let re = 0, im = 0, size = 1e-9, sum = 0;
    for (const p of points) {
      const x = p.x - mx, y = p.y - my, u = p.u - mu, v = p.v - mv;
      re += x * u + y * v, im += x * v - y * u, size += x * x + y * y;
    }
    re /= size, im /= size;
    for (const p of points) {
      const x = p.x - mx, y = p.y - my;
      sum += (p.u - mu - re * x + im * y) ** 2 + (p.v - mv - im * x - re * y) ** 2;
    }
    return Math.sqrt(sum / (2 * n - 4) / 6);
  }
  reviewed(f) { return this.stat(f).artist > 0; }

  /* The point of a part with the largest expected error that no artist has set; -1: none. */
  doubtful(f, part) {
    let worst = -1;
    this.landmarks.forEach((landmark, i) => {
      const p = this.point(f, i);
      if (landmark.part !== part || p.origin === "artist" || p.visible === false) return;
      if (worst < 0 || (p.error || 0) > (this.point(f, worst).error || 0)) worst = i;
    });
    return worst;
  }

  /* A shape as it would be without smoothing: through the points as they were found, where the model is in the page. */
  shape_before(f, name) {
    const shape = this.shapes.find((s) => s.name === name), old = this.original(f, "shape", name);
    if (!old || old.origin === "artist" || !this.engine.predicts.has(name)) return old;
    const vertices = this.engine.predict(name, this.landmarks.map((_, i) => this.before(f, i)), shape.vertices.length);
    return {...old, segments: segments_of(vertices, shape.closed)};
  }

  /* ---- keeping */

  /* All that differs from the document as it came: [[frame index, kind, key, value], ...]. */
  patch() {
    const patch = [];
    for (const id of this.originals.keys()) {
      const [f, kind, ...rest] = id.split(" "), key = kind === "point" ? +rest[0] : rest.join(" ");
      const value = kind === "point" ? this.point(+f, key) : this.shape(+f, key);
      if (value !== this.originals.get(id)) patch.push([+f, kind, key, value === undefined ? null : value]);
    }
    return patch;
  }
  /* Takes a patch over; what does not fit this document is left out.  Returns how many did. */
  restore(patch) {
    const changes = [];
    for (const [f, kind, key, value] of patch) {
      if (!(f >= 0 && f < this.count)) continue;
      if (kind === "point" && value && this.point(f, key)) changes.push(this.change(f, kind, key, value));
      if (kind === "shape" && this.shapes.some((s) => s.name === key))
        changes.push(this.change(f, kind, key, value === null ? undefined : value));
    }
    this.apply(changes);
    return changes.length;
  }

  /* The document as text, laid out like roto's: one line a point, one a shape. */
  text() {
    const number = (key, value) => (typeof value === "number" ? Math.round(value * 1e4) / 1e4 : value);
    const one = (value) => JSON.stringify(value, number), {frames, ...head} = this.doc;
    const lines = Object.entries(head).map(([key, value]) => {
      if (key !== "template") return `  ${one(key)}: ${one(value)},\n`;
      const members = Object.entries(value).map(([k, v]) =>
        Array.isArray(v) && v.length ? `    ${one(k)}: [\n${v.map((e) => "      " + one(e)).join(",\n")}]` : `    ${one(k)}: ${one(v)}`);
      return `  "template": {\n${members.join(",\n")}},\n`;
    });
    const frame_text = (frame) => {
      const {points, shapes, ...rest} = frame, names = Object.keys(shapes || {});
      const list = points.map((p) => "      " + one(p)).join(",\n");
      const drawn = names.map((n) => `      ${one(n)}: ${one(shapes[n])}`).join(",\n");
      return `    ${one(rest).slice(0, -1)},\n     "points": [\n${list}]${names.length ? `,\n     "shapes": {\n${drawn}}` : ""}}`;
    };
    return `{\n${lines.join("")}  "frames": [\n${frames.map(frame_text).join(",\n")}\n  ]\n}\n`;
  }
}

