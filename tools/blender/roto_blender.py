"""roto in Blender: an add-on of one file.  Edit > Preferences > Add-ons > Install, then set where the program `roto` is.

In the sidebar of the Movie Clip and Image editors: choose plate and model, give a rough crop by hand or from a mask, run.
Landmarks become tracks of the clip, shapes become a mask whose layers are keyed frame by frame and hide where a shape is hidden.
What an artist changes in tracks and mask goes back into the roto document, marked as an artist's, where no later run overwrites it
and training finds it: when it is sent, and by itself before a run or load would make tracks and mask anew.  It is what differs from
the document as it was when they were made, so what others mended meanwhile stays.

The work is done by the program `roto` in a process of its own; Blender stays usable, Esc stops it.  The program's error text is
shown as it is.  What is made of a document is written by `roto export --to blender`, so it is the same as without the add-on."""

bl_info = {
    'name': 'roto',
    'author': 'roto',
    'version': (0, 1, 0),
    'blender': (3, 4, 0),
    'location': 'Movie Clip and Image editors > Sidebar > roto',
    'description': 'Finds landmarks and roto shapes with models trained by roto-train',
    'category': 'Video Tools',
}

import json
import math
import os
import runpy
import shutil
import subprocess
import tempfile
import threading

import bpy

POINT_PIXELS = 0.05  # a track that is further than this from what was made was moved by hand
SHAPE_PIXELS = 0.15  # the same of a shape, besides what key reduction may have moved it by


# ------------------------------------------------------------------ the program


def program():
    addon = bpy.context.preferences.addons.get(__name__)
    chosen = bpy.path.abspath(addon.preferences.program) if addon and addon.preferences.program else ''
    return chosen or os.environ.get('ROTO_BIN') or shutil.which('roto') or ''


