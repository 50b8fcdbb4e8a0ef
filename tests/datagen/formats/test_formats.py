"""Formats of others: written as their own readers want them, read with the camera recovered, and refused with the place when malformed."""

from __future__ import annotations

import copy
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datagen.code.grammar import MAX_STATEMENTS, parse_code
from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.formats import clevr_import
from datagen.formats.camera_fit import GOOD_PIXELS, CameraFit, Sightings, fit_camera
from datagen.formats.clevr_import import CODES, guess_frame, import_clevr
from datagen.formats.clevr_scenes import PublishedScene, published_directions, read_scenes, relationships
from datagen.formats.export import export
from datagen.geometry.camera import project
from datagen.images.encoding import encode_image
from datagen.inspect.report import inspect
from datagen.io.files import file_sha256, read_json, read_jsonl
from datagen.io.written import DRAFT
from datagen.samples.draw import draw
from datagen.samples.labels import decode_rle, view_of
from datagen.samples.sample import EncodedSample, Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Object, Scene
from datagen.shards.reader import Samples, write_shard
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from igllm import main
from render.images import same_image

CLEVR = get_domain("clevr")
JITTER = 0.5  # metres along each axis, as CLEVR's camera


def published_val_0() -> dict[str, Any]:
    """The first validation scene of CLEVR v1.0 (Johnson et al. 2017, CC BY 4.0), numbers shortened to six decimals."""
    rows = [
        ("brown large cylinder rubber", 178.923873, [-1.493721, -1.993603, 0.7], [119, 131, 10.801969]),
        ("gray large cube rubber", 243.405459, [1.555709, -2.104737, 0.7], [198, 190, 8.60104]),
        ("green small cylinder rubber", 230.452350, [-2.342185, -0.520501, 0.35], [161, 118, 12.372727]),
        ("purple large sphere metal", 31.654352, [-0.807311, 1.914124, 0.7], [282, 100, 12.495002]),
        ("gray small cube metal", 42.183288, [2.676381, 0.034539, 0.35], [337, 195, 9.161212]),
    ]
    objects = []
    for words, rotation, place, pixel in rows:
        named = dict(zip(("color", "size", "shape", "material"), words.split(), strict=True))
        objects.append({**named, "rotation": rotation, "3d_coords": place, "pixel_coords": pixel})
    relations = {
        "right": [[1, 2, 3, 4], [3, 4], [1, 3, 4], [4], []],
        "behind": [[2, 3], [0, 2, 3, 4], [3], [], [0, 2, 3]],
        "front": [[1, 4], [], [0, 1, 4], [0, 1, 2, 4], [1]],
        "left": [[], [0, 2], [0], [0, 1, 2], [0, 1, 2, 3]],
    }
    return {"image_index": 0, "image_filename": "CLEVR_val_000000.png", "split": "val", "objects": objects, "relationships": relations}


def jittered(index: int, least: int = 3, most: int = 10, width: int = 320, height: int = 240) -> Sample:
    """A drawn scene under a camera moved as CLEVR moves it, with noise for a picture."""
    settings = DatasetSettings(seed=5, width=width, height=height, quality="draft", min_objects=least, max_objects=most)
    drawn = draw(settings, index)
    rng = np.random.default_rng(index)
    x, y, z = (float(v) for v in np.add(CAMERA.location, rng.uniform(-JITTER, JITTER, 3)))
    shot = replace(drawn.shot, camera=replace(CAMERA, location=(x, y, z)))
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return make_sample(f"{index:09d}", drawn.scene, shot, pixels, index=index, seed=5, attempt=0, split="default")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Twelve jittered samples in two shards."""
    folder = tmp_path_factory.mktemp("jittered")
    for shard in range(2):
        write_shard(folder / f"shard-{shard:06d}.tar", (jittered(index) for index in range(6 * shard, 6 * shard + 6)))
    return Samples(folder)


@pytest.fixture(scope="module")
def clevr(data: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as CLEVR publishes it."""
    out = tmp_path_factory.mktemp("clevr")
    assert export(data.path, "clevr", out) == 12
    return out


