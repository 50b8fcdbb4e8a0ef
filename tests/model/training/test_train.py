"""Training and prediction on real renders: the loss falls, the code follows the image, runs resume, bad folders are refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.errors import UserError
from datagen.io.files import read_jsonl
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.shards.pictures import DatasetImages, ImageFiles
from datagen.shards.reader import Samples
from model.load import find_model
from model.prediction.decoding import Decoding
from model.prediction.partial import Partial
from model.prediction.predict import Predictor, predict_file
from model.preset import Preset, get_preset
from model.run_folder import newest_checkpoint
from model.training.train import Data, pretrain, train
from render.roundtrip import roundtrip

TINY = get_preset("tiny")
# A quarter of the usual pixels is enough to tell renders apart.
QUICK = TINY.replaced(steps=4, save_steps=2, batch_size=4, report_to="none", image_height=64, image_width=80)


@pytest.fixture(scope="session")
def overfit(four: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `tiny` on four renders, many times over, without augmentation."""
    out = tmp_path_factory.mktemp("overfit") / "run"
    noise = ["feedback_noise=0.2"]  # after so few steps, numbers are off by about that
    by_heart = ["augment=false", "order_noise=0", "weight_decay=0", "learning_rate=3e-3"]
    preset = QUICK.changed([*noise, *by_heart, "batch_size=4", "steps=60", "save_steps=0"])
    train(preset, "tiny", data=Data([four.path]), out=out, device="cpu")
    return out


