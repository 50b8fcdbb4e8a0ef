"""Re-rendering of graphics code, true or predicted, by the same pool of processes that generates data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from datagen.code.grammar import parse_code
from datagen.code.predictions import read_predictions
from datagen.code.printed import codes_printed
from datagen.domains.base import Domain, PaintedDomain
from datagen.domains.plugins import outside_packages
from datagen.domains.registry import get_domain
from datagen.domains.staged import StagedDomain
from datagen.errors import UserError
from datagen.geometry.ground import bare_share
from datagen.images.limits import max_pixels, refusal
from datagen.inspect.intersect import odd_placements
from datagen.io.files import check_folder, read_text
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.io.written import DRAFT, Written
from datagen.samples.in_code import check_header, stated_shot
from datagen.samples.passes import SUFFIX_OF, check_passes
from datagen.scene import Quality, Scene, Shot, check_frame
from datagen.shards.reader import Samples
from datagen.workers.cores import available_cores
from datagen.workers.jobs import EXPORTS, RenderJob
from datagen.workers.pool import RenderPool
from datagen.workers.ray_cluster import OnRay
from datagen.workers.ray_pool import RayPool

MOST_WARNED = 20  # numbers out of their range that are named for one code
PICTURE_SUFFIXES = (".png", ".py", ".json")

Renderers = RenderPool | OnRay | int | None
"""What renders: a pool, which stays open; a Ray cluster; or so many worker processes for this call, by default as many as there are cores
or codes."""


class Shots(Protocol):
    """How the code of each key is photographed."""

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot and the domain of a key."""

    @property
    def canonical_light(self) -> bool:
        """Whether lamps that the code itself states give way to those of the shot."""


@dataclass(frozen=True)
class Standard:
    """A shot under the domain's standard camera and lamps, where nothing is recorded. ``width`` and ``height`` in pixels."""

    domain: str = "clevr"
    width: int = 320
    height: int = 240
    quality: Quality = "standard"
    canonical_light: bool = False

    def __post_init__(self) -> None:
        check_frame(self.width, self.height)

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The standard shot, the same for every key, and the domain."""
        domain = get_domain(self.domain)
        return domain.canonical_shot(self.width, self.height, self.quality), domain


@dataclass(frozen=True)
class Recorded:
    """The shot that a data set records for a key. Nothing else of the data is used: the scene comes from the code alone.

    With ``canonical_light``, frame, quality and camera are the sample's, but the lamps are the domain's standard ones.
    """

    samples: Samples
    canonical_light: bool = False

    @property
    def domain(self) -> Domain:
        """The domain of the first sample."""
        return self.samples.shot(self.samples.key(0))[1]

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The sample's shot and domain; `UserError` if the data set lacks the sample, or if its frame has more than `max_pixels`."""
        shot, domain = self.samples.shot(key)
        if shot.width * shot.height > max_pixels():
            raise UserError(f"{key}: its record {refusal(f'{shot.width:,}x{shot.height:,} pixels')}")
        if not self.canonical_light:
            return shot, domain
        standard = domain.canonical_shot(shot.width, shot.height, shot.quality)
        return replace(shot, lamps=standard.lamps), domain


