"""The demo: a report on the shipped model with new scenes, then a little further training, and a report on the trained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datagen.generate import generate
from datagen.inspect.report import PAGE as INSPECTED
from datagen.inspect.report import inspect
from datagen.samples.settings import DatasetSettings
from render.roundtrip import roundtrip
from render.sides import PAGE

MODEL = "tiny"
NEW = DatasetSettings(seed=2, width=320, height=240, quality="draft")
TRAIN = DatasetSettings(seed=1, width=160, height=120, quality="draft")
NEW_SCENES, TRAIN_SCENES, STEPS = 24, 400, 60
LOW_RATES = ("learning_rate=1e-4", "projector_learning_rate=1e-4", "head_learning_rate=1e-4")
"""A tenth of the preset's learning rates, as the model begins where a long training ended."""


def demo(out: Path, workers: int | None = None, device: str = "auto") -> dict[str, Any]:
    """Make a round trip of new scenes with the shipped model, train it a little further, and repeat the round trip, all under `out`.

    The reports are ``report`` and ``report-trained``; the returned metrics are those of the first. An earlier call's finished work is kept.
    """
    from model.device import faster_in_bfloat16, pick_device
    from model.load import find_model
    from model.prediction.predict import Predictor
    from model.preset import get_preset
    from model.run_folder import RUN, run_settings
    from model.training.train import Data, train

    new, data, run = out / "new", out / "train", out / "run"
    generate(NEW, NEW_SCENES, new, workers)
    metrics = roundtrip(Predictor.of(find_model(MODEL), device), new, out / "report", on=workers)
    print(f"new scenes, as the shipped model sees them: {out / 'report' / PAGE}")

    generate(TRAIN, TRAIN_SCENES, data, workers)
    inspect(data, out / "inspect")
    print(f"what it learns from now: {out / 'inspect' / INSPECTED}")
    # A run that was begun keeps its precision: timed again, the other precision might be faster.
    begun = (run / RUN).exists()
    bf16 = run_settings(run).get("bf16") if begun else faster_in_bfloat16(pick_device(device))
    preset = get_preset(MODEL).changed([f"steps={STEPS}", f"bf16={bf16}", *LOW_RATES])
    train(preset, MODEL, data=Data([data], val=new), out=run, device=device, init=MODEL)
    facts = {"Trained": f"{STEPS} more steps of {preset.optimisation.batch_size} on {TRAIN_SCENES} renders, to see the trainer at work"}
    roundtrip(Predictor.of(find_model(str(run)), device), new, out / "report-trained", on=workers, heading=facts)
    return metrics
