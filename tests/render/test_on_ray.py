"""Rendering and prediction on a Ray cluster: the same files as on this machine alone, resumed in the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_run import Train

from datagen.errors import UserError
from datagen.shards.pictures import DatasetImages
from datagen.shards.reader import Samples
from datagen.workers.ray_cluster import OnRay, ray_cluster
from igllm import main
from model.load import find_model
from model.prediction.cluster import _Reader, reader_on
from model.prediction.predict import Predictor, predict_file
from render.images import same_image
from render.rerender import Recorded, render_codes
from render.roundtrip import roundtrip

TWO = OnRay(workers=2)


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    """One cluster of this machine for all tests, which each would start one of its own."""
    pytest.importorskip("ray")
    with ray_cluster(TWO):
        yield


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder that are not hidden, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_blender_on_a_cluster_renders_what_it_does_here(renders: Samples, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    codes = {key: renders.code(key) for key in renders.keys[:3]} | {renders.keys[3]: "cube("}
    for out, ray in ((here, None), (there, TWO)):
        rendered = render_codes(codes, Recorded(renders), out, also=["blend", "script"], on=ray)
        assert rendered.keys == renders.keys[:3]
        assert list(rendered.refused) == [renders.keys[3]]
    assert contents(here).keys() == contents(there).keys()
    for key in rendered.keys:
        assert contents(here)[f"{key}.json"] == contents(there)[f"{key}.json"]
        assert contents(there)[f"{key}.blend"][:4] == contents(here)[f"{key}.blend"][:4]
        assert same_image(Samples(here)[key].pixels(), Samples(there)[key].pixels())
    before = {path.name: path.stat().st_mtime_ns for path in there.iterdir()}
    (there / f"{rendered.keys[0]}.png").unlink()
    render_codes(codes, Recorded(renders), there, also=["blend", "script"], on=TWO)
    after = {path.name: path.stat().st_mtime_ns for path in there.iterdir()}
    changed = {name for name in after if not name.startswith(".") and after[name] != before.get(name)}
    assert {name.partition(".")[0] for name in changed} == {rendered.keys[0]}


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_a_model_on_a_cluster_writes_what_it_does_here(train: Train, dots: Path, tmp_path: Path) -> None:
    assert train("--steps", "1") == 0
    run, here, there = tmp_path / "run", tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    predict_file(Predictor.of(run, "cpu"), DatasetImages(dots), here, batch_size=2)
    with reader_on(TWO, run) as reader:
        predict_file(reader, DatasetImages(dots), there, batch_size=2)
    assert there.read_bytes() == here.read_bytes()
    with reader_on(TWO, run) as reader:
        metrics = roundtrip(reader, dots, tmp_path / "report", on=TWO)
    assert metrics["samples"] == metrics["image"]["samples"] == len(Samples(dots))
    with pytest.raises(UserError, match="--device cuda: the Ray cluster has no GPU"), reader_on(TWO, run, "cuda") as reader:
        predict_file(reader, DatasetImages(dots), tmp_path / "none.jsonl")


def test_a_node_that_does_not_see_the_model_says_so(tmp_path: Path) -> None:
    """The answers of a worker, which would be on another node."""
    digest = Predictor.of(find_model("tiny"), "cpu").digest
    assert _Reader("tiny", digest, "cpu").start() == (Predictor.of(find_model("tiny"), "cpu").most_images, None)
    _, absent = _Reader(tmp_path / "run", digest, "cpu").start()
    assert absent is not None and absent.startswith(f"{tmp_path / 'run'}: is not there on ")
    assert "on several machines, the model is in a folder that they share" in absent
    _, other = _Reader("tiny", "0" * 64, "cpu").start()
    assert other is not None and ": is another model on " in other
    (tmp_path / "run").mkdir()
    _, damaged = _Reader(tmp_path / "run", digest, "cpu").start()
    assert damaged is not None and damaged.startswith(f"{tmp_path / 'run'}") and " (on " in damaged


@pytest.mark.parametrize("verb", ["render", "predict", "roundtrip"])
def test_the_flags_are_those_of_generate(  # noqa: PLR0917
    verb: str, dots: Path, renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dot.py").write_text("dot(loc=(0.2, 0.5))\n")
    code = ["--code", str(tmp_path / "dot.py"), "--domain", "dot2d"]
    needed = {"render": code, "predict": ["--data", str(dots)], "roundtrip": ["--data", str(renders.path)]}[verb]
    command = [verb, *needed, "--out", str(tmp_path / "out")]
    assert main([*command, "--ray-address", "head:6379"]) == 2
    assert "--ray-address goes with --executor ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--executor", "ray"]) == 2
    assert "the executor ray needs Ray, which is not installed: pip install 'igllm[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_predict_takes_workers_and_launchers_where_they_mean_something(
    dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--data", str(dots), "--out", str(tmp_path / "pred.jsonl")]
    assert main([*command, "--workers", "2"]) == 2
    assert "--workers goes with --executor ray" in capsys.readouterr().err
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert main([*command, "--executor", "ray"]) == 2
    assert "--executor ray starts processes of its own" in capsys.readouterr().err
