"""Rendering and prediction on a Ray cluster: the same files as on this machine alone, resumed in the same way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_run import Train

from datagen.code.predictions import Prediction, write_predictions
from datagen.errors import UserError
from datagen.io.files import read_jsonl
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
def test_passes_and_views_on_a_cluster_are_those_of_here(renders: Samples, tmp_path: Path) -> None:
    write_predictions(tmp_path / "pred.jsonl", [Prediction(key, renders.code(key)) for key in renders.keys[:2]])
    render = [
        "render",
        "--code",
        str(tmp_path / "pred.jsonl"),
        "--data",
        str(renders.path),
        "--depth",
        "--masks",
        "--normals",
        "--views",
        "2",
    ]
    assert main([*render, "--out", str(tmp_path / "here"), "--workers", "1"]) == 0
    assert main([*render, "--out", str(tmp_path / "there"), "--workers", "2", "--executor", "ray"]) == 0
    here, there = contents(tmp_path / "here"), contents(tmp_path / "there")
    made = {name.partition(".")[2] for name in there}
    assert made == {"png", "py", "json", "depth.npy", "masks.png", "normals.npy"}
    assert len(there) == 2 * 2 * len(made)
    pictures = {f"{key}-{view}.png" for key in renders.keys[:2] for view in range(2)}
    assert here.keys() - pictures == there.keys() - pictures
    assert all(there[name] == here[name] for name in there.keys() - pictures)
    for name in pictures:
        one, other = (Samples(tmp_path / folder)[name.removesuffix(".png")].pixels() for folder in ("here", "there"))
        assert same_image(one, other)


@pytest.mark.slow
@pytest.mark.usefixtures("_cluster")
def test_refinement_on_a_cluster_finds_what_it_does_here(renders: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Within a number of renders; seconds would end it anywhere. What cannot be refined is left as it is, with the reason."""
    codes = {key: renders.code(key) for key in renders.keys[:2]} | {renders.keys[2]: "cube("}
    write_predictions(tmp_path / "pred.jsonl", [Prediction(key, code) for key, code in codes.items()])
    refine = ["refine", "--code", str(tmp_path / "pred.jsonl"), "--data", str(renders.path), "--seconds", "600", "--renders", "25"]
    assert main([*refine, "--out", str(tmp_path / "here.jsonl"), "--workers", "1"]) == 0
    assert main([*refine, "--out", str(tmp_path / "there.jsonl"), "--workers", "2", "--executor", "ray"]) == 0
    assert capsys.readouterr().err.count(f"{renders.keys[2]}: left as it is") == 2
    here, there = (read_jsonl(tmp_path / name) for name in ("here.jsonl", "there.jsonl"))
    for row in (*here, *there):
        row.get("refinement", {}).pop("seconds", None)
    assert there == here
    assert [bool(row.get("refinement")) for row in there] == [True, True, False]


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


@pytest.mark.parametrize("verb", ["render", "predict", "refine", "roundtrip"])
def test_the_flags_are_those_of_generate(  # noqa: PLR0917
    verb: str, dots: Path, renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dot.py").write_text("dot(loc=(0.2, 0.5))\n")
    write_predictions(tmp_path / "pred.jsonl", [Prediction(key, "dot(loc=(0.2, 0.5))\n") for key in Samples(dots).keys])
    needed = {
        "render": ["--code", str(tmp_path / "dot.py"), "--domain", "dot2d"],
        "predict": ["--data", str(dots)],
        "refine": ["--code", str(tmp_path / "pred.jsonl"), "--data", str(dots)],
        "roundtrip": ["--data", str(renders.path)],
    }[verb]
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
