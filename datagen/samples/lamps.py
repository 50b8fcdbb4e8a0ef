"""Lamps of people's own: reading them from a JSON file, and checking them against a scene's ground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from datagen.geometry.ground import Sweep
from datagen.io.declared import MAX_BYTES, FileName, as_declared
from datagen.io.files import read_json
from datagen.io.untrusted import refuse
from datagen.samples.cameras import REACH
from datagen.scene import Lamp

MAX_LAMPS = 64
LAMP_CLEARANCE = 0.5  # least distance of a lamp from the ground and backdrop, in metres
LEAST_REACH = 0.01  # least distance of a lamp from the origin, which it faces, in metres

Place = Annotated[float, Meta(ge=-REACH, le=REACH)]
Light = Annotated[float, Meta(ge=0, le=1)]


class LampFields(Struct, forbid_unknown_fields=True):
    """One lamp in a file of lamps: see `Lamp`. An edge of half a metre and white light apply to missing fields."""

    location: tuple[Place, Place, Place]
    power: Annotated[float, Meta(ge=0, le=1e6)]
    size: Annotated[float, Meta(ge=0.001, le=100)] = 0.5
    color: tuple[Light, Light, Light] = (1.0, 1.0, 1.0)


LampsFile = dict[FileName, LampFields]
"""The content of a file of lamps: the lamps by name."""


def load_lamps(path: Path) -> tuple[Lamp, ...]:
    """The lamps in a JSON file ``{"name": {"location": [x, y, z], "power": 80, "size": 0.5, "color": [1, 1, 1]}, ...}``.

    Location and size (the edge of a square that faces the origin) are in metres, power is in watts, the colour linear RGB from 0 to 1; size
    and colour may be left out. A file without lamps leaves the sun, or the grey around a floating object. `UserError` that names the file
    and the field.
    """
    named = as_declared(read_json(path, MAX_BYTES), LampsFile, str(path))
    if len(named) > MAX_LAMPS:
        refuse(str(path), "the number of lamps", len(named), f"at most {MAX_LAMPS}")
    for name, lamp in named.items():
        if max(map(abs, lamp.location)) < LEAST_REACH:
            refuse(str(path), f"{name}.location", lamp.location, f"at least {LEAST_REACH:g} m from the origin, which lamps face")
    return tuple(Lamp(name, lamp.location, lamp.size, lamp.power, lamp.color) for name, lamp in named.items())


def check_lamps(lamps: tuple[Lamp, ...], sweep: Sweep, where: str) -> None:
    """`UserError` that begins with `where` if a lamp is not clear of this ground and backdrop, which would hide it."""
    for lamp in lamps:
        if sweep.room(lamp.location) < LAMP_CLEARANCE:
            allowed = f"at least {LAMP_CLEARANCE:g} m above the ground and in front of the backdrop"
            refuse(where, f"{lamp.name}.location", list(lamp.location), allowed)
