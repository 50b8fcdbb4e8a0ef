"""Several candidates against one truth, on one page: every score with its interval, paired differences, wins and losses, scene by scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.progress import progress
from datagen.metrics.intervals import differences, mean_difference
from datagen.shards.reader import Samples
from render.cards import columns_of, page_sample, ranks
from render.compare import DEFAULT_DOMAIN
from render.report import check_report_folder, distance, number, percent, writing_report
from render.scored import Found, Scored, chosen_keys, mean_precision, score_samples
from render.sides import Side

TITLE = "Candidates compared"
MOST_CANDIDATES = 26  # of a page, each of whose samples shows all of them
_SCORES: tuple[tuple[str, str, bool, Callable[[Scored], float | None]], ...] = (
    ("ap", "average precision", True, lambda s: mean_precision(s.scene) if s.scene.average_precision else None),
    ("location", "location error", False, lambda s: fmean(p.distance for p in s.scene.pairs) if s.scene.pairs else None),
    ("rotation", "rotation error", False, lambda s: fmean(s.scene.rotation_errors) if s.scene.rotation_errors else None),
    ("camera", "camera's location error", False, lambda s: s.scene.shot.camera.location if s.scene.shot and s.scene.shot.camera else None),
    ("aim", "camera's direction error", False, lambda s: s.scene.shot.camera.direction if s.scene.shot and s.scene.shot.camera else None),
    ("mask_iou", "mask IoU", True, lambda s: None if s.view is None else s.view.mask_iou),
    ("depth_error", "depth error", False, lambda s: None if s.view is None else s.view.depth_error),
    ("flip", "FLIP", False, lambda s: None if s.image is None else s.image.flip),
    ("psnr", "PSNR", True, lambda s: None if s.image is None else s.image.psnr),
    ("ssim", "SSIM", True, lambda s: None if s.image is None else s.image.ssim),
)
"""What a scene is won or lost by: name, label, whether higher is better, and a sample's value."""


def compare_several(
    reference: Path | Samples,
    candidates: Mapping[str, Path],
    out: Path,
    keys: Sequence[str] | None = None,
    *,
    kind: str = DEFAULT_DOMAIN,
    heading: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Score several candidates, by name, against `reference`, write the report folder `out`, and return what is in its ``metrics.json``.

    Its ``candidates`` hold for each the name, the place as ``candidate``, and all that ``metrics.json`` has for a single one; ``paired``
    holds for each but the first how much its scores are above the first one's, with intervals, and how many scenes it wins and loses by
    each score. Arguments and errors are as those of `render.compare.compare`.
    """
    check_report_folder(out)
    if not 2 <= len(candidates) <= MOST_CANDIDATES:
        raise UserError(f"{len(candidates)} candidates: from 2 to {MOST_CANDIDATES} can be compared on one page")
    truth, guesses = Side(reference), [Side.of(path) for path in candidates.values()]
    chosen = chosen_keys(truth, guesses, keys)
    domain = next((known for side in (truth, *guesses) if (known := side.domain()) is not None), None) or get_domain(kind)
    found = [Found(domain) for _ in guesses]
    with writing_report(out) as report:
        for sample in progress(score_samples(truth, guesses, chosen, domain), total=len(chosen), desc="compare"):
            for place, one in enumerate(found):
                one.add(sample, place)
            report.add(page_sample(sample, domain))
        metrics = {
            "reference": str(truth.path),
            "domain": domain.name,
            "unit": domain.unit,
            "samples": len(chosen),
            "candidates": [
                {"name": name, "candidate": str(path), **one.metrics()} for (name, path), one in zip(candidates.items(), found, strict=True)
            ],
            "paired": [{"name": name, **paired(found[0], one)} for name, one in list(zip(candidates, found, strict=True))[1:]],
        }
        report.finish(
            "several.html",
            TITLE,
            metrics,
            sort=columns_of(found),
            names=list(candidates),
            ranks=ranks(found),
            heading={"Reference": metrics["reference"], **{name: str(path) for name, path in candidates.items()}, **(heading or {})},
            rows=score_rows(metrics, domain),
            pairs=pair_rows(metrics, domain),
            wins=win_rows(metrics),
        )
    return metrics


def candidate_names(paths: Sequence[Path]) -> list[str]:
    """A name for each candidate: its own, or as much of its path as tells it from the others. `UserError` if one comes twice."""
    resolved = [path.absolute() for path in paths]
    for path in resolved:
        if resolved.count(path) > 1:
            raise UserError(f"--candidate {path}: is given twice; give it once")
    names = [path.name for path in resolved]
    for depth in range(2, max(len(path.parts) for path in resolved) + 1):
        if len(set(names)) == len(names):
            break
        names = ["/".join(path.parts[-depth:]) if names.count(name) > 1 else name for path, name in zip(resolved, list(names), strict=True)]
    return names


def paired(first: Found, other: Found) -> dict[str, Any]:
    """How much the scores of a candidate are above the first one's, as ``scene`` and ``means``, with intervals; and by score how many
    scenes it ``wins``, loses and ties."""
    scenes = differences([s.scene for s in first.scored], [s.scene for s in other.scored])
    means, wins = {}, {}
    for name, _, higher, value in _SCORES:
        values = ((value(one), value(two)) for one, two in zip(first.scored, other.scored, strict=True))
        steps = [b - a for a, b in values if a is not None and b is not None]
        if not steps:
            continue
        means[name] = mean_difference(steps)
        better = sum((step > 0) == higher for step in steps if step)
        ties = sum(not step for step in steps)
        wins[name] = {"wins": better, "losses": len(steps) - better - ties, "ties": ties}
    return {"scene": scenes, "means": means, "wins": wins}


# The rows of the page's tables


Format = Callable[[float | None], str]


def _lines(domain: Domain, sample: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], Format]]:
    """The scores of a table: a label, where the value lies in a candidate's metrics, and how it is written."""
    scene = sample["scene"]
    lines: list[tuple[str, tuple[str, ...], Format]] = [
        ("recall", ("scene", "recall"), percent),
        ("precision", ("scene", "precision"), percent),
        ("right number of objects", ("scene", "count_accuracy"), percent),
    ]
    if scene["ap"]:
        lines.append(("location error", ("scene", "location_l2"), lambda value: distance(value, domain.unit)))
        near = {t: "at any distance" if t == "inf" else f"at {t} {domain.unit}" for t in scene["ap"]}
        lines += [(f"AP {where}", ("scene", "ap", threshold), percent) for threshold, where in near.items()]
    lines += [(f"{name}, of all true objects", ("scene", "accuracy_all", name), percent) for name in scene["accuracy_all"]]
    if scene["rotation_error"]["pairs"]:
        lines.append(("rotation error, median", ("scene", "rotation_error", "median"), lambda value: number(value, 2, "°")))
        lines.append(("rotation error, mean", ("scene", "rotation_error", "mean"), lambda value: number(value, 2, "°")))
    if "shot" in scene:
        lines += _shot_lines(scene["shot"])
    if scene["relations"] is not None:
        lines.append(("relations", ("scene", "relations"), percent))
    lines += [
        ("mask IoU", ("view", "mask_iou"), lambda value: number(value, 3)),
        ("depth error", ("view", "depth_error"), lambda value: distance(value, "m")),
        ("FLIP", ("image", "flip"), lambda value: number(value, 4)),
        ("PSNR", ("image", "psnr"), lambda value: number(value, 2, "dB")),
        ("SSIM", ("image", "ssim"), lambda value: number(value, 4)),
    ]
    return lines


def _shot_lines(shot: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], Format]]:
    """The lines of the table for camera and lamps."""

    def degrees(value: float | None) -> str:
        return number(value, 2, "°")

    where = ("scene", "shot", "camera")
    lines: list[tuple[str, tuple[str, ...], Format]] = [
        ("camera: location error, median", (*where, "location", "median"), lambda value: distance(value, "m")),
        ("camera: direction error, median", (*where, "direction", "median"), degrees),
        ("camera: roll error, median", (*where, "roll", "median"), degrees),
        ("camera: field of view error, median", (*where, "field_of_view", "median"), degrees),
    ]
    for name in shot["lamp_direction"]:
        lines.append((f"{name} lamp: direction error, median", ("scene", "shot", "lamp_direction", name, "median"), degrees))
        lines.append((f"{name} lamp: power error, median", ("scene", "shot", "lamp_power", name, "median"), percent))
    return lines


