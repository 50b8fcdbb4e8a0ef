"""Image scores: their extremes, their direction, their values by hand, and which images count as the same."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datagen.images.reduced
from datagen.images.encoding import decode_image
from datagen.images.reduced import reduced
from render import images
from render.images import MAX_PSNR, compare_images, flip, heat_image, psnr, same_image, score_images, ssim


def noise(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_equal_images(capfd: pytest.CaptureFixture[str]) -> None:
    scores = score_images(noise(), noise())
    assert (scores.psnr, scores.ssim, scores.flip, scores.same) == (MAX_PSNR, 1.0, 0.0, True)
    json.dumps(scores.to_json(), allow_nan=False)
    assert capfd.readouterr().out == ""


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_scores_are_in_range(seed: int, strength: int) -> None:
    one = noise(seed)
    other = np.clip(one.astype(int) + np.random.default_rng(seed + 1).integers(-strength, strength + 1, one.shape), 0, 255)
    scores = score_images(one, other.astype(np.uint8))
    assert 0 <= scores.psnr <= MAX_PSNR
    assert -1 <= scores.ssim <= 1
    assert 0 <= scores.flip <= 1


def test_more_noise_is_worse_on_every_score() -> None:
    one = np.full((40, 60, 3), 128, np.uint8)
    rng = np.random.default_rng(1)
    scores = [score_images(one, (128 + rng.integers(-s, s + 1, one.shape)).astype(np.uint8)) for s in (4, 16, 64)]
    assert scores[0].psnr > scores[1].psnr > scores[2].psnr
    assert scores[0].ssim > scores[1].ssim > scores[2].ssim
    assert scores[0].flip < scores[1].flip < scores[2].flip


def test_psnr_by_hand() -> None:
    black, white = np.zeros((12, 12, 3), np.uint8), np.full((12, 12, 3), 255, np.uint8)
    assert psnr(black, white) == 0
    assert psnr(black, black + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)
    one_off = np.zeros((512, 512, 3), np.uint8)
    one_off[0, 0, 0] = 1
    assert psnr(np.zeros_like(one_off), one_off) == MAX_PSNR  # the formula's 107 dB must not beat equal images


def test_flip_knows_black_from_white_and_its_map_is_magma() -> None:
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert flip(black, white) > 0.9
    assert ssim(black, white) < 0.01
    same, far = (decode_image(heat_image(compare_images(black, other)[1]), "a map") for other in (black, white))
    assert same.shape == far.shape == (16, 16, 3)
    assert same.max() < 10
    assert far[8, 8].min() > 150


def test_the_same_image_allows_a_step_on_one_value_in_a_thousand() -> None:
    one = np.full((10, 100, 3), 100, np.uint8)
    few, many, far = one.copy(), one.copy(), one.copy()
    few.reshape(-1)[[0, 5, 9]] += 1
    many.reshape(-1)[[0, 5, 9, 11]] -= 1
    far[0, 0, 0] += 2
    assert same_image(one, one)
    assert same_image(one, few)
    assert not same_image(one, many)
    assert not same_image(one, far)
    assert not same_image(np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8))  # 0 - 255 must not wrap to 1


@pytest.mark.parametrize("other", [noise(height=20), noise()[..., 0], noise().astype(float)])
def test_other_shapes_and_types_are_refused(other: np.ndarray) -> None:
    for function in (psnr, ssim, flip, compare_images, same_image):
        with pytest.raises(ValueError, match="image"):
            function(noise(), other)


@given(seed=st.integers(0, 99), height=st.integers(1, 12), at_once=st.integers(1, 60), strength=st.integers(1, 3))
def test_a_few_rows_at_a_time_give_what_all_of_them_do(seed: int, height: int, at_once: int, strength: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 256, (height, 9, 3), np.uint8)
    steps = np.where(rng.random(one.shape) < 0.01, rng.integers(-strength, strength + 1, one.shape), 0)
    other = np.clip(one + steps, 0, 255).astype(np.uint8)
    apart = np.abs(one.astype(float) - other)
    error = float(np.mean(apart**2))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(images, "_AT_ONCE", at_once)
        assert psnr(one, other) == (min(MAX_PSNR, 10 * math.log10(255**2 / error)) if error else MAX_PSNR)
        assert same_image(one, other) == (apart.max() <= 1 and (apart > 0).mean() <= 0.001)


def test_of_very_large_images_ssim_and_flip_are_of_smaller_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = noise(0, 30, 60), noise(1, 30, 60)
    whole = score_images(one, other)
    assert not whole.reduced
    monkeypatch.setattr(datagen.images.reduced, "MOST_PIXELS", 30 * 60 // 2)
    scores = score_images(one, other)
    assert scores.reduced
    assert (scores.psnr, scores.same) == (whole.psnr, whole.same)
    means = [image.reshape(15, 2, 30, 2, 3).mean((1, 3)) for image in (one, other)]
    small = [reduced(image) for image in (one, other)]
    assert np.abs(np.array(small) - means).max() <= 0.5
    assert (scores.ssim, scores.flip) == (ssim(*small), flip(*small))
