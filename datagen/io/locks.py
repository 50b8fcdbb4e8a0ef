"""Locks: on ranges of shards, so that writers of disjoint shards may share a folder, and on files and folders for one writer only."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from datagen.errors import UserError
from datagen.io.files import beside, check_own, is_there
from datagen.io.ranges import runs

_STATEMENT = 1 << 40  # the byte that guards dataset.json; byte k guards shard k

LOCK = "lock"
OWN_LOCK = f".{LOCK}"  # in a folder whose parent cannot be written to
SECONDS_BETWEEN_TRIES = 0.5
_held: set[Path] = set()  # the files that this process has locked
_changing = threading.Lock()  # whose holder may change it


class InUse(UserError):
    """Another call holds the lock."""


@contextmanager
def lock_shards(path: Path, name: str, shards: Iterable[int] | None) -> Iterator[None]:
    """Hold these shards of a data set, or all of them (None), until the block ends or the process dies.

    `UserError` naming the data set if another run holds one of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _open(path)
    try:
        for start, length in [(0, _STATEMENT)] if shards is None else list(runs(shards)):
            if not _lock(descriptor, start, length, wait=False):
                raise InUse(f"{name}: another run is writing to {_named(start, length)}; wait for it or choose another folder")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def lock_statement(path: Path) -> Iterator[None]:
    """Wait for, then hold, the right to write dataset.json."""
    descriptor = _open(path)
    try:
        _lock(descriptor, _STATEMENT, 1, wait=True)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock for writing a file or a folder until the block ends or this process dies; `InUse` if another process, or another block
    of this one, holds it.

    The locked file is a hidden one beside it, removed in the end. The lock belongs to the process: children that outlive it hold nothing.
    """
    lock = beside(path, LOCK)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with _held_here(lock, path):
        descriptor = _locked(lock, path)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            os.close(descriptor)


@contextmanager
def turn(
    path: Path, notify: Callable[[str], None], *, after: float = 0.0, before_each_try: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """As `hold`, but wait while the lock is held. Of a wait of more than ``after`` seconds, `notify` is told once. An error of
    ``before_each_try`` ends it."""
    begin, told = time.monotonic(), False
    with ExitStack() as held:
        while True:
            before_each_try()
            try:
                held.enter_context(hold(path))
                break
            except InUse:
                if not told and time.monotonic() - begin >= after:
                    told = True
                    notify(f"waiting for another call, which is at {path}")
                time.sleep(SECONDS_BETWEEN_TRIES)
        yield


@contextmanager
def _held_here(lock: Path, path: Path) -> Iterator[None]:
    """Let one block of this process at a time have a lock, as the system asks only whether it is another process that has it. `InUse` if
    there is one."""
    with _changing:
        if lock in _held:
            raise _in_use(path)
        _held.add(lock)
    try:
        yield
    finally:
        with _changing:
            _held.remove(lock)


def _locked(lock: Path, path: Path) -> int:
    """The descriptor of a file to lock, by which this process has locked it; `InUse` if another has."""
    while True:
        descriptor = _open(lock)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise _in_use(path) from None
            raise
        if is_there(lock, descriptor):
            return descriptor
        os.close(descriptor)  # its holder removed it meanwhile


def _in_use(path: Path) -> InUse:
    return InUse(f"{path}: another call is writing it; wait for it or choose another place")


def _open(lock: Path) -> int:
    """Open a file to lock, and create it if there is none. `UserError` if it is a link, which may lead anywhere, or no plain file."""
    check_own(lock)
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def _named(start: int, length: int) -> str:
    if length == _STATEMENT:
        return "this data set"
    return f"the shards {start}-{start + length - 1} of this data set" if length > 1 else f"shard {start} of this data set"


def _lock(descriptor: int, start: int, length: int, wait: bool) -> bool:
    """Lock bytes of a file, and return whether that succeeded. The lock belongs to the open file if the system supports that, else to the
    process."""
    try:
        if hasattr(fcntl, "F_OFD_SETLK"):
            command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
            fcntl.fcntl(descriptor, command, struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0))
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), length, start)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
