"""Rendering into a used folder: it ends with the files that a fresh call writes, and other people's files are left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen.code.predictions import Prediction, write_predictions
from datagen.errors import UserError
from datagen.generate import generate
from datagen.io import written
from datagen.io.files import atomic_file
from datagen.io.written import Written, list_name
from datagen.samples.settings import DatasetSettings
from datagen.shards.reader import Samples
from igllm import main
from model.prediction.decode import GREEDY
from model.prediction.decoding import Decoding
from model.prediction.outcomes import ModelFacts
from model.prediction.predict import Predictor
from render import rerender
from render.rerender import Standard, render_codes
from render.roundtrip import roundtrip

LIST = list_name("render")
SHOT = Standard("dot2d", 24, 24, "draft")
CODES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([*(f"dot(loc=({x}, 0.5))\n" for x in (0.2, 0.4)), "nonsense"]), min_size=1)


class Killed(BaseException):
    """Stands for a signal that cannot be caught."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LIST}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])  # some draws follow a rendering
@given(first=CODES, then=CODES, width=st.sampled_from([24, 24, 32]), writes=st.integers(0, 13), clear=st.booleans(), data=st.data())
def test_a_used_folder_ends_as_a_fresh_one(  # noqa: PLR0917
    first: dict[str, str], then: dict[str, str], width: int, writes: int, clear: bool, data: st.DataObject
) -> None:
    """Whatever the first call rendered, wherever it was killed, and whatever was removed since; a changed file is refused."""
    pick, harm, torn = data.draw(st.integers(0, 11)), data.draw(st.binary(max_size=3)), data.draw(st.booleans())
    with TemporaryDirectory() as place:
        used, fresh = Path(place) / "used", Path(place) / "fresh"
        left = iter(range(writes))

        @contextmanager
        def write(path: Path, *, settle: bool) -> Iterator[IO[bytes]]:
            if next(left, None) is None:
                raise Killed
            with atomic_file(path, settle=settle) as stream:
                yield stream

        with patch.object(written, "atomic_file", write), suppress(Killed):
            render_codes(first, SHOT, used, on=1)
        files = sorted(name for name in (contents(used) if used.exists() else {}) if name.partition(".")[0] in then)
        harmed = [None, *files][pick % (len(files) + 1)]
        if harmed and then[harmed[0]] != "nonsense":
            (used / harmed).write_bytes(harm)
            with pytest.raises(UserError, match=rf"{harmed}: was changed after igllm wrote it"):
                render_codes(then, SHOT, used, on=1, clear=clear)
            assert (used / harmed).read_bytes() == harm
            (used / harmed).unlink()
        if (used / LIST).exists() and torn:
            with (used / LIST).open("a") as stream:
                stream.write('{"file": "a.p')  # a line that a kill has cut short
        shot = Standard("dot2d", width, 24, "draft")
        rendered, expected = (render_codes(then, shot, out, on=1, clear=clear) for out in (used, fresh))
        assert (sorted(rendered.keys), rendered.refused) == (sorted(expected.keys), expected.refused)
        wanted = contents(fresh) if fresh.exists() else {}
        found = contents(used) if used.exists() else {}
        if clear:
            assert found == wanted
        about = {name: content for name, content in found.items() if name.partition(".")[0] in then}
        assert about == wanted


def test_what_is_whole_is_not_rendered_again_unless_the_software_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"a": "dot(loc=(0.2, 0.5))\n"}

    def written_anew() -> bool:
        before = (tmp_path / "a.png").stat().st_ino
        render_codes(codes, SHOT, tmp_path, on=1)
        return (tmp_path / "a.png").stat().st_ino != before

    render_codes(codes, SHOT, tmp_path, on=1)
    for name in (".a.png.tmp", ".mine.png.tmp"):
        (tmp_path / name).touch()
    assert not written_anew()
    assert [path.name for path in tmp_path.glob(".*.tmp")] == [".mine.png.tmp"]
    monkeypatch.setattr(rerender, "version", lambda _: "another")
    assert written_anew()
    monkeypatch.setattr(rerender, "outside_packages", lambda: {"dot2d": "dots 2.0"})
    assert written_anew()
    assert not written_anew()


def run(*arguments: Any) -> int:
    return main([*map(str, arguments), "--domain", "dot2d", "--width", "24", "--height", "24", "--workers", "1"])


