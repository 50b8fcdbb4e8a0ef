"""Code that states its camera and lamps: it alone gives the picture, and what takes its place when more is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.samples.settings import DatasetSettings
from datagen.samples.viewpoints import named_cameras
from datagen.shards.reader import Samples
from datagen.shards.verify import verify
from igllm import main
from render.images import same_image
from render.picture import render_scene
from render.rerender import Recorded, Standard, render_codes
from render.verbs import Render

CLEVR = get_domain("clevr")
FRAME: Mapping[str, Any] = {"width": 48, "height": 36, "quality": "draft"}
VIEWS = {"around": {"split": "any-view"}, "jittered": {"camera_jitter": 0.4}}


@pytest.fixture(scope="module")
def headed(shared_set: Callable[[str, DatasetSettings, int], Samples]) -> Callable[[str, str], Samples]:
    """A function from a domain's name and one of `VIEWS` to two samples with their shots in their code."""
    return lambda name, how: shared_set(f"headed-{name}-{how}", DatasetSettings(domain=name, shot_in_code=True, **FRAME, **VIEWS[how]), 2)


STAGED = ("clevr", "assets", "so3", "pose6d")
SLOW = {(name, "jittered") for name in STAGED[1:]}  # what is special about them is seen under cameras all around


@pytest.mark.parametrize(
    ("name", "how"), [pytest.param(name, how, marks=[pytest.mark.slow] * ((name, how) in SLOW)) for name in STAGED for how in VIEWS]
)
def test_code_alone_gives_the_image_of_the_data_set(name: str, how: str, headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    samples = headed(name, how)
    assert verify(samples.path).whole
    codes = {key: samples.code(key) for key in samples.keys}
    assert render_codes(codes, Standard(name, **FRAME), tmp_path / "alone", on=1).keys == samples.keys
    for sample, again in zip(samples, Samples(tmp_path / "alone"), strict=True):
        assert sample.code.startswith("camera(")
        assert same_image(sample.pixels(), again.pixels())
        assert again.code == sample.code
        assert again.record["shot"] == sample.record["shot"]
        assert again.record["labels"] == sample.record["labels"]


def asked(path: Path, *words: str) -> Any:
    """The shot in which `igllm render` takes the code of a file."""
    flags = dict(zip(words[::2], words[1::2], strict=True))
    verb = Render(code=[path], out=path.parent, **{name: Path(value) if name == "data" else value for name, value in flags.items()})
    return verb.asked().shots.shot(path.stem)[0]


def test_what_code_states_wins_over_the_record_and_flags_win_over_both(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    samples = headed("clevr", "around")
    one, other = samples
    path = tmp_path / f"{one.key}.py"
    path.write_text(other.code)
    standard = CLEVR.canonical_shot(320, 240, "standard")
    assert asked(path, "data", str(samples.path)) == other.shot
    assert asked(path) == replace(other.shot, width=320, height=240, quality="standard")
    assert asked(path, "cameras", "left").camera == named_cameras(CLEVR)["left"]
    assert asked(path, "cameras", "left").lamps == other.shot.lamps
    assert asked(path, "lighting", "canonical") == replace(asked(path), lamps=standard.lamps)
    lit = asked(path, "data", str(samples.path), "lighting", "canonical")
    assert (lit.camera, lit.lamps) == (other.shot.camera, standard.lamps)
    path.write_text("\n".join(line for line in other.code.splitlines() if not line.startswith("lamp")))
    assert (asked(path).camera, asked(path).lamps) == (other.shot.camera, standard.lamps)
    recorded = asked(path, "data", str(samples.path))
    assert (recorded.camera, recorded.lamps) == (other.shot.camera, one.shot.lamps)


def test_a_camera_that_cannot_be_is_refused_and_the_others_are_rendered(
    headed: Callable[[str, str], Samples], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = headed("clevr", "around")
    (tmp_path / "good.py").write_text(samples.at(0).code)
    (tmp_path / "bad.py").write_text("camera(loc=(1, 2, -3), target=(0, 0, 0), lens=35)\n")
    files = [str(tmp_path / name) for name in ("good.py", "bad.py")]
    call = ["render", "--code", *files, "--out", str(tmp_path / "out"), "--width", "48", "--height", "36", "--quality", "draft"]
    assert main([*call, "--workers", "1"]) == 0
    output = capsys.readouterr().err
    assert "bad.py: camera: loc is -3 m above the ground" in output
    assert "Traceback" not in output
    assert same_image(Samples(tmp_path / "out")["good"].pixels(), samples.at(0).pixels())


def test_a_picture_in_python_is_that_of_the_code(headed: Callable[[str, str], Samples]) -> None:
    sample = headed("clevr", "around").at(0)
    picture = render_scene(sample.code, **FRAME)
    assert picture.shot == sample.shot
    assert same_image(picture.image, sample.pixels())
    left = named_cameras(CLEVR)["left"]
    assert render_scene(sample.code, camera=left, **FRAME).shot.camera == left


def test_files_to_take_away_have_the_camera_of_the_code(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    sample = headed("clevr", "around").at(0)
    rendered = render_codes({"a": sample.code}, Standard("clevr", **FRAME), tmp_path, also=["glb", "script"], on=1)
    assert rendered.keys == ["a"]
    data = (tmp_path / "a.glb").read_bytes()
    content = json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])
    [camera] = [node for node in content["nodes"] if "camera" in node]
    x, y, z = sample.shot.viewpoint.location
    assert camera["translation"] == pytest.approx([x, z, -y], abs=1e-5)
    stated = str(round(x, 3))
    assert stated in (tmp_path / "a.blender.py").read_text()


def test_exports_carry_the_code_and_the_camera(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    """To LLaVA's format and CLEVR's, and back from that: the camera is in the code again."""
    samples = headed("clevr", "around")
    assert main(["export", "--data", str(samples.path), "--format", "llava", "--out", str(tmp_path / "llava")]) == 0
    [path] = (tmp_path / "llava").glob("*.json")
    answers = [row["conversations"][1]["value"] for row in json.loads(path.read_text())]
    assert [answer.strip() for answer in answers] == [sample.code.strip() for sample in samples]
    assert main(["export", "--data", str(samples.path), "--format", "clevr", "--out", str(tmp_path / "clevr")]) == 0
    [scenes] = (tmp_path / "clevr" / "scenes").glob("*.json")
    [images] = (tmp_path / "clevr" / "images").glob("*")
    back = tmp_path / "back"
    assert (
        main(["import", "--format", "clevr", "--scenes", str(scenes), "--images", str(images), "--out", str(back), "--shot-in-code"]) == 0
    )
    for sample, again in zip(samples, Samples(back), strict=True):
        [camera] = again.scene.header
        assert camera == sample.scene.header[0]
        assert again.scene.objects == sample.scene.objects
        assert parse_code(again.code, CLEVR) == again.scene
        assert again.shot.camera == sample.shot.camera
        assert again.record["labels"] == sample.record["labels"]


def test_the_record_of_a_data_set_goes_on_without_a_header(renders: Samples, tmp_path: Path) -> None:
    key = renders.keys[0]
    assert render_codes({key: renders.code(key)}, Recorded(renders), tmp_path, on=1).keys == [key]
    assert Samples(tmp_path)[key].shot == renders[key].shot
