"""Saves a scene as a .blend file for people: the objects of the picture with readable names, ready to be rendered to the same picture.

A separate process, ``python -P -m blender_scenes.blend``, writes the file. It reads a worker's request
(`datagen.workers.jobs.RenderJob`) from its standard input. In its fresh Blender, names need no numeric suffixes, and no data of other
scenes are left over.
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

_NUMBERED = re.compile(r"\.\d{3,}$")  # the suffix that Blender adds to a name that is in use


def save_blend(job: RenderJob) -> None:
    """Write the job's .blend file, whole or not at all. If that fails, RuntimeError with the last line of the process's standard error."""
    done = subprocess.run(
        module_command("blender_scenes.blend"), input=json.dumps(job.request()).encode(), capture_output=True, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"{job.blend} cannot be written: {' '.join(last)}")


def main() -> int:
    """Write the file of the request on standard input, and return the exit status."""
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
    _name_objects(scene, [shown for shown in scene.objects if shown not in standing and shown.type == "MESH"])
    _make_portable(scene, path.stem)
    partial = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(partial), copy=True, relative_remap=False, check_existing=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _name_objects(scene: bpy.types.Scene, shown: list[bpy.types.Object]) -> None:
    """Name each object ``object_N_NAME``: N counts the shown objects in the order of the code, NAME is the name in Blender so far."""
    for number, thing in enumerate(shown, 1):
        thing.name = f"object_{number}_{_NUMBERED.sub('', thing.name)}"


def _make_portable(scene: bpy.types.Scene, key: str) -> None:
    """Prepare the file for other machines: renders are saved as a PNG beside it, images are packed, and unused data are removed."""
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
            image.filepath_raw = f"//{image.name}"  # the path to unpack it to, instead of its path on this machine


if __name__ == "__main__":
    sys.exit(main())
