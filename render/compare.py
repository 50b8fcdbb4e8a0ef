"""Comparison of two sets of codes, and of images where both sides have them, sample by sample, into a report folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.images.reduced import reduced
from datagen.io.progress import progress
from datagen.metrics.intervals import intervals
from datagen.metrics.scores import SceneScores, score_scene
from datagen.metrics.summary import summarize
from datagen.scene import Scene
from datagen.shards.reader import Samples
from datagen.shards.store import Place
from render.codediff import diff
from render.images import MIN_SIDE, ImageScores, flip_map, score_images
from render.report import ReportSample, check_report_folder, spread, write_report
from render.sides import Answer, Side

DEFAULT_DOMAIN = "clevr"  # of two prediction files, which do not state their domain


@dataclass(frozen=True)
class Scored:
    """The scores of one key. ``status`` is ``compared``, ``missing`` (no answer) or ``unparsable``."""

    key: str
    status: str
    scene: SceneScores
    image: ImageScores | None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: one line of the report's ``samples.jsonl``."""
        image = None if self.image is None else self.image.to_json()
        return {"key": self.key, "status": self.status, "scene": summarize([self.scene]), "image": image}


def compare(
    reference: Path | Samples,
    candidate: Path,
    out: Path,
    keys: Sequence[str] | None = None,
    *,
    predictions: Path | None = None,
    kind: str = DEFAULT_DOMAIN,
    heading: Mapping[str, str] | None = None,
    title: str = "Scenes compared",
) -> dict[str, Any]:
    """Score `candidate` against `reference`, write the report folder `out`, and return the content of its ``metrics.json``.

    Either side is a folder of shards or of loose samples, or a ``pred.jsonl`` (scene metrics only); the reference may also be opened
    samples. `keys` restricts the comparison. A key that the candidate lacks counts as missed, code that does not parse as an empty
    prediction. `predictions` is the ``pred.jsonl`` from which a candidate folder was rendered: it gives the code as the model wrote it,
    and the confidences. `kind` is the domain where neither side states its own. `heading` holds further facts for the top of the page.

    Raises `UserError` if something cannot be read, a key has no reference, the domains differ, two images differ in size or are smaller
    than `MIN_SIDE`, or `out` holds something other than a report.
    """
    check_report_folder(out)
    truth, guess = Side(reference), Side(candidate, predictions)
    chosen = _chosen_keys(truth, guess, keys)
    domain = truth.domain() or guess.domain() or get_domain(kind)
    scored = score_sides(truth, guess, chosen, domain)
    sides = {"reference": str(truth.path), "candidate": str(candidate)}
    metrics = {**sides, "domain": domain.name, "unit": domain.unit, **_metrics(scored)}
    shown = spread(sorted(scored, key=_merit, reverse=True))
    samples = (report_sample(truth, guess, s, domain) for s in progress(shown, total=len(shown), desc="report"))
    facts = {**{name.capitalize(): path for name, path in sides.items()}, **(heading or {})}
    write_report(out, title, metrics, rows=[s.to_json() for s in scored], shown=samples, heading=facts)
    return metrics


def score_sides(truth: Side, guess: Side, keys: Sequence[str], domain: Domain) -> list[Scored]:
    """The scores of these keys, in their order. `UserError` if a key has no reference, or two images cannot be compared."""
    return [_score(truth, guess, key, domain) for key in progress(keys, total=len(keys), desc="compare")]


def _metrics(scored: Sequence[Scored]) -> dict[str, Any]:
    """The part of ``metrics.json`` that follows from the scores of all keys."""
    scenes, images = [s.scene for s in scored], [s.image for s in scored if s.image is not None]
    return {
        "samples": len(scored),
        "missing": sum(s.status == "missing" for s in scored),
        "unparsable": sum(s.status == "unparsable" for s in scored),
        "scene": summarize(scenes),
        "intervals": intervals(scenes),
        "image": summarize_images(images),
        "images_reduced": sum(image.reduced for image in images),
    }


