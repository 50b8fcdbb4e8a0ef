"""Frames for comparison with an image: small, quick, often only a window of them, from one warm Blender process or a painted domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

import numpy as np

from datagen.domains.base import PaintedDomain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.scene import Scene, Shot
from datagen.workers import pool
from datagen.workers.cores import CoreClaims
from datagen.workers.jobs import PIXELS, FrameJob
from datagen.workers.kernels import Kernels
from datagen.workers.process import WorkerDied

Window = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a frame, in pixels from its top left corner."""


class Frames(ABC):
    """Draws frames of scenes, one after the other, and counts them: ``renders``."""

    renders: int = 0

    def draw(self, scene: Scene, shot: Shot, samples: int, window: Window | None = None) -> np.ndarray:
        """A frame, or a window of it: (height, width, 3) float32, sRGB in [0, 1]. ``samples`` a pixel, where a path tracer draws.

        `UserError` for a scene that cannot be drawn.
        """
        self.renders += 1
        return self._pixels(scene, shot, samples, window).astype(np.float32) / np.float32(255)

    @abstractmethod
    def _pixels(self, scene: Scene, shot: Shot, samples: int, window: Window | None) -> np.ndarray:
        """The pixels (height, width, 3) uint8."""


class WorkerFrames(Frames):
    """Frames by a Blender worker that stays open. Domains that need no Blender are painted in this process."""

    def __init__(self, worker: pool.BlenderWorker) -> None:
        self._worker = worker

    def _pixels(self, scene: Scene, shot: Shot, samples: int, window: Window | None) -> np.ndarray:
        if isinstance(domain := get_domain(scene.domain), PaintedDomain):
            left, top, right, bottom = window or (0, 0, shot.width, shot.height)
            return domain.paint(domain.canonical(scene), shot)[top:bottom, left:right]
        job = FrameJob(scene, shot, samples, window)
        for _ in range(pool.TRIES):
            try:
                answer = self._worker.render(job)
            except WorkerDied as died:
                answer = UserError(str(died))
                continue
            break
        if isinstance(answer, UserError):
            raise answer
        return np.frombuffer(answer.files()[PIXELS], np.uint8).reshape(job.shape)


class OwnFrames(WorkerFrames):
    """Frames by a Blender worker of its own, which starts with the first frame that needs it and ends with the context."""

    def __init__(self) -> None:
        self._claims = CoreClaims()
        self._kernels = Kernels()
        super().__init__(pool.BlenderWorker(self._claims.claim(1, 1)[0], None, self._kernels))

    @property
    def pid(self) -> int | None:
        """The id of the Blender process, if it runs."""
        return self._worker.pid

    def __enter__(self) -> OwnFrames:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._kernels.close()
        self._worker.close()
        self._claims.release()
