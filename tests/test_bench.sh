#!/bin/sh
# `roto bench` and `roto-train bench`: tests/test_bench.sh FOLDER, where FOLDER holds the programs.
#
# How fast they are is nobody's promise on a busy machine; that the figures are there, agree with each other and with the
# model, and lie where a measurement can lie, is checked here.
set -u

. tests/check.sh
valid=$top/model_format/valid

# expect STATUS PATTERN PROGRAM ARGUMENT...: the exit status must be this, stdout and stderr together must match.
expect() {
  status=$1 pattern=$2 program=$3
  shift 3
  runs "$status" "$pattern" "$build/$program" "$@"
}
value() { sed -n 's/.*"'"$1"'":\([-0-9.e+]*\).*/\1/p' out; } # the last one of that name
# true EXPRESSION: of awk, with @name standing for the number of that name in out.
true() {
  expression=$1
  while :; do
    name=$(echo "$expression" | sed -n 's/[^@]*@\([a-z_0-9]*\).*/\1/p')
    [ -n "$name" ] || break
    number=$(value "$name")
    [ -n "$number" ] || { fail "no number '$name' for: $1"; return; }
    expression=$(echo "$expression" | sed "s/@$name\\>/$number/")
  done
  if awk "BEGIN {exit !($expression)}"; then pass; else fail "$1: $expression"; fi
}
lines() { grep -o "\"$1\":" out | wc -l; } # how often a name occurs in out

model=$valid/all.roto
printf 'not a model' >bad.roto
for isa in scalar avx2 avx512; do
  expect 0 '^\{"median_ms":' roto bench --model "$model" --threads 1 --iterations 5 --isa $isa --json
  true '@median_ms >= @min_ms && @min_ms > 0'
  true '@gflops > 0 && @workspace_mib > 0 && @peak_memory_mib > @workspace_mib && @peak_memory_mib < 200'
  if grep -q '"isa":"scalar"' out; then
    if grep -q '"share_of_peak":null' out; then pass; else fail 'plain C has no peak'; fi
  else
    true '@share_of_peak > 0 && @share_of_peak < 1.1 && @peak_gflops > 1 && @copy_gb_per_s > 0.1'
  fi
done
expect 0 '"threads":2' roto bench --model "$model" --threads 2 --iterations 3 --profile --json
if [ "$(lines step)" -gt 3 ] && [ "$(lines step)" = "$(lines share_of_roof)" ]; then pass; else fail 'steps of the profile'; fi
adds=$(grep -o '"multiply_adds":[0-9]*' out | awk -F: '{sum += $2} END {print sum}')
expect 0 "\"multiply_adds\":$adds," roto model info "$model" --json
expect 0 'all steps: .* at their roofs' roto bench "$model" --threads 1 --iterations 3 --profile --isa scalar
expect 0 '^\{"start_up_ms":' roto bench "$model" --threads 1 --iterations 3 --start-up --json
true '@process_ms >= @start_up_ms && @start_up_ms >= @min_ms && @min_ms > 0.05 && @min_ms < 5000'
if "$build/roto" bench "$model" --threads 1 --once >out 2>err && grep -q ': predicted [-0-9]' out && [ ! -s err ]; then pass; else fail '--once'; fi
expect 4 'ERROR: nowhere.roto: ' roto bench nowhere.roto --start-up
expect 1 'ERROR: .*bad.roto: ' roto bench bad.roto --start-up --iterations 1
expect 0 'ms median' roto bench "$model" --threads 1 --iterations 2 --roofline line.svg
cp line.svg out
if [ "$(head -c 5 out)" = '<svg ' ] && tail -n 1 out | grep -q '^</svg>$' && [ "$(grep -c '<circle.*<title>.* ms</title>' out)" -gt 2 ]; then
  pass
else
  fail 'line.svg is no roofline'
fi
expect 5 'ERROR: no/such/folder.svg' roto bench "$model" --threads 1 --iterations 2 --roofline no/such/folder.svg
expect 2 'ERROR: --precision expects' roto bench --model "$model" --precision int3
expect 4 'ERROR: .*int8 needs a model with ranges' roto bench --model "$model" --precision int8
expect 1 'needs AVX-512' roto bench --model "$model" --precision bf16 --isa avx2
for precision in bf16 int8; do
  if "$build/roto" bench --model "$valid/ranges.roto" --threads 1 --iterations 3 --precision $precision --json >out 2>err; then
    true '@median_ms >= @min_ms && @min_ms > 0 && @share_of_peak > 0 && @share_of_peak < 1.1'
    if grep -q "\"precision\":\"$precision\"" out; then pass; else fail "$precision is not what was measured"; fi
  else
    echo "skipped: $precision, which this machine lacks"
    grep -q 'needs AVX-512' err || fail "$precision"
  fi
