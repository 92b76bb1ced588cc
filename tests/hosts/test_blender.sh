#!/bin/sh
# The export and the add-on in Blender itself, without a screen: tests/hosts/test_blender.sh FOLDER (make check-hosts); BLENDER is the
# program, if not that on the PATH.
#
# Blender draws masks hard, so it draws them 8 times as large, and the mean of its pixels is compared with roto's exact matte.  What
# is left is that grid: a pixel on an edge is off by 0.012 on average, so shapes must be large for a soft IoU of 0.999.
set -u

bin=$(cd "$1" && pwd)
here=$(pwd)/tests/hosts
addon=$(pwd)/tools/blender/roto_blender.py
model=$(pwd)/demo/puppet.roto
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir -p scripts/addons
export BLENDER_USER_SCRIPTS="$work/scripts" BLENDER_USER_CONFIG="$work/config" PYTHONDONTWRITEBYTECODE=1
closed=left_eye,right_eye,left_eyebrow,right_eyebrow

# runs COMMAND...: one check, or those that the command counts.
runs() { timeout 600 "$@" >out 2>&1; count $? "$@"; }
count() {
  status=$1
  shift
  counts=$(sed -n 's/.*: \([0-9]*\) passed, \([0-9]*\) failed, 0 skipped$/\1 \2/p' out | tail -n 1)
  if [ -z "$counts" ]; then counts="$((status == 0)) $((status != 0))"; fi
  passed=$((passed + ${counts% *}))
  failed=$((failed + ${counts#* }))
  [ "$status" = 0 ] || [ "${counts#* }" != 0 ] || failed=$((failed + 1))
  [ "$status" = 0 ] || { echo "FAILED: $*" && grep -v '^Fra:' out | tail -n 20; }
  grep 'soft IoU' out
}
in_blender() { runs "${BLENDER:-blender}" --background --factory-startup --python-exit-code 1 --python "$@"; }

# A close shot: exact edges, in the first frame and the last.
runs "$bin/roto-train" demo -o close --frames 12 --hold 1 --first-frame 1001 --seed 4201 --size 1120x840 --close
runs "$bin/roto" export close/truth.roto.json --shapes $closed --to blender -o close.py
runs "$bin/roto" matte close/truth.roto.json --shapes $closed -o 'matte/close.####.png' --bits 16
in_blender "$here/render_blender.py" -- "$work/close.py" 8 "$work/close_blender" 1001 1012
echo 'close shot, hard edges:'
runs "$bin/tests/compare_mattes" 0.999 close_blender/1001.png matte/close.1001.png close_blender/1012.png matte/close.1012.png

# Keys left out, shapes that hide, come late, leave early; feather, where Blender's ramp is another than ours.
runs "$bin/roto-train" demo -o shot --frames 24 --hold 1 --first-frame 1001 --seed 4201 --size 320x240
runs python3 "$here/vary.py" shot/truth.roto.json shot.roto.json
runs "$bin/roto" export shot.roto.json --shapes $closed --to blender -o shot.py --tolerance 0.1
runs "$bin/roto" matte shot.roto.json --shapes $closed -o 'matte/shot.####.png' --bits 16
in_blender "$here/render_blender.py" -- "$work/shot.py" 8 "$work/shot_blender" 1001 1008 1011 1012 1024
echo 'small shapes, feather, hidden shapes:'
runs "$bin/tests/compare_mattes" 0.96 $(for f in 1001 1008 1011 1012 1024; do echo shot_blender/$f.png matte/shot.$f.png; done)

# The add-on, from the plate to a corrected document; then training on the correction.
mkdir addon
in_blender "$here/blender_addon.py" -- "$addon" "$bin/roto" "$model" "$work/close" "$work/addon"
runs "$bin/roto" matte addon/drawn.roto.json --shapes $closed -o 'matte/drawn.####.png' --bits 16
echo "the add-on's mask:"
runs "$bin/tests/compare_mattes" 0.999 addon/run/0001.png matte/drawn.1001.png addon/run/0012.png matte/drawn.1012.png
runs grep -q '"artist"' addon/blender.roto.json
runs "$bin/roto-train" dataset import addon/blender.roto.json --character close/character.json --all -o corrected
runs "$bin/roto-train" landmarks corrected --net tiny --from "$model" --epochs 1 --batch 4 -o retrained.roto
runs "$bin/roto" model selftest retrained.roto

echo "test_blender: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
