"""The worker's protocol and the properties of its images. Blender runs in the worker; the tests never import bpy."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import FAULTS

from datagen.domains.clevr import SIZES
from datagen.domains.registry import get_domain
from datagen.images.encoding import decode_image
from datagen.io.child import MARK
from datagen.samples.labels import view_of
from datagen.scene import Camera, Object, Scene, Shot

CLEVR = get_domain("clevr")
SHOT = CLEVR.canonical_shot(160, 120, "draft")


class Worker:
    """A worker process, driven by its protocol."""

    def __init__(self, *arguments: str, module: str = "blender_scenes.worker") -> None:
        command = [sys.executable, "-P", "-m", module, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.hello = self.header()

    @property
    def _out(self) -> Any:
        return self.process.stdout

    def header(self) -> Any:
        """The next line that it says, as JSON."""
        return json.loads(self._out.readline().removeprefix(MARK))

    def send(self, request: bytes) -> tuple[dict[str, Any], bytes]:
        """The header that answers one line, and the payload that follows it."""
        assert self.process.stdin is not None
        self.process.stdin.write(request + b"\n")
        self.process.stdin.flush()
        header = self.header()
        return header, b"" if "error" in header else self._out.read(sum(header["files"].values()))

    def ask(self, scene: Scene, shot: Shot, blend: str | None = None) -> tuple[dict[str, Any], bytes]:
        """The header and the payload that answer a request to render."""
        return self.send(
            json.dumps({"key": "a", "scene": scene.to_json(), "shot": shot.to_json(), "also": {"blend": blend} if blend else {}}).encode()
        )

    def render(self, scene: Scene, shot: Shot) -> np.ndarray:
        """The image (height, width, 3), 8 bits as int16 so that differences do not wrap."""
        header, payload = self.ask(scene, shot)
        assert "error" not in header, header
        return decode_image(payload[: header["files"][".png"]], "the worker").astype(np.int16)

    def error(self, scene: Scene, shot: Shot) -> str:
        return self.ask(scene, shot)[0]["error"]

    def end(self) -> int:
        """Close the worker's input and return its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(timeout=600)


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    started = Worker("--cpus", str(min(os.sched_getaffinity(0))))
    yield started
    started.end()


def thing(x: float, y: float, *, shape: str = "cube", size: str = "large", material: str = "rubber", color: str = "red") -> Object:
    location = (x, y, SIZES[size])
    return Object("add", {"loc": location, "shape": shape, "size": size, "material": material, "color": color, "rotation": 20.0})


CUBE, BALL, DRUM = (
    thing(1.0, -1.0),
    thing(-1.0, 1.5, shape="sphere", color="green"),
    thing(2.0, 1.5, shape="cylinder", size="small", material="metal", color="cyan"),
)
SCENE = Scene("clevr", (CUBE, BALL, DRUM))


def assert_same_image(one: np.ndarray, two: np.ndarray) -> None:
    """Every value differs by at most 1 of 255, and at most one in a thousand differs."""
    apart = np.abs(one - two)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) <= one.size / 1000


def changed(one: np.ndarray, two: np.ndarray, by: int = 12) -> np.ndarray:
    """Where some channel differs by more than `by` of 255."""
    return np.abs(one - two).max(axis=2) > by


def mask(scene: Scene, obj: Object, shot: Shot) -> np.ndarray:
    """The pixels at which an object of the scene is seen."""
    return view_of(scene, CLEVR, shot).owner == scene.objects.index(obj)


def grown(area: np.ndarray, by: int = 1) -> np.ndarray:
    """An area and the pixels within `by` of it; shrunk for a negative `by`."""
    if by < 0:
        return ~grown(~area, -by)
    padded = np.pad(area, by)
    steps = range(2 * by + 1)
    return np.any([padded[r : r + area.shape[0], c : c + area.shape[1]] for r in steps for c in steps], axis=0)


def test_importing_the_package_does_not_import_bpy() -> None:
    code = "import sys, blender_scenes, blender_scenes.worker; sys.exit('bpy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_says_hello_and_answers_with_pixels_of_the_frame_asked_for(worker: Worker) -> None:
    assert worker.hello["ready"] is True
    assert worker.hello["bpy"].count(".") == 2
    image = worker.render(SCENE, replace(SHOT, width=90, height=60))
    assert image.shape == (60, 90, 3)
    assert image.std() > 5


