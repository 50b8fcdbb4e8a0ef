"""How workers fail, for tests: ``FAULTS`` in the environment is a JSON object from a sample's index to its fault.

``crash`` and ``hang`` happen every time, ``crash once`` and ``hang once`` the first time. Each leaves a line in a file that is named after
the index, in ``FAULTS_FOLDER``.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path

FAULTS: dict[str, str] = json.loads(os.environ["FAULTS"])
FOLDER = Path(os.environ["FAULTS_FOLDER"])


def misbehave(index: object) -> None:
    """Crash, or hang, if the sample of this index is to."""
    kind, _, once = FAULTS.get(str(index), "").partition(" ")
    seen = FOLDER / f"{index}"
    if kind and not (once and seen.exists()):
        with seen.open("a") as log:
            log.write(f"{os.getpid()}\n")
        if kind == "crash":
            ctypes.string_at(0)  # a segmentation fault
        ctypes.PyDLL(None).pause()  # never returns, and keeps Python's global lock
