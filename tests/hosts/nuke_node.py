"""The FeatureDetect node in the double of Nuke: nuke_node.py FOLDER ROTO MODEL SHOT WORK

FOLDER is tools/nuke, SHOT a folder of `roto-train demo`.  Ends with `N passed, M failed, 0 skipped`."""

import json
import os
import runpy
import shutil
import sys

sys.dont_write_bytecode = True
here = os.path.dirname(os.path.abspath(__file__))
folder, program, model, shot, work = sys.argv[1:]
sys.path[:0] = [here, folder]
os.environ['ROTO_BIN'] = program
os.environ['ROTO_MODEL_PATH'] = os.path.join(work, 'models')
os.makedirs(os.environ['ROTO_MODEL_PATH'])
shutil.copy(model, os.path.join(work, 'models', 'b.roto'))
with open(os.path.join(work, 'models', 'a.roto'), 'w') as file:
    file.write('no model')

import check as reader  # noqa: E402
import nuke  # noqa: E402
import nuke.rotopaint as rp  # noqa: E402

passed = failed = 0


def check(condition, what):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print('FAILED: ' + what)


def says(text, what):
    said = nuke._messages.pop() if nuke._messages else ''
    check(text in said and not nuke._messages, '%s: expected a message with %r, found %r' % (what, text, said))


# At start-up, then from the menu.
runpy.run_path(os.path.join(folder, 'init.py'))
runpy.run_path(os.path.join(folder, 'menu.py'))
exec(nuke.menu('Nodes').addMenu('roto')._items['FeatureDetect'], {})
import feature_detect  # noqa: E402
node = nuke.toNode('FeatureDetect1')
check(node is not None and node.Class() == 'Group', 'the menu makes a node')
exec(nuke.menu('Nodes').addMenu('roto')._items['FeatureDetect'], {})
check(nuke.toNode('FeatureDetect2') is not None, 'a second one has a name of its own')
labels = node['model'].values()
check(len(labels) == 2 and 'unusable' in labels[0] and '(a.roto)' in labels[0], 'a broken model is said: %s' % labels)
check(labels[1].startswith('2. puppet27: The demo') and '(b.roto)' in labels[1], 'models with their descriptions: %s' % labels)
shutil.copy(model, os.path.join(work, 'models', 'c.roto'))
feature_detect.pressed('reload', node)
check(len(node['model'].values()) == 3 and node['smoothing'].values() == ['full', 'causal', 'off'], 'reloaded: %s' % node['model'].values())
shown = [knob for knob in node._knobs.values() if knob._visible and knob._label]
check(all(knob._tooltip or isinstance(knob, (nuke.Tab_Knob, nuke.Boolean_Knob)) for knob in shown), 'knobs say what they do')


def press(knob):
    """Presses a button; returns the thread that works, if one does."""
    command = node[knob]._value
    before = set(t.ident for t in nuke.threading.enumerate())
    nuke.thisNode = lambda: node
    exec(command, {'nuke': nuke})
    for thread in nuke.threading.enumerate():
        if thread.ident not in before and thread.name == 'roto':
            exec(command, {'nuke': nuke})  # pressed again at once
            says('still at work', knob + ', pressed twice')
            nuke._run_until(thread)
    while not nuke._calls.empty():
        call, args, kwargs = nuke._calls.get()
        call(*args, **kwargs)


# What is missing is said.
press('run')
says('connect input 0', 'without a Read')
files = sorted(f for f in os.listdir(shot) if f.startswith('image-'))
read = nuke.createNode('Read')
read['file'].setValue(os.path.join(shot, 'image-[value root.shot]-frame####.png'))
truth = json.load(open(os.path.join(shot, 'truth.roto.json')))
width, height = truth['plate']['width'], truth['plate']['height']
read._size, read._range = (width, height), (truth['frames'][0]['frame'], truth['frames'][-1]['frame'])
dot = nuke.createNode('Dot')
dot.setInput(0, read)
node.setInput(0, dot)
press('run')
says('set the output folder', 'without a folder')
out = os.path.join(work, 'out')
node['folder'].setValue(out)
press('run')
says('crop box', 'without a crop')
garbage = nuke.createNode('Roto')
node.setInput(1, garbage)
press('run')
says('has no shape', 'with an empty garbage matte')
x, y, w, h = truth['frames'][0]['crop']
shape = rp.Shape(garbage['curves'])
for px, py in ((x, y), (x + w, y), (x + w, y + h), (x, y + h)):
    shape.append(rp.ShapeControlPoint(px, height - py))
group = rp.Layer(garbage['curves'])
garbage['curves'].rootLayer.append(group)
group.append(shape)
check(max(abs(a - b) for a, b in zip(feature_detect.crop_of(node, 1001), (x, y, w, h))) < 1e-6, 'the crop is the garbage matte\'s box')
press('run')
says('a.roto: ', 'a broken model, in the program\'s own words')
node['model'].setValue(1)
check(node['model'].value() == labels[1], 'the model is chosen by its description')
node['range'].setValue('1001-1006 1008')

