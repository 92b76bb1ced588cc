/* The page's functions without a browser: node tests/review_page.js PAGE.html MODEL_PAGE.html MODEL.roto NATIVE FOLDER
 *
 * All is taken from the pages as they were written: scripts, WebAssembly, document, frames; MODEL_PAGE carries MODEL, which draws
 * shapes.  FOLDER holds matte.NNNN.png, which `roto matte` drew from PAGE's document; NATIVE is the program of tests/native.c.
 * Writes FOLDER/edited.roto.json. */

"use strict";

const fs = require("fs"), vm = require("vm"), zlib = require("zlib"), {execFileSync} = require("child_process");

const [, , page_path, model_page_path, model_path, native_program, folder] = process.argv;
let passed = 0, failed = 0;
function check(holds, what) {
  if (holds) return ++passed;
  ++failed;
  console.log("FAILED: " + what);
}
const near = (a, b, limit) => Math.abs(a - b) <= limit;
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/* {elements: text of script elements by id, script: the last one} */
function read_page(path) {
  const page = {elements: new Map(), script: ""};
  for (const [, attributes, text] of fs.readFileSync(path, "utf8").matchAll(/<script([^>]*)>([^]*?)<\/script>/g)) {
    const id = /id="([^"]*)"/.exec(attributes);
    if (id) page.elements.set(id[1], text);
    else page.script = text;
  }
  return page;
}
const native = (args, rows) => execFileSync(native_program, args, {input: rows.map((r) => r.join(" ")).join("\n")}).toString().trim()
  .split("\n").map((l) => l.split(" ").map(Number));
const {elements, script} = read_page(page_path);

/* 8-bit grey PNG, as roto writes it. */
function read_png(path) {
  const data = fs.readFileSync(path), chunks = [];
  let width = 0, height = 0;
  for (let at = 8; at < data.length;) {
    const size = data.readUInt32BE(at), name = data.toString("latin1", at + 4, at + 8), body = data.subarray(at + 8, at + 8 + size);
    if (name === "IHDR") width = body.readUInt32BE(0), height = body.readUInt32BE(4);
    if (name === "IDAT") chunks.push(body);
    at += 12 + size;
  }
  const rows = zlib.inflateSync(Buffer.concat(chunks)), pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; ++y) {
    const filter = rows[y * (width + 1)];
    for (let x = 0; x < width; ++x) {
      const a = x ? pixels[y * width + x - 1] : 0, b = y ? pixels[(y - 1) * width + x] : 0, c = x && y ? pixels[(y - 1) * width + x - 1] : 0;
      const p = a + b - c, d = [Math.abs(p - a), Math.abs(p - b), Math.abs(p - c)];
      const paeth = d[0] <= d[1] && d[0] <= d[2] ? a : d[1] <= d[2] ? b : c;
      pixels[y * width + x] = rows[y * (width + 1) + 1 + x] + [0, a, b, (a + b) >> 1, paeth][filter];
    }
  }
  return {width, height, pixels};
}

