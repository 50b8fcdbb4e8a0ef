"""Shards at URLs: each is fetched once, when it is first needed, and again if its cached copy is damaged or outdated."""

from __future__ import annotations

import os
import pickle
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from constant_scenes import IN_SIX_SHARDS, fill
from fsspec.implementations.memory import MemoryFileSystem
from tar_files import write_tar

from datagen.errors import UserError
from datagen.io.cache import cache_folder
from datagen.shards import fetch
from datagen.shards.layouts import FetchedTars
from datagen.shards.reader import Samples
from datagen.shards.store import open_store

pytestmark = pytest.mark.usefixtures("empty_cache")


class Counting(MemoryFileSystem):
    """A store that lists fetched files; the next `failures` calls fail."""

    protocol = "counting"
    fetched: ClassVar[list[str]] = []
    failures = 0

    def get_file(self, rpath, lpath, **keywords):  # type: ignore[no-untyped-def]
        if Counting.failures:
            Counting.failures -= 1
            raise ConnectionError("the network hiccups")
        Counting.fetched.append(rpath.rpartition("/")[2])
        super().get_file(rpath, lpath, **keywords)


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The data set of `six_shards` behind a URL."""
    fsspec.register_implementation("counting", Counting, clobber=True)
    monkeypatch.setattr(Counting, "fetched", [])
    monkeypatch.setattr(Counting, "failures", 0)
    monkeypatch.setattr(fetch, "FIRST_WAIT", 0.0)
    url = f"counting://{tmp_path.name}/set"
    fill(url, IN_SIX_SHARDS)
    return url


def test_shards_behind_a_url_are_fetched_when_needed_and_once(six_shards: Path, far: str, empty_cache: Path) -> None:
    archive, truth = Samples.for_training(far), Samples(six_shards)
    assert list(archive.far_shards or ()) == [4, 4, 4, 4, 4, 2]
    assert not Counting.fetched
    for number in (5, 4, 7, 20, 21, 5):
        assert archive.files(number) == truth.at(number).files()
        assert archive.key(number) == truth.keys[number]
    assert Counting.fetched == ["shard-000001.tar", "shard-000005.tar"]
    other = pickle.loads(pickle.dumps(archive))  # as sent to another process
    assert other.files(6) == truth.at(6).files()
    assert Samples.for_training(far).files(6) == truth.at(6).files()
    assert archive.find("000000010") == 10
    assert archive.find("no") is None
    assert sorted(set(Counting.fetched)) == sorted(Counting.fetched)
    assert not list((empty_cache / "shards").glob(".*"))


def other_than_a_file(path: Path, kind: str) -> None:
    """Put something else into the place of a file."""
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        (path / "in it").mkdir(parents=True)
    else:
        path.symlink_to({"loop": path.name, "device": "/dev/zero", "nowhere": "/nowhere/at/all"}[kind])


KINDS = ["pipe", "folder", "loop", "device", "nowhere"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_in_a_cache_is_as_if_it_was_not_there(six_shards: Path, far: str, empty_cache: Path, kind: str) -> None:
    """Reading a pipe would wait, and reading a device never end."""
    truth = Samples(six_shards).at(5).files()
    Samples.for_training(far).files(5)
    indexes = (empty_cache / "index").glob("*.rows")
    for kept in (*indexes, *(empty_cache / "shards").glob("*.rows"), *(empty_cache / "shards").glob("*.tar")):
        other_than_a_file(kept, kind)
        assert Samples(six_shards).at(5).files() == Samples.for_training(far).files(5) == truth
        assert kept.is_file()
        assert not kept.is_symlink()
    for unused in (empty_cache / "index" / "a-1-00000000.rows", empty_cache / "shards" / "b.tar", empty_cache / "shards" / ".c.tmp"):
        other_than_a_file(unused, kind)
    assert Samples.for_training(far).files(9) == Samples(six_shards).at(9).files()


def test_a_fetched_shard_that_was_damaged_since_is_fetched_anew(six_shards: Path, far: str, empty_cache: Path) -> None:
    truth = Samples(six_shards).at(5).files()
    Samples.for_training(far).files(5)
    for pattern in ("*.tar", "*.rows"):
        [kept] = (empty_cache / "shards").glob(pattern)
        whole = kept.read_bytes()
        places = (0, 30, 60, len(whole) // 2, len(whole) - 1)
        for damaged in (whole[:-512], b"", *(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :] for at in places)):
            kept.write_bytes(damaged)
            Counting.fetched.clear()
            assert Samples.for_training(far).files(5) == truth
            assert Counting.fetched == ["shard-000001.tar"]
            assert kept.read_bytes() == whole


def test_hiccups_are_waited_out_and_failures_told(far: str) -> None:
    archive = Samples.for_training(far)
    Counting.failures = fetch.TRIES - 1
    assert archive.files(0)
    Counting.failures = 100
    with pytest.raises(UserError, match=r"shard-000001\.tar: ConnectionError: the network hiccups"):
        archive.files(4)
    Counting.failures = 0
    assert archive.files(4)


def test_what_changed_behind_a_url_is_told(far: str) -> None:
    archive = Samples.for_training(far)
    open_store(far).write("shard-000000.tar", b"short")
    with pytest.raises(UserError, match="came with 5 bytes"):
        archive.files(0)
    open_store(far).write("shard-000000.tar", b"x" * 20480)
    with pytest.raises(UserError, match="not a readable tar"):
        Samples.for_training(far).files(0)


@pytest.mark.parametrize("field", ["created", "ETag", "Last-Modified", None])
def test_a_shard_that_was_exchanged_behind_a_url_is_fetched_anew(far: str, field: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new shard of the same size is noticed by the store's version of it; without versions, each call fetches it."""
    plain, now = MemoryFileSystem.ls, ["1"]

    def ls(self: MemoryFileSystem, path: str, detail: bool = True, **keywords: Any) -> list[Any]:
        entries = [{**entry} for entry in plain(self, path, detail=True, **keywords)]
        for entry in entries:
            created = entry.pop("created", None)
            entry.update({} if field is None else {field: created if field == "created" else now[0]})
        return entries if detail else [entry["name"] for entry in entries]

    monkeypatch.setattr(Counting, "ls", ls)
    first = Samples.for_training(far).files(0)
    store = open_store(far)
    store.write("shard-000000.tar", store.read("shard-000001.tar", 0, store.sizes()["shard-000001.tar"]))
    now[0] = "2"
    Counting.fetched.clear()
    assert Samples.for_training(far).files(0) != first
    Samples.for_training(far).files(0)
    assert len(Counting.fetched) == (1 if field else 2)


