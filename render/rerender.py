"""Re-rendering: graphics code, ours or a model's, photographed by the pool that generates data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datagen.code import parse_code
from datagen.cores import available_cores
from datagen.domain import Domain
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.files import read_json, read_text, write_bytes
from datagen.ground import bare_share
from datagen.intersect import odd_placements
from datagen.jobs import Failed, RenderJob
from datagen.painted import PaintedDomain
from datagen.pool import RenderPool
from datagen.predictions import read_predictions
from datagen.progress import progress
from datagen.scene import Quality, Scene, Shot, check_frame
from datagen.shards import Samples
from datagen.staged import StagedDomain

LIGHTINGS = ("canonical", "recorded")


@dataclass(frozen=True)
class Standard:
    """A shot under the domain's standard camera and lamps, where nothing is recorded. ``width`` and ``height`` in pixels."""

    domain: str = "clevr"
    width: int = 320
    height: int = 240
    quality: Quality = "standard"

    def __post_init__(self) -> None:
        check_frame(self.width, self.height)

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The same shot, and the domain, for every key."""
        domain = get_domain(self.domain)
        return domain.canonical_shot(self.width, self.height, self.quality), domain


@dataclass(frozen=True)
class Recorded:
    """The shot that a data set records for a key. Nothing else of the data is looked at: the scene comes from the code alone.

    With ``canonical_light``, frame, quality and camera are the sample's and the lamps the domain's standard ones.
    """

    samples: Samples
    canonical_light: bool = False

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot of that sample, and its domain; `UserError` if the data set has none."""
        shot, domain = self.samples.shot(key)
        if not self.canonical_light:
            return shot, domain
        standard = domain.canonical_shot(shot.width, shot.height, shot.quality)
        return replace(shot, lamps=standard.lamps), domain


def read_codes(path: Path) -> dict[str, str]:
    """The codes in a ``pred.jsonl``, or the one in a ``.py`` file, by key."""
    if path.suffix == ".jsonl":
        return {key: prediction.code for key, prediction in read_predictions(path).items()}
    if path.suffix != ".py":
        raise UserError(f"{path}: graphics code is read from a .py file or a pred.jsonl")
    return {path.stem: read_text(path)}


@dataclass(frozen=True)
class Rendered:
    """What came of a call: the keys that have pictures now, and those whose code does not parse, with the reason."""

    keys: list[str]
    refused: dict[str, str]
    warnings: list[str]


def render_codes(
    codes: Mapping[str, str], shots: Standard | Recorded, out: Path, *, workers: int | None = None, blend: bool = False
) -> Rendered:
    """Write ``{key}.png``, ``.py`` and ``.json`` for each code into `out`; what is there from the same code and shot is kept.

    With ``blend`` also ``{key}.blend``. Code that does not parse is set aside; numbers out of their declared range are rendered and
    warned of.
    """
    rendered = Rendered([], {}, [])
    jobs = list(_jobs(codes, shots, out, rendered, blend))
    out.mkdir(parents=True, exist_ok=True)
    todo = [job for job in jobs if not _is_there(job, out)]
    cores = len(available_cores())
    with RenderPool(workers, threads=max(1, cores // (workers or min(cores, len(todo) or 1)))) as pool:
        for job, sample in progress(pool.render(todo), total=len(todo), desc="render"):
            if isinstance(sample, Failed):
                rendered.keys.remove(job.key)
                rendered.refused[job.key] = sample.reason
                continue
            (out / f"{job.key}.json").unlink(missing_ok=True)  # the record comes last and says that all is there
            for suffix, data in sample.files().items():
                write_bytes(out / f"{job.key}{suffix}", data)
    return rendered


def _jobs(codes: Mapping[str, str], shots: Standard | Recorded, out: Path, rendered: Rendered, blend: bool) -> Iterator[RenderJob]:
    for key, code in codes.items():
        shot, domain = shots.shot(key)
        try:
            written = parse_code(code, domain)
            domain.check(domain.canonical(written))
        except UserError as error:
            rendered.refused[key] = str(error)
            continue
        if blend and isinstance(domain, PaintedDomain):
            raise UserError(f"{key}: the {domain.name} domain is painted without Blender, so that there is no .blend file of it")
        rendered.keys.append(key)
        rendered.warnings.extend(f"{key}: {warning}" for warning in _warnings(written, domain, shot))
        yield RenderJob(key, domain.canonical(written), shot, out / f"{key}.blend" if blend else None)


def _warnings(written: Scene, domain: Domain, shot: Shot) -> list[str]:
    """What is odd about a scene and its shot, a line each; objects are numbered as they were written."""
    scene = Scene(written.domain, tuple(map(domain.canonical_object, written.objects)))
    warnings = domain.violations(scene)
    if isinstance(domain, StagedDomain):
        warnings += odd_placements(scene, domain, shot.viewpoint)
    share = 0.0 if domain.ground is None else bare_share(domain.ground, shot.viewpoint, shot.width, shot.height)
    if share:
        warnings.append(f"the camera looks past the ground and the backdrop: {share:.1%} of the frame will be black")
    return warnings


def _is_there(job: RenderJob, out: Path) -> bool:
    """Whether an earlier call has rendered this very job."""
    record, image = out / f"{job.key}.json", out / f"{job.key}.png"
    if not record.is_file() or not image.is_file() or (job.blend is not None and not job.blend.is_file()):
        return False
    there: Any = read_json(record)
    return isinstance(there, dict) and there.get("scene") == job.scene.to_json() and there.get("shot") == job.shot.to_json()
