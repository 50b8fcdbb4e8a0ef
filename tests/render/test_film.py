"""Films of rendered codes: a GIF, an MP4, and a .blend file with keyframes, opened in a process that has Blender and nothing of this
project."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from blender_scenes.whole import check_whole
from datagen.code.grammar import parse_code
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.metrics.tracks import tracks
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples
from igllm import main
from render.film import write_films

CUBE = 'add(loc=({x}, 0, 0.7), color="cyan", material="metal", size="large", shape="cube", rotation={turn})'
BALL = 'add(loc=(1.5, {y}, 0.35), color="red", material="rubber", size="small", shape="sphere", rotation=0)'
CODES = {
    "000000001": CUBE.format(x=-1.5, turn=10),
    "000000000": CUBE.format(x=-1, turn=10) + "\n" + BALL.format(y=-1),
    "000000002": "add(",
    "000000003": CUBE.format(x=-0.5, turn=20),
}
GOOD = ["000000001", "000000000", "000000003"]
OPEN = """
import json, sys
import bpy
folder = sys.argv[1]
clip = bpy.data.movieclips.load(folder + "/film.mp4")
found = {"movie": [*clip.size, clip.frame_duration, clip.fps]}
bpy.ops.wm.open_mainfile(filepath=folder + "/film.blend")
scene = bpy.context.scene
bags = [bag for each in bpy.data.actions for layer in each.layers for strip in layer.strips for bag in strip.channelbags]
points = [point for bag in bags for curve in bag.fcurves for point in curve.keyframe_points]
found["interpolation"] = sorted({point.interpolation for point in points})
found["objects"] = [thing.name for thing in bpy.data.collections["objects"].objects]
found["lamps"] = [thing.name for thing in bpy.data.collections["lamps"].objects]
found["markers"] = [[marker.name, marker.frame] for marker in scene.timeline_markers]
found["frames"] = [scene.frame_start, scene.frame_end, scene.render.fps]
for number in range(scene.frame_start, scene.frame_end + 1):
    scene.frame_set(number)
    scene.cycles.seed = json.load(open(f"{folder}/out/{found['markers'][number - 1][0]}.json"))["shot"]["noise_seed"]
    scene.render.filepath = f"{folder}/frame-{number}.png"
    bpy.ops.render.render(write_still=True)
