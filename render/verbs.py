"""The verbs that render and score code, and the verb for training, which can render samples. Heavy imports are made when a verb runs."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from datagen.commandline import Verb, file_to_write, folder_to_write, once_each, run_to_write, samples_to_write, setting
from datagen.errors import UserError
from datagen.flags import Flag, FlagsOf, positive, words
from datagen.io.ranges import counted
from datagen.screen import print_line
from datagen.verbs import Executor, MaxPixels, RayAddress, Workers, on_ray, own_domain_name
from model.verbs import BatchSize, Device, Model, TrainingVerb, asked_images, image_reader, nothing_named
from render.code_flags import CodeVerb

if TYPE_CHECKING:
    from datagen.workers.ray_cluster import OnRay
    from render.evals.declaration import Scale


@dataclass(frozen=True, kw_only=True)
class Train(TrainingVerb):
    """Train a model on a data set.

    Train a preset on shards with transformers.Trainer. The run folder holds whole checkpoints, and the model when training is done. Call
    again to go on after an interruption, or with more --steps. On several GPUs: torchrun --no-python --nproc-per-node 8 igllm train ...
    """

    init: Annotated[str | None, Flag("begin with the weights of this run, such as an alignment's", "RUN")] = None
    full: Annotated[bool, Flag("train the whole language model, without LoRA")] = False
    numbers: Annotated[Literal["head", "char"] | None, Flag("numbers by the numeric head, or as characters (default: the preset's)")] = None
    number_feedback: Annotated[bool, Flag("embed each number's value back into the sequence")] = False
    cache_features: Annotated[bool, Flag("compute a frozen tower's features once, and keep them on disk")] = False
    sample_every: Annotated[int | None, Flag("take four images around every so many steps: RUN/samples", "STEPS", positive)] = None
    max_pixels: MaxPixels = None

    def run(self) -> None:
        feedback, cache = self.number_feedback or None, self.cache_features or None
        rank = 0 if self.full else None
        preset = self.asked_preset("train", lora_rank=rank, numbers=self.numbers, number_feedback=feedback, cache_features=cache)
        if self.number_feedback and preset.head.numbers == "char":
            raise UserError("--number-feedback goes with --numbers head: characters are tokens, which are fed back anyway")
        if self.full and preset.kind == "derender":
            raise UserError("--full is about a language model, and a de-rendering model has none")
        if self.sample_every and not isinstance(self.val or self.data[0], Path):
            raise UserError("--sample-every takes its images from --val, which must be a folder")
        from model.training.train import Callback, train

        callback = Callback(self._roundtrip_samples, self.sample_every) if self.sample_every else None
        train(preset, **self.asked(), init=self.init, callback=callback)
        print(f"{self.out}: trained for {counted(preset.optimisation.steps, 'step')}")

    def _roundtrip_samples(self, loaded: Any, step: int) -> None:
        """Predict, render and compare four images with the current model."""
        from datagen.shards.reader import Samples
        from model.prediction.predict import Predictor
        from render.roundtrip import roundtrip

        samples = Samples(self.val or self.data[0])
        out = self.out / "samples" / f"step-{step:06d}"
        roundtrip(Predictor.around(loaded), samples, out, num=min(4, len(samples)), batch_size=4)


@dataclass(frozen=True, kw_only=True)
class Render(CodeVerb):
    """Render graphics code.

    Render code, from a pred.jsonl, files and folders of your own, or standard input, into {key}.png, .py and .json. With --data, size,
    quality, camera and light are those that the data set has for the same key; the scene comes from the code alone. With several cameras,
    each code has a picture by each of them, {key}-{camera}.png. Without --data, a refined.jsonl brings the light and the camera that were
    found. Call again to go on after an interruption.
    """

    out: Annotated[Path, Flag("folder for the pictures", None, samples_to_write)]
    blend: Annotated[bool, Flag("also write {key}.blend: the scene, to open in Blender")] = False
    glb: Annotated[bool, Flag("also write {key}.glb: the scene as glTF, for three.js and other viewers")] = False
    script: Annotated[bool, Flag("also write {key}.blender.py: a script that builds and renders the scene in plain Blender")] = False
    film: Annotated[
        Sequence[Path],
        Flag(
            "also write all pictures as a film, .gif or .mp4, or all scenes as one .blend; may be repeated",
            "FILE",
            file_to_write,
            more={"action": "append"},
        ),
    ] = ()
    fps: Annotated[int | None, Flag("frames of a film a second (default: 10)", "N", positive)] = None
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Workers = None
    max_pixels: MaxPixels = None

    def run(self) -> int:
        from render.film import FPS, check_films, check_frames, write_films
        from render.rerender import render_codes

        ray = on_ray(self.executor, self.ray_address, self.workers)
        if self.fps is not None and not self.film:
            raise UserError("--fps goes with --film")
        check_films(self.film, fps := self.fps or FPS)
        asked = self.asked()
        check_frames(self.film, asked.codes, asked.shots)
        alone = len(self.code) == 1 and self.code[0].suffix == ".jsonl"  # a folder of predictions is of one file alone; others may share it
        also = [kind for kind in ("blend", "glb", "script") if getattr(self, kind)]
        on = ray or self.workers
        rendered = render_codes(asked.codes, asked.shots, self.out, on=on, also=also, passes=self.passes, clear=alone)
        for warning in rendered.warnings:
            print_line(f"igllm render: warning: {warning}")
        refused = asked.refused(rendered.refused)
        for where, reason in refused.items():
            print_line(f"igllm render: {where}: {reason}")
        for count, fate in ((rendered.removed, "removed: not of this code"), (rendered.others, "kept: not of this code")):
            if count:
                print_line(f"igllm render: {self.out}: {counted(count, 'older picture')} {fate}")
        films = self.film if rendered.keys else ()
        if films:
            write_films(films, self.out, rendered.keys, fps)
        print(f"{self.out}: {counted(len(rendered.keys), 'picture')}{f', {len(refused)} refused' if refused else ''}")
        for film in films:
            print(f"{film}: {counted(len(rendered.keys), 'frame')}")
        return 2 if refused and not rendered.keys else 0


@dataclass(frozen=True, kw_only=True)
class Compare(Verb):
    """Score code and pictures against the truth.

    Match the scenes of two sides object by object, score them, score the images where both sides have them, and write a report
    (metrics.json, index.html and what it shows). Either side is a data set, a folder of rendered code, or a pred.jsonl (scenes only); a
    candidate may be the report of a round trip, too. Of several candidates the report has all scores side by side, and their differences.
    """

    reference: Annotated[Path, Flag("the truth: one of these three", "TRUTH")]
    candidate: Annotated[Sequence[Path], Flag("what to score; may be repeated", "ANSWER", Path, more={"action": "append"})]
    out: Annotated[Path, Flag("folder of the report", None, folder_to_write)]
    num: Annotated[int | None, Flag("only the first NUM samples", None, positive)] = None
    keys: Annotated[str | None, Flag("only these samples: keys separated by commas, or a file with a key a line", "FILE|KEY,KEY")] = None
    predicted_only: Annotated[bool, Flag("only the samples that every candidate has an answer to")] = False
    domain: Annotated[str | None, Flag("kind of scene, if all sides are a pred.jsonl, which does not say it (default: clevr)")] = None
    assets: Annotated[Path | None, Flag("model files of your own that the code names as shapes: in place of --domain", "DIR")] = None
    textures: Annotated[Path | None, Flag("images of your own that the code names as textures: in place of --domain", "DIR")] = None
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from render.chosen import chosen
        from render.compare import compare
        from render.several import candidate_names, compare_several

        domain = own_domain_name("compare", self.domain, self.assets, self.textures) or "clevr"
        keys = None
        if self.num is not None or self.keys is not None or self.predicted_only:
            keys = chosen(self.reference, self.candidate, self.num, self.keys, self.predicted_only)
        if len(self.candidate) == 1:
            _print_scores("compare", compare(self.reference, self.candidate[0], self.out, keys, kind=domain), self.out)
            return
        named = dict(zip(candidate_names(self.candidate), self.candidate, strict=True))
        metrics = compare_several(self.reference, named, self.out, keys, kind=domain)
        for one in metrics["candidates"]:
            print(f"{one['name']}:")
            _print_summary({**metrics, **one}, f"compare: {one['name']}")
        _print_places(self.out)


@dataclass(frozen=True, kw_only=True)
class Roundtrip(Verb):
    """Predict, render and compare in one go.

    Predict the code of a data set's images, render it under the light that the data set has for each, compare, and write a report; or, with
    --images, show images of your own beside what was read from them. The report's folder keeps pred.jsonl and rendered/. Call again to go
    on after an interruption.
    """

    model: Model = None
    batch_size: BatchSize = 32
    device: Device = "auto"
    data: Annotated[Path | None, Flag("data set to read", "DIR", Path, one_of=True)] = None
    images: Annotated[
        Sequence[Path], Flag("read these image files, and those in these folders", "FILE", Path, one_of=True, more={"nargs": "+"})
    ] = ()
    num: Annotated[int | None, Flag("only the first NUM samples or images", None, positive)] = None
    out: Annotated[Path, Flag("folder of the report", None, folder_to_write)]
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Workers = None
    max_pixels: MaxPixels = None

    def run(self) -> int:
        from model.load import find_model
        from render.roundtrip import check_roundtrip_folder

        ray = on_ray(self.executor, self.ray_address, self.workers)
        check_roundtrip_folder(self.out)  # cheap checks come before the model is loaded
        model = find_model(self.model)
        return self._read_images(model, ray) if self.data is None else self._read_data(self.data, model, ray)

    def _read_data(self, data: Path, model: Path, ray: "OnRay | None") -> int:
        from datagen.shards.pictures import DatasetImages
        from model.prediction.outcomes import ModelFacts
        from render.roundtrip import roundtrip

        images = DatasetImages(data, self.num)
        ModelFacts.stated_in(model).refuse_foreign(images.samples.at(0).domain)
        with image_reader(model, self.device, ray) as reader:
            metrics = roundtrip(reader, images.samples, self.out, num=self.num, batch_size=self.batch_size, on=ray or self.workers)
        _print_scores("roundtrip", metrics, self.out)
        return 0

    def _read_images(self, model: Path, ray: "OnRay | None") -> int:
        from datagen.shards.pictures import ImageFiles
        from render.photographs import roundtrip_images

        found = asked_images("roundtrip", self.images)
        if self.num is not None and self.num > len(found):
            raise UserError(f"--num {self.num}: --images names {counted(len(found), 'image')}")
        with image_reader(model, self.device, ray) as reader:
            images = ImageFiles(found[: self.num])
            metrics = roundtrip_images(reader, images, self.out, batch_size=self.batch_size, on=ray or self.workers)
        print(f"{counted(metrics['samples'], 'image')}, {counted(metrics['objects'], 'object')} named")
        for count, what in (
            (metrics["unlike"], "unlike what the model knows"),
            (metrics["refused"], "with code that cannot be rendered"),
            (len(metrics["skipped"]), "skipped"),
        ):
            if count:
                print_line(f"igllm roundtrip: {counted(count, 'image')} {what}")
        _print_places(self.out)
        return 0


@dataclass(frozen=True, kw_only=True)
class Eval(Verb):
    """Repeat an evaluation of the paper.

    Generate data, train models on several sizes of it, test them on scenes like those and on others, and write table.md, plots.png,
    pictures.html and metrics.json. What is finished (a method, at a size, with a seed: a cell) is kept, and not run again.
    """

    name: Annotated[str, Flag("which evaluation: one of those below", "NAME", word=True)]
    out: Annotated[Path, Flag("folder for everything", None, run_to_write)]
    cells: Annotated[Path | None, Flag("folder of finished cells, read and written (default: OUT/cells)", "DIR", folder_to_write)] = None
    methods: Annotated[Sequence[str] | None, Flag("which methods, of those below, separated by commas (default: all)", "M,M", words)] = None
    preset: Annotated[str, Flag("IG-LLM's: tiny (default), small, paper, or a .toml file")] = "tiny"
    settings: Annotated[
        Sequence[str],
        Flag("change a setting of training, of all models; may be repeated", "KEY=VALUE", setting, "set", more={"action": "append"}),
    ] = ()
    scale: Annotated["partial[Scale]", FlagsOf("render.evals.declaration:Scale", defaults=False)]
    workers: Workers = None
    device: Device = "auto"

    @staticmethod
    def epilog() -> str:
        from render.evals.catalogue import catalogue_text

        return catalogue_text()

    def run(self) -> None:
        from render.evals.catalogue import asked, scale_of, scale_text
        from render.evals.results import PICTURES, PLOTS, TABLE
        from render.evals.run import evaluate

        given = self.scale.keywords
        evaluation, plan = asked(self.name, self.preset, once_each(self.settings), self.methods, **given)
        print_line(f"eval: {self.name} with {scale_text(scale_of(self.name, self.preset, **given))}")
        evaluate(evaluation, plan, self.out, cells=self.cells, workers=self.workers, device=self.device)
        for name in (TABLE, PLOTS, PICTURES, *evaluation.figures):
            print(f"{os.path.abspath(self.out / name)}")


@dataclass(frozen=True, kw_only=True)
class Demo(Verb):
    """New scenes through the shipped model and back, in minutes.

    Generate new CLEVR scenes, read them with the shipped model, re-render what it wrote, compare, and write a page. Then train the model a
    little further on a few hundred renders, to see the trainer at work, and take the scenes around again.
    """

    out: Annotated[Path, Flag("folder for everything", None, run_to_write)] = Path("demo")
    workers: Workers = None
    device: Device = "auto"

    def run(self) -> None:
        from render.demo import demo

        run_to_write(str(self.out))  # the parser has checked a given folder, but not the default
        _print_scores("demo", demo(self.out, self.workers, self.device), self.out / "report")
        print(f"to try it yourself, with an image of yours or these: {_this_command()} studio --data {shlex.quote(str(self.out / 'new'))}")


def _this_command() -> str:
    """How this command was called, to call it again."""
    called = sys.argv[0]
    return shlex.quote(called) if os.path.basename(called) == "igllm" and os.sep in called else "igllm"


def _print_scores(verb: str, metrics: dict[str, Any], out: Path) -> None:
    _print_summary(metrics, verb)
    _print_places(out)


def _print_places(out: Path) -> None:
    from render.report import METRICS
    from render.sides import PAGE

    print(f"all scores: {os.path.abspath(out / METRICS)}")
    print(f"report: {os.path.abspath(out / PAGE)}")


def _print_summary(metrics: dict[str, Any], verb: str) -> None:
    """Print the scores, and a warning on stderr if no code can be read, or names an object."""
    from render.summary import summary_text

    print(summary_text(metrics))
    readable = metrics["samples"] - metrics["missing"] - metrics["unparsable"]
    if metrics["unparsable"] and not readable:
        warning = "no code can be read: is it of another domain, or of another program?"
        print_line(f"igllm {verb}: warning: {warning}")
    elif readable and not metrics["scene"]["guessed"]:
        print_line(f"igllm {verb}: warning: {nothing_named(readable)}")
