"""Prediction on a Ray cluster: each worker loads the model and reads batches, whose images it is sent; the caller alone writes files."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import UserError
from datagen.shards.pictures import Pictures
from datagen.workers.ray_cluster import Crew, OnRay, ray_cluster
from model.load import file_digests, find_model, is_shipped, model_digest
from model.prediction.certainty.calibration import with_calibration
from model.prediction.decoding import Decoding
from model.prediction.outcomes import ImageFile, ImageReader, ModelFacts, Outcome, batches

if TYPE_CHECKING:
    from model.prediction.predict import Predictor


class ClusterReader(ImageReader):
    """The model in a folder, to read images on a Ray cluster. `UserError` if the folder, as seen from here, has no model."""

    def __init__(self, ray: Any, folder: Path, device: str, workers: int | None) -> None:
        facts = ModelFacts.stated_in(folder)
        self.name, self.domain, self.gives_one = facts.name, facts.domain, facts.gives_one
        self.digest = with_calibration(model_digest(file_digests(folder)), folder)
        self._ray, self._device, self._workers = ray, device, workers
        self._place = folder.name if is_shipped(folder) else folder.absolute()

    def outcomes(self, images: Pictures, done: Collection[str], batch_size: int, decoding: Decoding) -> Generator[Outcome, None, None]:
        """As for any `ImageReader`. The workers are dismissed in the end."""
        left = sum(key not in done for key in images.keys)
        if not left:
            return
        resources = self._ray.cluster_resources()
        on_gpus = self._device == "cuda" or (self._device == "auto" and resources.get("GPU", 0) >= 1)
        if on_gpus and resources.get("GPU", 0) < 1:
            raise UserError(f"--device {self._device}: the Ray cluster has no GPU")
        kind = self._ray.remote(num_cpus=1, num_gpus=int(on_gpus))(_Reader)
        device = ("cuda" if on_gpus else "cpu") if self._device == "auto" else self._device
        workers = self._workers or int(resources.get("GPU" if on_gpus else "CPU", 1))
        with Crew(self._ray, lambda: kind.remote(self._place, self.digest, device), min(workers, -(-left // batch_size))) as crew:
            todo = batches(images.keys, done, min(batch_size, crew.first_answer()))
            tasks = (([ImageFile.read(images, key) for key in batch], decoding) for batch in todo)
            for _, outcomes in crew.results(tasks):
                yield from outcomes


@contextmanager
def reader_on(on: OnRay, folder: Path, device: str = "auto") -> Iterator[ClusterReader]:
    """The model in a folder, to read images on a Ray cluster, which is there until the block ends."""
    with ray_cluster(on) as ray:
        yield ClusterReader(ray, folder, device, on.workers)


class _Reader:
    """A worker: it holds the model that the caller means, which is in a folder, or shipped with igllm under a name."""

    def __init__(self, place: Path | str, digest: str, device: str) -> None:
        self._place, self._digest, self._device = place, digest, device

    def start(self) -> tuple[int | None, str | None]:
        """Load the model; the number of images that it may read at a time, or the text of the error."""
        from model.prediction.predict import Predictor

        where = f"on {os.uname().nodename}"
        try:
            folder = find_model(self._place) if isinstance(self._place, str) else self._place
            if not folder.is_dir():
                raise UserError(f"{folder}: is not there {where}: on several machines, the model is in a folder that they share")
            self._predictor: Predictor = Predictor.of(folder, self._device)
        except UserError as error:
            return None, str(error) if where in str(error) else f"{error} ({where})"
        if self._predictor.digest != self._digest:
            return None, f"{folder}: is another model {where} than here: on several machines, the model is in a folder that they share"
        return self._predictor.most_images, None

    def work(self, task: tuple[Sequence[ImageFile], Decoding]) -> tuple[list[Outcome] | None, str | None]:
        """The outcomes of a batch, or the text of an error."""
        try:
            return self._predictor.outcomes_of(*task), None
        except UserError as error:
            return None, str(error)
