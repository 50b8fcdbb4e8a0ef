"""The duration of a training: the seconds of all its calls together, killed calls included."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from datagen.errors import UserError
from datagen.io.declared import read_declared, to_plain
from datagen.io.files import write_json

SECONDS = "seconds.json"
EVERY = 2.0  # seconds between two writes: a killed call loses at most as many


class Worked(Struct):
    """``seconds.json`` in the folder of a training: the duration of all its calls so far."""

    seconds: Annotated[float, Meta(ge=0, le=1e12)]


@contextmanager
def clocked(folder: Path) -> Iterator[None]:
    """Add the seconds that the block takes to those of earlier calls. Nothing is written as long as the folder has no ``run.json``: a new
    training that is refused leaves no file."""
    before, begin, over = seconds(folder), time.monotonic(), threading.Event()

    def note() -> None:
        from model.run_folder import RUN

        if (folder / RUN).exists():
            write_json(folder / SECONDS, to_plain(Worked(before + time.monotonic() - begin)))

    def tick() -> None:
        while not over.wait(EVERY):
            with suppress(OSError):  # such as a full disk, which the block itself will report when it writes
                note()

    ticking = threading.Thread(target=tick, daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
        note()


def seconds(folder: Path) -> float:
    """The seconds of all calls of a training so far; 0 if none is recorded. `UserError` if the record is damaged."""
    path = folder / SECONDS
    if not os.path.lexists(path):
        return 0.0
    try:
        return read_declared(path, Worked).seconds
    except UserError as error:
        raise UserError(f"{error}; delete it to have the seconds counted from nothing") from None
