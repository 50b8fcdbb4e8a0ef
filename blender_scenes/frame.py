"""Pixels out of Blender."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import bpy
import numpy as np
from PIL import Image

_WITHIN = 0.25  # pixels that are added to the edges of a window, which Blender keeps as shares of the frame and rounds


@contextmanager
def within(stage: bpy.types.Scene, window: tuple[int, int, int, int] | None) -> Iterator[None]:
    """Render only this window (left, top, right, bottom, in pixels from the top left corner) of the stage's frame, or all of it."""
    render = stage.render
    if window is not None:
        left, top, right, bottom = window
        wide, high = render.resolution_x, render.resolution_y
        render.border_min_x, render.border_max_x = ((edge + _WITHIN) / wide for edge in (left, right))
        render.border_min_y, render.border_max_y = ((high - edge + _WITHIN) / high for edge in (bottom, top))
        render.use_border = render.use_crop_to_border = True
    try:
        yield
    finally:
        render.use_border = render.use_crop_to_border = False


class FrameGrabber:
    """Renders to a file and reads it back: without a window, Blender hands out a render's pixels in no other way.

    On Linux the file is in memory and has no name in any folder, so even a worker that is killed leaves nothing behind.
    """

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._file: IO[bytes] = os.fdopen(os.memfd_create("frame"), "rb")
            self._path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(suffix=".bmp")  # noqa: SIM115 - lives as long as the worker
            self._path = self._file.name

    def grab(self, stage: bpy.types.Scene) -> np.ndarray:
        """The stage rendered by its own settings: (height, width, 3) uint8, sRGB."""
        os.truncate(self._path, 0)  # so that a failed render does not return the previous frame
        bpy.ops.render.render(scene=stage.name)
        return self.read(stage)

    def read(self, stage: bpy.types.Scene) -> np.ndarray:
        """The last render: (height, width, 3) uint8, sRGB."""
        stage.render.image_settings.file_format = "BMP"  # uncompressed, without metadata
        stage.render.image_settings.color_mode = "RGB"
        bpy.data.images["Render Result"].save_render(self._path, scene=stage)
        self._file.seek(0)
        with Image.open(self._file, formats=["BMP"]) as image:
            return np.asarray(image.convert("RGB"))

    def close(self) -> None:
        """Free the memory."""
        self._file.close()
