"""The layouts of a data set's samples: tars that are read in part, tars that are fetched whole, or loose files.

`datagen.shards.reader.Samples` reads all of them.
"""

from __future__ import annotations

import os
import re
import tarfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np

from datagen.errors import UserError
from datagen.samples.sample import SUFFIXES
from datagen.shards.fetch import ShardCache
from datagen.shards.index import SampleIndex, open_index
from datagen.shards.manifest import read_manifest
from datagen.shards.store import Place, Store, open_store, place
from datagen.shards.tars import GET_AGAIN, files_of_blocks, plain_key, split_name, tar_members

CACHE_BYTES = 50_000_000_000  # of shards fetched from URLs that this machine keeps
MOST_NAMES = 100_000  # that a pattern may stand for
MAX_SAMPLE_BYTES = 2**29  # of all files of a sample, which are read into memory together


class Layout(ABC):
    """Samples numbered from 0. ``shards`` are the names of their tars in ``store``, empty for loose samples."""

    store: Store
    shards: Sequence[str] = ()
    far_shards: Sequence[int] | None = None
    """See `datagen.shards.reader.Samples.far_shards`."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def key(self, number: int) -> str:
        """The key of a sample."""

    @abstractmethod
    def find(self, key: str) -> int | None:
        """The number of the sample with that key; None if there is none."""

    @abstractmethod
    def files(self, number: int) -> dict[str, bytes]:
        """A sample's files by suffix. `UserError` if they cannot be read."""

    @abstractmethod
    def members(self, suffix: str | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        """Key, suffix, size and content of every file, in order. Content is empty, and not read, for files without this `suffix`."""

    def repeated(self) -> str | None:
        """A key that two samples share, as far as the layout knows without reading samples; else None."""
        return None


def open_layout(store: Store, shards: Sequence[str], cache_bytes: int | None = None) -> Layout:
    """The samples in these tars of a store, or its loose samples if `shards` is empty.

    With ``cache_bytes``, tars of a URL are fetched whole. `UserError` if there are no samples; for other tars only when they are indexed.
    """
    if not shards:
        return Loose(store)
    return Tars(store, shards) if store.near or cache_bytes is None else FetchedTars(store, shards, cache_bytes)


def open_tars(where: Place) -> tuple[Store, list[str]]:
    """The store for a folder, URL, tar or pattern, and the names of its tars: sorted, or in the pattern's order; empty if it has none."""
    text = str(where).rstrip("/")
    if not text.endswith(".tar") or os.path.isdir(text):
        store = open_store(where)
        return store, [name for name in store.sizes() if name.endswith(".tar")]
    folder, slash, pattern = text.rpartition("/")
    names = _expanded(pattern)
    store = open_store(place(folder if slash else "."))
    absent = sorted(set(names) - store.sizes().keys())
    if absent:
        raise UserError(f"{store.at(absent[0])}: there is no such tar ({len(absent)} of the {len(names)} that {text} names are not there)")
    return store, names


def _expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces expands to: ``{08..11}`` to 08, 09, 10 and 11; ``{a,b}`` to a and b."""
    choices = []
    for part in re.split(r"(\{[^{}]*\})", pattern):
        limits = re.fullmatch(r"\{(\d+)\.\.(\d+)\}", part)
        if limits:
            first, last = int(limits[1]), int(limits[2])
            if not first <= last < first + MOST_NAMES:
                raise UserError(f"{pattern}: {part} must count upwards, over at most {MOST_NAMES:,} numbers")
            choices.append([f"{i:0{len(limits[1])}d}" for i in range(first, last + 1)])
        else:
            choices.append(part[1:-1].split(",") if part.startswith("{") else [part])
    if np.prod([float(len(some)) for some in choices]) > MOST_NAMES:
        raise UserError(f"{pattern}: stands for more than {MOST_NAMES:,} names")
    return list(dict.fromkeys(map("".join, product(*choices))))


class _InTars(Layout):
    """Samples in tars of a store."""

    def __init__(self, store: Store, shards: Sequence[str]) -> None:
        self.store, self.shards = store, shards

    def members(self, suffix: str | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        for shard in self.shards:
            try:
                with self.store.open(shard) as stream:
                    for name, _, start, size in tar_members(stream):
                        key, found = split_name(name)
                        if not key or not found:
                            continue
                        content = b""
                        if found == suffix:
                            _check_size(self.store, shard, size)
                            stream.seek(start)
                            content = stream.read(size)
                        yield key, found, size, content
            except (tarfile.TarError, OSError) as error:
                raise UserError(f"{self.store.at(shard)}: not a readable tar ({error}); {GET_AGAIN}") from None


class Tars(_InTars):
    """Tars from which samples are read in part, through an index."""

    @cached_property
    def index(self) -> SampleIndex:
        """The position of every sample in the tars."""
        index = open_index(self.store, self.shards)
        if not len(index):
            raise UserError(f"{self.store.name}: no samples in its tars")
        return index

    def __getstate__(self) -> dict[str, Any]:
        """The state without the index, which each process maps for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "index"}

    def __len__(self) -> int:
        return len(self.index)

    def key(self, number: int) -> str:
        return self.index.key(number)

    def find(self, key: str) -> int | None:
        return self.index.find(key)

    def files(self, number: int) -> dict[str, bytes]:
        shard, offset, length = self.index.extent(number)
        name = self.shards[shard]
        return _files(_read(self.store, name, offset, length), length, self.store.at(name))

    def repeated(self) -> str | None:
        return self.index.repeated()


