"""The samples of a comparison with their scores: scenes, images, and what the camera sees, for each candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import numpy as np

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.io.progress import progress
from datagen.metrics.certainty import NOTHING_JUDGED, SceneCertainty, judge, summarize_certainty
from datagen.metrics.intervals import intervals
from datagen.metrics.scores import SceneScores, score_scene
from datagen.metrics.summary import summarize
from datagen.scene import Scene, Shot
from datagen.shards.store import Place
from render.breakdown import Confusion, ObjectFate, confusions, fates, word_names
from render.images import MIN_SIDE, ImageScores
from render.reliability import Curve, curves
from render.scorers import PairScores, Scorers
from render.sides import Answer, Side
from render.views import Seen, ViewScores, score_view, see


@dataclass(frozen=True)
class Scored:
    """The scores of one key. ``status`` is ``compared``, ``missing`` (no answer) or ``unparsable``; ``view`` has those of what the camera
    sees, None where the shot is not known; ``certainty`` what the answer says of its own."""

    key: str
    status: str
    scene: SceneScores
    image: ImageScores | None
    view: ViewScores | None = None
    certainty: SceneCertainty = NOTHING_JUDGED

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: one line of the report's ``samples.jsonl``."""
        image = None if self.image is None else self.image.to_json()
        view = None if self.view is None else self.view.to_json()
        return {"key": self.key, "status": self.status, "scene": summarize([self.scene]), "image": image, "view": view}

    def merit(self) -> tuple[float, ...]:
        """A sort key, larger for better ones: mean AP over the thresholds, recall, then the negated rotation error, FLIP and distance."""
        scene = self.scene
        flip = self.image.flip if self.image is not None else 1.0
        apart = sum(p.distance for p in scene.pairs) / max(1, len(scene.pairs))
        rotation = sum(scene.rotation_errors) / max(1, len(scene.rotation_errors))
        return mean_precision(scene), len(scene.pairs) / max(1, scene.truths), -rotation, -flip, -apart


def mean_precision(scene: SceneScores) -> float:
    """The mean of a scene's average precision over the thresholds; 0 where the domain has none."""
    return fmean(scene.average_precision.values() or [0.0])


@dataclass(frozen=True)
class ScoredAnswer:
    """A candidate's answer to a sample with its scores; ``scene`` is empty if there is none, ``heat`` the PNG of FLIP at every pixel."""

    answer: Answer | None
    scene: Scene
    scored: Scored
    heat: bytes | None = None


@dataclass(frozen=True)
class ScoredSample:
    """A sample with each candidate's answer; ``seen`` is None where the shot is not known, or was not asked for."""

    key: str
    truth: Answer
    scene: Scene
    seen: Seen | None
    answers: tuple[ScoredAnswer, ...]


def score_sides(truth: Side, guess: Side, keys: Sequence[str], domain: Domain) -> list[Scored]:
    """The scores of these keys, in their order, without those of views. `UserError` as `score_samples`."""
    samples = score_samples(truth, [guess], keys, domain, views=False)
    return [sample.answers[0].scored for sample in progress(samples, total=len(keys), desc="compare")]


def score_samples(
    truth: Side, guesses: Sequence[Side], keys: Sequence[str], domain: Domain, *, views: bool = True
) -> Iterator[ScoredSample]:
    """Yield the samples of these keys with the scores of each candidate. `UserError` if a key has no reference, or two images cannot be
    compared."""
    pictured = sum(guess.has_images for guess in guesses) if truth.has_images else 0
    with Scorers[ScoredSample](len(keys) * pictured) as scorers:
        for key in keys:
            sample = _scored(truth, guesses, key, domain, views)
            scorers.put(sample, [_images(sample, one.answer, guess.path) for one, guess in zip(sample.answers, guesses, strict=True)])
            yield from (_with_images(*one) for one in scorers.finished())
        yield from (_with_images(*one) for one in scorers.finished(keep=0))


def reference_of(side: Side, key: str, domain: Domain) -> tuple[Answer, Scene]:
    """The true answer to a key and its scene; `UserError` if there is none that can be a reference."""
    answer = side.answer(key, domain)
    if answer is None or answer.scene is None:
        raise UserError(f"{side.path}: the code of {key} cannot be a reference ({answer.error if answer else 'there is none'})")
    return answer, answer.scene


def chosen_keys(truth: Side, guesses: Sequence[Side], keys: Sequence[str] | None) -> list[str]:
    """The keys to compare: those asked for, or all of the reference. `UserError` for one that the reference lacks, or if there is none."""
    known = set(truth.keys)
    strangers = [key for key in ([key for guess in guesses for key in guess.keys] if keys is None else keys) if key not in known]
    if strangers:
        named = ", ".join(strangers[:5]) + (", …" if len(strangers) > 5 else "")
        raise UserError(f"{truth.path} has no sample {named}: compare with the data that the candidate was predicted from")
    chosen = truth.keys if keys is None else list(dict.fromkeys(keys))
    if not chosen:
        raise UserError(f"{truth.path}: there is nothing to compare")
    return chosen


