"""The FeatureDetect node: landmarks and roto shapes for the Read node it is connected to.

Input 0 is the plate; input 1, if connected, a Roto node whose shapes are the rough garbage matte; else the crop box counts.  The
work is done by the program `roto` in a process of its own, watched by a thread: Nuke stays usable, and the progress bar cancels it.
What the program says when something is wrong is shown as it is.  Landmarks come back as a Tracker node, shapes as a Roto node, each
in one undo step.  What an artist fixes there goes back into the roto document, which no later run overwrites.

The program is $ROTO_BIN, bin/<platform>/roto beside this file, or roto on the PATH; models are found in ROTO_MODEL_PATH.
Python 3.7 and later."""

import json
import math
import os
import platform
import runpy
import shutil
import subprocess
import tempfile
import threading

import nuke
import nuke.rotopaint as rp

ARTIST_PIXELS = 0.05  # a track that is further than this from the document was moved by hand
SHAPE_PIXELS = 0.25   # the same of a shape; key reduction stays below
TRACK_COLUMNS, TRACK_X, TRACK_Y = 31, 2, 3  # of Tracker4's table


# ------------------------------------------------------------------ the program


def program():
    here = os.path.dirname(os.path.abspath(__file__))
    name = 'roto.exe' if platform.system() == 'Windows' else 'roto'
    beside = os.path.join(here, 'bin', platform.system().lower() + '-' + platform.machine().lower(), name)
    for path in (os.environ.get('ROTO_BIN'), beside, shutil.which(name)):
        if path and os.path.isfile(path):
            return path
    raise RuntimeError('the program roto is not there; set ROTO_BIN, or put it at %s or on the PATH' % beside)


