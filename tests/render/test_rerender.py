"""Re-rendering with real Blender: the true code gives the true image, and the scene comes from the code alone."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from datagen.code.predictions import Prediction, write_predictions
from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.samples.labels import view_of
from datagen.scene import Scene
from datagen.shards.reader import Samples
from igllm import main
from render.compare import compare
from render.images import same_image
from render.rerender import Recorded, Standard, read_codes, render_codes

CLEVR = get_domain("clevr")


def move_first_object(sample) -> tuple[str, Scene]:
    """The sample's code with one object moved by half a metre, and the scene of that code."""
    from datagen.code.grammar import write_code

    first, *rest = sample.scene.objects
    x, y, z = first["loc"]
    moved = Scene("clevr", (first.replaced(loc=(x + (0.5 if x < 0 else -0.5), y, z)), *rest))
    return write_code(moved, CLEVR), moved


def test_moving_an_object_in_the_code_moves_it_in_the_image(renders: Samples, tmp_path: Path) -> None:
    sample = renders[renders.keys[0]]
    code, moved = move_first_object(sample)
    render_codes({sample.key: code}, Recorded(renders), tmp_path)
    changed = np.abs(Samples(tmp_path)[sample.key].pixels().astype(int) - sample.pixels()).max(2) > 12
    first = moved.objects[0]
    there = view_of(Scene("clevr", (first,)), CLEVR, sample.shot).owner == 0
    assert changed.sum() > 50
    assert changed[there].mean() > 5 * changed[~there].mean()


def test_scenes_and_images_of_the_data_are_not_looked_at(renders: Samples, tmp_path: Path) -> None:
    """Strip both from the data: the pictures must not change."""
    stripped = tmp_path / "stripped"
    stripped.mkdir()
    with tarfile.open(stripped / "shard-000000.tar", "w") as tar:
        for sample in renders:
            record = {"shot": sample.record["shot"], "domain": "clevr"}
            data = json.dumps(record).encode()
            member = tarfile.TarInfo(f"{sample.key}.json")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    codes = {key: renders.code(key) for key in renders.keys[:3]}
    render_codes(codes, Recorded(Samples(stripped)), tmp_path / "out")
    assert all(same_image(Samples(tmp_path / "out")[key].pixels(), renders[key].pixels()) for key in codes)


def test_canonical_light_is_another_light(renders: Samples, tmp_path: Path) -> None:
    key = renders.keys[0]
    render_codes({key: renders.code(key)}, Recorded(renders, canonical_light=True), tmp_path)
    sample = Samples(tmp_path)[key]
    assert sample.shot.lamps == CLEVR.canonical_shot(1, 1, "draft").lamps
    assert sample.shot.noise_seed == renders[key].shot.noise_seed
    assert not same_image(sample.pixels(), renders[key].pixels())


def test_a_file_of_code_is_rendered_in_the_order_of_anyone(renders: Samples, tmp_path: Path) -> None:
    lines = renders.code(renders.keys[0]).splitlines()
    (tmp_path / "one.py").write_text("\n".join(lines))
    (tmp_path / "two.py").write_text("# the other way around\n" + "\n".join(reversed(lines)))
    shots = Standard(width=64, height=48, quality="draft")
    for name in ("one", "two"):
        render_codes(read_codes(tmp_path / f"{name}.py"), shots, tmp_path / "out", also=["blend"] if name == "one" else [])
    out = Samples(tmp_path / "out")
    assert same_image(out["one"].pixels(), out["two"].pixels())
    assert out["one"].code == out["two"].code
    assert (tmp_path / "out" / "one.blend").stat().st_size > 10_000
    assert not (tmp_path / "out" / "two.blend").exists()


def test_a_second_call_renders_only_what_changed(renders: Samples, tmp_path: Path) -> None:
    codes = {key: renders.code(key) for key in renders.keys[:3]}
    render_codes(codes, Recorded(renders), tmp_path)
    before = {key: (tmp_path / f"{key}.png").stat().st_mtime_ns for key in codes}
    codes[renders.keys[1]] = move_first_object(renders[renders.keys[1]])[0]
    render_codes(codes, Recorded(renders), tmp_path)
    changed = [key for key in codes if (tmp_path / f"{key}.png").stat().st_mtime_ns != before[key]]
    assert changed == [renders.keys[1]]


def test_a_recorded_frame_is_no_larger_than_images_may_be(
    renders: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IGLLM_MAX_PIXELS", "")  # restored after the test
    key, out = renders.keys[0], tmp_path / "out"
    (tmp_path / f"{key}.py").write_text(renders.code(key))
    call = ["render", "--code", str(tmp_path / f"{key}.py"), "--data", str(renders.path), "--out", str(out), "--max-pixels", "99"]
    assert main(call) == 2
    output = capsys.readouterr().err
    assert f"{key}: its record has " in output
    assert "at most 99 pixels are read; make it smaller, or allow more with --max-pixels" in output
    assert not out.exists()


def test_what_cannot_be_rendered_is_told(renders: Samples, tmp_path: Path) -> None:
    good = renders.code(renders.keys[0])
    far = good.replace("loc=(", "loc=(9", 1).replace("(9-", "(-9", 1)
    codes = {"good": good, "far": far, "bad": "import os"}
    rendered = render_codes(codes, Standard(width=32, height=24, quality="draft"), tmp_path)
    assert rendered.keys == ["good", "far"]
    assert rendered.refused["bad"].startswith("line 1, column 1: import is no statement")
    assert any("far: object" in warning and "outside" in warning for warning in rendered.warnings)
    with pytest.raises(UserError, match="no record of a sample good"):
        render_codes({"good": good}, Recorded(renders), tmp_path)


def test_rendered_truth_compares_as_perfect(each: Samples, tmp_path: Path) -> None:
    predictions = tmp_path / "pred.jsonl"
    write_predictions(predictions, (Prediction(key, each.code(key)) for key in each.keys[:4]))
    render_codes(read_codes(predictions), Recorded(each), tmp_path / "out")
    metrics = compare(each.path, tmp_path / "out", tmp_path / "report", each.keys[:4], predictions=predictions)
    assert metrics["scene"]["ap"] == {f"{threshold:g}": 1.0 for threshold in each.at(0).domain.ap_thresholds}
    assert metrics["scene"]["rotation_error"]["mean"] in (0.0, None)
    assert metrics["scene"]["recall"] == 1.0
    assert metrics["scene"]["location_l2"] == 0.0
    assert metrics["image"]["same"] == 1.0
    assert metrics["image"]["flip"] < 1e-3
