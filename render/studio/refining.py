"""The one place where the studio meets `render.refine`, which may not be installed beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from datagen.errors import UserError
from datagen.scene import Scene, Shot
from render.studio.blender import Blender


@dataclass(frozen=True)
class Step:
    """How far a refinement has come: seconds and renders spent, the error left, and the best scene so far."""

    seconds: float
    renders: int
    error: float
    scene: Scene


@dataclass(frozen=True)
class Wish:
    """How many seconds a refinement may take, and whether the camera is unknown."""

    seconds: float
    free_camera: bool


@dataclass(frozen=True)
class Result:
    """The refined scene and shot, and the errors after and before."""

    scene: Scene
    shot: Shot
    error: float
    first_error: float


def available() -> bool:
    """Whether scenes can be refined."""
    return find_spec("render.refine") is not None


def refine(
    image: np.ndarray, scene: Scene, shot: Shot, wish: Wish, *, blender: Blender, on_step: Callable[[Step], None], stop: Callable[[], bool]
) -> Result:
    """Make a scene explain an image (h, w, 3) uint8, of the shot's frame, better, until its time is over or `stop` says so."""
    raise UserError("this igllm cannot refine scenes")
