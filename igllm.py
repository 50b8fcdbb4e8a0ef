"""The front door: the ``igllm`` command, one thin subcommand a verb."""

from __future__ import annotations

import os
import sys

from datagen.io.leaving import Request, flush_output, heed_while_loading, heeded

if __name__ == "__main__" or os.path.basename(sys.argv[0]) == "igllm":  # else another program imports this
    heed_while_loading(" ".join(["igllm", *sys.argv[1:2]]))

import argparse
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.commandline import (
    Help,
    Parser,
    file_to_write,
    folder_to_write,
    integers,
    number,
    positive,
    run_to_write,
    samples_to_write,
    setting,
    whole,
    words,
)
from datagen.errors import PartlyDone, UserError
from datagen.images.limits import MAX_PIXELS, allow_pixels

# Everything else is imported by the verb that needs it, so that --help answers at once.
from datagen.io.cache import lend_home
from datagen.io.ranges import counted
from datagen.io.temporary import own_temporaries
from datagen.scene import QUALITIES
from datagen.screen import in_bounds, plain_output, print_line, printable

if TYPE_CHECKING:
    from datagen.code.predictions import Prediction

BUG = 70  # the status where igllm itself is at fault
NO_READER = 141  # the status where nobody reads on what is printed, as of programs which that ends: 128 and SIGPIPE
BUILT_IN = Path()  # in the place of a folder of assets: those modelled here
EPILOG = """\
the whole loop:
  igllm generate --num 1000 --seed 1 --out data/train
  igllm generate --num 100 --seed 2 --out data/val
  igllm train --preset tiny --data data/train --val data/val --out runs/tiny
  igllm roundtrip --model runs/tiny --data data/val --out reports/tiny

Every verb can be interrupted and called again: it goes on where it stopped. Bad input ends with status 2 and one message.
Status 70 is an error of igllm's own; IGLLM_TRACEBACK=1 shows where it came about.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with plain_output(), heeded(" ".join(["igllm", *given[:1]])) as request:
        lend_home()
        try:
            status = _run(given)
            return status if request.signal is None else _say(request.message, request.status)  # a library may have swallowed it
        except BaseException as error:
            if isinstance(error, RuntimeError):
                request.wait()
            if request.signal is not None:  # whatever it has become on its way
                return _say(request.message, request.status)
            return _end(request, error)


def _run(given: Sequence[str]) -> int:
    """Run one verb; the exit status, once all that it printed is out."""
    try:
        options = _parser().parse_args(given)
        if getattr(options, "max_pixels", None) is not None:
            allow_pixels(options.max_pixels)
        with own_temporaries():
            return options.run(options) or 0
    finally:
        flush_output()


def _end(request: Request, error: BaseException) -> int:
    """Say what ended a verb; the exit status. Raises what is not to be told, as the end of --help; all else, a panic too, is."""
    if isinstance(error, UserError):
        return _say(f"{request.name}: {error}", 1 if isinstance(error, PartlyDone) else 2)
    if isinstance(error, KeyboardInterrupt):  # where signals cannot be heeded
        return _say(request.message, request.status)
    if isinstance(error, BrokenPipeError):
        return NO_READER
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _say(printable(f"{request.name}: {where}{error.strerror or error}"), 2)
    if isinstance(error, SystemExit) or os.environ.get("IGLLM_TRACEBACK"):
        raise error
    return _say(printable(f"{request.name}: {_reported(error)}"), BUG)


def _say(message: str, status: int) -> int:
    with suppress(OSError):  # nobody may be there to read it, such as after the end of a terminal
        print(in_bounds(message), file=sys.stderr, flush=True)
    return status


def _reported(error: BaseException) -> str:
    """A line about an error that is none of the user's; where it came about is kept in a file."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile("w", prefix="igllm-error-", suffix=".txt", errors="backslashreplace", delete=False) as file:
            file.write(text)
        more = f"please report it with the file {file.name}"
    except OSError:  # no temporary file can be written
        more = "IGLLM_TRACEBACK=1 shows where it came about"
    said = str(error).partition("\n")[0]
    return f"an error of igllm's own, {type(error).__name__}: {said}; {more}"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="igllm",
        description="Inverse graphics with language models: images to graphics code, and back through Blender.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    data, models = (_generate, _verify, _merge, _inspect, _export, _import), (_pretrain, _align, _train, _predict)
    for add in (*data, *models, _render, _compare, _roundtrip, _eval, _demo, _doctor):
        add(verbs)
    return parser


def _verb(verbs: Any, run: Callable[[argparse.Namespace], int | None], help: str, story: str) -> Parser:
    name = run.__name__.removeprefix("run_")
    verb: Parser = verbs.add_parser(name, help=help, description=story, formatter_class=Help)
    verb.set_defaults(run=run)
    return verb


def _place(text: str) -> str | Path:
    from datagen.shards.store import place

    return place(text)


