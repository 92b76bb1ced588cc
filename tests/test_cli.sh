#!/bin/sh
# `roto` as a user runs it: tests/test_cli.sh FOLDER, where FOLDER holds the program.
#
# Whatever goes wrong must give the promised exit status and an `ERROR:` that names the culprit and helps, and must leave
# nothing half-written.  Frames are small PNM files made here; the model is one of model_format/valid.
set -u

. tests/check.sh
roto=$build/roto
valid=$top/model_format/valid

# expect STATUS PATTERN ARGUMENT...: run roto; the status must be this, stdout and stderr together must match.
expect() {
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$roto" "$@"
}
# refuse STATUS PATTERN ARGUMENT...: the same, on stderr after ERROR:, and no document may be there.
refuse() {
  rm -f doc.roto.json
  expect "$@"
  if grep -Eq "^ERROR: .*($2)" err; then pass; else fail "no 'ERROR: ...$2' on stderr"; fi
  if [ ! -e doc.roto.json ]; then pass; else fail "a document was left behind: $*"; fi
}

# A grey ramp: picture WIDTH HEIGHT FILE
picture() {
  { printf 'P6\n%d %d\n255\n' "$1" "$2" && awk -v n=$(($1 * $2 * 3)) 'BEGIN {for (i = 0; i < n; ++i) printf "%c", 33 + i % 90}'; } >"$3"
}
mkdir plate
for frame in 1001 1002 1003 1004; do picture $((frame - 980)) 16 plate/sh.$frame.ppm; done
for frame in 1001 1002 1003 1004; do picture 24 16 plate/sh.$frame.ppm; done
model=$valid/all.roto
run() { echo run "plate/sh.####.ppm" --model "$model" --crop 2,2,12,12 -o doc.roto.json; }

# What works.
expect 0 'usage: roto COMMAND' --help
expect 0 '^roto [0-9]+\.[0-9]+\.[0-9]+' --version
for command in run matte model bench; do expect 0 '^example:' $command --help; done
expect 0 '4 frames, 2 points' $(run)
holds doc.roto.json '"pattern": "plate/sh.####.ppm", "width": 24, "height": 16'
holds out '^Progress: 100%'
cp doc.roto.json first.roto.json
expect 0 '4 frames, 2 points' $(run) --looks 1
holds doc.roto.json '"frame": 1001, "crop": \[2, 2, 12, 12\]'
for threads in 1 3; do
  rm doc.roto.json
  expect 0 '4 frames' $(run) --threads $threads
  same doc.roto.json first.roto.json
done
expect 0 '"frames":4' $(run) --json
if [ "$(wc -l <out)" = 1 ]; then pass; else fail 'with --json stdout must be one line of JSON'; fi
rm doc.roto.json
expect 0 '2 frames' $(run) --range 1003-1002 --preview views/deep --sheet sheet.png
for file in sheet.png views/deep/sh.1002.png views/deep/sh.1003.png; do
  if [ "$(head -c 4 $file | tail -c 3)" = PNG ]; then pass; else fail "$file is not a PNG"; fi
done
expect 0 '4 frames' $(run) --range 1001,1004
same doc.roto.json first.roto.json
expect 0 '4 frames' run plate --model "$model" --crop=2,2,12,12 -o doc.roto.json
same doc.roto.json first.roto.json
expect 0 '2 frames' run plate/sh.1002.ppm plate/sh.1001.ppm --model "$model" --crop 2,2,12,12 -o list.roto.json
holds list.roto.json '"pattern": "plate/sh.####.ppm"'
expect 0 '"largest|agrees' model selftest "$model"
expect 0 '"passed":true' model selftest --json "$model"
expect 0 '"landmarks":2' model info "$model" --json
expect 0 '8 x 6' model info "$model"

# Crops from JSON, a rectangle a frame.
printf '{"1001": [2, 2, 12, 12], "1002": [2, 2, 12, 12], "1003": [2, 2, 12, 12], "1004": [2, 2, 12, 12]}' >crops.json
rm doc.roto.json
expect 0 '4 frames' run plate --model "$model" --crops crops.json -o doc.roto.json
same doc.roto.json first.roto.json

