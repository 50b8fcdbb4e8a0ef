"""Whatever happens to a data set, the next call repairs it to what an undisturbed run would have written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from constant_scenes import SETTINGS, constant_sample, constant_samples, contents, fill
from places import SUPPORT

from datagen.errors import PartlyDone, UserError
from datagen.generate import generate
from datagen.io.files import read_jsonl
from datagen.shards.manifest import FAILURES, MANIFEST, STATEMENT
from datagen.shards.reader import Samples, sample_blocks
from datagen.shards.spool import Spool
from datagen.shards.store import SPOOL
from datagen.shards.writer import open_dataset
from igllm import main

NUM = 10


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert fill(folder, NUM) == list(range(NUM))
    return contents(folder)


@pytest.fixture
def whole(tmp_path: Path, undisturbed: dict[str, bytes]) -> Path:
    for name, data in undisturbed.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def test_a_whole_set_is_left_alone(whole: Path, undisturbed: dict[str, bytes]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in whole.iterdir()}
    assert fill(whole, NUM) == []
    assert contents(whole) == undisturbed
    assert {path.name: path.stat().st_mtime_ns for path in whole.iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize("offset", [0, 700, 3000, 20000])
def test_a_damaged_shard_is_rendered_again(whole: Path, undisturbed: dict[str, bytes], offset: int) -> None:
    data = bytearray((whole / "shard-000001.tar").read_bytes())
    data[offset] ^= 1
    (whole / "shard-000001.tar").write_bytes(data)
    assert fill(whole, NUM) == [4, 5, 6, 7]
    assert contents(whole) == undisturbed


def test_a_short_and_a_vanished_shard_are_rendered_again(whole: Path, undisturbed: dict[str, bytes]) -> None:
    (whole / "shard-000000.tar").unlink()
    os.truncate(whole / "shard-000002.tar", 1000)
    assert fill(whole, NUM) == [0, 1, 2, 3, 8, 9]
    assert contents(whole) == undisturbed


@pytest.mark.parametrize("left", ["", "not json\n", '{"name": "shard-000000.tar"}\n[]\n', "\udcff\udcfe"])
def test_a_lost_or_damaged_manifest_is_mended_from_whole_shards(whole: Path, undisturbed: dict[str, bytes], left: str) -> None:
    (whole / MANIFEST).write_bytes(left.encode(errors="surrogateescape"))
    data = bytearray((whole / "shard-000001.tar").read_bytes())
    data[data.index(b'"seed"')] ^= 1
    (whole / "shard-000001.tar").write_bytes(data)  # without a digest, the sample itself shows the damage
    assert fill(whole, NUM) == [4, 5, 6, 7]
    assert contents(whole) == undisturbed


def test_a_repair_that_gives_other_labels_overwrites_nothing(whole: Path) -> None:
    rows = read_jsonl(whole / MANIFEST)
    rows[1]["labels"] = "0" * 64
    (whole / MANIFEST).write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.truncate(whole / "shard-000001.tar", 5000)
    for rendered in ([4, 5, 6, 7], []):  # the second time, all are in the spool
        with open_dataset(whole, SETTINGS, NUM) as writer, pytest.raises(UserError, match=r"shard-000001\.tar.*other labels"):
            assert writer.missing() == rendered
            for index in rendered:
                writer.put(constant_sample(SETTINGS, index))
            writer.close()
    assert (whole / "shard-000001.tar").stat().st_size == 5000


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 2}', "null"])
def test_a_damaged_statement_is_named(whole: Path, text: str) -> None:
    (whole / STATEMENT).write_text(text)
    with pytest.raises(UserError, match=r"dataset\.json"):
        fill(whole, NUM)


def test_an_unfinished_shard_goes_on_from_its_spool(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    with open_dataset(tmp_path, SETTINGS, NUM) as writer:
        for index in (5, 0, 9, 2):
            writer.put(constant_sample(SETTINGS, index))
    assert fill(tmp_path, NUM) == [1, 3, 4, 6, 7, 8]
    assert contents(tmp_path) == undisturbed
    assert not (tmp_path / ".spool").exists()


@pytest.mark.parametrize("kind", ["short", "zeros", "flipped", "noise"])
def test_a_torn_spool_keeps_what_is_whole(tmp_path: Path, undisturbed: dict[str, bytes], kind: str) -> None:
    with open_dataset(tmp_path, SETTINGS, NUM) as writer:
        for index in (0, 2, 3):
            writer.put(constant_sample(SETTINGS, index))
    spool = tmp_path / ".spool" / "000000.spool"
    data = bytearray(spool.read_bytes())
    last = len(data) - 56 - len(sample_blocks(constant_sample(SETTINGS, 3)))
    if kind == "short":
        del data[last + 100 :]
    elif kind == "zeros":  # a power cut can leave zeros if the size was written, but not the data
        data[last:] = bytes(len(data) - last)
    elif kind == "flipped":
        data[last + 2000] ^= 1
    else:
        data[last + 4 : last + 20] = b"\xff" * 16
    spool.write_bytes(data)
    assert fill(tmp_path, NUM) == [1, *range(3, NUM)]
    assert contents(tmp_path) == undisturbed


def test_failures_are_set_aside_and_tried_again(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    fill(tmp_path, NUM, failing=(9, 1, 5))
    rows = read_jsonl(tmp_path / FAILURES)
    assert [row["index"] for row in rows] == [1, 5, 9]
    assert rows[0] == {"index": 1, "seed": 5, "key": "000000001", "reason": "it crashed twice"}
    assert [row["missing"] for row in read_jsonl(tmp_path / MANIFEST)] == [[1], [5], [9]]
    assert len(Samples(tmp_path)) == NUM - 3
    before = (tmp_path / "shard-000001.tar").stat().st_mtime_ns
    assert fill(tmp_path, NUM, failing=(5,)) == [1, 5, 9]
    assert [row["index"] for row in read_jsonl(tmp_path / FAILURES)] == [5]
    assert (tmp_path / "shard-000001.tar").stat().st_mtime_ns == before
    assert fill(tmp_path, NUM) == [5]
    assert contents(tmp_path) == undisturbed


def test_a_shard_of_failures_alone_and_a_growing_set(tmp_path: Path) -> None:
    fill(tmp_path, 6, failing=range(6))
    assert [row["samples"] for row in read_jsonl(tmp_path / MANIFEST)] == [0, 0]
    assert fill(tmp_path, 7, failing=(4,)) == list(range(7))
    assert fill(tmp_path, 9, failing=(4,)) == [4, 7, 8]
    assert [(row["samples"], row["missing"]) for row in read_jsonl(tmp_path / MANIFEST)] == [(4, []), (3, [4]), (1, [])]


def test_generate_tells_of_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datagen.shards.manifest import Failure

    def failing(*given: object) -> object:
        for sample in constant_samples(*given):  # type: ignore[arg-type]
            yield Failure(2, 5, "000000002", "it crashed") if sample.key == "000000002" else sample

    monkeypatch.setattr("datagen.generate.generate_samples", failing)
    with pytest.raises(PartlyDone, match=r"1 of 6 scenes could not be rendered.*000000002 of seed 5: it crashed"):
        generate(SETTINGS, 6, tmp_path)
    monkeypatch.setattr("datagen.generate.generate_samples", constant_samples)
    assert len(generate(SETTINGS, 6, tmp_path)) == 6
    assert not (tmp_path / FAILURES).exists()


LIMITED = """
import resource, sys
from pathlib import Path
from constant_scenes import constant_samples, SETTINGS
import datagen.generate, igllm
datagen.generate.generate_samples = constant_samples
limit = int(sys.argv[2])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
sys.exit(igllm.main(["generate", "--out", sys.argv[1], "--num", "10", "--seed", "5", "--width", "32", "--height", "24",
                     "--quality", "draft", "--min-objects", "1", "--max-objects", "1", "--shard-size", "4"]))
