"""What tests share: one small data set of each domain."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it: tests reach no hub

from collections.abc import Callable
from functools import cache

import pytest

from datagen.domains import DOMAINS
from datagen.generate import generate
from datagen.shards import Samples
from render.conformance import small_set

SMALL = small_set("clevr")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is cached while tests run is theirs alone."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def data_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Samples]:
    """By domain, sixteen samples as `small_set` asks for them, in shards of six."""
    return cache(lambda domain: generate(small_set(domain), 16, tmp_path_factory.mktemp(domain) / "data"))


@pytest.fixture(scope="session")
def renders(data_of: Callable[[str], Samples]) -> Samples:
    """Sixteen real renders of 160x120 pixels with two to four objects, in shards of six."""
    return data_of("clevr")


@pytest.fixture(scope="session", params=DOMAINS)
def each(request: pytest.FixtureRequest, data_of: Callable[[str], Samples]) -> Samples:
    """The same of every domain, one after the other."""
    return data_of(request.param)
