"""Numeric parameter spaces in two dimensions: IG-LLM's second evaluation (Kulits et al. 2024), one dot on a plain image.

Models learn from dots in the squares of a sparse checkerboard. Do they read dots between these squares? A number written as characters is
a choice among the strings seen in training; the numeric head can give any number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datagen.domains.registry import get_domain
from datagen.scene import Scene
from render.evals.declaration import CHAR, COUNT, HEAD, PLAIN_HEAD, Condition, Evaluation, Measure, ResultTable, Scale, precisions
from render.evals.maps import MAPS, error_maps

TRAIN_SEED, VAL_SEED, TEST_INSIDE_SEED, TEST_OUTSIDE_SEED = 4201, 4202, 4203, 4204
"""Seeds of the data. They never change, so that everyone's runs have the same scenes."""
CODE_ALONE = ("dense_weight=0", "guide_weight=0")
"""Numbers are learnt from the code alone, as in the paper. The dense loss would teach the tower positions with every method, and the
comparison would only show how well each method repeats them."""
SCALES = {
    "tiny": Scale(
        sizes=(100, 1000, 10_000),
        budget=32_000,
        pretrain_share=0.0,
        width=32,
        height=32,
        test_scenes=1000,
        changes=("image_height=32", "image_width=32", "batch_size=64", *PLAIN_HEAD, *CODE_ALONE),
    ),
    # The paper trains for 40,000 steps of 32, in frames of its tower's size.
    "paper": Scale(sizes=(1000, 10_000), budget=1_280_000, pretrain_share=0.0, width=336, height=336, test_scenes=1000),
}
DISTINCT = "distinct"


def distinct(guesses: Iterable[Scene | None]) -> dict[str, Any]:
    """The numbers of different values of x, of different values of y, and of different positions in a model's predictions."""
    spots = [obj["loc"] for guess in guesses if guess is not None for obj in guess.objects]
    return {DISTINCT: {"x": len({x for x, _ in spots}), "y": len({y for _, y in spots}), "positions": len(set(spots))}}


def evaluation(scale: Scale) -> Evaluation:
    """The evaluation at a scale."""
    domain = get_domain("dot2d")
    error = Measure("error, sides", ("location_l2",), "distance", 4)
    counts = tuple(Measure(f"distinct {name}", (DISTINCT, name), "count") for name in ("x", "y", "positions"))
    nearer = tuple(Measure(f"within {m.path[1]}", m.path) for m in precisions(domain)[1:])
    return Evaluation(
        name="dot2d",
        title="One dot, two numbers",
        methods=(HEAD, CHAR),
        train=scale.data("dot2d", "checkerboard", TRAIN_SEED),
        val=scale.data("dot2d", "checkerboard", VAL_SEED),
        conditions=(
            Condition("inside", "inside the training cells (in distribution)", scale.data("dot2d", "checkerboard", TEST_INSIDE_SEED)),
            Condition("outside", "outside of them (out of distribution)", scale.data("dot2d", "checkerboard-gaps", TEST_OUTSIDE_SEED)),
        ),
        test_scenes=scale.test_scenes,
        tables=(ResultTable("Of all test images:", (error, *nearer, COUNT, *counts)),),
        note=(
            "Error: the mean distance between true and predicted dot, in sides of the square. Within: the share of dots, in %, read "
            "nearer than that. Count: the share of images, in %, read as one dot. Distinct: how many different values a method gives."
        ),
        panels=(
            Measure("error, sides of the square", ("location_l2",), "distance", log=True),
            Measure("read within 0.02 sides", ("ap", "0.02")),
            Measure("different positions given", (DISTINCT, "positions"), "count"),
            Measure("different values of x given", (DISTINCT, "x"), "count"),
        ),
        measure=distinct,
        figures={MAPS: error_maps},
    )
