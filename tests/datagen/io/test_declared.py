"""Files that anybody may have written are as declared, or give one message with file, line and field; none blocks its reader for ever."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from datagen.code.predictions import read_predictions
from datagen.domains.dot2d import DOT2D
from datagen.domains.split_files import split_from_json
from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.io import files
from datagen.io.declared import FileName, as_declared, read_rows, to_plain
from datagen.io.files import file_sha256, read_json, read_lines
from datagen.io.json_text import MOST_LEVELS, decode_json
from datagen.samples.cameras import cameras_to_json
from datagen.scene import Camera
from datagen.shards.manifest import FAILURES, MANIFEST, STATEMENT, read_manifest
from datagen.shards.reader import Samples
from datagen.shards.store import LocalStore
from datagen.shards.writer import read_statement
from igllm import main

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN, st.sampled_from([None, 1]), st.booleans())
def test_all_other_json_is_read_as_python_reads_it(content: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=ascii_only)
    assert decode_json(text) == decode_json(text.encode()) == json.loads(text)


@given(PLAIN, st.dictionaries(st.text(), PLAIN, min_size=1, max_size=3), st.lists(PLAIN, max_size=3), st.data())
def test_a_key_that_is_given_twice_is_told_wherever_it_is(
    first: Any, mapping: dict[str, Any], around: list[Any], data: st.DataObject
) -> None:
    key = data.draw(st.sampled_from(sorted(mapping)))
    twice = json.dumps(mapping)[:-1] + f", {json.dumps(key)}: {json.dumps(first)}}}"
    items = [json.dumps(item) for item in around]
    items.insert(data.draw(st.integers(0, len(items))), twice)
    text = data.draw(st.sampled_from([twice, f"[{','.join(items)}]", f'{{"a": [1, {twice}]}}', f'{{"x": "[{{", "y": {twice}}}']))
    with pytest.raises(ValueError, match="given twice"):
        decode_json(text)
    with pytest.raises(ValueError, match="given twice"):
        decode_json(text.encode())


@pytest.mark.parametrize("shape", [("[", "]"), ('{"a":', "}"), ("[1,", "]"), ('["[",', "]")], ids=["lists", "objects", "behind", "text"])
@pytest.mark.parametrize("levels", [90, 110, 900, 2000, 100_000])
def test_nesting_has_an_end(shape: tuple[str, str], levels: int) -> None:
    text = shape[0] * levels + "0" + shape[1] * levels
    if levels < MOST_LEVELS:
        assert decode_json(text) == json.loads(text)
        return
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": NaN}', "line 2: NaN is no finite number"),
        ('{"a": 1,\n "b": -Infinity}', "line 2: -Infinity is no finite number"),
        ('{"a": 1e999}', "1e999 is no finite number"),
        ('{"a": 1,\n "b" 2}', "line 2 column 6"),
        ("", "line 1 column 1"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"a": "\ud800"}', "surrogates"),
        ("{}{}", "Extra data"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode_json(text)


class Leaf(Struct, forbid_unknown_fields=True):
    count: Annotated[int, Meta(ge=0, le=9)]
    share: float = 0.5
    whether: bool = False
    words: list[str] = []


class Choice(Struct, forbid_unknown_fields=True):
    word: Literal["red", "blue"] | None = None
    choices: list[Choice] = []
    named: dict[str, Choice] = {}
    name: str = ""

    def __post_init__(self) -> None:
        if self.name:
            raise ValueError(f"name is {self.name!r:.80}, but must be empty")


class Tree(Struct):
    leaf: Leaf | None = None
    leaves: list[Leaf] = []
    named: dict[FileName, Leaf] = {}
    groups: dict[str, dict[str, list[int]]] = {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "x: its content is [], but must be an object {...}"),
        ({"leaf": {}}, "x: leaf: count is missing"),
        ({"leaf": {"count": True}}, "x: leaf.count is true, but must be a whole number"),
        ({"leaf": {"count": "3"}}, 'x: leaf.count is "3", but must be a whole number'),
        ({"leaf": {"count": 3.0}}, "x: leaf.count is 3.0, but must be a whole number"),
        ({"leaf": {"count": 10}}, "x: leaf.count is 10, but must be a whole number <= 9"),
        ({"leaf": {"count": 10**400}}, "must be a whole number <= 9"),
        ({"leaf": {"count": 1, "share": False}}, "x: leaf.share is false, but must be a finite number"),
        ({"leaf": {"count": 1, "share": 10**400}}, "must be a finite number"),
        ({"leaf": {"count": 1, "whether": 1}}, "x: leaf.whether is 1, but must be true or false"),
        ({"leaf": {"count": 1, "words": ["a", None]}}, "x: leaf.words[1] is null, but must be a string"),
        ({"leaf": {"count": 1, "shere": 1}}, "leaf has the key 'shere'; known are count, share, whether, words; did you mean \"share\"?"),
        ({"leaves": [{"count": 1}, {"count": 1, "z": 1}]}, "x: leaves[1] has the key 'z'; known are count"),
        ({"named": {"a": {"count": 1}, "b": {"count": -1}, "c": {}}}, "x: named.b.count is -1, but must be a whole number >= 0"),
        ({"named": {"a": {"count": 1}, "b/c": {"count": 1}}}, 'x: a key is "b/c", but must be a name of at most 64'),
        ({"named": {"a": {"count": 1}, "b": {"count": 1, "z": 1}}}, "x: named.b has the key 'z'; known are count"),
        ({"groups": {"a": {"b": [1]}, "c": {"d": [1], "e": [1, "2"]}}}, 'x: groups.c.e[1] is "2", but must be a whole number'),
    ],
)
def test_the_field_that_is_wrong_is_told_with_what_is_in_it(content: Any, message: str) -> None:
    before = json.dumps(content)
    with pytest.raises(UserError) as caught:
        as_declared(content, Tree, "x")
    assert message in str(caught.value)
    assert json.dumps(content) == before


LIKE_PATHS = st.sampled_from(["z", "word", "red", "' - at `$.z[3]", "` - at `$.choices[7].word", "z` - at `key` in `$.named", "z" * 10_000])
CHOICES = st.recursive(
    st.dictionaries(LIKE_PATHS, LIKE_PATHS, max_size=2),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"name": LIKE_PATHS, "choices": st.lists(inner, max_size=2), "named": st.dictionaries(LIKE_PATHS, inner, max_size=2)}
    ),
    max_leaves=4,
)


def is_sound(content: Any) -> bool:
    """Whether content is a `Choice`, read without msgspec."""
    inner = [*content.get("choices", []), *content.get("named", {}).values()]
    fits = (
        content.keys() <= {"word", "choices", "named", "name"} and content.get("word", "red") in ("red", "blue") and not content.get("name")
    )
    return fits and all(map(is_sound, inner))


@given(CHOICES)
def test_keys_and_words_that_look_like_paths_mislead_no_one(content: Any) -> None:
    """What msgspec's message quotes may look like its own end."""
    try:
        as_declared(content, Choice, "x")
    except UserError as refused:
        assert not is_sound(content)
        assert str(refused).startswith("x: ")
        assert len(str(refused)) < 400
        ends = ("; known are word, choices, named, name", ', but must be "blue" or "red"', ", but must be empty")
        assert any(end in str(refused) for end in ends)
    else:
        assert is_sound(content)