def scenes_file(folder: Path, *scenes: Any) -> Path:
    path = folder / "scenes.json"
    path.write_text(json.dumps({"info": {}, "scenes": list(scenes)}))
    return path


# The camera


def recovered(points: np.ndarray, pixels: np.ndarray) -> CameraFit:
    """The camera told from pixels of a frame of 320x240 alone, without depths."""
    return fit_camera(CAMERA, Sightings(320, 240, points, pixels))


def test_cameras_are_recovered_within_two_pixels() -> None:
    """Rounded coordinates of scenes of one to ten objects, cameras jittered by 0.5 m along each axis."""
    worst, apart = [], []
    for index in range(60):
        sample = jittered(index, least=1 + index % 10, most=1 + index % 10, width=64, height=48)
        points = np.array([CLEVR.location(obj) for obj in sample.scene])
        pixels = project(sample.shot.camera, 320, 240, points)[:, :2].round()
        fit = recovered(points, pixels)
        worst.append(fit.worst)
        if len(points) >= 3:
            assert fit.camera.target == CAMERA.target
            apart.append(math.dist(fit.camera.location, sample.shot.camera.location))
    assert max(worst) <= 1.0
    assert float(np.median(apart)) < 0.15


def test_the_camera_of_a_published_scene_is_recovered() -> None:
    """Within CLEVR's jitter, and at the depths that the file records and the fit does not use."""
    scene = published_val_0()
    points = np.array([o["3d_coords"] for o in scene["objects"]])
    recorded = np.array([o["pixel_coords"] for o in scene["objects"]])
    fit = fit_camera(CAMERA, Sightings(480, 320, points, recorded[:, :2]))
    assert fit.worst < 0.5
    assert fit.camera.target == (0.0, 0.0, 0.0)
    assert np.abs(np.subtract(fit.camera.location, CAMERA.location)).max() < JITTER
    assert np.abs(project(fit.camera, 480, 320, points)[:, 2] - recorded[:, 2]).max() < 0.02


def test_another_target_and_a_wrong_coordinate_are_found_out() -> None:
    sample = jittered(3, least=8, most=8, width=64, height=48)
    points = np.array([CLEVR.location(obj) for obj in sample.scene])
    elsewhere = Camera((7.0, -6.9, 5.0), target=(0.6, -0.5, 0.3))
    fit = recovered(points, project(elsewhere, 320, 240, points)[:, :2].round())
    assert fit.worst <= math.sqrt(2) * GOOD_PIXELS
    assert "none of CLEVR's" in (fit.doubt or "")
    assert math.dist(fit.camera.location, elsewhere.location) < 0.3
    pixels = project(sample.shot.camera, 320, 240, points)[:, :2].round()
    pixels[2] += 40
    robust = recovered(points, pixels)
    assert robust.residuals.argmax() == 2
    assert np.median(robust.residuals) < 3


def test_the_usual_camera_is_recognised_exactly() -> None:
    points = np.array([CLEVR.location(obj) for obj in jittered(1, width=64, height=48).scene])
    assert recovered(points, project(CAMERA, 320, 240, points)[:, :2].round()).camera == CAMERA
    assert recovered(np.zeros((0, 3)), np.zeros((0, 2))).camera == CAMERA


# CLEVR, there and back


