"""Another process that holds a lock."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER = """
import sys, time
from pathlib import Path
from datagen.io.locks import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Let another process hold the lock of `path` during the block, and kill it in the end; yields a function that kills it before."""
    process = subprocess.Popen([sys.executable, "-P", "-c", _HOLDER, str(path)], stdout=subprocess.PIPE, text=True)

    def kill() -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield kill
    finally:
        kill()
