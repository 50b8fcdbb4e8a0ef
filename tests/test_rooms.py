"""Rooms, which are files or folders: the order of their imports, what a fresh interpreter loads, the length of files."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from markdown import table, words
from places import DOCS, ROOT

ORDER = """
datagen.screen     datagen.rng        datagen.flags
datagen.errors
datagen.scene      datagen.io
datagen.images
datagen.geometry   datagen.code
datagen.assets
datagen.domains
datagen.samples    datagen.metrics
datagen.shards     datagen.workers
datagen.generate   datagen.formats    datagen.inspect     datagen.doctor       datagen.commandline
datagen.cluster    datagen.kinds
datagen.verbs

blender_scenes

model.device       model.state_dict   model.confined      model.staging        model.declared       model.setting       model.processes
model.constants
model.batch        model.config       model.tables        model.trial          model.preset
model.extent       model.run_folder   model.tokens
model.parts
model.output
model.igllm        model.coverage
model.data
model.build        model.derender
model.load
model.prediction   model.training
model.ship         model.golden
model.verbs

render.filters
render.flip
render.images      render.codediff    render.sides        render.overlay       render.rerender     render.summary       render.views
render.refined     render.other_shots render.film
render.codes
render.picture     render.code_flags
render.report      render.conformance render.scorers      render.breakdown     render.chosen        render.reliability
render.scored
render.cards
render.compare
render.several     render.roundtrip   render.evals        render.unlike        render.refine
render.demo        render.photographs render.studio
render.verbs

igllm
"""
"""All rooms, one floor a line: a room may import only rooms on the floors above its own in this table. An empty line ends a package;
`PACKAGES` has the other packages that each may import."""

PACKAGES = {
    "datagen": (),
    "blender_scenes": ("datagen",),
    "model": ("datagen",),
    "render": ("datagen", "model"),
    "igllm": ("datagen", "model", "render"),
}
LONGEST = 400
"""The most lines that a file of Python or JavaScript may have, of the product or not."""
FLOOR = {room: number for number, line in enumerate(ORDER.split("\n")) for room in line.split()}


def _files() -> dict[str, Path]:
    """The Python files of the packages by module name."""
    found = [ROOT / "igllm.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in found}


FILES = _files()


def _imported(path: Path) -> set[str]:
    """The packages' modules that a file imports: at its top, in functions, or for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= inner & FILES.keys() or {node.module}
    return {name for name in names if name.partition(".")[0] in PACKAGES}


IMPORTS = {name: _imported(path) for name, path in FILES.items()}


def _room(name: str) -> str:
    """The room of a module: the longest name in the table that the module's name begins with. KeyError if there is none."""
    parts = name.split(".")
    rooms = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    for room in rooms:
        if room in FLOOR:
            return room
    raise KeyError(name)


def test_every_file_is_in_a_room_and_every_room_holds_a_file() -> None:
    assert len(ORDER.split()) == len(FLOOR)  # none stands in the table twice
    assert {_room(name) for name in FILES if name not in PACKAGES or name in FLOOR} == FLOOR.keys()


def test_what_is_imported_is_there() -> None:
    assert not {(name, other) for name, others in IMPORTS.items() for other in others - FILES.keys()}


def test_rooms_import_rooms_above_them_alone() -> None:
    crossing = [(name, other) for name, others in IMPORTS.items() for other in others if name not in PACKAGES or name in FLOOR]
    wrong = [
        (name, other)
        for name, other in crossing
        if other not in PACKAGES and _room(name) != _room(other) and FLOOR[_room(name)] <= FLOOR[_room(other)]
    ]
    assert not wrong


@pytest.mark.parametrize("package", ["datagen", "model"])
def test_the_page_of_the_architecture_keeps_their_order(package: str) -> None:
    """Its table of a package: what a row names imports nothing of a row below."""
    text = (DOCS / "architecture.md").read_text()
    rows = [words(row[0]) for row in table(text, f"in `{package}/`", "holds")]
    row_of = {f"{package}.{name.removesuffix('/').removesuffix('.py')}": number for number, names in enumerate(rows) for name in names}

    def row(module: str) -> int | None:
        return row_of.get(".".join(module.split(".")[:2]))

    assert row_of.keys() >= {room for room in FLOOR if (ROOT / room.replace(".", "/")).is_dir() and room.startswith(f"{package}.")}
    wrong = [(a, b) for a, others in IMPORTS.items() for b in others if None not in (row(a), row(b)) and row(a) < row(b)]
    assert not wrong


def test_packages_import_the_packages_they_may() -> None:
    wrong = [
        (name, other)
        for name, others in IMPORTS.items()
        for other in others
        if (own := name.partition(".")[0]) != (theirs := other.partition(".")[0]) and theirs not in PACKAGES[own]
    ]
    assert not wrong


def test_no_file_imports_itself_through_others() -> None:
    list(TopologicalSorter(IMPORTS).static_order())  # CycleError names the circle


def test_no_logic_in_the_file_that_makes_a_folder_a_package() -> None:
    for path in FILES.values():
        if path.name == "__init__.py":
            statements = ast.parse(path.read_text()).body
            assert all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in statements), path


# In a fresh interpreter


def modules_after(*statements: str) -> list[set[str]]:
    """The top-level names in `sys.modules` after each of these statements, which run in one new process in turn."""
    show = "print(*{name.partition('.')[0] for name in sys.modules})"
    script = "\n".join(["import sys", *(f"{statement}\n{show}" for statement in statements)])
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def _all_of(package: str) -> str:
    return "import " + ", ".join(sorted(name for name in FILES if name.partition(".")[0] == package))


def test_a_package_loads_nothing_it_may_not_touch() -> None:
    """Each package with all of its modules, beside those that it may import."""
    packages = {
        "datagen": {"bpy", "torch", "transformers", "model", "render", "blender_scenes"},
        "model": {"bpy", "render", "blender_scenes"},
        "render": {"bpy", "blender_scenes"},
    }
    found = modules_after(*map(_all_of, packages))
    assert [loaded & forbidden for loaded, forbidden in zip(found, packages.values(), strict=True)] == [set()] * len(packages)


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import datagen, model, render", {"bpy", "torch"}),
        ("import blender_scenes", {"bpy", "torch", "model", "render"}),
        ("import blender_scenes.worker", {"torch", "model", "render"}),
        ("import blender_scenes.importer", {"bpy", "torch", "model", "render"}),
        ("import igllm", {"bpy", "torch", "numpy", "model", "render"}),
        ("import igllm; igllm._verbs()", {"bpy", "torch", "numpy"}),
        ("import model.prediction.decoding", {"torch", "numpy"}),
    ],
)
def test_a_room_loads_nothing_it_may_not_touch(statement: str, forbidden: set[str]) -> None:
    [loaded] = modules_after(statement)
    assert not loaded & forbidden


def test_no_file_has_more_than_400_lines() -> None:
    """Of all files of Python in the repository: the product, its tests, examples and benchmarks; and the studio's page."""
    tops = [top for top in ROOT.iterdir() if not top.name.startswith(".") and not (top / "pyvenv.cfg").exists()]
    paths = [path for top in tops for path in ([top] if top.is_file() else top.rglob("*")) if path.suffix == ".py"]
    paths += (ROOT / "render" / "studio" / "static").glob("*.js")
    assert {*FILES.values(), Path(__file__)} <= {*paths}
    lengths = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in paths}
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}
