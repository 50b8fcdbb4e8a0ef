"""Many writers of one data set, at folders and URLs: shards apart, joined again, verified."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import fsspec
import pytest
from constant_scenes import SETTINGS, constant_sample, constant_samples, contents, fill
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from datagen.errors import PartlyDone, UserError
from datagen.io.files import read_jsonl
from datagen.io.ranges import listed, parse_shards
from datagen.shards.manifest import FAILURES, MANIFEST, STATEMENT, Row
from datagen.shards.merge import merge
from datagen.shards.reader import Samples
from datagen.shards.store import open_store, place
from datagen.shards.tars import sample_extents
from datagen.shards.verify import verify
from datagen.shards.writer import open_dataset
from igllm import main

NUM = 14  # shards 0-3


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    fill(folder, NUM)
    return folder


@pytest.fixture(params=["memory", "objects"])
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A URL of its own, and a cache of its own."""
    fsspec.register_implementation("objects", Objects, clobber=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"{request.param}://{tmp_path.name}/set"


class Objects(MemoryFileSystem):
    """As object stores are: without folders."""

    protocol = "objects"

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass


def remote_contents(url: str) -> dict[str, bytes]:
    store = open_store(url)
    return {name: store.read(name, 0, size) for name, size in store.sizes().items()}


def test_ranges_are_parsed_and_listed() -> None:
    assert parse_shards("3,0-1, 3", 4) == [0, 1, 3]
    assert listed([0, 1, 3, 7, 8]) == "0-1, 3, 7-8"
    for wrong in ("", "a", "3-1", "1-", "-1", "0,,1", "4", "0-4"):
        with pytest.raises(UserError, match="shards"):
            parse_shards(wrong, 4)


def test_parts_are_read_before_and_after_they_are_joined(tmp_path: Path, at_once: Path) -> None:
    assert fill(tmp_path, NUM, shards=[2, 3]) == list(range(8, 14))
    with pytest.raises(PartlyDone, match="the shards 0-1 are missing"):
        merge(tmp_path)
    assert fill(tmp_path, NUM, shards=[0, 1], failing=[5]) == list(range(8))
    assert Samples(tmp_path).keys == [key for key in Samples(at_once).keys if key != "000000005"]
    assert verify(tmp_path).problems == ["shard-000001.tar: lacks the samples 5; 5 could not be rendered (failures.jsonl)"]
    assert fill(tmp_path, NUM, shards=[1]) == [5]
    assert verify(tmp_path).notes == ["2 parts of the manifest are not joined yet; `igllm merge` does it"]
    assert verify(tmp_path).whole
    merge(tmp_path)
    assert contents(tmp_path) == contents(at_once)
    assert not (tmp_path / ".spool").exists()


def test_a_full_run_goes_on_from_parts(tmp_path: Path, at_once: Path) -> None:
    fill(tmp_path, NUM, shards=[1], failing=[4])
    with open_dataset(tmp_path, SETTINGS, NUM, [3]) as writer:
        writer.put(constant_sample(SETTINGS, 13))
    assert fill(tmp_path, NUM) == [*range(5), *range(8, 13)]
    assert contents(tmp_path) == contents(at_once)


def test_writers_of_other_shards_work_at_once_and_of_the_same_do_not(tmp_path: Path, at_once: Path) -> None:
    with open_dataset(tmp_path, SETTINGS, NUM, [0, 1]) as one, open_dataset(tmp_path, SETTINGS, NUM, [2, 3]) as other:
        for shards, named in (([1], "shard 1"), ([3, 2], "the shards 2-3"), (None, "this data set")):
            with pytest.raises(UserError, match=f"another run is writing to {named}"), open_dataset(tmp_path, SETTINGS, NUM, shards):
                pass
        with pytest.raises(UserError, match="another run"):
            merge(tmp_path)
        for index in range(8):
            one.put(constant_sample(SETTINGS, index))
            if index < 6:
                other.put(constant_sample(SETTINGS, index + 8))
        one.close()
        other.close()
    merge(tmp_path)
    assert contents(tmp_path) == contents(at_once)


def test_folders_are_merged(tmp_path: Path, at_once: Path) -> None:
    fill(tmp_path / "a", 8)
    fill(tmp_path / "b", NUM, shards=[1, 2, 3], failing=[13])
    with pytest.raises(PartlyDone, match="the samples 13 are missing"):
        merge(tmp_path / "all", [tmp_path / "a", tmp_path / "b"])
    assert [row["index"] for row in read_jsonl(tmp_path / "all" / FAILURES)] == [13]
    fill(tmp_path / "b", NUM, shards=[3])
    merge(tmp_path / "all", [tmp_path / "b"])
    assert contents(tmp_path / "all") == contents(at_once)


def test_what_does_not_belong_together_is_not_merged(tmp_path: Path) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 4, replace(SETTINGS, seed=6))
    with pytest.raises(UserError, match="seed"):
        merge(tmp_path / "a", [tmp_path / "b"])
    fill(tmp_path / "c", 8)
    os.truncate(tmp_path / "c" / "shard-000001.tar", 10240)
    before = contents(tmp_path / "a")["shard-000000.tar"]
    with pytest.raises(UserError, match=r"shard-000001\.tar: damaged"):
        merge(tmp_path / "a", [tmp_path / "c"])
    rows = read_jsonl(tmp_path / "c" / MANIFEST)
    (tmp_path / "c" / MANIFEST).write_text(json.dumps({**rows[0], "labels": "0" * 64}) + "\n")
    with pytest.raises(UserError, match="other labels"):
        merge(tmp_path / "a", [tmp_path / "c"])
    assert contents(tmp_path / "a")["shard-000000.tar"] == before
    with pytest.raises(UserError, match=r"no such"):
        merge(tmp_path / "nowhere")


