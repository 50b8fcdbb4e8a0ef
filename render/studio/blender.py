"""Blender for the studio: warm workers, so that a draft takes less than a start of Blender, each on all cores."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType

import numpy as np

from datagen.domains.base import Domain, PaintedDomain
from datagen.errors import UserError
from datagen.images.encoding import decode_image
from datagen.samples.in_code import stated_shot
from datagen.samples.sample import EncodedSample
from datagen.scene import Quality, Scene, Shot
from datagen.workers.cores import available_cores
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from render.rerender import checked_code
from render.studio.asked import AskedScene, shot_of

WORKERS = 2
"""One for drafts and one for what takes longer, so that a draft never waits for a better picture of an older scene."""
KEY = "scene"


class Blender:
    """A pool of `WORKERS` processes. Use as a context manager; methods may be called from several threads."""

    def __init__(self) -> None:
        # Both are seldom at work at once, and then a draft shares the cores with a picture that nobody waits for any more.
        self.pool = RenderPool(WORKERS, threads=len(available_cores()))

    def __enter__(self) -> Blender:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.pool.__exit__(kind, error, trace)

    def warm(self, domain: Domain) -> None:
        """Start all workers and let each render a small picture of a domain, since its first one takes longer."""
        if isinstance(domain, PaintedDomain):
            return
        shot = domain.canonical_shot(32, 24, "draft")
        jobs = [RenderJob(f"warm-{number}", Scene(domain.name, ()), shot) for number in range(WORKERS)]
        list(self.pool.render(jobs))

    def picture(self, scene: Scene, shot: Shot, quality: Quality) -> EncodedSample:
        """The sample of a scene; `UserError` with the reason if it cannot be rendered."""
        return self.sample(RenderJob(KEY, scene, replace(shot, quality=quality)))

    def sample(self, job: RenderJob) -> EncodedSample:
        """The sample of a job; `UserError` with the reason if it cannot be rendered."""
        for _, outcome in self.pool.render([job]):
            if isinstance(outcome, UserError):
                raise outcome
            return outcome
        raise UserError("Blender gave no picture")


def shown_scene(asked: AskedScene, domain: Domain) -> tuple[Scene, Shot]:
    """The canonical scene of some code, and the shot to show it in: the camera and the lamps that the code states, and the rest as asked.
    `UserError` if it is no code, or for a shot that is none."""
    scene = domain.canonical(checked_code(asked.code, domain))
    return scene, stated_shot(scene, domain, shot_of(asked.shot, domain))


def pixels_of(sample: EncodedSample) -> np.ndarray:
    """The picture of a sample, (height, width, 3) uint8."""
    return decode_image(sample.files()[".png"], "the picture")