def test_the_shards_on_disk_stay_below_the_bound(far: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: size for name, size in open_store(far).sizes().items() if name.endswith(".tar")}
    monkeypatch.setattr(fetch, "OPEN_SHARDS", 2)
    bound = 3 * max(sizes.values())
    archive, other = Samples.for_training(far, bound), Samples.for_training(far, bound)
    for number in (0, 4, 0, 8, 12, 16, 0, 20):
        archive.files(number)
        assert sum(path.stat().st_size for path in (empty_cache / "shards").glob("*.tar")) <= bound
        assert len(list((empty_cache / "shards").glob("*.rows"))) == len(list((empty_cache / "shards").glob("*.tar")))
    assert other.files(3) == archive.files(3)
    with pytest.raises(UserError, match="allow more"):
        Samples.for_training(far, bound // 2)


def test_shards_of_others_behind_a_url_are_counted(tmp_path: Path, empty_cache: Path) -> None:
    store = open_store(f"memory://{tmp_path.name}/pairs")
    store.make()
    for shard in range(3):
        tar = write_tar(tmp_path / "a.tar", [(f"{shard}{i}{suffix}", b"x") for i in range(shard + 1) for suffix in (".jpg", ".txt")])
        store.write(f"{shard}.tar", tar.read_bytes())
    archive = Samples.for_training(f"{store.name}/{{0..2}}.tar")
    assert archive.far_shards == [1, 2, 3]
    assert [archive.key(i) for i in range(6)] == ["00", "10", "11", "20", "21", "22"]
    assert len(list((empty_cache / "index").glob("*.rows"))) == 1


def test_many_processes_fetch_a_shard_once(six_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is a folder, as processes share no memory."""
    context = get_context("fork")
    log = tmp_path / "log"
    store = open_store(six_shards)

    def logged(name: str, target: Path) -> None:
        with log.open("a") as stream:
            stream.write(name + "\n")
        type(store).fetch(store, name, target)

    monkeypatch.setattr(store, "fetch", logged)
    names = [name for name in store.sizes() if name.endswith(".tar")]
    archive = FetchedTars(store, names, 10**9)
    workers = [context.Process(target=lambda: [archive.files(i) for i in range(IN_SIX_SHARDS)]) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(log.read_text().split()) == names
    assert len(list(cache_folder("shards").glob("*.tar"))) == len(names)
