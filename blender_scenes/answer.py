"""What a worker answers: the files of the sample that a request asks for, or why there is none. Importing this imports bpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from blender_scenes.blend import save_blend
from blender_scenes.builders import Stages
from blender_scenes.frame import FrameGrabber
from datagen.errors import Hopeless
from datagen.samples.sample import Sample
from datagen.scene import Scene, Shot
from datagen.workers.jobs import Failed, attempted, read_job


class Answerer:
    """Blender, ready for requests (see `blender_scenes.worker`)."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Renders on a GPU, given by Cycles' type and id of it, or on the CPU."""
        self._stages, self._grabber = Stages(gpu), FrameGrabber()

    def answer(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        """The line to answer a request with, and the bytes behind it."""
        try:
            files = attempted(lambda: self.sample(json.loads(line)).files())
        except Hopeless as error:
            return {"hopeless": str(error)}, b""
        if isinstance(files, Failed):
            return {"error": files.reason}, b""
        return {"files": {suffix: len(data) for suffix, data in files.items()}}, b"".join(files.values())

    def sample(self, request: dict[str, Any]) -> Sample:
        """The sample that is asked for."""
        job = read_job(request)

        def render(scene: Scene, shot: Shot) -> np.ndarray:
            with self._stages.showing(scene, shot) as stage:
                pixels = self._grabber.grab(stage)
            if job.blend is not None:
                save_blend(job)
            return pixels

        return job.sample(render)
