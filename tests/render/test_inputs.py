"""What `igllm render` takes: code from standard input, folders and several files, other cameras and lamps; the passes that it writes."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.code.grammar import parse_code
from datagen.code.predictions import Candidate, Prediction
from datagen.code.printed import printed
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.samples.depth import depth_file
from datagen.samples.labels import decode_rle
from datagen.samples.lamps import load_lamps
from datagen.samples.viewpoints import named_cameras
from datagen.scene import Lamp
from datagen.shards.reader import Samples
from igllm import main
from render.codes import gather_codes
from render.images import same_image
from render.other_shots import OtherShots
from render.rerender import Recorded, Standard, render_codes
from render.verbs import Render

CLEVR = get_domain("clevr")
CODE = """add(loc=(1, -0.5, 0.7), color="cyan", material="metal", size="large", shape="cube", rotation=20)
add(loc=(-1.2, 0.8, 0.35), color="red", material="rubber", size="small", shape="sphere", rotation=0)
"""
DOT, OTHER = "dot(loc=(0.2, 0.5))\n", "dot(loc=(0.7, 0.5))\n"
LAMPS = {"only": {"location": [4, -4, 6], "power": 200, "color": [1, 0.2, 0.1]}}

Rendering = Callable[..., tuple[int, str]]


@pytest.fixture
def render(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rendering:
    """A function that calls `igllm render`, with a text on standard input and with paths in `tmp_path`; gives the status and what was
    printed. The working folder stays, on which it depends whether a Blender that runs can be used."""

    def call(*words: object, stdin: bytes = b"", domain: str = "dot2d") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        frame = ("--width", 32, "--height", 24, "--quality", "draft", "--workers", 1) if "--data" not in words else ("--workers", 1)
        placed = [
            tmp_path / word if isinstance(word, str) and re.search(r"^(out|rows|none|codes)|\.(py|jsonl?)$", word) else word
            for word in words
        ]
        status = main([str(word) for word in ("render", "--code", *placed, "--domain", domain, *frame)])
        output = capsys.readouterr()
        return status, output.out + output.err

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_code_comes_from_standard_input(render: Rendering, tmp_path: Path) -> None:
    assert render("-", "--out", "out", stdin=DOT.encode())[0] == 0
    assert names(tmp_path / "out") == ["stdin.json", "stdin.png", "stdin.py"]
    rows = "".join(json.dumps({"key": key, "code": code}) + "\n" for key, code in (("a", DOT), ("b", OTHER)))
    assert render("-", "--out", "rows", stdin=rows.encode())[0] == 0
    assert Samples(tmp_path / "rows").keys == ["a", "b"]


def test_what_predict_prints_is_read_again(render: Rendering, tmp_path: Path) -> None:
    """Of several images each code has a picture, of several candidates the first; from standard input, a file and a folder."""
    one = Prediction("a b", DOT, candidates=(Candidate(DOT, -1.0), Candidate(OTHER, -2.0)))
    text = printed(one, keyed=True) + printed(Prediction("c", OTHER), keyed=True)
    assert render("-", "--out", "out", stdin=text.encode())[0] == 0
    samples, dot2d = Samples(tmp_path / "out"), get_domain("dot2d")
    assert {key: samples[key].scene for key in samples.keys} == {"a b": parse_code(DOT, dot2d), "c": parse_code(OTHER, dot2d)}
    (tmp_path / "codes").mkdir()
    (tmp_path / "codes" / "both.py").write_text(text)
    for source, out in (("codes/both.py", "out-of-file"), ("codes", "out-of-folder")):
        assert render(source, "--out", out)[0] == 0
        assert Samples(tmp_path / out).keys == ["a b", "c"]
    assert render("-", "--out", "out-of-one", stdin=printed(one, keyed=False).encode())[0] == 0
    assert Samples(tmp_path / "out-of-one")["stdin"].scene == parse_code(DOT, dot2d)


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b" \n", "standard input: is empty"),
        (b"dot(loc=\xff)", "standard input: line 1, column 9: the byte 0xFF is no UTF-8 text"),
        (b'{"key": "a"}', "standard input, line 1: "),
        (b'{"key": "a", "code": ""}\n{"key": "a", "code": ""}', "standard input, line 2: the key a comes twice"),
        (b"# prediction of a\n\n# prediction of a\n", "standard input: the key a comes twice"),
        (b"# prediction of ../a\n", "standard input: "),
        (b"dot(loc=(0.5, 0.5))\n# prediction of a\n", "standard input: there is text before the first line"),
        (b"import os", "standard input: line 1, column 1: import is no statement"),
    ],
)
def test_standard_input_that_is_no_code_is_told(stdin: bytes, message: str, render: Render) -> None:
    status, output = render("-", "--out", "out", stdin=stdin)
    assert status == 2
    assert message in output


def test_files_and_folders_are_rendered_together_and_what_cannot_be_is_told(render: Rendering, tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    folder.mkdir()
    for name, content in {"a.py": DOT, "b.py": "nonsense", "c.py": DOT * 2, "._a.py": DOT, "a.blender.py": "import bpy"}.items():
        (folder / name).write_text(content)
    (folder / "d.py").write_bytes(b"\xff\xff")
    (tmp_path / "single.py").write_text(OTHER)
    (tmp_path / "pred.jsonl").write_text(json.dumps({"key": "e", "code": OTHER}) + "\n" + json.dumps({"key": "f", "code": "("}) + "\n")
    status, output = render("codes", "single.py", "pred.jsonl", "--out", "out")
    assert status == 0
    assert Samples(tmp_path / "out").keys == ["a", "c", "e", "single"]
    assert "codes/b.py: line 1, column 1: " in output
    assert "codes/d.py: line 1, column 1: the byte 0xFF is no UTF-8 text" in output
    assert "pred.jsonl: f: line 1, column 1: " in output
    assert "warning: c: 2 objects, at most 1" in output
    assert "out: 4 pictures, 3 refused" in output
    assert render("codes/b.py", "codes/d.py", "--out", "none")[0] == 2


def test_two_codes_of_one_key_are_refused(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scene.py").write_text(DOT)
    with pytest.raises(UserError, match=r"two/scene\.py: has the key scene, as .*one/scene\.py has"):
        gather_codes([tmp_path / "one" / "scene.py", tmp_path / "two"])
    with pytest.raises(UserError, match="is given twice"):
        gather_codes([tmp_path / "one", tmp_path / "one"])
    with pytest.raises(UserError, match=r"scene\.py: is named twice, once by its folder"):
        gather_codes([tmp_path / "one", tmp_path / "one" / "scene.py"])
    (tmp_path / "pred.jsonl").write_text(json.dumps({"key": "scene", "code": DOT}))
    with pytest.raises(UserError, match=r"pred\.jsonl: scene: has the key scene"):
        gather_codes([tmp_path / "one", tmp_path / "pred.jsonl"])


def test_folders_without_code_and_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pred.jsonl").touch()
    with pytest.raises(UserError, match=r"no file of graphics code \(\.py\) is in this folder, and no shards; it holds pred\.jsonl"):
        gather_codes([tmp_path])
    (tmp_path / "scene.txt").touch()
    with pytest.raises(UserError, match=r"scene\.txt: graphics code is read from a \.py file, "):
        gather_codes([tmp_path / "scene.txt"])
    for absent in ("absent.py", "absent"):
        with pytest.raises(UserError, match=f"{absent}: there is no such file or folder"):
            gather_codes([tmp_path / absent])


def test_a_folder_of_shards_holds_the_codes_of_its_samples(four_shards: Path) -> None:
    found, samples = gather_codes([four_shards]), Samples(four_shards)
    assert found.codes == {sample.key: sample.code for sample in samples}


def test_one_scene_is_seen_by_several_cameras_with_exact_passes(render: Rendering, tmp_path: Path) -> None:
    (tmp_path / "scene.py").write_text(CODE)
    (tmp_path / "lamps.json").write_text(json.dumps(LAMPS))
    passes, call = ("--depth", "--masks", "--normals"), ("scene.py", "--cameras", "left,top", "--out", "out")
    assert render(*call, *passes, "--lamps", "lamps.json", domain="clevr")[0] == 0
    samples = Samples(tmp_path / "out")
    assert samples.keys == ["scene-left", "scene-top"]
    for sample in samples:
        name = sample.key.partition("-")[2]
        scene, shot, labels = sample.scene, sample.shot, sample.record["labels"]
        assert (scene, shot.camera) == (parse_code(CODE, CLEVR), named_cameras(CLEVR)[name])
        assert shot.lamps == (Lamp("only", (4, -4, 6), 0.5, 200, (1, 0.2, 0.1)),)
        assert sample.extras[".depth.npy"] == depth_file(scene, CLEVR, shot)
        masks = np.asarray(Image.open(io.BytesIO(sample.extras[".masks.png"])))
        assert all(((masks == number) == decode_rle(label["mask"])).all() for number, label in enumerate(labels, 1))
        normals = np.load(io.BytesIO(sample.extras[".normals.npy"]))
        assert (normals.shape, normals.dtype) == ((24, 32, 3), np.dtype("<f4"))
        matrices = {name: np.array(matrix) for name, matrix in sample.record["matrices"].items()}
        for obj, label in zip(scene, labels, strict=True):
            x, y, away = matrices["K"] @ (matrices["world_to_camera"] @ [*obj["loc"], 1])[:3]
            assert [x / away, y / away, away] == pytest.approx(label["pixel_coords"], abs=1e-5)
        red, _, blue = sample.pixels().reshape(-1, 3).mean(0)
        assert red > 1.2 * blue
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}
    assert render(*call, *passes, "--lamps", "lamps.json", domain="clevr")[0] == 0
    assert before == {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names(tmp_path / "out")}
    (tmp_path / "scene.py").write_text(CODE.replace("cyan", "gray"))
    assert "2 pictures" in render(*call, "--masks", domain="clevr")[1]
    assert not [name for name in names(tmp_path / "out") if "depth" in name or "normals" in name]  # they were of other code


def test_views_stand_around_the_scene_of_a_data_set(renders: Samples, render: Rendering, tmp_path: Path) -> None:
    key = renders.keys[0]
    (tmp_path / f"{key}.py").write_text(renders.code(key))
    assert render(f"{key}.py", "--data", renders.path, "--views", 2, "--out", "out", domain="clevr")[0] == 0
    first, second = Samples(tmp_path / "out")
    assert (first.key, second.key) == (f"{key}-0", f"{key}-1")
    assert same_image(first.pixels(), renders[key].pixels())
    assert np.add(first.shot.camera.location, second.shot.camera.location)[:2] == pytest.approx([0, 0], abs=1e-5)
    assert second.shot.lamps == first.shot.lamps == renders[key].shot.lamps


def test_a_refined_code_is_rendered_under_the_light_and_camera_that_were_found(render: Rendering, tmp_path: Path) -> None:
    shot = replace(CLEVR.canonical_shot(48, 36, "standard"), camera=named_cameras(CLEVR)["left"], noise_seed=5)
    shot = replace(shot, lamps=tuple(replace(lamp, power=lamp.power / 2) for lamp in shot.lamps))
    found = {"shot": shot.to_json(), "first_error": 0.2, "error": 0.1, "renders": 9, "seconds": 1}
    rows = [{"key": "a", "code": CODE, "refinement": found}, {"key": "b", "code": CODE}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    standard = CLEVR.canonical_shot(32, 24, "draft")
    assert render("rows.jsonl", "--out", "out", domain="clevr")[0] == 0
    assert Samples(tmp_path / "out")["a"].shot == replace(shot, width=32, height=24, quality="draft", noise_seed=standard.noise_seed)
    assert Samples(tmp_path / "out")["b"].shot == standard
    asked = Render(code=[tmp_path / "rows.jsonl"], out=tmp_path, lighting="canonical").asked().shots.shot("a")[0]
    assert asked == replace(shot, lamps=standard.lamps, noise_seed=standard.noise_seed)
    del rows[0]["refinement"]["shot"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n")
    assert "rows.jsonl, line 1: refinement" in render("rows.jsonl", "--out", "none", domain="clevr")[1]


def test_a_single_camera_keeps_the_key(tmp_path: Path) -> None:
    camera = named_cameras(CLEVR)["left"]
    codes, shots = OtherShots(Standard(), (camera,)).of({"a": "", "b": ""})
    assert list(codes) == ["a", "b"]
    assert shots.shot("a")[0].camera == camera
    two = tuple(replace(camera, name=name) for name in ("x", "left-x"))
    with pytest.raises(UserError, match="a-left: its picture would have the key a-left-x, as that of a; rename one"):
        OtherShots(Standard(), two).of({"a": "", "a-left": ""})


def test_flags_that_contradict_one_another_or_the_domain_are_refused(renders: Samples, render: Rendering, tmp_path: Path) -> None:
    (tmp_path / "scene.py").write_text(DOT)
    (tmp_path / "low.json").write_text('{"low": {"location": [5, 0, 0.01]}}')
    (tmp_path / "under.json").write_text('{"key": {"location": [5, 0, 0.3], "power": 10}}')
    for words, domain, message in (
        (("--cameras", "main", "--views", "2"), "clevr", "--cameras and --views exclude each other"),
        (("--views", "257"), "clevr", "--views 257: at most 256 are possible"),
        (("--cameras", "mian"), "clevr", "no camera 'mian' of the clevr domain"),
        (("--cameras", "low.json"), "clevr", "the cameras: low.location is [5.0, 0.0, 0.01], but must be at least 0.1 m above the ground"),
        (("--lamps", "under.json"), "clevr", "the lamps: key.location is [5.0, 0.0, 0.3], but must be at least 0.5 m above the ground"),
        (("--lamps", "under.json", "--lighting", "canonical"), "clevr", "--lighting and --lamps exclude each other"),
        (("--lamps", "under.json"), "dot2d", "the dot2d domain has neither camera nor lamps"),
        (("--views", "2"), "dot2d", "the dot2d domain has neither camera nor lamps"),
        (("--depth",), "dot2d", "the dot2d domain is flat: it has masks, but neither depth nor normals"),
        (("--data", renders.path), "so3", "is of the domain clevr, not of so3"),
        (("--assets", tmp_path), "clevr", "--assets goes with --domain assets"),
    ):
        status, output = render("scene.py", *words, "--out", "out", domain=domain)
        assert (status, message in output) == (2, True), output
    assert not (tmp_path / "out").exists()
    assert render("scene.py", "--masks", "--out", "out")[0] == 0
    assert np.asarray(Image.open(tmp_path / "out" / "scene.masks.png")).max() == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"key": {"location": [1, 2, 3]}}, "power"),
        ({"key": {"location": [1, 2, 3], "power": -1}}, "power"),
        ({"key": {"location": [1, 2], "power": 1}}, "location"),
        ({"key": {"location": [0, 0, 0.001], "power": 1}}, "at least 0.01 m from the origin"),
        ({"key": {"location": [1, 2, 3], "power": 1, "watts": 2}}, "watts"),
        ({f"lamp{n}": {"location": [1, 2, 3], "power": 1} for n in range(65)}, "at most 64"),
    ],
)
def test_a_file_of_lamps_that_is_none_is_refused(content: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "lamps.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        load_lamps(tmp_path / "lamps.json")


def test_passes_asked_for_later_are_added(renders: Samples, tmp_path: Path) -> None:
    key = renders.keys[1]
    codes = {key: renders.code(key)}
    for passes in ((), ("depth",)):
        render_codes(codes, Recorded(renders), tmp_path, passes=passes)
    assert list(Samples(tmp_path)[key].extras) == [".depth.npy"]
    assert Samples(tmp_path)[key].record["labels"] == renders[key].record["labels"]
