"""An importer without Blender whose fault depends on the file's name, for tests of the code that drives importers."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from datagen.assets.mesh import Mesh, mesh_bytes, normalised
from datagen.io.child import send_answer


def main() -> None:
    out = sys.stdout.buffer
    send_answer(out, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        path = Path(request["path"])
        if "names" in request:
            send_answer(out, {"names": []})
            continue
        with Path(os.environ["FAULTS_LOG"]).open("a") as log:
            log.write(f"{path.name}\n")
        if path.stem.startswith("hang"):
            time.sleep(600)
        if path.stem.startswith("crash"):
            os.abort()
        if path.stem.startswith("damaged"):
            send_answer(out, {"error": "no such format"})
        elif path.stem.startswith("short"):
            send_answer(out, {"bytes": 1000}, b"123")
            os._exit(1)
        elif path.stem.startswith("nonsense"):
            send_answer(out, {"bytes": 4}, b"1234")
        elif path.stem.startswith("pickle"):
            from io import BytesIO

            stream = BytesIO()
            np.savez(stream, vertices=np.array([{}], object))
            send_answer(out, {"bytes": len(stream.getvalue())}, stream.getvalue())
        else:
            data = triangle(len(path.read_bytes()), request["notes"])
            send_answer(out, {"bytes": len(data)}, data)


def triangle(height: int, notes: list[str]) -> bytes:
    mesh = Mesh(np.array([(0, 0, 0), (1, 0, 0), (0, 0, height + 1.0)]), np.array([(0, 1, 2)]), np.zeros(1), np.zeros(1))
    return mesh_bytes(normalised(mesh), colors=np.array([(1, 2, 3)], np.uint8), notes=np.array(notes, str))


if __name__ == "__main__":
    main()
