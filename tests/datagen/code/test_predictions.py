"""Prediction files are read as they were written, and other files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from datagen.code.predictions import Candidate, Prediction, read_predictions, write_predictions
from datagen.errors import UserError


def test_predictions_are_read_as_written(tmp_path: Path) -> None:
    candidates = (Candidate("a\n", -0.25), Candidate("b\n", -3.0))
    predictions = [Prediction("one", "a\n"), Prediction("two", "a\n", "two.png", (0.5, 1.0), candidates)]
    write_predictions(tmp_path / "pred.jsonl", predictions)
    assert list(read_predictions(tmp_path / "pred.jsonl").values()) == predictions
    rows = [json.loads(line) for line in (tmp_path / "pred.jsonl").read_text().splitlines()]
    assert rows[0] == {"key": "one", "code": "a\n"}
    assert rows[1]["candidates"] == [{"code": "a\n", "logp": -0.25}, {"code": "b\n", "logp": -3.0}]


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "a/b"},
        {"key": 3},
        {"code": None},
        {"confidence": [2]},
        {"candidates": []},
        {"candidates": "ab"},
        {"candidates": ["a"]},
        {"candidates": [{"code": "a"}]},
        {"candidates": [{"code": "a", "logp": True}]},
        {"candidates": [{"code": "a", "logp": "inf"}]},
        {"candidates": [{"code": "", "logp": -2}, {"code": "b", "logp": -1}]},
        {"candidates": [{"code": "b", "logp": -1}, {"code": "", "logp": -2}]},
        {"words": [{"color": 1.5}]},
        {"intervals": [{"loc": [[1, 0]]}]},
        {"intervals": [{"loc": [[0, 1, 2]]}]},
        {"looks_like_domain": 1},
        {"domain_distance": -1},
    ],
)
def test_anything_else_is_refused(fields: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "pred.jsonl").write_text(json.dumps({"key": "a", "code": "", **fields}) + "\n")
    with pytest.raises(UserError, match="line 1: "):
        read_predictions(tmp_path / "pred.jsonl")


@pytest.mark.parametrize(
    "line", ['{"key": "a", "code": "\\ud800"}', '{"key": "a", "code": "", "confidence": [NaN]}', "[" * 200_000, '{"a": Infinity}']
)
def test_a_line_that_is_not_json_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "pred.jsonl").write_text(json.dumps({"key": "b", "code": ""}) + "\n" + line + "\n")
    with pytest.raises(UserError, match=r"pred\.jsonl, line 2: a JSON object is expected"):
        read_predictions(tmp_path / "pred.jsonl")


def test_certainty_is_read_as_written(tmp_path: Path) -> None:
    words, intervals = ({"color": 0.5},), ({"loc": ((-1.0, 1.0), (0.0, 0.25))},)
    prediction = Prediction("one", "a\n", None, (0.5,), None, words, intervals, looks_like_domain=False, domain_distance=2.5)
    write_predictions(tmp_path / "pred.jsonl", [prediction])
    assert list(read_predictions(tmp_path / "pred.jsonl").values()) == [prediction]
    row = json.loads((tmp_path / "pred.jsonl").read_text())
    assert row["intervals"] == [{"loc": [[-1.0, 1.0], [0.0, 0.25]]}]
    assert (row["words"], row["looks_like_domain"], row["domain_distance"]) == ([{"color": 0.5}], False, 2.5)
