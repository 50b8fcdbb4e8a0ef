"""The examples run unchanged, in draft quality where they state none, and each has few lines, an explanation and a picture."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from places import EXAMPLES

from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.shards.reader import Samples
from model.load import find_model
from render.picture import render_scene
from render.rerender import Standard

FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())
MOST_LINES = 40
MOST_BYTES = 100_000  # of a picture


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs an example in `tmp_path` and returns its output; in this process, which has loaded the imports already."""

    def run_example(name: str, *arguments: object) -> str:
        program = str(EXAMPLES / name / f"{name}.py")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        try:
            runpy.run_path(program, run_name="__main__")
        except SystemExit as end:
            assert not end.code
        return capsys.readouterr().out

    return run_example


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_an_example_is_short_explained_and_shown(folder: Path) -> None:
    name = folder.name
    assert len((folder / f"{name}.py").read_text().splitlines()) <= MOST_LINES
    text = (folder / "README.md").read_text()
    assert f"python {name}.py" in text and f"({name}.webp)" in text
    assert f"({name}/README.md)" in (EXAMPLES / "README.md").read_text()
    assert (folder / f"{name}.webp").is_file()
    for picture in folder.glob("*.webp"):
        assert picture.stat().st_size < MOST_BYTES
        Image.open(picture).verify()


def test_hello_generates_trains_and_goes_around(run: Callable[..., str]) -> None:
    output = run("hello")
    assert "add(loc=(" in output
    assert Path(output.split()[-1]).is_file()


def test_a_scene_by_hand_is_rendered(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Standard.__init__, "__defaults__", (*Standard.__init__.__defaults__[:-1], "draft"))
    output = run("scene_by_hand", "spiral")
    *code, picture = output.split("\n\n")
    assert len(parse_code("\n".join(code), get_domain("clevr"))) == 9
    assert Image.open(tmp_path / picture.strip()).size == (320, 240)


def test_code_becomes_arrays(run: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(render_scene.__kwdefaults__, "quality", "draft")
    output = run("code_to_array", "arrays.png")
    assert [line.partition(":")[0] for line in output.splitlines()] == ["main", "left", "top"]
    assert "the cube at 127.3, 87.3" in output
    assert Image.open(tmp_path / "arrays.png").size == (960, 540)


@pytest.mark.usefixtures("without_plots")
def test_a_split_of_ones_own_is_kept(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("own_split", "data")
    assert "small red" in output
    scenes = [sample.scene for sample in Samples(tmp_path / "data")]
    assert len(scenes) == 8
    assert all(obj["shape"] != "cube" or (obj["color"], obj["size"]) == ("red", "small") for scene in scenes for obj in scene)
    assert (tmp_path / "data" / "inspect" / "index.html").is_file()


@pytest.mark.usefixtures("without_plots")
def test_assets_of_ones_own_are_rendered(run: Callable[..., str], tmp_path: Path) -> None:
    run("own_assets", "own")
    words = {obj["shape"].partition("-")[0] for sample in Samples(tmp_path / "own" / "data") for obj in sample.scene}
    assert words == {"prism"}
    assert (tmp_path / "own" / "data" / "inspect" / "index.html").is_file()


def test_a_picture_becomes_code_and_a_picture(run: Callable[..., str], tmp_path: Path) -> None:
    output = run("predict_and_render")
    assert "add(loc=(" in output
    assert Image.open(tmp_path / "again" / "photo.png").size == (160, 120)


def test_shards_are_trained_on_without_igllm(renders: Samples, run: Callable[..., str], tmp_path: Path) -> None:
    output = run("train_plainly", renders.path)
    assert output.count("step") == 6
    assert (tmp_path / "losses.png").is_file()
    program = (EXAMPLES / "train_plainly" / "train_plainly.py").read_text()
    assert not any(f"import {name}" in program or f"from {name}" in program for name in ("datagen", "model", "render", "igllm"))


@pytest.mark.slow
def test_two_models_are_compared(renders: Samples, run: Callable[..., str], tmp_path: Path) -> None:
    output = run("compare_models", renders.path, "compared", "tiny", find_model(None))
    head, *rows = [line.split("\t") for line in output.strip().splitlines()]
    assert head[:2] == ["model", "count"]
    assert rows[0][1:] == rows[1][1:]
    assert (tmp_path / "compared" / "models.png").is_file()
    assert (tmp_path / "compared" / "1-tiny" / "index.html").is_file()
