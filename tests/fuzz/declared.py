"""Hypothesis strategies made from the toolkit's declarations: valid data, the limits of its ranges, and data with faults, as bytes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from faults import DRESSES, STRANGE, Raw, dressed, faulty, text_of
from hypothesis import strategies as st
from msgspec import inspect as shape


def among(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    """One of ``values``, like `sampled_from`, but without their text, which may be long, in Hypothesis's reports."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


def valid(declaration: Any) -> st.SearchStrategy[Any]:
    """Plain data with the types and ranges of a msgspec declaration; its ``__post_init__`` may still refuse it."""
    return _valid(shape.type_info(declaration))


def _valid(kind: shape.Type) -> st.SearchStrategy[Any]:
    if type(kind) not in _MAKERS:
        raise NotImplementedError(f"{kind}: say in _MAKERS how one is made")
    return _MAKERS[type(kind)](kind)


def _whole(kind: Any) -> st.SearchStrategy[int]:
    return st.integers(*_limits(kind, -(2**53), 2**53, 1))


def _number(kind: Any) -> st.SearchStrategy[float]:
    return st.floats(*_limits(kind, -1e12, 1e12, 0), exclude_min=kind.gt is not None, exclude_max=kind.lt is not None)


def _text(kind: Any) -> st.SearchStrategy[str]:
    if kind.pattern:
        return st.from_regex(kind.pattern, fullmatch=True)
    return st.text(min_size=kind.min_length or 0, max_size=min(kind.max_length or 20, 20))


def _list(kind: Any) -> st.SearchStrategy[list[Any]]:
    least = kind.min_length or 0
    return st.lists(_valid(kind.item_type), min_size=least, max_size=max(least, min(kind.max_length or 3, 3)))


