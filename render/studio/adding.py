"""One more object for a scene, drawn at random, where there is room for it."""

from __future__ import annotations

from datagen.code.grammar import parse_code, write_object
from datagen.domains.base import Domain
from datagen.domains.staged import StagedDomain
from datagen.errors import CodeError, UserError
from datagen.inspect.intersect import near_pairs
from datagen.rng import Stream
from datagen.scene import Object, Scene

TRIES = 60


def another_object(code: str, domain: Domain, seed: int) -> str:
    """The statement of an object that touches none of the scene's, if one is found; the last one that was drawn, if none is."""
    try:
        there = parse_code(code, domain).objects
    except CodeError:
        there = ()
    drawn: Object | None = None
    for number in range(TRIES):
        alone = domain.sample_scene(Stream(seed, number), 1, domain.split("default"))
        if alone is None:
            continue
        [drawn] = alone.objects
        if _has_room(drawn, there, domain):
            break
    if drawn is None:
        raise UserError(f"no object of the domain {domain.name} could be drawn")
    return write_object(drawn, domain)


def _has_room(drawn: Object, there: tuple[Object, ...], domain: Domain) -> bool:
    if domain.spacing is not None and any(domain.spacing.too_near(Scene(domain.name, (drawn, other))) for other in there):
        return False
    if isinstance(domain, StagedDomain):
        return not any(near_pairs([domain.solid(drawn), domain.solid(other)]) for other in there)
    return True
