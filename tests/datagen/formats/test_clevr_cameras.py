"""Cameras in CLEVR's files: stated cameras are imported unchanged; otherwise the recovered camera is right, or reported to be in doubt."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.formats import clevr_import
from datagen.formats.camera_fit import Sightings, fit_camera
from datagen.formats.clevr_import import import_clevr
from datagen.formats.export import export
from datagen.geometry.camera import project
from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera
from datagen.shards.reader import Samples, write_shard
from igllm import main

CLEVR = get_domain("clevr")
CAMERAS = (
    CAMERA,
    Camera((-7.5, -6.5, 5.3), name="left"),
    Camera((0.01, 0.0, 12.0), name="above"),
    replace(CAMERA, lens_mm=30.0, name="lens30"),
    Camera((0.0, -11.0, 0.6), (0.1, 0.2, 0.5), 28.0, 36.0, "low"),
    Camera((25.0, -20.0, 15.0), lens_mm=100.0, name="tele"),
)


def sample(index: int, camera: Camera) -> Sample:
    """A scene of three to six objects under a camera, with noise for its image."""
    drawn = draw(DatasetSettings(seed=5, width=64, height=48, quality="draft", min_objects=3, max_objects=6), index)
    pixels = np.random.default_rng(index).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    shot = replace(drawn.shot, camera=camera, width=320, height=240)
    return make_sample(f"{index:09d}", drawn.scene, shot, pixels, index=index, seed=5, attempt=0, split="default")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, Path]:
    """Twelve samples of six cameras, and their export to CLEVR's format."""
    folder = tmp_path_factory.mktemp("cameras")
    write_shard(folder / "data" / "shard-000000.tar", (sample(index, CAMERAS[index % len(CAMERAS)]) for index in range(12)))
    export(folder / "data", "clevr", folder / "clevr")
    return Samples(folder / "data"), folder / "clevr"


def scenes_of(clevr: Path, out: Path, **changes: Any) -> Path:
    """A copy of the scenes file with some fields of every scene replaced; None removes a field."""
    document = json.loads((clevr / "scenes" / "CLEVR_default_scenes.json").read_text())
    for scene in document["scenes"]:
        for name, value in changes.items():
            scene[name] = value
            if value is None:
                del scene[name]
    out.mkdir(parents=True, exist_ok=True)
    (out / "scenes.json").write_text(json.dumps(document))
    return out / "scenes.json"


def test_stated_cameras_come_back_as_they_were(exported: tuple[Samples, Path], tmp_path: Path) -> None:
    data, clevr = exported
    scenes = clevr / "scenes" / "CLEVR_default_scenes.json"
    for out, images in ((tmp_path / "shards", clevr / "images"), (tmp_path / "codes", None)):
        imported = import_clevr(scenes, out, images)
        assert imported.lines() == ["cameras as the file states them: 12 scenes"]
        for (key, _), before in zip(imported.stated.items(), data, strict=True):
            shot, _ = Samples(out).shot(key)
            assert shot.camera == before.shot.camera
    for back, before in zip(Samples(tmp_path / "shards"), data, strict=True):
        assert back.record["labels"] == before.record["labels"]


