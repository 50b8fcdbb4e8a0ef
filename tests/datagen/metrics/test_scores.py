"""Scene scores: perfect for the true scene, independent of order, in range; average precision is compared with a second computation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from declarations import declared
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import DOMAIN, EMPTY, SEEDS, cube, cubes, random_scene

from datagen.code.statements import Statement
from datagen.domains.clevr import CLEVR, Clevr
from datagen.domains.registry import get_domain
from datagen.geometry.rotations import geodesic_degrees
from datagen.metrics.scores import average_precision, rank, score_scene
from datagen.metrics.summary import PooledPrecision, summarize
from datagen.rng import Stream
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object, Scene, Vec3


def numbers(value: Any) -> list[float]:
    """All the numbers in a nested result."""
    if isinstance(value, dict):
        return [x for v in value.values() for x in numbers(v)]
    return [] if value is None else [value]


@given(SEEDS, st.integers(1, 8))
def test_a_scene_compared_with_itself_is_perfect(seed: int, count: int) -> None:
    scene = random_scene(np.random.default_rng(seed), count)
    result = summarize([score_scene(scene, scene, DOMAIN)])
    assert result["count_accuracy"] == result["recall"] == result["precision"] == 1
    assert result["location_l2"] == result["extra"] == result["missed"] == 0
    assert set(result["accuracy_all"].values()) == set(result["accuracy_matched"].values()) == {1.0}
    assert set(result["accuracy_all"]) == {"shape", "size", "material", "color"}
    assert set(result["ap"].values()) == {1.0}
    assert result["rotation_error"]["mean"] in (0, None)
    assert result["relations"] == (1 if count > 1 else None)


@given(SEEDS, st.integers(0, 6), st.integers(0, 6))
def test_the_order_of_objects_does_not_matter(seed: int, truths: int, guesses: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = random_scene(rng, truths), random_scene(rng, guesses)
    confidence = rng.random(guesses)
    one, other = rng.permutation(truths), rng.permutation(guesses)
    shuffled = score_scene(
        Scene("clevr", tuple(truth.objects[i] for i in one)),
        Scene("clevr", tuple(guess.objects[i] for i in other)),
        DOMAIN,
        confidence[other].tolist(),
    )
    straight = score_scene(truth, guess, DOMAIN, confidence.tolist())
    assert numbers(summarize([shuffled])) == pytest.approx(numbers(summarize([straight])))


@given(SEEDS, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=4))
def test_scores_are_in_range_and_fit_json(seed: int, sizes: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    scores = [score_scene(random_scene(rng, a), random_scene(rng, b), DOMAIN) for a, b in sizes]
    result = summarize(scores)
    json.dumps(result, allow_nan=False)
    shares = [result[name] for name in ("count_accuracy", "recall", "precision", "relations")]
    shares += [*result["accuracy_matched"].values(), *result["accuracy_all"].values(), *result["ap"].values()]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert result["location_l2"] is None or result["location_l2"] >= 0
    assert result["rotation_error"]["mean"] is None or 0 <= result["rotation_error"]["mean"] <= 45
    for name, share in result["accuracy_all"].items():
        assert share is None or result["accuracy_matched"][name] is None or share <= result["accuracy_matched"][name]


@given(SEEDS, st.integers(1, 8))
def test_removing_objects_lowers_recall_and_nothing_else_on_the_matched(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_scene(rng, count)
    kept = int(rng.integers(0, count))
    result = summarize([score_scene(truth, Scene("clevr", truth.objects[:kept]), DOMAIN)])
    assert result["recall"] == pytest.approx(kept / count)
    assert result["missed"] == count - kept
    assert result["count_accuracy"] == 0
    for name, share in result["accuracy_all"].items():
        assert share == pytest.approx(kept / count)
        assert result["accuracy_matched"][name] == (1 if kept else None)
    assert result["ap"]["0.125"] == pytest.approx(kept / count)


@given(st.sampled_from(["clevr", "assets"]), st.integers(0, 2**31), st.integers(2, 6))
@settings(max_examples=10)
def test_scenes_of_a_domain_keep_its_spacing_and_an_object_twice_does_not(name: str, seed: int, count: int) -> None:
    domain = get_domain(name)
    scene = next(filter(None, (domain.sample_scene(Stream(seed, i), count, domain.split("default")) for i in range(100))))
    assert summarize([score_scene(scene, scene, domain)])["too_near"] == 0
    first = scene.objects[0]
    moved = first.replaced(loc=(first["loc"][0] + 0.1, *first["loc"][1:]))
    twice = Scene(name, (*scene.objects, first, moved))
    assert summarize([score_scene(scene, twice, domain), score_scene(scene, scene, domain)])["too_near"] == 3
    assert summarize([score_scene(scene, None, domain)])["too_near"] == 0


def test_what_nothing_keeps_apart_is_never_too_near() -> None:
    dots = Scene("dot2d", tuple(Object("dot", {"loc": (0.5, 0.5)}) for _ in range(2)))
    assert summarize([score_scene(dots, dots, get_domain("dot2d"))])["too_near"] is None


@given(SEEDS, st.integers(1, 6), st.integers(1, 4))
def test_extra_objects_lower_precision_and_average_precision_but_not_recall(seed: int, count: int, extra: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, count)
    strangers = tuple(o.replaced(loc=(50.0 + i, 50.0, 0.0)) for i, o in enumerate(random_scene(rng, extra).objects))
    # The strangers have the highest confidence, so that the true objects come after them in the ranking.
    confidence = [0.1] * count + [0.9] * extra
    result = summarize([score_scene(scene, Scene("clevr", scene.objects + strangers), DOMAIN, confidence)])
    assert (result["guessed"], result["matched"], result["missed"], result["extra"]) == (count + extra, count, 0, extra)
    assert result["precision"] == pytest.approx(count / (count + extra))
    assert result["recall"] == 1
    assert set(result["accuracy_all"].values()) == {1.0}
    assert result["count_accuracy"] == 0
    assert result["ap"]["1"] == pytest.approx(count / (count + extra))


def precision_of(truth: Scene, guess: Scene, threshold: float, confidence: list[float] | None = None) -> float:
    return average_precision(len(truth), rank(truth, guess, DOMAIN, threshold, confidence))


@given(SEEDS, st.integers(0, 8), st.integers(0, 8))
def test_average_precision_never_falls_with_the_threshold(seed: int, truths: int, guesses: int) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = random_scene(rng, truths, few_words=True), random_scene(rng, guesses, few_words=True)
    confidence = rng.random(guesses).tolist()
    found = [precision_of(truth, guess, threshold, confidence) for threshold in DOMAIN.ap_thresholds]
    assert found == sorted(found, reverse=True)


def brute_average_precision(truth: Scene, guess: Scene, threshold: float, confidence: list[float]) -> float:
    """Average precision by its definition: the mean, over recall levels, of the best precision among the cuts that reach the level."""
    left = list(truth.objects)
    cuts: list[tuple[float, float]] = []
    right = 0
    for taken, index in enumerate(sorted(range(len(guess)), key=lambda i: (-confidence[i], i)), 1):
        candidate = guess.objects[index]
        alike = [o for o in left if all(o[word] == candidate[word] for word in ("shape", "size", "material", "color"))]
        alike.sort(key=lambda o: math.dist(o["loc"], candidate["loc"]))
        if alike and math.dist(alike[0]["loc"], candidate["loc"]) < threshold:
            left.remove(alike[0])
            right += 1
        cuts.append((right / len(truth), right / taken))
    levels = [(k + 1) / len(truth) for k in range(len(truth))]
    best = [max((precision for recall, precision in cuts if recall > level - 1e-9), default=0.0) for level in levels]
    return sum(best) / len(truth)


@given(SEEDS, st.integers(1, 7), st.integers(1, 9), st.booleans())
def test_average_precision_against_the_definition(seed: int, truths: int, guesses: int, few_words: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, guess = random_scene(rng, truths, few_words), random_scene(rng, guesses, few_words)
    confidence = rng.integers(0, 4, guesses).astype(float).tolist()  # with ties
    for threshold in DOMAIN.ap_thresholds:
        found = precision_of(truth, guess, threshold, confidence)
        assert found == pytest.approx(brute_average_precision(truth, guess, threshold, confidence))


def pooled_average_precision(scenes: list[tuple[Scene, Scene, list[float]]], threshold: float) -> float:
    """Average precision as Deep Set Prediction Networks and Slot Attention publish it: all scenes' guesses are in one ranking; a guess is
    right if the nearest object with the same words, used or not, is nearer than `threshold` and unused."""
    ranking = [(c, n, guess.objects[i]) for n, (_, guess, confidence) in enumerate(scenes) for i, c in enumerate(confidence)]
    used: set[tuple[int, int]] = set()
    true_positives = np.zeros(len(ranking))
    for place, (_, n, candidate) in enumerate(sorted(ranking, key=lambda guess: -guess[0])):
        best, found = threshold, None
        for i, target in enumerate(scenes[n][0].objects):
            if all(target[word] == candidate[word] for word in ("shape", "size", "material", "color")):
                apart = math.dist(target["loc"], candidate["loc"])
                if apart < best:
                    best, found = apart, i
        if found is not None and (n, found) not in used:
            used.add((n, found))
            true_positives[place] = 1
    hits = np.cumsum(true_positives)
    precision, recall = hits / np.arange(1, len(ranking) + 1), hits / sum(len(truth) for truth, _, _ in scenes)
    area, before = 0.0, 0.0
    for place in range(len(ranking)):
        area += precision[place:].max() * (recall[place] - before)
        before = recall[place]
    return area


@given(SEEDS, st.integers(1, 7), st.integers(0, 4), st.sampled_from(DOMAIN.ap_thresholds))
def test_average_precision_of_one_scene_is_the_published_one_where_no_two_guesses_want_one_object(
    seed: int, truths: int, others: int, threshold: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = random_scene(rng, truths)
    words = {tuple(o[w] for w in ("shape", "size", "material", "color")): o for o in truth.objects}  # each combination once
    truth = Scene("clevr", tuple(words.values()))
    guessed = [o.replaced(loc=tuple((np.array(o["loc"]) + rng.normal(0, 0.4, 3)).tolist())) for o in truth.objects]
    strange = [o for o in random_scene(rng, others).objects if tuple(o[w] for w in ("shape", "size", "material", "color")) not in words]
    guess = Scene("clevr", (*guessed, *strange))
    confidence = rng.random(len(guess)).tolist()
    ours = precision_of(truth, guess, threshold, confidence)
    assert ours == pytest.approx(pooled_average_precision([(truth, guess, confidence)], threshold))


def test_pooled_ranking_and_the_mean_over_scenes_differ_as_documented() -> None:
    """A confident miss in one scene halves the precision of the other scene's hit in the pooled ranking alone."""
    missed, found = (cubes(cube(0)), cubes(cube(0, color="blue")), [0.9]), (cubes(cube(0)), cubes(cube(0)), [0.5])
    assert pooled_average_precision([missed, found], 1.0) == pytest.approx(1 / 2 * 1 / 2)
    summary = summarize([score_scene(t, g, DOMAIN, c) for t, g, c in (missed, found)])
    assert summary["ap"]["1"] == pytest.approx((0 + 1) / 2)
    assert summary["ap_pooled"]["1"] == pytest.approx(1 / 2 * 1 / 2)


