#!/bin/sh
# Plates and rough crops on a rendered shot: tests/test_plates.sh FOLDER, where FOLDER holds the programs.
#
# The demo's model looks at 8 frames of a shot that it was not trained on.
set -u

. tests/check.sh
model=$top/demo/puppet.roto

# expect STATUS PATTERN ARGUMENT...: run roto; the status must be this, stdout and stderr together must match.
expect() {
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$build/roto" "$@"
}
# found OPTION...: the error of a run with these options, percent of the distance between the eyes.
found() {
  rm -f doc.roto.json
  expect 0 '8 frames' run "$@" --model "$model" -o doc.roto.json
  error=$("$build/roto" eval doc.roto.json --truth shot --json 2>err | sed 's/.*"nme_percent": *\([0-9.]*\).*/\1/')
}
# as_good OPTION...: the error with these options is at most 10 % above that of the shot's own crops.
as_good() {
  found "$@"
  if awk "BEGIN {exit !($error > 0 && $error < 1.1 * $own)}"; then pass; else fail "error $error instead of $own: $*"; fi
}
# crops X Y S: crop.json with each rectangle moved by parts X, Y of its side and its side times S.
crops() {
  sed 's/[],[{}]/ /g' shot/crop.json | awk -v x="$1" -v y="$2" -v s="$3" '
    BEGIN {printf "{"}
    NF == 5 {printf "%s%s [%.2f, %.2f, %.2f, %.2f]", n++ ? ",\n" : "", $1, $2 + $4 * x + $4 * (1 - s) / 2,
      $3 + $5 * y + $5 * (1 - s) / 2, $4 * s, $5 * s}
    END {printf "}\n"}' >crop.json
}

"$build/roto-train" demo -o shot --frames 8 --first-frame 1001 --seed 5150 >out 2>err || fail 'no shot'
plate='shot/image-shot0-frame####.png'

# A crop that is off by 15 % of its size, or 0.8 to 1.3 times as large, or follows from the first frame, is as good as a right one.
found "$plate" --crops shot/crop.json
own=$error
for off in '0.15 0 1' '-0.15 0 1' '0 0.15 1' '0 -0.15 1' '0 0 0.8' '0 0 1.3' '0.15 -0.15 1.3' '-0.15 0.15 0.8' '0.2 0.2 2'; do
  crops $off
  as_good "$plate" --crops crop.json
done
found "$plate" --crops crop.json --looks 1
if awk "BEGIN {exit !($error > 3 * $own)}"; then pass; else fail "one look at a bad crop was good: these tests tell nothing"; fi
first=$(sed -n 's/.*1001": \[\(.*\)\].*/\1/p' shot/crop.json | tr -d ' ')
as_good "$plate" --crop "$first" --follow
cp doc.roto.json followed.roto.json
printf '{"1001": [%s]}' "$first" >first.json
as_good "$plate" --crops first.json --follow --threads 1
same doc.roto.json followed.roto.json
sed -n 's/.*"\(100[18]\)": \(.*\)[,}]$/"\1": \2/p' shot/crop.json | paste -sd, | sed 's/.*/{"keys": {&}}/' >keys.json
as_good "$plate" --crops keys.json
as_good "$plate" --crops shot/revec_shapes-shot0-frame1003.json # a garbage matte around the eyes and brows

# A linear OpenEXR, its data window inside its display window, has the points of its sRGB PNG; read with a wrong transfer it has not.
found "$plate" --crops shot/crop.json
cp doc.roto.json png.roto.json
mkdir exr
for frame in 1001 1002 1003 1004 1005 1006 1007 1008; do
  "$build/tests/test_exr" convert shot/image-shot0-frame$frame.png exr/sh.$frame.exr || fail 'no OpenEXR'
done
# apart FILE: the largest distance of a point in FILE from its place in png.roto.json.
apart() {
  grep -o '"x": [-0-9.]*, "y": [-0-9.]*' "$1" | tr -dc '0-9.\n -' >a
  grep -o '"x": [-0-9.]*, "y": [-0-9.]*' png.roto.json | tr -dc '0-9.\n -' | paste -d' ' a - |
    awk '{d = sqrt(($1 - $3) ^ 2 + ($2 - $4) ^ 2); if (d > m) m = d; n++} END {print n == 8 * 27 ? m : "nothing"}'
}
exr() { expect 0 '8 frames' run exr/sh.####.exr --crops shot/crop.json --model "$model" -o exr.roto.json "$@"; }
exr
d=$(apart exr.roto.json)
if awk "BEGIN {exit !($d < 0.1)}"; then pass; else fail "points of OpenEXR are up to $d pixels from those of PNG"; fi
for pattern in '"transfer": "linear"' '"origin": \[64, -32\]' '"data": \[8, 4, 624, 472\]'; do
  if grep -q "$pattern" exr.roto.json; then pass; else fail "exr.roto.json has no $pattern"; fi
done
exr --input-transfer raw --channels R,G,B
if grep -q 'WARNING: .*input-transfer linear, this run with raw' err; then pass; else fail 'no warning of another transfer'; fi
if grep -q '"transfer": "raw", "channels": "R,G,B"' exr.roto.json; then pass; else fail 'raw and channels are not recorded'; fi
d=$(apart exr.roto.json)
if awk "BEGIN {exit !($d > 0.2)}"; then pass; else fail "a wrong transfer makes no difference: these tests tell nothing"; fi
expect 3 "has no channels or layer 'depth', only: B, G, R" run exr/sh.####.exr --channels depth --crop "$first" --model "$model" -o no.json
expect 2 '--input-transfer expects.*gamma' run exr/sh.####.exr --input-transfer gamma --crop "$first" --model "$model" -o no.json

finish test_plates
