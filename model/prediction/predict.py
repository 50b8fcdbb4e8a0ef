"""Prediction of the code of images by a trained model, into ``pred.jsonl``."""

from __future__ import annotations

import hashlib
import json
import sys
from abc import abstractmethod
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import torch
from tqdm import tqdm

from datagen.code.predictions import Prediction, write_predictions
from datagen.errors import ImageError, UserError
from datagen.images.encoding import decode_image
from datagen.io.files import check_file
from datagen.io.locks import hold
from datagen.io.progress import progress
from datagen.io.ranges import counted
from datagen.shards.pictures import Pictures
from model.data.frames import Frame
from model.derender.decode import write_perceived
from model.derender.derenderer import Derenderer
from model.load import Loaded, is_shipped, load_model
from model.prediction.certainty.calibration import read_calibration, with_calibration
from model.prediction.certainty.raw import Raw
from model.prediction.decode import GREEDY, decode
from model.prediction.decoding import Decoding
from model.prediction.outcomes import ImageFile, ImageReader, Outcome, batches
from model.prediction.partial import Partial
from model.processes import Team
from model.tables import reason
from model.tokens.prompts import prompt_tokens


class Predictor(ImageReader):
    """A trained model in this process that predicts the code of images. Make one by `of` from a folder, or by `around` from a loaded model.

    The processes of a ``team``, each of which has one, share the images.
    """

    most_images = Loaded.most_images
    team = Team()

    def __init__(self, loaded: Loaded) -> None:
        self.name, self.model, self.domain = loaded.name, loaded.model, loaded.model.config.domain
        self.digest = with_calibration(loaded.digest, Path(loaded.name))
        self.most_images = loaded.most_images
        self.frame = Frame.of(self.model.config)

    @staticmethod
    def of(folder: Path, device: str = "auto", team: Team | None = None) -> Predictor:
        """The predictor of the model in a folder; `UserError` if the folder has no model or a damaged one."""
        predictor = Predictor.around(load_model(folder, device))
        predictor.team = team or Team()
        return predictor

    @staticmethod
    def around(loaded: Loaded) -> Predictor:
        """The predictor of a loaded model, of the subclass for its kind."""
        return DerenderPredictor(loaded) if isinstance(loaded.model, Derenderer) else CodePredictor(loaded)

    @property
    def leads(self) -> bool:
        return self.team.leads

    def outcomes(self, images: Pictures, done: Collection[str], batch_size: int, decoding: Decoding) -> Generator[Outcome, None, None]:
        """As for any `ImageReader`; the processes of a team, which must all call this, agree on what the first one says is ``done``."""
        size = min(batch_size, self.most_images)
        if self.team.launch.count > 1:
            done = self._agreed(images.keys, done, [version("igllm"), self.digest, size, asdict(decoding)])
        todo = batches(images.keys, done, size)

        def work(number: int) -> Iterator[bytes]:
            return map(msgspec.json.encode, self.outcomes_of([ImageFile.read(images, key) for key in todo[number]], decoding))

        for outcome in self.team.shared(len(todo), work):
            yield msgspec.json.decode(outcome, type=Outcome)

    def _agreed(self, keys: Sequence[str], done: Collection[str], facts: list[object]) -> set[str]:
        """The keys that the team's first process says are done; `UserError` if another one has other ``keys`` or other ``facts``."""
        digest = hashlib.sha256(json.dumps([keys, facts]).encode()).digest()
        if self.team.leads:
            self.team.put("plan", digest + np.packbits([key in done for key in keys]).tobytes())
            return set(done)
        plan = self.team.get("plan")
        if plan[: len(digest)] != digest:
            others = "has other images, another model or other settings than process 0"
            raise UserError(f"process {self.team.launch.rank} {others}: all processes of a call must be given, and see, the same files")
        bits = np.unpackbits(np.frombuffer(plan[len(digest) :], np.uint8), count=len(keys))
        return {key for key, bit in zip(keys, bits, strict=True) if bit}

    def outcomes_of(self, batch: Sequence[ImageFile], decoding: Decoding = GREEDY) -> list[Outcome]:
        """The outcomes of a batch of image files, in order."""
        skipped = {file.key: file.error for file in batch if file.error}

        def readable() -> Iterator[tuple[str, np.ndarray]]:
            for file in batch:
                try:
                    if file.key not in skipped:
                        yield file.key, decode_image(file.content, file.name)
                except ImageError as error:
                    skipped[file.key] = str(error)

        found = {prediction.key: prediction for prediction in self.predict(readable(), len(batch), decoding)}
        return [Outcome(one.key, found.get(one.key), skipped.get(one.key, ""), hashlib.sha256(one.content).hexdigest()) for one in batch]

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        """The predictions of images, each a key and (height, width, 3) uint8 pixels, in order; several samples become its candidates.

        A batch has ``batch_size`` images, or `Loaded.most_images` if that is fewer.
        """
        self.check(decoding)
        source = iter(images)
        while batch := list(islice(source, min(batch_size, self.most_images))):
            tensors = torch.stack([self.frame.tensor(self.frame.fit(pixels)[0]) for _, pixels in batch])
            with self._blamed(len(batch)):
                found = list(self._read([key for key, _ in batch], tensors.to(self.model.device, self.model.dtype), decoding))
            yield from found

    @contextmanager
    def _blamed(self, images: int) -> Iterator[None]:
        """Turn a lack of memory and, for a model that is not shipped, any error of torch into a `UserError`. A model that could be loaded
        may fail to compute, as no weight shows some of its settings, such as attention windows or layers that leave nothing of an image."""
        try:
            yield
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
                message = f"there is not enough memory for {counted(images, 'image')} at a time; give a smaller --batch-size"
                raise UserError(message) from None
            if isinstance(error, UserError | OSError) or is_shipped(Path(self.name)):
                raise
            why = f"its configuration and weights do not go together ({reason(error)})"
            raise UserError(f"{self.name}: this model cannot be run: {why}") from error

    @abstractmethod
    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        """The predictions of a batch (batch, 3, height, width)."""


