"""A strict double of Natron's Python API, as far as its reference documents it and roto uses it: anything else raises."""


def fail(what):
    raise RuntimeError('undocumented: ' + what)


class Strict(object):
    __slots__ = ()  # no attribute but those that a class names

    def __getattr__(self, name):
        fail('%s.%s' % (type(self).__name__, name))


class BezierCurve(Strict):
    """Points per time; a curve made by createBezier has one point and a key at its time (auto-keying is on)."""
    __slots__ = ('start', 'points', 'feathers', 'activated', 'closed', 'script_name', 'label', 'made_at')

    def __init__(self, x, y, time):
        self.start = [(float(x), float(y))]
        self.points, self.feathers, self.activated = {}, {}, {}
        self.closed, self.script_name, self.label = False, '', ''
        self.made_at = time

    def addControlPoint(self, x, y):
        if self.points:
            fail('addControlPoint after keys would add a point to all of them')
        self.start.append((float(x), float(y)))

    def setCurveFinished(self, finished):
        self.closed = bool(finished)

    def setScriptName(self, name):
        if not name.replace('_', '').isalnum() or name[0].isdigit() or not all(ord(c) < 128 for c in name):
            fail('script name %r' % name)
        self.script_name = name

    def setLabel(self, label):
        self.label = label

    def _check(self, index, time, numbers):
        if type(index) is not int or not 0 <= index < len(self.start) or type(time) is not int:
            fail('set*PointAtIndex(%r, %r)' % (index, time))
        return tuple(float(n) for n in numbers)

    def setPointAtIndex(self, index, time, x, y, lx, ly, rx, ry):
        self.points.setdefault(time, {})[index] = self._check(index, time, (x, y, lx, ly, rx, ry))

    def setFeatherPointAtIndex(self, index, time, x, y, lx, ly, rx, ry):
        self.feathers.setdefault(time, {})[index] = self._check(index, time, (x, y, lx, ly, rx, ry))

    def setActivated(self, time, activated):
        if type(activated) is not bool:
            fail('setActivated(%r, %r)' % (time, activated))
        self.activated[time] = activated


class Layer(Strict):
    __slots__ = ('items',)

    def __init__(self):
        self.items = []

    def addItem(self, item):
        self.items.append(item)


class RotoContext(Strict):
    __slots__ = ('base',)

    def __init__(self):
        self.base = Layer()

    def getBaseLayer(self):
        return self.base

    def createBezier(self, x, y, time):
        return BezierCurve(x, y, time)


class Effect(Strict):
    __slots__ = ('plugin', 'context')

    def __init__(self, plugin):
        self.plugin, self.context = plugin, RotoContext()

    def getRotoContext(self):
        if self.plugin != 'fr.inria.built-in.Roto':
            fail('%s has no roto context' % self.plugin)
        return self.context


class App(Strict):
    __slots__ = ('nodes',)

    def __init__(self):
        self.nodes = []

    def createNode(self, plugin):
        self.nodes.append(Effect(plugin))
        return self.nodes[-1]
