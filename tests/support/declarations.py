"""The declaration of a domain, for making a changed one."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from datagen.domains.base import Domain


def declared(domain: Domain, **changes: Any) -> dict[str, Any]:
    """The arguments that a domain was made with, some of them changed, for the constructor of a subclass."""
    return {field.name: getattr(domain, field.name) for field in fields(domain)} | changes
