"""Facts of a data set's folder apart from its samples: sizes of files, settings in ``dataset.json``, the manifest, unfinished work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from datagen.domains.splits import Split
from datagen.errors import UserError
from datagen.io.json_text import decode_json
from datagen.shards.manifest import STATEMENT, Manifest, read_manifest
from datagen.shards.reader import Samples
from datagen.shards.spool import Spool
from datagen.shards.writer import IMPORTED, NotOurs, read_statement, spool_owner, stated_settings


@dataclass
class FolderFacts:
    """Facts of a data set's folder. ``bytes`` is the size of its shards, or of the loose files of its samples."""

    bytes: int = 0
    shards: int = 0
    files: Counter[str] = field(default_factory=Counter)
    """The number of the samples' files, by suffix."""
    file_bytes: Counter[str] = field(default_factory=Counter)
    settings: dict[str, str] = field(default_factory=dict)
    """The fields of ``dataset.json``, nested names joined by dots; empty without the file."""
    rules: Split | None = None
    """The split that ``dataset.json`` states, which limits the scenes; None if it states none."""
    manifest: dict[str, Any] | None = None
    spooled: int = 0
    """The number of finished samples of unfinished shards."""
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        kinds = {suffix: {"files": n, "bytes": self.file_bytes[suffix]} for suffix, n in self.files.items()}
        disk = {"bytes": self.bytes, "shards": self.shards, "kinds": kinds}
        return {"disk": disk, "settings": self.settings, "manifest": self.manifest, "spooled": self.spooled}


def folder_facts(samples: Samples) -> FolderFacts:
    """The facts of the folder that `samples` were opened from. `UserError` if its ``dataset.json`` is damaged."""
    store, facts = samples.store, FolderFacts()
    sizes = store.sizes()
    shards = {name: size for name, size in sizes.items() if name.endswith(".tar")}
    facts.shards = len(shards)
    for _, suffix, size, _ in samples.members():
        facts.files[suffix] += 1
        facts.file_bytes[suffix] += size
    facts.bytes = sum(shards.values()) if shards else facts.file_bytes.total()
    statement = store.text(STATEMENT)
    if statement is not None:
        facts.settings = _settings(statement, store.at(STATEMENT))
        with suppress(NotOurs):
            stated = read_statement(store)
            facts.rules = None if IMPORTED in stated else stated_settings(store, stated).allowed
    manifest = read_manifest(store, sizes)
    if manifest.rows or manifest.problems:
        _compare(manifest, shards, facts)
    if store.scratch.is_dir():
        owner = spool_owner(read_statement(store)) if statement is not None else b""
        facts.spooled = sum(len(Spool(path, owner, mend=False)) for path in store.scratch.glob("*.spool"))
        facts.problems.append(f"a run is unfinished: {facts.spooled:,} finished samples wait in {store.scratch} and are not counted here")
    return facts


def _settings(text: str, where: str) -> dict[str, str]:
    try:
        statement = decode_json(text)
    except ValueError as error:
        raise UserError(f"{where}: damaged ({error})") from None
    if not isinstance(statement, dict):
        raise UserError(f"{where}: damaged (a JSON object is expected)")
    return dict(_flat(statement))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)


def _compare(manifest: Manifest, sizes: Mapping[str, int], facts: FolderFacts) -> None:
    """Sum up the manifest, and note each difference between it and the shards."""
    rows = {row.name: row for row in manifest.rows.values()}
    missing = [index for row in rows.values() for index in row.missing]
    facts.manifest = {"shards": len(rows), "samples": sum(row.samples for row in rows.values()), "missing": missing}
    complaints = {
        "are in the manifest but not there": sorted(rows.keys() - sizes.keys()),
        "are there but not in the manifest": sorted(sizes.keys() - rows.keys()),
        "have another size than the manifest says": sorted(name for name, row in rows.items() if sizes.get(name, row.bytes) != row.bytes),
    }
    facts.problems += manifest.problems
    facts.problems += [f"shards {complaint}: {', '.join(names)}" for complaint, names in complaints.items() if names]
    if missing:
        facts.problems.append(f"the manifest notes {len(missing):,} samples as missing")
