"""The bare loop that the pipeline is compared with: Blender moves objects and renders, one pinned process per core, and nothing else.

As a script, this is one such process. A request is a line ``{"settings", "index", "cycles", "save", "fresh_noise"}``; the answer is a line
``{"seconds", "cpu_seconds"}``, the time to move the objects of that sample's scene and to render it with these settings of Cycles (null:
those of its quality). ``save`` is the path of a .png or .npy for the picture, written after the measured time, or null. ``fresh_noise``
takes another noise seed than the sample's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from PIL import Image

from datagen.samples.settings import DatasetSettings
from datagen.workers.cores import available_cores


@dataclass(frozen=True)
class Frame:
    """One frame to render. ``cycles`` are fields of `blender_scenes.quality.Settings`; ``fresh_noise``: not the sample's noise seed."""

    settings: DatasetSettings
    index: int
    cycles: dict[str, Any] | None = None
    save: Path | None = None
    fresh_noise: bool = False


WARM_UP = Frame(DatasetSettings(width=64, height=48, quality="draft"), 0)


class BareProcess:
    """A process of the bare loop, on one core."""

    def __init__(self, core: int) -> None:
        command = [sys.executable, __file__, str(core)]
        begin = time.perf_counter()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._answer()
        self.start_seconds = time.perf_counter() - begin

    def render(self, frame: Frame) -> dict[str, float]:
        """Render a frame. Its ``seconds`` by the clock and ``cpu_seconds`` of the processor."""
        assert self._process.stdin is not None
        request = {**asdict(frame), "settings": frame.settings.to_json(), "save": frame.save and str(frame.save.absolute())}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a rendering process ended with status {self._process.wait()}; `igllm doctor` may know why")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def render_side_by_side(
    processes: list[BareProcess], frames: Iterable[Frame], tell: Callable[[Frame, dict[str, float]], None] = lambda frame, times: None
) -> list[dict[str, float]]:
    """The times of all frames, in the order of completion. The next free process takes a frame; `tell` is called when it is done."""
    waiting: SimpleQueue[Frame] = SimpleQueue()
    for frame in frames:
        waiting.put(frame)
    done: list[dict[str, float]] = []

    def work(process: BareProcess) -> None:
        with suppress(Empty):
            while True:
                frame = waiting.get_nowait()
                times = process.render(frame)
                tell(frame, times)
                done.append(times)

    threads = [threading.Thread(target=work, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done


@contextmanager
def bare_processes() -> Iterator[list[BareProcess]]:
    """One process per core, started and warmed up."""
    processes = [BareProcess(core) for core in available_cores()]
    try:
        for process in processes:
            process.render(WARM_UP)
        yield processes
    finally:
        for process in processes:
            process.close()


def _serve(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    from blender_scenes.parent import claim_stdout

    with claim_stdout() as out:
        import bpy

        from blender_scenes.builders import Stages
        from blender_scenes.frame import FrameGrabber
        from blender_scenes.quality import Settings
        from datagen.samples.draw import draw

        stages, grabber = Stages(), FrameGrabber()
        out.write(b"{}\n")
        out.flush()
        for line in sys.stdin:
            request = json.loads(line)
            drawn = draw(DatasetSettings.from_json(request["settings"]), request["index"])
            shot = drawn.shot if not request["fresh_noise"] else replace(drawn.shot, noise_seed=(drawn.shot.noise_seed + 1) % 2**31)
            cycles = Settings(**request["cycles"]) if request["cycles"] else None
            begin, cpu_begin = time.perf_counter(), time.process_time()
            with stages.showing(drawn.scene, shot, cycles) as stage:
                bpy.ops.render.render(scene=stage.name)
                seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
                if request["save"]:
                    _keep(Path(request["save"]), stage, grabber)
            out.write(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds}).encode() + b"\n")
            out.flush()


def _keep(path: Path, stage: Any, grabber: Any) -> None:
    """Save the last render: 8 bits as a PNG, or Cycles' own values as .npy, (height, width, 3) float32, bottom row first."""
    import bpy

    if path.suffix == ".png":
        part = path.with_suffix(".part")
        Image.fromarray(grabber.read(stage)).save(part, "PNG")
        part.replace(path)
        return
    stage.render.image_settings.file_format = "OPEN_EXR"
    stage.render.image_settings.color_depth = "32"
    exr = str(path.with_suffix(".exr"))
    bpy.data.images["Render Result"].save_render(exr, scene=stage)
    image = bpy.data.images.load(exr)
    np.save(path, np.array(image.pixels[:], np.float32).reshape(image.size[1], image.size[0], -1)[..., :3])
    bpy.data.images.remove(image)
    os.unlink(exr)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
