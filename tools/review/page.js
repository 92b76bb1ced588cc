/* The page itself: what is seen, and what mouse and keys do.
 *
 * `ui` says what is looked at; the shot says what is there.  Whatever changes either calls refresh(), which draws once in the next
 * animation frame.  Pictures are text in the page until they are looked at: decoded when needed, the least recently
 * seen thrown away, so that a thousand frames cost no more than a few dozen. */

"use strict";

const $ = (id) => document.getElementById(id);
const shape_colors = ["#63b3ff", "#7ddc8a", "#ffd166", "#ff9eb0", "#d9c3a0", "#5fe0d2", "#ffa866", "#c3d95f"];
const colors = {artist: "#f0a53c", smoothed: "#9cc3f0", sure: "#f2f2f2", doubtful: "#ff6a55", before: "#9a9a9a", past: "#c77dff", next: "#ff5d5d"};
const PICTURE_MEMORY = 384 << 20, DECODERS = 4, GRAB = 10, FPS = 24;

const ui = {
  frame: 0, tool: "points", look: "plate", onion: false, before: false, labels: false, follow: true,
  selected: null, /* {kind: "point", key} or {kind: "shape", key, vertex} */
  hover: null, suggestion: -1, zoom: 1, x: 0, y: 0, fitted: true, playing: false, panning: false,
};
let shot, engine, pictures, facts, suggestions = [], saved_edits = 0, store_key = "", wanted = false;

function bytes_of(base64) {
  const text = atob(base64.trim()), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/* ---- pictures */

class Pictures {
  constructor(count, ready) {
    this.ready = ready;
    this.held = new Map(); /* frame -> ImageBitmap, least recently used first */
    this.asked = new Set();
    this.count = count;
    this.next = this.last = -1; /* to be decoded when there is room; shown before */
  }
  exists(f) { return !!$("frame-" + f); }
  /* While a frame is being decoded the one before stays on the screen: black in between would flicker. */
  get(f) {
    const picture = this.held.get(f);
    if (picture) this.held.delete(f), this.held.set(f, picture), this.last = f;
    else this.ask(f);
    return picture || (this.exists(f) && this.held.get(this.last)) || null;
  }
  async ask(f) {
    const element = $("frame-" + f);
    if (!element || this.asked.has(f) || this.held.has(f)) return;
    if (this.asked.size >= DECODERS) return void (this.next = f); /* of a quick scrub only the latest */
    this.asked.add(f);
    try {
      const picture = await createImageBitmap(new Blob([bytes_of(element.textContent)], {type: "image/jpeg"}));
      this.held.set(f, picture);
      const most = Math.max(8, Math.floor(PICTURE_MEMORY / (picture.width * picture.height * 4)));
      for (const [old, p] of this.held) {
        if (this.held.size <= most) break;
        if (old !== f && old !== ui.frame && old !== this.last) this.held.delete(old), p.close();
      }
    } finally {
      this.asked.delete(f);
    }
    const next = this.next;
    this.next = -1;
    if (next >= 0) this.ask(next);
    this.ready(f);
  }
  ahead(f, step) {
    for (let k = 1; k <= 3; ++k) if (f + k * step >= 0 && f + k * step < this.count) this.ask(f + k * step);
  }
}

/* ---- the view */

const view = $("view"), timeline = $("timeline");

function canvas_context(canvas) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio);
  if (canvas.width !== width || canvas.height !== height) canvas.width = width, canvas.height = height;
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, box.width, box.height);
  return [c, box.width, box.height];
}

const sx = (x) => (x - ui.x) * ui.zoom, sy = (y) => (y - ui.y) * ui.zoom;
const px = (x) => x / ui.zoom + ui.x, py = (y) => y / ui.zoom + ui.y;

function fit(box, margin) {
  const r = view.getBoundingClientRect();
  ui.zoom = Math.min((r.width - 2 * margin) / box[2], (r.height - 2 * margin) / box[3]);
  ui.x = box[0] + box[2] / 2 - r.width / 2 / ui.zoom;
  ui.y = box[1] + box[3] / 2 - r.height / 2 / ui.zoom;
}
function fit_frame() {
  const [w, h] = shot.size(ui.frame);
  fit([0, 0, w, h], 14);
  ui.fitted = true;
  refresh();
}
/* As close as the landmarks of this frame allow; a second time: the whole frame again. */
function fit_subject() {
  if (!ui.fitted) return fit_frame();
  const p = shot.frames[ui.frame].points, xs = p.map((q) => q.x), ys = p.map((q) => q.y);
  const x = Math.min(...xs), y = Math.min(...ys), w = Math.max(...xs) - x, h = Math.max(...ys) - y, m = 0.15 * Math.max(w, h, 20);
  fit([x - m, y - m, w + 2 * m, h + 2 * m], 14);
  ui.fitted = false;
  refresh();
}
function zoom_at(factor, x, y) {
  const r = view.getBoundingClientRect(), least = 0.05, most = 64;
  if (x === undefined) x = r.width / 2, y = r.height / 2;
  const zoom = Math.min(Math.max(ui.zoom * factor, least), most), fx = px(x), fy = py(y);
  ui.zoom = zoom, ui.x = fx - x / zoom, ui.y = fy - y / zoom, ui.fitted = false;
  refresh();
}

function path_of(c, vertices, closed) {
  c.beginPath();
  vertices.forEach((v, i) => {
    if (!i) return c.moveTo(sx(v.x), sy(v.y));
    const a = vertices[i - 1];
    c.bezierCurveTo(sx(a.x + a.ox), sy(a.y + a.oy), sx(v.x + v.ix), sy(v.y + v.iy), sx(v.x), sy(v.y));
  });
  if (closed && vertices.length) {
    const a = vertices[vertices.length - 1], b = vertices[0];
    c.bezierCurveTo(sx(a.x + a.ox), sy(a.y + a.oy), sx(b.x + b.ix), sy(b.y + b.iy), sx(b.x), sy(b.y));
    c.closePath();
  }
}

