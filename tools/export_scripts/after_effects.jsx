// Adds the masks of SHOT to the selected layer: File > Scripts > Run Script File, with the plate's layer selected.
// The plate's first frame is the layer's first; the layer has the plate's size.
(function () {
  var comp = app.project.activeItem;
  if (!comp || !comp.selectedLayers || !comp.selectedLayers.length) {
    alert("Select the layer of the plate, then run this script again.");
    return;
  }
  var layer = comp.selectedLayers[0];

  function timeOf(frame) {
    return layer.startTime + (frame - SHOT.first) * comp.frameDuration;
  }

  function pathOf(vertices, closed) {
    var path = new Shape(), places = [], before = [], after = [], feather = false, i;
    var segments = [], along = [], radii = [], types = [], interps = [], tensions = [], angles = [];
    for (i = 0; i < vertices.length; ++i) {
      var v = vertices[i];
      places.push([v[0], v[1]]);
      before.push([v[2], v[3]]);
      after.push([v[4], v[5]]);
      feather = feather || v[6] !== 0;
      if (closed || i + 1 < vertices.length) {
        segments.push(i);
        along.push(0);
      } else {
        segments.push(i - 1);
        along.push(1);
      }
      radii.push(v[6]);
      types.push(v[6] < 0 ? 1 : 0);
      interps.push(0);
      tensions.push(0);
      angles.push(0);
    }
    path.closed = closed;
    path.vertices = places;
    path.inTangents = before;
    path.outTangents = after;
    if (feather) {
      path.featherSegLocs = segments;
      path.featherRelSegLocs = along;
      path.featherRadii = radii;
      path.featherTypes = types;
      path.featherInterps = interps;
      path.featherTensions = tensions;
      path.featherRelCornerAngles = angles;
    }
    return path;
  }

  function setKeys(property, times, values, interpolation) {
    property.setValuesAtTimes(times, values);
    for (var k = 1; k <= property.numKeys; ++k) {
      property.setInterpolationTypeAtKey(k, interpolation, interpolation);
    }
  }

  app.beginUndoGroup("roto: " + SHOT.name);
  for (var s = 0; s < SHOT.shapes.length; ++s) {
    var data = SHOT.shapes[s], times = [], paths = [], when = [], opacity = [], k;
    var mask = layer.property("ADBE Mask Parade").addProperty("ADBE Mask Atom");
    mask.name = data.name;
    mask.maskMode = data.closed ? MaskMode.ADD : MaskMode.NONE;
    for (k = 0; k < data.keys.length; ++k) {
      times.push(timeOf(data.keys[k][0]));
      paths.push(pathOf(data.keys[k][1], data.closed === 1));
    }
    for (k = 0; k < data.seen.length; ++k) {
      when.push(timeOf(data.seen[k][0]));
      opacity.push(100 * data.seen[k][1]);
    }
    setKeys(mask.property("ADBE Mask Shape"), times, paths, KeyframeInterpolationType.LINEAR);
    setKeys(mask.property("ADBE Mask Opacity"), when, opacity, KeyframeInterpolationType.HOLD);
  }
  app.endUndoGroup();
})();
