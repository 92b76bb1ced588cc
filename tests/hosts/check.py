"""Reads an export back and compares every frame with the document: check.py HOST SHOT.roto.json FILE TOLERANCE

Each reader turns what the host would have, as its double or its own file format says, into vertices in pixels of the plate, y
down; curves are evaluated at every frame of the document.  Ends with `N passed, M failed`; a difference of more than TOLERANCE
pixels in a vertex, the end of a handle, or the feather where the host knows one a vertex, is a failure, and so is a shape that
shows when it is hidden."""

import bisect
import json
import math
import os
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

here = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, here)


def read_truth(path):
    """{frame: {shape: [[x, y, end of handle in, end of handle out, feather], ...]}}, {shape: closed}, document"""
    doc = json.load(open(path))
    closed = {shape['name']: shape.get('closed', True) for shape in doc['template']['shapes']}
    truth = {}
    for frame in doc['frames']:
        shapes = truth[frame['frame']] = {}
        for name, shape in frame.get('shapes', {}).items():
            if shape.get('visible', True):
                segments = shape['segments']
                count = len(segments) + (not closed[name])
                points = [[0.0] * 7 for _ in range(count)]
                for i, (x, y) in enumerate(segments):
                    a, b = points[i], points[(i + 1) % count]
                    a[0:2], a[4:6] = [x[0], y[0]], [x[0] + x[1], y[0] + y[1]]
                    b[0:2], b[2:4] = [x[2], y[2]], [x[2] + x[3], y[2] + y[3]]
                if not closed[name]:
                    points[0][2:4], points[-1][4:6] = points[0][0:2], points[-1][0:2]
                feather = shape.get('feather', 0)
                for i, p in enumerate(points):
                    p[6] = feather[i] if isinstance(feather, list) else feather
                shapes[name] = points
    return truth, closed, doc


def between(keys, frame, hold=False):
    """keys: [(frame, value or nested list)], ascending; lines between them, held outside"""
    frames = [k[0] for k in keys]
    i = bisect.bisect_right(frames, frame + 1e-6) - 1
    if i < 0 or i + 1 >= len(keys) or hold:
        return keys[max(i, 0)][1]
    u = (frame - frames[i]) / (frames[i + 1] - frames[i])

    def mix(a, b):
        return [mix(x, y) for x, y in zip(a, b)] if isinstance(a, list) else a + u * (b - a)
    return mix(keys[i][1], keys[i + 1][1])


# Each reader returns ({shape: function of a frame: vertices or None}, whether it knows the feather of each vertex).


def read_nuke(path, doc, deaf=False):
    import nuke
    import nuke.rotopaint as rp
    rp.DEAF = deaf
    height = doc['plate']['height']
    node = runpy.run_path(path)['build']()
    assert nuke.undo_groups and not nuke._open_undo, 'one undo step'
    curves = node['curves']
    assert curves._changed, 'changed() was not called'
    assert len(curves.rootLayer) == 1, 'one layer'

    def shape_at(shape):
        def at(frame):
            opacity = shape.getAttributes().getValue(frame, rp.AnimAttributes.kOpacityAttribute)
            assert min(abs(opacity), abs(opacity - 1)) < 1e-6, 'opacity %g at a whole frame' % opacity
            if opacity < 0.5:
                return None
            points = []
            for p in shape:
                x, y = p.center.getPosition(frame)[:2]
                left, right, feather = (c.getPosition(frame) for c in (p.leftTangent, p.rightTangent, p.featherCenter))
                points.append([x, height - y, x + left[0], height - y - left[1], x + right[0], height - y - right[1],
                               math.hypot(feather[0], feather[1])])
            return points
        return at
    return {shape.name: shape_at(shape) for shape in curves.rootLayer[0]}, True


def read_natron(path, doc):
    import natron
    height = doc['plate']['height']
    app = natron.App()
    runpy.run_path(path)['createInstance'](app, None)

    def keys_of(times):
        return [(t, [list(points[i]) for i in range(len(points))]) for t, points in sorted(times.items())]

    def shape_at(curve):
        points, feathers, active = keys_of(curve.points), keys_of(curve.feathers), sorted(curve.activated.items())
        assert curve.made_at == points[0][0] and all(len(p) == len(curve.start) for _, p in points)

        def at(frame):
            if not between(active, frame, hold=True):
                return None
            return [[x, height - y, lx, height - ly, rx, height - ry, math.hypot(f[0] - x, f[1] - y)]
                    for (x, y, lx, ly, rx, ry), f in zip(between(points, frame), between(feathers, frame))]
        return at
    return {c.label: shape_at(c) for c in app.nodes[0].context.base.items}, True


