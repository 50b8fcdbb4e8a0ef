"""Runs of an evaluation as they are asked for, and their cells with scores that are known beforehand."""

from __future__ import annotations

from typing import Any

from comparison_sets import DOMAIN, make_samples

from datagen.metrics.intervals import intervals
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from render.evals.catalogue import asked
from render.evals.plan import RunRequest
from render.evals.runs import Run


def requests(**given: Any) -> list[RunRequest]:
    """The runs of the evaluation `cogent`, of both methods and four test scenes unless something else is given."""
    evaluation, plan = asked("cogent", **{"methods": ("head", "char"), "test_scenes": 4, **given})
    return plan.requests(evaluation)


def known_run(request: RunRequest, right: int) -> Run:
    """Four scenes, of which so many are read without a fault and the others not at all."""
    samples = make_samples(4)  # of four objects each
    scores = [score_scene(sample.scene, sample.scene if i < right else None, DOMAIN) for i, sample in enumerate(samples)]
    work = request.work
    return Run(
        request,
        training={**(work["training"] or {}), "seconds": 61.4},
        pretraining={**(work["pretraining"] or {}), "seconds": 30.0},
        scores={"A": summarize(scores), "B": summarize(scores[::-1][:2])},
        intervals={"A": intervals(scores), "B": intervals(scores[::-1][:2])},
        versions={"device": "cpu"},
    )
