"""Which tests `make check` runs for which changed files, and which come first."""

from __future__ import annotations

from pathlib import Path

import pytest
from long_files import LONG_FILES
from touched import touched_tests

FILES = {
    "tests/test_api.py": "",
    "tests/test_cli.py": "",
    "tests/test_documented.py": "",
    "tests/datagen/code/test_grammar.py": "from datagen.scene import Scene",
    "tests/datagen/code/test_limits.py": "from datagen.code import grammar",
    "tests/datagen/code/test_predictions.py": "import datagen.code.predictions",
    "tests/datagen/io/test_files.py": "from datagen.code.grammar import parse_code",
}


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        ("datagen/code/grammar.py", ["tests/datagen/code/test_grammar.py", "tests/datagen/code/test_limits.py"]),
        ("datagen/code/predictions.py", ["tests/datagen/code/test_predictions.py"]),
        ("datagen/scene.py", []),
        ("tests/datagen/io/test_files.py", ["tests/datagen/io/test_files.py"]),
        ("tests/support/places.py", []),
        ("docs/data.md", ["tests/test_api.py", "tests/test_documented.py"]),
        ("igllm.py", ["tests/test_cli.py", "tests/test_documented.py"]),
        ("render/page.html", []),
    ],
)
def test_a_changed_file_touches_the_tests_of_its_place(tmp_path: Path, changed: str, touched: list[str]) -> None:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert touched_tests([changed], tmp_path) == touched


def test_files_that_come_first_are_there() -> None:
    assert [path for path in LONG_FILES if not path.is_file()] == []
    assert len(set(LONG_FILES)) == len(LONG_FILES)