def test_the_folder_of_a_prediction_file_holds_its_keys_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for keys in ("abc", "bd"):
        write_predictions(tmp_path / "pred.jsonl", [Prediction(key, "dot(loc=(0.2, 0.5))\n") for key in keys])
        assert run("render", "--code", tmp_path / "pred.jsonl", "--out", out) == 0
    assert {name for name in contents(out) if name.endswith(".png")} == {"b.png", "d.png"}
    captured = capsys.readouterr()
    assert "2 older pictures removed: not of this code" in captured.err
    assert captured.out.endswith("out: 2 pictures\n")


def test_scenes_of_ones_own_are_added_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("dot(loc=(0.2, 0.5))\n")
        assert run("render", "--code", tmp_path / f"{name}.py", "--out", tmp_path / "out") == 0
    assert {"one.png", "two.png"} <= contents(tmp_path / "out").keys()
    captured = capsys.readouterr()
    assert "1 older picture kept: not of this code" in captured.err
    assert captured.out.endswith("out: 1 picture\n")


def test_a_refused_scene_is_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text("nonsense")
    assert run("render", "--code", tmp_path / "bad.py", "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith(f"igllm render: {tmp_path / 'bad.py'}: line 1")


def test_files_of_others_are_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with the scene's own file, tars or somebody's samples is refused; a file of another name is left alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene.py").write_text("# mine\ndot(loc=(0.2, 0.5))\n")
    assert run("render", "--code", "scene.py", "--out", ".") == 2
    assert "scene.py: is there already, and igllm has not written it" in capsys.readouterr().err
    assert contents(tmp_path) == {"scene.py": b"# mine\ndot(loc=(0.2, 0.5))\n"}
    for name, names in (("tars", ["x.tar"]), ("samples", ["x.py", "x.json", "x.png"])):
        (tmp_path / name).mkdir()
        for file in names:
            (tmp_path / name / file).write_text("{}")
        before = contents(tmp_path / name)
        assert run("render", "--code", "scene.py", "--out", name) == 2
        assert "choose another folder" in capsys.readouterr().err
        assert contents(tmp_path / name) == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.json").write_text("{}")
    assert run("render", "--code", "scene.py", "--out", "notes") == 0
    assert (tmp_path / "notes" / "notes.json").read_text() == "{}"


def test_a_picture_that_was_changed_since_is_not_removed(tmp_path: Path) -> None:
    render_codes({"a": "dot(loc=(0.2, 0.5))\n", "b": "dot(loc=(0.2, 0.5))\n"}, SHOT, tmp_path, on=1)
    (tmp_path / "a.py").write_text("# corrected by hand\n")
    with pytest.raises(UserError, match=r"a\.py: was changed after igllm wrote it"):
        render_codes({"b": "dot(loc=(0.2, 0.5))\n"}, SHOT, tmp_path, on=1, clear=True)
    assert {"a.png", "a.py", "a.json", "b.png"} <= contents(tmp_path).keys()


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "", 3])
def test_a_list_that_names_what_is_elsewhere_is_refused(tmp_path: Path, name: Any) -> None:
    (tmp_path / LIST).write_text(json.dumps({"file": name, "made_from": "", "sha256": None}) + "\n")
    with pytest.raises(UserError, match="damaged"):
        Written(tmp_path, "render")


class Painter(Predictor):
    """A model of dots that writes the given code."""

    def __init__(self, code: str, domain: str = "dot2d") -> None:
        self.name, self.digest, self.code, self.domain = "painter", code, code, domain

    def predict(self, images: Iterable[tuple[str, np.ndarray]], batch_size: int = 32, decoding: Decoding = GREEDY) -> Iterator[Prediction]:
        for key, _ in images:
            yield Prediction(key, self.code)

    def _read(self, keys: list[str], pixel_values: torch.Tensor, decoding: Decoding) -> Iterator[Prediction]:
        raise NotImplementedError


def test_a_round_trip_over_an_older_one_ends_as_a_fresh_one(tmp_path: Path) -> None:
    """With other data under the same keys, unreadable code, another model and fewer samples, and the first data again."""
    one, other = (generate(DatasetSettings("dot2d", seed=seed, width=24, height=24), 4, tmp_path / str(seed)).path for seed in (1, 2))
    assert isinstance(one, Path)
    assert isinstance(other, Path)
    place = "dot(loc=({}, 0.5))\n".format
    used = tmp_path / "used"
    calls = [(one, place(0.2), None), (other, place(0.2), None), (other, "nonsense", None), (other, place(0.4), 2), (one, place(0.4), None)]
    for number, (data, code, num) in enumerate(calls):
        fresh = tmp_path / f"fresh{number}"
        metrics = [roundtrip(Painter(code), data, out, num=num, on=1) for out in (used, fresh)]
        assert metrics[0] == {**metrics[1], "candidate": metrics[0]["candidate"]}
        assert metrics[0]["unparsable"] == (4 if code == "nonsense" else 0)
        kept = [contents(out / "rendered") if (out / "rendered").exists() else {} for out in (used, fresh)]
        assert kept[0] == kept[1]


