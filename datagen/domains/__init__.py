"""The domains by name: those built in, each a file here, and those that other packages bring."""

from __future__ import annotations

from datagen.domain import Domain
from datagen.domains.clevr import Clevr
from datagen.domains.dot2d import Dot2d
from datagen.errors import UserError
from datagen.outside import outside_domain, outside_packages

DOMAINS: dict[str, Domain] = {domain.name: domain for domain in (Clevr(), Dot2d())}
"""Those built in. No other can take their names."""


def get_domain(name: str) -> Domain:
    """The domain of that name, built in or of a package; `UserError` if there is none, or if the package's cannot be used."""
    found = DOMAINS.get(name) or outside_domain(name)
    if found is None:
        raise UserError(f"there is no domain {name!r}; choose one of {', '.join(domain_names())}, or install the package that brings it")
    return found


def domain_names() -> list[str]:
    """The names of all, those built in first."""
    return [*DOMAINS, *(name for name in outside_packages() if name not in DOMAINS)]