def _fields(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    must = {field.encode_name: _valid(field.type) for field in kind.fields if field.required}
    may = {field.encode_name: _valid(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(must, optional=may)


_MAKERS: dict[type[shape.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    shape.Metadata: lambda kind: _valid(kind.type),
    shape.IntType: _whole,
    shape.FloatType: _number,
    shape.StrType: _text,
    shape.BoolType: lambda kind: st.booleans(),
    shape.NoneType: lambda kind: st.none(),
    shape.AnyType: lambda kind: st.sampled_from([None, True, 1, 0.5, "x", [], {}]),
    shape.LiteralType: lambda kind: st.sampled_from(kind.values),
    shape.UnionType: lambda kind: st.one_of([_valid(each) for each in kind.types if not _is_unset(each)]),
    shape.ListType: _list,
    shape.VarTupleType: _list,
    shape.TupleType: lambda kind: st.tuples(*map(_valid, kind.item_types)).map(list),
    shape.DictType: lambda kind: st.dictionaries(_valid(kind.key_type), _valid(kind.value_type), max_size=3),
    shape.StructType: _fields,
    shape.DataclassType: _fields,
}


def _is_unset(kind: shape.Type) -> bool:
    """Whether a type is msgspec's mark of a field that may be left out."""
    return isinstance(kind, shape.CustomType) and kind.cls is msgspec.UnsetType


def _limits(kind: Any, low: Any, high: Any, step: int) -> tuple[Any, Any]:
    """The least and the greatest value of a number, by default ``low`` and ``high``; an exclusive limit is moved inwards by ``step``."""
    least = kind.ge if kind.ge is not None else low if kind.gt is None else kind.gt + step
    most = kind.le if kind.le is not None else high if kind.lt is None else kind.lt - step
    return least, most


def edges(declaration: Any) -> tuple[Any, ...]:
    """The limits of a declaration's ranges, 1 less and 1 more than each, and texts of the greatest length and one longer."""
    found: list[Any] = []

    def visit(kind: Any) -> None:
        for limit in (getattr(kind, name, None) for name in ("ge", "gt", "le", "lt")):
            found.extend([] if limit is None else [limit, limit - 1, limit + 1])
        if most := getattr(kind, "max_length", None):
            found.extend(["y" * most, "y" * (most + 1)])
        for name in ("type", "item_type", "key_type", "value_type"):
            if isinstance(inner := getattr(kind, name, None), shape.Type):
                visit(inner)
        for name in ("types", "item_types"):
            for inner in getattr(kind, name, ()):
                visit(inner)
        for field in getattr(kind, "fields", ()):
            visit(field.type)

    visit(shape.type_info(declaration))
    return tuple(dict.fromkeys(found))


def grafted(bases: Sequence[Any], declaration: Any) -> st.SearchStrategy[Any]:
    """One of ``bases`` with one value replaced by a random one that the declaration allows there."""
    grafts = [
        st.tuples(st.just(base), st.just(path), _valid(kind))
        for base in bases
        for path, kind in _places(shape.type_info(declaration), base)
        if path
    ]
    return st.one_of(grafts).map(lambda graft: _put(*graft))


def _places(kind: Any, value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], shape.Type]]:
    """The path to each value within plain data and its declared type; of a list, only the first item is visited."""
    yield path, kind
    if isinstance(kind, shape.Metadata):
        yield from list(_places(kind.type, value, path))[1:]
    elif isinstance(kind, shape.UnionType):
        for each in kind.types:
            yield from list(_places(each, value, path))[1:]
    elif isinstance(kind, shape.StructType | shape.DataclassType) and isinstance(value, dict):
        for field in kind.fields:
            if field.encode_name in value:
                yield from _places(field.type, value[field.encode_name], (*path, field.encode_name))
    elif isinstance(kind, shape.ListType) and isinstance(value, list):
        for at, each in enumerate(value[:1]):
            yield from _places(kind.item_type, each, (*path, at))


def _put(base: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of plain data with ``value`` at the end of a path."""
    base = owner = copy.deepcopy(base)
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    return base


def damaged(
    bases: Sequence[Any], declaration: Any = None, *, most: int = 3, write: Callable[[Any], str] = text_of
) -> st.SearchStrategy[bytes]:
    """Bytes of plain data with up to ``most`` faults, some of them also damaged as text (`dressed`).

    The data starts as one of ``bases``, as a base with one value replaced (`grafted`), or as random data that the declaration allows.
    """
    known = among(bases).map(copy.deepcopy)
    base = known if declaration is None else st.one_of(known, grafted(bases, declaration), grafted(bases, declaration), valid(declaration))
    strange = among([*STRANGE, *(edges(declaration) if declaration is not None else ())])
    fault = st.tuples(st.integers(0, 2**20), st.integers(0, 6), strange)
    # About half of the texts are stored plainly: others rarely get past the first check.
    dress = st.one_of(st.just("plain"), st.sampled_from(DRESSES))

    def made(base: Any, faults: list[tuple[int, int, Any]], dress: str, at: int) -> bytes:
        for where, sort, other in faults:
            base = faulty(base, where, sort, copy.deepcopy(other))
        return dressed(write(base).encode("utf-8", "surrogatepass"), dress, at)

    return st.builds(made, base, st.lists(fault, max_size=most), dress, st.integers(0, 2**16))


def damaged_lines(bases: Sequence[Any], declaration: Any = None) -> st.SearchStrategy[bytes]:
    """The bytes of a file of up to four JSON lines, some of them damaged."""
    line = st.one_of(among([text_of(row).encode() for row in bases]), damaged(bases, declaration, most=2))
    return st.lists(line, max_size=4).map(lambda lines: b"".join(line + b"\n" for line in lines))


@cache
def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else msgspec.json.encode(key).decode()


def toml_of(value: Any) -> str:
    """TOML of a table: plain fields first, then tables. Values without a TOML form are written as JSON, which may be invalid TOML."""
    if not isinstance(value, dict):
        return text_of(value)
    plain = [(key, inner) for key, inner in value.items() if not isinstance(inner, dict)]
    tables = [(key, inner) for key, inner in value.items() if isinstance(inner, dict)]
    lines = [f"{_toml_key(_as_unicode(key))} = {_toml_value(inner)}" for key, inner in plain]
    for key, inner in tables:
        lines += [
            f"[{_toml_key(_as_unicode(key))}]",
            *(f"{_toml_key(_as_unicode(name))} = {_toml_value(each)}" for name, each in inner.items()),
        ]
    return "\n".join(lines) + "\n"


def _as_unicode(key: str) -> str:
    return key.encode("utf-8", "replace").decode()


def _toml_value(value: Any) -> str:
    if isinstance(value, Raw):
        return {"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(str(value), str(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(_as_unicode(key))} = {_toml_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    return text_of(value)
