"""Turns a preset's tables [vision] and [text] into transformers configurations of parts from scratch, and reports mistakes in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from transformers import CONFIG_MAPPING

from datagen.errors import UserError, did_you_mean
from datagen.io.ranges import counted
from model.staging import checked_config

LONGEST_REASON = 300  # characters

_OLD_ROPE = {"rope_theta", "rope_scaling", "partial_rotary_factor"}  # transformers still reads them where it has rope_parameters
_BACKBONE = {"out_features", "out_indices"}
_DECIDED = {"dtype": "the setting bf16", "torch_dtype": "the setting bf16"} | dict.fromkeys(
    ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id"), "the tokenizer"
)
"""Fields that a table must not state, and what decides them."""


def configuration(name: str, table: Mapping[str, Any], **given: Any) -> Any:
    """The configuration that a table and the further fields ``given`` describe. `UserError`, naming the table, if it is invalid."""
    if "model_type" not in table:
        raise UserError(f'[{name}]: model_type is missing; it says what kind of model this is, such as model_type = "resnet" or "llama"')
    kind = table["model_type"]
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise UserError(f"[{name}]: model_type is {kind!r}, which transformers does not know{did_you_mean(str(kind), CONFIG_MAPPING)}")
    known = _fields(CONFIG_MAPPING[kind])
    for key in table:
        if key in _DECIDED:
            raise UserError(f"[{name}]: {key} is decided by {_DECIDED[key]}; leave it out")
        if key not in known:
            raise UserError(f"[{name}]: a {kind} has no field {key!r}{did_you_mean(key, known)}")
    for other, key in CONFIG_MAPPING[kind].attribute_map.items():
        if key in table and other in table:
            raise UserError(f"[{name}]: {key} and {other} are two names of one field of a {kind}; leave one out")
    sizes, depths = table.get("hidden_sizes"), table.get("depths")
    if isinstance(sizes, list) and isinstance(depths, list) and len(sizes) != len(depths):
        raise UserError(f"[{name}]: hidden_sizes are of {counted(len(sizes), 'stage')} and depths of {len(depths)}; give one of each")
    checked_config(table, f"[{name}]")
    with blaming(f"[{name}]"):
        return CONFIG_MAPPING[kind](**{key: value for key, value in table.items() if key != "model_type"}, **given)


@contextmanager
def blaming(part: str) -> Iterator[None]:
    """Turn any error into a `UserError` that begins with ``part``, since libraries raise many kinds for unexpected input."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{part}: cannot be made into a model ({reason(error)})") from error


def reason(error: BaseException) -> str:
    """An error's message as one line. Of a validator's error of several lines, the last is taken, which holds the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    line = (lines[-1] if lines[0].endswith(":") else lines[0])[:LONGEST_REASON]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError | IndexError | ArithmeticError) else line


def _fields(kind: Any) -> set[str]:
    """The names of the fields that a kind of configuration may have."""
    found = {field.name for field in fields(kind)} | set(kind.attribute_map) | {"model_type"}
    found |= _OLD_ROPE if "rope_parameters" in found else set()
    return found | (_BACKBONE if hasattr(kind, "out_features") else set())
