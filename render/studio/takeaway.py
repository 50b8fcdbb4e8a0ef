"""Files made out of a scene, to take into other tools."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

from datagen.domains.base import Domain, PaintedDomain
from datagen.errors import UserError
from datagen.scene import Scene, Shot
from datagen.workers.jobs import RenderJob
from render.studio.blender import KEY, Blender

SUFFIXES = {"blend": ".blend", "glb": ".glb", "script": ".blender.py"}
"""The suffix of each kind of file that is made in a worker. Code and picture are in the page already."""
_ALSO = "also"  # the field of a job that names its files by their kinds, in versions that make more than a .blend


def kinds(domain: Domain) -> list[str]:
    """The kinds of files that can be made of a domain's scenes."""
    if isinstance(domain, PaintedDomain):
        return []
    possible = {field.name for field in fields(RenderJob)}
    return list(SUFFIXES) if _ALSO in possible else [kind for kind in SUFFIXES if kind in possible]


def make_file(kind: str, scene: Scene, shot: Shot, domain: Domain, blender: Blender) -> bytes:
    """The content of a file of that kind. `UserError` if the domain has none, or it cannot be written."""
    possible = kinds(domain)
    if kind not in possible:
        raise UserError(f"there is no {kind} file of a scene of the domain {domain.name}; there are: {', '.join(possible) or 'none'}")
    with tempfile.TemporaryDirectory(prefix="igllm-studio-") as folder:
        path = Path(folder, KEY + SUFFIXES[kind])
        asked: dict[str, Any] = {_ALSO: {kind: path}} if _ALSO in {field.name for field in fields(RenderJob)} else {kind: path}
        blender.sample(RenderJob(KEY, scene, shot, **asked))
        return path.read_bytes()
