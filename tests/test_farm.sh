#!/bin/sh
# `roto` on a render farm, and what goes wrong there: tests/test_farm.sh FOLDER, where FOLDER holds the program.
#
# Shards that are joined are a single run to the byte; frames that are done are not done again; threads are those the farm grants;
# an empty root folder is enough; and a full disk, a folder that cannot be written, a damaged frame, a stop, or a second run on the
# same document end with a clear message and without loss.
set -u

. tests/check.sh

roto=$build/roto
valid=$top/model_format/valid
trap 'umount "$work/disk" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"
unset CUE_THREADS SLURM_CPUS_PER_TASK NSLOTS OMP_NUM_THREADS

no_leftovers() {
  if [ -z "$(find . -name '*.tmp')" ]; then pass; else fail "left behind: $(find . -name '*.tmp')"; fi
}

picture() { # FILE SEED
  { printf 'P6\n24 16\n255\n' && awk -v s="$2" 'BEGIN {for (i = 0; i < 1152; ++i) printf "%c", 33 + (i * s + i % 7) % 90}'; } >"$1"
}
mkdir plate
for i in 0 1 2 3 4 5 6 7 8 9; do picture plate/sh.100$i.ppm $((i + 1)); done
cp "$valid/all.roto" model.roto
run() { echo "$roto" run plate/sh.####.ppm --model model.roto --crop 2,2,12,12; }

# Shards.
runs 0 '10 frames' $(run) --smooth full -o whole.roto.json
for i in 1 2 3; do runs 0 'frames, 2 points' $(run) --shard $i/3 --smooth full -o part.$i.roto.json; done
if grep -q '"smoothed"' part.1.roto.json; then fail 'a part of a shot was smoothed'; else pass; fi
runs 0 '10 frames, from 3 documents' "$roto" merge part.2.roto.json part.1.roto.json part.3.roto.json --smooth full -o joined.roto.json
same joined.roto.json whole.roto.json
runs 0 '10 frames, from 3 documents' "$roto" merge part.*.roto.json --smooth full -o joined.roto.json
same joined.roto.json whole.roto.json
for i in 1 2 3; do runs 0 'frames, 2 points' $(run) --shard $i/3 -o still.$i.roto.json; done # motion is left to merge
runs 0 '10 frames, from 3 documents' "$roto" merge still.*.roto.json --smooth full -o joined.roto.json
same joined.roto.json whole.roto.json
sed '0,/"x": [-0-9.]*\(.*\)"smoothed"/s//"x": 7.125\1"artist"/' whole.roto.json >joined.roto.json
runs 0 '10 frames' "$roto" merge part.*.roto.json --smooth full -o joined.roto.json
if grep -q '"x": 7.125.*"artist"' joined.roto.json; then pass; else fail "merge lost the artist's point"; fi
cp joined.roto.json edited.roto.json
runs 0 '1 points set by an artist' "$roto" smooth edited.roto.json # merge has smoothed already
same joined.roto.json edited.roto.json
runs 0 'shard 1/20 has no frames' $(run) --shard 1/20 -o none.roto.json
runs 3 'part.1.roto.json: frame 1000 is in another' "$roto" merge part.1.roto.json part.1.roto.json -o no.roto.json
sed 's/"pattern": "plate/"pattern": "other/; s/sh\.####/tk.####/' part.2.roto.json >alien.roto.json
runs 3 'alien.roto.json: is of another plate' "$roto" merge part.1.roto.json alien.roto.json -o no.roto.json
sed 's/"transfer": "srgb"/"transfer": "logc3"/' part.2.roto.json >log.roto.json
runs 3 'log.roto.json: was made with --input-transfer logc3' "$roto" merge part.1.roto.json log.roto.json -o no.roto.json
for bad in 0/3 4/3 1 a/b 1/3x; do runs 2 "shard expects I/N" $(run) --shard $bad -o no.roto.json; done
runs 2 'follow needs all frames' $(run) --shard 1/2 --follow -o no.roto.json
runs 2 'hold needs the frame before' $(run) --shard 1/2 --missing hold -o no.roto.json
if [ -e no.roto.json ] || [ -e none.roto.json ]; then fail 'a refused command wrote a document'; else pass; fi

# What is done is not done again: the frames that are there need not even be readable.
runs 0 '4 frames' $(run) --smooth full --range 1000-1003 -o doc.roto.json
mkdir away && mv plate/sh.1001.ppm away/
runs 0 '10 frames' $(run) --smooth full --range 1000-1009 --skip-existing -o doc.roto.json
same doc.roto.json whole.roto.json
runs 0 'has all frames already' $(run) --smooth full --range 1000-1009 --skip-existing -o doc.roto.json
mv away/sh.1001.ppm plate/
cp alien.roto.json other.roto.json
runs 3 'other.roto.json: is of another plate.*cannot go on' $(run) --skip-existing -o other.roto.json
same other.roto.json alien.roto.json
runs 3 'made with --input-transfer srgb.*cannot go on' $(run) --skip-existing --input-transfer raw -o doc.roto.json

# A document from another plate: without an artist's work it is of no use and replaced; with it, it is kept and the run refuses.
sed 's/"predicted"/"artist"/' alien.roto.json >other.roto.json
cp other.roto.json kept.roto.json
runs 5 'other.roto.json: holds [0-9]* points or shapes set by an artist, but for another plate; write to another file' \
  $(run) -o other.roto.json
same other.roto.json kept.roto.json
runs 5 'other.roto.json: holds .* another plate' "$roto" merge part.1.roto.json -o other.roto.json
same other.roto.json kept.roto.json

# Threads.
threads() { # NUMBER COMMAND...
  number=$1
  shift
  runs 0 "\"threads\":$number," "$@" $(run) --json -o t.roto.json $more
}
more=
threads 1 env CUE_THREADS=1 SLURM_CPUS_PER_TASK=2 NSLOTS=3
threads 2 env SLURM_CPUS_PER_TASK=2 NSLOTS=3
threads 3 env NSLOTS=3
if command -v taskset >/dev/null; then threads 1 taskset -c 0; else skip 'taskset is not there'; fi
more='--threads 4'
threads 4 env CUE_THREADS=1

# Nothing but the program, the model and frames.
if nm "$roto" 2>/dev/null | grep -Eq '__(a|t|ub)san_'; then sanitized=1; else sanitized=; fi
if [ -n "$sanitized" ]; then
  skip 'an empty root folder: sanitizers link dynamically'
elif [ "$(id -u)" = 0 ]; then
  mkdir -p jail/shot
  cp "$roto" model.roto jail/
  cp plate/sh.100[0-3].ppm jail/shot/
  runs 0 '4 frames' chroot jail /roto run shot --model model.roto --crop 2,2,12,12 -o shot.roto.json --sheet sheet.png
  if [ -s jail/shot.roto.json ] && [ -s jail/sheet.png ]; then pass; else fail 'no document in the jail'; fi
else
  skip 'an empty root folder needs root'
fi

# A folder that cannot be written (root may write anywhere).
mkdir locked
cp whole.roto.json locked/doc.roto.json
chmod 555 locked
if [ "$(id -u)" != 0 ]; then
  runs 5 'locked' $(run) -o locked/doc.roto.json
elif command -v setpriv >/dev/null; then
  cp "$roto" nobodys_roto
  runs 5 'locked/.*cannot be written' setpriv --reuid 65534 --clear-groups ./nobodys_roto run plate --model model.roto \
    --crop 2,2,12,12 -o locked/doc.roto.json
else
  skip 'setpriv is not there'
fi
same locked/doc.roto.json whole.roto.json

# A disk that is full: here no file may grow beyond 512 or 1024 bytes.
cp whole.roto.json doc.roto.json
limited() { sh -c 'ulimit -f 1; exec "$@"' limited "$@"; }
if [ -n "$sanitized" ]; then # its threads need a file of shared memory
  skip "a limit on the size of files: clang's OpenMP needs a larger one"
else
  limited $(run) --range 1003 -o doc.roto.json >/dev/null 2>err
  if [ $? = 5 ] && grep -q '^ERROR: doc.roto.json: cannot write it: File too large' err; then pass; else fail 'a document that does not fit'; fi
  same doc.roto.json whole.roto.json
  no_leftovers
  limited $(run) --range 1003 --preview views -o small.roto.json >/dev/null 2>err
  if [ $? = 5 ] && [ ! -e small.roto.json ]; then pass; else fail 'a document that does not fit, with previews'; fi
  no_leftovers
fi
# The same on a disk of its own, filled to the last page.
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=128k tmpfs disk 2>/dev/null; then
  cp whole.roto.json disk/doc.roto.json
  dd if=/dev/zero of=disk/filler bs=4096 2>/dev/null
  runs 5 'disk/.*No space left' $(run) --range 1003 -o disk/doc.roto.json
  same disk/doc.roto.json whole.roto.json
  truncate -s -8192 disk/filler
  runs 5 'No space left.*|previews' $(run) --preview disk/views --sheet disk/sheet.png -o previewed.roto.json
  for file in $(find disk -name '*.png'); do
    if [ "$(tail -c 8 "$file" | head -c 4)" = IEND ]; then pass; else fail "$file is not whole"; fi
  done
  no_leftovers
  umount disk
else
  skip 'a small disk of its own needs root'
fi

# A damaged frame in the middle.
cp plate/sh.1005.ppm good.ppm
head -c 700 good.ppm >plate/sh.1005.ppm
runs 3 'ERROR: plate/sh.1005.ppm: truncated.*copy the file anew' $(run) -o doc.roto.json
same doc.roto.json whole.roto.json
runs 0 'WARNING: plate/sh.1005.ppm.*held' $(run) --missing hold -o held.roto.json
cp good.ppm plate/sh.1005.ppm
runs 0 '10 frames' $(run) --smooth full --skip-existing -o held.roto.json
same held.roto.json whole.roto.json

# Two runs on one document at a time, and an artist who saves meanwhile: all of it is in the end.  The runs wait for a frame each.
cp edited.roto.json doc.roto.json
rm doc.roto.json
mkfifo plate/sh.2001.ppm plate/sh.3001.ppm
$(run) --range 1000-1004,2001 -o doc.roto.json >out1 2>err1 &
first=$!
$(run) --range 1005-1009,3001 -o doc.roto.json >out2 2>err2 &
second=$!
sleep 0.3
sed -n '1,/^  "frames"/p' edited.roto.json >doc.roto.json # the artist's document: frame 1000 alone
awk '/"frame": 1000,/ {on = 1} /"frame": 1001,/ {on = 0} on' edited.roto.json | sed '$ s/,$//' >>doc.roto.json
printf '  ]\n}\n' >>doc.roto.json
cat good.ppm >plate/sh.2001.ppm
cat good.ppm >plate/sh.3001.ppm
wait $first && wait $second
if [ $? = 0 ]; then pass; else fail "two runs at a time: $(cat err1 err2)"; fi
if [ "$(grep -c '"frame"' doc.roto.json)" = 12 ]; then pass; else fail "$(grep -c '"frame"' doc.roto.json) of 12 frames of two runs"; fi
if grep -q '"x": 7.125.*artist' doc.roto.json; then pass; else fail "the artist's point is lost"; fi
no_leftovers

# A stop in the middle leaves no document; a stop in the middle of previews a whole one, and whole pictures.
stop() { # HOW OFTEN the last frame is to be read
  rm -f plate/sh.4001.ppm
  mkfifo plate/sh.4001.ppm
  $(run) --range 1000-1009,4001 --threads 1 --preview stopped -o stopped.roto.json >out 2>err &
  process=$!
  sleep 0.3
  [ "$1" = 1 ] || { timeout 20 sh -c 'cat good.ppm >plate/sh.4001.ppm' && sleep 0.3; }
  kill -TERM $process
  timeout 20 sh -c 'cat good.ppm >plate/sh.4001.ppm'
  wait $process
  if [ $? = 143 ]; then pass; else fail 'SIGTERM must end with 143'; fi
  no_leftovers
}
stop 1
if [ -e stopped.roto.json ]; then fail 'a stopped run wrote a document'; else pass; fi
stop 2
if [ "$(grep -c '"frame"' stopped.roto.json)" = 11 ]; then pass; else fail 'a run stopped at its previews has no document'; fi
for file in stopped/*.png; do
  if [ "$(tail -c 8 "$file" | head -c 4)" = IEND ]; then pass; else fail "$file is not whole"; fi
done
rm plate/sh.4001.ppm stopped/sh.1004.png
cp stopped/sh.1003.png kept.png
runs 0 'has all frames already' $(run) --range 1000-1009 --skip-existing --preview stopped -o stopped.roto.json # goes on
if [ "$(ls stopped/sh.100?.png | wc -l)" = 10 ]; then pass; else fail 'previews that were not there are not drawn'; fi
same stopped/sh.1003.png kept.png

finish test_farm
