"""What every domain promises, CLEVR or a later one: these tests are its admission. More run over all in `test_code` and `test_rerender`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import small
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.code import parse_code
from datagen.domain import Domain
from datagen.domains import DOMAINS
from datagen.errors import UserError
from datagen.generate import generate
from datagen.jobs import Failed, RenderJob
from datagen.labels import decode_rle, look
from datagen.pool import RenderPool
from datagen.sampling import check_request, draw
from datagen.scene import Object, Scene, Shot
from datagen.settings import DatasetSettings
from datagen.shards import Samples
from datagen.splits import Split, check_split
from render.images import same_image

EVERY_DOMAIN = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
EVERY_SPLIT = pytest.mark.parametrize(
    ("domain", "split"),
    [(domain, split) for domain in DOMAINS.values() for split in domain.splits.values()],
    ids=lambda of: of.name,
)


def test_samples_hold_what_they_promise(each: Samples) -> None:
    for index, sample in enumerate(each):
        domain, shot = sample.domain, sample.shot
        assert (sample.record["index"], sample.record["seed"]) == (index, 7)
        assert sample.pixels().shape == (120, 160, 3)
        assert parse_code(sample.code, domain) == sample.scene
        assert domain.canonical(sample.scene).objects == sample.scene.objects
        assert domain.violations(sample.scene) == []
        assert Shot.from_json(json.loads(json.dumps(shot.to_json()))) == shot
        for obj, label in zip(sample.scene, sample.record["labels"], strict=True):
            assert label["visible_pixels"] >= 50
            assert label["pixel_coords"] == pytest.approx(domain.centres([obj], shot)[0].tolist(), abs=1e-6)


def test_a_sample_depends_on_seed_and_index_alone(each: Samples, tmp_path: Any) -> None:
    """Fewer samples, one worker, other shards: the same code and labels to the bit, the same image."""
    again = generate(replace(small(each.at(0).domain.name), shard_size=2), 3, tmp_path / "again", workers=1)
    for sample in again:
        twin = each[sample.key]
        assert sample.files()[".json"] == twin.files()[".json"]
        assert sample.code == twin.code
        assert same_image(sample.pixels(), twin.pixels())


def test_masks_are_what_is_seen(each: Samples) -> None:
    for sample in each:
        view = look(sample.scene, sample.domain, sample.shot)
        for index, label in enumerate(sample.record["labels"]):
            assert (decode_rle(label["mask"]) == (view.owner == index)).all()
        rest = Scene(sample.scene.domain, sample.scene.objects[1:])
        left = look(rest, sample.domain, sample.shot)
        assert (left.owner >= 0).sum() < (view.owner >= 0).sum()


@EVERY_SPLIT
def test_splits_are_sound_and_can_be_drawn(domain: Domain, split: Split) -> None:
    check_split(split, domain, "the split")
    assert Split.from_json(json.loads(json.dumps(split.to_json())), domain, "its file") == split
    asked = DatasetSettings(domain.name, split.name, width=64, height=48)
    assert DatasetSettings.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    check_request(asked)
    for index in range(5):
        scene = draw(asked, index).scene
        assert split.objects[0] <= len(scene) <= split.objects[1]
        assert domain.violations(scene) == []


@EVERY_DOMAIN
def test_the_default_split_allows_everything(domain: Domain) -> None:
    default = domain.split("default")
    assert (default.combinations, default.ranges, default.regions) == (((),), (), ())


@EVERY_DOMAIN
@given(index=st.integers(0, 50))
@settings(max_examples=15, deadline=None)
def test_the_mirrored_scene_lies_mirrored_on_the_frame(domain: Domain, index: int) -> None:
    scene = draw(DatasetSettings(domain.name, width=64, height=48), index).scene
    mirrored = domain.mirrored(scene)
    if mirrored is not None:
        shot = domain.canonical_shot(64, 48, "draft")
        one, other = (sorted(domain.centres(s.objects, shot).tolist()) for s in (scene, mirrored))
        across = sorted([64 - x, y, depth] for x, y, depth in one)
        assert np.allclose(across, other, atol=0.05)


@EVERY_DOMAIN
def test_what_a_domain_does_not_declare_is_refused(domain: Domain) -> None:
    scene = draw(DatasetSettings(domain.name, width=64, height=48), 0).scene
    shot = domain.canonical_shot(64, 48, "draft")
    bad = [Scene(domain.name, (Object("nothing", scene.objects[0].values),)), *_not_finite(domain, scene.objects[0])]
    for one in bad:
        with pytest.raises(UserError, match="object 1"):
            domain.check(one)
    domain.check(scene)
    with RenderPool(1) as pool:
        [(_, outcome)] = pool.render([RenderJob("a", bad[0], shot)])
    assert isinstance(outcome, Failed)
    assert "no statement 'nothing'" in outcome.reason


def _not_finite(domain: Domain, obj: Object) -> Iterator[Scene]:
    for number in domain.statement(obj.statement).numbers:
        yield Scene(domain.name, (obj.replaced(**{number.name: number.as_value([float("nan")] * number.components)}),))
