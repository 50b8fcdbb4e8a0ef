"""The models that read images as code, one for each domain, loaded in the background so that the page opens at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from datagen.workers.cores import available_cores
from model.prediction.decoding import Decoding
from render.studio.asked import Reading
from render.studio.blender import WORKERS

if TYPE_CHECKING:
    from model.prediction.predict import Predictor


SHIPPED = "clevr"
"""The domain of the shipped model."""
CANDIDATES = 4
"""Codes that are sought for an image: the likeliest is shown, the others are for its refinement."""


@dataclass
class Reader:
    """The model of a name or run folder, None for the shipped one. ``state`` is loading, ready, or failed for the reason ``problem``."""

    name: str | None
    domain: str
    state: str = "loading"
    problem: str = ""
    predictor: Predictor | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def load(self, device: str) -> None:
        """Load the model, and let it read a blank image, since the first one takes longer than others."""
        try:
            import torch

            from model.load import find_model
            from model.prediction.predict import Predictor

            # Threads of PyTorch and of Blender that want the same cores wait for each other: a reading then takes ten times as long.
            torch.set_num_threads(max(1, len(available_cores()) // WORKERS))
            self.predictor = Predictor.of(find_model(self.name), device)
            self._predicted(np.full((240, 320, 3), 128, np.uint8))
            self.state = "ready"
        except UserError as error:
            self.state, self.problem = "failed", str(error)
        except Exception as error:  # the page must learn of it: the thread has nobody else to tell
            self.state, self.problem = "failed", f"{type(error).__name__}: {error}"
        finally:
            self.done.set()

    def read(self, pixels: np.ndarray) -> Prediction:
        """The prediction for an image (h, w, 3) uint8, once the model is loaded; `UserError` if it could not be."""
        self.done.wait()
        if self.state != "ready":
            raise UserError(f"the model cannot be used: {self.problem}")
        return self._predicted(pixels)

    def _predicted(self, pixels: np.ndarray) -> Prediction:
        assert self.predictor is not None
        decoding = Decoding() if self.predictor.gives_one else Decoding(samples=CANDIDATES, beams=CANDIDATES)
        [prediction] = self.predictor.predict([("image", pixels)], decoding=decoding)
        return prediction


class Readers:
    """The models of the studio, by the domain whose code they write."""

    def __init__(self, names: Sequence[str], device: str) -> None:
        """``names`` are those of shipped models, and run folders; without any, the shipped one is taken, unseen until it is loaded.

        `UserError` if one is no model, or two write code of one domain."""
        self._device = device
        self._by_domain: dict[str, Reader] = {} if names else {SHIPPED: Reader(None, SHIPPED)}
        for name in names:
            from model.load import find_model
            from model.prediction.outcomes import ModelFacts

            domain = ModelFacts.stated_in(find_model(name)).domain
            if domain in self._by_domain:
                both = f"{self._by_domain[domain].name} and {name}"
                raise UserError(f"--model: {both} both write code of the domain {domain}; give one of them")
            self._by_domain[domain] = Reader(name, domain)

    def load(self) -> None:
        """Load all models, one after the other."""
        for reader in self._by_domain.values():
            reader.load(self._device)

    def facts(self) -> dict[str, dict[str, str]]:
        """Name, state and problem of each model, by domain."""
        return {
            domain: {"name": Path(one.name or "tiny").name, "state": one.state, "problem": one.problem}
            for domain, one in self._by_domain.items()
        }

    @property
    def all(self) -> list[Reader]:
        """All of them."""
        return list(self._by_domain.values())

    @property
    def domains(self) -> list[str]:
        """The domains whose images can be read."""
        return list(self._by_domain)

    def read(self, pixels: np.ndarray, domain: str) -> Reading:
        """What the domain's model says of an image; `UserError` without such a model."""
        reader = self._by_domain.get(domain)
        if reader is None:
            known = ", ".join(self._by_domain) or "none"
            raise UserError(
                f"no model here reads images of the domain {domain} (there is one for: {known}); start the studio with --model RUN, a run "
                "that was trained on such images"
            )
        prediction = reader.read(pixels)
        confidence = None if prediction.confidence is None else list(prediction.confidence)
        others = [one.code for one in (prediction.candidates or ())[1:]]
        return Reading(prediction.code, confidence, others, prediction.looks_like_domain)
