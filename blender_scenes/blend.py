"""A tidy scene as a .blend file. Importing this imports bpy."""

from __future__ import annotations

from pathlib import Path

import bpy

from datagen.io.files import TEMPORARY


def save_blend(path: Path) -> None:
    """Save the open scene to `path`, whole or not at all. A file that is there is replaced; Blender by itself would keep it as a backup."""
    partial = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(partial), copy=True, relative_remap=False, check_existing=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
