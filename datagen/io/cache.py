"""The cache under ``$XDG_CACHE_HOME/igllm`` (``~/.cache/igllm``), shared by all processes of a user on this machine.

If that cannot be written (no home, a disk that is full or read-only), a private folder among the temporary ones takes its place, until the
system clears it, so that no call ends for want of a cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

CALL_PREFIX = "igllm-call-"  # of the name of a call's own folder of temporary files


def cache_folder(name: str) -> Path:
    """The cache folder for one kind of content, created if possible; if none can be written, a path whose use raises `OSError`."""
    usual = _usual_folder()
    if usual is not None and _writable(usual / name):
        return usual / name
    why = "no home folder is known" if usual is None else f"{usual} cannot be written to"
    home = private_home()
    if home is None or not _writable(home / ".cache" / "igllm" / name):
        _note(f"{why}, so nothing is kept for later; to keep it, set XDG_CACHE_HOME to a folder that can be written to")
        return Path(os.devnull, name)
    _note(f"{why}, so what is kept for later is kept in {home}")
    return home / ".cache" / "igllm" / name


def lend_home() -> None:
    """Set HOME to a private folder, for this process and its children, if the user has none: some libraries would create ``~``, others end.

    If the home or XDG_CACHE_HOME cannot be written, point Matplotlib to a cache folder by MPLCONFIGDIR.
    """
    home = os.path.expanduser("~")
    if not os.path.isabs(home) and (private := private_home()) is not None:
        os.environ["HOME"] = str(private)
        _note(f"no home folder is known; {private} takes its place")
    elif not all(os.path.isdir(folder) and os.access(folder, os.W_OK) for folder in (home, os.environ.get("XDG_CACHE_HOME") or home)):
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder("matplotlib")))


def _usual_folder() -> Path | None:
    """The cache folder by the XDG Base Directory Specification; None if the user has no home."""
    asked, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    if os.path.isabs(asked):  # the specification ignores relative paths
        return Path(asked, "igllm")
    return Path(home, ".cache", "igllm") if os.path.isabs(home) else None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def system_temporary() -> Path:
    """The system's folder of temporary files, even within a call that has a folder of its own (see `datagen.io.temporary`)."""
    folder = Path(tempfile.gettempdir())
    return folder.parent if folder.name.startswith(CALL_PREFIX) else folder


def private_home() -> Path | None:
    """A private folder of this user among the temporary ones, the same for all processes; None if it cannot be made, or is not private."""
    try:
        folder = system_temporary() / f"igllm-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if ours else None


@cache
def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def drop(path: Path) -> None:
    """Remove a cached file, or whatever else is in its place; errors are ignored."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, after waiting for others that hold it, until the block ends or the process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
