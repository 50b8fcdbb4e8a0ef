"""What tests share: one small data set of real renders."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it: tests reach no hub

import pytest

from datagen.generate import generate
from datagen.settings import DatasetSettings
from datagen.shards import Samples

SMALL = DatasetSettings(seed=7, width=160, height=120, quality="draft", min_objects=2, max_objects=4, shard_size=6)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is cached while tests run is theirs alone."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def renders(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Sixteen real renders of 160x120 pixels with two to four objects, in shards of six."""
    return generate(SMALL, 16, tmp_path_factory.mktemp("renders") / "data")