def _place_to_write(text: str) -> str | Path:
    from datagen.shards.store import check_place, place

    where = place(text)
    check_place(where)
    return where


def _generate(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_generate,
        "render a data set of images with their graphics code",
        "Draw scenes, render them, in headless Blender workers where the domain needs Blender, and write WebDataset shards (image, code, "
        "labels), dataset.json and manifest.jsonl. A sample depends on the seed and its index alone. Call again to go on after an "
        "interruption, or with a larger --num to add samples.",
    )
    verb.late_epilog = _domains_text
    verb.add_argument("--domain", default="clevr", help="kind of scene: one of those below")
    verb.add_argument("--assets", type=Path, metavar="DIR", help="model files of your own for the shapes of --domain assets")
    verb.add_argument("--textures", type=Path, metavar="DIR", help="images of your own for the textures of --domain assets")
    verb.add_argument("--split", default="default", metavar="NAME|FILE", help="what scenes may hold: a split of the domain, or a JSON file")
    verb.add_argument("--num", type=positive, required=True, metavar="N", help="how many samples the data set has in all")
    verb.add_argument("--seed", type=whole, default=0, metavar="N", help="of all that is drawn: another seed gives other scenes")
    verb.add_argument(
        "--out", type=_place_to_write, required=True, metavar="DIR|URL", help="folder of the data set, or a URL that fsspec knows"
    )
    _add_frame(verb, 320, 240, "standard")
    verb.add_argument("--min-objects", type=whole, metavar="N", help="fewest objects in a scene (default: the split's)")
    verb.add_argument("--max-objects", type=whole, metavar="N", help="most objects in a scene (default: the split's)")
    verb.add_argument("--cameras", type=Path, metavar="FILE", help="JSON file of cameras by name (default: the domain's own camera)")
    verb.add_argument("--camera-jitter", type=number, default=0.0, metavar="M", help="metres a camera is moved by at most, along each axis")
    verb.add_argument("--light-jitter", type=number, default=1.0, metavar="M", help="metres a lamp is moved by at most, along each axis")
    verb.add_argument("--shard-size", type=positive, default=1000, metavar="N", help="samples in each shard, which is one tar")
    verb.add_argument("--shards", metavar="A-B", help="render only these shards of the --num samples: 12-40, or 3,7-9 (see `igllm merge`)")
    verb.add_argument("--executor", choices=("local", "ray"), default="local", help="where to render: this machine, or a Ray cluster")
    verb.add_argument("--ray-address", metavar="ADDRESS", help="the Ray cluster (default: one of this machine alone)")
    verb.add_argument(
        "--format", choices=("png", "jpg", "webp"), default="png", help="file format of the images; jpg and webp lose a little"
    )
    verb.add_argument("--captions", action="store_true", help="add {key}.txt: a few true sentences about the scene")
    verb.add_argument("--depth", action="store_true", help="add {key}.depth.npy: metres to what each pixel shows")
    _add_workers(verb)
    _add_render_device(verb)
    _add_max_pixels(verb)


def _domains_text() -> str:
    from datagen.domains.plugins import outside_packages
    from datagen.domains.registry import DOMAINS

    built_in = [f"{name} ({', '.join(domain.splits)})" for name, domain in DOMAINS.items()]
    brought = [f"{name} (of the package {package})" for name, package in outside_packages().items() if name not in DOMAINS]
    return "domains and their splits: " + "; ".join(built_in + brought)


def run_generate(options: argparse.Namespace) -> None:
    """igllm generate"""
    from datagen.domains.registry import get_domain
    from datagen.domains.split_files import load_split
    from datagen.generate import generate
    from datagen.io.ranges import parse_shards
    from datagen.samples.cameras import load_cameras
    from datagen.samples.settings import DatasetSettings
    from datagen.shards.writer import shard_count

    if options.ray_address and options.executor != "ray":
        raise UserError("--ray-address goes with --executor ray")
    if options.device == "gpu" and options.executor == "ray":
        raise UserError("--executor ray renders on CPUs")
    own = options.assets is not None or options.textures is not None
    domain = _own_domain(options.domain, options.assets, options.textures) if own else options.domain
    names = ("seed", "width", "height", "quality", "min_objects", "max_objects", "camera_jitter", "light_jitter", "shard_size")
    settings = DatasetSettings(
        domain=domain,
        rules=load_split(options.split, get_domain(domain)),
        cameras=load_cameras(options.cameras) if options.cameras else (),
        image_format=options.format,
        captions=options.captions,
        depth=options.depth,
        **{name: getattr(options, name) for name in names},
    )
    for warning in settings.warnings():
        print_line(f"igllm generate: {warning}")
    shards = parse_shards(options.shards, shard_count(options.num, settings.shard_size)) if options.shards else None
    if options.executor == "ray":
        from datagen.cluster import generate_on_ray

        samples = generate_on_ray(settings, options.num, options.out, address=options.ray_address, workers=options.workers, shards=shards)
    else:
        samples = generate(settings, options.num, options.out, options.workers, shards, device=options.device)
    print(f"{options.out}: {counted(len(samples), 'sample')}" + (f" of the domain {domain}" if own else ""))


