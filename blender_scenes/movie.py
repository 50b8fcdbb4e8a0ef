"""Pictures as the frames of an MP4 file, by the video encoder that Blender brings. Importing this imports bpy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy

from blender_scenes.whole import check_whole


def write_movie(request: Mapping[str, Any]) -> None:
    """Write the PNG files ``frames``, all of ``width`` by ``height`` pixels, to the MP4 file ``path``, ``fps`` a second, as H.264.

    `UserError` if there is no room for all of it, which Blender passes over.
    """
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True, load_ui=False)
    scene = bpy.context.scene
    frames = list(map(Path, request["frames"]))
    editor = scene.sequence_editor_create()
    strip = editor.strips.new_image("frames", str(frames[0]), channel=1, frame_start=1, fit_method="ORIGINAL")
    for frame in frames[1:]:
        strip.elements.append(frame.name)  # of the same folder
    strip.frame_final_duration = len(frames)
    render = scene.render
    scene.frame_start, scene.frame_end = 1, len(frames)
    render.fps, render.fps_base = request["fps"], 1.0
    render.resolution_x, render.resolution_y, render.resolution_percentage = request["width"], request["height"], 100
    render.use_sequencer, render.use_compositing, render.dither_intensity = True, False, 0.0
    scene.view_settings.view_transform = "Standard"
    render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    video = render.ffmpeg
    video.format, video.codec, video.constant_rate_factor, video.audio_codec = "MPEG4", "H264", "HIGH", "NONE"
    video.gopsize = min(12, len(frames))
    render.filepath, render.use_file_extension = request["path"], False
    bpy.ops.render.render(animation=True)
    check_whole(Path(request["path"]))
