"""Camera and lamps in the code of data sets: what is drawn, written and checked, and what code cannot say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from datagen.code.grammar import parse_code, write_code
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.in_code import check_header, headed, reheaded, stated_shot
from datagen.samples.labels import label_objects, view_of
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Scene, Shot
from datagen.shards.checks import check_sample
from datagen.shards.reader import sample_blocks
from igllm import main

STAGED = ("clevr", "assets", "so3", "pose6d")
CLEVR = get_domain("clevr")
FRAME = {"width": 80, "height": 60, "quality": "draft"}
KEY = 'lamp(name="key", loc=(1, 2, 3), power=50)\n'


@pytest.mark.parametrize("name", STAGED)
@pytest.mark.parametrize("how", [{"split": "any-view"}, {"camera_jitter": 0.4}, {"split": "any-view", "views": 3}], ids=str)
def test_the_code_alone_says_the_shot_and_what_is_seen_under_it(name: str, how: dict[str, Any]) -> None:
    domain = get_domain(name)
    chosen = DatasetSettings(domain=name, seed=3, shot_in_code=True, **FRAME, **how)
    for index in range(3):
        sample = draw(chosen, index)
        code = write_code(sample.scene, domain)
        scene = parse_code(code, domain)
        assert scene == sample.scene == domain.canonical(sample.scene)
        assert not domain.violations(scene)
        shot = stated_shot(scene, domain, domain.canonical_shot(80, 60, "draft"))
        assert shot == replace(sample.shot, camera=replace(sample.shot.viewpoint, name="main"))
        view = view_of(scene, domain, shot)
        assert np.array_equal(view.owner, sample.view.owner)
        assert label_objects(scene, domain, shot, view) == label_objects(sample.scene, domain, sample.shot, sample.view)


def test_the_objects_are_those_of_the_same_data_set_without_it() -> None:
    for index in range(4):
        plain, said = (draw(DatasetSettings(seed=6, camera_jitter=0.5, shot_in_code=asked, **FRAME), index) for asked in (False, True))
        assert said.scene.objects == plain.scene.objects
        assert plain.scene.header == ()
        assert np.abs(np.subtract(said.shot.viewpoint.location, plain.shot.viewpoint.location)).max() <= 0.0005
        for lamp, other in zip(said.shot.lamps, plain.shot.lamps, strict=True):
            assert (lamp.name, lamp.size, lamp.power, lamp.color) == (other.name, other.size, other.power, other.color)
            assert np.abs(np.subtract(lamp.location, other.location)).max() <= 0.0005


def test_the_statement_names_it_only_where_it_is_asked_for() -> None:
    assert "shot_in_code" not in DatasetSettings().to_json()
    chosen = DatasetSettings(shot_in_code=True)
    assert DatasetSettings.from_json(json.loads(json.dumps(chosen.to_json()))) == chosen


@pytest.mark.parametrize(
    ("settings", "message"),
    {
        "a camera far away": ({"cameras": (Camera((0.0, -40.0, 5.0)),)}, r"code cannot say this camera.*loc -40"),
        "one that may come too far": (
            {"cameras": (Camera((0.0, -29.8, 5.0)),), "camera_jitter": 0.5},
            r"cannot say this camera.*loc -30\.3",
        ),
        "a long lens": ({"cameras": (Camera((0.0, -9.0, 5.0), lens_mm=600.0),)}, "lens 600"),
        "lamps far away": ({"domain": "so3", "light_jitter": 40.0}, "cannot say this camera or these lamps: loc"),
        "a plane": ({"domain": "dot2d"}, "no camera: the shot in code cannot be asked of it"),
    }.values(),
)
def test_what_code_cannot_say_is_refused_before_anything_is_drawn(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DatasetSettings(shot_in_code=True, **settings)


def test_ranges_that_leave_what_code_can_say_are_refused(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "far.json"
    path.write_text(json.dumps({"camera": {"azimuth": [80, 102], "elevation": [-5, 5], "distance": [20, 30.002], "lens": [28, 50]}}))
    call = ["generate", "--domain", "so3", "--split", str(path), "--num", "1", "--out", str(tmp_path / "out"), "--shot-in-code"]
    assert main(call) == 2
    assert "code cannot say this camera or these lamps: loc 30.002 is outside" in capsys.readouterr().err


def test_another_sensor_gives_the_same_picture_by_another_lens() -> None:
    shot = replace(CLEVR.canonical_shot(80, 60, "draft"), camera=Camera((7.0, -7.0, 5.0), lens_mm=45.0, sensor_mm=36.0))
    assert isinstance(CLEVR, StagedDomain)
    _, said = headed(Scene("clevr", ()), shot, CLEVR)
    assert (said.viewpoint.lens_mm, said.viewpoint.sensor_mm) == (40.0, 32.0)


UNFIT = {
    "camera(loc=(1, 2, 3), target=(1, 2, 3.05), lens=35)": "camera: loc is 0.05 m from its target; at least 0.1 m are needed",
    "camera(loc=(1, 2, -3), target=(0, 0, 0), lens=35)": "camera: loc is -3 m above the ground; at least 0.1 m are needed",
    "camera(loc=(1, 2, 3), target=(0, 0, 0), lens=0)": "camera: lens 0 must be in [1, 5000] mm",
    "camera(loc=(1, 2, 3), target=(0, 900, 0), lens=35)": "camera: target (0.0, 900.0, 0.0) must be in [-500, 500] m",
    'lamp(name="key", loc=(0, 0, 0.001), power=9)': "lamp key: loc must be at least 0.01 m from the origin, which lamps face",
    'lamp(name="key", loc=(0, 0, 3), power=-9)': "lamp key: power -9 must not be below 0 W",
    'lamp(name="key", loc=(0, 0, 3000), power=9)': "lamp key: loc (0.0, 0.0, 3000.0) must be in [-500, 500] m",
}


@pytest.mark.parametrize(("code", "message"), UNFIT.items())
def test_what_is_no_camera_and_no_lamp_is_refused(code: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        check_header(parse_code(code, CLEVR), CLEVR)
    assert str(error.value) == message
    with pytest.raises(UserError):
        stated_shot(parse_code(code, CLEVR), CLEVR, CLEVR.canonical_shot(80, 60, "draft"))


def test_a_floating_object_may_be_seen_from_below() -> None:
    so3 = get_domain("so3")
    scene = parse_code("camera(loc=(1, 2, -3), target=(0, 0, 0), lens=35)", so3)
    assert stated_shot(scene, so3, so3.canonical_shot(80, 60, "draft")).viewpoint.location == (1.0, 2.0, -3.0)


def test_a_header_takes_what_was_found_for_what_it_states_and_no_more() -> None:
    standard = CLEVR.canonical_shot(80, 60, "draft")
    lamps = tuple(replace(lamp, power=lamp.power / 2) for lamp in standard.lamps)
    found = replace(standard, camera=Camera((5.0, -5.0, 5.0)), lamps=lamps)
    both = reheaded(parse_code(KEY + "camera(loc=(1, 2, 3), target=(0, 0, 1), lens=20)", CLEVR), replace(found, lamps=lamps[:1]), CLEVR)
    assert write_code(both, CLEVR).splitlines() == [
        "camera(loc=(5.000, -5.000, 5.000), target=(0.000, 0.000, 0.000), lens=35.00)",
        'lamp(name="key", loc=(6.447, -2.905, 4.258), power=39.25)',
    ]
    assert [obj.statement for obj in reheaded(parse_code(KEY, CLEVR), found, CLEVR).header] == ["lamp"]
    assert reheaded(Scene("clevr", ()), found, CLEVR).header == ()


def test_a_record_that_tells_another_shot_than_its_code_is_damaged() -> None:
    chosen = DatasetSettings(shot_in_code=True, min_objects=1, max_objects=1, **FRAME)
    sample = draw(chosen, 0)

    def check(scene: Scene, shot: Shot, settings: DatasetSettings = chosen) -> None:
        stored = make_sample(chosen.key(0), scene, shot, np.zeros((60, 80, 3), np.uint8), index=0, seed=0, attempt=0, split="default")
        check_sample(settings, 0, sample_blocks(stored), "here")

    check(sample.scene, sample.shot)
    message = "here: sample 000000000: its code states another camera or other lamps than its record"
    for wrong in (
        replace(sample.shot, camera=replace(sample.shot.viewpoint, lens_mm=36.0)),
        replace(sample.shot, lamps=sample.shot.lamps[1:]),
        replace(sample.shot, noise_seed=1),
    ):
        with pytest.raises(UserError, match=message):
            check(sample.scene, wrong)
    with pytest.raises(UserError, match=message):
        check(replace(sample.scene, header=()), sample.shot)
    key = sample.scene.header[1]
    with pytest.raises(UserError, match=message):
        check(replace(sample.scene, header=(key.replaced(power=1e9),)), sample.shot)
    with pytest.raises(UserError, match=message):
        check(sample.scene, sample.shot, replace(chosen, shot_in_code=False))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([{"statement": "lamp", "name": "sun", "loc": [1, 2, 3], "power": 4}], "the header: there is no lamp sun in the clevr domain"),
        ([{"statement": "lamp", "name": "key", "loc": [1, 2, 3], "power": 4}] * 2, "the header: lamp key is given twice"),
        ([{"statement": "camera", "loc": [1, 2, 3]}], "the header: camera lacks lens"),
        ([{"statement": "add"}], "the header: there is no statement 'add'"),
        ([{"loc": [1, 2, 3]}], "does not name its statement"),
        ("camera", "header"),
    ],
)
def test_a_record_with_a_damaged_header_is_refused(header: Any, message: str) -> None:
    sample = draw(DatasetSettings(min_objects=1, max_objects=1, **FRAME), 0)
    stored = make_sample("a", sample.scene, sample.shot, np.zeros((60, 80, 3), np.uint8))
    record = json.loads(stored.files()[".json"])
    record["scene"]["header"] = header
    with pytest.raises(UserError, match=message):
        Sample.from_files("a", {**stored.files(), ".json": json.dumps(record).encode()}, "here")
