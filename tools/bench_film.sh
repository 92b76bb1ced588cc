#!/bin/sh
# What a shot's figures are on annotated frames that the model was not trained on: tools/bench_film.sh FOLDER SHOT MODEL [WORK], where
# FOLDER holds the programs and SHOT annotated frames (revec_shapes, with character.json beside them or in the folder above).
#
# One table each: rough crops, smoothing, confidence, and what 5 corrected frames of the shot do for the others.  Ends with failure if
# a figure misses its goal.  The crops are the landmarks' box times the model's margin, moved and scaled; frames are those of the shot.
set -eu

build=$(cd "$1" && pwd)
shot=$(cd "$2" && pwd)
model=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
templates=$(cd "$(dirname "$0")/../trainer/templates" && pwd)
work=${4:-$build/bench_film}
mkdir -p "$work"
cd "$work"
missed=0

# goal WHAT FIGURE OPERATOR GOAL
goal() {
  if awk "BEGIN {exit !($2 $3 $4)}"; then echo "  $1: $2 (goal $3 $4)"; else
    echo "  $1: $2 MISSES $3 $4"
    missed=$((missed + 1))
  fi
}
number() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2"; }
quotient() { awk "BEGIN {printf \"%.3f\", $1 / $2}"; }

rm -rf shot
mkdir shot
for file in "$shot"/*; do ln -s "$file" shot/; done
for template in "$shot/character.json" "$shot/../character.json" "$templates/puppet27.json"; do
  [ -e shot/character.json ] || [ ! -e "$template" ] || ln -s "$template" shot/character.json
done
ls shot | grep -E '^image-' | sed -n 1p >first
ending=$(sed 's/.*\.//' first)
frames=$(ls shot | grep -cE "^image-.*\.$ending$")
pattern=shot/$(sed 's/frame[0-9]*\./frame###./' first)
echo "$frames frames of $shot, model $model"

# The box of each frame's points, times the margin.
"$build/roto" model info "$model" >info
margin=$(sed -n 's/.*margin[^0-9]*\([0-9.]*\).*/\1/p' info | head -n 1)
margin=${margin:-1.4}
for file in shot/revec_shapes-*.json; do
  tr -d '\n ' <"$file" | sed 's/.*"points":\[\(\[[^a-z]*\]\)\].*/\1/; s/\],\[/\n/g' | tr -d '[]' |
    awk -F, -v m="$margin" -v n="$(echo "$file" | sed 's/.*frame0*\([0-9][0-9]*\)\.json/\1/')" '
      NR == 1 || $1 < l {l = $1} NR == 1 || $1 > r {r = $1} NR == 1 || $2 < t {t = $2} NR == 1 || $2 > b {b = $2}
      END {s = m * (r - l > b - t ? r - l : b - t); printf "%d %.2f %.2f %.2f\n", n, (l + r - s) / 2, (t + b - s) / 2, s}'
done >boxes
crops() { # X Y S: moved by parts X, Y of the side, which is then multiplied by S
  awk -v x="$1" -v y="$2" -v k="$3" 'BEGIN {printf "{"}
    {printf "%s\"%d\": [%.2f, %.2f, %.2f, %.2f]", n++ ? ",\n" : "", $1, $2 + $4 * x + $4 * (1 - k) / 2, $3 + $4 * y + $4 * (1 - k) / 2, $4 * k, $4 * k}
    END {print "}"}' boxes
}
run() { # DOCUMENT OPTION...
  document=$1
  shift
  rm -f "$document"
  "$build/roto" run "$pattern" --model "$model" -o "$document" "$@" >log 2>&1 || { cat log && exit 1; }
}
judge() { # DOCUMENT RESULT OPTION...
  document=$1 result=$2
  shift 2
  "$build/roto" eval "$document" --truth shot --json "$@" >"$result"
}

echo 'rough crops: error (NME) against that of a crop that sits'
crops 0 0 1 >sits.json
run sits.roto.json --crops sits.json
judge sits.roto.json sits.result
sits=$(number nme_percent sits.result)
echo "  a crop that sits: NME $sits %"
for off in '0.15 0 1' '-0.15 0 1' '0 0.15 1' '0 -0.15 1' '0 0 0.8' '0 0 1.3' '0.15 -0.15 1.3' '-0.15 0.15 0.8'; do
  crops $off >off.json
  run off.roto.json --crops off.json
  judge off.roto.json off.result
  goal "moved and scaled by $off, error times" "$(quotient "$(number nme_percent off.result)" "$sits")" '<' 1.1
done
first=$(head -n 1 boxes | awk '{print $2 "," $3 "," $4 "," $4}')
run follow.roto.json --crop "$first" --follow
judge follow.roto.json follow.result
goal 'followed from the first frame, error times' "$(quotient "$(number nme_percent follow.result)" "$sits")" '<' 1.1

run once.roto.json --crops sits.json --views 1 --network-only
judge once.roto.json once.result
echo "found in one view, by the network alone: NME $(number nme_percent once.result) %, rmse_px $(number rmse_px once.result), jitter_px $(number jitter_px once.result)"
for mode in full causal; do
  echo "--smooth $mode: raw, then smoothed"
  run $mode.roto.json --crops sits.json --smooth $mode
  judge $mode.roto.json raw.result --raw
  judge $mode.roto.json $mode.result
  for name in rmse_px jitter_px held_px jumps_percent; do
    echo "  $name: $(number $name raw.result) -> $(number $name $mode.result)"
  done
