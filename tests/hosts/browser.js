/* A headless Chromium driven over WebDriver, by HTTP alone: what tests/review needs of it.
 *
 *   const browser = await Browser.open(width, height, folder);   downloads land in the folder
 *   await browser.go("file:///page.html"); await browser.run("return document.title");
 *   await browser.press("a"); await browser.drag(x0, y0, x1, y1); await browser.screenshot("shot.png");
 *   await browser.close(); */

"use strict";

const {spawn} = require("child_process"), fs = require("fs"), net = require("net");

const keys = {Shift: "\ue008", Ctrl: "\ue009", Alt: "\ue00a", Tab: "\ue004", Enter: "\ue007", Escape: "\ue00c", End: "\ue010", Home: "\ue011",
  ArrowLeft: "\ue012", ArrowUp: "\ue013", ArrowRight: "\ue014", ArrowDown: "\ue015", Space: " "};

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function free_port() {
  return new Promise((done) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const {port} = server.address();
      server.close(() => done(port));
    });
  });
}

class Browser {
  static async open(width, height, folder) {
    const browser = new Browser(), port = await free_port();
    browser.driver = spawn("chromedriver", [`--port=${port}`], {stdio: "ignore"});
    browser.base = `http://127.0.0.1:${port}`;
    for (let tries = 0; ; ++tries) {
      try {
        if ((await (await fetch(browser.base + "/status")).json()).value.ready) break;
      } catch (error) {
        if (tries > 100) throw new Error("chromedriver does not answer");
      }
      await sleep(100);
    }
    const profile = fs.mkdtempSync(folder + "/profile-");
    const session = await browser.ask("POST", "/session", {capabilities: {alwaysMatch: {browserName: "chrome", "goog:chromeOptions": {
      args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-device-scale-factor=1",
        `--user-data-dir=${profile}`, `--window-size=${width},${height}`],
      prefs: {"download.default_directory": folder}}}}});
    browser.base += "/session/" + session.sessionId;
    await browser.size(width, height);
    return browser;
  }

  async ask(method, path, body) {
    const answer = await fetch(this.base + path, {method, body: body && JSON.stringify(body)});
    const {value} = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${value.message}`);
    return value;
  }
  /* The size of the page, not of the window around it. */
  async size(width, height) {
    await this.ask("POST", "/goog/cdp/execute", {cmd: "Emulation.setDeviceMetricsOverride",
      params: {width, height, deviceScaleFactor: 1, mobile: false}});
  }
  go(url) { return this.ask("POST", "/url", {url}); }
  run(script, ...args) { return this.ask("POST", "/execute/sync", {script, args}); }
  async until(script, what) {
    for (let tries = 0; tries < 300; ++tries) {
      if (await this.run(script)) return;
      await sleep(50);
    }
    throw new Error("waited in vain: " + what);
  }
  /* "Ctrl+Shift+z", "Tab", "n" */
  async press(name) {
    const parts = name.length > 1 ? name.split("+") : [name], list = parts.map((p) => keys[p] || p);
    const actions = [...list.map((value) => ({type: "keyDown", value})), ...list.reverse().map((value) => ({type: "keyUp", value}))];
    await this.ask("POST", "/actions", {actions: [{type: "key", id: "keyboard", actions}]});
  }
  async pointer(...actions) {
    await this.ask("POST", "/actions", {actions: [{type: "pointer", id: "mouse", parameters: {pointerType: "mouse"}, actions}]});
  }
  /* In a few steps, as a hand does. */
  async drag(x0, y0, x1, y1) {
    const move = (x, y) => ({type: "pointerMove", duration: 20, x: Math.round(x), y: Math.round(y)});
    const steps = [0.3, 0.6, 0.9, 1].map((t) => move(x0 + t * (x1 - x0), y0 + t * (y1 - y0)));
    await this.pointer(move(x0, y0), {type: "pointerDown", button: 0}, ...steps, {type: "pointerUp", button: 0});
  }
  async screenshot(path) { fs.writeFileSync(path, Buffer.from(await this.ask("GET", "/screenshot"), "base64")); }
  async close() {
    try {
      await this.ask("DELETE", "");
    } finally {
      this.driver.kill();
    }
  }
}

module.exports = {Browser, sleep};
