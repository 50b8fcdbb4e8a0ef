"""The numbers of a scene and its shot, fitted to an image by Gauss-Newton steps.

Derivatives by the numbers of objects are differences of warped frames (`render.refine.warp`), those by lamps and camera of rendered ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from datagen.code.statements import Number
from datagen.domains.base import Domain
from datagen.scene import Object, Shot, Value
from render.refine.budget import Budget
from render.refine.camera import camera_handles
from render.refine.frames import Window
from render.refine.levels import Level, blurred, costs, weights
from render.refine.state import Handle, State, light_handles, object_handles, outline
from render.refine.warp import Warp

NOISE = 0.08
"""The difference, of sRGB in [0, 1], that counts as much as a number that is a standard deviation from where it is expected."""
MARGIN, RIM = 0.35, 3  # of a window around an object: a share of its sides, and pixels whose denoised values hang on what is outside
STEP = 1.0  # pixels over which a derivative by an object's number reaches
FARTHEST_STEP = 4.0  # times the step of its derivative that an object may go at once
DAMPING = 0.003
CAUTION = 0.1  # weight of the products with their noise, which keep steps short where measured columns hold little else
COLUMN_SAMPLES = 8
COLUMN_SEEDS = (2, 3)  # of the noise in frames that show what lamps and camera do
TOLERATED = 1.01  # growth of the cost in an object's window that is taken for noise


@dataclass
class Fit:
    """A state on its way to explain an image; ``first`` has light and camera where they are expected."""

    state: State
    domain: Domain
    first: Shot
    budget: Budget

    def draw(self, state: State, level: Level, window: Window | None = None) -> np.ndarray:
        """A frame of the state at a level's size."""
        sized = state.at(*level.size)
        return self.budget.draw(sized.scene, sized.shot, level.samples, window)

    def descend(self, level: Level, rounds: int, *, light: bool = False, camera: bool = False) -> None:
        """Take so many Gauss-Newton steps at a level, each only as far as it lowers the cost, in the numbers of objects, and in these."""
        frame = self.draw(self.state, level)
        shot_handles = self._of_shot(light, camera)
        of_shot = [self._seeded_columns(shot_handles, level, seed) for seed in COLUMN_SEEDS]
        for _ in range(rounds):
            sized = self.state.at(*level.size)
            own = [h for i in range(len(sized.scene)) for h in self._own(sized, i, level)]
            handles = [*own, *self._of_shot(light, camera)]
            if not handles:
                return
            of_own = self.columns(own, level, frame)
            amounts = solve(level.residual(frame), [[*of_own, *columns] for columns in of_shot], handles)
            better = self._step(level, frame, handles, amounts)
            if better is None:
                return
            self.state, frame = better

    def _of_shot(self, light: bool, camera: bool) -> list[Handle]:
        aim = camera_handles(self.state, self.first, self.domain) if camera else []
        return [*aim, *(light_handles(self.state, self.first) if light else [])]

    def _seeded_columns(self, handles: list[Handle], level: Level, seed: int) -> list[np.ndarray]:
        """What steps of the shot's handles do, by frames of another noise than those that they are to explain; their noise would be taken
        for a reason to step. It changes little from round to round."""
        if not handles:
            return []
        state = replace(self.state, shot=replace(self.state.shot, noise_seed=seed))
        level = replace(level, samples=min(level.samples, COLUMN_SAMPLES))
        frame = self.draw(state, level)
        return [blurred(self.draw(handle.turn(state, handle.step), level) - frame, level.blur) for handle in handles]

    def polish(self, level: Level, index: int, rounds: int = 1) -> None:
        """Take so many Gauss-Newton steps with one object, each only if it lowers the cost in the object's window."""
        for _ in range(rounds):
            sized = self.state.at(*level.size)
            window, handles = self.window(sized, index, level), self._own(sized, index, level)
            if window is None or not handles:
                return
            frame = self.draw(self.state, level, window)
            residual = self._within(window, level, frame)
            columns = self.columns(handles, level, frame, window)
            state = turned(self.state, handles, solve(residual, [[inner(column) for column in columns]], handles))
            after = self._within(window, level, self.draw(state, level, window))
            if costs(after).sum() >= costs(residual).sum():
                return
            self.state = state

    def has_angle(self, index: int) -> bool:
        """Whether an object has an angle that is seen."""
        obj = self.state.scene.objects[index]
        angles = [number for number in self.domain.statement(obj.statement).numbers if number.period is not None]
        seen = self.domain.canonical_object(obj)
        return any(self.domain.canonical_object(obj.replaced(**{n.name: _turned_by(obj, n)})) != seen for n in angles)

    def _own(self, state: State, index: int, level: Level) -> list[Handle]:
        return object_handles(state, self.domain, index, STEP, angles=level.angles)

    def _within(self, window: Window, level: Level, frame: np.ndarray) -> np.ndarray:
        """The residual in a window, without its rim."""
        left, top, right, bottom = window
        return inner(blurred(level.pixels[top:bottom, left:right] - frame, level.blur))

    def columns(self, handles: list[Handle], level: Level, frame: np.ndarray, window: Window | None = None) -> list[np.ndarray]:
        """The differences that steps of the handles make to a frame, or to a window of it: blurred, in the frame's shape."""
        state, found = self.state.at(*level.size), []
        left, top, right, bottom = window or (0, 0, *level.size)
        warps = {i: Warp.of(frame, (left, top, right, bottom), state, self.domain, i) for i in {h.owner for h in handles} if i is not None}
        for handle in handles:
            warp = None if handle.owner is None else warps[handle.owner]
            warped = None if warp is None else warp.difference(handle)
            if warp is None or warped is None:
                difference = self.draw(handle.turn(state, handle.step), level, window) - frame
            else:
                difference = np.zeros_like(frame)
                west, north, east, south = warp.window
                difference[north - top : south - top, west - left : east - left] = warped
            found.append(blurred(difference, level.blur))
        return found

    def window(self, state: State, index: int, level: Level) -> Window | None:
        """The part of a frame around an object; None if none of it is within the frame."""
        return window_around(outline(state.scene.objects[index], self.domain, state.shot), level)

    def _step(self, level: Level, frame: np.ndarray, handles: list[Handle], amounts: np.ndarray) -> tuple[State, np.ndarray] | None:
        """The state and its frame after a step, of which objects that fit worse by it take no part; None if no part of it helps."""
        before = costs(level.residual(frame))
        for share in (1.0, 0.4):
            state = turned(self.state, handles, amounts * share)
            trial = self.draw(state, level)
            after = costs(level.residual(trial))
            worse = [i for i in range(len(state.scene)) if self._worse(state, i, level, before, after)]
            if worse and len(worse) < len(state.scene):
                kept = [0.0 if handle.owner in worse else amount for handle, amount in zip(handles, amounts * share, strict=True)]
                state = turned(self.state, handles, np.array(kept))
                trial = self.draw(state, level)
                after = costs(level.residual(trial))
            if after.sum() < before.sum():
                return state, trial
        return None

    def _worse(self, state: State, index: int, level: Level, before: np.ndarray, after: np.ndarray) -> bool:
        sized = self.state.at(*level.size), state.at(*level.size)
        windows = [window for one in sized if (window := self.window(one, index, level)) is not None]
        if not windows:
            return True
        left, top = min(w[0] for w in windows), min(w[1] for w in windows)
        right, bottom = max(w[2] for w in windows), max(w[3] for w in windows)
        return bool(after[top:bottom, left:right].sum() > TOLERATED * before[top:bottom, left:right].sum())


