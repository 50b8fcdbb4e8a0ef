"""The mathematics of regions: boxes, crops, proposals, and how an image's labels become them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig

from datagen.domains.dialects import Dialect
from datagen.domains.registry import get_domain
from datagen.geometry.camera import project
from datagen.samples.labels import view_of
from datagen.shards.reader import Samples
from model.data.frames import Frame
from model.derender.config import DerenderConfig
from model.derender.data import RegionMaker, owners_of
from model.derender.proposals import ProposalHead, heat_target
from model.derender.regions import box_coordinates, boxes_of, crop, jittered, refined, sides
from model.tokens.pieces import numeric_slots

CLEVR = get_domain("clevr")
SLOTS = numeric_slots(Dialect(CLEVR))
FRAME = Frame(120, 160, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
HEIGHT, WIDTH = 120, 160

rectangles = st.tuples(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.integers(1, 60), st.integers(1, 60))
bounded = settings(max_examples=50)
boxes = st.tuples(*(st.floats(low, high, width=32) for low, high in ((30, 130), (30, 90), (1, 40), (1, 40))))


def mirrored(box: torch.Tensor) -> torch.Tensor:
    return torch.cat([WIDTH - box[:, :1], box[:, 1:]], dim=1)


@bounded
@given(rectangles)
def test_a_box_goes_around_what_an_object_owns(rectangle: tuple[int, int, int, int]) -> None:
    left, top, width, height = rectangle
    owners = np.zeros((HEIGHT, WIDTH), np.int16)
    owners[top : top + height, left : left + width] = 2
    right, bottom = min(left + width, WIDTH), min(top + height, HEIGHT)
    nobody, box = boxes_of(owners, 2)
    assert box.tolist() == [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    assert nobody.tolist() == [0, 0, 0, 0]
    assert np.allclose(boxes_of(owners[:, ::-1], 2)[1], mirrored(torch.from_numpy(box[None]))[0])


def test_boxes_are_those_of_the_labels(renders: Samples) -> None:
    for sample in (renders.at(i) for i in range(4)):
        labelled = np.array([label["bbox"] for label in sample.record["labels"]], np.float32)
        middles = labelled[:, :2] + labelled[:, 2:] / 2
        assert np.array_equal(boxes_of(owners_of(sample), len(labelled)), np.concatenate([middles, labelled[:, 2:]], axis=1))


@bounded
@given(boxes, st.integers(2, 32))
def test_a_crop_shows_what_lies_where_it_is(box: tuple[float, ...], size: int) -> None:
    """A crop of a map whose values are positions holds the centres of the crop's pixels, also if the map is coarser than the frame."""
    region = torch.tensor([box])
    for stride in (1, 4):
        x, y = ((torch.arange(n // stride) + 0.5) * stride for n in (WIDTH, HEIGHT))
        places = torch.stack([x.expand(len(y), -1), y[:, None].expand(-1, len(x))])[None]
        seen = crop(places, torch.tensor([0]), region, (HEIGHT, WIDTH), size)
        cells = ((torch.arange(size) + 0.5) / size - 0.5) * sides(region)
        assert torch.allclose(seen[0, 0], (region[0, 0] + cells).expand(size, -1), atol=1e-3)
        assert torch.allclose(seen[0, 1], (region[0, 1] + cells)[:, None].expand(-1, size), atol=1e-3)


@bounded
@given(boxes, st.integers(0, 100))
def test_the_mirror_image_of_a_crop_is_the_crop_of_the_mirror_image(box: tuple[float, ...], seed: int) -> None:
    region = torch.tensor([box])
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    here = crop(image, torch.tensor([0]), region, (HEIGHT, WIDTH), 24)
    there = crop(image.flip(3), torch.tensor([0]), mirrored(region), (HEIGHT, WIDTH), 24)
    assert torch.allclose(here.flip(3), there, atol=1e-3)


def test_a_crop_is_black_beyond_the_image() -> None:
    corner = torch.tensor([[0.0, 0.0, 20.0, 20.0]])
    seen = crop(torch.ones(2, 1, HEIGHT, WIDTH), torch.tensor([1]), corner, (HEIGHT, WIDTH), 24)[0, 0]
    assert torch.allclose(seen[13:, 13:], torch.ones(()))
    assert seen[:11].eq(0).all()
    assert seen[:, :11].eq(0).all()


@bounded
@given(boxes, st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4))
def test_a_box_is_refined_within_bounds(box: tuple[float, ...], corrections: list[float]) -> None:
    """Whatever a network's corrections, the box stays near the proposed one, and its coordinates are finite."""
    region = torch.tensor([box])
    better = refined(region, torch.tensor([corrections]))
    half = sides(region).item() / 2
    assert (better[0, :2] - region[0, :2]).abs().max() <= half * 1.001
    assert (better[0, 2:] / region[0, 2:]).log().abs().max() <= 1.001
    assert box_coordinates(better, (HEIGHT, WIDTH)).isfinite().all()
    assert torch.equal(refined(region, torch.zeros(1, 4)), region)


@bounded
@given(st.lists(boxes, max_size=6), st.integers(1, 8))
def test_a_map_that_is_right_proposes_the_true_boxes(truth: list[tuple[float, ...]], most: int) -> None:
    """A heat map and read-out without loss give the true boxes back, unless boxes share a cell or lie in adjacent ones."""
    head = ProposalHead(DerenderConfig(vision_config=AutoConfig.for_model("resnet"), image_height=HEIGHT, image_width=WIDTH, width=8))
    apart = [box for i, box in enumerate(truth) if all(max(abs(box[0] - o[0]), abs(box[1] - o[1])) > 8 for o in truth[:i])]
    region = torch.tensor(apart).reshape(1, -1, 4)
    cells = region / 4
    target, at = heat_target(cells, torch.ones(region.shape[:2], dtype=torch.bool), torch.Size((30, 40)))
    read = torch.zeros(1, 4, 30, 40)
    for box, (x, y) in zip(cells[0], at[0].tolist(), strict=True):
        read[0, :, y, x] = torch.cat([box[:2] - torch.tensor([x, y]) - 0.5, box[2:].log()])
    heat = torch.where(target == 1, 30.0, -30.0 + target)
    assert head.loss(heat, read, region).item() == pytest.approx(0.0, abs=1e-3)
    image, proposed, score = head.peaks(heat, read, most, 0.5)
    assert len(image) == min(most, len(apart))
    for box in proposed:
        assert (region[0] - box).abs().amax(1).min() < 1e-3
    assert all(0.5 < s <= 1 for s in score.tolist())


def test_regions_are_off_as_told() -> None:
    """Errors have no bias, and are proportional to the box's sides."""
    region = np.tile(np.array([[80.0, 60.0, 10.0, 20.0]], np.float32), (4000, 1))
    off = jittered(region, np.random.default_rng(0))
    moved, scaled = (off[:, :2] - region[:, :2]) / region[:, 2:], np.log(off[:, 2:] / region[:, 2:])
    for shares in (moved, scaled):
        assert np.abs(shares.mean(0)).max() < 0.005
        assert shares.std(0)[0] == pytest.approx(shares.std(0)[1], rel=0.1)  # the share does not depend on the side


@bounded
@given(st.floats(-4, 4), st.sampled_from(SLOTS))
def test_coordinates_give_the_number_back(value: float, slot) -> None:
    coordinates = slot.coordinates(value)
    assert len(coordinates) == slot.coordinate_count
    off = slot.from_coordinates([3 * x for x in coordinates] if slot.period else coordinates) - value
    assert abs(off - (slot.period * round(off / slot.period) if slot.period else 0)) < 1e-6
    if slot.period:
        assert math.hypot(*coordinates) == pytest.approx(1)


def test_owners_are_what_the_camera_sees_in_whatever_frame(renders: Samples) -> None:
    sample = renders.at(0)
    shot = sample.shot
    assert np.array_equal(owners_of(sample), view_of(sample.scene, CLEVR, shot).owner + 1)
    fine = view_of(sample.scene, CLEVR, replace(shot, width=480, height=360)).owner + 1
    assert np.array_equal(FRAME.fit_labels(fine), owners_of(sample))  # every third pixel has the same centre
    padded = Frame(160, 160, *[(0.5,) * 3] * 2).fit_labels(owners_of(sample))
    assert np.array_equal(padded[20:140], owners_of(sample))
    assert not padded[:20].any()
    assert not padded[140:].any()


def test_a_mirrored_example_is_mirrored_in_all_its_parts(renders: Samples) -> None:
    """Pixels, masks and boxes are flipped, and the numbers are locations that project to the flipped pixel coordinates."""
    make = RegionMaker(CLEVR, SLOTS, FRAME, augment=True)
    seed = next(seed for seed in range(100) if np.random.default_rng(seed).random() < 0.5)
    samples = [renders.at(i) for i in range(len(renders.keys))]
    samples = [sample for sample in samples if Dialect(CLEVR).mirrored(sample.scene) is not None]  # the others would leave the plane
    assert samples
    for sample in samples:
        plain, flipped = make(sample, None), make(sample, np.random.default_rng(seed))
        assert torch.equal(flipped["owners"], plain["owners"].flip(1))
        assert torch.allclose(flipped["boxes"], mirrored(plain["boxes"]))
        assert torch.equal(flipped["words"], plain["words"])
        assert (
            (flipped["pixel_values"] - plain["pixel_values"].flip(2)).abs().mean()
            < 0.5
            < (flipped["pixel_values"] - plain["pixel_values"]).abs().max()
        )
        where = flipped["numbers"][:, :3].numpy() * [3, 3, 0.5] + [0, 0, 0.5]  # metres, from the declared ranges
        seen = project(sample.shot.camera, WIDTH, HEIGHT, where)
        labelled = np.array([label["pixel_coords"] for label in sample.record["labels"]])
        assert np.allclose(seen, labelled * [-1, 1, 1] + [WIDTH, 0, 0], atol=0.05)  # places are rounded to millimetres


def test_an_example_without_chance_is_the_sample_itself(renders: Samples) -> None:
    make, sample = RegionMaker(CLEVR, SLOTS, FRAME, augment=True), renders.at(0)
    example = make(sample, None)
    assert torch.equal(example["regions"], example["boxes"])
    assert torch.equal(example["pixel_values"], FRAME.tensor(sample.pixels()))
    one, other = (replace(make, augment=False)(sample, np.random.default_rng(3)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["regions"], one["boxes"])
    assert torch.equal(one["pixel_values"], example["pixel_values"])