done
# Ranges from frames, and the model that runs in int8 with them; the self-test of every table and precision.
expect 2 'ERROR: quantize needs --calibrate' roto model quantize "$model" -o int8.roto
expect 3 'ERROR: .*nowhere' roto model quantize "$model" --calibrate nowhere -o int8.roto
expect 0 '' roto-train demo -o shot --frames 6 --size 128x128 --close --seed 7
expect 0 'int8 is off by' roto model quantize "$top/demo/puppet.roto" --calibrate shot -o int8.roto
expect 0 '"passed":true' roto model selftest int8.roto --json
expect 0 'can run in int8' roto model info int8.roto
expect 2 'ERROR: --iterations expects' roto bench --model "$model" --iterations 0
expect 2 'ERROR: --threads expects' roto bench --model "$model" --threads -1
expect 2 'ERROR: --isa expects' roto bench --model "$model" --isa sse9
expect 2 'ERROR: expected one model' roto bench
expect 4 'ERROR: nowhere.roto: .*cannot be opened' roto bench nowhere.roto
expect 4 'ERROR: bad.roto: ' roto bench --model bad.roto --json

expect 0 '^\{"step_ms":' roto-train bench --net tiny --size 64 --batch 2 --threads 1 --iterations 3 --json
true '@step_ms >= @min_ms && @min_ms > 0 && @samples_per_s * @step_ms > 1999 && @samples_per_s * @step_ms < 2001'
true '@peak_memory_mib > 1 && @peak_memory_mib < 1000 && @gflops > 0'
if grep -q '"isa":"scalar"' out; then pass; else true '@share_of_peak > 0 && @share_of_peak < 1.1'; fi
expect 0 '"op":"conv","pass":"backward_weights"' \
  roto-train bench --net b0 --size 32 --batch 1 --points 5 --threads 2 --iterations 1 --profile --json
true '@loss_ms >= 0 && @optimizer_ms > 0'
if [ "$(lines pass)" -gt 400 ] && [ "$(lines pass)" = "$(lines share_of_roof)" ]; then pass; else fail 'passes of the profile'; fi
expect 0 'forward .* ms, backward .* ms, loss .* ms, optimizer .* ms' \
  roto-train bench --net tiny --size 32 --batch 1 --threads 1 --iterations 1 --profile
if grep -q avx512_bf16 /proc/cpuinfo; then
  for net in tiny b0; do
    expect 0 '"precision":"mixed"' roto-train bench --net $net --size 64 --batch 3 --threads 2 --iterations 1 --precision mixed --json
  done
else
  expect 1 'ERROR: --precision mixed needs .*AVX512-BF16' roto-train bench --net tiny --size 64 --batch 2 --precision mixed
fi
# An epoch of the paper's 2374 samples; and memory, which recomputing saves.
expect 0 '"recompute":false' roto-train bench --net b0 --size 96 --batch 16 --points 5 --threads 1 --iterations 1 --json
true '@paper_epoch_s > 2.37 * @step_ms / 16.001 && @paper_epoch_s < 2.38 * @step_ms / 15.999 && @gflops_per_core == @gflops'
kept=$(value peak_memory_mib)
expect 0 '"recompute":true' roto-train bench --net b0 --size 96 --batch 16 --points 5 --threads 1 --iterations 1 --recompute --json
true "@peak_memory_mib < 0.9 * $kept"
expect 0 '^example:' roto-train bench --help
expect 2 'ERROR: --precision expects' roto-train bench --precision int8
expect 2 'ERROR: --batch and' roto-train bench --batch 0
expect 2 'ERROR: unknown network .no-such' roto-train bench --net no-such
expect 2 'ERROR: ' roto-train bench --net no-such --size 32
expect 2 "ERROR: unexpected argument 'b0'" roto-train bench b0

# What is promised of sizes, without debugging information: roto.h compiled 400 KB, the static program 3 MB.
smaller() { # FILE BYTES
  strip -g -o stripped "$1" && size=$(wc -c <stripped) || size=$(($2 + 1))
  if [ "$size" -le "$2" ]; then pass; else fail "$1 takes $size bytes, at most $2 are promised"; fi
}
if nm "$build/roto" 2>/dev/null | grep -Eq '__(a|t|ub)san_'; then
  skip 'the size of roto.h: sanitizers change it'
  skip 'the size of the program: sanitizers change it'
else
  smaller "$build/roto.o" 409600
  smaller "$build/roto" 3145728
fi

finish test_bench
