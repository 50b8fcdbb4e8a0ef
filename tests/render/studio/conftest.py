"""One studio that needs neither Blender nor a model, for all tests of what is asked of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import OneCode, Served, served

from datagen.shards.reader import Samples
from render.studio.studio import Studio

DOT = "dot(loc=(0.2500, 0.7500))\n"


@pytest.fixture(scope="session")
def page(dots: Path) -> Iterator[Served]:
    """A studio of dots, with a data set and a stand-in for a model."""
    with served(Studio(OneCode(dot2d=DOT), [Samples(dots)], "dot2d")) as found:
        yield found
