#!/bin/sh
# What an artist would do to a frame, here from the truth: demo/fix_frame.sh DOCUMENT TRUTH FRAME
#
# Puts the points of FRAME where the document TRUTH has them and marks them as the artist's.
set -eu
awk -v frame="$3" '
  /\{"frame": / {split($0, part, /[:,]/); here = part[2] + 0 == frame; point = 0}
  here && /^ *\{"x": / {
    ++point
    match($0, /"x": [-0-9.]*, "y": [-0-9.]*/)
    if (NR == FNR) place[point] = substr($0, RSTART, RLENGTH)
    else $0 = substr($0, 1, RSTART - 1) place[point] substr($0, RSTART + RLENGTH)
    sub(/"origin": "[a-z]*"/, "\"origin\": \"artist\"")
  }
  NR != FNR' "$2" "$1" >"$1.tmp"
mv "$1.tmp" "$1"
