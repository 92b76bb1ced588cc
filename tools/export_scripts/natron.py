# Makes a Roto node of SHOT in Natron: File > Open this script as a toolset, or in the script editor
# exec(open(file).read()); build(app1).  Natron 2.4 and later; handles and feather points are absolute there, y up.


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


def add_shape(context, layer, data, height):
    start, first = data['keys'][0]
    curve = context.createBezier(first[0][0], height - first[0][1], start)
    for vertex in first[1:]:
        curve.addControlPoint(vertex[0], height - vertex[1])
    if data['closed']:
        curve.setCurveFinished(True)
    curve.setScriptName(''.join(c if c.isalnum() and ord(c) < 128 else '_' for c in 'shape_' + data['name']))
    curve.setLabel(data['name'])
    layer.addItem(curve)
    for frame, vertices in data['keys']:
        for i, (x, y, ix, iy, ox, oy, width) in enumerate(vertices):
            nx, ny = outwards(vertices, i, data['closed'])
            y, fx, fy = height - y, width * nx, width * ny
            curve.setPointAtIndex(i, frame, x, y, x + ix, y - iy, x + ox, y - oy)
            curve.setFeatherPointAtIndex(i, frame, x + fx, y + fy, x + ix + fx, y - iy + fy, x + ox + fx, y - oy + fy)
    for frame, seen in data['seen']:
        if frame > data['seen'][0][0]:
            curve.setActivated(frame - 1, not seen)
        curve.setActivated(frame, bool(seen))


def build(app, shot=None):
    shot = shot or SHOT
    node = app.createNode('fr.inria.built-in.Roto')
    context = node.getRotoContext()
    layer = context.getBaseLayer()
    for data in shot['shapes']:
        add_shape(context, layer, data, shot['height'])
    return node


def createInstance(app, group):
    build(app)