# An artist's point survives, in whole runs and in parts; its neighbours keep to what was found if nothing is smoothed.
rm doc.roto.json
expect 0 '4 frames' $(run) --smooth off
sed '0,/"x": [-0-9.]*\(.*\)"predicted"/s//"x": 7.125\1"artist"/' doc.roto.json >edited.roto.json
cp edited.roto.json doc.roto.json
expect 0 '1 points set by an artist kept' $(run) --smooth off
sed 's/\("artist"\), "raw": \[[^]]*\]/\1/' doc.roto.json >stripped.roto.json # what the model found there is noted beside it
same stripped.roto.json edited.roto.json
cp doc.roto.json edited.roto.json
expect 0 '1 points set by an artist kept' $(run) --smooth off --range 1003
same doc.roto.json edited.roto.json
picture 30 16 other.1001.ppm
expect 5 'ERROR: doc.roto.json: holds 1 points or shapes set by an artist.*another plate' \
  run other.####.ppm --model "$model" --crop 2,2,12,12 -o doc.roto.json
same doc.roto.json edited.roto.json
printf '{"roto": 1, ' >doc.roto.json
expect 3 "ERROR: doc.roto.json: .*artist's work" $(run)
holds doc.roto.json '^\{"roto": 1, $'
sed 's/"roto": 1/"roto": 9/' first.roto.json >doc.roto.json
expect 3 'ERROR: doc.roto.json: .*version 9.*newer roto' $(run)

# Usage.
refuse 2 "unknown command 'jump'" jump
expect 2 'usage: roto'
refuse 2 "unknown option '--modle'; did you mean '--model'" run plate --modle x
refuse 2 "unknown option '-q'" $(run) -q
refuse 2 '--threads expects a whole number.*two' $(run) --threads two
refuse 2 '--threads expects 0' $(run) --threads -1
refuse 2 '--threads expects a whole number' $(run) --threads 99999999999
refuse 2 '--json takes no value' $(run) --json=yes
refuse 2 '--range expects a value' $(run) --range
refuse 2 '--looks expects 1' $(run) --looks 0
refuse 2 '--isa expects' $(run) --isa sse9
refuse 2 '--missing expects' $(run) --missing never
refuse 2 'expected FRAMES' run --model "$model" --crop 1,1,2,2 -o doc.roto.json
refuse 2 'expected --model' run plate --crop 1,1,2,2 -o doc.roto.json
refuse 2 'expected -o' run plate --model "$model" --crop 1,1,2,2
refuse 2 '--crop X,Y,W,H or --crops' run plate --model "$model" -o doc.roto.json
refuse 2 'only one of them' $(run) --crops crops.json
refuse 2 '--crop expects x,y,width,height.*1,2,3' run plate --model "$model" --crop 1,2,3 -o doc.roto.json
refuse 2 '--crop expects' run plate --model "$model" --crop 1,2,nan,4 -o doc.roto.json
refuse 2 'expected info, selftest or quantize' model jump "$model"
refuse 2 'expected what to do' model info

# Frames.
refuse 3 "frame range '1001-'" $(run) --range 1001-
refuse 3 'no file fits this pattern' run 'plate/no.####.ppm' --model "$model" --crop 2,2,12,12 -o doc.roto.json
refuse 3 'sh.1005.ppm.*' $(run) --range 1001-1006
if [ "$(grep -c '^ERROR: plate' err)" = 2 ]; then pass; else fail 'both missing frames must be named'; fi
holds err '2 of 6 frames cannot be used; nothing is written'
rm -f doc.roto.json
expect 0 'WARNING: .*sh.1005.ppm.*skipped' $(run) --range 1004-1006 --missing skip
if [ "$(grep -c '"frame"' doc.roto.json)" = 1 ]; then pass; else fail 'skip must leave one frame'; fi
rm -f doc.roto.json
expect 0 'WARNING: .*sh.1005.ppm.*held' $(run) --range 1004-1006 --missing hold
if [ "$(grep -c '"held"' doc.roto.json)" = 4 ]; then pass; else fail 'hold must give two frames of two points'; fi
refuse 3 'none of the 2 frames' $(run) --range 2001-2002 --missing hold
one() { echo --model "$model" --crop 2,2,12,12 -o doc.roto.json; }
head -c 500 plate/sh.1001.ppm >short.ppm
refuse 3 'short.ppm' run short.ppm $(one)
: >empty.png
refuse 3 'empty.png' run empty.png $(one)
echo 'hello, I am not a picture' >text.jpg
refuse 3 'text.jpg' run text.jpg $(one)
printf 'P6\n100000 100000\n255\nabc' >huge.ppm
refuse 3 'huge.ppm' run huge.ppm $(one)
printf '\211PNG\r\n\032\n\0\0\0\015IHDR\177\377\377\377\177\377\377\377\010\002\0\0\0' >huge.png
refuse 3 'huge.png' run huge.png $(one)
head -c 300 sheet.png >cut.png
refuse 3 'cut.png' run cut.png $(one)
mkdir nothing
refuse 3 'found no png' run nothing $(one)
refuse 3 'cannot be|cannot read|No such file' run missing.png $(one)
cp plate/sh.1001.ppm mislabelled.jpg
expect 0 '1 frames' run mislabelled.jpg $(one)

