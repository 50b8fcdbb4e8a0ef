"""The checks of `render.conformance`, for every domain. `tests/datagen/code/test_code.py` has more tests of all domains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from datagen.domains.base import Domain
from datagen.domains.registry import DOMAINS, get_domain
from datagen.errors import UserError
from datagen.scene import Object, Scene
from datagen.shards.reader import Samples
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from render.conformance import DOMAIN_CHECKS, SAMPLE_CHECKS, Broken, narrowed_splits_are_kept, scenes_are_valid_and_canonical

EVERY_DOMAIN = pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)


@EVERY_DOMAIN
@pytest.mark.parametrize("check", DOMAIN_CHECKS, ids=lambda check: check.__name__)
def test_a_domain_keeps(check: Callable[[Domain], None], domain: Domain) -> None:
    check(domain)


@pytest.mark.parametrize("check", SAMPLE_CHECKS, ids=lambda check: check.__name__)
def test_samples_keep(check: Callable[[Samples, Path, RenderPool], None], each: Samples, tmp_path: Path) -> None:
    with RenderPool(1) as pool:
        check(each, tmp_path, pool)


@EVERY_DOMAIN
def test_what_is_not_declared_is_not_rendered(domain: Domain) -> None:
    bad = Scene(domain.name, (Object("nothing", {}),))
    with RenderPool(1) as pool:
        [(_, outcome)] = pool.render([RenderJob("a", bad, domain.canonical_shot(64, 48, "draft"))])
    assert isinstance(outcome, UserError)
    assert "no statement 'nothing'" in str(outcome)


def test_a_promise_that_is_not_kept_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    dot = get_domain("dot2d")
    monkeypatch.setattr(type(dot), "sample_scene", lambda self, rng, count, split: Scene("dot2d", (Object("dot", {"loc": (0.95, 0.5)}),)))
    with pytest.raises(Broken, match=r"narrows loc\.x to \[0\.125, 0\.875\] gave 0\.95"):
        narrowed_splits_are_kept(dot)
    monkeypatch.setattr(
        type(dot), "sample_scene", lambda self, rng, count, split: Scene("dot2d", (Object("dot", {"loc": (0.5, 0.12345)}),))
    )
    with pytest.raises(Broken, match="not in canonical form"):
        scenes_are_valid_and_canonical(dot)
