#!/bin/sh
# The export for MLT, drawn by melt: tests/hosts/test_melt.sh FOLDER (make check-hosts)
#
# melt draws shapes hard and on whole pixels, so it draws them 4 times as large; its pixels' mean is compared with roto's matte.
set -u

bin=$(cd "$1" && pwd)
here=$(pwd)/tests/hosts
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
runs() {
  if QT_QPA_PLATFORM=offscreen timeout 600 "$@" >out 2>&1; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED: $*"
    tail -n 20 out
  fi
  grep 'soft IoU' out
}
closed=left_eye,right_eye,left_eyebrow,right_eyebrow
runs "$bin/roto-train" demo -o shot --frames 24 --hold 1 --first-frame 1001 --seed 4201 --size 320x240 --close
runs python3 "$here/vary.py" shot/truth.roto.json varied.roto.json
sed 's/"feather": *\(\[[^]]*\]\|[0-9.]*\), *//g; s/, "feather": *\(\[[^]]*\]\|[0-9.]*\)//g' varied.roto.json >shot.roto.json
runs "$bin/roto" export shot.roto.json --to mlt -o shot.mlt
runs "$bin/roto" matte shot.roto.json --shapes $closed -o 'matte/####.png' --bits 16
sed 's/ width="320" height="240"/ width="1280" height="960"/' shot.mlt >large.mlt
mkdir melt
runs melt large.mlt -consumer avformat:melt/%04d.png vcodec=png pix_fmt=rgb24 real_time=-1 terminate_on_pause=1
pairs=
for frame in 1001 1002 1003 1004 1005 1006 1007 1008 1009 1010 1011 1012 1013 1014 1016 1017 1018 1019 1020 1021 1022 1023 1024; do
  pairs="$pairs melt/$(printf %04d $((frame - 1000))).png matte/$frame.png"
done
runs "$bin/tests/compare_mattes" 0.96 $pairs
echo "test_melt: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
