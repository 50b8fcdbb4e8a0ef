"""The process that makes files out of scenes: .blend, .glb, scripts for plain Blender.

``python -P -m blender_scenes.exporter`` uses its standard streams (see `datagen.io.child`). It writes ``{"ready": true}`` once. A request
is a line, that of a `datagen.workers.jobs.RenderJob` with the paths of the files to write; the answer is a line ``{"done": true}`` or
``{"error": REASON}``, or ``{"failed": REASON}`` if Blender failed. Each scene is alone in this Blender, so that names need no numeric
suffixes and no data of other scenes are left over: a worker, which keeps things for its next scenes, cannot save its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blender_scenes.parent import claim_stdout, die_with_parent, leave_interrupts
from datagen.errors import UserError
from datagen.io.child import Child, module_command, send_answer
from datagen.workers.jobs import EXPORT_SECONDS, RenderJob, read_job
from datagen.workers.process import START_SECONDS

MODULE = "blender_scenes.exporter"


class _Failed(Exception):
    """Blender failed, or the process ended; the message is the reason."""


class Exporter:
    """Asks a process to write files; it is started at the first request, and stays for later ones."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def write(self, job: RenderJob) -> None:
        """Write the job's files. `UserError` if one of them cannot be made of its scene, RuntimeError if Blender fails."""
        self.ask(job.request(), EXPORT_SECONDS * len(job.also))

    def ask(self, request: dict[str, Any], seconds: float) -> None:
        """Have a request answered within so many seconds; errors as `write`.

        What fails in a process that has answered before is tried once more in a new one: an outside domain's builder may have kept data of
        Blender's that were gone with the scene before.
        """
        tries = 1 if self._child is None else 2
        for left in reversed(range(tries)):
            try:
                self._ask(request, seconds)
                return
            except _Failed as error:
                self.close()
                if not left:
                    raise RuntimeError(str(error)) from None

    def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()

    def _ask(self, request: dict[str, Any], seconds: float) -> None:
        try:
            if self._child is None:
                self._child = Child(module_command(MODULE))
                self._child.answer(START_SECONDS)
            self._child.ask(request)
            answer = self._child.answer(seconds)
        except (EOFError, TimeoutError) as error:
            why = "says nothing any more" if isinstance(error, TimeoutError) else "has ended"
            last = self._child.tail().splitlines()[-1:] if self._child else []
            raise _Failed(f"the process that writes files {why}: {' '.join(last)}") from None
        if "error" in answer:
            raise UserError(answer["error"])
        if "failed" in answer:
            raise _Failed(answer["failed"])


def main() -> int:
    """Answer requests until standard input ends, and return the exit status."""
    leave_interrupts()
    die_with_parent()
    with claim_stdout() as out:
        from blender_scenes.fresh import start_empty

        start_empty()
        leave_interrupts()
        send_answer(out, {"ready": True})
        for line in sys.stdin.buffer:
            send_answer(out, _answer(json.loads(line)))
    return 0


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        job = read_job(request)
        assert isinstance(job, RenderJob)
        write_files(job)
    except UserError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever a scene's values cause
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
    return {"done": True}


def write_files(job: RenderJob) -> None:
    """Write the job's files, each of a scene that is built once. Imports bpy."""
    from blender_scenes.tidy import tidy_scene

    stage = tidy_scene(job.domain, job.scene, job.shot, job.key)
    for kind in sorted(job.also, key=list(_WRITERS).index):  # the last one changes the scene
        _WRITERS[kind](stage, job.also[kind])


def _blend(_: Any, path: Path) -> None:
    from blender_scenes.blend import save_blend

    save_blend(path)


def _script(stage: Any, path: Path) -> None:
    from blender_scenes.script import save_script

    save_script(stage.scene, stage.empty, path)


def _glb(stage: Any, path: Path) -> None:
    from blender_scenes.gltf_export import save_glb

    save_glb(stage.scene, path)


_WRITERS: dict[str, Callable[[Any, Path], None]] = {"blend": _blend, "script": _script, "glb": _glb}

if __name__ == "__main__":
    sys.exit(main())
