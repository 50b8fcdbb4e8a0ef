"""A machine with a GPU that is none: `compiling_worker` renders in Blender's place (see the fixture `gpu_machine`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from datagen.workers.gpus import Gpu

CARD = Gpu("HIP", "card-0", "Card")
Inject = Callable[..., Path]


def lines(path: Path) -> list[str]:
    """The lines of a log; none if there is none."""
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, "what is waited for does not come"
        time.sleep(0.01)


def generate(tmp_path: Path, num: int = 6) -> list[str]:
    """The words of a command that generates small samples into the folder ``data``."""
    options = {"num": num, "seed": 5, "width": 48, "height": 36, "quality": "draft", "min-objects": 1, "max-objects": 2, "workers": 1}
    return ["generate", *(f"--{name}={value}" for name, value in options.items()), "--out", str(tmp_path / "data")]
