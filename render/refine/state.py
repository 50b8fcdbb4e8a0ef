"""What is refined, a scene with its shot, and the numbers that can be turned in it, one handle each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from datagen.code.statements import Number
from datagen.domains.base import Domain
from datagen.domains.posed import PosedDomain
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import project
from datagen.geometry.rotations import from_axis_angle, to_euler
from datagen.scene import Object, Scene, Shot, Value

LAMP_SPREAD, POWER_SPREAD = 0.6, 0.1  # metres along each axis; natural logarithm of the power
LAMP_STEP, POWER_STEP = 0.4, 0.1
LARGEST_STEP = 0.5  # of an object's number, as a share of its declared range


@dataclass(frozen=True)
class State:
    """A scene and the shot that is thought to show it. ``origins`` has for each object its index in the scene that was given, None for an
    object that was not in it."""

    scene: Scene
    shot: Shot
    origins: tuple[int | None, ...]

    @staticmethod
    def of(scene: Scene, shot: Shot) -> State:
        """The state of a scene as given."""
        return State(scene, shot, tuple(range(len(scene))))

    def without(self, index: int) -> State:
        """The same without an object."""
        left = [i for i in range(len(self.scene)) if i != index]
        return State(self.scene.with_objects(self.scene.objects[i] for i in left), self.shot, tuple(self.origins[i] for i in left))

    def with_new(self, obj: Object) -> State:
        """The same with a further object, the last."""
        return State(self.scene.with_objects((*self.scene.objects, obj)), self.shot, (*self.origins, None))

    def canonical(self, domain: Domain) -> State:
        """The same with canonical objects in canonical order."""
        objects = [domain.canonical_object(obj) for obj in self.scene.objects]
        order = sorted(range(len(objects)), key=lambda i: domain.order(objects[i]))
        return State(self.scene.with_objects(objects[i] for i in order), self.shot, tuple(self.origins[i] for i in order))

    def at(self, width: int, height: int) -> State:
        """The same in a frame of another size."""
        return replace(self, shot=replace(self.shot, width=width, height=height))

    def with_object(self, index: int, obj: Object) -> State:
        """The same with one object replaced."""
        objects = [obj if i == index else other for i, other in enumerate(self.scene.objects)]
        return replace(self, scene=self.scene.with_objects(objects))


@dataclass(frozen=True)
class Handle:
    """A number to turn: ``turn`` by an amount in its own unit, of which ``step`` is small.

    ``owner`` is the index of its object, None for a number of the shot. ``off`` is how far it is from where it is expected, and ``spread``
    the standard deviation of that, infinite where nothing is expected.
    """

    owner: int | None
    turn: Callable[[State, float], State]
    step: float
    most: float
    spread: float = math.inf
    off: float = 0.0


def object_handles(state: State, domain: Domain, index: int, pixels: float, *, angles: bool = True) -> list[Handle]:
    """The handles of one object: one for each number that changes how it is seen, with steps of so many ``pixels``;
    without ``angles``, those about an object's own axis are left out."""
    obj = state.scene.objects[index]
    found = []
    for turn, most in _turns(obj, domain, angles):
        step = _pixel_step(obj, turn, most, domain, state.shot)
        if step is not None:
            found.append(Handle(index, _of_object(index, turn), min(most / 2, pixels * step), most))
    return found


Turn = Callable[[Object, float], Object]


def _of_object(index: int, turn: Turn) -> Callable[[State, float], State]:
    return lambda state, amount: state.with_object(index, turn(state.scene.objects[index], amount))


def _turns(obj: Object, domain: Domain, angles: bool) -> Iterator[tuple[Turn, float]]:
    """How each number of an object is turned, with the most that it may be turned at once."""
    for number in domain.statement(obj.statement).numbers:
        if isinstance(domain, PosedDomain) and number.name == "rotation":
            for axis in np.eye(3):
                yield _about(axis, domain), 20.0
            continue
        if number.period is not None and not angles:
            continue
        for component, (low, high) in enumerate(zip(number.low, number.high, strict=True)):
            yield _along(number, component, domain), (high - low) * LARGEST_STEP


def _along(number: Number, component: int, domain: Domain) -> Turn:
    def turn(obj: Object, amount: float) -> Object:
        values = list(number.as_tuple(obj[number.name]))
        values[component] += amount
        if number.period is None:
            values[component] = min(max(values[component], number.low[component]), number.high[component])
        value: Value = values[0] if isinstance(obj[number.name], float) else tuple(values)
        return domain.settled(obj.replaced(**{number.name: value}))

    return turn


def _about(axis: np.ndarray, domain: PosedDomain) -> Turn:
    def turn(obj: Object, degrees: float) -> Object:
        matrix = from_axis_angle(np.radians(degrees) * axis) @ domain.rotation(obj)
        return domain.settled(obj.replaced(rotation=tuple(to_euler(matrix).tolist())))

    return turn


def _pixel_step(obj: Object, turn: Turn, most: float, domain: Domain, shot: Shot) -> float | None:
    """The amount that moves some point of an object by a pixel; None if no amount is seen."""
    amount = most / 50
    moved = turn(obj, amount)
    if domain.canonical_object(moved) == domain.canonical_object(obj):
        moved = turn(obj, amount := -amount)  # it may stand at the end of its range
        if domain.canonical_object(moved) == domain.canonical_object(obj):
            return None
    apart = np.abs(outline(moved, domain, shot) - outline(obj, domain, shot)).max()
    return min(most, abs(amount) / float(apart)) if apart > 1e-3 else most / 50


def outline(obj: Object, domain: Domain, shot: Shot) -> np.ndarray:
    """Points (N, 2) of the frame, in pixels, around what is seen of an object."""
    if isinstance(domain, StagedDomain):
        return project(shot.viewpoint, shot.width, shot.height, domain.solid(obj).hull())[:, :2]
    centre, reach = domain.centres([obj], shot)[0, :2], 0.08 * min(shot.width, shot.height)
    return centre + reach * np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])


def light_handles(state: State, first: Shot) -> list[Handle]:
    """The handles of the lamps: three for the place of each, and one for its power. ``first`` has them where they are expected."""
    found = []
    for index, (lamp, expected) in enumerate(zip(state.shot.lamps, first.lamps, strict=True)):
        for axis in range(3):
            off = lamp.location[axis] - expected.location[axis]
            found.append(Handle(None, _lamp_moved(index, axis), LAMP_STEP, 1.0, LAMP_SPREAD, off))
        off = math.log(lamp.power / expected.power)
        found.append(Handle(None, _lamp_stronger(index), POWER_STEP, 0.3, POWER_SPREAD, off))
    return found


def _lamp_moved(index: int, axis: int) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        lamps = list(state.shot.lamps)
        place = list(lamps[index].location)
        place[axis] += amount
        if axis == 2:
            place[2] = max(place[2], 0.5)
        lamps[index] = replace(lamps[index], location=(place[0], place[1], place[2]))
        return replace(state, shot=replace(state.shot, lamps=tuple(lamps)))

    return turn


def _lamp_stronger(index: int) -> Callable[[State, float], State]:
    def turn(state: State, amount: float) -> State:
        lamps = list(state.shot.lamps)
        lamps[index] = replace(lamps[index], power=lamps[index].power * math.exp(amount))
        return replace(state, shot=replace(state.shot, lamps=tuple(lamps)))

    return turn
