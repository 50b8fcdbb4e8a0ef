"""Resets Blender to an empty scene. Importing this imports bpy."""

from __future__ import annotations

import contextlib
import os

import bpy


def start_empty() -> None:
    """Load factory settings and an empty scene.

    Blender then makes a folder for temporary files. Nothing here uses that folder, and processes that are killed, as workers are, would
    leave it behind, so it is removed.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with contextlib.suppress(OSError):
        os.rmdir(bpy.app.tempdir)
