"""`igllm verify` names every problem, whatever numbers the statement and the manifest hold."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from constant_scenes import IN_FOUR_SHARDS, SETTINGS, contents, fill
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import UserError
from datagen.shards.manifest import MANIFEST, STATEMENT, ManifestRow
from datagen.shards.verify import verify
from igllm import main


def test_verify_names_each_problem(tmp_path: Path, four_shards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in contents(four_shards).items():
        (tmp_path / name).write_bytes(data)
    assert main(["verify", str(tmp_path)]) == 0
    assert f"{IN_FOUR_SHARDS} of {IN_FOUR_SHARDS} samples" in capsys.readouterr().out
    (tmp_path / "shard-000000.tar").unlink()
    os.truncate(tmp_path / "shard-000001.tar", 1024)
    data = bytearray((tmp_path / "shard-000002.tar").read_bytes())
    data[1500] ^= 1
    (tmp_path / "shard-000002.tar").write_bytes(data)
    rows = (tmp_path / MANIFEST).read_text().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_text("".join(rows[:3]))
    (tmp_path / "shard-000009.tar").write_bytes(data)
    (tmp_path / "notes.txt").touch()
    assert main(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == [
        "shard-000000.tar: it is not there",
        f"shard-000001.tar: 1024 bytes, not {json.loads(rows[1])['bytes']}",
        "shard-000002.tar: damaged, its SHA-256 is not the manifest's",
        "shard-000003.tar: it is not in the manifest",
        "shard-000009.tar: a shard beyond the data set's number, which readers would take in",
        "note: notes.txt: none of the data set's files",
    ]
    assert lines[-1].endswith("0 of 14 samples are as the manifest states: 5 problems")
    (tmp_path / STATEMENT).unlink()
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["verify", str(tmp_path / "nowhere")]) == 2


def test_verify_looks_into_samples(tmp_path: Path) -> None:
    """A faulty writer can put wrong samples into a shard, whose SHA-256 in the manifest is right nevertheless."""
    fill(tmp_path, 4, replace(SETTINGS, seed=6))
    statement = json.loads((tmp_path / STATEMENT).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "seed": 5}))
    [problem] = verify(tmp_path).problems
    assert "sample 000000000 is another one" in problem


def test_numbers_that_anybody_may_have_written_are_not_counted_through(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    statement = json.loads((tmp_path / STATEMENT).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "num": 10**15}))
    verdict = verify(tmp_path)
    assert verdict.problems == ["shard-000002.tar to shard-249999999999999.tar: none of these 249,999,999,999,998 is there"]
    assert (verdict.samples, verdict.expected) == (8, 10**15)


def test_a_manifest_of_many_samples_and_empty_tars_is_not_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard's stated indices are iterated only if its tar has the stated size and SHA-256."""
    fill(tmp_path, 4)
    statement, row = json.loads((tmp_path / STATEMENT).read_text()), json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "num": 5 * 10**6, "shard_size": 10**6}))
    claims = {"bytes": 10**10, "samples": 10**6}, {"bytes": 0, "samples": 10**6}, {"bytes": 0, "samples": 0}
    rows = [{**row, "name": f"shard-{number:06d}.tar", **claim} for number, claim in enumerate(claims)]
    rows.append({**row, "name": "shard-000003.tar", "bytes": 0, "samples": 0, "missing": [3_000_000, 3_000_001]})
    (tmp_path / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for row in rows:
        (tmp_path / row["name"]).write_bytes(b"")
    gone_through: list[str] = []
    monkeypatch.setattr(ManifestRow, "indices", lambda self, size: gone_through.append(self.name))
    assert verify(tmp_path).problems == [
        "manifest.jsonl, line 2: damaged: states 1,000,000 samples in 0 bytes, and each takes 1,536 at least",
        "shard-000000.tar: 0 bytes, not 10000000000",
        "shard-000001.tar: it is not in the manifest",
        "shard-000002.tar: lacks the samples 2000000-2999999",
        "shard-000002.tar: damaged, its SHA-256 is not the manifest's",
        "shard-000003.tar: lacks the samples 3000000-3999999",
        "shard-000003.tar: damaged, its SHA-256 is not the manifest's",
        "shard-000004.tar: it is not there",
    ]
    assert gone_through == []


@given(
    samples=st.integers(0, 5), missing=st.lists(st.integers(6, 16), max_size=4), wanted=st.tuples(st.integers(6, 13), st.integers(6, 13))
)
def test_what_a_shard_lacks_is_what_is_wanted_and_not_held(samples: int, missing: list[int], wanted: tuple[int, int]) -> None:
    row = ManifestRow("shard-000001.tar", samples, 10**5, "0" * 64, "0" * 64, tuple(missing))
    lacking = row.lacking(range(*wanted), 6)
    assert [index for run in lacking for index in run] == sorted(set(range(*wanted)) - set(row.indices(6)))
    assert all(one.stop < other.start for one, other in pairwise(lacking))


@pytest.mark.parametrize("field", ["num", "shard_size"])
@pytest.mark.parametrize("value", [0, -1, 10**18, 1.5, "8", None, True])
def test_a_statement_without_sensible_numbers_is_refused(tmp_path: Path, field: str, value: object) -> None:
    fill(tmp_path, 4)
    statement = json.loads((tmp_path / STATEMENT).read_text())
    for imported in ({}, {"imported_from": "scenes.json", "seed": None}):
        (tmp_path / STATEMENT).write_text(json.dumps({**statement, field: value, **imported}))
        with pytest.raises(UserError, match=rf"dataset\.json: damaged: {field} is"):
            verify(tmp_path)


@pytest.mark.parametrize("change", [{"seed": -1}, {"width": 10**9}, {"rules": []}, {"cameras": 3}, {"image_format": None}, {"depth": 1}])
def test_every_reader_of_a_statement_holds_it_against_what_is_declared(
    change: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, [field] = tmp_path / "data", change
    fill(data, 4)
    (data / STATEMENT).write_text(json.dumps(json.loads((data / STATEMENT).read_text()) | change))
    verbs = (["verify", data], ["merge", data], ["merge", tmp_path / "new", "--from", data], ["inspect", data, "--out", tmp_path / "out"])
    for verb in verbs:
        capsys.readouterr()
        assert main([*map(str, verb)]) == 2
        assert f"{data}/{STATEMENT}: damaged: {field}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[" * 100_000, "manifest.jsonl, line 2: damaged"),
        (b'{"name": "shard-000001.tar", "samples": 1e999}', "manifest.jsonl, line 2: damaged"),
        (b'{"name": "shard-000001.tar", "samples": Infinity}', "manifest.jsonl, line 2: damaged"),
        (b'{"name": 7}', "manifest.jsonl, line 2: damaged"),
        (b"[1]", "manifest.jsonl, line 2: damaged"),
    ],
    ids=["deep", "infinity", "Infinity", "types", "list"],
)
def test_a_damaged_line_of_the_manifest_is_a_problem(tmp_path: Path, line: bytes, problem: str) -> None:
    fill(tmp_path, 8)
    first, _ = (tmp_path / MANIFEST).read_bytes().splitlines()
    (tmp_path / MANIFEST).write_bytes(first + b"\n" + line + b"\n")
    problems = verify(tmp_path).problems
    assert problems[0].startswith(problem)
    assert problems[1:] == ["shard-000001.tar: it is not in the manifest"]


def test_a_row_that_states_more_than_a_shard_holds_is_not_believed(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    first, second = (tmp_path / MANIFEST).read_text().splitlines()
    for samples, size, problem in (
        (5, 5 * 1536, "shard-000001.tar: the manifest states 5 samples, more than the 4 of a shard"),
        (10**15, 10**12, "manifest.jsonl, line 2: damaged: states 1,000,000,000,000,000 samples in 1,000,000,000,000 bytes, and each"),
    ):
        changed = {**json.loads(second), "samples": samples, "bytes": size}
        (tmp_path / MANIFEST).write_text(f"{first}\n{json.dumps(changed)}\n")
        assert verify(tmp_path).problems[0].startswith(problem)
    assert fill(tmp_path, 8) == []  # the tar itself is whole
    assert verify(tmp_path).whole
