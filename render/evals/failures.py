"""The page of failures: the scenes that each method read worst, with their picture and both codes. One file, pictures within."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datagen.domains import get_domain
from datagen.files import write_bytes
from datagen.sample import encode_image
from render.compare import Scored, report_sample, score_sides
from render.evals.plan import Condition, Evaluation, Request
from render.report import Picture, render_page
from render.sides import Side

MOST = 8  # scenes of a method and condition
THRESHOLD = 0.5  # metres: the average precision by which scenes are ordered


@dataclass(frozen=True)
class Shown:
    """The predictions of a cell under one condition, and the truth, at these keys."""

    request: Request
    condition: Condition
    truth: Side
    guess: Side
    keys: Sequence[str]


def write_failures(path: Path, evaluation: Evaluation, shown: Sequence[Shown], absent: Sequence[str]) -> None:
    """Write the page of what is shown; `absent` names what cannot be, for want of its predictions. What predictions say is escaped."""
    page = render_page(
        "evals/failures.html",
        title=f"{evaluation.title}: failures",
        sections=[_section(one) for one in shown],
        absent=absent,
        threshold=THRESHOLD,
        unit=get_domain(evaluation.train.domain).unit,
    )
    write_bytes(path, page.encode())


def badness(scored: Scored) -> tuple[float, int]:
    """How bad a scene was read, to sort by: lack of average precision first, then wrong words and extra objects."""
    scene = scored.scene
    wrong = sum(tally.all - tally.right for tally in scene.choices.values())
    return 1 - scene.average_precision[THRESHOLD], wrong + max(0, scene.guesses - len(scene.pairs))


def _section(one: Shown) -> dict[str, Any]:
    domain = get_domain(one.condition.data.domain)
    scored = score_sides(one.truth, one.guess, one.keys, domain)
    worst = sorted(scored, key=badness, reverse=True)[:MOST]
    samples = [report_sample(one.truth, one.guess, s, domain) for s in worst]
    return {
        "anchor": f"{one.request.method.name}-{one.condition.key}",
        "method": one.request.method.label,
        "size": one.request.size,
        "condition": one.condition.label,
        "scenes": len(scored),
        "faultless": sum(s.scene.average_precision[THRESHOLD] == 1 for s in scored),
        "cards": [(sample, [_picture(caption, pixels) for caption, pixels in sample.pictures.items()]) for sample in samples],
    }


def _picture(caption: str, pixels: np.ndarray) -> Picture:
    source = "data:image/png;base64," + base64.b64encode(encode_image(pixels)).decode()
    return Picture(caption, source, pixels.shape[1], pixels.shape[0])
