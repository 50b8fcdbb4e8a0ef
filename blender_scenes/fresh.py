"""Blender as it is when nothing has been done in it. Importing this imports bpy."""

from __future__ import annotations

import contextlib
import os

import bpy


def start_empty() -> None:
    """Factory settings and an empty scene, whatever was there.

    Blender makes itself a folder for passing files then, which a process that is killed, as ours are, would leave behind; nothing here
    writes to it, so it is removed.
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    with contextlib.suppress(OSError):
        os.rmdir(bpy.app.tempdir)
