"""The prediction file, for images of all kinds, broken ones included, and after interruptions."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from places import ROOT
from small_models import CLEVR, LINE, setting
from stub_predictor import Killed, Stub, Until, paint

from datagen.code.grammar import parse_code
from datagen.code.predictions import Prediction, read_predictions
from datagen.code.printed import codes_printed
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.shards.pictures import ImageFiles
from igllm import main
from model.load import load_model
from model.prediction.decode import GREEDY
from model.prediction.decoding import Decoding
from model.prediction.predict import Predictor, predict_file, predict_images
from model.tokens.prompts import prompt_tokens

DRAWN = Decoding(samples=3, temperature=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model, saved as a run saves it."""
    path = tmp_path_factory.mktemp("model")
    small = setting("words", "head")
    small.model.config.prefix_token_ids = prompt_tokens(small.codec.tokenizer).prefix
    small.model.save_pretrained(path)
    small.codec.tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor.of(folder, "cpu")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Eight paths: 2 is no image, 4 is empty, 5 is a folder and 7 does not exist."""
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
    output = capsys.readouterr().err
    assert all(str(images[i]) in output for i in (2, 4, 5, 7))
    none = predict_file(predictor, ImageFiles(images[4:6]), tmp_path / "none.jsonl")
    assert set(none) == {"4", "5"}
    assert read_predictions(tmp_path / "none.jsonl") == {}


def test_what_is_given_is_what_a_file_would_hold(predictor: Predictor, images: list[Path], tmp_path: Path) -> None:
    for decoding in (GREEDY, DRAWN):
        found, skipped = predict_images(predictor, ImageFiles(images), 2, decoding)
        assert skipped == predict_file(predictor, ImageFiles(images), tmp_path / "pred.jsonl", 2, decoding)
        assert found == list(read_predictions(tmp_path / "pred.jsonl").values())


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


@given(
    shades=st.lists(st.integers(0, 3), min_size=2, max_size=6),
    later=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    same_images=st.booleans(),
    died_at=st.integers(0, 5),
    cut=st.integers(0, 40),
    order=st.permutations(range(6)),
    model=st.sampled_from(["one", "other"]),
    seed=st.sampled_from([0, 1]),
)
def test_what_is_taken_up_is_what_a_fresh_call_would_say(  # noqa: PLR0917
    shades: list[int], later: list[int], same_images: bool, died_at: int, cut: int, order: list[int], model: str, seed: int
) -> None:
    """A call is killed anywhere and its file cut anywhere; then images, their order, the model or the settings may be others."""
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(6)]
        for path, shade in zip(paths, shades, strict=False):
            paint(path, shade)
        out, partial, fresh = (Path(folder) / name for name in ("pred.jsonl", ".pred.jsonl.partial", "fresh.jsonl"))
        with suppress(Killed):
            predict_file(Stub(), Until(paths[: len(shades)], str(died_at)), out, batch_size=1)
        if partial.exists() and cut:
            partial.write_bytes(partial.read_bytes()[:-cut])
        if not same_images:
            for path, shade in zip(paths, later, strict=True):
                paint(path, shade)
        chosen = [paths[i] for i in order if paths[i].exists()]
        decoding = Decoding(seed=seed)
        skipped = predict_file(Stub(model), ImageFiles(chosen), out, decoding=decoding)
        assert skipped == predict_file(Stub(model), ImageFiles(chosen), fresh, decoding=decoding)
        assert out.read_bytes() == fresh.read_bytes()
        assert not partial.exists()


def killed_after(paths: list[Path], key: str, out: Path) -> None:
    with pytest.raises(Killed):
        predict_file(Stub(), Until(paths, key), out, batch_size=1)


def test_how_much_was_taken_up_is_told_and_why_the_rest_was_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths, out = [tmp_path / f"{i}.png" for i in range(5)], tmp_path / "pred.jsonl"
    for path in paths:
        paint(path, 1)
    killed_after(paths, "3", out)
    assert "taken up" not in capsys.readouterr().err
    paint(paths[1], 2)
    killed_after(paths, "4", out)
    assert "2 of 5 predictions taken up from an interrupted call; 1 begun anew, as their images have changed" in capsys.readouterr().err
    predict_file(Stub("other"), ImageFiles(paths), out, decoding=Decoding(seed=1))
    output = capsys.readouterr().err
    assert "begun anew: they were made with another model and other settings of decoding" in output
    assert "taken up" not in output
    killed_after(paths, "3", out)
    partial = tmp_path / ".pred.jsonl.partial"
    partial.write_bytes(partial.read_bytes() + b"[]\n")
    predict_file(Stub(), ImageFiles(paths), out)
    output = capsys.readouterr().err
    assert "a line is damaged" in output and "3 of 5 predictions taken up" in output


@given(st.data())
def test_no_damaged_byte_of_what_was_left_becomes_a_prediction(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.png" for i in range(4)]
        for path in paths:
            paint(path, 1)
        out, partial, fresh = (Path(folder) / name for name in ("pred.jsonl", ".pred.jsonl.partial", "fresh.jsonl"))
        killed_after(paths, "3", out)
        left = bytearray(partial.read_bytes())
        left[data.draw(st.integers(0, len(left) - 1))] = data.draw(st.integers(0, 255))
        partial.write_bytes(left)
        predict_file(Stub(), ImageFiles(paths), out)
        predict_file(Stub(), ImageFiles(paths), fresh)
        assert out.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_left_over_is_not_written_through(kind: str, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", 1)
    partial, victim = tmp_path / ".pred.jsonl.partial", tmp_path / "victim"
    victim.write_text("precious")
    {"link": lambda: partial.symlink_to(victim), "pipe": lambda: os.mkfifo(partial), "folder": partial.mkdir}[kind]()
    with pytest.raises(UserError, match=r"\.pred\.jsonl\.partial: is (a link|no plain file), and igllm has left none there; remove it"):
        predict_file(Stub(), ImageFiles([tmp_path / "a.png"]), tmp_path / "pred.jsonl")
    assert victim.read_text() == "precious"


def test_images_taken_up_are_not_predicted_again(tmp_path: Path) -> None:
    paths, out = [tmp_path / f"{i}.png" for i in range(5)], tmp_path / "pred.jsonl"
    for path in paths:
        paint(path, 1)
    killed_after(paths, "3", out)

    class Counting(Stub):
        def predict(self, images: Iterable[tuple[str, np.ndarray]], *settings: Any) -> Iterator[Prediction]:
            self.seen = list(images)
            return super().predict(self.seen, *settings)

    counting = Counting()
    predict_file(counting, ImageFiles(paths), out)
    assert [key for key, _ in counting.seen] == ["3", "4"]


def test_a_model_is_all_of_its_files(folder: Path, tmp_path: Path) -> None:
    """The digest depends on configuration and tokenizer too, but not on a run's log beside them."""
    digests = {load_model(folder, "cpu").digest}
    for name, change in (("config.json", {"number_feedback_scale": 2}), ("tokenizer_config.json", {"padding_side": "left"})):
        other = tmp_path / name
        shutil.copytree(folder, other)
        (other / name).write_text(json.dumps(json.loads((other / name).read_text()) | change))
        (other / "log.jsonl").write_text("{}\n")
        digests.add(load_model(other, "cpu").digest)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "log.jsonl").write_text("{}\n")
    assert load_model(copy, "cpu").digest in digests
    assert len(digests) == 3


