"""One scene refined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean

import numpy as np

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.samples.in_code import reheaded
from datagen.scene import Scene, Shot
from render.refine.budget import Budget, Spent
from render.refine.fit import Fit
from render.refine.frames import Frames
from render.refine.levels import Level, levels
from render.refine.state import State
from render.refine.words import Beliefs, mend_plain_words, settle_words, try_words

NOISE_SEED = 1
JUDGING_SAMPLES = 4
JUDGING_FRAMES = 4
"""Frames that decide whether the result is better than what was given, for which time is kept."""
CAMERA_SAMPLES = 16
POLISHINGS, POLISHING_SAMPLES = 3, 16
"""Last steps, in clean frames, with one object at a time: once with each, and again with those that have an angle, which takes longer."""


@dataclass(frozen=True)
class RefineSettings:
    """``seconds`` and ``renders`` are the most to spend on a scene; with ``free_camera`` the camera is estimated, too. ``candidates`` are
    other scenes that the model thinks likely for the same image, ``confidence`` is how sure it is of each object, if it says so."""

    seconds: float = 20.0
    renders: int | None = None
    free_camera: bool = False
    candidates: tuple[Scene, ...] = ()
    confidence: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Progress:
    """What has been spent, the error by now, and the scene that has it."""

    seconds: float
    renders: int
    error: float
    scene: Scene


@dataclass(frozen=True)
class Refined:
    """The canonical scene and the shot that explain an image best.

    ``error`` is the root mean square difference of their frame from the image, of sRGB in [0, 1], at most 320 pixels long; ``first_error``
    is that of the scene as it was given, in the better of the light and camera that were expected and those that were found.
    ``origins`` has for each object its index in the given scene, None for one that was added.
    """

    scene: Scene
    shot: Shot
    error: float
    first_error: float
    renders: int
    seconds: float
    origins: tuple[int | None, ...]

    def confidence(self, given: Sequence[float]) -> list[float]:
        """How sure each object is, where those of the given scene were so sure: one that was added as sure as they are on average."""
        return [mean(given) if origin is None else given[origin] for origin in self.origins]


def refine_scene(  # noqa: PLR0917 - the last two are seldom given
    image: np.ndarray,
    scene: Scene,
    shot: Shot,
    settings: RefineSettings,
    renderer: Frames,
    on_progress: Callable[[Progress], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Refined:
    """The scene and shot changed until their frame is as near to ``image`` (height, width, 3) uint8 as the budget allows.

    ``shot`` has the camera, known or as expected, and the lamps as expected; its frame has the size of the image. What the scene's header
    states of them becomes what was found. The result is never
    worse than ``scene``, by the error of both in frames of the same quality. `UserError` if the scene cannot be rendered.
    """
    domain = get_domain(scene.domain)
    coarse, middle, fine = levels(image)
    given = State.of(scene, replace(shot, quality="draft", noise_seed=NOISE_SEED))
    budget = Budget(renderer, settings.seconds, settings.renders, stop)
    first_error = error_of(given, fine, renderer)
    budget.keep(JUDGING_FRAMES)
    settled = scene.with_objects(map(domain.settled, scene.objects))
    fit = Fit(replace(given, scene=settled), domain, given.shot, budget)
    beliefs = Beliefs(settings.candidates, settings.confidence)
    lit, camera = bool(shot.lamps), settings.free_camera and shot.camera is not None

    def tell() -> None:
        if on_progress is not None:
            left = coarse.pixels - fit.draw(fit.state, coarse)
            on_progress(Progress(budget.spent_seconds, budget.renders, _rms(left), fit.state.canonical(domain).scene))

    try:
        mend_plain_words(fit, coarse, beliefs)
        fit.descend(coarse, 3, light=lit)
        tell()
        if camera:  # before words: under a wrong camera all objects look badly explained
            fit.descend(replace(middle, samples=CAMERA_SAMPLES), 4, light=lit, camera=True)
            tell()
        try_words(fit, coarse, middle, beliefs)
        tell()
        fit.descend(middle, 1 if camera else 3)
        tell()
        settle_words(fit, middle, fine, beliefs)
        tell()
        fit.descend(fine, 2)
        for polishing in range(POLISHINGS):
            tell()
            for index in range(len(fit.state.scene)):
                if polishing == 0 or fit.has_angle(index):
                    fit.polish(replace(fine, samples=POLISHING_SAMPLES, blur=0.5), index)
        tell()
    except Spent:
        pass
    found = fit.state.canonical(domain)
    error = error_of(found, fine, renderer)
    relit = replace(given, shot=found.shot)
    relit_error = error_of(relit, fine, renderer)
    if error > min(first_error, relit_error):
        found = (given if first_error <= relit_error else relit).canonical(domain)
        error = min(first_error, relit_error)
    light_of_image = replace(found.shot, width=image.shape[1], height=image.shape[0], quality=shot.quality, noise_seed=shot.noise_seed)
    first_error = min(first_error, relit_error)
    scene = _as_found(found.scene, light_of_image, domain)
    return Refined(scene, light_of_image, error, first_error, budget.renders, budget.spent_seconds, found.origins)


def _as_found(scene: Scene, shot: Shot, domain: Domain) -> Scene:
    """The scene with the shot in its header, as far as it had one; without a header, if code cannot say the shot."""
    try:
        return reheaded(scene, shot, domain)
    except UserError:
        return replace(scene, header=())


def error_of(state: State, level: Level, renderer: Frames) -> float:
    """The root mean square difference of a state's frame from the image."""
    sized = state.at(*level.size)
    return _rms(renderer.draw(sized.scene, sized.shot, JUDGING_SAMPLES) - level.pixels)


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt((difference**2).mean()))
