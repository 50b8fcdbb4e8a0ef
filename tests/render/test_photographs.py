"""The round trip of images without a truth: a page of what was read from them, with a warning where the model is unsure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pages import Page, report_cards
from PIL import Image
from stub_predictor import Stub, paint

from datagen.code.predictions import Prediction
from datagen.errors import UserError
from datagen.images.encoding import decode_image
from datagen.shards.pictures import ImageFiles
from igllm import main
from model.load import find_model
from model.prediction.decode import GREEDY
from model.prediction.decoding import Decoding
from render.photographs import roundtrip_images
from render.unlike import warning

ATTACK = "<script>alert(1)</script>"


class Dots(Stub):
    """A model that sees a dot in the middle of every image, and is the surer of it the lighter the image is; of a black one it writes
    nothing, of a white one what is no code."""

    def __init__(self) -> None:
        super().__init__()
        self.name, self.domain = str(find_model("tiny")), "dot2d"

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        for key, pixels in images:
            light = int(pixels.mean())
            if light < 5:
                yield Prediction(key, "")
            elif light > 250:
                yield Prediction(key, ATTACK, confidence=(0.99,))
            else:
                yield Prediction(key, "dot(loc=(0.5, 0.5))\n", confidence=(light / 255,))


@pytest.fixture
def images(tmp_path: Path) -> ImageFiles:
    """Images of several shades and shapes, one of which cannot be read."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shade in (("black", 1), ("grey", 100), ("light", 240), ("white", 255), ("broken", 0)):
        paint(folder / f"{name}.png", shade)
    Image.new("L", (200, 50), 239).save(folder / "wide.jpg")
    return ImageFiles(sorted(folder.iterdir()))


def test_a_page_shows_images_beside_what_was_read(images: ImageFiles, tmp_path: Path) -> None:
    out = tmp_path / "report"
    metrics = roundtrip_images(Dots(), images, out, on=1)
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert (metrics["samples"], metrics["objects"], metrics["unlike"], metrics["refused"]) == (5, 3, 2, 1)
    assert metrics["skipped"].keys() == {"broken"}
    cards = {card["key"]: card for card in report_cards(out)}
    assert cards.keys() == {"black", "grey", "light", "white", "wide"}
    assert {key for key, card in cards.items() if card["notes"]} == {"black", "grey"}
    assert "39 % sure" in cards["grey"]["notes"][0]
    for key in ("grey", "light", "wide"):
        [answer] = cards[key]["answers"]
        frames = [
            decode_image((out / path).read_bytes(), path).shape for path, _, _ in (cards[key]["input"], answer["picture"], answer["heat"])
        ]
        assert frames == [(256, 320, 3)] * 3  # that of the model, as large as most data sets' images
        assert [row[0] for row in answer["rows"]] == ["alone"]
    assert cards["white"]["answers"][0]["code"] == ATTACK
    assert ATTACK not in (out / "index.html").read_text()
    assert "cannot be read" in Page(out / "index.html").text


def test_a_wide_image_is_shown_as_a_whole(images: ImageFiles, tmp_path: Path) -> None:
    roundtrip_images(Dots(), images, tmp_path / "report", on=1)
    [wide] = [card for card in report_cards(tmp_path / "report") if card["key"] == "wide"]
    pixels = decode_image((tmp_path / "report" / wide["input"][0]).read_bytes(), "wide")
    light = (np.abs(pixels.astype(int) - 239) < 3).all((1, 2))
    assert light.sum() == 80  # 320 wide, as 200 is to 50
    assert light[88:168].all()


def test_a_second_call_renders_nothing_anew_and_replaces_the_page(images: ImageFiles, tmp_path: Path) -> None:
    out = tmp_path / "report"
    roundtrip_images(Dots(), images, out, on=1)
    before = {path: path.stat().st_mtime_ns for path in (out / "rendered").iterdir()}
    roundtrip_images(Dots(), images, out, on=1)
    assert {path: path.stat().st_mtime_ns for path in (out / "rendered").iterdir()} == before


def test_no_image_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint(tmp_path / "broken.png", 0)
    with pytest.raises(UserError, match="none of the images can be read"):
        roundtrip_images(Dots(), ImageFiles([tmp_path / "broken.png"]), tmp_path / "report")
    paint(tmp_path / "grey.png", 100)
    call = ["roundtrip", "--images", str(tmp_path / "grey.png"), "--out", str(tmp_path / "out")]
    assert main([*call, "--num", "2"]) == 2
    assert "--images names 1 image" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*call, "--data", str(tmp_path)])
    assert "not allowed with" in capsys.readouterr().err


def test_a_calibrated_model_says_itself_what_it_does_not_know() -> None:
    code = "dot(loc=(0.5, 0.5))\n"
    strange = Prediction("a", code, confidence=(0.99,), looks_like_domain=False, domain_distance=2.5)
    known = Prediction("b", code, confidence=(0.2,), looks_like_domain=True, domain_distance=0.5)
    assert "2.5 times" in warning(strange)
    assert warning(known) is None
    assert warning(Prediction("c", "", confidence=(), looks_like_domain=True, domain_distance=0.5)) is not None
