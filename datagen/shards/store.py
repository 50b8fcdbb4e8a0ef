"""The storage of a data set: a local folder, or any URL that fsspec supports (``s3://bucket/set``, ``gs://…``, ``memory://…``).

Files are stored whole: locally by a rename after a sync, remotely by one upload, of shards from a file in a local cache folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import fsspec

from datagen.errors import UserError
from datagen.io.cache import cache_folder
from datagen.io.files import MOST_BYTES, TEMPORARY, check_folder, check_own, open_regular, passed_over, sync_folder, write_bytes
from datagen.samples.sample import SUFFIXES

LOCK, SPOOL = ".lock", ".spool"
READ = (".tar", ".jsonl", *SUFFIXES)  # suffixes of the files from which a data set is read
_VERSIONS = (
    *("ETag", "etag", "generation", "md5Hash", "Content-MD5", "Digest", "sha", "blob_id", "LastModified", "last_modified", "Last-Modified"),
    *("updated", "mtime", "modify", "modified", "created"),
)
"""The fields in which different kinds of stores give a file's version or time of writing."""
Place = str | Path
"""A folder, or a URL."""


def place(text: str) -> Place:
    """The place that a command line names: a URL stays text, anything else becomes a path."""
    return text if re.match(r"[a-z][a-z0-9+.-]*://", text) else Path(text)


def check_place(where: Place) -> None:
    """Raise `UserError` if no data set can be written there. Called before work begins; changes nothing."""
    if str(where).rstrip("/").endswith(".tar"):
        raise UserError(f"{where}: a data set is a folder, and readers take a name that ends in .tar for one tar; leave that ending off")
    if re.fullmatch(r"[a-z][a-z0-9+.-]*:/*", str(where)):
        raise UserError(f"{where}: a URL that names no folder; write what comes behind {where}")
    if isinstance(where, Path):
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(where)):
            raise UserError(
                f"{where}: a URL begins in small letters, with two slashes after its colon; a folder is better not called {where.parts[0]}"
            )
        check_folder(where)


def open_store(where: Place) -> Store:
    """The store at a folder or URL; `UserError` if its protocol is unknown or needs a package that is not installed."""
    if isinstance(where, Path) or isinstance(place(where), Path):
        return LocalStore(Path(where))
    try:
        system, root = fsspec.core.url_to_fs(where)
    except (ImportError, ValueError) as error:
        raise UserError(f"{where}: {error} (fsspec reads and writes URLs; pip installs what a protocol needs, such as s3fs)") from None
    return LocalStore(Path(root)) if "file" in _protocols(system) else RemoteStore(where, system, root)


