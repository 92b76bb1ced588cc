#!/bin/sh
# A shot from end to end, `roto run` and what follows it: tests/test_shot.sh FOLDER, where FOLDER holds the programs.
#
# The shot is rendered here, so its truth is known: smoothing must bring the points nearer to it and make them steadier, and
# whatever an artist did must survive.
set -u

roto=$(cd "$1" && pwd)/roto
train=$(cd "$1" && pwd)/roto-train
model=$(pwd)/demo/puppet.roto
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

pass() { passed=$((passed + 1)); }
fail() {
  failed=$((failed + 1))
  echo "FAILED: $*"
}
# works PATTERN COMMAND...: the command must succeed and print something that matches.
works() {
  pattern=$1
  shift
  if timeout 300 "$@" >out 2>err && cat out err | grep -Eq -- "$pattern"; then pass; else
    fail "$* (expected '$pattern')"
    head -n 5 out err
  fi
}
same() { if cmp -s "$1" "$2"; then pass; else fail "$1 and $2 differ"; fi; }
differ() { if cmp -s "$1" "$2"; then fail "$1 and $2 are the same"; else pass; fi; }
# number NAME FILE: a number of one-line JSON.
number() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p" "$2"; }
# compare A OPERATOR B WHAT
compare() { if awk "BEGIN {exit !($1 $2 $3)}"; then pass; else fail "$4: expected $1 $2 $3"; fi; }
# point FRAME INDEX FILE: the line of a point.
point() { awk -v frame="\"frame\": $1," -v i="$2" 'index($0, "{\"frame\": ") {at = index($0, frame) > 0; n = -2} at && ++n == i' "$3"; }

"$train" demo -o shot --frames 16 --seed 4201 --size 480x360 >/dev/null || fail 'the shot cannot be rendered'
run() { echo "$roto" run shot --model "$model" --crops shot/crop.json --smooth full -o "$@"; }

works '16 frames, 27 points' $(run doc.roto.json)
works '16 frames' $(run off.roto.json) --smooth off
works '"jitter_px"' "$roto" eval doc.roto.json --truth shot --json
cp out smooth.json
works '"jitter_px"' "$roto" eval doc.roto.json --truth shot --raw --json
cp out raw.json
works '"jitter_px"' "$roto" eval off.roto.json --truth shot --json
for name in jitter_px nme_percent; do # off is what the model found
  compare "$(number $name out)" '==' "$(number $name raw.json)" "$name without smoothing"
done
echo "jitter $(number jitter_px raw.json) -> $(number jitter_px smooth.json), NME $(number nme_percent raw.json) -> $(number nme_percent smooth.json)"
compare "$(number jitter_px smooth.json)" '<' "$(number jitter_px raw.json)" 'jitter of the smoothed shot'
compare "$(number nme_percent smooth.json)" '<' "$(number nme_percent raw.json)" 'NME of the smoothed shot'
# The same against what the network alone finds, in one view; contours and distribution alone; and smoothing alone.
works '16 frames' $(run held.roto.json) --views 1
works '"nme_percent"' "$roto" eval held.roto.json --truth shot --raw --json
cp out held.json
works '16 frames' $(run one.roto.json) --views 1 --network-only
works '"jitter_px"' "$roto" eval one.roto.json --truth shot --raw --json
cp out plain.json
works '"jitter_px"' "$roto" eval one.roto.json --truth shot --json
echo "in one view: jitter $(number jitter_px plain.json) -> $(number jitter_px out), NME $(number nme_percent plain.json) -> $(number nme_percent out)"
compare "$(number nme_percent held.json)" '<' "0.85 * $(number nme_percent plain.json)" 'NME refined, one view'
compare "$(number jitter_px out)" '<' "0.75 * $(number jitter_px plain.json)" 'jitter of the smoothed shot, one view'
compare "$(number nme_percent out)" '<' "$(number nme_percent plain.json)" 'NME of the smoothed shot, one view'
compare "$(number jitter_px smooth.json)" '<' "0.5 * $(number jitter_px plain.json)" 'jitter of ten views, smoothed, to that of one'
compare "$(number nme_percent smooth.json)" '<' "0.75 * $(number nme_percent plain.json)" 'NME of ten views, smoothed, to that of one'

# A far eye goes behind the head: its shapes are hidden, and none that is in sight.
"$train" demo -o turned --frames 48 --seed 91 >/dev/null || fail 'the turned head cannot be rendered'
works '48 frames' "$roto" run turned --model "$model" --crops turned/crop.json --smooth full -o turned.roto.json
works '"hidden"' "$roto" eval turned.roto.json --truth turned --json
echo "hidden: $(sed -n 's/.*"hidden":{\([^}]*\)}.*/\1/p' out)"
compare "$(number found out)" '>=' 18 'shapes out of sight that are hidden, of 24'
compare "$(number false out)" '==' 0 'shapes in sight that are hidden'

