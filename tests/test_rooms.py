"""Which room may touch what, seen from a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """The top-level names in `sys.modules` once the statement has run in a new process."""
    script = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


DATAGEN = (
    "import datagen, datagen.captions, datagen.code, datagen.dataset, datagen.doctor, datagen.formats.clevr_import, "
    "datagen.formats.export, datagen.generate, datagen.inspect, datagen.overlap, datagen.pool, datagen.predictions, datagen.scores, "
    "datagen.shards, datagen.domains, datagen.assets.find, datagen.assets.paint, datagen.inspect.assets"
)
MODEL = "import model, model.train, model.captions, model.predict, model.presets, model.decode"
RENDER = "import render, render.compare, render.rerender, render.roundtrip, render.demo, render.evals.run, render.evals.plots"


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import datagen, model, render", {"bpy", "torch"}),
        (DATAGEN, {"bpy", "torch", "transformers", "model", "render", "blender_scenes"}),
        (MODEL, {"bpy", "render", "blender_scenes"}),
        (RENDER, {"bpy", "blender_scenes"}),
        ("import blender_scenes", {"bpy", "torch", "model", "render"}),
        ("import blender_scenes.worker", {"torch", "model", "render"}),
        ("import blender_scenes.importer", {"bpy", "torch", "model", "render"}),
        ("import igllm", {"bpy", "torch", "numpy", "model", "render"}),
    ],
)
def test_a_room_loads_nothing_it_may_not_touch(statement: str, forbidden: set[str]) -> None:
    assert not modules_after(statement) & forbidden