def test_verify_names_each_problem(tmp_path: Path, at_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in contents(at_once).items():
        (tmp_path / name).write_bytes(data)
    assert main(["verify", str(tmp_path)]) == 0
    assert f"{NUM} of {NUM} samples" in capsys.readouterr().out
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
    told_of = capsys.readouterr().out.splitlines()
    assert told_of[:-1] == [
        "shard-000000.tar: it is not there",
        f"shard-000001.tar: 1024 bytes, not {json.loads(rows[1])['bytes']}",
        "shard-000002.tar: damaged, its SHA-256 is not the manifest's",
        "shard-000003.tar: it is not in the manifest",
        "shard-000009.tar: a shard beyond the data set's number, which readers would take in",
        "note: notes.txt: none of the data set's files",
    ]
    assert told_of[-1].endswith("0 of 14 samples are as the manifest states: 5 problems")
    (tmp_path / STATEMENT).unlink()
    assert main(["verify", str(tmp_path)]) == 2
    assert main(["verify", str(tmp_path / "nowhere")]) == 2


def test_verify_looks_into_samples(tmp_path: Path) -> None:
    """A manifest that vouches for wrong samples: a writer's bug, which no digest of bytes tells."""
    fill(tmp_path, 4, replace(SETTINGS, seed=6))
    statement = json.loads((tmp_path / STATEMENT).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "seed": 5}))
    [problem] = verify(tmp_path).problems
    assert "sample 000000000 is another one" in problem


def test_a_data_set_at_a_url(cloud: str, at_once: Path, tmp_path: Path) -> None:
    with open_dataset(cloud, SETTINGS, NUM) as writer:
        for index in (0, 1, 2, 3, 5):
            writer.put(constant_sample(SETTINGS, index))
    assert fill(cloud, 10) == [4, *range(6, 10)]
    assert fill(cloud, NUM) == [10, 11, 12, 13]  # the last shard is fetched, and put whole again
    assert remote_contents(cloud) == contents(at_once)
    assert [sample.files() for sample in Samples(cloud)] == [sample.files() for sample in Samples(at_once)]
    assert len(pickle.loads(pickle.dumps(Samples(cloud)))) == NUM  # as it travels to the processes that load data
    assert verify(cloud).whole
    merge(tmp_path / "fetched", [cloud])
    assert contents(tmp_path / "fetched") == contents(at_once)
    open_store(cloud).remove("shard-000002.tar")
    assert not verify(cloud).whole
    assert fill(cloud, NUM) == [8, 9, 10, 11]
    assert remote_contents(cloud) == contents(at_once)


def test_damage_at_a_url_is_not_carried_on(cloud: str) -> None:
    fill(cloud, 6)
    data = remote_contents(cloud)["shard-000001.tar"]
    fsspec.filesystem("memory").pipe_file(f"{cloud}/shard-000001.tar", data[:1000] + b"!" + data[1001:])
    assert fill(cloud, 7) == [4, 5, 6]
    assert verify(cloud).whole


