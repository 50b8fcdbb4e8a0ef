"""The demo: the whole loop on two cores within ten minutes, from nothing to a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datagen.files import read_json
from datagen.generate import generate
from datagen.inspect import PAGE, inspect
from datagen.settings import DatasetSettings
from render.roundtrip import roundtrip

PRESET = "tiny"
TRAIN = DatasetSettings(seed=1, width=160, height=120, quality="draft", min_objects=3, max_objects=5)
HELD_OUT = DatasetSettings(seed=2, width=320, height=240, quality="draft", min_objects=3, max_objects=5)
TRAIN_SAMPLES, HELD_OUT_SAMPLES, STEPS = 1200, 24, 900


def demo(out: Path, workers: int | None = None, device: str = "auto") -> dict[str, Any]:
    """Generate, train, predict, re-render and compare under `out`; the metrics of the report in ``out/report``.

    Every part takes up what an earlier call has finished.
    """
    from model.device import faster_in_bfloat16, pick_device
    from model.load import find_model
    from model.predict import Predictor
    from model.presets import get_preset
    from model.run import RUN
    from model.train import Data, train

    data, held_out, run = out / "train", out / "held-out", out / "run"
    generate(TRAIN, TRAIN_SAMPLES, data, workers)
    generate(HELD_OUT, HELD_OUT_SAMPLES, held_out, workers)
    inspect(data, out / "inspect")
    print(f"what the model learns from: {out / 'inspect' / PAGE}")
    # A run that was begun goes on as it was: a trial may end otherwise the next time.
    begun = (run / RUN).exists()
    bf16 = read_json(run / RUN)["settings"]["bf16"] if begun else faster_in_bfloat16(pick_device(device))
    preset = get_preset(PRESET).changed([f"steps={STEPS}", f"bf16={bf16}"])
    train(preset, PRESET, data=Data([data], val=held_out), out=run, device=device)
    predictor = Predictor.of(find_model(str(run)), device)
    facts = {"Trained": f"{STEPS} steps of {preset.batch_size} on {TRAIN_SAMPLES} renders, a few minutes: enough to see the loop at work"}
    return roundtrip(predictor, held_out, out / "report", workers=workers, heading=facts)
