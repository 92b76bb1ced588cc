"""A strict double of the nuke module: what The Foundry's reference documents of it, as far as roto uses it, and nothing else.
Anything undocumented, and any argument of another kind, raises, so that what works here has only documented reasons to."""

import queue
import re
import threading


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
        main_thread('Undo.begin')
        if _open_undo:
            fail('an undo group inside an undo group')
        _open_undo.append(str(name))

    def end(self):
        if not _open_undo:
            fail('Undo.end without begin')
        undo_groups.append(_open_undo.pop())


def main_thread(what):
    if threading.current_thread() is not threading.main_thread():
        fail('%s off the main thread' % what)


STARTLINE = 0x1000


class Knob(Strict):
    _fields = ('_name', '_label', '_value', '_visible', '_tooltip')

    def __init__(self, name, label=''):
        main_thread('making a knob')
        if not isinstance(name, str) or not isinstance(label, str):
            fail('%s(%r, %r): expected strings' % (type(self).__name__, name, label))
        self._name, self._label, self._value, self._visible, self._tooltip = name, label, None, True, ''

    def name(self):
        return self._name

    def value(self):
        main_thread('Knob.value')
        return self._value

    def setValue(self, value):
        main_thread('Knob.setValue')
        self._value = self._checked(value)

    def _checked(self, value):
        return value

    def setVisible(self, visible):
        self._visible = bool(visible)

    def setTooltip(self, text):
        self._tooltip = text if isinstance(text, str) else fail('setTooltip(%r)' % (text,))

    def setFlag(self, flag):
        if flag != STARTLINE:
            fail('setFlag(%r)' % (flag,))


class Tab_Knob(Knob):
    pass


class String_Knob(Knob):
    def __init__(self, name, label=''):
        Knob.__init__(self, name, label)
        self._value = ''

    def _checked(self, value):
        return value if isinstance(value, str) else fail('expected a string, found %r' % (value,))


class File_Knob(String_Knob):
    pass


class Text_Knob(String_Knob):
    def __init__(self, name, label='', text=''):
        String_Knob.__init__(self, name, label)
        self._value = self._checked(text)


class Boolean_Knob(Knob):
    def __init__(self, name, label=''):
        Knob.__init__(self, name, label)
        self._value = False

    def _checked(self, value):
        return value if isinstance(value, bool) else fail('expected a boolean, found %r' % (value,))


class Double_Knob(Knob):
    def __init__(self, name, label=''):
        Knob.__init__(self, name, label)
        self._value = 0.0

    def _checked(self, value):
        return float(number(value))


class Enumeration_Knob(Knob):
    _fields = ('_items',)

    def __init__(self, name, label, items):
        Knob.__init__(self, name, label)
        self.setValues(items)
        self._value = self._items[0]

    def values(self):
        return list(self._items)

    def setValues(self, items):
        if not isinstance(items, list) or not items or not all(isinstance(item, str) for item in items):
            fail('setValues(%r): expected a list of strings' % (items,))
        self._items = list(items)

    def _checked(self, value):
        if type(value) is int:
            return self._items[value]
        return value if value in self._items else fail('%r is none of %r' % (value, self._items))


class BBox_Knob(Knob):
    def __init__(self, name, label=''):
        Knob.__init__(self, name, label)
        self._value = (0.0, 0.0, 0.0, 0.0)

    def _checked(self, value):
        return tuple(number(n) for n in value) if len(value) == 4 else fail('a box has four numbers')

    def x(self):
        return self._value[0]

    def y(self):
        return self._value[1]

    def r(self):
        return self._value[2]

    def t(self):
        return self._value[3]


class PyScript_Knob(Knob):
    def __init__(self, name, label, command):
        Knob.__init__(self, name, label)
        self._value = command


