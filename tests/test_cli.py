"""The command as a user calls it: help, messages, exit statuses, and every verb in a folder full of misleading names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from one_process import run_in_one_process

from datagen.io.progress import progress_line
from datagen.shards.reader import Samples
from igllm import main

IGLLM = str(Path(sys.executable).with_name("igllm"))
VERBS = (
    "generate",
    "verify",
    "merge",
    "inspect",
    "export",
    "import",
    "pretrain",
    "align",
    "train",
    "predict",
    "render",
    "compare",
    "roundtrip",
    "eval",
    "demo",
    "doctor",
)


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([IGLLM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def bait(tmp_path: Path) -> Path:
    """A folder with files that are named like packages igllm imports, and end the process that imports them."""
    for name in ("model.py", "render.py", "bpy.py", "torch.py", "numpy.py"):
        (tmp_path / name).write_text("raise SystemExit('a stray file was imported')\n")
    (tmp_path / "datagen").mkdir()
    (tmp_path / "datagen" / "__init__.py").write_text("raise SystemExit('a stray file was imported')\n")
    (tmp_path / "blender_scenes").mkdir()
    (tmp_path / "blender_scenes" / "__init__.py").write_text("raise SystemExit('a stray file was imported')\n")
    return tmp_path


def test_every_verb_works_in_a_folder_of_misleading_names(bait: Path) -> None:
    frame = ("--width", 48, "--height", 36, "--quality", "draft")
    alone = ("--workers", 1)
    few = ("--min-objects", 1, "--max-objects", 2, *alone)
    calls = (
        ("generate", "--num", 2, "--seed", 1, "--out", "data", *frame, *few),
        ("inspect", "data"),
        ("export", "--data", "data", "--format", "clevr", "--out", "clevr"),
        ("import", "--format", "clevr", "--scenes", "clevr/scenes/CLEVR_default_scenes.json", "--out", "codes"),
        ("train", "--data", "data", "--out", "run", "--steps", 2, "--batch-size", 2, "--set", "save_steps=1", "--device", "cpu"),
        ("predict", "--model", "run", "--data", "data", "--out", "pred.jsonl", "--device", "cpu"),
        ("render", "--code", "pred.jsonl", "--data", "data", "--out", "rendered", *alone),
        ("compare", "--reference", "data", "--candidate", "rendered", "--out", "report"),
        ("compare", "--reference", "data", "--candidate", "pred.jsonl", "--out", "report"),
        ("roundtrip", "--model", "run", "--data", "data", "--num", 2, "--out", "around", "--device", "cpu", *alone),
    )
    done = run("doctor", "--libraries", cwd=bait)
    assert done.returncode == 0, done.stderr
    ran = run_in_one_process([(IGLLM, *call) for call in calls], bait)
    assert ran.returncode == 0, (ran.stdout, ran.stderr)
    assert "stray" not in done.stdout + done.stderr + ran.stdout + ran.stderr
    assert len(Samples(bait / "data")) == 2
    assert (bait / "data" / "inspect" / "contact-sheet.png").is_file()
    assert json.loads((bait / "around" / "metrics.json").read_text())["samples"] == 2


@pytest.mark.usefixtures("without_plots")
def test_the_loop_closes_for_a_domain_without_words_and_without_blender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two training steps a model writes code that parses; reports leave out attributes, rotations, relations and lamps."""
    monkeypatch.chdir(tmp_path)
    frame = ("--width", 64, "--height", 48)
    for arguments in (
        ("generate", "--domain", "dot2d", "--split", "checkerboard", "--num", 6, "--seed", 1, "--out", "data", *frame),
        ("verify", "data"),
        ("inspect", "data"),
        ("export", "--data", "data", "--format", "coco", "--out", "coco"),
        ("export", "--data", "data", "--format", "hf", "--out", "hf"),
        ("train", "--data", "data", "--out", "run", "--steps", 2, "--batch-size", 2, "--device", "cpu", "--set", "numbers=char"),
        ("roundtrip", "--model", "run", "--data", "data", "--out", "around", "--device", "cpu"),
        ("compare", "--reference", "around/pred.jsonl", "--candidate", "around/pred.jsonl", "--domain", "dot2d", "--out", "itself"),
    ):
        assert main(list(map(str, arguments))) == 0, arguments
    metrics = json.loads((tmp_path / "around" / "metrics.json").read_text())
    assert (metrics["domain"], metrics["unit"], metrics["samples"], metrics["unparsable"]) == ("dot2d", "sides", 6, 0)
    assert metrics["scene"]["accuracy_all"] == {}
    page = (tmp_path / "around" / "index.html").read_text()
    assert "sides" in page
    assert not any(word in page for word in ("Attributes", "rotation", "relations"))
    assert "Lamps" not in (tmp_path / "data" / "inspect" / "index.html").read_text()
    instances = json.loads((tmp_path / "coco" / "annotations" / "instances.json").read_text())
    assert [category["name"] for category in instances["categories"]] == ["dot"]
    assert len(instances["annotations"]) == 6