@dataclass(frozen=True)
class InCode:
    """The shots of ``otherwise``, but with the camera and the lamps that each of the ``codes`` itself states, if it does.

    A code that `checked_code` refuses has the shot that it would have without them.
    """

    otherwise: Shots
    codes: Mapping[str, str]

    @property
    def canonical_light(self) -> bool:
        """Whether lamps of codes give way."""
        return self.otherwise.canonical_light

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot and the domain of a key."""
        shot, domain = self.otherwise.shot(key)
        try:
            stated = stated_shot(checked_code(self.codes[key], domain), domain, shot)
        except UserError:
            return shot, domain
        return replace(stated, lamps=shot.lamps) if self.canonical_light else stated, domain


@dataclass(frozen=True)
class OneByOne:
    """Shots that are known by key, whatever the code states, and by key the code of which it is a picture."""

    shots: Mapping[str, tuple[Shot, Domain]]
    sources: Mapping[str, str]

    def shot(self, key: str) -> tuple[Shot, Domain]:
        """The shot and the domain of a key."""
        return self.shots[key]


def read_codes(path: Path) -> dict[str, str]:
    """By key, the codes in a ``pred.jsonl``, or in a ``.py`` file: one, or several as `igllm predict` prints them. `UserError` for a file
    of another kind."""
    if path.suffix == ".jsonl":
        return {key: prediction.code for key, prediction in read_predictions(path).items()}
    if path.suffix != ".py":
        raise UserError(f"{path}: graphics code is read from a .py file, a pred.jsonl, a folder of .py files, or from -, standard input")
    return codes_printed(read_text(path), path.stem, str(path))


@dataclass(frozen=True)
class Rendered:
    """The keys that have pictures now; by key, the reasons why other codes were ``refused``; warnings; how many pictures of earlier calls
    were ``removed``, and how many ``others``, of keys not in this call, remain."""

    keys: list[str]
    refused: dict[str, str]
    warnings: list[str]
    removed: int = 0
    others: int = 0


def render_codes(
    codes: Mapping[str, str],
    shots: Shots | OneByOne,
    out: Path,
    *,
    on: Renderers = None,
    also: Sequence[str] = (),
    passes: Sequence[str] = (),
    clear: bool = False,
) -> Rendered:
    """Write ``{key}.png``, ``.py`` and ``.json`` for each code into `out`; unchanged files from the same code, shot and software are kept.

    A camera or lamps that a code states take the place of those in ``shots``, unless these are `OneByOne`.
    ``also`` names further files to make out of each scene: ``blend``, ``glb``, ``script`` (`EXPORTS` has their suffixes), and ``passes``
    maps of it: depth, masks, normals (`datagen.samples.passes`). All are made by the `Renderers` that ``on`` names; this process writes.
    Code that does not parse is refused; numbers out of their declared range are rendered with a warning. Earlier calls' files of these keys
    are replaced; with ``clear``, their files of other keys are removed.

    `UserError` if `out` holds samples that igllm has not rendered there or files to be replaced that others have written or changed, for
    ``also`` or ``passes`` with a domain that has none, or if two files would have one name.
    """
    rendered = Rendered([], {}, [])
    also = sorted(set(also), key=list(EXPORTS).index)
    read = {job.key: (job, scene) for job, scene in _jobs(codes, shots, out, rendered, also)}
    jobs, warnings = [replace(job, passes=tuple(passes)) for job, _ in read.values()], dict[str, list[str]]()

    def warn(key: str) -> None:
        job, scene = read[key]
        warnings.setdefault(key, [f"{key}: {warning}" for warning in warnings_of(scene, job.domain, job.shot)])

    for domain in {job.domain for job in jobs}:
        check_passes(passes, domain)
    _refuse_equal_names(jobs)
    check_folder(out, "the folder for the pictures")
    with hold(out.absolute()):
        written = Written(out, "render")
        written.tidy()
        _refuse_samples_of_others(written)
        for job in jobs:
            written.refuse_strangers(_names(job))
        made_from = _made_from(jobs)
        removed = _remove_stale(written, codes, jobs, made_from, clear)
        todo = [job for job in jobs if not all(written.is_whole(name, made_from[job.key]) for name in _names(job))]
        if todo:
            with _pool(on, len(todo)) as pool:
                _render(todo, made_from, written, rendered, pool, meanwhile=warn)
        others = sum(name.endswith(".json") for name in written.made_from) - len(rendered.keys)
    for key in read.keys() - warnings.keys():
        warn(key)
    return replace(rendered, warnings=[warning for key in read for warning in warnings[key]], removed=removed, others=others)


def _pool(on: Renderers, jobs: int) -> AbstractContextManager[RenderPool | RayPool]:
    """The pool for so many jobs. The workers of a new one on this machine share all cores."""
    if isinstance(on, RenderPool):
        return nullcontext(on)
    if isinstance(on, OnRay):
        return RayPool(on)
    cores = len(available_cores())
    return RenderPool(on, threads=max(1, cores // (on or min(cores, jobs))))


def _render(
    jobs: Sequence[RenderJob],
    made_from: Mapping[str, str],
    written: Written,
    rendered: Rendered,
    pool: RenderPool | RayPool,
    *,
    meanwhile: Callable[[str], None],
) -> None:
    """Render jobs and write their files. `meanwhile` is called with each key while the pool renders others: for what would keep its workers
    waiting if it was done first."""
    with written.drafting():
        written.begin({name: made_from[job.key] for job in jobs for name in _names(job)})
        for job in jobs:
            (written.folder / f"{job.key}.json").unlink(missing_ok=True)  # the record is written last and shows that a sample is whole
        for job, sample in progress(pool.render(jobs), total=len(jobs), desc="render"):
            written.check()
            meanwhile(job.key)
            if isinstance(sample, UserError):
                rendered.keys.remove(job.key)
                rendered.refused[job.key] = str(sample)
                written.remove(_names(job))
                continue
            for kind, path in job.also.items():
                written.put(path, job.key + EXPORTS[kind])
            files = sorted(sample.files().items(), key=lambda file: file[0] == ".json")
            written.write({job.key + suffix: data for suffix, data in files})
    written.check(name for job in jobs if job.key in rendered.keys for name in _names(job))


def _names(job: RenderJob) -> list[str]:
    """The names of the files that are written for a job."""
    passes, also = (SUFFIX_OF[name] for name in job.passes), (EXPORTS[kind] for kind in job.also)
    return [job.key + suffix for suffix in (*PICTURE_SUFFIXES, *passes, *also)]


def _refuse_equal_names(jobs: Sequence[RenderJob]) -> None:
    keys = {job.key for job in jobs}
    for job in jobs:
        for kind in job.also:
            if (other := (job.key + EXPORTS[kind]).removesuffix(".py")) in keys:
                raise UserError(f"{job.key}{EXPORTS[kind]}: is both the {kind} of {job.key} and the code of {other}; rename one")


def _made_from(jobs: Sequence[RenderJob]) -> dict[str, str]:
    """By key, the digest of all that determines a job's files: key, scene, shot and software."""
    software = {domain: _software(domain) for domain in {job.domain for job in jobs}}
    determined = {job.key: [job.key, job.scene.to_json(), job.shot.to_json(), software[job.domain]] for job in jobs}
    return {key: hashlib.sha256(json.dumps(facts).encode()).hexdigest() for key, facts in determined.items()}


