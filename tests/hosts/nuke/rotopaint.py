"""A strict double of nuke.rotopaint: what The Foundry's reference documents of it, as far as roto uses it, and nothing else.

Anything undocumented, and any argument of another kind, raises.  Curves are evaluated as documented: cubic between keys unless a
key says linear or step.  With DEAF set, keys take an interpolation type and ignore it, as a Nuke might that hands out copies."""

from . import Strict, fail, number

DEAF = False


class InterpolationType(Strict):
    eUndefineInterpolationType = -1
    eStepInterpolationType = 0
    eLinearInterpolationType = 1
    eCubicInterpolationType = 2


class FlagType(Strict):
    eVisibleFlag = 0
    eSelectedFlag = 1
    eOpenFlag = 2


class AnimCurveKey(Strict):
    _fields = ('time', 'value', 'interpolationType')

    def __init__(self, time, value):
        self.time, self.value = number(time), number(value)
        self.interpolationType = InterpolationType.eCubicInterpolationType


class AnimCurve(Strict):
    _fields = ('_keys', 'constantValue')

    def __init__(self):
        self._keys = []
        self.constantValue = 0.0

    def addKey(self, time, value):
        number(time)
        for key in self._keys:
            if key.time == time:
                key.value = number(value)
                return
        self._keys.append(AnimCurveKey(time, value))
        self._keys.sort(key=lambda k: k.time)

    def getNumberOfKeys(self):
        return len(self._keys)

    def getKey(self, index):
        if type(index) is not int or not 0 <= index < len(self._keys):
            fail('AnimCurve.getKey(%r) of %d keys' % (index, len(self._keys)))
        return self._keys[index]

    def evaluate(self, time):
        keys = self._keys
        if not keys:
            return self.constantValue
        if time <= keys[0].time:
            return keys[0].value
        if time >= keys[-1].time:
            return keys[-1].value
        i = max(k for k in range(len(keys)) if keys[k].time <= time)
        a, b = keys[i], keys[i + 1]
        kind = InterpolationType.eCubicInterpolationType if DEAF else a.interpolationType
        u = (time - a.time) / (b.time - a.time)
        if kind == InterpolationType.eStepInterpolationType:
            return a.value
        if kind == InterpolationType.eLinearInterpolationType:
            return a.value + u * (b.value - a.value)
        before = keys[i - 1] if i else a
        after = keys[i + 2] if i + 2 < len(keys) else b
        p = (b.value - before.value) / max(b.time - before.time, 1e-9) * (b.time - a.time)
        q = (after.value - a.value) / max(after.time - a.time, 1e-9) * (b.time - a.time)
        return (a.value * (2 * u ** 3 - 3 * u ** 2 + 1) + p * (u ** 3 - 2 * u ** 2 + u) + b.value * (3 * u ** 2 - 2 * u ** 3) +
                q * (u ** 3 - u ** 2))


class AnimControlPoint(Strict):
    _fields = ('_curves',)

    def __init__(self, x=0.0, y=0.0):
        self._curves = [AnimCurve(), AnimCurve(), AnimCurve()]
        self._curves[0].constantValue, self._curves[1].constantValue = number(x), number(y)

    def addPositionKey(self, time, positionOrDim):
        if not isinstance(positionOrDim, (tuple, list)) or len(positionOrDim) not in (2, 3):
            fail('addPositionKey: expected a vector, found %r' % (positionOrDim,))
        for curve, value in zip(self._curves, positionOrDim):
            curve.addKey(time, value)

    def getPosition(self, time):
        number(time)
        return tuple(curve.evaluate(time) for curve in self._curves)

    def getPositionAnimCurve(self, index):
        if index not in (0, 1, 2):
            fail('getPositionAnimCurve(%r)' % (index,))
        return self._curves[index]

    def getControlPointKeyTimes(self):
        return sorted({key.time for curve in self._curves for key in curve._keys})


class ShapeControlPoint(Strict):
    _fields = ('center', 'leftTangent', 'rightTangent', 'featherCenter', 'featherLeftTangent', 'featherRightTangent')

    def __init__(self, x=0.0, y=0.0):
        self.center = AnimControlPoint(x, y)
        for name in self._fields[1:]:
            setattr(self, name, AnimControlPoint())


class AnimAttributes(Strict):
    _fields = ('_curves',)
    kOpacityAttribute = 'opc'
    kLifeTimeTypeAttribute = 'ltt'
    kVisibleAttribute = 'vis'
    kInvertedAttribute = 'inv'

    def __init__(self):
        self._curves = {'opc': AnimCurve(), 'ltt': AnimCurve(), 'vis': AnimCurve(), 'inv': AnimCurve()}
        self._curves['opc'].constantValue = self._curves['vis'].constantValue = 1.0

    def _curve(self, name):
        if name not in self._curves:
            fail('no attribute %r' % (name,))
        return self._curves[name]

    def set(self, *arguments):
        if len(arguments) == 2:
            self._curve(arguments[0]).constantValue = number(arguments[1])
        elif len(arguments) == 3:
            self._curve(arguments[1]).addKey(number(arguments[0]), arguments[2])
        else:
            fail('AnimAttributes.set%r' % (arguments,))

    def getValue(self, time, indexOrName):
        return self._curve(indexOrName).evaluate(number(time))

    def getCurve(self, attr):
        return self._curve(attr)


class Element(Strict):
    _fields = ('name', 'locked', '_knob', '_flags', '_attributes', '_items')

    def __init__(self, knob):
        if type(knob) is not CurveKnob:
            fail('%s(%r): expected the curves knob' % (type(self).__name__, knob))
        self.name, self.locked, self._knob = type(self).__name__, False, knob
        self._flags, self._attributes, self._items = {}, AnimAttributes(), []

    def getAttributes(self):
        return self._attributes

    def setFlag(self, flag, value):
        if flag not in (FlagType.eVisibleFlag, FlagType.eSelectedFlag, FlagType.eOpenFlag):
            fail('setFlag(%r)' % (flag,))
        self._flags[flag] = bool(value)

    def getFlag(self, flag):
        return self._flags.get(flag, False)

    def __len__(self):
        return len(self._items)

    def __getitem__(self, index):
        return self._items[index]

    def __iter__(self):
        return iter(self._items)


class Layer(Element):
    def append(self, element):
        if not isinstance(element, Element):
            fail('Layer.append(%r)' % (element,))
        self._items.append(element)


class Shape(Element):
    def append(self, point):
        if type(point) is not ShapeControlPoint:
            fail('Shape.append(%r): expected a ShapeControlPoint' % (point,))
        self._items.append(point)


class CurveKnob(Strict):
    _fields = ('rootLayer', '_changed', '_name', '_node')

    def __init__(self, name, node):
        self._name, self._node, self._changed = name, node, 0
        self.rootLayer = Layer(self)
        self.rootLayer.name = 'Root'

    def name(self):
        return self._name

    def changed(self):
        self._changed += 1

    def toElement(self, path):
        layer = self.rootLayer
        for name in path.split('/'):
            found = [item for item in layer if item.name == name]
            if not found:
                fail('toElement(%r): no %r' % (path, name))
            layer = found[0]
        return layer