def test_on_a_gpu_first_frames_that_leave_nothing_come_before_jobs(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FAULTS), os.environ.get("PYTHONPATH", "")]))
    on_gpu = Worker("--gpu", "HIP", "none", module="cpu_as_gpu_worker")
    assert on_gpu.hello == {"loading": True}
    assert on_gpu.header() == worker.hello
    assert "KeyError" in on_gpu.send(b'{"index": 0}')[0]["error"]  # the settings of the first frames are nobody's
    scene = Scene("clevr", (thing(0.0, 0.0),))
    assert np.array_equal(on_gpu.render(scene, SHOT), worker.render(scene, SHOT))
    assert on_gpu.end() == 0


def test_same_image_again_and_after_another_scene(worker: Worker) -> None:
    first = worker.render(SCENE, SHOT)
    assert_same_image(first, worker.render(SCENE, SHOT))
    other_lamps = tuple(replace(lamp, power=lamp.power * 2) for lamp in SHOT.lamps[:2])
    worker.render(
        Scene("clevr", (thing(0.0, 0.0, shape="cylinder", material="metal"),)), replace(SHOT, width=64, height=48, lamps=other_lamps)
    )
    assert_same_image(first, worker.render(SCENE, SHOT))


def test_same_image_from_another_process_on_all_processors(worker: Worker) -> None:
    other = Worker()
    try:
        assert_same_image(worker.render(SCENE, SHOT), other.render(SCENE, SHOT))
    finally:
        other.end()


def test_order_of_objects_does_not_matter(worker: Worker) -> None:
    assert_same_image(worker.render(SCENE, SHOT), worker.render(Scene("clevr", SCENE.objects[::-1]), SHOT))


def test_noise_seed_and_lamps_matter(worker: Worker) -> None:
    image = worker.render(SCENE, SHOT)
    assert np.any(image != worker.render(SCENE, replace(SHOT, noise_seed=1)))
    darker = worker.render(SCENE, replace(SHOT, lamps=SHOT.lamps[1:]))
    assert darker.mean() < image.mean() - 10


@pytest.mark.parametrize("quality", ["draft", "standard"])
def test_qualities_agree_on_the_picture(worker: Worker, quality: str) -> None:
    assert abs(worker.render(SCENE, SHOT).mean() - worker.render(SCENE, replace(SHOT, quality=quality)).mean()) < 1


@pytest.mark.parametrize("obj", SCENE.objects, ids=lambda o: o["shape"])
def test_an_object_is_rendered_where_its_mask_is(worker: Worker, obj: Object) -> None:
    """Repainting an object changes its own pixels and little beside them, by reflected light."""
    seen = mask(SCENE, obj, SHOT)
    repainted = Scene("clevr", tuple(o.replaced(color="yellow") if o is obj else o for o in SCENE.objects))
    differs = changed(worker.render(SCENE, SHOT), worker.render(repainted, SHOT))
    assert seen.sum() > 40
    assert differs[grown(seen, -1)].mean() > 0.97
    assert differs[~grown(seen, 2)].mean() < 0.03


def test_a_moved_object_changes_the_image_where_it_was_and_where_it_is(worker: Worker) -> None:
    moved = CUBE.replaced(loc=(-1.5, -2.0, CUBE["loc"][2]))
    after = Scene("clevr", (moved, BALL, DRUM))
    differs = changed(worker.render(SCENE, SHOT), worker.render(after, SHOT), by=6)
    assert differs[mask(SCENE, CUBE, SHOT)].mean() > 0.9
    assert differs[mask(after, moved, SHOT)].mean() > 0.9
    assert not differs[:20].any()


def test_metal_shows_reflections_that_rubber_does_not(worker: Worker) -> None:
    images = {m: worker.render(Scene("clevr", (thing(0.0, 0.0, shape="sphere", material=m),)), SHOT) for m in ("rubber", "metal")}
    inside = grown(mask(Scene("clevr", (thing(0.0, 0.0, shape="sphere"),)), thing(0.0, 0.0, shape="sphere"), SHOT), -2)
    contrast = {m: image[inside].max(axis=1).std() / image[inside].max(axis=1).mean() for m, image in images.items()}
    assert contrast["metal"] > 1.5 * contrast["rubber"]


