"""Import of published CLEVR: as code with its cameras, ready to render, or as shards with the published pixels.

A published scenes file records neither camera nor lamps. The camera is recovered (`datagen.formats.camera_fit`), unless the file gives it,
as exported files do; the lamps are the domain's standard ones. Labels are computed by a ray cast under that camera.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import UNSET
from PIL import Image

from datagen.code.predictions import Prediction
from datagen.domains.clevr import CLEVR, Clevr
from datagen.errors import UserError
from datagen.formats.camera_fit import ROUNDING, CameraFit, Sightings, fit_camera, near_usual
from datagen.formats.clevr_imported import Imported
from datagen.formats.clevr_scenes import PublishedScene, read_scenes
from datagen.geometry.raycast import pixels_to_cast
from datagen.images.decoding import PLAIN
from datagen.images.encoding import decode_image, encode_image
from datagen.images.limits import max_image_bytes, max_pixels, refusal
from datagen.io.declared import read_rows, to_plain
from datagen.io.files import (
    atomic_file,
    check_folder,
    file_sha256,
    read_json,
    read_whole,
    removed,
    standing,
    write_json,
    write_jsonl,
)
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.io.written import Written
from datagen.samples.in_code import headed
from datagen.samples.sample import FORMAT_VERSION, Sample, make_sample
from datagen.scene import Camera, Quality, Shot
from datagen.shards.manifest import (
    FAILURES,
    MANIFEST,
    SOURCES,
    STATEMENT,
    ManifestRow,
    SourceRow,
    is_own,
    read_manifest,
    shard_name,
    shard_number,
)
from datagen.shards.reader import sample_blocks, write_blocks
from datagen.shards.store import LocalStore
from datagen.shards.writer import IMPORTED, ImportedStatement, package_versions

CODES, CODE_SUFFIXES = "codes.jsonl", (".py", ".json")
FRAMES = ((320, 240), (480, 320))
"""The published generator's default size, and that of the published images."""
FRAME_TRIALS = 25  # scenes tried, to tell one size from the other
QUALITY: Quality = "standard"  # of a re-rendering of the recorded shot
SHARD_SIZE = 1000
_KEPT = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp"}
ON_GROUND = 0.01  # metres that an object's centre may differ from the height at which it stands on the ground
IMPORTER = 2  # goes up when the same file and images would give other samples
MOST_COVERED = 4  # all objects' pixels together, as a multiple of the most pixels that an image may have
MOST_IN_VAIN = 5  # failed searches for an arbitrary camera in a shard, half a second each, before only CLEVR's cameras are sought


def import_clevr(scenes: Path, out: Path, images: Path | None = None, shot_in_code: bool = False) -> Imported:
    """Import a CLEVR scenes file into `out`: as shards if `images` is given, else as ``codes.jsonl`` with loose code and records.

    With ``shot_in_code``, the code begins with the camera; lamps, which no such file records, are left open.
    A call after an interruption keeps the finished shards whose scenes and images have not changed.

    `UserError` for a malformed file, if `out` holds something else, or if `images` has no image of any scene.
    """
    domain = CLEVR
    published = read_scenes(scenes, domain)
    _refuse_other(out)
    check_folder(out)
    with hold(out.absolute()), standing(out) as check:
        LocalStore(out).tidy(is_own)
        if images is None:
            return _import_codes(published, domain, out, shot_in_code, check)
        return _import_shards(published, domain, out, images, scenes.name, shot_in_code, check)


def _refuse_other(out: Path) -> None:
    if (out / STATEMENT).exists():
        statement = read_json(out / STATEMENT)
        if isinstance(statement, dict) and IMPORTED in statement:
            return
    if any(map(os.path.lexists, (out / STATEMENT, out / MANIFEST, out / FAILURES, out / SOURCES))) or any(out.glob("[!.]*.tar")):
        raise UserError(f"{out}: holds a data set that was not imported; choose another folder")


