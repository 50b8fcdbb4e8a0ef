"""Makes docs/files.md, every kind of file field by field, from the declarations: ``python tests/support/documented.py`` rewrites it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import inspect as shape
from places import DOCS

from datagen import kinds
from datagen.io.declared import PATTERNS
from model import declared
from render.evals import runs

DOCUMENT = DOCS / "files.md"
KINDS: dict[str, Any] = {**kinds.KINDS, **declared.KINDS, **runs.KINDS}
HEAD = """# Files, field by field

What is read of each kind of file that may come from others. A file is held against this once, before anything is made of it. Types are
taken at their word: `true` is no number, `"3"` none, and `3.0` no whole one. Numbers are finite, no key is given twice, text is UTF-8.
What does not fit is one message with file, line and field, and status 2. Other fields than these are passed over, but in what is
*closed*, where they are refused.

`[]` is each item of a list, `*` each value of an object; fields in *italics* may be left out.
"""


def document() -> str:
    """The content of ``docs/files.md``."""
    return HEAD + "".join(f"\n## {name}\n\n{_table(kind)}" for name, kind in KINDS.items())


def _table(kind: Any) -> str:
    info = _bare(shape.type_info(kind))
    closed = any(each.forbid_unknown_fields for each in _structs(info))
    rows = [f"| {path} | {words} |\n" for path, words in _rows(info, "", True)]
    return ("Closed.\n\n" if closed else "") + "| field | holds |\n|---|---|\n" + "".join(rows)


def _structs(info: Any) -> Iterator[shape.StructType]:
    inner = _bare(info)
    if isinstance(inner, shape.StructType):
        yield inner
    elif isinstance(inner, shape.DictType):
        yield from _structs(inner.value_type)


def _rows(info: Any, path: str, required: bool) -> Iterator[tuple[str, str]]:
    """The table rows of a field and of the fields in it."""
    inner = _bare(info)
    if path and not (path.endswith(("[]", "*")) and _has_rows(info)):
        yield (f"`{path}`" if required else f"*`{path}`*"), _words(info)
    if isinstance(inner, shape.StructType | shape.DataclassType):
        for field in inner.fields:
            yield from _rows(field.type, f"{path}.{field.encode_name}" if path else field.encode_name, field.required)
    elif isinstance(inner, shape.ListType | shape.VarTupleType) and _has_rows(inner.item_type):
        yield from _rows(inner.item_type, f"{path}[]", True)
    elif isinstance(inner, shape.DictType) and (_has_rows(inner.value_type) or not path):
        yield from _rows(inner.value_type, f"{path}.*" if path else "*", True)


def _has_rows(info: Any) -> bool:
    inner = _bare(info)
    if isinstance(inner, shape.ListType | shape.VarTupleType):
        return _has_rows(inner.item_type)
    if isinstance(inner, shape.DictType):
        return _has_rows(inner.value_type)
    return isinstance(inner, shape.StructType | shape.DataclassType)


def _bare(info: Any) -> Any:
    """A type without its metadata, null and unset, unless several types remain."""
    if isinstance(info, shape.Metadata):
        return _bare(info.type)
    if isinstance(info, shape.UnionType):
        kept = _kept(info)
        return _bare(kept[0]) if len(kept) == 1 else info
    return info


def _kept(info: shape.UnionType) -> list[Any]:
    return [each for each in info.types if not isinstance(each, shape.NoneType) and not _is_unset(each)]


def _is_unset(info: Any) -> bool:
    return isinstance(info, shape.CustomType) and info.cls is msgspec.UnsetType


def _words(info: Any) -> str:
    """The description of a field's type."""
    return _DESCRIPTIONS[type(info)](info)


def _union(info: shape.UnionType) -> str:
    null = ["null"] if any(isinstance(each, shape.NoneType) for each in info.types) else []
    return " or ".join([*map(_words, _kept(info)), *null])


def _list(info: Any) -> str:
    least = f" of at least {info.min_length}" if info.min_length else ""
    most = f" of at most {info.max_length}" if info.max_length else ""
    return f"list{least}{most}" + ("" if _has_rows(info.item_type) else f": {_words(info.item_type)}")


def _object(info: shape.DictType) -> str:
    return f"object; a key: {_words(info.key_type)}" + ("" if _has_rows(info.value_type) else f"; a value: {_words(info.value_type)}")


def _limits(info: Any) -> str:
    bounds = (("at least", info.ge), ("more than", info.gt), ("at most", info.le), ("less than", info.lt))
    return "".join(f", {word} {_figure(bound)}" for word, bound in bounds if bound is not None)


def _figure(bound: float) -> str:
    return "2^53" if bound == 2**53 else f"{bound:g}" if abs(bound) >= 1e6 and bound != 2**32 else f"{bound:,}"


def _text(info: shape.StrType) -> str:
    if info.pattern:
        return PATTERNS.get(info.pattern, f"text like `{info.pattern}`")
    return "text" + (f" of at most {info.max_length:,} characters" if info.max_length else "")


_DESCRIPTIONS: dict[type, Callable[[Any], str]] = {
    shape.Metadata: lambda info: _words(info.type),
    shape.UnionType: _union,
    shape.IntType: lambda info: "whole number" + _limits(info),
    shape.FloatType: lambda info: "number" + _limits(info),
    shape.StrType: _text,
    shape.LiteralType: lambda info: ", ".join(f"`{value}`" for value in info.values),
    shape.ListType: _list,
    shape.VarTupleType: _list,
    shape.TupleType: lambda info: f"list of {len(info.item_types)}: {_words(info.item_types[0])}",
    shape.DictType: _object,
    shape.BoolType: lambda info: "true or false",
    shape.NoneType: lambda info: "null",
    shape.AnyType: lambda info: "anything",
    shape.StructType: lambda info: "object",
    shape.DataclassType: lambda info: "object",
}


if __name__ == "__main__":
    DOCUMENT.write_text(document())