def _turned_by(obj: Object, angle: Number) -> Value:
    """An object's angle, or angles, ten degrees further."""
    return angle.as_value([value + 10.0 for value in angle.as_tuple(obj[angle.name])])


def solve(residual: np.ndarray, columns: Sequence[list[np.ndarray]], handles: list[Handle]) -> np.ndarray:
    """By how many of its steps each handle should be turned so that the columns add up to the residual.

    ``columns`` are one or two measurements of what the steps do. A product of two measurements has no noise squared in it, which would
    make the steps too short.
    """
    first, last = (np.stack([column.ravel() for column in columns[i]], axis=1) for i in (0, -1))
    weight = weights(residual).ravel()[:, None]
    middle = (first + last) / 2
    square = (weight * first).T @ last
    values, vectors = np.linalg.eigh((square + square.T).astype(float) / (2 * NOISE**2))
    expected = np.array([handle.step / handle.spread for handle in handles])
    off = np.array([handle.off / handle.spread for handle in handles])
    slope = (weight * middle).T @ residual.ravel() / NOISE**2 - expected * off
    square = (vectors * np.maximum(values, 0)) @ vectors.T + np.diag(expected**2)
    if len(columns) > 1:
        square += CAUTION * (weight * middle).T @ middle / NOISE**2
    square += np.diag(DAMPING * square.diagonal() + 1e-3)
    amounts = np.linalg.solve(square, slope)
    most = np.array([min(handle.most / handle.step, math.inf if handle.owner is None else FARTHEST_STEP) for handle in handles])
    return np.asarray(np.clip(amounts, -most, most))


def turned(state: State, handles: list[Handle], amounts: np.ndarray) -> State:
    """The state with each handle turned by so many of its steps."""
    for handle, amount in zip(handles, amounts, strict=True):
        if amount:
            state = handle.turn(state, float(amount) * handle.step)
    return state


def window_around(points: np.ndarray, level: Level) -> Window | None:
    """The window around points (N, 2) of the frame with a margin for shadows; None if it would be outside the frame."""
    low, high = points.min(0), points.max(0)
    margin = MARGIN * (high - low) + RIM + 2
    size = level.size
    left, top = (max(0, math.floor(edge)) for edge in (low - margin).tolist())
    right, bottom = (min(side, math.ceil(edge)) for side, edge in zip(size, (high + margin).tolist(), strict=True))
    return None if right - left < 2 * RIM + 2 or bottom - top < 2 * RIM + 2 else (left, top, right, bottom)


def inner(values: np.ndarray) -> np.ndarray:
    """The values of a window without its rim."""
    return values[RIM:-RIM, RIM:-RIM]
