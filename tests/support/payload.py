"""What a hostile file would have run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Payload:
    """A pickle that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)
