"""What a worker answers: the files of the sample that a request asks for, or why there is none. Importing this imports bpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from blender_scenes.blend import save_blend
from blender_scenes.builders import Stages
from blender_scenes.frame import FrameGrabber
from datagen.errors import Hopeless, UserError
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene, Shot
from datagen.workers.jobs import DrawJob, attempt, read_job


class Answerer:
    """Blender, ready for requests (see `blender_scenes.worker`)."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Renders on a GPU, given by Cycles' type and id of it, or on the CPU."""
        self._stages, self._grabber = Stages(gpu), FrameGrabber()
        self._settings: DatasetSettings | None = None

    def answer(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        """The line to answer a request with, and the bytes behind it."""
        try:
            files = attempt(lambda: self.sample(json.loads(line)).files())
        except Hopeless as error:
            return {"hopeless": str(error)}, b""
        if isinstance(files, UserError):
            return {"error": str(files)}, b""
        return {"files": {suffix: len(data) for suffix, data in files.items()}}, b"".join(files.values())

    def sample(self, request: dict[str, Any]) -> Sample:
        """The sample that is asked for; the settings that it is drawn with hold for later requests, too."""
        job = read_job(request, self._settings)
        if isinstance(job, DrawJob):
            self._settings = job.settings

        def render(scene: Scene, shot: Shot) -> np.ndarray:
            with self._stages.showing(scene, shot) as stage:
                pixels = self._grabber.grab(stage)
            if job.blend is not None:
                save_blend(job)
            return pixels

        return job.sample(render)
