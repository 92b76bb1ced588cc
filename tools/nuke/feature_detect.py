"""The FeatureDetect node: landmarks and roto shapes for the Read node it is connected to.

Input 0 is the plate; input 1, if connected, a Roto node whose shapes are the rough garbage matte; else the crop box counts.  The
work is done by the program `roto` in a process of its own, watched by a thread: Nuke stays usable, and the progress bar cancels it.
What the program says when something is wrong is shown as it is.  Landmarks come back as a Tracker node, shapes as a Roto node, both
in one undo step.  What an artist fixes there goes back into the roto document, which no later run overwrites.

The thread does all that takes time; nodes and knobs are touched on the main thread alone.

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
SHAPE_PIXELS = 0.15   # the same of a shape, besides what key reduction may have moved it by
TRACK_COLUMNS, TRACK_X, TRACK_Y = 31, 2, 3  # of Tracker4's table

running = set()  # names of the nodes at work


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
                               stderr=subprocess.STDOUT, env=environment(), encoding='utf-8', errors='replace',
                               creationflags=getattr(subprocess, 'CREATE_NO_WINDOW', 0))
    lines, percents, stopped = [], [], False

    def read():
        for line in process.stdout:
            line = line.strip()
            if line.startswith('Progress: '):
                percents.append(int(line[len('Progress: '):].rstrip('%')))
            elif line:
                lines.append(line)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while reader.is_alive():
        reader.join(0.1)  # also where the program says nothing for a while, Cancel is heard
        if progress and percents:
            progress(percents[-1])
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
    """[(path, what the drop-down says)] of the folders of ROTO_MODEL_PATH."""
    found = []
    for folder in os.environ.get('ROTO_MODEL_PATH', '').split(os.pathsep):
        if not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            if name.endswith('.roto'):
                path = os.path.join(folder, name)
                try:
                    info = json.loads(call(['model', 'info', path, '--json'])[-1])
                    text = '%s: %s' % (info['name'], info['description'])
                except (RuntimeError, ValueError, KeyError, IndexError) as error:
                    text = 'unusable, %s' % error
                found.append((path, '%d. %s (%s)' % (len(found) + 1, text, name)))
    return found


# ------------------------------------------------------------------ the node

KNOBS = [  # kind, name, label, tooltip
    (nuke.Enumeration_Knob, 'model', 'model', 'Models in the folders of ROTO_MODEL_PATH, with what each says of itself.'),
    (nuke.PyScript_Knob, 'reload', 'Reload models', 'Looks into the folders of ROTO_MODEL_PATH again.'),
    (nuke.BBox_Knob, 'crop', 'crop', 'Roughly around the subject. A Roto node in the second input goes before it.'),
    (nuke.String_Knob, 'range', 'frames', '1001-1105 1110-1200x2. Empty: all frames of the Read node.'),
    (nuke.File_Knob, 'folder', 'output folder', 'Where the roto document and all files go.'),
    (nuke.Enumeration_Knob, 'smoothing', 'smoothing', 'full: looks both ways in time. causal: looks only back. off: as found.'),
    (nuke.Double_Knob, 'confidence', 'least confidence', 'Landmarks below it are switched off in the Tracker, from 0 to 1.'),
    (nuke.Double_Knob, 'tolerance', 'key tolerance (px)',
     'How far a shape may be from what was found so that it has fewer keys. 0: a key in every frame.'),
    (nuke.Boolean_Knob, 'make_tracker', 'create Tracker node', ''),
    (nuke.Boolean_Knob, 'make_roto', 'create Roto node', ''),
    (nuke.Boolean_Knob, 'make_json', 'export JSON', 'Annotation files, one a frame, to train on.'),
    (nuke.Boolean_Knob, 'overwrite', 'overwrite existing',
     'Runs although the document is there. What an artist did in it is kept; nodes of before are renamed.'),
    (nuke.PyScript_Knob, 'run', 'Find', 'Finds landmarks and shapes.'),
    (nuke.PyScript_Knob, 'shapes', 'Shapes from trackers', 'Draws the shapes anew through the tracks you fixed; finds nothing.'),
    (nuke.PyScript_Knob, 'send', 'Send corrections', 'Tracks and shapes you changed become yours in the document and in annotation files.'),
]


def create():
    """Makes a FeatureDetect node, connected to what is selected."""
    node = nuke.createNode('Group')
    node.setName('FeatureDetect1')
    node.begin()
    try:
        for number, name in enumerate(('plate', 'garbage')):
            source = nuke.nodes.Input()
            source.setName(name)
            source['number'].setValue(number)
            if number == 0:
                nuke.nodes.Output().setInput(0, source)  # the plate passes through
    finally:
        node.end()
    node.addKnob(nuke.Tab_Knob('roto', 'roto'))
    lists = {'model': ['none'], 'smoothing': ['full', 'causal', 'off']}
    for kind, name, label, tooltip in KNOBS:
        if kind is nuke.Enumeration_Knob:
            knob = kind(name, label, lists[name])
        elif kind is nuke.PyScript_Knob:
            knob = kind(name, label, 'import feature_detect; feature_detect.pressed(%r, nuke.thisNode())' % name)
        else:
            knob = kind(name, label)
        knob.setTooltip(tooltip)
        if name in ('make_tracker', 'run'):
            knob.setFlag(nuke.STARTLINE)
        node.addKnob(knob)
    paths = nuke.String_Knob('model_paths', '')
    node.addKnob(paths)
    paths.setVisible(False)
    node['tolerance'].setValue(0.1)
    node['make_tracker'].setValue(True)
    node['make_roto'].setValue(True)
    reload_models(node)
    return node


def reload_models(node):
    known = models()
    node['model'].setValues([text for _, text in known] or ['none: put .roto files into a folder of ROTO_MODEL_PATH'])
    node['model'].setValue(0)
    node['model_paths'].setValue(os.pathsep.join(path for path, _ in known))


def pressed(button, node):
    """What the buttons do; what goes wrong is said."""
    try:
        if node.name() in running:
            raise RuntimeError('%s is still at work; cancel it in the progress bar' % node.name())
        return {'reload': reload_models, 'run': run, 'shapes': shapes_from_trackers, 'send': send_corrections}[button](node)
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        nuke.message(str(error))


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
    height = read_node(node).format().height()  # of the full plate; that of the node shrinks in proxy mode
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
        raise RuntimeError('no model: put .roto files into a folder of ROTO_MODEL_PATH, then press "Reload models"')
    model = paths[node['model'].values().index(node['model'].value())]
    folder = node['folder'].value()
    if not folder:
        raise RuntimeError('set the output folder of %s' % node.name())
    text = node['range'].value().strip() or '%d-%d' % (read.firstFrame(), read.lastFrame())
    plate = nuke.filename(read)  # expressions are evaluated, the frame number is left open
    if not plate:
        raise RuntimeError('%s has no file' % read.name())
    stem = os.path.basename(plate).split('.')[0].rstrip('#%_-') or 'shot'
    return {
        'name': node.name(), 'read': read.name(), 'plate': plate, 'model': model, 'folder': folder,
        'place': (node.xpos(), node.ypos()),
        'frames': frame_numbers(text), 'crops': {str(f): crop_of(node, f) for f in frame_numbers(text)},
        'smoothing': node['smoothing'].value(), 'confidence': float(node['confidence'].value()),
        'tolerance': float(node['tolerance'].value()), 'tracker': bool(node['make_tracker'].value()),
        'roto': bool(node['make_roto'].value()), 'json': bool(node['make_json'].value()),
        'overwrite': bool(node['overwrite'].value()), 'document': os.path.join(folder, stem + '.roto.json'), 'stem': stem,
    }


# ------------------------------------------------------------------ work, in any thread
#
# Each stage takes the settings and (progress, cancelled), and returns what the main thread is to make nodes of, or None if it was
# cancelled.


def detect(settings, *watch):
    if not os.path.isdir(settings['folder']):
        os.makedirs(settings['folder'])
    crops = os.path.join(settings['folder'], settings['stem'] + '.crops.json')
    with open(crops, 'w') as file:
        json.dump(settings['crops'], file)
    done = call(['run', settings['plate'], '--model', settings['model'], '--crops', crops, '-o', settings['document'],
                 '--range', ','.join(str(f) for f in settings['frames']), '--smooth', settings['smoothing']], *watch)
    return done and export(settings)


def draw_shapes(settings, *watch):
    """The shape stage alone, through the document's points."""
    done = call(['shapes', settings['document'], '--model', settings['model']], *watch)
    return done and export(dict(settings, tracker=False, roto=True))


