#!/usr/bin/env python3
"""A shot as an OpenCue job: opencue.py SHOW SHOT SHARDS MODEL CROPS OUT.roto.json FRAMES...

Needs OpenCue's pyoutline.  A layer of SHARDS frames, each a part of the shot's frames, then a layer that joins what they wrote.
roto takes its threads from CUE_THREADS, ends with 0 only if all is on disk, and prints `Progress: N%`.  Exit statuses 1 to 5 and
128 + signal are none that OpenCue gives a meaning of its own (33 out of memory, 137 and above 255 internal).  Not run in OpenCue
by the tests.
"""
import sys

import outline
import outline.cuerun
from outline.modules.shell import Shell


def main(show, shot, shards, model, crops, out, *frames):
    part = out[: -len(".roto.json")] if out.endswith(".roto.json") else out
    job = outline.Outline("roto", shot=shot, show=show)
    find = Shell(
        "find",
        command=["roto", "run", *frames, "--model", model, "--crops", crops, "--smooth", "full", "--skip-existing",
                 "--shard", f"#IFRAME#/{shards}", "-o", f"{part}.#IFRAME#of{shards}.roto.json"],
        range=f"1-{shards}", threads=2, threadable=True,
    )
    join = Shell(
        "join",
        command=["roto", "merge", *(f"{part}.{i}of{shards}.roto.json" for i in range(1, int(shards) + 1)),
                 "--smooth", "full", "--model", model, "-o", out],
        range="1-1",
    )
    job.add_layer(find)
    job.add_layer(join)
    join.depend_all(find)
    outline.cuerun.launch(job, use_pycuerun=False)


if __name__ == "__main__":
    if len(sys.argv) < 8:
        sys.exit(__doc__)
    main(*sys.argv[1:])
