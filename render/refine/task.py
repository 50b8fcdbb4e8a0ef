"""The prediction of one image, refined wherever there is a renderer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
from msgspec import Struct

from datagen.code.grammar import parse_code, write_code
from datagen.code.predictions import Prediction
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import Hopeless, UserError
from datagen.images.encoding import decode_image
from datagen.io.declared import as_declared
from datagen.samples.in_code import stated_shot
from datagen.samples.record import CameraRecord, ShotRecord
from datagen.scene import Camera, Scene, check_frame
from render.refine.frames import Frames
from render.refine.refine import Refined, RefineSettings, refine_scene
from render.refined import RefinedPrediction, Refinement
from render.rerender import checked_code


class Task(Struct, frozen=True):
    """A prediction and the file of its image, which messages call ``image_name``. ``camera`` is the known one, None where that of the code
    is to be taken or, if it states none, the domain's standard camera; with ``free_camera`` this is where the search begins."""

    prediction: Prediction
    domain: str
    image: bytes
    image_name: str
    camera: CameraRecord | None
    free_camera: bool
    seconds: float
    renders: int | None


class Outcome(Struct, frozen=True):
    """What has become of a task: its line, and the ``problem`` that left the code as it was given, if there was one."""

    row: RefinedPrediction
    problem: str = ""


def carry_out(task: Task, frames: Frames, stop: Callable[[], bool] | None = None) -> Outcome:
    """The outcome of a task, as far as it has come when ``stop`` says so. `Hopeless` if no task can be carried out."""
    try:
        return Outcome(_refined(task, frames, stop))
    except Hopeless:
        raise
    except UserError as error:
        return Outcome(RefinedPrediction.as_given(task.prediction), str(error))


def _refined(task: Task, frames: Frames, stop: Callable[[], bool] | None) -> RefinedPrediction:
    domain = get_domain(task.domain)
    pixels = decode_image(task.image, task.image_name)
    high, wide = pixels.shape[:2]
    check_frame(wide, high)
    scene = checked_code(task.prediction.code, domain)
    shot = stated_shot(scene, domain, domain.canonical_shot(wide, high, "standard"))
    if task.camera is not None:
        shot = replace(shot, camera=Camera(**msgspec.structs.asdict(task.camera)))
    sure = task.prediction.confidence
    confidence = sure if sure and len(sure) == len(scene) else None
    settings = RefineSettings(task.seconds, task.renders, task.free_camera, _candidates(task.prediction, domain), confidence)
    return _row(task.prediction, refine_scene(pixels, scene, shot, settings, frames, stop=stop), domain)


def _candidates(prediction: Prediction, domain: Domain) -> tuple[Scene, ...]:
    """The scenes of a prediction's other candidates, without those that do not parse."""
    found = []
    for candidate in (prediction.candidates or ())[1:]:
        try:
            scene = parse_code(candidate.code, domain)
            domain.check(scene)
        except UserError:
            continue
        found.append(scene)
    return tuple(found)


def _row(given: Prediction, refined: Refined, domain: Domain) -> RefinedPrediction:
    """The line of a refined prediction."""
    confidence = tuple(refined.confidence(given.confidence)) if given.confidence else None
    shot = as_declared(refined.shot.to_json(), ShotRecord, given.key)
    how = Refinement(shot, round(refined.first_error, 6), round(refined.error, 6), refined.renders, round(refined.seconds, 2))
    return RefinedPrediction(
        given.key,
        write_code(refined.scene, domain),
        given.image,
        confidence,
        looks_like_domain=given.looks_like_domain,
        domain_distance=given.domain_distance,
        refinement=how,
    )