def summarize_images(scores: Sequence[ImageScores]) -> dict[str, Any] | None:
    """The number of pairs of images as ``samples``, and their mean scores, ``same`` as a share; None if there is no pair."""
    if not scores:
        return None
    means = {name: fmean(getattr(s, name) for s in scores) for name in ("psnr", "ssim", "flip", "same")}
    return {"samples": len(scores), **means}


def _chosen_keys(truth: Side, guess: Side, keys: Sequence[str] | None) -> list[str]:
    known = set(truth.keys)
    strangers = [key for key in (guess.keys if keys is None else keys) if key not in known]
    if strangers:
        named = ", ".join(strangers[:5]) + (", …" if len(strangers) > 5 else "")
        raise UserError(f"{truth.path} has no sample {named}: compare with the data that the candidate was predicted from")
    chosen = truth.keys if keys is None else list(dict.fromkeys(keys))
    if not chosen:
        raise UserError(f"{truth.path}: there is nothing to compare")
    return chosen


def _reference(side: Side, key: str, domain: Domain) -> tuple[Answer, Scene]:
    answer = side.answer(key, domain)
    if answer is None or answer.scene is None:
        raise UserError(f"{side.path}: the code of {key} cannot be a reference ({answer.error if answer else 'there is none'})")
    return answer, answer.scene


def _score(truth: Side, guess: Side, key: str, domain: Domain) -> Scored:
    one, scene = _reference(truth, key, domain)
    other = guess.answer(key, domain)
    if other is None:
        return Scored(key, "missing", score_scene(scene, None, domain), None)
    status = "unparsable" if other.scene is None else "compared"
    image = None
    if one.image is not None and other.image is not None:
        _check_frames(one.image, other.image, key, guess.path)
        image = score_images(one.image, other.image)
    return Scored(key, status, score_scene(scene, other.scene, domain, other.confidence), image)


def _check_frames(one: np.ndarray, other: np.ndarray, key: str, candidate: Place) -> None:
    (height, width), (rows, columns) = one.shape[:2], other.shape[:2]
    if (height, width) != (rows, columns):
        remedy = f"render the candidate with --width {width} --height {height}, or with --data, which takes the frame from the data"
        raise UserError(f"{candidate}: the image of {key} has {columns}x{rows} pixels, its reference {width}x{height}; {remedy}")
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{candidate}: the image of {key} has {width}x{height} pixels; at least {MIN_SIDE} each way can be compared")


def _merit(scored: Scored) -> tuple[float, ...]:
    """The sort key of a report's samples, larger for better ones: mean AP over the thresholds, recall, then the negated rotation error,
    FLIP and distance."""
    scene = scored.scene
    flip = scored.image.flip if scored.image is not None else 1.0
    distance = sum(p.distance for p in scene.pairs) / max(1, len(scene.pairs))
    rotation = sum(scene.rotation_errors) / max(1, len(scene.rotation_errors))
    precision = fmean(scene.average_precision.values() or [0.0])
    return precision, len(scene.pairs) / max(1, scene.truths), -rotation, -flip, -distance


def report_sample(truth: Side, guess: Side, scored: Scored, domain: Domain) -> ReportSample:
    """A scored key as the sample of a page, with its pictures and both codes side by side."""
    one, scene = _reference(truth, scored.key, domain)
    other = guess.answer(scored.key, domain)
    answer = other.scene if other is not None and other.scene is not None else Scene(scene.domain, ())
    pictures: dict[str, np.ndarray] = {}
    if one.image is not None:
        pictures["Input"] = reduced(one.image)
    if other is not None and other.image is not None:
        pictures["Re-rendered"] = reduced(other.image)
    if len(pictures) == 2:
        pictures["Difference (FLIP)"] = flip_map(*pictures.values())
    problem = "there is no prediction for this sample" if other is None else str(other.error) if other.error else None
    code = other.code if other is not None and other.error is not None else None
    return ReportSample(scored.to_json(), diff(scene, answer, scored.scene.pairs, domain), pictures, problem, code)