def _own_domain(domain: str, assets: Path | None, textures: Path | None) -> str:
    """The name of the domain of folders' assets and textures; tells which of their files are left out."""
    from datagen.assets.own import own_assets
    from datagen.assets.own_textures import own_textures
    from datagen.domains.own_assets import keep_domain

    if domain != "assets":
        raise UserError(f"--{'assets' if assets else 'textures'} goes with --domain assets")
    own = None if assets is None else own_assets(assets)
    images = None if textures is None else own_textures(textures)
    for folder, found in ((assets, own), (textures, images)):
        for line in found.remarks() if found else ():
            print_line(f"igllm generate: {folder}: {line}")
    return keep_domain(own, images)


def _verify(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_verify,
        "check that a data set is whole",
        "Read every shard and sample of a data set and compare them with its manifest and dataset.json. Prints each problem, and a "
        "summary; ends with status 1 if anything is missing or damaged. `igllm generate` with the same settings repairs it.",
    )
    verb.add_argument("data", type=_place, metavar="DIR|URL", help="the data set")


def run_verify(options: argparse.Namespace) -> int:
    """igllm verify"""
    from datagen.shards.verify import verify

    verdict = verify(options.data)
    for line in verdict.problems:
        print_line(line, sys.stdout)
    for line in verdict.notes:
        print_line(f"note: {line}", sys.stdout)
    be = "is" if verdict.expected == 1 else "are"
    judgement = "whole" if verdict.whole else counted(len(verdict.problems), "problem")
    told = f"{verdict.samples} of {counted(verdict.expected, 'sample')} {be} as the manifest states: {judgement}"
    print_line(f"{options.data}: {told}", sys.stdout)
    return 0 if verdict.whole else 1


def _merge(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_merge,
        "join what several writers rendered of a data set",
        "Make one data set of what several calls of `igllm generate --shards` rendered of it, into the same folder or, with --from, into "
        "others, which stay as they are. Ends with status 1 if shards or samples are still missing.",
    )
    verb.add_argument("data", type=_place, metavar="DIR|URL", help="the data set")
    verb.add_argument(
        "--from",
        type=_place,
        nargs="+",
        default=[],
        metavar="OTHER",
        dest="others",
        help="folders or URLs of the same settings, to copy shards from",
    )


def run_merge(options: argparse.Namespace) -> None:
    """igllm merge"""
    from datagen.shards.merge import merge

    manifest = merge(options.data, options.others)
    samples = sum(row.samples for row in manifest.rows.values())
    print_line(f"{options.data}: {counted(samples, 'sample')} in {counted(len(manifest.rows), 'shard')}", sys.stdout)


def _inspect(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_inspect,
        "look at a data set, or at assets: samples, labels, plots and statistics",
        "Write a page (index.html) with samples, their labels, plots and tables; the same plots as one picture (overview.png); a contact "
        "sheet (contact-sheet.png); and all numbers (statistics.json), of which the most telling are printed. With --assets or --textures, "
        "write sheets with a picture of each (asset-sheet.png, texture-sheet.png) and their list (asset-list.json); files that cannot be "
        "used are named, with the reason.",
    )
    verb.add_argument("data", type=_place, nargs="?", metavar="DIR|URL", help="a data set: shards or loose samples")
    verb.add_argument(
        "--assets", type=Path, nargs="?", const=BUILT_IN, metavar="DIR", help="your model files; without DIR the built-in ones"
    )
    verb.add_argument("--textures", type=Path, metavar="DIR", help="your images for textures")
    verb.add_argument(
        "--out", type=folder_to_write, help="folder to write (default: DIR/inspect; for built-in assets and textures: inspect)"
    )
    _add_max_pixels(verb)


def run_inspect(options: argparse.Namespace) -> None:
    """igllm inspect"""
    from datagen.inspect.report import PAGE, inspect, statistics_text

    if (options.data is None) == (options.assets is None and options.textures is None):
        raise UserError("name a data set, or say --assets [DIR] or --textures DIR: one of the two")
    if options.data is None:
        _inspect_assets(options)
        return
    if options.out is None and (not isinstance(options.data, Path) or (options.data.suffix == ".tar" and not options.data.is_dir())):
        raise UserError("a data set at a URL, or in a tar, needs --out, the folder to write")
    if options.out is None and not options.data.is_dir():
        raise UserError(f"{options.data}: there is no such data set (a folder of shards or of loose samples is expected)")
    out = options.out or options.data / "inspect"
    print(statistics_text(inspect(options.data, out)))
    print(f"page: {os.path.abspath(out / PAGE)}")


