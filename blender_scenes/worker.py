"""The worker: a process that turns scenes into pixels, one request after another.

``python -P -m blender_scenes.worker [--cpus 0,1]`` speaks on its standard streams:

- it says ``{"ready": true, "bpy": VERSION}`` once;
- a request is a line ``{"scene": Scene.to_json(), "shot": Shot.to_json(), "blend": null or an absolute path}``;
- the answer is a line ``{"width": W, "height": H}`` and W*H*3 bytes, 8-bit sRGB, top row first;
  or a line ``{"error": MESSAGE}``, after which the worker takes the next request;
- the end of its input ends it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from datagen.errors import UserError
from datagen.scene import Scene, Shot

if TYPE_CHECKING:
    from blender_scenes.builders import Stages
    from blender_scenes.frame import FrameGrabber


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until its input ends; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="blender_scenes.worker", description="Render scenes, one JSON request a line; see the module's docstring."
    )
    parser.add_argument("--cpus", type=_cpus, help="processors to stay on, e.g. 0,1")
    cpus = parser.parse_args(arguments).cpus
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)  # before bpy is imported, which starts a thread per processor that it sees
    with claim_stdout() as out:
        try:
            serve(sys.stdin.buffer, out)
        except BrokenPipeError:
            return 1  # the parent is gone
    return 0


def _cpus(text: str) -> set[int]:
    return {int(part) for part in text.split(",")}


def claim_stdout() -> BinaryIO:
    """A private stream to standard output, which itself is pointed at standard error: Blender prints to it at will."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def serve(requests: BinaryIO, out: BinaryIO) -> None:
    """Answer requests until there are no more."""
    import bpy

    from blender_scenes.builders import Stages
    from blender_scenes.frame import FrameGrabber

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Blender installs its own handler
    stages, grabber = Stages(), FrameGrabber()
    try:
        _say(out, {"ready": True, "bpy": bpy.app.version_string})
        for line in requests:
            _answer(line, stages, grabber, out)
    finally:
        grabber.close()


def _answer(line: bytes, stages: Stages, grabber: FrameGrabber, out: BinaryIO) -> None:
    try:
        header, pixels = _render(json.loads(line), stages, grabber)
    except UserError as error:
        header, pixels = {"error": str(error)}, b""
    except Exception as error:  # whatever a scene's values provoke must not cost the parent its worker
        header, pixels = {"error": f"{type(error).__name__}: {error}".strip()}, b""
    _say(out, header, pixels)


def _render(request: dict[str, Any], stages: Stages, grabber: FrameGrabber) -> tuple[dict[str, Any], bytes]:
    from blender_scenes.frame import save_blend

    scene, shot = Scene.from_json(request["scene"]), Shot.from_json(request["shot"])
    with stages.showing(scene, shot) as stage:
        image = grabber.grab(stage)
        if request.get("blend"):
            save_blend(stage, Path(request["blend"]))
    return {"width": image.width, "height": image.height}, image.tobytes()


def _say(out: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    out.write(json.dumps(header).encode() + b"\n" + payload)
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
