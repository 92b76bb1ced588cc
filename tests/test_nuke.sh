#!/bin/sh
# The FeatureDetect node for Nuke: tests/test_nuke.sh FOLDER; PYTHON is another Python than python3
#
# Nuke stands in as a double (tests/hosts/nuke) that knows what the reference documents and refuses all else: unknown attributes,
# other arguments, nodes and knobs off the main thread.  tests/hosts/doubles.py tests that it does.  The program, the model and the
# frames are real.
set -u

bin=$(cd "$1" && pwd)
here=$(pwd)/tests/hosts
folder=$(pwd)/tools/nuke
model=$(pwd)/demo/puppet.roto
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3}
if ! command -v "$python" >/dev/null; then
  echo "SKIP the Nuke node: no $python"
  echo 'test_nuke: 0 passed, 0 failed, 1 skipped'
  exit 0
fi
cd "$work" || exit 1
"$bin/roto-train" demo -o shot --frames 9 --hold 1 --first-frame 1001 --seed 4201 --size 320x240 >log 2>&1 || cat log
mkdir work
{ "$python" "$here/doubles.py" "$work"; "$python" "$here/nuke_node.py" "$folder" "$bin/roto" "$model" "$work/shot" "$work/work"; } >out 2>&1
grep -v ' passed, ' out
sed -n 's/.*: \([0-9]*\) passed, \([0-9]*\) failed, 0 skipped$/\1 \2/p' out >counts
[ "$(wc -l <counts)" = 2 ] || echo '0 1' >>counts
awk '{p += $1; f += $2} END {printf "test_nuke: %d passed, %d failed, 0 skipped\n", p, f; exit f > 0}' counts
