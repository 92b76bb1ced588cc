#!/bin/sh
# tools/farm/slurm.sh on a Slurm of one node: tests/check_slurm.sh FOLDER, where FOLDER holds the programs.  As root.
#
# Starts munged, slurmctld and slurmd with a configuration of its own in a temporary folder, submits a shot of 8 frames in 3
# shards, waits for the job that joins them, and compares with a single run.  Ends what it started.
set -eu

build=$(cd "$1" && pwd)
root=$(pwd)
work=$(mktemp -d)
chmod 755 "$work"
pids=
finish() {
  for pid in $pids; do kill "$pid" 2>/dev/null || :; done
  [ -n "${KEEP:-}" ] || { sleep 1 && rm -rf "$work"; }
}
trap finish EXIT
cd "$work"
passed=0
failed=0
check() { # WHAT COMMAND...
  what=$1
  shift
  if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "FAILED: $what"; fi
}

host=$(hostname -s)
mkdir state spool munge logs
chmod 700 munge
dd if=/dev/urandom of=munge/key bs=1 count=1024 2>/dev/null
chmod 600 munge/key
cat >slurm.conf <<CONF
ClusterName=roto
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CredType=cred/munge
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=10 State=UP
CONF
export SLURM_CONF="$work/slurm.conf"
/usr/sbin/munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
  --log-file="$work/munge/log" --seed-file="$work/munge/seed" >munged.out 2>&1 &
pids="$pids $!"
sleep 1
/usr/sbin/slurmctld -D -i >slurmctld.out 2>&1 &
pids="$pids $!"
/usr/sbin/slurmd -D >slurmd.out 2>&1 &
pids="$pids $!"
for i in $(seq 30); do
  ! sinfo -h -o %t 2>/dev/null | grep -q idle || break
  sleep 1
done
sinfo -h -o %t | grep -q idle || {
  echo "FAILED: Slurm does not start"
  tail -n 5 munged.out slurmctld.log slurmd.log slurmctld.out slurmd.out
  exit 1
}

"$build/roto-train" demo -o shot --frames 8 --first-frame 1001 --seed 5150 >demo.log 2>&1
plate='shot/image-shot0-frame####.png'
jobs=$(ROTO=$build/roto CPUS=1 sh "$root/tools/farm/slurm.sh" 3 "$root/demo/puppet.roto" shot/crop.json farm.roto.json "$plate")
merge=${jobs#* }
for i in $(seq 90); do
  [ -n "$(squeue -h -j "$merge" 2>/dev/null)" ] || break
  sleep 1
done
check 'the joined document' test -s farm.roto.json
check 'three shards' test -s farm.1of3.roto.json -a -s farm.2of3.roto.json -a -s farm.3of3.roto.json
"$build/roto" run "$plate" --model "$root/demo/puppet.roto" --crops shot/crop.json --smooth full -o single.roto.json >single.log
check 'the same as a single run' cmp farm.roto.json single.roto.json
check 'progress in the logs' grep -q '^Progress: 100%' logs/roto.*_1.log
check 'threads from SLURM_CPUS_PER_TASK' grep -q '1 thread' logs/roto.*_1.log
[ $failed = 0 ] || tail -n 20 logs/* slurmctld.log slurmd.log
echo "check_slurm: $passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
