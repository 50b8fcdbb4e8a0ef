"""The order of training: every property holds for any sizes, weights and seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from datagen.errors import UserError
from model.data.order import WINDOW, InOrder, Mixture, Permutation, WindowedShuffle


@dataclass
class Numbers:
    """A source whose examples hold their number and a random draw."""

    count: int
    far_shards: Sequence[int] | None = None

    def __len__(self) -> int:
        return self.count

    def example(self, number: int, rng: np.random.Generator | None) -> dict[str, Any]:
        return {"number": number, "dice": -1 if rng is None else int(rng.integers(1 << 40))}


counts = st.integers(1, 300)
seeds = st.integers(0, 2**32 - 1)
weights = st.floats(0.01, 100)


@given(counts, seeds)
def test_a_permutation_is_one(count: int, seed: int) -> None:
    permutation = Permutation(count, seed)
    assert sorted(map(permutation, range(count))) == list(range(count))


def test_permutations_look_random() -> None:
    """Every number is as often at every place, and neighbours do not stay together."""
    places = np.zeros((10, 10), int)
    for seed in range(4000):
        permutation = Permutation(10, seed)
        for i in range(10):
            places[i, permutation(i)] += 1
    assert abs(places - 400).max() < 100  # five standard deviations
    large = np.array([Permutation(100_003, 1)(i) for i in range(4000)])
    assert abs(np.corrcoef(large[:-1], large[1:])[0, 1]) < 0.08
    assert abs(np.corrcoef(np.arange(4000), large)[0, 1]) < 0.08
    assert abs(large.mean() / 50_001 - 1) < 0.05


@given(st.lists(counts, min_size=1, max_size=4), st.data(), seeds)
def test_every_epoch_of_every_source_is_whole(sizes: list[int], data: st.DataObject, seed: int) -> None:
    shares = data.draw(st.lists(weights, min_size=len(sizes), max_size=len(sizes)))
    mixture = Mixture([Numbers(size) for size in sizes], shares, seed, 1000)
    met: dict[tuple[int, int], list[int]] = {}
    for position in range(1000):
        source, epoch, number = mixture.at(position)
        met.setdefault((source, epoch), []).append(number)
    for (source, epoch), numbers in met.items():
        assert len(set(numbers)) == len(numbers)
        if (source, epoch + 1) in met:
            assert sorted(numbers) == list(range(sizes[source]))


@given(st.lists(weights, min_size=1, max_size=5), st.integers(0, 10**9), st.integers(1, 2000))
def test_shares_hold_over_any_stretch(shares: list[float], begin: int, length: int) -> None:
    mixture = Mixture([Numbers(7) for _ in shares], shares, 0, begin + length)
    met = Counter(mixture.at(position)[0] for position in range(begin, begin + length))
    for source, share in enumerate(shares):
        assert abs(met[source] - length * share / sum(shares)) <= len(shares) + 1


@given(counts, seeds, st.integers(0, 500))
def test_a_run_begins_anywhere_and_ends_anywhere(count: int, seed: int, position: int) -> None:
    first = Mixture([Numbers(count), Numbers(5)], [3, 1], seed, 501)
    for _ in range(3):
        first.at(0)
    for position_before in range(0, 501, 50):  # what was read before does not matter
        first[position_before]
    again = Mixture([Numbers(count), Numbers(5)], [3, 1], seed, 10**12)
    assert again[position] == first[position]


def test_seed_source_epoch_and_number_decide_the_variation() -> None:
    mixture = Mixture([Numbers(20), Numbers(20)], [1, 1], 3, 400)
    dice = {mixture.at(p): mixture[p]["dice"] for p in range(400)}
    assert len(dice) == len(set(dice.values())) == 400
    orders = {tuple(n for s, e, n in dice if (s, e) == (source, epoch)) for source in (0, 1) for epoch in range(10)}
    assert len(orders) == 20  # every epoch of every source is shuffled anew
    other = Mixture([Numbers(20), Numbers(20)], [1, 1], 4, 400)
    assert not {other[p]["dice"] for p in range(400)} & set(dice.values())


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40).filter(any), seeds)
def test_far_shards_are_met_window_by_window(sizes: list[int], seed: int) -> None:
    owner = np.repeat(np.arange(len(sizes)), sizes)
    epoch = WindowedShuffle(sizes, WINDOW, seed)
    numbers = [epoch(position) for position in range(len(owner))]
    assert sorted(numbers) == list(range(len(owner)))
    shards = [int(owner[number]) for number in numbers]
    open_at = [{shard for shard in set(shards) if shard in shards[:p] and shard in shards[p:]} for p in range(len(shards))]
    assert max(map(len, open_at)) <= WINDOW


def test_far_shards_are_shuffled_anew_each_epoch() -> None:
    mixture = Mixture([Numbers(80, [4] * 20)], [1], 0, 160)
    numbers = [mixture.at(p)[2] for p in range(160)]
    assert sorted(numbers[:80]) == sorted(numbers[80:]) == list(range(80))
    assert numbers[:80] != numbers[80:]
    assert numbers[:16] != sorted(numbers[:16])


def test_ranks_and_workers_share_the_work() -> None:
    mixture = Mixture([Numbers(13), Numbers(7)], [1, 2], 5, 64)
    whole = [mixture[p]["dice"] for p in range(64)]
    loader: DataLoader = DataLoader(mixture, batch_size=4, num_workers=2)
    assert torch.cat([batch["dice"] for batch in loader]).tolist() == whole


def test_evaluation_is_in_order_and_as_it_is() -> None:
    assert [example["number"] for example in InOrder(Numbers(5))] == [0, 1, 2, 3, 4]
    assert {example["dice"] for example in InOrder(Numbers(5))} == {-1}


@pytest.mark.parametrize("bad", [[1.0], [1, 0], [1, -2], [1, float("nan")], [1, float("inf")]])
def test_weights_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(UserError, match="weights"):
        Mixture([Numbers(3), Numbers(3)], bad, 0, 10)
