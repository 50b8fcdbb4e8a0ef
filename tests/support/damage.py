"""What may befall a file: it is cut short or emptied, or a bit of it changes."""

from __future__ import annotations

from pathlib import Path


def truncate(path: Path) -> None:
    """Keep the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change a bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def last_bit(path: Path) -> None:
    """Change a bit at the end: of weights, the value is as good as any."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
