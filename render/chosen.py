"""Which samples a comparison is of, as its flags say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datagen.errors import UserError
from datagen.io.files import read_text
from render.sides import Side


def chosen(reference: Path, candidates: Sequence[Path], num: int | None, named: str | None, predicted_only: bool) -> list[str]:
    """The keys of the reference to compare, in its order or in that of ``named``: those that are named (see `named_keys`), of these with
    ``predicted_only`` those that every candidate has an answer to, and of these the first `num`.

    `UserError` for a key that the reference lacks, if nothing is left, or if fewer than `num` are.
    """
    known = Side(reference).keys
    keys = known if named is None else named_keys(named)
    strangers = sorted(set(keys) - set(known))
    if strangers:
        raise UserError(f"--keys: {reference} has no sample {', '.join(strangers[:5])}{', …' if len(strangers) > 5 else ''}")
    if predicted_only:
        for candidate in candidates:
            answered = set(Side.of(candidate).keys)
            keys = [key for key in keys if key in answered]
        if not keys:
            raise UserError("--predicted-only: the candidates have no sample of the reference in common")
    if num is not None and num > len(keys):
        raise UserError(f"--num {num}: there are {len(keys)} samples to compare")
    return keys[:num]


def named_keys(text: str) -> list[str]:
    """The keys that a text names: those in the file of that name, one a line, or the text itself, separated by commas; each once."""
    path = Path(text)
    lines = read_text(path).splitlines() if path.is_file() else text.split(",")
    keys = list(dict.fromkeys(key for line in lines if (key := line.strip())))
    if not keys:
        raise UserError(f"--keys {text}: names no key")
    return keys
