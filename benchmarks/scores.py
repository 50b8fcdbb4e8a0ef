"""What FLIP and SSIM of two renders take, beside the libraries of reference: milliseconds of the processor a pair, and ratios, in turns.

    python benchmarks/scores.py [--rounds 3] [--pairs 10]

All compute with one thread, and with the memory settings of the processes that score. Needs flip-evaluator and scikit-image (igllm[dev]).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from flip_evaluator import evaluate
from PIL import Image
from skimage.metrics import structural_similarity

from render.images import flip, ssim
from render.scorers import ENVIRONMENT

RENDERS = Path(__file__).parent / "references" / "2026"
Pair = tuple[np.ndarray, np.ndarray]


def flip_of_its_authors(one: np.ndarray, other: np.ndarray) -> object:
    return evaluate(one.astype(np.float32) / 255, other.astype(np.float32) / 255, "LDR", applyMagma=False)


def ssim_of_scikit_image(one: np.ndarray, other: np.ndarray) -> object:
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(one.astype(np.float32), other.astype(np.float32), channel_axis=2, data_range=255, **window)


def milliseconds(score: Callable[[np.ndarray, np.ndarray], object], pairs: list[Pair]) -> float:
    begin = time.process_time()
    for pair in pairs:
        score(*pair)
    return (time.process_time() - begin) / len(pairs) * 1000


def main() -> None:
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):  # which libraries read when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=10)
    options = parser.parse_args()
    renders = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(RENDERS.glob("*.png"))[: options.pairs + 1]]
    pairs = list(pairwise(renders))
    for name, theirs, ours in (("FLIP", flip_of_its_authors, flip), ("SSIM", ssim_of_scikit_image, ssim)):
        for score in (theirs, ours):
            score(*pairs[0])
        for _ in range(options.rounds):
            before, after = milliseconds(theirs, pairs), milliseconds(ours, pairs)
            print(f"{name}: {before:.1f} ms by the library, {after:.1f} ms here, {before / after:.1f} times as fast")


if __name__ == "__main__":
    main()
