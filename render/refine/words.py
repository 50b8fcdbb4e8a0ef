"""Words, made-up objects and missed ones: alternatives are rendered where they would be seen, and kept if they explain the image better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from scipy.ndimage import label

from datagen.code.statements import Statement
from datagen.domains.base import Domain
from datagen.domains.staged import StagedDomain
from datagen.geometry.camera import focal_pixels, look_at
from datagen.scene import Object, Scene, Shot
from render.refine.fit import Fit, inner, window_around
from render.refine.frames import Window
from render.refine.levels import Level, blurred, costs
from render.refine.state import State, outline

MOST_WORDS = 12
"""Words tried of one vocabulary; of a longer one, those of the candidates alone."""
PROMISING, MOVED = 1.05, 1.4  # times the cost of what is there: costlier alternatives are not fitted, above all those in another place
QUIET = 0.006
"""The cost around an object, for each pixel of it, below which no other words are tried: a wrong word costs several times as much."""
PLAINLY_WRONG, PLAINLY = 0.015, 0.6
"""The cost around an object, for each pixel of it, if its words may be plainly wrong, and the share of the cost that better words have."""
FITTED = 2  # alternatives of an object that are fitted
CLEARLY = 0.95  # an alternative must cost less than this share of what is there
WORTH_ADDING = 0.85  # an added object must leave less than this share of the cost around it
LEFT_OVER = 0.08  # the difference, of sRGB in [0, 1], that an unexplained spot has
LEAST_SPOT, MOST_SPOTS = 8, 3  # pixels of a spot; spots that are looked at


Tried = tuple[float, list[tuple[float, Object]]]
"""The cost of what is there, and what else may be there with the cost of that."""


def mend_plain_words(fit: Fit, level: Level, candidates: Sequence[Scene]) -> None:
    """Before anything is fitted, take the alternative for an object where the given words, such as its colour, are plainly wrong: a step of
    Gauss-Newton would only drag it away."""
    for index in range(len(fit.state.scene)):
        tried = _tried(fit, level, index, candidates, PLAINLY_WRONG)
        if tried is not None:
            now, others = tried
            least, best = others[0]
            if least < PLAINLY * now:
                fit.state = fit.state.with_object(index, best)


def try_words(fit: Fit, glance: Level, level: Level, candidates: Sequence[Scene]) -> None:
    """Try other words for each object, the scene without it, and further objects where the image is not explained: at a ``glance`` first,
    and what may be better there at a closer ``level``."""
    for index in range(len(fit.state.scene)):
        _reword(fit, glance, level, index, candidates)
    for index in reversed(range(len(fit.state.scene))):
        _drop(fit, level, index)
    for _ in range(MOST_SPOTS):
        if len(fit.state.scene) >= fit.domain.max_objects or not _add(fit, level):
            break
        _reword(fit, level, level, len(fit.state.scene) - 1, ())


def _reword(fit: Fit, glance: Level, level: Level, index: int, candidates: Sequence[Scene]) -> None:
    """Take for an object the alternative that explains its surroundings clearly better, if there is one."""
    promising = _promising(fit, glance, index, candidates)
    window = _window([fit.state.scene.objects[index], *promising], fit, level)
    if not promising or window is None:
        return
    best, least = fit.state, CLEARLY * cost(fit, fit.state, level, window)
    for other in promising:
        trial = replace(fit, state=fit.state.with_object(index, other))
        trial.polish(level, index, 2)
        reached = cost(fit, trial.state, level, window)
        if reached < least:
            best, least = trial.state, reached
    fit.state = best


def _promising(fit: Fit, level: Level, index: int, candidates: Sequence[Scene]) -> list[Object]:
    """The alternatives of an object that may be better once they are fitted, the best ones first, at most `FITTED`."""
    tried = _tried(fit, level, index, candidates, QUIET)
    if tried is None:
        return []
    now, others = tried
    place = fit.domain.location(fit.state.scene.objects[index])
    near = [other for least, other in others if least < now * (PROMISING if fit.domain.location(other) == place else MOVED)]
    return near[:FITTED]


def _tried(
    fit: Fit, level: Level, index: int, candidates: Sequence[Scene], quiet: float
) -> tuple[float, list[tuple[float, Object]]] | None:
    """The cost in an object's window, and its alternatives with theirs, the cheapest first; None if there are none, or if a pixel costs
    less than ``quiet``."""
    obj = fit.state.scene.objects[index]
    others = list(alternatives(obj, fit.domain, fit.state.at(*level.size).shot, candidates))
    window = _window([obj, *others], fit, level)
    if not others or window is None:
        return None
    now = cost(fit, fit.state, level, window)
    if now < quiet * float(np.prod(np.ptp(outline(obj, fit.domain, fit.state.at(*level.size).shot), axis=0))):
        return None
    tried = [(cost(fit, fit.state.with_object(index, other), level, window), other) for other in others]
    return now, sorted(tried, key=lambda one: one[0])


def alternatives(obj: Object, domain: Domain, shot: Shot, candidates: Sequence[Scene]) -> Iterator[Object]:
    """The object with other words: those that candidates have for it, then each other word of each of its choices."""
    statement = domain.statement(obj.statement)
    seen = {_words(obj, statement)}
    for other in (*_of_candidates(obj, domain, candidates), *_one_word_off(obj, statement)):
        if (words := _words(other, statement)) not in seen:
            seen.add(words)
            yield from _settled(other, obj, domain, shot)


def _words(obj: Object, statement: Statement) -> tuple[str, ...]:
    return tuple(str(obj[choice.name]) for choice in statement.choices)


def _of_candidates(obj: Object, domain: Domain, candidates: Sequence[Scene]) -> Iterator[Object]:
    place, statement = np.array(domain.location(obj)), domain.statement(obj.statement)
    for scene in candidates:
        same = [other for other in scene.objects if other.statement == obj.statement]
        if same:
            nearest = min(same, key=lambda other: float(np.linalg.norm(np.array(domain.location(other)) - place)))
            yield obj.replaced(**{choice.name: nearest[choice.name] for choice in statement.choices})


def _one_word_off(obj: Object, statement: Statement) -> Iterator[Object]:
    for choice in statement.choices:
        if len(choice.words) <= MOST_WORDS:
            yield from (obj.replaced(**{choice.name: word}) for word in choice.words if word != obj[choice.name])


def _settled(other: Object, obj: Object, domain: Domain, shot: Shot) -> Iterator[Object]:
    """An object with other words where the first one stands and, if it is of another height, where its centre is seen at the same place."""
    settled = domain.settled(other)
    yield settled
    if isinstance(domain, StagedDomain) and "loc" in obj.values and settled["loc"] != obj["loc"]:
        yield domain.settled(settled.replaced(loc=_at_height(np.array(obj["loc"], float), float(settled["loc"][2]), shot)))


def _at_height(place: np.ndarray, height: float, shot: Shot) -> tuple[float, float, float]:
    """The point of this height that the camera sees where it sees ``place``."""
    eye = np.array(shot.viewpoint.location, float)
    x, y, z = eye + (place - eye) * (height - eye[2]) / (place[2] - eye[2])
    return float(x), float(y), float(z)


def _drop(fit: Fit, level: Level, index: int) -> None:
    """Leave out an object if the image is explained better without it."""
    window = _window([fit.state.scene.objects[index]], fit, level)
    if window is None:
        return
    without = fit.state.without(index)
    if cost(fit, without, level, window) < cost(fit, fit.state, level, window):
        fit.state = without


def _add(fit: Fit, level: Level) -> bool:
    """Put an object where the image is explained least, if one there explains it clearly better; whether it does."""
    spot = _spot(fit, level)
    if spot is None:
        return False
    best, index = None, len(fit.state.scene)
    for start in _starts(spot, fit, level):
        window = _window([start], fit, level)
        if window is None:
            continue
        trial = replace(fit, state=fit.state.with_new(start))
        gain = _described(trial, level, index, window) - WORTH_ADDING * cost(fit, fit.state, level, window)
        if gain < 0 and not _crowded(trial, fit) and (best is None or gain < best[0]):
            best = gain, trial.state
    if best is None:
        return False
    fit.state = best[1]
    return True


def _crowded(trial: Fit, fit: Fit) -> bool:
    """Whether a new object stands nearer to another one than the domain permits, as one that only covers up another's error does."""
    spacing = fit.domain.spacing
    return spacing is not None and spacing.too_near(trial.state.scene) > spacing.too_near(fit.state.scene)