def test_file_urls_are_folders(tmp_path: Path, at_once: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("datagen.generate.generate_samples", constant_samples)
    frame = ["--width", "32", "--height", "24", "--quality", "draft", "--min-objects", "1", "--max-objects", "1"]
    command = ["generate", "--num", str(NUM), "--seed", "5", "--shard-size", "4", *frame, "--out", (tmp_path / "set").as_uri()]
    for shards in ("0,2", "1", "3-3"):
        assert main([*command, "--shards", shards]) == 0
    assert main(["merge", (tmp_path / "set").as_uri()]) == 0
    assert contents(tmp_path / "set") == contents(at_once)
    assert main([*command, "--shards", "4"]) == 2
    assert "there are the shards 0-3" in capsys.readouterr().err


def test_a_protocol_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nosuch://.*nosuch"):
        Samples("nosuch://a/b")
    with pytest.raises(UserError, match="no such data set"):
        Samples(f"memory://{tmp_path.name}/nowhere")
    assert place("s3://bucket/set") == "s3://bucket/set"
    assert place("C/D") == Path("C/D")


def test_numbers_that_anybody_may_have_written_are_not_counted_through(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    statement = json.loads((tmp_path / STATEMENT).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "num": 10**15}))
    verdict = verify(tmp_path)
    assert verdict.problems == ["shard-000002.tar to shard-249999999999999.tar: none of these 249,999,999,999,998 is there"]
    assert (verdict.samples, verdict.expected) == (8, 10**15)


def test_a_manifest_of_many_samples_and_empty_tars_is_not_gone_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a line states: the indices that a shard may hold are gone through only once its tar is of that size."""
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
    monkeypatch.setattr(Row, "indices", lambda self, size: gone_through.append(self.name))
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
    row = Row("shard-000001.tar", samples, 10**5, "0" * 64, "0" * 64, tuple(missing))
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


def restated(folder: Path, shard: int, tar: bytes | None = None, **changes: object) -> None:
    """A data set that states of one of its shards what is not so, or what is so of another tar, as whoever sends one can."""
    name = f"shard-{shard:06d}.tar"
    if tar is not None:
        (folder / name).write_bytes(tar)
        changes = {"bytes": len(tar), "sha256": hashlib.sha256(tar).hexdigest(), **changes}
    rows = {row["name"]: row for row in read_jsonl(folder / MANIFEST)}
    rows[name] = {**(rows.get(name) or rows["shard-000001.tar"]), "name": name, **changes}
    (folder / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows.values()))


def other_files() -> Iterator[bytes]:
    for name in ("a.txt", "b.txt", "c.txt"):
        entry = tarfile.TarInfo(name)
        entry.size = 4096
        yield entry.tobuf(tarfile.USTAR_FORMAT) + b"x" * entry.size
    yield bytes(1024)


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "a tar of other files": ({"tar": b"".join(other_files())}, "holds other samples than its manifest states"),
    "no tar": ({"tar": b"not a tar" * 1024}, "not a readable tar of samples"),
    "another shard": ({"shard": 0}, "holds other samples than its manifest states"),
    "fewer samples": ({"part": 2}, "holds other samples than its manifest states"),
    "a sample twice": ({"part": -1}, "the sample 000000004 is in it twice"),
    "more samples than a shard holds": ({"samples": 5}, "the manifest states 5 samples, more than the 4 of a shard"),
    "samples that another shard lacks": ({"samples": 3, "missing": [2]}, "states that it lacks samples of other shards"),
    "other labels": ({"labels": "0" * 64}, "its labels are not those that its manifest states"),
    "another size": ({"bytes": 10**6}, "damaged, its SHA-256 is not its manifest's"),
    "samples of another seed": ({"seed": 6}, "sample 000000004 is another one"),
}


@pytest.mark.parametrize(("lie", "problem"), LIES.values(), ids=LIES)
def test_a_shard_is_held_against_its_line_before_it_is_merged(
    tmp_path: Path, lie: dict[str, Any], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 8)
    lie = {**lie}
    if "shard" in lie:
        lie["tar"] = (tmp_path / "b" / f"shard-{lie.pop('shard'):06d}.tar").read_bytes()
    if "part" in lie:
        whole = (tmp_path / "b" / "shard-000001.tar").read_bytes()
        extents = list(sample_extents(io.BytesIO(whole)))
        _, end, _ = extents[lie["part"]]
        first = whole[: extents[1][1]]
        lie["tar"] = (whole[:end] if lie.pop("part") > 0 else whole[: sum(extents[3][1:])] + first) + bytes(1024)
    if "seed" in lie:
        fill(tmp_path / "c", 8, replace(SETTINGS, seed=lie.pop("seed")))
        lie |= read_jsonl(tmp_path / "c" / MANIFEST)[1] | {"tar": (tmp_path / "c" / "shard-000001.tar").read_bytes()}
    restated(tmp_path / "b", 1, **lie)
    before = contents(tmp_path / "a")
    assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"{tmp_path}/b/shard-000001.tar: " in message
    assert problem in message
    assert {**contents(tmp_path / "a"), STATEMENT: b""} == {**before, STATEMENT: b""}
    assert not verify(tmp_path / "b").whole


@pytest.mark.parametrize("shard", [2, 77, 999_999_999_999])
@pytest.mark.parametrize("there", [True, False])
def test_a_shard_beyond_the_number_is_not_merged_and_told(
    tmp_path: Path, shard: int, there: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Readers would take it in."""
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 8)
    restated(tmp_path / "b", shard, (tmp_path / "b" / "shard-000001.tar").read_bytes())
    if not there:
        (tmp_path / "b" / f"shard-{shard:06d}.tar").unlink()
    before = contents(tmp_path / "a")
    assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 2
    assert f"shard-{shard:06d}.tar: a shard beyond the 8 samples of the data set, so nothing" in capsys.readouterr().err
    assert contents(tmp_path / "a") == before
    [problem] = verify(tmp_path / "b").problems
    assert problem.startswith(f"shard-{shard:06d}.tar: {'a shard beyond' if there else 'in the manifest, but a shard beyond'}")


