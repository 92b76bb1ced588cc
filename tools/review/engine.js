/* roto.h in the page: WebAssembly behind functions that take and give plain JavaScript values.
 *
 * Memory may move whenever something is allocated, so views of it are made anew for each call. */

"use strict";

const roto_statuses = {1: "bad argument", 2: "out of memory"};

class Engine {
  constructor() {
    this.predicts = new Map(); /* shape name -> {index, landmarks}, of those that the model draws */
  }
  static async load(bytes) {
    const engine = new Engine();
    engine.wasm = (await WebAssembly.instantiate(bytes, {})).instance.exports;
    return engine;
  }

  /* Runs use(address) on a block of `size` bytes. */
  with_block(size, use) {
    const address = this.wasm.malloc(size);
    if (!address) throw new Error("out of memory");
    try {
      return use(address);
    } finally {
      this.wasm.free(address);
    }
  }

  check(status, what) {
    if (status) throw new Error(`${what}: ${roto_statuses[status] || "status " + status}`);
  }

  /* roto_smooth.  observations: [{x, y, error, fixed}], links: [{x, y, error}] from each to the next; gives [{x, y, error}]. */
  smooth(observations, links) {
    const count = observations.length, in_size = 16 * count, link_size = 12 * count;
    return this.with_block(in_size + link_size + 12 * count, (block) => {
      const floats = new Float32Array(this.wasm.memory.buffer, block), ints = new Int32Array(this.wasm.memory.buffer, block);
      observations.forEach((o, t) => {
        floats[4 * t] = o.x, floats[4 * t + 1] = o.y, floats[4 * t + 2] = o.error, ints[4 * t + 3] = o.fixed ? 1 : 0;
      });
      for (let t = 0; t < count; ++t) {
        const link = links[t] || {x: 0, y: 0, error: 0}, at = in_size / 4 + 3 * t;
        floats[at] = link.x, floats[at + 1] = link.y, floats[at + 2] = link.error;
      }
      this.check(this.wasm.roto_smooth(block, block + in_size, count, 0, 0, block + in_size + link_size), "smoothing");
      const out = new Float32Array(this.wasm.memory.buffer, block + in_size + link_size, 3 * count);
      return observations.map((_, t) => ({x: out[3 * t], y: out[3 * t + 1], error: out[3 * t + 2]}));
    });
  }

  /* roto_matte.  shapes: [{vertices, closed, width}]; gives width * height bytes of coverage. */
  matte(shapes, scale, width, height) {
    const doubles = [];
    for (const s of shapes) {
      doubles.push(s.vertices.length, s.closed ? 1 : 0, s.width, 0);
      for (const v of s.vertices) doubles.push(v.x, v.y, v.ix, v.iy, v.ox, v.oy, v.feather);
    }
    return this.with_block(8 * doubles.length + width * height, (block) => {
      new Float64Array(this.wasm.memory.buffer, block, doubles.length).set(doubles);
      const pixels = block + 8 * doubles.length;
      this.check(this.wasm.review_matte(block, shapes.length, scale, width, height, pixels), "matte");
      return new Uint8Array(this.wasm.memory.buffer, pixels, width * height).slice();
    });
  }

  /* Keeps a model; `names` are its shapes, in its order.  From then on `predicts` says for a shape's name which landmarks it depends
   * on, and predict() draws it. */
  open_model(bytes, names) {
    const address = this.wasm.malloc(bytes.length), room = 256;
    new Uint8Array(this.wasm.memory.buffer, address, bytes.length).set(bytes);
    this.check(this.wasm.review_open(address, bytes.length), "the model");
    this.with_block(4 * room, (block) => {
      names.forEach((name, index) => {
        const count = Math.min(this.wasm.review_shape_landmarks(index, block, room), room);
        if (count) this.predicts.set(name, {index, landmarks: [...new Uint32Array(this.wasm.memory.buffer, block, count)]});
      });
    });
  }

  /* roto_predict_shape.  points: [{x, y}] of all landmarks; gives `count` vertices. */
  predict(name, points, count) {
    return this.with_block(16 * points.length + 56 * count, (block) => {
      const places = new Float64Array(this.wasm.memory.buffer, block, 2 * points.length), out = block + 16 * points.length;
      points.forEach((p, i) => (places[2 * i] = p.x, places[2 * i + 1] = p.y));
      this.check(this.wasm.review_shape(this.predicts.get(name).index, block, out), "shape " + name);
      const v = new Float64Array(this.wasm.memory.buffer, out, 7 * count);
      return Array.from({length: count}, (_, i) => ({x: v[7 * i], y: v[7 * i + 1], ix: v[7 * i + 2], iy: v[7 * i + 3], ox: v[7 * i + 4], oy: v[7 * i + 5]}));
    });
  }
}