def _import_codes(published: list[PublishedScene], domain: Clevr, out: Path, shot_in_code: bool, check: Callable[[], None]) -> Imported:
    if any(out.glob("[!.]*.tar")):
        raise UserError(f"{out}: holds shards; choose another folder for code without pixels")
    written = Written(out, "import")
    written.tidy()
    names = [CODES, *(f"{scene.key}{suffix}" for scene in published for suffix in CODE_SUFFIXES)]
    written.refuse_strangers((*written.made_from, *names))
    written.remove(sorted(written.made_from.keys() - set(names)))  # else a reader of the folder would load these too
    written.begin(dict.fromkeys(names, ""))
    done, guess, predictions = Imported(), guess_frame(published, domain), []
    for scene in progress(published, total=len(published), desc="import"):
        sample = _sample(scene, domain, scene.frame or guess, done, shot_in_code)
        check()
        files = sample.files()  # the image is a placeholder and not written
        written.write({f"{scene.key}{suffix}": files[suffix] for suffix in CODE_SUFFIXES})
        predictions.append(Prediction(scene.key, sample.code))
    written.check(names[1:])
    written.write({CODES: "".join(json.dumps(prediction.to_json()) + "\n" for prediction in predictions).encode()})
    return done


def guess_frame(published: list[PublishedScene], domain: Clevr) -> tuple[int, int]:
    """The frame size of scenes that do not record it: the one of `FRAMES` in which cameras explain the pixel coordinates best."""
    telling = [scene for scene in published if scene.frame is None and scene.pixels is not None and len(scene.points) >= 3]
    if not telling:
        return FRAMES[0]

    def misfit(frame: tuple[int, int]) -> float:
        usual = domain.canonical_shot(*frame, QUALITY).viewpoint
        return float(np.median([_misfit(scene, usual, frame) for scene in telling[:FRAME_TRIALS]]))

    return min(FRAMES, key=misfit)


def _misfit(scene: PublishedScene, usual: Camera, frame: tuple[int, int]) -> float:
    """The mean error in pixels of the best camera near the scene's recorded one, or near the usual one."""
    seen = _sightings(scene, frame)
    if scene.camera is not None:
        usual = scene.camera
    return float(seen.fit(near_usual(usual, seen)).residuals.mean())


def _sightings(scene: PublishedScene, frame: tuple[int, int]) -> Sightings:
    assert scene.pixels is not None
    return Sightings(*frame, scene.points, scene.pixels, scene.depths)


def _import_shards(  # noqa: PLR0917
    published: list[PublishedScene],
    domain: Clevr,
    out: Path,
    images: Path,
    source: str,
    shot_in_code: bool,
    check: Callable[[], None],
) -> Imported:
    found = {scene.key: path for scene in published if (path := _find_image(images, scene)) is not None}
    done = Imported(missing=[scene.key for scene in published if scene.key not in found])
    here = [scene for scene in published if scene.key in found]
    if not here:
        raise UserError(f"{images}: none of the {len(published)} images is here, such as {published[0].filename}")
    if os.path.lexists(out / CODES):
        raise UserError(f"{out}: holds code without pixels; choose another folder for shards")
    statement = _statement(here, found[here[0].key], source, shot_in_code)
    earlier = _rows(out)
    rows = _finished(out, statement, earlier, here, found)
    write_json(out / STATEMENT, statement)  # first: a folder with shards must have a statement of their origin
    write_jsonl(out / MANIFEST, map(asdict, rows.values()))
    done.stale = sum(row.samples for row in earlier.values()) - sum(row.samples for row in rows.values())
    kept = {row.name for row in rows.values()}
    for old in [path for path in out.iterdir() if shard_number(path.name) is not None and path.name not in kept]:
        old.unlink()
    done.earlier = sum(row.samples for row in rows.values())
    done.keys += [scene.key for scene in here[: done.earlier]]
    samples = (_with_image(scene, domain, found[scene.key], done, shot_in_code) for scene in here[done.earlier :])
    shown = progress(samples, total=len(here) - done.earlier, desc="import")
    for shard in _shards(here)[len(rows) :]:
        rows[_sources(shard, found)] = _write_shard(out, len(rows), shown, check)
        write_jsonl(out / SOURCES, (to_plain(SourceRow(row.name, sources)) for sources, row in rows.items()))
        write_jsonl(out / MANIFEST, map(asdict, rows.values()))
    return done


