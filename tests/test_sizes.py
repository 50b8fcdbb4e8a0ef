"""Files of kinds that are small are refused if they are large, because parsed text can take a hundred times the memory of its bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from datagen.errors import UserError
from igllm import main
from model.preset import get_preset
from model.run_folder import run_settings
from render.evals.plan import RunRequest
from render.evals.runs import read_run

REQUEST = cast(RunRequest, SimpleNamespace(digest="0123"))
READERS: dict[str, tuple[str, int, Callable[[Path], Any]]] = {
    "a run of an evaluation": ("0123.json", 1_000_000, lambda path: read_run(path.parent, REQUEST)),
    "a run's statement": ("run.json", 2_000_000, lambda path: run_settings(path.parent)),
    "a preset": ("own.toml", 1_000_000, lambda path: get_preset(str(path))),
}


@pytest.mark.parametrize(("name", "most", "read"), READERS.values(), ids=READERS)
def test_a_file_of_more_bytes_than_its_kind_has_is_refused(tmp_path: Path, name: str, most: int, read: Callable[[Path], Any]) -> None:
    path = tmp_path / name
    path.write_text("[" + "[]," * (most // 3) + "[]]")
    with pytest.raises(UserError, match=rf"{name}: has {path.stat().st_size:,} bytes, more than {most:,}"):
        read(path)


def test_code_of_more_bytes_than_a_scene_can_have_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.py").write_text("#" * 2_000_001)
    assert main(["render", "--domain", "dot2d", "--code", str(tmp_path / "a.py"), "--out", str(tmp_path / "out")]) == 2
    assert "a.py: has 2,000,001 bytes, more than 2,000,000" in capsys.readouterr().err
