"""FLIP and SSIM beside the libraries of reference, flip-evaluator of its authors and scikit-image, on renders and on what is hard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from flip_evaluator import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import structural_similarity

from render import filters
from render.filters import LineFilter
from render.flip import flip_map
from render.images import MIN_SIDE, flip, ssim

RENDERS = Path(__file__).parents[2] / "benchmarks" / "references" / "2026"
ROUNDING = 2e-5  # of FLIP in float32, by which the reference computes, too


def render(number: int) -> np.ndarray:
    return np.asarray(Image.open(RENDERS / f"{number:03d}.png").convert("RGB"))


def part(number: int) -> np.ndarray:
    return render(number)[70:190, 80:240]


def jpeg(image: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=30)
    return np.asarray(Image.open(stream))


def noisy(image: np.ndarray, strength: int) -> np.ndarray:
    steps = np.random.default_rng(0).integers(-strength, strength + 1, image.shape)
    return np.clip(image + steps, 0, 255).astype(np.uint8)


def plain(*color: int) -> np.ndarray:
    return np.full((40, 50, 3), color, np.uint8)


PAIRS = {
    "two scenes": (render(0), render(1)),
    "two others": (part(7), part(12)),
    "compressed": (part(3), jpeg(part(3))),
    "a little noise": (part(5), noisy(part(5), 2)),
    "much noise": (part(5), noisy(part(5), 90)),
    "moved by a pixel": (part(9)[:, 1:], part(9)[:, :-1]),
    "a part of odd size": (render(2)[3:100, 7:270], render(4)[3:100, 7:270]),
    "as small as can be": (render(2)[:MIN_SIDE, :MIN_SIDE], render(4)[100 : 100 + MIN_SIDE, 100 : 100 + MIN_SIDE]),
    "narrow": (render(6)[:, :12], render(8)[:, :12]),
    "the same": (part(1), part(1)),
    "black and white": (plain(0, 0, 0), plain(255, 255, 255)),
    "green and blue": (plain(0, 255, 0), plain(0, 0, 255)),
    "whites": (plain(254, 254, 254), plain(253, 253, 253)),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_flip_is_that_of_its_authors(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    expected, _, _ = evaluate(*(image.astype(np.float32) / 255 for image in pair), "LDR", applyMagma=False)
    found = flip_map(one, other)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected.reshape(found.shape), abs=ROUNDING)
    assert flip(one, other) == pytest.approx(expected.mean(dtype=np.float64), abs=ROUNDING / 2)  # not its own mean, a sum in float32
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_ssim_is_that_of_scikit_image(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = (image.astype(np.float64) for image in pair)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = structural_similarity(one, other, channel_axis=2, data_range=255, **window)
    assert ssim(*pair) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=25)
@given(height=st.integers(11, 70), width=st.integers(11, 70), at_once=st.integers(1, 4000), seed=st.integers(0, 99))
def test_rows_at_a_time_give_what_all_of_them_do(height: int, width: int, at_once: int, seed: int) -> None:
    one, other = np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), np.uint8)
    whole = flip_map(one, other), ssim(one, other)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(filters, "_AT_ONCE", at_once)
        assert flip_map(one, other) == pytest.approx(whole[0], abs=ROUNDING)
        assert ssim(one, other) == pytest.approx(whole[1], abs=1e-6)


@settings(max_examples=25)
@given(seed=st.integers(0, 99), radius=st.integers(0, 12), more=st.integers(0, 5), axis=st.sampled_from([-1, -2]))
def test_a_filter_is_a_correlation_along_its_axis(seed: int, radius: int, more: int, axis: int) -> None:
    rng = np.random.default_rng(seed)
    weights, planes = rng.normal(size=2 * radius + 1), rng.normal(size=(2, 45, 40)).astype(np.float32)
    margin = radius + more
    found = LineFilter(weights).along(axis, planes, margin)
    lines = np.apply_along_axis(lambda line: np.correlate(line[more : len(line) - more], weights, "valid"), axis, planes.astype(float))
    assert found == pytest.approx(lines, abs=1e-4)