def _inspect_assets(options: argparse.Namespace) -> None:
    from datagen.inspect.assets import SHEET, TEXTURE_SHEET, assets_text, inspect_built_in, inspect_own

    built_in = options.assets is BUILT_IN
    if built_in and options.textures is not None:
        raise UserError("--textures goes with --assets DIR, or alone: then they are worn by the built-in assets")
    out = options.out or (Path() if options.textures else options.assets) / "inspect"
    print(assets_text(inspect_built_in(out) if built_in else inspect_own(out, options.assets, options.textures)))
    for sheet, asked in ((SHEET, options.assets), (TEXTURE_SHEET, options.textures)):
        if asked is not None:
            print(f"sheet: {os.path.abspath(out / sheet)}")


def _export(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_export,
        "write a data set in a format of others",
        "Write images and labels as CLEVR publishes them (clevr), as COCO instances (coco), or as an image folder for Hugging Face "
        "datasets (hf). Call again to write them anew.",
    )
    verb.add_argument("--data", type=_place, required=True, metavar="DIR|URL", help="data set to write: shards or loose samples")
    verb.add_argument("--format", choices=("clevr", "coco", "hf"), required=True, help="format to write")
    verb.add_argument("--out", type=folder_to_write, required=True, help="folder to write to")


def run_export(options: argparse.Namespace) -> None:
    """igllm export"""
    from datagen.formats.export import export

    print(f"{options.out}: {counted(export(options.data, options.format, options.out), 'sample')}")


def _import(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_import,
        "read CLEVR's scene files",
        "Read a CLEVR scenes file and recover the camera of each scene from 3d_coords and pixel_coords. With --images, write shards with "
        "those images, to train on. Without, write codes.jsonl and, for each scene, a record of its camera, to render: "
        "igllm render --code OUT/codes.jsonl --data OUT.",
    )
    verb.add_argument("--format", choices=("clevr",), required=True, help="format to read")
    verb.add_argument("--scenes", type=Path, required=True, metavar="FILE", help="CLEVR's scenes file, or the JSON of one scene")
    verb.add_argument("--images", type=Path, metavar="DIR", help="folder of the images that the scenes name")
    verb.add_argument("--out", type=samples_to_write, required=True, help="folder to write to")
    _add_max_pixels(verb)


def run_import(options: argparse.Namespace) -> None:
    """igllm import"""
    from datagen.formats.clevr_import import import_clevr

    imported = import_clevr(options.scenes, options.out, options.images)
    for line in imported.lines():
        print_line(f"igllm import: {line}")
    print(f"{options.out}: {counted(len(imported.keys), 'scene')}")


def _pretrain(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_pretrain,
        "teach a tower from scratch to see",
        "Train the vision tower alone, without the language model: what object has its centre in which cell of the image, as the labels of "
        "every sample tell. Then: igllm train --init RUN.",
    )
    _add_training(verb)
    verb.add_argument("--init", metavar="RUN", help="begin with the weights of this run, such as a pretraining on something easier")


def run_pretrain(options: argparse.Namespace) -> None:
    """igllm pretrain"""
    from model.training.train import pretrain

    preset = _asked_preset(options, "batch_size")
    name = Path(options.preset).stem
    pretrain(preset, name, data=_asked_data(options), out=options.out, device=options.device, init=options.init)
    print(f"{options.out}: pretrained for {counted(preset.optimisation.steps, 'step')}")


def _align(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_align,
        "teach a new projector a language model's words",
        "Train the projector alone on images and captions, tower and language model frozen: LLaVA's first stage. --data takes WebDataset "
        "tars of images and .txt, as Conceptual Captions is distributed, or a data set made with --captions. Then: igllm train --init RUN.",
    )
    _add_training(verb)
    _add_max_pixels(verb)


def run_align(options: argparse.Namespace) -> None:
    """igllm align"""
    from model.training.train import align

    preset = _asked_preset(options, "align_batch_size")
    align(preset, Path(options.preset).stem, data=_asked_data(options), out=options.out, device=options.device)
    print(f"{options.out}: aligned for {counted(preset.optimisation.steps, 'step')}")


def _train(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_train,
        "train a model on a data set",
        "Train a preset on shards with transformers.Trainer. The run folder holds whole checkpoints, and the model when training is done. "
        "Call again to go on after an interruption, or with more --steps. On several GPUs: torchrun --no-python --nproc-per-node 8 igllm "
        "train ...",
    )
    _add_training(verb)
    verb.add_argument("--init", metavar="RUN", help="begin with the weights of this run, such as an alignment's")
    verb.add_argument("--full", action="store_true", help="train the whole language model, without LoRA")
    verb.add_argument("--numbers", choices=("head", "char"), help="numbers by the numeric head, or as characters (default: the preset's)")
    verb.add_argument("--number-feedback", action="store_true", help="embed each number's value back into the sequence")
    verb.add_argument("--cache-features", action="store_true", help="compute a frozen tower's features once, and keep them on disk")
    verb.add_argument("--sample-every", type=positive, metavar="STEPS", help="take four images around every so many steps: RUN/samples")
    _add_max_pixels(verb)


