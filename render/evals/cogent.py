"""CLEVR-CoGenT (Johnson et al. 2017): cubes and cylinders swap their palettes between condition A, which models learn from, and B.

The first evaluation of IG-LLM (Kulits et al. 2024, section 4.1), on our own renders: does a model that only ever saw red cylinders and
grey cubes read a red cube?
"""

from __future__ import annotations

from datagen.domains.registry import get_domain
from render.evals.declaration import (
    ALL,
    CHAR,
    COUNT,
    DERENDER,
    EXTRA,
    HEAD,
    L2,
    MATCHED,
    MISSED,
    RECALL,
    RELATIONS,
    Condition,
    Evaluation,
    Measure,
    ResultTable,
    Scale,
    choices,
    precisions,
)

TRAIN_SEED, VAL_SEED, TEST_A_SEED, TEST_B_SEED = 4101, 4102, 4103, 4104
"""Seeds of the data. They never change, so that everyone's runs have the same scenes."""
SCALES = {
    "tiny": Scale(sizes=(500, 4000), budget=24_000, pretrain_share=0.5, width=160, height=120, max_objects=10, test_scenes=500),
    # The paper trains for 40,000 steps of 32 on 4,000 images of CLEVR's own size.
    "paper": Scale(
        sizes=(4000,),
        budget=1_280_000,
        pretrain_share=0.0,
        width=320,
        height=240,
        quality="standard",
        max_objects=10,
        test_scenes=1000,
    ),
}


def evaluation(scale: Scale) -> Evaluation:
    """The evaluation at a scale. Scenes have at least 3 objects, as CLEVR's do, or `Scale.max_objects` if that is less."""
    domain = get_domain("clevr")
    return Evaluation(
        name="cogent",
        title="CLEVR-CoGenT",
        methods=(HEAD, CHAR, DERENDER),
        train=scale.data("clevr", "cogent-a", TRAIN_SEED),
        val=scale.data("clevr", "cogent-a", VAL_SEED),
        conditions=(
            Condition("A", "condition A (in distribution)", scale.data("clevr", "cogent-a", TEST_A_SEED)),
            Condition("B", "condition B (out of distribution)", scale.data("clevr", "cogent-b", TEST_B_SEED)),
        ),
        test_scenes=scale.test_scenes,
        tables=(
            ResultTable(
                "Of matched objects, as the paper tells them, beside how many are matched:",
                (L2, *choices(domain, MATCHED), RECALL),
            ),
            ResultTable(
                "Of all true objects, a missed one being wrong:",
                (*choices(domain, ALL), COUNT, *precisions(domain), RELATIONS, MISSED, EXTRA),
            ),
        ),
        note=("Accuracies, recall, AP (average precision, by the distance in metres that a right object may be off) and relations in %."),
        panels=(
            *(Measure(f"{m.title}, of all true objects", m.path) for m in choices(domain, ALL)),
            Measure("right number of objects", COUNT.path),
            Measure("AP, any distance", ("ap", "inf")),
            Measure("AP at 0.5 m", ("ap", "0.5")),
            Measure("L2 of matched objects, metres", L2.path, "distance", 3),
        ),
        shown="worst",
    )
