"""The add-on in Blender itself: blender --background --factory-startup --python blender_addon.py --
ADDON.py ROTO MODEL SHOT WORK

SHOT is a folder of `roto-train demo`.  Runs the model on the plate from the Movie Clip editor, loads a document with shapes, renders
its mask, changes a shape by hand as an artist would, sends the correction back.  Pictures go to WORK; ends with `N passed, M failed`."""

import importlib.util
import json
import os
import shutil
import sys

import bpy

sys.dont_write_bytecode = True
addon_path, program, model, shot, work = sys.argv[sys.argv.index('--') + 1:]
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here]
import render_blender  # noqa: E402

passed = failed = 0


def check(condition, what):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print('FAILED: ' + what)


# Installed as an artist installs it.
bpy.ops.preferences.addon_install(filepath=addon_path, overwrite=True)
name = os.path.splitext(os.path.basename(addon_path))[0]
bpy.ops.preferences.addon_enable(module=name)
addon = sys.modules[name]
bpy.context.preferences.addons[name].preferences.program = program
check(addon.program() == program, 'the program is found')

images = sorted(f for f in os.listdir(shot) if f.startswith('image-'))
clip = bpy.data.movieclips.load(os.path.join(shot, images[0]))
width, height = clip.size
scene = bpy.context.scene
window = bpy.context.window_manager.windows[0]
area = window.screen.areas[0]
area.type = 'CLIP_EDITOR'
area.spaces.active.clip = clip
region = [r for r in area.regions if r.type == 'WINDOW'][0]
place = dict(window=window, screen=window.screen, area=area, region=region, space_data=area.spaces.active)
settings = scene.roto
document = os.path.join(work, 'blender.roto.json')


def call(operator, **options):
    """Result and error text of an operator in the clip editor."""
    with bpy.context.temp_override(**place):
        try:
            return operator('EXEC_DEFAULT', **options), ''
        except RuntimeError as error:
            return {'CANCELLED'}, str(error)


# Models by their descriptions, the first chosen; broken ones say so.
os.makedirs(os.path.join(work, 'models'))
shutil.copy(model, os.path.join(work, 'models', 'b.roto'))
shutil.copy(os.path.join(shot, 'crop.json'), os.path.join(work, 'models', 'c.roto'))
os.environ['ROTO_MODEL_PATH'] = os.path.join(work, 'models')
items = addon.models(None, None)
check([item[1] for item in items] == ['b', 'c', 'File'] and 'puppet' in items[0][2] and 'unusable' in items[1][2], 'models: %s' % items)
check(settings.known_model.endswith('b.roto'), 'the first is chosen: %s' % settings.known_model)
del os.environ['ROTO_MODEL_PATH']
settings.known_model = 'FILE'

# What is missing is said.
settings.document = document
result, error = call(bpy.ops.roto.run)
check(result == {'CANCELLED'} and 'no model' in error, 'a missing model is said: %s' % error)
settings.model = model
result, error = call(bpy.ops.roto.run)
check(result == {'CANCELLED'} and 'no crop' in error, 'a missing crop is said: %s' % error)
settings.crop_file = os.path.join(shot, 'crop.json')
settings.model = os.path.join(shot, 'crop.json')
result, error = call(bpy.ops.roto.run)
check(result == {'CANCELLED'} and 'this is not a .roto model' in error, "the program's own error is shown: %s" % error)
settings.model = model

# Crop from a mask.
garbage = bpy.data.masks.new('garbage')
spline = garbage.layers.new(name='box').splines.new()
spline.points.add(3)
side = max(width, height)
for point, (x, y) in zip(spline.points, ((100, 60), (180, 60), (180, 150), (100, 150))):
    point.co = point.handle_left = point.handle_right = ((x + (side - width) / 2) / side, (height - y + (side - height) / 2) / side)
settings.crop_mask = garbage
check(call(bpy.ops.roto.crop)[0] == {'FINISHED'} and tuple(settings.crop) == (100, 60, 80, 90), 'crop %s' % (tuple(settings.crop),))

