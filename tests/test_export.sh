#!/bin/sh
# `roto export`: every host's file is read back and compared with the document: tests/test_export.sh FOLDER
#
# Python, node and Lua stand in for the hosts (tests/hosts/): they accept only what the hosts' references document, and evaluate
# the curves in every frame.  Blender and melt are asked by `make check-hosts`.
set -u

. tests/check.sh
export PYTHONDONTWRITEBYTECODE=1

expect() { # STATUS PATTERN ARGUMENT...
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$build/roto" export "$@"
}
works() { runs 0 '' "$@"; } # COMMAND...
has() {
  command -v "$1" >/dev/null && return
  skip "$2: no $1"
  return 1
}

"$build/roto-train" demo -o shot --frames 24 --hold 1 --first-frame 1001 --seed 4201 --size 160x120 >out 2>err || fail demo
has python3 'all of it' || { finish test_export; exit 0; }
works python3 "$top/tests/hosts/vary.py" shot/truth.roto.json shot.roto.json

# read HOST READER FILE: with a key in every frame, and with few; both within 0.01 px of what was asked for.
read_back() {
  for tolerance in 0 0.2; do
    expect 0 'keys [0-9]+ -> [0-9]+, at most 0\.[0-9]+ px' shot.roto.json --to "$1" -o "$3" --tolerance $tolerance
    works python3 "$top/tests/hosts/check.py" "$2" shot.roto.json "$3" "$(echo "$tolerance 0.01" | awk '{print $1 + $2}')"
  done
}
for file in "$top"/tools/export_scripts/*.py "$top"/tools/nuke/*.py; do # the oldest Python of a Nuke that runs them
  works python3 -c "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 7))" "$file"
done
read_back nuke nuke shot.py
read_back nuke nuke-deaf shot.py
read_back natron natron shot_natron.py
if has node 'After Effects'; then read_back ae ae shot.jsx; fi
if has lua5.4 'Fusion'; then read_back fusion fusion shot.setting; fi
read_back fxs fxs shot.fxs
read_back mlt mlt shot.mlt
read_back svg svg shot.svg
if has xmllint 'XML'; then works xmllint --noout shot.fxs shot.mlt shot.svg; fi
expect 0 'no open shapes; .nose_seam. is left out' shot.roto.json --to mlt -o shot.mlt
expect 0 'left_eyebrow. is written with a hard edge' shot.roto.json --to fxs -o shot.fxs
expect 0 '27 landmarks, 23 frames' shot.roto.json --to nuke-tracker -o tracks.nk
works python3 "$top/tests/hosts/check.py" nuke-tracker shot.roto.json tracks.nk 0.01
sed 's|"confidence": [0-9.]*|"confidence": 0.3|g' shot.roto.json >doubt.roto.json
expect 0 '27 landmarks' doubt.roto.json --to nuke-tracker -o doubt.nk --confidence 0.5
if grep -q '31 0 }' doubt.nk; then pass; else fail 'uncertain landmarks are no tracks'; fi
expect 0 'keys_before":150,"keys_after":[0-9]+,"error_px":0' shot.roto.json --to blender -o shot_blender.py --json

# Names that need quoting, and a layer's name.
python3 - <<'END'
import json
text = open('shot.roto.json').read()
open('odd.roto.json', 'w').write(text.replace('"left_eye"', json.dumps('a "<&>; {left} eye')))
END
for host in nuke natron ae fusion fxs mlt svg; do expect 0 'keys' odd.roto.json --to $host -o odd.$host --name 'O"<&'; done
for host in nuke natron ae fxs mlt; do works python3 "$top/tests/hosts/check.py" $host odd.roto.json odd.$host 0.11; done
if has xmllint 'XML'; then works xmllint --noout odd.fxs odd.mlt odd.svg; fi

# Annotation files are training data.
cp shot/image-*.png shot/character.json . && mkdir data && mv image-*.png character.json data
expect 0 '7 shapes, 24 frames' shot/truth.roto.json --to json -o 'data/revec_shapes-shot0-frame####.json'
works "$build/roto-train" dataset info data
if grep -Eq '^total +24 +24 +24' out; then pass; else fail 'dataset info must count 24 frames'; fi

# What goes wrong.
expect 2 "one of nuke, .*found 'maya'" shot.roto.json --to maya -o x
expect 2 'one of nuke' shot.roto.json -o x
expect 2 'expected -o' shot.roto.json --to nuke
expect 2 'tolerance expects' shot.roto.json --to nuke -o x --tolerance -1
expect 2 'names one file for 23 frames' shot.roto.json --to json -o x.json
expect 3 "no frame shows a shape 'ear'" shot.roto.json --to nuke -o x --shapes left_eye,ear
expect 3 'none.roto.json' none.roto.json --to nuke -o x
expect 5 'ERROR' shot.roto.json --to nuke -o /proc/none/x
python3 - <<'END'
import json
doc = json.load(open('shot.roto.json'))
for frame in doc['frames'][3:]:
    shape = frame['shapes']['left_eye']
    if shape.get('visible', True):
        a = shape['segments'][-1]
        shape['segments'].append([[a[0][2], 0, a[0][2], 0], [a[1][2], 0, a[1][2], 0]])
json.dump(doc, open('changing.roto.json', 'w'))
for frame in doc['frames']:
    frame['shapes'] = {}
json.dump(doc, open('points.roto.json', 'w'))
END
expect 3 "'left_eye' has 6 vertices in frame 1001 and 7 in frame 1004" changing.roto.json --to nuke -o x
expect 3 'no shapes to export, only points' points.roto.json --to nuke -o x
if [ ! -e x ]; then pass; else fail 'a file was left behind'; fi

finish test_export
