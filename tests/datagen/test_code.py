"""The grammar of graphics code: what is written parses to the same scene, and nothing else parses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code import MAX_CHARACTERS, MAX_STATEMENTS, parse_code, write_code
from datagen.domain import Choice, Domain
from datagen.domains import DOMAINS, get_domain
from datagen.errors import CodeError, UserError
from datagen.scene import Object, Scene

CLEVR = get_domain("clevr")
LINE = 'add(loc=(1.234, -0.456, 0.495), shape="cube", size="large", material="metal", color="cyan", rotation=37.2)'


@st.composite
def scenes(draw: st.DrawFn, domain: Domain) -> Scene:
    """Any scene a domain's declaration allows, numbers of any precision."""
    objects = []
    for _ in range(draw(st.integers(0, domain.max_objects))):
        statement = draw(st.sampled_from(domain.statements))
        values = {}
        for argument in statement.arguments:
            if isinstance(argument, Choice):
                values[argument.name] = draw(st.sampled_from(argument.words))
            else:
                bounds = zip(argument.low, argument.high, strict=True)
                values[argument.name] = argument.as_value([draw(st.floats(low, high)) for low, high in bounds])
        objects.append(Object(statement.name, values))
    return Scene(domain.name, tuple(objects))


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
@given(data=st.data())
def test_what_is_written_parses_to_the_same_scene(domain: Domain, data: st.DataObject) -> None:
    scene = domain.canonical(data.draw(scenes(domain)))
    code = write_code(scene, domain)
    assert parse_code(code, domain) == scene
    assert write_code(parse_code(code, domain), domain) == code


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
@given(data=st.data())
def test_canonical_form_is_stable_and_blind_to_order(domain: Domain, data: st.DataObject) -> None:
    scene = data.draw(scenes(domain))
    shuffled = Scene(scene.domain, tuple(data.draw(st.permutations(scene.objects))))
    canonical = domain.canonical(scene)
    assert domain.canonical(canonical).objects == canonical.objects
    assert sorted(map(str, domain.canonical(shuffled).objects)) == sorted(map(str, canonical.objects))
    assert shuffled == scene


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
@given(data=st.data())
def test_a_scene_survives_json(domain: Domain, data: st.DataObject) -> None:
    scene = data.draw(scenes(domain))
    assert Scene.from_json(scene.to_json()) == scene


@given(st.permutations(["loc=(1, 2, 0.5)", 'shape="cube"', "size='large'", 'material="metal"', 'color="red"', "rotation=3"]))
def test_keywords_come_in_any_order(arguments: list[str]) -> None:
    scene = parse_code(f"add({', '.join(arguments)})", CLEVR)
    assert scene.objects[0]["loc"] == (1.0, 2.0, 0.5)
    assert scene.objects[0]["size"] == "large"


def test_layout_is_free_as_in_python() -> None:
    spread = LINE.replace("(loc", "(\n  loc").replace("37.2)", "37.2,\n)  # turned a little")
    assert parse_code(f"\n# a scene\n{spread}\n\n", CLEVR) == parse_code(LINE, CLEVR)
    assert len(parse_code("", CLEVR)) == 0


@pytest.mark.parametrize(
    ("code", "line", "column", "expected"),
    [
        ("import os", 1, 1, "a statement"),
        ('__import__("os").system("true")', 1, 1, "a statement"),
        (LINE + "\n" + LINE.replace("add", "eval"), 2, 1, "a statement"),
        (LINE.replace("37.2", "3e1"), 1, LINE.index("37.2") + 1, "graphics code"),
        (LINE.replace("37.2", "3_7"), 1, LINE.index("37.2") + 1, "graphics code"),
        (LINE.replace("37.2", "3j"), 1, LINE.index("37.2") + 1, "graphics code"),
        (LINE.replace("37.2", "nan"), 1, LINE.index("37.2") + 1, "a decimal number"),
        (LINE.replace("37.2", "(1, 2)"), 1, LINE.index("37.2") + 1, "a decimal number"),
        (LINE.replace("37.2", '"37.2"'), 1, LINE.index("37.2") + 1, "a decimal number"),
        (LINE.replace("37.2", "1 + 2"), 1, 104, "graphics code"),
        (LINE.replace('"cyan"', '"pink"'), 1, LINE.index('"cyan"') + 1, "one of gray, red"),
        (LINE.replace('"cyan"', "cyan"), 1, LINE.index('"cyan"') + 1, "a quoted word"),
        (LINE.replace('"cyan"', 'f"cyan"'), 1, LINE.index('"cyan"') + 1, "a quoted word"),
        (LINE.replace('"cyan"', '"cy" "an"'), 1, LINE.index('"cyan"') + 1, "one of gray, red"),
        (LINE.replace("(1.234, -0.456, 0.495)", "(1.234, -0.456)"), 1, 23, "','"),
        (LINE.replace('color="cyan"', 'shape="cube"'), 1, LINE.index("color") + 1, "a keyword, one of color, rotation"),
        (LINE.replace(', color="cyan"', ""), 1, 92, "the missing color"),
        (LINE[:-1], 1, 106, "','"),
        (LINE + " " + LINE, 1, 108, "the end of the line"),
        (LINE + "; pass", 1, 107, "graphics code"),
        ("add", 1, 4, "'('"),
        ("((((((((", 1, 1, "a statement"),
        ("\x00", 1, 1, "graphics code"),
    ],
)
def test_anything_else_is_refused_with_its_place(code: str, line: int, column: int, expected: str) -> None:
    with pytest.raises(CodeError) as caught:
        parse_code(code, CLEVR)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert expected in caught.value.expected


@given(st.text(max_size=200) | st.text(alphabet="add(loc=,.123)\"' \n_shape", max_size=200))
def test_no_text_does_worse_than_a_code_error(text: str) -> None:
    try:
        parse_code(text, CLEVR)
    except CodeError as error:
        assert error.line >= 1
        assert error.column >= 1


def test_input_is_bounded() -> None:
    with pytest.raises(CodeError, match="at most"):
        parse_code(" " * (MAX_CHARACTERS + 1), CLEVR)
    short = 'add(loc=(1,2,0),shape="cube",size="large",material="metal",color="red",rotation=0)\n'
    with pytest.raises(CodeError, match="at most"):
        parse_code(short * (MAX_STATEMENTS + 1), CLEVR)
    with pytest.raises(CodeError):
        parse_code(LINE.replace("37.2", "1" * 400), CLEVR)


def test_ranges_are_reported_and_nothing_is_clamped() -> None:
    scene = parse_code(LINE.replace("1.234", "31.5"), CLEVR)
    assert scene.objects[0]["loc"][0] == 31.5
    assert CLEVR.violations(scene) == ["object 1: loc 31.5 is outside [-3, 3] m"]
    assert CLEVR.violations(parse_code(LINE, CLEVR)) == []
    assert "11 objects" in CLEVR.violations(parse_code((LINE + "\n") * 11, CLEVR))[0]


@pytest.mark.parametrize(
    ("shape", "turn", "canonical"), [("cube", 127.2, 37.2), ("cube", 89.97, 0.0), ("sphere", 12.0, 0.0), ("cylinder", 5.0, 0.0)]
)
def test_rotation_is_canonical_modulo_the_shape(shape: str, turn: float, canonical: float) -> None:
    obj = parse_code(LINE, CLEVR).objects[0].replaced(shape=shape, rotation=turn)
    assert CLEVR.canonical_object(obj)["rotation"] == canonical


def test_an_unknown_domain_is_named() -> None:
    with pytest.raises(UserError, match="no domain 'clever'; choose one of clevr"):
        get_domain("clever")
