"""Fuzzer inputs: the files of finished runs and of training times that evaluations keep."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import declared
from hypothesis import strategies as st
from kinds import Files, Kind

import igllm
from render.evals.catalogue import asked
from render.evals.clock import SECONDS, Worked, seconds
from render.evals.runs import RunFile, read_run

CELLS = Path(igllm.__file__).parent / "docs" / "evals" / "dot2d" / "cells"


@cache
def _request() -> Any:
    """The first run of the evaluation dot2d."""
    evaluation, plan = asked("dot2d")
    return plan.requests(evaluation)[0]


def cells() -> st.SearchStrategy[Files]:
    found = [json.loads(path.read_text()) for path in sorted(CELLS.glob("*.json"))[:3]]
    stated = {"digest": _request().digest, "asked": json.loads(json.dumps(_request().asked))}
    bases = [{**content, **stated} for content in found]
    cell = declared.damaged(bases, RunFile, most=2).map(lambda data: {f"{_request().digest}.json": data})
    clock = declared.damaged([{"seconds": 12.5}], Worked, most=2).map(lambda data: {SECONDS: data})
    return st.one_of(cell, cell, clock)


def _read(folder: Path, out: Path) -> int:
    """Read both files as `igllm eval` does before it makes missing runs."""
    read_run(folder, _request())
    seconds(folder)
    return 0


KINDS = {"cell": Kind(cells, _read, share=0.3)}
