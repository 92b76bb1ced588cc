#!/bin/sh
# The README's walk from frames to a host and back, command by command: tests/hosts/test_readme.sh FOLDER (make check-hosts)
#
# The blocks of the section "A shot, step by step" are run as they stand there, in the order of the page.  Where it sends the reader to
# the review page, tests/hosts/artist.js mends five frames in Chromium.  Then: Blender's mask is the document's, by pixels; the error
# has fallen on frames that no one touched; nothing the artist did is lost at any step.
. tests/check.sh
here=$top/tests/hosts

# The walk's folder looks as a newcomer's: the project with build/ in it.
ln -s "$build" build
ln -s "$top/demo" demo
ln -s "$top/tools" tools
mkdir -p walk home/Downloads
HOME=$work/home
export HOME
awk '/^## / {on = /^## A shot, step by step/} on && /^```/ {inside = !inside; if (inside) ++n; next} on && inside {print > ("block" n)}' "$top/README.md"
blocks=$(ls block* 2>/dev/null | wc -l)
that "$blocks == 5" 'blocks of commands in the section'

block() { # NUMBER PATTERN: all of its commands, of which one says this
  timeout 3000 sh -e "block$1" >out 2>err
  status=$?
  if [ $status = 0 ] && { [ -z "$2" ] || cat out err | grep -Eq -- "$2"; }; then pass; else fail "block $1: $(cat "block$1") (exit status $status, expected '$2')"; fi
}
block 1 'sh010.html: 48 frames'
cp walk/sh010.roto.json found.roto.json

# The page: five frames, by mouse and keys.
if node "$here/artist.js" walk/sh010.html walk/shot/truth.roto.json 5 home/Downloads >out 2>err; then pass; else fail 'mending five frames in the page'; fi
cat out
block 2 ''
cp walk/sh010.roto.json mended.roto.json

# A host: Blender's mask, as saved, against roto's mattes; the closed shapes, as Blender draws no lines.
block 3 'keys'
cat >render.py <<END
import sys, bpy
sys.path.insert(0, '$here')
import render_blender
mask = bpy.data.masks[0]
for layer in mask.layers:
    layer.hide_render = 'seam' in layer.name
render_blender.render(mask, 640, 480, 8, '$work/rendered', [7, 31])
END
runs 0 '' blender --background walk/sh010.blend --python-exit-code 1 --python render.py
runs 0 '' "$build/roto" matte walk/sh010.roto.json --shapes left_eye,right_eye,left_eyebrow,right_eyebrow -o 'matte/m.####.png' --bits 16
runs 0 '' "$build/tests/compare_mattes" 0.97 rendered/0007.png matte/m.0007.png rendered/0031.png matte/m.0031.png
grep 'soft IoU' out

# Back to training, and once more over the shot.
block 4 'corrected frames'
block 5 'NME'
cp walk/sh010.roto.json again.roto.json
python3 - <<'END' >result
import json, math
truth, found, mended, again = (json.load(open(path))['frames'] for path in (
    'walk/shot/truth.roto.json', 'found.roto.json', 'mended.roto.json', 'again.roto.json'))
fixed = [t for t, frame in enumerate(mended) if all(p['origin'] == 'artist' for p in frame['points'])]
def error(frames):
    away = [math.hypot(p['x'] - q['x'], p['y'] - q['y']) for t, frame in enumerate(frames) if t not in fixed
            for p, q in zip(frame['points'], truth[t]['points']) if q.get('visible', True)]
    return sum(away) / len(away)
kept = lost = 0
for was, now in zip(mended, again):
    things = [(p, q) for p, q in zip(was['points'], now['points'])]
    things += [(shape, now['shapes'].get(name)) for name, shape in was['shapes'].items()]
    for p, q in things:
        if p['origin'] == 'artist':
            numbers = [[thing.get('x', 0), thing.get('y', 0)] + sum((a + b for a, b in thing.get('segments', [])), []) for thing in (p, q or {})]
            same = q and q['origin'] == 'artist' and p.get('visible') == q.get('visible') and len(numbers[0]) == len(numbers[1])
            # The page writes ten-thousandths, of a point and of the vertex on it; the document keeps thousandths.
            same = same and all(abs(a - b) < 8e-4 for a, b in zip(*numbers))
            kept, lost = kept + bool(same), lost + (not same)
print(len(fixed), error(found), error(mended), error(again), kept, lost)
END
read -r fixed found mended again kept lost <result
echo "points of the frames no one touched: $found px as found, $mended once their neighbours were mended, $again after fine-tuning"
echo "an artist's points and shapes: $kept kept, $lost lost"
that "$fixed == 5" 'frames an artist accepted'
that "$mended < $found" 'error after mending'
that "$again < 0.75 * $found && $again < $mended" 'error after fine-tuning'
that "$kept > 150 && $lost == 0" "an artist's work after all steps"
finish test_readme
