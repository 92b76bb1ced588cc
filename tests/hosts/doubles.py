"""Tests of the doubles themselves: doubles.py WORK

A double is worth what it refuses.  Each line of `refused` is a use that the host's reference does not document, or documents
otherwise; each must raise.  Then: values between keys are what the reference says."""

import os
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
here, work = os.path.dirname(os.path.abspath(__file__)), sys.argv[1]
sys.path.insert(0, here)

import natron  # noqa: E402
import nuke  # noqa: E402
import nuke.rotopaint as rp  # noqa: E402

passed = failed = 0


def check(condition, what):
    global passed, failed
    passed, failed = passed + bool(condition), failed + (not condition)
    if not condition:
        print('FAILED: ' + what)


def refuses(what, names):
    try:
        exec(what, names)
    except Exception:
        return True
    return False


node = nuke.createNode('Roto')
curves = node['curves']
shape = rp.Shape(curves)
shape.append(rp.ShapeControlPoint(1, 2))
plain = nuke.createNode('NoOp')
group = nuke.createNode('Group')
read = nuke.createNode('Read')
curve = rp.AnimCurve()
curve.addKey(1, 0)
names = dict(nuke=nuke, rp=rp, node=node, curves=curves, shape=shape, plain=plain, group=group, read=read, curve=curve)
allowed = [
    'node.setInput(0, read)', 'plain.setInput(0, read)', 'curve.getKey(0).interpolationType = rp.InterpolationType.eLinearInterpolationType',
    'shape.getAttributes().set(5, "opc", 1)', 'shape[0].center.addPositionKey(3, (1, 2))', 'nuke.Undo().begin("a")', 'nuke.Undo().end()',
    'shape.name = "eye"', 'plain.setName("Free")',
]
for line in allowed:
    check(not refuses(line, names), 'the double refuses ' + line)
refused = [
    # Names that are not there, among them those that scripts of others use and that fail in the host.
    'nuke.makeRoto()', 'node.knob("curves").foo()', 'node.tracks', 'node.curves = 1', 'curve.keys()', 'curve.evaluateAt(1)',
    'rp.AnimCurve.InterpolationType', 'rp.InterpolationType.eBezier', 'curve.getKey(0).interpolation = 1', 'curve.getKey(1)', 'curve.getKey("0")',
    'shape.points', 'shape.opacity = 1', 'shape[0].tangent', 'shape[0].center.setPosition(1, (0, 0))', 'curves.root', 'curves.addShape()',
    'curves.toElement("Nowhere/eye")', 'shape.getAttributes().set("opc")', 'shape.getAttributes().set(1, "opacity", 1)',
    'shape.getAttributes().opacity', 'nuke.nodePaste("' + os.path.join(here, 'doubles.py') + '")', 'node["nothing"]', 'nuke.nodes.Blur()',
    'nuke.nodes.Roto(name="x")', 'nuke.createNode("Tracker3")', 'nuke.FrameRanges("1-")', 'nuke.FrameRanges("1-3").getFrames()',
    # Values of another kind.
    'shape.append((1, 2))', 'rp.Shape(node)', 'rp.Shape("curves")', 'rp.Layer()', 'shape[0].center.addPositionKey(1, 5)',
    'shape[0].center.addPositionKey("1", (0, 0))', 'shape[0].center.addPositionKey(1, ("0", 0))', 'shape[0].center.getPosition(None)',
    'shape[0].center.getPositionAnimCurve(3)', 'curve.addKey(True, 1)', 'curve.addKey(1, float("nan"))', 'shape.setFlag(9, True)',
    'nuke.Boolean_Knob("b").setValue(1)', 'nuke.String_Knob("s").setValue(1)', 'nuke.Double_Knob("d").setValue("1")',
    'nuke.Enumeration_Knob("e", "e", ["a"]).setValue("b")', 'nuke.Enumeration_Knob("e", "e", ["a"]).setValue(1)',
    'nuke.Enumeration_Knob("e", "e", [])', 'nuke.Enumeration_Knob("e", "e", "ab")', 'nuke.BBox_Knob("c").setValue((1, 2))',
    'nuke.Tab_Knob(1)', 'nuke.Tab_Knob("t").setTooltip(1)', 'nuke.Tab_Knob("t").setFlag(7)', 'nuke.ProgressTask("p").setProgress(101)',
    'nuke.ProgressTask("p").setProgress(1.5)', 'node.setName("two words")', 'node.setName(1)', 'node.setXYpos(1.5, 2)',
    # Inputs that a node does not have, states that forbid.
    'plain.setInput(1, node)', 'read.setInput(0, node)', 'group.setInput(0, node)', 'plain.begin()', 'group.end()', 'plain.setInput(0, "Read1")',
    'nuke.Undo().end()', 'nuke.Undo().begin("a"); nuke.Undo().begin("b")', 'group.addKnob(nuke.Tab_Knob("t")); group.addKnob(nuke.Tab_Knob("t"))',
    'nuke.executeInMainThread(print)',
]
for line in refused:
    check(refuses(line, names), 'the double takes ' + line)
    while nuke._open_undo:
        nuke.Undo().end()

