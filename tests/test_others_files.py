"""Other people's files in a folder stay as they are, byte for byte: of any name or kind, behind any link, even if a list names them."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from datagen.io.written import list_name
from datagen.shards.reader import Samples
from igllm import main

pytestmark = pytest.mark.usefixtures("without_plots")

SIZE = ("--domain", "dot2d", "--width", "32", "--height", "32")
SCENE = {
    "image_filename": "a_0.png",
    "camera": {"location": [7.0, -6.0, 5.0]},
    "objects": [{"color": "red", "size": "large", "shape": "cube", "material": "metal", "rotation": 10.0, "3d_coords": [0.5, 0.2, 0.7]}],
}
Verb = Callable[[Path], int]


@pytest.fixture(scope="module")
def verbs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verb]:
    """By name, a function that calls a verb with its output folder and returns the status."""
    needed = tmp_path_factory.mktemp("needed")
    data, scenes, code = map(str, (needed / "data", needed / "scenes.json", needed / "a.py"))
    assert main(["generate", *SIZE, "--num", "2", "--shard-size", "1", "--out", data]) == 0
    Path(scenes).write_text(json.dumps({"scenes": [SCENE]}))
    Path(code).write_text("dot(loc=(0.2, 0.5))\n")
    return {
        "generate": lambda out: main(["generate", *SIZE, "--num", "2", "--shard-size", "1", "--out", str(out)]),
        "merge": lambda out: main(["merge", str(out), "--from", data]),
        "export": lambda out: main(["export", "--data", data, "--format", "coco", "--out", str(out)]),
        "render": lambda out: main(["render", *SIZE, "--code", code, "--out", str(out), "--workers", "1"]),
        "import": lambda out: main(["import", "--format", "clevr", "--scenes", scenes, "--out", str(out)]),
        "compare": lambda out: main(["compare", "--reference", data, "--candidate", data, "--out", str(out)]),
        "inspect": lambda out: main(["inspect", data, "--out", str(out)]),
    }


LISTING = ("export", "render", "import", "compare", "inspect")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shown(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(folder).items() if not name.startswith(".")}


def some(files: Mapping[str, bytes]) -> list[str]:
    """One file of each folder."""
    return sorted({Path(name).parent: name for name in sorted(files)}.values())


@pytest.mark.parametrize("name", LISTING)
def test_a_file_of_ones_own_is_neither_replaced_nor_removed(
    name: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither another file nor a link to nowhere in the place of a file that the verb would write."""
    assert verbs[name](tmp_path / "fresh") == 0
    for number, file in enumerate(some(shown(tmp_path / "fresh"))):
        out, linked = tmp_path / f"own{number}", tmp_path / f"linked{number}"
        for place in (out, linked):
            (place / file).parent.mkdir(parents=True)
        (out / file).write_text("mine")
        (linked / file).symlink_to(tmp_path / "nowhere")
        for place in (out, linked):
            capsys.readouterr()
            assert verbs[name](place) == 2
            assert str(place) in capsys.readouterr().err.splitlines()[-1]
        assert contents(out) == {file: b"mine"}
        assert (linked / file).is_symlink()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", LISTING)
