"""Printed text that quotes other people's names and code: people can read it, no terminal obeys it, and its length is limited."""

from __future__ import annotations

import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import UserError
from datagen.generate import generate
from datagen.samples.draw import draw
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.screen import LONGEST, in_bounds, plain_output, printable
from igllm import main

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\x7f"


def test_a_message_shows_control_characters_and_does_not_send_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pred.jsonl").write_text(json.dumps({"key": HOSTILE, "code": ""}))
    assert main(["render", "--code", str(tmp_path / "pred.jsonl"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "\\x1b[2J" in error and error.replace("\n", "").isprintable()


def test_so_do_lines_of_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--domain", "dot2d", "--num", "1", "--width", "32", "--height", "24", "--out", str(tmp_path / "data")]
    assert main(["generate", *words]) == 0
    row = json.loads((tmp_path / "data" / "manifest.jsonl").read_text())
    (tmp_path / "data" / "manifest.jsonl").write_text(json.dumps({**row, "name": HOSTILE}))
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "data")]) == 1
    output = capsys.readouterr().out
    assert "manifest.jsonl, line 1" in output and output.replace("\n", "").isprintable()


MANY_LINES = "a\nigllm: all is well\r\u202e\u2028\x85\x1b[2J\tb"


def named(name: str) -> Sample:
    """A sample whose split, camera, first lamp and first object's colour have this name."""
    one = draw(DatasetSettings(width=40, height=30), 5)
    sample = make_sample("", one.scene, one.shot, np.zeros((30, 40, 3), np.uint8), one.view, index=5, seed=0, split=name)
    record = json.loads(json.dumps(sample.record))
    record["scene"]["objects"][0]["color"] = name
    record["shot"]["camera"]["name"] = record["shot"]["lamps"][0]["name"] = name
    return replace(sample, record=record)


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("verb", ["inspect", "verify", "export", "train"])
def test_no_name_makes_a_line_of_its_own(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends in names of splits, cameras, lamps, words, files and folders do not change the number of printed lines."""
    dots = DatasetSettings("dot2d", width=32, height=24)
    outputs = []
    for name in ("a", MANY_LINES):
        data, out = tmp_path / f"data {name}", tmp_path / f"out {len(name)}"
        if verb == "verify":
            generate(dots, 2, tmp_path / "set")
            (tmp_path / "set").rename(data)
            (data / name).touch()
        else:
            data.mkdir()
            for suffix, content in named(name).files().items():
                (data / f"sample {name}{suffix}").write_bytes(content)
        arguments = {
            "inspect": [str(data), "--out", str(out)],
            "verify": [str(data)],
            "export": ["--data", str(data), "--format", "hf", "--out", str(out)],
            "train": ["--preset", "tiny", "--data", str(data), "--out", str(out)],
        }
        capsys.readouterr()
        main([verb, *arguments[verb]])
        outputs.append("".join(capsys.readouterr()))
    one, many = (re.sub(r"\d+/\d+, .*", "", text).splitlines() for text in outputs)
    assert len(one) == len(many) and not any("igllm: all is well" in line[:20] for line in many)
    assert all(line.isprintable() for line in many)
    assert any("igllm: all is well" in line for line in many)


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_line_is_one_line_and_people_read_what_can_be_read(one: str, other: str) -> None:
    line = printable(one)
    assert len(line.splitlines()) <= 1 and "\t" not in line
    assert printable(line) == line
    assert line == one or not one.isprintable()
    assert str(UserError(f"{one}: {UserError(other)}")) == f"{line}: {printable(other)}"
    assert str(UserError(one, other)).split("\n") == [line, printable(other)]


def test_a_message_about_something_long_is_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = tmp_path / "pred.jsonl"
    long.write_text(json.dumps({"key": "a", "code": "", "x" * 100_000: 1}) + "\n" + json.dumps({"key": "/" * 100_000, "code": ""}))
    assert main(["render", "--code", str(long), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"igllm render: {long}") and len(error) < LONGEST + 100


@given(st.text(max_size=50), st.integers(1, 5000))
def test_what_is_short_is_whole_and_what_is_long_keeps_its_ends(text: str, times: int) -> None:
    message = text * times
    shown = in_bounds(message)
    assert shown == message if len(message) <= LONGEST else shown[:500] == message[:500] and shown[-500:] == message[-500:]
    assert len(shown) <= LONGEST + len(" [...] ")


@given(st.text(max_size=50), st.integers(1, 5000))
def test_each_line_of_an_error_has_a_bounded_length(text: str, times: int) -> None:
    lines = str(UserError("first", text * times)).split("\n")
    assert lines[0] == "first"
    assert len(lines) == 2
    assert len(printable(text)) * times > LONGEST or lines[1] == printable(text) * times
    assert len(lines[1]) <= 10 * (LONGEST + 7)  # a letter's escape has ten characters at most


@given(st.text(st.characters(), max_size=30))
def test_text_that_people_can_read_is_printed_as_it_is(text: str) -> None:
    before, sys.stdout = sys.stdout, io.StringIO()
    try:
        with plain_output():
            print(text, end="")
        printed = sys.stdout.getvalue()
    finally:
        sys.stdout = before
    assert printed == "".join(c if c in "\n\r\t" or not _moves(c) else repr(c)[1:-1] for c in text)


def _moves(character: str) -> bool:
    """Whether a character controls a terminal, or changes the direction of text."""
    control = character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"
    return control or character in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
