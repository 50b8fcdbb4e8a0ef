"""What a sample costs before it is rendered: milliseconds by stage, and scenes a second, on one core.

    python benchmarks/sampling.py [--num 300] [--width 320] [--height 240] [--min-objects 3] [--max-objects 10] [--split default]

Processor time depends little on the machine's other load.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from datagen.domains.clevr import Clevr
from datagen.domains.registry import get_domain
from datagen.samples import draw as sampling
from datagen.samples.labels import label_objects
from datagen.samples.settings import DatasetSettings

Result = TypeVar("Result")


class Stopwatch:
    """Processor seconds and calls by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] += time.process_time() - start
            self.calls[name] += 1

    def timed(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        def run(*arguments: Any, **named: Any) -> Result:
            with self.stage(name):
                return function(*arguments, **named)

        return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num", type=int, default=300)
    for name, default in (("width", 320), ("height", 240), ("min-objects", 3), ("max-objects", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--split", default="default")
    options = vars(parser.parse_args())
    num = options.pop("num")
    settings = DatasetSettings(**options)
    domain = get_domain(settings.domain)
    sampling.draw(settings, num)  # warms the caches

    watch = Stopwatch()
    with watch.stage("draw, as it is"):
        drawn = [sampling.draw(settings, index) for index in range(num)]
    with watch.stage("labels"):
        labels = [label_objects(d.scene, domain, d.shot, d.view) for d in drawn]
    with watch.stage("labels as JSON"):
        text = [json.dumps(label) for label in labels]
    Clevr._sample = watch.timed("  placement", Clevr._sample)  # type: ignore[method-assign]
    Clevr.sample_shot = watch.timed("  lamps", Clevr.sample_shot)  # type: ignore[method-assign]
    Clevr.view = watch.timed("  visibility", Clevr.view)  # type: ignore[method-assign]
    sampling.Stream = watch.timed("  random streams", sampling.Stream)  # type: ignore[assignment, misc]
    for index in range(num):
        sampling.draw(settings, index)

    print(
        f"{num} samples of {settings.width}x{settings.height}, {settings.min_objects} to {settings.max_objects} objects, {settings.split}"
    )
    if settings.allowed.camera:
        given_up = sorted(len(d.scene) for d in drawn if d.attempt >= sampling.CAMERA_TRIES)
        print(f"the first camera left no room in {len(given_up)} of {num} scenes, which have {given_up} objects")
    print(f"{sum(d.attempt + 1 for d in drawn) / num:.2f} tries a sample, {sum(map(len, text)) / num:.0f} bytes of labels")
    for name, seconds in watch.seconds.items():
        print(f"{name:16} {1000 * seconds / num:7.3f} ms a sample {watch.calls[name] / num:7.2f} calls")
    total = watch.seconds["draw, as it is"] + watch.seconds["labels"]
    print(f"draw and labels  {1000 * total / num:7.3f} ms a sample, {num / total:.0f} scenes a second")


if __name__ == "__main__":
    main()
