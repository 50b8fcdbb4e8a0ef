"""Keeps transformers' own progress bars off: one verb shows one bar of its own."""

from __future__ import annotations

from transformers.utils import logging


def quiet_transformers() -> None:
    """Silence the bars for loading and saving weights, and hints that are no errors."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