class Job:
    """A run of the program: its progress in percent, its errors, its end."""

    def __init__(self, *arguments):
        path = program()
        if not path or not os.path.isfile(path):
            raise RuntimeError("the program 'roto' is not there: set its path in the add-on's preferences (found %r)" % path)
        self.percent, self.lines = 0, []
        self.process = subprocess.Popen([path] + [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, universal_newlines=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            line = line.strip()
            if line.startswith('Progress: '):
                self.percent = int(line[len('Progress: '):].rstrip('%'))
            elif line:
                self.lines.append(line)

    def running(self):
        return self.reader.is_alive() or self.process.poll() is None

    def stop(self):
        self.process.terminate()

    def finish(self):
        """Waits; raises what the program said went wrong."""
        self.process.wait()
        self.reader.join()
        if self.process.returncode:
            errors = [line[len('ERROR: '):] for line in self.lines if line.startswith('ERROR: ')]
            raise RuntimeError('; '.join(errors) or 'roto ended with status %d' % self.process.returncode)
        return self.lines


# ------------------------------------------------------------------ documents, tracks, masks


def offset_of(clip, doc):
    """Scene frame of a plate's frame, minus its number: the clip's first frame is the plate's first."""
    return clip.frame_start - doc['frames'][0]['frame'] if clip else 0


def read_document(path):
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def keep_base(document, what):
    """A copy of the document as it is while tracks or mask are made of it; returns its path."""
    base = '%s.blender_%s' % (document, what)
    shutil.copyfile(document, base)
    return base


def add_tracks(clip, document):
    """A track of the clip for each landmark; its marker is disabled where the landmark is hidden."""
    clip['roto_document'], clip['roto_base'] = document, keep_base(document, 'tracks')
    doc = read_document(document)
    width, height, first = doc['plate']['width'], doc['plate']['height'], doc['frames'][0]['frame']
    for index, landmark in enumerate(doc['template']['landmarks']):
        old = clip.tracking.tracks.get(landmark['name'])
        track = old or clip.tracking.tracks.new(name=landmark['name'], frame=1)
        for frame in doc['frames']:
            point = frame['points'][index]
            marker = track.markers.insert_frame(frame['frame'] - first + 1, co=(point['x'] / width, 1 - point['y'] / height))
            marker.mute = not point.get('visible', True)
    return len(doc['template']['landmarks'])


def make_mask(document, clip, tolerance):
    """The document's shapes as a mask, in place of an older one of the same document."""
    base = keep_base(document, 'mask')
    doc = read_document(base)
    name = 'roto ' + os.path.basename(document).replace('.roto.json', '')
    folder = tempfile.mkdtemp(prefix='roto')
    try:
        script = os.path.join(folder, 'mask.py')
        Job('export', base, '--to', 'blender', '-o', script, '--tolerance', tolerance).finish()
        module = runpy.run_path(script)
    finally:
        shutil.rmtree(folder)
    old = bpy.data.masks.get(name)
    offset = offset_of(clip, doc)
    mask = module['build'](name=name + ' new', offset=offset)
    if old:
        old.user_remap(mask)
        bpy.data.masks.remove(old)
    mask.name = name
    mask['roto_document'], mask['roto_base'] = document, base
    mask['roto_offset'], mask['roto_tolerance'] = offset, tolerance
    return mask


def layer_vertices(mask, layer, doc, turned):
    """What the layer shows now: [x, y, handle in, handle out (relative), feather] in pixels of the plate, y down."""
    width, height = doc['plate']['width'], doc['plate']['height']
    side = max(width, height)

    def pixels(place):
        return place[0] * side - (side - width) / 2, height - (place[1] * side - (side - height) / 2)
    vertices = []
    for point in layer.splines[0].points:
        (x, y), before, after = pixels(point.co), pixels(point.handle_left), pixels(point.handle_right)
        if turned:
            before, after = after, before
        vertices.append([x, y, before[0] - x, before[1] - y, after[0] - x, after[1] - y, point.weight * side])
    return vertices[::-1] if turned else vertices


def document_vertices(shape, closed):
    segments = shape['segments']
    count = len(segments) + (not closed)
    vertices = [[0.0] * 7 for _ in range(count)]
    feather = shape.get('feather', 0)
    for i, (x, y) in enumerate(segments):
        a, b = vertices[i], vertices[(i + 1) % count]
        a[0], a[1], a[4], a[5] = x[0], y[0], x[1], y[1]
        b[0], b[1], b[2], b[3] = x[2], y[2], x[3], y[3]
    for i, vertex in enumerate(vertices):
        vertex[6] = feather[i] if isinstance(feather, list) else feather
    return vertices


def apart(a, b, closed):
    """Largest distance of control points and feather; the handles beyond the ends of an open shape draw nothing."""
    if len(a) != len(b):
        return math.inf
    worst = 0.0
    for i, (p, q) in enumerate(zip(a, b)):
        dx, dy = p[0] - q[0], p[1] - q[1]
        worst = max(worst, math.hypot(dx, dy), abs(p[6] - max(q[6], 0)))
        if closed or i:
            worst = max(worst, math.hypot(dx + p[2] - q[2], dy + p[3] - q[3]))
        if closed or i + 1 < len(a):
            worst = max(worst, math.hypot(dx + p[4] - q[4], dy + p[5] - q[5]))
    return worst


def to_shape(vertices, closed):
    count = len(vertices)
    segments = []
    for i in range(count if closed else count - 1):
        a, b = vertices[i], vertices[(i + 1) % count]
        segments.append([[round(n, 3) for n in (a[0], a[4], b[0], b[2])], [round(n, 3) for n in (a[1], a[5], b[1], b[3])]])
    shape = {'segments': segments}
    if any(v[6] for v in vertices):
        shape['feather'] = [round(v[6], 3) for v in vertices]
    return shape


def moved_points(clip, base):
    """[(frame, index, what is to be set)] of tracks that an artist moved, or switched off or on."""
    width, height, first = base['plate']['width'], base['plate']['height'], base['frames'][0]['frame']
    moved = []
    for index, landmark in enumerate(base['template']['landmarks']):
        track = clip.tracking.tracks.get(landmark['name'])
        for frame in base['frames'] if track else []:
            point, marker = frame['points'][index], track.markers.find_frame(frame['frame'] - first + 1)
            if marker is None:
                continue
            x, y, was_seen = marker.co[0] * width, (1 - marker.co[1]) * height, point.get('visible', True)
            if not marker.mute and (not was_seen or math.hypot(x - point['x'], y - point['y']) > POINT_PIXELS):
                moved.append((frame['frame'], index, {'x': round(x, 3), 'y': round(y, 3), 'visible': True}))
            elif marker.mute and was_seen:
                moved.append((frame['frame'], index, {'visible': False}))
    return moved


def moved_shapes(mask, scene, base):
    """[(frame, name, what is to be set)] of shapes that an artist changed or hid."""
    offset, now, moved = mask.get('roto_offset', 0), scene.frame_current, []
    turned, slack = json.loads(mask.get('roto_turned', '[]')), mask.get('roto_tolerance', 0) + SHAPE_PIXELS
    closed = {shape['name']: shape.get('closed', True) for shape in base['template']['shapes']}
    try:
        for frame in base['frames']:
            scene.frame_set(frame['frame'] + offset)
            for layer in mask.layers:
                if layer.name not in closed or not layer.splines:
                    continue
                old = frame.get('shapes', {}).get(layer.name, {})
                was_seen, seen = bool(old) and old.get('visible', True), layer.alpha > 0.5
                if seen:
                    vertices = layer_vertices(mask, layer, base, layer.name in turned)
                    if not was_seen or apart(vertices, document_vertices(old, closed[layer.name]), closed[layer.name]) > slack:
                        moved.append((frame['frame'], layer.name, dict(to_shape(vertices, closed[layer.name]), visible=True)))
                elif was_seen:
                    moved.append((frame['frame'], layer.name, {'visible': False}))
    finally:
        scene.frame_set(now)
    return moved


def put_into(path, points, shapes):
    """Makes what was moved an artist's in a document; frames that it does not have are left out."""
    doc = read_document(path)
    frames = {frame['frame']: frame for frame in doc['frames']}
    for frame, index, values in points:
        if frame in frames:
            point = frames[frame]['points'][index]
            point.setdefault('raw', [point['x'], point['y']])
            point.update(values, confidence=1, error=0, origin='artist')
            if point['visible']:
                del point['visible']
    for frame, name, values in shapes:
        there = frames.get(frame, {}).setdefault('shapes', {})
        if frame in frames and (name in there or 'segments' in values):
            shape = there.setdefault(name, {})
            if 'segments' in values:
                shape.pop('feather', None)
            shape.update(values, origin='artist')
            if shape['visible']:
                del shape['visible']
    with open(path + '.tmp', 'w', encoding='utf-8') as file:
        json.dump(doc, file, indent=1)
    os.replace(path + '.tmp', path)


def send(document, scene):
    """Puts what an artist changed in the tracks and the mask of a document into it; returns how many points and shapes."""
    points = shapes = 0
    for clip in bpy.data.movieclips:
        if clip.get('roto_document') == document:
            moved = moved_points(clip, read_document(clip['roto_base']))
            for path in (document, clip['roto_base']) if moved else ():
                put_into(path, moved, [])
            points += len(moved)
    for mask in bpy.data.masks:
        if mask.get('roto_document') == document:
            moved = moved_shapes(mask, scene, read_document(mask['roto_base']))
            for path in (document, mask['roto_base']) if moved else ():
                put_into(path, [], moved)
            shapes += len(moved)
    return points, shapes


def mask_box(mask, width, height):
    """The box around a mask in pixels of the plate: x, y, width, height."""
    side = max(width, height)
    places = [p for layer in mask.layers for spline in layer.splines for q in spline.points
              for p in (q.co, q.handle_left, q.handle_right)]
    if not places:
        raise RuntimeError("mask '%s' is empty; draw a rough shape around the subject" % mask.name)
    xs = [p[0] * side - (side - width) / 2 for p in places]
    ys = [height - (p[1] * side - (side - height) / 2) for p in places]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


# ------------------------------------------------------------------ settings, operators, panels


descriptions = {}  # of models, by path and time: Blender asks for its lists at every redraw


def description_of(path):
    key = path, os.path.getmtime(path)
    if key not in descriptions:
        try:
            descriptions[key] = json.loads(Job('model', 'info', path, '--json').finish()[-1])['description']
        except (RuntimeError, OSError, ValueError, KeyError, IndexError) as error:
            descriptions[key] = 'unusable: %s' % error
    return descriptions[key]


def models(self, context):
    """Models in the folders of ROTO_MODEL_PATH, then that of a file; Blender needs the strings to live on."""
    found = []
    for folder in os.environ.get('ROTO_MODEL_PATH', '').split(os.pathsep):
        if os.path.isdir(folder):
            paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.roto')]
            found += [(path, os.path.basename(path)[:-5], description_of(path)) for path in paths]
    models.found = found + [('FILE', 'File', 'The file below')]
    return models.found


class RotoSettings(bpy.types.PropertyGroup):
    plate: bpy.props.StringProperty(name='Plate', subtype='FILE_PATH',
                                    description='plates/sh010.####.png, or a folder; empty: the picture of this editor')
    known_model: bpy.props.EnumProperty(name='Model', items=models, description='From the folders of ROTO_MODEL_PATH')
    model: bpy.props.StringProperty(name='Model file', subtype='FILE_PATH', description='A .roto file')
    crop: bpy.props.IntVectorProperty(name='Crop', size=4, description='x, y, width, height around the subject, roughly; y down')
    crop_file: bpy.props.StringProperty(name='Crops', subtype='FILE_PATH', description='JSON with a rectangle a frame; before Crop')
    crop_mask: bpy.props.PointerProperty(name='Crop from mask', type=bpy.types.Mask)
    frames: bpy.props.StringProperty(name='Frames', description='1001-1105,1110x2; empty: all')
    document: bpy.props.StringProperty(name='Document', subtype='FILE_PATH', description='The .roto.json to write and to read')
    tolerance: bpy.props.FloatProperty(name='Tolerance', default=0.1, min=0, max=10,
                                       description='Pixels a shape may move by for fewer keys; 0: a key in every frame')
    smoothing: bpy.props.EnumProperty(name='Smoothing', items=[
        ('full', 'Full', 'Looks both ways in time'), ('causal', 'Causal', 'Looks only back'), ('off', 'Off', 'As found')])
    tracks: bpy.props.BoolProperty(name='Landmarks as tracks', default=True)
    percent: bpy.props.IntProperty(name='Progress', subtype='PERCENTAGE', min=0, max=100)


def clip_of(context):
    return getattr(context.space_data, 'clip', None)


def plate_of(context, settings):
    """A pattern or folder, and the size of the picture if an editor shows it."""
    if settings.plate:
        return bpy.path.abspath(settings.plate)
    picture = clip_of(context) or getattr(context.space_data, 'image', None)
    if not picture or not picture.filepath:
        raise RuntimeError('no plate: open it in this editor, or give its pattern')
    path = bpy.path.abspath(picture.filepath)
    if picture.source == 'SEQUENCE':
        folder, name = os.path.split(path)
        stem, end = os.path.splitext(name)
        digits = len(stem) - len(stem.rstrip('0123456789'))
        return os.path.join(folder, stem[:len(stem) - digits] + '#' * digits + end)
    return path


def model_of(settings):
    model = settings.model if settings.known_model == 'FILE' else settings.known_model
    if not model:
        raise RuntimeError('no model: choose a .roto file')
    return bpy.path.abspath(model)


def run_arguments(context, settings):
    model = model_of(settings)
    if not settings.document:
        raise RuntimeError('no document: give the .roto.json to write')
    arguments = ['run', plate_of(context, settings), '--model', model, '--smooth', settings.smoothing, '-o',
                 bpy.path.abspath(settings.document)]
    if settings.crop_file:
        arguments += ['--crops', bpy.path.abspath(settings.crop_file)]
    elif settings.crop[2] > 0 and settings.crop[3] > 0:
        arguments += ['--crop', ','.join(str(n) for n in settings.crop)]
    else:
        raise RuntimeError('no crop: give a rough rectangle, or take it from a mask')
    if settings.frames:
        arguments += ['--range', settings.frames]
    return arguments


class ROTO_OT_crop(bpy.types.Operator):
    """Takes the rough crop from the box around a mask"""
    bl_idname, bl_label, bl_options = 'roto.crop', 'Crop from mask', {'REGISTER', 'UNDO'}

    def execute(self, context):
        settings = context.scene.roto
        picture = clip_of(context) or getattr(context.space_data, 'image', None)
        size = tuple(picture.size) if picture else (context.scene.render.resolution_x, context.scene.render.resolution_y)
        try:
            if not settings.crop_mask:
                raise RuntimeError('choose a mask around the subject')
            settings.crop = [int(round(n)) for n in mask_box(settings.crop_mask, *size)]
        except RuntimeError as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        return {'FINISHED'}


class ProgramOperator:
    """Runs the program, then loads its document; arguments() says what it is to do."""

    def start(self, context):
        document = bpy.path.abspath(context.scene.roto.document)
        if os.path.exists(document):
            send(document, context.scene)  # before tracks and mask are made anew
        self.job = Job(*self.arguments(context))

    def done(self, context):
        try:
            lines = self.job.finish()
            bpy.ops.roto.load('EXEC_DEFAULT')
        except RuntimeError as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        self.report({'INFO'}, lines[-1] if lines else 'done')
        return {'FINISHED'}

    def execute(self, context):
        try:
            self.start(context)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        return self.done(context)

    def invoke(self, context, event):
        try:
            self.start(context)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        self.timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {'RUNNING_MODAL'}

    def modal(self, context, event):
        if event.type == 'ESC':
            self.job.stop()
        elif event.type != 'TIMER':
            return {'PASS_THROUGH'}
        context.scene.roto.percent = self.job.percent
        if context.area:
            context.area.tag_redraw()
        if self.job.running():
            return {'RUNNING_MODAL'}
        context.window_manager.event_timer_remove(self.timer)
        context.scene.roto.percent = 0
        return self.done(context)


class ROTO_OT_run(ProgramOperator, bpy.types.Operator):
    """Finds landmarks and shapes in the plate; Esc stops it"""
    bl_idname, bl_label = 'roto.run', 'Find'

    def arguments(self, context):
        return run_arguments(context, context.scene.roto)


class ROTO_OT_shapes(ProgramOperator, bpy.types.Operator):
    """Draws the shapes anew through the tracks you fixed, and finds nothing"""
    bl_idname, bl_label = 'roto.shapes', 'Shapes from tracks'

    def arguments(self, context):
        return ['shapes', bpy.path.abspath(context.scene.roto.document), '--model', model_of(context.scene.roto)]


class ROTO_OT_load(bpy.types.Operator):
    """Makes a mask of the document's shapes, and tracks of its landmarks"""
    bl_idname, bl_label, bl_options = 'roto.load', 'Load document', {'REGISTER', 'UNDO'}

    def execute(self, context):
        settings = context.scene.roto
        path, clip = bpy.path.abspath(settings.document), clip_of(context)
        try:
            doc = read_document(path)
            made = []
            send(path, context.scene)
            if clip and settings.tracks:
                made.append('%d tracks' % add_tracks(clip, path))
            if any(frame.get('shapes') for frame in doc['frames']):
                mask = make_mask(path, clip, settings.tolerance)
                if hasattr(context.space_data, 'mask'):
                    context.space_data.mask = mask
                made.append("mask '%s'" % mask.name)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        if made:
            self.report({'INFO'}, 'made ' + ' and '.join(made))
        else:
            self.report({'WARNING'}, 'the document has no shapes; open the plate in the Movie Clip editor for its landmarks as tracks')
        return {'FINISHED'}


class ROTO_OT_write_back(bpy.types.Operator):
    """Puts the tracks and shapes changed by hand into the document, as an artist's"""
    bl_idname, bl_label = 'roto.write_back', 'Send corrections'

    def execute(self, context):
        settings = context.scene.roto
        path = bpy.path.abspath(settings.document)
        try:
            if not any(made.get('roto_document') == path for made in (*bpy.data.masks, *bpy.data.movieclips)):
                raise RuntimeError('%s: there are no tracks and no mask of this document' % path)
            points, shapes = send(path, context.scene)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            self.report({'ERROR'}, str(error))
            return {'CANCELLED'}
        self.report({'INFO'}, '%s: %d points and %d shapes are now an artist\'s' % (path, points, shapes))
        return {'FINISHED'}


class RotoPanel:
    bl_label, bl_category, bl_region_type = 'roto', 'roto', 'UI'

    def draw(self, context):
        settings, layout = context.scene.roto, self.layout
        layout.use_property_split = True
        for name in ('plate', 'known_model'):
            layout.prop(settings, name)
        if settings.known_model == 'FILE':
            layout.prop(settings, 'model')
        layout.prop(settings, 'crop')
        row = layout.row(align=True)
        row.prop(settings, 'crop_mask')
        row.operator('roto.crop', text='', icon='CHECKMARK')
        for name in ('crop_file', 'frames', 'document', 'smoothing', 'tolerance', 'tracks'):
            layout.prop(settings, name)
        if settings.percent:
            layout.prop(settings, 'percent', slider=True)
        layout.operator('roto.run', icon='PLAY')
        layout.operator('roto.shapes', icon='MOD_CURVE')
        layout.operator('roto.load', icon='IMPORT')
        layout.operator('roto.write_back', icon='EXPORT')


class ROTO_PT_clip(RotoPanel, bpy.types.Panel):
    bl_space_type = 'CLIP_EDITOR'


class ROTO_PT_image(RotoPanel, bpy.types.Panel):
    bl_space_type = 'IMAGE_EDITOR'


class RotoPreferences(bpy.types.AddonPreferences):
    bl_idname = __name__
    program: bpy.props.StringProperty(name='Program', subtype='FILE_PATH', description='Empty: $ROTO_BIN, or roto on the PATH')

    def draw(self, context):
        self.layout.prop(self, 'program')


classes = (RotoSettings, ROTO_OT_crop, ROTO_OT_run, ROTO_OT_shapes, ROTO_OT_load, ROTO_OT_write_back, ROTO_PT_clip, ROTO_PT_image, RotoPreferences)


def register():
    for kind in classes:
        bpy.utils.register_class(kind)
    bpy.types.Scene.roto = bpy.props.PointerProperty(type=RotoSettings)


def unregister():
    del bpy.types.Scene.roto
    for kind in reversed(classes):
        bpy.utils.unregister_class(kind)
