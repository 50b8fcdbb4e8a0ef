"""What a prediction says of its certainty, held against the truth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.domains.registry import get_domain
from datagen.metrics.certainty import (
    BINS,
    Certainty,
    Judged,
    SceneCertainty,
    calibration_error,
    judge,
    right_within,
    summarize_certainty,
    told_numbers,
)
from datagen.metrics.matching import match
from datagen.scene import Object, Scene

CLEVR = get_domain("clevr")


def block(x: float, *, shape: str = "cube", color: str = "red", rotation: float = 10.0) -> Object:
    words = {"color": color, "material": "metal", "size": "large", "shape": shape}
    return Object("add", {"loc": (x, 0.0, 0.7), **words, "rotation": rotation if shape == "cube" else 0.0})


def judged(truth: list[Object], guess: list[Object], said: Certainty, hidden: tuple[int, ...] = ()) -> SceneCertainty:
    true, other = Scene("clevr", tuple(truth)), Scene("clevr", tuple(guess))
    return judge(true, other, match(true, other, CLEVR), said, CLEVR, hidden=hidden)


def test_an_object_is_right_with_all_its_words_in_its_place() -> None:
    assert right_within(CLEVR) == 0.25
    truth = [block(-2), block(0), block(2)]
    guess = [block(-2.2), block(0, color="blue"), block(2.3), block(2.8)]
    found = judged(truth, guess, Certainty((0.9, 0.8, 0.7, 0.6)))
    assert found.objects == (Judged(0.9, True), Judged(0.8, False), Judged(0.7, False), Judged(0.6, False))
    assert found.words == {}


def test_words_count_where_an_object_has_a_match() -> None:
    words = ({"color": 0.9, "shape": 0.8}, {"color": 0.7, "shape": 0.6}, {"color": 0.5, "shape": 0.4})
    found = judged([block(-2), block(2)], [block(-2, color="blue"), block(2), block(0)], Certainty(words=words))
    assert found.words == {"color": (Judged(0.9, False), Judged(0.7, True)), "shape": (Judged(0.8, True), Judged(0.6, True))}


def test_intervals_hold_numbers_across_the_seam_of_a_period() -> None:
    loc = ((-0.1, 0.1), (0.01, 0.1), (0.7, 0.7))
    said = Certainty(intervals=({"loc": loc, "rotation": ((-4.0, 3.0),)},))
    found = judged([block(0, rotation=88.0)], [block(0, rotation=0.0)], said, hidden=(0,))
    assert [(held.component, held.inside, held.hidden) for held in found.numbers] == [
        ("loc.x", True, True),
        ("loc.y", False, True),
        ("loc.z", True, True),
        ("rotation", True, True),
    ]
    missed = judged([block(0, rotation=80.0)], [block(0, rotation=0.0)], said)
    assert [held.inside for held in missed.numbers] == [True, False, True, False]


def test_a_number_that_no_image_tells_is_not_counted() -> None:
    assert [number.name for number in told_numbers(block(0, shape="sphere"), CLEVR)] == ["loc"]
    assert [number.name for number in told_numbers(block(0), CLEVR)] == ["loc", "rotation"]
    said = Certainty(intervals=({"loc": ((-1.0, 1.0),) * 3, "rotation": ((-90.0, 90.0),)},))
    assert len(judged([block(0)], [block(0, shape="sphere")], said).numbers) == 3
    assert len(judged([block(0, shape="sphere")], [block(0)], said).numbers) == 3


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.7, 0.9, 1.0]), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_mean_distance_from_the_diagonal(cases: list[tuple[float, bool]]) -> None:
    ordered = sorted(cases)
    sizes = [len(ordered) // BINS + (i < len(ordered) % BINS) for i in range(BINS)]
    ends = np.cumsum([0, *sizes])
    parts = [ordered[a:b] for a, b in pairwise(ends) if b > a]
    apart = sum(abs(sum(c for c, _ in part) - sum(right for _, right in part)) for part in parts) / len(cases)
    assert calibration_error([Judged(*case) for case in cases]) == pytest.approx(apart)


def test_the_calibrated_have_little_error_and_the_boastful_much() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, (200, 10))
    right = rng.random((200, 10)) < sure
    honest, boastful = (
        summarize_certainty([SceneCertainty(tuple(map(Judged, c.tolist(), r.tolist())), {}, ()) for c, r in zip(said, right, strict=True)])
        for said in (sure, sure**0.25)
    )
    assert honest["calibration_error"]["object"] < 0.04
    assert boastful["calibration_error"]["object"] == pytest.approx(float((sure**0.25).mean() - right.mean()), abs=0.01)
    for found in (honest, boastful):
        low, high = found["ends"]["calibration_error"]["object"]
        assert low < high
        assert found["right"]["object"] == pytest.approx(right.mean())
    assert boastful["ends"]["calibration_error"]["object"][0] > honest["ends"]["calibration_error"]["object"][1]


def test_nothing_is_summarized_where_nothing_was_said() -> None:
    assert summarize_certainty([SceneCertainty((), {}, ())]) is None
    assert calibration_error([]) is None
