# Makes a Roto node of SHOT: run this file in Nuke's Script Editor, or `runpy.run_path(file)['build']()`.
#
# One layer, one Bezier a shape, keys as few as `roto export` found enough for straight lines between them.  Each curve is asked
# back for the frames in between; where this Nuke sees another value there, those frames get keys of their own.

import nuke
import nuke.rotopaint as rp


def add_keys(point, keys):
    """keys: [(frame, (x, y))], ascending"""
    for frame, place in keys:
        point.addPositionKey(frame, place)
    for axis in (0, 1):
        curve = point.getPositionAnimCurve(axis)
        for i in range(curve.getNumberOfKeys()):
            curve.getKey(i).interpolationType = rp.InterpolationType.eLinearInterpolationType
    missing = []
    for (a, p), (b, q) in zip(keys, keys[1:]):
        for frame in range(a + 1, b):
            u = float(frame - a) / (b - a)
            place = (p[0] + u * (q[0] - p[0]), p[1] + u * (q[1] - p[1]))
            shown = point.getPosition(frame)
            if max(abs(shown[0] - place[0]), abs(shown[1] - place[1])) > 0.005:
                missing.append((frame, place))
    for frame, place in missing:
        point.addPositionKey(frame, place)


def add_opacity(attributes, seen, last):
    """seen: [(frame, 1 from there on, or 0)]; the shape is hidden by its opacity."""
    opacity = rp.AnimAttributes.kOpacityAttribute
    for frame, value in seen:
        attributes.set(frame, opacity, value)
    curve = attributes.getCurve(opacity)
    for i in range(curve.getNumberOfKeys()):
        curve.getKey(i).interpolationType = rp.InterpolationType.eStepInterpolationType
    ends = [frame for frame, _ in seen[1:]] + [last + 1]
    missing = [(frame, value) for (start, value), end in zip(seen, ends) for frame in range(start, end)
               if abs(attributes.getValue(frame, opacity) - value) > 0.001]
    for frame, value in missing:
        attributes.set(frame, opacity, value)


def outwards(vertices, i, closed):
    """The unit normal at a vertex that points away from the shape, y up."""
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(vertices, vertices[1:] + vertices[:1]))
    x, y, ix, iy, ox, oy = vertices[i][:6]
    dx, dy = ox - ix, oy - iy
    if dx * dx + dy * dy < 1e-12:
        before = vertices[i - 1] if closed or i else vertices[i]
        after = vertices[(i + 1) % len(vertices)] if closed or i + 1 < len(vertices) else vertices[i]
        dx, dy = after[0] - before[0], after[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    side = 1 if area >= 0 else -1
    return side * dy / length, side * dx / length


def add_shape(curves, layer, data, height, last):
    shape = rp.Shape(curves)
    shape.name = str(data['name'])
    count = len(data['keys'][0][1])
    for x, y in [v[:2] for v in data['keys'][0][1]]:
        shape.append(rp.ShapeControlPoint(x, height - y))
    if not data['closed']:
        shape.setFlag(rp.FlagType.eOpenFlag, True)
    layer.append(shape)
    for i in range(count):
        point = shape[i]
        centre, left, right, feather = [], [], [], []
        for frame, vertices in data['keys']:
            x, y, ix, iy, ox, oy, width = vertices[i]
            nx, ny = outwards(vertices, i, data['closed'])
            centre.append((frame, (x, height - y)))
            left.append((frame, (ix, -iy)))
            right.append((frame, (ox, -oy)))
            feather.append((frame, (width * nx, width * ny)))
        add_keys(point.center, centre)
        add_keys(point.leftTangent, left)
        add_keys(point.rightTangent, right)
        add_keys(point.featherCenter, feather)
        add_keys(point.featherLeftTangent, left)
        add_keys(point.featherRightTangent, right)
    attributes = shape.getAttributes()
    attributes.set(rp.AnimAttributes.kLifeTimeTypeAttribute, 0)
    add_opacity(attributes, data['seen'], last)


def build(shot=None, name=None, undo=True):
    """Returns the Roto node; in one undo step, or as part of the caller's."""
    shot, step = shot or SHOT, nuke.Undo()
    if undo:
        step.begin('roto: ' + shot['name'])
    try:
        node = nuke.nodes.Roto()
        if name:
            node.setName(name)
        curves = node['curves']
        layer = rp.Layer(curves)
        layer.name = str(shot['name'])
        curves.rootLayer.append(layer)
        for data in shot['shapes']:
            add_shape(curves, layer, data, shot['height'], shot['last'])
        curves.changed()
    finally:
        if undo:
            step.end()
    return node


if __name__ == '__main__':
    build()
