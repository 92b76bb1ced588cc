"""A long shot from a short one: lengthen.py SHOT.roto.json COUNT OUT.roto.json

The frames go there and back until there are COUNT of them, numbered from 1001; plates are links beside OUT."""

import json
import os
import re
import sys

path, count, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
doc = json.load(open(path))
short, folder = doc['frames'], os.path.dirname(os.path.abspath(out))
turn = 2 * (len(short) - 1)
frames = []
for t in range(count):
    back = t % turn >= len(short) - 1
    k = turn - t % turn if back else t % turn
    frame = json.loads(json.dumps(short[k]))
    frame['frame'] = 1001 + t
    for i, point in enumerate(frame['points']):
        if back and k and 'flow' in short[k - 1]['points'][i]:  # what led here leads away
            flow = short[k - 1]['points'][i]['flow']
            point['flow'] = [-flow[0], -flow[1], flow[2]]
    frames.append(frame)
    link = os.path.join(folder, 'plate.%04d.png' % frame['frame'])
    if not os.path.lexists(link):
        plate = re.sub('#+', lambda m: '%0*d' % (len(m.group()), short[k]['frame']), doc['plate']['pattern'])
        os.symlink(os.path.abspath(plate), link)
doc['frames'] = frames
doc['plate']['pattern'] = os.path.join(folder, 'plate.####.png')
json.dump(doc, open(out, 'w'))