def _software(domain: Domain) -> dict[str, str | None]:
    """The versions of the packages that render a domain. This searches all installed packages, which takes some 20 ms."""
    software = {"igllm": version("igllm"), "domain": outside_packages().get(domain.name)}
    if not isinstance(domain, PaintedDomain):
        with suppress(PackageNotFoundError):  # without it, nothing will be rendered
            software["bpy"] = version("bpy")
    return software


def _refuse_samples_of_others(written: Written) -> None:
    """`UserError` if the folder holds samples that were not rendered into it: a comparison would score them as candidates."""
    folder, rendered = written.folder, written.made_from
    for path in folder.glob("[!.]*.tar"):
        raise UserError(f"{folder}: holds a data set ({path.name}); choose another folder for the pictures")
    for path in folder.glob("*.json"):
        if path.name not in rendered and path.with_suffix(".py").exists():
            raise UserError(f"{folder}: holds samples that this verb has not rendered, such as {path.stem}; choose another folder")


def _remove_stale(written: Written, codes: Mapping[str, str], jobs: Sequence[RenderJob], made_from: Mapping[str, str], clear: bool) -> int:
    """Remove outdated files of these keys that this call will not replace and, with ``clear``, all files of other keys; the number of
    pictures among them."""
    current = set(made_from.values())
    kept = {name for job in jobs for name in _names(job)}
    of_these = {key + suffix for key in codes for suffix in (*PICTURE_SUFFIXES, *SUFFIX_OF.values(), *EXPORTS.values())}
    kept |= {name for name, source in written.made_from.items() if source in current or not (clear or name in of_these)}
    stale = [name for name in written.made_from if name not in kept]
    written.remove(stale)
    return sum(name.endswith(".json") for name in stale)


def _jobs(
    codes: Mapping[str, str], given: Shots | OneByOne, out: Path, rendered: Rendered, also: Sequence[str]
) -> Iterator[tuple[RenderJob, Scene]]:
    """Yield jobs with their scenes as they were read, the objects in the order of the code."""
    shots = given if isinstance(given, OneByOne | InCode) else InCode(given, codes)
    for key, code in codes.items():
        shot, domain = shots.shot(key)
        try:
            written = checked_code(code, domain)
        except UserError as error:
            rendered.refused[key] = str(error)
            continue
        if also and isinstance(domain, PaintedDomain):
            names = " or ".join(EXPORTS[kind] for kind in also)
            raise UserError(f"{key}: the {domain.name} domain is painted without Blender, so that there is no {names} file of it")
        rendered.keys.append(key)
        yield RenderJob(key, domain.canonical(written), shot, {kind: out / DRAFT / f"{key}{EXPORTS[kind]}" for kind in also}), written


def checked_code(code: str, domain: Domain) -> Scene:
    """The scene of a code as it is written; `UserError` if it cannot be rendered."""
    written = parse_code(code, domain)
    domain.check(domain.canonical(written))
    check_header(written, domain)
    return written


def warnings_of(written: Scene, domain: Domain, shot: Shot) -> list[str]:
    """Warnings about a scene and its shot, one line each; objects are numbered in the order of the code."""
    scene = written.with_objects(map(domain.canonical_object, written.objects))
    warnings = domain.violations(scene) if len(scene) else ["the code names no object: the picture shows none"]
    if len(warnings) > MOST_WARNED:
        warnings[MOST_WARNED:] = [f"{len(warnings) - MOST_WARNED:,} more numbers are outside of their range"]
    if isinstance(domain, StagedDomain):
        warnings += odd_placements(scene, domain, shot.viewpoint)
    share = 0.0 if domain.ground is None else bare_share(domain.ground, shot.viewpoint, shot.width, shot.height)
    if share:
        warnings.append(f"the camera looks past the ground and the backdrop: {share:.1%} of the frame will be black")
    return warnings
