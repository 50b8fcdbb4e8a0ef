"""Joining what several writers made: parts of one data set's manifest, and shards of other folders or URLs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from datagen.errors import PartlyDone, UserError
from datagen.io.files import atomic_file, file_sha256
from datagen.io.locks import lock_shards
from datagen.io.progress import progress
from datagen.io.ranges import listed
from datagen.shards.manifest import Manifest, Row, gather, read_manifest, shard_name, write_part
from datagen.shards.store import Place, Store, check_place, open_store
from datagen.shards.writer import enter, read_statement, see_statement, shard_count, stated_settings


def merge(where: Place, others: Sequence[Place] = ()) -> Manifest:
    """Bring the shards of `others` into the data set at `where`, and join its manifest. Nothing of the others changes.

    Raises `UserError` if one is of other settings, is being written to, or holds a shard that differs; and `PartlyDone`, when all
    else is done, if shards or samples are missing.
    """
    store, sources = open_store(where), [open_store(other) for other in others]
    for needed in sources or [store]:
        read_statement(needed)
    if sources:
        check_place(where)
    with ExitStack() as locks:
        if sources:
            store.make()
        for held in [store, *sources]:
            locks.enter_context(lock_shards(held.lock, held.name, None))
        for source in sources:
            _take_in(store, source)
        manifest = gather(store)
    _tell_gaps(store, manifest)
    return manifest


def _take_in(store: Store, source: Store) -> None:
    statement = read_statement(source)
    enter(store, statement)
    sizes, there = store.sizes(), read_manifest(store, store.sizes())
    brought = read_manifest(source, source.sizes())
    for shard, row in progress(sorted(brought.rows.items()), len(brought.rows), "merge"):
        if _wanted(store, source, there.rows.get(shard), row, sizes.get(row.name)):
            see_statement(store)
            _copy(store, source, row)
            write_part(store, row, (f for index, f in brought.failures.items() if index in row.missing))


def _wanted(store: Store, source: Store, ours: Row | None, theirs: Row, size: int | None) -> bool:
    """Whether a shard is to be taken in: it is not here, or lacks what the other has. `UserError` if they tell different things."""
    if ours is None or size != ours.bytes:
        return True
    if ours.samples != theirs.samples or ours.missing != theirs.missing:
        return theirs.samples > ours.samples
    if ours.labels != theirs.labels:
        raise UserError(f"{store.at(ours.name)} and {source.at(theirs.name)} hold other labels; keep one of them: `igllm verify` both")
    return False


def _copy(store: Store, source: Store, row: Row) -> None:
    """Copy a shard whole, and only if it is what its manifest states."""
    built = store.scratch / row.name
    try:
        _fetch(source, row.name, built, row.sha256)
        store.put(built, row.name)
    finally:
        built.unlink(missing_ok=True)


def _fetch(source: Store, name: str, built: Path, expected: str) -> None:
    try:
        with source.open(name) as stream, atomic_file(built) as copy:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except FileNotFoundError:
        raise UserError(f"{source.at(name)}: it is not there; `igllm generate` repairs it") from None
    if file_sha256(built) != expected:
        raise UserError(f"{source.at(name)}: damaged, its SHA-256 is not its manifest's; `igllm generate` repairs it")


def _tell_gaps(store: Store, manifest: Manifest) -> None:
    statement = read_statement(store)
    settings = stated_settings(store, statement)
    shards, sizes = range(shard_count(statement["num"], settings.shard_size)), store.sizes()
    gone = [shard for shard in shards if shard not in manifest.rows or shard_name(shard) not in sizes]
    absent = [index for shard, row in manifest.rows.items() if shard not in gone for index in row.missing]
    gaps = ([f"the shards {listed(gone)}"] if gone else []) + ([f"the samples {listed(absent)}"] if absent else [])
    if gaps:
        raise PartlyDone(f"{store.name}: joined, but {' and '.join(gaps)} are missing; `igllm generate` renders them")
