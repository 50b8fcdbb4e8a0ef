"""The page of pictures, a single file: scenes with each method's prediction, both codes, and the predicted scene drawn over the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datagen.images.encoding import encode_image
from datagen.io.pages import embedded
from datagen.scene import Scene
from render.cards import problem_of
from render.codediff import DiffRow, diff
from render.evals.declaration import Evaluation, Shown
from render.overlay import overlay
from render.report import Picture, render_page, spread
from render.scored import Scored, reference_of

MOST = 8  # scenes of a method and condition


@dataclass(frozen=True)
class Card:
    """One sample on the page.

    ``scores`` is as a line of ``samples.jsonl``, ``rows`` both codes side by side, ``problem`` what is wrong with the prediction as a
    whole, and ``code`` the prediction as written where it does not parse.
    """

    scores: Mapping[str, Any]
    rows: Sequence[DiffRow]
    problem: str | None
    code: str | None


def pictures_page(evaluation: Evaluation, shown: Sequence[Shown], absent: Sequence[str]) -> str:
    """The page of these predictions; `absent` has the titles of those that are missing. Text from predictions is escaped."""
    return render_page(
        "evals/pictures.html",
        title=f"{evaluation.title}: pictures",
        worst=evaluation.shown == "worst",
        sections=[_section(one, evaluation) for one in shown],
        absent=absent,
        threshold=_near(evaluation),
        unit=evaluation.domain.unit,
    )


def _near(evaluation: Evaluation) -> float | None:
    """The distance at which average precision orders the scenes: the middle one of the domain's thresholds; None if it has none."""
    thresholds = evaluation.domain.ap_thresholds
    return thresholds[len(thresholds) // 2] if thresholds else None


def badness(scored: Scored, threshold: float | None) -> tuple[float, ...]:
    """A sort key, larger for worse predictions: first by average precision at the distance ``threshold``, then by the number of missed and
    extra objects and wrong words, then by the errors of rotations, then of locations."""
    scene = scored.scene
    precision = 1.0 if threshold is None else scene.average_precision[threshold]
    wrong = sum(tally.all - tally.right for tally in scene.choices.values())
    turned, apart = sum(scene.rotation_errors), sum(pair.distance for pair in scene.pairs)
    return 1 - precision, scene.truths + scene.guesses - 2 * len(scene.pairs) + wrong, turned, apart


def _section(one: Shown, evaluation: Evaluation) -> dict[str, Any]:
    threshold = _near(evaluation)
    ordered = sorted(one.scored, key=lambda s: badness(s, threshold), reverse=True)
    chosen = ordered[:MOST] if evaluation.shown == "worst" else spread(ordered[::-1], MOST)
    return {
        "anchor": f"{one.method.name}-{one.condition.key}",
        "method": one.method.label,
        "size": one.size,
        "condition": one.condition.label,
        "scenes": len(one.keys),
        "faultless": None if threshold is None else sum(s.scene.average_precision[threshold] == 1 for s in one.scored),
        "cards": [(_card(one, s, evaluation), _pictures(one, s.key, evaluation)) for s in chosen],
    }


def _card(one: Shown, scored: Scored, evaluation: Evaluation) -> Card:
    domain = evaluation.domain
    _, scene = reference_of(one.truth, scored.key, domain)
    other = one.guess.answer(scored.key, domain)
    answer = other.scene if other is not None and other.scene is not None else Scene(scene.domain, ())
    code = other.code if other is not None and other.error is not None else None
    return Card(scored.to_json(), diff(scene, answer, scored.scene.pairs, domain), problem_of(other), code)


def _pictures(one: Shown, key: str, evaluation: Evaluation) -> list[Picture]:
    """The image, and the image with the predicted scene drawn over it, if the code parses."""
    truth, guess = one.truth.answer(key, evaluation.domain), one.guess.answer(key, evaluation.domain)
    if truth is None or truth.image is None:
        return []
    found = [_picture("Input", truth.image)]
    shot = one.truth.shot(key)
    if shot is not None and guess is not None and guess.scene is not None:
        found.append(_picture("What was read, drawn over it", overlay(truth.image, guess.scene, shot, evaluation.domain)))
    return found


def _picture(caption: str, pixels: np.ndarray) -> Picture:
    return Picture(caption, embedded(encode_image(pixels)), pixels.shape[1], pixels.shape[0])