def run_train(options: argparse.Namespace) -> None:
    """igllm train"""
    from model.training.train import Callback, train

    preset = _asked_preset(options, "batch_size")
    if options.number_feedback and preset.head.numbers == "char":
        raise UserError("--number-feedback goes with --numbers head: characters are tokens, which are fed back anyway")
    if options.full and preset.kind == "derender":
        raise UserError("--full is about a language model, and a de-rendering model has none")
    if options.sample_every and not isinstance(options.val or options.data[0], Path):
        raise UserError("--sample-every takes its images from --val, which must be a folder")

    def sample(loaded: Any, step: int) -> None:
        from datagen.shards.reader import Samples
        from model.prediction.predict import Predictor
        from render.roundtrip import roundtrip

        out = options.out / "samples" / f"step-{step:06d}"
        seen = Samples(options.val or options.data[0])
        roundtrip(Predictor.around(loaded), seen, out, num=min(4, len(seen)), batch_size=4)

    stage = {"init": options.init, "callback": Callback(sample, options.sample_every) if options.sample_every else None}
    train(preset, Path(options.preset).stem, data=_asked_data(options), out=options.out, device=options.device, **stage)
    print(f"{options.out}: trained for {counted(preset.optimisation.steps, 'step')}")


def _add_training(verb: Parser) -> None:
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.add_argument("--preset", default="tiny", help="tiny (default; no download), small, paper, derender, or a .toml file like theirs")
    verb.add_argument(
        "--data", type=_place, required=True, action="append", help="data set to learn from, a folder or a URL; may be repeated"
    )
    verb.add_argument("--weight", type=number, action="append", help="share of each --data, in their order (default: by their sizes)")
    verb.add_argument("--val", type=_place, help="data set to measure the loss on; train refuses one that shares a scene with --data")
    verb.add_argument("--out", type=run_to_write, required=True, help="run folder")
    verb.add_argument("--vision-model", metavar="NAME|DIR", help="pretrained vision tower: hub name or folder (default: the preset's)")
    verb.add_argument("--language-model", metavar="NAME|DIR", help="pretrained language model: hub name or folder (default: the preset's)")
    verb.add_argument("--steps", type=positive, help="optimizer steps (default: the preset's, which are those of training)")
    verb.add_argument("--batch-size", type=positive, help="samples a step on one device (default: the preset's)")
    verb.add_argument(
        "--set", type=setting, action="append", default=[], metavar="KEY=VALUE", dest="settings", help="change a setting; may be repeated"
    )
    _add_device(verb)
    verb.late_epilog = _settings_text


def _asked_preset(options: argparse.Namespace, batch_size: str) -> Any:
    """The preset with what the flags say; ``batch_size`` names the setting that --batch-size means."""
    from model.preset import get_preset

    given = {"lora_rank": 0} if getattr(options, "full", False) else {}
    for name in ("steps", "vision_model", "language_model", "numbers", "number_feedback", "cache_features"):
        if getattr(options, name, None):
            given[name] = getattr(options, name)
    given |= {batch_size: options.batch_size} if options.batch_size else {}
    return get_preset(options.preset).changed([*_asked_settings(options), *(f"{key}={value}" for key, value in given.items())])


def _asked_settings(options: argparse.Namespace) -> list[str]:
    """What --set says; `UserError` for a setting that is given twice, of which only the last would count."""
    keys = [assignment.partition("=")[0].rpartition(".")[2] for assignment in options.settings]
    for key in keys:
        if keys.count(key) > 1:
            raise UserError(f"--set {key}: is given twice; give it once")
    return list(options.settings)


def _asked_data(options: argparse.Namespace) -> Any:
    from model.training.train import Data

    if options.weight and len(options.weight) != len(options.data):
        raise UserError(f"{len(options.weight)} --weight for {len(options.data)} --data: give one for each")
    return Data(options.data, options.weight, options.val)


def _settings_text() -> str:
    from model.preset import get_preset, settings

    tiny = get_preset("tiny").to_json()
    rows = [f"  {each.key:37} {each.help} (tiny: {tiny[each.name]})" for each in settings().values()]
    return "settings for --set, with their groups or without (steps=5000):\n" + "\n".join(rows)


def _predict(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_predict,
        "write the graphics code of images",
        "Read images with a trained model and write pred.jsonl: for each image its key, the graphics code of its scene, and how sure the "
        "model is of each object, from 0 to 1. Call again to go on after an interruption.",
    )
    _add_model(verb)
    source = verb.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=_place, metavar="DIR|URL", help="read the images of this data set")
    source.add_argument("--images", type=Path, nargs="+", metavar="FILE", help="read these image files, and those in these folders")
    verb.add_argument("--out", type=file_to_write, help="the pred.jsonl to write (default, with --images: the code is printed)")
    verb.add_argument(
        "--samples",
        type=positive,
        default=1,
        metavar="K",
        help="give K codes for each image, likeliest first: the K likeliest that are found or, with --temperature, K random ones",
    )
    verb.add_argument("--temperature", type=number, metavar="T", help="choose at random, more freely the higher (default: the likeliest)")
    verb.add_argument(
        "--top-p",
        type=number,
        default=1.0,
        metavar="P",
        help="with --temperature: choose only among the likeliest words, as many as have this share of the probability together",
    )
    verb.add_argument(
        "--beams",
        type=positive,
        default=1,
        metavar="B",
        help="search with B beginnings of the code at a time, the likeliest",
    )
    verb.add_argument("--seed", type=whole, default=0, help="of what --temperature chooses at random, together with the image's key")
    _add_max_pixels(verb)