@given(st.lists(st.tuples(SEEDS, st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=5), st.sampled_from(DOMAIN.ap_thresholds))
def test_the_pooled_average_precision_is_the_published_one_where_no_two_guesses_want_one_object(
    drawn: list[tuple[int, int, int]], threshold: float
) -> None:
    scenes = []
    for seed, truths, others in drawn:
        rng = np.random.default_rng(seed)
        words = {tuple(o[w] for w in ("shape", "size", "material", "color")): o for o in random_scene(rng, truths).objects}
        strange = [o for o in random_scene(rng, others).objects if tuple(o[w] for w in ("shape", "size", "material", "color")) not in words]
        guessed = [o.replaced(loc=tuple((np.array(o["loc"]) + rng.normal(0, 0.4, 3)).tolist())) for o in words.values()]
        guess = Scene("clevr", (*guessed, *strange))
        scenes.append((Scene("clevr", tuple(words.values())), guess, rng.random(len(guess)).tolist()))
    scores = [score_scene(truth, guess, DOMAIN, confidence) for truth, guess, confidence in scenes]
    found = summarize(scores)["ap_pooled"][f"{threshold:g}"]
    if not any(len(truth) for truth, *_ in scenes):
        assert found is None
        return
    assert found == pytest.approx(pooled_average_precision(scenes, threshold))
    twice = PooledPrecision(threshold).statistic(scores)(np.full((1, len(scores)), 2))[0]
    assert twice == pytest.approx(pooled_average_precision(scenes * 2, threshold), abs=1e-9)  # a resample holds every scene twice


def test_average_precision_by_hand() -> None:
    truth = cubes(cube(0), cube(1))
    guess = cubes(cube(0.1), cube(2.5), cube(1.0))
    assert precision_of(truth, guess, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    assert precision_of(truth, guess, 0.5, [0.5, 0.1, 0.9]) == pytest.approx(1.0)
    assert precision_of(truth, guess, 0.05) == pytest.approx(1 / 3 / 2)
    assert precision_of(truth, cubes(cube(0, color="blue")), math.inf) == 0


def test_a_true_object_is_used_once_and_only_by_a_hit() -> None:
    truth = cubes(cube(0))
    assert precision_of(truth, cubes(cube(0), cube(0)), 1.0, [0.1, 0.9]) == 1
    # The more confident guess is too far away, and leaves the object to the other.
    assert precision_of(truth, cubes(cube(0), cube(2)), 1.0, [0.1, 0.9]) == pytest.approx(0.5)


def test_the_threshold_itself_is_too_far() -> None:
    assert precision_of(cubes(cube(0)), cubes(cube(0.5)), 0.5) == 0


@pytest.mark.parametrize(("truth", "guess", "expected"), [(0, 0, 1.0), (0, 1, 0.0), (1, 0, 0.0), (0, None, 0.0), (1, None, 0.0)])
def test_empty_scenes(truth: int, guess: int | None, expected: float) -> None:
    scene = cubes(cube(0))
    one, other = (scene if truth else EMPTY), (None if guess is None else scene if guess else EMPTY)
    result = summarize([score_scene(one, other, DOMAIN)])
    assert set(result["ap"].values()) == {expected}
    assert result["count_accuracy"] == expected
    assert result["recall"] == (0 if truth else None)
    assert result["location_l2"] is None
    assert set(result["accuracy_all"].values()) == ({0.0} if truth else {None})
    assert set(result["accuracy_matched"].values()) == {None}


def test_nothing_at_all_has_no_scores() -> None:
    result = summarize([])
    assert result["count_accuracy"] is result["recall"] is result["relations"] is None
    assert result["ap"] == {}


def test_rotation_is_modulo_symmetry_and_only_of_cubes_taken_for_cubes() -> None:
    truth = cubes(cube(0, rotation=88.0), cube(2, rotation=10.0), cube(-2).replaced(shape="sphere"))
    guess = cubes(cube(0, rotation=4.0), cube(2, rotation=50.0).replaced(shape="cylinder"), cube(-2, rotation=70.0))
    assert summarize([score_scene(truth, guess, DOMAIN)])["rotation_error"] == {"mean": 6.0, "median": 6.0, "within": {}, "pairs": 1}


def test_rotations_within_angles_and_errors_of_sizes_of_domains_that_ask_for_them() -> None:
    assets = get_domain("assets")
    drawn = (draw(DatasetSettings("assets", "known", seed=3, width=64, height=48), i).scene.objects[0] for i in range(40))
    plain = [obj for obj in drawn if geodesic_degrees(np.eye(3), assets.rotation(obj)) > 1][:3]  # on the floor, turned about Z alone
    truth = Scene("assets", tuple(o.replaced(loc=(2.0 * i - 2, 0.0, 0.5), shape="aeroplane-0") for i, o in enumerate(plain)))
    steps = ((0.0, 0.05), (10.0, -0.1), (40.0, 0.0))
    guessed = [
        o.replaced(rotation=(0.0, 0.0, o["rotation"][2] + a), scale=o["scale"] + s) for o, (a, s) in zip(truth.objects, steps, strict=True)
    ]
    scores = [score_scene(truth, Scene("assets", tuple(guessed)), assets)]
    assert summarize(scores)["rotation_error"]["within"] == {
        "5": pytest.approx(1 / 3),
        "15": pytest.approx(2 / 3),
        "30": pytest.approx(2 / 3),
    }
    assert summarize(scores)["size_error"] == {"scale": pytest.approx(0.05)}
    assert summarize([])["rotation_error"]["within"] == summarize([])["size_error"] == {}


def along(right: float, behind: float) -> Object:
    """A cube at these distances to the right of the origin and behind it."""
    x, y, _ = right * np.array(DOMAIN.directions["right"]) + behind * np.array(DOMAIN.directions["behind"])
    return cube(float(x), float(y))


def test_relations_are_counted_per_direction() -> None:
    truth = cubes(along(0, 0), along(0.1, 1))
    # Each guess is nearest to its own object, but the first is now on the right: left and right are wrong, front and behind are not.
    guess = cubes(along(0.2, 0), along(0, 1))
    assert summarize([score_scene(truth, guess, DOMAIN)])["relations"] == 0.5


def test_sums_are_over_objects_and_means_over_scenes() -> None:
    whole = score_scene(cubes(cube(0), cube(1), cube(2)), cubes(cube(0), cube(1), cube(2, color="blue")), DOMAIN)
    missed = score_scene(cubes(cube(0)), EMPTY, DOMAIN)
    result = summarize([whole, missed])
    assert result["recall"] == pytest.approx(3 / 4)
    assert result["accuracy_matched"]["color"] == pytest.approx(2 / 3)
    assert result["accuracy_all"]["color"] == pytest.approx(2 / 4)
    assert result["ap"]["inf"] == pytest.approx((2 / 3 + 0) / 2)
    assert result["count_accuracy"] == 0.5


def test_confidences_must_fit() -> None:
    with pytest.raises(ValueError):
        score_scene(cubes(cube(0)), cubes(cube(0)), DOMAIN, [0.5, 0.5])


GLOW = Statement("glow", tuple(a for a in CLEVR.statements[0].arguments if a.name in ("loc", "shape")))


class Lit(Clevr):
    """CLEVR without relations."""

    @property
    def directions(self) -> Mapping[str, Vec3]:
        return {}


def test_other_statements_and_no_relations() -> None:
    glow = Object("glow", {"loc": (0.0, 0.0, 0.35), "shape": "cube"})
    truth, guess = cubes(cube(0), glow.replaced(loc=(2.0, 0.0, 0.35))), cubes(glow, cube(2))
    result = summarize([score_scene(truth, guess, Lit(**declared(CLEVR, statements=(*CLEVR.statements, GLOW))))])
    assert result["matched"] == 2
    assert result["relations"] is None
    assert result["ap"]["inf"] == 1.0
    assert result["ap"]["1"] == 0.0
    assert result["accuracy_all"] == {"shape": 1.0, "size": 0.0, "material": 0.0, "color": 0.0}
