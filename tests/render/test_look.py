"""igllm's stage beside CLEVR's own: docs/look holds a scene rendered there, and the estimated places of its objects and lamps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from places import DOCS

from datagen.shards.reader import Samples
from render.images import psnr, ssim
from render.rerender import Recorded, render_codes

LOOK = DOCS / "look"
AROUND_THE_CUBE = np.s_[118:172, 112:172]
"""Not compared: this scene's one cube is smaller by √2 than the cubes of the published images, and so casts a shorter shadow."""


def test_the_stage_looks_like_clevrs(tmp_path: Path) -> None:
    clevr = Samples(LOOK)["clevr-look"]
    render_codes({clevr.key: clevr.code}, Recorded(Samples(LOOK)), tmp_path)
    theirs, ours = clevr.pixels(), np.array(Samples(tmp_path)[clevr.key].pixels())
    ours[AROUND_THE_CUBE] = theirs[AROUND_THE_CUBE]
    assert psnr(theirs, ours) > 36
    assert ssim(theirs, ours) > 0.97
    assert np.abs(theirs.mean((0, 1)) - ours.mean((0, 1))).max() < 2  # of 255