function stroke(c, color, width, dash, alpha) {
  c.setLineDash(dash || []);
  c.globalAlpha = alpha === undefined ? 1 : alpha;
  c.strokeStyle = color, c.lineWidth = width * unit;
  c.stroke();
  c.globalAlpha = 1;
  c.setLineDash([]);
}

/* The matte of the frame as a picture, at the resolution of the page's frames; kept until a shape changes. */
const matte = {canvas: document.createElement("canvas"), shapes: null, look: ""};
function draw_matte(c, picture) {
  const [w, h] = shot.size(ui.frame), scale = picture ? picture.width / w : Math.min(1, 1280 / Math.max(w, h));
  const drawn = shot.shapes.map((s) => ({...s, value: shot.shape(ui.frame, s.name)})).filter((s) => s.value && s.value.visible !== false);
  const values = drawn.map((s) => s.value);
  if (!matte.shapes || matte.look !== ui.look || matte.scale !== scale || values.length !== matte.shapes.length ||
      values.some((v, i) => v !== matte.shapes[i])) {
    const width = Math.max(1, Math.round(w * scale)), height = Math.max(1, Math.round(h * scale));
    const coverage = engine.matte(drawn.map((s) => ({vertices: vertices_of(s.value, s.closed), closed: s.closed, width: s.value.width || 2})),
                                  scale, width, height);
    const image = new ImageData(width, height), tint = ui.look === "tint";
    for (let i = 0, n = coverage.length; i < n; ++i) {
      const a = coverage[i];
      image.data[4 * i] = tint ? 255 : a, image.data[4 * i + 1] = tint ? 70 : a, image.data[4 * i + 2] = tint ? 60 : a;
      image.data[4 * i + 3] = tint ? a * 0.5 : 255;
    }
    matte.canvas.width = width, matte.canvas.height = height;
    matte.canvas.getContext("2d").putImageData(image, 0, 0);
    matte.shapes = values, matte.look = ui.look, matte.scale = scale;
  }
  c.drawImage(matte.canvas, sx(0), sy(0), w * ui.zoom, h * ui.zoom);
}

function draw_shapes(c) {
  shot.shapes.forEach((s, k) => {
    const value = shot.shape(ui.frame, s.name), color = shape_colors[k % shape_colors.length];
    if (ui.onion) {
      for (const d of [-2, -1, 1, 2]) {
        const f = ui.frame + d, other = f >= 0 && f < shot.count && shot.shape(f, s.name);
        if (!other || other.visible === false) continue;
        path_of(c, vertices_of(other, s.closed), s.closed);
        stroke(c, d < 0 ? colors.past : colors.next, 1, null, Math.abs(d) === 1 ? 0.75 : 0.35);
      }
    }
    if (!value) return;
    if (ui.before) {
      const old = shot.shape_before(ui.frame, s.name);
      if (old && old !== value) path_of(c, vertices_of(old, s.closed), s.closed), stroke(c, colors.before, 1.2, [4, 3]);
    }
    const vertices = vertices_of(value, s.closed), chosen = ui.selected && ui.selected.kind === "shape" && ui.selected.key === s.name;
    path_of(c, vertices, s.closed);
    stroke(c, "#000", chosen ? 4 : 3, null, 0.45);
    stroke(c, color, chosen ? 2 : 1.4, value.visible === false ? [3, 4] : null, value.visible === false ? 0.6 : 1);
    if (ui.tool !== "shapes") return;
    vertices.forEach((v, i) => {
      const picked = chosen && ui.selected.vertex === i, hover = is_hover("vertex", s.name, i);
      if (picked) draw_handles(c, v);
      c.fillStyle = picked ? "#fff" : color;
      c.strokeStyle = "#000a", c.lineWidth = 1;
      const r = (picked || hover ? 4.5 : 3) * unit;
      c.fillRect(sx(v.x) - r, sy(v.y) - r, 2 * r, 2 * r);
      c.strokeRect(sx(v.x) - r, sy(v.y) - r, 2 * r, 2 * r);
    });
  });
}
function draw_handles(c, v) {
  for (const [dx, dy] of [[v.ix, v.iy], [v.ox, v.oy]]) {
    if (!dx && !dy) continue;
    c.beginPath(), c.moveTo(sx(v.x), sy(v.y)), c.lineTo(sx(v.x + dx), sy(v.y + dy));
    stroke(c, "#fff", 1, null, 0.8);
    c.beginPath(), c.arc(sx(v.x + dx), sy(v.y + dy), 4 * unit, 0, 7);
    c.fillStyle = "#222", c.fill(), stroke(c, "#fff", 1.4);
  }
}

function point_color(p) {
  if (p.origin === "artist") return colors.artist;
  const t = Math.min(Math.max(((p.confidence === undefined ? 1 : p.confidence) - 0.25) / 0.4, 0), 1);
  const mix = (a, b) => Math.round(a + (b - a) * t);
  return `rgb(${mix(255, 242)},${mix(106, 242)},${mix(85, 242)})`;
}

