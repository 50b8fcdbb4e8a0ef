"""The spool: finished samples of an unfinished shard, appended to one log.

A sample costs one write and no sync. What a process wrote before it died survives in the operating system; a record torn by a power cut or
a full disk has a wrong digest, and is dropped with all that follow it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from datagen.io.files import check_own, naming, open_regular

_HEADER = struct.Struct("<4sqq32s")  # mark, index, length, digest of owner, index and blocks
_MARK = b"IGS2"


class Spool:
    """The finished samples of one shard by index, each as `datagen.shards.reader.sample_blocks` returns it.

    The digest of every record covers ``owner``, which identifies the data set: records of another data set are dropped like torn ones.
    """

    def __init__(self, path: Path, owner: bytes, mend: bool = True) -> None:
        """Read the log at `path`, if there is one. `mend` truncates it after the last valid record, which only its writer may do."""
        self.path, self._owner = path, owner
        self._extents: dict[int, tuple[int, int]] = {}
        self._end = 0
        check_own(path)
        if path.exists():
            self._end = self._scan()
            if mend:
                os.truncate(path, self._end)

    def __iter__(self) -> Iterator[int]:
        return iter(self._extents)

    def __len__(self) -> int:
        return len(self._extents)

    def __contains__(self, index: object) -> bool:
        return index in self._extents

    def put(self, index: int, blocks: bytes) -> None:
        """Append a sample. `OSError`, after which the log is as before, if writing fails or the log was removed or changed meanwhile."""
        self.path.parent.mkdir(exist_ok=True)
        record = _HEADER.pack(_MARK, index, len(blocks), self._digest(index, blocks)) + blocks
        with naming(self.path), self.path.open("ab" if self._end == 0 else "r+b", buffering=0) as stream:
            start = stream.seek(0, os.SEEK_END)
            if start != self._end:
                raise FileExistsError(errno.EEXIST, "another process writes it", str(self.path))
            try:
                left = memoryview(record)
                while left:
                    left = left[stream.write(left) or 0 :]
            except OSError:
                with contextlib.suppress(OSError):  # if truncating fails too, the next run drops the torn end
                    stream.truncate(start)
                raise
        self._extents[index] = (start + _HEADER.size, len(blocks))
        self._end = start + len(record)

    def read(self, index: int) -> bytes:
        """A sample's blocks."""
        offset, length = self._extents[index]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    def remove(self) -> None:
        """Remove the log."""
        self._extents.clear()
        self._end = 0
        self.path.unlink(missing_ok=True)

    def _scan(self) -> int:
        """Find the valid records and return where the last of them ends."""
        with open_regular(self.path) as stream:
            size, end = os.fstat(stream.fileno()).st_size, 0
            while len(header := stream.read(_HEADER.size)) == _HEADER.size:
                mark, index, length, digest = _HEADER.unpack(header)
                if mark != _MARK or not 0 <= length <= size - end - _HEADER.size:
                    break
                if self._digest(index, stream.read(length)) != digest:
                    break
                self._extents[index] = (end + _HEADER.size, length)
                end += _HEADER.size + length
        return end

    def _digest(self, index: int, blocks: bytes) -> bytes:
        return hashlib.sha256(self._owner + struct.pack("<q", index) + blocks).digest()
