"""The domain of one dot: its pixels, its checkerboard, and that it does without Blender."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datagen.domains import dot2d
from datagen.domains.dot2d import CHECKERS, DOT2D, RADIUS, Dot2d
from datagen.domains.registry import get_domain
from datagen.domains.split_files import split_from_json
from datagen.domains.splits import Split
from datagen.errors import PartlyDone, UserError
from datagen.generate import generate
from datagen.geometry.disc import Disc
from datagen.samples.draw import draw
from datagen.samples.labels import view_of
from datagen.samples.settings import DatasetSettings
from datagen.scene import Object, Scene, Shot
from datagen.shards.reader import Samples
from igllm import main
from render.rerender import Standard, render_codes

UNIT = st.integers(0, 10_000).map(lambda n: n / 10_000)
FRAMES = st.tuples(st.integers(16, 90), st.integers(16, 90))


def dot(x: float, y: float) -> Scene:
    return Scene("dot2d", (Object("dot", {"loc": (x, y)}),))


def shot(width: int, height: int) -> Shot:
    return DOT2D.canonical_shot(width, height, "draft")


@given(st.floats(-3, 40), st.floats(-3, 30), st.floats(0.1, 15))
@settings(max_examples=40)
def test_coverage_is_the_area(x: float, y: float, radius: float) -> None:
    """Compared with 64 x 64 points a pixel: in each row, less than one point is wrong at either end of the disc's chord."""
    disc, many = Disc(x, y, radius), 64
    covered = disc.coverage((slice(0, 30), slice(0, 40)))
    points_y, points_x = (np.arange(30 * many) + 0.5) / many, (np.arange(40 * many) + 0.5) / many
    inside = (points_x - x) ** 2 + ((points_y - y) ** 2)[:, None] <= radius**2
    assert np.abs(covered - inside.reshape(30, many, 40, many).mean((1, 3))).max() < 2 / many


@given(st.floats(20, 30), st.floats(20, 30), st.floats(0.01, 19))
def test_a_whole_disc_covers_its_area_whatever_its_place(x: float, y: float, radius: float) -> None:
    disc = Disc(x, y, radius)
    assert disc.coverage((slice(0, 50), slice(0, 50))).sum() == pytest.approx(math.pi * radius**2, rel=1e-9)
    assert disc.coverage(disc.window(50, 50)).sum() == pytest.approx(math.pi * radius**2, rel=1e-9)


@given(UNIT, UNIT, FRAMES)
def test_every_dot_is_whole_and_round_and_where_its_code_says(x: float, y: float, frame: tuple[int, int]) -> None:
    width, height = frame
    scene, side = dot(x, y), min(frame) / (1 + 2 * RADIUS)
    image = DOT2D.paint(scene, shot(width, height)).astype(float)
    assert (image[..., 0] == 255).all()  # a red dot on white
    assert (image[..., 1] == image[..., 2]).all()
    dark = 1 - image[..., 1] / 255
    assert dark.sum() == pytest.approx(math.pi * (RADIUS * side) ** 2, abs=0.5 / 255 * np.count_nonzero(dark) + 0.1)
    [[centre_x, centre_y, depth]] = DOT2D.centres(scene.objects, shot(width, height)).tolist()
    assert depth == 0.0
    assert (centre_x, centre_y) == pytest.approx(((width - side) / 2 + x * side, (height + side) / 2 - y * side))
    mean_x = (dark.sum(0) @ (np.arange(width) + 0.5)) / dark.sum()
    mean_y = (dark.sum(1) @ (np.arange(height) + 0.5)) / dark.sum()
    assert (mean_x, mean_y) == pytest.approx((centre_x, centre_y), abs=0.1)  # not exact: each pixel counts at its centre


@given(UNIT, UNIT)
def test_the_mask_holds_the_pixels_that_the_dot_covers_most_of(x: float, y: float) -> None:
    scene = dot(x, y)
    dark = 1 - DOT2D.paint(scene, shot(160, 120))[..., 1] / 255.0
    mask = view_of(scene, DOT2D, shot(160, 120)).owner == 0
    assert dark[mask].min() > 0.4
    assert dark[~mask].max() < 0.6


@given(UNIT, UNIT, FRAMES)
def test_the_mirrored_dot_has_the_mirrored_image(x: float, y: float, frame: tuple[int, int]) -> None:
    one = DOT2D.paint(dot(x, y), shot(*frame)).astype(int)
    other = DOT2D.paint(DOT2D.mirrored(dot(x, y)), shot(*frame)).astype(int)
    assert np.abs(one[:, ::-1] - other).max() <= 1


