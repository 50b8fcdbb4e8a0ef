"""Odd scenes through Blender: the oddity of each is reported in a line, and no scene keeps others from being rendered."""

from __future__ import annotations

from pathlib import Path

import pytest

from datagen.code.predictions import Prediction, write_predictions
from datagen.shards.reader import Samples
from igllm import main

WORDS = 'color="green", material="rubber", size="large", shape="{}", rotation=0'


def thing(place: str, shape: str = "sphere", color: str = "green") -> str:
    return f"add(loc=({place}), {WORDS.format(shape).replace('green', color)})\n"


ODD = {
    "camera": thing("7.481, -6.508, 5.344"),
    "plane": thing("7.481, -6.508, 6.344", "cube"),
    "behind": thing("14.962, -13.016, 10.688") + thing("0, 0, 0.7"),
    "far": thing("1000000, -999999, 0"),
    "farther": thing("999999999999, 0, 0"),
    "twins": thing("0, 0, 0.7") * 2,
    "painted": thing("0, 0, 0.7", "cube", "red") + thing("0, 0, 0.7", "cube", "blue"),
    "half": thing("0, 0, 0.7") + thing("2, 0, 0.7") + thing("0.6, 0, 0.7", "cylinder", "red"),
    "none": "",
    "usual": thing("0, 0, 0.7"),
}


def test_odd_scenes_are_rendered_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_predictions(tmp_path / "odd.jsonl", (Prediction(key, code) for key, code in ODD.items()))
    frame = ["--width", "48", "--height", "36", "--quality", "draft", "--workers", "1"]
    assert main(["render", "--code", str(tmp_path / "odd.jsonl"), "--out", str(tmp_path / "out"), *frame]) == 0
    messages = capsys.readouterr().err
    assert "Traceback" not in messages
    odd = [line.removeprefix("igllm render: warning: ") for line in messages.splitlines() if "outside [" not in line and "warning" in line]
    assert {line.partition(":")[0] for line in odd} == {"camera", "twins", "painted", "half", "none"}
    assert "half: objects stand in each other: 1 (green rubber large sphere) and 3 (red rubber large cylinder)" in odd
    samples = Samples(tmp_path / "out")
    assert set(samples.keys) == set(ODD) - {"farther"}
    assert "farther: object 1: loc (999999999999.0, 0.0, 0.0) is past what any number may be, 1,000,000" in messages
    labels = {sample.key: sample.record["labels"] for sample in samples}
    assert labels["camera"][0]["visible_pixels"] == 48 * 36
    assert labels["plane"][0]["visible_pixels"] == labels["far"][0]["visible_pixels"] == 0
    assert [label["visible_pixels"] > 0 for label in labels["twins"]] == [True, False]
    usual = samples["usual"].pixels()
    assert (samples["twins"].pixels() == usual).all()
    assert (samples["behind"].pixels() == usual).all()
    red, _, blue = samples["painted"].pixels()[13:19, 21:27].reshape(-1, 3).mean(axis=0)
    assert red > 2 * blue  # the first object, as in the labels


def test_frames_that_no_verb_takes_are_refused_before_blender_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text(ODD["usual"])
    for size in (["--width", "100000", "--height", "100000"], ["--width", "8193"], ["--height", "15"]):
        assert main(["render", "--code", str(tmp_path / "a.py"), "--out", str(tmp_path / "out"), *size]) == 2
        assert "from 16 to 8192 each way are possible" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
