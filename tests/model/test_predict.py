"""The prediction file: of images of all sorts, in the face of broken ones and interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_models import setting

from datagen.code import parse_code
from datagen.domains import get_domain
from datagen.errors import UserError
from datagen.predictions import read_predictions
from model.choosing import Decoding
from model.predict import ImageFiles, Predictor, predict_file

DRAWN = Decoding(samples=3, temperature=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was not trained, as a run leaves it."""
    path = tmp_path_factory.mktemp("model")
    small = setting("words", "head")
    small.model.save_pretrained(path)
    small.codec.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.of(folder, "cpu")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Eight pictures, of which 2 is none, 4 is empty, 5 is a folder and 7 does not exist."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    for path, (height, width) in zip(paths, [(32, 32), (40, 30), (9, 400), (64, 64)] * 2, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    paths[2].write_bytes(b"not a picture")
    paths[4].write_bytes(b"")
    paths[5].unlink()
    paths[5].mkdir()
    paths[7].unlink()
    return paths


def test_what_cannot_be_read_is_named_and_skipped(
    predictor: Predictor, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = predict_file(predictor, ImageFiles(images), tmp_path / "pred.jsonl", batch_size=2)
    assert list(skipped) == ["2", "4", "5", "7"]
    assert list(read_predictions(tmp_path / "pred.jsonl")) == ["0", "1", "3", "6"]
    told = capsys.readouterr().err
    assert all(str(images[i]) in told for i in (2, 4, 5, 7))
    none = predict_file(predictor, ImageFiles(images[4:6]), tmp_path / "none.jsonl")
    assert set(none) == {"4", "5"}
    assert read_predictions(tmp_path / "none.jsonl") == {}


def test_candidates_are_written_best_first(predictor: Predictor, images: list[Path], tmp_path: Path) -> None:
    for decoding in (DRAWN, Decoding(samples=2, beams=4)):
        predict_file(predictor, ImageFiles(images), tmp_path / "pred.jsonl", decoding=decoding)
        for prediction in read_predictions(tmp_path / "pred.jsonl").values():
            assert prediction.candidates is not None
            assert len(prediction.candidates) == decoding.samples
            assert prediction.code == prediction.candidates[0].code
            assert prediction.confidence is not None
            assert len(prediction.confidence) == len(parse_code(prediction.code, get_domain("clevr")))
    predict_file(predictor, ImageFiles(images), tmp_path / "pred.jsonl")
    assert all(p.candidates is None for p in read_predictions(tmp_path / "pred.jsonl").values())


@pytest.mark.parametrize("kept", [0, 10, 300, 600, 900, 10_000])
def test_an_interrupted_call_is_taken_up_wherever_it_was_cut(
    predictor: Predictor, images: list[Path], tmp_path: Path, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out, partial = ImageFiles(images), tmp_path / "pred.jsonl", tmp_path / ".pred.jsonl.partial"
    predict_file(predictor, source, out, batch_size=1, decoding=DRAWN)
    whole = out.read_bytes()
    out.unlink()
    monkeypatch.setattr(Path, "unlink", lambda path, **_: None)  # keeps the partial file, with all that was done in it
    predict_file(predictor, source, out, batch_size=1, decoding=DRAWN)
    monkeypatch.undo()
    out.unlink()
    partial.write_bytes(partial.read_bytes()[:kept])
    skipped = predict_file(predictor, source, out, batch_size=3, decoding=DRAWN)
    assert [json.loads(line)["code"] for line in out.read_bytes().splitlines()] == [json.loads(x)["code"] for x in whole.splitlines()]
    assert set(skipped) == {"2", "4", "5", "7"}
    assert not partial.exists()


def test_what_was_found_unreadable_stays_skipped_and_is_told_again(
    predictor: Predictor, images: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(ImageFiles):
        def pixels(self, key: str) -> np.ndarray:
            if key == "6":
                raise KeyboardInterrupt
            return super().pixels(key)

    with pytest.raises(KeyboardInterrupt):
        predict_file(predictor, Interrupted(images), tmp_path / "pred.jsonl", batch_size=1)
    images[3].unlink()  # it was read before
    Image.new("RGB", (8, 8)).save(images[2])
    capsys.readouterr()
    skipped = predict_file(predictor, ImageFiles(images), tmp_path / "pred.jsonl", batch_size=1)
    assert set(skipped) == {"2", "4", "5", "7"}
    assert str(images[2]) in capsys.readouterr().err
    assert list(read_predictions(tmp_path / "pred.jsonl")) == ["0", "1", "3", "6"]


def test_other_settings_begin_anew(predictor: Predictor, images: list[Path], tmp_path: Path) -> None:
    source, out, partial = ImageFiles(images[:2]), tmp_path / "pred.jsonl", tmp_path / ".pred.jsonl.partial"
    predict_file(predictor, source, out, decoding=DRAWN)
    whole = out.read_bytes()
    marked = json.dumps({"key": "0", "code": "", "confidence": []})
    for other in ({"model": predictor.digest, "keys": "of others", "decoding": {}}, {}, "damaged"):
        partial.write_text(json.dumps(other) + "\n" + marked + "\n")
        predict_file(predictor, source, out, decoding=DRAWN)
        assert out.read_bytes() == whole


def test_names_that_cannot_be_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="same stem"):
        ImageFiles([tmp_path / "a.png", tmp_path / "a.jpg"])
    for name in (".hidden.png", "line\nbreak.png"):
        with pytest.raises(UserError, match="cannot be a prediction's key"):
            ImageFiles([tmp_path / name])


@pytest.mark.slow
def test_a_killed_call_is_taken_up(folder: Path, predictor: Predictor, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"{i:02}.png")
    paths, out, partial = sorted(tmp_path.glob("*.png")), tmp_path / "pred.jsonl", tmp_path / ".pred.jsonl.partial"
    command = [sys.executable, "-P", "-m", "igllm", "predict", "--model", str(folder), "--device", "cpu", "--batch-size", "1"]
    command += ["--images", *map(str, paths), "--out", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not partial.exists() or partial.read_bytes().count(b"\n") < 4:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    before = partial.read_bytes().count(b"\n") - 1
    assert 3 <= before < 60
    subprocess.run(command, env=environment, check=True)
    undisturbed = tmp_path / "undisturbed.jsonl"
    predict_file(predictor, ImageFiles(paths), undisturbed, batch_size=1)
    assert out.read_bytes() == undisturbed.read_bytes()
