"""The verbs that make, check, inspect and convert data sets, and the doctor. Each imports the modules that it needs when it runs."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from datagen.commandline import Verb, folder_to_write, place, place_to_write, samples_to_write
from datagen.errors import UserError
from datagen.flags import Flag, FlagsOf, positive
from datagen.images.limits import MAX_PIXELS
from datagen.io.ranges import counted
from datagen.screen import print_line

if TYPE_CHECKING:
    from datagen.samples.settings import DatasetSettings
    from datagen.workers.ray_cluster import OnRay

BUILT_IN = Path()  # the value of --assets without a folder: the built-in assets
Place = str | Path
Workers = Annotated[int | None, Flag("Blender processes, or painting threads (default: one a core, or one a GPU)", "N", positive)]
Executor = Annotated[Literal["local", "ray"], Flag("where the work is done: on this machine, or on a Ray cluster")]
RayAddress = Annotated[str | None, Flag("the Ray cluster (default: one of this machine alone)", "ADDRESS")]
MaxPixels = Annotated[
    int | None, Flag(f"read images of up to so many pixels, which take 25 bytes each (default: {MAX_PIXELS:,})", "N", positive)
]


def on_ray(executor: str, address: str | None, workers: int | None) -> "OnRay | None":
    """The request of these flags for a Ray cluster, None for this machine; `UserError` for an address without --executor ray."""
    if executor == "ray":
        from datagen.workers.ray_cluster import OnRay

        return OnRay(address, workers)
    if address:
        raise UserError("--ray-address goes with --executor ray")
    return None


def own_domain_name(verb: str, domain: str | None, assets: Path | None, textures: Path | None) -> str | None:
    """The name of the domain of the user's assets and textures, whose files it reads; prints which are left out, for ``verb``. Without
    both, `domain` as it is. `UserError` if a `domain` is given that has neither."""
    if assets is None and textures is None:
        return domain
    from datagen.assets.own import own_assets
    from datagen.assets.own_textures import own_textures
    from datagen.domains.own_assets import keep_domain

    if domain not in {None, "assets"}:
        raise UserError(f"--{'assets' if assets else 'textures'} goes with --domain assets")
    own = None if assets is None else own_assets(assets)
    images = None if textures is None else own_textures(textures)
    for folder, found in ((assets, own), (textures, images)):
        for line in found.remarks() if found else ():
            print_line(f"igllm {verb}: {folder}: {line}")
    return keep_domain(own, images)


@dataclass(frozen=True, kw_only=True)
class Generate(Verb):
    """Render a data set of images with their graphics code.

    Draw scenes, render them, in headless Blender workers where the domain needs Blender, and write WebDataset shards (image, code, labels),
    dataset.json and manifest.jsonl. A sample depends on the seed and its index alone. Call again to go on after an interruption, or with a
    larger --num to add samples.
    """

    num: Annotated[int, Flag("how many samples the data set has in all: images, of which each scene has --views", "N", positive)]
    out: Annotated[Place, Flag("folder of the data set, or a URL that fsspec knows", "DIR|URL", place_to_write)]
    settings: Annotated["partial[DatasetSettings]", FlagsOf("datagen.samples.settings:DatasetSettings")]
    assets: Annotated[Path | None, Flag("model files of your own for the shapes of --domain assets", "DIR")] = None
    textures: Annotated[Path | None, Flag("images of your own for the textures of --domain assets", "DIR")] = None
    shards: Annotated[str | None, Flag("render only these shards of the --num samples: 12-40, or 3,7-9 (see `igllm merge`)", "A-B")] = None
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Workers = None
    device: Annotated[Literal["auto", "cpu", "gpu"], Flag("where Blender renders; auto: on GPUs if they are faster in a trial")] = "auto"
    max_pixels: MaxPixels = None

    @staticmethod
    def epilog() -> str:
        from datagen.domains.plugins import outside_packages
        from datagen.domains.registry import DOMAINS

        built_in = [f"{name} ({', '.join(domain.splits)})" for name, domain in DOMAINS.items()]
        brought = [f"{name} (of the package {package})" for name, package in outside_packages().items() if name not in DOMAINS]
        return "domains and their splits: " + "; ".join(built_in + brought)

    def run(self) -> None:
        from datagen.generate import generate
        from datagen.io.ranges import parse_shards
        from datagen.shards.writer import shard_count

        on_ray(self.executor, self.ray_address, self.workers)
        if self.device == "gpu" and self.executor == "ray":
            raise UserError("--executor ray renders on CPUs")
        settings = self._settings()
        for warning in settings.warnings():
            print_line(f"igllm generate: {warning}")
        shards = parse_shards(self.shards, shard_count(self.num, settings.shard_size)) if self.shards else None
        if self.executor == "ray":
            from datagen.cluster import generate_on_ray

            samples = generate_on_ray(settings, self.num, self.out, address=self.ray_address, workers=self.workers, shards=shards)
        else:
            samples = generate(settings, self.num, self.out, self.workers, shards, device=self.device)
        print(f"{self.out}: {counted(len(samples), 'sample')}" + (f" of the domain {settings.domain}" if self._own else ""))

    @property
    def _own(self) -> bool:
        """Whether assets or textures of the user's own are asked for."""
        return self.assets is not None or self.textures is not None

    def _settings(self) -> "DatasetSettings":
        """The settings, with the content of the files that flags name."""
        from datagen.domains.registry import get_domain
        from datagen.domains.split_files import load_split
        from datagen.samples.settings import DatasetSettings
        from datagen.samples.viewpoints import find_cameras

        stated = {"domain": DatasetSettings.domain, "split": DatasetSettings.split, **self.settings.keywords}
        domain = own_domain_name("generate", stated["domain"], self.assets, self.textures) or DatasetSettings.domain
        rules = load_split(stated["split"], get_domain(domain))
        cameras = find_cameras(stated["cameras"], get_domain(domain)) if "cameras" in stated else ()
        return self.settings(domain=domain, rules=rules, cameras=cameras)


