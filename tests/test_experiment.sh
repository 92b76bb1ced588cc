#!/bin/sh
# `roto-train experiment` and training on several folders: tests/test_experiment.sh FOLDER, where FOLDER holds the programs.
#
# The demo's puppet stands in for a film: three rendered shots, a fourth for its renders; the network is as small as can be.
set -u

. tests/check.sh

# expect STATUS PATTERN ARGUMENT...: roto-train's exit status must be this, stdout and stderr together must match.
expect() {
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$build/roto-train" "$@"
}
check() { if eval "$1"; then pass; else fail "$1"; fi; }

expect 0 . demo -o film --shots 4 --frames 3 --size 96x96 --close --seed 70
mkdir renders && mv film/shot3 renders/CG
small='--net=act relu conv 3 2 8 conv 3 2 8 points 3'
# run STATUS PATTERN NUMBER OPTIONS [ROW]
run() { expect "$1" "$2" experiment "$3" film --synth renders/CG -o results --size 32 --samples 12 --batch 4 "$small" $4 ${5:+--only "$5"}; }

run 0 'hours in all' 2 '--test shot1 --dry-run'
check '[ $(grep -c "^| .*-shot1.*roto |$" out) = 3 ] && [ -z "$(ls results)" ]' # says it and leaves nothing
run 0 '^. 2 shots . [0-9.]+ . [0-9.]+ . [0-9.]+ . [0-9.]+ .' 2 '--test shot1'
check '[ $(grep -c "^| [0-9s]" results/experiment2-own-shot1.md) = 6 ]' # synth only, 1 and 2 shots, in two tables: the film has no more
check '[ -s results/experiment2-own-shot1.png ] && grep -q pose_mae_px results/experiment2-own-shot1.json'
check '! grep -q nan results/experiment2-own-shot1.json'
check '[ $(ls results/*.roto | wc -l) = 3 ]'
stamp=$(cksum results/*.roto)
run 0 'no scale-aware' 3 '--test shot1' # shares models with the table before
check '[ $(ls results/*.roto | wc -l) = 8 ]'
run 0 'augmented, 1 shot . synth' 1 '--test shot1'
check '[ "$stamp" = "$(cksum $(echo "$stamp" | sed "s/.* //"))" ]' # what was there is only measured again
before=$(cat results/experiment2-own-shot1.md)
run 0 . 2 '--test shot1'
check '[ "$before" = "$(cat results/experiment2-own-shot1.md)" ]'
check '! grep -q epoch out'
check 'grep -q "eyes, down" results/experiment2-own-shot1.md'
# Which shot is given decides as much as how many: by default the first, with --each every one, and their mean.
run 0 '^. 1 shot, mean of 2 . [0-9.]+ .' 2 '--test shot1 --each'
check '[ -e results/own-shot1-shot0-synth-background.roto ] && [ -e results/own-shot1-shot2-synth-background.roto ]'
run 0 '2 shots' 2 '--test shot1 --order shot2,shot0'
check 'grep -q . results/own-shot1-shot2+shot0-synth-background.roto'
# One row alone has its own table, and leaves the whole one as it is.
before=$(cat results/experiment2-own-shot1.md)
run 0 '^. 2 shots . [0-9.]+ .' 2 '--test shot1' '2 shots'
check '[ $(grep -c "^| [0-9s]" results/experiment2-own-shot1-2-shots.md) = 2 ] && [ "$before" = "$(cat results/experiment2-own-shot1.md)" ]'
run 2 "no row 'nothing'" 2 '--test shot1' nothing
# True frames come as often as is said.
run 0 'often-shot1-shot0.shot2-synth-background.roto' 2 '--test shot1 --name often --repeat 2 --dry-run'
check 'grep -q "^| 2 shots | 1 | 3 |" out' # (3 + 3) * 2 + 3 frames in batches of 4
run 2 'repeat must be' 2 '--test shot1 --repeat 0'
# A model of other options is not taken for this one.
run 3 'was trained with other options' 2 '--test shot1 --seed 2'
run 3 'was trained with other options' 2 '--test shot1 --rotation 3 --dry-run'
run 0 'there already' 2 '--test shot1 --dry-run'

run 3 'no such shot' 2 '--test shot9'
run 2 'tested on' 2 '--test shot1 --order shot0,shot1'
run 2 'experiments 1, 2 and 3' 4 '--test shot1'

# Two folders are trained on as one.
expect 0 'frames' landmarks film/shot0 film/shot1 --character film/character.json --size 32 --epochs 1 --batch 4 "$small" -o two.roto
check '[ $(grep -c "3 frames, 0 not usable" out) = 2 ]'
expect 3 'shot9' landmarks film/shot0 film/shot9 --character film/character.json --size 32 --epochs 1 "$small" -o none.roto
check '[ ! -e none.roto ]'

finish test_experiment
