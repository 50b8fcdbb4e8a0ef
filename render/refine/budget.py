"""What a refinement may spend, and what it has spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from datagen.scene import Scene, Shot
from render.refine.frames import Frames, Window


class Spent(Exception):
    """The budget is spent, or somebody has asked to stop."""


@dataclass
class Budget:
    """Frames until so many ``seconds`` or ``renders`` are spent, or ``stop`` says so; each further one raises `Spent`."""

    frames: Frames
    seconds: float
    most_renders: int | None = None
    stop: Callable[[], bool] | None = None
    begin: float = field(default_factory=time.monotonic)
    first: int = 0

    def __post_init__(self) -> None:
        self.first = self.frames.renders

    def keep(self, frames: int) -> None:
        """Keep, of seconds and renders, what so many frames more will take, judged by what has been spent on the first."""
        self.seconds -= frames * min(self.spent_seconds, self.seconds / 8)
        if self.most_renders is not None:
            self.most_renders -= frames

    @property
    def spent_seconds(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begin

    @property
    def renders(self) -> int:
        """Frames and windows of frames drawn since the beginning."""
        return self.frames.renders - self.first

    def draw(self, scene: Scene, shot: Shot, samples: int, window: Window | None = None) -> np.ndarray:
        """As `Frames.draw`; `Spent` where nothing is left."""
        over = self.spent_seconds >= self.seconds or (self.most_renders is not None and self.renders >= self.most_renders)
        if over or (self.stop is not None and self.stop()):
            raise Spent
        return self.frames.draw(scene, shot, samples, window)
