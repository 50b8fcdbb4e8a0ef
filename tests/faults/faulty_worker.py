"""A worker that fails inside Blender, for tests: ``FAULTS`` in the environment is a JSON object from a sample's index to its fault.

``crash`` and ``hang`` happen every time, ``crash once`` and ``hang once`` the first time, which leaves a file in ``FAULTS_FOLDER``.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

from blender_scenes import worker
from blender_scenes.answer import Answerer

FAULTS: dict[str, str] = json.loads(os.environ["FAULTS"])
FOLDER = Path(os.environ["FAULTS_FOLDER"])
well_behaved = Answerer.sample


def misbehave(answerer: Answerer, request: dict[str, Any]) -> Any:
    fault = FAULTS.get(str(request.get("index")), "")
    kind, _, once = fault.partition(" ")
    seen = FOLDER / f"{request.get('index')}"
    if kind and not (once and seen.exists()):
        with seen.open("a") as log:
            log.write(f"{os.getpid()}\n")
        if kind == "crash":
            ctypes.string_at(0)  # a segmentation fault
        ctypes.PyDLL(None).pause()  # never returns, and keeps Python's global lock
    return well_behaved(answerer, request)


Answerer.sample = misbehave

if __name__ == "__main__":
    sys.exit(worker.main())
