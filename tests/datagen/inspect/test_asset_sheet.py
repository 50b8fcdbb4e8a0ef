"""The files and messages of `igllm inspect --assets`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image
from places import FAULTS, ROOT

import igllm
from datagen.assets import opening
from datagen.assets.library import CLASSES
from datagen.inspect import assets as sheets
from datagen.inspect.sheets import TILE


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for models, which `faulty_importer` opens instead of Blender."""
    monkeypatch.setattr(opening, "IMPORTER", "faulty_importer")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), str(ROOT)]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAULTS_LOG", str(tmp_path / "log"))
    made = tmp_path / "models"
    made.mkdir()
    return made


def test_the_classes_modelled_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sheets, "INSTANCES", 1)
    assert igllm.main(["inspect", "--assets", "--out", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / sheets.LIST).read_text())["assets"]
    assert [row["id"] for row in rows] == [f"{kind}-0" for kind in CLASSES]
    assert all(0 < size <= 2 for row in rows for size in row["extent"])
    with Image.open(tmp_path / sheets.SHEET) as sheet:
        assert sheet.width > 8 * TILE
        left = sheet.convert("L").crop((0, 0, TILE, TILE))
        assert left.getextrema()[0] < 120  # something is drawn
    assert "assets: 10; classes: 10" in capsys.readouterr().out


def test_a_folder_of_files_with_a_bad_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.stl").write_text("1")
    (folder / "damaged.obj").write_text("2")
    assert igllm.main(["inspect", "--assets", str(folder)]) == 0
    output = capsys.readouterr().out
    assert "assets: 1; classes: 1" in output and "left out: damaged.obj: no such format" in output
    assert (folder / "inspect" / sheets.SHEET).is_file()
    found = json.loads((folder / "inspect" / sheets.LIST).read_text())
    assert [row["path"] for row in found["assets"]] == ["a.stl"]
    assert found["refused"] == [{"path": "damaged.obj", "reason": "no such format"}]


def test_what_cannot_be_shown_is_one_message(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "damaged.obj").write_text("2")
    for arguments, message in (
        (["--assets", str(folder)], "none of its 1 model files can be used:\n  damaged.obj: no such format"),
        (["--assets", str(tmp_path / "nowhere")], "no such folder of model files"),
        ([], "one of the two"),
        ([str(folder), "--assets"], "one of the two"),
        (["--assets", "--out", str(folder / "damaged.obj")], "name another"),
    ):
        assert igllm.main(["inspect", *arguments]) == 2
        assert message in capsys.readouterr().err