function draw_points(c) {
  const quiet = ui.tool !== "points", chosen = ui.selected && ui.selected.kind === "point" ? ui.selected.key : -1;
  if (ui.onion && chosen >= 0) draw_trail(c, chosen);
  shot.landmarks.forEach((landmark, i) => {
    const p = shot.point(ui.frame, i), x = sx(p.x), y = sy(p.y), hover = is_hover("point", i);
    if (ui.onion && chosen < 0) {
      for (const d of [-1, 1]) {
        const f = ui.frame + d;
        if (f < 0 || f >= shot.count) continue;
        const q = shot.point(f, i);
        c.beginPath(), c.arc(sx(q.x), sy(q.y), 1.8 * unit, 0, 7), c.globalAlpha = 0.75;
        c.fillStyle = d < 0 ? colors.past : colors.next, c.fill(), c.globalAlpha = 1;
      }
    }
    if (ui.before) {
      const b = shot.before(ui.frame, i);
      if (Math.hypot(b.x - p.x, b.y - p.y) > 0.02) {
        c.beginPath(), c.moveTo(sx(b.x), sy(b.y)), c.lineTo(x, y), stroke(c, colors.before, 1.2);
        c.beginPath(), c.arc(sx(b.x), sy(b.y), 3 * unit, 0, 7), stroke(c, colors.before, 1.2);
      }
    }
    if ((i === chosen || hover) && p.origin !== "artist" && p.error > 0) {
      c.beginPath(), c.arc(x, y, p.error * ui.zoom, 0, 7), stroke(c, "#fff", 1, [3, 3], 0.7);
    }
    const r = unit * (quiet ? 2 : i === chosen || hover ? 4.5 : 3.2), hidden = p.visible === false;
    c.beginPath(), c.arc(x, y, r, 0, 7);
    c.globalAlpha = quiet ? 0.55 : 1;
    if (!hidden) c.fillStyle = point_color(p), c.fill();
    stroke(c, "#000", hidden ? 3 : 1, null, 0.7);
    if (hidden) stroke(c, point_color(p), 1.5);
    c.globalAlpha = 1;
    if (i === chosen) c.beginPath(), c.arc(x, y, 8.5 * unit, 0, 7), stroke(c, "#000", 3, null, 0.5), stroke(c, "#fff", 1.4);
    if (ui.labels || hover || i === chosen) label(c, x + 12 * unit, y - 10 * unit, words(landmark.name));
  });
}
function draw_trail(c, i) {
  for (let d = -12; d <= 12; ++d) {
    const f = ui.frame + d;
    if (!d || f < 0 || f >= shot.count) continue;
    const q = shot.point(f, i);
    c.globalAlpha = 1 - Math.abs(d) / 14;
    c.beginPath(), c.arc(sx(q.x), sy(q.y), (q.origin === "artist" ? 3 : 1.8) * unit, 0, 7);
    c.fillStyle = q.origin === "artist" ? colors.artist : d < 0 ? colors.past : colors.next, c.fill();
    c.globalAlpha = 1;
  }
}
function label(c, x, y, text) {
  const width = c.measureText(text).width;
  c.fillStyle = "#161616c8", c.fillRect(x - 4 * unit, y - 9 * unit, width + 8 * unit, 17 * unit);
  c.fillStyle = "#eee", c.fillText(text, x, y);
}
const is_hover = (kind, key, vertex) => ui.hover && ui.hover.kind === kind && ui.hover.key === key && ui.hover.vertex === vertex;

let ui_font = "", unit = 1; /* of drawn lines and dots: 1 where text is 12 pixels high */
function draw_view() {
  const [c, width, height] = canvas_context(view), [w, h] = shot.size(ui.frame), picture = pictures.get(ui.frame);
  c.font = ui_font, c.textBaseline = "middle";
  c.imageSmoothingEnabled = ui.zoom < 6, c.imageSmoothingQuality = "high";
  c.fillStyle = "#1d1d1d", c.fillRect(sx(0), sy(0), w * ui.zoom, h * ui.zoom);
  if (ui.look === "matte") draw_matte(c, picture);
  else if (picture) c.drawImage(picture, sx(0), sy(0), w * ui.zoom, h * ui.zoom);
  else if (!pictures.exists(ui.frame)) {
    c.fillStyle = "#8c8c8c", c.textAlign = "center";
    c.fillText("The plate of this frame was not there when the page was made", width / 2, height / 2);
    c.textAlign = "start";
  }
  if (ui.look === "tint") draw_matte(c, picture);
  c.strokeStyle = "#3a3a3a", c.lineWidth = 1;
  c.strokeRect(sx(0) - 0.5, sy(0) - 0.5, w * ui.zoom + 1, h * ui.zoom + 1);
  draw_shapes(c);
  draw_points(c);
}

/* ---- the timeline */

/* left, right: pixels beside the curves; the left is for their names.  first, span: the frames that are seen. */
const strip = {left: 92, right: 16, first: 0, span: 1}, LEAST_SPAN = 24, CLOSE_SPAN = 96;
const frame_x = (f, width) => strip.left + (f - strip.first + 0.5) / strip.span * (width - strip.left - strip.right);
function timeline_place(x) { /* in frames, not whole */
  const r = timeline.getBoundingClientRect();
  return strip.first + (x - r.left - strip.left) / (r.width - strip.left - strip.right) * strip.span;
}
const timeline_frame = (x) => Math.min(Math.max(Math.floor(timeline_place(x)), 0), shot.count - 1);
/* `span` frames of which the one at `place` stays where it is. */
function show_span(span, place) {
  const share = (place - strip.first) / strip.span;
  strip.span = Math.min(Math.max(span, LEAST_SPAN), Math.max(shot.count, LEAST_SPAN));
  if (strip.span >= shot.count) strip.span = shot.count;
  strip.first = Math.min(Math.max(place - share * strip.span, 0), shot.count - strip.span);
  refresh();
}
function toggle_span() {
  if (strip.span < shot.count) return show_span(shot.count, 0);
  show_span(CLOSE_SPAN, ui.frame + 0.5);
}