# Off the main thread nothing but the progress bar and executeInMainThread is allowed.
off = ['nuke.createNode("Roto")', 'node["curves"]', 'nuke.toNode("x")', 'nuke.message("x")', 'nuke.Tab_Knob("t")', 'nuke.Undo().begin("x")',
       'plain.setInput(0, read)', 'plain.setName("x")', 'nuke.selectedNodes()', 'nuke.filename(read)', 'nuke.nodePaste("x")']
results = []
thread = threading.Thread(target=lambda: results.extend(refuses(line, names) for line in off))
thread.start()
thread.join()
for line, result in zip(off, results):
    check(result, 'the double takes %s off the main thread' % line)
check(len(results) == len(off), 'all were tried')

# Names are free or get a number.
check([nuke.createNode('Dot').name() for _ in range(3)] == ['Dot1', 'Dot2', 'Dot3'], 'names')

# Between keys: a new key is smooth; linear and step where asked for; held outside.
curve = rp.AnimCurve()
for time, value in ((0, 0), (10, 10), (20, 0)):
    curve.addKey(time, value)
check(abs(curve.evaluate(5) - 5) > 0.5, 'keys are smooth unless they say otherwise: %g' % curve.evaluate(5))
for k in range(3):
    curve.getKey(k).interpolationType = rp.InterpolationType.eLinearInterpolationType
check(abs(curve.evaluate(5) - 5) < 1e-9 and abs(curve.evaluate(17) - 3) < 1e-9, 'linear')
check(curve.evaluate(-5) == 0 and curve.evaluate(25) == 0 and curve.evaluate(10) == 10, 'held outside, exact at keys')
curve.getKey(0).interpolationType = rp.InterpolationType.eStepInterpolationType
check(curve.evaluate(9.9) == 0, 'step')
rp.DEAF = True
check(abs(curve.evaluate(5) - 5) > 0.5 or curve.evaluate(9.9) != 0, 'a deaf one stays smooth')
rp.DEAF = False

# Natron.
app = natron.App()
bezier = app.createNode('fr.inria.built-in.Roto').getRotoContext().createBezier(1.0, 2.0, 1001)
names = dict(app=app, b=bezier)
check(not refuses('b.setPointAtIndex(0, 1002, 1, 2, 3, 4, 5, 6)', names), 'setPointAtIndex')
for line in ('b.setPositionByIndex(0, 1, 1, 2)', 'b.setPointAtIndex(1, 1001, 1, 2, 3, 4, 5, 6)', 'b.setPointAtIndex(0, 1.5, 1, 2, 3, 4, 5, 6)',
             'b.addControlPoint(3, 4)', 'b.setScriptName("two words")', 'b.setActivated(True, 1001)', 'b.opacity = 1', 'app.createNode("Blur").getRotoContext()',
             'app.project', 'b.setOpacity()'):
    check(refuses(line, names), "Natron's double takes " + line)


# After Effects and Fusion: scripts that the doubles must refuse.
def fails(program, text, name):
    path = os.path.join(work, name)
    with open(path, 'w') as file:
        file.write(text)
    return subprocess.run(program + [path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0


def there(program):
    return any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.environ['PATH'].split(os.pathsep))


if there('node'):
    double = ['node', os.path.join(here, 'after_effects.js')]
    mask = 'var m = app.project.activeItem.selectedLayers[0].property("ADBE Mask Parade").addProperty("ADBE Mask Atom"); '
    check(not fails(double, 'var SHOT = {first: 1}; ' + mask + 'm.name = "a";', 'good.jsx'), 'a mask with a name')
    for text in ('m.opacity = 3', 'm.property("ADBE Mask Feather 2")', 'app.project.items', 'let x = 1', 'm.property("ADBE Mask Opacity").setValuesAtTimes([0], [101])',
                 'm.property("ADBE Mask Opacity").setValuesAtTimes([1, 0], [1, 1])', 'app.beginUndoGroup("x")', 'var s = new Shape(); s.points = []',
                 'var s = new Shape(); s.vertices = [[0, 0], [1, 1]]; m.property("ADBE Mask Shape").setValuesAtTimes([0], [s])'):
        check(fails(double, 'var SHOT = {first: 1}; ' + mask + text + ';', 'bad.jsx'), "After Effects' double takes " + text)
if there('lua5.4'):
    double = ['lua5.4', os.path.join(here, 'fusion.lua')]
    check(not fails(double, '{ Tools = ordered() { } }', 'good.setting'), 'an empty setting')
    for text in ('{ }', '{ Tools = { } }', '{ Tools = ordered() { A = Polygon { } } }', '{ Tools = ordered() { A = PolylineMask { Inputs = { } } } }', '{ Tools ='):
        check(fails(double, text, 'bad.setting'), "Fusion's reader takes " + text)

print('doubles: %d passed, %d failed, 0 skipped' % (passed, failed))
sys.exit(failed > 0)
