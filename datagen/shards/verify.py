"""Verification of a data set: every shard and sample is checked against the manifest and ``dataset.json``."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datagen.errors import UserError
from datagen.io.progress import progress
from datagen.io.ranges import counted, listed, listed_runs
from datagen.samples.settings import DatasetSettings
from datagen.shards.checks import check_shard, count_samples
from datagen.shards.manifest import (
    FAILURES,
    MANIFEST,
    SOURCES,
    STATEMENT,
    ManifestRow,
    is_part,
    read_manifest,
    shard_name,
    shard_number,
    wanted_of,
)
from datagen.shards.spool import Spool
from datagen.shards.store import Place, Store, open_store
from datagen.shards.writer import IMPORTED, read_statement, shard_count, spool_owner, stated_settings


@dataclass
class Verdict:
    """The result of a verification: a data set with ``problems`` is not whole; ``notes`` are harmless."""

    samples: int = 0
    expected: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(where: Place) -> Verdict:
    """Read a whole data set and return what is missing or damaged. `UserError` without a valid ``dataset.json`` of this format version."""
    store = open_store(where)
    sizes = store.sizes()
    statement = read_statement(store)
    settings = None if IMPORTED in statement else stated_settings(store, statement)
    num, size = statement["num"], statement["shard_size"]
    count = shard_count(num, size)
    manifest, spools = read_manifest(store, sizes), _spools(store, statement)
    verdict = Verdict(expected=num, problems=manifest.problems)
    # `num` comes from a file and may be huge: the loop visits only shards that are known, and absent ones are reported as ranges.
    there = {number for name in sizes if (number := shard_number(name)) is not None}
    known = sorted(shard for shard in {*manifest.rows, *there, *spools} if shard < count)
    for before, shard in zip([-1, *known], progress(known, len(known), "verifying shards"), strict=False):
        verdict.problems += _absent(before + 1, shard)
        name, waiting = shard_name(shard), spools.get(shard, "")
        row = manifest.rows.get(shard)
        if row is None:
            verdict.problems.append(f"{name}: {'it is not in the manifest' if shard in there else 'it is not there'}{waiting}")
            continue
        if problem := row.misfit(num, size):
            verdict.problems.append(f"{name}: {problem}")
            continue
        wanted = wanted_of(shard, num, size)
        absent = row.lacking(wanted, size) if name in sizes else []
        if absent:
            failed = [index for index in row.missing if index in wanted and index in manifest.failures]
            reason = f"; {listed(failed)} could not be rendered ({FAILURES})" if failed else ""
            verdict.problems.append(f"{name}: lacks the samples {listed_runs(absent)}{reason}{waiting}")
        found = _shard_problems(store, settings, row, sizes.get(name))
        verdict.problems += found
        verdict.samples += 0 if found else row.samples
    verdict.problems += _absent(known[-1] + 1 if known else 0, count)
    beyond = [row for shard, row in sorted(manifest.rows.items()) if shard >= count and row.name not in sizes]
    verdict.problems += [f"{row.name}: in the manifest, but {row.misfit(num, size)}" for row in beyond]
    _strangers(store, verdict, sizes, {shard_name(shard) for shard in known})
    return verdict


def _absent(first: int, end: int) -> list[str]:
    """A line about the shards from `first` up to `end`, of which nothing is there; empty if there are none."""
    if end - first > 1:
        return [f"{shard_name(first)} to {shard_name(end - 1)}: none of these {end - first:,} is there"]
    return [f"{shard_name(first)}: it is not there"] if first < end else []


def _spools(store: Store, statement: Mapping[str, Any]) -> dict[int, str]:
    """By shard, a note on the finished samples in its spool on this machine. Spools are only read: a running call may be writing them."""
    found, owner = {}, spool_owner(statement)
    for path in sorted(store.scratch.glob("*.spool")):
        if path.stem.isdigit() and (count := len(Spool(path, owner, mend=False))):
            found[int(path.stem)] = f" ({counted(count, 'finished sample')} in the spool)"
    return found


def _shard_problems(store: Store, settings: DatasetSettings | None, row: ManifestRow, size: int | None) -> list[str]:
    """The problems of a shard that is in the manifest. Without settings (an imported data set), its samples are only counted and hashed."""
    if size is None:
        return [f"{row.name}: it is not there"]
    if size != row.bytes:
        return [f"{row.name}: {size} bytes, not {row.bytes}"]
    if store.sha256(row.name) != row.sha256:
        return [f"{row.name}: damaged, its SHA-256 is not the manifest's"]
    try:
        return _sample_problems(store, settings, row)
    except (tarfile.TarError, ValueError) as error:
        return [f"{row.name}: not a readable tar of samples ({error})"]
    except UserError as error:
        return [str(error)]


def _sample_problems(store: Store, settings: DatasetSettings | None, row: ManifestRow) -> list[str]:
    if settings is None:
        count, labels = count_samples(store, row.name)
        as_stated = count == row.samples
    else:
        indices, labels = check_shard(store, settings, row.name)
        as_stated = indices == row.indices(settings.shard_size)
    if not as_stated:
        return [f"{row.name}: holds other samples than the manifest states"]
    return [] if labels == row.labels else [f"{row.name}: its labels are not those that the manifest states"]


def _strangers(store: Store, verdict: Verdict, sizes: dict[str, int], shards: set[str]) -> None:
    parts = [name for name in sizes if is_part(name)]
    if parts:
        be = "is" if len(parts) == 1 else "are"
        verdict.notes.append(f"{counted(len(parts), 'part')} of the manifest {be} not joined yet; `igllm merge` does it")
    for name in sizes:
        if name.endswith(".tar") and name not in shards:
            beyond = "a shard beyond the data set's number" if shard_number(name) is not None else "a tar that is none of its shards"
            verdict.problems.append(f"{name}: {beyond}, which readers would take in")
        elif name not in {STATEMENT, MANIFEST, FAILURES, SOURCES, *parts, *shards}:
            verdict.notes.append(f"{name}: none of the data set's files")
