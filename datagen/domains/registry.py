"""The domains by name: the built-in ones, a file each in this folder, and those of other packages."""

from __future__ import annotations

from datagen.domains.assets import ASSETS
from datagen.domains.base import Domain
from datagen.domains.clevr import CLEVR
from datagen.domains.dot2d import DOT2D
from datagen.domains.own_assets import is_own_domain, own_domain
from datagen.domains.plugins import outside_domain, outside_packages
from datagen.domains.pose6d import POSE6D
from datagen.domains.so3 import SO3
from datagen.errors import UserError, did_you_mean

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (CLEVR, DOT2D, SO3, POSE6D, ASSETS)}
"""The built-in domains. No other domain can have one of their names."""


def get_domain(name: str) -> Domain:
    """The domain of that name: built in, of people's own assets, or from a package. `UserError` if there is none or it cannot be used."""
    if is_own_domain(name):
        return own_domain(name)
    found = DOMAINS.get(name) or outside_domain(name)
    if found is None:
        known = domain_names()
        meant = did_you_mean(name, known)
        raise UserError(f"there is no domain {name!r}; choose one of {', '.join(known)}, or install the package that brings it{meant}")
    return found


def domain_names() -> list[str]:
    """The names of all built-in domains, then those of other packages."""
    return [*DOMAINS, *(name for name in outside_packages() if name not in DOMAINS)]
