"""The steps of a refinement: what a warped frame predicts, and what noise in measured derivatives does to a step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.domains.registry import get_domain
from datagen.scene import Object, Scene
from render.refine.fit import solve, window_around
from render.refine.frames import OwnFrames
from render.refine.levels import Level, blurred
from render.refine.state import Handle, State, object_handles, outline
from render.refine.warp import Warp
from render.refine.words import Beliefs

CLEVR, DOT2D = get_domain("clevr"), get_domain("dot2d")


@pytest.fixture(scope="module")
def frames() -> Iterator[OwnFrames]:
    with OwnFrames() as own:
        yield own


def solid(x: float, y: float, shape: str, color: str) -> Object:
    values = {"color": color, "material": "rubber", "size": "large", "shape": shape, "rotation": 20.0}
    return CLEVR.settled(Object("add", {"loc": (x, y, 0.0), **values}))


SCENE = CLEVR.canonical(Scene("clevr", (solid(0.6, 0.8, "cube", "red"), solid(-1.4, -1.0, "sphere", "cyan"))))


@pytest.mark.parametrize("index", [0, 1])
def test_a_warped_frame_changes_as_a_rendered_one(index: int, frames: OwnFrames) -> None:
    """The differences that a step of a pixel makes, as blurred as they are used, have the same direction, and about the same length."""
    shot = CLEVR.canonical_shot(96, 72, "draft")
    state, level = State.of(SCENE, shot), Level(np.zeros((72, 96, 3), np.float32), 16, 1.0)
    window = window_around(outline(SCENE.objects[index], CLEVR, shot), level)
    assert window is not None
    frame = frames.draw(SCENE, shot, level.samples, window)
    warp = Warp.of(frame, window, state, CLEVR, index)
    assert warp is not None
    left, top, right, bottom = warp.window
    part = np.s_[top - window[1] : bottom - window[1], left - window[0] : right - window[0]]
    handles = object_handles(state, CLEVR, index, 1.0)
    assert len(handles) == (3 if SCENE.objects[index]["shape"] == "cube" else 2)
    for handle in handles:
        warped = warp.difference(handle)
        assert warped is not None
        after, before = (
            frames.draw(handle.turn(state, amount).scene, shot, level.samples, window) for amount in (handle.step / 2, -handle.step / 2)
        )
        warped, rendered = blurred(warped, level.blur), blurred((after - before)[part], level.blur)
        assert (warped * rendered).sum() > 0.75 * np.linalg.norm(warped) * np.linalg.norm(rendered)
        assert 0.5 < np.linalg.norm(rendered) / np.linalg.norm(warped) < 2.0


def test_what_has_no_solids_or_is_not_seen_is_not_warped() -> None:
    dots, shot = Scene("dot2d", (Object("dot", {"loc": (0.4, 0.6)}),)), DOT2D.canonical_shot(64, 48, "draft")
    assert Warp.of(np.zeros((48, 64, 3), np.float32), (0, 0, 64, 48), State.of(dots, shot), DOT2D, 0) is None
    state, frame = State.of(SCENE, CLEVR.canonical_shot(96, 72, "draft")), np.zeros((8, 8, 3), np.float32)
    assert Warp.of(frame, (0, 64, 8, 72), state, CLEVR, 0) is None


def handle(spread: float = 1e6) -> Handle:
    return Handle(None, lambda state, amount: state, 1.0, 100.0, spread)


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_noise_in_measured_derivatives_does_not_shorten_a_step(seed: int, wanted: list[float]) -> None:
    """Derivatives with noise as large as they are give half of the amounts that explain the residual; measured twice, all of them."""
    draws = np.random.default_rng(seed)
    exact = draws.normal(scale=0.02, size=(len(wanted), 40, 50, 3))
    residual = np.tensordot(np.array(wanted), exact, 1) * 0.1
    measured = [list(exact + draws.normal(scale=0.02, size=exact.shape)) for _ in range(2)]
    amounts = np.array(wanted) * 0.1
    handles = [handle() for _ in wanted]
    twice, once = solve(residual, measured, handles), solve(residual, measured[:1], handles)
    assert np.linalg.norm(twice - amounts) <= 0.3 * np.linalg.norm(amounts) + 1e-9
    assert np.linalg.norm(once) <= 0.7 * np.linalg.norm(amounts) + 1e-9


def test_the_surer_the_model_is_the_clearer_other_words_must_be() -> None:
    state = State.of(SCENE, CLEVR.canonical_shot(96, 72, "draft"))
    unsure, sure = (Beliefs(confidence=(confidence, 0.5)).gain(state, 0) for confidence in (0.6, 0.999))
    assert 0 < unsure < sure
    assert Beliefs(confidence=(0.999, 0.999)).gain(state.with_new(SCENE.objects[0]), 2) == 0  # nobody is sure of what was added
