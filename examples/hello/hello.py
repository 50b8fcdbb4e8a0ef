"""The whole pipeline once: eight scenes from Blender, a model trained for five steps, and a report of its predictions."""

from pathlib import Path
from tempfile import mkdtemp

from datagen.generate import generate
from datagen.samples.settings import DatasetSettings
from model.prediction.predict import Predictor
from model.preset import get_preset
from model.training.train import Data, train
from render.roundtrip import roundtrip

out = Path(mkdtemp())
samples = generate(DatasetSettings(width=160, height=120, quality="draft"), 8, out / "data")
print(samples["000000000"].code)
train(get_preset("tiny").changed(["steps=5", "batch_size=4"]), "tiny", data=Data([out / "data"]), out=out / "run")
metrics = roundtrip(Predictor.of(out / "run"), out / "data", out / "report")
print(metrics["scene"]["count_accuracy"], out / "report" / "index.html")