@dataclass(frozen=True, kw_only=True)
class Verify(Verb):
    """Check that a data set is whole.

    Read every shard and sample of a data set and compare them with its manifest and dataset.json. Prints each problem, and a summary; ends
    with status 1 if anything is missing or damaged. `igllm generate` with the same settings repairs it.
    """

    data: Annotated[Place, Flag("the data set", "DIR|URL", place, word=True)]

    def run(self) -> int:
        from datagen.shards.verify import verify

        verdict = verify(self.data)
        for line in verdict.problems:
            print_line(line, sys.stdout)
        for line in verdict.notes:
            print_line(f"note: {line}", sys.stdout)
        be = "is" if verdict.expected == 1 else "are"
        judgement = "whole" if verdict.whole else counted(len(verdict.problems), "problem")
        whole = f"{verdict.samples} of {counted(verdict.expected, 'sample')} {be} as the manifest states: {judgement}"
        print_line(f"{self.data}: {whole}", sys.stdout)
        return 0 if verdict.whole else 1


@dataclass(frozen=True, kw_only=True)
class Merge(Verb):
    """Join what several writers rendered of a data set.

    Make one data set of what several calls of `igllm generate --shards` rendered of it, into the same folder or, with --from, into others,
    which stay as they are. Ends with status 1 if shards or samples are still missing.
    """

    data: Annotated[Place, Flag("the data set", "DIR|URL", place, word=True)]
    others: Annotated[
        Sequence[Place], Flag("folders or URLs of the same settings, to copy shards from", "OTHER", place, "from", more={"nargs": "+"})
    ] = ()

    def run(self) -> None:
        from datagen.shards.merge import merge

        manifest = merge(self.data, self.others)
        samples = sum(row.samples for row in manifest.rows.values())
        print_line(f"{self.data}: {counted(samples, 'sample')} in {counted(len(manifest.rows), 'shard')}", sys.stdout)


