"""The process that reads people's own assets, one file after another, into triangles and colours.

``python -P -m blender_scenes.importer`` uses its standard streams. It writes ``{"ready": true}`` once. A request is a line
``{"path": ABSOLUTE, "notes": [TEXT]}``; the answer is a line ``{"bytes": N}`` and N bytes, the ``.npz`` of `datagen.assets.own` with these
notes and those of reading, or a line ``{"error": REASON}``. A request ``{"path": ABSOLUTE, "names": true}`` is answered by
``{"names": [NAME]}``, the other files that the file refers to. If a file crashes or hangs the process, the parent starts another.
Scripts in files do not run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from blender_scenes.parent import claim_stdout, die_with_parent, leave_interrupts
from datagen.assets.limits import MEMORY_BYTES
from datagen.io.bounds import bound_memory, taken_memory
from datagen.io.child import send_answer


def main() -> int:
    """Answer requests until standard input ends, and return the exit status."""
    leave_interrupts()
    die_with_parent()
    with claim_stdout() as out:
        from blender_scenes.opened import asset_file, named_files
        from blender_scenes.reasons import Unreadable, reason

        leave_interrupts()
        bound_memory(taken_memory() + MEMORY_BYTES)  # a small file may expand to more memory than there is
        send_answer(out, {"ready": True})
        for line in sys.stdin.buffer:
            request = json.loads(line)
            path = Path(request["path"])
            try:
                if "names" in request:
                    send_answer(out, {"names": named_files(path)})
                    continue
                data = asset_file(path, request["notes"])
            except Unreadable as error:
                send_answer(out, {"error": str(error)})
            except Exception as error:  # no error that a file causes may end this process
                send_answer(out, {"error": reason(error, path.suffix)})
            else:
                send_answer(out, {"bytes": len(data)}, data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
