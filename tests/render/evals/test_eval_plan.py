"""What an evaluation asks of each of its runs: what names a cell, how the budget is spent, which settings are stated."""

from __future__ import annotations

from typing import Any

import pytest
from eval_runs import requests


def test_what_determines_a_cell_names_it_and_nothing_else_does() -> None:
    (one, other), (again, _) = requests(sizes=(500,)), requests(sizes=(500,), changes=("save_seconds=5", "log_steps=3"))
    assert one.digest == again.digest != other.digest
    assert one.pretraining_digest == other.pretraining_digest == again.pretraining_digest
    changes: list[dict[str, Any]] = [
        {"sizes": (501,)},
        {"seeds": (1,)},
        {"budget": 100},
        {"pretrain_share": 0.25},
        {"changes": ("learning_rate=0.1",)},
    ]
    others = [requests(**{"sizes": (500,), **change})[0] for change in changes]
    others += [requests(sizes=(500,), test_scenes=n, width=w)[0] for n, w in ((5, 160), (4, 162))]
    assert len({request.digest for request in (one, *others)}) == 1 + len(others)


@pytest.mark.parametrize(("share", "shared"), [(0.5, (750, 750)), (0.25, (375, 1125)), (0.0, (None, 1500))])
def test_the_budget_is_spent_whatever_the_data(share: float, shared: tuple[int | None, int]) -> None:
    for request in requests(sizes=(500, 4000), pretrain_share=share):
        assert (request.pretraining and request.pretraining.optimisation.steps, request.training.optimisation.steps) == shared


def test_a_tower_that_is_not_trained_is_not_pretrained() -> None:
    (request,) = requests(methods=("head",), sizes=(500,), preset="paper", budget=320_000)
    assert request.pretraining is None
    assert request.training.optimisation.steps == 10_000


@pytest.mark.parametrize(
    ("setting", "before", "since"),
    [("vision_merge", 1, 2), ("number_cells", False, True), ("order_noise", 0.0, 0.1), ("word_cells", False, True)],
)
def test_a_later_setting_is_stated_unless_it_does_what_was_done_before(setting: str, before: Any, since: Any) -> None:
    plain, new = (
        requests(methods=("head",), sizes=(500,), changes=("word_cells=false", f"{setting}={value}"))[0] for value in (before, since)
    )
    assert new.asked["settings"][setting] == since
    assert setting not in plain.asked["settings"]
