"""Models of a dialect: built, saved and loaded with it, they predict the domain's own code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from datagen.code.grammar import parse_code
from datagen.domains.dialects import REPRESENTATIONS
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from model.build import build
from model.load import load_model
from model.prediction.predict import Predictor
from model.preset import get_preset
from model.training.initial_weights import load_initial_weights

TINY = get_preset("tiny")


@pytest.mark.parametrize(
    ("rotations", "numbers"),
    [  # quick: each representation, with numbers in one of the two ways
        pytest.param(rotations, numbers, marks=pytest.mark.slow if (row + column) % 2 else ())
        for row, rotations in enumerate(REPRESENTATIONS)
        for column, numbers in enumerate(("head", "char"))
    ],
)
def test_a_model_of_a_dialect_predicts_its_domains_code(rotations: str, numbers: str, tmp_path: Path) -> None:
    domain = get_domain("pose6d")
    settings = [f"rotations={rotations}", f"numbers={numbers}", f"number_feedback={str(numbers == 'head').lower()}"]
    model, codec = build(TINY.changed(settings), domain)
    model.save_pretrained(tmp_path)
    codec.tokenizer.save_pretrained(tmp_path)
    predictor = Predictor.of(tmp_path, "cpu")
    assert predictor.model.config.rotations == rotations
    rng = np.random.default_rng(0)
    for prediction in predictor.predict((str(i), rng.integers(0, 256, (96, 96, 3), np.uint8)) for i in range(2)):
        scene = parse_code(prediction.code, domain)
        assert domain.canonical(scene).objects == scene.objects
        assert len(prediction.confidence) == len(scene)


def test_rotations_that_a_domain_has_not_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="clevr domain has no free rotations"):
        build(TINY.changed(["rotations=6d"]), get_domain("clevr"))
    build(TINY.changed(["rotations=6d"]), get_domain("so3"))[0].save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for wrong, message in (
        (("so3", "quaternion"), "none of own"),
        (("so3", ["6d"]), "rotations is .*, but must be a string"),
        (("dot2d", "6d"), "no free rotations"),
    ):
        config["domain"], config["rotations"] = wrong
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(UserError, match=message):
            load_model(tmp_path, "cpu")


@pytest.mark.parametrize(("then", "now", "everything"), [("6d", "euler", False), ("euler", "own", True), ("6d", "6d", True)])
def test_of_a_run_that_wrote_rotations_otherwise_the_tower_goes_on(then: str, now: str, everything: bool, tmp_path: Path) -> None:
    domain = get_domain("pose6d")
    torch.manual_seed(0)
    before, codec = build(TINY.changed([f"rotations={then}", "numbers=char"]), domain)
    before.save_pretrained(tmp_path)
    codec.tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(1)
    after, _ = build(TINY.changed([f"rotations={now}", "numbers=char"]), domain)
    fresh = {name: value.clone() for name, value in after.state_dict().items()}
    load_initial_weights(after, tmp_path)
    for name, value in after.state_dict().items():
        loaded = everything or name.startswith(("tower.", "projector."))
        assert torch.equal(value, before.state_dict()[name] if loaded else fresh[name]), name
