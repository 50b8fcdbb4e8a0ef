"""Training examples of every domain: their targets lie where the labels do, and their tokens decode to the code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import parse_code
from datagen.domains.dialects import REPRESENTATIONS, Dialect, dialect
from datagen.domains.registry import get_domain
from datagen.samples.sample import Sample
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from model.config import PROMPT
from model.data.augment import ordered
from model.data.examples import ExampleMaker
from model.data.frames import Frame
from model.parts.dense_head import DenseLayout
from model.tokens.codec import CodeCodec
from model.tokens.tokenizer import domain_tokenizer

GRID, SPLIT = (8, 10), 2


def maker(samples: Samples, numbers: str = "head", augment: bool = False, rotations: str = "own") -> ExampleMaker:
    """An example maker: 160x120 images lie four rows down in a frame of 160x128, and a token has 16 x 16 pixels and 2 x 2 dense cells."""
    domain = samples.at(0).domain
    written = dialect(domain, rotations)
    codec = CodeCodec(domain, domain_tokenizer(written, [PROMPT]), numbers, rotations)
    frame = Frame(128, 160, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return ExampleMaker(codec, frame, [[1, 2]], GRID, DenseLayout.of(written, codec.slots, SPLIT), augment=augment, guide=True)


def tokens(sample: Sample) -> Iterator[tuple[int, int]]:
    """The visual token and the dense cell of each object's label."""
    for label in sample.record["labels"]:
        x, y, _ = label["pixel_coords"]
        row, column = int((y + 4) // 8), int(x // 8)
        token = row // 2 * 10 + column // 2
        yield token, 4 * token + row % 2 * 2 + column % 2


def test_targets_lie_where_the_labels_do(each: Samples) -> None:
    make = maker(each)
    for sample in each:
        example = make(sample, None)
        places = list(tokens(sample))
        assert set(np.flatnonzero(example["dense_words"][:, 0] == 1)) == {cell for _, cell in places}
        assert set(example["centres"]) == {-1} | {token for token, _ in places}
        first = example["dense_numbers"][places[0][1]]
        slot, obj = make.codec.slots[0], sample.scene.objects[0]
        assert first[0] == pytest.approx(slot.coordinates(slot.normalise(slot.value(obj)))[0], abs=1e-6)


@pytest.mark.parametrize("numbers", ["head", "char"])
def test_tokens_say_the_code(each: Samples, numbers: str) -> None:
    make = maker(each, numbers)
    for sample in each:
        example = make(sample, None)
        assert make.codec.decode(example["input_ids"][2:], example["number_values"][2:]) == sample.code
        assert len(example["input_ids"]) - 2 <= make.codec.max_tokens


@pytest.mark.parametrize("numbers", ["head", "char"])
@pytest.mark.parametrize("rotations", REPRESENTATIONS)
@pytest.mark.parametrize("name", ["so3", "pose6d"])
def test_tokens_of_every_dialect_say_the_pose(data_of: Callable[[str], Samples], name: str, rotations: str, numbers: str) -> None:
    samples = data_of(name)
    make = maker(samples, numbers, rotations=rotations)
    components = REPRESENTATIONS[rotations].number.components
    assert sum(slot.argument.name == "rotation" for slot in make.codec.slots) == components
    for sample in samples:
        example = make(sample, None)
        code = make.codec.decode(example["input_ids"][2:], example["number_values"][2:])
        [true], [written] = sample.scene.objects, parse_code(code, sample.domain).objects
        assert sample.domain.location(written) == sample.domain.location(true)
        assert sample.domain.rotation_error(true, written) <= (1.5 if rotations == "euler_int" else 0.03)
        assert len(example["input_ids"]) - 2 <= make.codec.max_tokens
        [cell] = np.flatnonzero(example["dense_words"][:, 0] == 1)
        in_dialect = make.codec.dialect.written(sample.scene).objects[0]
        coordinates = [x for slot in make.codec.slots for x in slot.coordinates(slot.normalise(slot.value(in_dialect)))]
        assert example["dense_numbers"][cell] == pytest.approx(coordinates, abs=1e-6)


def test_mirrored_targets_lie_mirrored(each: Samples) -> None:
    make = maker(each, augment=True)
    for sample in each:
        example = make(sample, np.random.default_rng(2))  # its first draw selects mirroring
        mirrored = sample.domain.mirrored(sample.scene)
        if mirrored is not None and not sample.domain.violations(mirrored):
            rows, columns = zip(*(divmod(token, 10) for token, _ in tokens(sample)), strict=True)
            seen = [divmod(token, 10) for token in set(example["centres"]) - {-1}]
            assert {row for row, _ in seen} == set(rows)
            assert all(min(abs(9 - column - other) for other in columns) <= 1 for _, column in seen)  # perhaps rounded across a border


def test_a_noisy_order_moves_numbers_and_where_to_look_together(each: Samples) -> None:
    plain = maker(each)
    noisy_maker = replace(plain, order_noise=100.0)  # enough for any order

    def statements(example: dict) -> Counter:
        """Counts numbers, each with its slot and its object's visual token."""
        written = zip(example["centres"], example["number_values"], example["number_slots"], strict=True)
        return Counter((centre, value, slot) for centre, value, slot in written if slot >= 0)

    orders = set()
    for seed in range(5):
        for sample in each:
            canonical, noisy = plain(sample, None), noisy_maker(sample, np.random.default_rng(seed))
            assert statements(noisy) == statements(canonical)
            assert (noisy["dense_words"] == canonical["dense_words"]).all()
            assert noisy_maker(sample, None)["input_ids"] == canonical["input_ids"]
            orders.add(noisy["number_values"] == canonical["number_values"])
    assert orders == {True} if plain.codec.domain.max_objects == 1 else False in orders


@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), max_size=10), st.integers(0, 99))
def test_noise_exchanges_only_neighbours_in_the_order(places: list[tuple[int, int]], seed: int) -> None:
    """Of objects that are further apart than noise reaches, the one further left comes first."""
    clevr = get_domain("clevr")
    words = {"color": "red", "material": "metal", "size": "large", "shape": "cube", "rotation": 0.0}
    scene = clevr.canonical(Scene("clevr", tuple(Object("add", {"loc": (x / 10, y / 10, 0.7), **words}) for x, y in places)))
    noisy, _ = ordered(scene, Dialect(clevr), np.random.default_rng(seed), 0.1)
    assert sorted(map(clevr.order, noisy)) == sorted(map(clevr.order, scene))
    left = [clevr.order(obj)[0] for obj in noisy]
    assert all(later > earlier - 1.2 for i, earlier in enumerate(left) for later in left[i + 1 :])
    assert ordered(scene, Dialect(clevr), np.random.default_rng(seed), 0.0)[0] == scene