function draw_timeline() {
  const [c, width, height] = canvas_context(timeline), em = 12 * unit;
  const ruler = 1.9 * em, marks = 1.1 * em, gap = 0.5 * em, rest = height - ruler - marks - 2 * gap;
  const conf = {y: ruler + marks, h: rest * 0.55}, jit = {y: ruler + marks + rest * 0.55 + gap, h: rest * 0.45};
  if (ui.frame < strip.first || ui.frame >= strip.first + strip.span) /* what is looked at is seen */
    strip.first = Math.min(Math.max(ui.frame - strip.span / 2, 0), shot.count - strip.span);
  const inner = width - strip.left - strip.right, step = inner / strip.span, stats = shot.frames.map((_, f) => shot.stat(f));
  const x_of = (f) => frame_x(f, width), now = stats[ui.frame];
  c.font = ui_font, c.textBaseline = "middle";
  c.fillStyle = "#1b1b1b", c.fillRect(strip.left, ruler, inner, height - ruler - gap);
  c.save(), c.beginPath(), c.rect(strip.left, 0, inner, height), c.clip();

  /* Ruler: round frame numbers, about every 70 pixels. */
  const apart = 70 * unit / Math.max(step, 1e-6), size = 10 ** Math.floor(Math.log10(apart));
  const every = Math.max(1, [1, 2, 5, 10].map((k) => k * size).find((k) => k >= apart));
  c.textAlign = "center";
  shot.frames.forEach((frame, f) => {
    if (frame.frame % every) return;
    c.fillStyle = "#2a2a2a", c.fillRect(Math.round(x_of(f)), ruler, 1, height - ruler - gap);
    if (Math.abs(x_of(f) - x_of(ui.frame)) < 3.6 * em) return;
    c.fillStyle = "#8c8c8c", c.fillText(frame.frame, x_of(f), ruler / 2);
  });

  /* Confidence: the mean as an area, the lowest as a line. */
  const conf_y = (v) => conf.y + conf.h * (1 - v);
  c.beginPath(), c.moveTo(x_of(-0.5), conf_y(0));
  stats.forEach((s, f) => (c.lineTo(x_of(f) - step / 2, conf_y(s.mean)), c.lineTo(x_of(f) + step / 2, conf_y(s.mean))));
  c.lineTo(x_of(shot.count - 0.5), conf_y(0));
  c.fillStyle = "#3d4a57", c.fill();
  c.beginPath();
  stats.forEach((s, f) => (f ? c.lineTo(x_of(f), conf_y(s.low)) : c.moveTo(x_of(f), conf_y(s.low))));
  stroke(c, "#b9cfe6", 1.2);

  /* Jitter: before in grey, now in front. */
  const most = Math.max(0.5, ...stats.map((s) => Math.max(s.jitter, ui.before ? s.jitter_before : 0)));
  const bar = (f, v, color) => {
    c.fillStyle = color;
    c.fillRect(x_of(f) - step / 2, jit.y + jit.h * (1 - v / most), Math.max(step - (step > 3 ? 1 : 0), 0.6), jit.h * v / most);
  };
  stats.forEach((s, f) => {
    if (ui.before) bar(f, s.jitter_before, "#555");
    bar(f, s.jitter, "#a98467");
  });

  /* What is worth a look, and what an artist did. */
  const mark_y = ruler + marks / 2;
  for (const s of suggestions) {
    if (shot.reviewed(s.f)) continue;
    const x = x_of(s.f), r = 0.32 * em;
    c.beginPath(), c.moveTo(x - r, mark_y - r), c.lineTo(x + r, mark_y - r), c.lineTo(x, mark_y + r), c.closePath();
    c.fillStyle = "#e2604f", c.fill();
  }
  stats.forEach((s, f) => {
    if (!s.artist) return;
    const w = Math.max(Math.min(step - 1, 0.7 * em), 1.5);
    c.fillStyle = colors.artist, c.fillRect(x_of(f) - w / 2, mark_y - 0.3 * em, w, 0.6 * em);
  });

  /* The frame that is looked at. */
  c.restore();
  c.textAlign = "center";
  const x = x_of(ui.frame), text = String(shot.frames[ui.frame].frame);
  c.fillStyle = "#fff", c.globalAlpha = 0.12, c.fillRect(x - step / 2, ruler, Math.max(step, 1), height - ruler - gap), c.globalAlpha = 1;
  c.fillRect(Math.round(x), ruler - 3, 1, height - ruler - gap + 3);
  c.font = "600 " + ui_font;
  const w = c.measureText(text).width + 1.2 * em, middle = Math.min(x, width - w / 2 - 2);
  c.fillStyle = "#e8e8e8", c.beginPath(), c.roundRect(middle - w / 2, 0.25 * em, w, ruler - 0.5 * em, 3), c.fill();
  c.fillStyle = "#161616", c.fillText(text, middle, ruler / 2);
  c.font = ui_font;

  c.textAlign = "left";
  const name = (y, title, value) => {
    c.fillStyle = "#8c8c8c", c.fillText(title, 12, y - 0.62 * em);
    c.fillStyle = "#e0e0e0", c.fillText(value, 12, y + 0.62 * em);
  };
  name(conf.y + conf.h / 2, "Confidence", now.mean.toFixed(2) + " / " + now.low.toFixed(2));
  name(jit.y + jit.h / 2, "Jitter", now.jitter.toFixed(2) + " px" + (ui.before ? ` (${now.jitter_before.toFixed(2)})` : ""));
}

/* ---- the panels */

function element(tag, values, ...children) {
  const e = Object.assign(document.createElement(tag), values);
  e.append(...children);
  return e;
}

const signs = {confidence: "unsure", jitter: "jitter", disagreement: "off motion", pose: "odd pose"}; /* of `roto suggest` */
function show_list() {
  const done = suggestions.filter((s) => shot.reviewed(s.f)).length;
  $("progress").textContent = suggestions.length ? `${done} of ${suggestions.length} done` : "";
  const list = $("list");
  list.replaceChildren(...suggestions.map((s) => {
    const reviewed = shot.reviewed(s.f), score = element("span", {className: "score"});
    score.style.width = `${100 * Math.sqrt(s.score / suggestions[0].score)}%`;
    return element("li", {className: (reviewed ? "done " : "") + (s.f === ui.frame ? "on" : ""), title: words(s.reason), onclick: () => go_suggestion(s)},
      element("span", {textContent: s.frame}), element("span", {className: "why", textContent: `${signs[s.sign]}, ${words(s.part)}`}),
      element("span", {className: "bar"}, score), element("span", {className: "tick", textContent: reviewed ? "\u2713" : ""}));
  }));
  const on = list.querySelector(".on");
  if (on && document.activeElement !== list) on.scrollIntoView({block: "nearest"});
}
const words = (name) => name.replace(/_/g, " ");

const origins = {predicted: "predicted", held: "held from an earlier frame", smoothed: "smoothed", artist: "artist"};
function fact_list(pairs) {
  return element("dl", {}, ...pairs.flatMap(([k, v, c]) => [element("dt", {textContent: k}), element("dd", {textContent: v, className: c || ""})]));
}
function action(text, key, run, enabled) {
  const b = element("button", {textContent: text, onclick: run, disabled: enabled === false});
  b.append(element("kbd", {textContent: key}));
  return b;
}

