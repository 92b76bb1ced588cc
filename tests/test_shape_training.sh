#!/bin/sh
# Shape networks from training to document: tests/test_shape_training.sh FOLDER [DATA]...
#
# On shots of the demo's puppet rendered here: trained networks draw the shapes of a shot they have not seen, through its true
# landmarks, within the promised bounds; the landmark network in the file stays what it was; any number of threads makes the same
# file; a document's shapes follow its points, and what an artist drew stays.  With the film's data (DATA/shot0 to shot4) the same
# bounds hold with each shot left out in turn.
set -u

folder=$(cd "$1" && pwd)
shift
model=$(pwd)/demo/puppet.roto
plain=$(pwd)/model_format/valid/heat.roto
passed=0
failed=0
skipped=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() { # WHAT COMMAND...: the command must succeed
  what=$1
  shift
  if "$@" >"$work/out" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $what: $*"
    tail -n 5 "$work/out"
  fi
}
# number FILE NAME: the number after "NAME": in a file
number() { sed -n "s/.*\"$2\": *\([-0-9.e]*\).*/\1/p" "$1" | head -n 1; }
# The bounds: intersection over union of eyes and brows, mean contour distance in pixels.  bounds FILE PIXELS
bounds() {
  for shape in left_eye:0.97 right_eye:0.97 left_eyebrow:0.95 right_eyebrow:0.95; do
    awk -v found="$(number "$1" "${shape%:*}")" -v least="${shape#*:}" -v name="${shape%:*}" \
      'BEGIN { if (found >= least) exit 0; printf "IoU of %s is %s, at least %s is promised\n", name, found, least; exit 1 }' || return 1
  done
  awk -v found="$(sed -n 's/.*"contour_px":{"mean":\([0-9.e-]*\).*/\1/p' "$1")" -v most="$2" \
    'BEGIN { if (found > 0 && found <= most) exit 0; printf "contours are %s px apart, at most %s is promised\n", found, most; exit 1 }'
}
refuses() { # STATUS PATTERN COMMAND...
  status=$1 pattern=$2
  shift 2
  "$@" >"$work/refused" 2>&1
  [ $? = "$status" ] && grep -q "ERROR: .*$pattern" "$work/refused" || { cat "$work/refused"; return 1; }
}

cd "$work" || exit 1
train="$folder/roto-train"
roto="$folder/roto"
check "shots" "$train" demo -o shots --shots 24 --frames 8 --size 64x64 --close --hold 1 --seed 300
check "training" "$train" shapes shots --landmarks "$model" -o shapes.roto --hold-out shot7 --threads 1 --steps 1200
check "other threads, same file" "$train" shapes shots --landmarks "$model" -o again.roto --hold-out shot7 --threads 2 --steps 1200 --quiet
check "other threads, same file" cmp shapes.roto again.roto
check "the model computes what the trainer did" "$roto" model selftest shapes.roto
"$train" eval --model shapes.roto --data shots/shot7 --true-landmarks --json >eval.json 2>err
check "shapes through true landmarks" bounds eval.json 0.08 # 0.5 px at 400
"$train" eval --model "$model" --data shots/shot7 --json >before.json 2>err
check "the landmark network is the same" [ "$(number before.json total)" = "$(number eval.json total)" ]
mkdir -p copy && cp shapes.roto copy/puppet.roto
check "added to the file itself, in place of those it had" "$train" shapes shots -o copy/puppet.roto --hold-out shot7 --steps 1200 --quiet
check "added to the file itself, in place of those it had" cmp copy/puppet.roto shapes.roto

# A document: what `roto run` writes; then points and shapes moved by an artist.
check "run" "$roto" run shots/shot7 --model shapes.roto --crops shots/shot7/crop.json -o shot7.roto.json --preview preview
check "run draws shapes" grep -q '"left_eyebrow": {"origin": "predicted"' shot7.roto.json
"$roto" eval shot7.roto.json --truth shots/shot7 --json >document.json
check "eval measures a document's shapes" [ -n "$(number document.json right_eye)" ]
check "shapes anew, from the document's rounded points" "$roto" shapes shot7.roto.json --model shapes.roto -o anew.roto.json
check "the same once more" "$roto" shapes anew.roto.json --model shapes.roto -o same.roto.json
check "the same once more" cmp anew.roto.json same.roto.json
# The first frame's landmark 6, on the left eye's upper lid, moved; the right eye of all frames is the artist's.
awk '/"points"/ { n = -1 } /"x":/ { if (++n == 6 && !moved) { moved = 1; sub(/"y": [-0-9.]*/, "\"y\": 11.000"); sub(/predicted/, "artist") } }
     { sub(/"right_eye": {"origin": "predicted"/, "\"right_eye\": {\"origin\": \"artist\""); print }' anew.roto.json >moved.roto.json
"$roto" shapes moved.roto.json --model shapes.roto -o drawn.roto.json --json >drawn.json
check "an artist's shapes are counted" [ "$(number drawn.json artist_shapes_kept)" = 8 ]
diff moved.roto.json drawn.roto.json >difference
check "a moved point draws its shape anew" grep -q '^> .*"left_eye": {"origin": "predicted"' difference
check "and that of brows, which see it" [ "$(grep '^>' difference | grep -vc '"x":')" = 3 ]
check "the landmarks of the artist's shapes are the artist's" [ "$(grep -c '^> .*"x":.*"artist"' difference)" = $((8 * 6)) ]
check "nothing else changed" [ "$(grep -c '^>' difference)" = $((3 + 8 * 6)) ]
check "a later run keeps the artist's shapes" "$roto" run shots/shot7 --model shapes.roto --crops shots/shot7/crop.json -o drawn.roto.json
check "a later run keeps the artist's shapes" [ "$(grep -c '"right_eye": {"origin": "artist"' drawn.roto.json)" = 8 ]
check "and draws through the artist's points" grep -q '"y": 11.000.*artist' drawn.roto.json

check "no shapes in the model" refuses 4 "roto-train shapes" "$roto" shapes shot7.roto.json --model "$plain"
check "no landmark model" refuses 4 "landmarks" "$train" shapes shots -o nothing.roto
check "unknown shot" refuses 2 "no such shot" "$train" shapes shots --landmarks "$model" -o nothing.roto --hold-out shot99
mkdir -p few/shot0 && cp shots/shot0/*frame000* shots/shot0/*frame001* few/shot0/
check "too few frames" refuses 1 "frames" "$train" shapes few --landmarks "$model" -o nothing.roto
check "nothing was written" [ ! -e nothing.roto ]

film=
for data in "$@"; do
  case $data in /*) ;; *) data=$OLDPWD/$data ;; esac
  [ ! -d "$data/film/shot4" ] || data=$data/film
  [ ! -e "$data/shot4/revec_shapes-shot4-frame000.json" ] || film=$data
done
if [ -n "$film" ]; then
  for shot in shot0 shot1 shot2 shot3 shot4; do
    check "film without $shot" "$train" shapes "$film" --landmarks "$model" -o film.roto --hold-out $shot --quiet
    "$train" eval --model film.roto --data "$film/$shot" --true-landmarks --json >film.json 2>err
    echo "$shot: $(sed 's/.*\("iou".*\)}/\1/' film.json)"
    check "film, $shot left out" bounds film.json 0.5
  done
else
  echo "SKIP the film's shots: no folder with shot0 to shot4 was given (DATA=FOLDER)"
  skipped=1
fi
echo "test_shape_training: $passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