def test_scenes_are_laid_out_as_published(data: Samples, clevr: Path) -> None:
    document = read_json(clevr / "scenes" / "CLEVR_default_scenes.json")
    assert set(document["info"]) == {"date", "version", "split", "license"}
    assert len(document["scenes"]) == 12
    for index, (scene, sample) in enumerate(zip(document["scenes"], data, strict=True)):
        assert scene["image_index"] == index
        assert scene["split"] == "default"
        assert (clevr / "images" / "default" / scene["image_filename"]).read_bytes() == sample.image
        assert set(scene["directions"]) == {"right", "left", "front", "behind", "above", "below"}
        for name, vector in scene["directions"].items():
            assert math.hypot(*vector) == pytest.approx(1.0)
            assert (vector[2] == 0.0) == (name not in ("above", "below"))
        for row, label in zip(scene["objects"], sample.record["labels"], strict=True):
            assert set(row) == {"shape", "size", "material", "color", "rotation", "3d_coords", "pixel_coords"}
            assert all(type(v) is int for v in row["pixel_coords"][:2])
            assert np.abs(np.subtract(row["pixel_coords"], label["pixel_coords"])).max() <= 0.5
        x = [row["pixel_coords"][0] for row in scene["objects"]]
        for i, others in enumerate(scene["relationships"]["right"]):
            assert others == sorted(others)
            assert i not in others
            assert all(i in scene["relationships"]["left"][j] for j in others)
            assert i == x.index(max(x)) or others


def test_relations_are_those_of_the_published_scene() -> None:
    """CLEVR v1.0 records directions of the unmoved camera; with them, its adjacency lists come out of its coordinates."""
    scene = published_val_0()
    directions = published_directions(CAMERA)
    assert directions["right"] == pytest.approx([0.6563113, 0.7544903, 0.0], abs=1e-4)
    assert relationships(directions, np.array([o["3d_coords"] for o in scene["objects"]])) == scene["relationships"]


def test_exported_shards_come_back_as_they_were(data: Samples, clevr: Path, tmp_path: Path) -> None:
    imported = import_clevr(clevr / "scenes" / "CLEVR_default_scenes.json", tmp_path, clevr / "images")
    assert not imported.doubts
    assert len(imported.lines()) == 1
    back = Samples(tmp_path)
    assert back.keys == [f"CLEVR_default_{i:06d}" for i in range(12)]
    for one, other in zip(back, data, strict=True):
        assert one.code == other.code
        assert one.image == other.image
        assert one.record["split"] == "default"
        assert one.record["seed"] is None
        assert one.shot.camera == other.shot.camera
        assert one.record["labels"] == other.record["labels"]
    [row] = read_jsonl(tmp_path / "manifest.jsonl")
    assert row["sha256"] == file_sha256(tmp_path / row["name"])
    assert read_json(tmp_path / "dataset.json")["num"] == 12
    assert inspect(tmp_path, tmp_path / "inspect")["samples"] == 12
    assert main(["verify", str(tmp_path)]) == 0
    before = row["sha256"]
    import_clevr(clevr / "scenes" / "CLEVR_default_scenes.json", tmp_path, clevr / "images")
    assert read_jsonl(tmp_path / "manifest.jsonl")[0]["sha256"] == before


