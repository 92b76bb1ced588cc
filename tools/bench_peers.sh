#!/bin/sh
# roto beside others on this machine: [PEERS=FOLDER] tools/bench_peers.sh BUILD [start-up|inference|training]...
#
# Without PEERS ours alone is measured.  PEERS is a folder with efficientnet_b0.onnx and _b5.onnx, node_modules/onnxruntime-node,
# onednn_convs (oneDNN's time for the convolutions of NET.shapes) and, there or above, torch_peer.py (PyTorch's training step).
# The networks run with the same weights: they are imported from the ONNX files.
#
# Machines are noisy, so what is compared takes turns: ROUNDS times (default 5) each side runs alone for ITERATIONS (default 10)
# inferences, and the medians of the rounds' medians are put side by side.  Peers that say their best step meet our best one.
# NETS and THREADS narrow it down ("efficientnet_b0", "1").  The table goes to BUILD/bench/results.txt, the same as JSON to
# results.json.  Run it on an otherwise idle machine.
set -u

build=$(cd "$1" && pwd) || exit 2
shift
[ $# -gt 0 ] || set -- start-up inference training
peers=${PEERS:+$(cd "$PEERS" && pwd)}
rounds=${ROUNDS:-5}
iterations=${ITERATIONS:-10}
counts=${THREADS:-1 2}
nets=${NETS:-efficientnet_b0 efficientnet_b5 demo/puppet}
here=$(pwd)
work=$build/bench
mkdir -p "$work"
rows=$work/rows
: >"$rows"

number() { sed -n 's/.*"'"$1"'":\([-0-9.e+]*\).*/\1/p' | tail -n 1; } # of a line of JSON
middle() { sort -g "$1" | awk '{v[NR] = $1} END {if (NR) print v[int((NR + 1) / 2)]}'; }
# row WHAT UNIT THREADS OURS PEER-NAME PEER SHARE: a line of the table; what is missing is -
row() {
  printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${4:--}" "$5" "${6:--}" "${7:--}" | tee -a "$rows" |
    awk -F'\t' '{printf "%s, %s threads: ours %s %s, %s %s\n", $1, $3, $4, $2, $5, $6}' >&2
}

ort() { # NET THREADS ITERATIONS: JSON of ONNX Runtime
  (cd "$peers" && node - "$@" <<'END'
const ort = require(process.cwd() + '/node_modules/onnxruntime-node');
const [, , net, threads, iterations] = process.argv, ms = from => Number(process.hrtime.bigint() - from) / 1e6;
(async () => {
  const start = process.hrtime.bigint();
  const session = await ort.InferenceSession.create(net + '.onnx', {intraOpNumThreads: +threads, interOpNumThreads: 1});
  const feed = {[session.inputNames[0]]: new ort.Tensor('float32', new Float32Array(3 * 224 * 224).fill(0.5), [1, 3, 224, 224])};
  await session.run(feed);
  const start_up_ms = ms(start), times = [];
  for (let i = 0; i < 3; i++) await session.run(feed);
  for (let i = 0; i < +iterations; i++) {
    const from = process.hrtime.bigint();
    await session.run(feed);
    times.push(ms(from));
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({start_up_ms, median_ms: times[times.length >> 1]}));
})();
END
  )
}

model() { # NET: the file to measure, imported once
  file=$work/$1.roto
  [ -f "$file" ] || "$build/roto-train" import "$peers/$1.onnx" -o "$file" >&2 || exit 1
  echo "$file"
}

# The same ready for int8: ranges from a rendered shot, once.
int8_model() { # FILE NET
  ranged=$work/$(basename "$2")_int8.roto
  if [ ! -f "$ranged" ] || [ "$1" -nt "$ranged" ]; then
    [ -d "$work/frames" ] || "$build/roto-train" demo -o "$work/frames" --frames 24 --size 224x224 --close --seed 77 >/dev/null 2>&1
    "$build/roto" model quantize "$1" --calibrate "$work/frames" -o "$ranged" >/dev/null 2>&1 || ranged=$1
  fi
  echo "$ranged"
}

start_up() {
  for threads in $counts; do
    for net in $nets; do
      case $net in demo/*) continue ;; esac
      [ -n "$peers" ] || continue
      file=$(model $net)
      ranged=$(int8_model "$file" $net)
      rm -f "$work"/*.times
      for round in $(seq "$rounds"); do
        ort $net $threads 1 | number start_up_ms >>"$work/peer.times"
        for kind in fp32 bf16 int8; do
          "$build/roto" bench --start-up --threads $threads --iterations 3 --precision $kind --json "$ranged" 2>/dev/null |
            number start_up_ms >>"$work/$kind.times"
        done
      done
      for kind in fp32 bf16 int8; do
        row "$net, start-up, $kind" ms $threads "$(middle "$work/$kind.times")" "ONNX Runtime fp32" "$(middle "$work/peer.times")" -
      done
    done
  done
}

inference() {
  for threads in $counts; do
    for net in $nets; do
      case $net in
        demo/*) file=$here/$net.roto ;;
        *)
          [ -n "$peers" ] || continue
          file=$(model $net)
          ;;
      esac
      rm -f "$work"/*.times "$work"/*.shares
      ranged=$(int8_model "$file" $net)
      for round in $(seq "$rounds"); do
        case $net in demo/*) ;; *) ort $net $threads "$iterations" | number median_ms >>"$work/peer.times" ;; esac
        for kind in fp32 bf16 int8 avx2; do
          case $kind in avx2) set -- --isa avx2 ;; *) set -- --precision $kind ;; esac
          if "$build/roto" bench "$ranged" --threads $threads --iterations "$iterations" --json "$@" >"$work/out" 2>/dev/null; then
            number median_ms <"$work/out" >>"$work/$kind.times"
            number share_of_peak <"$work/out" >>"$work/$kind.shares"
          fi
        done
      done
      peer=
      [ ! -f "$work/peer.times" ] || peer=$(middle "$work/peer.times")
      for kind in fp32 bf16 int8; do
        [ -f "$work/$kind.times" ] || continue
        row "$net, $kind" ms $threads "$(middle "$work/$kind.times")" "${peer:+ONNX Runtime fp32}" "$peer" "$(middle "$work/$kind.shares")"
      done
      row "$net, fp32, AVX2" ms $threads "$(middle "$work/avx2.times")" "ours, best" "$(middle "$work/fp32.times")" "$(middle "$work/avx2.shares")"
    done
  done
}

training() {
  torch=$peers/torch_peer.py
  [ -f "$torch" ] || torch=$peers/../torch_peer.py
  for threads in $counts; do
    for net in b0 b5; do
      case $nets in *$net*) ;; *) continue ;; esac
      batch=16
      [ $net = b0 ] || batch=8
      for precision in fp32 mixed; do
        "$build/roto-train" bench --net $net --batch $batch --threads $threads --precision $precision --size 224 --iterations 4 --json \
          >"$work/out" 2>/dev/null || continue
        ours=$(number min_ms <"$work/out") share=$(number share_of_peak <"$work/out")
        if [ $precision = mixed ]; then
          row "training $net, batch $batch, mixed" ms $threads "$ours" "ours, fp32" "$fp32" "$share"
          continue
        fi
        fp32=$ours convolutions= step=
        if [ -n "$peers" ]; then
          convolutions=$(cd "$peers" && ./onednn_convs efficientnet_$net $batch $threads f32 | sed -n 's/.*total \([0-9.]*\) ms.*/\1/p')
          [ ! -f "$torch" ] || step=$(cd "$peers" && /usr/bin/python3 "$torch" efficientnet_$net train-nhwc $batch $threads |
            sed -n 's/.*best step \([0-9.]*\) ms.*/\1/p')
        fi
        row "training $net, batch $batch, fp32" ms $threads "$ours" PyTorch "$step" "$share"
        row "training $net, batch $batch, fp32" ms $threads "$ours" "oneDNN, convolutions alone" "$convolutions" "$share"
      done
    done
  done
}

for part in "$@"; do
  case $part in
    start-up) start_up ;;
    inference) inference ;;
    training) training ;;
    *) echo "ERROR: expected start-up, inference or training, found '$part'" >&2; exit 2 ;;
  esac