def _shards(scenes: list[PublishedScene]) -> list[list[PublishedScene]]:
    return [scenes[start : start + SHARD_SIZE] for start in range(0, len(scenes), SHARD_SIZE)]


def _sources(scenes: list[PublishedScene], images: dict[str, Path]) -> str:
    """The SHA-256 of all that a shard of these scenes is made from: each scene's entry and image, and the importer's version."""
    parts = [str(IMPORTER), *(f"{scene.digest} {file_sha256(images[scene.key])}" for scene in scenes)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _rows(out: Path) -> dict[int, ManifestRow]:
    """The manifest rows of an earlier call, by shard number."""
    return read_manifest(LocalStore(out), [MANIFEST]).rows if (out / STATEMENT).exists() else {}


def _finished(
    out: Path, statement: dict[str, Any], earlier: dict[int, ManifestRow], scenes: list[PublishedScene], images: dict[str, Path]
) -> dict[str, ManifestRow]:
    """By `_sources`, the manifest rows of the leading shards that are intact and were made from the same statement, scenes and images."""
    if not (out / STATEMENT).exists() or read_json(out / STATEMENT) != statement or not (out / SOURCES).exists():
        return {}
    made_of = {row.name: row.made_of for _, row in read_rows(out / SOURCES, SourceRow)}
    kept: dict[str, ManifestRow] = {}
    for number, shard in enumerate(_shards(scenes)):
        row, sources = earlier.get(number), _sources(shard, images)
        if row is None or made_of.get(row.name) != sources:
            break
        if not (out / row.name).exists() or file_sha256(out / row.name) != row.sha256:
            break
        kept[sources] = row
    return kept


def _find_image(images: Path, scene: PublishedScene) -> Path | None:
    """The path of a scene's image, in the folder or in its subfolder for the split, as in the published archive; None if absent."""
    places = (images / scene.filename, images / (scene.split or "") / scene.filename)
    return next((path for path in places if path.is_file()), None)


def _write_shard(out: Path, number: int, samples: Iterator[Sample], check: Callable[[], None]) -> ManifestRow:
    """Write the next samples as a shard and return its manifest row. `check` is called before the shard takes its place."""
    name = shard_name(number)
    with atomic_file(out / name) as stream:
        written = write_blocks(stream, map(sample_blocks, islice(samples, SHARD_SIZE)))
        check()
        if not (out / STATEMENT).exists():
            raise removed(out)
    return ManifestRow(name, **asdict(written), missing=())


def _statement(scenes: list[PublishedScene], first_image: Path, source: str, shot_in_code: bool) -> dict[str, Any]:
    """The content of ``dataset.json``; its seed is null."""
    height, width, _ = decode_image(read_whole(first_image, max_image_bytes()), str(first_image)).shape
    counts = [len(scene.scene) for scene in scenes]
    statement = ImportedStatement(
        format_version=FORMAT_VERSION,
        num=len(scenes),
        shard_size=SHARD_SIZE,
        versions=package_versions(),
        domain=scenes[0].scene.domain,
        split=scenes[0].split,
        seed=None,
        width=width,
        height=height,
        quality=QUALITY,
        min_objects=min(counts),
        max_objects=max(counts),
        imported_from=source,
        shot_in_code=shot_in_code or UNSET,
    )
    plain: dict[str, Any] = to_plain(statement)
    return plain


def _with_image(scene: PublishedScene, domain: Clevr, path: Path, done: Imported, shot_in_code: bool) -> Sample:
    data = read_whole(path, max_image_bytes())
    pixels = decode_image(data, str(path))
    height, width, _ = pixels.shape
    if scene.frame is not None and scene.frame != (width, height):
        stated = "x".join(map(str, scene.frame))
        raise UserError(f"{path}: has {width}x{height} pixels, but its scene is of {stated}, and so are its pixel_coords")
    image, suffix = _stored_image(data, pixels)
    return replace(_sample(scene, domain, (width, height), done, shot_in_code), image=image, suffix=suffix)


def _stored_image(data: bytes, pixels: np.ndarray) -> tuple[bytes, str]:
    """A sample's image file and its suffix: the given file if it is plain RGB, else its pixels (height, width, 3) as a PNG."""
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data), formats=PLAIN) as image:  # damaged metadata; the pixels were read
        suffix = _KEPT.get(image.format or "")
        if suffix and image.mode == "RGB" and not image.getexif():
            return data, suffix
    return encode_image(pixels), ".png"


