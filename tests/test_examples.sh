#!/bin/sh
# The example models and the fuzz corpus: tests/test_examples.sh FOLDER, where FOLDER holds the programs.
#
# The files of model_format/ must be those that make_models writes; and every file, valid or not, must go through the fuzz
# target without a crash.
set -u

out=$1/examples
rm -rf "$out"
mkdir -p "$out"
passed=0
failed=0
"$1/tests/make_models" "$out" >"$out/log" 2>&1 || cat "$out/log"
for file in model_format/valid/* model_format/invalid/*; do
  if cmp "$file" "$out/${file#model_format/}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
"$1/tests/fuzz_replay" tests/fuzz/corpus/* model_format/valid/*.roto model_format/invalid/*.roto >"$out/log" 2>&1 || cat "$out/log"
counts=$(sed -n 's/^fuzz_replay: \([0-9]*\) passed, \([0-9]*\) failed.*/\1 \2/p' "$out/log")
set -- ${counts:-0 1}
echo "test_examples: $((passed + $1)) passed, $((failed + $2)) failed, 0 skipped"
[ $((failed + $2)) = 0 ]
