"""What becomes of images that a model reads, and what all that reads images has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from datagen.code.predictions import Prediction
from datagen.domains.base import Domain
from datagen.domains.registry import get_domain
from datagen.errors import ImageError, UserError
from datagen.shards.pictures import Pictures
from model.load import DERENDER, check_config
from model.prediction.certainty.calibration import CALIBRATION_FILE
from model.prediction.decoding import Decoding


class ImageFile(NamedTuple):
    """The content of an image's file, or the ``error`` of reading it; ``name`` is the image's name in messages."""

    key: str
    name: str
    content: bytes = b""
    error: str = ""

    @staticmethod
    def read(images: Pictures, key: str) -> ImageFile:
        """The file of an image."""
        try:
            return ImageFile(key, images.name(key), images.encoded(key))
        except ImageError as error:
            return ImageFile(key, images.name(key), error=str(error))


class Outcome(Struct, frozen=True):
    """What has become of an image: a prediction, or the reason why it was ``skipped``. ``sha256`` is that of its file."""

    key: str
    prediction: Prediction | None = None
    skipped: str = ""
    sha256: str = ""


class ModelFacts:
    """What a model's configuration says of it: ``name`` is its folder, ``domain`` the name of the domain whose code it writes, and
    ``gives_one`` says that it has one answer to an image."""

    name: str
    domain: str
    gives_one = False

    @staticmethod
    def stated_in(folder: Path) -> ModelFacts:
        """The facts of the model in a folder, which need not be loaded for them; `UserError` if there is none."""
        facts, config = ModelFacts(), check_config(folder)
        facts.name, facts.domain, facts.gives_one = str(folder), config["domain"], config["model_type"] == DERENDER
        return facts

    def check(self, decoding: Decoding) -> None:
        """`UserError` if this model does not support these settings."""
        if self.gives_one and (decoding.samples > 1 or decoding.beams > 1 or decoding.temperature is not None):
            raise UserError("a de-rendering model has one answer to an image: leave out --samples, --temperature and --beams")
        if decoding.intervals and (self.gives_one or not (Path(self.name) / CALIBRATION_FILE).is_file()):
            how = "a de-rendering model states none" if self.gives_one else f"it has no {CALIBRATION_FILE}; igllm calibrate makes it"
            raise UserError(f"--intervals: {self.name}: {how}")

    def foreign(self, domain: Domain) -> str | None:
        """The reason why this model's code is not of a domain, None if it is: the names of statements and arguments must be the same."""
        own = get_domain(self.domain)
        if _arguments(own) == _arguments(domain):
            return None
        return f"the model {self.name} writes code of the domain {own.name}, and the data are of {domain.name}"

    def refuse_foreign(self, domain: Domain) -> None:
        """`UserError` if this model's code is not of a domain."""
        if reason := self.foreign(domain):
            raise UserError(f"{reason}; choose a model that was trained on such scenes")


class ImageReader(ModelFacts, ABC):
    """A trained model that reads images, wherever it runs. ``digest`` is the SHA-256 of its files."""

    digest: str

    @property
    def leads(self) -> bool:
        """Whether this process gets the outcomes: of several processes that share images, the first one does."""
        return True

    @abstractmethod
    def outcomes(self, images: Pictures, done: Collection[str], batch_size: int, decoding: Decoding) -> Generator[Outcome, None, None]:
        """The outcome of each image whose key is not ``done``, in order of completion."""


def _arguments(domain: Domain) -> dict[str, list[str]]:
    """The names of a domain's statements, each with the sorted names of its arguments."""
    return {statement.name: sorted(argument.name for argument in statement.arguments) for statement in domain.statements}


def batches(keys: Sequence[str], done: Collection[str], size: int) -> list[list[str]]:
    """The keys that are not ``done``, in batches.

    A batch depends on all keys and its size alone, not on what is done or cannot be read: the last digits of a prediction may depend on
    the other images of its batch.
    """
    source = iter(keys)
    every = iter(lambda: list(islice(source, size)), [])
    return [batch for whole in every if (batch := [key for key in whole if key not in done])]
