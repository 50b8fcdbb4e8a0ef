"""The one place where the studio meets `render.refine`, which is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from datagen.errors import UserError
from datagen.scene import Scene, Shot

ROOM = "render.refine"


@dataclass(frozen=True)
class Step:
    """How far a refinement has come: seconds and renders spent, the error left, and the scene that has it."""

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
    return find_spec(ROOM) is not None


def refine(image: np.ndarray, scene: Scene, shot: Shot, wish: Wish, *, on_step: Callable[[Step], None], stop: Callable[[], bool]) -> Result:
    """Make a scene explain an image (h, w, 3) uint8, of the shot's frame, better, until its time is over or `stop` says so.

    It renders in a Blender process of its own, so that the page's pictures need not wait for it.
    """
    if not available():
        raise UserError("this igllm cannot refine scenes")
    frames: Any = import_module(f"{ROOM}.frames")
    refining: Any = import_module(f"{ROOM}.refine")
    settings = refining.RefineSettings(seconds=wish.seconds, free_camera=wish.free_camera)

    def tell(made: Any) -> None:
        on_step(Step(made.seconds, made.renders, made.error, made.scene))

    with frames.OwnFrames() as renderer:
        done = refining.refine_scene(image, scene, shot, settings, renderer, tell, stop)
    return Result(done.scene, done.shot, done.error, done.first_error)
