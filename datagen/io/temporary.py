"""One folder for the temporary files of a call, of its libraries and of its child processes, removed when the call ends.

The next call removes the folder of a call that was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path

from datagen.io.cache import CALL_PREFIX, alone, private_home

AFTER_ALL = -1000  # the priority below those of multiprocessing's own finalizers


@contextmanager
def own_temporaries() -> Iterator[None]:
    """Within the block, temporary files of this process and its children go to a folder of their own, or, if none can be made, to the usual
    one."""
    opened = _opened()
    if opened is None:
        yield
        return
    folder, descriptor = opened
    remove = Finalize(None, _remove, (folder, descriptor), exitpriority=AFTER_ALL)
    before, asked = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        if asked is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = asked
        if not any(folder.glob("pymp-*")):  # else multiprocessing still has files there: `remove` runs after its finalizers
            remove()


def _opened() -> tuple[Path, int] | None:
    """A new folder, and the descriptor of the lock on it, by which other calls see that this one is alive; None if that is not possible."""
    home = private_home()
    if home is None:
        return None
    try:
        with alone(home / "calls.lock"):  # so that no other call meets a folder that is not locked yet
            for left in home.parent.glob(f"{CALL_PREFIX}*"):
                _remove_dead(left)
            folder = Path(tempfile.mkdtemp(prefix=CALL_PREFIX, dir=home.parent))
            return folder, _locked(folder)
    except OSError:
        return None


def _remove_dead(folder: Path) -> None:
    """Remove the folder of a call that has died; leave those of living calls, and of other users."""
    with contextlib.suppress(OSError):
        _remove(folder, _locked(folder))


def _remove(folder: Path, descriptor: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(descriptor)


def _locked(folder: Path) -> int:
    """Lock a folder and return the descriptor that holds the lock until it is closed; `OSError` if another process holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
