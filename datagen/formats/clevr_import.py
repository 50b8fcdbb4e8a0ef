"""Published CLEVR as a data set of ours: code under the camera that saw it, ready to render, or shards with the published pixels.

A scenes file records neither camera nor lamps. The camera is recovered (`datagen.formats.camera_fit`); the lamps are the domain's
standard ones. Labels come from our own ray cast under the recovered camera.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datagen.code import write_code
from datagen.dataset import IMPORTED, package_versions
from datagen.domains.clevr import Clevr
from datagen.encoding import decode_image, encode_image
from datagen.errors import UserError
from datagen.files import atomic_file, read_json, write_bytes, write_json, write_jsonl
from datagen.formats.camera_fit import GOOD_PIXELS, fit_camera
from datagen.formats.clevr_scenes import PublishedScene, read_scenes
from datagen.manifest import MANIFEST, STATEMENT, Row, read_manifest, shard_name
from datagen.predictions import Prediction, write_predictions
from datagen.progress import progress
from datagen.sample import FORMAT_VERSION, Sample, make_sample
from datagen.scene import Quality
from datagen.shards import Samples, file_sha256, sample_blocks, write_blocks
from datagen.store import LocalStore

CODES = "codes.jsonl"
FRAMES = ((320, 240), (480, 320))
"""The published generator's default size, and that of the published images."""
FRAME_TRIALS = 25  # scenes looked at to tell one from the other
QUALITY: Quality = "standard"  # what the recorded shot asks of a rendering
SHARD_SIZE = 1000
_KEPT = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
ON_GROUND = 0.01  # metres between a centre's height and its solid's


