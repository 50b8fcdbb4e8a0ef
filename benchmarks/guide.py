"""What the guided attention head and the dense read-out's cells cost, in training and in prediction: seconds and their ratios.

python benchmarks/guide.py --data DATA [--preset tiny] [--batch 16] [--repeats 10]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from turns import alternately

from datagen.domains.registry import get_domain
from datagen.shards.reader import Samples
from model.build import build
from model.data.examples import CodeSource, Collator
from model.load import Loaded
from model.prediction.predict import Predictor
from model.preset import get_preset
from model.training.train import example_maker


def main() -> None:
    """Measure training steps and prediction with the preset, without ``number_cells`` and ``word_cells``, and without the guide, too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    domain, samples = get_domain("clevr"), Samples(options.data)
    steps: dict[str, Callable[[], object]] = {}
    predictions: dict[str, Callable[[], object]] = {}
    blind = {"number_cells": False, "word_cells": False}
    for name, changes in (("plain", {"guide_weight": 0.0, **blind}), ("guided", blind), ("cells", {})):
        torch.manual_seed(0)
        preset = get_preset(options.preset).replaced(**changes)
        model, codec = build(preset, domain)
        source = CodeSource(samples, example_maker(model, codec, preset.examples))
        batch = Collator(codec.tokenizer.pad_token_id)([source.example(i, None) for i in range(options.batch)])
        steps[name] = lambda model=model, batch=batch: model.train()(**batch).loss.backward()
        images = [(str(i), samples.at(i).pixels()) for i in range(options.batch)]
        predictor = Predictor.around(Loaded(model, codec, name, name))
        predictions[name] = lambda predictor=predictor, images=images: list(predictor.predict(images))
    for what, tasks in (("a step's gradients", steps), ("predicting", predictions)):
        found = alternately(tasks, options.repeats)
        for name, value in found.items():
            print(f"{what}, {name:7} {value:.3f} s for {options.batch} images")
        print(f"{what}, guided / plain {found['guided'] / found['plain']:.2f}, cells / guided {found['cells'] / found['guided']:.2f}")


if __name__ == "__main__":
    main()
