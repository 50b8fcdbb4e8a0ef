"""Objects made by hand: constructors take what the domain declares, and any other argument raises an error that names it."""

from __future__ import annotations

import pytest

from datagen.code.constructors import Constructors
from datagen.code.grammar import parse_code, write_code
from datagen.domains.registry import DOMAINS, get_domain
from datagen.errors import UserError
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene

CLEVR = get_domain("clevr")
CUBE = {"loc": (1, 0.5, 0.7), "color": "red", "material": "metal", "size": "large", "rotation": 30}


def test_a_shape_is_a_constructor_and_what_it_makes_is_written_as_code() -> None:
    clevr = Constructors(CLEVR)
    one = clevr.cube(**CUBE)
    assert one == clevr.add(shape="cube", **CUBE)
    assert clevr.cube(**{**CUBE, "loc": [1, 0.5, 0.7]}) == one
    code = write_code(Scene("clevr", (one,)), CLEVR)
    assert code == 'add(loc=(1.000, 0.500, 0.700), color="red", material="metal", size="large", shape="cube", rotation=30.0)\n'
    assert {"add", "cube", "sphere", "cylinder"} <= set(dir(clevr))


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_has_constructors_for_what_its_sampler_draws(name: str) -> None:
    domain = get_domain(name)
    make = Constructors(domain)
    scene = draw(DatasetSettings(domain=name, seed=3, width=160, height=120), 0).scene
    made = tuple(getattr(make, each.statement)(**each.values) for each in scene.objects)
    assert Scene(name, made) == scene
    assert parse_code(write_code(Scene(name, made), domain), domain) == scene


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, 'cube(...) has no colour; did you mean "color"?'),
        ({"color": "rad"}, """cube(...): color has no word 'rad'; did you mean "red"?"""),
        ({"color": 3}, "cube(...): color is 3, not a word"),
        ({"loc": (0, 0)}, "cube(...): loc is (0, 0), not 3 finite numbers"),
        ({"loc": (0, 0, float("nan"))}, "cube(...): loc is (0, 0, nan), not 3 finite numbers"),
        ({"loc": (9, 0, 0)}, "cube(...): loc 9 is outside [-3, 3] m"),
        ({"rotation": "half"}, "cube(...): rotation is 'half', not a finite number"),
        ({"shape": "sphere"}, "cube(...) has no shape"),
    ],
)
def test_what_cannot_be_said_is_named_at_once(changes: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        Constructors(CLEVR).cube(**CUBE | changes)
    assert str(error.value).startswith(message)


def test_what_is_missing_is_named_at_once() -> None:
    with pytest.raises(UserError, match=r"cube\(\.\.\.\) lacks loc and rotation"):
        Constructors(CLEVR).cube(color="red", material="metal", size="large")
    with pytest.raises(AttributeError, match=r'clevr has no cobe\(\.\.\.\); did you mean "cube"'):
        _ = Constructors(CLEVR).cobe


def test_angles_go_around() -> None:
    turned = Constructors(CLEVR).cube(**CUBE | {"rotation": 390})
    assert CLEVR.canonical_object(turned)["rotation"] == 30
