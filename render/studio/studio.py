"""What the studio does for its pages, apart from HTTP. A page holds its scene; here are kept only images, meshes, models and Blender."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from types import TracebackType
from typing import Any

import anyio
import numpy as np
from anyio import from_thread, to_thread

from datagen.code.grammar import write_code
from datagen.domains.registry import domain_names, get_domain
from datagen.errors import UserError
from datagen.images.encoding import decode_image, encode_image
from datagen.images.reduced import reduced
from datagen.samples.draw import draw
from datagen.samples.settings import DatasetSettings
from datagen.scene import Scene, Shot
from datagen.shards.reader import Samples
from render.refine.frames import OwnFrames
from render.refine.refine import Progress, Refined, RefineSettings, refine_scene
from render.studio import takeaway
from render.studio.answers import Tell
from render.studio.asked import AskedDraw, AskedPicture, AskedReading, AskedRefinement, AskedSample, AskedScene, AskedView, Reading, shot_of
from render.studio.beliefs import beliefs, reading_of
from render.studio.blender import Blender, pixels_of, shown_scene
from render.studio.described import FRAME, describe
from render.studio.judged import fitted, judge_picture, judge_scene
from render.studio.kept import Kept
from render.studio.lanes import Lane
from render.studio.limits import MOST_IMAGES, MOST_MESHES, MOST_PIXELS, MOST_TEXTURES
from render.studio.readers import Readers
from render.studio.shown import Views

GONE = "the studio has dropped this image to make room; give it again"


@dataclass(frozen=True)
class Image:
    """An image that was given: its ``pixels`` (h, w, 3) uint8 and its content as a PNG."""

    pixels: np.ndarray
    png: bytes


class Studio:
    """The whole of it. Use as a context manager: it starts Blender and loads the models in the background, and ends them."""

    def __init__(self, readers: Readers, data: Sequence[Samples], domain: str, own: Sequence[str] = ()) -> None:
        """``domain`` is the one that a page begins with, ``own`` the names of domains that no registry lists."""
        self.readers, self.data, self.domain = readers, data, domain
        self.domains = list(dict.fromkeys([*domain_names(), *own, domain]))
        self.images: Kept[Image] = Kept(MOST_IMAGES)
        self.meshes: Kept[bytes] = Kept(MOST_MESHES)
        self.textures: Kept[bytes] = Kept(MOST_TEXTURES)
        self.lanes = {name: Lane(what) for name, what in LANES.items()}
        self.blender = Blender()
        self._views = Views(self.meshes, self.textures)
        self._stops: dict[str, threading.Event] = {}

    def __enter__(self) -> Studio:
        threading.Thread(target=self._warm, name="warm", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.blender.__exit__(kind, error, trace)

    def _warm(self) -> None:
        try:
            self.readers.load()
            self.blender.warm(get_domain(self.domain))
        except Exception as error:  # whatever it is, the first picture that is asked for meets it again, and the page is told
            self.trouble = str(error)

    trouble = ""
    """Why Blender did not start, if it did not."""

    # What is at hand

    def facts(self) -> dict[str, Any]:
        """What a page may ask for, and how far the studio is with its start."""
        data = [{"name": one.name, "samples": len(one), "domain": one.at(0).domain.name} for one in self.data]
        return {
            "version": version("igllm"),
            "domain": self.domain,
            "domains": self.domains,
            "models": self.readers.facts(),
            "data": data,
            "most_pixels": MOST_PIXELS,
            "work": {name: {"waiting": lane.waiting, "working": lane.working} for name, lane in self.lanes.items()},
        }

    def describe(self, name: str) -> dict[str, Any]:
        """A domain's declaration for the page, and the files that can be made of its scenes."""
        domain = get_domain(name)
        return {**describe(domain), "files": takeaway.kinds(domain)}

    # Images in

    def keep_image(self, data: bytes, name: str) -> dict[str, Any]:
        """Keep an image file's pixels; ``image`` is its id, and ``frame`` the width and height of a picture to hold against it."""
        return self._keep(reduced(decode_image(data, name or "the image")))

    def _keep(self, pixels: np.ndarray) -> dict[str, Any]:
        height, width = pixels.shape[:2]
        key = hashlib.sha256(f"{width}x{height} ".encode() + pixels.tobytes()).hexdigest()[:32]
        self.images.put(key, Image(pixels, encode_image(pixels)))
        return {"image": key, "width": width, "height": height, "frame": _frame(width, height)}

    def image(self, key: str) -> Image:
        """A kept image; `UserError` if it is gone."""
        found = self.images.get(key)
        if found is None:
            raise UserError(GONE)
        return found

    async def read(self, asked: AskedReading) -> Reading:
        """What the domain's model says of an image."""
        pixels = self.image(asked.image).pixels
        return await self.lanes["read"].do(partial(self.readers.read, pixels, asked.domain))

    def sample(self, asked: AskedSample) -> dict[str, Any]:
        """A sample of a data set: its image, its shot and its true code."""
        if asked.data >= len(self.data):
            raise UserError(f"there is no data set {asked.data}: the studio was started with {len(self.data)}")
        samples = self.data[asked.data]
        if asked.number >= len(samples):
            raise UserError(f"{samples.name}: there is no sample {asked.number}: it has {len(samples)}, counted from 0")
        sample = samples.at(asked.number)
        kept = self._keep(sample.pixels())
        return {**kept, "key": sample.key, "domain": sample.domain.name, "shot": sample.shot.to_json(), "truth": sample.code}

    def draw(self, asked: AskedDraw) -> dict[str, Any]:
        """A random scene, the same for the same seed, under its own light."""
        settings = DatasetSettings(domain=asked.domain, seed=asked.seed, width=FRAME[0], height=FRAME[1], quality="draft")
        drawn = draw(settings, 0)
        return {"code": write_code(drawn.scene, settings.resolved_domain), "shot": drawn.shot.to_json()}

    # Code to pictures

    def look(self, asked: AskedView) -> dict[str, Any]:
        """The view of a scene while it is edited, with a truth how well it agrees, and with a reading how sure the model was."""
        domain = get_domain(asked.domain)
        view = self._views.look(asked.code, domain, shot_of(asked.shot, domain), asked.reading)
        scores = judge_scene(asked.code, asked.truth, domain) if asked.truth is not None and "error" not in view else []
        return {**view, "scores": scores}

    async def pictures(self, asked: AskedPicture, tell: Tell) -> None:
        """Tell the picture of a scene in each quality that is asked for, and then its scores against the image."""
        domain = get_domain(asked.domain)
        scene, shot = shown_scene(asked, domain)
        image = None if asked.image is None else self.images.get(asked.image)
        for quality in asked.qualities:
            begin = anyio.current_time()
            lane = self.lanes["draft" if quality == "draft" else "finish"]
            sample = await lane.do(partial(self.blender.picture, scene, shot, quality))
            png = base64.b64encode(sample.files()[".png"]).decode()
            await tell({"quality": quality, "png": png, "seconds": anyio.current_time() - begin})
            if image is not None:
                judged = await to_thread.run_sync(partial(judge_picture, image.pixels, pixels_of(sample)))
                await tell({"quality": quality, **judged})

    async def refine(self, asked: AskedRefinement, tell: Tell) -> None:
        """Tell the steps of a refinement, and then its result. It ends early if it is stopped, or its page goes."""
        domain = get_domain(asked.domain)
        scene, shot = shown_scene(asked, domain)
        pixels = fitted(self.image(asked.image).pixels, shot.width, shot.height)
        stopped = self._stops[asked.name] = threading.Event()

        def step(made: Progress) -> None:
            code = write_code(made.scene, domain)
            from_thread.run(tell, {"seconds": made.seconds, "renders": made.renders, "error": made.error, "code": code})

        candidates, confidence = beliefs(scene, asked.reading, domain)
        settings = RefineSettings(asked.seconds, free_camera=asked.free_camera, candidates=candidates, confidence=confidence)
        work = partial(_refine, pixels, scene, shot, settings, on_progress=step, stop=stopped.is_set)
        try:
            done = await self.lanes["refine"].do(work, on_cancel=stopped.set)
        finally:
            self._stops.pop(asked.name, None)
        end = {"error": done.error, "first_error": done.first_error, "reading": reading_of(done, asked.reading, confidence, domain)}
        await tell({"code": write_code(done.scene, domain), "shot": done.shot.to_json(), **end})

    def stop(self, name: str) -> None:
        """Have a refinement end with the best that it has; nothing happens if it has ended."""
        if name in self._stops:
            self._stops[name].set()

    async def take(self, kind: str, asked: AskedScene) -> bytes:
        """The content of a file of a scene."""
        domain = get_domain(asked.domain)
        scene, shot = shown_scene(asked, domain)
        return await self.lanes["finish"].do(partial(takeaway.make_file, kind, scene, shot, domain, self.blender))


LANES = {"draft": "drafts", "finish": "pictures and files", "read": "images", "refine": "refinements"}
"""The lanes of work, and what each does."""


def _refine(pixels: np.ndarray, scene: Scene, shot: Shot, settings: RefineSettings, **callbacks: Callable[..., Any]) -> Refined:
    """As `refine_scene`, in a Blender process of its own, so that the page's pictures need not wait for it."""
    with OwnFrames() as renderer:
        return refine_scene(pixels, scene, shot, settings, renderer, **callbacks)


def _frame(width: int, height: int) -> tuple[int, int]:
    """The width and height of a picture to hold against an image: of its shape, with as many pixels as a standard one or fewer."""
    scale = min(1.0, (FRAME[0] * FRAME[1] / (width * height)) ** 0.5)
    return max(16, round(width * scale)), max(16, round(height * scale))