def run_predict(options: argparse.Namespace) -> int:
    """igllm predict"""
    from datagen.code.predictions import read_predictions
    from datagen.shards.pictures import DatasetImages, ImageFiles
    from model.load import find_model
    from model.prediction.decoding import Decoding
    from model.prediction.predict import Predictor, predict_file, predict_images

    if options.out is None and options.data:
        raise UserError("--data needs --out, the pred.jsonl to write")
    settings = {name: getattr(options, name) for name in ("samples", "temperature", "top_p", "beams", "seed")}
    if options.samples > 1 and options.temperature is None:
        settings["beams"] = max(options.beams, options.samples)
    decoding = Decoding(**settings)
    model = find_model(options.model)
    images = DatasetImages(options.data) if options.data else ImageFiles(_asked_images(options))
    predictor = Predictor.of(model, options.device)
    if isinstance(images, DatasetImages) and (reason := predictor.foreign(images.samples.at(0).domain)):
        print_line(f"igllm predict: warning: {reason}")
    out = options.out
    if out is None:
        predictions, skipped = predict_images(predictor, images, options.batch_size, decoding)
        for prediction in predictions:
            print(_printed(prediction, keyed=len(predictions) > 1), end="")
    else:
        skipped = predict_file(predictor, images, out, options.batch_size, decoding)
        predictions = list(read_predictions(out).values())
    if predictions and not any(prediction.code for prediction in predictions):
        print_line(f"igllm predict: warning: {_nothing_named(len(predictions))}")
    if out is not None:
        print(f"{out}: {counted(len(predictions), 'prediction')}" + (f", {counted(len(skipped), 'image')} skipped" if skipped else ""))
    return 2 if skipped and not predictions else 0


def _asked_images(options: argparse.Namespace) -> list[Path]:
    """The files that --images means; tells which files of a folder are left out."""
    from datagen.shards.pictures import find_images

    images, others = find_images(options.images)
    if options.out in images:
        raise UserError(f"{options.out}: is one of the images; name another file to write")
    if others:
        named = ", ".join(str(path) for path in others[:3]) + (", …" if len(others) > 3 else "")
        print_line(f"igllm predict: left out, as their names are not those of images: {named}")
    return images


def _printed(prediction: Prediction, keyed: bool) -> str:
    """A prediction as it is shown: its code, or all its candidates, marked by comments, which are no part of the code."""
    key = f"# {printable(prediction.key)}\n" if keyed else ""
    if prediction.candidates is None:
        return key + prediction.code
    every = len(prediction.candidates)
    marked = (
        f"# candidate {rank} of {every}, log-likelihood {one.logp:.4g}\n{one.code}" for rank, one in enumerate(prediction.candidates, 1)
    )
    return key + "".join(marked)


def _nothing_named(count: int) -> str:
    """What to say of codes that are all empty."""
    which = "the one code is empty" if count == 1 else f"all {count} codes are empty"
    return f"{which}: no object is named. The model may have learnt too little, or other images than these."


def _render(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_render,
        "render graphics code",
        "Render code, from a pred.jsonl or a file of your own, into {key}.png, .py and .json. With --data, size, quality, camera and light "
        "are those that the data set has for the same key; the scene comes from the code alone. Call again to go on after an interruption.",
    )
    verb.add_argument("--code", type=Path, required=True, help="pred.jsonl, or a .py file of graphics code")
    verb.add_argument("--out", type=samples_to_write, required=True, help="folder for the pictures")
    verb.add_argument("--data", type=_place, metavar="DIR|URL", help="data set whose size, quality, camera and light to use")
    verb.add_argument(
        "--lighting",
        choices=("canonical", "recorded"),
        help="recorded: the light of --data (default with it); canonical: the standard light of the domain",
    )
    verb.add_argument("--domain", default="clevr", help="kind of scene, where no --data says it")
    _add_frame(verb, None, None, None)
    verb.add_argument("--blend", action="store_true", help="also write {key}.blend: the scene, to open in Blender")
    _add_workers(verb)
    _add_max_pixels(verb)


