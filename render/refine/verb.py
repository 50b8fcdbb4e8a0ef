"""The verb that refines predictions. It imports its libraries when it runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from datagen.commandline import Verb, file_to_write, place
from datagen.errors import UserError
from datagen.flags import Flag, number, positive
from datagen.io.ranges import counted
from datagen.verbs import Executor, MaxPixels, Place, RayAddress, on_ray

LEAST_SECONDS, MOST_SECONDS = 1.0, 86_400.0


def _seconds(text: str) -> float:
    value = number(text)
    if not LEAST_SECONDS <= value <= MOST_SECONDS:
        raise UserError(f"{text}: from {LEAST_SECONDS:g} to {MOST_SECONDS:,.0f} seconds are possible")
    return value


@dataclass(frozen=True, kw_only=True)
class Refine(Verb):
    """Make predicted code explain its images better.

    Render each prediction, compare the frame with its image, and change the code until they agree as well as they can: numbers, words,
    missed and made-up objects, and the light, which no image brings along. What is written explains the image at least as well as what was
    given, and says what it has cost. Call again to go on after an interruption.
    """

    code: Annotated[Path, Flag("the pred.jsonl to refine")]
    data: Annotated[
        Place | None, Flag("data set of the images; its cameras are taken as known, its lamps are not used", "DIR|URL", place, one_of=True)
    ] = None
    images: Annotated[
        Sequence[Path], Flag("the image files, and those in these folders", "FILE", Path, one_of=True, more={"nargs": "+"})
    ] = ()
    out: Annotated[Path, Flag("the refined.jsonl to write", None, file_to_write)]
    camera: Annotated[
        Literal["known", "free"], Flag("known: that of --data, or the domain's standard one; free: it is estimated, beginning there")
    ] = "known"
    domain: Annotated[str, Flag("kind of scene, where no --data says it")] = "clevr"
    seconds: Annotated[float, Flag("spend at most so many seconds on a scene", "S", _seconds)] = 20.0
    renders: Annotated[int | None, Flag("render at most so many frames, or parts of frames, for a scene", "N", positive)] = None
    executor: Executor = "local"
    ray_address: RayAddress = None
    workers: Annotated[int | None, Flag("scenes refined at a time (default: one a core)", "N", positive)] = None
    max_pixels: MaxPixels = None

    def run(self) -> int:
        from datagen.code.predictions import read_predictions
        from datagen.shards.pictures import DatasetImages, ImageFiles, find_images
        from render.refine.refine import RefineSettings
        from render.refine.run import refine_file
        from render.refine.sources import Sources

        ray = on_ray(self.executor, self.ray_address, self.workers)
        predictions = read_predictions(self.code)
        images = DatasetImages(self.data) if self.data else ImageFiles(find_images(self.images)[0])
        how = RefineSettings(self.seconds, self.renders, self.camera == "free")
        sources = Sources(predictions, images, self.domain, how)
        settings = {"camera": self.camera, "seconds": self.seconds, "renders": self.renders}
        problems = refine_file(sources.keys, sources.task, self.out, settings, workers=self.workers, ray=ray)
        left = f", {len(problems)} left as they were" if problems else ""
        print(f"{self.out}: {counted(len(sources.keys), 'refined prediction')}{left}")
        return 2 if problems and len(problems) == len(sources.keys) else 0