def read_ae(path, doc):
    masks = json.loads(subprocess.run(['node', os.path.join(here, 'after_effects.js'), path], check=True, capture_output=True).stdout)

    def shape_at(mask):
        assert all(kind == 'LINEAR' for _, kind, _ in mask['path']) and all(kind == 'HOLD' for _, kind, _ in mask['opacity'])
        keys = [(f, [v + i + o + [r] for v, i, o, r in zip(s['vertices'], s['inTangents'], s['outTangents'],
                                                           s['featherRadii'] or [0] * len(s['vertices']))])
                for f, _, s in mask['path']]
        opacity = [(f, value) for f, _, value in mask['opacity']]

        def at(frame):
            if between(opacity, frame, hold=True) < 50:
                return None
            return [[x, y, x + ix, y + iy, x + ox, y + oy, r] for x, y, ix, iy, ox, oy, r in between(keys, frame)]
        return at
    return {mask['name']: shape_at(mask) for mask in masks}, True


def read_fusion(path, doc):
    lines = subprocess.run(['lua5.4', os.path.join(here, 'fusion.lua'), path], check=True, capture_output=True, text=True).stdout
    width, height = doc['plate']['width'], doc['plate']['height']
    levels, keys = {}, {}
    for word, *rest in (line.split() for line in lines.splitlines()):
        if word == 'level':
            levels.setdefault(rest[0], []).append((int(rest[1]), float(rest[2])))
        elif word == 'key':
            keys.setdefault(rest[0], []).append((int(rest[1]), []))
            points = keys[rest[0]][-1][1]
        elif word == 'point':
            x, y, lx, ly, rx, ry = (float(n) for n in rest)
            x, y = (x + 0.5) * width, (0.5 - y) * height
            points.append([x, y, x + lx * width, y - ly * height, x + rx * width, y - ry * height, 0.0])

    def shape_at(name):
        return lambda frame: between(keys[name], frame) if between(levels[name], frame) > 0.5 else None
    return {name: shape_at(name) for name in keys}, False


def read_fxs(path, doc):
    root = ElementTree.parse(path).getroot()
    assert root.tag == 'Silhouette'
    width, height, start = int(root.get('width')), int(root.get('height')), int(root.get('sessionStartFrame'))
    shapes = {}
    for shape in root.iter('Object'):
        properties = {p.get('id'): p for p in shape.find('Properties')}
        opacity = [(start + int(k.get('frame')), float(k.text)) for k in properties['opacity']]
        keys = []
        for key in properties['path']:
            assert key.get('interp') == 'linear'
            points = []
            for point in key.find('Path'):
                numbers = [float(n) for n in re.findall(r'-?[\d.]+', point.text)]
                points.append([n * height + (height, width)[i % 2 == 0] / 2 for i, n in enumerate(numbers)] + [0.0])
            keys.append((start + int(key.get('frame')), points))

        def at(frame, opacity=opacity, keys=keys):
            return between(keys, frame) if between(opacity, frame, hold=True) > 50 else None
        shapes[shape.get('label')] = at
    return shapes, False


def read_mlt(path, doc):
    root = ElementTree.parse(path).getroot()
    width, height, start = doc['plate']['width'], doc['plate']['height'], min(f['frame'] for f in doc['frames'])
    shapes = {}
    for item in root.iter('filter'):
        values = {p.get('name'): p.text for p in item}
        assert item.get('in') == '0', 'keys count from the filter or from the picture: both must be the same'
        spline = json.loads(values['spline'])
        keys = [(start + int(f), [[p[0] * width, p[1] * height, h[0] * width, h[1] * height, t[0] * width, t[1] * height, 0.0]
                                  for h, p, t in points]) for f, points in sorted(spline.items(), key=lambda k: int(k[0]))]

        def at(frame, keys=keys):
            points = between(keys, frame)
            return points if points[0][0] > -4 * width else None  # a hidden shape waits far outside the frame
        shapes[values['label']] = at
    return shapes, False


def read_svg(path, doc):
    root = ElementTree.parse(path).getroot()
    space = '{http://www.w3.org/2000/svg}'
    first, last = int(root.get('data-first-frame')), int(root.get('data-last-frame'))
    shapes = {}
    for item in root.iter(space + 'path'):
        animations = {a.get('attributeName'): a for a in item}

        def keys_of(name):
            times = [first + float(t) * (last - first) for t in animations[name].get('keyTimes').split(';')]
            values = animations[name].get('values').split(';')
            assert len(times) == len(values) and times[0] == first and sorted(times) == times
            return list(zip(times, values))

        def vertices(text):
            numbers = [float(n) for n in re.findall(r'-?[\d.]+', text)]
            points, closed = [numbers[0:2]], text.strip().endswith('Z')
            places = points + [numbers[i:i + 2] for i in range(6, len(numbers), 6)]
            outs = [numbers[i:i + 2] for i in range(2, len(numbers), 6)]
            ins = [numbers[i:i + 2] for i in range(4, len(numbers), 6)]
            if closed:
                return [places[i] + ins[i - 1] + outs[i] + [0.0] for i in range(len(outs))]
            return [places[i] + (ins[i - 1] if i else places[0]) + (outs[i] if i < len(outs) else places[-1]) + [0.0]
                    for i in range(len(places))]
        assert animations['d'].get('calcMode') == 'linear' and keys_of('d')[-1][0] == last
        paths = [(t, vertices(v)) for t, v in keys_of('d')]
        seen = keys_of('visibility')
        shapes[item.get('id')] = lambda frame, paths=paths, seen=seen: (
            between(paths, frame) if between(seen, frame, hold=True) == 'visible' else None)
    return shapes, False


