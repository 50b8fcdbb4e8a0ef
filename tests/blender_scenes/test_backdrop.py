"""People's own cameras: ground and backdrop fill every frame, unless the camera looks past them, as in the depth labels."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from datagen.samples.sample import EncodedSample
from datagen.scene import Camera, Lamp
from datagen.shards.reader import Samples
from datagen.workers.jobs import RenderJob
from datagen.workers.pool import RenderPool
from igllm import main
from render.picture import render_scene

CAMERAS = {
    "front": {"location": [0, -11, 3]},
    "back": {"location": [1, 10, 4]},
    "left": {"location": [-9, -2, 4]},
    "low": {"location": [0, -11, 0.4]},
    "wide": {"location": [5, -5, 4], "lens_mm": 12},
    "sky": {"location": [0, -9, 1], "target": [0, 0, 11], "lens_mm": 9, "sensor_mm": 36},
}
FRAME = ["--width", "64", "--height", "48", "--quality", "draft"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Samples, str]:
    """36 samples under these cameras, and the run's standard error."""
    folder = tmp_path_factory.mktemp("views")
    (folder / "cameras.json").write_text(json.dumps(CAMERAS))
    command = ["generate", "--num", "36", "--out", str(folder / "data"), "--cameras", str(folder / "cameras.json"), *FRAME]
    with pytest.MonkeyPatch.context() as patch:
        stderr = io.StringIO()
        patch.setattr("sys.stderr", stderr)
        assert main([*command, "--min-objects", "1", "--max-objects", "2", "--workers", "1", "--depth"]) == 0
    return Samples(folder / "data"), stderr.getvalue()


def test_no_camera_looks_into_a_black_hole(seen: tuple[Samples, str]) -> None:
    names = set()
    for sample in seen[0]:
        name = sample.shot.viewpoint.name
        names.add(name)
        bare = np.isinf(np.load(io.BytesIO(sample.extras[".depth.npy"])))
        black = sample.pixels().max(axis=2) == 0
        assert bare.any() == (name == "sky")
        assert black.any() == (name == "sky")
        # Pixels are black where depth is infinite, except along the seam, which the denoiser blurs.
        assert (black != bare).mean() < 0.05
    assert names == set(CAMERAS)


def test_a_camera_that_looks_past_everything_is_named_before_anything_is_rendered(seen: tuple[Samples, str]) -> None:
    [line] = [line for line in seen[1].splitlines() if "looks past" in line]
    assert line.startswith("igllm generate: the camera 'sky' looks past the ground and the backdrop")
    assert "% of its frame will be black" in line


def test_the_stage_is_as_it_was_after_another_cameras_shot(seen: tuple[Samples, str], renders: Samples) -> None:
    """A turned backdrop is turned back: renders repeated in one process are equal to the bit."""
    own = next(sample for sample in seen[0] if sample.shot.viewpoint.name == "left")
    usual = renders[renders.keys[0]]
    pictures = []
    with RenderPool(1) as pool:
        for number, of in enumerate((usual, own, usual, own)):
            [(_, sample)] = pool.render([RenderJob(str(number), of.scene, of.shot)])
            assert isinstance(sample, EncodedSample)
            sample = sample.decoded()
            pictures.append(sample.pixels())
    assert (pictures[0] == pictures[2]).all()
    assert (pictures[1] == pictures[3]).all()
    assert (pictures[0] == usual.pixels()).all()
    assert (pictures[1] == own.pixels()).all()


def test_a_lamp_before_the_camera_lights_the_scene_and_is_not_seen() -> None:
    """It would hide what is behind it, which labels say is shown. Its front, seen, would be white."""
    camera, lamp = Camera((0.0, -9.0, 3.0), (0.0, 0.0, 3.0)), Lamp("key", (0.0, 6.0, 3.0), 2.0, 400.0, (1.0, 1.0, 1.0))
    with RenderPool(1) as pool:
        seen_by: dict[str, Any] = {"camera": camera, "width": 64, "height": 48, "quality": "draft", "pool": pool}
        lit = render_scene("", lamps=[lamp], **seen_by).image
        dark = render_scene("", lamps=[replace(lamp, power=0.0)], **seen_by).image
    assert lit[20:28, 28:36].max() < 250  # the middle of the frame, where the lamp stands
    assert lit[40:].mean() > dark[40:].mean() + 10  # the ground