function show_selection() {
  const s = ui.selected, box = $("inspector");
  if (s && s.kind === "point") {
    const p = shot.point(ui.frame, s.key), landmark = shot.landmarks[s.key], artist = p.origin === "artist", b = shot.before(ui.frame, s.key);
    const moved = Math.hypot(p.x - b.x, p.y - b.y);
    box.replaceChildren(fact_list([
      ["Point", words(landmark.name)],
      ["Place", `${p.x.toFixed(2)}, ${p.y.toFixed(2)}`],
      ["From", origins[p.origin] || p.origin, p.origin],
      ["Expected error", artist ? "\u2013" : (p.error || 0).toFixed(2) + " px"],
      ["Confidence", artist ? "\u2013" : (p.confidence === undefined ? 1 : p.confidence).toFixed(2)],
      ["Moved", moved > 0.005 ? moved.toFixed(2) + " px" : "\u2013"],
      ["Seen", p.visible === false ? "hidden" : "yes"],
    ]), actions());
  } else if (s && shot.shape(ui.frame, s.key)) {
    const value = shot.shape(ui.frame, s.key), shape = shot.shapes.find((t) => t.name === s.key);
    const vertices = vertices_of(value, shape.closed), v = vertices[s.vertex];
    const landmark = v && shape.vertices.length === vertices.length ? shape.vertices[s.vertex] : -1;
    box.replaceChildren(fact_list([
      ["Shape", words(s.key)],
      ["Kind", `${shape.closed ? "closed" : "open"}, ${vertices.length} vertices`],
      ["From", origins[value.origin] || value.origin, value.origin],
      ["Vertex", v ? `${s.vertex + 1}` + (landmark >= 0 ? `, ${words(shot.landmarks[landmark].name)}` : "") : "\u2013"],
      ["Place", v ? `${v.x.toFixed(2)}, ${v.y.toFixed(2)}` : "\u2013"],
      ["Seen", value.visible === false ? "hidden" : "yes"],
    ]), actions());
  } else {
    box.replaceChildren(element("p", {textContent: ui.tool === "points" ? "Click a point, or press Tab." : "Click a vertex, or press Tab."}));
  }
}
function actions() {
  const s = ui.selected, value = s.kind === "point" ? shot.point(ui.frame, s.key) : shot.shape(ui.frame, s.key);
  return element("div", {className: "actions"},
    action(value.visible === false ? "Show" : "Hide", "H", toggle_visible), action("Accept", "\u21b5", () => accept(false), value.origin !== "artist"),
    action("Reset", "R", reset, value !== shot.original(ui.frame, s.kind, s.key)));
}

function show_shapes() {
  $("shape-section").hidden = !shot.shapes.length;
  const present = shot.shapes.filter((s) => shot.shape(ui.frame, s.name));
  $("shapes").replaceChildren(...present.map((s) => {
    const value = shot.shape(ui.frame, s.name), hidden = value.visible === false, k = shot.shapes.indexOf(s);
    const select = () => { ui.selected = {kind: "shape", key: s.name, vertex: -1}; refresh(); };
    const swatch = element("span", {className: "swatch"});
    swatch.style.background = shape_colors[k % shape_colors.length];
    const chosen = ui.selected && ui.selected.kind === "shape" && ui.selected.key === s.name;
    return element("li", {className: (hidden ? "hidden " : "") + (chosen ? "on" : ""), onclick: select}, swatch,
      element("span", {className: "label", textContent: words(s.name)}),
      element("span", {className: "origin " + value.origin, textContent: value.origin === "artist" ? "artist" : ""}),
      element("button", {textContent: hidden ? "show" : "hide", title: "Hidden in this frame (H)", onclick: (e) => {
        e.stopPropagation();
        shot.edit("hide", ui.frame, shot.set_visible(ui.frame, "shape", s.name, hidden));
      }}));
  }));
  if (!present.length) $("shapes").append(element("li", {className: "hidden", textContent: "none"}));
}

function show_bars() {
  for (const [group, key] of [["looks", "look"], ["edits", "tool"]])
    for (const b of $(group).children) b.classList.toggle("on", ui[key] === b.dataset[key]);
  for (const b of $("toggles").children) b.classList.toggle("on", ui[b.dataset.toggle]);
  const no_shapes = !shot.frames.some((f) => f.shapes && Object.keys(f.shapes).length);
  for (const b of [...$("looks").children].slice(1).concat($("edits").children[1])) b.disabled = no_shapes;
  $("undo").disabled = !shot.done.length;
  $("redo").disabled = !shot.undone.length;
  $("save").classList.toggle("due", shot.done.length !== saved_edits);
  const frame = shot.frames[ui.frame];
  $("where").textContent = `Frame ${frame.frame}   ${shot.size(ui.frame).join(" \u00d7 ")}   ${Math.round(ui.zoom * 100)} %` +
    (ui.pointer ? `   ${ui.pointer[0].toFixed(1)}, ${ui.pointer[1].toFixed(1)}` : "");
}

function draw() {
  wanted = false;
  const style = getComputedStyle(document.body);
  unit = parseFloat(style.fontSize) / 12, ui_font = style.fontSize + " " + style.fontFamily;
  strip.left = 98 * unit;
  const r = view.getBoundingClientRect(), size = `${r.width} ${r.height}`;
  if (ui.fitted && ui.size !== size) ui.size = size, fit_frame();
  draw_view();
  draw_timeline();
  if (shot.live) return; /* panels follow when the gesture ends */
  show_list(), show_selection(), show_shapes(), show_bars();
}
function refresh() {
  if (!wanted) wanted = true, requestAnimationFrame(draw);
}

/* ---- going about */