def test_an_interrupted_import_keeps_its_finished_shards(clevr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes, images = clevr / "scenes" / "CLEVR_default_scenes.json", clevr / "images"
    monkeypatch.setattr(clevr_import, "SHARD_SIZE", 5)
    import_clevr(scenes, tmp_path / "calm", images)
    rows = read_jsonl(tmp_path / "calm" / "manifest.jsonl")
    out = tmp_path / "disturbed"
    tries = iter(range(7))

    def interrupted(*arguments: Any, **named: Any) -> Any:
        if next(tries, None) is None:
            raise KeyboardInterrupt
        return make_sample(*arguments, **named)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(clevr_import, "make_sample", interrupted)
        import_clevr(scenes, out, images)
    assert read_jsonl(out / "manifest.jsonl") == rows[:1]
    again = import_clevr(scenes, out, images)
    assert (again.earlier, len(again.keys), len(again.stated)) == (5, 12, 7)
    assert read_jsonl(out / "manifest.jsonl") == rows
    (out / rows[1]["name"]).write_bytes(b"damaged")
    assert import_clevr(scenes, out, images).earlier == 5
    assert main(["verify", str(out)]) == 0
    others = tmp_path / "other images"
    shutil.copytree(images, others)
    Image.new("RGB", (320, 240)).save(next(others.rglob("CLEVR_default_000000.png")))
    assert import_clevr(scenes, out, others).earlier == 0


def test_published_pixels_become_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in the archive: RGBA pictures of 480x320 in the split's folder; one of them is not there."""
    scene, absent = published_val_0(), {**published_val_0(), "image_filename": "CLEVR_val_000001.png"}
    folder = tmp_path / "images" / "val"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (320, 480, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(folder / "CLEVR_val_000000.png")
    command = ["import", "--format", "clevr", "--scenes", str(scenes_file(tmp_path, scene, absent)), "--out", str(tmp_path / "out")]
    assert main([*command, "--images", str(tmp_path / "images")]) == 0
    said = capsys.readouterr()
    assert "images not there, scenes left out: 1 (CLEVR_val_000001)" in said.err
    [sample] = Samples(tmp_path / "out")
    assert sample.key == "CLEVR_val_000000"
    assert (sample.pixels() == pixels[..., :3]).all()
    assert Image.open(io.BytesIO(sample.image)).mode == "RGB"
    assert (sample.shot.width, sample.shot.height) == (480, 320)
    assert main([*command, "--images", str(tmp_path)]) == 2
    assert "none of the 2 images is here" in capsys.readouterr().err


def test_published_rotations_are_radians(tmp_path: Path) -> None:
    """Said to be degrees, but handed to Blender as they are (issues 5 and 36 of the published generator)."""
    [scene] = read_scenes(scenes_file(tmp_path, published_val_0()), CLEVR)
    cubes = {obj["size"]: obj["rotation"] for obj in scene.scene if obj["shape"] == "cube"}
    assert cubes["small"] == pytest.approx(math.degrees(42.183288) % 90, abs=0.06)
    degrees = {**published_val_0(), "rotation_unit": "degrees"}
    [scene] = read_scenes(scenes_file(tmp_path, degrees), CLEVR)
    assert {obj["rotation"] for obj in scene.scene if obj["shape"] == "cube"} == {42.2, 63.4}


def test_codes_wait_to_be_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = published_val_0()
    for obj in without["objects"]:
        del obj["pixel_coords"]
    single = tmp_path / "one.json"
    single.write_text(json.dumps(without))
    assert main(["import", "--format", "clevr", "--scenes", str(single), "--out", str(tmp_path / "one")]) == 0
    assert "the standard camera is assumed" in capsys.readouterr().err
    assert Samples(tmp_path / "one").shot("CLEVR_val_000000")[0] == CLEVR.canonical_shot(320, 240, "standard")

    imported = import_clevr(scenes_file(tmp_path, published_val_0()), tmp_path / "codes")
    assert not imported.off_ground
    [row] = read_jsonl(tmp_path / "codes" / CODES)
    assert row["key"] == "CLEVR_val_000000"
    assert len(parse_code(row["code"], CLEVR)) == 5
    shot, _ = Samples(tmp_path / "codes").shot(row["key"])
    assert (shot.width, shot.height) == (480, 320)  # told from the coordinates
    assert shot.lamps == CLEVR.canonical_shot(1, 1, "standard").lamps
    assert not list((tmp_path / "codes").glob("*.png"))


def test_the_frame_is_told_from_the_coordinates() -> None:
    def published(width: int, height: int) -> list[PublishedScene]:
        found = []
        for index in range(4):
            sample = jittered(index, width=64, height=48)
            points = np.array([CLEVR.location(obj) for obj in sample.scene])
            pixels = project(sample.shot.camera, width, height, points)[:, :2].round()
            found.append(PublishedScene(str(index), "", None, sample.scene, points, pixels, None, None, None, ""))
        return found

    assert guess_frame(published(480, 320), CLEVR) == (480, 320)
    assert guess_frame(published(320, 240), CLEVR) == (320, 240)


def changed(path: list[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(scene: dict[str, Any]) -> None:
        *way, last = path
        place: Any = scene
        for step in way:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(["objects"], None), "scene 1: objects is null, but must be a list"),
        (changed(["objects", 1], 7), "scene 1: objects[1] is 7, but must be an object"),
        (changed(["objects", 2, "shape"], "cone"), ': objects[2].shape is "cone", but must be one of cube, sphere, cylinder'),
        (changed(["objects", 0, "color"], ["red"]), 'objects[0].color is ["red"], but must be a string'),
        (changed(["objects", 0, "rotation"], "north"), 'objects[0].rotation is "north", but must be a finite number'),
        (changed(["objects", 0, "rotation"], True), "scene 1: objects[0].rotation is true, but must be a finite number"),
        (changed(["objects", 0, "3d_coords"], [1, 2]), "scene 1: objects[0].3d_coords is [1, 2], but must be a list of length 3"),
        (changed(["objects", 0, "3d_coords", 1], math.nan), "line 1: NaN is no finite number"),
        (changed(["objects", 0, "3d_coords", 1], 10**400), "scene 1: objects[0].3d_coords[1] is 1"),
        (changed(["objects", 0, "pixel_coords"], [1]), "scene 1: objects[0].pixel_coords is [1], but must be a list of length >= 2"),
        (changed(["image_filename"], None), "scene 1: image_filename is null, but must be a string"),
        (changed(["image_filename"], "../../a.png"), "scene 1: image_filename is"),
        (changed(["image_filename"], "/etc/a.png"), "scene 1: image_filename is"),
        (changed(["image_filename"], "a.b.png"), "scene 1: image_filename is"),
        (changed(["split"], "../x"), 'split is "../x", but must be a string'),
        (changed(["image_size"], [0, 5]), "scene 1: image_size[0] is 0, but must be a whole number >= 16"),
        (changed(["rotation_unit"], "turns"), "rotation_unit"),
    ],
)
def test_malformed_scenes_are_refused_with_the_place(change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path) -> None:
    scene = copy.deepcopy(published_val_0())
    change(scene)
    with pytest.raises(UserError) as refusal:
        import_clevr(scenes_file(tmp_path, {**published_val_0(), "image_filename": "other.png"}, scene), tmp_path / "out")
    assert str(refusal.value).startswith(f"{tmp_path / 'scenes.json'}: ")
    assert message in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_scenes_that_ask_for_too_many_labels_are_refused_before_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "")  # so that it is put back
    small = published_val_0()
    for entry in small["objects"]:
        entry.pop("pixel_coords")
    huge, crowded = ({**small, "image_size": [8192, 8192]}, {**small, "image_size": [320, 240], "objects": small["objects"] * 40})
    command = ["import", "--format", "clevr", "--out", str(tmp_path / "out"), "--scenes"]
    assert main([*command, str(scenes_file(tmp_path, huge))]) == 2
    name = small["image_filename"]
    assert f"{name}: its scene has 8,192x8,192 pixels, and at most 40,000,000 pixels are read" in capsys.readouterr().err
    assert main([*command, str(scenes_file(tmp_path, crowded)), "--max-pixels", "80000"]) == 2
    said = capsys.readouterr().err
    count = 40 * len(small["objects"])
    assert re.search(rf"{name}: its {count} objects cover [\d,]+ pixels together, of 320x240, and at most 320,000 are labelled", said)
    assert main([*command, str(scenes_file(tmp_path, crowded)), "--max-pixels", "40000000"]) == 0
    record = read_json(tmp_path / "out" / f"{Path(name).stem}.json")
    assert len(record["labels"]) == count
    assert sum(label["visible_pixels"] for label in record["labels"]) > 0


