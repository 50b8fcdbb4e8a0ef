"""The domains by name. A new one is a file here and, if Blender renders it, a builder in `blender_scenes/`."""

from __future__ import annotations

from datagen.domain import Domain
from datagen.domains.assets import Assets
from datagen.domains.clevr import Clevr
from datagen.domains.dot2d import Dot2d
from datagen.domains.own_assets import is_own_domain, own_domain
from datagen.domains.pose6d import Pose6d
from datagen.domains.so3 import So3
from datagen.errors import UserError

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (Clevr(), Dot2d(), So3(), Pose6d(), Assets())}


def get_domain(name: str) -> Domain:
    """The domain of that name, or of that name's assets of somebody's own; `UserError` if there is none."""
    if is_own_domain(name):
        return own_domain(name)
    if name not in DOMAINS:
        raise UserError(f"there is no domain {name!r}; choose one of {', '.join(DOMAINS)}")
    return DOMAINS[name]