def _sample(scene: PublishedScene, domain: Clevr, frame: tuple[int, int], done: Imported, shot_in_code: bool) -> Sample:
    """The scene as a sample under its camera, with a single black pixel for its image; its key and warnings are added to `done`."""
    shot = domain.canonical_shot(*frame, QUALITY)
    shot = replace(shot, camera=_camera(scene, shot.viewpoint, frame, done))
    _check_labour(scene, domain, shot)
    if any(abs(domain.location(obj)[2] - domain.solid(obj).scale) > ON_GROUND for obj in scene.scene):
        done.off_ground.append(scene.key)
    done.keys.append(scene.key)
    written = scene.scene
    if shot_in_code:
        try:
            written, shot = headed(written, shot, domain, lamps=False)
        except UserError:
            done.unsaid.append(scene.key)
    return make_sample(scene.key, written, shot, np.zeros((1, 1, 3), np.uint8), split=scene.split)


def _check_labour(scene: PublishedScene, domain: Clevr, shot: Shot) -> None:
    """Raise `UserError` if a scene's frame, or its objects together, have too many pixels: the file may ask for any number."""
    if shot.width * shot.height > max_pixels():
        raise UserError(f"{scene.filename}: its scene {refusal(f'{shot.width:,}x{shot.height:,} pixels')}")
    covered, most = (
        pixels_to_cast(list(map(domain.solid, scene.scene)), shot.viewpoint, shot.width, shot.height),
        MOST_COVERED * max_pixels(),
    )
    if covered > most:
        raise UserError(
            f"{scene.filename}: its {len(scene.scene)} objects cover {covered:,} pixels together, of {shot.width}x{shot.height}, "
            f"and at most {most:,} are labelled; leave objects out, or allow more with --max-pixels"
        )


def _camera(scene: PublishedScene, usual: Camera, frame: tuple[int, int], done: Imported) -> Camera:
    """The camera that the scene records, else the one fitted to its pixel coordinates, else the usual one; `done` records the fit."""
    if scene.pixels is None:
        if scene.camera is None:
            done.without_pixels.append(scene.key)
            return usual
        done.stated[scene.key] = CameraFit(scene.camera, np.zeros(0))
        return scene.camera
    seen = _sightings(scene, frame)
    if scene.camera is not None:
        fit = seen.fit(scene.camera)
        if not seen.explained_by(scene.camera, ROUNDING):
            doubt = f"the one that the file states shows an object {fit.worst:.1f} px from its pixel_coords, or at another depth"
            fit = replace(fit, doubt=doubt)
        done.stated[scene.key] = fit
        return scene.camera
    if scene.depths is None:
        done.without_depths.append(scene.key)
    if len(done.keys) % SHARD_SIZE == 0:
        done.in_vain = 0  # per shard, so that a resumed import gives the same cameras
    fit = done.recovered[scene.key] = fit_camera(usual, seen, everywhere=done.in_vain < MOST_IN_VAIN)
    done.in_vain += not fit.explains
    return fit.camera