def test_colours_are_told_apart(worker: Worker) -> None:
    """The channel that dominates the colour dominates the rendered object."""
    for color, channel in (("red", 0), ("green", 1), ("blue", 2)):
        scene = Scene("clevr", (thing(0.0, 0.0, shape="cylinder", color=color),))
        means = worker.render(scene, SHOT)[mask(scene, scene.objects[0], SHOT)].mean(axis=0)
        assert int(means.argmax()) == channel


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Scene("clevr", (CUBE.replaced(shape="pyramid"),)), "shape 'pyramid' is none of cube"),
        (Scene("clevr", (CUBE.replaced(color="mauve"),)), "color 'mauve'"),
        (Scene("clevr", (Object("sub", CUBE.values),)), "no statement 'sub'"),
        (Scene("clevr", (CUBE.replaced(loc=(0.0, float("nan"), 0.0)),)), "not 3 finite numbers"),
        (Scene("clevr", (CUBE.replaced(loc=(0.0, 1.0)),)), "not 3 finite numbers"),
        (Scene("clevr", (CUBE.replaced(loc=(0.0, 2e6, 0.0)),)), "past what any number may be"),
        (Scene("nowhere", ()), "no domain 'nowhere'"),
    ],
)
def test_what_cannot_be_rendered_is_an_error_and_the_worker_lives_on(worker: Worker, scene: Scene, message: str) -> None:
    assert message in worker.error(scene, SHOT)
    worker.render(Scene("clevr", ()), replace(SHOT, width=16, height=12))


def test_a_request_that_is_none_is_an_error(worker: Worker) -> None:
    for request in (b"not json", b"[]", b"{}", json.dumps({"scene": SCENE.to_json(), "shot": {}}).encode()):
        assert "error" in worker.send(request)[0]
    not_finite = json.dumps({"key": "a", "scene": SCENE.to_json(), "shot": replace(SHOT, camera=Camera((math.nan, 0.0, 0.0))).to_json()})
    error = worker.send(not_finite.encode())[0]["error"]
    assert "cannot be rendered" in error and "\n" not in error
    assert "2x1" in worker.error(SCENE, replace(SHOT, width=2, height=1))
    assert "noise seed" in worker.error(SCENE, replace(SHOT, noise_seed=-1))


def test_ctrl_c_is_left_to_the_parent(worker: Worker) -> None:
    worker.process.send_signal(signal.SIGINT)
    worker.render(Scene("clevr", ()), replace(SHOT, width=16, height=12))


def test_blend_file_is_written_beside_the_answer(worker: Worker, tmp_path: Path) -> None:
    for _ in range(2):  # the second call replaces the first file
        header, _ = worker.ask(SCENE, replace(SHOT, width=16, height=12), str(tmp_path / "scene.blend"))
        assert list(header["files"]) == [".png", ".py", ".json"]
    assert [p.name for p in tmp_path.iterdir()] == ["scene.blend"]
    start = (tmp_path / "scene.blend").read_bytes()[:7]
    assert start == b"BLENDER" or start[:4] == b"\x28\xb5\x2f\xfd"  # plain, or zstd


def test_blend_file_that_cannot_be_written_is_an_error(worker: Worker, tmp_path: Path) -> None:
    assert "error" in worker.ask(SCENE, replace(SHOT, width=16, height=12), str(tmp_path / "missing" / "scene.blend"))[0]


def test_stays_on_its_processors_and_ends_with_its_input() -> None:
    cpu = max(os.sched_getaffinity(0))
    worker = Worker("--cpus", str(cpu))
    threads = [os.sched_getaffinity(int(t.name)) for t in Path(f"/proc/{worker.process.pid}/task").iterdir()]
    assert threads and all(allowed == {cpu} for allowed in threads)
    assert worker.end() == 0


def test_killed_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    worker = Worker()
    worker.render(SCENE, replace(SHOT, width=16, height=12))
    worker.process.kill()
    worker.process.wait()
    assert not list(tmp_path.iterdir())
