"""What a model said of an image, brought to the scene that its code has become: the person at the page has edited it since."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from datagen.code.grammar import parse_code, write_code
from datagen.domains.base import Domain
from datagen.errors import UserError
from datagen.metrics.matching import match
from datagen.scene import Object, Scene
from render.refine.refine import Refined
from render.studio.asked import Reading

SURE = 1.0
"""How sure an object is whose words are the person's own: refinement does not argue with them."""


def confidence_in(scene: Scene, reading: Reading, domain: Domain) -> list[float | None]:
    """How sure the model was of each object of a scene; None for one that has not its words. Numbers may have changed: of objects with the
    same words those are paired that have moved least in all."""
    said = _scene(reading.code, domain)
    if said is None or reading.confidence is None or len(reading.confidence) != len(said):
        return [None] * len(scene)
    found: list[float | None] = [None] * len(scene)
    ours, theirs = _by_words(scene, domain), _by_words(said, domain)
    for words in ours.keys() & theirs.keys():
        for pair in match(_only(scene, ours[words]), _only(said, theirs[words]), domain):
            found[ours[words][pair.truth]] = reading.confidence[theirs[words][pair.guess]]
    return found


def beliefs(scene: Scene, reading: Reading | None, domain: Domain) -> tuple[tuple[Scene, ...], tuple[float, ...] | None]:
    """The other scenes that the model thinks likely, and how sure each object of the scene is; None if the model did not say it of any."""
    if reading is None:
        return (), None
    candidates = tuple(found for code in reading.candidates if (found := _scene(code, domain)) is not None)
    confidence = confidence_in(scene, reading, domain)
    if reading.confidence is None:
        return candidates, None
    return candidates, tuple(SURE if one is None else one for one in confidence)


def reading_of(done: Refined, reading: Reading | None, confidence: Sequence[float] | None, domain: Domain) -> Reading | None:
    """A reading once it was refined."""
    if reading is None:
        return None
    code, sure = write_code(done.scene, domain), done.confidence(confidence) if confidence else None
    return Reading(code, sure, reading.candidates, reading.looks_like_domain)


def _scene(code: str, domain: Domain) -> Scene | None:
    """The scene of a code; None if it is none."""
    try:
        scene = parse_code(code, domain)
        domain.check(scene)
    except UserError:
        return None
    return scene


def _by_words(scene: Scene, domain: Domain) -> dict[tuple[str, ...], list[int]]:
    """The numbers of a scene's objects by their statement and its words."""
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, obj in enumerate(scene.objects):
        found[_words(obj, domain)].append(number)
    return found


def _words(obj: Object, domain: Domain) -> tuple[str, ...]:
    return obj.statement, *(str(obj[choice.name]) for choice in domain.statement(obj.statement).choices)


def _only(scene: Scene, numbers: Sequence[int]) -> Scene:
    return scene.with_objects(scene.objects[number] for number in numbers)