def run_render(options: argparse.Namespace) -> int:
    """igllm render"""
    from datagen.shards.reader import Samples
    from render.rerender import Recorded, Standard, read_codes, render_codes

    frame = {k: v for k in ("width", "height", "quality") if (v := getattr(options, k)) is not None}
    if options.data and frame:
        raise UserError(f"--{next(iter(frame))} and --data exclude each other: with --data the frame is the sample's")
    if options.lighting == "recorded" and not options.data:
        raise UserError("--lighting recorded needs --data, the data set that recorded it")
    shots = Recorded(Samples(options.data), options.lighting == "canonical") if options.data else Standard(options.domain, **frame)
    codes = read_codes(options.code)
    alone = options.code.suffix == ".jsonl"  # a folder of what a file predicts holds nothing else; one of scenes may be added to
    rendered = render_codes(codes, shots, options.out, workers=options.workers, blend=options.blend, clear=alone)
    for warning in rendered.warnings:
        print_line(f"igllm render: warning: {warning}")
    for key, reason in rendered.refused.items():
        named = "" if options.code.suffix == ".py" else f" {key}:"
        print_line(f"igllm render: {options.code}:{named} {reason}")
    for count, fate in ((rendered.removed, "removed: not of this code"), (rendered.others, "kept: not of this code")):
        if count:
            print_line(f"igllm render: {options.out}: {counted(count, 'older picture')} {fate}")
    print(f"{options.out}: {counted(len(rendered.keys), 'picture')}" + (f", {len(rendered.refused)} refused" if rendered.refused else ""))
    return 2 if rendered.refused and not rendered.keys else 0


def _compare(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_compare,
        "score code and pictures against the truth",
        "Match the scenes of two sides object by object, score them, score the images where both sides have them, and write a report "
        "(metrics.json, index.html, pictures). Either side is a data set, a folder of rendered code, or a pred.jsonl (scenes only).",
    )
    verb.add_argument("--reference", type=Path, required=True, metavar="TRUTH", help="the truth: one of these three")
    verb.add_argument("--candidate", type=Path, required=True, metavar="ANSWER", help="what to score: one of these three")
    verb.add_argument("--out", type=folder_to_write, required=True, help="folder of the report")
    verb.add_argument("--domain", default="clevr", help="kind of scene, if both sides are a pred.jsonl, which does not say it")
    _add_max_pixels(verb)


def run_compare(options: argparse.Namespace) -> None:
    """igllm compare"""
    from render.compare import compare

    _tell(options.verb, compare(options.reference, options.candidate, options.out, kind=options.domain), options.out)


def _roundtrip(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_roundtrip,
        "predict, render and compare in one go",
        "Predict the code of a data set's images, render it under the light that the data set has for each, compare, and write a report. "
        "The report's folder keeps pred.jsonl and rendered/. Call again to go on after an interruption.",
    )
    _add_model(verb)
    verb.add_argument("--data", type=Path, required=True, metavar="DIR", help="data set to read")
    verb.add_argument("--num", type=positive, help="only its first NUM samples")
    verb.add_argument("--out", type=folder_to_write, required=True, help="folder of the report")
    _add_workers(verb)
    _add_max_pixels(verb)


def run_roundtrip(options: argparse.Namespace) -> None:
    """igllm roundtrip"""
    from datagen.shards.pictures import DatasetImages
    from model.load import find_model
    from model.prediction.predict import Predictor
    from render.report import check_report_folder
    from render.roundtrip import roundtrip

    check_report_folder(options.out)  # all that is cheap comes before the model is loaded
    model = find_model(options.model)
    images = DatasetImages(options.data, options.num)
    predictor = Predictor.of(model, options.device)
    batching = {"batch_size": options.batch_size, "workers": options.workers}
    _tell(options.verb, roundtrip(predictor, images.samples, options.out, num=options.num, **batching), options.out)


def _eval(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_eval,
        "repeat an evaluation of the paper",
        "Generate data, train models on several sizes of it, test them on scenes like those and on others, and write table.md, plots.png,\n"
        "pictures.html and metrics.json. What is finished (a method, at a size, with a seed: a cell) is kept, and not run again.",
    )
    verb.formatter_class = argparse.RawDescriptionHelpFormatter
    verb.add_argument("name", metavar="NAME", help="which evaluation: one of those below")
    verb.add_argument("--out", type=run_to_write, required=True, help="folder for everything")
    verb.add_argument(
        "--cells", type=folder_to_write, metavar="DIR", help="folder of finished cells, read and written (default: OUT/cells)"
    )
    verb.add_argument("--methods", type=words, metavar="M,M", help="which methods, of those below, separated by commas (default: all)")
    verb.add_argument("--sizes", type=integers, metavar="N,N", help="numbers of training images, separated by commas")
    verb.add_argument("--seeds", type=integers, metavar="S,S", help="of training (weights, order, augmentation), separated by commas")
    verb.add_argument("--preset", default="tiny", help="IG-LLM's: tiny (default), small, paper, or a .toml file")
    verb.add_argument(
        "--set",
        type=setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="change a setting of training, of all models; may be repeated",
    )
    verb.add_argument("--budget", type=positive, metavar="N", help="images that each model sees in training, repeated if need be")
    verb.add_argument("--pretrain-share", type=number, metavar="P", help="share of the budget that first teaches IG-LLM's tower to see")
    verb.add_argument("--width", type=positive, metavar="N", help="of the images, in pixels")
    verb.add_argument("--height", type=positive, metavar="N", help="of the images, in pixels")
    verb.add_argument("--quality", choices=QUALITIES, help="of the renders: speed against noise")
    verb.add_argument("--max-objects", type=positive, metavar="N", help="most objects in a scene")
    verb.add_argument("--test-scenes", type=positive, metavar="N", help="how many images each test has")
    _add_workers(verb)
    _add_device(verb)
    verb.late_epilog = _evaluations_text


