"""Code that states its camera and lamps: it alone gives the picture, and what takes its place when more is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datagen.code.grammar import parse_code, write_code
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.samples.settings import DatasetSettings
from datagen.samples.viewpoints import named_cameras
from datagen.shards.reader import Samples
from datagen.shards.verify import verify
from igllm import main
from render.compare import compare
from render.images import same_image
from render.picture import render_scene
from render.rerender import Recorded, Standard, render_codes
from render.several import compare_several
from render.summary import summary_text
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


def moved(code: str) -> str:
    """The code with its camera a metre higher, level as before, and its key lamp at half the power."""
    scene = parse_code(code, CLEVR)
    x, y, z = scene.header[0]["loc"]
    lifted = scene.header[0].replaced(loc=(x, y, z + 1), target=(0.0, 0.0, 1.0))
    dimmed = scene.header[1].replaced(power=scene.header[1]["power"] / 2)
    return write_code(replace(scene, header=(lifted, dimmed, *scene.header[2:])), CLEVR)


def predicted(path: Path, samples: Samples, change: Callable[[str], str]) -> Path:
    path.write_text("".join(json.dumps({"key": sample.key, "code": change(sample.code)}) + "\n" for sample in samples))
    return path


def without_header(code: str) -> str:
    return "".join(f"{line}\n" for line in code.splitlines() if line.startswith("add"))


def test_what_codes_state_of_camera_and_lamps_is_scored(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    samples = headed("clevr", "around")
    found = compare(samples, predicted(tmp_path / "moved.jsonl", samples, moved), tmp_path / "report")["scene"]["shot"]
    assert found["camera"]["location"]["mean"] == pytest.approx(1.0)
    assert found["camera"]["direction"]["median"] == pytest.approx(0.0, abs=1e-4)
    assert found["camera"]["roll"]["median"] == pytest.approx(0.0, abs=1e-4)
    assert found["camera"]["field_of_view"]["mean"] == 0.0
    assert found["lamp_power"]["key"]["mean"] == pytest.approx(0.5)
    assert found["lamp_power"]["fill"]["mean"] == found["lamp_direction"]["key"]["mean"] == 0.0
    assert (found["camera"]["cameras"], found["camera"]["stated"], found["lamps"], found["lamps_matched"]) == (2, 2, 6, 6)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Camera and lamps" in page and "1.000 m" in page
    assert "2 of 2 cameras, 6 of 6 lamps" in page
    metrics = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert metrics["intervals"]["shot"]["camera"]["location"]["mean"] == pytest.approx([1.0, 1.0])
    text = summary_text(metrics)
    assert "camera      1 m away" in text and "key lamp    0° aside, its power 50.0 % off" in text


def test_a_code_that_states_nothing_misses_what_the_true_code_states(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    samples = headed("clevr", "around")
    metrics = compare(samples, predicted(tmp_path / "bare.jsonl", samples, without_header), tmp_path / "report")
    camera = metrics["scene"]["shot"]["camera"]
    assert (camera["cameras"], camera["stated"], camera["location"]["mean"]) == (2, 0, None)
    assert "0 of 2 cameras, 0 of 6 lamps" in (tmp_path / "report" / "index.html").read_text()
    assert "camera" not in summary_text(metrics)


def test_the_record_is_the_truth_where_the_true_code_states_nothing(renders: Samples, tmp_path: Path) -> None:
    keys = renders.keys[:2]
    assert "shot" not in compare(renders, renders.path, tmp_path / "plain", keys)["scene"]

    def stated(code: str) -> str:
        assert isinstance(CLEVR, StagedDomain)
        return write_code(replace(parse_code(code, CLEVR), header=CLEVR.header_of(CLEVR.canonical_shot(64, 48, "draft"))), CLEVR)

    rows = predicted(tmp_path / "stated.jsonl", renders, stated)
    found = compare(renders, rows, tmp_path / "report", keys)["scene"]["shot"]
    assert found["camera"]["location"]["mean"] == 0.0  # the set has the domain's camera
    assert 0 < found["lamp_direction"]["key"]["mean"] < 20  # and jittered lamps


def test_several_candidates_are_held_against_each_other(headed: Callable[[str, str], Samples], tmp_path: Path) -> None:
    samples = headed("clevr", "around")
    rows = {name: predicted(tmp_path / f"{name}.jsonl", samples, change) for name, change in (("moved", moved), ("right", str))}
    metrics = compare_several(samples, rows, tmp_path / "report")
    assert metrics["paired"][0]["scene"]["shot"]["camera"]["location"]["median"]["difference"] == pytest.approx(-1.0)
    assert metrics["paired"][0]["wins"]["camera"] == {"wins": 2, "losses": 0, "ties": 0}
    page = (tmp_path / "report" / "index.html").read_text()
    assert "camera: location error, median" in page and "key lamp: power error, median" in page
