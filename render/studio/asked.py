"""What a page may ask: the declarations that every request is checked against."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta, Struct, field, to_builtins

from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.io.declared import as_declared
from datagen.io.json_text import decode_json
from datagen.samples.record import MAX_SEED, ShotRecord
from datagen.scene import Quality, Shot, check_frame
from render.studio.limits import MOST_CANDIDATES, MOST_OBJECTS, MOST_PIXELS, MOST_SECONDS

T = TypeVar("T")
Text = Annotated[str, Meta(max_length=200_000)]  # longer than the grammar reads, so that its own message is shown
Name = Annotated[str, Meta(max_length=200)]


class Reading(Struct, forbid_unknown_fields=True):
    """What a model said of an image: its code, how sure it is of each object if it tells, its other candidates, the likeliest first, and
    whether the image looks like its domain's if it tells. A page gives back what it was given."""

    code: Text
    confidence: Annotated[list[Annotated[float, Meta(ge=0, le=1)]], Meta(max_length=MOST_OBJECTS)] | None = None
    candidates: Annotated[list[Text], Meta(max_length=MOST_CANDIDATES)] = field(default_factory=list)
    looks_like_domain: bool | None = None


class AskedScene(Struct, forbid_unknown_fields=True):
    """Graphics code of a domain, and the shot to show it in."""

    domain: Name
    code: Text
    shot: ShotRecord | None = None


class AskedView(AskedScene):
    """A scene to look at; ``truth`` is the true code of its image, where it is known, ``reading`` what the model said of it."""

    truth: Text | None = None
    reading: Reading | None = None


class AskedPicture(AskedScene):
    """A scene to render in each of these qualities, one after the other, and the id of the image to hold the pictures against."""

    qualities: Annotated[list[Quality], Meta(min_length=1, max_length=2)] = field(default_factory=lambda: ["draft", "standard"])
    image: Name | None = None


class AskedRefinement(AskedScene):
    """A scene to make explain an image better, within so many seconds; ``name`` is what the page may stop it by, ``reading`` what the
    model said of the image."""

    image: Name = ""
    name: Name = ""
    seconds: Annotated[float, Meta(gt=0, le=MOST_SECONDS)] = 20.0
    free_camera: bool = False
    reading: Reading | None = None


class AskedReading(Struct, forbid_unknown_fields=True):
    """An image to read as code of a domain."""

    image: Name
    domain: Name


class AskedSample(Struct, forbid_unknown_fields=True):
    """A sample, by number from 0, of one of the studio's data sets."""

    data: Annotated[int, Meta(ge=0)]
    number: Annotated[int, Meta(ge=0)]


class AskedDraw(Struct, forbid_unknown_fields=True):
    """A random scene of a domain."""

    domain: Name
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)]


class AskedObject(Struct, forbid_unknown_fields=True):
    """One more object, drawn at random, for a scene."""

    domain: Name
    code: Text
    seed: Annotated[int, Meta(ge=0, lt=MAX_SEED)]


class AskedStop(Struct, forbid_unknown_fields=True):
    """The name of a refinement to stop, which then tells the best that it has."""

    name: Name


def read_request(body: bytes, kind: type[T]) -> T:
    """The request in a body of JSON; `UserError` if it is anything else."""
    try:
        content = decode_json(body)
    except ValueError as error:
        raise UserError(f"the request is no JSON ({error})") from None
    return as_declared(content, kind, "the request")


def shot_of(record: ShotRecord | None, domain: Domain) -> Shot:
    """The shot of a request, the domain's standard one if it has none; `UserError` for too large a frame, or another domain's shot."""
    if record is None:
        return domain.canonical_shot(320, 240, "draft")
    shot = Shot.from_json(to_builtins(record))
    check_frame(shot.width, shot.height)
    if shot.width * shot.height > MOST_PIXELS:
        raise UserError(f"a picture of {shot.width}x{shot.height} pixels: the studio renders at most {MOST_PIXELS:,} pixels")
    domain.check_shot(shot)
    return shot
