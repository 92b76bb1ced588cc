"""Adds to a document of a rendered shot what exporters must cope with: vary.py TRUTH.roto.json OUT.roto.json

The left eye hides and comes back, one seam comes late, another leaves early, a frame is not in the document, one eyebrow stands
still, both eyebrows have a feather, of which one changes along the outline and over time."""

import json
import sys

doc = json.load(open(sys.argv[1]))
frames = doc['frames']
still = frames[0]['shapes']['left_eyebrow']
for i, frame in enumerate(frames):
    shapes = frame['shapes']
    if 7 <= i < 11:
        shapes['left_eye']['visible'] = False
    if i < 3:
        del shapes['nose_seam']
    if i > len(frames) - 4:
        del shapes['left_seam']
    if i == 16:
        del shapes['right_seam']  # for a single frame
    shapes['left_eyebrow'] = dict(still, feather=2.5)
    shapes['right_eyebrow']['feather'] = [1 + 0.25 * k + 0.05 * i for k in range(len(shapes['right_eyebrow']['segments']))]
del frames[14]
frames[5]['points'][3]['visible'] = False
json.dump(doc, open(sys.argv[2], 'w'))