function go(f) {
  f = Math.min(Math.max(f, 0), shot.count - 1);
  if (f === ui.frame || shot.live) return;
  pictures.get(f);
  pictures.ahead(f, f > ui.frame ? 1 : -1);
  ui.frame = f;
  refresh();
}
function go_suggestion(s) {
  ui.playing = false;
  ui.suggestion = suggestions.indexOf(s);
  go(s.f);
  const point = shot.doubtful(s.f, s.part);
  if (point >= 0 && ui.tool === "points") ui.selected = {kind: "point", key: point};
  refresh();
}
/* The next in the list that no artist has touched, after the one that was gone to last. */
function next_suggestion(step) {
  const n = suggestions.length;
  for (let k = 1; k <= n; ++k) {
    const s = suggestions[(((ui.suggestion < 0 && step < 0 ? 0 : ui.suggestion) + k * step) % n + n) % n];
    if (!shot.reviewed(s.f)) return go_suggestion(s);
  }
  notice(n ? "All of these frames have been looked at" : "Nothing stands out in this shot");
}
function play() {
  ui.playing = !ui.playing;
  let start = 0, from = ui.frame;
  const turn = (time) => {
    if (!ui.playing) return;
    if (!start) start = time;
    const f = (from + Math.floor((time - start) / 1000 * FPS)) % shot.count;
    if (f !== ui.frame && (pictures.held.has(f) || !pictures.exists(f))) go(f);
    else if (f !== ui.frame) pictures.ask(f), pictures.ahead(f, 1);
    requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
}

function select_next(step) {
  if (ui.tool === "points") {
    const at = ui.selected && ui.selected.kind === "point" ? ui.selected.key : step > 0 ? -1 : 0, n = shot.landmarks.length;
    ui.selected = {kind: "point", key: (at + step + n) % n};
  } else {
    const all = shot.shapes.filter((s) => shot.shape(ui.frame, s.name))
      .flatMap((s) => vertices_of(shot.shape(ui.frame, s.name), s.closed).map((_, vertex) => ({kind: "shape", key: s.name, vertex})));
    if (!all.length) return;
    const s = ui.selected, at = s ? all.findIndex((a) => a.key === s.key && a.vertex === Math.max(s.vertex, 0)) : -1;
    ui.selected = all[((at < 0 && step < 0 ? 0 : at) + step + all.length) % all.length];
  }
  refresh();
}

/* ---- editing */

function selected_value() {
  const s = ui.selected;
  return s && (s.kind === "point" ? shot.point(ui.frame, s.key) : shot.shape(ui.frame, s.key));
}
function toggle_visible() {
  const value = selected_value();
  if (value) shot.edit("hide", ui.frame, shot.set_visible(ui.frame, ui.selected.kind, ui.selected.key, value.visible === false));
}
function accept(all) {
  if (!all && !selected_value()) return notice("Select a point first, or press Shift+Enter for the whole frame");
  shot.edit("accept", ui.frame, shot.accept(ui.frame, all ? null : ui.selected));
}
function reset() {
  if (selected_value()) shot.edit("reset", ui.frame, shot.reset(ui.frame, ui.selected.kind, ui.selected.key));
}
function nudge(dx, dy) {
  const s = ui.selected, value = selected_value();
  if (!value) return;
  if (s.kind === "point") return shot.edit("nudge", ui.frame, shot.move_point(ui.frame, s.key, value.x + dx, value.y + dy));
  const v = vertices_of(value, shot.shapes.find((t) => t.name === s.key).closed)[s.vertex];
  if (v) shot.edit("nudge", ui.frame, shot.move_vertex(ui.frame, s.key, s.vertex, v.x + dx, v.y + dy));
}
function step_history(edit) {
  if (edit && edit.frame !== undefined) go(edit.frame);
  refresh();
}

/* What lies under the mouse: handles of the chosen vertex first, then points or vertices, the nearest. */
function hit(x, y) {
  let best = null, least = GRAB;
  const at = (wx, wy, found) => {
    const d = Math.hypot(sx(wx) - x, sy(wy) - y);
    if (d < least) least = d, best = {...found, x: wx, y: wy};
  };
  if (ui.tool === "points") {
    shot.landmarks.forEach((_, i) => at(shot.point(ui.frame, i).x, shot.point(ui.frame, i).y, {kind: "point", key: i}));
    return best;
  }
  for (const s of shot.shapes) {
    const value = shot.shape(ui.frame, s.name);
    if (!value) continue;
    const vertices = vertices_of(value, s.closed), chosen = ui.selected && ui.selected.key === s.name ? vertices[ui.selected.vertex] : null;
    if (chosen) {
      least = GRAB;
      at(chosen.x + chosen.ox, chosen.y + chosen.oy, {kind: "handle", key: s.name, vertex: ui.selected.vertex, out: true});
      at(chosen.x + chosen.ix, chosen.y + chosen.iy, {kind: "handle", key: s.name, vertex: ui.selected.vertex, out: false});
      if (best && best.kind === "handle") return best;
    }
    vertices.forEach((v, vertex) => at(v.x, v.y, {kind: "vertex", key: s.name, vertex}));
  }
  return best;
}

let drag = null;
function pointer_place(e) {
  const r = view.getBoundingClientRect();
  return [e.clientX - r.left, e.clientY - r.top];
}
view.addEventListener("pointerdown", (e) => {
  const [x, y] = pointer_place(e), found = e.button === 0 && !ui.panning ? hit(x, y) : null;
  view.focus();
  view.setPointerCapture(e.pointerId);
  ui.playing = false;
  drag = {x, y, found, view: [ui.x, ui.y], moved: false};
  if (found) {
    ui.selected = found.kind === "point" ? {kind: "point", key: found.key} : {kind: "shape", key: found.key, vertex: found.vertex};
    refresh();
  }
});
view.addEventListener("pointermove", (e) => {
  const [x, y] = pointer_place(e);
  ui.pointer = [px(x), py(y)];
  if (!drag) {
    ui.hover = hit(x, y);
    view.style.cursor = ui.hover ? "crosshair" : "default";
    return refresh();
  }
  if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) < 2) return;
  drag.moved = true;
  const found = drag.found, tx = found && found.x + (x - drag.x) / ui.zoom, ty = found && found.y + (y - drag.y) / ui.zoom, f = ui.frame;
  if (!found) ui.x = drag.view[0] - (x - drag.x) / ui.zoom, ui.y = drag.view[1] - (y - drag.y) / ui.zoom, ui.fitted = false;
  else if (found.kind === "point") shot.preview(() => shot.move_point(f, found.key, tx, ty));
  else if (found.kind === "vertex") shot.preview(() => shot.move_vertex(f, found.key, found.vertex, tx, ty));
  else shot.preview(() => shot.move_handle(f, found.key, found.vertex, found.out, tx, ty, e.altKey));
  refresh();
});
function drop() {
  if (!drag) return;
  if (!drag.found && !drag.moved) ui.selected = null;
  drag = null;
  shot.commit("move", ui.frame);
  refresh();
}
view.addEventListener("pointerup", drop);
view.addEventListener("pointercancel", drop);
view.addEventListener("pointerleave", () => (ui.hover = ui.pointer = null, refresh()));
view.addEventListener("contextmenu", (e) => e.preventDefault());
view.addEventListener("wheel", (e) => {
  e.preventDefault();
  const [x, y] = pointer_place(e);
  zoom_at(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), x, y);
}, {passive: false});