def test_dots_beside_the_frame_and_several_of_them_are_painted_as_they_are() -> None:
    blank = DOT2D.paint(Scene("dot2d", ()), shot(64, 48))
    assert (blank == 255).all()
    assert (DOT2D.paint(dot(5.0, 1e9), shot(64, 48)) == blank).all()
    two = Scene("dot2d", (*dot(0.2, 0.2).objects, *dot(0.8, 0.8).objects))
    parts = [DOT2D.paint(dot(at, at), shot(64, 48)) for at in (0.2, 0.8)]
    assert (DOT2D.paint(two, shot(64, 48)) == np.minimum(*parts)).all()
    assert view_of(two, DOT2D, shot(64, 48)).visible_pixels(2).min() > 0


def in_checkerboard(x: float, y: float) -> bool:
    """Whether a point is in the checkerboard, by the rule for its cell: row and column are even, and their sum is divisible by 4."""
    edges = [round(i / CHECKERS, 4) for i in range(CHECKERS + 1)]
    columns = {i for i in range(CHECKERS) if edges[i] <= x <= edges[i + 1]}
    rows = {j for j in range(CHECKERS) if edges[j] <= y <= edges[j + 1]}
    return any(i % 2 == 0 and j % 2 == 0 and (i + j) % 4 == 0 for i in columns for j in rows)


@given(UNIT, UNIT)
def test_the_checkerboard_is_one_and_its_own_mirror_image(x: float, y: float) -> None:
    split = DOT2D.split("checkerboard")
    assert split.holds({"loc.x": x, "loc.y": y}) == in_checkerboard(x, y)
    flipped = DOT2D.mirrored(dot(x, y)).objects[0]["loc"]
    assert split.holds(dict(zip(("loc.x", "loc.y"), flipped, strict=True))) == in_checkerboard(x, y)


@given(UNIT, UNIT)
def test_its_gaps_are_all_the_rest(x: float, y: float) -> None:
    assert DOT2D.split("checkerboard-gaps").holds({"loc.x": x, "loc.y": y}) != in_checkerboard(x, y)


@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_training_positions_lie_in_the_checkerboard(seed: int, index: int) -> None:
    [obj] = draw(DatasetSettings("dot2d", "checkerboard", seed=seed, width=32, height=32), index).scene
    assert in_checkerboard(*obj["loc"])


def test_positions_are_even_over_what_a_split_allows() -> None:
    for split in ("default", "checkerboard", "checkerboard-gaps"):
        places = [draw(DatasetSettings("dot2d", split, width=16, height=16), i).scene.objects[0]["loc"] for i in range(1200)]
        quarters = np.histogram2d(*np.transpose(places), bins=2, range=[[0, 1], [0, 1]])[0] / 1200
        assert np.abs(quarters - 1 / 4).max() < 0.06, split


def test_a_split_of_ones_own_can_state_regions(tmp_path: Path) -> None:
    (tmp_path / "ring.json").write_text(
        '{"regions": [{"loc.x": [[0, 0.2], [0.8, 1]]}, {"loc.y": [[0, 0.2]], "loc.x": [[0, 1]]}], "ranges": {"loc.y": [0, 0.5]}}'
    )
    assert (
        main(["generate", "--domain", "dot2d", "--split", str(tmp_path / "ring.json"), "--num", "40", "--out", str(tmp_path / "data")]) == 0
    )
    for sample in Samples(tmp_path / "data"):
        [obj] = sample.scene
        x, y = obj["loc"]
        assert y <= 0.5
        assert x <= 0.2 or x >= 0.8 or y <= 0.2
    assert sample.record["split"] == "ring"


