"""Scene, shot and view of a sample, drawn from (seed, index) and the settings alone before any pixel is rendered."""

from __future__ import annotations

from dataclasses import dataclass, replace

from datagen.errors import UserError
from datagen.geometry.view import View, min_visible_pixels
from datagen.rng import Stream
from datagen.samples.cameras import extremes, moved
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Scene, Shot

MAX_ATTEMPTS = 5000
CHECK_TRIES, CHECK_SUCCESSES = 500, 2  # with a lower rate of success, one of many draws could fail
CHECK_PIXELS = 320  # longer side of the frame in which requests are checked
_CAMERA_STREAM = 1


@dataclass(frozen=True)
class Drawn:
    """A scene that was accepted on try ``attempt`` (from 0), its shot, and the view: which object each pixel will show."""

    scene: Scene
    shot: Shot
    view: View
    attempt: int


def draw(settings: DatasetSettings, index: int) -> Drawn:
    """Draw the sample of an index: the first try in which every object shows enough pixels.

    The number of objects and the camera are drawn once, each from its own stream, so that rejected tries neither make crowded scenes
    rarer nor favour a camera, and so that the tries of a sample are the same scenes for any cameras. Raises `UserError` after
    `MAX_ATTEMPTS` tries.
    """
    seed = settings.seed
    least, most = settings.objects
    count = least + Stream(seed, index, 0).below(most - least + 1)
    template = settings.shot(_camera(settings, index))
    for attempt in range(MAX_ATTEMPTS):
        drawn = _try(settings, Stream(seed, index, attempt + 1), count, template)
        if drawn is not None and drawn[2] is not None:
            return Drawn(*drawn[:2], drawn[2], attempt)
    raise UserError(
        f"seed {seed}, index {index}: no scene of {count} objects that can all be seen in {MAX_ATTEMPTS} tries; ask for fewer objects"
    )


def _try(settings: DatasetSettings, rng: Stream, count: int, template: Shot) -> tuple[Scene, Shot, View | None] | None:
    """One try at a scene and its shot, with the view if every object shows enough pixels; None if placement failed."""
    domain = settings.resolved_domain
    scene = domain.sample_scene(rng, count, settings.allowed)
    if scene is None:
        return None
    shot = domain.sample_shot(rng, template, settings.light_jitter)
    least = min_visible_pixels(shot.width, shot.height)
    return scene, shot, domain.view(scene, shot, least)


def _camera(settings: DatasetSettings, index: int) -> Camera | None:
    """One of the settings' cameras, drawn uniformly and moved by the jitter; None if the domain has no camera."""
    if len(settings.cameras) < 2 and settings.camera_jitter == 0:
        return settings.cameras[0] if settings.cameras else None
    rng = Stream(settings.seed, index, 0, _CAMERA_STREAM)
    camera = settings.cameras[rng.below(len(settings.cameras))]
    if settings.camera_jitter == 0:
        return camera
    x, y, z = (rng.uniform(-settings.camera_jitter, settings.camera_jitter) for _ in range(3))
    return moved(camera, (x, y, z))


def check_request(settings: DatasetSettings) -> None:
    """Raise `UserError` before anything is rendered if the settings could not be drawn for every index.

    Tries scenes with the most objects, in a small frame, before every camera (with jitter, from the corners of its possible locations):
    bounded work of at most a few seconds. The result does not depend on the seed.
    """
    shrink = min(1.0, CHECK_PIXELS / max(settings.width, settings.height))
    width, height = (max(16, round(side * shrink)) for side in (settings.width, settings.height))
    small = replace(settings, width=width, height=height)
    stands: list[Camera | None] = [stand for camera in settings.cameras for stand in extremes(camera, settings.camera_jitter)]
    for stand in stands or [None]:
        _check_camera(small, stand)


def _check_camera(settings: DatasetSettings, camera: Camera | None) -> None:
    count = settings.objects[1]
    placed = seen = 0
    for attempt in range(CHECK_TRIES):
        drawn = _try(settings, Stream(0, 0, attempt + 1), count, settings.shot(camera))
        placed += drawn is not None
        seen += drawn is not None and drawn[2] is not None
        if seen == CHECK_SUCCESSES:
            return
    if placed < CHECK_SUCCESSES:
        raise UserError(
            f"the split {settings.split!r} leaves no room for {count} objects (placed in {placed} of {CHECK_TRIES} tries); ask for fewer "
            "objects, wider ranges or smaller sizes"
        )
    where, move = "the frame", "take a frame nearer to a square"
    if camera is not None:
        where, move = f"the camera {camera.name!r} at {camera.location}", "move the camera"
    raise UserError(
        f"{where} does not show enough of all of {count} objects of the split {settings.split!r} ({seen} of {placed} scenes would do); "
        f"ask for fewer or larger objects, or {move}"
    )
