"""Pretrained parts that a test spoils: models on them, and connections that were made meanwhile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from datagen.domains.clevr import CLEVR
from model.build import build
from model.preset import Preset, get_preset

CONNECTIONS: list[object] = []
"""What this process has tried to connect to or to find the address of, since it was last cleared."""
sys.addaudithook(lambda event, arguments: CONNECTIONS.append(arguments) if event in ("socket.connect", "socket.getaddrinfo") else None)


def preset_on(parts: dict[str, Path], **changes: Any) -> Preset:
    """`tiny` with the parts as its tower and its language model, and without a dense read-out."""
    blind = {"augment": False, "dense_weight": 0.0, "number_cells": False, "word_cells": False}
    return get_preset("tiny").replaced(vision_model=str(parts["clip"]), language_model=str(parts["llama"]), **blind, **changes)


def change(path: Path, **fields: Any) -> None:
    """Give fields of a JSON file other values; without a file, they make one."""
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | fields))


def assert_equal(parts: dict[str, Path], others: dict[str, Path]) -> None:
    """Both give the same model."""
    states = []
    for each in (parts, others):
        torch.manual_seed(0)
        states.append(build(preset_on(each), CLEVR)[0].state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
