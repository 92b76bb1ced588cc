#!/bin/sh
# The review page in a browser: tests/hosts/test_review.sh FOLDER, where FOLDER holds the programs.
#
# A rendered shot, run through the demo's model, opened in a headless Chromium by tests/hosts/review.js: scrubbed, a point dragged,
# undone, kept over a reload, downloaded; shapes drawn anew while dragging are those of the native code; and the downloaded document
# goes through `roto run` again without loss.  Then a shot of 1000 frames.  Screenshots stay in FOLDER/review for people to look at.
set -u

bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
model=$(pwd)/demo/puppet.roto
passed=0
failed=0
work=$bin/review
rm -rf "$work/shot" "$work/long" "$work/downloads" "$work"/*.png "$work"/*.json
mkdir -p "$work"
cd "$work" || exit 1
pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
  tail -n 5 out
}

"$bin/roto-train" demo -o shot --frames 16 --seed 77 --size 320x240 >out 2>&1 && pass || fail "roto-train demo"
run() { "$bin/roto" run shot --model "$model" --crops shot/crop.json -o shot.roto.json >out 2>&1; }
run && pass || fail "roto run"
"$bin/roto" review shot.roto.json --model "$model" -o shot.html >out 2>&1 && pass || fail "roto review"
"$bin/roto" suggest shot.roto.json --json >suggest.json 2>out && pass || fail "roto suggest"
"$bin/roto" review shot/truth.roto.json -o truth.html >out 2>&1 && pass || fail "roto review of a document with shapes"
mkdir downloads long
python3 "$here/lengthen.py" shot.roto.json 1000 long/long.roto.json >out 2>&1 && pass || fail "a long shot"
"$bin/roto" review long/long.roto.json --model "$model" -o long.html >out 2>&1 && pass || fail "roto review of 1000 frames"
timeout 300 node "$here/review.js" "$work" "$bin/tests/native" "$model" >out 2>&1
cat out
set -- $(sed -n 's/^review: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' out)
[ $# = 2 ] || set -- 0 1
passed=$((passed + $1)) failed=$((failed + $2))

# The artist's document over ours, and once more through the model: the fix must survive.
if cp downloads/shot.roto.json shot.roto.json; then pass; else fail "nothing was downloaded"; fi
fixed=$(grep -c '"origin": *"artist"' shot.roto.json)
run && grep -q 'set by an artist kept' out && pass || fail "roto run on the corrected document"
[ "$fixed" -gt 0 ] && [ "$(grep -c '"origin": *"artist"' shot.roto.json)" = "$fixed" ] && pass || fail "an artist's points were lost: $fixed before"
rm -rf downloads/profile-*
echo "test_review: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
