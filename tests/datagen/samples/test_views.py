"""Several views of one scene: drawn, stored, continued, repaired, merged, inspected, exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from constant_scenes import SETTINGS, constant_sample, contents, fill

from datagen.domains.registry import get_domain
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.formats.export import export
from datagen.geometry.view import min_visible_pixels
from datagen.inspect.statistics import gather
from datagen.samples.draw import check_request, draw, scene_cameras
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.samples.viewpoints import around, find_cameras, named_cameras
from datagen.scene import Camera
from datagen.shards.merge import merge
from datagen.shards.reader import Samples
from datagen.shards.verify import verify

CLEVR = get_domain("clevr")
FOUR = tuple(camera for camera in named_cameras(CLEVR).values() if camera.name != "top")
THREE = DatasetSettings(seed=6, width=64, height=48, quality="draft", max_objects=4, cameras=FOUR, camera_jitter=0.3, views=3, shard_size=7)
STORED = replace(SETTINGS, views=2, camera_jitter=0.5, shard_size=4)


def test_the_views_of_a_scene_show_the_same_scene_in_the_same_light_by_different_cameras() -> None:
    for number in range(4):
        drawn = [draw(THREE, 3 * number + view) for view in range(3)]
        assert len({one.scene for one in drawn}) == len({one.shot.lamps for one in drawn}) == len({one.attempt for one in drawn}) == 1
        assert all(one.scene.objects == drawn[0].scene.objects for one in drawn)
        assert len({one.shot.viewpoint.name for one in drawn}) == len({one.shot.noise_seed for one in drawn}) == 3
        for one in drawn:
            assert one.view.visible_pixels(len(one.scene)).min() >= min_visible_pixels(64, 48)
    assert draw(THREE, 0).scene != draw(THREE, 3).scene


def test_cameras_are_drawn_evenly_and_none_twice_before_all_have_come() -> None:
    five = replace(THREE, views=5)
    counts = dict.fromkeys((camera.name for camera in FOUR), 0)
    for number in range(200):
        names = [camera.name for camera in scene_cameras(five, number) if camera]
        assert len(set(names[:4])) == 4
        counts[names[0]] += 1
    assert all(30 < count < 70 for count in counts.values())


def test_keys_are_grouped_by_scene_and_sorted_as_the_indices() -> None:
    assert [THREE.key(index) for index in (0, 2, 3)] == ["000000000-0", "000000000-2", "000000001-0"]
    twelve = replace(THREE, views=12, shard_size=24)
    keys = [twelve.key(index) for index in range(30)]
    assert keys == sorted(keys)
    assert [twelve.index(key) for key in keys] == list(range(30))
    for wrong in ("000000001", "000000001-3", "000000001-12", "000000001--1", "1-01", "000000001-1", "x-00", "-000000001-01"):
        with pytest.raises(ValueError, match=r"no sample's key|invalid literal"):
            twelve.index(wrong)
    assert DatasetSettings().key(12) == "000000012"


def test_a_shard_holds_whole_scenes_and_settings_without_views_are_stated_as_ever() -> None:
    assert (THREE.shard_size, DatasetSettings(views=3, camera_jitter=1).shard_size) == (6, 999)
    assert DatasetSettings.from_json(THREE.to_json()) == THREE
    assert THREE.to_json()["views"] == 3
    assert "views" not in DatasetSettings().to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"views": 2}, "2 views of a scene need as many cameras, and there is 1 without jitter"),
        ({"views": 5, "cameras": FOUR}, "there are 4 without jitter"),
        ({"views": 257, "camera_jitter": 1.0}, "from 1 to 256"),
        ({"views": 8, "camera_jitter": 1.0, "shard_size": 7}, "8 views of a scene do not fit into a shard of 7"),
        ({"views": 2, "domain": "dot2d"}, "no camera: several views cannot be asked of it"),
    ],
)
def test_views_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DatasetSettings(**changes)  # type: ignore[arg-type]


def test_a_number_of_samples_that_splits_a_scene_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="7 samples are not whole scenes of 2 views each; ask for 6 or 8 samples"):
        fill(tmp_path, 7, STORED)
    with pytest.raises(UserError, match="ask for 2 samples"):
        STORED.check_num(1)


def test_cameras_that_never_see_all_objects_together_are_refused() -> None:
    """Three small things in a row: one camera sees the row from its side, the other from its end."""
    side = Camera((0.0, -9.0, 0.35), (0.0, 0.0, 0.35), name="side")
    end = Camera((9.0, 0.0, 0.35), (0.0, 0.0, 0.35), name="end")
    row = Split("row", ((("size", ("small",)),),), (("loc.y", 0.0, 0.0),), objects=(3, 3))
    check_request(DatasetSettings(rules=row, cameras=(side,)))
    with pytest.raises(UserError, match=r"the cameras 'side' at .*, 'end' at .* together do not show enough of all of 3 objects"):
        check_request(DatasetSettings(rules=row, cameras=(side, end), views=2))


def test_records_state_the_scene_the_view_and_the_matrices() -> None:
    sample = constant_sample(THREE, 4)
    record = sample.record
    assert (sample.key, record["index"], record["scene_index"], record["view"]) == ("000000001-1", 4, 1, 1)
    matrices = {name: np.array(matrix) for name, matrix in record["matrices"].items()}
    for obj, label in zip(sample.scene, record["labels"], strict=True):
        x, y, away = matrices["K"] @ (matrices["world_to_camera"] @ [*obj["loc"], 1.0])[:3]
        assert [x / away, y / away, away] == pytest.approx(label["pixel_coords"], abs=1e-5)
    assert Sample.from_files(sample.key, sample.files(), "here").record == json.loads(json.dumps(record))
    assert not {"scene_index", "view", "matrices"} & constant_sample(SETTINGS, 0).record.keys()


def test_a_set_of_views_is_continued_repaired_merged_and_read(tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", (tmp_path / "half", tmp_path / "other")
    assert fill(whole, 4, STORED) == [0, 1, 2, 3]
    assert fill(whole, 10, STORED, failing=[7]) == [4, 5, 6, 7, 8, 9]
    assert any("lacks the samples 7" in problem for problem in verify(whole).problems)
    assert fill(whole, 10, STORED) == [7]
    assert verify(whole).whole
    for half, shards in zip(halves, ([0, 2], [1]), strict=True):
        fill(half, 10, STORED, shards=shards)
    merge(halves[0], [halves[1]])
    assert contents(halves[0]) == contents(whole)
    samples = Samples(whole)
    assert samples.keys == [STORED.key(index) for index in range(10)]
    assert samples["000000003-1"].scene == samples["000000003-0"].scene
    (halves[1] / "shard-000001.tar").write_bytes(b"torn")
    assert fill(halves[1], 10, STORED, shards=[1]) == [4, 5, 6, 7]
    with pytest.raises(UserError, match="was begun with views 2, not 1"):
        fill(whole, 10, replace(STORED, views=1))
    statistics = gather(samples)
    assert (statistics.samples, [tally.objects for tally in statistics.statements.values()]) == (10, [5])
    assert not any("indices" in problem for problem in statistics.problems())
    for kind in ("clevr", "coco", "hf"):
        assert export(whole, kind, tmp_path / kind) == 10


def test_cameras_have_names_and_stand_around_the_scene(tmp_path: Path) -> None:
    named = named_cameras(CLEVR)
    assert named["main"] == CLEVR.camera
    right, behind = CLEVR.directions["right"], CLEVR.directions["behind"]
    for name, ahead in (("left", right), ("right", -np.array(right)), ("behind", -np.array(behind)), ("main", behind)):
        looks = np.subtract(named[name].target, named[name].location)[:2]
        assert looks / np.linalg.norm(looks) == pytest.approx(np.array(ahead)[:2], abs=1e-6)
    assert named["top"].location[2] == pytest.approx(np.linalg.norm(CLEVR.camera.location), abs=1e-4)
    assert [camera.name for camera in find_cameras("top, left", CLEVR)] == ["top", "left"]
    assert around(CLEVR.camera, 4)[2].location == named["behind"].location
    (tmp_path / "mine.json").write_text('{"mine": {"location": [0, -9, 3]}}')
    assert find_cameras(str(tmp_path / "mine.json"), CLEVR) == (Camera((0.0, -9.0, 3.0), name="mine"),)
    for text, domain, message in (
        ("topp", "clevr", "no camera 'topp' of the clevr domain: its cameras are main, left, right, behind, top; did you mean"),
        ("top,top", "clevr", "names the camera top twice"),
        ("none.json", "clevr", "none.json: No such file|cannot be read|there is no such file"),
        ("main", "dot2d", "the dot2d domain has no camera"),
    ):
        with pytest.raises(UserError, match=message):
            find_cameras(text, get_domain(domain))