@pytest.mark.parametrize("verb", VERBS)
def test_help_tells_the_story(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    output = capsys.readouterr().out
    assert len(output.splitlines()) >= 6
    if verb == "train":
        assert "dense_weight" in output


def test_the_overview_names_every_verb_at_once() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert set(VERBS) <= {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "--num", "0", "--out", "x"], "positive"),
        (["generate", "--num", "many", "--out", "x"], "'many' is no whole number"),
        (["generate", "--out", "x"], "--num"),
        (["generate", "--num", "1", "--out", "x", "--domain", "clever"], "no domain 'clever'"),
        (["generate", "--num", "1", "--out", "x", "--split", "cogent-z"], "no split 'cogent-z'"),
        (["generate", "--num", "1", "--out", "x", "--domain", "dot2d", "--depth"], "dot2d domain has no camera"),
        (["generate", "--num", "1", "--out", "x", "--domain", "dot2d", "--device", "gpu"], "without Blender, on the CPU"),
        (["generate", "--num", "1", "--out", "x", "--max-objects", "30"], "places 0 to 10"),
        (["generate", "--num", "1", "--out", "x", "--seed", "-1"], "seed -1"),
        (["generate", "--num", "1", "--out", "x", "--quality", "best"], "'best' is none of draft"),
        (["inspect", "nowhere"], "no such data set"),
        (["export", "--data", "nowhere", "--format", "coco", "--out", "x"], "no such data set"),
        (["export", "--data", "nowhere", "--format", "voc", "--out", "x"], "'voc' is none of clevr, coco, hf"),
        (["import", "--format", "clevr", "--scenes", "nowhere.json", "--out", "x"], "nowhere.json: cannot be read"),
        (["import", "--format", "clevr", "--scenes", "bad.py", "--out", "x"], "bad.py: is not JSON"),
        (["train", "--data", "nowhere", "--out", "run"], "no such data set"),
        (["train", "--data", "nowhere", "--out", "run", "--preset", "huge"], "no preset 'huge'"),
        (["train", "--data", "nowhere", "--out", "run", "--set", "stepz=3"], "stepz"),
        (["predict", "--images", "nowhere.png"], "nowhere.png: there is no such file"),
        (["predict", "--images", "*.gif", "--out", "p.jsonl"], "*.gif: there is no such file"),
        (["predict", "--images", "empty"], "empty: no image file is in this folder"),
        (["predict", "--images", "bad.py", "--out", "."], ".: a folder is in the place of the file to write; name a file in it"),
        (["predict", "--images", "bad.py", "--out", "bad.py"], "bad.py: is one of the images; name another file to write"),
        (["predict", "--images", "a.png", "--images", "b.png"], "--images: is given twice; give it once, with all its values behind it"),
        (
            ["compare", "--reference", "a", "--reference", "b", "--candidate", "c", "--out", "x"],
            "--reference: is given twice; give it once",
        ),
        (["generate", "--num", "1", "--num", "1", "--out", "x"], "--num: is given twice"),
        (["predict", "--model", "nowhere", "--images", "bad.py", "--out", "p.jsonl"], "neither a shipped model nor a run folder"),
        (["predict", "--out", "p.jsonl"], "--images"),
        (["predict", "--data", "d"], "--data needs --out"),
        (["render", "--code", "nowhere.py", "--out", "x"], "nowhere.py"),
        (["render", "--code", "scene.txt", "--out", "x"], "scene.txt"),
        (["render", "--code", "bad.py", "--out", "x"], "line 1, column 1: import is no statement"),
        (["render", "--code", "bad.jsonl", "--out", "x"], "bad.jsonl, line 2"),
        (["render", "--code", "twice.jsonl", "--out", "x"], "comes twice"),
        (["render", "--code", "escape.jsonl", "--out", "x"], "base name"),
        (["render", "--code", "bad.py", "--out", "x", "--lighting", "recorded"], "--data"),
        (["render", "--code", "bad.py", "--out", "x", "--data", "d", "--width", "10"], "exclude each other"),
        (["compare", "--reference", "nowhere", "--candidate", "nowhere", "--out", "x"], "no such data set"),
        (["roundtrip", "--data", "empty", "--out", "x"], "empty: no samples here"),
        (["roundtrip", "--data", "empty", "--out", "."], ".: this folder holds something other than a report"),
        (["roundtrip", "--model", "nowhere", "--data", "nowhere", "--out", "x"], "neither a shipped model"),
        (["paint"], "'paint' is none of generate, verify"),
    ],
)
def test_bad_input_gets_one_message_and_status_two(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("bad.py").write_text("import os\n")
    Path("bad.jsonl").write_text('{"key": "a", "code": ""}\n{"key": \n')
    Path("twice.jsonl").write_text('{"key": "a", "code": ""}\n' * 2)
    Path("escape.jsonl").write_text('{"key": "../a", "code": ""}\n')
    try:
        status = main(arguments)
    except SystemExit as stop:  # argparse
        status = stop.code
    assert status == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert not Path("x").exists() or not any(Path("x").iterdir())


def test_a_file_where_a_folder_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["generate", "--num", "1", "--out", str(tmp_path / "file")]) == 2
    assert "file" in capsys.readouterr().err


def test_progress_off_a_terminal_is_plain() -> None:
    assert progress_line("generate", 120, 1000, 40.0) == "generate: 120/1000, 3/s, 293 s left"
    assert progress_line("generate", 10, 10, 5.0) == "generate: 10/10, 2/s, 5 s"
    assert progress_line("verify", 8000, 20000, 0.5) == "verify: 8000/20000, 16,000/s, 1 s left"
    assert progress_line("render", 3, 1000, 90.0) == "render: 3/1000, 30 s each, 8 h 18 min left"
    assert progress_line("render", 3, 1_000_000, 90.0) == "render: 3/1000000, 30 s each, 347 d 5 h left"
    assert progress_line("index", 5, 5, 0.0) == "index: 5/5, 0 s"
    assert "\r" not in progress_line("x", 1, None, 1.0)
