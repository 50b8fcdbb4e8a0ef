"""The numbers of a scene and its shot, fitted to an image by Gauss-Newton steps whose derivatives are differences of rendered frames.

All frames have the same noise seed, so that most of their noise is in both frames of a difference, and goes. An object is turned alone, and
only the window around it is rendered; lamps and camera take whole frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from datagen.code.statements import Number
from datagen.domains.base import Domain
from datagen.scene import Object, Shot, Value
from render.refine.budget import Budget
from render.refine.camera import camera_handles
from render.refine.frames import Window
from render.refine.levels import Level, blurred, costs, weights
from render.refine.state import Handle, State, light_handles, object_handles, outline

NOISE = 0.1
"""The difference, of sRGB in [0, 1], that counts as much as a number that is a standard deviation from where it is expected."""
MARGIN, RIM = 0.35, 3  # of a window around an object: a share of its sides, and pixels whose denoised values hang on what is outside
FARTHEST_STEP = 4.0  # times the step of its derivative that an object may go at once
DAMPING = 0.003
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

    def descend(self, level: Level, rounds: int, *, objects: bool = True, light: bool = False, camera: bool = False) -> None:
        """Take so many Gauss-Newton steps at a level, each only as far as it lowers the cost, in these numbers."""
        frame = self.draw(self.state, level)
        lit: list[np.ndarray] = []
        for round_ in range(rounds):
            sized = self.state.at(*level.size)
            own = [h for i in range(len(sized.scene)) for h in self._own(sized, i, level)] if objects else []
            lamps = light_handles(sized, self.first) if light else []
            aim = camera_handles(sized, self.first, self.domain) if camera else []
            if round_ == 0:  # what lamps do changes little from step to step
                lit = [self.column(handle, level, frame) for handle in lamps]
            handles = [*own, *aim, *lamps]
            if not handles:
                return
            columns = [self.column(handle, level, frame) for handle in (*own, *aim)] + lit
            amounts = solve(level.residual(frame), columns, handles)
            better = self._step(level, frame, handles, amounts)
            if better is None:
                return
            self.state, frame = better

    def polish(self, level: Level, index: int, rounds: int = 1) -> None:
        """Take so many Gauss-Newton steps with one object, each only if it lowers the cost in the object's window."""
        for _ in range(rounds):
            sized = self.state.at(*level.size)
            window, handles = self.window(sized, index, level), self._own(sized, index, level)
            if window is None or not handles:
                return
            frame = self.draw(self.state, level, window)
            residual = self._within(window, level, frame)
            columns = [blurred(self.draw(handle.turn(sized, handle.step), level, window) - frame, level.blur) for handle in handles]
            state = turned(self.state, handles, solve(residual, [inner(column) for column in columns], handles))
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
        return object_handles(state, self.domain, index, level.step, angles=level.angles)

    def _within(self, window: Window, level: Level, frame: np.ndarray) -> np.ndarray:
        """The residual in a window, without its rim."""
        left, top, right, bottom = window
        return inner(blurred(level.pixels[top:bottom, left:right] - frame, level.blur))

    def column(self, handle: Handle, level: Level, frame: np.ndarray) -> np.ndarray:
        """The difference that a handle's step makes to the frame, blurred: (height, width, 3)."""
        state = self.state.at(*level.size)
        window = None if handle.owner is None else self.window(state, handle.owner, level)
        turned = handle.turn(state, handle.step)
        difference = np.zeros_like(frame)
        if window is None:
            return blurred(self.draw(turned, level) - frame, level.blur)
        left, top, right, bottom = window
        inner = inside(window, level)
        difference[top:bottom, left:right] = self.draw(turned, level, window) - frame[top:bottom, left:right]
        only = np.zeros_like(frame)
        only[inner] = difference[inner]
        return blurred(only, level.blur)

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


def solve(residual: np.ndarray, columns: list[np.ndarray], handles: list[Handle]) -> np.ndarray:
    """By how many of its steps each handle should be turned so that the ``columns`` add up to the residual."""
    matrix = np.stack([column.ravel() for column in columns], axis=1)
    weighted = matrix * weights(residual).ravel()[:, None]
    expected = np.array([handle.step / handle.spread for handle in handles])
    off = np.array([handle.off / handle.spread for handle in handles])
    square = (weighted.T @ matrix).astype(float) / NOISE**2 + np.diag(expected**2)
    slope = (weighted.T @ residual.ravel()).astype(float) / NOISE**2 - expected * off
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


def inside(window: Window, level: Level) -> tuple[slice, slice]:
    """The part of the frame within a window that is as in the whole frame: without its rim, except at the frame's edge."""
    left, top, right, bottom = window
    wide, high = level.size
    rows = slice(top + RIM * (top > 0), bottom - RIM * (bottom < high))
    return rows, slice(left + RIM * (left > 0), right - RIM * (right < wide))
