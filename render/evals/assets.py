"""Scenes of several assets: IG-LLM's scenes of several objects in 6-DoF poses (Kulits et al. 2024), on the assets modelled here.

Models learn from some instances of every class in some textures. They are tested on the same, on unseen textures, and on unseen shapes of
known classes: for an unseen shape, an asset's id cannot be right, but its class and its pose can.
"""

from __future__ import annotations

from datagen.domains.registry import get_domain
from render.evals.declaration import (
    ALL,
    COUNT,
    EXTRA,
    L2,
    MATCHED,
    MISSED,
    PLAIN_HEAD,
    RECALL,
    Condition,
    Evaluation,
    Measure,
    ResultTable,
    Scale,
    choices,
    precisions,
    rotations,
)
from render.evals.pose6d import METHODS, PRETRAINING

TRAIN_SEED, VAL_SEED, TEST_ID_SEED, TEST_TEXTURES_SEED, TEST_SHAPES_SEED = 4501, 4502, 4503, 4504, 4505
"""Seeds of the data. They never change, so that everyone's runs have the same scenes."""
SCALES = {
    "tiny": Scale(
        sizes=(4000,),
        budget=84_000,
        pretrain_share=0.76,
        width=128,
        height=96,
        max_objects=3,
        test_scenes=300,
        changes=("image_height=96", "image_width=128", *PLAIN_HEAD),
    ),
    # The paper trains for 500,000 steps of 32 on its scenes of ShapeNet's objects.
    "paper": Scale(sizes=(100_000,), budget=16_000_000, pretrain_share=0.0, width=320, height=240, quality="standard", test_scenes=1000),
}


def evaluation(scale: Scale) -> Evaluation:
    """The evaluation at a scale."""
    domain = get_domain("assets")
    size = Measure("scale, m", ("size_error", "scale"), "distance", 3)
    return Evaluation(
        name="assets",
        title="Scenes of assets",
        methods=METHODS,
        train=scale.data("assets", "known", TRAIN_SEED),
        val=scale.data("assets", "known", VAL_SEED),
        conditions=(
            Condition("ID", "known shapes and textures (in distribution)", scale.data("assets", "known", TEST_ID_SEED)),
            Condition("textures", "unseen textures", scale.data("assets", "unseen-textures", TEST_TEXTURES_SEED)),
            Condition("shapes", "unseen shapes of known classes", scale.data("assets", "unseen-shapes", TEST_SHAPES_SEED)),
        ),
        test_scenes=scale.test_scenes,
        pretraining=PRETRAINING,
        tables=(
            ResultTable("Of matched objects:", (L2, size, *rotations(domain), *choices(domain, MATCHED), RECALL)),
            ResultTable(
                "Of all true objects, a missed one being wrong:", (*choices(domain, ALL), COUNT, *precisions(domain), MISSED, EXTRA)
            ),
        ),
        note=(
            "Shape is the asset's id, class what it is an instance of; pattern is the kind of texture. Scale: how far the radius is "
            "off, in metres. Rotation: the angle in degrees between true and predicted orientation, modulo the true shape's symmetry, "
            "of objects whose class is right; within: the share of these, in %, that is nearer than that. All else in %."
        ),
        panels=(
            *(Measure(f"{name}, of all true objects", (ALL, name)) for name in ("class", "shape", "texture", "pattern")),
            Measure("L2 of matched objects, metres", L2.path, "distance"),
            Measure("rotation error, median, degrees", ("rotation_error", "median"), "angle"),
            Measure("within 15°", ("rotation_error", "within", "15")),
            Measure("scale error, metres", size.path, "distance"),
        ),
    )