def test_a_view_has_room_for_the_most_objects_that_a_scene_can_have() -> None:
    dots = Scene("dot2d", tuple(Object("dot", {"loc": (place / MAX_STATEMENTS, 0.5)}) for place in range(MAX_STATEMENTS)))
    domain = get_domain("dot2d")
    shot = domain.canonical_shot(3000, 16, "draft")
    owner = view_of(dots, domain, shot).owner
    assert owner.max() == MAX_STATEMENTS - 1
    assert owner.min() == -1


@pytest.mark.parametrize("text", ["", "[]", "3", '{"scenes": []}', '{"scenes": {}}', '{"info": 1}', "[" * 100_000])
def test_what_is_no_scenes_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scenes.json"
    path.write_text(text)
    with pytest.raises(UserError, match=r"scenes\.json"):
        import_clevr(path, tmp_path / "out")


def test_other_data_is_not_written_over(data: Samples, clevr: Path, tmp_path: Path) -> None:
    scenes = clevr / "scenes" / "CLEVR_default_scenes.json"
    with pytest.raises(UserError, match="not imported"):
        import_clevr(scenes, data.path, clevr / "images")
    with pytest.raises(UserError, match="two scenes name"):
        import_clevr(scenes_file(tmp_path, published_val_0(), published_val_0()), tmp_path / "out")
    with pytest.raises(UserError, match="the data set itself"):
        export(data.path, "hf", data.path)
    (tmp_path / "hf" / "train").mkdir(parents=True)
    (tmp_path / "hf" / "train" / "cat.png").touch()
    with pytest.raises(UserError, match=r"cat\.png"):
        export(data.path, "hf", tmp_path / "hf")