def test_a_round_trip_opens_its_data_set_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = generate(DatasetSettings("dot2d", width=24, height=24), 2, tmp_path / "data").path
    painter = Painter("dot(loc=(0.2, 0.5))\n")
    monkeypatch.setattr(Predictor, "of", staticmethod(lambda *_: painter))
    monkeypatch.setattr(ModelFacts, "stated_in", staticmethod(lambda _: painter))
    with patch.object(Samples, "__init__", autospec=True, side_effect=Samples.__init__) as opened:
        assert main(["roundtrip", "--data", str(data), "--out", str(tmp_path / "out"), "--num", "1", "--workers", "1"]) == 0
    assert [call.args[1] for call in opened.call_args_list].count(data) == 1


def test_a_model_of_another_domain_is_refused_before_it_predicts(tmp_path: Path) -> None:
    data = generate(DatasetSettings("dot2d", width=24, height=24), 1, tmp_path / "data").path
    assert isinstance(data, Path)
    with pytest.raises(UserError, match="painter writes code of the domain clevr, and the data are of dot2d"):
        roundtrip(Painter("", "clevr"), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_killed_round_trip_has_left_is_taken_up(tmp_path: Path) -> None:
    """Locks and half-written files included; a folder with other files is refused."""
    data = generate(DatasetSettings("dot2d", width=24, height=24), 1, tmp_path / "data").path
    assert isinstance(data, Path)
    out = tmp_path / "out"
    out.mkdir()
    for name in (".pred.jsonl.partial", ".pred.jsonl.lock", ".pred.jsonl.tmp", ".rendered.lock"):
        (out / name).touch()
    assert roundtrip(Painter("dot(loc=(0.2, 0.5))\n"), data, out, on=1)["samples"] == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(UserError, match="something other than a report"):
        roundtrip(Painter(""), data, tmp_path / "other", on=1)


def test_predictions_of_others_are_not_replaced_by_a_round_trip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a new folder, in a comparison's, and where they were changed since: refused before a model is loaded."""
    data = generate(DatasetSettings("dot2d", width=24, height=24), 2, tmp_path / "data").path
    assert isinstance(data, Path)
    write_predictions(tmp_path / "pred.jsonl", [Prediction(key, "") for key in Samples(data).keys])
    compared, trip, new = (tmp_path / name for name in ("compared", "trip", "new"))
    assert main(["compare", "--reference", str(data), "--candidate", str(tmp_path / "pred.jsonl"), "--out", str(compared)]) == 0
    roundtrip(Painter("dot(loc=(0.2, 0.5))\n"), data, trip, on=1)
    new.mkdir()
    for out, message in (
        (new, "is there already, and igllm has not written it"),
        (compared, "is there already, and igllm has not written it"),
        (trip, "was changed after igllm wrote it"),
    ):
        (out / "pred.jsonl").write_text("mine")
        assert main(["roundtrip", "--data", str(data), "--out", str(out), "--model", str(tmp_path / "none")]) == 2
        assert f"{out / 'pred.jsonl'}: {message}" in capsys.readouterr().err
        assert (out / "pred.jsonl").read_text() == "mine"


def test_a_round_trip_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    """It left no list of written files, but a page with a round trip's title."""
    data = generate(DatasetSettings("dot2d", width=24, height=24), 1, tmp_path / "data").path
    assert isinstance(data, Path)
    out = tmp_path / "out"
    roundtrip(Painter("dot(loc=(0.2, 0.5))\n"), data, out, on=1)
    (out / ".igllm-roundtrip.jsonl").unlink()
    assert roundtrip(Painter("dot(loc=(0.4, 0.5))\n"), data, out, on=1)["samples"] == 1
    assert "0.4" in (out / "pred.jsonl").read_text()


def test_a_pipe_in_the_place_of_predictions_is_named_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pred.jsonl")
    given = ["--reference", str(tmp_path / "pred.jsonl"), "--candidate", str(tmp_path / "pred.jsonl")]
    assert main(["compare", *given, "--out", str(tmp_path / "out")]) == 2
    assert "pred.jsonl: cannot be read (a pipe or device is in the place of the file)" in capsys.readouterr().err