(async () => {
  /* Everything the page carries. */
  const doc = JSON.parse(elements.get("document")), wasm = Buffer.from(elements.get("wasm"), "base64");
  check(doc.frames.length === 12 && doc.model.description === "a < b & </script>", "the document comes through");
  for (let f = 0; f < 12; ++f) {
    const jpeg = Buffer.from(elements.get("frame-" + f), "base64");
    check(jpeg[0] === 0xff && jpeg[1] === 0xd8 && jpeg.readUInt16BE(jpeg.length - 2) === 0xffd9, `frame ${f} is a whole JPEG`);
  }
  const module = await WebAssembly.compile(wasm);
  check(WebAssembly.Module.imports(module).length === 0, "the WebAssembly needs nothing from outside");
  check(wasm.includes(0xfd), "and has SIMD in it");

  /* The scripts without the page's own start. */
  const context = vm.createContext({WebAssembly, console, module: undefined, performance});
  vm.runInContext(script.slice(0, script.indexOf("/* The page itself")) + "\nthis.parts = {Engine, Shot, vertices_of, segments_of, carry_shape};", context);
  const {Engine, Shot, vertices_of, segments_of} = context.parts, engine = await Engine.load(wasm);
  const fresh = () => new Shot(JSON.parse(JSON.stringify(doc)), engine);

  /* The smoother and the matte are the programs'. */
  const track = [];
  for (let t = 0; t < 60; ++t) track.push([100 + 3 * t + 2 * Math.sin(t * 13), 50 + t + 2 * Math.cos(t * 7), 1 + (t % 5) / 3, t === 20 ? 1 : 0, 3, 1, t === 40 ? 0 : 0.2]);
  const theirs = native(["smooth"], track);
  const ours = engine.smooth(track.map(([x, y, error, fixed]) => ({x, y, error, fixed})), track.map((r) => ({x: r[4], y: r[5], error: r[6]})));
  const off = Math.max(...ours.map((o, t) => Math.max(Math.abs(o.x - theirs[t][0]), Math.abs(o.y - theirs[t][1]))));
  check(theirs.length === 60 && off < 1e-3, `smoothing differs from the program's by ${off} pixels`);
  console.log(`smoothing: within ${off.toExponential(1)} pixels of the native code's`);
  let shot = fresh();
  for (const f of [0, 5]) {
    const png = read_png(`${folder}/matte.${1001 + f}.png`);
    const drawn = shot.shapes.map((s) => ({value: shot.shape(f, s.name), closed: s.closed}))
      .map((s) => ({vertices: vertices_of(s.value, s.closed), closed: s.closed, width: s.value.width || 2}));
    const pixels = engine.matte(drawn, 1, png.width, png.height);
    let most = 0, covered = 0;
    pixels.forEach((v, i) => (most = Math.max(most, Math.abs(v - png.pixels[i])), covered += v));
    check(most <= 1 && covered > 255 * 5000, `matte of frame ${f}: differs by ${most} of 255, covers ${covered / 255} pixels`);
  }

  /* Shapes as one draws them, and back. */
  for (const s of shot.shapes) {
    const value = shot.shape(0, s.name);
    check(same(segments_of(vertices_of(value, s.closed), s.closed), value.segments), `${s.name}: segments to vertices and back`);
  }

  /* A fix: the point is the artist's, its neighbours follow less and less, an artist's own do not, shapes come along. */
  const before = JSON.stringify(shot.doc), at = shot.point(6, 0);
  shot.edit("move", 6, shot.move_point(6, 0, at.x + 20, at.y - 10));
  const moved = (f, i) => Math.hypot(shot.point(f, i).x - doc.frames[f].points[i].x, shot.point(f, i).y - doc.frames[f].points[i].y);
  check(near(moved(6, 0), Math.hypot(20, 10), 1e-9) && shot.point(6, 0).origin === "artist", "the fixed point is where it was put");
  check(same(shot.point(6, 0).raw, [at.x, at.y]), "what the model found is kept beside it");
  for (let f = 7; f < 11; ++f) check(moved(f, 0) < moved(f - 1, 0) && moved(f, 0) > 0.5 && shot.point(f, 0).origin === "smoothed", `frame ${f} follows (${moved(f, 0)})`);
  check(moved(3, 0) === 0 && moved(2, 0) < 0.01, "an artist's point stays, and nothing passes it");
  check([1, 2, 3].every((i) => doc.frames.every((_, f) => moved(f, i) === 0)), "other points stay");
  const box = (f) => vertices_of(shot.shape(f, "the box"), true);
  check(near(box(6)[0].x, at.x + 20, 1e-3) && near(box(6)[0].y, at.y - 10, 1e-3), "its vertex is where the landmark is");
  check(near(box(6)[1].x, shot.point(6, 1).x, 1e-3), "vertices on other landmarks stay on them");
  check(!same(shot.shape(8, "the box").segments, doc.frames[8].shapes["the box"].segments), "the shape follows in other frames");
  check(same(shot.shape(6, "line"), doc.frames[6].shapes.line), "a shape without the landmark stays");
  const after = JSON.stringify(shot.doc);
  shot.undo();
  check(JSON.stringify(shot.doc) === before, "undo gives the document back");
  shot.redo();
  check(JSON.stringify(shot.doc) === after, "redo gives the fix back");

  /* A gesture in many steps is one edit, and ends as if it had been one step. */
  const other = fresh();
  for (let k = 1; k <= 10; ++k) other.preview(() => other.move_point(6, 0, at.x + 2 * k, at.y - k));
  other.commit("move", 6);
  check(JSON.stringify(other.doc) === after && other.done.length === 1, "a drag is one edit");
  other.undo();
  check(JSON.stringify(other.doc) === before, "and undone at once");

  /* Without follow only the frame itself changes. */
  other.follow = false;
  other.edit("move", 6, other.move_point(6, 0, at.x + 20, at.y - 10));
  check(other.patch().every(([f]) => f === 6) && other.patch().length === 2, "follow off: a point and its shape");

  /* With optical flow the smoother itself decides: across a cut nothing follows. */
  const flowing = fresh();
  flowing.frames.forEach((frame, f) => frame.points.forEach((p) => (p.flow = [2, 1, f === 8 ? -1 : 0.1])));
  flowing.edit("move", 6, flowing.move_point(6, 1, flowing.point(6, 1).x + 3, flowing.point(6, 1).y));
  const dx = (f) => flowing.point(f, 1).x - doc.frames[f].points[1].x;
  check(dx(7) > 0.5 && dx(8) > 0.3 && dx(9) === 0 && dx(5) > 0.5, `with flow: 7 by ${dx(7)}, 8 by ${dx(8)}, beyond the cut ${dx(9)}`);

  /* Vertices, handles, hiding, accepting. */
  shot.edit("vertex", 2, shot.move_vertex(2, "the box", 2, 150, 160));
  check(near(box(2)[2].x, 150, 1e-9) && shot.shape(2, "the box").origin === "artist", "a vertex moves, the shape is the artist's");
  shot.edit("vertex", 2, shot.move_vertex(2, "the box", 1, 210, 80));
  check(shot.point(2, 1).x === 210 && shot.point(2, 1).origin === "artist", "a vertex takes its landmark along");
  shot.edit("handle", 2, shot.move_handle(2, "the box", 2, true, 150 - 40, 160, false));
  check(near(box(2)[2].ox, -40, 1e-9) && near(box(2)[2].iy, 0, 1e-6) && box(2)[2].ix > 0, "the other handle stays in line");
  const arm = box(2)[2].ix;
  shot.edit("handle", 2, shot.move_handle(2, "the box", 2, true, 150, 160 + 30, true));
  check(near(box(2)[2].oy, 30, 1e-9) && box(2)[2].ix === arm, "a broken handle leaves the other alone");
  shot.edit("hide", 4, shot.set_visible(4, "shape", "line", false));
  shot.edit("hide", 4, shot.set_visible(4, "point", 2, false));
  check(shot.shape(4, "line").visible === false && shot.point(4, 2).visible === false && shot.point(4, 2).origin === "artist", "hidden");
  shot.edit("show", 9, shot.set_visible(9, "point", 3, true));
  check(!("visible" in shot.point(9, 3)), "shown");
  const was = shot.frames[10].points.map((p) => [p.x, p.y]);
  shot.edit("accept", 10, shot.accept(10, null));
  check(shot.frames[10].points.every((p) => p.origin === "artist") && shot.shape(10, "line").origin === "artist", "a frame accepted");
  check(same(shot.frames[10].points.map((p) => [p.x, p.y]), was), "accepting moves nothing");
  shot.edit("reset", 4, shot.reset(4, "point", 2));
  check(same(shot.point(4, 2), doc.frames[4].points[2]), "reset to how it came");

  /* What is worth a look is the list of `roto suggest`; frames done are known. */
  const list = JSON.parse(elements.get("facts")).suggestions;
  check(list.length > 0 && list[0].frame === 1008 && list.every((s, i) => !i || s.score <= list[i - 1].score), `the worst frame comes first: ${JSON.stringify(list[0])}`);
  check(fresh().doubtful(0, "nothing") === -1, "no point of a part that is not there");
  check(shot.reviewed(6) && shot.reviewed(3) && !shot.reviewed(0), "frames an artist touched are known");
  check(shot.stat(5).jitter > 0.2 && shot.stat(5).jitter < 3 && shot.stat(0).jitter === 0, `jitter ${shot.stat(5).jitter}`);

  /* Autosave, and the document that goes back to roto. */
  const again = fresh(), kept = JSON.parse(JSON.stringify(shot.patch()));
  check(again.restore(kept) === kept.length && JSON.stringify(again.doc) === JSON.stringify(shot.doc), "a patch brings everything back");
  const text = shot.text(), back = JSON.parse(text);
  check(back.frames[6].points[0].origin === "artist" && back.frames.every((f) => f.note === "kept"), "the text holds the fix and what the page does not know");
  check(near(back.frames[6].points[0].x, at.x + 20, 1e-4) && back.model.description === "a < b & </script>", "numbers and strings survive");
  fs.writeFileSync(`${folder}/edited.roto.json`, text);
  const start = performance.now();
  for (let k = 0; k < 50; ++k) again.preview(() => again.move_point(6, 0, at.x + k, at.y));
  console.log(`a step of a drag: ${((performance.now() - start) / 50).toFixed(2)} ms`);

  /* A model in the page: shapes are what the native code draws; one is drawn anew while its landmark is dragged. */
  const model_page = read_page(model_page_path), facts = JSON.parse(model_page.elements.get("facts"));
  const artist = await Engine.load(Buffer.from(model_page.elements.get("wasm"), "base64"));
  artist.open_model(Buffer.from(model_page.elements.get("model"), "base64"), facts.model_shapes);
  const drawing = new Shot(JSON.parse(model_page.elements.get("document")), artist), points = drawing.landmarks.length;
  check(artist.predicts.size > 0 && artist.predicts.size < drawing.shapes.length, "the model draws some of its shapes");
  let apart = 0;
  const compare = (places, drawn) => {
    const all = native(["shapes", model_path], places.map((p) => [p.x, p.y]));
    let first = 0;
    for (const s of drawing.shapes) {
      if (artist.predicts.has(s.name)) drawn(s).forEach((v, i) => {
        const w = all[first + i];
        const begins = !s.closed && !i, ends = !s.closed && i === s.vertices.length - 1; /* a document has no tangents there */
        [v.x, v.y, v.ix, v.iy, v.ox, v.oy].forEach((c, k) => {
          if (!(begins && (k === 2 || k === 3)) && !(ends && k > 3)) apart = Math.max(apart, Math.abs(c - w[k]));
        });
      });
      first += s.vertices.length;
    }
    return first === all.length;
  };
  for (let k = 0; k < 8; ++k) {
    const places = Array.from({length: points}, (_, i) => ({x: 300 + 200 * Math.sin(7 * i + k), y: 250 + 180 * Math.cos(5 * i + 3 * k)}));
    check(compare(places, (s) => artist.predict(s.name, places, s.vertices.length)), "as many vertices");
    drawing.frames[0].points = places.map((p) => ({...p, confidence: 1, error: 1, origin: "predicted"}));
  }
  const here = () => drawing.frames[0].points;
  drawing.frames[0].shapes = {};
  for (const s of drawing.shapes) {
    const drawn = artist.predicts.has(s.name) ? artist.predict(s.name, here(), s.vertices.length) : here().slice(0, s.vertices.length).map(({x, y}) => ({x, y, ix: -1, iy: 0, ox: 1, oy: 0}));
    drawing.frames[0].shapes[s.name] = {origin: "predicted", segments: segments_of(drawn, s.closed)};
  }
  for (let l = 0; l < points; ++l) drawing.edit("move", 0, drawing.move_point(0, l, here()[l].x + 11 - 5 * l, here()[l].y + 7 * l - 9));
  check(compare(here(), (s) => vertices_of(drawing.shape(0, s.name), s.closed)), "as many vertices after dragging");
  check(apart < 1e-3, `shapes differ from the native ones by ${apart} pixels`);
  const begin = performance.now(), first = [...artist.predicts.keys()][0];
  for (let k = 0; k < 1000; ++k) artist.predict(first, here(), drawing.shapes.find((s) => s.name === first).vertices.length);
  console.log(`a shape drawn anew: ${(performance.now() - begin).toFixed(0)} microseconds`);
  console.log(`shapes: within ${apart.toExponential(1)} pixels of the native code's`);
  const known = [...artist.predicts.keys()][0], hand = drawing.move_vertex(0, known, 1, 5, 5);
  drawing.edit("vertex", 0, hand);
  const l = drawing.shapes.find((s) => s.name === known).vertices[0];
  if (l >= 0) drawing.edit("move", 0, drawing.move_point(0, l, here()[l].x + 1, here()[l].y));
  check(drawing.shape(0, known).origin === "artist" && Math.hypot(vertices_of(drawing.shape(0, known), true)[1].x - 5, vertices_of(drawing.shape(0, known), true)[1].y - 5) < 40,
        "a shape an artist drew is carried along, not drawn anew");

  console.log(`review_page: ${passed} passed, ${failed} failed`);
})().catch((error) => {
  console.log(error);
  console.log(`review_page: ${passed} passed, ${failed + 1} failed`);
});