@pytest.mark.parametrize("format", ["clevr", "coco", "hf"])
def test_an_export_into_an_older_one_ends_as_a_fresh_one(data: Samples, tmp_path: Path, format: str) -> None:
    """Of more samples, and killed within; but what others have put there is never written over."""
    few = tmp_path / "few"
    few.mkdir()
    write_shard(few / "a.tar", [data.at(3)])
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    assert export(data.path, format, out) == 12
    (out / DRAFT / "left").mkdir(parents=True)  # by a call that was killed
    for place in (out, fresh):
        assert export(few, format, place) == 1

    def contents(folder: Path) -> dict[str, bytes]:
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}

    assert contents(out) == contents(fresh)
    assert not (out / DRAFT).exists()
    (out / "cat.png").touch()
    with pytest.raises(UserError, match=r"holds other files too, such as cat\.png"):
        export(data.path, format, out)
    (out / "cat.png").unlink()
    changed = next(path for path in out.rglob("*.png"))
    changed.write_bytes(b"mine")
    other = tmp_path / "other"
    other.mkdir()
    write_shard(other / "a.tar", [replace(data.at(4), key="another")])
    if format != "clevr":  # which numbers its images anew
        with pytest.raises(UserError, match="was changed after igllm wrote it"):
            export(other, format, out)
        assert changed.read_bytes() == b"mine"


