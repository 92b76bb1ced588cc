#!/bin/sh
# A whole shot against decoding alone: tools/bench_shot.sh FOLDER, where FOLDER holds the programs.
#
# Renders FRAMES (default 105) frames of 2348x1566, or PICTURES of them (default all) that are repeated under further numbers, and
# times, in turns, ROUNDS (default 3) times each, as whole processes on the same THREADS (default: all): stb_image decoding the PNG
# files and nothing else, and `roto run --smooth full` from the files to the document.  Then the same shot ten times as long (links
# to the same files), for time a frame and memory.  Prints medians; set LIMIT to fail above LIMIT times the decoding.
set -eu

build=$(cd "$1" && pwd)
model=$(pwd)/demo/puppet.roto
frames=${FRAMES:-105}
pictures=${PICTURES:-$frames}
rounds=${ROUNDS:-3}
threads=${THREADS:-$(nproc)}
work=$build/bench_shot
mkdir -p "$work"
cd "$work"

[ -e "rendered.$pictures" ] || {
  rm -rf render long
  "$build/roto-train" demo -o render --frames "$pictures" --seed 4201 --size 2348x1566
  touch "rendered.$pictures"
}
first=$(ls render/image-*.png | head -n 1)
# links FOLDER COUNT: frames 1001.. as links, and a crop for each.
links() {
  rm -rf "$1"
  mkdir "$1"
  for i in $(seq 0 $(($2 - 1))); do ln -s "../$(printf '%s%03d.png' "${first%000.png}" $((i % pictures)))" "$1/sh.$((1001 + i)).png"; done
  sed 's/[],[{}]/ /g' render/crop.json | awk -v n="$2" 'NF == 5 {box[k++] = $2 ", " $3 ", " $4 ", " $5}
    END {printf "{"; for (i = 0; i < n; ++i) printf "%s\"%d\": [%s]", i ? ",\n" : "", 1001 + i, box[i % k]; print "}"}' >"$1.json"
}
links shot "$frames"
links long $((10 * frames))

cat >decode.c <<'C'
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
int main(int argc, char **argv) {
  int failed = 0;
#pragma omp parallel for schedule(dynamic, 1) reduction(| : failed)
  for (int i = 1; i < argc; ++i) {
    int w, h, n;
    unsigned char *pixels = stbi_load(argv[i], &w, &h, &n, 0);
    failed |= !pixels;
    stbi_image_free(pixels);
  }
  return failed;
}
C
${CC:-gcc} -O2 -fopenmp -w decode.c -o decode -lm

seconds() { date +%s.%N; }
# timed FILE COMMAND...: adds the seconds of the command to FILE.
timed() {
  file=$1
  shift
  start=$(seconds)
  "$@" >log 2>&1 || { cat log && exit 1; }
  seconds | awk -v s="$start" '{printf "%.3f\n", $1 - s}' >>"$file"
}
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }
run() { timed "$1" "$build/roto" run "$2" --model "$model" --crops "$2.json" --threads "$threads" --smooth full -o "$2.$$.roto.json"; rm -f "$2.$$.roto.json"; }
rm -f *.times
for round in $(seq "$rounds"); do
  OMP_NUM_THREADS=$threads timed decode.times ./decode shot/*.png
  run shot.times shot
done
run long.times long
peak() { # kilobytes of the largest memory that roto had; a document that is there would be read first
  rm -f "$1.roto.json"
  "$build/roto" run "$1" --model "$model" --crops "$1.json" --threads "$threads" --smooth full -o "$1.roto.json" >log 2>&1 &
  pid=$!
  most=0
  while now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$pid/status 2>/dev/null) && [ -n "$now" ]; do
    most=$now
    sleep 0.1
  done
  wait $pid
  echo "$most"
}
decode=$(median decode.times)
shot=$(median shot.times)
long=$(median long.times)
awk -v d="$decode" -v s="$shot" -v l="$long" -v n="$frames" -v t="$threads" -v a="$(peak shot)" -v b="$(peak long)" -v p="$pictures" \
  -v limit="${LIMIT:-1e9}" 'BEGIN {
  printf "%d frames of 2348x1566 (%d pictures), %d threads\n", n, p, t
  printf "  stb_image, decoding alone    %7.2f s\n", d
  printf "  roto run                     %7.2f s  %.2f times the decoding\n", s, s / d
  printf "  roto run, %4d frames        %7.2f s  %.2f times the time a frame\n", 10 * n, l, l / s / 10
  printf "  memory                       %7.0f MiB, with %d frames %.0f MiB\n", a / 1024, 10 * n, b / 1024
  exit !(s / d <= limit)
}'
