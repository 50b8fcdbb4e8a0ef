"""Ids of a name and a seed, such as ``aeroplane-3`` and ``checks-12``: those of the assets modelled here, and of textures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from datagen.errors import UserError

MOST_SEED = 999_999
_ID = re.compile(r"([a-z]+)-(0|[1-9][0-9]{0,5})")


@dataclass(frozen=True)
class SeededIds:
    """The ids of one kind of ``thing``. ``names`` are the names that ids may have; messages call a name ``part`` and show ``example``."""

    thing: str
    part: str
    names: tuple[str, ...]
    example: str

    def join(self, name: str, seed: int) -> str:
        """The id of a name and a seed. `UserError` for an unknown name, or a seed outside [0, `MOST_SEED`]."""
        if name not in self.names:
            raise UserError(f"there is no {self.part} {name!r}; choose one of {', '.join(self.names)}")
        if not 0 <= seed <= MOST_SEED:
            raise UserError(f"the {self.thing}'s seed is {seed}, but must be between 0 and {MOST_SEED:,}")
        return f"{name}-{seed}"

    def __contains__(self, text: str) -> bool:
        found = _ID.fullmatch(text)
        return found is not None and found[1] in self.names

    def split(self, text: str) -> tuple[str, int]:
        """The inverse of `join`. `UserError` for a text that is no id."""
        found = _ID.fullmatch(text)
        if found is None or found[1] not in self.names:
            names = ", ".join(self.names)
            raise UserError(f"there is no {self.thing} {text!r}; ids are a {self.part} ({names}), a hyphen and a seed, as {self.example}")
        return found[1], int(found[2])
