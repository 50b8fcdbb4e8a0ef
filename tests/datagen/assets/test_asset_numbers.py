"""Numbers that a model file states are compared with its content before memory is allocated or anything is iterated."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.assets.folder import RefusedError
from datagen.assets.gltf import gltf_read
from datagen.assets.named import Parts
from datagen.assets.ply import ply_read
from igllm import main

POINTS = struct.pack("<12f", 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1)
INDICES = struct.pack("<12H", 0, 1, 2, 0, 1, 3, 1, 2, 3, 0, 2, 3)
HUGE = st.sampled_from([10**6, 2**31 - 1, 2**32, 10**12, 2**53, 2**63, 10**30])


def gltf() -> dict[str, Any]:
    data = b64encode(POINTS + INDICES).decode()
    return {
        "asset": {"version": "2.0"},
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 1]},
            {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 48}, {"buffer": 0, "byteOffset": 48, "byteLength": 24}],
        "buffers": [{"byteLength": 72, "uri": f"data:application/octet-stream;base64,{data}"}],
    }


def read(content: dict[str, Any]) -> bytes:
    return gltf_read(json.dumps(content).encode(), lambda name: b"")


def test_what_is_whole_is_read() -> None:
    whole = gltf()
    assert json.loads(read(whole)) == whole
    whole["bufferViews"][0]["byteStride"] = 0  # some programs write 0 for no stride
    whole["accessors"].append({"componentType": 5126, "count": 100, "type": "VEC3"})  # zeros, as it has no view
    sparse = {"count": 2, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 0}}
    whole["accessors"].append({"componentType": 5126, "count": 100, "type": "VEC3", "sparse": sparse})
    assert json.loads(read(whole)) == whole


@given(st.sampled_from([0, 1]), HUGE, st.sampled_from([None, 0, 1, 12]), st.booleans())
def test_an_accessor_has_no_more_than_its_buffer(number: int, count: int, stride: int | None, viewless: bool) -> None:
    content = gltf()
    content["accessors"][number]["count"] = count
    if stride is not None:
        content["bufferViews"][number]["byteStride"] = stride
    if viewless:
        del content["accessors"][number]["bufferView"]
    with pytest.raises(RefusedError, match=rf"accessors\[{number}\]|its accessor {number} states"):
        read(content)


@pytest.mark.parametrize("field", ["byteOffset", "byteLength", "byteStride", "buffer"])
@pytest.mark.parametrize("value", [-48, 49, 10**15, 10**30, 1.5, True, "0"])
def test_a_view_lies_within_its_buffer(field: str, value: Any) -> None:
    content = gltf()
    content["bufferViews"][0][field] = value
    if field == "byteLength" and value in (49, 10**15):  # longer than its accessor needs
        assert json.loads(read(content)) == content
        return
    with pytest.raises(RefusedError, match=r"bufferViews\[0\]|its accessor 0 states 4 entries"):
        read(content)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (True, r"buffers\[0\]: uri is true, but must be a string"),
        (["a.bin"], "uri is .*, but must be a string"),
        (None, "names no file"),
        ("data:application/octet-stream;base64,AAA", "cannot be read"),
    ],
)
def test_a_buffer_is_text_or_a_file(uri: Any, reason: str) -> None:
    content = gltf()
    content["buffers"][0]["uri"] = uri
    with pytest.raises(RefusedError, match=reason):
        read(content)


@pytest.mark.parametrize("value", [-4, 4.0, True, None, "4", [4]])
def test_a_count_is_a_count(value: Any) -> None:
    content = gltf()
    content["accessors"][0]["count"] = value
    with pytest.raises(RefusedError, match=r"accessors\[0\]: count is .*, but must be a whole number"):
        read(content)


def test_entries_that_replace_others_are_there_too() -> None:
    for change in ({"count": 10**9}, {"count": 3, "values": {"bufferView": 1}}, {"count": 5, "values": {"bufferView": 7}}):
        content = gltf()
        sparse = {"indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 0}, **change}
        content["accessors"].append({"componentType": 5126, "count": 100, "type": "VEC3", "sparse": sparse})
        with pytest.raises(RefusedError, match="its accessor 2 states"):
            read(content)


def test_nodes_have_a_bound_and_keys_come_once() -> None:
    with pytest.raises(RefusedError, match="more than 20,000 nodes"):
        read(gltf() | {"nodes": [{}] * 20_001})
    with pytest.raises(RefusedError, match="'scene' is given twice"):
        gltf_read(b'{"scene": 0, "scene": 1}', lambda name: b"")


def ply(sort: str, vertices: int, faces: int, extra: str = "") -> bytes:
    head = f"ply\nformat {sort} 1.0\n{extra}element vertex {vertices}\nproperty float x\nproperty float y\nproperty float z\n"
    head += f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n"
    body = POINTS + b"".join(struct.pack("<B3i", 3, *face) for face in ((0, 1, 2), (0, 1, 3), (1, 2, 3), (0, 2, 3)))
    text = b"0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 1 2 3\n3 0 2 3"
    return head.encode() + (text if sort == "ascii" else body)


@given(st.sampled_from(["ascii", "binary_little_endian"]), HUGE, st.sampled_from(["vertex", "face", "edge"]))
def test_a_ply_has_the_rows_that_it_states(sort: str, count: int, element: str) -> None:
    assert ply_read(ply(sort, 4, 4)) == ply(sort, 4, 4)
    extra = f"element edge {count}\nproperty int vertex1\n" if element == "edge" else ""
    data = ply(sort, count if element == "vertex" else 4, count if element == "face" else 4, extra)
    with pytest.raises(RefusedError, match=f"it states {count:,} rows of '{element}', more than there are"):
        ply_read(data)


def test_numbers_of_an_obj_are_bounded(tmp_path: Path) -> None:
    points = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
    (tmp_path / "far.obj").write_text(f"{points}f 1 2 {'9' * 100_000}\nf 1 2 -{'9' * 100_000}\nf 1 2 1000000000\nf 1 2 4\n")
    parts = Parts.of(tmp_path, "far.obj", lambda path: [])
    assert parts.notes() == ["3 of its faces name vertices that are not there, and are left out"]
    (tmp_path / "round.obj").write_text(f"{points}f {'1 2 3 ' * 40_000}\n")
    with pytest.raises(RefusedError, match="more than 100,000 triangles"):
        Parts.of(tmp_path, "round.obj", lambda path: []).copy(tmp_path / "copy")


@pytest.mark.usefixtures("importer_stand_in")
def test_they_are_left_out_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = gltf()
    content["accessors"][0]["count"] = 10**12
    content["bufferViews"][0]["byteStride"] = 0
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "x.gltf").write_text(json.dumps(content))
    (tmp_path / "models" / "x.ply").write_bytes(ply("binary_little_endian", 4, 10**12))
    assert main(["inspect", "--assets", str(tmp_path / "models"), "--out", str(tmp_path / "out")]) == 2
    messages = capsys.readouterr().err
    assert "x.gltf: it is damaged: its accessor 0 states 1,000,000,000,000 entries, more than there are" in messages
    assert "x.ply: it is cut short: it states 1,000,000,000,000 rows of 'face', more than there are" in messages
