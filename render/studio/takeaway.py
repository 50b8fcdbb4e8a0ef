"""Files made out of a scene, to take into other tools."""

from __future__ import annotations

import tempfile
from pathlib import Path

from datagen.domains.base import Domain, PaintedDomain
from datagen.errors import UserError
from datagen.scene import Scene, Shot
from datagen.workers.jobs import EXPORTS, RenderJob
from render.studio.blender import KEY, Blender


def kinds(domain: Domain) -> list[str]:
    """The kinds of files that Blender makes of a domain's scenes; code and picture are in the page already."""
    return [] if isinstance(domain, PaintedDomain) else list(EXPORTS)


def make_file(kind: str, scene: Scene, shot: Shot, domain: Domain, blender: Blender) -> bytes:
    """The content of a file of that kind. `UserError` if the domain has none, or it cannot be written."""
    possible = kinds(domain)
    if kind not in possible:
        raise UserError(f"there is no {kind} file of a scene of the domain {domain.name}; there are: {', '.join(possible) or 'none'}")
    with tempfile.TemporaryDirectory(prefix="igllm-studio-") as folder:
        path = Path(folder, KEY + EXPORTS[kind])
        blender.sample(RenderJob(KEY, scene, shot, {kind: path}))
        return path.read_bytes()
