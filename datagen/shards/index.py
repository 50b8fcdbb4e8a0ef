"""The index of a data set's tars: a table of every sample's position, about 35 bytes per sample, made once and mapped from a cached file.

The cached file's name holds a digest of the table's sources (place, tars, their sizes and versions) and a checksum of the table, so a stale
or damaged file is never used but replaced. Where nothing can be cached, the table is made in memory.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import json
import os
import re
import tarfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from datagen.errors import UserError
from datagen.io.cache import alone, cache_folder, drop
from datagen.io.files import atomic_file, open_regular
from datagen.io.progress import progress
from datagen.shards.store import Store
from datagen.shards.tars import GET_AGAIN, sample_extents

LONGEST_KEY = 1024  # bytes; every row has room for the longest key of its table
MANY_SHARDS = 20  # above this number, reading shows progress
UNUSED_DAYS = 30  # after which a cached table is removed


class SampleIndex:
    """The table's rows: ``key`` (UTF-8), ``shard``, ``offset`` and ``length`` of the sample's members; ``order`` lists the rows by key."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, number: int) -> str:
        """The key of a sample."""
        return bytes(self.rows[number]["key"]).decode()

    def extent(self, number: int) -> tuple[int, int, int]:
        """Shard, offset and length of a sample."""
        row = self.rows[number]
        return int(row["shard"]), int(row["offset"]), int(row["length"])

    def find(self, key: str) -> int | None:
        """The number of the first sample with that key; None if there is none."""
        wanted = key.encode()
        at = bisect.bisect_left(range(len(self)), wanted, key=lambda i: bytes(self.rows[self.rows[i]["order"]]["key"]))
        number = int(self.rows[at]["order"]) if at < len(self) else None
        return number if number is not None and bytes(self.rows[number]["key"]) == wanted else None

    def repeated(self) -> str | None:
        """A key that two samples have; None if there is none."""
        keys = self.rows["key"][self.rows["order"]]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        return bytes(keys[twice[0]]).decode() if len(twice) else None


def open_index(store: Store, shards: Sequence[str]) -> SampleIndex:
    """The index of these tars of a store, in order, from the cache if it is there. `UserError` if a tar is damaged."""
    stamps = store.stamps()
    made_from = json.dumps([str(store.place), [(shard, stamps.get(shard)) for shard in shards]])
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:32]
    folder = cache_folder("index")
    rows = kept_table(folder, digest)
    try:
        if rows is None:
            with alone(folder / "lock"):  # so that of many processes one reads the tars
                rows = kept_table(folder, digest)
                if rows is None:
                    rows = _rows(store, shards)
                    keep_table(folder, digest, rows)
                    _remove_unused(folder)
                    rows = kept_table(folder, digest)  # so that processes share the memory
    except OSError:
        pass  # nothing can be cached
    return SampleIndex(_rows(store, shards) if rows is None else rows)


def tar_rows(stream: IO[bytes], shard: int = 0) -> np.ndarray:
    """The rows of one tar, with ``order`` zero. `UserError` for a key that is too long, `tarfile.TarError` if the tar is damaged."""
    found, keys = [], []
    for extent in sample_extents(stream):
        key = extent[0].encode(errors="replace")
        if len(key) > LONGEST_KEY:
            raise UserError(f"a sample's name has {len(key)} bytes, {LONGEST_KEY} at most are possible")
        found.append(extent)
        keys.append(key)
    width = max(map(len, keys), default=1)
    rows = np.zeros(len(found), _row(width))
    rows["key"], rows["shard"] = keys, shard
    rows["offset"], rows["length"] = [start for _, start, _ in found], [length for _, _, length in found]
    return rows


def _rows(store: Store, shards: Sequence[str]) -> np.ndarray:
    parts = []
    for number, shard in enumerate(progress(shards, len(shards), "indexing shards") if len(shards) > MANY_SHARDS else shards):
        try:
            with store.open(shard) as stream:
                parts.append(tar_rows(stream, number))
        except (tarfile.TarError, OSError, ValueError) as error:
            raise UserError(f"{store.at(shard)}: not a readable tar ({error}); {GET_AGAIN}") from None
        except UserError as error:
            raise UserError(f"{store.at(shard)}: {error}") from None
    rows = np.concatenate(parts)
    rows["order"] = np.argsort(rows["key"], kind="stable")
    return rows


def keep_table(folder: Path, name: str, rows: np.ndarray, made_from: int = 0) -> None:
    """Save a table in a cache folder for `kept_table`: rows without NumPy's header, since a damaged header can crash NumPy."""
    width = rows.dtype["key"].itemsize
    with atomic_file(folder / f"{name}-{width}-{_checksum(rows, made_from):08x}.rows") as stream:
        stream.write(rows.view(np.uint8).data)


def kept_table(folder: Path, name: str, made_from: int = 0) -> np.ndarray | None:
    """The table of this name, mapped from its file; None if it is missing, damaged, or was saved with another `made_from`, a checksum of
    the data that the table describes. Invalid files are removed."""
    for path in folder.glob(f"{name}-*.rows"):
        stated = re.fullmatch(r"-(\d{1,4})-([0-9a-f]{8})", path.stem.removeprefix(name))
        with contextlib.suppress(OSError, ValueError):  # a truncated file, which is not a whole number of rows
            if stated and 1 <= int(stated[1]) <= LONGEST_KEY:
                with open_regular(path) as stream:
                    rows = np.memmap(stream, _row(int(stated[1])), "r")
                if _checksum(rows, made_from) == int(stated[2], 16):
                    os.utime(path)
                    return rows
        drop(path)
    return None


def _row(width: int) -> np.dtype:
    """The data type of a row with a key of at most `width` bytes."""
    return np.dtype([("key", f"S{width}"), ("shard", "<u4"), ("offset", "<u8"), ("length", "<u8"), ("order", "<u4")])


def _checksum(rows: np.ndarray, made_from: int) -> int:
    return zlib.crc32(rows.view(np.uint8).data, zlib.crc32(f"{rows.dtype.descr}".encode(), made_from))


def _remove_unused(folder: Path) -> None:
    for path in folder.glob("*-*.*"):
        if path.lstat().st_mtime < time.time() - UNUSED_DAYS * 86400:
            path.unlink(missing_ok=True)
