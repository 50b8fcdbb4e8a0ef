"""What the manifest of a data set says: a line a shard, and the scenes that could not be rendered.

A writer publishes each shard with a part of its own, ``manifest.000012.jsonl``, so that writers of other shards need not know
of it. A part outweighs ``manifest.jsonl`` and ``failures.jsonl``; joining writes those two anew and removes the parts.
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
SOURCES = "sources.jsonl"  # of an import: what each shard was made of
MOST_BYTES = 1 << 25  # of a manifest, which has some 250 a shard, or of a part of one
LEAST_BYTES = 3 * tarfile.BLOCKSIZE  # of a sample in a tar: the headers of its three files
_PART = re.compile(r"manifest\.(\d{6,})\.jsonl")
_SHARD = re.compile(r"shard-(\d{6,12})\.tar")


@dataclass(frozen=True)
class Failure:
    """A scene that could not be rendered: it killed Blender twice, or was refused."""

    index: Count
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)]
    key: str
    reason: str


@dataclass(frozen=True)
class Row:
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
        """Whether a shard of that size can hold what the line states."""
        return self.samples + len(self.missing) <= shard_size and all(index in self._spanned(shard_size) for index in self.missing)

    def misfit(self, num: int, shard_size: int) -> str | None:
        """Why a data set of `num` samples has no room for what the line states; None if it has."""
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
        """The indices of the samples that a shard holds which `fits`."""
        missing = set(self.missing)
        return [index for index in self._spanned(shard_size) if index not in missing]

    def lacking(self, wanted: range, shard_size: int) -> list[range]:
        """Which of the `wanted` indices a shard does not hold, as runs, without going through those that it does."""
        spanned = self._spanned(shard_size)
        gaps = [range(start, start + length) for start, length in runs(i for i in self.missing if i in wanted and i in spanned)]
        rest = range(max(spanned.stop, wanted.start), wanted.stop)
        if not rest:
            return gaps
        if gaps and gaps[-1].stop == rest.start:
            rest = range(gaps.pop().start, rest.stop)
        return [*gaps, rest]

    def _spanned(self, shard_size: int) -> range:
        """The indices from the first to the last that is held or known to be missing."""
        first = self.shard * shard_size
        return range(first, first + self.samples + len(set(self.missing)))


class Source(Struct, frozen=True):
    """A line of ``sources.jsonl``: the SHA-256 of what an import made a shard of."""

    name: str
    made_of: Digest


@dataclass
class Manifest:
    """Rows by shard, failures by index, the names of parts not yet joined, and what could not be read."""

    rows: dict[int, Row] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def shard_name(shard: int) -> str:
    """The file name of a shard."""
    return f"shard-{shard:06d}.tar"


def shard_number(name: str) -> int | None:
    """The shard that a file name tells; None if it is not a shard's."""
    match = _SHARD.fullmatch(name)
    return int(match[1]) if match and shard_name(int(match[1])) == name else None


def wanted_of(shard: int, num: int, shard_size: int) -> range:
    """The indices that a shard holds in a whole data set of `num` samples."""
    return range(shard * shard_size, min((shard + 1) * shard_size, num))


def part_name(shard: int) -> str:
    """The file name of a shard's part of the manifest."""
    return f"manifest.{shard:06d}.jsonl"


def is_part(name: str) -> bool:
    """Whether a file name is that of a part of the manifest."""
    return _PART.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Whether a file name is that of a file which makes up a data set."""
    return name in (STATEMENT, MANIFEST, FAILURES, SOURCES) or is_part(name) or shard_number(name) is not None


def read_manifest(store: Store, names: Iterable[str]) -> Manifest:
    """All that the manifest and its parts say. A line that cannot be read is told of, not trusted: its shard is as one unknown."""
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
                    row = as_declared(content, Row, where)
                    manifest.rows[row.shard] = row
                else:
                    failure = as_declared(content, Failure, where)
                    manifest.failures[failure.index] = failure
            except UserError as error:
                manifest.problems.append(str(error))
    missing = {index for row in manifest.rows.values() for index in row.missing}
    manifest.failures = {index: failure for index, failure in sorted(manifest.failures.items()) if index in missing}
    return manifest


def write_part(store: Store, row: Row, failures: Iterable[Failure]) -> None:
    """Publish a shard: its row, and a line for each scene that failed."""
    store.write(part_name(row.shard), _text([asdict(row), *map(asdict, failures)]))


def join(store: Store) -> Manifest:
    """Write manifest.jsonl and failures.jsonl from all that is known, and remove the parts. No other writer may be at work."""
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
    """Join the manifest, and remove what runs that died left. For one who holds the whole data set."""
    manifest = join(store)
    store.tidy(is_own)
    return manifest
