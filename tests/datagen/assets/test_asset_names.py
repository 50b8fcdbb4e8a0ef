"""Names of folders and files as names in code: folders of different names are different classes."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import igllm
from datagen.assets.folder import class_name, file_id
from datagen.assets.own import own_assets
from datagen.assets.own_textures import own_textures
from datagen.io.untrusted import as_name
from datagen.screen import printable

PLAIN = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,30}[A-Za-z0-9])?", fullmatch=True)
NAMES = st.one_of(
    PLAIN,
    st.text(min_size=1, max_size=80),
    st.binary(min_size=1, max_size=40).map(os.fsdecode),
    st.text("ab _-.0é\u0301", min_size=1, max_size=6),
)


@given(NAMES)
def test_a_class_and_an_id_are_names_that_code_can_carry(name: str) -> None:
    assert as_name(class_name(name), "", "") == class_name(name)
    as_name(file_id(Path(name.replace("/", "_").replace("\0", "_")), "0123456789ab" * 5), "", "")


@given(NAMES, NAMES)
def test_two_names_make_two_classes(one: str, other: str) -> None:
    assert (class_name(one) == class_name(other)) == (one == other)


@given(NAMES)
def test_what_a_class_is_called_is_no_other_folders_class(name: str) -> None:
    """A folder may have the name that another folder's class got."""
    assert (class_name(class_name(name)) == class_name(name)) == (class_name(name) == name)


@given(PLAIN.filter(lambda name: name.rpartition("-")[2].strip("0123456789abcdef") != "" or "-" not in name))
def test_a_plain_name_stays_what_it_is(name: str) -> None:
    assert class_name(name) == name


def test_names_that_end_in_dates_times_and_uuids_are_plain() -> None:
    for name in ("chair-20240131", "chair-1700000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "02691156", "chair_7-3f2a9c01b4d2"):
        assert class_name(name) == name


@given(NAMES)
def test_what_is_printed_is_printable_everywhere(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert all(letter.isprintable() or unicodedata.category(letter) == "Zs" for letter in shown)  # other spaces are kept
    assert shown == text or not text.isprintable()


CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 {}\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
FOLDERS = ("椅子", "桌子", "a b", "a_b", "Chair", "chair", "café", unicodedata.normalize("NFD", "café"), "d\udce9", "x\n")


@pytest.mark.usefixtures("importer_stand_in")
def test_every_folder_is_a_class_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(FOLDERS):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "a.obj").write_text(CUBE.format(10**number))
    (tmp_path / "models" / "d\udce9" / "bad\x1b\udce9.obj").write_text("v 1 x 2\n")
    found = own_assets(tmp_path / "models")
    assert len({asset.kind for asset in found.assets}) == len(FOLDERS)
    assert {"a_b", "Chair", "chair"} < {asset.kind for asset in found.assets}
    assert igllm.main(["inspect", "--assets", str(tmp_path / "models"), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "left out: d\\udce9/bad\\x1b\\udce9.obj: line 1" in output
    output.encode()


def test_every_folder_is_a_pattern_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number, name in enumerate(FOLDERS):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "images" / name / "a.png")
    assert len(set(own_textures(tmp_path / "images").patterns.values())) == len(FOLDERS)


@pytest.mark.usefixtures("importer_stand_in")
def test_what_systems_leave_behind_is_passed_over_and_other_formats_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    for name in ("a.stl", "._a.obj", ".DS_Store", "__MACOSX/a.obj", "b.fbx", "deep/C.FBX", "d.dae", "notes.txt", "a.mtl"):
        (models / name).parent.mkdir(parents=True, exist_ok=True)
        (models / name).write_text(name)
    assert igllm.main(["inspect", "--assets", str(models), "--out", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    assert "assets: 1; " in output and "left out" not in output
    assert "passed over: 1 .dae, 2 .fbx; these formats are not read" in output
    (models / "a.stl").unlink()
    assert igllm.main(["inspect", "--assets", str(models), "--out", str(tmp_path / "out")]) == 2
    assert "no model file is in it (passed over: 1 .dae, 2 .fbx)" in capsys.readouterr().err
