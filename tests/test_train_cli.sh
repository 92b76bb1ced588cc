#!/bin/sh
# `roto-train` as a user runs it: tests/test_train_cli.sh FOLDER, where FOLDER holds the programs.
#
# Whatever goes wrong must give the promised exit status and an `ERROR:` that names the culprit and helps, and must leave no model
# behind; frames that cannot be used are named and counted; progress, log and plot say what they should.
set -u
. tests/check.sh

expect() {
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$build/roto-train" "$@"
}
# refuse STATUS PATTERN ARGUMENT...: the same, on stderr after ERROR:, and no model may be there.
refuse() {
  rm -f made.roto
  expect "$@"
  if grep -Eq "^ERROR: .*($2)" err; then pass; else fail "no 'ERROR: ...$2' on stderr"; fi
  if [ ! -e made.roto ]; then pass; else fail "a model was left behind: $*"; fi
}
# train DATA...: a network so small that it trains in no time.
train() { echo landmarks --size 32 --epochs 2 --batch 4 --evaluate-every 1 -o made.roto "$@"; }
net='act relu conv 3 2 8 conv 3 2 16 regress'
model=$top/demo/puppet.roto

# What works: the model, its log with a line an epoch, its plot; a bar on a terminal, lines elsewhere.
expect 0 '6 frames' demo -o shot --frames 6 --size 160x160 --close --seed 77
expect 0 '^Progress: 100%  epoch 2 loss [0-9.]+ [0-9.]+ samples/s' $(train shot) --net "$net" --validation shot
holds out 'shot: 6 frames, 0 not usable'
holds out 'wrote made.roto .*made.roto.csv and made.roto.png'
if [ "$(head -n 1 made.roto.csv)" = epoch,learning_rate,loss,validation_nme_percent,validation_mae_px,core_minutes ]; then pass; else
  fail "the log begins with $(head -n 1 made.roto.csv)"
fi
if [ "$(grep -Ec '^[12],[0-9.e-]+,[0-9.]+,[0-9.]+,[0-9.]+,[0-9.]+$' made.roto.csv)" = 2 ]; then pass; else fail 'the log has no line for each epoch'; fi
if [ "$(head -c 4 made.roto.png | tail -c 3)" = PNG ]; then pass; else fail 'the plot is no PNG'; fi
if [ ! -e made.roto.checkpoint ]; then pass; else fail 'a checkpoint was left behind'; fi
runs 0 'agrees' "$build/roto" model selftest made.roto
if command -v script >/dev/null; then # of Debian's bsdutils: gives the program a terminal
  runs 0 'training \[#+ *\] +[0-9]+%  [0-9]+/[0-9]+  epoch [0-9]+ loss [0-9.]+ [0-9.]+ samples/s  [0-9]+:[0-9][0-9] left' \
    script -qec "'$build/roto-train' $(train shot) --net '$net'" /dev/null
else
  skip 'the bar on a terminal: there is no program script'
fi
expect 0 'b0 +224 .*b7 +600 |b7 +600' networks
for command in character landmarks average shapes refine eval experiment import revectorize augment 'dataset info' 'dataset crop' 'dataset import' \
  networks bench synth demo; do
  expect 0 '^example:' $command --help
done

# Usage.
refuse 2 "unknown command 'jump'" jump
refuse 2 "unknown option '--epoch'; did you mean '--epochs'" $(train shot) --epoch 3
refuse 2 'expected folders of shots' landmarks -o made.roto
refuse 2 '-o MODEL.roto is missing' landmarks shot
refuse 2 'epochs' $(train shot) --epochs -3
refuse 2 'size' $(train shot) --size 9999999
refuse 2 '--rate' $(train shot) --rate 0
refuse 2 '--rate expects a number' $(train shot) --rate fast
refuse 2 'expected .*cosine' $(train shot) --schedule stairs
refuse 2 "'act gelu': expected relu" $(train shot) --net 'act gelu conv 3 2 8 regress'
refuse 2 '--net mobile: is none of small' landmarks shot --net mobile -o made.roto
refuse 2 '--isa sse9' $(train shot) --isa sse9
refuse 2 "unknown command 'dataset jump'" dataset jump
refuse 2 '--anchors 5: expected two' eval --model "$model" --data shot --anchors 5
refuse 2 '--views expects 1 to 10, found 11' eval --model "$model" --data shot --views 11
refuse 2 "unknown network 'b9'" networks b9

# Outputs that cannot be written.
refuse 5 '/proc/made.roto' $(train shot) --net "$net" -o /proc/made.roto
refuse 5 'no/such/made.roto' $(train shot) --net "$net" -o no/such/made.roto

# Models that are missing, damaged or of a newer version.
{ head -c 8 "$model" && printf '\377' && tail -c +10 "$model"; } >newer.roto
head -c 5000 "$model" >short.roto
for use in 'eval --data shot --model' 'shapes shot -o made.roto --landmarks' 'refine shot -o made.roto --landmarks' "$(train shot) --from"; do
  refuse 4 'newer.roto: .*version' $use newer.roto
  refuse 4 'short.roto: ' $use short.roto
  refuse 4 'none.roto: ' $use none.roto
done
expect 4 'newer.roto: .*update roto' eval --data shot --model newer.roto

# A network trained elsewhere becomes the trunk of a new one: its head is trained first, then all of it.
if [ -x "$build/tests/test_import" ] && mkdir onnx && "$build/tests/test_import" seeds onnx; then
  expect 0 'wrote trunk.roto' import onnx/bottlenecks.onnx -o trunk.roto
  expect 0 'wrote made.roto' $(train shot) --from trunk.roto --freeze 1 --net 'conv 3 2 8 regress' --validation shot
  runs 0 'agrees' "$build/roto" model selftest made.roto
  runs 0 'frames +6' "$build/roto-train" eval --model made.roto --data shot
