"""A header: the camera and the lamps, before the objects of a scene."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import parse_code, write_code
from datagen.code.statements import Number
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import CodeError, UserError
from datagen.scene import Camera, Object, Scene

STAGED = ("clevr", "assets", "so3", "pose6d")


def _value(number: Number) -> st.SearchStrategy:
    parts = [st.floats(low, high).map(lambda x: round(x, number.decimals)) for low, high in zip(number.low, number.high, strict=True)]
    return st.tuples(*parts) if number.components > 1 else parts[0]


@st.composite
def headed(draw: st.DrawFn) -> tuple[StagedDomain, Scene]:
    """A scene without objects, with a camera or none, and some of the lamps."""
    domain = get_domain(draw(st.sampled_from(STAGED)))
    assert isinstance(domain, StagedDomain)
    header = []
    for key in draw(st.permutations([(s, key) for s in domain.header for key in s.keys])):
        statement, (_, *name) = key
        if draw(st.booleans()):
            values = {number.name: draw(_value(number)) for number in statement.numbers}
            header.append(Object(statement.name, {**({"name": name[0]} if name else {}), **values}))
    return domain, domain.canonical(Scene(domain.name, (), tuple(header)))


@given(headed())
def test_a_header_is_written_and_parsed(case: tuple[StagedDomain, Scene]) -> None:
    domain, scene = case
    assert parse_code(write_code(scene, domain), domain) == scene
    assert Scene.from_json(scene.to_json()) == scene
    domain.check(scene)
    assert not domain.violations(scene)


@pytest.mark.parametrize("name", STAGED)
def test_the_shot_of_a_header_is_the_one_it_was_made_of(name: str) -> None:
    domain = get_domain(name)
    assert isinstance(domain, StagedDomain)
    shot = domain.canonical_shot(320, 240, "draft")
    again = domain.shot_of(Scene(name, (), domain.header_of(shot)), shot)
    assert (again.camera, again.lamps) == (shot.camera, shot.lamps)


def test_lamps_in_a_header_are_all_that_there_are_and_without_them_the_domains_shine() -> None:
    domain = get_domain("clevr")
    shot = domain.canonical_shot(320, 240, "draft")
    camera, key, *_ = domain.header_of(shot)
    assert domain.shot_of(Scene("clevr", (), (camera,)), shot).lamps == shot.lamps
    assert domain.shot_of(Scene("clevr", (), (key,)), shot).lamps == shot.lamps[:1]


def test_another_sensor_becomes_another_lens() -> None:
    domain = get_domain("clevr")
    assert isinstance(domain, StagedDomain)
    shot = domain.canonical_shot(320, 240, "draft")
    wide = Camera((7.0, -7.0, 5.0), lens_mm=36.0, sensor_mm=36.0)
    header = domain.header_of(type(shot)(320, 240, "draft", wide, shot.lamps, 0))
    assert header[0]["lens"] == 32.0


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("add(CUBE)\ncamera(loc=(1, 2, 3), target=(0, 0, 0), lens=35)", "line 2, column 1: camera(...) stands before the objects"),
        ('lamp(name="key", loc=(1, 2, 3), power=2)\n' * 2, "line 2, column 1: lamp key is given twice"),
        ('lamp(name="sun", loc=(1, 2, 3), power=2)', '"sun" is no name'),
        ("camera(loc=(1, 2, 3), target=(0, 0, 0))", "lacks lens"),
    ],
)
def test_a_wrong_header_is_refused(code: str, problem: str) -> None:
    cube = 'loc=(0, 0, 0.7), color="red", material="metal", size="large", shape="cube", rotation=0'
    with pytest.raises(CodeError) as error:
        parse_code(code.replace("CUBE", cube), get_domain("clevr"))
    assert problem in str(error.value)


def test_what_code_cannot_say_is_refused() -> None:
    domain = get_domain("clevr")
    assert isinstance(domain, StagedDomain)
    shot = domain.canonical_shot(320, 240, "draft")
    far = Camera((400.0, 0.0, 5.0))
    with pytest.raises(UserError, match="loc 400 is outside"):
        domain.header_of(type(shot)(320, 240, "draft", far, shot.lamps, 0))
    scene = Scene("clevr", (), domain.header_of(shot) * 2)
    with pytest.raises(UserError, match="camera is given twice"):
        domain.check(scene)
    with pytest.raises(UserError, match="there is no statement 'add'"):
        domain.check_form(Scene("clevr", (), (Object("add", {}),)))


def test_a_domain_without_a_camera_has_no_header() -> None:
    domain = get_domain("dot2d")
    with pytest.raises(CodeError, match="camera is no statement"):
        parse_code("camera(loc=(1, 2, 3), target=(0, 0, 0), lens=35)", domain)
