"""A worker that fails inside Blender, for tests: see `misbehaving`."""

from __future__ import annotations

import sys
from typing import Any

from misbehaving import misbehave

from blender_scenes import worker
from blender_scenes.answer import Answerer

well_behaved = Answerer.sample


def answer(answerer: Answerer, request: dict[str, Any]) -> Any:
    misbehave(request.get("index"))
    return well_behaved(answerer, request)


Answerer.sample = answer

if __name__ == "__main__":
    sys.exit(worker.main())