def words_of(text):
    """Tcl words: braces nest, quotes hold."""
    words, i = [], 0
    while i < len(text):
        if text[i].isspace():
            i += 1
        elif text[i] == '{':
            depth, start = 1, i + 1
            while depth:
                i += 1
                depth += {'{': 1, '}': -1}.get(text[i], 0)
            words.append(text[start:i])
            i += 1
        elif text[i] == '"':
            end = text.index('"', i + 1)
            words.append(text[i + 1:end])
            i = end + 1
        else:
            start = i
            while i < len(text) and not text[i].isspace():
                i += 1
            words.append(text[start:i])
    return words


def nk_curve(text):
    """{frame: value} of `curve x1001 12.5 13 x1010 14`: a value without x follows the frame before it."""
    keys, frame = {}, None
    for word in text.split()[1:]:
        if word[0] == 'x':
            frame = int(word[1:])
        elif word != 'K':
            keys[frame] = float(word)
            frame += 1
    return keys


def check_tracker(path, doc, tolerance):
    """The Tracker has landmarks and no shapes."""
    words = words_of(open(path).read())
    assert words[0] == 'Tracker4'
    body = words_of(words[1])
    header, descriptors, rows = words_of(body[body.index('tracks') + 1])
    one, columns, count = (int(n) for n in header.split())
    names = [words_of(d)[3] for d in words_of(descriptors)]
    assert (one, columns, len(names)) == (1, 31, 31) and names[:4] == ['enable', 'name', 'track_x', 'track_y']
    tracks = [words_of(row) for row in words_of(rows)]
    assert len(tracks) == count and all(len(t) == 31 for t in tracks)

    passed = failed = 0
    height = doc['plate']['height']
    landmarks = [landmark['name'] for landmark in doc['template']['landmarks']]
    for track in tracks:
        enable, x, y = nk_curve(track[0]), nk_curve(track[2]), nk_curve(track[3])
        index = landmarks.index(track[1])
        for frame in doc['frames']:
            p = frame['points'][index]
            on = between(sorted(enable.items()), frame['frame'], hold=True)
            good = on == p.get('visible', True)
            if on:
                good = good and math.hypot(x[frame['frame']] - p['x'], height - y[frame['frame']] - p['y']) <= tolerance
            passed, failed = passed + good, failed + (not good)
    return passed, failed


def main(host, document, path, tolerance):
    truth, closed, doc = read_truth(document)
    if host == 'nuke-tracker':
        return check_tracker(path, doc, tolerance)
    readers = {'nuke': read_nuke, 'nuke-deaf': lambda p, d: read_nuke(p, d, True), 'natron': read_natron, 'ae': read_ae,
               'fusion': read_fusion, 'fxs': read_fxs, 'mlt': read_mlt, 'svg': read_svg}
    shapes, feathers = readers[host](path, doc)
    passed = failed = 0
    worst = 0.0
    wanted = {name for frame in truth.values() for name in frame if closed[name] or host != 'mlt'}
    if set(shapes) != wanted:
        print('%s: shapes %s, expected %s' % (host, sorted(shapes), sorted(wanted)))
        failed += 1
    for frame, there in truth.items():
        for name, at in shapes.items():
            shown, expected = at(frame), there.get(name)
            if (shown is None) != (expected is None) or (shown is not None and len(shown) != len(expected)):
                print('%s: frame %d, %s: %s, expected %s' % (host, frame, name, shown and 'seen', expected and 'seen'))
                failed += 1
                continue
            error = 0.0
            for p, q in zip(shown or [], expected or []):
                error = max([error] + [math.hypot(p[i] - q[i], p[i + 1] - q[i + 1]) for i in (0, 2, 4)])
                if feathers:
                    error = max(error, abs(p[6] - q[6]))
            worst = max(worst, error)
            if error > tolerance:
                print('%s: frame %d, %s: %.4f px from the document' % (host, frame, name, error))
                failed += 1
            else:
                passed += 1
    print('%s: at most %.4f px' % (host, worst))
    return passed, failed


if __name__ == '__main__':
    counts = main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
    print('%s: %d passed, %d failed, 0 skipped' % ((sys.argv[1],) + counts))
    sys.exit(counts[1] > 0)
