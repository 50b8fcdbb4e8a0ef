"""What this machine keeps for later under ``$XDG_CACHE_HOME/igllm`` (``~/.cache/igllm``), shared by its processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of one kind of what is kept. It need not be there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "igllm" / name


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
