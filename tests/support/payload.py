"""A harmless stand-in for the code in a hostile file."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Payload:
    """An object whose pickle makes a file at `path` when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