timeline.addEventListener("pointerdown", (e) => {
  timeline.setPointerCapture(e.pointerId);
  ui.playing = false;
  ui.scrubbing = true;
  go(timeline_frame(e.clientX));
});
timeline.addEventListener("pointermove", (e) => ui.scrubbing && go(timeline_frame(e.clientX)));
timeline.addEventListener("pointerup", () => (ui.scrubbing = false));
timeline.addEventListener("pointercancel", () => (ui.scrubbing = false));
timeline.addEventListener("wheel", (e) => {
  e.preventDefault();
  if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
    strip.first = Math.min(Math.max(strip.first + (e.deltaX || e.deltaY) * strip.span / 1500, 0), shot.count - strip.span);
    return refresh();
  }
  show_span(strip.span * Math.exp(e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), timeline_place(e.clientX));
}, {passive: false});

/* ---- keys */

const looks = ["plate", "tint", "matte"];
const toggle = (name) => () => (ui[name] = !ui[name], shot.follow = ui.follow, refresh());
const tool = (name) => () => {
  if (name === "shapes" && $("edits").children[1].disabled) return notice("This document has no shapes");
  ui.tool = name, ui.selected = ui.hover = null;
  refresh();
};
/* [what the help says, the keys, what they do]; a key may carry Ctrl+, Alt+, Shift+. */
const commands = [
  ["Frame before, after", "ArrowLeft ArrowRight", (k) => (ui.playing = false, go(ui.frame + (k === "ArrowLeft" ? -1 : 1)))],
  ["Ten frames", "Shift+ArrowLeft Shift+ArrowRight", (k) => go(ui.frame + (k.endsWith("Left") ? -10 : 10))],
  ["First, last frame", "Home End", (k) => go(k === "Home" ? 0 : shot.count - 1)],
  ["Play", "Space", play],
  ["Next worth a look, before", "N Shift+N", (k) => next_suggestion(k === "N" ? 1 : -1)],
  ["Next point, before", "Tab Shift+Tab", (k) => select_next(k === "Tab" ? 1 : -1)],
  ["Move it by half a pixel", "Alt+ArrowLeft Alt+ArrowRight Alt+ArrowUp Alt+ArrowDown", (k) => nudge_key(k, 0.5)],
  ["Move it by five pixels", "Alt+Shift+ArrowLeft Alt+Shift+ArrowRight Alt+Shift+ArrowUp Alt+Shift+ArrowDown", (k) => nudge_key(k, 5)],
  ["Accept it as it is", "Enter", () => accept(false)],
  ["Accept the whole frame", "Shift+Enter", () => accept(true)],
  ["Hide, show", "H", toggle_visible],
  ["Back to how it came", "R", reset],
  ["Undo, redo", "Ctrl+Z Ctrl+Shift+Z Ctrl+Y", (k) => step_history(k === "Ctrl+Z" ? shot.undo() : shot.redo())],
  ["Download the document", "Ctrl+S", () => download()],
  ["Points, shapes", "1 2", (k) => tool(k === "1" ? "points" : "shapes")()],
  ["Plate, tint, matte", "M", () => ($("looks").children[1].disabled || (ui.look = looks[(looks.indexOf(ui.look) + 1) % 3]), refresh())],
  ["Onion skin", "O", toggle("onion")],
  ["Before smoothing and edits", "B", toggle("before")],
  ["Names", "L", toggle("labels")],
  ["Neighbours follow a fix", "F", toggle("follow")],
  ["Closer, whole frame", "Z", fit_subject],
  ["Zoom", "+ -", (k) => zoom_at(k === "+" ? 1.25 : 0.8)],
  ["Timeline: closer, whole shot", "T", toggle_span],
  ["These keys", "?", () => ($("help").hidden = !$("help").hidden)],
  ["Nothing selected", "Escape", () => ($("help").hidden = true, ui.selected = null, refresh())],
];
function nudge_key(k, by) {
  nudge(k.endsWith("Left") ? -by : k.endsWith("Right") ? by : 0, k.endsWith("Up") ? -by : k.endsWith("Down") ? by : 0);
}
const keys = new Map(commands.flatMap(([, names, run]) => names.split(" ").map((name) => [name, run])));
function key_name(e) {
  const name = e.key === " " ? "Space" : e.key.length === 1 ? (e.key === "=" ? "+" : e.key.toUpperCase()) : e.key;
  const shift = e.shiftKey && !/^[?+]$/.test(name);
  return (e.ctrlKey || e.metaKey ? "Ctrl+" : "") + (e.altKey ? "Alt+" : "") + (shift ? "Shift+" : "") + name;
}
window.addEventListener("keydown", (e) => {
  const name = key_name(e), run = keys.get(name);
  if (!run || !shot) return;
  e.preventDefault();
  run(name);
});
const key_signs = {ArrowLeft: "\u2190", ArrowRight: "\u2192", ArrowUp: "\u2191", ArrowDown: "\u2193", Enter: "\u21b5"};
function show_help_keys() {
  const sign = (name) => name.replace(/[A-Za-z]+$/, (k) => key_signs[k] || k);
  $("help-keys").replaceChildren(...commands.map(([text, names]) => {
    let list = names.split(" ").map(sign);
    if (list.length === 3) list.pop();
    if (list.length === 4) list = [list[0].replace("\u2190", "\u2190\u2191\u2193\u2192")];
    return element("div", {}, element("span", {}, ...list.map((k) => element("kbd", {textContent: k}))), element("span", {textContent: text}));
  }), element("div", {}, element("span", {}, element("kbd", {textContent: "wheel"})), element("span", {textContent: "Zoom at the mouse, in picture and timeline"})),
  element("div", {}, element("span", {}, element("kbd", {textContent: "drag"})), element("span", {textContent: "A point, a vertex, a handle; the ground: pan"})),
  element("div", {}, element("span", {}, element("kbd", {textContent: "Alt+drag"})), element("span", {textContent: "A handle alone, as a corner"})));
}
$("help").addEventListener("click", () => ($("help").hidden = true));

