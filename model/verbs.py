"""The verbs that train models and predict with them. They import their libraries when they run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from datagen.commandline import Verb, file_to_write, once_each, place, run_to_write, setting
from datagen.errors import UserError
from datagen.flags import Flag, FlagsOf, number, positive
from datagen.io.ranges import counted
from datagen.screen import print_line
from datagen.verbs import Executor, MaxPixels, Place, RayAddress, on_ray

if TYPE_CHECKING:
    from datagen.code.predictions import Prediction
    from datagen.workers.ray_cluster import OnRay
    from model.prediction.decoding import Decoding
    from model.prediction.outcomes import ImageReader
    from model.preset import Preset, Stage

Device = Annotated[str, Flag("where the model runs: auto, cpu, cuda, mps")]
Model = Annotated[str | None, Flag("a shipped model's name, or a run folder (default: the shipped tiny)", "NAME|RUN")]
BatchSize = Annotated[int, Flag("images read at a time; fewer need less memory", read=positive)]
RayWorkers = Annotated[
    int | None, Flag("with --executor ray: processes that read, each with the model (default: one a CPU or GPU)", "N", positive)
]
REPEATED = {"action": "append"}


@dataclass(frozen=True, kw_only=True)
class TrainingVerb(Verb):
    """The flags that all verbs of training share."""

    shared = True
    preset: Annotated[str, Flag("tiny (default; no download), small, paper, derender, or a .toml file like theirs")] = "tiny"
    data: Annotated[Sequence[Place], Flag("data set to learn from, a folder or a URL; may be repeated", None, place, more=REPEATED)]
    weight: Annotated[
        Sequence[float], Flag("share of each --data, in their order (default: by their sizes)", None, number, more=REPEATED)
    ] = ()
    val: Annotated[
        Place | None, Flag("data set to measure the loss on; train refuses one that shares a scene with --data", None, place)
    ] = None
    out: Annotated[Path, Flag("run folder", None, run_to_write)]
    vision_model: Annotated[str | None, Flag("pretrained vision tower: hub name or folder (default: the preset's)", "NAME|DIR")] = None
    language_model: Annotated[str | None, Flag("pretrained language model: hub name or folder (default: the preset's)", "NAME|DIR")] = None
    steps: Annotated[int | None, Flag("optimizer steps (default: the preset's, which are those of training)", None, positive)] = None
    batch_size: Annotated[int | None, Flag("samples in a batch on one device (default: the preset's)", None, positive)] = None
    settings: Annotated[Sequence[str], Flag("change a setting; may be repeated", "KEY=VALUE", setting, "set", more=REPEATED)] = ()
    device: Device = "auto"

    @staticmethod
    def epilog() -> str:
        from model.preset import get_preset, settings

        tiny = get_preset("tiny").to_json()
        rows = [f"  {each.key:37} {each.help} (tiny: {tiny[each.name]})" for each in settings().values()]
        return "settings for --set, with their groups or without (steps=5000):\n" + "\n".join(rows)

    def asked_preset(self, stage: "Stage", **more: Any) -> "Preset":
        """The preset, changed by the flags and by ``more`` settings. `UserError`, before torch is imported, for what no stage of this kind
        can be trained with, and unless each --data or none has a --weight."""
        from model.preset import get_preset

        if self.weight and len(self.weight) != len(self.data):
            raise UserError(f"{len(self.weight)} --weight for {len(self.data)} --data: give one for each")
        batch_size = "align_batch_size" if stage == "align" else "batch_size"
        flags = {"steps": self.steps, "vision_model": self.vision_model, "language_model": self.language_model}
        stated = {**flags, batch_size: self.batch_size, **more}
        changes = [f"{key}={value}" for key, value in stated.items() if value is not None]
        preset = get_preset(self.preset).changed([*once_each(self.settings), *changes])
        preset.check_stage(stage, getattr(self, "init", None))
        return preset

    def asked(self) -> dict[str, Any]:
        """The arguments of a training function beside the preset."""
        from model.training.train import Data

        data = Data(self.data, self.weight or None, self.val)
        return {"name": Path(self.preset).stem, "data": data, "out": self.out, "device": self.device}


@dataclass(frozen=True, kw_only=True)
class Pretrain(TrainingVerb):
    """Teach a tower from scratch to see.

    Train the vision tower alone, without the language model: what object has its centre in which cell of the image, as the labels of every
    sample tell. Then: igllm train --init RUN.
    """

    init: Annotated[str | None, Flag("begin with the weights of this run, such as a pretraining on something easier", "RUN")] = None

    def run(self) -> None:
        preset = self.asked_preset("pretrain")
        from model.training.train import pretrain

        pretrain(preset, **self.asked(), init=self.init)
        print(f"{self.out}: pretrained for {counted(preset.optimisation.steps, 'step')}")


@dataclass(frozen=True, kw_only=True)
class Align(TrainingVerb):
    """Teach a new projector a language model's words.

    Train the projector alone on images and captions, tower and language model frozen: LLaVA's first stage. --data takes WebDataset tars of
    images and .txt, as Conceptual Captions is distributed, or a data set made with --captions. Then: igllm train --init RUN.
    """

    max_pixels: MaxPixels = None

    def run(self) -> None:
        preset = self.asked_preset("align")
        from model.training.train import align

        align(preset, **self.asked())
        print(f"{self.out}: aligned for {counted(preset.optimisation.steps, 'step')}")


@dataclass(frozen=True, kw_only=True)
class Predict(Verb):
    """Write the graphics code of images.

    Read images with a trained model and write pred.jsonl: for each image its key, the graphics code of its scene, and how sure the model is
    of each object, from 0 to 1. Call again to go on after an interruption. On several GPUs: torchrun --no-python --nproc-per-node 8 igllm
    predict ...
    """

    shared = True
    model: Model = None
    batch_size: BatchSize = 32
    device: Device = "auto"
    data: Annotated[Place | None, Flag("read the images of this data set", "DIR|URL", place, one_of=True)] = None
    images: Annotated[
        Sequence[Path], Flag("read these image files, and those in these folders", "FILE", Path, one_of=True, more={"nargs": "+"})
    ] = ()
    out: Annotated[Path | None, Flag("the pred.jsonl to write (default, with --images: the code is printed)", None, file_to_write)] = None
    decoding: Annotated["partial[Decoding]", FlagsOf("model.prediction.decoding:Decoding")]
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: RayWorkers = None
    max_pixels: MaxPixels = None

    def run(self) -> int:
        from model.processes import launched

        if self.out is None and self.data:
            raise UserError("--data needs --out, the pred.jsonl to write")
        ray = on_ray(self.executor, self.ray_address, self.workers)
        if ray and launched().count > 1:
            raise UserError("--executor ray starts processes of its own: call it without torchrun or accelerate launch")
        if self.workers and not ray:
            raise UserError("--workers goes with --executor ray: here, one process reads the images, or as many as torchrun starts")
        decoding = self._decoding()
        from datagen.code.predictions import read_predictions
        from datagen.code.printed import printed
        from datagen.shards.pictures import DatasetImages, ImageFiles
        from model.load import find_model
        from model.prediction.outcomes import ModelFacts
        from model.prediction.predict import predict_file, predict_images

        model = find_model(self.model)
        facts = ModelFacts.stated_in(model)
        facts.check(decoding)
        images = DatasetImages(self.data) if self.data else ImageFiles(asked_images("predict", self.images, self.out))
        if isinstance(images, DatasetImages) and (reason := facts.foreign(images.samples.at(0).domain)):
            print_line(f"igllm predict: warning: {reason}")
        with image_reader(model, self.device, ray, shared=True) as reader:
            if self.out is None:
                predictions, skipped = predict_images(reader, images, self.batch_size, decoding)
            else:
                skipped = predict_file(reader, images, self.out, self.batch_size, decoding)
            if not reader.leads:
                return 0
        if self.out is None:
            for prediction in predictions:
                print(printed(prediction, keyed=len(predictions) > 1), end="")
        else:
            predictions = list(read_predictions(self.out).values())
        for warning in warnings_of(predictions, facts.domain):
            print_line(f"igllm predict: warning: {warning}")
        if self.out is not None:
            without = f", {counted(len(skipped), 'image')} skipped" if skipped else ""
            print(f"{self.out}: {counted(len(predictions), 'prediction')}{without}")
        return 2 if skipped and not predictions else 0

    def _decoding(self) -> "Decoding":
        """The decoding settings; several samples without a temperature come from a search with at least as many beams."""
        from model.prediction.decoding import Decoding

        if "intervals" in self.decoding.keywords and self.out is None:
            raise UserError("--intervals needs --out, the pred.jsonl that holds them")

        stated = self.decoding.keywords
        samples, beams = stated.get("samples", Decoding.samples), stated.get("beams", Decoding.beams)
        return self.decoding(beams=max(samples, beams) if samples > 1 and "temperature" not in stated else beams)


@dataclass(frozen=True, kw_only=True)
class Calibrate(Verb):
    """Teach a model how sure it may be.

    Read scenes that the model was not trained on, and write calibration.json into its folder. With it, predict states confidences that are
    as often right as they say, intervals (--intervals), and whether an image looks like the domain's at all. Call again to go on after an
    interruption.
    """

    model: Annotated[str, Flag("the run folder, or folder of a model, to calibrate", "RUN")]
    data: Annotated[
        Place, Flag("data set to calibrate on: scenes as the model will meet them, none of which it was trained on", None, place)
    ]
    alike: Annotated[
        Sequence[Place],
        Flag(
            "further scenes whose images look like the domain's: other sizes, qualities, cameras; may be repeated",
            None,
            place,
            more=REPEATED,
        ),
    ] = ()
    others: Annotated[
        Sequence[Path], Flag("images, and folders of them, that are no scenes of the domain", "FILE", Path, more={"nargs": "+"})
    ] = ()
    batch_size: BatchSize = 32
    device: Device = "auto"
    max_pixels: MaxPixels = None

    def run(self) -> None:
        from datagen.shards.pictures import DatasetImages, ImageFiles
        from model.load import find_model
        from model.prediction.calibrate import calibrate

        folder = find_model(self.model)
        others = ImageFiles(asked_images("calibrate", self.others)) if self.others else None
        alike = [DatasetImages(one) for one in self.alike]
        stated = calibrate(folder, DatasetImages(self.data), alike, others, device=self.device, batch_size=self.batch_size)
        print(f"{folder}: calibrated on {counted(stated.images, 'image')}")


def asked_images(verb: str, named: Sequence[Path], out: Path | None = None) -> list[Path]:
    """The image files that --images names; prints which files of folders are left out. `UserError` if ``out``, to be written, is one."""
    from datagen.shards.pictures import find_images

    images, others = find_images(named)
    if out in images:
        raise UserError(f"{out}: is one of the images; name another file to write")
    if others:
        which = ", ".join(str(path) for path in others[:3]) + (", …" if len(others) > 3 else "")
        print_line(f"igllm {verb}: left out, as their names are not those of images: {which}")
    return images


@contextmanager
def image_reader(model: Path, device: str, ray: "OnRay | None", *, shared: bool = False) -> Iterator["ImageReader"]:
    """The model in a folder, ready to read images: on a Ray cluster, or in this process, which has its share of them if they are ``shared``
    among the processes that a launcher has started."""
    from model.prediction.cluster import reader_on
    from model.prediction.predict import Predictor
    from model.processes import Team

    if ray is None:
        yield Predictor.of(model, device, Team.of_launcher() if shared else None)
        return
    with reader_on(ray, model, device) as reader:
        yield reader


def nothing_named(count: int) -> str:
    """The warning that all ``count`` codes are empty."""
    which = "the one code is empty" if count == 1 else f"all {count} codes are empty"
    return f"{which}: no object is named. The model may have learnt too little, or other images than these."


def warnings_of(predictions: Sequence["Prediction"], domain: str) -> Iterator[str]:
    """What is to be said of predictions as a whole: no object is named, or images do not look like scenes of the model's domain."""
    if predictions and not any(prediction.code for prediction in predictions):
        yield nothing_named(len(predictions))
    strange = sum(prediction.looks_like_domain is False for prediction in predictions)
    if strange:
        which = f"{strange:,} of {len(predictions):,} images" if len(predictions) > 1 else "the image"
        what = f"does not look like a scene of {domain}" if strange == 1 else f"do not look like scenes of {domain}"
        yield f"{which} {what}; the code is the best that the model could write"
