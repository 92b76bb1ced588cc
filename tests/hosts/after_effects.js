// Runs an export for After Effects in a strict double of its object model; prints the masks as JSON: node after_effects.js FILE
//
// The double knows what the After Effects Scripting Guide documents and roto uses; anything else throws.
"use strict";
const fs = require("fs"), vm = require("vm");

function strict(name, object) {
  return new Proxy(object, {
    get(target, key) {
      if (typeof key === "symbol" || key === "toJSON" || key in target) return target[key]; // toJSON: ours, below
      throw new Error(`${name}.${key} is not documented`);
    },
    set(target, key, value) {
      if (!(key in target)) throw new Error(`${name}.${key} is not documented`);
      target[key] = value;
      return true;
    },
  });
}

function Shape() {
  return strict("Shape", {
    closed: true, vertices: [], inTangents: [], outTangents: [], featherSegLocs: [], featherRelSegLocs: [], featherRadii: [],
    featherTypes: [], featherInterps: [], featherTensions: [], featherRelCornerAngles: [],
  });
}

function checkShape(shape) {
  const count = shape.vertices.length;
  if (count < 2 || shape.inTangents.length !== count || shape.outTangents.length !== count) throw new Error("tangents");
  const feathers = shape.featherSegLocs.length, segments = shape.closed ? count : count - 1;
  for (const list of [shape.featherRelSegLocs, shape.featherRadii, shape.featherTypes, shape.featherInterps, shape.featherTensions,
    shape.featherRelCornerAngles]) {
    if (list.length !== feathers) throw new Error("feather arrays of different lengths");
  }
  shape.featherSegLocs.forEach((at, i) => {
    if (!(at >= 0 && at < segments)) throw new Error("feather on a segment that is not there");
    if (shape.featherTypes[i] !== (shape.featherRadii[i] < 0 ? 1 : 0)) throw new Error("inner feather points are negative");
  });
}

function property(name) {
  const keys = [];
  return strict(name, {
    keys,
    numKeys: 0,
    setValuesAtTimes(times, values) {
      if (times.length !== values.length || !times.length) throw new Error("setValuesAtTimes");
      times.forEach((time, i) => {
        if (name === "ADBE Mask Shape") checkShape(values[i]);
        else if (!(values[i] >= 0 && values[i] <= 100)) throw new Error("opacity");
        if (keys.length && !(time > keys[keys.length - 1].time)) throw new Error("times must ascend");
        keys.push({time, value: JSON.parse(JSON.stringify(values[i])), interpolation: "BEZIER"});
      });
      this.numKeys = keys.length;
    },
    setInterpolationTypeAtKey(index, before, after) {
      if (!(index >= 1 && index <= keys.length) || before !== after) throw new Error("setInterpolationTypeAtKey");
      keys[index - 1].interpolation = before;
    },
  });
}

const masks = [];
let undo = 0;
const parade = strict("ADBE Mask Parade", {
  addProperty(kind) {
    if (kind !== "ADBE Mask Atom") throw new Error(kind);
    const properties = {"ADBE Mask Shape": property("ADBE Mask Shape"), "ADBE Mask Opacity": property("ADBE Mask Opacity")};
    const mask = strict("mask", {
      name: "", maskMode: "", properties,
      property(key) {
        if (!(key in properties)) throw new Error(`mask property ${key}`);
        return properties[key];
      },
    });
    masks.push(mask);
    return mask;
  },
});
const layer = strict("layer", {
  startTime: 2,
  property(key) {
    if (key !== "ADBE Mask Parade") throw new Error(`layer property ${key}`);
    return parade;
  },
});
const comp = strict("comp", {selectedLayers: [layer], frameDuration: 1001 / 24000});
const world = {
  app: strict("app", {
    project: strict("project", {activeItem: comp}),
    beginUndoGroup() { ++undo; },
    endUndoGroup() { --undo; },
  }),
  Shape,
  MaskMode: strict("MaskMode", {ADD: "ADD", NONE: "NONE"}),
  KeyframeInterpolationType: strict("KeyframeInterpolationType", {LINEAR: "LINEAR", HOLD: "HOLD", BEZIER: "BEZIER"}),
  alert(text) { throw new Error(text); },
};
const text = fs.readFileSync(process.argv[2], "utf8");
if (/\b(let|const|=>|`)/.test(text.replace(/\/\/.*/g, ""))) throw new Error("not ECMAScript 3, which is all that After Effects runs");
vm.runInNewContext(text, world);
if (undo) throw new Error("undo groups are not balanced");
const first = world.SHOT.first;
console.log(JSON.stringify(masks.map(mask => ({
  name: mask.name, mode: mask.maskMode,
  path: mask.properties["ADBE Mask Shape"].keys.map(k => [first + (k.time - 2) * 24000 / 1001, k.interpolation, k.value]),
  opacity: mask.properties["ADBE Mask Opacity"].keys.map(k => [first + (k.time - 2) * 24000 / 1001, k.interpolation, k.value]),
}))));
