"""What a round trip takes a sample: predict, render, compare, and the report's page; and rendering code against generating data.

    python benchmarks/roundtrip.py [--num 100] [--report 1000] [--rounds 3] [--quality standard] [--width 320] [--height 240] [--model tiny]

The first table has seconds a sample and shares. *compare* is scores of scenes, views and images; *page* is what the report adds to that:
cards, pictures and files. With --report, as many samples as that are made of copies, to time `igllm compare` and the page at full size.
The last lines compare `igllm render` of the true codes with `igllm generate` of the same samples at the same settings, both with new
workers, in turns: a ratio of 1 says that rendering code is as fast as generating data. The ratio of processor times, of this process and
its workers together, means something on a busy machine, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median

from datagen.code.predictions import Prediction, write_predictions
from datagen.generate import generate
from datagen.io.progress import progress
from datagen.samples.sample import Sample
from datagen.samples.settings import DatasetSettings
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples, write_shard
from datagen.workers.cores import available_cores
from model.load import find_model
from model.prediction.predict import Predictor, predict_file
from render.cards import page_sample
from render.compare import compare
from render.report import writing_report
from render.rerender import Recorded, read_codes, render_codes
from render.scored import score_samples
from render.sides import Side


def seconds(task: Callable[..., object], *arguments: object) -> float:
    begin = time.perf_counter()
    task(*arguments)
    return time.perf_counter() - begin


def used(task: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Seconds by the clock, and of the processor by this process and the ones that it waited for."""

    def processor() -> float:
        return sum(usage.ru_utime + usage.ru_stime for usage in map(getrusage, (RUSAGE_SELF, RUSAGE_CHILDREN)))

    begin = processor()
    clock = seconds(task, *arguments)
    return clock, processor() - begin


def stages(data: Path, model: str, folder: Path) -> dict[str, float]:
    """Seconds a sample of each stage. The model's loading is left out, the workers' start is not."""
    predictor, samples = Predictor.of(find_model(model)), Samples(data)
    pred, rendered = folder / "pred.jsonl", folder / "rendered"
    found = {
        "predict": seconds(lambda: predict_file(predictor, DatasetImages(samples), pred)),
        "render": seconds(lambda: render_codes(read_codes(pred), Recorded(samples), rendered)),
        **compared(samples, rendered, pred, folder / "report"),
    }
    return {name: value / len(samples) for name, value in found.items()}


def compared(truth: Samples, candidate: Path, predictions: Path | None, out: Path) -> dict[str, float]:
    """Seconds of a whole comparison, as scores and page."""
    side, guess = Side(truth), Side(candidate, predictions)
    domain = side.domain()
    assert domain is not None
    scoring = seconds(lambda: [None for _ in progress(score_samples(side, [guess], truth.keys, domain), len(truth), "score")])
    whole = seconds(lambda: compare(truth, candidate, out, predictions=predictions))
    return {"compare": scoring, "page": max(0.0, whole - scoring)}


def page_alone(truth: Samples, candidate: Path, num: int, out: Path) -> float:
    """Seconds of a page of `num` samples whose scores are there already."""
    side, guess = Side(truth), Side(candidate)
    domain = side.domain()
    assert domain is not None
    scored = list(score_samples(side, [guess], truth.keys[: min(num, 100)], domain))

    def write() -> None:
        with writing_report(out) as report:
            for number in range(num):
                report.add(page_sample(replace(scored[number % len(scored)], key=f"{number:09d}"), domain))
            names = [f"{number:09d}" for number in range(num)]
            facts = {"samples": num, "domain": domain.name, "skipped": {}, "unlike": 0, "refused": 0, "objects": 0, "model": "", "unit": ""}
            metrics = {**facts, "confidence": None, "image": None}
            report.finish("images.html", "scale", metrics, sort=[], names=["prediction"], ranks=[list(range(len(names)))], sure=0.0)

    return seconds(write)


def copies(samples: Samples, num: int, out: Path) -> Path:
    """A data set of `num` samples made of copies."""

    def made() -> Iterator[Sample]:
        for number in range(num):
            yield replace(samples.at(number % len(samples)), key=f"{number:09d}")

    write_shard(out / "shard-000000.tar", made())
    return out


Used = tuple[float, float]


def rendering_against_generating(settings: DatasetSettings, num: int, rounds: int, folder: Path) -> list[tuple[Used, Used]]:
    """What generating and rendering the same samples used, in turns, with new workers each time."""
    times = []
    for number in range(rounds):
        data, pred = folder / f"data-{number}", folder / f"codes-{number}.jsonl"
        generating = used(generate, settings, num, data)
        samples = Samples(data)
        write_predictions(pred, (Prediction(sample.key, sample.code) for sample in samples))
        rendering = used(render_codes, read_codes(pred), Recorded(samples), folder / f"rendered-{number}")
        times.append((generating, rendering))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("num", 100), ("report", 1000), ("rounds", 3), ("seed", 5), ("width", 320), ("height", 240)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--quality", default="standard", choices=("draft", "standard", "reference"))
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    settings = DatasetSettings(seed=options.seed, width=options.width, height=options.height, quality=options.quality)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        times = rendering_against_generating(settings, options.num, options.rounds, folder)
        data = folder / "data-0"
        rows = stages(data, options.model, folder)
        total = sum(rows.values())
        print(f"{len(available_cores())} cores, {options.num} samples of {options.width}x{options.height}, {options.quality}")
        print("\n| stage | seconds a sample | share |\n|---|---|---|")
        for name, value in rows.items():
            print(f"| {name} | {value:.3f} | {value / total:.0%} |".replace("%", " %"))
        if options.report:
            truth = Samples(copies(Samples(data), options.report, folder / "many"))
            candidate = copies(Samples(folder / "rendered"), options.report, folder / "answers")
            large = compared(truth, candidate, None, folder / "large")
            alone = page_alone(truth, candidate, options.report, folder / "alone")
            print(f"\n{options.report} samples: compare {sum(large.values()):.0f} s in all; the page alone, of given scores, {alone:.0f} s")
        for kind, name in enumerate(("by the clock", "of processor time")):
            pairs = [(generating[kind], rendering[kind]) for generating, rendering in times]
            ratios = [generating / rendering for generating, rendering in pairs]
            generated, rendered = (options.num / median(column) for column in zip(*pairs, strict=True))
            spread = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
            print(f"\na second {name}: generate {generated:.2f}, render {rendered:.2f}: ratio {spread}")


if __name__ == "__main__":
    main()
