"""Sixteen real renders learnt by heart, with numbers by the head and as characters: nothing is lost between image and code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datagen.code.grammar import parse_code
from datagen.shards.reader import Samples
from model.prediction.predict import Predictor
from model.preset import get_preset
from model.training.train import Data, train


@pytest.mark.slow
@pytest.mark.parametrize(("numbers", "settings"), [("head", ["steps=600"]), ("char", ["steps=300"])])
def test_sixteen_renders_are_learnt_by_heart(numbers: str, settings: list[str], renders: Samples, tmp_path: Path) -> None:
    """Every word right, and numbers off by less than 0.02 normalised units in the mean."""
    noise = ["feedback_noise=0.2"]  # about the error of numbers after so few steps
    common = [*noise, "augment=false", "batch_size=8", "weight_decay=0", "report_to=none", f"numbers={numbers}"]
    preset = get_preset("tiny").changed([*common, *settings])
    train(preset, "tiny", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    predictor = Predictor.of(tmp_path / "run", "cpu")
    domain, slots = predictor.codec.domain, predictor.codec.slots
    errors = []
    for prediction in predictor.predict([(key, renders[key].pixels()) for key in renders.keys]):
        true, predicted = renders[prediction.key].scene.objects, parse_code(prediction.code, domain).objects
        assert len(predicted) == len(true)
        for one, other in zip(true, predicted, strict=True):
            assert [other[c.name] for c in domain.statements[0].choices] == [one[c.name] for c in domain.statements[0].choices]
            for slot in slots:
                values = [slot.normalise(slot.argument.as_tuple(obj[slot.argument.name])[slot.component]) for obj in (one, other)]
                off = values[0] - values[1]
                errors.append(abs(off - slot.period * round(off / slot.period)) if slot.period else abs(off))
    assert np.mean(errors) < 0.02
