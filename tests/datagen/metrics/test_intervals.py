"""Bootstrap intervals: equal to those of resampling scene by scene, of the right width, and quick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import DOMAIN, EMPTY, SEEDS, cube, cubes, random_scene

from datagen.metrics.intervals import intervals
from datagen.metrics.scores import SceneScores, score_scene
from datagen.metrics.summary import summarize


def random_scores(rng: np.random.Generator, scenes: int) -> list[SceneScores]:
    """The scores of scenes of zero to four objects, against guesses that keep some of their objects and add others."""
    scores = []
    for _ in range(scenes):
        truth = random_scene(rng, int(rng.integers(0, 5)))
        kept = tuple(o for o in truth.objects if rng.random() < 0.6)
        guess = cubes(*kept, *random_scene(rng, int(rng.integers(0, 3)), few_words=True).objects)
        scores.append(score_scene(truth, guess, DOMAIN))
    return scores


def flat(table: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The values of a nested result by path."""
    found: dict[tuple[str, ...], Any] = {}
    for name, value in table.items():
        found |= flat(value, (*path, name)) if isinstance(value, dict) else {(*path, name): value}
    return found


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 9))
def test_they_are_those_of_resampling_step_by_step(seed: int, scenes: int) -> None:
    """The expected values come from `summarize`, called on the scenes of each resample."""
    scores = random_scores(np.random.default_rng(seed), scenes)
    found = flat(intervals(scores, resamples=40, level=0.8, seed=seed))
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(40):
        times = rng.multinomial(scenes, [1 / scenes] * scenes)
        resampled.append(flat(summarize([s for s, n in zip(scores, times, strict=True) for _ in range(n)])))
    assert set(found) == set(resampled[0]) - {(n,) for n in ("objects", "guessed", "matched", "missed", "extra", "too_near")} - {
        ("rotation_error", "pairs")
    }
    for path, ends in found.items():
        values = [r[path] for r in resampled if r.get(path) is not None]
        assert ends == (pytest.approx(list(np.quantile(values, [0.1, 0.9]))) if values else None), path


def test_they_cover_the_truth_about_as_often_as_they_say() -> None:
    """The one object of each scene is found with probability 0.7: of 200 intervals at 90 %, about 180 contain 0.7."""
    hit, miss = score_scene(cubes(cube(0)), cubes(cube(0)), DOMAIN), score_scene(cubes(cube(0)), EMPTY, DOMAIN)
    rng = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        scores = [hit if rng.random() < 0.7 else miss for _ in range(80)]
        low, high = intervals(scores, resamples=200, level=0.9, seed=trial)["recall"]
        held += low <= 0.7 <= high
    assert 168 <= held <= 192


def test_what_never_varies_has_no_width_and_what_never_occurs_no_interval() -> None:
    found = intervals([score_scene(cubes(cube(0)), cubes(cube(0)), DOMAIN)] * 5)
    assert found["recall"] == found["accuracy_all"]["color"] == found["ap"]["0.125"] == [1.0, 1.0]
    assert found["location_l2"] == [0.0, 0.0]
    assert found["relations"] is None
    nothing = intervals([])
    assert nothing["recall"] is nothing["rotation_error"]["median"] is None
    assert nothing["ap"] == {}


def test_many_scenes_draw_in_parts_what_few_draw_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = random_scores(np.random.default_rng(3), 30)
    whole = intervals(scores)
    monkeypatch.setattr("datagen.metrics.intervals._MOST_COUNTS", 1000)
    assert intervals(scores) == whole


def test_the_score_of_a_thousand_scenes_is_inside_its_interval() -> None:
    scores = random_scores(np.random.default_rng(4), 100) * 10
    low, high = intervals(scores)["recall"]
    assert low < summarize(scores)["recall"] < high
