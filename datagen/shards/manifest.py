"""The manifest of a data set: a line per shard, and the scenes that could not be rendered.

A writer publishes each shard in its own part, ``manifest.000012.jsonl``, so that writers of different shards never write the same file. A
part takes precedence over ``manifest.jsonl`` and ``failures.jsonl``; joining rewrites these two and removes the parts.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from msgspec import Meta, Struct

from datagen.errors import UserError
from datagen.io.declared import Count, Digest, as_declared
from datagen.io.json_text import decode_row
from datagen.io.ranges import runs
from datagen.samples.record import MAX_SEED
from datagen.shards.store import Store

STATEMENT = "dataset.json"
MANIFEST = "manifest.jsonl"
FAILURES = "failures.jsonl"
SOURCES = "sources.jsonl"  # of an import: a digest of the sources of each shard
MOST_BYTES = 1 << 25  # bytes of a manifest (about 250 per shard) or a part
LEAST_BYTES = 3 * tarfile.BLOCKSIZE  # of a sample in a tar: three files, each with a header
_PART = re.compile(r"manifest\.(\d{6,})\.jsonl")
_SHARD = re.compile(r"shard-(\d{6,12})\.tar")


@dataclass(frozen=True)
class Failure:
    """A scene that could not be rendered: two workers died or hung on it, or it caused a `UserError`."""

    index: Count
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)]
    key: str
    reason: str


@dataclass(frozen=True)
class ManifestRow:
    """A shard's line. ``labels`` is the SHA-256 of its samples' .py and .json, in order; ``missing`` are the indices it lacks."""

    name: str
    samples: Count
    bytes: Count
    sha256: Digest
    labels: Digest
    missing: tuple[Count, ...]

    def __post_init__(self) -> None:
        if shard_number(self.name) is None:
            raise ValueError(f"name is {self.name!r:.80}, but must be a shard's")
        if self.samples * LEAST_BYTES > self.bytes:
            raise ValueError(f"states {self.samples:,} samples in {self.bytes:,} bytes, and each takes {LEAST_BYTES:,} at least")

    @property
    def shard(self) -> int:
        number = shard_number(self.name)
        assert number is not None
        return number

    def fits(self, shard_size: int) -> bool:
        """Whether a shard of `shard_size` samples can hold the stated samples and lack the stated indices."""
        return self.samples + len(self.missing) <= shard_size and all(index in self._spanned(shard_size) for index in self.missing)

    def misfit(self, num: int, shard_size: int) -> str | None:
        """Why the line cannot be that of a shard in a data set of `num` samples; None if it can."""
        if self.shard * shard_size >= num:
            return f"a shard beyond the {num:,} samples of the data set"
        if self.samples + len(self.missing) > shard_size:
            return f"the manifest states {self.samples + len(self.missing):,} samples, more than the {shard_size:,} of a shard"
        if not self.fits(shard_size):
            return "the manifest states that it lacks samples of other shards"
        if self._spanned(shard_size).stop > num:
            return f"the manifest states samples beyond the {num:,} of the data set"
        return None

    def indices(self, shard_size: int) -> list[int]:
        """The indices of the samples in the shard, for a row that `fits`."""
        missing = set(self.missing)
        return [index for index in self._spanned(shard_size) if index not in missing]

    def lacking(self, wanted: range, shard_size: int) -> list[range]:
        """The `wanted` indices that the shard does not hold, as ranges, without iterating over those that it holds."""
        spanned = self._spanned(shard_size)
        gaps = [range(start, start + length) for start, length in runs(i for i in self.missing if i in wanted and i in spanned)]
        rest = range(max(spanned.stop, wanted.start), wanted.stop)
        if not rest:
            return gaps
        if gaps and gaps[-1].stop == rest.start:
            rest = range(gaps.pop().start, rest.stop)
        return [*gaps, rest]

    def _spanned(self, shard_size: int) -> range:
        """The range of indices that are held or known to be missing."""
        first = self.shard * shard_size
        return range(first, first + self.samples + len(set(self.missing)))


class SourceRow(Struct, frozen=True):
    """A line of ``sources.jsonl``: the SHA-256 of the sources from which an import made a shard."""

    name: str
    made_of: Digest


@dataclass
class Manifest:
    """Rows by shard, failures by index, the names of parts not yet joined, and messages about damaged lines."""

    rows: dict[int, ManifestRow] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def shard_name(shard: int) -> str:
    """The file name of a shard."""
    return f"shard-{shard:06d}.tar"


def shard_number(name: str) -> int | None:
    """The number of the shard with this file name; None for other names."""
    match = _SHARD.fullmatch(name)
    return int(match[1]) if match and shard_name(int(match[1])) == name else None


def wanted_of(shard: int, num: int, shard_size: int) -> range:
    """The indices of a shard in a complete data set of `num` samples."""
    return range(shard * shard_size, min((shard + 1) * shard_size, num))


def part_name(shard: int) -> str:
    """The file name of a shard's part of the manifest."""
    return f"manifest.{shard:06d}.jsonl"


def is_part(name: str) -> bool:
    """Whether a file name is that of a part of the manifest."""
    return _PART.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Whether a file name is one that a data set uses."""
    return name in (STATEMENT, MANIFEST, FAILURES, SOURCES) or is_part(name) or shard_number(name) is not None


def read_manifest(store: Store, names: Iterable[str]) -> Manifest:
    """The content of the manifest and of its parts among `names`.

    A damaged line is skipped and reported in ``problems``. A failure is kept only if a row lists its index as missing.
    """
    manifest = Manifest()
    manifest.parts = sorted(filter(is_part, names))
    for name in (MANIFEST, FAILURES, *manifest.parts):
        for number, line in enumerate((store.text(name, MOST_BYTES) or "").split("\n"), 1):
            if not line.strip():
                continue
            where = f"{name}, line {number}: damaged"
            try:
                content = decode_row(line, where)
                if name != FAILURES and "name" in content:
                    row = as_declared(content, ManifestRow, where)
                    manifest.rows[row.shard] = row
                else:
                    failure = as_declared(content, Failure, where)
                    manifest.failures[failure.index] = failure
            except UserError as error:
                manifest.problems.append(str(error))
    missing = {index for row in manifest.rows.values() for index in row.missing}
    manifest.failures = {index: failure for index, failure in sorted(manifest.failures.items()) if index in missing}
    return manifest


def write_part(store: Store, row: ManifestRow, failures: Iterable[Failure]) -> None:
    """Publish a shard: write its part with its row and a line for each failed scene."""
    store.write(part_name(row.shard), _text([asdict(row), *map(asdict, failures)]))


def join(store: Store) -> Manifest:
    """Rewrite manifest.jsonl and failures.jsonl with the content of all parts, then remove the parts. No other writer may be running."""
    manifest = read_manifest(store, store.sizes())
    _write_changed(store, MANIFEST, [asdict(row) for _, row in sorted(manifest.rows.items())])
    _write_changed(store, FAILURES, list(map(asdict, manifest.failures.values())))
    for name in manifest.parts:
        store.remove(name)
    return manifest


def _write_changed(store: Store, name: str, rows: list[dict[str, Any]]) -> None:
    data = _text(rows)
    if not data:
        store.remove(name)
    elif store.text(name, MOST_BYTES) != data.decode():
        store.write(name, data)


def _text(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def gather(store: Store) -> Manifest:
    """Join the manifest and remove unfinished files of dead runs. The caller must have locked the whole data set."""
    manifest = join(store)
    store.tidy(is_own)
    return manifest
