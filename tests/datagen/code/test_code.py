"""The grammar of graphics code: the code of a scene parses to the same scene, and nothing else parses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.code.grammar import MAX_CHARACTERS, MAX_STATEMENTS, parse_code, write_code
from datagen.code.statements import Choice
from datagen.domains.base import Domain
from datagen.domains.registry import DOMAINS, get_domain
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
    ("code", "line", "column", "problem"),
    [
        ("import os", 1, 1, "import is no statement of the clevr domain, which has add(...)"),
        ('__import__("os").system("true")', 1, 1, "__import__ is no statement"),
        (LINE + "\n" + LINE.replace("add", "eval"), 2, 1, "eval is no statement"),
        (LINE.replace("add", "ad"), 1, 1, 'did you mean "add"?'),
        (LINE.replace("37.2", "3e1"), 1, LINE.index("37.2") + 1, "3e1 is no number for graphics code"),
        (LINE.replace("37.2", "3_7"), 1, LINE.index("37.2") + 1, "3_7 is no number for graphics code"),
        (LINE.replace("37.2", "3j"), 1, LINE.index("37.2") + 1, "3j is no number for graphics code"),
        (LINE.replace("37.2", "nan"), 1, LINE.index("37.2") + 1, "found nan, but rotation needs a number"),
        (LINE.replace("37.2", "(1, 2)"), 1, LINE.index("37.2") + 1, "found (, but rotation needs a number"),
        (LINE.replace("37.2", '"37.2"'), 1, LINE.index("37.2") + 1, 'found "37.2", but rotation needs a number'),
        (LINE.replace("37.2", ""), 1, LINE.index("37.2") + 1, "found ), but rotation needs a number"),
        (LINE.replace("37.2", "1 + 2"), 1, 104, "+ has no place in graphics code"),
        (LINE.replace('"cyan"', '"pink"'), 1, LINE.index('"cyan"') + 1, '"pink" is no color: known are gray, red, '),
        (LINE.replace('"cyan"', '"Cyam"'), 1, LINE.index('"cyan"') + 1, 'did you mean "cyan"?'),
        (LINE.replace('"cyan"', "cyan"), 1, LINE.index('"cyan"') + 1, 'found cyan, but color needs a word in quotes, such as color="gray"'),
        (LINE.replace('"cyan"', 'f"cyan"'), 1, LINE.index('"cyan"') + 1, "color needs a word in quotes"),
        (LINE.replace('"cyan"', '"cy" "an"'), 1, LINE.index('"cyan"') + 1, '"cy" is no color'),
        (LINE.replace('"cyan"', "'cyan"), 1, LINE.index('"cyan"') + 1, "is no word in quotes"),
        (LINE.replace("(1.234, -0.456, 0.495)", "(1.234, -0.456)"), 1, 9, "loc needs three numbers, found two"),
        (LINE.replace("(1.234, -0.456, 0.495)", "(0, 0, 0, 0,)"), 1, 9, "loc needs three numbers, found four"),
        (LINE.replace("(1.234, -0.456, 0.495)", "[0, 0, 1]"), 1, 9, "several numbers of one argument stand between ( and )"),
        (LINE + ")", 1, len(LINE) + 1, "one ) too many"),
        (LINE.replace("(1.234, -0.456, 0.495)", "()"), 1, 9, "loc needs three numbers, found none"),
        (LINE.replace("(1.234, -0.456, 0.495)", "5"), 1, 9, "found 5, but loc needs three numbers in parentheses"),
        (LINE.replace("color", "colour"), 1, LINE.index("color") + 1, "add(...) has no colour: its keywords are loc, color, material, "),
        (LINE.replace("color", "colour"), 1, LINE.index("color") + 1, 'did you mean "color"?'),
        (LINE.replace('color="cyan"', 'shape="cube"'), 1, LINE.index("color") + 1, "shape is given twice"),
        (LINE.replace(', color="cyan"', ""), 1, 92, "add(...) lacks color=…"),
        ("add(rotation=3)", 1, 15, "add(...) lacks loc=… and color=… and material=… and size=… and shape=…"),
        ("add(3)", 1, 5, "found 3, but every value of add(...) follows its keyword"),
        (LINE[:-1], 1, 106, "found the end of the code, but a value is followed by a comma or by the closing )"),
        (LINE + " " + LINE, 1, 108, "found add, but each statement has a line of its own"),
        (LINE + "; pass", 1, 107, "; has no place in graphics code"),
        ("add", 1, 4, "add must be followed by ("),
        ("((((((((", 1, 1, "found (, but a statement begins with its name: add(...)"),
        ("\x00", 1, 1, "the character U+0000 (a control character)"),
        (f"\r\n{LINE}\x00", 2, 107, "the character U+0000 (a control character)"),
        (
            LINE.replace('"cyan"', "\N{LEFT DOUBLE QUOTATION MARK}c"),
            1,
            LINE.index('"cyan"') + 1,
            "the character U+201C (LEFT DOUBLE QUOTATION MARK)",
        ),
        (LINE.replace(", ", ",\N{NO-BREAK SPACE}", 1), 1, 16, "the character U+00A0 (NO-BREAK SPACE) has no place in graphics code"),
        (LINE.replace("-0.456", "\N{MINUS SIGN}0.456"), 1, 17, "the character U+2212 (MINUS SIGN)"),
    ],
)
def test_anything_else_is_refused_with_its_place(code: str, line: int, column: int, problem: str) -> None:
    with pytest.raises(CodeError) as caught:
        parse_code(code, CLEVR)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert problem in caught.value.problem
    assert str(caught.value).startswith(f"line {line}, column {column}: ")


@given(st.data(), st.characters(min_codepoint=128, exclude_categories=["Cs"]), st.integers(0, 3))
def test_a_stray_character_is_named_where_it_stands(data: st.DataObject, stray: str, lines: int) -> None:
    """The message has its code point, because it may be invisible or look like an allowed character."""
    at = data.draw(st.sampled_from([at for at in range(len(LINE)) if LINE[:at].count('"') % 2 == 0 and LINE[at - 1] != "-"]))
    with pytest.raises(CodeError) as caught:
        parse_code("# a scene\n" * lines + LINE[:at] + stray + LINE[at:], CLEVR)
    assert (caught.value.line, caught.value.column) == (lines + 1, at + 1)
    assert f"the character U+{ord(stray):04X} " in str(caught.value)


@pytest.mark.parametrize("name", DOMAINS)
def test_messages_are_short_however_many_words_there_are(name: str) -> None:
    domain = get_domain(name)
    for statement in domain.statements:
        for choice in statement.choices:
            with pytest.raises(CodeError) as caught:
                parse_code(f'{statement.name}({choice.name}="{choice.words[-1]}x")', domain)
            assert f'did you mean "{choice.words[-1]}"?' in str(caught.value)
            assert len(str(caught.value)) < 400


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
