#!/bin/sh
# `roto-train character`: tests/test_character.sh FOLDER, where FOLDER holds the programs.
#
# One command makes a model that finds landmarks, draws shapes and passes its self-test, and one page that says how well, from
# frames it was not trained on; a run that was stopped does not train its landmarks twice; mistakes leave nothing behind.  How
# accurate models are is the business of other tests: this one trains for a few seconds.
set -u

folder=$(cd "$1" && pwd)
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
train="$folder/roto-train"

check() { # WHAT COMMAND...: the command must succeed; what it prints is in `out`, for grep to look at
  what=$1
  shift
  if "$@" >now 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $what: $*"
    tail -n 5 now
  fi
  [ "$1" = grep ] || mv now out
}
refuses() { # STATUS PATTERN ARGUMENT...
  status=$1 pattern=$2
  shift 2
  "$train" character "$@" -o refused.roto >refused 2>&1
  [ $? = "$status" ] && grep -q "ERROR: .*$pattern" refused && [ ! -e refused.roto ] || { cat refused; return 1; }
}

few="--net tiny --epochs 1 --batch 4 --shape-steps 100"
check "shots" "$train" demo -o shots --shots 3 --frames 4 --size 96x96 --close --hold 1 --seed 40
check "one command" "$train" character shots -o made.roto $few
check "the last shot is measured" grep -q "measured on shots/shot2:" out
check "landmarks are found and shapes drawn" grep -q "^contours " out
check "the self-test holds" "$folder/roto" model selftest made.roto
check "contours are in it" "$folder/roto" model info made.roto
check "contours are in it" grep -q "contours  *[1-9], on which landmarks are held" out
check "so is how landmarks lie together" grep -q "components  *[1-9]" out
check "shapes are in it" "$train" eval --model made.roto --data shots/shot2 --true-landmarks --json
check "shapes are in it" grep -q '"iou":{"left_eye":0' out
for part in "Trained on 8 frames of 2 shots" "Measured on 4 frames it has not seen" \
  "<td>left_eyebrow<td>4<td>0" "data:image/png;base64,iVBOR" "data:image/jpeg;base64,/9j/" "What to label next"; do
  check "the report says" grep -q "$part" made.roto.html
done
check "the report loads nothing" [ "$(grep -c 'http' made.roto.html)" = 0 ]
check "learning curves stay, the landmark model does not" [ -e made.roto.csv -a -e made.roto.png -a ! -e made.roto.landmarks.roto ]

# A run that was stopped between landmarks and shapes.
cp made.roto again.roto.landmarks.roto
check "a stopped run goes on" "$train" character shots -o again.roto $few
check "a stopped run goes on" grep -q "there already" out
check "with the same shapes" cmp made.roto again.roto

check "one shot flatters" "$train" character shots/shot0 -o one.roto $few --quiet
check "one shot flatters" grep -q "that it was trained on" one.roto.html
check "no template" refuses 3 "nowhere" nowhere
check "no such shot" refuses 2 "no such shot" shots --hold-out shot7
check "two ways to measure" refuses 2 "not both" shots --hold-out shot1 --validation shots/shot2
echo "test_character: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
