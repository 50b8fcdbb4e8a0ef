"""Shards: WebDataset tars, written so that equal samples give equal bytes, and read at random through their offsets."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from datagen.domain import Domain
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.files import atomic_file
from datagen.sample import SUFFIXES, Sample
from datagen.scene import Shot
from datagen.store import Place, Store, open_store


def sample_blocks(sample: Sample) -> bytes:
    """A sample as a tar holds it: its members with fixed metadata, padded."""
    blocks = []
    for suffix, data in sample.files().items():
        member = tarfile.TarInfo(sample.key + suffix)
        member.size, member.mode = len(data), 0o644  # time and owner stay zero
        blocks += [member.tobuf(tarfile.USTAR_FORMAT), data, b"\0" * (-len(data) % tarfile.BLOCKSIZE)]
    return b"".join(blocks)


@dataclass(frozen=True)
class Written:
    """What was written to a tar: how many samples and bytes, the tar's SHA-256, and that of the samples' .py and .json in order."""

    samples: int
    bytes: int
    sha256: str
    labels: str


def write_blocks(stream: IO[bytes], samples: Iterable[bytes]) -> Written:
    """Write samples, each as `sample_blocks` gives it, to a tar."""
    whole, labels, count, size = hashlib.sha256(), hashlib.sha256(), 0, 0
    for blocks in samples:
        stream.write(blocks)
        whole.update(blocks)
        labels.update(label_bytes(blocks))
        count, size = count + 1, size + len(blocks)
    end = b"\0" * (2 * tarfile.BLOCKSIZE + -(size + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE)
    stream.write(end)
    whole.update(end)
    return Written(count, size + len(end), whole.hexdigest(), labels.hexdigest())


def label_bytes(blocks: bytes) -> bytes:
    """The .py and the .json of a sample: what a repair must give again to the bit."""
    members = {_split(name)[1]: blocks[start : start + size] for name, _, start, size in tar_members(io.BytesIO(blocks))}
    return members[".py"] + members[".json"]


def write_shard(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples to a tar, atomically, members in the order given; the number of samples."""
    with atomic_file(path) as stream:
        return write_blocks(stream, map(sample_blocks, samples)).samples


def tar_members(stream: IO[bytes]) -> Iterator[tuple[str, int, int, int]]:
    """The members of a tar: name, where its header starts, where its data starts, and the size of that."""
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for entry in tar:
            yield entry.name, entry.offset, entry.offset_data, entry.size


def block_extents(stream: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Where the samples of a tar lie, by key: start and length of what `sample_blocks` gave. `tarfile.TarError` if it is damaged."""
    extents: dict[str, tuple[int, int]] = {}
    for name, header, start, size in tar_members(stream):
        key = _split(name)[0]
        first = extents[key][0] if key in extents else header
        extents[key] = (first, start + size + -size % tarfile.BLOCKSIZE - first)
    return extents


def sample_of_blocks(key: str, blocks: bytes, where: str) -> Sample:
    """The inverse of `sample_blocks`; `UserError` naming `where` and `key` if it is damaged."""
    files = {_split(name)[1]: blocks[start : start + size] for name, _, start, size in tar_members(io.BytesIO(blocks))}
    return Sample.from_files(key, files, where)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class _Member:
    store: Store
    name: str
    offset: int
    size: int

    def read(self) -> bytes:
        data = self.store.read(self.name, self.offset, self.size)
        if len(data) != self.size:
            raise UserError(f"{self.store.at(self.name)}: ends early; generate the data set again to repair it")
        return data


class Samples:
    """The samples of a data set by key, in order: shards, or a folder of loose ``{key}.png``, ``.py`` and ``.json``."""

    def __init__(self, path: Place) -> None:
        """Only lists what is there: tars are read through when a key is first asked for."""
        self.path, self.store = path, open_store(path)
        self._sizes = self.store.sizes()
        self._shards = [name for name in self._sizes if name.endswith(".tar")]
        if not self._shards:
            _ = self._members

    @classmethod
    def of_shards(cls, shards: list[Path]) -> Samples:
        """The samples of these tars of one folder alone."""
        samples = cls(shards[0].parent)
        samples._shards = [path.name for path in shards]
        return samples

    @cached_property
    def _members(self) -> dict[str, dict[str, _Member]]:
        members = _index_shards(self.store, self._shards) if self._shards else _index_loose(self.store, self._sizes)
        if not members:
            raise UserError(f"{self.path}: no samples here (neither *.tar shards nor {{key}}.png, .py and .json)")
        return members

    def files(self) -> Iterator[tuple[str, int]]:
        """Suffix and bytes of every file of every sample."""
        return ((suffix, member.size) for members in self._members.values() for suffix, member in members.items())

    @property
    def keys(self) -> list[str]:
        return list(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[Sample]:
        return (self[key] for key in self._members)

    def __getitem__(self, key: str) -> Sample:
        if key not in self._members:
            raise UserError(f"{self.path}: there is no sample {key}")
        files = {suffix: member.read() for suffix, member in self._members[key].items() if suffix in SUFFIXES}
        return Sample.from_files(key, files, str(self.path))

    def code(self, key: str) -> str:
        """The graphics code of a sample, without reading its image."""
        member = self._members[key].get(".py")
        if member is None:
            raise UserError(f"{self.path}: sample {key} lacks its .py")
        return member.read().decode()

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """How a sample was photographed, and its domain: all that re-rendering takes from a data set. Reads nothing else of the sample."""
        member = self._members.get(key, {}).get(".json")
        if member is None:
            raise UserError(f"{self.path}: there is no record of a sample {key}")
        try:
            record = json.loads(member.read())
            return Shot.from_json(record["shot"]), get_domain(record["domain"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{self.path}: the record of {key} is damaged ({type(error).__name__}: {error})") from None


def _index_shards(store: Store, shards: list[str]) -> dict[str, dict[str, _Member]]:
    index: dict[str, dict[str, _Member]] = {}
    for shard in shards:
        try:
            with store.open(shard) as stream:
                for name, _, offset, size in tar_members(stream):
                    key, suffix = _split(name)
                    if suffix in index.setdefault(key, {}):
                        raise UserError(f"{store.at(shard)}: {name} is in the data set twice")
                    index[key][suffix] = _Member(store, shard, offset, size)
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{store.at(shard)}: not a readable tar ({error}); generate the data set again to repair it") from None
    return index


def _index_loose(store: Store, sizes: Mapping[str, int]) -> dict[str, dict[str, _Member]]:
    index: dict[str, dict[str, _Member]] = {}
    for record in sorted(name for name in sizes if name.endswith(".json")):
        key = record.removesuffix(".json")
        there = {suffix: _Member(store, key + suffix, 0, sizes[key + suffix]) for suffix in SUFFIXES if key + suffix in sizes}
        if ".py" in there:  # which tells a sample's record from any other JSON
            index[key] = there
    return index


def _split(name: str) -> tuple[str, str]:
    """A member's key and suffix as WebDataset splits them: at the first dot of the base name."""
    key, dot, suffix = name.rpartition("/")[2].partition(".")
    return key, dot + suffix
