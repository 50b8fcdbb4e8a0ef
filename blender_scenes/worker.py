"""The worker: a process that turns requests into samples, one after another.

``python -P -m blender_scenes.worker [--cpus 0,1] [--gpu TYPE ID]`` speaks on its standard streams:

- it says ``{"ready": true, "bpy": VERSION}`` once;
- a request is a line: ``{"settings": DatasetSettings.to_json(), "index": I}`` asks for a sample of a data set, drawn here;
  ``{"key": K, "scene": Scene.to_json(), "shot": Shot.to_json(), "blend": null or an absolute path}`` for a scene that is given;
- the answer is a line ``{"files": {SUFFIX: SIZE, ...}}`` and the sample's files, one after another;
  or a line ``{"error": MESSAGE}``, after which the worker takes the next request;
- the end of its input ends it, and so does the end of its parent, whatever Blender is doing.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from datagen.errors import UserError
from datagen.produce import produce
from datagen.sample import Sample, make_sample
from datagen.scene import Scene, Shot
from datagen.settings import DatasetSettings

if TYPE_CHECKING:
    from blender_scenes.builders import Stages
    from blender_scenes.frame import FrameGrabber

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until its input ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="blender_scenes.worker", description="Render samples, one JSON request a line.")
    parser.add_argument("--cpus", type=_cpus, help="processors to stay on, e.g. 0,1")
    parser.add_argument("--gpu", nargs=2, metavar=("TYPE", "ID"), help="render on this device of Cycles")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with_parent()
    if options.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, options.cpus)  # before bpy is imported, which starts a thread per processor that it sees
    with claim_stdout() as out:
        try:
            serve(sys.stdin.buffer, out, tuple(options.gpu) if options.gpu else None)
        except BrokenPipeError:
            return 1  # the parent is gone
    return 0


def _cpus(text: str) -> set[int]:
    return {int(part) for part in text.split(",")}


def _die_with_parent() -> None:
    """Have the kernel end this process when its parent ends: a Blender that hangs never comes to see that its input has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def claim_stdout() -> BinaryIO:
    """A private stream to standard output, which itself is pointed at standard error: Blender prints to it at will."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")


def serve(requests: BinaryIO, out: BinaryIO, gpu: tuple[str, str] | None = None) -> None:
    """Answer requests until there are no more; on a GPU, given by Cycles' type and id of it, or on the CPU."""
    import bpy

    from blender_scenes.builders import Stages
    from blender_scenes.frame import FrameGrabber

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Blender installs its own handler
    stages, grabber = Stages(gpu), FrameGrabber()
    try:
        _say(out, {"ready": True, "bpy": bpy.app.version_string})
        for line in requests:
            _answer(line, stages, grabber, out)
    finally:
        grabber.close()


def _answer(line: bytes, stages: Stages, grabber: FrameGrabber, out: BinaryIO) -> None:
    try:
        files = _sample(json.loads(line), stages, grabber).files()
        header: dict[str, Any] = {"files": {suffix: len(data) for suffix, data in files.items()}}
    except UserError as error:
        header, files = {"error": str(error)}, {}
    except Exception as error:  # whatever a scene's values provoke must not cost the parent its worker
        header, files = {"error": f"{type(error).__name__}: {error}".strip()}, {}
    _say(out, header, b"".join(files.values()))


def _sample(request: dict[str, Any], stages: Stages, grabber: FrameGrabber) -> Sample:
    from blender_scenes.frame import save_blend

    def render(scene: Scene, shot: Shot) -> np.ndarray:
        with stages.showing(scene, shot) as stage:
            pixels = grabber.grab(stage)
            if request.get("blend"):
                save_blend(stage, Path(request["blend"]))
        return pixels

    if "index" in request:
        return produce(_settings(json.dumps(request["settings"])), request["index"], render)
    scene, shot = Scene.from_json(request["scene"]), Shot.from_json(request["shot"])
    return make_sample(request["key"], scene, shot, render(scene, shot))


@lru_cache(maxsize=1)  # a run has one, whose checks take as long as drawing a scene
def _settings(text: str) -> DatasetSettings:
    return DatasetSettings.from_json(json.loads(text))


def _say(out: BinaryIO, header: dict[str, Any], payload: bytes = b"") -> None:
    out.write(json.dumps(header).encode() + b"\n" + payload)
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
