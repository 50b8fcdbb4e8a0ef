"""Rendered codes as the frames of a film: a GIF, an MP4, or a .blend file with keyframes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from datagen.domains.base import Domain, PaintedDomain
from datagen.errors import UserError
from datagen.io.files import write_bytes
from datagen.samples.sample import Sample
from datagen.scene import Shot
from datagen.shards.reader import Samples
from datagen.workers.exporter import Exporter
from render.rerender import OneByOne, Shots, checked_code

SUFFIXES = (".gif", ".mp4", ".blend")
FPS = 10
MOST_FPS = 100  # of a GIF, whose frames last a whole number of hundredths of a second
_SECONDS = 60.0  # for a film, and for each of its frames
_COLORS = 256


def check_films(films: Sequence[Path], fps: int) -> None:
    """`UserError` if one of these films has another suffix than `SUFFIXES` or is given twice, or if its frames come too quickly."""
    for number, film in enumerate(films):
        if film.absolute() in {other.absolute() for other in films[:number]}:
            raise UserError(f"{film}: is given twice")
        if film.suffix.lower() not in SUFFIXES:
            raise UserError(f"{film}: a film is a {', a '.join(SUFFIXES[:-1])} or a {SUFFIXES[-1]} file")
    if not 1 <= fps <= MOST_FPS:
        raise UserError(f"--fps {fps}: from 1 to {MOST_FPS} frames a second are possible")


def check_frames(films: Sequence[Path], codes: Mapping[str, str], shots: Shots | OneByOne) -> None:
    """`UserError`, before anything is rendered, if the pictures of these codes cannot be the frames of one of the films."""
    frames = []
    for key, code in codes.items() if films else ():
        shot, domain = shots.shot(key)
        with suppress(UserError):  # code that is refused has no picture
            checked_code(code, domain)
            frames.append((shot, domain))
    for film in films if frames else ():
        _check(film, frames)


def write_films(films: Sequence[Path], folder: Path, keys: Sequence[str], fps: int = FPS) -> None:
    """Write the pictures of these keys, which `render_codes` has put into `folder`, to each of the films, in this order, ``fps`` a second.

    A ``.gif`` has 256 colours a frame and repeats; an ``.mp4`` is H.264; a ``.blend`` has all scenes in one, with constant keyframes. Each
    file is written whole or not at all. `UserError` if the pictures differ in size, if there are none, or for a ``.blend`` of scenes that
    Blender does not render, or that differ in domain or quality.
    """
    check_films(films, fps)
    rendered = Samples(folder)
    samples = [rendered[key] for key in keys]
    for film in films:
        _check(film, [(sample.shot, sample.domain) for sample in samples])
    exporter = Exporter()
    try:
        with tempfile.TemporaryDirectory() as drafts:
            for film in films:
                draft = Path(drafts, film.name)
                if film.suffix.lower() == ".gif":
                    _write_gif(draft, samples, fps)
                else:
                    exporter.ask(_request(draft, folder.absolute(), samples, fps), _SECONDS * (1 + len(samples)))
                write_bytes(film, draft.read_bytes())
    except RuntimeError as error:
        raise UserError(f"{film}: Blender cannot write it: {error}") from None
    finally:
        exporter.close()


def _check(film: Path, frames: Sequence[tuple[Shot, Domain]]) -> None:
    if not frames:
        raise UserError(f"{film}: there is no picture for it")
    sizes = {(shot.width, shot.height) for shot, _ in frames}
    if len(sizes) > 1:
        raise UserError(f"{film}: its frames would have different sizes: {', '.join(f'{w}x{h}' for w, h in sorted(sizes))}")
    [(width, height)] = sizes
    if film.suffix.lower() == ".mp4" and (width % 2 or height % 2):
        raise UserError(f"{film}: frames of {width}x{height}: an .mp4 needs even sides; choose others, or a .gif")
    if film.suffix.lower() != ".blend":
        return
    if isinstance(first := frames[0][1], PaintedDomain):
        raise UserError(f"{film}: the {first.name} domain is painted without Blender, so that there is no .blend file of it")
    for facts, what in (({domain.name for _, domain in frames}, "domain"), ({shot.quality for shot, _ in frames}, "quality")):
        if len(facts) > 1:
            raise UserError(f"{film}: its frames differ in {what}: {', '.join(sorted(facts))}; a .blend has one")


def _write_gif(path: Path, samples: Sequence[Sample], fps: int) -> None:
    first, *others = (Image.fromarray(sample.pixels()).quantize(_COLORS) for sample in samples)
    durations = [10 * (100 * (number + 1) // fps - 100 * number // fps) for number in range(len(samples))]  # in ms; in all, as asked
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0, optimize=False)


def _request(path: Path, folder: Path, samples: Sequence[Sample], fps: int) -> dict[str, Any]:
    """What to ask the exporter for."""
    if path.suffix.lower() == ".blend":
        frames = [{"key": sample.key, "scene": sample.scene.to_json(), "shot": sample.shot.to_json()} for sample in samples]
        return {"film": {"path": str(path), "frames": frames, "fps": fps}}
    shot, pictures = samples[0].shot, [str(folder / (sample.key + sample.suffix)) for sample in samples]
    return {"movie": {"path": str(path), "frames": pictures, "fps": fps, "width": shot.width, "height": shot.height}}
