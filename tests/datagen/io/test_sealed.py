"""The file of what an interrupted call has finished: whatever happens to it, what is read of it is what was written first."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from datagen.errors import UserError
from datagen.io.sealed import SealedFile


class Header(Struct):
    version: str


class Line(Struct, frozen=True):
    key: str
    value: float
    seal: str = ""


LINES = [Line(f"k{number}", number / 7) for number in range(4)]


def opened(path: Path, version: str = "1") -> SealedFile[Header, Line]:
    return SealedFile(path, Header(version), Line, "try")


def written(path: Path, version: str = "1") -> bytes:
    """The content of a new file with `LINES`."""
    file = opened(path, version)
    file.begin()
    with file.appending():
        for line in LINES:
            file.append(line)
    return path.read_bytes()


def read(path: Path) -> tuple[Header | None, list[tuple[str, float]]]:
    header, lines = opened(path).left()
    return header, [(line.key, line.value) for line in lines]


PAIRS = [(line.key, line.value) for line in LINES]


def test_what_was_written_is_read_and_gone_on_from(tmp_path: Path) -> None:
    path = tmp_path / "a.partial"
    assert read(path) == (None, [])
    written(path)
    assert read(path) == (Header("1"), PAIRS)
    file = opened(path)
    with file.appending():
        file.append(Line("more", 1.0))
    assert read(path) == (Header("1"), [*PAIRS, ("more", 1.0)])


@given(st.data())
def test_of_a_file_that_is_cut_or_damaged_the_lines_before_are_read_and_the_rest_is_gone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.partial"
    whole = bytearray(written(path))
    at = data.draw(st.integers(0, len(whole) - 1))
    before = whole[:at].count(b"\n")  # lines that are whole in any case, the header among them
    if data.draw(st.booleans()):
        del whole[at:]
    else:
        whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    header, pairs = read(path)
    if before or header == Header("1"):
        assert pairs[: max(before - 1, 0)] == PAIRS[: max(before - 1, 0)]
        assert pairs == PAIRS[: len(pairs)]
    else:  # of a header that says something else, no line is
        assert pairs == []
    left = path.read_bytes()
    assert whole.startswith(left)
    assert read(path) == (header, pairs)


def test_a_line_of_another_file_is_none_of_this_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is sealed with its file's header."""
    own, other = written(tmp_path / "a"), written(tmp_path / "b", version="2")
    (tmp_path / "a").write_bytes(own + other.splitlines(keepends=True)[1])
    assert read(tmp_path / "a") == (Header("1"), PAIRS)
    assert capsys.readouterr().err == "try: of what an interrupted call left, a line is damaged: it and those behind it are begun anew\n"
    assert (tmp_path / "a").read_bytes() == own


def test_a_file_that_was_removed_is_not_written_on(tmp_path: Path) -> None:
    written(tmp_path / "a")
    file = opened(tmp_path / "a")
    with file.appending():
        (tmp_path / "a").unlink()
        with pytest.raises(UserError, match="removed"):
            file.append(LINES[0])
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link"):
        file.left()
