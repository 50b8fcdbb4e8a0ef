"""All evaluations: what their declarations promise, and those with rendered poses run for real in miniature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pages import Page
from PIL import Image
from places import DOCS, MINI

from datagen.errors import UserError
from datagen.io.files import file_sha256
from datagen.metrics.intervals import intervals
from datagen.metrics.scores import score_scene
from datagen.metrics.summary import summarize
from datagen.scene import Scene
from datagen.shards.reader import Samples
from igllm import main
from render.evals.catalogue import EVALUATIONS, asked, scale_text
from render.evals.plots import COLORS, STYLES
from render.evals.table import at

WHAT = (
    "--sizes",
    "4",
    "--preset",
    MINI,
    "--budget",
    16,
    "--width",
    48,
    "--height",
    36,
    "--test-scenes",
    3,
    "--device",
    "cpu",
    "--workers",
    1,
)
SCALES = [(name, preset) for name, entry in EVALUATIONS.items() for preset in entry.scales]


@pytest.mark.parametrize(("name", "preset"), SCALES)
def test_every_evaluation_can_be_asked_at_every_scale(name: str, preset: str) -> None:
    evaluation, plan = asked(name, preset)
    assert evaluation.name == name
    requests = plan.requests(evaluation)
    assert len({request.digest for request in requests}) == len(requests) == len(plan.sizes) * len(evaluation.methods)
    for request in requests:
        stages = [preset.optimisation for preset in (request.training, request.pretraining, request.lesson) if preset is not None]
        seen = [stage.steps * stage.batch_size * stage.accumulation for stage in stages]
        assert sum(seen) == pytest.approx(plan.budget, rel=0.01)


def test_no_two_data_sets_share_a_seed() -> None:
    data = [d for name in EVALUATIONS for e in [asked(name)[0]] for d in (e.train, e.val, *(c.data for c in e.conditions))]
    assert len({d.seed for d in data}) == len(data)


@pytest.mark.parametrize("name", EVALUATIONS)
def test_everything_told_is_measured(name: str) -> None:
    """The summary of a single scene's scores has every number of tables and plots."""
    evaluation, _ = asked(name)
    empty = Scene(evaluation.domain.name, ())
    scored = [score_scene(empty, empty, evaluation.domain)]
    scores, ends = summarize(scored) | evaluation.measure([empty]), intervals(scored)
    for measure in (*evaluation.panels, *(column for table in evaluation.tables for column in table.columns)):
        assert measure.path[-1] in at(scores, measure.path[:-1])
        assert measure.form == "count" or measure.path[-1] in at(ends, measure.path[:-1])
    assert len(evaluation.methods) <= len(COLORS)
    assert len(evaluation.conditions) <= len(STYLES)


def test_flags_come_before_the_scale_and_a_file_takes_no_changes() -> None:
    evaluation, plan = asked("dot2d", width=48, sizes=(7,), changes=("steps=9",))
    assert (evaluation.train.width, evaluation.train.height, plan.sizes) == (48, 32, (7,))
    assert plan.changes[-1] == "steps=9"
    assert "dense_weight=0" in plan.changes
    assert asked("dot2d", str(MINI))[1].changes == ()
    assert asked("dot2d", "paper")[1].budget == 40_000 * 32


def test_methods_of_one_representation_share_a_pretraining() -> None:
    evaluation, plan = asked("so3")
    shared: dict[str, set[str]] = {}
    for request in plan.requests(evaluation):
        shared.setdefault(request.training.head.rotations, set()).add(request.pretraining_digest)
    assert {name: len(digests) for name, digests in shared.items()} == {"euler_int": 1, "euler": 1, "axis_angle": 1, "6d": 1}
    assert len(set.union(*shared.values())) == 4


def test_an_unknown_evaluation_is_told() -> None:
    with pytest.raises(UserError, match="no evaluation '3d'; choose one of cogent, dot2d, so3, pose6d, assets"):
        asked("3d")


@pytest.mark.parametrize(("before", "now"), [("clevr-cogent", "cogent"), ("2d", "dot2d"), ("6dof", "pose6d")])
def test_a_former_name_is_refused_with_the_new_one(before: str, now: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", before, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"igllm eval: the evaluation {before!r} is called {now!r} now\n"
    assert not (tmp_path / "out").exists()


def test_help_lists_evaluations_and_methods(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert "  cogent        CLEVR-CoGenT" in lines
    assert lines[lines.index("  cogent        CLEVR-CoGenT") + 1].split() == ["head,char,derender"]


def test_the_guide_lists_what_each_does_without_flags() -> None:
    guide = (DOCS / "evaluation.md").read_text()
    for name, entry in EVALUATIONS.items():
        for preset, scale in entry.scales.items():
            assert f"| `{name}` | `{preset}` | `{scale_text(scale)}` |" in guide


@pytest.fixture(scope="module", params=["pose6d", *(pytest.param(name, marks=pytest.mark.slow) for name in ("so3", "assets"))])
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    out = tmp_path_factory.mktemp("evals") / request.param
    arguments = ["eval", request.param, "--out", out, "--methods", "char-euler,head-6d", *WHAT]
    assert main(list(map(str, arguments))) == 0
    return request.param, out


def records_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (out / "cells").iterdir()]


def test_poses_are_read_and_scored(done: tuple[str, Path]) -> None:
    name, out = done
    evaluation, _ = asked(name)
    records = records_of(out)
    assert {record["asked"]["settings"]["rotations"] for record in records} == {"euler", "6d"}
    for record in records:
        assert list(record["scores"]) == [condition.key for condition in evaluation.conditions]
        for condition in evaluation.conditions:
            scores = record["scores"][condition.key]
            assert scores["objects"] == sum(len(sample.scene) for sample in Samples(out / "data" / f"test-{condition.key}"))
            within = list(scores["rotation_error"]["within"].values())
            assert all(share is None for share in within) or within == sorted(within)


def test_towers_are_pretrained_once_for_all_who_share_them(done: tuple[str, Path]) -> None:
    name, out = done
    pretrainings, lessons = (list((out / "runs").glob(pattern)) for pattern in ("pretrain-*", "lesson-*"))
    assert len(pretrainings) == (2 if name == "so3" else 1)
    assert len(lessons) == (1 if name == "pose6d" else 0)
    for run in pretrainings:
        began = json.loads((run / "run.json").read_text())["init"]
        assert began == (file_sha256(lessons[0] / "model.safetensors") if lessons else None)
    _, plan = asked(name, str(MINI), budget=16)
    for record in records_of(out):
        assert record["pretraining"]["images"] + record["training"]["images"] == pytest.approx(plan.budget, abs=4)


def test_pages_of_poses_show_what_was_read(done: tuple[str, Path]) -> None:
    name, out = done
    evaluation, _ = asked(name)
    page = Page(out / "pictures.html")
    assert page.tags.count("article") == 2 * 3 * len(evaluation.conditions)
    assert page.tags.count("img") == 2 * page.tags.count("article")
    table = (out / "table.md").read_text()
    assert table.count(f"## {evaluation.conditions[1].label.capitalize()}") == 1
    with Image.open(out / "plots.png") as plots:
        assert plots.width > 1000
