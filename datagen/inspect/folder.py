"""What a data set's folder says besides its samples: sizes on disk, statement, manifest, and whether a run is unfinished."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datagen.dataset import MANIFEST, SPOOL, STATEMENT
from datagen.errors import UserError
from datagen.files import read_json, read_jsonl
from datagen.shards import Samples


@dataclass
class FolderFacts:
    """Of a data set's folder. ``bytes`` is the size of its shards, or of its samples' loose files."""

    bytes: int = 0
    shards: int = 0
    files: Counter[str] = field(default_factory=Counter)
    """How many files (members) there are, by suffix."""
    file_bytes: Counter[str] = field(default_factory=Counter)
    settings: dict[str, str] = field(default_factory=dict)
    """``dataset.json``, nested names joined by dots; empty where there is none."""
    manifest: dict[str, Any] | None = None
    spooled: int = 0
    """Finished samples of unfinished shards."""
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        kinds = {suffix: {"files": n, "bytes": self.file_bytes[suffix]} for suffix, n in self.files.items()}
        disk = {"bytes": self.bytes, "shards": self.shards, "kinds": kinds}
        return {"disk": disk, "settings": self.settings, "manifest": self.manifest, "spooled": self.spooled}


def folder_facts(samples: Samples) -> FolderFacts:
    """The facts of the folder that `samples` were opened from. `UserError` if its ``dataset.json`` or manifest is damaged."""
    path, facts = samples.path, FolderFacts()
    shards = sorted(path.glob("*.tar"))
    facts.shards = len(shards)
    for suffix, size in _members(shards) if shards else _loose(samples):
        facts.files[suffix] += 1
        facts.file_bytes[suffix] += size
    facts.bytes = sum(shard.stat().st_size for shard in shards) if shards else facts.file_bytes.total()
    if (path / STATEMENT).exists():
        facts.settings = _settings(path / STATEMENT)
    if (path / MANIFEST).exists():
        _read_manifest(path / MANIFEST, {shard.name: shard.stat().st_size for shard in shards}, facts)
    if (path / SPOOL).is_dir():
        facts.spooled = sum(1 for _ in (path / SPOOL).glob("*.tar"))
        facts.problems.append(f"a run is unfinished: {facts.spooled:,} finished samples wait in {SPOOL} and are not counted here")
    return facts


def _members(shards: list[Path]) -> Iterator[tuple[str, int]]:
    """Suffix, from the first dot on as in WebDataset, and size of every member."""
    for shard in shards:
        with tarfile.open(shard, "r:") as tar:
            for entry in tar:
                _, dot, suffix = entry.name.rpartition("/")[2].partition(".")
                yield dot + suffix, entry.size


def _loose(samples: Samples) -> Iterator[tuple[str, int]]:
    """The same of the files that are named after a sample, whose key may have dots itself."""
    for file in samples.path.iterdir():
        cuts = [i for i, letter in enumerate(file.name) if letter == "." and file.name[:i] in samples]
        if cuts and file.is_file():
            yield file.name[cuts[-1] :], file.stat().st_size


def _settings(path: Path) -> dict[str, str]:
    statement = read_json(path)
    if not isinstance(statement, dict):
        raise UserError(f"{path}: damaged (a JSON object is expected)")
    return dict(_flat(statement))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)


def _read_manifest(path: Path, sizes: Mapping[str, int], facts: FolderFacts) -> None:
    """Sum up the manifest and note where it disagrees with the shards."""
    try:
        rows = {row["name"]: row for row in read_jsonl(path)}
        missing = [index for row in rows.values() for index in row.get("missing", [])]
        facts.manifest = {"shards": len(rows), "samples": sum(row["samples"] for row in rows.values()), "missing": missing}
        differing = [name for name, row in rows.items() if name in sizes and row["bytes"] != sizes[name]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {error})") from None
    complaints = {
        "are in the manifest but not there": sorted(rows.keys() - sizes.keys()),
        "are there but not in the manifest": sorted(sizes.keys() - rows.keys()),
        "have another size than the manifest says": sorted(differing),
    }
    facts.problems += [f"shards {complaint}: {', '.join(names)}" for complaint, names in complaints.items() if names]
    if missing:
        facts.problems.append(f"the manifest notes {len(missing):,} samples as missing")
