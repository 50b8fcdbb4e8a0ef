"""Shards: WebDataset tars, written so that equal samples give equal bytes, and read at random through their offsets."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.files import atomic_file
from datagen.samples.record import read_photograph_record
from datagen.samples.sample import Sample, decode_code
from datagen.scene import Shot
from datagen.shards.archive import Archive, LooseArchive, TarArchive, open_tars
from datagen.shards.store import Place
from datagen.shards.tars import files_of_blocks, sample_extents


def sample_blocks(sample: Sample) -> bytes:
    """A sample as a tar holds it: its members with fixed metadata, padded."""
    blocks = []
    for suffix, data in sample.files().items():
        member = tarfile.TarInfo(sample.key + suffix)
        member.size, member.mode = len(data), 0o644  # time and owner stay zero
        plain = len(member.name.encode(errors="surrogateescape")) <= tarfile.LENGTH_NAME  # else a header of its own holds the name
        blocks += [member.tobuf(tarfile.USTAR_FORMAT if plain else tarfile.GNU_FORMAT), data, b"\0" * (-len(data) % tarfile.BLOCKSIZE)]
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
    files = files_of_blocks(blocks)
    return files[".py"] + files[".json"]


def write_shard(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples to a tar, atomically, members in the order given; the number of samples."""
    with atomic_file(path) as stream:
        return write_blocks(stream, map(sample_blocks, samples)).samples


def block_extents(stream: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Where the samples of a tar lie, by key: start and length of what `sample_blocks` gave. `tarfile.TarError` if it is damaged."""
    return {key: (start, length) for key, start, length in sample_extents(stream)}


def sample_of_blocks(key: str, blocks: bytes, where: str) -> Sample:
    """The inverse of `sample_blocks`; `UserError` naming `where` and `key` if it is damaged."""
    return Sample.from_files(key, files_of_blocks(blocks), where)


class Samples:
    """The samples of a data set in order, by key or by number: shards, or a folder of loose ``{key}.png``, ``.py`` and ``.json``."""

    def __init__(self, path: Place) -> None:
        """Only lists what is there: of tars, an index is made or found when a sample is first asked for."""
        self.path = path
        self.store, shards = open_tars(path)
        self._archive = TarArchive(self.store, shards) if shards else LooseArchive(self.store)

    @classmethod
    def of_shards(cls, shards: list[Path]) -> Samples:
        """The samples of these tars of one folder alone."""
        samples = cls(shards[0].parent)
        samples._archive = TarArchive(samples.store, [path.name for path in shards])
        return samples

    @cached_property
    def archive(self) -> Archive:
        """The samples by number; `UserError` if two have the same key."""
        if isinstance(self._archive, TarArchive):
            self._archive.refuse_repeats()
        return self._archive

    def files(self) -> Iterator[tuple[str, int]]:
        """Suffix and bytes of every file of every sample."""
        return ((suffix, size) for _, suffix, size, _ in self.archive.members())

    @property
    def keys(self) -> list[str]:
        return [self.archive.key(number) for number in range(len(self))]

    def __len__(self) -> int:
        return len(self.archive)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.archive.find(key) is not None

    def __iter__(self) -> Iterator[Sample]:
        return (self.at(number) for number in range(len(self)))

    def __getitem__(self, key: str) -> Sample:
        return self.at(self._number(key))

    def at(self, number: int) -> Sample:
        """The sample of that number, from 0."""
        return Sample.from_files(self.archive.key(number), self.archive.files(number), str(self.path))

    def code(self, key: str) -> str:
        """The graphics code of a sample, without decoding its image."""
        code = self.archive.files(self._number(key)).get(".py")
        if code is None:
            raise UserError(f"{self.path}: sample {key} lacks its .py")
        return decode_code(code, f"{self.path}: sample {key}")

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """How a sample was photographed, and its domain: all that re-rendering takes from a data set. Looks at nothing else."""
        number = self.archive.find(key)
        record = None if number is None else self.archive.files(number).get(".json")
        if record is None:
            raise UserError(f"{self.path}: there is no record of a sample {key}")
        content = read_photograph_record(record, f"{self.path}: the record of {key}")
        return Shot.from_json(content["shot"]), get_domain(content["domain"])

    def _number(self, key: str) -> int:
        number = self.archive.find(key)
        if number is None:
            raise UserError(f"{self.path}: there is no sample {key}")
        return number
