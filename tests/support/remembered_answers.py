"""Answers of confined processes, kept for the next time that the same is asked: a start takes longer than the work on a small tokenizer."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from model import confined

_ASKING = ("model.confined", "model.trial", "model.tokens.chat_template")
_ask = confined.ask
_answers: dict[str, Any] = {}


def _ask_once(module: str, request: Any, what: str) -> Any:
    """As `model.confined.ask`; a process that fails, or exceeds its limits, is started each time."""
    question = hashlib.sha256(json.dumps([module, request]).encode()).hexdigest()
    if question not in _answers:
        _answers[question] = _ask(module, request, what)
    return _answers[question]


@contextmanager
def remembering_answers() -> Iterator[None]:
    """Within the context, a process that has read the same rules or applied the same template before is not started again."""
    with ExitStack() as patched:
        for name in _ASKING:
            if name in sys.modules:  # what is loaded later takes the function from `model.confined`
                patched.enter_context(patch.object(sys.modules[name], "ask", _ask_once))
        yield
