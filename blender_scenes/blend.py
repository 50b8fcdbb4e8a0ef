"""A tidy scene as a .blend file. Importing this imports bpy."""

from __future__ import annotations

from pathlib import Path

import bpy


def save_blend(path: Path) -> None:
    """Save the open scene to `path`."""
    bpy.ops.wm.save_as_mainfile(filepath=str(path), copy=True, relative_remap=False, check_existing=False)
