"""Data made from declarations is valid, faults are of all sorts, and every declared kind of file is tried."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import declared
import msgspec
import pytest
from faults import text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from table import DECLARED, KINDS

import datagen.kinds
import model.declared
import render.evals.runs

EVERY: dict[str, Any] = {**datagen.kinds.KINDS, **model.declared.KINDS, **render.evals.runs.KINDS}


@pytest.mark.parametrize("kind", EVERY)
def test_what_is_made_of_a_declaration_is_as_declared(kind: str) -> None:
    @settings(max_examples=15)
    @given(declared.valid(EVERY[kind]))
    def check(content: Any) -> None:
        try:
            msgspec.convert(content, EVERY[kind])
        except msgspec.ValidationError as error:  # from the declaration's own checks, which `valid` does not know
            assert error.__cause__ is not None, error

    check()


def test_every_declared_kind_of_file_is_tried() -> None:
    assert DECLARED.keys() == EVERY.keys()
    assert set(DECLARED.values()) <= KINDS.keys()


def test_faults_come_in_every_sort() -> None:
    """Faults put into one small object give every sort of valid JSON and invalid JSON."""
    seen: set[str] = set()

    @settings(max_examples=300, derandomize=True)
    @given(declared.damaged([{"number": 1, "text": "x", "list": [1, 2]}]))
    def see(data: bytes) -> None:
        try:
            content = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            seen.add("no JSON")
            return
        if not isinstance(content, dict):
            seen.add("another type")
        elif content.keys() != {"number", "text", "list"}:
            seen.add("other keys")
        elif not isinstance(content["number"], int):
            seen.add("a field of another type")
        elif content == {"number": 1, "text": "x", "list": [1, 2]}:
            seen.add("nothing")
        else:
            seen.add("other values")

    see()
    assert seen == {"no JSON", "another type", "other keys", "a field of another type", "nothing", "other values"}


TEXT = st.text('aé😀"\\\n\0', max_size=4)


@settings(max_examples=20)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=6
    )
)
def test_plain_data_is_written_as_json_has_it(content: Any) -> None:
    assert json.loads(text_of(content)) == content


def test_a_toml_file_of_presets_is_read_as_it_was() -> None:
    content = {"a": 1, "b": [1.5, "x"], "c d": True, "table": {"e": "f", "g": {"h": 1}}}
    assert tomllib.loads(declared.toml_of(content)) == content
