"""A worker without Blender, which takes long to start, that fails: see `misbehaving`. Its frames are black."""

from __future__ import annotations

import json
import sys
from typing import Any

from compiling_worker import answer
from misbehaving import misbehave

from blender_scenes.parent import die_with_parent
from datagen.io.child import send_answer

if __name__ == "__main__":
    die_with_parent()
    out = sys.stdout.buffer
    send_answer(out, {"ready": True})
    settings: list[Any] = [None]
    for line in sys.stdin.buffer:
        misbehave(json.loads(line).get("index"))
        send_answer(out, *answer(line, settings, "CPU"))
