"""CLEVR's published scenes: imported with or without images; a malformed file is refused with the place of the error."""

from __future__ import annotations

import copy
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from published_scenes import CLEVR, jittered, published_val_0, scenes_file

from datagen.code.grammar import MAX_STATEMENTS, parse_code
from datagen.domains.clevr import CAMERA
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.formats.clevr_import import CODES, guess_frame, import_clevr
from datagen.formats.clevr_scenes import PublishedScene, published_directions, read_scenes, relationships
from datagen.geometry.camera import project
from datagen.io.files import read_json, read_jsonl
from datagen.samples.labels import view_of
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from igllm import main


def test_relations_are_those_of_the_published_scene() -> None:
    """CLEVR v1.0 records the directions of the camera without jitter: they and the coordinates give its adjacency lists."""
    scene = published_val_0()
    directions = published_directions(CAMERA)
    assert directions["right"] == pytest.approx([0.6563113, 0.7544903, 0.0], abs=1e-4)
    assert relationships(directions, np.array([o["3d_coords"] for o in scene["objects"]])) == scene["relationships"]


def test_published_pixels_become_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in CLEVR's archive, images are RGBA, 480x320, in the split's folder; one of two is missing."""
    scene, absent = published_val_0(), {**published_val_0(), "image_filename": "CLEVR_val_000001.png"}
    folder = tmp_path / "images" / "val"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (320, 480, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(folder / "CLEVR_val_000000.png")
    command = ["import", "--format", "clevr", "--scenes", str(scenes_file(tmp_path, scene, absent)), "--out", str(tmp_path / "out")]
    assert main([*command, "--images", str(tmp_path / "images")]) == 0
    assert "images not there, scenes left out: 1 (CLEVR_val_000001)" in capsys.readouterr().err
    [sample] = Samples(tmp_path / "out")
    assert sample.key == "CLEVR_val_000000"
    assert (sample.pixels() == pixels[..., :3]).all()
    assert Image.open(io.BytesIO(sample.image)).mode == "RGB"
    assert (sample.shot.width, sample.shot.height) == (480, 320)
    assert main([*command, "--images", str(tmp_path)]) == 2
    assert "none of the 2 images is here" in capsys.readouterr().err


def test_published_rotations_are_radians(tmp_path: Path) -> None:
    """CLEVR documents degrees, but passes the numbers to Blender as radians (issues 5 and 36 of the published generator)."""
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
    assert (shot.width, shot.height) == (480, 320)  # as guessed from the coordinates
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
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "")  # restored after --max-pixels sets it
    small = published_val_0()
    for entry in small["objects"]:
        entry.pop("pixel_coords")
    huge, crowded = ({**small, "image_size": [8192, 8192]}, {**small, "image_size": [320, 240], "objects": small["objects"] * 40})
    command = ["import", "--format", "clevr", "--out", str(tmp_path / "out"), "--scenes"]
    assert main([*command, str(scenes_file(tmp_path, huge))]) == 2
    name = small["image_filename"]
    assert f"{name}: its scene has 8,192x8,192 pixels, and at most 40,000,000 pixels are read" in capsys.readouterr().err
    assert main([*command, str(scenes_file(tmp_path, crowded)), "--max-pixels", "80000"]) == 2
    message = capsys.readouterr().err
    count = 40 * len(small["objects"])
    assert re.search(rf"{name}: its {count} objects cover [\d,]+ pixels together, of 320x240, and at most 320,000 are labelled", message)
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
