"""Orientation: IG-LLM's third evaluation (Kulits et al. 2024), a toy aeroplane turned any way, some ranges of its rotation held out.

How is a rotation best written: as Euler angles in whole degrees or finer, as an axis with an angle, or as two columns of the matrix; in
characters or by the numeric head? The data are the same for all methods; the methods differ in the code that a model is trained to write.
"""

from __future__ import annotations

from datagen.domains.registry import get_domain
from render.evals.declaration import COUNT, PLAIN_HEAD, Condition, Evaluation, Measure, Method, ResultTable, Scale, rotations

TRAIN_SEED, VAL_SEED, TEST_ID_SEED, TEST_OOD_SEED = 4301, 4302, 4303, 4304
"""Seeds of the data. They never change, so that everyone's runs have the same scenes."""
SCALES = {
    "tiny": Scale(
        sizes=(4000,),
        budget=24_000,
        pretrain_share=0.5,
        width=64,
        height=64,
        test_scenes=500,
        changes=("image_height=64", "image_width=64", *PLAIN_HEAD),
    ),
    # The paper trains for 40,000 steps of 32, in frames of its tower's size.
    "paper": Scale(sizes=(10_000,), budget=1_280_000, pretrain_share=0.0, width=336, height=336, quality="standard", test_scenes=1000),
}


def method(numbers: str, representation: str, words: str) -> Method:
    """The method with one way of writing numbers and one of writing rotations. Methods with the same rotations share their pretraining."""
    how = {"head": "numeric head", "char": "characters"}[numbers]
    changes = (f"numbers={numbers}", f"rotations={representation}")
    return Method(f"{numbers}-{representation}", f"{how}, {words}", changes=changes)


METHODS = (
    method("char", "euler_int", "Euler angles in whole degrees"),
    method("char", "euler", "Euler angles"),
    method("head", "euler", "Euler angles"),
    method("char", "axis_angle", "axis and angle"),
    method("head", "axis_angle", "axis and angle"),
    method("char", "6d", "two columns"),
    method("head", "6d", "two columns"),
)


def evaluation(scale: Scale) -> Evaluation:
    """The evaluation at a scale."""
    turned = rotations(get_domain("so3"))
    return Evaluation(
        name="so3",
        title="Orientation of a toy aeroplane",
        methods=METHODS,
        train=scale.data("so3", "seen", TRAIN_SEED),
        val=scale.data("so3", "seen", VAL_SEED),
        conditions=(
            Condition("ID", "rotations like those seen (in distribution)", scale.data("so3", "seen", TEST_ID_SEED)),
            Condition("OOD", "rotations held out (out of distribution)", scale.data("so3", "held-out", TEST_OOD_SEED)),
        ),
        test_scenes=scale.test_scenes,
        tables=(ResultTable("Of all aeroplanes found:", (*turned, COUNT)),),
        note=(
            "Rotation: the angle in degrees of the turn between true and predicted orientation. Within: the share, in %, that is "
            "nearer than that. Count: the share of images, in %, read as one aeroplane."
        ),
        panels=(
            Measure("rotation error, median, degrees", ("rotation_error", "median"), "angle"),
            Measure("rotation error, mean, degrees", ("rotation_error", "mean"), "angle"),
            Measure("within 5°", ("rotation_error", "within", "5")),
            Measure("within 15°", ("rotation_error", "within", "15")),
        ),
    )