"""


def run_limited(out: Path, limit: int, *wrap: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    command = [*wrap, sys.executable, "-c", LIMITED, str(out), str(limit)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("part", [0.05, 0.4, 0.999])
def test_a_write_that_fails_ends_with_one_message(tmp_path: Path, undisturbed: dict[str, bytes], part: float) -> None:
    """Files are limited to `part` of a shard's size, as on a disk that is full when the statement, a sample or a shard is written."""
    ended = run_limited(tmp_path / "set", int(part * len(undisturbed["shard-000000.tar"])))
    assert ended.returncode == 2
    message = [line for line in ended.stderr.splitlines() if not line.startswith(("generate: ", "check: "))]
    assert len(message) == 1
    assert "File too large; what is finished is kept: call it again" in message[0]
    again = run_limited(tmp_path / "set", 0)
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "set") == undisturbed


def test_a_full_disk_ends_with_one_message(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        ended = run_limited(disk / "set", 0)
        assert ended.returncode == 2
        assert "No space left on device; what is finished is kept: call it again" in ended.stderr
        assert "Traceback" not in ended.stderr
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        again = run_limited(disk / "set", 0)
        assert again.returncode == 0, again.stderr
        assert contents(disk / "set") == undisturbed
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_what_goes_wrong_beside_the_rendering_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: dict[str, bytes]
) -> None:
    def full(*_given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="No space left on device; what is finished is kept"):
        patched.setattr("datagen.shards.store.LocalStore.put", full)
        fill(tmp_path, 40)
    done = len(fill(tmp_path, NUM))
    assert done <= NUM - 4  # at least the first shard's samples were in its spool
    assert contents(tmp_path)["shard-000000.tar"] == undisturbed["shard-000000.tar"]


