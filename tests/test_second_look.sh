#!/bin/sh
# A model that looks twice, from training to a corrected shot: tests/test_second_look.sh FOLDER, where FOLDER holds the programs.
# The networks are as small as can be: what is tested is that both looks come through each command, not what they see.
set -u

. tests/check.sh

train=$build/roto-train
roto=$build/roto
net='--net=act relu conv 3 2 8 conv 3 2 8 points 3'
few='--size 32 --epochs 1 --batch 4'

runs 0 . "$train" demo -o film --shots 2 --frames 3 --size 96x96 --close --seed 70
runs 0 'wrote once.roto' "$train" landmarks film $few "$net" -o once.roto
runs 0 'input +64 x 64' sh -c "'$train' landmarks film --size 64 --epochs 1 --batch 4 '$net' -o large.roto >/dev/null && '$roto' model info large.roto"
runs 0 'wrote twice.roto' "$train" landmarks --second once.roto film --looks 2 $few "$net" -o twice.roto
runs 0 'second look  2 crops' "$roto" model info twice.roto
runs 0 '"second_look_crops":\s*2' "$roto" model info twice.roto --json
runs 0 'agree' "$roto" model selftest twice.roto
runs 0 'nme_percent' "$train" eval --model once.roto --data film --json
before=$(cat out)
runs 0 'nme_percent' "$train" eval --model twice.roto --data film --json
if [ "$before" != "$(cat out)" ]; then pass; else fail 'the second look changes nothing'; fi
runs 0 . "$roto" run film/shot0 --model twice.roto --crops film/shot0/crop.json -o shot.roto.json

# Frames of the size that cameras have: the second look is at the frame itself, not at what the first saw of it.
runs 0 . "$train" demo -o large --frames 2 --size 2348x1566 --seed 71
runs 0 '2 frames, 27 points' "$roto" run large --model twice.roto --crops large/crop.json --smooth full -o large.roto.json
runs 0 '2 frames, 27 points' "$roto" run large --model once.roto --crops large/crop.json --smooth full -o large_once.roto.json
if cmp -s large.roto.json large_once.roto.json; then fail 'the second look changes nothing in large frames'; else pass; fi
runs 0 'rmse_px' "$roto" eval large.roto.json --truth large --json

# A frame that an artist mended adapts both looks; what was needed on the way is gone afterwards, and when it goes wrong.
awk 'index($0, "{\"frame\": ") {mended = /"frame": 1,/} {if (!mended) sub(/"origin": "artist"/, "\"origin\": \"predicted\""); print}' \
  film/shot0/truth.roto.json >fixed.roto.json
runs 0 '1 corrected frames' "$train" character --finetune twice.roto --from fixed.roto.json -o adapted.roto --epochs 1 --batch 4
runs 0 'second look  2 crops' "$roto" model info adapted.roto
if [ "$(echo adapted*)" = 'adapted.roto adapted.roto.csv adapted.roto.png' ]; then pass; else fail "left behind: $(echo adapted*)"; fi
mv film/shot0/image-shot0-frame001.png gone.png
runs 3 'frame001' "$train" character --finetune twice.roto --from fixed.roto.json -o broken.roto --epochs 1 --batch 4
if [ "$(echo broken*)" = 'broken*' ]; then pass; else fail "left behind: $(echo broken*)"; fi

finish test_second_look