# Crops.
for bad in '' '{' '7' '{"1001": [1, 2, 3]}' '{"1001": [1, 2, 3, -4]}' '{"1001": [1, 2, 3, 1e999]}' '{"1001": "all"}'; do
  printf '%s' "$bad" >bad.json
  refuse 3 'bad.json' run plate --model "$model" --crops bad.json -o doc.roto.json
done
refuse 3 'none.json' run plate --model "$model" --crops none.json -o doc.roto.json
printf '{"1001": [2, 2, 12, 12]}' >bad.json
refuse 3 'bad.json: has no crop for 3 of 4 frames, the first is plate/sh.1002.ppm' \
  run plate --model "$model" --crops bad.json -o doc.roto.json

refuse 3 'bad.json: has no crop for plate/sh.1002.ppm, the first frame to do' \
  run plate --range 1002-1004 --follow --model "$model" --crops bad.json -o doc.roto.json

# Models.
with() { echo run plate --model "$1" --crop 2,2,12,12 -o doc.roto.json; }
refuse 4 'none.roto: .*No such file' $(with none.roto)
refuse 4 'plate: expected a .roto model' $(with plate)
: >empty.roto
refuse 4 'empty.roto: .*empty' $(with empty.roto)
head -c 1000 "$model" >short.roto
refuse 4 'short.roto: .*rule R[0-9]+' $(with short.roto)
refuse 4 'text.jpg: ' $(with text.jpg)
{ head -c 8 "$model" && printf '\377' && tail -c +10 "$model"; } >newer.roto
refuse 4 'newer.roto: .*version.*update roto' $(with newer.roto)
refuse 4 'newer.roto: .*version' model info newer.roto
refuse 4 'newer.roto: .*version' bench newer.roto
size=$(wc -c <"$model")
{ head -c $((size - 64)) "$model" && head -c 64 /dev/zero | tr '\0' '\77'; } >changed.roto
expect 1 'FAILED|rule' model selftest changed.roto

# Mattes of a document with an eye and a seam; in the second frame the eye is hidden, in the third nothing is drawn.
{
  printf '{"roto": 1, "plate": {"pattern": "sh.####.png", "width": 40, "height": 30}, "model": {},\n'
  printf '"template": {"landmarks": [{"name": "a"}], "shapes": [{"name": "eye", "closed": true}, {"name": "seam", "closed": false}]},\n'
  printf '"frames": [\n'
  for frame in 1001 1002 1003; do
    printf '{"frame": %d, "crop": [0,0,9,9], "points": [{"x": 1, "y": 1, "origin": "artist"}], "shapes": {' $frame
    [ $frame = 1003 ] || {
      printf '"eye": {"origin": "predicted", %s"segments": [' "$([ $frame = 1001 ] || echo '"visible": false, ')"
      printf '[[5,0,15,0],[5,0,5,0]], [[15,0,15,0],[5,0,25,0]], [[15,0,5,0],[25,0,25,0]], [[5,0,5,0],[25,0,5,0]]]},'
      printf '"seam": {"origin": "artist", "segments": [[[0,0,40,0],[28,0,28,0]]], "width": 2}'
    }
    printf '}}%s\n' "$([ $frame = 1003 ] || echo ,)"
  done
  printf ']}\n'
} >shapes.roto.json
expect 0 '3 frames, 1.0 shapes each' matte shapes.roto.json -o 'mattes/{shape}/m.####.png'
expect 0 '3 frames, 1.0 shapes each' matte shapes.roto.json -o 'mattes/m.%04d.png' --bits 16 --blur 4
expect 0 '1 frames, 2.0 shapes each' matte shapes.roto.json -o mattes/half.png --range 1001 --scale 0.5 --feather 2 --subtract seam
for file in m.1001 m.1003 half; do if [ -s mattes/$file.png ]; then pass; else fail "no mattes/$file.png"; fi; done
for file in eye/m.1001 seam/m.1003; do if [ -s mattes/$file.png ]; then pass; else fail "no mattes/$file.png"; fi; done
same mattes/eye/m.1002.png mattes/seam/m.1003.png # both black
if cmp -s mattes/eye/m.1001.png mattes/eye/m.1002.png; then fail 'a hidden shape was drawn'; else pass; fi
sed 's/"height": 30}/"height": 30, "origin": [10, 20], "pixel_aspect": 2}/; s/"frame": 1001, /&"data": [-5, -5, 50, 41], /' \
  shapes.roto.json >exr.roto.json