def _described(trial: Fit, level: Level, index: int, window: Window) -> float:
    """Choose a new object's words one after the other, fit it, and choose again; the cost that is reached."""
    reached = cost(trial, trial.state, level, window)
    for _ in range(2):
        for choice in trial.domain.statement(trial.state.scene.objects[index].statement).choices:
            for word in islice(choice.words, MOST_WORDS):
                obj = trial.state.scene.objects[index]
                if word != obj[choice.name]:
                    state = trial.state.with_object(index, trial.domain.settled(obj.replaced(**{choice.name: word})))
                    if (cheaper := cost(trial, state, level, window)) < reached:
                        trial.state, reached = state, cheaper
        trial.polish(level, index, 2)
        reached = cost(trial, trial.state, level, window)
    return reached


def _spot(fit: Fit, level: Level) -> tuple[float, float] | None:
    """The centre, in pixels, of the largest spot that the state does not explain; None if there is none."""
    apart = np.abs(level.residual(fit.draw(fit.state, level))).mean(2)
    spots, count = label(blurred(apart[..., None], 1.0)[..., 0] > LEFT_OVER)
    sizes = np.bincount(spots.ravel(), minlength=count + 1)[1:]
    if not count or sizes.max() < LEAST_SPOT:
        return None
    rows, columns = np.nonzero(spots == 1 + int(sizes.argmax()))
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def _starts(spot: tuple[float, float], fit: Fit, level: Level) -> Iterator[Object]:
    """Objects whose centre is seen at a spot: one for each height that a word gives them. None in a domain without a ground to stand on."""
    domain, shot = fit.domain, fit.state.at(*level.size).shot
    if not isinstance(domain, StagedDomain) or domain.ground is None:
        return
    eye, focal = np.array(shot.viewpoint.location, float), focal_pixels(shot.viewpoint, *level.size)
    axes = look_at(shot.viewpoint.location, shot.viewpoint.target)
    ahead = axes @ np.array([(spot[0] - level.size[0] / 2) / focal, (level.size[1] / 2 - spot[1]) / focal, -1.0])
    for statement in domain.statements:
        numbers = {n.name: n.as_value([(low + high) / 2 for low, high in zip(n.low, n.high, strict=True)]) for n in statement.numbers}
        if "loc" not in numbers or ahead[2] >= 0:
            continue
        words = {choice.name: choice.words[0] for choice in statement.choices}
        heights: set[float] = set()
        for choice in statement.choices:
            for word in choice.words[:MOST_WORDS]:
                obj = domain.settled(Object(statement.name, {**numbers, **words, choice.name: word}))
                height = float(obj["loc"][2])
                x, y, _ = eye + ahead * (height - eye[2]) / ahead[2]
                low, high = (
                    next(n.low for n in statement.numbers if n.name == "loc"),
                    next(n.high for n in statement.numbers if n.name == "loc"),
                )
                if height not in heights and low[0] <= x <= high[0] and low[1] <= y <= high[1]:
                    heights.add(height)
                    yield obj.replaced(loc=(float(x), float(y), height))


def cost(fit: Fit, state: State, level: Level, window: Window) -> float:
    """How badly a state explains a window of the image."""
    left, top, right, bottom = window
    lacking = blurred(level.pixels[top:bottom, left:right] - fit.draw(state, level, window), level.blur)
    return float(costs(inner(lacking)).sum())


def _window(objects: Sequence[Object], fit: Fit, level: Level) -> Window | None:
    """The window in which any of these objects is seen."""
    shot = fit.state.at(*level.size).shot
    return window_around(np.concatenate([outline(obj, fit.domain, shot) for obj in objects]), level)
