/* An artist at the review page: node tests/hosts/artist.js PAGE.html TRUTH.roto.json FRAMES DOWNLOADS
 *
 * Goes to the next FRAMES frames worth a look with N, puts every point of each where TRUTH says it is, by mouse where there is room
 * and by keys where points are close, hides what is covered, accepts the frame, and downloads the document to the folder DOWNLOADS.
 * Only keys and mouse are used; the page is asked where its points are on the screen, as eyes would see. */

"use strict";

const fs = require("fs"), path = require("path"), {Browser, sleep} = require("./browser.js");

const [page, truth_path, frames, downloads] = process.argv.slice(2);
const truth = new Map(JSON.parse(fs.readFileSync(truth_path)).frames.map((f) => [f.frame, f.points]));
const ROOM = 14, CLOSE = 0.3; /* pixels of the screen, of the plate */

(async () => {
  const browser = await Browser.open(1440, 900, path.resolve(downloads)), fixed = [];
  let dragged = 0, nudged = 0, hidden = 0;
  try {
    await browser.go("file://" + path.resolve(page));
    await browser.until("return window.review && review.ready()", "the page to be ready");
    const seen = () => browser.run(`return {frame: review.shot.frames[review.ui.frame].frame, zoom: review.ui.zoom, chosen: review.ui.selected,
      points: review.shot.frames[review.ui.frame].points.map((p) => [p.x, p.y, p.visible !== false, ...review.place(p.x, p.y)])}`);
    const choose = async (i) => {
      for (let step = 0; step < 100; ++step) {
        const {chosen} = await seen();
        if (chosen && chosen.kind === "point" && chosen.key === i) return;
        await browser.press("Tab");
      }
      throw new Error(`Tab does not come to point ${i}`);
    };
    for (let k = 0; k < +frames; ++k) {
      await browser.press("n");
      if (!k) await browser.press("z");
      await browser.until("return review.ready()", "the frame to be there");
      const {frame} = await seen(), there = truth.get(frame);
      fixed.push(frame);
      for (let i = 0; i < there.length; ++i) {
        const now = await seen(), [x, y, visible, sx, sy] = now.points[i], dx = there[i].x - x, dy = there[i].y - y;
        if (visible && there[i].visible === false) {
          await choose(i);
          await browser.press("h");
          ++hidden;
          continue;
        }
        if (Math.hypot(dx, dy) < CLOSE) continue;
        const room = now.points.every((p, j) => j === i || Math.hypot(p[3] - sx, p[4] - sy) > ROOM);
        const onto = [sx + dx * now.zoom, sy + dy * now.zoom];
        if (room && sx > 5 && sy > 50 && sx < 1150 && sy < 720) {
          await browser.drag(Math.round(sx), Math.round(sy), Math.round(sx) + onto[0] - sx, Math.round(sy) + onto[1] - sy);
          ++dragged;
          continue;
        }
        await choose(i);
        for (const [d, before, after] of [[dx, "Left", "Right"], [dy, "Up", "Down"]])
          for (let n = Math.round(Math.abs(d) / 0.5); n > 0; --n) await browser.press(`Alt+Arrow${d < 0 ? before : after}`);
        ++nudged;
      }
      await browser.press("Shift+Enter");
    }
    await browser.until(`return document.getElementById("saved").textContent.startsWith("Kept here")`, "the page to keep the work");
    if (process.env.PICTURE) await browser.screenshot(process.env.PICTURE);
    await browser.press("Ctrl+s");
    const file = path.join(downloads, await browser.run("return JSON.parse(document.getElementById('facts').textContent).file"));
    for (let tries = 0; tries < 200 && !fs.existsSync(file); ++tries) await sleep(50);
    if (!fs.existsSync(file)) throw new Error("nothing was downloaded to " + file);
  } finally {
    await browser.close();
    for (const name of fs.readdirSync(downloads)) if (name.startsWith("profile-")) fs.rmSync(path.join(downloads, name), {recursive: true, force: true, maxRetries: 5});
  }
  console.log(`artist: frames ${fixed.join(" ")}: ${dragged} points dragged, ${nudged} nudged, ${hidden} hidden`);
})().catch((error) => {
  console.log("artist: " + error.message);
  process.exit(1);
});