class CodePredictor(Predictor):
    """Predicts with an `IGLLM`, token by token; ``calibrated`` by what lies beside it, if that is not to be made anew."""

    def __init__(self, loaded: Loaded, *, calibrated: bool = True) -> None:
        super().__init__(loaded)
        assert loaded.codec is not None
        self.codec = loaded.codec
        self.prompt = prompt_tokens(self.codec.tokenizer, [self.model.config.prompt]).asked[0]

        folder, domain = Path(loaded.name), self.codec.domain
        self.calibration = read_calibration(folder, loaded.digest, domain) if calibrated else None

    def raw(self, pixel_values: torch.Tensor) -> list[Raw]:
        """What greedy decoding says of each image of a batch (batch, 3, height, width), before calibration."""
        return [Raw.of(one, self.codec, spans=True) for one in decode(self.model, self.codec, pixel_values, self.prompt)]

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        decoded = decode(self.model, self.codec, pixel_values, self.prompt, decoding=decoding, keys=keys)
        for key, one in zip(keys, decoded, strict=True):
            candidates = one.candidates if decoding.samples > 1 else None
            if self.calibration is None:
                yield Prediction(key, one.code, confidence=one.confidence, candidates=candidates)
            else:
                yield self.calibration.prediction(key, Raw.of(one, self.codec, spans=decoding.intervals), candidates)


class DerenderPredictor(Predictor):
    """Predicts with a `Derenderer`, which gives one code for an image."""

    gives_one = True

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        for key, (code, confidence) in zip(keys, write_perceived(self.model, pixel_values), strict=True):
            yield Prediction(key, code, confidence=confidence)


def predict_images(
    reader: ImageReader, images: Pictures, batch_size: int = 32, decoding: Decoding = GREEDY
) -> tuple[list[Prediction], dict[str, str]]:
    """The predictions of all images that can be read, and by key the reasons why the others cannot, which are also printed on stderr.

    Where processes share the images, all but the first one get none.
    """
    reader.check(decoding)
    found = {outcome.key: outcome for outcome in _outcomes(reader, images, (), batch_size, decoding)}
    in_order = [found[key] for key in images.keys if key in found]
    return [one.prediction for one in in_order if one.prediction], {one.key: one.skipped for one in in_order if not one.prediction}


def predict_file(
    reader: ImageReader,
    images: Pictures,
    out: Path,
    batch_size: int = 32,
    decoding: Decoding = GREEDY,
    *,
    write: Callable[[Path, Iterable[Prediction]], None] = write_predictions,
) -> dict[str, str]:
    """Write ``pred.jsonl`` for all images that can be read. The reasons why others cannot are printed on stderr, and returned by key.

    Predictions of an interrupted call with the same model and settings are kept where the image is still the same. `UserError` while
    another call writes the same file, or if a folder is in its place. ``write`` writes the finished predictions. Where processes share the
    images, the first one writes.
    """
    reader.check(decoding)
    if not reader.leads:
        list(reader.outcomes(images, (), batch_size, decoding))
        return {}
    check_file(out)
    with hold(out):
        partial = Partial(out.with_name(f".{out.name}.partial"), reader.digest, decoding)
        partial.take_up(images)
        skipped: dict[str, str] = {}
        with partial.appending(), closing(_outcomes(reader, images, partial.predictions.keys(), batch_size, decoding)) as outcomes:
            for outcome in outcomes:
                if outcome.prediction is None:
                    skipped[outcome.key] = outcome.skipped
                else:
                    partial.add(outcome.prediction, outcome.sha256)
        write(out, (partial.predictions[key] for key in images.keys if key not in skipped))
        partial.path.unlink()
        return {key: skipped[key] for key in images.keys if key in skipped}


def _outcomes(
    reader: ImageReader, images: Pictures, done: Collection[str], batch_size: int, decoding: Decoding
) -> Generator[Outcome, None, None]:
    """The outcomes of the images whose keys are not ``done``, of which progress and problems are printed."""
    with closing(reader.outcomes(images, set(done), batch_size, decoding)) as outcomes:
        for outcome in progress(outcomes, sum(key not in done for key in images.keys), "predict"):
            if outcome.prediction is None:
                tqdm.write(f"predict: skipped: {outcome.skipped}", file=sys.stderr)
            yield outcome