def test_without_the_statement_each_camera_is_right_or_named(
    exported: tuple[Samples, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, clevr = exported
    scenes = scenes_of(clevr, tmp_path, camera=None)
    assert main(["import", "--format", "clevr", "--scenes", str(scenes), "--out", str(tmp_path / "out")]) == 0
    messages = capsys.readouterr().err
    assert "cameras recovered for 12 scenes, 10 of them in doubt" in messages
    for number, before in enumerate(data):
        key, camera = f"CLEVR_default_{number:06d}", before.shot.viewpoint
        found = Samples(tmp_path / "out").shot(key)[0].viewpoint
        assert (f"the camera of {key} is in doubt: it is none of CLEVR's" in messages) == (camera != CAMERA)
        lens = camera.lens_mm * CAMERA.sensor_mm / camera.sensor_mm  # of the same view with CLEVR's sensor
        assert found.lens_mm == pytest.approx(lens, rel=0.02)
        assert math.dist(found.location, camera.location) < 0.2
        assert found.location[2] > 0


ANYWHERE = st.builds(
    lambda angle, away, high, lens, target: Camera((away * math.cos(angle), away * math.sin(angle), high), target, lens),
    st.floats(0, 2 * math.pi),
    st.floats(3, 25),
    st.floats(0.3, 15),
    st.sampled_from([18.0, 30.0, 34.5, 35.0, 36.0, 50.0]),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(0, 0.7)),
)
NEAR = st.builds(
    lambda x, y, z: replace(CAMERA, location=(CAMERA.location[0] + x, CAMERA.location[1] + y, CAMERA.location[2] + z)),
    *[st.floats(-0.5, 0.5)] * 3,
)
SCENES = [
    draw(DatasetSettings(width=64, height=48, quality="draft", min_objects=count, max_objects=count), count).scene for count in range(1, 8)
]


@settings(max_examples=40)
@given(ANYWHERE | NEAR, st.integers(0, len(SCENES) - 1))
def test_no_camera_is_silently_wrong(camera: Camera, which: int) -> None:
    """Every fit is within 15 cm and 2 px, or in doubt; a camera of CLEVR's is not in doubt if there are three objects or more."""
    points = np.array([CLEVR.location(obj) for obj in SCENES[which]])
    seen = project(camera, 320, 240, points)
    if (seen[:, 2] < 0.5).any():
        return
    fit = fit_camera(CAMERA, Sightings(320, 240, points, seen[:, :2].round(), seen[:, 2]))
    if fit.doubt is None:
        assert math.dist(fit.camera.location, camera.location) < 0.15
        assert np.abs(project(fit.camera, 320, 240, points) - seen).max() < 2
    clevrs = camera.target == CAMERA.target and camera.lens_mm == CAMERA.lens_mm
    if clevrs and np.abs(np.subtract(camera.location, CAMERA.location)).max() <= 0.5 and len(points) >= 3:
        assert fit.doubt is None


def test_depths_that_are_none_cost_the_place_nothing_but_are_told() -> None:
    points = np.array([CLEVR.location(obj) for obj in SCENES[5]])
    seen = project(CAMERA, 320, 240, points)
    along_the_ray = np.linalg.norm(points - CAMERA.location, axis=1)
    fit = fit_camera(CAMERA, Sightings(320, 240, points, seen[:, :2].round(), along_the_ray))
    assert "depths in pixel_coords" in (fit.doubt or "")
    assert fit.camera == CAMERA


def test_after_some_cameras_that_none_finds_no_more_are_sought_far_off(
    exported: tuple[Samples, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search takes half a second, and a file may have many scenes. Each shard counts anew, because an import may resume there."""
    monkeypatch.setattr(clevr_import, "MOST_IN_VAIN", 1)
    monkeypatch.setattr(clevr_import, "SHARD_SIZE", 3)
    scenes = json.loads((exported[1] / "scenes" / "CLEVR_default_scenes.json").read_text())
    scenes["scenes"] = [scene for scene in scenes["scenes"] if len(scene["objects"]) >= 4][:4]
    assert len(scenes["scenes"]) == 4
    rng = np.random.default_rng(0)
    for scene in scenes["scenes"]:
        del scene["camera"]
        for obj in scene["objects"]:
            obj["pixel_coords"] = rng.uniform(0, 200, 2).round().tolist()
    (tmp_path / "scenes.json").write_text(json.dumps(scenes))
    doubts = import_clevr(tmp_path / "scenes.json", tmp_path / "out").doubts
    assert ["none but CLEVR's was sought" in doubt for doubt in doubts.values()] == [False, True, True, False]
    assert all(" px off" in doubt for doubt in doubts.values())


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ([1, 2, 3], "camera is [1, 2, 3], but must be an object"),
        ({"target": [0, 0, 0]}, "camera: location is missing"),
        ({"location": [0, 0, -5]}, "above the ground"),
        ({"location": [1, 2, 3], "target": [1, 2, 3]}, "target"),
        ({"location": [1, 2, "3"]}, "location"),
        ({"location": [1, 2, 3], "lens_mm": 0}, "lens_mm"),
        ({"location": [1, 2, 3], "name": "../../x"}, "camera.name is"),
        ({"location": [1, 2, 3], "name": [1]}, "name"),
        ({"location": [1, 2, 3], "roll": 3}, "roll"),
    ],
)
def test_a_stated_camera_that_is_none_is_refused_with_its_scene(
    camera: Any, message: str, exported: tuple[Samples, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as refusal:
        import_clevr(scenes_of(exported[1], tmp_path, camera=camera), tmp_path / "out")
    assert "scene 0" in str(refusal.value)
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_stated_camera_that_sees_objects_elsewhere_is_in_doubt(exported: tuple[Samples, Path], tmp_path: Path) -> None:
    scenes = scenes_of(exported[1], tmp_path, camera={"location": [7.481, -6.508, 5.4]})
    imported = import_clevr(scenes, tmp_path / "out")
    assert len(imported.doubts) == 12
    assert "the one that the file states shows an object" in imported.doubts["CLEVR_default_000000"]
    assert "in doubt as well, and with them the labels: 2 more cameras" in imported.lines()


def test_images_of_another_size_than_the_scenes_are_refused(exported: tuple[Samples, Path], tmp_path: Path) -> None:
    scenes = scenes_of(exported[1], tmp_path, image_size=[480, 320])
    with pytest.raises(UserError, match=r"CLEVR_default_000000.png: has 320x240 pixels, but its scene is of 480x320"):
        import_clevr(scenes, tmp_path / "out", exported[1] / "images")
