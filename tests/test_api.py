"""The names that docs/api.md calls public: they exist, and the documents and examples import no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from places import DOCS, EXAMPLES, ROOT

PACKAGES = ("datagen", "blender_scenes", "model", "render", "igllm")
PUBLIC = re.findall(r"^\| `([\w.]+)` \|", (DOCS / "api.md").read_text(), re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _top_level(path: Path) -> Iterator[str]:
    """The names of a module's functions and classes."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _imported(program: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in PACKAGES:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_imported_and_says_what_it_is(name: str) -> None:
    module, _, last = name.rpartition(".")
    if module.startswith("blender_scenes"):  # importing it would load Blender
        assert last in _top_level(ROOT / f"{module.replace('.', '/')}.py")
        return
    found = getattr(import_module(module), last)
    assert not callable(found) or found.__doc__


def test_documents_and_examples_import_public_names_alone() -> None:
    programs = {str(path): path.read_text() for path in EXAMPLES.rglob("*.py")}
    for page in (ROOT / "README.md", *DOCS.glob("*.md")):
        programs |= {f"{page}: {number}": program for number, program in enumerate(PYTHON.findall(page.read_text()))}
    assert not {(where, name) for where, program in programs.items() for name in _imported(program) if name not in PUBLIC}