expect 0 '3 frames, 1.0 shapes each' matte exr.roto.json -o 'mattes/m.####.exr'
expect 0 '1 frames, 1.0 shapes each' matte exr.roto.json -o 'mattes/{shape}.####.exr' --range 1001 --bits 32 --shapes eye
expect 2 'bits expects 16 or 32' matte exr.roto.json -o m.####.exr --bits 8
# The windows (all numbers below 256 or -1 to -5, little-endian) and channels as they stand in the file.
has_bytes() { # FILE HEX
  if od -An -v -tx1 "$1" | tr -d ' \n' | grep -q "$2"; then pass; else fail "$1 does not hold the bytes $2"; fi
}
box2i=626f78326900100000
has_bytes mattes/m.1001.exr 64617461"57696e646f7700${box2i}00" # the windows follow
has_bytes mattes/m.1001.exr "${box2i}00050000000f0000003600000037000000"
has_bytes mattes/m.1001.exr "${box2i}000a000000140000003100000031000000"
has_bytes mattes/m.1002.exr 64617461"57696e646f7700${box2i}000a000000140000003100000031000000"
has_bytes mattes/m.1001.exr 70697865"6c417370656374526174696f00666c6f6174000400000000000040"
for name in A eye.A seam.A; do
  for frame in 1001 1002 1003; do
    if grep -q "$name" mattes/m.$frame.exr; then pass; else fail "mattes/m.$frame.exr has no channel $name"; fi
  done
done
expect 3 "no shape 'ear'" matte shapes.roto.json -o m.####.png --shapes ear
expect 3 'no frame 7' matte shapes.roto.json -o m.####.png --range 7
expect 3 'no such shapes' matte shapes.roto.json -o m.####.png --range 1003
expect 3 'no such shapes' matte first.roto.json -o m.####.png
expect 2 'names one file for 3 frames' matte shapes.roto.json -o m.png
expect 2 'bits expects 8 or 16' matte shapes.roto.json -o m.####.png --bits 12
expect 5 'ERROR' matte shapes.roto.json -o /proc/none/m.####.png

# Outputs.
refuse 5 'no folder' run plate --model "$model" --crop 2,2,12,12 -o no/such/doc.roto.json
refuse 5 'cannot be written|no folder' run plate --model "$model" --crop 2,2,12,12 -o short.ppm/doc.roto.json
refuse 5 'not a file' run plate --model "$model" --crop 2,2,12,12 -o plate
refuse 5 'not a file' run plate --model "$model" --crop 2,2,12,12 -o /dev/full
refuse 5 '/proc/' run plate --model "$model" --crop 2,2,12,12 -o /proc/doc.roto.json
refuse 5 'no folder' $(run) --sheet no/such/sheet.png
refuse 5 'cannot make the folder' $(run) --preview short.ppm/views
refuse 5 '/proc' $(run) --preview /proc/views
if [ -c /dev/full ]; then pass; else fail '/dev/full is no longer a device'; fi

# A stop signal ends with 128 + its number, and an older document stays as it was.
cp edited.roto.json doc.roto.json
mkfifo pipe.1001.ppm
"$roto" run pipe.####.ppm --range 1001 --model "$model" --crop 2,2,12,12 -o doc.roto.json >out 2>err &
process=$!
sleep 0.5
kill -TERM $process
timeout 20 sh -c 'cat plate/sh.1001.ppm >pipe.1001.ppm'
wait $process
if [ $? = 143 ]; then pass; else fail 'SIGTERM must end with 143'; fi
holds err 'ERROR: stopped by signal 15'
same doc.roto.json edited.roto.json
if [ -z "$(find . -name '*.tmp*')" ]; then pass; else fail "temporary files were left: $(find . -name '*.tmp*')"; fi

finish test_cli