def test_a_spool_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.spool", b"")
    spool.put(3, b"x" * 1000)
    size = spool.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            spool.put(4, b"y" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert spool.path.stat().st_size == size
    assert list(Spool(spool.path, b"")) == [3]


@pytest.mark.parametrize("other", [{"seed": 6}, {"quality": "standard"}, {"light_jitter": 0.5}])
def test_what_another_data_set_left_in_the_spool_is_not_taken_up(tmp_path: Path, other: dict[str, Any]) -> None:
    """A run is killed, its folder emptied except for hidden files, as by `rm *`, and another data set begun there."""
    settings = replace(SETTINGS, **other)
    with open_dataset(tmp_path / "a", SETTINGS, NUM) as writer:
        for index in (0, 1, 4, 8):
            writer.put(constant_sample(SETTINGS, index))
    for path in (tmp_path / "a").iterdir():
        if not path.name.startswith("."):
            path.unlink()
    assert len(list((tmp_path / "a" / SPOOL).iterdir())) == 3
    assert fill(tmp_path / "a", 3, settings) == [0, 1, 2]  # a smaller set, which lacks some of the spool's shards
    assert not (tmp_path / "a" / SPOOL).exists()
    assert fill(tmp_path / "a", NUM, settings) == list(range(3, NUM))
    fill(tmp_path / "b", NUM, settings)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_folder_removed_while_it_is_written_is_one_message_and_stays_away(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with open_dataset(folder, SETTINGS, NUM) as writer:
        writer.put(constant_sample(SETTINGS, 0))
        shutil.rmtree(folder)
        with pytest.raises(UserError, match="set: was removed while this call was writing it; call it again to begin anew"):
            writer.put(constant_sample(SETTINGS, 1))
    assert not folder.exists()
    assert fill(folder, NUM) == list(range(NUM))


def test_samples_removed_under_a_running_writer_are_not_mixed_with_later_ones(tmp_path: Path) -> None:
    with open_dataset(tmp_path, SETTINGS, NUM) as writer:
        writer.put(constant_sample(SETTINGS, 0))
        shutil.rmtree(tmp_path / SPOOL)
        with pytest.raises(UserError, match="call it again to go on"):
            writer.put(constant_sample(SETTINGS, 1))
    assert fill(tmp_path, NUM) == list(range(NUM))


@pytest.mark.parametrize("name", ["manifest.jsonl", "dataset.json", "shard-000000.tar"])
@pytest.mark.parametrize("verb", ["verify", "merge", "generate", "export"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path, name: str, verb: str) -> None:
    folder = tmp_path / "set"
    fill(folder, 6)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    arguments = {
        "verify": [str(folder)],
        "merge": [str(folder)],
        "generate": ["--domain", "dot2d", "--num", "6", "--out", str(folder)],
        "export": ["--data", str(folder), "--format", "coco", "--out", str(tmp_path / "out")],
    }
    assert main([verb, *arguments[verb]]) in (0, 1, 2)


def test_a_pipe_in_the_place_of_an_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "a.png")
    assert main(["predict", "--images", str(tmp_path / "a.png")]) == 2
    assert "a.png: cannot be read (a pipe or device is in the place of the file)" in capsys.readouterr().err
