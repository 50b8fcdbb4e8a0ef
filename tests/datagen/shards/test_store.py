"""Data sets at URLs: written, mended, verified and fetched as in folders."""

from __future__ import annotations

import pickle
from pathlib import Path

import fsspec
import pytest
from constant_scenes import IN_FOUR_SHARDS, SETTINGS, constant_sample, constant_samples, contents, fill
from fsspec.implementations.memory import MemoryFileSystem

from datagen.errors import UserError
from datagen.shards.merge import merge
from datagen.shards.reader import Samples
from datagen.shards.store import open_store, place
from datagen.shards.verify import verify
from datagen.shards.writer import open_dataset
from igllm import main


@pytest.fixture(params=["memory", "objects"])
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A URL that no other test uses, with an empty cache."""
    fsspec.register_implementation("objects", Objects, clobber=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return f"{request.param}://{tmp_path.name}/set"


class Objects(MemoryFileSystem):
    """A file system without folders, as object stores are."""

    protocol = "objects"

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pass


def remote_contents(url: str) -> dict[str, bytes]:
    store = open_store(url)
    return {name: store.read(name, 0, size) for name, size in store.sizes().items()}


def test_a_data_set_at_a_url(cloud: str, four_shards: Path, tmp_path: Path) -> None:
    with open_dataset(cloud, SETTINGS, IN_FOUR_SHARDS) as writer:
        for index in (0, 1, 2, 3, 5):
            writer.put(constant_sample(SETTINGS, index))
    assert fill(cloud, 10) == [4, *range(6, 10)]
    assert fill(cloud, IN_FOUR_SHARDS) == [10, 11, 12, 13]  # the last shard is fetched, completed and stored again
    assert remote_contents(cloud) == contents(four_shards)
    assert [sample.files() for sample in Samples(cloud)] == [sample.files() for sample in Samples(four_shards)]
    assert len(pickle.loads(pickle.dumps(Samples(cloud)))) == IN_FOUR_SHARDS  # as it travels to the processes that load data
    assert verify(cloud).whole
    merge(tmp_path / "fetched", [cloud])
    assert contents(tmp_path / "fetched") == contents(four_shards)
    open_store(cloud).remove("shard-000002.tar")
    assert not verify(cloud).whole
    assert fill(cloud, IN_FOUR_SHARDS) == [8, 9, 10, 11]
    assert remote_contents(cloud) == contents(four_shards)


def test_damage_at_a_url_is_not_carried_on(cloud: str) -> None:
    fill(cloud, 6)
    data = remote_contents(cloud)["shard-000001.tar"]
    fsspec.filesystem("memory").pipe_file(f"{cloud}/shard-000001.tar", data[:1000] + b"!" + data[1001:])
    assert fill(cloud, 7) == [4, 5, 6]
    assert verify(cloud).whole


def test_file_urls_are_folders(
    tmp_path: Path, four_shards: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("datagen.generate.generate_samples", constant_samples)
    frame = ["--width", "32", "--height", "24", "--quality", "draft", "--min-objects", "1", "--max-objects", "1"]
    command = ["generate", "--num", str(IN_FOUR_SHARDS), "--seed", "5", "--shard-size", "4", *frame, "--out", (tmp_path / "set").as_uri()]
    for shards in ("0,2", "1", "3-3"):
        assert main([*command, "--shards", shards]) == 0
    assert main(["merge", (tmp_path / "set").as_uri()]) == 0
    assert contents(tmp_path / "set") == contents(four_shards)
    assert main([*command, "--shards", "4"]) == 2
    assert "there are the shards 0-3" in capsys.readouterr().err


def test_a_protocol_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nosuch://.*nosuch"):
        Samples("nosuch://a/b")
    with pytest.raises(UserError, match="no such data set"):
        Samples(f"memory://{tmp_path.name}/nowhere")
    assert place("s3://bucket/set") == "s3://bucket/set"
    assert place("C/D") == Path("C/D")
