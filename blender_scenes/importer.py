"""The process that opens people's own assets: one file after another, each into triangles and colours.

``python -P -m blender_scenes.importer`` speaks on its standard streams. It says ``{"ready": true}`` once. A request is a line
``{"path": ABSOLUTE}``; the answer is a line ``{"bytes": N}`` and N bytes, the ``.npz`` of `datagen.assets.own`, or a line
``{"error": REASON}``. A file may crash or hang it: whoever started it then starts another. It runs no script that a file carries.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from blender_scenes.worker import _die_with_parent, claim_stdout
from datagen.assets.limits import MEMORY_BYTES


def main() -> int:
    """Open files until the input ends; the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with_parent()
    _bound_memory()
    with claim_stdout() as out:
        from blender_scenes.opened import asset_file

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Blender installs its own handler
        _say(out, {"ready": True})
        for line in sys.stdin.buffer:
            try:
                data = asset_file(Path(json.loads(line)["path"]))
            except Exception as error:  # whatever a file provokes must not cost the parent its process
                _say(out, {"error": f"{error}".strip() or type(error).__name__})
            else:
                _say(out, {"bytes": len(data)}, data)
    return 0


def _bound_memory() -> None:
    """So that a small file that unfolds into more than there is ends this process, and no other."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most)
    with contextlib.suppress(ValueError, OSError):  # not every system bounds it
        resource.setrlimit(resource.RLIMIT_AS, (bound, most))


def _say(out: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    out.write(json.dumps(header).encode() + b"\n" + payload)
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
