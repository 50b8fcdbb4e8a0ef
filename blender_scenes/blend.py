"""A scene as a .blend file for people: what is in the picture, named, ready to be rendered to it again, and nothing of a worker's insides.

A process of its own writes it, ``python -P -m blender_scenes.blend``, given a request as the worker takes it
(`datagen.workers.jobs.RenderJob`) on its standard input: in a Blender where nothing else was ever made, names need no numbers and nothing
is left over.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from blender_scenes.parent import die_with_parent, leave_interrupts
from datagen.io.child import module_command
from datagen.io.files import TEMPORARY
from datagen.workers.jobs import RenderJob, read_job

if TYPE_CHECKING:
    import bpy

_NUMBERED = re.compile(r"\.\d{3,}$")  # as Blender tells equal names apart


def save_blend(job: RenderJob) -> None:
    """Write the job's .blend file; a reader never sees half of one. RuntimeError with what the process said last if it cannot."""
    done = subprocess.run(
        module_command("blender_scenes.blend"), input=json.dumps(job.request()).encode(), capture_output=True, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{job.blend} cannot be written: {' '.join(last)}")


def main() -> int:
    """Write the file that the request on standard input asks for; the exit status."""
    leave_interrupts()
    die_with_parent()
    job = read_job(json.load(sys.stdin))
    assert isinstance(job, RenderJob) and job.blend is not None
    write_blend(job, job.blend)
    return 0


def write_blend(job: RenderJob, path: Path) -> None:
    """Build the job's scene in an empty Blender, and save that to `path`. Imports bpy."""
    import bpy

    from blender_scenes.builders import load_builder
    from blender_scenes.fresh import start_empty
    from blender_scenes.quality import QUALITY, set_up_cycles, set_up_shot
    from blender_scenes.stage import remove_twin

    start_empty()
    scene = bpy.context.scene
    set_up_cycles(scene, "CPU")
    builder = load_builder(job.domain)(scene, job.domain)
    standing = set(scene.objects)
    set_up_shot(scene, job.shot, QUALITY[job.shot.quality])
    builder.show(job.scene, job.shot, lamp_parts=False)
    remove_twin(scene)
    _name(scene, [shown for shown in scene.objects if shown not in standing and shown.type == "MESH"])
    _let_go(scene, path.stem)
    partial = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(partial), copy=True, relative_remap=False, check_existing=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _name(scene: bpy.types.Scene, shown: list[bpy.types.Object]) -> None:
    """Call the scene's objects by their place in its code and by what they are."""
    for number, thing in enumerate(shown, 1):
        thing.name = f"object_{number}_{_NUMBERED.sub('', thing.name)}"


def _let_go(scene: bpy.types.Scene, key: str) -> None:
    """Settings for another machine, where a render is saved as a PNG beside the file, and nothing that the scene does not use."""
    import bpy

    scene.name = key
    scene.frame_start = scene.frame_end = 1
    render = scene.render
    render.threads_mode = "AUTO"
    render.filepath = f"//{key}.png"
    render.image_settings.file_format, render.image_settings.color_mode, render.image_settings.color_depth = "PNG", "RGB", "8"
    for blocks in (bpy.data.meshes, bpy.data.materials):
        for block in blocks:
            block.use_fake_user = False
    bpy.data.orphans_purge(do_local_ids=True, do_linked_ids=True, do_recursive=True)
    for material in bpy.data.materials:
        material.name = _NUMBERED.sub(lambda number: f" {int(number[0][1:]) + 1}", material.name)
    for image in bpy.data.images:
        if image.source == "FILE":
            image.pack()
            image.filepath_raw = f"//{image.name}"  # where it would be unpacked to; not where it was on this machine


if __name__ == "__main__":
    sys.exit(main())
