"""A tidy scene as a .blend file. Importing this imports bpy."""

from __future__ import annotations

from pathlib import Path

import bpy

from blender_scenes.whole import check_whole
from datagen.io.files import TEMPORARY


def save_blend(path: Path) -> None:
    """Save the open scene to `path`, whole or not at all. A file that is there is replaced; Blender by itself would keep it as a backup.

    `UserError` if there is no room for all of it, which Blender passes over.
    """
    partial = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(partial), copy=True, compress=True, relative_remap=False, check_existing=False)
        check_whole(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