# Run: a document, and landmarks as tracks that lie where the document says.
result, error = call(bpy.ops.roto.run)
check(result == {'FINISHED'}, 'run: %s' % error)
doc = json.load(open(document))
check(doc['plate']['width'] == width and len(doc['frames']) == len(images), '%d frames' % len(doc['frames']))
first = doc['frames'][0]['frame']
check(len(clip.tracking.tracks) == len(doc['template']['landmarks']), '%d tracks' % len(clip.tracking.tracks))
worst = 0
for index, landmark in enumerate(doc['template']['landmarks']):
    for frame in doc['frames']:
        marker = clip.tracking.tracks[landmark['name']].markers.find_frame(frame['frame'] - first + 1)
        point = frame['points'][index]
        worst = max(worst, abs(marker.co[0] * width - point['x']), abs((1 - marker.co[1]) * height - point['y']))
check(worst < 0.01, 'tracks are %.4f px from the document' % worst)

# Shapes: of the run itself where the model draws them, else the shot's truth.
if not any(frame.get('shapes') for frame in doc['frames']):
    shutil.copy(os.path.join(shot, 'truth.roto.json'), document)
    doc = json.load(open(document))
settings.tolerance = 0  # a key in every frame: what an artist does in one stays there
result, error = call(bpy.ops.roto.load)
check(result == {'FINISHED'}, 'load: %s' % error)
masks = [m for m in bpy.data.masks if m.get('roto_document') == document]
check(len(masks) == 1, '%d masks of the document' % len(masks))
mask = masks[0]
names = [shape['name'] for shape in doc['template']['shapes']]
check([layer.name for layer in mask.layers] == names, 'layers %s' % [layer.name for layer in mask.layers])
offset = clip.frame_start - first
before = open(document).read()
check(addon.send(document, scene) == (0, 0), 'nothing was changed, nothing is an artist\'s')
check(open(document).read() == before, 'the document is as it was')

shutil.copy(document, os.path.join(work, 'drawn.roto.json'))  # what the pictures below are compared with
closed = [shape['name'] for shape in doc['template']['shapes'] if shape.get('closed', True)]
for layer in mask.layers:
    layer.hide_render = layer.name not in closed
last = doc['frames'][-1]['frame']
os.makedirs(os.path.join(work, 'run'))
render_blender.render(mask, width, height, 8, os.path.join(work, 'run'), [first + offset, last + offset])

# Somebody mends the document elsewhere, after tracks and mask were made of it.
elsewhere = json.loads(before)
elsewhere['frames'][1]['points'][0].update(x=11.0, y=13.0, origin='artist')
json.dump(elsewhere, open(document, 'w'))
before = open(document).read()

# An artist moves a track by 2 pixels, switches one off, moves the left eye in one frame by 3 pixels to the right and 2 up, and hides
# the right eye in another.
landmarks = [landmark['name'] for landmark in doc['template']['landmarks']]
marker = clip.tracking.tracks[landmarks[12]].markers.find_frame(3)
marker.co = (marker.co[0] + 2 / width, marker.co[1])
clip.tracking.tracks[landmarks[13]].markers.find_frame(3).mute = True
scene.frame_set(first + 4 + offset)
for other in mask.layers:
    other.hide = other.hide_select = other.name != 'left_eye'
for point in mask.layers['left_eye'].splines[0].points:
    for what in ('co', 'handle_left', 'handle_right'):
        x, y = getattr(point, what)
        setattr(point, what, (x + 3 / side, y + 2 / side))
    point.select = True
area.type = 'IMAGE_EDITOR'
area.spaces.active.mode, area.spaces.active.mask = 'MASK', mask
region = [r for r in area.regions if r.type == 'WINDOW'][0]
with bpy.context.temp_override(window=window, screen=window.screen, area=area, region=region):
    check(bpy.ops.mask.shape_key_insert() == {'FINISHED'}, 'the artist\'s key')
for other in mask.layers:
    other.hide = other.hide_select = False
eye = mask.layers['right_eye']
for frame, alpha in ((6, 1), (7, 0), (8, 1)):
    eye.alpha = alpha
    eye.keyframe_insert('alpha', frame=first + frame + offset)
