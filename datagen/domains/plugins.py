"""Domains of other packages: entry points of the group ``igllm.domains``, as ``tetra = "tetra.domain:TETRA"``.

The installed packages alone decide what is imported: a domain name in a data set or a checkpoint is looked up among their entry points
and never names a file.
"""

from __future__ import annotations

import importlib
import os
import traceback
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from datagen.domains.base import Domain, PaintedDomain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError

GROUP = "igllm.domains"
GUIDE = "docs/new-domain.md"
_BASES = (StagedDomain, PaintedDomain)


def outside_packages() -> dict[str, str]:
    """The package and version that provides each domain, by domain name, sorted. No package is imported."""
    return {point.name: _package(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


@cache
def outside_domain(name: str) -> Domain | None:
    """The domain of that name from an installed package; None if no package provides one, `UserError` if it cannot be used."""
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        return None
    if len(points) > 1:
        raise UserError(f"several packages bring a domain {name!r}: {', '.join(sorted(map(_package, points)))}; uninstall all but one")
    what = f"the domain {name!r} of the package {_package(points[0])}"
    return _checked(name, load(points[0].value, what), f"{what} ({points[0].value})")


def load(reference: str, what: str) -> Any:
    """Import the object that ``package.module:NAME`` names. `UserError`, beginning with `what`, if that fails."""
    try:
        return EntryPoint("", reference, GROUP).load()
    except Exception as error:  # another package's code can raise anything
        raise UserError(f"{what} cannot be imported: {reference}: {_described(error)}") from error


def _checked(name: str, domain: Any, what: str) -> Domain:
    """The imported domain; `UserError`, beginning with `what`, if it is no domain or has another name."""
    if not isinstance(domain, _BASES):
        bases = " or ".join(f"{base.__module__}.{base.__name__}" for base in _BASES)
        kind = "is a class: the entry point must name the domain that is made of it" if isinstance(domain, type) else f"is no {bases}"
        raise UserError(f"{what} {kind}; see {GUIDE}")
    if domain.name != name:
        raise UserError(f"{what} calls itself {domain.name!r}: its entry point must have that name")
    return domain


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "without a name"


def _described(error: Exception) -> str:
    """An error in one line, with the file and line in the loaded code that raised it."""
    reason = f"{type(error).__name__}: {error}"
    machinery = (__file__, "<", os.path.dirname(importlib.__file__))
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(machinery)]
    return f"{reason} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else reason
