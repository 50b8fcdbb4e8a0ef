"""6-DoF pose: IG-LLM's fourth evaluation (Kulits et al. 2024), the aeroplane anywhere before the camera, turned any way.

Does a model that learnt place and orientation together predict both, also for orientations that were held out?
"""

from __future__ import annotations

from datagen.domains.registry import get_domain
from render.evals.declaration import COUNT, L2, PLAIN_HEAD, Condition, Evaluation, Lesson, Measure, ResultTable, Scale, rotations
from render.evals.so3 import method

TRAIN_SEED, VAL_SEED, TEST_ID_SEED, TEST_OOD_SEED, LESSON_SEED = 4401, 4402, 4403, 4404, 4405
"""Seeds of the data. They never change, so that everyone's runs have the same scenes."""
SCALES = {
    "tiny": Scale(
        sizes=(8000,),
        budget=100_000,
        pretrain_share=0.8,
        width=128,
        height=96,
        test_scenes=500,
        changes=("image_height=96", "image_width=128", *PLAIN_HEAD),
    ),
    # The paper trains for 200,000 steps of 32.
    "paper": Scale(sizes=(10_000,), budget=6_400_000, pretrain_share=0.0, width=320, height=240, quality="standard", test_scenes=1000),
}
PRETRAINING = ("rotations=6d",)
"""All methods begin with one tower, pretrained with the rotations that were learnt best in `igllm eval so3`, after a lesson on aeroplanes
in the middle of the frame: which side is up was not learnt from 48,000 images of aeroplanes anywhere in the frame."""
METHODS = (method("char", "euler", "Euler angles"), method("head", "euler", "Euler angles"), method("head", "6d", "two columns"))


def evaluation(scale: Scale) -> Evaluation:
    """The evaluation at a scale."""
    domain = get_domain("pose6d")
    return Evaluation(
        name="pose6d",
        title="6-DoF pose of a toy aeroplane",
        methods=METHODS,
        train=scale.data("pose6d", "seen", TRAIN_SEED),
        val=scale.data("pose6d", "seen", VAL_SEED),
        conditions=(
            Condition("ID", "rotations like those seen (in distribution)", scale.data("pose6d", "seen", TEST_ID_SEED)),
            Condition("OOD", "rotations held out (out of distribution)", scale.data("pose6d", "held-out", TEST_OOD_SEED)),
        ),
        test_scenes=scale.test_scenes,
        pretraining=PRETRAINING,
        lesson=Lesson(scale.data("pose6d", "centred", LESSON_SEED), share=0.2),
        tables=(ResultTable("Of all aeroplanes found:", (L2, *rotations(domain), COUNT)),),
        note=(
            "L2: the mean distance in metres between true and predicted place. Rotation: the angle in degrees of the turn between "
            "true and predicted orientation; within: the share, in %, that is nearer than that. Count: the share of images, in %, "
            "read as one aeroplane."
        ),
        panels=(
            Measure("L2, metres", L2.path, "distance"),
            Measure("rotation error, median, degrees", ("rotation_error", "median"), "angle"),
            Measure("within 15°", ("rotation_error", "within", "15")),
            Measure("within 30°", ("rotation_error", "within", "30")),
        ),
    )
