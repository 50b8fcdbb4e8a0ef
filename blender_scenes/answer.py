"""What a worker answers: the files of the sample that a request asks for, or why there is none. Importing this imports bpy."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from blender_scenes.builders import Stages
from blender_scenes.frame import FrameGrabber, save_blend
from datagen.errors import UserError
from datagen.produce import produce
from datagen.sample import Sample, make_sample
from datagen.scene import Scene, Shot
from datagen.settings import DatasetSettings


class Answerer:
    """Blender, ready for requests (see `blender_scenes.worker`)."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Renders on a GPU, given by Cycles' type and id of it, or on the CPU."""
        self._stages, self._grabber = Stages(gpu), FrameGrabber()

    def answer(self, line: bytes) -> dict[str, bytes] | str:
        """The sample's files by suffix, or what is wrong with the request."""
        try:
            return self.sample(json.loads(line)).files()
        except UserError as error:
            return str(error)
        except Exception as error:  # whatever a scene's values provoke must not cost the parent its worker
            return f"{type(error).__name__}: {error}".strip()

    def sample(self, request: dict[str, Any]) -> Sample:
        """The sample that is asked for."""

        def render(scene: Scene, shot: Shot) -> np.ndarray:
            with self._stages.showing(scene, shot) as stage:
                pixels = self._grabber.grab(stage)
                if request.get("blend"):
                    save_blend(stage, Path(request["blend"]))
            return pixels

        if "index" in request:
            return produce(_settings(json.dumps(request["settings"])), request["index"], render)
        scene, shot = Scene.from_json(request["scene"]), Shot.from_json(request["shot"])
        return make_sample(request["key"], scene, shot, render(scene, shot))


@lru_cache(maxsize=1)  # a run has one, whose checks take as long as drawing a scene
def _settings(text: str) -> DatasetSettings:
    return DatasetSettings.from_json(json.loads(text))
