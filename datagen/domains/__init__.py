"""The domains by name. A new one is a file here and a builder in `blender_scenes/`."""

from __future__ import annotations

from datagen.domain import Domain
from datagen.domains.clevr import Clevr
from datagen.errors import UserError

DOMAINS: dict[str, Domain] = {Clevr.name: Clevr()}


def get_domain(name: str) -> Domain:
    """The domain of that name; `UserError` if there is none."""
    if name not in DOMAINS:
        raise UserError(f"there is no domain {name!r}; choose one of {', '.join(DOMAINS)}")
    return DOMAINS[name]