class TracksKnob(Knob):
    """Tracker4's table: the columns of all tracks, one after another; its value: their names."""
    _fields = ('_columns',)

    def __init__(self, columns, names):
        Knob.__init__(self, 'tracks')
        self._columns, self._value = columns, names

    def toScript(self):
        """As in a .nk file; columns that roto does not read are left empty."""
        main_thread('toScript')
        rows = ' '.join('{ {curve} "%s" {curve} {curve}%s }' % (name, ' {}' * 27) for name in self._value)
        return '{ { 1 31 %d } { %s} { %s } }' % (len(self._value), '{ 2 1 0 column column 1 } ' * 31, rows)

    def _curve(self, index):
        if not 0 <= index < len(self._columns) or self._columns[index] is None:
            fail('tracks has no animated column %r' % (index,))
        return self._columns[index]

    def getValueAt(self, time, index):
        main_thread('getValueAt')
        return self._curve(index).evaluate(number(time))

    def setValueAt(self, value, time, index):
        main_thread('setValueAt')
        self._curve(index).addKey(number(time), number(value))


class Format(Strict):
    _fields = ('_size',)

    def __init__(self, width, height):
        self._size = (width, height)

    def width(self):
        return self._size[0]

    def height(self):
        return self._size[1]


class Node(Strict):
    _fields = ('_class', '_name', '_knobs', '_inputs', '_size', '_range', '_nodes', '_selected', '_place')
    _most_inputs = {'Read': 0, 'Input': 0, 'NoOp': 1, 'Dot': 1, 'Output': 1, 'Tracker4': 1, 'Roto': 4, 'RotoPaint': 4}

    def __init__(self, kind):
        main_thread('making a node')
        self._class, self._name, self._knobs, self._inputs, self._nodes = kind, '', {}, {}, []
        self._size, self._range, self._selected, self._place = (0, 0), (1, 1), False, (0, 0)
        _open_groups[-1].append(self)
        self.setName(kind + '1')
        if kind in ('Roto', 'RotoPaint'):
            self._knobs['curves'] = rotopaint.CurveKnob('curves', self)
        if kind == 'Read':
            self._knobs['file'] = File_Knob('file')
        if kind == 'Input':
            self._knobs['number'] = Double_Knob('number')

    def Class(self):
        return self._class

    def name(self):
        return self._name

    def setName(self, name):
        """A name that another node of the group has gets a number."""
        main_thread('setName')
        if not isinstance(name, str) or not re.match(r'[A-Za-z_]\w*$', name):
            fail('setName(%r)' % (name,))
        taken = {node._name for node in _open_groups[-1] if node is not self}
        stem, number = name.rstrip('0123456789'), 1
        while name in taken:
            name, number = '%s%d' % (stem, number), number + 1
        self._name = name

    def input(self, index):
        main_thread('input')
        return self._inputs.get(index)

    def setInput(self, index, node):
        """Nuke answers False where there is no such input, and goes on: an error all the same."""
        main_thread('setInput')
        most = sum(n._class == 'Input' for n in self._nodes) if self._class == 'Group' else self._most_inputs[self._class]
        if type(index) is not int or not 0 <= index < most or not (node is None or isinstance(node, Node)):
            fail('%s.setInput(%r, %r): it has %d inputs' % (self._class, index, node, most))
        self._inputs[index] = node

    def format(self):
        return Format(*self._size)

    def setSelected(self, selected):
        self._selected = bool(selected)

    def xpos(self):
        return self._place[0]

    def ypos(self):
        return self._place[1]

    def setXYpos(self, x, y):
        if type(x) is not int or type(y) is not int:
            fail('setXYpos(%r, %r): expected whole numbers' % (x, y))
        self._place = (x, y)

    def begin(self):
        if self._class != 'Group':
            fail('%s.begin' % self._class)
        _open_groups.append(self._nodes)

    def end(self):
        if _open_groups[-1] is not self._nodes:
            fail('end without begin')
        _open_groups.pop()

    def firstFrame(self):
        return self._range[0]

    def lastFrame(self):
        return self._range[1]

    def addKnob(self, knob):
        if not isinstance(knob, Knob) or knob.name() in self._knobs:
            fail('addKnob(%r)' % (knob,))
        self._knobs[knob.name()] = knob

    def __getitem__(self, name):
        main_thread('node[%r]' % name)
        if name not in self._knobs:
            raise NameError('knob %s does not exist' % name)
        return self._knobs[name]