def base_of(settings, what):
    """Where the document is kept as it was when this node's tracks or shapes were made of it."""
    return '%s.%s_%s' % (settings['document'], settings['name'], what)


def export(settings):
    """{'tracks': text of a .nk, 'shapes': text of a script}, of what is asked for."""
    made, folder = {}, tempfile.mkdtemp(prefix='roto')
    try:
        if settings['tracker']:
            base, path = base_of(settings, 'tracks'), os.path.join(folder, 'tracks.nk')
            shutil.copyfile(settings['document'], base)
            call(['export', base, '--to', 'nuke-tracker', '-o', path, '--confidence', settings['confidence'],
                  '--name', settings['name']])
            made['tracks'] = read_text(path)
        if settings['roto'] and any(frame.get('shapes') for frame in read_document(settings['document'])['frames']):
            base, path = base_of(settings, 'shapes'), os.path.join(folder, 'shapes.py')
            shutil.copyfile(settings['document'], base)
            call(['export', base, '--to', 'nuke', '-o', path, '--tolerance', settings['tolerance']])
            made['shapes'] = read_text(path)
        if settings['json']:
            export_annotations(settings)
    finally:
        shutil.rmtree(folder)
    return made


def export_annotations(settings, *watch):
    return call(['export', settings['document'], '--to', 'json', '-o',
                 os.path.join(settings['folder'], 'revec_shapes-%s-frame####.json' % settings['stem'])], *watch)


