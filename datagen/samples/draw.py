"""Scene, shot and view of a sample, drawn from (seed, index) and the settings alone before any pixel is rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.geometry.sight import Sight
from datagen.geometry.view import View, min_visible_pixels
from datagen.rng import Stream
from datagen.samples.cameras import extremes, moved
from datagen.samples.in_code import headed
from datagen.samples.settings import DatasetSettings
from datagen.scene import Camera, Scene, Shot

MAX_ATTEMPTS = 5000
CAMERA_TRIES = 1000  # tries at a scene before the first cameras of a split's ranges; then each try has cameras of its own
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
    """Draw the sample of an index: the first try in which every object shows enough pixels, in each of its scene's views.

    The number of objects and the cameras are drawn once, each from its own stream, so that rejected tries neither make crowded scenes
    rarer nor favour a camera, and so that the tries of a scene are the same for any cameras. Cameras out of a split's ranges, before which
    so many objects may hardly find room, are drawn anew for every try after `CAMERA_TRIES`. Raises `UserError` after `MAX_ATTEMPTS` tries.
    """
    seed, (number, which) = settings.seed, settings.scene_and_view(index)
    least, most = settings.objects
    count = least + Stream(seed, number, 0).below(most - least + 1)
    cameras = scene_cameras(settings, number)
    for attempt in range(MAX_ATTEMPTS):
        if settings.allowed.camera and attempt >= CAMERA_TRIES:
            cameras = scene_cameras(settings, number, 1 + attempt - CAMERA_TRIES)
        drawn = _try(settings, Stream(seed, number, attempt + 1), count, cameras)
        if drawn is not None and drawn.views:
            return Drawn(drawn.scenes[which], drawn.shots[which], drawn.views[which], attempt)
    raise UserError(
        f"seed {seed}, index {index}: no scene of {count} objects that can all be seen in {MAX_ATTEMPTS} tries; ask for fewer objects"
    )


@dataclass(frozen=True)
class _Tried:
    """A scene, as often as it has shots, one for each camera, which may be in its code; its shots and their views. There are no views if
    in one of them an object shows too few pixels."""

    scenes: list[Scene]
    shots: list[Shot]
    views: list[View]


def _try(settings: DatasetSettings, rng: Stream, count: int, cameras: Sequence[Camera | None]) -> _Tried | None:
    """One try at a scene and its shots by these cameras, which differ in camera and noise, but not in light; None if placement failed."""
    domain, least = settings.resolved_domain, min_visible_pixels(settings.width, settings.height)
    if settings.allowed.camera:
        sight = Sight([camera for camera in cameras if camera], settings.width, settings.height, least)
        scene = domain.sample_scene_in_sight(rng, count, settings.allowed, sight)
    else:
        scene = domain.sample_scene(rng, count, settings.allowed)
    if scene is None:
        return None
    first = domain.sample_shot(rng, settings.shot(cameras[0]), settings.light_jitter)
    others = [replace(first, camera=camera, noise_seed=(first.noise_seed + n) % 2**31) for n, camera in enumerate(cameras[1:], 1)]
    shots, scenes = [first, *others], [scene] * len(cameras)
    if settings.shot_in_code and isinstance(domain, StagedDomain):
        said = [headed(scene, shot, domain) for shot in shots]
        scenes, shots = [one for one, _ in said], [shot for _, shot in said]
    tried = _Tried(scenes, shots, [])
    for shot in shots:
        view = domain.view(scene, shot, least)
        if view is None:
            return replace(tried, views=[])
        tried.views.append(view)
    return tried


def scene_cameras(settings: DatasetSettings, number: int, again: int = 0) -> list[Camera | None]:
    """The cameras of a scene, one for each view: of the settings' cameras, none twice before all have come, each moved by the jitter.

    One is drawn uniformly; which come first of several is random as well. None in a domain without a camera. A split's own ranges take the
    place of the settings' cameras; ``again`` counts how often cameras of these were given up.
    """
    if settings.allowed.camera:
        rng = Stream(settings.seed, number, again, _CAMERA_STREAM)
        return [settings.allowed.camera.draw(rng) for _ in range(settings.views)]
    if len(settings.cameras) < 2 and settings.camera_jitter == 0:
        return [settings.cameras[0] if settings.cameras else None]
    rng = Stream(settings.seed, number, 0, _CAMERA_STREAM)
    left: list[Camera] = []
    drawn: list[Camera | None] = []
    for _ in range(settings.views):
        left = left or list(settings.cameras)
        camera = left.pop(rng.below(len(left)))
        if settings.camera_jitter:
            x, y, z = (rng.uniform(-settings.camera_jitter, settings.camera_jitter) for _ in range(3))
            camera = moved(camera, (x, y, z))
        drawn.append(camera)
    return drawn


def check_request(settings: DatasetSettings) -> None:
    """Raise `UserError` before anything is rendered if the settings could not be drawn for every index.

    Tries scenes with the most objects, in a small frame, before every camera (with jitter, from the corners of its possible locations) or,
    if scenes have several views, before as many of these at once: bounded work of at most a few seconds. The result does not depend on
    the seed. Where the split draws cameras, each try has cameras of its own.
    """
    shrink = min(1.0, CHECK_PIXELS / max(settings.width, settings.height))
    width, height = (max(16, round(side * shrink)) for side in (settings.width, settings.height))
    small = replace(settings, width=width, height=height, seed=0)
    if settings.allowed.camera:
        _check_together(small, None)
        return
    corners = zip(*(extremes(camera, settings.camera_jitter) for camera in settings.cameras), strict=True)
    stands: list[Camera | None] = [stand for corner in corners for stand in corner] or [None]  # neighbours are of different cameras
    for first in range(0, len(stands), settings.views):
        _check_together(small, [stands[(first + n) % len(stands)] for n in range(min(settings.views, len(stands)))])


def _check_together(settings: DatasetSettings, cameras: list[Camera | None] | None) -> None:
    """`UserError` if hardly any scene could be drawn that all these cameras see; None: cameras of the split's ranges, others each try."""
    count = settings.objects[1]
    placed = seen = 0
    for attempt in range(CHECK_TRIES):
        drawn = _try(settings, Stream(0, 0, attempt + 1), count, cameras or scene_cameras(settings, 0, attempt))
        placed += drawn is not None
        seen += drawn is not None and bool(drawn.views)
        if seen == CHECK_SUCCESSES:
            return
    if cameras is not None and placed < CHECK_SUCCESSES:
        raise UserError(
            f"the split {settings.split!r} leaves no room for {count} objects (placed in {placed} of {CHECK_TRIES} tries); ask for fewer "
            "objects, wider ranges or smaller sizes"
        )
    where, move = "the frame does", "take a frame nearer to a square"
    if cameras is None:
        which = "the cameras that it draws do" if settings.views == 1 else f"{settings.views} of the cameras that it draws together do"
        raise UserError(
            f"the split {settings.split!r}: {which} not show enough of all of {count} objects ({seen} of {CHECK_TRIES} scenes would do); "
            "ask for fewer or larger objects, or let the cameras stand farther away, with shorter lenses, or fewer of them"
        )
    stands = [f"{camera.name!r} at {camera.location}" for camera in cameras if camera is not None]
    if len(stands) == 1:
        where, move = f"the camera {stands[0]} does", "move the camera"
    elif stands:
        where, move = f"the cameras {', '.join(stands)} together do", "move the cameras, or ask for fewer views"
    raise UserError(
        f"{where} not show enough of all of {count} objects of the split {settings.split!r} ({seen} of {placed} scenes would do); "
        f"ask for fewer or larger objects, or {move}"
    )
