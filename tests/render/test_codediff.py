"""The two codes side by side: rows by match, marks by disagreement."""

from __future__ import annotations

from datagen.code.grammar import parse_code, write_code
from datagen.domains.registry import get_domain
from datagen.metrics.matching import match
from render.codediff import DiffRow, Span, diff

DOMAIN = get_domain("clevr")
CUBE = 'add(loc=({x}, 0.000, 0.350), shape="{shape}", size="small", material="metal", color="{color}", rotation={rotation})\n'


def code(x: float, shape: str = "cube", color: str = "red", rotation: float = 0.0) -> str:
    return CUBE.format(x=f"{x:.3f}", shape=shape, color=color, rotation=f"{rotation:.1f}")


def rows(truth: str, guess: str) -> list[DiffRow]:
    one, other = parse_code(truth, DOMAIN), parse_code(guess, DOMAIN)
    return diff(one, other, match(one, other, DOMAIN), DOMAIN)


def text(spans: tuple[Span, ...] | None) -> str:
    return "".join(s.text for s in spans or ())


def marks(spans: tuple[Span, ...] | None) -> dict[str, str]:
    return {s.text: s.mark for s in spans or () if s.mark not in ("", "word", "number")}


def test_equal_codes_have_no_marks_and_read_as_written() -> None:
    written = code(-1) + code(1, "sphere")
    found = rows(written, written)
    assert [r.kind for r in found] == ["matched", "matched"]
    assert "".join(text(r.truth) + "\n" for r in found) == write_code(parse_code(written, DOMAIN), DOMAIN)
    assert all(text(r.truth) == text(r.guess) and not marks(r.truth) and not marks(r.guess) for r in found)


def test_wrong_words_are_marked_on_both_sides() -> None:
    (row,) = rows(code(0, color="red"), code(0, color="blue"))
    assert marks(row.truth) == {'"red"': "right"}
    assert marks(row.guess) == {'"blue"': "wrong"}
    assert [s.title for s in row.guess or () if s.mark == "wrong"] == ['should be "red"']


def test_numbers_are_shaded_by_their_error() -> None:
    levels = []
    for x in (0.05, 0.2, 0.6, 1.5, 6.0):
        (row,) = rows(code(0), code(x))
        ((_, level),) = marks(row.guess).items()
        levels.append(level)
    assert levels == sorted(levels)
    assert (levels[0], levels[-1]) == ("off-1", "off-5")
    (row,) = rows(code(0), code(0.25))
    assert [s.title for s in row.guess or () if s.title] == ["off by 0.250 m"]


def test_angles_are_compared_modulo_their_period_and_only_where_they_mean_something() -> None:
    (row,) = rows(code(0, rotation=89.0), code(0, rotation=1.0))
    assert [s.title for s in row.guess or () if s.title] == ["off by 2.0 degrees"]
    (row,) = rows(code(0, "sphere", rotation=0.0), code(0, "sphere", rotation=50.0))
    assert not marks(row.guess)


def test_missed_and_extra_objects_have_rows_of_their_own() -> None:
    found = rows(code(0) + code(2), code(2))
    assert [r.kind for r in found] == ["missed", "matched"]
    assert found[0].guess is None
    found = rows(code(2), code(0) + code(2))
    assert [r.kind for r in found] == ["matched", "extra"]
    assert found[1].truth is None
