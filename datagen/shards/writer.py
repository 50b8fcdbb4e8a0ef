"""The writer of a data set: its statement, and the shards that a run has locked.

Shard k of S samples holds the indices [k S, (k + 1) S). Finished samples wait in the shard's spool until the last one arrives; then the
shard is built beside the rendering, put in place whole, and published by its part of the manifest. A run begins by checking the shards in
the manifest; samples of damaged or missing ones are rendered again.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import msgspec

from datagen.domains.base import PaintedDomain
from datagen.errors import UserError
from datagen.io.declared import MAX_INDEX, Count, as_declared
from datagen.io.files import atomic_file, removed
from datagen.io.json_text import decode_json
from datagen.io.locks import lock_shards, lock_statement
from datagen.io.progress import progress
from datagen.samples.record import Name, Side
from datagen.samples.sample import FORMAT_VERSION, EncodedSample, Sample
from datagen.samples.settings import DatasetSettings, SettingsRecord, ShardSize
from datagen.scene import Quality
from datagen.shards.checks import check_shard
from datagen.shards.manifest import STATEMENT, Failure, ManifestRow, gather, is_own, part_name, read_manifest, shard_name, write_part
from datagen.shards.reader import block_extents, label_bytes, sample_blocks, write_blocks
from datagen.shards.spool import Spool
from datagen.shards.store import Place, Store, check_place, open_store

IMPORTED = "imported_from"  # the field of dataset.json that marks an imported data set, which has no settings
SHARDS_WAITING = 4  # complete spools that may wait to be written before rendering pauses


class DatasetStatement(msgspec.Struct):
    """The fields of every ``dataset.json``; a generated data set adds its settings (`SettingsRecord`)."""

    format_version: int
    num: Annotated[int, msgspec.Meta(ge=1, le=MAX_INDEX)]
    shard_size: ShardSize
    versions: dict[str, str]


class NotOurs(UserError):
    """A ``dataset.json`` of another format version, or of another program."""


class ImportedStatement(DatasetStatement):
    """All of the ``dataset.json`` of an imported data set."""

    domain: str
    split: Name | None
    seed: None
    width: Side
    height: Side
    quality: Quality
    min_objects: Count
    max_objects: Count
    imported_from: str
    shot_in_code: bool | msgspec.UnsetType = msgspec.UNSET


def package_versions(blender: bool = True) -> dict[str, str]:
    """The versions that a data set records, with bpy's if `blender`; ``none`` for a package that is not installed."""
    found = {"python": platform.python_version()}
    for name in ("igllm", *(["bpy"] if blender else []), "numpy", "pillow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def shard_count(num: int, shard_size: int) -> int:
    """How many shards hold `num` samples."""
    return -(-num // shard_size)


@dataclass
class _Shard:
    """One shard of a writer: its row of the manifest, the indices in its valid tar (``held``), and those still to be rendered
    (``left``)."""

    number: int
    row: ManifestRow | None
    target: range
    held: set[int]
    spool: Spool
    failures: dict[int, Failure] = field(default_factory=dict)
    left: set[int] = field(init=False)

    def __post_init__(self) -> None:
        if not set(self.spool) - self.held:
            self.spool.remove()
        self.left = set(self.target) - self.held - set(self.spool)


class DatasetWriter:
    """The writer of the shards of a data set that a run has locked (see `open_dataset`)."""

    def __init__(self, store: Store, settings: DatasetSettings, num: int, shards: Iterable[int] | None, owner: bytes) -> None:
        """``owner`` is the `spool_owner` of the data set."""
        self.store, self.settings, self._num, self._whole, self._owner = store, settings, num, shards is None, owner
        if self._whole:
            self._forget_others()
            store.tidy(is_own)
        self._sizes = store.sizes()
        numbers = list(range(shard_count(num, settings.shard_size)) if shards is None else shards)
        rows = read_manifest(store, {part_name(number) for number in numbers} & self._sizes.keys()).rows
        self._rows = {number: row for number, row in rows.items() if row.fits(settings.shard_size)}
        there = {number for number in numbers if shard_name(number) in self._sizes}
        trusted = {number: self._trusted(number) for number in progress(sorted(there), len(there), "checking shards")} if there else {}
        self._shards = {number: self._open(number, trusted.get(number, set())) for number in numbers}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._waiting: list[Future[None]] = []
        for shard in self._shards.values():  # spooled whole by an earlier run, but not yet written
            if len(shard.spool) and not shard.left:
                self._finish_later(shard)

    def _forget_others(self) -> None:
        """Remove spools without samples of this data set: they are left from another one that was begun here."""
        with _explaining_disk_errors(self.store):
            for path in self.store.scratch.glob("*.spool"):
                spool = Spool(path, self._owner)
                if not len(spool):
                    spool.remove()

    def missing(self) -> list[int]:
        """The indices that are still to be rendered."""
        return sorted(index for shard in self._shards.values() for index in shard.left)

    def put(self, outcome: Sample | EncodedSample | Failure) -> None:
        """Spool a finished sample or record a failure; the last outcome of a shard starts its writing.

        Raises the error of an earlier shard that could not be written.
        """
        self._surface(SHARDS_WAITING)
        index = outcome.index if isinstance(outcome, Failure) else self.settings.index(outcome.key)
        shard = self._shards[index // self.settings.shard_size]
        if isinstance(outcome, Failure):
            shard.failures[index] = outcome
        else:
            with _explaining_disk_errors(self.store):
                shard.spool.put(index, sample_blocks(outcome))
        shard.left.discard(index)
        if not shard.left:
            self._finish_later(shard)

    def close(self) -> list[Failure]:
        """Wait until every shard is written and return the failures; a writer of the whole data set also joins its manifest."""
        self._surface(0)
        if self._whole:
            check_statement_there(self.store)
            gather(self.store)
        return [failure for shard in self._shards.values() for _, failure in sorted(shard.failures.items())]

    def stop(self) -> None:
        """Finish the shard that is being written; leave those that wait to the next run."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _finish_later(self, shard: _Shard) -> None:
        self._waiting.append(self._thread.submit(self._finish, shard))

    def _surface(self, allowed: int) -> None:
        """Wait while more than `allowed` shards are unwritten, and raise the errors of those that are done."""
        while self._waiting and (len(self._waiting) > allowed or self._waiting[0].done()):
            self._waiting.pop(0).result()

    def _open(self, number: int, held: set[int]) -> _Shard:
        size, row = self.settings.shard_size, self._rows.get(number)
        known = 0 if row is None else row.samples + len(row.missing)
        target = range(number * size, max(min((number + 1) * size, self._num), number * size + min(known, size)))
        with _explaining_disk_errors(self.store):
            return _Shard(number, row, target, held, Spool(self.store.scratch / f"{number:06d}.spool", self._owner))

    def _trusted(self, number: int) -> set[int]:
        """The indices in a shard's tar if it matches its row of the manifest, else none; a valid tar without a row is adopted.

        The SHA-256 is compared only if the tar is local or will be rewritten with more samples.
        """
        row, name = self._rows.get(number), shard_name(number)
        if row is None:
            row = self._adopt(number)
            return set() if row is None else set(row.indices(self.settings.shard_size))
        if self._sizes[name] != row.bytes:
            return set()
        held = set(row.indices(self.settings.shard_size))
        end = min((number + 1) * self.settings.shard_size, self._num)
        rewritten = len(held) < end - number * self.settings.shard_size
        if (self.store.near or rewritten) and self.store.sha256(name) != row.sha256:
            return set()
        return held if not rewritten or self._keys(name) == set(map(self.settings.key, held)) else set()

    def _keys(self, name: str) -> set[str]:
        """The keys of a tar's samples; none if the tar is damaged."""
        try:
            with self.store.open(name) as stream:
                return set(block_extents(stream))
        except tarfile.TarError:
            return set()

    def _adopt(self, number: int) -> ManifestRow | None:
        """Add a row for a tar without one: a run died before it wrote the row, or the manifest was lost. None if the tar is not valid."""
        name, size = shard_name(number), self.settings.shard_size
        try:
            indices, labels = check_shard(self.store, self.settings, name)
        except (UserError, tarfile.TarError, ValueError, KeyError):
            return None
        if sorted(indices) != indices or not set(indices) <= set(range(number * size, (number + 1) * size)):
            return None
        missing = tuple(sorted(set(range(number * size, indices[-1] + 1 if indices else 0)) - set(indices)))
        row = ManifestRow(name, len(indices), self._sizes[name], self.store.sha256(name), labels, missing)
        self._rows[number] = row
        write_part(self.store, row, [])
        return row

    def _finish(self, shard: _Shard) -> None:
        check_statement_there(self.store)
        have = shard.held | set(shard.spool)
        missing = tuple(sorted(set(shard.target) - have))
        with _explaining_disk_errors(self.store):
            if shard.row is None or have != set(shard.row.indices(self.settings.shard_size)) or not shard.held:
                row = self._build(shard, sorted(have), missing)
            else:
                row = replace(shard.row, missing=missing)
            write_part(self.store, row, (failure for _, failure in sorted(shard.failures.items())))
            shard.spool.remove()

    def _build(self, shard: _Shard, have: list[int], missing: tuple[int, ...]) -> ManifestRow:
        """Build a shard in the scratch folder and put it in place; `UserError` if samples that it held before now have other labels."""
        name = shard_name(shard.number)
        built, again = self.store.scratch / name, hashlib.sha256()
        before = set() if shard.row is None else set(shard.row.indices(self.settings.shard_size))

        def samples() -> Iterator[bytes]:
            for index, blocks in zip(have, self._blocks(shard, have), strict=True):
                if index in before:
                    again.update(label_bytes(blocks))
                yield blocks

        built.parent.mkdir(exist_ok=True)
        try:
            with atomic_file(built) as stream:
                written = write_blocks(stream, samples())
            if shard.row is not None and before <= set(have) and again.hexdigest() != shard.row.labels:
                raise UserError(
                    f"{self.store.at(name)}: damaged, and rendered again it has other labels than its manifest states, so it is left as "
                    "it is; was the data set begun by another version of igllm? Render it anew in another folder"
                )
            self.store.put(built, name)
        finally:
            built.unlink(missing_ok=True)
        return ManifestRow(name, written.samples, written.bytes, written.sha256, written.labels, missing)

    def _blocks(self, shard: _Shard, have: list[int]) -> Iterator[bytes]:
        if not shard.held:
            yield from map(shard.spool.read, have)
            return
        with self.store.open(shard_name(shard.number)) as stream:
            extents = block_extents(stream)
            for index in have:
                if index in shard.held:
                    start, length = extents[self.settings.key(index)]
                    stream.seek(start)
                    yield stream.read(length)
                else:
                    yield shard.spool.read(index)


@contextmanager
def open_dataset(
    where: Place, settings: DatasetSettings, num: int, shards: Iterable[int] | None = None, *, device: str = "CPU"
) -> Iterator[DatasetWriter]:
    """Create a data set, or open one begun with the same settings, with an exclusive lock on these shards (None: all).

    `UserError` if another data set is there, or if another run has locked one of the shards.
    """
    check_place(where)
    store, statement = open_store(where), state(settings, num, device)
    store.make()
    with lock_shards(store.lock, store.name, shards):
        enter(store, statement)
        writer = DatasetWriter(store, settings, num, shards, spool_owner(statement))
        try:
            yield writer
        finally:
            writer.stop()


def state(settings: DatasetSettings, num: int, device: str) -> dict[str, Any]:
    """The content of ``dataset.json``; `device` is the kind of device that renders."""
    settings.check_num(num)
    versions = package_versions(blender=not isinstance(settings.resolved_domain, PaintedDomain))
    return {"format_version": FORMAT_VERSION, **settings.to_json(), "num": num, "device": device, "versions": versions}


def spool_owner(statement: Mapping[str, Any]) -> bytes:
    """A digest of the part of a data set's statement on which the pixels and labels of its samples depend."""
    facts = {**statement, "num": None, "versions": statement["versions"].get("bpy")}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).digest()


def enter(store: Store, statement: Mapping[str, Any]) -> None:
    """Write ``dataset.json``, or raise the number of samples in the existing one to a larger one; `UserError` if anything else differs."""
    with lock_statement(store.lock), _explaining_disk_errors(store):
        if not is_begun(store):
            _write_statement(store, statement)
            return
        there = read_statement(store)
        _agree(store, there, statement)
        if statement["num"] > there["num"]:
            _write_statement(store, {**there, "num": statement["num"]})


def is_begun(store: Store) -> bool:
    """Whether a data set is there. `UserError` if tars are there without one."""
    sizes = store.sizes()
    if STATEMENT not in sizes and any(name.endswith(".tar") for name in sizes):
        raise UserError(f"{store.name}: holds tars but no {STATEMENT}, so it is not a data set of ours; choose another folder")
    return STATEMENT in sizes


def check_statement_there(store: Store) -> None:
    """Raise `UserError` if a data set was removed while it is being written: without its statement, no run could resume it."""
    if store.text(STATEMENT) is None:
        raise removed(store.name)


def _agree(store: Store, there: Mapping[str, Any], statement: Mapping[str, Any]) -> None:
    """Raise `UserError` unless the existing statement `there` has the settings, device and bpy version of `statement`."""
    if IMPORTED not in there:
        stated_settings(store, there)  # checks the types: true equals 1 in the comparison below
    for name in (setting.name for setting in fields(DatasetSettings)):
        began, asked = ({"views": 1, **stated}.get(name) for stated in (there, statement))  # which states no views if they are 1
        if began != asked:
            raise UserError(
                f"{store.name}: was begun with {name} {began!r}, not {asked!r}; choose another folder or give the same settings"
            )
    if there.get("device") != statement["device"]:
        raise UserError(
            f"{store.name}: was begun on {there.get('device')}, not {statement['device']}, which renders other pixels: choose another "
            "folder or --device"
        )
    ours, theirs = statement["versions"].get("bpy"), there["versions"].get("bpy")
    if theirs != ours:
        raise UserError(f"{store.name}: was begun with bpy {theirs}, which renders other pixels than {ours}; choose another folder")


def read_statement(store: Store) -> Mapping[str, Any]:
    """A data set's ``dataset.json``, checked against `ImportedStatement`, or against `Statement` and `SettingsRecord`. `UserError` if it is
    missing or damaged, `NotOurs` if it has another format version."""
    text, place = store.text(STATEMENT), store.at(STATEMENT)
    if text is None:
        raise UserError(f"{place}: there is no such file, so this is not a data set of ours")
    try:
        statement = decode_json(text)
    except ValueError as error:
        raise UserError(f"{place}: damaged ({error}); put it back from a copy, or generate into another folder") from None
    found = statement.get("format_version") if isinstance(statement, dict) else None
    if found != FORMAT_VERSION:
        raise NotOurs(f"{place}: format version {found!r}, but this igllm reads version {FORMAT_VERSION}")
    try:
        for kind in (ImportedStatement,) if IMPORTED in statement else (DatasetStatement, SettingsRecord):
            as_declared(statement, kind, f"{place}: damaged")
    except UserError as error:
        raise UserError(f"{error}; put it back from a copy, or generate into another folder") from None
    return statement


def stated_settings(store: Store, statement: Mapping[str, Any]) -> DatasetSettings:
    """The settings in a statement; `UserError` if they are invalid."""
    return DatasetSettings.from_json(statement, store.at(STATEMENT))


def _write_statement(store: Store, statement: Mapping[str, Any]) -> None:
    store.write(STATEMENT, (json.dumps(statement, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def _explaining_disk_errors(store: Store) -> Iterator[None]:
    """Turn an `OSError`, such as that of a full disk, into a `UserError` that says how to go on."""
    try:
        yield
    except OSError as error:
        if not store.lock.exists():
            raise removed(store.name) from error
        where = error.filename or store.name
        raise UserError(f"{where}: {error.strerror or error}; what is finished is kept: call it again to go on") from error