def environment():
    """Nuke's own libraries and Python are none of the program's business."""
    return {k: v for k, v in os.environ.items() if k not in ('LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'PYTHONHOME', 'PYTHONPATH')}


def call(arguments, progress=None, cancelled=None):
    """Runs the program to its end; returns its lines, or raises with its own error text.  None if it was cancelled."""
    process = subprocess.Popen([program()] + [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, universal_newlines=True, env=environment())
    lines, stopped = [], False
    for line in process.stdout:
        line = line.strip()
        if line.startswith('Progress: '):
            if progress:
                progress(int(line[len('Progress: '):].rstrip('%')))
        elif line:
            lines.append(line)
        if cancelled and not stopped and cancelled():
            process.terminate()
            stopped = True
    process.wait()
    if stopped:
        return None
    if process.returncode:
        errors = [line[len('ERROR: '):] for line in lines if line.startswith('ERROR: ')]
        raise RuntimeError('\n'.join(errors) or 'roto ended with status %d' % process.returncode)
    return lines


def models():
    """[(path, name and description)] of the folders of ROTO_MODEL_PATH."""
    found = []
    for folder in os.environ.get('ROTO_MODEL_PATH', '').split(os.pathsep):
        if not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            if name.endswith('.roto'):
                path = os.path.join(folder, name)
                try:
                    info = json.loads(call(['model', 'info', path, '--json'])[-1])
                    found.append((path, '%s - %s' % (info['name'], info['description'])))
                except (RuntimeError, ValueError, KeyError, IndexError) as error:
                    found.append((path, '%s - unusable: %s' % (name, error)))
    return found


# ------------------------------------------------------------------ the node


def create():
    """Makes a FeatureDetect node, connected to what is selected."""
    known = models()
    node = nuke.createNode('NoOp')
    node.setName('FeatureDetect')
    names = ['%d %s' % (i + 1, os.path.basename(path)) for i, (path, _) in enumerate(known)] or ['none in ROTO_MODEL_PATH']
    command = 'import feature_detect; feature_detect.%s(nuke.thisNode())'
    knobs = [
        nuke.Tab_Knob('roto', 'roto'),
        nuke.Enumeration_Knob('model', 'model', names),
        nuke.Text_Knob('description', '', '\n'.join(text for _, text in known) or 'set ROTO_MODEL_PATH'),
        nuke.BBox_Knob('crop', 'crop'),
        nuke.String_Knob('range', 'frames'),
        nuke.File_Knob('folder', 'output folder'),
        nuke.Boolean_Knob('smooth', 'smooth over time'),
        nuke.Double_Knob('confidence', 'least confidence'),
        nuke.Double_Knob('tolerance', 'key tolerance (px)'),
        nuke.Boolean_Knob('make_tracker', 'create Tracker node'),
        nuke.Boolean_Knob('make_roto', 'create Roto node'),
        nuke.Boolean_Knob('make_json', 'export JSON'),
        nuke.Boolean_Knob('overwrite', 'overwrite existing'),
        nuke.PyScript_Knob('run', 'Find', command % 'run'),
        nuke.PyScript_Knob('shapes', 'Shapes from trackers', command % 'shapes_from_trackers'),
        nuke.PyScript_Knob('send', 'Send corrections', command % 'send_corrections'),
        nuke.String_Knob('model_paths', ''),
    ]
    for knob in knobs:
        node.addKnob(knob)
    node['model_paths'].setValue(os.pathsep.join(path for path, _ in known))
    node['model_paths'].setVisible(False)
    node['tolerance'].setValue(0.1)
    node['smooth'].setValue(True)
    node['make_tracker'].setValue(True)
    node['make_roto'].setValue(True)
    return node


def read_node(node):
    source = node.input(0)
    while source is not None and source.Class() in ('Dot', 'NoOp'):
        source = source.input(0)
    if source is None or source.Class() != 'Read':
        raise RuntimeError('connect input 0 of %s to a Read node' % node.name())
    return source


def shapes_in(layer):
    for item in layer:
        if isinstance(item, rp.Layer):
            for shape in shapes_in(item):
                yield shape
        elif isinstance(item, rp.Shape):
            yield item


def crop_of(node, frame):
    """x, y, width, height in pixels of the plate, y down: the garbage matte's box at a frame, or the crop box."""
    height = read_node(node).height()
    garbage = node.input(1)
    if garbage is not None:
        if garbage.Class() not in ('Roto', 'RotoPaint'):
            raise RuntimeError('input 1 of %s takes a Roto node with a rough shape around the subject' % node.name())
        places = [p.center.getPosition(frame) for shape in shapes_in(garbage['curves'].rootLayer) for p in shape]
        if not places:
            raise RuntimeError('%s has no shape; draw one around the subject' % garbage.name())
        left, bottom = min(p[0] for p in places), min(p[1] for p in places)
        right, top = max(p[0] for p in places), max(p[1] for p in places)
    else:
        box = node['crop']
        left, bottom, right, top = box.x(), box.y(), box.r(), box.t()
    if not (right > left and top > bottom):
        raise RuntimeError('set the crop box of %s, or connect a Roto node to input 1' % node.name())
    return [left, height - top, right - left, top - bottom]


def frame_numbers(text):
    return [int(f) for f in nuke.FrameRanges(text.replace(',', ' ').split()).toFrameList()]


def settings_of(node):
    """What a run needs, read once on the main thread."""
    read = read_node(node)
    paths = [p for p in node['model_paths'].value().split(os.pathsep) if p]
    if not paths:
        raise RuntimeError('no model: put .roto files in a folder of ROTO_MODEL_PATH, then make the node anew')
    model = paths[int(node['model'].value().split()[0]) - 1]
    folder = node['folder'].value()
    if not folder:
        raise RuntimeError('set the output folder of %s' % node.name())
    text = node['range'].value().strip() or '%d-%d' % (read.firstFrame(), read.lastFrame())
    stem = os.path.basename(read['file'].value()).split('.')[0].rstrip('#%_-') or 'shot'
    return {
        'name': node.name(), 'plate': read['file'].value(), 'model': model, 'folder': folder,
        'frames': frame_numbers(text), 'crops': {str(f): crop_of(node, f) for f in frame_numbers(text)},
        'smooth': bool(node['smooth'].value()), 'confidence': float(node['confidence'].value()),
        'tolerance': float(node['tolerance'].value()), 'tracker': bool(node['make_tracker'].value()),
        'roto': bool(node['make_roto'].value()), 'json': bool(node['make_json'].value()),
        'overwrite': bool(node['overwrite'].value()), 'document': os.path.join(folder, stem + '.roto.json'), 'stem': stem,
    }


# ------------------------------------------------------------------ running


def detect(settings, progress=None, cancelled=None):
    """Any thread: writes the document; False if it was cancelled."""
    if not os.path.isdir(settings['folder']):
        os.makedirs(settings['folder'])
    crops = os.path.join(settings['folder'], settings['stem'] + '.crops.json')
    with open(crops, 'w') as file:
        json.dump(settings['crops'], file)
    arguments = ['run', settings['plate'], '--model', settings['model'], '--crops', crops, '-o', settings['document'],
                 '--range', ','.join(str(f) for f in settings['frames'])]
    arguments += ['--smooth', 'full' if settings['smooth'] else 'off']
    return call(arguments, progress, cancelled) is not None


def put_aside(name):
    """An earlier node of this name keeps what an artist did in it, under another name."""
    old = nuke.toNode(name)
    if old is not None:
        number = 1
        while nuke.toNode('%s_old%d' % (name, number)) is not None:
            number += 1
        old.setName('%s_old%d' % (name, number))


def make_nodes(settings):
    """Main thread: what the document holds as nodes and files; returns the nodes."""
    made, folder = [], tempfile.mkdtemp(prefix='roto')
    document = read_document(settings['document'])
    try:
        if settings['tracker']:
            path = os.path.join(folder, 'tracks.nk')
            call(['export', settings['document'], '--to', 'nuke-tracker', '-o', path, '--confidence', settings['confidence'],
                  '--name', settings['name']])
            undo = nuke.Undo()
            undo.begin('roto: landmarks of ' + settings['name'])
            try:
                put_aside(tracks_name(settings))
                made.append(nuke.nodePaste(path))
            finally:
                undo.end()
        if settings['roto'] and any(frame.get('shapes') for frame in document['frames']):
            path = os.path.join(folder, 'shapes.py')
            call(['export', settings['document'], '--to', 'nuke', '-o', path, '--tolerance', settings['tolerance']])
            put_aside(settings['name'] + '_shapes')
            made.append(runpy.run_path(path)['build'](name=settings['name'] + '_shapes'))
        if settings['json']:
            call(['export', settings['document'], '--to', 'json', '-o',
                  os.path.join(settings['folder'], 'revec_shapes-%s-frame####.json' % settings['stem'])])
    finally:
        shutil.rmtree(folder)
    return made


def draw_shapes(settings, progress=None, cancelled=None):
    """Any thread: draws the document's shapes anew through its points, no more; False if it was cancelled."""
    return call(['shapes', settings['document'], '--model', settings['model']], progress, cancelled) is not None


def start(settings, stage):
    """Runs a stage in a thread of its own, with a progress bar; nodes are made on the main thread at the end."""
    def finish(problem):
        try:
            if not problem:
                make_nodes(settings)
        except (RuntimeError, OSError, ValueError) as error:
            problem = str(error)
        if problem:
            nuke.message(problem)

    def work():
        task = nuke.ProgressTask('roto: ' + settings['name'])
        task.setMessage('finding landmarks' if stage is detect else 'drawing shapes')
        try:
            if stage(settings, task.setProgress, task.isCancelled):
                nuke.executeInMainThread(finish, args=(None,))
        except (RuntimeError, OSError) as error:
            nuke.executeInMainThread(finish, args=(str(error),))
        finally:
            del task
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def run(node):
    """The Find button."""
    try:
        settings = settings_of(node)
        if os.path.exists(settings['document']) and not settings['overwrite']:
            raise RuntimeError('%s is there already; tick "overwrite existing" (an artist\'s corrections in it are kept)' %
                               settings['document'])
        return start(settings, detect)
    except (RuntimeError, OSError) as error:
        nuke.message(str(error))


# ------------------------------------------------------------------ corrections


def read_document(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def node_named(name):
    node = nuke.toNode(name)
    if node is None:
        raise RuntimeError('there is no node %s; press Find first' % name)
    return node


def correct_points(doc, tracker, confidence):
    """Points whose track was moved become an artist's; returns how many.  Tracks are those of `roto export`: the landmarks that are
    to be seen in some frame, in the template's order."""
    knob, height, changed = tracker['tracks'], doc['plate']['height'], 0

    def tracked(point):
        return point.get('visible', True) and point.get('confidence', 1) >= confidence
    rows = [i for i in range(len(doc['template']['landmarks'])) if any(tracked(frame['points'][i]) for frame in doc['frames'])]
    for row, index in enumerate(rows):
        for frame in doc['frames']:
            point = frame['points'][index]
            if not tracked(point):
                continue
            x = knob.getValueAt(frame['frame'], TRACK_COLUMNS * row + TRACK_X)
            y = height - knob.getValueAt(frame['frame'], TRACK_COLUMNS * row + TRACK_Y)
            if math.hypot(x - point['x'], y - point['y']) > ARTIST_PIXELS:
                point.update(x=round(x, 3), y=round(y, 3), confidence=1, error=0, origin='artist')
                changed += 1
    return changed


def correct_shapes(doc, roto):
    """Shapes that were moved or hidden become an artist's; returns how many."""
    height, changed = doc['plate']['height'], 0
    closed = {shape['name']: shape.get('closed', True) for shape in doc['template']['shapes']}
    for shape in shapes_in(roto['curves'].rootLayer):
        for frame in doc['frames'] if shape.name in closed else []:
            now = frame['frame']
            old = frame.setdefault('shapes', {}).get(shape.name)
            was_seen = bool(old) and old.get('visible', True)
            if shape.getAttributes().getValue(now, rp.AnimAttributes.kOpacityAttribute) < 0.5:
                if was_seen:
                    old.update(visible=False, origin='artist')
                    changed += 1
                continue
            vertices = []
            for p in shape:
                (x, y), before, after = p.center.getPosition(now)[:2], p.leftTangent.getPosition(now), p.rightTangent.getPosition(now)
                vertices.append((x, height - y, before[0], -before[1], after[0], -after[1]))
            count = len(vertices)
            segments = []
            for i in range(count if closed[shape.name] else count - 1):
                a, b = vertices[i], vertices[(i + 1) % count]
                segments.append([[round(n, 3) for n in (a[0], a[4], b[0], b[2])], [round(n, 3) for n in (a[1], a[5], b[1], b[3])]])
            if was_seen and len(old['segments']) == len(segments) and distance(old['segments'], segments) < SHAPE_PIXELS:
                continue
            frame['shapes'][shape.name] = dict(old or {}, origin='artist', segments=segments)
            frame['shapes'][shape.name].pop('visible', None)
            changed += 1
    return changed


def distance(a, b):
    """Largest distance of the control points of two lists of segments."""
    worst = 0.0
    for (ax, ay), (bx, by) in zip(a, b):
        dx, dy = [p - q for p, q in zip(ax, bx)], [p - q for p, q in zip(ay, by)]
        worst = max(worst, math.hypot(dx[0], dy[0]), math.hypot(dx[0] + dx[1], dy[0] + dy[1]), math.hypot(dx[2], dy[2]),
                    math.hypot(dx[2] + dx[3], dy[2] + dy[3]))
    return worst


def write_document(path, doc):
    with open(path + '.tmp', 'w', encoding='utf-8') as file:
        json.dump(doc, file, indent=1)
    os.replace(path + '.tmp', path)


def tracks_name(settings):
    return settings['name'] + '_tracks'


def shapes_from_trackers(node):
    """The Shapes-from-trackers button: the fixed tracks go into the document, which draws its shapes through them again."""
    try:
        settings = settings_of(node)
        doc = read_document(settings['document'])
        correct_points(doc, node_named(tracks_name(settings)), settings['confidence'])
        write_document(settings['document'], doc)
        return start(dict(settings, tracker=False, roto=True), draw_shapes)
    except (RuntimeError, OSError, ValueError) as error:
        nuke.message(str(error))


def send_corrections(node):
    """The Send-corrections button: tracks and shapes go into the document, and into annotation files to train on."""
    try:
        settings = settings_of(node)
        doc = read_document(settings['document'])
        points = correct_points(doc, node_named(tracks_name(settings)), settings['confidence'])
        roto = nuke.toNode(settings['name'] + '_shapes')
        shapes = correct_shapes(doc, roto) if roto is not None else 0
        write_document(settings['document'], doc)
        call(['export', settings['document'], '--to', 'json', '-o',
              os.path.join(settings['folder'], 'revec_shapes-%s-frame####.json' % settings['stem'])])
        nuke.message('%s: %d points and %d shapes are now an artist\'s' % (settings['document'], points, shapes))
    except (RuntimeError, OSError, ValueError) as error:
        nuke.message(str(error))