area.type = 'CLIP_EDITOR'
area.spaces.active.clip = clip
place.update(region=[r for r in area.regions if r.type == 'WINDOW'][0], space_data=area.spaces.active)
result, error = call(bpy.ops.roto.write_back)
check(result == {'FINISHED'}, 'write back: %s' % error)
old, new = json.loads(before), json.load(open(document))
by_artist = 0
for was, now in zip(old['frames'], new['frames']):
    for i, (p, q) in enumerate(zip(was['points'], now['points'])):
        if (now['frame'], i) == (first + 2, 12):
            check(abs(q['x'] - p['x'] - 2) < 0.01 and abs(q['y'] - p['y']) < 0.01 and q['origin'] == 'artist', 'the moved track: %s' % q)
        elif (now['frame'], i) == (first + 2, 13):
            check(q['visible'] is False and q['origin'] == 'artist' and q['x'] == p['x'], 'the track that was switched off: %s' % q)
        else:
            check(p == q, 'point %d of frame %d stays, also as it was mended elsewhere' % (i, now['frame']))
    for shape in names:
        changed = was['shapes'].get(shape) != now['shapes'].get(shape)
        expected = (shape == 'left_eye' and now['frame'] == first + 4) or (shape == 'right_eye' and now['frame'] == first + 7)
        by_artist += changed
        check(changed == expected, '%s in frame %d changed: %s' % (
            shape, now['frame'], changed))
check(by_artist == 2, '%d shapes changed' % by_artist)
moved, source = new['frames'][4]['shapes']['left_eye'], old['frames'][4]['shapes']['left_eye']
check(moved['origin'] == 'artist', 'the moved eye is an artist\'s')
for a, b in zip(moved['segments'], source['segments']):
    for k in (0, 2):
        check(abs(a[0][k] - b[0][k] - 3) < 0.12 and abs(a[1][k] - b[1][k] + 2) < 0.12, 'moved by 3, -2: %s -> %s' % (b, a))
    for k in (1, 3):
        check(abs(a[0][k] - b[0][k]) < 0.25 and abs(a[1][k] - b[1][k]) < 0.25, 'handles stay: %s -> %s' % (b, a))
hidden = new['frames'][7]['shapes']['right_eye']
check(hidden.get('visible') is False and hidden['origin'] == 'artist', 'the hidden eye is hidden: %s' % hidden)

# Shapes from tracks: an artist's work stays; the shape on the moved landmark follows it.  Then a whole run, which keeps it too.
for operator in (bpy.ops.roto.shapes, bpy.ops.roto.run):
    result, error = call(operator)
    check(result == {'FINISHED'}, '%s: %s' % (operator, error))
    again = json.load(open(document))
    for frame, i in ((1, 0), (2, 12), (2, 13)):
        p, q = new['frames'][frame]['points'][i], again['frames'][frame]['points'][i]
        check(q['origin'] == 'artist' and (q['x'], q['y'], q.get('visible')) == (p['x'], p['y'], p.get('visible')), 'it stays: %s' % q)
    kept = again['frames'][4]['shapes']['left_eye']
    check(kept['origin'] == 'artist' and kept['segments'] == moved['segments'], 'the moved eye stays')
    check(again['frames'][7]['shapes']['right_eye'].get('visible') is False, 'the hidden eye stays hidden')
    check(clip.tracking.tracks[landmarks[13]].markers.find_frame(3).mute, 'the track is off')
# What was changed and not sent is not lost by a run.
marker = clip.tracking.tracks[landmarks[20]].markers.find_frame(6)
marker.co = (marker.co[0], marker.co[1] + 4 / height)
wanted = again['frames'][5]['points'][20]['y'] - 4
call(bpy.ops.roto.run)
q = json.load(open(document))['frames'][5]['points'][20]
check(q['origin'] == 'artist' and abs(q['y'] - wanted) < 0.01, 'sent before the run: %s' % q)

bpy.ops.preferences.addon_disable(module=name)
print('blender_addon: %d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)