/* ---- keeping */

let notice_timer = 0;
function notice(text, button, run) {
  clearTimeout(notice_timer);
  $("notice").replaceChildren(text);
  if (button) $("notice").append(element("button", {textContent: button, onclick: () => ($("notice").hidden = true, run())}));
  $("notice").hidden = false;
  notice_timer = setTimeout(() => ($("notice").hidden = true), button ? 12000 : 3500);
}

function hash(text) { /* FNV-1a */
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; ++i) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 0).toString(16);
}
/* Runs use(table) on the browser's store and gives its result.  IndexedDB, because localStorage has a few megabytes for all pages. */
function store(mode, use) {
  return new Promise((done, fail) => {
    const open = indexedDB.open("roto review", 1);
    open.onupgradeneeded = () => open.result.createObjectStore("work");
    open.onerror = () => fail(open.error);
    open.onsuccess = () => {
      const transaction = open.result.transaction("work", mode), request = use(transaction.objectStore("work"));
      transaction.oncomplete = () => (open.result.close(), done(request.result));
      transaction.onabort = () => (open.result.close(), fail(transaction.error));
    };
  });
}
let save_timer = 0;
async function autosave() {
  clearTimeout(save_timer);
  const patch = shot.patch();
  try {
    await store("readwrite", (table) => patch.length ? table.put({file: facts.file, time: Date.now(), patch}, store_key) : table.delete(store_key));
    const frames = new Set(patch.map((p) => p[0])).size;
    $("saved").textContent = patch.length ? `Kept here: ${frames} frame${frames > 1 ? "s" : ""} changed` : "";
  } catch (error) {
    $("saved").textContent = "This browser keeps nothing: download before you close the page";
  }
}
async function restore() {
  const kept = await store("readonly", (table) => table.get(store_key)).catch(() => null);
  if (!kept || !kept.patch || !shot.restore(kept.patch)) return;
  const when = new Date(kept.time).toLocaleString([], {dateStyle: "medium", timeStyle: "short"});
  notice(`Your work of ${when} is back.`, "Start over", () => {
    shot.edit("start over", ui.frame, shot.patch().map(([f, kind, key]) => shot.change(f, kind, key, shot.original(f, kind, key))));
  });
  autosave();
}
function download() {
  const link = element("a", {download: facts.file, href: URL.createObjectURL(new Blob([shot.text()], {type: "application/json"}))});
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved_edits = shot.done.length;
  notice(`${facts.file} is in your downloads`);
  refresh();
}

/* ---- start */

async function start() {
  const text = $("document").textContent;
  facts = JSON.parse($("facts").textContent);
  engine = await Engine.load(bytes_of($("wasm").textContent));
  if (facts.model_shapes) engine.open_model(bytes_of($("model").textContent), facts.model_shapes);
  shot = new Shot(JSON.parse(text), engine);
  pictures = new Pictures(shot.count, (f) => f === ui.frame && refresh());
  store_key = "roto review " + hash(text);
  const numbers = shot.frames.map((f) => f.frame);
  $("shot-name").textContent = facts.file.replace(/\.roto\.json$|\.json$/, "");
  $("shot-facts").textContent = `${numbers[0]}\u2013${numbers[numbers.length - 1]}, ${shot.count} frames, ${shot.doc.model.name || ""}`;
  const index = new Map(shot.frames.map((frame, f) => [frame.frame, f]));
  suggestions = facts.suggestions.map((s) => ({...s, f: index.get(s.frame)}));
  shot.on_change = (kind) => {
    refresh();
    if (kind === "live") return;
    clearTimeout(save_timer);
    save_timer = setTimeout(autosave, 250);
  };
  strip.span = shot.count;
  await restore();
  for (const b of $("looks").children) b.onclick = () => (ui.look = b.dataset.look, refresh());
  for (const b of $("edits").children) b.onclick = tool(b.dataset.tool);
  for (const b of $("toggles").children) b.onclick = toggle(b.dataset.toggle);
  $("undo").onclick = () => step_history(shot.undo());
  $("redo").onclick = () => step_history(shot.redo());
  $("save").onclick = download;
  $("help-button").onclick = () => ($("help").hidden = false);
  window.addEventListener("resize", refresh);
  if (shot.count < LEAST_SPAN) keys.delete("T");
  document.addEventListener("visibilitychange", autosave);
  for (const b of document.querySelectorAll("button")) b.tabIndex = -1; /* Tab goes from point to point */
  show_help_keys();
  view.focus();
  pictures.ahead(0, 1);
  fit_frame();
}

/* What tests ask. */
window.review = {
  ui,
  get shot() { return shot; },
  ready: () => !!shot && !wanted && pictures.held.has(ui.frame),
  held: () => pictures.held.size,
  place: (x, y) => {
    const r = view.getBoundingClientRect();
    return [r.left + sx(x), r.top + sy(y)];
  },
};
start().catch((error) => {
  document.body.textContent = `This page cannot run here: ${error.message}. Open it in a current Chrome, Firefox or Safari.`;
});
