"""Shards: WebDataset tars, written so that equal samples give equal bytes, and read in any order through an index of offsets."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.files import atomic_file
from datagen.samples.record import read_photograph_record
from datagen.samples.sample import EncodedSample, Sample, decode_code
from datagen.scene import Shot
from datagen.shards.layouts import CACHE_BYTES, Layout, open_layout, open_tars
from datagen.shards.store import Place
from datagen.shards.tars import files_of_blocks, sample_extents

LABELS = (".py", ".json")


def sample_blocks(sample: Sample | EncodedSample) -> bytes:
    """A sample as a tar holds it: its members with fixed metadata, padded."""
    blocks = []
    for suffix, data in sample.files().items():
        member = tarfile.TarInfo(sample.key + suffix)
        member.size, member.mode = len(data), 0o644  # time and owner stay zero
        plain = len(member.name.encode(errors="surrogateescape")) <= tarfile.LENGTH_NAME  # a longer name needs an extra GNU header
        blocks += [member.tobuf(tarfile.USTAR_FORMAT if plain else tarfile.GNU_FORMAT), data, b"\0" * (-len(data) % tarfile.BLOCKSIZE)]
    return b"".join(blocks)


@dataclass(frozen=True)
class WrittenTar:
    """The result of writing a tar: numbers of samples and bytes, the tar's SHA-256, and that of the samples' .py and .json in order."""

    samples: int
    bytes: int
    sha256: str
    labels: str


def write_blocks(stream: IO[bytes], samples: Iterable[bytes]) -> WrittenTar:
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
    return WrittenTar(count, size + len(end), whole.hexdigest(), labels.hexdigest())


def label_bytes(blocks: bytes) -> bytes:
    """The .py and .json of a sample, which a repair must reproduce to the bit. `tarfile.TarError` if one is missing."""
    files = files_of_blocks(blocks)
    lacking = [suffix for suffix in LABELS if suffix not in files]
    if lacking:
        raise tarfile.ReadError(f"a sample lacks its {' and its '.join(lacking)}")
    return b"".join(files[suffix] for suffix in LABELS)


def write_shard(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples to a tar atomically, in the order given, and return their number."""
    with atomic_file(path) as stream:
        return write_blocks(stream, map(sample_blocks, samples)).samples


def block_extents(stream: IO[bytes]) -> dict[str, tuple[int, int]]:
    """The offset and length of every sample's blocks in a tar, by key.

    `tarfile.TarError` if the tar is damaged or holds a sample twice.
    """
    extents: dict[str, tuple[int, int]] = {}
    for key, start, length in sample_extents(stream):
        if key in extents:
            raise tarfile.ReadError(f"the sample {key:.80} is in it twice, or its files do not lie side by side")
        extents[key] = start, length
    return extents


def sample_of_blocks(key: str, blocks: bytes, where: str) -> Sample:
    """The inverse of `sample_blocks`; `UserError` naming `where` and `key` if it is damaged."""
    return Sample.from_files(key, files_of_blocks(blocks), where)


class Samples:
    """The samples of a data set in order, by number from 0 or by key.

    One interface for all layouts: tars in a folder or at a URL, or loose files ``{key}.png``, ``.py`` and ``.json``. May be pickled and
    read by several processes.
    """

    def __init__(self, path: Place, *, cache_bytes: int | None = None, unique: bool = True) -> None:
        """The samples of a folder, a URL, one tar, or tars by a pattern such as ``set/{0000..0331}.tar``. `UserError` if there are none.

        Tars are indexed when a sample is first read, which then raises `UserError` if keys are to be ``unique`` and two samples share one.
        From a URL only the requested samples and, once, the tars' headers are read; with ``cache_bytes``, shards are fetched whole, at most
        so many bytes of them are kept on this machine, and their keys are not compared.
        """
        self.path = path
        self.store, self.shards = open_tars(path)
        self._layout, self._unique = open_layout(self.store, self.shards, cache_bytes), unique

    @classmethod
    def for_training(cls, path: Place, cache_bytes: int = CACHE_BYTES) -> Samples:
        """Samples for training, which reads all of them repeatedly by number. Keys may repeat unless `refuse_repeats` is called."""
        return cls(path, cache_bytes=cache_bytes, unique=False)

    @property
    def name(self) -> str:
        """The name of the data set in messages."""
        return str(self.path)

    @property
    def far_shards(self) -> Sequence[int] | None:
        """The number of samples of each shard, in order, if shards are fetched whole: a reader should stay within a few of them. None
        if samples can be read in any order at the same cost."""
        return self._layout.far_shards

    @property
    def keys(self) -> list[str]:
        return [self.key(number) for number in range(len(self))]

    def __len__(self) -> int:
        return len(self._checked)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.find(key) is not None

    def __iter__(self) -> Iterator[Sample]:
        return (self.at(number) for number in range(len(self)))

    def __getitem__(self, key: str) -> Sample:
        return self.at(self._number(key))

    def at(self, number: int) -> Sample:
        """The sample of that number, from 0."""
        return Sample.from_files(self.key(number), self.files(number), self.name)

    def key(self, number: int) -> str:
        """The key of a sample."""
        return self._checked.key(number)

    def files(self, number: int) -> dict[str, bytes]:
        """A sample's files by suffix, without checking their content. `UserError` if they cannot be read."""
        return self._checked.files(number)

    def find(self, key: str) -> int | None:
        """The number of the sample with that key; None if there is none."""
        return self._checked.find(key)

    def members(self, suffix: str | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        """Key, suffix, size and content of every file, in order. Content is empty, and not read, for files without this `suffix`."""
        return self._checked.members(suffix)

    def code(self, key: str) -> str:
        """The graphics code of a sample, without decoding its image."""
        code = self.files(self._number(key)).get(".py")
        if code is None:
            raise UserError(f"{self.name}: sample {key} lacks its .py")
        return decode_code(code, f"{self.name}: sample {key}")

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot and domain of a sample, all that re-rendering needs of a data set. Only the record is decoded."""
        number = self.find(key)
        record = None if number is None else self.files(number).get(".json")
        if record is None:
            raise UserError(f"{self.name}: there is no record of a sample {key}")
        content = read_photograph_record(record, f"{self.name}: the record of {key}")
        return Shot.from_json(content["shot"]), get_domain(content["domain"])

    def refuse_repeats(self) -> None:
        """Raise `UserError` if two samples have the same key. Shards that are fetched whole are not checked."""
        key = self._layout.repeated()
        if key is not None:
            raise UserError(f"{self.name}: the sample {key} is in the data set twice, or its files do not lie side by side in the tar")

    @cached_property
    def _checked(self) -> Layout:
        """The layout, after the check for repeated keys if they must be unique."""
        if self._unique:
            self.refuse_repeats()
        return self._layout

    def _number(self, key: str) -> int:
        number = self.find(key)
        if number is None:
            raise UserError(f"{self.name}: there is no sample {key}")
        return number