# Find: landmarks as a Tracker.
press('run')
check(not nuke._messages, 'find: %s' % nuke._messages)
document = os.path.join(out, 'image-shot0-frame.roto.json')
doc = json.load(open(document))
check([f['frame'] for f in doc['frames']] == [1001, 1002, 1003, 1004, 1005, 1006, 1008], 'frames of the document')
tracker = nuke.toNode('FeatureDetect1_tracks')
check(tracker is not None and tracker.Class() == 'Tracker4', 'a Tracker node')
check(nuke.ProgressTask._shown and nuke.ProgressTask._shown[-1] == 100, 'progress %s' % nuke.ProgressTask._shown)
check(nuke.undo_groups == ['roto: FeatureDetect1'] and not nuke._open_undo, 'one undo step for all: %s' % nuke.undo_groups)
first_roto = nuke.toNode('FeatureDetect1_shapes')
check(first_roto is not None and first_roto.input(0) is read and tracker.input(0) is read, 'both are connected to the plate')
for frame in doc['frames']:
    for i, point in enumerate(frame['points']):
        at = [tracker['tracks'].getValueAt(frame['frame'], 31 * i + column) for column in (2, 3)]
        check(abs(at[0] - point['x']) < 0.01 and abs(height - at[1] - point['y']) < 0.01, 'track %d in frame %d' % (i, frame['frame']))
press('run')
says('overwrite existing', 'a document that is there')
node['overwrite'].setValue(True)

# Cancelled: nothing changes.
before = open(document).read()
count = len(nuke.all_nodes)
nuke.ProgressTask._cancel = True
press('run')
check(not nuke._messages and open(document).read() == before and len(nuke.all_nodes) == count, 'cancelled: nothing has changed')
nuke.ProgressTask._cancel = False

# Shapes: of the run itself where the model draws them, else the shot's truth.
if not any(frame.get('shapes') for frame in doc['frames']):
    doc['frames'] = [dict(f, shapes=t['shapes']) for t in truth['frames'] for f in doc['frames'] if f['frame'] == t['frame']]
    for frame in doc['frames']:
        for value in frame['shapes'].values():
            value['origin'] = 'predicted'
    json.dump(doc, open(document, 'w'))
node['make_tracker'].setValue(False)
node['tolerance'].setValue(0)  # a key in every frame: what an artist does in one stays there
settings = feature_detect.settings_of(node)
feature_detect.make_nodes(settings, feature_detect.export(settings))
roto = nuke.toNode('FeatureDetect1_shapes')
check(roto is not None and roto.Class() == 'Roto' and roto is not first_roto, 'a Roto node')
check(first_roto.name() == 'FeatureDetect1_shapes_old1', 'the one of before stays: %s' % first_roto.name())
wanted, closed, _ = reader.read_truth(document)
layer = roto['curves'].rootLayer[0]
check(len(roto['curves'].rootLayer) == 1 and sorted(s.name for s in layer) == sorted(closed), 'one layer with named shapes')
for frame, shapes in wanted.items():
    for shape in layer:
        for p, q in zip(shape, shapes[shape.name]):
            at = p.center.getPosition(frame)
            check(abs(at[0] - q[0]) < 0.01 and abs(height - at[1] - q[1]) < 0.01, '%s in frame %d' % (shape.name, frame))

# The artist moves a track and a shape's point, hides another shape, switches a track off in a frame, and deletes the first track.
tracker['tracks'].setValueAt(doc['frames'][2]['points'][4]['x'] + 2.5, 1003, 31 * 4 + 2)
tracker['tracks'].setValueAt(0, 1005, 31 * 7)
del tracker['tracks']._columns[:31], tracker['tracks']._value[0]
eye = [s for s in layer if s.name == 'left_eye'][0]
place = eye[1].center.getPosition(1004)
eye[1].center.addPositionKey(1004, (place[0] + 4, place[1] + 1))
brow = [s for s in layer if s.name == 'right_eyebrow'][0]
for frame, value in ((1004, 1), (1005, 0), (1006, 1)):
    brow.getAttributes().set(frame, rp.AnimAttributes.kOpacityAttribute, value)
before = json.load(open(document))
press('send')
says('2 points and 2 shapes are now an artist\'s', 'send corrections')
after = json.load(open(document))
for was, now in zip(before['frames'], after['frames']):
    frame = now['frame']
    for i, (p, q) in enumerate(zip(was['points'], now['points'])):
        if (frame, i) == (1003, 4):
            check(abs(q['x'] - p['x'] - 2.5) < 0.01 and q['origin'] == 'artist', 'the moved track: %s -> %s' % (p, q))
        elif (frame, i) == (1005, 7):
            check(q['visible'] is False and q['origin'] == 'artist' and (q['x'], q['y']) == (p['x'], p['y']), 'switched off: %s' % q)
        else:
            check(p == q, 'point %d of frame %d stays' % (i, frame))
    for name in closed:
        p, q = was['shapes'].get(name), now['shapes'].get(name)
        if (frame, name) == (1004, 'left_eye'):
            check(q['origin'] == 'artist' and abs(q['segments'][1][0][0] - p['segments'][1][0][0] - 4) < 0.12 and
                  abs(q['segments'][1][1][0] - p['segments'][1][1][0] + 1) < 0.12, 'the moved eye')
        elif (frame, name) == (1005, 'right_eyebrow'):
            check(q['origin'] == 'artist' and q['visible'] is False and q['segments'] == p['segments'], 'the hidden eyebrow')
        else:
            check(p == q, '%s of frame %d stays' % (name, frame))
