"""The files that a model names, at any depth: all of them count in its id, and all must lie in its folder."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datagen.assets.folder import RefusedError
from datagen.assets.named import Parts
from datagen.assets.own import own_assets
from datagen.assets.own_textures import own_textures

CUBE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
TREE = {
    "a/box.obj": f"mtllib one.mtl ../b/two.mtl\nmtllib with blank.mtl\nusemtl m\n{CUBE}",
    "a/box.mtl": "newmtl unasked\nmap_Ks shine.png\n",
    "a/shine.png": "shine",
    "a/one.mtl": "newmtl m\n\tKd 1 1 1\n\tmap_Kd -s 1 1 1 -o .5 0 wood floor.png\r\nbump -bm 0.5 ../b/bump.png\n",
    "b/two.mtl": "newmtl n\nmap_Kd sub\\paint.png\nmap_d C:\\users\\bob\\leaf.png\n",
    "a/with blank.mtl": "newmtl o\nmap_Kd -clamp on -mm 0 1 -imfchan r later.png\n",
    "a/wood floor.png": "wood",
    "b/bump.png": "bump",
    "b/sub/paint.png": "paint",
    "b/leaf.png": "leaf",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def nobody(path: Path) -> list[str]:
    raise AssertionError(f"{path} is text")


def test_all_that_a_model_names_is_a_part_of_it(tmp_path: Path) -> None:
    parts = Parts.of(write(tmp_path, TREE), "a/box.obj", nobody)
    assert set(parts.files) == set(TREE)
    assert parts.missing == ("later.png",)


@pytest.mark.usefixtures("importer_stand_in")
@pytest.mark.parametrize("changed", [*TREE, "a/later.png"])
def test_a_change_to_any_part_makes_another_asset(tmp_path: Path, changed: str) -> None:
    folder = write(tmp_path / "models", TREE)
    [before] = own_assets(folder).assets
    write(folder, {changed: TREE.get(changed, "") + " # changed\n"})
    [after] = own_assets(folder).assets
    assert after.id != before.id
    write(folder, TREE)
    if changed in TREE:
        assert [asset.id for asset in own_assets(folder).assets] == [before.id]


def test_what_lies_elsewhere_together_is_the_same_and_files_that_change_places_are_not(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", TREE), write(tmp_path / "other", {f"deep/{name}": text for name, text in TREE.items()})
    digest = Parts.of(one, "a/box.obj", nobody).digest("1")
    assert Parts.of(other, "deep/a/box.obj", nobody).digest("1") == digest
    write(one, {"b/bump.png": TREE["b/leaf.png"], "b/leaf.png": TREE["b/bump.png"]})
    assert Parts.of(one, "a/box.obj", nobody).digest("1") != digest


def test_what_is_shown_to_blender_is_all_parts_and_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "models", TREE | {"a/other.obj": CUBE, "secret.txt": "secret"})
    copy = Parts.of(folder, "a/box.obj", nobody).copy(tmp_path / "copy")
    assert {path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()} == set(TREE)
    assert copy.read_text().startswith("mtllib one.mtl\nmtllib ../b/two.mtl\nmtllib with blank.mtl\n")  # Blender reads one library per line


def glb(content: object) -> bytes:
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sII", b"glTF", 2, 20 + len(text)) + struct.pack("<I4s", len(text), b"JSON") + text


OUTSIDE: dict[str, Callable[[str], dict[str, str | bytes]]] = {
    "library": lambda name: {"x.obj": f"mtllib {name}\n{CUBE}"},
    "second library": lambda name: {"x.obj": f"mtllib here.mtl {name}\n{CUBE}", "here.mtl": ""},
    "image": lambda name: {"x.obj": f"mtllib x.mtl\n{CUBE}", "x.mtl": f"newmtl m\nmap_Kd -s 1 1 1 {name}\n"},
    "bump of a deeper library": lambda name: {"x.obj": f"mtllib d/x.mtl\n{CUBE}", "d/x.mtl": f"newmtl m\nbump ../{name}\n"},
    "buffer": lambda name: {"x.gltf": json.dumps({"buffers": [{"uri": name}]})},
    "image of a .glb": lambda name: {"x.glb": glb({"images": [{"uri": name.replace("o", "%6F")}]})},
}


@pytest.mark.usefixtures("importer_stand_in")
def test_a_file_that_is_a_link_out_of_the_folder_is_left_out(tmp_path: Path) -> None:
    folder = write(tmp_path, {"x.obj": CUBE, "models/d/y.obj": CUBE, "models/good.stl": "1"}) / "models"
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    Image.new("RGB", (8, 8)).save(folder / "good.png")
    for name, target in {"out.obj": "../x.obj", "out.png": "../x.png", "d/far.obj": "/etc/hostname", "within.obj": "d/y.obj"}.items():
        (folder / name).symlink_to(target)
    (folder / "circle.obj").symlink_to("circle.obj")
    (tmp_path / "link").symlink_to("models")  # the folder itself may be a link
    reason = "it is a link to a file outside the folder; put a copy in its place"
    for place in (folder, tmp_path / "link"):
        found = own_assets(place)
        assert [asset.path for asset in found.assets] == ["d/y.obj", "good.stl", "within.obj"]
        refused = {one.path: one.reason for one in found.refused}
        assert refused.pop("circle.obj").startswith("circle.obj cannot be read")
        assert refused == {"out.obj": reason, "d/far.obj": reason}
        assert [(one.path, one.reason) for one in own_textures(place).refused] == [("out.png", reason)]


def test_a_texture_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert [one.reason for one in own_textures(tmp_path).refused] == ["cannot be read (a pipe or device is in the place of the file)"]


@pytest.mark.usefixtures("importer_stand_in")
@pytest.mark.parametrize("way", ["buffers", "images"])
@pytest.mark.parametrize("name", ["file:///etc/hostname", "FILE:x.bin", "file:%2f%2f%2fetc%2fhostname"])
def test_a_url_of_a_file_is_refused(tmp_path: Path, way: str, name: str) -> None:
    write(tmp_path, {"models/x.gltf": json.dumps({way: [{"uri": name}]}), "models/good.stl": "1"})
    [refused] = own_assets(tmp_path / "models").refused
    assert refused.reason == f"names the file '{unquote(name)}' by a URL; name it as it is seen from the folder"


@pytest.mark.usefixtures("importer_stand_in")
@pytest.mark.parametrize("files", OUTSIDE.values(), ids=OUTSIDE.keys())
@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_names_one_outside_the_folder_is_left_out_with_its_name(
    tmp_path: Path, files: Callable[[str], dict[str, str | bytes]], there: bool
) -> None:
    if there:
        write(tmp_path, {"outside/secret.png": "secret"})
    (tmp_path / "models" / "d").mkdir(parents=True)
    for name, content in files("../outside/secret.png").items():
        (tmp_path / "models" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "models" / "good.stl").write_text("1")
    found = own_assets(tmp_path / "models")
    assert [asset.path for asset in found.assets] == ["good.stl"]
    [refused] = found.refused
    assert refused.reason in [f"names the file '{up}../outside/secret.png' outside the folder" for up in ("", "../")]
    log = tmp_path / "log"
    assert log.read_text().split() == ["good.stl"]  # the refused file was never opened


def test_many_libraries_on_a_line_are_no_name_that_is_too_long(tmp_path: Path) -> None:
    names = [f"library_{number}.mtl" for number in range(100)]
    write(tmp_path, {"x.obj": f"mtllib {' '.join(names)}\n{CUBE}"} | dict.fromkeys(names, ""))
    assert Parts.of(tmp_path, "x.obj", nobody).files == ("x.obj", *names)


def test_a_link_out_of_the_folder_is_outside(tmp_path: Path) -> None:
    write(tmp_path, {"outside/secret.png": "secret", "models/x.obj": f"mtllib x.mtl\n{CUBE}", "models/x.mtl": "map_Kd d/secret.png"})
    (tmp_path / "models" / "d").symlink_to(tmp_path / "outside")
    with pytest.raises(RefusedError, match=r"'d/secret\.png' outside the folder"):
        Parts.of(tmp_path / "models", "x.obj", nobody)
    (tmp_path / "models" / "d").unlink()
    (tmp_path / "models" / "d").mkdir()
    (tmp_path / "models" / "d" / "secret.png").symlink_to("../x.obj")  # a link within the folder
    assert "d/secret.png" in Parts.of(tmp_path / "models", "x.obj", nobody).files


@pytest.mark.usefixtures("importer_stand_in")
def test_a_name_that_no_file_can_have_costs_its_own_file_alone(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "models",
        {
            "nul.obj": f"mtllib a\0b.mtl\n{CUBE}",
            "nul.gltf": json.dumps({"buffers": [{"uri": "a%00b.bin"}]}),
            "half.gltf": json.dumps({"images": [{"uri": "\ud800.png"}]}),
            "long.gltf": json.dumps({"images": [{"uri": "x" * 5000}]}),
            "good.obj": CUBE,
        },
    )
    os.mkfifo(folder / "pipe.obj")
    (folder / "gone.obj").symlink_to("nowhere.obj")
    found = own_assets(folder)
    assert [asset.path for asset in found.assets] == ["good.obj", "long.gltf"]
    assert found.assets[1].notes == (f"names '{'x' * 120}', which is not there",)
    reasons = {refused.path: refused.reason for refused in found.refused}
    assert sorted(reasons) == ["gone.obj", "half.gltf", "nul.gltf", "nul.obj", "pipe.obj"]
    assert "'a\\x00b.mtl', which no file can be called" in reasons["nul.obj"]
    assert reasons["pipe.obj"] == "pipe.obj cannot be read (a pipe or device is in the place of the file)"


WORDS = st.sampled_from(
    ["v", "f", "mtllib", "usemtl", "newmtl", "map_Kd", "-s", "1", "-2", "1e400", "x.mtl", "\0", "../", "\\", "é", "ply", "end_header", "\n"]
)
JUNK = st.one_of(st.binary(max_size=200), st.lists(WORDS, max_size=60).map(lambda words: " ".join(words).encode()))
KEYS = [
    *("nodes", "children", "mesh", "meshes", "primitives", "accessors", "attributes", "POSITION", "min", "max"),
    *("buffers", "images", "uri", "matrix", "translation", "rotation", "scale"),
]
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=30,
)


@given(data=st.one_of(JUNK, JSON.map(lambda content: json.dumps(content).encode())), library=JUNK)
def test_whatever_is_in_a_file_it_is_read_or_left_out(tmp_path_factory: pytest.TempPathFactory, data: bytes, library: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    (folder / "x.mtl").write_bytes(library)
    for suffix in ("obj", "gltf", "glb", "ply", "stl"):
        (folder / f"x.{suffix}").write_bytes(data)
        try:
            parts = Parts.of(folder, f"x.{suffix}", nobody)
            parts.copy(folder / f"copy-{suffix}")
            notes = parts.notes()
        except RefusedError as error:
            notes = [str(error)]
        assert all(note.isprintable() for note in notes)


def test_lines_without_end_are_read_at_once(tmp_path: Path) -> None:
    """A regular expression that backtracks over a million blanks would not finish."""
    blanks = " " * 1_000_000
    write(
        tmp_path,
        {"x.obj": f"mtllib a{blanks}b.mtl\nusemtl a{blanks}b\n{CUBE}", "x.mtl": f"newmtl a{blanks}b\nKd 1{blanks}1 x\nmap_Kd a{blanks}b\n"},
    )
    parts = Parts.of(tmp_path, "x.obj", nobody)
    assert parts.copy(tmp_path / "copy").is_file()
    assert all(len(note) < 300 for note in parts.notes())
