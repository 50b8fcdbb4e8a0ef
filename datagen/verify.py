"""Whether a data set is whole: every shard and sample against the manifest and ``dataset.json``."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from datagen.checks import check_shard
from datagen.dataset import IMPORTED, read_statement, shard_count, stated_settings
from datagen.errors import UserError
from datagen.manifest import FAILURES, MANIFEST, STATEMENT, Row, is_part, read_manifest, shard_name, shard_number
from datagen.progress import progress
from datagen.ranges import counted, told
from datagen.settings import DatasetSettings
from datagen.spool import Spool
from datagen.store import Place, Store, open_store


@dataclass
class Verdict:
    """What was found: ``problems`` keep a data set from being whole, ``notes`` do not."""

    samples: int = 0
    expected: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.problems


def verify(where: Place) -> Verdict:
    """Read all of a data set and tell what is missing or damaged. `UserError` if it is none, or of another format version."""
    store = open_store(where)
    sizes = store.sizes()
    statement = read_statement(store)
    settings = None if IMPORTED in statement else stated_settings(store, statement)
    size = settings.shard_size if settings else int(statement["shard_size"])
    manifest = read_manifest(store, sizes)
    verdict = Verdict(expected=statement["num"], problems=manifest.problems)
    shards = range(shard_count(verdict.expected, size))
    for shard in _by_samples(shards, size, verdict.expected):
        row, name = manifest.rows.get(shard), shard_name(shard)
        wanted = range(shard * size, min((shard + 1) * size, verdict.expected))
        if row is None:
            there = "it is not in the manifest" if name in sizes else "it is not there"
            verdict.problems.append(f"{name}: {there}" + _waiting(store, shard))
            continue
        absent = sorted(set(wanted) - set(row.indices(size)))
        if absent:
            failed = [index for index in absent if index in manifest.failures]
            reason = f"; {told(failed)} could not be rendered ({FAILURES})" if failed else ""
            verdict.problems.append(f"{name}: lacks the samples {told(absent)}{reason}" + _waiting(store, shard))
        found = _shard_problems(store, settings, row, sizes.get(name))
        verdict.problems += found
        verdict.samples += 0 if found else row.samples
    _strangers(store, verdict, sizes, {shard_name(shard) for shard in {*shards, *manifest.rows}})
    return verdict


def _by_samples(shards: range, size: int, num: int) -> Iterator[int]:
    """The shards, while the progress tells of samples."""
    last = None
    for index in progress(range(num), num, "verify"):
        if index // size != last:
            last = index // size
            yield shards[last]


def _shard_problems(store: Store, settings: DatasetSettings | None, row: Row, size: int | None) -> list[str]:
    """What is wrong with a shard that the manifest states; of imported ones, which no settings made, only the bytes are known."""
    if size is None:
        return [f"{row.name}: it is not there"]
    if size != row.bytes:
        return [f"{row.name}: {size} bytes, not {row.bytes}"]
    if store.sha256(row.name) != row.sha256:
        return [f"{row.name}: damaged, its SHA-256 is not the manifest's"]
    try:
        return _sample_problems(store, settings, row) if settings else []
    except (tarfile.TarError, ValueError) as error:
        return [f"{row.name}: not a readable tar of samples ({error})"]
    except UserError as error:
        return [str(error)]


def _sample_problems(store: Store, settings: DatasetSettings, row: Row) -> list[str]:
    indices, labels = check_shard(store, settings, row.name)
    if indices != row.indices(settings.shard_size):
        return [f"{row.name}: holds other samples than the manifest states"]
    return [] if labels == row.labels else [f"{row.name}: its labels are not those that the manifest states"]


def _waiting(store: Store, shard: int) -> str:
    """How many finished samples of a shard wait on this machine. Only looks: the run that writes them may be at work."""
    count = len(Spool(store.scratch / f"{shard:06d}.spool", mend=False))
    return f" ({counted(count, 'finished sample')} in the spool)" if count else ""


def _strangers(store: Store, verdict: Verdict, sizes: dict[str, int], shards: set[str]) -> None:
    parts = [name for name in sizes if is_part(name)]
    if parts:
        be = "is" if len(parts) == 1 else "are"
        verdict.notes.append(f"{counted(len(parts), 'part')} of the manifest {be} not joined yet; `igllm merge` does it")
    for name in sizes:
        if name.endswith(".tar") and name not in shards:
            beyond = "a shard beyond the data set's number" if shard_number(name) is not None else "a tar that is none of its shards"
            verdict.problems.append(f"{name}: {beyond}, which readers would take in")
        elif name not in {STATEMENT, MANIFEST, FAILURES, *parts, *shards}:
            verdict.notes.append(f"{name}: none of the data set's files")