def test_clevr_keeps_to_regions_too() -> None:
    regions = ((("loc.x", ((-3.0, -1.0), (1.0, 3.0))), ("rotation", ((10.0, 60.0),))),)
    settings = DatasetSettings(rules=Split("sides", objects=(1, 3), regions=regions), width=64, height=48)
    for index in range(20):
        for obj in draw(settings, index).scene:
            assert 1.0 <= abs(obj["loc"][0]) <= 3.0
            assert obj["shape"] != "cube" or 10.0 <= obj["rotation"] <= 60.0


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([], "regions is"),
        ({}, "regions is"),
        ([[]], r"regions\[0\] is"),
        ([{"loc.z": [[0, 1]]}], r"regions\[0\] has the key 'loc.z'; known are loc.x, loc.y"),
        ([{"loc.x": []}], r"regions\[0\].loc.x is"),
        ([{"loc.x": [0, 1]}], r"regions\[0\].loc.x\[0\] is 0, but must be a list"),
        ([{}, {"loc.x": [[0, 0.5], [0.7, 1.2]]}], r"regions\[1\].loc.x\[1\] is .* within \[0, 1\] sides"),
    ],
)
def test_a_mistake_in_regions_is_told(regions: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        split_from_json({"name": "mine", "regions": regions}, DOT2D, "mine.json")


def test_regions_that_leave_no_room_are_refused(tmp_path: Path) -> None:
    crumb = Split("crumb", objects=(1, 1), regions=((("loc.x", ((0.5, 0.5001),)), ("loc.y", ((0.5, 0.5001),))),))
    with pytest.raises(UserError, match="leaves no room for 1 objects"):
        generate(DatasetSettings("dot2d", rules=crumb), 2, tmp_path)


@pytest.mark.parametrize("options", [{"depth": True}, {"captions": True}, {"camera_jitter": 0.5}, {"max_objects": 2}], ids=str)
def test_what_a_plane_does_not_have_is_refused(options: dict) -> None:
    with pytest.raises(UserError, match="dot2d"):
        DatasetSettings("dot2d", **options)
    clevr = get_domain("clevr").canonical_shot(16, 16, "draft")
    with pytest.raises(UserError, match="no camera"):
        DatasetSettings("dot2d", cameras=(clevr.viewpoint,))


def test_there_is_no_blender_in_it(tmp_path: Path) -> None:
    """No process starts another or imports bpy, a GPU and .blend files are refused, and dataset.json does not name bpy."""
    with pytest.raises(UserError, match="without Blender, on the CPU"):
        generate(DatasetSettings("dot2d"), 1, tmp_path / "gpu", device="gpu")
    with pytest.raises(UserError, match=r"no \.blend file"):
        render_codes({"a": "dot(loc=(0, 0))"}, Standard("dot2d"), tmp_path / "blend", also=["blend"])
    script = """if True:
        import sys, subprocess
        from pathlib import Path
        from datagen.generate import generate
        from datagen.samples.settings import DatasetSettings
        from render.rerender import Recorded, render_codes
        def refused(*_, **__): raise SystemExit("a process was started")
        subprocess.Popen = refused
        samples = generate(DatasetSettings("dot2d", width=32, height=32), 3, Path(sys.argv[1]) / "data")
        render_codes({key: samples.code(key) for key in samples.keys}, Recorded(samples), Path(sys.argv[1]) / "out")
        sys.exit("bpy" in sys.modules and "bpy is there")"""
    done = subprocess.run([sys.executable, "-P", "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "000000002.png").is_file()
    assert "bpy" not in (tmp_path / "data" / "dataset.json").read_text()


def test_a_painter_that_fails_costs_its_own_scene_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    painted = Dot2d.paint

    def moody(self: Dot2d, scene: Scene, shot: Shot) -> np.ndarray:
        if scene.objects[0]["loc"][0] > 0.7:
            raise ArithmeticError("out of paint")
        return painted(self, scene, shot)

    dots = DatasetSettings("dot2d", seed=1, width=16, height=16, shard_size=5)
    monkeypatch.setattr(Dot2d, "paint", moody)
    with pytest.raises(PartlyDone, match="of 12 scenes could not be rendered"):
        generate(dots, 12, tmp_path)
    assert "out of paint" in (tmp_path / "failures.jsonl").read_text()
    monkeypatch.setattr(Dot2d, "paint", painted)
    assert len(generate(dots, 12, tmp_path)) == 12


def test_an_interrupted_run_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second call does not paint all samples again, and the data set equals an undisturbed one to the byte."""
    dots = DatasetSettings("dot2d", seed=1, width=32, height=32, shard_size=30)
    drawn: list[str] = []
    painted, most = Dot2d.paint, 19

    def counting(self: Dot2d, scene: Scene, shot: Shot) -> np.ndarray:
        if len(drawn) == most:
            raise KeyboardInterrupt  # each time, because several samples may be begun before it takes effect
        drawn.append(str(scene.objects[0]["loc"]))
        return painted(self, scene, shot)

    monkeypatch.setattr(Dot2d, "paint", counting)
    with pytest.raises(KeyboardInterrupt):
        generate(dots, 40, tmp_path / "data", workers=1)
    most = 100
    generate(dots, 40, tmp_path / "data", workers=1)
    assert 21 <= len(drawn) - 19 < 40
    generate(dots, 40, tmp_path / "undisturbed", workers=1)
    for name in ("shard-000000.tar", "shard-000001.tar", "manifest.jsonl"):
        assert (tmp_path / "data" / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes()


@given(places=st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)), max_size=6), frame=FRAMES, at_once=st.integers(1, 4000))
def test_a_frame_that_is_painted_some_rows_at_a_time_is_the_same(
    places: list[tuple[float, float]], frame: tuple[int, int], at_once: int
) -> None:
    scene = Scene("dot2d", tuple(Object("dot", {"loc": place}) for place in places))
    whole = DOT2D.paint(scene, shot(*frame))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dot2d, "_AT_ONCE", at_once)
        assert np.array_equal(DOT2D.paint(scene, shot(*frame)), whole)
