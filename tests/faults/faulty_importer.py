"""An importer without Blender whose fault depends on the file's name, for tests of the code that drives importers."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from datagen.assets.mesh import Mesh, mesh_bytes, normalised


def main() -> None:
    out = sys.stdout.buffer
    send(out, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        path = Path(request["path"])
        if "names" in request:
            send(out, {"names": []})
            continue
        with Path(os.environ["FAULTS_LOG"]).open("a") as log:
            log.write(f"{path.name}\n")
        if path.stem.startswith("hang"):
            time.sleep(600)
        if path.stem.startswith("crash"):
            os.abort()
        if path.stem.startswith("damaged"):
            send(out, {"error": "no such format"})
        elif path.stem.startswith("short"):
            out.write(b'{"bytes": 1000}\n123')
            out.flush()
            os._exit(1)
        elif path.stem.startswith("nonsense"):
            send(out, {"bytes": 4}, b"1234")
        elif path.stem.startswith("pickle"):
            from io import BytesIO

            stream = BytesIO()
            np.savez(stream, vertices=np.array([{}], object))
            send(out, {"bytes": len(stream.getvalue())}, stream.getvalue())
        else:
            data = triangle(len(path.read_bytes()), request["notes"])
            send(out, {"bytes": len(data)}, data)


def triangle(height: int, notes: list[str]) -> bytes:
    mesh = Mesh(np.array([(0, 0, 0), (1, 0, 0), (0, 0, height + 1.0)]), np.array([(0, 1, 2)]), np.zeros(1), np.zeros(1))
    return mesh_bytes(normalised(mesh), colors=np.array([(1, 2, 3)], np.uint8), notes=np.array(notes, str))


def send(out: object, header: dict[str, object], payload: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + payload)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
