"""How long a run was worked on, in all calls together, those that were killed included."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from datagen.io.declared import read_declared, to_plain
from datagen.io.files import write_json

SECONDS = "seconds.json"
EVERY = 2.0  # seconds between two notes: as much is not counted where a call is killed


class Worked(Struct):
    """``seconds.json``: how long a run was worked on."""

    seconds: Annotated[float, Meta(ge=0, le=1e12)]


@contextmanager
def clocked(run: Path) -> Iterator[None]:
    """Add the seconds that go by in the block to those that earlier calls worked on a run. A run that is not begun within the block,
    because it was refused, keeps none."""
    before, begin, over = seconds(run), time.monotonic(), threading.Event()

    def note() -> None:
        from model.run_folder import RUN

        if (run / RUN).exists():
            write_json(run / SECONDS, to_plain(Worked(before + time.monotonic() - begin)))

    def tick() -> None:
        while not over.wait(EVERY):
            with suppress(OSError):  # such as a full disk's: what the block itself writes tells of it
                note()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
        note()


def seconds(run: Path) -> float:
    """The seconds that were worked on a run so far."""
    path = run / SECONDS
    return read_declared(path, Worked).seconds if path.exists() else 0.0
