"""The process that makes files out of scenes: .blend, .glb, scripts for plain Blender, films.

``python -P -m blender_scenes.exporter`` uses its standard streams (see `datagen.io.child`). It writes ``{"ready": true}`` once. A request
is a line, that of a `datagen.workers.jobs.RenderJob` with the paths of the files to write, or ``{"film": ...}`` or ``{"movie": ...}``, as
`blender_scenes.film` and `blender_scenes.movie` read them; the answer is a line ``{"done": true}`` or ``{"error": REASON}``, or
``{"failed": REASON}`` if Blender failed. Each scene is alone in this Blender, so that names need no numeric
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
from datagen.io.child import send_answer
from datagen.workers.jobs import RenderJob, read_job


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
        _write(request)
    except UserError as error:
        return {"error": str(error)}
    except Exception as error:  # whatever a scene's values cause
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())}
    return {"done": True}


def _write(request: dict[str, Any]) -> None:
    if "film" in request:
        from blender_scenes.film import write_film

        write_film(request["film"])
    elif "movie" in request:
        from blender_scenes.movie import write_movie

        write_movie(request["movie"])
    else:
        job = read_job(request)
        assert isinstance(job, RenderJob)
        write_files(job)


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