all_nodes = []
_open_groups = [all_nodes]  # where new nodes land


def createNode(kind):
    if kind not in ('Group', 'NoOp', 'Roto', 'Read', 'Dot', 'Input', 'Output'):
        fail('createNode(%r)' % kind)
    return Node(kind)


def selectedNodes():
    main_thread('selectedNodes')
    return [node for node in all_nodes if node._selected]


def filename(node):
    """Evaluated, but for the number of the frame."""
    main_thread('filename')
    return node['file'].value().replace('[value root.shot]', 'shot0') or None


class _Nodes(Strict):
    def __getattr__(self, kind):
        def make(**knobs):
            return fail('nuke.nodes.%s(%r)' % (kind, knobs)) if knobs else createNode(kind)
        return make


nodes = _Nodes()


def toNode(name):
    main_thread('toNode')
    found = [node for node in all_nodes if node.name() == name]
    return found[0] if found else None


def nodePaste(path):
    """A Tracker4 from a .nk file; the last node pasted."""
    main_thread('nodePaste')
    import check
    words = check.words_of(open(path).read())
    if words[0] != 'Tracker4':
        fail('nodePaste of %s' % words[0])
    body = check.words_of(words[1])
    columns, names = [], []
    for node in selectedNodes():
        fail('nodePaste would connect to the selected %s' % node.name())
    for row in check.words_of(check.words_of(body[body.index('tracks') + 1])[2]):
        names.append(check.words_of(row)[1])
        for column in check.words_of(row):
            curve = None
            if column.startswith('curve'):
                curve = rotopaint.AnimCurve()
                for frame, value in check.nk_curve(column).items():
                    curve.addKey(frame, value)
            columns.append(curve)
    node = Node('Tracker4')
    node._knobs['tracks'] = TracksKnob(columns, names)
    node.setName(body[body.index('name') + 1])
    node.setSelected(True)
    return node


class FrameRanges(Strict):
    _fields = ('_frames',)

    def __init__(self, ranges):
        self._frames = []
        for text in [ranges] if isinstance(ranges, str) else ranges:
            match = re.match(r'(-?\d+)(?:-(-?\d+)(?:x(\d+))?)?$', text)
            if not match:
                raise RuntimeError('not a frame range: %s' % text)
            first, last, step = int(match.group(1)), int(match.group(2) or match.group(1)), int(match.group(3) or 1)
            self._frames += list(range(first, last + 1, step))

    def toFrameList(self):
        return list(self._frames)


class ProgressTask(Strict):
    _fields = ('_name', '_progress')
    _cancel = False  # a test sets it: the user presses Cancel
    _shown = []

    def __init__(self, name):
        self._name, self._progress = str(name), 0

    def setMessage(self, text):
        str(text)

    def setProgress(self, percent):
        if type(percent) is not int or not 0 <= percent <= 100:
            fail('setProgress(%r)' % (percent,))
        ProgressTask._shown.append(percent)

    def isCancelled(self):
        return ProgressTask._cancel


_messages = []
_calls = queue.Queue()


def message(text):
    main_thread('message')
    _messages.append(str(text))


def executeInMainThread(call, args=(), kwargs={}):
    if threading.current_thread() is threading.main_thread():
        fail('executeInMainThread on the main thread')
    _calls.put((call, args, kwargs))


def _run_until(thread):
    """What Nuke's event loop does while a thread works."""
    while thread.is_alive() or not _calls.empty():
        try:
            call, args, kwargs = _calls.get(timeout=0.05)
        except queue.Empty:
            continue
        call(*args, **kwargs)


class Menu(Strict):
    _fields = ('_items',)

    def __init__(self):
        self._items = {}

    def addMenu(self, name):
        return self._items.setdefault(name, Menu())

    def addCommand(self, name, command):
        self._items[name] = command


_menus = {'Nodes': Menu()}


def menu(name):
    return _menus[name]
