"""What there is to render: a sample of a data set, or a scene that is given. A job makes its sample wherever something renders for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import Hopeless, UserError
from datagen.samples.generate import Render, generate_sample
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings, sample_key
from datagen.scene import Quality, Scene, Shot

FRAME_SECONDS = 60.0
PIXEL_SECONDS: dict[Quality, float] = {"draft": 1e-3, "standard": 1e-3, "reference": 0.1}
"""A frame is waited for `FRAME_SECONDS` and this much for each pixel, some twenty times what a slow core takes; then it hangs."""

MOST_OF_THE_REASON = 300  # characters of an unforeseen error


@dataclass(frozen=True)
class RenderJob:
    """A scene to render. ``blend`` also saves it there, as a .blend file (see `blender_scenes.blend`)."""

    key: str
    scene: Scene
    shot: Shot
    blend: Path | None = None

    @cached_property
    def domain(self) -> Domain:
        """The scene's; `UserError` if there is none of that name."""
        return get_domain(self.scene.domain)

    def sample(self, render: Render) -> Sample:
        """The sample, given what renders."""
        return make_sample(self.key, self.scene, self.shot, render(self.scene, self.shot))

    def request(self) -> dict[str, Any]:
        """The job as plain JSON; `read_job` is the inverse."""
        blend = None if self.blend is None else str(self.blend.absolute())
        return {"key": self.key, "scene": self.scene.to_json(), "shot": self.shot.to_json(), "blend": blend}

    @property
    def patience(self) -> float:
        """Seconds after which this job hangs."""
        return _patience(self.shot.width, self.shot.height, self.shot.quality)


@dataclass(frozen=True)
class DrawJob:
    """A sample of a data set to draw and render."""

    settings: DatasetSettings
    index: int
    blend: None = None

    @property
    def key(self) -> str:
        return sample_key(self.index)

    @property
    def domain(self) -> Domain:
        """The data set's."""
        return self.settings.resolved_domain

    def sample(self, render: Render) -> Sample:
        """The sample, given what renders. `UserError` if no scene can be placed."""
        return generate_sample(self.settings, self.index, render)

    def request(self) -> dict[str, Any]:
        """The job as plain JSON; `read_job` is the inverse."""
        return {"settings": self.settings.to_json(), "index": self.index}

    @property
    def patience(self) -> float:
        """Seconds after which this job hangs."""
        return _patience(self.settings.width, self.settings.height, self.settings.quality)


Job = RenderJob | DrawJob
Made = TypeVar("Made")


def read_job(request: Mapping[str, Any], settings: DatasetSettings | None = None) -> Job:
    """The job that `request` made plain; if it states no settings, with these. KeyError, TypeError, ValueError or `UserError` for anything
    else."""
    if "index" in request:
        if settings is None or "settings" in request:
            settings = DatasetSettings.from_json(request["settings"])
        return DrawJob(settings, request["index"])
    blend = request.get("blend")
    return RenderJob(request["key"], Scene.from_json(request["scene"]), Shot.from_json(request["shot"]), Path(blend) if blend else None)


def attempt(make: Callable[[], Made]) -> Made | UserError:
    """What is made, or what is wrong with the job in one line: whatever a scene's values provoke must not cost the run. What is
    `Hopeless` does."""
    try:
        return make()
    except Hopeless:
        raise
    except UserError as error:
        return error.with_traceback(None)  # which would hold all that the frames hold
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_OF_THE_REASON].removesuffix(":")
        return UserError(f"it cannot be rendered ({reason})")


def _patience(width: int, height: int, quality: Quality) -> float:
    return FRAME_SECONDS + width * height * PIXEL_SECONDS[quality]
