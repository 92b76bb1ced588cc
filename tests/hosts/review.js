/* The review page as an artist uses it: node tests/hosts/review.js FOLDER NATIVE MODEL, with shot.html, truth.html and long.html in
 * it.  Mouse and keys are the browser's own; only what came of it is asked from the page.  NATIVE is tests/native.c, which
 * draws the shapes that the page's WebAssembly must draw. */

"use strict";

const fs = require("fs"), {execFileSync} = require("child_process"), {Browser, sleep} = require("./browser.js");

const [folder, native, model] = process.argv.slice(2);
let passed = 0, failed = 0;
function check(holds, what) {
  if (holds) return ++passed;
  ++failed;
  console.log("FAILED: " + what);
}
const near = (a, b, limit) => Math.abs(a - b) <= limit;

(async () => {
  const browser = await Browser.open(1440, 900, folder + "/downloads");
  const open = async (page) => {
    await browser.go(`file://${folder}/${page}`);
    await browser.until("return window.review && review.ready()", "the page to be ready");
  };
  const point = (f, i) => browser.run("return review.shot.point(arguments[0], arguments[1])", f, i);
  const place = (f, i) => browser.run("const p = review.shot.point(arguments[0], arguments[1]); return review.place(p.x, p.y)", f, i);
  const frame = () => browser.run("return review.ui.frame");
  /* How far the shapes of a frame that were drawn anew are from those that the native code draws through its points.  The others are
   * as the document has them, rounded; and a document has no tangents at the ends of an open shape. */
  const apart = async (f) => {
    const [points, shapes] = await browser.run(`const s = review.shot, f = arguments[0]; return [s.frames[f].points.map((p) => [p.x, p.y]),
      s.shapes.map((t) => [t.closed, s.shape(f, t.name) !== s.original(f, "shape", t.name), vertices_of(s.shape(f, t.name), t.closed).map((v) => [v.x, v.y, v.ix, v.iy, v.ox, v.oy])])]`, f);
    const text = execFileSync(native, ["shapes", model], {input: points.map((p) => p.join(" ")).join("\n")}).toString().trim();
    const drawn = text.split("\n").map((line) => line.split(" ").map(Number));
    let worst = 0, at = 0, anew = 0;
    for (const [closed, changed, vertices] of shapes) {
      anew += changed;
      if (changed) vertices.forEach((v, i) => v.forEach((c, k) => {
        if (closed || !((!i && (k === 2 || k === 3)) || (i === vertices.length - 1 && k > 3))) worst = Math.max(worst, Math.abs(c - drawn[at + i][k]));
      }));
      at += vertices.length;
    }
    return at === drawn.length && anew ? worst : Infinity;
  };
  const settled = () => browser.until("return review.ready()", "the page to settle");
  try {
    await open("shot.html");
    check(await browser.run("return review.shot.count") === 16, "16 frames are there");
    const colours = await browser.run(`const c = document.getElementById("view"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      const seen = new Set(); for (let i = 0; i < d.length; i += 4000) seen.add(d[i] + "," + d[i + 1] + "," + d[i + 2]); return seen.size`);
    check(colours > 50, `the plate is seen: ${colours} colours`);

    /* Scrub along the timeline, step, jump. */
    const strip = await browser.run(`const r = document.getElementById("timeline").getBoundingClientRect(); return [r.left, r.top, r.width, r.height]`);
    await browser.drag(strip[0] + 0.3 * strip[2], strip[1] + strip[3] / 2, strip[0] + 0.7 * strip[2], strip[1] + strip[3] / 2);
    const scrubbed = await frame();
    check(scrubbed > 8 && scrubbed < 14, `scrubbed to frame ${scrubbed}`);
    await browser.press("ArrowRight");
    check(await frame() === scrubbed + 1, "one frame on");
    await browser.press("Home");
    check(await frame() === 0, "the first frame");
    await browser.press("n");
    const worst = JSON.parse(fs.readFileSync(folder + "/suggest.json")).suggestions[0].frame;
    const shown = await browser.run("return review.shot.frames[review.ui.frame].frame");
    check(worst === shown, `N goes to the worst frame of roto suggest, ${worst}, found ${shown}`);

    /* Closer, and drag a point. */
    const f = 6;
    await browser.press("Home");
    for (let k = 0; k < f; ++k) await browser.press("ArrowRight");
    await browser.press("z");
    await settled();
    const i = 8, old = await point(f, i), neighbour = await point(f + 1, i), zoom = await browser.run("return review.ui.zoom");
    let [x, y] = await place(f, i);
    await browser.drag(x, y, x + 60, y + 40);
    let now = await point(f, i);
    check(now.origin === "artist" && near(now.x, old.x + 60 / zoom, 0.3) && near(now.y, old.y + 40 / zoom, 0.3), "the point was dragged");
    check(Math.hypot((await point(f + 1, i)).x - neighbour.x, (await point(f + 1, i)).y - neighbour.y) > 0.1, "the next frame follows");
    check(await apart(f) < 1e-3 && await apart(f + 1) < 1e-3, `shapes are the native code's within ${await apart(f)}, ${await apart(f + 1)} px`);
    await settled();
    await browser.screenshot(folder + "/dragged.png");
    await browser.press("Ctrl+z");
    now = await point(f, i);
    check(now.x === old.x && now.origin === old.origin, "undone");
    await browser.press("Ctrl+Shift+z");
    check((await point(f, i)).origin === "artist", "and done again");
    await browser.press("Alt+ArrowLeft");
    now = await point(f, i);
    check(near(now.x, old.x + 60 / zoom - 0.5, 0.3), "nudged half a pixel");
    await browser.press("Tab");
    await browser.press("h");
    check((await point(f, i + 1)).visible === false, "the next point is hidden");

    /* Kept over a reload, and downloaded. */
    await browser.until(`return document.getElementById("saved").textContent.startsWith("Kept here")`, "the page to keep the work");
    await sleep(400);
    await open("shot.html");
    const back = await point(f, i);
    check(back.x === now.x && back.y === now.y && back.origin === "artist", "the work is there after a reload");
    check((await point(f, i + 1)).visible === false, "hiding too");
    await browser.press("Ctrl+s");
    const file = folder + "/downloads/shot.roto.json";
    for (let tries = 0; tries < 100 && !fs.existsSync(file); ++tries) await sleep(50);
    const doc = JSON.parse(fs.readFileSync(file));
    check(near(doc.frames[f].points[i].x, now.x, 1e-4) && doc.frames[f].points[i].origin === "artist", "the download holds the fix");
    check(doc.frames[f].points[i + 1].visible === false && doc.frames.length === 16, "and the hidden point");

    /* Shapes: a vertex and a handle by hand, the matte, two sizes of screen. */
    await open("truth.html");
    await browser.press("z");
    await browser.press("2");
    await settled();
    const corner = () => browser.run(`const s = review.shot.shapes[0], v = vertices_of(review.shot.shape(0, s.name), s.closed)[1];
      return {v, at: review.place(v.x, v.y), out: review.place(v.x + v.ox, v.y + v.oy)}`);
    let c = await corner();
    await browser.drag(c.at[0], c.at[1], c.at[0] + 25, c.at[1] - 30);
    const after = await corner();
    check(Math.hypot(after.at[0] - c.at[0] - 25, after.at[1] - c.at[1] + 30) < 2, "a vertex was dragged");
    await browser.drag(after.out[0], after.out[1], after.out[0] + 20, after.out[1] + 10);
    const bent = await corner();
    check(Math.hypot(bent.out[0] - after.out[0] - 20, bent.out[1] - after.out[1] - 10) < 2, "a handle was dragged");
    check(near(bent.v.ix * bent.v.oy, bent.v.iy * bent.v.ox, 1e-6 * Math.hypot(bent.v.ix, bent.v.iy) * Math.hypot(bent.v.ox, bent.v.oy) + 1e-9), "the tangents stay in line");
    check(await browser.run(`return review.shot.shape(0, review.shot.shapes[0].name).origin`) === "artist", "the shape is the artist's");
    await browser.press("o");
    await settled();
    await browser.screenshot(folder + "/shapes.png");
    await browser.press("m");
    await browser.press("m");
    await settled();
    const white = await browser.run(`const s = review.shot, v = vertices_of(s.shape(0, "left_eye"), true);
      const x = v.reduce((a, p) => a + p.x, 0) / v.length, y = v.reduce((a, p) => a + p.y, 0) / v.length, [sx, sy] = review.place(x, y);
      const c = document.getElementById("view"), r = c.getBoundingClientRect();
      return [...c.getContext("2d").getImageData(Math.round(sx - r.left), Math.round(sy - r.top), 1, 1).data]`);
    check(white[0] > 200 && white[2] > 200, `the eye is white in the matte: ${white}`);
    await browser.size(2560, 1440);
    await sleep(200);
    await browser.screenshot(folder + "/wide.png");
    check(await browser.run("return document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"), "nothing overflows");

    /* A thousand frames: there at once, scrubbed without waiting, and few pictures held. */
    await browser.size(1440, 900);
    const begin = Date.now();
    await open("long.html");
    const opened = Date.now() - begin;
    check(await browser.run("return review.shot.count") === 1000, "1000 frames are there");
    const times = await browser.ask("POST", "/execute/async", {args: [], script: `const done = arguments[arguments.length - 1], times = [];
      const line = document.getElementById("timeline"), r = line.getBoundingClientRect(), move = (kind, k) => line.dispatchEvent(
        new PointerEvent(kind, {clientX: r.left + 110 + k / 120 * (r.width - 130), clientY: r.top + 60, pointerId: 1, bubbles: true}));
      line.setPointerCapture = () => {};
      let last = performance.now();
      const step = (now) => {
        times.push(performance.now() - last), last = performance.now();
        if (times.length > 120) return move("pointerup", 120), done(times.sort((a, b) => a - b));
        move(times.length === 1 ? "pointerdown" : "pointermove", times.length), requestAnimationFrame(step);
      };
      requestAnimationFrame(step);`});
    await settled();
    const held = await browser.run("return review.held()");
    console.log(`1000 frames: open after ${opened} ms; scrubbing: ${times[60].toFixed(0)} ms a step, at most ${times[120].toFixed(0)}; ${held} pictures held`);
    check(opened < 20000 && times[60] < 500, "1000 frames are usable");
    check(await frame() > 950 && held < 400, "only what was looked at is decoded");
    await browser.press("t");
    await settled();
    await browser.screenshot(folder + "/long.png");
  } catch (error) {
    check(false, error.message);
  } finally {
    await browser.close();
  }
  console.log(`review: ${passed} passed, ${failed} failed`);
})();
