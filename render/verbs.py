"""The verbs that render and score code, and the verb for training, which can render samples. Heavy imports are made when a verb runs."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from datagen.commandline import Verb, folder_to_write, once_each, place, run_to_write, samples_to_write, setting
from datagen.errors import UserError
from datagen.flags import Flag, FlagsOf, positive, words
from datagen.io.ranges import counted
from datagen.scene import Quality
from datagen.screen import print_line
from datagen.verbs import Executor, MaxPixels, Place, RayAddress, Workers, on_ray
from model.verbs import BatchSize, Device, Model, TrainingVerb, image_reader, nothing_named

if TYPE_CHECKING:
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
class Render(Verb):
    """Render graphics code.

    Render code, from a pred.jsonl or a file of your own, into {key}.png, .py and .json. With --data, size, quality, camera and light are
    those that the data set has for the same key; the scene comes from the code alone. Call again to go on after an interruption.
    """

    code: Annotated[Path, Flag("pred.jsonl, or a .py file of graphics code")]
    out: Annotated[Path, Flag("folder for the pictures", None, samples_to_write)]
    data: Annotated[Place | None, Flag("data set whose size, quality, camera and light to use", "DIR|URL", place)] = None
    lighting: Annotated[
        Literal["canonical", "recorded"] | None,
        Flag("recorded: the light of --data (default with it); canonical: the standard light of the domain"),
    ] = None
    domain: Annotated[str, Flag("kind of scene, where no --data says it")] = "clevr"
    width: Annotated[int | None, Flag("width of the images, pixels (default: the sample's; 320 without --data)", "N", positive)] = None
    height: Annotated[int | None, Flag("height of the images, pixels (default: the sample's; 240 without --data)", "N", positive)] = None
    quality: Annotated[
        Quality | None, Flag("draft is quick and grainy, reference slow and clean (default: the sample's; standard without --data)")
    ] = None
    blend: Annotated[bool, Flag("also write {key}.blend: the scene, to open in Blender")] = False
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Workers = None
    max_pixels: MaxPixels = None

    def run(self) -> int:
        from datagen.shards.reader import Samples
        from render.rerender import Recorded, Standard, read_codes, render_codes

        ray = on_ray(self.executor, self.ray_address, self.workers)
        frame = {name: value for name in ("width", "height", "quality") if (value := getattr(self, name)) is not None}
        if self.data and frame:
            raise UserError(f"--{next(iter(frame))} and --data exclude each other: with --data the frame is the sample's")
        if self.lighting == "recorded" and not self.data:
            raise UserError("--lighting recorded needs --data, the data set that recorded it")
        shots = Recorded(Samples(self.data), self.lighting == "canonical") if self.data else Standard(self.domain, **frame)
        codes = read_codes(self.code)
        alone = self.code.suffix == ".jsonl"  # a folder of predictions is of one file alone; .py files may share a folder
        rendered = render_codes(codes, shots, self.out, workers=self.workers, blend=self.blend, clear=alone, ray=ray)
        for warning in rendered.warnings:
            print_line(f"igllm render: warning: {warning}")
        for key, reason in rendered.refused.items():
            named = "" if self.code.suffix == ".py" else f" {key}:"
            print_line(f"igllm render: {self.code}:{named} {reason}")
        for count, fate in ((rendered.removed, "removed: not of this code"), (rendered.others, "kept: not of this code")):
            if count:
                print_line(f"igllm render: {self.out}: {counted(count, 'older picture')} {fate}")
        refused = f", {len(rendered.refused)} refused" if rendered.refused else ""
        print(f"{self.out}: {counted(len(rendered.keys), 'picture')}{refused}")
        return 2 if rendered.refused and not rendered.keys else 0


@dataclass(frozen=True, kw_only=True)
class Compare(Verb):
    """Score code and pictures against the truth.

    Match the scenes of two sides object by object, score them, score the images where both sides have them, and write a report
    (metrics.json, index.html, pictures). Either side is a data set, a folder of rendered code, or a pred.jsonl (scenes only).
    """

    reference: Annotated[Path, Flag("the truth: one of these three", "TRUTH")]
    candidate: Annotated[Path, Flag("what to score: one of these three", "ANSWER")]
    out: Annotated[Path, Flag("folder of the report", None, folder_to_write)]
    domain: Annotated[str, Flag("kind of scene, if both sides are a pred.jsonl, which does not say it")] = "clevr"
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from render.compare import compare

        _print_scores("compare", compare(self.reference, self.candidate, self.out, kind=self.domain), self.out)


@dataclass(frozen=True, kw_only=True)
class Roundtrip(Verb):
    """Predict, render and compare in one go.

    Predict the code of a data set's images, render it under the light that the data set has for each, compare, and write a report. The
    report's folder keeps pred.jsonl and rendered/. Call again to go on after an interruption.
    """

    model: Model = None
    batch_size: BatchSize = 32
    device: Device = "auto"
    data: Annotated[Path, Flag("data set to read", "DIR")]
    num: Annotated[int | None, Flag("only its first NUM samples", None, positive)] = None
    out: Annotated[Path, Flag("folder of the report", None, folder_to_write)]
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Workers = None
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from datagen.shards.pictures import DatasetImages
        from model.load import find_model
        from model.prediction.outcomes import ModelFacts
        from render.roundtrip import check_roundtrip_folder, roundtrip

        ray = on_ray(self.executor, self.ray_address, self.workers)
        check_roundtrip_folder(self.out)  # cheap checks come before the model is loaded
        model = find_model(self.model)
        images = DatasetImages(self.data, self.num)
        ModelFacts.stated_in(model).refuse_foreign(images.samples.at(0).domain)
        with image_reader(model, self.device, ray) as reader:
            metrics = roundtrip(reader, images.samples, self.out, num=self.num, batch_size=self.batch_size, workers=self.workers, ray=ray)
        _print_scores("roundtrip", metrics, self.out)


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
        print_line(f"igllm {verb}: warning: {nothing_named(readable)}")