assert not {"datagen", "blender_scenes", "render"} & {*sys.modules}
print("FOUND" + json.dumps(found))
"""


@pytest.fixture(scope="module")
def films(
    tmp_path_factory: pytest.TempPathFactory, shared_set: Callable[[str, DatasetSettings, int], Samples]
) -> tuple[Path, dict[str, Any]]:
    """The folder of a film of each kind and of its pictures, and what another process found in the MP4 and the .blend.

    Camera, lamps and noise of each picture are those of a data set.
    """
    data = shared_set("moving", DatasetSettings(width=48, height=36, quality="standard", camera_jitter=1.0), 4)
    folder = tmp_path_factory.mktemp("films")
    rows = [json.dumps({"key": key, "code": code}) for key, code in CODES.items()]
    (folder / "pred.jsonl").write_text("\n".join(rows) + "\n")
    wanted = [word for suffix in ("gif", "mp4", "blend") for word in ("--film", str(folder / f"film.{suffix}"))]
    assert (
        main(
            ["render", "--code", str(folder / "pred.jsonl"), "--data", str(data.path), "--out", str(folder / "out"), "--fps", "8", *wanted]
        )
        == 0
    )
    done = subprocess.run([sys.executable, "-P", "-I", "-c", OPEN, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    return folder, json.loads(line.removeprefix("FOUND"))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_frames_are_the_codes_that_can_be_rendered_in_their_order(films: tuple[Path, dict[str, Any]]) -> None:
    folder, found = films
    assert found["movie"] == [48, 36, 3, 8.0]
    with Image.open(folder / "film.gif") as gif:
        assert (gif.size, getattr(gif, "n_frames", 1), gif.info["loop"]) == ((48, 36), 3, 0)
        for number, key in enumerate(GOOD):
            gif.seek(number)
            off = np.abs(np.asarray(gif.convert("RGB")).astype(int) - pixels(folder / "out" / f"{key}.png"))
            assert off.mean() < 4


@pytest.mark.parametrize("suffix", ["mp4", "blend"])
def test_a_file_that_was_cut_is_told_from_a_whole_one(suffix: str, films: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    data = (films[0] / f"film.{suffix}").read_bytes()
    (cut := tmp_path / "cut").write_bytes(data)
    check_whole(cut)
    for length in (0, 3, 4096, len(data) // 2, len(data) - 500, len(data) - 1):
        cut.write_bytes(data[: min(length, len(data) - 1)])
        with pytest.raises(UserError, match="is the disk full"):
            check_whole(cut)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "most"), [("mp4", 1500), ("blend", 60_000)])
def test_without_room_there_is_no_file_but_a_message(suffix: str, most: int, films: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, made = tmp_path / "made", tmp_path / f"film.{suffix}"
    assert (
        main(["render", "--code", str(films[0] / "out"), "--width", "48", "--height", "36", "--quality", "draft", "--out", str(folder)])
        == 0
    )
    command = "import resource, sys; from pathlib import Path; from render.film import write_films; "
    command += "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2); "
    command += "write_films([Path(sys.argv[2])], Path(sys.argv[3]), [sys.argv[4]], 8)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", command, str(most), str(made), str(folder), GOOD[0]], capture_output=True, text=True, check=False
    )
    assert "UserError" in done.stderr and "is the disk full" in done.stderr
    assert not made.exists()


def test_keyframes_show_each_code_to_the_byte_given_its_noise(films: tuple[Path, dict[str, Any]]) -> None:
    folder, found = films
    assert found["objects"] == ["object_1_cube", "object_2_sphere"]
    assert found["lamps"] == ["sun 1 of 4", "sun 2 of 4", "sun 3 of 4", "sun 4 of 4", "key", "fill", "back 1 of 2", "back 2 of 2"]
    assert found["markers"] == [[key, number] for number, key in enumerate(GOOD, 1)]
    assert found["frames"] == [1, 3, 8]
    assert found["interpolation"] == ["CONSTANT"]
    for number, key in enumerate(GOOD, 1):
        assert np.array_equal(pixels(folder / f"frame-{number}.png"), pixels(folder / "out" / f"{key}.png"))


def test_objects_are_followed_by_their_words_and_places() -> None:
    domain = get_domain("clevr")
    other = BALL.replace("red", "blue")
    texts = (
        [BALL.format(y=-1), BALL.format(y=1)],
        [BALL.format(y=1.2), other.format(y=-1), BALL.format(y=-0.8)],
        [other.format(y=1)],
        [BALL.format(y=2), BALL.format(y=1.5), BALL.format(y=-2)],
    )
    scenes = [parse_code("\n".join(lines), domain) for lines in texts]
    assert tracks(scenes, domain) == [[0, 1], [1, 2, 0], [2], [3, 1, 0]]
    assert tracks([parse_code("", domain)], domain) == [[]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--film", "film.avi"], "film.avi: a film is a .gif, a .mp4 or a .blend file"),
        (["--film", "film.gif", "--fps", "101"], "--fps 101: from 1 to 100"),
        (["--film", "film.gif", "--film", "./film.gif"], "film.gif: is given twice"),
        (["--fps", "8"], "--fps goes with --film"),
        (["--film", "film.mp4", "--width", "49"], "film.mp4: frames of 49x240: an .mp4 needs even sides; choose others, or a .gif"),
        (
            ["--film", "film.blend", "--domain", "dot2d", "--code", "dot.py"],
            "the dot2d domain is painted without Blender, so",
        ),
    ],
)
def test_what_is_no_film_is_refused_at_once(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene.py").write_text(CODES[GOOD[0]])
    (tmp_path / "dot.py").write_text("dot(loc=(0.2, 0.5))\n")
    code = [] if "--code" in arguments else ["--code", "scene.py"]
    assert main(["render", *code, "--out", "out", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_film_cannot_have_is_refused(films: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder = films[0] / "out"
    with pytest.raises(UserError, match="there is no picture"):
        write_films([tmp_path / "film.gif"], folder, [])
    assert not list(tmp_path.iterdir())
