"""The worker: a process that turns requests into samples, one after another.

``python -P -m blender_scenes.worker [--cpus 0,1] [--gpu TYPE ID]`` uses its standard streams (see `datagen.io.child`):

- with a GPU, it writes ``{"loading": true}`` before it renders frames that nobody asked for, which may take minutes: if the driver has
  not kept the kernels, it compiles them;
- it writes ``{"ready": true, "bpy": VERSION}`` once;
- a request is a line: ``{"settings": DatasetSettings.to_json(), "index": I}`` asks for a sample of a data set, drawn here, and
  ``{"index": I}`` for another with the settings of the last one;
  ``{"key": K, "scene": Scene.to_json(), "shot": Shot.to_json(), "also": {KIND: absolute path}}`` asks for a given scene, and
  for files of these kinds (`datagen.workers.jobs.EXPORTS`) made out of it;
- the answer is a line ``{"files": {SUFFIX: SIZE, ...}}`` and the sample's files, one after another;
  or a line ``{"error": MESSAGE}``, after which the worker takes the next request; or ``{"hopeless": MESSAGE}``, if every request of that
  domain would fail alike;
- the worker ends with its input and, on Linux, with its parent, whatever Blender is doing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import BinaryIO

from blender_scenes.parent import claim_stdout, die_with_parent, leave_interrupts
from datagen.io.child import send_answer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker until its input ends; returns the exit status."""
    parser = argparse.ArgumentParser(prog="blender_scenes.worker", description="Render samples, one JSON request a line.")
    parser.add_argument("--cpus", type=_cpus, help="processors to stay on, e.g. 0,1")
    parser.add_argument("--gpu", nargs=2, metavar=("TYPE", "ID"), help="render on this device of Cycles")
    options = parser.parse_args(arguments)
    leave_interrupts()
    die_with_parent()
    if options.cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, options.cpus)  # before bpy and numpy are imported, which start a thread per processor that they see
    with claim_stdout() as out:
        try:
            serve(sys.stdin.buffer, out, tuple(options.gpu) if options.gpu else None)
        except BrokenPipeError:
            return 1  # the parent is gone
    return 0


def _cpus(text: str) -> set[int]:
    return {int(part) for part in text.split(",")}


def serve(requests: BinaryIO, out: BinaryIO, gpu: tuple[str, str] | None = None) -> None:
    """Answer requests until there are no more, rendering on the GPU with this Cycles device type and id, or on the CPU."""
    import bpy

    from blender_scenes.answer import Answerer

    leave_interrupts()
    answerer = Answerer(gpu)
    if gpu is not None:
        send_answer(out, {"loading": True})
        answerer.render_first_frames()
    send_answer(out, {"ready": True, "bpy": bpy.app.version_string})
    for line in requests:
        send_answer(out, *answerer.answer(line))


if __name__ == "__main__":
    sys.exit(main())