done
goal 'RMSE times that of all views' "$(quotient "$(number rmse_px full.result)" "$(number rmse_px raw.result)")" '<=' 1
goal 'jitter times that of all views' "$(quotient "$(number jitter_px full.result)" "$(number jitter_px raw.result)")" '<=' 0.5
goal 'jitter times that of one view' "$(quotient "$(number jitter_px full.result)" "$(number jitter_px once.result)")" '<=' 0.5
[ -z "$(number held_px full.result)" ] || goal 'held poses, px' "$(number held_px full.result)" '<=' 0.15
goal 'jumps, percent of their way in the right frame' "$(number jumps_percent full.result)" '>=' 95

echo 'confidence: expected error, actual error (px), a tenth of the points each'
"$build/roto" eval sits.roto.json --truth shot | grep -E '^(expected|actual)' | sed 's/^/  /'
for result in sits full; do
  goal "percent of the worst tenth of frames among the fifth of least confidence, $result" "$(number worst_found $result.result)" '>=' 70
done

echo 'five corrected frames, those that roto suggest names first'
"$build/roto" suggest full.roto.json --top 5 | tee suggested | sed 's/^/  /'
rm -rf rest
mkdir rest
ln -s ../shot/character.json rest/
chosen=$(awk '{printf "%s%d", (NR > 1 ? "|" : ""), $1}' suggested)
for file in shot/image-* shot/revec_shapes-*; do
  n=$(echo "$file" | sed 's/.*frame0*\([0-9][0-9]*\)\..*/\1/')
  echo "$n" | grep -Eqx "$chosen" || ln -s "../$file" rest/
done
# The artist's corrections: the truth of these frames.
for n in $(awk '{print $1}' suggested); do
  file=$(printf 'shot/revec_shapes-%s' "$(sed 's/^image-//; s/frame[0-9]*\..*//' first)")frame$(printf %03d "$n").json
  tr -d '\n ' <"$file" | sed 's/.*"points":\[\(\[[^a-z]*\]\)\].*/\1/; s/\],\[/\n/g' | tr -d '[]' | awk -F, -v n="$n" '{print n, NR - 1, $1, $2}'
done >truth
awk 'NR == FNR {x[$1, $2] = $3; y[$1, $2] = $4; next}
  index($0, "{\"frame\": ") {split($0, part, /[:,]/); frame = part[2] + 0; point = -1}
  /^ *\{"x": / {++point; if ((frame, point) in x) {
    match($0, /^ */)
    if (!/"raw"/) {match($0, /"x": [-0-9.]*, "y": [-0-9.]*/); found = substr($0, RSTART + 5, RLENGTH - 5); sub(/, "y": /, ", ", found)
      sub(/"origin"/, "\"raw\": [" found "], \"origin\"")}
    sub(/"x": [-0-9.]*, "y": [-0-9.]*/, sprintf("\"x\": %.3f, \"y\": %.3f", x[frame, point], y[frame, point]))
    sub(/"origin": "[a-z]*"/, "\"origin\": \"artist\"")}}
  {print}' truth full.roto.json >fixed.roto.json
"$build/roto" smooth fixed.roto.json >log 2>&1 # as an artist would before anything else
"$build/roto" eval full.roto.json --truth rest --json >before.result
"$build/roto" eval fixed.roto.json --truth rest --json >after.result
echo "error on the other frames of the document, NME: smoothed $(number nme_percent before.result) %, smoothed with the corrections $(number nme_percent after.result) %"
start=$(date +%s)
rm -f adapted.roto*
"$build/roto-train" character --finetune "$model" --from fixed.roto.json -o adapted.roto --threads "${THREADS:-2}" >log 2>&1 || { cat log && exit 1; }
tail -n 1 log | sed 's/^/  /'
seconds=$(($(date +%s) - start))
"$build/roto-train" eval --model "$model" --data rest --json >before.result
"$build/roto-train" eval --model adapted.roto --data rest --json >after.result
echo "  error on the other frames, NME: $(number nme_percent before.result) -> $(number nme_percent after.result) %"
goal 'error on the other frames times' "$(quotient "$(number nme_percent after.result)" "$(number nme_percent before.result)")" '<=' 0.75
echo 'the same in the document: as found and smoothed, then run anew with the corrections and the adapted model'
"$build/roto" eval full.roto.json --truth rest --json >before.result
"$build/roto" run "$pattern" --model adapted.roto --crops sits.json --smooth full -o fixed.roto.json >log 2>&1 || { cat log && exit 1; }
"$build/roto" eval fixed.roto.json --truth rest --json >after.result
echo "  NME: $(number nme_percent before.result) -> $(number nme_percent after.result) %"
goal 'error on the other frames of the document times' "$(quotient "$(number nme_percent after.result)" "$(number nme_percent before.result)")" '<=' 0.75
goal 'seconds to adapt' "$seconds" '<=' 300
[ $missed = 0 ] || echo "$missed figures miss their goal"
[ $missed = 0 ]