def _scored(truth: Side, guesses: Sequence[Side], key: str, domain: Domain, views: bool) -> ScoredSample:
    answer, scene = reference_of(truth, key, domain)
    said = [guess.answer(key, domain) for guess in guesses]
    stated = not scene.header and any(one.scene.header for one in said if one is not None and one.scene is not None)
    recorded = truth.shot(key) if views or stated else None
    shot = recorded if views else None
    seen = None if shot is None else see(scene, shot, domain)
    hidden = frozenset() if seen is None else seen.hidden
    answers = []
    for given in said:
        one = _answered(scene, given, key, domain, hidden, shot=recorded)
        if one.answer is not None and seen is not None and shot is not None:
            view = score_view(seen, one.scene, one.scored.scene.pairs, shot, domain)
            one = replace(one, scored=replace(one.scored, view=view))
        answers.append(one)
    return ScoredSample(key, answer, scene, seen, tuple(answers))


def _answered(truth: Scene, answer: Answer | None, key: str, domain: Domain, hidden: Collection[int], *, shot: Shot | None) -> ScoredAnswer:
    empty = Scene(truth.domain, ())
    if answer is None:
        return ScoredAnswer(None, empty, Scored(key, "missing", score_scene(truth, None, domain), None))
    status = "unparsable" if answer.scene is None else "compared"
    scores = score_scene(truth, answer.scene, domain, answer.certainty.confidence, shot)
    certainty = judge(truth, answer.scene or empty, scores.pairs, answer.certainty, domain, hidden=hidden)
    return ScoredAnswer(answer, answer.scene or empty, Scored(key, status, scores, None, certainty=certainty))


def _images(sample: ScoredSample, answer: Answer | None, candidate: Place) -> tuple[np.ndarray, np.ndarray] | None:
    """The images to compare; None if a side has none."""
    if answer is None or answer.image is None or sample.truth.image is None:
        return None
    _check_frames(sample.truth.image, answer.image, sample.key, candidate)
    return sample.truth.image, answer.image


def _check_frames(one: np.ndarray, other: np.ndarray, key: str, candidate: Place) -> None:
    (height, width), (rows, columns) = one.shape[:2], other.shape[:2]
    if (height, width) != (rows, columns):
        remedy = f"render the candidate with --width {width} --height {height}, or with --data, which takes the frame from the data"
        raise UserError(f"{candidate}: the image of {key} has {columns}x{rows} pixels, its reference {width}x{height}; {remedy}")
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{candidate}: the image of {key} has {width}x{height} pixels; at least {MIN_SIDE} each way can be compared")


def _with_images(sample: ScoredSample, pairs: Sequence[PairScores | None]) -> ScoredSample:
    answers = (
        one if pair is None else replace(one, scored=replace(one.scored, image=pair.scores), heat=pair.heat)
        for one, pair in zip(sample.answers, pairs, strict=True)
    )
    return replace(sample, answers=tuple(answers))


@dataclass
class Found:
    """What was found of all samples for one candidate."""

    domain: Domain
    scored: list[Scored] = field(default_factory=list)
    wrong: Counter[Confusion] = field(default_factory=Counter)
    right: Counter[tuple[str, str]] = field(default_factory=Counter)
    objects: list[ObjectFate] = field(default_factory=list)

    def add(self, sample: ScoredSample, candidate: int) -> None:
        """Count a sample."""
        one = sample.answers[candidate]
        scores = one.scored.scene
        self.scored.append(one.scored)
        self.wrong.update(confusions(sample.scene, one.scene, scores, self.domain))
        self.objects += fates(sample.scene, one.scene, scores, sample.seen, self.domain)
        for pair in scores.pairs:
            true, guessed = sample.scene.objects[pair.truth].values, one.scene.objects[pair.guess].values
            self.right.update(
                (name, str(true[name])) for name in word_names(self.domain) if name in true and true[name] == guessed.get(name)
            )

    def curves(self) -> list[Curve]:
        """The reliability plots of objects and of each argument's words; none where no confidence was stated."""
        return curves([one.certainty for one in self.scored])

    def metrics(self) -> dict[str, Any]:
        """The part of ``metrics.json`` that follows from the scores."""
        scenes, images = [s.scene for s in self.scored], [s.image for s in self.scored if s.image is not None]
        return {
            "samples": len(self.scored),
            "missing": sum(s.status == "missing" for s in self.scored),
            "unparsable": sum(s.status == "unparsable" for s in self.scored),
            "scene": summarize(scenes),
            "intervals": intervals(scenes),
            "certainty": summarize_certainty([s.certainty for s in self.scored]),
            "image": summarize_images(images),
            "images_reduced": sum(image.reduced for image in images),
            "view": summarize_views([s.view for s in self.scored if s.view is not None]),
        }


def summarize_images(scores: Sequence[ImageScores]) -> dict[str, Any] | None:
    """The number of pairs of images as ``samples``, and their mean scores, ``same`` as a share; None if there is no pair."""
    if not scores:
        return None
    means = {name: fmean(getattr(s, name) for s in scores) for name in ("psnr", "ssim", "flip", "same")}
    return {"samples": len(scores), **means}


def summarize_views(scores: Sequence[ViewScores]) -> dict[str, Any] | None:
    """The number of views as ``samples``, and the means of their scores, None where none has one; None if there is no view."""
    if not scores:
        return None
    values = {name: [v for s in scores if (v := getattr(s, name)) is not None] for name in ("mask_iou", "depth_error")}
    return {"samples": len(scores), **{name: fmean(found) if found else None for name, found in values.items()}}
