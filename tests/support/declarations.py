"""What a domain declares, to make another of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from datagen.domains.base import Domain


def declared(domain: Domain, **changes: Any) -> dict[str, Any]:
    """What a domain was made with, but for some changes: for a subclass of its class to be made with."""
    return {field.name: getattr(domain, field.name) for field in fields(domain)} | changes