def _at(content: Any, path: Sequence[str]) -> Any:
    for name in path:
        content = None if content is None else content.get(name)
    return content


def score_rows(metrics: Mapping[str, Any], domain: Domain) -> list[tuple[str, list[tuple[str, str]]]]:
    """The rows of the table of scores: a label, and for each candidate the value and its interval."""
    rows = []
    for label, path, write in _lines(domain, metrics["candidates"][0]):
        values = [_at(one, path) for one in metrics["candidates"]]
        ends = [_at(one["intervals"], path[1:]) if path[0] == "scene" else None for one in metrics["candidates"]]
        if any(value is not None for value in values):
            rows.append((label, [(write(v), f"{write(e[0])} to {write(e[1])}" if e else "") for v, e in zip(values, ends, strict=True)]))
    return rows


def pair_rows(metrics: Mapping[str, Any], domain: Domain) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """The rows of the table of differences: a label, and for each candidate but the first the difference, its interval, and whether that
    excludes 0."""
    rows = []
    for label, path, write in _lines(domain, metrics["candidates"][0]):
        place = path if path[0] == "scene" else ("means", path[1])
        cells = [_at(one, place) for one in metrics["paired"]]
        if any(cell is not None and cell["difference"] is not None for cell in cells):
            rows.append((label, [_difference(cell, write) for cell in cells]))
    return rows


def _difference(cell: Mapping[str, Any] | None, write: Format) -> tuple[str, str, bool]:
    if cell is None or cell["difference"] is None:
        return "–", "", False
    ends = cell["interval"]
    clear = ends is not None and (ends[0] > 0 or ends[1] < 0)
    return _signed(cell["difference"], write), f"{_signed(ends[0], write)} to {_signed(ends[1], write)}" if ends else "", clear


def _signed(value: float, write: Format) -> str:
    """A difference with its sign; its size is written as a value would be."""
    return ("+" if value > 0 else "−" if value < 0 else "±") + write(abs(value))


def win_rows(metrics: Mapping[str, Any]) -> list[tuple[str, list[tuple[int, int, int]]]]:
    """The rows of the table of wins: a label, and for each candidate but the first its wins, losses and ties."""
    rows = []
    for name, label, _, _ in _SCORES:
        cells = [one["wins"].get(name) for one in metrics["paired"]]
        if any(cells):
            none = {"wins": 0, "losses": 0, "ties": 0}
            rows.append((label, [((c or none)["wins"], (c or none)["losses"], (c or none)["ties"]) for c in cells]))
    return rows
