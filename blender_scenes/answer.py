"""The answers of a worker: the files of the requested sample, or the reason why there is none. Importing this imports bpy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from blender_scenes.builders import Stages
from blender_scenes.frame import FrameGrabber, within
from blender_scenes.quality import QUALITY
from datagen.errors import Hopeless, UserError
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Quality, Scene, Shot
from datagen.workers.exporter import Exporter
from datagen.workers.jobs import PIXELS, DrawJob, FrameJob, RenderJob, attempt, read_job

_QUALITIES: tuple[Quality, ...] = ("draft", "standard")  # of which the second uses adaptive sampling, which has kernels of its own
_FIRST = [DrawJob(DatasetSettings(width=32, height=32, quality=quality), 0) for quality in _QUALITIES]


class Answerer:
    """Answers requests with the Blender of this process (see `blender_scenes.worker`)."""

    def __init__(self, gpu: tuple[str, str] | None = None) -> None:
        """Render on the GPU with this Cycles device type and id, or on the CPU."""
        self._stages, self._grabber, self._exporter = Stages(gpu), FrameGrabber(), Exporter()
        self._settings: DatasetSettings | None = None

    def render_first_frames(self) -> None:
        """Render small frames and forget them, so that Cycles loads its kernels."""
        for job in _FIRST:
            self.sample(job.request())
        self._settings = None

    def answer(self, line: bytes) -> tuple[dict[str, Any], bytes]:
        """The answer to a request: the content of a JSON line, and the bytes behind it."""
        try:
            files = attempt(lambda: self._files(json.loads(line)))
        except Hopeless as error:
            return {"hopeless": str(error)}, b""
        if isinstance(files, UserError):
            return {"error": str(files)}, b""
        return {"files": {suffix: len(data) for suffix, data in files.items()}}, b"".join(files.values())

    def _files(self, request: dict[str, Any]) -> dict[str, bytes]:
        """The files of the requested sample, or the pixels of the requested frame, by suffix."""
        if "samples" not in request:
            return self.sample(request).files()
        job = read_job(request)
        assert isinstance(job, FrameJob)
        settings = replace(QUALITY[job.shot.quality], samples=job.samples)
        with self._stages.showing(job.scene, job.shot, settings) as stage, within(stage, job.window):
            pixels = self._grabber.grab(stage)
        if pixels.shape != job.shape:
            raise ValueError(f"a window of {job.shape} was rendered as {pixels.shape}")
        return {PIXELS: pixels.tobytes()}

    def sample(self, request: dict[str, Any]) -> Sample:
        """The requested sample. The settings of a data set are kept for later requests that state none."""
        job = read_job(request, self._settings)
        assert not isinstance(job, FrameJob)
        if isinstance(job, DrawJob):
            self._settings = job.settings

        def render(scene: Scene, shot: Shot) -> np.ndarray:
            with self._stages.showing(scene, shot) as stage:
                pixels = self._grabber.grab(stage)
            if isinstance(job, RenderJob) and job.also:
                self._exporter.write(job)
            return pixels

        return job.sample(render)
