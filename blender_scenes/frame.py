"""Pixels out of Blender, and .blend files."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
from PIL import Image


class FrameGrabber:
    """Renders to a file in memory and reads it back: without a window, Blender hands out a render's pixels in no other way.

    The file has no name in any folder, so even a worker that is killed leaves nothing behind.
    """

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("frame"), "rb")

    def grab(self, stage: bpy.types.Scene) -> Image.Image:
        """The stage rendered by its own settings, as an 8-bit sRGB image."""
        stage.render.image_settings.file_format = "BMP"  # uncompressed, without metadata
        stage.render.image_settings.color_mode = "RGB"
        os.truncate(self._file.fileno(), 0)  # so that a failed render cannot be taken for the last one
        bpy.ops.render.render(scene=stage.name)
        bpy.data.images["Render Result"].save_render(f"/proc/self/fd/{self._file.fileno()}", scene=stage)
        self._file.seek(0)
        with Image.open(self._file, formats=["BMP"]) as image:
            return image.convert("RGB")

    def close(self) -> None:
        """Free the memory."""
        self._file.close()


def save_blend(stage: bpy.types.Scene, path: Path) -> None:
    """Save the stage to a .blend file that opens on it; a reader never sees half of one."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.blend")
    bpy.context.window.scene = stage
    stage.render.filepath = "//"  # renders from the file go beside it
    try:
        bpy.ops.wm.save_as_mainfile(filepath=str(partial), copy=True, relative_remap=False, check_existing=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
