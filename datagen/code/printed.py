"""Predictions as ``igllm predict`` prints them, and read again: the code of each below comments that tell it from the others."""

from __future__ import annotations

import re

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from datagen.io.declared import as_declared
from datagen.screen import printable

_KEY = "# prediction of "
_CANDIDATE = re.compile(r"(?m)^# candidate [0-9]+ of [0-9]+, log-likelihood .*\n")


def printed(prediction: Prediction, *, keyed: bool) -> str:
    """A prediction as text, with its key if it is `keyed`: its code, or all its candidates, each after its rank and log-likelihood."""
    key = f"{_KEY}{printable(prediction.key)}\n" if keyed else ""
    if prediction.candidates is None:
        return key + prediction.code
    every = len(prediction.candidates)
    marked = (
        f"# candidate {rank} of {every}, log-likelihood {one.logp:.4g}\n{one.code}" for rank, one in enumerate(prediction.candidates, 1)
    )
    return key + "".join(marked)


def codes_printed(text: str, alone: str, where: str) -> dict[str, str]:
    """By key, the codes in a text as `printed`: of several candidates the first one. A text that names no key is one code, of the key
    `alone`. `UserError`, which begins with `where`, if a key is none or comes twice, or if there is text before the first one."""
    before, *others = re.split(rf"(?m)^{_KEY}", text)
    if not others:
        return {alone: _first_candidate(before)}
    if before.strip():
        raise UserError(f"{where}: there is text before the first line that begins with {_KEY.strip()!r}; remove it")
    found: dict[str, str] = {}
    for key, _, code in (other.partition("\n") for other in others):
        row = as_declared({"key": key.strip(), "code": _first_candidate(code)}, Prediction, where)
        if row.key in found:
            raise UserError(f"{where}: the key {row.key} comes twice")
        found[row.key] = row.code
    return found


def _first_candidate(text: str) -> str:
    candidates = _CANDIDATE.split(text)
    return text if len(candidates) < 2 else candidates[1]
