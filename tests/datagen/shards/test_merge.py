"""Merging: only data sets with the same settings, and only after each shard is compared with its line in the manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constant_scenes import IN_FOUR_SHARDS, SETTINGS, contents, fill

from datagen.errors import PartlyDone, UserError
from datagen.io.files import read_jsonl
from datagen.shards.manifest import FAILURES, MANIFEST, STATEMENT
from datagen.shards.merge import merge
from datagen.shards.reader import Samples
from datagen.shards.tars import sample_extents
from datagen.shards.verify import verify
from igllm import main


def test_folders_are_merged(tmp_path: Path, four_shards: Path) -> None:
    fill(tmp_path / "a", 8)
    fill(tmp_path / "b", IN_FOUR_SHARDS, shards=[1, 2, 3], failing=[13])
    with pytest.raises(PartlyDone, match="the samples 13 are missing"):
        merge(tmp_path / "all", [tmp_path / "a", tmp_path / "b"])
    assert [row["index"] for row in read_jsonl(tmp_path / "all" / FAILURES)] == [13]
    fill(tmp_path / "b", IN_FOUR_SHARDS, shards=[3])
    merge(tmp_path / "all", [tmp_path / "b"])
    assert contents(tmp_path / "all") == contents(four_shards)


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


def restated(folder: Path, shard: int, tar: bytes | None = None, **changes: object) -> None:
    """Falsify a shard's line in the manifest, and replace its tar by `tar`, if given, with matching size and digest."""
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
    """Readers would read such a shard, too."""
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
    shard.write_bytes((tmp_path / "b" / "shard-000001.tar").read_bytes())  # as left by a merge killed before it writes the line
    assert main(["merge", str(tmp_path / "a"), "--from", str(tmp_path / "b")]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_fuller_shard_takes_the_place_of_one_only_if_nothing_is_lost_by_it(tmp_path: Path) -> None:
    fill(tmp_path / "a", 4, failing=[0, 1])
    fill(tmp_path / "b", 4, failing=[2])
    with pytest.raises(PartlyDone, match="the samples 0-1 are missing"):
        merge(tmp_path / "a", [tmp_path / "b"])  # b lacks the sample 2, which a has
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
    """Its digest in the manifest is right, but its samples are read, because the shard grows."""
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
