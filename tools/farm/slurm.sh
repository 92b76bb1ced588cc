#!/bin/sh
# A shot as a Slurm array: slurm.sh SHARDS MODEL CROPS OUT.roto.json FRAMES...
#
# Submits SHARDS tasks, each of which does its part of the frames, and a job after them that joins what they wrote; prints the
# numbers of both jobs.  SMOOTH is full (default), causal or off.  The threads of a task are those Slurm grants it (SLURM_CPUS_PER_TASK, from CPUS=N, default 2).  A task
# that is requeued does only what is not done yet.
set -eu

shards=$1 model=$2 crops=$3 out=$4
shift 4
roto=${ROTO:-$(command -v roto)}
part=${out%.roto.json}
smooth=${SMOOTH:-full}
mkdir -p "${LOGS:=logs}"

# Each word in quotes, for the shell that runs the job.
quote() {
  for word in "$@"; do printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done
}

array=$(sbatch --parsable --job-name=roto --array="1-$shards" --cpus-per-task="${CPUS:-2}" --output="$LOGS/roto.%A_%a.log" \
  --wrap "out=$(quote "$part"); exec $(quote "$roto" run "$@" --model "$model" --crops "$crops" --smooth "$smooth") --skip-existing \
--shard \$SLURM_ARRAY_TASK_ID/$shards -o \"\$out.\${SLURM_ARRAY_TASK_ID}of$shards.roto.json\"")
parts=
for i in $(seq "$shards"); do parts="$parts $(quote "$part.${i}of$shards.roto.json")"; done
merge=$(sbatch --parsable --job-name=roto-merge --dependency="afterok:$array" --kill-on-invalid-dep=yes \
  --output="$LOGS/roto-merge.%j.log" --wrap "exec $(quote "$roto") merge $parts $(quote --smooth "$smooth" --model "$model" -o "$out")")
echo "$array $merge"
