#!/bin/sh
# The animated drawing, drawn by Chromium at several times: tests/hosts/test_svg.sh FOLDER (make check-hosts)
#
# Pixels are compared with roto's matte: closed and open shapes, one that hides, keys left out.
set -u

bin=$(cd "$1" && pwd)
here=$(pwd)/tests/hosts
passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export HOME="$work"
runs() {
  if timeout 300 "$@" >out 2>&1; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED: $*"
    tail -n 20 out
  fi
  grep 'soft IoU' out
}
runs "$bin/roto-train" demo -o shot --frames 24 --hold 1 --first-frame 1001 --seed 4201 --size 640x480 --close
runs python3 "$here/vary.py" shot/truth.roto.json varied.roto.json
sed 's/, "feather": *\(\[[^]]*\]\|[0-9.]*\)//g' varied.roto.json >shot.roto.json
runs "$bin/roto" export shot.roto.json --to svg -o shot.svg --fps 25
runs "$bin/roto" matte shot.roto.json -o '####.png' --bits 16
pairs=
for frame in 1001 1004 1008 1012 1017 1024; do
  {
    echo '<!doctype html><style>html,body{margin:0}svg{display:block}</style>'
    cat shot.svg
    echo "<script>const s=document.querySelector('svg');s.pauseAnimations();s.setCurrentTime(($frame-1001)/25+1e-4)</script>"
  } >$frame.html
  runs chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=4 --window-size=640,480 \
    --user-data-dir="$work/profile" --screenshot="$work/svg$frame.png" "file://$work/$frame.html"
  pairs="$pairs svg$frame.png $frame.png"
done
runs "$bin/tests/compare_mattes" 0.99 $pairs
echo "test_svg: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