def test_what_was_changed_since_is_kept_and_named_and_all_else_is_replaced(
    name: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert verbs[name](out) == 0
    fresh = shown(out)
    for file in some(fresh):
        (out / file).write_text("corrected by hand")
        assert verbs[name](out) == 2
        assert f"{out / file}: was changed after igllm wrote it" in capsys.readouterr().err
        assert shown(out) == {**fresh, file: b"corrected by hand"}
        (out / file).write_bytes(fresh[file])
    (out / file).unlink()
    assert verbs[name](out) == 0
    assert shown(out) == fresh


@pytest.mark.parametrize("name", LISTING)
def test_a_list_that_others_have_made_removes_nothing(name: str, verbs: dict[str, Verb], tmp_path: Path) -> None:
    """Neither in the folder nor behind a link in it, whether the list gives a digest or not."""
    theirs = tmp_path / "theirs"
    for number, folder in enumerate(("", "zz/")):
        out = tmp_path / str(number)
        for place in (out, theirs):
            place.mkdir(exist_ok=True)
            for file in ("one", "two"):
                (place / file).write_text("precious")
        (out / "zz").symlink_to(theirs)
        rows = [{"file": f"{folder}one", "made_from": "", "sha256": None}, {"file": f"{folder}two", "made_from": "", "sha256": "0" * 64}]
        (out / list_name(name)).write_text("".join(json.dumps(row) + "\n" for row in rows))
        verbs[name](out)
        for place in (out, theirs):
            assert {contents(place)[file] for file in ("one", "two")} == {b"precious"}
    assert len(list(theirs.iterdir())) == 2


@pytest.mark.parametrize("file", [".", "images", "images/", "a//b", "x" * 6000, "x/" * 3000 + "x"])
def test_a_list_that_names_no_file_is_refused(
    file: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / list_name("export")).write_text(json.dumps({"file": file, "made_from": ""}) + "\n")
    assert verbs["export"](tmp_path) == 2
    error = capsys.readouterr().err
    assert "choose another folder" in error
    assert list_name("export") in error
    assert "export:" not in error.removeprefix("igllm export:")  # refused before any work


def test_an_export_follows_no_link_to_a_folder(verbs: dict[str, Verb], tmp_path: Path) -> None:
    """Neither in a new folder, nor in an earlier export whose subfolder has become a link."""
    fresh, used, theirs = (tmp_path / name for name in ("fresh", "used", "theirs"))
    theirs.mkdir()
    fresh.mkdir()
    (fresh / "images").symlink_to(theirs)
    assert verbs["export"](fresh) == 2
    assert verbs["export"](used) == 0
    shutil.rmtree(used / "images")
    (used / "images").symlink_to(theirs)
    assert verbs["export"](used) == 2
    assert list(theirs.iterdir()) == []


def test_empty_folders_of_ones_own_outlast_an_export(verbs: dict[str, Verb], tmp_path: Path) -> None:
    data, out = str(tmp_path / "data"), tmp_path / "out"
    assert verbs["generate"](Path(data)) == 0
    (out / "for later").mkdir(parents=True)
    for form in ("coco", "hf", "coco"):
        assert main(["export", "--data", data, "--format", form, "--out", str(out)]) == 0
    assert (out / "for later").is_dir()
    assert sorted(path.name for path in out.iterdir() if path.is_dir() and not any(path.iterdir())) == ["for later"]


def test_pictures_of_ones_own_are_no_report(verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with pictures, with or without some metrics.json, is refused; a report with an additional picture is not, and keeps it."""
    out = tmp_path / "photos"
    (out / "pictures").mkdir(parents=True)
    (out / "pictures" / "wedding.jpg").write_text("wedding")
    (out / "pictures" / "001-1.png").write_text("mine")
    for metrics in (None, "{}", '{"samples": 1}'):
        if metrics is not None:
            (out / "metrics.json").write_text(metrics)
            (out / "index.html").write_text('<img src="pictures/001-1.png">')
        before = contents(out)
        assert verbs["compare"](out) == 2
        assert "something other than a report" in capsys.readouterr().err
        assert contents(out) == before
    report = tmp_path / "report"
    assert verbs["compare"](report) == 0
    (report / "pictures" / "wedding.jpg").write_text("wedding")
    assert verbs["compare"](report) == 0
    assert (report / "pictures" / "wedding.jpg").read_text() == "wedding"


@pytest.mark.parametrize("name", ["compare", "inspect"])
def test_what_an_earlier_version_wrote_without_a_list_is_replaced(name: str, verbs: dict[str, Verb], tmp_path: Path) -> None:
    assert verbs[name](tmp_path) == 0
    whole = shown(tmp_path)
    (tmp_path / list_name(name)).unlink()
    if name == "compare":  # earlier pages had neither script nor data, named their pictures themselves, and numbered them
        (tmp_path / "report.js").unlink()
        shutil.rmtree(tmp_path / "data")
        shutil.rmtree(tmp_path / "pictures")
        (tmp_path / "pictures").mkdir()
        (tmp_path / "pictures" / "001-0.png").write_bytes(b"a picture")
        (tmp_path / "index.html").write_text('<img src="pictures/001-0.png">')
    assert verbs[name](tmp_path) == 0
    assert shown(tmp_path) == whole


@pytest.mark.parametrize("name", ["merge", "generate"])
def test_a_data_set_tidies_up_names_of_its_own_alone(name: str, verbs: dict[str, Verb], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert verbs[name](out) == 0
    own = [".shard-000000.tar.tmp", ".manifest.jsonl.tmp", ".spool/shard-000001.tar", ".spool/.shard-000001.tar.tmp"]
    others = [".notes.tmp", ".x.tar.tmp", ".mine.tmp/note", ".spool/keep.txt", ".spool/shard-1.tar", ".spool/sub/note", ".spool/.y.tmp"]
    for file in (*own, *others):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).touch()
    assert main(["merge", str(out)]) == 0 == verbs[name](out)
    assert {file for file in (*own, *others) if (out / file).exists()} == set(others)


@pytest.mark.parametrize("hidden", [".spool", ".lock", ".manifest.jsonl.tmp"])
@pytest.mark.parametrize("way", ["a link", "a folder"])
def test_merge_goes_where_no_link_leads(
    hidden: str, way: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, theirs = tmp_path / "out", tmp_path / "theirs"
    assert verbs["generate"](out) == 0
    theirs.mkdir()
    for file in ("thesis.tex", "shard-000000.tar", "000000.spool"):
        (theirs / file).write_text("mine")
    before = contents(theirs)
    (out / hidden).unlink(missing_ok=True)
    if way == "a link":
        (out / hidden).symlink_to(theirs if hidden == ".spool" else theirs / "new")
    elif hidden == ".spool":
        (out / hidden).touch()
    else:
        (out / hidden).mkdir()
    capsys.readouterr()
    assert main(["merge", str(out)]) == 2
    assert f"{out / hidden}: is " in (error := capsys.readouterr().err)
    assert error.endswith("remove it\n")
    assert contents(theirs) == before


def in_place_of(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to nowhere"])
def test_a_data_set_is_not_read_without_what_is_no_file(
    kind: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Skipping it would silently give fewer samples than there are."""
    data, loose = tmp_path / "data", tmp_path / "loose"
    assert verbs["generate"](data) == 0
    with tarfile.open(data / "shard-000000.tar") as tar:
        tar.extractall(loose, filter="data")
    places = [loose / f"{Samples(loose).keys[0]}{suffix}" for suffix in (".py", ".json", ".png")]
    places += [data / name for name in ("dataset.json", "manifest.jsonl", "shard-000001.tar")]
    for place in places:
        content = place.read_bytes()
        in_place_of(place, kind)
        calls = [["inspect", str(place.parent), "--out", str(tmp_path / "look")]]
        calls += [["export", "--data", str(place.parent), "--format", "hf", "--out", str(tmp_path / "exported")]]
        calls += [["verify", str(data)]] if place.parent == data else []
        for call in calls:
            capsys.readouterr()
            assert main(call) == 2
            assert f"{place}: is where a file of a data set would be" in capsys.readouterr().err
        if place.parent == data:
            assert verbs["generate"](data) == 2
        if kind == "folder":
            place.rmdir()
        else:
            place.unlink()
        place.write_bytes(content)


@pytest.mark.parametrize("file", [".a.png.tmp", "a.json"])
def test_a_folder_in_the_place_of_a_rendered_file_is_named(
    file: str, verbs: dict[str, Verb], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message also has the remedy, and comes before anything is rendered, in a new folder and in a used one."""
    for out in (tmp_path / "new", tmp_path / "used"):
        if out.name == "used":
            assert verbs["render"](out) == 0
        (out / file).unlink(missing_ok=True)
        (out / file).mkdir(parents=True)
        capsys.readouterr()
        assert verbs["render"](out) == 2
        error = capsys.readouterr().err
        assert f"{out / file}: is " in error
        assert "remove it" in error or "another folder" in error
        assert "render: 1/1" not in error
