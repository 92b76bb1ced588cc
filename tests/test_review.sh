#!/bin/sh
# `roto review` and what its page computes: tests/test_review.sh FOLDER, where FOLDER holds the programs.
#
# The page of a small made-up shot is whole: its parts are there, its data decode.  With node, tests/review_page.js runs the page's own
# functions without a browser: WebAssembly gives what the programs give, edits, undo and the document that comes back.
# The browser itself is the matter of tests/hosts/test_review.sh.
set -u

. tests/check.sh
models=$top/model_format/valid

# expect STATUS PATTERN ARGUMENT...: run roto; the status must be this, stdout and stderr together must match.
expect() {
  status=$1 pattern=$2
  shift 2
  runs "$status" "$pattern" "$build/roto" "$@"
}
count() { # NUMBER PATTERN: so many lines of the page match
  found=$(grep -Ec -- "$2" page.html)
  if [ "$found" = "$1" ]; then pass; else fail "page.html: $found lines match '$2', expected $1"; fi
}

# A shot of 12 frames from 1001: a ramp, four landmarks that drift and tremble, a closed and an open shape on them; one point is an
# artist's, one hidden.
truth=shot.roto.json
mkdir shot
for frame in 1001 1002 1003 1004 1005 1006 1007 1008 1009 1010 1011 1012; do
  { printf 'P6\n320 240\n255\n' && awk -v f=$frame 'BEGIN {for (i = 0; i < 320 * 240 * 3; ++i) printf "%c", 33 + (i + f) % 90}'; } >shot/plate.$frame.ppm
done
awk 'BEGIN {
  print "{\"roto\": 1, \"plate\": {\"pattern\": \"shot/plate.####.ppm\", \"width\": 320, \"height\": 240},"
  print "\"model\": {\"name\": \"box\", \"description\": \"a < b & </script>\"}, \"template\": {\"name\": \"box\", \"landmarks\": ["
  print "{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}, {\"name\": \"d\"}], \"shapes\": ["
  print "{\"name\": \"the box\", \"closed\": true, \"vertices\": [\"a\", \"b\", null, \"c\"]},"
  print "{\"name\": \"line\", \"closed\": false, \"vertices\": [\"b\", \"d\"]}]}, \"frames\": ["
  split("80 200 90 280", px); split("60 70 170 40", py)
  for (f = 0; f < 12; ++f) {
    printf "%s{\"frame\": %d, \"crop\": [40, 30, 260, 200], \"note\": \"kept\", \"points\": [", (f ? ",\n" : ""), 1001 + f
    for (i = 1; i <= 4; ++i) {
      x[i] = px[i] + 2 * f + sin(f * 7 + i); y[i] = py[i] + f + cos(f * 5 + i)
      printf "%s{\"x\": %.3f, \"y\": %.3f, \"confidence\": %.3f, \"error\": %.3f, %s\"origin\": \"%s\"}", (i > 1 ? ", " : ""), x[i], y[i],
        f == 7 ? 0.2 : 0.8, f == 7 ? 3.5 : 0.9, f == 9 && i == 4 ? "\"visible\": false, " : "", f == 3 && i == 1 ? "artist" : "predicted"
    }
    printf "], \"shapes\": {\"the box\": {\"origin\": \"predicted\", \"segments\": [[[%.3f,30,%.3f,-30],[%.3f,-9,%.3f,-8]],", x[1], x[2], y[1], y[2]
    printf "[[%.3f,8,%.3f,7],[%.3f,30,%.3f,-30]],", x[2], x[2] + 5, y[2], y[2] + 100
    printf "[[%.3f,-30,%.3f,30],[%.3f,9,%.3f,8]],", x[2] + 5, x[3], y[2] + 100, y[3]
    printf "[[%.3f,-5,%.3f,-6],[%.3f,-30,%.3f,30]]]},", x[3], x[1], y[3], y[1]
    printf "\"line\": {\"origin\": \"predicted\", \"width\": 3, \"segments\": [[[%.3f,20,%.3f,-20],[%.3f,0,%.3f,5]]]}}}", x[2], x[4], y[2], y[4]
  }
  print "]}"
}' >$truth

expect 2 'expected -o FILE' review "$truth"
expect 2 '--size expects' review "$truth" -o page.html --size 1
expect 3 'cannot open' review nowhere.roto.json -o page.html
expect 5 'cannot write' review "$truth" -o nowhere/page.html
expect 0 'page.html: 12 frames, [0-9.]+ MB' review "$truth" -o page.html --size 160
count 12 '^<script type="text/plain" id="frame-[0-9]+">/9j/[A-Za-z0-9+/]+={0,2}</script>$'
count 0 '\{\{'
count 0 '(src|href)="?(https?:|//)|url\(|@import' # nothing from elsewhere
[ "$(grep -c '<script' page.html)" = "$(grep -c '</script>' page.html)" ] && pass || fail "script elements are not closed"

# With a model: it must be one for these landmarks, and draw shapes.
expect 4 'finds other landmarks' review "$truth" --model "$models/shapes.roto" -o other.html
expect 0 '12 frames' run 'shot/plate.####.ppm' --model "$models/shapes.roto" --crop 40,30,200,180 -o net.roto.json
expect 0 'net.html: 12 frames' review net.roto.json --model "$models/shapes.roto" -o net.html --size 64
expect 0 '12 frames' run 'shot/plate.####.ppm' --model "$models/all.roto" --crop 40,30,200,180 -o bare.roto.json
expect 4 'draws no shapes' review bare.roto.json --model "$models/all.roto" -o other.html
[ ! -e other.html ] && pass || fail "a page was left behind"

# Plates that are gone: nothing is written, unless asked for.
mv shot away
expect 3 'plates cannot be read; nothing is written' review "$truth" -o other.html
[ ! -e other.html ] && pass || fail "a page was left behind"
expect 0 'other.html: 12 frames' review "$truth" -o other.html --missing skip

if command -v node >/dev/null; then
  "$build/roto" matte "$truth" -o 'matte.####.png' >out 2>err && pass || fail "roto matte"
  node "$top/tests/review_page.js" page.html net.html "$models/shapes.roto" "$build/tests/native" "$work" >out 2>err
  set -- $(sed -n 's/^review_page: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' out)
  [ $# = 2 ] || set -- 0 1
  [ "$2" = 0 ] || cat out err
  passed=$((passed + $1)) failed=$((failed + $2))
  # The document that the page made of it is one for roto.
  expect 0 'edited.html: 12 frames' review edited.roto.json -o edited.html --missing skip
else
  skip "the page's functions: node is not installed"
fi
finish test_review