class FetchedTars(_InTars):
    """Tars at a URL, each fetched whole when it is first needed, into a cache on this machine that all processes share."""

    def __init__(self, store: Store, shards: Sequence[str], cache_bytes: int) -> None:
        super().__init__(store, shards)
        self.cache = ShardCache(store, cache_bytes)
        self.far_shards = self._counts()
        self._firsts = np.concatenate([[0], np.cumsum(self.far_shards)])
        if not len(self):
            raise UserError(f"{store.name}: no samples in its tars")

    def _counts(self) -> list[int]:
        """The number of samples of each shard: from the manifest if it covers all shards with their sizes, else by indexing every tar."""
        sizes = self.store.sizes()
        rows = {row.name: row for row in read_manifest(self.store, sizes).rows.values()}
        if all(shard in rows and rows[shard].bytes == sizes[shard] for shard in self.shards):
            return [rows[shard].samples for shard in self.shards]
        index = open_index(self.store, self.shards)
        return np.bincount(index.rows["shard"], minlength=len(self.shards)).tolist()

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def _place(self, number: int) -> tuple[str, int]:
        """The shard that a sample is in, and its number there."""
        shard = int(np.searchsorted(self._firsts, number, "right")) - 1
        return self.shards[shard], number - int(self._firsts[shard])

    def key(self, number: int) -> str:
        shard, within = self._place(number)
        return self.cache.open(shard).index.key(within)

    def find(self, key: str) -> int | None:
        for first, shard in zip(self._firsts, self.shards, strict=False):
            within = self.cache.open(shard).index.find(key)
            if within is not None:
                return int(first) + within
        return None

    def files(self, number: int) -> dict[str, bytes]:
        shard, within = self._place(number)
        fetched = self.cache.open(shard)
        if within >= len(fetched.index):
            raise UserError(f"{self.store.at(shard)}: has {len(fetched.index)} samples, fewer than its manifest states")
        _, offset, length = fetched.index.extent(within)
        _check_size(self.store, shard, length)
        return _files(fetched.read(offset, length), length, self.store.at(shard))


class Loose(Layout):
    """A folder of loose ``{key}.png``, ``.py`` and ``.json``."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._sizes = store.sizes()
        stems = sorted(name.removesuffix(".json") for name in self._sizes if name.endswith(".json"))
        self._stems = [stem for stem in stems if stem + ".py" in self._sizes]  # other JSON files have no code beside them
        self._keys = list(map(plain_key, self._stems))
        self._numbers: Mapping[str, int] = {key: number for number, key in enumerate(self._keys)}
        if not self._keys:
            raise UserError(f"{store.name}: no samples here (neither *.tar shards nor {{key}}.png, .py and .json)")

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, number: int) -> str:
        return self._keys[number]

    def find(self, key: str) -> int | None:
        return self._numbers.get(key)

    def files(self, number: int) -> dict[str, bytes]:
        return {suffix: _read(self.store, name, 0, self._sizes[name]) for suffix, name in self._of(number)}

    def members(self, suffix: str | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        for number, key in enumerate(self._keys):
            for found, name in self._of(number):
                size = self._sizes[name]
                yield key, found, size, _read(self.store, name, 0, size) if found == suffix else b""

    def _of(self, number: int) -> list[tuple[str, str]]:
        """Suffix and name of a sample's files."""
        return [(suffix, name) for suffix in SUFFIXES if (name := self._stems[number] + suffix) in self._sizes]


def _read(store: Store, name: str, offset: int, size: int) -> bytes:
    _check_size(store, name, size)
    try:
        return store.read(name, offset, size)
    except OSError as error:
        raise UserError(f"{store.at(name)}: cannot be read ({error.strerror or error})") from None


def _check_size(store: Store, name: str, size: int) -> None:
    if size > MAX_SAMPLE_BYTES:
        raise UserError(f"{store.at(name)}: a sample of {size:,} bytes; at most {MAX_SAMPLE_BYTES:,} are read")


def _files(blocks: bytes, length: int, where: str) -> dict[str, bytes]:
    try:
        if len(blocks) == length:
            return files_of_blocks(blocks)
        problem = "it ends early"
    except (tarfile.TarError, ValueError) as error:
        problem = str(error)
    raise UserError(f"{where}: changed or damaged since it was first read ({problem}); {GET_AGAIN}")