def read_text(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


# ------------------------------------------------------------------ nodes, on the main thread


def put_aside(name):
    """An earlier node of this name keeps what an artist did in it, under another name."""
    old = nuke.toNode(name)
    if old is not None:
        number = 1
        while nuke.toNode('%s_old%d' % (name, number)) is not None:
            number += 1
        old.setName('%s_old%d' % (name, number))


def make_nodes(settings, made):
    """Tracker and Roto node of what export() gave, connected to the plate, in one undo step; returns them."""
    nodes, folder = [], tempfile.mkdtemp(prefix='roto')
    undo = nuke.Undo()
    undo.begin('roto: ' + settings['name'])
    try:
        for what, text in sorted(made.items()):
            name = '%s_%s' % (settings['name'], what)
            path = os.path.join(folder, what)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            put_aside(name)
            for chosen in nuke.selectedNodes():
                chosen.setSelected(False)  # what is pasted would be connected to it
            if what == 'tracks':
                node = nuke.nodePaste(path)
                node.setName(name)
            else:
                node = runpy.run_path(path)['build'](name=name, undo=False)
            node.setInput(0, nuke.toNode(settings['read']))  # its format is the plate's
            node.setXYpos(settings['place'][0] + 110 * (1 + len(nodes)), settings['place'][1])
            nodes.append(node)
    finally:
        undo.end()
        shutil.rmtree(folder)
    return nodes


def start(settings, stage, message, done):
    """Runs a stage in a thread of its own, with a progress bar that cancels it; then done(what it returned) on the main thread."""
    def finish(made, problem):
        running.discard(settings['name'])
        try:
            if made is not None:
                done(made)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            problem = str(error)
        if problem:
            nuke.message(problem)

    def work():
        made, problem = None, ''
        task = nuke.ProgressTask('roto: ' + settings['name'])
        task.setMessage(message)
        try:
            made = stage(settings, task.setProgress, task.isCancelled)
        except Exception as error:  # a thread must not end in silence
            problem = str(error) or type(error).__name__
        del task
        nuke.executeInMainThread(finish, args=(made, problem))
    running.add(settings['name'])
    thread = threading.Thread(target=work, name='roto', daemon=True)
    thread.start()
    return thread


def run(node):
    """The Find button."""
    settings = settings_of(node)
    if os.path.exists(settings['document']) and not settings['overwrite']:
        raise RuntimeError('%s is there already; tick "overwrite existing" (an artist\'s corrections in it are kept)' %
                           settings['document'])
    return start(settings, detect, 'finding landmarks and shapes', lambda made: make_nodes(settings, made))


# ------------------------------------------------------------------ corrections
#
# What an artist did in a node is what differs from the document as it was when the node was made.  That alone goes into the document
# of now, which others may have mended meanwhile, in the review page or elsewhere.


def read_document(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def tcl_words(text):
    """The words of a Tcl list: braces nest, quotes hold, a backslash keeps the character behind it."""
    words, i = [], 0
    while i < len(text):
        if text[i].isspace():
            i += 1
            continue
        start, depth, quoted = i, 0, text[i] == '"'
        while i < len(text):
            if text[i] == '\\':
                i += 1
            elif not quoted and text[i] in '{}':
                depth += 1 if text[i] == '{' else -1
            elif quoted and text[i] == '"' and i > start:
                i += 1
                break
            elif not quoted and not depth and text[i].isspace():
                break
            i += 1
            if not quoted and not depth and text[start] == '{':
                break
        word = text[start:i]
        words.append(word[1:-1] if word[0] in '{"' else word)
    return words


def track_rows(tracker):
    """{name: row} of a Tracker's table as it is now: an artist may have deleted, added, or moved tracks."""
    words = tcl_words(tracker['tracks'].toScript())
    while len(words) == 1:
        words = tcl_words(words[0])
    if len(words) < 3:
        raise RuntimeError('%s: its tracks cannot be read' % tracker.name())
    return {tcl_words(row)[1]: number for number, row in enumerate(tcl_words(words[2]))}


def moved_points(base, tracker, confidence):
    """[(frame, index, what is to be set)] of tracks that were moved, or switched on or off."""
    knob, height, moved = tracker['tracks'], base['plate']['height'], []
    rows = track_rows(tracker)
    for index, landmark in enumerate(base['template']['landmarks']):
        if landmark['name'] not in rows:
            continue
        first = TRACK_COLUMNS * rows[landmark['name']]
        for frame in base['frames']:
            point, now = frame['points'][index], frame['frame']
            was_on = point.get('visible', True) and point.get('confidence', 1) >= confidence
            is_on = knob.getValueAt(now, first) > 0.5
            if not is_on and not was_on:
                continue
            x, y = knob.getValueAt(now, first + TRACK_X), height - knob.getValueAt(now, first + TRACK_Y)
            if is_on and (not was_on or math.hypot(x - point['x'], y - point['y']) > ARTIST_PIXELS):
                moved.append((now, index, {'x': round(x, 3), 'y': round(y, 3), 'visible': True}))
            elif not is_on:
                moved.append((now, index, {'visible': False}))
    return moved


def moved_shapes(base, roto, tolerance):
    """[(frame, name, segments, or None where it was hidden)] of shapes that were changed.  `tolerance`: that of their keys."""
    height, moved = base['plate']['height'], []
    closed = {shape['name']: shape.get('closed', True) for shape in base['template']['shapes']}
    for shape in shapes_in(roto['curves'].rootLayer):
        for frame in base['frames'] if shape.name in closed else []:
            now, old = frame['frame'], frame.get('shapes', {}).get(shape.name)
            was_seen = bool(old) and old.get('visible', True)
            if shape.getAttributes().getValue(now, rp.AnimAttributes.kOpacityAttribute) < 0.5:
                if was_seen:
                    moved.append((now, shape.name, None))
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
            same = was_seen and len(old['segments']) == len(segments)
            if not same or distance(old['segments'], segments) > tolerance + SHAPE_PIXELS:
                moved.append((now, shape.name, segments))
    return moved


def put_into(doc, points, shapes):
    """Makes what was moved an artist's; frames that the document has no more are left out."""
    frames = {frame['frame']: frame for frame in doc['frames']}
    for frame, index, values in points:
        if frame in frames:
            point = frames[frame]['points'][index]
            point.setdefault('raw', [point['x'], point['y']])
            point.update(values, confidence=1, error=0, origin='artist')
            if point['visible']:
                del point['visible']
    for frame, name, segments in shapes:
        there = frames.get(frame, {}).setdefault('shapes', {})
        if frame in frames and (segments or name in there):
            shape = there.setdefault(name, {})
            shape['origin'] = 'artist'
            if segments is None:
                shape['visible'] = False
            else:
                shape['segments'] = segments
                shape.pop('visible', None)


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


def node_named(name):
    node = nuke.toNode(name)
    if node is None:
        raise RuntimeError('there is no node %s; press Find first' % name)
    return node


def corrected(node, shapes_too):
    """Puts what was changed in the nodes into the document: (settings, points, shapes)."""
    settings = settings_of(node)
    bases, points, shapes = {}, [], []
    tracker, roto = node_named(settings['name'] + '_tracks'), nuke.toNode(settings['name'] + '_shapes')
    bases['tracks'] = read_document(base_of(settings, 'tracks'))
    points = moved_points(bases['tracks'], tracker, settings['confidence'])
    if shapes_too and roto is not None:
        bases['shapes'] = read_document(base_of(settings, 'shapes'))
        shapes = moved_shapes(bases['shapes'], roto, settings['tolerance'])
    doc = read_document(settings['document'])
    put_into(doc, points, shapes)
    write_document(settings['document'], doc)
    for what, base in bases.items():  # sent once
        put_into(base, points if what == 'tracks' else [], shapes if what == 'shapes' else [])
        write_document(base_of(settings, what), base)
    return settings, len(points), len(shapes)


def shapes_from_trackers(node):
    """The Shapes-from-trackers button: the fixed tracks go into the document, which draws its shapes through them again."""
    settings, _, _ = corrected(node, False)
    return start(settings, draw_shapes, 'drawing shapes', lambda made: make_nodes(settings, made))


def send_corrections(node):
    """The Send-corrections button: tracks and shapes go into the document, and into annotation files to train on."""
    settings, points, shapes = corrected(node, True)
    text = '%s: %d points and %d shapes are now an artist\'s' % (settings['document'], points, shapes)
    return start(settings, export_annotations, 'writing annotation files', lambda made: nuke.message(text))
