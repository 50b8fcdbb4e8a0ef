"""Jobs to render: a sample of a data set, or a given scene. A job makes its sample in any process, with the renderer of that process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import Hopeless, UserError
from datagen.samples.generate import Render, generate_sample
from datagen.samples.labels import view_of
from datagen.samples.passes import pass_files
from datagen.samples.record import matrices_of
from datagen.samples.sample import Sample, make_sample
from datagen.samples.settings import DatasetSettings
from datagen.scene import Quality, Scene, Shot

FRAME_SECONDS = 60.0
PIXEL_SECONDS: dict[Quality, float] = {"draft": 1e-3, "standard": 1e-3, "reference": 0.1}
"""A worker counts as hanging once a frame takes more than `FRAME_SECONDS` and this for each pixel, some twenty times a slow core's time."""

EXPORTS = {"blend": ".blend", "glb": ".glb", "script": ".blender.py"}
"""The kinds of files that can be made out of a scene (see `blender_scenes.exporter`), and their suffixes."""
EXPORT_SECONDS = 120.0  # added for each of them

MOST_OF_THE_REASON = 300  # characters of an unforeseen error


@dataclass(frozen=True)
class RenderJob:
    """A scene to render. ``also`` are the files to write besides, by their kind: one of `EXPORTS`, and the path; ``passes`` are those of
    `datagen.samples.passes` whose files belong to the sample."""

    key: str
    scene: Scene
    shot: Shot
    also: Mapping[str, Path] = field(default_factory=dict, hash=False)
    passes: tuple[str, ...] = ()

    @cached_property
    def domain(self) -> Domain:
        """The scene's domain; `UserError` if there is none of that name."""
        return get_domain(self.scene.domain)

    def sample(self, render: Render) -> Sample:
        """The sample, rendered by `render`; its record has the camera's matrices. `UserError` if the scene is none of its domain."""
        self.domain.check(self.scene)
        view = view_of(self.scene, self.domain, self.shot)
        extras = pass_files(self.passes, self.scene, self.domain, self.shot, view)
        pixels = render(self.scene, self.shot)
        return make_sample(self.key, self.scene, self.shot, pixels, view, extras=extras, facts=matrices_of(self.shot))

    def request(self) -> dict[str, Any]:
        """The job as plain JSON; `read_job` is the inverse."""
        also = {kind: str(path.absolute()) for kind, path in self.also.items()}
        return {"key": self.key, "scene": self.scene.to_json(), "shot": self.shot.to_json(), "also": also, "passes": self.passes}

    @property
    def patience(self) -> float:
        """Seconds after which a worker counts as hanging on this job."""
        return _patience(self.shot.width, self.shot.height, self.shot.quality) + EXPORT_SECONDS * len(self.also)


@dataclass(frozen=True)
class DrawJob:
    """A sample of a data set to draw and render."""

    settings: DatasetSettings
    index: int

    @property
    def key(self) -> str:
        return self.settings.key(self.index)

    @property
    def domain(self) -> Domain:
        """The data set's domain."""
        return self.settings.resolved_domain

    def sample(self, render: Render) -> Sample:
        """The sample, drawn, and rendered by `render`. `UserError` if no scene can be placed."""
        return generate_sample(self.settings, self.index, render)

    def request(self) -> dict[str, Any]:
        """The job as plain JSON; `read_job` is the inverse."""
        return {"settings": self.settings.to_json(), "index": self.index}

    @property
    def patience(self) -> float:
        """Seconds after which a worker counts as hanging on this job."""
        return _patience(self.settings.width, self.settings.height, self.settings.quality)


@dataclass(frozen=True)
class FrameJob:
    """A frame of a scene as raw pixels, without labels and in no file format, for who renders the same scene again and again.

    ``samples`` a pixel replace those of the shot's quality. With a ``window`` (left, top, right, bottom, in pixels), only this part of the
    frame is rendered.
    """

    scene: Scene
    shot: Shot
    samples: int
    window: tuple[int, int, int, int] | None = None
    key: str = "frame"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the pixels."""
        left, top, right, bottom = self.window or (0, 0, self.shot.width, self.shot.height)
        return bottom - top, right - left, 3

    def request(self) -> dict[str, Any]:
        """The job as plain JSON; `read_job` is the inverse."""
        return {"samples": self.samples, "window": self.window, "scene": self.scene.to_json(), "shot": self.shot.to_json()}

    @property
    def patience(self) -> float:
        """Seconds after which a worker counts as hanging on this job."""
        return _patience(self.shot.width, self.shot.height, self.shot.quality)


Job = RenderJob | DrawJob | FrameJob
PIXELS = ".rgb"
"""The suffix of a `FrameJob`'s only file: rows of pixels, three bytes of sRGB each."""
Made = TypeVar("Made")


def read_job(request: Mapping[str, Any], settings: DatasetSettings | None = None) -> Job:
    """The job of a `request`, with these settings if the request has none. KeyError, TypeError, ValueError or `UserError` for anything
    else."""
    if "index" in request:
        if settings is None or "settings" in request:
            settings = DatasetSettings.from_json(request["settings"])
        return DrawJob(settings, request["index"])
    scene, shot = Scene.from_json(request["scene"]), Shot.from_json(request["shot"])
    if "samples" in request:
        window = request["window"]
        left, top, right, bottom = map(int, window or (0, 0, 0, 0))
        return FrameJob(scene, shot, int(request["samples"]), (left, top, right, bottom) if window else None)
    also = {kind: Path(path) for kind, path in request.get("also", {}).items()}
    return RenderJob(request["key"], scene, shot, also, tuple(request.get("passes", ())))


def attempt(make: Callable[[], Made]) -> Made | UserError:
    """The result of `make`, or its error as a `UserError`, because no error caused by a scene's values may end the whole call. `Hopeless`
    is raised."""
    try:
        return make()
    except Hopeless:
        raise
    except UserError as error:
        return error.with_traceback(None)  # the traceback would keep the data of its frames in memory
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:MOST_OF_THE_REASON].removesuffix(":")
        return UserError(f"it cannot be rendered ({reason})")


def _patience(width: int, height: int, quality: Quality) -> float:
    return FRAME_SECONDS + width * height * PIXEL_SECONDS[quality]