def _evaluations_text() -> str:
    from render.evals.catalogue import catalogue_text

    return catalogue_text()


def run_eval(options: argparse.Namespace) -> None:
    """igllm eval"""
    from render.evals.catalogue import asked, scale_of, scale_text
    from render.evals.results import PICTURES, PLOTS, TABLE
    from render.evals.run import evaluate

    scale = ("sizes", "seeds", "budget", "pretrain_share", "width", "height", "quality", "max_objects", "test_scenes")
    given = {name: getattr(options, name) for name in scale}
    evaluation, plan = asked(options.name, options.preset, _asked_settings(options), options.methods, **given)
    print_line(f"eval: {options.name} with {scale_text(scale_of(options.name, options.preset, **given))}")
    evaluate(evaluation, plan, options.out, cells=options.cells, workers=options.workers, device=options.device)
    for name in (TABLE, PLOTS, PICTURES, *evaluation.figures):
        print(f"{os.path.abspath(options.out / name)}")


def _demo(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_demo,
        "new scenes through the shipped model and back, in minutes",
        "Generate new CLEVR scenes, read them with the shipped model, re-render what it wrote, compare, and write a page. Then train the "
        "model a little further on a few hundred renders, to see the trainer at work, and take the scenes around again.",
    )
    verb.add_argument("--out", type=run_to_write, default="demo", help="folder for everything")
    _add_workers(verb)
    _add_device(verb)


def run_demo(options: argparse.Namespace) -> None:
    """igllm demo"""
    from render.demo import demo

    _tell(options.verb, demo(options.out, options.workers, options.device), options.out / "report")


def _doctor(verbs: Any) -> None:
    verb = _verb(
        verbs,
        run_doctor,
        "see whether this machine can do it all",
        "Check Python, Blender and its shared libraries, Cycles' devices, cores, memory and disk, and say what to install.",
    )
    verb.add_argument("--libraries", action="store_true", help="check Blender's shared libraries only")


def run_doctor(options: argparse.Namespace) -> int:
    """igllm doctor"""
    from datagen.doctor import run_doctor as examine

    return examine(libraries_only=options.libraries)


def _add_frame(verb: argparse.ArgumentParser, width: int | None, height: int | None, quality: str | None) -> None:
    for name, value, usual in (("--width", width, 320), ("--height", height, 240)):
        text = "of the images, in pixels" + ("" if value else f" ({usual} without --data)")
        verb.add_argument(name, type=positive, default=value, metavar="N", help=text)
    note = "" if quality else " (standard without --data)"
    verb.add_argument("--quality", choices=QUALITIES, default=quality, help="draft is quick and grainy, reference slow and clean" + note)


def _add_workers(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--workers", type=positive, metavar="N", help="Blender processes, or painting threads (default: one a core, or one a GPU)"
    )


def _add_render_device(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="where Blender renders; auto: on GPUs if there are any"
    )


def _add_device(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--device", default="auto", help="where the model runs: auto, cpu, cuda, mps")


def _add_max_pixels(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--max-pixels",
        type=positive,
        metavar="N",
        help=f"read images of up to so many pixels, which take 25 bytes each (default: {MAX_PIXELS:,})",
    )


def _add_model(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--model", metavar="NAME|RUN", help="a shipped model's name, or a run folder (default: the shipped tiny)")
    verb.add_argument("--batch-size", type=positive, default=32, help="images read at a time; fewer need less memory")
    _add_device(verb)


def _tell(verb: str, metrics: dict[str, Any], out: Path) -> None:
    from render.report import METRICS, PAGE
    from render.summary import summary_text

    print(summary_text(metrics))
    print(f"all scores: {os.path.abspath(out / METRICS)}")
    print(f"report: {os.path.abspath(out / PAGE)}")
    readable = metrics["samples"] - metrics["missing"] - metrics["unparsable"]
    if metrics["unparsable"] and not readable:
        warning = "no code can be read: is it of another domain, or of another program?"
        print_line(f"igllm {verb}: warning: {warning}")
    elif readable and not metrics["scene"]["guessed"]:
        print_line(f"igllm {verb}: warning: {_nothing_named(readable)}")


if __name__ == "__main__":
    sys.exit(main())
