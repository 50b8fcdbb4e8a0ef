"""A worker without Blender for tests of rendering on GPUs, with a driver that keeps what it compiles in the file ``kernels``.

``FAULTS`` in the environment is a JSON object: by the name of a device (CPU, or the identity of a GPU), how it behaves. In
``FAULTS_FOLDER`` it leaves a line for each compilation (``compilations``), each worker that is ready, with its cores (``ready``), and each
frame, with its device and its index (``rendered``).

- ``wait``: compile until there is a file ``release``; ``dies``: end while compiling, ``dies once``: the first time;
- ``errors``: refuse each job; ``prints``: print to standard output before all else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from blender_scenes.parent import die_with_parent
from datagen.io.child import send_answer

FOLDER = Path(os.environ["FAULTS_FOLDER"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpus", default="")
    parser.add_argument("--gpu", nargs=2)
    options = parser.parse_args()
    die_with_parent()
    device = options.gpu[1] if options.gpu else "CPU"
    fault = json.loads(os.environ["FAULTS"]).get(device, "")
    if fault == "prints":
        print('{"ready": true}\nhello from the driver', end="", flush=True)
    out = sys.stdout.buffer
    if options.gpu:
        send_answer(out, {"loading": True})
        if not (FOLDER / "kernels").exists():
            compile_kernels(fault)
    log("ready", options.cpus or "all")
    send_answer(out, {"ready": True})
    settings: list[Any] = [None]
    for line in sys.stdin.buffer:
        send_answer(out, *({"error": "no"}, b"") if fault == "errors" else answer(line, settings, device))


def compile_kernels(fault: str) -> None:
    log("compilations", str(os.getpid()))
    if fault == "dies" or (fault == "dies once" and len((FOLDER / "compilations").read_text().splitlines()) == 1):
        print("a driver without luck", file=sys.stderr)
        sys.exit(3)
    while fault == "wait" and not (FOLDER / "release").exists():
        time.sleep(0.01)
    (FOLDER / "kernels").touch()


def answer(line: bytes, settings: list[Any], device: str) -> tuple[dict[str, Any], bytes]:
    """A black frame of the sample that is asked for."""
    import numpy as np

    from datagen.workers.jobs import DrawJob, read_job

    job = read_job(json.loads(line), settings[0])
    assert isinstance(job, DrawJob)
    settings[0] = job.settings
    log("rendered", f"{device} {job.index}")
    files = job.sample(lambda scene, shot: np.zeros((shot.height, shot.width, 3), np.uint8)).files()
    return {"files": {suffix: len(data) for suffix, data in files.items()}}, b"".join(files.values())


def log(name: str, text: str) -> None:
    with (FOLDER / name).open("a") as file:
        file.write(f"{text}\n")


if __name__ == "__main__":
    main()
