"""The de-rendering baseline: it learns real renders by heart, writes valid code, and is saved and resumed like any model."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from datagen.code.grammar import parse_code
from datagen.code.predictions import read_predictions
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.files import read_json, read_jsonl
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.samples.settings import DatasetSettings
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from igllm import main
from model.data.learner import Learner
from model.derender.build import begin_derendering
from model.derender.data import collate_regions
from model.derender.decode import write_perceived
from model.derender.derenderer import Derenderer, check_domain
from model.load import Loaded
from model.prediction.decoding import Decoding
from model.prediction.predict import Predictor, predict_file
from model.preset import get_preset
from model.run_folder import newest_checkpoint
from model.training.train import Data, align, pretrain, train
from render.conformance import small_set

CLEVR = get_domain("clevr")
DERENDER = get_preset("derender")
SharedSet = Callable[[str, DatasetSettings, int], Samples]
QUICK = DERENDER.replaced(steps=4, save_steps=2, log_steps=2, batch_size=4, report_to="none")
PARTS = {"proposal_loss", "mask_loss", "attribute_loss", "location_loss"}


@pytest.fixture(scope="module")
def trained(renders: Samples, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Derenderer]:
    """A run of four steps, and the model as training leaves it."""
    out = tmp_path_factory.mktemp("derender") / "run"
    return out, train(QUICK, "derender", data=Data([renders.path]), out=out, device="cpu")


@pytest.fixture(scope="module")
def barely(trained: tuple[Path, Derenderer]) -> Path:
    """The folder of a run of four steps."""
    return trained[0]


@pytest.fixture(scope="module")
def learner() -> Learner:
    torch.manual_seed(0)
    return begin_derendering(DERENDER.replaced(augment=False), CLEVR, {})


def batch_of(learner: Learner, samples: Samples, numbers: range) -> dict[str, torch.Tensor]:
    source = learner.source(Samples.for_training(samples.path))
    return collate_regions([source.example(number, None) for number in numbers])


@pytest.mark.slow
def test_renders_are_learnt_by_heart(shared_set: SharedSet, tmp_path: Path) -> None:
    """Every object is found with every word right, at a location within a small object's radius."""
    renders = shared_set("by-heart", small_set("clevr"), 8)
    preset = DERENDER.changed(["augment=false", "weight_decay=0", "save_seconds=1e6", "report_to=none", "batch_size=8", "steps=100"])
    train(preset, "derender", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    rows = [row for row in read_jsonl(tmp_path / "run" / "log.jsonl") if "loss" in row]
    assert all(rows[-1][part] < 0.25 * rows[0][part] for part in ("loss", *PARTS))
    predictions = list(Predictor.of(tmp_path / "run", "cpu").predict([(key, renders[key].pixels()) for key in renders.keys]))
    scores = summarize([score_scene(renders[p.key].scene, parse_code(p.code, CLEVR), CLEVR) for p in predictions])
    assert (scores["recall"], scores["precision"]) == (1.0, 1.0)
    assert set(scores["accuracy_all"].values()) == {1.0}
    assert scores["location_l2"] < 0.35  # metres: a small object's radius


def test_the_losses_add_up_over_the_batches_of_a_step(learner: Learner, renders: Samples) -> None:
    """Each part is divided by the objects of the whole step, however unevenly the batches hold them."""
    model, whole = learner.model.eval(), batch_of(learner, renders, range(5))
    halves = [batch_of(learner, renders, numbers) for numbers in (range(2), range(2, 5))]
    counts = model.loss_counts(whole)
    assert counts.tolist() == [sum(len(renders.at(i).scene) for i in range(5))] * 4
    assert torch.equal(sum(model.loss_counts(half) for half in halves), counts)
    together, apart = model(**whole, counts=counts), [model(**half, counts=counts) for half in halves]
    for part in ("loss", *PARTS):
        assert together[part].item() == pytest.approx(sum(one[part].item() for one in apart), rel=1e-5)
    assert together.loss.item() == pytest.approx(
        sum(weight * together[part].item() for part, weight in model.loss_weights.items()), rel=1e-6
    )


def test_every_network_learns_from_its_own_loss(learner: Learner, renders: Samples) -> None:
    """The attribute loss does not train the masks, which are to match the true ones."""
    model, batch = learner.model.train(), batch_of(learner, renders, range(4))
    trained = {}
    for part in sorted(PARTS):
        model.zero_grad()
        model(**batch)[part].backward()
        trained[part] = {n.partition(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert trained == {
        "proposal_loss": {"features", "proposals"},
        "mask_loss": {"features", "segmentation"},
        "attribute_loss": {"attributes"},
        "location_loss": {"localisation"},
    }


def test_an_image_without_objects_is_learnt_from(learner: Learner, renders: Samples) -> None:
    model, batch = learner.model.train(), batch_of(learner, renders, range(2))
    nothing = {name: value[:, :0] if name in ("boxes", "regions", "words", "numbers") else value for name, value in batch.items()}
    output = model(**nothing | {"owners": torch.zeros_like(batch["owners"])})
    assert output.attribute_loss is None
    assert output.loss.item() == output.proposal_loss.item() > 0


@pytest.mark.parametrize("sharpness", [1.0, 30.0])
def test_code_is_valid_whatever_the_weights(sharpness: float, renders: Samples) -> None:
    """The code is canonical and in its order, within the declared ranges, of at most the domain's number of objects."""
    torch.manual_seed(1)
    model: Derenderer = begin_derendering(DERENDER, CLEVR, {}).model
    model.config.threshold = 0.0
    with torch.no_grad():
        for read in (model.proposals.read, model.attributes.read, model.localisation.read):
            read.weight.mul_(sharpness)
    images = torch.cat([torch.randn(2, 3, 120, 160), torch.zeros(1, 3, 120, 160)])
    for code, confidence in write_perceived(model, images):
        scene = parse_code(code, CLEVR)
        assert 0 < len(scene) == len(confidence) <= CLEVR.max_objects
        assert CLEVR.violations(scene) == []
        assert scene.objects == CLEVR.canonical(scene).objects
        assert all(0 <= value <= 1 for value in confidence)
    with torch.no_grad():
        model.localisation.read.bias.fill_(torch.nan)
    with pytest.raises(UserError, match="not a number"):
        write_perceived(model, images)


def test_a_blank_image_holds_nothing_that_is_sure(learner: Learner) -> None:
    """An untrained model's heat is low everywhere, so it proposes nothing."""
    assert write_perceived(learner.model, torch.zeros(2, 3, 120, 160)) == [("", ()), ("", ())]


def test_a_saved_model_says_what_the_trained_one_said(trained: tuple[Path, Derenderer], renders: Samples, tmp_path: Path) -> None:
    _, model = trained
    model.config.threshold = 0.0  # after four steps, all heat is below the usual one
    images = [(key, renders[key].pixels()) for key in renders.keys[:5]]
    model.save_pretrained(tmp_path / "saved")
    before = list(Predictor.around(Loaded(model.eval(), None, "trained", "")).predict(images))
    after = list(Predictor.of(tmp_path / "saved", "cpu").predict(images))
    assert before == after
    assert all(p.code for p in after)
    alone = list(Predictor.of(tmp_path / "saved", "cpu").predict(images, batch_size=1))
    for one, other in zip(after, alone, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
        for a, b in zip(parse_code(one.code, CLEVR), parse_code(other.code, CLEVR), strict=True):
            assert a["loc"] == pytest.approx(b["loc"], abs=2e-3)


def test_a_run_tells_what_it_is(barely: Path) -> None:
    config = read_json(barely / "config.json")
    assert (config["model_type"], config["domain"], config["preset"]["kind"]) == ("igllm-derender", "clevr", "derender")
    assert len(config["data_digest"]) == 64
    assert config["code_version"]
    assert {path.suffix for path in barely.iterdir() if path.is_file()} == {".json", ".jsonl", ".safetensors"}
    assert not list(barely.rglob("training_args.bin"))


def test_a_stopped_run_goes_on_as_if_undisturbed(barely: Path, renders: Samples, tmp_path: Path) -> None:
    """From the checkpoint of step 2, beside the remains of an interrupted save."""
    stopped = tmp_path / "run"
    shutil.copytree(barely, stopped)
    for name in ("config.json", "model.safetensors", "log.jsonl"):
        (stopped / name).unlink()
    shutil.rmtree(stopped / "checkpoint-4")
    (stopped / ".saving" / "checkpoint-4").mkdir(parents=True)
    assert newest_checkpoint(stopped) == stopped / "checkpoint-2"
    train(QUICK, "derender", data=Data([renders.path]), out=stopped, device="cpu")
    undisturbed, resumed = (load_file(run / "model.safetensors") for run in (barely, stopped))
    assert all(torch.equal(undisturbed[name], resumed[name]) for name in undisturbed)
    logs = [
        [{k: v for k, v in row.items() if "loss" in k} for row in read_jsonl(run / "log.jsonl") if "loss" in row]
        for run in (barely, stopped)
    ]
    assert logs[0] == logs[1]
    assert set(logs[0][0]) == {"loss", *PARTS}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_weights(renders: Samples, tmp_path: Path) -> None:
    settings = [word for pair in ("save_steps=3", "report_to=none") for word in ("--set", pair)]
    command = [sys.executable, "-P", "-m", "igllm", "train", "--preset", "derender", "--data", str(renders.path), "--steps", "8"]
    command += ["--batch-size", "4", "--device", "cpu", *settings, "--out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(tmp_path / "calm")], env=environment, capture_output=True, check=True)
    killed = tmp_path / "killed"
    running = subprocess.Popen([*command, str(killed)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (killed / ".saving" / "checkpoint-6").exists() and running.poll() is None:
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    subprocess.run([*command, str(killed)], env=environment, capture_output=True, check=True)
    calm, resumed = (load_file(run / "model.safetensors") for run in (tmp_path / "calm", killed))
    assert all(torch.equal(calm[name], resumed[name]) for name in calm)


def test_the_verbs_take_it_like_any_model(renders: Samples, others: Samples, tmp_path: Path) -> None:
    """Training with validation, prediction, comparison, and a round trip through Blender."""
    run, pred, data = tmp_path / "run", tmp_path / "pred.jsonl", str(others.path)
    settings = [word for pair in ("eval_steps=2", "save_steps=2", "report_to=none") for word in ("--set", pair)]
    common = ["--preset", "derender", "--steps", "4", "--batch-size", "4", "--device", "cpu", *settings]
    assert main(["train", *common, "--data", str(renders.path), "--val", data, "--out", str(run)]) == 0
    evaluated = [row for row in read_jsonl(run / "log.jsonl") if "eval_loss" in row]
    assert [row["step"] for row in evaluated] == [2, 4]
    for row in evaluated:
        parts = {name: row[f"eval_{name}"] for name in PARTS}
        weighted = sum(parts.values()) + (DERENDER.head.number_weight - 1) * parts["location_loss"]
        assert row["eval_loss"] == pytest.approx(weighted)
    best = read_json(run / "best" / "best.json")
    assert best["eval_loss"] == min(row["eval_loss"] for row in evaluated)
    assert main(["predict", "--model", str(run / "best"), "--data", data, "--out", str(pred), "--device", "cpu"]) == 0
    assert list(read_predictions(pred)) == others.keys
    assert main(["compare", "--reference", data, "--candidate", str(pred), "--out", str(tmp_path / "report")]) == 0
    assert read_json(tmp_path / "report" / "metrics.json")["samples"] == 5
    around = ["roundtrip", "--model", str(run), "--data", data, "--num", "2", "--device", "cpu", "--workers", "1"]
    assert main([*around, "--out", str(tmp_path / "around")]) == 0
    assert (tmp_path / "around" / "index.html").is_file()


def test_it_has_one_answer(barely: Path, renders: Samples, tmp_path: Path) -> None:
    predictor, out = Predictor.of(barely, "cpu"), tmp_path / "pred.jsonl"
    for decoding in (Decoding(beams=4), Decoding(samples=2, beams=2), Decoding(temperature=1.0)):
        with pytest.raises(UserError, match="one answer"):
            predict_file(predictor, DatasetImages(renders.path), out, decoding=decoding)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--numbers", "char"], "numbers is a setting of IG-LLM"),
        (["--number-feedback"], "number_feedback is a setting of IG-LLM"),
        (["--cache-features"], "cache_features"),
        (["--language-model", "some/model"], "language_model is a setting of IG-LLM"),
        (["--vision-model", "some/model"], "vision_model is a setting of IG-LLM"),
        (["--set", "lora_rank=4", "--set", "lora_alpha=8"], "lora_rank is a setting of IG-LLM"),
        (["--set", "freeze_vision=true"], "freeze_vision=false"),
        (["--full"], "--full"),
        (["--init", "nowhere"], "--init"),
        (["--preset", "tokens.toml"], "[vision]: "),
        (["--preset", "typo.toml"], 'did you mean "resnet"?'),
    ],
)
def test_what_makes_no_sense_gets_one_message(  # noqa: PLR0917
    flags: list[str], message: str, renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, trunk in (("tokens", 'model_type = "llama"\nhidden_size = 32'), ("typo", 'model_type = "resnets"')):
        Path(f"{name}.toml").write_text(f'kind = "derender"\nfreeze_vision = false\n[vision]\n{trunk}\n')
    preset = [] if "--preset" in flags else ["--preset", "derender"]
    assert main(["train", "--data", str(renders.path), "--out", "run", "--steps", "1", *preset, *flags]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1


def test_other_stages_domains_and_samples_are_refused(learner: Learner, renders: Samples, tmp_path: Path) -> None:
    for stage in (align, pretrain):
        with pytest.raises(UserError, match="a stage of IG-LLM"):
            stage(QUICK, "derender", data=Data([renders.path]), out=tmp_path / "run", device="cpu")
    two = SimpleNamespace(name="toys", statements=(SimpleNamespace(name="add"), SimpleNamespace(name="light")))
    with pytest.raises(UserError, match="one statement; toys has add, light"):
        check_domain(two)
    make, sample = learner.source(Samples.for_training(renders.path)).make, renders.at(0)
    for labels in ([], [{}] * len(sample.scene), [{"mask": {"size": [4, 4], "counts": [3]}}] * len(sample.scene)):
        with pytest.raises(UserError, match="not the masks"):
            make(replace(sample, record={**sample.record, "labels": labels}), None)
    with pytest.raises(UserError, match="of the domain"):
        make(replace(sample, record={**sample.record, "scene": {"domain": "toys", "objects": []}}), None)


def test_damaged_models_are_refused(barely: Path, tmp_path: Path) -> None:
    run = tmp_path / "lacking"
    shutil.copytree(barely, run)
    weights = load_file(run / "model.safetensors")
    del weights["proposals.read.weight"]
    save_file(weights, run / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match="is not as it was saved"):
        Predictor.of(run, "cpu")
    (run / "whole.json").unlink()  # the list of digests, which shows the change
    with pytest.raises(UserError, match="lack proposals"):
        Predictor.of(run, "cpu")