def test_a_folder_in_the_place_of_the_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a folder is in the place of the file to write"):
        predict_file(Stub(), ImageFiles([]), tmp_path)


def predict_arguments(folder: Path, *arguments: object) -> list[str]:
    return list(map(str, ("predict", "--model", folder, "--device", "cpu", *arguments)))


def test_a_folder_and_a_pattern_mean_the_images_in_order(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.JPG", "c[1].png", "._b.png", "notes.txt", "d.heic"):
        paint(tmp_path / "photos" / "x.png", 1)
        (tmp_path / "photos" / "x.png").rename(tmp_path / "photos" / name)
    (tmp_path / "photos" / "more").mkdir()
    assert main(predict_arguments(folder, "--images", "photos", "--out", "p.jsonl")) == 0
    assert list(read_predictions(tmp_path / "p.jsonl")) == ["a", "b", "c[1]"]
    captured = capsys.readouterr()
    assert "left out, as their names are not those of images: photos/d.heic, photos/notes.txt" in captured.err
    assert "p.jsonl: 3 predictions\n" in captured.out
    assert main(predict_arguments(folder, "--images", "photos/*.png", "--out", "q.jsonl")) == 0
    assert list(read_predictions(tmp_path / "q.jsonl")) == ["b", "c[1]"]
    assert main(predict_arguments(folder, "--images", "photos/c[1].png", "--out", "q.jsonl")) == 0
    assert list(read_predictions(tmp_path / "q.jsonl")) == ["c[1]"]
    assert "q.jsonl: 1 prediction\n" in capsys.readouterr().out


@pytest.mark.parametrize("count", [1, 2])
def test_candidates_are_printed_with_their_marks(folder: Path, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(count)]
    for path in paths:
        paint(path, 100)
    drawn = ("--samples", 3, "--temperature", 1)
    assert main(predict_arguments(folder, "--images", *paths, *drawn)) == 0
    shown = capsys.readouterr().out
    assert main(predict_arguments(folder, "--images", *paths, *drawn, "--out", tmp_path / "p.jsonl")) == 0
    expected = []
    for prediction in read_predictions(tmp_path / "p.jsonl").values():
        assert prediction.candidates is not None
        expected += [f"# prediction of {prediction.key}"] * (count > 1)
        for rank, one in enumerate(prediction.candidates, 1):
            expected += [f"# candidate {rank} of 3, log-likelihood {one.logp:.4g}", *one.code.splitlines()]
    assert shown.splitlines() == expected
    assert parse_code(shown, get_domain("clevr")) is not None  # the marks are comments
    best = {one.key: one.code for one in read_predictions(tmp_path / "p.jsonl").values()}
    assert codes_printed(shown, "alone", "a text") == (best if count > 1 else {"alone": best["0"]})


def test_it_is_said_if_nothing_is_named_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the image, one of two models ends its text at once, and the other goes on as long as it may."""
    small, outcomes = setting("words", "head"), set()
    paint(tmp_path / "a.png", 100)
    for sign in (1.0, -1.0):
        with torch.no_grad():
            words = small.model.language_model.get_output_embeddings().weight
            words.zero_()
            words[small.codec.tokenizer.eos_token_id] = sign
            words[small.codec.encode(parse_code(LINE, CLEVR)).ids[0]] = -sign
        small.model.config.prefix_token_ids = prompt_tokens(small.codec.tokenizer).prefix
        small.model.save_pretrained(tmp_path / f"model{sign}")
        small.codec.tokenizer.save_pretrained(tmp_path / f"model{sign}")
        assert main(predict_arguments(tmp_path / f"model{sign}", "--images", tmp_path / "a.png", "--out", tmp_path / "p.jsonl")) == 0
        empty = read_predictions(tmp_path / "p.jsonl")["a"].code == ""
        outcomes.add((empty, "the one code is empty: no object is named" in capsys.readouterr().err))
    assert outcomes == {(True, True), (False, False)}


def test_names_that_cannot_be_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png and .*a\.jpg: both would have the key 'a'"):
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
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
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
