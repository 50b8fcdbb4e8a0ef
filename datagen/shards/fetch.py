"""A cache of shards fetched whole from a URL, in a folder of bounded size that all processes of this machine share."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from datagen.errors import UserError
from datagen.io.cache import alone, cache_folder, drop
from datagen.io.files import atomic_file, open_regular
from datagen.shards.index import SampleIndex, keep_table, kept_table, tar_rows
from datagen.shards.store import Store
from datagen.shards.tars import GET_AGAIN

TRIES = 4
FIRST_WAIT = 1.0  # seconds before the second try; it doubles with each
OPEN_SHARDS = 8  # per process; open files stay readable when another process removes them
LOCKS = 256


@dataclass(frozen=True)
class Fetched:
    """A cached shard, held open, and its index."""

    stream: IO[bytes]
    index: SampleIndex

    def read(self, offset: int, length: int) -> bytes:
        """A part of it: fewer bytes than `length` if it ends early."""
        return os.pread(self.stream.fileno(), length, offset)


class ShardCache:
    """The shards of one store. Those of all stores together take up at most `limit` bytes; the least recently used are removed first."""

    def __init__(self, store: Store, limit: int) -> None:
        self.store, self.limit, self.folder = store, limit, cache_folder("shards")
        self._sizes, self._stamps = store.sizes(), store.stamps()
        self._open: OrderedDict[str, Fetched] = OrderedDict()
        largest = max((size for name, size in self._sizes.items() if name.endswith(".tar")), default=0)
        if largest * OPEN_SHARDS > limit:
            raise UserError(
                f"{store.name}: its shards have up to {largest:,} bytes, and {OPEN_SHARDS} of them need more than the {limit:,} that may "
                "be kept on this machine; allow more"
            )

    def __getstate__(self) -> dict[str, Any]:
        """The state without open files, which each process opens for itself."""
        return {**self.__dict__, "_open": OrderedDict()}

    def open(self, name: str) -> Fetched:
        """A shard, fetched unless it is cached. `UserError` if it cannot be fetched, is damaged, or cannot be stored."""
        if name not in self._open:
            self._open[name] = self._fetched(name)
            if len(self._open) > OPEN_SHARDS:
                _, oldest = self._open.popitem(last=False)
                oldest.stream.close()
        self._open.move_to_end(name)
        return self._open[name]

    def _fetched(self, name: str) -> Fetched:
        version = hashlib.sha256(f"{self.store.place}\n{name}\n{self._stamps.get(name)}".encode()).hexdigest()[:32]
        tar = self.folder / f"{version}.tar"
        try:
            with alone(self.folder / f"{int(version, 16) % LOCKS:02x}.lock"):  # so that of many processes one fetches it
                rows = self._kept(version, tar)
                if rows is None:
                    drop(tar)
                    self._make_room(self._sizes[name])
                    self._fetch(name, tar)
                    rows = self._table(name, tar)
                    keep_table(self.folder, version, rows, _checksum(tar))
                os.utime(tar)
                return Fetched(open_regular(tar), SampleIndex(rows))
        except OSError as error:
            raise UserError(
                f"{self.store.at(name)}: cannot be kept in {self.folder} ({error}); free some room or set XDG_CACHE_HOME to another folder"
            ) from None

    def _kept(self, version: str, tar: Path) -> np.ndarray | None:
        """The index table of a cached shard; None unless the shard and the table are there and undamaged."""
        try:
            return kept_table(self.folder, version, _checksum(tar))
        except OSError:
            return None

    def _fetch(self, name: str, tar: Path) -> None:
        """Copy a shard into the cache, whole or not at all; network errors may be temporary, so there are `TRIES` tries."""
        for remaining in reversed(range(TRIES)):
            try:
                with atomic_file(tar) as stream:
                    self.store.fetch(name, Path(stream.name))
                    size = os.fstat(stream.fileno()).st_size
                if size != self._sizes[name]:
                    tar.unlink()
                    raise UserError(f"{self.store.at(name)}: came with {size:,} bytes, not {self._sizes[name]:,}; call it again to go on")
                return
            except UserError:
                if not remaining:
                    raise
                time.sleep(FIRST_WAIT * 2 ** (TRIES - 1 - remaining))

    def _table(self, name: str, tar: Path) -> np.ndarray:
        """The index table of a shard that was just fetched; `UserError` if the shard is damaged."""
        try:
            with tar.open("rb") as stream:
                table = tar_rows(stream)
        except (tarfile.TarError, ValueError) as error:
            tar.unlink()
            raise UserError(f"{self.store.at(name)}: not a readable tar ({error}); {GET_AGAIN}") from None
        table["order"] = np.argsort(table["key"], kind="stable")
        return table

    def _make_room(self, size: int) -> None:
        """Remove the least recently used shards until one of this size fits."""
        with alone(self.folder / "room.lock"):
            for left in self.folder.glob(".*.tmp"):  # left by a process that died
                if left.lstat().st_mtime < time.time() - 86400:
                    left.unlink(missing_ok=True)
            kept = sorted((path.lstat().st_mtime, path.lstat().st_size, path) for path in self.folder.glob("*.tar"))
            total = sum(bytes_ for _, bytes_, _ in kept) + size
            for _, bytes_, path in kept:
                if total <= self.limit:
                    break
                for rows in self.folder.glob(f"{path.stem}-*.rows"):
                    rows.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                total -= bytes_


def _checksum(path: Path) -> int:
    """The CRC-32 of a file, which may have been damaged since it was cached."""
    value = 0
    with open_regular(path) as stream:
        while block := stream.read(2**20):
            value = zlib.crc32(block, value)
    return value