else
  skip 'fine-tuning from an imported network: tests/test_import, which writes one, is not built'
fi

# Contours and distribution: too few frames are said to be, and twice is once.
refuse 3 'there is nothing to learn: fewer than 8 frames' refine shot --landmarks "$model" -o made.roto
refuse 2 'at least one folder of shots' refine --landmarks "$model" -o made.roto
refuse 2 '-o MODEL.roto is missing' refine shot --landmarks "$model"
refuse 3 'nowhere' refine nowhere --landmarks "$model" -o made.roto
refuse 5 'no/such/held.roto' refine shot shot --landmarks "$model" -o no/such/held.roto
expect 0 '[1-9] contours, [1-9][0-9]* components from 12 frames; wrote held.roto' refine shot shot --landmarks "$model" -o held.roto
runs 0 'contours +[1-9], on which landmarks are held' "$build/roto" model info held.roto
runs 0 'components +[1-9][0-9]*, in which landmarks lie together' "$build/roto" model info held.roto
runs 0 '"contours":\s*[1-9][^}]*"components":\s*[1-9]' "$build/roto" model info held.roto --json
cp held.roto once.roto
expect 0 'shot: RMSE [0-9.]+ -> [0-9.]+ px, MAE [0-9.]+ -> [0-9.]+ px' refine shot shot -o held.roto --validation shot --threads 1
if cmp -s held.roto once.roto; then pass; else fail 'what is learnt again differs'; fi

# Models trained on from one become one: its error lies near theirs.
expect 0 'wrote 1.roto' landmarks shot --size 32 --epochs 1 --net "$net" --validation shot -o 1.roto
expect 0 'wrote tuned.roto' landmarks shot --finetune 1.roto --epochs 2 --seed 3 -o tuned.roto
refuse 4 'does not fit a picture of 64 x 64; its own size is 32 x 32' landmarks shot --finetune 1.roto --size 64 -o made.roto
expect 0 'validation NME' average 1.roto tuned.roto --validation shot -o made.roto
holds out 'wrote made.roto'
runs 0 'agrees' "$build/roto" model selftest made.roto
expect 0 'wrote again.roto' average 1.roto 1.roto 1.roto --validation shot -o again.roto
for m in 1 again; do "$build/roto-train" eval --model $m.roto --data shot --json >$m.json; done
if cmp -s 1.json again.json; then pass; else fail 'the average of a model with itself is another'; fi
refuse 4 'puppet.roto: its network has other layers' average 1.roto "$model" --validation shot -o made.roto
refuse 4 'none.roto: ' average none.roto 1.roto --validation shot -o made.roto
refuse 2 'two models or more' average 1.roto --validation shot -o made.roto
refuse 2 '--validation DIR is missing' average 1.roto tuned.roto -o made.roto
refuse 3 'nowhere' average 1.roto tuned.roto --validation nowhere -o made.roto

# Frames that cannot be used are named and counted; the others are trained on and measured.
cp -r shot bad
revec=bad/revec_shapes-shot0-frame00
printf '{"points": [[1,2],' >${revec}1.json
sed 's/"points": \[\[[-0-9.]*/"points": [[NaN/' shot/revec_shapes-shot0-frame002.json >${revec}2.json
sed 's/"points": \[\[[^]]*\], */"points": [/' shot/revec_shapes-shot0-frame003.json >${revec}3.json
head -c 5000 shot/image-shot0-frame004.png >bad/image-shot0-frame004.png
sed 's/"left_eye"/"left_ear"/' shot/revec_shapes-shot0-frame005.json >${revec}5.json
named() { # the lack of each frame stands on stderr
  holds err "WARNING: ${revec}1.json: line 1, column 19: the file ends inside"
  holds err "WARNING: ${revec}2.json: line [0-9]+, column [0-9]+: this is not JSON at 'N'"
  holds err "WARNING: ${revec}3.json: expected 27 points, found 26"
  holds err 'WARNING: bad/image-shot0-frame004.png: truncated PNG'
  holds err "WARNING: ${revec}5.json: shape left_eye is missing"
}
expect 0 'bad: 2 frames, 4 not usable' $(train bad) --net "$net"
named
expect 3 'frames +2 \(1 failed, 3 more not usable\)' eval --model "$model" --data bad
named
expect 3 '"frames":2,"failed":1,"unusable":3,' eval --model "$model" --data bad --json
expect 0 'shot0 +6 +6 +2 ' dataset info bad
for line in 'unusable 001: line 1' 'unusable 002: line [0-9]+, column' 'unusable 003: expected 27 points' 'unusable 004: truncated PNG'; do
  holds out "$line"
done
runs 0 '6 frames' "$build/roto" run 'shot/image-shot0-frame###.png' --model "$model" --crops shot/crop.json -o shot.roto.json
runs 0 'frames +3 \(0 failed, 3 more not usable\)' "$build/roto" eval shot.roto.json --truth bad
holds err "WARNING: ${revec}3.json: expected 27 points, found 26"
rm bad/*frame000* bad/*frame005*
refuse 3 'no image of 1 frames can be used; the last: bad' $(train bad) --net "$net"
refuse 3 'nothing.*cannot open' $(train nothing) --net "$net"
mkdir empty
cp shot/character.json empty
refuse 3 'empty: .*found no such file' $(train empty) --net "$net"
sed 's/"landmarks"/"landmark"/' shot/character.json >bad.json
refuse 3 'bad.json: .*"landmarks"' $(train shot) --net "$net" --character bad.json
mkdir bare
refuse 3 'bare/character.json: not there; name the template with --character FILE' $(train bare) --net "$net"
finish test_train_cli