def test_samples_beyond_the_number_are_told_and_not_merged(tmp_path: Path) -> None:
    fill(tmp_path, 8)
    statement = json.loads((tmp_path / STATEMENT).read_text())
    (tmp_path / STATEMENT).write_text(json.dumps({**statement, "num": 6}))
    assert verify(tmp_path).problems == ["shard-000001.tar: the manifest states samples beyond the 6 of the data set"]
    with pytest.raises(UserError, match=r"shard-000001\.tar: the manifest states samples beyond the 6 of the data set"):
        merge(tmp_path / "new", [tmp_path])


def test_a_file_that_no_manifest_knows_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 8)
    shard = tmp_path / "a" / "shard-000001.tar"
    for own in (b"precious", (tmp_path / "b" / "shard-000000.tar").read_bytes()):
        shard.write_bytes(own)
        assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 2
        assert f"{shard}: is there, but in no manifest, and would be replaced; move it elsewhere" in capsys.readouterr().err
        assert shard.read_bytes() == own
    shard.write_bytes((tmp_path / "b" / "shard-000001.tar").read_bytes())  # as a merge leaves it that is killed before it writes the line
    assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_fuller_shard_takes_the_place_of_one_only_if_nothing_is_lost_by_it(tmp_path: Path) -> None:
    fill(tmp_path / "a", 4, failing=[0, 1])
    fill(tmp_path / "b", 4, failing=[2])
    with pytest.raises(PartlyDone, match="the samples 0-1 are missing"):
        merge(tmp_path / "a", [tmp_path / "b"])  # which lacks a sample that is here
    assert Samples(tmp_path / "a").keys == ["000000002", "000000003"]
    fill(tmp_path / "c", 4)
    restated(tmp_path / "a", 0, labels="1" * 64)
    with pytest.raises(UserError, match="hold other labels"):
        merge(tmp_path / "a", [tmp_path / "c"])


@pytest.mark.parametrize("num", [10**8, 2**53])
def test_a_number_that_another_data_set_states_is_not_counted_through(tmp_path: Path, num: int, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 8)
    statement = json.loads((tmp_path / "b" / STATEMENT).read_text())
    (tmp_path / "b" / STATEMENT).write_text(json.dumps({**statement, "num": num}))
    assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 1
    lacking = f"joined, but the shards 2-{num // 4 - 1} are missing; `igllm generate` renders them"
    assert f"{lacking}. It now states {num:,} samples, as one of the others does, not 4" in capsys.readouterr().err
    assert main(["merge", str(tmp_path / "a")]) == 1
    assert capsys.readouterr().err.endswith(f"{lacking}\n")


def test_a_tar_that_holds_other_samples_than_stated_is_rendered_again(tmp_path: Path) -> None:
    """Though its digest is right. The shard is one that grows, so that its samples are read."""
    fill(tmp_path, 6)
    restated(tmp_path, 1, b"".join(other_files()))
    assert fill(tmp_path, 8) == [4, 5, 6, 7]
    assert verify(tmp_path).whole


@pytest.mark.parametrize("twice", [["a"], ["b", "b"], ["b", "link"]])
def test_a_data_set_that_is_named_twice_is_told(tmp_path: Path, twice: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "a", 4)
    fill(tmp_path / "b", 8)
    (tmp_path / "link").symlink_to("b")
    assert main(["merge", str(tmp_path / "a"), "--from", *(str(tmp_path / name) for name in twice)]) == 2
    message = capsys.readouterr().err
    assert f"{tmp_path / twice[-1]}: is the same data set as {tmp_path / twice[0]}; name each but once" in message