@given(st.data(), st.lists(st.text("abc", max_size=3), min_size=1, max_size=40, unique=True))
def test_of_many_keys_the_first_wrong_one_is_told(data: st.DataObject, keys: list[str]) -> None:
    wrong = data.draw(st.sets(st.sampled_from(keys), min_size=1))
    first = next(key for key in keys if key in wrong)
    with pytest.raises(UserError) as caught:
        as_declared({"groups": {key: {"k": [0, None] if key in wrong else [0]} for key in keys}}, Tree, "x")
    assert str(caught.value) == f"x: groups.{first}.k[1] is null, but must be a whole number"


@given(st.lists(st.sampled_from(["", " ", '{"count": 1}', '{"count": 2} ']), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_rows_have_the_numbers_of_their_lines(lines: list[str], end: str) -> None:
    path = Path(os.environ["XDG_CACHE_HOME"]) / "rows.jsonl"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(end.join([*lines, '{"count": 99}']).encode(encoding))
        with pytest.raises(UserError) as caught:
            list(read_rows(path, Leaf))
        assert str(caught.value) == f"{path}, line {len(lines) + 1}: count is 99, but must be a whole number <= 9"


def test_a_file_is_read_line_by_line_and_a_line_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_OF_LINE", 40)
    (tmp_path / "pred.jsonl").write_text('{"key": "a", "code": ""}\n' + " " * 41 + "\n")
    with pytest.raises(UserError, match=r"pred\.jsonl, line 2: has more than 40 characters"):
        read_predictions(tmp_path / "pred.jsonl")
    (tmp_path / "pred.jsonl").write_bytes(b'{"key": "a"}\n\n "\xc3\xa9\xff"\n')
    lines = read_lines(tmp_path / "pred.jsonl")
    assert next(lines) == (1, '{"key": "a"}\n')
    with pytest.raises(UserError, match=r"pred\.jsonl: line 3, column 4: the byte 0xFF is no UTF-8"):
        next(lines)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(UserError, match=r"large\.json: has 1,099,511,627,776 bytes, more than 2,000,000"):
        read_json(tmp_path / "large.json")
    for name, most in ((STATEMENT, 2_000_000), (MANIFEST, 33_554_432)):
        (tmp_path / STATEMENT).write_text("{}")
        (tmp_path / name).write_bytes(b" " * (most + 1))
        with pytest.raises(UserError, match=rf"{name}: has more than {most:,} bytes"):
            read_manifest(LocalStore(tmp_path), []) if name == MANIFEST else read_statement(LocalStore(tmp_path))


def test_lines_in_utf_16_that_are_too_many_are_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_IN_UTF16", 100)
    (tmp_path / "pred.jsonl").write_text('{"key": "a", "code": ""}\n' * 3, "utf-16")
    with pytest.raises(UserError, match=r"pred\.jsonl: has more than 100 bytes of UTF-16; save the file as UTF-8"):
        read_predictions(tmp_path / "pred.jsonl")


def test_what_is_no_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    pipe(tmp_path / "pipe")
    for name, kind in (("folder", "folder"), ("pipe", "pipe or device")):
        with pytest.raises(OSError, match=f"a {kind} is in the place of the file: '{tmp_path / name}'"):
            file_sha256(tmp_path / name)
    (tmp_path / "loop").symlink_to("loop.2")
    (tmp_path / "loop.2").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name, problem in (
        ("pipe", "is no folder but a pipe or device"),
        ("loop", "is a link that leads back to itself; remove it, and name the folder that was meant"),
        ("dangling", "is a link to nowhere, which is not there"),
        ("nowhere", "there is no such data set"),
    ):
        assert main(["compare", "--reference", str(tmp_path / name), "--candidate", "x", "--out", str(tmp_path / "out")]) == 2
        assert f"{tmp_path / name}: {problem} (a folder of shards or of loose samples is expected)" in capsys.readouterr().err


@pytest.fixture
def dots(data_of: Callable[[str], Samples], tmp_path: Path) -> Path:
    """A folder with a data set in ``data``."""
    shutil.copytree(data_of("dot2d").path, tmp_path / "data")
    return tmp_path


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


CALLS = {
    "split.json": ["generate", "--domain", "dot2d", "--num", "1", "--split", "split.json", "--out", "out"],
    "cameras.json": ["generate", "--num", "1", "--cameras", "cameras.json", "--out", "out"],
    "scenes.json": ["import", "--format", "clevr", "--scenes", "scenes.json", "--out", "out"],
    "pred.jsonl": ["render", "--code", "pred.jsonl", "--out", "out"],
    "code.py": ["render", "--code", "code.py", "--out", "out"],
    f"data/{STATEMENT}": ["verify", "data"],
    f"data/{MANIFEST}": ["verify", "data"],
    f"data/{FAILURES}": ["inspect", "data", "--out", "out"],
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("put", [pipe, device, Path.mkdir])
def test_what_is_no_plain_file_is_not_waited_for(
    name: str, put: Callable[[Path], None], dots: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(dots)
    Path(name).unlink(missing_ok=True)
    put(Path(name))
    assert main(CALLS[name]) == 2
    [line] = capsys.readouterr().err.splitlines()
    reasons = ("cannot be read", "is where a file of a data set would be, but is a folder, a device", "no file of graphics code")
    assert any(f"{name}: {reason}" in line for reason in reasons)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", 3.0), ("captions", 0), ("depth", 0.0), ("light_jitter", True), ("width", 64.0), ("format_version", 2.0)]
)
def test_equal_is_not_the_same(field: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["generate", "--domain", "dot2d", "--num", "1", "--seed", "3", "--width", "64", "--height", "64", "--out", str(tmp_path)]
    assert main(command) == 0
    statement = read_json(tmp_path / STATEMENT)
    assert statement[field] == value
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, field: value}))
    capsys.readouterr()
    assert main(command) == 2
    assert f"{field} is {json.dumps(value)}, but must be " in capsys.readouterr().err


def test_an_image_that_is_a_pipe_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert main(["predict", "--images", str(tmp_path / "a.png")]) == 2
    assert "a.png: cannot be read (a pipe or device is in the place of the file)" in capsys.readouterr().err


def test_writers_write_what_is_declared() -> None:
    split = Split("mine", ((),), (("loc.x", 0.25, 0.5),), (1, 1), (((("loc.y", ((0.0, 0.5),)),)),))
    assert split_from_json(split.to_json(), DOT2D, "x") == split
    assert "regions" not in Split("mine").to_json()
    assert cameras_to_json((Camera((1.0, 2.0, 3.0)),)) == {
        "main": {"location": [1.0, 2.0, 3.0], "target": [0.0, 0.0, 0.0], "lens_mm": 35.0, "sensor_mm": 32.0}
    }
    assert to_plain(Tree(named={"a": Leaf(1)}))["named"] == {"a": {"count": 1, "share": 0.5, "whether": False, "words": []}}