check(os.path.isfile(os.path.join(out, 'revec_shapes-image-shot0-frame-frame1003.json')), 'annotation files to train on')

# Shapes from trackers: the artist's point stays, whatever the run finds; the node of before keeps its work under another name.
press('shapes')
check(not nuke._messages, 'shapes from trackers: %s' % nuke._messages)
again = json.load(open(document))


def stays(doc):
    """The point that the artist fixed is where it was put."""
    was, now = after['frames'][2]['points'][4], doc['frames'][2]['points'][4]
    return now['origin'] == 'artist' and (was['x'], was['y']) == (now['x'], now['y'])


check(stays(again), 'the fixed point stays: %s' % again['frames'][2]['points'][4])
check(again['frames'][3]['shapes']['left_eye'] == after['frames'][3]['shapes']['left_eye'], 'the artist\'s shape stays')
check('_shapes_old' in roto.name() and nuke.toNode('FeatureDetect1_shapes') not in (None, roto), 'the old node stays')
check(again['frames'][4]['points'][7]['visible'] is False, 'what was switched off stays hidden')
for smoothing in ('causal', 'off'):
    node['smoothing'].setValue(smoothing)
    press('run')
    check(not nuke._messages and stays(json.load(open(document))), '%s: %s' % (smoothing, nuke._messages))

# Few keys that move a shape are no artist's work.
node['tolerance'].setValue(1.5)
settings = feature_detect.settings_of(node)
feature_detect.make_nodes(settings, feature_detect.export(settings))
doc = json.load(open(document))
check(feature_detect.moved_shapes(doc, nuke.toNode('FeatureDetect1_shapes'), 1.5) == [], 'key reduction is no correction')

# Somebody mends the document elsewhere after the nodes were made: what is sent from them leaves that alone.
settings['tracker'] = True
feature_detect.make_nodes(settings, feature_detect.export(settings))
tracker = nuke.toNode('FeatureDetect1_tracks')
doc['frames'][0]['points'][3].update(x=12.5, y=34.5, origin='artist')
doc['frames'][1]['shapes']['left_eye'].update(visible=False, origin='artist')
json.dump(doc, open(document, 'w'))
tracker['tracks'].setValueAt(doc['frames'][0]['points'][9]['x'] - 3, 1001, 31 * 9 + 2)
press('send')
says('1 points and 0 shapes', 'send after the document was mended elsewhere')
mended = json.load(open(document))
check(mended['frames'][0]['points'][3]['x'] == 12.5 and mended['frames'][1]['shapes']['left_eye']['visible'] is False, 'what was mended elsewhere stays')
check(abs(mended['frames'][0]['points'][9]['x'] - doc['frames'][0]['points'][9]['x'] + 3) < 0.01, 'and what was sent is there')
press('send')
says('0 points and 0 shapes', 'sent once')

# The crop box, without a garbage matte; a crop off the plate fails in the program's words.
node.setInput(1, None)
node['crop'].setValue((x, height - y - h, x + w, height - y))
check(max(abs(a - b) for a, b in zip(feature_detect.crop_of(node, 1001), (x, y, w, h))) < 1e-6, 'the crop box')

# The program says nothing for long: Cancel is heard all the same.
import threading  # noqa: E402
import time  # noqa: E402
slow = os.path.join(work, 'slow')
with open(slow, 'w') as file:
    file.write('#!/bin/sh\nexec sleep 60\n')
os.chmod(slow, 0o755)
os.environ['ROTO_BIN'] = slow
begin = time.time()
check(feature_detect.call(['run'], cancelled=lambda: True) is None and time.time() - begin < 5, 'cancelled at once')
# A program that is not there is said, and so is one that dies.
os.environ['ROTO_BIN'] = program
try:
    feature_detect.call(['no-such-command'])
    check(False, 'an unknown command must fail')
except RuntimeError as error:
    check('no-such-command' in str(error) or 'status 2' in str(error), 'its own words: %s' % error)
check(threading.active_count() == 1, 'no thread is left: %s' % threading.enumerate())

# Names of tracks as Nuke may write them.
check(feature_detect.tcl_words('{a {b c}} "d e" f\\ g {}') == ['a {b c}', 'd e', 'f\\ g', ''], 'Tcl words')

print('nuke_node: %d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)
