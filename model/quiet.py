"""Keeps off what libraries show by themselves: one verb shows one bar of its own, and ends with one message."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transformers.utils import logging


def quiet_transformers() -> None:
    """Silence the bars for loading and saving weights, hints that are no errors, and the pages of a configuration before an error."""
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)


@contextmanager
def one_error_of_logs(run: Path) -> Iterator[None]:
    """Have tensorboard's thread not print what it could not write: it is raised again where something is logged, and names the run here."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not type(arguments.thread).__module__.startswith("tensorboard"):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(run)
        raise
    finally:
        threading.excepthook = before