# Smoothing a document again, from it alone, is smoothing the shot; off brings back what was found, and nothing is lost.
cp doc.roto.json first.roto.json
mv shot away
works '16 frames, 0 points set' "$roto" smooth doc.roto.json
same doc.roto.json first.roto.json
works '16 frames' "$roto" smooth doc.roto.json --smooth off -o raw.roto.json
works '16 frames' "$roto" smooth raw.roto.json -o again.roto.json
same again.roto.json first.roto.json
works '16 frames' "$roto" smooth doc.roto.json --smooth causal -o causal.roto.json
differ causal.roto.json first.roto.json
mv away shot
for threads in 1 3; do
  works '16 frames' $(run threads$threads.roto.json) --threads $threads
  same threads$threads.roto.json first.roto.json
done

# Parts of the shot, joined, are the shot: points and shapes.
for i in 1 2 3; do works 'frames, 27 points' $(run part.$i.roto.json) --shard $i/3; done
works '16 frames, from 3 documents' "$roto" merge part.*.roto.json --smooth full --model "$model" -o joined.roto.json
same joined.roto.json first.roto.json

# Frames worth a look: as many as asked for, each once, the worst first, none beside one that was just worked on.
works '"suggestions":\[\{"frame":' "$roto" suggest first.roto.json --top 4 --json
tr '{' '\n' <out | sed -n 's/^"frame":\([0-9]*\),"score":\([0-9.e+-]*\),.*"reason":"[^"]*px.*/\1 \2/p' >list
if [ -s list ] && [ "$(wc -l <list)" -le 4 ] && [ "$(cut -d' ' -f1 list | sort -u | wc -l)" = "$(wc -l <list)" ] &&
  sort -c -r -g -k 2 list; then pass; else fail "suggestions are $(cat list)"; fi
worst=$(sed -n '1s/ .*//p' list)
awk -v frame="\"frame\": $worst," 'index($0, "{\"frame\": ") {at = index($0, frame) > 0} {if (at) sub(/"origin": "smoothed"/, "\"origin\": \"artist\""); print}' \
  first.roto.json >worked.roto.json
works '"suggestions"' "$roto" suggest worked.roto.json --top 1 --json
next=$(sed 's/.*"suggestions":\[{"frame":\([0-9]*\),.*/\1/' out)
compare "($next - $worst) ^ 2" '>=' 4 'distance of the next suggestion from the frame that was corrected'
# The same 16 frames again and again: none is suggested twice, and those suggested are from all over the shot.
awk -v times=20 'index($0, "{\"frame\": ") {on = 1} on && /^ *\]/ && !/\}/ {on = 0}
  !on && !done {if (n) {for (k = 0; k < times; ++k) for (i = 1; i <= n; ++i) {
    line = frames[i]
    if (match(line, /"frame": [0-9]+/)) line = substr(line, 1, RSTART + 8) (16 * k + substr(line, RSTART + 9, RLENGTH - 9)) substr(line, RSTART + RLENGTH)
    if (i == n && k + 1 < times) line = line ","
    print line}
    done = 1}}
  on {frames[++n] = $0; next} {print}' first.roto.json >repeated.roto.json
works '"suggestions"' "$roto" suggest repeated.roto.json --top 4 --json
tr '{' '\n' <out | sed -n 's/^"frame":\([0-9]*\),.*/\1/p' >list
compare "$(awk '{print int($1 % 16 / 2)}' list | sort -u | wc -l)" '==' "$(wc -l <list)" 'different poses among those suggested of a shot that repeats itself'
compare "$(sort -n list | sed -n '$p') - $(sort -n list | head -n 1)" '>' 160 'frames between those suggested'
works 'plot.png: 16 frames, 27 points' "$roto" plot first.roto.json -o plot.png
if [ "$(head -c 4 plot.png | tail -c 3)" = PNG ]; then pass; else fail 'plot.png is not a PNG'; fi

