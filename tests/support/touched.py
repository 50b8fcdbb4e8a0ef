"""Run the tests that the changed files touch: ``python tests/support/touched.py main``, as ``make check`` does.

A file is changed if it differs from the commit at which this branch left the named one, or if git does not track it. The touched tests are

- a changed test file;
- of a changed module ``datagen/code/grammar.py``, the test files in ``tests/datagen/code`` that are named after it or import it;
- the tests that `ALSO` lists for a changed file or its topmost folder.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALSO = {
    "README.md": ("tests/test_documented.py", "tests/test_api.py"),
    "docs": ("tests/test_documented.py", "tests/test_api.py"),
    "blender_scenes": ("tests/blender_scenes/test_blender_worker.py",),
    "igllm.py": ("tests/test_cli.py", "tests/test_documented.py"),
}
"""Tests that a file, or each file of a folder, touches in addition to those in the mirrored place."""
PYTEST = [sys.executable, "-m", "pytest", "-m", "not slow", "-q"]
PYTEST += ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
"""As `make test` runs it: on a busy machine, several threads of one process that trains would wait for each other most of the time."""


def changed_files(since: str) -> list[str]:
    """The changed files by their paths in the repository; those that were removed are left out."""
    base = _git("merge-base", "HEAD", since) or ["HEAD"]
    return [*_git("diff", "--name-only", "--diff-filter=d", base[0]), *_git("ls-files", "--others", "--exclude-standard")]


def touched_tests(changed: Iterable[str], root: Path = ROOT) -> list[str]:
    """The test files, by their paths in the repository, that these changed files touch."""
    return sorted({test for path in changed for test in _touched_by(Path(path), root)})


def _touched_by(path: Path, root: Path) -> Iterator[str]:
    yield from (test for test in ALSO.get(path.parts[0], ()) if (root / test).is_file())
    if path.parts[0] == "tests" and path.match("test_*.py"):
        yield str(path)
    elif path.suffix == ".py" and path.parts[0] != "tests" and len(path.parts) > 1:
        module = ".".join(path.with_suffix("").parts)
        for test in (root / "tests" / path.parent).glob("test_*.py"):
            if test.stem == f"test_{path.stem}" or module in _imported(test):
                yield str(test.relative_to(root))


def _imported(path: Path) -> set[str]:
    """The modules that a file imports, and the names imported from them, which may be modules, too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _git(*words: str) -> list[str]:
    """The lines that git prints; none where it fails."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines()


def main() -> int:
    tests = touched_tests(changed_files(sys.argv[1]))
    print("touched:", *(tests or ["no test; `make test` runs all"]), sep="\n  ", flush=True)
    return subprocess.run([*PYTEST, *tests], cwd=ROOT, check=False).returncode if tests else 0


if __name__ == "__main__":
    sys.exit(main())
