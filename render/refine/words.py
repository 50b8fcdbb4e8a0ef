"""Words, made-up objects and missed ones: alternatives are rendered where they would be seen, and kept if they explain the image better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from scipy.ndimage import binary_opening, label

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
PROMISING = 1.05  # times the cost of what is there: costlier alternatives are not tried any further
UNIT = 0.015
"""The difference of costs that counts as much as a factor e between the probabilities of words: the noise of frames makes as large ones."""
UNTOLD = 0.99  # the probability of an object's words where the model has not told one
OTHERS = 12  # words that an object may have instead, each as likely as the next
QUIET, UNFITTED = 0.006, 0.02
"""The cost around an object, for each pixel of it, that the right words leave as well, once numbers are fitted and before."""
PLAINLY = 0.75  # the share of the cost that words have to leave before anything is fitted
CLEARLY = 0.88  # the share of the cost that other words must leave at most: what neither explains well says little of either
GLANCED_AT, FITTED = 12, 2  # alternatives of an object that are fitted at a glance, and of these closely
LEAVING_OUT, DOUBTED = 0.85, 0.9  # the share of the cost that an object left out must leave, and the most that the model was sure of it
WITHOUT = 0.035  # the cost for each pixel of an object below which the image must be explained without it
ADDING, EXPLAINED = 0.6, 0.015  # the share that an added object must leave, and the cost for each pixel of it that it must get below
LEFT_OVER = 0.08  # the difference, of sRGB in [0, 1], that an unexplained spot has
LEAST_SPOT, MOST_SPOTS = 8, 3  # pixels of a spot; spots that are looked at


@dataclass(frozen=True)
class Beliefs:
    """What the model thinks: other scenes that are likely, and how sure it is of each object that was given, None where it did not say."""

    candidates: Sequence[Scene] = ()
    confidence: Sequence[float] | None = None

    def of(self, state: State, index: int) -> float | None:
        """The probability that an object is as it was given; None where nobody has told."""
        origin = state.origins[index]
        return None if self.confidence is None or origin is None else self.confidence[origin]

    def gain(self, state: State, index: int) -> float:
        """How much lower the cost of other words must be before they are likelier than those that an object has."""
        if state.origins[index] is None:
            return 0.0
        told = self.of(state, index)
        sure = min(max(UNTOLD if told is None else told, 1e-6), 1 - 1e-6)
        return max(0.0, UNIT * math.log(sure * OTHERS / (1 - sure)))


def mend_plain_words(fit: Fit, level: Level, beliefs: Beliefs) -> None:
    """Before anything is fitted, leave out what the model doubts and the image lacks, and take the alternative for an object where the
    given words, such as its colour, are plainly wrong: a step of Gauss-Newton would only drag it away.
    """
    for index in reversed(range(len(fit.state.scene))):
        _drop(fit, level, index, beliefs)
    for index in range(len(fit.state.scene)):
        tried = _tried(fit, level, index, beliefs, UNFITTED)
        if tried is not None:
            now, others = tried
            least, best = others[0]
            if least < min(PLAINLY * now, now - beliefs.gain(fit.state, index)):
                fit.state = fit.state.with_object(index, best)


def try_words(fit: Fit, glance: Level, level: Level, beliefs: Beliefs) -> None:
    """Try other words for each object, the scene without it, and further objects where the image is not explained: at a ``glance`` first,
    and what may be better there at a closer ``level``."""
    for index in range(len(fit.state.scene)):
        _reword(fit, glance, level, index, beliefs)
    for index in reversed(range(len(fit.state.scene))):
        _drop(fit, level, index, beliefs)
    for _ in range(MOST_SPOTS):
        if len(fit.state.scene) >= fit.domain.max_objects or not _add(fit, level):
            break


def settle_words(fit: Fit, glance: Level, level: Level, beliefs: Beliefs) -> None:
    """Once numbers are nearly right, try other words again for the objects that nobody is sure of: those that were added, all at the finer
    ``level``, and those that the model doubts."""
    for index in range(len(fit.state.scene)):
        added = fit.state.origins[index] is None
        if added or (beliefs.of(fit.state, index) or UNTOLD) <= UNTOLD:
            _reword(fit, level if added else glance, level, index, beliefs)


def _reword(fit: Fit, glance: Level, level: Level, index: int, beliefs: Beliefs) -> None:
    """Take for an object the alternative that is likelier, given its surroundings, if there is one."""
    promising = _promising(fit, glance, index, beliefs)
    window = _window([fit.state.scene.objects[index], *promising], fit, level)
    if not promising or window is None:
        return
    fit.polish(level, index, 2)
    now = cost(fit, fit.state, level, window)
    best, least = fit.state, now if fit.state.origins[index] is None else min(CLEARLY * now, now - beliefs.gain(fit.state, index))
    for other in promising:
        trial = replace(fit, state=fit.state.with_object(index, other))
        trial.polish(level, index, 2)
        reached = cost(fit, trial.state, level, window)
        if reached < least:
            best, least = trial.state, reached
    fit.state = best


def _promising(fit: Fit, level: Level, index: int, beliefs: Beliefs) -> list[Object]:
    """The alternatives of an object that may be better, fitted at a glance, the best ones first, at most `FITTED`.

    Not yet fitted, the right words cost more than wrong ones that are, above all those of another size."""
    sure = 0.0 if fit.state.origins[index] is None else beliefs.of(fit.state, index)
    tried = _tried(fit, level, index, beliefs, 0.0 if sure is not None and sure < DOUBTED else QUIET)
    if tried is None:
        return []
    _, others = tried
    fitted = []
    for _, other in others[:GLANCED_AT]:
        trial = replace(fit, state=fit.state.with_object(index, other))
        trial.polish(level, index, 2)
        found = trial.state.scene.objects[index]
        window = _window([fit.state.scene.objects[index], found], fit, level)
        if window is not None:
            fitted.append((cost(fit, trial.state, level, window) / max(cost(fit, fit.state, level, window), 1e-9), found))
    return [found for share, found in sorted(fitted, key=lambda one: one[0]) if share < PROMISING][:FITTED]


def _tried(fit: Fit, level: Level, index: int, beliefs: Beliefs, quiet: float) -> tuple[float, list[tuple[float, Object]]] | None:
    """The cost in an object's window, and its alternatives with theirs, the cheapest first; None if there are none, or if the cost is so
    small that no words can be better enough: ``quiet`` for each pixel is what remains."""
    obj = fit.state.scene.objects[index]
    others = list(alternatives(obj, fit.domain, fit.state.at(*level.size).shot, beliefs.candidates))
    window = _window([obj, *others], fit, level)
    if not others or window is None:
        return None
    now = cost(fit, fit.state, level, window)
    if now < quiet * _pixels(obj, fit, level) + beliefs.gain(fit.state, index):
        return None
    tried = [(cost(fit, fit.state.with_object(index, other), level, window), other) for other in others]
    return now, sorted(tried, key=lambda one: one[0])


def _pixels(obj: Object, fit: Fit, level: Level) -> float:
    """The area of the frame, in pixels, in which an object is seen."""
    return float(np.prod(np.ptp(outline(obj, fit.domain, fit.state.at(*level.size).shot), axis=0)))


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


def _drop(fit: Fit, level: Level, index: int, beliefs: Beliefs) -> None:
    """Leave out an object that the model doubts if the image is explained clearly better without it."""
    obj, sure = fit.state.scene.objects[index], beliefs.of(fit.state, index)
    window = _window([obj], fit, level)
    if window is None or (sure is not None and sure > DOUBTED):
        return
    without = fit.state.without(index)
    if cost(fit, without, level, window) < min(LEAVING_OUT * cost(fit, fit.state, level, window), WITHOUT * _pixels(obj, fit, level)):
        fit.state = without


def _add(fit: Fit, level: Level) -> bool:
    """Put an object where the image is explained least, if one there explains it clearly better; whether it does."""
    index = len(fit.state.scene)
    for spot in _spots(fit, level):
        best = None
        for start in _starts(spot, fit, level):
            window = _window([start], fit, level)
            if window is None:
                continue
            trial = replace(fit, state=fit.state.with_new(start))
            reached = _described(trial, level, index, window)
            most = min(ADDING * cost(fit, fit.state, level, window), EXPLAINED * _pixels(trial.state.scene.objects[index], trial, level))
            if reached < most and not _crowded(trial, fit) and (best is None or reached - most < best[0]):
                best = reached - most, trial.state
        if best is not None:
            fit.state = best[1]
            return True
    return False


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


def _spots(fit: Fit, level: Level) -> list[tuple[float, float]]:
    """The centres, in pixels, of the largest spots that the state does not explain, at most `MOST_SPOTS`.

    What is thin is no spot, but an edge that is not yet where it should be."""
    apart = np.abs(level.residual(fit.draw(fit.state, level))).mean(2)
    spots, count = label(binary_opening(blurred(apart[..., None], 1.0)[..., 0] > LEFT_OVER, np.ones((3, 3))))
    sizes = np.bincount(spots.ravel(), minlength=count + 1)[1:]
    largest = [1 + spot for spot in np.argsort(-sizes)[:MOST_SPOTS] if sizes[spot] >= LEAST_SPOT]
    return [(float(columns.mean() + 0.5), float(rows.mean() + 0.5)) for rows, columns in (np.nonzero(spots == spot) for spot in largest)]


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