@dataclass
class Imported:
    """What came of an import. ``residuals`` has, by key, how far (pixels) the recovered camera shows each object from its pixel_coords.

    Of ``keys``, the first ``earlier`` were imported by a call before: only the others are in what follows.
    """

    keys: list[str] = field(default_factory=list)
    earlier: int = 0
    missing: list[str] = field(default_factory=list)
    without_pixels: list[str] = field(default_factory=list)
    off_ground: list[str] = field(default_factory=list)
    residuals: dict[str, np.ndarray] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What there is to tell of the cameras, and to warn of."""
        told = [f"{self.earlier} scenes were there already, imported by an earlier call"] if self.earlier else []
        if self.residuals:
            every = np.concatenate(list(self.residuals.values()))
            middle, worst = (float(np.median(every)), float(every.max())) if len(every) else (0.0, 0.0)
            told.append(f"cameras recovered for {len(self.residuals)} scenes: residual median {middle:.2f} px, largest {worst:.2f} px")
        poor = [key for key, residuals in self.residuals.items() if residuals.max(initial=0.0) > GOOD_PIXELS]
        told += _named(f"scenes with an object more than {GOOD_PIXELS:g} px from its pixel_coords", poor)
        told += _named("scenes without pixel_coords, where the standard camera is assumed", self.without_pixels)
        told += _named("images not there, scenes left out", self.missing)
        told += _named("scenes with objects whose height does not fit their size here, which will float or sink", self.off_ground)
        return told


def _named(what: str, keys: list[str]) -> list[str]:
    return [f"{what}: {len(keys)} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"] if keys else []


def import_clevr(scenes: Path, out: Path, images: Path | None = None) -> Imported:
    """Read a CLEVR scenes file into `out`: shards where `images` has the pictures, else ``codes.jsonl`` with loose code and records.

    Called again after an interruption, it keeps the shards that are finished.

    `UserError` for a malformed file, a folder that holds something else, or if not one image is there.
    """
    domain = Clevr()
    published = read_scenes(scenes, domain)
    _refuse_other(out)
    if images is None:
        return _import_codes(published, domain, out)
    return _import_shards(published, domain, out, images, scenes.name)


def _refuse_other(out: Path) -> None:
    if (out / STATEMENT).exists():
        statement = read_json(out / STATEMENT)
        if isinstance(statement, dict) and IMPORTED in statement:
            return
    if (out / STATEMENT).exists() or any(out.glob("*.tar")):
        raise UserError(f"{out}: holds a data set that was not imported; choose another folder")


def _import_codes(published: list[PublishedScene], domain: Clevr, out: Path) -> Imported:
    if any(out.glob("*.tar")):
        raise UserError(f"{out}: holds shards; choose another folder for code without pixels")
    done, guess, predictions = Imported(), guess_frame(published, domain), []
    for scene in progress(published, total=len(published), desc="import"):
        sample = _sample(scene, domain, scene.frame or guess, done)
        for suffix, data in sample.files().items():
            if suffix != sample.suffix:  # there is none yet: it is to be rendered
                write_bytes(out / f"{scene.key}{suffix}", data)
        predictions.append(Prediction(scene.key, sample.code))
    write_predictions(out / CODES, predictions)
    return done


def guess_frame(published: list[PublishedScene], domain: Clevr) -> tuple[int, int]:
    """Of `FRAMES`, the one in which cameras explain the pixel coordinates best, for scenes that do not say theirs."""
    telling = [scene for scene in published if scene.frame is None and scene.pixels is not None and len(scene.points) >= 3]
    if not telling:
        return FRAMES[0]

    def misfit(frame: tuple[int, int]) -> float:
        usual = domain.canonical_shot(*frame, QUALITY).viewpoint
        fits = (fit_camera(usual, *frame, scene.points, scene.pixels) for scene in telling[:FRAME_TRIALS] if scene.pixels is not None)
        return float(np.median([fit.residuals.mean() for fit in fits]))

    return min(FRAMES, key=misfit)


def _import_shards(published: list[PublishedScene], domain: Clevr, out: Path, images: Path, source: str) -> Imported:
    found = {scene.key: path for scene in published if (path := _find_image(images, scene)) is not None}
    done = Imported(missing=[scene.key for scene in published if scene.key not in found])
    here = [scene for scene in published if scene.key in found]
    if not here:
        raise UserError(f"{images}: none of the {len(published)} images is here, such as {published[0].filename}")
    statement = _statement(here, found[here[0].key], source)
    rows = _finished(out, statement, here, found, domain)
    write_json(out / STATEMENT, statement)  # first: it says whose the shards are
    write_jsonl(out / MANIFEST, map(asdict, rows))
    for old in {*out.glob("shard-*.tar")} - {out / row.name for row in rows}:
        old.unlink()
    done.earlier = sum(row.samples for row in rows)
    done.keys += [scene.key for scene in here[: done.earlier]]
    samples = (_with_image(scene, domain, found[scene.key], done) for scene in here[done.earlier :])
    shown = progress(samples, total=len(here) - done.earlier, desc="import")
    for number in range(len(rows), -(-len(here) // SHARD_SIZE)):
        rows.append(_write_shard(out, number, shown))
        write_jsonl(out / MANIFEST, map(asdict, rows))
    return done


def _finished(out: Path, statement: dict[str, Any], scenes: list[PublishedScene], images: dict[str, Path], domain: Clevr) -> list[Row]:
    """The rows of the whole shards, from the first on, that an earlier call for the same scenes and images finished."""
    if not (out / STATEMENT).exists() or read_json(out / STATEMENT) != statement:
        return []
    there = read_manifest(LocalStore(out), [MANIFEST]).rows
    rows: list[Row] = []
    while (row := there.get(len(rows))) is not None:
        path, due = out / row.name, scenes[len(rows) * SHARD_SIZE :][:SHARD_SIZE]
        if not path.exists() or file_sha256(path) != row.sha256:
            break
        held = Samples.of_shards([path])
        if {key: held.code(key) for key in held.keys} != {scene.key: write_code(scene.scene, domain) for scene in due}:
            break
        first = images[due[0].key]
        if not np.array_equal(held[due[0].key].pixels(), decode_image(first.read_bytes(), str(first))):
            break  # another folder of images
        rows.append(row)
    return rows


def _find_image(images: Path, scene: PublishedScene) -> Path | None:
    """The scene's image, in the folder or in the split's folder within it, as the published archive has it."""
    places = (images / scene.filename, images / (scene.split or "") / scene.filename)
    return next((path for path in places if path.is_file()), None)


def _write_shard(out: Path, number: int, samples: Iterator[Sample]) -> Row:
    """Write the next samples as a shard; its row of the manifest."""
    name = shard_name(number)
    with atomic_file(out / name) as stream:
        written = write_blocks(stream, map(sample_blocks, islice(samples, SHARD_SIZE)))
    return Row(name, **asdict(written), missing=())


def _statement(scenes: list[PublishedScene], first_image: Path, source: str) -> dict[str, Any]:
    """The content of ``dataset.json``: every field that a generated data set has, null where no seed made it, and `IMPORTED`."""
    height, width, _ = decode_image(first_image.read_bytes(), str(first_image)).shape
    counts = [len(scene.scene) for scene in scenes]
    return {
        "format_version": FORMAT_VERSION,
        "domain": scenes[0].scene.domain,
        "split": scenes[0].split,
        "seed": None,
        "width": width,
        "height": height,
        "quality": QUALITY,
        "min_objects": min(counts),
        "max_objects": max(counts),
        "shard_size": SHARD_SIZE,
        "num": len(scenes),
        "versions": package_versions(),
        IMPORTED: source,
    }


def _with_image(scene: PublishedScene, domain: Clevr, path: Path, done: Imported) -> Sample:
    data = path.read_bytes()
    pixels = decode_image(data, str(path))
    height, width, _ = pixels.shape
    image, suffix = _stored_image(data, pixels)
    return replace(_sample(scene, domain, (width, height), done), image=image, suffix=suffix)


def _stored_image(data: bytes, pixels: np.ndarray) -> tuple[bytes, str]:
    """The image file as a sample holds it, and its suffix: as it came if it is plain RGB, else its pixels (height, width, 3) as a PNG."""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:  # damage beside the pixels, which were read
        suffix = _KEPT.get(image.format or "")
        if suffix and image.mode == "RGB" and not image.getexif():
            return data, suffix
    return encode_image(pixels), ".png"


def _sample(scene: PublishedScene, domain: Clevr, frame: tuple[int, int], done: Imported) -> Sample:
    """The scene as a sample under its recovered camera, a single black pixel for its image; `done` learns of it."""
    shot = domain.canonical_shot(*frame, QUALITY)
    if scene.pixels is None:
        done.without_pixels.append(scene.key)
    else:
        fit = fit_camera(shot.viewpoint, *frame, scene.points, scene.pixels)
        shot = replace(shot, camera=fit.camera)
        done.residuals[scene.key] = fit.residuals
    if any(abs(domain.location(obj)[2] - domain.solid(obj).scale) > ON_GROUND for obj in scene.scene):
        done.off_ground.append(scene.key)
    done.keys.append(scene.key)
    return make_sample(scene.key, scene.scene, shot, np.zeros((1, 1, 3), np.uint8), split=scene.split)