done

awk -F'\t' '
  function ratio() { return $4 > 0 && $6 > 0 ? sprintf("%.2f", $4 / $6) : "-" }
  function value(v) { return v == "-" ? "-" : sprintf("%.2f", v) }
  BEGIN {
    format = "| %-44s | %7s | %9s | %-26s | %9s | %5s | %13s |\n"
    printf format, "what, milliseconds", "threads", "roto", "peer", "peer", "ratio", "share of peak"
    printf "|---|---|---|---|---|---|---|\n"
  }
  {printf format, $1, $3, value($4), $5, value($6), ratio(), $7 == "-" ? "-" : sprintf("%.0f %%", 100 * $7)}
' "$rows" | tee "$work/results.txt"
awk -F'\t' '
  function value(v) { return v == "-" ? "null" : v + 0 }
  BEGIN {printf "["}
  {
    ratio = ($4 > 0 && $6 > 0) ? $4 / $6 : "null"
    printf("%s\n{\"what\":\"%s\",\"unit\":\"%s\",\"threads\":%d,\"ours\":%s,", NR == 1 ? "" : ",", $1, $2, $3, value($4))
    printf("\"peer_name\":\"%s\",\"peer\":%s,\"ratio\":%s,\"share_of_peak\":%s}", $5, value($6), ratio, value($7))
  }
  END {print "\n]"}
' "$rows" >"$work/results.json"
rm -f "$work/out" "$work"/*.times "$work"/*.shares
