"""What this machine keeps for later under ``$XDG_CACHE_HOME/igllm`` (``~/.cache/igllm``), shared by its processes.

Where that cannot be written (no home, a disk that is full or read-only), a private folder among the temporary ones takes its place: what is
kept there is kept until the system clears it, and no run ends for want of a cache.
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

CALL_PREFIX = "igllm-call-"  # of the folders of temporary files that each call has for itself


def cache_folder(name: str) -> Path:
    """The folder of one kind of what is kept, made if it can be. Where nothing at all can be written, using it raises `OSError`."""
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
    """For this process and its children, give libraries a home where the user has none: some make one called ``~``, others end."""
    home = os.path.expanduser("~")
    if not os.path.isabs(home) and (private := private_home()) is not None:
        os.environ["HOME"] = str(private)
        _note(f"no home folder is known; {private} takes its place")
    elif not all(os.path.isdir(folder) and os.access(folder, os.W_OK) for folder in (home, os.environ.get("XDG_CACHE_HOME") or home)):
        os.environ.setdefault("MPLCONFIGDIR", str(cache_folder("matplotlib")))


def _usual_folder() -> Path | None:
    """Where the desktop's standard says that caches are; None if there is no such place."""
    asked, home = os.environ.get("XDG_CACHE_HOME", ""), os.path.expanduser("~")
    if os.path.isabs(asked):  # a relative one is to be ignored, says the standard
        return Path(asked, "igllm")
    return Path(home, ".cache", "igllm") if os.path.isabs(home) else None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def system_temporary() -> Path:
    """The folder of temporary files that calls share, also within a call that has one of its own (see `datagen.io.temporary`)."""
    folder = Path(tempfile.gettempdir())
    return folder.parent if folder.name.startswith(CALL_PREFIX) else folder


def private_home() -> Path | None:
    """A folder of this user's own among the temporary ones, the same for all processes; None if there cannot be one."""
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
    """Remove what is in the place of a cached file, be it none."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is in such a block with the same file, and keep others out until it ends or the process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