@dataclass(frozen=True, kw_only=True)
class Inspect(Verb):
    """Look at a data set, or at assets: samples, labels, plots and statistics.

    Write a page (index.html) with samples, their labels, plots and tables; the same plots as one picture (overview.png); a contact sheet
    (contact-sheet.png); and all numbers (statistics.json), of which the most telling are printed. With --assets or --textures, write sheets
    with a picture of each (asset-sheet.png, texture-sheet.png) and their list (asset-list.json); files that cannot be used are named, with
    the reason.
    """

    data: Annotated[Place | None, Flag("a data set: shards or loose samples", "DIR|URL", place, word=True, more={"nargs": "?"})] = None
    assets: Annotated[
        Path | None, Flag("your model files; without DIR the built-in ones", "DIR", more={"nargs": "?", "const": BUILT_IN})
    ] = None
    textures: Annotated[Path | None, Flag("your images for textures", "DIR")] = None
    out: Annotated[
        Path | None, Flag("folder to write (default: DIR/inspect; for built-in assets and textures: inspect)", None, folder_to_write)
    ] = None
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from datagen.inspect.report import PAGE, inspect, statistics_text

        if (self.data is None) == (self.assets is None and self.textures is None):
            raise UserError("name a data set, or say --assets [DIR] or --textures DIR: one of the two")
        if self.data is None:
            self._inspect_assets()
            return
        if self.out is None and (not isinstance(self.data, Path) or (self.data.suffix == ".tar" and not self.data.is_dir())):
            raise UserError("a data set at a URL, or in a tar, needs --out, the folder to write")
        if self.out is None and not Path(self.data).is_dir():
            raise UserError(f"{self.data}: there is no such data set (a folder of shards or of loose samples is expected)")
        out = self.out or Path(self.data) / "inspect"
        print(statistics_text(inspect(self.data, out)))
        print(f"page: {os.path.abspath(out / PAGE)}")

    def _inspect_assets(self) -> None:
        from datagen.inspect.assets import SHEET, TEXTURE_SHEET, assets_text, inspect_built_in, inspect_own

        built_in = self.assets is BUILT_IN
        if built_in and self.textures is not None:
            raise UserError("--textures goes with --assets DIR, or alone: then they are worn by the built-in assets")
        out = self.out or Path("" if self.textures else self.assets or "") / "inspect"
        print(assets_text(inspect_built_in(out) if built_in else inspect_own(out, self.assets, self.textures)))
        for sheet, asked in ((SHEET, self.assets), (TEXTURE_SHEET, self.textures)):
            if asked is not None:
                print(f"sheet: {os.path.abspath(out / sheet)}")


@dataclass(frozen=True, kw_only=True)
class Export(Verb):
    """Write a data set in a format of others.

    Write images and labels as CLEVR publishes them (clevr), as COCO instances (coco), as an image folder for Hugging Face datasets (hf), or
    as conversations about images (llava), with captions, depth and cameras where there are any. Call again to write them anew.
    """

    data: Annotated[Place, Flag("data set to write: shards or loose samples", "DIR|URL", place)]
    format: Annotated[Literal["clevr", "coco", "hf", "llava"], Flag("format to write")]
    out: Annotated[Path, Flag("folder to write to", None, folder_to_write)]

    def run(self) -> None:
        from datagen.formats.export import export

        print(f"{self.out}: {counted(export(self.data, self.format, self.out), 'sample')}")


@dataclass(frozen=True, kw_only=True)
class Import(Verb):
    """Read CLEVR's scene files.

    Read a CLEVR scenes file and recover the camera of each scene from 3d_coords and pixel_coords. With --images, write shards with those
    images, to train on. Without, write codes.jsonl and, for each scene, a record of its camera, to render:
    igllm render --code OUT/codes.jsonl --data OUT.
    """

    format: Annotated[Literal["clevr"], Flag("format to read")]
    scenes: Annotated[Path, Flag("CLEVR's scenes file, or the JSON of one scene", "FILE")]
    images: Annotated[Path | None, Flag("folder of the images that the scenes name", "DIR")] = None
    shot_in_code: Annotated[bool, Flag("begin the code with the camera; the lamps, which no scenes file records, are left open")] = False
    out: Annotated[Path, Flag("folder to write to", None, samples_to_write)]
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from datagen.formats.clevr_import import import_clevr

        imported = import_clevr(self.scenes, self.out, self.images, self.shot_in_code)
        for line in imported.lines():
            print_line(f"igllm import: {line}")
        print(f"{self.out}: {counted(len(imported.keys), 'scene')}")


@dataclass(frozen=True, kw_only=True)
class Doctor(Verb):
    """See whether this machine can do it all.

    Check Python, Blender and its shared libraries, Cycles' devices, the kernels for GPUs, cores, memory and disk, and say what to install.
    """

    libraries: Annotated[bool, Flag("check Blender's shared libraries only")] = False
    compile: Annotated[bool, Flag("compile Blender's kernels for the GPUs that lack them, which may take minutes")] = False

    def run(self) -> int:
        from datagen.doctor import run_doctor

        if self.libraries and self.compile:
            raise UserError("--compile does not go with --libraries, which checks nothing else")
        return run_doctor(libraries_only=self.libraries, compile_kernels=self.compile)
