"""Merging the work of several writers: parts of one data set's manifest, and shards from other folders or URLs."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import PartlyDone, UserError
from datagen.io.files import atomic_file
from datagen.io.locks import lock_shards
from datagen.io.progress import progress
from datagen.io.ranges import listed_runs
from datagen.samples.settings import DatasetSettings
from datagen.shards.checks import check_identity, samples_in
from datagen.shards.manifest import STATEMENT, Manifest, ManifestRow, gather, read_manifest, wanted_of, write_part
from datagen.shards.reader import label_bytes
from datagen.shards.store import Place, Store, check_place, open_store
from datagen.shards.tars import GET_AGAIN
from datagen.shards.writer import IMPORTED, check_statement_there, enter, read_statement, shard_count, stated_settings


def merge(where: Place, others: Sequence[Place] = ()) -> Manifest:
    """Copy the shards of `others` into the data set at `where`, and join its manifest. The others are not changed.

    A shard is copied only if it matches its manifest. Raises `UserError` if one of the others has other settings, is being written to, or
    holds a different version of a shard; and, after everything else is done, `PartlyDone` if shards or samples are missing.
    """
    store, sources = open_store(where), [open_store(other) for other in others]
    _refuse_twins([store, *sources])
    for needed in sources or [store]:
        read_statement(needed)
    if sources:
        check_place(where)
    with ExitStack() as locks:
        if sources:
            store.make()
        for held in [store, *sources]:
            locks.enter_context(lock_shards(held.lock, held.name, None))
        before = read_statement(store)["num"] if STATEMENT in store.sizes() else None
        for source in sources:
            _join(store, source)
        manifest = gather(store)
    _report_gaps(store, manifest, before)
    return manifest


def _refuse_twins(stores: Iterable[Store]) -> None:
    named: dict[str, str] = {}
    for store in stores:
        lock = os.path.realpath(store.lock)
        if lock in named:
            raise UserError(f"{store.name}: is the same data set as {named[lock]}; name each but once")
        named[lock] = store.name


def _join(store: Store, source: Store) -> None:
    statement = read_statement(source)
    if IMPORTED in statement:
        raise UserError(f"{source.name}: was imported, and only what `igllm generate` has made is merged; import all scenes at once")
    joining, size = _Joining(store, source, stated_settings(source, statement)), statement["shard_size"]
    sizes_there = source.sizes()
    brought = read_manifest(source, sizes_there)
    for row in brought.rows.values():
        if problem := row.misfit(statement["num"], size):
            raise UserError(f"{source.at(row.name)}: {problem}, so nothing of this data set is taken in; {GET_AGAIN}")
    enter(store, statement)
    sizes, num = store.sizes(), read_statement(store)["num"]
    known = {shard: row for shard, row in read_manifest(store, sizes).rows.items() if not row.misfit(num, size)}
    for shard, row in progress(sorted(brought.rows.items()), len(brought.rows), "merge"):
        if joining.wants(known.get(shard), row, sizes.get(row.name)):
            check_statement_there(store)
            joining.copy(known.get(shard), row, sizes_there.get(row.name))
            write_part(store, row, (f for index, f in brought.failures.items() if index in row.missing))


@dataclass(frozen=True)
class _Joining:
    """A merge of the shards of `source` into `store`, two data sets of the same settings."""

    store: Store
    source: Store
    settings: DatasetSettings

    def wants(self, ours: ManifestRow | None, theirs: ManifestRow, size: int | None) -> bool:
        """Whether a shard is to be copied: ours is missing, has the wrong size, or holds only some of the samples of theirs.

        `size` is that of our file, None if there is none. `UserError` if the labels of the same samples differ, or if our file is in no
        manifest and differs from theirs.
        """
        if ours is None:
            if size is not None and (size != theirs.bytes or self.store.sha256(theirs.name) != theirs.sha256):  # else a killed call put it
                raise UserError(
                    f"{self.store.at(theirs.name)}: is there, but in no manifest, and would be replaced; move it elsewhere, or call "
                    "`igllm generate`, which takes it in if it is whole and else makes it anew"
                )
            return True
        if size != ours.bytes:
            return True
        if ours.samples != theirs.samples or ours.missing != theirs.missing:
            return set(ours.indices(self.settings.shard_size)) < set(theirs.indices(self.settings.shard_size))
        if ours.labels != theirs.labels:
            raise self._other_labels(ours.name)
        return False

    def copy(self, ours: ManifestRow | None, row: ManifestRow, size: int | None) -> None:
        """Copy a shard of `size` bytes as a whole; `UserError` unless it matches its manifest and the labels of the samples in ours."""
        if size is None:
            raise UserError(f"{self.source.at(row.name)}: it is not there; {GET_AGAIN}")
        built, where = self.store.scratch / row.name, self.source.at(row.name)
        before = set() if ours is None else set(ours.indices(self.settings.shard_size))
        try:
            if size != row.bytes or _fetch(self.source, row.name, built) != row.sha256:
                raise UserError(f"{where}: damaged, its SHA-256 is not its manifest's; {GET_AGAIN}")
            try:
                kept = _check(built, self.settings, row, before, where)
            except (tarfile.TarError, ValueError) as error:
                raise UserError(f"{where}: not a readable tar of samples ({error}); {GET_AGAIN}") from None
            if ours is not None and before <= set(row.indices(self.settings.shard_size)) and kept != ours.labels:
                raise self._other_labels(row.name)
            self.store.put(built, row.name)
        finally:
            built.unlink(missing_ok=True)

    def _other_labels(self, name: str) -> UserError:
        return UserError(f"{self.store.at(name)} and {self.source.at(name)} hold other labels; keep one of them: `igllm verify` both")


def _fetch(source: Store, name: str, built: Path) -> str:
    """Copy a shard to the file `built` and return its SHA-256."""
    digest = hashlib.sha256()
    with source.open(name) as stream, atomic_file(built) as copy:
        while block := stream.read(1 << 20):
            digest.update(block)
            copy.write(block)
    return digest.hexdigest()


def _check(built: Path, settings: DatasetSettings, row: ManifestRow, before: set[int], where: str) -> str:
    """Return the SHA-256 of the labels of the samples in `before`; `UserError` unless the shard holds the samples and labels of its row."""
    labels, kept, keys = hashlib.sha256(), hashlib.sha256(), []
    expected = {settings.key(index): index for index in row.indices(settings.shard_size)}
    with built.open("rb") as stream:
        for key, blocks in samples_in(stream):
            if key in expected:
                check_identity(settings, expected[key], blocks, where)
                labels.update(label_bytes(blocks))
            if expected.get(key) in before:
                kept.update(label_bytes(blocks))
            keys.append(key)
    if keys != list(expected):
        raise UserError(f"{where}: holds other samples than its manifest states; {GET_AGAIN}")
    if labels.hexdigest() != row.labels:
        raise UserError(f"{where}: its labels are not those that its manifest states; {GET_AGAIN}")
    return kept.hexdigest()


def _report_gaps(store: Store, manifest: Manifest, before: int | None) -> None:
    """Raise `PartlyDone` if shards or samples are missing. `num` comes from a file and may be huge, so only existing shards are visited."""
    statement = read_statement(store)
    num, size, sizes = statement["num"], statement["shard_size"], store.sizes()
    there = sorted(shard for shard, row in manifest.rows.items() if row.name in sizes and not row.misfit(num, size))
    ends = zip([-1, *there], [*there, shard_count(num, size)], strict=True)
    gone = [range(last + 1, shard) for last, shard in ends if shard - last > 1]
    absent = [run for shard in there for run in manifest.rows[shard].lacking(wanted_of(shard, num, size), size)]
    gaps = [f"the {what} {listed_runs(found)}" for what, found in (("shards", gone), ("samples", absent)) if found]
    if gaps:
        grown = f". It now states {num:,} samples, as one of the others does, not {before:,}" if before and num > before else ""
        raise PartlyDone(f"{store.name}: joined, but {' and '.join(gaps)} are missing; `igllm generate` renders them{grown}")
