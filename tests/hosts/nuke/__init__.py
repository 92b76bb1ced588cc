"""A strict double of the nuke module: what The Foundry's reference documents of it, as far as roto uses it, and nothing else.
Anything undocumented, and any argument of another kind, raises, so that what works here has only documented reasons to."""


class Undocumented(Exception):
    pass


def fail(what):
    raise Undocumented(what)


def number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        fail('expected a number, found %r' % (value,))
    return value


class Strict(object):
    """Attributes are those of _fields, no others."""
    _fields = ()

    def __setattr__(self, name, value):
        fields = [field for kind in type(self).__mro__ for field in getattr(kind, '_fields', ())]
        if name not in fields:
            fail('%s has no documented attribute %r to set' % (type(self).__name__, name))
        object.__setattr__(self, name, value)

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        fail('%s has no documented attribute %r' % (type(self).__name__, name))


from . import rotopaint  # noqa: E402

undo_groups = []  # names of the finished ones
_open_undo = []


class Undo(Strict):
    def begin(self, name=''):
        _open_undo.append(name)

    def end(self):
        if not _open_undo:
            fail('Undo.end without begin')
        undo_groups.append(_open_undo.pop())


class Node(Strict):
    _fields = ('_class', '_name', '_knobs')

    def __init__(self, kind):
        self._class, self._name, self._knobs = kind, kind + '1', {}
        if kind in ('Roto', 'RotoPaint'):
            self._knobs['curves'] = rotopaint.CurveKnob('curves', self)

    def Class(self):
        return self._class

    def name(self):
        return self._name

    def setName(self, name):
        self._name = str(name)

    def __getitem__(self, name):
        if name not in self._knobs:
            raise NameError('knob %s does not exist' % name)
        return self._knobs[name]


all_nodes = []


class _Nodes(Strict):
    def __getattr__(self, kind):
        if kind not in ('Roto', 'NoOp', 'Tracker4'):
            fail('nuke.nodes.%s' % kind)

        def make(**knobs):
            if knobs:
                fail('nuke.nodes.%s(%r)' % (kind, knobs))
            all_nodes.append(Node(kind))
            return all_nodes[-1]
        return make


nodes = _Nodes()
