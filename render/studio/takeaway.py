"""Files made out of a scene, to take into other tools."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

from datagen.domains.base import Domain, PaintedDomain
from datagen.errors import UserError
from datagen.scene import Scene, Shot
from datagen.workers.jobs import RenderJob
from render.studio.blender import KEY, Blender

SUFFIXES = {"blend": ".blend", "glb": ".glb", "script": ".blender.py"}
"""The suffix of each kind of file that is made in a worker. Code and picture are in the page already."""


def kinds(domain: Domain) -> list[str]:
    """The kinds of files that can be made of a domain's scenes by what is installed."""
    if isinstance(domain, PaintedDomain):
        return []
    possible = {field.name for field in fields(RenderJob)}
    return [kind for kind in SUFFIXES if kind in possible]


def make_file(kind: str, scene: Scene, shot: Shot, domain: Domain, blender: Blender) -> bytes:
    """The content of a file of that kind. `UserError` if the domain has none, or it cannot be written."""
    if kind not in kinds(domain):
        known = ", ".join(kinds(domain)) or "none"
        raise UserError(f"there is no {kind} file of a scene of the domain {domain.name}; there are: {known}")
    with tempfile.TemporaryDirectory(prefix="igllm-studio-") as folder:
        path = Path(folder, KEY + SUFFIXES[kind])
        blender.sample(RenderJob(KEY, scene, shot, **{kind: path}))
        return path.read_bytes()