def cut_short(sample: Sample) -> Sample:
    return replace(sample, image=sample.image[: len(sample.image) // 2])


def in_another_size(sample: Sample) -> Sample:
    return replace(sample, image=encode_image(sample.pixels()[::2, ::2]))


@pytest.mark.parametrize("format", ["clevr", "coco", "hf"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda sample: replace(sample, image=b"\x89PNG\r\n\x1a\njunk"), "not a readable image"),
        (cut_short, "not a readable image"),
        (in_another_size, "its image has 160x120 pixels, and its record is of 320x240"),
        (lambda sample: replace(sample, image=encode_image(sample.pixels(), "webp")), r"its image is no \.png file"),
        (lambda sample: replace(sample, code=sample.code + "sing()\n"), "its code cannot be read: line 4, column 1"),
        (lambda sample: replace(sample, code=""), "code and record tell different scenes"),
    ],
)
def test_no_sample_is_exported_that_is_not_what_its_record_says(  # noqa: PLR0917
    format: str, change: Callable[[Sample], Sample], problem: str, data: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_shard(tmp_path / "set" / "a.tar", [data.at(0), change(jittered(1, most=3))])
    out = tmp_path / "out"
    assert main(["export", "--data", str(tmp_path / "set"), "--format", format, "--out", str(out)]) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("igllm")]
    assert re.match(rf"igllm export: {tmp_path}/set: sample 000000001: {problem}", said)
    assert not out.exists()


# Readers of others


def test_pycocotools_reads_the_instances(data: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    export(data.path, "coco", tmp_path)
    export(data.path, "coco", tmp_path)  # again, over itself
    coco = COCO(str(tmp_path / "annotations" / "instances.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cube", "sphere", "cylinder"]
    assert len(coco.getImgIds()) == 12
    for image, sample in zip(coco.loadImgs(sorted(coco.getImgIds())), data, strict=True):
        assert (tmp_path / "images" / image["file_name"]).read_bytes() == sample.image
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        for annotation, obj, label in zip(annotations, sample.scene, sample.record["labels"], strict=True):
            mask = coco.annToMask(annotation)
            assert (mask == decode_rle(label["mask"])).all()
            assert annotation["area"] == mask.sum()
            assert annotation["bbox"] == label["bbox"]
            assert coco.cats[annotation["category_id"]]["name"] == obj["shape"]
            assert annotation["attributes"]["color"] == obj["color"]
            assert annotation["attributes"]["loc"] == list(obj["loc"])
    perfect = [{**annotation, "score": 1.0} for annotation in copy.deepcopy(coco.loadAnns(coco.getAnnIds()))]
    for kind in ("segm", "bbox"):
        score = COCOeval(coco, coco.loadRes(copy.deepcopy(perfect)), kind)
        score.evaluate()
        score.accumulate()
        score.summarize()
        assert score.stats[0] == pytest.approx(1.0)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Hugging Face ``datasets``, which may ask nothing of the network and keeps its cache in a folder of its own."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def test_datasets_reads_the_image_folder(data: Samples, tmp_path: Path, offline: Any) -> None:
    export(data.path, "hf", tmp_path / "hf")
    for rows in (offline.load_dataset(str(tmp_path / "hf")), offline.load_dataset("imagefolder", data_dir=str(tmp_path / "hf"))):
        assert set(rows) == {"train"}
        for row, sample in zip(rows["train"], data, strict=True):
            assert (np.asarray(row["image"]) == sample.pixels()).all()
            assert (row["key"], row["code"]) == (sample.key, sample.code)
            assert [o["color"] for o in row["objects"]] == [obj["color"] for obj in sample.scene]
            assert [o["bbox"] for o in row["objects"]] == [label["bbox"] for label in sample.record["labels"]]


def test_datasets_reads_the_shards(data: Samples, offline: Any) -> None:
    files = str(data.path / "*.tar")
    whole = offline.load_dataset("webdataset", data_files=files)["train"]
    stream = offline.load_dataset("webdataset", data_files=files, streaming=True)["train"]
    for rows in (whole, stream):
        for row, sample in zip(rows, data, strict=True):
            assert row["__key__"] == sample.key
            assert (np.asarray(row["png"]) == sample.pixels()).all()
            assert row["py"].decode() == sample.code
            assert row["json"] == sample.record


# Through Blender


def test_an_exported_scene_renders_to_its_image_again(tmp_path: Path) -> None:
    """Under the standard camera and lamps, which a scenes file does not record, the way there and back loses nothing."""
    scene = jittered(4, least=3, most=3, width=64, height=48).scene
    shot = CLEVR.canonical_shot(64, 48, "standard")
    with RenderPool(1) as pool:
        [(_, sample)] = pool.render([RenderJob("a", scene, shot)])
    assert isinstance(sample, EncodedSample)
    sample = sample.decoded()
    write_shard(tmp_path / "data" / "shard-000000.tar", [sample])
    export(tmp_path / "data", "clevr", tmp_path / "clevr")
    import_clevr(tmp_path / "clevr" / "scenes" / "CLEVR_new_scenes.json", tmp_path / "codes")
    out = ["--data", str(tmp_path / "codes"), "--out", str(tmp_path / "again"), "--workers", "1"]
    assert main(["render", "--code", str(tmp_path / "codes" / CODES), *out]) == 0
    [again] = Samples(tmp_path / "again")
    assert same_image(again.pixels(), sample.pixels())
