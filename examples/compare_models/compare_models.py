"""Compare models on the same data set: a round trip of each, and one row of scores a model."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from model.load import find_model
from model.prediction.predict import Predictor
from render.roundtrip import roundtrip

if len(sys.argv) < 4:
    sys.exit("usage: compare_models.py DATA OUT MODEL [MODEL ...]; a model is a shipped one's name, such as tiny, or a run's folder")
data, out, *models = sys.argv[1:]
rates = {}
for place, name in enumerate(models, 1):
    metrics = roundtrip(Predictor.of(find_model(name)), Path(data), Path(out) / f"{place}-{Path(name).name}")
    scene = metrics["scene"]
    rates[name] = {"count": scene["count_accuracy"], **scene["accuracy_all"]}

columns = list(rates[models[0]])
print("model", *columns, sep="\t")
for name, row in rates.items():
    print(name, *("-" if row[column] is None else f"{row[column]:.3f}" for column in columns), sep="\t")

figure = Figure(figsize=(6, 2.5), layout="constrained")
axes = figure.subplots()
width = 1 / (len(rates) + 1)
for place, (name, row) in enumerate(rates.items()):
    bars = [column + (place - (len(rates) - 1) / 2) * width for column in range(len(columns))]
    axes.bar(bars, [row[column] or 0 for column in columns], width=width, label=Path(name).name)
axes.set_xticks(range(len(columns)), columns)
axes.set(ylabel="share that is right", ylim=(0, 1))
figure.legend(loc="outside right upper")
figure.savefig(Path(out) / "models.png")