class Store(ABC):
    """A flat folder of files. ``name`` is its name in messages, ``scratch`` a local folder for unfinished shards, ``lock`` a local lock."""

    name: str
    near: bool  # whether reading a file is cheap
    scratch: Path
    lock: Path

    @property
    @abstractmethod
    def place(self) -> Place:
        """The argument for `open_store` that opens this store again."""

    @abstractmethod
    def make(self) -> None:
        """Make the folder if it is not there."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The sizes of files in bytes, sorted by name, without those that are `passed_over`; `UserError` if there is no such folder."""

    @abstractmethod
    def stamps(self) -> dict[str, str]:
        """By file name, a text that changes with the file: its size, and its times or the store's version of it. If the store gives
        neither, the text is random."""

    @property
    @abstractmethod
    def dated(self) -> bool:
        """Whether `stamps` has a time or version for every file, and so stays the same while the files do."""

    @abstractmethod
    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading at any offset."""

    @abstractmethod
    def read(self, name: str, offset: int, size: int) -> bytes:
        """A part of a file: fewer bytes than `size` if it ends early."""

    @abstractmethod
    def fetch(self, name: str, target: Path) -> None:
        """Copy a whole file to a local one; `UserError` if that fails."""

    @abstractmethod
    def put(self, built: Path, name: str) -> None:
        """Move a finished file, built in `scratch`, into the store."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Write a small file in one step."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file if it is there."""

    def tidy(self, is_own: Callable[[str], bool]) -> None:
        """Remove unfinished files that dead runs left; `is_own` recognizes the data set's own files by name.

        Only for a run that has locked the whole data set. `UserError` if the scratch folder or an unfinished file is a link or of another
        kind.
        """
        check_own(self.scratch, folder=True)
        if self.scratch.is_dir():
            _remove_left(path for path in self.scratch.iterdir() if is_own(path.name) or is_own(_finished(path)))

    def text(self, name: str, most: int = MOST_BYTES) -> str | None:
        """The content of a text file, with bytes that are not UTF-8 replaced; None if there is no such file, `UserError` if it cannot be
        read or is too large."""
        try:
            with self.open(name) as stream:
                data = stream.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{self.at(name)}: cannot be read ({error.strerror or error})") from None
        if len(data) > most:
            raise UserError(f"{self.at(name)}: has more than {most:,} bytes, so it is not what was expected here")
        return data.decode("utf-8-sig", errors="replace")

    def sha256(self, name: str) -> str:
        """The SHA-256 of a file, in hexadecimal."""
        digest = hashlib.sha256()
        with self.open(name) as stream:
            while data := stream.read(1 << 20):
                digest.update(data)
        return digest.hexdigest()

    def at(self, name: str) -> str:
        """The name of a file in messages."""
        return f"{self.name.rstrip('/')}/{name}"


def _other_than_folder(path: Path) -> str:
    """A description, for messages, of what a path is that is not a folder."""
    try:
        return "is no folder but a file" if stat.S_ISREG(path.stat().st_mode) else "is no folder but a pipe or device"
    except FileNotFoundError:
        return f"is a link to {os.readlink(path)}, which is not there" if path.is_symlink() else "there is no such data set"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a link that leads back to itself; remove it, and name the folder that was meant"
        return f"cannot be read: {error.strerror}"


class LocalStore(Store):
    """A folder of this machine."""

    near = dated = True

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self.scratch, self.lock = path / SPOOL, path / LOCK

    @property
    def place(self) -> Place:
        return self.path.absolute()

    def make(self) -> None:
        check_own(self.scratch, folder=True)
        check_own(self.lock)
        self.path.mkdir(parents=True, exist_ok=True)

    def sizes(self) -> dict[str, int]:
        if not self.path.is_dir():
            raise UserError(f"{self.path}: {_other_than_folder(self.path)} (a folder of shards or of loose samples is expected)")
        with os.scandir(self.path) as entries:
            shown = [entry for entry in entries if not passed_over(entry.name)]
        odd = [entry.name for entry in shown if entry.name.endswith(READ) and not entry.is_file()]
        if odd:  # skipping it would report fewer samples than there are
            raise UserError(
                f"{self.path / min(odd)}: is where a file of a data set would be, but is a folder, a device, a pipe, or a link to no "
                "file; remove it or move it elsewhere"
            )
        return dict(sorted((entry.name, entry.stat().st_size) for entry in shown if entry.is_file()))

    def stamps(self) -> dict[str, str]:
        with os.scandir(self.path) as entries:
            return {entry.name: _stamp(entry.stat()) for entry in entries if entry.is_file()}

    def open(self, name: str) -> IO[bytes]:
        return open_regular(self.path / name)

    def read(self, name: str, offset: int, size: int) -> bytes:
        with self.open(name) as stream:
            stream.seek(offset)
            return stream.read(size)

    def fetch(self, name: str, target: Path) -> None:
        try:
            shutil.copyfile(self.path / name, target)
        except OSError as error:
            raise UserError(f"{self.at(name)}: cannot be read ({error.strerror or error})") from None

    def put(self, built: Path, name: str) -> None:
        with built.open("rb") as stream:
            os.fsync(stream.fileno())
        built.replace(self.path / name)
        sync_folder(self.path)

    def write(self, name: str, data: bytes) -> None:
        write_bytes(self.path / name, data)

    def tidy(self, is_own: Callable[[str], bool]) -> None:
        _remove_left(path for path in self.path.glob(f".*{TEMPORARY}") if is_own(_finished(path)))
        super().tidy(is_own)
        with contextlib.suppress(OSError):  # the folder does not exist, or holds spools
            self.scratch.rmdir()

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)


class RemoteStore(Store):
    """A URL. Its spools and its lock lie in this machine's cache, so writers on other machines are not locked out."""

    near = False

    def __init__(self, url: str, system: Any, root: str) -> None:
        self.name, self._system, self._root, self._made = url, system, root.rstrip("/"), False
        self._unknown = uuid4().hex  # instead of a file's version where the store gives none
        self.scratch = cache_folder("spool") / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:16]
        self.lock = self.scratch / "lock"

    @property
    def place(self) -> Place:
        return self.name

    def make(self) -> None:
        with self._trouble(""):
            self._system.makedirs(self._root, exist_ok=True)
            self._made = True

    def sizes(self) -> dict[str, int]:
        return {name: int(entry["size"]) for name, entry in self._listed().items()}

    def stamps(self) -> dict[str, str]:
        return {name: self._stamp(entry) for name, entry in self._listed().items()}

    @property
    def dated(self) -> bool:
        return all(map(_versions, self._listed().values()))

    def _stamp(self, entry: dict[str, Any]) -> str:
        return " ".join([str(entry["size"]), *(_versions(entry) or [self._unknown])])

    def _listed(self) -> dict[str, dict[str, Any]]:
        """The store's metadata of its files, sorted by name."""
        with self._trouble(""):
            self._system.invalidate_cache()
            try:
                entries = self._system.ls(self._root, detail=True)
            except FileNotFoundError:
                if not self._made:  # an object store has no empty folders
                    raise UserError(f"{self.name}: there is no such data set (shards are expected)") from None
                entries = []
        files = {entry["name"].rpartition("/")[2]: entry for entry in entries if entry["type"] == "file"}
        return {name: files[name] for name in sorted(files) if not passed_over(name)}

    def open(self, name: str) -> IO[bytes]:
        with self._trouble(name):
            return self._system.open(f"{self._root}/{name}", "rb")

    def read(self, name: str, offset: int, size: int) -> bytes:
        with self._trouble(name):
            return self._system.cat_file(f"{self._root}/{name}", start=offset, end=offset + size)

    def fetch(self, name: str, target: Path) -> None:
        with self._trouble(name):
            self._system.get_file(f"{self._root}/{name}", str(target))

    def put(self, built: Path, name: str) -> None:
        with self._trouble(name):
            self._system.put_file(str(built), f"{self._root}/{name}")
        built.unlink()

    def write(self, name: str, data: bytes) -> None:
        with self._trouble(name):
            self._system.pipe_file(f"{self._root}/{name}", data)

    def remove(self, name: str) -> None:
        with self._trouble(name):
            self._system.invalidate_cache()
            if self._system.exists(f"{self._root}/{name}"):
                self._system.rm_file(f"{self._root}/{name}")

    @contextmanager
    def _trouble(self, name: str) -> Iterator[None]:
        """Turn errors of the network and the store, whose types are many, into a `UserError` that names the file."""
        try:
            yield
        except (UserError, FileNotFoundError):
            raise
        except Exception as error:
            raise UserError(f"{self.at(name) if name else self.name}: {type(error).__name__}: {error}; call it again to go on") from error


def _finished(path: Path) -> str:
    """The final name of a file that is being written (see `datagen.io.files.unfinished`)."""
    return path.name.removeprefix(".").removesuffix(TEMPORARY)


def _remove_left(paths: Iterable[Path]) -> None:
    left = list(paths)
    for path in left:
        check_own(path)
    for path in left:
        path.unlink()


def _versions(entry: Mapping[str, Any]) -> list[str]:
    """All values in a file's metadata that identify its version."""
    return [str(entry[field]) for field in _VERSIONS if entry.get(field) is not None]


def _stamp(status: os.stat_result) -> str:
    """Size, times of writing and change, and inode: a copy that keeps the time of writing still differs in inode or time of change."""
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"


def _protocols(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)
