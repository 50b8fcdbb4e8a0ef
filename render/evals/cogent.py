"""CLEVR-CoGenT (Johnson et al. 2017): cubes and cylinders swap their palettes between condition A, which models learn from, and B.

The first evaluation of IG-LLM (Kulits et al. 2024, section 4.1), on our own renders: does a model that only ever saw red cylinders and
grey cubes read a red cube?
"""

from __future__ import annotations

from dataclasses import replace

from datagen.scene import Quality
from datagen.settings import DatasetSettings
from render.evals.plan import Condition, Evaluation

TRAIN_SEED, VAL_SEED, TEST_A_SEED, TEST_B_SEED = 4101, 4102, 4103, 4104
"""Of the data. They never change: cells of all who run this share their scenes."""
VAL_SCENES = 100


def clevr_cogent(
    *, width: int = 160, height: int = 120, quality: Quality = "draft", max_objects: int = 10, test_scenes: int = 500
) -> Evaluation:
    """The evaluation at a frame in pixels and a quality; scenes of 3 (or fewer, where `max_objects` is) to `max_objects` objects, CLEVR's
    own being 3 to 10. `test_scenes` is the number of test images of each condition. `UserError` for what cannot be drawn."""
    a = DatasetSettings(
        split="cogent-a",
        seed=TRAIN_SEED,
        width=width,
        height=height,
        quality=quality,
        min_objects=min(3, max_objects),
        max_objects=max_objects,
    )
    b = replace(a, split="cogent-b", rules=None, seed=TEST_B_SEED)
    return Evaluation(
        name="clevr-cogent",
        title="CLEVR-CoGenT",
        train=a,
        val=replace(a, seed=VAL_SEED),
        conditions=(
            Condition("A", "condition A (in distribution)", replace(a, seed=TEST_A_SEED)),
            Condition("B", "condition B (out of distribution)", b),
        ),
        val_scenes=VAL_SCENES,
        test_scenes=test_scenes,
    )