# An artist moves a point: it stays where it is, to the last digit, through smoothing and a new run; its neighbours follow.
fixed='{"x": 200.125, "y": 150.5, "confidence": 1.0000, "error": 0.000, "origin": "artist"},'
line=$(point 8 5 doc.roto.json)
[ -n "$line" ] || fail 'frame 8 has no point 5'
awk -v old="$line" -v new="      $fixed" '$0 == old {$0 = new} {print}' doc.roto.json >edited.roto.json
differ edited.roto.json doc.roto.json
works '1 points set by an artist' "$roto" smooth edited.roto.json
for command in smooth run; do
  point 8 5 edited.roto.json >line
  if grep -q '"x": 200.125, "y": 150.500,.*"origin": "artist"' line; then pass; else fail "after $command the artist's point is $(cat line)"; fi
  near=$(point 9 5 edited.roto.json | sed 's/.*"x": \([-0-9.]*\).*/\1/') before=$(point 9 5 doc.roto.json | sed 's/.*"x": \([-0-9.]*\).*/\1/')
  compare "$(echo "$near $before" | awk '{print ($1 - 200.125) ^ 2}')" '<' "$(echo "$before" | awk '{print ($1 - 200.125) ^ 2}')" "after $command, the artist's pull on the next frame"
  works '16 frames' $(run edited.roto.json)
done

# An artist draws a shape, 5 pixels below where it was found: it stays to the last digit, its landmarks are the artist's, and the
# shapes around it follow, the nearer the more.
shape() { # FRAME FILE: the line of the left eyebrow
  awk -v frame="\"frame\": $1," 'index($0, "{\"frame\": ") {at = index($0, frame) > 0} at && /"left_eyebrow": {/' "$2"
}
lower='{rest = $0; $0 = ""
  while (match(rest, /\],\[[-0-9.,]+\]\]/)) {
    split(substr(rest, RSTART + 3, RLENGTH - 5), y, ",")
    $0 = $0 substr(rest, 1, RSTART + 2) sprintf("%.3f,%s,%.3f,%s]]", y[1] + 5, y[2], y[3] + 5, y[4])
    rest = substr(rest, RSTART + RLENGTH)
  }
  $0 = $0 rest
  sub(/"predicted"/, "\"artist\"")}'
drawn=$(shape 8 first.roto.json | awk "$lower {print}")
awk -v frame='"frame": 8,' "index(\$0, \"{\\\"frame\\\": \") {at = index(\$0, frame) > 0} at && /\"left_eyebrow\": {/ $lower {print}" first.roto.json >drawn.roto.json
differ drawn.roto.json first.roto.json
works '16 frames, [0-9]* points set' "$roto" smooth drawn.roto.json --model "$model"
for command in smooth run; do
  if [ -n "$drawn" ] && [ "$(shape 8 drawn.roto.json)" = "$drawn" ]; then pass; else fail "after $command the artist's shape is another"; fi
  point 8 18 drawn.roto.json >line # the left end of the brow
  if grep -q '"origin": "artist"' line; then pass; else fail "after $command a landmark of the artist's shape is $(cat line)"; fi
  height() { shape "$1" "$2" | grep -o '\],\[[-0-9.]*' | tr -d '],[' | awk '{sum += $1} END {printf "%.3f", sum / NR}'; }
  near=$(echo "$(height 9 drawn.roto.json) $(height 9 first.roto.json)" | awk '{print $1 - $2}')
  far=$(echo "$(height 0 drawn.roto.json) $(height 0 first.roto.json)" | awk '{print $1 - $2}')
  compare "$near" '>' 1 "after $command, how far the next frame's shape followed"
  compare "$far" '<' "$near" "after $command, how far the first frame's shape followed"
  works '16 frames' $(run drawn.roto.json)
done

# A few frames corrected, of a puppet the model never saw: it adapts to the shot, and is better on the others too.
"$train" demo -o other --frames 12 --seed 77 --size 480x360 --variants 5 >/dev/null || fail 'the other shot cannot be rendered'
awk 'index($0, "{\"frame\": ") {split($0, at, /[:,]/); keep = at[2] % 4 == 1} {if (!keep) gsub(/"origin": "artist"/, "\"origin\": \"predicted\""); print}' \
  other/truth.roto.json >other.roto.json
mkdir rest
for frame in 000 003 004 007 008 011; do ln other/*-frame$frame.* rest; done
cp other/character.json rest
works '3 frames with an artist' "$train" character --finetune "$model" --from other.roto.json -o other.roto --epochs 2 --batch 8 --threads 1
if grep -q 'RMSE on the 3 corrected frames' out; then pass; else fail "character --finetune does not say what it did"; fi
works 'left_eye: closed, 6 vertices, drawn' "$roto" model info other.roto
works 'contours +9, on which landmarks are held' "$roto" model info other.roto
works 'components +[1-9]' "$roto" model info other.roto
works 'agrees' "$roto" model selftest other.roto
works 'nme_percent' "$train" eval --model "$model" --data rest --json
cp out before.json
works 'nme_percent' "$train" eval --model other.roto --data rest --json
echo "NME on frames that were not corrected $(number nme_percent before.json) -> $(number nme_percent out)"
compare "$(number nme_percent out)" '<' "0.75 * $(number nme_percent before.json)" 'NME after fine-tuning'

echo "test_shot: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ] && [ $passed != 0 ]