@pytest.fixture(scope="session")
def barely(renders: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    out = tmp_path_factory.mktemp("barely") / "run"
    train(QUICK, "tiny", data=Data([renders.path]), out=out, device="cpu")
    return out


def scores_of(predicted: dict[str, str], truth: dict[str, str], samples: Samples) -> dict:
    """The scores of predicted codes against the true ones of the same keys."""
    domain = samples[samples.keys[0]].domain
    pairs = [(parse_code(truth[key], domain), parse_code(predicted[key], domain)) for key in predicted]
    return summarize([score_scene(true, guess, domain) for true, guess in pairs])


def test_the_loss_falls_in_all_its_parts(overfit: Path) -> None:
    rows = [row for row in read_jsonl(overfit / "log.jsonl") if "token_loss" in row]
    for part in ("loss", "token_loss", "number_loss", "dense_loss"):
        assert rows[-1][part] < 0.25 * rows[0][part]


def test_the_code_follows_the_image(overfit: Path, four: Samples) -> None:
    """What was learnt by heart is written back; when images are swapped, the code goes with the image, not with the place."""
    predictor = Predictor.of(overfit, "cpu")
    images = {key: four[key].pixels() for key in four.keys}
    truth = {key: four.code(key) for key in four.keys}
    predicted = {p.key: p.code for p in predictor.predict(images.items())}
    scores = scores_of(predicted, truth, four)
    assert scores["count_accuracy"] == 1.0
    assert min(scores["accuracy_all"].values()) >= 0.95
    assert scores["location_l2"] < 0.3
    swapped = dict(zip(four.keys, reversed(four.keys), strict=True))
    predicted_of_swapped = {p.key: p.code for p in predictor.predict((key, images[swapped[key]]) for key in four.keys)}
    assert predicted_of_swapped == {key: predicted[swapped[key]] for key in four.keys}
    against_own_place = scores_of(predicted_of_swapped, truth, four)
    assert against_own_place["accuracy_all"]["color"] < 0.6
    blank = [(key, np.full_like(image, 128)) for key, image in images.items()]
    assert len({p.code for p in predictor.predict(blank)}) == 1


def test_what_pretraining_learns_training_begins_with(renders: Samples, tmp_path: Path) -> None:
    tower = tmp_path / "tower"
    preset = QUICK.replaced(steps=30, save_steps=0, learning_rate=2e-3, projector_learning_rate=2e-3, augment=False)
    pretrain(preset, "tiny", data=Data([renders.path]), out=tower, device="cpu")
    rows = [row["dense_loss"] for row in read_jsonl(tower / "log.jsonl") if "dense_loss" in row]
    assert rows[-1] < 0.8 * rows[0]
    first = {}
    for name, init in (("with", str(tower)), ("without", None)):
        preset = QUICK.replaced(log_steps=1, steps=1)
        train(preset, "tiny", data=Data([renders.path]), out=tmp_path / name, device="cpu", init=init)
        first[name] = read_jsonl(tmp_path / name / "log.jsonl")[0]["dense_loss"]
    assert first["with"] < 0.8 * first["without"]


@pytest.mark.parametrize(("setting", "message"), [("freeze_vision=true", "freezes"), ("dense_weight=0", "dense loss")])
def test_pretraining_refuses_what_it_cannot_teach(renders: Samples, tmp_path: Path, setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(
            QUICK.changed([setting, "number_cells=false", "word_cells=false"]),
            "tiny",
            data=Data([renders.path]),
            out=tmp_path / "run",
            device="cpu",
        )


def test_a_batch_says_what_each_image_says_alone(overfit: Path, four: Samples) -> None:
    predictor = Predictor.of(overfit, "cpu")
    images = [(key, four[key].pixels()) for key in four.keys]
    together, alone = list(predictor.predict(images, batch_size=4)), list(predictor.predict(images, batch_size=1))
    for one, other in zip(together, alone, strict=True):
        one_scene, other_scene = (parse_code(p.code, predictor.codec.domain) for p in (one, other))
        for a, b in zip(one_scene, other_scene, strict=True):
            assert np.allclose(a["loc"], b["loc"], atol=2e-3)
            assert [a[c] for c in ("shape", "size", "material", "color")] == [b[c] for c in ("shape", "size", "material", "color")]
        assert np.allclose(one.confidence, other.confidence, atol=1e-3)


def test_confidences_are_given_per_object(overfit: Path, four: Samples) -> None:
    for prediction in Predictor.of(overfit, "cpu").predict([(key, four[key].pixels()) for key in four.keys]):
        assert prediction.confidence is not None
        assert len(prediction.confidence) == prediction.code.count("\n")
        assert all(0 < c <= 1 for c in prediction.confidence)


def test_a_trained_model_is_searched_and_drawn_from(overfit: Path, four: Samples) -> None:
    """The code learnt by heart is the likeliest that a search finds, and that of most draws."""
    predictor = Predictor.of(overfit, "cpu")
    images = [(key, four[key].pixels()) for key in four.keys]
    greedy = [p.code for p in predictor.predict(images)]
    narrow, wide = (list(predictor.predict(images, decoding=Decoding(samples=n, beams=4))) for n in (2, 4))
    drawn = list(predictor.predict(images, decoding=Decoding(samples=4, temperature=1.0)))
    for code, few, many, chance in zip(greedy, narrow, wide, drawn, strict=True):
        assert few.candidates and many.candidates and chance.candidates
        assert many.candidates[:2] == few.candidates
        assert len({c.code for c in many.candidates}) == 4
        assert few.code == code
        assert few.candidates[0].logp > few.candidates[1].logp + 0.5
    assert sum(c.code == code for code, p in zip(greedy, drawn, strict=True) for c in p.candidates or ()) > 8


def test_a_stopped_run_goes_on_as_if_undisturbed(barely: Path, renders: Samples, tmp_path: Path) -> None:
    """From the checkpoint of step 2, beside the remains of an interrupted save."""
    stopped = tmp_path / "run"
    shutil.copytree(barely, stopped)
    for path in [stopped / "config.json", stopped / "model.safetensors", stopped / "log.jsonl"]:
        path.unlink()
    shutil.rmtree(stopped / "checkpoint-4")
    (stopped / ".saving" / "checkpoint-4").mkdir(parents=True)
    assert newest_checkpoint(stopped) == stopped / "checkpoint-2"
    train(QUICK, "tiny", data=Data([renders.path]), out=stopped, device="cpu")
    undisturbed, resumed = load_file(barely / "model.safetensors"), load_file(stopped / "model.safetensors")
    assert all(torch.allclose(undisturbed[name], resumed[name], atol=1e-6) for name in undisturbed)
    losses = [[row["loss"] for row in read_jsonl(run / "log.jsonl") if "loss" in row] for run in (barely, stopped)]
    assert losses[0] == pytest.approx(losses[1])


def test_a_finished_run_is_left_alone_and_can_be_extended(barely: Path, renders: Samples, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(barely, run)
    before = (run / "model.safetensors").read_bytes()
    train(QUICK, "tiny", data=Data([renders.path]), out=run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == before
    train(QUICK.replaced(steps=6), "tiny", data=Data([renders.path]), out=run, device="cpu")
    assert (run / "model.safetensors").read_bytes() != before
    assert newest_checkpoint(run) == run / "checkpoint-6"


def test_no_pickle_of_ours_is_left(barely: Path) -> None:
    assert not list(barely.rglob("training_args.bin"))
    assert {path.suffix for path in barely.iterdir() if path.is_file()} <= {".json", ".jsonl", ".safetensors", ".jinja"}


def test_validation_that_overlaps_is_refused(renders: Samples, four: Samples, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 scenes are in the training data"):
        train(QUICK, "tiny", data=Data([renders.path], val=four.path), out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_validation_losses_are_logged(renders: Samples, others: Samples, tmp_path: Path) -> None:
    train(QUICK.replaced(eval_steps=2), "tiny", data=Data([renders.path], val=others.path), out=tmp_path / "run", device="cpu")
    evaluated = [row for row in read_jsonl(tmp_path / "run" / "log.jsonl") if "eval_loss" in row]
    assert [row["step"] for row in evaluated] == [2, 4]
    assert all(row["eval_token_loss"] > 0 and row["eval_number_loss"] > 0 for row in evaluated)


def test_another_run_is_not_overwritten(barely: Path, renders: Samples, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="learning_rate"):
        train(QUICK.replaced(learning_rate=1.0), "tiny", data=Data([renders.path]), out=barely, device="cpu")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not a run"):
        train(QUICK, "tiny", data=Data([renders.path]), out=tmp_path, device="cpu")


def test_settings_are_typed_and_checked() -> None:
    changed = TINY.changed(["steps=5", "learning_rate=0.5", "augment=false"])
    assert (changed.optimisation.steps, changed.optimisation.learning_rate, changed.examples.augment) == (5, 0.5, False)
    for bad in ("steps", "stepz=3", "steps=many", "steps=0", "augment=maybe", "warmup=2", "vision=x"):
        with pytest.raises(UserError):
            TINY.changed([bad])
    assert isinstance(get_preset("tiny"), Preset)
    with pytest.raises(UserError, match="no preset 'huge'"):
        get_preset("huge")


def test_prediction_writes_every_key_and_takes_up_what_was_begun(barely: Path, renders: Samples, tmp_path: Path) -> None:
    predictor, out = Predictor.of(barely, "cpu"), tmp_path / "pred.jsonl"
    predict_file(predictor, DatasetImages(renders.path), out, batch_size=8)
    whole = read_predictions(out)
    assert list(whole) == renders.keys
    images, path = DatasetImages(renders.path), tmp_path / ".pred.jsonl.partial"
    partial = Partial(path, predictor.digest, Decoding())
    partial.take_up(images)
    # One whole batch, so that the others are batched as before: in other batches, an untrained model's last digits, and its choice among
    # nearly equal words, may differ.
    with partial.appending():
        for key in renders.keys[:8]:
            partial.add(Prediction(key, "", confidence=()), hashlib.sha256(images.encoded(key)).hexdigest())
    with path.open("a") as stream:
        stream.write('{"key": "0000')  # cut short by a kill
    predict_file(predictor, images, out, batch_size=8)
    resumed = read_predictions(out)
    assert {resumed[key].code for key in renders.keys[:8]} == {""}  # they were not predicted again
    assert [resumed[key] for key in renders.keys[8:]] == [whole[key] for key in renders.keys[8:]]
    assert not path.exists()


def test_loose_images_are_read(barely: Path, renders: Samples, tmp_path: Path) -> None:
    Image.fromarray(renders[renders.keys[0]].pixels()).convert("RGBA").save(tmp_path / "a.png")
    Image.fromarray(renders[renders.keys[1]].pixels()).convert("L").save(tmp_path / "b.jpg")
    predict_file(Predictor.of(barely, "cpu"), ImageFiles([tmp_path / "a.png", tmp_path / "b.jpg"]), tmp_path / "pred.jsonl")
    assert list(read_predictions(tmp_path / "pred.jsonl")) == ["a", "b"]


def test_foreign_and_damaged_models_are_refused(barely: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a shipped model nor a run folder"):
        find_model(str(tmp_path))

    def drop_a_weight(run: Path) -> None:
        weights = load_file(run / "model.safetensors")
        del weights["projector.weight"]
        save_file(weights, run / "model.safetensors", {"format": "pt"})

    for name, damage in {
        "lacking": drop_a_weight,
        "foreign": lambda run: (run / "config.json").write_text('{"model_type": "llama"}'),
        "newer": lambda run: (run / "config.json").write_text(
            (run / "config.json").read_text().replace('"format_version": 2', '"format_version": 9')
        ),
        "cut": lambda run: (run / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:1000]),
        "empty": lambda run: (run / "model.safetensors").unlink(),
        "no json": lambda run: (run / "config.json").write_text("{"),
        "no tokenizer": lambda run: (run / "tokenizer.json").unlink(),
    }.items():
        run = tmp_path / name
        shutil.copytree(barely, run)
        damage(run)
        with pytest.raises(UserError, match=name):
            Predictor.of(run, "cpu")
    with pytest.raises(UserError, match="--device"):
        Predictor.of(barely, "quantum")


def test_the_round_trip_reports_and_resumes(barely: Path, renders: Samples, tmp_path: Path) -> None:
    out = tmp_path / "report"
    metrics = roundtrip(Predictor.of(barely, "cpu"), renders.path, out, num=3)
    assert metrics["samples"] == 3
    assert metrics["image"]["samples"] == 3
    assert metrics == json.loads((out / "metrics.json").read_text())
    shown = "".join(path.read_text() for path in (out / "data").iterdir())
    assert all(key in shown for key in renders.keys[:3])
    (out / "metrics.json").unlink()
    before = (out / "rendered" / f"{renders.keys[0]}.png").stat().st_mtime_ns
    assert roundtrip(Predictor.of(barely, "cpu"), renders.path, out, num=3) == metrics
    assert (out / "rendered" / f"{renders.keys[0]}.png").stat().st_mtime_ns == before
