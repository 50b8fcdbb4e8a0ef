"""What a worker answers: the files of the sample that a request asks for, or why there is none. Importing this imports bpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from blender_scenes.builders import Stages
from blender_scenes.frame import FrameGrabber, save_blend
from datagen.jobs import Failed, attempted, read_job
from datagen.sample import Sample
from datagen.scene import Scene, Shot


class Answerer:
    """Blender, ready for requests (see `blender_scenes.worker`)."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Renders on a GPU, given by Cycles' type and id of it, or on the CPU."""
        self._stages, self._grabber = Stages(gpu), FrameGrabber()

    def answer(self, line: bytes) -> dict[str, bytes] | str:
        """The sample's files by suffix, or what is wrong with the request."""
        outcome = attempted(lambda: self.sample(json.loads(line)))
        return outcome.reason if isinstance(outcome, Failed) else outcome.files()

    def sample(self, request: dict[str, Any]) -> Sample:
        """The sample that is asked for."""
        job = read_job(request)

        def render(scene: Scene, shot: Shot) -> np.ndarray:
            with self._stages.showing(scene, shot) as stage:
                pixels = self._grabber.grab(stage)
                if job.blend is not None:
                    save_blend(stage, job.blend)
            return pixels

        return job.sample(render)
